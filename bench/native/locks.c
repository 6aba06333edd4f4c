/*
 * Mutexes by the clock: the kernel's, pthread's adaptive one, and pure
 * spinning, under threads that do a little work with the lock and a little
 * without.  Prints name TAB column TAB value.
 *
 * Wasted time is the processor time that the threads used, less that of their
 * work: what waiting awake, sleeping and waking cost.
 */
#define _GNU_SOURCE
#include "native.h"

#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <x86intrin.h>

enum { RUN_MS = 150, MAX_THREADS = 4 };

struct kind {
	const char *name;
	void (*lock)(void);
	void (*unlock)(void);
};

static pthread_mutex_t adaptive = PTHREAD_ADAPTIVE_MUTEX_INITIALIZER_NP;
static uint32_t word;

static void adaptive_lock(void)
{
	pthread_mutex_lock(&adaptive);
}

static void adaptive_unlock(void)
{
	pthread_mutex_unlock(&adaptive);
}

static void spinning_lock(void)
{
	while (__atomic_exchange_n(&word, 1, __ATOMIC_ACQUIRE))
		while (__atomic_load_n(&word, __ATOMIC_RELAXED))
			_mm_pause();
}

static void spinning_unlock(void)
{
	__atomic_store_n(&word, 0, __ATOMIC_RELEASE);
}

static const struct kind kinds[] = {
	{ "nos", native_mutex_lock, native_mutex_unlock },
	{ "pthread", adaptive_lock, adaptive_unlock },
	{ "spinning", spinning_lock, spinning_unlock },
};

static double ns_of(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/*
 * Dependent multiplications, three cycles each.  They leave most of a core idle, and so take as long
 * whatever runs on the other half of it: an empty loop may take twice as long, and that is nobody's waste.
 */
static void do_work(unsigned cycles)
{
	unsigned long product = cycles;

	for (unsigned i = 0; i < cycles; i += 3)
		__asm__ volatile("imul %0, %0" : "+r"(product));
}

static const struct kind *kind;
static unsigned inside, outside;
static volatile bool stop;
static pthread_barrier_t barrier;

struct worker {
	unsigned number;
	uint64_t locks;
	double cpu_ns;
};

static void *worker_main(void *arg)
{
	struct worker *w = arg;

	native_thread_start(w->number);
	pthread_barrier_wait(&barrier);
	double start = ns_of(CLOCK_THREAD_CPUTIME_ID);

	while (!stop) {
		kind->lock();
		do_work(inside);
		kind->unlock();
		do_work(outside);
		w->locks++;
	}
	w->cpu_ns = ns_of(CLOCK_THREAD_CPUTIME_ID) - start;
	return NULL;
}

/* Processor time of the work of one turn, without a lock. */
static double work_ns(void)
{
	double best = 1e18;

	for (int i = 0; i < 20; i++) {
		double start = ns_of(CLOCK_THREAD_CPUTIME_ID);
		enum { TURNS = 1000 };

		for (int j = 0; j < TURNS; j++) {
			do_work(inside);
			do_work(outside);
		}
		double each = (ns_of(CLOCK_THREAD_CPUTIME_ID) - start) / TURNS;

		best = each < best ? each : best;
	}
	return best;
}

static void measure(const char *what, unsigned nr, unsigned with, unsigned without)
{
	inside = with;
	outside = without;
	double work = work_ns();

	for (size_t k = 0; k < sizeof(kinds) / sizeof(*kinds); k++) {
		struct worker workers[MAX_THREADS] = { 0 };
		pthread_t threads[MAX_THREADS];
		uint64_t locks = 0;
		double cpu = 0;

		kind = &kinds[k];
		stop = false;
		pthread_barrier_init(&barrier, NULL, nr + 1);
		for (unsigned i = 0; i < nr; i++) {
			workers[i].number = i;
			if (pthread_create(&threads[i], NULL, worker_main, &workers[i]))
				exit(1);
		}
		pthread_barrier_wait(&barrier);
		double start = ns_of(CLOCK_MONOTONIC);
		struct timespec run = { 0, RUN_MS * 1000000l };

		nanosleep(&run, NULL);
		stop = true;
		double elapsed = ns_of(CLOCK_MONOTONIC) - start;

		for (unsigned i = 0; i < nr; i++) {
			pthread_join(threads[i], NULL);
			locks += workers[i].locks;
			cpu += workers[i].cpu_ns;
		}
		printf("%s: locks per ms\t%s\t%.1f\n", what, kind->name,
		       (double)locks / elapsed * 1e6);
		double wasted = cpu / (double)locks - work;

		printf("%s: CPU ns wasted per lock\t%s\t%.1f\n", what, kind->name,
		       wasted > 0 ? wasted : 0);
	}
}

int main(void)
{
	native_start(2);
	measure("alone", 1, 0, 0);
	measure("two threads, short section", 2, 50, 200);
	measure("two threads, long section", 2, 20000, 20000);
	measure("four threads, short section", 4, 50, 200);
	measure("four threads, long section", 4, 20000, 20000);
	return 0;
}
