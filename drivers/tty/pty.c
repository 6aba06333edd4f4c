/*
 * Pseudo-terminals: a master, which a terminal emulator holds, and a slave,
 * which is a terminal to everyone else (pty(7)).
 *
 * The slave is a struct tty like any other; its driver is the ring that the
 * master reads, its input what the master writes.  The master has no line
 * discipline of its own: its settings, window and groups are the slave's.
 *
 * Life.  The master's file holds a reference on the slave's tty, whose last put
 * frees the pty.  Closing the master hangs the slave up and removes its name;
 * closing the slave for the last time makes reads of the master give EIO once
 * the ring is empty, until the slave is opened again.
 *
 * Locking.  The ring and packet state have a leaf spin lock, taken under the
 * slave's line lock by the slave's side.
 */
#include "tty_internal.h"

#include <nos/assert.h>
#include <nos/devpts.h>
#include <nos/errno.h>
#include <nos/init.h>
#include <nos/slab.h>
#include <nos/string.h>
#include <linux/eventpoll.h>
#include <linux/fcntl.h>
#include <linux/major.h>
#include <asm/signal.h>

#define PTY_RING_SIZE 16384u
#define PTY_CHUNK 512u

struct pty {
	struct tty *slave;
	u32 index;
	struct path root; /* of the devpts instance */
	bool locked; /* TIOCSPTLCK: the slave cannot be opened yet */
	bool was_opened;
	bool packet; /* TIOCPKT */
	struct spinlock lock; /* the ring and packet_events */
	u8 packet_events;
	struct ring ring; /* slave → master */
	struct wait_queue readable, writable; /* the master's */
};

static struct pty *pty_of(const struct tty *t)
{
	return tty_driver_data(t);
}

static bool pty_slave_is_closed(const struct pty *p)
{
	return READ_ONCE(p->was_opened) && READ_ONCE(p->slave->open_count) == 0;
}

/* ---- the slave's driver ---- */

static size_t pty_write(struct tty *t, const u8 *data, size_t len)
{
	struct pty *p = pty_of(t);
	size_t n;

	if (READ_ONCE(t->gone))
		return len;
	spin_lock(&p->lock);
	n = ring_write(&p->ring, data, (u32)min(len, (size_t)PTY_RING_SIZE));
	spin_unlock(&p->lock);
	if (n)
		wake_all_key(&p->readable, EPOLLIN | EPOLLRDNORM);
	return n;
}

static size_t pty_write_room(struct tty *t)
{
	return ring_free(&pty_of(t)->ring);
}

static void pty_add_events(struct pty *p, u8 events, u8 instead_of)
{
	if (!READ_ONCE(p->packet))
		return;
	spin_lock(&p->lock);
	p->packet_events = (p->packet_events & ~instead_of) | events;
	spin_unlock(&p->lock);
	wake_all_key(&p->readable, EPOLLIN | EPOLLRDNORM | EPOLLPRI);
}

static void pty_flush(struct tty *t)
{
	struct pty *p = pty_of(t);

	spin_lock(&p->lock);
	p->ring.tail = p->ring.head;
	spin_unlock(&p->lock);
	pty_add_events(p, TIOCPKT_FLUSHWRITE, 0);
}

static void pty_input_flushed(struct tty *t)
{
	pty_add_events(pty_of(t), TIOCPKT_FLUSHREAD, 0);
}

static void pty_flow(struct tty *t, bool stopped)
{
	pty_add_events(pty_of(t), stopped ? TIOCPKT_STOP : TIOCPKT_START,
		       stopped ? TIOCPKT_START : TIOCPKT_STOP);
}

static void pty_set_termios(struct tty *t, const struct ktermios *old)
{
	const struct ktermios *s = &t->line.termios;
	bool usual = (s->c_iflag & IXON) && s->c_cc[VSTOP] == 19 && s->c_cc[VSTART] == 17;

	pty_add_events(pty_of(t), usual ? TIOCPKT_DOSTOP : TIOCPKT_NOSTOP,
		       usual ? TIOCPKT_NOSTOP : TIOCPKT_DOSTOP);
}

static void pty_throttle(struct tty *t, bool stop)
{
	wake_all_key(&pty_of(t)->writable, EPOLLOUT | EPOLLWRNORM);
}

/* The slave's last close. */
static void pty_slave_closed(struct tty *t)
{
	wake_all_key(&pty_of(t)->readable, EPOLLIN | EPOLLRDNORM | EPOLLHUP);
}

static void pty_destroy(struct tty *t)
{
	struct pty *p = pty_of(t);

	kfree(p->ring.data);
	kfree(p);
}

static const struct tty_driver_ops pty_driver_ops = {
	.write = pty_write,
	.write_room = pty_write_room,
	.set_termios = pty_set_termios,
	.throttle = pty_throttle,
	.hang_up = pty_slave_closed,
	.flush = pty_flush,
	.input_flushed = pty_input_flushed,
	.flow = pty_flow,
	.destroy = pty_destroy,
	.is_pty = true,
};

/* ---- opening the slave ---- */

static void pty_get_slave(void *t)
{
	tty_get(t);
}

static int pty_slave_open(struct inode *i, struct file *f)
{
	struct tty *t = devpts_private(i, pty_get_slave);
	struct pty *p;
	int err;

	f->private = NULL;
	if (!t)
		return -EIO;
	p = pty_of(t);
	if (READ_ONCE(p->locked) || READ_ONCE(t->gone)) {
		tty_put(t);
		return -EIO;
	}
	err = tty_open_file(t, f, false);
	if (!err)
		WRITE_ONCE(p->was_opened, true);
	return err;
}

static struct file_ops pty_slave_ops __ro_after_init;

/* ---- the master's file ---- */

static struct pty *pty_create(u32 index, const struct path *root)
{
	struct pty *p = kzalloc(sizeof(*p), ALLOC_USER);
	u8 *ring = p ? kmalloc(PTY_RING_SIZE, ALLOC_USER) : NULL;
	char name[16];

	if (!ring) {
		kfree(p);
		return NULL;
	}
	ring_init(&p->ring, ring, PTY_RING_SIZE);
	p->index = index;
	p->root = *root;
	p->locked = true;
	spin_init(&p->lock, RANK_LEAF);
	wait_queue_init(&p->readable);
	wait_queue_init(&p->writable);
	snprintf(name, sizeof(name), "pts/%u", index);
	p->slave = tty_allocate(name, UNIX98_PTY_SLAVE_MAJOR, index, &pty_driver_ops, p);
	if (!p->slave) {
		kfree(ring);
		kfree(p);
		return NULL;
	}
	return p;
}

static int pty_master_open(struct inode *i, struct file *f)
{
	struct path root;
	struct pty *p;
	int index, err = devpts_find(f, &root);

	f->private = NULL;
	if (err)
		return err;
	index = devpts_reserve(&root);
	if (index < 0) {
		path_put(&root);
		return index;
	}
	p = pty_create((u32)index, &root);
	err = p ? devpts_add(&root, (u32)index, p->slave) : -ENOMEM;
	if (err) {
		devpts_remove(&root, (u32)index);
		path_put(&root);
		if (p)
			tty_put(p->slave);
		return err;
	}
	f->private = p;
	return 0;
}

static void pty_master_release(struct file *f)
{
	struct pty *p = f->private;
	struct path root = p->root;

	WRITE_ONCE(p->slave->gone, true);
	devpts_remove(&root, p->index);
	tty_hang_up_now(p->slave);
	tty_put(p->slave);
	path_put(&root);
}

static bool pty_has_news(const struct pty *p)
{
	return ring_used(&p->ring) || READ_ONCE(p->packet_events) || pty_slave_is_closed(p);
}

/* Takes bytes from the ring, or in packet mode the events byte: bytes, 0 = nothing there. */
static size_t pty_take(struct pty *p, u8 *to, size_t max)
{
	bool packet = READ_ONCE(p->packet);
	size_t n = 0;

	scoped_spin(&p->lock);
	if (packet && p->packet_events) {
		to[0] = p->packet_events;
		p->packet_events = 0;
		return 1;
	}
	if (packet && ring_used(&p->ring))
		to[n++] = TIOCPKT_DATA;
	return n + ring_read(&p->ring, to + n, (u32)(max - n));
}

static ssize_t pty_master_read(struct file *f, struct iobuf *to, u64 *pos)
{
	bool nonblocking = (f->flags & O_NONBLOCK) || (to->flags & IOBUF_NOWAIT);
	struct pty *p = f->private;
	u8 chunk[PTY_CHUNK];
	ssize_t total = 0;

	while (to->remaining) {
		size_t n = pty_take(p, chunk, (size_t)min(to->remaining, (u64)PTY_CHUNK));
		int err;

		if (n) {
			if (iobuf_put(to, chunk, n) < n)
				return total ? total : -EFAULT;
			total += (ssize_t)n;
			if (READ_ONCE(p->packet))
				break;
			continue;
		}
		if (total)
			break;
		if (pty_slave_is_closed(p) && !ring_used(&p->ring))
			return -EIO;
		if (nonblocking)
			return -EAGAIN;
		err = wait_event_interruptible(&p->readable, pty_has_news(p));
		if (err)
			return err;
	}
	if (total)
		tty_write_ready(p->slave);
	return total;
}

static ssize_t pty_master_write(struct file *f, struct iobuf *from, u64 *pos)
{
	bool nonblocking = (f->flags & O_NONBLOCK) || (from->flags & IOBUF_NOWAIT);
	struct pty *p = f->private;
	u8 chunk[PTY_CHUNK];
	ssize_t total = 0;

	while (from->remaining) {
		size_t len = iobuf_get(from, chunk, (size_t)min(from->remaining, (u64)PTY_CHUNK));
		size_t done = 0;
		int err = len ? 0 : -EFAULT;

		while (done < len && !err) {
			done += tty_input(p->slave, chunk + done, len - done);
			if (done == len)
				break;
			if (pty_slave_is_closed(p))
				err = -EIO;
			else if (nonblocking)
				err = -EAGAIN;
			else
				err = wait_event_interruptible(
					&p->writable, !READ_ONCE(p->slave->input_blocked) ||
							      pty_slave_is_closed(p));
		}
		total += (ssize_t)done;
		iobuf_revert(from, len - done);
		if (err)
			return total ? total : err;
	}
	return total;
}

static u32 pty_master_poll(struct file *f, struct poll_table *t)
{
	struct pty *p = f->private;
	u32 mask = 0;

	poll_wait(t, &p->readable);
	poll_wait(t, &p->writable);
	if (ring_used(&p->ring))
		mask |= EPOLLIN | EPOLLRDNORM;
	if (READ_ONCE(p->packet) && READ_ONCE(p->packet_events))
		mask |= EPOLLIN | EPOLLRDNORM | EPOLLPRI;
	if (pty_slave_is_closed(p))
		mask |= EPOLLHUP;
	if (!READ_ONCE(p->slave->input_blocked))
		mask |= EPOLLOUT | EPOLLWRNORM;
	return mask;
}

/* ---- the master's ioctls ---- */

/* TIOCGPTPEER: opens the slave without going through its name; the flags are open(2)'s. */
static long pty_open_peer(struct pty *p, u64 flags)
{
	char name[16];
	struct path path;
	struct file *f;
	int err;

	snprintf(name, sizeof(name), "%u", p->index);
	err = path_lookup_from(&p->root, name, 0, &path);
	if (err)
		return err;
	f = file_open_path(&path, (u32)flags, cred_current());
	path_put(&path);
	return is_err(f) ? ptr_err(f) : fd_add(f, (u32)flags & O_CLOEXEC);
}

static long pty_set_packet(struct pty *p, struct user_arg arg)
{
	s32 on;

	if (user_arg_read(arg, &on, sizeof(on)))
		return -EFAULT;
	spin_lock(&p->lock);
	if (on && !p->packet)
		p->packet_events = 0;
	WRITE_ONCE(p->packet, on != 0);
	spin_unlock(&p->lock);
	return 0;
}

static long pty_set_lock(struct pty *p, struct user_arg arg)
{
	s32 on;

	if (user_arg_read(arg, &on, sizeof(on)))
		return -EFAULT;
	WRITE_ONCE(p->locked, on != 0);
	return 0;
}

static long pty_signal(struct pty *p, u64 signo)
{
	if (signo != SIGINT && signo != SIGQUIT && signo != SIGTSTP)
		return -EINVAL;
	tty_signal_foreground(p->slave, (int)signo);
	return 0;
}

static long pty_flush_queues(struct pty *p, u64 what)
{
	if (what != TCIFLUSH && what != TCOFLUSH && what != TCIOFLUSH)
		return -EINVAL;
	if (what != TCIFLUSH)
		tty_flush_input(p->slave);
	if (what != TCOFLUSH)
		tty_flush_output(p->slave);
	return 0;
}

static long pty_master_ioctl(struct file *f, u32 cmd, struct user_arg arg)
{
	struct pty *p = f->private;
	s32 value;

	switch (cmd) {
	case TIOCGPTN:
		return user_arg_write(arg, &p->index, sizeof(p->index));
	case TIOCSPTLCK:
		return pty_set_lock(p, arg);
	case TIOCGPTLCK:
		value = p->locked;
		return user_arg_write(arg, &value, sizeof(value));
	case TIOCPKT:
		return pty_set_packet(p, arg);
	case TIOCGPKT:
		value = p->packet;
		return user_arg_write(arg, &value, sizeof(value));
	case TIOCGPTPEER:
		return pty_open_peer(p, arg.value);
	case TIOCSIG:
		return pty_signal(p, arg.value);
	case FIONREAD:
		value = (s32)ring_used(&p->ring);
		return user_arg_write(arg, &value, sizeof(value));
	case TCFLSH:
		return pty_flush_queues(p, arg.value);
	default:
		return tty_ioctl(p->slave, true, cmd, arg);
	}
}

static const struct file_ops pty_master_ops = {
	.read = pty_master_read,
	.write = pty_master_write,
	.open = pty_master_open,
	.release = pty_master_release,
	.poll = pty_master_poll,
	.ioctl = pty_master_ioctl,
	.flags = FILE_OPS_STREAM | FILE_OPS_NOWAIT,
};

/* ---- registration ---- */

static const struct char_device ptmx_device = {
	.name = "ptmx",
	.major = TTYAUX_MAJOR,
	.minor = 2,
	.nr_minors = 1,
	.mode = 0666,
	.ops = &pty_master_ops,
};
static const struct char_device slave_device = {
	.major = UNIX98_PTY_SLAVE_MAJOR,
	.nr_minors = 1u << 20,
	.ops = &pty_slave_ops,
};

static int pty_init(void)
{
	int err;

	pty_slave_ops = tty_file_ops;
	pty_slave_ops.open = pty_slave_open;
	err = char_device_register(&slave_device);
	return err ? err : char_device_register(&ptmx_device);
}
INIT_STEP(INIT_FS, pty_init);
