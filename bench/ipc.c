/* Pipes, sockets, futexes: alone, and between two processes. */
#include "bench.h"

#include <linux/futex.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>

BENCH("pipe()+2 × close", 200, 31)
{
	int fds[2];

	for (unsigned i = 0; i < n; i++) {
		raw_syscall(__NR_pipe, (long)fds, 0, 0);
		raw_syscall(__NR_close, fds[0], 0, 0);
		raw_syscall(__NR_close, fds[1], 0, 0);
	}
}

static void write_read(unsigned n, int to, int from)
{
	char byte = 0;

	bench_start();
	for (unsigned i = 0; i < n; i++) {
		raw_syscall(__NR_write, to, (long)&byte, 1);
		raw_syscall(__NR_read, from, (long)&byte, 1);
	}
	bench_stop();
	close(to);
	close(from);
}

BENCH("pipe 1 B write+read", 500, 31)
{
	int fds[2];

	NEED(pipe(fds));
	write_read(n, fds[1], fds[0]);
}

BENCH("unix stream 1 B send+recv", 300, 31)
{
	int fds[2];

	NEED(socketpair(AF_UNIX, SOCK_STREAM, 0, fds));
	write_read(n, fds[1], fds[0]);
}

/* Answers each byte until the other side is gone. */
static void echo_until_end(int from, int to)
{
	char byte;

	while (read(from, &byte, 1) == 1)
		if (write(to, &byte, 1) != 1)
			break;
	_exit(0);
}

BENCH("pipe ping-pong round trip", 200, 15)
{
	int there[2], back[2];

	NEED(pipe(there));
	NEED(pipe(back));
	long child = fork();

	NEED(child);
	if (!child) {
		close(there[1]);
		close(back[0]);
		echo_until_end(there[0], back[1]);
	}
	close(there[0]);
	close(back[1]);
	write_read(n, there[1], back[0]);
	waitpid((pid_t)child, NULL, 0);
}

static void futex_wait_while(volatile uint32_t *word, uint32_t value)
{
	while (*word == value)
		raw_syscall4(__NR_futex, (long)word, FUTEX_WAIT, (long)value, 0);
}

static void futex_set(volatile uint32_t *word, uint32_t value)
{
	*word = value;
	raw_syscall(__NR_futex, (long)word, FUTEX_WAKE, 1);
}

BENCH("futex ping-pong round trip", 200, 15)
{
	volatile uint32_t *word =
		mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	long child = fork();

	NEED(child);
	if (!child) {
		for (unsigned i = 0; i < n; i++) {
			futex_wait_while(word, 0);
			futex_set(word, 0);
		}
		_exit(0);
	}
	bench_start();
	for (unsigned i = 0; i < n; i++) {
		futex_set(word, 1);
		futex_wait_while(word, 1);
	}
	bench_stop();
	waitpid((pid_t)child, NULL, 0);
	munmap((void *)word, 4096);
}

/* Connected loopback sockets, or the row is skipped. */
static void inet_pair(int type, int fds[2])
{
	struct sockaddr_in at = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(at);
	int server = socket(AF_INET, type, 0);

	NEED(server);
	NEED(bind(server, (struct sockaddr *)&at, len));
	NEED(getsockname(server, (struct sockaddr *)&at, &len));
	if (type == SOCK_STREAM)
		NEED(listen(server, 1));
	fds[1] = socket(AF_INET, type, 0);
	NEED(connect(fds[1], (struct sockaddr *)&at, len));
	fds[0] = server;
	if (type == SOCK_STREAM) {
		fds[0] = accept(server, NULL, NULL);
		NEED(fds[0]);
		close(server);
	}
}

BENCH("TCP loopback 1 B send+recv", 100, 15)
{
	int fds[2];

	inet_pair(SOCK_STREAM, fds);
	write_read(n, fds[1], fds[0]);
}

BENCH("UDP loopback 1 B", 100, 15)
{
	int fds[2];

	inet_pair(SOCK_DGRAM, fds);
	write_read(n, fds[1], fds[0]);
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

	uint64_t before = sum(counts, nr_children);

	bench_start();
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
