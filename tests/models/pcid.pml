/*
 * Flushing where the processor keeps translations of what it has not loaded: mm/tlb.c and
 * tlb_slots.h with process-context identifiers.
 *
 * A CPU switches between an address space A, another one B and kernel threads, and unmaps a
 * page of A itself; two others unmap a page of A each, the second with a flush of everything.
 * Follows aspace_switch, load_tagged, tlb_slots_load, flush_here, flush_loaded_here,
 * aspace_flush.  Interrupts are off in a switch.  The CPU may fill its TLB at any time from what
 * is loaded; what it cached of A stays until it is dropped, but is used only while A is loaded.
 *
 * Checked: no translation of a page is used after it was given away.
 *
 * Bound: 6 steps of the CPU, three unmappings.
 *
 * M1  a switch reads the generation before it sets the CPU's bit
 * M2  a flush looks at the CPUs before it moves the generation
 * M3  a flush moves the generation before it clears the entry
 * M4  a flush that comes out of order counts for those before it, too
 * M5  after a flush of everything the generation is read, not before
 * M6  a CPU that lets A go counts that as the flush
 * M7  where no CPU has A loaded the generation does not move
 * M8  a slot that missed flushes is loaded as it is
 */
#define K 0
#define A 1
#define B 2
#define PAGES 3		/* 0 and 1: the others'; 2: the CPU's own */

byte loaded = K;	/* CR3 */
byte noted = K;		/* loaded_aspace */
byte current = K;
bit in_cpus = 0;	/* A->cpus */
byte generation = 0;	/* A->flush_generation */
bit slot_is_a = 0;
byte slot_generation = 0;
bit cached[PAGES];	/* under A's number */
bit present[PAGES];
bit given_away[PAGES];
bit request[2];
bit pending[2];
byte number[2];

inline drop() { cached[0] = 0; cached[1] = 0; cached[2] = 0 }

/* The hardware, and the program. */
inline use_memory() {
	if
	:: loaded == A && present[0] -> cached[0] = 1
	:: loaded == A && present[1] -> cached[1] = 1
	:: loaded == A && present[2] -> cached[2] = 1
	:: loaded == A && cached[0] -> assert(!given_away[0])
	:: loaded == A && cached[1] -> assert(!given_away[1])
	:: loaded == A && cached[2] -> assert(!given_away[2])
	:: else
	fi
}

inline flushed(n) {
	if
#ifdef M4
	:: slot_generation < n -> slot_generation = n
#else
	:: slot_generation + 1 == n -> slot_generation = n
#endif
	:: else
	fi
}

inline flush_here(f) {
	if
	:: noted != A -> skip
	:: noted == A && current != A ->
		loaded = K;
		noted = K;
#ifdef M6
		flushed(number[f]);
#endif
		in_cpus = 0
	:: noted == A && current == A && f == 0 ->
		cached[0] = 0;
		use_memory();
		flushed(number[0])
	:: noted == A && current == A && f == 1 ->
#ifdef M5
		drop();
		use_memory();
		slot_generation = generation
#else
		seen = generation;
		atomic { drop() };
		use_memory();
		slot_generation = seen
#endif
	fi;
	pending[f] = 0
}

inline interrupts() {
	do
	:: atomic { request[0] -> request[0] = 0 }; flush_here(0)
	:: atomic { request[1] -> request[1] = 0 }; flush_here(1)
	:: use_memory(); break
	od
}

inline load_a() {
#ifdef M1
	seen = generation;
	in_cpus = 1;
#else
	in_cpus = 1;
	seen = generation;
#endif
	use_memory();
	atomic {
		if
		:: slot_is_a && slot_generation == seen
#ifdef M8
		:: slot_is_a && slot_generation != seen
#endif
		:: else -> drop()
		fi;
		slot_is_a = 1;
		slot_generation = seen;
		loaded = A
	}
}

/* It may be A's slot that B gets. */
inline load_b() {
	atomic {
		if
		:: slot_is_a = 0; drop()
		:: skip
		fi;
		loaded = B
	}
}

inline aspace_switch(next) {
	if
	:: next == K || next == noted -> skip
	:: next != K && next != noted ->
		old = noted;
		if
		:: next == A -> load_a()
		:: next == B -> load_b()
		fi;
		noted = next;
		use_memory();
		if
		:: old == A -> in_cpus = 0
		:: else
		fi
	fi
}

/* The CPU's own flush, interrupts on: nobody takes the tables away while it runs on them. */
inline unmap_here() {
	present[2] = 0;
	interrupts();
	atomic { generation++; mine = generation };
	interrupts();
	cached[2] = 0;
	interrupts();
	flushed(mine);
	given_away[2] = 1
}

proctype processor() {
	byte steps = 0, old = 0, seen = 0, mine = 0;

	do
	:: interrupts()
	:: steps < 6 ->
		steps++;
		if
		:: current = A; aspace_switch(A)
		:: current = B; aspace_switch(B)
		:: current = K; aspace_switch(K)
		:: current == A && noted == A && present[2] -> unmap_here()
		fi
	:: steps == 6 && given_away[0] && given_away[1] -> break
	od
}

proctype flusher(byte f) {
	bit mask;

#ifdef M3
	atomic { generation++; number[f] = generation };
	present[f] = 0;
	mask = in_cpus;
#else
	present[f] = 0;
#ifdef M2
	mask = in_cpus;
	atomic { generation++; number[f] = generation };
#else
#ifdef M7
	if
	:: in_cpus -> atomic { generation++; number[f] = generation }
	:: else
	fi;
#else
	atomic { generation++; number[f] = generation };
#endif
	mask = in_cpus;
#endif
#endif
	if
	:: mask -> pending[f] = 1; request[f] = 1; !pending[f]
	:: else
	fi;
	given_away[f] = 1
}

init {
	atomic {
		present[0] = 1;
		present[1] = 1;
		present[2] = 1;
		run processor();
		run flusher(0);
		run flusher(1)
	}
}
