/* Private to the futex files: keys and access to the word. */
#pragma once

#include <nos/aspace.h>
#include <nos/errno.h>
#include <nos/ipc.h>
#include <nos/thread.h>
#include <nos/uaccess.h>

/* What a futex is: a place in a shared object, or an address of one address space. */
struct futex_key {
	u64 object, offset;
};

static inline bool futex_key_equal(const struct futex_key *a, const struct futex_key *b)
{
	return a->object == b->object && a->offset == b->offset;
}

static inline int futex_key_get(u64 address, u32 flags, struct futex_key *k)
{
	struct aspace *a = current_thread->aspace;

	if (address % sizeof(u32))
		return -EINVAL;
	if (flags & FUTEX_OP_SHARED)
		return aspace_futex_key(a, address, true, &k->object, &k->offset);
	if (address > USER_ADDRESS_END - sizeof(u32))
		return -EFAULT;
	k->object = (u64)a;
	k->offset = address;
	return 0;
}

static inline u32 __user *futex_word(u64 address)
{
	return (u32 __user *)address;
}

/* A sleep whose deadline is on the clock that `flags` names; true: it was reached. */
static inline bool futex_block(u64 deadline_ns, u32 flags)
{
	return unlikely(flags & FUTEX_OP_REALTIME) ? thread_block_until_realtime(deadline_ns) :
						     thread_block_until(deadline_ns);
}
