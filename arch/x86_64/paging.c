/*
 * Kernel page tables.
 *
 * The upper half is shared by all address spaces: each copies entries 256 to
 * 511 of kernel_page_table once, so no entry of the top level appears after
 * paging_init_boot(), which therefore gives every kernel region its third-level
 * table at once.
 *
 * Regions: the direct map of memory (2 MiB or 1 GiB pages, never executable),
 * the image (4 KiB pages by section permission), KERNEL_VMAP (mm/vmap.c), the
 * frame table (mm), and arch's own window for per-CPU areas, interrupt stacks
 * and early devices.
 *
 * Invariants.
 *   (1) no address is writable and executable at once, from the first C code
 *       on; the direct map's alias of text and constants becomes read-only in
 *       arch_protect_kernel(), after the last boot-time patch.
 *   (2) the direct map holds memory and firmware tables only, never the PCI
 *       hole: write-back speculation into device registers is not harmless.
 *   (3) kernel entries are global, and never differ between address spaces.
 *
 * Intel SDM vol. 3, chapter 4; section 4.10 for what a TLB may keep, and PCIDs.
 */
#include <nos/arch.h>
#include <nos/assert.h>
#include <nos/cpu.h>
#include <nos/errno.h>
#include <nos/pte.h>
#include <nos/string.h>

#include "x86.h"

#define TABLE_FLAGS (PTE_PRESENT | PTE_WRITE)
#define LEAF_FLAGS (PTE_PRESENT | PTE_ACCESSED | PTE_DIRTY | PTE_GLOBAL)
#define DEVICE_MAP_BASE (PERCPU_MAP_BASE + (256ul << 30))
#define POOL_FRAMES 16

extern pte_t boot_top_table[512];
extern char boot_stack[];
extern const char kernel_data_start[], kernel_ro_after_init_end[];
extern const char kernel_init_start[], kernel_init_text_end[], kernel_init_end[];

pte_t *kernel_page_table = boot_top_table;
static phys_t pool_next, pool_end;
static bool booting = true;
static u64 device_map_next = DEVICE_MAP_BASE;

phys_t table_frame_alloc(void)
{
	if (pool_next == pool_end && booting) {
		pool_next = boot_frames_alloc(POOL_FRAMES * PAGE_SIZE);
		pool_end = pool_next ? pool_next + POOL_FRAMES * PAGE_SIZE : 0;
	}
	if (pool_next == pool_end)
		return page_table_frame_alloc();
	phys_t frame = pool_next;

	pool_next += PAGE_SIZE;
	return frame;
}

/* The entry for va at `level`; makes missing tables if `create`.  NULL: missing, or mapped by a
 * larger page. */
static pte_t *kernel_entry(u64 va, int level, bool create)
{
	pte_t *table = kernel_page_table;

	for (int l = 4; l > level; l--) {
		pte_t *e = &table[PTE_INDEX(va, l)];

		if (!pte_is_present(*e)) {
			phys_t frame = create ? table_frame_alloc() : 0;

			if (!frame)
				return NULL;
			*e = frame | TABLE_FLAGS;
		} else if (*e & PTE_HUGE && l < 4) {
			return NULL;
		}
		table = phys_to_virt(pte_phys(*e));
	}
	return &table[PTE_INDEX(va, level)];
}

int kernel_map_page(u64 va, phys_t pa, u64 flags)
{
	pte_t *e = kernel_entry(va, 1, true);

	if (!e)
		return -ENOMEM;
	WRITE_ONCE(*e, pa | flags | LEAF_FLAGS);
	return 0;
}

phys_t kernel_unmap_page(u64 va)
{
	pte_t *e = kernel_entry(va, 1, false);

	if (!e)
		return 0;
	pte_t old = *e;

	WRITE_ONCE(*e, 0);
	return pte_is_present(old) ? pte_phys(old) : 0;
}

phys_t kernel_resolve(u64 va)
{
	pte_t *table = kernel_page_table;

	for (int l = 4; l >= 1; l--) {
		pte_t e = READ_ONCE(table[PTE_INDEX(va, l)]);

		if (!pte_is_present(e))
			return 0;
		if (l == 1 || (l < 4 && e & PTE_HUGE)) {
			u64 span = PTE_SPAN(l);

			return (pte_phys(e) & ~(span - 1)) | (va & (span - 1));
		}
		table = phys_to_virt(pte_phys(e));
	}
	return 0;
}

bool phys_is_direct_mapped(phys_t start, size_t len_bytes)
{
	phys_t end = start + len_bytes;

	if (end < start || end > 1ull << 45)
		return false;
	for (phys_t p = align_down(start, HUGE_SIZE); p < end; p += HUGE_SIZE)
		if (kernel_resolve(DIRECT_MAP_BASE + p) != p)
			return false;
	return true;
}

volatile void *device_map_early(phys_t start, size_t len_bytes)
{
	phys_t first = align_down(start, PAGE_SIZE);
	u64 va = device_map_next;

	for (phys_t p = first; p < start + len_bytes; p += PAGE_SIZE) {
		if (kernel_map_page(device_map_next, p,
				    PTE_WRITE | PTE_NX | PTE_NO_CACHE | PTE_WRITE_THROUGH))
			return NULL;
		device_map_next += PAGE_SIZE;
	}
	device_map_next += PAGE_SIZE;
	return (volatile void *)(va + (start - first));
}

/* ---- building at boot ---- */

/* Maps the 2 MiB or, where it fits, 1 GiB pages that [start, end) touches. */
static void direct_map_add(phys_t start, phys_t end)
{
	phys_t kernel_gib = align_down(virt_to_phys(kernel_start), 1ul << 30);

	for (phys_t p = align_down(start, HUGE_SIZE); p < end;) {
		bool giant = cpu_has(CPU_PAGE1G) && is_aligned(p, 1ul << 30) && p >= start &&
			     end - p >= 1ul << 30 && p != kernel_gib;
		int level = giant ? 3 : 2;
		pte_t *e = kernel_entry(DIRECT_MAP_BASE + p, level, true);

		if (e && !pte_is_present(*e))
			*e = p | LEAF_FLAGS | PTE_WRITE | PTE_NX | PTE_HUGE;
		p += PTE_SPAN(level);
	}
}

static void direct_map_build(void)
{
	const struct boot_info *b = &boot_info;
	phys_t low_top = 0;

	for (unsigned i = 0; i < b->nr_ranges; i++)
		if (b->ranges[i].type == 1 && b->ranges[i].end <= 1ull << 32)
			low_top = max(low_top, align_up(b->ranges[i].end, HUGE_SIZE));
	direct_map_add(0, 1 << 20);
	for (unsigned i = 0; i < b->nr_ranges; i++) {
		struct boot_range r = b->ranges[i];

		if (r.type == 2 && r.end > low_top)
			continue;
		if (r.type >= 1 && r.type <= 4)
			direct_map_add(r.start, r.end);
	}
}

static void image_map(const char *start, const char *end, u64 flags)
{
	for (u64 va = (u64)start; va < (u64)end; va += PAGE_SIZE)
		VERIFY(kernel_map_page(va, virt_to_phys((void *)va), flags) == 0);
}

/*
 * Replaces the loader's table.  The tables are reached through the old direct
 * map while they are built, and through the new one afterwards.
 */
void paging_init_boot(void)
{
	static const u64 regions[] = {
		KERNEL_VMAP_BASE,
		FRAME_TABLE_BASE,
		PERCPU_MAP_BASE,
	};
	pte_t *old_top = kernel_page_table;
	static pte_t top[512] __section(".bss.page_aligned") __aligned(4096);

	kernel_page_table = top;
	direct_map_build();
	image_map(kernel_text_start, kernel_text_end, 0);
	image_map(kernel_text_end, kernel_data_start, PTE_NX);
	image_map(kernel_data_start, kernel_init_start, PTE_WRITE | PTE_NX);
	image_map(kernel_init_start, kernel_init_text_end, 0);
	image_map(kernel_init_text_end, kernel_end, PTE_WRITE | PTE_NX);
	for (unsigned i = 0; i < ARRAY_SIZE(regions); i++)
		VERIFY(kernel_entry(regions[i], 3, true));
	shadow_init_tables();
	page_table_load(virt_to_phys(top));
	shadow_init_globals();
	memset(old_top, 0, PAGE_SIZE);
	kernel_unmap_page((u64)boot_stack);
}

/* Once mm owns the memory map, tables come from it. */
void paging_end_boot_memory(void)
{
	booting = false;
}

/* ---- protection at the end of the boot ---- */

static void direct_map_split(phys_t start)
{
	u64 va = DIRECT_MAP_BASE + start;
	pte_t *huge = kernel_entry(va, 2, false);

	if (!huge || !(*huge & PTE_HUGE))
		return;
	phys_t frame = table_frame_alloc();

	VERIFY(frame);
	pte_t *table = phys_to_virt(frame);

	for (unsigned i = 0; i < 512; i++)
		table[i] = (*huge & ~(u64)PTE_HUGE) + i * PAGE_SIZE;
	WRITE_ONCE(*huge, frame | TABLE_FLAGS);
}

static void protect_page(u64 va)
{
	pte_t *e = kernel_entry(va, 1, false);

	if (e)
		WRITE_ONCE(*e, *e & ~PTE_WRITE);
}

__noinline void arch_protect_kernel(void)
{
	phys_t start = virt_to_phys(kernel_start);
	phys_t end = virt_to_phys(kernel_ro_after_init_end);
	phys_t init_start = virt_to_phys(kernel_init_start);
	phys_t init_end = virt_to_phys(kernel_init_end);

	for (phys_t p = align_down(start, HUGE_SIZE); p < end; p += HUGE_SIZE)
		direct_map_split(p);
	for (phys_t p = start; p < end; p += PAGE_SIZE)
		protect_page(DIRECT_MAP_BASE + p);
	for (u64 va = (u64)kernel_data_start; va < (u64)kernel_ro_after_init_end; va += PAGE_SIZE)
		protect_page(va);
	for (u64 va = (u64)kernel_init_start; va < (u64)kernel_init_end; va += PAGE_SIZE)
		kernel_unmap_page(va);
	/* Other CPUs may hold the old entries of the image and the direct map. */
	cpu_call_mask(nr_cpus == 64 ? U64_MAX : bit(nr_cpus) - 1,
		      (void (*)(void *))tlb_flush_global, NULL);
	boot_memory_release(init_start, init_end);
}

/*
 * Protected memory is changed through a second, writable mapping that this CPU makes for the store
 * and takes away again: for everyone else it stays as it is.
 */
static u64 window_open(u64 va)
{
	static u64 window;

	if (!window) {
		window = device_map_next;
		device_map_next += 2 * PAGE_SIZE;
	}
	VERIFY(!kernel_map_page(window, align_down(virt_to_phys((void *)va), PAGE_SIZE),
				PTE_WRITE | PTE_NX));
	return window + (va & (PAGE_SIZE - 1));
}

static void window_close(u64 at)
{
	kernel_unmap_page(align_down(at, PAGE_SIZE));
	tlb_flush_page(at);
}

void kernel_store_protected(u64 *at, u64 value)
{
	u64 alias = window_open((u64)at);

	ASSERT(is_aligned((u64)at, 8));
	atomic_store((u64 *)alias, value);
	window_close(alias);
}

void kernel_store_protected_byte(u64 at, u8 value)
{
	u64 alias = window_open(at);

	atomic_store((u8 *)alias, value);
	window_close(alias);
}

/* ---- this CPU's registers ---- */

void page_table_load(phys_t top)
{
	cr3_write(top);
}

void page_table_load_tagged(phys_t top, u32 pcid, bool keep)
{
	cr3_write(top | pcid | (keep ? CR3_KEEP : 0));
}

/* CR3_KEEP reads as 0. */
void tlb_flush_all(void)
{
	cr3_write(cr3_read());
}

void tlb_flush_global(void)
{
	static const u64 everything[2];
	u64 cr4 = cr4_read();

	if (cpu_has(CPU_INVPCID)) {
		__asm__ volatile("invpcid %0, %1" ::"m"(everything), "r"(2ul) : "memory");
	} else if (cr4 & CR4_PGE) { /* a change of it flushes all PCIDs (SDM vol. 3, 4.10.4.1) */
		cr4_write(cr4 & ~CR4_PGE);
		cr4_write(cr4);
	} else {
		tlb_flush_all();
	}
}
