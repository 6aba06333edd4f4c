/*
 * Deadlines on the wall clock move with it.  These tests set the clock, which
 * they only do in a virtual machine of their own (`./nos run`, either kernel).
 */
#include "../test.h"
#include <linux/futex.h>
#include <poll.h>
#include <sys/timerfd.h>
#include <sys/timex.h>

#define MS	1000000ll
#define SEC	1000000000ll
#define HOUR	(3600 * SEC)

static struct timespec timespec_of(int64_t ns)
{
	return (struct timespec){ ns / SEC, ns % SEC };
}

static int64_t wall(void)
{
	struct timespec t;

	CHECK_OK(clock_gettime(CLOCK_REALTIME, &t));
	return t.tv_sec * SEC + t.tv_nsec;
}

static void step(int64_t by)
{
	struct timespec t = timespec_of(wall() + by);

	CHECK_OK(clock_settime(CLOCK_REALTIME, &t));
}

static void own_machine(void)
{
	char text[16] = "";
	int fd = CHECK_OK(open("/proc/1/cmdline", O_RDONLY));

	CHECK(read(fd, text, sizeof(text) - 1) >= 0);
	if (strcmp(text, "/init") || geteuid() != 0)
		SKIP("sets the clock: in a machine of its own only");
}

/* A child that sleeps until an hour from now, in this way. */
static pid_t sleeper(int (*sleep)(const struct timespec *until))
{
	struct timespec t = timespec_of(wall() + HOUR);
	pid_t pid;

	CHILD(pid)
		CHECK_OK(sleep(&t));
	test_wait_state(pid, 'S');
	return pid;
}

static int by_nanosleep(const struct timespec *t)
{
	return -clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, t, NULL);
}

static int by_futex(const struct timespec *t)
{
	uint32_t word = 0;
	long n = syscall(SYS_futex, &word, FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME,
			 0, t, NULL, ~0u);

	return n == -1 && errno == ETIMEDOUT ? 0 : -1;
}

static int by_lock_pi(const struct timespec *t)
{
	uint32_t *word = CHECK_OK(mmap(NULL, 4096, PROT_READ | PROT_WRITE,
				       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	long n;

	*word = (uint32_t)getppid();
	n = syscall(SYS_futex, word, FUTEX_LOCK_PI, 0, t, NULL, 0);
	return n == -1 && errno == ETIMEDOUT ? 0 : -1;
}

static int by_timer(const struct timespec *t)
{
	struct sigevent e = { .sigev_notify = SIGEV_SIGNAL,
			      .sigev_signo = SIGUSR1 };
	struct itimerspec s = { .it_value = *t };
	sigset_t set;
	int id;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	CHECK_OK(sigprocmask(SIG_BLOCK, &set, NULL));
	CHECK_OK(syscall(SYS_timer_create, CLOCK_REALTIME, &e, &id));
	CHECK_OK(syscall(SYS_timer_settime, id, TIMER_ABSTIME, &s, NULL));
	return sigwaitinfo(&set, NULL) == SIGUSR1 ? 0 : -1;
}

static int by_timerfd(const struct timespec *t)
{
	int fd = CHECK_OK(timerfd_create(CLOCK_REALTIME, 0));
	struct itimerspec s = { .it_value = *t };
	uint64_t ticks;

	CHECK_OK(timerfd_settime(fd, TFD_TIMER_ABSTIME, &s, NULL));
	CHECK_EQ(read(fd, &ticks, sizeof(ticks)), 8);
	return ticks == 1 ? 0 : -1;
}

static int (*const ways[])(const struct timespec *) = {
	by_nanosleep, by_futex, by_lock_pi, by_timer, by_timerfd,
};
#define NR_WAYS (sizeof(ways) / sizeof(ways[0]))

TEST(forward_step_ends_sleeps)
{
	pid_t pid[NR_WAYS];

	own_machine();
	for (size_t i = 0; i < NR_WAYS; i++)
		pid[i] = sleeper(ways[i]);
	step(HOUR / 2);
	CHECK_OK(usleep(20000));
	for (size_t i = 0; i < NR_WAYS; i++)
		CHECK_EQ(waitpid(pid[i], NULL, WNOHANG), 0);
	step(HOUR / 2);
	for (size_t i = 0; i < NR_WAYS; i++)
		CHECK_EXIT(pid[i], 0);
	step(-HOUR);
}

TEST(backward_step_prolongs_sleeps)
{
	struct timespec t;
	pid_t pid[NR_WAYS];

	own_machine();
	for (size_t i = 0; i < NR_WAYS; i++) {
		CHILD(pid[i]) {
			t = timespec_of(wall() + 400 * MS);
			CHECK_OK(ways[i](&t));
		}
		test_wait_state(pid[i], 'S');
	}
	step(-HOUR);
	CHECK_OK(usleep(600000));
	for (size_t i = 0; i < NR_WAYS; i++)
		CHECK_EQ(waitpid(pid[i], NULL, WNOHANG), 0);
	step(HOUR);
	for (size_t i = 0; i < NR_WAYS; i++)
		CHECK_EXIT(pid[i], 0);
}

TEST(spans_do_not_move)
{
	struct itimerspec s = { .it_value = { .tv_sec = 1000 } }, left;
	int fd, id;

	own_machine();
	fd = CHECK_OK(timerfd_create(CLOCK_REALTIME, 0));
	CHECK_OK(timerfd_settime(fd, 0, &s, NULL));
	CHECK_OK(syscall(SYS_timer_create, CLOCK_REALTIME, NULL, &id));
	CHECK_OK(syscall(SYS_timer_settime, id, 0, &s, NULL));
	step(HOUR);
	CHECK_OK(timerfd_gettime(fd, &left));
	CHECK(left.it_value.tv_sec >= 990 && left.it_value.tv_sec <= 1000);
	CHECK_OK(syscall(SYS_timer_gettime, id, &left));
	CHECK(left.it_value.tv_sec >= 990 && left.it_value.tv_sec <= 1000);
	/* An absolute time comes nearer. */
	s.it_value = timespec_of(wall() + 2 * HOUR);
	CHECK_OK(timerfd_settime(fd, TFD_TIMER_ABSTIME, &s, NULL));
	CHECK_OK(syscall(SYS_timer_settime, id, TIMER_ABSTIME, &s, NULL));
	step(HOUR);
	CHECK_OK(timerfd_gettime(fd, &left));
	CHECK(left.it_value.tv_sec >= 3590 && left.it_value.tv_sec <= 3600);
	CHECK_OK(syscall(SYS_timer_gettime, id, &left));
	CHECK(left.it_value.tv_sec >= 3590 && left.it_value.tv_sec <= 3600);
	step(-2 * HOUR);
}

TEST(timerfd_is_cancelled_by_a_step)
{
	struct itimerspec s = { 0 };
	struct pollfd p;
	uint64_t ticks;
	pid_t pid;
	int fd;

	own_machine();
	fd = CHECK_OK(timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK));
	p = (struct pollfd){ .fd = fd, .events = POLLIN };
	s.it_value = timespec_of(wall() + HOUR);
	CHECK_OK(timerfd_settime(fd, TFD_TIMER_ABSTIME |
				 TFD_TIMER_CANCEL_ON_SET, &s, NULL));
	CHECK_ERR(read(fd, &ticks, sizeof(ticks)), EAGAIN);
	CHECK_EQ(poll(&p, 1, 0), 0);
	CHILD(pid) {
		CHECK_OK(fcntl(fd, F_SETFL, 0));
		CHECK_ERR(read(fd, &ticks, sizeof(ticks)), ECANCELED);
	}
	test_wait_state(pid, 'S');
	step(SEC);
	CHECK_EXIT(pid, 0);
	CHECK_OK(fcntl(fd, F_SETFL, O_NONBLOCK));
	CHECK_EQ(poll(&p, 1, 0), 0);
	step(-SEC);
	CHECK_EQ(poll(&p, 1, 0), 1);
	CHECK_EQ(p.revents, POLLIN);
	CHECK_ERR(read(fd, &ticks, sizeof(ticks)), ECANCELED);
	CHECK_ERR(read(fd, &ticks, sizeof(ticks)), EAGAIN);
	/* A setting after an unseen step tells of it, and holds. */
	step(SEC);
	CHECK_ERR(timerfd_settime(fd, TFD_TIMER_ABSTIME |
				  TFD_TIMER_CANCEL_ON_SET, &s, NULL), ECANCELED);
	CHECK_OK(timerfd_gettime(fd, &s));
	CHECK(s.it_value.tv_sec > 3000);
	/* Relative settings never are. */
	s = (struct itimerspec){ .it_value = { .tv_sec = 1000 } };
	CHECK_OK(timerfd_settime(fd, TFD_TIMER_CANCEL_ON_SET, &s, NULL));
	step(-SEC);
	CHECK_ERR(read(fd, &ticks, sizeof(ticks)), EAGAIN);
}

TEST(adjtimex_steps)
{
	struct timex tx = { .modes = ADJ_SETOFFSET | ADJ_NANO };
	int64_t before;
	pid_t pid;

	own_machine();
	pid = sleeper(by_nanosleep);
	before = wall();
	tx.time.tv_sec = 3600;
	tx.time.tv_usec = 500;
	CHECK_OK(adjtimex(&tx));
	CHECK(wall() - before >= HOUR + 500);
	CHECK_EXIT(pid, 0);
	tx = (struct timex){ .modes = ADJ_SETOFFSET };
	tx.time.tv_sec = -3601;
	tx.time.tv_usec = 999999;
	CHECK_OK(adjtimex(&tx));
	CHECK(wall() - before < 60 * SEC);
	tx = (struct timex){ .modes = ADJ_SETOFFSET };
	tx.time.tv_usec = 1000000;
	CHECK_ERR(adjtimex(&tx), EINVAL);
	tx.time.tv_usec = -1;
	CHECK_ERR(adjtimex(&tx), EINVAL);
}
