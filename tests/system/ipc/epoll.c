#include "../test.h"
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

static struct epoll_event out[16];
static int ep, ends[2];

static void setup(void)
{
	ep = CHECK_OK(epoll_create1(EPOLL_CLOEXEC));
	CHECK_OK(pipe2(ends, O_NONBLOCK));
}

static int control(int op, int fd, uint32_t events, uint64_t data)
{
	struct epoll_event e = { .events = events, .data.u64 = data };

	return epoll_ctl(ep, op, fd, &e);
}

static int ready(void)
{
	return epoll_wait(ep, out, 16, 0);
}

static void put(void)
{
	CHECK_EQ(write(ends[1], "x", 1), 1);
}

static void get(void)
{
	char c;

	CHECK_EQ(read(ends[0], &c, 1), 1);
}

TEST(level)
{
	setup();
	CHECK_OK(control(EPOLL_CTL_ADD, ends[0], EPOLLIN, 77));
	CHECK_EQ(ready(), 0);
	put();
	for (int i = 0; i < 3; i++) {
		CHECK_EQ(ready(), 1);
		CHECK_EQ(out[0].events, EPOLLIN);
		CHECK_EQ(out[0].data.u64, 77);
	}
	get();
	CHECK_EQ(ready(), 0);
	CHECK_OK(control(EPOLL_CTL_MOD, ends[0], EPOLLIN, 78));
	put();
	CHECK_EQ(ready(), 1);
	CHECK_EQ(out[0].data.u64, 78);
	CHECK_OK(epoll_ctl(ep, EPOLL_CTL_DEL, ends[0], NULL));
	CHECK_EQ(ready(), 0);
	CHECK_OK(control(EPOLL_CTL_ADD, ends[0], EPOLLIN, 79));
	CHECK_EQ(ready(), 1);
	CHECK_OK(close(ends[1]));
	CHECK_EQ(ready(), 1);
	CHECK_EQ(out[0].events, EPOLLIN | EPOLLHUP);
}

TEST(edge)
{
	setup();
	CHECK_OK(control(EPOLL_CTL_ADD, ends[0], EPOLLIN | EPOLLET, 1));
	put();
	CHECK_EQ(ready(), 1);
	CHECK_EQ(ready(), 0);
	put();
	CHECK_EQ(ready(), 1);
	CHECK_EQ(ready(), 0);
	/* A change looks again. */
	CHECK_OK(control(EPOLL_CTL_MOD, ends[0], EPOLLIN | EPOLLET, 1));
	CHECK_EQ(ready(), 1);
	CHECK_EQ(ready(), 0);
}

TEST(one_shot)
{
	setup();
	CHECK_OK(control(EPOLL_CTL_ADD, ends[0], EPOLLIN | EPOLLONESHOT, 1));
	put();
	CHECK_EQ(ready(), 1);
	CHECK_EQ(ready(), 0);
	put();
	CHECK_EQ(ready(), 0);
	CHECK_ERR(control(EPOLL_CTL_ADD, ends[0], EPOLLIN, 1), EEXIST);
	CHECK_OK(control(EPOLL_CTL_MOD, ends[0], EPOLLIN | EPOLLONESHOT, 2));
	CHECK_EQ(ready(), 1);
	CHECK_EQ(ready(), 0);
}

TEST(exclusive)
{
	setup();
	CHECK_OK(control(EPOLL_CTL_ADD, ends[0], EPOLLIN | EPOLLEXCLUSIVE, 1));
	put();
	CHECK_EQ(ready(), 1);
	CHECK_ERR(control(EPOLL_CTL_MOD, ends[0], EPOLLIN | EPOLLEXCLUSIVE, 1),
		  EINVAL);
	CHECK_ERR(control(EPOLL_CTL_MOD, ends[0], EPOLLIN, 1), EINVAL);
	CHECK_ERR(control(EPOLL_CTL_ADD, ends[1], EPOLLOUT | EPOLLEXCLUSIVE |
			  EPOLLONESHOT, 1), EINVAL);
}

TEST(nested)
{
	int outer, e;

	setup();
	CHECK_OK(control(EPOLL_CTL_ADD, ends[0], EPOLLIN, 5));
	e = ep;
	outer = ep = CHECK_OK(epoll_create1(0));
	CHECK_OK(control(EPOLL_CTL_ADD, e, EPOLLIN, 6));
	CHECK_EQ(ready(), 0);
	put();
	CHECK_EQ(ready(), 1);
	CHECK_EQ(out[0].data.u64, 6);
	CHECK_EQ(poll(&(struct pollfd){ .fd = outer, .events = POLLIN }, 1, 0),
		 1);
	get();
	CHECK_EQ(ready(), 0);
	/* No circles, and not too deep. */
	ep = e;
	CHECK_ERR(control(EPOLL_CTL_ADD, outer, EPOLLIN, 1), ELOOP);
	CHECK_ERR(control(EPOLL_CTL_ADD, ep, EPOLLIN, 1), EINVAL);
	for (int i = 0; i < 3; i++) {
		e = CHECK_OK(epoll_create1(0));
		ep = e;
		CHECK_OK(control(EPOLL_CTL_ADD, outer, EPOLLIN, 1));
		outer = e;
	}
	ep = CHECK_OK(epoll_create1(0));
	CHECK_ERR(control(EPOLL_CTL_ADD, outer, EPOLLIN, 1), ELOOP);
}

TEST(closed_files_leave)
{
	int twin;

	setup();
	CHECK_OK(control(EPOLL_CTL_ADD, ends[0], EPOLLIN, 1));
	twin = CHECK_OK(dup(ends[0]));
	put();
	CHECK_OK(close(ends[0]));
	/* The open file lives on, and so does its entry. */
	CHECK_EQ(ready(), 1);
	CHECK_ERR(epoll_ctl(ep, EPOLL_CTL_DEL, ends[0], NULL), EBADF);
	CHECK_OK(close(twin));
	CHECK_EQ(ready(), 0);
}

TEST(errors)
{
	struct epoll_event e = { .events = EPOLLIN };
	int file;

	setup();
	file = CHECK_OK(open("f", O_CREAT | O_RDWR, 0666));
	CHECK_ERR(control(EPOLL_CTL_ADD, file, EPOLLIN, 1), EPERM);
	CHECK_ERR(control(EPOLL_CTL_ADD, 99, EPOLLIN, 1), EBADF);
	CHECK_ERR(control(EPOLL_CTL_MOD, ends[0], EPOLLIN, 1), ENOENT);
	CHECK_ERR(control(EPOLL_CTL_DEL, ends[0], EPOLLIN, 1), ENOENT);
	CHECK_ERR(control(99, ends[0], EPOLLIN, 1), EINVAL);
	CHECK_ERR(epoll_ctl(ends[0], EPOLL_CTL_ADD, ends[1], &e), EINVAL);
	CHECK_ERR(syscall(SYS_epoll_ctl, ep, EPOLL_CTL_ADD, ends[0], WILD),
		  EFAULT);
	CHECK_ERR(epoll_wait(ep, out, 0, 0), EINVAL);
	CHECK_ERR(syscall(SYS_epoll_wait, ep, out, -1, 0), EINVAL);
	CHECK_ERR(epoll_wait(ends[0], out, 1, 0), EINVAL);
	CHECK_ERR(epoll_wait(-1, out, 1, 0), EBADF);
	CHECK_ERR(epoll_create1(0x1), EINVAL);
	CHECK_ERR(epoll_create(0), EINVAL);
	CHECK_OK(epoll_create(1));
	CHECK_OK(control(EPOLL_CTL_ADD, ends[0], EPOLLIN, 1));
	put();
	CHECK_ERR(syscall(SYS_epoll_wait, ep, WILDK, 1, 0), EFAULT);
}

TEST(fair_among_many)
{
	int fd[8], seen = 0;

	setup();
	for (int i = 0; i < 8; i++) {
		fd[i] = CHECK_OK(eventfd(1, 0));
		CHECK_OK(control(EPOLL_CTL_ADD, fd[i], EPOLLIN,
				 1ull << i));
	}
	CHECK_EQ(epoll_wait(ep, out, 16, 0), 8);
	/* Two at a time, all come round. */
	for (int i = 0; i < 4; i++) {
		CHECK_EQ(epoll_wait(ep, out, 2, 0), 2);
		seen |= (int)(out[0].data.u64 | out[1].data.u64);
	}
	CHECK_EQ(seen, 255);
}

TEST(waiting)
{
	struct timespec t = { .tv_nsec = 10000000 };
	int64_t start = test_now_ns();
	pid_t pid;

	setup();
	CHECK_OK(control(EPOLL_CTL_ADD, ends[0], EPOLLIN, 1));
	CHECK_EQ(epoll_wait(ep, out, 1, 10), 0);
	CHECK(test_now_ns() - start >= 10000000);
	CHILD(pid)
		CHECK_EQ(epoll_wait(ep, out, 1, -1), 1);
	test_wait_state(pid, 'S');
	put();
	CHECK_EXIT(pid, 0);
	get();
	CHECK_EQ(syscall(SYS_epoll_pwait2, ep, out, 1, &t, NULL, 8), 0);
	t.tv_nsec = 1000000000;
	CHECK_ERR(syscall(SYS_epoll_pwait2, ep, out, 1, &t, NULL, 8), EINVAL);
}

static void on_signal(int sig TEST_UNUSED)
{
}

TEST(waiting_with_a_mask)
{
	sigset_t set, none;
	pid_t pid;

	setup();
	signal(SIGUSR1, on_signal);
	sigemptyset(&none);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	CHECK_OK(sigprocmask(SIG_BLOCK, &set, NULL));
	raise(SIGUSR1);
	CHECK_ERR(epoll_pwait(ep, out, 1, -1, &none), EINTR);
	CHILD(pid) {
		CHECK_OK(control(EPOLL_CTL_ADD, ends[0], EPOLLIN, 1));
		CHECK_ERR(epoll_pwait(ep, out, 1, -1, &none), EINTR);
	}
	test_wait_state(pid, 'S');
	CHECK_OK(kill(pid, SIGUSR1));
	CHECK_EXIT(pid, 0);
	CHECK_ERR(syscall(SYS_epoll_pwait, ep, out, 1, 0, &none, 5), EINVAL);
}

TEST(half_closed_sockets)
{
	int sv[2];

	setup();
	CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, sv));
	CHECK_OK(control(EPOLL_CTL_ADD, sv[0], EPOLLIN | EPOLLRDHUP, 1));
	CHECK_EQ(ready(), 0);
	CHECK_OK(shutdown(sv[1], SHUT_WR));
	CHECK_EQ(ready(), 1);
	CHECK_EQ(out[0].events, EPOLLIN | EPOLLRDHUP);
	CHECK_OK(close(sv[1]));
	CHECK_EQ(ready(), 1);
	CHECK_EQ(out[0].events, EPOLLIN | EPOLLRDHUP | EPOLLHUP);
}
