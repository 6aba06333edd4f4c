/*
 * An allocator by the clock: what an allocation and a free take, and what
 * memory is held after ageing.  Compiled once for each allocator:
 *
 *	-DNOS		kmalloc and page_alloc of the kernel
 *	-DMIMALLOC	libmimalloc
 *	neither		libc's malloc
 *
 * Prints a line for each row: name TAB value, times in nanoseconds.  A time is
 * that between two readings of the time-stamp counter, less that of reading it.
 */
#define _GNU_SOURCE
#include "native.h"

#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

#ifdef NOS
void *kmalloc(size_t size, unsigned flags);
void kfree(void *p);
#define take(size) kmalloc(size, 0)
#define give(p) kfree(p)
#define take_page() native_page_alloc()
#define give_page(p) native_page_free(p)
#elif defined(MIMALLOC)
void *mi_malloc(size_t size);
void mi_free(void *p);
void *mi_malloc_aligned(size_t size, size_t align);
#define take(size) mi_malloc(size)
#define give(p) mi_free(p)
#define take_page() mi_malloc_aligned(4096, 4096)
#define give_page(p) mi_free(p)
#else
#define take(size) malloc(size)
#define give(p) free(p)
#define take_page() aligned_alloc(4096, 4096)
#define give_page(p) free(p)
#endif

#ifndef NOS
void native_start(unsigned nr_threads)
{
	(void)nr_threads;
}
void native_thread_start(unsigned cpu)
{
	(void)cpu;
}
#endif

enum { SLOTS = 4096, OPERATIONS = 1000000, RING = 1024, MAX_TICKS = 1 << 16 };

static double ns_per_tick;
static uint64_t clock_cost;

/* Times of operations, as a histogram of ticks: exact up to 65,535. */
struct times {
	uint32_t count[MAX_TICKS];
	uint64_t nr;
};

static inline uint64_t start_ticks(void)
{
	_mm_lfence();
	return __rdtsc();
}

static inline uint64_t end_ticks(void)
{
	unsigned aux;
	uint64_t now = __rdtscp(&aux);

	_mm_lfence();
	return now;
}

static void note(struct times *t, uint64_t elapsed)
{
	elapsed = elapsed > clock_cost ? elapsed - clock_cost : 0;
	t->count[elapsed < MAX_TICKS ? elapsed : MAX_TICKS - 1]++;
	t->nr++;
}

static double percentile(const struct times *t, double part)
{
	uint64_t below = 0;
	unsigned at = 0;

	while (at < MAX_TICKS - 1 && (double)(below + t->count[at]) < part * (double)t->nr)
		below += t->count[at++];
	return at * ns_per_tick;
}

static void print(const char *name, const struct times *t)
{
	printf("%s: p50\t%.2f\n", name, percentile(t, 0.5));
	printf("%s: p99\t%.2f\n", name, percentile(t, 0.99));
	printf("%s: p99.9\t%.2f\n", name, percentile(t, 0.999));
}

static void clock_calibrate(void)
{
	static struct times t;
	struct timespec a, b;
	uint64_t start, end;

	clock_gettime(CLOCK_MONOTONIC, &a);
	start = __rdtsc();
	do {
		clock_gettime(CLOCK_MONOTONIC, &b);
	} while ((b.tv_sec - a.tv_sec) * 1000000000l + b.tv_nsec - a.tv_nsec < 50000000);
	end = __rdtsc();
	ns_per_tick = (double)((b.tv_sec - a.tv_sec) * 1000000000l + b.tv_nsec - a.tv_nsec) /
		      (double)(end - start);
	for (int i = 0; i < 100000; i++) {
		uint64_t from = start_ticks();

		note(&t, end_ticks() - from);
	}
	clock_cost = (uint64_t)(percentile(&t, 0.5) / ns_per_tick);
}

static uint32_t random_next(uint64_t *state)
{
	*state = *state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(*state >> 33);
}

/* 16 to 2,048 bytes, small ones more often: each power of two as likely. */
static size_t random_size(uint64_t *state)
{
	uint32_t order = random_next(state) % 7;

	return (16u << order) + random_next(state) % (16u << order);
}

struct worker {
	unsigned number;
	struct times take_times, give_times;
};

/* An object of one size is taken, written and given back at once. */
static void run_pairs(struct worker *w)
{
	for (unsigned i = 0; i < OPERATIONS; i++) {
		uint64_t start = start_ticks();
		char *p = take(64);

		note(&w->take_times, end_ticks() - start);
		*(volatile char *)p = 1;
		start = start_ticks();
		give(p);
		note(&w->give_times, end_ticks() - start);
	}
}

/* A table of objects of many sizes, of which a random one is replaced each time. */
static void run_mixed(struct worker *w)
{
	char **slots = calloc(SLOTS, sizeof(*slots));
	uint64_t state = w->number + 1;

	for (unsigned i = 0; i < OPERATIONS + SLOTS * 8; i++) {
		unsigned at = random_next(&state) % SLOTS;
		size_t size = random_size(&state);
		uint64_t start = start_ticks();

		if (slots[at])
			give(slots[at]);
		uint64_t middle = end_ticks(), again = start_ticks();

		slots[at] = take(size);
		uint64_t end = end_ticks();

		memset(slots[at], 1, 16);
		if (i >= SLOTS * 8) {
			note(&w->give_times, middle - start);
			note(&w->take_times, end - again);
		}
	}
	for (unsigned i = 0; i < SLOTS; i++)
		if (slots[i])
			give(slots[i]);
	free(slots);
}

static void run_pages(struct worker *w)
{
	static __thread void *pages[64];

	for (unsigned i = 0; i < OPERATIONS / 64 / 4; i++) {
		for (unsigned j = 0; j < 64; j++) {
			uint64_t start = start_ticks();

			pages[j] = take_page();
			note(&w->take_times, end_ticks() - start);
			*(volatile char *)pages[j] = 1;
		}
		for (unsigned j = 0; j < 64; j++) {
			uint64_t start = start_ticks();

			give_page(pages[j]);
			note(&w->give_times, end_ticks() - start);
		}
	}
}

/* One thread takes, the other gives back what it gets through a ring. */
static struct {
	void *slots[RING];
	_Alignas(64) volatile uint32_t head;
	_Alignas(64) volatile uint32_t tail;
} ring;

static void run_handed_over(struct worker *w)
{
	for (unsigned i = 0; i < OPERATIONS; i++) {
		if (w->number == 0) {
			while (ring.tail - ring.head == RING)
				sched_yield();
			uint64_t start = start_ticks();
			void *p = take(128);

			note(&w->take_times, end_ticks() - start);
			*(volatile char *)p = 1;
			ring.slots[ring.tail % RING] = p;
			__atomic_store_n(&ring.tail, ring.tail + 1, __ATOMIC_RELEASE);
		} else {
			while (__atomic_load_n(&ring.tail, __ATOMIC_ACQUIRE) == ring.head)
				sched_yield();
			void *p = ring.slots[ring.head % RING];
			uint64_t start = start_ticks();

			give(p);
			note(&w->give_times, end_ticks() - start);
			__atomic_store_n(&ring.head, ring.head + 1, __ATOMIC_RELEASE);
		}
	}
}

static void (*work)(struct worker *w);
static pthread_barrier_t barrier;

static void *worker_main(void *arg)
{
	struct worker *w = arg;

	native_thread_start(w->number);
	pthread_barrier_wait(&barrier);
	work(w);
	return NULL;
}

static void merge(struct times *to, const struct times *from)
{
	for (unsigned i = 0; i < MAX_TICKS; i++)
		to->count[i] += from->count[i];
	to->nr += from->nr;
}

static void measure(const char *what, unsigned nr, void (*function)(struct worker *w))
{
	static struct worker workers[2];
	pthread_t threads[2];
	char name[100];

	memset(workers, 0, sizeof(workers));
	work = function;
	pthread_barrier_init(&barrier, NULL, nr);
	for (unsigned i = 0; i < nr; i++) {
		workers[i].number = i;
		if (pthread_create(&threads[i], NULL, worker_main, &workers[i]))
			exit(1);
	}
	for (unsigned i = 0; i < nr; i++)
		pthread_join(threads[i], NULL);
	for (unsigned i = 1; i < nr; i++) {
		merge(&workers[0].take_times, &workers[i].take_times);
		merge(&workers[0].give_times, &workers[i].give_times);
	}
	snprintf(name, sizeof(name), "alloc %s", what);
	print(name, &workers[0].take_times);
	snprintf(name, sizeof(name), "free %s", what);
	print(name, &workers[0].give_times);
}

/* Memory that the allocator holds. */
static size_t bytes_held(void)
{
#ifdef NOS
	return native_bytes_in_use();
#else
	size_t pages = 0;
	FILE *file = fopen("/proc/self/statm", "r");

	if (!file || fscanf(file, "%*u %zu", &pages) != 1)
		exit(1);
	fclose(file);
	return pages * 4096;
#endif
}

/*
 * The ageing run: 40 rounds, each of which fills a table of objects up to 16
 * MiB, sizes drawn from a window that moves from round to round, then gives
 * back a random nine tenths.  What is left is 1.6 MiB or so of the objects that
 * nobody happened to free, spread over all that was ever used.
 */
static void age(void)
{
	enum { OBJECTS = 65536, ROUNDS = 40, LIMIT = 16 << 20 };
	static char *objects[OBJECTS];
	static size_t sizes[OBJECTS];
	uint64_t state = 1;
	size_t before = bytes_held(), live = 0, peak = 0;

	memset(objects, 0, 1);
	memset(sizes, 0, sizeof(sizes));
	before = bytes_held();
	for (unsigned round = 0; round < ROUNDS; round++) {
		size_t base = 16u << (round % 7);

		for (unsigned i = 0; i < OBJECTS && live < LIMIT; i++) {
			if (objects[i])
				continue;
			sizes[i] = base + random_next(&state) % base;
			objects[i] = take(sizes[i]);
			memset(objects[i], 1, sizes[i]);
			live += sizes[i];
		}
		if (bytes_held() - before > peak)
			peak = bytes_held() - before;
		for (unsigned i = 0; i < OBJECTS; i++) {
			if (!objects[i] || random_next(&state) % 10 == 0)
				continue;
			give(objects[i]);
			objects[i] = NULL;
			live -= sizes[i];
		}
	}
	printf("memory held after ageing, per live byte\t%.3f\n",
	       (double)(bytes_held() - before) / (double)live);
	printf("memory held at the peak of ageing, per live byte\t%.3f\n",
	       (double)peak / (double)LIMIT);
}

int main(int argc, char **argv)
{
	if (argc > 1 && !strcmp(argv[1], "age")) {
		native_start(1);
		native_thread_start(0);
		age();
		return 0;
	}
	native_start(2);
	clock_calibrate();
	measure("64 B, one thread", 1, run_pairs);
	measure("64 B, two threads", 2, run_pairs);
	measure("16-2,048 B, one thread", 1, run_mixed);
	measure("16-2,048 B, two threads", 2, run_mixed);
	measure("128 B, handed over", 2, run_handed_over);
	measure("a page, one thread", 1, run_pages);
	measure("a page, two threads", 2, run_pages);
	return 0;
}
