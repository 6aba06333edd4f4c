/*
 * The Intel MultiProcessor table (specification 1.4, chapter 4), which small
 * machines without ACPI still have: it gives the CPUs and I/O APICs.  Bounded
 * and checked like the tables of acpi.c.  Bus and interrupt entries are not
 * read: without ACPI every ISA line has its own number as input.
 */
#include <nos/arch.h>
#include <nos/string.h>

#include "acpi.h"
#include "x86.h"

struct mp_pointer {
	char signature[4]; /* "_MP_" */
	u32 table;
	u8 length, revision, checksum, features[5];
};
static_assert(sizeof(struct mp_pointer) == 16);

struct mp_header {
	char signature[4]; /* "PCMP" */
	u16 length;
	u8 revision, checksum;
	char oem[8], product[12];
	u32 oem_table;
	u16 oem_size, nr_entries;
	u32 apic_address;
	u16 extended_length;
	u8 extended_checksum, reserved;
};
static_assert(sizeof(struct mp_header) == 44);

#define ENTRY_CPU 0
#define ENTRY_IOAPIC 2

static bool sums_to_zero(const void *data, size_t len)
{
	const u8 *p = data;
	u8 sum = 0;

	while (len--)
		sum = (u8)(sum + *p++);
	return sum == 0;
}

static const struct mp_header *table_find(phys_t start, phys_t end)
{
	if (!phys_is_direct_mapped(start, end - start))
		return NULL;
	for (phys_t at = start; at < end; at += 16) {
		const struct mp_pointer *p = phys_to_virt(at);

		if (memcmp(p->signature, "_MP_", 4) != 0 || !sums_to_zero(p, sizeof(*p)) ||
		    !p->table || !phys_is_direct_mapped(p->table, sizeof(struct mp_header)))
			continue;
		const struct mp_header *h = phys_to_virt(p->table);

		if (memcmp(h->signature, "PCMP", 4) == 0 && h->length >= sizeof(*h) &&
		    phys_is_direct_mapped(p->table, h->length) && sums_to_zero(h, h->length))
			return h;
	}
	return NULL;
}

static void cpu_add(u8 apic_id, u8 flags)
{
	struct acpi_info *a = &acpi_info;

	if (flags & 1 && a->nr_cpus < MAX_CPUS)
		a->apic_ids[a->nr_cpus++] = apic_id;
}

static void ioapic_add(const u8 *e)
{
	struct acpi_info *a = &acpi_info;
	u32 address;

	memcpy(&address, e + 4, sizeof(address));
	/* The table has no input numbers: the first I/O APIC starts at 0, others are left alone. */
	if (e[3] & 1 && a->nr_ioapics == 0) {
		a->ioapics[0].address = address;
		a->ioapics[0].first_gsi = 0;
		a->nr_ioapics = 1;
	}
}

/* Fills acpi_info's CPUs and I/O APICs; nothing if there is no table. */
void mp_table_read(void)
{
	const struct mp_header *h = table_find(0x9fc00, 0xa0000);

	if (!h)
		h = table_find(0xe0000, 0x100000);
	if (!h)
		return;
	const u8 *e = (const u8 *)(h + 1), *end = (const u8 *)h + h->length;

	/* Bounded by the length: qboot leaves the count of entries at 0. */
	while (e < end) {
		size_t len = *e == ENTRY_CPU ? 20 : 8;

		if ((size_t)(end - e) < len)
			return;
		if (*e == ENTRY_CPU)
			cpu_add(e[1], e[3]);
		else if (*e == ENTRY_IOAPIC)
			ioapic_add(e);
		e += len;
	}
}
