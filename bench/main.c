/* Runs the benchmarks, or those whose name holds an argument. */
#include "bench.h"

#include <setjmp.h>
#include <sys/resource.h>

extern const struct bench __start_benches[], __stop_benches[];

static uint64_t started_at, stopped_at, operations;
static jmp_buf give_up;
static char why[128];

void bench_start(void)
{
	started_at = ticks();
}

void bench_stop(void)
{
	stopped_at = ticks();
}

void bench_elapsed(uint64_t elapsed)
{
	started_at = 0;
	stopped_at = elapsed;
}

void bench_count(uint64_t count)
{
	operations = count;
}

void bench_skip(const char *what)
{
	snprintf(why, sizeof(why), "%.80s: %s", what, strerror(errno));
	longjmp(give_up, 1);
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

/* Ticks of one operation in one batch. */
static double batch(const struct bench *b)
{
	operations = b->n;
	stopped_at = 0;
	started_at = ticks();
	b->run(b->n);
	if (!stopped_at)
		stopped_at = ticks();
	return (double)(stopped_at - started_at) / (double)operations;
}

static double empty_loop(void)
{
	uint64_t start = ticks();

	for (unsigned i = 0; i < 1000; i++)
		__asm__ volatile("" ::: "memory");
	return (double)(ticks() - start) / 1000;
}

static void run(const struct bench *b, double overhead)
{
	static double results[64];
	unsigned batches = b->batches < 64 ? b->batches : 64;

	if (setjmp(give_up)) {
		printf("%s\t-\t%s\n", b->name, why);
		return;
	}
	batch(b); /* warms up */
	for (unsigned i = 0; i < batches; i++)
		results[i] = batch(b);
	qsort(results, batches, sizeof(*results), compare);
	double median = results[batches / 2] - (b->n > 1 ? overhead : 0);
	printf("%s\t%.0f\t%.0f\n", b->name, median < 0 ? 0 : median, results[0]);
}

int main(int argc, char **argv)
{
	double overhead = empty_loop();
	struct rlimit files = { 200000, 200000 };

	setrlimit(RLIMIT_NOFILE, &files);
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (chdir("/tmp") < 0)
		perror("/tmp");
	for (const struct bench *b = __start_benches; b < __stop_benches; b++) {
		if (argc > 1 && !strstr(b->name, argv[1]))
			continue;
		run(b, overhead);
	}
	return 0;
}
