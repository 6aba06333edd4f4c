/*
 * Kernel objects (mm/slab.c): caches with two arrays of free objects per CPU,
 * a barn per node, batches for remote frees; kmalloc on top.  All sleep unless
 * ALLOC_ATOMIC.  Memory is not zeroed unless ALLOC_ZERO.
 */
#pragma once

#include <nos/page.h>
#include <nos/types.h>

struct slab_cache;

struct slab_cache_info {
	const char *name;
	size_t size, align; /* align 0: natural, at least 8 */
	bool rcu_typed; /* freed memory stays this type for a grace period */
	bool type_stable; /* with rcu_typed: for ever; never given back */
	u16 link_offset; /* of a pointer that the cache may use while the object is free; 0: it finds a place */
	bool account; /* belongs to user-visible objects: charged, leak-listed */
	void (*construct)(void *object); /* once per object's life in the cache; NULL: none */
};

struct slab_cache *slab_cache_create(const struct slab_cache_info *info); /* NULL: no memory */
void slab_cache_destroy(struct slab_cache *c); /* panics in debug kernels if objects are live */
void *slab_alloc(struct slab_cache *c, u32 flags);
void slab_free(struct slab_cache *c, void *object);
u64 slab_cache_live(const struct slab_cache *c);
/* Gives back idle slabs and full sheaves of all caches; pages freed. */
u64 slab_reclaim(void);
/* fn for each cache: /proc/slabinfo, leak check. */
void slab_for_each(void (*fn)(const struct slab_cache_info *i, u64 live, u64 total, u64 slabs,
			      void *arg),
		   void *arg);

void *kmalloc(size_t size, u32 flags);
#ifdef __clang_analyzer__ /* it takes a kmalloc for Linux's, with Linux's flags */
void *kzalloc(size_t size, u32 flags);
#else
static inline void *kzalloc(size_t size, u32 flags)
{
	return kmalloc(size, flags | ALLOC_ZERO);
}
#endif
/* nr × size without overflow, zeroed. */
void *kcalloc(size_t nr, size_t size, u32 flags);
void *krealloc(void *p, size_t size, u32 flags); /* keeps min(old, new) bytes */
void kfree(void *p); /* NULL is fine */
size_t kmalloc_usable(const void *p);
char *kstrdup(const char *s, u32 flags);
/* kfree after a grace period. */
void kfree_rcu(void *p);

static inline void scoped_kfree_end(void *pp)
{
	kfree(*(void **)pp);
}
#define scoped_kfree __attribute__((cleanup(scoped_kfree_end)))
/* Gives a scoped pointer to the caller: the scope frees nothing. */
#define keep(p)                                                                                    \
	({                                                                                         \
		__auto_type _kept = (p);                                                           \
		(p) = NULL;                                                                        \
		_kept;                                                                             \
	})
