/* Numbers spread over the CPUs: the rare paths (include/nos/spread.h). */
#include <nos/spread.h>

#ifndef NOS_HOST
void spread_fold(s64 *total, s64 *pending)
{
	u64 flags = irq_save();
	s64 *mine = this_cpu_ptr(*pending);

	atomic_add(total, *mine);
	WRITE_ONCE(*mine, 0);
	irq_restore(flags);
}

s64 spread_sum_of(const s64 *total, s64 *pending)
{
	s64 sum = atomic_load_relaxed(total);

	for_each_cpu(cpu) sum += READ_ONCE(*per_cpu_ptr(*pending, cpu));
	return sum;
}
#endif
