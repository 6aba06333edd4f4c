/* Reading, writing and input of a terminal: between its files, its line discipline and its driver. */
#include "tty_internal.h"

#include <nos/assert.h>
#include <nos/errno.h>
#include <nos/string.h>
#include <linux/eventpoll.h>
#include <linux/fcntl.h>
#include <asm/signal.h>

#define TTY_CHUNK 512u /* bytes moved at once, on the stack */

/* ---- input ---- */

void tty_deliver(struct tty *t, const struct n_tty_events *e)
{
	static const int signals[] = { SIGINT, SIGQUIT, SIGTSTP };

	for (u32 i = 0; i < ARRAY_SIZE(signals); i++)
		if (e->signals & (1u << signals[i]))
			tty_signal_foreground(t, signals[i]);
	if (e->wake_readers && n_tty_is_readable(&t->line, 1))
		wake_all_key(&t->readable, EPOLLIN | EPOLLRDNORM);
	if (e->wake_writers || e->flush_output)
		wake_all_key(&t->writable, EPOLLOUT | EPOLLWRNORM);
}

/* What must happen under the line lock after input or a change of flow. */
static void tty_settle_locked(struct tty *t, const struct n_tty_events *e)
{
	if (e->flush_output && t->ops->flush)
		t->ops->flush(t);
	if (e->flush_output && t->ops->input_flushed)
		t->ops->input_flushed(t);
	if ((e->stop || e->start) && t->ops->flow)
		t->ops->flow(t, e->stop);
	tty_flush_echo_locked(t);
}

void tty_flush_echo_locked(struct tty *t)
{
	struct n_tty *n = &t->line;

	while (n->echo_tail != n->echo_head && !n->stopped) {
		u32 at = n->echo_tail % N_TTY_ECHO_SIZE;
		u32 part = min(n->echo_head - n->echo_tail, N_TTY_ECHO_SIZE - at);
		size_t sent = t->ops->write(t, n->echo + at, part);

		n->echo_tail += (u32)sent;
		if (sent < part)
			break;
	}
}

size_t tty_input(struct tty *t, const u8 *data, size_t len)
{
	struct n_tty_events e = { 0 };
	size_t taken;

	mutex_lock(&t->line_lock);
	taken = n_tty_input(&t->line, data, len, &e);
	if (taken < len)
		t->input_blocked = true;
	tty_settle_locked(t, &e);
	mutex_unlock(&t->line_lock);
	tty_deliver(t, &e);
	return taken;
}

static void tty_throttle(struct tty *t, bool stop)
{
	if (!t->ops->throttle && !n_tty_iflag(&t->line, IXOFF))
		return;
	mutex_lock(&t->line_lock);
	if (t->ops->throttle)
		t->ops->throttle(t, stop);
	if (n_tty_iflag(&t->line, IXOFF)) {
		u8 c = t->line.termios.c_cc[stop ? VSTOP : VSTART];

		(void)t->ops->write(t, &c, 1);
	}
	mutex_unlock(&t->line_lock);
}

/* Moves a device's bytes from its ring into the line. */
static void tty_input_work(struct work *w)
{
	struct tty *t = container_of(w, struct tty, input_work);
	u8 chunk[TTY_CHUNK];
	bool throttle;
	u32 n, used;

	scoped_mutex(&t->input_work_lock);
	do {
		u64 flags = spin_lock_irq(&t->input_lock);

		n = ring_peek(&t->input, chunk, sizeof(chunk));
		spin_unlock_irq(&t->input_lock, flags);
		used = n ? (u32)tty_input(t, chunk, n) : 0;
		flags = spin_lock_irq(&t->input_lock);
		t->input.tail += min(used, ring_used(&t->input));
		spin_unlock_irq(&t->input_lock, flags);
	} while (n && used == n);

	used = ring_used(&t->input);
	throttle = t->throttled ? used > TTY_INPUT_SIZE / 16 : used > TTY_INPUT_SIZE / 4;
	if (throttle != t->throttled) {
		t->throttled = throttle;
		tty_throttle(t, throttle);
	}
}

static void tty_echo_work(struct work *w)
{
	struct tty *t = container_of(w, struct tty, echo_work);

	scoped_mutex(&t->line_lock);
	tty_flush_echo_locked(t);
}

void tty_input_begin(struct tty *t)
{
	work_init(&t->input_work, tty_input_work);
	work_init(&t->echo_work, tty_echo_work);
}

/* No more input or echo is on its way. */
void tty_input_end(struct tty *t)
{
	work_flush(&t->input_work);
	work_flush(&t->echo_work);
}

void tty_receive(struct tty *t, const u8 *data, size_t len)
{
	u64 flags;

	if (!t->input.data)
		return;
	flags = spin_lock_irq(&t->input_lock);
	(void)ring_write(&t->input, data, (u32)len);
	spin_unlock_irq(&t->input_lock, flags);
	work_queue(&t->input_work);
}

void tty_write_ready(struct tty *t)
{
	if (READ_ONCE(t->line.echo_head) != READ_ONCE(t->line.echo_tail))
		work_queue(&t->echo_work);
	wake_all_key(&t->writable, EPOLLOUT | EPOLLWRNORM);
}

void tty_flush_input(struct tty *t)
{
	u64 flags;
	bool blocked;

	mutex_lock(&t->line_lock);
	n_tty_flush_input(&t->line);
	blocked = t->input_blocked;
	t->input_blocked = false;
	if (blocked && t->ops->is_pty)
		t->ops->throttle(t, false);
	if (t->ops->input_flushed)
		t->ops->input_flushed(t);
	mutex_unlock(&t->line_lock);
	if (!t->input.data)
		return;
	flags = spin_lock_irq(&t->input_lock);
	t->input.tail = t->input.head;
	spin_unlock_irq(&t->input_lock, flags);
	work_queue(&t->input_work);
}

void tty_flush_output(struct tty *t)
{
	mutex_lock(&t->line_lock);
	t->line.echo_tail = t->line.echo_head;
	if (t->ops->flush)
		t->ops->flush(t);
	mutex_unlock(&t->line_lock);
	wake_all_key(&t->writable, EPOLLOUT | EPOLLWRNORM);
}

void tty_set_flow(struct tty *t, bool stop)
{
	struct n_tty_events e = { 0 };

	mutex_lock(&t->line_lock);
	if (stop)
		n_tty_stop(&t->line, &e);
	else
		n_tty_start(&t->line, &e);
	tty_settle_locked(t, &e);
	mutex_unlock(&t->line_lock);
	tty_deliver(t, &e);
}

/* ---- read ---- */

/* Takes a part; tells the sender if it waits for room. */
static size_t tty_take(struct tty *t, u8 *to, size_t max, bool last, bool *end)
{
	bool blocked;
	size_t n;

	mutex_lock(&t->line_lock);
	n = n_tty_take(&t->line, to, max, last, end);
	blocked = t->input_blocked;
	t->input_blocked = false;
	if (blocked && t->ops->is_pty)
		t->ops->throttle(t, false);
	mutex_unlock(&t->line_lock);
	if (blocked && !t->ops->is_pty)
		work_queue(&t->input_work);
	return n;
}

static bool tty_has_news(const struct tty *t, const struct tty_file *tf)
{
	return n_tty_is_readable(&t->line, 1) || READ_ONCE(tf->hung_up) || READ_ONCE(t->gone);
}

/*
 * How long a read waits (termios(3), "Noncanonical mode"): for `minimum` bytes;
 * before the first byte until `first_ns`, between bytes for `between_ns`.
 */
struct tty_timing {
	u64 minimum;
	u64 deadline_ns, between_ns;
};

static struct tty_timing tty_read_timing(const struct tty *t)
{
	const struct n_tty *n = &t->line;
	struct tty_timing timing = { .minimum = 1, .deadline_ns = TIME_NEVER };
	u64 time_ns = n->termios.c_cc[VTIME] * 100ull * (u64)NSEC_PER_MSEC;

	if (n_tty_lflag(n, ICANON))
		return timing;
	if (n->termios.c_cc[VMIN]) {
		timing.minimum = n->termios.c_cc[VMIN];
		timing.between_ns = time_ns;
	} else {
		timing.deadline_ns = time_ns ? clock_monotonic_ns() + time_ns : 0;
	}
	return timing;
}

/* Waits for input: 1, 0 = read what there is (end of file), −errno. */
static int tty_wait_input(struct tty *t, struct tty_file *tf, const struct tty_timing *timing,
			  bool nonblocking)
{
	int err;

	if (n_tty_is_readable(&t->line, 1))
		return 1;
	if (READ_ONCE(tf->hung_up))
		return 0;
	if (READ_ONCE(t->gone))
		return -EIO;
	if (timing->deadline_ns == 0)
		return 0;
	if (nonblocking)
		return -EAGAIN;
	err = wait_event_interruptible_until(&t->readable, tty_has_news(t, tf),
					     timing->deadline_ns);
	if (err == -ETIMEDOUT)
		return n_tty_is_readable(&t->line, 1);
	return err ? err : 2;
}

static ssize_t tty_read_locked(struct tty *t, struct tty_file *tf, struct iobuf *to,
			       bool nonblocking)
{
	struct tty_timing timing = tty_read_timing(t);
	u8 chunk[TTY_CHUNK];
	ssize_t total = 0;

	while (to->remaining) {
		size_t max = (size_t)min(to->remaining, (u64)sizeof(chunk)), n;
		bool end;
		int ready = tty_wait_input(t, tf, &timing, nonblocking);

		if (ready == 2) {
			/* Another state than the one waited for: look again, job control too. */
			ready = tty_check_job(t, SIGTTIN);
			if (ready == 0)
				continue;
		}
		if (ready <= 0)
			return total ? total : ready;
		n = tty_take(t, chunk, max, max == to->remaining, &end);
		if (iobuf_put(to, chunk, n) < n)
			return total ? total : -EFAULT;
		total += (ssize_t)n;
		if (end || (n_tty_lflag(&t->line, ICANON) && !n_tty_is_readable(&t->line, 1)))
			break;
		if (!n_tty_lflag(&t->line, ICANON) && total >= (ssize_t)timing.minimum &&
		    (n < max || !n_tty_is_readable(&t->line, 1)))
			break;
		if (timing.between_ns)
			timing.deadline_ns = clock_monotonic_ns() + timing.between_ns;
	}
	return total;
}

ssize_t tty_read(struct tty *t, struct tty_file *tf, struct iobuf *to, bool nonblocking)
{
	ssize_t n;

	if (READ_ONCE(tf->hung_up))
		return 0;
	n = tty_check_job(t, SIGTTIN);
	if (n)
		return n;
	if (nonblocking) {
		if (!mutex_try_lock(&t->read_lock))
			return -EAGAIN;
	} else {
		n = mutex_lock_interruptible(&t->read_lock);
		if (n)
			return n;
	}
	n = tty_read_locked(t, tf, to, nonblocking);
	mutex_unlock(&t->read_lock);
	return n;
}

/* ---- write ---- */

bool tty_can_write(struct tty *t)
{
	return !READ_ONCE(t->line.stopped) && t->ops->write_room(t) >= N_TTY_EXPANSION;
}

/* Hands a part to the driver, processed as the settings say: bytes taken. */
static size_t tty_write_part(struct tty *t, const u8 *data, size_t len)
{
	struct n_tty *n = &t->line;
	u8 out[TTY_CHUNK];
	size_t taken, put, sent;

	scoped_mutex(&t->line_lock);
	tty_flush_echo_locked(t);
	if (n->stopped || n->echo_head != n->echo_tail)
		return 0;
	if (!n_tty_processes_output(n))
		return t->ops->write(t, data, len);
	taken = n_tty_output(n, data, len, out, min(sizeof(out), t->ops->write_room(t)), &put);
	sent = put ? t->ops->write(t, out, put) : 0;
	ASSERT(sent == put);
	(void)sent;
	return taken;
}

static int tty_wait_room(struct tty *t, struct tty_file *tf, bool nonblocking)
{
	if (nonblocking)
		return -EAGAIN;
	return wait_event_interruptible(&t->writable, tty_can_write(t) || READ_ONCE(tf->hung_up) ||
							      READ_ONCE(t->gone));
}

static ssize_t tty_write_locked(struct tty *t, struct tty_file *tf, struct iobuf *from,
				bool nonblocking)
{
	u8 chunk[TTY_CHUNK];
	ssize_t total = 0;

	while (from->remaining) {
		size_t len = iobuf_get(from, chunk, (size_t)min(from->remaining, (u64)TTY_CHUNK));
		size_t done = 0;
		int err = len ? 0 : -EFAULT;

		while (done < len && !err) {
			if (READ_ONCE(tf->hung_up) || READ_ONCE(t->gone)) {
				err = -EIO;
				break;
			}
			size_t n = tty_write_part(t, chunk + done, len - done);

			done += n;
			if (n == 0)
				err = tty_wait_room(t, tf, nonblocking);
		}
		total += (ssize_t)done;
		iobuf_revert(from, len - done);
		if (err)
			return total ? total : err;
	}
	return total;
}

ssize_t tty_write(struct tty *t, struct tty_file *tf, struct iobuf *from, bool nonblocking)
{
	ssize_t n = 0;

	if (READ_ONCE(tf->hung_up))
		return -EIO;
	if (n_tty_lflag(&t->line, TOSTOP))
		n = tty_check_job(t, SIGTTOU);
	if (n)
		return n;
	if (nonblocking) {
		if (!mutex_try_lock(&t->write_lock))
			return -EAGAIN;
	} else {
		n = mutex_lock_interruptible(&t->write_lock);
		if (n)
			return n;
	}
	n = tty_write_locked(t, tf, from, nonblocking);
	mutex_unlock(&t->write_lock);
	return n;
}
