/* Private to vfs: mount namespaces. */
#pragma once

#include <nos/vfs.h>
#include <nos/wait.h>

struct mount_namespace {
	struct ref refs;
	u32 id; /* inode number of /proc/PID/ns/mnt */
	struct mount *root;
	struct list mounts; /* in the order of mounting; under mount_lock */
	u64 event; /* counts changes */
	struct wait_queue queue;
};
