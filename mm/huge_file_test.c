/* Tests of files in memory that come 2 MiB at a time. */
#include "page_internal.h"
#include "test_space.h"

#include <nos/errno.h>
#include <nos/huge.h>
#include <nos/string.h>

#ifdef NOS_HOST /* needs address spaces without a process */

#define NR_PAGES 1536u
#define SOME_FILE ((struct file *)&size)

static struct page_cache cache;
static u64 size, room, counted;
static enum huge_file mode;

/* Like a tmpfs with `room` pages. */
static int grow(struct page_cache *c, u64 nr, u64 more)
{
	if (nr && c->nr_pages + nr + more > room)
		return -ENOSPC;
	counted = c->nr_pages + nr;
	return 0;
}

static enum huge_file huge(const struct page_cache *c)
{
	return mode;
}

static const struct page_cache_ops ops = { .grow = grow, .huge = huge };

static struct huge_stats figures(void)
{
	struct huge_stats s;

	huge_stats_read(&s);
	return s;
}

static void begin(void)
{
	size = PAGES(NR_PAGES);
	room = U64_MAX / 2;
	mode = HUGE_FILE_ALWAYS;
	EXPECT_EQ(huge_file_allow(mode), 0);
	page_cache_init(&cache, &ops, &cache, &size);
}

static void end(void)
{
	page_cache_fini(&cache);
	EXPECT_EQ(figures().file_blocks, 0);
	EXPECT_EQ(figures().file_mapped, 0);
}

/* All of the file from `page` on, mapped at that page. */
static struct aspace *space_with_file(u64 page, u32 flags)
{
	struct aspace *a = space_create();
	struct map_request r = {
		.address = BASE + PAGES(page),
		.length = PAGES(NR_PAGES - page),
		.prot = RW,
		.map_flags = flags | MAP_FIXED,
		.file = SOME_FILE,
		.file_may_write = true,
		.cache = &cache,
		.page_offset = page,
	};

	if (a && aspace_map(a, &r) < 0) {
		aspace_put(a);
		return NULL;
	}
	return a;
}

static bool is_huge(struct aspace *a, u64 page)
{
	return huge_is_mapped(a, BASE + PAGES(page));
}

static bool holds(struct aspace *a, u64 first, u64 nr, u64 value)
{
	for (u64 page = first; page < first + nr; page++)
		if (read_at(a, page) != value + page)
			return false;
	return true;
}

/* The table behind the entry says what the entry says, and each folio has a reference for each of its entries. */
static bool is_sound(struct aspace *a, u64 page, u32 nr_users)
{
	const pte_t *entry = leaf_entry(a, BASE + PAGES(page));
	const struct folio *f = huge_table(entry);
	const pte_t *table = f ? folio_address(f) : NULL;

	if (!f || f->nr_present != HUGE_PAGES || f->nr_special)
		return false;
	for (u64 i = 0; i < HUGE_PAGES; i++) {
		const struct folio *p = phys_to_folio(pte_phys(table[i]));
		u32 nr = (u32)folio_nr_pages(p);

		if (table[i] != (*entry & ~PTE_HUGE) + PAGES(i) ||
		    ((table[i] & PTE_WRITE) && !(table[i] & PTE_DIRTY)) ||
		    p->map_count != nr * nr_users || p->refs.count != nr * nr_users + 1)
			return false;
	}
	return true;
}

static ssize_t write_bytes(u64 pos, u64 len)
{
	static u8 bytes[8 * PAGE_SIZE];
	struct folio *hint = NULL;
	struct iobuf from;

	memset(bytes, 5, sizeof(bytes));
	iobuf_init_kernel(&from, bytes, len);
	return page_cache_write(&cache, NULL, &from, &pos, &hint);
}

TEST(a_fault_brings_a_block_and_maps_it)
{
	begin();
	struct aspace *a = space_with_file(0, MAP_SHARED);

	EXPECT(write_at(a, 700, 5));
	EXPECT(is_huge(a, 512) && is_sound(a, 512, 1));
	EXPECT_EQ(cache.nr_pages, 512);
	EXPECT_EQ(counted, 512);
	EXPECT_EQ(a->resident_shmem, 512);
	EXPECT_EQ(figures().file_blocks, 1);
	EXPECT_EQ(figures().file_mapped, 1);
	EXPECT_EQ(read_at(a, 700), 5);
	EXPECT_EQ(read_at(a, 699), 0);
	struct aspace *b = space_with_file(512, MAP_SHARED);

	EXPECT_EQ(read_at(b, 700), 5);
	EXPECT(is_sound(a, 512, 2) && is_sound(b, 512, 2));
	aspace_put(b);
	EXPECT_EQ(aspace_unmap(a, BASE, PAGES(NR_PAGES)), 0);
	EXPECT_EQ(a->resident_shmem, 0);
	EXPECT_EQ(figures().file_mapped, 0);
	aspace_put(a);
	EXPECT_EQ(cache.nr_pages, 512);
	end();
}

TEST(truncation_of_a_part_breaks_a_block)
{
	begin();
	struct aspace *a = space_with_file(0, MAP_SHARED);

	fill(a, 0, NR_PAGES, 100);
	EXPECT_EQ(figures().file_blocks, 3);
	page_cache_truncate(&cache, PAGES(600), PAGES(632)); /* a hole in the second */
	EXPECT(is_huge(a, 0) && !is_huge(a, 512) && is_huge(a, 1024));
	EXPECT_EQ(figures().file_blocks, 2);
	EXPECT_EQ(cache.nr_pages, NR_PAGES - 16); /* the folio of 16 pages that lies in it */
	EXPECT(holds(a, 0, 600, 100) && holds(a, 632, 900, 100));
	EXPECT_EQ(read_at(a, 600), 0);
	EXPECT_EQ(read_at(a, 631), 0);
	EXPECT(!is_huge(a, 512));
	size = PAGES(1030);
	page_cache_truncate(&cache, size, U64_MAX);
	EXPECT(!is_huge(a, 1024) && holds(a, 1024, 6, 100));
	EXPECT_EQ(read_at(a, 1030), ~0ull);
	EXPECT_EQ(figures().file_blocks, 1);
	page_cache_truncate(&cache, PAGES(512), PAGES(1024));
	EXPECT(write_at(a, 513, 1) && is_huge(a, 512)); /* empty, it comes as one again */
	page_cache_truncate(&cache, 0, PAGES(512));
	EXPECT(!is_huge(a, 0));
	EXPECT_EQ(read_at(a, 0), 0);
	EXPECT(is_huge(a, 0) && is_sound(a, 0, 1));
	aspace_put(a);
	end();
}

TEST(a_private_store_copies_one_page)
{
	begin();
	struct aspace *a = space_with_file(0, MAP_SHARED), *p = space_with_file(0, MAP_PRIVATE);

	fill(a, 0, 1024, 100);
	EXPECT(holds(p, 0, 1024, 100));
	EXPECT(is_huge(p, 0) && is_sound(p, 0, 2) && is_huge(p, 512));
	EXPECT(write_at(p, 7, 1));
	EXPECT(!is_huge(p, 0) && is_huge(p, 512) && is_huge(a, 0));
	EXPECT_EQ(p->resident_anon, 1);
	EXPECT_EQ(p->resident_shmem, 1023);
	EXPECT_EQ(read_at(p, 7), 1);
	EXPECT(holds(p, 8, 1016, 100) && holds(a, 0, 1024, 100));
	struct aspace *child = aspace_fork(p);

	EXPECT_EQ(read_at(child, 7), 1);
	EXPECT(holds(child, 8, 1016, 100));
	EXPECT(write_at(p, 600, 2) && read_at(child, 600) == 700);
	aspace_put(child);
	/* of a hole, only the copy is private */
	EXPECT(write_at(p, 1100, 3) && !is_huge(p, 1024));
	EXPECT_EQ(figures().file_blocks, 3);
	aspace_put(p);
	EXPECT(is_sound(a, 0, 1) && is_sound(a, 512, 1));
	aspace_put(a);
	end();
}

TEST(rights_of_a_block_come_back_at_once)
{
	begin();
	struct aspace *a = space_with_file(0, MAP_SHARED);

	fill(a, 0, 1024, 100);
	EXPECT_EQ(aspace_protect(a, BASE, PAGES(1024), PROT_READ), 0);
	EXPECT(is_huge(a, 0) && is_sound(a, 0, 1) && !write_at(a, 0, 1));
	EXPECT_EQ(aspace_protect(a, BASE, PAGES(1024), RW), 0);
	EXPECT(write_at(a, 0, 100) && is_huge(a, 0) && is_sound(a, 0, 1));
	EXPECT_EQ(aspace_protect(a, BASE + PAGES(3), PAGES(2), PROT_READ), 0);
	EXPECT(!is_huge(a, 0) && is_huge(a, 512));
	EXPECT_EQ(aspace_protect(a, BASE + PAGES(512), PAGES(512), PROT_NONE), 0);
	EXPECT(!is_huge(a, 512) && read_at(a, 512) == ~0ull);
	EXPECT_EQ(aspace_protect(a, BASE, PAGES(1024), RW), 0);
	EXPECT(holds(a, 0, 1024, 100));
	EXPECT_EQ(aspace_advise(a, BASE, PAGES(1024), MADV_DONTNEED), 0);
	EXPECT(holds(a, 0, 1024, 100) && is_huge(a, 0) && is_huge(a, 512));
	aspace_put(a);
	end();
}

TEST(policy_decides)
{
	begin();
	struct aspace *a = space_with_file(0, MAP_SHARED);

	mode = HUGE_FILE_NEVER;
	EXPECT(write_at(a, 0, 1));
	EXPECT_EQ(cache.nr_pages, 1);
	mode = HUGE_FILE_ALWAYS; /* there is a page already */
	EXPECT(write_at(a, 1, 1));
	EXPECT_EQ(cache.nr_pages, 2);
	mode = HUGE_FILE_ADVISE;
	EXPECT(write_at(a, 512, 1));
	EXPECT_EQ(cache.nr_pages, 3);
	EXPECT_EQ(aspace_advise(a, BASE + PAGES(1024), PAGES(512), MADV_HUGEPAGE), 0);
	EXPECT(write_at(a, 1024, 1) && is_huge(a, 1024));
	page_cache_truncate(&cache, 0, U64_MAX);
	size = PAGES(1023);
	mode = HUGE_FILE_WITHIN_SIZE;
	EXPECT(write_at(a, 0, 1) && write_at(a, 512, 1));
	EXPECT_EQ(cache.nr_pages, 513);
	page_cache_truncate(&cache, 0, U64_MAX);
	mode = HUGE_FILE_SYSTEM;
	EXPECT(write_at(a, 0, 1));
	EXPECT_EQ(cache.nr_pages, 1);
	page_cache_truncate(&cache, 0, U64_MAX);
	EXPECT_EQ(huge_file_system_set(HUGE_FILE_FORCE), 0);
	EXPECT(write_at(a, 0, 1) && is_huge(a, 0));
	EXPECT_EQ(huge_file_system_set(HUGE_FILE_DENY), 0);
	mode = HUGE_FILE_ALWAYS;
	EXPECT(write_at(a, 512, 1));
	EXPECT_EQ(cache.nr_pages, 513);
	EXPECT_EQ(huge_file_system_set(HUGE_FILE_NEVER), 0);
	/* the block reaches beyond the end: it comes, but pages are mapped */
	page_cache_truncate(&cache, PAGES(512), U64_MAX);
	EXPECT(write_at(a, 512, 1) && !is_huge(a, 512));
	EXPECT_EQ(cache.nr_pages, 1024);
	EXPECT(!write_at(a, 1023, 1));
	aspace_put(a);
	end();
}

TEST(room_is_not_overdrawn)
{
	begin();
	room = 600;
	struct aspace *a = space_with_file(0, MAP_SHARED);

	EXPECT(write_at(a, 0, 1) && write_at(a, 512, 1));
	EXPECT_EQ(cache.nr_pages, 513);
	EXPECT_EQ(counted, 513);
	page_cache_truncate(&cache, 0, U64_MAX);
	/* seven pages from the end of one block, and one more: both would not fit with the block */
	room = 512;
	EXPECT_EQ(write_bytes(PAGES(505), 8 * PAGE_SIZE), 8 * PAGE_SIZE);
	EXPECT_EQ(cache.nr_pages, 8);
	page_cache_truncate(&cache, 0, U64_MAX);
	room = 513;
	EXPECT_EQ(write_bytes(PAGES(505), 8 * PAGE_SIZE), 8 * PAGE_SIZE);
	EXPECT_EQ(cache.nr_pages, 513);
	EXPECT_EQ(read_at(a, 505), 0x0505050505050505ull);
	EXPECT_EQ(read_at(a, 504), 0);
	EXPECT(is_huge(a, 0));
	aspace_put(a);
	end();
}

static bool store_and_fork(void)
{
	begin();
	struct aspace *a = space_with_file(0, MAP_SHARED), *p = space_with_file(0, MAP_PRIVATE);
	bool ok = a && p && write_at(a, 0, 1) && write_at(p, 600, 2);
	struct aspace *b = ok ? aspace_fork(p) : NULL;

	ok = ok && !is_err(b) && write_at(b, 0, 3) && read_at(a, 0) == 1 && read_at(a, 600) == 0 &&
	     write_bytes(PAGES(1024) + 5, 100) == 100;
	if (b && !is_err(b))
		aspace_put(b);
	if (p)
		aspace_put(p);
	if (a)
		aspace_put(a);
	end();
	return ok;
}

TEST(no_failing_allocation_loses_a_block)
{
	TEST_EACH_ALLOCATION_FAILING(EXPECT(store_and_fork() || test_allocation_failed()));
}

#endif
