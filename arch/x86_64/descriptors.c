/*
 * Segment descriptors, task state segment, interrupt descriptors, and the
 * registers of SYSCALL, for each CPU.
 *
 * NMI, #DF, #MC and #DB have interrupt stacks, for they can arrive where the
 * stack pointer or the gs base is still the user's: between SYSCALL and the
 * stack switch, or (#DB) after `mov ss` (SDM vol. 3, 6.8.3).  The top 16 bytes
 * of each such stack hold the CPU's per-CPU base, see entry.S.
 */
#include <nos/arch.h>
#include <nos/cpu.h>
#include <nos/string.h>

#include "x86.h"

struct tss {
	u32 reserved0;
	u64 rsp[3];
	u64 reserved1;
	u64 ist[7];
	u64 reserved2;
	u16 reserved3;
	u16 io_map;
} __packed;
static_assert(sizeof(struct tss) == 104);

struct gate {
	u16 offset_low, selector;
	u8 ist, type;
	u16 offset_middle;
	u32 offset_high, reserved;
};
static_assert(sizeof(struct gate) == 16);

struct table_pointer {
	u16 limit;
	u64 base;
} __packed;

#define GDT_ENTRIES 16
static DEFINE_PERCPU(u64, gdt[GDT_ENTRIES]) __aligned(64);
static DEFINE_PERCPU(struct tss, tss) __aligned(64);
/* Where SYSCALL finds its stack, and the scratch word in which it keeps the user's. */
DEFINE_PERCPU(u64, kernel_stack_top);
DEFINE_PERCPU(u64, user_stack_saved);

static struct gate idt[256] __ro_after_init __aligned(16);
extern const char trap_stubs[], irq_stubs[], syscall_entry[];
#define STUB_SIZE 16

void tss_set_stack(u64 stack_top)
{
	/* tss.rsp is not aligned to 8 bytes in the hardware's layout. */
	this_cpu_write(tss.rsp[0], stack_top);
	this_cpu_write(kernel_stack_top, stack_top);
}

static void gate_set(unsigned vector, const char *handler, unsigned ist, unsigned dpl)
{
	u64 a = (u64)handler;

	idt[vector] = (struct gate){
		.offset_low = (u16)a,
		.offset_middle = (u16)(a >> 16),
		.offset_high = (u32)(a >> 32),
		.selector = KERNEL_CS,
		.ist = (u8)ist,
		.type = (u8)(0x8e | dpl << 5),
	};
}

static void idt_build(void)
{
	static const u8 ists[32] = {
		[VECTOR_NMI] = IST_NMI,
		[VECTOR_DF] = IST_DF,
		[VECTOR_MC] = IST_MC,
		[VECTOR_DB] = IST_DB,
	};

	for (unsigned v = 0; v < 32; v++)
		gate_set(v, trap_stubs + v * STUB_SIZE, ists[v],
			 v == VECTOR_BP || v == VECTOR_OF ? 3 : 0);
	for (unsigned v = 32; v < 256; v++)
		gate_set(v, irq_stubs + (v - 32) * STUB_SIZE, 0, 0);
}

static u64 cpu_number(void)
{
	return cpu_id() | (u64)numa_node_of_cpu(cpu_id()) << 12;
}

static void gdt_build(u64 *g, const struct tss *t)
{
	u64 base = (u64)t, limit = sizeof(*t) - 1;

	g[KERNEL_CS / 8] = 0x00af9b000000ffff;
	g[KERNEL_DS / 8] = 0x00cf93000000ffff;
	g[0x20 / 8] = 0x00cffb000000ffff; /* 32-bit user code: SYSRET's base selector */
	g[USER_DS / 8] = 0x00cff3000000ffff;
	g[USER_CS / 8] = 0x00affb000000ffff;
	g[TSS_SELECTOR / 8] =
		limit | (base & 0xffffff) << 16 | 0x89ull << 40 | (base >> 24 & 0xff) << 56;
	g[TSS_SELECTOR / 8 + 1] = base >> 32;
	/* Its limit, for lsl in user mode: cpu | node << 12. */
	u64 number = cpu_number();

	g[CPU_NUMBER_SELECTOR / 8] =
		0x0040f50000000000 | (number & 0xffff) | (number >> 16 & 0xf) << 48;
}

static void syscall_msrs_set(void)
{
	wrmsr(MSR_STAR, (u64)(0x20 | 3) << 48 | (u64)KERNEL_CS << 32);
	wrmsr(MSR_LSTAR, (u64)syscall_entry);
	wrmsr(MSR_CSTAR, 0);
	wrmsr(MSR_SFMASK, RFLAGS_SYSCALL_MASK);
	wrmsr(MSR_KERNEL_GS_BASE, 0);
	wrmsr(MSR_FS_BASE, 0);
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_SCE | EFER_NXE);
	if (cpu_has(CPU_RDTSCP))
		wrmsr(MSR_TSC_AUX, cpu_number());
}

void descriptors_init_cpu(const struct cpu_stacks *stacks)
{
	u64 *g = (u64 *)this_cpu_ptr(gdt);
	struct tss *t = this_cpu_ptr(tss);

	if (cpu_id() == 0)
		idt_build();
	memset(t, 0, sizeof(*t));
	t->io_map = sizeof(*t);
	for (unsigned i = 0; i < NR_IST; i++) {
		u64 *top = (u64 *)stacks->ist_top[i];

		top[-2] = this_cpu_read(this_percpu_offset);
		t->ist[i] = (u64)(top - 2);
	}
	gdt_build(g, t);

	struct table_pointer gp = { GDT_ENTRIES * 8 - 1, (u64)g };
	struct table_pointer ip = { sizeof(idt) - 1, (u64)idt };

	__asm__ volatile("lgdt %0; lidt %1; ltr %w2" ::"m"(gp), "m"(ip), "r"(TSS_SELECTOR));
	syscall_msrs_set();
}
