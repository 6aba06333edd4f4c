/*
 * The page cache: what of a file is in memory.
 *
 * Concepts.  A cache belongs to an inode.  Its folios stand in a radix tree, at
 * each index that they cover; a folio is the unit of a transfer.  A cache whose
 * owner can't read folios is memory only: a hole reads as zeros, and a folio
 * stays until it is truncated.
 *
 * Looking up.  Under RCU: find, take a reference unless the count is 0, check
 * that the folio still belongs to this cache and index.  The count of a folio
 * that reclaim takes away is frozen at 0 first, so nobody gets a folio that is
 * no longer in the tree except after truncation, which the checks of `cache`
 * under the folio lock (writers) and of invalidate_sequence (faults) detect.
 *
 * Hints.  A file remembers the folio of its last transfer without a reference.  Its frame's record is
 * memory for ever, so it may be looked at; it counts if, after a reference was taken, it belongs to the
 * cache, the index and is up to date.  Boot switch: opt.folio_hint.
 *
 * States.  UPTODATE: contents valid; set once, under the folio lock, by whoever
 * read or wrote it.  DIRTY: newer than the file's storage; mark 0 in the tree.
 * A shared mapping of a cache with write_folio is mapped read-only until the
 * first store faults and marks the folio dirty; writing back protects it again.
 *
 * Invariants.
 *   (1) a folio in the tree has cache, index set and one reference for the tree;
 *   (2) whoever holds the lock of a folio with cache != NULL may use the cache:
 *       its end takes every folio's lock;
 *   (3) a mapped folio has a reference for each page-table entry;
 *   (4) *size never covers bytes that are not zero or written: truncation
 *       zeroes the rest of the last page.
 *
 * Copies.  write(2) copies from user memory while it holds the folio lock; the
 * source may be a mapping of the same folio.  So the copy under the lock does
 * not fault; where it falls short the pages are touched without the lock, and it
 * is repeated.
 *
 * Locking.  `lock` for changes of the tree; folio lock for contents; order in
 * lock_rank.h.  The list of evictable folios has its own spin lock.
 *
 * Simple for now: one system-wide clock list; write-back only by sync and when
 * the owner asks.
 */
#include "page_cache_internal.h"

#include <nos/assert.h>
#include <nos/counter.h>
#include <nos/errno.h>
#include <nos/iobuf.h>
#include <nos/log.h>
#include <nos/read_ahead.h>
#include <nos/string.h>
#include <nos/thread.h>
#include <nos/timer.h>

DEFINE_COUNTER(read_misses, "page_cache.read_misses");
DEFINE_COUNTER(pages_read, "page_cache.pages_read");
DEFINE_COUNTER(pages_written, "page_cache.pages_written");

void page_cache_init(struct page_cache *c, const struct page_cache_ops *ops, void *owner, u64 *size)
{
	memset(c, 0, sizeof(*c));
	page_cache_init_zeroed(c, ops, owner, size);
}

void page_cache_init_zeroed(struct page_cache *c, const struct page_cache_ops *ops, void *owner,
			    u64 *size)
{
	c->ops = ops;
	c->owner = owner;
	c->size = size;
	spin_init(&c->lock, RANK_PAGE_CACHE);
	mutex_init(&c->mappings_lock, RANK_PAGE_CACHE_MAPPINGS);
	list_init(&c->mappings);
}

/* ---- look up ---- */

struct folio *page_cache_find(struct page_cache *c, u64 index)
{
	struct folio *f;

	rcu_read_lock();
	for (;;) {
		f = radix_find(&c->tree, index);
		if (!f || page_cache_try_get(c, index, f))
			break;
	}
	rcu_read_unlock();
	return f;
}

/* opt.folio_hint: a transfer looks where the file's last one was before it walks the tree. */
static bool folio_hint_enabled __ro_after_init;

void page_cache_hint_init(void)
{
	folio_hint_enabled = boot_opt_enabled("folio_hint");
}

/*
 * The folio of page `index`, up to date and lately used, if the hint is that one: referenced, or NULL.
 * A hint may name a frame that has long become something else: it counts if, with a reference held, the
 * folio belongs to this cache at this index, which is what a lookup under RCU asks too.
 */
static inline struct folio *hint_get(struct page_cache *c, u64 index, struct folio **hint)
{
	const u32 ready = FOLIO_UPTODATE | FOLIO_REFERENCED;
	struct folio *f = READ_ONCE(*hint);

	if (!f || READ_ONCE(f->cache) != c || !ref_get_unless_zero(&f->refs))
		return NULL;
	if (likely(atomic_load(&f->cache) == c && index - READ_ONCE(f->index) < folio_nr_pages(f) &&
		   (READ_ONCE(f->flags) & ready) == ready))
		return f;
	folio_put(f);
	return NULL;
}

static inline void hint_set(struct folio **hint, struct folio *f)
{
	if (folio_hint_enabled && READ_ONCE(*hint) != f)
		WRITE_ONCE(*hint, f);
}

/* ---- insert and remove ---- */

/* Takes [index, index + nr) of the tree for f; on error nothing is left. */
static int tree_insert_locked(struct page_cache *c, struct folio *f, u64 index)
	__must_hold(&c->lock)
{
	u64 nr = folio_nr_pages(f), run = min(nr, (u64)RADIX_SLOTS);

	for (u64 i = 0; i < nr; i += run) {
		int err = radix_insert_run(&c->tree, index + i, (unsigned)run, f);

		if (err) {
			while (i-- > 0)
				radix_remove(&c->tree, index + i);
			return err;
		}
	}
	c->nr_pages += nr;
	return 0;
}

static void tree_remove_locked(struct page_cache *c, struct folio *f) __must_hold(&c->lock)
{
	u64 nr = folio_nr_pages(f);

	for (u64 i = 0; i < nr; i++)
		radix_remove(&c->tree, f->index + i);
	c->nr_pages -= nr;
}

/* Adds a new locked folio: 0, -EEXIST, -ENOMEM.  The tree gets its own reference. */
static int cache_add(struct page_cache *c, struct folio *f, u64 index)
{
	int err;

	folio_get(f);
	folio_join_cache(f, c, index);
	spin_lock(&c->lock);
	err = tree_insert_locked(c, f, index);
	spin_unlock(&c->lock);
	if (err) {
		f->cache = NULL;
		folio_put(f);
		return err;
	}
	folio_lru_add(f, page_cache_is_memory(c));
	return 0;
}

/* Takes a locked folio out; its holders keep their references. */
static void cache_remove(struct page_cache *c, struct folio *f)
{
	folio_lru_remove(f, page_cache_is_memory(c));
	read_ahead_note_drop(f);
	if (folio_has_flag(f, FOLIO_DIRTY)) {
		folio_clear_flag(f, FOLIO_DIRTY);
		page_cache_count_dirty(-(s64)folio_nr_pages(f));
	}
	spin_lock(&c->lock);
	if (unlikely(folio_has_flag(f, FOLIO_BLOCK)))
		huge_file_break_locked(c, f);
	tree_remove_locked(c, f);
	WRITE_ONCE(f->cache, NULL);
	spin_unlock(&c->lock);
	folio_put(f);
}

bool page_cache_evict(struct page_cache *c, struct folio *f)
{
	if (folio_has_flag(f, FOLIO_DIRTY | FOLIO_WRITEBACK))
		return false;
	spin_lock(&c->lock);
	/* the tree's reference and the caller's: freeze both */
	if (!atomic_cas(&f->refs.count, 2, 0)) {
		spin_unlock(&c->lock);
		return false;
	}
	if (folio_has_flag(f, FOLIO_DIRTY)) {
		atomic_store(&f->refs.count, 2);
		spin_unlock(&c->lock);
		return false;
	}
	tree_remove_locked(c, f);
	WRITE_ONCE(f->cache, NULL);
	spin_unlock(&c->lock);
	folio_lru_remove(f, false);
	read_ahead_note_drop(f);
	atomic_store(&f->refs.count, 1);
	return true;
}

/* Pages from the start of the file that *size covers. */
static u64 cache_size_pages(const struct page_cache *c)
{
	return div_round_up(READ_ONCE(*c->size), PAGE_SIZE);
}

/* The order of a folio around `index` that has use for its upper half in a file of `size` pages. */
static unsigned fitting_order(u64 index, unsigned order, u64 size)
{
	while (order && align_down(index, 1ull << order) + (1ull << (order - 1)) >= size)
		order--;
	return order;
}

/*
 * A new folio that covers `index`, of 2^order pages if the file, `size` pages
 * long, reaches into its upper half, and there is memory; locked.
 */
static struct folio *cache_add_new(struct page_cache *c, u64 index, unsigned order, u64 size,
				   bool zero)
{
	order = fitting_order(index, order, size);
	for (;; order = 0) {
		u32 flags = (zero ? ALLOC_ZERO : 0) | (order ? ALLOC_NORETRY : ALLOC_USER);
		struct folio *f = folio_alloc(order, FOLIO_FILE, flags | ALLOC_MOVABLE);
		int err = -ENOMEM;

		if (f) {
			f->flags = FOLIO_LOCKED | (zero ? FOLIO_UPTODATE : 0);
			err = cache_add(c, f, align_down(index, 1ull << order));
			if (!err)
				return f;
			f->flags = 0;
			folio_put(f);
		}
		if (order == 0)
			return err_ptr(err);
	}
}

struct folio *page_cache_add_locked(struct page_cache *c, u64 index)
{
	unsigned order = fitting_order(index, c->ops->folio_order, cache_size_pages(c));
	struct folio *f = folio_alloc(order, FOLIO_FILE, ALLOC_NORETRY | ALLOC_MOVABLE);
	int err;

	if (!f)
		return err_ptr(-ENOMEM);
	f->flags = FOLIO_LOCKED;
	err = cache_add(c, f, align_down(index, 1ull << order));
	if (err)
		f->flags = 0;
	folio_put(f);
	return err ? err_ptr(err) : f;
}

void page_cache_drop_locked(struct page_cache *c, struct folio *f)
{
	cache_remove(c, f);
	folio_unlock(f);
}

/* ---- reading ---- */

/* Has the owner fill a locked folio; 0 or −errno. */
static int folio_read_locked(struct page_cache *c, struct folio *f, struct file *file)
{
	int err = c->ops->read_folio(c, f, file);

	counter_inc(read_misses);
	if (err)
		return err;
	counter_add(pages_read, folio_nr_pages(f));
	folio_set_flag(f, FOLIO_UPTODATE);
	return 0;
}

void page_cache_read_done(struct folio *f, int err)
{
	if (!err) {
		counter_add(pages_read, folio_nr_pages(f));
		folio_set_flag(f, FOLIO_UPTODATE);
	}
	folio_unlock(f);
}

/* Makes a referenced folio up to date: 0, -EAGAIN (left the cache: look again), or −errno. */
static int folio_make_uptodate(struct page_cache *c, struct folio *f, struct file *file)
{
	int err = folio_lock_killable(f);

	if (err)
		return err;
	if (READ_ONCE(f->cache) != c)
		err = -EAGAIN;
	else if (!folio_has_flag(f, FOLIO_UPTODATE))
		err = folio_read_locked(c, f, file);
	folio_unlock(f);
	return err;
}

/* The folio of page `index`, up to date; ERR. */
static struct folio *cache_get(struct page_cache *c, u64 index, struct file *file)
{
	bool memory = page_cache_is_memory(c);

	for (;;) {
		struct folio *f = page_cache_find(c, index);
		int err = 0;

		if (!f) {
			if (memory && c->ops && c->ops->grow)
				err = c->ops->grow(c, 1, 0);
			if (err)
				return err_ptr(err);
			f = cache_add_new(c, index, memory ? 0 : c->ops->folio_order,
					  cache_size_pages(c), memory);
			if (is_err(f)) {
				if (ptr_err(f) == -EEXIST)
					continue;
				return f;
			}
			if (!memory)
				err = folio_read_locked(c, f, file);
			folio_unlock(f);
		} else if (!folio_has_flag(f, FOLIO_UPTODATE)) {
			err = folio_make_uptodate(c, f, file);
		}
		if (!err)
			return f;
		folio_put(f);
		if (err != -EAGAIN)
			return err_ptr(err);
	}
}

struct folio *page_cache_get(struct page_cache *c, u64 index, struct file *file)
{
	struct folio *f = page_cache_find(c, index);

	if (likely(f && (READ_ONCE(f->flags) & (FOLIO_UPTODATE | FOLIO_AHEAD)) == FOLIO_UPTODATE))
		return f;
	if (f)
		folio_put(f);
	read_ahead_request(c, file, index, 1);
	f = cache_get(c, index, file);
	if (!is_err(f) && folio_has_flag(f, FOLIO_AHEAD))
		read_ahead_note_use(f);
	return f;
}

/* A folio of 2^order pages if it is new and memory allows; `nr` pages are going to be written. */
static struct folio *get_for_write(struct page_cache *c, u64 index, u64 nr, unsigned order,
				   bool zero)
{
	for (;;) {
		struct folio *f = page_cache_find(c, index);

		if (f) {
			folio_lock(f);
			if (READ_ONCE(f->cache) == c)
				return f;
			folio_unlock(f);
			folio_put(f);
			continue;
		}
		if (huge_file_bring(c, index, nr, 0))
			continue;
		f = cache_add_new(c, index, order, U64_MAX, zero);
		if (!is_err(f))
			return f;
		if (ptr_err(f) != -EEXIST)
			return NULL;
	}
}

struct folio *page_cache_get_for_write(struct page_cache *c, u64 index, u64 nr, bool zero)
{
	return get_for_write(c, index, nr, 0, zero);
}

/* A page that is not ready: bytes moved, or −errno; *moved = 0 and 0 means look again. */
static __noinline ssize_t read_miss(struct page_cache *c, struct file *file, struct iobuf *to,
				    u64 at, size_t len)
{
	u64 index = at >> PAGE_SHIFT;

	if (page_cache_is_memory(c)) {
		struct folio *f = page_cache_find(c, index);

		if (f) { /* just appeared, or is being written for the first time */
			int err = folio_lock_killable(f);

			if (!err)
				folio_unlock(f);
			folio_put(f);
			return err;
		}
		size_t n = min(len, PAGE_SIZE - at % PAGE_SIZE);

		n = iobuf_put_zero(to, n);
		return n ? (ssize_t)n : -EFAULT;
	}
	if ((to->flags & IOBUF_NOWAIT))
		return -EAGAIN;
	struct folio *f = cache_get(c, index, file);

	if (is_err(f))
		return ptr_err(f);
	folio_put(f);
	return 0;
}

#define TOLD_PAGES 512u /* of a long request, at once */

/* Read-ahead hears of a request once, when it comes upon the first page that is its business. */
static __noinline u64 tell_read_ahead(struct page_cache *c, struct file *file, u64 at, u64 left)
{
	u64 index = at >> PAGE_SHIFT;
	u64 nr = min(div_round_up(at % PAGE_SIZE + left, PAGE_SIZE), (u64)TOLD_PAGES);

	read_ahead_request(c, file, index, nr);
	return (index + nr) << PAGE_SHIFT;
}

static __noinline ssize_t read_folios(struct page_cache *c, struct file *file, struct iobuf *to,
				      u64 *pos, u64 left, struct folio **hint)
{
	const u32 mask = FOLIO_UPTODATE | FOLIO_AHEAD;
	u64 at = *pos, told = 0;
	ssize_t err = 0;

	while (left) {
		struct folio *f = page_cache_find(c, at >> PAGE_SHIFT);

		if (unlikely(!f || (READ_ONCE(f->flags) & mask) != FOLIO_UPTODATE) && at >= told &&
		    !(to->flags & IOBUF_NOWAIT) && !page_cache_is_memory(c))
			told = tell_read_ahead(c, file, at, left);
		if (unlikely(!f || !folio_has_flag(f, FOLIO_UPTODATE))) {
			if (f)
				folio_put(f);
			err = read_miss(c, file, to, at, left);
			if (err < 0)
				break;
			at += (u64)err;
			left -= (u64)err;
			err = 0;
			continue;
		}
		u64 offset = at - (f->index << PAGE_SHIFT);
		size_t n = min(left, folio_size(f) - offset);
		size_t copied = iobuf_put(to, (char *)folio_address(f) + offset, n);

		if (!folio_has_flag(f, FOLIO_REFERENCED)) {
			folio_set_flag(f, FOLIO_REFERENCED);
			read_ahead_note_use(f);
		}
		hint_set(hint, f);
		folio_put(f);
		at += copied;
		left -= copied;
		if (unlikely(copied < n)) {
			err = -EFAULT;
			break;
		}
		if (unlikely(left && fatal_signal_is_pending())) {
			err = -ERESTARTSYS;
			break;
		}
	}
	u64 done = at - *pos;

	*pos = at;
	return done ? (ssize_t)done : err;
}

__hot ssize_t page_cache_read(struct page_cache *c, struct file *file, struct iobuf *to, u64 *pos,
			      struct folio **hint)
{
	u64 at = *pos, size = READ_ONCE(*c->size);
	u64 len = to->remaining, offset;
	struct folio *f;

	if (unlikely(at >= size || !len))
		return 0;
	len = min(len, size - at);
	f = hint_get(c, at >> PAGE_SHIFT, hint);
	if (unlikely(!f))
		return read_folios(c, file, to, pos, len, hint);
	offset = at - (f->index << PAGE_SHIFT);
	if (unlikely(len > folio_size(f) - offset)) {
		folio_put(f);
		return read_folios(c, file, to, pos, len, hint);
	}
	len = iobuf_put(to, (char *)folio_address(f) + offset, len);
	folio_put(f);
	*pos = at + len;
	return likely(len) ? (ssize_t)len : -EFAULT;
}

/* ---- writing ---- */

void page_cache_mark_dirty(struct folio *f)
{
	struct page_cache *c = f->cache;

	folio_set_flag(f, FOLIO_REFERENCED);
	if (!c || page_cache_is_memory(c) || folio_has_flag(f, FOLIO_DIRTY))
		return;
	if (atomic_fetch_or(&f->flags, FOLIO_DIRTY) & FOLIO_DIRTY)
		return;
	page_cache_count_dirty((s64)folio_nr_pages(f));
	scoped_spin(&c->lock);
	radix_mark(&c->tree, f->index, 0);
}

#define WRITE_ORDER 4u /* a new folio of a file in memory, for a write of that size */

/*
 * The locked folio that a write at `at` goes to, and in *len how much of it, of `left` in all.
 * Up to date, unless all of it is overwritten.
 */
static struct folio *write_folio_get(struct page_cache *c, struct file *file, u64 at, u64 left,
				     size_t *len)
{
	u64 index = at >> PAGE_SHIFT, nr = ((at + left - 1) >> PAGE_SHIFT) + 1 - index;
	bool memory = page_cache_is_memory(c);
	bool old_data = !memory && (at & PAGE_MASK) < READ_ONCE(*c->size);
	bool large = memory && *len >= PAGE_SIZE << WRITE_ORDER &&
		     is_aligned(at, PAGE_SIZE << WRITE_ORDER);
	bool whole = large || (*len >= PAGE_SIZE && is_aligned(at, PAGE_SIZE));
	struct folio *f = get_for_write(c, index, nr, large ? WRITE_ORDER : 0, !old_data && !whole);

	if (!f)
		return err_ptr(-ENOMEM);
	*len = min(*len, ((f->index << PAGE_SHIFT) + folio_size(f)) - at);
	if (folio_has_flag(f, FOLIO_UPTODATE) || *len == folio_size(f))
		return f;
	int err = 0;

	if (old_data)
		err = folio_read_locked(c, f, file);
	else /* a first write of the whole fell short before */
		memset(folio_address(f), 0, folio_size(f));
	if (!err) {
		folio_set_flag(f, FOLIO_UPTODATE);
		return f;
	}
	folio_unlock(f);
	folio_put(f);
	return err_ptr(err);
}

/* Copies into one folio; bytes, 0 = the source has to be touched again, or −errno. */
static ssize_t write_part(struct page_cache *c, struct file *file, struct iobuf *from, u64 at,
			  size_t len, struct folio **hint)
{
	struct folio *f = write_folio_get(c, file, at, from->remaining, &len);

	if (is_err(f))
		return ptr_err(f);
	u64 offset = at - (f->index << PAGE_SHIFT);

	iobuf_atomic_begin();
	size_t n = iobuf_get(from, (char *)folio_address(f) + offset, len);

	iobuf_atomic_end();
	if (!folio_has_flag(f, FOLIO_UPTODATE)) {
		if (n == len) {
			folio_set_flag(f, FOLIO_UPTODATE);
		} else if (page_cache_is_memory(c)) { /* the rest was a hole */
			memset((char *)folio_address(f) + n, 0, folio_size(f) - n);
			folio_set_flag(f, FOLIO_UPTODATE);
		} else { /* the rest of the folio is not known: as if nothing was copied */
			iobuf_revert(from, n);
			n = 0;
		}
	}
	if (n) {
		page_cache_mark_dirty(f);
		counter_inc(pages_written);
		if (at + n > READ_ONCE(*c->size))
			WRITE_ONCE(*c->size, at + n);
	}
	hint_set(hint, f);
	folio_unlock(f);
	folio_put(f);
	return (ssize_t)n;
}

static __noinline ssize_t write_folios(struct page_cache *c, struct file *file, struct iobuf *from,
				       u64 *pos, struct folio **hint)
{
	u64 at = *pos;
	size_t limit = SIZE_MAX;
	ssize_t err = 0;

	while (from->remaining) {
		size_t unit = is_aligned(at, PAGE_SIZE) ? PAGE_SIZE << WRITE_ORDER : PAGE_SIZE;
		size_t len = min(min(from->remaining, unit - at % unit), limit);

		err = write_part(c, file, from, at, len, hint);
		if (err < 0)
			break;
		limit = SIZE_MAX;
		if (unlikely(err == 0)) { /* not more than what is there */
			limit = iobuf_fault_in(from, len, false);
			if (limit == 0) {
				err = -EFAULT;
				break;
			}
		}
		at += (u64)err;
		if (unlikely(from->remaining && fatal_signal_is_pending())) {
			err = -ERESTARTSYS;
			break;
		}
	}
	u64 done = at - *pos;

	*pos = at;
	return done ? (ssize_t)done : err < 0 ? err : 0;
}

/*
 * What goes whole into the hinted folio, which no one else is writing.  Bytes; 0, with nothing copied or
 * a source that has to be touched first, leaves the rest to write_folios.
 */
static inline size_t write_hinted(struct page_cache *c, struct iobuf *from, u64 at,
				  struct folio **hint)
{
	struct folio *f = hint_get(c, at >> PAGE_SHIFT, hint);
	size_t len = from->remaining, n = 0;

	if (!f)
		return 0;
	if (likely(folio_try_lock(f))) {
		u64 offset = at - (f->index << PAGE_SHIFT);

		if (likely(READ_ONCE(f->cache) == c && len <= folio_size(f) - offset)) {
			iobuf_atomic_begin();
			n = iobuf_get(from, (char *)folio_address(f) + offset, len);
			iobuf_atomic_end();
			if (!page_cache_is_memory(c) && n)
				page_cache_mark_dirty(f);
			counter_inc(pages_written);
			if (unlikely(at + n > READ_ONCE(*c->size)) && n)
				WRITE_ONCE(*c->size, at + n);
		}
		folio_unlock(f);
	}
	folio_put(f);
	return n;
}

__hot ssize_t page_cache_write(struct page_cache *c, struct file *file, struct iobuf *from,
			       u64 *pos, struct folio **hint)
{
	size_t n;
	ssize_t rest;

	ASSERT(from->remaining);
	if (c->ops && c->ops->write_begin) {
		int err = c->ops->write_begin(c, *pos, from->remaining);

		if (err)
			return err;
	}
	n = write_hinted(c, from, *pos, hint);
	*pos += n;
	if (likely(!from->remaining))
		return (ssize_t)n;
	rest = write_folios(c, file, from, pos, hint);
	return rest < 0 ? (ssize_t)n ?: rest : (ssize_t)n + rest;
}

/* ---- truncation ---- */

/* Zeroes bytes [start, end) of what is cached of one folio. */
static void folio_zero_range(struct page_cache *c, struct folio *f, u64 start, u64 end)
{
	u64 first = f->index << PAGE_SHIFT, last = first + folio_size(f);

	start = max(start, first);
	end = min(end, last);
	if (start >= end || READ_ONCE(f->cache) != c || !folio_has_flag(f, FOLIO_UPTODATE))
		return;
	memset((char *)folio_address(f) + (start - first), 0, end - start);
	page_cache_mark_dirty(f);
}

/* One folio that overlaps [start, end) bytes: gone if wholly inside, else zeroed there. */
static void truncate_folio(struct page_cache *c, struct folio *f, u64 start, u64 end)
{
	folio_lock(f);
	folio_wait_writeback(f);
	if (f->cache == c) {
		u64 first = f->index << PAGE_SHIFT;

		if (first >= start && first + folio_size(f) <= end)
			cache_remove(c, f);
		else
			folio_zero_range(c, f, start, end);
	}
	folio_unlock(f);
}

void page_cache_truncate(struct page_cache *c, u64 start, u64 end)
{
	u64 index = start >> PAGE_SHIFT;
	u64 last = end == U64_MAX ? U64_MAX : div_round_up(end, PAGE_SIZE);

	if (start >= end)
		return;
	atomic_add(&c->invalidate_sequence, 1);
	page_cache_unmap(c, div_round_up(start, PAGE_SIZE),
			 end == U64_MAX ? U64_MAX : end >> PAGE_SHIFT, end == U64_MAX);
	for (;;) {
		rcu_read_lock();
		u64 at = index;
		struct folio *f = radix_find_next(&c->tree, &at);
		bool got = f && at < last && page_cache_try_get(c, at, f);

		rcu_read_unlock();
		if (!f || at >= last)
			break;
		if (!got)
			continue;
		index = f->index + folio_nr_pages(f);
		truncate_folio(c, f, start, end);
		folio_put(f);
	}
	atomic_add(&c->invalidate_sequence, 1);
}

bool page_cache_wait_truncated(struct page_cache *c)
{
	while (atomic_load(&c->invalidate_sequence) & 1) {
		thread_set_state(THREAD_KILLABLE);
		if (fatal_signal_is_pending()) {
			thread_set_state(THREAD_RUNNABLE);
			return false;
		}
		thread_block_until(clock_monotonic_ns() + 50 * NSEC_PER_USEC);
	}
	return true;
}

void page_cache_fini(struct page_cache *c)
{
	ASSERT(list_is_empty(&c->mappings));
	start_forget(c);
	if (c->nr_pages)
		page_cache_truncate(c, 0, U64_MAX);
	ASSERT(c->nr_pages == 0);
}

u64 page_cache_next_data(struct page_cache *c, u64 pos)
{
	u64 index = pos >> PAGE_SHIFT;

	scoped_rcu();
	if (!radix_find_next(&c->tree, &index))
		return U64_MAX;
	return max(pos, index << PAGE_SHIFT);
}

u64 page_cache_next_hole(struct page_cache *c, u64 pos)
{
	u64 index = pos >> PAGE_SHIFT;

	scoped_rcu();
	while (radix_find(&c->tree, index))
		index++;
	return max(pos, index << PAGE_SHIFT);
}

/* ---- write-back ---- */

/* Writes one folio if it is dirty; the caller has a reference. */
static int folio_write_back(struct page_cache *c, struct folio *f)
{
	int err = 0;

	folio_lock(f);
	folio_wait_writeback(f);
	if (f->cache == c && folio_has_flag(f, FOLIO_DIRTY)) {
		/* Clean first: a store that comes during the write makes it dirty again. */
		folio_clear_flag(f, FOLIO_DIRTY);
		page_cache_count_dirty(-(s64)folio_nr_pages(f));
		spin_lock(&c->lock);
		radix_unmark(&c->tree, f->index, 0);
		spin_unlock(&c->lock);
		page_cache_write_protect(c, f->index, f->index + folio_nr_pages(f));
		err = c->ops->write_folio(c, f);
		if (err)
			c->error = err;
	}
	folio_unlock(f);
	return err;
}

int page_cache_sync(struct page_cache *c, u64 start, u64 end)
{
	u64 index = start >> PAGE_SHIFT;

	while (c->ops && c->ops->write_folio) {
		rcu_read_lock();
		struct folio *f = radix_find_marked(&c->tree, &index, 0);
		bool is_inside = f && index << PAGE_SHIFT < end;
		bool got = is_inside && page_cache_try_get(c, index, f);

		rcu_read_unlock();
		if (!is_inside)
			break;
		if (!got)
			continue;
		(void)folio_write_back(c, f);
		index = f->index + folio_nr_pages(f);
		folio_put(f);
	}
	return atomic_xchg(&c->error, 0);
}

u64 page_cache_invalidate(struct page_cache *c, u64 start, u64 end)
{
	u64 index = start >> PAGE_SHIFT, dropped = 0;

	while (!page_cache_is_memory(c)) {
		rcu_read_lock();
		struct folio *f = radix_find_next(&c->tree, &index);
		bool is_inside = f && index << PAGE_SHIFT < end;
		bool got = is_inside && page_cache_try_get(c, index, f);

		rcu_read_unlock();
		if (!is_inside)
			break;
		if (!got)
			continue;
		index = f->index + folio_nr_pages(f);
		if (folio_try_lock(f)) {
			u64 nr = folio_nr_pages(f);

			if (f->cache == c && f->map_count == 0 && page_cache_evict(c, f))
				dropped += nr;
			folio_unlock(f);
		}
		folio_put(f);
	}
	return dropped;
}
