/* Descriptors, reading and writing, names. */
#define SUITE "files"
#include "bench.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>

enum { FILE_BYTES = 65536 };

/* A file of FILE_BYTES in the current folder, a tmpfs. */
static int sample_open(void)
{
	static char bytes[FILE_BYTES];
	int fd = open("sample", O_RDWR | O_CREAT, 0644);

	NEED(fd);
	if (lseek(fd, 0, SEEK_END) < FILE_BYTES)
		NEED(pwrite(fd, bytes, FILE_BYTES, 0));
	lseek(fd, 0, SEEK_SET);
	return fd;
}

static void sample_tree(void)
{
	mkdir("/tmp/a", 0755);
	mkdir("/tmp/a/b", 0755);
	close(open("/tmp/a/b/file", O_RDWR | O_CREAT, 0644));
}

/* Below the current folder and below /tmp; names of other lengths than those of sample_tree. */
static void sample_deep_tree(void)
{
	static const char *const names[] = { "deep",       "deep/b",       "deep/b/c",
					     "deep/b/c/d", "deep/b/c/d/e", "deep/b/c/d/e/f" };
	char name[64];

	for (unsigned i = 0; i < sizeof(names) / sizeof(*names); i++) {
		mkdir(names[i], 0755);
		snprintf(name, sizeof(name), "/tmp/%s", names[i]);
		mkdir(name, 0755);
	}
	close(open("deep/b/c/file", O_RDWR | O_CREAT, 0644));
	close(open("/tmp/deep/b/c/d/e/f/file", O_RDWR | O_CREAT, 0644));
}

BENCH("read /dev/null 1 B", 1000, 31)
{
	char byte;
	int fd = open("/dev/null", O_RDWR);

	NEED(fd);
	bench_start();
	for (unsigned i = 0; i < n; i++)
		raw_syscall(__NR_read, fd, (long)&byte, 1);
	bench_stop();
	close(fd);
}

BENCH("pread 1 B, page cache", 1000, 31)
{
	char byte;
	int fd = sample_open();

	bench_start();
	for (unsigned i = 0; i < n; i++)
		raw_syscall4(__NR_pread64, fd, (long)&byte, 1, 0);
	bench_stop();
	close(fd);
}

BENCH("pread 4K", 500, 31)
{
	static char page[4096];
	int fd = sample_open();

	bench_start();
	for (unsigned i = 0; i < n; i++)
		raw_syscall4(__NR_pread64, fd, (long)page, sizeof(page), 0);
	bench_stop();
	close(fd);
}

BENCH("pwrite 4K", 500, 31)
{
	static char page[4096];
	int fd = sample_open();

	bench_start();
	for (unsigned i = 0; i < n; i++)
		raw_syscall4(__NR_pwrite64, fd, (long)page, sizeof(page), 0);
	bench_stop();
	close(fd);
}

BENCH("lseek", 1000, 31)
{
	int fd = sample_open();

	bench_start();
	for (unsigned i = 0; i < n; i++)
		raw_syscall(__NR_lseek, fd, 0, SEEK_SET);
	bench_stop();
	close(fd);
}

BENCH("fstat", 1000, 31)
{
	struct stat st;
	int fd = sample_open();

	bench_start();
	for (unsigned i = 0; i < n; i++)
		raw_syscall(__NR_fstat, fd, (long)&st, 0);
	bench_stop();
	close(fd);
}

BENCH("stat, 1 component", 500, 31)
{
	struct stat st;

	close(sample_open());
	bench_start();
	for (unsigned i = 0; i < n; i++)
		raw_syscall(__NR_stat, (long)"sample", (long)&st, 0);
	bench_stop();
}

BENCH("stat, 4 components", 500, 31)
{
	struct stat st;

	sample_tree();
	bench_start();
	for (unsigned i = 0; i < n; i++)
		raw_syscall(__NR_stat, (long)"/tmp/a/b/file", (long)&st, 0);
	bench_stop();
}

BENCH("stat, 4 components, relative", 500, 31)
{
	struct stat st;

	sample_deep_tree();
	bench_start();
	for (unsigned i = 0; i < n; i++)
		raw_syscall(__NR_stat, (long)"deep/b/c/file", (long)&st, 0);
	bench_stop();
}

BENCH("stat, 8 components", 500, 31)
{
	struct stat st;

	sample_tree();
	sample_deep_tree();
	bench_start();
	for (unsigned i = 0; i < n; i++)
		raw_syscall(__NR_stat, (long)"/tmp/deep/b/c/d/e/f/file", (long)&st, 0);
	bench_stop();
}

BENCH("stat, ENOENT", 500, 31)
{
	struct stat st;

	sample_tree();
	bench_start();
	for (unsigned i = 0; i < n; i++)
		raw_syscall(__NR_stat, (long)"/tmp/a/b/none", (long)&st, 0);
	bench_stop();
}

BENCH("open+close, 4 components", 300, 31)
{
	sample_tree();
	bench_start();
	for (unsigned i = 0; i < n; i++) {
		long fd = raw_syscall(__NR_open, (long)"/tmp/a/b/file", O_RDONLY, 0);

		raw_syscall(__NR_close, fd, 0, 0);
	}
	bench_stop();
}

BENCH("open+close, 8 components", 300, 31)
{
	sample_tree();
	sample_deep_tree();
	bench_start();
	for (unsigned i = 0; i < n; i++) {
		long fd = raw_syscall(__NR_open, (long)"/tmp/deep/b/c/d/e/f/file", O_RDONLY, 0);

		raw_syscall(__NR_close, fd, 0, 0);
	}
	bench_stop();
}

BENCH("creat+unlink (tmpfs)", 100, 31)
{
	for (unsigned i = 0; i < n; i++) {
		long fd = raw_syscall(__NR_open, (long)"created", O_RDWR | O_CREAT | O_EXCL, 0644);

		raw_syscall(__NR_close, fd, 0, 0);
		raw_syscall(__NR_unlink, (long)"created", 0, 0);
	}
}

BENCH("dup+close", 1000, 31)
{
	for (unsigned i = 0; i < n; i++) {
		long fd = raw_syscall(__NR_dup, 1, 0, 0);

		raw_syscall(__NR_close, fd, 0, 0);
	}
}

static void fcntl_getfl(unsigned n, int fd)
{
	int file = open("/dev/null", O_RDONLY);

	NEED(file);
	NEED(dup2(file, fd));
	bench_start();
	for (unsigned i = 0; i < n; i++)
		raw_syscall(__NR_fcntl, fd, F_GETFL, 0);
	bench_stop();
	close(fd);
	close(file);
}

BENCH("fcntl(F_GETFL), fd 3", 1000, 31)
{
	int spare = open("/dev/null", O_RDONLY); /* so that dup2 is real */

	fcntl_getfl(n, 30);
	close(spare);
}

BENCH("fcntl(F_GETFL), fd 100,000", 1000, 31)
{
	fcntl_getfl(n, 100000);
}

BENCH("epoll_wait, 1 ready", 500, 31)
{
	int pipe_fds[2];
	struct epoll_event event = { .events = EPOLLIN };
	int epoll = epoll_create1(0);

	NEED(epoll);
	NEED(pipe(pipe_fds));
	NEED(epoll_ctl(epoll, EPOLL_CTL_ADD, pipe_fds[0], &event));
	NEED(write(pipe_fds[1], "x", 1));
	bench_start();
	for (unsigned i = 0; i < n; i++)
		raw_syscall4(__NR_epoll_wait, epoll, (long)&event, 1, 0);
	bench_stop();
	close(pipe_fds[0]);
	close(pipe_fds[1]);
	close(epoll);
}

BENCH("poll, 100 idle fds", 100, 31)
{
	struct pollfd fds[100];
	int pipe_fds[2];

	NEED(pipe(pipe_fds));
	for (int i = 0; i < 100; i++) {
		fds[i].fd = dup(pipe_fds[0]);
		fds[i].events = POLLIN;
		NEED(fds[i].fd);
	}
	bench_start();
	for (unsigned i = 0; i < n; i++)
		raw_syscall(__NR_poll, (long)fds, 100, 0);
	bench_stop();
	for (int i = 0; i < 100; i++)
		close(fds[i].fd);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
}

BENCH("splice file→pipe→null 64K", 30, 31)
{
	int pipe_fds[2];
	int null = open("/dev/null", O_WRONLY);
	int fd = sample_open();

	NEED(pipe(pipe_fds));
	bench_start();
	for (unsigned i = 0; i < n; i++) {
		loff_t at = 0;

		NEED(splice(fd, &at, pipe_fds[1], NULL, FILE_BYTES, 0));
		NEED(splice(pipe_fds[0], NULL, null, NULL, FILE_BYTES, 0));
	}
	bench_stop();
	close(fd);
	close(null);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
}

BENCH("sendfile file→null 64K", 30, 31)
{
	int null = open("/dev/null", O_WRONLY);
	int fd = sample_open();

	bench_start();
	for (unsigned i = 0; i < n; i++) {
		off_t at = 0;

		NEED(sendfile(null, fd, &at, FILE_BYTES));
	}
	bench_stop();
	close(fd);
	close(null);
}

BENCH("sendfile→unix 64K + read", 30, 31)
{
	static char bytes[FILE_BYTES];
	int pair[2];
	int fd = sample_open();

	NEED(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	bench_start();
	for (unsigned i = 0; i < n; i++) {
		off_t at = 0;
		ssize_t got = 0;

		NEED(sendfile(pair[0], fd, &at, FILE_BYTES));
		while (got < FILE_BYTES)
			got += read(pair[1], bytes, sizeof(bytes));
	}
	bench_stop();
	close(fd);
	close(pair[0]);
	close(pair[1]);
}
