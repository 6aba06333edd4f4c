/*
 * How late a real-time thread runs after its timer, alone and beside work that
 * keeps the kernel busy.  Under -icount a nanosecond is an instruction, so the
 * longest delay is the longest path that the kernel would not interrupt.
 */
#define SUITE "rt"
#include "bench.h"

#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>

enum { WAKE_UPS = 1500, PERIOD_NS = 211000, NR_LOADS = 5 };

static void load_processes(void)
{
	pid_t child = fork();

	if (!child)
		_exit(0);
	waitpid(child, NULL, 0);
}

static void load_memory(void)
{
	size_t len = 4 << 20;
	char *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return;
	memset(p, 1, len);
	munmap(p, len);
}

static void load_files(void)
{
	static char bytes[1 << 20];
	int fd = open("/tmp/load", O_RDWR | O_CREAT | O_TRUNC, 0600);

	if (write(fd, bytes, sizeof(bytes)) < 0 || pread(fd, bytes, sizeof(bytes), 0) < 0)
		_exit(1);
	close(fd);
	unlink("/tmp/load");
}

static void load_pipes(void)
{
	static char bytes[65536];
	int fds[2];

	if (pipe(fds) < 0)
		_exit(1);
	for (int i = 0; i < 8; i++)
		if (write(fds[1], bytes, sizeof(bytes)) < 0 ||
		    read(fds[0], bytes, sizeof(bytes)) < 0)
			_exit(1);
	close(fds[0]);
	close(fds[1]);
}

static void load_yields(void)
{
	for (int i = 0; i < 100; i++)
		sched_yield();
}

static void (*const loads[NR_LOADS])(void) = { load_processes, load_memory, load_files, load_pipes,
					       load_yields };

static void loads_start(pid_t children[NR_LOADS])
{
	for (int i = 0; i < NR_LOADS; i++) {
		children[i] = fork();
		NEED(children[i]);
		if (!children[i])
			for (;;)
				loads[i]();
	}
}

static void loads_stop(pid_t children[NR_LOADS])
{
	for (int i = 0; i < NR_LOADS; i++) {
		kill(children[i], SIGKILL);
		waitpid(children[i], NULL, 0);
	}
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void sleep_until(uint64_t ns)
{
	struct timespec t = { (time_t)(ns / 1000000000), (long)(ns % 1000000000) };

	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
}

/* The given percentile of how late the thread was. */
static void wake_ups(bool loaded, unsigned percentile)
{
	static uint64_t late[2][WAKE_UPS];
	static bool is_known[2]; /* both rows of a load are of the same wake-ups */
	struct sched_param first = { .sched_priority = 50 }, normal = { 0 };
	pid_t children[NR_LOADS];

	if (is_known[loaded]) {
		bench_samples(late[loaded], WAKE_UPS, percentile);
		return;
	}
	if (loaded)
		loads_start(children);
	NEED(sched_setscheduler(0, SCHED_FIFO, &first));
	uint64_t next = now_ns() + 200000000; /* what went before is over by then */

	for (unsigned i = 0; i < WAKE_UPS; i++) {
		sleep_until(next);
		late[loaded][i] = now_ns() - next;
		next += PERIOD_NS;
	}
	sched_setscheduler(0, SCHED_OTHER, &normal);
	if (loaded)
		loads_stop(children);
	is_known[loaded] = true;
	bench_samples(late[loaded], WAKE_UPS, percentile);
}

BENCH("wake-up latency, idle: median", 1, 0)
{
	wake_ups(false, 50);
	(void)n;
}

BENCH("wake-up latency, idle: longest", 1, 0)
{
	wake_ups(false, 100);
	(void)n;
}

BENCH("wake-up latency, load: median", 1, 0)
{
	wake_ups(true, 50);
	(void)n;
}

BENCH("wake-up latency, load: longest", 1, 0)
{
	wake_ups(true, 100);
	(void)n;
}
