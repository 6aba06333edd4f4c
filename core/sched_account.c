/*
 * CPU time and load.
 *
 * A thread's run time is exact: the clock is read at each switch.  How it
 * divides into user and system time is sampled by the tick, because reading
 * the clock at each entry would cost more than the entry; the exact sum is
 * split in the proportion of the samples, and never runs backwards.
 */
#include "sched.h"

#include <nos/string.h>

#define LOAD_SHIFT 11
#define LOAD_PERIOD_NS ((u64)(5 * NSEC_PER_SEC))

/* e^(−5 s / 1, 5, 15 min) with 11 bits of fraction. */
static const u32 load_decay[3] = { 1884, 2014, 2037 };
static u32 load_average[3];
static u64 load_next_ns;
static struct spinlock load_lock = SPINLOCK_INIT(RANK_NONE);

/* In a tick, the run queue locked. */
void sched_account_tick(struct run_queue *rq, bool user)
{
	struct thread *t = rq->current;

	if (t == rq->idle)
		return;
	if (user) {
		t->user_ticks++;
		if (t->params.nice > 0)
			rq->times.nice_ns += TICK_NS;
		else
			rq->times.user_ns += TICK_NS;
	} else {
		t->system_ticks++;
		rq->times.system_ns += TICK_NS;
	}
}

u64 thread_cpu_time_ns(const struct thread *t)
{
	u64 flags;
	struct run_queue *rq = run_queue_lock_of(t, &flags);
	u64 sum = t->sched.sum_exec_ns;

	if (rq->current == t)
		sum += clock_monotonic_ns() - t->sched.exec_start_ns;
	run_queue_unlock(rq, flags);
	return sum;
}

/* What was shown last is kept in the thread, so that neither part ever falls. */
void thread_cpu_times(const struct thread *t, u64 *user_ns, u64 *system_ns)
{
	struct thread *shown = (struct thread *)t;
	u64 sum = thread_cpu_time_ns(t);
	u64 ticks = (u64)t->user_ticks + t->system_ticks;
	u64 system;

	if (ticks)
		system = (u64)((unsigned __int128)sum * t->system_ticks / ticks);
	else
		system = t->is_kernel ? sum : 0;
	system = max(system, READ_ONCE(shown->system_time_ns));
	if (sum < system + READ_ONCE(shown->user_time_ns))
		system = sum - min(sum, READ_ONCE(shown->user_time_ns));
	system = max(system, READ_ONCE(shown->system_time_ns));
	WRITE_ONCE(shown->system_time_ns, system);
	WRITE_ONCE(shown->user_time_ns,
		   max(sum - min(sum, system), READ_ONCE(shown->user_time_ns)));
	*user_ns = shown->user_time_ns;
	*system_ns = system;
}

void sched_cpu_times(unsigned cpu, struct cpu_times *out)
{
	struct run_queue *rq = run_queue_of(cpu);
	u64 flags = irq_save();

	raw_spin_lock(&rq->lock);
	*out = rq->times;
	if (rq->current == rq->idle) {
		u64 now = clock_monotonic_ns();

		out->idle_ns += now - min(now, rq->idle_start_ns);
	}
	run_queue_unlock(rq, flags);
}

u64 sched_nr_running(void)
{
	u64 sum = 0;

	for_each_cpu(cpu) sum += READ_ONCE(run_queue_of(cpu)->nr_running);
	return sum;
}

u64 sched_nr_switches(void)
{
	u64 sum = 0;

	for_each_cpu(cpu) sum += READ_ONCE(run_queue_of(cpu)->nr_switches);
	return sum;
}

static u64 nr_active(void)
{
	s64 sum = 0;

	for_each_cpu(cpu) sum += READ_ONCE(run_queue_of(cpu)->nr_uninterruptible);
	return sched_nr_running() + (u64)max(sum, (s64)0);
}

/* Periods in which every CPU idled had no tick: they are made up for, as idle. */
void sched_update_load(u64 now_ns)
{
	if (now_ns < READ_ONCE(load_next_ns) || !spin_try_lock(&load_lock))
		return;
	if (load_next_ns == 0)
		load_next_ns = now_ns + LOAD_PERIOD_NS;

	u64 active = nr_active() << LOAD_SHIFT;
	unsigned missed = 0;

	while (now_ns >= load_next_ns) {
		u64 periods = (now_ns - load_next_ns) / LOAD_PERIOD_NS;
		u64 load = periods ? 0 : active;

		for (unsigned i = 0; i < 3; i++)
			load_average[i] = (u32)((load_average[i] * (u64)load_decay[i] +
						 load * ((1u << LOAD_SHIFT) - load_decay[i])) >>
						LOAD_SHIFT);
		load_next_ns += LOAD_PERIOD_NS;
		if (++missed == 1000) /* all decayed to nothing */
			load_next_ns = now_ns + LOAD_PERIOD_NS;
	}
	spin_unlock(&load_lock);
}

void sched_load_average(u32 out[3])
{
	u64 flags = irq_save();

	sched_update_load(clock_monotonic_ns());
	irq_restore(flags);
	memcpy(out, load_average, sizeof(load_average));
}
