/*
 * Read-ahead: what of a file is read before it is asked for.
 *
 * Concepts.  A file is read in units, the folios of its cache's folio_order.  An
 * open file remembers how it is read (struct read_ahead): the last request, the
 * stride from one request to the next, and how many requests in a row kept to
 * it.  A request that misses starts the reads of all its own units at once, then
 * those of the units that a policy expects next, and waits for the first only.
 *
 * Pattern.  The stride is found by majority vote (Boyer and Moore; Leap, ATC'20):
 * a request that keeps to it is a vote for, another one a vote against, and the
 * last one takes its place when no votes are left.  Stride 1 is believed at once,
 * others (−1 is backward) from the second time on.  The window starts at two
 * units, doubles when what was read ahead is reached, and halves when a request
 * goes elsewhere, so that random access reads nothing ahead.
 *
 * When it is looked at.  Only by requests that miss, and by the first use of a
 * folio that was read ahead (FOLIO_AHEAD): a file that is in memory never comes
 * here.  Half a window before its end the next one is started, so that a
 * sequential reader waits for nothing.  Faults do not start reads under the
 * locks that they hold: they come here when they miss.
 *
 * Invariants.
 *   (1) a folio whose read was started is locked and in the tree until
 *       page_cache_read_done; nobody takes a locked folio out of the tree, so the
 *       tree's reference keeps its memory until it is unlocked.  What unlocking
 *       looks at behind that are flags of a frame's record, which is for ever: at worst
 *       it wakes the waiters of a new owner, who look again;
 *   (2) struct read_ahead is a hint: readers that race may garble it, so a copy is
 *       decided upon, and what follows is checked against the size of the file.
 *
 * Policies are chosen at boot (read_ahead=NAME): adaptive, linear.  Boot switch:
 * opt.read_ahead.  Counters: read_ahead.*.
 */
#include "page_cache_internal.h"

#include <nos/counter.h>
#include <nos/errno.h>
#include <nos/log.h>
#include <nos/read_ahead.h>
#include <nos/string.h>
#include <nos/thread.h>

#define WINDOW_FIRST 2u /* units */
#define WINDOW_LAST_PAGES 512u /* 2 MiB */
#define STREAK_MAX 15u
#define STRIDE_MAX 4096 /* units */

DEFINE_COUNTER(ahead_pages, "read_ahead.pages");
DEFINE_COUNTER(ahead_used, "read_ahead.pages_used");
DEFINE_COUNTER(ahead_unused, "read_ahead.pages_unused");
DEFINE_COUNTER(own_pages, "read_ahead.pages_asked_for");

/* ---- policies ---- */

static u32 window_last(unsigned order)
{
	return min(WINDOW_LAST_PAGES >> order, 255u);
}

/* Where the last request ended, or right behind it. */
static bool follows_last(const struct read_ahead *r, s64 first)
{
	return first == (s64)r->last || first == (s64)r->last + 1;
}

/* Is this request where the pattern says?  What was read ahead of a fault is used unseen. */
static bool is_expected(const struct read_ahead *r, s64 first)
{
	if (r->stride == 1 && follows_last(r, first))
		return true;
	return first == (s64)r->first + r->stride ||
	       (r->window && first == (s64)r->reach + r->stride);
}

/* Counts the request for or against the stride; true: the stride can be relied on. */
static bool vote(struct read_ahead *r, s64 first)
{
	s64 delta = first - r->first;
	bool follows = follows_last(r, first);

	if (r->stride && is_expected(r, first)) {
		r->streak = (u8)min(r->streak + 1u, STREAK_MAX);
		return r->streak >= (r->stride == 1 ? 1 : 2);
	}
	r->window /= 2;
	r->reach = (u32)first;
	if (!follows && r->streak > 1) {
		r->streak--;
		return false;
	}
	r->stride = follows ? 1 : delta >= -STRIDE_MAX && delta <= STRIDE_MAX ? (s16)delta : 0;
	r->streak = r->stride != 0;
	return r->stride == 1;
}

/*
 * The units to start beyond the request itself: first, first + stride …  A window that is still half full
 * is left alone.
 */
static struct read_plan plan_window(struct read_ahead *r, s64 last, u32 window_max)
{
	struct read_plan p = { 0 };
	s64 ahead = r->window ? ((s64)r->reach - last) / r->stride : 0;

	if (ahead < 0 || ahead > r->window)
		ahead = 0;
	if (r->window && ahead > r->window / 2)
		return p;
	r->window = (u8)(r->window ? min(2u * r->window, window_max) : WINDOW_FIRST);
	p.stride = r->stride;
	p.first = last + r->stride * (ahead + 1);
	p.nr = r->window - (u32)ahead;
	/* the start of the file is where a backward reader ends */
	if (p.stride < 0)
		p.nr = p.first < 0 ? 0 : (u32)min((s64)p.nr, p.first / -p.stride + 1);
	if (p.nr)
		r->reach = (u32)(p.first + (s64)p.stride * (p.nr - 1));
	return p;
}

static struct read_plan plan_adaptive(struct read_ahead *r, u32 first, u32 last, u32 window_max)
{
	struct read_plan none = { 0 };

	if (r->advice == READ_RANDOM)
		return none;
	bool reliable = r->nr_seen && vote(r, first);

	r->first = first;
	r->last = last;
	r->nr_seen = 1;
	if (r->advice == READ_SEQUENTIAL) {
		reliable = true;
		r->stride = 1;
	}
	return reliable ? plan_window(r, r->stride == 1 ? last : first, window_max) : none;
}

/* The next few units, whatever came before: what the others are measured by. */
static struct read_plan plan_linear(struct read_ahead *r, u32 first, u32 last, u32 window_max)
{
	return (struct read_plan){ .first = (s64)last + 1, .stride = 1, .nr = min(4u, window_max) };
}

static const struct read_policy {
	const char *name;
	struct read_plan (*plan)(struct read_ahead *r, u32 first, u32 last, u32 window_max);
} policies[] = {
	{ "adaptive", plan_adaptive },
	{ "linear", plan_linear },
};

static const struct read_policy *policy __ro_after_init = &policies[0];
static bool is_enabled __ro_after_init = true;

void read_ahead_init(void)
{
	const char *name = boot_option("read_ahead");

	is_enabled = boot_opt_enabled("read_ahead");
	if (!name)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(policies); i++) {
		if (!strcmp(policies[i].name, name)) {
			policy = &policies[i];
			return;
		}
	}
	log_warning("read_ahead=%s: no such policy; it is %s", name, policy->name);
}

struct read_plan read_ahead_plan(struct read_ahead *r, u32 first, u32 last, unsigned order)
{
	return policy->plan(r, first, last, window_last(order));
}

/* ---- starting reads ---- */

/* Starts the read of the folio at `index` if it is not there; false: no further ones. */
static bool start_unit(struct page_cache *c, u64 index, struct file *file, bool is_ahead)
{
	struct folio *f = page_cache_find(c, index);

	if (f) {
		folio_put(f);
		return true;
	}
	f = page_cache_add_locked(c, index);
	if (is_err(f))
		return ptr_err(f) == -EEXIST;
	u64 nr = folio_nr_pages(f);

	if (is_ahead)
		folio_set_flag(f, FOLIO_AHEAD);
	folio_get(f); /* for this function: the read may end at any time */
	int err = c->ops->start_read(c, f, file);

	if (err)
		page_cache_drop_locked(c, f);
	else if (is_ahead)
		counter_add(ahead_pages, nr);
	else
		counter_add(own_pages, nr);
	folio_put(f);
	return !err;
}

static bool start_units(struct page_cache *c, const struct read_plan *p, struct file *file,
			bool is_ahead)
{
	unsigned order = c->ops->folio_order;
	s64 unit = p->first;

	for (u32 n = 0; n < p->nr; n++, unit += p->stride) {
		if (unit < 0 || (u64)unit << (order + PAGE_SHIFT) >= READ_ONCE(*c->size))
			return true;
		if (!start_unit(c, (u64)unit << order, file, is_ahead))
			return false;
	}
	return true;
}

static bool can_read_ahead(const struct page_cache *c)
{
	return is_enabled && c->ops && c->ops->start_read;
}

void read_ahead_request(struct page_cache *c, struct file *file, u64 index, u64 nr_pages)
{
	u64 size = div_round_up(READ_ONCE(*c->size), PAGE_SIZE);
	unsigned order;

	if (!can_read_ahead(c) || !file || index >= size)
		return;
	order = c->ops->folio_order;
	nr_pages = min(nr_pages, size - index);
	u64 first = index >> order, last = (index + nr_pages - 1) >> order;

	if (last > U32_MAX)
		return;
	struct read_plan own = { .first = (s64)first,
				 .stride = 1,
				 .nr = (u32)min(last - first + 1, (u64)window_last(order)) };
	/* Decided on a copy, for others may change the hint meanwhile. */
	struct read_ahead *shared = file_read_ahead(file), pattern = *shared;
	struct read_plan next = read_ahead_plan(&pattern, (u32)first, (u32)last, order);

	pattern.advice = shared->advice; /* that is no guess */
	*shared = pattern;

	/* A single unit is read by whoever waits for it, unless others are to follow it. */
	if ((own.nr > 1 || next.nr) && start_units(c, &own, file, false))
		start_units(c, &next, file, true);
}

void page_cache_will_need(struct page_cache *c, struct file *file, u64 index, u64 nr_pages)
{
	u64 end = index + nr_pages;

	if (page_cache_is_memory(c))
		return;
	while (index < end && index << PAGE_SHIFT < READ_ONCE(*c->size) &&
	       !fatal_signal_is_pending()) {
		u64 unit = 1ull << c->ops->folio_order;

		if (!can_read_ahead(c) || !start_unit(c, align_down(index, unit), file, false)) {
			struct folio *f = page_cache_get(c, index, NULL);

			if (is_err(f))
				return;
			folio_put(f);
		}
		index = align_down(index, unit) + unit;
	}
}

/* ---- use ---- */

void read_ahead_note_use(struct folio *f)
{
	if (atomic_fetch_and(&f->flags, ~FOLIO_AHEAD) & FOLIO_AHEAD)
		counter_add(ahead_used, folio_nr_pages(f));
}

void read_ahead_note_drop(struct folio *f)
{
	if (folio_has_flag(f, FOLIO_AHEAD))
		counter_add(ahead_unused, folio_nr_pages(f));
}
