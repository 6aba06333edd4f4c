/* Reference counts that saturate instead of overflowing (Q5). */
#pragma once

#include <nos/assert.h>
#include <nos/types.h>

struct ref {
	u32 count;
};
#define REF_SATURATED 0xc0000000u
static inline void ref_init(struct ref *r, u32 n)
{
	WRITE_ONCE(r->count, n);
}
/* Another reference; the count must be > 0. */
static inline void ref_get(struct ref *r)
{
	u32 old = __atomic_fetch_add(&r->count, 1, __ATOMIC_RELAXED);

	ASSERT(old != 0);
	if (unlikely((s32)old < 0))
		WRITE_ONCE(r->count, REF_SATURATED);
}

static inline bool __must_check ref_get_unless_zero(struct ref *r)
{
	u32 old = atomic_load_relaxed(&r->count);

	do {
		if (old == 0)
			return false;
		if (unlikely((s32)old < 0))
			return true;
	} while (!__atomic_compare_exchange_n(&r->count, &old, old + 1, true, __ATOMIC_ACQUIRE,
					      __ATOMIC_RELAXED));
	return true;
}

/* Gives one back; true: that was the last one. */
static inline bool __must_check ref_put(struct ref *r)
{
	u32 old = __atomic_fetch_sub(&r->count, 1, __ATOMIC_ACQ_REL);

	ASSERT(old != 0);
	if (unlikely((s32)old <= 0)) {
		WRITE_ONCE(r->count, REF_SATURATED);
		return false;
	}
	return old == 1;
}

static inline u32 ref_read(const struct ref *r)
{
	return atomic_load_relaxed(&r->count);
}
