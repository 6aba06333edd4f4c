/*
 * Sleep and wake-up of core/sched.c and core/wait.c: a sleeper sets its state
 * and then looks at the condition; a waker changes the condition and then looks
 * at the state, under the thread's wake lock; the switch takes the sleeper off
 * its run queue and clears on_cpu later, and the waker waits for that before it
 * queues the thread on another CPU.  The sleeper may be preempted on its way, and a
 * third CPU may move it from queue to queue meanwhile.
 *
 * Checked: the sleeper always gets through (no invalid end state), it is never
 * on a run queue twice, and never runs while its context is still live elsewhere.
 *
 * Bound: one sleeper, two wakers, one that moves it, 2 rounds.
 *
 * M1  the waker does not wait for the switch to be over
 * M2  the waker believes `queued` without the run queue's lock
 * M3  the sleeper looks at the condition before it sets its state
 * M4  schedule() looks at the state before it takes the run queue's lock
 * M5  wakers do not take the thread's wake lock
 * M6  the switch clears on_cpu before the context is saved
 * M7  who moves a thread clears `queued` in between
 */
#define ROUNDS 2

bit condition = 0;
bit blocked = 0;	/* state != RUNNABLE */
bit queued = 1;		/* on a run queue, running included */
bit on_cpu = 1;
bit wake_lock = 0;
bit run_queue = 0;
byte taken = 0;
bit saving = 0;	/* registers are being stored */
bit waiting = 0;	/* preempted: on a queue, not running */

inline lock(l) { atomic { l == 0 -> l = 1 } }
inline unlock(l) { l = 0 }

inline be_preempted() {
	lock(run_queue);
	waiting = 1;
	saving = 1;
	saving = 0;
	on_cpu = 0;
	unlock(run_queue);
	atomic { waiting && run_queue == 0 ->		/* picked again, here or elsewhere */
		assert(on_cpu == 0);
		waiting = 0;
		on_cpu = 1 }
}

active proctype sleeper() {
	bit seen;

	do
	:: taken == ROUNDS -> break
	:: else ->
		do
		::
#ifdef M3
		   if
		   :: condition -> break
		   :: else
		   fi;
		   blocked = 1;
#else
		   blocked = 1;				/* thread_set_state: full barrier */
		   if
		   :: be_preempted()
		   :: skip
		   fi;
		   if
		   :: condition -> break
		   :: else
		   fi;
#endif
#ifdef M4
		   seen = blocked;
		   lock(run_queue);
#else
		   lock(run_queue);			/* schedule() */
		   seen = blocked;
#endif
		   if
		   :: seen ->
			queued = 0;
#ifdef M6
			on_cpu = 0;
			saving = 1;
			unlock(run_queue);
			saving = 0;
#else
			saving = 1;			/* arch_switch */
			saving = 0;
			unlock(run_queue);
			on_cpu = 0;			/* finish_switch on the next thread */
#endif
			atomic { queued == 1 ->		/* picked again, here or elsewhere */
				assert(on_cpu == 0);
				on_cpu = 1 }
		   :: else -> unlock(run_queue)		/* woken before it had left */
		   fi
		od;
		blocked = 0;
		condition = 0;
		taken++
	od
}

active [2] proctype waker() {
	bit still;

	do
	:: taken == ROUNDS -> break
	:: taken < ROUNDS && condition == 0 ->
		condition = 1;
#ifndef M5
		lock(wake_lock);			/* full barrier */
#endif
		if
		:: blocked ->
			still = 0;
			if
			:: queued ->
#ifdef M2
				blocked = 0; still = 1
#else
				lock(run_queue);
				if
				:: queued -> blocked = 0; still = 1
				:: else
				fi;
				unlock(run_queue)
#endif
			:: else
			fi;
			if
			:: still
			:: else ->
				blocked = 0;
#ifndef M1
				on_cpu == 0;		/* waits for the switch */
#endif
				lock(run_queue);
				/* what another CPU picks now must have its context saved */
				assert(queued == 0 && on_cpu == 0 && saving == 0);
				queued = 1;
				unlock(run_queue)
			fi
		:: else
		fi;
#ifndef M5
		unlock(wake_lock)
#else
		skip
#endif
	od
}

active proctype mover() {
	do
	:: taken == ROUNDS -> break
	:: waiting ->
		lock(run_queue);
		if
		:: waiting ->
#ifdef M7
			queued = 0;
			queued = 1
#else
			skip				/* only the queue is another one */
#endif
		:: else
		fi;
		unlock(run_queue)
	od
}
