/* Children belong to the thread that made them: PR_SET_PDEATHSIG, __WNOTHREAD. */
#include "../test.h"
#include <pthread.h>
#include <sys/prctl.h>

#ifndef __WNOTHREAD
#define __WNOTHREAD 0x20000000
#endif

static int ready[2], go[2];
static pid_t child;
static volatile bool may_end;

/* A child that waits for the signal of its parent's death. */
static void *make_child(void *unused)
{
	sigset_t set;
	char c;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	CHECK_OK(sigprocmask(SIG_BLOCK, &set, NULL));
	child = CHECK_OK(fork());
	if (child == 0) {
		struct timespec t = { .tv_sec = 5 };

		CHECK_OK(prctl(PR_SET_PDEATHSIG, SIGUSR1));
		CHECK_EQ(write(ready[1], "r", 1), 1);
		CHECK_EQ(sigtimedwait(&set, NULL, &t), SIGUSR1);
		_exit(3);
	}
	CHECK_EQ(read(ready[0], &c, 1), 1);
	CHECK_EQ(write(go[1], "g", 1), 1);
	while (!may_end)
		usleep(1000);
	return unused;
}

TEST(death_of_the_thread_is_told)
{
	pthread_t thread;
	char c;

	CHECK_OK(pipe(ready));
	CHECK_OK(pipe(go));
	CHECK_EQ(pthread_create(&thread, NULL, make_child, NULL), 0);
	CHECK_EQ(read(go[0], &c, 1), 1);
	CHECK_EQ(waitpid(child, NULL, WNOHANG), 0);
	may_end = true;
	CHECK_EQ(pthread_join(thread, NULL), 0);
	/* The process lives on, and is still the parent. */
	CHECK_EXIT(child, 3);
}

TEST(death_of_the_process_is_told)
{
	int in[2];
	pid_t pid;
	char c;

	CHECK_OK(pipe(ready));
	CHECK_OK(pipe(in));
	CHILD(pid) {
		pid_t grandchild = CHECK_OK(fork());

		if (grandchild == 0) {
			sigset_t set;
			struct timespec t = { .tv_sec = 5 };

			sigemptyset(&set);
			sigaddset(&set, SIGUSR2);
			CHECK_OK(sigprocmask(SIG_BLOCK, &set, NULL));
			CHECK_OK(prctl(PR_SET_PDEATHSIG, SIGUSR2));
			CHECK_EQ(write(ready[1], "r", 1), 1);
			CHECK_EQ(sigtimedwait(&set, NULL, &t), SIGUSR2);
			CHECK_EQ(write(in[1], "d", 1), 1);
			_exit(0);
		}
		CHECK_EQ(read(ready[0], &c, 1), 1);
	}
	CHECK_EXIT(pid, 0);
	CHECK_EQ(read(in[0], &c, 1), 1);
}

static void *cannot_wait(void *unused)
{
	CHECK_ERR(waitpid(-1, NULL, __WNOTHREAD | __WALL | WNOHANG), ECHILD);
	CHECK_ERR(waitpid(child, NULL, __WNOTHREAD), ECHILD);
	CHECK_EQ(waitpid(child, NULL, WNOHANG), 0);
	return unused;
}

TEST(waiting_for_own_children_only)
{
	pthread_t thread;
	int in[2];
	char c;

	CHECK_OK(pipe(in));
	child = CHECK_OK(fork());
	if (child == 0) {
		CHECK_OK(close(in[1]));
		CHECK_EQ(read(in[0], &c, 1), 0);
		_exit(4);
	}
	CHECK_EQ(pthread_create(&thread, NULL, cannot_wait, NULL), 0);
	CHECK_EQ(pthread_join(thread, NULL), 0);
	CHECK_EQ(waitpid(-1, NULL, __WNOTHREAD | WNOHANG), 0);
	CHECK_OK(close(in[1]));
	CHECK_EQ(waitpid(-1, NULL, __WNOTHREAD), child);
}

static void *leave_child(void *unused)
{
	child = CHECK_OK(fork());
	if (child == 0)
		_exit(5);
	return unused;
}

TEST(children_of_a_dead_thread_are_inherited)
{
	pthread_t thread;

	CHECK_EQ(pthread_create(&thread, NULL, leave_child, NULL), 0);
	CHECK_EQ(pthread_join(thread, NULL), 0);
	/* The join returns a little before the thread is quite gone. */
	CHECK_OK(waitid(P_PID, (id_t)child, NULL, WEXITED | WNOWAIT));
	for (int i = 0; i < 1000; i++) {
		if (waitpid(-1, NULL, __WNOTHREAD) == child)
			return;
		CHECK_EQ(errno, ECHILD);
		usleep(1000);
	}
	FAIL("nobody has the child");
}
