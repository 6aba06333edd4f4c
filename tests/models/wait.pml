/*
 * Wait queues of core/wait.c: exclusive waiters, wake_one, and a waiter that is
 * interrupted; the records lie on the waiters' stacks.
 *
 * Follows wait_once (wait_on with a mutex), is_off_queue,
 * wake_up, wake_locked and unlink_woken.  thread_wake is one step here: it makes a
 * sleeping thread runnable and says whether it did (its own model: wake.pml).
 *
 * Checked: a record is not looked at once its owner has left; no exclusive wake-up
 * is lost: consumers wait for tokens, and when nothing moves any more nobody sleeps
 * beside a token, although consumer 0 may be interrupted and give up.
 *
 * Bound: 2 consumers of one token each, a producer of one or two, one signal.
 *
 * M1  wake_one stops at a thread that is up already
 * M2  the waker takes the record off the queue before it wakes the thread
 * M3  who was woken and then interrupted reports the interruption
 * M4  a waiter leaves without the lock although it is on the queue
 * M5  the mutex is released before the waiter is on the queue
 * M6  the producer wakes before there is a token
 * M8  the state is set after the mutex is released
 * M7  the state is set before the waiter is on the queue, and cleared by a wake-up of before
 */
#define N 2

byte tokens = 0;
bit mutex = 0;
bit queue_lock = 0;
bit linked[N];
bit asleep[N];
bit woken[N];
bit alive[N];		/* the record exists */
bit signalled = 0;	/* consumer 0 */
bit drain = 0;		/* the end of the test */
byte order[N];
byte length = 0;

inline lock(l) { atomic { l == 0 -> l = 1 } }
inline unlock(l) { l = 0 }

inline enqueue(who) {
	d_step { woken[who] = 0; order[length] = who; length++; linked[who] = 1 }
}

/* d_step: the list is only changed under its lock. */
inline unlink(who) {
	d_step {
		if
		:: length == 2 && order[0] == who -> order[0] = order[1]
		:: else
		fi;
		length--;
		linked[who] = 0
	}
}

inline wait_once() {
	alive[me] = 1;
	linked[me] = 0;
#ifdef M5
	unlock(mutex);
#endif
#ifdef M7
	asleep[me] = 1;
	unlock(mutex);
	lock(queue_lock);
	enqueue(me);
	unlock(queue_lock);
	lock(mutex);
#else
	lock(queue_lock);
	enqueue(me);
	unlock(queue_lock);
#ifdef M8
	unlock(mutex);
	asleep[me] = 1;
#else
	asleep[me] = 1;
#endif
#endif
#ifndef M5
#ifndef M8
	unlock(mutex);
#endif
#endif
	if				/* thread_block, unless a signal is there */
	:: asleep[me] == 0
	:: me == 0 && signalled -> skip
	fi;
	asleep[me] = 0;
#ifndef M4
	if
	:: linked[me] ->
		lock(queue_lock);
		if
		:: linked[me] -> unlink(me)
		:: else
		fi;
		unlock(queue_lock)
	:: else
	fi;
#endif
	was_woken = woken[me];
	alive[me] = 0;
	lock(mutex)
}

proctype consumer(byte me) {
	bit was_woken = 0;

	lock(mutex);
	do
	:: tokens > 0 -> tokens--; break
	:: tokens == 0 && drain -> break
	:: tokens == 0 && !drain ->
		wait_once();
		if
#ifdef M3
		:: me == 0 && signalled -> break
		:: !(me == 0 && signalled) -> skip
#else
		:: was_woken -> skip
		:: !was_woken && me == 0 && signalled -> break
		:: !was_woken && !(me == 0 && signalled) -> skip
#endif
		fi
	od;
	unlock(mutex)
}

inline wake_one() {
	if
	:: length == 0			/* wait_queue_is_active */
	:: length > 0 ->
		lock(queue_lock);
		i = 0;
		do
		:: i >= length -> break
		:: i < length ->
			who = order[i];
			assert(alive[who]);
#ifdef M2
			unlink(who);
			assert(alive[who]);
			woken[who] = 1;
			asleep[who] = 0;
			break;
#endif
			woken[who] = 1;
			atomic { took = asleep[who]; asleep[who] = 0 };
#ifdef M1
			if
			:: !took -> woken[who] = 0; break
			:: else
			fi;
#endif
			if
			:: took ->
				assert(alive[who]);
				unlink(who);
				break
			:: !took ->
				assert(alive[who]);
				woken[who] = 0;
				i++
			fi
		od;
		unlock(queue_lock)
	fi
}

proctype producer() {
	byte i, who, round = 0;
	bit took;

	do
	:: round > 0 -> break
	:: round < 2 ->
		round++;
#ifdef M6
		wake_one();
#endif
		lock(mutex);
		tokens++;
		unlock(mutex);
#ifndef M6
		wake_one()
#endif
	od
}

/* A signal wakes whoever sleeps interruptibly, queue or not. */
proctype signal() {
	signalled = 1;
	asleep[0] = 0
}

/* When nothing moves any more. */
proctype checker() {
	timeout;
	assert(tokens == 0 || (!asleep[0] && !asleep[1]));
	drain = 1;
	asleep[0] = 0;
	asleep[1] = 0
}

init {
	atomic {
		run checker();
		run consumer(0);
		run consumer(1);
		run producer();
		run signal()
	}
}
