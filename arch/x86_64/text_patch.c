/*
 * Changing an instruction while other CPUs may run it.
 *
 * A breakpoint is put over its first byte, then the rest is changed, then the
 * first byte.  Between the steps every CPU takes an interrupt, whose return
 * serialises it (SDM vol. 3, 8.1.3: cross-modifying code needs that of each
 * processor that runs it).  Who meets the breakpoint goes on behind the
 * instruction, as if it were the no-op that it is with the key off, or, if it
 * is none, to the target, which does the instruction's work; if the jump is
 * there by now, where that leads.  So an emulator that keeps the breakpoint it
 * translated for longer than a processor could is right, too.
 *
 * The breakpoint handler runs with interrupts off: a jump that it sees stays
 * whole until it returns, for the first step of a change waits for it.
 */
#include <nos/arch.h>
#include <nos/cpu.h>
#include <nos/pte.h>
#include <nos/static_key.h>
#include <nos/string.h>
#include "x86.h"

#define JUMP_LEN 5
#define JUMP 0xe9
#define BREAKPOINT 0xcc

extern const struct static_key_site __start_static_key_sites[] __weak;
extern const struct static_key_site __stop_static_key_sites[] __weak;

static const struct static_key_site *site_at(u64 at)
{
	for (const struct static_key_site *s = __start_static_key_sites;
	     s < __stop_static_key_sites; s++)
		if (s->at == at)
			return s;
	return NULL;
}

bool text_patch_trap(struct trap_frame *frame)
{
	u64 at = frame->rip - 1;
	const struct static_key_site *s = site_at(at);

	if (!s)
		return false;
	if (READ_ONCE(*(const u8 *)at) == JUMP || s->off != STATIC_KEY_NO_OP)
		frame->rip = s->target;
	else
		frame->rip = at + JUMP_LEN;
	return true;
}

static void store_byte(u64 at, u8 value)
{
	u64 flags = irq_save();

	kernel_store_protected_byte(at, value);
	irq_restore(flags);
}

static void serialise_one(void *arg)
{
	cpuid(0, 0);
}

static void serialise_all(void)
{
	cpu_call_mask(nr_cpus == 64 ? U64_MAX : bit(nr_cpus) - 1, serialise_one, NULL);
}

void text_patch_site(const struct static_key_site *s, bool on)
{
	u64 at = s->at;
	u32 distance = (u32)(s->target - (at + JUMP_LEN));
	u8 code[JUMP_LEN] = { JUMP };

	if (on)
		memcpy(code + 1, &distance, sizeof(distance));
	else
		memcpy(code, &s->off, JUMP_LEN);
	store_byte(at, BREAKPOINT);
	serialise_all();
	for (unsigned i = 1; i < JUMP_LEN; i++)
		store_byte(at + i, code[i]);
	serialise_all();
	store_byte(at, code[0]);
	serialise_all();
}
