/*
 * Character devices (vfs/char_device.c): the registry by device number, and the
 * nodes that devtmpfs makes of it.
 */
#pragma once

#include <nos/file.h>

struct char_device {
	const char *name; /* node in devtmpfs ("null", "pts/0" are made by devpts) */
	u32 major, minor;
	u32 nr_minors; /* registers [minor, minor + nr) */
	u32 mode; /* permissions of the node */
	const struct file_ops *ops;
	void *private;
};
int char_device_register(const struct char_device *d); /* devtmpfs shows it at once */
void char_device_unregister(const struct char_device *d);
const struct char_device *char_device_find(u64 dev);
/* devtmpfs's hook: node made or removed (vfs calls, fs/dev defines through this table). */
struct devtmpfs_hooks {
	int (*node_added)(const struct char_device *d);
	void (*node_removed)(const struct char_device *d);
};
void char_device_set_hooks(const struct devtmpfs_hooks *h);
void char_device_for_each(void (*fn)(const struct char_device *d, void *arg), void *arg);
extern const struct file_ops char_device_file_ops; /* open redirects to the device's ops */
extern const struct file_ops fifo_file_ops; /* defined by ipc */
static inline u64 make_dev(u32 major, u32 minor) /* Linux's 64-bit encoding */
{
	return (minor & 0xff) | (u64)(major & 0xfff) << 8 | (u64)(minor & ~0xffu) << 12 |
	       (u64)(major & ~0xfffu) << 32;
}
static inline u32 dev_major(u64 d)
{
	return (u32)((d >> 8) & 0xfff) | (u32)((d >> 32) & ~0xfffu);
}
static inline u32 dev_minor(u64 d)
{
	return (u32)(d & 0xff) | (u32)((d >> 12) & ~0xffu);
}
