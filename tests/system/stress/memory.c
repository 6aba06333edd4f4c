#include "../test.h"
#include <pthread.h>

#define PAGE	4096ul
#define RW	(PROT_READ | PROT_WRITE)
#define ANON	(MAP_PRIVATE | MAP_ANONYMOUS)
#define NR	4

static void run(void *(*f)(void *))
{
	pthread_t t[NR];
	void *result;

	for (long i = 0; i < NR; i++)
		CHECK_EQ(pthread_create(&t[i], NULL, f, (void *)i), 0);
	for (int i = 0; i < NR; i++) {
		CHECK_EQ(pthread_join(t[i], &result), 0);
		CHECK_EQ((long)result, 0);
	}
}

static void *map_and_unmap(void *who)
{
	for (size_t i = 0; i < 120; i++) {
		size_t pages = 1 + i % 17;
		char *p = CHECK_OK(mmap(NULL, pages * PAGE, RW, ANON, -1, 0));

		for (size_t j = 0; j < pages; j++) {
			CHECK_EQ(p[j * PAGE], 0);
			p[j * PAGE] = (char)((long)who + 1);
		}
		if (i % 3 == 0)
			CHECK_OK(mprotect(p, PAGE, PROT_READ));
		for (size_t j = 0; j < pages; j++)
			CHECK_EQ(p[j * PAGE], (long)who + 1);
		CHECK_OK(munmap(p, pages * PAGE));
	}
	return NULL;
}

TEST_TIMED(mapping, 200)
{
	run(map_and_unmap);
}

static char *shared;

static void *fault_in(void *who TEST_UNUSED)
{
	for (size_t i = 0; i < 512; i++)
		__atomic_fetch_add((int *)(void *)(shared + i * PAGE), 1,
				   __ATOMIC_SEQ_CST);
	return NULL;
}

TEST_TIMED(faulting_the_same_pages, 200)
{
	for (int round = 0; round < 5; round++) {
		shared = CHECK_OK(mmap(NULL, 512 * PAGE, RW, ANON, -1, 0));
		run(fault_in);
		for (size_t i = 0; i < 512; i++)
			CHECK_EQ(*(int *)(void *)(shared + i * PAGE), NR);
		CHECK_OK(munmap(shared, 512 * PAGE));
	}
}

static volatile int stop;

static void *discard(void *who)
{
	if (who == 0) {
		for (int i = 0; i < 300; i++)
			CHECK_OK(madvise(shared, 16 * PAGE, MADV_DONTNEED));
		stop = 1;
		return NULL;
	}
	while (!stop)
		for (size_t i = 0; i < 16; i++) {
			char c = shared[i * PAGE];

			CHECK(c == 0 || c == 5);
			shared[i * PAGE] = 5;
		}
	return NULL;
}

TEST_TIMED(discarding_under_writers, 200)
{
	shared = CHECK_OK(mmap(NULL, 16 * PAGE, RW, ANON, -1, 0));
	run(discard);
}

#define SPAN 300ul

static void span_change(size_t i)
{
	char *part = shared + i * 37 % (SPAN - 40) * PAGE;
	pid_t pid;

	switch (i % 4) {
	case 0:
		CHECK_OK(madvise(part, 40 * PAGE, MADV_DONTNEED));
		break;
	case 1:
		CHECK_OK(mprotect(part, 40 * PAGE, RW | PROT_EXEC));
		CHECK_OK(mprotect(part, 40 * PAGE, RW));
		break;
	case 2:
		CHECK_OK(mmap(part, 40 * PAGE, RW, ANON | MAP_FIXED, -1, 0));
		break;
	default:
		CHILD(pid) {
			for (size_t j = 0; j < SPAN; j++) {
				char c = shared[j * PAGE];

				CHECK(c == 0 || c == 5);
				shared[j * PAGE] = 6;
			}
		}
		CHECK_EXIT(pid, 0);
	}
}

static void *touch_upward(void *who)
{
	if (who == 0) {
		for (size_t i = 0; i < 160; i++)
			span_change(i);
		stop = 1;
		return NULL;
	}
	while (!stop)
		for (size_t i = 0; i < SPAN; i++) {
			char c = shared[i * PAGE], end = shared[i * PAGE + PAGE - 1];

			CHECK(c == 0 || c == 5);
			CHECK_EQ(end, 0);
			shared[i * PAGE] = 5;
		}
	return NULL;
}

/* Several write the same memory upward while its mappings and pages change. */
TEST_TIMED(touching_upward_under_changes, 200)
{
	shared = CHECK_OK(mmap(NULL, SPAN * PAGE, RW, ANON, -1, 0));
	run(touch_upward);
}

static void *count_private(void *who TEST_UNUSED)
{
	int *p = (void *)shared;

	while (!stop)
		__atomic_fetch_add(p, 1, __ATOMIC_SEQ_CST);
	return NULL;
}

/* Forks while threads write: each child's copy stands still. */
TEST_TIMED(forking_under_writers, 200)
{
	pthread_t t[2];
	pid_t pid;

	shared = CHECK_OK(mmap(NULL, PAGE, RW, ANON, -1, 0));
	for (int i = 0; i < 2; i++)
		CHECK_EQ(pthread_create(&t[i], NULL, count_private, NULL), 0);
	for (int i = 0; i < 40; i++) {
		CHILD(pid) {
			int before = *(volatile int *)(void *)shared;

			for (volatile int j = 0; j < 1000; j++)
				continue;
			CHECK_EQ(*(volatile int *)(void *)shared, before);
		}
		CHECK_EXIT(pid, 0);
	}
	stop = 1;
	for (int i = 0; i < 2; i++)
		CHECK_EQ(pthread_join(t[i], NULL), 0);
}

static int file;

static void *shared_file(void *who)
{
	long at = (long)who;
	volatile unsigned char *p = CHECK_OK(mmap(NULL, 4 * PAGE, RW,
						  MAP_SHARED, file, 0));
	unsigned char c;

	for (int i = 0; i < 300; i++) {
		p[(size_t)at * PAGE] = (unsigned char)i;
		CHECK_EQ(pread(file, &c, 1, at * 4096), 1);
		CHECK_EQ(c, (unsigned char)i);
		c = (unsigned char)(i + 7);
		CHECK_EQ(pwrite(file, &c, 1, at * 4096), 1);
		CHECK_EQ(p[(size_t)at * PAGE], c);
	}
	return NULL;
}

TEST_TIMED(a_shared_file, 200)
{
	file = CHECK_OK(open("f", O_CREAT | O_RDWR, 0666));
	CHECK_OK(ftruncate(file, 4 * PAGE));
	run(shared_file);
}
