/*
 * External fragmentation of page allocators after ageing: the kernel's
 * (platform.c) or the plain buddy system (buddy.c).  No clock: the figures are
 * the same in each run.  Prints name TAB value, in percent.
 *
 * The ageing run, on 512 MiB: 4,000 programs live and die, a dozen at a time;
 * each grows to 256 to 4,095 frames, one stretch after the other, while the
 * others do.  Of its requests 10 in 16 are single frames, 3 stretches of 16 and
 * 3 frames of a file, 1 to 64 at a time, which outlive it in the cache.  With
 * each 16 frames it takes one of the kernel's (one in eight: of two or four), of
 * which it leaves one in ten behind; what is left behind lives for a random time
 * and is held to 3 % of memory.  The cache gives up its oldest files when less
 * than an eighth of memory is free.
 */
#include "native.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum {
	FRAMES = 131072,
	PROGRAMS = 4000,
	RUNNING = 12,
	BLOCK_ORDER = 9,
	BLOCK = 1 << BLOCK_ORDER,
	LEFT_MAX = FRAMES * 3 / 100,
};

struct piece {
	uint32_t at;
	uint32_t order;
};

struct pieces {
	struct piece *piece;
	uint32_t nr, room;
};

struct program {
	uint32_t size, grown, kernel_due;
	struct pieces own, kernel;
};

static struct program running[RUNNING];
static struct pieces files; /* oldest first */
static uint32_t first_file;
static struct pieces left; /* of the kernel, by programs that are gone */
static uint32_t nr_live, nr_left;
static uint64_t state = 1;

static uint32_t random_below(uint32_t end)
{
	state = state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(state >> 33) % end;
}

static void pieces_add(struct pieces *p, struct piece new)
{
	if (p->nr == p->room) {
		p->room = p->room ? 2 * p->room : 64;
		p->piece = realloc(p->piece, p->room * sizeof(*p->piece));
		if (!p->piece)
			abort();
	}
	p->piece[p->nr++] = new;
}

static void piece_free(struct piece p)
{
	native_frames_free(p.at, p.order);
	nr_live -= 1u << p.order;
}

static bool file_drop(void)
{
	if (first_file == files.nr)
		return false;
	piece_free(files.piece[first_file++]);
	return true;
}

/* Single frames where there is no such stretch. */
static void take(struct pieces *to, unsigned order, bool is_movable)
{
	while (FRAMES - nr_live < FRAMES / 8 && file_drop())
		;
	uint32_t at = native_frames_alloc(order, is_movable);

	while (at == NATIVE_NO_FRAMES && order == 0 && file_drop())
		at = native_frames_alloc(order, is_movable);
	if (at != NATIVE_NO_FRAMES) {
		nr_live += 1u << order;
		pieces_add(to, (struct piece){ at, order });
	} else if (order) {
		for (unsigned i = 0; i < 1u << order; i++)
			take(to, 0, is_movable);
	} else {
		fprintf(stderr, "memory is out\n");
		exit(1);
	}
}

static void left_drop(void)
{
	uint32_t i = random_below(left.nr);

	nr_left -= 1u << left.piece[i].order;
	piece_free(left.piece[i]);
	left.piece[i] = left.piece[--left.nr];
}

static void program_end(struct program *p)
{
	for (uint32_t i = 0; i < p->own.nr; i++)
		piece_free(p->own.piece[i]);
	for (uint32_t i = 0; i < p->kernel.nr; i++) {
		if (random_below(10)) {
			piece_free(p->kernel.piece[i]);
			continue;
		}
		pieces_add(&left, p->kernel.piece[i]);
		nr_left += 1u << p->kernel.piece[i].order;
	}
	while (nr_left > LEFT_MAX)
		left_drop();
	p->own.nr = p->kernel.nr = 0;
	p->size = p->grown = p->kernel_due = 0;
}

static void program_grow(struct program *p)
{
	uint32_t kind = random_below(16), nr = 1;

	if (kind < 10) {
		take(&p->own, 0, true);
	} else if (kind < 13) {
		nr = 16;
		take(&p->own, 4, true);
	} else {
		nr = 1 + random_below(64);
		for (uint32_t i = 0; i < nr; i++)
			take(&files, 0, true);
	}
	p->grown += nr;
	for (p->kernel_due += nr; p->kernel_due >= 16; p->kernel_due -= 16)
		take(&p->kernel, random_below(8) ? 0 : 1 + random_below(2), false);
}

static void age(void)
{
	uint32_t ended = 0;

	while (ended < PROGRAMS) {
		struct program *p = &running[random_below(RUNNING)];

		if (p->size == 0)
			p->size = 256 + random_below(3840);
		/* a time slice's worth */
		for (uint32_t i = random_below(64); i > 0 && p->grown < p->size; i--)
			program_grow(p);
		if (p->grown >= p->size) {
			program_end(p);
			ended++;
		}
	}
}

/* How much of the free memory no request for 2 MiB can get. */
static void print_fragmentation(const char *when)
{
	static uint32_t at[FRAMES / BLOCK];
	uint32_t nr = 0;

	while ((at[nr] = native_frames_alloc(BLOCK_ORDER, true)) != NATIVE_NO_FRAMES)
		nr++;
	printf("free memory not in blocks of 2 MiB, %s\t%.2f\n", when,
	       100 - 100.0 * nr * BLOCK / (FRAMES - nr_live));
	while (nr)
		native_frames_free(at[--nr], BLOCK_ORDER);
}

int main(void)
{
	native_frames_start(FRAMES);
	age();
	fprintf(stderr, "live %u left %u files %u\n", nr_live, nr_left, files.nr - first_file);
	print_fragmentation("after ageing");
	while (files.nr - first_file > 0)
		file_drop();
	print_fragmentation("then without the cache");
	for (unsigned i = 0; i < RUNNING; i++)
		program_end(&running[i]);
	print_fragmentation("then without programs");
	return 0;
}
