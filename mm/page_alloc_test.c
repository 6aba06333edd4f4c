/* Tests of the page allocator; they leave the number of free frames as it was. */
/* needs: tests/host/memory.c mm/fault_injection_test.c */
#include "page_internal.h"

#include <nos/string.h>
#include <nos/test.h>

#define NR 256u

TEST(page_alloc_orders_are_aligned)
{
	for (unsigned order = 0; order <= PAGE_ORDER_MAX; order++) {
		struct folio *f = folio_alloc(order, FOLIO_KERNEL, ALLOC_NOWAIT);

		if (!f) /* memory may be too broken up for the largest */
			continue;
		EXPECT_EQ(folio_to_phys(f) & ((PAGE_SIZE << order) - 1), 0);
		EXPECT_EQ(f->order, order);
		EXPECT_EQ(f->kind, FOLIO_KERNEL);
		EXPECT_EQ(ref_read(&f->refs), 1);
		for (u64 i = 1; i < folio_nr_pages(f); i++)
			EXPECT(phys_to_folio(folio_to_phys(f) + i * PAGE_SIZE) == f);
		folio_put(f);
	}
}

TEST(page_alloc_frames_are_distinct)
{
	static struct folio *f[NR];
	u32 n = 0;

	while (n < NR && (f[n] = folio_alloc(0, FOLIO_KERNEL, ALLOC_NOWAIT)))
		n++;
	EXPECT_EQ(n, NR);
	for (u32 i = 0; i < n; i++)
		*(u64 *)folio_address(f[i]) = i;
	for (u32 i = 0; i < n; i++)
		EXPECT_EQ(*(u64 *)folio_address(f[i]), i);
	for (u32 i = 0; i < n; i++)
		folio_put(f[i]);
}

TEST(page_alloc_zeroes)
{
	for (unsigned order = 0; order < 3; order++) {
		struct folio *f = folio_alloc(order, FOLIO_KERNEL, ALLOC_NOWAIT);

		if (!f)
			return;
		memset(folio_address(f), 0xa5, folio_size(f));
		folio_put(f);
		f = folio_alloc(order, FOLIO_KERNEL, ALLOC_NOWAIT | ALLOC_ZERO);
		if (!f)
			return;
		const u64 *word = folio_address(f);
		bool zero = true;

		for (size_t i = 0; i < folio_size(f) / 8; i++)
			zero &= word[i] == 0;
		EXPECT(zero);
		folio_put(f);
	}
}

TEST(page_alloc_split_frees_singly)
{
	struct folio *f = folio_alloc(4, FOLIO_KERNEL, ALLOC_NOWAIT);

	if (!f)
		return;
	folio_split(f);
	for (u32 i = 0; i < 16; i++) {
		EXPECT_EQ(f[i].order, 0);
		EXPECT(!f[i].is_tail);
		EXPECT_EQ(ref_read(&f[i].refs), 1);
		folio_put(&f[i]);
	}
}

/* Somebody looked at the folio through a stale pointer, and puts it back later. */
TEST(page_alloc_split_under_a_stale_reader)
{
	struct folio *f = folio_alloc(2, FOLIO_KERNEL, ALLOC_NOWAIT);

	if (!f)
		return;
	EXPECT(folio_get_unless_zero(f));
	EXPECT(!folio_get_unless_zero(f + 1));
	folio_split(f);
	folio_put(f);
	EXPECT_EQ(f->kind, FOLIO_KERNEL);
	for (u32 i = 0; i < 4; i++) {
		EXPECT_EQ(ref_read(&f[i].refs), 1);
		folio_put(&f[i]);
	}
}

TEST(page_alloc_counts_balance)
{
	static struct folio *f[NR];
	u64 seed = 12345;

	for (u32 i = 0; i < NR * 8; i++) {
		seed = seed * 6364136223846793005ull + 1442695040888963407ull;
		struct folio **slot = &f[(seed >> 33) % NR];

		if (*slot) {
			EXPECT_EQ(*(u64 *)folio_address(*slot), (u64)*slot);
			folio_put(*slot);
			*slot = NULL;
			continue;
		}
		*slot = folio_alloc((seed >> 50) % 5, seed >> 63 ? FOLIO_ANON : FOLIO_KERNEL,
				    ALLOC_NOWAIT);
		if (*slot)
			*(u64 *)folio_address(*slot) = (u64)*slot;
	}
	for (u32 i = 0; i < NR; i++) {
		if (f[i])
			folio_put(f[i]);
		f[i] = NULL;
	}
}

TEST(page_alloc_injected_failure)
{
	test_fail_allocation(2);
	struct folio *a = folio_alloc(0, FOLIO_KERNEL, ALLOC_NOWAIT);
	struct folio *b = folio_alloc(0, FOLIO_KERNEL, ALLOC_NOWAIT);

	EXPECT(!b);
	EXPECT(test_allocation_failed());
	test_fail_allocation(0);
	if (a)
		folio_put(a);
}

TEST(many_folios_are_given_back_at_once)
{
	static struct folio *f[200], *batch[200];
	__maybe_unused u64 free_before = page_nr_free();
	u32 nr = 0;

	for (u32 i = 0; i < ARRAY_SIZE(f); i++) {
		f[i] = folio_alloc(i % 50 == 7 ? 2 : 0, i % 3 ? FOLIO_ANON : FOLIO_FILE, 0);
		EXPECT(f[i]);
		if (!f[i])
			return;
		if (i % 10 == 0)
			folio_get(f[i]);
		batch[nr++] = f[i];
	}
	folio_put_many(batch, nr);
	for (u32 i = 0; i < ARRAY_SIZE(f); i += 10)
		EXPECT_EQ(ref_read(&f[i]->refs), 1);
	nr = 0;
	for (u32 i = 0; i < ARRAY_SIZE(f); i += 10)
		batch[nr++] = f[i];
	folio_put_many(batch, nr);
#ifdef NOS_HOST /* nobody else allocates */
	EXPECT_EQ(page_nr_free(), free_before);
#endif
}
