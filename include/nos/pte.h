/*
 * Page-table entries of x86-64, 4 levels (arch).  mm's cursor is built on
 * these; nothing else touches entries.
 */
#pragma once

#include <nos/types.h>

typedef u64 pte_t;

#define PTE_PRESENT (1ull << 0)
#define PTE_WRITE (1ull << 1)
#define PTE_USER (1ull << 2)
#define PTE_WRITE_THROUGH (1ull << 3)
#define PTE_NO_CACHE (1ull << 4)
#define PTE_ACCESSED (1ull << 5)
#define PTE_DIRTY (1ull << 6)
#define PTE_HUGE (1ull << 7) /* levels 2 and 3: maps memory, not a table */
#define PTE_GLOBAL (1ull << 8)
#define PTE_SOFT_COW (1ull << 9) /* software: private page, copy before write */
#define PTE_SOFT_SHARED_TABLE (1ull << 10) /* software, level 2: leaf table shared by fork */
#define PTE_SOFT_SPECIAL                                                                           \
	(1ull << 11) /* software: no reference on the frame (vvar, zero page, device) */
#define PTE_NX (1ull << 63)
#define PTE_ADDRESS 0x000ffffffffff000ull

#define PTE_INDEX(va, level) (((va) >> (12 + 9 * ((level)-1))) & 511)
/* Bytes mapped by one entry at level 1 (4K), 2 (2M), 3 (1G), 4. */
#define PTE_SPAN(level) (1ul << (12 + 9 * ((level)-1)))

static inline phys_t pte_phys(pte_t e)
{
	return e & PTE_ADDRESS;
}
static inline bool pte_is_present(pte_t e)
{
	return (e & PTE_PRESENT) != 0;
}

/* Exchanges bits of an entry that nothing else writes: one store, without a lock. */
static __always_inline void pte_toggle(pte_t *e, pte_t bits)
{
	__asm__("xorq %1, %0" : "+m"(*e) : "r"(bits));
}

/* The table that every address space shares in its upper half. */
extern pte_t *kernel_page_table;
/* Physical address of a top-level table into CR3 of this CPU, under PCID 0, which is flushed. */
void page_table_load(phys_t top);
/* Process-context identifiers on this CPU and on those that start later; false: there are none to be relied on. */
bool arch_pcid_enable(void);
/* The same under another PCID; `keep`: not flushed, for what the TLB holds under it is right. */
void page_table_load_tagged(phys_t top, u32 pcid, bool keep);

/* This CPU's TLB; other CPUs are mm's work, by cpu_call_mask. */
#ifdef NOS_HOST
void tlb_flush_page(u64 va);
#else
static __always_inline void tlb_flush_page(u64 va)
{
	__asm__ volatile("invlpg %0" ::"m"(*(const char *)va) : "memory");
}
#endif
void tlb_flush_all(void); /* of the PCID that is loaded; not global entries */
void tlb_flush_global(void); /* everything, of all PCIDs */

/*
 * Kernel mappings in KERNEL_VMAP: takes frames for tables through hook below; flags are PTE_
 * bits.  Not thread-safe: the caller (mm/vmap.c) serialises.
 */
int kernel_map_page(u64 va, phys_t pa, u64 flags) __must_check;
phys_t kernel_unmap_page(u64 va); /* returns the frame; no TLB flush */
phys_t kernel_resolve(u64 va); /* 0 if not mapped */
/*
 * Stores an aligned word of the kernel that is read-only since the end of the boot (a slot of a
 * table).  Readers see the old word or the new one.  The caller serialises and stays on this CPU.
 */
void kernel_store_protected(u64 *at, u64 value);
void kernel_store_protected_byte(u64 at, u8 value); /* of text, too */
/* A zeroed page for a table: defined by mm; before mm is up arch takes it from boot memory. */
phys_t page_table_frame_alloc(void);
phys_t page_table_frame_alloc_on(unsigned node); /* of this node, if it has one */
