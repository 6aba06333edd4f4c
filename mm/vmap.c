/*
 * Kernel virtual memory: stacks, large buffers, device registers.
 *
 * The window KERNEL_VMAP is cut in two.  The lower part holds kernel stacks in
 * slots of fixed size, each below a stretch that is never mapped; the upper part
 * holds areas of any size, found by next fit, each followed by an unmapped page.
 *
 * Stacks.  A freed stack stays mapped in a small array of its CPU, then in a
 * list, so that starting a thread maps nothing.  What is more than the list
 * should hold is unmapped by a work item, its frames freed after one TLB flush
 * for all of them.
 *
 * Invariants.
 *   (1) a frame goes back to the allocator after every CPU has flushed it;
 *   (2) an address is given out again only after that flush too.
 *
 * Locking.  vmap_lock (sleeping) serialises areas and kernel tables.
 * stack_lock (interrupts off) guards the lists of free stacks.
 */
#include "page_internal.h"
#include "slab_internal.h"

#include <nos/assert.h>
#include <nos/cpu.h>
#include <nos/errno.h>
#include <nos/pte.h>
#include <nos/sanitize.h>
#include <nos/string.h>
#include <nos/thread.h>
#include <nos/timer.h>
#include <nos/vmap.h>

#define STACK_SLOT (2 * KERNEL_STACK_SIZE)
#define STACK_PAGES (KERNEL_STACK_SIZE / PAGE_SIZE)
#define STACKS_END (KERNEL_VMAP_BASE + (64ul << 30))
#define NR_STACK_SLOTS ((u32)((STACKS_END - KERNEL_VMAP_BASE) / STACK_SLOT))
#define CPU_STACKS 4u
#define SPARE_STACKS 32u /* mapped and free, in the list */

#define KERNEL_PAGE (PTE_PRESENT | PTE_WRITE | PTE_GLOBAL | PTE_ACCESSED | PTE_DIRTY | PTE_NX)

/* Shadow of addresses is never given back: use few of them. */
#ifdef SANITIZE
#define SHADOW_STAYS true
#else
#define SHADOW_STAYS false
#endif

struct vmap_area {
	struct list node; /* sorted by start */
	u64 start;
	u64 nr_pages;
	bool device; /* frames are not ours */
};

static struct mutex vmap_lock = MUTEX_INIT(RANK_VMAP);
static struct list areas __guarded_by(&vmap_lock) = LIST_INIT(areas);
static u64 next_start __guarded_by(&vmap_lock) = STACKS_END;
static u32 nr_slots __guarded_by(&vmap_lock); /* ever used */
static u64 nr_area_pages, nr_stacks;

/* A free stack is linked through its own lowest words. */
struct free_stack {
	struct free_stack *next;
};
struct stack_array {
	u32 count;
	void *stacks[CPU_STACKS];
};
static DEFINE_PERCPU(struct stack_array, cpu_stacks);
static struct spinlock stack_lock = SPINLOCK_INIT(RANK_LEAF);
static struct free_stack *spare_stacks; /* mapped; under stack_lock */
static u32 nr_spare;
static u32 *free_slots; /* unmapped slots; under vmap_lock */
static u32 nr_free_slots, free_slots_size;

static bool can_sleep(void)
{
	return preempt_count() == 0 && irq_is_enabled();
}

/* ---- flushing ---- */

struct flush_range {
	u64 start, nr_pages;
};

static void flush_range_here(void *arg)
{
	const struct flush_range *r = arg;

	if (r->nr_pages > 32) {
		tlb_flush_global();
		return;
	}
	for (u64 i = 0; i < r->nr_pages; i++)
		tlb_flush_page(r->start + i * PAGE_SIZE);
}

static void flush_everywhere(u64 start, u64 nr_pages)
{
	struct flush_range r = { start, nr_pages };
	u64 all = nr_cpus == 64 ? ~0ull : (1ull << nr_cpus) - 1;

	preempt_disable();
	cpu_call_mask(all, flush_range_here, &r);
	preempt_enable();
}

/* ---- pages ---- */

/* Unmaps and collects the frames in a list. */
static void range_unmap_locked(u64 start, u64 nr_pages, struct list *frames) __must_hold(&vmap_lock)
{
	for (u64 i = 0; i < nr_pages; i++) {
		phys_t p = kernel_unmap_page(start + i * PAGE_SIZE);

		if (p && frames)
			list_push_back(frames, &phys_to_folio(p)->node);
	}
}

static void frames_put(struct list *frames)
{
	struct list *n;

	while ((n = list_pop_front(frames)))
		folio_put(list_entry(n, struct folio, node));
}

/* Fresh frames at [start, start + nr_pages): 0 or -ENOMEM with nothing mapped. */
static int range_map_locked(u64 start, u64 nr_pages, u32 flags) __must_hold(&vmap_lock)
{
	struct list frames = LIST_INIT(frames);

	int shadow = shadow_map((void *)start, nr_pages * PAGE_SIZE);

	if (shadow < 0)
		return -ENOMEM;
	if (shadow)
		flush_everywhere(0, U64_MAX);
	for (u64 i = 0; i < nr_pages; i++) {
		struct folio *f = folio_alloc(0, FOLIO_KERNEL, flags);

		if (f && kernel_map_page(start + i * PAGE_SIZE, folio_to_phys(f), KERNEL_PAGE)) {
			folio_put(f);
			f = NULL;
		}
		if (!f) {
			range_unmap_locked(start, i, &frames);
			flush_everywhere(start, i);
			frames_put(&frames);
			return -ENOMEM;
		}
	}
	return 0;
}

/* ---- stacks ---- */

static inline u64 slot_stack(u32 slot)
{
	return KERNEL_VMAP_BASE + (u64)slot * STACK_SLOT + KERNEL_STACK_SIZE;
}

/* Frames of a list of so many slots. */
static u64 list_frames(u32 nr)
{
	return nr ? 1ull << log2_ceil(div_round_up(nr * sizeof(u32), PAGE_SIZE)) : 0;
}

/* Room to remember one more free slot, made before the slot is taken. */
static bool free_slots_reserve(void) __must_hold(&vmap_lock)
{
	if (nr_slots < free_slots_size)
		return true;
	u32 size = max(4096u, free_slots_size * 2);
	u32 *to = kmalloc(size * sizeof(*to), 0);

	if (!to)
		return false;
	if (free_slots)
		memcpy(to, free_slots, nr_free_slots * sizeof(*to));
	kfree(free_slots);
	page_note_permanent(FOLIO_KERNEL, list_frames(size) - list_frames(free_slots_size));
	free_slots = to;
	free_slots_size = size;
	return true;
}

static void *stack_create(void)
{
	u32 slot;

	scoped_mutex(&vmap_lock);
	if (nr_free_slots) {
		slot = free_slots[--nr_free_slots];
	} else {
		if (nr_slots == NR_STACK_SLOTS || !free_slots_reserve())
			return NULL;
		slot = nr_slots++;
	}
	if (range_map_locked(slot_stack(slot), STACK_PAGES, 0)) {
		free_slots[nr_free_slots++] = slot;
		return NULL;
	}
	atomic_add(&nr_stacks, 1);
	return (void *)slot_stack(slot);
}

/* Unmaps the spare stacks above the wanted number. */
static void stacks_trim(struct work *w)
{
	struct list frames = LIST_INIT(frames);
	u32 slots[SPARE_STACKS], nr = 0;

	(void)w;
	scoped_mutex(&vmap_lock);
	while (nr < SPARE_STACKS) {
		u64 flags = spin_lock_irq(&stack_lock);
		struct free_stack *s = nr_spare > SPARE_STACKS / 2 ? spare_stacks : NULL;

		if (s) {
			spare_stacks = s->next;
			nr_spare--;
		}
		spin_unlock_irq(&stack_lock, flags);
		if (!s)
			break;
		slots[nr++] = (u32)(((u64)s - KERNEL_VMAP_BASE) / STACK_SLOT);
		range_unmap_locked((u64)s, STACK_PAGES, &frames);
	}
	if (nr == 0)
		return;
	flush_everywhere(0, U64_MAX);
	frames_put(&frames);
	for (u32 i = 0; i < nr; i++)
		free_slots[nr_free_slots++] = slots[i];
	atomic_sub(&nr_stacks, nr);
}

static struct work trim_work;

void *kernel_stack_alloc(void)
{
	void *stack = NULL;
	u64 flags = irq_save();
	struct stack_array *a = this_cpu_ptr(cpu_stacks);

	if (a->count) {
		stack = a->stacks[--a->count];
	} else if (nr_spare) {
		spin_lock(&stack_lock);
		if (spare_stacks) {
			stack = spare_stacks;
			spare_stacks = spare_stacks->next;
			nr_spare--;
		}
		spin_unlock(&stack_lock);
	}
	irq_restore(flags);
	return stack ? stack : stack_create();
}

void kernel_stack_free(void *stack)
{
	struct free_stack *s = stack;

	if (!stack)
		return;
	u64 flags = irq_save();
	struct stack_array *a = this_cpu_ptr(cpu_stacks);
	bool trim = false;

	if (a->count < CPU_STACKS) {
		a->stacks[a->count++] = stack;
	} else {
		spin_lock(&stack_lock);
		s->next = spare_stacks;
		spare_stacks = s;
		trim = ++nr_spare > SPARE_STACKS;
		spin_unlock(&stack_lock);
	}
	irq_restore(flags);
	if (trim)
		work_queue(&trim_work);
}

/* ---- areas ---- */

/* First hole of nr_pages and a guard at or after `from`; inserts the area there. */
static bool area_insert_from(struct vmap_area *a, u64 from) __must_hold(&vmap_lock)
{
	u64 at = from, bytes = (a->nr_pages + 1) * PAGE_SIZE;
	struct vmap_area *other;

	list_for_each(other, &areas, node) {
		u64 end = other->start + (other->nr_pages + 1) * PAGE_SIZE;

		if (end <= at)
			continue;
		if (at + bytes <= other->start) {
			a->start = at;
			list_insert_between(&a->node, other->node.prev, &other->node);
			return true;
		}
		at = end;
	}
	if (at + bytes > KERNEL_VMAP_END)
		return false;
	a->start = at;
	list_push_back(&areas, &a->node);
	return true;
}

static struct vmap_area *area_create(u64 nr_pages, bool device) __must_hold(&vmap_lock)
{
	struct vmap_area *a = kzalloc(sizeof(*a), 0);

	if (!a)
		return NULL;
	a->nr_pages = nr_pages;
	a->device = device;
	if (SHADOW_STAYS)
		next_start = STACKS_END;
	if (!area_insert_from(a, next_start) && !area_insert_from(a, STACKS_END)) {
		kfree(a);
		return NULL;
	}
	next_start = a->start + (nr_pages + 1) * PAGE_SIZE;
	return a;
}

void *vmalloc(size_t size, u32 flags)
{
	u64 nr_pages = div_round_up(size, PAGE_SIZE);

	if (nr_pages == 0 || nr_pages > page_nr_total())
		return NULL;
	scoped_mutex(&vmap_lock);
	struct vmap_area *a = area_create(nr_pages, false);

	if (!a)
		return NULL;
	if (range_map_locked(a->start, nr_pages, flags)) {
		list_remove(&a->node);
		kfree(a);
		return NULL;
	}
	nr_area_pages += nr_pages;
	return (void *)a->start;
}

static struct vmap_area *area_find(u64 start) __must_hold(&vmap_lock)
{
	struct vmap_area *a;

	list_for_each(a, &areas, node)
		if (a->start == start)
			return a;
	return NULL;
}

static void vfree_now(void *p)
{
	struct list frames = LIST_INIT(frames);

	mutex_lock(&vmap_lock);
	struct vmap_area *a = area_find((u64)p);

	VERIFY(a);
	range_unmap_locked(a->start, a->nr_pages, a->device ? NULL : &frames);
	flush_everywhere(a->start, a->nr_pages);
	if (!a->device)
		nr_area_pages -= a->nr_pages;
	list_remove(&a->node);
	mutex_unlock(&vmap_lock);
	frames_put(&frames);
	kfree(a);
}

/* Buffers freed where sleeping is not allowed, linked through their first word. */
static struct free_stack *late_areas;

static void vfree_late(struct work *w)
{
	struct free_stack *s = atomic_xchg(&late_areas, NULL);

	(void)w;
	while (s) {
		struct free_stack *next = s->next;

		vfree_now(s);
		s = next;
	}
}

static struct work vfree_work;

void vfree(void *p)
{
	struct free_stack *s = p, *head = atomic_load(&late_areas);

	if (!p)
		return;
	if (can_sleep()) {
		vfree_now(p);
		return;
	}
	do {
		s->next = head;
	} while (!atomic_cas_update(&late_areas, &head, s));
	work_queue(&vfree_work);
}

static bool is_vmap_address(const void *p)
{
	return (u64)p >= KERNEL_VMAP_BASE && (u64)p < KERNEL_VMAP_END;
}

void *kvmalloc(size_t size, u32 flags)
{
	void *p = NULL;

	if (size <= PAGE_SIZE << 3)
		p = kmalloc(size, size > PAGE_SIZE ? flags | ALLOC_NORETRY : flags);
	if (!p && size > PAGE_SIZE)
		p = vmalloc(size, flags);
	return p;
}

void kvfree(void *p)
{
	if (is_vmap_address(p))
		vfree(p);
	else
		kfree(p);
}

volatile void *mmio_map(phys_t p, size_t size)
{
	u64 offset = p % PAGE_SIZE;
	u64 nr_pages = div_round_up(offset + size, PAGE_SIZE);

	scoped_mutex(&vmap_lock);
	struct vmap_area *a = area_create(nr_pages, true);

	if (!a)
		return NULL;
	for (u64 i = 0; i < nr_pages; i++) {
		if (kernel_map_page(a->start + i * PAGE_SIZE, p - offset + i * PAGE_SIZE,
				    KERNEL_PAGE | PTE_NO_CACHE | PTE_WRITE_THROUGH)) {
			range_unmap_locked(a->start, i, NULL);
			flush_everywhere(a->start, i);
			list_remove(&a->node);
			kfree(a);
			return NULL;
		}
	}
	return (volatile char *)a->start + offset;
}

void vmap_stats_read(u64 *stack_pages, u64 *vmap_pages)
{
	*stack_pages = atomic_load_relaxed(&nr_stacks) * STACK_PAGES;
	*vmap_pages = nr_area_pages;
}

void vmap_init(void)
{
	work_init(&trim_work, stacks_trim);
	work_init(&vfree_work, vfree_late);
}
