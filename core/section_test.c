/* The measure of sections without preemption: what counts, how long, and where it ended. */
#include <nos/test.h>

#ifndef NOS_HOST
#ifdef DEBUG

#include <nos/arch.h>
#include <nos/cpu.h>
#include <nos/preempt.h>
#include <nos/section.h>
#include <nos/thread.h>

static void spin_ticks(u64 ticks)
{
	u64 start = cpu_cycles();

	while (cpu_cycles() - start < ticks)
		cpu_relax();
}

/* The functions below are not longer. */
#ifdef SANITIZE
#define FUNCTION_BYTES 700
#else
#define FUNCTION_BYTES 256
#endif

/* The longest of what fn does, and whether it began and ended in fn. */
static u64 measured(void (*fn)(void), bool *was_there)
{
	struct section longest;
	u64 before, after;
	bool ended_there = false;

	section_measure(true);
	before = cpu_cycles();
	fn();
	after = cpu_cycles();
	section_longest(&longest);
	section_measure(false);
	for (unsigned i = 0; i < longest.depth; i++)
		ended_there |= longest.chain[i] - (u64)fn < FUNCTION_BYTES;
	*was_there = ended_there && longest.begun_at - (u64)fn < FUNCTION_BYTES;
	EXPECT(longest.ticks <= after - before);
	return longest.ticks;
}

static u64 spun;

static __noinline void without_preemption(void)
{
	preempt_disable();
	spin_ticks(spun);
	irq_disable(); /* nested: ends nothing */
	irq_enable();
	spin_ticks(spun);
	preempt_enable();
}

static __noinline void without_interrupts(void)
{
	u64 flags = irq_save();

	spin_ticks(spun);
	preempt_disable();
	preempt_enable();
	spin_ticks(spun);
	irq_restore(flags);
}

static __noinline void with_both(void)
{
	for (unsigned n = 0; n < 100; n++) {
		spin_ticks(spun / 50);
		preempt_disable();
		preempt_enable();
	}
}

TEST(section_without_preemption_is_measured)
{
	u64 affinity = current_thread->affinity;
	u64 least = U64_MAX;
	bool there;

	EXPECT_EQ(thread_set_affinity(current_thread, bit(0)), 0);
	spun = 20000000;
	EXPECT(measured(without_preemption, &there) >= 2 * spun);
	EXPECT(there);
	EXPECT(measured(without_interrupts, &there) >= 2 * spun);
	EXPECT(there);
	/* what the host does meanwhile counts too: once in five it does nothing for so long */
	for (unsigned n = 0; n < 5; n++)
		least = min(least, measured(with_both, &there));
	EXPECT(least < spun);
	EXPECT_EQ(thread_set_affinity(current_thread, affinity), 0);
}

#endif
#endif
