/* Making and ending processes. */
#define SUITE "exec"
#include "bench.h"

#include <sched.h>
#include <sys/mman.h>
#include <sys/wait.h>

extern char **environ;

BENCH("fork+exit+wait, small process", 10, 11)
{
	for (unsigned i = 0; i < n; i++) {
		long child = raw_syscall(__NR_fork, 0, 0, 0);

		if (!child)
			raw_syscall(__NR_exit_group, 0, 0, 0);
		if (child < 0)
			bench_skip("fork");
		raw_syscall4(__NR_wait4, child, 0, 0, 0);
	}
}

BENCH("vfork+exit+wait", 20, 11)
{
	for (unsigned i = 0; i < n; i++) {
		pid_t child = vfork();

		if (!child)
			_exit(0);
		NEED(child);
		raw_syscall4(__NR_wait4, child, 0, 0, 0);
	}
}

BENCH("fork call, 64 MB touched", 1, 5)
{
	size_t len = 64 << 20;
	char *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		bench_skip("mmap");
	madvise(p, len, MADV_NOHUGEPAGE);
	for (size_t i = 0; i < len; i += 4096)
		p[i] = 1;
	bench_start();
	long child = raw_syscall(__NR_fork, 0, 0, 0);

	if (!child)
		raw_syscall(__NR_exit_group, 0, 0, 0);
	bench_stop();
	raw_syscall4(__NR_wait4, child, 0, 0, 0);
	munmap(p, len);
	(void)n;
}

/* A call about one process after the other, while so many tasks are there. */
static void ask_among(unsigned n, unsigned nr_tasks, long call)
{
	static pid_t pids[10000];
	unsigned nr = nr_tasks - 1, at = 0, step = 787 % nr; /* this one is a task too */
	char byte;
	int end[2];

	NEED(pipe(end));
	for (unsigned i = 0; i < nr; i++) {
		pids[i] = fork();
		NEED(pids[i]);
		if (!pids[i]) {
			close(end[1]);
			raw_syscall(__NR_read, end[0], (long)&byte, 1);
			_exit(0);
		}
	}
	bench_start();
	for (unsigned i = 0; i < n; i++) {
		raw_syscall(call, pids[at], 0, 0);
		at += step;
		at -= at >= nr ? nr : 0;
	}
	bench_stop();
	close(end[0]);
	close(end[1]);
	for (unsigned i = 0; i < nr; i++)
		waitpid(pids[i], NULL, 0);
}

BENCH("kill(pid, 0), 2 tasks", 1000, 5)
{
	ask_among(n, 2, __NR_kill);
}

BENCH("kill(pid, 0), 1,000 tasks", 1000, 1)
{
	ask_among(n, 1000, __NR_kill);
}

BENCH("kill(pid, 0), 10,000 tasks", 10000, 0)
{
	ask_among(n, 10000, __NR_kill);
}

BENCH("getpgid, 2 tasks", 1000, 5)
{
	ask_among(n, 2, __NR_getpgid);
}

BENCH("getpgid, 1,000 tasks", 1000, 1)
{
	ask_among(n, 1000, __NR_getpgid);
}

BENCH("getpgid, 10,000 tasks", 10000, 0)
{
	ask_among(n, 10000, __NR_getpgid);
}

static void exec_wait(unsigned n, char *path)
{
	char *argv[] = { path, NULL };

	if (access(path, X_OK) < 0)
		bench_skip(path);
	bench_start();
	for (unsigned i = 0; i < n; i++) {
		pid_t child = vfork();

		if (!child) {
			execve(path, argv, environ);
			_exit(127);
		}
		NEED(child);
		raw_syscall4(__NR_wait4, child, 0, 0, 0);
	}
	bench_stop();
}

BENCH("vfork+exec+wait, static", 5, 11)
{
	exec_wait(n, "/bench/child-static");
}

BENCH("vfork+exec+wait, dynamic C", 5, 11)
{
	exec_wait(n, "/bench/child-dynamic");
}

BENCH("vfork+exec+wait, dynamic C++", 3, 7)
{
	exec_wait(n, "/bench/child-c++");
}
