/*
 * Where another CPU starts: real mode, at TRAMPOLINE_PHYS, after INIT-SIPI.
 * cpu_start_secondaries() copies this page there and fills in its parameters.
 * The page table that it names maps the low page at its own address.
 */
#include "x86.h"
#define REL(x) ((x) - trampoline_start + TRAMPOLINE_PHYS)

	.section .rodata
	.balign 16
	.globl trampoline_start, trampoline_end, trampoline_parameters
	.code16
trampoline_start:
	cli
	cld
	xor %ax, %ax
	mov %ax, %ds
	lgdtl REL(trampoline_gdt_pointer)
	mov %cr0, %eax
	or $CR0_PE, %al
	mov %eax, %cr0
	ljmpl $0x08, $REL(trampoline_32)
	.code32
trampoline_32:
	mov $0x18, %eax
	mov %eax, %ds
	mov %eax, %ss
	mov $CR4_PAE, %eax
	mov %eax, %cr4
	mov REL(trampoline_page_table), %eax
	mov %eax, %cr3
	mov $MSR_EFER, %ecx
	rdmsr
	or $(EFER_LME | EFER_NXE), %eax
	wrmsr
	mov $(CR0_PG | CR0_WP | CR0_NE | CR0_ET | CR0_MP | CR0_PE), %eax
	mov %eax, %cr0
	ljmp $0x10, $REL(trampoline_64)
	.code64
trampoline_64:
	xor %eax, %eax
	mov %eax, %ds
	mov %eax, %es
	mov %eax, %fs
	mov %eax, %gs
	mov REL(trampoline_kernel_table), %rax
	mov REL(trampoline_stack), %rsp
	mov REL(trampoline_percpu), %rsi
	mov REL(trampoline_cpu), %edi
	mov $secondary_high, %rcx
	jmp *%rcx

	.balign 8
trampoline_gdt:
	.quad 0
	.quad 0x00cf9b000000ffff	/* 0x08: 32-bit code */
	.quad 0x00af9b000000ffff	/* 0x10: 64-bit code, KERNEL_CS */
	.quad 0x00cf93000000ffff	/* 0x18: data, KERNEL_DS */
trampoline_gdt_pointer:
	.short . - trampoline_gdt - 1
	.long REL(trampoline_gdt)
	.balign 8
trampoline_parameters:			/* struct trampoline_parameters of smp.c */
trampoline_page_table:
	.quad 0
trampoline_kernel_table:
	.quad 0
trampoline_stack:
	.quad 0
trampoline_percpu:
	.quad 0
trampoline_cpu:
	.quad 0
trampoline_end:

	.text
/* rax: kernel page table, rsi: per-CPU base, edi: CPU number; stack is set. */
secondary_high:
	mov %rax, %cr3
	/* The trampoline's descriptors are gone: a null ss will do in ring 0 of 64-bit mode. */
	xor %eax, %eax
	mov %eax, %ss
	mov %rsi, %rdx
	mov %esi, %eax
	shr $32, %rdx
	mov $MSR_GS_BASE, %ecx
	wrmsr
	pushq $0			/* end of the call chain */
	call arch_secondary_main
	ud2
	.section .note.GNU-stack, "", @progbits
