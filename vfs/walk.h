/* A walk under way: what walk.c and walk_link.c share. */
#pragma once

#include "internal.h"

#define LOOKUP_PARENT (1u << 16) /* stop before the last component */
#define LOOKUP_PREFIX (1u << 17) /* of a prefix that is to be cached: quick, marks what it passes */
#define LOOKUP_AS (1u << 18) /* with credentials that are not the caller's */

struct walk {
	struct path path;
	struct inode *inode;
	const struct cred *cred; /* NULL until something asks for it; of LOOKUP_AS from the start */
	u32 seq, mount_seq, rename_seq;
	u32 flags;
	bool quick;
	u8 last_type;
	bool trailing_slash;
	bool by_cred; /* a directory was passed that not everyone may search */
	bool is_rooted; /* an absolute link was passed */
	u32 nr_links, depth;
	struct path root;
	struct path start; /* LOOKUP_PREFIX */
	const char *last;
	u32 last_len;
	u64 last_hash;
	char *owned; /* text of the innermost link that must be freed */
	struct {
		const char *rest;
		char *owned;
	} stack[MAX_SYMLINKS];
};

static inline void walk_set_cred(struct walk *w)
{
	if (likely(!w->cred))
		w->cred = cred_current();
}

/* Counted: takes over the references in *p. */
static inline void walk_set(struct walk *w, const struct path *p)
{
	w->path = *p;
	w->inode = p->dentry->inode;
}

/*
 * w stands on a link that was found in `dir`: back to dir, the link's text to be walked before
 * `rest`.  Returns the text, NULL when a magic link has moved w already, or ERR; counted walks then
 * still hold w->path and dir.
 */
const char *walk_link(struct walk *w, struct path *dir, u32 dir_seq, struct inode *dir_inode,
		      const char *rest, bool last);
