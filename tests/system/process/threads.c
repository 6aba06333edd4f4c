#include "../test.h"
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>

#define NR	200

static _Thread_local int local = 5;
static int counter;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static void *count_thread(void *arg)
{
	CHECK_EQ(local, 5);
	local = (int)(long)arg;
	pthread_mutex_lock(&mutex);
	counter++;
	pthread_mutex_unlock(&mutex);
	sched_yield();
	CHECK_EQ(local, (int)(long)arg);
	return arg;
}

TEST(create_and_join)
{
	pthread_t t[NR];
	void *result;

	for (long i = 0; i < NR; i++)
		CHECK_EQ(pthread_create(&t[i], NULL, count_thread,
					(void *)i), 0);
	for (long i = 0; i < NR; i++) {
		CHECK_EQ(pthread_join(t[i], &result), 0);
		CHECK_EQ((long)result, i);
	}
	CHECK_EQ(counter, NR);
	CHECK_EQ(local, 5);
}

static void *forever(void *arg TEST_UNUSED)
{
	for (;;)
		pause();
	return NULL;
}

TEST(cancellation)
{
	pthread_t t;
	void *result;

	CHECK_EQ(pthread_create(&t, NULL, forever, NULL), 0);
	CHECK_EQ(pthread_cancel(t), 0);
	CHECK_EQ(pthread_join(t, &result), 0);
	CHECK(result == PTHREAD_CANCELED);
}

static void *ids(void *arg)
{
	pid_t *out = arg;

	out[0] = getpid();
	out[1] = gettid();
	out[2] = getppid();
	return NULL;
}

TEST(identities)
{
	pid_t id[3];
	pthread_t t;

	CHECK_EQ(gettid(), getpid());
	CHECK_EQ(pthread_create(&t, NULL, ids, id), 0);
	CHECK_EQ(pthread_join(t, NULL), 0);
	CHECK_EQ(id[0], getpid());
	CHECK(id[1] != getpid());
	CHECK_EQ(id[2], getppid());
}

static volatile pid_t caught;

static void on_signal(int sig TEST_UNUSED)
{
	caught = gettid();
}

static void *wait_for_signal(void *arg)
{
	__atomic_store_n((pid_t *)arg, gettid(), __ATOMIC_SEQ_CST);
	while (!caught)
		sched_yield();
	return NULL;
}

TEST(signal_to_one_thread)
{
	pid_t tid = 0;
	pthread_t t;

	signal(SIGUSR1, on_signal);
	CHECK_EQ(pthread_create(&t, NULL, wait_for_signal, &tid), 0);
	while (!__atomic_load_n(&tid, __ATOMIC_SEQ_CST))
		sched_yield();
	CHECK_ERR(syscall(SYS_tgkill, getpid(), tid, 99), EINVAL);
	CHECK_ERR(syscall(SYS_tgkill, getpid(), 0, SIGUSR1), EINVAL);
	CHECK_ERR(syscall(SYS_tgkill, -1, tid, SIGUSR1), EINVAL);
	CHECK_ERR(syscall(SYS_tgkill, getppid(), tid, SIGUSR1), ESRCH);
	CHECK_ERR(syscall(SYS_tgkill, getpid(), 999999, SIGUSR1), ESRCH);
	CHECK_OK(syscall(SYS_tgkill, getpid(), tid, SIGUSR1));
	CHECK_EQ(pthread_join(t, NULL), 0);
	CHECK_EQ(caught, tid);
	CHECK_OK(syscall(SYS_tkill, getpid(), SIGUSR1));
	CHECK_EQ(caught, getpid());
}

TEST(exit_group_ends_all)
{
	pthread_t t;
	pid_t pid;

	CHILD(pid) {
		for (int i = 0; i < 5; i++)
			CHECK_EQ(pthread_create(&t, NULL, forever, NULL), 0);
		_exit(11);
	}
	CHECK_EXIT(pid, 11);
}

static void *exit_later(void *arg)
{
	pthread_join(*(pthread_t *)arg, NULL);
	_exit(12);
}

TEST(main_thread_may_leave_first)
{
	static pthread_t self;
	pthread_t t;
	pid_t pid;

	CHILD(pid) {
		self = pthread_self();
		CHECK_EQ(pthread_create(&t, NULL, exit_later, &self), 0);
		pthread_exit(NULL);
	}
	CHECK_EXIT(pid, 12);
}

HELPER(alone)
{
	int threads = 0;
	DIR *d = opendir("/proc/self/task");

	while (d && readdir(d))
		threads++;
	return !(threads == 3 && getpid() == gettid() &&
		 getpid() == atoi(argv[1]));
}

static void *exec_thread(void *arg TEST_UNUSED)
{
	char id[16];

	snprintf(id, sizeof(id), "%d", getpid());
	test_exec("alone", id);
	return NULL;
}

TEST(exec_from_a_thread)
{
	pthread_t t;
	pid_t pid;

	CHILD(pid) {
		for (int i = 0; i < 5; i++)
			CHECK_EQ(pthread_create(&t, NULL, forever, NULL), 0);
		CHECK_EQ(pthread_create(&t, NULL, exec_thread, NULL), 0);
		for (;;)
			pause();
	}
	CHECK_EXIT(pid, 0);
}

TEST(fork_from_a_threaded_process)
{
	pthread_t t;
	pid_t pid;
	int tasks = 0;

	CHECK_EQ(pthread_create(&t, NULL, forever, NULL), 0);
	CHILD(pid) {
		DIR *d = opendir("/proc/self/task");

		while (readdir(d))
			tasks++;
		CHECK_EQ(tasks, 3);
	}
	CHECK_EXIT(pid, 0);
}

static int leave(void *arg TEST_UNUSED)
{
	return 3;
}

TEST(clear_child_tid)
{
	int *word = CHECK_OK(mmap(NULL, 4096, PROT_READ | PROT_WRITE,
				  MAP_SHARED | MAP_ANONYMOUS, -1, 0));
	static char stack[16384] __attribute__((aligned(16)));
	pid_t pid;

	CHECK_EQ(syscall(SYS_set_tid_address, word), gettid());
	*word = 1;
	/* Only when the memory is shared is the word cleared and woken. */
	pid = CHECK_OK(clone(leave, stack + sizeof(stack), CLONE_VM |
			     CLONE_CHILD_CLEARTID | SIGCHLD, NULL, NULL, NULL,
			     word));
	while (__atomic_load_n(word, __ATOMIC_SEQ_CST))
		syscall(SYS_futex, word, FUTEX_WAIT, 1, NULL);
	CHECK_EXIT(pid, 3);
}

static pthread_mutex_t *robust;

static void *die_with_lock(void *arg TEST_UNUSED)
{
	pthread_mutex_lock(robust);
	return NULL;
}

TEST(robust_mutexes)
{
	pthread_mutexattr_t attr;
	pthread_t t;
	pid_t pid;
	struct robust_list_head *head;
	size_t size;

	robust = CHECK_OK(mmap(NULL, 4096, PROT_READ | PROT_WRITE,
			       MAP_SHARED | MAP_ANONYMOUS, -1, 0));
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
	pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	CHECK_EQ(pthread_mutex_init(robust, &attr), 0);
	CHECK_EQ(pthread_create(&t, NULL, die_with_lock, NULL), 0);
	CHECK_EQ(pthread_join(t, NULL), 0);
	CHECK_EQ(pthread_mutex_lock(robust), EOWNERDEAD);
	CHECK_EQ(pthread_mutex_consistent(robust), 0);
	CHECK_EQ(pthread_mutex_unlock(robust), 0);
	CHILD(pid) {
		pthread_mutex_lock(robust);
		raise(SIGKILL);
	}
	CHECK_KILLED(pid, SIGKILL);
	CHECK_EQ(pthread_mutex_lock(robust), EOWNERDEAD);
	CHECK_OK(syscall(SYS_get_robust_list, 0, &head, &size));
	CHECK_EQ(size, sizeof(*head));
	CHECK_ERR(syscall(SYS_set_robust_list, head, 3), EINVAL);
	CHECK_ERR(syscall(SYS_get_robust_list, 999999, &head, &size), ESRCH);
}

TEST(names)
{
	char name[32], path[64], text[32];

	CHECK_EQ(pthread_setname_np(pthread_self(), "some name"), 0);
	CHECK_EQ(pthread_getname_np(pthread_self(), name, sizeof(name)), 0);
	CHECK_STR(name, "some name");
	snprintf(path, sizeof(path), "/proc/self/task/%d/comm", gettid());
	CHECK_OK(test_read_file(path, text, sizeof(text)));
	CHECK_STR(text, "some name\n");
}
