/* Tests of the slab allocator and kmalloc. */
/* needs: tests/host/memory.c mm/kmalloc.c mm/slab_debug.c mm/page_alloc.c mm/fault_injection_test.c */
#include "slab_internal.h"

#include <nos/irq.h>
#include <nos/preempt.h>
#include <nos/rcu.h>
#include <nos/string.h>
#include <nos/test.h>

#define NR 600u

struct item {
	u64 magic;
	u8 fill[40];
};

static void item_construct(void *object)
{
	((struct item *)object)->magic = 0x1234;
}

TEST(slab_objects_are_distinct_and_aligned)
{
	struct slab_cache_info info = { .name = "test_plain", .size = 72, .align = 32 };
	struct slab_cache *c = slab_cache_create(&info);
	static void *p[NR];

	if (!c)
		return;
	for (u32 i = 0; i < NR; i++) {
		p[i] = slab_alloc(c, 0);
		if (!p[i])
			continue;
		EXPECT_EQ((u64)p[i] % 32, 0);
		memset(p[i], (int)i, 72);
	}
	EXPECT_EQ(slab_cache_live(c), NR);
	for (u32 i = 0; i < NR; i++) {
		const u8 *bytes = p[i];

		EXPECT(bytes[0] == (u8)i && bytes[71] == (u8)i);
		slab_free(c, p[i]);
	}
	EXPECT_EQ(slab_cache_live(c), 0);
	slab_cache_destroy(c);
}

TEST(slab_constructed_stays_constructed)
{
	struct slab_cache_info info = {
		.name = "test_constructed",
		.size = sizeof(struct item),
		.construct = item_construct,
	};
	struct slab_cache *c = slab_cache_create(&info);

	for (u32 round = 0; c && round < 3; round++) {
		struct item *p[50];

		for (u32 i = 0; i < 50; i++) {
			p[i] = slab_alloc(c, 0);
			EXPECT(p[i] && p[i]->magic == 0x1234);
		}
		for (u32 i = 0; i < 50; i++)
			slab_free(c, p[i]);
	}
	slab_cache_destroy(c);
}

TEST(slab_large_objects)
{
	struct slab_cache_info info = { .name = "test_large", .size = 9000 };
	struct slab_cache *c = slab_cache_create(&info);
	void *a = c ? slab_alloc(c, ALLOC_ZERO) : NULL, *b = c ? slab_alloc(c, 0) : NULL;

	EXPECT(a && b && a != b);
	if (a && b) {
		EXPECT_EQ(((char *)a)[8999], 0);
		slab_free(c, a);
		slab_free(c, b);
	}
	slab_cache_destroy(c);
}

TEST(slab_frames_know_their_place_while_they_are_slabs)
{
	struct slab_cache_info info = { .name = "test_place", .size = 3000 };
	struct slab_cache *c = slab_cache_create(&info);
	char *p = c ? slab_alloc(c, 0) : NULL;

	if (p) {
		const struct folio *f = direct_to_folio(p);
		const char *base = folio_address(f);
		u8 place = *frame_slab_place(p);

		EXPECT(f->order > 0);
		EXPECT(slab_row_offset(place) == c->row_offset);
		EXPECT(place > SLAB_NO_PLACE);
		for (u64 i = 0; i < folio_nr_pages(f); i++)
			EXPECT_EQ(*frame_slab_place(base + i * PAGE_SIZE), place);
		kfree(p); /* an object of any cache */
		EXPECT_EQ(slab_cache_live(c), 0);
		slab_cache_destroy(c);
		/* others may have the frames by now, of other caches */
		EXPECT(*frame_slab_place(p) != place);
		EXPECT(*frame_slab_place(base + PAGE_SIZE) != place);
		return;
	}
	slab_cache_destroy(c);
}

TEST(kmalloc_sizes)
{
	static const size_t sizes[] = {
		0,  1,   7,   8,   9,   16,   17,   63,   64,   65,   96,
		97, 192, 193, 256, 257, 1000, 4096, 4097, 8192, 8193, 70000
	};

	for (u32 i = 0; i < ARRAY_SIZE(sizes); i++) {
		u8 *p = kzalloc(sizes[i], 0);

		EXPECT(p);
		if (!p)
			continue;
		EXPECT(kmalloc_usable(p) >= sizes[i]);
		for (size_t k = 0; k < sizes[i]; k++)
			if (p[k]) {
				EXPECT(!"zeroed");
				break;
			}
		memset(p, 0xff, sizes[i]);
		kfree(p);
	}
	EXPECT(!kmalloc(1ul << 40, ALLOC_NOWAIT));
	EXPECT(!kcalloc(1ul << 40, 1ul << 40, 0));
	kfree(NULL);
}

TEST(kmalloc_realloc_keeps_contents)
{
	char *p = NULL;

	for (size_t size = 8; size <= 32768; size *= 2) {
		char *q = krealloc(p, size, 0);

		EXPECT(q);
		if (!q)
			break;
		p = q;
		for (size_t k = 0; k < size / 2 && size > 8; k++)
			if (p[k] != (char)k) {
				EXPECT(!"kept");
				break;
			}
		for (size_t k = 0; k < size; k++)
			p[k] = (char)k;
	}
	kfree(p);
	p = kstrdup("text", 0);
	EXPECT(p && !strcmp(p, "text"));
	kfree(p);
}

static void kmalloc_pair(void)
{
	void *a = kmalloc(100, 0), *b = kmalloc(20000, 0);

	kfree(a);
	kfree(b);
}

TEST(kmalloc_each_failure)
{
	TEST_EACH_ALLOCATION_FAILING(kmalloc_pair());
}

TEST(kfree_rcu_frees)
{
	for (u32 i = 0; i < 100; i++)
		kfree_rcu(kmalloc(64, 0));
}

static void find_live(const struct slab_cache_info *i, u64 live, u64 total, u64 slabs, void *arg)
{
	if (!strcmp(i->name, "kmalloc-2k"))
		*(u64 *)arg = live;
}

/* Without memory for a batch, and where it may not wait, nothing is lost. */
TEST(kfree_rcu_without_memory)
{
	u64 before = 0, after = 0;

	slab_for_each(find_live, &before);
	for (u32 i = 0; i < 60; i++) {
		void *p = kmalloc(2000, 0);

		preempt_disable();
		test_fail_allocation(1);
		kfree_rcu(p);
		test_fail_allocation(0);
		preempt_enable();
	}
	for (u32 i = 0; i < 3; i++)
		rcu_barrier();
	slab_for_each(find_live, &after);
	EXPECT_EQ(after, before);
}

#ifdef NOS_HOST

/* The thread is moved to the other CPU when preemption goes on for the nth time. */
static u32 move_after;

void preempt_enable(void)
{
	if (move_after && --move_after == 0)
		this_cpu_id = !this_cpu_id;
}

static void expect_sheaves_whole(const struct slab_cache *c)
{
	for (u32 i = 0; i < 3; i++) {
		EXPECT(slab_cpu_first_count(slab_cpu_of(c, i)) <=
		       slab_cpu_first(slab_cpu_of(c, i))->capacity);
		EXPECT_EQ((u64)sheaf_objects(slab_cpu_first(slab_cpu_of(c, i)))[-1], 0);
		EXPECT(slab_cpu_of(c, i)->spare->count <= slab_cpu_of(c, i)->spare->capacity);
	}
	for (const struct slab_sheaf *s = c->first_barn.empty; s; s = s->next)
		EXPECT_EQ(s->count, 0);
	for (const struct slab_sheaf *s = c->first_barn.full; s; s = s->next)
		EXPECT_EQ(s->count, s->capacity);
}

/* Whole sheaves of what one CPU frees serve another. */
TEST(slab_sheaves_go_through_the_barn)
{
	struct slab_cache_info info = { .name = "test_barn", .size = 64 };
	struct slab_cache *c = slab_cache_create(&info);
	static void *p[NR];

	for (u32 i = 0; i < NR; i++)
		p[i] = slab_alloc(c, 0);
	this_cpu_id = 1;
	for (u32 i = 0; i < NR; i++)
		slab_free(c, p[i]);
	EXPECT(c->first_barn.nr_full >= 4);
	expect_sheaves_whole(c);
	this_cpu_id = 0;
	for (u32 i = 0; i < NR; i++)
		p[i] = slab_alloc(c, 0);
	EXPECT_EQ(c->first_barn.nr_full, 0);
	EXPECT(c->first_barn.nr_empty >= 4);
	expect_sheaves_whole(c);
	EXPECT_EQ(slab_cache_live(c), NR);
	for (u32 i = 0; i < NR; i++)
		slab_free(c, p[i]);
	slab_cache_destroy(c);
}

/* An allocation that finds no object and goes on on another CPU, whose array is full. */
TEST(slab_allocation_moves_to_another_cpu)
{
	struct slab_cache_info info = { .name = "test_move", .size = 64 };

	for (u32 n = 1; n <= 12; n++) {
		struct slab_cache *c = slab_cache_create(&info);
		static void *p[NR];
		u32 nr = 0;

		while (nr < NR)
			p[nr++] = slab_alloc(c, 0);
		while (slab_cpu_first_count(slab_cpu_of(c, 0)) || slab_cpu_of(c, 0)->spare->count)
			(void)slab_alloc(c, 0);
		this_cpu_id = 2; /* fills the barn */
		while (nr > NR / 2)
			slab_free(c, p[--nr]);
		this_cpu_id = 1;
		while (slab_cpu_first_count(slab_cpu_of(c, 1)) < SHEAF_CAPACITY)
			slab_free(c, p[--nr]);
		this_cpu_id = 0;
		EXPECT(c->first_barn.nr_full > 0);
		move_after = n;
		(void)slab_alloc(c, 0);
		move_after = 0;
		expect_sheaves_whole(c);
		this_cpu_id = 1;
		while (nr > 0)
			slab_free(c, p[--nr]);
		expect_sheaves_whole(c);
		this_cpu_id = 0;
		/* some objects are out for good: the cache stays with them */
	}
}

/* A handler may have interrupted the use of the arrays: it goes to the slabs themselves. */
TEST(slab_in_a_handler)
{
	struct slab_cache_info info = { .name = "test_handler", .size = 64 };
	struct slab_cache *c = slab_cache_create(&info);
	void *first = slab_alloc(c, 0);
	static void *p[NR];
	u32 in_arrays = slab_cpu_first_count(slab_cpu_of(c, 0));

	host_in_handler = true;
	for (u32 i = 0; i < NR; i++) { /* more than a slab holds */
		p[i] = slab_alloc(c, ALLOC_ATOMIC);
		EXPECT(p[i] && p[i] != first);
		*(u64 *)p[i] = i;
	}
	EXPECT_EQ(slab_cpu_first_count(slab_cpu_of(c, 0)), in_arrays);
	for (u32 i = 0; i < NR; i++) {
		EXPECT_EQ(*(u64 *)p[i], i);
		slab_free(c, p[i]);
	}
	EXPECT_EQ(slab_cpu_first_count(slab_cpu_of(c, 0)), in_arrays);
	test_fail_allocation(1);
	for (u32 i = 0; i < NR; i++)
		p[i] = slab_alloc(c, ALLOC_ATOMIC);
	EXPECT(!test_allocation_failed() || !p[0]);
	test_fail_allocation(0);
	for (u32 i = 0; i < NR; i++)
		if (p[i])
			slab_free(c, p[i]);
	host_in_handler = false;
	slab_free(c, first);
	EXPECT_EQ(slab_cache_live(c), 0);
	expect_sheaves_whole(c);
	slab_cache_destroy(c);
}

/* What is in nobody's hands goes back when memory is short; slabs of one type for ever stay. */
TEST(slab_reclaims_what_is_idle)
{
	struct slab_cache_info info = { .name = "test_idle", .size = 256 };
	struct slab_cache_info typed = { .name = "test_typed", .size = 256, .type_stable = true };
	struct slab_cache *c[2] = { slab_cache_create(&info), slab_cache_create(&typed) };
	static void *p[NR];

	for (u32 n = 0; n < 2; n++) {
		u32 slabs;

		for (u32 i = 0; i < NR; i++)
			p[i] = slab_alloc(c[n], 0);
		for (u32 i = 0; i < NR; i++)
			slab_free(c[n], p[i]);
		EXPECT_EQ(slab_cache_live(c[n]), 0);
		slabs = c[n]->first_barn.nr_slabs;
		EXPECT(slabs > 0);
		u64 freed = slab_reclaim();

		EXPECT(n == 1 || freed >= slabs);
		EXPECT_EQ(c[n]->first_barn.nr_slabs == slabs, n == 1);
		EXPECT_EQ(c[n]->first_barn.nr_full, 0);
		expect_sheaves_whole(c[n]);
		void *again = slab_alloc(c[n], 0);

		EXPECT(again != NULL);
		slab_free(c[n], again);
	}
	slab_cache_destroy(c[0]);
	slab_cache_destroy(c[1]);
}

static void fill_and_drop(void)
{
	struct slab_cache_info info = { .name = "test_each", .size = 64 };
	struct slab_cache *c = slab_cache_create(&info);
	static void *p[NR];
	u32 nr = 0;

	if (!c)
		return;
	while (nr < NR && (p[nr] = slab_alloc(c, 0)))
		nr++;
	EXPECT(nr == NR || test_allocation_failed());
	EXPECT_EQ(slab_cache_live(c), nr);
	this_cpu_id = 1; /* another CPU's arrays may not come about */
	while (nr > 0)
		slab_free(c, p[--nr]);
	this_cpu_id = 0;
	EXPECT_EQ(slab_cache_live(c), 0);
	expect_sheaves_whole(c);
	slab_cache_destroy(c);
}

TEST(slab_each_failure)
{
	TEST_EACH_ALLOCATION_FAILING(fill_and_drop());
}

#endif
