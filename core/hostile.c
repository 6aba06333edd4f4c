/*
 * Hostile preemption, in debug kernels: threads switch where it hurts.
 *
 * With the boot option debug.preempt=hostile[,SEED[,RATE]] a thread gives way at
 * one of RATE (16) of the places where it could be preempted: each unlock of a
 * spinlock, each end of an RCU reader, each preempt_enable that leads to
 * preemptible code.  Which ones, is decided by a generator for each CPU that
 * starts from SEED, so that runs with one CPU repeat.
 */
#include <nos/cpu.h>
#include <nos/init.h>
#include <nos/irq.h>
#include <nos/log.h>
#include <nos/preempt.h>
#include <nos/string.h>
#include <nos/thread.h>

#ifdef DEBUG

u32 preempt_hostile_rate;
static DEFINE_PERCPU(u64, hostile_state);
static u64 hostile_seed = 1;

void preempt_hostile(void)
{
	struct thread *t = current_thread;

	if (preempt_count() || !irq_is_enabled() || irq_is_in_handler() || t->yields || t->is_idle)
		return;
	u64 x = this_cpu_read(hostile_state) + (hostile_seed + cpu_id()) * 0x9e3779b97f4a7c15ull;

	this_cpu_write(hostile_state, x);
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
	if ((x ^ x >> 27) % preempt_hostile_rate)
		return;
	t->yields = true;
	thread_yield();
	t->yields = false;
}

/* The number behind the n-th comma of the text, or `otherwise`. */
static u64 number_behind(const char *text, unsigned n, u64 otherwise)
{
	char digits[24];
	u64 v;

	while (n-- && text) {
		text = strchr(text, ',');
		text = text ? text + 1 : NULL;
	}
	if (!text)
		return otherwise;
	string_copy(digits, text, sizeof(digits));

	char *end = strchr(digits, ',');

	if (end)
		*end = '\0';
	return string_to_u64(digits, 10, &v) == 0 && v ? v : otherwise;
}

static int hostile_init(void)
{
	const char *text = boot_option("debug.preempt");

	if (!text || strncmp(text, "hostile", 7) != 0)
		return 0;
	hostile_seed = number_behind(text, 1, 1);
	preempt_hostile_rate = (u32)number_behind(text, 2, 16);
	log_info("preemption is hostile: seed %llu, one of %u", (unsigned long long)hostile_seed,
		 preempt_hostile_rate);
	return 0;
}
INIT_STEP(INIT_SUBSYSTEM, hostile_init);

#endif
