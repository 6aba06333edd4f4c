/* Tests of level-2 entries that map 2 MiB. */
#include "page_internal.h"
#include "test_space.h"

#include <nos/errno.h>
#include <nos/huge.h>
#include <nos/string.h>

#ifdef NOS_HOST /* needs address spaces without a process */

#define NR_PAGES 1536u

/* Three blocks that want to be huge. */
static struct aspace *huge_space_create(void)
{
	struct aspace *a = space_create();

	if (!a)
		return NULL;
	if (map_at(a, 0, NR_PAGES, RW) < 0 ||
	    aspace_advise(a, BASE, PAGES(NR_PAGES), MADV_HUGEPAGE)) {
		aspace_put(a);
		return NULL;
	}
	return a;
}

static bool holds(struct aspace *a, u64 first, u64 nr, u64 value)
{
	for (u64 page = first; page < first + nr; page++)
		if (read_at(a, page) != value + page)
			return false;
	return true;
}

static bool is_huge(struct aspace *a, u64 page)
{
	return huge_is_mapped(a, BASE + PAGES(page));
}

/* Invariants 1 and 3: the table says what the entry says. */
static bool is_sound(struct aspace *a, u64 page)
{
	const pte_t *entry = leaf_entry(a, BASE + PAGES(page));
	const struct folio *f = huge_table(entry);
	const pte_t *table = f ? folio_address(f) : NULL;

	if (!f || f->nr_present != HUGE_PAGES || f->nr_special)
		return false;
	for (u64 i = 0; i < HUGE_PAGES; i++)
		if (table[i] != (*entry & ~PTE_HUGE) + PAGES(i) ||
		    (table[i] & (PTE_PRESENT | PTE_ACCESSED | PTE_DIRTY)) !=
			    (PTE_PRESENT | PTE_ACCESSED | PTE_DIRTY))
			return false;
	return true;
}

static u64 mapped(void)
{
	struct huge_stats s;

	huge_stats_read(&s);
	return s.mapped;
}

TEST(a_fault_brings_all_pages_at_once)
{
	u64 before = mapped();
	struct aspace *a = huge_space_create();

	EXPECT(write_at(a, 700, 5));
	EXPECT(is_huge(a, 512) && is_sound(a, 512));
	EXPECT(!leaf_entry(a, BASE) || !is_huge(a, 0));
	EXPECT_EQ(a->resident_anon, 512);
	EXPECT_EQ(mapped(), before + 1);
	EXPECT_EQ(read_at(a, 700), 5);
	EXPECT_EQ(read_at(a, 699), 0);
	EXPECT_EQ(aspace_pagemap_entry(a, BASE + PAGES(1023)) -
			  aspace_pagemap_entry(a, BASE + PAGES(512)),
		  511);
	aspace_put(a);
	EXPECT_EQ(mapped(), before);
}

TEST(parts_that_change_split_it)
{
	struct aspace *a = huge_space_create();
	u64 free_before = page_nr_free();

	fill(a, 0, NR_PAGES, 100);
	EXPECT(is_huge(a, 0) && is_huge(a, 512) && is_huge(a, 1024));
	EXPECT_EQ(aspace_protect(a, BASE + PAGES(3), PAGES(2), PROT_READ), 0);
	EXPECT(!is_huge(a, 0) && is_huge(a, 512));
	EXPECT(holds(a, 0, NR_PAGES, 100));
	EXPECT_EQ(aspace_protect(a, BASE + PAGES(512), PAGES(1024), PROT_READ), 0);
	EXPECT(is_huge(a, 512) && is_sound(a, 512) && is_huge(a, 1024) && is_sound(a, 1024));
	EXPECT(!write_at(a, 600, 1));
	EXPECT_EQ(aspace_protect(a, BASE, PAGES(NR_PAGES), RW), 0);
	EXPECT(is_huge(a, 512) && is_sound(a, 512));
	EXPECT_EQ(aspace_protect(a, BASE + PAGES(512), PAGES(512), PROT_NONE), 0);
	EXPECT(!is_huge(a, 512));
	EXPECT_EQ(aspace_protect(a, BASE + PAGES(512), PAGES(512), RW), 0);
	EXPECT(holds(a, 0, NR_PAGES, 100));
	EXPECT_EQ(aspace_unmap(a, BASE + PAGES(1030), PAGES(4)), 0);
	EXPECT(!is_huge(a, 1024));
	EXPECT_EQ(a->resident_anon, NR_PAGES - 4);
	EXPECT(holds(a, 1024, 6, 100) && holds(a, 1034, 502, 100));
	EXPECT_EQ(aspace_unmap(a, BASE, PAGES(NR_PAGES)), 0);
	EXPECT_EQ(a->resident_anon, 0);
	EXPECT(page_nr_free() + 8 >= free_before); /* but for upper tables */
	aspace_put(a);
}

TEST(what_is_given_back_comes_huge_again)
{
	struct aspace *a = huge_space_create();

	fill(a, 0, 512, 100);
	EXPECT_EQ(aspace_advise(a, BASE, PAGES(512), MADV_DONTNEED), 0);
	EXPECT(!is_huge(a, 0));
	EXPECT_EQ(a->resident_anon, 0);
	EXPECT_EQ(read_at(a, 511), 0);
	EXPECT(is_huge(a, 0) && is_sound(a, 0));
	EXPECT_EQ(aspace_advise(a, BASE + PAGES(9), PAGES(1), MADV_DONTNEED), 0);
	EXPECT_EQ(read_at(a, 9), 0);
	EXPECT(!is_huge(a, 0));
	aspace_put(a);
}

TEST(a_fork_shares_the_table)
{
	struct aspace *a = huge_space_create(), *b;

	fill(a, 0, 1024, 100);
	/* the first is small before, the second becomes so */
	EXPECT_EQ(aspace_advise(a, BASE + PAGES(9), PAGES(1), MADV_DONTNEED), 0);
	EXPECT(write_at(a, 9, 109) && !is_huge(a, 0) && is_huge(a, 512));
	b = aspace_fork(a);
	EXPECT(!is_huge(a, 512) && !is_huge(b, 512));
	EXPECT_EQ(mapped(), 0);
	EXPECT_EQ(b->resident_anon, 1024);
	fill(b, 100, 50, 200);
	fill(a, 500, 50, 300);
	EXPECT(holds(a, 0, 500, 100) && holds(a, 500, 50, 300) && holds(a, 550, 474, 100));
	EXPECT(holds(b, 0, 100, 100) && holds(b, 100, 50, 200) && holds(b, 150, 874, 100));
	EXPECT(write_at(b, 1024, 1) && is_huge(b, 1024));
	aspace_put(a);
	EXPECT(holds(b, 150, 874, 100));
	aspace_put(b);
}

TEST(moved_pages_are_what_they_were)
{
	struct aspace *a = huge_space_create();
	u64 to = BASE + PAGES(4096);

	fill(a, 0, 1024, 100);
	EXPECT_EQ(aspace_remap(a, BASE + PAGES(5), PAGES(700), PAGES(700),
			       MREMAP_MAYMOVE | MREMAP_FIXED, to),
		  (s64)to);
	for (u64 i = 0; i < 700; i++)
		EXPECT_EQ(read_at(a, 4096 + i), 105 + i);
	EXPECT(holds(a, 0, 5, 100) && holds(a, 705, 319, 100));
	aspace_put(a);
}

TEST(where_it_may_not_be_huge)
{
	struct aspace *a = huge_space_create();

	a->huge_disabled = true;
	EXPECT(write_at(a, 0, 1) && !is_huge(a, 0));
	a->huge_disabled = false;
	EXPECT(write_at(a, 1, 1) && !is_huge(a, 0)); /* there is a page already */
	EXPECT_EQ(huge_mode_set(HUGE_NEVER), 0);
	EXPECT(write_at(a, 512, 1) && !is_huge(a, 512));
	EXPECT_EQ(huge_mode_set(HUGE_ALWAYS), 0);
	EXPECT(map_at(a, 2048, 1024, RW) > 0);
	EXPECT(write_at(a, 2048, 1) && is_huge(a, 2048));
	EXPECT_EQ(huge_mode_set(HUGE_MADVISE), 0);
	EXPECT(write_at(a, 2560, 1) && !is_huge(a, 2560));
	EXPECT_EQ(aspace_unmap(a, BASE + PAGES(1024), PAGES(1)), 0); /* it does not fit any more */
	EXPECT(write_at(a, 1025, 1) && !is_huge(a, 1024));
	aspace_put(a);
}

/* A process, its child, stores on both sides; false: for want of memory. */
static bool fork_and_store(void)
{
	struct aspace *a = huge_space_create();

	if (!a)
		return false;
	bool ok = write_at(a, 0, 1) && write_at(a, 600, 2);
	struct aspace *b = ok ? aspace_fork(a) : err_ptr(-ENOMEM);

	if (!is_err(b)) {
		ok = write_at(b, 0, 3) && write_at(a, 600, 4);
		EXPECT_EQ(read_at(a, 0), 1);
		EXPECT_EQ(read_at(b, 600), 2);
		aspace_put(b);
	}
	aspace_put(a);
	return ok && !is_err(b);
}

TEST(no_allocation_failure_leaves_traces)
{
	EXPECT_EQ(mapped(), 0);
	TEST_EACH_ALLOCATION_FAILING(EXPECT(fork_and_store() || test_allocation_failed()));
	EXPECT_EQ(mapped(), 0);
}

#endif
