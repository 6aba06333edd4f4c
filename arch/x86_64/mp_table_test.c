/* The MultiProcessor table: found, believed only with its sums, and never read behind its end. */
#include <nos/test.h>

#ifdef NOS_HOST /* in the kernel the area is the firmware's */

#include <nos/arch.h>
#include <nos/string.h>

#include "acpi.h"
#include "test_arena.h"
#include "x86.h"

#define TABLE 64 /* of the area */
#define HEADER 44

static void fix_sum(u8 *data, size_t len, size_t at)
{
	u8 sum = 0;

	data[at] = 0;
	for (size_t i = 0; i < len; i++)
		sum = (u8)(sum + data[i]);
	data[at] = (u8)-sum;
}

/* The pointer at `at`, a table with these entries behind it. */
static void make_table(size_t at, const u8 *entries, u16 len)
{
	u8 *table = bios_area + TABLE;
	u32 where = BIOS_AREA + TABLE;

	memset(bios_area, 0, BIOS_AREA_SIZE);
	memset(&acpi_info, 0, sizeof(acpi_info));
	memcpy(bios_area + at, "_MP_", 4);
	memcpy(bios_area + at + 4, &where, sizeof(where));
	bios_area[at + 8] = 1;
	fix_sum(bios_area + at, 16, 10);
	memcpy(table, "PCMP", 4);
	len += HEADER;
	memcpy(table + 4, &len, sizeof(len));
	memcpy(table + HEADER, entries, len - HEADER);
	fix_sum(table, len, 7);
}

static const u8 entries[] = {
	0, 0, 20,  3,   0,   0,   0,    0,    0, 0, 0,  0, 0, 0, 0,    0,    0,
	0, 0, 0, /* boot CPU */
	0, 1, 20,  1,   0,   0,   0,    0,    0, 0, 0,  0, 0, 0, 0,    0,    0,
	0, 0, 0, /* CPU 1 */
	0, 2, 20,  0,   0,   0,   0,    0,    0, 0, 0,  0, 0, 0, 0,    0,    0,
	0, 0, 0, /* not usable */
	1, 0, 'I', 'S', 'A', ' ', ' ',  ' ', /* a bus */
	2, 3, 17,  0,   0,   0,   0xc1, 0xfe, /* an I/O APIC that is off */
	2, 4, 17,  1,   0,   0,   0xc0, 0xfe, 2, 5, 17, 1, 0, 0, 0xc2, 0xfe, /* a second one: its inputs are not known */
};

TEST(mp_table_is_read)
{
	make_table(0, entries, sizeof(entries));
	mp_table_read();
	EXPECT_EQ(acpi_info.nr_cpus, 2);
	EXPECT_EQ(acpi_info.apic_ids[1], 1);
	EXPECT_EQ(acpi_info.nr_ioapics, 1);
	EXPECT_EQ(acpi_info.ioapics[0].address, 0xfec00000);
	EXPECT_EQ(acpi_info.ioapics[0].first_gsi, 0);
	make_table(0x1fff0, entries, sizeof(entries)); /* the pointer in the last place */
	mp_table_read();
	EXPECT_EQ(acpi_info.nr_cpus, 2);
}

TEST(mp_table_is_not_believed)
{
	u32 outside = 0x500000;

	make_table(0, entries, sizeof(entries));
	bios_area[TABLE + HEADER]++; /* the table's sum */
	mp_table_read();
	EXPECT_EQ(acpi_info.nr_cpus, 0);
	make_table(0, entries, sizeof(entries));
	bios_area[11]++; /* the pointer's */
	mp_table_read();
	EXPECT_EQ(acpi_info.nr_cpus, 0);
	make_table(0, entries, sizeof(entries));
	memcpy(bios_area + 4, &outside, sizeof(outside));
	fix_sum(bios_area, 16, 10);
	mp_table_read();
	EXPECT_EQ(acpi_info.nr_cpus, 0);
	make_table(0, entries, sizeof(entries));
	bios_area[TABLE + 5] = 0xff; /* longer than memory */
	mp_table_read();
	EXPECT_EQ(acpi_info.nr_cpus, 0);
	memset(bios_area, 0, BIOS_AREA_SIZE);
	mp_table_read();
	EXPECT_EQ(acpi_info.nr_cpus, 0);
}

/* Cut at any byte: the entries that are whole count. */
TEST(mp_table_cut_short)
{
	for (u16 len = 0; len < sizeof(entries); len++) {
		make_table(0, entries, len);
		mp_table_read();
		EXPECT_EQ(acpi_info.nr_cpus, min(len / 20, 2));
		EXPECT_EQ(acpi_info.nr_ioapics, len >= 84);
	}
}

TEST(mp_table_with_more_cpus_than_we_have_room_for)
{
	static u8 many[20 * (MAX_CPUS + 8)];

	for (u32 n = 0; n < MAX_CPUS + 8; n++) {
		many[20 * n + 1] = (u8)n;
		many[20 * n + 3] = 1;
	}
	make_table(0, many, sizeof(many));
	mp_table_read();
	EXPECT_EQ(acpi_info.nr_cpus, MAX_CPUS);
}

#endif
