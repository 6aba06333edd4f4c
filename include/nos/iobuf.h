/*
 * Where bytes come from or go to: user memory, kernel memory, or folios
 * behind one interface (core/iobuf.c).  Everything below linux/ moves data
 * through it.
 *
 * A transfer advances the buffer.  User memory may fault, and the copy then
 * sleeps; inside iobuf_atomic_begin/end it stops short instead, and the caller
 * drops its locks, calls iobuf_fault_in, and retries.
 */
#pragma once

#include <nos/types.h>

struct iobuf_segment {
	u64 base; /* user or kernel address; same layout as struct iovec */
	u64 len;
};

enum iobuf_kind { IOBUF_USER, IOBUF_KERNEL };

struct iobuf {
	u32 kind; /* beside the next, so that both are compared at once */
	u32 nr_segments; /* left, the current one included */
	const struct iobuf_segment *segment;
	u64 segment_offset; /* consumed of the current segment */
	u64 remaining; /* bytes left in all */
	u64 flags; /* IOBUF_ flags */
	struct iobuf_segment single;
};

/* Per-call modifiers that files look at (RWF_*, O_NONBLOCK of the call). */
#define IOBUF_NOWAIT 1u
#define IOBUF_APPEND 2u
#define IOBUF_DSYNC 4u
#define IOBUF_HIPRI 8u
/* Kernel memory, each segment in one folio that the caller holds: a file may keep a reference on it
 * instead of a copy.  Its bytes may change. */
#define IOBUF_FOLIOS 16u

/* One range.  The caller has checked the user range (linux/), or owns the kernel memory. */
static inline void iobuf_init_user(struct iobuf *b, u64 base, u64 len)
{
	b->kind = IOBUF_USER;
	b->flags = 0;
	b->nr_segments = 1;
	b->segment = &b->single;
	b->segment_offset = 0;
	b->remaining = len;
	b->single.base = base;
	b->single.len = len;
}
static inline void iobuf_init_kernel(struct iobuf *b, void *base, u64 len)
{
	iobuf_init_user(b, (u64)(uintptr_t)base, len);
	b->kind = IOBUF_KERNEL;
}
void iobuf_init_segments(struct iobuf *b, enum iobuf_kind kind, const struct iobuf_segment *s,
			 u32 nr);

/* Copies min(len, remaining) bytes into the buffer, or out of it; returns the number copied, which
 * is less only after a fault (0 remaining bytes → 0). */
size_t iobuf_put(struct iobuf *to, const void *from, size_t len) __must_check;
size_t iobuf_get(struct iobuf *from, void *to, size_t len) __must_check;
size_t iobuf_put_zero(struct iobuf *to, size_t len) __must_check;
/* Two numbers side by side, 12 bytes: whether both fitted and were copied. */
bool iobuf_put_pair(struct iobuf *to, u32 first, u64 second) __must_check;
/* Goes forward without copying, or back by what was consumed. */
void iobuf_advance(struct iobuf *b, size_t len);
void iobuf_revert(struct iobuf *b, size_t len);
/* Limits what is left. */
void iobuf_truncate(struct iobuf *b, u64 len);
/* Touches up to `len` next bytes so that an atomic copy can go on; bytes accessible, 0 = none. */
size_t iobuf_fault_in(struct iobuf *b, size_t len, bool for_write);
void iobuf_atomic_begin(void);
void iobuf_atomic_end(void);

/*
 * An ioctl's or sockopt's third argument: a number, or a pointer to user (or, in tests, kernel)
 * memory.
 */
struct user_arg {
	u64 value;
	bool is_kernel;
};
int user_arg_read(struct user_arg a, void *to, size_t len) __must_check; /* 0 or -EFAULT */
int user_arg_write(struct user_arg a, const void *from, size_t len) __must_check;
static inline struct user_arg user_arg_offset(struct user_arg a, u64 bytes)
{
	a.value += bytes;
	return a;
}
