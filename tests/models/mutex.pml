/*
 * The mutex of core/lock_mutex.c: owner and WAITERS in one word, sleepers in a
 * bucket under a lock, barging and hand-off, and sleepers that give up.
 *
 * Checked: mutual exclusion (assert); no lost wake-up (no invalid end state:
 * every thread gets through its rounds; thread 0 may be interrupted and give
 * up); WAITERS exactly while someone is in the bucket (assert under its lock).
 *
 *	spin -a mutex.pml && cc -O2 -DSAFETY -o pan pan.c && ./pan -m100000
 */
#define N 3
#define NOBODY 255

byte owner = NOBODY;
bit waiters = 0;		/* WAITERS of the word; word = (owner, waiters) */
bit bucket_locked = 0;
byte queue[N];			/* FIFO of sleepers */
byte length = 0;
bit asleep[N];			/* state != RUNNABLE */
bit granted[N];
byte inside = 0;

inline bucket_lock() { atomic { bucket_locked == 0 -> bucket_locked = 1 } }
inline bucket_unlock() { bucket_locked = 0 }

inline remove(who) {
	d_step {
		i = 0;
		do
		:: i < length && queue[i] != who -> i++
		:: else -> break
		od;
		do
		:: i + 1 < length -> queue[i] = queue[i + 1]; i++
		:: else -> break
		od;
		length--;
		waiters = (length > 0);
		i = 0
	}
}

inline leave() {
	if
	:: atomic { owner == _pid && !waiters -> owner = NOBODY }
	:: atomic { owner == _pid && waiters -> skip };
	   bucket_lock();
	   assert(waiters == (length > 0));
	   if
	   :: length == 0 -> owner = NOBODY
	   :: length > 0 ->
		if
		:: owner = NOBODY; asleep[queue[0]] = 0	/* wake the first; it competes */
		:: first = queue[0]; remove(first);		/* hand-off: it owns the mutex */
		   owner = first; granted[first] = 1; asleep[first] = 0
		fi
	   fi;
	   bucket_unlock()
	fi
}

active [N] proctype thread() {
	byte i = 0, first = 0, rounds = 0;
	bit got, interrupted = 0;

	do
	:: rounds == 2 -> break
	:: else ->
		rounds++;
		got = 0;
		interrupted = 0;
		if
		:: atomic { owner == NOBODY -> owner = _pid; got = 1 }	/* fast path, barging */
		:: else ->
			bucket_lock();
			if	/* announce */
			:: atomic { owner == NOBODY -> owner = _pid; got = 1 }
			:: atomic { owner != NOBODY -> waiters = 1 }
			fi;
			if
			:: got -> bucket_unlock()
			:: else ->
				queue[length] = _pid;
				length++;
				do
				:: asleep[_pid] = 1;
				   bucket_unlock();
				   if
				   :: asleep[_pid] == 0		/* woken */
				   :: _pid == 0 -> interrupted = 1; asleep[_pid] = 0
				   fi;
				   bucket_lock();
				   if
				   :: granted[_pid] ->
					granted[_pid] = 0; got = 1; break
				   :: !granted[_pid] && queue[0] == _pid &&
				      owner == NOBODY ->
					if
					:: atomic { owner == NOBODY -> owner = _pid; got = 1 };
					   remove(_pid); break
					:: owner != NOBODY -> skip
					fi
				   :: !granted[_pid] && interrupted ->	/* gives up */
					remove(_pid);
					if
					:: owner == NOBODY && length > 0 ->
						asleep[queue[0]] = 0
					:: else
					fi;
					break
				   :: !granted[_pid] && !interrupted &&
				      (owner != NOBODY || queue[0] != _pid) ->
					skip			/* sleep again */
				   fi
				od;
				asleep[_pid] = 0;
				bucket_unlock()
			fi
		fi;
		if
		:: got ->
			inside++;
			assert(inside == 1);
			inside--;
			leave()
		:: else
		fi
	od
}
