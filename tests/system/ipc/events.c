#include "../test.h"
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>

static uint64_t value, many[4];

TEST(eventfd_counts)
{
	int fd = CHECK_OK(eventfd(3, EFD_NONBLOCK | EFD_CLOEXEC));
	struct pollfd p = { .fd = fd, .events = POLLIN | POLLOUT };

	CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
	CHECK_EQ(read(fd, &value, 8), 8);
	CHECK_EQ(value, 3);
	CHECK_ERR(read(fd, &value, 8), EAGAIN);
	CHECK_EQ(poll(&p, 1, 0), 1);
	CHECK_EQ(p.revents, POLLOUT);
	value = 5;
	CHECK_EQ(write(fd, &value, 8), 8);
	CHECK_EQ(write(fd, &value, 8), 8);
	CHECK_EQ(poll(&p, 1, 0), 1);
	CHECK_EQ(p.revents, POLLIN | POLLOUT);
	CHECK_EQ(read(fd, many, sizeof(many)), 8);
	value = many[0];
	CHECK_EQ(value, 10);
	value = UINT64_MAX;
	CHECK_ERR(write(fd, &value, 8), EINVAL);
	value = UINT64_MAX - 1;
	CHECK_EQ(write(fd, &value, 8), 8);
	value = 1;
	CHECK_ERR(write(fd, &value, 8), EAGAIN);
	CHECK_EQ(poll(&p, 1, 0), 1);
	CHECK_EQ(p.revents, POLLIN);
}

TEST(eventfd_errors)
{
	int fd = CHECK_OK(eventfd(1, 0));

	CHECK_ERR(read(fd, &value, 7), EINVAL);
	CHECK_ERR(write(fd, &value, 4), EINVAL);
	CHECK_ERR(read(fd, WILD, 8), EFAULT);
	CHECK_ERR(write(fd, WILD, 8), EFAULT);
	CHECK_ERR(eventfd(0, 0x100), EINVAL);
}

TEST(eventfd_semaphore)
{
	int fd = CHECK_OK(eventfd(2, EFD_SEMAPHORE | EFD_NONBLOCK));

	for (int i = 0; i < 2; i++) {
		CHECK_EQ(read(fd, &value, 8), 8);
		CHECK_EQ(value, 1);
	}
	CHECK_ERR(read(fd, &value, 8), EAGAIN);
}

TEST(eventfd_blocks)
{
	int fd = CHECK_OK(eventfd(0, 0));
	pid_t pid;

	CHILD(pid) {
		CHECK_EQ(read(fd, &value, 8), 8);
		CHECK_EQ(value, 9);
	}
	test_wait_state(pid, 'S');
	value = 9;
	CHECK_EQ(write(fd, &value, 8), 8);
	CHECK_EXIT(pid, 0);
	/* A writer waits when it would overflow. */
	value = UINT64_MAX - 1;
	CHECK_EQ(write(fd, &value, 8), 8);
	CHILD(pid) {
		value = 2;
		CHECK_EQ(write(fd, &value, 8), 8);
	}
	test_wait_state(pid, 'S');
	CHECK_EQ(read(fd, &value, 8), 8);
	CHECK_EXIT(pid, 0);
	CHECK_EQ(read(fd, &value, 8), 8);
	CHECK_EQ(value, 2);
}

#define MS	1000000ll

TEST(timer_once)
{
	int fd = CHECK_OK(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC));
	struct itimerspec t = { .it_value = { 0, 10 * MS } }, now;
	struct pollfd p = { .fd = fd, .events = POLLIN };
	int64_t start = test_now_ns();

	CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
	CHECK_EQ(poll(&p, 1, 0), 0);
	CHECK_OK(timerfd_settime(fd, 0, &t, NULL));
	CHECK_EQ(read(fd, &value, 8), 8);
	CHECK_EQ(value, 1);
	CHECK(test_now_ns() - start >= 10 * MS);
	CHECK_OK(timerfd_gettime(fd, &now));
	CHECK(now.it_value.tv_sec == 0 && now.it_value.tv_nsec == 0);
}

TEST(timer_repeats)
{
	int fd = CHECK_OK(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK));
	struct itimerspec t = { { 0, 2 * MS }, { 0, MS } }, old;
	struct pollfd p = { .fd = fd, .events = POLLIN };
	uint64_t total = 0;
	int64_t start = test_now_ns();

	CHECK_OK(timerfd_settime(fd, 0, &t, &old));
	while (total < 5) {
		CHECK_EQ(poll(&p, 1, 9000), 1);
		CHECK_EQ(read(fd, &value, 8), 8);
		total += value;
	}
	CHECK(test_now_ns() - start >= (int64_t)(total - 1) * 2 * MS);
	CHECK_OK(timerfd_gettime(fd, &t));
	CHECK_EQ(t.it_interval.tv_nsec, 2 * MS);
	/* Disarmed, what was not read is gone. */
	t = (struct itimerspec){};
	CHECK_EQ(poll(&p, 1, 9000), 1);
	CHECK_OK(timerfd_settime(fd, 0, &t, &old));
	CHECK_EQ(old.it_interval.tv_nsec, 2 * MS);
	CHECK_EQ(poll(&p, 1, 0), 0);
	CHECK_ERR(read(fd, &value, 8), EAGAIN);
}

TEST(timer_absolute)
{
	int fd = CHECK_OK(timerfd_create(CLOCK_REALTIME, 0));
	struct itimerspec t = { .it_interval = { 1000, 0 } };

	/* In the past: at once, and counted by the interval. */
	clock_gettime(CLOCK_REALTIME, &t.it_value);
	t.it_value.tv_sec -= 2500;
	CHECK_OK(timerfd_settime(fd, TFD_TIMER_ABSTIME, &t, NULL));
	CHECK_EQ(read(fd, &value, 8), 8);
	CHECK_EQ(value, 3);
	CHECK_OK(timerfd_gettime(fd, &t));
	CHECK(t.it_value.tv_sec >= 490 && t.it_value.tv_sec <= 500);
	CHECK_OK(timerfd_settime(fd, TFD_TIMER_ABSTIME |
				 TFD_TIMER_CANCEL_ON_SET, &t, NULL));
}

TEST(timer_errors)
{
	int fd = CHECK_OK(timerfd_create(CLOCK_BOOTTIME, 0));
	struct itimerspec t = { .it_value = { 1, 1000000000 } };

	CHECK_ERR(timerfd_settime(fd, 0, &t, NULL), EINVAL);
	t.it_value.tv_nsec = -1;
	CHECK_ERR(timerfd_settime(fd, 0, &t, NULL), EINVAL);
	t.it_value.tv_nsec = 0;
	CHECK_ERR(timerfd_settime(fd, 0x100, &t, NULL), EINVAL);
	CHECK_ERR(timerfd_settime(0, 0, &t, NULL), EINVAL);
	CHECK_ERR(timerfd_settime(-1, 0, &t, NULL), EBADF);
	CHECK_ERR(timerfd_gettime(0, &t), EINVAL);
	CHECK_ERR(syscall(SYS_timerfd_settime, fd, 0, WILD, NULL), EFAULT);
	CHECK_ERR(syscall(SYS_timerfd_gettime, fd, WILD), EFAULT);
	CHECK_ERR(timerfd_create(99, 0), EINVAL);
	CHECK_ERR(timerfd_create(CLOCK_PROCESS_CPUTIME_ID, 0), EINVAL);
	CHECK_ERR(timerfd_create(CLOCK_MONOTONIC, 0x100), EINVAL);
	CHECK_ERR(read(fd, &value, 7), EINVAL);
	CHECK_OK(timerfd_settime(fd, 0, &t, NULL));
	t.it_value.tv_sec = INT64_MAX;
	CHECK_OK(timerfd_settime(fd, 0, &t, NULL));
}

/* An epoll that watches a signalfd outlives the process that added it. */
TEST(signalfd_in_an_epoll_of_another)
{
	struct epoll_event e = { .events = EPOLLIN };
	int told[2], fd, ep;
	sigset_t set;
	pid_t pid;
	char c;

	CHECK_OK(pipe(told));
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	CHILD(pid) {
		fd = CHECK_OK(signalfd(-1, &set, 0));
		ep = CHECK_OK(epoll_create1(0));
		CHECK_OK(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e));
		if (CHECK_OK(fork()))
			_exit(0);
		usleep(20000);
		CHECK_EQ(epoll_wait(ep, &e, 1, 0), 0);
		CHECK_OK(epoll_ctl(ep, EPOLL_CTL_DEL, fd, NULL));
		CHECK_EQ(write(told[1], "y", 1), 1);
	}
	CHECK_EXIT(pid, 0);
	CHECK_OK(close(told[1]));
	CHECK_EQ(read(told[0], &c, 1), 1);
}
