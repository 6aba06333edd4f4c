/* Call chains of this thread, of a trap frame, and of a sleeping thread. */
#include <nos/arch.h>
#include <nos/log.h>
#include <nos/pte.h>

#include "unwind.h"
#include "x86.h"

#define MAX_FRAMES 48

extern const char kernel_init_start[], kernel_init_text_end[];
extern const u8 eh_frame_hdr_start[], eh_frame_hdr_end[], eh_frame_start[], eh_frame_end[];

/*
 * Like probe_read_u64, without a fault where there is no memory: an NMI's handler must take none, for the IRET of
 * it would let the next NMI come on the same stack.
 */
static __unchecked bool read_mapped(u64 *value, const void *from)
{
	u64 first = (u64)from;

	if (first < DIRECT_MAP_BASE || !kernel_resolve(first) || !kernel_resolve(first + 7))
		return false;
	*value = *(const u64 *)from;
	return true;
}

static struct unwind_table kernel_unwind_table(unwind_read_fn read)
{
	return (struct unwind_table){
		.header = eh_frame_hdr_start,
		.header_end = eh_frame_hdr_end,
		.frames = eh_frame_start,
		.frames_end = eh_frame_end,
		.header_address = (u64)eh_frame_hdr_start,
		.read = read,
	};
}

static bool is_kernel_text(u64 pc)
{
	if (pc >= (u64)kernel_init_start && pc < (u64)kernel_init_text_end)
		return true;
	return pc >= (u64)kernel_text_start && pc < (u64)kernel_text_end;
}

/* Return addresses from `s` on; the first is s->rip itself. */
static unsigned chain(struct unwind_state *s, bool is_return_address, unwind_read_fn read, u64 *to,
		      unsigned max)
{
	struct unwind_table t = kernel_unwind_table(read);
	unsigned n = 0;

	while (n < max && is_kernel_text(s->registers[UNWIND_RIP])) {
		u64 sp = s->registers[UNWIND_RSP];

		to[n++] = s->registers[UNWIND_RIP];
		if (!unwind_step(&t, s, is_return_address))
			break;
		/* An interrupt stack may lie above or below; otherwise the stack only grows. */
		if (s->registers[UNWIND_RSP] == sp)
			break;
		is_return_address = true;
	}
	return n;
}

static void state_from_frame(struct unwind_state *s, const struct trap_frame *f)
{
	/* DWARF: rax rdx rcx rbx rsi rdi rbp rsp r8 … r15 rip. */
	*s = (struct unwind_state){ { f->rax, f->rdx, f->rcx, f->rbx, f->rsi, f->rdi, f->rbp,
				      f->rsp, f->r8, f->r9, f->r10, f->r11, f->r12, f->r13, f->r14,
				      f->r15, f->rip } };
}

static __noinline void state_here(struct unwind_state *s)
{
	u64 *r = s->registers;

	__asm__ volatile("mov %%rbx, %0; mov %%rbp, %1; mov %%rsp, %2; mov %%r12, %3;"
			 "mov %%r13, %4; mov %%r14, %5; mov %%r15, %6"
			 : "=m"(r[3]), "=m"(r[6]), "=m"(r[7]), "=m"(r[12]), "=m"(r[13]),
			   "=m"(r[14]), "=m"(r[15]));
	__asm__ volatile("lea 0(%%rip), %0" : "=r"(r[UNWIND_RIP]));
}

void arch_backtrace(const struct trap_frame *frame)
{
	struct unwind_state s = { 0 };
	u64 trace[MAX_FRAMES];

	if (frame)
		state_from_frame(&s, frame);
	else
		state_here(&s);
	unsigned n = chain(&s, false, read_mapped, trace, MAX_FRAMES);

	for (unsigned i = 0; i < n; i++)
		log_write(LOG_EMERG, "  [<%016lx>]", trace[i]);
}

unsigned arch_stack_trace_here(u64 *to, unsigned max)
{
	struct unwind_state s = { 0 };

	state_here(&s);
	return chain(&s, false, probe_read_u64, to, max);
}

unsigned arch_stack_trace(const struct arch_thread *t, u64 *to, unsigned max)
{
	struct unwind_state s = { 0 };
	u64 saved[7];

	/* What stack_switch pushed: r15 r14 r13 r12 rbp rbx, and its return address. */
	for (unsigned i = 0; i < 7; i++)
		if (!probe_read_u64(&saved[i], (const u64 *)READ_ONCE(t->rsp) + i))
			return 0;
	for (unsigned i = 0; i < 4; i++)
		s.registers[15 - i] = saved[i];
	s.registers[UNWIND_RBP] = saved[4];
	s.registers[UNWIND_RBX] = saved[5];
	s.registers[UNWIND_RIP] = saved[6];
	s.registers[UNWIND_RSP] = READ_ONCE(t->rsp) + sizeof(saved);
	return chain(&s, true, probe_read_u64, to, max);
}
