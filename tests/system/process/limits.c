#include "../test.h"
#include <sched.h>
#include <sys/resource.h>

static void limit(int what, rlim_t cur)
{
	struct rlimit r;

	CHECK_OK(getrlimit(what, &r));
	r.rlim_cur = cur;
	CHECK_OK(setrlimit(what, &r));
}

/* A user that no other process has, for limits count by user. */
static void become_nobody_else(void)
{
	uid_t uid = 100000 + (uid_t)getpid();

	CHECK_OK(setresuid(uid, uid, uid));
}

TEST(get_and_set)
{
	struct rlimit r, now;
	pid_t pid;

	CHECK_OK(getrlimit(RLIMIT_NOFILE, &r));
	CHECK(r.rlim_cur <= r.rlim_max && r.rlim_cur >= 256);
	CHECK_ERR(getrlimit(99, &r), EINVAL);
	CHECK_ERR(setrlimit(99, &r), EINVAL);
	CHECK_ERR(syscall(SYS_getrlimit, RLIMIT_NOFILE, WILD), EFAULT);
	CHECK_ERR(syscall(SYS_setrlimit, RLIMIT_NOFILE, WILD), EFAULT);
	r = (struct rlimit){ 20, 10 };
	CHECK_ERR(setrlimit(RLIMIT_NOFILE, &r), EINVAL);
	CHILD(pid) {
		r = (struct rlimit){ 100, 200 };
		CHECK_OK(setrlimit(RLIMIT_NOFILE, &r));
		CHECK_OK(prlimit(0, RLIMIT_NOFILE, NULL, &now));
		CHECK(now.rlim_cur == 100 && now.rlim_max == 200);
		if (geteuid() == 0)
			CHECK_OK(setresuid(1000, 1000, 1000));
		r.rlim_max = 201;
		CHECK_ERR(setrlimit(RLIMIT_NOFILE, &r), EPERM);
		r = (struct rlimit){ 200, 200 };
		CHECK_OK(prlimit(0, RLIMIT_NOFILE, &r, &now));
		CHECK_EQ(now.rlim_cur, 100);
	}
	CHECK_EXIT(pid, 0);
}

TEST(of_another_process)
{
	struct rlimit r = { 77, 88 }, now;
	int ends[2];
	pid_t pid;
	char c;

	CHECK_OK(pipe(ends));
	CHILD(pid) {
		CHECK_EQ(read(ends[0], &c, 1), 1);
		CHECK_OK(getrlimit(RLIMIT_NOFILE, &now));
		_exit((int)now.rlim_cur);
	}
	CHECK_OK(prlimit(pid, RLIMIT_NOFILE, &r, NULL));
	CHECK_OK(prlimit(pid, RLIMIT_NOFILE, NULL, &now));
	CHECK_EQ(now.rlim_max, 88);
	CHECK_EQ(write(ends[1], "x", 1), 1);
	CHECK_EXIT(pid, 77);
	CHECK_ERR(prlimit(999999, RLIMIT_NOFILE, NULL, &now), ESRCH);
	CHECK_ERR(prlimit(-1, RLIMIT_NOFILE, NULL, &now), ESRCH);
}

TEST(open_files)
{
	int fd, ends[2];

	limit(RLIMIT_NOFILE, 20);
	while ((fd = open("/", O_RDONLY)) >= 0)
		CHECK(fd < 20);
	CHECK_EQ(errno, EMFILE);
	CHECK_ERR(dup(0), EMFILE);
	CHECK_ERR(pipe(ends), EMFILE);
	CHECK_OK(close(19));
	CHECK_ERR(pipe(ends), EMFILE);
	/* A failed pipe leaves nothing behind. */
	CHECK_EQ(dup(0), 19);
	/* What lies above a lowered limit stays usable. */
	limit(RLIMIT_NOFILE, 5);
	CHECK_OK(fcntl(19, F_GETFD));
	CHECK_ERR(dup(0), EMFILE);
}

TEST(processes)
{
	pid_t pid, inner;
	int made = 0;

	if (geteuid() != 0)
		SKIP("needs root");
	CHILD(pid) {
		CHECK_OK(setpgid(0, 0));
		become_nobody_else();
		limit(RLIMIT_NPROC, 4);
		for (;;) {
			inner = fork();
			if (inner == 0) {
				for (;;)
					pause();
			}
			if (inner < 0)
				break;
			made++;
		}
		CHECK_EQ(errno, EAGAIN);
		CHECK_EQ(made, 3);
		CHECK_OK(kill(0, SIGKILL));
	}
	CHECK_KILLED(pid, SIGKILL);
}

TEST(address_space)
{
	struct rlimit r = { 300 << 20, RLIM_INFINITY };
	void *p;

	CHECK_OK(setrlimit(RLIMIT_AS, &r));
	p = CHECK_OK(mmap(NULL, 100 << 20, PROT_READ, MAP_PRIVATE |
			  MAP_ANONYMOUS, -1, 0));
	CHECK_ERR((long)mmap(NULL, 250 << 20, PROT_NONE, MAP_PRIVATE |
			     MAP_ANONYMOUS, -1, 0), ENOMEM);
	CHECK_ERR((long)mremap(p, 100 << 20, 400 << 20, MREMAP_MAYMOVE),
		  ENOMEM);
	CHECK_OK(munmap(p, 100 << 20));
	CHECK_OK(mmap(NULL, 250 << 20, PROT_NONE, MAP_PRIVATE |
		      MAP_ANONYMOUS, -1, 0));
}

TEST(data_segment)
{
	limit(RLIMIT_DATA, 1 << 20);
	CHECK_ERR((long)mmap(NULL, 8 << 20, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), ENOMEM);
	CHECK_OK(mmap(NULL, 8 << 20, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS,
		      -1, 0));
	CHECK((long)sbrk(8 << 20) == -1);
}

__attribute__((noinline)) static long deep(long n)
{
	volatile char frame[1000];

	frame[0] = (char)n;
	return n == 0 ? frame[0] : deep(n - 1) + frame[0];
}

TEST(stack)
{
	pid_t pid;

	CHILD(pid) {
		limit(RLIMIT_CORE, 0);
		limit(RLIMIT_STACK, 512 << 10);
		deep(100000);
	}
	CHECK_KILLED(pid, SIGSEGV);
	CHILD(pid)
		deep(4000);
	CHECK_EXIT(pid, 0);
}

TEST(cpu_time)
{
	struct rlimit r = { 1, 2 };
	pid_t pid;

	/* Only that the values are taken; using them up is slow. */
	CHILD(pid)
		CHECK_OK(setrlimit(RLIMIT_CPU, &r));
	CHECK_EXIT(pid, 0);
}

static volatile sig_atomic_t nr_signals;

static void count(int signo)
{
	(void)signo;
	nr_signals++;
}

/* CPU time that a real-time process may use without a sleep, in microseconds. */
TEST_TIMED(real_time, 30)
{
	struct rlimit r = { 50000, RLIM_INFINITY };
	struct sched_param p = { .sched_priority = 1 };
	struct timespec begun, now;
	pid_t pid;

	CHILD(pid) {
		signal(SIGXCPU, count);
		CHECK_OK(setrlimit(RLIMIT_RTTIME, &r));
		if (sched_setscheduler(0, SCHED_FIFO, &p) < 0)
			SKIP("needs the right to real-time policies");
		/* Sleeps begin it anew. */
		for (int i = 0; i < 10; i++) {
			clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &begun);
			do
				clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
			while ((now.tv_sec - begun.tv_sec) * 1000000000l +
				       now.tv_nsec - begun.tv_nsec < 10000000);
			usleep(1000);
		}
		CHECK_EQ(nr_signals, 0);
		while (!nr_signals)
			sched_yield();
		CHECK_OK(getrlimit(RLIMIT_RTTIME, &r));
		CHECK_EQ(r.rlim_cur, 1050000);
		r = (struct rlimit){ 20000, 30000 };
		signal(SIGXCPU, SIG_IGN);
		CHECK_OK(setrlimit(RLIMIT_RTTIME, &r));
		for (;;)
			continue;
	}
	CHECK_KILLED(pid, SIGKILL);
}

TEST(data_segment_of_nothing)
{
	struct rlimit none = { 0, 1 << 20 };

	CHECK_OK(setrlimit(RLIMIT_DATA, &none));
	/* Nothing means that the hard limit counts, but not for brk(2). */
	CHECK_OK(mmap(NULL, 64 << 10, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	CHECK((long)sbrk(1 << 20) == -1);
	CHECK_ERR((long)mmap(NULL, 8 << 20, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), ENOMEM);
}

TEST(queued_signals)
{
	union sigval v = { .sival_int = 1 };
	sigset_t set;
	int sent = 0;

	if (geteuid() != 0)
		SKIP("needs root");
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN);
	sigaddset(&set, SIGUSR1);
	CHECK_OK(sigprocmask(SIG_BLOCK, &set, NULL));
	limit(RLIMIT_SIGPENDING, 5);
	become_nobody_else();
	while (sigqueue(getpid(), SIGRTMIN, v) == 0)
		sent++;
	CHECK_EQ(errno, EAGAIN);
	CHECK_EQ(sent, 5);
	/* Plain signals still get through. */
	CHECK_OK(kill(getpid(), SIGUSR1));
	CHECK_OK(sigpending(&set));
	CHECK(sigismember(&set, SIGUSR1));
}

TEST(locked_memory)
{
	void *p = CHECK_OK(mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	pid_t pid;

	if (geteuid() != 0)
		SKIP("needs root");
	CHILD(pid) {
		limit(RLIMIT_MEMLOCK, 64 << 10);
		CHECK_OK(setresuid(1000, 1000, 1000));
		CHECK_OK(mlock(p, 64 << 10));
		CHECK_ERR(mlock(p, 68 << 10), ENOMEM);
		CHECK_OK(munlock(p, 64 << 10));
		limit(RLIMIT_MEMLOCK, 0);
		CHECK_ERR(mlock(p, 4096), EPERM);
	}
	CHECK_EXIT(pid, 0);
}
