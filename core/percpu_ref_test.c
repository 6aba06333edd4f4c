/* Counts that each CPU keeps: none is lost, the last one is told once, and nobody comes in behind it. */
#include <nos/test.h>

#include <nos/percpu_ref.h>
#include <nos/init.h>
#include <nos/log.h>
#include <nos/string.h>
#include <nos/thread.h>
#include <nos/timer.h>
#include <nos/wait.h>

enum { NR_THREADS = 4, NR_ROUNDS = 20000, NR_HELD = 8, NR_GATHERS = 50 };
enum { PATIENCE = 100000 }; /* of 50 us: a thread on a busy host may be away for a while */

static u32 nr_released;

static void released(struct percpu_ref *r)
{
	(void)r;
	atomic_add(&nr_released, 1u);
}

/* ---- threads, on CPUs of their own as far as there are any ---- */

#ifdef NOS_HOST
extern int pthread_create(unsigned long *id, const void *attributes, void *(*fn)(void *),
			  void *arg);
extern int pthread_join(unsigned long id, void **result);
extern int usleep(unsigned us);
extern const struct init_step __start_init_steps[], __stop_init_steps[];

static unsigned long threads[NR_THREADS];
static void (*thread_fn)(unsigned me);

static void *thread_main(void *me)
{
	static struct thread records[NR_THREADS];

	host_current = &records[(uintptr_t)me];
	this_cpu_id = (u32)(uintptr_t)me + 1;
	thread_fn((unsigned)(uintptr_t)me);
	return NULL;
}

static void threads_start(void (*fn)(unsigned me))
{
	thread_fn = fn;
	for (uintptr_t i = 0; i < NR_THREADS; i++)
		EXPECT_EQ(pthread_create(&threads[i], NULL, thread_main, (void *)i), 0);
}

static void threads_join(void)
{
	for (unsigned i = 0; i < NR_THREADS; i++)
		pthread_join(threads[i], NULL);
}

/* The others, too, that the host has put aside: who only yields may go on at once, again and again. */
static void others_run(void)
{
	usleep(50);
}

/* In the kernel the boot has done this.  Are there slots? */
static bool start(void)
{
	static bool done;

	for (const struct init_step *s = __start_init_steps; !done && s < __stop_init_steps; s++)
		if (!strcmp(s->name, "percpu_ref_start"))
			done = s->run() == 0;
	EXPECT(done);
	nr_cpus = NR_THREADS + 1;
	nr_released = 0;
	return true;
}
#else
static struct completion done;
static void (*thread_fn)(unsigned me);

static void thread_main(void *me)
{
	thread_fn((unsigned)(uintptr_t)me);
	completion_signal(&done);
}

static void threads_start(void (*fn)(unsigned me))
{
	completion_init(&done);
	thread_fn = fn;
	for (uintptr_t i = 0; i < NR_THREADS; i++) {
		struct thread *t = kthread_create(thread_main, (void *)i, "references");

		VERIFY(t);
		thread_start(t);
	}
}

static void threads_join(void)
{
	for (unsigned i = 0; i < NR_THREADS; i++)
		completion_wait(&done);
}

/* A yield would not do: who has used much less than the others goes on. */
static void others_run(void)
{
	thread_set_state(THREAD_UNINTERRUPTIBLE);
	(void)thread_block_until(clock_monotonic_ns() + 50000);
}

static bool start(void)
{
	nr_released = 0;
	return boot_opt_enabled("percpu_ref");
}
#endif

/* ---- one thread ---- */

static bool try_get(struct percpu_ref *r)
{
	scoped_rcu();
	return percpu_ref_try_get(r);
}

static bool try_get_live(struct percpu_ref *r)
{
	scoped_rcu();
	return percpu_ref_try_get_live(r);
}

TEST(percpu_ref_shared_counts_as_any_other)
{
	struct percpu_ref r;

	start();
	percpu_ref_init(&r, released);
	percpu_ref_get(&r);
	EXPECT(try_get(&r) && try_get_live(&r));
	EXPECT_EQ(percpu_ref_read(&r), 4);
	for (unsigned i = 0; i < 3; i++)
		percpu_ref_put(&r);
	EXPECT_EQ(nr_released, 0);
	percpu_ref_put(&r);
	EXPECT_EQ(nr_released, 1);
	EXPECT(!try_get(&r) && !try_get_live(&r));
}

TEST(percpu_ref_gathers_what_it_spread)
{
	struct percpu_ref r;

	if (!start())
		return;
	percpu_ref_init(&r, released);
	percpu_ref_get(&r);
	for (unsigned i = 0; i < 3; i++) { /* the slot is clean again each time */
		percpu_ref_spread(&r);
		EXPECT(r.slot != 0);
		percpu_ref_spread(&r);
		percpu_ref_get(&r);
		percpu_ref_put(&r);
		percpu_ref_put(&r); /* one of before */
		EXPECT(try_get(&r) && try_get_live(&r));
		percpu_ref_put(&r);
		percpu_ref_gather(&r, false);
		EXPECT_EQ(r.slot, 0);
		EXPECT_EQ(percpu_ref_read(&r), 2);
	}
	percpu_ref_put(&r);
	EXPECT_EQ(nr_released, 0);
	percpu_ref_kill(&r);
	EXPECT_EQ(nr_released, 1);
}

TEST(percpu_ref_changes_between_the_two_steps_of_gathering)
{
	struct percpu_ref r;

	if (!start())
		return;
	percpu_ref_init(&r, released);
	percpu_ref_spread(&r);
	for (unsigned i = 0; i < 5; i++)
		percpu_ref_get(&r);
	EXPECT(percpu_ref_gather_begin(&r));
	for (unsigned i = 0; i < 3; i++) /* more than the shared word had */
		percpu_ref_put(&r);
	EXPECT(try_get(&r));
	EXPECT_EQ(nr_released, 0);
	rcu_synchronize();
	percpu_ref_gather_end(&r);
	EXPECT_EQ(percpu_ref_read(&r), 4);
	for (unsigned i = 0; i < 4; i++)
		percpu_ref_put(&r);
	EXPECT_EQ(nr_released, 1);
}

TEST(percpu_ref_dead_lets_nobody_in)
{
	struct percpu_ref r;

	start();
	percpu_ref_init(&r, released);
	percpu_ref_spread(&r);
	EXPECT(try_get_live(&r));
	percpu_ref_gather(&r, true);
	EXPECT(!try_get_live(&r));
	EXPECT(try_get(&r));
	percpu_ref_put(&r);
	EXPECT_EQ(percpu_ref_read(&r), 2);
	percpu_ref_spread(&r);
	EXPECT(try_get_live(&r));
	percpu_ref_put(&r);
	percpu_ref_put(&r);
	percpu_ref_kill(&r);
	EXPECT(!try_get_live(&r));
	rcu_barrier();
	EXPECT_EQ(nr_released, 1);
}

TEST(percpu_ref_given_back_too_often_stays)
{
	struct percpu_ref r;

	if (!start())
		return;
	percpu_ref_init(&r, released);
	percpu_ref_spread(&r);
	percpu_ref_put(&r);
	percpu_ref_kill(&r); /* the sum is 0 with the owner's */
	rcu_barrier();
	EXPECT_EQ(nr_released, 0);
	EXPECT(try_get(&r));
	percpu_ref_put(&r);
	percpu_ref_put(&r);
	EXPECT_EQ(nr_released, 0);

	percpu_ref_init(&r, released);
	r.shared = S64_MAX;
	percpu_ref_get(&r);
	percpu_ref_get(&r); /* beyond what a count holds */
	for (unsigned i = 0; i < 4; i++)
		percpu_ref_put(&r);
	EXPECT(try_get(&r));
	EXPECT_EQ(nr_released, 0);
}

TEST(percpu_ref_without_a_slot_is_right)
{
	static struct percpu_ref many[PERCPU_REF_SLOTS], r;
	unsigned shared = 0;

	start();
	for (unsigned i = 0; i < ARRAY_SIZE(many); i++) {
		percpu_ref_init(&many[i], released);
		percpu_ref_spread(&many[i]);
		percpu_ref_get(&many[i]);
		shared += !many[i].slot;
		for (unsigned k = i ? i - 1 : 0; k < i; k++)
			EXPECT(!many[k].slot || many[k].slot != many[i].slot);
	}
	EXPECT(shared > 0);
	percpu_ref_init(&r, released);
	percpu_ref_spread(&r);
	EXPECT_EQ(r.slot, 0);
	EXPECT(try_get_live(&r));
	percpu_ref_put(&r);
	percpu_ref_kill(&r);
	EXPECT_EQ(nr_released, 1);
	for (unsigned i = 0; i < ARRAY_SIZE(many); i++)
		percpu_ref_kill(&many[i]);
	rcu_barrier();
	EXPECT_EQ(nr_released, 1);
	for (unsigned i = 0; i < ARRAY_SIZE(many); i++)
		percpu_ref_put(&many[i]);
	EXPECT_EQ(nr_released, 1 + ARRAY_SIZE(many));
}

/* ---- several ---- */

static struct percpu_ref tested;
static u32 held[NR_HELD]; /* references that lie here for whoever comes next */
static u32 is_published, is_freed, is_over, nr_inside;

/* Takes references here and gives back those that others took. */
static void pass_on(unsigned me)
{
	u64 seed = me + 1;

	for (unsigned i = 0; i < NR_ROUNDS; i++) {
		u32 *place;

		seed = seed * 6364136223846793005u + 1442695040888963407u;
		place = &held[(seed >> 40) % NR_HELD];
		percpu_ref_get(&tested);
		if (atomic_xchg(place, 1u))
			percpu_ref_put(&tested);
		if ((seed >> 50) % 3 && atomic_xchg(place, 0u))
			percpu_ref_put(&tested);
	}
}

TEST(percpu_ref_counts_what_cpus_pass_on)
{
	u32 left = 0;

	start();
	percpu_ref_init(&tested, released);
	percpu_ref_spread(&tested);
	threads_start(pass_on);
	for (unsigned i = 0; i < NR_GATHERS; i++) {
		percpu_ref_gather(&tested, false);
		u64 n = percpu_ref_read(&tested);

		EXPECT(n >= 1 && n <= 1 + NR_HELD + 2 * NR_THREADS);
		percpu_ref_spread(&tested);
		others_run();
	}
	threads_join();
	for (unsigned i = 0; i < NR_HELD; i++)
		left += atomic_xchg(&held[i], 0u);
	percpu_ref_gather(&tested, false);
	EXPECT_EQ(percpu_ref_read(&tested), 1 + left);
	percpu_ref_spread(&tested);
	percpu_ref_kill(&tested);
	rcu_barrier();
	EXPECT_EQ(nr_released, !left);
	for (unsigned i = 0; i < left; i++)
		percpu_ref_put(&tested);
	EXPECT_EQ(nr_released, 1);
}

static void mark_freed(struct percpu_ref *r)
{
	released(r);
	atomic_store(&is_freed, 1u);
}

/* As a walk does: finds it under RCU while it is published, uses it, gives it back. */
static void look_up(unsigned me)
{
	(void)me;
	while (!atomic_load(&is_over)) {
		rcu_read_lock();
		bool found = atomic_load(&is_published) && percpu_ref_try_get(&tested);

		rcu_read_unlock();
		if (!found)
			continue;
		if (atomic_load(&is_freed))
			unit_test_fail(__FILE__, __LINE__, "freed while referenced");
		percpu_ref_put(&tested);
	}
}

TEST(percpu_ref_killed_once_and_not_under_a_reference)
{
	start();
	for (unsigned i = 0; i < NR_GATHERS / 10; i++) {
		is_freed = is_over = 0;
		percpu_ref_init(&tested, mark_freed);
		percpu_ref_spread(&tested);
		is_published = 1;
		threads_start(look_up);
		for (unsigned k = 0; k < 100; k++)
			others_run();
		atomic_store(&is_published, 0u);
		percpu_ref_kill(&tested);
		for (unsigned k = 0; k < PATIENCE && !atomic_load(&is_freed); k++) {
			rcu_barrier();
			others_run();
		}
		EXPECT(atomic_load(&is_freed));
		EXPECT(!try_get(&tested));
		atomic_store(&is_over, 1u);
		threads_join();
		EXPECT_EQ(nr_released, i + 1);
	}
}

static void go_in_and_out(unsigned me)
{
	(void)me;
	while (!atomic_load(&is_over)) {
		if (!try_get_live(&tested))
			continue;
		atomic_add(&nr_inside, 1u);
		cpu_relax();
		atomic_sub(&nr_inside, 1u);
		percpu_ref_put(&tested);
	}
}

TEST(percpu_ref_dead_and_alone_means_nobody_is_inside)
{
	unsigned alone = 0;

	start();
	is_over = nr_inside = 0;
	percpu_ref_init(&tested, released);
	percpu_ref_spread(&tested);
	threads_start(go_in_and_out);
	for (unsigned i = 0; i < NR_GATHERS; i++) {
		percpu_ref_gather(&tested, true);
		for (unsigned k = 0; k < PATIENCE && percpu_ref_read(&tested) > 1; k++)
			others_run();
		if (percpu_ref_read(&tested) == 1) {
			alone++;
			for (unsigned k = 0; k < 20; k++)
				EXPECT_EQ(atomic_load(&nr_inside), 0);
		}
		percpu_ref_spread(&tested);
	}
	EXPECT(alone > 0);
	atomic_store(&is_over, 1u);
	threads_join();
	percpu_ref_kill(&tested);
	rcu_barrier();
	EXPECT_EQ(nr_released, 1);
}
