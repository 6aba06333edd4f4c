#include <nos/errno.h>
#include <nos/string.h>
#include <nos/test.h>

static void fill(u8 *p, size_t n, u8 start)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (u8)(start + i * 7);
}

TEST(memcpy_every_small_length_and_offset)
{
	u8 from[200], to[200];

	for (size_t n = 0; n < 150; n++) {
		for (size_t shift = 0; shift < 9; shift++) {
			fill(from, sizeof(from), 1);
			memset(to, 0xee, sizeof(to));
			memcpy(to + 8, from + shift, n);
			EXPECT_EQ(memcmp(to + 8, from + shift, n), 0);
			EXPECT_EQ(to[7], 0xee);
			EXPECT_EQ(to[8 + n], 0xee);
		}
	}
}

TEST(memmove_overlapping_both_ways)
{
	u8 buffer[200], expected[200];

	for (size_t n = 0; n < 120; n++) {
		for (size_t from = 0; from < 40; from += 3) {
			for (size_t to = 0; to < 40; to += 3) {
				fill(buffer, sizeof(buffer), 3);
				fill(expected, sizeof(expected), 3);
				for (size_t i = 0; i < n; i++)
					expected[to + i] = (u8)(3 + (from + i) * 7);
				memmove(buffer + to, buffer + from, n);
				EXPECT_EQ(memcmp(buffer, expected, sizeof(buffer)), 0);
			}
		}
	}
}

TEST(memset_every_small_length)
{
	u8 to[160];

	for (size_t n = 0; n < 140; n++) {
		for (size_t i = 0; i < sizeof(to); i++)
			to[i] = 0x11;
		memset(to + 4, 0xa5, n);
		EXPECT_EQ(to[3], 0x11);
		EXPECT_EQ(to[4 + n], 0x11);
		for (size_t i = 0; i < n; i++)
			EXPECT_EQ(to[4 + i], 0xa5);
	}
}

TEST(memcmp_orders_by_unsigned_bytes)
{
	EXPECT(memcmp("abcdefgh\x80", "abcdefgh\x7f", 9) > 0);
	EXPECT(memcmp("a", "b", 1) < 0);
	EXPECT_EQ(memcmp("same bytes here", "same bytes here", 15), 0);
	EXPECT_EQ(memcmp("x", "y", 0), 0);
}

TEST(string_searches)
{
	const char *s = "hello, world";

	EXPECT_EQ(strlen(s), 12);
	EXPECT_EQ(strnlen(s, 5), 5);
	EXPECT_EQ(strnlen(s, 50), 12);
	EXPECT_EQ(strchr(s, 'o') - s, 4);
	EXPECT_EQ(strrchr(s, 'o') - s, 8);
	EXPECT(strchr(s, 'z') == NULL);
	EXPECT_EQ(strchr(s, 0) - s, 12);
	EXPECT_EQ(strstr(s, "wor") - s, 7);
	EXPECT(strstr(s, "word") == NULL);
	EXPECT_EQ(strstr(s, "") - s, 0);
	EXPECT_EQ((const char *)memchr(s, 'w', 12) - s, 7);
	EXPECT(memchr(s, 'w', 7) == NULL);
	EXPECT(strcmp("abc", "abd") < 0);
	EXPECT(strcmp("abc", "ab") > 0);
	EXPECT_EQ(strncmp("abcX", "abcY", 3), 0);
	EXPECT(strncmp("ab", "abc", 3) < 0);
}

TEST(string_copy_truncates_and_terminates)
{
	char to[5] = "zzzz";

	EXPECT_EQ(string_copy(to, "abcdefg", sizeof(to)), 7);
	EXPECT_EQ(strcmp(to, "abcd"), 0);
	EXPECT_EQ(string_copy(to, "x", sizeof(to)), 1);
	EXPECT_EQ(strcmp(to, "x"), 0);
}

TEST(string_to_u64_bases_and_errors)
{
	u64 v = 1;

	EXPECT_EQ(string_to_u64("0", 10, &v), 0);
	EXPECT_EQ(v, 0);
	EXPECT_EQ(string_to_u64("18446744073709551615", 10, &v), 0);
	EXPECT(v == U64_MAX);
	EXPECT_EQ(string_to_u64("18446744073709551616", 10, &v), -ERANGE);
	EXPECT_EQ(string_to_u64("0x1F", 0, &v), 0);
	EXPECT_EQ(v, 31);
	EXPECT_EQ(string_to_u64("0755", 0, &v), 0);
	EXPECT_EQ(v, 0755);
	EXPECT_EQ(string_to_u64("", 10, &v), -EINVAL);
	EXPECT_EQ(string_to_u64("0x", 16, &v), -EINVAL);
	EXPECT_EQ(string_to_u64("12a", 10, &v), -EINVAL);
	EXPECT_EQ(string_to_u64("-1", 10, &v), -EINVAL);
	EXPECT_EQ(string_to_u64("8", 8, &v), -EINVAL);
}
