/*
 * The unit tests inside the kernel: with the boot option nos.selftest, a debug
 * kernel runs every TEST that is linked into it, logs one line for each, and
 * ends the machine.  nos.selftest=TEXT runs those whose name holds TEXT.
 */
#include <nos/arch.h>
#include <nos/init.h>
#include <nos/log.h>
#include <nos/string.h>
#include <nos/test.h>

#ifdef DEBUG
/* Exit codes of the debug-exit device; a panic has 1. */
enum { EXIT_CODE_PASSED = 0x10, EXIT_CODE_FAILED = 0x11 };

extern const struct unit_test __start_unit_tests[], __stop_unit_tests[];

static u32 nr_failures;	/* of the running test */

void unit_test_fail(const char *file, int line, const char *format, ...)
{
	char text[200];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	atomic_add(&nr_failures, 1);
	log_err("selftest: %s:%d: %s", file, line, text);
}

static bool selftest_passes(const struct unit_test *test)
{
	atomic_store(&nr_failures, 0);
	test->run();
	if (atomic_load(&nr_failures)) {
		log_err("selftest: FAIL %s", test->name);
		return false;
	}
	log_info("selftest: ok %s", test->name);
	return true;
}

static int selftest_run(void)
{
	const char *wanted = boot_option("nos.selftest");
	unsigned passed = 0, failed = 0;

	if (!wanted)
		return 0;
	for (const struct unit_test *t = __start_unit_tests; t < __stop_unit_tests; t++) {
		if (!strstr(t->name, wanted))
			continue;
		if (selftest_passes(t))
			passed++;
		else
			failed++;
	}
	log_info("selftest: %u passed, %u failed", passed, failed);
	arch_debug_exit(failed ? EXIT_CODE_FAILED : EXIT_CODE_PASSED);
	arch_power_off();
}

INIT_STEP(INIT_LATE, selftest_run);
#endif
