/* Searches in bitmaps of 64-bit words. */
#include <nos/string.h>

/* First bit at or after `from` that is set in (map ^ flip). */
static size_t bitmap_find(const u64 *map, size_t nr_bits, size_t from, u64 flip)
{
	if (from >= nr_bits)
		return nr_bits;

	size_t word = from / 64;
	u64 bits = (READ_ONCE(map[word]) ^ flip) & (U64_MAX << (from % 64));

	while (!bits) {
		if (++word >= BITMAP_WORDS(nr_bits))
			return nr_bits;
		bits = READ_ONCE(map[word]) ^ flip;
	}
	return min(word * 64 + (size_t)__builtin_ctzll(bits), nr_bits);
}

size_t bitmap_find_one(const u64 *map, size_t nr_bits, size_t from)
{
	return bitmap_find(map, nr_bits, from, 0);
}

size_t bitmap_find_zero(const u64 *map, size_t nr_bits, size_t from)
{
	return bitmap_find(map, nr_bits, from, U64_MAX);
}

size_t bitmap_count(const u64 *map, size_t nr_bits)
{
	size_t sum = 0;

	for (size_t i = 0; i < nr_bits / 64; i++)
		sum += (size_t)__builtin_popcountll(map[i]);
	if (nr_bits % 64)
		sum += (size_t)__builtin_popcountll(map[nr_bits / 64] &
						    ((1ull << (nr_bits % 64)) - 1));
	return sum;
}
