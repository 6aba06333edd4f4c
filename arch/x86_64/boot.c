/* The boot CPU's way from boot.S to kernel_main(), and the steps that it calls. */
#include <nos/arch.h>
#include <nos/cpu.h>
#include <nos/log.h>
#include <nos/pte.h>

#include "acpi.h"
#include "x86.h"

/* Compilers read it as %gs:__stack_chk_guard. */
DEFINE_PERCPU(u64, __stack_chk_guard);
extern char boot_ist_stacks[];

void arch_boot_main(unsigned kind, phys_t info, u64 cycles) __noreturn;

static void __init boot_fail(const char *why, size_t len)
{
	arch_console_write(why, len);
	cpu_stop();
}

/* Random enough that an overflow can't carry it: hardware's, or the time's low bits. */
__attribute__((no_stack_protector)) static void __init stack_guard_init(u64 cycles)
{
	u64 guard;

	if (!cpu_random_u64(&guard))
		guard = (cycles ^ cpu_cycles() << 20) * 0x9e3779b97f4a7c15ull;
	/* A zero byte stops string functions from reading or writing it. */
	this_cpu_write(__stack_chk_guard, guard & ~0xffull);
}

__attribute__((no_stack_protector)) void __init arch_boot_main(unsigned kind, phys_t info,
							       u64 cycles)
{
	static const char bad[] = "NOS: no usable memory map from the boot loader.\n";
	struct cpu_stacks stacks;
	int err;

	cpu_detect_features();
	stack_guard_init(cycles);
	for (unsigned i = 0; i < NR_IST; i++)
		stacks.ist_top[i] = (u64)boot_ist_stacks + (i + 1) * IST_STACK_SIZE;
	descriptors_init_cpu(&stacks);
	boot_info.first_cycles = cycles;
	if (kind == BOOT_PVH)
		err = boot_info_from_pvh(phys_to_virt(info));
	else
		err = boot_info_from_multiboot2(phys_to_virt(info), 1 << 20);
	if (err)
		boot_fail(bad, sizeof(bad) - 1);
	boot_ranges_normalise();
	/* The trampoline's page, and the first, which holds the BIOS's vectors. */
	boot_range_reserve(0, TRAMPOLINE_PHYS + PAGE_SIZE);
	paging_init_boot();
	kernel_main();
}

void __init arch_init_early(void)
{
	uaccess_patch();
	cpu_init_control_registers();
	fpu_init_cpu();
	paging_end_boot_memory();
}

void __init arch_init_interrupts(void)
{
	if (!acpi_init(boot_info.rsdp))
		log_info("acpi: no tables");
	if (!acpi_info.has_madt)
		mp_table_read();
	apic_init_boot();
	this_cpu_write(this_numa_node, numa_node_of_cpu(0));
	ioapic_init();
	clock_hardware_init();
	power_init();
}
