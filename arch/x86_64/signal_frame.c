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

#include "user_section.h"
#include "x86.h"

#define RED_ZONE 128
#define SIGINFO_WORDS 16u
#define SIGINFO_USED_WORDS 6u /* the largest of the kinds; the rest is zero */
#define SW_BYTES_OFFSET 464 /* of the 48 bytes in an FXSAVE image left to software */
#define HEADER_OFFSET 512 /* of the XSAVE header, of 64 bytes */

DECLARE_PERCPU(struct thread *, this_thread);

struct signal_frame {
	u64 return_address;
	struct ucontext uc;
	u64 info[SIGINFO_WORDS];
};
static_assert(sizeof(struct ucontext) == 304);
static_assert(sizeof(struct sigcontext) == 256);
static_assert(sizeof(struct _fpx_sw_bytes) == 48);

static size_t image_space(void)
{
	return fpu_image_bytes + (cpu_has(CPU_XSAVE) ? FP_XSTATE_MAGIC2_SIZE : 0);
}

size_t signal_frame_size_max(void)
{
	return sizeof(struct signal_frame) + 16 + image_space() + 64;
}

/* The vector registers and what tells user mode their layout. */
static __always_inline int image_push(u64 area)
{
	u64 features = fpu_features, size = fpu_image_bytes;
	u64 image = (u64)user_section_begin(area);
	u64 *words = (u64 *)(image + SW_BYTES_OFFSET);

	if (cpu_has(CPU_XSAVE)) {
		/* XSAVE leaves the header's reserved bytes alone; XRSTOR wants zeros. */
#pragma GCC unroll 8
		for (u32 i = 0; i < 8; i++)
			user_section_store(0, (u64 *)(image + HEADER_OFFSET) + i, fault);
		user_section_state("xsave64", image, features, fault);
		user_section_store(FP_XSTATE_MAGIC1 | (size + FP_XSTATE_MAGIC2_SIZE) << 32, words,
				   fault);
		user_section_store(features, words + 1, fault);
		user_section_store(size, words + 2, fault);
		user_section_store(FP_XSTATE_MAGIC2, (u32 *)(image + size), fault);
	} else {
		user_section_state("fxsave64", image, features, fault);
		user_section_store(0, words, fault);
		user_section_store(0, words + 1, fault);
		user_section_store(0, words + 2, fault);
	}
	user_section_store(0, words + 3, fault);
	user_section_store(0, words + 4, fault);
	user_section_store(0, words + 5, fault);
	user_section_end();
	return 0;
fault:
	user_section_end();
	return -EFAULT;
}

/* A field's place; a user's frame may lie at any address, so no member is named through a pointer. */
#define FIELD(frame, field)                                                                        \
	((__typeof__(((struct signal_frame *)0)->field) *)((frame) +                               \
							   offsetof(struct signal_frame, field)))
#define PUT(field, value) user_section_store(value, FIELD(out, field), fault)
#define REGISTER(name) PUT(uc.uc_mcontext.name, f->name)

static __always_inline int context_push(u64 at, const struct trap_frame *f,
					const struct signal_context *c, u64 area)
{
	const struct arch_thread *t = thread_arch(this_cpu_read(this_thread));
	u64 out = (u64)user_section_begin(at);
	const u64 *info = c->siginfo;

	PUT(return_address, c->restorer);
	PUT(uc.uc_flags, (unsigned long)(UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS |
					 (cpu_has(CPU_XSAVE) ? UC_FP_XSTATE : 0)));
	PUT(uc.uc_link, NULL);
	PUT(uc.uc_stack.ss_sp, (void *)c->altstack_sp);
	/* With the hole behind it. */
	user_section_store((u64)(u32)c->altstack_flags, (u64 *)FIELD(out, uc.uc_stack.ss_flags),
			   fault);
	PUT(uc.uc_stack.ss_size, c->altstack_size);
	REGISTER(r8);
	REGISTER(r9);
	REGISTER(r10);
	REGISTER(r11);
	REGISTER(r12);
	REGISTER(r13);
	REGISTER(r14);
	REGISTER(r15);
	REGISTER(rdi);
	REGISTER(rsi);
	REGISTER(rbp);
	REGISTER(rbx);
	REGISTER(rdx);
	REGISTER(rax);
	REGISTER(rcx);
	REGISTER(rsp);
	REGISTER(rip);
	PUT(uc.uc_mcontext.eflags, f->rflags);
	/* cs, gs, fs and ss, two bytes each. */
	user_section_store((u64)(u16)f->cs | (u64)(u16)f->ss << 48,
			   (u64 *)FIELD(out, uc.uc_mcontext.cs), fault);
	PUT(uc.uc_mcontext.err, t->trap_error);
	PUT(uc.uc_mcontext.trapno, t->trap_vector);
	PUT(uc.uc_mcontext.oldmask, c->mask);
	PUT(uc.uc_mcontext.cr2, t->trap_address);
	PUT(uc.uc_mcontext.fpstate, (void *)area);
	PUT(uc.uc_sigmask, c->mask);
#pragma GCC unroll 16
	for (u32 i = 0; i < SIGINFO_WORDS; i++)
		PUT(info[i], i < SIGINFO_USED_WORDS ? info[i] : 0);
	user_section_end();
	return 0;
fault:
	user_section_end();
	return -EFAULT;
}

int signal_frame_push(struct trap_frame *frame, const struct signal_context *c)
{
	bool on_user_stack = c->frame_top == frame->rsp;
	u64 area = align_down(c->frame_top - (on_user_stack ? RED_ZONE : 0) - image_space(), 64ul);
	u64 at = align_down(area - sizeof(struct signal_frame), 16ul) - 8;

	if (at >= USER_ADDRESS_END || area >= USER_ADDRESS_END || !(c->flags & SA_RESTORER))
		return -EFAULT;
	if (image_push(area) || context_push(at, frame, c, area))
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

/* Whether the image has the whole of XSAVE's layout: 1, 0 or -EFAULT. */
static __always_inline int image_is_extended(u64 area)
{
	u64 image = (u64)user_section_begin(area);
	u32 *sw = (u32 *)(image + SW_BYTES_OFFSET);
	u32 magic1, magic2, extended_size, size;
	int extended = 0;

	user_section_load(magic1, sw + offsetof(struct _fpx_sw_bytes, magic1) / 4, fault);
	user_section_load(extended_size, sw + offsetof(struct _fpx_sw_bytes, extended_size) / 4,
			  fault);
	user_section_load(size, sw + offsetof(struct _fpx_sw_bytes, xstate_size) / 4, fault);
	if (magic1 == FP_XSTATE_MAGIC1 && size == fpu_image_bytes &&
	    extended_size == image_space()) {
		user_section_load(magic2, (u32 *)(image + fpu_image_bytes), fault);
		extended = magic2 == FP_XSTATE_MAGIC2;
	}
	user_section_end();
	return extended;
fault:
	user_section_end();
	return -EFAULT;
}

static __always_inline int image_pop(u64 area)
{
	int extended;

	if (!area) {
		fpu_reset_registers();
		return 0;
	}
	if (!is_aligned(area, 64ul))
		return -EFAULT;
	extended = image_is_extended(area);
	return extended < 0 ? extended : fpu_load_from_user(area, extended);
}

#define GET(to, field) user_section_load(to, FIELD(in, field), fault)
#define REGISTER_BACK(name) GET(f->name, uc.uc_mcontext.name)

static __always_inline int context_pop(u64 at, struct trap_frame *f)
{
	u64 in = (u64)user_section_begin(at);
	u64 flags;

	REGISTER_BACK(r8);
	REGISTER_BACK(r9);
	REGISTER_BACK(r10);
	REGISTER_BACK(r11);
	REGISTER_BACK(r12);
	REGISTER_BACK(r13);
	REGISTER_BACK(r14);
	REGISTER_BACK(r15);
	REGISTER_BACK(rdi);
	REGISTER_BACK(rsi);
	REGISTER_BACK(rbp);
	REGISTER_BACK(rbx);
	REGISTER_BACK(rdx);
	REGISTER_BACK(rax);
	REGISTER_BACK(rcx);
	REGISTER_BACK(rsp);
	REGISTER_BACK(rip);
	GET(flags, uc.uc_mcontext.eflags);
	user_section_end();
	f->rflags = (flags & RFLAGS_USER) | RFLAGS_IF | RFLAGS_FIXED;
	f->cs = USER_CS;
	f->ss = USER_DS;
	f->orig_rax = U64_MAX;
	return 0;
fault:
	user_section_end();
	return -EFAULT;
}

/* All but the registers, which change only once nothing else is wrong. */
int signal_frame_pop(struct trap_frame *frame, u64 *mask, u64 *altstack_sp, u64 *altstack_size,
		     u32 *altstack_flags)
{
	u64 at = frame->rsp - 8, flags, segments, area;
	u64 in = (u64)user_section_begin(at);

	GET(flags, uc.uc_flags);
	GET(*altstack_sp, uc.uc_stack.ss_sp);
	GET(*altstack_flags, uc.uc_stack.ss_flags);
	GET(*altstack_size, uc.uc_stack.ss_size);
	user_section_load(segments, (u64 *)FIELD(in, uc.uc_mcontext.cs), fault);
	GET(area, uc.uc_mcontext.fpstate);
	GET(*mask, uc.uc_sigmask);
	user_section_end();

	if (((segments & 0xffff) | 3) != USER_CS)
		return -EINVAL;
	if (flags & UC_STRICT_RESTORE_SS && (segments >> 48 | 3) != USER_DS)
		return -EINVAL;
	int err = image_pop(area);

	return err ? err : context_pop(at, frame);
fault:
	user_section_end();
	return -EFAULT;
}
