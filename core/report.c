/*
 * The report of a machine that does not go on.
 *
 * How it works.  The NMI comes to the first CPU, at any instruction: it says where that CPU stood, has the
 * others do the same by NMIs of their own, and asks for the rest by an interrupt, for to look at threads
 * takes locks and may fault.  Where even interrupts don't come any more, what the NMIs said is all.
 */
#include "log.h"
#include "sched.h"

#include <nos/arch.h>
#include <nos/log.h>
#include <nos/report.h>
#include <nos/string.h>
#include <nos/trap.h>

#define CALLS_SHOWN 24

void (*report_tasks)(void) __ro_after_init;

static u32 wanted;

void report_at_nmi(const struct trap_frame *frame)
{
	log_write(LOG_EMERG, "report: CPU %u is in %s", cpu_id(),
		  trap_is_from_user(frame) ? "user mode" : "the kernel:");
	arch_backtrace(frame);
	if (cpu_id() == 0 && !atomic_xchg(&wanted, 1u))
		cpu_ask_for_report();
}

static const char *name_of(u8 state)
{
	static const char *const names[] = {
		[THREAD_RUNNABLE] = "runnable",     [THREAD_INTERRUPTIBLE] = "sleeps",
		[THREAD_UNINTERRUPTIBLE] = "waits", [THREAD_KILLABLE] = "waits, killable",
		[THREAD_STOPPED] = "stopped",       [THREAD_DEAD] = "dead",
	};

	return state < ARRAY_SIZE(names) && names[state] ? names[state] : "?";
}

void report_thread(const struct thread *t, const char *name, s32 number)
{
	u64 calls[CALLS_SHOWN];
	char text[CALLS_SHOWN * 23 + 1] = "";
	unsigned nr =
		READ_ONCE(t->on_cpu) ? 0 : arch_stack_trace(&t->arch, calls, ARRAY_SIZE(calls));
	size_t at = 0;

	for (unsigned i = 0; i < nr; i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at, " [<%016lx>]", calls[i]);
	log_write(LOG_EMERG, "report: %s %d: CPU %u, %s%s%s, work %#x:%s", name, number,
		  READ_ONCE(t->cpu), name_of(READ_ONCE(t->state)),
		  READ_ONCE(t->sched.queued) ? ", queued" : "",
		  READ_ONCE(t->on_cpu) ? ", on its CPU" : "", READ_ONCE(t->work), text);
}

static void report_cpu(unsigned cpu)
{
	const struct run_queue *rq = run_queue_of(cpu);
	const struct thread *t = READ_ONCE(rq->current);

	log_write(LOG_EMERG, "report: CPU %u: %u runnable, %s (%p) runs, work %#x%s%s", cpu,
		  READ_ONCE(rq->nr_running), t->name ? t->name : "a task", (const void *)t,
		  READ_ONCE(t->work), READ_ONCE(sched_idle_map) & bit(cpu) ? ", known to idle" : "",
		  READ_ONCE(rq->handoff) ? ", one is handed over" : "");
}

void report_if_wanted(void)
{
	if (likely(!READ_ONCE(wanted)) || cpu_id() != 0)
		return;
	for_each_cpu(cpu) report_cpu(cpu);
	kthread_for_each(report_thread);
	if (report_tasks)
		report_tasks();
	log_write(LOG_EMERG, "end of report");
	atomic_store(&wanted, 0u);
}
