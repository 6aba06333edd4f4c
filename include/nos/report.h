/*
 * The report (core/report.c): where each CPU and each thread stands, in the log, for a machine that does
 * not go on.  An NMI from outside asks for it: QEMU's `nmi`, the button of a server.
 */
#pragma once

#include <nos/types.h>

struct thread;

/* One thread, in one record: its name and number, its state, and its calls if it isn't running.  It must
 * not be freed meanwhile. */
void report_thread(const struct thread *t, const char *name, s32 number);

/* proc sets it: calls report_thread for each task.  Interrupts are off. */
extern void (*report_tasks)(void);
