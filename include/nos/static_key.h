/*
 * Static keys: a condition that is nearly always false and costs one no-op.
 *
 *	DEFINE_STATIC_KEY(latency_key);
 *	if (static_key_is_on(&latency_key))
 *		...
 *
 * The test is a five-byte no-op; turning the key on makes it a jump to the
 * body, in every place, while other CPUs run through it (core/static_key.c,
 * arch/x86_64/text_patch.c).  Not for code that runs in an NMI or a machine
 * check, nor on the way to the breakpoint handler.
 */
#pragma once

#include <nos/types.h>

struct static_key {
	bool on;
};

#define DEFINE_STATIC_KEY(name) struct static_key name

/*
 * A site need not be a no-op: whose `off` is another instruction costs nothing
 * while the key is off, and `target` then does that instruction's work, too.
 */
struct static_key_site {
	u64 at, target;
	struct static_key *key;
	u64 off; /* the five bytes at `at` while the key is off */
};
#define STATIC_KEY_NO_OP 0x0000441f0ful

#if defined(NOS_NATIVE) /* benchmarks on the host: as dear as in the kernel, and always off */
static __always_inline bool static_key_is_on(const struct static_key *k)
{
	(void)k;
	__asm__ volatile(".byte 0x0f, 0x1f, 0x44, 0x00, 0x00");
	return false;
}
#elif defined(NOS_HOST)
static inline bool static_key_is_on(const struct static_key *k)
{
	return READ_ONCE(k->on);
}
#else
static __always_inline bool static_key_is_on(const struct static_key *k)
{
	__asm__ goto("1: .byte 0x0f, 0x1f, 0x44, 0x00, 0x00\n"
		     ".pushsection static_key_sites, \"a\"\n"
		     ".balign 8\n"
		     ".quad 1b, %l[on], %c0, %c1\n"
		     ".popsection"
		     :
		     : "i"(k), "i"(STATIC_KEY_NO_OP)
		     :
		     : on);
	return false;
on:
	return true;
}
#endif

/* Switches every site; sleeps.  When it returns, every CPU goes the new way. */
void static_key_set(struct static_key *k, bool on);

/*
 * arch: the five bytes at the site become a jump to its target, or what they are with the key off.
 * The caller serialises, with preemption off and interrupts on.
 */
void text_patch_site(const struct static_key_site *s, bool on);
