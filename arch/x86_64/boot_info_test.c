/* The memory map: sorted, disjoint, page aligned, whatever the loader says. */
#include <nos/arch.h>
#include <nos/errno.h>
#include <nos/string.h>
#include <nos/test.h>

#include "test_arena.h"
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

struct pvh {
	u32 magic, version, flags, nr_modules;
	u64 modules, command_line, rsdp, memory_map;
	u32 nr_ranges, reserved;
};
#define PVH_MODULE 64 /* in the arena */
#define PVH_MAP 128

static struct pvh pvh_make(void)
{
	static const u64 module[4] = { 0x5000000, 0x1000 };
	static const struct {
		u64 address, size;
		u32 type, reserved;
	} map[2] = { { 0, 0x9fc00, 1, 0 }, { 0x100000, U64_MAX, 1, 0 } };

	memcpy(arena + PVH_MODULE, module, sizeof(module));
	memcpy(arena + PVH_MAP, map, sizeof(map));
	return (struct pvh){ .magic = 0x336ec578,
			     .version = 1,
			     .nr_modules = 1,
			     .modules = virt_to_phys(arena + PVH_MODULE),
			     .memory_map = virt_to_phys(arena + PVH_MAP),
			     .nr_ranges = 2,
			     .rsdp = 0xf0000 };
}

/* Xen's start info: version 1 with a module and a memory map of two ranges. */
TEST(pvh_info_is_read)
{
	struct pvh info = pvh_make();
	u64 *module = (u64 *)(arena + PVH_MODULE);

	begin();
	boot_info.initrd_start = boot_info.initrd_end = 0;
	EXPECT_EQ(boot_info_from_pvh(&info), 0);
	EXPECT_EQ(boot_info.initrd_start, 0x5000000);
	EXPECT_EQ(boot_info.initrd_end, 0x5001000);
	EXPECT_EQ(boot_info.rsdp, 0xf0000);
	EXPECT_EQ(boot_info.nr_ranges, 2);
	/* A range that wraps ends where addresses do. */
	EXPECT_EQ(boot_info.ranges[1].end, PTE_PHYS_LIMIT);
	module[1] = U64_MAX;
	boot_info.initrd_start = boot_info.initrd_end = 0;
	EXPECT_EQ(boot_info_from_pvh(&info), 0);
	EXPECT_EQ(boot_info.initrd_end, 0);
	module[1] = 0x1000;
	info.version = 0;
	EXPECT(boot_info_from_pvh(&info) < 0);
	info.magic = 0;
	EXPECT(boot_info_from_pvh(&info) < 0);
	boot_info = saved;
}

/* A module, an old and a new RSDP (the new one wins), and a tag that nobody knows. */
TEST(multiboot2_tags_are_read)
{
	static u32 info[64] = {
		192, 0,  3,  17, 0x4000000, 0x4002000, 0,          0, /* module, empty name */
		99,  12, 7,  0,  15,        16,        0x20445352, 0x20525450, 14, 16, 0, 0,
		6,   40, 24, 0,  0x100000,  0,         0x100000,   0,          1,  0,  0, 8,
	};

	begin();
	boot_info.initrd_start = boot_info.initrd_end = 0;
	boot_info.rsdp = 0;
	EXPECT_EQ(boot_info_from_multiboot2(info, sizeof(info)), 0);
	EXPECT_EQ(boot_info.initrd_start, 0x4000000);
	EXPECT_EQ(boot_info.initrd_end, 0x4002000);
	EXPECT(boot_info.rsdp != 0);
	EXPECT_EQ(boot_info.nr_ranges, 1);
	boot_info = saved;
}

/* A command line without an end stops at the limit, and no table is read where there is no memory. */
TEST(pvh_info_that_points_outside)
{
	struct pvh info = pvh_make();
	phys_t outside = 1ull << 50;

	begin();
	memset(arena + 256, 'x', ARENA_SIZE - 256);
	info.command_line = virt_to_phys(arena + 256);
	EXPECT_EQ(boot_info_from_pvh(&info), 0);
	EXPECT_EQ(strlen(boot_info.command_line), 4095);
	memset(arena + 256, 0, ARENA_SIZE - 256);
	info.command_line = virt_to_phys(arena + 256);
	EXPECT_EQ(boot_info_from_pvh(&info), 0);
	EXPECT_EQ(strlen(boot_info.command_line), 0);
	info.command_line = outside;
	info.modules = outside;
	boot_info.initrd_end = 0;
	EXPECT_EQ(boot_info_from_pvh(&info), 0);
	EXPECT_EQ(strlen(boot_info.command_line), 0);
	EXPECT_EQ(boot_info.initrd_end, 0);
	info.memory_map = outside;
	EXPECT(boot_info_from_pvh(&info) < 0);
	boot_info = saved;
}

/* A command line tag without a NUL ends with its tag. */
TEST(multiboot2_command_line_without_end)
{
	static u32 info[20] = { 60, 0,        1, 12,       0x64636261, 0, 6, 40,        24,
				0,  0x100000, 0, 0x100000, 0,          1, 0, 0x7a7a7a7a };

	begin();
	EXPECT_EQ(boot_info_from_multiboot2(info, sizeof(info)), -EINVAL); /* the map is cut off */
	info[0] = 64;
	EXPECT_EQ(boot_info_from_multiboot2(info, sizeof(info)), 0);
	EXPECT_EQ(strcmp(boot_info.command_line, "abcd"), 0);
	info[3] = 8; /* no byte at all, and the next tag right behind */
	memmove(&info[4], &info[6], 40);
	info[14] = 0; /* the end */
	EXPECT_EQ(boot_info_from_multiboot2(info, sizeof(info)), 0);
	EXPECT_EQ(strlen(boot_info.command_line), 0);
	boot_info = saved;
}

/* ---- frames taken before there is an allocator ---- */

#ifdef NOS_HOST /* the kernel's own map is in use */

extern u8 arena[ARENA_SIZE];
#define ARENA_START 0x200000ul

/* `kernel_start` and its end are absent on the host: the addresses of one trap. */
TEST(boot_frames_are_taken_once)
{
	phys_t at;

	begin();
	boot_info.initrd_start = ARENA_START;
	boot_info.initrd_end = ARENA_START + 100;
	add(0x1000, 0x9f000, 1); /* the first MiB is left alone */
	add(ARENA_START - PAGE_SIZE, ARENA_START, 2);
	add(ARENA_START, ARENA_START + ARENA_SIZE, 1);
	memset(arena, 0xa5, ARENA_SIZE);
	at = boot_frames_alloc(PAGE_SIZE);
	EXPECT_EQ(at, ARENA_START + PAGE_SIZE); /* behind the initramfs */
	EXPECT_EQ(arena[PAGE_SIZE - 1], 0xa5);
	for (u32 n = PAGE_SIZE; n < 2 * PAGE_SIZE; n++)
		EXPECT_EQ(arena[n], 0);
	expect_disjoint();
	EXPECT_EQ(boot_frames_alloc(PAGE_SIZE), 0); /* not twice */
	expect_disjoint();
	boot_info = saved;
}

TEST(boot_frames_stay_below_4_gib)
{
	begin();
	add(0xfffff000ul, 0x200000000ul, 1);
	EXPECT_EQ(boot_frames_alloc(2 * PAGE_SIZE), 0);
	boot_info = saved;
}
#endif

/* What a map of memory has no room for is left out; nothing is written beyond it. */
TEST(boot_ranges_more_than_fit)
{
	static u32 info[4096];
	u32 nr = 0, at = 6;

	begin();
	memset(info, 0, sizeof(info));
	for (; at + 6 <= ARRAY_SIZE(info) - 2 && nr < 600; nr++, at += 6) {
		u64 range[3] = { 0x100000ull + nr * 0x2000ull, 0x1000, 1 };

		memcpy(&info[at], range, sizeof(range));
	}
	info[0] = at * 4 + 8;
	info[2] = 6;
	info[3] = at * 4 - 8;
	info[4] = 24;
	info[at + 1] = 8;
	EXPECT_EQ(boot_info_from_multiboot2(info, sizeof(info)), 0);
	EXPECT_EQ(boot_info.nr_ranges, min(nr, (u32)ARRAY_SIZE(boot_info.ranges)));
	boot_ranges_normalise();
	expect_disjoint();
	boot_info.nr_ranges = 0;
	info[4] = 23; /* entries that are too small */
	EXPECT(boot_info_from_multiboot2(info, sizeof(info)) < 0);
	EXPECT_EQ(boot_info.nr_ranges, 0);
	boot_info = saved;
}
