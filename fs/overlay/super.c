/*
 * Overlay: a writable tree above read-only ones.
 *
 * Concepts.  The upper layer and each lower one are directories of other file
 * systems ("real").  A name is looked up from the top; the first layer that has
 * it wins, but directories of the same name are merged.  A character device
 * 0:0 in a higher layer (a whiteout) hides a name; a directory with the xattr
 * trusted.overlay.opaque=y hides all that is below it.  The first change of
 * a lower file copies it up.
 *
 * An overlay inode stands for one file: it knows its real dentries, and holds
 * a copy of what stat shows.  Opening it opens the real file, and the open
 * file's operations and inode become the real one's, so that read, write and
 * mmap cost nothing extra and pages are cached once.
 *
 * Invariants.
 *   (1) a lower layer is never written.
 *   (2) an upper dentry, once set, stays; it is complete before it is set
 *       (contents and attributes first, then the rename into place).
 *   (3) a lower-only inode never changes: its operations have no
 *       get_attributes, which keeps stat on the quick walk.
 *
 * Locking.  The overlay directory's lock (taken by vfs) comes before those of
 * real directories (taken by the dentry_ functions).  copy_lock serialises
 * copying up; a file's before its parents'.
 *
 * Limits.  A descriptor opened for reading before the copy-up goes on to show
 * the lower file, and a lower file with several names loses the link to the others
 * when it is copied up, both as Linux does without its index feature.  Renaming a
 * directory that has a lower part gives EXDEV, as with redirect_dir=off.
 *
 * References.  Linux's Documentation/filesystems/overlayfs.rst (behaviour and
 * on-disk form).
 */
#include <nos/init.h>
#include <nos/log.h>
#include <linux/magic.h>
#include <linux/mount.h>

#include "overlay.h"

struct overlay_config {
	char *lower, *upper, *work;
};

static int overlay_stats(struct super_block *sb, struct fs_stats *s)
{
	struct overlay_mount *m = overlay_mount(sb);
	int err = vfs_statfs(m->upper.dentry ? &m->upper : &m->lower[0], s);

	s->type = OVERLAYFS_SUPER_MAGIC;
	return err;
}

static void mount_free(struct overlay_mount *m)
{
	for (u32 i = 0; i < m->nr_lower; i++)
		path_put(&m->lower[i]);
	if (m->upper.dentry)
		path_put(&m->upper);
	if (m->work.dentry)
		path_put(&m->work);
	if (m->cred)
		cred_put(m->cred);
	kfree(m->options);
	kfree(m);
}

static void overlay_shut_down(struct super_block *sb)
{
	mount_free(overlay_mount(sb));
}

static int overlay_show_options(struct super_block *sb, char *to, size_t size)
{
	return snprintf(to, size, ",%s", overlay_mount(sb)->options);
}

static const struct super_ops overlay_super_ops = {
	.evict_inode = overlay_evict_inode,
	.free_inode = overlay_free_inode,
	.stats = overlay_stats,
	.shut_down = overlay_shut_down,
	.show_options = overlay_show_options,
};

/* ---- options ---- */

/* Cuts the next item off at `separator`, with backslashes taken away; NULL at the end. */
static char *next_item(char **s, char separator)
{
	char *start = *s, *to = *s, *from = *s;

	if (!start || !*start)
		return NULL;
	while (*from && *from != separator) {
		if (*from == '\\' && from[1])
			from++;
		*to++ = *from++;
	}
	*s = *from ? from + 1 : from;
	*to = 0;
	return start;
}

static bool starts_with(const char *s, const char *prefix)
{
	return strncmp(s, prefix, strlen(prefix)) == 0;
}

/* Features that are off here may be asked to be off. */
static bool is_harmless(const char *item)
{
	static const char *const allowed[] = { "index=off",
					       "xino=off",
					       "xino=auto",
					       "redirect_dir=off",
					       "redirect_dir=nofollow",
					       "metacopy=off",
					       "nfs_export=off",
					       "volatile" };

	for (size_t i = 0; i < ARRAY_SIZE(allowed); i++)
		if (strcmp(item, allowed[i]) == 0)
			return true;
	return false;
}

/* A comma inside a path is written with a backslash; ':' separates lower layers. */
static int parse_options(struct overlay_config *c, char *s)
{
	while (*s) {
		char *item = s;

		/* Backslashes are for the inner level. */
		while (*s && !(*s == ',' && (s == item || s[-1] != '\\')))
			s++;
		if (*s)
			*s++ = 0;
		if (starts_with(item, "lowerdir="))
			c->lower = item + 9;
		else if (starts_with(item, "upperdir="))
			c->upper = item + 9;
		else if (starts_with(item, "workdir="))
			c->work = item + 8;
		else if (*item && !is_harmless(item))
			return -EINVAL;
	}
	if (!c->lower || !*c->lower || !c->upper != !c->work)
		return -EINVAL;
	return 0;
}

static int find_dir(const char *name, struct path *out)
{
	return path_lookup(-100 /* AT_FDCWD */, name, LOOKUP_FOLLOW | LOOKUP_DIRECTORY, out);
}

/* workdir must be empty and ours: the folder "work" inside it. */
static int prepare_work(struct overlay_mount *m, char *name)
{
	struct path base;
	int err = find_dir(name, &base);

	if (err)
		return err;
	if (base.mount != m->upper.mount || base.dentry == m->upper.dentry) {
		path_put(&base);
		return -EINVAL;
	}
	err = dentry_make(base.dentry, "work", S_IFDIR | 0, 0, NULL, NULL);
	if (err == -EEXIST)
		err = 0;
	if (!err) {
		struct dentry *d = dentry_lookup(base.dentry, "work", 4);

		if (is_err(d)) {
			err = (int)ptr_err(d);
		} else if (!overlay_is_dir(d->inode)) {
			err = -ENOTDIR;
			dentry_put(d);
		} else {
			m->work = (struct path){ base.mount, d };
			dentry_put(base.dentry);
			return 0;
		}
	}
	path_put(&base);
	return err;
}

static int find_layers(struct overlay_mount *m, struct overlay_config *c)
{
	char *lower = c->lower, *item;

	while ((item = next_item(&lower, ':')) != NULL) {
		if (m->nr_lower == OVERLAY_MAX_LOWER)
			return -EINVAL;

		int err = find_dir(item, &m->lower[m->nr_lower]);

		if (err)
			return err;
		m->nr_lower++;
	}
	if (!c->upper)
		return 0;

	char *upper = c->upper, *work = c->work;
	int err = find_dir(next_item(&upper, 0), &m->upper);

	if (err) {
		m->upper = (struct path){ 0 };
		return err;
	}
	/* Copying up renames there while directories of the overlay are locked. */
	mutex_set_rank(&m->upper.dentry->sb->rename_lock, RANK_INODE_DIR);
	if (m->upper.dentry->sb->flags & MS_RDONLY)
		return -EROFS;
	return prepare_work(m, next_item(&work, 0));
}

static int make_root(struct super_block *sb, struct overlay_mount *m)
{
	u32 layers[OVERLAY_MAX_LOWER];
	struct dentry *lower[OVERLAY_MAX_LOWER];

	for (u32 i = 0; i < m->nr_lower; i++) {
		layers[i] = i;
		lower[i] = m->lower[i].dentry;
		dentry_get(lower[i]);
	}
	if (m->upper.dentry)
		dentry_get(m->upper.dentry);

	struct inode *root = overlay_inode_create(sb, m->upper.dentry, m->nr_lower, layers, lower);

	if (is_err(root))
		return (int)ptr_err(root);
	sb->root = dentry_create_root(root);
	return sb->root ? 0 : -ENOMEM;
}

static struct super_block *overlay_mount_fs(const struct fs_type *t, u32 flags, const char *source,
					    const char *options)
{
	struct overlay_mount *m = kzalloc(sizeof(*m), 0);
	char *text = kstrdup(options ? options : "", 0);
	struct overlay_config config = { 0 };
	struct super_block *sb = NULL;
	int err = -ENOMEM;

	if (m && text) {
		m->options = kstrdup(text, 0);
		spin_init(&m->lock, RANK_INODE_SPIN);
		m->cred = cred_current();
		cred_get(m->cred);
		err = m->options ? parse_options(&config, text) : -ENOMEM;
		if (!err)
			err = find_layers(m, &config);
	}
	kfree(text);
	if (!err) {
		sb = super_create(t, &overlay_super_ops, flags | (m->upper.dentry ? 0 : MS_RDONLY));
		if (!sb)
			err = -ENOMEM;
	}
	if (err) {
		if (m)
			mount_free(m);
		return err_ptr(err);
	}
	sb->private = m;
	sb->max_bytes = S64_MAX;
	err = make_root(sb, m);
	if (err) {
		super_put(sb);
		return err_ptr(err);
	}
	return sb;
}

static const struct fs_type overlay_fs = {
	.name = "overlay",
	.flags = FS_NODEV,
	.mount = overlay_mount_fs,
};
REGISTER_FS(overlay_fs);
INIT_STEP(INIT_FS, overlay_inode_cache_create);
