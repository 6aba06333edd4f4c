/*
 * Micro-benchmarks: what an operation costs, in ticks of rdtsc.  Under
 * `-icount shift=0` a tick is one guest instruction, on any kernel.  Adding an
 * operation is one entry, in the file of its suite:
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
 * the whole body is timed.  With 0 batches it is run once, without warming up.
 *
 * A file defines SUITE, the name of its suite, before it includes this.
 */
#ifndef BENCH_H
#define BENCH_H

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

struct bench {
	const char *name, *suite;
	unsigned n; /* operations in a batch */
	unsigned batches;
	void (*run)(unsigned n);
};

#define BENCH(title, n, batches) BENCH_(title, n, batches, __COUNTER__)
#define BENCH_(title, n, batches, id) BENCH__(title, n, batches, id)
#define BENCH__(title, nr, nr_batches, id)                                                         \
	static void bench_run_##id(unsigned n);                                                    \
	static const struct bench bench_##id                                                       \
		__attribute__((section("benches"), used,                                           \
			       aligned(8))) = { title, SUITE, nr, nr_batches, bench_run_##id };    \
	static void bench_run_##id(unsigned n)

static inline uint64_t ticks(void)
{
	return __builtin_ia32_rdtsc();
}

/*
 * A no-op that QEMU's plugins see (tools/plugin/common.h): where counting
 * starts and stops, one for each operation of a batch, and what becomes of it.
 */
enum {
	MARK_START = 1,
	MARK_STOP,
	MARK_OPERATION,
	MARK_COMMIT, /* the batch counts */
	MARK_WARM, /* what ran so far only warmed up */
	MARK_EMPTY, /* the batch was the empty loop */
	MARK_NEXT, /* a benchmark ends */
};
#define MARK(kind) __asm__ volatile("nopl %c0(%%rax)" : : "i"(0x534f4e00 | (kind)) : "memory")

static inline long raw_syscall(long nr, long a, long b, long c)
{
	long ret;

	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "a"(nr), "D"(a), "S"(b), "d"(c)
			 : "rcx", "r11", "memory");
	return ret;
}

static inline long raw_syscall6(long nr, long a, long b, long c, long d, long e, long f)
{
	long ret;
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;

	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
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
/*
 * The row is a distribution: its figure is the given percentile (100: the
 * longest), and the whole is reported as a histogram.  Sorts the samples.
 */
void bench_samples(uint64_t *samples, unsigned nr, unsigned percentile);
/* Writes a byte to one and reads it from the other, n times; closes both. */
void bench_write_read(unsigned n, int to, int from);
/* Gives the row up: prints why, with errno. */
void bench_skip(const char *what);

/* counters.c: what the kernel counts, around the timed part of a batch. */
void counters_open(void);
void counters_before(void);
void counters_after(void);
/* Prints "name=amount" for each that an operation moved; then forgets. */
void counters_print(double operations);

#define NEED(call)                                                                                 \
	do {                                                                                       \
		if ((call) < 0)                                                                    \
			bench_skip(#call);                                                         \
	} while (0)

#endif
