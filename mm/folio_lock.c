/* Content locks of folios and waiting for write-back: one flag each, sleepers in hashed queues. */
#include "page_cache_internal.h"
#include "page_internal.h"

#include <nos/assert.h>
#include <nos/errno.h>
#include <nos/string.h>
#include <nos/wait.h>

#define NR_QUEUES 64u

static struct wait_queue queues[NR_QUEUES];

static struct wait_queue *folio_queue(const struct folio *f)
{
	return &queues[hash_u64((u64)f) >> 58];
}

bool folio_try_lock(struct folio *f)
{
	return !(atomic_fetch_or(&f->flags, FOLIO_LOCKED) & FOLIO_LOCKED);
}

/* The flag is set before the last look, so that the unlocker sees it or we see the lock free. */
static bool lock_or_announce(struct folio *f)
{
	if (folio_try_lock(f))
		return true;
	folio_set_flag(f, FOLIO_WAITERS);
	return folio_try_lock(f);
}

static __noinline void folio_lock_slow(struct folio *f)
{
	wait_event(folio_queue(f), lock_or_announce(f));
}

__hot void folio_lock(struct folio *f)
{
	if (unlikely(!folio_try_lock(f)))
		folio_lock_slow(f);
}

int folio_lock_killable(struct folio *f)
{
	if (folio_try_lock(f))
		return 0;
	return wait_event_killable(folio_queue(f), lock_or_announce(f));
}

static __noinline void wake_waiters_slow(struct folio *f)
{
	folio_clear_flag(f, FOLIO_WAITERS);
	wake_all(folio_queue(f));
}

static inline void wake_waiters(struct folio *f, u32 old_flags)
{
	if (unlikely(old_flags & FOLIO_WAITERS))
		wake_waiters_slow(f);
}

/*
 * The second look is after the barrier of the first access: who announced itself before the unlock is
 * seen, and who does it later finds the lock free.
 */
__hot void folio_unlock(struct folio *f)
{
	ASSERT(folio_has_flag(f, FOLIO_LOCKED));
	folio_clear_flag(f, FOLIO_LOCKED);
	wake_waiters(f, READ_ONCE(f->flags));
}

static bool writeback_is_done(struct folio *f)
{
	if (!folio_has_flag(f, FOLIO_WRITEBACK))
		return true;
	folio_set_flag(f, FOLIO_WAITERS);
	return !folio_has_flag(f, FOLIO_WRITEBACK);
}

void folio_wait_writeback(struct folio *f)
{
	if (folio_has_flag(f, FOLIO_WRITEBACK))
		wait_event(folio_queue(f), writeback_is_done(f));
}

void folio_end_writeback(struct folio *f)
{
	wake_waiters(f, atomic_fetch_and(&f->flags, ~FOLIO_WRITEBACK));
}

void folio_lock_init(void)
{
	for (u32 i = 0; i < NR_QUEUES; i++)
		wait_queue_init(&queues[i]);
}
