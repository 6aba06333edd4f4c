/* Path names and buffers from the user: for every family of calls that takes them. */
#pragma once

#include <nos/iobuf.h>
#include <nos/slab.h>
#include "syscalls.h"

#define MAX_RW_BYTES 0x7ffff000ul /* read(2): at most this is transferred */

/* A name copied in; short ones stay on the stack. */
struct user_path {
	const char *text;
	char *large;
	char small[184];
};
/* 0, -EFAULT, -ENAMETOOLONG, -ENOMEM; on success (and error) user_path_end is due. */
int user_path_get_long(struct user_path *p, const char __user *from, ssize_t n);
static inline int __must_check user_path_get(struct user_path *p, const char __user *from)
{
	ssize_t n = string_from_user(p->small, from, sizeof(p->small));

	p->large = NULL;
	p->text = p->small;
	return likely((size_t)n < sizeof(p->small)) ? 0 : user_path_get_long(p, from, n);
}
static inline void user_path_end(struct user_path *p)
{
	if (unlikely(p->large))
		kfree(p->large);
}
#define scoped_user_path __attribute__((cleanup(user_path_end))) struct user_path

/* True if [address, address + len) lies in the user half. */
static inline bool user_range_ok(u64 address, u64 len)
{
	return address <= USER_ADDRESS_END && len <= USER_ADDRESS_END - address;
}

/* A struct iovec array as a buffer; short ones on the stack. */
struct user_vec {
	struct iobuf_segment *large;
	struct iobuf_segment small[8];
};
/* 0, -EFAULT, -EINVAL (too many, lengths overflow), -ENOMEM. */
int user_vec_get(struct user_vec *v, struct iobuf *b, const void __user *vec,
		 unsigned long nr) __must_check;
static inline void user_vec_end(struct user_vec *v)
{
	if (unlikely(v->large))
		kfree(v->large);
}
#define scoped_user_vec __attribute__((cleanup(user_vec_end))) struct user_vec
