/* Registers, bits and selectors of x86-64, and the files' private interfaces (arch). */
#pragma once

/* Selectors: Linux's values, for ptrace, core files and signal frames show them. */
#define KERNEL_CS 0x10
#define KERNEL_DS 0x18
#define USER_DS 0x2b
#define USER_CS 0x33
#define TSS_SELECTOR 0x40
#define CPU_NUMBER_SELECTOR 0x7b /* its limit holds CPU and node for lsl */

#define CR0_PE (1ul << 0)
#define CR0_MP (1ul << 1)
#define CR0_ET (1ul << 4)
#define CR0_NE (1ul << 5)
#define CR0_WP (1ul << 16)
#define CR0_PG (1ul << 31)
#define CR3_KEEP (1ul << 63) /* written only: the PCID's entries stay */
#define CR4_PAE (1ul << 5)
#define CR4_MCE (1ul << 6)
#define CR4_PGE (1ul << 7)
#define CR4_OSFXSR (1ul << 9)
#define CR4_OSXMMEXCPT (1ul << 10)
#define CR4_UMIP (1ul << 11)
#define CR4_FSGSBASE (1ul << 16)
#define CR4_PCIDE (1ul << 17)
#define CR4_OSXSAVE (1ul << 18)
#define CR4_SMEP (1ul << 20)
#define CR4_SMAP (1ul << 21)

#define MSR_APIC_BASE 0x1b
#define MSR_TSC_DEADLINE 0x6e0
#define MSR_X2APIC 0x800
#define MSR_EFER 0xc0000080
#define MSR_STAR 0xc0000081
#define MSR_LSTAR 0xc0000082
#define MSR_CSTAR 0xc0000083
#define MSR_SFMASK 0xc0000084
#define MSR_FS_BASE 0xc0000100
#define MSR_GS_BASE 0xc0000101
#define MSR_KERNEL_GS_BASE 0xc0000102
#define MSR_TSC_AUX 0xc0000103
#define EFER_SCE (1 << 0)
#define EFER_LME (1 << 8)
#define EFER_NXE (1 << 11)

#define RFLAGS_CF (1ul << 0)
#define RFLAGS_FIXED (1ul << 1)
#define RFLAGS_TF (1ul << 8)
#define RFLAGS_IF (1ul << 9)
#define RFLAGS_DF (1ul << 10)
#define RFLAGS_NT (1ul << 14)
#define RFLAGS_RF (1ul << 16)
#define RFLAGS_AC (1ul << 18)
/* What user mode may choose: CF PF AF ZF SF TF DF OF RF AC, as sigreturn of Linux. */
#define RFLAGS_USER 0x50dd5ul
/* Cleared at SYSCALL: all of those, and IF IOPL NT RF ID. */
#define RFLAGS_SYSCALL_MASK 0x257fd5ul

#define VECTOR_DB 1
#define VECTOR_NMI 2
#define VECTOR_BP 3
#define VECTOR_OF 4
#define VECTOR_UD 6
#define VECTOR_NM 7
#define VECTOR_DF 8
#define VECTOR_GP 13
#define VECTOR_PF 14
#define VECTOR_MF 16
#define VECTOR_MC 18
/* Interrupt stacks in the TSS, 1-based. */
#define IST_NMI 1
#define IST_DF 2
#define IST_MC 3
#define IST_DB 4
#define NR_IST 4

#define BOOT_PVH 0
#define BOOT_MULTIBOOT2 1
#define BOOT_STACK_SIZE 16384
#define IST_STACK_SIZE 8192
#define TRAMPOLINE_PHYS 0x8000

#ifndef __ASSEMBLY__

#include <nos/types.h>

static inline u64 rdmsr(u32 msr)
{
	u32 lo, hi;

	__asm__ volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(msr));
	return lo | (u64)hi << 32;
}
static inline void wrmsr(u32 msr, u64 v)
{
	__asm__ volatile("wrmsr" ::"c"(msr), "a"((u32)v), "d"((u32)(v >> 32)) : "memory");
}
struct cpuid {
	u32 eax, ebx, ecx, edx;
};
static inline struct cpuid cpuid(u32 leaf, u32 subleaf)
{
	struct cpuid r;

	__asm__ volatile("cpuid"
			 : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx)
			 : "a"(leaf), "c"(subleaf));
	return r;
}
/* a × b / c with a 128-bit product; the quotient must fit in 64 bits. */
static inline u64 multiply_divide(u64 a, u64 b, u64 c)
{
	u64 low, high, quotient, rest;

	__asm__("mulq %3" : "=a"(low), "=d"(high) : "a"(a), "rm"(b) : "cc");
	__asm__("divq %4" : "=a"(quotient), "=d"(rest) : "a"(low), "d"(high), "rm"(c) : "cc");
	return quotient;
}
#define DEFINE_CONTROL_REGISTER(name)                                                              \
	static inline u64 name##_read(void)                                                        \
	{                                                                                          \
		u64 v;                                                                             \
                                                                                                   \
		__asm__ volatile("mov %%" #name ", %0" : "=r"(v));                                 \
		return v;                                                                          \
	}                                                                                          \
	static inline void name##_write(u64 v)                                                     \
	{                                                                                          \
		__asm__ volatile("mov %0, %%" #name ::"r"(v) : "memory");                          \
	}
DEFINE_CONTROL_REGISTER(cr0)
DEFINE_CONTROL_REGISTER(cr2)
DEFINE_CONTROL_REGISTER(cr3)
DEFINE_CONTROL_REGISTER(cr4)

/* One past the highest physical address that an entry can hold. */
#define PTE_PHYS_LIMIT (1ull << 52)

/* ---- boot_info.c ---- */
int boot_info_from_pvh(const void *info);
int boot_info_from_multiboot2(const void *info, size_t limit);
/* Sorts, drops empty and overlapping ranges: where types overlap, the unusable one wins. */
void boot_ranges_normalise(void);
/* Takes [start, end) out of the usable ranges. */
void boot_range_reserve(phys_t start, phys_t end);
/* Zeroed frames from the memory map, contiguous; before mm is up. */
phys_t boot_frames_alloc(size_t len_bytes);

/* ---- paging.c ---- */
phys_t table_frame_alloc(void); /* a zeroed frame for a table: 0 when memory is out */
void paging_init_boot(void);
/* From here on page tables take frames from mm. */
void paging_end_boot_memory(void);
bool phys_is_direct_mapped(phys_t start, size_t len_bytes);
/* Registers of a device, uncached, in a small window of its own; NULL when out of frames. */
volatile void *device_map_early(phys_t start, size_t len_bytes);

/* ---- shadow.c: the sanitizing kernel ---- */
#ifdef SANITIZE
void shadow_init_tables(void); /* of kernel_page_table, not yet loaded */
void shadow_init_globals(void); /* the first call of code with checks */
#else
static inline void shadow_init_tables(void)
{
}
static inline void shadow_init_globals(void)
{
}
#endif

/* ---- cpu.c ---- */
void cpu_detect_features(void);
void cpu_init_control_registers(void); /* each CPU */

/* ---- descriptors.c ---- */
struct cpu_stacks {
	u64 ist_top[NR_IST]; /* index: IST number − 1 */
};
/* GDT, TSS, IDT and syscall MSRs of this CPU; its per-CPU base is already set. */
void descriptors_init_cpu(const struct cpu_stacks *stacks);
void tss_set_stack(u64 stack_top);

/* ---- fpu.c ---- */
struct arch_thread;
void fpu_init_cpu(void); /* each CPU */
void fpu_switch(struct arch_thread *prev, struct arch_thread *next);
/* The image of a signal frame; 0 or −EFAULT. */
int fpu_load_from_user(u64 area, bool extended);
/* The state at exec, into the registers only: what a signal handler starts with. */
void fpu_reset_registers(void);
extern u32 fpu_image_bytes; /* of an XSAVE image, or FXSAVE's 512 */
extern u64 fpu_features; /* XCR0 */
int user_xrstor(void *area, u64 mask);
int user_fxrstor(void *area, u64 mask);

/* ---- apic.c, ioapic.c ---- */
void apic_init_boot(void); /* map or enable; before any IPI */
void apic_init_cpu(void); /* each CPU */
void apic_set_timer_hz(u64 hz);
u32 apic_id_self(void);
void apic_send_ipi(u32 apic_id, u32 icr_low);
/* Any context, NMIs too. */
void apic_broadcast_nmi(void);
void apic_interrupt_self(u32 vector);
void apic_timer_start_max(void);
u32 apic_timer_count(void);
void apic_eoi(void);
extern u32 cpu_apic_ids[]; /* by CPU number */
#define ICR_INIT 0x4500u
#define ICR_STARTUP 0x4600u
#define ICR_NMI 0x4400u
void ioapic_init(void);

/* ---- mp_table.c ---- */
void mp_table_read(void);

/* ---- smp.c ---- */
void cpu_call_handle(void);

/* ---- clock.c ---- */
void clock_hardware_init(void);

/* ---- power.c ---- */
void power_init(void);

/* ---- trap.c ---- */
/* Address to continue at after a fault at `rip`, or 0. */
u64 exception_table_find(u64 rip);

/* ---- text_patch.c ---- */
/* A breakpoint of the kernel: true if it stood for an instruction in change; frame->rip is behind it then. */
bool text_patch_trap(struct trap_frame *frame);

/* ---- uaccess.c ---- */
void uaccess_patch(void);
bool probe_read_u64(u64 *value, const void *from);

#endif
