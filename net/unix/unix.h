/* The inside of AF_UNIX sockets, for the files of net/unix. */
#pragma once

#include <nos/list.h>
#include <nos/lock.h>
#include <nos/rcu.h>
#include <nos/socket.h>
#include <nos/task.h>
#include <nos/vfs.h>
#include <nos/wait.h>
#include <linux/un.h>

struct unix_socket;

/* A name; shared by a listener and the sockets it accepts. */
struct unix_address {
	struct ref refs;
	u32 len; /* of the struct sockaddr_un that is used */
	struct sockaddr_un name;
};

/* Files under way in one message, each counted; sockets among them are "in flight" (scm.c). */
struct unix_files {
	u32 nr;
	u32 uid; /* whom they are charged to */
	struct file *file[SOCKET_MAX_FDS];
};

struct unix_sender {
	s32 pid;
	u32 uid, gid;
};

/* Bytes that were sent and not read yet: a message, or a piece of a stream. */
struct unix_buffer {
	struct list node;
	u32 offset, len; /* unread bytes: data[offset, offset + len) */
	u32 capacity; /* what is charged for them */
	struct unix_sender sender;
	struct unix_address *from; /* datagrams: the sender's name, counted, or NULL */
	struct unix_files *files;
	bool urgent; /* one byte sent with MSG_OOB; empty once it was taken: the mark stays */
	bool peeked; /* an empty datagram: MSG_PEEK has shown it */
	u8 nr_extents; /* not 0: `data` holds references on the bytes (unix_folios.c) */
	u8 data[] __aligned(8);
};

enum unix_state { UNIX_IDLE, UNIX_LISTENING, UNIX_CONNECTED, UNIX_CLOSED };

#define UNIX_SHUT_RECEIVE 1u
#define UNIX_SHUT_SEND 2u
#define UNIX_MAX_DATAGRAMS 10u /* net.unix.max_dgram_qlen */
#define UNIX_CHUNK 16384u /* the largest piece of a stream */

struct unix_socket {
	struct socket base; /* first member */
	struct ref refs; /* the file or listener's queue, the peer, callers */
	struct mutex lock; /* rank SOCKET, two by address: all below */
	u8 state; /* enum unix_state */
	u8 shutdown; /* UNIX_SHUT_ */
	bool binding; /* a bind is under way without the lock */
	bool has_path;
	struct unix_socket *peer; /* counted; of streams: set once, until close */
	struct list queue; /* struct unix_buffer: to be read here */
	u32 queued; /* their capacities and headers */
	u32 nr_queued;
	struct unix_buffer *urgent; /* in the queue: the byte that MSG_OOB gives, or NULL */
	struct unix_buffer *spare; /* kept for the next small message */
	s32 peek_offset; /* SO_PEEK_OFF: unread bytes that MSG_PEEK leaves out; negative: not used */
	struct wait_queue readable; /* messages or connections, or an end */
	struct wait_queue writable; /* for pollers of this socket: the peer has room again */
	struct wait_queue room; /* senders to this socket wait here */
	struct list blocked; /* blocked_node of those whose pollers wait for room here */
	struct list blocked_node; /* under the peer's lock */
	struct unix_address *address;
	struct path path; /* if has_path: the name's place, inode->socket is this */
	/* listening */
	u32 backlog, nr_pending;
	struct list pending; /* pending_node of sockets that nobody has accepted */
	struct list pending_node;
	/* who is on the other side (SO_PEERCRED); for listeners, who listens */
	struct unix_sender peer_cred;
	struct group_list *peer_groups; /* counted, or NULL */
	/* lists of the family, under their own locks */
	struct list name_node; /* abstract names */
	struct list all_node;
	/* garbage collection (scm.c), under its lock */
	u32 in_flight; /* references from messages */
	u32 gc_external;
	bool gc_candidate, gc_reached;
	struct list in_flight_node;
};

static inline struct unix_socket *unix_of(struct socket *s)
{
	return container_of(s, struct unix_socket, base);
}

static inline bool unix_is_stream(const struct unix_socket *u)
{
	return u->base.type == SOCK_STREAM;
}

/* Streams and sequenced packets have connections. */
static inline bool unix_has_connections(const struct unix_socket *u)
{
	return u->base.type != SOCK_DGRAM;
}

/* ---- unix.c ---- */
struct unix_socket *unix_create(u32 type); /* NULL: no memory; one reference */
void unix_close(struct unix_socket *u); /* the owner's end; drops its reference */
void unix_put(struct unix_socket *u);
struct unix_sender unix_current_sender(void);
/* Waits on q of `m`'s owner; a socket_wait_error on failure; deadline 0: -EAGAIN. */
int unix_wait(struct wait_queue *q, struct mutex *m, u64 deadline_ns) __must_hold(m);
void unix_lock_two(struct unix_socket *a, struct unix_socket *b) __acquires(&a->lock)
	__acquires(&b->lock);
void unix_unlock_two(struct unix_socket *a, struct unix_socket *b) __releases(&a->lock)
	__releases(&b->lock);
void unix_set_peer_cred(struct unix_socket *u, const struct unix_sender *c, struct group_list *g);

/* ---- unix_name.c ---- */
int unix_bind(struct socket *s, const void *name, u32 len);
int unix_autobind(struct unix_socket *u);
int unix_get_name(struct socket *s, void *name, u32 *len, bool peer);
/* The socket bound to a name: counted; -ECONNREFUSED, -EPROTOTYPE and the errors of a path walk. */
struct unix_socket *unix_find(const void *name, u32 len, u32 type);
void unix_unbind(struct unix_socket *u);
void unix_address_put(struct unix_address *a);

/* ---- unix_connect.c ---- */
int unix_connect(struct socket *s, const void *name, u32 len, u32 file_flags);
int unix_listen(struct socket *s, int backlog);
int unix_pair(struct socket *a, struct socket *b);
struct socket *unix_accept(struct socket *s, u32 file_flags);
/* Takes the peer away: counted, or NULL. */
struct unix_socket *unix_disconnect(struct unix_socket *u);

/* ---- unix_transfer.c ---- */
ssize_t unix_send(struct socket *s, struct socket_message *m, u32 file_flags);
ssize_t unix_receive(struct socket *s, struct socket_message *m, u32 file_flags);
/* Whether s has to wait before it sends to r. */
bool unix_is_full(const struct unix_socket *r, const struct unix_socket *s, u32 size);
bool unix_is_writable(const struct unix_socket *r, const struct unix_socket *s);
struct unix_buffer *unix_buffer_alloc(u32 capacity); /* NULL: no memory */
void unix_buffer_free(struct unix_buffer *b);
/* Takes b off r's queue. */
void unix_drop_locked(struct unix_socket *r, struct unix_buffer *b);
/* A buffer for `len` bytes to r, whose lock is held; NULL. */
struct unix_buffer *unix_buffer_for_locked(struct unix_socket *r, u64 len);
void unix_append_locked(struct unix_socket *r, struct unix_buffer *b);
int unix_wait_room_locked(struct unix_socket *r, struct unix_socket *s, u32 size, u64 deadline_ns)
	__must_hold(&r->lock);

static inline void unix_put_sender(struct socket_message *m, const struct unix_sender *sender)
{
	m->pid = sender->pid;
	m->uid = sender->uid;
	m->gid = sender->gid;
	m->has_credentials = true;
}

static inline bool unix_same_sender(const struct socket_message *m, const struct unix_sender *s)
{
	return m->pid == s->pid && m->uid == s->uid && m->gid == s->gid;
}

/* ---- unix_folios.c ---- */
/* Whether the next bytes of an IOBUF_FOLIOS (no files with them) can be sent by reference; the sending:
 * at least some of them, or −errno. */
bool unix_can_share(const struct unix_socket *s, struct iobuf *data);
ssize_t unix_send_shared(struct unix_socket *r, struct unix_socket *s, struct iobuf *data,
			 const struct unix_sender *sender, u64 deadline_ns);
/* iobuf_put of the unread bytes of a buffer with extents, from the skip-th on. */
size_t unix_put_shared(struct unix_buffer *b, u32 skip, struct iobuf *to, size_t len);
void unix_drop_extents(struct unix_buffer *b);

/* ---- unix_urgent.c ---- */
/* The next byte of `data` as the urgent one of r's stream: 1 or −errno. */
ssize_t unix_send_urgent(struct unix_socket *r, struct unix_socket *s, struct iobuf *data,
			 const struct unix_sender *sender, u64 deadline_ns);
ssize_t unix_receive_urgent(struct unix_socket *s, struct socket_message *m);
/* What a read of the stream does at the next buffer. */
enum unix_mark { MARK_NONE, MARK_STOP, MARK_SKIP };
enum unix_mark unix_pass_mark_locked(struct unix_socket *s, struct unix_buffer *b, bool peek,
				     bool did_read);
/* Whether a look leaves b out: the urgent byte, or its mark. */
bool unix_is_hidden_locked(const struct unix_socket *s, const struct unix_buffer *b);
bool unix_is_at_mark(struct unix_socket *s);

/* ---- unix_peek.c ---- */
int unix_set_peek_offset(struct unix_socket *s, struct user_arg value, u32 len);
/* Where a look at the queue begins, and how many bytes of that buffer it leaves out; NULL: there is
 * nothing to see. */
struct unix_buffer *unix_peek_first_locked(const struct unix_socket *s, u32 *skip);
/* MSG_PEEK of a stream: bytes, or -EFAULT.  There is something to see. */
ssize_t unix_peek_stream_locked(struct unix_socket *s, struct socket_message *m);
static inline bool unix_has_data_locked(const struct unix_socket *s, bool peek)
{
	u32 skip;

	return likely(!peek) ? !list_is_empty(&s->queue) : unix_peek_first_locked(s, &skip) != NULL;
}
/* After `bytes` were seen, and after they were read. */
static inline void unix_peek_forward_locked(struct unix_socket *s, u32 bytes)
{
	if (unlikely(s->peek_offset >= 0))
		s->peek_offset = (s32)min((u32)s->peek_offset + bytes, (u32)INT32_MAX);
}
static inline void unix_peek_back_locked(struct unix_socket *s, u32 bytes)
{
	if (unlikely(s->peek_offset >= 0))
		s->peek_offset = (s32)((u32)s->peek_offset - min(bytes, (u32)s->peek_offset));
}

/* ---- scm.c ---- */
/* Takes over the references of the message's files; -ETOOMANYREFS, -ENOMEM leave them. */
int unix_files_attach(struct socket_message *m, struct unix_files **out);
/* Puts them into a received message as far as it has room; drops the rest. */
void unix_files_deliver(struct unix_files *f, struct socket_message *m);
void unix_files_peek(const struct unix_files *f, struct socket_message *m);
void unix_files_free(struct unix_files *f);
/* Frees a list of buffers, whatever their files lead to, without deep recursion. */
void unix_buffers_bury(struct list *buffers);
/* Collects sockets that only messages in each other's queues refer to; sleeps, no lock held. */
void unix_collect_garbage(void);
