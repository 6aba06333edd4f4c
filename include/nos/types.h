/* Basic types, attributes and small macros; every other header includes it. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <stdarg.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int8_t s8;
typedef int16_t s16;
typedef int32_t s32;
typedef int64_t s64;
typedef intptr_t ssize_t;

/* A physical address, in bytes. */
typedef u64 phys_t;

/* Keywords of C23 that gcc 12 does not know yet. */
#if !defined(__clang__) && __GNUC__ < 13
#define static_assert _Static_assert
#endif

#if __STDC_VERSION__ < 202311L /* keywords from then on */
#define true 1
#define false 0
typedef _Bool bool;
#endif

#define U64_MAX UINT64_MAX
#define S64_MAX INT64_MAX
#define U32_MAX UINT32_MAX

#define PAGE_SHIFT 12
#define PAGE_SIZE (1ul << PAGE_SHIFT)
#define PAGE_MASK (~(PAGE_SIZE - 1))
#define HUGE_SHIFT 21
#define HUGE_SIZE (1ul << HUGE_SHIFT)
#define CACHE_LINE 64

#define NSEC_PER_SEC 1000000000ll
#define NSEC_PER_MSEC 1000000ll
#define NSEC_PER_USEC 1000ll

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
#define __packed __attribute__((packed))
#define __aligned(n) __attribute__((aligned(n)))
#define __section(s) __attribute__((section(s), used))
#define __noreturn __attribute__((noreturn))
#define __must_check __attribute__((warn_unused_result))
#undef __always_inline /* <linux/stddef.h> has a weaker one */
#define __always_inline inline __attribute__((always_inline))
#define __noinline __attribute__((noinline))
/* Called by what the compiler emits after it has decided what is used. */
#define __compiler_calls __attribute__((used))
#define __weak __attribute__((weak))
#define __printf(f, a) __attribute__((format(printf, f, a)))
#define __cold __attribute__((cold))
#define __hot __attribute__((hot))
#define __maybe_unused __attribute__((unused))
/* Sanitizers add no checks: it runs before there is shadow memory, or reads past an object's end
 * on purpose. */
#if defined(SANITIZE)
#define __unchecked __attribute__((no_sanitize("address", "undefined")))
#elif defined(NOS_HOST)
#define __unchecked __attribute__((no_sanitize("address", "thread")))
#else
#define __unchecked
#endif
/* Code and data used only while booting; their frames are freed afterwards. */
#define __init __attribute__((section(".init.text"), cold))
#define __initdata __attribute__((section(".init.data")))
/* Writable only until the boot ends (made read-only by arch). */
#define __ro_after_init __attribute__((section(".data.ro_after_init")))

/*
 * A pointer into a process's address space.  Only linux/ and the copy
 * functions of <nos/uaccess.h> handle it; `make check` compiles with clang,
 * which rejects a dereference or a mix with kernel pointers.
 */
#if defined(__clang__) && defined(NOS_CHECK_USER)
#define __user __attribute__((noderef, address_space(1)))
#define __force __attribute__((nodiscard))
#else
#define __user
#endif

/* Lock contracts, checked by clang -Wthread-safety. */
#if defined(__clang__) && defined(NOS_CHECK_LOCKS)
#define __capability(x) __attribute__((capability(x)))
#define __guarded_by(l) __attribute__((guarded_by(l)))
#define __must_hold(l) __attribute__((requires_capability(l)))
#define __acquires(l) __attribute__((acquire_capability(l)))
#define __releases(l) __attribute__((release_capability(l)))
#define __acquires_shared(l) __attribute__((acquire_shared_capability(l)))
#define __releases_shared(l) __attribute__((release_shared_capability(l)))
#define __try_acquires(r, l) __attribute__((try_acquire_capability(r, l)))
#define __try_acquires_shared(r, l) __attribute__((try_acquire_shared_capability(r, l)))
#define __no_lock_check __attribute__((no_thread_safety_analysis))
#else
#define __capability(x)
#define __guarded_by(l)
#define __must_hold(l)
#define __acquires(l)
#define __releases(l)
#define __acquires_shared(l)
#define __releases_shared(l)
#define __try_acquires(r, l)
#define __try_acquires_shared(r, l)
#define __no_lock_check
#endif

#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

#define min(a, b)                                                                                  \
	({                                                                                         \
		__auto_type _min_a = (a);                                                          \
		__auto_type _min_b = (b);                                                          \
		_min_a < _min_b ? _min_a : _min_b;                                                 \
	})
#define max(a, b)                                                                                  \
	({                                                                                         \
		__auto_type _max_a = (a);                                                          \
		__auto_type _max_b = (b);                                                          \
		_max_a > _max_b ? _max_a : _max_b;                                                 \
	})
#define clamp(x, lo, hi) min(max((x), (lo)), (hi))
#define swap(a, b)                                                                                 \
	do {                                                                                       \
		__auto_type _swap = (a);                                                           \
		(a) = (b);                                                                         \
		(b) = _swap;                                                                       \
	} while (0)

#define align_up(x, a) (((x) + ((typeof(x))(a)-1)) & ~((typeof(x))(a)-1))
#define align_down(x, a) ((x) & ~((typeof(x))(a)-1))
#define is_aligned(x, a) (((x) & ((typeof(x))(a)-1)) == 0)
#define div_round_up(n, d) (((n) + (d)-1) / (d))
#define bit(n) (1ul << (n))

#ifdef __SANITIZE_THREAD__ /* which takes volatile accesses for plain ones */
#define READ_ONCE(x) __atomic_load_n(&(x), __ATOMIC_RELAXED)
#define WRITE_ONCE(x, v) __atomic_store_n(&(x), (v), __ATOMIC_RELAXED)
#else
#define READ_ONCE(x) (*(const volatile typeof(x) *)&(x))
#define WRITE_ONCE(x, v) (*(volatile typeof(x) *)&(x) = (v))
#endif
#define barrier() __asm__ volatile("" ::: "memory")

/* C11-style atomics on plain integers and pointers. */
#define atomic_load(p) __atomic_load_n((p), __ATOMIC_ACQUIRE)
#define atomic_load_relaxed(p) __atomic_load_n((p), __ATOMIC_RELAXED)
#define atomic_store(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)
#define atomic_store_relaxed(p, v) __atomic_store_n((p), (v), __ATOMIC_RELAXED)
#define atomic_xchg(p, v) __atomic_exchange_n((p), (v), __ATOMIC_SEQ_CST)
#define atomic_add(p, v) __atomic_add_fetch((p), (v), __ATOMIC_SEQ_CST)
#define atomic_sub(p, v) __atomic_sub_fetch((p), (v), __ATOMIC_SEQ_CST)
#define atomic_fetch_add(p, v) __atomic_fetch_add((p), (v), __ATOMIC_SEQ_CST)
#define atomic_fetch_or(p, v) __atomic_fetch_or((p), (v), __ATOMIC_SEQ_CST)
#define atomic_fetch_and(p, v) __atomic_fetch_and((p), (v), __ATOMIC_SEQ_CST)
#define atomic_or(p, v) ((void)__atomic_or_fetch((p), (v), __ATOMIC_SEQ_CST))
#define atomic_and(p, v) ((void)__atomic_and_fetch((p), (v), __ATOMIC_SEQ_CST))
/* True and *p = v if *p was old; otherwise false and `old` is left alone. */
#define atomic_cas(p, old, v)                                                                      \
	({                                                                                         \
		typeof(*(p)) _cas_old = (old);                                                     \
		__atomic_compare_exchange_n((p), &_cas_old, (v), false, __ATOMIC_SEQ_CST,          \
					    __ATOMIC_RELAXED);                                     \
	})
/* The same, and *oldp gets the value seen when it fails. */
#define atomic_cas_update(p, oldp, v)                                                              \
	__atomic_compare_exchange_n((p), (oldp), (v), false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED)
#define memory_fence() __atomic_thread_fence(__ATOMIC_SEQ_CST)

/* An error in a pointer, as in Linux's calling habits: −4095…−1. */
#define MAX_ERRNO 4095
static inline void *err_ptr(long err)
{
	return (void *)err;
}
static inline long ptr_err(const void *p)
{
	return (long)p;
}
static inline bool is_err(const void *p)
{
	return (unsigned long)p >= (unsigned long)-MAX_ERRNO;
}
