#include "../test.h"

#define MS	1000000ll

static volatile sig_atomic_t handled;

static void handler(int sig TEST_UNUSED)
{
	handled++;
}

TEST(at_least_as_long)
{
	struct timespec t = { .tv_nsec = 10 * MS };
	int64_t start = test_now_ns();

	CHECK_OK(nanosleep(&t, NULL));
	CHECK(test_now_ns() - start >= 10 * MS);
	start = test_now_ns();
	CHECK_EQ(clock_nanosleep(CLOCK_MONOTONIC, 0, &t, NULL), 0);
	CHECK(test_now_ns() - start >= 10 * MS);
	t.tv_nsec = 0;
	CHECK_OK(nanosleep(&t, NULL));
}

TEST(until)
{
	struct timespec t;
	int64_t until = test_now_ns() + 10 * MS;

	t = (struct timespec){ until / 1000000000, until % 1000000000 };
	CHECK_EQ(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL), 0);
	CHECK(test_now_ns() >= until);
	/* In the past: at once. */
	CHECK_EQ(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL), 0);
	CHECK_EQ(clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME,
				 &(struct timespec){ 1, 0 }, NULL), 0);
}

TEST(what_remains)
{
	struct timespec t = { .tv_sec = 100 }, left = {};
	pid_t pid;

	signal(SIGUSR1, handler);
	CHILD(pid) {
		CHECK_ERR(nanosleep(&t, &left), EINTR);
		CHECK_EQ(handled, 1);
		CHECK(left.tv_sec >= 80 && left.tv_sec <= 100);
	}
	test_wait_state(pid, 'S');
	CHECK_OK(kill(pid, SIGUSR1));
	CHECK_EXIT(pid, 0);
	CHILD(pid) {
		CHECK_EQ(clock_nanosleep(CLOCK_BOOTTIME, 0, &t, &left), EINTR);
		CHECK(left.tv_sec >= 80);
	}
	test_wait_state(pid, 'S');
	CHECK_OK(kill(pid, SIGUSR1));
	CHECK_EXIT(pid, 0);
	/* An absolute sleep has no rest to give. */
	CHILD(pid) {
		left.tv_sec = 12345;
		t.tv_sec = test_now_ns() / 1000000000 + 100;
		CHECK_EQ(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t,
					 &left), EINTR);
		CHECK_EQ(left.tv_sec, 12345);
	}
	test_wait_state(pid, 'S');
	CHECK_OK(kill(pid, SIGUSR1));
	CHECK_EXIT(pid, 0);
}

TEST(errors)
{
	struct timespec t = { .tv_nsec = 1000000000 };

	CHECK_ERR(nanosleep(&t, NULL), EINVAL);
	t.tv_nsec = -1;
	CHECK_ERR(nanosleep(&t, NULL), EINVAL);
	t = (struct timespec){ .tv_sec = -1 };
	CHECK_ERR(nanosleep(&t, NULL), EINVAL);
	CHECK_ERR(syscall(SYS_nanosleep, WILD, NULL), EFAULT);
	t = (struct timespec){};
	CHECK_ERR(syscall(SYS_clock_nanosleep, 99, 0, &t, NULL), EINVAL);
	CHECK(syscall(SYS_clock_nanosleep, CLOCK_THREAD_CPUTIME_ID, 0, &t,
		      NULL) == -1);
	CHECK_ERR(syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC_RAW, 0, &t,
			  NULL), EOPNOTSUPP);
	CHECK_ERR(syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, WILD, NULL),
		  EFAULT);
}

TEST(a_wild_place_for_the_rest)
{
	pid_t pid;

	signal(SIGUSR1, handler);
	CHILD(pid)
		CHECK_ERR(syscall(SYS_nanosleep,
				  &(struct timespec){ .tv_sec = 100 }, WILD),
			  EFAULT);
	test_wait_state(pid, 'S');
	CHECK_OK(kill(pid, SIGUSR1));
	CHECK_EXIT(pid, 0);
}

TEST(alarms)
{
	int64_t start;

	signal(SIGALRM, handler);
	CHECK_EQ(alarm(100), 0);
	CHECK(alarm(0) >= 80);
	CHECK_EQ(alarm(0), 0);
	start = test_now_ns();
	CHECK_EQ(ualarm(10000, 0), 0);
	CHECK_ERR(pause(), EINTR);
	CHECK_EQ(handled, 1);
	CHECK(test_now_ns() - start >= 10 * MS);
}
