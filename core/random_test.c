/* Tests of the random number generator: the RFC's vectors, erasure, spread. */
#include <nos/arch.h>
#include <nos/cpu.h>
#include <nos/random.h>
#include <nos/string.h>
#include <nos/test.h>

/* RFC 8439, 2.3.2; its 32-bit counter and 96-bit nonce laid over ours. */
TEST(chacha20_block_of_the_rfc)
{
	static const u8 expected[64] = {
		0x10, 0xf1, 0xe7, 0xe4, 0xd1, 0x3b, 0x59, 0x15, 0x50, 0x0f, 0xdd, 0x1f, 0xa3,
		0x20, 0x71, 0xc4, 0xc7, 0xd1, 0xf4, 0xc7, 0x33, 0xc0, 0x68, 0x03, 0x04, 0x22,
		0xaa, 0x9a, 0xc3, 0xd4, 0x6c, 0x4e, 0xd2, 0x82, 0x64, 0x46, 0x07, 0x9f, 0xaa,
		0x09, 0x14, 0xc2, 0xd7, 0x05, 0xd9, 0x8b, 0x02, 0xa2, 0xb5, 0x12, 0x9c, 0xd1,
		0xde, 0x16, 0x4e, 0xb9, 0xcb, 0xd0, 0x83, 0xe8, 0xa2, 0x50, 0x3c, 0x4e,
	};
	u32 key[8];
	u8 bytes[32], out[64];

	for (unsigned i = 0; i < 32; i++)
		bytes[i] = (u8)i;
	memcpy(key, bytes, sizeof(key));
	chacha20_block(key, 1ull | 0x09000000ull << 32, 0x4a000000ull, out);
	EXPECT_EQ(memcmp(out, expected, 64), 0);
}

TEST(chacha20_stream_is_that_of_the_blocks)
{
	static u8 stream[1024];
	u8 block[64];
	u32 key[8];
	bool made;

	for (unsigned round = 0; round < 8; round++) {
		random_bytes(key, sizeof(key));
		memset(stream, 0, sizeof(stream));
		u64 flags = irq_save();
		made = arch_chacha20_stream(key, stream, sizeof(stream));
		irq_restore(flags);
		for (unsigned i = 0; made && i < sizeof(stream) / 64; i++) {
			chacha20_block(key, i, 0, block);
			EXPECT_EQ(memcmp(stream + i * 64, block, 64), 0);
		}
	}
}

#ifndef NOS_HOST
/* The comparison above compares something where the processor can do it. */
TEST(chacha20_stream_is_made_by_vectors)
{
	static u8 stream[512];
	const u32 key[8] = { 1 };
	u64 flags = irq_save();
	bool made = arch_chacha20_stream(key, stream, sizeof(stream));

	irq_restore(flags);
	EXPECT_EQ(made, cpu_has(CPU_AVX2));
}
#endif

TEST(random_bytes_differ)
{
	u8 a[300], b[300];
	unsigned ones = 0;

	random_bytes(a, sizeof(a));
	random_bytes(b, sizeof(b));
	EXPECT(memcmp(a, b, sizeof(a)) != 0);
	for (unsigned i = 0; i < sizeof(a); i++)
		ones += (unsigned)__builtin_popcount(a[i]);
	EXPECT(ones > 1000 && ones < 1400);
}

TEST(random_below_its_limit)
{
	unsigned seen = 0;

	for (unsigned i = 0; i < 1000; i++) {
		u64 v = random_below(7);

		EXPECT(v < 7);
		seen |= 1u << v;
	}
	EXPECT_EQ(seen, 127);
}

#ifdef NOS_HOST

#include <nos/arch.h>

static bool hardware_is_absent;

u64 arch_wall_clock_ns(void)
{
	return 1234567890;
}

bool cpu_random_u64(u64 *value)
{
	*value = 42;
	return !hardware_is_absent;
}

/* Noise is credited up to what is enough; the streams take a new key once there are 128 bits of it. */
static void expect_entropy_counted(void)
{
	u64 words[16] = { 0 };
	u8 before[16], after[16];

	EXPECT(!random_is_seeded());
	random_bytes(before, sizeof(before));
	random_add_entropy(words, sizeof(words) - 3, 100); /* a part of a key at the end */
	EXPECT(!random_is_seeded());
	random_add_entropy(words, 0, 200); /* bits without bytes: counted all the same */
	EXPECT(random_is_seeded());
	random_bytes(after, sizeof(after));
	EXPECT(memcmp(before, after, sizeof(before)) != 0);
}

/* Nobody may wait for ever where the processor has no generator. */
TEST(generator_is_seeded_with_and_without_hardware)
{
	u8 a[32], b[32];

	expect_entropy_counted();
	for (int round = 0; round < 2; round++) {
		hardware_is_absent = round;
		random_init();
		EXPECT(random_is_seeded());
		random_bytes(a, sizeof(a));
		random_init(); /* the same words again do not give the same bytes */
		random_bytes(b, sizeof(b));
		EXPECT(memcmp(a, b, sizeof(a)) != 0);
	}
	hardware_is_absent = false;
}

#endif
