/*
 * 9P as a file system: a folder of the host.
 *
 * Concepts.  An inode holds a walked fid, the host's handle, for as long as it
 * is cached.  Inodes are found by qid path, which the host keeps unique, so hard
 * links share one inode and one page cache.
 *
 * Caching.  cache=loose: names, absent names, attributes and pages are kept
 * until memory is short; right for a tree that nobody else changes.
 * cache=none: attributes are fetched at each stat and open, cached pages are
 * dropped when the file's version or size has changed, names are looked up
 * again, and writes go through before write(2) returns.
 *
 * Locking.  p9_mount.lock guards the inode table; an inode that is found there
 * with no reference left is being evicted and is passed over.
 */
#include <nos/errno.h>
#include <nos/init.h>
#include <nos/log.h>
#include <nos/slab.h>
#include <nos/stock.h>
#include <nos/string.h>
#include <linux/magic.h>
#include <linux/mount.h>
#include <linux/stat.h>

#include "p9.h"

#define MSIZE_DEFAULT (P9_MAX_DATA)
#define S_IFMT_(m) ((m)&S_IFMT)

struct p9_options {
	u32 msize;
	bool loose;
	char aname[256];
};

static struct slab_cache *inode_cache;

static u64 hash_slot(u64 path)
{
	return hash_u64(path) >> (64 - P9_HASH_BITS);
}

static void set_operations(struct inode *i)
{
	bool loose = p9_mount(i->sb)->loose;

	i->ops = loose ? &p9_file_loose_ops : &p9_file_inode_ops;
	switch (S_IFMT_(i->mode)) {
	case S_IFDIR:
		i->ops = loose ? &p9_dir_loose_ops : &p9_dir_inode_ops;
		i->file_ops = &p9_dir_ops;
		break;
	case S_IFLNK:
		i->ops = loose ? &p9_symlink_loose_ops : &p9_symlink_inode_ops;
		i->flags |= loose ? INODE_LINK_STABLE : 0;
		break;
	case S_IFREG:
		i->file_ops = &p9_file_ops;
		break;
	case S_IFIFO:
		i->file_ops = &fifo_file_ops;
		break;
	case S_IFCHR:
		i->file_ops = &char_device_file_ops;
		break;
	default:
		break;
	}
}

void p9_inode_update(struct inode *i, const struct p9_attributes *a)
{
	struct inode_access to = { (i->mode & S_IFMT) | (a->mode & 07777), a->uid, a->gid };
	bool begun = inode_access_change_begin(i, to);

	spin_lock(&i->spin);
	i->mode = to.mode;
	i->uid = a->uid;
	i->gid = a->gid;
	i->nlink = (u32)a->nlink;
	i->size = a->size;
	i->blocks = a->blocks;
	i->atime = (struct timestamp){ (s64)a->atime_sec, (u32)a->atime_nsec };
	i->mtime = (struct timestamp){ (s64)a->mtime_sec, (u32)a->mtime_nsec };
	i->ctime = (struct timestamp){ (s64)a->ctime_sec, (u32)a->ctime_nsec };
	inode_times_set_locked(i);
	spin_unlock(&i->spin);
	inode_access_change_end(begun);
}

int p9_inode_refresh(struct inode *i)
{
	struct p9_inode *p = p9_inode(i);
	struct p9_attributes a;
	int err = p9_getattr(p9_client_of(i), p->fid, &a);

	if (err)
		return err;

	bool changed = a.qid.version != p->version || a.size != i->size;

	p->version = a.qid.version;
	p9_inode_update(i, &a);
	if (changed && i->cache.nr_pages)
		page_cache_invalidate(&i->cache, 0, U64_MAX);
	return 0;
}

/* The host may give the number of a file that is gone to one of another kind. */
static struct p9_inode *find_locked(struct p9_mount *m, const struct p9_attributes *a)
{
	struct p9_inode *p = m->hash[hash_slot(a->qid.path)];

	while (p && !(p->inode.ino == a->qid.path && S_IFMT_(p->inode.mode) == S_IFMT_(a->mode) &&
		      ref_get_unless_zero(&p->inode.refs)))
		p = p->hash_next;
	return p;
}

static struct p9_inode *inode_new(struct super_block *sb, const struct p9_attributes *a)
{
	struct p9_inode *p = slab_alloc(inode_cache, ALLOC_ZERO);

	if (!p)
		return NULL;
	inode_init(&p->inode, sb, a->qid.path, a->mode);
	p->inode.uid = a->uid; /* nobody sees it yet: no change of access */
	p->inode.gid = a->gid;
	p->read_fid = P9_NO_FID;
	p->write_fid = P9_NO_FID;
	p->version = a->qid.version;
	mutex_init(&p->fid_lock, RANK_DRIVER);
	p->inode.rdev = a->rdev;
	p9_inode_update(&p->inode, a);
	page_cache_init(&p->inode.cache, p9_page_cache_ops(a->size), &p->inode, &p->inode.size);
	set_operations(&p->inode);
	return p;
}

struct inode *p9_inode_get(struct super_block *sb, u32 fid)
{
	struct p9_client *c = p9_mount(sb)->client;
	struct p9_attributes a;
	int err = p9_getattr(c, fid, &a);

	if (err) {
		p9_clunk(c, fid);
		return err_ptr(err);
	}
	return p9_inode_install(sb, fid, &a);
}

struct inode *p9_inode_install(struct super_block *sb, u32 fid, const struct p9_attributes *a)
{
	struct p9_mount *m = p9_mount(sb);
	struct p9_inode *p;
	struct p9_inode *found;

	spin_lock(&m->lock);
	found = find_locked(m, a);
	spin_unlock(&m->lock);
	if (!found) {
		p = inode_new(sb, a);
		if (!p) {
			p9_clunk(m->client, fid);
			return err_ptr(-ENOMEM);
		}
		p->fid = fid;
		spin_lock(&m->lock);
		found = find_locked(m, a);
		if (!found) {
			struct p9_inode **slot = &m->hash[hash_slot(a->qid.path)];

			p->hash_next = *slot;
			*slot = p;
			spin_unlock(&m->lock);
			return &p->inode;
		}
		spin_unlock(&m->lock);
		inode_put(&p->inode); /* its eviction gives the fid back */
	} else {
		p9_clunk(m->client, fid);
	}
	if (!m->loose)
		p9_inode_update(&found->inode, a);
	return &found->inode;
}

void p9_inode_unhash(struct p9_inode *p)
{
	struct p9_mount *m = p9_mount(p->inode.sb);

	scoped_spin(&m->lock);
	for (struct p9_inode **at = &m->hash[hash_slot(p->inode.ino)]; *at;
	     at = &(*at)->hash_next) {
		if (*at == p) {
			*at = p->hash_next;
			return;
		}
	}
}

static void evict_inode(struct inode *i)
{
	struct p9_inode *p = p9_inode(i);
	struct p9_client *c = p9_client_of(i);

	p9_inode_unhash(p);
	p9_names_forget(p);
	page_cache_fini(&i->cache);
	if (p->read_fid != P9_NO_FID)
		p9_clunk(c, p->read_fid);
	if (p->write_fid != P9_NO_FID)
		p9_clunk(c, p->write_fid);
	p9_clunk(c, p->fid);
}

static void free_inode(struct inode *i)
{
	slab_free(inode_cache, p9_inode(i));
}

static int stats(struct super_block *sb, struct fs_stats *s)
{
	return p9_statfs(p9_mount(sb)->client, p9_inode(sb->root->inode)->fid, s);
}

static struct mutex mounts_lock = MUTEX_INIT(RANK_NONE);
static struct list mounts __guarded_by(&mounts_lock) = LIST_INIT(mounts);

static void mounts_drain(void)
{
	struct p9_mount *m;

	scoped_mutex(&mounts_lock);
	list_for_each(m, &mounts, node) {
		p9_names_forget_all(m);
		p9_client_drain(m->client);
	}
}
STOCK(mounts_drain);

static void shut_down(struct super_block *sb)
{
	struct p9_mount *m = p9_mount(sb);

	mutex_lock(&mounts_lock);
	list_remove(&m->node);
	mutex_unlock(&mounts_lock);
	p9_client_destroy(m->client);
	kfree(m);
}

static int show_options(struct super_block *sb, char *to, size_t size)
{
	const struct p9_mount *m = p9_mount(sb);

	return snprintf(to, size, ",trans=virtio,version=9p2000.L,msize=%u,cache=%s",
			m->client->msize, m->loose ? "loose" : "none");
}

static const struct super_ops p9_super_ops = {
	.evict_inode = evict_inode,
	.free_inode = free_inode,
	.stats = stats,
	.shut_down = shut_down,
	.show_options = show_options,
};

static int parse_option(struct p9_options *o, const char *key, size_t key_len, const char *value,
			size_t value_len)
{
	char text[256];

	if (value_len >= sizeof(text))
		return -EINVAL;
	memcpy(text, value, value_len);
	text[value_len] = 0;
	if (key_len == 5 && memcmp(key, "trans", 5) == 0)
		return strcmp(text, "virtio") == 0 ? 0 : -EINVAL;
	if (key_len == 7 && memcmp(key, "version", 7) == 0)
		return strcmp(text, "9p2000.L") == 0 ? 0 : -EINVAL;
	if (key_len == 5 && memcmp(key, "aname", 5) == 0) {
		string_copy(o->aname, text, sizeof(o->aname));
		return 0;
	}
	if (key_len == 5 && memcmp(key, "msize", 5) == 0) {
		u64 v;
		int err = string_to_u64(text, 0, &v);

		if (err || v < P9_BUFFER)
			return -EINVAL;
		o->msize = (u32)min(v, (u64)P9_MAX_DATA);
		return 0;
	}
	if (key_len == 5 && memcmp(key, "cache", 5) == 0) {
		if (strcmp(text, "loose") != 0 && strcmp(text, "none") != 0)
			return -EINVAL;
		o->loose = text[0] == 'l';
		return 0;
	}
	return -EINVAL;
}

static int parse_options(struct p9_options *o, const char *s)
{
	while (s && *s) {
		const char *end = strchr(s, ',');
		size_t len = end ? (size_t)(end - s) : strlen(s);
		const char *eq = memchr(s, '=', len);

		if (len) {
			size_t key_len = eq ? (size_t)(eq - s) : len;
			int err = parse_option(o, s, key_len, eq ? eq + 1 : "",
					       eq ? len - key_len - 1 : 0);

			if (err)
				return err;
		}
		s += len + (end ? 1 : 0);
	}
	return 0;
}

static int attach_root(struct super_block *sb, struct p9_mount *m, const char *aname)
{
	u32 fid = p9_fid_allocate(m->client);
	struct p9_qid qid;
	int err = p9_attach(m->client, fid, aname, &qid);

	if (err)
		return err;

	struct inode *i = p9_inode_get(sb, fid);

	if (is_err(i))
		return (int)ptr_err(i);
	sb->root = dentry_create_root(i);
	return sb->root ? 0 : -ENOMEM;
}

static struct super_block *p9_mount_fs(const struct fs_type *t, u32 flags, const char *source,
				       const char *options)
{
	struct p9_options *o = kzalloc(sizeof(*o), 0);

	if (!o)
		return err_ptr(-ENOMEM);
	o->msize = MSIZE_DEFAULT;

	int err = parse_options(o, options);
	struct p9_mount *m = NULL;
	struct super_block *sb = NULL;

	if (!err) {
		m = kzalloc(sizeof(*m), 0);
		err = m ? 0 : -ENOMEM;
	}
	if (!err) {
		spin_init(&m->lock, RANK_INODE_SPIN);
		spin_init(&m->names_lock, RANK_LEAF);
		m->loose = o->loose;
		m->client = p9_client_create(source, o->msize);
		if (is_err(m->client))
			err = (int)ptr_err(m->client);
	}
	if (err) {
		kfree(m);
		kfree(o);
		return err_ptr(err);
	}
	sb = super_create(t, &p9_super_ops, flags);
	if (!sb) {
		p9_client_destroy(m->client);
		kfree(m);
		kfree(o);
		return err_ptr(-ENOMEM);
	}
	mutex_lock(&mounts_lock);
	list_push_back(&mounts, &m->node);
	mutex_unlock(&mounts_lock);
	sb->private = m;
	sb->max_bytes = S64_MAX;
	sb->time_granularity_ns = 1;
	if (!m->loose)
		sb->dentry_ops = &p9_dir_inode_ops;
	err = attach_root(sb, m, o->aname);
	kfree(o);
	if (err) {
		super_put(sb);
		return err_ptr(err);
	}
	return sb;
}

static const struct fs_type p9_fs = {
	.name = "9p",
	.flags = FS_NODEV,
	.mount = p9_mount_fs,
};
REGISTER_FS(p9_fs);

static int p9_init(void)
{
	inode_cache = slab_cache_create(&(struct slab_cache_info){
		.name = "p9_inode", .size = sizeof(struct p9_inode), .account = true });
	return inode_cache ? 0 : -ENOMEM;
}
INIT_STEP(INIT_FS, p9_init);
