/*
 * Read-ahead (mm/read_ahead.c): what of a file is read before it is asked for.
 */
#pragma once

#include <nos/types.h>

struct file;
struct page_cache;

enum read_advice { READ_NORMAL, READ_SEQUENTIAL, READ_RANDOM }; /* posix_fadvise(2) */

/*
 * How an open file is read, in units of its cache's folios; zero: nothing is known.  A hint: it needs
 * no lock.
 */
struct read_ahead {
	u32 first, last; /* the last request's */
	u32 reach; /* the last unit that was read ahead */
	s16 stride; /* from one request to the next */
	u8 window; /* units to be ahead */
	u8 streak : 4; /* votes for the stride */
	u8 nr_seen : 1; /* there was a request */
	u8 advice : 2; /* enum read_advice */
};
static_assert(sizeof(struct read_ahead) == 16, "two stores at open");

/* An open file's; defined by vfs. */
struct read_ahead *file_read_ahead(struct file *f);

/* Units first, first + stride …, nr of them. */
struct read_plan {
	s64 first;
	s32 stride;
	u32 nr;
};
/* What the policy wants beyond units [first, last], which are asked for; order: pages of a unit. */
struct read_plan read_ahead_plan(struct read_ahead *r, u32 first, u32 last, unsigned order);

/*
 * Pages [index, index + nr_pages) are about to be read, and one of them is not there or was read ahead:
 * starts reads, does not wait for them.  May sleep.  file NULL: nothing is started.
 */
void read_ahead_request(struct page_cache *c, struct file *file, u64 index, u64 nr_pages);
/* Brings the range into the cache, without waiting for more than there is room to start (readahead(2),
 * MADV_WILLNEED).  May sleep; ends early by a fatal signal. */
void page_cache_will_need(struct page_cache *c, struct file *file, u64 index, u64 nr_pages);
