/* Numbers spread over the CPUs: nothing is lost, whoever adds and wherever. */
#include <nos/test.h>

#ifndef NOS_HOST

#include <nos/cpu.h>
#include <nos/spread.h>
#include <nos/thread.h>
#include <nos/wait.h>

enum { NR_ADDERS = 4, NR_ROUNDS = 20000, BATCH = 8 };

DEFINE_SPREAD(things, BATCH);
static struct completion done;

static void adder_main(void *arg)
{
	s64 step = (s64)(uintptr_t)arg;

	for (unsigned i = 0; i < NR_ROUNDS; i++) {
		spread_add(things, step);
		spread_add(things, -step + 1);
	}
	completion_signal(&done);
}

TEST(spread_number_is_the_sum_of_all_changes)
{
	s64 before = spread_sum(things);

	completion_init(&done);
	for (u64 i = 0; i < NR_ADDERS; i++) {
		struct thread *t = kthread_create(adder_main, (void *)(i * BATCH / 2 + 1), "adder");

		EXPECT(t != NULL);
		thread_start(t);
	}
	for (unsigned i = 0; i < NR_ADDERS; i++)
		completion_wait(&done);
	EXPECT_EQ(spread_sum(things) - before, (s64)NR_ADDERS * NR_ROUNDS);
	/* No CPU keeps a batch to itself. */
	s64 kept = spread_sum(things) - READ_ONCE(things_total);
	EXPECT(kept < (s64)nr_cpus * BATCH && kept > -(s64)nr_cpus * BATCH);
}

TEST(spread_limit_is_exact)
{
	s64 limit = spread_sum(things) + 3;

	for (unsigned i = 0; i < 3; i++) {
		EXPECT(!spread_reaches(things, limit));
		spread_add(things, 1);
	}
	EXPECT(spread_reaches(things, limit));
	spread_add(things, -1);
	EXPECT(!spread_reaches(things, limit));
}

#endif
