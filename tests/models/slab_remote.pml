/*
 * Slab caches on several nodes: the third array of a CPU, of mm/slab.c.
 *
 * CPU c is of node c; node 2 has memory and no CPU.  A CPU's first array holds objects of its own node, the
 * remote one those that it freed of others, each known by its owner; slabs are a number of free objects a
 * node.  Follows the remote part of slab_free_now_inline, free_slow, free_remote, sheaf_return,
 * free_to_slab, cache_flush_cpus.  What else the arrays do is in slab.pml.  Preemption off is a lock of
 * the CPU; between two such stretches a thread may come to another CPU.  Loads and stores of a count are
 * steps of their own.  An array may fail to be made.
 *
 * Checked: an object goes to slabs of its owner, under that barn's lock; the first array has only the node's
 * own, the remote one only others'; no array overflows; in the end every node has all of its objects.
 *
 * Bound: 2 threads that free an object of node 2 and one of node 0 or 1; a handler that frees one;
 * arrays of 2; 8 objects: CPU 0 has freed two of others before, CPU 1 one of its own.
 *
 * M1  free_slow believes what the quick path saw on another CPU
 * M2  an interrupt handler uses the remote array
 * M3  sheaf_return gives all to the barn of the first object
 * M4  sheaf_return does not take the barn's lock
 * M5  free_remote does not look whether the array is full
 * M6  sheaf_return leaves the array empty after the first barn
 * M7  sheaf_return runs with preemption on
 * M8  sheaf_return keeps the lock of the first barn for all
 */
#define CPUS 2
#define NODES 3
#define CAPACITY 2
#define NOBODY 255

byte own[CPUS];		/* objects in the first array */
byte count[CPUS];		/* in the remote one */
byte capacity[CPUS];		/* of the remote one: 0 until it is made */
byte owner[CPUS * CAPACITY];	/* of the objects in it */
byte slabs[NODES];
byte locked_by[NODES] = NOBODY;
bit preempt_off[CPUS];
byte running = 0;

inline lock(barn) { atomic { locked_by[barn] == NOBODY -> locked_by[barn] = _pid } }
inline unlock(barn) { locked_by[barn] = NOBODY }

inline enter() {
	if
	:: atomic { !preempt_off[0] -> preempt_off[0] = 1; c = 0 }
	:: atomic { !preempt_off[1] -> preempt_off[1] = 1; c = 1 }
	fi
}
inline leave() { preempt_off[c] = 0 }

/* slab_give */
inline give(barn, whose) {
#ifndef M4
	assert(locked_by[barn] == _pid);
#endif
	assert(whose == barn);
	n = slabs[barn];
	slabs[barn] = n + 1
}

inline free_to_slab(whose) {
	lock(whose);
	give(whose, whose);
	unlock(whose)
}

inline sheaf_return() {
#ifdef M8
	b = owner[c * CAPACITY];
	lock(b);
#endif
	do
	:: count[c] == 0 -> break
	:: else ->
#ifndef M8
		b = owner[c * CAPACITY];
#ifndef M4
		lock(b);
#endif
#endif
		left = 0;
		i = 0;
		do
		:: i == count[c] -> break
		:: i < count[c] ->
			o = owner[c * CAPACITY + i];
			if
#ifdef M3
			:: 1 -> give(b, o)
#else
#ifdef M8
			:: 1 -> give(o, o)
#else
			:: o == b -> give(b, o)
			:: else ->
				owner[c * CAPACITY + left] = o;
				left++
#endif
#endif
			fi;
			i++
		od;
#ifdef M6
		left = 0;
#endif
		count[c] = left;
#ifndef M8
#ifndef M4
		unlock(b)
#endif
#endif
	od;
#ifdef M8
	unlock(b)
#endif
}

inline free_remote(what) {
	assert(what != c);
	if
	:: capacity[c] == 0 -> capacity[c] = CAPACITY
	:: capacity[c] == 0		/* no memory */
	:: capacity[c] != 0
	fi;
#ifndef M5
	if
	:: capacity[c] != 0 && count[c] == capacity[c] ->
#ifdef M7
		leave();
		sheaf_return();
		enter_again()
#else
		sheaf_return()
#endif
	:: else
	fi;
#endif
	if
#ifndef M5
	:: count[c] < capacity[c] ->
#else
	:: capacity[c] != 0 ->
#endif
		n = count[c];
		assert(n < CAPACITY);
		owner[c * CAPACITY + n] = what;
		count[c] = n + 1
	:: else -> free_to_slab(what)
	fi
}

inline enter_again() { atomic { !preempt_off[c] -> preempt_off[c] = 1 } }

inline free_local(what) {
	assert(what == c);
	if
	:: own[c] < CAPACITY ->
		n = own[c];
		own[c] = n + 1
	:: else -> free_to_slab(what)
	fi
}

/* slab_free_now_inline misses for another node's object, or a full array; then free_slow. */
inline release(what) {
	enter();
	if
	:: what == c && own[c] < CAPACITY ->
		n = own[c];
		own[c] = n + 1;
		leave()
	:: else ->
		remote = (what != c);
		leave();
		enter();
#ifndef M1
		remote = (what != c);
#endif
		if
		:: remote -> free_remote(what)
		:: else -> free_local(what)
		fi;
		leave()
	fi
}

proctype thread(byte other) {
	byte have[NODES] = 0;
	byte c = 0, n = 0, b = 0, i = 0, o = 0, left = 0, what = 0;
	bit remote = 0;

	d_step {
		have[other] = 1;
		have[2] = 1
	};
	do
	:: have[0] > 0 -> have[0] = have[0] - 1; what = 0; release(what)
	:: have[1] > 0 -> have[1] = have[1] - 1; what = 1; release(what)
	:: have[2] > 0 -> have[2] = have[2] - 1; what = 2; release(what)
	:: have[0] + have[1] + have[2] == 0 -> break
	od;
	atomic { running-- }
}

/* A handler on any CPU at any time: one object of node 2. */
proctype interrupt() {
	byte c = 0, n = 0;

#ifdef M2
	if
	:: c = 0
	:: c = 1
	fi;
	if
	:: count[c] < capacity[c] ->
		n = count[c];
		assert(n < CAPACITY);
		owner[c * CAPACITY + n] = 2;
		count[c] = n + 1
	:: else -> free_to_slab(2)
	fi;
#else
	free_to_slab(2);
#endif
	atomic { running-- }
}

init {
	byte c = 0, n = 0, b = 0, i = 0, o = 0, left = 0;

	atomic {
		own[1] = 1;		/* of before */
		capacity[0] = CAPACITY;
		count[0] = CAPACITY;
		owner[0] = 1;
		owner[1] = 2;
		running = 3;
		run thread(1);
		run thread(0);
		run interrupt()
	}
	running == 0;
	/* cache_flush_cpus */
	sheaf_return();
	c = 1;
	sheaf_return();
	assert(slabs[0] + own[0] == 1 && slabs[1] + own[1] == 3 && slabs[2] == 4)
}
