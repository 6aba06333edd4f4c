/*
 * The file system of pty slaves (fs/devpts), as the pty driver sees it: an
 * instance is known by the path of its root.
 */
#pragma once

#include <nos/vfs.h>

struct file;

/* The instance that an open of a ptmx node means: its own, or the one mounted on "pts" beside the node.
 * Referenced path of the root, or -ENODEV. */
int devpts_find(struct file *ptmx, struct path *root);
/* A free number, reserved: or -ENOSPC. */
int devpts_reserve(const struct path *root);
/* Shows the slave under its number, owned by the caller; `private` is what devpts_private gives. -ENOMEM. */
int devpts_add(const struct path *root, u32 index, void *private);
/* Takes it away and frees the number; also of a number that was only reserved. */
void devpts_remove(const struct path *root, u32 index);
/* What belongs to a slave's node: counted by `get` under the instance's lock; NULL if it is gone. */
void *devpts_private(struct inode *i, void (*get)(void *private));
