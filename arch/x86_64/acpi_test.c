/* The ACPI parser on tables made here: right ones, cut ones, and every byte wrong in turn. */
#include <nos/arch.h>
#include <nos/string.h>
#include <nos/test.h>

#include "acpi.h"
#include "test_arena.h"
#include "x86.h"

#define HEADER 36

u8 arena[ARENA_SIZE] __aligned(4096);
static size_t arena_used;

#ifdef NOS_HOST
#define ARENA_PHYS 0x200000ul
u8 low_memory[1 << 20];

static bool is_in(phys_t start, size_t len_bytes, phys_t from, size_t size)
{
	return start >= from && start + len_bytes >= start && start + len_bytes <= from + size;
}
void *phys_to_virt(phys_t p)
{
	if (p < sizeof(low_memory))
		return low_memory + p;
	return (void *)((uintptr_t)arena + (p - ARENA_PHYS));
}
phys_t virt_to_phys(const void *v)
{
	return (uintptr_t)v - (uintptr_t)arena + ARENA_PHYS;
}
bool phys_is_direct_mapped(phys_t start, size_t len_bytes)
{
	return is_in(start, len_bytes, ARENA_PHYS, ARENA_SIZE) ||
	       is_in(start, len_bytes, 0, sizeof(low_memory));
}
#endif

static void fix_checksum(u8 *table, size_t len, size_t at)
{
	u8 sum = 0;

	table[at] = 0;
	for (size_t i = 0; i < len; i++)
		sum = (u8)(sum + table[i]);
	table[at] = (u8)-sum;
}

/* Appends a table with this body; returns its physical address. */
static phys_t table_add(const char *signature, const void *body, u32 len)
{
	u8 *t = arena + arena_used;
	u32 total = HEADER + len;

	memcpy(t, signature, 4);
	memcpy(t + 4, &total, 4);
	memcpy(t + HEADER, body, len);
	fix_checksum(t, total, 9);
	arena_used += align_up((size_t)total, 16ul);
	return virt_to_phys(t);
}

static const u8 madt_body[] = {
	0, 0,  0xe0, 0xfe, 1, 0, 0,    0, /* APIC at 0xfee00000 */
	0, 8,  0,    0,    1, 0, 0,    0, /* CPU, APIC id 0 */
	0, 8,  1,    1,    1, 0, 0,    0, /* CPU, APIC id 1 */
	0, 8,  2,    2,    0, 0, 0,    0, /* disabled */
	9, 16, 0,    0,    7, 0, 0,    0,    1,   0, 0, 0, 3, 0, 0, 0, /* x2APIC id 7 */
	1, 12, 0,    0,    0, 0, 0xc0, 0xfe, 0,   0, 0, 0, /* IOAPIC */
	2, 10, 0,    0,    2, 0, 0,    0,    0,   0, /* ISA 0 is GSI 2 */
	2, 10, 0,    9,    9, 0, 0,    0,    0xd, 0, /* ISA 9: level, high */
};
static const u8 dsdt_body[] = {
	0x14, 0x10, '_', 'S', '5', '_', /* a method of that name: not it */
	0x08, '_',  'S', '5', '_', 0x12, 0x06, 0x04, 0x0a, 5, 0x0a, 6, 0, 0,
};
static const u8
	srat_body[] = {
		1, 0,  0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 16, 5, 0, 1, 0, 0, 0,    0,
		0, 0,  0, 0, 0, 0, 0, /* CPU 0 in domain 5 */
		0, 16, 6, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0,  0, 0, /* CPU 1 in domain 6 */
		1, 40, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,  0, 0, 0, 0, 0, 0x10, 0,
		0, 0,  0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0,  0, 0, 0, 0, 0, /* 0 to 256 MiB in domain 5 */
	};

static phys_t tables_make(void)
{
	static u8 fadt[244 - HEADER + 24], hpet[20] = { [8] = 0, 0, 0xd0, 0xfe };
	phys_t entries[5];

	arena_used = 64;
	memset(arena, 0, sizeof(arena));
	u32 dsdt = (u32)table_add("DSDT", dsdt_body, sizeof(dsdt_body));

	memcpy(fadt + 40 - HEADER, &dsdt, 4);
	fadt[64 - HEADER] = 0x04;
	fadt[65 - HEADER] = 0x06; /* PM1a control at 0x604 */
	fadt[76 - HEADER] = 0x08;
	fadt[77 - HEADER] = 0x06; /* PM timer at 0x608 */
	fadt[113 - HEADER] = 0x05; /* 32-bit timer, reset register */
	fadt[116 - HEADER] = 1;
	fadt[120 - HEADER] = 0xf9;
	fadt[121 - HEADER] = 0x0c; /* port 0xcf9 */
	fadt[128 - HEADER] = 0x0f;
	entries[0] = table_add("APIC", madt_body, sizeof(madt_body));
	entries[1] = table_add("FACP", fadt, sizeof(fadt));
	entries[2] = table_add("HPET", hpet, sizeof(hpet));
	entries[3] = table_add("SRAT", srat_body, sizeof(srat_body));
	entries[4] = 0x12345678; /* nowhere */
	phys_t xsdt = table_add("XSDT", entries, sizeof(entries));

	static const u8 signature[8] = "RSD PTR ";

	memcpy(arena, signature, sizeof(signature));
	arena[15] = 2;
	arena[20] = 36;
	memcpy(arena + 24, &xsdt, 8);
	fix_checksum(arena, 20, 8);
	fix_checksum(arena, 36, 32);
	return virt_to_phys(arena);
}

/* The kernel's own tables again, for power-off needs them. */
static void tables_restore(void)
{
#ifndef NOS_HOST
	acpi_init(boot_info.rsdp);
#endif
}

TEST(acpi_reads_tables)
{
	const struct acpi_info *a = &acpi_info;

	EXPECT(acpi_init(tables_make()));
	EXPECT_EQ(a->nr_cpus, 3);
	EXPECT_EQ(a->apic_ids[2], 7);
	EXPECT_EQ(a->apic_address, 0xfee00000);
	EXPECT_EQ(a->nr_ioapics, 1);
	EXPECT_EQ(a->ioapics[0].address, 0xfec00000);
	EXPECT(a->isa[0].present && a->isa[0].gsi == 2);
	EXPECT_EQ(a->isa[9].flags, 0xd);
	EXPECT_EQ(a->pm1a_control, 0x604);
	EXPECT_EQ(a->pm_timer_port, 0x608);
	EXPECT(a->pm_timer_32bit);
	EXPECT(a->has_reset && a->reset.address == 0xcf9 && a->reset_value == 0xf);
	EXPECT(a->has_s5);
	EXPECT_EQ(a->s5_type_a, 5);
	EXPECT_EQ(a->s5_type_b, 6);
	EXPECT_EQ(a->hpet_address, 0xfed00000);
	EXPECT_EQ(a->nr_nodes, 2);
	EXPECT_EQ(a->cpu_node[1], 1);
	EXPECT_EQ(a->nr_memory, 1);
	EXPECT_EQ(a->memory[0].end, 0x10000000);
	EXPECT_EQ(a->distance[0][1], 20);
	EXPECT(acpi_find_table("FACP") && !acpi_find_table("MCFG"));
	tables_restore();
}

TEST(acpi_refuses_bad_checksum)
{
	phys_t rsdp = tables_make();

	for (size_t at = 0; at + 4 < arena_used; at += 16)
		if (!memcmp(arena + at, "APIC", 4))
			arena[at + 40] ^= 1;
	EXPECT(acpi_init(rsdp));
	EXPECT(!acpi_info.has_madt);
	EXPECT_EQ(acpi_info.nr_cpus, 0);
	tables_restore();
}

#ifdef NOS_HOST
/* Every byte of every table wrong, with a checksum that is right again: nothing is read outside.
 * In the kernel a wrong address leads to whatever memory there is, freed objects among it. */
TEST(acpi_survives_every_wrong_byte)
{
	static const u8 values[] = { 0, 1, 0x7f, 0xff };

	for (size_t at = 0; at < 64 + 900; at++) {
		for (unsigned v = 0; v < ARRAY_SIZE(values); v++) {
			phys_t rsdp = tables_make();

			arena[at] = values[v];
			for (size_t t = 64; t + HEADER < arena_used; t += 16) {
				u32 len;

				memcpy(&len, arena + t + 4, 4);
				if (len >= HEADER && len <= ARENA_SIZE - t && at >= t &&
				    at < t + len && arena[t] >= 'A' && arena[t] <= 'Z')
					fix_checksum(arena + t, len, 9);
			}
			acpi_init(rsdp);
			EXPECT(acpi_info.nr_cpus <= MAX_CPUS);
			EXPECT(acpi_info.nr_memory <= ACPI_MAX_MEMORY);
		}
	}
	tables_restore();
}
#endif

/* What the tables made here lack: other addresses, and distances. */
TEST(acpi_reads_less_usual_entries)
{
	static const u8 madt[] = {
		0, 0,  0xe0, 0xfe, 1, 0, 0, 0, /* APIC at 0xfee00000 */
		5, 12, 0,    0,    0, 0, 0, 0, 2, 0,  0, 0, /* no: at 2^33 */
		0, 8,  0,    0,    1, 0, 0, 0, 9, 16, 0, 0, 7, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0,
	};
	/* x2APIC id 7 in domain 1; CPU 0 in domain 0, memory without a size */
	static const u8 srat[12 + 16 + 24 + 40] = {
		[12] = 0, 16,       0,        0,        1,  [28] = 2,     24,
		[32] = 1, [36] = 7, [40] = 1, [52] = 1, 40, [52 + 28] = 1
	};
	static const u8 slit[8 + 4] = { 2, [8] = 10, 31, 21, 10 };
	const struct acpi_info *a = &acpi_info;
	u32 entries[3], rsdt;
	phys_t rsdp = tables_make();

	arena_used = 64;
	entries[0] = (u32)table_add("APIC", madt, sizeof(madt));
	entries[1] = (u32)table_add("SRAT", srat, sizeof(srat));
	entries[2] = (u32)table_add("SLIT", slit, sizeof(slit));
	rsdt = (u32)table_add("RSDT", entries, sizeof(entries));
	arena[15] = 0; /* revision 1: 32-bit addresses */
	memcpy(arena + 16, &rsdt, 4);
	fix_checksum(arena, 20, 8);
	EXPECT(acpi_init(rsdp));
	EXPECT_EQ(a->apic_address, 1ull << 33);
	EXPECT_EQ(a->nr_cpus, 2);
	EXPECT_EQ(a->nr_nodes, 2);
	EXPECT_EQ(a->cpu_node[0], 0);
	EXPECT_EQ(a->cpu_node[1], 1);
	EXPECT_EQ(a->nr_memory, 0);
	EXPECT_EQ(a->distance[0][1], 31);
	EXPECT_EQ(a->distance[1][0], 21);
	EXPECT_EQ(a->distance[1][1], 10);
	for (size_t t = 64; t < arena_used; t += 16) {
		if (memcmp(arena + t, "SLIT", 4) != 0)
			continue;
		arena[t + HEADER] = 3; /* more rows than it is long */
		fix_checksum(arena + t, HEADER + sizeof(slit), 9);
	}
	EXPECT(acpi_init(rsdp));
	EXPECT_EQ(a->distance[0][1], 20);
	tables_restore();
}

#ifdef NOS_HOST /* in a machine the low memory is the firmware's */

/* A loader that says nothing: the RSDP is looked for where the BIOS leaves it. */
TEST(acpi_rsdp_is_searched)
{
	u16 segment = 0x9fc0;

	tables_make();
	EXPECT(!acpi_init(0));
	memcpy(low_memory + 0xf1230, arena, 36);
	EXPECT(acpi_init(0));
	EXPECT_EQ(acpi_info.nr_cpus, 3);
	low_memory[0xf1230 + 9]++; /* its checksum */
	EXPECT(!acpi_init(0));
	EXPECT(!acpi_init(0xf1230));
	EXPECT(!acpi_init(1ull << 50));
	memcpy(low_memory + 0x9fc30, arena, 36); /* the extended BIOS data area */
	EXPECT(!acpi_init(0));
	memcpy(low_memory + 0x40e, &segment, sizeof(segment));
	EXPECT(acpi_init(0));
	segment = 0x4000; /* no such area */
	memcpy(low_memory + 0x40e, &segment, sizeof(segment));
	memcpy(low_memory + 0x40000, arena, 36);
	EXPECT(!acpi_init(0));
	memset(low_memory, 0, sizeof(low_memory));
}
#endif
