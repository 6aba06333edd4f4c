/*
 * Files in memory by 2 MiB: tmpfs, memfd, System V segments, shared anonymous memory.
 *
 * Concepts.  A block is 2 MiB of neighbouring frames, aligned, that hold an aligned
 * 2 MiB of one file.  It is brought all at once, by the first fault or write that
 * finds none of its pages, and consists of folios of 64 KiB, the unit of a large
 * write: so whatever the cache does to folios (copying, truncation, a hole, a page
 * in a pipe) knows nothing of it.  FOLIO_BLOCK says that the block is still whole,
 * and then huge.c may map it by one entry.
 *
 * Invariants.
 *   (1) a folio with FOLIO_BLOCK is one of a block all of which is in the folio's
 *       cache, at its place, and up to date; the flag changes under the cache's lock;
 *   (2) who holds a leaf lock, has found invalidate_sequence even since, and then
 *       sees the flag, finds the block whole until he lets go: truncation takes no
 *       folio out before it has been through the tables;
 *   (3) no entry of 2 MiB reaches beyond the size of its file.
 *
 * Policy.  The owner of a cache says how readily it takes blocks (the option huge= of a
 * mount), shmem_enabled says it for files without one, and overrules all by deny and
 * force.  A block counts in full against size=; where it has no room, or no block is
 * free, pages come as ever.  Until a policy asks for blocks nobody looks for one.
 * Boot switch: opt.huge_pages.
 *
 * Rejected.  One folio of 2 MiB (truncation of a part would have to split it under its
 * readers, as docs/decisions/huge-pages.md says of anonymous memory); folios of 4 KiB
 * (512 records to fill and to count instead of 32; read(2) and write(2) by the page).
 */
#include "page_cache_internal.h"
#include "page_internal.h"

#include <nos/assert.h>
#include <nos/errno.h>
#include <nos/fail.h>
#include <nos/huge.h>
#include <nos/log.h>
#include <nos/string.h>
#include <nos/thread.h>

#define UNIT_ORDER 4u
#define UNIT_PAGES (1u << UNIT_ORDER)

static DEFINE_PERCPU(s64, blocks);
static DEFINE_PERCPU(u64, block_allocs);
static DEFINE_PERCPU(u64, block_fallbacks);

bool huge_files;
static bool huge_enabled __ro_after_init;
static u32 system_mode = HUGE_FILE_NEVER;

static const char *const mode_names[] = {
	[HUGE_FILE_ALWAYS] = "always", [HUGE_FILE_WITHIN_SIZE] = "within_size",
	[HUGE_FILE_ADVISE] = "advise", [HUGE_FILE_NEVER] = "never",
	[HUGE_FILE_DENY] = "deny",     [HUGE_FILE_FORCE] = "force",
};

void huge_file_init(void)
{
	huge_enabled = boot_opt_enabled("huge_pages");
}

void huge_file_stats_read(struct huge_stats *s)
{
	s64 sum = 0;

	for_each_cpu(cpu)
	{
		sum += *per_cpu_ptr(blocks, cpu);
		s->file_allocs += *per_cpu_ptr(block_allocs, cpu);
		s->file_fallbacks += *per_cpu_ptr(block_fallbacks, cpu);
	}
	s->file_blocks = (u64)max(sum, (s64)0);
}

/* ---- policy ---- */

const char *huge_file_name(enum huge_file mode)
{
	return mode < ARRAY_SIZE(mode_names) ? mode_names[mode] : NULL;
}

int huge_file_parse(const char *name, size_t len)
{
	for (u32 i = 0; i < ARRAY_SIZE(mode_names); i++)
		if (strlen(mode_names[i]) == len && !memcmp(mode_names[i], name, len))
			return (int)i;
	return -EINVAL;
}

int huge_file_allow(enum huge_file mode)
{
	if (mode == HUGE_FILE_NEVER || mode == HUGE_FILE_DENY)
		return 0;
	if (!huge_enabled)
		return -EINVAL;
	WRITE_ONCE(huge_files, true);
	return 0;
}

enum huge_file huge_file_system_get(void)
{
	return READ_ONCE(system_mode);
}

int huge_file_system_set(enum huge_file mode)
{
	int err = huge_file_allow(mode);

	if (!err)
		WRITE_ONCE(system_mode, mode);
	return err;
}

enum huge_file huge_file_mode(const struct page_cache *c)
{
	enum huge_file all = huge_file_system_get(), own;

	if (!READ_ONCE(huge_files) || all == HUGE_FILE_DENY || (c && (!c->ops || !c->ops->huge)))
		return HUGE_FILE_NEVER;
	own = c ? c->ops->huge(c) : HUGE_FILE_SYSTEM;
	return all == HUGE_FILE_FORCE ? HUGE_FILE_ALWAYS : own == HUGE_FILE_SYSTEM ? all : own;
}

bool huge_file_allows(const struct page_cache *c, u64 index, u32 flags)
{
	u64 end = align_down(index, HUGE_PAGES) + HUGE_PAGES;

	if (flags & MAPPING_NOHUGE)
		return false;
	switch (huge_file_mode(c)) {
	case HUGE_FILE_ALWAYS:
		return true;
	case HUGE_FILE_WITHIN_SIZE:
		return (flags & MAPPING_HUGE) ||
		       div_round_up(READ_ONCE(*c->size), PAGE_SIZE) >= end;
	case HUGE_FILE_ADVISE:
		return flags & MAPPING_HUGE;
	default:
		return false;
	}
}

/* ---- blocks ---- */

static bool range_is_empty(struct page_cache *c, u64 index)
{
	u64 at = index;

	scoped_rcu();
	return !radix_find_next(&c->tree, &at) || at >= index + HUGE_PAGES;
}

/* The indices of a block whose folios are locked, and the tree's references; false: nothing is left. */
static bool tree_insert_block(struct page_cache *c, struct folio *block, u64 index)
{
	int err = 0;
	u32 i;

	scoped_spin(&c->lock);
	for (i = 0; i < HUGE_PAGES && !err; i += UNIT_PAGES)
		err = radix_insert_run(&c->tree, index + i, UNIT_PAGES, block + i);
	if (unlikely(err)) {
		for (i -= UNIT_PAGES; i > 0; i--)
			radix_remove(&c->tree, index + i - 1);
		return false;
	}
	c->nr_pages += HUGE_PAGES;
	for (i = 0; i < HUGE_PAGES; i += UNIT_PAGES) {
		folio_get(block + i);
		folio_set_flag(block + i, FOLIO_UPTODATE | FOLIO_BLOCK);
	}
	return true;
}

/* Gives the block, which nobody knows yet, to the cache, unless a page was faster. */
static bool block_add(struct page_cache *c, struct folio *block, u64 index)
{
	struct folio *const end = block + HUGE_PAGES;

	for (struct folio *f = block; f < end; f += UNIT_PAGES) {
		f->flags = FOLIO_LOCKED | FOLIO_UNEVICTABLE;
		folio_join_cache(f, c, index + (u64)(f - block));
	}
	bool done = tree_insert_block(c, block, index);

	for (struct folio *f = block; f < end; f += UNIT_PAGES) {
		if (done)
			folio_lru_add(f, true);
		else
			WRITE_ONCE(f->cache, NULL);
		folio_unlock(f);
		folio_put(f);
	}
	return done;
}

static struct folio *block_alloc(void)
{
	struct folio *block = fail_now(FAIL_ALLOC, "huge") ?
				      NULL :
				      folio_alloc_cluster(CHUNK_SHIFT, UNIT_ORDER, FOLIO_FILE);

	if (!block)
		this_cpu_add(block_fallbacks, 1);
	return block;
}

bool huge_file_bring_slow(struct page_cache *c, u64 index, u64 nr, u32 flags)
{
	u64 base = align_down(index, HUGE_PAGES), end = base + HUGE_PAGES;
	const struct page_cache_ops *ops = c->ops;
	bool done = false;

	if (!huge_file_allows(c, index, flags) || !range_is_empty(c, base))
		return false;
	if (static_key_is_on(&numa_key) && current_thread->memory_policy)
		return false;
	if (ops->grow && ops->grow(c, HUGE_PAGES, index + nr > end ? index + nr - end : 0))
		return false;
	struct folio *block = block_alloc();

	if (block)
		done = block_add(c, block, base);
	if (done) {
		this_cpu_add(blocks, 1);
		this_cpu_add(block_allocs, 1);
	}
	if (ops->grow)
		(void)ops->grow(c, 0, 0);
	return done;
}

void huge_file_break_locked(struct page_cache *c, struct folio *f)
{
	struct folio *block = f - f->index % HUGE_PAGES;

	for (u32 i = 0; i < HUGE_PAGES; i += UNIT_PAGES) {
		ASSERT(block[i].cache == c && folio_has_flag(block + i, FOLIO_BLOCK));
		folio_clear_flag(block + i, FOLIO_BLOCK);
	}
	this_cpu_add(blocks, -1);
}
