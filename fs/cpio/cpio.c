/*
 * Reader of cpio archives (format "newc": each header is 110 bytes of ASCII
 * hexadecimal; names and contents are padded to four bytes).
 *
 * Every length is checked against what is left before it is used.  An archive
 * ends with the entry TRAILER!!!; zeros and further archives may follow.
 */
#include <nos/cpio.h>
#include <nos/errno.h>
#include <nos/file.h>
#include <nos/string.h>

#define HEADER_BYTES 110
#define NAME_LIMIT 4096

struct cursor {
	const u8 *at;
	size_t left;
};

static bool hex_field(const u8 *p, u32 *value)
{
	*value = 0;
	for (int n = 0; n < 8; n++) {
		u8 c = p[n];
		u32 digit;

		if (c >= '0' && c <= '9')
			digit = c - '0';
		else if (c >= 'a' && c <= 'f')
			digit = c - 'a' + 10;
		else if (c >= 'A' && c <= 'F')
			digit = c - 'A' + 10;
		else
			return false;
		*value = *value << 4 | digit;
	}
	return true;
}

/* Goes forward by len padded to four; false if that is not there.  A last entry may lack its pad. */
static bool skip(struct cursor *c, size_t len)
{
	size_t padded = align_up(len, 4);

	if (len > c->left)
		return false;
	padded = min(padded, c->left);
	c->at += padded;
	c->left -= padded;
	return true;
}

enum field {
	INO,
	MODE,
	UID,
	GID,
	NLINK,
	MTIME,
	SIZE,
	MAJOR,
	MINOR,
	RMAJOR,
	RMINOR,
	NAME_SIZE,
	CHECK
};

/* One entry; 1: the trailer. */
static int read_entry(struct cursor *c, struct cpio_entry *e)
{
	u32 f[CHECK + 1];
	size_t name_size;

	if (c->left < HEADER_BYTES ||
	    (memcmp(c->at, "070701", 6) != 0 && memcmp(c->at, "070702", 6) != 0))
		return -EINVAL;
	for (int n = 0; n <= CHECK; n++)
		if (!hex_field(c->at + 6 + 8 * n, &f[n]))
			return -EINVAL;
	name_size = f[NAME_SIZE];
	if (!name_size || name_size > NAME_LIMIT || name_size > c->left - HEADER_BYTES)
		return -EINVAL;
	e->name = (const char *)c->at + HEADER_BYTES;
	if (e->name[name_size - 1] || strlen(e->name) != name_size - 1)
		return -EINVAL;
	if (!skip(c, HEADER_BYTES + name_size))
		return -EINVAL;
	e->data = c->at;
	e->size = f[SIZE];
	if (!skip(c, f[SIZE]))
		return -EINVAL;
	if (!strcmp(e->name, "TRAILER!!!"))
		return 1;
	e->mode = f[MODE];
	e->uid = f[UID];
	e->gid = f[GID];
	e->nlink = f[NLINK];
	e->mtime = f[MTIME];
	e->ino = f[INO] | (u64)(f[MAJOR] << 20 ^ f[MINOR]) << 32;
	e->rdev = make_dev(f[RMAJOR], f[RMINOR]);
	return 0;
}

int cpio_for_each(const void *data, size_t len, int (*fn)(const struct cpio_entry *e, void *arg),
		  void *arg)
{
	struct cursor c = { data, len };

	for (;;) {
		struct cpio_entry e;
		int err;

		while (c.left && !*c.at) { /* padding between archives */
			c.at++;
			c.left--;
		}
		if (!c.left)
			return 0;
		err = read_entry(&c, &e);
		if (err < 0)
			return err;
		if (!err)
			err = fn(&e, arg);
		if (err < 0)
			return err;
	}
}
