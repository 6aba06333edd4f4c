/*
 * eventfd: a counter that can be waited for (eventfd(2)).
 *
 * The counter is changed by compare-and-swap; sleepers evaluate their condition
 * without a lock (wait_event), wakers change it before they wake.  Wake-ups are
 * of the synchronous kind: who signals through an eventfd usually waits for the
 * answer next (direct hand-off).
 */
#include <nos/errno.h>
#include <nos/file.h>
#include <nos/ipc.h>
#include <nos/pseudo.h>
#include <nos/slab.h>
#include <nos/wait.h>
#include <linux/eventpoll.h>
#include <linux/fcntl.h>

#define EVENTFD_MAX (U64_MAX - 1)

struct eventfd {
	u64 count;
	bool semaphore;
	struct wait_queue queue;
};

/* Takes the count (or 1 of it): false if it is zero. */
static bool eventfd_take(struct eventfd *e, u64 *taken)
{
	u64 old = atomic_load(&e->count);

	do {
		if (old == 0)
			return false;
		*taken = e->semaphore ? 1 : old;
	} while (!atomic_cas_update(&e->count, &old, old - *taken));
	return true;
}

static bool eventfd_add(struct eventfd *e, u64 n)
{
	u64 old = atomic_load(&e->count);

	do {
		if (n > EVENTFD_MAX - old)
			return false;
	} while (!atomic_cas_update(&e->count, &old, old + n));
	return true;
}

static bool eventfd_is_nonblocking(const struct file *f, const struct iobuf *b)
{
	return (f->flags & O_NONBLOCK) || (b->flags & IOBUF_NOWAIT);
}

static ssize_t eventfd_read(struct file *f, struct iobuf *to, u64 *pos)
{
	struct eventfd *e = f->private;
	u64 n;

	if (to->remaining < sizeof(n))
		return -EINVAL;
	if (!eventfd_take(e, &n)) {
		int err;

		if (eventfd_is_nonblocking(f, to))
			return -EAGAIN;
		err = wait_event_interruptible(&e->queue, eventfd_take(e, &n));
		if (err)
			return err;
	}
	wake_one_sync(&e->queue, EPOLLOUT);
	return iobuf_put(to, &n, sizeof(n)) == sizeof(n) ? (ssize_t)sizeof(n) : -EFAULT;
}

static ssize_t eventfd_write(struct file *f, struct iobuf *from, u64 *pos)
{
	struct eventfd *e = f->private;
	u64 n;

	if (from->remaining < sizeof(n))
		return -EINVAL;
	if (iobuf_get(from, &n, sizeof(n)) != sizeof(n))
		return -EFAULT;
	if (n == U64_MAX)
		return -EINVAL;
	if (!eventfd_add(e, n)) {
		int err;

		if (eventfd_is_nonblocking(f, from))
			return -EAGAIN;
		err = wait_event_interruptible(&e->queue, eventfd_add(e, n));
		if (err)
			return err;
	}
	wake_one_sync(&e->queue, EPOLLIN);
	return sizeof(n);
}

static u32 eventfd_poll(struct file *f, struct poll_table *t)
{
	struct eventfd *e = f->private;
	u32 mask = 0;
	u64 count;

	poll_wait(t, &e->queue);
	count = atomic_load(&e->count);
	if (count > 0)
		mask |= EPOLLIN;
	if (count == U64_MAX)
		mask |= EPOLLERR;
	if (count < EVENTFD_MAX)
		mask |= EPOLLOUT;
	return mask;
}

static void eventfd_release(struct file *f)
{
	struct eventfd *e = f->private;

	wake_all_key(&e->queue, EPOLLHUP);
	kfree(e);
}

static void eventfd_show(struct file *f, struct text_out *out)
{
	struct eventfd *e = f->private;

	text_printf(out, "eventfd-count: %16lx\neventfd-semaphore: %d\n", atomic_load(&e->count),
		    e->semaphore);
}

static const struct file_ops eventfd_ops = {
	.seek = file_seek_nowhere,
	.read = eventfd_read,
	.write = eventfd_write,
	.poll = eventfd_poll,
	.release = eventfd_release,
	.show_fdinfo = eventfd_show,
	.flags = FILE_OPS_STREAM | FILE_OPS_NOWAIT,
};

struct file *eventfd_create(u32 count, bool semaphore, u32 flags)
{
	struct eventfd *e = kmalloc(sizeof(*e), ALLOC_USER);
	struct file *f;

	if (!e)
		return err_ptr(-ENOMEM);
	e->count = count;
	e->semaphore = semaphore;
	wait_queue_init(&e->queue);
	f = file_create_anonymous("[eventfd]", &eventfd_ops, e, O_RDWR | (flags & O_NONBLOCK));
	if (is_err(f))
		kfree(e);
	return f;
}
