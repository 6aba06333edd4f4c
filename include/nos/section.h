/*
 * Sections that can't be preempted, measured in debug kernels (core/section.c).
 *
 * While it is on, each stretch in which a CPU would run no other thread, for
 * interrupts or preemption are off, counts in a histogram, and the longest is
 * kept with where it began and the call chain in which it ended.  Shown in /proc/nos/sections.
 */
#pragma once

#include <nos/types.h>

#if defined(DEBUG) && !defined(NOS_HOST)
extern bool sections_measured;
/* Interrupts were on and are off, preemption was on and is off: does one begin?  An interrupt or
 * exception came: one begins. */
void section_interrupts_off(void);
void section_preemption_off(void);
void section_trapped(void);
/* Interrupts, preemption are about to be on again: does one end?  The return from an interrupt or
 * exception turns all on. */
void section_interrupts_on(void);
void section_preemption_on(void);
void section_returns(void);
/* The idle thread waits: whatever comes is let in. */
void section_idles(void);

/* Starts from zero, or stops. */
void section_measure(bool on);

#define SECTION_FRAMES 16u

struct section {
	u64 ticks;
	u64 begun_at; /* the address after what turned interrupts or preemption off */
	u64 chain[SECTION_FRAMES]; /* return addresses of where it ended, innermost first */
	unsigned depth;
};

/* The longest so far; ticks are 0 if there was none. */
void section_longest(struct section *s);
#else
#define sections_measured false
static inline void section_interrupts_off(void)
{
}
static inline void section_preemption_off(void)
{
}
static inline void section_trapped(void)
{
}
static inline void section_interrupts_on(void)
{
}
static inline void section_preemption_on(void)
{
}
static inline void section_returns(void)
{
}
static inline void section_idles(void)
{
}
#endif
