/*
 * The page cache where a transfer does not go straight: hints that are right, stale or of another
 * page; user memory that is absent or must be faulted in; signals; folios that others hold or take.
 */
/* needs: tests/host/user.c */
#include "page_cache_internal.h"

#include <nos/assert.h>
#include <nos/errno.h>
#include <nos/string.h>
#include <nos/test.h>
#include <nos/thread.h>

#ifdef NOS_HOST /* user memory and signals that a test can set up */

#define STORE_PAGES 16u
#define PAGES(n) ((u64)(n)*PAGE_SIZE)

static u8 store[STORE_PAGES * PAGE_SIZE], buffer[STORE_PAGES * PAGE_SIZE];
static u64 size;
static u32 nr_reads;
static int begin_error, grow_error;
static struct page_cache cache;
static struct folio *hint;

static u8 byte_of(u64 at)
{
	return (u8)(at * 7 + at / PAGE_SIZE);
}

static int store_read(struct page_cache *c, struct folio *f, struct file *file)
{
	atomic_add(&nr_reads, 1);
	memcpy(folio_address(f), store + PAGES(f->index), folio_size(f));
	return 0;
}

static int store_write(struct page_cache *c, struct folio *f)
{
	memcpy(store + PAGES(f->index), folio_address(f), folio_size(f));
	return 0;
}

static int store_write_begin(struct page_cache *c, u64 offset, u64 len)
{
	return begin_error;
}

static int store_grow(struct page_cache *c)
{
	return grow_error;
}

static const struct page_cache_ops store_ops = { .read_folio = store_read,
						 .write_folio = store_write,
						 .write_begin = store_write_begin,
						 .folio_order = 1 };
static const struct page_cache_ops memory_ops = { .grow = store_grow };

static void begin(const struct page_cache_ops *ops, u64 bytes)
{
	page_cache_hint_init();
	for (u64 n = 0; n < sizeof(store); n++)
		store[n] = byte_of(n);
	size = bytes;
	nr_reads = 0;
	begin_error = grow_error = 0;
	hint = NULL;
	host_user_present = host_user_mappable = HOST_USER_BYTES;
	page_cache_init(&cache, ops, store, &size);
}

static void end(void)
{
	page_cache_fini(&cache);
	EXPECT_EQ(cache.nr_pages, 0);
}

static ssize_t read_at(u64 pos, size_t len)
{
	struct iobuf to;

	memset(buffer, 0xee, sizeof(buffer));
	iobuf_init_kernel(&to, buffer, len);
	return page_cache_read(&cache, NULL, &to, &pos, &hint);
}

static ssize_t write_at(u64 pos, size_t len, u8 what)
{
	struct iobuf from;

	memset(buffer, what, len);
	iobuf_init_kernel(&from, buffer, len);
	return page_cache_write(&cache, NULL, &from, &pos, &hint);
}

/* To and from the user memory at `at`. */
static ssize_t user_read(u64 pos, size_t at, size_t len)
{
	struct iobuf to;

	iobuf_init_user(&to, (uintptr_t)host_user + at, len);
	return page_cache_read(&cache, NULL, &to, &pos, &hint);
}

static ssize_t user_write(u64 pos, size_t at, size_t len)
{
	struct iobuf from;

	iobuf_init_user(&from, (uintptr_t)host_user + at, len);
	return page_cache_write(&cache, NULL, &from, &pos, &hint);
}

static bool is_stored(const u8 *p, u64 from, size_t len)
{
	for (size_t n = 0; n < len; n++)
		if (p[n] != byte_of(from + n))
			return false;
	return true;
}

static bool is_filled(const u8 *p, size_t len, u8 with)
{
	for (size_t n = 0; n < len; n++)
		if (p[n] != with)
			return false;
	return true;
}

TEST(page_cache_hint_serves_reads)
{
	begin(&store_ops, PAGES(8));
	EXPECT_EQ(read_at(0, 10), 10);
	EXPECT(hint && hint->index == 0);
	EXPECT_EQ(read_at(5000, 100), 100); /* the same folio of two pages */
	EXPECT(is_stored(buffer, 5000, 100));
	EXPECT_EQ(read_at(PAGES(1), PAGES(2)), (ssize_t)PAGES(2)); /* out of it */
	EXPECT(is_stored(buffer, PAGES(1), PAGES(2)));
	EXPECT_EQ(hint->index, 2);
	EXPECT_EQ(read_at(7, 10), 10); /* of another page */
	EXPECT(is_stored(buffer, 7, 10));
	EXPECT_EQ(hint->index, 0);
	EXPECT_EQ(nr_reads, 2);
	end();
}

TEST(page_cache_hint_serves_writes)
{
	begin(&store_ops, PAGES(2) - 100);
	EXPECT_EQ(read_at(0, 10), 10);
	EXPECT_EQ(write_at(20, 30, 1), 30);
	EXPECT(folio_has_flag(hint, FOLIO_DIRTY));
	EXPECT_EQ(size, PAGES(2) - 100);
	EXPECT_EQ(write_at(PAGES(2) - 120, 60, 2), 60); /* over the end of the file */
	EXPECT_EQ(size, PAGES(2) - 60);
	EXPECT_EQ(write_at(PAGES(2) - 20, 60, 3), 60); /* over the end of the folio */
	EXPECT_EQ(size, PAGES(2) + 40);
	EXPECT_EQ(page_cache_sync(&cache, 0, U64_MAX), 0);
	EXPECT(is_filled(store + 20, 30, 1) && is_filled(store + PAGES(2) - 120, 60, 2) &&
	       is_filled(store + PAGES(2) - 20, 60, 3) && is_stored(store, 0, 20));
	end();
}

/* The frame that a hint names may have left the file, or become another file's. */
TEST(page_cache_hint_that_is_stale)
{
	struct page_cache other;
	u64 other_size = PAGES(1);
	struct folio *f;

	begin(&store_ops, PAGES(4));
	EXPECT_EQ(read_at(0, 10), 10);
	page_cache_truncate(&cache, 0, U64_MAX);
	EXPECT_EQ(read_at(0, 10), 10);
	EXPECT(is_stored(buffer, 0, 10));
	page_cache_init(&other, NULL, NULL, &other_size);
	f = page_cache_get(&other, 0, NULL);
	EXPECT(!is_err(f));
	hint = f;
	EXPECT_EQ(read_at(3, 10), 10);
	EXPECT(is_stored(buffer, 3, 10) && hint != f);
	hint = f;
	EXPECT_EQ(write_at(3, 10, 9), 10);
	EXPECT(is_filled(folio_address(f), 20, 0));
	folio_put(f);
	page_cache_fini(&other);
	end();
}

TEST(page_cache_reads_into_absent_memory)
{
	begin(&store_ops, PAGES(4));
	host_user_present = host_user_mappable = 0;
	EXPECT_EQ(user_read(0, 0, 100), -EFAULT);
	EXPECT_EQ(user_read(0, 0, 100), -EFAULT); /* by the hint too */
	host_user_mappable = PAGES(1);
	EXPECT_EQ(user_read(10, 0, PAGES(3)), (ssize_t)PAGES(1)); /* what fitted */
	EXPECT(is_stored(host_user, 10, PAGES(1)));
	EXPECT_EQ(user_read(0, PAGES(1) - 50, 100), 50);
	EXPECT(is_stored(host_user + PAGES(1) - 50, 0, 50));
	end();
	begin(NULL, PAGES(4)); /* a hole */
	host_user_present = host_user_mappable = 0;
	EXPECT_EQ(user_read(0, 0, 100), -EFAULT);
	end();
}

TEST(page_cache_writes_from_absent_memory)
{
	begin(&store_ops, PAGES(4));
	for (u32 n = 0; n < HOST_USER_BYTES; n++)
		host_user[n] = (u8)(n / PAGE_SIZE + 1);
	host_user_present = host_user_mappable = 0;
	EXPECT_EQ(user_write(0, 0, 100), -EFAULT);
	EXPECT_EQ(user_write(0, 0, PAGES(1)), -EFAULT);
	host_user_mappable = PAGES(2); /* comes when it is touched outside the folio's lock */
	EXPECT_EQ(user_write(0, 0, PAGES(2)), (ssize_t)PAGES(2));
	EXPECT_EQ(read_at(0, PAGES(2)), (ssize_t)PAGES(2));
	EXPECT(is_filled(buffer, PAGE_SIZE, 1) && is_filled(buffer + PAGE_SIZE, PAGE_SIZE, 2));
	/* Up to where it ends; what was not written is what it was. */
	EXPECT_EQ(user_write(PAGES(2), PAGES(2) - 50, 100), 50);
	EXPECT_EQ(read_at(PAGES(2), 200), 200);
	EXPECT(is_filled(buffer, 50, 2) && is_stored(buffer + 50, PAGES(2) + 50, 150));
	/* A whole folio that falls short is as if nothing had been copied, and is read first. */
	host_user_present = PAGES(1);
	host_user_mappable = PAGES(1) + 2048;
	EXPECT_EQ(page_cache_sync(&cache, 0, U64_MAX), 0);
	EXPECT(page_cache_invalidate(&cache, 0, U64_MAX) > 0);
	EXPECT_EQ(user_write(0, PAGES(1) - 2048, PAGE_SIZE), PAGE_SIZE);
	EXPECT_EQ(read_at(0, PAGE_SIZE), PAGE_SIZE);
	EXPECT(is_filled(buffer, 2048, 1) && is_filled(buffer + 2048, 2048, 2));
	end();
}

TEST(page_cache_writes_memory_files_from_absent_memory)
{
	begin(NULL, 0);
	memset(host_user, 7, HOST_USER_BYTES);
	host_user_present = host_user_mappable = 1000;
	EXPECT_EQ(user_write(0, 0, PAGE_SIZE), 1000); /* the rest of the new page is zeros */
	EXPECT_EQ(size, 1000);
	size = PAGES(1);
	EXPECT_EQ(read_at(0, PAGE_SIZE), PAGE_SIZE);
	EXPECT(is_filled(buffer, 1000, 7) && is_filled(buffer + 1000, PAGE_SIZE - 1000, 0));
	end();
}

TEST(page_cache_transfers_end_with_a_fatal_signal)
{
	begin(&store_ops, PAGES(8));
	current_thread->work |= WORK_FATAL;
	EXPECT_EQ(read_at(0, 100), 100); /* no reason to give up what is done */
	EXPECT_EQ(read_at(0, PAGES(8)), (ssize_t)PAGES(2));
	EXPECT_EQ(write_at(PAGES(4), PAGES(4), 1), PAGE_SIZE);
	cache.invalidate_sequence++; /* a truncation under way */
	EXPECT(!page_cache_wait_truncated(&cache));
	cache.invalidate_sequence++;
	EXPECT(page_cache_wait_truncated(&cache));
	page_cache_will_need(&cache, NULL, 6, 2);
	EXPECT(!page_cache_find(&cache, 6));
	current_thread->work &= ~WORK_FATAL;
	end();
}

TEST(page_cache_operations_that_refuse)
{
	struct iobuf to;
	u64 pos = 0;

	begin(&store_ops, PAGES(2));
	begin_error = -ENOSPC;
	EXPECT_EQ(write_at(0, 10, 1), -ENOSPC);
	EXPECT_EQ(cache.nr_pages, 0);
	iobuf_init_kernel(&to, buffer, 10);
	to.flags = IOBUF_NOWAIT;
	EXPECT_EQ(page_cache_read(&cache, NULL, &to, &pos, &hint), -EAGAIN);
	EXPECT_EQ(nr_reads, 0);
	EXPECT(page_cache_next_data(&cache, 0) == U64_MAX);
	end();
	begin(&memory_ops, PAGES(2));
	grow_error = -ENOSPC;
	EXPECT_EQ(ptr_err(page_cache_get(&cache, 0, NULL)), -ENOSPC);
	grow_error = 0;
	struct folio *f = page_cache_get(&cache, 0, NULL);

	EXPECT(!is_err(f) && is_filled(folio_address(f), PAGE_SIZE, 0));
	folio_put(f);
	end();
}

/* What somebody holds, or what is dirty, stays. */
TEST(page_cache_keeps_what_is_in_use)
{
	struct folio *f;

	begin(&store_ops, PAGES(4));
	EXPECT_EQ(read_at(0, PAGES(4)), (ssize_t)PAGES(4));
	f = page_cache_find(&cache, 0);
	EXPECT_EQ(page_cache_invalidate(&cache, 0, U64_MAX), 2);
	EXPECT(page_cache_find(&cache, 2) == NULL);
	EXPECT_EQ(write_at(0, 10, 1), 10);
	folio_put(f);
	EXPECT_EQ(page_cache_invalidate(&cache, 0, U64_MAX), 0);
	EXPECT_EQ(read_at(0, 10), 10);
	EXPECT(is_filled(buffer, 10, 1));
	end();
}

/* ---- threads ---- */

extern int pthread_create(unsigned long *id, const void *attributes, void *(*fn)(void *),
			  void *arg);
extern int pthread_join(unsigned long id, void **result);

#define ROUNDS 400

static bool truncator_is_done;

static void *read_all(void *arg)
{
	static __thread struct thread thread;
	static __thread u8 bytes[PAGE_SIZE];
	struct folio *own_hint = NULL;

	host_current = &thread;
	for (u32 n = 0; n < ROUNDS; n++) {
		u64 pos = PAGES(n % STORE_PAGES), from = pos;
		struct iobuf to;

		iobuf_init_kernel(&to, bytes, sizeof(bytes));
		EXPECT_EQ(page_cache_read(&cache, NULL, &to, &pos, &own_hint), PAGE_SIZE);
		EXPECT(is_stored(bytes, from, PAGE_SIZE));
	}
	return arg;
}

static void *drop_all(void *arg)
{
	static __thread struct thread thread;

	host_current = &thread;
	for (u32 n = 0; n < ROUNDS; n++) {
		if (n % 3)
			(void)page_cache_invalidate(&cache, 0, U64_MAX);
		else
			page_cache_truncate(&cache, 0, U64_MAX); /* it is read again */
	}
	atomic_store(&truncator_is_done, true);
	return arg;
}

TEST(page_cache_reads_beside_those_who_drop)
{
	unsigned long readers[2], dropper;

	begin(&store_ops, sizeof(store));
	truncator_is_done = false;
	for (u32 n = 0; n < ARRAY_SIZE(readers); n++)
		VERIFY(!pthread_create(&readers[n], NULL, read_all, NULL));
	VERIFY(!pthread_create(&dropper, NULL, drop_all, NULL));
	while (!atomic_load(&truncator_is_done))
		EXPECT(page_cache_wait_truncated(&cache));
	for (u32 n = 0; n < ARRAY_SIZE(readers); n++)
		pthread_join(readers[n], NULL);
	pthread_join(dropper, NULL);
	end();
}

#endif
