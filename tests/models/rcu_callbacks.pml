/*
 * Who calls RCU's callbacks (call_one and its users in core/rcu.c): the batch's
 * thread hands a CPU its share of a batch and waits until it is called; the
 * CPU's caller takes the list by an exchange, calls the first, and puts the
 * rest back; the batch's thread, when its patience ends, does the same.
 *
 * Checked: every callback is called once, all of a batch before the next one is
 * handed over; the batch's thread never sleeps with all of them called (no
 * invalid end state), also where the caller never runs.
 *
 * Bound: one CPU, 2 batches of 2 callbacks; patience may end too early once in each,
 * and whenever the caller is kept from its CPU: nothing may depend on it else.
 *
 * M1  the list is read and emptied in two steps
 * M2  the rest is put back before the first is called
 * M3  the last one called wakes nobody
 * M4  the batch's thread looks at the count before it sets its state
 * M5  the share is handed over before it is counted
 * M6  the caller sets its state after it has looked for callbacks
 */
#define BATCHES 2
#define LENGTH 2

byte ready = 0;		/* callbacks on the list; the head is number LENGTH - ready */
byte nr_calling = 0;
byte called = 0;	/* of this batch */
bit batch_sleeps = 0, caller_sleeps = 0;
bit over = 0;
bit kept_off = 0;	/* the caller does not come to its CPU any more */

/* thread_wake: under the thread's lock. */
inline wake_batch() { atomic { if :: batch_sleeps -> batch_sleeps = 0 :: else fi } }
inline wake_caller() { atomic { if :: caller_sleeps -> caller_sleeps = 0 :: else fi } }

inline call_one() {
#ifdef M1
	h = ready;
	ready = 0;
#else
	atomic { h = ready; ready = 0 }
#endif
	if
	:: h == 0
	:: else ->
#ifdef M2
		if :: h > 1 -> ready = h - 1 :: else fi;
#endif
		atomic {
			called++;
			assert(called <= LENGTH);
			assert(h == LENGTH - called + 1)	/* each once, in order */
		}
		if
		:: h > 1 ->
#ifndef M2
			ready = h - 1
#else
			skip
#endif
		:: else ->
			atomic { assert(nr_calling == 1); nr_calling-- }
#ifndef M3
			wake_batch()
#endif
		fi
	fi
}

/* It may be preempted for good anywhere but in call_one. */
active proctype caller() {
	byte h;

	do
	:: over -> break
	:: !over ->
#ifdef M6
		if
		:: ready == 0 ->
			caller_sleeps = 1;
			!caller_sleeps || over
		:: else -> call_one()
		fi
#else
		caller_sleeps = 1;
		if
		:: ready == 0 -> !caller_sleeps || over
		:: else -> caller_sleeps = 0; call_one()
		fi
#endif
	:: !over -> kept_off = 1; break
	od
}

active proctype batch() {
	byte i, h;
	bit seen, early;

	for (i : 1 .. BATCHES) {
		called = 0;
		if :: early = 1 :: early = 0 fi;
#ifdef M5
		ready = LENGTH;
		nr_calling++;
#else
		nr_calling++;
		ready = LENGTH;
#endif
		wake_caller();
		do
		::
#ifdef M4
			seen = nr_calling != 0;
			batch_sleeps = 1;
#else
			batch_sleeps = 1;
			seen = nr_calling != 0;
#endif
			if
			:: !seen -> batch_sleeps = 0; break
			:: seen ->
				if
				:: !batch_sleeps	/* woken */
				:: batch_sleeps && (early || kept_off) ->	/* patience ends */
					batch_sleeps = 0;
					early = 0;
					do
					:: ready != 0 -> call_one()
					:: ready == 0 -> break
					od
				fi
			fi
		od;
		assert(called == LENGTH)
	}
	over = 1
}
