#include <nos/ring.h>
#include <nos/string.h>
#include <nos/test.h>

TEST(ring_wraps_and_keeps_order)
{
	u8 memory[16], out[16];
	struct ring r;
	u8 next_in = 0, next_out = 0;

	ring_init(&r, memory, sizeof(memory));
	EXPECT_EQ(ring_read(&r, out, 4), 0);
	r.head = r.tail = 0xfffffff8u; /* counters wrap too */
	for (unsigned round = 0; round < 50; round++) {
		u8 in[11];

		for (unsigned i = 0; i < 11; i++)
			in[i] = next_in++;
		EXPECT_EQ(ring_write(&r, in, 11), 11);
		EXPECT_EQ(ring_used(&r), 11);
		EXPECT_EQ(ring_peek(&r, out, 16), 11);
		EXPECT_EQ(ring_read(&r, out, 16), 11);
		for (unsigned i = 0; i < 11; i++)
			EXPECT_EQ(out[i], next_out++);
	}
}

TEST(ring_takes_what_fits)
{
	u8 memory[8], out[8];
	struct ring r;

	ring_init(&r, memory, sizeof(memory));
	EXPECT_EQ(ring_write(&r, "abcdefghij", 10), 8);
	EXPECT_EQ(ring_free(&r), 0);
	EXPECT_EQ(ring_write(&r, "x", 1), 0);
	EXPECT_EQ(ring_read(&r, out, 3), 3);
	EXPECT_EQ(memcmp(out, "abc", 3), 0);
	EXPECT_EQ(ring_free(&r), 3);
}
