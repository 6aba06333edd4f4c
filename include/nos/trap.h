/*
 * Traps and the register frame (arch).  The frame has the order of Linux's
 * struct pt_regs / user_regs_struct, so that ptrace and core files need no
 * translation.  On the fast paths of system calls and page faults the six
 * callee-saved registers (rbx rbp r12–r15) are NOT stored: their slots hold
 * garbage until WORK_ flags, or a TRAP_FULL_FRAME_STUB of linux/, make the entry
 * code store them.  Anyone who reads them works behind one of the two.  The same
 * holds in system calls for the slots of rcx, r11 and rax, and in page faults for
 * orig_rax.  Who changes the frame elsewhere sets WORK_FULL_RETURN.
 */
#pragma once

#include <nos/types.h>

struct trap_frame {
	u64 r15, r14, r13, r12, rbp, rbx; /* callee-saved: see above */
	u64 r11, r10, r9, r8, rax, rcx, rdx, rsi, rdi;
	u64 orig_rax; /* call number, or -1 when not in a system call */
	u64 rip, cs, rflags, rsp, ss;
};

/* Work flags, tested as one word on the way to user mode (struct thread.work). */
#define WORK_RESCHEDULE (1u << 0)
#define WORK_SIGNAL (1u << 1) /* a signal may be deliverable: look */
#define WORK_TASK (1u << 2) /* deferred work of the task (rseq, key changes …) */
#define WORK_SYSCALL_TRACE (1u << 3) /* enter calls through syscall_slow */
#define WORK_RESTORE_MASK (1u << 4) /* sigsuspend & co.: restore the mask if no handler runs */
#define WORK_FULL_RETURN (1u << 5) /* frame was changed: leave by iret */
#define WORK_FATAL (1u << 6) /* a fatal signal is pending (with WORK_SIGNAL) */

static inline bool trap_is_from_user(const struct trap_frame *f)
{
	return (f->cs & 3) != 0;
}

/* The user frame at the top of the current thread's kernel stack. */
struct trap_frame *trap_user_frame(void);

/*
 * Upward calls: declared here, defined above.
 */
/* mm: resolve a fault of user mode at `addr`; error code bits as in the SDM (vol. 3, 4.7).
 * false: a signal may be queued.  Both are called with interrupts on, and sleep. */
bool page_fault_user(u64 addr, u64 code);
/* The same for the kernel's access to user memory; false when it is not resolved: arch then tries
 * the exception table, else panics. */
bool page_fault_kernel(u64 addr, u64 code);
#define FAULT_PRESENT 1u
#define FAULT_WRITE 2u
#define FAULT_USER 4u
#define FAULT_RESERVED 8u
#define FAULT_EXEC 16u
/* proc: any other exception from user mode; queues the signal. */
void trap_user_exception(struct trap_frame *frame, unsigned vector, u64 error);
/* core: hardware interrupt on `vector`, interrupts off. */
void irq_dispatch(struct trap_frame *frame, unsigned vector);
/* core: called with interrupts off at the end of each interrupt of kernel code: preempts if due. */
void preempt_from_irq(struct trap_frame *frame);
/* proc: called with interrupts on and a full frame when any WORK_ flag is set on the way to
 * user mode (signals, reschedule, tracing); returns when none is. */
void exit_to_user_work(struct trap_frame *frame);

/* The system-call table: NR_SYSCALL_SLOTS entries, a power of two; unused ones point to a
 * function that returns -ENOSYS.  Defined in linux/; arch calls through it. */
#define NR_SYSCALL_SLOTS 512
typedef long (*syscall_fn)(u64, u64, u64, u64, u64, u64);
extern syscall_fn syscall_table[NR_SYSCALL_SLOTS];
/* Calls with WORK_SYSCALL_TRACE set go here, with a full frame: reports entry and exit to the
 * tracer, and makes the call with the registers that the frame then has.  A number
 * ≥ NR_SYSCALL_SLOTS that is not traced gets -ENOSYS in the entry code. */
long syscall_slow(u64 nr, struct trap_frame *frame);

/*
 * Defines `stub`, an entry of syscall_table for a call that reads or changes the frame (clone,
 * execve, rt_sigreturn …): it completes the frame, calls fn with the six arguments, stores the
 * result in frame->rax, and leaves by the exit that reloads every register from the frame.  fn
 * finds the frame with trap_user_frame().  One that sets rax itself returns frame->rax.
 */
#define TRAP_FULL_FRAME_STUB(stub, fn)                                                             \
	long stub(u64, u64, u64, u64, u64, u64);                                                   \
	__asm__(".pushsection .text\n"                                                             \
		".globl " #stub "\n"                                                               \
		".type " #stub ", @function\n" #stub ":\n"                                         \
		".cfi_startproc\n"                                                                 \
		"call trap_frame_complete\n"                                                       \
		"call " #fn "\n"                                                                   \
		"jmp syscall_exit_full\n"                                                          \
		".cfi_endproc\n"                                                                   \
		".size " #stub ", . - " #stub "\n"                                                 \
		".popsection\n")

/* Start of a new user thread: loads the whole frame and enters user mode. */
void trap_return_to_user(void) __noreturn;
