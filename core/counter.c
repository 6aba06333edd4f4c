/* Per-CPU counters and histograms: reading them. */
#include <nos/counter.h>

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
