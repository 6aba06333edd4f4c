#include "../test.h"
#include <linux/futex.h>
#include <pthread.h>
#include <sys/resource.h>

#define NR	4

HELPER(nothing)
{
	return 3;
}

TEST_TIMED(fork_and_exec, 200)
{
	pid_t pid[NR], inner;

	for (int i = 0; i < NR; i++)
		CHILD(pid[i])
			for (int j = 0; j < 15; j++) {
				CHILD(inner)
					test_exec("nothing", NULL);
				CHECK_EXIT(inner, 3);
			}
	for (int i = 0; i < NR; i++)
		CHECK_EXIT(pid[i], 0);
}

static void *fork_thread(void *who TEST_UNUSED)
{
	pid_t pid;

	for (int i = 0; i < 25; i++) {
		CHILD(pid)
			_exit(7);
		CHECK_EXIT(pid, 7);
	}
	return NULL;
}

TEST_TIMED(forking_from_threads, 200)
{
	pthread_t t[NR];

	for (int i = 0; i < NR; i++)
		CHECK_EQ(pthread_create(&t[i], NULL, fork_thread, NULL), 0);
	for (int i = 0; i < NR; i++)
		CHECK_EQ(pthread_join(t[i], NULL), 0);
}

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t turn = PTHREAD_COND_INITIALIZER;
static long whose, counter;

static void *take_turns(void *who)
{
	for (int i = 0; i < 200; i++) {
		pthread_mutex_lock(&mutex);
		while (whose != (long)who)
			pthread_cond_wait(&turn, &mutex);
		whose = (whose + 1) % NR;
		counter++;
		pthread_cond_broadcast(&turn);
		pthread_mutex_unlock(&mutex);
	}
	return NULL;
}

TEST_TIMED(conditions, 200)
{
	pthread_t t[NR];

	for (long i = 0; i < NR; i++)
		CHECK_EQ(pthread_create(&t[i], NULL, take_turns, (void *)i),
			 0);
	for (int i = 0; i < NR; i++)
		CHECK_EQ(pthread_join(t[i], NULL), 0);
	CHECK_EQ(counter, NR * 200);
}

static void *short_thread(void *arg)
{
	return arg;
}

TEST_TIMED(threads_come_and_go, 200)
{
	pthread_t t[8];

	for (int round = 0; round < 60; round++) {
		for (int i = 0; i < 8; i++)
			CHECK_EQ(pthread_create(&t[i], NULL, short_thread,
						NULL), 0);
		for (int i = 0; i < 8; i++)
			CHECK_EQ(pthread_join(t[i], NULL), 0);
	}
}

static volatile sig_atomic_t handled;

static void handler(int sig TEST_UNUSED)
{
	handled++;
}

TEST_TIMED(signal_storm, 200)
{
	pid_t pid[NR], target = getpid();
	siginfo_t info;
	sigset_t set;
	int got = 0;

	signal(SIGUSR1, handler);
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN);
	CHECK_OK(sigprocmask(SIG_BLOCK, &set, NULL));
	for (int i = 0; i < NR; i++)
		CHILD(pid[i])
			for (int j = 0; j < 200; j++) {
				CHECK_OK(kill(target, SIGUSR1));
				while (sigqueue(target, SIGRTMIN,
						(union sigval){}) < 0)
					CHECK_EQ(errno, EAGAIN);
			}
	/* None of the queued ones is lost. */
	while (got < NR * 200) {
		if (sigwaitinfo(&set, &info) == SIGRTMIN)
			got++;
		else
			CHECK_EQ(errno, EINTR);
	}
	for (int i = 0; i < NR; i++)
		CHECK_EXIT(pid[i], 0);
	CHECK(handled > 0);
	CHECK_ERR(sigtimedwait(&set, &info, &(struct timespec){}), EAGAIN);
}

TEST_TIMED(killing_while_forking, 200)
{
	pid_t pid;

	for (int i = 0; i < 20; i++) {
		int ends[2];
		char c;

		CHECK_OK(pipe(ends));
		CHILD(pid) {
			CHECK_OK(setpgid(0, 0));
			CHECK_EQ(write(ends[1], "x", 1), 1);
			for (;;) {
				pid_t inner = fork();

				if (inner == 0)
					_exit(0);
				waitpid(inner, NULL, 0);
			}
		}
		CHECK_EQ(read(ends[0], &c, 1), 1);
		CHECK_OK(close(ends[1]));
		CHECK_OK(kill(-pid, SIGKILL));
		CHECK_KILLED(pid, SIGKILL);
		/* Every one of the group is gone: the pipe ends. */
		CHECK_EQ(read(ends[0], &c, 1), 0);
		CHECK_OK(close(ends[0]));
	}
}

static uint32_t lock_word;
static volatile long protected;

static void *futex_lock(void *who TEST_UNUSED)
{
	for (int i = 0; i < 500; i++) {
		uint32_t zero = 0;

		while (!__atomic_compare_exchange_n(&lock_word, &zero, 1, false,
						    __ATOMIC_ACQUIRE,
						    __ATOMIC_RELAXED)) {
			syscall(SYS_futex, &lock_word, FUTEX_WAIT_PRIVATE, 1,
				NULL);
			zero = 0;
		}
		protected++;
		__atomic_store_n(&lock_word, 0, __ATOMIC_RELEASE);
		syscall(SYS_futex, &lock_word, FUTEX_WAKE_PRIVATE, 1);
	}
	return NULL;
}

TEST_TIMED(a_lock_of_futexes, 200)
{
	pthread_t t[NR];

	for (int i = 0; i < NR; i++)
		CHECK_EQ(pthread_create(&t[i], NULL, futex_lock, NULL), 0);
	for (int i = 0; i < NR; i++)
		CHECK_EQ(pthread_join(t[i], NULL), 0);
	CHECK_EQ(protected, NR * 500);
}

static volatile bool look_stop;
static volatile pid_t look_pid;

/* Looks at all processes of this user and this group while they come and go. */
static void *look_at_all(void *unused TEST_UNUSED)
{
	while (!look_stop) {
		CHECK_OK(syscall(SYS_getpriority, PRIO_USER, 0));
		CHECK_OK(syscall(SYS_getpriority, PRIO_PGRP, 0));
		CHECK_OK(syscall(SYS_ioprio_get, 2, 0));
		CHECK_OK(syscall(SYS_ioprio_get, 3, 0));
		kill(look_pid, 0);
		kill(-getpgrp(), 0);
	}
	return NULL;
}

TEST_TIMED(looking_at_processes_that_end, 200)
{
	int64_t end = test_now_ns() + 700000000;
	pthread_t t[3];

	for (int i = 0; i < 3; i++)
		CHECK_EQ(pthread_create(&t[i], NULL, look_at_all, NULL), 0);
	while (test_now_ns() < end) {
		pid_t pids[8];

		for (int i = 0; i < 8; i++) {
			CHILD(pids[i])
				syscall(SYS_exit_group, 0);
			look_pid = pids[i];
		}
		for (int i = 0; i < 8; i++)
			CHECK_EXIT(pids[i], 0);
	}
	look_stop = true;
	for (int i = 0; i < 3; i++)
		CHECK_EQ(pthread_join(t[i], NULL), 0);
}
