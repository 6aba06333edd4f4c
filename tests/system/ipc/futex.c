#include "../test.h"
#include <linux/futex.h>
#include <pthread.h>

static uint32_t *word;	/* two pages of shared words */

static long futex(uint32_t *at, int op, uint32_t value, const void *timeout,
		  uint32_t *other, uint32_t third)
{
	return syscall(SYS_futex, at, op, value, timeout, other, third);
}

static void setup(void)
{
	word = CHECK_OK(mmap(NULL, 8192, PROT_READ | PROT_WRITE,
			     MAP_SHARED | MAP_ANONYMOUS, -1, 0));
}

/* A child that waits on `at` with this bit set; exits 0 when woken. */
static pid_t waiter(uint32_t *at, uint32_t bits)
{
	pid_t pid;

	CHILD(pid)
		CHECK_OK(futex(at, FUTEX_WAIT_BITSET, 0, NULL, NULL, bits));
	test_wait_state(pid, 'S');
	return pid;
}

TEST(wait_and_wake)
{
	pid_t a, b, c;

	setup();
	CHECK_ERR(futex(word, FUTEX_WAIT, 1, NULL, NULL, 0), EAGAIN);
	CHECK_EQ(futex(word, FUTEX_WAKE, 1, NULL, NULL, 0), 0);
	a = waiter(word, ~0u);
	b = waiter(word, ~0u);
	c = waiter(word + 1, ~0u);
	CHECK_EQ(futex(word, FUTEX_WAKE, 1, NULL, NULL, 0), 1);
	CHECK_EXIT(a, 0);
	CHECK_EQ(futex(word, FUTEX_WAKE, 10, NULL, NULL, 0), 1);
	CHECK_EXIT(b, 0);
	CHECK_EQ(futex(word, FUTEX_WAKE, 10, NULL, NULL, 0), 0);
	CHECK_EQ(futex(word + 1, FUTEX_WAKE, 10, NULL, NULL, 0), 1);
	CHECK_EXIT(c, 0);
}

TEST(bit_sets)
{
	pid_t a, b;

	setup();
	a = waiter(word, 1);
	b = waiter(word, 6);
	CHECK_EQ(futex(word, FUTEX_WAKE_BITSET, 10, NULL, NULL, 8), 0);
	CHECK_EQ(futex(word, FUTEX_WAKE_BITSET, 10, NULL, NULL, 4), 1);
	CHECK_EXIT(b, 0);
	CHECK_EQ(futex(word, FUTEX_WAKE, 10, NULL, NULL, 0), 1);
	CHECK_EXIT(a, 0);
	CHECK_ERR(futex(word, FUTEX_WAIT_BITSET, 0, NULL, NULL, 0), EINVAL);
	CHECK_ERR(futex(word, FUTEX_WAKE_BITSET, 1, NULL, NULL, 0), EINVAL);
}

TEST(timeouts)
{
	struct timespec t = { .tv_nsec = 10000000 };
	int64_t start = test_now_ns();

	setup();
	CHECK_ERR(futex(word, FUTEX_WAIT, 0, &t, NULL, 0), ETIMEDOUT);
	CHECK(test_now_ns() - start >= 10000000);
	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_nsec += 10000000;
	if (t.tv_nsec >= 1000000000) {
		t.tv_nsec -= 1000000000;
		t.tv_sec++;
	}
	CHECK_ERR(futex(word, FUTEX_WAIT_BITSET, 0, &t, NULL, ~0u), ETIMEDOUT);
	CHECK(test_now_ns() >= t.tv_sec * 1000000000ll + t.tv_nsec);
	clock_gettime(CLOCK_REALTIME, &t);
	t.tv_sec--;
	CHECK_ERR(futex(word, FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME, 0, &t,
			NULL, ~0u), ETIMEDOUT);
	t.tv_nsec = 1000000000;
	CHECK_ERR(futex(word, FUTEX_WAIT, 0, &t, NULL, 0), EINVAL);
	t = (struct timespec){ .tv_sec = -1 };
	CHECK_ERR(futex(word, FUTEX_WAIT, 0, &t, NULL, 0), EINVAL);
	CHECK_ERR(futex(word, FUTEX_WAIT, 0, WILD, NULL, 0), EFAULT);
}

TEST(addresses)
{
	char *page;

	setup();
	CHECK_ERR(futex((uint32_t *)((char *)word + 1), FUTEX_WAIT, 0, NULL,
			NULL, 0), EINVAL);
	CHECK_ERR(futex((uint32_t *)((char *)word + 2), FUTEX_WAKE, 1, NULL,
			NULL, 0), EINVAL);
	CHECK_ERR(futex(WILD, FUTEX_WAIT, 0, NULL, NULL, 0), EFAULT);
	CHECK_ERR(futex(WILDK, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0), EFAULT);
	CHECK_ERR(futex(word, 0x7f, 0, NULL, NULL, 0), ENOSYS);
	page = CHECK_OK(mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE |
			     MAP_ANONYMOUS, -1, 0));
	CHECK_ERR(futex((void *)page, FUTEX_WAIT, 0, NULL, NULL, 0), EFAULT);
}

TEST(shared_by_file_not_by_address)
{
	int fd = CHECK_OK(open("f", O_CREAT | O_RDWR, 0666));
	uint32_t *a, *b;
	pid_t pid;

	CHECK_OK(ftruncate(fd, 4096));
	a = CHECK_OK(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
			  0));
	b = CHECK_OK(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
			  0));
	pid = waiter(a, ~0u);
	CHECK_EQ(futex(b, FUTEX_WAKE, 1, NULL, NULL, 0), 1);
	CHECK_EXIT(pid, 0);
}

TEST(private_is_apart)
{
	pid_t pid;

	setup();
	pid = waiter(word, ~0u);
	CHECK_EQ(futex(word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0), 0);
	CHECK_EQ(futex(word, FUTEX_WAKE, 1, NULL, NULL, 0), 1);
	CHECK_EXIT(pid, 0);
}

TEST(requeue)
{
	pid_t a, b, c;

	setup();
	a = waiter(word, ~0u);
	b = waiter(word, ~0u);
	c = waiter(word, ~0u);
	CHECK_ERR(futex(word, FUTEX_CMP_REQUEUE, 1, (void *)1, word + 4, 7),
		  EAGAIN);
	CHECK_EQ(futex(word, FUTEX_CMP_REQUEUE, 1, (void *)1, word + 4, 0), 2);
	CHECK_EXIT(a, 0);
	CHECK_EQ(futex(word, FUTEX_REQUEUE, 0, (void *)10, word + 4, 0), 1);
	CHECK_EQ(futex(word, FUTEX_WAKE, 10, NULL, NULL, 0), 0);
	CHECK_EQ(futex(word + 4, FUTEX_WAKE, 10, NULL, NULL, 0), 2);
	CHECK_EXIT(b, 0);
	CHECK_EXIT(c, 0);
	CHECK_ERR(futex(word, FUTEX_CMP_REQUEUE, 1, (void *)1, WILD, 0),
		  EFAULT);
}

TEST(wake_op)
{
	pid_t a, b;

	setup();
	a = waiter(word, ~0u);
	b = waiter(word + 1, ~0u);
	/* word[1]: was 0, add 5; wake there because the old value was 0. */
	CHECK_EQ(futex(word, FUTEX_WAKE_OP, 1, (void *)1, word + 1,
		       (uint32_t)FUTEX_OP(FUTEX_OP_ADD, 5, FUTEX_OP_CMP_EQ,
					  0)), 2);
	CHECK_EQ(word[1], 5);
	CHECK_EXIT(a, 0);
	CHECK_EXIT(b, 0);
	CHECK_EQ(futex(word, FUTEX_WAKE_OP, 1, (void *)1, word + 1,
		       (uint32_t)FUTEX_OP(FUTEX_OP_SET, 9, FUTEX_OP_CMP_GT,
					  100)), 0);
	CHECK_EQ(word[1], 9);
	CHECK_ERR(futex(word, FUTEX_WAKE_OP, 1, (void *)1, word + 1,
			5u << 28), ENOSYS);
}

TEST(priority_inheritance)
{
	uint32_t tid = (uint32_t)gettid();
	pid_t pid;

	setup();
	CHECK_OK(futex(word, FUTEX_LOCK_PI, 0, NULL, NULL, 0));
	CHECK_EQ(*word, tid);
	CHECK_ERR(futex(word, FUTEX_LOCK_PI, 0, NULL, NULL, 0), EDEADLK);
	CHILD(pid) {
		CHECK_ERR(futex(word, FUTEX_TRYLOCK_PI, 0, NULL, NULL, 0),
			  EAGAIN);
		CHECK_ERR(futex(word, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0),
			  EPERM);
		CHECK_OK(futex(word, FUTEX_LOCK_PI, 0, NULL, NULL, 0));
		CHECK_EQ(*word & FUTEX_TID_MASK, (uint32_t)gettid());
		CHECK_OK(futex(word, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0));
	}
	test_wait_state(pid, 'S');
	CHECK_EQ(*word, tid | FUTEX_WAITERS);
	CHECK_OK(futex(word, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0));
	CHECK_EXIT(pid, 0);
	CHECK_EQ(*word & FUTEX_TID_MASK, 0);
	*word = 999999;
	CHECK_ERR(futex(word, FUTEX_LOCK_PI, 0, NULL, NULL, 0), ESRCH);
}

TEST(inheritance_with_a_timeout)
{
	struct timespec t;
	pid_t pid;

	setup();
	CHECK_OK(futex(word, FUTEX_LOCK_PI, 0, NULL, NULL, 0));
	CHILD(pid) {
		clock_gettime(CLOCK_REALTIME, &t);
		CHECK_ERR(futex(word, FUTEX_LOCK_PI, 0, &t, NULL, 0),
			  ETIMEDOUT);
	}
	CHECK_EXIT(pid, 0);
	CHECK_OK(futex(word, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0));
}

TEST(the_library_uses_it)
{
	pthread_mutexattr_t attr;
	pthread_mutex_t *m;
	pid_t pid;

	setup();
	m = (void *)(word + 16);
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setprotocol(&attr, PTHREAD_PRIO_INHERIT);
	pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	CHECK_EQ(pthread_mutex_init(m, &attr), 0);
	CHECK_EQ(pthread_mutex_lock(m), 0);
	CHILD(pid) {
		CHECK_EQ(pthread_mutex_lock(m), 0);
		CHECK_EQ(pthread_mutex_unlock(m), 0);
	}
	test_wait_state(pid, 'S');
	CHECK_EQ(pthread_mutex_unlock(m), 0);
	CHECK_EXIT(pid, 0);
}

struct waitv {
	uint64_t value, address;
	uint32_t flags, reserved;
};

#ifndef SYS_futex_waitv
#define SYS_futex_waitv 449
#endif

TEST(wait_for_several)
{
	struct waitv v[3] = {};
	struct timespec past = {};
	pid_t pid;

	setup();
	for (int i = 0; i < 3; i++)
		v[i] = (struct waitv){ 0, (uintptr_t)(word + i), 2, 0 };
	CHILD(pid)
		CHECK_EQ(syscall(SYS_futex_waitv, v, 3, 0, NULL,
				 CLOCK_MONOTONIC), 2);
	test_wait_state(pid, 'S');
	CHECK_EQ(futex(word + 2, FUTEX_WAKE, 1, NULL, NULL, 0), 1);
	CHECK_EXIT(pid, 0);
	CHECK_ERR(syscall(SYS_futex_waitv, v, 3, 0, &past, CLOCK_MONOTONIC),
		  ETIMEDOUT);
	v[1].value = 1;
	CHECK_ERR(syscall(SYS_futex_waitv, v, 3, 0, NULL, CLOCK_MONOTONIC),
		  EAGAIN);
	v[1].flags = 0x40;
	CHECK_ERR(syscall(SYS_futex_waitv, v, 3, 0, NULL, CLOCK_MONOTONIC),
		  EINVAL);
	CHECK_ERR(syscall(SYS_futex_waitv, v, 0, 0, NULL, CLOCK_MONOTONIC),
		  EINVAL);
	CHECK_ERR(syscall(SYS_futex_waitv, v, 129, 0, NULL, CLOCK_MONOTONIC),
		  EINVAL);
	CHECK_ERR(syscall(SYS_futex_waitv, v, 3, 1, NULL, CLOCK_MONOTONIC),
		  EINVAL);
	CHECK_ERR(syscall(SYS_futex_waitv, WILD, 3, 0, NULL, CLOCK_MONOTONIC),
		  EFAULT);
}
