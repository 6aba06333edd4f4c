/* Private to core/: what the scheduler and the interrupt code tell RCU. */
#pragma once

#include <nos/cpu.h>
#include <nos/rcu.h>

/* CPUs that the grace period in progress still waits for. */
extern u64 rcu_waiting_map;

/* This CPU is in no reader section now; interrupts off, no run-queue lock held. */
void rcu_report_quiescent(void);
static inline void rcu_note_switch(void)
{
	if (unlikely(READ_ONCE(rcu_waiting_map) & bit(cpu_id())))
		rcu_report_quiescent();
}

/* The idle thread is about to halt / goes on; interrupts off. */
void rcu_idle_enter(void);
void rcu_idle_exit(void);
/* Interrupt handlers may read; `was_idle` is for rcu_irq_exit. */
bool rcu_irq_enter(void);
void rcu_irq_exit(bool was_idle);
/* From the tick; `preemptible`: the interrupted code was in no reader section. */
void rcu_tick(bool preemptible);
/* A CPU comes up: its counter starts as "running". */
void rcu_cpu_up(unsigned cpu);
void rcu_start(void); /* starts the callback thread */
/* Someone waits for this CPU: reports, or makes the running thread pass its reschedule check. */
void rcu_hurry(bool preemptible);
