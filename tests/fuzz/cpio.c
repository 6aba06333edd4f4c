/* An initramfs: every entry lies within the archive. */
/* needs: fs/cpio/cpio.c */
#include "fuzz.h"

#include <nos/cpio.h>

struct archive {
	const u8 *start, *end;
};

static int entry(const struct cpio_entry *e, void *arg)
{
	const struct archive *a = arg;
	const u8 *name = (const u8 *)e->name;
	u8 sum = 0;

	VERIFY(name >= a->start && name + strlen(e->name) < a->end);
	VERIFY(e->data >= a->start && e->size <= (u64)(a->end - e->data));
	for (u64 i = 0; i < e->size; i++)
		sum += e->data[i];
	return sum == 7 && e->size == 3 ? -EEXIST : 0;
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct archive a = { data, data + size };
	int err = cpio_for_each(data, size, entry, &a);

	VERIFY(err == 0 || err == -EINVAL || err == -EEXIST);
	return 0;
}
