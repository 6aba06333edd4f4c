/* Static keys switched while threads run through a site. */
#include <nos/static_key.h>
#include <nos/test.h>
#include <nos/thread.h>
#include <nos/wait.h>

#ifndef NOS_HOST
#define NR_THREADS 2u
#define NR_SWITCHES 16u

static DEFINE_STATIC_KEY(key);
static struct completion done;
static bool stop;
static u64 taken, passed;

static __noinline bool is_on(void)
{
	return static_key_is_on(&key);
}

static void run_through(void *arg)
{
	while (!READ_ONCE(stop))
		atomic_add(is_on() ? &taken : &passed, 1ul);
	completion_signal(&done);
}

TEST(static_key_switches_all_sites)
{
	EXPECT(!is_on() && !static_key_is_on(&key));
	static_key_set(&key, true);
	EXPECT(is_on() && static_key_is_on(&key));
	static_key_set(&key, true);
	EXPECT(is_on());
	static_key_set(&key, false);
	EXPECT(!is_on() && !static_key_is_on(&key));
}

TEST(static_key_switches_under_load)
{
	completion_init(&done);
	stop = false;
	taken = passed = 0;
	for (unsigned i = 0; i < NR_THREADS; i++) {
		struct thread *t = kthread_create(run_through, NULL, "static-key");

		EXPECT(t != NULL);
		thread_start(t);
	}
	for (unsigned i = 0; i < NR_SWITCHES; i++) {
		bool on = i % 2 == 0;

		static_key_set(&key, on);
		EXPECT_EQ(is_on(), on);
		thread_yield(); /* one CPU: they get their turn */
	}
	WRITE_ONCE(stop, true);
	for (unsigned i = 0; i < NR_THREADS; i++)
		completion_wait(&done);
	EXPECT(taken + passed > 0);
	EXPECT(!is_on());
}
#endif
