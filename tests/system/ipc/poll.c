#include "../test.h"
#include <poll.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/socket.h>

TEST(results)
{
	int ends[2], file = CHECK_OK(open("f", O_CREAT | O_RDWR, 0666));
	struct pollfd p[4] = {
		{ .fd = -1, .events = POLLIN }, { .fd = 999, .events = POLLIN },
		{ .fd = file, .events = POLLIN | POLLOUT }, { .fd = -7 },
	};

	CHECK_EQ(poll(p, 4, -1), 2);
	CHECK_EQ(p[0].revents, 0);
	CHECK_EQ(p[1].revents, POLLNVAL);
	CHECK_EQ(p[2].revents, POLLIN | POLLOUT);
	CHECK_EQ(poll(p, 0, 0), 0);
	CHECK_EQ(poll(NULL, 0, 1), 0);
	CHECK_OK(pipe(ends));
	p[0] = (struct pollfd){ .fd = ends[0], .events = 0 };
	CHECK_EQ(write(ends[1], "x", 1), 1);
	CHECK_EQ(poll(p, 1, 0), 0);
	CHECK_OK(close(ends[1]));
	/* POLLHUP needs no asking. */
	CHECK_EQ(poll(p, 1, 0), 1);
	CHECK_EQ(p[0].revents, POLLHUP);
}

TEST(errors)
{
	struct timespec bad = { .tv_nsec = 1000000000 };
	struct pollfd p = { .fd = 0 };
	struct rlimit r;

	CHECK_ERR(syscall(SYS_poll, WILD, 1, 0), EFAULT);
	CHECK_ERR(syscall(SYS_poll, WILDK, 1, 0), EFAULT);
	CHECK_OK(getrlimit(RLIMIT_NOFILE, &r));
	CHECK_ERR(syscall(SYS_poll, &p, r.rlim_cur + 1, 0), EINVAL);
	CHECK_ERR(syscall(SYS_poll, &p, ~0u, 0), EINVAL);
	CHECK_ERR(ppoll(&p, 1, &bad, NULL), EINVAL);
	bad = (struct timespec){ .tv_sec = -1 };
	CHECK_ERR(ppoll(&p, 1, &bad, NULL), EINVAL);
	CHECK_ERR(syscall(SYS_ppoll, &p, 1, WILD, NULL, 8), EFAULT);
	CHECK_ERR(syscall(SYS_ppoll, &p, 1, NULL, &bad, 3), EINVAL);
}

TEST(timeouts)
{
	int64_t start = test_now_ns();
	struct timespec t = { .tv_nsec = 10000000 };
	struct timeval v = { .tv_usec = 10000 };

	CHECK_EQ(poll(NULL, 0, 10), 0);
	CHECK(test_now_ns() - start >= 10000000);
	start = test_now_ns();
	CHECK_EQ(ppoll(NULL, 0, &t, NULL), 0);
	CHECK(test_now_ns() - start >= 10000000);
	start = test_now_ns();
	CHECK_EQ(select(0, NULL, NULL, NULL, &v), 0);
	CHECK(test_now_ns() - start >= 10000000);
	CHECK(v.tv_sec == 0 && v.tv_usec == 0);
}

TEST(wakes)
{
	int ends[2];
	struct pollfd p;
	pid_t pid;

	CHECK_OK(pipe(ends));
	p = (struct pollfd){ .fd = ends[0], .events = POLLIN };
	CHILD(pid) {
		CHECK_EQ(poll(&p, 1, -1), 1);
		CHECK_EQ(p.revents, POLLIN);
	}
	test_wait_state(pid, 'S');
	CHECK_EQ(write(ends[1], "x", 1), 1);
	CHECK_EXIT(pid, 0);
}

TEST(select_results)
{
	fd_set r, w, x;
	int ends[2], top, fd;
	struct timeval zero = {}, left = { .tv_sec = 50 };

	CHECK_OK(pipe(ends));
	top = ends[1] + 1;
	FD_ZERO(&r);
	FD_ZERO(&w);
	FD_ZERO(&x);
	FD_SET(ends[0], &r);
	FD_SET(ends[1], &w);
	FD_SET(ends[0], &x);
	CHECK_EQ(select(top, &r, &w, &x, &zero), 1);
	CHECK(!FD_ISSET(ends[0], &r) && FD_ISSET(ends[1], &w));
	CHECK(!FD_ISSET(ends[0], &x));
	FD_SET(ends[0], &r);
	CHECK_EQ(write(ends[1], "x", 1), 1);
	CHECK_EQ(select(top, &r, &w, NULL, &left), 2);
	/* Linux writes the time that was left. */
	CHECK(left.tv_sec >= 49 || left.tv_usec);
	/* The same descriptor in two sets counts twice. */
	FD_ZERO(&w);
	FD_SET(0, &w);
	CHECK_ERR(select(-1, NULL, NULL, NULL, &zero), EINVAL);
	/* What can't be waited for is ready for everything. */
	fd = CHECK_OK(open(".", O_PATH));
	FD_ZERO(&r);
	FD_SET(fd, &r);
	w = x = r;
	CHECK_EQ(select(fd + 1, &r, &w, &x, &zero), 3);
	CHECK(FD_ISSET(fd, &r) && FD_ISSET(fd, &x));
	FD_ZERO(&r);
	FD_SET(50, &r);
	CHECK_ERR(select(51, &r, NULL, NULL, &zero), EBADF);
	zero.tv_sec = -1;
	CHECK_ERR(select(0, NULL, NULL, NULL, &zero), EINVAL);
	zero = (struct timeval){};
	CHECK_ERR(syscall(SYS_select, top, WILD, NULL, NULL, &zero), EFAULT);
	CHECK_ERR(syscall(SYS_select, 0, NULL, NULL, NULL, WILD), EFAULT);
}

static volatile sig_atomic_t handled;

static void on_signal(int sig TEST_UNUSED)
{
	handled++;
}

TEST(masks)
{
	struct timespec t = { .tv_sec = 100 };
	sigset_t set, none, now;
	struct pollfd p;
	int ends[2];

	signal(SIGUSR1, on_signal);
	sigemptyset(&none);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	CHECK_OK(sigprocmask(SIG_BLOCK, &set, NULL));
	raise(SIGUSR1);
	CHECK_ERR(ppoll(NULL, 0, &t, &none), EINTR);
	CHECK_EQ(handled, 1);
	raise(SIGUSR1);
	CHECK_ERR(pselect(0, NULL, NULL, NULL, &t, &none), EINTR);
	CHECK_EQ(handled, 2);
	CHECK_OK(sigprocmask(SIG_BLOCK, NULL, &now));
	CHECK(sigismember(&now, SIGUSR1));
	/* A ready descriptor wins; the signal stays for later. */
	CHECK_OK(pipe(ends));
	CHECK_EQ(write(ends[1], "x", 1), 1);
	p = (struct pollfd){ .fd = ends[0], .events = POLLIN };
	raise(SIGUSR1);
	CHECK_EQ(ppoll(&p, 1, &t, &set), 1);
	CHECK_EQ(handled, 2);
}

TEST(sockets)
{
	int sv[2];
	struct pollfd p;

	CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, sv));
	p = (struct pollfd){ .fd = sv[0], .events = POLLIN | POLLOUT |
						    POLLRDHUP };
	CHECK_EQ(poll(&p, 1, 0), 1);
	CHECK_EQ(p.revents, POLLOUT);
	CHECK_EQ(write(sv[1], "x", 1), 1);
	CHECK_EQ(poll(&p, 1, 0), 1);
	CHECK_EQ(p.revents, POLLIN | POLLOUT);
	CHECK_OK(close(sv[1]));
	CHECK_EQ(poll(&p, 1, 0), 1);
	CHECK_EQ(p.revents, POLLIN | POLLOUT | POLLRDHUP | POLLHUP);
}

TEST(many_descriptors)
{
	static struct pollfd p[200];
	int ends[2];

	for (int i = 0; i < 200; i += 2) {
		CHECK_OK(pipe(ends));
		p[i] = (struct pollfd){ .fd = ends[0], .events = POLLIN };
		p[i + 1] = (struct pollfd){ .fd = ends[1], .events = POLLOUT };
	}
	CHECK_EQ(write(p[101].fd, "x", 1), 1);
	CHECK_EQ(poll(p, 200, 0), 101);
	CHECK_EQ(p[100].revents, POLLIN);
}

/* Files of several kinds in turn, by a call that does not wait and by one that could. */
TEST(kinds_beside_each_other)
{
	int a[2], b[2], sv[2], fifo, sender;
	struct pollfd p[9];
	short want[9] = { 0, POLLIN, POLLNVAL, POLLIN | POLLOUT, POLLNVAL,
			  POLLOUT, POLLIN, POLLIN, 0 };

	CHECK_OK(pipe(a));
	CHECK_OK(pipe(b));
	CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, sv));
	CHECK_OK(mkfifo("fifo", 0600));
	fifo = CHECK_OK(open("fifo", O_RDONLY | O_NONBLOCK));
	sender = CHECK_OK(open("fifo", O_WRONLY));
	CHECK_EQ(write(b[1], "x", 1), 1);
	CHECK_EQ(write(sender, "x", 1), 1);
	p[0].fd = a[0];
	p[1].fd = b[0];
	p[2].fd = CHECK_OK(open("/", O_PATH));
	p[3].fd = CHECK_OK(open("file", O_CREAT | O_RDWR, 0600));
	p[4].fd = 999;
	p[5].fd = sv[0];
	p[6].fd = CHECK_OK(open("fifo", O_RDONLY | O_NONBLOCK));
	p[7].fd = fifo;
	p[8].fd = -1;
	for (int wait = 0; wait < 2; wait++) {
		for (int i = 0; i < 9; i++) {
			p[i].events = POLLIN | POLLOUT;
			p[i].revents = wait ? 0 : -1;
		}
		CHECK_EQ(poll(p, 9, wait ? 1000 : 0), 7);
		for (int i = 0; i < 9; i++)
			CHECK_EQ(p[i].revents, want[i]);
	}
	CHECK_EQ(read(fifo, sv, 1), 1);
	CHECK_OK(close(sender));
	CHECK_EQ(poll(p, 9, 0), 7);
	CHECK_EQ(p[6].revents, POLLHUP);
	CHECK_EQ(p[7].revents, POLLHUP);
}

/* The array may lie at any address. */
TEST(at_odd_addresses)
{
	char bytes[4 * sizeof(struct pollfd) + 8];
	int ends[2];

	CHECK_OK(pipe(ends));
	CHECK_EQ(write(ends[1], "x", 1), 1);
	for (size_t at = 1; at < 8; at++) {
		struct pollfd fds[3] = { { -1, POLLIN, 5 },
					 { ends[0], POLLIN, 5 },
					 { ends[1], POLLIN, 5 } };

		memcpy(bytes + at, fds, sizeof(fds));
		CHECK_EQ(syscall(SYS_poll, bytes + at, 3, 0), 1);
		memcpy(fds, bytes + at, sizeof(fds));
		CHECK(fds[0].revents == 0 && fds[1].revents == POLLIN && fds[2].revents == 0);
	}
}
