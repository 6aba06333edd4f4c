#include "../test.h"
#include <linux/sched.h>
#include <sched.h>
#include <sys/resource.h>

static long clone3_call(struct clone_args *a, size_t size)
{
	return syscall(SYS_clone3, a, size);
}

TEST(memory_is_copied)
{
	static volatile int value = 1;
	volatile int local = 1;
	pid_t pid;

	CHILD(pid) {
		value = 2;
		local = 2;
		_exit(value + local);
	}
	CHECK_EXIT(pid, 4);
	CHECK(value == 1 && local == 1);
}

TEST(what_is_inherited)
{
	sigset_t set, now, pending;
	pid_t pid, parent = getpid();

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	CHECK_OK(sigprocmask(SIG_BLOCK, &set, NULL));
	raise(SIGUSR1);
	umask(0123);
	alarm(100);
	CHILD(pid) {
		CHECK_EQ(getppid(), parent);
		CHECK(getpid() != parent);
		CHECK_EQ(getpgrp(), getpgid(parent));
		CHECK_EQ(getsid(0), getsid(parent));
		CHECK_OK(sigprocmask(SIG_BLOCK, NULL, &now));
		CHECK(sigismember(&now, SIGUSR1));
		CHECK_OK(sigpending(&pending));
		CHECK(!sigismember(&pending, SIGUSR1));
		CHECK_EQ(umask(0), 0123);
		CHECK_EQ(alarm(0), 0);
	}
	CHECK_EXIT(pid, 0);
	CHECK(alarm(0) > 0);
}

TEST(vfork_shares_and_waits)
{
	static volatile int value;
	pid_t pid = vfork();

	if (pid == 0) {
		value = 5;
		_exit(3);
	}
	CHECK_EQ(value, 5);
	CHECK_EXIT(pid, 3);
}

static char stack[65536] __attribute__((aligned(16)));
static volatile int seen;

static int in_clone(void *arg)
{
	seen = (int)(long)arg;
	close(0);
	return 7;
}

TEST(clone_with_shared_memory)
{
	int null = CHECK_OK(open("/dev/null", O_RDONLY));
	pid_t pid;

	CHECK_OK(dup2(null, 0));
	pid = CHECK_OK(clone(in_clone, stack + sizeof(stack),
			     CLONE_VM | SIGCHLD, (void *)42));
	CHECK_EXIT(pid, 7);
	CHECK_EQ(seen, 42);
	CHECK(fcntl(0, F_GETFD) >= 0);
	pid = CHECK_OK(clone(in_clone, stack + sizeof(stack),
			     CLONE_VM | CLONE_FILES | SIGCHLD, (void *)43));
	CHECK_EXIT(pid, 7);
	CHECK_ERR(fcntl(0, F_GETFD), EBADF);
}

static int change_directory(void *arg TEST_UNUSED)
{
	umask(0);
	return chdir("/") != 0;
}

TEST(clone_with_shared_fs)
{
	char cwd[4096];
	pid_t pid = CHECK_OK(clone(change_directory, stack + sizeof(stack),
				   CLONE_FS | SIGCHLD, NULL));

	CHECK_EXIT(pid, 0);
	CHECK(getcwd(cwd, sizeof(cwd)));
	CHECK_STR(cwd, "/");
	CHECK_EQ(umask(022), 0);
}

TEST(other_exit_signal)
{
	sigset_t set;
	siginfo_t info;
	pid_t pid;
	int status;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	CHECK_OK(sigprocmask(SIG_BLOCK, &set, NULL));
	pid = (pid_t)CHECK_OK(syscall(SYS_clone, SIGUSR2, 0, 0, 0, 0));
	if (pid == 0)
		_exit(9);
	CHECK_EQ(sigwaitinfo(&set, &info), SIGUSR2);
	CHECK_EQ(info.si_pid, pid);
	CHECK_EQ(info.si_code, CLD_EXITED);
	CHECK_EQ(info.si_status, 9);
	/* Not a SIGCHLD child: a plain wait doesn't see it. */
	CHECK_ERR(waitpid(pid, &status, 0), ECHILD);
	CHECK_EQ(waitpid(pid, &status, __WCLONE), pid);
	CHECK_EQ(WEXITSTATUS(status), 9);
}

TEST(parent_and_child_ids)
{
	pid_t ptid = 0, *shared, pid;

	shared = CHECK_OK(mmap(NULL, 4096, PROT_READ | PROT_WRITE,
			       MAP_SHARED | MAP_ANONYMOUS, -1, 0));
	pid = (pid_t)CHECK_OK(syscall(SYS_clone, SIGCHLD | CLONE_PARENT_SETTID |
				      CLONE_CHILD_SETTID, 0, &ptid, shared, 0));
	if (pid == 0)
		_exit(*shared != getpid());
	CHECK_EQ(ptid, pid);
	CHECK_EXIT(pid, 0);
	CHECK_EQ(*shared, pid);
}

TEST(sibling)
{
	pid_t pid, parent = getpid();
	int ends[2], made;

	CHECK_OK(pipe(ends));
	CHILD(pid) {
		pid_t sibling = (pid_t)CHECK_OK(syscall(SYS_clone,
				CLONE_PARENT | SIGCHLD, 0, 0, 0, 0));

		if (sibling == 0)
			_exit(getppid() == parent ? 4 : 5);
		CHECK_EQ(write(ends[1], &sibling, sizeof(sibling)), 4);
	}
	CHECK_EXIT(pid, 0);
	CHECK_EQ(read(ends[0], &made, sizeof(made)), 4);
	CHECK_EXIT(made, 4);
}

TEST(bad_flags)
{
	CHECK_ERR(syscall(SYS_clone, CLONE_SIGHAND | SIGCHLD, 0, 0, 0, 0),
		  EINVAL);
	CHECK_ERR(syscall(SYS_clone, CLONE_THREAD | CLONE_VM | SIGCHLD, 0, 0,
			  0, 0), EINVAL);
	CHECK_ERR(syscall(SYS_clone, CLONE_NEWNS | CLONE_FS | SIGCHLD, 0, 0,
			  0, 0), EINVAL);
	CHECK_ERR(syscall(SYS_clone, CLONE_PIDFD | CLONE_PARENT_SETTID |
			  SIGCHLD, 0, &(int){ 0 }, 0, 0), EINVAL);
	CHECK_ERR(syscall(SYS_clone, CLONE_PIDFD | SIGCHLD, 0, WILD, 0, 0),
		  EFAULT);
}

TEST(clone3_basics)
{
	struct clone_args a = { .exit_signal = SIGCHLD };
	int fd = -1;
	pid_t ptid = 0;
	long pid;

	a.flags = CLONE_PIDFD | CLONE_PARENT_SETTID;
	a.pidfd = (uintptr_t)&fd;
	a.parent_tid = (uintptr_t)&ptid;
	pid = CHECK_OK(clone3_call(&a, sizeof(a)));
	if (pid == 0)
		_exit(6);
	CHECK_EQ(ptid, pid);
	CHECK(fd >= 0);
	CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
	CHECK_EXIT((pid_t)pid, 6);
}

TEST(clone3_errors)
{
	struct { struct clone_args a; uint64_t more[2]; } big = {};
	struct clone_args a = { .exit_signal = SIGCHLD };

	CHECK_ERR(clone3_call(&a, 8), EINVAL);
	CHECK_ERR(clone3_call(&a, 1 << 16), E2BIG);
	CHECK_ERR(clone3_call(WILD, sizeof(a)), EFAULT);
	big.more[1] = 1;
	CHECK_ERR(clone3_call(&big.a, sizeof(big)), E2BIG);
	a.exit_signal = 65;
	CHECK_ERR(clone3_call(&a, sizeof(a)), EINVAL);
	a.exit_signal = SIGCHLD;
	a.flags = 1ull << 60;
	CHECK_ERR(clone3_call(&a, sizeof(a)), EINVAL);
	a.flags = CLONE_DETACHED;
	CHECK_ERR(clone3_call(&a, sizeof(a)), EINVAL);
	a.flags = 0;
	a.stack_size = 4096;
	CHECK_ERR(clone3_call(&a, sizeof(a)), EINVAL);
	a.stack_size = 0;
	a.stack = 4096;
	CHECK_ERR(clone3_call(&a, sizeof(a)), EINVAL);
	a.stack = 0;
	a.flags = CLONE_SIGHAND | CLONE_CLEAR_SIGHAND | CLONE_VM;
	CHECK_ERR(clone3_call(&a, sizeof(a)), EINVAL);
	a.flags = CLONE_THREAD | CLONE_VM | CLONE_SIGHAND;
	CHECK_ERR(clone3_call(&a, sizeof(a)), EINVAL);
}

static void on_signal(int sig TEST_UNUSED)
{
}

TEST(clone3_clears_handlers)
{
	struct clone_args a = {
		.exit_signal = SIGCHLD, .flags = CLONE_CLEAR_SIGHAND,
	};
	struct sigaction now;
	long pid;

	signal(SIGUSR1, on_signal);
	signal(SIGUSR2, SIG_IGN);
	pid = CHECK_OK(clone3_call(&a, sizeof(a)));
	if (pid == 0) {
		CHECK_OK(sigaction(SIGUSR1, NULL, &now));
		CHECK(now.sa_handler == SIG_DFL);
		CHECK_OK(sigaction(SIGUSR2, NULL, &now));
		CHECK(now.sa_handler == SIG_IGN);
		_exit(0);
	}
	CHECK_EXIT((pid_t)pid, 0);
}

TEST(unshare_files)
{
	CHECK_OK(unshare(CLONE_FILES | CLONE_FS));
	CHECK_ERR(unshare(0x1), EINVAL);
	CHECK_OK(unshare(0));
}

TEST(orphans_get_a_new_parent)
{
	int ends[2];
	pid_t pid, seen_parent;

	CHECK_OK(pipe(ends));
	CHILD(pid) {
		pid_t parent = getpid(), inner;

		CHILD(inner) {
			while (getppid() == parent)
				sched_yield();
			seen_parent = getppid();
			CHECK_EQ(write(ends[1], &seen_parent, 4), 4);
		}
	}
	CHECK_EXIT(pid, 0);
	CHECK_EQ(read(ends[0], &seen_parent, 4), 4);
	CHECK(seen_parent != pid && seen_parent > 0);
}

TEST(many_generations)
{
	int ends[2];
	char c;
	pid_t pid;

	CHECK_OK(pipe(ends));
	CHILD(pid) {
		for (int i = 0; i < 50; i++)
			if (fork() != 0)
				_exit(0);
		CHECK_EQ(write(ends[1], "x", 1), 1);
	}
	CHECK_EXIT(pid, 0);
	CHECK_EQ(read(ends[0], &c, 1), 1);
}
