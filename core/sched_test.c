/* Scheduler: fairness, order of priorities, affinity, sleep and wake-up on several CPUs. */
#include <nos/test.h>

#ifndef NOS_HOST

#include "sched.h"

#include <nos/arch.h>
#include <nos/cpu.h>
#include <nos/irq.h>
#include <nos/string.h>
#include <nos/thread.h>
#include <nos/timer.h>
#include <nos/wait.h>
#include <linux/sched.h>

struct group {
	struct completion done;
	u32 stop;
};

static struct group group;

static void group_init(void)
{
	completion_init(&group.done);
	group.stop = 0;
}

static void group_wait(unsigned nr_threads)
{
	while (nr_threads--)
		completion_wait(&group.done);
}

static void sleep_ns(u64 ns)
{
	u64 deadline = clock_monotonic_ns() + ns;

	while (clock_monotonic_ns() < deadline) {
		thread_set_state(THREAD_UNINTERRUPTIBLE);
		thread_block_until(deadline);
	}
}

/* ---- shares of nice levels ---- */

struct spinner {
	u64 cpu_ns;
};

static void spinner_main(void *arg)
{
	struct spinner *s = arg;

	while (!READ_ONCE(group.stop))
		cpu_relax();
	s->cpu_ns = thread_cpu_time_ns(current_thread);
	completion_signal(&group.done);
}

static struct thread *spawn_on(unsigned cpu, void (*fn)(void *), void *arg,
			       const struct sched_params *params)
{
	struct thread *t = kthread_create(fn, arg, "test");

	EXPECT(t != NULL);
	EXPECT_EQ(thread_set_affinity(t, bit(cpu)), 0);
	EXPECT_EQ(thread_set_sched(t, params), 0);
	thread_start(t);
	return t;
}

static u64 share_once(const struct sched_params *a, const struct sched_params *b)
{
	struct spinner spinners[2];

	group_init();
	spawn_on(nr_cpus - 1, spinner_main, &spinners[0], a);
	spawn_on(nr_cpus - 1, spinner_main, &spinners[1], b);
	sleep_ns(200 * NSEC_PER_MSEC);
	WRITE_ONCE(group.stop, 1);
	group_wait(2);
	return spinners[0].cpu_ns * 1000 / (spinners[0].cpu_ns + spinners[1].cpu_ns);
}

/*
 * The median of five windows: while the host runs something else on the virtual
 * CPU's processor, time is charged to whichever thread was on it.
 */
static u64 share_per_mille(const struct sched_params *a, const struct sched_params *b)
{
	u64 share[5];

	for (unsigned n = 0; n < ARRAY_SIZE(share); n++) {
		u64 v = share_once(a, b);
		unsigned k = n;

		for (; k > 0 && share[k - 1] > v; k--)
			share[k] = share[k - 1];
		share[k] = v;
	}
	return share[ARRAY_SIZE(share) / 2];
}

TEST(sched_equal_nice_shares_equally)
{
	struct sched_params normal = { .policy = SCHED_NORMAL };
	u64 share = share_per_mille(&normal, &normal);

	EXPECT(share > 450 && share < 550);
}

TEST(sched_nice_five_gets_a_quarter)
{
	struct sched_params normal = { .policy = SCHED_NORMAL };
	struct sched_params nice = { .policy = SCHED_NORMAL, .nice = 5 };

	if (sched_policy != &sched_policy_fair)
		return;
	u64 share = share_per_mille(&normal, &nice);

	/* 1024 : 335 */
	EXPECT(share > 715 && share < 795);
}

TEST(sched_idle_policy_gets_next_to_nothing)
{
	struct sched_params normal = { .policy = SCHED_NORMAL };
	struct sched_params idle = { .policy = SCHED_IDLE };

	if (sched_policy != &sched_policy_fair)
		return;
	EXPECT(share_per_mille(&normal, &idle) > 960);
}

/* ---- real time ---- */

static u32 order[4], order_length;

static void note_order(void *arg)
{
	order[atomic_fetch_add(&order_length, 1u)] = (u32)(u64)arg;
	completion_signal(&group.done);
}

TEST(sched_realtime_runs_by_priority)
{
	struct sched_params first = { .policy = SCHED_FIFO, .rt_priority = 90 };
	struct sched_params params = { .policy = SCHED_FIFO };
	struct sched_params own = current_thread->params;
	u64 affinity = current_thread->affinity;

	group_init();
	order_length = 0;
	EXPECT_EQ(thread_set_affinity(current_thread, bit(0)), 0);
	EXPECT_EQ(thread_set_sched(current_thread, &first), 0);
	for (unsigned i = 0; i < 4; i++) {
		params.rt_priority = (u8)(10 + (i ^ 1));
		spawn_on(0, note_order, (void *)(u64)params.rt_priority, &params);
	}
	EXPECT_EQ(order_length, 0);
	EXPECT_EQ(thread_set_sched(current_thread, &own), 0);
	group_wait(4);
	for (unsigned i = 0; i < 4; i++)
		EXPECT_EQ(order[i], 13 - i);
	EXPECT_EQ(thread_set_affinity(current_thread, affinity), 0);
}

static void beneath_main(void *unused)
{
	(void)unused;
	atomic_store(&order_length, 1);
	completion_signal(&group.done);
}

static void above_main(void *unused)
{
	u64 end = clock_monotonic_ns() + 3 * NSEC_PER_SEC;

	(void)unused;
	while (!atomic_load(&order_length) && clock_monotonic_ns() < end)
		cpu_relax();
	EXPECT(atomic_load(&order_length));
	WRITE_ONCE(group.stop, 1);
	completion_signal(&group.done);
}

/* A real-time thread waits beneath a more urgent one, while the other CPUs run normal threads: it goes there. */
static void go_on_elsewhere(unsigned nr_crowd)
{
	struct sched_params normal = { .policy = SCHED_NORMAL };
	struct sched_params above = { .policy = SCHED_FIFO, .rt_priority = 50 };
	struct sched_params beneath = { .policy = SCHED_FIFO, .rt_priority = 1 };
	unsigned last = nr_cpus - 1;
	static struct spinner unused;
	u64 affinity = current_thread->affinity;

	group_init();
	order_length = 0;
	EXPECT_EQ(thread_set_affinity(current_thread, bit(0)), 0);
	for (unsigned cpu = 0; cpu < last; cpu++)
		spawn_on(cpu, spinner_main, &unused, &normal);
	spawn_on(last, above_main, NULL, &above);
	for (unsigned i = 0; i < nr_crowd; i++)
		spawn_on(last, spinner_main, &unused, &normal);

	struct thread *t = spawn_on(last, beneath_main, NULL, &beneath);

	EXPECT_EQ(thread_set_affinity(t, U64_MAX), 0);
	group_wait(last + nr_crowd + 2);
	EXPECT_EQ(thread_set_affinity(current_thread, affinity), 0);
}

TEST(sched_realtime_pulled_by_a_balance_runs_at_once)
{
	if (nr_cpus > 1)
		go_on_elsewhere(3);
}

TEST(sched_realtime_beneath_a_more_urgent_one_goes_on_elsewhere)
{
	if (nr_cpus > 1)
		go_on_elsewhere(0);
}

/* ---- moved while on the way to sleep ---- */

static struct waverer {
	struct thread *thread;
	u32 inside;
} waverers[9];

/* Sets out to sleep again and again, long enough to be preempted there, and sleeps now and then. */
static void waver(void *arg)
{
	struct waverer *w = arg;

	for (unsigned n = 0; !READ_ONCE(group.stop); n++) {
		EXPECT_EQ(atomic_xchg(&w->inside, 1u), 0);
		thread_set_state(THREAD_INTERRUPTIBLE);
		for (unsigned i = 0; i < 1000; i++)
			cpu_relax();
		if (n % 4 == 0)
			thread_block_until(clock_monotonic_ns() + 30 * NSEC_PER_USEC);
		thread_set_state(THREAD_RUNNABLE);
		atomic_store(&w->inside, 0u);
	}
	completion_signal(&group.done);
}

static void interfere(void *unused)
{
	(void)unused;
	while (!READ_ONCE(group.stop)) {
		sleep_ns(40 * NSEC_PER_USEC);
		for (unsigned i = 0; i < 1000; i++)
			cpu_relax();
	}
	completion_signal(&group.done);
}

/* A waker finds them while a CPU that has nothing to do takes them from another one's queue: each runs once. */
TEST(sched_moved_and_woken_on_the_way_to_sleep)
{
	unsigned nr = min(nr_cpus + 1, (unsigned)ARRAY_SIZE(waverers));
	struct sched_params fifo = { .policy = SCHED_FIFO, .rt_priority = 1 };
	u64 end = clock_monotonic_ns() + 400 * NSEC_PER_MSEC;

	if (nr_cpus == 1)
		return;
	group_init();
	for (unsigned i = 0; i < nr; i++) {
		waverers[i] =
			(struct waverer){ .thread = kthread_create(waver, &waverers[i], "test") };
		VERIFY(waverers[i].thread);
		thread_start(waverers[i].thread);
	}
	for_each_cpu(cpu) spawn_on(cpu, interfere, NULL, &fifo);
	while (clock_monotonic_ns() < end)
		for (unsigned i = 0; i < nr; i++)
			(void)thread_wake(waverers[i].thread);
	WRITE_ONCE(group.stop, 1);
	group_wait(nr + nr_cpus);
}

TEST(sched_rejects_bad_parameters)
{
	struct sched_params p = { .policy = SCHED_FIFO };

	EXPECT(thread_set_sched(current_thread, &p) < 0);
	p = (struct sched_params){ .policy = SCHED_NORMAL, .rt_priority = 1 };
	EXPECT(thread_set_sched(current_thread, &p) < 0);
	p = (struct sched_params){ .policy = 77 };
	EXPECT(thread_set_sched(current_thread, &p) < 0);
	EXPECT(thread_set_affinity(current_thread, 0) < 0);
	EXPECT(thread_set_affinity(current_thread, 1ull << 63) < 0);
}

/* ---- affinity ---- */

static void migrate_main(void *arg)
{
	(void)arg;
	for (unsigned round = 0; round < 200; round++) {
		unsigned cpu = round % nr_cpus;

		EXPECT_EQ(thread_set_affinity(current_thread, bit(cpu)), 0);
		EXPECT_EQ(cpu_id(), cpu);
	}
	completion_signal(&group.done);
}

TEST(sched_affinity_moves_the_running_thread)
{
	struct sched_params normal = { .policy = SCHED_NORMAL };

	group_init();
	for (unsigned i = 0; i < 3; i++)
		spawn_on(0, migrate_main, NULL, &normal);
	group_wait(3);
}

/* ---- wake-ups ---- */

struct ping {
	struct wait_queue queue;
	u32 turn;
	bool sync;
};

static struct ping ping;
#define NR_PINGS 2000

static void ping_main(void *arg)
{
	u32 me = (u32)(u64)arg;

	for (unsigned i = 0; i < NR_PINGS; i++) {
		wait_event(&ping.queue, READ_ONCE(ping.turn) == me);
		WRITE_ONCE(ping.turn, !me);
		if (ping.sync)
			wake_one_sync(&ping.queue, 0);
		else
			wake_all(&ping.queue);
	}
	completion_signal(&group.done);
}

static void run_ping(bool sync, unsigned cpu_a, unsigned cpu_b)
{
	struct sched_params normal = { .policy = SCHED_NORMAL };

	group_init();
	wait_queue_init(&ping.queue);
	ping.turn = 0;
	ping.sync = sync;
	spawn_on(cpu_a, ping_main, (void *)0ul, &normal);
	spawn_on(cpu_b, ping_main, (void *)1ul, &normal);
	group_wait(2);
}

TEST(sched_ping_pong_loses_no_wakeup)
{
	run_ping(false, 0, 0);
	run_ping(true, 0, 0);
	run_ping(false, 0, nr_cpus - 1);
	run_ping(true, 0, nr_cpus - 1);
}

/* Two hand a turn to each other while a third moves them about and changes what they are. */
static struct thread *handed[2];

static void handed_main(void *arg)
{
	u32 me = (u32)(u64)arg;

	while (!READ_ONCE(group.stop)) {
		wait_event(&ping.queue, READ_ONCE(ping.turn) == me || READ_ONCE(group.stop));
		WRITE_ONCE(ping.turn, !me);
		wake_one_sync(&ping.queue, 0);
		if (me)
			thread_yield();
	}
	completion_signal(&group.done);
}

TEST(sched_hand_off_meets_changes_of_parameters)
{
	static const struct sched_params params[] = {
		{ .policy = SCHED_NORMAL },
		{ .policy = SCHED_NORMAL, .nice = 10 },
		{ .policy = SCHED_FIFO, .rt_priority = 3 },
		{ .policy = SCHED_IDLE },
	};
	u64 end = clock_monotonic_ns() + (u64)(300 * NSEC_PER_MSEC);
	unsigned nr = 0;

	group_init();
	wait_queue_init(&ping.queue);
	ping.turn = 0;
	for (u64 i = 0; i < 2; i++) {
		handed[i] = kthread_create(handed_main, (void *)i, "handed");
		EXPECT(handed[i] != NULL);
	}
	thread_start(handed[0]);
	thread_start(handed[1]);
	while (clock_monotonic_ns() < end || nr < 12) {
		struct thread *t = handed[nr % 2];

		EXPECT_EQ(thread_set_affinity(t, nr % 3 ? U64_MAX : bit(nr / 3 % nr_cpus)), 0);
		/* one of them only is real-time: the other lets this thread run */
		if (t == handed[0] || nr / 2 % ARRAY_SIZE(params) != 2)
			EXPECT_EQ(thread_set_sched(t, &params[nr / 2 % ARRAY_SIZE(params)]), 0);
		nr++;
		if (nr_cpus == 1)
			sleep_ns(300000);
		for (unsigned n = 0; n < nr % 211; n++)
			cpu_relax();
	}
	WRITE_ONCE(group.stop, 1);
	wake_all(&ping.queue);
	group_wait(2);
}

/* Many threads, one permit each: every wake-up must reach someone. */
static struct wait_queue storm_queue;
static u32 storm_permits, storm_taken;
#define NR_STORM_THREADS 16
#define NR_STORM_ROUNDS 200

static bool take_permit(void)
{
	u32 seen = READ_ONCE(storm_permits);

	while (seen)
		if (atomic_cas_update(&storm_permits, &seen, seen - 1))
			return true;
	return false;
}

static void storm_main(void *arg)
{
	(void)arg;
	for (unsigned i = 0; i < NR_STORM_ROUNDS; i++) {
		wait_event(&storm_queue, take_permit());
		(void)atomic_add(&storm_taken, 1);
		if (i % 4 == 0)
			thread_yield();
		(void)atomic_add(&storm_permits, 1);
		wake_one(&storm_queue);
	}
	completion_signal(&group.done);
}

TEST(sched_storm_of_sleepers)
{
	group_init();
	wait_queue_init(&storm_queue);
	storm_permits = 3;
	storm_taken = 0;
	for (unsigned i = 0; i < NR_STORM_THREADS; i++) {
		struct thread *t = kthread_create(storm_main, NULL, "storm");

		EXPECT(t != NULL);
		thread_start(t);
	}
	group_wait(NR_STORM_THREADS);
	EXPECT_EQ(storm_taken, NR_STORM_THREADS * NR_STORM_ROUNDS);
	EXPECT_EQ(storm_permits, 3);
}

/* ---- nodes ---- */

static u32 woke_on;

static void sleeper_main(void *unused)
{
	(void)unused;
	thread_set_state(THREAD_UNINTERRUPTIBLE);
	atomic_store(&group.stop, 1);
	thread_block();
	atomic_store(&woke_on, cpu_id());
	completion_signal(&group.done);
}

static void occupier_main(void *stop)
{
	while (!READ_ONCE(*(u32 *)stop))
		cpu_relax();
	completion_signal(&group.done);
}

/* The last CPU is busy, another of its node and one of another node idle. */
TEST(sched_woken_thread_stays_on_its_node)
{
	struct sched_params normal = { .policy = SCHED_NORMAL };
	unsigned last = nr_cpus - 1, same_node = 0;
	u64 affinity = current_thread->affinity;
	u32 stop = 0;

	if (nr_cpus < 4 || numa_node_of_cpu(0) == numa_node_of_cpu(last) ||
	    numa_node_of_cpu(last - 1) != numa_node_of_cpu(last))
		return;
	EXPECT_EQ(thread_set_affinity(current_thread, bit(1)), 0);
	for (unsigned round = 0; round < 20; round++) {
		group_init();

		struct thread *t = spawn_on(last, sleeper_main, NULL, &normal);

		while (!atomic_load(&group.stop) || atomic_load(&t->on_cpu))
			thread_yield();
		EXPECT_EQ(thread_set_affinity(t, U64_MAX), 0);
		stop = 0;
		spawn_on(last, occupier_main, &stop, &normal);
		sleep_ns(5 * NSEC_PER_MSEC);
		thread_wake(t);
		completion_wait(&group.done);
		WRITE_ONCE(stop, 1);
		completion_wait(&group.done);
		same_node += numa_node_of_cpu(woke_on) == numa_node_of_cpu(last);
	}
	EXPECT(same_node >= 18); /* now and then a kernel thread runs there */
	EXPECT_EQ(thread_set_affinity(current_thread, affinity), 0);
}

/* ---- life ---- */

static void short_main(void *arg)
{
	(void)atomic_add((u32 *)arg, 1);
	completion_signal(&group.done);
}

/* ---- a sleeper that is woken while its CPU takes it away ---- */

static struct {
	struct thread *sleeper;
	u32 nr_wanted, nr_taken;
} moved;

/* Longer between state and sleep than elsewhere: there the preemption is to fall. */
static void moved_sleeper_main(void *unused)
{
	(void)unused;
	while (!READ_ONCE(group.stop)) {
		thread_set_state(THREAD_UNINTERRUPTIBLE);
		for (unsigned n = 0; n < 20; n++)
			cpu_relax();
		if (READ_ONCE(moved.nr_wanted) == moved.nr_taken && !READ_ONCE(group.stop))
			thread_block();
		thread_set_state(THREAD_RUNNABLE);
		WRITE_ONCE(moved.nr_taken, READ_ONCE(moved.nr_wanted));
	}
	completion_signal(&group.done);
}

static void moved_waker_main(void *unused)
{
	(void)unused;
	while (!READ_ONCE(group.stop)) {
		WRITE_ONCE(moved.nr_wanted, moved.nr_wanted + 1);
		thread_wake(moved.sleeper);
		for (unsigned n = 0; n < 50; n++)
			cpu_relax();
		if (nr_cpus == 2)
			thread_yield();
	}
	completion_signal(&group.done);
}

TEST(sched_wake_up_meets_a_change_of_affinity)
{
	u64 end = clock_monotonic_ns() + (u64)(500 * NSEC_PER_MSEC), nr = 0;

	if (nr_cpus == 1)
		return;
	group_init();
	moved.nr_wanted = moved.nr_taken = 0;
	moved.sleeper = kthread_create(moved_sleeper_main, NULL, "moved");
	thread_start(moved.sleeper);
	thread_start(kthread_create(moved_waker_main, NULL, "waker"));
	while (clock_monotonic_ns() < end) {
		EXPECT_EQ(thread_set_affinity(moved.sleeper, bit(nr++ % 2)), 0);
		for (unsigned n = 0; n < nr % 97; n++)
			cpu_relax();
	}
	WRITE_ONCE(group.stop, 1);
	thread_wake(moved.sleeper);
	group_wait(2);
	EXPECT(moved.nr_taken > 0);
}

/* While this thread sleeps nothing runs: ticks lapse, and at most a timer of the kernel itself comes. */
TEST(sched_idle_cpus_take_no_ticks)
{
	static u64 before[MAX_CPUS];

	sleep_ns(50 * NSEC_PER_MSEC);
	for_each_cpu(cpu) before[cpu] = irq_count(VECTOR_TIMER, cpu);
	sleep_ns(NSEC_PER_SEC);
	for_each_cpu(cpu) EXPECT(irq_count(VECTOR_TIMER, cpu) - before[cpu] <= 8);
}

TEST(sched_many_short_threads)
{
	u32 count = 0;

	group_init();
	for (unsigned round = 0; round < 20; round++) {
		for (unsigned i = 0; i < 20; i++) {
			struct thread *t = kthread_create(short_main, &count, "short");

			EXPECT(t != NULL);
			thread_start(t);
		}
		group_wait(20);
	}
	EXPECT_EQ(count, 400);
}

TEST(sched_times_are_sane)
{
	struct cpu_times times;
	u64 before = thread_cpu_time_ns(current_thread), user, system;

	sleep_ns(20 * NSEC_PER_MSEC);
	EXPECT(thread_cpu_time_ns(current_thread) - before < (u64)(15 * NSEC_PER_MSEC));
	thread_cpu_times(current_thread, &user, &system);
	EXPECT(user + system <= thread_cpu_time_ns(current_thread));
	sched_cpu_times(0, &times);
	EXPECT(times.idle_ns <= clock_monotonic_ns());
}

#endif
