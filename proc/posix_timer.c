/*
 * POSIX timers: timer_create(2) and its family; clocks of CPU time.
 *
 * Concepts.  A timer belongs to a process.  It counts on a clock: real ones
 * are timers of core, those of CPU time are looked at by the ticks of their
 * process (itimer.c).  When it expires it puts its own, preallocated, entry
 * into a signal queue, so that an expiry is never lost for want of memory.
 *
 * Invariants.
 *   (1) the entry is in at most one queue; a timer that is deleted takes it
 *       out first, under the handlers' lock;
 *   (2) a periodic timer whose signal is queued is not armed: it is armed
 *       again as the signal is taken, and what it missed is its overrun.  So no
 *       interval, however short, can keep the machine busy.
 *
 * Locking.  The mutex of the process's timers: list and settings.  The
 * handlers' lock: entry, overrun, rearming; taken by the expiry in the timer
 * interrupt.
 *
 * Absolute times of CLOCK_REALTIME follow the steps of that clock; spans of time
 * are measured on CLOCK_MONOTONIC.
 */
#include "internal.h"

#include <asm/siginfo.h>
#include <linux/capability.h>
#include <linux/resource.h>
#include <linux/time.h>

#define CLOCK_TYPE_MASK 3
#define CLOCK_TYPE_PROF 0
#define CLOCK_TYPE_VIRTUAL 1
#define CLOCK_TYPE_FD 3
#define CLOCK_PER_THREAD 4
#define IGNORED_MIN_NS (4 * NSEC_PER_MSEC)

struct posix_timer {
	struct list node;
	s32 id;
	int clock;
	struct timer_event event;
	struct process *process;
	struct task *task; /* SIGEV_THREAD_ID, and thread clocks: counted */
	struct timer timer; /* clocks of real time */
	u64 deadline_ns; /* next expiry on its clock, 0 = off */
	u64 interval_ns;
	bool rearm; /* when the queued signal is taken */
	s32 overrun, last_overrun;
	struct signal_entry entry;
};

struct posix_timers {
	struct mutex lock;
	struct list list;
	s32 next_id;
};

/* ---- clocks ---- */

static bool is_cpu_clock(int clock)
{
	return clock < 0 || clock == CLOCK_PROCESS_CPUTIME_ID || clock == CLOCK_THREAD_CPUTIME_ID;
}

static u64 select_time(int type, u64 user_ns, u64 system_ns)
{
	return type == CLOCK_TYPE_VIRTUAL ? user_ns : user_ns + system_ns;
}

static int thread_clock(struct task *t, int type, u64 *ns)
{
	u64 user_ns, system_ns;

	if (type != CLOCK_TYPE_PROF && type != CLOCK_TYPE_VIRTUAL) {
		*ns = thread_cpu_time_ns(&t->thread);
		return 0;
	}
	thread_cpu_times(&t->thread, &user_ns, &system_ns);
	*ns = select_time(type, user_ns, system_ns);
	return 0;
}

/* A dynamic clock holds the complement of a pid and two fields (clock_getcpuclockid(3)). */
static int dynamic_clock(int clock, u64 *ns)
{
	s32 pid = ~(clock >> 3);
	int type = clock & CLOCK_TYPE_MASK, err = -EINVAL;
	struct task *t;

	if (type == CLOCK_TYPE_FD)
		return -EINVAL;
	if (pid == 0) {
		t = task_current();
		task_get_ref(t);
	} else {
		t = task_get(pid);
	}
	if (!t)
		return -EINVAL;
	if (clock & CLOCK_PER_THREAD) {
		if (t->process == process_current())
			err = thread_clock(t, type, ns);
	} else if (pid == 0 || t == t->process->leader) {
		u64 user_ns, system_ns;

		process_cpu_times(t->process, &user_ns, &system_ns);
		*ns = select_time(type, user_ns, system_ns);
		err = 0;
	}
	task_put(t);
	return err;
}

int cpu_clock_read(int clock, u64 *ns)
{
	u64 user_ns, system_ns;

	if (clock == CLOCK_THREAD_CPUTIME_ID) {
		*ns = thread_cpu_time_ns(current_thread);
		return 0;
	}
	if (clock == CLOCK_PROCESS_CPUTIME_ID) {
		process_cpu_times(process_current(), &user_ns, &system_ns);
		*ns = user_ns + system_ns;
		return 0;
	}
	return clock < 0 ? dynamic_clock(clock, ns) : -EINVAL;
}

/* The time now on a timer's clock, from any thread of its process. */
static u64 timer_now(const struct posix_timer *t)
{
	u64 ns = 0;

	if (!is_cpu_clock(t->clock))
		return t->timer.realtime ? clock_realtime_ns() : clock_monotonic_ns();
	if (t->clock == CLOCK_THREAD_CPUTIME_ID)
		return thread_cpu_time_ns(&t->task->thread);
	return cpu_clock_read(t->clock, &ns) ? 0 : ns;
}

/* ---- expiry ---- */

/* Moves the deadline past `now`; how many periods that was beyond the one that is due. */
static u64 forward(struct posix_timer *t, u64 now)
{
	u64 missed;

	if (t->deadline_ns > now)
		return 0;
	missed = (now - t->deadline_ns) / t->interval_ns;
	t->deadline_ns += (missed + 1) * t->interval_ns;
	return missed;
}

/* Sends; true if the timer waits for its signal to be taken before it goes on. */
static bool expire(struct posix_timer *t)
{
	struct task *target = t->event.notify & SIGEV_THREAD_ID ? t->task : NULL;
	int result;

	t->rearm = t->interval_ns != 0;
	result = signal_send_queued(t->process, target, &t->entry, t->event.signo);
	if (result < 0)
		t->rearm = false;
	return result >= 0;
}

static u64 timer_fired(struct timer *timer, u64 now_ns)
{
	struct posix_timer *t = container_of(timer, struct posix_timer, timer);

	if (expire(t) || !t->interval_ns)
		return 0;
	/* Ignored: nobody will take it, so it goes on by itself, at a bearable pace. */
	forward(t, now_ns + IGNORED_MIN_NS);
	return t->deadline_ns;
}

/* Under the handlers' lock, as the signal is taken. */
void posix_timer_delivered(struct posix_timer *t, struct signal_info *info)
{
	t->last_overrun = 0;
	if (t->rearm && !is_cpu_clock(t->clock)) {
		t->last_overrun = (s32)min(forward(t, timer_now(t)), (u64)INT32_MAX);
		timer_start(&t->timer, t->deadline_ns);
	} else if (t->rearm) {
		t->last_overrun = t->overrun;
		t->overrun = 0;
	}
	t->rearm = false;
	info->uid = (u32)t->last_overrun;
}

/* From a tick: the timers on clocks of CPU time; true: there are armed ones. */
bool posix_timers_check_cpu(struct process *p)
{
	struct posix_timers *all = READ_ONCE(p->posix_timers);
	struct posix_timer *t;
	bool armed = false;

	if (!all)
		return false;
	scoped_mutex(&all->lock);
	list_for_each(t, &all->list, node) {
		u64 now;

		if (!is_cpu_clock(t->clock) || !t->deadline_ns)
			continue;
		now = timer_now(t);
		if (now >= t->deadline_ns) {
			u64 missed = t->interval_ns ? forward(t, now) : 0;

			if (!t->interval_ns)
				t->deadline_ns = 0;
			if (t->event.notify != SIGEV_NONE) {
				bool was_queued = list_is_linked(&t->entry.node);

				t->overrun += (s32)missed + was_queued;
				expire(t);
			}
		}
		armed |= t->deadline_ns != 0;
	}
	return armed;
}

/* ---- the calls ---- */

static struct posix_timers *timers_of(struct process *p)
{
	struct posix_timers *made, *old = READ_ONCE(p->posix_timers);

	if (old)
		return old;
	made = kzalloc(sizeof(*made), 0);
	if (!made)
		return NULL;
	mutex_init(&made->lock, RANK_NONE);
	list_init(&made->list);
	if (atomic_cas(&p->posix_timers, NULL, made))
		return made;
	kfree(made);
	return p->posix_timers;
}

static bool clock_can_time(int clock)
{
	u64 ns;

	switch (clock) {
	case CLOCK_REALTIME:
	case CLOCK_MONOTONIC:
	case CLOCK_BOOTTIME:
	case CLOCK_TAI:
		return true;
	default:
		return is_cpu_clock(clock) && !cpu_clock_read(clock, &ns);
	}
}

static int check_event(const struct timer_event *e)
{
	if (e->notify != SIGEV_NONE && e->notify != SIGEV_SIGNAL && e->notify != SIGEV_THREAD &&
	    e->notify != SIGEV_THREAD_ID)
		return -EINVAL;
	if (e->notify != SIGEV_NONE && (e->signo < 1 || e->signo > NR_SIGNALS))
		return -EINVAL;
	return 0;
}

/* The thread that is to be told, or whose time counts. */
static int find_thread(struct posix_timer *t)
{
	if (t->event.notify == SIGEV_THREAD_ID) {
		t->task = task_get(t->event.tid);
		if (t->task && t->task->process == t->process)
			return 0;
		if (t->task)
			task_put(t->task);
		return -EINVAL;
	}
	if (t->clock == CLOCK_THREAD_CPUTIME_ID) {
		t->task = task_current();
		task_get_ref(t->task);
	}
	return 0;
}

static struct posix_timer *find_locked(struct posix_timers *all, s32 id)
{
	struct posix_timer *t;

	list_for_each(t, &all->list, node) {
		if (t->id == id)
			return t;
	}
	return NULL;
}

/* The next number that no timer has; a call that fails later has used it up all the same, as on Linux. */
static s32 take_id(struct posix_timers *all)
{
	s32 id;
	scoped_mutex(&all->lock);

	do {
		id = all->next_id;
		all->next_id = id == INT32_MAX ? 0 : id + 1;
	} while (find_locked(all, id));
	return id;
}

s32 posix_timer_create(int clock, const struct timer_event *e)
{
	struct process *p = process_current();
	struct posix_timers *all;
	struct posix_timer *t;
	bool may_wake = true;
	int err;

	switch (clock) {
	case CLOCK_REALTIME_COARSE:
	case CLOCK_MONOTONIC_COARSE:
	case CLOCK_MONOTONIC_RAW:
		return -EOPNOTSUPP;
	case CLOCK_REALTIME_ALARM:
	case CLOCK_BOOTTIME_ALARM:
		/* The machine never sleeps: nothing has to be woken. */
		may_wake = capable(CAP_WAKE_ALARM);
		clock = clock == CLOCK_REALTIME_ALARM ? CLOCK_REALTIME : CLOCK_BOOTTIME;
		break;
	default:
		break;
	}
	if (!is_cpu_clock(clock) && !clock_can_time(clock))
		return -EINVAL;
	all = timers_of(p);
	t = all ? kzalloc(sizeof(*t), 0) : NULL;
	if (!t)
		return -EAGAIN;
	t->id = take_id(all);
	err = check_event(e);
	if (!err && !clock_can_time(clock))
		err = -EINVAL;
	if (!err && !may_wake)
		err = -EPERM;
	if (err) {
		kfree(t);
		return err;
	}
	t->clock = clock;
	t->event = *e;
	t->process = p;
	list_init(&t->entry.node);
	timer_init(&t->timer, timer_fired);
	err = find_thread(t);
	if (err) {
		kfree(t);
		return err;
	}
	scoped_mutex(&all->lock);
	t->entry.timer = t;
	t->entry.info = (struct signal_info){ .signo = e->signo, .code = SI_TIMER };
	t->entry.info.pid = t->id;
	t->entry.info.value = e->value;
	list_push_back(&all->list, &t->node);
	return t->id;
}

/* Those of the current process; the empty list of those that never made one. */
static struct posix_timers *timers_here(void)
{
	static struct posix_timers none = { .lock = MUTEX_INIT(RANK_NONE),
					    .list = LIST_INIT(none.list) };
	struct posix_timers *all = process_current()->posix_timers;

	return all ? all : &none;
}

/* Nothing of it fires any more; what it had queued stays queued. */
static void stop(struct posix_timer *t)
{
	u64 flags;
	struct signal_handlers *h;

	/* A signal taken between the two arms it again: so rearm goes first. */
	h = process_lock_signals(t->process, &flags);
	t->rearm = false;
	process_unlock_signals(h, flags);
	timer_cancel_sync(&t->timer);
	h = process_lock_signals(t->process, &flags);
	t->rearm = false;
	t->overrun = 0;
	process_unlock_signals(h, flags);
}

static void read_setting(struct posix_timer *t, struct timer_setting *s)
{
	u64 now = timer_now(t), deadline = t->deadline_ns;

	s->interval_ns = t->interval_ns;
	s->value_ns = 0;
	if (!deadline)
		return;
	if (deadline > now)
		s->value_ns = deadline - now;
	else if (t->interval_ns)
		s->value_ns = t->interval_ns - (now - deadline) % t->interval_ns;
	else if (t->event.notify != SIGEV_NONE && timer_is_pending(&t->timer))
		s->value_ns = 1;
}

static void arm(struct posix_timer *t, bool absolute, const struct timer_setting *new)
{
	u64 now, value = new->value_ns;

	t->interval_ns = new->interval_ns;
	t->deadline_ns = 0;
	if (!value)
		return;
	if (absolute && (t->clock == CLOCK_REALTIME || t->clock == CLOCK_TAI))
		timer_init_realtime(&t->timer, timer_fired);
	else
		timer_init(&t->timer, timer_fired);
	now = timer_now(t);
	if (absolute)
		t->deadline_ns = value;
	else
		t->deadline_ns = value < TIME_NEVER - 1 - now ? now + value : TIME_NEVER - 1;
	if (is_cpu_clock(t->clock))
		cpu_timers_want(t->process, true);
	else if (t->event.notify != SIGEV_NONE)
		timer_start(&t->timer, t->deadline_ns);
}

int posix_timer_set(s32 id, bool absolute, const struct timer_setting *new,
		    struct timer_setting *old)
{
	struct posix_timers *all = timers_here();
	struct posix_timer *t;

	scoped_mutex(&all->lock);
	t = find_locked(all, id);
	if (!t)
		return -EINVAL;
	read_setting(t, old);
	stop(t);
	arm(t, absolute, new);
	return 0;
}

int posix_timer_get(s32 id, struct timer_setting *s)
{
	struct posix_timers *all = timers_here();
	struct posix_timer *t;

	scoped_mutex(&all->lock);
	t = find_locked(all, id);
	if (!t)
		return -EINVAL;
	read_setting(t, s);
	return 0;
}

int posix_timer_overrun(s32 id)
{
	struct posix_timers *all = timers_here();
	struct posix_timer *t;

	scoped_mutex(&all->lock);
	t = find_locked(all, id);
	return t ? t->last_overrun : -EINVAL;
}

static void destroy(struct posix_timer *t)
{
	struct process *p = t->process;
	u64 flags;
	struct signal_handlers *h;

	stop(t);
	list_remove(&t->node);
	h = process_lock_signals(p, &flags);
	signal_entry_withdraw_locked(p, &t->entry);
	process_unlock_signals(h, flags);
	if (t->task)
		task_put(t->task);
	kfree(t);
}

int posix_timer_delete(s32 id)
{
	struct posix_timers *all = timers_here();
	struct posix_timer *t;

	scoped_mutex(&all->lock);
	t = find_locked(all, id);
	if (!t)
		return -EINVAL;
	destroy(t);
	return 0;
}

/* The process ends, or becomes another program; it has one thread. */
void posix_timers_exit(struct process *p)
{
	struct posix_timers *all = p->posix_timers;
	struct posix_timer *t;

	if (!all)
		return;
	while ((t = list_first(&all->list, struct posix_timer, node)))
		destroy(t);
	p->posix_timers = NULL;
	kfree(all);
}
