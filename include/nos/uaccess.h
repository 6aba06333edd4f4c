/*
 * Access to the current process's memory (arch).  For linux/ and for the
 * user kind of struct iobuf and struct user_arg only.
 *
 * All may fault and sleep unless user_fault_disable() is in force, then they
 * fail instead.  Addresses are checked by masking to the user half; SMAP is opened
 * only inside these functions.
 */
#pragma once

#include <nos/types.h>

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
void user_fault_disable(void);
void user_fault_enable(void);
bool user_fault_is_disabled(void);

/* One object. */
#define get_user(object, from)                                                                     \
	(copy_from_user(&(object), (from), sizeof(object)) ? -EFAULT : 0)
#define put_user(object, to)                                                                       \
	({                                                                                         \
		__auto_type _put_value = (object);                                                 \
		copy_to_user((to), &_put_value, sizeof(_put_value)) ? -EFAULT : 0;                 \
	})
