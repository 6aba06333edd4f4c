/*
 * Interval timers and limits of CPU time: setitimer(2), RLIMIT_CPU.
 *
 * ITIMER_REAL is a timer of core.  The others count CPU time: while a process
 * has one of them, its threads look at each tick (thread.wants_tick), on the
 * way to user mode, whether the process has used up what was set.  A tick is
 * 4 ms, which is as exact as Linux without high-resolution accounting is.
 */
#include "internal.h"

#include <linux/resource.h>
#include <linux/time.h>

/* One change at a time, of any process: changes are rare. */
static struct mutex itimer_lock = MUTEX_INIT(RANK_NONE);

static u64 real_timer_fired(struct timer *timer, u64 now_ns)
{
	struct process *p = container_of(timer, struct process, real_timer);
	u64 interval = READ_ONCE(p->real_interval_ns), next;

	signal_send_process(p, SIGALRM, NULL);
	if (!interval)
		return 0;
	next = timer->deadline_ns + interval;
	/* Periods that were missed are skipped: SIGALRM does not queue. */
	if (next <= now_ns)
		next += div_round_up(now_ns - next + 1, interval) * interval;
	return next;
}

void itimer_init(struct process *p)
{
	timer_init(&p->real_timer, real_timer_fired);
}

void itimer_exit(struct process *p)
{
	timer_cancel_sync(&p->real_timer);
	p->real_interval_ns = 0;
}

/* Makes all threads of p look at each tick from now on, or lets them stop. */
void cpu_timers_want(struct process *p, bool want)
{
	struct task *t;
	scoped_spin_irq(&task_list_lock);

	p->cpu_timers = want;
	list_for_each(t, &p->threads, thread_node)
		WRITE_ONCE(t->thread.wants_tick, want);
}

static u64 cpu_time_for(struct process *p, int which)
{
	u64 user_ns, system_ns;

	process_cpu_times(p, &user_ns, &system_ns);
	return which == ITIMER_VIRTUAL ? user_ns : user_ns + system_ns;
}

/* virtual_left_ns and prof_left_ns hold the CPU time at which they fire, 0 = off. */
static u64 *cpu_target(struct process *p, int which, u64 **interval)
{
	*interval = which == ITIMER_VIRTUAL ? &p->virtual_interval_ns : &p->prof_interval_ns;
	return which == ITIMER_VIRTUAL ? &p->virtual_left_ns : &p->prof_left_ns;
}

static void get_locked(struct process *p, int which, struct timer_setting *s)
{
	u64 *interval, *target, now;

	if (which == ITIMER_REAL) {
		u64 deadline = timer_is_pending(&p->real_timer) ? p->real_timer.deadline_ns : 0;

		now = clock_monotonic_ns();
		s->interval_ns = p->real_interval_ns;
		s->value_ns = !deadline ? 0 : deadline > now ? deadline - now : 1;
		return;
	}
	target = cpu_target(p, which, &interval);
	now = *target ? cpu_time_for(p, which) : 0;
	s->interval_ns = *interval;
	s->value_ns = !*target ? 0 : *target > now ? *target - now : 1;
}

void itimer_get(int which, struct timer_setting *s)
{
	scoped_mutex(&itimer_lock);

	get_locked(process_current(), which, s);
}

void itimer_set(int which, const struct timer_setting *new, struct timer_setting *old)
{
	struct process *p = process_current();
	u64 now;

	scoped_mutex(&itimer_lock);
	get_locked(p, which, old);
	if (which == ITIMER_REAL) {
		timer_cancel_sync(&p->real_timer);
		p->real_interval_ns = new->value_ns ? new->interval_ns : 0;
		now = clock_monotonic_ns();
		if (new->value_ns)
			timer_start(&p->real_timer, new->value_ns < TIME_NEVER - 1 - now ?
							    now + new->value_ns :
							    TIME_NEVER - 1);
		return;
	}
	u64 *interval, *target = cpu_target(p, which, &interval);

	*interval = new->interval_ns;
	*target = new->value_ns ? cpu_time_for(p, which) + new->value_ns : 0;
	if (*target)
		cpu_timers_want(p, true);
}

static bool check_interval(struct process *p, int which, int signo)
{
	u64 *interval, *target = cpu_target(p, which, &interval), now;

	if (!*target)
		return false;
	now = cpu_time_for(p, which);
	if (now < *target)
		return true;
	if (*interval)
		*target += div_round_up(now - *target + 1, *interval) * *interval;
	else
		*target = 0;
	signal_send_process(p, signo, NULL);
	return *target != 0;
}

/* RLIMIT_CPU: SIGXCPU each second past the soft limit, SIGKILL at the hard one (setrlimit(2)). */
static bool check_limit(struct process *p)
{
	struct rlimit_pair *l = &p->limits[RLIMIT_CPU];
	u64 seconds;

	if (l->current == RLIM_INFINITY)
		return false;
	seconds = cpu_time_for(p, ITIMER_PROF) / NSEC_PER_SEC;
	if (seconds >= l->max) {
		signal_send_process(p, SIGKILL, NULL);
	} else if (seconds >= l->current) {
		signal_send_process(p, SIGXCPU, NULL);
		/* The next one a second later. */
		l->current = min(l->max, seconds + 1);
	}
	return true;
}

void cpu_timers_check(struct task *t)
{
	struct process *p = t->process;
	bool more;

	if (!READ_ONCE(p->cpu_timers))
		return;
	scoped_mutex(&itimer_lock);
	more = check_interval(p, ITIMER_VIRTUAL, SIGVTALRM);
	more |= check_interval(p, ITIMER_PROF, SIGPROF);
	more |= check_limit(p);
	more |= posix_timers_check_cpu(p);
	if (more)
		return;
	cpu_timers_want(p, false);
	/* A timer that was set meanwhile must not be forgotten. */
	if (posix_timers_check_cpu(p))
		cpu_timers_want(p, true);
}
