/*
 * timerfd: a timer that can be waited for (timerfd_create(2)).
 *
 * Concepts.  An absolute time of CLOCK_REALTIME is kept in that clock's time and
 * follows its steps; every other setting runs on CLOCK_MONOTONIC, as a span of
 * time does not change when a clock is set.  With TFD_TIMER_CANCEL_ON_SET the
 * timer hears of steps through a waiter on clock_set_queue.
 *
 * Of an interval timer only the first expiry since the last read interrupts;
 * the read computes how many more have passed and arms the next one.  An
 * interval of a nanosecond therefore costs nothing until someone reads.
 *
 * Locking.  One spin lock, taken in the timer interrupt.
 */
#include <nos/errno.h>
#include <nos/file.h>
#include <nos/ipc.h>
#include <nos/lock.h>
#include <nos/pseudo.h>
#include <nos/slab.h>
#include <nos/timer.h>
#include <nos/wait.h>
#include <linux/eventpoll.h>
#include <linux/fcntl.h>
#include <linux/time.h>
#include <linux/timerfd.h>

struct timerfd {
	struct timer timer;
	struct spinlock lock;
	int clock;
	u32 flags; /* TFD_TIMER_ of the last setting */
	u64 expiry_ns; /* in the time of `timer`; 0 = disarmed */
	u64 interval_ns;
	u64 ticks; /* expiries that nobody has read */
	bool expired; /* the timer has fired and is not armed again */
	bool cancelled; /* the clock was set: the next read gets ECANCELED */
	struct wait_queue queue;
	struct waiter clock_waiter;
	bool watches_clock;
};

static bool clock_is_realtime(const struct timerfd *t)
{
	return t->clock == CLOCK_REALTIME || t->clock == CLOCK_REALTIME_ALARM;
}

/* The time that the expiry of this setting is in. */
static u64 timerfd_now(const struct timerfd *t)
{
	return t->timer.realtime ? clock_realtime_ns() : clock_monotonic_ns();
}

static u64 add_saturated(u64 a, u64 b)
{
	return a > (u64)S64_MAX - b ? (u64)S64_MAX : a + b;
}

static void timerfd_arm_locked(struct timerfd *t)
{
	t->expired = false;
	timer_start(&t->timer, t->expiry_ns);
}

static u64 timerfd_fire(struct timer *timer, u64 now_ns)
{
	struct timerfd *t = container_of(timer, struct timerfd, timer);
	u64 flags = spin_lock_irq(&t->lock);

	/* It may have been set anew while this waited for the lock. */
	bool due = t->expiry_ns && !t->expired && timerfd_now(t) >= t->expiry_ns;

	if (due) {
		t->expired = true;
		t->ticks++;
	}
	spin_unlock_irq(&t->lock, flags);
	if (due)
		wake_all_key(&t->queue, EPOLLIN);
	return 0;
}

/* Counts the intervals that passed since it fired, and arms the next; the lock is held. */
static void timerfd_catch_up_locked(struct timerfd *t)
{
	u64 now, passed;

	if (!t->expired || !t->interval_ns)
		return;
	now = timerfd_now(t);
	passed = now > t->expiry_ns ? (now - t->expiry_ns) / t->interval_ns : 0;
	t->ticks += passed;
	t->expiry_ns = add_saturated(t->expiry_ns, (passed + 1) * t->interval_ns);
	timerfd_arm_locked(t);
}

/* Is it to be told of steps, as it is set now? */
static bool is_cancelled_by_steps(const struct timerfd *t)
{
	return clock_is_realtime(t) && (t->flags & TFD_TIMER_ABSTIME) &&
	       (t->flags & TFD_TIMER_CANCEL_ON_SET);
}

/* The clock was set: under the queue's lock. */
static bool timerfd_clock_set(struct waiter *w, u32 key)
{
	struct timerfd *t = container_of(w, struct timerfd, clock_waiter);
	bool cancelled = false;
	u64 flags = spin_lock_irq(&t->lock);

	if (is_cancelled_by_steps(t))
		cancelled = t->cancelled = true;
	spin_unlock_irq(&t->lock, flags);
	if (cancelled)
		wake_all_key(&t->queue, EPOLLIN);
	return false;
}

/* Takes the ticks: 0 = none, -ECANCELED. */
static ssize_t timerfd_take(struct timerfd *t, u64 *ticks)
{
	scoped_spin_irq(&t->lock);
	if (t->cancelled) {
		/* What passed before means nothing now: the user is to set it anew. */
		t->cancelled = false;
		t->ticks = 0;
		return -ECANCELED;
	}
	if (!t->ticks)
		return 0;
	timerfd_catch_up_locked(t);
	*ticks = t->ticks;
	t->ticks = 0;
	return sizeof(*ticks);
}

static ssize_t timerfd_read(struct file *f, struct iobuf *to, u64 *pos)
{
	struct timerfd *t = f->private;
	u64 ticks;
	ssize_t n;

	if (to->remaining < sizeof(ticks))
		return -EINVAL;
	n = timerfd_take(t, &ticks);
	if (n == 0) {
		int err;

		if ((f->flags & O_NONBLOCK) || (to->flags & IOBUF_NOWAIT))
			return -EAGAIN;
		err = wait_event_interruptible(&t->queue, (n = timerfd_take(t, &ticks)) != 0);
		if (err)
			return err;
	}
	if (n < 0)
		return n;
	return iobuf_put(to, &ticks, sizeof(ticks)) == sizeof(ticks) ? n : -EFAULT;
}

static u32 timerfd_poll(struct file *f, struct poll_table *table)
{
	struct timerfd *t = f->private;

	poll_wait(table, &t->queue);
	return READ_ONCE(t->ticks) || READ_ONCE(t->cancelled) ? EPOLLIN : 0;
}

static void timerfd_release(struct file *f)
{
	struct timerfd *t = f->private;

	if (t->watches_clock)
		wait_queue_remove(clock_set_queue(), &t->clock_waiter);
	timer_cancel_sync(&t->timer);
	kfree(t);
}

/* Time left and interval; the lock is held. */
static void timerfd_get_locked(struct timerfd *t, struct timerfd_setting *to)
{
	u64 now;

	timerfd_catch_up_locked(t);
	now = timerfd_now(t);
	*to = (struct timerfd_setting){ .interval_ns = t->interval_ns };
	if (t->expiry_ns && !t->expired)
		to->value_ns = t->expiry_ns > now ? t->expiry_ns - now : 1;
}

static void timerfd_show(struct file *f, struct text_out *out)
{
	struct timerfd *t = f->private;
	struct timerfd_setting s;
	u64 flags = spin_lock_irq(&t->lock);
	u64 ticks = t->ticks;

	timerfd_get_locked(t, &s);
	spin_unlock_irq(&t->lock, flags);
	text_printf(out,
		    "clockid: %d\nticks: %lu\nsettime flags: 0%o\nit_value: (%lu, %lu)\n"
		    "it_interval: (%lu, %lu)\n",
		    t->clock, ticks, t->flags, s.value_ns / (u64)NSEC_PER_SEC,
		    s.value_ns % (u64)NSEC_PER_SEC, s.interval_ns / (u64)NSEC_PER_SEC,
		    s.interval_ns % (u64)NSEC_PER_SEC);
}

static const struct file_ops timerfd_ops = {
	.seek = file_seek_nowhere,
	.read = timerfd_read,
	.poll = timerfd_poll,
	.release = timerfd_release,
	.show_fdinfo = timerfd_show,
	.flags = FILE_OPS_STREAM | FILE_OPS_NOWAIT,
};

struct file *timerfd_create(int clock, u32 flags)
{
	struct timerfd *t;
	struct file *f;

	if (clock != CLOCK_REALTIME && clock != CLOCK_MONOTONIC && clock != CLOCK_BOOTTIME &&
	    clock != CLOCK_REALTIME_ALARM && clock != CLOCK_BOOTTIME_ALARM)
		return err_ptr(-EINVAL);
	t = kzalloc(sizeof(*t), ALLOC_USER);
	if (!t)
		return err_ptr(-ENOMEM);
	timer_init(&t->timer, timerfd_fire);
	spin_init(&t->lock, RANK_WAIT_QUEUE_NESTED); /* taken under the clock queue's lock */
	wait_queue_init(&t->queue);
	t->clock = clock;
	f = file_create_anonymous("[timerfd]", &timerfd_ops, t, O_RDWR | (flags & O_NONBLOCK));
	if (is_err(f)) {
		kfree(t);
		return f;
	}
	if (clock_is_realtime(t)) {
		t->clock_waiter = (struct waiter){ .wake = timerfd_clock_set };
		wait_queue_add(clock_set_queue(), &t->clock_waiter);
		t->watches_clock = true;
	}
	return f;
}

int timerfd_set(struct file *f, u32 flags, const struct timerfd_setting *to,
		struct timerfd_setting *old)
{
	struct timerfd *t = f->private;
	bool was_cancelled;

	if (f->ops != &timerfd_ops)
		return -EINVAL;
	timer_cancel_sync(&t->timer);
	scoped_spin_irq(&t->lock);
	timerfd_get_locked(t, old);
	(void)timer_cancel(&t->timer);
	was_cancelled = t->cancelled;
	t->flags = flags;
	t->ticks = 0;
	t->expired = false;
	t->cancelled = false;
	t->interval_ns = to->interval_ns;
	t->expiry_ns = to->value_ns;
	if (!t->expiry_ns)
		return 0;
	if (clock_is_realtime(t) && (flags & TFD_TIMER_ABSTIME))
		timer_init_realtime(&t->timer, timerfd_fire);
	else
		timer_init(&t->timer, timerfd_fire);
	if (!(flags & TFD_TIMER_ABSTIME))
		t->expiry_ns = add_saturated(timerfd_now(t), to->value_ns);
	timerfd_arm_locked(t);
	/* Who sets it for a time of a clock that was stepped unseen must hear of the step. */
	return was_cancelled && is_cancelled_by_steps(t) ? -ECANCELED : 0;
}

int timerfd_get(struct file *f, struct timerfd_setting *to)
{
	struct timerfd *t = f->private;

	if (f->ops != &timerfd_ops)
		return -EINVAL;
	scoped_spin_irq(&t->lock);
	timerfd_get_locked(t, to);
	return 0;
}
