/* Prototypes of all system-call handlers, generated from syscalls.def, and the helpers they share. */
#pragma once

#include <nos/errno.h>
#include <nos/trap.h>
#include <nos/types.h>
#include <nos/uaccess.h>

#define SYSCALL_TYPE_fd int
#define SYSCALL_TYPE_user_out void __user *
#define SYSCALL_TYPE_user_in const void __user *
#define SYSCALL_TYPE_user_inout void __user *
#define SYSCALL_TYPE_user_string const char __user *
#define SYSCALL_TYPE_user_path const char __user *
#define SYSCALL_TYPE_int int
#define SYSCALL_TYPE_uint unsigned int
#define SYSCALL_TYPE_long long
#define SYSCALL_TYPE_ulong unsigned long
#define SYSCALL_TYPE_size size_t
#define SYSCALL_TYPE_offset s64
#define SYSCALL_TYPE_flags int
#define SYSCALL_TYPE_mode unsigned int
#define SYSCALL_TYPE_pid int
#define SYSCALL_TYPE_uid u32
#define SYSCALL_TYPE_signal int
#define SYSCALL_TYPE_address unsigned long
#define SYSCALL_TYPE_clock int

#define SYSCALL_ARG(kind, name) SYSCALL_TYPE_##kind name
#define SYSCALL_ARGS_0() void
#define SYSCALL_ARGS_1(a) SYSCALL_ARG a
#define SYSCALL_ARGS_2(a, b) SYSCALL_ARG a, SYSCALL_ARG b
#define SYSCALL_ARGS_3(a, b, c) SYSCALL_ARGS_2(a, b), SYSCALL_ARG c
#define SYSCALL_ARGS_4(a, b, c, d) SYSCALL_ARGS_3(a, b, c), SYSCALL_ARG d
#define SYSCALL_ARGS_5(a, b, c, d, e) SYSCALL_ARGS_4(a, b, c, d), SYSCALL_ARG e
#define SYSCALL_ARGS_6(a, b, c, d, e, f) SYSCALL_ARGS_5(a, b, c, d, e), SYSCALL_ARG f
#define SYSCALL_PICK(x, a, b, c, d, e, f, pick, ...) pick
#define SYSCALL_ARGS(...)                                                                          \
	SYSCALL_PICK(_ __VA_OPT__(, ) __VA_ARGS__, SYSCALL_ARGS_6, SYSCALL_ARGS_5, SYSCALL_ARGS_4, \
		     SYSCALL_ARGS_3, SYSCALL_ARGS_2, SYSCALL_ARGS_1, SYSCALL_ARGS_0)               \
	(__VA_ARGS__)

struct signal_info;
/* linux/signal.c: 0, -EFAULT, -E2BIG. */
int signal_info_from_user(struct signal_info *si, const void __user *info, int sig);

#define SYSCALL(nr, name, ...) long sys_##name(SYSCALL_ARGS(__VA_ARGS__));
#define SYSCALL_FRAME SYSCALL
#include "syscalls.def"
#undef SYSCALL
#undef SYSCALL_FRAME

/* ---- dispatch.c ---- */
extern syscall_fn syscall_handlers[NR_SYSCALL_SLOTS]; /* what it holds while nothing is patched */
/*
 * Puts another handler into a slot, at any time, and returns the one before.  Calls that are in the
 * old handler end there.
 */
syscall_fn syscall_patch(unsigned nr, syscall_fn handler);
const char *syscall_name(unsigned nr); /* NULL: there is no such call */

/* ---- call_count.c ---- */
/* A handler for every slot: counts, then goes on to syscall_handlers (entry.S). */
long syscall_counted(u64 a, u64 b, u64 c, u64 d, u64 e, u64 f);
/* One call that comes another way: of a traced thread. */
void syscall_count_slow(unsigned nr);
