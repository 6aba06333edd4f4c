/*
 * Restartable sequences of the kernel (core/restart.c): a few instructions that read data of this
 * CPU and end in the one store that makes them count.  A thread that is preempted before that
 * store starts again at the first instruction, perhaps on another CPU, so the sequence needs no
 * preempt_disable.
 *
 * In between it may store only to what nobody reads without the last store, must leave
 * its inputs as they are, and neither calls nor faults.  What it shares with interrupt handlers
 * is not protected: a handler that returns to it without a switch does not restart it.  A jump to
 * 772f leaves it.
 *
 *	__asm__ volatile(RESTART_BEGIN "..." "last store\n" RESTART_END : ...);
 *
 * Bershad, Redell and Ellis, "Fast mutual exclusion for uniprocessors", ASPLOS 1992.
 */
#pragma once

#include <nos/types.h>

struct trap_frame;

/* From the first instruction up to the end of the last. */
struct restart_range {
	u64 start, end;
};

#define RESTART_BEGIN "771:\n"
#define RESTART_END                                                                                \
	"772: .pushsection restart_ranges, \"a\"\n"                                                \
	".balign 8\n"                                                                              \
	".quad 771b, 772b\n"                                                                       \
	".popsection\n"

/* The interrupted thread is about to be preempted: if it is in a sequence it starts that again. */
void restart_preempted(struct trap_frame *f);
