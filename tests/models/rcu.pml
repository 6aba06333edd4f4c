/*
 * The grace period of core/rcu.c: the starter publishes the map of CPUs, then
 * leaves out those whose counter is even (idle); a busy CPU clears its bit when
 * it is quiescent; one that goes idle makes its counter even and then looks at
 * its bit; an interrupt on an idle CPU may read.
 *
 * Checked: an object is not freed while a reader that could have found it still
 * reads; a grace period ends although CPUs idle for ever (no invalid end state).
 *
 * Bound: 2 CPUs, 3 steps each, one grace period.
 *
 * M1  an idle CPU does not look at its bit after its counter is even
 * M2  the starter does not leave idle CPUs out
 * M3  the starter looks at the counters before it publishes the map
 * M4  an interrupt on an idle CPU reads without making the counter odd
 * M5  a tick reports in the middle of a read section
 * M6  the grace period starts before the object is unlinked
 * M7  an idle CPU is left out for a counter seen before the unlink
 */
#define CPUS 2

bit waiting[CPUS];	/* rcu_waiting_map */
bit active_odd[CPUS];	/* rcu_active is odd: not idle */
bit rcu_lock = 0;
bit published = 1;	/* readers can still find the object */
bit freed = 0;
bit ready = 0;

inline lock() { atomic { rcu_lock == 0 -> rcu_lock = 1 } }
inline unlock() { rcu_lock = 0 }

/* rcu_note_switch: reports if the bit is set; the caller is quiescent. */
inline note(cpu) {
	if
	:: waiting[cpu] -> lock(); waiting[cpu] = 0; unlock()
	:: else
	fi
}

inline read_section() {
	found = published;	/* rcu_load */
	assert(!(found && freed));
#ifdef M5
	note(me);
#else
	skip;
#endif
	assert(!(found && freed));
	found = 0
}

proctype cpu(byte me) {
	bit found = 0;
	byte steps = 0;

	do
	:: steps < 3 ->
		steps++;
		if
		:: skip; read_section()
		:: skip; note(me)		/* a switch of threads */
		:: skip; note(me);		/* idle, with interrupts meanwhile */
		   active_odd[me] = 0;
#ifndef M1
		   note(me);
#endif
		   if
#ifdef M4
		   :: skip;
#else
		   :: active_odd[me] = 1;	/* an interrupt that reads */
#endif
		      read_section();
		      active_odd[me] = 0;
		      note(me)
		   :: skip
		   fi;
		   active_odd[me] = 1
		fi
	:: steps == 3 ->			/* idle for ever */
		note(me);
		active_odd[me] = 0;
#ifndef M1
		note(me);
#endif
		break
	od
}

init {
	byte i;
	bit seen[CPUS];

	atomic {
		for (i : 0 .. CPUS - 1) {
			active_odd[i] = 1;
			run cpu(i)
		}
	}
#ifdef M7
	for (i : 0 .. CPUS - 1) {
		seen[i] = active_odd[i]
	}
#endif
#ifndef M6
	published = 0;				/* the updater unlinks the object */
#endif
	lock();					/* grace_period_start */
#ifdef M3
	for (i : 0 .. CPUS - 1) {
		seen[i] = active_odd[i]
	}
#endif
	for (i : 0 .. CPUS - 1) {
		waiting[i] = 1
	}
	for (i : 0 .. CPUS - 1) {
#if !defined(M3) && !defined(M7)
		seen[i] = active_odd[i];
#endif
#ifdef M2
		seen[i] = 1;
#endif
		if
		:: !seen[i] -> waiting[i] = 0
		:: else
		fi
	}
#ifdef M6
	published = 0;
#endif
	unlock();
	!waiting[0] && !waiting[1];		/* grace_period_wait */
	freed = 1
}
