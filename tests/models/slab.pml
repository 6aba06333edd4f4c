/*
 * Slab caches in front of their slabs: mm/slab.c.
 *
 * Two CPUs with two arrays ("sheaves") each, the barn, and the slabs as a number of
 * free objects.  Follows slab_alloc, alloc_slow, alloc_refill, slab_free, free_slow,
 * free_make_space, and the way of an interrupt handler (alloc_in_irq, free_to_slab).
 * Preemption off is a lock of the CPU; between two such stretches a thread may come
 * to another CPU.  The quick paths leave preemption on: whoever finds, at the store, that
 * another thread was on the CPU since starts again (core/restart.c), anywhere.  Loads and
 * stores of a count are steps of their own.
 *
 * Checked: no array overflows or is taken from when it is empty; only empty sheaves
 * are in the barn's list of empty ones, only full ones in that of full ones; no
 * object is lost or there twice (their number).
 *
 * Bound: 2 threads with 2 calls each, one interrupt; arrays of 2; 6 objects.
 *
 * M1  alloc_refill does not look again at the array of the CPU where it goes on
 * M2  an interrupt handler uses the arrays
 * M3  the barn is used without the cache's lock
 * M4  free_make_space does not look again at the array of the CPU where it goes on
 * M5  the quick path is not restarted when it was preempted
 * M6  alloc_refill takes from the spare array without looking
 */
#define CAPACITY 2
#define OBJECTS 6
#define BARN_MAX 1

byte main[2], spare[2];
byte nr_full = 0;			/* sheaves in the barn */
byte nr_empty = 0;
byte slabs = OBJECTS;
byte out = 0;			/* objects that someone has */
bit preempt_off[2];
byte ran[2];			/* the thread that was last on the CPU */
bit cache_lock = 0;
byte running = 0;

inline lock_cache() {
#ifndef M3
	atomic { cache_lock == 0 -> cache_lock = 1 }
#else
	skip
#endif
}
inline unlock_cache() { cache_lock = 0 }

/* A thread goes on on any CPU on which no other has preemption off. */
inline enter() {
	if
	:: atomic { !preempt_off[0] -> preempt_off[0] = 1; c = 0; ran[0] = _pid }
	:: atomic { !preempt_off[1] -> preempt_off[1] = 1; c = 1; ran[1] = _pid }
	fi
}
inline start() {
	if
	:: atomic { !preempt_off[0] -> c = 0; ran[0] = _pid }
	:: atomic { !preempt_off[1] -> c = 1; ran[1] = _pid }
	fi
}

/* The quick path's count goes from n to n + `by`, unless it was preempted; then it starts again. */
inline commit(by) {
	if
#ifdef M5
	:: true ->
#else
	:: atomic { ran[c] == _pid ->
#endif
		main[c] = n + by;
		got = 1;
		again = 0
#ifndef M5
	}
	:: ran[c] != _pid -> again = 1
#endif
	fi
}
inline leave() { preempt_off[c] = 0 }

inline pop() {
	n = main[c];
	assert(n > 0 && n <= CAPACITY);
	main[c] = n - 1
}
inline push() {
	n = main[c];
	assert(n < CAPACITY);
	main[c] = n + 1
}

inline refill() {
	if
#ifndef M1
	:: main[c] > 0 -> pop(); got = 1
#endif
#ifdef M6
	:: main[c] == 0 ->
		d_step { n = main[c]; main[c] = spare[c]; spare[c] = n };
		pop(); got = 1
#else
#ifdef M1
	:: spare[c] > 0 ->
#else
	:: main[c] == 0 && spare[c] > 0 ->
#endif
		d_step { n = main[c]; main[c] = spare[c]; spare[c] = n };
		pop(); got = 1
#endif
#ifdef M1
	:: spare[c] == 0 ->
#else
	:: main[c] == 0 && spare[c] == 0 ->
#endif
		lock_cache();
		if
		:: nr_full > 0 ->
			assert(main[c] == 0);	/* it goes among the empty ones */
			n = nr_full;
			nr_full = n - 1;
			n = nr_empty;
			nr_empty = (n < BARN_MAX -> n + 1 : n);
			main[c] = CAPACITY
		:: nr_full == 0 && slabs > 0 ->
			n = slabs;
			slabs = n - 1;
			main[c] = main[c] + 1
		:: else
		fi;
		unlock_cache();
		if
		:: main[c] > 0 -> pop(); got = 1
		:: else
		fi
	fi
}

inline alloc() {
	got = 0;
	again = 1;
	do
	:: again ->
		start();
		n = main[c];
		if
		:: n > 0 -> assert(n <= CAPACITY); commit(-1)
		:: n == 0 -> again = 0
		fi
	:: !again -> break
	od;
	if
	:: got
	:: else -> enter(); refill(); leave()
	fi;
	if
	:: got -> atomic { out++; have++; got = 0 }
	:: else
	fi
}

inline make_space() {
	if
#ifndef M4
	:: main[c] < CAPACITY -> skip
	:: main[c] == CAPACITY && spare[c] < CAPACITY ->
#else
	:: spare[c] < CAPACITY ->
#endif
		d_step { n = main[c]; main[c] = spare[c]; spare[c] = n }
#ifndef M4
	:: main[c] == CAPACITY && spare[c] == CAPACITY ->
#else
	:: spare[c] == CAPACITY ->
#endif
		lock_cache();
		if
		:: nr_full < BARN_MAX ->		/* an empty sheaf of the barn, or a new one */
			assert(main[c] == CAPACITY);
			n = nr_full;
			nr_full = n + 1;
			n = nr_empty;
			nr_empty = (n > 0 -> n - 1 : 0);
			main[c] = 0
		:: else ->			/* the older half goes to the slabs */
			n = slabs;
			slabs = n + 1;
			main[c] = main[c] - 1
		fi;
		unlock_cache()
	fi
}

inline release() {
	atomic { have--; out-- };
	got = 0;
	again = 1;
	do
	:: again ->
		start();
		n = main[c];
		if
		:: n < CAPACITY -> commit(1)
		:: n >= CAPACITY -> again = 0
		fi
	:: !again -> break
	od;
	if
	:: got
	:: else -> enter(); make_space(); push(); leave()
	fi;
	got = 0
}

proctype thread() {
	byte c = 0, n = 0, have = 0, steps = 0;
	bit got = 0, again = 0;

	do
	:: steps == 2 -> break
	:: steps < 2 ->
		steps++;
		if
		:: alloc()
		:: have > 0 -> release()
		fi
	od;
	do
	:: have > 0 -> release()
	:: have == 0 -> break
	od;
	atomic { running-- }
}

/* A handler on any CPU at any time: one object from the slabs, and back. */
proctype interrupt() {
	byte c = 0, n = 0;
	bit got = 0;

#ifdef M2
	if
	:: main[c] > 0 -> pop(); push()
	:: else
	fi;
#else
	lock_cache();
	if
	:: slabs > 0 -> n = slabs; slabs = n - 1; got = 1
	:: else
	fi;
	unlock_cache();
	if
	:: got -> lock_cache(); n = slabs; slabs = n + 1; unlock_cache()
	:: else
	fi;
#endif
	atomic { running-- }
}

init {
	/* CPU 1 has freed a lot: its first array is full, and so is a sheaf in the barn. */
	atomic {
		main[1] = CAPACITY;
		nr_full = 1;
		slabs = OBJECTS - 2 * CAPACITY;
		running = 3;
		run thread();
		run thread();
		run interrupt()
	}
	running == 0;
	assert(main[0] + main[1] + spare[0] + spare[1] + nr_full * CAPACITY + slabs == OBJECTS)
}
