/*
 * Byte ring.  head and tail count bytes for ever (modulo 2^32), so that full
 * and empty differ without a spare byte; the size is a power of two.
 */
#include <nos/ring.h>
#include <nos/string.h>

void ring_init(struct ring *r, void *memory, u32 size)
{
	r->data = memory;
	r->size = size;
	r->head = 0;
	r->tail = 0;
}

u32 ring_write(struct ring *r, const void *from, u32 len)
{
	u32 n = min(len, ring_free(r));
	u32 at = r->head & (r->size - 1);
	u32 first = min(n, r->size - at);

	memcpy(r->data + at, from, first);
	memcpy(r->data, (const u8 *)from + first, n - first);
	r->head += n;
	return n;
}

u32 ring_peek(const struct ring *r, void *to, u32 len)
{
	u32 n = min(len, ring_used(r));
	u32 at = r->tail & (r->size - 1);
	u32 first = min(n, r->size - at);

	memcpy(to, r->data + at, first);
	memcpy((u8 *)to + first, r->data, n - first);
	return n;
}

u32 ring_read(struct ring *r, void *to, u32 len)
{
	u32 n = ring_peek(r, to, len);

	r->tail += n;
	return n;
}
