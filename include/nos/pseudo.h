/*
 * Pseudo files (vfs/pseudo.c): text that a subsystem shows or accepts under
 * /proc or /sys.  Subsystems register entries as const structs; fs/proc and
 * fs/sys mount them.
 */
#pragma once

#include <nos/iobuf.h>
#include <nos/types.h>

/* Grows as needed; after a failed allocation text is dropped and the read fails with ENOMEM. */
struct text_out {
	char *data;
	size_t len, size;
	bool failed;
};
void text_printf(struct text_out *t, const char *format, ...) __printf(2, 3);
void text_write(struct text_out *t, const char *s, size_t len);
void text_char(struct text_out *t, char c);
/* Like Linux's seq_escape: octal \ooo for bytes in `special`. */
void text_escape(struct text_out *t, const char *s, const char *special);
/* Numbers of the bits that are set as "0-3,8"; nothing for none. */
void text_bits(struct text_out *t, u64 map);
void text_free(struct text_out *t);

struct pseudo_file {
	const char *path; /* "proc/meminfo", "proc/sys/kernel/hostname", "sys/…";
					 * "net/unix": /proc/PID/net */
	u32 mode; /* S_IFREG assumed; 0 = 0444 */
	/* Whole text; 0 or −errno.  Called at the first read at position 0. */
	int (*show)(struct text_out *out, void *arg);
	/* One write of at most a page, NUL-terminated copy; bytes taken or −errno. */
	ssize_t (*store)(const char *text, size_t len, void *arg);
	void *arg;
	const struct file_ops *ops; /* instead of show/store (kmsg, kcore …) */
	const char *link; /* symlink target instead */
};
#define PSEUDO_FILE(var, ...)                                                                      \
	static const struct pseudo_file var __section("pseudo_files") __aligned(8) = { __VA_ARGS__ }
/* For things that come and go (devices, ttys). */
int pseudo_file_register(const struct pseudo_file *p);
void pseudo_file_unregister(const struct pseudo_file *p);
/* For fs/proc and fs/sys: calls fn for each registered file whose path starts with prefix. */
void pseudo_file_for_each(const char *prefix, void (*fn)(const struct pseudo_file *p, void *arg),
			  void *arg);
/* File operations of a show/store pair; private = const struct pseudo_file. */
extern const struct file_ops pseudo_file_ops;

/*
 * Directories made of registered files (vfs/pseudo_tree.c), for fs/proc and fs/sys: a path like
 * "sys/class/tty" is a directory if some registered path goes on behind it.  Absent names are not
 * cached, so that what is registered later is found.
 */
struct inode;
struct super_block;
struct dir_context;
/* The inode of `path` (file, link or directory), new, with one reference; ERR -ENOENT. */
struct inode *pseudo_tree_inode(struct super_block *sb, const char *path);
/* Names directly below `path`: calls add for those from number *position on, moving it; false: stopped. */
bool pseudo_tree_list(const char *path, struct dir_context *c, u64 *position, u64 first);
/* For super_ops.evict_inode of inodes made here. */
void pseudo_tree_evict(struct inode *i);
