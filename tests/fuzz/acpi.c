/*
 * ACPI tables.  The input is physical memory from MEMORY_PHYS on; so that mutations get past the
 * sums, a first byte tells how many tables have theirs put right before the walk.
 */
/* needs: arch/x86_64/acpi.c */
#include "fuzz.h"

#include <nos/arch.h>

#include "../../arch/x86_64/acpi.h"

#define MEMORY_PHYS 0x1000ul
#define HEADER 36

static u8 *memory;
static size_t memory_size;

bool phys_is_direct_mapped(phys_t start, size_t len_bytes)
{
	return start >= MEMORY_PHYS && len_bytes <= memory_size &&
	       start - MEMORY_PHYS <= memory_size - len_bytes;
}

void *phys_to_virt(phys_t p)
{
	return memory + (p - MEMORY_PHYS);
}

static void fix_sum(u8 *data, size_t len, size_t at)
{
	u8 sum = 0;

	data[at] = 0;
	for (size_t i = 0; i < len; i++)
		sum = (u8)(sum + data[i]);
	data[at] = (u8)-sum;
}

/* Tables start at multiples of 16 with four capital letters. */
static void fix_sums(void)
{
	for (size_t at = 0; at + HEADER <= memory_size; at += 16) {
		u32 len;

		memcpy(&len, memory + at + 4, sizeof(len));
		if (memory[at] >= 'A' && memory[at] <= 'Z' && len >= HEADER &&
		    len <= memory_size - at && memcmp(memory + at, "RSD ", 4) != 0)
			fix_sum(memory + at, len, 9);
	}
	if (memory_size >= 36) {
		fix_sum(memory, 20, 8);
		fix_sum(memory, 36, 32);
	}
}

static void check(const struct acpi_info *a)
{
	VERIFY(a->nr_cpus <= MAX_CPUS && a->nr_ioapics <= ACPI_MAX_IOAPICS);
	VERIFY(a->nr_nodes >= 1 && a->nr_nodes <= ACPI_MAX_NODES);
	VERIFY(a->nr_memory <= ACPI_MAX_MEMORY);
	for (unsigned i = 0; i < a->nr_cpus; i++) {
		VERIFY(a->cpu_node[i] < a->nr_nodes && a->apic_ids[i] < 255);
		for (unsigned j = 0; j < i; j++)
			VERIFY(a->apic_ids[i] != a->apic_ids[j]);
	}
	for (unsigned i = 0; i < a->nr_memory; i++)
		VERIFY(a->memory[i].start < a->memory[i].end && a->memory[i].node < a->nr_nodes);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	if (!size)
		return 0;
	memory_size = size - 1;
	memory = malloc(memory_size);
	memcpy(memory, data + 1, memory_size);
	if (data[0] & 1)
		fix_sums();
	if (acpi_init(MEMORY_PHYS)) {
		static const char *const names[] = { "APIC", "MCFG", "FACP", "NONE" };

		for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
			const u8 *t = acpi_find_table(names[i]);

			VERIFY(!t || (t >= memory && t + HEADER <= memory + memory_size));
		}
	}
	check(&acpi_info);
	free(memory);
	return 0;
}
