/*
 * Counting system calls: /proc/nos/calls.
 *
 * While it is off, no call pays for it.  Switching it on points every slot of
 * the table at one routine of the entry code, which counts in this CPU's array
 * and jumps to the handler; switching it off puts the handlers back.  Both
 * happen under load: a call in flight goes either way, and to its handler.
 *
 * A call is fast if it returns by the straight way: no work flag, no full
 * frame.  What leaves otherwise is counted where it leaves (entry.S), so
 * "fast" is exact for an interval without fork, exec and sigreturn from
 * before it.
 *
 * Boot option: count_calls counts from the first call on.
 */
#include "syscalls.h"

#include <nos/cpu.h>
#include <nos/init.h>
#include <nos/lock.h>
#include <nos/log.h>
#include <nos/pseudo.h>
#include <nos/string.h>
#include <nos/task.h>

#include <linux/capability.h>

DEFINE_PERCPU(u64, syscall_counts[NR_SYSCALL_SLOTS]);
DEFINE_PERCPU(u64, syscall_slow_exits);

static struct mutex switch_lock = MUTEX_INIT(RANK_NONE);
static bool counting __guarded_by(&switch_lock);

void syscall_count_slow(unsigned nr)
{
	if (READ_ONCE(syscall_table[nr]) == syscall_counted)
		this_cpu_add(syscall_counts[nr], 1ul);
}

static u64 sum_of(unsigned nr)
{
	u64 sum = 0;

	for (unsigned cpu = 0; cpu < nr_cpus; cpu++)
		sum += READ_ONCE((*per_cpu_ptr(syscall_counts, cpu))[nr]);
	return sum;
}

static u64 slow_exits(void)
{
	u64 sum = 0;

	for (unsigned cpu = 0; cpu < nr_cpus; cpu++)
		sum += READ_ONCE(*per_cpu_ptr(syscall_slow_exits, cpu));
	return sum;
}

/* From zero; the others may count meanwhile, and those few are lost. */
static void reset(void)
{
	for (unsigned cpu = 0; cpu < nr_cpus; cpu++) {
		memset(*per_cpu_ptr(syscall_counts, cpu), 0, sizeof(syscall_counts));
		WRITE_ONCE(*per_cpu_ptr(syscall_slow_exits, cpu), 0);
	}
}

static void switch_counting(bool on)
{
	scoped_mutex(&switch_lock);
	if (on && !counting)
		reset();
	for (unsigned nr = 0; nr < NR_SYSCALL_SLOTS; nr++)
		syscall_patch(nr, on ? syscall_counted : syscall_handlers[nr]);
	counting = on;
}

static int show_calls(struct text_out *out, void *arg)
{
	u64 total = 0, slow = slow_exits();
	bool on;

	mutex_lock(&switch_lock);
	on = counting;
	mutex_unlock(&switch_lock);
	for (unsigned nr = 0; nr < NR_SYSCALL_SLOTS; nr++)
		total += sum_of(nr);
	text_printf(out, "counting %s\ntotal %llu\nfast %llu\n", on ? "on" : "off",
		    (unsigned long long)total, (unsigned long long)(total - min(total, slow)));
	for (unsigned nr = 0; nr < NR_SYSCALL_SLOTS; nr++) {
		u64 n = sum_of(nr);
		const char *name = syscall_name(nr);

		if (n)
			text_printf(out, "%u %s %llu\n", nr, name ? name : "-",
				    (unsigned long long)n);
	}
	return 0;
}

static ssize_t store_calls(const char *text, size_t len, void *arg)
{
	size_t n = len && text[len - 1] == '\n' ? len - 1 : len;

	if (!capable(CAP_SYS_ADMIN))
		return -EPERM;
	if (n == 2 && !memcmp(text, "on", 2))
		switch_counting(true);
	else if (n == 3 && !memcmp(text, "off", 3))
		switch_counting(false);
	else
		return -EINVAL;
	return (ssize_t)len;
}
PSEUDO_FILE(calls_file, .path = "proc/nos/calls", .mode = 0644, .show = show_calls,
	    .store = store_calls);

static int __init call_count_init(void)
{
	if (boot_option("count_calls"))
		switch_counting(true);
	return 0;
}
INIT_STEP(INIT_SUBSYSTEM, call_count_init);
