/* Pipes as files: pipe2(2), FIFOs (fifo(7)), poll, ioctl, size. */
#include "pipe_internal.h"

#include <nos/cred.h>
#include <nos/errno.h>
#include <nos/file.h>
#include <nos/pseudo.h>
#include <nos/slab.h>
#include <nos/string.h>
#include <asm/ioctls.h>
#include <linux/capability.h>
#include <linux/eventpoll.h>
#include <linux/fcntl.h>
#include <linux/stat.h>

static u64 pipe_max_size = 1 << 20; /* /proc/sys/fs/pipe-max-size */

static bool pipe_is_nonblocking(const struct file *f, const struct iobuf *b)
{
	return (f->flags & O_NONBLOCK) || (b->flags & IOBUF_NOWAIT);
}

static ssize_t pipe_file_read(struct file *f, struct iobuf *to, u64 *pos)
{
	return pipe_read(f->private, to, pipe_is_nonblocking(f, to));
}

static ssize_t pipe_file_write(struct file *f, struct iobuf *from, u64 *pos)
{
	return pipe_write(f->private, from, pipe_is_nonblocking(f, from),
			  (f->flags & O_DIRECT) != 0);
}

/*
 * POLLHUP for a reader only if a writer was there since its open: f->position,
 * unused in a stream, holds how many had come by then.
 */
static __noinline u32 pipe_file_poll(struct file *f, struct poll_table *t) __no_lock_check
{
	struct pipe *p = f->private;
	u32 mask = 0;

	if (f->mode & FILE_READ) {
		poll_wait(t, &p->readable);
		if (!pipe_is_empty(p))
			mask |= EPOLLIN | EPOLLRDNORM;
		if (!READ_ONCE(p->writers) && READ_ONCE(p->writers_ever) != f->position)
			mask |= EPOLLHUP;
	}
	if (f->mode & FILE_WRITE) {
		poll_wait(t, &p->writable);
		if (!pipe_is_full(p))
			mask |= EPOLLOUT | EPOLLWRNORM;
		if (!READ_ONCE(p->readers))
			mask |= EPOLLERR;
	}
	return mask;
}

/* The usual question: has this read end, whose writers live, something? */
static __hot u32 pipe_reader_ready(struct file *f) __no_lock_check
{
	struct pipe *p = f->private;

	if (unlikely(!READ_ONCE(p->writers)))
		return pipe_file_poll(f, NULL);
	if (likely(pipe_is_empty(p)))
		return 0;
	barrier(); /* a branch, not a choice between two constants */
	return EPOLLIN | EPOLLRDNORM;
}

static long pipe_file_ioctl(struct file *f, u32 cmd, struct user_arg arg)
{
	struct pipe *p = f->private;
	s32 bytes = 0;

	if (cmd != FIONREAD)
		return -ENOIOCTLCMD;
	mutex_lock(&p->lock);
	for (u32 n = p->tail; n != p->head; n++)
		bytes += (s32)pipe_slot_at(p, n)->extent.len;
	mutex_unlock(&p->lock);
	return user_arg_write(arg, &bytes, sizeof(bytes));
}

/* Counts an end in. */
static void pipe_add_end_locked(struct pipe *p, const struct file *f) __must_hold(&p->lock)
{
	if (f->mode & FILE_READ) {
		p->readers++;
		WRITE_ONCE(p->readers_ever, p->readers_ever + 1);
	}
	if (f->mode & FILE_WRITE) {
		p->writers++;
		WRITE_ONCE(p->writers_ever, p->writers_ever + 1);
	}
}

/* One file less, or with only_last none if there are others.  True: nothing leads to the pipe any more. */
static inline bool pipe_drop_file(struct pipe *p, struct inode *i, bool only_last)
{
	scoped_spin(&i->spin);

	if (only_last && p->nr_files != 1)
		return false;
	if (--p->nr_files)
		return false;
	i->pipe = NULL;
	return true;
}

/* As pipe_wake, for an end that has gone. */
static inline void pipe_wake_all(struct wait_queue *q, u32 key)
{
	if (unlikely(!list_is_empty(&q->waiters)))
		wake_all_key(q, key);
}

/* Counts an end out; the pipe goes with its last file. */
static void pipe_file_release(struct file *f) __no_lock_check
{
	struct pipe *p = f->private;
	struct inode *i = f->inode;
	bool alone;

	if (!p) /* the open failed */
		return;
	/* Who opens the FIFO now either comes before, and is seen under the lock, or makes another pipe. */
	if (READ_ONCE(p->nr_files) == 1 && pipe_drop_file(p, i, true)) {
		p->readers = p->writers = 0;
		pipe_destroy(p);
		return;
	}
	mutex_lock(&p->lock);
	if (f->mode & FILE_READ)
		p->readers--;
	if (f->mode & FILE_WRITE)
		p->writers--;
	alone = !p->readers != !p->writers;
	mutex_unlock(&p->lock);
	if (alone) {
		pipe_wake_all(&p->readable, EPOLLIN | EPOLLRDNORM | EPOLLHUP);
		pipe_wake_all(&p->writable, EPOLLOUT | EPOLLWRNORM | EPOLLERR);
	}
	if (pipe_drop_file(p, i, false))
		pipe_destroy(p);
}

/* The pipe of a FIFO's inode, made if need be, with one file more; NULL: no memory. */
static struct pipe *fifo_get_pipe(struct inode *i)
{
	struct pipe *p, *made = NULL;

	for (;;) {
		spin_lock(&i->spin);
		if (!i->pipe)
			i->pipe = keep(made);
		p = i->pipe;
		if (p)
			p->nr_files++;
		spin_unlock(&i->spin);
		if (p)
			break;
		made = pipe_create();
		if (!made)
			return NULL;
	}
	if (made)
		pipe_destroy(made);
	return p;
}

/* Waits until *ever counts an open that was not there before. */
static int fifo_wait_partner(struct pipe *p, struct wait_queue *q, const u32 *ever)
	__must_hold(&p->lock)
{
	u32 before = *ever;

	while (*ever == before) {
		int err = wait_on(q, &p->lock);
		if (err)
			return err;
	}
	return 0;
}

/*
 * open(2) of a FIFO: a reader waits for a writer and a writer for a reader;
 * O_NONBLOCK readers come in at once, O_NONBLOCK writers without a reader get
 * ENXIO; O_RDWR never waits.
 */
static int fifo_open_locked(struct pipe *p, struct file *f) __must_hold(&p->lock)
{
	bool nonblocking = (f->flags & O_NONBLOCK) != 0;

	pipe_add_end_locked(p, f);
	if ((f->mode & FILE_READ) && p->readers == 1)
		wake_all(&p->writable);
	if ((f->mode & FILE_WRITE) && p->writers == 1)
		wake_all(&p->readable);

	if (p->is_anonymous)
		return 0;
	if (!(f->mode & FILE_WRITE) && !p->writers) {
		f->position = p->writers_ever;
		if (!nonblocking) {
			f->position = U64_MAX;
			return fifo_wait_partner(p, &p->readable, &p->writers_ever);
		}
	}
	if (!(f->mode & FILE_READ) && !p->readers) {
		if (nonblocking)
			return -ENXIO;
		return fifo_wait_partner(p, &p->writable, &p->readers_ever);
	}
	return 0;
}

static const struct file_ops pipe_reader_ops;

static int fifo_open(struct inode *i, struct file *f)
{
	struct pipe *p;
	int err;

	if (!(f->mode & (FILE_READ | FILE_WRITE))) /* the access mode 3 is for ioctl(2) only */
		return -EINVAL;
	p = fifo_get_pipe(i);
	if (!p)
		return -ENOMEM;
	f->private = p;
	if (!(f->mode & FILE_WRITE))
		f->ops = &pipe_reader_ops;
	f->position = U64_MAX;
	f->mode |= FILE_STREAM;
	mutex_lock(&p->lock);
	err = fifo_open_locked(p, f);
	mutex_unlock(&p->lock);
	if (err) {
		pipe_file_release(f);
		f->private = NULL;
	}
	return err;
}

#define PIPE_FILE_OPS                                                                              \
	.read = pipe_file_read, .write = pipe_file_write, .open = fifo_open,                       \
	.release = pipe_file_release, .poll = pipe_file_poll, .ioctl = pipe_file_ioctl,            \
	.splice_read = pipe_splice_read, .flags = FILE_OPS_STREAM | FILE_OPS_NOWAIT

const struct file_ops fifo_file_ops = { PIPE_FILE_OPS };

/* A file that only reads becomes one of these as it is opened. */
static const struct file_ops pipe_reader_ops = { PIPE_FILE_OPS, .ready = pipe_reader_ready };

struct pipe *pipe_of_file(struct file *f)
{
	return f->ops == &pipe_reader_ops || f->ops == &fifo_file_ops ? f->private : NULL;
}

int pipe_create_files(struct file *ends[2], u32 flags) __no_lock_check
{
	static const struct file_ops *const ops[2] = { &pipe_reader_ops, &fifo_file_ops };
	const u32 end_flags[2] = { O_RDONLY | (flags & O_NONBLOCK),
				   O_WRONLY | (flags & (O_NONBLOCK | O_DIRECT)) };
	struct pipe *p = pipe_create();
	struct inode *i;
	int err;

	if (!p)
		return -ENOMEM;
	err = file_create_pipe(ops, p, end_flags, ends);
	if (err) {
		pipe_destroy(p);
		return err;
	}
	/* Another process may open the inode through /proc/PID/fd once it has a pipe. */
	i = ends[0]->inode;
	i->file_ops = &fifo_file_ops;
	ends[0]->position = U64_MAX;
	p->nr_files = 2;
	p->readers = p->writers = 1;
	p->readers_ever = p->writers_ever = 1;
	p->is_anonymous = true;
	i->pipe = p;
	return 0;
}

/*
 * Moves the slots to a ring of nr (a power of two): -EBUSY if they do not fit,
 * -ENOMEM.  The lock is held.
 */
int pipe_resize_locked(struct pipe *p, u32 nr) __must_hold(&p->lock)
{
	u32 used = p->head - p->tail;
	struct pipe_slot *slots = p->first_slots;

	if (nr == p->nr_slots)
		return 0;
	if (used > nr)
		return -EBUSY;
	if (nr != PIPE_DEFAULT_SLOTS) {
		slots = kcalloc(nr, sizeof(*slots), ALLOC_USER);
		if (!slots)
			return -ENOMEM;
	}
	for (u32 n = 0; n < used; n++)
		slots[n] = *pipe_slot_at(p, p->tail + n);
	if (p->slots != p->first_slots)
		kfree(p->slots);
	p->slots = slots;
	WRITE_ONCE(p->nr_slots, nr);
	WRITE_ONCE(p->tail, 0);
	WRITE_ONCE(p->head, used);
	return 0;
}

s64 pipe_set_size(struct pipe *p, u64 bytes)
{
	u64 size;
	int err;

	if (bytes > 1ull << 31)
		return -EINVAL;
	size = PAGE_SIZE << log2_ceil(max(1ull, div_round_up(bytes, PAGE_SIZE)));
	if (size > pipe_max_size && size > pipe_get_size(p) && !capable(CAP_SYS_RESOURCE))
		return -EPERM;
	mutex_lock(&p->lock);
	err = pipe_resize_locked(p, (u32)(size / PAGE_SIZE));
	mutex_unlock(&p->lock);
	if (err)
		return err;
	pipe_wake_writers(p);
	return (s64)size;
}

static int pipe_max_size_show(struct text_out *out, void *arg)
{
	text_printf(out, "%lu\n", pipe_max_size);
	return 0;
}

static ssize_t pipe_max_size_store(const char *text, size_t len, void *arg)
{
	char number[24];
	u64 value;
	int err;

	string_copy(number, text, sizeof(number));
	for (char *c = number; *c; c++)
		if (*c == '\n')
			*c = '\0';
	err = string_to_u64(number, 10, &value);
	if (err)
		return err;
	if (value < PAGE_SIZE || value > 1ull << 31)
		return -EINVAL;
	pipe_max_size = PAGE_SIZE << log2_ceil(div_round_up(value, PAGE_SIZE));
	return (ssize_t)len;
}

PSEUDO_FILE(pipe_max_size_file, .path = "proc/sys/fs/pipe-max-size", .mode = 0644,
	    .show = pipe_max_size_show, .store = pipe_max_size_store);
