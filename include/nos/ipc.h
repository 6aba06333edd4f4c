/* Things to wait on (ipc/): pipes for splice and sockets, futexes, epoll's hooks, poll helpers. */
#pragma once

#include <nos/file.h>
#include <nos/iobuf.h>
#include <nos/page.h>
#include <nos/types.h>

/* ---- pipes (ipc/pipe.c) ---- */
struct pipe;
int pipe_create_files(struct file *ends[2], u32 flags);	/* O_CLOEXEC is the caller's */
struct pipe *pipe_of_file(struct file *f);		/* NULL: not a pipe */
/* Moves folios by reference: a range of a folio into the ring / out of it.  offset, len in bytes. */
struct pipe_extent {
	struct folio *folio;	/* one reference belongs to the extent */
	u32 offset, len;
};
/* Appends (takes over the reference); blocks unless nonblocking; 0, -EAGAIN, -EPIPE, -ERESTARTSYS. */
int pipe_push_extent(struct pipe *p, const struct pipe_extent *e, bool nonblocking);
/* Takes up to `len` bytes of the first extent; 0 = end of file. */
ssize_t pipe_pull_extent(struct pipe *p, struct pipe_extent *e, size_t len, bool nonblocking);
ssize_t pipe_tee(struct pipe *from, struct pipe *to, size_t len, u32 flags);
s64 pipe_set_size(struct pipe *p, u64 bytes);		/* F_SETPIPE_SZ */
u64 pipe_get_size(struct pipe *p);

/* ---- futex (ipc/futex.c), for exit and exec ---- */
struct task;
void futex_exit_robust(u64 list_head);	/* walks the dying task's robust list */
void futex_exit_pi(struct task *t);	/* gives its PI futexes to the next owner */
int futex_wake_address(u64 address, u32 nr); /* clear_child_tid */
