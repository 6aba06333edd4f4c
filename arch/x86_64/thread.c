/* Switching threads, and how a new one starts; the registers' part is in entry.S. */
#include <nos/arch.h>
#include <nos/cpu.h>
#include <nos/errno.h>

#include "x86.h"

struct thread *stack_switch(u64 *save_rsp, u64 next_rsp, struct thread *prev);
extern const char thread_entry_kernel[], thread_entry_user[];
DECLARE_PERCPU(struct thread *, this_thread);

/* What stack_switch pops. */
struct switch_frame {
	u64 r15, r14, r13, r12, rbp, rbx, rip;
};

static u64 fs_base_read(void)
{
	u64 v;

	if (!cpu_has(CPU_FSGSBASE))
		return rdmsr(MSR_FS_BASE);
	__asm__ volatile("rdfsbase %0" : "=r"(v));
	return v;
}

static void fs_base_write(u64 v)
{
	if (cpu_has(CPU_FSGSBASE))
		__asm__ volatile("wrfsbase %0" ::"r"(v) : "memory");
	else
		wrmsr(MSR_FS_BASE, v);
}

/* The user's gs base while the kernel's is loaded; interrupts off. */
static u64 user_gs_base_read(void)
{
	u64 v;

	if (!cpu_has(CPU_FSGSBASE))
		return rdmsr(MSR_KERNEL_GS_BASE);
	__asm__ volatile("swapgs; rdgsbase %0; swapgs" : "=r"(v)::"memory");
	return v;
}

static void user_gs_base_write(u64 v)
{
	if (cpu_has(CPU_FSGSBASE))
		__asm__ volatile("swapgs; wrgsbase %0; swapgs" ::"r"(v) : "memory");
	else
		wrmsr(MSR_KERNEL_GS_BASE, v);
}

/* Both are user threads, and the bases have instructions. */
static inline void user_bases_switch(struct arch_thread *from, struct arch_thread *to)
{
	u64 gs;

	__asm__ volatile("rdfsbase %0" : "=r"(from->fs_base));
	__asm__ volatile("wrfsbase %0" ::"r"(to->fs_base) : "memory");
	__asm__ volatile("swapgs; rdgsbase %0" : "=r"(gs)::"memory");
	if (unlikely(gs != to->gs_base))
		__asm__ volatile("wrgsbase %0" ::"r"(to->gs_base) : "memory");
	__asm__ volatile("swapgs" ::: "memory");
	from->gs_base = gs;
}

struct thread *arch_switch(struct thread *prev, struct thread *next)
{
	struct arch_thread *from = thread_arch(prev), *to = thread_arch(next);

	if (likely(from->fpu && to->fpu && cpu_has(CPU_FSGSBASE))) {
		user_bases_switch(from, to);
	} else {
		if (from->fpu) {
			from->fs_base = fs_base_read();
			from->gs_base = user_gs_base_read();
		}
		if (to->fpu) {
			fs_base_write(to->fs_base);
			if (!from->fpu || from->gs_base != to->gs_base)
				user_gs_base_write(to->gs_base);
		}
	}
	fpu_switch(from, to);
	tss_set_stack(to->stack_top);
	return stack_switch(&from->rsp, to->rsp, prev);
}

static void thread_prepare(struct arch_thread *t, const char *entry, u64 r12, u64 r13)
{
	/* The user frame's place stays free: a kernel thread may become a user thread. */
	u64 top = t->stack_top - sizeof(struct trap_frame);
	struct switch_frame *s = (struct switch_frame *)top - 1;

	*s = (struct switch_frame){ .rip = (u64)entry, .r12 = r12, .r13 = r13 };
	t->rsp = (u64)s;
}

void arch_thread_prepare_kernel(struct arch_thread *t, void (*fn)(void *), void *arg)
{
	thread_prepare(t, thread_entry_kernel, (u64)fn, (u64)arg);
}

struct trap_frame *arch_thread_prepare_user(struct arch_thread *t, const struct trap_frame *frame)
{
	struct trap_frame *own = (struct trap_frame *)t->stack_top - 1;

	*own = *frame;
	thread_prepare(t, thread_entry_user, 0, 0);
	return own;
}

/* ---- arch_prctl(2) ---- */

int arch_set_fs_base(u64 value)
{
	if (value >= USER_ADDRESS_END)
		return -EPERM;
	u64 flags = irq_save();

	thread_arch(this_cpu_read(this_thread))->fs_base = value;
	fs_base_write(value);
	irq_restore(flags);
	return 0;
}

int arch_set_gs_base(u64 value)
{
	if (value >= USER_ADDRESS_END)
		return -EPERM;
	u64 flags = irq_save();

	thread_arch(this_cpu_read(this_thread))->gs_base = value;
	user_gs_base_write(value);
	irq_restore(flags);
	return 0;
}

u64 arch_get_fs_base(void)
{
	return fs_base_read();
}

u64 arch_get_gs_base(void)
{
	u64 flags = irq_save();
	u64 v = user_gs_base_read();

	irq_restore(flags);
	return v;
}
