/* Tests of memory by node: two of them, the upper half of the host's frames is node 1. */
/* needs: tests/host/memory.c mm/slab.c mm/kmalloc.c mm/slab_debug.c mm/page_alloc.c mm/fault_injection_test.c */
#include "page_internal.h"
#include "slab_internal.h"

#include <nos/string.h>
#include <nos/test.h>
#include <nos/thread.h>

#ifdef NOS_HOST

#define BORDER (32ul << 20)
#define MANY 20000u

extern int pthread_create(unsigned long *id, const void *attributes, void *(*fn)(void *),
			  void *arg);
extern int pthread_join(unsigned long id, void **result);

static unsigned nr_nodes = 1;

unsigned numa_nr_nodes(void)
{
	return nr_nodes;
}

unsigned numa_node_of_phys(phys_t p)
{
	return p >= BORDER;
}

static unsigned distance_of_0_and_2;

unsigned numa_distance(unsigned from, unsigned to)
{
	if (from + to == 2 && from != to && distance_of_0_and_2)
		return distance_of_0_and_2;
	return from == to ? 10 : 20;
}

static void nodes_start(void)
{
	if (nr_nodes == 2)
		return;
	nr_nodes = 2;
	page_nodes_init();
	slab_nodes_init();
}

/* A thread of the host has per-CPU variables of its own: it is another CPU, of node 1. */
static void *run_on_other(void *fn)
{
	static struct thread other;

	host_current = &other;
	this_cpu_id = 1;
	this_numa_node = 1;
	((void (*)(void))fn)();
	return NULL;
}

static void on_other_cpu(void (*fn)(void))
{
	unsigned long id;

	EXPECT_EQ(pthread_create(&id, NULL, run_on_other, (void *)fn), 0);
	pthread_join(id, NULL);
}

static struct folio *held[MANY];
static u32 nr_held;

static void hold(struct folio *f)
{
	if (f)
		held[nr_held++] = f;
}

static void hold_all(const struct node_choice *c, u32 flags)
{
	struct folio *f;

	while (nr_held < MANY && (f = folio_alloc_from(c, 0, FOLIO_ANON, flags)))
		hold(f);
}

static void drop_all(void)
{
	folio_put_many(held, nr_held);
	nr_held = 0;
}

static u64 event(unsigned node, enum node_event e)
{
	struct node_stats s;

	node_stats_read(node, &s);
	return s.event[e];
}

TEST(nodes_share_the_memory)
{
	nodes_start();
	EXPECT_EQ(page_node_total(0) + page_node_total(1), page_nr_total());
	EXPECT_EQ(page_node_total(1), (66ul << 20 >> PAGE_SHIFT) - (BORDER >> PAGE_SHIFT));
	EXPECT_EQ(memory_node_map(), 3);
}

TEST(nodes_near_memory_comes_first)
{
	nodes_start();
	u64 hits = event(0, NUMA_HIT), misses = event(1, NUMA_MISS), before = page_nr_free();
	u64 near = page_node_free(0);

	hold_all(&node_choice_local, ALLOC_NOWAIT);
	EXPECT(nr_held > near);
	for (u32 i = 0; i < nr_held; i++)
		EXPECT_EQ(folio_node(held[i]), i >= event(0, NUMA_HIT) - hits);
	EXPECT_EQ(event(0, NUMA_HIT) - hits + event(1, NUMA_MISS) - misses, nr_held);
	EXPECT_EQ(event(0, NUMA_FOREIGN), event(1, NUMA_MISS));
	EXPECT(event(1, NUMA_MISS) > misses);
	drop_all();
	EXPECT_EQ(page_nr_free(), before);
	/* the last ones wait in the arrays, which count as free */
	EXPECT(page_node_free(0) + 62 >= near);
}

TEST(nodes_bound_allocation_stays)
{
	nodes_start();
	const struct node_choice bound = { .allowed = 2, .first = 1 };
	u64 before = page_nr_free();

	hold_all(&bound, ALLOC_NOWAIT);
	EXPECT(nr_held > 8000);
	for (u32 i = 0; i < nr_held; i++)
		EXPECT_EQ(folio_node(held[i]), 1);
	EXPECT(page_node_free(0) > 6000);
	/* the node's share of the reserve is for those who can't wait */
	struct folio *f = folio_alloc_from(&bound, 0, FOLIO_ANON, ALLOC_ATOMIC);

	EXPECT(f && folio_node(f) == 1);
	hold(f);
	drop_all();
	EXPECT_EQ(page_nr_free(), before);
	for (unsigned order = 0; order <= PAGE_ORDER_MAX; order++) {
		f = folio_alloc_from(&bound, order, FOLIO_KERNEL, ALLOC_NOWAIT);
		EXPECT(f && folio_node(f) == 1);
		if (f)
			folio_put(f);
	}
	EXPECT_EQ(page_nr_free(), before);
}

static void other_allocates(void)
{
	for (u32 i = 0; i < 200; i++)
		hold(folio_alloc(0, FOLIO_ANON, ALLOC_NOWAIT));
}

/* What is freed far away is there again for its own node, all but an array of it. */
TEST(nodes_get_their_frames_back)
{
	nodes_start();
	u64 free = page_node_free(1);

	on_other_cpu(other_allocates);
	for (u32 i = 0; i < nr_held; i++)
		EXPECT_EQ(folio_node(held[i]), 1);
	for (u32 i = 0; i < nr_held; i++)
		folio_put(held[i]);
	nr_held = 0;
	/* the thread's array has gone with it */
	EXPECT(page_node_free(1) + 62 + 31 >= free);
	struct folio *f = folio_alloc(0, FOLIO_ANON, ALLOC_NOWAIT);

	EXPECT(f && folio_node(f) == 0);
	if (f)
		folio_put(f);
}

static struct slab_cache *cache;
static void *objects[300];

static void other_fills(void)
{
	for (u32 i = 0; i < ARRAY_SIZE(objects); i++)
		objects[i] = slab_alloc(cache, 0);
}

static void expect_node(unsigned node)
{
	for (u32 i = 0; i < ARRAY_SIZE(objects); i++) {
		EXPECT(objects[i]);
		if (objects[i])
			EXPECT_EQ(page_node_of(virt_to_phys(objects[i])), node);
	}
}

TEST(slab_objects_go_home)
{
	struct slab_cache_info info = { .name = "test_nodes", .size = 64 };

	nodes_start();
	cache = slab_cache_create(&info);
	EXPECT(cache && cache->barn[0] != cache->barn[1]);
	if (!cache)
		return;
	on_other_cpu(other_fills);
	expect_node(1);
	for (u32 i = 0; i < ARRAY_SIZE(objects); i++)
		slab_free(cache, objects[i]);
	EXPECT_EQ(slab_cache_live(cache), 0);
	/* all but the last sheaf's are back */
	EXPECT(slab_cpu_of(cache, 0)->remote->count <= SHEAF_CAPACITY);
	EXPECT_EQ(slab_cpu_first_count(slab_cpu_of(cache, 0)) + slab_cpu_of(cache, 0)->spare->count,
		  0);
	other_fills();
	expect_node(0);
	EXPECT_EQ(slab_cache_live(cache), ARRAY_SIZE(objects));
	for (u32 i = 0; i < ARRAY_SIZE(objects); i++)
		slab_free(cache, objects[i]);
	slab_cache_destroy(cache);
}

static void make_cache(void)
{
	struct slab_cache_info info = { .name = "test_failing", .size = 200 };
	struct slab_cache *c = slab_cache_create(&info);
	void *p = c ? slab_alloc(c, 0) : NULL;

	if (p)
		slab_free(c, p);
	slab_cache_destroy(c);
}

TEST(slab_nodes_each_failure)
{
	nodes_start();
	TEST_EACH_ALLOCATION_FAILING(make_cache());
}

/* A node without memory takes what others have free, before new slabs of theirs. */
TEST(slab_takes_from_the_neighbours)
{
	struct slab_cache_info info = { .name = "test_full", .size = 64 };
	const struct node_choice here = { .allowed = 1, .first = 0 };

	nodes_start();
	cache = slab_cache_create(&info);
	if (!cache)
		return;
	on_other_cpu(other_fills);
	for (u32 i = 0; i < ARRAY_SIZE(objects); i++)
		slab_free(cache, objects[i]);
	u32 slabs = cache->barn[1]->nr_slabs;

	hold_all(&here, ALLOC_NOWAIT);
	for (u32 i = 0; i < 30; i++)
		objects[i] = slab_alloc(cache, 0);
	for (u32 i = 0; i < 30; i++) {
		EXPECT(objects[i]);
		if (objects[i])
			slab_free(cache, objects[i]);
	}
	EXPECT_EQ(cache->barn[1]->nr_slabs, slabs);
	drop_all();
	EXPECT_EQ(slab_cache_live(cache), 0);
	slab_cache_destroy(cache);
}

/* ---- figures ---- */

/* What memory is used for, as the kernel of one node shows it, and what is not permanent of it. */
TEST(nodes_figures_of_kinds)
{
	struct memory_stats before = { 0 }, after = { 0 };
	/* those that no other test's threads have taken along in their per-CPU figures */
	static const enum folio_kind kinds[] = { FOLIO_PAGE_TABLE, FOLIO_PIPE };
	s64 passing = page_nr_passing(FOLIO_PIPE);

	page_stats_read(&before);
	for (u32 i = 0; i < ARRAY_SIZE(kinds); i++)
		for (u32 k = 0; k < 4 + i; k++)
			hold(folio_alloc(0, kinds[i], ALLOC_NOWAIT));
	page_stats_read(&after);
	EXPECT_EQ(after.total, before.total);
	EXPECT_EQ(after.free, before.free - 9);
	EXPECT_EQ(after.pipe - before.pipe, 5);
	EXPECT_EQ(after.page_tables - before.page_tables, 4);
	EXPECT_EQ(after.slab, before.slab);
	EXPECT_EQ(after.allocs - before.allocs, 9);
	EXPECT_EQ(page_nr_passing(FOLIO_PIPE) - passing, 5);
	page_note_permanent(FOLIO_PIPE, 2);
	EXPECT_EQ(page_nr_passing(FOLIO_PIPE) - passing, 3);
	page_note_permanent(FOLIO_PIPE, (u64)-2);
	drop_all();
	before = (struct memory_stats){ 0 };
	page_stats_read(&before);
	EXPECT_EQ(before.frees - after.frees, 9);
	EXPECT_EQ(before.free, after.free + 9);
}

TEST(nodes_interleaved_allocations_are_counted)
{
	u64 hits;

	nodes_start();
	hits = event(1, NUMA_INTERLEAVE_HIT);
	node_count_alloc(1, 0, 1, true);
	EXPECT_EQ(event(1, NUMA_INTERLEAVE_HIT), hits + 1);
}

/* The nearest come first; equally far ones in turn behind the node itself. */
TEST(nodes_lists_by_distance)
{
	u8 list[4];

	node_list_by_distance(list, 2, 4);
	EXPECT(list[0] == 2 && list[1] == 3 && list[2] == 0 && list[3] == 1);
	distance_of_0_and_2 = 15;
	node_list_by_distance(list, 2, 4);
	EXPECT(list[0] == 2 && list[1] == 0 && list[2] == 3 && list[3] == 1);
	distance_of_0_and_2 = 0;
}

/* What was allocated before there were nodes is found in the frames themselves. */
TEST(nodes_count_what_is_there_at_boot)
{
	struct boot_info saved = boot_info;
	struct node_stats before, after;
	struct folio *f;

	nodes_start();
	f = folio_alloc(3, FOLIO_FILE, ALLOC_NOWAIT);
	EXPECT(f != NULL);
	node_stats_read(folio_node(f), &before);
	boot_info.nr_ranges = 2;
	boot_info.ranges[0] =
		(struct boot_range){ folio_to_phys(f), folio_to_phys(f) + folio_size(f), 1 };
	boot_info.ranges[1] = (struct boot_range){ 0, 1ul << 40, 2 }; /* no memory */
	node_counts_init();
	node_stats_read(folio_node(f), &after);
	EXPECT_EQ(after.kind[FOLIO_FILE] - before.kind[FOLIO_FILE], 8);
	node_count_kind(f, FOLIO_FILE, -8);
	boot_info = saved;
	folio_put(f);
}

/* With one node there is nothing but the figures of all. */
TEST(nodes_figures_of_one)
{
	struct node_stats s;

	static_key_set(&numa_key, false);
	node_stats_read(0, &s);
	EXPECT_EQ(s.free, page_nr_free());
	EXPECT_EQ(s.event[NUMA_HIT], s.event[NUMA_LOCAL]);
	EXPECT(s.event[NUMA_HIT] > 0 && s.event[NUMA_MISS] == 0);
	EXPECT_EQ(memory_nr_nodes(), 1);
	static_key_set(&numa_key, nr_nodes == 2);
}

#endif
