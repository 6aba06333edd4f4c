/* What gcc calls for operations without an instruction, against the plain way. */
#include <nos/string.h>
#include <nos/test.h>

int __popcountdi2(u64 x);
unsigned __int128 __udivti3(unsigned __int128 n, unsigned __int128 d);

TEST(ones_are_counted)
{
	u64 seed = 1;

	EXPECT_EQ(__popcountdi2(0), 0);
	EXPECT_EQ(__popcountdi2(U64_MAX), 64);
	for (int i = 0; i < 100; i++) {
		int ones = 0;

		seed = seed * 6364136223846793005ull + 1442695040888963407ull;
		for (int n = 0; n < 64; n++)
			ones += (seed >> n) & 1;
		EXPECT_EQ(__popcountdi2(seed), ones);
	}
}

/* n = q d + r with r < d, which no other q has; no overflow, for q d <= n. */
static void expect_quotient(unsigned __int128 n, unsigned __int128 d)
{
	unsigned __int128 q = __udivti3(n, d), r = n - q * d;

	EXPECT(r < d);
	EXPECT(q == 0 || q * d / d == q);
	EXPECT(q <= n);
}

TEST(division_of_128_bits)
{
	const unsigned __int128 one = 1;
	u64 seed = 99;

	EXPECT(__udivti3(100, 7) == 14);
	EXPECT(__udivti3(one << 100, one << 40) == one << 60);
	EXPECT(__udivti3(one << 100, one << 90) == 1 << 10);
	EXPECT(__udivti3(-one, -one) == 1);
	EXPECT(__udivti3(-one, 1) == -one);
	EXPECT(__udivti3((one << 90) - 1, one << 90) == 0);
	EXPECT(__udivti3(-one, U64_MAX) == (one << 64) + 1);
	for (int i = 0; i < 1000; i++) {
		unsigned __int128 n, d;

		seed = seed * 6364136223846793005ull + 1442695040888963407ull;
		n = (unsigned __int128)seed << 64 | seed * 3;
		seed = seed * 6364136223846793005ull + 1442695040888963407ull;
		d = ((unsigned __int128)seed << 64 | seed * 5) >> (seed >> 57);
		if (d)
			expect_quotient(n >> (i % 100), d);
	}
}
