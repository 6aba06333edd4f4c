/*
 * The grace period of core/rcu.c: the starter publishes the map of CPUs, then
 * leaves out those whose counter is even (idle); a busy CPU clears its bit when
 * it is quiescent; one that goes idle makes its counter even and then looks at
 * its bit; an interrupt on an idle CPU may read.
 *
 * Checked: an object is not freed while a reader that could have found it still
 * reads; a grace period ends although CPUs idle for ever (no invalid end state).
 *
 *	spin -a rcu.pml && cc -O2 -DSAFETY -o pan pan.c && ./pan -m100000
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
	skip;
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
		   note(me);
		   if
		   :: active_odd[me] = 1;	/* an interrupt that reads */
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
		note(me);
		break
	od
}

init {
	byte i;

	atomic {
		for (i : 0 .. CPUS - 1) {
			active_odd[i] = 1;
			run cpu(i)
		}
	}
	published = 0;				/* the updater unlinks the object */
	lock();					/* grace_period_start */
	for (i : 0 .. CPUS - 1) {
		waiting[i] = 1
	}
	for (i : 0 .. CPUS - 1) {
		if
		:: !active_odd[i] -> waiting[i] = 0
		:: else
		fi
	}
	unlock();
	!waiting[0] && !waiting[1];		/* grace_period_wait */
	freed = 1
}
