/*
 * Access to the current process's memory (arch).  For linux/ and for the
 * user kind of struct iobuf and struct user_arg only.
 *
 * All may fault and sleep unless user_fault_disable() is in force, then they
 * fail instead.  Addresses are checked by masking to the user half; SMAP is opened
 * only inside these functions.
 */
#pragma once

#include <nos/arch.h>
#include <nos/cpu.h>
#include <nos/errno.h>
#include <nos/types.h>

/*
 * While it is on, the bytes that copy_from_user and copy_to_user are asked for
 * are counted (copy.from_user_bytes and copy.to_user_bytes of
 * /proc/nos/counters); single objects of up to two words and strings are not.
 */
struct static_key;
extern struct static_key user_copies_key;

/* Bytes NOT copied: 0 is success.  copy_from_user does not zero the rest. */
size_t copy_from_user(void *to, const void __user *from, size_t n) __must_check;
size_t copy_to_user(void __user *to, const void *from, size_t n) __must_check;
size_t clear_user(void __user *to, size_t n) __must_check;
/* Length without the NUL, copied with it; -EFAULT, or `size` if no NUL within size. */
ssize_t string_from_user(char *to, const char __user *from, size_t size) __must_check;
/* Aligned single words, atomic with respect to other CPUs; 0 or -EFAULT. */
int user_load_u32(u32 *value, const u32 __user *from) __must_check;
int user_load_u64(u64 *value, const u64 __user *from) __must_check;
int user_store_u32(u32 __user *to, u32 value) __must_check;
int user_store_u64(u64 __user *to, u64 value) __must_check;
/* *old = value before; -EFAULT.  Stores `value` only if it was `expected`. */
int user_cas_u32(u32 __user *p, u32 expected, u32 value, u32 *old) __must_check;

/* While disabled (nests, preemption off) a user fault makes the copy stop, not sleep. */
#ifdef NOS_HOST
void user_fault_disable(void);
void user_fault_enable(void);
#else
DECLARE_PERCPU(struct thread *, this_thread);
static inline void user_fault_disable(void)
{
	thread_arch(this_cpu_read(this_thread))->user_fault_disabled++;
	barrier();
}
static inline void user_fault_enable(void)
{
	barrier();
	thread_arch(this_cpu_read(this_thread))->user_fault_disabled--;
}
#endif
bool user_fault_is_disabled(void);

/* Sixteen bytes as two words. */
int user_store_pair(void __user *to, u64 first, u64 second) __must_check;
/* Twelve bytes. */
int user_store_u32_u64(void __user *to, u32 first, u64 second) __must_check;

/* One object: 0 or -EFAULT.  The sizes that calls use most take one step. */
static __always_inline int user_get_object(void *to, const void __user *from, size_t n)
{
	if (n == sizeof(u32))
		return user_load_u32(to, (const u32 __user *)from);
	if (n == sizeof(u64))
		return user_load_u64(to, (const u64 __user *)from);
	return copy_from_user(to, from, n) ? -EFAULT : 0;
}
static __always_inline int user_put_object(void __user *to, const void *from, size_t n)
{
	u64 words[2];

	if (n == sizeof(u32)) {
		__builtin_memcpy(words, from, sizeof(u32));
		return user_store_u32((u32 __user *)to, (u32)words[0]);
	}
	if (n == sizeof(u64)) {
		__builtin_memcpy(words, from, sizeof(u64));
		return user_store_u64((u64 __user *)to, words[0]);
	}
	if (n == 2 * sizeof(u64)) {
		__builtin_memcpy(words, from, 2 * sizeof(u64));
		return user_store_pair(to, words[0], words[1]);
	}
	return copy_to_user(to, from, n) ? -EFAULT : 0;
}
#define get_user(object, from) user_get_object(&(object), (from), sizeof(object))
/* The address of a field of a user's struct, which may lie at any address. */
#define user_field(p, field) ((typeof(&(p)->field))((uintptr_t)(p) + offsetof(typeof(*(p)), field)))
#define put_user(object, to)                                                                       \
	({                                                                                         \
		__auto_type _put_value = (object);                                                 \
		user_put_object((to), &_put_value, sizeof(_put_value));                            \
	})
