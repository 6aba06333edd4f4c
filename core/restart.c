/*
 * Restartable sequences: see <nos/restart.h>.
 *
 * A kernel thread is preempted in one place only, on the way out of an interrupt that it was
 * interrupted by (preempt_from_irq); all else that switches is a call, and sequences call nothing.
 * There the saved instruction pointer says whether it is in a sequence: the ranges are few, and
 * nobody looks at them but there.
 *
 * Model: tests/models/slab.pml (the quick path).
 */
#include <nos/counter.h>
#include <nos/restart.h>
#include <nos/trap.h>

DEFINE_COUNTER(restarted, "core.restarted_sequences");

extern const struct restart_range __start_restart_ranges[], __stop_restart_ranges[];

void restart_preempted(struct trap_frame *f)
{
	for (const struct restart_range *r = __start_restart_ranges; r < __stop_restart_ranges; r++)
		if (f->rip > r->start && f->rip < r->end) {
			f->rip = r->start;
			counter_inc(restarted);
			return;
		}
}
