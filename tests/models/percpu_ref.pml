/*
 * Counts that each CPU keeps: core/percpu_ref.c, and how vfs/mount.c uses them.
 *
 * One count with an owner, which gathers it, looks, and spreads it again; in the end it lets go.
 * Users come by a walk (quick_take: percpu_ref_try_get, then a look at the sequence, as of umount)
 * or as writers (percpu_ref_try_get_live, against a remount), and give back on any CPU.  One has it as its
 * working directory at first, from where a walk may start that holds nothing.  A section
 * of RCU is in_rcu; a grace period waits until each user was outside once.  Loads and stores of a
 * CPU's number are one step (an instruction); the owner reads and clears the numbers one by one.
 *
 * Checked: gathered, the word is the number of references; it is freed once, and never while someone has a
 * reference; after umount no walk has one that it believes in; after a remount nobody writes.
 *
 * Bound: 2 users, one with 2 calls and one that leaves its directory, then calls once, on 2 CPUs; the owner
 * gathers twice, then lets go.
 *
 * M1  gathering does not wait for a grace period
 * M2  there is no BIAS
 * M3  the slot goes before BIAS comes
 * M4  a user reads the slot before its section of RCU
 * M5  the numbers are not cleared
 * M6  a reference is given back outside of RCU
 * M7  umount looks at the number before it makes the sequence odd
 * M8  dead is not waited for where nothing was spread
 * M9  percpu_ref_try_get takes the word for alive at 0
 */
#define USERS 2
#define BIAS 30

short shared = 2;
short numbers[2];
bit slot = 0, dead = 0;
bit in_rcu[USERS];
byte sequence = 0;
bit found = 1;			/* the mount is in the tree */
bit cwd = 1;			/* a user's, which has a reference */
byte has = 1, believed = 0, writing = 0;
byte freed = 0;

inline count(n) {
	if
	:: numbers[0] = numbers[0] + n
	:: numbers[1] = numbers[1] + n
	fi
}

inline release() {
	assert(!freed && has == 0);
	freed++
}

inline put() {
#ifndef M6
	in_rcu[me] = 1;
#endif
	s = slot;
	if
	:: s -> atomic { count(-1); has-- }; in_rcu[me] = 0
	:: else ->
		in_rcu[me] = 0;
		atomic {
			has--;
			shared--;
			if
			:: shared == 0 -> release()
			:: else
			fi
		}
	fi
}

inline try_get_shared() {
	atomic {
		if
#ifndef M9
		:: shared == 0 -> got = 0
		:: else ->
#else
		:: 1 ->
#endif
			assert(!freed);
			shared++; has++; got = 1
		fi
	}
}

/* Under RCU while the mount is found there; then believed if the sequence did not change. */
inline walk() {
	got = 0;
#ifdef M4
	s = slot;
#endif
	atomic { in_rcu[me] = 1; seen = sequence };
	if
	:: (seen & 1) == 0 && (found || cwd) ->
#ifndef M4
		s = slot;
#endif
		if
		:: s -> atomic { count(1); has++; got = 1 }
		:: else -> try_get_shared()
		fi;
		/* the look is one with what is believed from then on */
		atomic {
			in_rcu[me] = 0;
			if
			:: got && sequence == seen -> believed++; sure = 1
			:: else
			fi
		}
	:: else -> in_rcu[me] = 0
	fi;
	if
	:: sure -> atomic { believed--; sure = 0 }
	:: else
	fi;
	if
	:: got -> assert(!freed); put()
	:: else
	fi
}

inline write() {
	got = 0;
#ifdef M4
	s = slot;
#endif
	in_rcu[me] = 1;
	if
	:: found ->
#ifndef M4
		s = slot;
#endif
		if
		:: s -> atomic { count(1); has++; writing++; got = 1 }
		:: else ->
			if
			:: dead
			:: else ->
				try_get_shared();
				atomic { if :: got -> writing++ :: else fi }
			fi
		fi
	:: else
	fi;
	in_rcu[me] = 0;
	if
	:: got -> atomic { writing-- }; put()
	:: else
	fi
}

proctype user(byte me) {
	byte steps = 0, seen = 0;
	bit s = 0, got = 0, sure = 0;

	if
	:: me == 1 -> cwd = 0; put(); steps++
	:: else
	fi;
	do
	:: steps < 2 ->
		steps++;
		if
		:: walk()
		:: write()
		fi
	:: steps == 2 -> break
	od
}

inline grace_period() {
	in_rcu[0] == 0;
	in_rcu[1] == 0
}

inline spread() {
	dead = 0;
	slot = 1
}

inline gather_begin() {
	spread_before = slot;
	if
	:: spread_before ->
#ifdef M3
		slot = 0;
		atomic { shared = shared + BIAS }
#else
#ifndef M2
		atomic { shared = shared + BIAS };
#endif
		slot = 0
#endif
	:: else
	fi
}

inline gather_end() {
	if
	:: spread_before ->
		sum = numbers[0];
#ifndef M5
		numbers[0] = 0;
#endif
		sum = sum + numbers[1];
#ifndef M5
		numbers[1] = 0;
#endif
		atomic {
#ifdef M2
			shared = shared + sum;
#else
			shared = shared + sum - BIAS;
#endif
			sum = 0;
			spread_before = 0;
			assert(shared == 1 + has)
		}
	:: else
	fi
}

inline umount_unless_busy() {
	gather_begin();
#ifndef M1
	grace_period();
#endif
	gather_end();
#ifdef M7
	alone = (shared == 1);
	sequence++;
#else
	sequence++;
	alone = (shared == 1);
#endif
	if
	:: alone ->
		found = 0;
		assert(believed == 0)
	:: else
	fi;
	sequence++
}

inline remount() {
	dead = 1;
	gather_begin();
#ifndef M1
#ifdef M8
	if
	:: spread_before -> grace_period()
	:: else
	fi;
#else
	grace_period();
#endif
#endif
	gather_end();
	if
	:: shared == 1 -> assert(writing == 0); assert(writing == 0)
	:: else
	fi
}

proctype owner() {
	byte rounds = 0;
	short sum = 0;
	bit spread_before = 0, alone = 0;

	do
	:: rounds == 2 || !found -> break
	:: rounds < 2 && found ->
		rounds++;
		if
		:: spread()
		:: dead = 0		/* there was no slot */
		fi;
		if
		:: umount_unless_busy()
		:: remount()
		fi
	od;
	/* taken out with its users, if it has any: mount_dissolve, mounts_bury */
	sequence++;
	found = 0;
	sequence++;
	gather_begin();
	grace_period();
	gather_end();
	atomic {
		shared--;
		if
		:: shared == 0 -> release()
		:: else
		fi
	}
}

init {
	atomic { run user(0); run user(1); run owner() };
	_nr_pr == 1;
	assert(freed == 1 && shared == 0 && numbers[0] == 0 && numbers[1] == 0)
}
