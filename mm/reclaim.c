/*
 * When memory is short.
 *
 * In order: clean page-cache folios by clock, idle slabs, and, for an
 * allocation on behalf of a process (ALLOC_USER), the OOM killer.  The one who
 * waits for a victim's memory sleeps a little between tries.  An allocation for
 * the kernel fails in the end; its caller answers ENOMEM.  Nothing here panics.
 */
#include "page_internal.h"
#include "slab_internal.h"

#include <nos/aspace.h>
#include <nos/counter.h>
#include <nos/page_cache.h>
#include <nos/stock.h>
#include <nos/thread.h>
#include <nos/timer.h>

#define BATCH_PAGES 64u
#define KILL_WAIT_NS (5 * NSEC_PER_MSEC)
#define MAX_ROUNDS 400u /* two seconds of waiting for victims */

DEFINE_COUNTER(rounds, "mm.reclaim_rounds");
DEFINE_COUNTER(pages, "mm.reclaimed_pages");

static u64 nr_oom_kills;

bool memory_make_room(u64 nr_pages, u32 flags, unsigned round)
{
	if (preempt_count() || !irq_is_enabled())
		return false;
	counter_inc(rounds);
	u64 freed = page_cache_reclaim(max(nr_pages, (u64)BATCH_PAGES)) + slab_reclaim();

	counter_add(pages, freed);
	if (freed >= nr_pages && round < MAX_ROUNDS)
		return true;
	if (flags & ALLOC_NORETRY)
		return round == 0;
	if (!(flags & ALLOC_USER) || fatal_signal_is_pending() || round >= MAX_ROUNDS)
		return round < 2;
	if (!process_kill_for_memory())
		return false;
	if (round == 0)
		atomic_add(&nr_oom_kills, 1);
	thread_set_state(THREAD_KILLABLE);
	if (!fatal_signal_is_pending())
		thread_block_until(clock_monotonic_ns() + KILL_WAIT_NS);
	else
		thread_set_state(THREAD_RUNNABLE);
	return true;
}

extern const struct stock __start_stocks[] __weak, __stop_stocks[] __weak;

void stock_drain_all(void)
{
	for (const struct stock *s = __start_stocks; s < __stop_stocks; s++)
		s->drain();
}

u64 memory_oom_kills(void)
{
	return nr_oom_kills;
}
