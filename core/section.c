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
 * Locking.  `longest` changes under longest_lock, which is only
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

bool sections_measured;
static DEFINE_PERCPU(u64, section_start);
static DEFINE_PERCPU(u64, section_begun_at);
DEFINE_HISTOGRAM(section_lengths, "core.section_ticks");

static struct spinlock longest_lock = SPINLOCK_INIT(RANK_NONE);
static struct section longest;

static void section_begin(const void *at)
{
	this_cpu_write(section_begun_at, (u64)at);
	this_cpu_write(section_start, cpu_cycles());
}

/* Interrupts off. */
static void section_end(void)
{
	u64 start = this_cpu_read(section_start), now = cpu_cycles();

	if (!start)
		return;
	histogram_add(section_lengths, now - start);
	if (now - start > READ_ONCE(longest.ticks) && raw_spin_try_lock(&longest_lock)) {
		longest.ticks = now - start;
		longest.begun_at = this_cpu_read(section_begun_at);
		longest.depth = arch_stack_trace_here(longest.chain, SECTION_FRAMES);
		raw_spin_unlock(&longest_lock);
	}
	this_cpu_write(section_start, 0ul);
}

void section_interrupts_off(void)
{
	if (preempt_count() == 0)
		section_begin(__builtin_return_address(0));
}

void section_preemption_off(void)
{
	if (preempt_count() == 1 && irq_is_enabled())
		section_begin(__builtin_return_address(0));
}

void section_trapped(void)
{
	if (preempt_count() == 0 || current_thread->is_idle)
		section_begin(__builtin_return_address(0));
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
	WRITE_ONCE(longest.ticks, 0);
	WRITE_ONCE(sections_measured, true);
}

void section_longest(struct section *s)
{
	u64 flags = irq_save();

	raw_spin_lock(&longest_lock);
	*s = longest;
	raw_spin_unlock(&longest_lock);
	irq_restore(flags);
	if (!s->ticks)
		s->depth = 0;
}

#endif
