/* poll(2), ppoll(2), select(2), pselect(2). */
#include "syscalls.h"
#include "timespec.h"
#include "user_path.h"

#include <nos/file.h>
#include <nos/ipc.h>
#include <nos/rcu.h>
#include <nos/slab.h>
#include <nos/string.h>
#include <nos/task.h>
#include <linux/poll.h>

static_assert(sizeof(struct pollfd) == sizeof(struct poll_item), "struct pollfd");

#define POLL_INLINE 128u /* descriptors handled on the stack */

static int signal_mask_from_user(const void __user *mask, size_t size)
{
	signal_set_t set;

	if (!mask)
		return 0;
	if (size != sizeof(set))
		return -EINVAL;
	if (get_user(set, mask))
		return -EFAULT;
	signal_set_temporary_mask(set);
	return 0;
}

/* ---- poll ---- */

#define OR_OF_8(w) ((w)[0] | (w)[1] | (w)[2] | (w)[3] | (w)[4] | (w)[5] | (w)[6] | (w)[7])

/* All words together.  Unrolled by hand: link-time optimisation forgets the pragma that asks for it. */
static u64 any_bits(const u64 *word, u32 nr)
{
	const u64 *end = word + nr;
	u64 any = 0;

	for (; word + 16 <= end; word += 16)
		any |= OR_OF_8(word) | OR_OF_8(word + 8);
	while (word < end)
		any |= *word++;
	return any;
}

static long poll_until(struct pollfd __user *fds, u32 nr, u64 deadline_ns)
{
	struct poll_item first[POLL_INLINE], *items = first;
	scoped_kfree struct poll_item *many = NULL;
	u64 before;
	int count;

	if (nr > process_nofile_limit())
		return -EINVAL;
	if (nr > POLL_INLINE) {
		items = many = kcalloc(nr, sizeof(*items), ALLOC_USER);
		if (!many)
			return -ENOMEM;
	}
	if (copy_from_user(items, fds, nr * sizeof(*items)))
		return -EFAULT;
	before = any_bits((const u64 *)items, nr);
	for (u32 i = 0; i < nr && unlikely(before >> 48); i++)
		items[i].got = 0;

	count = poll_items(items, nr, POLLERR | POLLHUP, deadline_ns);
	if (unlikely(!nr) && !user_range_ok((u64)fds, 0))
		return -EFAULT;
	/* Only `revents` is the kernel's to write.  Mostly none was set, and few are now. */
	if (count == 0 && before >> 48 == 0)
		return 0;
	/* Interrupted: nothing is ready, and that is written too. */
	for (u32 i = 0; i < nr && (count >= 0 || count == -ERESTARTNOHAND); i++)
		if ((items[i].got || before >> 48) &&
		    put_user(items[i].got, user_field(&fds[i], revents)))
			return -EFAULT;
	return count;
}

static long poll_restart(struct task *t)
{
	long n = poll_until((struct pollfd __user *)t->restart_data[0], (u32)t->restart_data[1],
			    t->restart_data[2]);

	return n == -ERESTARTNOHAND ? -ERESTART_RESTARTBLOCK : n;
}

/* Apart, for a call that does not wait needs no clock, nor the stack that its arithmetic wants. */
static __noinline u64 deadline_after_ms(u64 timeout_ms)
{
	return deadline_after(timeout_ms * NSEC_PER_MSEC);
}

long sys_poll(void __user *fds, unsigned int nfds, int timeout_ms)
{
	struct task *t = task_current();
	u64 deadline_ns = 0;
	long n;

	if (timeout_ms)
		deadline_ns = timeout_ms < 0 ? TIME_NEVER : deadline_after_ms((u64)timeout_ms);
	n = poll_until(fds, nfds, deadline_ns);
	if (n != -ERESTARTNOHAND)
		return n;
	t->restart = poll_restart;
	t->restart_data[0] = (u64)fds;
	t->restart_data[1] = nfds;
	t->restart_data[2] = deadline_ns;
	return -ERESTART_RESTARTBLOCK;
}

long sys_ppoll(void __user *fds, unsigned int nfds, void __user *timeout,
	       const void __user *sigmask, size_t set_size)
{
	u64 deadline_ns;
	long n = deadline_from_user(timeout, &deadline_ns);

	if (!n)
		n = signal_mask_from_user(sigmask, set_size);
	if (n)
		return n;
	n = poll_until(fds, nfds, deadline_ns);
	if (timeout) {
		/* The rest of the time; a call that is restarted goes on with it. */
		struct __kernel_timespec left = timespec_from_ns(deadline_left(deadline_ns));

		if (put_user(left, timeout) && n == -ERESTARTNOHAND)
			n = -EINTR;
	}
	return n;
}

/* ---- select ---- */

#define SELECT_IN (POLLRDNORM | POLLRDBAND | POLLIN | POLLHUP | POLLERR)
#define SELECT_OUT (POLLWRBAND | POLLWRNORM | POLLOUT | POLLERR)
#define SELECT_EXCEPT POLLPRI
static const u16 select_bits[3] = { SELECT_IN, SELECT_OUT, SELECT_EXCEPT };

#define SELECT_INLINE_WORDS 4u /* of each set on the stack: 256 descriptors */

/* Descriptors past the table's size are not looked at. */
static u32 select_limit(int nfds)
{
	u32 size;

	rcu_read_lock();
	size = rcu_load(fd_table_current()->array)->size;
	rcu_read_unlock();
	return min((u32)nfds, size);
}

/* The items that the three sets ask for; how many. */
static u32 select_collect(u64 *const sets[3], u32 words, struct poll_item *items)
{
	u32 nr = 0;

	for (u32 w = 0; w < words; w++) {
		u64 any = sets[0][w] | sets[1][w] | sets[2][w];

		for (; any; any &= any - 1) {
			u32 b = (u32)__builtin_ctzll(any);
			u16 wanted = 0;

			for (u32 k = 0; k < 3; k++)
				if ((sets[k][w] >> b) & 1)
					wanted |= select_bits[k];
			if (items)
				items[nr] = (struct poll_item){ (s32)(w * 64 + b), wanted, 0 };
			nr++;
		}
	}
	return nr;
}

/* O_PATH: as on Linux, what can't be waited for is ready for everything. */
static bool is_open(int fd)
{
	scoped_fd r = fd_lookup_any(fd);

	return r.file != NULL;
}

/* Turns the sets into the answer; how many bits are set, or -EBADF. */
static int select_answer(u64 *const sets[3], const struct poll_item *items, u32 nr)
{
	int count = 0;

	for (u32 i = 0; i < nr; i++) {
		bool is_path = (items[i].got & POLLNVAL) && is_open(items[i].fd);

		if ((items[i].got & POLLNVAL) && !is_path)
			return -EBADF;
		for (u32 k = 0; k < 3; k++) {
			if (!bitmap_test(sets[k], (size_t)items[i].fd))
				continue;
			if ((items[i].got & select_bits[k]) || is_path)
				count++;
			else
				bitmap_clear(sets[k], (size_t)items[i].fd);
		}
	}
	return count;
}

static int select_sets(u64 *const sets[3], u32 words, u64 deadline_ns)
{
	struct poll_item first[POLL_INLINE], *items = first;
	scoped_kfree struct poll_item *many = NULL;
	u32 nr = select_collect(sets, words, NULL);
	int count;

	if (nr > POLL_INLINE) {
		items = many = kcalloc(nr, sizeof(*items), ALLOC_USER);
		if (!many)
			return -ENOMEM;
	}
	select_collect(sets, words, items);
	count = poll_items(items, nr, 0, deadline_ns);
	return count < 0 ? count : select_answer(sets, items, nr);
}

static long select_until(int nfds, void __user *const user[3], u64 deadline_ns)
{
	u64 first[3 * SELECT_INLINE_WORDS] = { 0 }, *space = first;
	scoped_kfree u64 *many = NULL;
	u64 *sets[3];
	u32 words, bytes;
	int count;

	if (nfds < 0)
		return -EINVAL;
	nfds = (int)select_limit(nfds);
	words = div_round_up((u32)nfds, 64u);
	bytes = div_round_up((u32)nfds, 64u) * 8;
	if (words > SELECT_INLINE_WORDS) {
		space = many = kcalloc(3ul * words, sizeof(*space), ALLOC_USER);
		if (!many)
			return -ENOMEM;
	}
	for (u32 k = 0; k < 3; k++) {
		sets[k] = space + k * words;
		if (user[k] && copy_from_user(sets[k], user[k], bytes))
			return -EFAULT;
		if (nfds % 64 && words)
			sets[k][words - 1] &= (1ull << (nfds % 64)) - 1;
	}
	count = select_sets(sets, words, deadline_ns);
	if (count < 0)
		return count;
	for (u32 k = 0; k < 3; k++)
		if (user[k] && copy_to_user(user[k], sets[k], bytes))
			return -EFAULT;
	return count;
}

long sys_select(int nfds, void __user *in, void __user *out, void __user *except,
		void __user *timeout)
{
	void __user *const user[3] = { in, out, except };
	struct __kernel_old_timeval tv;
	u64 deadline_ns = TIME_NEVER;
	long n;

	if (timeout) {
		if (get_user(tv, timeout))
			return -EFAULT;
		struct __kernel_timespec t = {
			.tv_sec = tv.tv_sec + tv.tv_usec / 1000000,
			.tv_nsec = (tv.tv_usec % 1000000) * NSEC_PER_USEC,
		};
		if (!timespec_is_valid(&t) || tv.tv_usec < 0)
			return -EINVAL;
		deadline_ns = deadline_after(timespec_to_ns(&t));
	}
	n = select_until(nfds, user, deadline_ns);
	if (timeout) {
		u64 left = deadline_left(deadline_ns);

		tv.tv_sec = (s64)(left / NSEC_PER_SEC);
		tv.tv_usec = (s64)(left % NSEC_PER_SEC) / NSEC_PER_USEC;
		if (put_user(tv, timeout) && n == -ERESTARTNOHAND)
			n = -EINTR;
	}
	return n;
}

long sys_pselect6(int nfds, void __user *in, void __user *out, void __user *except,
		  void __user *timeout, const void __user *sigmask)
{
	void __user *const user[3] = { in, out, except };
	struct {
		u64 mask, size;
	} packed = { 0, 0 };
	u64 deadline_ns;
	long n;

	if (sigmask && get_user(packed, sigmask))
		return -EFAULT;
	n = deadline_from_user(timeout, &deadline_ns);
	if (!n)
		n = signal_mask_from_user((const void __user *)packed.mask, packed.size);
	if (n)
		return n;
	n = select_until(nfds, user, deadline_ns);
	if (timeout) {
		struct __kernel_timespec left = timespec_from_ns(deadline_left(deadline_ns));

		if (put_user(left, timeout) && n == -ERESTARTNOHAND)
			n = -EINTR;
	}
	return n;
}
