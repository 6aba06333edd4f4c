/*
 * The plain buddy system (Knuth, The Art of Computer Programming 1, section 2.5,
 * algorithms R and S), as the base that the page allocator's fragmentation is
 * compared with: a list of free blocks for each size, the last freed first; a
 * block that is freed joins its buddy as long as that one is free too.  One kind
 * of memory, no cache in front.
 */
#include "native.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

enum { NONE = -1, ORDERS = 18 };

struct block {
	int32_t next, previous; /* in the list of its order, if it is free */
	int8_t order; /* of the free block that begins here; NONE: none does */
};

static struct block *blocks;
static int32_t first[ORDERS];
static unsigned top_order;

static void block_insert(uint32_t at, unsigned order)
{
	struct block *b = &blocks[at];

	b->order = (int8_t)order;
	b->previous = NONE;
	b->next = first[order];
	if (b->next != NONE)
		blocks[b->next].previous = (int32_t)at;
	first[order] = (int32_t)at;
}

static void block_remove(uint32_t at)
{
	struct block *b = &blocks[at];

	if (b->previous == NONE)
		first[b->order] = b->next;
	else
		blocks[b->previous].next = b->next;
	if (b->next != NONE)
		blocks[b->next].previous = b->previous;
	b->order = NONE;
}

void native_frames_start(unsigned nr_frames)
{
	blocks = calloc(nr_frames, sizeof(*blocks));
	if (!blocks)
		abort();
	for (uint32_t i = 0; i < nr_frames; i++)
		blocks[i].order = NONE;
	for (unsigned i = 0; i < ORDERS; i++)
		first[i] = NONE;
	while (2u << top_order <= nr_frames)
		top_order++;
	block_insert(0, top_order);
}

unsigned native_frames_alloc(unsigned order, int is_movable)
{
	unsigned from = order;

	(void)is_movable;
	while (from <= top_order && first[from] == NONE)
		from++;
	if (from > top_order)
		return NATIVE_NO_FRAMES;
	uint32_t at = (uint32_t)first[from];

	block_remove(at);
	while (from > order) {
		from--;
		block_insert(at + (1u << from), from);
	}
	return at;
}

void native_frames_free(unsigned at, unsigned order)
{
	while (order < top_order) {
		uint32_t buddy = at ^ 1u << order;

		if (blocks[buddy].order != (int)order)
			break;
		block_remove(buddy);
		at &= ~(1u << order);
		order++;
	}
	block_insert(at, order);
}
