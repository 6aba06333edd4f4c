/*
 * The mutex of core/lock_mutex.c: owner, WAITERS and SPINNER in one word,
 * sleepers in a bucket under a lock, barging and hand-off, sleepers that give up.
 *
 * Follows mutex_lock (fast path), spin_for_owner, spin_while_running, announce,
 * sleep_for, bucket_remove, abandon, unlock_slow.  Each change of the word is one
 * compare-and-swap, so one atomic step; hand-off instead of release is a free
 * choice, as it depends on the clock.
 *
 * Checked: mutual exclusion; WAITERS exactly while someone is in the bucket (under
 * its lock); every thread gets through its rounds (no lost wake-up), although
 * thread 0 may be interrupted and give up.
 *
 * Bound: 3 threads, 2 rounds each.
 *
 * M1  announce does not set WAITERS
 * M2  abandon does not wake the next sleeper
 * M3  unlock frees the mutex and does not wake the first sleeper
 * M4  hand-off wakes and grants, but does not name the owner
 * M5  bucket_remove clears WAITERS whoever else sleeps
 * M6  the sleeper sets its state after it has left the bucket's lock
 * M7  the quick release does not look at WAITERS
 * M8  a sleeper takes the mutex without looking whether it is free
 * M9  the spinner takes the mutex with a store
 */
#define N 3
#define NOBODY 255

byte owner = NOBODY;
bit waiters = 0;		/* WAITERS and SPINNER of the word */
bit spinner = 0;
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
#ifdef M5
		waiters = 0;
#else
		waiters = (length > 0);
#endif
		i = 0
	}
}

inline leave() {
	if
#ifdef M7
	:: atomic { owner == _pid -> owner = NOBODY }
#else
	:: atomic { owner == _pid && !waiters -> owner = NOBODY }
#endif
	:: atomic { owner == _pid && waiters -> skip };
	   bucket_lock();
	   assert(waiters == (length > 0));
	   if
	   :: length == 0 -> owner = NOBODY	/* the only sleeper gave up */
	   :: length > 0 ->
		if
		:: owner = NOBODY;		/* wake the first; it competes */
#ifndef M3
		   asleep[queue[0]] = 0
#endif
		:: first = queue[0]; remove(first);	/* hand-off */
#ifndef M4
		   owner = first;
#endif
		   granted[first] = 1; asleep[first] = 0
		fi
	   fi;
	   bucket_unlock()
	fi
}

/* spin_for_owner: one thread at a time; gives up when the owner sleeps, or after a while. */
inline spin() {
	if
	:: atomic { !spinner -> spinner = 1 };
	   if
#ifdef M9
	   :: owner == NOBODY -> owner = _pid; spinner = 0; got = 1
#else
	   :: atomic { owner == NOBODY -> owner = _pid; spinner = 0; got = 1 }
#endif
	   :: spinner = 0
	   fi
	:: skip
	fi
}

inline sleep() {
	bucket_lock();
	if	/* announce */
	:: atomic { owner == NOBODY -> owner = _pid; got = 1 }
#ifdef M1
	:: owner != NOBODY -> skip
#else
	:: atomic { owner != NOBODY -> waiters = 1 }
#endif
	fi;
	if
	:: got -> bucket_unlock()
	:: else ->
		queue[length] = _pid;
		length++;
		do
		::
#ifdef M6
		   bucket_unlock();
		   asleep[_pid] = 1;
#else
		   asleep[_pid] = 1;
		   bucket_unlock();
#endif
		   if
		   :: asleep[_pid] == 0		/* woken */
		   :: _pid == 0 -> interrupted = 1; asleep[_pid] = 0
		   fi;
		   bucket_lock();
		   if
		   :: granted[_pid] ->
			granted[_pid] = 0; got = 1; break
#ifdef M8
		   :: !granted[_pid] && queue[0] == _pid ->
			owner = _pid; got = 1; remove(_pid); break
#else
		   :: !granted[_pid] && queue[0] == _pid && owner == NOBODY ->
			if
			:: atomic { owner == NOBODY -> owner = _pid; got = 1 };
			   remove(_pid); break
			:: owner != NOBODY -> skip
			fi
#endif
		   :: !granted[_pid] && interrupted ->	/* gives up */
			remove(_pid);
#ifndef M2
			if
			:: owner == NOBODY && length > 0 -> asleep[queue[0]] = 0
			:: else
			fi;
#endif
			break
		   :: !granted[_pid] && !interrupted &&
		      (owner != NOBODY || queue[0] != _pid) ->
			skip			/* sleep again */
		   fi
		od;
		asleep[_pid] = 0;
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
			spin();
			if
			:: got
			:: else -> sleep()
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
