/*
 * Runs the benchmarks that are asked for, and prints a line for each:
 *
 *	name TAB ticks of an operation TAB the least TAB key=value...
 *	name TAB - TAB why there is no figure
 *
 * Usage: bench [-l] [-c] [-b N] [-s 'SUITE|SUITE'] [-x 'NAME|NAME'] [NAME]
 *
 *   -l  only lists name, suite and operations, one a line
 *   -c  reports what the kernel counted for an operation too
 *   -b  at most N batches of each, for what does not vary between them
 *   -s  only these suites    -x  not these    NAME  whose name holds it
 */
#define SUITE "none"
#include "bench.h"

#include <setjmp.h>
#include <stdbool.h>
#include <sys/resource.h>
#include <time.h>

enum { MAX_BATCHES = 64, NR_BUCKETS = 40, SETTLE_NS = 8000000 };

extern const struct bench __start_benches[], __stop_benches[];

static uint64_t started_at, stopped_at, operations;
static bool counting;
static unsigned most_batches = MAX_BATCHES;
static jmp_buf give_up;
static char why[128], extra[1024];

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/*
 * Sleeps until the clock shows a multiple of SETTLE_NS, so that what is timed
 * starts with the same credit at the scheduler, and as far from its next
 * interruption, each time: which of two processes runs first depends on that.
 */
static void settle(void)
{
	uint64_t at = (now_ns() / SETTLE_NS + 2) * SETTLE_NS;
	struct timespec t = { (time_t)(at / 1000000000), (long)(at % 1000000000) };

	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
}

void bench_start(void)
{
	settle();
	if (counting)
		counters_before();
	MARK(MARK_START);
	started_at = ticks();
}

void bench_stop(void)
{
	stopped_at = ticks();
	MARK(MARK_STOP);
	if (counting)
		counters_after();
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

static int compare_ticks(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static unsigned bucket_of(uint64_t sample)
{
	unsigned bucket = 0;

	while (sample >>= 1)
		bucket++;
	return bucket < NR_BUCKETS ? bucket : NR_BUCKETS - 1;
}

static uint64_t percentile_of(const uint64_t *samples, unsigned nr, double percentile)
{
	return samples[(size_t)((double)(nr - 1) * percentile / 100)];
}

void bench_samples(uint64_t *samples, unsigned nr, unsigned percentile)
{
	unsigned buckets[NR_BUCKETS] = { 0 };

	qsort(samples, nr, sizeof(*samples), compare_ticks);
	for (unsigned i = 0; i < nr; i++)
		buckets[bucket_of(samples[i])]++;
	size_t at = (size_t)snprintf(extra, sizeof(extra), "p50=%lu p90=%lu p99=%lu max=%lu hist=",
				     percentile_of(samples, nr, 50), percentile_of(samples, nr, 90),
				     percentile_of(samples, nr, 99), samples[nr - 1]);
	for (unsigned i = 0; i < NR_BUCKETS; i++)
		if (buckets[i])
			at += (size_t)snprintf(extra + at, sizeof(extra) - at, "%lu:%u,", 1ul << i,
					       buckets[i]);
	operations = 1;
	bench_elapsed(percentile_of(samples, nr, percentile));
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

/* Tells the plugins how many operations the batch did, and what becomes of it. */
static void mark_batch(uint64_t count, bool is_empty)
{
	for (uint64_t i = 0; i < count; i++)
		MARK(MARK_OPERATION);
	if (is_empty)
		MARK(MARK_EMPTY);
	else
		MARK(MARK_COMMIT);
}

/* Ticks of one operation in one batch. */
static double batch(const struct bench *b)
{
	operations = b->n;
	stopped_at = 0;
	bench_start();
	b->run(b->n);
	if (!stopped_at)
		bench_stop();
	mark_batch(operations, false);
	return (double)(stopped_at - started_at) / (double)operations;
}

/* Ticks of a turn of a loop: the fewest of some, for an interrupt or a fault is no part of it. */
static double empty_loop(void)
{
	enum { LOOPS = 1000, TRIES = 5 };
	uint64_t fewest = UINT64_MAX;

	bench_start();
	for (unsigned try = 0; try < TRIES; try++) {
		uint64_t start = ticks();

		for (unsigned i = 0; i < LOOPS; i++)
			__asm__ volatile("" ::: "memory");
		uint64_t elapsed = ticks() - start;

		fewest = elapsed < fewest ? elapsed : fewest;
	}
	bench_stop();
	mark_batch((uint64_t)LOOPS * TRIES, true);
	return (double)fewest / LOOPS;
}

static void run(const struct bench *b, double overhead)
{
	static double results[MAX_BATCHES];
	const unsigned wanted = b->batches < most_batches ? b->batches : most_batches;
	const unsigned batches = wanted ? wanted : 1;

	extra[0] = '\0';
	if (setjmp(give_up)) {
		MARK(MARK_NEXT);
		printf("%s\t-\t%s\n", b->name, why);
		return;
	}
	if (wanted)
		batch(b); /* warms up */
	MARK(MARK_WARM);
	for (unsigned i = 0; i < batches; i++)
		results[i] = batch(b);
	MARK(MARK_NEXT);
	qsort(results, batches, sizeof(*results), compare);
	double median = results[batches / 2] - (b->n > 1 ? overhead : 0);

	printf("%s\t%.0f\t%.0f\t%s", b->name, median < 0 ? 0 : median, results[0], extra);
	if (counting)
		counters_print((double)operations);
	printf("\n");
}

/* Is the word in a list with bars? */
static bool is_listed(const char *list, const char *word)
{
	size_t len = strlen(word);

	for (const char *at = list; (at = strstr(at, word)); at += len)
		if ((at == list || at[-1] == '|') && (at[len] == '\0' || at[len] == '|'))
			return true;
	return false;
}

int main(int argc, char **argv)
{
	double overhead = empty_loop();
	struct rlimit files = { 200000, 200000 };
	const char *suites = NULL, *excluded = "";
	bool listing = false;
	int option;

	while ((option = getopt(argc, argv, "lcb:s:x:")) != -1) {
		switch (option) {
		case 'l':
			listing = true;
			break;
		case 'c':
			counting = true;
			break;
		case 'b':
			most_batches = (unsigned)atoi(optarg);
			if (most_batches < 1 || most_batches > MAX_BATCHES)
				return 2;
			break;
		case 's':
			suites = optarg;
			break;
		case 'x':
			excluded = optarg;
			break;
		default:
			return 2;
		}
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (!listing) {
		setrlimit(RLIMIT_NOFILE, &files);
		if (chdir("/tmp") < 0)
			perror("/tmp");
	}
	if (counting)
		counters_open();
	for (const struct bench *b = __start_benches; b < __stop_benches; b++) {
		if ((optind < argc && !strstr(b->name, argv[optind])) ||
		    (suites && !is_listed(suites, b->suite)) || is_listed(excluded, b->name))
			continue;
		if (listing)
			printf("%s\t%s\t%u\n", b->name, b->suite, b->n);
		else
			run(b, overhead);
	}
	return 0;
}
