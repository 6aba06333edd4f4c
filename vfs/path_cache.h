/* The cache of directory prefixes, as the walk reads and fills it (path_cache.c).  Private to vfs. */
#pragma once

#include "dentry_table.h"

#define PREFIX_MAX 16 /* bytes, with the last slash */
#define PREFIX_SETS 256
#define PREFIX_WAYS 2

/* Whole components, each with its slash, padded with zeros. */
struct prefix {
	u64 first, second;
	u32 len;
};

/*
 * What a prefix leads to from a place.  Nothing is referenced: the epoch says that all of it lives.
 * `special` is 0 where everyone may pass and no link is passed.
 */
struct prefix_entry {
	u64 first, second; /* the text */
	struct path start, end;
	u64 epoch; /* path_epoch from before it was walked */
	u64 special;
};
static_assert(sizeof(struct prefix_entry) == CACHE_LINE, "a probe reads one line");

/* In `special`: */
#define PREFIX_LINKS 63u /* how many are passed */
#define PREFIX_ROOTED 64u /* one is absolute: true for walks whose root is the start */
#define PREFIX_CRED_SHIFT 8 /* number of the credentials that were let pass; 0: everyone's */

/* This CPU's entries; NULL: switched off, or at rest. */
DECLARE_PERCPU(struct prefix_entry *, prefix_entries);

/* Low 16 bits: changes under way; above: changes ever begun. */
extern u64 path_epoch;

/* The high bit of each byte that is zero, exact for all. */
static inline u64 zero_bytes_exact(u64 w)
{
	const u64 low7 = ~BYTES(0x80);

	return ~(((w & low7) + low7) | w | low7);
}

/* What follows the last slash of `word` becomes zero; *len is what is left. */
static inline u64 prefix_cut(u64 word, u64 slashes, u32 *len)
{
	unsigned top = 63 - (unsigned)__builtin_clzll(slashes);

	*len = top / 8 + 1;
	return word & (~0ull >> (63 - top));
}

/* The longest prefix of `name` that leaves a component; false: none. */
__unchecked static inline bool prefix_take(const char *name, struct prefix *p)
{
	u64 slashes, end;
	char next;

	if (unlikely(((uintptr_t)name & (PAGE_SIZE - 1)) > PAGE_SIZE - PREFIX_MAX))
		return false;
	p->first = *(const unaligned_u64 *)name;
	p->second = 0;
	end = zero_bytes(p->first);
	if (end) {
		p->first &= (end ^ (end - 1)) >> 8;
	} else {
		p->second = *(const unaligned_u64 *)(name + 8);
		end = zero_bytes(p->second);
		if (end)
			p->second &= (end ^ (end - 1)) >> 8;
	}
	slashes = zero_bytes_exact(p->second ^ BYTES('/'));
	if (slashes) {
		p->second = prefix_cut(p->second, slashes, &p->len);
		p->len += 8;
	} else {
		slashes = zero_bytes_exact(p->first ^ BYTES('/'));
		if (!slashes)
			return false;
		p->first = prefix_cut(p->first, slashes, &p->len);
		p->second = 0;
	}
	next = name[p->len];
	return next && next != '/';
}

static inline u64 prefix_hash(const struct dentry *start, const struct prefix *p)
{
	const u64 step = 0x9e3779b97f4a7c15ull;
	u64 h = ((u64)(uintptr_t)start ^ p->first) * step;

	return ((h ^ h >> 32) + p->second) * step;
}

static inline unsigned prefix_set_of(u64 hash)
{
	return (unsigned)(hash >> 56);
}

static inline bool prefix_is_current(const struct prefix_entry *e)
{
	return atomic_load(&path_epoch) == e->epoch;
}

/* Before the walk of a prefix that is to be stored; false: something changes. */
static inline bool prefix_fill_begin(u64 *epoch)
{
	*epoch = atomic_load(&path_epoch);
	return !(u16)*epoch;
}

static inline bool prefix_entry_is(const struct prefix_entry *e, const struct path *start,
				   const struct prefix *p)
{
	return e->first == p->first && e->second == p->second && e->start.dentry == start->dentry &&
	       e->start.mount == start->mount;
}

/* Under RCU: no entry was found.  Is it to be walked and stored? */
bool prefix_missed(u64 hash);
void prefix_store(const struct prefix_entry *new, u64 hash);
void prefix_refuse(u64 hash); /* it can't be cached: not to be tried at each miss */
/* Under RCU, prefix_entries is NULL: perhaps it is time to look again. */
void prefix_rest(void);
/* From p up to `top`: each name is marked; false: one has gone. */
bool prefix_mark(const struct path *p, const struct path *top);

DECLARE_PERCPU(u64, prefix_hits);
