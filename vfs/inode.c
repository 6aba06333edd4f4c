/*
 * Inodes: identity and attributes of files, their life, times and permissions.
 *
 * An inode lives while it is referenced: by dentries, open files, mappings.
 * The last put evicts it: its file system lets go (evict_inode), its pages are
 * dropped, and its memory goes back after a grace period, for path walks read
 * inodes under RCU.
 *
 * Locking.  `lock` serialises changes of content and, for directories, of
 * names; `spin` guards times and the small things.  Owner, mode and size are
 * read without a lock: each is one word.
 */
#include "internal.h"

#include <linux/capability.h>
#include <linux/fs.h>
#include <nos/init.h>
#include <nos/log.h>

static struct slab_cache *inode_cache __ro_after_init;

/* Inode numbers of file systems without their own are given to CPUs by the batch. */
enum { INO_BATCH = 64 };
static u64 next_ino_batch = INO_BATCH;
static DEFINE_PERCPU(u64, next_ino);

/* opt.time_hints: what the inode knows of its times saves to look at them again. */
static bool time_hints_enabled __ro_after_init;
bool inode_atime_is_strict; /* there was a mount with MS_STRICTATIME */

static struct timestamp timestamp_of(u64 ns)
{
	return (struct timestamp){ .sec = (s64)(ns / NSEC_PER_SEC),
				   .nsec = (u32)(ns % NSEC_PER_SEC) };
}

struct timestamp timestamp_now(void)
{
	return timestamp_of(clock_coarse_realtime_ns());
}

static u64 ino_allocate(void)
{
	preempt_disable();
	u64 ino = this_cpu_read(next_ino);

	if (!(ino % INO_BATCH))
		ino = atomic_fetch_add(&next_ino_batch, INO_BATCH);
	this_cpu_write(next_ino, ino + 1);
	preempt_enable();
	return ino;
}

void inode_init_zeroed(struct inode *i, struct super_block *sb, u64 ino, u32 mode)
{
	static const struct inode_ops no_ops;
	static const struct file_ops no_file_ops;

	i->mode = mode;
	i->nlink = 1;
	i->ops = &no_ops;
	i->file_ops = &no_file_ops;
	i->sb = sb;
	i->ino = ino ? ino : ino_allocate();
	i->atime = i->mtime = i->ctime = i->btime = timestamp_now();
	ref_init(&i->refs, 1);
	spin_init(&i->spin, RANK_INODE_SPIN);
	rwlock_init(&i->lock, (mode & S_IFMT) == S_IFDIR ? RANK_INODE_DIR : RANK_INODE);
	page_cache_init_zeroed(&i->cache, NULL, i, &i->size);
	list_init(&i->dentries);
}

void inode_init(struct inode *i, struct super_block *sb, u64 ino, u32 mode)
{
	memset(i, 0, sizeof(*i));
	inode_init_zeroed(i, sb, ino, mode);
}

struct inode *inode_create(struct super_block *sb, u64 ino, u32 mode)
{
	struct inode *i = slab_alloc(inode_cache, 0);

	if (i)
		inode_init(i, sb, ino, mode);
	return i;
}

void inode_init_owner(struct inode *i, const struct inode *dir, u32 mode)
{
	const struct cred *c = cred_current();

	i->uid = c->fsuid;
	i->gid = c->fsgid;
	if (dir->mode & S_ISGID) {
		i->gid = dir->gid;
		if ((mode & S_IFMT) == S_IFDIR)
			mode |= S_ISGID;
		else if ((mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP) &&
			 !cred_in_group(c, i->gid) && !cred_has(c, CAP_FSETID))
			mode &= ~S_ISGID;
	}
	i->mode = mode;
}

void inode_get(struct inode *i)
{
	ref_get(&i->refs);
}

static void inode_free_rcu(struct rcu_head *head)
{
	struct inode *i = container_of(head, struct inode, rcu);

	kfree(i->link);
	if (i->sb->ops->free_inode)
		i->sb->ops->free_inode(i);
	else
		slab_free(inode_cache, i);
}

void inode_put(struct inode *i)
{
	if (!ref_put(&i->refs))
		return;
	if (unlikely(i->watches))
		notify_inode_gone(i);
	if (i->sb->ops->evict_inode)
		i->sb->ops->evict_inode(i);
	page_cache_fini(&i->cache);
	ASSERT(!i->locks);
	rcu_call(&i->rcu, inode_free_rcu);
}

#define CONTENT_TIMES (ATTR_MTIME | ATTR_CTIME)

static __noinline void mark_times(struct inode *i, u32 attr_mask, u64 now_ns)
{
	struct timestamp now = timestamp_of(now_ns);

	scoped_spin(&i->spin);
	inode_times_set_locked(i);
	if (attr_mask & ATTR_ATIME)
		i->atime = now;
	if (attr_mask & ATTR_MTIME)
		i->mtime = now;
	if (attr_mask & ATTR_CTIME)
		i->ctime = now;
	if (attr_mask == CONTENT_TIMES && time_hints_enabled)
		WRITE_ONCE(i->changed_ns, now_ns);
	/* Until the clock ticks a reader would write the same: the hint is a second old at the next tick. */
	if (attr_mask == ATTR_ATIME && time_hints_enabled)
		WRITE_ONCE(i->atime_settled_ns, now_ns - NSEC_PER_SEC + 1);
}

__hot void inode_mark_times(struct inode *i, u32 attr_mask)
{
	u64 now_ns = clock_coarse_realtime_ns();

	if (attr_mask != CONTENT_TIMES || READ_ONCE(i->changed_ns) != now_ns)
		mark_times(i, attr_mask, now_ns);
}

static bool is_later(struct timestamp a, struct timestamp b)
{
	return a.sec > b.sec || (a.sec == b.sec && a.nsec > b.nsec);
}

void inode_atime_set_strict(void)
{
	WRITE_ONCE(inode_atime_is_strict, true);
}

/* Whether relatime leaves the access time: it is later than the change and not a day old. */
static bool is_atime_settled(const struct inode *i, s64 now)
{
	return is_later(i->atime, i->mtime) && is_later(i->atime, i->ctime) &&
	       now - i->atime.sec < 24 * 3600;
}

__noinline void inode_settle_atime(struct file *f, u64 now_ns)
{
	struct inode *i = f->inode;
	struct mount *m = f->path.mount;
	u32 flags = (m ? m->flags : 0) | i->sb->flags;

	if ((f->flags & O_NOATIME) || (flags & (MS_NOATIME | MS_RDONLY)))
		return;
	if ((flags & MS_NODIRATIME) && (i->mode & S_IFMT) == S_IFDIR)
		return;
	if (!(flags & MS_STRICTATIME)) {
		s64 now = (s64)(now_ns / NSEC_PER_SEC);
		scoped_spin(&i->spin);

		if (is_atime_settled(i, now)) {
			/* One second longer, for so long the hint is believed. */
			if (time_hints_enabled && is_atime_settled(i, now + 1))
				WRITE_ONCE(i->atime_settled_ns, now_ns);
			return;
		}
	}
	inode_mark_times(i, ATTR_ATIME);
}

/* ---- permissions (path_resolution(7), capabilities(7)) ---- */

int inode_permission_cred(const struct inode *i, u32 mask, const struct cred *c)
{
	u32 mode = i->mode, bits = mode;

	if (c->fsuid == i->uid)
		bits >>= 6;
	else if (((mode >> 3 ^ mode) & 7) && cred_in_group(c, i->gid))
		bits >>= 3;
	if (!(mask & ~bits & 7))
		return 0;
	if ((mode & S_IFMT) == S_IFDIR) {
		if (!(mask & MAY_WRITE) && cred_has(c, CAP_DAC_READ_SEARCH))
			return 0;
		return cred_has(c, CAP_DAC_OVERRIDE) ? 0 : -EACCES;
	}
	if (!(mask & (MAY_WRITE | MAY_EXEC)) && cred_has(c, CAP_DAC_READ_SEARCH))
		return 0;
	if ((!(mask & MAY_EXEC) || (mode & 0111)) && cred_has(c, CAP_DAC_OVERRIDE))
		return 0;
	return -EACCES;
}

int inode_permission_for(struct inode *i, u32 mask, const struct cred *c)
{
	if (mask & MAY_WRITE) {
		u32 type = i->mode & S_IFMT;

		if ((i->sb->flags & MS_RDONLY) &&
		    (type == S_IFREG || type == S_IFDIR || type == S_IFLNK))
			return -EROFS;
		if (i->flags & INODE_IMMUTABLE)
			return -EPERM;
	}
	return inode_permission_cred(i, mask, c);
}

int inode_permission(struct inode *i, u32 mask)
{
	return inode_permission_for(i, mask, cred_current());
}

/* A sticky directory: only the owner of the entry or of the directory removes it (unlink(2)). */
bool inode_is_sticky_denied(const struct inode *dir, const struct inode *i, const struct cred *c)
{
	return (dir->mode & S_ISVTX) && c->fsuid != i->uid && c->fsuid != dir->uid &&
	       !cred_has(c, CAP_FOWNER);
}

/* ---- text busy ---- */

int inode_deny_write(struct inode *i)
{
	s32 n = READ_ONCE(i->write_count);

	do {
		if (n > 0)
			return -ETXTBSY;
	} while (!atomic_cas_update(&i->write_count, &n, n - 1));
	return 0;
}

void inode_allow_write(struct inode *i)
{
	atomic_add(&i->write_count, 1);
}

int inode_get_writer(struct inode *i)
{
	s32 n = READ_ONCE(i->write_count);

	do {
		if (n < 0)
			return -ETXTBSY;
	} while (!atomic_cas_update(&i->write_count, &n, n + 1));
	return 0;
}

void inode_put_writer(struct inode *i)
{
	atomic_sub(&i->write_count, 1);
}

/* ---- two directories ---- */

__no_lock_check void inode_lock_two(struct inode *a, struct inode *b)
{
	if (a == b) {
		rwlock_write(&a->lock);
		return;
	}
	if (a > b)
		swap(a, b);
	rwlock_write(&a->lock);
	rwlock_write(&b->lock);
}

__no_lock_check void inode_unlock_two(struct inode *a, struct inode *b)
{
	rwlock_write_unlock(&a->lock);
	if (a != b)
		rwlock_write_unlock(&b->lock);
}

static int inode_cache_init(void)
{
	static const struct slab_cache_info info = {
		.name = "inode", .size = sizeof(struct inode), .align = CACHE_LINE, .account = true
	};

	if (inode_cache)
		return 0;
	inode_cache = slab_cache_create(&info);
	VERIFY(inode_cache);
	time_hints_enabled = boot_opt_enabled("time_hints");
	dentry_cache_init();
	return 0;
}
INIT_STEP(INIT_CORE, inode_cache_init);
