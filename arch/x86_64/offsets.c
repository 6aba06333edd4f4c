/* Offsets for assembly: each line "->NAME value" becomes a #define in offsets.h. */
#include <nos/arch.h>
#include <nos/trap.h>

#define DEFINE(name, value) __asm__ volatile("\n->" #name " %0" ::"i"(value))
#define FRAME(name, member) DEFINE(FRAME_##name, offsetof(struct trap_frame, member))

void offsets(void);
void offsets(void)
{
	FRAME(R15, r15);
	FRAME(R14, r14);
	FRAME(R13, r13);
	FRAME(R12, r12);
	FRAME(RBP, rbp);
	FRAME(RBX, rbx);
	FRAME(R11, r11);
	FRAME(R10, r10);
	FRAME(R9, r9);
	FRAME(R8, r8);
	FRAME(RAX, rax);
	FRAME(RCX, rcx);
	FRAME(RDX, rdx);
	FRAME(RSI, rsi);
	FRAME(RDI, rdi);
	FRAME(ORIG_RAX, orig_rax);
	FRAME(RIP, rip);
	FRAME(CS, cs);
	FRAME(RFLAGS, rflags);
	FRAME(RSP, rsp);
	DEFINE(FRAME_SIZE, sizeof(struct trap_frame));
	DEFINE(NR_SYSCALL_SLOTS, NR_SYSCALL_SLOTS);
	DEFINE(THREAD_WORK_OFFSET, THREAD_WORK_OFFSET);
	DEFINE(WORK_SYSCALL_TRACE, WORK_SYSCALL_TRACE);
	DEFINE(WORK_FULL_RETURN, WORK_FULL_RETURN);
}
