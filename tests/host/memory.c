/*
 * Physical memory for mm's unit tests on the host: 64 MiB that start at
 * "physical" 2 MiB, a frame table, and the page allocator on top; and what mm
 * calls upward.
 */
#include "../../mm/page_internal.h"
#include "../../mm/slab_internal.h"

#include <nos/aspace.h>
#include <nos/assert.h>
#include <nos/errno.h>
#include <nos/pte.h>
#include <nos/read_ahead.h>
#include <nos/thread.h>

extern void *aligned_alloc(size_t align, size_t size);
extern void *calloc(size_t nr, size_t size);
extern void abort(void) __noreturn;

#ifndef HOST_MEMORY_MIB /* a benchmark may want more */
#define HOST_MEMORY_MIB 64ul
#endif
#define FIRST_FRAME 512ul
#define NR_FRAMES (HOST_MEMORY_MIB * 256 + FIRST_FRAME)

struct folio *host_frame_table;
u8 host_slab_places[NR_FRAMES];
bool (*idle_work)(void);
#ifdef NOS_NATIVE /* at a constant address, as the kernel's direct map is */
static char memory[NR_FRAMES * PAGE_SIZE] __aligned(HUGE_SIZE);

static bool memory_create(void)
{
	return true;
}
#else
static char *memory;

static bool memory_create(void)
{
	memory = aligned_alloc(HUGE_SIZE, NR_FRAMES * PAGE_SIZE);
	return memory != NULL;
}
#endif
static pte_t top_level[512] __aligned(4096);
pte_t *kernel_page_table = top_level;

void *phys_to_virt(phys_t p)
{
	return memory + p;
}

phys_t virt_to_phys(const void *v)
{
	return (phys_t)((const char *)v - memory);
}

__weak bool memory_make_room(u64 nr_pages, u32 flags, unsigned round)
{
	return false;
}

__weak u64 memory_oom_kills(void)
{
	return 0;
}

__weak void vmap_stats_read(u64 *stacks, u64 *other)
{
	*stacks = *other = 0;
}

__weak u64 process_rlimit(unsigned what)
{
	return U64_MAX;
}

__weak u64 process_data_limit(void)
{
	return U64_MAX;
}

__weak bool process_has_capability(int cap)
{
	return true;
}

__weak bool process_kill_for_memory(void)
{
	return false;
}

__weak bool user_fault_is_disabled(void)
{
	return false;
}

__weak void user_fault_disable(void)
{
}

__weak void user_fault_enable(void)
{
}

__weak void file_get_for_mapping(struct file *f)
{
}

__weak struct read_ahead *file_read_ahead(struct file *f)
{
	static struct read_ahead a;

	return &a;
}

__weak void file_put_for_mapping(struct file *f)
{
}

__weak int file_punch_for_mapping(struct file *f, u64 offset, u64 len)
{
	return -EOPNOTSUPP;
}

__weak void page_table_load(phys_t top)
{
}

void tlb_flush_page(u64 va)
{
}

void tlb_flush_all(void)
{
}

__weak void slab_init(void)
{
}

__weak void aspace_system_init(void)
{
}

__weak void folio_lock_init(void)
{
}

__weak phys_t page_table_frame_alloc(void)
{
	struct folio *f = folio_alloc(0, FOLIO_PAGE_TABLE, ALLOC_ZERO);

	return folio_to_phys(f);
}

static struct thread this_thread_of_host;

__attribute__((constructor)) static void host_memory_init(void)
{
	host_frame_table = calloc(NR_FRAMES, sizeof(struct folio));
	if (!host_frame_table || !memory_create())
		abort();
	page_pool_init(calloc(1, page_pool_table_size(NR_FRAMES)), NR_FRAMES);
	page_pool_add(FIRST_FRAME, NR_FRAMES);
	folio_lock_init();
	slab_init();
	aspace_system_init();
	host_current = &this_thread_of_host;
	zero_folio = folio_alloc(0, FOLIO_KERNEL, ALLOC_ZERO);
}
