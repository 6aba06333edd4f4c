/* Read-ahead: what the pattern of requests makes it start, and what becomes of reads that were started. */
/* tests: mm/read_ahead.c */
/* needs: tests/host/memory.c core/iobuf.c core/wait.c mm/page_cache.c mm/huge_file.c mm/lru.c mm/folio_lock.c mm/rmap.c
 mm/page_alloc.c mm/slab.c mm/kmalloc.c mm/slab_debug.c mm/fault_injection_test.c */
#include "page_cache_internal.h"

#include <nos/errno.h>
#include <nos/log.h>
#include <nos/read_ahead.h>
#include <nos/string.h>
#include <nos/test.h>

#define ORDER 4u
#define UNIT_PAGES (1u << ORDER)

static struct read_ahead state;

static struct read_plan ask(u32 first, u32 last)
{
	return read_ahead_plan(&state, first, last, ORDER);
}

static void begin(void)
{
	state = (struct read_ahead){ 0 };
}

/* Requests of one unit each at start, start + stride …: how many units were read ahead of use, and in vain. */
static void scan(s64 start, s64 stride, u32 nr, u32 *useful, u32 *useless)
{
	static u8 ahead[8192];

	memset(ahead, 0, sizeof(ahead));
	*useful = *useless = 0;
	begin();
	for (u32 i = 0; i < nr; i++) {
		s64 unit = start + stride * i;

		*useful += ahead[unit];
		ahead[unit] = 0;
		struct read_plan p = ask((u32)unit, (u32)unit);

		for (u32 k = 0; k < p.nr; k++) {
			s64 at = p.first + (s64)p.stride * k;

			if (at >= 0 && at < (s64)sizeof(ahead))
				ahead[at] = 1;
		}
	}
	for (size_t i = 0; i < sizeof(ahead); i++)
		*useless += ahead[i];
}

TEST(read_ahead_sequential_reader_is_followed)
{
	u32 useful, useless;

	scan(0, 1, 1000, &useful, &useless);
	EXPECT(useful >= 998); /* all but the first two */
	EXPECT(useless <= 32);
	scan(100, 1, 1000, &useful, &useless); /* and so from the middle */
	EXPECT(useful >= 998);
}

TEST(read_ahead_strides_are_found)
{
	u32 useful, useless;

	scan(0, 7, 500, &useful, &useless);
	EXPECT(useful >= 497);
	EXPECT(useless <= 32);
	scan(4000, -1, 3000, &useful, &useless); /* backward */
	EXPECT(useful >= 2997);
	scan(300, -1, 301, &useful, &useless); /* to the very start, not beyond */
	EXPECT(useful >= 298);
	EXPECT_EQ(useless, 0);
	scan(4000, -5, 500, &useful, &useless);
	EXPECT(useful >= 497);
}

TEST(read_ahead_random_reader_is_left_alone)
{
	u32 seed = 1, started = 0;

	begin();
	for (u32 i = 0; i < 10000; i++) {
		seed = seed * 1664525 + 1013904223;
		started += ask(seed >> 12, seed >> 12).nr;
	}
	EXPECT_EQ(started, 0);
}

TEST(read_ahead_window_grows_and_shrinks)
{
	u32 largest = 0;

	begin();
	for (u32 i = 0; i < 200; i++) {
		largest = max(largest, ask(i, i).nr);
		EXPECT(state.window <= 512 >> ORDER);
	}
	EXPECT_EQ(state.window, 512 >> ORDER);
	EXPECT(largest >= state.window / 2u);
	ask(5000, 5000);
	EXPECT_EQ(state.window, (512 >> ORDER) / 2);
	ask(100, 100);
	EXPECT_EQ(state.window, (512 >> ORDER) / 4);
}

/* One request elsewhere does not make a reader's stride forgotten. */
TEST(read_ahead_one_jump_is_forgiven)
{
	begin();
	for (u32 i = 0; i < 10; i++)
		ask(i * 3, i * 3);
	EXPECT_EQ(state.stride, 3);
	EXPECT_EQ(ask(700, 700).nr, 0);
	EXPECT_EQ(state.stride, 3);
	EXPECT(ask(703, 703).nr > 0);
}

/* Long requests at random places do not run past their ends. */
TEST(read_ahead_long_requests_are_one_each)
{
	begin();
	EXPECT_EQ(ask(100, 107).nr, 0);
	EXPECT_EQ(ask(10, 17).nr, 0);
	EXPECT_EQ(ask(900, 907).nr, 0);
	EXPECT(ask(908, 915).nr > 0); /* this one follows */
	EXPECT(ask(915, 920).nr > 0); /* and this one, from the same unit on */
}

TEST(read_ahead_follows_advice)
{
	begin();
	state.advice = READ_RANDOM;
	for (u32 i = 0; i < 10; i++)
		EXPECT_EQ(ask(i, i).nr, 0);
	begin();
	state.advice = READ_SEQUENTIAL;
	EXPECT(ask(5, 5).nr > 0); /* from the first request on */
}

/* A mapping that is scanned comes here only where what was read ahead ends. */
TEST(read_ahead_goes_on_behind_what_a_scan_used_unseen)
{
	begin();
	ask(0, 0);
	struct read_plan p = ask(1, 1);

	for (u32 i = 0; i < 8; i++) {
		u32 next = (u32)p.first + p.nr;

		EXPECT(p.nr > 0);
		p = ask(next, next);
		EXPECT(p.first == next + 1);
	}
	EXPECT(state.window >= 16);
}

/* ---- reads that are started ---- */

#define STARTED_MAX 64u

static struct page_cache cache;
static u64 size;
static struct folio *started[STARTED_MAX];
static u32 nr_started, nr_read, room;

static int store_read(struct page_cache *c, struct folio *f, struct file *file)
{
	nr_read++;
	memset(folio_address(f), (int)(f->index >> ORDER) + 1, folio_size(f));
	return 0;
}

static int store_start(struct page_cache *c, struct folio *f, struct file *file)
{
	if (nr_started == room)
		return -EAGAIN;
	EXPECT(folio_has_flag(f, FOLIO_LOCKED));
	started[nr_started++] = f;
	return 0;
}

static void finish_all(int err)
{
	for (u32 i = 0; i < nr_started; i++) {
		if (!err)
			memset(folio_address(started[i]), (int)(started[i]->index >> ORDER) + 1,
			       folio_size(started[i]));
		page_cache_read_done(started[i], err);
	}
	nr_started = 0;
}

static const struct page_cache_ops store_ops = { .read_folio = store_read,
						 .start_read = store_start,
						 .folio_order = ORDER };

static void cache_begin(u64 nr_pages)
{
	size = nr_pages << PAGE_SHIFT;
	nr_started = nr_read = 0;
	room = STARTED_MAX;
	page_cache_init(&cache, &store_ops, NULL, &size);
}

static bool is_cached(u64 unit)
{
	struct folio *f = page_cache_find(&cache, unit << ORDER);
	bool ready = f && folio_has_flag(f, FOLIO_UPTODATE);

	if (f)
		folio_put(f);
	return ready;
}

/* Whether reads are started without being waited for at this boot. */
static bool starts_reads(void)
{
	return boot_opt_enabled("read_ahead");
}

TEST(read_ahead_will_need_starts_the_range_and_no_more)
{
	if (!starts_reads())
		return;
	cache_begin(10 * UNIT_PAGES + 3);
	page_cache_will_need(&cache, NULL, UNIT_PAGES + 5, 3 * UNIT_PAGES);
	EXPECT_EQ(nr_started, 4);
	EXPECT_EQ(nr_read, 0);
	finish_all(0);
	EXPECT(!is_cached(0) && is_cached(1) && is_cached(4) && !is_cached(5));
	page_cache_will_need(&cache, NULL, 0, 1000); /* to the end of the file */
	EXPECT_EQ(nr_started, 7);
	EXPECT_EQ(folio_nr_pages(started[6]), 4); /* as large as the file has use for */
	finish_all(0);
	page_cache_fini(&cache);
	EXPECT_EQ(cache.nr_pages, 0);
}

TEST(read_ahead_without_room_reads_and_waits)
{
	cache_begin(6 * UNIT_PAGES);
	room = 0;
	page_cache_will_need(&cache, NULL, 0, 6 * UNIT_PAGES);
	EXPECT_EQ(nr_started, 0);
	EXPECT_EQ(nr_read, 6);
	EXPECT(is_cached(0) && is_cached(5));
	page_cache_fini(&cache);
	EXPECT_EQ(cache.nr_pages, 0);
}

TEST(read_ahead_that_fails_is_read_again)
{
	struct folio *f;

	if (!starts_reads())
		return;
	cache_begin(4 * UNIT_PAGES);
	page_cache_will_need(&cache, NULL, 0, 4 * UNIT_PAGES);
	EXPECT_EQ(nr_started, 4);
	finish_all(-EIO);
	EXPECT(!is_cached(0) && !is_cached(3));
	f = page_cache_get(&cache, UNIT_PAGES, NULL);
	EXPECT(!is_err(f));
	EXPECT_EQ(nr_read, 1);
	EXPECT_EQ(*(u8 *)folio_address(f), 2);
	folio_put(f);
	page_cache_fini(&cache);
	EXPECT_EQ(cache.nr_pages, 0);
}

static void will_need_some(void)
{
	cache_begin(4 * UNIT_PAGES);
	page_cache_will_need(&cache, NULL, 0, 4 * UNIT_PAGES);
	finish_all(0);
	page_cache_fini(&cache);
	EXPECT_EQ(cache.nr_pages, 0);
}

TEST(read_ahead_survives_failing_allocations)
{
	TEST_EACH_ALLOCATION_FAILING(will_need_some());
}

#ifdef NOS_HOST /* an open file that is only its pattern, and options that a test can set */

static struct read_ahead file_pattern;
static struct file *const some_file = (struct file *)&file_pattern;
static const char *option;
static bool is_switched_off;

struct read_ahead *file_read_ahead(struct file *f)
{
	return &file_pattern;
}

const char *boot_option(const char *name)
{
	return !strcmp(name, "read_ahead") ? option : NULL;
}

bool boot_opt_enabled(const char *name)
{
	return !(is_switched_off && !strcmp(name, "read_ahead"));
}

/* Requests of a file: all units of a long one at once, and those that the pattern expects. */
TEST(read_ahead_of_requests)
{
	file_pattern = (struct read_ahead){ 0 };
	cache_begin(40 * UNIT_PAGES);
	read_ahead_request(&cache, some_file, 0, 1); /* one unit: who needs it reads it */
	EXPECT_EQ(nr_started, 0);
	read_ahead_request(&cache, some_file, UNIT_PAGES, 3 * UNIT_PAGES);
	EXPECT_EQ(nr_started, 3 + 2);
	EXPECT(!folio_has_flag(started[2], FOLIO_AHEAD));
	EXPECT(folio_has_flag(started[3], FOLIO_AHEAD));
	finish_all(0);
	EXPECT(is_cached(1) && is_cached(5) && !is_cached(6));
	/* The first use of what was read ahead starts the next window, and unmarks it. */
	struct folio *f = page_cache_get(&cache, 4 * UNIT_PAGES, some_file);

	EXPECT(!is_err(f) && !folio_has_flag(f, FOLIO_AHEAD));
	folio_put(f);
	EXPECT(nr_started > 0);
	finish_all(0);
	EXPECT(is_cached(6));
	nr_started = 0;
	read_ahead_request(&cache, some_file, 40 * UNIT_PAGES, 1); /* behind the end */
	read_ahead_request(&cache, NULL, 0, 100);
	EXPECT_EQ(nr_started, 0);
	room = 1; /* what can't be started ends it */
	read_ahead_request(&cache, some_file, 20 * UNIT_PAGES, 8 * UNIT_PAGES);
	EXPECT_EQ(nr_started, 1);
	finish_all(0);
	EXPECT(is_cached(20) && !is_cached(21));
	page_cache_fini(&cache); /* some of it in vain */
	EXPECT_EQ(cache.nr_pages, 0);
}

TEST(read_ahead_policies_by_option)
{
	option = "linear";
	read_ahead_init();
	begin();
	struct read_plan p = ask(10, 12);

	EXPECT(p.first == 13 && p.stride == 1 && p.nr == 4);
	option = "nonsense"; /* said, and nothing changes */
	read_ahead_init();
	EXPECT_EQ(ask(100, 100).nr, 4);
	option = "adaptive";
	read_ahead_init();
	begin();
	EXPECT_EQ(ask(10, 12).nr, 0);
	option = NULL;
	is_switched_off = true;
	read_ahead_init();
	cache_begin(4 * UNIT_PAGES);
	read_ahead_request(&cache, some_file, 0, 4 * UNIT_PAGES);
	EXPECT_EQ(nr_started, 0);
	page_cache_will_need(&cache, some_file, 0, 4 * UNIT_PAGES); /* waits for each */
	EXPECT_EQ(nr_started, 0);
	EXPECT_EQ(nr_read, 4);
	page_cache_fini(&cache);
	is_switched_off = false;
	read_ahead_init();
}

/* A read that fails where nobody asked for it ends what was to come. */
static int store_fail(struct page_cache *c, struct folio *f, struct file *file)
{
	nr_read++;
	return -EIO;
}

TEST(read_ahead_will_need_stops_at_an_error)
{
	static const struct page_cache_ops failing = { .read_folio = store_fail,
						       .folio_order = ORDER };
	u64 none = 0;

	size = 4 * UNIT_PAGES << PAGE_SHIFT;
	nr_read = 0;
	page_cache_init(&cache, &failing, NULL, &size);
	page_cache_will_need(&cache, NULL, 0, 4 * UNIT_PAGES);
	EXPECT_EQ(nr_read, 1);
	page_cache_fini(&cache);
	page_cache_init(&cache, NULL, NULL, &none); /* a file in memory has nothing to read */
	page_cache_will_need(&cache, NULL, 0, 100);
	EXPECT_EQ(cache.nr_pages, 0);
	page_cache_fini(&cache);
}
#endif
