/* cpio archives in the "newc" format: the initramfs (fs/cpio). */
#pragma once

#include <nos/types.h>

struct cpio_entry {
	const char *name; /* as stored: ends in NUL within the archive */
	const u8 *data; /* contents, or a link's target without NUL */
	u64 size;
	u32 mode, uid, gid, nlink, mtime;
	u64 ino; /* with the archive's device: equal for hard links */
	u64 rdev; /* make_dev */
};

/* Calls fn for each entry of one or more concatenated archives, zeros between them.  The bytes are not
 * trusted.  0, -EINVAL where they make no sense, or what fn returned. */
int cpio_for_each(const void *data, size_t len, int (*fn)(const struct cpio_entry *e, void *arg),
		  void *arg);
