#include <nos/string.h>
#include <nos/test.h>

#define EXPECT_FORMAT(expected, ...)                                                               \
	do {                                                                                       \
		char _text[128];                                                                   \
		int _n = snprintf(_text, sizeof(_text), __VA_ARGS__);                              \
		EXPECT_EQ(_n, strlen(expected));                                                   \
		if (strcmp(_text, expected) != 0)                                                  \
			unit_test_fail(__FILE__, __LINE__, "\"%s\", not \"%s\"", _text, expected); \
	} while (0)

TEST(format_integers)
{
	EXPECT_FORMAT("-42 42 2a 2A 52", "%d %u %x %X %o", -42, 42u, 42u, 42u, 42u);
	EXPECT_FORMAT("-9223372036854775808", "%lld", (long long)-0x7fffffffffffffffll - 1);
	EXPECT_FORMAT("18446744073709551615", "%lu", ~0ul);
	EXPECT_FORMAT("ff ffff", "%hhx %hx", (u8)0xff, (u16)0xffff);
	EXPECT_FORMAT("-1 7", "%hhd %zu", (s8)-1, (size_t)7);
	EXPECT_FORMAT("0", "%d", 0);
	EXPECT_FORMAT("", "%.0d", 0);
}

TEST(format_flags_width_precision)
{
	EXPECT_FORMAT("[   42]", "[%5d]", 42);
	EXPECT_FORMAT("[42   ]", "[%-5d]", 42);
	EXPECT_FORMAT("[00042]", "[%05d]", 42);
	EXPECT_FORMAT("[-0042]", "[%05d]", -42);
	EXPECT_FORMAT("[+42] [ 42]", "[%+d] [% d]", 42, 42);
	EXPECT_FORMAT("[  042]", "[%5.3d]", 42);
	EXPECT_FORMAT("0x2a 052 0", "%#x %#o %#x", 42u, 42u, 0u);
	EXPECT_FORMAT("0x0000002a", "%#010x", 42u);
	EXPECT_FORMAT("[    7]", "[%*d]", 5, 7);
	EXPECT_FORMAT("[7    ]", "[%*d]", -5, 7);
	EXPECT_FORMAT("[00007]", "[%.*d]", 5, 7);
}

TEST(format_text_and_pointers)
{
	EXPECT_FORMAT("abc|  abc|abc  |ab", "%s|%5s|%-5s|%.2s", "abc", "abc", "abc", "abc");
	EXPECT_FORMAT("x%y", "%c%%%c", 'x', 'y');
	EXPECT_FORMAT("0xdeadbeef", "%p", (void *)0xdeadbeeful);
}

TEST(format_truncates_and_reports_the_whole_length)
{
	char text[8];

	memset(text, 'z', sizeof(text));
	EXPECT_EQ(snprintf(text, 5, "%s", "abcdefgh"), 8);
	EXPECT_EQ(strcmp(text, "abcd"), 0);
	EXPECT_EQ(text[5], 'z');
	EXPECT_EQ(snprintf(NULL, 0, "%d", 12345), 5);
}

/* What the compiler would not let pass. */
static void expect_odd(const char *expected, const char *format, ...)
{
	char text[64];
	va_list args;

	va_start(args, format);
	int n = vsnprintf(text, sizeof(text), format, args);

	va_end(args);
	EXPECT_EQ(n, strlen(expected));
	EXPECT_EQ(strcmp(text, expected), 0);
}

TEST(format_what_is_cut_or_wrong)
{
	expect_odd("-32768 32767", "%hd %hd", 32768, -32769);
	expect_odd("-128", "%hhd", 128);
	expect_odd("(null)|(nu", "%s|%.3s", (const char *)NULL, (const char *)NULL);
	expect_odd("50", "50%"); /* ends in the middle of a directive */
	expect_odd("x%q", "x%q");
}
