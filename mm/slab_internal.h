/* Private to the slab allocator: slab.c, kmalloc.c, slab_debug.c. */
#pragma once

#include <nos/list.h>
#include <nos/lock.h>
#include <nos/slab.h>

#define SHEAF_CAPACITY 30u

/* An array of free objects: 256 bytes. */
struct slab_sheaf {
	u32 count, capacity;
	struct slab_sheaf *next; /* in the barn */
	void *objects[SHEAF_CAPACITY];
};

struct slab_cpu {
	struct slab_sheaf *main, *spare; /* never NULL */
};

struct slab_cache {
	struct slab_cpu cpu[MAX_CPUS];
	u32 size; /* of an object, as asked for */
	u32 stride; /* between objects */
	u32 free_offset; /* of the link inside a free object */
	u16 capacity; /* of its sheaves; 0: none are used */
	u16 per_slab;
	u8 order;
	bool poisoned; /* debug: free objects are filled */
	struct slab_cache_info info;
	struct list node; /* of all caches */

	/* the barn */
	struct spinlock lock __aligned(CACHE_LINE);
	struct slab_sheaf *full, *empty;
	u32 nr_full, nr_empty;
	struct list partial; /* slabs with a free object, the emptiest last */
	u32 nr_slabs;
	u32 nr_idle; /* of them without an object in use */
	u64 nr_in_use; /* objects out of the slabs: live, or in a sheaf */
};

void slab_cache_prepare(struct slab_cache *c, const struct slab_cache_info *info, bool sheaves);
void slab_init(void);
void kmalloc_init(void);

/* slab_debug.c: poison of free objects, a red zone behind each. */
#ifdef DEBUG
#define SLAB_RED_ZONE 8u
void slab_debug_prepare(struct slab_cache *c, void *object); /* new slab */
void slab_debug_alloc(struct slab_cache *c, void *object);
void slab_debug_free(struct slab_cache *c, void *object);
#else
#define SLAB_RED_ZONE 0u
static inline void slab_debug_prepare(struct slab_cache *c, void *object)
{
}
static inline void slab_debug_alloc(struct slab_cache *c, void *object)
{
}
static inline void slab_debug_free(struct slab_cache *c, void *object)
{
}
#endif
