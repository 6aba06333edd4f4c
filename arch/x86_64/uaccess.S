/*
 * Copies between kernel and user memory; contract in <nos/uaccess.h>.
 *
 * Concepts.  A user address is masked, not compared: one from the upper half
 * becomes all ones, where nothing is ever mapped, so that a bad pointer faults
 * like any other, and speculation can't read kernel memory through it.  One
 * in the non-canonical hole raises #GP.  Copies ascend and skip no page, and
 * the last page of the user half is never mapped, so a range that begins in
 * the user half can't run into the kernel's.
 *
 * Each instruction that may fault has an entry in exception_table: when the
 * fault can't be resolved, execution goes on at the second address.
 *
 * The bytes of copies are counted (<nos/uaccess.h>) by a detour that a static
 * key puts over the first instruction of copy_from_user and copy_to_user, the
 * lea of MASK_OR_COUNT; while the key is off it is just the first of MASK.
 *
 * AC (SMAP open) is set only from USER_OPEN to USER_CLOSE; a trap clears it and
 * IRET restores it, so sleeping in a fault is safe.  Both are NOPs until
 * uaccess_patch() finds SMAP.
 */
#include "x86.h"

	.macro USER_OPEN
771:	.byte 0x0f, 0x1f, 0x00
	.pushsection smap_open_sites, "a"
	.quad 771b
	.popsection
	.endm
	.macro USER_CLOSE
772:	.byte 0x0f, 0x1f, 0x00
	.pushsection smap_close_sites, "a"
	.quad 772b
	.popsection
	.endm
	.macro FAULT from to
	.pushsection exception_table, "a"
	.quad \from, \to
	.popsection
	.endm
	.macro MASK reg scratch
	mov \reg, \scratch
	sar $63, \scratch
	or \scratch, \reg
	.endm
	/* As MASK with rax; `modrm` and `off` encode lea 0(\reg), %rax with 32 bits of zero. */
	.macro MASK_OR_COUNT reg modrm off counter
773:	.byte 0x48, 0x8d, \modrm, 0, 0, 0, 0
774:	sar $63, %rax
	or %rax, \reg
	.pushsection static_key_sites, "a"
	.balign 8
	.quad 773b, 775f, user_copies_key, \off
	.popsection
	.pushsection .text.count, "ax"
775:	add %rdx, %gs:\counter
	mov \reg, %rax
	jmp 774b
	.popsection
	.endm
	.macro FUNCTION name
	.globl \name
	.type \name, @function
	.balign 16
\name:
	.cfi_startproc
	.endm
	.macro END name
	.cfi_endproc
	.size \name, . - \name
	.endm

	.text

/* size_t copy_from_user(void *to, const void *from, size_t n): bytes not copied */
FUNCTION copy_from_user
	MASK_OR_COUNT %rsi, 0x86, 0x0000868d48, counter_from_user
	jmp copy_masked
END copy_from_user

/* size_t copy_to_user(void *to, const void *from, size_t n) */
FUNCTION copy_to_user
	MASK_OR_COUNT %rdi, 0x87, 0x0000878d48, counter_to_user
copy_masked:
	mov %rdx, %rcx
	USER_OPEN
	cmp $16, %rcx
	jb 3f
	cmp $128, %rcx
	jae 6f
	/* 16 to 127 bytes: two words at a time, then the last two words, which may overlap them. */
1:	mov (%rsi), %rax
10:	mov 8(%rsi), %r8
2:	mov %rax, (%rdi)
20:	mov %r8, 8(%rdi)
	add $16, %rsi
	add $16, %rdi
	sub $16, %rcx
	cmp $16, %rcx
	jae 1b
	test %ecx, %ecx
	jz 5f
21:	mov -16(%rsi, %rcx), %rax
22:	mov -8(%rsi, %rcx), %r8
23:	mov %rax, -16(%rdi, %rcx)
24:	mov %r8, -8(%rdi, %rcx)
	xor %ecx, %ecx
	jmp 5f
3:	cmp $1, %ecx
	jb 5f
	je 43f
	/* 2 to 15 bytes: the first and the last part, which may overlap. */
	cmp $8, %ecx
	jb 31f
28:	mov (%rsi), %rax
25:	mov -8(%rsi, %rcx), %r8
29:	mov %rax, (%rdi)
26:	mov %r8, -8(%rdi, %rcx)
	xor %ecx, %ecx
	jmp 5f
31:	cmp $4, %ecx
	jb 32f
30:	mov (%rsi), %eax
33:	mov -4(%rsi, %rcx), %r8d
40:	mov %eax, (%rdi)
34:	mov %r8d, -4(%rdi, %rcx)
	xor %ecx, %ecx
	jmp 5f
32:	cmp $2, %ecx
	jne 91f
41:	movzwl (%rsi), %eax
42:	mov %ax, (%rdi)
	xor %ecx, %ecx
	jmp 5f
43:	movzbl (%rsi), %eax
44:	mov %al, (%rdi)
	dec %ecx
5:	USER_CLOSE
	mov %rcx, %rax
	ret
6:	testb $1, copy_by_bytes(%rip)
	jz 8f
7:	rep movsb
	jmp 5b
8:	mov %ecx, %edx
	shr $3, %rcx
	and $7, %edx
9:	rep movsq
	jz 5b				/* the flags are those of the and */
	/* The rest lies in the last word, which overlaps what was copied. */
45:	mov -8(%rsi, %rdx), %rax
46:	mov %rax, -8(%rdi, %rdx)
	jmp 5b
/* A word faulted: go on by bytes to the very byte. */
90:	lea (%rdx, %rcx, 8), %rcx
91:	test %rcx, %rcx
	jz 5b
92:	movzbl (%rsi), %eax
93:	mov %al, (%rdi)
	inc %rsi
	inc %rdi
	dec %rcx
	jmp 91b
	FAULT 1b, 91b
	FAULT 10b, 91b
	FAULT 2b, 91b
	FAULT 20b, 91b
	FAULT 21b, 91b
	FAULT 22b, 91b
	FAULT 23b, 91b
	FAULT 24b, 91b
	FAULT 25b, 91b
	FAULT 26b, 91b
	FAULT 28b, 91b
	FAULT 29b, 91b
	FAULT 30b, 91b
	FAULT 33b, 91b
	FAULT 34b, 91b
	FAULT 40b, 91b
	FAULT 41b, 91b
	FAULT 42b, 91b
	FAULT 43b, 5b
	FAULT 44b, 5b
	FAULT 45b, 90b
	FAULT 46b, 90b
	FAULT 7b, 5b
	FAULT 9b, 90b
	FAULT 92b, 5b
	FAULT 93b, 5b
END copy_to_user

/* size_t clear_user(void *to, size_t n) */
FUNCTION clear_user
	MASK %rdi, %rax
	USER_OPEN
	mov %rsi, %rcx
	xor %eax, %eax
	mov %ecx, %edx
	shr $3, %rcx
	and $7, %edx
1:	rep stosq
	mov %edx, %ecx
2:	rep stosb
3:	USER_CLOSE
	mov %rcx, %rax
	ret
4:	lea (%rdx, %rcx, 8), %rcx
	jmp 2b
	FAULT 1b, 4b
	FAULT 2b, 3b
END clear_user

/*
 * ssize_t string_from_user(char *to, const char *from, size_t size)
 * Eight bytes at a time while no byte of the word is zero: (x − 01…) & ~x & 80….
 */
FUNCTION string_from_user
	MASK %rsi, %rax
	mov %rdx, %r8			/* size */
	mov %rdx, %rcx			/* left */
	mov $-0x0101010101010101, %r9
	mov $0x8080808080808080, %r10
	USER_OPEN
	cmp $8, %rcx
	jb 3f
2:	mov (%rsi), %rax
	lea (%rax, %r9), %rdx
	mov %rax, (%rdi)
	not %rax
	and %r10, %rdx
	and %rax, %rdx
	jnz 8f
	add $8, %rsi
	add $8, %rdi
	sub $8, %rcx
	cmp $8, %rcx
	jae 2b
	jmp 3f
8:	USER_CLOSE			/* the lowest bit set is in the first zero byte */
	bsf %rdx, %rdx
	shr $3, %rdx
	mov %r8, %rax
	sub %rcx, %rax
	add %rdx, %rax
	ret
3:	test %rcx, %rcx
	jz 6f
4:	movzbl (%rsi), %eax
	mov %al, (%rdi)
	test %al, %al
	jz 5f
	inc %rsi
	inc %rdi
	dec %rcx
	jmp 3b
5:	USER_CLOSE
	mov %r8, %rax
	sub %rcx, %rax
	ret
6:	USER_CLOSE
	mov %r8, %rax
	ret
7:	USER_CLOSE
	mov $-14, %rax
	ret
	FAULT 2b, 3b
	FAULT 4b, 7b
END string_from_user

/* int user_load_u32(u32 *value, const u32 *from), and so on: 0 or −EFAULT */
	.macro USER_LOAD name reg
FUNCTION \name
	MASK %rsi, %rax
	USER_OPEN
1:	mov (%rsi), \reg
	USER_CLOSE
	mov \reg, (%rdi)
	xor %eax, %eax
	ret
	FAULT 1b, user_fault
END \name
	.endm
	USER_LOAD user_load_u32 %ecx
	USER_LOAD user_load_u64 %rcx

	.macro USER_STORE name reg
FUNCTION \name
	MASK %rdi, %rax
	USER_OPEN
1:	mov \reg, (%rdi)
	USER_CLOSE
	xor %eax, %eax
	ret
	FAULT 1b, user_fault
END \name
	.endm
	USER_STORE user_store_u32 %esi
	USER_STORE user_store_u64 %rsi

/* int \name(void *to, \first …, u64 second): 0 or −EFAULT; the second is \offset bytes behind the first */
.macro STORE_TWO name, first, offset
FUNCTION \name
	MASK %rdi, %rax
	USER_OPEN
1:	mov \first, (%rdi)
2:	mov %rdx, \offset(%rdi)
	USER_CLOSE
	xor %eax, %eax
	ret
	FAULT 1b, user_fault
	FAULT 2b, user_fault
END \name
.endm

	STORE_TWO user_store_pair, %rsi, 8
	STORE_TWO user_store_u32_u64, %esi, 4

FUNCTION user_fault
	USER_CLOSE
	mov $-14, %eax
	ret
END user_fault

/* int user_cas_u32(u32 *p, u32 expected, u32 value, u32 *old) */
FUNCTION user_cas_u32
	MASK %rdi, %rax
	mov %esi, %eax
	USER_OPEN
1:	lock cmpxchg %edx, (%rdi)
	USER_CLOSE
	mov %eax, (%rcx)
	xor %eax, %eax
	ret
	FAULT 1b, user_fault
END user_cas_u32

/* bool probe_read_u64(u64 *value, const void *from): kernel memory that may not be mapped */
FUNCTION probe_read_u64
1:	mov (%rsi), %rax
	mov %rax, (%rdi)
	mov $1, %eax
	ret
2:	xor %eax, %eax
	ret
	FAULT 1b, 2b
END probe_read_u64

/*
 * int user_xrstor(void *area, u64 mask), user_fxrstor: 0 or −EFAULT.
 * XRSTOR and FXRSTOR raise #GP on an invalid image, before they load anything.
 */
	.macro USER_STATE name instruction
FUNCTION \name
	MASK %rdi, %rax
	mov %esi, %eax
	mov %rsi, %rdx
	shr $32, %rdx
	USER_OPEN
1:	\instruction (%rdi)
	USER_CLOSE
	xor %eax, %eax
	ret
	FAULT 1b, user_fault
END \name
	.endm
	USER_STATE user_xrstor xrstor64
	USER_STATE user_fxrstor fxrstor64
	.section .note.GNU-stack, "", @progbits
