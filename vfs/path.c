/* Paths: references, their names, and where a process stands. */
#include "internal.h"

#include <linux/fs.h>

void path_get(const struct path *p)
{
	if (p->mount)
		mount_get(p->mount);
	if (p->dentry)
		dentry_get(p->dentry);
}

void path_put(struct path *p)
{
	struct path old = *p;

	*p = (struct path){ 0 };
	if (old.dentry)
		dentry_put(old.dentry);
	if (old.mount)
		mount_put(old.mount);
}

bool path_is_noexec(const struct path *p)
{
	return p->mount && ((p->mount->flags | p->mount->sb->flags) & MS_NOEXEC);
}

bool path_is_nosuid(const struct path *p)
{
	return p->mount && ((p->mount->flags | p->mount->sb->flags) & MS_NOSUID);
}

int path_want_write(const struct path *p)
{
	return p->mount ? mount_want_write(p->mount) : 0;
}

void path_end_write(const struct path *p)
{
	if (p->mount)
		mount_end_write(p->mount);
}

/* ---- names of places ---- */

struct back_writer {
	char *at, *start;
	bool full;
};

static inline __always_inline void put_back(struct back_writer *b, const char *s, size_t len)
{
	if ((size_t)(b->at - b->start) < len) {
		b->full = true;
		return;
	}
	b->at -= len;
	memcpy(b->at, s, len);
}

/* The name of a directory entry, as it was at one moment.  Under RCU, which keeps the text. */
static void put_name(struct back_writer *b, const struct dentry *d)
{
	char *end = b->at;
	const char *name;
	u32 seq, len;

	do {
		seq = seq_read_begin(&d->sequence);
		name = READ_ONCE(d->name);
		len = READ_ONCE(d->name_len);
		if (seq_read_retry(&d->sequence, seq))
			continue;
		b->at = end;
		put_back(b, name, len);
	} while (seq_read_retry(&d->sequence, seq));
	put_back(b, "/", 1);
}

/* Writes the name from p up to root; true if root was reached, false at the top of a tree. */
static bool format_up(struct back_writer *b, struct path p, const struct path *root)
{
	for (;;) {
		if (root && p.dentry == root->dentry && p.mount == root->mount)
			return true;
		if (p.mount && p.dentry == p.mount->root) {
			struct mount *up = READ_ONCE(p.mount->parent);

			if (!up)
				return !root || !root->dentry;
			p.dentry = READ_ONCE(p.mount->mountpoint);
			p.mount = up;
			continue;
		}
		if (READ_ONCE(p.dentry->parent) == p.dentry)
			return !p.mount;
		put_name(b, p.dentry);
		p.dentry = READ_ONCE(p.dentry->parent);
	}
}

char *path_format(const struct path *p, const struct path *root, char *buffer, size_t size)
{
	struct dentry *d = p->dentry;
	struct back_writer b;
	u32 rename_seq, mount_seq;

	if ((d->flags & (DENTRY_DISCONNECTED | DENTRY_NUMBERED)) == DENTRY_DISCONNECTED &&
	    d->parent == d) {
		if (d->name_len + 1 > size)
			return err_ptr(-ENAMETOOLONG);
		return memcpy(buffer, d->name, d->name_len + 1);
	}
	if (d->flags & DENTRY_NUMBERED) {
		int len = snprintf(buffer, size, "%s:[%llu]", d->name,
				   (unsigned long long)d->inode->ino);

		return (size_t)len < size ? buffer : err_ptr(-ENAMETOOLONG);
	}
	rcu_read_lock();
	do {
		bool reached;

		rename_seq = seq_read_begin(&dentry_rename_sequence);
		mount_seq = seq_read_begin(&mount_sequence);
		b = (struct back_writer){ .at = buffer + size, .start = buffer };
		put_back(&b, "", 1);
		if (READ_ONCE(d->flags) & DENTRY_DELETED)
			put_back(&b, " (deleted)", 10);
		char *end = b.at;

		reached = format_up(&b, *p, root);
		if (b.at == end)
			put_back(&b, "/", 1);
		if (!reached)
			put_back(&b, "(unreachable)", 13);
	} while (seq_read_retry(&dentry_rename_sequence, rename_seq) ||
		 seq_read_retry(&mount_sequence, mount_seq));
	rcu_read_unlock();
	return b.full ? err_ptr(-ENAMETOOLONG) : b.at;
}

/* ---- where a process stands ---- */

static __noinline char *format_cwd_any(struct fs_context *fs, char *buffer, size_t size)
{
	struct path root, cwd;
	char *name;

	spin_lock(&fs->lock);
	root = fs->root;
	cwd = fs->cwd;
	path_get(&root);
	path_get(&cwd);
	spin_unlock(&fs->lock);
	name = READ_ONCE(cwd.dentry->flags) & DENTRY_DELETED ?
		       err_ptr(-ENOENT) :
		       path_format(&cwd, &root, buffer, size);
	path_put(&root);
	path_put(&cwd);
	return name;
}

/* From d up to the root; NULL if that is not plain, or something moved.  Under RCU, which keeps all. */
static inline char *format_plain(const struct fs_context *fs, char *buffer, size_t size)
{
	u32 seq = seq_read_begin(&fs->sequence);
	u32 rename_seq = seq_read_begin(&dentry_rename_sequence);
	u32 mount_seq = seq_read_begin(&mount_sequence);
	const struct dentry *root = READ_ONCE(fs->root.dentry), *d = READ_ONCE(fs->cwd.dentry);
	const struct mount *root_mount = READ_ONCE(fs->root.mount), *m = READ_ONCE(fs->cwd.mount);
	char *at = buffer + size - 1;

	*at = '\0';
	if (seq_read_retry(&fs->sequence, seq) || (d == root && m == root_mount) ||
	    READ_ONCE(d->flags) & (DENTRY_DELETED | DENTRY_DISCONNECTED))
		return NULL;
	while (d != root || m != root_mount) {
		if (d == m->root) {
			d = READ_ONCE(m->mountpoint);
			m = READ_ONCE(m->parent);
			if (!m || !d)
				return NULL;
		} else {
			u32 name_seq = seq_read_begin(&d->sequence);
			const struct dentry *parent = READ_ONCE(d->parent);
			const char *name = READ_ONCE(d->name);
			u32 len = READ_ONCE(d->name_len);

			if (parent == d || (size_t)(at - buffer) <= len ||
			    seq_read_retry(&d->sequence, name_seq))
				return NULL;
			at -= len;
			memcpy(at, name, len);
			*--at = '/';
			d = parent;
		}
	}
	return seq_read_retry(&dentry_rename_sequence, rename_seq) ||
			       seq_read_retry(&mount_sequence, mount_seq) ?
		       NULL :
		       at;
}

char *fs_context_format_cwd(struct fs_context *fs, char *buffer, size_t size)
{
	char *name;

	rcu_read_lock();
	name = format_plain(fs, buffer, size);
	rcu_read_unlock();
	return likely(name) ? name : format_cwd_any(fs, buffer, size);
}

struct fs_context *fs_context_copy(struct fs_context *c)
{
	struct fs_context *n = kzalloc(sizeof(*n), 0);

	if (!n)
		return NULL;
	ref_init(&n->refs, 1);
	spin_init(&n->lock, RANK_FD_TABLE);
	spin_lock(&c->lock);
	n->umask = c->umask;
	n->root = c->root;
	n->cwd = c->cwd;
	path_get(&n->root);
	path_get(&n->cwd);
	spin_unlock(&c->lock);
	return n;
}

void fs_context_put(struct fs_context *c)
{
	if (!ref_put(&c->refs))
		return;
	path_put(&c->root);
	path_put(&c->cwd);
	kfree_rcu(c);
}

static int fs_context_set(struct fs_context *c, struct path *which, const struct path *p)
{
	struct path old;

	path_get(p);
	spin_lock(&c->lock);
	seq_write_begin(&c->sequence);
	old = *which;
	*which = *p;
	seq_write_end(&c->sequence);
	spin_unlock(&c->lock);
	path_put(&old);
	return 0;
}

int fs_context_set_root(struct fs_context *c, const struct path *p)
{
	return fs_context_set(c, &c->root, p);
}

int fs_context_set_cwd(struct fs_context *c, const struct path *p)
{
	return fs_context_set(c, &c->cwd, p);
}

/* pivot_root: whoever stands at the old root stands at the new one. */
void fs_context_replace(struct fs_context *c, const struct path *from, const struct path *to)
{
	struct path root, cwd;

	spin_lock(&c->lock);
	root = c->root;
	cwd = c->cwd;
	spin_unlock(&c->lock);
	if (root.mount == from->mount && root.dentry == from->dentry)
		(void)fs_context_set(c, &c->root, to);
	if (cwd.mount == from->mount && cwd.dentry == from->dentry)
		(void)fs_context_set(c, &c->cwd, to);
}
