/*
 * User memory for unit tests on the host: host_user, of which the first host_user_present bytes are
 * mapped, and those up to host_user_mappable come when a copy that may sleep touches them.
 */
#include <nos/test.h>
#include <nos/uaccess.h>
#include <nos/string.h>

u8 host_user[HOST_USER_BYTES] __aligned(4096);
size_t host_user_present, host_user_mappable;
static __thread unsigned fault_disabled;

void user_fault_disable(void)
{
	fault_disabled++;
}

void user_fault_enable(void)
{
	fault_disabled--;
}

bool user_fault_is_disabled(void)
{
	return fault_disabled != 0;
}

/* How many of the n bytes at `at` can be reached. */
static size_t reachable(const void *at, size_t n)
{
	size_t offset = (size_t)((const u8 *)at - host_user), end;

	if (offset >= sizeof(host_user))
		return 0;
	end = offset + n;
	if (end > host_user_present && !fault_disabled)
		host_user_present = max(host_user_present,
					min(align_up(end, (size_t)PAGE_SIZE), host_user_mappable));
	end = min(end, host_user_present);
	return end > offset ? end - offset : 0;
}

size_t copy_from_user(void *to, const void __user *from, size_t n)
{
	size_t can = reachable((const void *)from, n);

	memcpy(to, (const void *)from, can);
	return n - can;
}

size_t copy_to_user(void __user *to, const void *from, size_t n)
{
	size_t can = reachable((const void *)to, n);

	memcpy((void *)to, from, can);
	return n - can;
}

size_t clear_user(void __user *to, size_t n)
{
	size_t can = reachable((const void *)to, n);

	memset((void *)to, 0, can);
	return n - can;
}
