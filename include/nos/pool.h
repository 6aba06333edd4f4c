/*
 * Pools (mm/pool.c): elements of which some are held in reserve, for work that memory itself waits for.
 *
 * An allocation that may wait always succeeds in the end if all who took elements give them back
 * without needing more of the pool; so whoever holds one may wait for no second.
 */
#pragma once

#include <nos/lock.h>
#include <nos/page.h>
#include <nos/types.h>
#include <nos/wait.h>

struct pool_ops {
	void *(*allocate)(void *owner, u32 flags); /* of memory; NULL */
	void (*release)(void *owner, void *element); /* of the reserve, at the pool's end */
};

struct pool {
	const struct pool_ops *ops;
	void *owner;
	struct spinlock lock; /* interrupts off */
	u32 nr, nr_reserved; /* in the reserve: now, and when it is full */
	void **elements __guarded_by(&lock); /* kfree'd */
	struct wait_queue refilled;
};

/* With nr elements in reserve; -ENOMEM. */
int pool_init(struct pool *p, u32 nr, const struct pool_ops *ops, void *owner) __must_check;
/* All elements are back.  Of a pool that is all zero: nothing. */
void pool_fini(struct pool *p);
/* Of memory, else of the reserve, else waits for the reserve; ALLOC_ATOMIC and ALLOC_NOWAIT: NULL. */
void *pool_alloc(struct pool *p, u32 flags);
/* Gives an element back.  False: the reserve is full, and the caller keeps it or releases it; any context. */
bool pool_refill(struct pool *p, void *element) __must_check;
