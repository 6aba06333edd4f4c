/* Restartable sequences: threads that are preempted in the middle of the slab allocator's lose and share nothing. */
#include <nos/test.h>

#ifndef NOS_HOST

#include <nos/counter.h>
#include <nos/log.h>
#include <nos/slab.h>
#include <nos/string.h>
#include <nos/thread.h>
#include <nos/timer.h>
#include <nos/wait.h>
#include <linux/sched.h>

/* The sanitizing kernel spends its time in the checks: it is hardly ever in a sequence. */
#ifdef SANITIZE
#define ENOUGH 0
#else
#define ENOUGH 3
#endif

enum { NR_THREADS = 3, NR_HELD = 16 };

static struct {
	struct slab_cache *cache;
	struct completion done;
	u32 stop;
	u32 shared; /* objects that two had at once */
} of;

extern const struct counter_info __start_counters[], __stop_counters[];

static u64 nr_restarted(void)
{
	for (const struct counter_info *c = __start_counters; c < __stop_counters; c++)
		if (!strcmp(c->name, "core.restarted_sequences"))
			return counter_sum(c);
	EXPECT(false);
	return 0;
}

/* Each object says whose it is, as long as it is. */
static void take_and_give(u64 self)
{
	u64 *held[NR_HELD];
	u32 nr = 0;

	for (; nr < NR_HELD && (held[nr] = slab_alloc(of.cache, ALLOC_ATOMIC)); nr++)
		WRITE_ONCE(*held[nr], self);
	while (nr-- > 0) {
		if (READ_ONCE(*held[nr]) != self)
			WRITE_ONCE(of.shared, 1);
		slab_free(of.cache, held[nr]);
	}
}

static void busy_main(void *arg)
{
	while (!READ_ONCE(of.stop))
		take_and_give((u64)arg);
	completion_signal(&of.done);
}

/* Comes in between, as often as timers let it. */
static void preempting_main(void *arg)
{
	while (!READ_ONCE(of.stop)) {
		take_and_give((u64)arg);
		/* From now on: a moment that has passed would not let others run. */
		thread_set_state(THREAD_UNINTERRUPTIBLE);
		thread_block_until(clock_monotonic_ns() + 50 * NSEC_PER_USEC);
	}
	completion_signal(&of.done);
}

static void start_on_last_cpu(void (*fn)(void *), u64 number, u8 policy, u8 priority)
{
	const struct sched_params params = { .policy = policy, .rt_priority = priority };
	struct thread *t = kthread_create(fn, (void *)number, "restart");

	EXPECT(t != NULL);
	EXPECT_EQ(thread_set_affinity(t, bit(nr_cpus - 1)), 0);
	EXPECT_EQ(thread_set_sched(t, &params), 0);
	thread_start(t);
}

TEST(restart_of_allocations_that_are_preempted)
{
	const struct slab_cache_info info = { .name = "test_restart", .size = 64 };
	u64 before = nr_restarted(), end = clock_monotonic_ns() + 20 * NSEC_PER_SEC;

	if (!boot_opt_enabled("slab_restart"))
		return;
	of.cache = slab_cache_create(&info);
	EXPECT(of.cache != NULL);
	of.stop = of.shared = 0;
	completion_init(&of.done);
	for (u64 i = 1; i < NR_THREADS; i++)
		start_on_last_cpu(busy_main, i, SCHED_NORMAL, 0);
	start_on_last_cpu(preempting_main, NR_THREADS, SCHED_FIFO, 10);
	do {
		thread_set_state(THREAD_UNINTERRUPTIBLE);
		thread_block_until(clock_monotonic_ns() + 500 * NSEC_PER_MSEC);
	} while (nr_restarted() < before + ENOUGH && clock_monotonic_ns() < end);
	WRITE_ONCE(of.stop, 1);
	for (u64 i = 0; i < NR_THREADS; i++)
		completion_wait(&of.done);
	EXPECT(nr_restarted() >= before + ENOUGH);
	EXPECT_EQ(of.shared, 0);
	EXPECT_EQ(slab_cache_live(of.cache), 0);
	slab_cache_destroy(of.cache);
}

#endif
