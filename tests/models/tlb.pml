/*
 * TLB shoot-down: mm/tlb.c with cpu_call_mask of arch/x86_64/smp.c.
 *
 * Two CPUs switch between an address space A, another one B and kernel threads, which
 * keep what is loaded; a third unmaps a page of A, has the others forget it, and gives
 * it away.  Follows aspace_switch, flush_here, load_kernel_table, aspace_flush,
 * without process-context identifiers; with them: pcid.pml.
 * Interrupts are off in a switch; a CPU that has A loaded may fill its TLB at any time.
 *
 * Checked: no CPU uses a translation of the page after it was given away, also not by
 * speculation on a CPU that only keeps A loaded.  A program runs on its own tables.
 * The flusher gets its answers.
 *
 * Bound: 4 switches on each CPU, one unmapping.
 *
 * M1  a switch sets the CPU's bit after it has loaded the table
 * M2  a switch clears the old bit before it has loaded the new table
 * M3  the flusher looks at the CPUs before it clears the entry
 * M4  a CPU that keeps A loaded for a kernel thread takes the request for done
 * M5  the flusher does not wait for the answers
 * M6  load_kernel_table clears the bit and keeps the table
 * M7  letting A go is not noted: a switch back does not load it
 */
#define K 0
#define A 1
#define B 2

byte loaded[2];		/* CR3 */
byte noted[2];		/* loaded_aspace */
byte current[2];	/* address space of the running thread; K: a kernel thread */
bit in_cpus[2];		/* A->cpus */
bit cached[2];		/* the page is in the CPU's TLB */
bit present = 1;	/* the page-table entry */
bit given_away = 0;
bit request[2];
bit pending[2];
byte done = 0;

/* The hardware, and the program. */
inline use_memory() {
	if
	:: loaded[me] == A && present -> cached[me] = 1
	:: loaded[me] == A && cached[me] -> assert(!given_away)
	:: else
	fi
}

inline load(what) { atomic { loaded[me] = what; cached[me] = 0 } }

inline load_kernel_table() {
#ifndef M6
	load(K);
#endif
	noted[me] = K;
	in_cpus[me] = 0
}

inline flush_here() {
	if
	:: noted[me] != A -> skip
	:: noted[me] == A && current[me] != A ->
#ifndef M4
#ifdef M7
		load(K);
		in_cpus[me] = 0
#else
		load_kernel_table()
#endif
#else
		skip
#endif
	:: noted[me] == A && current[me] == A -> cached[me] = 0
	fi;
	pending[me] = 0
}

inline aspace_switch(next) {
	if
	:: next == K || next == noted[me] -> skip
	:: next != K && next != noted[me] ->
		old = noted[me];
#ifdef M2
		if
		:: old == A -> in_cpus[me] = 0
		:: else
		fi;
		use_memory();
#endif
#ifdef M1
		load(next);
		use_memory();
#endif
		if
		:: next == A -> in_cpus[me] = 1
		:: else
		fi;
#ifndef M1
		load(next);
#endif
		noted[me] = next;
		use_memory();		/* speculation; interrupts are off */
		if
		:: old == A -> in_cpus[me] = 0
		:: else
		fi
	fi
}

proctype processor(byte me) {
	byte steps = 0, old = 0;

	do
	:: assert(current[me] == K || loaded[me] == current[me]); use_memory()
	:: atomic { request[me] -> request[me] = 0 }; flush_here()
	:: steps < 4 ->
		steps++;
		if	/* this_thread is written first, then the tables: interrupts are off */
		:: current[me] = A; aspace_switch(A)
		:: current[me] = B; aspace_switch(B)
		:: current[me] = K; aspace_switch(K)
		fi
	:: steps == 4 && done -> break
	od
}

proctype flusher() {
	bit mask[2];

#ifdef M3
	mask[0] = in_cpus[0];
	mask[1] = in_cpus[1];
	present = 0;
#else
	present = 0;			/* full barrier: then the look */
	mask[0] = in_cpus[0];
	mask[1] = in_cpus[1];
#endif
	pending[0] = mask[0];
	pending[1] = mask[1];
	if
	:: mask[0] -> request[0] = 1
	:: else
	fi;
	if
	:: mask[1] -> request[1] = 1
	:: else
	fi;
#ifndef M5
	!pending[0] && !pending[1];
#endif
	given_away = 1;
	done = 1
}

init {
	atomic {
		run processor(0);
		run processor(1);
		run flusher()
	}
}
