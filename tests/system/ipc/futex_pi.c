/* Priority inheritance: chains, what others see of it, and requeueing. */
#include "../test.h"
#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <sys/resource.h>

static volatile uint32_t *word;	/* a page of shared words */

static long futex(volatile uint32_t *at, int op, uint32_t value,
		  const void *timeout, volatile uint32_t *other, uint32_t third)
{
	return syscall(SYS_futex, at, op, value, timeout, other, third);
}

static long lock(volatile uint32_t *at)
{
	return futex(at, FUTEX_LOCK_PI, 0, NULL, NULL, 0);
}

static long unlock(volatile uint32_t *at)
{
	return futex(at, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0);
}

static long wait_at(volatile uint32_t *at, uint32_t value,
		    volatile uint32_t *mutex, const struct timespec *t)
{
	return futex(at, FUTEX_WAIT_REQUEUE_PI, value, t, mutex, 0);
}

static long signal_at(volatile uint32_t *at, uint32_t wake, long more,
		      volatile uint32_t *mutex, uint32_t expected)
{
	return futex(at, FUTEX_CMP_REQUEUE_PI, wake, (void *)more, mutex,
		     expected);
}

static void setup(void)
{
	word = CHECK_OK(mmap(NULL, 4096, PROT_READ | PROT_WRITE,
			     MAP_SHARED | MAP_ANONYMOUS, -1, 0));
}

/* The priority that the scheduler uses: negative for real-time. */
static int priority_of(pid_t pid)
{
	char path[64], text[1024] = "", *at;
	int fd, n;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	fd = CHECK_OK(open(path, O_RDONLY));
	CHECK(read(fd, text, sizeof(text) - 1) > 0);
	CHECK_OK(close(fd));
	at = strrchr(text, ')');
	CHECK(at && sscanf(at, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u "
			   "%*u %*u %*d %*d %d", &n) == 1);
	return n;
}

static void be_realtime(int priority)
{
	struct sched_param p = { .sched_priority = priority };

	if (sched_setscheduler(0, SCHED_FIFO, &p))
		_exit(77);
}

static void want_realtime(void)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		be_realtime(10);
		_exit(0);
	}
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	if (status)
		SKIP("no real-time priorities here");
}

TEST(owner_inherits_along_a_chain)
{
	pid_t middle, last;
	struct sched_param p;

	setup();
	want_realtime();
	CHECK_OK(lock(&word[0]));
	CHECK_EQ(priority_of(getpid()), 20);
	CHILD(middle) {
		CHECK_OK(lock(&word[1]));
		CHECK_OK(lock(&word[0]));
		CHECK_OK(unlock(&word[0]));
		CHECK_OK(unlock(&word[1]));
		CHECK_EQ(priority_of(getpid()), 20);
	}
	test_wait_state(middle, 'S');
	CHECK_EQ(priority_of(getpid()), 20);
	CHILD(last) {
		be_realtime(10);
		CHECK_OK(lock(&word[1]));
		CHECK_OK(unlock(&word[1]));
	}
	test_wait_state(last, 'S');
	CHECK_EQ(priority_of(middle), -11);
	CHECK_EQ(priority_of(getpid()), -11);
	/* What it was given by others stays inside. */
	CHECK_EQ(sched_getscheduler(0), SCHED_OTHER);
	CHECK_OK(sched_getparam(0, &p));
	CHECK_EQ(p.sched_priority, 0);
	CHECK_EQ(getpriority(PRIO_PROCESS, 0), 0);
	CHECK_OK(unlock(&word[0]));
	CHECK_EQ(priority_of(getpid()), 20);
	CHECK_EXIT(middle, 0);
	CHECK_EXIT(last, 0);
}

TEST(own_priority_changes_meanwhile)
{
	pid_t child, other;

	setup();
	want_realtime();
	CHECK_OK(lock(&word[0]));
	CHILD(child) {
		be_realtime(10);
		CHECK_OK(lock(&word[0]));
		CHECK_OK(unlock(&word[0]));
	}
	test_wait_state(child, 'S');
	CHECK_OK(setpriority(PRIO_PROCESS, 0, 5));
	CHECK_EQ(priority_of(getpid()), -11);
	CHECK_EQ(getpriority(PRIO_PROCESS, 0), 5);
	/* A child is as its parent is by itself. */
	CHILD(other)
		CHECK_EQ(priority_of(getpid()), 25);
	CHECK_EXIT(other, 0);
	CHECK_OK(unlock(&word[0]));
	CHECK_EQ(priority_of(getpid()), 25);
	CHECK_EXIT(child, 0);
}

TEST(circles_are_refused)
{
	pid_t pid;

	setup();
	CHECK_OK(lock(&word[0]));
	CHILD(pid) {
		CHECK_OK(lock(&word[1]));
		CHECK_OK(lock(&word[0]));
		CHECK_OK(unlock(&word[0]));
		CHECK_OK(unlock(&word[1]));
	}
	test_wait_state(pid, 'S');
	CHECK_ERR(lock(&word[1]), EDEADLK);
	CHECK_OK(unlock(&word[0]));
	CHECK_EXIT(pid, 0);
}

TEST(best_waiter_is_next)
{
	pid_t low, high;

	setup();
	want_realtime();
	CHECK_OK(lock(&word[0]));
	CHILD(low) {
		be_realtime(10);
		CHECK_OK(lock(&word[0]));
		CHECK_EQ(word[1], 1);
		CHECK_OK(unlock(&word[0]));
	}
	test_wait_state(low, 'S');
	CHILD(high) {
		be_realtime(20);
		CHECK_OK(lock(&word[0]));
		word[1] = 1;
		CHECK_OK(unlock(&word[0]));
	}
	test_wait_state(high, 'S');
	CHECK_OK(unlock(&word[0]));
	CHECK_EXIT(high, 0);
	CHECK_EXIT(low, 0);
}

TEST(dead_owners)
{
	pid_t pid;
	siginfo_t info;

	setup();
	/* Dead, and not yet reaped. */
	CHILD(pid)
		word[0] = (uint32_t)getpid();
	CHECK_OK(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT));
	CHECK_ERR(lock(&word[0]), ESRCH);
	CHECK_EXIT(pid, 0);
	CHECK_ERR(lock(&word[0]), ESRCH);
}

HELPER(lock_and_meet)
{
	int fd = atoi(argv[1]);
	pid_t pid;

	word = CHECK_OK(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED,
			     fd, 0));
	CHECK_OK(lock(&word[0]));
	CHILD(pid) {
		CHECK_OK(lock(&word[0]));
		CHECK_OK(unlock(&word[0]));
	}
	test_wait_state(pid, 'S');
	CHECK_OK(unlock(&word[0]));
	CHECK_EXIT(pid, 0);
	return argc != 2;
}

TEST(locks_after_exec)
{
	int fd = CHECK_OK(memfd_create("words", 0));
	char number[16];

	CHECK_OK(ftruncate(fd, 4096));
	snprintf(number, sizeof(number), "%d", fd);
	test_exec("lock_and_meet", number);
}

/* ---- requeueing ---- */

static pid_t requeue_waiter(volatile uint32_t *counter)
{
	pid_t pid;

	CHILD(pid) {
		CHECK_OK(wait_at(&word[0], 0, &word[1], NULL));
		CHECK_EQ(word[1] & FUTEX_TID_MASK, (uint32_t)getpid());
		(*counter)++;
		CHECK_OK(unlock(&word[1]));
	}
	test_wait_state(pid, 'S');
	return pid;
}

TEST(requeue_to_a_lock_that_is_held)
{
	pid_t pid[3];

	setup();
	for (int i = 0; i < 3; i++)
		pid[i] = requeue_waiter(&word[8]);
	CHECK_OK(lock(&word[1]));
	CHECK_EQ(signal_at(&word[0], 1, 1, &word[1], 0), 2);
	CHECK_EQ(word[1], (uint32_t)getpid() | FUTEX_WAITERS);
	CHECK_EQ(signal_at(&word[0], 1, INT_MAX, &word[1], 0), 1);
	CHECK_EQ(signal_at(&word[0], 1, INT_MAX, &word[1], 0), 0);
	CHECK_EQ(word[8], 0);
	CHECK_OK(unlock(&word[1]));
	for (int i = 0; i < 3; i++)
		CHECK_EXIT(pid[i], 0);
	CHECK_EQ(word[8], 3);
	CHECK_EQ(word[1] & FUTEX_TID_MASK, 0);
}

TEST(requeue_to_a_free_lock)
{
	pid_t a, b;

	setup();
	a = requeue_waiter(&word[8]);
	b = requeue_waiter(&word[8]);
	/* One gets it at once, the other after that. */
	CHECK_EQ(signal_at(&word[0], 1, INT_MAX, &word[1], 0), 2);
	CHECK_EXIT(a, 0);
	CHECK_EXIT(b, 0);
	CHECK_EQ(word[8], 2);
}

TEST(requeue_inherits)
{
	pid_t pid;

	setup();
	want_realtime();
	CHECK_OK(lock(&word[1]));
	CHILD(pid) {
		be_realtime(10);
		CHECK_OK(wait_at(&word[0], 0, &word[1], NULL));
		CHECK_OK(unlock(&word[1]));
	}
	test_wait_state(pid, 'S');
	CHECK_EQ(priority_of(getpid()), 20);
	CHECK_EQ(signal_at(&word[0], 1, 0, &word[1], 0), 1);
	CHECK_EQ(priority_of(getpid()), -11);
	CHECK_OK(unlock(&word[1]));
	CHECK_EQ(priority_of(getpid()), 20);
	CHECK_EXIT(pid, 0);
}

TEST(requeue_refuses_what_does_not_fit)
{
	pid_t pid, plain;

	setup();
	CHECK_ERR(wait_at(&word[0], 1, &word[1], NULL), EAGAIN);
	CHECK_ERR(wait_at(&word[0], 0, &word[0], NULL), EINVAL);
	CHECK_ERR(wait_at(&word[0], 0, WILD, NULL), EFAULT);
	CHECK_ERR(signal_at(&word[0], 2, 1, &word[1], 0), EINVAL);
	CHECK_ERR(signal_at(&word[0], 0, 1, &word[1], 0), EINVAL);
	CHECK_ERR(signal_at(&word[0], 1, 1, &word[0], 0), EINVAL);
	CHECK_ERR(signal_at(&word[0], 1, 1, &word[1], 7), EAGAIN);
	CHECK_EQ(signal_at(&word[0], 1, 1, &word[1], 0), 0);
	CHILD(plain)
		CHECK_OK(futex(&word[4], FUTEX_WAIT, 0, NULL, NULL, 0));
	test_wait_state(plain, 'S');
	CHECK_ERR(signal_at(&word[4], 1, 1, &word[1], 0), EINVAL);
	CHECK_EQ(futex(&word[4], FUTEX_WAKE, 1, NULL, NULL, 0), 1);
	CHECK_EXIT(plain, 0);
	pid = requeue_waiter(&word[8]);
	CHECK_ERR(futex(&word[0], FUTEX_WAKE, 1, NULL, NULL, 0), EINVAL);
	CHECK_ERR(futex(&word[0], FUTEX_REQUEUE, 0, (void *)1, &word[2], 0),
		  EINVAL);
	CHECK_ERR(signal_at(&word[0], 1, 1, &word[2], 0), EINVAL);
	CHECK_EQ(signal_at(&word[0], 1, 1, &word[1], 0), 1);
	CHECK_EXIT(pid, 0);
}

TEST(requeue_with_timeouts)
{
	struct timespec t;
	pid_t pid;

	setup();
	CHECK_OK(clock_gettime(CLOCK_MONOTONIC, &t));
	CHECK_ERR(wait_at(&word[0], 0, &word[1], &t), ETIMEDOUT);
	CHECK_EQ(signal_at(&word[0], 1, 1, &word[1], 0), 0);
	/* After it was moved. */
	CHECK_OK(lock(&word[1]));
	CHILD(pid) {
		CHECK_OK(clock_gettime(CLOCK_MONOTONIC, &t));
		t.tv_sec++;
		CHECK_ERR(wait_at(&word[0], 0, &word[1], &t), ETIMEDOUT);
	}
	test_wait_state(pid, 'S');
	CHECK_EQ(signal_at(&word[0], 1, 1, &word[1], 0), 1);
	CHECK_EXIT(pid, 0);
	CHECK_OK(unlock(&word[1]));
	CHECK_OK(lock(&word[1]));
}

static void nothing(int sig TEST_UNUSED)
{
}

TEST(requeue_and_signals)
{
	struct sigaction a = { .sa_handler = nothing };
	pid_t pid;

	setup();
	CHECK_OK(sigaction(SIGUSR1, &a, NULL));
	/* Before: the call starts over.  After: it tells that the word changed. */
	CHECK_OK(lock(&word[1]));
	CHILD(pid)
		CHECK_ERR(wait_at(&word[0], 0, &word[1], NULL), EAGAIN);
	test_wait_state(pid, 'S');
	CHECK_OK(kill(pid, SIGUSR1));
	CHECK_OK(usleep(20000));
	test_wait_state(pid, 'S');
	CHECK_EQ(signal_at(&word[0], 1, 1, &word[1], 0), 1);
	CHECK_OK(kill(pid, SIGUSR1));
	CHECK_EXIT(pid, 0);
	CHECK_OK(unlock(&word[1]));
}

/* Many signal and wait at once; a lost wake-up or lock hangs. */
TEST_TIMED(requeue_storm, 30)
{
	enum { WAITERS = 6, ROUNDS = 300 };
	pid_t pid[WAITERS];

	setup();
	for (int i = 0; i < WAITERS; i++) {
		CHILD(pid[i]) {
			for (int n = 0; n < ROUNDS; n++) {
				struct timespec t;
				uint32_t seen = word[0];
				long r;

				CHECK_OK(clock_gettime(CLOCK_MONOTONIC, &t));
				t.tv_nsec += (n % 3) * 300000;
				if (t.tv_nsec >= 1000000000) {
					t.tv_nsec -= 1000000000;
					t.tv_sec++;
				}
				r = wait_at(&word[0], seen, &word[1], &t);
				if (r < 0) {
					CHECK(errno == ETIMEDOUT ||
					      errno == EAGAIN);
					CHECK_OK(lock(&word[1]));
				}
				CHECK_EQ(word[1] & FUTEX_TID_MASK,
					 (uint32_t)getpid());
				word[8]++;
				CHECK_OK(unlock(&word[1]));
			}
			__atomic_add_fetch(&word[9], 1, __ATOMIC_SEQ_CST);
		}
	}
	while (__atomic_load_n(&word[9], __ATOMIC_SEQ_CST) != WAITERS) {
		uint32_t now = __atomic_add_fetch(&word[0], 1, __ATOMIC_SEQ_CST);
		long r = signal_at(&word[0], 1, INT_MAX, &word[1], now);

		CHECK(r >= 0 || errno == EAGAIN);
		sched_yield();
	}
	for (int i = 0; i < WAITERS; i++)
		CHECK_EXIT(pid[i], 0);
	CHECK_EQ(word[8], WAITERS * ROUNDS);
}
