/*
 * System tests: small Linux programs that check what a system call promises.
 *
 * The same binary runs on Linux, which proves the test, and on NOS.  A
 * program is a list of TEST(name) { … }; each runs in a forked child, in its
 * own process group, with an empty directory of its own as working directory
 * and a time limit that the parent keeps.  A failed CHECK ends the process
 * that made it, and fails the test even when that is a child of the test.
 *
 *	TEST(name) { … }		a test with the usual time limit
 *	TEST_TIMED(name, seconds)	one with a limit of its own
 *	HELPER(name) { … return 0; }	what test_exec("name", …) runs
 *	SKIP("why")			ends the test; a reason true everywhere
 *
 * The program's arguments, where given, are the tests to run.
 */
#ifndef TESTS_SYSTEM_TEST_H
#define TESTS_SYSTEM_TEST_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define TEST_UNUSED	__attribute__((unused))
#define TEST_SECONDS	10

struct test_case {
	const char *name;
	void (*run)(void);
	int seconds;
	struct test_case *next;
};

struct test_helper {
	const char *name;
	int (*run)(int argc, char **argv);
	struct test_helper *next;
};

static struct test_case *test_first, **test_last = &test_first;
static struct test_helper *test_helpers;
static const char *test_name = "?";
static volatile int *test_failures;	/* shared with every descendant */
static char test_self[4096];		/* this program's path */
static volatile pid_t test_child;

/* Addresses that no process may use; volatile, so that gcc can't tell. */
static void *volatile test_wild TEST_UNUSED = (void *)8;
static void *volatile test_kernel TEST_UNUSED = (void *)0xffffffff81000000;
static void *volatile test_noncanonical TEST_UNUSED = (void *)0x800000000000000;
#define WILD	((void *)test_wild)
#define WILDK	((void *)test_kernel)
#define WILDN	((void *)test_noncanonical)

#define TEST_TIMED(NAME, SECONDS)					\
	static void test_##NAME(void);					\
	static struct test_case case_##NAME = { #NAME, test_##NAME,	\
						SECONDS, NULL };	\
	__attribute__((constructor)) static void add_##NAME(void)	\
	{								\
		*test_last = &case_##NAME;				\
		test_last = &case_##NAME.next;				\
	}								\
	static void test_##NAME(void)
#define TEST(NAME)	TEST_TIMED(NAME, TEST_SECONDS)

#define HELPER(NAME)							\
	static int helper_##NAME(int argc, char **argv);		\
	static struct test_helper struct_##NAME = { #NAME,		\
						helper_##NAME, NULL }; \
	__attribute__((constructor)) static void add_helper_##NAME(void) \
	{								\
		struct_##NAME.next = test_helpers;			\
		test_helpers = &struct_##NAME;				\
	}								\
	static int helper_##NAME(int argc TEST_UNUSED, char **argv TEST_UNUSED)

__attribute__((noreturn, format(printf, 3, 4)))
static void test_fail(const char *file, int line, const char *format, ...)
{
	char text[600];
	va_list list;

	va_start(list, format);
	vsnprintf(text, sizeof(text), format, list);
	va_end(list);
	dprintf(1, "FAIL %s %s:%d: %s\n", test_name, file, line, text);
	if (test_failures)
		__atomic_fetch_add(test_failures, 1, __ATOMIC_SEQ_CST);
	_exit(1);
}

#define FAIL(...)	test_fail(__FILE__, __LINE__, __VA_ARGS__)

#define CHECK(COND) do {						\
	if (!(COND))							\
		FAIL("%s (errno %d %s)", #COND, errno,			\
		     strerrorname_np(errno));				\
} while (0)

#define CHECK_EQ(A, B) do {						\
	long long a_ = (long long)(A), b_ = (long long)(B);		\
	if (a_ != b_)							\
		FAIL("%s is %lld (%#llx), not %s = %lld (%#llx); errno %s", \
		     #A, a_, a_, #B, b_, b_, strerrorname_np(errno));	\
} while (0)

#define CHECK_STR(A, B) do {						\
	const char *sa_ = (A), *sb_ = (B);				\
	if (strcmp(sa_, sb_) != 0)					\
		FAIL("%s is \"%s\", not \"%s\"", #A, sa_, sb_);		\
} while (0)

/* The expression's value, which must not be an error. */
#define CHECK_OK(EXPR) ({						\
	errno = 0;							\
	__auto_type r_ = (EXPR);					\
	if ((long)r_ == -1)						\
		FAIL("%s: %s", #EXPR, strerrorname_np(errno));		\
	r_;								\
})

#define CHECK_ERR(EXPR, ERRNO) do {					\
	errno = 0;							\
	long r_ = (long)(EXPR);						\
	int e_ = errno;							\
	if (r_ != -1 || e_ != (ERRNO))					\
		FAIL("%s gives %ld %s, not %s", #EXPR, r_,		\
		     strerrorname_np(e_), #ERRNO);			\
} while (0)

/* Waits for a child, and fails unless it ended in just this way. */
TEST_UNUSED static void test_reap(const char *file, int line, pid_t pid,
				  bool signaled, int want)
{
	int status = 0;
	pid_t got;

	do {
		got = waitpid(pid, &status, 0);
	} while (got < 0 && errno == EINTR);
	if (got != pid)
		test_fail(file, line, "waitpid(%d): %d %s", pid, got,
			  strerrorname_np(errno));
	if (signaled && !(WIFSIGNALED(status) && WTERMSIG(status) == want))
		test_fail(file, line, "status %#x, not signal %d", status,
			  want);
	if (!signaled && !(WIFEXITED(status) && WEXITSTATUS(status) == want))
		test_fail(file, line, "status %#x, not exit %d", status, want);
}

#define CHECK_EXIT(PID, CODE)	test_reap(__FILE__, __LINE__, PID, false, CODE)
#define CHECK_KILLED(PID, SIG)	test_reap(__FILE__, __LINE__, PID, true, SIG)

#define SKIP(WHY) do {							\
	dprintf(1, "skip %s %s\n", test_name, WHY);			\
	_exit(77);							\
} while (0)

/* Runs a block in a child: CHILD(pid) { … }; leaving the block exits 0. */
#define CHILD(PID)							\
	for (bool child_ = !((PID) = CHECK_OK(fork())); child_; _exit(0))

/* Becomes a fresh run of this program, which calls HELPER(name). */
TEST_UNUSED static void test_exec(const char *name, const char *argument)
{
	char helper[80];
	char *argv[] = { test_self, helper, (char *)argument, NULL };

	snprintf(helper, sizeof(helper), "helper:%s", name);
	execv(test_self, argv);
	FAIL("execv %s: %s", test_self, strerrorname_np(errno));
}

/* The letter in /proc/TID/stat, 0 when there is no such thread. */
TEST_UNUSED static int test_state(pid_t tid)
{
	char path[64], text[512], *end;
	int fd;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/stat", tid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n <= 0)
		return 0;
	text[n] = 0;
	end = strrchr(text, ')');
	return end ? end[2] : 0;
}

/*
 * Waits until thread `tid` is in this state, and stays: 'S' asleep, 'T' stopped,
 * 'Z'.  Looked at once, it may sleep for something on the way.
 */
TEST_UNUSED static void test_wait_state(pid_t tid, int state)
{
	for (int seen = 0; seen < 3;) {
		seen = test_state(tid) == state ? seen + 1 : 0;
		nanosleep(&(struct timespec){ .tv_nsec = 300000 }, NULL);
	}
}

TEST_UNUSED static int64_t test_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ll + t.tv_nsec;
}

/* A line of /proc/nos/counters; -1 on other kernels. */
TEST_UNUSED
static long test_counter(const char *name)
{
	FILE *f = fopen("/proc/nos/counters", "r");
	char key[64];
	long value, found = -1;

	while (f && fscanf(f, "%63s %ld", key, &value) == 2)
		if (!strcmp(key, name))
			found = value;
	if (f)
		fclose(f);
	return found;
}

/* Whether a switch of NOS, "NAME", was turned off for this boot. */
TEST_UNUSED
static bool test_is_off(const char *name)
{
	FILE *f = fopen("/proc/cmdline", "r");
	char word[64], off[64];
	bool found = false;

	snprintf(off, sizeof(off), "opt.%s=off", name);
	while (f && fscanf(f, "%63s", word) == 1)
		found |= !strcmp(word, off);
	if (f)
		fclose(f);
	return found;
}

/* The contents of a file as a string; -1 and errno as from open or read. */
TEST_UNUSED static ssize_t test_read_file(const char *path, char *text,
					  size_t size)
{
	size_t have = 0;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -1;
	for (;;) {
		ssize_t n = read(fd, text + have, size - 1 - have);

		if (n < 0) {
			close(fd);
			return -1;
		}
		if (n == 0)
			break;
		have += (size_t)n;
	}
	text[have] = 0;
	close(fd);
	return (ssize_t)have;
}

/* A fresh file with these contents. */
TEST_UNUSED static void test_make_file(const char *path, const char *text)
{
	int fd = CHECK_OK(open(path, O_CREAT | O_TRUNC | O_WRONLY, 0644));

	CHECK_EQ(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

static void test_remove_tree(int dir, const char *name)
{
	int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
	DIR *stream = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	while (stream && (e = readdir(stream))) {
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		if (unlinkat(fd, e->d_name, 0) < 0)
			test_remove_tree(fd, e->d_name);
	}
	if (stream)
		closedir(stream);
	unlinkat(dir, name, AT_REMOVEDIR);
}

static void test_on_alarm(int sig TEST_UNUSED)
{
	static const char late[] = "FAIL: time is up\n";

	if (write(1, late, sizeof(late) - 1) < 0)
		_exit(2);
	kill(-test_child, SIGKILL);
	kill(test_child, SIGKILL);
}

/* True when the test passed; a skipped one passes. */
static bool test_run(struct test_case *test, const char *base)
{
	char dir[4200];
	int status;
	const char *limit = getenv("TEST_TIMEOUT");

	*test_failures = 0;
	test_name = test->name;
	snprintf(dir, sizeof(dir), "%s/%s", base, test->name);
	if (mkdir(dir, 0755) < 0)
		return false;
	test_child = fork();
	if (test_child == 0) {
		signal(SIGALRM, SIG_DFL);
		setpgid(0, 0);
		if (chdir(dir) < 0)
			FAIL("chdir %s", dir);
		test->run();
		_exit(0);
	}
	setpgid(test_child, test_child);
	alarm((unsigned)(limit ? atoi(limit) : test->seconds));
	while (waitpid(test_child, &status, 0) < 0 && errno == EINTR)
		continue;
	alarm(0);
	kill(-test_child, SIGKILL);
	test_remove_tree(AT_FDCWD, dir);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		return true;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0 && !*test_failures) {
		printf("ok %s\n", test->name);
		return true;
	}
	if (WIFSIGNALED(status))
		printf("FAIL %s: killed by signal %d\n", test->name,
		       WTERMSIG(status));
	else if (WEXITSTATUS(status) != 1 || !*test_failures)
		printf("FAIL %s: status %#x, %d checks failed\n", test->name,
		       status, *test_failures);
	return false;
}

static bool test_wanted(const char *name, int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (!strcmp(argv[i], name))
			return true;
	return argc < 2;
}

int main(int argc, char **argv)
{
	char base[4096];
	int passed = 0, failed = 0;
	const char *tmp = getenv("TMPDIR");

	setvbuf(stdout, NULL, _IONBF, 0);
	if (!realpath(strchr(argv[0], '/') ? argv[0] : "/proc/self/exe",
		      test_self))
		strcpy(test_self, argv[0]);
	if (argc > 1 && !strncmp(argv[1], "helper:", 7)) {
		for (struct test_helper *h = test_helpers; h; h = h->next)
			if (!strcmp(h->name, argv[1] + 7))
				return h->run(argc - 1, argv + 1);
		return 126;
	}
	test_failures = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
			     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	snprintf(base, sizeof(base), "%s/nos-test.XXXXXX", tmp ? tmp : "/tmp");
	if (test_failures == MAP_FAILED || !mkdtemp(base)) {
		printf("FAIL start: %s\n0 passed, 1 failed\n",
		       strerrorname_np(errno));
		return 1;
	}
	chmod(base, 0755);
	umask(022);
	sigaction(SIGALRM, &(struct sigaction){ .sa_handler = test_on_alarm },
		  NULL);
	for (struct test_case *t = test_first; t; t = t->next) {
		if (!test_wanted(t->name, argc, argv))
			continue;
		if (test_run(t, base))
			passed++;
		else
			failed++;
	}
	test_remove_tree(AT_FDCWD, base);
	printf("%d passed, %d failed\n", passed, failed);
	return failed != 0;
}

#endif
