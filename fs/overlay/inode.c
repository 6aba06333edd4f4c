/* Overlay inodes: lookup through the layers, attributes. */
#include "overlay.h"

static struct slab_cache *inode_cache;

int overlay_inode_cache_create(void)
{
	inode_cache = slab_cache_create(&(struct slab_cache_info){
		.name = "overlay_inode", .size = sizeof(struct overlay_inode), .account = true });
	return inode_cache ? 0 : -ENOMEM;
}

/* ---- table of inodes by upper inode: the names of one upper file share one overlay inode ---- */

static struct overlay_inode **slot_of(struct overlay_mount *m, const struct inode *real)
{
	return &m->hash[hash_u64((uintptr_t)real) >> 56];
}

void overlay_hash_upper(struct overlay_inode *o)
{
	struct overlay_mount *m = overlay_mount(o->inode.sb);

	scoped_spin(&m->lock);
	struct overlay_inode **slot = slot_of(m, o->upper->inode);

	o->hash_next = *slot;
	*slot = o;
}

static struct inode *find_by_upper(struct super_block *sb, const struct inode *real)
{
	struct overlay_mount *m = overlay_mount(sb);

	scoped_spin(&m->lock);
	for (struct overlay_inode *o = *slot_of(m, real); o; o = o->hash_next)
		if (o->upper->inode == real && ref_get_unless_zero(&o->inode.refs))
			return &o->inode;
	return NULL;
}

static void unhash(struct overlay_inode *o)
{
	struct overlay_mount *m = overlay_mount(o->inode.sb);

	if (!o->upper)
		return;
	scoped_spin(&m->lock);
	for (struct overlay_inode **at = slot_of(m, o->upper->inode); *at; at = &(*at)->hash_next) {
		if (*at == o) {
			*at = o->hash_next;
			return;
		}
	}
}

/* ---- life ---- */

static u64 choose_ino(const struct dentry *upper, struct dentry *const *lower, u32 nr_lower)
{
	const struct inode *real;
	u64 ino;

	if (!upper)
		return lower[0]->inode->ino;
	real = upper->inode;
	if (nr_lower && overlay_is_dir(real))
		return lower[0]->inode->ino;
	if (real->ops->get_xattr && real->ops->get_xattr(upper->inode, OVERLAY_INO, &ino,
							 sizeof(ino)) == (ssize_t)sizeof(ino))
		return ino;
	return real->ino | OVERLAY_UPPER_INO;
}

void overlay_refresh(struct inode *i)
{
	const struct inode *real = overlay_real(overlay_inode(i))->inode;
	bool begun;

	scoped_spin(&i->spin);
	/* Inside: the last to write has seen the newest. */
	const struct inode_access to = { real->mode, real->uid, real->gid };
	/* Walks look at this inode: what they remember from before it follows the real one ends here. */
	begun = inode_access_change_begin(i, to);
	WRITE_ONCE(i->mode, to.mode);
	WRITE_ONCE(i->uid, to.uid);
	WRITE_ONCE(i->gid, to.gid);
	inode_access_change_end(begun);
	WRITE_ONCE(i->nlink, real->nlink);
	WRITE_ONCE(i->size, real->size);
	WRITE_ONCE(i->blocks, real->blocks);
	i->rdev = real->rdev;
	i->atime = real->atime;
	i->mtime = real->mtime;
	i->ctime = real->ctime;
	inode_times_set_locked(i);
	i->btime = real->btime;
}

void overlay_set_operations(struct inode *i)
{
	bool upper = overlay_inode(i)->upper != NULL;

	switch (i->mode & S_IFMT) {
	case S_IFDIR:
		i->ops = upper ? &overlay_dir_upper_ops : &overlay_dir_lower_ops;
		i->file_ops = &overlay_dir_file_ops;
		break;
	case S_IFLNK:
		i->ops = upper ? &overlay_link_upper_ops : &overlay_link_lower_ops;
		i->flags |= INODE_LINK_STABLE;
		break;
	case S_IFCHR:
		i->ops = upper ? &overlay_file_upper_ops : &overlay_file_lower_ops;
		i->file_ops = &char_device_file_ops;
		break;
	case S_IFIFO:
		i->ops = upper ? &overlay_file_upper_ops : &overlay_file_lower_ops;
		i->file_ops = &fifo_file_ops;
		break;
	case S_IFREG:
		i->ops = upper ? &overlay_file_upper_ops : &overlay_file_lower_ops;
		i->file_ops = &overlay_file_ops;
		break;
	default:
		i->ops = upper ? &overlay_file_upper_ops : &overlay_file_lower_ops;
		break;
	}
}

static void put_all(struct dentry *upper, u32 nr, struct dentry *const *lower)
{
	if (upper)
		dentry_put(upper);
	for (u32 i = 0; i < nr; i++)
		dentry_put(lower[i]);
}

struct inode *overlay_inode_create(struct super_block *sb, struct dentry *upper, u32 nr_lower,
				   const u32 *layers, struct dentry *const *lower)
{
	struct dentry *real = upper ? upper : lower[0];
	bool share = upper && !overlay_is_dir(upper->inode);

	if (share) {
		struct inode *found = find_by_upper(sb, upper->inode);

		if (found) {
			put_all(upper, nr_lower, lower);
			return found;
		}
	}

	struct overlay_inode *o = slab_alloc(inode_cache, ALLOC_ZERO);

	if (o && nr_lower) {
		o->lower = kmalloc(nr_lower * sizeof(o->lower[0]), 0);
		if (!o->lower) {
			slab_free(inode_cache, o);
			o = NULL;
		}
	}
	if (!o) {
		put_all(upper, nr_lower, lower);
		return err_ptr(-ENOMEM);
	}
	inode_init(&o->inode, sb, choose_ino(upper, lower, nr_lower), real->inode->mode);
	o->inode.uid = real->inode->uid; /* nobody sees it yet: no change of access */
	o->inode.gid = real->inode->gid;
	mutex_init(&o->copy_lock, RANK_NONE);
	/* The real ones are taken while this is held.  One overlay on another is not checked. */
	rwlock_init(&o->inode.lock, real->sb->ops == sb->ops  ? RANK_NONE :
				    overlay_is_dir(&o->inode) ? RANK_STACKED_DIR :
								RANK_STACKED_INODE);
	o->upper = upper;
	o->nr_lower = nr_lower;
	for (u32 i = 0; i < nr_lower; i++) {
		o->lower[i].layer = layers[i];
		o->lower[i].dentry = lower[i];
	}
	overlay_refresh(&o->inode);
	overlay_set_operations(&o->inode);
	if (share)
		overlay_hash_upper(o);
	return &o->inode;
}

void overlay_evict_inode(struct inode *i)
{
	struct overlay_inode *o = overlay_inode(i);

	unhash(o);
	if (o->upper)
		dentry_put(o->upper);
	for (u32 n = 0; n < o->nr_lower; n++)
		dentry_put(o->lower[n].dentry);
	o->upper = NULL;
	o->nr_lower = 0;
}

void overlay_free_inode(struct inode *i)
{
	kfree(overlay_inode(i)->lower);
	slab_free(inode_cache, overlay_inode(i));
}

/* ---- lookup ---- */

static bool is_opaque(struct dentry *d)
{
	struct inode *i = d->inode;
	char value;

	return i->ops->get_xattr && i->ops->get_xattr(i, OVERLAY_OPAQUE, &value, 1) == 1 &&
	       value == 'y';
}

/* Lower layers are asked only while what was found is a directory. */
static int collect_lower(struct overlay_inode *parent, const struct dentry *d, bool merging,
			 u32 *nr, u32 *layers, struct dentry **lower)
{
	for (u32 n = 0; n < parent->nr_lower; n++) {
		struct dentry *at = parent->lower[n].dentry;

		if (!overlay_is_dir(at->inode))
			continue;

		struct dentry *found = dentry_lookup(at, d->name, d->name_len);

		if (is_err(found)) {
			if (ptr_err(found) == -ENOENT)
				continue;
			return (int)ptr_err(found);
		}

		bool is_dir = overlay_is_dir(found->inode);

		if (overlay_is_whiteout(found) || (merging && !is_dir)) {
			dentry_put(found);
			return 0;
		}
		layers[*nr] = parent->lower[n].layer;
		lower[(*nr)++] = found;
		if (!is_dir || is_opaque(found))
			return 0;
		merging = true;
	}
	return 0;
}

int overlay_lookup(struct inode *dir, struct dentry *d)
{
	struct overlay_inode *parent = overlay_inode(dir);
	struct dentry *above = overlay_upper(parent), *upper = NULL;
	u32 layers[OVERLAY_MAX_LOWER], nr = 0;
	struct dentry *lower[OVERLAY_MAX_LOWER];

	if (above) {
		upper = dentry_lookup(above, d->name, d->name_len);
		if (is_err(upper)) {
			if (ptr_err(upper) != -ENOENT)
				return (int)ptr_err(upper);
			upper = NULL;
		} else if (overlay_is_whiteout(upper)) {
			dentry_put(upper);
			return 0;
		}
	}
	if (!upper || (overlay_is_dir(upper->inode) && !is_opaque(upper))) {
		int err = collect_lower(parent, d, upper != NULL, &nr, layers, lower);

		if (err) {
			put_all(upper, nr, lower);
			return err;
		}
	}
	if (!upper && nr == 0)
		return 0;

	struct inode *i = overlay_inode_create(dir->sb, upper, nr, layers, lower);

	if (is_err(i))
		return (int)ptr_err(i);
	dentry_set_inode(d, i);
	return 0;
}

int overlay_look_below(struct inode *dir, const char *name, u32 len, bool *found)
{
	struct overlay_inode *o = overlay_inode(dir);

	*found = false;
	for (u32 n = 0; n < o->nr_lower; n++) {
		struct dentry *d = dentry_lookup(o->lower[n].dentry, name, len);

		if (is_err(d)) {
			if (ptr_err(d) == -ENOENT)
				continue;
			return (int)ptr_err(d);
		}
		*found = !overlay_is_whiteout(d);
		dentry_put(d);
		return 0;
	}
	return 0;
}

/* ---- attributes ---- */

int overlay_get_attributes(struct inode *i, struct stat_info *s)
{
	const struct dentry *real = overlay_real(overlay_inode(i));
	struct inode *r = real->inode;

	if (r->ops->get_attributes) {
		int err = r->ops->get_attributes(r, s);

		if (err)
			return err;
	}
	overlay_refresh(i);
	s->size = i->size;
	s->blocks = i->blocks;
	s->mode = i->mode;
	s->uid = i->uid;
	s->gid = i->gid;
	s->nlink = i->nlink;
	s->atime = i->atime;
	s->mtime = i->mtime;
	s->ctime = i->ctime;
	return 0;
}

int overlay_set_attributes(struct inode *i, const struct inode_change *c)
{
	struct inode_change copy = *c;
	bool truncates = (c->valid & ATTR_SIZE) && !overlay_is_dir(i);
	int err = overlay_copy_up(i, truncates ? c->size : U64_MAX);

	if (err)
		return err;
	copy.file = NULL;
	err = dentry_set_attributes(overlay_inode(i)->upper, &copy);
	overlay_refresh(i);
	return err;
}

ssize_t overlay_get_xattr(struct inode *i, const char *name, void *to, size_t size)
{
	struct inode *real = overlay_real(overlay_inode(i))->inode;

	if (strncmp(name, OVERLAY_PREFIX, sizeof(OVERLAY_PREFIX) - 1) == 0)
		return -ENODATA;
	return real->ops->get_xattr ? real->ops->get_xattr(real, name, to, size) : -EOPNOTSUPP;
}

int overlay_set_xattr(struct inode *i, const char *name, const void *v, size_t size, int flags)
{
	if (strncmp(name, OVERLAY_PREFIX, sizeof(OVERLAY_PREFIX) - 1) == 0)
		return -EPERM;

	int err = overlay_copy_up(i, U64_MAX);

	if (err)
		return err;

	struct inode *real = overlay_inode(i)->upper->inode;

	if (!real->ops->set_xattr)
		return -EOPNOTSUPP;
	rwlock_write(&real->lock);
	err = real->ops->set_xattr(real, name, v, size, flags);
	rwlock_write_unlock(&real->lock);
	overlay_refresh(i);
	return err;
}

/* The real list without the overlay's own names. */
ssize_t overlay_list_xattr(struct inode *i, char *to, size_t size)
{
	struct inode *real = overlay_real(overlay_inode(i))->inode;

	if (!real->ops->list_xattr)
		return 0;

	ssize_t len = real->ops->list_xattr(real, NULL, 0);

	if (len <= 0)
		return len;

	char *all = kmalloc((size_t)len, 0);
	ssize_t kept = 0;

	if (!all)
		return -ENOMEM;
	len = real->ops->list_xattr(real, all, (size_t)len);
	for (ssize_t at = 0; at < len;) {
		size_t n = strnlen(all + at, (size_t)(len - at)) + 1;

		if (strncmp(all + at, OVERLAY_PREFIX, sizeof(OVERLAY_PREFIX) - 1) != 0) {
			if (size && (size_t)kept + n > size) {
				kept = -ERANGE;
				break;
			}
			if (size)
				memcpy(to + kept, all + at, n);
			kept += (ssize_t)n;
		}
		at += (ssize_t)n;
	}
	kfree(all);
	return len < 0 ? len : kept;
}
