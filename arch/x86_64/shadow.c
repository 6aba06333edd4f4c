/*
 * Shadow memory: which bytes of the kernel's memory may be accessed.
 *
 * Concepts.  The sanitizing kernel (make sanitize) is compiled with
 * -fsanitize=kernel-address.  Each eight bytes of the kernel's half have one
 * shadow byte at (address >> 3) + SHADOW_OFFSET: 0, all may be accessed; 1 to 7,
 * only so many of the first; else an `enum shadow_reason`, none.  The compiler
 * tests it in line before each load and store and calls __asan_report_… when it
 * says no.  It also puts poisoned zones around arrays on the stack (writing
 * their shadow in each prologue) and around global variables (registered by
 * constructors, which shadow_init calls).  The allocators poison what is free.
 *
 * Memory behind the shadow.  The shadow of the kernel's half is 16 TiB of
 * addresses.  All of it is mapped: to one read-only page of zeros, through
 * shared tables, where nothing is tracked (device registers, the frame table,
 * unmapped addresses, whose access faults anyway); to frames of its own for all
 * memory in the direct map (2 MiB blocks, taken at boot: an eighth of memory),
 * for the image, and for each stack, vmalloc area and per-CPU area when it is
 * mapped.  Shadow frames of the last kind stay for ever.
 *
 * Invariants.
 *   (1) memory that holds stacks has real shadow before a thread runs on it:
 *       prologues store to it;
 *   (2) no code with checks runs before shadow_init: the files on the way to it
 *       and this one are compiled without (UNCHECKED in the Makefile);
 *   (3) a thread that leaves its stack without returning through its frames
 *       (thread_exit, return to user mode) opens them first: the compiler calls
 *       __asan_handle_no_return before it calls a function that is __noreturn;
 *   (4) a replaced entry of the shared tables is flushed everywhere before the
 *       memory is used.
 *
 * What compiled checks can't see is checked by wrappers that the linker puts in
 * the place of memcpy, memset, memmove, memcmp, strlen and the user copies:
 * those are written in assembly, or must run before there is a shadow.
 *
 * Rejected: checks by calls (a third more instructions, and nothing gained: a
 * wild address reads the page of zeros, a user address faults as
 * non-canonical, which trap.c explains).
 *
 * Reference: Serebryany et al., "AddressSanitizer: A Fast Address Sanity
 * Checker", USENIX ATC 2012.
 */
#include <nos/sanitize.h>

#ifdef SANITIZE

#include <nos/arch.h>
#include <nos/assert.h>
#include <nos/cpu.h>
#include <nos/errno.h>
#include <nos/log.h>
#include <nos/pte.h>
#include <nos/string.h>
#include <nos/uaccess.h>

#include "x86.h"

#define STACK_FRAME_MAGIC 0x41b58ab3ul
#define SHADOW_OFFSET 0xdffffc0000000000ul
#define SHADOW_BLOCK (HUGE_SIZE << 3) /* memory behind one large page of shadow */
#define TABLE_FLAGS (PTE_PRESENT | PTE_WRITE)
#define DATA_FLAGS (PTE_PRESENT | PTE_WRITE | PTE_NX | PTE_ACCESSED | PTE_DIRTY | PTE_GLOBAL)
#define ZERO_FLAGS (PTE_PRESENT | PTE_NX | PTE_ACCESSED | PTE_GLOBAL)

void *__real_memcpy(void *to, const void *from, size_t n);
void *__real_memmove(void *to, const void *from, size_t n);
void *__real_memset(void *to, int c, size_t n);
int __real_memcmp(const void *a, const void *b, size_t n);
size_t __real_strlen(const char *s);
size_t __real_copy_from_user(void *to, const void __user *from, size_t n);
size_t __real_copy_to_user(void __user *to, const void *from, size_t n);
ssize_t __real_string_from_user(char *to, const char __user *from, size_t size);

/* Tables of level 1, 2 and 3 that all lead to the page of zeros. */
static pte_t zero_tables[3][512] __section(".bss.page_aligned") __aligned(4096);
static u8 zero_page[PAGE_SIZE] __section(".bss.page_aligned") __aligned(4096);
static bool is_ready;

static inline u8 *shadow_of(const void *p)
{
	return (u8 *)(((u64)p >> 3) + SHADOW_OFFSET);
}

/* ---- mapping ---- */

/* The entry for shadow address `va` at `level`, in tables of its own; NULL: out of memory. */
static pte_t *shadow_entry(u64 va, int level)
{
	pte_t *table = kernel_page_table;

	for (int l = 4; l > level; l--) {
		pte_t *e = &table[PTE_INDEX(va, l)];
		pte_t *shared = zero_tables[l - 2];

		if (!pte_is_present(*e) || pte_phys(*e) == virt_to_phys(shared)) {
			phys_t frame = table_frame_alloc();

			if (!frame)
				return NULL;
			__real_memcpy(phys_to_virt(frame), shared, PAGE_SIZE);
			WRITE_ONCE(*e, frame | TABLE_FLAGS);
		} else if (*e & PTE_HUGE && l < 4) {
			return e;
		}
		table = phys_to_virt(pte_phys(*e));
	}
	return &table[PTE_INDEX(va, level)];
}

/* Real pages for the shadow of [start, end); *changed when there were none. */
static int shadow_fill(u64 start, u64 end, bool *changed)
{
	u64 at = align_down((u64)shadow_of((void *)start), PAGE_SIZE);
	u64 last = (u64)shadow_of((void *)(end - 1));

	for (; at <= last; at += PAGE_SIZE) {
		pte_t *e = shadow_entry(at, 1);

		if (!e)
			return -ENOMEM;
		if (*e & PTE_HUGE || pte_phys(*e) != virt_to_phys(zero_page))
			continue;
		phys_t frame = table_frame_alloc();

		if (!frame)
			return -ENOMEM;
		WRITE_ONCE(*e, frame | DATA_FLAGS);
		*changed = true;
	}
	return 0;
}

int shadow_map(const void *p, size_t len)
{
	bool changed = false;
	int err = shadow_fill((u64)p, (u64)p + len, &changed);

	if (changed)
		tlb_flush_global(); /* here at once; elsewhere the caller does it */
	if (err)
		return err;
	shadow_unpoison(p, len);
	return changed;
}

/* Whether a usable range reaches into the block of memory at p. */
static bool block_is_memory(phys_t p)
{
	for (unsigned i = 0; i < boot_info.nr_ranges; i++) {
		const struct boot_range *r = &boot_info.ranges[i];

		if (r->type == 1 && r->start < p + SHADOW_BLOCK && r->end > p)
			return true;
	}
	return false;
}

static void direct_map_shadow(void)
{
	phys_t end = 0, nr = 0, next;

	for (unsigned i = 0; i < boot_info.nr_ranges; i++)
		if (boot_info.ranges[i].type == 1)
			end = max(end, boot_info.ranges[i].end);
	for (phys_t p = 0; p < end; p += SHADOW_BLOCK)
		nr += block_is_memory(p);
	next = boot_frames_alloc((nr + 1) * HUGE_SIZE);
	if (!next)
		panic("no memory for the shadow of %llu MiB", (unsigned long long)end >> 20);
	next = align_up(next, HUGE_SIZE);
	for (phys_t p = 0; p < end && nr; p += SHADOW_BLOCK) {
		pte_t *e;

		if (!block_is_memory(p))
			continue;
		e = shadow_entry((u64)shadow_of(phys_to_virt(p)), 2);
		VERIFY(e);
		WRITE_ONCE(*e, next | DATA_FLAGS | PTE_HUGE);
		next += HUGE_SIZE;
		nr--;
	}
}

void shadow_init_tables(void)
{
	bool changed;

	for (unsigned i = 0; i < 512; i++) {
		zero_tables[0][i] = virt_to_phys(zero_page) | ZERO_FLAGS;
		zero_tables[1][i] = virt_to_phys(zero_tables[0]) | TABLE_FLAGS;
		zero_tables[2][i] = virt_to_phys(zero_tables[1]) | TABLE_FLAGS;
	}
	for (u64 va = DIRECT_MAP_BASE; va; va += 1ul << 42)
		kernel_page_table[PTE_INDEX((u64)shadow_of((void *)va), 4)] =
			virt_to_phys(zero_tables[2]) | TABLE_FLAGS;
	/* Top-level entries must not change any more when there are address spaces. */
	VERIFY(shadow_entry((u64)shadow_of((void *)KERNEL_VMAP_BASE), 3));
	VERIFY(shadow_entry((u64)shadow_of((void *)PERCPU_MAP_BASE), 3));
	VERIFY(shadow_fill((u64)kernel_start, (u64)kernel_end, &changed) == 0);
	direct_map_shadow();
}

/* The compiler registers the globals of each file in a constructor. */
void shadow_init_globals(void)
{
	extern void (*const constructors_start[])(void), (*const constructors_end[])(void);

	is_ready = true;
	for (void (*const *c)(void) = constructors_start; c < constructors_end; c++)
		(*c)();
}

/* ---- poison ---- */

void shadow_poison(const void *p, size_t len, enum shadow_reason why)
{
	if (is_ready)
		__real_memset(shadow_of(p), why, div_round_up(len, 8));
}

void shadow_unpoison(const void *p, size_t len)
{
	if (!is_ready)
		return;
	__real_memset(shadow_of(p), 0, len / 8);
	if (len % 8)
		*shadow_of((const char *)p + len) = (u8)(len % 8);
}

u8 shadow_at(const void *p)
{
	u8 s = *shadow_of(p);

	if (s >= 8)
		return s;
	/* Behind the first bytes of a word: the next word tells why. */
	if (s && ((u64)p & 7) >= s) {
		u8 next = shadow_of(p)[1];

		return next >= 8 ? next : SHADOW_TAIL;
	}
	return 0;
}

/* The first address of the range that may not be accessed, or 0. */
static u64 range_find_bad(u64 start, size_t len)
{
	if (!is_ready || len == 0 || start < DIRECT_MAP_BASE || start + len < start)
		return 0;

	const u8 *s = shadow_of((void *)start), *last = shadow_of((void *)(start + len - 1));

	for (; s < last; s++) {
		if (((u64)s & 7) == 0 && last - s > 8 && *(const u64 *)s == 0)
			s += 7;
		else if (*s)
			return max(start, ((u64)s - SHADOW_OFFSET) << 3);
	}
	if (*last && (*last >= 8 || ((start + len - 1) & 7) >= *last))
		return max(start, (((u64)last - SHADOW_OFFSET) << 3) + (*last < 8 ? *last : 0));
	return 0;
}

static inline void range_check(const void *p, size_t len, bool is_write)
{
	u64 bad = range_find_bad((u64)p, len);

	if (unlikely(bad))
		sanitize_report((u64)p, len, is_write);
}

/* ---- in the place of functions without checks: ld --wrap ---- */

#define WRAPPED(type, name, ...)                                                                   \
	type __wrap_##name(__VA_ARGS__);                                                           \
	type __wrap_##name(__VA_ARGS__)

WRAPPED(void *, memcpy, void *to, const void *from, size_t n)
{
	range_check(from, n, false);
	range_check(to, n, true);
	return __real_memcpy(to, from, n);
}

WRAPPED(void *, memmove, void *to, const void *from, size_t n)
{
	range_check(from, n, false);
	range_check(to, n, true);
	return __real_memmove(to, from, n);
}

WRAPPED(void *, memset, void *to, int c, size_t n)
{
	range_check(to, n, true);
	return __real_memset(to, c, n);
}

WRAPPED(int, memcmp, const void *a, const void *b, size_t n)
{
	range_check(a, n, false);
	range_check(b, n, false);
	return __real_memcmp(a, b, n);
}

WRAPPED(size_t, strlen, const char *s)
{
	size_t n = __real_strlen(s);

	range_check(s, n + 1, false);
	return n;
}

WRAPPED(size_t, copy_from_user, void *to, const void __user *from, size_t n)
{
	range_check(to, n, true);
	if (sanitize_copy_fails())
		return n;
	return __real_copy_from_user(to, from, n);
}

WRAPPED(size_t, copy_to_user, void __user *to, const void *from, size_t n)
{
	range_check(from, n, false);
	if (sanitize_copy_fails())
		return n;
	return __real_copy_to_user(to, from, n);
}

WRAPPED(ssize_t, string_from_user, char *to, const char __user *from, size_t size)
{
	range_check(to, size, true);
	if (sanitize_copy_fails())
		return -EFAULT;
	return __real_string_from_user(to, from, size);
}

/* ---- what compiled code calls ---- */

#define REPORT(size)                                                                               \
	void __asan_report_load##size##_noabort(u64 p);                                            \
	void __asan_report_load##size##_noabort(u64 p)                                             \
	{                                                                                          \
		sanitize_report(p, size, false);                                                   \
	}                                                                                          \
	void __asan_report_store##size##_noabort(u64 p);                                           \
	void __asan_report_store##size##_noabort(u64 p)                                            \
	{                                                                                          \
		sanitize_report(p, size, true);                                                    \
	}                                                                                          \
	void __asan_load##size##_noabort(const void *p);                                           \
	void __asan_load##size##_noabort(const void *p)                                            \
	{                                                                                          \
		range_check(p, size, false);                                                       \
	}                                                                                          \
	void __asan_store##size##_noabort(const void *p);                                          \
	void __asan_store##size##_noabort(const void *p)                                           \
	{                                                                                          \
		range_check(p, size, true);                                                        \
	}
REPORT(1)
REPORT(2)
REPORT(4)
REPORT(8)
REPORT(16)

void __asan_report_load_n_noabort(u64 p, size_t n);
void __asan_report_load_n_noabort(u64 p, size_t n)
{
	sanitize_report(p, n, false);
}

void __asan_report_store_n_noabort(u64 p, size_t n);
void __asan_report_store_n_noabort(u64 p, size_t n)
{
	sanitize_report(p, n, true);
}

void __asan_loadN_noabort(const void *p, size_t n);
void __asan_loadN_noabort(const void *p, size_t n)
{
	range_check(p, n, false);
}

void __asan_storeN_noabort(const void *p, size_t n);
void __asan_storeN_noabort(const void *p, size_t n)
{
	range_check(p, n, true);
}

DECLARE_PERCPU(struct thread *, this_thread);

void __asan_handle_no_return(void)
{
	struct thread *t = this_cpu_read(this_thread);
	u64 sp = align_down((u64)__builtin_frame_address(0), 8ul), top;

	if (!t || !is_ready)
		return;
	top = thread_arch(t)->stack_top;
	if (sp < top && top - sp < 1 << 17)
		shadow_unpoison((void *)sp, top - sp);
}

/* A variable whose block begins or ends, where the compiler does not store itself. */
void __asan_poison_stack_memory(const void *p, size_t n);
void __asan_poison_stack_memory(const void *p, size_t n)
{
	shadow_poison(p, n, SHADOW_STACK_SCOPE);
}

void __asan_unpoison_stack_memory(const void *p, size_t n);
void __asan_unpoison_stack_memory(const void *p, size_t n)
{
	shadow_unpoison(p, n);
}

/* ---- globals ---- */

/* The compiler's record. */
struct shadow_global {
	const void *start;
	size_t len, len_with_zone;
	const char *name, *file;
	u64 has_dynamic_init;
	const void *location;
	u64 odr_indicator;
};

#define NR_FILES 1024u
static struct {
	const struct shadow_global *globals;
	size_t nr;
} files[NR_FILES];
static unsigned nr_files;

void __asan_register_globals(const struct shadow_global *g, size_t nr);
void __asan_register_globals(const struct shadow_global *g, size_t nr)
{
	if (nr_files < NR_FILES) {
		files[nr_files].globals = g;
		files[nr_files++].nr = nr;
	}
	for (size_t i = 0; i < nr; i++) {
		size_t whole = align_up(g[i].len, 8ul);

		shadow_unpoison(g[i].start, g[i].len);
		shadow_poison((const char *)g[i].start + whole, g[i].len_with_zone - whole,
			      SHADOW_GLOBAL);
	}
}

void __asan_unregister_globals(const struct shadow_global *g, size_t nr);
void __asan_unregister_globals(const struct shadow_global *g, size_t nr)
{
}

void sanitize_describe_global(const void *p)
{
	for (unsigned f = 0; f < nr_files; f++) {
		for (size_t i = 0; i < files[f].nr; i++) {
			const struct shadow_global *g = &files[f].globals[i];
			s64 offset = (const char *)p - (const char *)g->start;

			if (offset < 0 || (size_t)offset >= g->len_with_zone)
				continue;
			log_write(LOG_EMERG, "  byte %lld of global variable %s (%zu bytes) of %s",
				  (long long)offset, g->name, g->len, g->file);
			return;
		}
	}
}

/* The compiler leaves a description of the variables at the low end of each frame. */
void sanitize_describe_stack(const void *p)
{
	u64 address = (u64)p;
	u64 at = align_down(address, 8ul);

	for (unsigned i = 0; i < 1024; i++, at -= 8) {
		u64 words[3];

		if (!probe_read_u64(&words[0], (u64 *)at))
			return;
		if (words[0] != STACK_FRAME_MAGIC)
			continue;
		if (!probe_read_u64(&words[1], (u64 *)at + 1) ||
		    !probe_read_u64(&words[2], (u64 *)at + 2) || words[1] < KERNEL_IMAGE_BASE)
			return;
		log_write(LOG_EMERG, "  byte %llu of the frame of [<%016llx>], which has: %s",
			  (unsigned long long)(address - at), (unsigned long long)words[2],
			  (const char *)words[1]);
		return;
	}
}

/* ---- call chains by frame pointers ---- */

__noinline void sanitize_trace_here(struct sanitize_trace *t, unsigned skip)
{
	const struct thread *thread = this_cpu_read(this_thread);
	const u64 *frame = __builtin_frame_address(0);
	unsigned n = 0;

	t->thread = (u32)(u64)thread;
	if (thread) {
		u64 top = thread_arch((struct thread *)thread)->stack_top;

		while (n < TRACE_LENGTH && (u64)frame + 16 <= top && is_aligned((u64)frame, 8ul)) {
			const u64 *next = (const u64 *)frame[0];

			if (frame[1] < (u64)kernel_text_start || frame[1] >= (u64)kernel_end)
				break;
			if (skip)
				skip--;
			else
				t->pc[n++] = (u32)frame[1];
			if (next <= frame || (u64)next - (u64)frame > 1 << 16)
				break;
			frame = next;
		}
	}
	if (n < TRACE_LENGTH)
		t->pc[n] = 0;
}

#endif
