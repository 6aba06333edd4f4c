/*
 * Leaks: what is in use that was not, although all that asked for it has ended.
 *
 * Concepts.  A mark remembers, for each slab cache, how many objects are live,
 * and for each kind of frame how many are in use, less what stays in stock for
 * the next (stacks, tables of the kernel's own half) and the promises of the
 * overcommit accounting.  Later the same figures must be back: open files,
 * dentries, inodes, tasks, mounts, address spaces are all objects of a cache.
 * Whoever compares first drops the caches that the layers above keep.
 *
 * The sanitizing kernel also knows who allocated each object and since which
 * mark, so that it can name the call chain of what is left over.
 *
 * Not counted: sheaves of the slab allocator, which CPUs keep.
 */
#include <nos/leak.h>

#ifdef DEBUG

#include "page_internal.h"
#include "slab_internal.h"

#include <nos/rcu.h>
#include <nos/string.h>
#include <nos/vmap.h>

#define NR_CACHES 256u

struct figures {
	unsigned nr;
	const char *names[NR_CACHES];
	s64 values[NR_CACHES];
};
static struct figures marked, now;
static struct mutex figures_lock = MUTEX_INIT(RANK_NONE);

static void add(struct figures *f, const char *name, s64 value)
{
	if (f->nr < NR_CACHES) {
		f->names[f->nr] = name;
		f->values[f->nr++] = value;
	}
}

static void add_cache(const struct slab_cache_info *i, u64 live, u64 total, u64 slabs, void *arg)
{
	if (strcmp(i->name, "slab_sheaf") != 0)
		add(arg, i->name, (s64)live);
}

static void figures_read(struct figures *f)
{
	struct memory_stats m;

	memory_stats_read(&m);
	f->nr = 0;
	slab_for_each(add_cache, f);
	add(f, "anonymous pages", (s64)m.anon);
	add(f, "page tables", page_nr_passing(FOLIO_PAGE_TABLE) - (s64)page_tables_in_stock());
	add(f, "pages of pipes", (s64)m.pipe);
	add(f, "pages of files", (s64)(m.file + m.shmem));
	add(f, "pages of the kernel", page_nr_passing(FOLIO_KERNEL) - (s64)m.kernel_stacks);
	add(f, "pages promised", (s64)m.committed);
}

void leak_settle(void)
{
	/* kfree_rcu frees two grace periods later, and what it frees may need one more. */
	for (unsigned i = 0; i < 3; i++)
		rcu_barrier();
	slab_reclaim();
}

void leak_mark(void)
{
	scoped_mutex(&figures_lock);
	slab_debug_mark();
	figures_read(&marked);
}

static s64 value_of(const struct figures *f, const char *name)
{
	for (unsigned i = 0; i < f->nr; i++)
		if (!strcmp(f->names[i], name))
			return f->values[i];
	return 0;
}

unsigned leak_find(void (*show)(void *arg, const char *line), void *arg)
{
	unsigned nr = 0;
	char line[80];

	scoped_mutex(&figures_lock);
	figures_read(&now);
	for (unsigned i = 0; i < now.nr; i++) {
		s64 more = now.values[i] - value_of(&marked, now.names[i]);

		if (more <= 0)
			continue;
		nr++;
		if (!show)
			continue;
		snprintf(line, sizeof(line), "%s: %lld more than %lld", now.names[i],
			 (long long)more, (long long)(now.values[i] - more));
		show(arg, line);
		slab_debug_show_new(now.names[i], show, arg);
	}
	return nr;
}

#endif
