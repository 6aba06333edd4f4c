/* What the static ACPI tables say, parsed once (acpi.c). */
#pragma once

#include <nos/arch.h>
#include <nos/cpu.h>
#include <nos/types.h>

#define ACPI_MAX_IOAPICS 8
#define ACPI_MAX_NODES NUMA_MAX_NODES
#define ACPI_MAX_MEMORY 64

/* Generic address structure: where a register is (ACPI 6.5, 5.2.3.2). */
struct acpi_register {
	u8 space; /* 0 memory, 1 I/O port */
	u8 width, offset, access;
	u64 address;
} __packed;

struct acpi_info {
	bool has_madt;
	phys_t apic_address;
	unsigned nr_cpus; /* usable ones found, the boot CPU included */
	u32 apic_ids[MAX_CPUS];
	unsigned nr_ioapics;
	struct {
		phys_t address;
		u32 first_gsi;
	} ioapics[ACPI_MAX_IOAPICS];
	struct {
		u32 gsi;
		u16 flags; /* MPS INTI flags: polarity 0–1, trigger 2–3 */
		bool present;
	} isa[16];
	phys_t hpet_address;
	u16 pm_timer_port;
	bool pm_timer_32bit;
	u16 pm1a_control, pm1b_control; /* ports, 0 = none */
	struct acpi_register reset, sleep_control;
	u8 reset_value;
	bool has_reset, has_s5;
	u8 s5_type_a, s5_type_b;
	/* SRAT and SLIT, by node number (dense). */
	unsigned nr_nodes;
	u32 domains[ACPI_MAX_NODES];
	u8 cpu_node[MAX_CPUS]; /* index as in apic_ids */
	unsigned nr_memory;
	struct {
		phys_t start, end;
		u8 node;
	} memory[ACPI_MAX_MEMORY];
	u8 distance[ACPI_MAX_NODES][ACPI_MAX_NODES];
};
extern struct acpi_info acpi_info;

/* Finds and parses all tables; `rsdp` 0 means search the BIOS area.  False: no ACPI. */
bool acpi_init(phys_t rsdp);
