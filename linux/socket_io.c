/* send(2), recv(2) and their kin. */
#include "socket.h"
#include "syscalls.h"
#include "timespec.h"
#include "user_path.h"

#include <nos/socket.h>

#define MESSAGES_MAX 1024u /* of sendmmsg and recvmmsg */

long sys_sendto(int fd, const void __user *buf, size_t len, int flags, const void __user *addr,
		int addr_len)
{
	struct socket_message m = { .flags = (u32)flags };
	struct socket_name name;
	struct socket *s;
	struct iobuf data;
	scoped_fd r = { 0 };
	int err;

	len = min(len, MAX_RW_BYTES);
	if (!user_range_ok((u64)buf, len))
		return -EFAULT;
	err = socket_lookup(fd, &r, &s);
	if (!err && addr) {
		err = socket_name_from_user(&name, addr, addr_len);
		m.name = name.bytes;
		m.name_len = name.len;
	}
	if (err)
		return err;
	iobuf_init_user(&data, (u64)buf, len);
	m.data = &data;
	return s->ops->send(s, &m, r.file->flags);
}

long sys_recvfrom(int fd, void __user *buf, size_t len, int flags, void __user *addr,
		  void __user *addr_len)
{
	struct socket_message m = { .flags = (u32)flags };
	struct socket_name name;
	struct socket *s;
	struct iobuf data;
	scoped_fd r = { 0 };
	long n;

	len = min(len, MAX_RW_BYTES);
	if (!user_range_ok((u64)buf, len))
		return -EFAULT;
	n = socket_lookup(fd, &r, &s);
	if (n)
		return n;
	iobuf_init_user(&data, (u64)buf, len);
	m.data = &data;
	m.name = addr ? name.bytes : NULL;
	m.name_len = sizeof(name.bytes);
	n = s->ops->receive(s, &m, r.file->flags);
	if (n >= 0 && addr) {
		int err;

		name.len = m.name_len;
		err = socket_name_to_user(&name, addr, addr_len);
		if (err)
			return err;
	}
	return n;
}

long sys_sendmsg(int fd, const void __user *msg, int flags)
{
	struct user_msghdr h;
	struct socket *s;
	scoped_fd r = { 0 };
	int err = (u32)flags & MSG_CMSG_COMPAT ? -EINVAL : socket_lookup(fd, &r, &s);

	if (!err && get_user(h, msg))
		err = -EFAULT;
	return err ? err : socket_send_header(s, r.file->flags, &h, (u32)flags);
}

/* Writes back what a receive changes of the header. */
static int header_to_user(struct user_msghdr __user *to, const struct user_msghdr *h)
{
	if (put_user(h->name_len, user_field(to, name_len)) ||
	    put_user(h->control_len, user_field(to, control_len)) ||
	    put_user(h->flags, user_field(to, flags)))
		return -EFAULT;
	return 0;
}

long sys_recvmsg(int fd, void __user *msg, int flags)
{
	struct user_msghdr h;
	struct socket *s;
	scoped_fd r = { 0 };
	long n = (u32)flags & MSG_CMSG_COMPAT ? -EINVAL : socket_lookup(fd, &r, &s);

	if (!n && get_user(h, msg))
		n = -EFAULT;
	if (n)
		return n;
	n = socket_receive_header(s, r.file->flags, &h, (u32)flags);
	if (n >= 0 && header_to_user(msg, &h))
		return -EFAULT;
	return n;
}

long sys_sendmmsg(int fd, void __user *msgs, unsigned int nr, unsigned int flags)
{
	struct user_mmsghdr __user *to = msgs;
	struct socket *s;
	scoped_fd r = { 0 };
	long err = flags & MSG_CMSG_COMPAT ? -EINVAL : socket_lookup(fd, &r, &s);
	u32 done = 0;

	for (; !err && done < min(nr, MESSAGES_MAX); done++) {
		struct user_msghdr h;
		long n = get_user(h, user_field(&to[done], header)) ?
				 -EFAULT :
				 socket_send_header(s, r.file->flags, &h, flags);

		if (n >= 0 && put_user((u32)n, user_field(&to[done], len)))
			n = -EFAULT;
		if (n < 0) {
			err = n;
			break;
		}
	}
	return done ? (long)done : err;
}

static long receive_one(struct socket *s, u32 file_flags, struct user_mmsghdr __user *to, u32 flags)
{
	struct user_msghdr h;
	long n;

	if (get_user(h, user_field(to, header)))
		return -EFAULT;
	n = socket_receive_header(s, file_flags, &h, flags & ~MSG_WAITFORONE);
	if (n < 0)
		return n;
	return header_to_user(user_field(to, header), &h) || put_user((u32)n, user_field(to, len)) ?
		       -EFAULT :
		       0;
}

long sys_recvmmsg(int fd, void __user *msgs, unsigned int nr, unsigned int flags,
		  void __user *timeout)
{
	struct user_mmsghdr __user *to = msgs;
	u64 deadline_ns = TIME_NEVER;
	struct socket *s;
	scoped_fd r = { 0 };
	long err = flags & MSG_CMSG_COMPAT ? -EINVAL : deadline_from_user(timeout, &deadline_ns);
	u32 done = 0;

	if (!err)
		err = socket_lookup(fd, &r, &s);
	/* The time is looked at only after each message (recvmmsg(2), BUGS). */
	while (!err && done < min(nr, MESSAGES_MAX)) {
		err = receive_one(s, r.file->flags, &to[done], flags);
		if (err)
			break;
		done++;
		if (flags & MSG_WAITFORONE)
			flags |= MSG_DONTWAIT;
		if (timeout && !deadline_left(deadline_ns))
			break;
	}
	if (timeout && done) {
		struct __kernel_timespec left = timespec_from_ns(deadline_left(deadline_ns));

		if (put_user(left, timeout))
			return -EFAULT;
	}
	return done ? (long)done : err;
}
