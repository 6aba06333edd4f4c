/*
 * Per-CPU counters, registered where they are counted (core/counter.c); shown
 * in /proc/nos/counters.  One line to define, one instruction to count.
 */
#pragma once

#include <nos/cpu.h>
#include <nos/types.h>

struct counter_info {
	const char *name; /* "vfs.path_cache_hits" */
	u64 *value; /* per-CPU variable */
};

#ifdef NOS_HOST /* a thread-local copy has no address to register */
#define DEFINE_COUNTER(id, dotted_name) static DEFINE_PERCPU(u64, counter_##id)
#else
#define DEFINE_COUNTER(id, dotted_name)                                                            \
	static DEFINE_PERCPU(u64, counter_##id);                                                   \
	static const struct counter_info counter_info_##id __section("counters")                   \
		__aligned(8) = { dotted_name, (u64 *)&counter_##id }
#endif
#define counter_add(id, n) this_cpu_add(counter_##id, (u64)(n))
#define counter_inc(id) counter_add(id, 1)
u64 counter_sum(const struct counter_info *c);
