/* Tests of the tree of mappings: cutting, joining, gaps, limits. */
/* needs: tests/host/memory.c mm/map.c mm/protect.c mm/aspace.c mm/remap.c mm/advise.c mm/cursor.c */
/* needs: mm/huge.c mm/tlb.c mm/zap.c mm/fault.c mm/fault_slow.c mm/zeroed.c mm/access.c mm/rmap.c mm/page_cache.c mm/huge_file.c mm/read_ahead.c mm/lru.c */
/* needs: mm/folio_lock.c mm/memory.c mm/memory_policy.c mm/page_alloc.c mm/slab.c mm/kmalloc.c mm/slab_debug.c */
/* needs: mm/fault_injection_test.c */
#include "test_space.h"

#include <nos/errno.h>
#include <nos/string.h>

/* Tree, list and count agree. */
static bool is_sound(struct aspace *a)
{
	const struct mapping *last = NULL, *listed = mapping_find(a, 0);
	u32 nr = 0;

	for (struct rb_node *n = rb_first(&a->mappings); n; n = rb_next(n), nr++) {
		const struct mapping *m = rb_entry(n, struct mapping, node);

		if (m != listed || m->prev != last || m->aspace != a || m->start >= m->end ||
		    (last && last->end > m->start))
			return false;
		last = m;
		listed = m->next;
	}
	return !listed && nr == a->nr_mappings;
}

/* The mappings as text: "0-4rw 6-8r", page numbers from BASE. */
static const char *layout(struct aspace *a)
{
	static char text[2048];
	size_t at = 0;

	EXPECT(is_sound(a));
	text[0] = 0;
	for (struct mapping *m = mapping_find(a, 0); m; m = mapping_next(m))
		at += (size_t)snprintf(
			text + at, sizeof(text) - at, "%s%llu-%llu%s%s", at ? " " : "",
			(unsigned long long)(m->start - BASE) / PAGE_SIZE,
			(unsigned long long)(m->end - BASE) / PAGE_SIZE,
			m->flags & MAPPING_READ ? "r" : "", m->flags & MAPPING_WRITE ? "w" : "");
	return text;
}

#define EXPECT_LAYOUT(a, expected)                                                                 \
	do {                                                                                       \
		const char *_got = layout(a);                                                      \
		if (strcmp(_got, expected) != 0)                                                   \
			unit_test_fail(__FILE__, __LINE__, "\"%s\", not \"%s\"", _got, expected);  \
	} while (0)

TEST(mapping_neighbours_join)
{
	struct aspace *a = space_create();

	if (!a)
		return;
	EXPECT(map_at(a, 0, 2, RW) > 0);
	EXPECT(map_at(a, 4, 2, RW) > 0);
	EXPECT_LAYOUT(a, "0-2rw 4-6rw");
	EXPECT(map_at(a, 2, 2, RW) > 0);
	EXPECT_LAYOUT(a, "0-6rw");
	EXPECT(map_at(a, 6, 1, PROT_READ) > 0);
	EXPECT_LAYOUT(a, "0-6rw 6-7r");
	EXPECT_EQ(a->nr_mappings, 2);
	EXPECT_EQ(a->total_pages, 7);
	EXPECT_EQ(a->data_pages, 6);
	aspace_put(a);
}

TEST(mapping_unmap_cuts)
{
	struct aspace *a = space_create();

	if (!a)
		return;
	(void)map_at(a, 0, 10, RW);
	EXPECT_EQ(aspace_unmap(a, BASE + PAGES(4), PAGES(2)), 0);
	EXPECT_LAYOUT(a, "0-4rw 6-10rw");
	EXPECT_EQ(aspace_unmap(a, BASE, PAGES(1)), 0);
	EXPECT_EQ(aspace_unmap(a, BASE + PAGES(9), PAGES(1)), 0);
	EXPECT_LAYOUT(a, "1-4rw 6-9rw");
	EXPECT_EQ(aspace_unmap(a, BASE + PAGES(3), PAGES(4)), 0);
	EXPECT_LAYOUT(a, "1-3rw 7-9rw");
	EXPECT_EQ(aspace_unmap(a, BASE, PAGES(20)), 0);
	EXPECT_LAYOUT(a, "");
	EXPECT_EQ(a->total_pages, 0);
	EXPECT_EQ(aspace_unmap(a, BASE + 1, PAGES(1)), -EINVAL);
	EXPECT_EQ(aspace_unmap(a, BASE, 0), -EINVAL);
	aspace_put(a);
}

TEST(mapping_protect_cuts_and_joins)
{
	struct aspace *a = space_create();

	if (!a)
		return;
	(void)map_at(a, 0, 8, RW);
	EXPECT_EQ(aspace_protect(a, BASE + PAGES(2), PAGES(2), PROT_READ), 0);
	EXPECT_LAYOUT(a, "0-2rw 2-4r 4-8rw");
	EXPECT_EQ(a->data_pages, 6);
	EXPECT_EQ(aspace_protect(a, BASE + PAGES(1), PAGES(4), PROT_READ), 0);
	EXPECT_LAYOUT(a, "0-1rw 1-5r 5-8rw");
	EXPECT_EQ(aspace_protect(a, BASE + PAGES(1), PAGES(4), RW), 0);
	EXPECT_LAYOUT(a, "0-8rw");
	EXPECT_EQ(aspace_protect(a, BASE, PAGES(8), PROT_NONE), 0);
	EXPECT_LAYOUT(a, "0-8");
	EXPECT_EQ(aspace_protect(a, BASE, PAGES(9), PROT_READ), -ENOMEM);
	EXPECT_LAYOUT(a, "0-8r");
	EXPECT_EQ(aspace_protect(a, BASE + 1, PAGES(1), PROT_READ), -EINVAL);
	aspace_put(a);
}

/* A neighbour with the rights takes a part over: no mapping more, not even where none may be had. */
TEST(mapping_protect_moves_a_bound)
{
	struct aspace *a = space_create();
	u32 saved = vm_max_map_count;

	if (!a)
		return;
	(void)map_at(a, 0, 8, RW);
	EXPECT_EQ(aspace_protect(a, BASE + PAGES(4), PAGES(4), PROT_READ), 0);
	EXPECT_LAYOUT(a, "0-4rw 4-8r");
	vm_max_map_count = 2;
	EXPECT_EQ(aspace_protect(a, BASE + PAGES(3), PAGES(1), PROT_READ), 0);
	EXPECT_LAYOUT(a, "0-3rw 3-8r");
	EXPECT_EQ(a->data_pages, 3);
	EXPECT_EQ(aspace_protect(a, BASE + PAGES(3), PAGES(3), RW), 0);
	EXPECT_LAYOUT(a, "0-6rw 6-8r");
	EXPECT_EQ(a->data_pages, 6);
	/* what would need one more changes nothing */
	EXPECT_EQ(aspace_protect(a, BASE, PAGES(1), PROT_READ), -ENOMEM);
	EXPECT_EQ(aspace_protect(a, BASE + PAGES(7), PAGES(1), PROT_NONE), -ENOMEM);
	vm_max_map_count = 3;
	EXPECT_EQ(aspace_protect(a, BASE + PAGES(1), PAGES(1), PROT_READ), -ENOMEM);
	EXPECT_LAYOUT(a, "0-6rw 6-8r");
	EXPECT_EQ(a->data_pages, 6);
	vm_max_map_count = saved;
	EXPECT_EQ(aspace_protect(a, BASE + PAGES(1), PAGES(1), PROT_READ), 0);
	EXPECT_LAYOUT(a, "0-1rw 1-2r 2-6rw 6-8r");
	aspace_put(a);
}

static u64 entry_at(struct aspace *a, u64 page)
{
	const pte_t *t = table_find(a, BASE + PAGES(page));

	return t ? t[PTE_INDEX(BASE + PAGES(page), 1)] : 0;
}

/* Groups of entries alike and mixed ones: which get the write bit back, which lose it. */
TEST(mapping_protect_entries)
{
	struct aspace *a = space_create(), *b;
	u64 value = 1;

	if (!a)
		return;
	(void)map_at(a, 0, 40, RW);
	for (u64 page = 0; page < 40; page++) /* 8 to 15: read only; 20: not at all */
		if (page != 20)
			EXPECT_EQ(aspace_access(a, BASE + PAGES(page), &value, 8,
						page < 8 || page > 15, false),
				  8);
	EXPECT_EQ(aspace_protect(a, BASE + PAGES(1), PAGES(38), PROT_READ), 0);
	for (u64 page = 0; page < 40; page++)
		EXPECT_EQ(!!(entry_at(a, page) & PTE_WRITE), page == 0 || page == 39);
	EXPECT_EQ(aspace_protect(a, BASE + PAGES(1), PAGES(38), PROT_NONE), 0);
	for (u64 page = 1; page < 39; page++)
		EXPECT_EQ(entry_at(a, page) & (PTE_WRITE | PTE_PRESENT), 0);
	EXPECT_EQ(aspace_protect(a, BASE + PAGES(1), PAGES(38), RW), 0);
	for (u64 page = 0; page < 40; page++)
		EXPECT_EQ(entry_at(a, page) & (PTE_WRITE | PTE_PRESENT),
			  page == 20              ? 0 :
			  page >= 8 && page <= 15 ? PTE_PRESENT :
						    PTE_WRITE | PTE_PRESENT);
	EXPECT_EQ(entry_at(a, 20), 0);
	b = aspace_fork(a);
	EXPECT(!is_err(b));
	if (!is_err(b)) { /* nobody may write to what two have */
		EXPECT_EQ(aspace_protect(a, BASE, PAGES(40), PROT_READ), 0);
		EXPECT_EQ(aspace_protect(a, BASE, PAGES(40), RW), 0);
		for (u64 page = 0; page < 40; page++)
			EXPECT_EQ(entry_at(a, page) & PTE_WRITE, 0);
		aspace_put(b);
	}
	aspace_put(a);
}

#define MODEL_PAGES 48u
#define MODEL_MAPPED 16u
#define MODEL_PROMISED 32u /* was writable once */

/* What layout() says of such pages: neighbours that are alike are one mapping. */
static const char *model_layout(const u8 *page)
{
	static char text[2048];
	size_t at = 0;

	text[0] = 0;
	for (u32 i = 0, end; i < MODEL_PAGES; i = end) {
		for (end = i + 1; end < MODEL_PAGES && page[end] == page[i];)
			end++;
		if (page[i])
			at += (size_t)snprintf(
				text + at, sizeof(text) - at, "%s%u-%u%s%s", at ? " " : "", i, end,
				page[i] & PROT_READ ? "r" : "", page[i] & PROT_WRITE ? "w" : "");
	}
	return text;
}

/* Random calls do to the tree what they do to an array of pages. */
TEST(mapping_calls_match_a_model)
{
	static const u32 prots[] = { PROT_NONE, PROT_READ, RW };
	struct aspace *a = space_create();
	u8 page[MODEL_PAGES] = { 0 };
	u32 random = 12345;

	if (!a)
		return;
	for (u32 step = 0; step < 3000; step++) {
		random = random * 1103515245 + 12345;
		u32 first = (random >> 8) % MODEL_PAGES, call = (random >> 4) % 4;
		u32 nr = min(1 + (random >> 16) % 12, MODEL_PAGES - first);
		u32 prot = prots[(random >> 24) % 3], data = 0, total = 0;
		u8 promised = prot & PROT_WRITE ? MODEL_PROMISED : 0;
		u64 value = step;

		if (call == 0) {
			EXPECT(map_at(a, first, nr, prot) > 0);
			memset(page + first, (int)(prot | MODEL_MAPPED | promised), nr);
		} else if (call == 1) {
			EXPECT_EQ(aspace_unmap(a, BASE + PAGES(first), PAGES(nr)), 0);
			memset(page + first, 0, nr);
		} else if (call == 2) {
			u32 i = first;

			for (; i < first + nr && page[i]; i++)
				page[i] = (u8)((page[i] & ~(u32)RW) | prot | promised);
			EXPECT_EQ(aspace_protect(a, BASE + PAGES(first), PAGES(nr), prot),
				  i < first + nr ? -ENOMEM : 0);
		} else {
			EXPECT_EQ(aspace_access(a, BASE + PAGES(first), &value, 8, true, false),
				  page[first] & PROT_WRITE ? 8 : 0);
		}
		for (u32 i = 0; i < MODEL_PAGES; i++) {
			total += page[i] != 0;
			data += (page[i] & PROT_WRITE) != 0;
		}
		EXPECT_EQ(a->total_pages, total);
		EXPECT_EQ(a->data_pages, data);
		EXPECT_LAYOUT(a, model_layout(page));
	}
	EXPECT_EQ(aspace_unmap(a, BASE, PAGES(MODEL_PAGES)), 0);
	EXPECT_EQ(a->resident_anon, 0);
	EXPECT_EQ(a->committed_pages, 0);
	aspace_put(a);
}

/* Random requests for private memory have the same outcome by either function. */
TEST(mapping_private_is_like_any_other)
{
	static const u32 prots[] = { PROT_NONE, PROT_READ, RW, RW | PROT_EXEC };
	struct aspace *a = space_create(), *b = space_create();
	u32 random = 4711;

	if (!a || !b)
		return;
	for (u32 step = 0; step < 1000; step++) {
		random = random * 1103515245 + 12345;
		struct map_request r = {
			.address = random >> 30 ? BASE + PAGES((random >> 8) % 32) : 0,
			.length = (random >> 13) % 9 * 1500,
			.prot = prots[(random >> 20) % 4],
			.map_flags = MAP_PRIVATE | MAP_ANONYMOUS,
		};
		s64 at = aspace_map(a, &r);

		EXPECT_EQ(aspace_map_private(b, r.address, r.length, r.prot), at);
		EXPECT(at > 0 || at == -EINVAL);
		if (at > 0 && (random >> 5) % 2) {
			u64 from = (u64)at & ~(PAGES(4) - 1);

			EXPECT_EQ(aspace_unmap(a, from, PAGES(3)), 0);
			EXPECT_EQ(aspace_unmap(b, from, PAGES(3)), 0);
		}
		EXPECT(is_sound(a) && is_sound(b));
		EXPECT_EQ(b->nr_mappings, a->nr_mappings);
		EXPECT_EQ(b->total_pages, a->total_pages);
		EXPECT_EQ(b->peak_total_pages, a->peak_total_pages);
		EXPECT_EQ(b->data_pages, a->data_pages);
		EXPECT_EQ(b->exec_pages, a->exec_pages);
		EXPECT_EQ(b->committed_pages, a->committed_pages);
	}
	EXPECT_EQ(aspace_map_private(b, 0, USER_ADDRESS_END + 1, RW), -ENOMEM);
	EXPECT_EQ(aspace_map_private(b, 0, U64_MAX, RW), -ENOMEM);
	b->default_locked = MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT;
	EXPECT(aspace_map_private(b, 0, PAGE_SIZE, RW) > 0);
	EXPECT_EQ(b->locked_pages, 1);
	aspace_put(a);
	aspace_put(b);
}

/* Maps a page by itself, which goes again; the struct mapping that it had. */
static struct mapping *map_and_unmap(struct aspace *a)
{
	s64 at = aspace_map_private(a, 0, PAGE_SIZE, RW);
	struct mapping *m = at > 0 ? mapping_find(a, (u64)at) : NULL;

	EXPECT(m || test_allocation_failed());
	if (m)
		EXPECT_EQ(aspace_unmap(a, (u64)at, PAGE_SIZE), 0);
	return m;
}

static void map_by_turns(void)
{
	struct aspace *a = space_create();

	if (!a)
		return;
	struct mapping *m = map_and_unmap(a);

	EXPECT(a->spare == m);
	if (m)
		EXPECT(map_and_unmap(a) == m);
	/* one is kept, however many go */
	(void)map_at(a, 0, 1, RW);
	(void)map_at(a, 2, 1, RW);
	(void)map_at(a, 4, 1, PROT_READ);
	EXPECT_EQ(aspace_unmap(a, BASE, PAGES(8)), 0);
	EXPECT(a->spare || test_allocation_failed());
	EXPECT_EQ(a->nr_mappings, 0);
	/* a part that gets rights of its own takes it, and gives it back as they join again */
	if (map_at(a, 0, 3, RW) > 0 && aspace_protect(a, BASE, PAGES(1), PROT_READ) == 0) {
		EXPECT_LAYOUT(a, "0-1r 1-3rw");
		EXPECT_EQ(aspace_protect(a, BASE, PAGES(1), RW), 0);
		EXPECT_LAYOUT(a, "0-3rw");
	}
	aspace_put(a);
}

TEST(mapping_blank_is_used_again)
{
	TEST_EACH_ALLOCATION_FAILING(map_by_turns());
}

TEST(mapping_blank_is_not_kept_if_switched_off)
{
	struct aspace *a = space_create();

	if (!a)
		return;
	static_key_set(&mapping_no_spare_key, true);
	(void)map_and_unmap(a);
	EXPECT(!a->spare);
	static_key_set(&mapping_no_spare_key, false);
	aspace_put(a);
}

/* Wherever in a range the only page is, and whatever is beside it, it goes and the table with the last. */
TEST(unmap_finds_a_page_anywhere)
{
	struct aspace *a = space_create();

	if (!a)
		return;
	for (u32 nr = 1; nr <= 35; nr++) {
		for (u32 at = 0; at <= nr + 1; at++) {
			u64 first = 512 - nr % 2 * 20; /* across two tables, or in one */

			EXPECT(map_at(a, first - 1, nr + 2, RW) > 0);
			EXPECT(write_at(a, first - 1 + at, 7));
			EXPECT_EQ(aspace_unmap(a, BASE + PAGES(first), PAGES(nr)), 0);
			EXPECT_EQ(a->resident_anon, at == 0 || at == nr + 1);
			EXPECT_EQ(aspace_unmap(a, BASE + PAGES(first - 1), PAGES(nr + 2)), 0);
			EXPECT_EQ(a->resident_anon, 0);
			EXPECT(!table_find(a, BASE + PAGES(first - 1)));
			EXPECT(!table_find(a, BASE + PAGES(first + nr)));
		}
	}
	aspace_put(a);
}

#ifdef NOS_HOST /* a second thread, and nobody else's faults */
extern int pthread_create(unsigned long *id, const void *attributes, void *(*fn)(void *),
			  void *arg);
extern int pthread_join(unsigned long id, void **result);
extern int usleep(unsigned us);

static bool late_has_lock;

/* What a fault does that looked at the tree before a change: it has the leaf's lock, then the page comes. */
static void *fault_late(void *arg)
{
	struct aspace *a = arg;
	pte_t *table = table_find(a, BASE);
	struct folio *page = folio_alloc(0, FOLIO_ANON, ALLOC_ZERO);

	VERIFY(page);
	page->map_count = 1;
	spin_lock(&table_folio(table)->table_lock);
	atomic_store(&late_has_lock, true);
	usleep(20000);
	WRITE_ONCE(table[PTE_INDEX(BASE, 1)], folio_to_phys(page) | mapping_pte_bits(MAPPING_READ));
	table_folio(table)->nr_present++;
	atomic_add(&a->resident_anon, 1);
	spin_unlock(&table_folio(table)->table_lock);
	return NULL;
}

/* Where nothing is yet, but a fault holds the lock, unmapping waits for it. */
TEST(unmap_waits_for_a_late_fault)
{
	struct aspace *a = space_create();
	unsigned long id;

	if (!a)
		return;
	EXPECT(map_at(a, 0, 1, RW) > 0);
	EXPECT(map_at(a, 1, 1, PROT_READ) > 0); /* so that the table stays */
	EXPECT(write_at(a, 0, 1));
	EXPECT_EQ(aspace_advise(a, BASE, PAGES(1), MADV_DONTNEED), 0);
	late_has_lock = false;
	VERIFY(!pthread_create(&id, NULL, fault_late, a));
	while (!atomic_load(&late_has_lock))
		usleep(100);
	EXPECT_EQ(aspace_unmap(a, BASE, PAGES(1)), 0);
	EXPECT_EQ(atomic_load(&a->resident_anon), 0);
	pthread_join(id, NULL);
	EXPECT_EQ(atomic_load(&a->resident_anon), 0);
	aspace_put(a);
}
#endif

#define SPARSE_PAGES 1500u /* of three tables; more than a batch of flushes takes */

/* Random pages of random ranges go, and no others. */
TEST(unmap_takes_what_is_there)
{
	static u8 there[SPARSE_PAGES];
	struct aspace *a = space_create();
	u32 random = 99;

	if (!a)
		return;
	memset(there, 0, sizeof(there));
	EXPECT(map_at(a, 0, SPARSE_PAGES, RW) > 0);
	for (u32 step = 0; step < 60; step++) {
		u32 nr_there = 0, spread = 1 + step % 7 * 3;

		for (u32 i = 0; i < 120; i++) {
			random = random * 1103515245 + 12345;
			u32 page = ((random >> 8) % 90 * spread + step * 20) % SPARSE_PAGES;

			EXPECT(write_at(a, page, page + 1));
			there[page] = 1;
		}
		random = random * 1103515245 + 12345;
		u32 first = (random >> 8) % SPARSE_PAGES;
		u32 nr = min(1 + (random >> 4) % 700, SPARSE_PAGES - first);

		EXPECT_EQ(aspace_unmap(a, BASE + PAGES(first), PAGES(nr)), 0);
		memset(there + first, 0, nr);
		for (u32 i = 0; i < SPARSE_PAGES; i++)
			nr_there += there[i];
		EXPECT_EQ(a->resident_anon, nr_there);
		EXPECT(map_at(a, first, nr, RW) > 0);
		for (u32 i = 0; i < SPARSE_PAGES; i++)
			if (there[i])
				EXPECT_EQ(read_at(a, i), i + 1);
	}
	aspace_put(a);
}

TEST(mapping_gap_is_the_highest)
{
	struct aspace *a = space_create();
	struct map_request r = { .length = PAGES(4),
				 .prot = RW,
				 .map_flags = MAP_PRIVATE | MAP_ANONYMOUS };

	if (!a)
		return;
	s64 first = aspace_map(a, &r), second = aspace_map(a, &r), third = aspace_map(a, &r);

	EXPECT_EQ(first, a->mmap_base - PAGES(4));
	EXPECT_EQ(second, first - PAGES(4));
	EXPECT_EQ(third, second - PAGES(4));
	EXPECT_EQ(aspace_unmap(a, (u64)second, PAGES(4)), 0);
	r.length = PAGES(5);
	EXPECT_EQ(aspace_map(a, &r), third - PAGES(5));
	r.length = PAGES(3);
	EXPECT_EQ(aspace_map(a, &r), second + PAGES(1));
	r.length = PAGES(1);
	EXPECT_EQ(aspace_map(a, &r), second);
	EXPECT_EQ(a->nr_mappings, 1);
	r.length = USER_ADDRESS_END - PAGES(100);
	EXPECT_EQ(aspace_map(a, &r), -ENOMEM);
	aspace_put(a);
}

TEST(mapping_fixed_and_noreplace)
{
	struct aspace *a = space_create();
	struct map_request r = { .address = BASE + PAGES(2),
				 .length = PAGES(2),
				 .prot = PROT_READ,
				 .map_flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE };

	if (!a)
		return;
	(void)map_at(a, 0, 8, RW);
	EXPECT_EQ(aspace_map(a, &r), -EEXIST);
	r.map_flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
	EXPECT_EQ(aspace_map(a, &r), BASE + PAGES(2));
	EXPECT_LAYOUT(a, "0-2rw 2-4r 4-8rw");
	r.map_flags = MAP_ANONYMOUS;
	EXPECT_EQ(aspace_map(a, &r), -EINVAL);
	r.map_flags = MAP_PRIVATE;
	r.length = 0;
	EXPECT_EQ(aspace_map(a, &r), -EINVAL);
	r.length = U64_MAX - 5;
	EXPECT_EQ(aspace_map(a, &r), -ENOMEM);
	aspace_put(a);
}

TEST(mapping_remap)
{
	struct aspace *a = space_create();

	if (!a)
		return;
	(void)map_at(a, 0, 4, RW);
	(void)map_at(a, 8, 1, PROT_READ);
	EXPECT_EQ(aspace_remap(a, BASE, PAGES(4), PAGES(8), 0, 0), BASE);
	EXPECT_LAYOUT(a, "0-8rw 8-9r");
	EXPECT_EQ(aspace_remap(a, BASE, PAGES(8), PAGES(9), 0, 0), -ENOMEM);
	EXPECT_EQ(aspace_remap(a, BASE, PAGES(8), PAGES(3), 0, 0), BASE);
	EXPECT_LAYOUT(a, "0-3rw 8-9r");
	EXPECT_EQ(aspace_remap(a, BASE, PAGES(3), PAGES(3), MREMAP_MAYMOVE | MREMAP_FIXED,
			       BASE + PAGES(20)),
		  BASE + PAGES(20));
	EXPECT_LAYOUT(a, "8-9r 20-23rw");
	EXPECT_EQ(aspace_remap(a, BASE, PAGES(3), PAGES(3), 0, 0), -EFAULT);
	EXPECT_EQ(a->total_pages, 4);
	aspace_put(a);
}

TEST(mapping_pages_follow_a_move)
{
	struct aspace *a = space_create();
	u64 value = 0x1122334455667788;

	if (!a)
		return;
	(void)map_at(a, 0, 4, RW);
	EXPECT_EQ(aspace_access(a, BASE + PAGES(1) + 8, &value, 8, true, false), 8);
	EXPECT_EQ(a->resident_anon, 1);
	EXPECT_EQ(aspace_remap(a, BASE, PAGES(4), PAGES(4), MREMAP_MAYMOVE | MREMAP_FIXED,
			       BASE + PAGES(1024)),
		  BASE + PAGES(1024));
	value = 0;
	EXPECT_EQ(aspace_access(a, BASE + PAGES(1025) + 8, &value, 8, false, false), 8);
	EXPECT_EQ(value, 0x1122334455667788);
	EXPECT_EQ(aspace_access(a, BASE + PAGES(1) + 8, &value, 8, false, false), 0);
	aspace_put(a);
}

TEST(aspace_fork_copies_on_write)
{
	struct aspace *a = space_create(), *b;
	u64 value = 1;

	if (!a)
		return;
	(void)map_at(a, 0, 600, RW);
	for (u64 page = 0; page < 600; page += 100)
		EXPECT_EQ(aspace_access(a, BASE + PAGES(page), &value, 8, true, false), 8);
	b = aspace_fork(a);
	EXPECT(!is_err(b));
	if (!is_err(b)) {
		EXPECT_EQ(b->resident_anon, 6);
		value = 2;
		EXPECT_EQ(aspace_access(b, BASE, &value, 8, true, false), 8);
		EXPECT_EQ(aspace_access(a, BASE, &value, 8, false, false), 8);
		EXPECT_EQ(value, 1);
		value = 3;
		EXPECT_EQ(aspace_access(a, BASE + PAGES(100), &value, 8, true, false), 8);
		EXPECT_EQ(aspace_access(b, BASE + PAGES(100), &value, 8, false, false), 8);
		EXPECT_EQ(value, 1);
		aspace_put(b);
	}
	EXPECT_EQ(aspace_access(a, BASE, &value, 8, false, false), 8);
	EXPECT_EQ(value, 1);
	aspace_put(a);
}

static void make_and_fork(void)
{
	struct aspace *a = aspace_create(), *b;

	if (!a)
		return;
	a->mmap_base = 0x7f0000000000ul;
	(void)map_at(a, 0, 8, RW);
	(void)map_at(a, 3, 1, PROT_READ);
	(void)aspace_populate(a, BASE, PAGES(8), true);
	(void)aspace_protect(a, BASE + PAGES(5), PAGES(1), PROT_READ);
	(void)aspace_remap(a, BASE, PAGES(2), PAGES(2), MREMAP_MAYMOVE | MREMAP_FIXED,
			   BASE + PAGES(64));
	b = aspace_fork(a);
	if (!is_err(b))
		aspace_put(b);
	(void)aspace_unmap(a, BASE + PAGES(4), PAGES(1));
	aspace_put(a);
}

TEST(aspace_each_failure)
{
	TEST_EACH_ALLOCATION_FAILING(make_and_fork());
}

/* To where there is no table yet: all has moved, or nothing. */
static void fill_and_move(void)
{
	struct aspace *a = space_create();

	if (!a)
		return;
	if (map_at(a, 0, 8, RW) > 0 && write_at(a, 1, 77)) {
		s64 to = aspace_remap(a, BASE, PAGES(2), PAGES(2), MREMAP_MAYMOVE | MREMAP_FIXED,
				      BASE + PAGES(700));

		EXPECT(to == BASE + PAGES(700) || (to == -ENOMEM && test_allocation_failed()));
		EXPECT_EQ(read_at(a, to < 0 ? 1 : 701), 77);
		EXPECT_EQ(a->nr_mappings, to < 0 ? 1 : 2);
		EXPECT(!(a->tree_sequence.sequence & 1));
	}
	aspace_put(a);
}

TEST(aspace_moves_all_or_nothing)
{
	TEST_EACH_ALLOCATION_FAILING(fill_and_move());
}

TEST(aspace_brk_grows_and_shrinks)
{
	struct aspace *a = space_create();

	if (!a)
		return;
	a->brk_start = a->brk_end = BASE + 100;
	EXPECT_EQ(aspace_brk(a, 0), BASE + 100);
	EXPECT_EQ(aspace_brk(a, BASE + PAGES(3)), BASE + PAGES(3));
	EXPECT_LAYOUT(a, "1-3rw");
	EXPECT_EQ(aspace_brk(a, BASE + PAGES(5) + 1), BASE + PAGES(5) + 1);
	EXPECT_LAYOUT(a, "1-6rw");
	(void)map_at(a, 10, 1, PROT_READ);
	EXPECT_EQ(aspace_brk(a, BASE + PAGES(11)), BASE + PAGES(5) + 1);
	EXPECT_EQ(aspace_brk(a, BASE + 200), BASE + 200);
	EXPECT_LAYOUT(a, "10-11r");
	aspace_put(a);
}

TEST(aspace_advise_checks)
{
	struct aspace *a = space_create();
	u64 value = 7;

	if (!a)
		return;
	(void)map_at(a, 0, 4, RW);
	EXPECT_EQ(aspace_access(a, BASE, &value, 8, true, false), 8);
	EXPECT_EQ(aspace_advise(a, BASE, PAGES(1), MADV_DONTNEED), 0);
	EXPECT_EQ(aspace_access(a, BASE, &value, 8, false, false), 8);
	EXPECT_EQ(value, 0);
	EXPECT_EQ(aspace_advise(a, BASE, PAGES(1), 9999), -EINVAL);
	EXPECT_EQ(aspace_advise(a, BASE + 1, PAGES(1), MADV_NORMAL), -EINVAL);
	EXPECT_EQ(aspace_advise(a, BASE, PAGES(5), MADV_DONTNEED), -ENOMEM);
	EXPECT_EQ(aspace_advise(a, BASE + PAGES(1), PAGES(1), MADV_DONTFORK), 0);
	EXPECT_EQ(a->nr_mappings, 3);
	EXPECT_EQ(aspace_advise(a, BASE + PAGES(1), PAGES(1), MADV_DOFORK), 0);
	EXPECT_EQ(a->nr_mappings, 1);
	aspace_put(a);
}
