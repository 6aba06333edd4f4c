#include "../test.h"
#include <sched.h>
#include <sys/time.h>
#include <sys/timex.h>

#define MS	1000000ll

static int64_t ns(clockid_t clock)
{
	struct timespec t;

	CHECK_OK(clock_gettime(clock, &t));
	CHECK(t.tv_nsec >= 0 && t.tv_nsec < 1000000000);
	return t.tv_sec * 1000000000ll + t.tv_nsec;
}

/* By the system call itself, not through the vDSO. */
static int64_t raw_ns(clockid_t clock)
{
	struct timespec t;

	CHECK_OK(syscall(SYS_clock_gettime, clock, &t));
	return t.tv_sec * 1000000000ll + t.tv_nsec;
}

TEST(all_clocks)
{
	const clockid_t clocks[] = {
		CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_PROCESS_CPUTIME_ID,
		CLOCK_THREAD_CPUTIME_ID, CLOCK_MONOTONIC_RAW,
		CLOCK_REALTIME_COARSE, CLOCK_MONOTONIC_COARSE, CLOCK_BOOTTIME,
		CLOCK_REALTIME_ALARM, CLOCK_BOOTTIME_ALARM, CLOCK_TAI,
	};
	struct timespec t;

	for (size_t i = 0; i < sizeof(clocks) / sizeof(*clocks); i++) {
		if (clocks[i] == CLOCK_REALTIME_ALARM ||
		    clocks[i] == CLOCK_BOOTTIME_ALARM)
			continue;
		CHECK(ns(clocks[i]) >= 0);
		CHECK_OK(clock_getres(clocks[i], &t));
		CHECK(t.tv_sec == 0 && t.tv_nsec > 0);
		CHECK_OK(clock_getres(clocks[i], NULL));
	}
	CHECK_OK(clock_getres(CLOCK_MONOTONIC, &t));
	CHECK_EQ(t.tv_nsec, 1);
	CHECK_ERR(clock_gettime(99, &t), EINVAL);
	CHECK_ERR(clock_gettime(10, &t), EINVAL);
	CHECK_ERR(clock_getres(99, &t), EINVAL);
	CHECK_ERR(syscall(SYS_clock_gettime, CLOCK_REALTIME, WILD), EFAULT);
	CHECK_ERR(syscall(SYS_clock_getres, CLOCK_REALTIME, WILD), EFAULT);
}

TEST(monotonic_never_goes_back)
{
	int64_t last = 0, now;

	for (int i = 0; i < 20000; i++) {
		now = ns(CLOCK_MONOTONIC);
		CHECK(now >= last);
		last = now;
	}
	for (int i = 0; i < 1000; i++) {
		now = i & 1 ? raw_ns(CLOCK_MONOTONIC) : ns(CLOCK_MONOTONIC);
		CHECK(now >= last);
		last = now;
	}
}

TEST(clocks_agree)
{
	int64_t a = ns(CLOCK_MONOTONIC), b = ns(CLOCK_BOOTTIME);
	int64_t real = ns(CLOCK_REALTIME), coarse;
	struct timeval v;
	time_t seconds;

	CHECK(b + 1000 * MS >= a);
	coarse = ns(CLOCK_REALTIME_COARSE);
	CHECK(llabs(coarse - real) < 1000 * MS);
	CHECK_OK(gettimeofday(&v, NULL));
	CHECK(llabs(v.tv_sec * 1000000000ll + v.tv_usec * 1000 - real) <
	      5000 * MS);
	seconds = time(NULL);
	CHECK(llabs(seconds - real / 1000000000) <= 5);
	CHECK(llabs(raw_ns(CLOCK_REALTIME) - real) < 5000 * MS);
	/* Later than when this was written. */
	CHECK(seconds > 1700000000);
	CHECK_ERR(syscall(SYS_gettimeofday, WILD, NULL), EFAULT);
	CHECK_ERR(syscall(SYS_time, WILD), EFAULT);
}

TEST(cpu_clocks)
{
	int64_t start = ns(CLOCK_PROCESS_CPUTIME_ID), thread;
	clockid_t id;

	while (ns(CLOCK_PROCESS_CPUTIME_ID) - start < 5 * MS)
		continue;
	thread = ns(CLOCK_THREAD_CPUTIME_ID);
	CHECK(thread <= ns(CLOCK_PROCESS_CPUTIME_ID));
	/* Asleep, none is used. */
	start = ns(CLOCK_THREAD_CPUTIME_ID);
	usleep(30000);
	CHECK(ns(CLOCK_THREAD_CPUTIME_ID) - start < 25 * MS);
	CHECK_EQ(clock_getcpuclockid(0, &id), 0);
	CHECK(ns(id) > 0);
	CHECK_EQ(clock_getcpuclockid(getppid(), &id), 0);
	CHECK(ns(id) >= 0);
}

TEST(setting)
{
	struct timespec t = { .tv_sec = 1, .tv_nsec = 1000000000 };
	pid_t pid;

	CHECK_ERR(clock_settime(CLOCK_MONOTONIC, &t), EINVAL);
	CHECK_ERR(clock_settime(CLOCK_REALTIME, &t), EINVAL);
	CHECK_ERR(syscall(SYS_clock_settime, CLOCK_REALTIME, WILD), EFAULT);
	if (geteuid() != 0)
		return;
	CHILD(pid) {
		CHECK_OK(setresuid(1000, 1000, 1000));
		CHECK_OK(clock_gettime(CLOCK_REALTIME, &t));
		CHECK_ERR(clock_settime(CLOCK_REALTIME, &t), EPERM);
	}
	CHECK_EXIT(pid, 0);
}

TEST(adjustment_can_be_read)
{
	struct timex t = {};

	CHECK_OK(adjtimex(&t));
	CHECK(t.tick >= 9000 && t.tick <= 11000);
	CHECK_ERR(syscall(SYS_adjtimex, WILD), EFAULT);
}

TEST(processor_number)
{
	unsigned cpu = 999, node = 999;

	CHECK_OK(syscall(SYS_getcpu, &cpu, &node, NULL));
	CHECK(cpu < 999 && node < 999);
	CHECK_OK(syscall(SYS_getcpu, NULL, NULL, NULL));
	CHECK_ERR(syscall(SYS_getcpu, WILD, NULL, NULL), EFAULT);
	CHECK_OK(getcpu(&cpu, &node));
}
