/* Entry and dispatch, and calls that only read or change a little state. */
#define SUITE "calls"
#include "bench.h"

#include <linux/futex.h>
#include <signal.h>
#include <sys/utsname.h>
#include <time.h>

BENCH("getpid", 1000, 31)
{
	for (unsigned i = 0; i < n; i++)
		raw_syscall(__NR_getpid, 0, 0, 0);
}

BENCH("unknown call number", 1000, 31)
{
	for (unsigned i = 0; i < n; i++)
		raw_syscall(999, 0, 0, 0);
}

BENCH("uname", 1000, 31)
{
	struct utsname name;

	for (unsigned i = 0; i < n; i++)
		raw_syscall(__NR_uname, (long)&name, 0, 0);
}

BENCH("getcwd", 1000, 31)
{
	char path[256];

	for (unsigned i = 0; i < n; i++)
		raw_syscall(__NR_getcwd, (long)path, sizeof(path), 0);
}

BENCH("clock_gettime: vDSO", 1000, 31)
{
	struct timespec t;

	for (unsigned i = 0; i < n; i++)
		clock_gettime(CLOCK_MONOTONIC, &t);
}

BENCH("clock_gettime: call", 1000, 31)
{
	struct timespec t;

	for (unsigned i = 0; i < n; i++)
		raw_syscall(__NR_clock_gettime, CLOCK_MONOTONIC, (long)&t, 0);
}

BENCH("getrandom 32 B", 200, 31)
{
	char bytes[32];

	for (unsigned i = 0; i < n; i++)
		raw_syscall(__NR_getrandom, (long)bytes, sizeof(bytes), 0);
}

static void on_signal(int sig)
{
	(void)sig;
}

BENCH("signal to self + handler", 200, 31)
{
	struct sigaction sa = { .sa_handler = on_signal };
	long pid = getpid();

	NEED(sigaction(SIGUSR1, &sa, NULL));
	bench_start();
	for (unsigned i = 0; i < n; i++)
		raw_syscall(__NR_kill, pid, SIGUSR1, 0);
	bench_stop();
}

BENCH("futex wake, no waiter", 1000, 31)
{
	static uint32_t word;

	for (unsigned i = 0; i < n; i++)
		raw_syscall(__NR_futex, (long)&word, FUTEX_WAKE_PRIVATE, 1);
}
