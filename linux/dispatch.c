/*
 * The table of system calls.
 *
 * How it works.  syscalls.def is read with weak references: the linker fills
 * in the handlers that exist.  At boot the slots that stayed empty get the
 * handler of missing calls, and the table becomes read-only with the rest of
 * .data.ro_after_init.  Calls go from the entry code to the handler directly;
 * an argument narrower than a register is simply its low part (psABI 3.2.3).
 *
 * Calls that read or change the register frame stand in the table as a stub
 * that completes the frame first (TRAP_FULL_FRAME_STUB).
 *
 * A slot can be changed at any time (syscall_patch): the entry code reads it
 * once, so a call goes to the old handler or to the new one, and to no other.
 *
 * A missing call answers ENOSYS.  It is logged once per program: a process
 * remembers what it has tried, and a small filter of (program, call) keeps
 * the next process of the same name quiet.
 */
#include "syscalls.h"

#include <nos/counter.h>
#include <nos/init.h>
#include <nos/lock.h>
#include <nos/log.h>
#include <nos/pte.h>
#include <nos/string.h>
#include <nos/task.h>

#define SYSCALL(nr, name, ...) extern typeof(sys_##name) sys_##name __weak;
#define SYSCALL_FRAME(nr, name, ...) TRAP_FULL_FRAME_STUB(frame_##name, sys_##name);
#include "syscalls.def"
#undef SYSCALL
#undef SYSCALL_FRAME

#define HANDLER(function) (syscall_fn)(void (*)(void))(function)

syscall_fn syscall_table[NR_SYSCALL_SLOTS] __ro_after_init = {
#define SYSCALL(nr, name, ...) [nr] = HANDLER(sys_##name),
#define SYSCALL_FRAME(nr, name, ...) [nr] = frame_##name,
#include "syscalls.def"
#undef SYSCALL
#undef SYSCALL_FRAME
};

static const char *const syscall_names[NR_SYSCALL_SLOTS] = {
#define SYSCALL(nr, name, ...) [nr] = #name,
#define SYSCALL_FRAME SYSCALL
#include "syscalls.def"
#undef SYSCALL
#undef SYSCALL_FRAME
};

DEFINE_COUNTER(missing, "linux.syscalls_missing");
DEFINE_COUNTER(traced, "linux.syscalls_traced");

#define LOGGED_BITS 8192
static u64 logged[BITMAP_WORDS(LOGGED_BITS)];

static void log_missing(struct task *t, unsigned nr)
{
	u64 bit_nr = hash_bytes(t->comm, strnlen(t->comm, sizeof(t->comm)), nr) % LOGGED_BITS;
	u64 mask = 1ull << (bit_nr % 64);

	if (atomic_fetch_or(&logged[bit_nr / 64], mask) & mask)
		return;
	if (syscall_names[nr])
		log_notice("%s[%d]: system call %u (%s) is missing", t->comm, t->process->tgid, nr,
			   syscall_names[nr]);
	else
		log_notice("%s[%d]: system call %u does not exist", t->comm, t->process->tgid, nr);
}

static long syscall_missing(u64 a, u64 b, u64 c, u64 d, u64 e, u64 f)
{
	struct task *t = task_current();
	unsigned nr = (unsigned)trap_user_frame()->orig_rax % NR_SYSCALL_SLOTS;

	if (unlikely(!bitmap_test(t->process->missing_calls, nr))) {
		atomic_or(&t->process->missing_calls[nr / 64], 1ull << (nr % 64));
		counter_inc(missing);
		log_missing(t, nr);
	}
	return -ENOSYS;
}

/* What the table holds while nothing is patched. */
syscall_fn syscall_handlers[NR_SYSCALL_SLOTS] __ro_after_init;

static int __init syscall_table_init(void)
{
	for (unsigned nr = 0; nr < NR_SYSCALL_SLOTS; nr++) {
		if (!syscall_table[nr])
			syscall_table[nr] = syscall_missing;
		syscall_handlers[nr] = syscall_table[nr];
	}
	return 0;
}
INIT_STEP(INIT_CORE, syscall_table_init);

syscall_fn syscall_patch(unsigned nr, syscall_fn handler)
{
	static struct spinlock lock = SPINLOCK_INIT(RANK_LEAF);

	scoped_spin(&lock);
	syscall_fn old = READ_ONCE(syscall_table[nr]);

	kernel_store_protected((u64 *)&syscall_table[nr], (u64)handler);
	return old;
}

const char *syscall_name(unsigned nr)
{
	return nr < NR_SYSCALL_SLOTS ? syscall_names[nr] : NULL;
}

/* The same call with the frame complete and perhaps changed by a tracer; frame stubs return through
 * the entry code and can't be called from here. */
long syscall_slow(u64 nr, struct trap_frame *f)
{
	syscall_fn handler;

	counter_inc(traced);
	nr = f->orig_rax;
	if (nr >= NR_SYSCALL_SLOTS)
		return -ENOSYS;
	syscall_count_slow((unsigned)nr);
	switch (nr) {
#define SYSCALL(number, name, ...)
#define SYSCALL_FRAME(number, name, ...)                                                           \
	case number:                                                                               \
		handler = HANDLER(sys_##name);                                                     \
		break;
#include "syscalls.def"
#undef SYSCALL
#undef SYSCALL_FRAME
	default:
		handler = syscall_handlers[nr];
	}
	return handler(f->rdi, f->rsi, f->rdx, f->r10, f->r8, f->r9);
}
