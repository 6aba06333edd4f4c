#include "../test.h"
#include <poll.h>
#include <pthread.h>
#include <spawn.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/un.h>

/*
 * Each allocation of a piece of work fails once: the first, the second, the
 * third … until none is left.  A call may give ENOMEM, or what Linux gives for
 * want of memory there; a process may be killed when a page of it can't be had.
 * That nothing is lost is the business of who runs the test (tests/system/
 * guest.sh).  The same for user copies, with EFAULT.
 */
#define ALLOC	"/proc/nos/fail_alloc"
#define COPY	"/proc/nos/fail_copy"

static int expected[4];	/* errnos that a failure may give */

/* The result of a call that may fail for want of memory, and only for that. */
static long may_fail(long result, const char *call, int line)
{
	if (result != -1)
		return result;
	for (size_t i = 0; i < 4; i++)
		if (expected[i] && errno == expected[i])
			return -1;
	test_fail(__FILE__, line, "%s: %s", call, strerrorname_np(errno));
}
#define TRY(CALL)	may_fail((long)(CALL), #CALL, __LINE__)

static void arm(const char *file, const char *mode, unsigned long n)
{
	char text[64];
	ssize_t len = snprintf(text, sizeof(text), n ? "%s %lu" : "%s", mode, n), done = -1;

	/* The one that fails may be among these. */
	for (int i = 0; i < 3 && done < 0; i++) {
		int fd = open(file, O_WRONLY | O_CLOEXEC);

		done = write(fd, text, (size_t)len);
		close(fd);
	}
	CHECK_EQ(done, len);
}

static unsigned long nr_failed(const char *file)
{
	char text[200];

	CHECK_OK(test_read_file(file, text, sizeof(text)));
	return strtoul(strstr(text, "failed ") + 7, NULL, 10);
}

static void need(const char *file)
{
	if (access(file, W_OK) < 0)
		SKIP("only debug kernels of NOS let calls fail");
}

/* Runs `work` in a child with the n-th call failing, n = 1, 2, 3 …, until none fails. */
static void each_failing(const char *file, void (*work)(void))
{
	unsigned long n = 0;

	need(file);
	expected[0] = strcmp(file, ALLOC) ? EFAULT : ENOMEM;
	do {
		pid_t pid = CHECK_OK(fork());

		n++;
		if (!pid) {
			arm(file, "nth", n);
			work();
			_exit(0);
		}
		while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
			continue;
		if (*test_failures)
			FAIL("with call %lu failing", n);
		if (n > 3000)
			FAIL("still failing after %lu calls", n);
	} while (nr_failed(file) > 0);
	CHECK(n > 1);
}

static void files(void)
{
	int fd, dir;
	struct stat st;
	char text[64];

	if (TRY(mkdir("d", 0755)) < 0)
		return;
	fd = (int)TRY(open("d/file", O_CREAT | O_RDWR, 0644));
	if (fd >= 0) {
		TRY(write(fd, "0123456789", 10));
		TRY(pwrite(fd, "x", 1, 100000));
		TRY(ftruncate(fd, 5000));
		TRY(fstat(fd, &st));
		TRY(fsync(fd));
		close(fd);
	}
	if (fd >= 0) {
		TRY(link("d/file", "d/other"));
		TRY(rename("d/file", "d/third"));
	}
	TRY(symlink("third", "d/link"));
	if (readlink("d/link", text, sizeof(text)) < 0 && errno != ENOENT)
		TRY(-1);
	dir = open("d", O_RDONLY | O_DIRECTORY);
	if (dir >= 0) {
		static char entries[2048];

		TRY(syscall(SYS_getdents64, dir, entries, sizeof(entries)));
		close(dir);
	}
}

static void files_and_clean(void)
{
	files();
	arm(ALLOC, "off", 0);
	test_remove_tree(AT_FDCWD, "d");
}

static void descriptors(void)
{
	int p[2], s[2], e;
	char byte;

	if (TRY(pipe(p)) == 0) {
		TRY(write(p[1], "a", 1));
		TRY(fcntl(p[0], F_SETPIPE_SZ, 1 << 17));
	}
	TRY(dup2(0, 500));
	e = (int)TRY(epoll_create1(0));
	if (e >= 0) {
		struct epoll_event event = { .events = EPOLLIN };
		int v = (int)TRY(eventfd(0, 0));
		int t = (int)TRY(timerfd_create(CLOCK_MONOTONIC, 0));

		if (v >= 0)
			TRY(epoll_ctl(e, EPOLL_CTL_ADD, v, &event));
		if (t >= 0)
			TRY(epoll_ctl(e, EPOLL_CTL_ADD, t, &event));
	}
	if (TRY(socketpair(AF_UNIX, SOCK_STREAM, 0, s)) == 0) {
		char control[CMSG_SPACE(sizeof(int))] = { 0 };
		struct iovec v = { "x", 1 };
		struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1,
				    .msg_control = control,
				    .msg_controllen = sizeof(control) };
		struct cmsghdr *c = CMSG_FIRSTHDR(&m);

		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		*(int *)(void *)CMSG_DATA(c) = s[0];
		if (sendmsg(s[0], &m, MSG_DONTWAIT) < 0 && errno != ENOBUFS)
			TRY(-1);
		else if (recv(s[1], &byte, 1, MSG_DONTWAIT) < 0 && errno != EAGAIN)
			TRY(-1);
	}
	TRY(inotify_init1(0));
}

static void memory(void)
{
	char *p = (char *)TRY(mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE,
				   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));

	if (p == (char *)-1)
		return;
	TRY(munmap(p + 65536, 4096));
	TRY(mlock(p, 8192));
	TRY(munlock(p, 8192));
	TRY(mprotect(p + 131072, 4096, PROT_READ));
	p = (char *)TRY(mremap(p, 65536, 1 << 21, MREMAP_MAYMOVE));
	if (p != (char *)-1)
		p[100] = 1;
}

/* 2 MiB at a time or in pages: whichever can be had, what is stored stays. */
static void huge_memory(void)
{
	enum { BLOCK = 2 << 20, NR = 3 };
	char *p = (char *)TRY(mmap(NULL, (NR + 1) * BLOCK, PROT_READ | PROT_WRITE,
				   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));

	if (p == (char *)-1)
		return;
	p = (char *)(((uintptr_t)p + BLOCK - 1) & ~(uintptr_t)(BLOCK - 1));
	TRY(madvise(p, NR * BLOCK, MADV_HUGEPAGE));
	for (int i = 0; i < NR; i++)
		p[i * BLOCK + 40960] = p[i * BLOCK + 81920] = 'a';
	TRY(munmap(p + BLOCK, 4096));
	TRY(mprotect(p + 131072, 4096, PROT_READ));
	TRY(madvise(p + 131072, 4096, MADV_DONTNEED));
	pid_t pid = (pid_t)TRY(fork());

	if (pid == 0) {
		for (int i = 0; i < NR; i++)
			p[i * BLOCK + 40960] = 'b';
		_exit(0);
	}
	for (int i = 0; i < NR; i++)
		p[i * BLOCK + 81920] = 'c';
	if (pid > 0)
		waitpid(pid, NULL, 0);
	for (int i = 0; i < NR; i++)
		CHECK(p[i * BLOCK + 40960] == 'a' && p[i * BLOCK + 81920] == 'c');
	TRY(madvise(p, BLOCK, MADV_DONTNEED));
	CHECK_EQ(p[40960], 0);
	p = (char *)TRY(mremap(p + 2 * BLOCK, BLOCK, 2 * BLOCK, MREMAP_MAYMOVE));
	if (p != (char *)-1)
		CHECK_EQ(p[81920], 'c');
}

static void processes(void)
{
	int status;
	pid_t pid = fork();

	if (pid < 0 && errno != EAGAIN)
		TRY(-1);
	if (pid == 0)
		_exit(0);
	if (pid > 0)
		waitpid(pid, &status, 0);
	sigset_t set;
	timer_t timer;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	TRY(signalfd(-1, &set, 0));
	raise(SIGUSR1);
	if (timer_create(CLOCK_MONOTONIC, NULL, &timer) < 0 && errno != EAGAIN)
		TRY(-1);
}

static void mounts(void)
{
	if (geteuid())
		return;
	TRY(mkdir("m", 0755));
	if (access("m", F_OK) == 0 && TRY(mount("none", "m", "tmpfs", 0, NULL)) == 0) {
		int fd = (int)TRY(open("m/f", O_CREAT | O_RDWR, 0600));

		if (fd >= 0) {
			TRY(write(fd, "x", 1));
			close(fd);
		}
		TRY(umount("m"));
	}
}

static void mounts_and_clean(void)
{
	mounts();
	arm(ALLOC, "off", 0);
	umount("m");
	rmdir("m");
}

/* The same in a file: by faults, a private copy, a write. */
static void huge_file(void)
{
	enum { BLOCK = 2 << 20, NR = 3 };

	if (geteuid())
		return;
	TRY(mkdir("m", 0755));
	if (access("m", F_OK) || TRY(mount("none", "m", "tmpfs", 0, "huge=always")) < 0)
		return;
	int fd = (int)TRY(open("m/f", O_CREAT | O_RDWR, 0600));

	if (fd < 0 || TRY(ftruncate(fd, NR * BLOCK)) < 0)
		return;
	char *p = (char *)TRY(mmap(NULL, NR * BLOCK, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
	char *q = (char *)TRY(mmap(NULL, NR * BLOCK, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0));

	if (p == (char *)-1 || q == (char *)-1)
		return;
	for (int i = 0; i < NR - 1; i++)
		p[i * BLOCK + 40960] = p[i * BLOCK + 81920] = 'a';
	if (TRY(pwrite(fd, "a", 1, 2 * BLOCK + 40960)) == 1)
		CHECK_EQ(q[2 * BLOCK + 40960], 'a');
	CHECK_EQ(q[40960], 'a');
	q[40960] = 'b';
	TRY(madvise(p + BLOCK, 65536, MADV_REMOVE));
	CHECK_EQ(p[40960], 'a');
	CHECK_EQ(q[40960], 'b');
	CHECK_EQ(q[BLOCK + 81920], 'a');
}

static void huge_file_and_clean(void)
{
	huge_file();
	arm(ALLOC, "off", 0);
	umount2("m", MNT_DETACH);
	rmdir("m");
}

/* Always at the same addresses: an emulator translates code anew for each at which it meets it, and
 * needs minutes to forget it all when the pages of the file are used for something else. */
static void programs(void)
{
	char *argv[] = { "sh", "-c", "echo a | cat", NULL };

	personality(ADDR_NO_RANDOMIZE);
	dup2(open("/dev/null", O_WRONLY | O_CLOEXEC), 1);
	dup2(1, 2);
	execv("/bin/sh", argv);
	_exit(3);
}

static void *thread_main(void *unused)
{
	return unused;
}

static void threads(void)
{
	pthread_t t;

	if (pthread_create(&t, NULL, thread_main, NULL) == 0)
		pthread_join(t, NULL);
}

TEST_TIMED(of_files, 60)	{ each_failing(ALLOC, files_and_clean); }
TEST_TIMED(of_descriptors, 60)	{ each_failing(ALLOC, descriptors); }
TEST_TIMED(of_memory, 60)	{ each_failing(ALLOC, memory); }
TEST_TIMED(of_huge_memory, 60)	{ each_failing(ALLOC, huge_memory); }
TEST_TIMED(of_huge_files, 60)	{ each_failing(ALLOC, huge_file_and_clean); }
TEST_TIMED(of_processes, 60)	{ each_failing(ALLOC, processes); }
TEST_TIMED(of_threads, 60)	{ each_failing(ALLOC, threads); }
TEST_TIMED(of_mounts, 60)	{ each_failing(ALLOC, mounts_and_clean); }
TEST_TIMED(of_programs, 120)	{ each_failing(ALLOC, programs); }

static void copies(void)
{
	int p[2];
	struct stat st;
	char byte;

	expected[1] = EINTR;
	if (TRY(pipe(p)) == 0) {
		if (TRY(write(p[1], "a", 1)) == 1)
			TRY(read(p[0], &byte, 1));
		TRY(fstat(p[0], &st));
	}
	TRY(access("/etc/passwd", R_OK));
	TRY(poll(&(struct pollfd){ .fd = 0 }, 1, 0));
}

TEST_TIMED(of_copies, 60)	{ each_failing(COPY, copies); }
TEST_TIMED(of_copies_of_programs, 120) { each_failing(COPY, programs); }

/* One of 50 fails, for a while. */
TEST_TIMED(at_random, 60)
{
	need(ALLOC);
	for (unsigned long seed = 1; seed <= 20; seed++) {
		pid_t pid = CHECK_OK(fork());

		if (!pid) {
			char text[64];
			snprintf(text, sizeof(text), "random 50 %lu", seed);
			arm(ALLOC, text, 0);
			programs();
		}
		CHECK_EQ(waitpid(pid, NULL, 0), pid);
	}
}
