/*
 * devtmpfs: a tmpfs, one for all its mounts, in which the nodes of registered
 * devices appear and disappear by themselves.  Everything else about it is
 * tmpfs's, so that udev or a person may add links and change modes.
 */
#include <nos/errno.h>
#include <nos/file.h>
#include <nos/init.h>
#include <nos/log.h>
#include <nos/string.h>
#include <nos/vfs.h>
#include <linux/stat.h>

static struct super_block *devices;

/* "pts/0" → the directory "pts", made if need be, with *name behind the last slash; ERR. */
static struct dentry *parent_of(const char **name)
{
	struct dentry *dir = devices->root;
	const char *slash;

	dentry_get(dir);
	while ((slash = strchr(*name, '/')) != NULL) {
		char part[64];
		size_t len = (size_t)(slash - *name);

		if (len >= sizeof(part)) {
			dentry_put(dir);
			return err_ptr(-ENAMETOOLONG);
		}
		memcpy(part, *name, len);
		part[len] = 0;

		int err = dentry_make(dir, part, S_IFDIR | 0755, 0, NULL, NULL);
		struct dentry *next =
			err && err != -EEXIST ? err_ptr(err) : dentry_lookup(dir, part, (u32)len);

		dentry_put(dir);
		if (is_err(next))
			return next;
		dir = next;
		*name = slash + 1;
	}
	return dir;
}

static int node_added(const struct char_device *d)
{
	const char *name = d->name;
	struct dentry *dir = parent_of(&name);

	if (is_err(dir))
		return (int)ptr_err(dir);

	int err = dentry_make(dir, name, S_IFCHR | (d->mode ? d->mode : 0600),
			      make_dev(d->major, d->minor), NULL, NULL);

	dentry_put(dir);
	return err == -EEXIST ? 0 : err;
}

static void node_removed(const struct char_device *d)
{
	const char *name = d->name;
	struct dentry *dir = parent_of(&name);

	if (is_err(dir))
		return;
	dentry_remove(dir, name, false);
	dentry_put(dir);
}

static const struct devtmpfs_hooks hooks = {
	.node_added = node_added,
	.node_removed = node_removed,
};

static struct super_block *devtmpfs_mount(const struct fs_type *t, u32 flags, const char *source,
					  const char *options)
{
	ref_get(&devices->refs);
	return devices;
}

static const struct fs_type devtmpfs = {
	.name = "devtmpfs",
	.flags = FS_NODEV,
	.mount = devtmpfs_mount,
};
REGISTER_FS(devtmpfs);

/* Links and folders that programs expect before any udev runs. */
static void make_usual_entries(struct dentry *root)
{
	static const struct {
		const char *name, *target;
	} links[] = {
		{ "fd", "/proc/self/fd" },
		{ "stdin", "/proc/self/fd/0" },
		{ "stdout", "/proc/self/fd/1" },
		{ "stderr", "/proc/self/fd/2" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(links); i++)
		dentry_make(root, links[i].name, S_IFLNK | 0777, 0, links[i].target, NULL);
	dentry_make(root, "pts", S_IFDIR | 0755, 0, NULL, NULL);
	dentry_make(root, "shm", S_IFDIR | S_ISVTX | 0777, 0, NULL, NULL);
}

static int devtmpfs_init(void)
{
	const struct fs_type *tmpfs = fs_type_find("tmpfs");

	if (!tmpfs)
		return -ENODEV;

	struct super_block *sb = tmpfs->mount(tmpfs, 0, "devtmpfs", "mode=0755");

	if (is_err(sb))
		return (int)ptr_err(sb);
	sb->type = &devtmpfs;
	devices = sb;
	make_usual_entries(sb->root);
	char_device_set_hooks(&hooks);
	return 0;
}
INIT_STEP(INIT_FS, devtmpfs_init);
