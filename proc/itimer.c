/*
 * Interval timers and limits of CPU time: setitimer(2), RLIMIT_CPU, RLIMIT_RTTIME.
 *
 * ITIMER_REAL is a timer of core.  With an interval it is armed again as its
 * signal is taken, so that no interval, however short, keeps the machine busy;
 * a process that ignores SIGALRM hears of it once.  The handlers' lock covers
 * the interval and the arming.  The others count CPU time: while a process
 * has one of them, its threads look at each tick (thread.wants_tick), on the
 * way to user mode, whether the process has used up what was set.  A tick is
 * 4 ms, which is as exact as Linux without high-resolution accounting is.
 */
#include "internal.h"

#include <linux/resource.h>
#include <linux/sched.h>
#include <linux/time.h>

/* One change at a time, of any process: changes are rare. */
static struct mutex itimer_lock = MUTEX_INIT(RANK_NONE);

static u64 real_timer_fired(struct timer *timer, u64 now_ns)
{
	(void)now_ns;
	signal_send_process(container_of(timer, struct process, real_timer), SIGALRM, NULL);
	return 0;
}

static u64 add_time(u64 a, u64 b)
{
	return b < TIME_NEVER - 1 - a ? a + b : TIME_NEVER - 1;
}

/* The process takes SIGALRM: the next period begins.  Handlers locked. */
void itimer_delivered(struct process *p)
{
	u64 interval = p->real_interval_ns, now, next;

	if (!interval || timer_is_pending(&p->real_timer))
		return;
	now = clock_monotonic_ns();
	next = add_time(p->real_timer.deadline_ns, interval);
	/* Periods that were missed are skipped: SIGALRM does not queue. */
	if (next <= now)
		next += (now - next + interval) / interval * interval;
	timer_start(&p->real_timer, next);
}

static void set_real_interval(struct process *p, u64 interval_ns)
{
	u64 flags;
	struct signal_handlers *h = process_lock_signals(p, &flags);

	p->real_interval_ns = interval_ns;
	process_unlock_signals(h, flags);
}

static void set_real(struct process *p, const struct timer_setting *new)
{
	u64 flags;
	struct signal_handlers *h;

	set_real_interval(p, 0); /* a signal taken meanwhile arms nothing */
	timer_cancel_sync(&p->real_timer);
	if (!new->value_ns)
		return;
	h = process_lock_signals(p, &flags);
	p->real_interval_ns = new->interval_ns;
	timer_start(&p->real_timer, add_time(clock_monotonic_ns(), new->value_ns));
	process_unlock_signals(h, flags);
}

void itimer_init(struct process *p)
{
	timer_init(&p->real_timer, real_timer_fired);
}

void itimer_exit(struct process *p)
{
	set_real_interval(p, 0);
	timer_cancel_sync(&p->real_timer);
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

	scoped_mutex(&itimer_lock);
	get_locked(p, which, old);
	if (which == ITIMER_REAL) {
		set_real(p, new);
		return;
	}
	u64 *interval, *target = cpu_target(p, which, &interval);

	*interval = new->interval_ns;
	*target = new->value_ns ? add_time(cpu_time_for(p, which), new->value_ns) : 0;
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
		*target = add_time(*target, ((now - *target) / *interval + 1) * *interval);
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

/*
 * RLIMIT_RTTIME: CPU time that a real-time thread uses without sleeping, as its ticks see it: SIGXCPU
 * each second past the soft limit, SIGKILL at the hard one (setrlimit(2)).
 */
static bool check_realtime_limit(struct task *t)
{
	struct rlimit_pair *l = &t->process->limits[RLIMIT_RTTIME];
	u64 now, used_us, slept = t->thread.nr_switches_voluntary + 1;
	int policy = t->thread.params.policy;

	if (l->current == RLIM_INFINITY) {
		t->awake_switches = 0; /* what is used without a limit does not count */
		return false;
	}
	now = thread_cpu_time_ns(&t->thread);
	if ((policy != SCHED_FIFO && policy != SCHED_RR) || slept != t->awake_switches) {
		t->awake_switches = slept;
		t->awake_since_ns = now;
		return true;
	}
	used_us = (now - t->awake_since_ns) / NSEC_PER_USEC;
	if (used_us >= l->max) {
		signal_send_process(t->process, SIGKILL, NULL);
	} else if (used_us >= l->current) {
		signal_send_process(t->process, SIGXCPU, NULL);
		l->current = min(l->max, l->current + NSEC_PER_SEC / NSEC_PER_USEC);
	}
	return true;
}

bool cpu_limits_are_set(const struct process *p)
{
	return p->limits[RLIMIT_CPU].current != RLIM_INFINITY ||
	       p->limits[RLIMIT_RTTIME].current != RLIM_INFINITY;
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
	more |= check_realtime_limit(t);
	more |= posix_timers_check_cpu(p);
	if (more)
		return;
	cpu_timers_want(p, false);
	/* A timer that was set meanwhile must not be forgotten. */
	if (posix_timers_check_cpu(p))
		cpu_timers_want(p, true);
}
