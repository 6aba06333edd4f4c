/* Pools: what is held in reserve is there when memory is not; who waits gets something in the end. */
/* needs: tests/host/memory.c core/wait.c mm/page_alloc.c mm/slab.c mm/kmalloc.c mm/slab_debug.c
 mm/fault_injection_test.c */
#include <nos/errno.h>
#include <nos/pool.h>
#include <nos/slab.h>
#include <nos/test.h>
#include <nos/thread.h>

enum { NR = 3, NR_THREADS = 4, NR_ROUNDS = 2000 };

static bool is_memory_out;
static s32 nr_out;

static void *allocate(void *owner, u32 flags)
{
	void *p = is_memory_out ? NULL : kmalloc(100, flags);

	EXPECT(owner == &nr_out);
	if (p)
		atomic_add(&nr_out, 1);
	return p;
}

static void release(void *owner, void *element)
{
	EXPECT(owner == &nr_out);
	atomic_sub(&nr_out, 1);
	kfree(element);
}

static const struct pool_ops ops = { allocate, release };
static struct pool pool;

static void give_back(void *element)
{
	if (!pool_refill(&pool, element))
		release(pool.owner, element);
}

TEST(pool_reserve_lasts_and_is_filled_again)
{
	void *held[NR + 1];

	EXPECT_EQ(pool_init(&pool, NR, &ops, &nr_out), 0);
	EXPECT_EQ(nr_out, NR);
	held[NR] = pool_alloc(&pool, 0); /* of memory */
	EXPECT_EQ(nr_out, NR + 1);
	is_memory_out = true;
	for (unsigned round = 0; round < 2; round++) {
		for (unsigned i = 0; i < NR; i++) {
			held[i] = pool_alloc(&pool, i % 2 ? ALLOC_NOWAIT : 0);
			EXPECT(held[i] != NULL);
		}
		EXPECT(!pool_alloc(&pool, ALLOC_NOWAIT) && !pool_alloc(&pool, ALLOC_ATOMIC));
		give_back(held[NR]); /* whose it was does not matter */
		held[NR] = pool_alloc(&pool, 0);
		EXPECT(held[NR] != NULL);
		for (unsigned i = 0; i < NR; i++)
			give_back(held[i]);
	}
	is_memory_out = false;
	EXPECT(!pool_refill(&pool, held[NR])); /* it is full */
	give_back(held[NR]);
	EXPECT_EQ(nr_out, NR);
	pool_fini(&pool);
	EXPECT_EQ(nr_out, 0);
}

TEST(pool_every_allocation_may_fail)
{
	TEST_EACH_ALLOCATION_FAILING({
		if (pool_init(&pool, NR, &ops, &nr_out) == 0) {
			void *element = pool_alloc(&pool, ALLOC_NOWAIT);

			EXPECT(element != NULL);
			give_back(element);
			pool_fini(&pool);
		}
		EXPECT_EQ(nr_out, 0);
	})
}

#ifndef NOS_HOST
static struct completion done;
static u32 nr_served;

static void user_main(void *unused)
{
	(void)unused;
	for (unsigned i = 0; i < NR_ROUNDS; i++) {
		void *element = pool_alloc(&pool, 0);

		EXPECT(element != NULL);
		if (i % 3 == 0)
			thread_yield();
		give_back(element);
		atomic_add(&nr_served, 1u);
	}
	completion_signal(&done);
}

TEST(pool_serves_all_who_wait)
{
	completion_init(&done);
	nr_served = 0;
	EXPECT_EQ(pool_init(&pool, 1, &ops, &nr_out), 0);
	is_memory_out = true;
	for (unsigned i = 0; i < NR_THREADS; i++) {
		struct thread *t = kthread_create(user_main, NULL, "pool");

		VERIFY(t);
		thread_start(t);
	}
	for (unsigned i = 0; i < NR_THREADS; i++)
		completion_wait(&done);
	is_memory_out = false;
	EXPECT_EQ(nr_served, NR_THREADS * NR_ROUNDS);
	pool_fini(&pool);
	EXPECT_EQ(nr_out, 0);
}
#endif
