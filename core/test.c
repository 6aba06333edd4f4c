/*
 * In-kernel unit tests: the same files that run on the host, and those that
 * need the machine.  Debug kernels contain them; the boot option
 * nos.selftest runs all, nos.selftest=TEXT those whose name contains TEXT.
 */
#include <nos/arch.h>
#include <nos/log.h>
#include <nos/string.h>
#include <nos/test.h>
#include <nos/timer.h>

extern const struct unit_test __start_unit_tests[], __stop_unit_tests[];

static u32 failures_of_test;

void unit_test_fail(const char *file, int line, const char *format, ...)
{
	char text[200];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	(void)atomic_add(&failures_of_test, 1);
	log_err("%s:%d: %s", file, line, text);
}

void unit_test_run_all(const char *pattern)
{
	unsigned passed = 0, failed = 0;

	for (const struct unit_test *t = __start_unit_tests; t < __stop_unit_tests; t++) {
		u64 start = clock_monotonic_ns();

		if (!strstr(t->name, pattern))
			continue;
		failures_of_test = 0;
		t->run();

		u64 took_us = (clock_monotonic_ns() - start) / 1000;

		if (failures_of_test)
			failed++;
		else
			passed++;
		log_info("selftest: %s %s (%llu us)", failures_of_test ? "FAILED" : "ok", t->name,
			 (unsigned long long)took_us);
	}
	log_info("selftest: %u passed, %u failed", passed, failed);
	arch_debug_exit(failed ? 2 : 0);
	arch_power_off();
}
