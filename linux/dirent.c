/* getdents(2), getdents64(2). */
#include <nos/file.h>
#include <nos/slab.h>
#include <nos/string.h>
#include <nos/vfs.h>
#include "syscalls.h"

#include <linux/inotify.h>
#include <linux/stat.h>

struct dirent64 { /* struct linux_dirent64 of getdents64(2) */
	u64 ino;
	s64 next;
	u16 length;
	u8 type;
	char name[];
};

struct dirent_old { /* struct linux_dirent; the type is the record's last byte */
	u64 ino;
	u64 next;
	u16 length;
	char name[];
};

/* Records are collected here before they are copied out: a directory is locked meanwhile. */
struct dirent_buffer {
	struct dir_context context;
	u8 *data;
	size_t used, size;
	bool old, too_small;
};

static bool add_entry(struct dir_context *c, const char *name, u32 len, u64 ino, u8 type,
		      u64 next_position)
{
	struct dirent_buffer *b = container_of(c, struct dirent_buffer, context);
	size_t head = b->old ? offsetof(struct dirent_old, name) : offsetof(struct dirent64, name);
	size_t length = align_up(head + len + (b->old ? 2 : 1), 8);
	u8 *at = b->data + b->used;

	if (length > b->size - b->used) {
		b->too_small = b->used == 0;
		return false;
	}
	memset(at + length - 8, 0, 8);
	if (b->old) {
		*(struct dirent_old *)at = (struct dirent_old){ ino, next_position, (u16)length };
		at[length - 1] = type;
	} else {
		struct dirent64 *d = (struct dirent64 *)at;

		d->ino = ino;
		d->next = (s64)next_position;
		d->length = (u16)length;
		d->type = type;
	}
	memcpy(at + head, name, len);
	at[head + len] = '\0';
	b->used += length;
	return true;
}

#define DIRENT_BYTES 32768u

static long read_directory(struct file *f, void __user *to, struct dirent_buffer *b)
{
	struct inode *i = f->inode;
	u64 start;
	int err;

	mutex_lock(&f->position_lock);
	start = f->position;
	rwlock_read(&i->lock);
	if (i->flags & INODE_DELETED)
		err = -ENOENT;
	else
		err = f->ops->iterate(f, &b->context);
	rwlock_read_unlock(&i->lock);
	if (!err && b->too_small)
		err = -EINVAL;
	if (b->used && copy_to_user(to, b->data, b->used)) {
		f->position = start;
		err = -EFAULT;
		b->used = 0;
	}
	mutex_unlock(&f->position_lock);
	return b->used ? (long)b->used : err;
}

static long getdents(int fd, void __user *to, unsigned int count, bool old)
{
	struct dirent_buffer b = { .context.add = add_entry, .old = old };
	scoped_fd r = fd_lookup(fd);
	long n;

	if (!r.file)
		return -EBADF;
	if (!r.file->ops->iterate)
		return -ENOTDIR;
	/* A count that is negative as an int has no room for any entry, as on Linux. */
	b.size = (s32)count < 0 ? 0 : min(count, DIRENT_BYTES);
	b.data = kmalloc(b.size ? b.size : 1, 0);
	if (!b.data)
		return -ENOMEM;
	n = read_directory(r.file, to, &b);
	kfree(b.data);
	return n;
}

long sys_getdents64(int fd, void __user *dirents, unsigned int count)
{
	return getdents(fd, dirents, count, false);
}

long sys_getdents(int fd, void __user *dirents, unsigned int count)
{
	return getdents(fd, dirents, count, true);
}
