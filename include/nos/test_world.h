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
/* Makes the file say `text` (O_CREAT, O_TRUNC, O_APPEND); 0 or −errno. */
int world_put_text(const char *name, const char *text, u32 flags);
/* EXPECTs that it says just that. */
void world_expect_text(const char *name, const char *want);
/* 0, or why there is nothing of that name; links are not followed. */
int world_exists(const char *name);
