/* Places: a mount and a dentry in it, and how a name leads to one (vfs/walk.c). */
#pragma once

#include <nos/types.h>

struct dentry;
struct mount;

struct path {
	struct mount *mount;
	struct dentry *dentry;
};
void path_get(const struct path *p);
void path_put(struct path *p);
bool path_is_noexec(const struct path *p);
bool path_is_nosuid(const struct path *p);
/* The mount's and the super block's flags as MS_*: for writing, -EROFS. */
int path_want_write(const struct path *p) __must_check; /* keeps it from becoming read-only */
void path_end_write(const struct path *p);

#define LOOKUP_FOLLOW 1u /* follow a final symlink */
#define LOOKUP_DIRECTORY 2u
#define LOOKUP_EMPTY 4u /* AT_EMPTY_PATH */
#define LOOKUP_NO_XDEV 8u /* RESOLVE_* of openat2 */
#define LOOKUP_NO_MAGICLINKS 16u
#define LOOKUP_NO_SYMLINKS 32u
#define LOOKUP_BENEATH 64u
#define LOOKUP_IN_ROOT 128u
#define LOOKUP_CACHED 256u
#define LOOKUP_NO_AUTOMOUNT 512u

/* Resolves; dirfd as *at() calls (AT_FDCWD); path referenced on success. */
int path_lookup(int dirfd, const char *name, u32 flags, struct path *out) __must_check;
int path_lookup_from(const struct path *base, const char *name, u32 flags,
		     struct path *out) __must_check;
/* Absolute name of p as seen from the current root into buffer's end; ERR -ENAMETOOLONG; a path that is
 * not reachable gets "(unreachable)" in front, a deleted one " (deleted)" behind. */
char *path_format(const struct path *p, const struct path *root, char *buffer, size_t size);
