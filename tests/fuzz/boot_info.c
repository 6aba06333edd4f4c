/*
 * What a boot loader hands over, in both formats.  Physical memory is one block: a look outside of
 * it is a fault of the parser, except where the format has nothing to check against.
 */
/* needs: arch/x86_64/boot_info.c */
#include "fuzz.h"

#include <nos/arch.h>

#include "../../arch/x86_64/x86.h"

#define MEMORY_PHYS 0x1000ul

const char kernel_start[1], kernel_end[1];
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

phys_t virt_to_phys(const void *v)
{
	return (uintptr_t)v;
}

static void check_ranges(void)
{
	const struct boot_info *b = &boot_info;

	VERIFY(b->nr_ranges <= ARRAY_SIZE(b->ranges));
	for (unsigned i = 0; i < b->nr_ranges; i++) {
		const struct boot_range *r = &b->ranges[i];

		VERIFY(r->start < r->end && r->end <= PTE_PHYS_LIMIT);
		VERIFY(!i || b->ranges[i - 1].start <= r->start);
		if (r->type != 1)
			continue;
		VERIFY(is_aligned(r->start, PAGE_SIZE) && is_aligned(r->end, PAGE_SIZE));
		for (unsigned j = 0; j < b->nr_ranges; j++)
			VERIFY(j == i || b->ranges[j].end <= r->start ||
			       r->end <= b->ranges[j].start);
	}
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct fuzz_input in = { data, size };
	u8 kind = fuzz_u8(&in);
	phys_t start = MEMORY_PHYS * (1 + fuzz_u8(&in)), end = start + 16 * fuzz_u16(&in);
	int err;

	memory_size = in.left;
	memory = malloc(memory_size);
	memcpy(memory, in.at, memory_size);
	memset(&boot_info, 0, sizeof(boot_info));
	if (kind & 1)
		err = phys_is_direct_mapped(MEMORY_PHYS, 56) ? boot_info_from_pvh(memory) : -EINVAL;
	else
		err = boot_info_from_multiboot2(memory, memory_size);
	VERIFY(err == 0 || err == -EINVAL);
	VERIFY(boot_info.initrd_start <= boot_info.initrd_end);
	if (boot_info.command_line)
		VERIFY(strlen(boot_info.command_line) < 4096);
	boot_ranges_normalise();
	check_ranges();
	if (start < end) {
		boot_range_reserve(start, end);
		check_ranges();
	}
	free(memory);
	return 0;
}
