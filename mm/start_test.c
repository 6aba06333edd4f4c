/* Tests of start sets: what is learnt from one address space is in the next. */
#include "aspace_internal.h"

#include <nos/string.h>
#include <nos/test.h>

#include <asm/mman.h>
#include <linux/mman.h>

#ifdef NOS_HOST /* needs address spaces without a process */

#define BASE 0x10000000ul
#define PAGES(n) ((u64)(n)*PAGE_SIZE)
#define NR_PAGES 600u /* more than a leaf table's */
#define SOME_FILE ((struct file *)&size)

static struct page_cache program, library;
static u64 size, program_size;

static void files_create(void)
{
	size = PAGES(NR_PAGES);
	page_cache_init(&program, NULL, &program, &program_size);
	page_cache_init(&library, NULL, &library, &size);
	for (u64 i = 0; i < NR_PAGES; i++) {
		struct folio *f = page_cache_get_for_write(&library, i, 1, true);

		EXPECT(f);
		*(u64 *)folio_address(f) = i + 1000;
		folio_unlock(f);
		folio_put(f);
	}
}

static void files_destroy(void)
{
	page_cache_fini(&library);
	page_cache_fini(&program);
	EXPECT(!program.start);
}

static struct aspace *start_program(void)
{
	struct aspace *a = aspace_create();

	if (a) {
		a->mmap_base = 0x7f0000000000ul;
		aspace_start(a, SOME_FILE, &program);
	}
	return a;
}

static s64 map_library(struct aspace *a, u64 page, u64 nr, u32 prot, u32 flags)
{
	struct map_request r = {
		.address = BASE + PAGES(page),
		.length = PAGES(nr),
		.prot = prot,
		.map_flags = MAP_PRIVATE | flags,
		.file = SOME_FILE,
		.cache = &library,
		.page_offset = page,
		.file_may_exec = true,
	};

	return aspace_map(a, &r);
}

static pte_t entry_at(struct aspace *a, u64 va)
{
	const pte_t *table = table_find(a, va);

	return table ? table[PTE_INDEX(va, 1)] : 0;
}

static pte_t entry_of(struct aspace *a, u64 page)
{
	return entry_at(a, BASE + PAGES(page));
}

static void touch(struct aspace *a, u64 page, u32 access)
{
	EXPECT_EQ(fault_resolve(a, BASE + PAGES(page), access), FAULT_DONE);
}

/* As ld.so would: pages [0, 300) read, [300, 600) written. */
static void map_segments(struct aspace *a)
{
	EXPECT_EQ(map_library(a, 0, NR_PAGES, PROT_READ, MAP_FIXED), BASE);
	EXPECT_EQ(map_library(a, 300, 300, PROT_READ | PROT_WRITE, MAP_FIXED), BASE + PAGES(300));
}

static void learn(void)
{
	struct aspace *a = start_program();

	EXPECT(a->notes && !a->start);
	map_segments(a);
	touch(a, 3, ACCESS_READ);
	touch(a, 298, ACCESS_READ);
	touch(a, 310, ACCESS_READ);
	touch(a, 310, ACCESS_WRITE);
	touch(a, 599, ACCESS_WRITE);
	touch(a, 400, ACCESS_READ);
	EXPECT(!entry_of(a, 4) && !entry_of(a, 401)); /* exactly what was touched */
	aspace_put(a);
	EXPECT(program.start);
}

static void expect_page(struct aspace *a, u64 page, bool own)
{
	pte_t e = entry_of(a, page);

	EXPECT(pte_is_present(e));
	EXPECT_EQ(!!(e & PTE_WRITE), own);
	EXPECT_EQ(phys_to_folio(pte_phys(e))->kind, own ? FOLIO_ANON : FOLIO_FILE);
	EXPECT_EQ(*(u64 *)phys_to_virt(pte_phys(e)), page + 1000);
}

TEST(pages_of_one_start_are_there_at_the_next)
{
	files_create();
	learn();
	struct aspace *a = start_program();

	EXPECT(a->start && !a->notes);
	EXPECT_EQ(map_library(a, 300, 300, PROT_READ | PROT_WRITE, MAP_FIXED), BASE + PAGES(300));
	EXPECT_EQ(map_library(a, 0, 300, PROT_READ, MAP_FIXED), BASE);
	expect_page(a, 3, false);
	expect_page(a, 298, false);
	expect_page(a, 310, true);
	expect_page(a, 400, false);
	expect_page(a, 599, true);
	EXPECT(!entry_of(a, 4) && !entry_of(a, 311));
	EXPECT_EQ(a->resident_anon, 2);
	EXPECT_EQ(aspace_resident_pages(a), 5);
	/* a copy is the process's own */
	*(u64 *)phys_to_virt(pte_phys(entry_of(a, 310))) = 1;
	struct folio *f = page_cache_find(&library, 310);

	EXPECT_EQ(*(u64 *)folio_address(f), 1310);
	folio_put(f);
	aspace_put(a);
	files_destroy();
}

TEST(other_rights_and_sizes_than_those_learnt)
{
	files_create();
	learn();
	struct aspace *a = start_program();

	/* what was written is only shown where it can't be */
	EXPECT_EQ(map_library(a, 300, 300, PROT_READ, MAP_FIXED), BASE + PAGES(300));
	expect_page(a, 310, false);
	aspace_put(a);
	/* a first mapping has nothing that segments will cover */
	a = start_program();
	s64 at = map_library(a, 0, NR_PAGES, PROT_READ, 0);

	EXPECT(at > 0 && !entry_at(a, (u64)at + PAGES(3)));
	aspace_put(a);
	/* nothing behind the end of the file, and nothing without rights */
	a = start_program();
	size = PAGES(299) - 1;
	page_cache_truncate(&library, size, U64_MAX);
	map_segments(a);
	expect_page(a, 298, false);
	EXPECT(!entry_of(a, 310) && !entry_of(a, 400) && !entry_of(a, 599));
	aspace_put(a);
	a = start_program();
	EXPECT_EQ(map_library(a, 0, 300, PROT_NONE, MAP_FIXED), BASE);
	EXPECT(!entry_of(a, 3));
	aspace_put(a);
	files_destroy();
}

TEST(truncation_meets_pages_put_in_ahead)
{
	files_create();
	learn();
	struct aspace *a = start_program();

	map_segments(a);
	expect_page(a, 599, true);
	size = PAGES(100);
	page_cache_truncate(&library, size, U64_MAX);
	EXPECT(!entry_of(a, 298) && !entry_of(a, 310) && !entry_of(a, 599));
	expect_page(a, 3, false);
	EXPECT_EQ(aspace_resident_pages(a), 1);
	aspace_put(a);
	files_destroy();
}

TEST(a_set_is_learnt_again_now_and_then)
{
	u32 nr_learnt = 0;

	files_create();
	learn();
	for (u32 i = 0; i < 200; i++) {
		struct aspace *a = start_program();

		map_segments(a);
		if (a->notes) {
			nr_learnt++;
			touch(a, nr_learnt, ACCESS_READ);
		}
		aspace_put(a);
	}
	EXPECT_EQ(nr_learnt, 3);
	struct aspace *a = start_program();

	map_segments(a);
	expect_page(a, 3, false);
	EXPECT(!entry_of(a, 298) && !entry_of(a, 2));
	aspace_put(a);
	files_destroy();
}

static void learn_and_use(void)
{
	for (u32 i = 0; i < 2; i++) {
		struct aspace *a = start_program();

		if (!a)
			return;
		(void)map_library(a, 0, 300, PROT_READ, MAP_FIXED);
		(void)map_library(a, 300, 300, PROT_READ | PROT_WRITE, MAP_FIXED);
		(void)fault_resolve(a, BASE + PAGES(3), ACCESS_READ);
		(void)fault_resolve(a, BASE + PAGES(310), ACCESS_WRITE);
		aspace_put(a);
	}
}

TEST(each_failure_of_learning_and_using)
{
	files_create();
	TEST_EACH_ALLOCATION_FAILING(learn_and_use());
	files_destroy();
}

#endif
