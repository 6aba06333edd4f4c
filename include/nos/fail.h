/*
 * Failures on demand, of debug kernels (core/fail.c): the n-th, or random,
 * allocations or user copies of the threads that asked for it fail.
 */
#pragma once

#include <nos/types.h>

enum fail_point { FAIL_ALLOC, FAIL_COPY, NR_FAIL_POINTS };

#if defined(DEBUG) && !defined(NOS_HOST)
/* Whether this call is to fail; `name`: which cache, or "page". */
bool fail_now(enum fail_point p, const char *name);
/* "nth N [NAME]", "random N SEED [NAME]" (one of N), "off"; the current thread and those that it
 * starts are subject to it.  -EINVAL. */
int fail_arm(enum fail_point p, const char *text);
struct fail_state {
	bool is_armed;
	u64 calls, failed; /* since it was armed */
};
struct fail_state fail_state_read(enum fail_point p);
#else
static inline bool fail_now(enum fail_point p, const char *name)
{
	return false;
}
#endif
