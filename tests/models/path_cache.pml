/*
 * The cache of directory prefixes: vfs/path_cache.c, prefix_fill and walk_prefixes of walk.c, and
 * the changes in dentry.c and attr.c.
 *
 * One name leads to one directory, which may be moved away and back, closed to the searcher,
 * and removed and freed.  Two CPUs walk the name, store it, and use what they stored.
 * path_epoch is one word: `epoch` above, `under` below, read and compared in one step.
 *
 * Checked: at the moment when an entry is found valid the name is there, in its place, and may be
 * searched; what it leads to is not freed while the walk stands on it.
 *
 * Bound: 2 walks on a CPU and 1 on another, a move and back, beside it a close or a removal.
 *
 * M1  a change begins after it is seen
 * M2  the epoch of an entry is read after its walk
 * M3  an entry is stored while a change is under way
 * M4  a name is marked without a look whether it is still hashed
 * M5  a move between the walk and the mark is not looked for
 * M6  a change ends before it is done
 * M7  a removal does not look at the mark
 * M8  a name is marked without its lock
 */
#define CPUS 2

bit hashed = 1, moved = 0, closed = 0, marked = 0, freed = 0;
byte epoch = 0, under = 0;
byte rename_sequence = 0;
bit dentry_lock = 0, directory_lock = 0;
bit in_rcu[CPUS];

inline lock(which) { atomic { which == 0 -> which = 1 } }
inline unlock(which) { which = 0 }
inline begin() { atomic { epoch++; under++ } }
inline end() { under-- }

inline mark() {
	ok = 1;
	if
	:: marked ->
#ifndef M4
		ok = hashed
#else
		skip
#endif
	:: else ->
#ifndef M8
		lock(dentry_lock);
#endif
#ifndef M4
		ok = hashed;
#endif
		if
		:: ok -> marked = 1
		:: else
		fi;
#ifndef M8
		unlock(dentry_lock)
#endif
	fi
}

inline fill() {
	sequence = rename_sequence;
#ifndef M2
	atomic { e = epoch; u = under };
#endif
	if
	:: sequence & 1 -> skip
	:: else ->
		ok = hashed && !moved;
		if
		:: ok -> ok = !closed
		:: else
		fi;
#ifdef M2
		atomic { e = epoch; u = under };
#endif
#ifndef M3
		ok = ok && u == 0;
#endif
		if
		:: ok -> mark()
		:: else
		fi;
#ifndef M5
		ok = ok && sequence == rename_sequence;
#endif
		if
		:: ok -> atomic { stored = 1; stored_epoch = e; stored_under = u }
		:: else
		fi
	fi
}

proctype cpu(byte me, bound) {
	byte walks = 0, e = 0, u = 0, stored_epoch = 0, stored_under = 0, sequence = 0;
	bit stored = 0, ok = 0;

	do
	:: walks < bound ->
		atomic { walks++; in_rcu[me] = 1 };
		if
		:: fill()
		:: stored ->
			atomic {
				ok = stored_epoch == epoch && stored_under == under;
				assert(!ok || (hashed && !moved && !closed))
			};
			if
			:: ok -> assert(!freed)
			:: else
			fi
		fi;
		in_rcu[me] = 0
	:: walks == bound -> break
	od
}

proctype renamer() {
	byte n = 0;
	bit seen = 0;

	do
	:: n < 2 ->
		n++;
		lock(directory_lock);
		rename_sequence++;
		lock(dentry_lock);
		seen = marked;
#ifdef M1
		moved = 1 - moved;
#endif
		if
		:: seen -> begin()
		:: else
		fi;
#ifndef M1
		moved = 1 - moved;
#endif
		if
		:: seen -> end()
		:: else
		fi;
		unlock(dentry_lock);
		rename_sequence++;
		unlock(directory_lock)
	:: n == 2 -> break
	od
}

proctype closer() {
	begin();
#ifdef M6
	end();
	closed = 1
#else
	closed = 1;
	end()
#endif
}

proctype remover() {
	bit seen = 0;

	lock(directory_lock);
	lock(dentry_lock);
#ifndef M7
	seen = marked;
#endif
	if
	:: seen -> begin()
	:: else
	fi;
	hashed = 0;
	if
	:: seen -> end()
	:: else
	fi;
	unlock(dentry_lock);
	unlock(directory_lock);
	!in_rcu[0];		/* a grace period */
	!in_rcu[1];
	freed = 1
}

init {
	atomic {
		run cpu(0, 2);
		run cpu(1, 1);
		run renamer();
		if
		:: run closer()
		:: run remover()
		fi
	}
}
