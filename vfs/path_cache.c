/*
 * The cache of directory prefixes: several components of a name in one step.
 *
 * Concepts.  A *prefix* is what the first 16 bytes of the rest of a name hold
 * of whole components, but never the last component: that one is walked as
 * always, so that an entry serves all files of a directory, names that are not
 * there, and names that are to be made.  Long names go from entry to entry.
 * An entry leads from a place (mount and dentry) and that text to another
 * place.  Each CPU has a table of its own, which only it reads and writes,
 * without preemption: a hit stores nothing that others read.
 *
 * What an entry rests on: the names on its way (directories and links), what
 * is mounted on them, and the permission to search each directory.  Where all
 * may search all of them it serves everyone; else it holds the number of the
 * credentials it was walked with, which no others ever have.  The text itself
 * is compared, not a hash of it.
 *
 * Validity is one number, path_epoch.  A change begins by adding one to its
 * upper 48 bits and one to the count of changes under way in its lower 16,
 * before anyone can see it, and takes the latter off when all can.  A change
 * a microsecond would take nine years to come to an old number again.
 *
 * Invariants.
 *   (1) an entry's epoch was read, with no change under way, before its
 *       prefix was walked; it is valid while path_epoch is that number.  So an
 *       entry walked before or during a change is never valid after its begin,
 *       and none is while one is under way.
 *   (2) every name on the way of an entry has DENTRY_PREFIX, which is set under
 *       the dentry's lock while it is hashed; whoever unhashes or moves it looks
 *       at the flag under that lock.  A move between the walk and the mark is
 *       seen in dentry_rename_sequence.  Names without the flag cost nothing.
 *   (3) a valid entry's mounts and dentries are alive for the RCU section in
 *       which it was found valid: a dentry is unhashed, and a mount detached or
 *       dropped, within a change, before its memory goes to RCU.
 *   (4) a prefix through a directory whose file system revalidates or decides
 *       itself who may pass, through a link whose text may change, or through
 *       `..`, is never stored.
 *
 * Changes: dentry.c (names), mount.c (mount trees), inode_access_change_begin
 * (the search bits of a directory, and its owner where they matter).  A new
 * directory, file or link changes no prefix.
 *
 * A prefix is stored when it is missed for the second time, so that walks that
 * come once (find, tar) store nothing; a CPU that only misses asks rarely.
 *
 * tests/models/path_cache.pml is the protocol.
 *
 * Rejected.  Whole paths (Tsai and others, SOSP 2015): entries for names that
 * do not exist, one for each file, and rules for links and slashes at the end.
 * Prefixes of any length: finding the last slash of a name of three words and
 * comparing it took 245 instructions, two components and a half.  Version
 * numbers in each dentry, changed in the whole subtree by a rename or chmod, as
 * in that paper: walks of thousands of dentries under a lock, where a directory
 * in use is renamed so rarely that all entries may go.  A table for all CPUs: a
 * shared line to write at each fill.
 */
#include "internal.h"
#include "path_cache.h"

#include <nos/counter.h>
#include <nos/init.h>
#include <nos/log.h>
#include <nos/page.h>
#include <nos/preempt.h>

#define PATIENCE 64 /* misses in a row */
#define REST 8 /* walks that then do not ask, for one that does */

struct path_cache {
	struct prefix_entry *entries; /* NULL: switched off */
	u32 misses; /* in a row */
	u32 resting; /* walks to come that do not ask */
	u64 hits_seen; /* at the last miss */
	u64 candidates
		[PREFIX_SETS]; /* hash of what was missed once; inverted: of what can't be stored */
};
static DEFINE_PERCPU(struct path_cache, path_cache);
DEFINE_PERCPU(struct prefix_entry *, prefix_entries);
u64 path_epoch __aligned(CACHE_LINE);

#ifndef NOS_HOST
static const struct counter_info counter_info_hits __section("counters")
	__aligned(8) = { "vfs.path_cache_hits", (u64 *)&prefix_hits };
#endif
DEFINE_PERCPU(u64, prefix_hits);
DEFINE_COUNTER(misses, "vfs.path_cache_misses");
DEFINE_COUNTER(fills, "vfs.path_cache_fills");
DEFINE_COUNTER(names, "vfs.path_cache_name_changes");
DEFINE_COUNTER(mounts, "vfs.path_cache_mount_changes");
DEFINE_COUNTER(access, "vfs.path_cache_access_changes");

#define ONE_CHANGE ((1ull << 16) + 1)

/* Without preemption: so no more changes are under way at once than there are CPUs. */
void path_change_begin(enum path_change what)
{
	preempt_disable();
	atomic_add(&path_epoch, ONE_CHANGE);
	switch (what) {
	case PATH_CHANGE_NAME:
		counter_inc(names);
		break;
	case PATH_CHANGE_MOUNT:
		counter_inc(mounts);
		break;
	case PATH_CHANGE_ACCESS:
		counter_inc(access);
		break;
	}
}

void path_change_end(void)
{
	ASSERT((u16)READ_ONCE(path_epoch) > 0);
	atomic_sub(&path_epoch, 1ull);
	preempt_enable();
}

/* Whoever owns a directory that all may search does not matter. */
bool inode_access_change_begin(const struct inode *i, struct inode_access to)
{
	if ((i->mode & S_IFMT) != S_IFDIR)
		return false;
	if (!((i->mode ^ to.mode) & 0111) &&
	    ((i->mode & 0111) == 0111 || (i->uid == to.uid && i->gid == to.gid)))
		return false;
	path_change_begin(PATH_CHANGE_ACCESS);
	return true;
}

void inode_access_change_end(bool begun)
{
	if (begun)
		path_change_end();
}

bool prefix_mark(const struct path *p, const struct path *top)
{
	struct dentry *d = p->dentry;
	struct mount *m = p->mount;

	while (d != top->dentry || m != top->mount) {
		if (d == m->root) {
			d = READ_ONCE(m->mountpoint);
			m = READ_ONCE(m->parent);
			if (!m || !d)
				return true; /* above an absolute link's root: nothing is left to mark */
			continue;
		}
		if (READ_ONCE(d->parent) == d || !dentry_mark_prefix(d))
			return false;
		d = READ_ONCE(d->parent);
	}
	return true;
}

/* Without a hit for long, most walks are spared the question. */
static void count_miss(struct path_cache *c)
{
	u64 hits = this_cpu_read(prefix_hits);

	counter_inc(misses);
	if (hits != c->hits_seen)
		c->misses = 0;
	c->hits_seen = hits;
	if (++c->misses < PATIENCE)
		return;
	c->misses = PATIENCE;
	c->resting = REST;
	this_cpu_write(prefix_entries, NULL);
}

void prefix_rest(void)
{
	struct path_cache *c = this_cpu_ptr(path_cache);

	if (c->entries && !--c->resting)
		this_cpu_write(prefix_entries, c->entries);
}

bool prefix_missed(u64 hash)
{
	struct path_cache *c = this_cpu_ptr(path_cache);
	u64 *candidate = &c->candidates[prefix_set_of(hash)];

	count_miss(c);
	if (*candidate == hash)
		return true;
	if (*candidate != ~hash)
		*candidate = hash;
	return false;
}

/* In place of its own older self, else of one that is stale, else of the one that came first. */
void prefix_store(const struct prefix_entry *new, u64 hash)
{
	struct path_cache *c = this_cpu_ptr(path_cache);
	struct prefix_entry *e = &c->entries[prefix_set_of(hash) * PREFIX_WAYS];
	const struct prefix p = { new->first, new->second, 0 };

	if (!prefix_entry_is(e, &new->start, &p) && prefix_is_current(e))
		e[1] = e[0];
	e[0] = *new;
	c->candidates[prefix_set_of(hash)] = 0;
	counter_inc(fills);
}

void prefix_refuse(u64 hash)
{
	this_cpu_ptr(path_cache)->candidates[prefix_set_of(hash)] = ~hash;
}

static int path_cache_init(void)
{
	if (!boot_opt_enabled("path_cache"))
		return 0;
	for_each_cpu(cpu)
	{
		struct path_cache *c = per_cpu_ptr(path_cache, cpu);
		const size_t size = PREFIX_SETS * PREFIX_WAYS * sizeof(*c->entries);

		c->entries = page_alloc(log2_ceil(size >> PAGE_SHIFT), ALLOC_ZERO);
		if (!c->entries)
			return -ENOMEM;
		*per_cpu_ptr(prefix_entries, cpu) = c->entries;
	}
	return 0;
}
INIT_STEP(INIT_SUBSYSTEM, path_cache_init);
