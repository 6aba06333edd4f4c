/* Address spaces without a process, for tests of mm on the host. */
#pragma once

#include "aspace_internal.h"

#include <nos/test.h>

#include <asm/mman.h>
#include <linux/mman.h>

#define BASE 0x10000000ul /* a multiple of 2 MiB */
#define PAGES(n) ((u64)(n)*PAGE_SIZE)
#define RW (PROT_READ | PROT_WRITE)

/* NULL: no memory. */
static inline struct aspace *space_create(void)
{
	struct aspace *a = aspace_create();

	if (a)
		a->mmap_base = 0x7f0000000000ul;
	return a;
}

/* Private anonymous memory at exactly these pages from BASE on. */
static inline s64 map_at(struct aspace *a, u64 page, u64 nr, u32 prot)
{
	struct map_request r = {
		.address = BASE + PAGES(page),
		.length = PAGES(nr),
		.prot = prot,
		.map_flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
	};

	return aspace_map(a, &r);
}

/* The first word of a page; all ones if it can't be read. */
static inline u64 read_at(struct aspace *a, u64 page)
{
	u64 value = ~0ull;

	return aspace_access(a, BASE + PAGES(page), &value, 8, false, false) == 8 ? value : ~0ull;
}

static inline bool write_at(struct aspace *a, u64 page, u64 value)
{
	return aspace_access(a, BASE + PAGES(page), &value, 8, true, false) == 8;
}

static inline void fill(struct aspace *a, u64 first, u64 nr, u64 value)
{
	for (u64 page = first; page < first + nr; page++)
		EXPECT(write_at(a, page, value + page));
}
