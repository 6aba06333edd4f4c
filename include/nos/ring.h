/* Byte ring of a power-of-two size over caller's memory; no lock (lib/ring.c). */
#pragma once

#include <nos/types.h>

struct ring {
	u8 *data;
	u32 size; /* power of two */
	u32 head; /* bytes ever written, modulo 2^32 */
	u32 tail; /* bytes ever read */
};

void ring_init(struct ring *r, void *memory, u32 size);
static inline u32 ring_used(const struct ring *r)
{
	return r->head - r->tail;
}
static inline u32 ring_free(const struct ring *r)
{
	return r->size - ring_used(r);
}
u32 ring_write(struct ring *r, const void *from, u32 len); /* returns what fitted */
u32 ring_read(struct ring *r, void *to, u32 len);
u32 ring_peek(const struct ring *r, void *to, u32 len);
