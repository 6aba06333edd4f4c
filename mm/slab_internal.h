/* Private to the slab allocator: slab.c, kmalloc.c, slab_debug.c. */
#pragma once

#include "page_internal.h"

#include <nos/fail.h>
#include <nos/irq.h>
#include <nos/list.h>
#include <nos/lock.h>
#include <nos/numa.h>
#include <nos/restart.h>
#include <nos/sanitize.h>
#include <nos/slab.h>
#include <nos/static_key.h>
#include <nos/thread.h>

#define SHEAF_CAPACITY 61u

#define SHEAF_BYTES 512u

/*
 * An array of free objects.  Its last `capacity` slots are theirs, filled from the lowest on, and the one
 * before those is NULL: what stands under the top says whether it is empty, the top's address whether it is
 * full.
 */
struct slab_sheaf {
	u32 count; /* out of date in a CPU's first array: its top is what counts */
	u32 capacity;
	struct slab_sheaf *next; /* in the barn; of a free one, the slab's own link */
	void *slots[SHEAF_CAPACITY + 1];
} __aligned(SHEAF_BYTES);
static_assert(sizeof(struct slab_sheaf) == SHEAF_BYTES, "a full one's top is the end of its block");

static inline void **sheaf_objects(struct slab_sheaf *s)
{
	return s->slots + SHEAF_CAPACITY + 1 - s->capacity;
}

struct slab_cpu {
	void **top; /* of the first array: above the object that goes next */
	struct slab_sheaf *spare; /* never NULL, nor is the first */
	struct slab_sheaf *remote; /* objects freed here that other nodes own; never NULL */
};

static inline bool sheaf_top_is_full(void **top)
{
	return (u64)top % SHEAF_BYTES == 0;
}

static inline struct slab_sheaf *sheaf_of_top(void **top)
{
	return (struct slab_sheaf *)align_down((u64)(top - 1), (u64)SHEAF_BYTES);
}

static inline struct slab_sheaf *slab_cpu_first(const struct slab_cpu *pc)
{
	return sheaf_of_top(pc->top);
}

/* Objects in the first array; of another CPU, which may exchange it meanwhile, some number that is possible. */
static inline u32 slab_cpu_first_count(const struct slab_cpu *pc)
{
	void **top = READ_ONCE(pc->top);
	u32 capacity = READ_ONCE(sheaf_of_top(top)->capacity);
	u32 count = capacity - (u32)(align_up((u64)top, (u64)SHEAF_BYTES) - (u64)top) / 8;

	return count <= capacity ? count : 0;
}

/*
 * Of all caches, a row for each CPU: no line of it is written by another.  Caches without
 * sheaves, and those that come when the rows are full, share an entry that stays empty.  Each
 * frame of a slab says which place is its cache's, so that kfree looks at nothing else; 0 is
 * none's.
 */
#define SLAB_NO_PLACE 1u
#define SLAB_FIRST_PLACE 2u
#define SLAB_ROW_CACHES 85u
#define SLAB_ROW_SHIFT 11
struct slab_row {
	struct slab_cpu of[SLAB_ROW_CACHES];
} __aligned(1 << SLAB_ROW_SHIFT);
_Static_assert(sizeof(struct slab_row) == 1 << SLAB_ROW_SHIFT, "rows are found by shifting");
extern struct slab_row slab_rows[MAX_CPUS];

/* What a node has of a cache: sheaves to exchange, and slabs. */
struct slab_barn {
	struct spinlock lock;
	struct slab_sheaf *full, *empty;
	u32 nr_full, nr_empty;
	struct list partial; /* slabs with a free object, the emptiest last */
	u32 nr_slabs;
	u32 nr_idle; /* of them without an object in use */
	u64 nr_in_use; /* objects out of the slabs: live, in a sheaf, or in quarantine */
} __aligned(CACHE_LINE);

struct slab_cache {
	u32 row_offset; /* of its entry in each row, in bytes */
	u32 size; /* of an object, as asked for */
	u32 stride; /* between objects */
	u32 free_offset; /* of the link inside a free object */
	u16 capacity; /* of its sheaves; 0: none are used */
	u16 per_slab;
	u8 order;
	bool poisoned; /* debug: free objects are filled */
	struct slab_cache_info info;
	struct list node; /* of all caches */

	struct slab_barn *barn[NUMA_MAX_NODES]; /* by node; those that have none share the first */
	struct slab_barn first_barn;
	u64 nr_quarantined;
};

static inline u32 slab_row_offset(u32 place)
{
	return place * (u32)sizeof(struct slab_cpu);
}

static inline struct slab_cpu *slab_cpu_of(const struct slab_cache *c, unsigned cpu)
{
	return (struct slab_cpu *)((char *)&slab_rows[cpu] + c->row_offset);
}

static inline struct slab_cache *slab_cache_of(const void *object)
{
	return direct_to_folio(object)->slab_cache;
}

/* Whether the object is another node's; preemption off. */
static inline bool slab_is_remote(const struct slab_cache *c, const void *object)
{
	return direct_to_folio(object)->slab_barn != c->barn[this_cpu_read(this_numa_node)];
}

void slab_cache_prepare(struct slab_cache *c, const struct slab_cache_info *info, bool sheaves);
void slab_init(void);
void slab_nodes_init(void); /* the page allocator has nodes: barns for all */
void kmalloc_init(void);

/* slab_debug.c: poison of free objects, a red zone behind each. */
#ifdef DEBUG
#ifdef SANITIZE
#define SLAB_RED_ZONE (8u + 2 * sizeof(struct sanitize_trace)) /* who allocated and freed it */
#else
#define SLAB_RED_ZONE 8u
#endif
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

/*
 * The sanitizing kernel keeps freed objects for a while before they are used
 * again, so that a use after free meets poison and not another object.  The rest
 * of slab_free is slab_free_now.
 */
void slab_free_now(struct slab_cache *c, void *object);
#ifdef SANITIZE
/* True: it was taken, and perhaps others were freed instead. */
bool slab_quarantine_put(struct slab_cache *c, void *object);
/* Frees all that is in quarantine. */
void slab_quarantine_drain(void);
/* Behind the first `size` bytes of a live object nothing may be accessed. */
void slab_debug_trim(void *object, size_t size);
/* Objects from now on are new. */
void slab_debug_mark(void);
/* Call chains of the live objects of the cache that are new. */
void slab_debug_show_new(const char *cache, void (*show)(void *arg, const char *line), void *arg);
/* A new slab: none of it may be accessed. */
void slab_debug_close(struct slab_cache *c, struct folio *f);
#else
static inline bool slab_quarantine_put(struct slab_cache *c, void *object)
{
	return false;
}
static inline void slab_quarantine_drain(void)
{
}
static inline void slab_debug_trim(void *object, size_t size)
{
}
static inline void slab_debug_mark(void)
{
}
static inline void slab_debug_show_new(const char *cache, void (*show)(void *arg, const char *line),
				       void *arg)
{
}
static inline void slab_debug_close(struct slab_cache *c, struct folio *f)
{
}
#endif

/* ---- a hit, in line: also kmalloc's and kfree's ---- */

void *slab_alloc_miss(struct slab_cache *c, u32 flags);
void slab_free_miss(struct slab_cache *c, void *object);

/*
 * Whether the quick paths turn preemption off instead of being restarted: opt.slab_restart=off, the
 * host's unit tests, and for frees where memory has several nodes, too, since they ask for the CPU's.
 */
extern struct static_key slab_plain_key, slab_plain_free_key;
#if defined(NOS_HOST) && !defined(NOS_NATIVE)
#define slab_alloc_is_plain() true
#define slab_free_is_plain() true
#else
#define slab_alloc_is_plain() static_key_is_on(&slab_plain_key)
#define slab_free_is_plain() static_key_is_on(&slab_plain_free_key)
#endif

#ifdef NOS_HOST
#define THIS_CPU_ASM ""
#else
#define THIS_CPU_ASM "%%gs:"
#endif

/*
 * The top of this CPU's first array, into `top`; n: where it stands.  The sequences tell by the zero flag whether
 * they came to their end: asm goto with outputs is compiled wrongly by gcc before 12.4 (its PR 113921).
 */
#define SLAB_THIS_TOP                                                                              \
	"mov " THIS_CPU_ASM "%[cpu], %k[n]\n"                                                      \
	"shl %[shift], %k[n]\n"                                                                    \
	"add %[row], %k[n]\n"                                                                      \
	"mov %c[rows](%[n]), %[top]\n"
#define SLAB_THIS_TOP_INPUTS                                                                       \
	[cpu] "m"(this_cpu_id), [shift] "i"(SLAB_ROW_SHIFT), [row] "r"(row_offset),                \
		[rows] "i"(slab_rows)
static_assert(offsetof(struct slab_cpu, top) == 0, "SLAB_THIS_TOP");

void *slab_alloc_plain(struct slab_cache *c, u32 flags);
void slab_free_plain(struct slab_cache *c, void *object);

/* An object, not zeroed.  The offset is the cache's: who knows it need not read it there. */
static __always_inline void *slab_alloc_inline(struct slab_cache *c, u32 row_offset, u32 flags)
{
	void **top, *object;
	bool is_empty;
	u64 n;

	if (test_allocation_fails() || fail_now(FAIL_ALLOC, c->info.name))
		return NULL;
	if (slab_alloc_is_plain())
		return slab_alloc_plain(c, flags);
	if (unlikely(irq_is_in_handler()))
		return slab_alloc_miss(c, flags);
	/* lea leaves the flags as they are */
	__asm__ volatile(RESTART_BEGIN SLAB_THIS_TOP "mov -8(%[top]), %[object]\n"
						     "lea -8(%[top]), %[top]\n"
						     "test %[object], %[object]\n"
						     "jz 772f\n"
						     "mov %[top], %c[rows](%[n])\n" RESTART_END
			 : [top] "=&r"(top), [n] "=&r"(n), [object] "=&r"(object), "=@ccz"(is_empty)
			 : SLAB_THIS_TOP_INPUTS
			 : "memory");
	if (unlikely(is_empty))
		return slab_alloc_miss(c, flags);
	slab_debug_alloc(c, object);
	return object;
}

/* The cache may be NULL, that is the object's own. */
static __always_inline void slab_free_now_inline(struct slab_cache *c, u32 row_offset, void *object)
{
	bool is_full;
	void **top;
	u64 n;

	if (slab_free_is_plain()) {
		slab_free_plain(c, object);
		return;
	}
	if (unlikely(irq_is_in_handler())) {
		slab_free_miss(c, object);
		return;
	}
	__asm__ volatile(RESTART_BEGIN SLAB_THIS_TOP "test %[mask], %k[top]\n"
						     "jz 772f\n"
						     "mov %[object], (%[top])\n"
						     "lea 8(%[top]), %[top]\n"
						     "mov %[top], %c[rows](%[n])\n" RESTART_END
			 : [top] "=&r"(top), [n] "=&r"(n), "=@ccz"(is_full)
			 : SLAB_THIS_TOP_INPUTS, [object] "r"(object), [mask] "i"(SHEAF_BYTES - 1)
			 : "memory");
	if (unlikely(is_full))
		slab_free_miss(c, object);
}

static __always_inline void slab_free_inline(struct slab_cache *c, u32 row_offset, void *object)
{
	slab_debug_free(c ?: slab_cache_of(object), object);
	if (!slab_quarantine_put(c ?: slab_cache_of(object), object))
		slab_free_now_inline(c, row_offset, object);
}
