/* Sending and receiving on AF_UNIX sockets. */
#include "unix.h"

#include <nos/assert.h>
#include <nos/errno.h>
#include <nos/slab.h>
#include <nos/string.h>
#include <asm/signal.h>
#include <linux/eventpoll.h>
#include <linux/fcntl.h>

#define SMALL_CAPACITY (512u - (u32)sizeof(struct unix_buffer))

/* ---- buffers ---- */

struct unix_buffer *unix_buffer_alloc(u32 capacity)
{
	struct unix_buffer *b = kmalloc(sizeof(*b) + capacity, ALLOC_USER);

	if (!b)
		return NULL;
	b->offset = b->len = 0;
	b->capacity = capacity;
	b->from = NULL;
	b->files = NULL;
	b->urgent = b->peeked = false;
	b->nr_extents = 0;
	return b;
}

void unix_buffer_free(struct unix_buffer *b)
{
	unix_address_put(b->from);
	if (b->files)
		unix_files_free(b->files);
	if (unlikely(b->nr_extents))
		unix_drop_extents(b);
	kfree(b);
}

static u32 unix_buffer_size(const struct unix_buffer *b)
{
	return (u32)sizeof(*b) + b->capacity;
}

void unix_append_locked(struct unix_socket *r, struct unix_buffer *b)
{
	list_push_back(&r->queue, &b->node);
	r->queued += unix_buffer_size(b);
	r->nr_queued++;
}

/* Small plain ones are kept for the next message. */
void unix_drop_locked(struct unix_socket *r, struct unix_buffer *b)
{
	list_remove(&b->node);
	r->queued -= unix_buffer_size(b);
	r->nr_queued--;
	if (unlikely(r->urgent == b))
		r->urgent = NULL;
	if (!r->spare && b->capacity == SMALL_CAPACITY && !b->from && !b->files && !b->nr_extents)
		r->spare = b;
	else
		unix_buffer_free(b);
}

struct unix_buffer *unix_buffer_for_locked(struct unix_socket *r, u64 len)
{
	struct unix_buffer *b;

	if (len > SMALL_CAPACITY)
		return unix_buffer_alloc((u32)min(len, (u64)UNIX_CHUNK));
	if (!r->spare)
		return unix_buffer_alloc(SMALL_CAPACITY);
	b = keep(r->spare);
	b->offset = b->len = 0;
	b->urgent = false;
	return b;
}

/* ---- room ---- */

static bool unix_counts_bytes(const struct unix_socket *r, const struct unix_socket *s)
{
	return unix_has_connections(r) || r == s || READ_ONCE(r->peer) == s;
}

bool unix_is_full(const struct unix_socket *r, const struct unix_socket *s, u32 size)
{
	u32 queued = READ_ONCE(r->queued);

	if (unix_counts_bytes(r, s))
		return queued && queued + size > s->base.send_buffer;
	return READ_ONCE(r->nr_queued) > UNIX_MAX_DATAGRAMS;
}

/* For pollers, with some reserve: a writer that is told of room shall find a good part of it. */
bool unix_is_writable(const struct unix_socket *r, const struct unix_socket *s)
{
	if (unix_counts_bytes(r, s))
		return READ_ONCE(r->queued) <= s->base.send_buffer / 2;
	return READ_ONCE(r->nr_queued) <= UNIX_MAX_DATAGRAMS;
}

/* After a read made room: senders and pollers; the lock is held. */
static void unix_wake_senders_locked(struct unix_socket *r)
{
	struct unix_socket *s, *next;

	if (!list_is_empty(&r->room.waiters) &&
	    (r->queued <= SOCKET_DEFAULT_BUFFER / 2 || !unix_is_stream(r)))
		wake_all(&r->room);
	if (list_is_empty(&r->blocked))
		return;
	list_for_each_safe(s, next, &r->blocked, blocked_node) {
		if (!unix_is_writable(r, s))
			continue;
		list_remove(&s->blocked_node);
		wake_all_key(&s->writable, EPOLLOUT | EPOLLWRNORM | EPOLLWRBAND);
	}
}

static void unix_wake_reader(struct unix_socket *r)
{
	if (!list_is_empty(&r->readable.waiters))
		wake_one_sync_active(&r->readable, EPOLLIN | EPOLLRDNORM | EPOLLRDBAND);
}

/* ---- sending ---- */

static struct unix_sender unix_sender_of(const struct socket_message *m)
{
	if (m->has_credentials)
		return (struct unix_sender){ m->pid, m->uid, m->gid };
	return unix_current_sender();
}

/* Waits until r takes `size` more bytes of s; r's lock is held. */
int unix_wait_room_locked(struct unix_socket *r, struct unix_socket *s, u32 size, u64 deadline_ns)
{
	for (;;) {
		int err;

		if ((s->shutdown & UNIX_SHUT_SEND) || r->state == UNIX_CLOSED ||
		    (r->shutdown & UNIX_SHUT_RECEIVE))
			return -EPIPE;
		if (!unix_is_full(r, s, size))
			return 0;
		err = unix_wait(&r->room, &r->lock, deadline_ns);
		if (err)
			return err;
	}
}

/* The newest buffer, if bytes of this sender can be added to it. */
static struct unix_buffer *unix_mergeable_locked(struct unix_socket *r,
						 const struct unix_sender *sender)
{
	struct unix_buffer *b;

	if (list_is_empty(&r->queue))
		return NULL;
	b = list_entry(r->queue.prev, struct unix_buffer, node);
	if (b->files || b->urgent || b->offset + b->len == b->capacity ||
	    b->sender.pid != sender->pid || b->sender.uid != sender->uid ||
	    b->sender.gid != sender->gid)
		return NULL;
	return b;
}

/* One piece of a stream: bytes sent, or −errno.  *files moves into the first buffer. */
static ssize_t unix_send_piece(struct unix_socket *r, struct unix_socket *s, struct iobuf *data,
			       const struct unix_sender *sender, struct unix_files **files,
			       u64 deadline_ns)
{
	u32 size = (u32)min(data->remaining, (u64)UNIX_CHUNK);
	struct unix_buffer *b = NULL;
	size_t n;
	int err;

	scoped_mutex(&r->lock);
	err = unix_wait_room_locked(r, s, size, deadline_ns);
	if (err)
		return err;
	if (!*files)
		b = unix_mergeable_locked(r, sender);
	if (b) {
		u32 end = b->offset + b->len;

		n = iobuf_get(data, b->data + end, min((u64)(b->capacity - end), data->remaining));
		b->len += (u32)n;
		return n ? (ssize_t)n : -EFAULT;
	}
	b = unix_buffer_for_locked(r, size);
	if (!b)
		return -ENOBUFS;
	n = iobuf_get(data, b->data, min(b->capacity, size));
	if (n == 0) {
		kfree(b);
		return -EFAULT;
	}
	b->len = (u32)n;
	b->sender = *sender;
	b->files = keep(*files);
	unix_append_locked(r, b);
	return (ssize_t)n;
}

static ssize_t unix_send_stream(struct unix_socket *s, struct socket_message *m, u32 file_flags)
{
	u64 deadline = socket_send_deadline(&s->base, m->flags, file_flags);
	struct unix_sender sender = unix_sender_of(m);
	struct unix_socket *r = READ_ONCE(s->peer);
	struct unix_files *files = NULL;
	bool urgent = m->flags & MSG_OOB;
	ssize_t total = 0, n = 0;

	if (urgent && !m->data->remaining)
		return -EOPNOTSUPP;
	if (m->name_len)
		return r ? -EISCONN : -EOPNOTSUPP;
	if (!r)
		n = s->shutdown & UNIX_SHUT_SEND ? -EPIPE : -ENOTCONN;
	if (!n && m->nr_files)
		n = unix_files_attach(m, &files);
	m->data->remaining -= urgent; /* the last byte goes by itself */
	while (!n && m->data->remaining) {
		if (unlikely(m->data->flags & IOBUF_FOLIOS) && unix_can_share(s, m->data))
			n = unix_send_shared(r, s, m->data, &sender, deadline);
		else
			n = unix_send_piece(r, s, m->data, &sender, &files, deadline);
		if (n <= 0)
			break;
		total += n;
		n = 0;
		unix_wake_reader(r);
	}
	m->data->remaining += urgent;
	if (urgent && !n) {
		n = unix_send_urgent(r, s, m->data, &sender, deadline);
		total += n == 1;
		n = min(n, (ssize_t)0);
	}
	if (files) /* nothing was sent to carry them */
		unix_files_free(files);
	if (n == -EPIPE && total == 0 && !(m->flags & MSG_NOSIGNAL))
		process_signal_self(SIGPIPE);
	return total ? total : n;
}

/* Where a message goes: counted. */
static struct unix_socket *unix_destination(struct unix_socket *s, const struct socket_message *m)
{
	struct unix_socket *r;

	if (m->name_len && !unix_has_connections(s))
		return unix_find(m->name, m->name_len, s->base.type);
	scoped_mutex(&s->lock);
	r = s->peer;
	if (!r)
		return err_ptr(-ENOTCONN);
	ref_get(&r->refs);
	return r;
}

/* A datagram's receiver is gone: s is no longer connected to it. */
static int unix_refused(struct unix_socket *s, struct unix_socket *r)
{
	struct unix_socket *old;

	if (READ_ONCE(s->peer) != r)
		return -ECONNREFUSED;
	old = unix_disconnect(s);
	mutex_lock(&s->lock);
	if (!s->peer)
		s->state = UNIX_IDLE;
	mutex_unlock(&s->lock);
	if (old)
		unix_put(old);
	return -ECONNREFUSED;
}

static int unix_put_message(struct unix_socket *s, struct unix_socket *r, struct unix_buffer *b,
			    u64 deadline_ns)
{
	int err;

	mutex_lock(&r->lock);
	if (r->state == UNIX_CLOSED && !unix_has_connections(r))
		err = -ECONNREFUSED;
	else if (!unix_has_connections(r) && r->peer && r->peer != s)
		err = -EPERM;
	else
		err = unix_wait_room_locked(r, s, unix_buffer_size(b), deadline_ns);
	if (err == -EPIPE && r->state == UNIX_CLOSED && !unix_has_connections(r))
		err = -ECONNREFUSED;
	if (!err)
		unix_append_locked(r, b);
	mutex_unlock(&r->lock);
	return err == -ECONNREFUSED ? unix_refused(s, r) : err;
}

static struct unix_buffer *unix_message_buffer(struct unix_socket *s, struct socket_message *m)
{
	u64 len = m->data->remaining;
	struct unix_buffer *b;

	if (len + sizeof(*b) > s->base.send_buffer)
		return err_ptr(-EMSGSIZE);
	b = unix_buffer_alloc((u32)len);
	if (!b)
		return err_ptr(-ENOBUFS);
	b->sender = unix_sender_of(m);
	if (iobuf_get(m->data, b->data, len) < len) {
		kfree(b);
		return err_ptr(-EFAULT);
	}
	b->len = (u32)len;
	b->from = READ_ONCE(s->address);
	if (b->from)
		ref_get(&b->from->refs);
	return b;
}

static ssize_t unix_send_message(struct unix_socket *s, struct socket_message *m, u32 file_flags)
{
	u64 deadline = socket_send_deadline(&s->base, m->flags, file_flags);
	struct unix_socket *r;
	struct unix_buffer *b;
	ssize_t len;
	int err = 0;

	if (unix_has_connections(s) && m->name_len && READ_ONCE(s->peer))
		m->name_len = 0; /* a sequenced-packet socket knows its peer */
	if ((s->base.flags & SOCKET_PASS_CREDENTIALS) && !s->address && !unix_has_connections(s))
		err = unix_autobind(s);
	r = err ? err_ptr(err) : unix_destination(s, m);
	if (is_err(r))
		return ptr_err(r);
	b = unix_message_buffer(s, m);
	err = is_err(b) ? (int)ptr_err(b) : 0;
	if (!err && m->nr_files)
		err = unix_files_attach(m, &b->files);
	len = err ? 0 : b->len;
	if (!err)
		err = unix_put_message(s, r, b, deadline);
	if (err && !is_err(b))
		unix_buffer_free(b);
	if (!err)
		unix_wake_reader(r);
	unix_put(r);
	if (err == -EPIPE && unix_has_connections(s) && !(m->flags & MSG_NOSIGNAL))
		process_signal_self(SIGPIPE);
	return err ? err : len;
}

ssize_t unix_send(struct socket *sock, struct socket_message *m, u32 file_flags)
{
	struct unix_socket *s = unix_of(sock);
	int err;

	if (unix_is_stream(s))
		return unix_send_stream(s, m, file_flags);
	if (m->flags & MSG_OOB)
		return -EOPNOTSUPP;
	err = socket_take_error(sock);
	return err ? err : unix_send_message(s, m, file_flags);
}

/* ---- receiving ---- */

/* Waits for a buffer: 1, 0 = end, −errno; the lock is held. */
static int unix_wait_buffer_locked(struct unix_socket *s, bool peek, u64 deadline_ns)
	__must_hold(&s->lock)
{
	while (!unix_has_data_locked(s, peek)) {
		int err = socket_take_error(&s->base);

		if (err)
			return err;
		if (s->shutdown & UNIX_SHUT_RECEIVE)
			/* Who doesn't wait is told of no end of datagrams: there may be no peer at all. */
			return deadline_ns == 0 && !unix_has_connections(s) ? -EAGAIN : 0;
		if (unix_has_connections(s) && !s->peer)
			return unix_is_stream(s) ? -EINVAL : -ENOTCONN;
		err = unix_wait(&s->readable, &s->lock, deadline_ns);
		if (err)
			return err;
	}
	return 1;
}

/*
 * Copies from the queue: bytes, or -EFAULT.  Bytes of different senders are not
 * mixed where credentials are asked for, and a read ends behind a buffer that
 * brought files (*ended).
 */
static ssize_t unix_take_stream_locked(struct unix_socket *s, struct socket_message *m,
				       struct unix_files **files, bool *ended)
{
	struct unix_buffer *b, *next;
	ssize_t total = 0;

	list_for_each_safe(b, next, &s->queue, node) {
		bool mixed = m->has_credentials && !unix_same_sender(m, &b->sender);
		u32 want = (u32)min((u64)b->len, m->data->remaining);
		size_t n;

		if (unlikely(b->urgent)) {
			enum unix_mark mark = unix_pass_mark_locked(s, b, false, total != 0);

			if (mark == MARK_SKIP)
				continue;
			if (mark == MARK_STOP) {
				*ended = true;
				break;
			}
		}
		if (mixed && (s->base.flags & SOCKET_PASS_CREDENTIALS)) {
			*ended = true;
			break;
		}
		n = likely(!b->nr_extents) ? iobuf_put(m->data, b->data + b->offset, want) :
					     unix_put_shared(b, 0, m->data, want);
		total += (ssize_t)n;
		if (n < want)
			return total ? total : -EFAULT;
		if (!m->has_credentials)
			unix_put_sender(m, &b->sender);
		if (b->files) {
			*ended = true;
			*files = keep(b->files);
		}
		b->offset += want;
		b->len -= want;
		if (b->len == 0)
			unix_drop_locked(s, b);
		if (m->data->remaining == 0 || *ended)
			break;
	}
	return total;
}

static ssize_t unix_receive_stream(struct unix_socket *s, struct socket_message *m, u32 file_flags)
{
	u64 deadline = socket_receive_deadline(&s->base, m->flags, file_flags);
	bool peek = m->flags & MSG_PEEK, all = (m->flags & MSG_WAITALL) && !peek;
	bool ended = false, passed;
	struct unix_files *files = NULL;
	ssize_t total = 0, n;

	mutex_lock(&s->lock);
	do {
		n = likely(unix_has_data_locked(s, peek)) ?
			    1 :
			    unix_wait_buffer_locked(s, peek, deadline);
		passed = n > 0;
		if (n > 0)
			n = likely(!peek) ? unix_take_stream_locked(s, m, &files, &ended) :
					    unix_peek_stream_locked(s, m);
		if (n > 0)
			total += n;
		if (!peek) {
			unix_peek_back_locked(s, (u32)max(n, 0l));
			unix_wake_senders_locked(s);
		}
		/* Nothing but an urgent byte that was left out. */
		passed &= n == 0 && m->data->remaining && !ended;
	} while (passed || (n > 0 && all && m->data->remaining && !ended));
	mutex_unlock(&s->lock);
	m->flags &= ~(MSG_PEEK | MSG_WAITALL);
	if (files)
		unix_files_deliver(files, m);
	return total ? total : n;
}

static ssize_t unix_receive_message(struct unix_socket *s, struct socket_message *m, u32 file_flags)
{
	u64 deadline = socket_receive_deadline(&s->base, m->flags, file_flags);
	struct unix_files *files = NULL;
	u32 asked = m->flags, flags = 0, skip = 0, left;
	bool peek = asked & MSG_PEEK;
	struct unix_buffer *b;
	size_t want, done;
	ssize_t n;

	mutex_lock(&s->lock);
	n = unix_wait_buffer_locked(s, peek, deadline);
	if (n <= 0) {
		mutex_unlock(&s->lock);
		m->name_len = 0;
		return n;
	}
	b = peek ? unix_peek_first_locked(s, &skip) :
		   list_first(&s->queue, struct unix_buffer, node);
	ASSERT(b); /* it was waited for */
	left = b->len - skip;
	want = (size_t)min((u64)left, m->data->remaining);
	done = iobuf_put(m->data, b->data + skip, want);
	n = done < want ? -EFAULT : (ssize_t)(asked & MSG_TRUNC ? left : want);
	if (want < left)
		flags |= MSG_TRUNC;
	unix_put_sender(m, &b->sender);
	m->name_len = 0;
	if (b->from && m->name) {
		m->name_len = b->from->len;
		memcpy(m->name, &b->from->name, b->from->len);
	}
	if (peek) {
		b->peeked = true;
		if (n >= 0)
			unix_peek_forward_locked(s, (u32)want);
		if (b->files)
			unix_files_peek(b->files, m);
	} else {
		unix_peek_back_locked(s, b->len);
		files = keep(b->files);
		unix_drop_locked(s, b);
		unix_wake_senders_locked(s);
	}
	mutex_unlock(&s->lock);
	m->flags = flags | (m->flags & MSG_CTRUNC);
	if (files)
		unix_files_deliver(files, m);
	return n;
}

ssize_t unix_receive(struct socket *sock, struct socket_message *m, u32 file_flags)
{
	struct unix_socket *s = unix_of(sock);

	if (unlikely(m->flags & MSG_OOB)) {
		m->name_len = 0;
		return unix_is_stream(s) ? unix_receive_urgent(s, m) : -EOPNOTSUPP;
	}
	if (READ_ONCE(s->state) == UNIX_LISTENING)
		return unix_is_stream(s) ? -EINVAL : -ENOTCONN;
	if (!unix_is_stream(s))
		return unix_receive_message(s, m, file_flags);
	m->name_len = 0;
	if (m->data->remaining == 0)
		m->flags &= ~MSG_WAITALL;
	return unix_receive_stream(s, m, file_flags);
}
