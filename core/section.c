/*
 * How long a CPU can't be preempted, in debug kernels.
 *
 * Concepts.  A section begins when interrupts or preemption are turned off while
 * both are on, or when an interrupt or exception comes then; it ends when both
 * are on again.  It may begin in one thread and end in another: a switch is in
 * its middle.  What halts in the idle thread is in none.
 *
 * Invariants.
 *   (1) `start` is 0 outside of a section, and changes with interrupts off;
 *   (2) whoever begins one has seen that none can be in progress, so that one
 *       whose end was not seen (assembly turns interrupts on as well) is
 *       forgotten, not counted.
 *
 * Time is in ticks of the time-stamp counter: instructions under -icount.  A
 * debug kernel executes several for one of the release kernel; suite `rt` of
 * ./nos bench has the release kernel's longest.
 *
 * Locking.  `longest` and its chain change under longest_lock, which is only
 * tried for: a second record at the same moment is lost.
 */
#include "lock.h"

#include <nos/arch.h>
#include <nos/counter.h>
#include <nos/cpu.h>
#include <nos/preempt.h>
#include <nos/section.h>
#include <nos/string.h>
#include <nos/thread.h>

#ifdef DEBUG

#define NR_FRAMES 16u

bool sections_measured;
static DEFINE_PERCPU(u64, section_start);
DEFINE_HISTOGRAM(section_lengths, "core.section_ticks");

static struct spinlock longest_lock = SPINLOCK_INIT(RANK_NONE);
static u64 longest, longest_chain[NR_FRAMES];
static unsigned longest_depth;

static void section_begin(void)
{
	this_cpu_write(section_start, cpu_cycles());
}

/* Interrupts off. */
static void section_end(void)
{
	u64 start = this_cpu_read(section_start), now = cpu_cycles();

	if (!start)
		return;
	histogram_add(section_lengths, now - start);
	if (now - start > READ_ONCE(longest) && raw_spin_try_lock(&longest_lock)) {
		longest = now - start;
		longest_depth = arch_stack_trace_here(longest_chain, NR_FRAMES);
		raw_spin_unlock(&longest_lock);
	}
	this_cpu_write(section_start, 0ul);
}

void section_interrupts_off(void)
{
	if (preempt_count() == 0)
		section_begin();
}

void section_preemption_off(void)
{
	if (preempt_count() == 1 && irq_is_enabled())
		section_begin();
}

void section_trapped(void)
{
	if (preempt_count() == 0 || current_thread->is_idle)
		section_begin();
}

void section_interrupts_on(void)
{
	if (preempt_count() == 0)
		section_end();
}

/* An interrupt between the look and the end could begin and end one of its own. */
void section_preemption_on(void)
{
	if (preempt_count() != 1 || !irq_is_enabled())
		return;
	__asm__ volatile("cli" ::: "memory");
	section_end();
	__asm__ volatile("sti" ::: "memory");
}

void section_returns(void)
{
	if (preempt_count() == 0)
		section_end();
}

void section_idles(void)
{
	this_cpu_write(section_start, 0ul);
}

void section_measure(bool on)
{
	WRITE_ONCE(sections_measured, false);
	if (!on)
		return;
	for_each_cpu(cpu) WRITE_ONCE(*per_cpu_ptr(section_start, cpu), 0);
	histogram_clear(&histogram_info_section_lengths);
	WRITE_ONCE(longest, 0);
	WRITE_ONCE(longest_depth, 0);
	WRITE_ONCE(sections_measured, true);
}

u64 section_longest(u64 *chain, unsigned max, unsigned *depth)
{
	u64 flags = irq_save(), ticks;

	raw_spin_lock(&longest_lock);
	ticks = longest;
	*depth = min(longest_depth, max);
	memcpy(chain, longest_chain, *depth * sizeof(*chain));
	raw_spin_unlock(&longest_lock);
	irq_restore(flags);
	return ticks;
}

#endif
