/* futex(2), futex_waitv(2). */
#include "syscalls.h"
#include "timespec.h"

#include <nos/ipc.h>
#include <nos/slab.h>
#include <nos/task.h>

#include <linux/futex.h>
#include <linux/time.h>

/* restart_data: address, value, bitset, deadline, flags. */
static long wait_again(struct task *t)
{
	long result =
		futex_wait(t->restart_data[0], (u32)t->restart_data[1], (u32)t->restart_data[2],
			   t->restart_data[3], (u32)t->restart_data[4]);

	if (result != -ERESTARTSYS)
		return result;
	t->restart = wait_again;
	return -ERESTART_RESTARTBLOCK;
}

/* Without a timeout the call can simply be made again; a relative one must not start over. */
static long wait(u64 address, u32 value, u32 bitset, u64 deadline, u32 flags)
{
	struct task *t = task_current();
	long result = futex_wait(address, value, bitset, deadline, flags);

	if (result != -ERESTARTSYS || deadline == TIME_NEVER)
		return result;
	t->restart_data[0] = address;
	t->restart_data[1] = value;
	t->restart_data[2] = bitset;
	t->restart_data[3] = deadline;
	t->restart_data[4] = flags;
	t->restart = wait_again;
	return -ERESTART_RESTARTBLOCK;
}

/* The timeout of those commands that have one, as a deadline. */
static int read_timeout(int command, unsigned long timeout, u64 *deadline)
{
	struct __kernel_timespec ts;

	*deadline = TIME_NEVER;
	if (!timeout)
		return 0;
	if (get_user(ts, (const struct __kernel_timespec __user *)timeout))
		return -EFAULT;
	if (!timespec_is_valid(&ts))
		return -EINVAL;
	if (command == FUTEX_WAIT)
		*deadline = deadline_after(timespec_to_ns(&ts));
	else
		*deadline = timespec_to_ns(&ts);
	/* An elapsed relative timeout still looks at the word once. */
	if (*deadline == 0)
		*deadline = 1;
	return 0;
}

/* All but the plain wake-up and the wait without a limit, which are by far the most frequent. */
static __noinline long other_command(u64 address, int op, u32 val, unsigned long timeout,
				     const void __user *word2, u32 val3)
{
	int command = op & FUTEX_CMD_MASK, err;
	u32 flags = (op & FUTEX_PRIVATE_FLAG ? 0 : FUTEX_OP_SHARED) |
		    (op & FUTEX_CLOCK_REALTIME ? FUTEX_OP_REALTIME : 0);
	u64 deadline;

	if ((flags & FUTEX_OP_REALTIME) && command != FUTEX_WAIT_BITSET &&
	    command != FUTEX_LOCK_PI2 && command != FUTEX_WAIT_REQUEUE_PI) {
		bool timed = command == FUTEX_WAIT || command == FUTEX_LOCK_PI;

		err = timed ? read_timeout(command, timeout, &deadline) : 0;
		return err ? err : -ENOSYS;
	}
	switch (command) {
	case FUTEX_WAIT:
	case FUTEX_WAIT_BITSET:
		err = read_timeout(command, timeout, &deadline);
		if (err)
			return err;
		return wait(address, val, command == FUTEX_WAIT ? FUTEX_BITSET_MATCH_ANY : val3,
			    deadline, flags);
	case FUTEX_WAKE_BITSET:
		return futex_wake(address, val, val3, flags);
	case FUTEX_REQUEUE:
		return futex_requeue(address, (u64)word2, (s32)val, (s32)timeout, NULL, flags);
	case FUTEX_CMP_REQUEUE:
		return futex_requeue(address, (u64)word2, (s32)val, (s32)timeout, &val3, flags);
	case FUTEX_WAKE_OP:
		return futex_wake_op(address, (u64)word2, val, (u32)timeout, val3, flags);
	case FUTEX_LOCK_PI:
	case FUTEX_LOCK_PI2:
		/* LOCK_PI is older than the flag and always means CLOCK_REALTIME. */
		if (command == FUTEX_LOCK_PI)
			flags |= FUTEX_OP_REALTIME;
		err = read_timeout(command, timeout, &deadline);
		return err ? err : futex_lock_pi(address, deadline, false, flags);
	case FUTEX_TRYLOCK_PI:
		return futex_lock_pi(address, TIME_NEVER, true, flags);
	case FUTEX_WAIT_REQUEUE_PI:
		err = read_timeout(command, timeout, &deadline);
		/* val3 is a bit mask that Linux sets itself. */
		return err ? err :
			     futex_wait_requeue_pi(address, val, FUTEX_BITSET_MATCH_ANY, deadline,
						   (u64)word2, flags);
	case FUTEX_CMP_REQUEUE_PI:
		return futex_requeue_pi(address, (u64)word2, (s32)val, (s32)timeout, val3, flags);
	case FUTEX_UNLOCK_PI:
		return futex_unlock_pi(address, flags);
	default:
		return -ENOSYS;
	}
}

long sys_futex(void __user *word, int op, unsigned int val, unsigned long timeout,
	       void __user *word2, unsigned int val3)
{
	if (likely((op & ~FUTEX_PRIVATE_FLAG) == FUTEX_WAKE))
		return futex_wake((u64)word, val, FUTEX_BITSET_MATCH_ANY,
				  op & FUTEX_PRIVATE_FLAG ? 0 : FUTEX_OP_SHARED);
	if (likely((op & ~FUTEX_PRIVATE_FLAG) == FUTEX_WAIT && !timeout))
		return futex_wait((u64)word, val, FUTEX_BITSET_MATCH_ANY, TIME_NEVER,
				  op & FUTEX_PRIVATE_FLAG ? 0 : FUTEX_OP_SHARED);
	return other_command((u64)word, op, val, timeout, word2, val3);
}

static int read_waiters(struct futex_wait_entry *entries, const void __user *waiters, unsigned nr)
{
	const struct futex_waitv __user *from = waiters;

	for (unsigned i = 0; i < nr; i++) {
		struct futex_waitv v;

		if (get_user(v, &from[i]))
			return -EFAULT;
		if ((v.flags & ~(u32)FUTEX_PRIVATE_FLAG) != FUTEX_32 || v.__reserved)
			return -EINVAL;
		entries[i].address = v.uaddr;
		entries[i].value = (u32)v.val;
		entries[i].flags = v.flags & FUTEX_PRIVATE_FLAG ? 0 : FUTEX_OP_SHARED;
	}
	return 0;
}

long sys_futex_waitv(void __user *waiters, unsigned int nr, unsigned int flags,
		     void __user *timeout, int clock)
{
	scoped_kfree struct futex_wait_entry *entries = NULL;
	struct __kernel_timespec ts;
	u64 deadline = TIME_NEVER;
	int err;

	if (flags || nr == 0 || nr > FUTEX_WAITV_LIMIT || !waiters)
		return -EINVAL;
	if (timeout) {
		if (clock != CLOCK_MONOTONIC && clock != CLOCK_REALTIME)
			return -EINVAL;
		if (get_user(ts, (const struct __kernel_timespec __user *)timeout))
			return -EFAULT;
		if (!timespec_is_valid(&ts))
			return -EINVAL;
		deadline = timespec_to_ns(&ts);
	}
	entries = kcalloc(nr, sizeof(*entries), 0);
	if (!entries)
		return -ENOMEM;
	err = read_waiters(entries, waiters, nr);
	return err ? err :
		     futex_wait_many(entries, nr, deadline,
				     clock == CLOCK_REALTIME ? FUTEX_OP_REALTIME : 0);
}
