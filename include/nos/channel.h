/*
 * Message channels to the host (vfs/channel.c): a file system that speaks a
 * request/response protocol finds its transport here by name; drivers register
 * them.  Buffers are physical segments, so replies land where they belong.
 */
#pragma once

#include <nos/list.h>
#include <nos/types.h>
#include <nos/wait.h>

struct channel;

struct channel_segment {
	phys_t address;
	u32 len;
};

#define CHANNEL_MAX_SEGMENTS 132 /* out and in together: 512 KiB of pages and headers */

struct channel_request {
	const struct channel_segment *out, *in;
	u32 nr_out, nr_in;
	void *table; /* CHANNEL_TABLE_BYTES, 16-byte aligned, direct map: the driver's scratch */
	/* Interrupt context; in_len bytes were written by the host. */
	void (*done)(struct channel_request *r, u32 in_len);
};
#define CHANNEL_TABLE_BYTES (CHANNEL_MAX_SEGMENTS * 16)

struct channel_ops {
	/* 0; -ENOSPC: wait on channel->room; -EIO: the channel is dead.  Any thread. */
	int (*submit)(struct channel *c, struct channel_request *r);
};

struct channel {
	const char *tag;
	const struct channel_ops *ops;
	void *driver_data;
	struct wait_queue room;
	bool is_used; /* by one mount at a time */
	struct list node;
};

void channel_register(struct channel *c);
/* Takes the free channel with this tag: -ENOENT, -EBUSY. */
struct channel *channel_take(const char *tag);
void channel_release(struct channel *c);
