/*
 * /proc/nos/fail_alloc and fail_copy, of debug kernels: allocations and user
 * copies that fail on demand (core/fail.c says what can be written).
 */
#ifdef DEBUG

#include <nos/fail.h>

#include "proc.h"

static int show_fail(struct text_out *out, void *arg)
{
	struct fail_state s = fail_state_read((enum fail_point)(uintptr_t)arg);

	text_printf(out, "armed %d\ncalls %llu\nfailed %llu\n", s.is_armed,
		    (unsigned long long)s.calls, (unsigned long long)s.failed);
	return 0;
}

static ssize_t store_fail(const char *text, size_t len, void *arg)
{
	int err = fail_arm((enum fail_point)(uintptr_t)arg, text);

	return err ? err : (ssize_t)len;
}

PSEUDO_FILE(fail_alloc_file, .path = "proc/nos/fail_alloc", .mode = 0600, .show = show_fail,
	    .store = store_fail, .arg = (void *)FAIL_ALLOC);
#ifdef SANITIZE
PSEUDO_FILE(fail_copy_file, .path = "proc/nos/fail_copy", .mode = 0600, .show = show_fail,
	    .store = store_fail, .arg = (void *)FAIL_COPY);
#endif

#endif
