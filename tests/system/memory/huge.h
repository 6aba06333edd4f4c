/* What the tests of memory by 2 MiB share: blocks whose every page has a number, figures, threads. */
#include "../test.h"
#include <pthread.h>

#define PAGE	4096ul
#define BLOCK	(512 * PAGE)
#define RW	(PROT_READ | PROT_WRITE)
#define THREADS	4
#define ROUNDS	40

/* Where nr blocks fit, at a multiple of 2 MiB, with nothing mapped around them. */
static char *blocks_place(size_t nr)
{
	char *p = CHECK_OK(mmap(NULL, (nr + 2) * BLOCK, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
				0));

	CHECK_OK(munmap(p, (nr + 2) * BLOCK));
	return (char *)(((uintptr_t)p + BLOCK) & ~(BLOCK - 1));
}

static size_t *word(char *p, size_t page)
{
	return (size_t *)(void *)(p + page * PAGE + page % 500 * 8);
}

static void number(char *p, size_t from, size_t to, size_t plus)
{
	for (size_t i = from; i < to; i++)
		*word(p, i) = i + plus;
}

static void check_numbers(char *p, size_t from, size_t to, size_t plus)
{
	for (size_t i = from; i < to; i++)
		CHECK_EQ(*word(p, i), i + plus);
}

static void check_zero(char *p, size_t from, size_t to)
{
	for (const char *at = p + from * PAGE; at < p + to * PAGE; at += 8)
		CHECK_EQ(*(const volatile size_t *)(const void *)at, 0);
}

/* The number behind a name in a file of figures. */
static size_t figure(const char *path, const char *line)
{
	FILE *f = CHECK_OK(fopen(path, "r"));
	char text[256], found[64];
	size_t value = 0, v;

	while (fgets(text, sizeof(text), f))
		if (sscanf(text, "%63s %zu", found, &v) == 2 && !strcmp(found, line))
			value = v;
	fclose(f);
	return value;
}

/* Kilobytes that a line of smaps gives for the mapping of p. */
static size_t smaps_kb(const char *p, const char *line)
{
	FILE *f = CHECK_OK(fopen("/proc/self/smaps", "r"));
	size_t kb = 0, len = strlen(line);
	bool inside = false;
	char text[512];

	while (fgets(text, sizeof(text), f)) {
		unsigned long start, end;

		if (sscanf(text, "%lx-%lx ", &start, &end) == 2)
			inside = start <= (uintptr_t)p && (uintptr_t)p < end;
		else if (inside && !strncmp(text, line, len))
			kb = strtoul(text + len, NULL, 10);
	}
	fclose(f);
	return kb;
}

static pthread_barrier_t barrier; /* of all threads */
static char *common; /* what they share */

static void threads_run(void *(*fn)(void *))
{
	pthread_t threads[THREADS];

	CHECK_EQ(pthread_barrier_init(&barrier, NULL, THREADS), 0);
	for (size_t i = 0; i < THREADS; i++)
		CHECK_EQ(pthread_create(&threads[i], NULL, fn, (void *)i), 0);
	for (size_t i = 0; i < THREADS; i++)
		CHECK_EQ(pthread_join(threads[i], NULL), 0);
}
