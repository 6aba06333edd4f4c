/* The page cache on a store in memory: reads, writes, write-back, truncation, reclaim, failures. */
/* needs: tests/host/memory.c core/iobuf.c core/wait.c mm/huge_file.c mm/lru.c mm/folio_lock.c mm/rmap.c
 mm/page_alloc.c mm/slab.c mm/kmalloc.c mm/slab_debug.c mm/fault_injection_test.c */
#include "page_cache_internal.h"

#include <nos/errno.h>
#include <nos/string.h>
#include <nos/test.h>

#define STORE_PAGES 24u

static u8 store[STORE_PAGES * PAGE_SIZE];
static u64 size;
static int fail_with;
static u32 nr_reads, nr_writes;
static u8 buffer[6 * PAGE_SIZE];

static int store_read(struct page_cache *c, struct folio *f, struct file *file)
{
	u64 at = f->index << PAGE_SHIFT;

	nr_reads++;
	if (fail_with)
		return fail_with;
	EXPECT(at + folio_size(f) <= sizeof(store));
	memcpy(folio_address(f), store + at, folio_size(f));
	return 0;
}

static int store_write(struct page_cache *c, struct folio *f)
{
	u64 at = f->index << PAGE_SHIFT;

	nr_writes++;
	if (fail_with)
		return fail_with;
	if (at < size)
		memcpy(store + at, folio_address(f), min(folio_size(f), size - at));
	return 0;
}

static const struct page_cache_ops store_ops = { .read_folio = store_read,
						 .write_folio = store_write,
						 .folio_order = 2 };
static struct page_cache cache;

static void begin(const struct page_cache_ops *ops, u64 bytes)
{
	for (u32 n = 0; n < sizeof(store); n++)
		store[n] = (u8)(n * 7 + n / PAGE_SIZE);
	size = bytes;
	fail_with = 0;
	nr_reads = nr_writes = 0;
	page_cache_init(&cache, ops, store, &size);
}

static void end(void)
{
	page_cache_fini(&cache);
	EXPECT_EQ(cache.nr_pages, 0);
}

static ssize_t read_at(u64 pos, size_t len)
{
	struct folio *hint = NULL;
	struct iobuf to;

	memset(buffer, 0xee, sizeof(buffer));
	iobuf_init_kernel(&to, buffer, len);
	return page_cache_read(&cache, NULL, &to, &pos, &hint);
}

static ssize_t write_at(u64 pos, size_t len, u8 what)
{
	struct folio *hint = NULL;
	struct iobuf from;

	memset(buffer, what, len);
	iobuf_init_kernel(&from, buffer, len);
	return page_cache_write(&cache, NULL, &from, &pos, &hint);
}

static bool is_filled(const u8 *p, size_t len, u8 with)
{
	for (size_t n = 0; n < len; n++)
		if (p[n] != with)
			return false;
	return true;
}

TEST(page_cache_reads_what_is_stored)
{
	begin(&store_ops, 10 * PAGE_SIZE + 100);
	EXPECT_EQ(read_at(0, 100), 100);
	EXPECT(!memcmp(buffer, store, 100));
	EXPECT_EQ(nr_reads, 1);
	EXPECT_EQ(read_at(100, 3 * PAGE_SIZE), 3 * PAGE_SIZE); /* the same folio of four pages */
	EXPECT_EQ(nr_reads, 1);
	EXPECT_EQ(read_at(3 * PAGE_SIZE + 5, 2 * PAGE_SIZE), 2 * PAGE_SIZE);
	EXPECT(!memcmp(buffer, store + 3 * PAGE_SIZE + 5, 2 * PAGE_SIZE));
	EXPECT_EQ(read_at(10 * PAGE_SIZE, PAGE_SIZE), 100); /* to the end of the file */
	EXPECT_EQ(read_at(size, 10), 0);
	EXPECT_EQ(read_at(size + PAGE_SIZE, 10), 0);
	end();
}

TEST(page_cache_writes_back)
{
	begin(&store_ops, 8 * PAGE_SIZE);
	EXPECT_EQ(write_at(PAGE_SIZE + 10, 20, 1), 20); /* reads the rest of the page first */
	EXPECT(nr_reads > 0);
	EXPECT_EQ(read_at(PAGE_SIZE, 40), 40);
	EXPECT(!memcmp(buffer, store + PAGE_SIZE, 10) && is_filled(buffer + 10, 20, 1));
	EXPECT(store[PAGE_SIZE + 10] != 1 || store[PAGE_SIZE + 11] != 1);
	EXPECT_EQ(page_cache_sync(&cache, 0, U64_MAX), 0);
	EXPECT(nr_writes > 0);
	EXPECT(is_filled(store + PAGE_SIZE + 10, 20, 1));
	nr_writes = 0;
	EXPECT_EQ(page_cache_sync(&cache, 0, U64_MAX), 0); /* nothing is dirty now */
	EXPECT_EQ(nr_writes, 0);
	EXPECT_EQ(write_at(8 * PAGE_SIZE + 5, 10, 2), 10); /* behind the end: the file grows */
	EXPECT_EQ(size, 8 * PAGE_SIZE + 15);
	EXPECT_EQ(read_at(8 * PAGE_SIZE, 15), 15);
	EXPECT(is_filled(buffer, 5, 0) && is_filled(buffer + 5, 10, 2));
	EXPECT_EQ(page_cache_sync(&cache, 0, U64_MAX), 0);
	EXPECT(is_filled(store + 8 * PAGE_SIZE + 5, 10, 2));
	end();
}

TEST(page_cache_reports_errors)
{
	begin(&store_ops, 8 * PAGE_SIZE);
	fail_with = -EIO;
	EXPECT_EQ(read_at(0, 10), -EIO);
	EXPECT_EQ(write_at(10, 10, 1), -EIO); /* the rest of the page is needed */
	fail_with = 0;
	EXPECT_EQ(read_at(0, 10), 10);
	EXPECT_EQ(write_at(0, 10, 1), 10);
	fail_with = -ENOSPC;
	EXPECT_EQ(page_cache_sync(&cache, 0, U64_MAX), -ENOSPC);
	fail_with = 0;
	(void)page_cache_sync(&cache, 0, U64_MAX);
	EXPECT_EQ(page_cache_sync(&cache, 0, U64_MAX), 0); /* said once */
	end();
}

TEST(page_cache_truncates)
{
	begin(&store_ops, 8 * PAGE_SIZE);
	EXPECT_EQ(write_at(0, 6 * PAGE_SIZE, 3), 6 * PAGE_SIZE);
	size = 2 * PAGE_SIZE + 50;
	page_cache_truncate(&cache, size, U64_MAX);
	EXPECT_EQ(read_at(0, 6 * PAGE_SIZE), 2 * PAGE_SIZE + 50);
	EXPECT(is_filled(buffer, 2 * PAGE_SIZE + 50, 3));
	size = 4 * PAGE_SIZE; /* what was cut off is zero when the file grows again */
	EXPECT_EQ(read_at(2 * PAGE_SIZE + 50, PAGE_SIZE - 50), PAGE_SIZE - 50);
	EXPECT(is_filled(buffer, PAGE_SIZE - 50, 0));
	page_cache_truncate(&cache, 100, 200); /* a hole inside a page */
	EXPECT_EQ(read_at(0, 300), 300);
	EXPECT(is_filled(buffer, 100, 3) && is_filled(buffer + 100, 100, 0) &&
	       is_filled(buffer + 200, 100, 3));
	page_cache_truncate(&cache, 10, 10);
	end();
}

TEST(page_cache_in_memory_only)
{
	begin(NULL, 0);
	EXPECT_EQ(read_at(0, 10), 0);
	EXPECT_EQ(write_at(3 * PAGE_SIZE, 10, 4), 10);
	EXPECT_EQ(read_at(0, 10), 10); /* a hole */
	EXPECT(is_filled(buffer, 10, 0));
	EXPECT_EQ(page_cache_next_data(&cache, 0), 3 * PAGE_SIZE);
	EXPECT_EQ(page_cache_next_hole(&cache, 0), 0);
	EXPECT(page_cache_next_hole(&cache, 3 * PAGE_SIZE) >= 3 * PAGE_SIZE + 10);
	EXPECT_EQ(page_cache_sync(&cache, 0, U64_MAX), 0);
	EXPECT_EQ(page_cache_invalidate(&cache, 0, U64_MAX), 0); /* the folios are the file */
	EXPECT_EQ(read_at(3 * PAGE_SIZE, 10), 10);
	EXPECT(is_filled(buffer, 10, 4));
	end();
}

/* A range that ends in front of a dirty page leaves that one alone, and no reference on it. */
TEST(page_cache_writes_back_a_range)
{
	begin(&store_ops, 12 * PAGE_SIZE);
	EXPECT_EQ(write_at(0, 10, 7), 10);
	EXPECT_EQ(write_at(8 * PAGE_SIZE, 10, 8), 10);
	EXPECT_EQ(page_cache_sync(&cache, 0, 4 * PAGE_SIZE), 0);
	EXPECT(is_filled(store, 10, 7) && !is_filled(store + 8 * PAGE_SIZE, 10, 8));
	EXPECT_EQ(page_cache_sync(&cache, 0, U64_MAX), 0);
	EXPECT(is_filled(store + 8 * PAGE_SIZE, 10, 8));
	EXPECT(page_cache_invalidate(&cache, 0, U64_MAX) > 0);
	EXPECT_EQ(cache.nr_pages, 0);
	end();
}

TEST(page_cache_lets_go)
{
	begin(&store_ops, 12 * PAGE_SIZE);
	EXPECT_EQ(read_at(0, 6 * PAGE_SIZE), 6 * PAGE_SIZE);
	EXPECT_EQ(write_at(8 * PAGE_SIZE, PAGE_SIZE, 5), PAGE_SIZE);
	EXPECT(page_cache_invalidate(&cache, 0, 4 * PAGE_SIZE) > 0);
	EXPECT(page_cache_find(&cache, 0) == NULL);
	(void)page_cache_sync(&cache, 0, U64_MAX);
	EXPECT(page_cache_invalidate(&cache, 0, U64_MAX) > 0);
	EXPECT_EQ(cache.nr_pages, 0);
	EXPECT_EQ(read_at(8 * PAGE_SIZE, 10), 10);
	EXPECT(is_filled(buffer, 10, 5));
#ifdef NOS_HOST /* in the kernel there is more to take */
	EXPECT(page_cache_reclaim(1) > 0);
	EXPECT_EQ(cache.nr_pages, 0);
#endif
	end();
}

TEST(page_cache_every_allocation_may_fail)
{
	begin(&store_ops, 12 * PAGE_SIZE);
	TEST_EACH_ALLOCATION_FAILING({
		ssize_t n = read_at(0, 5 * PAGE_SIZE);

		EXPECT(n > 0 || n == -ENOMEM);
		n = write_at(9 * PAGE_SIZE + 1, PAGE_SIZE, 6);
		EXPECT(n > 0 || n == -ENOMEM);
		(void)page_cache_sync(&cache, 0, U64_MAX);
		(void)page_cache_invalidate(&cache, 0, U64_MAX);
	});
	end();
}
