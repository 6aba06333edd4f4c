/* Makes the n-th allocation fail, for the tests that repeat themselves with each failing in turn. */
#include "page_internal.h"

#include <nos/test.h>

static u32 fail_countdown; /* 0: off */
static bool has_failed;

void test_fail_allocation(unsigned n)
{
	has_failed = false;
	atomic_store(&fail_countdown, n);
}

bool test_allocation_failed(void)
{
	return has_failed;
}

bool test_allocation_fails(void)
{
	if (likely(atomic_load_relaxed(&fail_countdown) == 0))
		return false;
	if (atomic_sub(&fail_countdown, 1) != 0)
		return false;
	has_failed = true;
	return true;
}
