/* socket(2), bind(2), connect(2), accept(2), socketpair(2), options. */
#include "syscalls.h"
#include "socket.h"
#include "user_path.h"

#include <nos/file.h>
#include <nos/socket.h>
#include <linux/fcntl.h>

/* A looked-up descriptor that is a socket: 0, -EBADF, -ENOTSOCK. */
int socket_lookup(int fd, struct fd_ref *r, struct socket **s)
{
	*r = fd_lookup(fd);
	if (!r->file)
		return -EBADF;
	*s = socket_of_file(r->file);
	return *s ? 0 : -ENOTSOCK;
}

int socket_name_from_user(struct socket_name *to, const void __user *from, int len)
{
	if (len < 0 || len > (int)sizeof(to->bytes))
		return -EINVAL;
	to->len = (u32)len;
	return len && copy_from_user(to->bytes, from, (size_t)len) ? -EFAULT : 0;
}

int socket_name_to_user(const struct socket_name *from, void __user *to, void __user *user_len)
{
	s32 len;

	if (get_user(len, user_len))
		return -EFAULT;
	if (len < 0)
		return -EINVAL;
	if (copy_to_user(to, from->bytes, min((u32)len, from->len)))
		return -EFAULT;
	len = (s32)from->len;
	return put_user(len, user_len);
}

/* ---- making sockets ---- */

static int socket_check_type(int *type, u32 *flags)
{
	*flags = (u32)*type & ~SOCK_TYPE_MASK;
	*type &= SOCK_TYPE_MASK;
	return *flags & ~(u32)(SOCK_CLOEXEC | SOCK_NONBLOCK) ? -EINVAL : 0;
}

static struct socket *socket_new(int family, int type, int protocol)
{
	if (family < 0 || family >= AF_MAX)
		return err_ptr(-EAFNOSUPPORT);
	if (type > SOCK_PACKET)
		return err_ptr(-EINVAL);
	return socket_create((u32)family, (u32)type, (u32)protocol);
}

long sys_socket(int family, int type, int protocol)
{
	struct socket *s;
	struct file *f;
	u32 flags;
	int err = socket_check_type(&type, &flags);

	if (err)
		return err;
	s = socket_new(family, type, protocol);
	if (is_err(s))
		return ptr_err(s);
	f = socket_create_file(s, flags & SOCK_NONBLOCK);
	return is_err(f) ? ptr_err(f) : fd_add(f, flags & SOCK_CLOEXEC);
}

/* Two connected sockets as files. */
static int socket_make_pair(int family, int type, int protocol, u32 flags, struct file *f[2])
{
	struct socket *a = socket_new(family, type, protocol), *b;
	int err;

	if (is_err(a))
		return (int)ptr_err(a);
	b = socket_new(family, type, protocol);
	err = is_err(b) ? (int)ptr_err(b) : a->ops->pair ? a->ops->pair(a, b) : -EOPNOTSUPP;
	if (err) {
		socket_destroy(a);
		if (!is_err(b))
			socket_destroy(b);
		return err;
	}
	f[0] = socket_create_file(a, flags & SOCK_NONBLOCK);
	if (is_err(f[0])) {
		socket_destroy(b);
		return (int)ptr_err(f[0]);
	}
	f[1] = socket_create_file(b, flags & SOCK_NONBLOCK);
	if (is_err(f[1])) {
		file_put(f[0]);
		return (int)ptr_err(f[1]);
	}
	return 0;
}

long sys_socketpair(int family, int type, int protocol, void __user *fds)
{
	struct file *f[2] = { NULL, NULL };
	s32 fd[2] = { -1, -1 };
	u32 flags;
	int err = socket_check_type(&type, &flags);

	if (err)
		return err;
	/* The numbers first, which the caller sees even if there will be no sockets. */
	for (int i = 0; i < 2 && !err; i++) {
		fd[i] = fd_allocate(0, flags & SOCK_CLOEXEC);
		err = fd[i] < 0 ? fd[i] : 0;
	}
	if (!err && copy_to_user(fds, fd, sizeof(fd)))
		err = -EFAULT;
	if (!err)
		err = socket_make_pair(family, type, protocol, flags, f);
	for (int i = 0; i < 2; i++) {
		if (!err)
			fd_install(fd[i], f[i]);
		else if (fd[i] >= 0)
			fd_cancel(fd[i]);
	}
	return err;
}

/* ---- names and connections ---- */

long sys_bind(int fd, const void __user *addr, int len)
{
	struct socket_name name;
	struct socket *s;
	scoped_fd r = { 0 };
	int err = socket_lookup(fd, &r, &s);

	if (!err)
		err = socket_name_from_user(&name, addr, len);
	return err ? err : s->ops->bind(s, name.bytes, name.len);
}

long sys_connect(int fd, const void __user *addr, int len)
{
	struct socket_name name;
	struct socket *s;
	scoped_fd r = { 0 };
	int err = socket_lookup(fd, &r, &s), bad = 0;

	/* A bad address comes before a file that is no socket. */
	if (err != -EBADF)
		bad = socket_name_from_user(&name, addr, len);
	if (bad || err)
		return bad ? bad : err;
	return s->ops->connect(s, name.bytes, name.len, r.file->flags);
}

long sys_listen(int fd, int backlog)
{
	struct socket *s;
	scoped_fd r = { 0 };
	int err = socket_lookup(fd, &r, &s);

	return err ? err : s->ops->listen(s, backlog);
}

static struct file *accept_file(struct fd_ref *r, void __user *addr, void __user *len, int flags)
{
	struct socket *s = socket_of_file(r->file), *made;
	struct socket_name name;
	struct file *f;
	int err = 0;

	if (!s)
		return err_ptr(-ENOTSOCK);
	made = s->ops->accept ? s->ops->accept(s, r->file->flags) : err_ptr(-EOPNOTSUPP);
	if (is_err(made))
		return err_ptr(ptr_err(made));
	f = socket_create_file(made, (u32)flags & SOCK_NONBLOCK);
	if (is_err(f) || !addr)
		return f;
	if (made->ops->get_name(made, name.bytes, &name.len, true))
		err = -ECONNABORTED;
	else
		err = socket_name_to_user(&name, addr, len);
	if (!err)
		return f;
	file_put(f);
	return err_ptr(err);
}

/* The number comes first: who has none left finds the connection still there when it has. */
long sys_accept4(int fd, void __user *addr, void __user *len, int flags)
{
	scoped_fd r = fd_lookup(fd);
	struct file *f;
	int made;

	if (!r.file)
		return -EBADF;
	if (flags & ~(SOCK_CLOEXEC | SOCK_NONBLOCK))
		return -EINVAL;
	made = fd_allocate(0, (u32)flags & SOCK_CLOEXEC);
	if (made < 0)
		return made;
	f = accept_file(&r, addr, len, flags);
	if (is_err(f)) {
		fd_cancel(made);
		return ptr_err(f);
	}
	fd_install(made, f);
	return made;
}

long sys_accept(int fd, void __user *addr, void __user *len)
{
	return sys_accept4(fd, addr, len, 0);
}

static long socket_name_call(int fd, void __user *addr, void __user *len, bool peer)
{
	struct socket_name name;
	struct socket *s;
	scoped_fd r = { 0 };
	int err = socket_lookup(fd, &r, &s);

	if (!err)
		err = s->ops->get_name(s, name.bytes, &name.len, peer);
	return err ? err : socket_name_to_user(&name, addr, len);
}

long sys_getsockname(int fd, void __user *addr, void __user *len)
{
	return socket_name_call(fd, addr, len, false);
}

long sys_getpeername(int fd, void __user *addr, void __user *len)
{
	return socket_name_call(fd, addr, len, true);
}

long sys_shutdown(int fd, int how)
{
	struct socket *s;
	scoped_fd r = { 0 };
	int err = socket_lookup(fd, &r, &s);

	if (err)
		return err;
	return how < SHUT_RD || how > SHUT_RDWR ? -EINVAL : s->ops->shutdown(s, how);
}

/* ---- options ---- */

long sys_setsockopt(int fd, int level, int option, const void __user *value, int len)
{
	struct user_arg arg = { .value = (u64)value };
	struct socket *s;
	scoped_fd r = { 0 };
	int err = len < 0 ? -EINVAL : socket_lookup(fd, &r, &s);

	return err ? err : socket_set_option(s, level, option, arg, (u32)len);
}

long sys_getsockopt(int fd, int level, int option, void __user *value, void __user *user_len)
{
	struct user_arg arg = { .value = (u64)value };
	struct socket *s;
	u32 len;
	scoped_fd r = { 0 };
	int err = socket_lookup(fd, &r, &s);

	if (!err && get_user(len, user_len))
		err = socket_has_level(s, level) ? -EFAULT : -EOPNOTSUPP;
	if (err)
		return err;
	err = socket_get_option(s, level, option, arg, &len);
	if ((!err || err == -ERANGE) && put_user(len, user_len))
		return -EFAULT;
	return err;
}
