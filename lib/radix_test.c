#include <nos/errno.h>
#include <nos/radix.h>
#include <nos/string.h>
#include <nos/test.h>

static int items[64];

static const u64 far_indexes[] = {
	0, 1, 63, 64, 65, 4095, 4096, 1ull << 32, (1ull << 32) + 5, 1ull << 63, U64_MAX,
};

TEST(radix_insert_find_remove_far_apart)
{
	struct radix_tree t = { 0 };

	for (unsigned i = 0; i < ARRAY_SIZE(far_indexes); i++) {
		EXPECT(radix_find(&t, far_indexes[i]) == NULL);
		EXPECT_EQ(radix_insert(&t, far_indexes[i], &items[i]), 0);
		EXPECT_EQ(radix_insert(&t, far_indexes[i], &items[i]), -EEXIST);
		for (unsigned k = 0; k <= i; k++)
			EXPECT(radix_find(&t, far_indexes[k]) == &items[k]);
	}
	EXPECT_EQ(t.count, ARRAY_SIZE(far_indexes));
	EXPECT(radix_replace(&t, 64, &items[60]) == &items[3]);
	EXPECT(radix_find(&t, 64) == &items[60]);
	for (unsigned i = ARRAY_SIZE(far_indexes); i; i--) {
		EXPECT(radix_remove(&t, far_indexes[i - 1]) != NULL);
		EXPECT(radix_remove(&t, far_indexes[i - 1]) == NULL);
	}
	EXPECT(t.root == NULL);
	EXPECT_EQ(t.count, 0);
	EXPECT_EQ(t.height, 0);
}

TEST(radix_insert_of_a_run)
{
	struct radix_tree t = { 0 };
	int err;

	EXPECT_EQ(radix_insert(&t, 77, &items[1]), 0);
	EXPECT_EQ(radix_insert_run(&t, 64, 16, &items[2]), -EEXIST);
	EXPECT(radix_find(&t, 64) == NULL && radix_find(&t, 76) == NULL);
	EXPECT_EQ(t.count, 1);
	EXPECT_EQ(radix_insert_run(&t, 80, 16, &items[2]), 0);
	TEST_EACH_ALLOCATION_FAILING({
		err = radix_insert_run(&t, 1ull << 40, 64, &items[3]);
		EXPECT(err == 0 || err == -ENOMEM);
		EXPECT_EQ(t.count, err ? 17 : 81);
		for (unsigned i = 0; i < 64; i++) {
			EXPECT(radix_find(&t, (1ull << 40) + i) == (err ? NULL : &items[3]));
			radix_remove(&t, (1ull << 40) + i);
		}
	});
	for (unsigned i = 80; i < 96; i++)
		EXPECT(radix_find(&t, i) == &items[2]);
	EXPECT(radix_find(&t, 96) == NULL);
	for (unsigned i = 77; i < 96; i++)
		radix_remove(&t, i);
	EXPECT(t.root == NULL);
}

TEST(radix_find_next_in_order)
{
	struct radix_tree t = { 0 };
	u64 index = 0;

	EXPECT(radix_find_next(&t, &index) == NULL);
	for (unsigned i = 0; i < ARRAY_SIZE(far_indexes); i++)
		EXPECT_EQ(radix_insert(&t, far_indexes[i], &items[i]), 0);
	for (unsigned i = 0; i < ARRAY_SIZE(far_indexes); i++) {
		EXPECT(radix_find_next(&t, &index) == &items[i]);
		EXPECT(index == far_indexes[i]);
		if (index != U64_MAX)
			index++;
	}
	index = (1ull << 32) + 6;
	EXPECT(radix_find_next(&t, &index) == &items[9]);
	for (unsigned i = 0; i < ARRAY_SIZE(far_indexes); i++)
		radix_remove(&t, far_indexes[i]);
}

TEST(radix_marks_follow_entries)
{
	struct radix_tree t = { 0 };
	u64 index = 0;

	for (unsigned i = 0; i < 64; i++)
		EXPECT_EQ(radix_insert(&t, i * 100, &items[i]), 0);
	EXPECT(radix_find_marked(&t, &index, 0) == NULL);
	radix_mark(&t, 500, 0);
	radix_mark(&t, 6300, 0);
	radix_mark(&t, 500, 2);
	index = 0;
	EXPECT(radix_find_marked(&t, &index, 0) == &items[5]);
	EXPECT_EQ(index, 500);
	index++;
	EXPECT(radix_find_marked(&t, &index, 0) == &items[63]);
	EXPECT_EQ(index, 6300);
	index = 501;
	EXPECT(radix_find_marked(&t, &index, 2) == NULL);
	EXPECT(radix_is_marked(&t, 500, 2));
	EXPECT(!radix_is_marked(&t, 500, 1));
	radix_unmark(&t, 500, 2);
	EXPECT(!radix_is_marked(&t, 500, 2));
	EXPECT(radix_is_marked(&t, 500, 0));
	/* A mark goes up when the tree grows, and away with its entry. */
	EXPECT_EQ(radix_insert(&t, 1ull << 40, &items[0]), 0);
	index = 0;
	EXPECT(radix_find_marked(&t, &index, 0) == &items[5]);
	radix_remove(&t, 500);
	index = 0;
	EXPECT(radix_find_marked(&t, &index, 0) == &items[63]);
	radix_remove(&t, 1ull << 40);
	for (unsigned i = 0; i < 64; i++)
		radix_remove(&t, i * 100);
	EXPECT(t.root == NULL);
}

TEST(radix_insert_without_memory_changes_nothing)
{
	struct radix_tree t = { 0 };
	int err;

	EXPECT_EQ(radix_insert(&t, 3, &items[3]), 0);
	TEST_EACH_ALLOCATION_FAILING({
		err = radix_insert(&t, 1ull << 50, &items[1]);
		EXPECT(err == 0 || err == -ENOMEM);
		EXPECT(radix_find(&t, 3) == &items[3]);
		EXPECT(radix_find(&t, 1ull << 50) == (err ? NULL : &items[1]));
		EXPECT_EQ(t.count, err ? 1 : 2);
		if (!err)
			radix_remove(&t, 1ull << 50);
	});
	radix_remove(&t, 3);
	EXPECT(t.root == NULL);
}

TEST(radix_slots_of_a_node)
{
	struct radix_tree t = { 0 };
	void *const *slots;
	unsigned nr = 0;

	EXPECT(radix_find_slots(&t, 0, &nr) == NULL);
	for (unsigned i = 0; i < 64; i++)
		EXPECT_EQ(radix_insert(&t, 64 + i, &items[i]), 0);
	EXPECT_EQ(radix_insert(&t, 10000, &items[1]), 0);
	slots = radix_find_slots(&t, 70, &nr);
	EXPECT_EQ(nr, 58); /* to the end of the node */
	for (unsigned i = 0; slots && i < nr; i++)
		EXPECT(slots[i] == &items[6 + i]);
	slots = radix_find_slots(&t, 127, &nr);
	EXPECT(slots && *slots == &items[63]);
	EXPECT_EQ(nr, 1);
	slots = radix_find_slots(&t, 10001, &nr); /* an empty slot beside one in use */
	EXPECT(slots && !*slots);
	EXPECT(radix_find_slots(&t, 200, &nr) == NULL); /* no node */
	EXPECT(radix_find_slots(&t, 1ull << 40, &nr) == NULL); /* beyond the root */
	for (unsigned i = 0; i < 64; i++)
		radix_remove(&t, 64 + i);
	radix_remove(&t, 10000);
	EXPECT(t.root == NULL);
}

TEST(radix_nothing_behind)
{
	struct radix_tree t = { 0 };
	u64 index = 0;

	EXPECT_EQ(radix_insert(&t, U64_MAX - 5, &items[0]), 0);
	EXPECT_EQ(radix_insert(&t, 7, &items[1]), 0);
	index = U64_MAX - 4;
	EXPECT(radix_find_next(&t, &index) == NULL);
	index = U64_MAX;
	EXPECT(radix_find_next(&t, &index) == NULL);
	radix_unmark(&t, 99, 0); /* what was not marked, and what is not there */
	radix_unmark(&t, 1ull << 50, 0);
	EXPECT(!radix_is_marked(&t, 1ull << 50, 0));
	radix_mark(&t, 7, 0);
	radix_mark(&t, 7, 0); /* twice is once */
	radix_unmark(&t, 7, 0);
	EXPECT(!radix_is_marked(&t, 7, 0));
	radix_remove(&t, 7);
	radix_remove(&t, U64_MAX - 5);
	EXPECT(t.root == NULL);
	radix_unmark(&t, 7, 0);
}

/* Each node that a first entry far away needs may fail, in an empty tree too. */
TEST(radix_first_insert_without_memory)
{
	struct radix_tree t = { 0 };

	TEST_EACH_ALLOCATION_FAILING({
		int err = radix_insert(&t, 1ull << 40, &items[0]);

		EXPECT_EQ(err, test_allocation_failed() ? -ENOMEM : 0);
		if (!err)
			radix_remove(&t, 1ull << 40);
		EXPECT(t.root == NULL);
		EXPECT_EQ(t.height, 0);
	});
}
