/*
 * The end of the machine: power-off (ACPI S5), reset, QEMU's exit device.
 *
 * Power-off writes SLP_TYP of _S5_ with SLP_EN to PM1 control, or on a
 * hardware-reduced machine to the sleep control register (ACPI 6.5, 4.8.3).
 * Where there is neither, the machine is reset instead.
 */
#include <nos/arch.h>
#include <nos/cpu.h>

#include "acpi.h"
#include "x86.h"

#define DEBUG_EXIT_PORT 0xf4

static volatile u8 *sleep_register __ro_after_init;
static volatile u8 *reset_register __ro_after_init;

void power_init(void)
{
	const struct acpi_register *s = &acpi_info.sleep_control, *r = &acpi_info.reset;

	if (s->address && s->space == 0)
		sleep_register = device_map_early(s->address, 1);
	if (acpi_info.has_reset && r->address && r->space == 0)
		reset_register = device_map_early(r->address, 1);
}

static void settle(void)
{
	for (int i = 0; i < 100000; i++)
		cpu_relax();
}

void arch_power_off(void)
{
	const struct acpi_info *a = &acpi_info;

	irq_disable();
	if (a->has_s5) {
		u8 reduced = (u8)(a->s5_type_a << 2 | 1 << 5);

		if (a->pm1a_control)
			port_out16(a->pm1a_control, (u16)(a->s5_type_a << 10 | 1 << 13));
		if (a->pm1b_control)
			port_out16(a->pm1b_control, (u16)(a->s5_type_b << 10 | 1 << 13));
		if (sleep_register)
			*sleep_register = reduced;
		else if (a->sleep_control.space == 1 && a->sleep_control.address)
			port_out8((u16)a->sleep_control.address, reduced);
		settle();
	}
	arch_reboot();
}

void arch_reboot(void)
{
	const struct acpi_info *a = &acpi_info;
	struct {
		u16 limit;
		u64 base;
	} __packed no_idt = { 0 };

	irq_disable();
	if (reset_register) {
		*reset_register = a->reset_value;
		settle();
	} else if (a->has_reset && a->reset.space == 1) {
		port_out8((u16)a->reset.address, a->reset_value);
		settle();
	}
	port_out8(0x64, 0xfe); /* keyboard controller: pulse the reset line */
	settle();
	/* A fault without a handler, and without a double-fault handler: shutdown. */
	__asm__ volatile("lidt %0; int3" ::"m"(no_idt));
	cpu_stop();
}

void arch_debug_exit(u8 code)
{
	port_out8(DEBUG_EXIT_PORT, code);
}
