/* RCU: nothing is freed under a reader; callbacks all run, in bounded time. */
#include <nos/test.h>

#ifndef NOS_HOST

#include <nos/cpu.h>
#include <nos/rcu.h>
#include <nos/thread.h>
#include <nos/timer.h>
#include <nos/wait.h>

#define NR_READERS 4
#define POISON 0xdeadu

struct node {
	struct rcu_head rcu;
	u32 value;
	bool in_use;
};

static struct node nodes[64];
static struct node *published;
static u32 stop, callbacks_run;
static struct completion done;

static void node_free(struct rcu_head *head)
{
	struct node *n = container_of(head, struct node, rcu);

	WRITE_ONCE(n->value, POISON);
	atomic_store(&n->in_use, false);
	(void)atomic_add(&callbacks_run, 1);
}

static void reader_main(void *arg)
{
	u64 seed = (u64)arg;

	while (!READ_ONCE(stop)) {
		rcu_read_lock();
		struct node *n = rcu_load(published);
		u32 v = READ_ONCE(n->value);

		for (unsigned i = 0; i < (seed & 63); i++)
			cpu_relax();
		if (v == POISON || READ_ONCE(n->value) != v)
			unit_test_fail(__FILE__, __LINE__, "freed under a reader");
		rcu_read_unlock();
		seed = seed * 5 + 1;
	}
	completion_signal(&done);
}

static struct node *find_free(void)
{
	for (unsigned i = 0; i < ARRAY_SIZE(nodes); i++)
		if (!atomic_load(&nodes[i].in_use))
			return &nodes[i];
	return NULL;
}

TEST(rcu_readers_never_see_freed_memory)
{
	u64 end = clock_monotonic_ns() + 300 * NSEC_PER_MSEC;
	unsigned queued = 0;

	completion_init(&done);
	stop = 0;
	callbacks_run = 0;
	for (unsigned i = 0; i < ARRAY_SIZE(nodes); i++)
		nodes[i].in_use = false;
	nodes[0] = (struct node){ .value = 1, .in_use = true };
	published = &nodes[0];
	for (unsigned i = 0; i < NR_READERS; i++) {
		struct thread *t = kthread_create(reader_main, (void *)(i + 1ul), "reader");

		EXPECT(t != NULL);
		thread_start(t);
	}
	for (u32 value = 2; clock_monotonic_ns() < end; value++) {
		struct node *old = published, *n = find_free();

		if (!n) {
			rcu_synchronize();
			continue;
		}
		n->value = value == POISON ? 1 : value;
		n->in_use = true;
		rcu_store(published, n);
		rcu_call(&old->rcu, node_free);
		queued++;
	}
	rcu_barrier();
	EXPECT_EQ(callbacks_run, queued);
	EXPECT(queued > 0);
	WRITE_ONCE(stop, 1);
	for (unsigned i = 0; i < NR_READERS; i++)
		completion_wait(&done);
}

TEST(rcu_synchronize_is_quick)
{
	u64 start = clock_monotonic_ns();

	for (unsigned i = 0; i < 10; i++)
		rcu_synchronize();
	EXPECT(clock_monotonic_ns() - start < (u64)(300 * NSEC_PER_MSEC));
}

static void callback_count(struct rcu_head *head)
{
	(void)head;
	(void)atomic_add(&callbacks_run, 1);
}

TEST(rcu_callbacks_run_without_a_barrier)
{
	static struct rcu_head heads[100];
	u64 limit = clock_monotonic_ns() + 500 * NSEC_PER_MSEC;

	callbacks_run = 0;
	for (unsigned i = 0; i < ARRAY_SIZE(heads); i++)
		rcu_call(&heads[i], callback_count);
	while (READ_ONCE(callbacks_run) != ARRAY_SIZE(heads) && clock_monotonic_ns() < limit) {
		thread_set_state(THREAD_UNINTERRUPTIBLE);
		thread_block_until(clock_monotonic_ns() + NSEC_PER_MSEC);
	}
	EXPECT_EQ(callbacks_run, ARRAY_SIZE(heads));
}

#endif
