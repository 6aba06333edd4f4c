/* The .eh_frame interpreter on a table made here, and with every byte of it wrong in turn. */
#include <nos/string.h>
#include <nos/test.h>

#include "unwind.h"

/*
 * One function at BASE + 0x100, 0x40 bytes: push %rbx at +4, sub $0x18 at +8.
 * All addresses are relative to the header, which stands at BASE.
 */
#define BASE 0x10000ull
#define FDE_AT 64 /* of .eh_frame within the image */
#define IMAGE_SIZE 192

static u8 image[IMAGE_SIZE];
static u64 stack[16];

static bool read_stack(u64 *value, const void *from)
{
	u64 at = (u64)from;

	if (at < 0x8000 || at + 8 > 0x8000 + sizeof(stack) || at % 8)
		return false;
	*value = stack[(at - 0x8000) / 8];
	return true;
}

static void put32(size_t at, u32 v)
{
	memcpy(image + at, &v, 4);
}

static struct unwind_table table_make(void)
{
	static const u8 header[] = { 1, 0x1b, 0x03, 0x3b };
	static const u8 cie[] = { 1, 'z', 'R', 0, 1, 0x78, 16, 1, 0x1b, 0x0c, 7, 8, 0x90, 1, 0, 0 };
	static const u8 fde[] = { 0, 0x44, 0x0e, 16, 0x83, 2, 0x44, 0x0e, 40, 0, 0 };

	memset(image, 0, sizeof(image));
	memcpy(image, header, 4);
	put32(8, 1); /* one entry */
	put32(12, 0x100);
	put32(16, FDE_AT + 24);
	put32(FDE_AT, 20); /* CIE: length, id 0 */
	memcpy(image + FDE_AT + 8, cie, sizeof(cie));
	put32(FDE_AT + 24, 24); /* FDE */
	put32(FDE_AT + 28, 28); /* back to the CIE */
	put32(FDE_AT + 32, 0x100 - (FDE_AT + 32));
	put32(FDE_AT + 36, 0x40);
	memcpy(image + FDE_AT + 40, fde, sizeof(fde));
	return (struct unwind_table){
		.header = image,
		.header_end = image + 24,
		.frames = image + FDE_AT,
		.frames_end = image + IMAGE_SIZE,
		.header_address = BASE,
		.read = read_stack,
	};
}

static struct unwind_state state_at(u64 rip, u64 rsp)
{
	struct unwind_state s = { 0 };

	s.registers[UNWIND_RIP] = rip;
	s.registers[UNWIND_RSP] = rsp;
	s.registers[UNWIND_RBX] = 7;
	return s;
}

TEST(unwind_follows_rows)
{
	struct unwind_table t = table_make();
	struct unwind_state s = state_at(BASE + 0x100, 0x8000);

	stack[0] = 0x1234;
	EXPECT(unwind_step(&t, &s, false));
	EXPECT_EQ(s.registers[UNWIND_RIP], 0x1234);
	EXPECT_EQ(s.registers[UNWIND_RSP], 0x8008);
	EXPECT_EQ(s.registers[UNWIND_RBX], 7);

	s = state_at(BASE + 0x120, 0x8000);
	stack[3] = 0xbb;
	stack[4] = 0x5678;
	EXPECT(unwind_step(&t, &s, false));
	EXPECT_EQ(s.registers[UNWIND_RIP], 0x5678);
	EXPECT_EQ(s.registers[UNWIND_RBX], 0xbb);
	EXPECT_EQ(s.registers[UNWIND_RSP], 0x8028);
}

TEST(unwind_ends)
{
	struct unwind_table t = table_make();
	struct unwind_state s = state_at(BASE + 0x141, 0x8000);

	EXPECT(!unwind_step(&t, &s, false));
	/* The return address after a last call belongs to the function still. */
	s = state_at(BASE + 0x140, 0x8000);
	EXPECT(unwind_step(&t, &s, true));
	s = state_at(BASE + 0x100, 0x9000);
	EXPECT(!unwind_step(&t, &s, false));
}

TEST(unwind_survives_every_wrong_byte)
{
	for (size_t at = 0; at < IMAGE_SIZE; at++) {
		for (unsigned v = 0; v < 256; v++) {
			struct unwind_table t = table_make();
			struct unwind_state s = state_at(BASE + 0x120, 0x8000);

			image[at] = (u8)v;
			unwind_step(&t, &s, false);
		}
	}
}
