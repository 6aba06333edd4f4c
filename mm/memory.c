/* Start of mm, system-wide figures, and the overcommit accounting (mmap(2), proc(5)). */
#include "page_internal.h"
#include "slab_internal.h"

#include <nos/aspace.h>
#include <nos/assert.h>
#include <nos/errno.h>
#include <nos/init.h>
#include <nos/page_cache.h>
#include <nos/spread.h>
#include <nos/vmap.h>

#include <linux/capability.h>

u32 vm_overcommit_memory;
u32 vm_overcommit_ratio = 50;
u64 vm_overcommit_kbytes;
u32 vm_max_map_count = 65530;
u64 vm_mmap_min_addr = 65536;

DEFINE_SPREAD(committed, 1024); /* pages promised to accounted mappings */

u64 memory_commit_limit(void)
{
	if (vm_overcommit_kbytes)
		return vm_overcommit_kbytes >> (PAGE_SHIFT - 10);
	return page_nr_total() * vm_overcommit_ratio / 100;
}

int memory_commit(u64 nr_pages)
{
	spread_add(committed, nr_pages);
	if (vm_overcommit_memory == 1)
		return 0;
	if (vm_overcommit_memory == 0 && nr_pages <= page_nr_total())
		return 0;
	if (vm_overcommit_memory == 2) {
		/* 3 % are left to root, so that it can log in and look */
		u64 limit = memory_commit_limit();

		if (!process_has_capability(CAP_SYS_ADMIN))
			limit -= limit / 32;
		if (spread_sum(committed) <= (s64)limit)
			return 0;
	}
	memory_uncommit(nr_pages);
	return -ENOMEM;
}

void memory_commit_always(u64 nr_pages)
{
	spread_add(committed, nr_pages);
}

void memory_uncommit(u64 nr_pages)
{
	spread_add(committed, -(s64)nr_pages);
}

#define STATS_TRIES 100u

/* Frames by kind, and how many of them wait zeroed, which idle CPUs change: of one moment, if there is one. */
static u64 frames_read(struct memory_stats *s)
{
	u64 zeroed = zeroed_in_stock(), before;
	unsigned tries = 0;

	do {
		before = zeroed;
		*s = (struct memory_stats){ 0 };
		page_stats_read(s);
		zeroed = zeroed_in_stock();
	} while (zeroed != before && ++tries < STATS_TRIES);
	return min(zeroed, s->anon);
}

void memory_stats_read(struct memory_stats *s)
{
	u64 zeroed = frames_read(s); /* nobody's as yet */

	page_cache_stats_read(s);
	fault_stats_read(s);
	vmap_stats_read(&s->kernel_stacks, &s->vmap);
	s->anon -= zeroed;
	s->free += zeroed;
	s->committed = (u64)max(spread_sum(committed), (s64)0);
	s->commit_limit = memory_commit_limit();
	s->oom_kills = memory_oom_kills();
	s->file -= min(s->file, s->shmem); /* counted by kind, memory files included */
	/* free, and the page cache that can be dropped, less half of it as working set at most */
	s->available = s->free + s->file - min(s->file / 2, (u64)1024);
}

void mm_init(void)
{
	slab_init();
	vmap_init();
	zero_folio = folio_alloc(0, FOLIO_KERNEL, ALLOC_ZERO);
	VERIFY(zero_folio);
	page_cache_system_init();
	aspace_system_init();
	zeroed_init();
}

void __init mm_init_nodes(void)
{
	page_nodes_init();
	slab_nodes_init();
}
