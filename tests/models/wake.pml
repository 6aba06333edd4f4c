/*
 * Sleep and wake-up of core/sched.c and core/wait.c: a sleeper sets its state
 * and then looks at the condition; a waker changes the condition and then looks
 * at the state, under the thread's wake lock; the switch takes the sleeper off
 * its run queue and clears on_cpu later, and the waker waits for that before it
 * queues the thread on another CPU.
 *
 * Checked: the sleeper always gets through (no invalid end state), it is never
 * on a run queue twice, and never runs while its context is still live elsewhere.
 *
 *	spin -a wake.pml && cc -O2 -DSAFETY -o pan pan.c && ./pan
 */
#define ROUNDS 2

bit condition = 0;
bit blocked = 0;	/* state != RUNNABLE */
bit queued = 1;		/* on a run queue, running included */
bit on_cpu = 1;
bit wake_lock = 0;
bit run_queue = 0;
byte taken = 0;

inline lock(l) { atomic { l == 0 -> l = 1 } }
inline unlock(l) { l = 0 }

active proctype sleeper() {
	do
	:: taken == ROUNDS -> break
	:: else ->
		do
		:: blocked = 1;				/* thread_set_state: full barrier */
		   if
		   :: condition -> break
		   :: else
		   fi;
		   lock(run_queue);			/* schedule() */
		   if
		   :: blocked ->
			queued = 0;
			unlock(run_queue);
			on_cpu = 0;			/* finish_switch on the next thread */
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
		lock(wake_lock);			/* full barrier */
		if
		:: blocked ->
			still = 0;
			if
			:: queued ->
				lock(run_queue);
				if
				:: queued -> blocked = 0; still = 1
				:: else
				fi;
				unlock(run_queue)
			:: else
			fi;
			if
			:: still
			:: else ->
				blocked = 0;
				on_cpu == 0;		/* waits for the switch */
				lock(run_queue);
				/* what another CPU picks now must have its context saved */
				assert(queued == 0 && on_cpu == 0);
				queued = 1;
				unlock(run_queue)
			fi
		:: else
		fi;
		unlock(wake_lock)
	od
}
