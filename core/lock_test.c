/* Locks under contention: mutual exclusion, no lost wake-up, fairness of hand-off. */
#include <nos/test.h>

#ifndef NOS_HOST

#include <nos/cpu.h>
#include <nos/lock.h>
#include <nos/thread.h>
#include <nos/timer.h>
#include <nos/wait.h>

#define NR_THREADS 8
#define NR_ROUNDS 1500

static struct completion done;
static struct spinlock spin = SPINLOCK_INIT(RANK_LEAF);
static struct mutex mutex = MUTEX_INIT(RANK_NONE);
static struct rwlock rwlock = RWLOCK_INIT(RANK_NONE);
static u64 shared[2];
static u32 inside;

static void start_all(void (*fn)(void *arg))
{
	completion_init(&done);
	shared[0] = shared[1] = 0;
	inside = 0;
	for (unsigned i = 0; i < NR_THREADS; i++) {
		struct thread *t = kthread_create(fn, (void *)(u64)i, "lock-test");

		EXPECT(t != NULL);
		thread_start(t);
	}
	for (unsigned i = 0; i < NR_THREADS; i++)
		completion_wait(&done);
}

static void bump(void)
{
	u64 v = READ_ONCE(shared[0]);

	EXPECT_EQ(v, READ_ONCE(shared[1]));
	WRITE_ONCE(shared[0], v + 1);
	cpu_relax();
	WRITE_ONCE(shared[1], v + 1);
}

static void spin_main(void *arg)
{
	(void)arg;
	for (unsigned i = 0; i < NR_ROUNDS; i++) {
		if (i & 1) {
			spin_lock(&spin);
			bump();
			spin_unlock(&spin);
		} else {
			while (!spin_try_lock(&spin))
				cpu_relax();
			bump();
			spin_unlock(&spin);
		}
	}
	completion_signal(&done);
}

TEST(spinlock_excludes)
{
	start_all(spin_main);
	EXPECT_EQ(shared[0], NR_THREADS * NR_ROUNDS);
	EXPECT(!spin_is_held(&spin));
}

static void mutex_main(void *arg)
{
	u64 me = (u64)arg;

	for (unsigned i = 0; i < NR_ROUNDS; i++) {
		mutex_lock(&mutex);
		EXPECT(mutex_is_held(&mutex));
		bump();
		if ((i + me) % 16 == 0)
			thread_yield();
		mutex_unlock(&mutex);
	}
	completion_signal(&done);
}

TEST(mutex_excludes_and_wakes)
{
	start_all(mutex_main);
	EXPECT_EQ(shared[0], NR_THREADS * NR_ROUNDS);
	EXPECT_EQ(mutex.word, 0);
}

/* One hog that takes it again at once; the sleeper must get it within some milliseconds. */
static u32 hog_stop;

static void hog_main(void *arg)
{
	(void)arg;
	while (!READ_ONCE(hog_stop)) {
		u64 until = clock_monotonic_ns() + 200 * NSEC_PER_USEC;

		mutex_lock(&mutex);
		while (clock_monotonic_ns() < until)
			cpu_relax();
		mutex_unlock(&mutex);
	}
	completion_signal(&done);
}

TEST(mutex_hands_off_to_a_starving_sleeper)
{
	struct thread *t = kthread_create(hog_main, NULL, "hog");

	EXPECT(t != NULL);
	completion_init(&done);
	hog_stop = 0;
	thread_start(t);
	for (unsigned i = 0; i < 5; i++) {
		thread_yield();
		mutex_lock(&mutex);
		mutex_unlock(&mutex);
	}
	WRITE_ONCE(hog_stop, 1);
	completion_wait(&done);
	EXPECT_EQ(mutex.word, 0);
}

static void killed_main(void *arg)
{
	(void)arg;
	/* A pending signal: the wait ends without the mutex. */
	atomic_or(&current_thread->work, WORK_SIGNAL | WORK_FATAL);
	EXPECT(mutex_lock_interruptible(&mutex) < 0);
	EXPECT(mutex_lock_killable(&mutex) < 0);
	completion_signal(&done);
}

TEST(mutex_interrupted_wait_leaves_it_usable)
{
	struct thread *t = kthread_create(killed_main, NULL, "killed");

	EXPECT(t != NULL);
	completion_init(&done);
	mutex_lock(&mutex);
	thread_start(t);
	completion_wait(&done);
	EXPECT(!mutex_try_lock(&mutex));
	mutex_unlock(&mutex);
	EXPECT(mutex_try_lock(&mutex));
	mutex_unlock(&mutex);
	EXPECT_EQ(mutex.word, 0);
}

/* The analysis knows no downgrade. */
static void rwlock_main(void *arg) __no_lock_check
{
	u64 me = (u64)arg;

	for (unsigned i = 0; i < NR_ROUNDS; i++) {
		if ((i + me) % 4 == 0) {
			rwlock_write(&rwlock);
			EXPECT_EQ(READ_ONCE(inside), 0);
			bump();
			if (i % 8 == 0) {
				rwlock_downgrade(&rwlock);
				rwlock_read_unlock(&rwlock);
			} else {
				rwlock_write_unlock(&rwlock);
			}
		} else {
			rwlock_read(&rwlock);
			(void)atomic_add(&inside, 1);
			EXPECT_EQ(READ_ONCE(shared[0]), READ_ONCE(shared[1]));
			if (i % 16 == 1)
				thread_yield();
			(void)atomic_sub(&inside, 1);
			rwlock_read_unlock(&rwlock);
		}
	}
	completion_signal(&done);
}

TEST(rwlock_readers_and_writers)
{
	start_all(rwlock_main);
	EXPECT_EQ(shared[0], NR_THREADS * NR_ROUNDS / 4);
	EXPECT_EQ(rwlock.word, 0);
}

TEST(ref_saturates)
{
	struct ref r;

	ref_init(&r, 1);
	EXPECT(ref_get_unless_zero(&r));
	EXPECT(!ref_put(&r));
	EXPECT(ref_put(&r));
	EXPECT(!ref_get_unless_zero(&r));
	ref_init(&r, 0x7fffffff);
	ref_get(&r);
	ref_get(&r);
	EXPECT_EQ(ref_read(&r), REF_SATURATED);
	EXPECT(!ref_put(&r));
}

#endif
