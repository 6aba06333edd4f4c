/* The memory map: sorted, disjoint, page aligned, whatever the loader says. */
#include <nos/arch.h>
#include <nos/string.h>
#include <nos/test.h>

#include "x86.h"

static struct boot_info saved;

static void begin(void)
{
	saved = boot_info;
	boot_info.nr_ranges = 0;
}

static void add(phys_t start, phys_t end, u32 type)
{
	boot_info.ranges[boot_info.nr_ranges++] = (struct boot_range){ start, end, type };
}

static void expect_disjoint(void)
{
	for (unsigned i = 0; i < boot_info.nr_ranges; i++) {
		struct boot_range *r = &boot_info.ranges[i];

		EXPECT(r->start < r->end);
		for (unsigned j = 0; j < boot_info.nr_ranges; j++) {
			struct boot_range *o = &boot_info.ranges[j];

			if (j != i && r->type == 1)
				EXPECT(o->end <= r->start || r->end <= o->start);
		}
	}
}

TEST(boot_ranges_unusable_wins)
{
	begin();
	add(0x100000, 0x900000, 1);
	add(0x2f0800, 0x300400, 2);
	add(0x0, 0x9fc00, 1);
	boot_ranges_normalise();
	expect_disjoint();
	EXPECT_EQ(boot_info.nr_ranges, 4);
	EXPECT_EQ(boot_info.ranges[0].end, 0x9f000);
	EXPECT_EQ(boot_info.ranges[1].end, 0x2f0000);
	EXPECT_EQ(boot_info.ranges[3].start, 0x301000);
	boot_info = saved;
}

TEST(boot_ranges_merge_overlapping)
{
	begin();
	add(0x200000, 0x400000, 1);
	add(0x100000, 0x300000, 1);
	add(0x100000, 0x100000, 2);
	boot_ranges_normalise();
	expect_disjoint();
	EXPECT_EQ(boot_info.nr_ranges, 1);
	EXPECT_EQ(boot_info.ranges[0].start, 0x100000);
	EXPECT_EQ(boot_info.ranges[0].end, 0x400000);
	boot_info = saved;
}

TEST(boot_range_reserve_splits)
{
	begin();
	add(0x100000, 0x400000, 1);
	boot_ranges_normalise();
	boot_range_reserve(0x200000, 0x210000);
	expect_disjoint();
	EXPECT_EQ(boot_info.nr_ranges, 3);
	EXPECT_EQ(boot_info.ranges[1].type, 2);
	boot_info = saved;
}

/* Tags that lie about their sizes are refused, or end the walk. */
TEST(multiboot2_bounds)
{
	static u32 info[64];

	begin();
	info[0] = sizeof(info);
	info[2] = 6; /* memory map */
	info[3] = 16 + 24;
	info[4] = 24;
	info[6] = 0x100000;
	info[8] = 0x100000;
	info[10] = 1;
	info[12] = 0;
	info[13] = 8;
	EXPECT_EQ(boot_info_from_multiboot2(info, sizeof(info)), 0);
	EXPECT_EQ(boot_info.nr_ranges, 1);
	EXPECT_EQ(boot_info.ranges[0].end, 0x200000);
	for (u32 size = 0; size < 600; size++) {
		boot_info.nr_ranges = 0;
		info[3] = size;
		boot_info_from_multiboot2(info, sizeof(info));
		EXPECT(boot_info.nr_ranges <= 10);
	}
	info[3] = 40;
	info[0] = sizeof(info) + 1;
	EXPECT(boot_info_from_multiboot2(info, sizeof(info)) < 0);
	boot_info = saved;
}
