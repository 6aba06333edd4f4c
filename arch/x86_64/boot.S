/*
 * Entry from the boot loader: PVH (Xen's HVM direct boot ABI) and multiboot2,
 * both in 32-bit protected mode with paging off, flat segments and interrupts
 * off.  Builds a first page table that maps the low 4 GiB at 0, at the direct
 * map and (1 GiB) at the image's base, enters long mode, and calls
 * arch_boot_main(kind, info, first_cycles), which replaces that table.
 *
 * Until paging is on, symbols are used by their physical address, PA(x).
 */
#include "x86.h"
#define IMAGE_BASE 0xffffffff80000000
#define PA(x) ((x) - IMAGE_BASE)

	.section .multiboot, "a"
	.balign 8
multiboot_header:
	.long 0xe85250d6		/* magic */
	.long 0				/* i386 protected mode */
	.long multiboot_header_end - multiboot_header
	.long -(0xe85250d6 + (multiboot_header_end - multiboot_header))
	.balign 8
	.short 3, 0			/* entry address */
	.long 12
	.long PA(multiboot_entry)
	.balign 8
	.short 6, 0			/* modules page aligned */
	.long 8
	.balign 8
	.short 0, 0
	.long 8
multiboot_header_end:

	.section .note.pvh, "a", @note
	.balign 4
	.long 4, 8, 18			/* name size, value size, XEN_ELFNOTE_PHYS32_ENTRY */
	.asciz "Xen"
	.quad PA(pvh_entry)

	.section .init.entry, "ax"
	.code32
	.globl pvh_entry
pvh_entry:
	rdtsc
	mov %edx, %edi
	mov %eax, %esi
	mov $BOOT_PVH, %ebp
	jmp boot_common

	.globl multiboot_entry
multiboot_entry:
	rdtsc				/* eax held the loader's magic */
	mov %edx, %edi
	mov %eax, %esi
	mov $BOOT_MULTIBOOT2, %ebp

/* ebp: kind, ebx: physical address of the information, edi:esi: cycles */
boot_common:
	cli
	cld
	mov $PA(boot_stack_top), %esp
	push %ebx
	mov $0x80000000, %eax
	cpuid
	cmp $0x80000001, %eax
	jb boot_too_old
	mov $0x80000001, %eax
	cpuid
	and $((1 << 29) | (1 << 20)), %edx	/* long mode, NX */
	cmp $((1 << 29) | (1 << 20)), %edx
	jne boot_too_old

	/* Four directories of 2 MiB pages: 0 to 4 GiB. */
	mov $PA(boot_directories), %ecx
	mov $0x83, %eax			/* present, write, huge */
1:	mov %eax, (%ecx)
	add $8, %ecx
	add $0x200000, %eax
	jnc 1b
	/* Third and top level. */
	mov $(PA(boot_directories) + 3), %eax
	mov %eax, PA(boot_low_table)
	mov %eax, PA(boot_image_table) + 510 * 8
	add $4096, %eax
	mov %eax, PA(boot_low_table) + 8
	add $4096, %eax
	mov %eax, PA(boot_low_table) + 16
	add $4096, %eax
	mov %eax, PA(boot_low_table) + 24
	mov $(PA(boot_low_table) + 3), %eax
	mov %eax, PA(boot_top_table)
	mov %eax, PA(boot_top_table) + 256 * 8
	mov $(PA(boot_image_table) + 3), %eax
	mov %eax, PA(boot_top_table) + 511 * 8

	mov $CR4_PAE, %eax
	mov %eax, %cr4
	mov $PA(boot_top_table), %eax
	mov %eax, %cr3
	mov $MSR_EFER, %ecx
	rdmsr
	or $(EFER_LME | EFER_NXE), %eax
	wrmsr
	mov $(CR0_PG | CR0_WP | CR0_NE | CR0_ET | CR0_MP | CR0_PE), %eax
	mov %eax, %cr0
	pop %ebx
	lgdt PA(boot_gdt_pointer)
	ljmp $KERNEL_CS, $PA(boot_long_mode)

boot_too_old:
	mov $PA(boot_too_old_text), %esi
	mov $0x3f8, %edx
1:	lodsb
	test %al, %al
	jz 2f
	out %al, %dx
	jmp 1b
2:	hlt
	jmp 2b

	.code64
boot_long_mode:
	mov $boot_high, %rax
	jmp *%rax
boot_high:
	xor %eax, %eax
	mov %eax, %ds
	mov %eax, %es
	mov %eax, %fs
	mov %eax, %gs
	mov $KERNEL_DS, %eax
	mov %eax, %ss
	mov $boot_stack_top, %rsp
	/* The boot CPU's per-CPU variables are the section itself: base 0. */
	mov $MSR_GS_BASE, %ecx
	xor %eax, %eax
	xor %edx, %edx
	wrmsr
	push %rax			/* end of the call chain */
	mov %esi, %edx
	shl $32, %rdi
	or %rdi, %rdx
	mov %ebp, %edi
	mov %ebx, %esi
	call arch_boot_main
	ud2

	.balign 8
boot_gdt:
	.quad 0, 0
	.quad 0x00af9b000000ffff	/* KERNEL_CS */
	.quad 0x00cf93000000ffff	/* KERNEL_DS */
boot_gdt_pointer:
	.short . - boot_gdt - 1
	.long PA(boot_gdt)
boot_too_old_text:
	.asciz "NOS: this processor has no 64-bit mode or no NX bit.\r\n"

	.section .bss.page_aligned, "aw", @nobits
	.balign 4096
	.globl boot_top_table, boot_low_table, boot_directories
boot_top_table:
	.fill 4096, 1, 0
boot_low_table:
	.fill 4096, 1, 0
boot_image_table:
	.fill 4096, 1, 0
boot_directories:
	.fill 4 * 4096, 1, 0
/* The lowest page is unmapped later: the guard of the boot CPU's idle stack. */
	.globl boot_stack, boot_stack_top
boot_stack:
	.fill 4096 + BOOT_STACK_SIZE, 1, 0
boot_stack_top:
/* Its interrupt stacks; each keeps the CPU's per-CPU base in its top 16 bytes. */
	.globl boot_ist_stacks
boot_ist_stacks:
	.fill NR_IST * IST_STACK_SIZE, 1, 0
	.section .note.GNU-stack, "", @progbits
