#include "../test.h"
#include <sys/auxv.h>
#include <sys/resource.h>

extern char **environ;

HELPER(echo)
{
	for (int i = 1; i < argc; i++)
		printf("%s%s", argv[i], i + 1 < argc ? "|" : "");
	return 0;
}

HELPER(code)
{
	return atoi(argv[1]);
}

HELPER(signals)
{
	struct sigaction a, b;
	sigset_t mask, pending;

	sigaction(SIGUSR1, NULL, &a);
	sigaction(SIGUSR2, NULL, &b);
	sigprocmask(SIG_BLOCK, NULL, &mask);
	sigpending(&pending);
	return !(a.sa_handler == SIG_DFL && b.sa_handler == SIG_IGN &&
		 sigismember(&mask, SIGHUP) && sigismember(&pending, SIGHUP));
}

HELPER(descriptors)
{
	return !(fcntl(60, F_GETFD) == 0 && fcntl(61, F_GETFD) == -1);
}

/* Runs a program with its output caught; gives its wait status. */
static int run(const char *path, char *const argv[], char *const env[],
	       char *out, size_t size)
{
	int ends[2], status;
	ssize_t n, have = 0;
	pid_t pid;

	CHECK_OK(pipe2(ends, O_CLOEXEC));
	CHILD(pid) {
		dup2(ends[1], 1);
		execve(path, argv, env);
		_exit(200 + (errno & 31));
	}
	close(ends[1]);
	while ((n = read(ends[0], out + have, size - 1 - (size_t)have)) > 0)
		have += n;
	out[have] = 0;
	close(ends[0]);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	return status;
}

static void script(const char *name, const char *text)
{
	test_make_file(name, text);
	CHECK_OK(chmod(name, 0755));
}

TEST(arguments)
{
	char *argv[] = { "name", "helper:echo", "a b", "", "c", NULL };
	char out[100];

	CHECK_EQ(run(test_self, argv, environ, out, sizeof(out)), 0);
	CHECK_STR(out, "a b||c");
}

TEST(empty_argv)
{
	char *argv[] = { NULL };
	char out[1000];

	/* An empty list becomes one empty string; a script tells. */
	script("s", "#!/bin/sh\necho $#\n");
	CHECK_EQ(run("./s", argv, NULL, out, sizeof(out)), 0);
	CHECK_STR(out, "0\n");
}

TEST(scripts)
{
	char line[5000], out[300];
	char *argv[] = { "ignored", "x", NULL };

	snprintf(line, sizeof(line), "#!%s helper:echo\n", test_self);
	script("s", line);
	CHECK_EQ(run("./s", argv, environ, out, sizeof(out)), 0);
	CHECK_STR(out, "./s|x");
	/* One argument at most, inner spaces kept, outer ones not. */
	script("t", "#! /bin/echo   a b  c \t\n");
	CHECK_EQ(run("./t", argv, environ, out, sizeof(out)), 0);
	CHECK_STR(out, "a b  c ./t x\n");
	/* No newline at the end is fine. */
	script("u", "#!/bin/echo");
	CHECK_EQ(run("./u", argv, environ, out, sizeof(out)), 0);
	CHECK_STR(out, "./u x\n");
	/* A script may be another's interpreter. */
	snprintf(line, sizeof(line), "#!./t\n");
	script("v", line);
	CHECK_EQ(run("./v", argv, environ, out, sizeof(out)), 0);
	CHECK_STR(out, "a b  c ./t ./v x\n");
}

TEST(script_errors)
{
	char *argv[] = { "x", NULL };
	char name[16], line[32];

	script("none", "#!/no/such/interpreter\n");
	CHECK_ERR(execv("./none", argv), ENOENT);
	script("dir", "#!/\n");
	CHECK_ERR(execv("./dir", argv), EACCES);
	script("empty", "#!\n");
	CHECK_ERR(execv("./empty", argv), ENOEXEC);
	script("blank", "#!   \n");
	CHECK_ERR(execv("./blank", argv), ENOEXEC);
	script("self", "#!./self\n");
	CHECK_ERR(execv("./self", argv), ELOOP);
	for (int i = 1; i <= 8; i++) {
		snprintf(name, sizeof(name), "l%d", i);
		snprintf(line, sizeof(line), "#!./l%d\n", i - 1);
		script(name, line);
	}
	script("l0", "#!/bin/true\n");
	CHECK_ERR(execv("./l8", argv), ELOOP);
	CHECK_EQ(run("./l3", argv, environ, line, sizeof(line)), 0);
}

TEST(permission_and_type)
{
	char *argv[] = { "x", NULL };

	test_make_file("plain", "#!/bin/true\n");
	CHECK_ERR(execv("./plain", argv), EACCES);
	CHECK_ERR(execv(".", argv), EACCES);
	CHECK_ERR(execv("none", argv), ENOENT);
	CHECK_ERR(execv("", argv), ENOENT);
	CHECK_ERR(execv("plain/x", argv), ENOTDIR);
	CHECK_ERR(execv("/dev/null", argv), EACCES);
	script("garbage", "hello, this is no program\n");
	CHECK_ERR(execv("./garbage", argv), ENOEXEC);
	script("nothing", "");
	CHECK_ERR(execv("./nothing", argv), ENOEXEC);
	script("one", "#");
	CHECK_ERR(execv("./one", argv), ENOEXEC);
	CHECK_ERR(syscall(SYS_execve, WILD, argv, NULL), EFAULT);
	CHECK_ERR(syscall(SYS_execve, test_self, WILD, NULL), EFAULT);
	CHECK_ERR(syscall(SYS_execve, test_self, argv, WILD), EFAULT);
	argv[0] = WILD;
	CHECK_ERR(syscall(SYS_execve, test_self, argv, NULL), EFAULT);
}

TEST(too_big)
{
	static char big[140000];
	char *argv[] = { "x", "helper:code", "0", big, NULL };
	static char *many[5000];
	struct rlimit limit = { 256 << 10, 256 << 10 };
	char out[10];

	memset(big, 'x', sizeof(big) - 1);
	/* One string holds at most 32 pages, its zero included. */
	CHECK_ERR(execv(test_self, argv), E2BIG);
	big[131071] = 0;
	CHECK_EQ(run(test_self, argv, environ, out, sizeof(out)), 0);
	/* All together at most a quarter of the stack's limit. */
	big[1000] = 0;
	many[0] = "x";
	many[1] = "helper:code";
	many[2] = "3";
	for (int i = 3; i < 200; i++)
		many[i] = big;
	CHECK_EQ(run(test_self, many, environ, out, sizeof(out)), 3 << 8);
	CHECK_OK(setrlimit(RLIMIT_STACK, &limit));
	CHECK_ERR(execv(test_self, many), E2BIG);
}

TEST(busy_text)
{
	char *argv[] = { "x", "helper:code", "0", NULL };
	char out[10], buf[65536];
	ssize_t n;
	int fd, in = CHECK_OK(open(test_self, O_RDONLY));

	fd = CHECK_OK(open("copy", O_CREAT | O_RDWR, 0755));
	while ((n = CHECK_OK(read(in, buf, sizeof(buf)))) > 0)
		CHECK_EQ(write(fd, buf, (size_t)n), n);
	CHECK_ERR(execv("./copy", argv), ETXTBSY);
	CHECK_OK(close(fd));
	CHECK_EQ(run("./copy", argv, environ, out, sizeof(out)), 0);
	/* And a running program can't be opened for writing. */
	if (access(test_self, W_OK) < 0)
		return;
	CHECK_ERR(open(test_self, O_WRONLY), ETXTBSY);
	CHECK_ERR(truncate(test_self, 0), ETXTBSY);
}

static void on_signal(int sig TEST_UNUSED)
{
}

TEST(signal_state)
{
	sigset_t set;
	pid_t pid;

	signal(SIGUSR1, on_signal);
	signal(SIGUSR2, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGHUP);
	CHECK_OK(sigprocmask(SIG_BLOCK, &set, NULL));
	CHILD(pid) {
		raise(SIGHUP);
		test_exec("signals", NULL);
	}
	CHECK_EXIT(pid, 0);
}

TEST(close_on_exec)
{
	pid_t pid;

	CHECK_OK(dup2(0, 60));
	CHECK_OK(dup3(0, 61, O_CLOEXEC));
	CHILD(pid)
		test_exec("descriptors", NULL);
	CHECK_EXIT(pid, 0);
	CHECK_OK(fcntl(61, F_GETFD));
}

TEST(vfork_and_exec)
{
	char *argv[] = { test_self, "helper:code", "9", NULL };
	pid_t pid = vfork();

	if (pid == 0) {
		execve(test_self, argv, environ);
		_exit(1);
	}
	CHECK_EXIT(pid, 9);
}

TEST(by_descriptor)
{
	char *argv[] = { "x", "helper:code", "4", NULL };
	int fd = CHECK_OK(open(test_self, O_PATH | O_CLOEXEC)), dir;
	pid_t pid;

	CHILD(pid) {
		syscall(SYS_execveat, fd, "", argv, environ, AT_EMPTY_PATH);
		FAIL("execveat: %s", strerrorname_np(errno));
	}
	CHECK_EXIT(pid, 4);
	CHECK_ERR(syscall(SYS_execveat, fd, "", argv, environ, 0), ENOENT);
	CHECK_ERR(syscall(SYS_execveat, -1, "x", argv, environ, 0), EBADF);
	CHECK_ERR(syscall(SYS_execveat, fd, "x", argv, environ, 0), ENOTDIR);
	CHECK_ERR(syscall(SYS_execveat, fd, "", argv, environ,
			  AT_EMPTY_PATH | 0x8000), EINVAL);
	CHECK_OK(symlink(test_self, "l"));
	CHECK_ERR(syscall(SYS_execveat, AT_FDCWD, "l", argv, environ,
			  AT_SYMLINK_NOFOLLOW), ELOOP);
	dir = CHECK_OK(open(".", O_PATH));
	CHILD(pid) {
		syscall(SYS_execveat, dir, "l", argv, environ, 0);
		FAIL("execveat: %s", strerrorname_np(errno));
	}
	CHECK_EXIT(pid, 4);
	/* A script by a descriptor that exec closes can't be found again. */
	script("s", "#!/bin/sh\nexit 5\n");
	fd = CHECK_OK(open("s", O_PATH | O_CLOEXEC));
	CHECK_ERR(syscall(SYS_execveat, fd, "", argv, environ,
			  AT_EMPTY_PATH), ENOENT);
	fd = CHECK_OK(open("s", O_PATH));
	CHILD(pid) {
		syscall(SYS_execveat, fd, "", argv, environ, AT_EMPTY_PATH);
		FAIL("execveat: %s", strerrorname_np(errno));
	}
	CHECK_EXIT(pid, 5);
}
