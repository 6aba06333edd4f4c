/* What fork(2) promises of private memory: each side sees its own, whatever both do at once. */
#include "../test.h"
#include <pthread.h>
#include <stdatomic.h>

#define PAGE	4096ul
#define RW	(PROT_READ | PROT_WRITE)
#define ANON	(MAP_PRIVATE | MAP_ANONYMOUS)
#define NR	2048ul	/* pages: four leaf tables, more or less */

static unsigned long *word(char *p, size_t page)
{
	return (unsigned long *)(p + page * PAGE);
}

static char *map_filled(size_t pages, unsigned long start)
{
	char *p = CHECK_OK(mmap(NULL, pages * PAGE, RW, ANON, -1, 0));

	for (size_t i = 0; i < pages; i++)
		*word(p, i) = start + i;
	return p;
}

static void check_filled(char *p, size_t first, size_t end, unsigned long start)
{
	for (size_t i = first; i < end; i++)
		CHECK_EQ(*word(p, i), start + i);
}

static void wait_child(pid_t child)
{
	int status;

	CHECK_EQ(waitpid(child, &status, 0), child);
	CHECK_EQ(status, 0);
}

/* kB of a field of /proc/self/status or smaps_rollup. */
static long figure(const char *path, const char *field)
{
	char line[256];
	long kb = -1;
	FILE *f = fopen(path, "r");

	CHECK(f);
	while (fgets(line, sizeof(line), f))
		if (!strncmp(line, field, strlen(field)))
			sscanf(line + strlen(field), "%ld", &kb);
	fclose(f);
	return kb;
}

TEST(both_write)
{
	char *p = map_filled(NR, 1);
	pid_t child = CHECK_OK(fork());

	if (!child) {
		check_filled(p, 0, NR, 1);
		for (size_t i = 0; i < NR; i += 3)
			*word(p, i) = 100000 + i;
		for (size_t i = 0; i < NR; i++)
			CHECK_EQ(*word(p, i), (i % 3 ? 1 : 100000) + i);
		_exit(0);
	}
	for (size_t i = 0; i < NR; i += 2)
		*word(p, i) = 200000 + i;
	for (size_t i = 0; i < NR; i++)
		CHECK_EQ(*word(p, i), (i % 2 ? 1 : 200000) + i);
	wait_child(child);
	for (size_t i = 0; i < NR; i++)
		CHECK_EQ(*word(p, i), (i % 2 ? 1 : 200000) + i);
}

TEST(generations)
{
	char *p = map_filled(NR, 7);

	for (int depth = 0; depth < 6; depth++) {
		pid_t child = CHECK_OK(fork());

		if (child) {
			check_filled(p, 1000, NR, 7);
			wait_child(child);
			check_filled(p, 1000, NR, 7);
			if (depth)
				_exit(0);
			return;
		}
		*word(p, (size_t)depth) = 1;
		for (int i = 0; i <= depth; i++)
			CHECK_EQ(*word(p, (size_t)i), 1);
		check_filled(p, (size_t)depth + 1, NR, 7);
	}
	_exit(0);
}

/* The kernel writes too. */
TEST(system_calls_write)
{
	char *p = map_filled(NR, 3);
	int fds[2];

	CHECK_OK(pipe(fds));
	pid_t child = CHECK_OK(fork());

	if (!child) {
		CHECK_EQ(write(fds[1], "abcdefgh", 8), 8);
		CHECK_EQ(read(fds[0], p + 600 * PAGE, 8), 8);
		CHECK(!memcmp(p + 600 * PAGE, "abcdefgh", 8));
		check_filled(p, 601, NR, 3);
		_exit(0);
	}
	wait_child(child);
	check_filled(p, 0, NR, 3);
}

TEST(unmap_parts)
{
	char *p = map_filled(NR, 5);
	pid_t child = CHECK_OK(fork());

	if (!child) {
		CHECK_OK(munmap(p + 100 * PAGE, 700 * PAGE));
		check_filled(p, 0, 100, 5);
		check_filled(p, 800, NR, 5);
		char *q = CHECK_OK(mmap(p + 200 * PAGE, PAGE, RW, ANON | MAP_FIXED, -1, 0));

		CHECK_EQ(*q, 0);
		*q = 1;
		CHECK_OK(munmap(p, NR * PAGE));
		_exit(0);
	}
	wait_child(child);
	check_filled(p, 0, NR, 5);
	child = CHECK_OK(fork());
	if (!child) {
		usleep(20000);
		check_filled(p, 0, NR, 5);
		_exit(0);
	}
	CHECK_OK(munmap(p, NR * PAGE));
	wait_child(child);
}

TEST(protect_parts)
{
	char *p = map_filled(NR, 9);
	pid_t child;

	CHECK_OK(mprotect(p + 300 * PAGE, 10 * PAGE, PROT_NONE));
	child = CHECK_OK(fork());
	if (!child) {
		CHECK_OK(mprotect(p, NR * PAGE, PROT_READ));
		check_filled(p, 0, NR, 9);
		CHECK_OK(mprotect(p + PAGE, 1000 * PAGE, RW));
		for (size_t i = 1; i < 1001; i++)
			*word(p, i) = 1;
		check_filled(p, 1001, NR, 9);
		_exit(0);
	}
	for (size_t i = 0; i < 300; i++)
		*word(p, i) = 9 + i;
	wait_child(child);
	CHECK_OK(mprotect(p, NR * PAGE, RW));
	check_filled(p, 0, NR, 9);
}

TEST(move_parts)
{
	char *p = map_filled(NR, 2);
	pid_t child = CHECK_OK(fork());

	if (!child) {
		char *q = CHECK_OK(mmap(NULL, 1500 * PAGE, PROT_NONE, ANON, -1, 0));

		CHECK(mremap(p + 100 * PAGE, 1400 * PAGE, 1400 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
			     q + 33 * PAGE) == q + 33 * PAGE);
		for (size_t i = 0; i < 1400; i++)
			CHECK_EQ(*word(q, 33 + i), 102 + i);
		*word(q, 40) = 0;
		check_filled(p, 0, 100, 2);
		check_filled(p, 1500, NR, 2);
		_exit(0);
	}
	wait_child(child);
	check_filled(p, 0, NR, 2);
}

TEST(drop_parts)
{
	char *p = map_filled(NR, 4);
	pid_t child = CHECK_OK(fork());

	if (!child) {
		CHECK_OK(madvise(p + 10 * PAGE, 1500 * PAGE, MADV_DONTNEED));
		CHECK_EQ(*word(p, 700), 0);
		*word(p, 700) = 1;
		check_filled(p, 0, 10, 4);
		check_filled(p, 1510, NR, 4);
		_exit(0);
	}
	wait_child(child);
	check_filled(p, 0, NR, 4);
}

TEST(figures_after_fork)
{
	char *p = map_filled(NR, 1);
	long rss = figure("/proc/self/status", "RssAnon:");
	pid_t child = CHECK_OK(fork());

	if (!child) {
		long mine = figure("/proc/self/status", "RssAnon:");

		CHECK(mine >= (long)(NR * 4) && mine <= rss + 256);
		CHECK(figure("/proc/self/smaps_rollup", "Shared_Dirty:") >= (long)(NR * 4));
		long pss = figure("/proc/self/smaps_rollup", "Pss_Anon:");

		CHECK(pss == -1 || pss <= (long)(NR * 2 + 512));
		for (size_t i = 0; i < NR; i++)
			*word(p, i) = i;
		CHECK(figure("/proc/self/smaps_rollup", "Private_Dirty:") >= (long)(NR * 4));
		mine = figure("/proc/self/status", "RssAnon:");
		CHECK(mine >= (long)(NR * 4) && mine <= rss + 256);
		CHECK_OK(munmap(p, NR * PAGE));
		mine = figure("/proc/self/status", "RssAnon:");
		CHECK(mine <= rss - (long)(NR * 4) + 256);
		_exit(0);
	}
	wait_child(child);
	CHECK(labs(figure("/proc/self/status", "RssAnon:") - rss) <= 256);
	CHECK(figure("/proc/self/smaps_rollup", "Private_Dirty:") >= (long)(NR * 4));
}

/* ---- threads write while the process forks ---- */

#define WRITERS	4

static char *area;
static atomic_bool stop;

/* Each thread owns every WRITERS-th page and counts in it: what it reads back must be its own. */
static void *count_up(void *arg)
{
	size_t me = (size_t)arg;
	unsigned long n = 0;

	while (!atomic_load(&stop)) {
		n++;
		for (size_t i = me; i < NR; i += WRITERS)
			*word(area, i) = n;
		for (size_t i = me; i < NR; i += WRITERS)
			CHECK_EQ(*word(area, i), n);
	}
	return NULL;
}

/* In the child nothing moves: two looks are the same, and no page is ahead of a later one by more than 1. */
static void check_snapshot(void)
{
	static unsigned long seen[NR];

	for (size_t i = 0; i < NR; i++)
		seen[i] = *word(area, i);
	for (size_t i = 0; i < NR; i += 5)
		*word(area, i) = ~0ul;
	for (size_t i = WRITERS; i < NR; i++)
		CHECK(seen[i] <= seen[i % WRITERS] + 1 && seen[i] + 1 >= seen[i % WRITERS]);
	for (int again = 0; again < 3; again++) {
		for (size_t i = 0; i < NR; i++)
			CHECK_EQ(*word(area, i), i % 5 ? seen[i] : ~0ul);
		sched_yield();
	}
}

TEST_TIMED(threads_write_during_fork, 120)
{
	pthread_t threads[WRITERS];

	area = CHECK_OK(mmap(NULL, NR * PAGE, RW, ANON, -1, 0));
	memset(area, 0, NR * PAGE);
	for (size_t i = 0; i < WRITERS; i++)
		CHECK_EQ(pthread_create(&threads[i], NULL, count_up, (void *)i), 0);
	for (int round = 0; round < 12; round++) {
		pid_t child = CHECK_OK(fork());

		if (!child) {
			pid_t grandchild = round % 3 ? -1 : CHECK_OK(fork());

			check_snapshot();
			if (grandchild > 0)
				wait_child(grandchild);
			_exit(0);
		}
		if (round % 2)
			wait_child(child);
	}
	while (wait(NULL) > 0)
		;
	atomic_store(&stop, true);
	for (size_t i = 0; i < WRITERS; i++)
		CHECK_EQ(pthread_join(threads[i], NULL), 0);
}

/* The threads have a word each in the same pages: a copy of a page that one takes holds what the others stored. */
static void *count_together(void *arg)
{
	size_t me = (size_t)arg;
	unsigned long n = 0;

	while (!atomic_load(&stop)) {
		n++;
		for (size_t i = 0; i < NR; i++) {
			volatile unsigned long *mine = word(area, i) + me;

			CHECK_EQ(*mine, n - 1);
			*mine = n;
		}
	}
	return NULL;
}

TEST_TIMED(threads_store_in_one_page_during_fork, 60)
{
	pthread_t threads[3];

	area = CHECK_OK(mmap(NULL, NR * PAGE, RW, ANON, -1, 0));
	memset(area, 0, NR * PAGE);
	for (size_t i = 0; i < 3; i++)
		CHECK_EQ(pthread_create(&threads[i], NULL, count_together, (void *)i), 0);
	for (int round = 0; round < 60; round++) {
		pid_t child = CHECK_OK(fork());

		if (!child)
			_exit(0);
		wait_child(child);
	}
	atomic_store(&stop, true);
	for (size_t i = 0; i < 3; i++)
		CHECK_EQ(pthread_join(threads[i], NULL), 0);
}

static void *map_beside(void *arg)
{
	char *p = arg;

	while (!atomic_load(&stop)) {
		CHECK_OK(madvise(p, 600 * PAGE, MADV_DONTNEED));
		for (size_t i = 0; i < 600; i++) {
			CHECK_EQ(*word(p, i), 0);
			*word(p, i) = i;
		}
		CHECK_OK(mprotect(p, 300 * PAGE, PROT_READ));
		CHECK_OK(mprotect(p, 300 * PAGE, RW));
		CHECK_OK(munmap(p + 100 * PAGE, 100 * PAGE));
		CHECK_OK(mmap(p + 100 * PAGE, 100 * PAGE, RW, ANON | MAP_FIXED, -1, 0));
		CHECK_EQ(*word(p, 99), 99);
		CHECK_EQ(*word(p, 150), 0);
	}
	return NULL;
}

TEST_TIMED(threads_map_during_fork, 120)
{
	pthread_t threads[2];

	area = CHECK_OK(mmap(NULL, NR * PAGE, RW, ANON, -1, 0));
	memset(area, 0, NR * PAGE);
	CHECK_EQ(pthread_create(&threads[0], NULL, count_up, (void *)3), 0);
	char *beside = CHECK_OK(mmap(NULL, 600 * PAGE, RW, ANON, -1, 0));

	CHECK_EQ(pthread_create(&threads[1], NULL, map_beside, beside), 0);
	for (int round = 0; round < 12; round++) {
		pid_t child = CHECK_OK(fork());

		if (!child) {
			for (size_t i = 3 + WRITERS; i < NR; i += WRITERS)
				CHECK(*word(area, i) <= *word(area, 3) + 1);
			if (round % 2)
				CHECK_OK(munmap(area, NR * PAGE));
			_exit(0);
		}
		wait_child(child);
	}
	atomic_store(&stop, true);
	for (size_t i = 0; i < 2; i++)
		CHECK_EQ(pthread_join(threads[i], NULL), 0);
}
