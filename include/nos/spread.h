/*
 * A number that many CPUs change and few read: each CPU gathers its changes
 * and adds them to the common total once they come to a batch, so that CPUs
 * do not write one cache line in turn.  Any context.
 *
 *	DEFINE_SPREAD(nr_things, 32);
 *	spread_add(nr_things, 1);
 *	if (spread_reaches(nr_things, limit)) ...
 */
#pragma once

#include <nos/cpu.h>
#include <nos/types.h>

#ifdef NOS_HOST /* threads come and go, and what they gathered with them */
#define DEFINE_SPREAD(name, batch) static s64 name##_total
#define spread_add(name, n) ((void)atomic_add(&name##_total, (s64)(n)))
#define spread_sum(name) atomic_load_relaxed(&name##_total)
#define spread_reaches(name, limit) (spread_sum(name) >= (s64)(limit))
#else
/* Each CPU keeps less than `batch` to itself. */
#define DEFINE_SPREAD(name, batch)                                                                 \
	enum { name##_batch = (batch) };                                                           \
	static DEFINE_PERCPU(s64, name##_pending);                                                 \
	static s64 name##_total
#define spread_add(name, n)                                                                        \
	do {                                                                                       \
		this_cpu_add(name##_pending, (s64)(n));                                            \
		if (unlikely((u64)(this_cpu_read(name##_pending) + name##_batch) >                 \
			     2ul * name##_batch))                                                  \
			spread_fold(&name##_total, &name##_pending);                               \
	} while (0)
/* The number itself; while others change it, it may be off by what they just fold. */
#define spread_sum(name) spread_sum_of(&name##_total, &name##_pending)
/* Is it at least `limit`?  Looks at all CPUs only where it may be. */
#define spread_reaches(name, limit)                                                                \
	(unlikely(READ_ONCE(name##_total) + (s64)nr_cpus * name##_batch >= (s64)(limit)) &&        \
	 spread_sum(name) >= (s64)(limit))
#endif

/* core/spread.c: adds what this CPU gathered to the total; all that there is.  `pending` is per CPU. */
void spread_fold(s64 *total, s64 *pending);
s64 spread_sum_of(const s64 *total, s64 *pending);
