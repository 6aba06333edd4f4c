/* Per-CPU counters and histograms: reading them, and those that arch counts. */
#include <nos/counter.h>

#ifndef NOS_HOST
DECLARE_PERCPU(u64, counter_ipi_calls);
DECLARE_PERCPU(u64, counter_ipi_reschedules);
DECLARE_PERCPU(u64, counter_from_user);
DECLARE_PERCPU(u64, counter_to_user);
SHOW_COUNTER(ipi_calls, "ipi.call");
SHOW_COUNTER(ipi_reschedules, "ipi.reschedule");
SHOW_COUNTER(from_user, "copy.from_user_bytes");
SHOW_COUNTER(to_user, "copy.to_user_bytes");
#endif

u64 counter_sum(const struct counter_info *c)
{
	u64 sum = 0;

	for_each_cpu(cpu) sum += READ_ONCE(*per_cpu_ptr(*c->value, cpu));
	return sum;
}

void histogram_sum(const struct histogram_info *h, u64 sums[HISTOGRAM_BUCKETS])
{
	for (unsigned n = 0; n < HISTOGRAM_BUCKETS; n++) {
		sums[n] = 0;
		for_each_cpu(cpu) sums[n] += READ_ONCE(*per_cpu_ptr(h->buckets[n], cpu));
	}
}

void histogram_clear(const struct histogram_info *h)
{
	for (unsigned n = 0; n < HISTOGRAM_BUCKETS; n++)
		for_each_cpu(cpu) WRITE_ONCE(*per_cpu_ptr(h->buckets[n], cpu), 0);
}
