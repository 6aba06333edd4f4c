/* sendmsg(2) and recvmsg(2): headers and ancillary data (cmsg(3)). */
#include "socket.h"
#include "syscalls.h"
#include "user_path.h"

#include <nos/cred.h>
#include <nos/slab.h>
#include <nos/socket.h>
#include <nos/string.h>
#include <nos/task.h>
#include <linux/capability.h>
#include <linux/fcntl.h>
#include <linux/uio.h>

#define CONTROL_MAX 20480u /* net.core.optmem_max */
#define CMSG_HEADER sizeof(struct user_cmsghdr)

static void put_files(struct file **files, u32 nr)
{
	for (u32 i = 0; i < nr; i++)
		file_put(files[i]);
}

/* ---- sending ---- */

static int control_add_files(struct socket_message *m, const s32 *fds, u32 nr)
{
	if (!m->files)
		m->files = kcalloc(SOCKET_MAX_FDS, sizeof(*m->files), ALLOC_USER);
	if (!m->files)
		return -ENOMEM;
	if (nr > SOCKET_MAX_FDS - m->nr_files)
		return -EINVAL;
	for (u32 i = 0; i < nr; i++) {
		struct file *f = fd_get_file(fds[i]);

		if (!f)
			return -EBADF;
		m->files[m->nr_files++] = f;
	}
	return 0;
}

/* One may claim another identity only with the right to take it (unix(7)). */
static int control_set_credentials(struct socket_message *m, const struct user_ucred *u)
{
	const struct cred *c = cred_current();

	if (u->pid != task_current()->process->tgid && !capable(CAP_SYS_ADMIN))
		return -EPERM;
	if (u->uid != c->uid && u->uid != c->euid && u->uid != c->suid && !capable(CAP_SETUID))
		return -EPERM;
	if (u->gid != c->gid && u->gid != c->egid && u->gid != c->sgid && !capable(CAP_SETGID))
		return -EPERM;
	m->has_credentials = true;
	m->pid = u->pid;
	m->uid = u->uid;
	m->gid = u->gid;
	return 0;
}

static int control_parse_one(struct socket_message *m, const struct user_cmsghdr *c)
{
	const void *data = c + 1;
	u64 len = c->len - CMSG_HEADER;

	if (c->level != SOL_SOCKET)
		return 0;
	switch (c->type) {
	case SCM_RIGHTS:
		return control_add_files(m, data, (u32)(len / sizeof(s32)));
	case SCM_CREDENTIALS:
		if (len != sizeof(struct user_ucred))
			return -EINVAL;
		return control_set_credentials(m, data);
	default:
		return -EINVAL;
	}
}

static int control_parse(struct socket_message *m, const u8 *control, u64 len)
{
	u64 at = 0;

	while (len - at >= CMSG_HEADER) {
		const struct user_cmsghdr *c = (const void *)(control + at);
		int err;

		if (c->len < CMSG_HEADER || c->len > len - at)
			return -EINVAL;
		err = control_parse_one(m, c);
		if (err)
			return err;
		at += align_up(c->len, 8);
		if (at > len)
			break;
	}
	return 0;
}

static int control_from_user(struct socket_message *m, const struct user_msghdr *h)
{
	scoped_kfree u8 *control = NULL;

	if (!h->control_len)
		return 0;
	if (h->control_len > CONTROL_MAX)
		return -ENOBUFS;
	control = kmalloc(h->control_len, ALLOC_USER);
	if (!control)
		return -ENOBUFS;
	if (copy_from_user(control, (const void __user *)h->control, h->control_len))
		return -EFAULT;
	return control_parse(m, control, h->control_len);
}

long socket_send_header(struct socket *s, u32 file_flags, const struct user_msghdr *h, u32 flags)
{
	struct socket_message m = { .flags = flags };
	struct socket_name name;
	scoped_user_vec vec = { 0 };
	struct iobuf data;
	long n = 0;

	if (h->nr_vec > UIO_MAXIOV)
		return -EMSGSIZE;
	if (h->name && h->name_len) {
		n = socket_name_from_user(&name, (const void __user *)h->name, h->name_len);
		m.name = name.bytes;
		m.name_len = name.len;
	}
	if (!n)
		n = user_vec_get(&vec, &data, (const void __user *)h->vec, h->nr_vec);
	if (!n)
		n = control_from_user(&m, h);
	if (!n) {
		m.data = &data;
		n = s->ops->send(s, &m, file_flags);
	}
	if (m.files) {
		put_files(m.files, m.nr_files);
		kfree(m.files);
	}
	return n;
}

/* ---- receiving ---- */

/* Where ancillary data goes, and how much of it was used. */
struct control_out {
	u64 base, size, used;
	bool truncated;
};

/* Room for `len` bytes of data behind a header: how many of them fit; -EFAULT. */
static s64 control_begin(struct control_out *c, s32 type, u64 len)
{
	struct user_cmsghdr header = { .level = SOL_SOCKET, .type = type };
	u64 room = c->size - c->used;

	if (room < CMSG_HEADER) {
		c->truncated = true;
		return 0;
	}
	if (room - CMSG_HEADER < len) {
		c->truncated = true;
		len = room - CMSG_HEADER;
		if (type == SCM_RIGHTS)
			len = align_down(len, sizeof(s32));
	}
	if (len == 0)
		return 0;
	header.len = CMSG_HEADER + len;
	return put_user(header, (void __user *)(c->base + c->used)) ? -EFAULT : (s64)len;
}

static void control_end(struct control_out *c, u64 len)
{
	c->used += min(align_up(CMSG_HEADER + len, 8), c->size - c->used);
}

static void control_put_credentials(struct control_out *c, const struct socket_message *m)
{
	struct user_ucred u = { m->pid, m->uid, m->gid };
	s64 len = control_begin(c, SCM_CREDENTIALS, sizeof(u));

	if (len <= 0)
		return;
	if (copy_to_user((void __user *)(c->base + c->used + CMSG_HEADER), &u, (size_t)len))
		return;
	control_end(c, (u64)len);
}

/* Installs the files in new descriptors; those that find no place are closed. */
static void control_put_files(struct control_out *c, struct socket_message *m, u32 fd_flags)
{
	u64 at = c->base + c->used + CMSG_HEADER;
	s64 room = control_begin(c, SCM_RIGHTS, m->nr_files * sizeof(s32));
	u32 max = room > 0 ? (u32)room / (u32)sizeof(s32) : 0, nr = 0;
	struct user_cmsghdr header;

	for (; nr < max; nr++) {
		s32 fd = fd_allocate(0, fd_flags);

		if (fd < 0)
			break;
		if (put_user(fd, (s32 __user *)(at + nr * sizeof(fd)))) {
			fd_cancel(fd);
			break;
		}
		fd_install(fd, m->files[nr]);
	}
	if (nr < m->nr_files)
		c->truncated = true;
	put_files(m->files + nr, m->nr_files - nr);
	if (nr == 0)
		return;
	header = (struct user_cmsghdr){ CMSG_HEADER + nr * sizeof(s32), SOL_SOCKET, SCM_RIGHTS };
	if (put_user(header, (void __user *)(c->base + c->used)))
		c->truncated = true;
	control_end(c, nr * sizeof(s32));
}

static void control_to_user(struct socket *s, struct socket_message *m, struct user_msghdr *h,
			    u32 flags)
{
	struct control_out c = { .base = h->control, .size = h->control ? h->control_len : 0 };

	if ((s->flags & SOCKET_PASS_CREDENTIALS) && m->has_credentials)
		control_put_credentials(&c, m);
	if (m->nr_files)
		control_put_files(&c, m, flags & MSG_CMSG_CLOEXEC ? O_CLOEXEC : 0);
	if (c.truncated)
		m->flags |= MSG_CTRUNC;
	h->control_len = c.used;
}

long socket_receive_header(struct socket *s, u32 file_flags, struct user_msghdr *h, u32 flags)
{
	struct socket_message m = { .flags = flags & ~MSG_CMSG_CLOEXEC };
	struct socket_name name = { .len = sizeof(name.bytes) };
	scoped_kfree struct file **files = NULL;
	scoped_user_vec vec = { 0 };
	struct iobuf data;
	long n;

	if (h->name_len < 0)
		return -EINVAL;
	if (h->nr_vec > UIO_MAXIOV)
		return -EMSGSIZE;
	n = user_vec_get(&vec, &data, (const void __user *)h->vec, h->nr_vec);
	if (n)
		return n;
	if (h->control && h->control_len >= CMSG_HEADER + sizeof(s32)) {
		m.files = files = kcalloc(SOCKET_MAX_FDS, sizeof(*files), ALLOC_USER);
		if (!files)
			return -ENOMEM;
		m.max_files = SOCKET_MAX_FDS;
	}
	m.data = &data;
	m.name = h->name ? name.bytes : NULL;
	m.name_len = name.len;
	n = s->ops->receive(s, &m, file_flags);
	if (n < 0)
		return n;
	control_to_user(s, &m, h, flags);
	if (h->name) {
		u32 len = min((u32)h->name_len, m.name_len);

		if (copy_to_user((void __user *)h->name, name.bytes, len))
			n = -EFAULT;
	}
	h->name_len = h->name ? (s32)m.name_len : 0;
	h->flags = m.flags & (MSG_TRUNC | MSG_CTRUNC | MSG_EOR);
	if (flags & MSG_CMSG_CLOEXEC)
		h->flags |= MSG_CMSG_CLOEXEC;
	return n;
}
