/*
 * Signal frames: what Linux's x86-64 ABI puts on the user's stack, and back.
 *
 * From the top down: the red zone (128 bytes, not on an alternate stack), the
 * XSAVE image (64-byte aligned, followed by FP_XSTATE_MAGIC2), then the return
 * address of the handler, ucontext and siginfo, so that at the handler's first
 * instruction rsp + 8 is a multiple of 16, as after a call (psABI, 3.2.2).
 *
 * On the way back all of it is the user's to forge: rflags get only the bits
 * that user mode may choose, segments must be the 64-bit ones, and the image is
 * loaded by an XRSTOR that may fail.
 */
#include <nos/arch.h>
#include <nos/cpu.h>
#include <nos/errno.h>
#include <nos/string.h>
#include <nos/uaccess.h>

#include <asm/signal.h>
#include <asm/sigcontext.h>
#include <asm/ucontext.h>

#include "x86.h"

#define RED_ZONE 128
#define SIGINFO_SIZE 128
#define SW_BYTES_OFFSET 464 /* of the 48 bytes in an FXSAVE image left to software */

DECLARE_PERCPU(struct thread *, this_thread);

struct signal_frame {
	u64 return_address;
	struct ucontext uc;
	u8 info[SIGINFO_SIZE];
};
static_assert(sizeof(struct ucontext) == 304);
static_assert(sizeof(struct sigcontext) == 256);
static_assert(sizeof(struct _fpx_sw_bytes) == 48);

static size_t image_space(void)
{
	return fpu_image_size() + (cpu_has(CPU_XSAVE) ? FP_XSTATE_MAGIC2_SIZE : 0);
}

size_t signal_frame_size_max(void)
{
	return sizeof(struct signal_frame) + 16 + image_space() + 64;
}

static int image_push(u64 area)
{
	struct _fpx_sw_bytes sw = { 0 };
	u32 magic2 = FP_XSTATE_MAGIC2;
	u64 zero[8] = { 0 };

	if (cpu_has(CPU_XSAVE)) {
		/* XSAVE leaves the header's reserved bytes alone; XRSTOR wants zeros. */
		if (copy_to_user((void __user *)(area + 512), zero, sizeof(zero)))
			return -EFAULT;
		sw.magic1 = FP_XSTATE_MAGIC1;
		sw.extended_size = (u32)image_space();
		sw.xfeatures = fpu_features();
		sw.xstate_size = fpu_image_size();
		if (copy_to_user((void __user *)(area + fpu_image_size()), &magic2, sizeof(magic2)))
			return -EFAULT;
	}
	if (fpu_save_to_user(area))
		return -EFAULT;
	return copy_to_user((void __user *)(area + SW_BYTES_OFFSET), &sw, sizeof(sw)) ? -EFAULT : 0;
}

static void context_fill(struct sigcontext *sc, const struct trap_frame *f, u64 mask, u64 area)
{
	const struct arch_thread *t = thread_arch(this_cpu_read(this_thread));

	*sc = (struct sigcontext){
		.r8 = f->r8,
		.r9 = f->r9,
		.r10 = f->r10,
		.r11 = f->r11,
		.r12 = f->r12,
		.r13 = f->r13,
		.r14 = f->r14,
		.r15 = f->r15,
		.rdi = f->rdi,
		.rsi = f->rsi,
		.rbp = f->rbp,
		.rbx = f->rbx,
		.rdx = f->rdx,
		.rax = f->rax,
		.rcx = f->rcx,
		.rsp = f->rsp,
		.rip = f->rip,
		.eflags = f->rflags,
		.cs = (u16)f->cs,
		.ss = (u16)f->ss,
		.err = t->trap_error,
		.trapno = t->trap_vector,
		.cr2 = t->trap_address,
		.oldmask = mask,
		.fpstate = (void *)area,
	};
}

int signal_frame_push(struct trap_frame *frame, const struct signal_context *c)
{
	bool on_user_stack = c->frame_top == frame->rsp;
	u64 area = align_down(c->frame_top - (on_user_stack ? RED_ZONE : 0) - image_space(), 64ul);
	u64 at = align_down(area - sizeof(struct signal_frame), 16ul) - 8;
	struct signal_frame out = { .return_address = c->restorer };

	if (at >= USER_ADDRESS_END || area >= USER_ADDRESS_END || !(c->flags & SA_RESTORER))
		return -EFAULT;
	out.uc.uc_flags =
		UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS | (cpu_has(CPU_XSAVE) ? UC_FP_XSTATE : 0);
	out.uc.uc_stack.ss_sp = (void *)c->altstack_sp;
	out.uc.uc_stack.ss_size = c->altstack_size;
	out.uc.uc_stack.ss_flags = (int)c->altstack_flags;
	out.uc.uc_sigmask = c->mask;
	context_fill(&out.uc.uc_mcontext, frame, c->mask, area);
	memcpy(out.info, c->siginfo, SIGINFO_SIZE);
	if (image_push(area) || copy_to_user((void __user *)at, &out, sizeof(out)))
		return -EFAULT;

	frame->rdi = (u64)c->signo;
	frame->rsi = at + offsetof(struct signal_frame, info);
	frame->rdx = at + offsetof(struct signal_frame, uc);
	frame->rax = 0;
	frame->rsp = at;
	frame->rip = c->handler;
	frame->cs = USER_CS;
	frame->ss = USER_DS;
	frame->rflags &= ~(RFLAGS_DF | RFLAGS_RF | RFLAGS_TF);
	frame->orig_rax = U64_MAX;
	fpu_reset_registers();
	return 0;
}

static int image_pop(u64 area)
{
	struct _fpx_sw_bytes sw;
	u32 magic2;

	if (!area) {
		fpu_reset_registers();
		return 0;
	}
	if (!is_aligned(area, 64ul) ||
	    copy_from_user(&sw, (void __user *)(area + SW_BYTES_OFFSET), sizeof(sw)))
		return -EFAULT;
	bool extended = sw.magic1 == FP_XSTATE_MAGIC1 && sw.xstate_size == fpu_image_size() &&
			sw.extended_size == image_space();

	if (extended) {
		if (copy_from_user(&magic2, (void __user *)(area + sw.xstate_size), sizeof(magic2)))
			return -EFAULT;
		extended = magic2 == FP_XSTATE_MAGIC2;
	}
	return fpu_load_from_user(area, extended);
}

static void context_restore(struct trap_frame *f, const struct sigcontext *sc)
{
	*f = (struct trap_frame){
		.r8 = sc->r8,
		.r9 = sc->r9,
		.r10 = sc->r10,
		.r11 = sc->r11,
		.r12 = sc->r12,
		.r13 = sc->r13,
		.r14 = sc->r14,
		.r15 = sc->r15,
		.rdi = sc->rdi,
		.rsi = sc->rsi,
		.rbp = sc->rbp,
		.rbx = sc->rbx,
		.rdx = sc->rdx,
		.rax = sc->rax,
		.rcx = sc->rcx,
		.rsp = sc->rsp,
		.rip = sc->rip,
		.cs = USER_CS,
		.ss = USER_DS,
		.orig_rax = U64_MAX,
		.rflags = (sc->eflags & RFLAGS_USER) | RFLAGS_IF | RFLAGS_FIXED,
	};
}

int signal_frame_pop(struct trap_frame *frame, u64 *mask, u64 *altstack_sp, u64 *altstack_size,
		     u32 *altstack_flags)
{
	struct ucontext uc;
	u64 at = frame->rsp - 8;

	if (copy_from_user(&uc, (void __user *)(at + offsetof(struct signal_frame, uc)),
			   sizeof(uc)))
		return -EFAULT;
	const struct sigcontext *sc = &uc.uc_mcontext;

	if ((sc->cs | 3) != USER_CS)
		return -EINVAL;
	if (uc.uc_flags & UC_STRICT_RESTORE_SS && (sc->ss | 3) != USER_DS)
		return -EINVAL;
	int err = image_pop((u64)sc->fpstate);

	if (err)
		return err;
	context_restore(frame, sc);
	*mask = uc.uc_sigmask;
	*altstack_sp = (u64)uc.uc_stack.ss_sp;
	*altstack_size = uc.uc_stack.ss_size;
	*altstack_flags = (u32)uc.uc_stack.ss_flags;
	return 0;
}
