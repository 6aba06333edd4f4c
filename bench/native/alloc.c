/*
 * An allocator by the clock: what an allocation and a free take, and what
 * memory is held after ageing.  Compiled once for each allocator:
 *
 *	-DNOS		kmalloc, a cache of objects, and page_alloc of the kernel
 *	-DMIMALLOC	libmimalloc
 *	neither		libc's malloc
 *
 * Prints a line for each row: name TAB value, times in nanoseconds.
 *
 * A pattern is timed as a whole, some ten thousand operations at a time, for the
 * time-stamp counter of a virtual machine may tick in steps of 10 ns; a run
 * that another program disturbed is one of many: the best run and the median are
 * printed.  With two threads, each on a processor of its own, they start together
 * and the later one counts.  All allocators are called through a pointer, as a
 * library is, so that none is compiled into the loop.  Tails are those of single
 * operations, by the counter, less the time of reading it.
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
static void *take_sized(size_t size)
{
	return kmalloc(size, 0);
}
static void *take_page_of(size_t size)
{
	(void)size;
	return native_page_alloc();
}
static void *take_kind_of(size_t size)
{
	(void)size;
	return native_object_alloc();
}
#define GIVE_SIZED kfree
#define GIVE_PAGE native_page_free
#define GIVE_KIND native_object_free
#else
#ifdef MIMALLOC
void *mi_malloc(size_t size);
void mi_free(void *p);
void *mi_malloc_aligned(size_t size, size_t align);
#define take_sized mi_malloc
#define GIVE_SIZED mi_free
static void *take_page_of(size_t size)
{
	return mi_malloc_aligned(size, size);
}
#else
#define take_sized malloc
#define GIVE_SIZED free
static void *take_page_of(size_t size)
{
	return aligned_alloc(size, size);
}
#endif
#define take_kind_of take_sized
#define GIVE_KIND GIVE_SIZED
#define GIVE_PAGE GIVE_SIZED
void native_objects_start(void)
{
}
void native_start(unsigned nr_threads)
{
	(void)nr_threads;
}
void native_thread_start(unsigned cpu)
{
	(void)cpu;
}
#endif

struct allocator {
	void *(*take)(size_t size);
	void (*give)(void *p);
};
static volatile struct allocator sized = { take_sized, GIVE_SIZED },
				 pages = { take_page_of, GIVE_PAGE },
				 kind = { take_kind_of, GIVE_KIND };

enum {
	SLOTS = 4096,
	BATCH = 64,
	STEPS = 16384, /* of the mixed patterns, prepared */
	RING = 16, /* batches on their way from thread to thread */
	OPERATIONS = 20000, /* in a run */
	RUNS = 100,
	SINGLE = 300000, /* operations timed one by one */
	MAX_TICKS = 1 << 16,
};

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
static size_t size_of_all(uint64_t *state)
{
	uint32_t order = random_next(state) % 7;

	return (16u << order) + random_next(state) % (16u << order);
}

/*
 * What NOS's caches and kmalloc were asked for, in thousandths, by a shell that
 * compiled, searched folders, ran pipelines of three and a Python: 32,027 objects.
 */
static size_t size_as_recorded(uint64_t *state)
{
	static const struct {
		uint16_t size, share;
	} recorded[] = {
		{ 128, 478 }, { 4096, 148 }, { 160, 141 }, { 200, 38 }, { 512, 24 }, { 16, 18 },
		{ 48, 18 },   { 400, 17 },   { 1024, 17 }, { 776, 13 }, { 32, 12 },  { 360, 9 },
		{ 576, 8 },   { 856, 8 },    { 872, 8 },   { 896, 8 },  { 2096, 8 }, { 8192, 8 },
		{ 8, 6 },     { 64, 5 },     { 496, 5 },   { 2048, 5 }, { 96, 1 },   { 248, 1 },
	};
	uint32_t at = random_next(state) % 1000;

	for (size_t i = 0; i < sizeof(recorded) / sizeof(*recorded); i++) {
		if (at < recorded[i].share)
			return recorded[i].size;
		at -= recorded[i].share;
	}
	return recorded[0].size;
}

struct worker {
	unsigned number;
	struct allocator with;
	size_t (*size)(uint64_t *state); /* NULL: 64 bytes */
	void **slots;
	struct {
		uint16_t slot, size;
	} * steps;
	uint32_t step;
	double ns[RUNS]; /* of one operation */
	struct times take_times, give_times;
};

/* An object is taken, written and given back at once. */
static void run_pairs(struct worker *w)
{
	for (unsigned i = 0; i < OPERATIONS; i++) {
		char *p = w->with.take(64);

		*(volatile char *)p = 1;
		w->with.give(p);
	}
}

/* Many are taken and written, then given back in the same order. */
static void run_batches(struct worker *w)
{
	for (unsigned i = 0; i < OPERATIONS / BATCH; i++) {
		for (unsigned j = 0; j < BATCH; j++) {
			w->slots[j] = w->with.take(64);
			*(volatile char *)w->slots[j] = 1;
		}
		for (unsigned j = 0; j < BATCH; j++)
			w->with.give(w->slots[j]);
	}
}

static void run_page_batches(struct worker *w)
{
	for (unsigned i = 0; i < OPERATIONS / BATCH; i++) {
		for (unsigned j = 0; j < BATCH; j++)
			w->slots[j] = w->with.take(4096);
		for (unsigned j = 0; j < BATCH; j++)
			w->with.give(w->slots[j]);
	}
}

/* A table of objects of many sizes, of which a random one is replaced each time. */
static void run_mixed(struct worker *w)
{
	for (unsigned i = 0; i < OPERATIONS; i++) {
		uint32_t step = w->step++ % STEPS, at = w->steps[step].slot;

		w->with.give(w->slots[at]);
		w->slots[at] = w->with.take(w->steps[step].size);
		*(volatile char *)w->slots[at] = 1;
	}
}

/* The first thread takes, the other gives back what it gets, in batches. */
static struct {
	void *slots[RING][BATCH];
	_Alignas(64) uint32_t head;
	_Alignas(64) uint32_t tail;
} ring;

static void wait_while(const uint32_t *word, uint32_t value)
{
	for (unsigned i = 0; __atomic_load_n(word, __ATOMIC_ACQUIRE) == value; i++) {
		if (i > 10000)
			sched_yield();
		_mm_pause();
	}
}

static void run_handed_over(struct worker *w)
{
	for (unsigned i = 0; i < OPERATIONS / BATCH; i++) {
		void **batch;

		if (w->number == 0) {
			wait_while(&ring.head, ring.tail - RING);
			batch = ring.slots[ring.tail % RING];
			for (unsigned j = 0; j < BATCH; j++) {
				batch[j] = w->with.take(128);
				*(volatile char *)batch[j] = 1;
			}
			__atomic_store_n(&ring.tail, ring.tail + 1, __ATOMIC_RELEASE);
		} else {
			wait_while(&ring.tail, ring.head);
			batch = ring.slots[ring.head % RING];
			for (unsigned j = 0; j < BATCH; j++)
				w->with.give(batch[j]);
			__atomic_store_n(&ring.head, ring.head + 1, __ATOMIC_RELEASE);
		}
	}
}

/* The mixed pattern, each operation by itself, for the tails. */
static void time_singly(struct worker *w)
{
	for (unsigned i = 0; i < SINGLE; i++) {
		uint32_t step = w->step++ % STEPS, at = w->steps[step].slot;
		uint64_t start = start_ticks();

		w->with.give(w->slots[at]);
		note(&w->give_times, end_ticks() - start);
		start = start_ticks();
		w->slots[at] = w->with.take(w->steps[step].size);
		note(&w->take_times, end_ticks() - start);
		*(volatile char *)w->slots[at] = 1;
	}
}

static void (*work)(struct worker *w);
static unsigned nr_workers, nr_ready;

/* All threads awake and at the start line. */
static void start_together(unsigned run)
{
	__atomic_add_fetch(&nr_ready, 1, __ATOMIC_ACQ_REL);
	while (__atomic_load_n(&nr_ready, __ATOMIC_ACQUIRE) < (run + 1) * nr_workers)
		_mm_pause();
}

static void table_fill(struct worker *w)
{
	uint64_t state = w->number + 1;

	w->slots = calloc(SLOTS, sizeof(*w->slots));
	w->steps = calloc(STEPS, sizeof(*w->steps));
	if (!w->slots || !w->steps)
		exit(1);
	if (!w->size)
		return;
	for (unsigned i = 0; i < STEPS; i++) {
		w->steps[i].slot = random_next(&state) % SLOTS;
		w->steps[i].size = w->size(&state);
	}
	for (unsigned i = 0; i < SLOTS; i++)
		w->slots[i] = w->with.take(w->size(&state));
}

static void table_empty(struct worker *w)
{
	for (unsigned i = 0; w->size && i < SLOTS; i++)
		w->with.give(w->slots[i]);
	free(w->slots);
	free(w->steps);
}

static void *worker_main(void *arg)
{
	struct worker *w = arg;
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(w->number, &set);
	pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
	native_thread_start(w->number);
	table_fill(w);
	for (unsigned run = 0; run < RUNS && work != time_singly; run++) {
		start_together(run);
		uint64_t start = start_ticks();

		work(w);
		w->ns[run] = (double)(end_ticks() - start) * ns_per_tick / OPERATIONS;
	}
	if (work == time_singly) {
		start_together(0);
		work(w);
	}
	table_empty(w);
	return NULL;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static struct worker workers[2];

static void run_workers(unsigned nr, volatile struct allocator *with,
			size_t (*size)(uint64_t *state), void (*function)(struct worker *w))
{
	pthread_t threads[2];

	memset(workers, 0, sizeof(workers));
	work = function;
	nr_workers = nr;
	nr_ready = 0;
	for (unsigned i = 0; i < nr; i++) {
		workers[i].number = i;
		workers[i].size = size;
		workers[i].with.take = with->take;
		workers[i].with.give = with->give;
		if (pthread_create(&threads[i], NULL, worker_main, &workers[i]))
			exit(1);
	}
	for (unsigned i = 0; i < nr; i++)
		pthread_join(threads[i], NULL);
}

static void measure(const char *what, unsigned nr, volatile struct allocator *with,
		    size_t (*size)(uint64_t *state), void (*function)(struct worker *w))
{
	double *ns = workers[0].ns;

	run_workers(nr, with, size, function);
	for (unsigned i = 0; i < RUNS; i++)
		if (nr > 1 && workers[1].ns[i] > ns[i])
			ns[i] = workers[1].ns[i];
	qsort(ns, RUNS, sizeof(*ns), compare);
	printf("%s: best\t%.2f\n", what, ns[0]);
	printf("%s: median\t%.2f\n", what, ns[RUNS / 2]);
}

static void measure_tails(const char *what, unsigned nr, size_t (*size)(uint64_t *state))
{
	run_workers(nr, &sized, size, time_singly);
	for (unsigned i = 0; i < MAX_TICKS && nr > 1; i++) {
		workers[0].take_times.count[i] += workers[1].take_times.count[i];
		workers[0].give_times.count[i] += workers[1].give_times.count[i];
	}
	workers[0].take_times.nr *= nr;
	workers[0].give_times.nr *= nr;
	printf("%s: alloc p99\t%.1f\n", what, percentile(&workers[0].take_times, 0.99));
	printf("%s: alloc p99.9\t%.1f\n", what, percentile(&workers[0].take_times, 0.999));
	printf("%s: free p99\t%.1f\n", what, percentile(&workers[0].give_times, 0.99));
	printf("%s: free p99.9\t%.1f\n", what, percentile(&workers[0].give_times, 0.999));
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
			objects[i] = sized.take(sizes[i]);
			memset(objects[i], 1, sizes[i]);
			live += sizes[i];
		}
		if (bytes_held() - before > peak)
			peak = bytes_held() - before;
		for (unsigned i = 0; i < OBJECTS; i++) {
			if (!objects[i] || random_next(&state) % 10 == 0)
				continue;
			sized.give(objects[i]);
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
	native_objects_start();
	clock_calibrate();
	for (unsigned nr = 1; nr <= 2; nr++) {
		const char *threads = nr == 1 ? "one thread" : "two threads";
		char name[64];

#define ROW(text, ...)                                                                             \
	(snprintf(name, sizeof(name), "%s, %s", text, threads), measure(name, nr, __VA_ARGS__))
		ROW("64 B, pairs", &sized, NULL, run_pairs);
		ROW("64 B of one kind, pairs", &kind, NULL, run_pairs);
		ROW("64 B, batches of 64", &sized, NULL, run_batches);
		ROW("64 B of one kind, batches of 64", &kind, NULL, run_batches);
		ROW("recorded sizes", &sized, size_as_recorded, run_mixed);
		ROW("16-2,048 B", &sized, size_of_all, run_mixed);
#if defined(NOS) || defined(MIMALLOC) /* libc gives pages back to the system at once */
		ROW("pages, batches of 64", &pages, NULL, run_page_batches);
#endif
#undef ROW
	}
	measure("128 B, handed over", 2, &sized, NULL, run_handed_over);
	measure_tails("recorded sizes, one thread", 1, size_as_recorded);
	measure_tails("recorded sizes, two threads", 2, size_as_recorded);
	return 0;
}
