/*
 * System calls for programs without a libc: the number and the arguments in,
 * the result or a negative errno out.
 */
#ifndef USER_SYSCALL_H
#define USER_SYSCALL_H

#include <stddef.h>
#include <stdint.h>
#include <asm/unistd.h>

static inline long syscall6(long nr, long a, long b, long c, long d, long e, long f)
{
	long ret;
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;

	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return ret;
}

#define SYSCALL_PICK(_1, _2, _3, _4, _5, _6, _7, name, ...) name
#define SYSCALL_1(nr) syscall6(nr, 0, 0, 0, 0, 0, 0)
#define SYSCALL_2(nr, a) syscall6(nr, (long)(a), 0, 0, 0, 0, 0)
#define SYSCALL_3(nr, a, b) syscall6(nr, (long)(a), (long)(b), 0, 0, 0, 0)
#define SYSCALL_4(nr, a, b, c) syscall6(nr, (long)(a), (long)(b), (long)(c), 0, 0, 0)
#define SYSCALL_5(nr, a, b, c, d) syscall6(nr, (long)(a), (long)(b), (long)(c), (long)(d), 0, 0)
#define SYSCALL_6(nr, a, b, c, d, e)                                                               \
	syscall6(nr, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), 0)
#define SYSCALL_7(nr, a, b, c, d, e, f)                                                            \
	syscall6(nr, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))

/* SYSCALL(getpid), SYSCALL(kill, pid, sig), ... */
#define SYSCALL(name, ...)                                                                         \
	SYSCALL_PICK(__NR_##name __VA_OPT__(, ) __VA_ARGS__, SYSCALL_7, SYSCALL_6, SYSCALL_5,      \
		     SYSCALL_4, SYSCALL_3, SYSCALL_2, SYSCALL_1)                                   \
	(__NR_##name __VA_OPT__(, ) __VA_ARGS__)

#endif
