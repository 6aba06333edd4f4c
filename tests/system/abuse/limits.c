#include "../test.h"
#include <poll.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/resource.h>

static void limit(int what, rlim_t value)
{
	struct rlimit r;

	CHECK_OK(getrlimit(what, &r));
	r.rlim_cur = value;
	CHECK_OK(setrlimit(what, &r));
}

TEST_TIMED(fork_bomb, 30)
{
	int count = 0, status, alive[2];
	struct pollfd p;
	uid_t uid;
	pid_t pid, bomb, ended;

	if (geteuid() != 0)
		SKIP("needs root");
	CHECK_OK(prctl(PR_SET_CHILD_SUBREAPER, 1));
	CHECK_OK(pipe(alive));
	uid = 100000 + (uid_t)getpid();
	CHILD(bomb) {
		CHECK_OK(setresuid(uid, uid, uid));
		limit(RLIMIT_NPROC, 60);
		/* Every process forks as long as it can, then waits. */
		while (fork() >= 0)
			count++;
		if (errno != EAGAIN)
			FAIL("fork: %s", strerrorname_np(errno));
		for (;;)
			pause();
	}
	test_wait_state(bomb, 'S');
	p = (struct pollfd){ .fd = alive[0] };
	CHILD(pid) {
		CHECK_OK(setresuid(uid, uid, uid));
		/* Until nobody is left to hold the pipe open. */
		CHECK_OK(close(alive[1]));
		do {
			CHECK_OK(kill(-1, SIGKILL));
		} while (poll(&p, 1, 1) == 0);
	}
	CHECK_OK(close(alive[1]));
	/* The orphans come to this process, which must not keep them. */
	while ((ended = wait(&status)) > 0)
		CHECK_EQ(status, ended == pid ? 0 : SIGKILL);
	CHECK_EQ(errno, ECHILD);
}

TEST(allocation_loop)
{
	size_t total = 0;
	pid_t pid;

	CHILD(pid) {
		limit(RLIMIT_AS, 64 << 20);
		for (;;) {
			char *p = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE,
				       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

			if (p == MAP_FAILED)
				break;
			p[0] = 1;
			total += 1 << 20;
		}
		CHECK_EQ(errno, ENOMEM);
		CHECK(total > 30 << 20 && total < 64 << 20);
	}
	CHECK_EXIT(pid, 0);
}

__attribute__((noinline)) static long deep(long n)
{
	volatile char frame[300];

	frame[n % 300] = 1;
	return n < 0 ? 0 : deep(n + 1) + frame[0];
}

TEST(deep_recursion)
{
	pid_t pid;

	CHILD(pid) {
		limit(RLIMIT_CORE, 0);
		limit(RLIMIT_STACK, 1 << 20);
		deep(0);
	}
	CHECK_KILLED(pid, SIGSEGV);
}

static void *deep_thread(void *arg TEST_UNUSED)
{
	deep(0);
	return NULL;
}

TEST(deep_recursion_of_a_thread)
{
	pthread_t t;
	pid_t pid;

	CHILD(pid) {
		limit(RLIMIT_CORE, 0);
		limit(RLIMIT_STACK, 256 << 10);
		pthread_create(&t, NULL, deep_thread, NULL);
		pthread_join(t, NULL);
	}
	CHECK_KILLED(pid, SIGSEGV);
}

TEST_TIMED(a_thousand_processes, 60)
{
	static pid_t pid[1000];
	int hold[2];
	char c;

	CHECK_OK(pipe(hold));
	for (int i = 0; i < 1000; i++)
		CHILD(pid[i]) {
			close(hold[1]);
			CHECK_EQ(read(hold[0], &c, 1), 0);
			_exit(i % 200);
		}
	CHECK_OK(close(hold[1]));
	for (int i = 0; i < 1000; i++)
		CHECK_EXIT(pid[i], i % 200);
}

static int held[2];

static void *wait_for_end(void *arg)
{
	char c;

	CHECK_EQ(read(held[0], &c, 1), 0);
	return arg;
}

TEST_TIMED(a_thousand_threads, 60)
{
	static pthread_t t[1000];
	pthread_attr_t attr;
	void *result;

	CHECK_OK(pipe(held));
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 64 << 10);
	for (long i = 0; i < 1000; i++)
		CHECK_EQ(pthread_create(&t[i], &attr, wait_for_end,
					(void *)i), 0);
	CHECK_OK(close(held[1]));
	for (long i = 0; i < 1000; i++) {
		CHECK_EQ(pthread_join(t[i], &result), 0);
		CHECK_EQ((long)result, i);
	}
}

TEST(all_descriptors)
{
	int ends[2], last = -1, fd;

	limit(RLIMIT_NOFILE, 1000);
	while (pipe(ends) == 0)
		last = ends[1];
	CHECK_EQ(errno, EMFILE);
	CHECK(last >= 990);
	while ((fd = dup(0)) >= 0)
		continue;
	CHECK_ERR(open("/dev/null", O_RDONLY), EMFILE);
	CHECK_OK(close(last));
	CHECK_EQ(open("/dev/null", O_RDONLY), last);
}

TEST_TIMED(files_that_are_no_programs, 60)
{
	char *argv[] = { "x", NULL };
	unsigned state = 7;
	char text[300];
	pid_t pid;
	int fd, status;

	for (int i = 0; i < 60; i++) {
		unlink("f");
		fd = CHECK_OK(open("f", O_CREAT | O_WRONLY | O_CLOEXEC, 0755));
		for (size_t j = 0; j < sizeof(text); j++) {
			state = state * 1103515245 + 12345;
			text[j] = (char)(state >> 16);
		}
		if (i % 3 == 1)
			memcpy(text, "\177ELF\2\1\1", 7);
		if (i % 3 == 2)
			memcpy(text, "#!", 2);
		CHECK_EQ(write(fd, text, (size_t)(i * 5 + 1)), i * 5 + 1);
		CHECK_OK(close(fd));
		CHILD(pid) {
			execv("./f", argv);
			_exit(3);
		}
		CHECK_EQ(waitpid(pid, &status, 0), pid);
	}
}

TEST_TIMED(pipe_storm, 60)
{
	enum { NR = 50, BYTES = 200000 };
	static char block[4096];
	int in, out, ends[2];
	pid_t pid[NR];
	size_t total = 0;
	ssize_t n;

	/* A pipeline of fifty copies. */
	CHECK_OK(pipe(ends));
	out = ends[1];
	in = ends[0];
	for (int i = 0; i < NR; i++) {
		CHECK_OK(pipe(ends));
		CHILD(pid[i]) {
			close(out);
			close(ends[0]);
			while ((n = read(in, block, sizeof(block))) > 0)
				CHECK_EQ(write(ends[1], block, (size_t)n), n);
		}
		close(in);
		close(ends[1]);
		in = ends[0];
	}
	CHILD(pid[0]) {
		close(in);
		for (size_t i = 0; i < BYTES; i += sizeof(block)) {
			memset(block, (char)i, sizeof(block));
			CHECK_EQ(write(out, block, sizeof(block)),
				 sizeof(block));
		}
	}
	close(out);
	while ((n = read(in, block, sizeof(block))) > 0)
		total += (size_t)n;
	CHECK_EQ(total, (BYTES + 4095) / 4096 * 4096);
	for (int i = 0; i < NR; i++)
		CHECK(wait(NULL) > 0);
}
