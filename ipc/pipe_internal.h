/* The inside of a pipe, for pipe.c, pipe_file.c and pipe_splice.c. */
#pragma once

#include <nos/ipc.h>
#include <nos/lock.h>
#include <nos/wait.h>

#define PIPE_DEFAULT_SLOTS 16u
#define PIPE_ATOMIC_BYTES 4096u /* PIPE_BUF of <linux/limits.h> */

#define PIPE_SLOT_MERGE 1u /* the page is this pipe's own: a write may append to it */
#define PIPE_SLOT_PACKET 2u /* a read takes it alone and drops what it did not want */

struct pipe_slot {
	struct pipe_extent extent;
	u32 flags;
};

struct pipe {
	struct mutex lock;
	u32 readers __guarded_by(&lock); /* open files that read */
	u32 writers __guarded_by(&lock);
	u32 head __guarded_by(&lock); /* slots ever filled */
	u32 tail __guarded_by(&lock); /* slots ever emptied */
	u32 nr_slots __guarded_by(&lock); /* power of two */
	struct pipe_slot *slots __guarded_by(&lock);
	struct folio *spare __guarded_by(&lock); /* a page kept for the next write */
	struct wait_queue readable; /* not empty, or writers == 0, or a writer came */
	struct wait_queue writable; /* not full, or readers == 0, or a reader came */
	u32 readers_ever, writers_ever; /* opens so far: FIFO partners and POLLHUP */
	u32 nr_files; /* under the inode's spin lock */
	bool is_anonymous; /* pipe(2): opened again through /proc/PID/fd it waits for nobody */
	struct pipe_slot first_slots[PIPE_DEFAULT_SLOTS];
};

/* Without the lock: hints, which the locked paths ask again. */
static inline bool pipe_is_empty(const struct pipe *p) __no_lock_check
{
	return READ_ONCE(p->head) == READ_ONCE(p->tail);
}

static inline bool pipe_is_full(const struct pipe *p) __no_lock_check
{
	return READ_ONCE(p->head) - READ_ONCE(p->tail) >= READ_ONCE(p->nr_slots);
}

static inline struct pipe_slot *pipe_slot_at(struct pipe *p, u32 n) __must_hold(&p->lock)
{
	return &p->slots[n & (p->nr_slots - 1)];
}

/*
 * Wakes one sleeper and all pollers.  The caller has taken or released the
 * pipe's lock since it changed the state; both are full barriers, so a sleeper
 * or poller that saw the old state is on the queue by now.
 */
static inline void pipe_wake(struct wait_queue *q, u32 key)
{
	if (unlikely(!list_is_empty(&q->waiters)))
		wake_one_sync_active(q, key);
}

struct pipe *pipe_create(void); /* NULL: no memory; no ends, no files */
void pipe_destroy(struct pipe *p);
/* Empties the oldest slot; the lock is held. */
void pipe_drop_slot_locked(struct pipe *p) __must_hold(&p->lock);
/* Sleeps until the pipe is not full: 0, -EPIPE (no reader; the signal is the caller's), -EAGAIN,
 * -ERESTARTSYS.  The lock is held, and released meanwhile. */
int pipe_wait_writable_locked(struct pipe *p, bool nonblocking) __must_hold(&p->lock);
/* Sleeps until it is not empty: 1, 0 = end of file, -EAGAIN, -ERESTARTSYS. */
int pipe_wait_readable_locked(struct pipe *p, bool nonblocking) __must_hold(&p->lock);
/* Wakes both sides as the new state asks; after the unlock. */
void pipe_wake_readers(struct pipe *p);
void pipe_wake_writers(struct pipe *p);

ssize_t pipe_read(struct pipe *p, struct iobuf *to, bool nonblocking);
ssize_t pipe_write(struct pipe *p, struct iobuf *from, bool nonblocking, bool packets);
/* Moves the slots to a ring of nr (a power of two): -EBUSY if they do not fit, -ENOMEM. */
int pipe_resize_locked(struct pipe *p, u32 nr) __must_hold(&p->lock);
ssize_t pipe_splice_read(struct file *f, u64 *pos, struct pipe *to, size_t len, u32 flags);
