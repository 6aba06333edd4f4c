/* Things to wait on (ipc/): pipes for splice and sockets, futexes, epoll's hooks, poll helpers. */
#pragma once

#include <nos/file.h>
#include <nos/iobuf.h>
#include <nos/list.h>
#include <nos/page.h>
#include <nos/thread.h>
#include <nos/types.h>

/* ---- pipes (ipc/pipe.c) ---- */
struct pipe;
int pipe_create_files(struct file *ends[2], u32 flags); /* O_CLOEXEC is the caller's */
struct pipe *pipe_of_file(struct file *f); /* NULL: not a pipe */
/* Moves folios by reference: a range of a folio into the ring / out of it.  offset, len in bytes. */
struct pipe_extent {
	struct folio *folio; /* one reference belongs to the extent */
	u32 offset, len;
};
/* Appends (takes over the reference); blocks unless nonblocking; 0, -EAGAIN, -EPIPE, -ERESTARTSYS. */
int pipe_push_extent(struct pipe *p, const struct pipe_extent *e, bool nonblocking);
/* Takes up to `len` bytes of the first extent; 0 = end of file. */
ssize_t pipe_pull_extent(struct pipe *p, struct pipe_extent *e, size_t len, bool nonblocking);
/* Puts what was pulled but not used back in front; the reference goes along. */
void pipe_return_extent(struct pipe *p, const struct pipe_extent *e);
ssize_t pipe_tee(struct pipe *from, struct pipe *to, size_t len, u32 flags);
s64 pipe_set_size(struct pipe *p, u64 bytes); /* F_SETPIPE_SZ */
u64 pipe_get_size(struct pipe *p);

/* ---- poll and select (ipc/poll.c) ---- */
struct poll_item { /* the layout of struct pollfd */
	s32 fd; /* negative: skipped */
	u16 wanted, got; /* POLL* bits */
};
/* Waits until some item has a bit of wanted | always; fills got, which was 0 (POLLNVAL: not open).  deadline 0: does not wait; TIME_NEVER.  How many
 * items have got != 0; 0 at the deadline; -ERESTARTNOHAND on a signal; -ENOMEM. */
int poll_items(struct poll_item *items, u32 nr, u16 always, u64 deadline_ns);

/* ---- epoll (ipc/epoll.c), files; ERR ---- */
struct epoll_event;
struct file *epoll_create(u32 flags);
bool epoll_is(const struct file *f);
/* op: EPOLL_CTL_*; event is read for ADD and MOD. */
int epoll_control(struct file *epoll, int op, int fd, struct file *f, struct epoll_event *event);
/* Puts up to `max` events into `to`: how many; 0 at the deadline; -EINTR; -EFAULT. */
int epoll_wait_events(struct file *epoll, struct iobuf *to, int max, u64 deadline_ns);
/* A queue that dies before its waiters wakes them with this key; they take themselves off (under its
 * lock, so that its owner may go on to free it after a grace period). */
#define POLL_KEY_FREE 0x4000u

/* ---- O_ASYNC (ipc/async.c): SIGIO to f's owner from now on, or no more; -ENOMEM ---- */
int file_set_async(struct file *f, bool on);

/* ---- eventfd, timerfd, signalfd; ERR ---- */
struct file *eventfd_create(u32 count, bool semaphore, u32 flags);
struct timerfd_setting {
	u64 value_ns, interval_ns;
};
struct file *timerfd_create(int clock, u32 flags); /* -EINVAL: no such clock */
/* flags: TFD_TIMER_*. */
int timerfd_set(struct file *f, u32 flags, const struct timerfd_setting *to,
		struct timerfd_setting *old);
int timerfd_get(struct file *f, struct timerfd_setting *to); /* -EINVAL: not a timerfd */
struct file *signalfd_create(u64 mask, u32 flags);
int signalfd_set_mask(struct file *f, u64 mask); /* -EINVAL: not a signalfd */

/* ---- futex (ipc/futex*.c) ---- */

/* What a thread owns and waits for among PI futexes; proc embeds it in struct task.  All but the
 * first two under the graph's lock of futex_pi.c. */
struct futex_owner {
	struct thread *thread;
	s32 tid;
	u8 state; /* may it own locks? */
	bool boosted; /* runs with a waiter's parameters; `own` are its own */
	struct sched_params own;
	struct list held; /* struct futex_pi.owner_node */
	struct pi_waiter *waiting; /* its place in a queue, NULL */
};
void futex_owner_init(struct futex_owner *o, struct thread *t, s32 tid);
/* The thread's own scheduling parameters, whatever it inherited; changing them. */
struct sched_params futex_owner_params(struct futex_owner *o);
int futex_owner_set_params(struct futex_owner *o, const struct sched_params *p);
/* Defined by proc: the current thread's, and that of a tid (counted; NULL) with its release. */
struct futex_owner *futex_owner_current(void);
struct futex_owner *futex_owner_find(s32 tid);
void futex_owner_put(struct futex_owner *o);

void futex_exit_robust(u64 list_head); /* walks the dying task's robust list */
/* Gives its PI futexes to the next owners; `dies`: it never owns one again. */
void futex_exit_pi(struct futex_owner *o, bool dies);
int futex_wake_address(u64 address, u32 nr); /* clear_child_tid */

/* The operations of futex(2): addresses are user addresses; flags FUTEX_SHARED; deadline in
 * CLOCK_MONOTONIC or as the flag says, TIME_NEVER = none; a count or −errno (-ERESTARTSYS when interrupted). */
#define FUTEX_OP_SHARED 1u
#define FUTEX_OP_REALTIME 2u /* the deadline is on CLOCK_REALTIME, and follows its steps */
long futex_wait(u64 address, u32 value, u32 bitset, u64 deadline_ns, u32 flags);
long futex_wake(u64 address, u32 nr, u32 bitset, u32 flags);
/* expected NULL: FUTEX_REQUEUE without the comparison. */
long futex_requeue(u64 from, u64 to, s32 nr_wake, s32 nr_requeue, const u32 *expected, u32 flags);
long futex_wake_op(u64 address, u64 address2, u32 nr, u32 nr2, u32 operation, u32 flags);
long futex_lock_pi(u64 address, u64 deadline_ns, bool try_only, u32 flags);
long futex_unlock_pi(u64 address, u32 flags);
/* FUTEX_WAIT_REQUEUE_PI: waits at `address`, to be moved to the PI futex `lock` and get it. */
long futex_wait_requeue_pi(u64 address, u32 value, u32 bitset, u64 deadline_ns, u64 lock,
			   u32 flags);
long futex_requeue_pi(u64 from, u64 to, s32 nr_wake, s32 nr_requeue, u32 expected, u32 flags);
struct futex_wait_entry {
	u64 address;
	u32 value;
	u32 flags;
};
#define FUTEX_WAITV_LIMIT 128
long futex_wait_many(const struct futex_wait_entry *entries, u32 nr, u64 deadline_ns, u32 flags);
