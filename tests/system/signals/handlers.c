#include "../test.h"
#include <pthread.h>
#include <setjmp.h>

static volatile sig_atomic_t calls, depth, deepest, last;
static volatile siginfo_t info;

static void count(int sig)
{
	calls++;
	last = sig;
}

static void keep(int sig TEST_UNUSED, siginfo_t *i, void *context TEST_UNUSED)
{
	info = *i;
	calls++;
}

static void set_handler(int sig, void (*handler)(int), int flags)
{
	struct sigaction a = { .sa_handler = handler, .sa_flags = flags };

	CHECK_OK(sigaction(sig, &a, NULL));
}

static void set_info(int sig, int flags)
{
	struct sigaction a = { .sa_sigaction = keep,
			       .sa_flags = SA_SIGINFO | flags };

	CHECK_OK(sigaction(sig, &a, NULL));
}

TEST(handler_runs)
{
	struct sigaction old;

	set_handler(SIGUSR1, count, 0);
	CHECK_OK(raise(SIGUSR1));
	CHECK(calls == 1 && last == SIGUSR1);
	CHECK_OK(sigaction(SIGUSR1, NULL, &old));
	CHECK(old.sa_handler == count);
}

TEST(dispositions)
{
	pid_t pid;

	CHILD(pid)
		raise(SIGUSR1);
	CHECK_KILLED(pid, SIGUSR1);
	CHILD(pid) {
		raise(SIGCHLD);
		raise(SIGURG);
		raise(SIGWINCH);
		raise(SIGCONT);
		signal(SIGTERM, SIG_IGN);
		raise(SIGTERM);
	}
	CHECK_EXIT(pid, 0);
	for (int sig = SIGRTMIN; sig <= SIGRTMAX; sig += 10) {
		CHILD(pid)
			raise(sig);
		CHECK_KILLED(pid, sig);
	}
}

TEST(kill_and_stop_are_fixed)
{
	struct sigaction a = { .sa_handler = SIG_IGN };
	sigset_t set;

	CHECK_ERR(sigaction(SIGKILL, &a, NULL), EINVAL);
	CHECK_ERR(sigaction(SIGSTOP, &a, NULL), EINVAL);
	CHECK_OK(sigaction(SIGKILL, NULL, &a));
	sigfillset(&set);
	CHECK_OK(sigprocmask(SIG_SETMASK, &set, NULL));
	CHECK_OK(sigprocmask(SIG_SETMASK, NULL, &set));
	CHECK(!sigismember(&set, SIGKILL) && !sigismember(&set, SIGSTOP));
}

TEST(bad_arguments)
{
	struct { unsigned long handler, flags, restorer, mask; } k = {};
	unsigned long set = 0;

	CHECK_ERR(syscall(SYS_rt_sigaction, 0, &k, NULL, 8), EINVAL);
	CHECK_ERR(syscall(SYS_rt_sigaction, 65, &k, NULL, 8), EINVAL);
	CHECK_ERR(syscall(SYS_rt_sigaction, SIGUSR1, &k, NULL, 4), EINVAL);
	CHECK_ERR(syscall(SYS_rt_sigaction, SIGUSR1, WILD, NULL, 8), EFAULT);
	CHECK_ERR(syscall(SYS_rt_sigaction, SIGUSR1, NULL, WILD, 8), EFAULT);
	CHECK_ERR(syscall(SYS_rt_sigprocmask, 7, &set, NULL, 8), EINVAL);
	CHECK_OK(syscall(SYS_rt_sigprocmask, 7, NULL, &set, 8));
	CHECK_ERR(syscall(SYS_rt_sigprocmask, SIG_BLOCK, &set, NULL, 16),
		  EINVAL);
	CHECK_ERR(syscall(SYS_rt_sigprocmask, SIG_BLOCK, WILD, NULL, 8),
		  EFAULT);
	CHECK_ERR(syscall(SYS_rt_sigprocmask, SIG_BLOCK, NULL, WILD, 8),
		  EFAULT);
	CHECK_ERR(syscall(SYS_rt_sigpending, WILD, 8), EFAULT);
	CHECK_ERR(syscall(SYS_rt_sigpending, &set, 9), EINVAL);
	CHECK_ERR(syscall(SYS_rt_sigsuspend, WILD, 8), EFAULT);
	CHECK_ERR(syscall(SYS_rt_sigsuspend, &set, 3), EINVAL);
}

TEST(blocking_and_pending)
{
	sigset_t set, old, pending;

	set_handler(SIGUSR1, count, 0);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	CHECK_OK(sigprocmask(SIG_BLOCK, &set, &old));
	CHECK_OK(raise(SIGUSR1));
	CHECK_OK(raise(SIGUSR1));
	CHECK_EQ(calls, 0);
	CHECK_OK(sigpending(&pending));
	CHECK(sigismember(&pending, SIGUSR1));
	/* A plain signal is pending at most once. */
	CHECK_OK(sigprocmask(SIG_SETMASK, &old, NULL));
	CHECK_EQ(calls, 1);
	CHECK_OK(sigprocmask(SIG_BLOCK, &set, NULL));
	CHECK_OK(raise(SIGUSR1));
	/* Ignoring it discards what is pending. */
	set_handler(SIGUSR1, SIG_IGN, 0);
	CHECK_OK(sigpending(&pending));
	CHECK(!sigismember(&pending, SIGUSR1));
}

static void nest(int sig)
{
	depth++;
	if (depth > deepest)
		deepest = depth;
	if (deepest < 3)
		raise(sig);
	depth--;
	calls++;
}

TEST(no_defer)
{
	set_handler(SIGUSR1, nest, SA_NODEFER);
	CHECK_OK(raise(SIGUSR1));
	CHECK_EQ(deepest, 3);
	CHECK_EQ(calls, 3);
}

static volatile sig_atomic_t order[8], at;

static void inner(int sig)
{
	order[at++] = sig;
}

static void once(int sig)
{
	order[at++] = sig;
	if (at < 2) {
		raise(SIGUSR2);
		order[at++] = 0;
	}
}

TEST(deferred_until_the_handler_returns)
{
	struct sigaction a = { .sa_handler = once };

	set_handler(SIGUSR2, inner, 0);
	sigaddset(&a.sa_mask, SIGUSR2);
	CHECK_OK(sigaction(SIGUSR1, &a, NULL));
	CHECK_OK(raise(SIGUSR1));
	CHECK_EQ(at, 3);
	CHECK(order[0] == SIGUSR1 && order[1] == 0 && order[2] == SIGUSR2);
	/* And without the mask at once. */
	at = 0;
	sigemptyset(&a.sa_mask);
	CHECK_OK(sigaction(SIGUSR1, &a, NULL));
	CHECK_OK(raise(SIGUSR1));
	CHECK(order[0] == SIGUSR1 && order[1] == SIGUSR2 && order[2] == 0);
}

TEST(reset_hand)
{
	struct sigaction now;

	set_handler(SIGUSR1, count, (int)SA_RESETHAND);
	CHECK_OK(raise(SIGUSR1));
	CHECK_EQ(calls, 1);
	CHECK_OK(sigaction(SIGUSR1, NULL, &now));
	CHECK(now.sa_handler == SIG_DFL);
}

TEST(info_of_kill_and_queue)
{
	union sigval v = { .sival_ptr = (void *)0x123456789abcul };
	pid_t pid, parent = getpid();

	set_info(SIGUSR1, 0);
	CHECK_OK(kill(getpid(), SIGUSR1));
	CHECK_EQ(info.si_signo, SIGUSR1);
	CHECK_EQ(info.si_code, SI_USER);
	CHECK_EQ(info.si_pid, getpid());
	CHECK_EQ(info.si_uid, getuid());
	CHECK_EQ(info.si_errno, 0);
	CHECK_OK(syscall(SYS_tgkill, getpid(), gettid(), SIGUSR1));
	CHECK_EQ(info.si_code, SI_TKILL);
	CHECK_OK(sigqueue(getpid(), SIGUSR1, v));
	CHECK_EQ(info.si_code, SI_QUEUE);
	CHECK(info.si_value.sival_ptr == v.sival_ptr);
	calls = 0;
	CHILD(pid)
		CHECK_OK(kill(parent, SIGUSR1));
	while (!calls)
		usleep(100);
	CHECK_EQ(info.si_pid, pid);
	CHECK_EXIT(pid, 0);
}

TEST(forged_info)
{
	siginfo_t i = { .si_signo = SIGUSR1, .si_code = SI_USER };

	/* Codes that the kernel uses can't be sent to others. */
	CHECK_ERR(syscall(SYS_rt_sigqueueinfo, getppid(), SIGUSR1, &i), EPERM);
	i.si_code = SI_TKILL;
	CHECK_ERR(syscall(SYS_rt_sigqueueinfo, getppid(), SIGUSR1, &i), EPERM);
	i.si_code = SI_QUEUE;
	CHECK_ERR(syscall(SYS_rt_sigqueueinfo, getpid(), 99, &i), EINVAL);
	CHECK_ERR(syscall(SYS_rt_sigqueueinfo, getpid(), SIGUSR1, WILD),
		  EFAULT);
	CHECK_ERR(syscall(SYS_rt_sigqueueinfo, 999999, SIGUSR1, &i), ESRCH);
	set_info(SIGUSR1, 0);
	CHECK_OK(syscall(SYS_rt_tgsigqueueinfo, getpid(), gettid(), SIGUSR1,
			 &i));
	CHECK_EQ(calls, 1);
	CHECK_ERR(syscall(SYS_rt_tgsigqueueinfo, getpid(), -1, SIGUSR1, &i),
		  EINVAL);
}

static sigjmp_buf jump;

static void leave(int sig)
{
	calls++;
	siglongjmp(jump, sig);
}

TEST(jumping_out)
{
	sigset_t now;

	set_handler(SIGUSR1, leave, 0);
	for (int i = 0; i < 3; i++)
		if (!sigsetjmp(jump, 1))
			raise(SIGUSR1);
	CHECK_EQ(calls, 3);
	CHECK_OK(sigprocmask(SIG_BLOCK, NULL, &now));
	CHECK(!sigismember(&now, SIGUSR1));
}

TEST(errno_of_the_interrupted_code_and_registers)
{
	register long kept __asm__("r12") = 0x1122334455667788;

	set_handler(SIGUSR1, count, 0);
	__asm__ volatile("syscall" : "+r"(kept)
			 : "a"((long)SYS_tgkill), "D"(getpid()), "S"(gettid()),
			   "d"(SIGUSR1)
			 : "rcx", "r11", "memory");
	CHECK_EQ(calls, 1);
	CHECK_EQ(kept, 0x1122334455667788);
}

static siginfo_t own_info[4];
static volatile sig_atomic_t own_count;

static void keep_info(int sig TEST_UNUSED, siginfo_t *info, void *context TEST_UNUSED)
{
	memcpy(&own_info[own_count++ % 4], info, sizeof(*info));
}

static void check_own_info(int n, int sig, int code)
{
	siginfo_t want;

	__asm__ volatile("" : : : "memory");	/* the call is "leaf" to the compiler */
	memset(&want, 0, sizeof(want));
	want.si_signo = sig;
	want.si_code = code;
	want.si_pid = getpid();
	want.si_uid = getuid();
	CHECK(!memcmp(&own_info[n], &want, sizeof(want)));
}

static void *send_from_a_thread(void *arg TEST_UNUSED)
{
	CHECK_OK(syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), SIGUSR2));
	CHECK_OK(kill(getpid(), SIGUSR1));
	return NULL;
}

/* A task that signals itself: what the handler is told, and that nothing of it stays. */
TEST(sent_to_oneself)
{
	struct sigaction a = { .sa_sigaction = keep_info, .sa_flags = SA_SIGINFO };
	struct timespec zero = {};
	sigset_t set;
	pthread_t thread;
	siginfo_t info;

	CHECK_OK(sigaction(SIGUSR1, &a, NULL));
	CHECK_OK(sigaction(SIGUSR2, &a, NULL));
	CHECK_OK(kill(getpid(), SIGUSR1));
	CHECK_EQ(own_count, 1);
	check_own_info(0, SIGUSR1, SI_USER);
	CHECK_OK(syscall(SYS_tkill, gettid(), SIGUSR2));
	CHECK_EQ(own_count, 2);
	check_own_info(1, SIGUSR2, SI_TKILL);
	CHECK_OK(syscall(SYS_tgkill, getpid(), gettid(), SIGUSR1));
	CHECK_EQ(own_count, 3);
	check_own_info(2, SIGUSR1, SI_TKILL);
	CHECK_ERR(syscall(SYS_tgkill, getpid() + 1000000, gettid(), SIGUSR1), ESRCH);
	/* Blocked, it waits; another of its kind is lost; both queues count. */
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	CHECK_OK(sigprocmask(SIG_BLOCK, &set, NULL));
	CHECK_OK(kill(getpid(), SIGUSR1));
	CHECK_OK(kill(getpid(), SIGUSR1));
	CHECK_OK(raise(SIGUSR1));
	CHECK_EQ(own_count, 3);
	CHECK_OK(sigprocmask(SIG_UNBLOCK, &set, NULL));
	CHECK_EQ(own_count, 5);
	check_own_info(3, SIGUSR1, SI_TKILL);
	check_own_info(0, SIGUSR1, SI_USER);
	CHECK_ERR(sigtimedwait(&set, &info, &zero), EAGAIN);
	/* Not the leader. */
	CHECK_EQ(pthread_create(&thread, NULL, send_from_a_thread, NULL), 0);
	CHECK_EQ(pthread_join(thread, NULL), 0);
	CHECK_EQ(own_count, 7);
	/* Others' signals beside it. */
	a.sa_flags |= SA_NODEFER;
	CHECK_OK(sigaction(SIGUSR1, &a, NULL));
	for (int i = 0; i < 1000; i++) {
		pid_t pid;

		if (i % 100 == 0) {
			CHILD(pid)
				for (int j = 0; j < 20; j++)
					kill(getppid(), SIGUSR2);
		}
		CHECK_OK(kill(getpid(), SIGUSR1));
		if (i % 100 == 0)
			CHECK_EXIT(pid, 0);
	}
	CHECK(own_count >= 1007);
}
