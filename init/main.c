/*
 * The order of the boot, in one function.
 *
 * Each line needs only what stands above it.  What can wait until threads run
 * is an init step, registered where it belongs (<nos/init.h>); this file names
 * no driver, file system or family of calls.
 */
#include <nos/arch.h>
#include <nos/cpu.h>
#include <nos/init.h>
#include <nos/log.h>
#include <nos/page.h>
#include <nos/random.h>
#include <nos/task.h>
#include <nos/thread.h>
#include <nos/timer.h>

extern const struct init_step __start_init_steps[], __stop_init_steps[];

static void init_steps_run(enum init_level level)
{
	for (const struct init_step *s = __start_init_steps; s < __stop_init_steps; s++) {
		if (s->level != level)
			continue;
		int err = s->run();

		if (err)
			log_err("init: %s failed (%d)", s->name, err);
	}
}

static void boot_thread_ended(struct thread *dead)
{
	(void)dead; /* static, on the boot stack: nothing to free */
}

void kernel_main(void)
{
	log_info("NOS: command line \"%s\"", boot_info.command_line);
	arch_init_early();
	sched_init();
	mm_init_early();
	mm_init();
	arch_init_interrupts();
	clock_init();
	random_init();
	irq_enable();
	init_steps_run(INIT_CORE);

	sched_start();
	cpu_start_secondaries();
	log_info("smp: %u CPU%s", nr_cpus, nr_cpus == 1 ? "" : "s");
	for (enum init_level level = INIT_SUBSYSTEM; level < NR_INIT_LEVELS; level++)
		init_steps_run(level);
	arch_protect_kernel();

	log_info("init: %lu us after the first instruction",
		 clock_monotonic_ns() / (u64)NSEC_PER_USEC);
	process_start_init();
	thread_exit(boot_thread_ended);
}
