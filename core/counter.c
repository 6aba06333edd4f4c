/* Per-CPU counters: reading them. */
#include <nos/counter.h>

u64 counter_sum(const struct counter_info *c)
{
	u64 sum = 0;

	for_each_cpu(cpu) sum += READ_ONCE(*per_cpu_ptr(*c->value, cpu));
	return sum;
}
