/*
 * The dentry cache: names in directories, and what they stand for.
 *
 * Concepts.  A dentry is one name in one directory; positive with an inode,
 * negative without.  It is found in one hash table by its parent's identity
 * and its name.  Hashed means findable; a hashed dentry is also on its
 * parent's list of children.
 *
 * References.  The cache holds one reference on a hashed dentry, each child
 * one on its parent, each user one.  A dentry whose only reference is the
 * cache's is unused: the evictor takes it by changing the count from one to
 * zero, after which no one can take a new reference.  Persistent dentries are
 * the directory entries themselves and are never evicted.
 *
 * Invariants.
 *   (1) a name is in a directory's hashed children at most once: insertions
 *       hold the directory's lock (exclusive, or shared with DENTRY_LOOKING
 *       settled under the bucket lock).
 *   (2) name, parent, inode and hashed state change only inside `sequence`'s
 *       write section, so that a walk that saw no change saw one state.
 *   (3) a dentry's parent is alive while the dentry is.
 *
 * Locking.  `lock` (rank DENTRY, parent before child) guards children and the
 * write side of `sequence`; the bucket lock and the LRU lock are leaves.
 * Readers hold RCU.  A move can carry a reader of a chain into another chain,
 * so that it misses its name: dentry_rename_sequence tells, and the walk
 * looks again with the directory locked.
 *
 * The hash is a keyed multiply-and-fold over eight bytes at a time; the keys
 * are derived from the boot's secret, so that users can't aim at one chain.
 *
 * Rejected.  One lock with the count in one word (Linux's lockref): the count
 * of one for the cache makes it needless.  A table for each directory: a
 * walk would read one more line for each component.
 */
#include "internal.h"
#include "dentry_table.h"

#include <nos/counter.h>
#include <nos/init.h>
#include <nos/log.h>
#include <nos/page.h>

#define NR_BUCKET_LOCKS 64
#define EVICT_BATCH 64

struct dentry_table dentry_table __ro_after_init;
/* Each in a line of its own: neighbours do not wait for each other's. */
static struct bucket_lock {
	struct spinlock lock __aligned(64);
} bucket_locks[NR_BUCKET_LOCKS];
static struct slab_cache *dentry_cache __ro_after_init;
static struct wait_queue looking_queue;

static struct spinlock lru_lock = SPINLOCK_INIT(RANK_LEAF);
static struct list lru = LIST_INIT(lru);
static u64 nr_lru;
static u64 lru_limit __ro_after_init;

struct seqlock dentry_rename_sequence;
static struct spinlock rename_spin = SPINLOCK_INIT(RANK_NONE); /* before any dentry's */

DEFINE_COUNTER(lookups, "vfs.dentry_lookups");
DEFINE_COUNTER(evictions, "vfs.dentry_evictions");

/* ---- names and hashes ---- */

u64 dentry_hash_component(const struct dentry *parent, const char *name, u32 *len)
{
	u64 h = (u64)(uintptr_t)parent ^ dentry_table.key[0];
	const char *p = name;

	for (;; p += 8) {
		u64 w = load_text(p);
		u64 end = zero_bytes(w) | zero_bytes(w ^ BYTES('/'));

		if (end) {
			unsigned nr = (unsigned)__builtin_ctzll(end) / 8;

			*len = (u32)(p - name) + nr;
			return cpu_multiply_fold(h ^ low_bytes(w, nr), dentry_table.key[1] ^ *len);
		}
		h = cpu_multiply_fold(h ^ w, dentry_table.key[1]);
	}
}

u64 dentry_hash_name(const struct dentry *parent, const char *name, u32 len)
{
	u64 h = (u64)(uintptr_t)parent ^ dentry_table.key[0];
	u32 left = len;

	for (; left >= 8; left -= 8, name += 8)
		h = cpu_multiply_fold(h ^ load_word(name), dentry_table.key[1]);
	return cpu_multiply_fold(h ^ load_tail(name, left), dentry_table.key[1] ^ len);
}

static inline bool name_is_equal(const char *stored, const char *name, u32 len)
{
	for (; len >= 8; len -= 8, stored += 8, name += 8)
		if (load_word(stored) != load_word(name))
			return false;
	return load_tail(stored, len) == load_tail(name, len);
}

static inline struct spinlock *bucket_lock_of(size_t bucket)
{
	return &bucket_locks[bucket % NR_BUCKET_LOCKS].lock;
}

/* ---- finding ---- */

struct dentry *dentry_find_rcu(const struct dentry *parent, const char *name, u32 len, u64 hash,
			       u32 *seq)
{
	struct dentry *d = rcu_load(dentry_table.buckets[bucket_of(hash)]);

	for (; d; d = rcu_load(d->hash_next)) {
		u32 s;
		char *stored;

		if (READ_ONCE(d->hash) != hash)
			continue;
again:
		s = seq_read_begin(&d->sequence);
		if (READ_ONCE(d->parent) != parent || READ_ONCE(d->name_len) != len ||
		    !(READ_ONCE(d->flags) & DENTRY_HASHED))
			continue;
		stored = READ_ONCE(d->name);
		if (unlikely(seq_read_retry(&d->sequence, s)))
			goto again;
		if (!name_is_equal(stored, name, len))
			continue;
		if (unlikely(seq_read_retry(&d->sequence, s)))
			goto again;
		*seq = s;
		return d;
	}
	return NULL;
}

struct dentry *dentry_find(struct dentry *parent, const char *name, u32 len, u64 hash)
{
	struct dentry *d;
	u32 seq;

	for (;;) {
		rcu_read_lock();
		d = dentry_find_rcu(parent, name, len, hash, &seq);
		if (!d || ref_get_unless_zero(&d->refs)) {
			rcu_read_unlock();
			break;
		}
		rcu_read_unlock(); /* being evicted: it leaves the chain at once */
		cpu_relax();
	}
	if (d && !(READ_ONCE(d->flags) & DENTRY_REFERENCED))
		atomic_or(&d->flags, DENTRY_REFERENCED);
	return d;
}

/* ---- life ---- */

int dentry_name_prepare(const char *name, u32 len, char **name_copy)
{
	*name_copy = NULL;
	if (len < DENTRY_INLINE)
		return 0;
	*name_copy = kzalloc(align_up(len + 1, 8), 0);
	if (!*name_copy)
		return -ENOMEM;
	memcpy(*name_copy, name, len);
	return 0;
}

/* Sets the name; `copy` is one from dentry_name_prepare, or NULL for short names. */
static void dentry_set_name(struct dentry *d, const char *name, u32 len, char *copy)
{
	if (copy) {
		memset(d->inline_name, 0, sizeof(u64)); /* is no short name */
		d->name = copy;
	} else {
		memset(d->inline_name, 0, DENTRY_INLINE);
		memcpy(d->inline_name, name, len);
		d->name = d->inline_name;
	}
	d->name_len = len;
}

static inline void init_zeroed(struct dentry *d)
{
	ref_init(&d->refs, 1);
	spin_init(&d->lock, RANK_DENTRY);
	list_init(&d->children);
	list_init(&d->sibling);
	list_init(&d->alias);
	list_init(&d->lru);
	d->parent = d;
}

void dentry_init_in_inode(struct dentry *d, struct inode *i, const char name[8])
{
	init_zeroed(d);
	memcpy(d->inline_name, name, 8);
	d->name = d->inline_name;
	d->name_len = (u32)strlen(name);
	d->sb = i->sb;
	d->flags = DENTRY_DISCONNECTED | DENTRY_NUMBERED | DENTRY_IN_INODE;
	d->inode = i; /* no alias: no one looks for it */
}

struct dentry *dentry_alloc(struct dentry *parent, const char *name, u32 len)
{
	char *copy;
	struct dentry *d;

	if (dentry_name_prepare(name, len, &copy))
		return NULL;
	d = slab_alloc(dentry_cache, ALLOC_ZERO);
	if (!d) {
		kfree(copy);
		return NULL;
	}
	init_zeroed(d);
	dentry_set_name(d, name, len, copy);
	if (parent) {
		dentry_get(parent);
		d->parent = parent;
		d->sb = parent->sb;
		if (d->sb->dentry_ops && d->sb->dentry_ops->revalidate)
			d->flags = DENTRY_REVALIDATE;
		d->hash = dentry_hash_name(parent, name, len);
	}
	return d;
}

static void dentry_free_rcu(struct rcu_head *head)
{
	struct dentry *d = container_of(head, struct dentry, rcu);

	if (d->name != d->inline_name)
		kfree(d->name);
	slab_free(dentry_cache, d);
}

static void lru_add(struct dentry *d)
{
	scoped_spin(&lru_lock);
	list_push_front(&lru, &d->lru);
	nr_lru++;
}

static void lru_remove(struct dentry *d)
{
	scoped_spin(&lru_lock);
	if (list_is_linked(&d->lru)) {
		list_remove(&d->lru);
		nr_lru--;
	}
}

/* The count is zero and nothing finds d: its inode, its parent and its memory go. */
static void dentry_free(struct dentry *d)
{
	for (;;) {
		struct dentry *parent = d->parent;
		struct inode *i = d->inode;
		bool is_object = !(d->flags & DENTRY_IN_INODE);

		ASSERT(!(d->flags & DENTRY_HASHED));
		if (list_is_linked(&d->lru))
			lru_remove(d);
		if (i) {
			if (list_is_linked(&d->alias)) {
				spin_lock(&i->spin);
				list_remove(&d->alias);
				spin_unlock(&i->spin);
			}
			inode_put(i);
		}
		if (is_object)
			rcu_call(&d->rcu, dentry_free_rcu);
		if (parent == d || !ref_put(&parent->refs))
			return;
		d = parent;
	}
}

void dentry_get(struct dentry *d)
{
	ref_get(&d->refs);
}

void dentry_put(struct dentry *d)
{
	if (ref_put(&d->refs))
		dentry_free(d);
}

/* ---- hashing ---- */

static void bucket_insert(struct dentry *d)
{
	size_t b = bucket_of(d->hash);

	scoped_spin(bucket_lock_of(b));
	d->hash_next = dentry_table.buckets[b];
	rcu_store(dentry_table.buckets[b], d);
}

/* d keeps its hash_next: readers that stand on it go on. */
static void bucket_remove(struct dentry *d)
{
	size_t b = bucket_of(d->hash);
	struct dentry **link = &dentry_table.buckets[b];

	scoped_spin(bucket_lock_of(b));
	while (*link != d)
		link = &(*link)->hash_next;
	rcu_store(*link, d->hash_next);
}

static void dentry_set_flags_sequenced(struct dentry *d, u32 set, u32 clear)
{
	scoped_spin(&d->lock);
	seq_write_begin(&d->sequence);
	atomic_or(&d->flags, set);
	atomic_and(&d->flags, ~clear);
	seq_write_end(&d->sequence);
}

void dentry_list(struct dentry *d)
{
	struct dentry *parent = d->parent;

	dentry_get(d);
	scoped_spin(&parent->lock);
	list_push_back(&parent->children, &d->sibling);
}

void dentry_insert(struct dentry *d)
{
	if (!list_is_linked(&d->sibling))
		dentry_list(d);
	atomic_or(&d->flags, DENTRY_HASHED); /* not found yet: no sequence needed */
	bucket_insert(d);
	if (!(d->flags & DENTRY_PERSISTENT))
		lru_add(d);
}

/* With d's lock: its name is about to change or to go.  Whether a cached prefix may hold it. */
static bool name_change_begin(const struct dentry *d)
{
	if (likely(!(READ_ONCE(d->flags) & DENTRY_PREFIX)))
		return false;
	path_change_begin(PATH_CHANGE_NAME);
	return true;
}

bool dentry_mark_prefix(struct dentry *d)
{
	bool is_hashed;

	if (READ_ONCE(d->flags) & DENTRY_PREFIX)
		return READ_ONCE(d->flags) & DENTRY_HASHED;
	scoped_spin(&d->lock);
	is_hashed = READ_ONCE(d->flags) & DENTRY_HASHED;
	if (is_hashed)
		atomic_or(&d->flags, DENTRY_PREFIX);
	return is_hashed;
}

static void unhash_locked(struct dentry *d)
{
	bool in_prefix = name_change_begin(d);

	seq_write_begin(&d->sequence);
	atomic_and(&d->flags, ~DENTRY_HASHED);
	bucket_remove(d);
	seq_write_end(&d->sequence);
	list_remove(&d->sibling);
	if (in_prefix)
		path_change_end();
}

/*
 * Takes d out of the table and its parent's list if it is there; then the cache's reference is the
 * caller's to drop.  With `only_unused`, if the caller's reference is the only one beside it, and
 * both are gone on success.
 */
static bool dentry_unhash(struct dentry *d, bool only_unused)
{
	bool done = false;

	for (;;) {
		struct dentry *parent;

		rcu_read_lock();
		parent = READ_ONCE(d->parent);
		spin_lock(&parent->lock);
		spin_lock(&d->lock);
		if (d->parent == parent) { /* not moved meanwhile */
			if ((d->flags & DENTRY_HASHED) &&
			    (!only_unused || atomic_cas(&d->refs.count, 2u, 0u))) {
				unhash_locked(d);
				done = true;
			}
			spin_unlock(&d->lock);
			spin_unlock(&parent->lock);
			rcu_read_unlock();
			return done;
		}
		spin_unlock(&d->lock);
		spin_unlock(&parent->lock);
		rcu_read_unlock();
	}
}

void dentry_drop(struct dentry *d)
{
	if (d->parent != d && dentry_unhash(d, false))
		dentry_put(d);
}

void dentry_delete(struct dentry *d)
{
	atomic_or(&d->flags, DENTRY_DELETED);
	dentry_drop(d);
}

void dentry_set_inode(struct dentry *d, struct inode *i)
{
	ASSERT(!d->inode);
	spin_lock(&i->spin);
	list_push_back(&i->dentries, &d->alias);
	spin_unlock(&i->spin);
	scoped_spin(&d->lock);
	seq_write_begin(&d->sequence);
	d->inode = i;
	seq_write_end(&d->sequence);
}

struct dentry *dentry_create_root(struct inode *i)
{
	struct dentry *d = dentry_alloc(NULL, "/", 1);

	if (!d) {
		inode_put(i);
		return NULL;
	}
	d->sb = i->sb;
	dentry_set_inode(d, i);
	return d;
}

struct dentry *dentry_create_disconnected(struct inode *i, const char *name)
{
	struct dentry *d = dentry_alloc(NULL, name, (u32)strlen(name));

	if (!d) {
		inode_put(i);
		return NULL;
	}
	d->sb = i->sb;
	d->flags = DENTRY_DISCONNECTED;
	d->inode = i; /* no alias: many may share one inode, and no one looks for them */
	return d;
}

struct dentry *dentry_create_unnamed(struct dentry *dir, struct inode *i)
{
	char label[32];
	struct dentry *d;

	snprintf(label, sizeof(label), "#%llu", (unsigned long long)i->ino);
	d = dentry_alloc(dir, label, (u32)strlen(label));
	if (!d) {
		inode_put(i);
		return NULL;
	}
	d->flags |= DENTRY_DISCONNECTED | DENTRY_DELETED;
	d->inode = i;
	return d;
}

struct dentry *dentry_create_child(struct dentry *parent, const char *name, struct inode *i)
{
	u32 len = (u32)strlen(name);
	struct dentry *d = dentry_find(parent, name, len, dentry_hash_name(parent, name, len));

	if (d) {
		inode_put(i);
		return d;
	}
	d = dentry_alloc(parent, name, len);
	if (!d) {
		inode_put(i);
		return err_ptr(-ENOMEM);
	}
	dentry_set_inode(d, i);
	if (parent->inode->flags & INODE_COMPLETE)
		d->flags |= DENTRY_PERSISTENT;
	dentry_insert(d);
	return d;
}

/* ---- moves ---- */

static void place_change(struct dentry *d, struct dentry *parent, const char *name, u32 len,
			 char *copy)
{
	struct dentry *old_parent = d->parent;
	char *old_name = d->name == d->inline_name ? NULL : d->name;
	bool in_prefix;

	spin_lock(&old_parent->lock);
	spin_lock(&d->lock);
	list_remove(&d->sibling);
	spin_unlock(&d->lock);
	spin_unlock(&old_parent->lock);

	spin_lock(&parent->lock);
	spin_lock(&d->lock);
	in_prefix = name_change_begin(d);
	seq_write_begin(&d->sequence);
	if (d->flags & DENTRY_HASHED) /* a failed revalidation may have dropped it */
		bucket_remove(d);
	dentry_set_name(d, name, len, copy);
	d->parent = parent;
	d->hash = dentry_hash_name(parent, d->name, len);
	if (d->flags & DENTRY_HASHED) {
		bucket_insert(d);
		list_push_back(&parent->children, &d->sibling);
	}
	seq_write_end(&d->sequence);
	if (in_prefix)
		path_change_end();
	spin_unlock(&d->lock);
	spin_unlock(&parent->lock);
	if (old_name)
		kfree_rcu(old_name);
}

/*
 * d gets the place of `victim` (positive, negative or a mere stand-in).  Both directories are locked
 * exclusively: no one else changes these children.
 */
void dentry_replace(struct dentry *d, struct dentry *new_parent, const char *name, u32 len,
		    char *name_copy, struct dentry *victim)
{
	struct dentry *old_parent = d->parent;
	bool was_hashed;

	dentry_get(new_parent);
	spin_lock(&rename_spin);
	seq_write_begin(&dentry_rename_sequence);
	atomic_or(&victim->flags, DENTRY_DELETED);
	was_hashed = victim->parent != victim && dentry_unhash(victim, false);
	place_change(d, new_parent, name, len, name_copy);
	seq_write_end(&dentry_rename_sequence);
	spin_unlock(&rename_spin);
	if (was_hashed)
		dentry_put(victim);
	dentry_put(old_parent);
}

void dentry_exchange(struct dentry *a, struct dentry *b, char *copy_for_a, char *copy_for_b)
{
	struct dentry *parent_a = a->parent, *parent_b = b->parent;
	char name_a[NAME_MAX + 1], name_b[NAME_MAX + 1];
	u32 len_a = a->name_len, len_b = b->name_len;

	memcpy(name_a, a->name, len_a);
	memcpy(name_b, b->name, len_b);
	spin_lock(&rename_spin);
	seq_write_begin(&dentry_rename_sequence);
	place_change(a, parent_b, name_b, len_b, copy_for_a);
	place_change(b, parent_a, name_a, len_a, copy_for_b);
	seq_write_end(&dentry_rename_sequence);
	spin_unlock(&rename_spin);
}

bool dentry_is_ancestor(const struct dentry *ancestor, const struct dentry *d)
{
	bool found;
	u32 seq;

	rcu_read_lock();
	do {
		const struct dentry *at = d;

		seq = seq_read_begin(&dentry_rename_sequence);
		while (at != ancestor && READ_ONCE(at->parent) != at)
			at = READ_ONCE(at->parent);
		found = at == ancestor;
	} while (seq_read_retry(&dentry_rename_sequence, seq));
	rcu_read_unlock();
	return found;
}

/* ---- the file system's lookup ---- */

void dentry_wait_looking(struct dentry *d)
{
	wait_event(&looking_queue, !(READ_ONCE(d->flags) & DENTRY_LOOKING));
}

/*
 * Inserts d as being looked up unless the name is there by now: then that one is returned,
 * referenced.  The bucket lock decides between two lookups that both hold the directory shared.
 */
static struct dentry *insert_looking(struct dentry *d)
{
	struct dentry *parent = d->parent, *other;
	size_t b = bucket_of(d->hash);

	d->flags |= DENTRY_LOOKING;
	for (;;) {
		bool found = false;

		spin_lock(&parent->lock);
		spin_lock(bucket_lock_of(b));
		for (other = dentry_table.buckets[b]; other; other = other->hash_next)
			if (other->hash == d->hash && other->parent == parent &&
			    other->name_len == d->name_len && (other->flags & DENTRY_HASHED) &&
			    !memcmp(other->name, d->name, d->name_len)) {
				found = true;
				break;
			}
		if (!found) {
			ref_get(&d->refs);
			d->flags |= DENTRY_HASHED;
			d->hash_next = dentry_table.buckets[b];
			rcu_store(dentry_table.buckets[b], d);
			list_push_back(&parent->children, &d->sibling);
		} else if (!ref_get_unless_zero(&other->refs)) {
			other = err_ptr(-EAGAIN);
		}
		spin_unlock(bucket_lock_of(b));
		spin_unlock(&parent->lock);
		if (!is_err(other))
			break;
		cpu_relax();
	}
	return other;
}

static struct dentry *lookup_new(struct dentry *dir, const char *name, u32 len)
{
	struct inode *i = dir->inode;
	struct dentry *d = dentry_alloc(dir, name, len), *other;
	int err;

	if (!d)
		return err_ptr(-ENOMEM);
	other = insert_looking(d);
	if (other) {
		d->flags &= ~DENTRY_LOOKING;
		dentry_put(d);
		return other;
	}
	counter_inc(lookups);
	err = i->ops->lookup ? i->ops->lookup(i, d) : -ENOENT;
	if (err)
		dentry_drop(d);
	else
		lru_add(d);
	dentry_set_flags_sequenced(d, 0, DENTRY_LOOKING);
	wake_all(&looking_queue);
	if (err) {
		dentry_put(d);
		return err_ptr(err);
	}
	if (READ_ONCE(nr_lru) > lru_limit)
		dentry_reclaim(EVICT_BATCH);
	return d;
}

void dentry_preload(struct dentry *parent, const char *name, u32 len, struct inode *i)
{
	struct dentry *d = dentry_alloc(parent, name, len), *other;

	if (!d) {
		inode_put(i);
		return;
	}
	other = insert_looking(d);
	if (other) {
		if (!is_err(other))
			dentry_put(other);
		d->flags &= ~DENTRY_LOOKING;
		dentry_put(d);
		inode_put(i);
		return;
	}
	dentry_set_inode(d, i);
	lru_add(d);
	dentry_set_flags_sequenced(d, 0, DENTRY_LOOKING);
	wake_all(&looking_queue);
	dentry_put(d);
}

static inline void dir_read_lock_if(struct inode *dir, bool wanted) __no_lock_check
{
	if (wanted)
		rwlock_read(&dir->lock);
}

static inline void dir_read_unlock_if(struct inode *dir, bool wanted) __no_lock_check
{
	if (wanted)
		rwlock_read_unlock(&dir->lock);
}

struct dentry *dentry_lookup_any(struct dentry *dir, const char *name, u32 len, bool locked)
{
	u64 hash = dentry_hash_name(dir, name, len);

	if (len > NAME_MAX)
		return err_ptr(-ENAMETOOLONG);
	for (;;) {
		struct dentry *d = dentry_find(dir, name, len, hash);
		const struct inode_ops *ops = dir->sb->dentry_ops;
		bool cached = d != NULL;

		if (!d) {
			dir_read_lock_if(dir->inode, !locked);
			if (dir->inode->flags & INODE_COMPLETE) {
				d = dentry_find(dir, name, len, hash);
				if (!d)
					d = err_ptr(-ENOENT);
			} else if (dir->inode->flags & INODE_DELETED) {
				d = err_ptr(-ENOENT);
			} else {
				d = lookup_new(dir, name, len);
			}
			dir_read_unlock_if(dir->inode, !locked);
			if (is_err(d))
				return d;
		}
		if (READ_ONCE(d->flags) & DENTRY_LOOKING) {
			dentry_wait_looking(d);
			if (!(READ_ONCE(d->flags) & DENTRY_HASHED)) {
				dentry_put(d); /* its lookup failed */
				continue;
			}
		}
		if (cached && ops && ops->revalidate && !ops->revalidate(d)) {
			dentry_drop(d);
			dentry_put(d);
			continue;
		}
		return d;
	}
}

struct dentry *dentry_lookup(struct dentry *dir, const char *name, u32 len)
{
	struct dentry *d;

	if (dentry_is_negative(dir) || (dir->inode->mode & S_IFMT) != S_IFDIR)
		return err_ptr(-ENOTDIR);
	d = dentry_lookup_any(dir, name, len, false);
	if (!is_err(d) && dentry_is_negative(d)) {
		dentry_put(d);
		return err_ptr(-ENOENT);
	}
	return d;
}

/* ---- eviction ---- */

u64 dentry_reclaim(u64 nr)
{
	/* twice around at most: the first round may only clear the marks of use */
	u64 freed = 0, looked = 0, max = min(min(nr, U64_MAX / 4) * 4, 2 * READ_ONCE(nr_lru));

	while (freed < nr && looked++ < max) {
		struct dentry *d = NULL;

		rcu_read_lock();
		spin_lock(&lru_lock);
		if (!list_is_empty(&lru)) {
			d = list_entry(lru.prev, struct dentry, lru);
			list_remove(&d->lru);
			list_push_front(&lru, &d->lru);
			if (READ_ONCE(d->flags) & DENTRY_REFERENCED) {
				atomic_and(&d->flags, ~DENTRY_REFERENCED);
				d = NULL;
			} else if (!(READ_ONCE(d->flags) & DENTRY_HASHED) ||
				   !atomic_cas(&d->refs.count, 1u, 2u)) {
				d = NULL;
			}
		} else {
			max = 0;
		}
		spin_unlock(&lru_lock);
		rcu_read_unlock();
		if (!d)
			continue;
		/* A watch follows the inode that a walk finds: it stays the one in the cache. */
		if (!notify_is_watched(d->inode) && dentry_unhash(d, true)) {
			dentry_free(d);
			counter_inc(evictions);
			freed++;
		} else {
			dentry_put(d);
		}
	}
	return freed;
}

/* An unused dentry of sb that is cached, with a second reference; NULL. */
static struct dentry *find_unused(const struct super_block *sb)
{
	struct dentry *d;

	scoped_spin(&lru_lock);
	list_for_each(d, &lru, lru)
		if (d->sb == sb && (READ_ONCE(d->flags) & DENTRY_HASHED) &&
		    atomic_cas(&d->refs.count, 1u, 2u))
			return d;
	return NULL;
}

void dentry_evict_super(const struct super_block *sb)
{
	struct dentry *d;

	while ((d = find_unused(sb))) {
		if (dentry_unhash(d, true))
			dentry_free(d);
		else
			dentry_put(d);
	}
}

REGISTER_SHRINKER(dentries, dentry_reclaim);

void dentry_cache_init(void)
{
	static const struct slab_cache_info info = { .name = "dentry",
						     .size = sizeof(struct dentry),
						     .align = CACHE_LINE,
						     .account = true };
	struct memory_stats m;
	unsigned order;

	memory_stats_read(&m);
	/* One bucket for 8 pages of memory: 64 KiB of table on a 256 MiB machine. */
	order = m.total > 4096 ? log2_floor(m.total / 8) : 9;
	order = clamp(order, 9u, 18u);
	lru_limit = max(m.total / 8, 1024ull);
	dentry_table.buckets = page_alloc(order - 9, ALLOC_ZERO);
	VERIFY(dentry_table.buckets);
	dentry_table.shift = 64 - order;
	dentry_table.key[0] = hash_bytes("dentry parent", 13, 1);
	dentry_table.key[1] = hash_bytes("dentry name", 11, 2) | 1;
	for (unsigned n = 0; n < NR_BUCKET_LOCKS; n++)
		spin_init(&bucket_locks[n].lock, RANK_LEAF);
	wait_queue_init(&looking_queue);
	dentry_cache = slab_cache_create(&info);
	VERIFY(dentry_cache);
}
