/* Symbolic links in a walk: who may follow one, its text, and links that jump. */
#include "path_cache.h"
#include "walk.h"

#include <linux/mount.h>

/* A sticky world-writable directory: only one's own links are followed (proc(5), protected_symlinks). */
static int may_follow(const struct walk *w, const struct inode *dir, const struct inode *link)
{
	if (!sysctl_protected_symlinks || w->cred->fsuid == link->uid)
		return 0;
	if ((dir->mode & (S_ISVTX | S_IWOTH)) != (S_ISVTX | S_IWOTH) || dir->uid == link->uid)
		return 0;
	return -EACCES;
}

static const char *link_text(struct walk *w, struct inode *i, char **owned)
{
	const char *text = rcu_load(i->link);

	*owned = NULL;
	if (text)
		return text;
	if (!i->ops->get_link)
		return err_ptr(-EINVAL);
	if (w->quick) {
		if (!(i->flags & INODE_LINK_STABLE))
			return err_ptr(-ECHILD);
		text = i->ops->get_link(i, NULL);
		return text ? text : err_ptr(-ECHILD);
	}
	text = i->ops->get_link(i, owned);
	if (!is_err(text) && *owned && (i->flags & INODE_LINK_STABLE)) {
		char *expected = NULL;

		if (atomic_cas(&i->link, expected, *owned)) {
			*owned = NULL; /* the inode's now */
		} else {
			kfree(*owned);
			*owned = NULL;
			text = i->link;
		}
	}
	return text;
}

static int follow_magic(struct walk *w, struct inode *i, struct path *dir)
{
	struct path to;
	int err;

	if (w->flags & (LOOKUP_NO_MAGICLINKS | LOOKUP_NO_SYMLINKS))
		return -ELOOP;
	if (w->quick)
		return -ECHILD;
	err = i->ops->follow(i, &to);
	if (err)
		return err;
	if (w->flags & (LOOKUP_BENEATH | LOOKUP_IN_ROOT) ||
	    ((w->flags & LOOKUP_NO_XDEV) && to.mount != w->path.mount)) {
		path_put(&to);
		return -EXDEV;
	}
	path_put(&w->path);
	path_put(dir);
	walk_set(w, &to);
	return 0;
}

const char *walk_link(struct walk *w, struct path *dir, u32 dir_seq, struct inode *dir_inode,
		      const char *rest, bool last)
{
	struct inode *i = w->inode;
	const char *text;
	char *owned;
	int err;

	if (w->flags & LOOKUP_NO_SYMLINKS || READ_ONCE(w->path.mount->flags) & MS_NOSYMFOLLOW ||
	    ++w->nr_links > MAX_SYMLINKS)
		return err_ptr(-ELOOP);
	if (w->flags & LOOKUP_PREFIX &&
	    (!dentry_mark_prefix(w->path.dentry) || !prefix_mark(dir, &w->start)))
		return err_ptr(-ECHILD);
	err = last ? may_follow(w, dir_inode, i) : 0;
	if (err)
		return err_ptr(w->quick ? -ECHILD : err);
	if (i->ops->follow) {
		err = follow_magic(w, i, dir);
		return err ? err_ptr(err) : NULL;
	}
	text = link_text(w, i, &owned);
	if (is_err(text))
		return text;
	if (!*text) {
		kfree(owned);
		return err_ptr(-ENOENT);
	}
	if (w->quick) {
		if (seq_read_retry(&w->path.dentry->sequence, w->seq))
			return err_ptr(-ECHILD);
		w->seq = dir_seq;
	} else {
		path_put(&w->path);
	}
	w->path = *dir;
	w->inode = dir_inode;
	w->stack[w->depth].rest = rest;
	w->stack[w->depth].owned = w->owned;
	w->depth++;
	w->owned = owned;
	return text;
}
