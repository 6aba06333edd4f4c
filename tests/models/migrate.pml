/*
 * How a thread moves between run queues: core/sched.c, sched_place.c, thread.c.
 *
 * Follows schedule, put_previous, finish_switch, place_pushed, thread_place, wake,
 * wake_queued, handoff_place, handoff_cancel, run_queue_lock_of, sched_pull with
 * move_one, thread_set_affinity.
 * Two CPUs, one thread besides the idle ones and the waker; what it does is sleep for
 * a condition, be preempted anywhere, and go on where it is picked.  The waker may put
 * it into the hand-off slot of a CPU, which is then in no switch (interrupts are off).
 *
 * Checked: the thread is on one run queue at most, once; it runs on one CPU at most,
 * with its context saved before; it is only picked where its affinity allows;
 * it gets through its rounds (no lost wake-up).
 *
 * Bound: 2 sleeps, 2 wake-ups, 2 changes of affinity.
 *
 * M1  a thread that had to leave its CPU is placed without its wake lock
 * M2  place_pushed asks whether the thread is queued, not whether it is still its own
 * M3  the pull takes a thread without the other run queue's lock
 * M4  thread_set_affinity takes the running thread off its queue
 * M5  run_queue_lock_of does not look again whose queue it has locked
 * M6  a waker does not wait until the switch away is over
 * M8  a waker that places the thread does not say so to the CPU that pushes it
 * M7  the switch releases the run queue before on_cpu is cleared
 * M9  thread_set_affinity takes the thread off a level though it is in the slot
 * M10 the thread enters the slot without its wake lock
 */
#define ALLOWED(c) ((affinity >> (c)) & 1)
#ifdef M10
#define UNLOCK_EARLY unlock(wake_lock)
#else
#define UNLOCK_EARLY skip
#endif

bit rq_lock[2];
bit wake_lock = 0;
byte on_level[2];	/* how often the thread is in the lists of a CPU */
bit slot[2];		/* rq->handoff is the thread */
bit switching[2];	/* the CPU is in schedule() */
bit running[2];		/* rq->current is the thread */
bit queued = 1;
bit on_cpu = 0;
byte cpu = 0;		/* t->cpu */
byte affinity = 3;
bit move = 0;		/* SPECIAL_MOVE */
byte pushed_by = 0;	/* CPU + 1 that is about to place it */
bit asleep = 0;		/* state != RUNNABLE */
bit condition = 0;
byte rounds = 0;
bit finished = 0;

inline lock(l) { atomic { l == 0 -> l = 1 } }
inline unlock(l) { l = 0 }

/* run_queue_lock_of: at = the CPU whose queue is locked */
inline lock_of(at) {
	do
	:: at = cpu;
	   lock(rq_lock[at]);
#ifdef M5
	   break
#else
	   if
	   :: cpu == at -> break
	   :: else -> unlock(rq_lock[at])
	   fi
#endif
	od
}

inline place(to) {
	if	/* sched_select_cpu */
	:: ALLOWED(0) -> to = 0
	:: ALLOWED(1) -> to = 1
	fi;
	lock(rq_lock[to]);
	assert(!queued && on_level[0] + on_level[1] == 0 && !running[0] && !running[1]);
	assert(!on_cpu);
	cpu = to;
	queued = 1;
	on_level[to]++;
	unlock(rq_lock[to])
}

/* handoff_place: without the run queue's lock, on CPU `to` itself. */
inline hand_off(to) {
	lock(switching[to]);
	if
	:: ALLOWED(to) ->
		assert(!queued && on_level[0] + on_level[1] == 0 && !running[0] && !running[1]);
		assert(!slot[0] && !slot[1]);
		cpu = to;
		queued = 1;
		slot[to] = 1;
		unlock(switching[to])
	:: else ->
		unlock(switching[to]);
		place(to)
	fi
}

/* The thread leaves CPU me: to sleep, to another CPU, or to a level. */
inline schedule(may_sleep) {
	lock(switching[me]);
	lock(rq_lock[me]);
	push = 0;
	if
	:: may_sleep && asleep -> queued = 0; move = 0
	:: !(may_sleep && asleep) && move && !ALLOWED(me) ->
		move = 0; push = 1; pushed_by = me + 1; queued = 0
	:: !(may_sleep && asleep) && !(move && !ALLOWED(me)) -> move = 0; on_level[me]++
	fi;
	running[me] = 0;
#ifdef M7
	unlock(rq_lock[me]);
	on_cpu = 0;
#else
	on_cpu = 0;		/* finish_switch */
	unlock(rq_lock[me]);
#endif
	unlock(switching[me]);
	if
	:: push ->		/* place_pushed */
#ifndef M1
		lock(wake_lock);
#endif
		if
#ifdef M2
		:: !queued -> pushed_by = 0; place(to)
		:: queued -> skip
#else
		:: pushed_by == me + 1 -> pushed_by = 0; place(to)
		:: pushed_by != me + 1 -> skip
#endif
		fi;
#ifndef M1
		unlock(wake_lock)
#endif
	:: else
	fi
}

inline enter() {
	assert(ALLOWED(me));
	assert(!running[0] && !running[1] && !on_cpu && queued);
	running[me] = 1;
	on_cpu = 1
}

inline pick() {
	if
	:: slot[me] -> slot[me] = 0; enter()		/* its waker blocks */
	:: slot[me] -> slot[me] = 0; on_level[me]++	/* handoff_cancel */
	:: !slot[me] && on_level[me] ->
		on_level[me]--;
		enter()
	:: else
	fi
}

inline pull() {
#ifdef M3
	if
	:: on_level[1 - me] && ALLOWED(me) ->
		on_level[1 - me]--;
		cpu = me;
		on_level[me]++
	:: else
	fi
#else
	if
	:: atomic { rq_lock[1 - me] == 0 -> rq_lock[1 - me] = 1 };
	   if
	   :: on_level[1 - me] && ALLOWED(me) ->
		on_level[1 - me]--;
		cpu = me;
		on_level[me]++
	   :: else
	   fi;
	   unlock(rq_lock[1 - me])
	:: skip
	fi
#endif
}

proctype processor(byte me) {
	bit push;
	byte to;

	do
	:: finished -> break
	:: running[me] ->
		if
		:: !asleep && rounds < 2 -> asleep = 1		/* thread_set_state */
		:: !asleep && rounds == 2 -> finished = 1
		:: asleep && condition -> condition = 0; asleep = 0; rounds++
		:: asleep && !condition -> schedule(1)		/* thread_block */
		:: skip -> schedule(0)				/* preempted */
		fi
	:: !running[me] && (on_level[0] || on_level[1] || slot[me]) ->
		lock(switching[me]);
		lock(rq_lock[me]);
		if
		:: on_level[me] == 0 && !slot[me] -> pull()
		:: else
		fi;
		pick();
		unlock(rq_lock[me]);
		unlock(switching[me])
	od
}

proctype waker() {
	byte nr = 0, at, to;
	bit still;

	do
	:: finished || nr == 2 -> break
	:: nr < 2 && !condition && !finished ->
		nr++;
		condition = 1;
		lock(wake_lock);
		if
		:: asleep ->
			still = 0;
			if
			:: queued ->		/* wake_queued */
				lock_of(at);
				if
				:: queued -> asleep = 0; still = 1
				:: else
				fi;
				unlock(rq_lock[at])
			:: else
			fi;
			if
			:: still
			:: else ->
				asleep = 0;
#ifndef M8
				pushed_by = 0;
#endif
#ifndef M6
				!on_cpu;
#endif
				if
				:: place(to)
				:: to = 0; UNLOCK_EARLY; hand_off(to)
				:: to = 1; UNLOCK_EARLY; hand_off(to)
				fi
			fi
		:: else
		fi;
		unlock(wake_lock)
	od
}

proctype mover() {
	byte nr = 0, at, to;
	bit moved;

	do
	:: finished || nr == 2 -> break
	:: nr < 2 ->
		nr++;
		moved = 0;
		lock(wake_lock);
		lock_of(at);
		affinity = nr;		/* CPU 0, then CPU 1 */
		if
		:: queued && !ALLOWED(at) ->
			if
#ifdef M4
			:: running[at] -> running[at] = 0; queued = 0; moved = 1
#else
			:: running[at] -> move = 1
#endif
#ifndef M9
			:: !running[at] && slot[at] ->
				slot[at] = 0;
				queued = 0;
				moved = 1
			:: !running[at] && !slot[at] ->
#else
			:: !running[at] ->
#endif
				assert(on_level[at] == 1);
				on_level[at]--;
				queued = 0;
				moved = 1
			fi
		:: else
		fi;
		unlock(rq_lock[at]);
		if
		:: moved -> place(to)
		:: else
		fi;
		unlock(wake_lock)
	od
}

init {
	atomic {
		on_level[0] = 1;
		run processor(0);
		run processor(1);
		run waker();
		run mover()
	}
}
