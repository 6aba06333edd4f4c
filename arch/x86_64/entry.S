/*
 * Entry to the kernel and the way back.
 *
 * Concepts.  Every entry builds a struct trap_frame at the top of the current
 * thread's kernel stack (from user mode) or where the stack is (from kernel
 * mode).  SYSCALL stores the part that the ABI lets the kernel clobber; the
 * rest is stored ("completed") only for those who need it.  While the kernel
 * runs, the gs base is the per-CPU base and the user's is in KERNEL_GS_BASE.
 *
 * The way of a plain system call: swapgs, take the stack of the current
 * thread from a per-CPU variable, push the frame, enable interrupts, test for
 * tracing, clamp the number, call through the table; then interrupts off, test
 * one word (thread.work), restore six registers, SYSRET.
 *
 * A page fault of user mode stores as little, and leaves without a look at what it
 * restores, unless there is work.
 *
 * Invariants.
 *   (1) From `cli` to the return instruction no work flag can be missed: an
 *       interrupt that sets one for a running thread comes as an IPI, which
 *       is taken right after the return.
 *   (2) SYSRET is used only with rcx = rip below USER_ADDRESS_END.  A
 *       non-canonical rcx would raise #GP in kernel mode with the user's gs and
 *       stack (Intel; AMD faults later).  IRET gets the same check, so that it
 *       never faults; a bad rip becomes a #GP of the user.  Only what the processor
 *       stored at a page fault, and nobody has changed, needs none.
 *   (3) SYSRET does not restore RF, and with TF it traps before the next
 *       instruction: a changed frame that has either leaves by IRET.  On the
 *       plain path rflags are those of entry, where both cases are harmless.
 *   (4) The number is masked after the bounds check, so that speculation past
 *       the check stays within the table (Spectre v1).
 *   (5) After a conditional swapgs comes lfence, for speculation must not use
 *       the user's gs base (Spectre v1, swapgs variant; CVE-2019-1125).
 *   (6) Entries by gate clear DF and AC: hardware leaves both as the user had
 *       them.  SYSCALL clears them by SFMASK.
 *   (7) NMI, #MC, #DB and #DF may come at any instruction, also with the
 *       user's gs base in kernel mode.  From user mode they are ordinary
 *       entries (but for #DF).  From kernel mode they run on their own stack,
 *       whose top holds the per-CPU base: the old gs base is saved in rbx and
 *       put back, with no guess by its sign (a user with FSGSBASE chooses any).
 *   (8) NMIs are blocked until IRET.  The handlers of (7) take no fault and no
 *       breakpoint in kernel mode, for its IRET would unblock NMIs while the
 *       stack is in use.
 *   (9) `sti` takes effect after the next instruction; nothing here relies on
 *       a window being longer.
 *
 * Rejected: storing the full frame always (12 instructions a call); a check
 * of the gs base's sign (unsafe with FSGSBASE); swapgs by the saved CS alone
 * for NMI (wrong in the SYSCALL gap).
 *
 * AMD64 APM vol. 2, 6.1 (SYSCALL); SDM vol. 3, 6.12 and 6.14 (gates, IST).
 */
#include "x86.h"
#include "offsets.h"

	.macro CFI_FRAME_FULL
	.cfi_signal_frame
	.cfi_def_cfa rsp, FRAME_SIZE
	.cfi_offset rip, FRAME_RIP - FRAME_SIZE
	.cfi_offset rsp, FRAME_RSP - FRAME_SIZE
	.cfi_offset rbx, FRAME_RBX - FRAME_SIZE
	.cfi_offset rbp, FRAME_RBP - FRAME_SIZE
	.cfi_offset r12, FRAME_R12 - FRAME_SIZE
	.cfi_offset r13, FRAME_R13 - FRAME_SIZE
	.cfi_offset r14, FRAME_R14 - FRAME_SIZE
	.cfi_offset r15, FRAME_R15 - FRAME_SIZE
	.endm

/* What C code may clobber, in the order of the frame. */
	.macro POP_CLOBBERED
	pop %r11
	pop %r10
	pop %r9
	pop %r8
	pop %rax
	pop %rcx
	pop %rdx
	pop %rsi
	pop %rdi
	.endm

/* User access closed (AC clear); a NOP of the same length until SMAP is on. */
	.macro SMAP_CLOSE
771:	.byte 0x0f, 0x1f, 0x00
	.pushsection smap_close_sites, "a"
	.quad 771b
	.popsection
	.endm

	.section .text.entry, "ax"

/* ---------------------------------------------------------------- SYSCALL */

	.balign 64
	.globl syscall_entry
	.type syscall_entry, @function
syscall_entry:
	.cfi_startproc simple
	.cfi_signal_frame
	.cfi_undefined rip
	swapgs
	mov %rsp, %gs:user_stack_saved
	mov %gs:kernel_stack_top, %rsp
	push $USER_DS
	push %gs:user_stack_saved
	push %r11			/* rflags */
	push $USER_CS
	push %rcx			/* rip */
	push %rax			/* orig_rax */
	push %rdi
	push %rsi
	push %rdx
	sub $16, %rsp			/* rcx, rax: see trap_frame_complete */
	push %r8
	push %r9
	push %r10
	sub $56, %rsp			/* r11 and the six callee-saved */
	.cfi_def_cfa rsp, FRAME_SIZE
	sti
	mov %gs:this_thread, %rcx
	testl $WORK_SYSCALL_TRACE, THREAD_WORK_OFFSET(%rcx)
	jnz syscall_traced
	cmp $NR_SYSCALL_SLOTS, %rax
	jae syscall_unknown
	and $(NR_SYSCALL_SLOTS - 1), %eax
	mov %r10, %rcx
	call *syscall_table(, %rax, 8)
syscall_exit:
	cli
	mov %gs:this_thread, %rcx
	cmpl $0, THREAD_WORK_OFFSET(%rcx)
	jne syscall_exit_work
	mov FRAME_RIP(%rsp), %rcx
	mov %rcx, %rdx
	shr $47, %rdx
	jnz syscall_exit_work
	mov FRAME_RFLAGS(%rsp), %r11
	mov FRAME_RDI(%rsp), %rdi
	mov FRAME_RSI(%rsp), %rsi
	mov FRAME_RDX(%rsp), %rdx
	mov FRAME_R8(%rsp), %r8
	mov FRAME_R9(%rsp), %r9
	mov FRAME_R10(%rsp), %r10
	mov FRAME_RSP(%rsp), %rsp
	swapgs
	sysretq

syscall_unknown:
	mov $-38, %rax			/* ENOSYS */
	jmp syscall_exit

syscall_traced:
	incq %gs:syscall_slow_exits
	call trap_frame_complete_here
	mov %rax, %rdi
	mov %rsp, %rsi
	call syscall_slow
	mov %rax, FRAME_RAX(%rsp)
	cli
	jmp user_exit_check

/*
 * Stands in the table for every handler while calls are counted: the entry code leaves the number in
 * rax, and the way on is a jump, so that the handler finds the stack as ever.
 */
	.globl syscall_counted
	.type syscall_counted, @function
syscall_counted:
	incq %gs:syscall_counts(, %rax, 8)
	jmp *syscall_handlers(, %rax, 8)
	.size syscall_counted, . - syscall_counted

/* Work is pending; callee-saved registers are still those of the user. */
syscall_exit_work:
	incq %gs:syscall_slow_exits
	call trap_frame_complete_here
	mov %rax, FRAME_RAX(%rsp)
	jmp user_exit_check
	.cfi_endproc
	.size syscall_entry, . - syscall_entry

/* Stores what the fast path leaves out; the frame lies above the return address.  Keeps all
 * registers. */
	.type trap_frame_complete_here, @function
trap_frame_complete_here:
	.cfi_startproc
	mov %r15, 8 + FRAME_R15(%rsp)
	mov %r14, 8 + FRAME_R14(%rsp)
	mov %r13, 8 + FRAME_R13(%rsp)
	mov %r12, 8 + FRAME_R12(%rsp)
	mov %rbp, 8 + FRAME_RBP(%rsp)
	mov %rbx, 8 + FRAME_RBX(%rsp)
	push %rcx
	.cfi_adjust_cfa_offset 8
	mov 16 + FRAME_RIP(%rsp), %rcx
	mov %rcx, 16 + FRAME_RCX(%rsp)
	mov 16 + FRAME_RFLAGS(%rsp), %rcx
	mov %rcx, 16 + FRAME_R11(%rsp)
	movq $-38, 16 + FRAME_RAX(%rsp)
	pop %rcx
	.cfi_adjust_cfa_offset -8
	ret
	.cfi_endproc
	.size trap_frame_complete_here, . - trap_frame_complete_here

/* The same two calls deep: for TRAP_FULL_FRAME_STUB of <nos/trap.h>. */
	.globl trap_frame_complete
	.type trap_frame_complete, @function
trap_frame_complete:
	.cfi_startproc
	mov %r15, 16 + FRAME_R15(%rsp)
	mov %r14, 16 + FRAME_R14(%rsp)
	mov %r13, 16 + FRAME_R13(%rsp)
	mov %r12, 16 + FRAME_R12(%rsp)
	mov %rbp, 16 + FRAME_RBP(%rsp)
	mov %rbx, 16 + FRAME_RBX(%rsp)
	mov 16 + FRAME_RIP(%rsp), %rax
	mov %rax, 16 + FRAME_RCX(%rsp)
	mov 16 + FRAME_RFLAGS(%rsp), %rax
	mov %rax, 16 + FRAME_R11(%rsp)
	movq $-38, 16 + FRAME_RAX(%rsp)
	ret
	.cfi_endproc
	.size trap_frame_complete, . - trap_frame_complete

/* ------------------------------------------------- general way to user mode */

/* Jumped to by a full-frame stub: rax is the result, the return address is on the stack. */
	.globl syscall_exit_full
	.type syscall_exit_full, @function
syscall_exit_full:
	.cfi_startproc simple
	CFI_FRAME_FULL
	incq %gs:syscall_slow_exits
	add $8, %rsp
	mov %rax, FRAME_RAX(%rsp)
	cli
/* rsp: a complete user frame; interrupts off. */
user_exit_check:
	mov %gs:this_thread, %rcx
	testl $~(WORK_SYSCALL_TRACE | WORK_FULL_RETURN), THREAD_WORK_OFFSET(%rcx)
	jnz user_exit_work
	mov FRAME_RIP(%rsp), %rdx
	mov %rdx, %rax
	shr $47, %rax
	jnz user_exit_bad_rip
	testl $WORK_FULL_RETURN, THREAD_WORK_OFFSET(%rcx)
	jz 1f
	lock andl $~WORK_FULL_RETURN, THREAD_WORK_OFFSET(%rcx)
1:	pop %r15
	pop %r14
	pop %r13
	pop %r12
	pop %rbp
	pop %rbx
	.cfi_def_cfa rsp, FRAME_SIZE - 48
	.cfi_restore r15
	.cfi_restore r14
	.cfi_restore r13
	.cfi_restore r12
	.cfi_restore rbp
	.cfi_restore rbx
	/* SYSRET if it gives the same registers as IRET would. */
	cmp %rdx, FRAME_RCX - 48(%rsp)
	jne user_exit_iret
	mov FRAME_R11 - 48(%rsp), %rax
	cmp %rax, FRAME_RFLAGS - 48(%rsp)
	jne user_exit_iret
	test $(RFLAGS_RF | RFLAGS_TF), %eax
	jnz user_exit_iret
	POP_CLOBBERED
	mov FRAME_RSP - FRAME_ORIG_RAX(%rsp), %rsp
	swapgs
	sysretq
	.cfi_def_cfa rsp, FRAME_SIZE - 48
user_exit_iret:
	POP_CLOBBERED
	add $8, %rsp
	.cfi_def_cfa rsp, 40
	swapgs
	iretq
	.cfi_def_cfa rsp, FRAME_SIZE
user_exit_bad_rip:
	sti
	mov %rsp, %rdi
	mov $VECTOR_GP, %esi
	xor %edx, %edx
	call trap_user_exception
user_exit_work:
	sti
	mov %rsp, %rdi
	call exit_to_user_work
	cli
	jmp user_exit_check
	.cfi_endproc
	.size syscall_exit_full, . - syscall_exit_full

/* Enters user mode with the frame at the top of the current thread's stack. */
	.globl trap_return_to_user
	.type trap_return_to_user, @function
trap_return_to_user:
	.cfi_startproc simple
	.cfi_undefined rip
	.cfi_def_cfa rsp, 8
	cli
	mov %gs:kernel_stack_top, %rsp
	sub $FRAME_SIZE, %rsp
	jmp user_exit_check
	.cfi_endproc
	.size trap_return_to_user, . - trap_return_to_user

/* ------------------------------------------------------ exceptions by gate */

/* The stubs stand 16 bytes apart: `push $0` 2, `push %rdi` 1, `mov` 5, `jmp` 2 or 5; that of page
 * faults, `testb` 5, `jnz` 6, `jmp` 5. */
	.balign 64
	.globl trap_stubs
trap_stubs:
	.set vector, 0
	.rept 32
	.set has_code, (vector == 8) || ((vector >= 10) && (vector <= 14)) || \
		(vector == 17) || (vector == 21) || (vector == 29) || (vector == 30)
	.set paranoid, (vector == VECTOR_DB) || (vector == VECTOR_NMI) || \
		(vector == VECTOR_DF) || (vector == VECTOR_MC)
	.balign 16
	.if (vector == VECTOR_PF)
	testb $3, 16(%rsp)		/* cs, above the error code and rip */
	jnz trap_page_fault_user
	jmp trap_page_fault_kernel
	.else
	.if (has_code == 0)
	push $0
	.endif
	push %rdi
	mov $vector, %edi
	.if (paranoid == 0)
	jmp trap_common
	.else
	jmp trap_paranoid
	.endif
	.endif
	.set vector, vector + 1
	.endr
	.balign 16

	.globl irq_stubs
irq_stubs:
	.set vector, 32
	.rept 224
	.balign 16
	push $-1
	push %rdi
	mov $vector, %edi
	jmp irq_common
	.set vector, vector + 1
	.endr
	.balign 16

/* orig_rax (or the error code) and rdi are on the stack already. */
	.macro PUSH_REST
	push %rsi
	push %rdx
	push %rcx
	push %rax
	push %r8
	push %r9
	push %r10
	push %r11
	push %rbx
	push %rbp
	push %r12
	push %r13
	push %r14
	push %r15
	.endm

	.macro POP_ALL
	pop %r15
	pop %r14
	pop %r13
	pop %r12
	pop %rbp
	pop %rbx
	POP_CLOBBERED
	add $8, %rsp
	.endm

/*
 * A page fault of user mode: like a system call it stores what the C code may clobber, and the rest
 * only if there is work.  Until then the frame's orig_rax holds the error code.  The address is read
 * before another fault can change it.  A frame that nobody could change is what the processor stored,
 * so IRET takes it unchecked: its rip is canonical, for it is where the processor was.
 */
	.type trap_page_fault_user, @function
trap_page_fault_user:
	.cfi_startproc simple
	.cfi_signal_frame
	.cfi_def_cfa rsp, 48
	.cfi_offset rip, FRAME_RIP - FRAME_SIZE
	.cfi_offset rsp, FRAME_RSP - FRAME_SIZE
	cld
	SMAP_CLOSE
	swapgs
	lfence
	push %rdi
	push %rsi
	push %rdx
	push %rcx
	push %rax
	push %r8
	push %r9
	push %r10
	push %r11
	sub $48, %rsp			/* the six callee-saved */
	.cfi_def_cfa rsp, FRAME_SIZE
	mov %cr2, %rdi
	mov FRAME_ORIG_RAX(%rsp), %rsi
	call trap_handle_page_fault
	cli
	mov %gs:this_thread, %rcx
	cmpl $0, THREAD_WORK_OFFSET(%rcx)
	jne 1f
	add $48, %rsp
	POP_CLOBBERED
	add $8, %rsp
	.cfi_def_cfa rsp, 40
	swapgs
	iretq
	.cfi_def_cfa rsp, FRAME_SIZE
1:	mov %r15, FRAME_R15(%rsp)
	mov %r14, FRAME_R14(%rsp)
	mov %r13, FRAME_R13(%rsp)
	mov %r12, FRAME_R12(%rsp)
	mov %rbp, FRAME_RBP(%rsp)
	mov %rbx, FRAME_RBX(%rsp)
	movq $-1, FRAME_ORIG_RAX(%rsp)
	jmp user_exit_check
	.cfi_endproc
	.size trap_page_fault_user, . - trap_page_fault_user

trap_page_fault_kernel:
	push %rdi
	mov $VECTOR_PF, %edi
	.type trap_common, @function
trap_common:
	.cfi_startproc simple
	cld
	PUSH_REST
	CFI_FRAME_FULL
	SMAP_CLOSE
	mov FRAME_ORIG_RAX(%rsp), %rdx
	mov %edi, %esi
	mov %rsp, %rdi
	testb $3, FRAME_CS(%rsp)
	jz 1f
	swapgs
	lfence
	movq $-1, FRAME_ORIG_RAX(%rsp)
	call trap_handle_user
	cli
	jmp user_exit_check
1:	lfence
	call trap_handle_kernel
trap_return_to_kernel:
	POP_ALL
	iretq
	.cfi_endproc
	.size trap_common, . - trap_common

	.type irq_common, @function
irq_common:
	.cfi_startproc simple
	cld
	PUSH_REST
	CFI_FRAME_FULL
	SMAP_CLOSE
	mov %edi, %esi
	mov %rsp, %rdi
	testb $3, FRAME_CS(%rsp)
	jz 1f
	swapgs
	lfence
	call irq_handle
	jmp user_exit_check
1:	lfence
	call irq_handle_kernel
	POP_ALL
	iretq
	.cfi_endproc
	.size irq_common, . - irq_common

/*
 * NMI, #MC, #DB, #DF: on their own stack.  From user mode the first three move
 * their frame to the thread's stack and become ordinary entries.
 */
	.type trap_paranoid, @function
trap_paranoid:
	.cfi_startproc simple
	cld
	PUSH_REST
	CFI_FRAME_FULL
	SMAP_CLOSE
	testb $3, FRAME_CS(%rsp)
	jz trap_paranoid_kernel
	cmp $VECTOR_DF, %edi
	je trap_paranoid_kernel
	swapgs
	lfence
	mov %edi, %r12d
	mov %gs:kernel_stack_top, %rdi
	sub $FRAME_SIZE, %rdi
	mov %rsp, %rsi
	mov %rdi, %rdx
	mov $(FRAME_SIZE / 8), %ecx
	rep movsq
	mov %rdx, %rsp
	mov FRAME_ORIG_RAX(%rsp), %rdx
	movq $-1, FRAME_ORIG_RAX(%rsp)
	mov %r12d, %esi
	mov %rsp, %rdi
	call trap_handle_user
	cli
	jmp user_exit_check
	.cfi_endproc
	.size trap_paranoid, . - trap_paranoid

	.type trap_paranoid_kernel, @function
trap_paranoid_kernel:
	.cfi_startproc simple
	CFI_FRAME_FULL
	mov %edi, %r12d
	mov $MSR_GS_BASE, %ecx
	rdmsr
	mov %eax, %ebx
	mov %edx, %ebp
	mov FRAME_SIZE(%rsp), %rax	/* the per-CPU base at the top of this stack */
	mov %rax, %rdx
	shr $32, %rdx
	wrmsr
	mov FRAME_ORIG_RAX(%rsp), %rdx
	mov %r12d, %esi
	mov %rsp, %rdi
	call trap_handle_paranoid
	mov $MSR_GS_BASE, %ecx
	mov %ebx, %eax
	mov %ebp, %edx
	wrmsr
	POP_ALL
	iretq
	.cfi_endproc
	.size trap_paranoid_kernel, . - trap_paranoid_kernel

/* --------------------------------------------------------------- threads */

/* struct thread *stack_switch(u64 *save_rsp, u64 next_rsp, struct thread *prev) */
	.globl stack_switch
	.type stack_switch, @function
stack_switch:
	.cfi_startproc
	push %rbx
	push %rbp
	push %r12
	push %r13
	push %r14
	push %r15
	mov %rsp, (%rdi)
	mov %rsi, %rsp
	.cfi_adjust_cfa_offset 48
	.cfi_rel_offset rbx, 40
	.cfi_rel_offset rbp, 32
	.cfi_rel_offset r12, 24
	.cfi_rel_offset r13, 16
	.cfi_rel_offset r14, 8
	.cfi_rel_offset r15, 0
	mov %rdx, %rax
	pop %r15
	pop %r14
	pop %r13
	pop %r12
	pop %rbp
	pop %rbx
	.cfi_adjust_cfa_offset -48
	ret
	.cfi_endproc
	.size stack_switch, . - stack_switch

/* First run of a kernel thread: r12 is the function, r13 its argument. */
	.globl thread_entry_kernel
	.type thread_entry_kernel, @function
thread_entry_kernel:
	.cfi_startproc simple
	.cfi_undefined rip
	.cfi_def_cfa rsp, 8
	mov %rax, %rdi
	call thread_started
	sti
	mov %r13, %rdi
	call *%r12
	ud2
	.cfi_endproc
	.size thread_entry_kernel, . - thread_entry_kernel

	.globl thread_entry_user
	.type thread_entry_user, @function
thread_entry_user:
	.cfi_startproc simple
	.cfi_undefined rip
	.cfi_def_cfa rsp, 8
	mov %rax, %rdi
	call thread_started
	jmp trap_return_to_user
	.cfi_endproc
	.size thread_entry_user, . - thread_entry_user
	.section .note.GNU-stack, "", @progbits
