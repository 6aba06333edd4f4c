#include <nos/string.h>
#include <nos/test.h>

#include "wire.h"

TEST(p9_wire_carries_every_kind)
{
	u8 data[64];
	struct p9_writer w = { .data = data, .size = sizeof(data) };
	u16 len;

	p9_put_u8(&w, 0xab);
	p9_put_u16(&w, 0x1234);
	p9_put_u32(&w, 0xdeadbeef);
	p9_put_u64(&w, 0x0123456789abcdefull);
	p9_put_string(&w, "name", 4);
	EXPECT(!w.failed);

	struct p9_reader r = { .data = data, .len = w.len };

	EXPECT_EQ(p9_get_u8(&r), 0xab);
	EXPECT_EQ(p9_get_u16(&r), 0x1234);
	EXPECT_EQ(p9_get_u32(&r), 0xdeadbeef);
	EXPECT_EQ(p9_get_u64(&r), 0x0123456789abcdefull);
	const char *s = p9_get_string(&r, &len);

	EXPECT(s && len == 4 && memcmp(s, "name", 4) == 0);
	EXPECT(!r.failed);
	EXPECT_EQ(r.at, w.len);
}

TEST(p9_writer_remembers_the_first_overrun)
{
	u8 data[6];
	struct p9_writer w = { .data = data, .size = sizeof(data) };

	p9_put_u32(&w, 1);
	p9_put_u32(&w, 2);
	EXPECT(w.failed);
	EXPECT_EQ(w.len, 4);
	p9_put_u8(&w, 3);
	EXPECT_EQ(w.len, 4);
}

TEST(p9_reader_never_passes_the_end)
{
	u8 data[16];
	u16 len;

	memset(data, 0xff, sizeof(data));
	for (u32 size = 0; size < sizeof(data); size++) {
		struct p9_reader r = { .data = data, .len = size };
		struct p9_attributes a;

		/* A string that claims 65,535 bytes. */
		EXPECT(p9_get_string(&r, &len) == NULL);
		EXPECT_EQ(len, 0);
		EXPECT(r.failed);

		r = (struct p9_reader){ .data = data, .len = size };
		p9_get_attributes(&r, &a);
		EXPECT(r.failed);
		EXPECT(r.at <= size);
	}
}
