/*
 * Micro-benchmarks: what an operation costs, in ticks of rdtsc.  Under
 * `-icount shift=0` a tick is one guest instruction, on any kernel.
 *
 *	BENCH("getpid", 1000, 1)
 *	{
 *		for (unsigned i = 0; i < n; i++)
 *			raw_syscall(__NR_getpid, 0, 0, 0);
 *	}
 *
 * The body does the operation n times; it is run in batches, and the median
 * batch counts, less an empty loop.  What has to be prepared is done before
 * bench_start(), what has to be cleaned up after bench_stop(); without them
 * the whole body is timed.
 */
#ifndef BENCH_H
#define BENCH_H

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

struct bench {
	const char *name;
	unsigned n; /* operations in a batch */
	unsigned batches;
	void (*run)(unsigned n);
};

#define BENCH(title, n, batches) BENCH_(title, n, batches, __COUNTER__)
#define BENCH_(title, n, batches, id) BENCH__(title, n, batches, id)
#define BENCH__(title, nr, nr_batches, id)                                                         \
	static void bench_run_##id(unsigned n);                                                    \
	static const struct bench bench_##id                                                       \
		__attribute__((section("benches"), used, aligned(8))) = { title, nr, nr_batches,   \
									  bench_run_##id };        \
	static void bench_run_##id(unsigned n)

static inline uint64_t ticks(void)
{
	return __builtin_ia32_rdtsc();
}

static inline long raw_syscall(long nr, long a, long b, long c)
{
	long ret;

	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "a"(nr), "D"(a), "S"(b), "d"(c)
			 : "rcx", "r11", "memory");
	return ret;
}

static inline long raw_syscall4(long nr, long a, long b, long c, long d)
{
	long ret;
	register long r10 __asm__("r10") = d;

	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10)
			 : "rcx", "r11", "memory");
	return ret;
}

void bench_start(void);
void bench_stop(void);
/* What another process measured for this batch. */
void bench_elapsed(uint64_t elapsed);
/* Operations that the batch turned out to do, if not n. */
void bench_count(uint64_t operations);
/* Gives the row up: prints why, with errno. */
void bench_skip(const char *what);

#define NEED(call)                                                                                 \
	do {                                                                                       \
		if ((call) < 0)                                                                    \
			bench_skip(#call);                                                         \
	} while (0)

#endif
