/*
 * Robust futexes: locks in user memory whose owner dies.
 *
 * A thread keeps a list of the locks that it holds, in its own memory, and
 * tells the kernel where it begins (set_robust_list(2)).  At the end of the
 * thread each lock on it that still bears its number gets FUTEX_OWNER_DIED,
 * and one waiter is woken to find out.  The list is the user's to forge or to
 * make endless: every step may fail, and there is a limit on steps.
 *
 * get_robust_list(2); Documentation of the list's layout in <linux/futex.h>.
 */
#include "futex_internal.h"

#include <linux/futex.h>

/* Marks the word at `address`; pi: its waiters are told by futex_exit_pi instead. */
static int mark_dead(u64 address, bool pi, bool pending)
{
	u32 tid = (u32)futex_owner_current()->tid, word, old;

	if (address % sizeof(u32))
		return -EINVAL;
	if (user_load_u32(&word, futex_word(address)))
		return -EFAULT;
	for (;;) {
		/* Released between the unlock and the wake-up: the wake-up is done for it. */
		if (pending && !pi && (word & FUTEX_TID_MASK) == 0) {
			futex_wake_address(address, 1);
			return 0;
		}
		if ((word & FUTEX_TID_MASK) != tid)
			return 0;
		if (user_cas_u32(futex_word(address), word,
				 (word & FUTEX_WAITERS) | FUTEX_OWNER_DIED, &old))
			return -EFAULT;
		if (old == word)
			break;
		word = old;
	}
	if (!pi && (word & FUTEX_WAITERS))
		futex_wake_address(address, 1);
	return 0;
}

/* A pointer of the list; its lowest bit says that the lock inherits priorities. */
static int load_entry(u64 from, u64 *entry, bool *pi)
{
	u64 value;

	if (user_load_u64(&value, (const u64 __user *)from))
		return -EFAULT;
	*entry = value & ~1ull;
	*pi = value & 1;
	return 0;
}

void futex_exit_robust(u64 list_head)
{
	u64 entry, pending, next, offset;
	bool pi, pending_pi, next_pi;
	unsigned left = ROBUST_LIST_LIMIT;

	if (list_head % sizeof(u64) || load_entry(list_head, &entry, &pi) ||
	    user_load_u64(&offset, (const u64 __user *)(list_head + 8)) ||
	    load_entry(list_head + 16, &pending, &pending_pi))
		return;
	while (entry != list_head && left-- > 0) {
		int err = entry % sizeof(u64) ? -EINVAL : load_entry(entry, &next, &next_pi);

		if (entry != pending && mark_dead(entry + offset, pi, false))
			break;
		if (err)
			break;
		entry = next;
		pi = next_pi;
	}
	if (pending)
		(void)mark_dead(pending + offset, pending_pi, true);
}
