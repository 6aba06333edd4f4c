/*
 * What the machine offers to core, mm, proc and drivers beyond <nos/cpu.h>:
 * boot information, thread switch, FPU state, timer, interrupt routing, ports,
 * reset and power, signal frames.
 */
#pragma once

#include <nos/trap.h>
#include <nos/types.h>

/* ---- boot ---- */

struct boot_range {
	phys_t start, end;
	u32 type; /* E820 type: 1 usable, 2 reserved, 3 ACPI data, 4 NVS … */
};

struct boot_info {
	const char *command_line;
	phys_t initrd_start, initrd_end; /* 0 = none */
	phys_t rsdp; /* 0 = none (microvm without ACPI) */
	unsigned nr_ranges;
	struct boot_range ranges[128];
	u64 first_cycles; /* cycle counter at the first instruction */
};
extern struct boot_info boot_info;

/* First C code on the boot CPU after paging, per-CPU base and the early console work; in init/. */
void kernel_main(void) __noreturn;

/* Steps that kernel_main calls, in this order. */
void arch_init_early(void); /* CPU features, GDT, IDT, TSS, syscall MSRs, FPU */
void arch_init_interrupts(void); /* ACPI tables, APIC, IOAPIC, clock calibration; needs kmalloc */
/* Makes kernel text read-only, data NX, .data.ro_after_init read-only, frees .init.* */
void arch_protect_kernel(void);

/* mm: the frames of [start, end), page aligned, kept from the boot, become free memory. */
void boot_memory_release(phys_t start, phys_t end);

extern const char kernel_text_start[], kernel_text_end[];
extern const char kernel_start[], kernel_end[];

/* ---- kernel virtual layout ---- */

#define DIRECT_MAP_BASE 0xffff800000000000ul /* all physical memory, up to 32 TiB */
#define KERNEL_VMAP_BASE 0xffffc00000000000ul /* stacks, vmalloc, device registers */
#define KERNEL_VMAP_END 0xffffc08000000000ul
#define PERCPU_MAP_BASE 0xffffd00000000000ul /* arch: per-CPU copies and stacks with guard pages */
#define FRAME_TABLE_BASE 0xffffe00000000000ul /* struct folio of frame n at base + n*size */
#define SLAB_PLACE_BASE 0xfffffff800000000ul /* mm: a byte of frame n at base + n */
#define KERNEL_IMAGE_BASE 0xffffffff80000000ul
/* One page short, so that no syscall instruction ends at the canonical border (AMD64 APM, SYSRET). */
#define USER_ADDRESS_END 0x00007ffffffff000ul

#ifdef NOS_HOST
void *phys_to_virt(phys_t p);
phys_t virt_to_phys(const void *v);
#define direct_to_phys virt_to_phys
#else
static inline void *phys_to_virt(phys_t p)
{
	return (void *)(DIRECT_MAP_BASE + p);
}
/* Only for direct-map addresses and the kernel image. */
static inline phys_t virt_to_phys(const void *v)
{
	uintptr_t a = (uintptr_t)v;

	return a >= KERNEL_IMAGE_BASE ? a - KERNEL_IMAGE_BASE : a - DIRECT_MAP_BASE;
}
/* Where it is known not to be in the image. */
static inline phys_t direct_to_phys(const void *v)
{
	return (uintptr_t)v - DIRECT_MAP_BASE;
}
#endif

/* ---- threads ---- */

struct fpu_state;

/* The part of struct thread that arch owns. */
struct arch_thread {
	u64 rsp; /* saved kernel stack pointer while not running */
	u64 stack_top; /* where entries from user mode start pushing */
	u64 fs_base, gs_base; /* user values while not running */
	struct fpu_state *fpu; /* NULL for kernel threads; XSAVE area */
	u32 user_fault_disabled; /* see <nos/uaccess.h> */
	u32 trap_vector; /* last exception from user mode, for signal frames */
	u64 trap_error, trap_address;
};

struct thread;
/*
 * Where struct thread (core) keeps what arch reads; core asserts these.  `this_thread` is core's
 * per-CPU pointer to the running thread.
 */
#define THREAD_WORK_OFFSET 0
#define THREAD_ARCH_OFFSET 8
static inline struct arch_thread *thread_arch(struct thread *t)
{
	return (struct arch_thread *)((char *)t + THREAD_ARCH_OFFSET);
}
/* core: first thing on a new thread's own stack, interrupts off; finishes the switch from
 * `prev` and runs t->started.  Arch enables interrupts when it returns. */
void thread_started(struct thread *prev);

/* Core has set this_thread to `next` before.  Switches stack, callee-saved registers, user segment bases and FPU state; interrupts off.
 * Returns, on next's stack, the thread that ran before it. */
struct thread *arch_switch(struct thread *prev, struct thread *next);
/* Prepares t (its stack exists) to start in fn(arg); fn must not return. */
void arch_thread_prepare_kernel(struct arch_thread *t, void (*fn)(void *), void *arg);
/* Prepares t to start in user mode with *frame (copied to the top of its stack), after core's
 * thread_started() hook has run.  Returns the copy, which the caller may change until t starts. */
struct trap_frame *arch_thread_prepare_user(struct arch_thread *t, const struct trap_frame *frame);

/* ---- FPU and vector state (SDM vol. 1, chapter 13) ---- */

size_t fpu_state_size(void); /* bytes for kmalloc, 64-byte aligned */
void fpu_state_init(struct fpu_state *s); /* the state at exec */
/* Copies the current thread's live state (fork). */
void fpu_state_copy_current(struct fpu_state *to);
/* The current thread's state, in its image and in the registers, becomes that at exec. */
void fpu_state_reset_current(void);
/* ChaCha20's key stream from block 0, nonce 0, by vector registers; len is a multiple of 256.  Interrupts
 * are off.  False: there are none, nothing was written. */
bool arch_chacha20_stream(const u32 key[8], void *to, size_t len);
/* After #MF or #XF (vector 16, 19) of the current thread: the si_code FPE_*. */
int fpu_exception_code(unsigned vector);

/* ---- signal frames: layout of Linux's x86-64 ABI ---- */

struct signal_context { /* what proc knows of the delivery */
	u64 handler, restorer, flags; /* from sigaction */
	u64 mask; /* blocked set to restore */
	u64 altstack_sp, altstack_size, altstack_flags; /* for uc_stack */
	u64 frame_top; /* where to build: user rsp or the top of the alternate stack */
	const void *siginfo; /* struct siginfo, 128 bytes */
	int signo;
};
/* Builds the frame in user memory (XSAVE included) and points *frame at the handler; -EFAULT. */
int signal_frame_push(struct trap_frame *frame, const struct signal_context *c);
/* Undoes it for rt_sigreturn: registers, FPU; gives mask and stack back; -EFAULT/-EINVAL. */
int signal_frame_pop(struct trap_frame *frame, u64 *mask, u64 *altstack_sp, u64 *altstack_size,
		     u32 *altstack_flags);
size_t signal_frame_size_max(void); /* AT_MINSIGSTKSZ */

/* arch_prctl(2) on the current thread, set/get; -EPERM for an address out of range. */
int arch_set_fs_base(u64 value);
int arch_set_gs_base(u64 value);
u64 arch_get_fs_base(void);
u64 arch_get_gs_base(void);

/* ---- clock and timer hardware; core/clock.c builds on these ---- */

extern u64 clock_tsc_mult; /* ns = (cycles × mult) >> shift, 128-bit product */
extern u32 clock_tsc_shift;
extern u64 clock_tsc_khz;
/* False: the TSC may stop or run unevenly between CPUs. */
bool clock_tsc_is_stable(void);
u64 arch_wall_clock_ns(void); /* RTC or kvmclock, at boot, since 1970 */
/* One interrupt at CLOCK cycles value `deadline` (or at once if past) on this CPU.  It may come
 * early (a counter of 32 bits): the handler looks at the clock and arms it again. */
void arch_timer_arm(u64 deadline_cycles);
void arch_timer_disarm(void);
#define VECTOR_TIMER 0xf0
#define VECTOR_RESCHEDULE 0xf1
#define VECTOR_CALL 0xf2
#define VECTOR_SPURIOUS 0xff
#define VECTOR_DEVICE_FIRST 0x30
#define VECTOR_DEVICE_LAST 0xef

/* ---- interrupt routing ---- */

void irq_chip_eoi(void);
/* Routes ISA/GSI line `gsi` to `vector` on CPU 0; level/low as given; -ENODEV. */
int irq_route_gsi(unsigned gsi, unsigned vector, bool level, bool active_low);
void irq_mask_gsi(unsigned gsi, bool mask);
/* MSI address and data for `vector` on `cpu`. */
void irq_compose_msi(unsigned vector, unsigned cpu, u64 *address, u32 *data);
unsigned irq_isa_to_gsi(unsigned isa_irq, bool *level, bool *active_low);

/* ---- ports, device memory ---- */

static inline void port_out8(u16 port, u8 v)
{
	__asm__ volatile("outb %0, %1" ::"a"(v), "Nd"(port));
}
static inline void port_out16(u16 port, u16 v)
{
	__asm__ volatile("outw %0, %1" ::"a"(v), "Nd"(port));
}
static inline void port_out32(u16 port, u32 v)
{
	__asm__ volatile("outl %0, %1" ::"a"(v), "Nd"(port));
}
static inline u8 port_in8(u16 port)
{
	u8 v;

	__asm__ volatile("inb %1, %0" : "=a"(v) : "Nd"(port));
	return v;
}
static inline u16 port_in16(u16 port)
{
	u16 v;

	__asm__ volatile("inw %1, %0" : "=a"(v) : "Nd"(port));
	return v;
}
static inline u32 port_in32(u16 port)
{
	u32 v;

	__asm__ volatile("inl %1, %0" : "=a"(v) : "Nd"(port));
	return v;
}

/* ---- ACPI tables (static ones only; no AML interpreter) ---- */

/* First table with this signature ("MCFG"), checksum verified, or NULL. */
const void *acpi_find_table(const char signature[4]);
/* NUMA, of SRAT and SLIT: dense numbers; 10 is the distance to itself. */
#define NUMA_MAX_NODES 8
unsigned numa_nr_nodes(void);
unsigned numa_node_of_cpu(unsigned cpu);
unsigned numa_node_of_phys(phys_t p);
unsigned numa_distance(unsigned from, unsigned to);
/* microvm: "virtio_mmio.device=…" comes on the command line; see drivers/virtio. */

/* ---- end of the machine ---- */

void arch_power_off(void) __noreturn;
void arch_reboot(void) __noreturn;
/* isa-debug-exit at 0xf4: QEMU ends with status (code << 1) | 1. */
void arch_debug_exit(u8 code);

/* Panic: stops all other CPUs by NMI, at once and for ever. */
void cpu_stop_others(void);
/* core: an NMI that is no panic's; takes no fault.  It has the others come there too, and this CPU take a
 * reschedule interrupt, by cpu_ask_for_report. */
void report_at_nmi(const struct trap_frame *frame);
void cpu_ask_for_report(void);

/* ---- early console and backtrace ---- */

void arch_console_write(const char *s, size_t len); /* serial port, polled; any context */
/* Prints the call chain from `frame` (NULL = here) as `[<address>]` lines, by .eh_frame. */
void arch_backtrace(const struct trap_frame *frame);
/* Return addresses of the caller and those above it; how many. */
unsigned arch_stack_trace_here(u64 *to, unsigned max);
/* Return addresses of a sleeping thread's stack, for /proc/PID/wchan; returns how many. */
unsigned arch_stack_trace(const struct arch_thread *t, u64 *to, unsigned max);

/* ---- vDSO ---- */

extern const char vdso_image_start[], vdso_image_end[]; /* page aligned ELF */
/* Offset of __kernel_rt_sigreturn is not needed on x86-64 (SA_RESTORER is mandatory). */
