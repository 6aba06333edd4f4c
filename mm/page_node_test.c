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
	EXPECT_EQ(slab_cpu_of(cache, 0)->main->count + slab_cpu_of(cache, 0)->spare->count, 0);
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

#endif
