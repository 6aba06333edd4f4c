/* What unit tests of vfs stand on: a tmpfs to work in, and on the host the services below and above. */
#pragma once

#include "internal.h"

#include <linux/fcntl.h>
#include <linux/fs.h>
#include <linux/stat.h>
#include <nos/init.h>
#include <nos/test.h>

extern struct path world_root; /* the root of names */
/* A fresh directory as the working directory; what was made in it is gone afterwards. */
void world_enter(void);
void world_leave(void);
