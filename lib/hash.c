/*
 * SipHash-1-3 (Aumasson and Bernstein, 2012; the 1-3 variant has one round a
 * word and three at the end): a keyed hash for tables whose keys users choose.
 * The key is the boot's secret mixed with the caller's seed.
 */
#include <nos/string.h>

static u64 hash_key[2] = { 0x0706050403020100ull, 0x0f0e0d0c0b0a0908ull };

void hash_set_key(u64 k0, u64 k1)
{
	hash_key[0] = k0;
	hash_key[1] = k1;
}

void hash_get_key(u64 key[2])
{
	key[0] = hash_key[0];
	key[1] = hash_key[1];
}

static inline u64 rotate_left(u64 x, unsigned n)
{
	return x << n | x >> (64 - n);
}

#define SIP_ROUND()                                                                                \
	do {                                                                                       \
		v0 += v1;                                                                          \
		v2 += v3;                                                                          \
		v1 = rotate_left(v1, 13) ^ v0;                                                     \
		v3 = rotate_left(v3, 16) ^ v2;                                                     \
		v0 = rotate_left(v0, 32);                                                          \
		v2 += v1;                                                                          \
		v0 += v3;                                                                          \
		v1 = rotate_left(v1, 17) ^ v2;                                                     \
		v3 = rotate_left(v3, 21) ^ v0;                                                     \
		v2 = rotate_left(v2, 32);                                                          \
	} while (0)

/* The last 0…7 bytes as a little-endian number. */
static inline u64 load_tail(const u8 *p, size_t n)
{
	u64 v = 0;

	for (size_t i = 0; i < n; i++)
		v |= (u64)p[i] << (8 * i);
	return v;
}

u64 hash_bytes(const void *data, size_t len, u64 seed)
{
	u64 k0 = hash_key[0] ^ seed, k1 = hash_key[1];
	u64 v0 = k0 ^ 0x736f6d6570736575ull;
	u64 v1 = k1 ^ 0x646f72616e646f6dull;
	u64 v2 = k0 ^ 0x6c7967656e657261ull;
	u64 v3 = k1 ^ 0x7465646279746573ull;
	const u8 *p = data;
	u64 word;

	for (size_t words = len / 8; words; words--, p += 8) {
		__builtin_memcpy(&word, p, 8);
		v3 ^= word;
		SIP_ROUND();
		v0 ^= word;
	}
	word = load_tail(p, len % 8) | (u64)len << 56;
	v3 ^= word;
	SIP_ROUND();
	v0 ^= word;
	v2 ^= 0xff;
	SIP_ROUND();
	SIP_ROUND();
	SIP_ROUND();
	return v0 ^ v1 ^ v2 ^ v3;
}
