/* The scheduler: giving way, switching among many, starting and ending threads. */
#define SUITE "sched"
#include "bench.h"

#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

BENCH("sched_yield alone", 1000, 31)
{
	for (unsigned i = 0; i < n; i++)
		raw_syscall(__NR_sched_yield, 0, 0, 0);
}

static _Noreturn void yield_for_ever(int start, volatile uint64_t *count)
{
	char byte;

	raw_syscall(__NR_read, start, (long)&byte, 1);
	for (;;) {
		raw_syscall(__NR_sched_yield, 0, 0, 0);
		++*count;
	}
}

static uint64_t sum(volatile uint64_t *counts, unsigned nr)
{
	uint64_t total = 0;

	for (unsigned i = 0; i < nr; i++)
		total += counts[i];
	return total;
}

/*
 * How many yields happen among the children in so many microseconds, while
 * the parent sleeps.  It is real-time, so that it can stop them.
 */
static void yield_among(unsigned us, unsigned nr_children)
{
	static pid_t children[10000];
	struct sched_param first = { .sched_priority = 1 }, normal = { 0 };
	size_t len = nr_children * sizeof(uint64_t);
	volatile uint64_t *counts =
		mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int start[2];

	NEED(pipe(start));
	for (unsigned i = 0; i < nr_children; i++) {
		children[i] = fork();
		NEED(children[i]);
		if (!children[i]) {
			close(start[1]);
			yield_for_ever(start[0], &counts[i]);
		}
	}
	NEED(sched_setscheduler(0, SCHED_FIFO, &first));
	close(start[0]);
	close(start[1]);
	usleep(20000 + nr_children * 20);

	bench_start();
	uint64_t before = sum(counts, nr_children);

	usleep(us);
	bench_stop();
	bench_count(sum(counts, nr_children) - before);
	for (unsigned i = 0; i < nr_children; i++)
		kill(children[i], SIGKILL);
	for (unsigned i = 0; i < nr_children; i++)
		waitpid(children[i], NULL, 0);
	sched_setscheduler(0, SCHED_OTHER, &normal);
	munmap((void *)counts, len);
}

BENCH("yield+switch, 64 runnable", 20000, 5)
{
	yield_among(n, 64);
}

BENCH("yield+switch, 1,024 runnable", 50000, 1)
{
	yield_among(n, 1024);
}

BENCH("yield+switch, 10,000 runnable", 200000, 0)
{
	yield_among(n, 10000);
}

/* Two that compute, one of them nicer: what that one gets of 10,000 parts. */
BENCH("share of nice 5 beside nice 0, of 10,000", 1, 0)
{
	volatile uint64_t *counts =
		mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct sched_param first = { .sched_priority = 1 }, normal = { 0 };
	pid_t children[2];

	NEED(sched_setscheduler(0, SCHED_FIFO, &first));
	for (int i = 0; i < 2; i++) {
		children[i] = fork();
		NEED(children[i]);
		if (!children[i]) {
			NEED(sched_setscheduler(0, SCHED_OTHER, &normal));
			NEED(nice(5 * i));
			for (;;)
				++counts[i];
		}
	}
	usleep(100000);

	uint64_t before[2] = { counts[0], counts[1] };

	usleep(800000);

	uint64_t nice_0 = counts[0] - before[0], nice_5 = counts[1] - before[1];
	uint64_t share = nice_5 * 10000 / (nice_0 + nice_5);

	bench_samples(&share, 1, 100);
	for (int i = 0; i < 2; i++) {
		kill(children[i], SIGKILL);
		waitpid(children[i], NULL, 0);
	}
	sched_setscheduler(0, SCHED_OTHER, &normal);
	munmap((void *)counts, 4096);
	(void)n;
}

static void *do_nothing(void *arg)
{
	return arg;
}

BENCH("thread start+run+join", 50, 15)
{
	for (unsigned i = 0; i < n; i++) {
		pthread_t thread;

		if ((errno = pthread_create(&thread, NULL, do_nothing, NULL)))
			bench_skip("pthread_create");
		pthread_join(thread, NULL);
	}
}

static uint32_t gate;

static void *wait_at_gate(void *arg)
{
	while (!*(volatile uint32_t *)&gate)
		raw_syscall4(__NR_futex, (long)&gate, FUTEX_WAIT_PRIVATE, 0, 0);
	return arg;
}

/* All exist and wait at once before any may end. */
BENCH("10,000 threads started, run, joined", 10000, 0)
{
	static pthread_t threads[10000];
	pthread_attr_t attributes;

	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, 16384);
	gate = 0;
	bench_start();
	for (unsigned i = 0; i < n; i++)
		if ((errno = pthread_create(&threads[i], &attributes, wait_at_gate, NULL)))
			bench_skip("pthread_create");
	gate = 1;
	raw_syscall(__NR_futex, (long)&gate, FUTEX_WAKE_PRIVATE, INT32_MAX);
	for (unsigned i = 0; i < n; i++)
		pthread_join(threads[i], NULL);
	bench_stop();
}
