#include <nos/string.h>
#include <nos/test.h>

TEST(bitmap_finds_ones_and_zeros)
{
	u64 map[3] = { 0 };

	EXPECT_EQ(bitmap_find_one(map, 130, 0), 130);
	EXPECT_EQ(bitmap_find_zero(map, 130, 5), 5);
	bitmap_set(map, 129);
	bitmap_set(map, 64);
	EXPECT_EQ(bitmap_find_one(map, 130, 0), 64);
	EXPECT_EQ(bitmap_find_one(map, 130, 65), 129);
	EXPECT_EQ(bitmap_find_one(map, 129, 65), 129);
	EXPECT_EQ(bitmap_find_one(map, 130, 130), 130);
	EXPECT_EQ(bitmap_count(map, 130), 2);
	EXPECT_EQ(bitmap_count(map, 129), 1);
	bitmap_clear(map, 64);
	EXPECT(!bitmap_test(map, 64));
	EXPECT(bitmap_test(map, 129));

	memset(map, 0xff, sizeof(map));
	EXPECT_EQ(bitmap_find_zero(map, 130, 0), 130);
	bitmap_clear(map, 63);
	EXPECT_EQ(bitmap_find_zero(map, 130, 0), 63);
	EXPECT_EQ(bitmap_find_zero(map, 130, 64), 130);
	EXPECT_EQ(bitmap_count(map, 130), 129);
}

TEST(log2_floor_and_ceil)
{
	EXPECT_EQ(log2_floor(1), 0);
	EXPECT_EQ(log2_floor(4095), 11);
	EXPECT_EQ(log2_floor(4096), 12);
	EXPECT_EQ(log2_ceil(1), 0);
	EXPECT_EQ(log2_ceil(4095), 12);
	EXPECT_EQ(log2_ceil(4097), 13);
}
