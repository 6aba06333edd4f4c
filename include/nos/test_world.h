/*
 * What unit tests stand on that need a file tree (vfs/world_test.c): a tmpfs to work in, and on the
 * host the services below and above vfs.
 */
#pragma once

#include <nos/vfs.h>

extern struct path world_root; /* the root of names */
/* A fresh directory as the working directory; what was made in it is gone afterwards. */
void world_enter(void);
void world_leave(void);
