/*
 * AF_UNIX sockets: streams, datagrams and sequenced packets between processes
 * of one machine, with passing of open files and credentials (unix(7)).
 *
 * Concepts.  A socket receives into a queue of buffers; a stream's small writes
 * are merged into the newest buffer.  Sending appends to the receiver's queue
 * under the receiver's lock.  A connection is two sockets that are each other's
 * peer; the server's side is made by connect and waits in the listener's queue
 * until it is accepted.  Names are abstract (a table here) or paths (an inode
 * that points to its socket).
 *
 * Invariants.
 *   (1) u->peer holds a reference; close drops it, so that two peers do not
 *       keep each other alive.  A stream's peer is set once.
 *   (2) u->queued is the sum of sizes of the buffers in u->queue.
 *   (3) a sender asleep on r->room saw r full under r->lock; a poller of s that
 *       saw no room has s on r->blocked, and is told by the next read of r that
 *       makes room.
 *   (4) the socket of a path name is inode->socket, under the inode's spin
 *       lock, until it closes.
 *
 * Locking.  One mutex a socket (rank SOCKET); two are taken by address.  User
 * memory may fault while one is held.  Lists of names and of all sockets have
 * locks of their own, the in-flight count too (scm.c).
 *
 * How much may wait.  A connection takes as many bytes as the sender's
 * SO_SNDBUF; a datagram socket without a mutual peer takes UNIX_MAX_DATAGRAMS
 * messages, as Linux does, so that one deaf receiver does not fill memory.
 *
 * Data is copied twice, but for what sendfile and splice bring: that stays in
 * its folios until it is read (unix_folios.c).
 *
 * References: unix(7), socket(7), cmsg(3), POSIX.1-2017 2.10.
 */
#include "unix.h"

#include <nos/assert.h>
#include <nos/errno.h>
#include <nos/pseudo.h>
#include <nos/slab.h>
#include <nos/string.h>
#include <asm/ioctls.h>
#include <linux/eventpoll.h>
#include <linux/fcntl.h>

static const struct socket_ops unix_ops;
static struct mutex all_lock = MUTEX_INIT(RANK_NONE);
static struct list all_sockets = LIST_INIT(all_sockets);

/* ---- life ---- */

struct unix_socket *unix_create(u32 type)
{
	struct unix_socket *u = kzalloc(sizeof(*u), ALLOC_USER);

	if (!u)
		return NULL;
	socket_init(&u->base, &unix_ops, AF_UNIX, type, 0);
	ref_init(&u->refs, 1);
	mutex_init(&u->lock, RANK_SOCKET);
	u->peek_offset = -1;
	list_init(&u->queue);
	wait_queue_init(&u->readable);
	wait_queue_init(&u->writable);
	wait_queue_init(&u->room);
	list_init(&u->blocked);
	list_init(&u->blocked_node);
	list_init(&u->pending);
	list_init(&u->pending_node);
	list_init(&u->name_node);
	list_init(&u->in_flight_node);
	mutex_lock(&all_lock);
	list_push_back(&all_sockets, &u->all_node);
	mutex_unlock(&all_lock);
	return u;
}

static void group_list_put(struct group_list *g)
{
	if (g && ref_put(&g->refs))
		kfree_rcu(g);
}

void unix_set_peer_cred(struct unix_socket *u, const struct unix_sender *c, struct group_list *g)
{
	if (g)
		ref_get(&g->refs);
	group_list_put(u->peer_groups);
	u->peer_cred = *c;
	u->peer_groups = g;
}

void unix_put(struct unix_socket *u)
{
	if (!ref_put(&u->refs))
		return;
	ASSERT(u->state == UNIX_CLOSED && !u->peer && list_is_empty(&u->queue));
	ASSERT(!list_is_linked(&u->blocked_node));
	kfree(u->spare);
	unix_address_put(u->address);
	group_list_put(u->peer_groups);
	kfree(u);
}

/* Tells the other side of a connection; reset: bytes were lost. */
static void unix_notify_closed(struct unix_socket *peer, bool reset)
{
	mutex_lock(&peer->lock);
	peer->shutdown |= UNIX_SHUT_RECEIVE | UNIX_SHUT_SEND;
	if (reset)
		peer->base.error = ECONNRESET;
	mutex_unlock(&peer->lock);
	wake_all_key(&peer->readable, EPOLLIN | EPOLLRDNORM | EPOLLRDHUP | EPOLLHUP | EPOLLERR);
	wake_all_key(&peer->writable, EPOLLOUT | EPOLLWRNORM | EPOLLHUP | EPOLLERR);
}

static void unix_unlist(struct unix_socket *u)
{
	scoped_mutex(&all_lock);
	list_remove(&u->all_node);
}

/* reset: the other side learns that bytes were lost even if none were. */
static void unix_close_end(struct unix_socket *u, bool reset)
{
	struct list queue, pending, *n;
	struct unix_socket *peer;

	unix_unlist(u);
	unix_unbind(u);
	list_init(&queue);
	list_init(&pending);
	mutex_lock(&u->lock);
	u->state = UNIX_CLOSED;
	u->shutdown = UNIX_SHUT_RECEIVE | UNIX_SHUT_SEND;
	reset |= !list_is_empty(&u->queue);
	list_splice_back(&queue, &u->queue);
	u->queued = u->nr_queued = 0;
	u->urgent = NULL;
	list_splice_back(&pending, &u->pending);
	while ((n = list_pop_front(&u->blocked)))
		wake_all_key(&list_entry(n, struct unix_socket, blocked_node)->writable,
			     EPOLLOUT | EPOLLWRNORM);
	mutex_unlock(&u->lock);
	wake_all(&u->room);
	wake_all_key(&u->readable, EPOLLHUP);

	peer = unix_disconnect(u);
	if (peer) {
		if (unix_has_connections(u))
			unix_notify_closed(peer, reset);
		unix_put(peer);
	}
	while ((n = list_pop_front(&pending)))
		unix_close_end(list_entry(n, struct unix_socket, pending_node), true);
	unix_buffers_bury(&queue);
	unix_put(u);
}

void unix_close(struct unix_socket *u)
{
	unix_close_end(u, false);
	unix_collect_garbage();
}

static void unix_release(struct socket *s)
{
	unix_close(unix_of(s));
}

/* ---- helpers ---- */

struct unix_sender unix_current_sender(void)
{
	const struct cred *c = cred_current();

	return (struct unix_sender){ task_current()->process->tgid, c->uid, c->gid };
}

int unix_wait(struct wait_queue *q, struct mutex *m, u64 deadline_ns)
{
	int err;

	if (deadline_ns == 0)
		return -EAGAIN;
	err = deadline_ns == TIME_NEVER ? wait_on(q, m) : wait_on_until(q, m, deadline_ns);
	return err ? socket_wait_error(err, deadline_ns) : 0;
}

__no_lock_check void unix_lock_two(struct unix_socket *a, struct unix_socket *b)
{
	if (a > b)
		swap(a, b);
	mutex_lock(&a->lock);
	if (a != b)
		mutex_lock(&b->lock);
}

__no_lock_check void unix_unlock_two(struct unix_socket *a, struct unix_socket *b)
{
	mutex_unlock(&a->lock);
	if (a != b)
		mutex_unlock(&b->lock);
}

/* ---- poll, shutdown, options ---- */

/* Whether s can send; if not, its pollers hear of room by s->writable. */
static bool unix_poll_writable(struct unix_socket *s)
{
	struct unix_socket *r;
	bool writable;

	mutex_lock(&s->lock);
	r = s->peer;
	if (r)
		ref_get(&r->refs);
	mutex_unlock(&s->lock);
	if (!r)
		return true;
	mutex_lock(&r->lock);
	writable = unix_is_writable(r, s);
	if (!writable && !list_is_linked(&s->blocked_node))
		list_push_back(&r->blocked, &s->blocked_node);
	mutex_unlock(&r->lock);
	unix_put(r);
	return writable;
}

static u32 unix_poll(struct socket *sock, struct poll_table *t)
{
	struct unix_socket *s = unix_of(sock);
	u8 state = READ_ONCE(s->state), shut;
	struct unix_socket *r;
	u32 mask = 0;

	poll_wait(t, &s->readable);
	poll_wait(t, &s->writable);
	shut = READ_ONCE(s->shutdown);
	if (READ_ONCE(s->base.error))
		mask |= EPOLLERR;
	if (shut == (UNIX_SHUT_RECEIVE | UNIX_SHUT_SEND))
		mask |= EPOLLHUP;
	if (shut & UNIX_SHUT_RECEIVE)
		mask |= EPOLLRDHUP | EPOLLIN | EPOLLRDNORM;
	if (!list_is_empty(&s->queue) || !list_is_empty(&s->pending))
		mask |= EPOLLIN | EPOLLRDNORM;
	if (READ_ONCE(s->urgent))
		mask |= EPOLLPRI;
	if (unix_has_connections(s) && state == UNIX_IDLE)
		mask |= EPOLLHUP;
	if (state == UNIX_LISTENING)
		return mask;
	r = READ_ONCE(s->peer);
	/* The look without the lock is only trusted when it says yes, of a peer that cannot change. */
	if ((r && unix_has_connections(s) && unix_is_writable(r, s)) || unix_poll_writable(s))
		mask |= EPOLLOUT | EPOLLWRNORM | EPOLLWRBAND;
	return mask;
}

static int unix_shutdown(struct socket *sock, int how)
{
	struct unix_socket *s = unix_of(sock), *peer = NULL;
	u8 mine = how == SHUT_RD ? UNIX_SHUT_RECEIVE :
		  how == SHUT_WR ? UNIX_SHUT_SEND :
				   UNIX_SHUT_RECEIVE | UNIX_SHUT_SEND;
	u8 theirs = (mine & UNIX_SHUT_SEND ? UNIX_SHUT_RECEIVE : 0) |
		    (mine & UNIX_SHUT_RECEIVE ? UNIX_SHUT_SEND : 0);

	mutex_lock(&s->lock);
	s->shutdown |= mine;
	if (unix_has_connections(s) && s->peer) {
		peer = s->peer;
		ref_get(&peer->refs);
	}
	mutex_unlock(&s->lock);
	wake_all_key(&s->readable, EPOLLIN | EPOLLRDNORM | EPOLLRDHUP | EPOLLHUP);
	wake_all_key(&s->writable, EPOLLOUT | EPOLLHUP);
	wake_all(&s->room);
	if (!peer)
		return 0;
	mutex_lock(&peer->lock);
	peer->shutdown |= theirs;
	mutex_unlock(&peer->lock);
	wake_all_key(&peer->readable, EPOLLIN | EPOLLRDNORM | EPOLLRDHUP | EPOLLHUP);
	wake_all_key(&peer->writable, EPOLLOUT | EPOLLHUP);
	wake_all(&peer->room);
	unix_put(peer);
	return 0;
}

static int unix_get_peer_cred(struct unix_socket *s, struct user_arg value, u32 *len)
{
	struct user_ucred c = { 0, ~0u, ~0u };

	mutex_lock(&s->lock);
	if (s->state != UNIX_IDLE || s->peer)
		c = (struct user_ucred){ s->peer_cred.pid, s->peer_cred.uid, s->peer_cred.gid };
	mutex_unlock(&s->lock);
	*len = min(*len, (u32)sizeof(c));
	return user_arg_write(value, &c, *len);
}

static int unix_get_peer_groups(struct unix_socket *s, struct user_arg value, u32 *len)
{
	struct group_list *g = s->peer_groups;
	u32 need = g ? g->nr * (u32)sizeof(g->gid[0]) : 0;

	if (!g)
		return -ENODATA;
	if (*len < need) {
		*len = need;
		return -ERANGE;
	}
	*len = need;
	return user_arg_write(value, g->gid, need);
}

static int unix_get_option(struct socket *sock, int level, int option, struct user_arg value,
			   u32 *len)
{
	struct unix_socket *s = unix_of(sock);
	s32 v;

	switch (option) {
	case SO_PEERCRED:
		return unix_get_peer_cred(s, value, len);
	case SO_PEERGROUPS:
		return unix_get_peer_groups(s, value, len);
	case SO_ACCEPTCONN:
		v = READ_ONCE(s->state) == UNIX_LISTENING;
		*len = min(*len, (u32)sizeof(v));
		return user_arg_write(value, &v, *len);
	case SO_PEEK_OFF:
		v = READ_ONCE(s->peek_offset);
		*len = min(*len, (u32)sizeof(v));
		return user_arg_write(value, &v, *len);
	default:
		return -ENOPROTOOPT;
	}
}

static int unix_set_option(struct socket *sock, int level, int option, struct user_arg value,
			   u32 len)
{
	return option == SO_PEEK_OFF ? unix_set_peek_offset(unix_of(sock), value, len) :
				       -ENOPROTOOPT;
}

/* Bytes that one read (datagrams) or all reads would give. */
static s32 unix_readable_bytes_locked(struct unix_socket *s)
{
	struct unix_buffer *b;
	s32 bytes = 0;

	list_for_each(b, &s->queue, node) {
		bytes += (s32)b->len;
		if (s->base.type == SOCK_DGRAM)
			break;
	}
	return bytes;
}

static long unix_ioctl(struct socket *sock, u32 cmd, struct user_arg arg)
{
	struct unix_socket *s = unix_of(sock), *r = NULL;
	s32 bytes = 0;

	if (cmd == SIOCATMARK && !unix_is_stream(s))
		return -EOPNOTSUPP;
	if (cmd == SIOCATMARK) {
		bytes = unix_is_at_mark(s);
		return user_arg_write(arg, &bytes, sizeof(bytes));
	}
	if (cmd != FIONREAD && cmd != TIOCOUTQ)
		return -ENOIOCTLCMD;
	mutex_lock(&s->lock);
	if (s->state == UNIX_LISTENING && cmd == FIONREAD)
		bytes = -EINVAL;
	else if (cmd == FIONREAD)
		bytes = unix_readable_bytes_locked(s);
	else if (s->peer)
		ref_get(&(r = s->peer)->refs);
	mutex_unlock(&s->lock);
	if (r) {
		bytes = (s32)READ_ONCE(r->queued);
		unix_put(r);
	}
	return bytes < 0 ? bytes : user_arg_write(arg, &bytes, sizeof(bytes));
}

static const struct socket_ops unix_ops = {
	.release = unix_release,
	.bind = unix_bind,
	.connect = unix_connect,
	.pair = unix_pair,
	.listen = unix_listen,
	.accept = unix_accept,
	.get_name = unix_get_name,
	.send = unix_send,
	.receive = unix_receive,
	.poll = unix_poll,
	.shutdown = unix_shutdown,
	.set_option = unix_set_option,
	.get_option = unix_get_option,
	.ioctl = unix_ioctl,
};

/* ---- the family ---- */

static struct socket *unix_family_create(u32 type, u32 protocol)
{
	struct unix_socket *u;

	if (protocol && protocol != AF_UNIX)
		return err_ptr(-EPROTONOSUPPORT);
	if (type == SOCK_RAW)
		type = SOCK_DGRAM;
	if (type != SOCK_STREAM && type != SOCK_DGRAM && type != SOCK_SEQPACKET)
		return err_ptr(-ESOCKTNOSUPPORT);
	u = unix_create(type);
	return u ? &u->base : err_ptr(-ENOMEM);
}

static const struct socket_family unix_family = { .family = AF_UNIX, .create = unix_family_create };
REGISTER_SOCKET_FAMILY(unix_family);

static void unix_show_one(struct text_out *out, struct unix_socket *u)
{
	static const u8 states[] = { [UNIX_IDLE] = 1, [UNIX_LISTENING] = 1, [UNIX_CONNECTED] = 3 };
	bool listening = u->state == UNIX_LISTENING;

	text_printf(out, "%016lx: %08X %08X %08X %04X %02X %5lu", 0ul, ref_read(&u->refs), 0,
		    listening ? 0x10000 : 0, u->base.type,
		    u->state < ARRAY_SIZE(states) ? states[u->state] : 4,
		    u->base.file ? u->base.file->inode->ino : 0);
	if (u->address) {
		u32 len = u->address->len - (u32)sizeof(u->address->name.sun_family);
		bool abstract = !u->address->name.sun_path[0];

		text_char(out, ' ');
		for (u32 i = 0; i < len - (abstract ? 0 : 1); i++)
			text_char(out, u->address->name.sun_path[i] ?: '@');
	}
	text_char(out, '\n');
}

static int unix_show(struct text_out *out, void *arg)
{
	struct unix_socket *u;

	text_printf(out, "Num       RefCount Protocol Flags    Type St Inode Path\n");
	scoped_mutex(&all_lock);
	list_for_each(u, &all_sockets, all_node)
		unix_show_one(out, u);
	return 0;
}
PSEUDO_FILE(unix_file, .path = "net/unix", .show = unix_show);
