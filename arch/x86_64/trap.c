/* Exceptions and interrupts, after entry.S has built the frame. */
#include <nos/arch.h>
#include <nos/assert.h>
#include <nos/cpu.h>
#include <nos/log.h>
#include <nos/uaccess.h>

#include "x86.h"

DECLARE_PERCPU(u64, kernel_stack_top);
DECLARE_PERCPU(struct thread *, this_thread);
static u32 stopping;

void trap_handle_user(struct trap_frame *frame, unsigned vector, u64 error);
void trap_handle_page_fault(u64 address, u64 error);
void trap_handle_kernel(struct trap_frame *frame, unsigned vector, u64 error);
void trap_handle_paranoid(struct trap_frame *frame, unsigned vector, u64 error);
void irq_handle(struct trap_frame *frame, unsigned vector);
void irq_handle_kernel(struct trap_frame *frame, unsigned vector);

static const char *const trap_names[32] = {
	"divide error",
	"debug",
	"NMI",
	"breakpoint",
	"overflow",
	"bound",
	"invalid opcode",
	"no device",
	"double fault",
	"coprocessor overrun",
	"invalid TSS",
	"no segment",
	"stack fault",
	"general protection",
	"page fault",
	"reserved",
	"x87 error",
	"alignment",
	"machine check",
	"SIMD error",
	"virtualization",
	"control protection",
};

struct trap_frame *trap_user_frame(void)
{
	return (struct trap_frame *)this_cpu_read(kernel_stack_top) - 1;
}

/* A double fault because the page fault had no stack: the address is near the stack pointer. */
static __cold bool is_stack_overflow(const struct trap_frame *f, unsigned vector)
{
	return vector == VECTOR_DF && f->rsp - cr2_read() + PAGE_SIZE <= 2 * PAGE_SIZE;
}

/* Checks of a sanitizing kernel fault in a way of their own on user addresses. */
static __cold void trap_explain(const struct trap_frame *f, unsigned vector)
{
#ifdef SANITIZE
	const u64 registers[] = { f->rax, f->rbx, f->rcx, f->rdx, f->rsi, f->rdi, f->rbp, f->r8,
				  f->r9,  f->r10, f->r11, f->r12, f->r13, f->r14, f->r15 };

	for (unsigned i = 0; vector == VECTOR_GP && i < ARRAY_SIZE(registers); i++)
		if (registers[i] < USER_ADDRESS_END)
			log_write(LOG_EMERG, "a check of user address %#lx faults like this",
				  registers[i]);
#endif
}

static __cold __noreturn void trap_die(const struct trap_frame *f, unsigned vector, u64 error)
{
	const char *name = vector < 32 && trap_names[vector] ? trap_names[vector] : "?";

	log_write(LOG_EMERG, "kernel %s, error %#lx, address %#lx, CPU %u", name, error, cr2_read(),
		  cpu_id());
	log_write(LOG_EMERG, "rip %016lx cs %02lx flags %08lx rsp %016lx", f->rip, f->cs, f->rflags,
		  f->rsp);
	log_write(LOG_EMERG, "rax %016lx rbx %016lx rcx %016lx rdx %016lx", f->rax, f->rbx, f->rcx,
		  f->rdx);
	log_write(LOG_EMERG, "rsi %016lx rdi %016lx rbp %016lx r8  %016lx", f->rsi, f->rdi, f->rbp,
		  f->r8);
	log_write(LOG_EMERG, "r9  %016lx r10 %016lx r11 %016lx r12 %016lx", f->r9, f->r10, f->r11,
		  f->r12);
	log_write(LOG_EMERG, "r13 %016lx r14 %016lx r15 %016lx cr3 %016lx", f->r13, f->r14, f->r15,
		  cr3_read());
	trap_explain(f, vector);
	arch_backtrace(f);
	if (is_stack_overflow(f, vector))
		panic("kernel stack overflow");
	panic("unexpected %s in the kernel", name);
}

/* Called by compiled code that finds its stack guard overwritten. */
void __stack_chk_fail(void) __noreturn;
__compiler_calls void __stack_chk_fail(void)
{
	panic("stack overflow: guard overwritten");
}

void cpu_stop_others(void)
{
	atomic_store(&stopping, 1);
	if (nr_cpus > 1)
		apic_broadcast_nmi();
}

static void nmi_handle(const struct trap_frame *frame)
{
	if (atomic_load(&stopping))
		cpu_stop();
	report_at_nmi(frame);
}

void cpu_ask_for_report(void)
{
	if (nr_cpus > 1)
		apic_broadcast_nmi();
	apic_interrupt_self(VECTOR_RESCHEDULE);
}

void trap_handle_user(struct trap_frame *frame, unsigned vector, u64 error)
{
	struct arch_thread *t = thread_arch(this_cpu_read(this_thread));

	if (unlikely(sections_measured))
		section_trapped();
	t->trap_vector = vector;
	t->trap_error = error;
	switch (vector) {
	case VECTOR_NMI:
		nmi_handle(frame);
		return;
	case VECTOR_MC:
		trap_die(frame, vector, error);
	}
	irq_enable();
	trap_user_exception(frame, vector, error);
}

/* For entry.S, interrupts off: a page fault of user mode.  No frame, which is not complete. */
void trap_handle_page_fault(u64 address, u64 error)
{
	if (unlikely(sections_measured))
		section_trapped();
	irq_enable();
	if (likely(page_fault_user(address, error)))
		return;
	struct arch_thread *t = thread_arch(this_cpu_read(this_thread));

	t->trap_vector = VECTOR_PF;
	t->trap_error = error;
	t->trap_address = address;
}

/* True when the fault of kernel code at a user address was resolved. */
static bool kernel_fault_resolve(struct trap_frame *frame, u64 error)
{
	u64 addr = cr2_read();

	if (addr >= USER_ADDRESS_END || user_fault_is_disabled())
		return false;
	/* Not from a user copy: a kernel bug, never resolved on its behalf. */
	if (cpu_has(CPU_SMAP) && !(frame->rflags & RFLAGS_AC))
		return false;
	bool enabled = (frame->rflags & RFLAGS_IF) != 0;

	if (enabled) {
		if (unlikely(sections_measured))
			section_trapped();
		irq_enable();
	}
	bool resolved = page_fault_kernel(addr, error);

	irq_disable();
	if (unlikely(sections_measured) && enabled)
		section_returns();
	return resolved;
}

void trap_handle_kernel(struct trap_frame *frame, unsigned vector, u64 error)
{
	if (vector == VECTOR_PF && kernel_fault_resolve(frame, error))
		return;
	if (vector == VECTOR_BP && text_patch_trap(frame))
		return;
	if (vector == VECTOR_PF || vector == VECTOR_GP || vector == 12) {
		u64 target = exception_table_find(frame->rip);

		if (target) {
			frame->rip = target;
			return;
		}
	}
	trap_die(frame, vector, error);
}

void trap_handle_paranoid(struct trap_frame *frame, unsigned vector, u64 error)
{
	if (vector == VECTOR_NMI) {
		nmi_handle(frame);
		return;
	}
	if (vector == VECTOR_DB) {
		/* The `mov ss` window of SYSCALL: the breakpoint was the user's; drop it. */
		u64 zero = 0;

		__asm__ volatile("mov %0, %%dr6; mov %0, %%dr7" ::"r"(zero));
		frame->rflags &= ~RFLAGS_TF;
		return;
	}
	trap_die(frame, vector, error);
}

void irq_handle(struct trap_frame *frame, unsigned vector)
{
	switch (vector) {
	case VECTOR_CALL:
		apic_eoi();
		cpu_call_handle();
		return;
	case VECTOR_SPURIOUS:
		return;
	}
	irq_dispatch(frame, vector);
}

void irq_handle_kernel(struct trap_frame *frame, unsigned vector)
{
	irq_handle(frame, vector);
	if (!(frame->rflags & RFLAGS_IF))
		return;
	preempt_from_irq(frame);
	if (unlikely(sections_measured))
		section_returns();
}
