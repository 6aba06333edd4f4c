/*
 * Sockets: what all families share.
 *
 * A family registers a function that makes its sockets; a socket is a table of
 * operations and the options that every family has.  A struct socket lies in
 * the family's own object, which its release operation frees.  As a file it is
 * reached by read, write, poll and ioctl too; whether it exists as a file yet
 * (accept makes sockets that do not) is the family's and the caller's to know.
 *
 * References: socket(2), socket(7).
 */
#include <nos/socket.h>

#include <nos/errno.h>
#include <nos/file.h>
#include <nos/timer.h>
#include <nos/thread.h>
#include <linux/fcntl.h>
#include <linux/sockios.h>
#include <linux/stat.h>

extern const struct socket_family *const __start_socket_families[];
extern const struct socket_family *const __stop_socket_families[];

void socket_init(struct socket *s, const struct socket_ops *ops, u32 family, u32 type, u32 protocol)
{
	*s = (struct socket){
		.ops = ops,
		.family = family,
		.type = type,
		.protocol = protocol,
		.send_buffer = SOCKET_DEFAULT_BUFFER,
		.receive_buffer = SOCKET_DEFAULT_BUFFER,
		.low_water = 1,
	};
}

struct socket *socket_create(u32 family, u32 type, u32 protocol)
{
	for (const struct socket_family *const *f = __start_socket_families;
	     f < __stop_socket_families; f++)
		if ((*f)->family == family)
			return (*f)->create(type, protocol);
	return err_ptr(-EAFNOSUPPORT);
}

void socket_destroy(struct socket *s)
{
	s->ops->release(s);
}

/* ---- waiting ---- */

static u64 socket_deadline(u64 timeout_ns, bool nonblocking)
{
	if (nonblocking)
		return 0;
	return timeout_ns ? clock_monotonic_ns() + timeout_ns : TIME_NEVER;
}

u64 socket_receive_deadline(const struct socket *s, u32 flags, u32 file_flags)
{
	return socket_deadline(s->receive_timeout_ns,
			       (flags & MSG_DONTWAIT) || (file_flags & O_NONBLOCK));
}

u64 socket_send_deadline(const struct socket *s, u32 flags, u32 file_flags)
{
	return socket_deadline(s->send_timeout_ns,
			       (flags & MSG_DONTWAIT) || (file_flags & O_NONBLOCK));
}

int socket_wait_error(int err, u64 deadline_ns)
{
	if (err == -ETIMEDOUT)
		return -EAGAIN;
	return err == -ERESTARTSYS && deadline_ns != TIME_NEVER ? -EINTR : err;
}

/* ---- the file ---- */

static u32 socket_file_flags(const struct file *f, const struct iobuf *b)
{
	return f->flags | (b->flags & IOBUF_NOWAIT ? O_NONBLOCK : 0);
}

static ssize_t socket_file_read(struct file *f, struct iobuf *to, u64 *pos)
{
	struct socket *s = f->private;
	struct socket_message m = { .data = to };

	if (to->remaining == 0)
		return 0;
	return s->ops->receive(s, &m, socket_file_flags(f, to));
}

static ssize_t socket_file_write(struct file *f, struct iobuf *from, u64 *pos)
{
	struct socket *s = f->private;
	struct socket_message m = { .data = from };

	return s->ops->send(s, &m, socket_file_flags(f, from));
}

static u32 socket_file_poll(struct file *f, struct poll_table *t)
{
	struct socket *s = f->private;

	return s->ops->poll(s, t);
}

static long socket_file_ioctl(struct file *f, u32 cmd, struct user_arg arg)
{
	struct socket *s = f->private;
	s32 owner;

	switch (cmd) {
	case FIOSETOWN:
	case SIOCSPGRP:
		if (user_arg_read(arg, &owner, sizeof(owner)))
			return -EFAULT;
		arg.value = (u64)owner;
		return process_file_owner_control(f, F_SETOWN, arg);
	case FIOGETOWN:
	case SIOCGPGRP:
		owner = (s32)process_file_owner_control(f, F_GETOWN, arg);
		return user_arg_write(arg, &owner, sizeof(owner));
	default:
		break;
	}
	return s->ops->ioctl ? s->ops->ioctl(s, cmd, arg) : -ENOIOCTLCMD;
}

static void socket_file_release(struct file *f)
{
	struct socket *s = f->private;

	s->ops->release(s);
}

static const struct file_ops socket_file_ops = {
	.read = socket_file_read,
	.write = socket_file_write,
	.poll = socket_file_poll,
	.ioctl = socket_file_ioctl,
	.release = socket_file_release,
	.flags = FILE_OPS_STREAM | FILE_OPS_NOWAIT,
};

struct file *socket_create_file(struct socket *s, u32 flags)
{
	struct file *f = file_create_socket(&socket_file_ops, s, O_RDWR | (flags & O_NONBLOCK));

	if (is_err(f))
		socket_destroy(s);
	else
		s->file = f;
	return f;
}

struct socket *socket_of_file(struct file *f)
{
	return f->ops == &socket_file_ops ? f->private : NULL;
}
