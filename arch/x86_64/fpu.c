/*
 * x87, SSE, AVX and AVX-512 state of user threads.
 *
 * Concepts.  The kernel itself uses no vector registers but in a section of
 * fpu_kernel_begin and _end, so they always hold some user thread's state.  It
 * is saved when that thread is switched out (eagerly: it may run elsewhere next)
 * and loaded when a user thread is switched in, unless this CPU's registers
 * still hold it.
 *
 * Invariants.
 *   (1) fpu_owner is the state whose image was last saved from or loaded into
 *       this CPU's registers; they still agree if owner->last_cpu is this CPU.
 *   (2) A state whose image is written by software gets last_cpu = NO_CPU, or
 *       is loaded at once, so that neither (1) nor the modified optimisation of
 *       XSAVEOPT (SDM vol. 1, 13.9) sees a stale image.
 *   (3) Images have the standard format, which is what signal frames need.
 *
 * Locking.  Interrupts are off in fpu_switch and in a section of the kernel's
 * own, which may be in an interrupt handler; others turn them off.
 */
#include <nos/arch.h>
#include <nos/cpu.h>
#include <nos/string.h>

#include <asm/siginfo.h>

#include "x86.h"

#define NO_CPU U32_MAX
#define FEATURE_X87 1ul
#define FEATURE_SSE 2ul
#define FEATURE_AVX 4ul
#define FEATURES_AVX512 0xe0ul
#define LEGACY_SIZE 512u

struct fpu_state {
	u32 last_cpu;
	u8 image[] __aligned(64);
};

struct legacy_image {
	u16 fcw, fsw, ftw, fop;
	u64 rip, rdp;
	u32 mxcsr, mxcsr_mask;
};

DECLARE_PERCPU(struct thread *, this_thread);
static DEFINE_PERCPU(struct fpu_state *, fpu_owner);
u64 fpu_features __ro_after_init;
u32 fpu_image_bytes __ro_after_init = LEGACY_SIZE;
/* Every component in its initial state: XSTATE_BV is 0. */
static u8 initial_image[LEGACY_SIZE + 64] __aligned(64);

void fpu_init_cpu(void)
{
	if (!cpu_has(CPU_XSAVE)) {
		fpu_features = FEATURE_X87 | FEATURE_SSE;
	} else if (!fpu_features) {
		u64 supported = cpuid(13, 0).eax;

		fpu_features = FEATURE_X87 | FEATURE_SSE | (supported & FEATURE_AVX);
		if ((supported & (FEATURES_AVX512 | FEATURE_AVX)) ==
		    (FEATURES_AVX512 | FEATURE_AVX))
			fpu_features |= FEATURES_AVX512;
	}
	if (cpu_has(CPU_XSAVE)) {
		__asm__ volatile("xsetbv" ::"c"(0), "a"((u32)fpu_features),
				 "d"((u32)(fpu_features >> 32)));
		fpu_image_bytes = cpuid(13, 0).ebx;
	}
	if (cpu_id() == 0) {
		struct legacy_image *i = (struct legacy_image *)initial_image;

		i->fcw = 0x37f;
		i->mxcsr = 0x1f80;
	}
	this_cpu_write(fpu_owner, NULL);
}

size_t fpu_state_size(void)
{
	return sizeof(struct fpu_state) + fpu_image_bytes;
}

void fpu_state_init(struct fpu_state *s)
{
	memset(s->image, 0, fpu_image_bytes);
	memcpy(s->image, initial_image, sizeof(struct legacy_image));
	s->last_cpu = NO_CPU;
}

static void image_save(void *image)
{
	u32 lo = (u32)fpu_features, hi = (u32)(fpu_features >> 32);

	if (cpu_has(CPU_XSAVEOPT))
		__asm__ volatile("xsaveopt64 (%0)" ::"r"(image), "a"(lo), "d"(hi) : "memory");
	else if (cpu_has(CPU_XSAVE))
		__asm__ volatile("xsave64 (%0)" ::"r"(image), "a"(lo), "d"(hi) : "memory");
	else
		__asm__ volatile("fxsave64 (%0)" ::"r"(image) : "memory");
}

/* Only of images that the processor wrote, or fpu_state_init: they can't be invalid. */
static void image_load(const void *image)
{
	u32 lo = (u32)fpu_features, hi = (u32)(fpu_features >> 32);

	if (cpu_has(CPU_XSAVE))
		__asm__ volatile("xrstor64 (%0)" ::"r"(image), "a"(lo), "d"(hi) : "memory");
	else
		__asm__ volatile("fxrstor64 (%0)" ::"r"(image) : "memory");
}

static void state_load(struct fpu_state *s)
{
	image_load(s->image);
	s->last_cpu = cpu_id();
	this_cpu_write(fpu_owner, s);
}

void fpu_switch(struct arch_thread *prev, struct arch_thread *next)
{
	struct fpu_state *out = prev->fpu, *in = next->fpu;

	if (out) {
		image_save(out->image);
		out->last_cpu = cpu_id();
		if (likely(in)) /* not what the registers hold */
			state_load(in);
		else
			this_cpu_write(fpu_owner, out);
	} else if (in && !(this_cpu_read(fpu_owner) == in && in->last_cpu == cpu_id())) {
		state_load(in);
	}
}

void fpu_state_copy_current(struct fpu_state *to)
{
	struct fpu_state *from = thread_arch(this_cpu_read(this_thread))->fpu;
	u64 flags = irq_save();

	image_save(from->image);
	memcpy(to->image, from->image, fpu_image_bytes);
	irq_restore(flags);
	to->last_cpu = NO_CPU;
}

void fpu_state_reset_current(void)
{
	u64 flags = irq_save();
	struct fpu_state *s = thread_arch(this_cpu_read(this_thread))->fpu;

	/* In one step: a switch between the two would save the old registers into the image. */
	fpu_state_init(s);
	state_load(s);
	irq_restore(flags);
}

void fpu_reset_registers(void)
{
	u64 flags = irq_save();

	image_load(initial_image);
	irq_restore(flags);
}

/* ---- the kernel's own use ---- */

/* What runs here keeps its registers in its image meanwhile; interrupts are off until the end. */
static struct fpu_state *fpu_kernel_begin(void)
{
	struct fpu_state *mine = thread_arch(this_cpu_read(this_thread))->fpu;

	if (mine)
		image_save(mine->image);
	this_cpu_write(fpu_owner, NULL);
	return mine;
}

static void fpu_kernel_end(struct fpu_state *mine)
{
	if (mine)
		state_load(mine);
}

void chacha20_stream_avx2(const u32 key[8], void *to, u64 len);

bool arch_chacha20_stream(const u32 key[8], void *to, size_t len)
{
	struct fpu_state *mine;

	if (!cpu_has(CPU_AVX2) || !(fpu_features & FEATURE_AVX))
		return false;
	mine = fpu_kernel_begin();
	chacha20_stream_avx2(key, to, len);
	fpu_kernel_end(mine);
	return true;
}

/* ---- signal frames ---- */

/* `extended`: the frame holds an XSAVE image; otherwise only its first 512 bytes count. */
int fpu_load_from_user(u64 area, bool extended)
{
	if (cpu_has(CPU_XSAVE) && extended)
		return user_xrstor((void *)area, fpu_features);
	fpu_reset_registers();
	return user_fxrstor((void *)area, 0);
}

/* SDM vol. 1, 8.1.3 and 10.2.3: pending and unmasked exceptions share their bit order. */
int fpu_exception_code(unsigned vector)
{
	u32 pending;

	if (vector == VECTOR_MF) {
		u16 status, control;

		__asm__ volatile("fnstsw %0; fnstcw %1" : "=m"(status), "=m"(control));
		pending = status & ~control;
	} else {
		u32 mxcsr;

		__asm__ volatile("stmxcsr %0" : "=m"(mxcsr));
		pending = mxcsr & ~(mxcsr >> 7);
	}
	if (pending & 1)
		return FPE_FLTINV;
	if (pending & 4)
		return FPE_FLTDIV;
	if (pending & 8)
		return FPE_FLTOVF;
	if (pending & (2 | 16))
		return FPE_FLTUND;
	if (pending & 32)
		return FPE_FLTRES;
	return FPE_FLTUNK;
}
