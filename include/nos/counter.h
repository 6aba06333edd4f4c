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
	SHOW_COUNTER(id, dotted_name)
/* Of a per-CPU variable counter_ID that arch, which is below this, defines. */
#define SHOW_COUNTER(id, dotted_name)                                                              \
	static const struct counter_info counter_info_##id __section("counters")                   \
		__aligned(8) = { dotted_name, (u64 *)&counter_##id }
#endif
#define counter_add(id, n) this_cpu_add(counter_##id, (u64)(n))
#define counter_inc(id) counter_add(id, 1)
u64 counter_sum(const struct counter_info *c);

/*
 * Per-CPU histograms with a bucket for each power of two: bucket 0 counts zeros,
 * bucket n values of [2^(n-1), 2^n), the last one all above.  Shown in
 * /proc/nos/histograms.  Counting belongs behind a static key.
 */
#define HISTOGRAM_BUCKETS 40u

struct histogram_info {
	const char *name; /* "sched.wake_latency_ns" */
	u64 *buckets; /* per-CPU array */
};

#ifdef NOS_HOST
#define DEFINE_HISTOGRAM(id, dotted_name) static u64 histogram_##id[HISTOGRAM_BUCKETS]
#else
#define DEFINE_HISTOGRAM(id, dotted_name)                                                          \
	static DEFINE_PERCPU(u64, histogram_##id[HISTOGRAM_BUCKETS]);                              \
	static const struct histogram_info histogram_info_##id __section("histograms")             \
		__aligned(8) = { dotted_name, (u64 *)&histogram_##id }
#endif
static inline unsigned histogram_bucket(u64 value)
{
	unsigned n = value ? 64u - (unsigned)__builtin_clzll(value) : 0;

	return n < HISTOGRAM_BUCKETS ? n : HISTOGRAM_BUCKETS - 1;
}
#define histogram_add(id, value) this_cpu_add(histogram_##id[histogram_bucket(value)], 1ul)
void histogram_sum(const struct histogram_info *h, u64 sums[HISTOGRAM_BUCKETS]);
void histogram_clear(const struct histogram_info *h);
