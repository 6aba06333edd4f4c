/*
 * The processor (arch): number of this CPU, per-CPU variables, interrupts on
 * and off, features, inter-processor calls.
 */
#pragma once

#include <nos/section.h>
#include <nos/types.h>

#define MAX_CPUS 64

/*
 * Per-CPU variables.  The gs base of CPU n is (copy n − start of .percpu), so
 * `%gs:symbol` reaches this CPU's copy in one instruction.  They start as zero,
 * without an initialiser: each CPU sets its own when it comes up.
 */
#ifdef NOS_HOST /* unit tests: one thread-local copy */
#define DEFINE_PERCPU(type, name) __thread typeof(type) name
#define DECLARE_PERCPU(type, name) extern __thread typeof(type) name
#define this_cpu_ptr(var) (&(var))
#define per_cpu_ptr(var, cpu) (&(var))
#define this_cpu_read(var) (var)
#define this_cpu_write(var, v) ((var) = (v))
#define this_cpu_add(var, v) ((var) += (v))
#else
#define DEFINE_PERCPU(type, name) __attribute__((section(".percpu"), used)) typeof(type) name
#define DECLARE_PERCPU(type, name) extern __attribute__((section(".percpu"))) typeof(type) name
extern u64 percpu_offset[MAX_CPUS]; /* copy − start of .percpu */
DECLARE_PERCPU(u64, this_percpu_offset);
/* Pointer to this CPU's copy; stable only while preemption is off. */
#define this_cpu_ptr(var)                                                                          \
	((typeof(&(var)))((uintptr_t) & (var) + this_cpu_read(this_percpu_offset)))
#define per_cpu_ptr(var, cpu) ((typeof(&(var)))((uintptr_t) & (var) + percpu_offset[cpu]))
/* One-instruction accesses, safe against interrupts and preemption; 1, 2, 4, 8 bytes. */
#define this_cpu_read(var)                                                                         \
	({                                                                                         \
		typeof(var) _v;                                                                    \
		__asm__ volatile("mov %%gs:%1, %0" : "=r"(_v) : "m"(var));                         \
		_v;                                                                                \
	})
#define this_cpu_write(var, v)                                                                     \
	__asm__ volatile("mov%z0 %1, %%gs:%0" : "=m"(var) : "er"((typeof(var))(v)))
#define this_cpu_add(var, v)                                                                       \
	__asm__ volatile("add%z0 %1, %%gs:%0" : "+m"(var) : "er"((typeof(var))(v)) : "cc")
#endif

DECLARE_PERCPU(u32, this_cpu_id);
DECLARE_PERCPU(u32, this_numa_node); /* numa_node_of_cpu of this one */
static inline unsigned cpu_id(void)
{
	return this_cpu_read(this_cpu_id);
}

/* The two halves of a product folded into one word: one instruction, of which the compiler makes more. */
static __always_inline u64 cpu_multiply_fold(u64 a, u64 b)
{
	u64 high;

	__asm__("mulq %3" : "=a"(a), "=d"(high) : "a"(a), "r"(b) : "cc");
	return a ^ high;
}

extern unsigned nr_cpus; /* CPUs that are up; their ids are 0…nr_cpus−1 */
#define for_each_cpu(cpu) for (unsigned cpu = 0; cpu < nr_cpus; cpu++)

/* Interrupt flag of this CPU. */
#ifdef NOS_HOST
static inline u64 irq_save(void)
{
	return 0;
}
static inline void irq_restore(u64 flags)
{
	(void)flags;
}
static inline void irq_enable(void)
{
}
static inline void irq_disable(void)
{
}
static inline bool irq_is_enabled(void)
{
	return true;
}
static inline void cpu_relax(void)
{
}
#else
/* In line, so that a section that begins is known by who turns them off (core/section.c). */
static __always_inline u64 irq_save(void)
{
	u64 flags;

	__asm__ volatile("pushfq; popq %0; cli" : "=r"(flags)::"memory");
	if (unlikely(sections_measured) && (flags & 0x200))
		section_interrupts_off();
	return flags;
}
static inline bool irq_is_enabled(void)
{
	u64 flags;

	__asm__ volatile("pushfq; popq %0" : "=r"(flags)::"memory");
	return (flags & 0x200) != 0;
}
static inline void irq_enable(void)
{
	if (unlikely(sections_measured) && !irq_is_enabled())
		section_interrupts_on();
	__asm__ volatile("sti" ::: "memory");
}
static inline void irq_restore(u64 flags)
{
	if (flags & 0x200)
		irq_enable();
}
static __always_inline void irq_disable(void)
{
	bool begins = unlikely(sections_measured) && irq_is_enabled();

	__asm__ volatile("cli" ::: "memory");
	if (begins)
		section_interrupts_off();
}
static inline void cpu_relax(void)
{
	__asm__ volatile("pause" ::: "memory");
}
#endif

/* Turns interrupts on and halts until one comes, without a window between. */
void cpu_idle_wait(void);
/* A small piece of work for a CPU that is going to idle, preemption off; false: there is none (left).
 * NULL, or set once at boot. */
extern bool (*idle_work)(void);
/* Stops this CPU for ever (panic). */
void cpu_stop(void) __noreturn;

/* Features found at boot, by CPUID; the names that /proc/cpuinfo prints come from arch too. */
enum cpu_feature {
	CPU_SMEP,
	CPU_SMAP,
	CPU_UMIP,
	CPU_NX,
	CPU_PCID,
	CPU_INVPCID,
	CPU_FSGSBASE,
	CPU_XSAVE,
	CPU_XSAVEOPT,
	CPU_XSAVEC,
	CPU_AVX,
	CPU_AVX2,
	CPU_AVX512,
	CPU_RDRAND,
	CPU_RDSEED,
	CPU_RDTSCP,
	CPU_RDPID,
	CPU_X2APIC,
	CPU_TSC_DEADLINE,
	CPU_TSC_INVARIANT,
	CPU_ERMS,
	CPU_FSRM,
	CPU_PAGE1G,
	CPU_HYPERVISOR,
	CPU_KVMCLOCK,
	CPU_PGE,
	CPU_MWAIT,
	NR_CPU_FEATURES,
};
extern u64 cpu_feature_map; /* bit per enum cpu_feature */
static inline bool cpu_has(enum cpu_feature f)
{
	return (cpu_feature_map >> f) & 1;
}

/* Raw cycle counter. */
static inline u64 cpu_cycles(void)
{
	u32 lo, hi;

	__asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi));
	return lo | (u64)hi << 32;
}
/* 64 hardware random bits; false where there are none. */
bool cpu_random_u64(u64 *value);
/* One CPU's part of /proc/cpuinfo as Linux prints it; returns the length (see snprintf). */
int cpu_describe(unsigned cpu, char *to, size_t size);
/* AT_HWCAP (CPUID.1:EDX) and AT_HWCAP2 values. */
u64 cpu_hwcap(void);
u64 cpu_hwcap2(void);

/*
 * Runs fn(arg) on CPU `cpu` with interrupts off, and waits until it is done.  The caller has
 * preemption off, for the request is this CPU's own, and interrupts on.  Here it is a plain call.
 */
void cpu_call(unsigned cpu, void (*fn)(void *arg), void *arg);
/* The same on each CPU in the mask (MAX_CPUS = 64 bits), this one included if set. */
void cpu_call_mask(u64 mask, void (*fn)(void *arg), void *arg);
/* Makes `cpu` pass through its reschedule check soon (an interrupt). */
void cpu_send_reschedule(unsigned cpu);

/* Entered by each CPU on its boot stack: core's idle loop (declared here, defined in core). */
void cpu_secondary_main(void) __noreturn;
/* Brings up all other CPUs; returns how many answered. */
unsigned cpu_start_secondaries(void);
