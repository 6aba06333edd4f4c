/*
 * Panic: the kernel can't go on.
 *
 * One CPU reports; the others are stopped by NMI.  The report goes through the log to the console, without locks.  Under QEMU the
 * machine then ends through the debug-exit device; on a machine without it
 * the CPU stops, or the machine restarts if the boot option panic=SECONDS asks for it.
 */
#include "log.h"

#include <nos/arch.h>
#include <nos/assert.h>
#include <nos/cpu.h>
#include <nos/string.h>
#include <nos/thread.h>

#define EXIT_CODE_PANIC 1

static u32 panic_cpu; /* cpu + 1 */

bool panic_is_in_progress(void)
{
	return READ_ONCE(panic_cpu) != 0;
}

void panic(const char *format, ...)
{
	static char message[400];
	va_list args;

	irq_disable();
	if (!atomic_cas(&panic_cpu, 0u, cpu_id() + 1)) {
		if (panic_cpu != cpu_id() + 1)
			cpu_stop();
		/* A fault while panicking. */
		arch_debug_exit(EXIT_CODE_PANIC);
		cpu_stop();
	}
	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	log_set_console_level(LOG_DEBUG + 1);
	log_write(LOG_EMERG, "Kernel panic: %s", message);

	struct thread *t = current_thread;

	log_write(LOG_EMERG, "cpu %u, thread %p (%s), kernel stack %p", cpu_id(), (void *)t,
		  t->name ? t->name : "user", t->stack);
	cpu_stop_others();
	arch_backtrace(NULL);
	log_write(LOG_EMERG, "end of panic");
	arch_debug_exit(EXIT_CODE_PANIC);
	if (boot_option("panic"))
		arch_reboot();
	cpu_stop();
}
