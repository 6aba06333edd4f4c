/*
 * Shadow memory of the sanitizing kernel (arch/x86_64/shadow.c; docs/testing.md).
 * One shadow byte says of eight bytes of kernel memory which of them may be
 * accessed; compiled code looks at it before each access.  Other kernels have
 * none of this.
 */
#pragma once

#include <nos/types.h>

/* Why memory may not be accessed; the compiler writes the ones from F1 to F9 itself. */
enum shadow_reason {
	SHADOW_STACK_LEFT = 0xf1,
	SHADOW_STACK_MIDDLE = 0xf2,
	SHADOW_STACK_RIGHT = 0xf3,
	SHADOW_STACK_SCOPE = 0xf8, /* a variable whose block has ended */
	SHADOW_GLOBAL = 0xf9,
	SHADOW_SLAB_FREE = 0xfb,
	SHADOW_SLAB_ZONE = 0xfc, /* between objects, and objects never handed out */
	SHADOW_TAIL = 0xfe, /* behind what was asked for */
	SHADOW_PAGE_FREE = 0xff,
};

/* Frames of return addresses kept with an allocation: their low halves. */
#define TRACE_LENGTH 8u
struct sanitize_trace {
	u32 thread; /* low half of its address */
	u32 mark; /* number of marks before it (mm/leak.c) */
	u32 pc[TRACE_LENGTH]; /* 0 ends it */
};

#ifdef SANITIZE
/* [p, p + len) may not be accessed.  p is a multiple of 8, len is rounded up. */
void shadow_poison(const void *p, size_t len, enum shadow_reason why);
/* Exactly [p, p + len) may be accessed; p is a multiple of 8. */
void shadow_unpoison(const void *p, size_t len);
/* The reason that stands for the byte at p; 0: it may be accessed. */
u8 shadow_at(const void *p);
/* Real shadow for [p, p + len), which may be accessed from now on; may sleep; -ENOMEM.
 * 1: all CPUs must flush their TLBs before the memory is used. */
int shadow_map(const void *p, size_t len) __must_check;
/* Who called, from `skip` callers up, by frame pointers; cheap. */
void sanitize_trace_here(struct sanitize_trace *t, unsigned skip);
void sanitize_trace_print(const char *what, const struct sanitize_trace *t);
/* The running thread leaves its stack's frames for good: what they poisoned is open again. */
void __asan_handle_no_return(void);

/* Core: an access that the shadow forbids; never returns. */
void sanitize_report(u64 address, size_t len, bool is_write) __noreturn;
/* Core: free() of what is not a live object. */
void sanitize_report_free(const void *p, const char *what) __noreturn;
/* Core: whether this user copy is to fail (<nos/fail.h>). */
bool sanitize_copy_fails(void);
/* mm: says to whom the address belongs, and who allocated and freed that. */
void sanitize_describe(const void *p);
/* Arch: the variables of the stack frame that the address is in. */
void sanitize_describe_stack(const void *p);
/* Arch: the compiler's record of the global variable that the address is in or behind. */
void sanitize_describe_global(const void *p);
#else
static inline void shadow_poison(const void *p, size_t len, enum shadow_reason why)
{
}
static inline void shadow_unpoison(const void *p, size_t len)
{
}
static inline int shadow_map(const void *p, size_t len)
{
	return 0;
}
#endif
