/* fcntl(2), flock(2). */
#include <nos/cred.h>
#include <nos/file.h>
#include <nos/ipc.h>
#include <nos/string.h>
#include <nos/task.h>
#include <nos/vfs.h>
#include "user_path.h"

#include <linux/capability.h>
#include <linux/fcntl.h>
#include <linux/fs.h>
#include <linux/stat.h>

/* ---- status flags ---- */

#define SETFL_MASK (O_APPEND | O_NONBLOCK | O_NDELAY | O_DIRECT | O_NOATIME | FASYNC)

/* Of pipes the flag means packets. */
static bool can_be_direct(const struct file *f)
{
	u32 type = f->inode->mode & S_IFMT;

	return type == S_IFREG || type == S_IFBLK || type == S_IFIFO;
}

static long set_flags(struct file *f, u32 flags)
{
	if ((f->flags & O_APPEND) && !(flags & O_APPEND) && (f->inode->flags & INODE_APPEND))
		return -EPERM;
	if ((flags & O_NOATIME) && !(f->flags & O_NOATIME) &&
	    cred_current()->fsuid != f->inode->uid && !capable(CAP_FOWNER))
		return -EPERM;
	if ((flags & O_DIRECT) && !can_be_direct(f))
		return -EINVAL;
	if (f->ops->set_flags) {
		int err = f->ops->set_flags(f, flags);

		if (err)
			return err;
	}
	if ((f->flags ^ flags) & FASYNC) {
		int err = file_set_async(f, (flags & FASYNC) != 0);

		if (err)
			return err;
	}
	spin_lock(&f->lock);
	f->flags = (f->flags & ~(u32)SETFL_MASK) | (flags & SETFL_MASK);
	spin_unlock(&f->lock);
	return 0;
}

/* ---- record locks ---- */

/* struct flock's range as inclusive file offsets (fcntl(2), "Advisory record locking"). */
static int lock_range(struct file *f, const struct flock *l, struct file_lock_request *r)
{
	s64 start = l->l_start, base = 0;

	switch (l->l_whence) {
	case SEEK_SET:
		break;
	case SEEK_CUR:
		base = (s64)f->position;
		break;
	case SEEK_END:
		base = (s64)f->inode->size;
		break;
	default:
		return -EINVAL;
	}
	if (__builtin_add_overflow(base, start, &start))
		return -EOVERFLOW;
	if (start < 0)
		return -EINVAL;
	r->start = (u64)start;
	if (l->l_len > 0) {
		s64 end;

		if (__builtin_add_overflow(start, l->l_len - 1, &end))
			return -EOVERFLOW;
		r->end = (u64)end;
	} else if (l->l_len < 0) {
		if (start + l->l_len < 0)
			return -EINVAL;
		r->end = (u64)start - 1;
		r->start = (u64)(start + l->l_len);
	} else {
		r->end = S64_MAX;
	}
	return 0;
}

/* A record that is set after another thread's close of the descriptor has looked for records goes at once. */
static int set_record(struct file *f, int fd, struct file_lock_request *r)
{
	int err = file_lock(f, r);

	if (err || r->ofd || r->type == F_UNLCK || fd_is_file(fd, f))
		return err;
	file_locks_close(f, fd_table_current());
	return -EBADF;
}

static long record_lock(struct file *f, int fd, unsigned int cmd, void __user *arg)
{
	struct file_lock_request r = { 0 };
	struct flock l;
	int err;

	if (copy_from_user(&l, arg, sizeof(l)))
		return -EFAULT;
	if (l.l_type != F_RDLCK && l.l_type != F_WRLCK && l.l_type != F_UNLCK)
		return -EINVAL;
	err = lock_range(f, &l, &r);
	if (err)
		return err;
	r.type = l.l_type;
	r.ofd = cmd == F_OFD_GETLK || cmd == F_OFD_SETLK || cmd == F_OFD_SETLKW;
	if (r.ofd && l.l_pid)
		return -EINVAL;
	r.wait = cmd == F_SETLKW || cmd == F_OFD_SETLKW;
	r.pid = r.ofd ? -1 : task_current()->process->tgid;
	if (cmd != F_GETLK && cmd != F_OFD_GETLK) {
		if ((l.l_type == F_RDLCK && !(f->mode & FILE_READ)) ||
		    (l.l_type == F_WRLCK && !(f->mode & FILE_WRITE)))
			return -EBADF;
		return set_record(f, fd, &r);
	}
	if (l.l_type == F_UNLCK)
		return -EINVAL;
	err = file_lock_test(f, &r);
	if (err)
		return err;
	l.l_type = (short)r.type;
	if (r.type != F_UNLCK) {
		l.l_whence = SEEK_SET;
		l.l_start = (s64)r.start;
		l.l_len = r.end >= S64_MAX ? 0 : (s64)(r.end - r.start + 1);
		l.l_pid = r.ofd ? -1 : r.pid;
	}
	return copy_to_user(arg, &l, sizeof(l)) ? -EFAULT : 0;
}

long sys_flock(int fd, unsigned int operation)
{
	scoped_fd r = fd_lookup(fd);
	struct file_lock_request l = { .end = S64_MAX,
				       .flock = true,
				       .pid = task_current()->process->tgid,
				       .wait = !(operation & 4 /* LOCK_NB */) };

	if (operation & LOCK_MAND) /* once a kind of lock: does nothing, says nothing */
		return 0;
	switch (operation & ~4u) {
	case 1: /* LOCK_SH */
		l.type = F_RDLCK;
		break;
	case 2: /* LOCK_EX */
		l.type = F_WRLCK;
		break;
	case 8: /* LOCK_UN */
		l.type = F_UNLCK;
		break;
	default:
		return -EINVAL;
	}
	return r.file ? file_lock(r.file, &l) : -EBADF;
}

/* ---- fcntl ---- */

static long fcntl_rare(struct file *f, int fd, unsigned int cmd, unsigned long arg)
{
	struct pipe *pipe;

	switch (cmd) {
	case F_GETLK:
	case F_SETLK:
	case F_SETLKW:
	case F_OFD_GETLK:
	case F_OFD_SETLK:
	case F_OFD_SETLKW:
		return record_lock(f, fd, cmd, (void __user *)arg);
	case F_SETOWN:
	case F_GETOWN:
	case F_SETOWN_EX:
	case F_GETOWN_EX:
		return process_file_owner_control(f, cmd, (struct user_arg){ .value = arg });
	case F_SETSIG:
		if (arg > 64)
			return -EINVAL;
		f->owner_signal = (u32)arg;
		return 0;
	case F_GETSIG:
		return f->owner_signal;
	case F_GETLEASE:
		return F_UNLCK;
	case F_SETLEASE:
		/* No lease is ever granted: as on a file system without them. */
		if ((f->inode->mode & S_IFMT) != S_IFREG)
			return -EINVAL;
		return arg == F_UNLCK ? -EAGAIN : -EINVAL;
	case F_NOTIFY:
		return -EINVAL; /* dnotify: see inotify(7) */
	case F_SETPIPE_SZ:
	case F_GETPIPE_SZ:
		pipe = pipe_of_file(f);
		if (!pipe)
			return -EBADF;
		return cmd == F_SETPIPE_SZ ? pipe_set_size(pipe, (u32)arg) :
					     (long)pipe_get_size(pipe);
	case F_ADD_SEALS:
		return file_add_seals(f, (u32)arg);
	case F_GET_SEALS:
		return file_get_seals(f);
	default:
		return -EINVAL;
	}
}

static __noinline long dup_above(int fd, u32 first, u32 flags)
{
	if (first >= process_nofile_limit())
		return -EINVAL;
	return fd_dup(fd, first, flags);
}

__hot long sys_fcntl(int fd, unsigned int cmd, unsigned long arg)
{
	scoped_fd r = fd_lookup_any(fd);

	if (unlikely(!r.file))
		return -EBADF;
	switch (cmd) {
	case F_GETFL:
		return r.file->flags;
	case F_GETFD:
		return fd_is_cloexec(fd) ? FD_CLOEXEC : 0;
	case F_SETFD:
		return fd_set_cloexec(fd, arg & FD_CLOEXEC);
	case F_DUPFD:
	case F_DUPFD_CLOEXEC:
		return dup_above(fd, (u32)arg, cmd == F_DUPFD_CLOEXEC ? O_CLOEXEC : 0);
	}
	if (unlikely(r.file->mode & FILE_PATH))
		return -EBADF;
	if (cmd == F_SETFL)
		return set_flags(r.file, (u32)arg);
	return fcntl_rare(r.file, fd, cmd, arg);
}
