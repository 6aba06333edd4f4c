/*
 * Sockets (net/): families and types register a table; linux/socket.c copies
 * user structures and calls these.
 */
#pragma once

#include <nos/file.h>
#include <nos/iobuf.h>
#include <nos/socket_abi.h>
#include <nos/types.h>

struct socket;
struct cred;

/* A message: data, address, ancillary data, all in kernel memory (iobuf may be user memory). */
#define SOCKET_MAX_FDS 253
struct socket_message {
	struct iobuf *data;
	void *name; /* struct sockaddr storage, 128 bytes, or NULL */
	u32 name_len; /* in: given or size; out: actual */
	u32 flags; /* in: MSG_*; out: MSG_TRUNC, MSG_CTRUNC, MSG_EOR */
	/* ancillary data */
	struct file **files; /* send: counted by caller; receive: array to fill, counted */
	u32 nr_files, max_files;
	bool has_credentials, want_credentials;
	s32 pid;
	u32 uid, gid;
	u64 timestamp_ns; /* 0 = none */
};

struct socket_ops {
	bool has_levels; /* options of other levels than SOL_SOCKET */
	void (*release)(struct socket *s);
	int (*bind)(struct socket *s, const void *name, u32 len);
	int (*connect)(struct socket *s, const void *name, u32 len, u32 file_flags);
	int (*pair)(struct socket *a, struct socket *b);
	int (*listen)(struct socket *s, int backlog);
	/* A new connected socket (not yet a file) or ERR. */
	struct socket *(*accept)(struct socket *s, u32 file_flags);
	int (*get_name)(struct socket *s, void *name, u32 *len, bool peer);
	ssize_t (*send)(struct socket *s, struct socket_message *m, u32 file_flags);
	ssize_t (*receive)(struct socket *s, struct socket_message *m, u32 file_flags);
	u32 (*poll)(struct socket *s, struct poll_table *t);
	int (*shutdown)(struct socket *s, int how);
	int (*set_option)(struct socket *s, int level, int option, struct user_arg value, u32 len);
	int (*get_option)(struct socket *s, int level, int option, struct user_arg value, u32 *len);
	long (*ioctl)(struct socket *s, u32 cmd, struct user_arg arg);
};
struct socket {
	const struct socket_ops *ops;
	u32 family, type, protocol;
	struct file *file; /* not counted; NULL before it is one */
	void *private;
	/* SOL_SOCKET's options that every family shares (net/socket_option.c) */
	u32 send_buffer, receive_buffer;
	u64 send_timeout_ns, receive_timeout_ns; /* 0: for ever */
	u32 flags; /* SOCKET_ */
	u32 low_water, priority, mark;
	s32 linger_seconds;
	s32 error; /* SO_ERROR: taken by the next call, atomic */
};
#define SOCKET_PASS_CREDENTIALS bit(SO_PASSCRED) /* flag options are bits by their number */
#define SOCKET_DEFAULT_BUFFER 212992u
/* Fills in the shared part; the family's ops follow. */
void socket_init(struct socket *s, const struct socket_ops *ops, u32 family, u32 type,
		 u32 protocol);
/* Deadlines of calls on s: 0 = do not wait. */
u64 socket_receive_deadline(const struct socket *s, u32 flags, u32 file_flags);
u64 socket_send_deadline(const struct socket *s, u32 flags, u32 file_flags);
/* What an interrupted or late wait returns (signal(7)): -EINTR where a timeout is set, else
 * -ERESTARTSYS; -EAGAIN for -ETIMEDOUT. */
int socket_wait_error(int err, u64 deadline_ns);
static inline int socket_take_error(struct socket *s)
{
	return READ_ONCE(s->error) ? -atomic_xchg(&s->error, 0) : 0;
}
struct socket_family {
	u32 family;
	struct socket *(*create)(u32 type, u32 protocol); /* ERR */
};
#define REGISTER_SOCKET_FAMILY(var)                                                                \
	static const struct socket_family *const socket_family_##var __section(                    \
		"socket_families") = &(var)
/* Whether it has options of a level: -EOPNOTSUPP otherwise, before anything else is looked at. */
static inline bool socket_has_level(const struct socket *s, int level)
{
	return level == SOL_SOCKET || s->ops->has_levels;
}
/* The inner calls of getsockopt and setsockopt. */
int socket_set_option(struct socket *s, int level, int option, struct user_arg value, u32 len);
int socket_get_option(struct socket *s, int level, int option, struct user_arg value, u32 *len);
/* -EAFNOSUPPORT when nobody registered the family. */
struct socket *socket_create(u32 family, u32 type, u32 protocol);
void socket_destroy(struct socket *s); /* not yet a file */
struct file *socket_create_file(struct socket *s, u32 flags); /* consumes s also on error */
struct socket *socket_of_file(struct file *f); /* NULL: not a socket (ENOTSOCK) */
