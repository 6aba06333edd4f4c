#include <nos/string.h>
#include <nos/test.h>

/*
 * Key 00…0f, message 00 01 02 …, by an independent program that also yields the published values
 * of SipHash-2-4 (Aumasson and Bernstein, 2012, appendix A).
 */
TEST(siphash_1_3_values)
{
	static const struct {
		size_t len;
		u64 hash;
	} expected[] = {
		{ 0, 0xabac0158050fc4dcull }, { 1, 0xc9f49bf37d57ca93ull },
		{ 2, 0x82cb9b024dc7d44dull }, { 7, 0xd3927d989bb11140ull },
		{ 8, 0x369095118d299a8eull }, { 15, 0xd320d86d2a519956ull },
	};
	u8 message[16];
	u64 key[2];

	hash_get_key(key);
	hash_set_key(0x0706050403020100ull, 0x0f0e0d0c0b0a0908ull);
	for (unsigned i = 0; i < sizeof(message); i++)
		message[i] = (u8)i;
	for (unsigned i = 0; i < ARRAY_SIZE(expected); i++)
		EXPECT_EQ(hash_bytes(message, expected[i].len, 0), expected[i].hash);
	hash_set_key(key[0], key[1]);
}

TEST(siphash_depends_on_every_byte_and_the_seed)
{
	u8 a[40], b[40];

	memset(a, 1, sizeof(a));
	for (unsigned i = 0; i < sizeof(a); i++) {
		memcpy(b, a, sizeof(a));
		b[i] ^= 0x80;
		EXPECT(hash_bytes(a, sizeof(a), 7) != hash_bytes(b, sizeof(b), 7));
		EXPECT(hash_bytes(a, i, 7) != hash_bytes(a, i + 1, 7));
	}
	EXPECT(hash_bytes(a, 40, 1) != hash_bytes(a, 40, 2));
}

TEST(crc32c_check_value)
{
	u8 zeros[32] = { 0 };

	/* RFC 3720, B.4 */
	EXPECT_EQ(~crc32c(~0u, zeros, 32), 0x8a9136aau);
	EXPECT_EQ(~crc32c(~0u, "123456789", 9), 0xe3069283u);
	EXPECT_EQ(crc32c(crc32c(~0u, "12345", 5), "6789", 4), crc32c(~0u, "123456789", 9));
}
