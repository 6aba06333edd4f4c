/*
 * Path walk: from a name to a mount and a dentry.
 *
 * Concepts.  A walk goes through a name one component at a time.  The quick
 * walk runs in one RCU section and stores nothing: it reads each dentry inside
 * its sequence and, standing on the child, checks that the parent's sequence
 * had not moved.  Whatever it can't do (a lookup that sleeps, a revalidation,
 * a link whose text is not in memory, a race) ends it with -ECHILD, and the
 * counted walk does the whole name again with references and locks.
 *
 * Invariants.
 *   (1) quick: w->seq is the sequence of w->path.dentry from before its inode
 *       was read; w->mount_seq is even and taken before the first mount was.
 *   (2) counted: w->path is referenced; w->root is referenced for the walk.
 *   (3) a miss in a complete directory counts only if no rename ran meanwhile.
 *
 * Symbolic links (path_resolution(7), symlink(7)): the rest of the name waits
 * on a stack while the link's text is walked; 40 links in all.  Magic links
 * jump.  `..` stops at the process's root and at RESOLVE_* roots, and crosses
 * from a mounted root to the place where it is mounted.
 *
 * The plain loop of the quick walk enters a directory that a longer prefix of
 * the name leads to in one step where that is cached (path_cache.c).  Such a
 * prefix is walked once more on its own, LOOKUP_PREFIX, to be stored.
 *
 * Rejected.  Turning a quick walk into a counted one half-way: saves a few
 * hundred instructions where a sleep follows anyway, and doubles the states.
 */
#include "internal.h"
#include "path_cache.h"
#include "walk.h"

#include <linux/fs.h>
#include <nos/counter.h>

DEFINE_COUNTER(quick, "vfs.walk_quick");
DEFINE_COUNTER(counted, "vfs.walk_counted");

u32 sysctl_protected_symlinks = 1, sysctl_protected_hardlinks = 1, sysctl_protected_fifos = 1,
    sysctl_protected_regular = 2;

/* ---- stepping ---- */

static inline int walk_may_exec(struct walk *w)
{
	const struct inode *i = w->inode;

	if (likely((READ_ONCE(i->mode) & 0111) == 0111))
		return 0;
	w->by_cred = true;
	return inode_permission_cred(i, MAY_EXEC, w->cred);
}

static int quick_set(struct walk *w, struct mount *m, struct dentry *d)
{
	w->path = (struct path){ m, d };
	w->seq = seq_read_begin(&d->sequence);
	w->inode = READ_ONCE(d->inode);
	return w->inode ? 0 : -ECHILD;
}

static inline bool is_root(const struct walk *w)
{
	return w->path.dentry == w->root.dentry && w->path.mount == w->root.mount;
}

static int walk_to_root(struct walk *w)
{
	if (w->flags & LOOKUP_BENEATH)
		return -EXDEV;
	if ((w->flags & LOOKUP_NO_XDEV) && w->path.mount != w->root.mount)
		return -EXDEV;
	if (w->quick)
		return quick_set(w, w->root.mount, w->root.dentry);
	path_get(&w->root);
	path_put(&w->path);
	walk_set(w, &w->root);
	return 0;
}

/* The place has mounts, in some namespace. */
static int quick_cross_mounts(struct walk *w)
{
	do {
		struct mount *m = mount_find_rcu(w->path.mount, w->path.dentry);
		int err;

		if (!m)
			break;
		if (w->flags & LOOKUP_NO_XDEV)
			return -ECHILD;
		err = quick_set(w, m, rcu_load(m->root));
		if (err)
			return err;
	} while (unlikely(READ_ONCE(w->path.dentry->nr_mounts)));
	return 0;
}

static inline int quick_follow_mounts(struct walk *w)
{
	return unlikely(READ_ONCE(w->path.dentry->nr_mounts)) ? quick_cross_mounts(w) : 0;
}

static int quick_dotdot(struct walk *w)
{
	struct path at = w->path;
	struct dentry *parent;
	int err;

	while (at.dentry == at.mount->root) {
		struct mount *up = READ_ONCE(at.mount->parent);

		if (!up)
			return quick_follow_mounts(w);
		if (w->flags & LOOKUP_NO_XDEV)
			return -ECHILD;
		at.dentry = READ_ONCE(at.mount->mountpoint);
		at.mount = up;
		if (at.dentry == w->root.dentry && at.mount == w->root.mount)
			return quick_set(w, at.mount, at.dentry) ?: quick_follow_mounts(w);
	}
	parent = READ_ONCE(at.dentry->parent);
	err = quick_set(w, at.mount, parent);
	if (err)
		return err;
	if (seq_read_retry(&dentry_rename_sequence, w->rename_seq) ||
	    seq_read_retry(&mount_sequence, w->mount_seq))
		return -ECHILD;
	return quick_follow_mounts(w);
}

static int walk_dotdot(struct walk *w)
{
	struct dentry *parent;
	struct path at;

	if (is_root(w) && !(w->flags & LOOKUP_PREFIX))
		return w->flags & LOOKUP_BENEATH ? -EXDEV : 0;
	if (w->quick)
		return w->flags & LOOKUP_PREFIX ? -ECHILD : quick_dotdot(w);
	at = w->path;
	path_get(&at);
	while (at.dentry == at.mount->root) {
		if (!path_follow_up(&at)) {
			path_put(&at);
			return 0;
		}
		if (w->flags & LOOKUP_NO_XDEV) {
			path_put(&at);
			return -EXDEV;
		}
		if (at.dentry == w->root.dentry && at.mount == w->root.mount)
			goto done;
	}
	spin_lock(&at.dentry->lock);
	parent = at.dentry->parent;
	dentry_get(parent);
	spin_unlock(&at.dentry->lock);
	dentry_put(at.dentry);
	at.dentry = parent;
done:
	path_follow_mounts(&at);
	path_put(&w->path);
	walk_set(w, &at);
	return 0;
}

/* The cached child and its sequence; NULL in *child: there certainly is none. */
static int quick_child(struct walk *w, const char *name, u32 len, u64 hash, struct dentry **child,
		       u32 *child_seq)
{
	struct dentry *parent = w->path.dentry;
	const struct inode_ops *ops = parent->sb->dentry_ops;
	struct dentry *d = dentry_find_rcu(parent, name, len, hash, child_seq);

	if (unlikely(!d)) {
		if (!(READ_ONCE(w->inode->flags) & INODE_COMPLETE) ||
		    seq_read_retry(&dentry_rename_sequence, w->rename_seq) ||
		    seq_read_retry(&parent->sequence, w->seq))
			return -ECHILD;
		*child = NULL;
		return 0;
	}
	if (unlikely(seq_read_retry(&parent->sequence, w->seq)))
		return -ECHILD;
	if (unlikely((ops && ops->revalidate) || (READ_ONCE(d->flags) & DENTRY_LOOKING)))
		return -ECHILD;
	*child = d;
	return 0;
}

/*
 * The child as a place, mounts crossed: w->path and w->inode, or *missing.  The directory is left in
 * *dir (counted: with its reference), for links and for LOOKUP_PARENT; where the walk did not move,
 * *dir and w->path share one reference.
 */
static int walk_child(struct walk *w, const char *name, u32 len, u64 hash, struct path *dir,
		      u32 *dir_seq, struct inode **dir_inode, bool *missing)
{
	struct dentry *d;
	u32 seq;

	*missing = false;
	*dir = w->path;
	*dir_seq = w->seq;
	*dir_inode = w->inode;
	if (likely(w->quick)) {
		int err = quick_child(w, name, len, hash, &d, &seq);

		if (err)
			return err;
		if (!d) {
			*missing = true;
			return 0;
		}
		w->path.dentry = d;
		w->seq = seq;
		w->inode = READ_ONCE(d->inode);
		if (seq_read_retry(&d->sequence, seq))
			return -ECHILD;
		*missing = !w->inode;
		return w->inode ? quick_follow_mounts(w) : 0;
	}
	if (w->flags & LOOKUP_CACHED) {
		d = dentry_find(w->path.dentry, name, len, hash);
		if (!d)
			d = err_ptr(w->inode->flags & INODE_COMPLETE ? -ENOENT : -EAGAIN);
	} else {
		d = dentry_lookup_any(w->path.dentry, name, len, false);
	}
	if (is_err(d)) {
		*missing = ptr_err(d) == -ENOENT;
		return *missing ? 0 : (int)ptr_err(d);
	}
	if (dentry_is_negative(d)) {
		dentry_put(d);
		*missing = true;
		return 0;
	}
	mount_get(dir->mount);
	w->path = (struct path){ dir->mount, d };
	path_follow_mounts(&w->path);
	w->inode = w->path.dentry->inode;
	if ((w->flags & LOOKUP_NO_XDEV) && w->path.mount != dir->mount) {
		path_put(dir);
		return -EXDEV;
	}
	return 0;
}

/* ---- the texts that wait ---- */

static void walk_pop(struct walk *w, const char **name)
{
	w->depth--;
	kfree(w->owned);
	*name = w->stack[w->depth].rest;
	w->owned = w->stack[w->depth].owned;
}

static void walk_free_links(struct walk *w)
{
	kfree(w->owned);
	while (w->depth)
		kfree(w->stack[--w->depth].owned);
	w->owned = NULL;
}

/* ---- the loop ---- */

static inline const char *skip_slashes(const char *s)
{
	while (*s == '/')
		s++;
	return s;
}

static u8 component_type(const char *name, u32 len)
{
	if (name[0] != '.' || len > 2)
		return LAST_NORMAL;
	if (len == 1)
		return LAST_DOT;
	return name[1] == '.' ? LAST_DOTDOT : LAST_NORMAL;
}

/* Nothing follows, neither in this text nor in those that wait. */
static bool is_last(const struct walk *w, const char *next)
{
	if (*next)
		return false;
	for (u32 n = w->depth; n; n--)
		if (w->stack[n - 1].rest[0])
			return false;
	return true;
}

static inline bool is_link(const struct inode *i)
{
	return (i->mode & S_IFMT) == S_IFLNK;
}

/* From the child to the directory in which walk_child looked for it. */
static void walk_back(struct walk *w, const struct path *dir, u32 dir_seq, struct inode *dir_inode,
		      bool missing)
{
	if (!missing && !w->quick)
		path_put(&w->path);
	w->path = *dir;
	w->seq = dir_seq;
	w->inode = dir_inode;
}

/* The last component of a LOOKUP_PARENT walk: keep it, or go on through a link. */
static int walk_last_of_parent(struct walk *w, const char *name, u32 len, u64 hash, u8 type,
			       bool slash)
{
	w->last = name;
	w->last_len = len;
	w->last_hash = hash;
	w->last_type = type;
	w->trailing_slash = slash;
	return len > NAME_MAX ? -ENAMETOOLONG : 0;
}

/* A directory that everyone may search. */
static inline bool is_plain_dir(const struct inode *i)
{
	return (READ_ONCE(i->mode) & (S_IFMT | 0111)) == (S_IFDIR | 0111);
}

/* Of a long name: *len_and_seq has the length in its low half, the sequence in the high one. */
static __noinline struct dentry *find_long_rcu(const struct dentry *parent, const char *name,
					       u64 *len_and_seq)
{
	u32 len, seq = 0;
	u64 hash = dentry_hash_component(parent, name, &len);
	struct dentry *d = dentry_find_rcu(parent, name, len, hash, &seq);

	*len_and_seq = (u64)seq << 32 | len;
	return d;
}

/*
 * Goes as far as plain names lead through cached directories that everyone may search, mounts
 * crossed, and to a last component that is there: the case that is common, in one loop.  Returns
 * the rest of the name, w standing before it: whatever is not plain is walk_run's.  NULL: a
 * component is certainly missing.  With `more` one component at most, which must be the last one:
 * it is set where others follow.
 */
static inline __always_inline const char *walk_plain(struct walk *w, const char *name, bool *more)
{
	const u32 odd = DENTRY_LOOKING | DENTRY_REVALIDATE;
	struct dentry *at = w->path.dentry;
	struct inode *dir = w->inode;
	u32 at_seq = w->seq, seq = 0;

	if (unlikely(!*name || !is_plain_dir(dir)))
		return name;
	for (;;) {
		u64 word = load_text(name);
		u64 end = zero_bytes(word) | zero_bytes(word ^ BYTES('/'));
		const char *next;
		struct dentry *d;
		struct inode *i;
		bool last;
		u32 len;

		if (likely(end)) {
			len = (u32)__builtin_ctzll(end) / 8;
			if (unlikely((u8)word == '.' && len <= 2))
				break;
			next = name + len;
			last = !*next;
			if (last && (w->flags & LOOKUP_PARENT))
				break;
			if (more && !last) {
				*more = true;
				break;
			}
			/* Below the byte that ends it. */
			d = dentry_find_short_rcu(at, word & ((end ^ (end - 1)) >> 8), len, &seq);
		} else {
			u64 len_and_seq;

			if (more && zero_bytes(load_text(name + 8) ^ BYTES('/'))) {
				*more = true; /* most likely */
				break;
			}
			d = find_long_rcu(at, name, &len_and_seq);
			len = (u32)len_and_seq;
			seq = (u32)(len_and_seq >> 32);
			next = name + len;
			last = !*next;
			if (last && (w->flags & LOOKUP_PARENT))
				break;
		}
		if (!last &&
		    (*++next == '/' || !*next)) /* more than one slash, or one at the end */
			break;
		if (unlikely(!d)) {
			if (!(READ_ONCE(dir->flags) & INODE_COMPLETE) || len > NAME_MAX ||
			    seq_read_retry(&dentry_rename_sequence, w->rename_seq) ||
			    seq_read_retry(&at->sequence, at_seq))
				break;
			name = NULL;
			break;
		}
		i = READ_ONCE(d->inode);
		if (unlikely((READ_ONCE(d->flags) & (odd | DENTRY_HASHED)) != DENTRY_HASHED || !i ||
			     (last ? is_link(i) : !is_plain_dir(i) && !READ_ONCE(d->nr_mounts)) ||
			     seq_read_retry(&d->sequence, seq) ||
			     seq_read_retry(&at->sequence, at_seq)))
			break;
		at = d;
		at_seq = seq;
		dir = i;
		name = next;
		if (unlikely(READ_ONCE(d->nr_mounts))) {
			w->path.dentry = at;
			w->seq = at_seq;
			w->inode = dir;
			if (quick_cross_mounts(w) || (!last && !is_plain_dir(w->inode)))
				return name; /* a sequence that is stale is found at the end */
			at = w->path.dentry;
			at_seq = w->seq;
			dir = w->inode;
		}
		if (last)
			break;
		if (more) {
			*more = true;
			break;
		}
	}
	w->path.dentry = at;
	w->seq = at_seq;
	w->inode = dir;
	return name;
}

#define LOOKUP_CONFINED                                                                            \
	(LOOKUP_NO_XDEV | LOOKUP_BENEATH | LOOKUP_IN_ROOT | LOOKUP_NO_SYMLINKS |                   \
	 LOOKUP_NO_MAGICLINKS | LOOKUP_PREFIX | LOOKUP_AS)

static const char *walk_prefixes(struct walk *w, const char *name);

/* All of the plain components that come next, over cached prefixes where there are any. */
static __noinline const char *walk_plain_on(struct walk *w, const char *name)
{
	if (w->flags & LOOKUP_CONFINED)
		return name;
	return walk_plain(w, walk_prefixes(w, name), NULL);
}

/* w stands on a link in `dir`: goes through it; *name is what is to be walked next. */
static int walk_through_link(struct walk *w, struct path *dir, u32 dir_seq, struct inode *dir_inode,
			     bool last, const char *next, const char **name)
{
	const char *text = walk_link(w, dir, dir_seq, dir_inode, next, last);

	if (is_err(text)) {
		if (!w->quick)
			path_put(dir);
		return (int)ptr_err(text);
	}
	if (!text) { /* a magic link: w has moved */
		*name = next;
		return 0;
	}
	if (*text == '/') {
		int err = walk_to_root(w);

		w->is_rooted = true;
		if (err)
			return err;
	}
	*name = skip_slashes(text);
	if (w->quick)
		*name = walk_plain_on(w, *name);
	return *name ? 0 : -ENOENT;
}

/*
 * Walks `name` from w->path.  The result is in w->path and w->inode; with LOOKUP_PARENT the
 * directory, and the last component in w->last.
 */
static int walk_run(struct walk *w, const char *name)
{
	bool must_be_dir = w->flags & LOOKUP_DIRECTORY;

	if (*name == '/') {
		int err = walk_to_root(w);

		if (err)
			return err;
		name = skip_slashes(name);
	}
	w->last_type = LAST_ROOT;
	for (;;) {
		struct path dir;
		struct inode *dir_inode;
		const char *next;
		u32 len, dir_seq;
		u64 hash;
		u8 type;
		bool missing, last;
		int err;

		if (!*name) { /* this text is done: back to what waits */
			if (!w->depth)
				break;
			walk_pop(w, &name);
			name = skip_slashes(name);
			continue;
		}
		if (unlikely((w->inode->mode & S_IFMT) != S_IFDIR))
			return w->quick ? -ECHILD : -ENOTDIR;
		err = walk_may_exec(w);
		if (unlikely(err))
			return err;
		hash = dentry_hash_component(w->path.dentry, name, &len);
		if (unlikely(len > NAME_MAX))
			return w->quick ? -ECHILD : -ENAMETOOLONG;
		type = component_type(name, len);
		next = skip_slashes(name + len);
		last = is_last(w, next);
		if (last) {
			/* A slash behind the name, or behind the link that led here. */
			bool slash = name[len] == '/' || w->trailing_slash;

			if (w->flags & LOOKUP_PARENT && !(w->flags & LOOKUP_FOLLOW))
				return walk_last_of_parent(w, name, len, hash, type, slash);
			w->trailing_slash = slash;
			must_be_dir |= slash;
		}
		if (unlikely(type != LAST_NORMAL)) {
			if (last && w->flags & LOOKUP_PARENT)
				return walk_last_of_parent(w, name, len, hash, type,
							   w->trailing_slash);
			err = type == LAST_DOTDOT ? walk_dotdot(w) : 0;
			if (err)
				return err;
			name = next;
			continue;
		}
		err = walk_child(w, name, len, hash, &dir, &dir_seq, &dir_inode, &missing);
		if (unlikely(err))
			return err;
		if (last && w->flags & LOOKUP_PARENT && (missing || !is_link(w->inode))) {
			walk_back(w, &dir, dir_seq, dir_inode, missing);
			return walk_last_of_parent(w, name, len, hash, type, w->trailing_slash);
		}
		if (missing)
			return -ENOENT;
		if (unlikely(is_link(w->inode)) &&
		    (!last || w->flags & LOOKUP_FOLLOW || w->trailing_slash)) {
			err = walk_through_link(w, &dir, dir_seq, dir_inode, last, next, &name);
			if (err)
				return err;
			continue;
		}
		if (!w->quick) {
			path_put(&dir);
			name = next;
			continue;
		}
		name = walk_plain_on(w, next);
		if (!name)
			return -ENOENT;
	}
	if (w->flags & LOOKUP_PARENT) {
		w->last = "";
		w->last_len = 0;
	} else if (must_be_dir && (w->inode->mode & S_IFMT) != S_IFDIR) {
		return -ENOTDIR;
	}
	return 0;
}

static void quick_get_path(struct fs_context *fs, const struct path *of, struct path *to)
{
	u32 seq;

	do {
		seq = seq_read_begin(&fs->sequence);
		to->mount = READ_ONCE(of->mount);
		to->dentry = READ_ONCE(of->dentry);
	} while (seq_read_retry(&fs->sequence, seq));
}

/* Not by an initializer: the stack of links is large and only its used part is ever read. */
static inline void walk_init(struct walk *w, u32 flags)
{
	w->flags = flags;
	w->depth = w->nr_links = 0;
	w->owned = NULL;
	w->cred = NULL;
	w->trailing_slash = false;
	w->path.dentry = NULL;
}

/* ---- prefixes ---- */

/* Walks a prefix with all the rules, under RCU, and stores it if nothing speaks against that. */
static __noinline void prefix_fill(const struct path start, const struct prefix p, u64 hash)
{
	struct prefix_entry e = { .first = p.first, .second = p.second, .start = start };
	char text[PREFIX_MAX + 1];
	struct walk w;
	int err;

	if (!prefix_missed(hash) || !prefix_fill_begin(&e.epoch))
		return;
	memcpy(text, &e.first, PREFIX_MAX);
	text[p.len] = '\0';
	walk_init(&w, LOOKUP_PREFIX | LOOKUP_FOLLOW);
	w.by_cred = w.is_rooted = false;
	w.quick = true;
	w.cred = cred_current();
	w.root = w.start = start;
	w.mount_seq = seq_read_begin(&mount_sequence);
	w.rename_seq = seq_read_begin(&dentry_rename_sequence);
	err = quick_set(&w, start.mount, start.dentry) ?: walk_run(&w, text);
	if (err || !prefix_mark(&w.path, &start)) {
		prefix_refuse(hash);
		return;
	}
	/* Something moved meanwhile: another time. */
	if (seq_read_retry(&w.path.dentry->sequence, w.seq) ||
	    seq_read_retry(&dentry_rename_sequence, w.rename_seq) ||
	    seq_read_retry(&mount_sequence, w.mount_seq))
		return;
	e.end = w.path;
	e.special = (w.by_cred ? w.cred->id << PREFIX_CRED_SHIFT : 0) |
		    (w.is_rooted ? PREFIX_ROOTED : 0) | w.nr_links;
	prefix_store(&e, hash);
}

/* Links on the way count as if they were walked now, and who may pass is whom it was walked for. */
static __noinline bool prefix_applies(struct walk *w, const struct prefix_entry *e)
{
	u32 links = e->special & PREFIX_LINKS;

	if (e->special >> PREFIX_CRED_SHIFT &&
	    e->special >> PREFIX_CRED_SHIFT != cred_current()->id)
		return false;
	if (e->special & PREFIX_ROOTED) {
		struct fs_context *fs = fs_context_current();
		struct path root;

		quick_get_path(fs, &fs->root, &root);
		if (root.dentry != e->start.dentry || root.mount != e->start.mount)
			return false;
	}
	if (w->nr_links + links > MAX_SYMLINKS)
		return false;
	w->nr_links += links;
	return true;
}

/* From w over what of the name is cached, several components at a step: the rest of the name. */
static inline const char *walk_prefixes(struct walk *w, const char *name)
{
	const struct prefix_entry *entries = this_cpu_read(prefix_entries), *e;
	struct path at = w->path;
	struct prefix p;

	if (unlikely(!entries)) {
		prefix_rest();
		return name;
	}
	while (prefix_take(name, &p)) {
		u64 hash = prefix_hash(at.dentry, &p);
		struct inode *i;
		u32 seq;

		e = &entries[prefix_set_of(hash) * PREFIX_WAYS];
		if (unlikely(!prefix_entry_is(e, &at, &p)) && !prefix_entry_is(++e, &at, &p))
			e = NULL;
		if (unlikely(!e || !prefix_is_current(e))) {
			prefix_fill(at, p, hash);
			break;
		}
		seq = seq_read_begin(&e->end.dentry->sequence);
		i = READ_ONCE(e->end.dentry->inode);
		if (unlikely(!prefix_is_current(e) || (e->special && !prefix_applies(w, e))))
			break;
		at = w->path = e->end;
		w->seq = seq;
		w->inode = i;
		this_cpu_add(prefix_hits, 1);
		name += p.len;
	}
	return name;
}

static void get_path(struct fs_context *fs, const struct path *of, struct path *to)
{
	scoped_spin(&fs->lock);
	*to = *of;
	path_get(to);
}

/* ---- starts and ends ---- */

/* Where the walk of `name` begins, referenced unless quick; for a descriptor through *fd. */
static __always_inline int walk_start(struct walk *w, bool quick, int dirfd,
				      const struct path *base, const char *name, struct fd_ref *fd)
{
	struct fs_context *fs = fs_context_current();
	bool absolute = *name == '/' && !(w->flags & LOOKUP_IN_ROOT);
	struct path start;

	w->quick = quick;
	if (!quick)
		walk_set_cred(w);
	if (quick) {
		w->mount_seq = seq_read_begin(&mount_sequence);
		w->rename_seq = seq_read_begin(&dentry_rename_sequence);
	}
	if (base) {
		start = *base;
	} else if (dirfd == AT_FDCWD || absolute) {
		if (quick)
			quick_get_path(fs, absolute ? &fs->root : &fs->cwd, &start);
		else
			get_path(fs, absolute ? &fs->root : &fs->cwd, &start);
	} else {
		*fd = fd_lookup_any(dirfd);
		if (!fd->file)
			return -EBADF;
		start = fd->file->path;
		if (*name && (fd->file->inode->mode & S_IFMT) != S_IFDIR)
			return -ENOTDIR;
	}
	if (!quick && (base || fd->file))
		path_get(&start);
	if (w->flags & (LOOKUP_BENEATH | LOOKUP_IN_ROOT)) {
		w->root = start;
		if (!quick)
			path_get(&start);
	} else if (!quick) {
		get_path(fs, &fs->root, &w->root);
	}
	if (quick)
		return quick_set(w, start.mount, start.dentry);
	walk_set(w, &start);
	return 0;
}

/* The quick walk from its start: plain as far as that goes, then with all the rules. */
static inline __always_inline int walk_quick_run(struct walk *w, const char *name)
{
	if (likely(!(w->flags & LOOKUP_CONFINED))) {
		bool more = false;

		name = skip_slashes(name); /* the start was chosen by the first one */
		name = walk_plain(w, name, &more);
		if (more)
			name = walk_plain_on(w, name);
		if (!name)
			return -ENOENT;
		if (likely(!*name && !(w->flags & (LOOKUP_PARENT | LOOKUP_DIRECTORY))))
			return 0;
	}
	walk_set_cred(w); /* the plain loop needs none */
	if (!(w->flags & (LOOKUP_BENEATH | LOOKUP_IN_ROOT))) {
		struct fs_context *fs = fs_context_current();

		quick_get_path(fs, &fs->root, &w->root);
	}
	return walk_run(w, name);
}

/* Turns the quick walk's place into a referenced path; -ECHILD if it changed meanwhile. */
static int quick_take(struct walk *w, struct path *out)
{
	if (!percpu_ref_try_get(&w->path.mount->refs))
		return -ECHILD;
	if (!ref_get_unless_zero(&w->path.dentry->refs)) {
		rcu_read_unlock();
		mount_put(w->path.mount);
		rcu_read_lock();
		return -ECHILD;
	}
	*out = w->path;
	if (seq_read_retry(&w->path.dentry->sequence, w->seq) ||
	    seq_read_retry(&mount_sequence, w->mount_seq)) {
		rcu_read_unlock();
		path_put(out);
		rcu_read_lock();
		return -ECHILD;
	}
	return 0;
}

static int check_name(const char *name, u32 flags)
{
	return *name || (flags & LOOKUP_EMPTY) ? 0 : -ENOENT;
}

/* One attempt by RCU: 0, −errno that is final, or -ECHILD. */
static int walk_quick(struct walk *w, int dirfd, const struct path *base, const char *name,
		      struct path *out)
{
	struct fd_ref fd = { 0 };
	int err;

	rcu_read_lock();
	err = walk_start(w, true, dirfd, base, name, &fd);
	if (!err)
		err = walk_quick_run(w, name);
	if (!err)
		err = quick_take(w, out);
	else if (err != -ECHILD && w->path.dentry &&
		 (seq_read_retry(&w->path.dentry->sequence, w->seq) ||
		  seq_read_retry(&mount_sequence, w->mount_seq)))
		err = -ECHILD;
	rcu_read_unlock();
	fd_release(fd);
	return err;
}

static int walk_counted(struct walk *w, int dirfd, const struct path *base, const char *name,
			struct path *out)
{
	struct fd_ref fd = { 0 };
	int err;

	w->depth = w->nr_links = 0;
	w->owned = NULL;
	w->trailing_slash = false;
	w->path = w->root = (struct path){ 0 };
	err = walk_start(w, false, dirfd, base, name, &fd);
	if (!err) {
		err = walk_run(w, name);
		if (err)
			path_put(&w->path);
		else
			*out = w->path;
		path_put(&w->root);
	}
	fd_release(fd);
	counter_inc(counted);
	return err;
}

static int walk(struct walk *w, int dirfd, const struct path *base, const char *name,
		struct path *out)
{
	int err = check_name(name, w->flags);

	if (err)
		return err;
	err = walk_quick(w, dirfd, base, name, out);
	if (err != -ECHILD) {
		counter_inc(quick);
		return err;
	}
	return walk_counted(w, dirfd, base, name, out);
}

int path_lookup(int dirfd, const char *name, u32 flags, struct path *out)
{
	struct walk w;
	int err;

	walk_init(&w, flags);
	err = walk(&w, dirfd, NULL, name, out);
	walk_free_links(&w);
	return err;
}

int path_lookup_as(const struct cred *cred, int dirfd, const char *name, u32 flags,
		   struct path *out)
{
	struct walk w;
	int err;

	walk_init(&w, flags | LOOKUP_AS);
	w.cred = cred;
	err = walk(&w, dirfd, NULL, name, out);
	walk_free_links(&w);
	return err;
}

int path_lookup_from(const struct path *base, const char *name, u32 flags, struct path *out)
{
	struct walk w;
	int err;

	walk_init(&w, flags);
	err = walk(&w, AT_FDCWD, base, name, out);

	walk_free_links(&w);
	return err;
}

int path_lookup_parent(int dirfd, const char *name, u32 flags, struct path_parent *out)
{
	struct walk w;
	int err;

	walk_init(&w, flags | LOOKUP_PARENT);
	err = walk(&w, dirfd, NULL, name, &out->dir);

	if (!err) {
		out->name = w.last;
		out->len = w.last_len;
		out->type = w.last_type;
		out->trailing_slash = w.trailing_slash;
		out->link = NULL;
		if (w.last_len && w.nr_links) { /* the name may lie in a link's text */
			out->link = kmalloc(w.last_len + 1, 0);
			if (out->link) {
				memcpy(out->link, w.last, w.last_len);
				out->link[w.last_len] = '\0';
				out->name = out->link;
			} else {
				path_put(&out->dir);
				err = -ENOMEM;
			}
		}
	}
	walk_free_links(&w);
	return err;
}

void path_parent_put(struct path_parent *p)
{
	path_put(&p->dir);
	kfree(p->link);
}

int path_lookup_quick(int dirfd, const char *name, u32 flags,
		      int (*fn)(const struct path *p, struct inode *i, void *arg), void *arg)
{
	struct fd_ref fd = { 0 };
	struct walk w;
	int err;

	if (!*name)
		return -ECHILD;
	walk_init(&w, flags);
	rcu_read_lock();
	err = walk_start(&w, true, dirfd, NULL, name, &fd);
	if (!err)
		err = walk_quick_run(&w, name);
	if (!err)
		err = fn(&w.path, w.inode, arg);
	if (w.path.dentry && (seq_read_retry(&w.path.dentry->sequence, w.seq) ||
			      seq_read_retry(&mount_sequence, w.mount_seq)))
		err = -ECHILD;
	rcu_read_unlock();
	fd_release(fd);
	if (err != -ECHILD)
		counter_inc(quick);
	return err;
}
