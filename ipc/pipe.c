/*
 * Pipes: a byte stream between processes through a ring of extents.
 *
 * Concepts.  A pipe is a ring of slots; a slot holds an extent: a range of
 * bytes of a folio, with one reference.  A write copies into pages of the
 * pipe's own and may append to the newest one (PIPE_SLOT_MERGE); splice puts
 * in folios of others by reference, which are never written.  Each open end is
 * a file (pipe_file.c); a FIFO is a pipe found through its inode.
 *
 * Capacity is counted in slots, as Linux does: 65,536 bytes is 16 slots, and a
 * writer of scattered small extents fills a pipe with fewer bytes.
 *
 * Invariants.
 *   (1) tail <= head <= tail + nr_slots; slots [tail, head) hold len > 0 bytes
 *       and one reference on their folio; the others hold nothing.
 *   (2) bytes at or after offset + len of a MERGE slot's folio belong to the
 *       pipe alone, though earlier bytes may be shared with a tee'd pipe.
 *   (3) a sleeper on `readable` saw the ring empty and writers > 0, a sleeper
 *       on `writable` saw it full and readers > 0, both under the lock.
 *   (4) a write of at most PIPE_BUF bytes lies in one slot: it is atomic.
 *
 * Locking.  One mutex (rank PIPE) guards everything but nr_files.  User memory
 * may fault while it is held.  Two pipes are locked by address (tee).  Wakers
 * run after the unlock and look at the queue without its lock: nobody waits in
 * the usual case, and the unlock is the barrier that makes the look safe.
 *
 * Wake-ups.  Sleepers are exclusive.  Every write wakes one reader and all
 * pollers (an edge-triggered epoll wants each arrival); a read wakes one writer
 * when the ring stops being full.  Who slept and leaves with data or room still
 * there passes the wake-up on, so that one taken by a thread that a signal interrupts
 * is not lost.  Wake-ups are of the synchronous kind: the waker will block
 * soon, and the woken one takes over its CPU (direct hand-off).
 *
 * Simple for now.  Data is copied twice, user to page and page to user.  The
 * direct copy into a sleeping reader's buffer fits behind pipe_write: a reader
 * that sleeps leaves its iobuf and address space in the pipe under the lock,
 * and a writer that finds the ring empty fills it.
 *
 * References: pipe(7), pipe(2), fcntl(2) F_SETPIPE_SZ, splice(2), fifo(7).
 */
#include "pipe_internal.h"

#include <nos/assert.h>
#include <nos/errno.h>
#include <nos/init.h>
#include <nos/slab.h>
#include <nos/string.h>
#include <linux/eventpoll.h>
#include <linux/signal.h>

static struct slab_cache *pipe_slab;

static void pipe_construct(void *object) __no_lock_check
{
	struct pipe *p = object;

	memset(p, 0, sizeof(*p));
	mutex_init(&p->lock, RANK_PIPE);
	wait_queue_init(&p->readable);
	wait_queue_init(&p->writable);
	p->nr_slots = PIPE_DEFAULT_SLOTS;
	p->slots = p->first_slots;
}

static int pipe_init(void)
{
	static const struct slab_cache_info info = {
		.name = "pipe",
		.size = sizeof(struct pipe),
		.account = true,
		.construct = pipe_construct,
	};

	pipe_slab = slab_cache_create(&info);
	return pipe_slab ? 0 : -ENOMEM;
}
INIT_STEP(INIT_SUBSYSTEM, pipe_init);

__no_lock_check struct pipe *pipe_create(void)
{
	struct pipe *p = slab_alloc(pipe_slab, ALLOC_USER);

	if (!p)
		return NULL;
	ASSERT(p->head == p->tail && p->slots == p->first_slots);
	p->readers_ever = 0;
	p->writers_ever = 0;
	p->is_anonymous = false;
	return p;
}

/* Nobody else can reach p; it goes back to the cache as constructed. */
__no_lock_check void pipe_destroy(struct pipe *p)
{
	ASSERT(p->readers == 0 && p->writers == 0);
	while (p->tail != p->head) {
		folio_put(pipe_slot_at(p, p->tail)->extent.folio);
		p->tail++;
	}
	if (p->spare)
		folio_put(keep(p->spare));
	if (p->slots != p->first_slots)
		kfree(p->slots);
	p->slots = p->first_slots;
	p->nr_slots = PIPE_DEFAULT_SLOTS;
	p->head = 0;
	p->tail = 0;
	slab_free(pipe_slab, p);
}

void pipe_wake_readers(struct pipe *p)
{
	pipe_wake(&p->readable, EPOLLIN | EPOLLRDNORM);
}

void pipe_wake_writers(struct pipe *p)
{
	pipe_wake(&p->writable, EPOLLOUT | EPOLLWRNORM);
}

void pipe_drop_slot_locked(struct pipe *p) __must_hold(&p->lock)
{
	struct folio *f = pipe_slot_at(p, p->tail)->extent.folio;

	ASSERT(mutex_is_held(&p->lock) && p->tail != p->head);
	if (!p->spare && f->kind == FOLIO_PIPE && f->order == 0 && ref_read(&f->refs) == 1)
		p->spare = f;
	else
		folio_put(f);
	WRITE_ONCE(p->tail, p->tail + 1);
}

/* The ring is empty: as below. */
static inline int pipe_wait_not_empty_locked(struct pipe *p, bool nonblocking) __must_hold(&p->lock)
{
	do {
		if (p->writers == 0)
			return 0;
		if (nonblocking)
			return -EAGAIN;
		int err = wait_on(&p->readable, &p->lock);
		if (err)
			return err;
	} while (pipe_is_empty(p));
	return 1;
}

int pipe_wait_readable_locked(struct pipe *p, bool nonblocking) __must_hold(&p->lock)
{
	return pipe_is_empty(p) ? pipe_wait_not_empty_locked(p, nonblocking) : 1;
}

int pipe_wait_writable_locked(struct pipe *p, bool nonblocking) __must_hold(&p->lock)
{
	for (;;) {
		if (p->readers == 0)
			return -EPIPE;
		if (!pipe_is_full(p))
			return 0;
		if (nonblocking)
			return -EAGAIN;
		int err = wait_on(&p->writable, &p->lock);
		if (err)
			return err;
	}
}

/*
 * Copies what is there, up to what is wanted: bytes, or -EFAULT if the first
 * byte could not be copied.  *made_room: a full ring got a free slot.
 */
static ssize_t pipe_take_locked(struct pipe *p, struct iobuf *to, bool *made_room)
	__must_hold(&p->lock)
{
	ssize_t total = 0;

	while (p->tail != p->head && to->remaining) {
		struct pipe_slot *s = pipe_slot_at(p, p->tail);
		u8 *data = (u8 *)folio_address(s->extent.folio) + s->extent.offset;
		u32 want = (u32)min((u64)s->extent.len, to->remaining);
		size_t done = iobuf_put(to, data, want);
		bool packet = (s->flags & PIPE_SLOT_PACKET) != 0;

		total += (ssize_t)done;
		s->extent.offset += (u32)done;
		s->extent.len -= (u32)done;
		if (unlikely(done < want))
			return total ? total : -EFAULT;
		if (s->extent.len == 0 || packet) {
			*made_room |= pipe_is_full(p);
			pipe_drop_slot_locked(p);
		}
		if (packet)
			break;
	}
	return total;
}

/*
 * The usual read: one page of the pipe's own, wanted whole.  Bytes, or 0: the
 * other path has to see to it.
 */
static __always_inline size_t pipe_take_page_locked(struct pipe *p, struct iobuf *to)
	__must_hold(&p->lock)
{
	struct pipe_slot *s = pipe_slot_at(p, p->tail);
	struct folio *f = s->extent.folio;
	size_t done;

	if (p->head - p->tail != 1 || p->nr_slots == 1 || s->flags != PIPE_SLOT_MERGE || p->spare ||
	    s->extent.len > to->remaining || ref_read(&f->refs) != 1)
		return 0;
	done = iobuf_put(to, (u8 *)folio_address(f) + s->extent.offset, s->extent.len);
	if (unlikely(done < s->extent.len)) {
		s->extent.offset += (u32)done;
		s->extent.len -= (u32)done;
		return done;
	}
	p->spare = f;
	WRITE_ONCE(p->tail, p->tail + 1);
	return done;
}

/* Any other read of what is there; `slept`: a wake-up may have to be passed on.  The lock is held, and
 * released. */
static __noinline ssize_t pipe_read_any(struct pipe *p, struct iobuf *to, bool slept)
	__releases(&p->lock)
{
	bool made_room = false, pass_on;
	ssize_t n = pipe_take_locked(p, to, &made_room);

	pass_on = slept && !pipe_is_empty(p);
	mutex_unlock(&p->lock);

	if (made_room)
		pipe_wake_writers(p);
	if (pass_on)
		pipe_wake_readers(p);
	return n;
}

/* The lock is held, and released. */
static __noinline ssize_t pipe_read_empty(struct pipe *p, struct iobuf *to, bool nonblocking)
	__releases(&p->lock)
{
	ssize_t n = pipe_wait_not_empty_locked(p, nonblocking);
	bool pass_on;

	if (likely(n > 0)) {
		n = (ssize_t)pipe_take_page_locked(p, to);
		if (unlikely(n == 0))
			return pipe_read_any(p, to, true);
	}
	pass_on = !pipe_is_empty(p);
	mutex_unlock(&p->lock);
	if (unlikely(pass_on))
		pipe_wake_readers(p);
	return n;
}

/* read(2): what is there; blocks while there is nothing; 0 = end of file. */
ssize_t pipe_read(struct pipe *p, struct iobuf *to, bool nonblocking)
{
	size_t n;

	if (unlikely(to->remaining == 0))
		return 0;
	mutex_lock(&p->lock);
	if (pipe_is_empty(p))
		return pipe_read_empty(p, to, nonblocking);
	n = pipe_take_page_locked(p, to);
	if (unlikely(n == 0))
		return pipe_read_any(p, to, false);
	mutex_unlock(&p->lock);
	return (ssize_t)n;
}

/* Appends to the newest page if the pipe owns it and the write may be split or fits: bytes. */
static size_t pipe_merge_locked(struct pipe *p, struct iobuf *from) __must_hold(&p->lock)
{
	struct pipe_slot *s;
	u32 end, room;
	size_t done;

	if (p->head == p->tail)
		return 0;
	s = pipe_slot_at(p, p->head - 1);
	if (!(s->flags & PIPE_SLOT_MERGE))
		return 0;
	end = s->extent.offset + s->extent.len;
	room = (u32)PAGE_SIZE - end;
	if (from->remaining > room && from->remaining <= PIPE_ATOMIC_BYTES)
		return 0;
	done = iobuf_get(from, (u8 *)folio_address(s->extent.folio) + end,
			 min((u64)room, from->remaining));
	s->extent.len += (u32)done;
	return done;
}

/* Fills the next free slot with up to a page: bytes, -ENOMEM, -EFAULT. */
static ssize_t pipe_fill_locked(struct pipe *p, struct iobuf *from, bool packets)
	__must_hold(&p->lock)
{
	struct pipe_slot *s = pipe_slot_at(p, p->head);
	size_t done;

	if (!p->spare)
		p->spare = folio_alloc(0, FOLIO_PIPE, ALLOC_USER);
	if (!p->spare)
		return -ENOMEM;
	done = iobuf_get(from, folio_address(p->spare), min(PAGE_SIZE, from->remaining));
	if (unlikely(done == 0))
		return -EFAULT;
	s->extent = (struct pipe_extent){ keep(p->spare), 0, (u32)done };
	s->flags = packets ? PIPE_SLOT_PACKET : PIPE_SLOT_MERGE;
	WRITE_ONCE(p->head, p->head + 1);
	return (ssize_t)done;
}

/* The usual write: into an empty pipe, at most a page; as pipe_take_page_locked. */
static __always_inline size_t pipe_put_page_locked(struct pipe *p, struct iobuf *from)
	__must_hold(&p->lock)
{
	struct pipe_slot *s = pipe_slot_at(p, p->head);
	size_t done;

	if (p->head != p->tail || !p->readers || !p->spare || from->remaining > PAGE_SIZE)
		return 0;
	done = iobuf_get(from, folio_address(p->spare), from->remaining);
	if (unlikely(done == 0))
		return 0;
	s->extent.folio = keep(p->spare);
	s->extent.offset = 0;
	s->extent.len = (u32)done;
	s->flags = PIPE_SLOT_MERGE;
	WRITE_ONCE(p->head, p->head + 1);
	return done;
}

/* The lock is held, and released. */
static __noinline ssize_t pipe_write_slow(struct pipe *p, struct iobuf *from, bool nonblocking,
					  bool packets) __releases(&p->lock)
{
	ssize_t total = 0, n = 0;
	bool slept = false;

	if (!packets && p->readers)
		total = (ssize_t)pipe_merge_locked(p, from);
	while (from->remaining) {
		if (unlikely(p->readers == 0 || pipe_is_full(p))) {
			if (total)
				pipe_wake_readers(p);
			slept = true;
			n = pipe_wait_writable_locked(p, nonblocking);
			if (n)
				break;
		}
		n = pipe_fill_locked(p, from, packets);
		if (n < 0)
			break;
		total += n;
	}
	slept = slept && !pipe_is_full(p);
	mutex_unlock(&p->lock);

	if (total)
		pipe_wake_readers(p);
	if (slept)
		pipe_wake_writers(p);
	if (n == -EPIPE)
		process_signal_self(SIGPIPE);
	return total ? total : n;
}

/* write(2): all of it, unless nonblocking or interrupted; bytes or −errno (the -EPIPE has sent its
 * signal). */
ssize_t pipe_write(struct pipe *p, struct iobuf *from, bool nonblocking, bool packets)
{
	size_t n = 0;

	if (unlikely(from->remaining == 0))
		return 0;
	mutex_lock(&p->lock);
	if (likely(!packets))
		n = pipe_put_page_locked(p, from);
	if (unlikely(n == 0))
		return pipe_write_slow(p, from, nonblocking, packets);
	mutex_unlock(&p->lock);
	pipe_wake_readers(p);
	return (ssize_t)n;
}

__no_lock_check u64 pipe_get_size(struct pipe *p)
{
	return (u64)READ_ONCE(p->nr_slots) * PAGE_SIZE;
}
