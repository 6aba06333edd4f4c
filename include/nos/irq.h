/* Interrupt handlers and vectors (core/irq.c). */
#pragma once

#include <nos/cpu.h>
#include <nos/types.h>

typedef void (*irq_fn)(void *arg); /* interrupts off */

/* A free device vector for fn(arg) on CPU `cpu`; vector number or -ENOSPC.  `name` is shown in
 * /proc/interrupts. */
int irq_allocate(irq_fn fn, void *arg, const char *name, unsigned cpu);
void irq_release(unsigned vector);
/* ISA interrupt through the IOAPIC; may share: all handlers of the line run.  0 or -ENODEV. */
int irq_request_isa(unsigned isa_irq, irq_fn fn, void *arg, const char *name);
/* Any IOAPIC input, level or edge. */
int irq_request_gsi(unsigned gsi, bool level, bool active_low, irq_fn fn, void *arg,
		    const char *name);
#ifdef NOS_HOST
extern __thread bool host_in_handler; /* a test's, that plays one */
static inline bool irq_is_in_handler(void)
{
	return host_in_handler;
}
#else
DECLARE_PERCPU(u32, irq_depth); /* handlers that this CPU is in */
static inline bool irq_is_in_handler(void)
{
	bool is;

	__asm__ volatile("cmpl $0, %%gs:%1" : "=@ccne"(is) : "m"(irq_depth));
	return is;
}
#endif
u64 irq_count(unsigned vector, unsigned cpu);
/* Of the vector's first handler; NULL: the vector is not in use. */
const char *irq_name(unsigned vector);
