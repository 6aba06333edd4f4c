/*
 * Unit tests that run both on the host (under sanitizers) and inside the
 * kernel (boot option nos.selftest).  A test file stands beside its module:
 *
 *	TEST(ring_wraps)
 *	{
 *		EXPECT_EQ(ring_write(&r, "abc", 3), 3);
 *	}
 */
#pragma once

#include <nos/types.h>

struct unit_test {
	const char *name;
	void (*run)(void);
};

/* Marks the running test as failed and says where; the test goes on. */
void unit_test_fail(const char *file, int line, const char *format, ...) __printf(3, 4);

/* In the kernel: runs those whose name contains `pattern`, and ends the machine. */
void unit_test_run_all(const char *pattern);

#define TEST(test_name)                                                                            \
	static void test_##test_name(void);                                                        \
	static const struct unit_test unit_test_##test_name __section("unit_tests")                \
		__aligned(8) = { .name = #test_name, .run = test_##test_name };                    \
	static void test_##test_name(void)

#define EXPECT(cond)                                                                               \
	do {                                                                                       \
		if (!(cond))                                                                       \
			unit_test_fail(__FILE__, __LINE__, "%s", #cond);                           \
	} while (0)
#define EXPECT_EQ(a, b)                                                                            \
	do {                                                                                       \
		long long _expect_a = (long long)(a), _expect_b = (long long)(b);                  \
		if (_expect_a != _expect_b)                                                        \
			unit_test_fail(__FILE__, __LINE__, "%s == %lld, not %s (%lld)", #a,        \
				       _expect_a, #b, _expect_b);                                  \
	} while (0)

/* Fault injection of the allocator: the n-th allocation from now fails (0 = off). */
void test_fail_allocation(unsigned n);
/* True if the failure armed above has happened. */
bool test_allocation_failed(void);
/* Runs `body` with the 1st, 2nd, 3rd … allocation failing until none fails any more. */
#define TEST_EACH_ALLOCATION_FAILING(body)                                                         \
	for (unsigned _nth = 1;; _nth++) {                                                         \
		test_fail_allocation(_nth);                                                        \
		body;                                                                              \
		bool _failed = test_allocation_failed();                                           \
		test_fail_allocation(0);                                                           \
		if (!_failed)                                                                      \
			break;                                                                     \
	}

#ifdef NOS_HOST
/* User memory of tests that need tests/host/user.c: mapped, and mappable by a fault, up to there. */
#define HOST_USER_BYTES (64u << 10)
extern u8 host_user[HOST_USER_BYTES];
extern size_t host_user_present, host_user_mappable;
#endif
