/*
 * Boot memory and the frame table.
 *
 * From the loader's memory map to the page allocator: what the kernel image
 * and the initramfs occupy, and the first MiB (firmware, trampoline), is cut
 * out; the direct map is completed with 2 MiB pages for all memory; the frame
 * table and the table of slabs' places get pages for existing memory only (a page
 * of them describes 256 KiB and 16 MiB); the rest is given to the page allocator.
 * Memory for all this comes from the top ends of the free ranges.
 */
#include "page_internal.h"

#include <nos/assert.h>
#include <nos/log.h>
#include <nos/pte.h>
#include <nos/string.h>

#define LOW_MEMORY_END (1ul << 20)
#define NR_FREE_RANGES 136

static __initdata struct boot_range free_ranges[NR_FREE_RANGES];
static __initdata unsigned nr_free_ranges;
static __initdata phys_t direct_limit; /* the direct map is complete below */
static bool pool_is_up;

static void __init free_range_add(phys_t start, phys_t end)
{
	start = align_up(start, PAGE_SIZE);
	end = align_down(end, PAGE_SIZE);
	if (start < end && nr_free_ranges < NR_FREE_RANGES)
		free_ranges[nr_free_ranges++] = (struct boot_range){ start, end, 1 };
}

/* Takes [start, end) out of every free range. */
static void __init free_range_cut(phys_t start, phys_t end)
{
	unsigned nr = nr_free_ranges;

	start = align_down(start, PAGE_SIZE);
	end = align_up(end, PAGE_SIZE);
	for (unsigned i = 0; i < nr; i++) {
		struct boot_range *r = &free_ranges[i];
		phys_t old_end = r->end;

		if (r->end <= start || end <= r->start)
			continue;
		r->end = max(r->start, start);
		free_range_add(end, old_end);
	}
}

static void __init free_ranges_collect(void)
{
	for (unsigned i = 0; i < boot_info.nr_ranges; i++) {
		const struct boot_range *r = &boot_info.ranges[i];

		if (r->type == 1)
			free_range_add(max(r->start, LOW_MEMORY_END), r->end);
	}
	free_range_cut(virt_to_phys(kernel_start), virt_to_phys(kernel_end));
	if (boot_info.initrd_end)
		free_range_cut(boot_info.initrd_start, boot_info.initrd_end);
}

/* Zeroed memory below direct_limit, from the top of the highest range that has it. */
static phys_t __init boot_take(u64 size, u64 align)
{
	struct boot_range *best = NULL;
	phys_t best_start = 0;

	size = align_up(size, PAGE_SIZE);
	for (unsigned i = 0; i < nr_free_ranges; i++) {
		struct boot_range *r = &free_ranges[i];

		if (r->end > direct_limit || r->end < size)
			continue;
		phys_t start = align_down(r->end - size, align);

		if (start >= r->start && start < r->end && (!best || start > best_start)) {
			best = r;
			best_start = start;
		}
	}
	if (!best)
		panic("no memory for the kernel's own tables (%llu bytes)",
		      (unsigned long long)size);
	phys_t end = best->end;

	best->end = best_start;
	free_range_add(best_start + size, end);
	memset(phys_to_virt(best_start), 0, size);
	return best_start;
}

phys_t page_table_frame_alloc(void)
{
	return page_table_frame_alloc_on(NUMA_HERE);
}

phys_t page_table_frame_alloc_on(unsigned node)
{
	const struct node_choice choice = { .allowed = U64_MAX, .first = (u8)node };
	struct folio *f;

	VERIFY(pool_is_up);
	f = folio_alloc_from(&choice, 0, FOLIO_PAGE_TABLE, ALLOC_ZERO);
	if (!f)
		return 0;
	page_note_permanent(FOLIO_PAGE_TABLE, 1);
	return folio_to_phys(f);
}

/* The entry for `va` at `level` of the kernel's tables, with what is above it. */
static pte_t *__init boot_entry(u64 va, unsigned level)
{
	pte_t *table = kernel_page_table;

	for (unsigned l = 4; l > level; l--) {
		pte_t *e = &table[PTE_INDEX(va, l)];

		if (!pte_is_present(*e))
			*e = boot_take(PAGE_SIZE, PAGE_SIZE) | PTE_PRESENT | PTE_WRITE;
		else if (*e & PTE_HUGE)
			return NULL;
		table = phys_to_virt(pte_phys(*e));
	}
	return &table[PTE_INDEX(va, level)];
}

#define KERNEL_DATA (PTE_PRESENT | PTE_WRITE | PTE_GLOBAL | PTE_ACCESSED | PTE_DIRTY | PTE_NX)

static void __init boot_map_huge(u64 va, phys_t pa)
{
	pte_t *e = boot_entry(va, 2);

	if (e && !pte_is_present(*e))
		*e = pa | KERNEL_DATA | PTE_HUGE;
}

static void __init boot_map_page(u64 va, phys_t pa)
{
	pte_t *e = boot_entry(va, 1);

	if (e && !pte_is_present(*e))
		*e = pa | KERNEL_DATA;
}

/* One past the highest frame that boot code has mapped without a hole from 0. */
static phys_t __init direct_map_present(void)
{
	phys_t p = 0;

	for (;;) {
		u64 va = DIRECT_MAP_BASE + p;
		pte_t *table = kernel_page_table;
		unsigned level = 4;

		for (; level > 1; level--) {
			pte_t e = table[PTE_INDEX(va, level)];

			if (!pte_is_present(e))
				return p;
			if (e & PTE_HUGE)
				break;
			table = phys_to_virt(pte_phys(e));
		}
		p += level >= 2 ? PTE_SPAN(level) : HUGE_SIZE;
	}
}

static bool __init range_is_memory(const struct boot_range *r)
{
	return r->type == 1 || r->type == 3 || r->type == 4;
}

static void __init direct_map_complete(void)
{
	phys_t present = direct_map_present();

	direct_limit = present;
	for (unsigned i = 0; i < boot_info.nr_ranges; i++) {
		const struct boot_range *r = &boot_info.ranges[i];

		if (!range_is_memory(r))
			continue;
		for (phys_t p = align_down(max(r->start, present), HUGE_SIZE); p < r->end;
		     p += HUGE_SIZE)
			boot_map_huge(DIRECT_MAP_BASE + p, p);
	}
	direct_limit = U64_MAX;
}

/* Zeroed pages where there are none yet, for [from, to) of a table: large ones where a whole one fits. */
static void __init table_map(const void *from, const void *to)
{
	u64 va = align_down((u64)from, PAGE_SIZE);
	u64 stop = align_up((u64)to, PAGE_SIZE);

	while (va < stop) {
		if (is_aligned(va, HUGE_SIZE) && stop - va >= HUGE_SIZE) {
			boot_map_huge(va, boot_take(HUGE_SIZE, HUGE_SIZE));
			va += HUGE_SIZE;
			continue;
		}
		pte_t *e = boot_entry(va, 1);

		if (e && !pte_is_present(*e)) {
			/* one piece for the whole run: cheaper than a page at a time */
			u64 run = min(stop, align_up(va + 1, HUGE_SIZE)) - va;
			phys_t p = boot_take(run, PAGE_SIZE);

			for (u64 at = 0; at < run; at += PAGE_SIZE)
				boot_map_page(va + at, p + at);
			va += run;
		} else {
			va += PAGE_SIZE;
		}
	}
}

/* Highest end of usable memory. */
static phys_t __init memory_end(void)
{
	phys_t end = 0;

	for (unsigned i = 0; i < boot_info.nr_ranges; i++)
		if (boot_info.ranges[i].type == 1)
			end = max(end, boot_info.ranges[i].end);
	return end;
}

void __init mm_init_early(void)
{
	u64 nr_frames = memory_end() >> PAGE_SHIFT;

	free_ranges_collect();
	direct_map_complete();
	phys_t tables = boot_take(page_pool_table_size(nr_frames), PAGE_SIZE);

	for (unsigned i = 0; i < boot_info.nr_ranges; i++) {
		phys_t start = boot_info.ranges[i].start, end = boot_info.ranges[i].end;

		if (boot_info.ranges[i].type != 1)
			continue;
		table_map(phys_to_frame(start), phys_to_frame(end));
		table_map(frame_slab_place(phys_to_virt(start)),
			  frame_slab_place(phys_to_virt(end)));
	}
	tlb_flush_global();
	page_pool_init(phys_to_virt(tables), nr_frames);
	for (unsigned i = 0; i < nr_free_ranges; i++)
		if (free_ranges[i].start < free_ranges[i].end)
			page_pool_add(free_ranges[i].start >> PAGE_SHIFT,
				      free_ranges[i].end >> PAGE_SHIFT);
	pool_is_up = true;
}

void boot_memory_release(phys_t start, phys_t end)
{
	for (unsigned i = 0; i < boot_info.nr_ranges; i++) {
		const struct boot_range *r = &boot_info.ranges[i];
		phys_t from = align_up(max(start, r->start), PAGE_SIZE);
		phys_t to = align_down(min(end, r->end), PAGE_SIZE);

		if (r->type == 1 && from < to)
			page_pool_add(from >> PAGE_SHIFT, to >> PAGE_SHIFT);
	}
}
