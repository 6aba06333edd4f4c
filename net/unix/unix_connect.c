/* Connections of AF_UNIX sockets: connect, listen, accept, socketpair. */
#include "unix.h"

#include <nos/assert.h>
#include <nos/errno.h>
#include <nos/slab.h>
#include <nos/string.h>
#include <linux/eventpoll.h>
#include <linux/fcntl.h>

static void unix_set_cred_current(struct unix_socket *u)
{
	const struct cred *c = cred_current();
	struct unix_sender s = { task_current()->process->tgid, c->euid, c->egid };

	unix_set_peer_cred(u, &s, c->groups);
}

struct unix_socket *unix_disconnect(struct unix_socket *u)
{
	struct unix_socket *peer;

	mutex_lock(&u->lock);
	peer = u->peer;
	u->peer = NULL;
	mutex_unlock(&u->lock);
	if (!peer)
		return NULL;
	mutex_lock(&peer->lock);
	list_remove(&u->blocked_node);
	mutex_unlock(&peer->lock);
	return peer;
}

/* ---- datagrams ---- */

/* Whether s may send to r: r is alone, or connected to s. */
static bool unix_may_send(const struct unix_socket *r, const struct unix_socket *s)
{
	const struct unix_socket *its = READ_ONCE(r->peer);

	return !its || its == s;
}

static int unix_connect_datagram(struct unix_socket *s, const void *name, u32 len)
{
	const struct sockaddr_un *a = name;
	struct unix_socket *r = NULL, *old;

	if (len < sizeof(a->sun_family))
		return -EINVAL;
	if (a->sun_family != AF_UNSPEC) {
		if ((s->base.flags & SOCKET_PASS_CREDENTIALS) && !s->address) {
			int err = unix_autobind(s);

			if (err)
				return err;
		}
		r = unix_find(name, len, SOCK_DGRAM);
		if (is_err(r))
			return (int)ptr_err(r);
		if (!unix_may_send(r, s)) {
			unix_put(r);
			return -EPERM;
		}
	}
	old = unix_disconnect(s);
	mutex_lock(&s->lock);
	swap(s->peer, r);
	s->state = s->peer ? UNIX_CONNECTED : UNIX_IDLE;
	mutex_unlock(&s->lock);
	if (r) /* another thread connected it meanwhile */
		unix_put(r);
	if (old)
		unix_put(old);
	wake_all_key(&s->writable, EPOLLOUT | EPOLLWRNORM);
	return 0;
}

/* ---- streams ---- */

/* Waits until the listener takes one more; its lock is held. */
static int unix_wait_backlog(struct unix_socket *listener, u64 deadline_ns)
	__must_hold(&listener->lock)
{
	for (;;) {
		int err;

		if (listener->state != UNIX_LISTENING || (listener->shutdown & UNIX_SHUT_RECEIVE))
			return -ECONNREFUSED;
		if (listener->nr_pending <= listener->backlog)
			return 0;
		err = unix_wait(&listener->room, &listener->lock, deadline_ns);
		if (err)
			return err;
	}
}

/* Makes a and b each other's peer; both are locked, or not yet known to others. */
static void unix_join(struct unix_socket *a, struct unix_socket *b)
{
	ref_get(&a->refs);
	ref_get(&b->refs);
	WRITE_ONCE(a->peer, b);
	WRITE_ONCE(b->peer, a);
	a->state = b->state = UNIX_CONNECTED;
}

/* Puts `made`, the server's side, into the listener's queue and joins it with s. */
static int unix_connect_to(struct unix_socket *s, struct unix_socket *made,
			   struct unix_socket *listener)
{
	int err = 0;

	unix_lock_two(s, listener);
	if (listener->state != UNIX_LISTENING || (listener->shutdown & UNIX_SHUT_RECEIVE))
		err = -ECONNREFUSED;
	else if (s->state != UNIX_IDLE)
		err = s->state == UNIX_CONNECTED ? -EISCONN : -EINVAL;
	else if (listener->nr_pending > listener->backlog)
		err = -EAGAIN;
	if (!err) {
		made->address = listener->address;
		if (made->address)
			ref_get(&made->address->refs);
		made->base.flags = listener->base.flags & SOCKET_PASS_CREDENTIALS;
		unix_set_cred_current(made);
		unix_set_peer_cred(s, &listener->peer_cred, listener->peer_groups);
		unix_join(s, made);
		list_push_back(&listener->pending, &made->pending_node);
		listener->nr_pending++;
	}
	unix_unlock_two(s, listener);
	return err;
}

static int unix_connect_stream(struct unix_socket *s, const void *name, u32 len, u32 file_flags)
{
	u64 deadline = socket_send_deadline(&s->base, 0, file_flags);
	struct unix_socket *listener, *made;
	int err = 0;

	if ((s->base.flags & SOCKET_PASS_CREDENTIALS) && !s->address)
		err = unix_autobind(s);
	if (err)
		return err;
	made = unix_create(s->base.type);
	if (!made)
		return -ENOMEM;
	listener = unix_find(name, len, s->base.type);
	if (is_err(listener)) {
		unix_close(made);
		return (int)ptr_err(listener);
	}
	do {
		mutex_lock(&listener->lock);
		err = listener == s ? -EINVAL : unix_wait_backlog(listener, deadline);
		mutex_unlock(&listener->lock);
		if (!err) {
			err = unix_connect_to(s, made, listener);
			if (err != -EAGAIN)
				break;
			err = 0;
		}
	} while (!err);

	if (!err) {
		if (!list_is_empty(&listener->readable.waiters))
			wake_one_key(&listener->readable, EPOLLIN | EPOLLRDNORM);
		wake_all_key(&s->writable, EPOLLOUT | EPOLLWRNORM);
	} else {
		unix_close(made);
	}
	unix_put(listener);
	return err;
}

int unix_connect(struct socket *sock, const void *name, u32 len, u32 file_flags)
{
	struct unix_socket *s = unix_of(sock);

	if (!unix_has_connections(s))
		return unix_connect_datagram(s, name, len);
	return unix_connect_stream(s, name, len, file_flags);
}

int unix_listen(struct socket *sock, int backlog)
{
	struct unix_socket *s = unix_of(sock);
	bool more;

	if (!unix_has_connections(s))
		return -EOPNOTSUPP;
	mutex_lock(&s->lock);
	if (!s->address || (s->state != UNIX_IDLE && s->state != UNIX_LISTENING)) {
		mutex_unlock(&s->lock);
		return -EINVAL;
	}
	if (backlog < 0 || backlog > SOCKET_MAX_BACKLOG)
		backlog = SOCKET_MAX_BACKLOG;
	more = (u32)backlog > s->backlog;
	s->backlog = (u32)backlog;
	s->state = UNIX_LISTENING;
	unix_set_cred_current(s);
	mutex_unlock(&s->lock);
	if (more)
		wake_all(&s->room);
	return 0;
}

struct socket *unix_accept(struct socket *sock, u32 file_flags)
{
	struct unix_socket *s = unix_of(sock), *made = NULL;
	u64 deadline = socket_receive_deadline(sock, 0, file_flags);
	int err = 0;

	if (!unix_has_connections(s))
		return err_ptr(-EOPNOTSUPP);
	mutex_lock(&s->lock);
	while (!made && !err) {
		struct list *n;

		if (s->state != UNIX_LISTENING || (s->shutdown & UNIX_SHUT_RECEIVE)) {
			err = -EINVAL;
			break;
		}
		n = list_pop_front(&s->pending);
		if (n)
			made = list_entry(n, struct unix_socket, pending_node);
		else
			err = unix_wait(&s->readable, &s->lock, deadline);
	}
	if (made)
		s->nr_pending--;
	mutex_unlock(&s->lock);
	if (!made)
		return err_ptr(err);
	if (!list_is_empty(&s->room.waiters))
		wake_all(&s->room);
	return &made->base;
}

int unix_pair(struct socket *a, struct socket *b)
{
	unix_set_cred_current(unix_of(a));
	unix_set_cred_current(unix_of(b));
	unix_join(unix_of(a), unix_of(b));
	return 0;
}
