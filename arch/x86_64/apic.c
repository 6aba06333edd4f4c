/*
 * The local APIC, by registers in memory (xAPIC) or by MSRs (x2APIC, taken
 * when the processor has it): end of interrupt, inter-processor interrupts,
 * and the timer (TSC deadline, or one-shot counting down).
 *
 * SDM vol. 3, chapter 11.
 */
#include <nos/arch.h>
#include <nos/assert.h>
#include <nos/cpu.h>

#include "acpi.h"
#include "x86.h"

#define REG_ID 0x20
#define REG_TPR 0x80
#define REG_EOI 0xb0
#define REG_SPURIOUS 0xf0
#define REG_ESR 0x280
#define REG_ICR_LOW 0x300
#define REG_ICR_HIGH 0x310
#define REG_LVT_TIMER 0x320
#define REG_LVT_LINT0 0x350
#define REG_LVT_LINT1 0x360
#define REG_LVT_ERROR 0x370
#define REG_TIMER_INITIAL 0x380
#define REG_TIMER_CURRENT 0x390
#define REG_TIMER_DIVIDE 0x3e0
#define LVT_MASKED (1u << 16)
#define LVT_NMI (4u << 8)
#define TIMER_DEADLINE (2u << 17)
#define DIVIDE_BY_1 0xb
#define ICR_PENDING (1u << 12)
#define ICR_SELF (1u << 18)
#define ICR_ALL_BUT_SELF (3u << 18)
#define APIC_BASE_ENABLE (1u << 11)
#define APIC_BASE_X2 (1u << 10)

static volatile u32 *registers __ro_after_init;
static bool use_x2apic __ro_after_init;
/* Timer ticks per cycle of the TSC, 32-bit fixed point. */
static u64 timer_ratio __ro_after_init;
u32 cpu_apic_ids[MAX_CPUS];

static u32 apic_read(u32 reg)
{
	return use_x2apic ? (u32)rdmsr(MSR_X2APIC + reg / 16) : registers[reg / 4];
}

static void apic_write(u32 reg, u32 v)
{
	if (use_x2apic)
		wrmsr(MSR_X2APIC + reg / 16, v);
	else
		registers[reg / 4] = v;
}

void apic_init_boot(void)
{
	u64 base = rdmsr(MSR_APIC_BASE);

	use_x2apic = cpu_has(CPU_X2APIC);
	if (!use_x2apic) {
		registers = device_map_early(base & 0xffffff000ul, PAGE_SIZE);
		VERIFY(registers);
	}
	apic_init_cpu();
	cpu_apic_ids[0] = apic_id_self();
}

void apic_init_cpu(void)
{
	u64 base = rdmsr(MSR_APIC_BASE) | APIC_BASE_ENABLE;

	/* Two steps: disabled to x2APIC at once is an invalid transition (11.12.5). */
	wrmsr(MSR_APIC_BASE, base);
	if (use_x2apic)
		wrmsr(MSR_APIC_BASE, base | APIC_BASE_X2);
	apic_write(REG_LVT_TIMER, LVT_MASKED);
	apic_write(REG_LVT_LINT0, LVT_MASKED);
	apic_write(REG_LVT_LINT1, cpu_id() == 0 ? LVT_NMI : LVT_MASKED);
	apic_write(REG_LVT_ERROR, LVT_MASKED);
	apic_write(REG_TIMER_DIVIDE, DIVIDE_BY_1);
	apic_write(REG_TPR, 0);
	apic_write(REG_SPURIOUS, 0x100 | VECTOR_SPURIOUS);
	if (timer_ratio)
		arch_timer_disarm();
}

u32 apic_id_self(void)
{
	return use_x2apic ? apic_read(REG_ID) : apic_read(REG_ID) >> 24;
}

void apic_eoi(void)
{
	apic_write(REG_EOI, 0);
}

void irq_chip_eoi(void)
{
	apic_eoi();
}

/* A command in two words must not be split by an interrupt that sends one too. */
void apic_send_ipi(u32 apic_id, u32 icr_low)
{
	u64 flags = irq_save();

	if (use_x2apic) {
		/* The MSR write does not order earlier stores (11.12.3). */
		__asm__ volatile("mfence; lfence" ::: "memory");
		wrmsr(MSR_X2APIC + REG_ICR_LOW / 16, (u64)apic_id << 32 | icr_low);
	} else {
		while (apic_read(REG_ICR_LOW) & ICR_PENDING)
			cpu_relax();
		apic_write(REG_ICR_HIGH, apic_id << 24);
		apic_write(REG_ICR_LOW, icr_low);
	}
	irq_restore(flags);
}

/* To those that a shorthand names: a command in one word, which an NMI may send between the two of another. */
static void send_by_shorthand(u32 icr_low)
{
	if (use_x2apic) {
		apic_send_ipi(0, icr_low);
		return;
	}
	while (apic_read(REG_ICR_LOW) & ICR_PENDING)
		cpu_relax();
	apic_write(REG_ICR_LOW, icr_low);
	while (apic_read(REG_ICR_LOW) & ICR_PENDING)
		cpu_relax();
}

void apic_broadcast_nmi(void)
{
	send_by_shorthand(ICR_ALL_BUT_SELF | ICR_NMI);
}

void apic_interrupt_self(u32 vector)
{
	send_by_shorthand(ICR_SELF | vector);
}

void irq_compose_msi(unsigned vector, unsigned cpu, u64 *address, u32 *data)
{
	*address = 0xfee00000ul | (u64)cpu_apic_ids[cpu] << 12;
	*data = vector;
}

/* ---- timer ---- */

void apic_timer_start_max(void)
{
	apic_write(REG_TIMER_INITIAL, U32_MAX);
}

u32 apic_timer_count(void)
{
	return apic_read(REG_TIMER_CURRENT);
}

void apic_set_timer_hz(u64 hz)
{
	timer_ratio = multiply_divide(hz, 1ul << 32, clock_tsc_khz * 1000);
	arch_timer_disarm();
}

void arch_timer_disarm(void)
{
	if (cpu_has(CPU_TSC_DEADLINE)) {
		apic_write(REG_LVT_TIMER, VECTOR_TIMER | TIMER_DEADLINE);
		/* Orders the memory-mapped write before the MSR (11.5.4.1). */
		__asm__ volatile("mfence; lfence" ::: "memory");
		wrmsr(MSR_TSC_DEADLINE, 0);
	} else {
		apic_write(REG_LVT_TIMER, VECTOR_TIMER);
		apic_write(REG_TIMER_INITIAL, 0);
	}
}

void arch_timer_arm(u64 deadline_cycles)
{
	if (cpu_has(CPU_TSC_DEADLINE)) {
		/* Zero would disarm. */
		wrmsr(MSR_TSC_DEADLINE, deadline_cycles ? deadline_cycles : 1);
		return;
	}
	u64 now = cpu_cycles();
	u64 delta = deadline_cycles > now ? deadline_cycles - now : 0;
	unsigned __int128 ticks = ((unsigned __int128)delta * timer_ratio >> 32) + 1;

	apic_write(REG_TIMER_INITIAL, ticks > U32_MAX ? U32_MAX : (u32)ticks);
}
