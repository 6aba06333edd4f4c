/* Tests of leaf tables that a fork has left to several address spaces. */
#include "test_space.h"

#include <nos/errno.h>
#include <nos/huge.h>
#include <nos/string.h>

#ifdef NOS_HOST /* needs address spaces without a process */

#define NR_PAGES 1536u /* three leaf tables */
#define NR_SPACES 5u

static bool is_shared(struct aspace *a, u64 page)
{
	const pte_t *e = leaf_entry(a, BASE + PAGES(page));

	return e && table_entry_is_shared(*e);
}

TEST(full_tables_are_shared_and_copied_by_a_store)
{
	struct aspace *a = space_create(), *b, *c;

	(void)map_at(a, 0, 1024, RW);
	fill(a, 0, 512, 1000);
	fill(a, 600, 10, 1000); /* few pages: copied */
	b = aspace_fork(a);
	c = aspace_fork(b);
	EXPECT(is_shared(a, 0) && is_shared(b, 0) && is_shared(c, 0));
	EXPECT(!is_shared(a, 600) && !is_shared(b, 600));
	EXPECT_EQ(b->resident_anon, 522);
	EXPECT_EQ(c->resident_anon, 522);
	EXPECT_EQ(b->page_table_bytes, a->page_table_bytes);
	EXPECT_EQ(read_at(c, 511), 1511);
	EXPECT(is_shared(c, 0));
	EXPECT(write_at(b, 7, 5));
	EXPECT(!is_shared(b, 0) && b->nr_shared_tables == 0);
	EXPECT_EQ(read_at(a, 7), 1007);
	EXPECT_EQ(read_at(b, 7), 5);
	EXPECT_EQ(read_at(c, 7), 1007);
	EXPECT_EQ(b->resident_anon, 522);
	aspace_put(a);
	EXPECT_EQ(read_at(c, 7), 1007);
	EXPECT(write_at(c, 8, 6)); /* the last one takes the table as it is */
	EXPECT_EQ(read_at(b, 8), 1008);
	aspace_put(b);
	EXPECT_EQ(read_at(c, 8), 6);
	EXPECT_EQ(read_at(c, 9), 1009);
	EXPECT_EQ(c->resident_anon, 522);
	aspace_put(c);
}

TEST(shared_tables_in_calls_that_change_ranges)
{
	struct aspace *a = space_create(), *b;
	struct mapping_usage u;

	(void)map_at(a, 0, 1024, RW);
	fill(a, 0, 1024, 1);
	b = aspace_fork(a);
	mapping_usage_locked(mapping_find(b, BASE), &u);
	EXPECT_EQ(u.resident, PAGES(1024));
	EXPECT_EQ(u.shared_dirty, PAGES(1024));
	EXPECT_EQ(u.pss, PAGES(512));
	EXPECT(aspace_pagemap_entry(b, BASE) && !(aspace_pagemap_entry(b, BASE) >> 56 & 1));
	/* all of one, a part of the other */
	EXPECT_EQ(aspace_unmap(b, BASE, PAGES(600)), 0);
	EXPECT_EQ(b->resident_anon, 424);
	EXPECT_EQ(read_at(b, 600), 601);
	EXPECT_EQ(read_at(a, 599), 600);
	EXPECT(!is_shared(b, 600));
	EXPECT_EQ(aspace_protect(a, BASE + PAGES(100), PAGES(1), PROT_READ), 0);
	EXPECT(!is_shared(a, 0) && a->nr_shared_tables == 1);
	EXPECT(!write_at(a, 100, 1));
	EXPECT_EQ(read_at(a, 100), 101);
	EXPECT_EQ(aspace_advise(a, BASE + PAGES(512), PAGES(512), MADV_DONTNEED), 0);
	EXPECT_EQ(read_at(a, 700), 0);
	EXPECT_EQ(read_at(b, 700), 701);
	aspace_put(a);
	EXPECT_EQ(read_at(b, 1023), 1024);
	EXPECT_EQ(aspace_remap(b, BASE + PAGES(600), PAGES(424), PAGES(424),
			       MREMAP_MAYMOVE | MREMAP_FIXED, BASE),
		  BASE);
	EXPECT_EQ(read_at(b, 0), 601);
	aspace_put(b);
}

TEST(tables_beside_other_mappings_are_not_shared)
{
	struct aspace *a = space_create(), *b;

	(void)map_at(a, 0, 512, RW);
	fill(a, 0, 512, 1);
	EXPECT_EQ(aspace_advise(a, BASE + PAGES(500), PAGES(1), MADV_DONTFORK), 0);
	b = aspace_fork(a);
	EXPECT(!is_shared(b, 0));
	EXPECT_EQ(read_at(b, 499), 500);
	EXPECT_EQ(read_at(b, 500), ~0ull);
	EXPECT_EQ(read_at(b, 501), 502);
	EXPECT_EQ(b->resident_anon, 511);
	aspace_put(a);
	aspace_put(b);
}

/* ---- against a model ---- */

struct model {
	struct aspace *a;
	u32 value[NR_PAGES]; /* 0: zeros */
	u8 rights[NR_PAGES]; /* PROT_ bits; 0: not mapped */
};
static struct model models[NR_SPACES];
static u32 nr_models, seed, next_value;

static u32 random_below(u32 n)
{
	seed = seed * 1664525u + 1013904223u;
	return (seed >> 8) % n;
}

static void check_page(const struct model *m, u32 page)
{
	u64 expected = m->rights[page] ? m->value[page] : ~0ull;

	if (read_at(m->a, page) != expected)
		unit_test_fail(__FILE__, __LINE__, "space %u page %u: %llx, not %llx",
			       (unsigned)(m - models), page,
			       (unsigned long long)read_at(m->a, page),
			       (unsigned long long)expected);
}

static bool range_has(const struct model *m, u32 first, u32 nr, u8 rights)
{
	for (u32 i = first; i < first + nr; i++)
		if (m->rights[i] != rights)
			return false;
	return true;
}

static void model_store(struct model *m, u32 first, u32 nr)
{
	for (u32 i = first; i < first + nr; i++) {
		bool may = m->rights[i] & PROT_WRITE;

		EXPECT_EQ(write_at(m->a, i, ++next_value), may);
		if (may)
			m->value[i] = next_value;
	}
}

static void model_fork(struct model *m)
{
	struct model *c = &models[nr_models];

	*c = *m;
	c->a = aspace_fork(m->a);
	EXPECT(!is_err(c->a));
	EXPECT_EQ(c->a->resident_anon, m->a->resident_anon);
	nr_models++;
}

static void model_move(struct model *m, u32 first, u32 nr)
{
	u32 to = random_below(NR_PAGES - nr);

	if ((to < first + nr && first < to + nr) || !range_has(m, first, nr, RW))
		return;
	s64 r = aspace_remap(m->a, BASE + PAGES(first), PAGES(nr), PAGES(nr),
			     MREMAP_MAYMOVE | MREMAP_FIXED, BASE + PAGES(to));

	memset(&m->rights[to], 0, nr); /* gone also where the move fails */
	if (r < 0) {
		EXPECT_EQ(r, -EFAULT); /* more than one mapping */
		return;
	}
	memcpy(&m->value[to], &m->value[first], nr * sizeof(m->value[0]));
	memset(&m->rights[to], RW, nr);
	memset(&m->rights[first], 0, nr);
}

static void model_step(void)
{
	struct model *m = &models[random_below(nr_models)];
	u32 nr = 1 + random_below(random_below(3) ? 40 : 700);
	u32 first = random_below(NR_PAGES - nr);
	u64 at = BASE + PAGES(first), length = PAGES(nr);

	switch (random_below(12)) {
	case 0:
	case 1:
		if (nr_models < NR_SPACES)
			model_fork(m);
		break;
	case 2:
		if (nr_models > 1) {
			aspace_put(m->a);
			*m = models[--nr_models];
		}
		break;
	case 3:
		EXPECT_EQ(aspace_unmap(m->a, at, length), 0);
		memset(&m->rights[first], 0, nr);
		break;
	case 4:
	case 5:
		EXPECT_EQ(map_at(m->a, first, nr, RW), (s64)at);
		memset(&m->rights[first], RW, nr);
		memset(&m->value[first], 0, nr * sizeof(m->value[0]));
		break;
	case 6:
		(void)aspace_advise(m->a, at, length, MADV_DONTNEED);
		memset(&m->value[first], 0, nr * sizeof(m->value[0]));
		break;
	case 7: {
		u8 from = m->rights[first], to = from ^ PROT_WRITE;

		if (from && range_has(m, first, nr, from)) {
			EXPECT_EQ(aspace_protect(m->a, at, length, to), 0);
			memset(&m->rights[first], to, nr);
		}
		break;
	}
	case 8:
		model_move(m, first, nr);
		break;
	default:
		model_store(m, first, nr);
	}
}

static void model_check_all(void)
{
	for (u32 i = 0; i < nr_models; i++) {
		const struct model *m = &models[i];
		s64 resident = 0;

		for (struct mapping *p = mapping_find(m->a, 0); p; p = mapping_next(p)) {
			struct mapping_usage u;

			mapping_usage_locked(p, &u);
			resident += (s64)(u.resident >> PAGE_SHIFT);
		}
		EXPECT_EQ(m->a->resident_anon, resident);
		for (u32 page = 0; page < NR_PAGES; page++)
			check_page(m, page);
	}
}

static void model_run(u32 start, u32 steps)
{
	seed = start;
	nr_models = 1;
	memset(models, 0, sizeof(models));
	models[0].a = space_create();
	for (u32 step = 0; step < steps; step++) {
		model_step();
		for (u32 i = 0; i < 8; i++)
			check_page(&models[random_below(nr_models)], random_below(NR_PAGES));
		if (step % 64 == 0)
			model_check_all();
	}
	model_check_all();
	while (nr_models)
		aspace_put(models[--nr_models].a);
}

TEST(random_changes_of_several_spaces)
{
	u64 before = 0;

	for (u32 run = 0; run < 6; run++) {
		model_run(run * 77 + 1, 400);
		rcu_barrier();
		if (run == 0)
			before = page_nr_free();
	}
	/* what tables the CPU keeps differs; pages do not stay */
	EXPECT(page_nr_free() + 32 >= before);
}

/* The same where stores bring 2 MiB, which the changes cut. */
TEST(random_changes_of_huge_entries)
{
	EXPECT_EQ(huge_mode_set(HUGE_ALWAYS), 0);
	for (u32 run = 0; run < 6; run++)
		model_run(run * 55 + 7, 400);
	EXPECT_EQ(huge_mode_set(HUGE_MADVISE), 0);

	struct huge_stats s;

	huge_stats_read(&s);
	EXPECT(s.splits > 0 && s.mapped == 0);
}

static void fork_and_change(void)
{
	struct aspace *a = space_create(), *b;

	if (!a)
		return;
	(void)map_at(a, 0, 1024, RW);
	(void)aspace_populate(a, BASE, PAGES(1024), true);
	b = aspace_fork(a);
	if (!is_err(b)) {
		(void)write_at(b, 3, 1);
		(void)aspace_protect(b, BASE + PAGES(5), PAGES(600), PROT_READ);
		(void)aspace_unmap(a, BASE + PAGES(1000), PAGES(3));
		(void)aspace_advise(a, BASE + PAGES(7), PAGES(1), MADV_DONTNEED);
		(void)aspace_remap(a, BASE, PAGES(2), PAGES(2), MREMAP_MAYMOVE | MREMAP_FIXED,
				   BASE + PAGES(2048));
		aspace_put(b);
	}
	aspace_put(a);
}

TEST(each_failure_with_shared_tables)
{
	TEST_EACH_ALLOCATION_FAILING(fork_and_change());
}

#endif
