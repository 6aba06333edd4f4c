/* Pipes, sockets, futexes: alone, and between two processes. */
#define SUITE "ipc"
#include "bench.h"

#include <linux/futex.h>
#include <sys/eventfd.h>
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

void bench_write_read(unsigned n, int to, int from)
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
	bench_write_read(n, fds[1], fds[0]);
}

BENCH("unix stream 1 B send+recv", 300, 31)
{
	int fds[2];

	NEED(socketpair(AF_UNIX, SOCK_STREAM, 0, fds));
	bench_write_read(n, fds[1], fds[0]);
}

/* Answers each byte until the other side is gone. */
static _Noreturn void echo_until_end(int from, int to)
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
	bench_write_read(n, there[1], back[0]);
	waitpid((pid_t)child, NULL, 0);
}

BENCH("unix stream ping-pong round trip", 200, 15)
{
	int ends[2];

	NEED(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
	long child = fork();

	NEED(child);
	if (!child) {
		close(ends[0]);
		echo_until_end(ends[1], ends[1]);
	}
	close(ends[1]);
	bench_write_read(n, ends[0], ends[0]);
	waitpid((pid_t)child, NULL, 0);
}

BENCH("eventfd ping-pong round trip", 200, 15)
{
	long there = eventfd(0, 0), back = eventfd(0, 0);
	uint64_t count = 1;

	NEED(there);
	NEED(back);
	long child = fork();

	NEED(child);
	if (!child) {
		for (unsigned i = 0; i < n; i++) {
			raw_syscall(__NR_read, there, (long)&count, sizeof(count));
			raw_syscall(__NR_write, back, (long)&count, sizeof(count));
		}
		_exit(0);
	}
	bench_start();
	for (unsigned i = 0; i < n; i++) {
		raw_syscall(__NR_write, there, (long)&count, sizeof(count));
		raw_syscall(__NR_read, back, (long)&count, sizeof(count));
	}
	bench_stop();
	waitpid((pid_t)child, NULL, 0);
	close((int)there);
	close((int)back);
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
