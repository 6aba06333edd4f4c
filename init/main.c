/*
 * The boot order.
 *
 * arch/x86_64/boot.c enters kernel_main on the boot CPU, with paging, per-CPU
 * base and early console, interrupts off.  What each step needs is said in its
 * header; steps of subsystems register themselves (<nos/init.h>).
 */
#include <nos/arch.h>
#include <nos/cpu.h>
#include <nos/init.h>
#include <nos/log.h>
#include <nos/page.h>
#include <nos/random.h>
#include <nos/string.h>
#include <nos/task.h>
#include <nos/test.h>
#include <nos/thread.h>
#include <nos/timer.h>

extern const struct init_step __start_init_steps[], __stop_init_steps[];

static void __init run_level(enum init_level level)
{
	for (const struct init_step *s = __start_init_steps; s < __stop_init_steps; s++) {
		if (s->level != level)
			continue;

		int err = s->run();

		if (err)
			log_err("init: %s failed: %d", s->name, err);
	}
}

static void __init hash_key_init(void)
{
	u64 key[2];

	random_bytes(key, sizeof(key));
	hash_set_key(key[0], key[1]);
}

static void __init set_log_level(void)
{
	const char *text = boot_option("loglevel");
	u64 level;

	if (boot_option("quiet"))
		log_set_console_level(LOG_WARNING);
	if (text && !string_to_u64(text, 10, &level))
		log_set_console_level((unsigned)level);
}

static void __init start_machine(void)
{
	set_log_level();
	log_info("NOS: command line: %s", boot_info.command_line ? boot_info.command_line : "");
	arch_init_early();
	mm_init_early();
	mm_init();
	sched_init();
	arch_init_interrupts();
	mm_init_nodes();
	clock_init();
	random_init();
	hash_key_init();
}

static void __init start_subsystems(void)
{
	run_level(INIT_CORE);
	irq_enable();
	sched_start();
	cpu_start_secondaries();
	log_info("NOS: %u CPUs", nr_cpus);
	for (enum init_level level = INIT_SUBSYSTEM; level < NR_INIT_LEVELS; level++)
		run_level(level);
}

/* Not __init: it returns into the end of the boot thread after those pages are gone. */
__noinline void kernel_main(void)
{
	start_machine();
	start_subsystems();
	if (boot_option("nos.selftest"))
		unit_test_run_all(boot_option("nos.selftest"));
	process_start_init();
	preempt_disable(); /* other CPUs are called */
	arch_protect_kernel();
	preempt_enable();
	thread_exit(NULL);
}
