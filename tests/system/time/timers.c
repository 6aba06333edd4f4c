#include "../test.h"
#include <pthread.h>
#include <sys/time.h>

#define MS	1000000ll

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

/* The kernel's timers by the bare calls: their ids are plain numbers. */
static int create(clockid_t clock, int notify, int sig, int *id)
{
	struct sigevent e = { .sigev_notify = notify, .sigev_signo = sig };

	e.sigev_value.sival_int = 1234;
	if (notify == SIGEV_THREAD_ID)
		e.sigev_notify_thread_id = gettid();
	return (int)syscall(SYS_timer_create, clock, &e, id);
}

static int arm(int id, int64_t first, int64_t again)
{
	struct itimerspec t = {
		.it_value = { first / 1000000000, first % 1000000000 },
		.it_interval = { again / 1000000000, again % 1000000000 },
	};

	return (int)syscall(SYS_timer_settime, id, 0, &t, NULL);
}

static void block(sigset_t *set, int sig)
{
	sigemptyset(set);
	sigaddset(set, sig);
	CHECK_OK(sigprocmask(SIG_BLOCK, set, NULL));
}

TEST(by_signal)
{
	siginfo_t info;
	sigset_t set;
	int64_t start = test_now_ns();
	int id;

	block(&set, SIGRTMIN);
	CHECK_OK(create(CLOCK_MONOTONIC, SIGEV_SIGNAL, SIGRTMIN, &id));
	CHECK_OK(arm(id, 10 * MS, 0));
	CHECK_EQ(sigwaitinfo(&set, &info), SIGRTMIN);
	CHECK(test_now_ns() - start >= 10 * MS);
	CHECK_EQ(info.si_code, SI_TIMER);
	CHECK_EQ(info.si_value.sival_int, 1234);
	CHECK_EQ(info.si_timerid, id);
	CHECK_EQ(info.si_overrun, 0);
	CHECK_OK(syscall(SYS_timer_delete, id));
	CHECK_ERR(syscall(SYS_timer_delete, id), EINVAL);
}

TEST(by_default_sigalrm)
{
	siginfo_t info;
	sigset_t set;
	int id;

	block(&set, SIGALRM);
	CHECK_OK(syscall(SYS_timer_create, CLOCK_REALTIME, NULL, &id));
	CHECK_OK(arm(id, MS, 0));
	CHECK_EQ(sigwaitinfo(&set, &info), SIGALRM);
	CHECK_EQ(info.si_value.sival_int, id);
}

/* A call that fails once it has a number has used the number up. */
TEST(numbers)
{
	struct sigevent bad = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = 99 };
	int id = -1;

	CHECK_ERR(syscall(SYS_timer_create, 77, NULL, &id), EINVAL);
	CHECK_OK(syscall(SYS_timer_create, CLOCK_MONOTONIC, NULL, &id));
	CHECK_EQ(id, 0);
	CHECK_ERR(syscall(SYS_timer_create, CLOCK_MONOTONIC, &bad, &id), EINVAL);
	CHECK_ERR(syscall(SYS_timer_create, -1, NULL, &id), EINVAL);
	CHECK_ERR(syscall(SYS_timer_create, CLOCK_MONOTONIC, NULL, WILD), EFAULT);
	CHECK_OK(syscall(SYS_timer_create, CLOCK_MONOTONIC, NULL, &id));
	CHECK_EQ(id, 4);
	CHECK_OK(syscall(SYS_timer_delete, 4));
	CHECK_ERR(syscall(SYS_timer_delete, 3), EINVAL);
	CHECK_OK(syscall(SYS_timer_delete, 0));
}

TEST(overruns)
{
	siginfo_t info;
	sigset_t set;
	int id, over;
	int64_t start = test_now_ns();

	block(&set, SIGUSR1);
	CHECK_OK(create(CLOCK_MONOTONIC, SIGEV_SIGNAL, SIGUSR1, &id));
	CHECK_OK(arm(id, MS, MS));
	usleep(20000);
	CHECK_EQ(sigwaitinfo(&set, &info), SIGUSR1);
	over = (int)CHECK_OK(syscall(SYS_timer_getoverrun, id));
	CHECK_EQ(info.si_overrun, over);
	CHECK(over >= 15);
	CHECK(over <= (test_now_ns() - start) / MS);
	CHECK_OK(arm(id, 0, 0));
}

static volatile int by_timer;

static void count_by_timer(int sig TEST_UNUSED, siginfo_t *info, void *context TEST_UNUSED)
{
	by_timer += info->si_code == SI_TIMER;
}

/* The signal that the timer finds pending may be one that the process sent to itself. */
TEST_TIMED(beside_signals_to_self, 60)
{
	struct sigaction action = { .sa_sigaction = count_by_timer, .sa_flags = SA_SIGINFO };
	int id;

	CHECK_OK(sigaction(SIGUSR1, &action, NULL));
	CHECK_OK(create(CLOCK_MONOTONIC, SIGEV_SIGNAL, SIGUSR1, &id));
	CHECK_OK(arm(id, 20000, 20000));
	for (int64_t end = test_now_ns() + 500 * MS; test_now_ns() < end;)
		CHECK_OK(kill(getpid(), SIGUSR1));
	by_timer = 0;
	while (by_timer < 3)
		CHECK_OK(kill(getpid(), SIGUSR1));
	CHECK_OK(syscall(SYS_timer_delete, id));
}

TEST(without_a_signal)
{
	struct itimerspec t;
	int id;

	CHECK_OK(create(CLOCK_MONOTONIC, SIGEV_NONE, 0, &id));
	CHECK_OK(syscall(SYS_timer_gettime, id, &t));
	CHECK(t.it_value.tv_sec == 0 && t.it_value.tv_nsec == 0);
	CHECK_OK(arm(id, 100000 * MS, 7 * MS));
	CHECK_OK(syscall(SYS_timer_gettime, id, &t));
	CHECK(t.it_value.tv_sec >= 80 && t.it_value.tv_sec < 100);
	CHECK_EQ(t.it_interval.tv_nsec, 7 * MS);
	CHECK_OK(arm(id, 0, 0));
	CHECK_OK(syscall(SYS_timer_gettime, id, &t));
	CHECK(t.it_interval.tv_sec == 0 && t.it_interval.tv_nsec == 0);
}

static int thread_timer;

static void *own_timer(void *arg TEST_UNUSED)
{
	siginfo_t info;
	sigset_t set;

	block(&set, SIGRTMIN + 1);
	CHECK_OK(create(CLOCK_MONOTONIC, SIGEV_THREAD_ID, SIGRTMIN + 1,
			&thread_timer));
	CHECK_OK(arm(thread_timer, MS, 0));
	CHECK_EQ(sigwaitinfo(&set, &info), SIGRTMIN + 1);
	CHECK_EQ(info.si_code, SI_TIMER);
	return NULL;
}

TEST(to_one_thread)
{
	pthread_t t;

	/* Were it sent to the process, it would kill it here. */
	CHECK_EQ(pthread_create(&t, NULL, own_timer, NULL), 0);
	CHECK_EQ(pthread_join(t, NULL), 0);
}

TEST(absolute)
{
	struct itimerspec t = {}, old;
	siginfo_t info;
	sigset_t set;
	int id;

	block(&set, SIGUSR1);
	CHECK_OK(create(CLOCK_REALTIME, SIGEV_SIGNAL, SIGUSR1, &id));
	t.it_value.tv_sec = 1;
	CHECK_OK(syscall(SYS_timer_settime, id, TIMER_ABSTIME, &t, &old));
	CHECK_EQ(sigwaitinfo(&set, &info), SIGUSR1);
}

TEST(errors)
{
	struct itimerspec t = { .it_value = { 0, 1000000000 } };
	int id;

	CHECK_ERR(create(99, SIGEV_NONE, 0, &id), EINVAL);
	CHECK_ERR(create(CLOCK_MONOTONIC, 77, SIGUSR1, &id), EINVAL);
	CHECK_ERR(create(CLOCK_MONOTONIC, SIGEV_SIGNAL, 99, &id), EINVAL);
	CHECK_ERR(create(CLOCK_MONOTONIC, SIGEV_SIGNAL, SIGUSR1, WILD),
		  EFAULT);
	CHECK_ERR(syscall(SYS_timer_create, CLOCK_MONOTONIC, WILD, &id),
		  EFAULT);
	CHECK_ERR(syscall(SYS_timer_settime, 12345, 0, &t, NULL), EINVAL);
	CHECK_OK(create(CLOCK_MONOTONIC, SIGEV_NONE, 0, &id));
	CHECK_ERR(syscall(SYS_timer_settime, id, 0, &t, NULL), EINVAL);
	CHECK_ERR(syscall(SYS_timer_settime, id, 0, WILD, NULL), EFAULT);
	CHECK_ERR(syscall(SYS_timer_gettime, id, WILD), EFAULT);
	CHECK_ERR(syscall(SYS_timer_gettime, 12345, &t), EINVAL);
	CHECK_ERR(syscall(SYS_timer_getoverrun, 12345), EINVAL);
}

TEST(not_inherited)
{
	pid_t pid;
	int id;

	CHECK_OK(create(CLOCK_MONOTONIC, SIGEV_NONE, 0, &id));
	CHILD(pid)
		CHECK_ERR(syscall(SYS_timer_delete, id), EINVAL);
	CHECK_EXIT(pid, 0);
}

static volatile sig_atomic_t handled;

static void handler(int sig TEST_UNUSED)
{
	handled++;
}

static void interval(int which, int sig)
{
	struct itimerval t = { { 0, 5000 }, { 0, 5000 } }, now;

	handled = 0;
	signal(sig, handler);
	CHECK_OK(setitimer(which, &t, NULL));
	CHECK_OK(getitimer(which, &now));
	CHECK_EQ(now.it_interval.tv_usec, 5000);
	CHECK(now.it_value.tv_sec == 0 && now.it_value.tv_usec <= 10000);
	while (handled < 3)
		continue;
	t = (struct itimerval){};
	CHECK_OK(setitimer(which, &t, &now));
	CHECK_EQ(now.it_interval.tv_usec, 5000);
	CHECK_OK(getitimer(which, &now));
	CHECK(now.it_value.tv_sec == 0 && now.it_value.tv_usec == 0);
}

TEST(interval_timers)
{
	struct itimerval t = { .it_value.tv_usec = 1000000 };

	interval(ITIMER_REAL, SIGALRM);
	interval(ITIMER_VIRTUAL, SIGVTALRM);
	interval(ITIMER_PROF, SIGPROF);
	CHECK_ERR(setitimer(ITIMER_REAL, &t, NULL), EINVAL);
	CHECK_ERR(setitimer(9, &t, NULL), EINVAL);
	CHECK_ERR(getitimer(9, &t), EINVAL);
	CHECK_ERR(syscall(SYS_setitimer, ITIMER_REAL, WILD, NULL), EFAULT);
	CHECK_ERR(syscall(SYS_getitimer, ITIMER_REAL, WILD), EFAULT);
}

TEST(a_timer_interrupts_a_busy_loop)
{
	pid_t pid;

	CHILD(pid) {
		alarm(0);
		setitimer(ITIMER_REAL, &(struct itimerval){
					.it_value.tv_usec = 10000 }, NULL);
		for (volatile long i = 0;; i++)
			continue;
	}
	CHECK_KILLED(pid, SIGALRM);
}

/* An interval that is shorter than its own handling must not keep the machine busy. */
TEST(an_interval_of_a_microsecond)
{
	struct itimerval t = { .it_value.tv_usec = 1, .it_interval.tv_usec = 1 }, now;
	int64_t end;
	sigset_t set;
	pid_t pid;

	/* Nobody takes the signal. */
	sigemptyset(&set);
	sigaddset(&set, SIGALRM);
	CHECK_OK(sigprocmask(SIG_BLOCK, &set, NULL));
	CHECK_OK(setitimer(ITIMER_REAL, &t, NULL));
	for (end = test_now_ns() + 20 * MS; test_now_ns() < end;)
		continue;
	CHILD(pid)
		_exit(3);
	CHECK_EXIT(pid, 3);
	CHECK_OK(getitimer(ITIMER_REAL, &now));
	CHECK_EQ(now.it_interval.tv_usec, 1);

	/* Ignored. */
	signal(SIGALRM, SIG_IGN);
	CHECK_OK(setitimer(ITIMER_REAL, &t, NULL));
	for (end = test_now_ns() + 20 * MS; test_now_ns() < end;)
		continue;

	/* Taken, again and again. */
	CHECK_OK(setitimer(ITIMER_REAL, &(struct itimerval){}, NULL));
	signal(SIGALRM, handler);
	handled = 0;
	CHECK_OK(sigprocmask(SIG_UNBLOCK, &set, NULL));
	t.it_interval.tv_usec = 100;
	CHECK_OK(setitimer(ITIMER_REAL, &t, NULL));
	while (handled < 5)
		continue;
	CHECK_OK(setitimer(ITIMER_REAL, &(struct itimerval){}, &now));
	CHECK_EQ(now.it_interval.tv_usec, 100);
}
