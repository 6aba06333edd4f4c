/* Extents in and out of pipes by reference: the pipe's side of splice(2) and tee(2). */
#include "pipe_internal.h"

#include <nos/assert.h>
#include <nos/errno.h>
#include <linux/eventpoll.h>
#include <linux/fcntl.h>
#include <linux/signal.h>

#define SPLICE_NONBLOCK 2u /* SPLICE_F_NONBLOCK; libc's header has it, the kernel's do not */

int pipe_push_extent(struct pipe *p, const struct pipe_extent *e, bool nonblocking)
{
	int err;

	ASSERT(e->len > 0);
	mutex_lock(&p->lock);
	err = pipe_wait_writable_locked(p, nonblocking);
	if (!err) {
		*pipe_slot_at(p, p->head) = (struct pipe_slot){ .extent = *e };
		WRITE_ONCE(p->head, p->head + 1);
	}
	mutex_unlock(&p->lock);

	if (!err)
		pipe_wake_readers(p);
	else if (err == -EPIPE)
		process_signal_self(SIGPIPE);
	return err;
}

/* Takes up to len bytes of the oldest slot with a reference of their own. */
static ssize_t pipe_pull_locked(struct pipe *p, struct pipe_extent *e, size_t len)
	__must_hold(&p->lock)
{
	struct pipe_slot *s = pipe_slot_at(p, p->tail);

	*e = s->extent;
	if (len >= s->extent.len) {
		/* The slot's reference moves to the caller. */
		WRITE_ONCE(p->tail, p->tail + 1);
		return e->len;
	}
	folio_get(e->folio);
	e->len = (u32)len;
	s->extent.offset += (u32)len;
	s->extent.len -= (u32)len;
	return e->len;
}

ssize_t pipe_pull_extent(struct pipe *p, struct pipe_extent *e, size_t len, bool nonblocking)
{
	bool was_full = false, pass_on;
	ssize_t n;

	if (len == 0)
		return 0;
	mutex_lock(&p->lock);
	pass_on = pipe_is_empty(p);
	n = pipe_wait_readable_locked(p, nonblocking);
	if (n > 0) {
		was_full = pipe_is_full(p);
		n = pipe_pull_locked(p, e, len);
		was_full = was_full && !pipe_is_full(p);
	}
	pass_on = pass_on && !pipe_is_empty(p);
	mutex_unlock(&p->lock);

	if (was_full)
		pipe_wake_writers(p);
	if (pass_on)
		pipe_wake_readers(p);
	return n;
}

void pipe_return_extent(struct pipe *p, const struct pipe_extent *e)
{
	bool kept = true; /* needs a slot of its own */

	if (!e->len) {
		folio_put(e->folio);
		return;
	}
	mutex_lock(&p->lock);
	if (!pipe_is_empty(p)) {
		struct pipe_slot *s = pipe_slot_at(p, p->tail);

		if (s->extent.folio == e->folio && s->extent.offset == e->offset + e->len) {
			/* Only a part of the slot was pulled: it grows back. */
			s->extent.offset = e->offset;
			s->extent.len += e->len;
			kept = false;
		}
	}
	/* Writers may have filled the ring meanwhile; it grows rather than lose bytes. */
	if (kept && pipe_is_full(p) && pipe_resize_locked(p, p->nr_slots * 2))
		kept = false;
	else if (kept) {
		WRITE_ONCE(p->tail, p->tail - 1);
		*pipe_slot_at(p, p->tail) = (struct pipe_slot){ .extent = *e };
	}
	mutex_unlock(&p->lock);
	if (!kept)
		folio_put(e->folio);
	pipe_wake_readers(p);
}

/* Both locks, by address. */
static void pipe_lock_two(struct pipe *a, struct pipe *b) __acquires(&a->lock)
	__acquires(&b->lock) __no_lock_check
{
	mutex_lock(a < b ? &a->lock : &b->lock);
	mutex_lock(a < b ? &b->lock : &a->lock);
}

static void pipe_unlock_two(struct pipe *a, struct pipe *b) __releases(&a->lock)
	__releases(&b->lock) __no_lock_check
{
	mutex_unlock(&a->lock);
	mutex_unlock(&b->lock);
}

/* Waits until `from` has data and `to` has room: 1, 0 = end of file, −errno. */
static int pipe_wait_two(struct pipe *from, struct pipe *to, bool nonblocking)
{
	int err;

	mutex_lock(&from->lock);
	err = pipe_wait_readable_locked(from, nonblocking);
	mutex_unlock(&from->lock);
	if (err <= 0)
		return err;
	mutex_lock(&to->lock);
	err = pipe_wait_writable_locked(to, nonblocking);
	mutex_unlock(&to->lock);
	return err ? err : 1;
}

/*
 * Copies or moves extents of `from`, from its oldest byte on, while `to` has
 * room.  Both locks are held.
 */
static ssize_t pipe_link_locked(struct pipe *from, struct pipe *to, size_t len, bool move)
	__must_hold(&from->lock) __must_hold(&to->lock)
{
	ssize_t total = 0;
	u32 n = from->tail;

	while (n != from->head && len && !pipe_is_full(to)) {
		struct pipe_slot *s = pipe_slot_at(from, n);
		struct pipe_slot made = { .extent = s->extent,
					  .flags = s->flags & PIPE_SLOT_PACKET };

		if (move) {
			if (len >= s->extent.len)
				made.flags = s->flags;
			pipe_pull_locked(from, &made.extent, len);
			n = from->tail;
		} else {
			made.extent.len = (u32)min((size_t)s->extent.len, len);
			folio_get(made.extent.folio);
			n++;
		}
		*pipe_slot_at(to, to->head) = made;
		WRITE_ONCE(to->head, to->head + 1);
		total += made.extent.len;
		len -= made.extent.len;
	}
	return total;
}

static ssize_t pipe_transfer(struct pipe *from, struct pipe *to, size_t len, bool nonblocking,
			     bool move)
{
	bool was_full;
	ssize_t n;

	if (from == to)
		return -EINVAL;
	if (len == 0)
		return 0;
	do {
		n = pipe_wait_two(from, to, nonblocking);
		if (n <= 0)
			break;
		pipe_lock_two(from, to);
		was_full = pipe_is_full(from);
		n = to->readers ? pipe_link_locked(from, to, len, move) : -EPIPE;
		was_full = was_full && !pipe_is_full(from);
		pipe_unlock_two(from, to);
		if (was_full)
			pipe_wake_writers(from);
		if (n > 0)
			pipe_wake_readers(to);
	} while (n == 0); /* someone else was faster */
	if (n == -EPIPE)
		process_signal_self(SIGPIPE);
	return n;
}

ssize_t pipe_tee(struct pipe *from, struct pipe *to, size_t len, u32 flags)
{
	return pipe_transfer(from, to, len, (flags & SPLICE_NONBLOCK) != 0, false);
}

/* splice(2) from a pipe to a pipe: whole extents move, nothing is copied. */
ssize_t pipe_splice_read(struct file *f, u64 *pos, struct pipe *to, size_t len, u32 flags)
{
	bool nonblocking = (flags & SPLICE_NONBLOCK) || (f->flags & O_NONBLOCK);

	return pipe_transfer(f->private, to, len, nonblocking, true);
}
