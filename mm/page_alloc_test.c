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

TEST(page_alloc_by_address)
{
	for (unsigned order = 0; order < 4; order++) {
		u8 *p = page_alloc(order, ALLOC_ZERO);

		EXPECT(p && p[0] == 0 && p[(PAGE_SIZE << order) - 1] == 0);
		page_free(p, order);
	}
	page_free(NULL, 0);
	test_fail_allocation(1);
	EXPECT(page_alloc(0, 0) == NULL);
	test_fail_allocation(0);
}

#ifdef NOS_HOST /* a handler that is played, and all of the memory for one test */

#include <nos/irq.h>
#include <nos/thread.h>

/* A handler may have interrupted the use of the arrays, and leaves them alone. */
TEST(page_alloc_in_a_handler)
{
	u64 before = page_nr_free();
	struct folio *f[9], *warm = folio_alloc(0, FOLIO_KERNEL, ALLOC_NOWAIT);

	host_in_handler = true;
	for (unsigned order = 0; order < ARRAY_SIZE(f); order++) {
		f[order] = folio_alloc(order, FOLIO_KERNEL, ALLOC_ATOMIC);
		EXPECT(f[order] && f[order] != warm);
		if (!f[order])
			continue;
		EXPECT_EQ(folio_to_phys(f[order]) % (PAGE_SIZE << order), 0);
		for (unsigned k = 0; k < order; k++)
			EXPECT(f[k] + folio_nr_pages(f[k]) <= f[order] ||
			       f[order] + folio_nr_pages(f[order]) <= f[k]);
	}
	for (unsigned order = 0; order < ARRAY_SIZE(f); order++)
		if (f[order])
			folio_put(f[order]);
	host_in_handler = false;
	folio_put(warm);
	EXPECT_EQ(page_nr_free(), before);
}

#define MANY 20000u

static struct folio *all[MANY];
static u32 nr_all, nr_room_made;

static void take_all(unsigned order, u32 flags)
{
	struct folio *f;

	while (nr_all < MANY && (f = folio_alloc(order, FOLIO_ANON, flags)))
		all[nr_all++] = f;
}

bool memory_make_room(u64 nr_pages, u32 flags, unsigned round)
{
	nr_room_made++;
	if (!nr_all || round > 3)
		return false;
	if (round == 2) /* at last */
		for (u32 i = 0; i < 600 && nr_all; i++)
			folio_put(all[--nr_all]);
	return true;
}

/* Memory is used up: who may not wait gets the reserve or nothing, others what is made free for them. */
TEST(page_alloc_when_memory_is_short)
{
	u64 before = page_nr_free(), left;
	struct folio *f, *atomic;

	nr_room_made = 0;
	take_all(0, ALLOC_NOWAIT);
	EXPECT_EQ(nr_room_made, 0);
	left = page_nr_free();
	atomic = folio_alloc(0, FOLIO_KERNEL, ALLOC_ATOMIC);
	EXPECT(atomic != NULL); /* the reserve */
	EXPECT(page_nr_free() < left || left == 0);
	host_in_handler = true;
	f = folio_alloc(0, FOLIO_KERNEL, ALLOC_ATOMIC);
	host_in_handler = false;
	EXPECT(f != NULL);
	folio_put(f);
	f = folio_alloc(3, FOLIO_KERNEL, 0); /* rounds until there is some */
	EXPECT(f != NULL);
	EXPECT_EQ(nr_room_made, 3);
	if (f)
		folio_put(f);
	if (atomic)
		folio_put(atomic);
	folio_put_many(all, nr_all);
	nr_all = 0;
	f = folio_alloc(PAGE_ORDER_MAX, FOLIO_KERNEL, ALLOC_NOWAIT);
	EXPECT(f != NULL);
	if (f)
		folio_put(f);
	EXPECT_EQ(page_nr_free(), before);
}

/* A chunk of which every other frame is in use has no run for more than one. */
TEST(page_alloc_broken_up)
{
	u64 before = page_nr_free();
	u32 nr_kept = 0;

	take_all(0, ALLOC_NOWAIT);
	for (u32 i = 0; i < nr_all; i++) {
		if (folio_to_phys(all[i]) >> PAGE_SHIFT & 1)
			folio_put(all[i]);
		else
			all[nr_kept++] = all[i];
	}
	nr_all = nr_kept;
	for (unsigned order = 1; order <= PAGE_ORDER_MAX; order++) {
		/* what was never taken, the reserve, may be whole */
		struct folio *f = folio_alloc(order, FOLIO_KERNEL, ALLOC_NOWAIT);

		if (f) {
			EXPECT_EQ(folio_to_phys(f) % (PAGE_SIZE << order), 0);
			folio_put(f);
		}
	}
	EXPECT(folio_alloc(PAGE_ORDER_MAX, FOLIO_KERNEL, ALLOC_NOWAIT) == NULL);
	folio_put_many(all, nr_all);
	nr_all = 0;
	EXPECT_EQ(page_nr_free(), before);
}
#endif
