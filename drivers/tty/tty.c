/*
 * Terminals: what bash, vi and login see as /dev/ttyS0, /dev/hvc0 or /dev/pts/3.
 *
 * Concepts.  A struct tty joins a driver (serial line, virtio console, slave
 * side of a pty) with the line discipline (n_tty.c) and with the open files.
 * A device's bytes go from its interrupt into a ring, from there, in a worker,
 * into the line, which may echo and raise signals; a pty's master writes into
 * the line directly.  Readers take from the line; writers pass through its
 * output processing to the driver.
 *
 * A session has at most one controlling terminal and a terminal controls at
 * most one session (tty_job.c); /dev/tty names the caller's.  A hang-up detaches
 * all open files: reads give end of file, writes EIO, but for files that were
 * opened as /dev/console.
 *
 * Invariants.
 *   (1) t->files holds every open struct tty_file; each has one reference on t;
 *       so has each struct process.tty, a device's registration, and a master.
 *   (2) bytes of one write(2) are not mixed with those of another; echo goes
 *       out before output that was written after it.
 *   (3) a device's bytes are lost only when TTY_INPUT_SIZE of them wait
 *       although the driver was told to stop (throttle) at a quarter of that.
 *   (4) p->tty == t implies p->session == t->session, both under
 *       task_list_lock, until a dead process is unlinked from its session.
 *
 * Locking.  read_lock, write_lock, open_lock (rank TTY) are not nested in each
 * other.  line_lock (rank TTY_LINE) covers the line discipline and calls of the
 * driver's output; user memory is not touched under it.  input_lock and
 * files_lock are leaf spin locks; task_list_lock covers job control.  Signals
 * and wake-ups happen after the line lock is free.
 *
 * Rejected: processing input in the interrupt.  A paste with echo would hold
 * interrupts off for as long as the echo takes.
 *
 * References: termios(3), tty_ioctl(4), tty(4), console(4), credentials(7),
 * POSIX.1-2017 chapter 11.
 */
#include "tty_internal.h"

#include <nos/assert.h>
#include <nos/errno.h>
#include <nos/init.h>
#include <nos/log.h>
#include <nos/pseudo.h>
#include <nos/slab.h>
#include <nos/string.h>
#include <linux/capability.h>
#include <linux/eventpoll.h>
#include <linux/fcntl.h>
#include <linux/major.h>
#include <asm/signal.h>

static struct tty *console_tty; /* counted */

/* ---- life ---- */

static void tty_hang_up_work(struct work *w)
{
	struct tty *t = container_of(w, struct tty, hang_up_work);

	tty_hang_up_now(t);
	tty_put(t);
}

struct tty *tty_allocate(const char *name, u32 major, u32 minor, const struct tty_driver_ops *ops,
			 void *driver_data)
{
	struct tty *t = kzalloc(sizeof(*t), 0);

	if (!t)
		return NULL;
	ref_init(&t->refs, 1);
	t->major = major;
	t->minor = minor;
	t->ops = ops;
	t->driver_data = driver_data;
	string_copy(t->name, name, sizeof(t->name));
	n_tty_init(&t->line);
	mutex_init(&t->line_lock, RANK_TTY_LINE);
	mutex_init(&t->read_lock, RANK_TTY);
	mutex_init(&t->write_lock, RANK_TTY);
	mutex_init(&t->open_lock, RANK_TTY);
	mutex_init(&t->input_work_lock, RANK_TTY);
	wait_queue_init(&t->readable);
	wait_queue_init(&t->writable);
	spin_init(&t->files_lock, RANK_LEAF);
	spin_init(&t->input_lock, RANK_LEAF);
	list_init(&t->files);
	tty_input_begin(t);
	work_init(&t->hang_up_work, tty_hang_up_work);
	return t;
}

void *tty_driver_data(const struct tty *t)
{
	return t->driver_data;
}

void tty_get(struct tty *t)
{
	ref_get(&t->refs);
}

void tty_put(struct tty *t)
{
	if (!t || !ref_put(&t->refs))
		return;
	ASSERT(list_is_empty(&t->files) && !t->session);
	tty_input_end(t);
	if (t->ops->destroy)
		t->ops->destroy(t);
	kfree(t->input.data);
	kfree(t);
}

u64 tty_device(const struct tty *t)
{
	return make_dev(t->major, t->minor);
}

struct tty *tty_create(const char *name, u32 major, u32 minor, const struct tty_driver_ops *ops,
		       void *driver_data)
{
	struct tty *t = tty_allocate(name, major, minor, ops, driver_data);
	u8 *ring = t ? kmalloc(TTY_INPUT_SIZE, 0) : NULL;

	if (!ring) {
		tty_put(t);
		return NULL;
	}
	ring_init(&t->input, ring, TTY_INPUT_SIZE);
	t->device = (struct char_device){
		.name = t->name,
		.major = major,
		.minor = minor,
		.nr_minors = 1,
		.mode = 0620,
		.ops = &tty_file_ops,
		.private = t,
	};
	if (char_device_register(&t->device)) {
		tty_put(t);
		return NULL;
	}
	return t;
}

/* Is it the one that "console=NAME" or "console=NAME,SETTINGS" asks for? */
static bool is_chosen_console(const struct tty *t)
{
	const char *name = boot_option("console");
	size_t len = strlen(t->name);

	return name && !strncmp(name, t->name, len) && (name[len] == '\0' || name[len] == ',');
}

void tty_register_console(struct tty *t)
{
	struct tty *old = READ_ONCE(console_tty);

	if (old && is_chosen_console(old))
		return;
	tty_get(t);
	old = atomic_xchg(&console_tty, t);
	tty_put(old);
}

/* ---- open and release ---- */

static int tty_count_open(struct tty *t)
{
	scoped_mutex(&t->open_lock);
	if (t->exclusive && t->open_count && !capable(CAP_SYS_ADMIN))
		return -EBUSY;
	t->open_count++;
	return 0;
}

/* Makes f a file of t; the reference on t becomes the file's, also on error. */
int tty_open_file(struct tty *t, struct file *f, bool is_console)
{
	struct tty_file *tf = kzalloc(sizeof(*tf), ALLOC_USER);
	int err = tf ? tty_count_open(t) : -ENOMEM;

	if (err) {
		kfree(tf);
		tty_put(t);
		return err;
	}
	tf->tty = t;
	tf->file = f;
	tf->is_console = is_console;
	f->private = tf;
	spin_lock(&t->files_lock);
	list_push_back(&t->files, &tf->node);
	spin_unlock(&t->files_lock);
	if (!(f->flags & O_NOCTTY) && !is_console)
		tty_maybe_control(t);
	return 0;
}

static int tty_open(struct inode *i, struct file *f)
{
	const struct char_device *d = char_device_find(i->rdev);

	if (!d || !d->private)
		return -ENXIO;
	tty_get(d->private);
	return tty_open_file(d->private, f, false);
}

static void tty_release(struct file *f)
{
	struct tty_file *tf = f->private;
	struct tty *t;
	bool last;

	if (!tf)
		return;
	t = tf->tty;
	spin_lock(&t->files_lock);
	list_remove(&tf->node);
	spin_unlock(&t->files_lock);
	mutex_lock(&t->open_lock);
	last = --t->open_count == 0;
	if (last)
		t->exclusive = false;
	mutex_unlock(&t->open_lock);
	if (last && t->ops->is_pty)
		t->ops->hang_up(t); /* the master sees the close */
	kfree(tf);
	tty_put(t);
}

/* ---- hang-up ---- */

void tty_hang_up_now(struct tty *t)
{
	struct tty_file *tf;

	spin_lock(&t->files_lock);
	list_for_each(tf, &t->files, node)
		if (!tf->is_console)
			WRITE_ONCE(tf->hung_up, true);
	spin_unlock(&t->files_lock);
	tty_detach_session(t, false);
	tty_flush_input(t);
	tty_set_flow(t, false);
	if (t->ops->hang_up && !t->ops->is_pty)
		t->ops->hang_up(t);
	wake_all_key(&t->readable, EPOLLIN | EPOLLRDNORM | EPOLLHUP | EPOLLERR);
	wake_all_key(&t->writable, EPOLLOUT | EPOLLWRNORM | EPOLLHUP | EPOLLERR);
}

void tty_hang_up(struct tty *t)
{
	tty_get(t);
	if (!work_queue(&t->hang_up_work)) {
		/* The queued one holds its own, and the caller has one. */
		bool last = ref_put(&t->refs);

		ASSERT(!last);
		(void)last;
	}
}

/* ---- file operations ---- */

static bool tty_is_nonblocking(const struct file *f, const struct iobuf *b)
{
	return (f->flags & O_NONBLOCK) || (b->flags & IOBUF_NOWAIT);
}

static ssize_t tty_file_read(struct file *f, struct iobuf *to, u64 *pos)
{
	struct tty_file *tf = f->private;

	return tty_read(tf->tty, tf, to, tty_is_nonblocking(f, to));
}

static ssize_t tty_file_write(struct file *f, struct iobuf *from, u64 *pos)
{
	struct tty_file *tf = f->private;

	return tty_write(tf->tty, tf, from, tty_is_nonblocking(f, from));
}

static u32 tty_file_poll(struct file *f, struct poll_table *table)
{
	struct tty_file *tf = f->private;
	struct tty *t = tf->tty;
	const struct ktermios *s = &t->line.termios;
	u32 mask = 0, minimum = 1;

	poll_wait(table, &t->readable);
	poll_wait(table, &t->writable);
	if (READ_ONCE(tf->hung_up))
		return EPOLLIN | EPOLLOUT | EPOLLERR | EPOLLHUP | EPOLLRDNORM | EPOLLWRNORM;
	if (!(s->c_lflag & ICANON) && s->c_cc[VTIME] == 0)
		minimum = s->c_cc[VMIN];
	if (n_tty_is_readable(&t->line, minimum))
		mask |= EPOLLIN | EPOLLRDNORM;
	if (READ_ONCE(t->gone))
		mask |= EPOLLHUP;
	else if (tty_can_write(t))
		mask |= EPOLLOUT | EPOLLWRNORM;
	return mask;
}

static long tty_file_ioctl(struct file *f, u32 cmd, struct user_arg arg)
{
	struct tty_file *tf = f->private;

	if (READ_ONCE(tf->hung_up))
		return cmd == TIOCSPGRP ? -ENOTTY : -EIO;
	return tty_ioctl(tf->tty, false, cmd, arg);
}

const struct file_ops tty_file_ops = {
	.read = tty_file_read,
	.write = tty_file_write,
	.open = tty_open,
	.release = tty_release,
	.poll = tty_file_poll,
	.ioctl = tty_file_ioctl,
	.flags = FILE_OPS_STREAM | FILE_OPS_NOWAIT,
};

/* ---- /dev/tty and /dev/console ---- */

static int dev_tty_open(struct inode *i, struct file *f)
{
	struct tty *t = process_tty_current();

	if (!t)
		return -ENXIO;
	f->flags |= O_NOCTTY;
	return tty_open_file(t, f, false);
}

static int dev_console_open(struct inode *i, struct file *f)
{
	struct tty *t = READ_ONCE(console_tty);

	if (!t)
		return -ENODEV;
	tty_get(t);
	return tty_open_file(t, f, true);
}

#define TTY_REDIRECT(opener)                                                                       \
	{                                                                                          \
		.read = tty_file_read, .write = tty_file_write, .open = (opener),                  \
		.release = tty_release, .poll = tty_file_poll, .ioctl = tty_file_ioctl,            \
		.flags = FILE_OPS_STREAM | FILE_OPS_NOWAIT,                                        \
	}
static const struct file_ops dev_tty_ops = TTY_REDIRECT(dev_tty_open);
static const struct file_ops dev_console_ops = TTY_REDIRECT(dev_console_open);

static const struct char_device dev_tty = {
	.name = "tty",
	.major = TTYAUX_MAJOR,
	.minor = 0,
	.nr_minors = 1,
	.mode = 0666,
	.ops = &dev_tty_ops,
};
static const struct char_device dev_console = {
	.name = "console",
	.major = TTYAUX_MAJOR,
	.minor = 1,
	.nr_minors = 1,
	.mode = 0600,
	.ops = &dev_console_ops,
};

static int tty_init(void)
{
	int err = char_device_register(&dev_tty);

	return err ? err : char_device_register(&dev_console);
}
INIT_STEP(INIT_FS, tty_init);

/* What ps(1) reads to turn device numbers into names. */
u64 tty_device_number(const struct tty *t, s32 *group)
{
	*group = t->group ? t->group->nr : -1;
	return make_dev(t->major, t->minor);
}

static int tty_drivers_show(struct text_out *out, void *arg)
{
	text_printf(out, "%-20s /dev/%-8s %3d %7s %s\n", "/dev/tty", "tty", 5, "0",
		    "system:/dev/tty");
	text_printf(out, "%-20s /dev/%-8s %3d %7s %s\n", "/dev/console", "console", 5, "1",
		    "system:console");
	text_printf(out, "%-20s /dev/%-8s %3d %7s %s\n", "/dev/ptmx", "ptmx", 5, "2", "system");
	text_printf(out, "%-20s /dev/%-8s %3d %7s %s\n", "hvc", "hvc", 229, "0-7", "system");
	text_printf(out, "%-20s /dev/%-8s %3d %7s %s\n", "serial", "ttyS", 4, "64-67", "serial");
	text_printf(out, "%-20s /dev/%-8s %3d %7s %s\n", "pty_slave", "pts", 136, "0-1048575",
		    "pty:slave");
	return 0;
}
PSEUDO_FILE(tty_drivers_file, .path = "proc/tty/drivers", .show = tty_drivers_show);
