/*
 * Single loads and stores of user memory between user_section_begin and _end,
 * where SMAP is open: for layouts of many fields.  Nothing is called inside.  A
 * fault that can't be resolved goes to the label, with the section still open.
 * The address has been through user_section_begin, as in uaccess.S.
 */
#pragma once

#include <nos/types.h>

/* An address of the upper half becomes one where nothing is mapped. */
static __always_inline void *user_section_begin(u64 address)
{
	__asm__ volatile("771: .byte 0x0f, 0x1f, 0x00\n"
			 ".pushsection smap_open_sites, \"a\"\n.quad 771b\n.popsection" ::
				 : "memory");
	return (void *)(address | (u64)((s64)address >> 63));
}

static __always_inline void user_section_end(void)
{
	__asm__ volatile("771: .byte 0x0f, 0x1f, 0x00\n"
			 ".pushsection smap_close_sites, \"a\"\n.quad 771b\n.popsection" ::
				 : "memory");
}

#define USER_SECTION_FAULT(label)                                                                  \
	".pushsection exception_table, \"a\"\n.quad 771b, " label "\n.popsection"

#define user_section_store(value, to, fault)                                                       \
	__asm__ goto(                                                                              \
		"771: mov %0, (%1)\n" USER_SECTION_FAULT("%l2")::"r"((__typeof__(*(to)))(value)),  \
		"r"(to)                                                                            \
		: "memory"                                                                         \
		: fault)

/* The empty statement behind it: gcc before 14 may take the output for unset (its bug 113921). */
#define user_section_load(value, from, fault)                                                      \
	do {                                                                                       \
		__asm__ goto("771: mov (%1), %0\n" USER_SECTION_FAULT("%l2")                       \
			     : "=r"(value)                                                         \
			     : "r"(from)                                                           \
			     : "memory"                                                            \
			     : fault);                                                             \
		__asm__ volatile("");                                                              \
	} while (0)

/* XSAVE, XRSTOR and the like of the components in `mask`. */
#define user_section_state(instruction, area, mask, fault)                                         \
	__asm__ goto("771: " instruction " (%0)\n" USER_SECTION_FAULT("%l3")::"r"(area),           \
		     "a"((u32)(mask)), "d"((u32)((mask) >> 32))                                    \
		     : "memory"                                                                    \
		     : fault)
