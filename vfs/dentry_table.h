/* The table of dentries, as the walk's loop reads it.  Private to dentry.c and walk.c. */
#pragma once

#include "internal.h"

struct dentry_table {
	struct dentry **buckets;
	u64 key[2]; /* of the hash */
	unsigned shift;
};
extern struct dentry_table dentry_table;

typedef u64 __attribute__((may_alias, aligned(1))) unaligned_u64;

static inline bool has_word_in_page(const char *p)
{
	return likely(((uintptr_t)p & (PAGE_SIZE - 1)) <= PAGE_SIZE - 8);
}

/* Eight bytes from p, a string: what follows its NUL is anything, but never of a page that it does
 * not reach. */
__unchecked static inline u64 load_text(const char *p)
{
	u64 w = 0;

	if (has_word_in_page(p))
		return *(const unaligned_u64 *)p;
	for (unsigned i = 0; i < 8 && p[i]; i++)
		w |= (u64)(u8)p[i] << (8 * i);
	return w;
}

/* All eight bytes are the name's. */
static inline u64 load_word(const char *p)
{
	return *(const unaligned_u64 *)p;
}

#define BYTES(c) (0x0101010101010101ull * (u64)(c))

/* The high bit of each byte that is zero (exact for the lowest one). */
static inline u64 zero_bytes(u64 w)
{
	return (w - BYTES(1)) & ~w & BYTES(0x80);
}

/* nr < 8 */
static inline u64 low_bytes(u64 w, unsigned nr)
{
	return w & ~(~0ull << (8 * nr));
}

/* The last nr < 8 bytes of a name. */
__unchecked static inline u64 load_tail(const char *p, unsigned nr)
{
	u64 w = 0;

	if (has_word_in_page(p))
		return low_bytes(*(const unaligned_u64 *)p, nr);
	for (unsigned i = 0; i < nr; i++)
		w |= (u64)(u8)p[i] << (8 * i);
	return w;
}

static inline size_t bucket_of(u64 hash)
{
	return hash >> dentry_table.shift;
}

/*
 * A name of less than eight bytes as a word padded with zeros, which is what inline_name holds of it and
 * of no other name.  Under RCU: the child, its sequence in *seq, which the caller checks after it has
 * read what it needs; the flags too, for it may have left the table.
 */
static inline struct dentry *dentry_find_short_rcu(const struct dentry *parent, u64 word,
						   unsigned len, u32 *seq)
{
	u64 hash = cpu_multiply_fold((u64)(uintptr_t)parent ^ dentry_table.key[0] ^ word,
				     dentry_table.key[1] ^ len);
	struct dentry *d;

	for (d = rcu_load(dentry_table.buckets[bucket_of(hash)]); d; d = rcu_load(d->hash_next)) {
		*seq = seq_read_begin(&d->sequence);
		if (likely(READ_ONCE(d->parent) == parent &&
			   *(const volatile u64 __attribute__((may_alias)) *)d->inline_name ==
				   word))
			break;
	}
	return d;
}
