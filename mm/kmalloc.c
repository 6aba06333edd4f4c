/*
 * kmalloc: one cache for each size class, whole folios above 8 KiB; kfree after
 * a grace period in batches, so that no object needs a field for it.
 */
#include "slab_internal.h"

#include <nos/assert.h>
#include <nos/log.h>
#include <nos/radix.h>
#include <nos/rcu.h>
#include <nos/sanitize.h>
#include <nos/string.h>
#include <nos/thread.h>
#include <nos/vmap.h>

#define KMALLOC_MAX 8192u
#define NR_CLASSES 14u

static const u16 class_size[NR_CLASSES] = { 8,   16,  32,  48,   64,   96,   128,
					    192, 256, 512, 1024, 2048, 4096, 8192 };
static const char *const class_name[NR_CLASSES] = {
	"kmalloc-8",  "kmalloc-16",  "kmalloc-32",  "kmalloc-48",  "kmalloc-64",
	"kmalloc-96", "kmalloc-128", "kmalloc-192", "kmalloc-256", "kmalloc-512",
	"kmalloc-1k", "kmalloc-2k",  "kmalloc-4k",  "kmalloc-8k",
};
static struct slab_cache class_cache[NR_CLASSES];
/* Class by (size − 1) / 8: a load, where a choice between small and large would be guessed wrong. */
static u8 class_of[KMALLOC_MAX / 8] __ro_after_init;

/* The classes' caches are the first that have arrays: their places in the rows are known. */
static inline u32 class_row(u32 class)
{
	return slab_row_offset(SLAB_FIRST_PLACE + class);
}

/* Of whole folios. */
static __noinline void *kmalloc_large(size_t size, u32 flags)
{
	if (size > PAGE_SIZE << PAGE_ORDER_MAX)
		return NULL;
	unsigned order = log2_ceil(div_round_up(size, PAGE_SIZE));
	void *p = page_alloc(order, flags);

	if (p)
		shadow_poison((char *)p + align_up(size, 8ul),
			      (PAGE_SIZE << order) - align_up(size, 8ul), SHADOW_TAIL);
	return p;
}

static __always_inline void *kmalloc_object(size_t size, u32 flags)
{
	u32 class = class_of[(size - 1) / 8];
	void *p = slab_alloc_inline(&class_cache[class], class_row(class), flags);

	if (p)
		slab_debug_trim(p, size);
	return p;
}

static __noinline void *kmalloc_zeroed(size_t size, u32 flags)
{
	void *p = kmalloc_object(size, flags);

	if (p)
		memset(p, 0, size);
	return p;
}

void *kmalloc(size_t size, u32 flags)
{
	if (unlikely(size - 1 >= KMALLOC_MAX)) {
		if (size)
			return kmalloc_large(size, flags);
		size = 1;
	}
	if (flags & ALLOC_ZERO)
		return kmalloc_zeroed(size, flags & ~ALLOC_ZERO);
	return kmalloc_object(size, flags);
}

void *kcalloc(size_t nr, size_t size, u32 flags)
{
	size_t bytes;

	if (__builtin_mul_overflow(nr, size, &bytes))
		return NULL;
	return kmalloc(bytes, flags | ALLOC_ZERO);
}

size_t kmalloc_usable(const void *p)
{
	struct folio *f = phys_to_folio(virt_to_phys(p));

	size_t size =
		f->kind == FOLIO_SLAB ? ((struct slab_cache *)f->slab_cache)->size : folio_size(f);

	shadow_unpoison(p, size); /* the caller may use all of it from now on */
	return size;
}

void *krealloc(void *p, size_t size, u32 flags)
{
	void *to;

	if (!p)
		return kmalloc(size, flags);
	size_t old = kmalloc_usable(p);

	if (size <= old)
		return p;
	to = kmalloc(size, flags);
	if (!to)
		return NULL;
	memcpy(to, p, old);
	kfree(p);
	return to;
}

void kfree(void *p)
{
	if (!p)
		return;
	u32 place = *frame_slab_place(p);

	if (likely(place)) {
		slab_free_inline(NULL, slab_row_offset(place), p);
		return;
	}
	struct folio *f = direct_to_folio(p);

	VERIFY(f->kind == FOLIO_KERNEL && folio_address(f) == p);
	folio_put(f);
}

char *kstrdup(const char *s, u32 flags)
{
	size_t size = strlen(s) + 1;
	char *to = kmalloc(size, flags);

	if (to)
		memcpy(to, s, size);
	return to;
}

/* ---- after a grace period ---- */

#define LATE_BATCH 28u

/*
 * Pointers to free together.  A batch takes pointers until it is full or one
 * grace period old (`detach`); a further grace period later it frees them.
 */
struct late_batch {
	struct rcu_head rcu;
	struct spinlock *lock;
	struct late_batch **slot; /* where it takes pointers, under *lock */
	u32 count;
	void *objects[LATE_BATCH];
};
struct late_slot {
	struct spinlock lock;
	struct late_batch *batch;
};
static DEFINE_PERCPU(struct late_slot, late_slot);

/* Batches for when memory is out: what is to be freed must not need more of it. */
#define NR_RESERVE 32u
static struct late_batch reserve[NR_RESERVE];
static u32 reserve_used; /* bits */

static bool is_reserve(const struct late_batch *b)
{
	return b >= reserve && b < reserve + NR_RESERVE;
}

static struct late_batch *batch_create(void)
{
	struct late_batch *b = kmalloc(sizeof(*b), ALLOC_ATOMIC);
	u32 used = READ_ONCE(reserve_used);

	while (!b && used != U32_MAX) {
		u32 free = (u32)__builtin_ctz(~used);

		if (atomic_cas_update(&reserve_used, &used, used | 1u << free))
			b = &reserve[free];
	}
	return b;
}

static void late_release(struct rcu_head *head)
{
	struct late_batch *b = container_of(head, struct late_batch, rcu);

	for (u32 i = 0; i < b->count; i++)
		kfree(b->objects[i]);
	if (is_reserve(b))
		atomic_and(&reserve_used, ~(1u << (b - reserve)));
	else
		kfree(b);
}

static void late_detach(struct rcu_head *head)
{
	struct late_batch *b = container_of(head, struct late_batch, rcu);

	u64 irq = spin_lock_irq(b->lock);

	if (*b->slot == b)
		*b->slot = NULL;
	spin_unlock_irq(b->lock, irq);
	rcu_call(&b->rcu, late_release);
}

static bool late_add(void *p)
{
	struct late_batch *b = NULL;
	bool added = false;

	preempt_disable();
	struct late_slot *s = this_cpu_ptr(late_slot);

	u64 irq = spin_lock_irq(&s->lock);

	if (!s->batch || s->batch->count == LATE_BATCH) {
		b = batch_create();
		if (b) {
			b->lock = &s->lock;
			b->slot = &s->batch;
			b->count = 0;
			s->batch = b;
		}
	}
	if (s->batch && s->batch->count < LATE_BATCH) {
		s->batch->objects[s->batch->count++] = p;
		added = true;
	}
	spin_unlock_irq(&s->lock, irq);
	preempt_enable();
	if (b)
		rcu_call(&b->rcu, late_detach);
	return added;
}

void kfree_rcu(void *p)
{
	if (!p || late_add(p))
		return;
	/* Not even the reserve has a batch. */
	if (preempt_count() == 0 && irq_is_enabled()) {
		rcu_synchronize();
		kfree(p);
	} else {
		log_err("kfree_rcu: out of memory, %zu bytes lost", kmalloc_usable(p));
	}
}

#define RADIX_NODE_SIZE 576u
static struct slab_cache radix_cache;

static void *radix_node_alloc(size_t bytes)
{
	VERIFY(bytes <= RADIX_NODE_SIZE);
	return slab_alloc(&radix_cache, ALLOC_ATOMIC | ALLOC_ZERO);
}

const struct radix_allocator radix_default_allocator = {
	.alloc = radix_node_alloc,
	.free_deferred = kfree_rcu,
};

void kmalloc_init(void)
{
	static const struct slab_cache_info radix_info = {
		.name = "radix_node",
		.size = RADIX_NODE_SIZE,
	};
	u32 class = 0;

	for (u32 i = 0; i < NR_CLASSES; i++) {
		u32 size = class_size[i], natural = size & -size;
		struct slab_cache_info info = {
			.name = class_name[i],
			.size = size,
			.align = min(natural, 4096u),
		};

		slab_cache_prepare(&class_cache[i], &info, true);
		VERIFY(class_cache[i].row_offset == class_row(i));
	}
	for (u32 i = 0; i < ARRAY_SIZE(class_of); i++) {
		while (class_size[class] < (i + 1) * 8)
			class ++;
		class_of[i] = (u8) class;
	}
	slab_cache_prepare(&radix_cache, &radix_info, true);
}
