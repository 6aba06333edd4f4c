/*
 * The page cache (mm/page_cache.c): what of a file is in memory.
 *
 * One struct page_cache lies in each inode.  Folios of any order are found by
 * index in a radix tree read under RCU; a lookup takes a reference and
 * re-checks.  The list of mappings replaces a per-page reverse map.  File
 * systems supply page_cache_ops; a tmpfs has none for reading, its folios are
 * the file.
 */
#pragma once

#include <nos/huge.h>
#include <nos/iobuf.h>
#include <nos/list.h>
#include <nos/lock.h>
#include <nos/page.h>
#include <nos/radix.h>

struct page_cache;
struct file;
struct mapping;

struct page_cache_ops {
	/* Fills a locked, not up-to-date folio, sets FOLIO_UPTODATE or returns −errno; does not
	 * unlock.  `file` may be NULL (then any open handle of the inode serves). */
	int (*read_folio)(struct page_cache *c, struct folio *f, struct file *file);
	/*
	 * Starts to fill a locked folio, and returns; the end is told to page_cache_read_done, by any
	 * context.  −errno: nothing was started (-EAGAIN: too much is under way).  May sleep.  NULL: nothing
	 * is read ahead.
	 */
	int (*start_read)(struct page_cache *c, struct folio *f, struct file *file);
	/* Writes a locked dirty folio; NULL: memory only (never written back, not evicted). */
	int (*write_folio)(struct page_cache *c, struct folio *f);
	/* Prepares a write of [offset, offset + len) (space, journal); NULL = nothing to do. */
	int (*write_begin)(struct page_cache *c, u64 offset, u64 len);
	/* Folios are read in units of up to 2^folio_order pages (4 = 64 KiB); 0: single pages. */
	unsigned folio_order;
	/* `nr` pages are about to be added to a cache in memory, for who reads or maps a hole or all at once,
	 * and `more` will be after them; −errno: no room.  nr 0: to count those that are there. */
	int (*grow)(struct page_cache *c, u64 nr, u64 more);
	/* Of a cache in memory, whether it takes 2 MiB at a time; NULL: never. */
	enum huge_file (*huge)(const struct page_cache *c);
};

struct page_cache {
	const struct page_cache_ops *ops; /* NULL: memory only */
	struct radix_tree tree; /* writers under `lock`; a folio at each of its indices */
	struct spinlock lock;
	u64 nr_pages;
	u64 *size; /* the inode's size in bytes: past it mappings fault SIGBUS */
	void *owner; /* inode */
	struct mutex mappings_lock;
	struct list mappings; /* struct mapping.cache_node: who maps it */
	u32 nr_writable_shared; /* shared mappings that may become writable (seals) */
	u32 invalidate_sequence; /* odd while truncating; faults retry */
	s32 error; /* write-back error to report by fsync */
	struct start_set *start; /* of a program: what its starts touch (mm/start.c); RCU */
};

/* The owner keeps the struct's memory for one RCU grace period after page_cache_fini: faults look
 * at it without a reference.  A cache without read_folio is memory only. */
void page_cache_init(struct page_cache *c, const struct page_cache_ops *ops, void *owner,
		     u64 *size);
/* The same where all of *c is zero already. */
void page_cache_init_zeroed(struct page_cache *c, const struct page_cache_ops *ops, void *owner,
			    u64 *size);
/* Drops every folio; no mapping is left (inode eviction). */
void page_cache_fini(struct page_cache *c);

/* The folio that holds page `index`, referenced and up to date; read if need be.  ERR pointer:
 * -EIO, -ENOMEM, -ERESTARTSYS(killed).  Sleeps. */
struct folio *page_cache_get(struct page_cache *c, u64 index, struct file *file);
/* The end of a start_read: 0, the contents are valid; or −errno, whoever wants them reads again.  Any context. */
void page_cache_read_done(struct folio *f, int err);
/* Only if present (may be not up to date): referenced, or NULL. */
struct folio *page_cache_find(struct page_cache *c, u64 index);
/* Present or newly added (then zeroed and up to date only if `zero`): locked, referenced; NULL: no
 * memory.  For whole-page writes, of `nr` pages from this one on in all. */
struct folio *page_cache_get_for_write(struct page_cache *c, u64 index, u64 nr, bool zero);

/*
 * read(2) and write(2) of a cached file at *pos; size checks against *c->size; advances *pos.
 * Bytes or −errno.  The writer holds the inode's lock.  *hint is the caller's to keep, NULL at first: the
 * folio of the last transfer, without a reference, of whatever cache.
 */
ssize_t page_cache_read(struct page_cache *c, struct file *file, struct iobuf *to, u64 *pos,
			struct folio **hint);
/* Not for nothing: something remains in `from`. */
ssize_t page_cache_write(struct page_cache *c, struct file *file, struct iobuf *from, u64 *pos,
			 struct folio **hint);

/* File shrinks or a hole is punched: zeroes partial pages, unmaps from all address spaces and
 * drops whole pages of [start, end).  Inode lock held; size already set.  To the end (end U64_MAX), private
 * mappings lose their copies, too; they keep them over a hole. */
void page_cache_truncate(struct page_cache *c, u64 start, u64 end);
/* SEEK_DATA / SEEK_HOLE on a memory-only file: next offset ≥ pos that is data / hole. */
u64 page_cache_next_data(struct page_cache *c, u64 pos);
u64 page_cache_next_hole(struct page_cache *c, u64 pos);
/* Writes dirty folios of the byte range and waits; returns and clears the stored error. */
int page_cache_sync(struct page_cache *c, u64 start, u64 end);
/*
 * Shrinkers: what other layers keep for speed alone (the names of vfs), to be let go when memory is
 * short.  reclaim frees up to nr objects and says how many; from a worker thread, it may sleep.
 */
struct shrinker {
	u64 (*reclaim)(u64 nr);
};
#define REGISTER_SHRINKER(var, fn)                                                                 \
	static const struct shrinker shrinker_##var __section("shrinkers") = { .reclaim = (fn) }

/* Clean, unmapped, unused folios of the range are dropped (fadvise DONTNEED, drop_caches). */
u64 page_cache_invalidate(struct page_cache *c, u64 start, u64 end);
void page_cache_mark_dirty(struct folio *f); /* the caller holds the folio's lock */
/* Frees up to nr clean pages in the system, oldest first; returns how many. */
u64 page_cache_reclaim(u64 nr_pages);
