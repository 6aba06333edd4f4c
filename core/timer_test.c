/* Timers, clocks and deferred work. */
#include <nos/test.h>

#ifndef NOS_HOST

#include <nos/cpu.h>
#include <nos/errno.h>
#include <nos/thread.h>
#include <nos/timer.h>
#include <nos/wait.h>

TEST(clock_runs_forward_on_all_cpus)
{
	u64 last = 0, affinity = current_thread->affinity;

	for (unsigned i = 0; i < 200; i++) {
		EXPECT_EQ(thread_set_affinity(current_thread, bit(i % nr_cpus)), 0);
		u64 now = clock_monotonic_ns();

		EXPECT(now >= last);
		last = now;
	}
	EXPECT_EQ(thread_set_affinity(current_thread, affinity), 0);
	EXPECT(clock_coarse_monotonic_ns() <= clock_monotonic_ns());
}

TEST(clock_conversions_agree)
{
	u64 cycle_ns = 1000000 / clock_tsc_khz + 1;

	/* up to 36 years; early by a millionth would be 4 ms each hour */
	for (u64 ns = 1; ns < 1ull << 60; ns = ns * 3 + 1) {
		u64 back = clock_cycles_to_ns(clock_ns_to_cycles(ns));

		EXPECT(back >= ns);
		EXPECT(back <= ns + 3 * cycle_ns);
	}
	EXPECT(clock_ns_to_cycles(TIME_NEVER) > clock_ns_to_cycles(1ull << 60));
}

TEST(clock_set_moves_realtime_only)
{
	u64 real = clock_realtime_ns(), mono = clock_monotonic_ns();
	u64 count = clock_set_count();

	clock_set_realtime_ns(real + 1000 * (u64)NSEC_PER_SEC);
	EXPECT(clock_realtime_ns() - real >= 1000 * (u64)NSEC_PER_SEC);
	EXPECT(clock_monotonic_ns() - mono < (u64)NSEC_PER_SEC);
	EXPECT_EQ(clock_set_count(), count + 1);
	clock_set_realtime_ns(clock_realtime_ns() - 1000 * (u64)NSEC_PER_SEC);
}

struct shot {
	struct timer timer;
	u64 fired_ns;
	u32 count, repeat;
};

static u64 shot_fire(struct timer *t, u64 now_ns)
{
	struct shot *s = container_of(t, struct shot, timer);

	s->fired_ns = now_ns;
	(void)atomic_add(&s->count, 1);
	return s->count < s->repeat ? now_ns + 2 * NSEC_PER_MSEC : 0;
}

static void wait_for_count(struct shot *s, u32 count)
{
	u64 limit = clock_monotonic_ns() + NSEC_PER_SEC;

	while (atomic_load(&s->count) < count && clock_monotonic_ns() < limit)
		cpu_relax();
	EXPECT_EQ(s->count, count);
}

TEST(timers_fire_in_order_and_not_early)
{
	struct shot shots[20];
	u64 now = clock_monotonic_ns(), start[20];

	for (unsigned i = 0; i < ARRAY_SIZE(shots); i++) {
		shots[i] = (struct shot){ 0 };
		timer_init(&shots[i].timer, shot_fire);
		start[i] = now + (100 + (i * 7) % 20) * (u64)NSEC_PER_MSEC;
		timer_start(&shots[i].timer, start[i]);
		EXPECT(timer_is_pending(&shots[i].timer));
	}
	for (unsigned i = 0; i < ARRAY_SIZE(shots); i++) {
		wait_for_count(&shots[i], 1);
		EXPECT(shots[i].fired_ns >= start[i]);
		timer_cancel_sync(&shots[i].timer);
	}
}

TEST(timer_repeats_and_cancels)
{
	struct shot s = { .repeat = 3 };

	timer_init(&s.timer, shot_fire);
	EXPECT(!timer_cancel(&s.timer));
	timer_start(&s.timer, clock_monotonic_ns());
	wait_for_count(&s, 3);
	timer_cancel_sync(&s.timer);
	timer_start(&s.timer, clock_monotonic_ns() + NSEC_PER_SEC);
	EXPECT(timer_cancel(&s.timer));
	EXPECT(!timer_cancel(&s.timer));
	EXPECT_EQ(s.count, 3);
}

TEST(block_until_waits_and_tells)
{
	u64 start = clock_monotonic_ns();

	thread_set_state(THREAD_UNINTERRUPTIBLE);
	EXPECT(thread_block_until(start + 5 * NSEC_PER_MSEC));
	EXPECT(clock_monotonic_ns() >= start + 5 * NSEC_PER_MSEC);
	EXPECT(thread_block_until(start));
}

TEST(wait_event_times_out)
{
	struct wait_queue q;
	u64 start = clock_monotonic_ns();

	wait_queue_init(&q);
	EXPECT_EQ(wait_event_interruptible_until(&q, false, start + 3 * NSEC_PER_MSEC), -ETIMEDOUT);
	EXPECT(clock_monotonic_ns() - start >= (u64)(3 * NSEC_PER_MSEC));
	EXPECT_EQ(wait_event_interruptible_until(&q, true, start), 0);
	EXPECT(list_is_empty(&q.waiters));
}

struct job {
	struct work work;
	u32 count;
};

static void job_run(struct work *w)
{
	struct job *j = container_of(w, struct job, work);

	(void)atomic_add(&j->count, 1);
	if (j->count < 3)
		work_queue(w);
}

TEST(work_runs_and_may_queue_itself)
{
	struct job j = { 0 };
	u64 limit = clock_monotonic_ns() + NSEC_PER_SEC;

	work_init(&j.work, job_run);
	EXPECT(work_queue(&j.work));
	while (atomic_load(&j.count) < 3 && clock_monotonic_ns() < limit)
		work_flush(&j.work);
	work_flush(&j.work);
	EXPECT_EQ(j.count, 3);
}

#endif
