/* The cpio reader against archives that are whole, cut short, and broken in every byte. */
#include <nos/cpio.h>
#include <nos/errno.h>
#include <nos/file.h>
#include <nos/string.h>
#include <nos/test.h>

struct seen {
	unsigned nr;
	u64 bytes;
	u32 sum;
};

static int count(const struct cpio_entry *e, void *arg)
{
	struct seen *s = arg;

	s->nr++;
	s->bytes += e->size;
	for (u64 n = 0; n < e->size; n++)
		s->sum += e->data[n];
	s->sum += (u32)strlen(e->name);
	return 0;
}

static size_t add(char *to, const char *name, u32 mode, const char *data)
{
	size_t size = strlen(data), name_size = strlen(name) + 1;
	size_t n = (size_t)snprintf(
		to, 111, "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X", 1, mode, 0,
		0, 1, 0, (unsigned)size, 0, 0, 1, 3, (unsigned)name_size, 0);

	memset(to + n, 0, 64);
	string_copy(to + n, name, name_size);
	n = align_up(n + name_size, 4);
	for (size_t k = 0; k < size; k++)
		to[n + k] = data[k];
	return align_up(n + size, 4);
}

static size_t make_archive(char *to)
{
	size_t n = add(to, "etc/passwd", 0100644, "root::0:0");

	n += add(to + n, "dev/null", 020666, "");
	n += add(to + n, "TRAILER!!!", 0, "");
	memset(to + n, 0, 12);
	n += 12;
	n += add(to + n, "second", 0100600, "x");
	return n + add(to + n, "TRAILER!!!", 0, "");
}

TEST(archives_behind_each_other)
{
	struct seen s = { 0 };
	char archive[1200];
	size_t len = make_archive(archive);

	EXPECT_EQ(cpio_for_each(archive, len, count, &s), 0);
	EXPECT_EQ(s.nr, 3);
	EXPECT_EQ(s.bytes, 10);
}

/* Each length, in memory of exactly that size. */
TEST(an_archive_cut_anywhere)
{
	char archive[1200];
	size_t len = make_archive(archive);

	for (size_t cut = 0; cut < len; cut++) {
		struct seen s = { 0 };
		int err = cpio_for_each(archive, cut, count, &s);

		EXPECT(err == 0 || err == -EINVAL);
		EXPECT(s.nr <= 3);
	}
}

TEST(an_archive_with_any_byte_changed)
{
	static const u8 values[] = { 0, '0', 'F', 'f', 0x7f, 0xff };
	char archive[1200];
	size_t len = make_archive(archive);

	for (size_t at = 0; at < len; at++) {
		for (size_t v = 0; v < ARRAY_SIZE(values); v++) {
			struct seen s = { 0 };
			char old = archive[at];
			int err;

			archive[at] = (char)values[v];
			err = cpio_for_each(archive, len, count, &s);
			EXPECT(err == 0 || err == -EINVAL);
			EXPECT(s.bytes <= len * 4);
			archive[at] = old;
		}
	}
}
