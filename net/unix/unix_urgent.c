/*
 * Urgent bytes of AF_UNIX streams (MSG_OOB, since Linux 5.15).
 *
 * The last byte of a send with MSG_OOB goes into a buffer of its own, which
 * r->urgent names until it is read, passed by, or replaced: then it is plain
 * data.  A read of the stream ends in front of it; the next one leaves it out,
 * unless SO_OOBINLINE is set.  A buffer whose byte was taken stays in the queue,
 * empty, as the mark at which reads end.
 */
#include "unix.h"

#include <nos/errno.h>
#include <nos/signal.h>
#include <linux/eventpoll.h>

static bool is_inline(const struct unix_socket *s)
{
	return s->base.flags & bit(SO_OOBINLINE);
}

/* SIGURG to who owns the receiver's file.  The file may be closed at any time. */
static void tell_owner(struct unix_socket *r)
{
	struct file *f;

	rcu_read_lock();
	f = READ_ONCE(r->base.file);
	if (f && !ref_get_unless_zero(&f->refs))
		f = NULL;
	rcu_read_unlock();
	if (!f)
		return;
	if (f->private == &r->base)
		signal_send_file_owner(f, SIGURG);
	file_put(f);
}

static ssize_t put_urgent(struct unix_socket *r, struct unix_socket *s, struct iobuf *data,
			  const struct unix_sender *sender, u64 deadline_ns)
{
	struct unix_buffer *b;
	int err;

	scoped_mutex(&r->lock);
	err = unix_wait_room_locked(r, s, 1, deadline_ns);
	if (err)
		return err;
	b = unix_buffer_for_locked(r, 1);
	if (!b)
		return -ENOBUFS;
	if (iobuf_get(data, b->data, 1) != 1) {
		unix_buffer_free(b);
		return -EFAULT;
	}
	b->len = 1;
	b->sender = *sender;
	b->urgent = true;
	if (r->urgent)
		r->urgent->urgent = false;
	r->urgent = b;
	unix_append_locked(r, b);
	return 1;
}

ssize_t unix_send_urgent(struct unix_socket *r, struct unix_socket *s, struct iobuf *data,
			 const struct unix_sender *sender, u64 deadline_ns)
{
	ssize_t n = put_urgent(r, s, data, sender, deadline_ns);

	if (n == 1) {
		tell_owner(r);
		wake_all_key(&r->readable, EPOLLIN | EPOLLRDNORM | EPOLLPRI);
	}
	return n;
}

ssize_t unix_receive_urgent(struct unix_socket *s, struct socket_message *m)
{
	struct unix_buffer *b;

	scoped_mutex(&s->lock);
	b = s->urgent;
	if (is_inline(s) || !b)
		return -EINVAL;
	if (iobuf_put(m->data, b->data + b->offset, 1) != 1)
		return -EFAULT;
	if (!(m->flags & MSG_PEEK)) {
		s->urgent = NULL;
		b->len = 0;
		if (s->queue.next == &b->node)
			unix_drop_locked(s, b);
	}
	m->flags = (m->flags & ~(u32)(MSG_PEEK | MSG_WAITALL)) | MSG_OOB;
	return 1;
}

enum unix_mark unix_pass_mark_locked(struct unix_socket *s, struct unix_buffer *b, bool peek,
				     bool did_read)
{
	if (!b->urgent)
		return MARK_NONE;
	if (b->len && did_read)
		return MARK_STOP;
	if (b->len && is_inline(s)) {
		if (!peek) {
			s->urgent = NULL;
			b->urgent = false;
		}
		return MARK_NONE;
	}
	if (!peek)
		unix_drop_locked(s, b);
	return did_read ? MARK_STOP : MARK_SKIP;
}

bool unix_is_hidden_locked(const struct unix_socket *s, const struct unix_buffer *b)
{
	return b->urgent && !(b->len && is_inline(s));
}

bool unix_is_at_mark(struct unix_socket *s)
{
	scoped_mutex(&s->lock);
	return s->urgent && s->queue.next == &s->urgent->node;
}
