/*
 * The cycle counter's frequency, the local APIC timer's, and the wall clock at
 * boot.
 *
 * The frequency comes from the first that knows it: kvmclock, CPUID leaf 0x15,
 * the hypervisor's leaf 0x40000010, or a comparison of 5 ms with the HPET, the
 * ACPI PM timer, the PIT, or at last an APIC timer taken for 1 GHz.  A reading of the reference is
 * bracketed by two of the counter, and the tightest of three counts, which
 * keeps the error near 1 in 20,000 even where a device access is slow.
 *
 * The APIC timer is measured in the same window, or for 1 ms against the
 * counter; CPUs with TSC-deadline mode do not need it.
 */
#include <nos/arch.h>
#include <nos/cpu.h>
#include <nos/log.h>
#include <nos/vdso.h>

#include "acpi.h"
#include "x86.h"

#define PM_TIMER_HZ 3579545ul
#define PIT_HZ 1193182ul
#define FEMTO 1000000000000000ul
#define WINDOW_US 5000ul

u64 clock_tsc_mult __ro_after_init;
u32 clock_tsc_shift __ro_after_init = 32;
u64 clock_tsc_khz __ro_after_init;

/* The pages that user processes read as [vvar]. */
static struct {
	union {
		struct vdso_process unknown;
		u8 bytes_unknown[PAGE_SIZE];
	};
	union {
		struct vdso_data data;
		u8 bytes_data[PAGE_SIZE];
	};
} vdso_pages __aligned(4096) = {
	.unknown = {
		.uid = VDSO_ASK_ID,
		.euid = VDSO_ASK_ID,
		.gid = VDSO_ASK_ID,
		.egid = VDSO_ASK_ID,
		.names_sequence = 1,
	},
};
static_assert(sizeof(vdso_pages) == VDSO_NR_VARIABLE_PAGES * PAGE_SIZE);
struct vdso_data *vdso_data = &vdso_pages.data;
const struct vdso_process *const vdso_process_unknown = &vdso_pages.unknown;

static volatile u64 *hpet;

/* ---- references ---- */

struct reference {
	const char *name;
	u64 hz, mask;
	u64 (*read)(void);
};

static u64 hpet_read(void)
{
	return hpet[0xf0 / 8] & U32_MAX;
}

static u64 pm_timer_read(void)
{
	return port_in32(acpi_info.pm_timer_port);
}

static bool hpet_open(struct reference *r)
{
	if (!acpi_info.hpet_address)
		return false;
	hpet = device_map_early(acpi_info.hpet_address, 0x400);
	if (!hpet)
		return false;
	u64 period = hpet[0] >> 32;

	/* IA-PC HPET specification, 2.3.4: at most 100 ns. */
	if (period == 0 || period > 100000000)
		return false;
	hpet[0x10 / 8] |= 1;
	*r = (struct reference){ "hpet", FEMTO / period, U32_MAX, hpet_read };
	return true;
}

/* Channel 0 counts down from 65,536 for ever; a latch command freezes what is read. */
static u64 pit_read(void)
{
	port_out8(0x43, 0);
	u8 low = port_in8(0x40);

	return 0x10000u - (low | (u32)port_in8(0x40) << 8);
}

static bool pit_open(struct reference *r)
{
	port_out8(0x43, 0x34);
	port_out8(0x40, 0);
	port_out8(0x40, 0);
	u64 first = pit_read();

	*r = (struct reference){ "pit", PIT_HZ, 0xffff, pit_read };
	for (int i = 0; i < 1000; i++)
		if (pit_read() != first)
			return true;
	return false;
}

static bool pm_timer_open(struct reference *r)
{
	if (!acpi_info.pm_timer_port || pm_timer_read() == U32_MAX)
		return false;
	*r = (struct reference){ "pm-timer", PM_TIMER_HZ,
				 acpi_info.pm_timer_32bit ? U32_MAX : 0xffffff, pm_timer_read };
	return true;
}

/* With no reference at all: QEMU's APIC timer runs at 1 GHz. */
static u64 apic_count_read(void)
{
	return U32_MAX - apic_timer_count();
}

static bool apic_open(struct reference *r)
{
	*r = (struct reference){ "apic", NSEC_PER_SEC, U32_MAX, apic_count_read };
	return true;
}

struct sample {
	u64 cycles, reference;
	u32 apic;
};

static struct sample sample_take(const struct reference *r)
{
	struct sample best = { 0 };
	u64 best_width = U64_MAX;

	for (int i = 0; i < 3; i++) {
		u64 before = cpu_cycles();
		u64 value = r->read();
		u64 after = cpu_cycles();

		if (after - before < best_width) {
			best_width = after - before;
			best.cycles = before + (after - before) / 2;
			best.reference = value;
			best.apic = apic_timer_count();
		}
	}
	return best;
}

/* Both frequencies against a counter; the counter must move, or 0 is given. */
static void measure(const struct reference *r, u64 *tsc_hz, u64 *apic_hz)
{
	u64 want = r->hz * WINDOW_US / 1000000;
	struct sample start = sample_take(r), end;
	u64 ticks = 0;

	for (u64 spins = 0; ticks < want && spins < 10000000; spins++) {
		ticks = (r->read() - start.reference) & r->mask;
		cpu_relax();
	}
	end = sample_take(r);
	ticks = (end.reference - start.reference) & r->mask;
	if (!ticks)
		return;
	*tsc_hz = multiply_divide(end.cycles - start.cycles, r->hz, ticks);
	*apic_hz = multiply_divide(start.apic - end.apic, r->hz, ticks);
}

/* ---- kvmclock (KVM's MSR documentation) ---- */

#define MSR_KVM_WALL_CLOCK 0x4b564d00
#define MSR_KVM_SYSTEM_TIME 0x4b564d01

struct kvm_time {
	u32 version, pad0;
	u64 tsc_timestamp, system_time;
	u32 tsc_to_system_mul;
	s8 tsc_shift;
	u8 flags, pad[2];
} __packed;
struct kvm_wall {
	u32 version, seconds, nanoseconds;
};
static volatile struct kvm_time kvm_time __aligned(64);
static volatile struct kvm_wall kvm_wall __aligned(64);

/* ns = ((cycles << shift) × mul) >> 32, solved for the cycles of a second. */
static u64 kvmclock_tsc_hz(void)
{
	wrmsr(MSR_KVM_SYSTEM_TIME, virt_to_phys((const void *)&kvm_time) | 1);
	u64 mul = kvm_time.tsc_to_system_mul;
	int shift = kvm_time.tsc_shift;

	wrmsr(MSR_KVM_SYSTEM_TIME, 0);
	if (!mul || shift < -31 || shift > 31)
		return 0;
	u64 hz = multiply_divide(NSEC_PER_SEC, 1ul << 32, mul);

	return shift < 0 ? hz << -shift : hz >> shift;
}

static bool kvmclock_wall_ns(u64 *ns)
{
	if (!cpu_has(CPU_KVMCLOCK))
		return false;
	wrmsr(MSR_KVM_WALL_CLOCK, virt_to_phys((const void *)&kvm_wall));
	/* The time when the guest started; the counter starts with it. */
	*ns = kvm_wall.seconds * (u64)NSEC_PER_SEC + kvm_wall.nanoseconds +
	      (u64)((unsigned __int128)cpu_cycles() * clock_tsc_mult >> clock_tsc_shift);
	return kvm_wall.seconds != 0;
}

/* ---- the choice ---- */

static u64 cpuid_tsc_hz(void)
{
	if (cpuid(0, 0).eax >= 0x15) {
		struct cpuid r = cpuid(0x15, 0);

		if (r.eax && r.ebx && r.ecx)
			return (u64)r.ecx * r.ebx / r.eax;
	}
	if (cpu_has(CPU_HYPERVISOR) && cpuid(0x40000000, 0).eax >= 0x40000010)
		return cpuid(0x40000010, 0).eax * 1000ul;
	return 0;
}

static u64 apic_hz_by_tsc(u64 tsc_hz)
{
	u64 start = cpu_cycles(), now;
	u32 count = apic_timer_count();

	while ((now = cpu_cycles()) - start < tsc_hz / 1000)
		cpu_relax();
	return multiply_divide(count - apic_timer_count(), tsc_hz, now - start);
}

void clock_hardware_init(void)
{
	struct reference r;
	const char *source = "cpuid";
	u64 tsc_hz = 0, apic_hz = 0;

	apic_timer_start_max();
	if (cpu_has(CPU_KVMCLOCK)) {
		tsc_hz = kvmclock_tsc_hz();
		source = "kvmclock";
	}
	if (!tsc_hz)
		tsc_hz = cpuid_tsc_hz();
	if (!tsc_hz && (hpet_open(&r) || pm_timer_open(&r) || pit_open(&r) || apic_open(&r))) {
		measure(&r, &tsc_hz, &apic_hz);
		source = r.name;
	}
	if (!apic_hz && !cpu_has(CPU_TSC_DEADLINE))
		apic_hz = apic_hz_by_tsc(tsc_hz);
	clock_tsc_khz = tsc_hz / 1000;
	clock_tsc_mult = multiply_divide(NSEC_PER_SEC, 1ul << 32, tsc_hz);
	apic_set_timer_hz(apic_hz);
	log_info("clock: TSC at %lu.%03lu MHz by %s, timer %s", clock_tsc_khz / 1000,
		 clock_tsc_khz % 1000, source,
		 cpu_has(CPU_TSC_DEADLINE) ? "TSC deadline" : "APIC one-shot");
}

bool clock_tsc_is_stable(void)
{
	return cpu_has(CPU_TSC_INVARIANT) || cpu_has(CPU_HYPERVISOR);
}

/* ---- real-time clock of the PC (MC146818) ---- */

static u8 rtc_read(u8 reg)
{
	port_out8(0x70, reg);
	return port_in8(0x71);
}

struct rtc_time {
	u8 second, minute, hour, day, month, year;
};

static struct rtc_time rtc_read_all(void)
{
	return (struct rtc_time){ rtc_read(0), rtc_read(2), rtc_read(4),
				  rtc_read(7), rtc_read(8), rtc_read(9) };
}

static u8 from_bcd(u8 v)
{
	return (u8)((v >> 4) * 10 + (v & 15));
}

/* Days from 1970-01-01 to a date of the Gregorian calendar (1970 to 2099). */
static u64 days_since_epoch(u32 year, u32 month, u32 day)
{
	static const u16 before[12] = { 0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334 };
	u64 days = (year - 1970) * 365ul + (year - 1969) / 4 + before[month - 1] + day - 1;

	return days + (month > 2 && year % 4 == 0);
}

static u64 rtc_wall_ns(void)
{
	struct rtc_time t = { 0 }, again;

	/* Two equal readings outside of an update are consistent. */
	for (int i = 0; i < 8; i++) {
		if (rtc_read(10) & 0x80)
			continue;
		t = rtc_read_all();
		again = rtc_read_all();
		if (t.second == again.second && t.minute == again.minute && t.hour == again.hour)
			break;
	}
	u8 status = rtc_read(11);
	bool pm = (t.hour & 0x80) != 0;

	t.hour &= 0x7f;
	if (!(status & 4))
		t = (struct rtc_time){ from_bcd(t.second), from_bcd(t.minute), from_bcd(t.hour),
				       from_bcd(t.day),    from_bcd(t.month),  from_bcd(t.year) };
	if (!(status & 2))
		t.hour = (u8)(t.hour % 12 + (pm ? 12 : 0));
	if (t.month < 1 || t.month > 12 || t.day < 1 || t.day > 31 || t.hour > 23 || t.minute > 59)
		return 0;
	u64 days = days_since_epoch(2000u + t.year, t.month, t.day);

	return ((days * 24 + t.hour) * 60 + t.minute) * 60 * (u64)NSEC_PER_SEC +
	       t.second * (u64)NSEC_PER_SEC;
}

u64 arch_wall_clock_ns(void)
{
	u64 ns;

	return kvmclock_wall_ns(&ns) ? ns : rtc_wall_ns();
}
