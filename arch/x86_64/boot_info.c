/*
 * What the boot loader tells: memory map, command line, initramfs, RSDP.
 * Both formats are copied into boot_info; nothing of the loader's memory is
 * used after that, but for the initramfs.  The bytes are not trusted: every
 * table is bounded, and ranges are sorted and made disjoint before use.
 */
#include <nos/arch.h>
#include <nos/errno.h>
#include <nos/string.h>

#include "x86.h"

struct boot_info boot_info;
static char command_line[4096];

/* struct hvm_start_info and its parts, Xen's public/arch-x86/hvm/start_info.h. */
#define PVH_MAGIC 0x336ec578u
struct pvh_info {
	u32 magic, version, flags, nr_modules;
	u64 modules, command_line, rsdp;
	u64 memory_map; /* from version 1 on */
	u32 nr_ranges, reserved;
};
struct pvh_module {
	u64 address, size, command_line, reserved;
};
struct pvh_range {
	u64 address, size;
	u32 type, reserved;
};
static_assert(sizeof(struct pvh_info) == 56);

/* Multiboot2 specification, section 3.6. */
struct mb2_tag {
	u32 type, size;
};
#define MB2_END 0
#define MB2_COMMAND_LINE 1
#define MB2_MODULE 3
#define MB2_MEMORY_MAP 6
#define MB2_RSDP_OLD 14
#define MB2_RSDP_NEW 15
struct mb2_module {
	struct mb2_tag tag;
	u32 start, end;
};
struct mb2_memory_map {
	struct mb2_tag tag;
	u32 entry_size, entry_version;
};
struct mb2_range {
	u64 address, size;
	u32 type, reserved;
};
static u8 rsdp_copy[64] __aligned(16);

static void boot_range_add(u64 start, u64 size, u32 type)
{
	struct boot_info *b = &boot_info;
	u64 end = start + size;

	if (end < start || end > PTE_PHYS_LIMIT)
		end = PTE_PHYS_LIMIT;
	if (start >= end || b->nr_ranges == ARRAY_SIZE(b->ranges))
		return;
	b->ranges[b->nr_ranges++] = (struct boot_range){ start, end, type };
}

/* The string at `at`, cut where it is too long or memory ends. */
static void command_line_read(phys_t at)
{
	size_t n = 0;

	while (n < sizeof(command_line) - 1 && phys_is_direct_mapped(at + n, 1)) {
		command_line[n] = *(const char *)phys_to_virt(at + n);
		if (!command_line[n])
			break;
		n++;
	}
	command_line[n] = '\0';
}

int boot_info_from_pvh(const void *info)
{
	const struct pvh_info *p = info;
	u32 nr = min(p->nr_ranges, (u32)ARRAY_SIZE(boot_info.ranges));

	if (p->magic != PVH_MAGIC)
		return -EINVAL;
	if (p->command_line)
		command_line_read(p->command_line);
	boot_info.command_line = command_line;
	boot_info.rsdp = p->rsdp;
	if (p->nr_modules && phys_is_direct_mapped(p->modules, sizeof(struct pvh_module))) {
		const struct pvh_module *m = phys_to_virt(p->modules);

		if (m->size && m->address + m->size > m->address) {
			boot_info.initrd_start = m->address;
			boot_info.initrd_end = m->address + m->size;
		}
	}
	if (p->version < 1 || !p->memory_map ||
	    !phys_is_direct_mapped(p->memory_map, nr * sizeof(struct pvh_range)))
		return -EINVAL;
	const struct pvh_range *r = phys_to_virt(p->memory_map);

	for (u32 i = 0; i < nr; i++)
		boot_range_add(r[i].address, r[i].size, r[i].type);
	return 0;
}

static void mb2_memory_map_read(const struct mb2_memory_map *map)
{
	if (map->entry_size < sizeof(struct mb2_range))
		return;
	for (u64 at = sizeof(*map); at + map->entry_size <= map->tag.size; at += map->entry_size) {
		const struct mb2_range *r = (const void *)((const char *)map + at);

		boot_range_add(r->address, r->size, r->type);
	}
}

static void mb2_tag_read(const struct mb2_tag *tag)
{
	size_t payload = tag->size - sizeof(*tag);

	switch (tag->type) {
	case MB2_COMMAND_LINE: {
		size_t len =
			min(strnlen((const char *)(tag + 1), payload), sizeof(command_line) - 1);

		memcpy(command_line, tag + 1, len);
		command_line[len] = '\0';
		break;
	}
	case MB2_MODULE: {
		const struct mb2_module *m = (const void *)tag;

		if (tag->size >= sizeof(*m) && m->end > m->start && !boot_info.initrd_end) {
			boot_info.initrd_start = m->start;
			boot_info.initrd_end = m->end;
		}
		break;
	}
	case MB2_MEMORY_MAP:
		if (tag->size >= sizeof(struct mb2_memory_map))
			mb2_memory_map_read((const void *)tag);
		break;
	case MB2_RSDP_OLD:
		if (boot_info.rsdp)
			break;
		[[fallthrough]];
	case MB2_RSDP_NEW:
		memcpy(rsdp_copy, tag + 1, min(payload, sizeof(rsdp_copy)));
		boot_info.rsdp = virt_to_phys(rsdp_copy);
		break;
	}
}

/* `limit` bytes are readable at `info`. */
int boot_info_from_multiboot2(const void *info, size_t limit)
{
	const u32 *header = info;

	if (limit < 2 * sizeof(u32) || header[0] > limit)
		return -EINVAL;
	boot_info.command_line = command_line;
	for (size_t at = 8; at + sizeof(struct mb2_tag) <= header[0];) {
		const struct mb2_tag *tag = (const void *)((const char *)info + at);

		if (tag->type == MB2_END)
			break;
		if (tag->size < sizeof(*tag) || tag->size > header[0] - at)
			return -EINVAL;
		mb2_tag_read(tag);
		at += align_up((size_t)tag->size, 8ul);
	}
	return boot_info.nr_ranges ? 0 : -EINVAL;
}

static void boot_range_remove(unsigned i)
{
	struct boot_info *b = &boot_info;

	b->nr_ranges--;
	for (; i < b->nr_ranges; i++)
		b->ranges[i] = b->ranges[i + 1];
}

static void boot_ranges_sort(void)
{
	struct boot_range *r = boot_info.ranges;

	for (unsigned i = 1; i < boot_info.nr_ranges; i++)
		for (unsigned j = i; j > 0 && r[j].start < r[j - 1].start; j--)
			swap(r[j], r[j - 1]);
}

/* Cuts usable range i by [start, end); may append a range. */
static void boot_range_cut(unsigned i, phys_t start, phys_t end)
{
	struct boot_info *b = &boot_info;
	struct boot_range *r = &b->ranges[i];
	phys_t old_end = r->end;

	if (r->start >= start) {
		r->start = min(end, r->end);
		return;
	}
	r->end = start;
	if (end < old_end && b->nr_ranges < ARRAY_SIZE(b->ranges))
		b->ranges[b->nr_ranges++] = (struct boot_range){ end, old_end, r->type };
}

static void boot_range_cut_usable(phys_t start, phys_t end)
{
	struct boot_info *b = &boot_info;

	for (unsigned i = 0; i < b->nr_ranges; i++) {
		struct boot_range *r = &b->ranges[i];

		if (r->type == 1 && r->start < end && start < r->end)
			boot_range_cut(i, start, end);
	}
}

void boot_ranges_normalise(void)
{
	struct boot_info *b = &boot_info;

	for (unsigned i = 0; i < b->nr_ranges; i++) {
		struct boot_range *r = &b->ranges[i];

		if (r->type == 1) {
			r->start = align_up(r->start, PAGE_SIZE);
			r->end = align_down(r->end, PAGE_SIZE);
		}
	}
	for (unsigned i = 0; i < b->nr_ranges; i++) {
		struct boot_range r = b->ranges[i];

		if (r.type != 1)
			boot_range_cut_usable(align_down(r.start, PAGE_SIZE),
					      align_up(r.end, PAGE_SIZE));
	}
	for (unsigned i = 0; i < b->nr_ranges;) {
		if (b->ranges[i].start >= b->ranges[i].end)
			boot_range_remove(i);
		else
			i++;
	}
	boot_ranges_sort();
	/* Usable ranges may overlap each other: give the shared part to the first. */
	for (unsigned i = 1; i < b->nr_ranges;) {
		struct boot_range *r = &b->ranges[i], *before = r - 1;

		if (r->type == 1 && before->type == 1 && r->start <= before->end) {
			before->end = max(before->end, r->end);
			boot_range_remove(i);
		} else {
			i++;
		}
	}
}

void boot_range_reserve(phys_t start, phys_t end)
{
	boot_range_cut_usable(start, end);
	boot_range_add(start, end - start, 2);
	boot_ranges_normalise();
}

/* The part of a usable range that starts at or after `at` and is not in use at boot. */
static phys_t boot_free_start(phys_t at, size_t len_bytes)
{
	const struct boot_range used[] = {
		{ 0, 1 << 20, 0 },
		{ virt_to_phys(kernel_start), virt_to_phys(kernel_end), 0 },
		{ boot_info.initrd_start, boot_info.initrd_end, 0 },
	};
	bool moved = true;

	while (moved) {
		moved = false;
		for (unsigned i = 0; i < ARRAY_SIZE(used); i++) {
			if (at < used[i].end && used[i].start < at + len_bytes) {
				at = align_up(used[i].end, PAGE_SIZE);
				moved = true;
			}
		}
	}
	return at;
}

phys_t boot_frames_alloc(size_t len_bytes)
{
	struct boot_info *b = &boot_info;

	for (unsigned i = 0; i < b->nr_ranges; i++) {
		struct boot_range *r = &b->ranges[i];

		if (r->type != 1)
			continue;
		phys_t at = boot_free_start(r->start, len_bytes);

		/* The first page table reaches 4 GiB. */
		if (at + len_bytes > r->end || at + len_bytes > 1ull << 32)
			continue;
		boot_range_reserve(at, at + len_bytes);
		memset(phys_to_virt(at), 0, len_bytes);
		return at;
	}
	return 0;
}
