/*
 * ChaCha20 key stream, four blocks at a time in AVX2 registers.
 *
 * Two blocks lie in four registers, a row of the 4 × 4 state in each half; two
 * such sets take turns, for one waits for its own results at each step.  The
 * second half of a double round works on diagonals: the rows are turned so that
 * they become columns, and back.
 *
 * References: RFC 8439, 2.3.
 */
#include "x86.h"

	/* a, b, c, d of both sets; a round of four quarter rounds on columns */
	.macro ROUND a1 b1 c1 d1 a2 b2 c2 d2
	vpaddd \b1, \a1, \a1
	vpaddd \b2, \a2, \a2
	vpxor \a1, \d1, \d1
	vpxor \a2, \d2, \d2
	vpshufb %ymm10, \d1, \d1
	vpshufb %ymm10, \d2, \d2
	MIX \b1 \c1 \d1 \b2 \c2 \d2 12 20
	vpaddd \b1, \a1, \a1
	vpaddd \b2, \a2, \a2
	vpxor \a1, \d1, \d1
	vpxor \a2, \d2, \d2
	vpshufb %ymm11, \d1, \d1
	vpshufb %ymm11, \d2, \d2
	MIX \b1 \c1 \d1 \b2 \c2 \d2 7 25
	.endm
	.macro MIX b1 c1 d1 b2 c2 d2 left right
	vpaddd \d1, \c1, \c1
	vpaddd \d2, \c2, \c2
	vpxor \c1, \b1, \b1
	vpxor \c2, \b2, \b2
	vpslld $\left, \b1, %ymm8
	vpslld $\left, \b2, %ymm9
	vpsrld $\right, \b1, \b1
	vpsrld $\right, \b2, \b2
	vpor %ymm8, \b1, \b1
	vpor %ymm9, \b2, \b2
	.endm
	.macro TURN b c d first last
	vpshufd $\first, \b, \b
	vpshufd $0x4e, \c, \c
	vpshufd $\last, \d, \d
	.endm
	/* Adds what the rounds began with and writes two blocks. */
	.macro WRITE a b c d xa xb xc xd counters offset
	vpaddd %ymm12, \a, \a
	vpaddd %ymm13, \b, \b
	vpaddd %ymm14, \c, \c
	vpaddd \counters, \d, \d
	vinserti128 $1, \xb, \a, %ymm8
	vinserti128 $1, \xd, \c, %ymm9
	vmovdqu %ymm8, \offset(%rsi)
	vmovdqu %ymm9, \offset+32(%rsi)
	vperm2i128 $0x31, \b, \a, %ymm8
	vperm2i128 $0x31, \d, \c, %ymm9
	vmovdqu %ymm8, \offset+64(%rsi)
	vmovdqu %ymm9, \offset+96(%rsi)
	.endm

	.text
/*
 * void chacha20_stream_avx2(const u32 key[8], void *to, u64 len)
 * From counter 0, with nonce 0; len is a multiple of 256, not 0.  Leaves the
 * vector registers zero.
 */
	.globl chacha20_stream_avx2
	.type chacha20_stream_avx2, @function
	.balign 16
chacha20_stream_avx2:
	.cfi_startproc
	vmovdqa rotate_16(%rip), %ymm10
	vmovdqa rotate_8(%rip), %ymm11
	vbroadcasti128 words(%rip), %ymm12
	vbroadcasti128 (%rdi), %ymm13
	vbroadcasti128 16(%rdi), %ymm14
	vmovdqa counters(%rip), %ymm15
1:	vmovdqa %ymm12, %ymm0
	vmovdqa %ymm13, %ymm1
	vmovdqa %ymm14, %ymm2
	vmovdqa %ymm15, %ymm3
	vmovdqa %ymm12, %ymm4
	vmovdqa %ymm13, %ymm5
	vmovdqa %ymm14, %ymm6
	vpaddd two(%rip), %ymm15, %ymm7
	mov $10, %ecx
2:	ROUND %ymm0 %ymm1 %ymm2 %ymm3 %ymm4 %ymm5 %ymm6 %ymm7
	TURN %ymm1 %ymm2 %ymm3 0x39 0x93
	TURN %ymm5 %ymm6 %ymm7 0x39 0x93
	ROUND %ymm0 %ymm1 %ymm2 %ymm3 %ymm4 %ymm5 %ymm6 %ymm7
	TURN %ymm1 %ymm2 %ymm3 0x93 0x39
	TURN %ymm5 %ymm6 %ymm7 0x93 0x39
	dec %ecx
	jnz 2b
	WRITE %ymm0 %ymm1 %ymm2 %ymm3 %xmm0 %xmm1 %xmm2 %xmm3 %ymm15 0
	vpaddd two(%rip), %ymm15, %ymm15
	WRITE %ymm4 %ymm5 %ymm6 %ymm7 %xmm4 %xmm5 %xmm6 %xmm7 %ymm15 128
	vpaddd two(%rip), %ymm15, %ymm15
	add $256, %rsi
	sub $256, %rdx
	jnz 1b
	vzeroall
	ret
	.cfi_endproc
	.size chacha20_stream_avx2, . - chacha20_stream_avx2

	.section .rodata
	.balign 32
rotate_16:
	.rept 2
	.byte 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13
	.endr
rotate_8:
	.rept 2
	.byte 3, 0, 1, 2, 7, 4, 5, 6, 11, 8, 9, 10, 15, 12, 13, 14
	.endr
counters:				/* of the two blocks of a set */
	.long 0, 0, 0, 0, 1, 0, 0, 0
two:
	.long 2, 0, 0, 0, 2, 0, 0, 0
words:
	.ascii "expand 32-byte k"
	.section .note.GNU-stack, "", @progbits
