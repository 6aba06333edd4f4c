/*
 * When memory is short.
 *
 * In order: pages zeroed in advance, clean page-cache folios by clock, idle slabs, what the shrinkers of
 * other layers can let go, and, for an allocation on behalf of a process
 * (ALLOC_USER), the OOM killer.  The one who waits for a victim's memory sleeps
 * a little between tries.  An allocation for the kernel fails in the end; its
 * caller answers ENOMEM.  Nothing here panics.
 *
 * Shrinkers run in a worker, since they may take any lock and talk to a file
 * system's server, while who allocates may hold just those locks: it waits for
 * them a fixed time only.  When files give enough they run now and then, so
 * that names do not outlive the pages of their files.
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
#define SHRINK_BATCH 1024u /* objects of each shrinker at a time */
#define SHRINK_CALM_ROUNDS 16u
#define SHRINK_WAIT_ROUNDS 2u /* before a process is killed */
#define WAIT_NS (5 * NSEC_PER_MSEC)
#define MAX_ROUNDS 400u /* two seconds of waiting for victims */

DEFINE_COUNTER(rounds, "mm.reclaim_rounds");
DEFINE_COUNTER(pages, "mm.reclaimed_pages");

static u64 nr_oom_kills;

/* ---- shrinkers ---- */

extern const struct shrinker __start_shrinkers[] __weak, __stop_shrinkers[] __weak;

DEFINE_COUNTER(objects, "mm.shrunk_objects");

static u32 nr_rounds;
static u64 nr_shrunk; /* objects, since someone last asked */

static void shrink(struct work *w)
{
	u64 nr = 0;

	for (const struct shrinker *s = __start_shrinkers; s < __stop_shrinkers; s++)
		nr += s->reclaim(SHRINK_BATCH);
	counter_add(objects, nr);
	atomic_add(&nr_shrunk, nr);
	slab_reclaim();
}

static struct work shrink_work = { .fn = shrink };

/* A pause, short of which a killed thread ends. */
static void wait_a_little(void)
{
	thread_set_state(THREAD_KILLABLE);
	if (!fatal_signal_is_pending())
		thread_block_until(clock_monotonic_ns() + WAIT_NS);
	else
		thread_set_state(THREAD_RUNNABLE);
}

/* ---- the order of things ---- */

bool memory_make_room(u64 nr_pages, u32 flags, unsigned round)
{
	if (preempt_count() || !irq_is_enabled())
		return false;
	counter_inc(rounds);
	u64 freed = zeroed_drain() + page_cache_reclaim(max(nr_pages, (u64)BATCH_PAGES)) +
		    slab_reclaim();

	counter_add(pages, freed);
	if (freed < nr_pages || atomic_add(&nr_rounds, 1u) % SHRINK_CALM_ROUNDS == 0)
		work_queue(&shrink_work);
	if (freed >= nr_pages && round < MAX_ROUNDS)
		return true;
	if (flags & ALLOC_NORETRY)
		return round == 0;
	if (!(flags & ALLOC_USER) || fatal_signal_is_pending() || round >= MAX_ROUNDS)
		return round < 2;
	if (round < SHRINK_WAIT_ROUNDS || atomic_xchg(&nr_shrunk, 0)) {
		wait_a_little();
		return true;
	}
	if (!process_kill_for_memory())
		return false;
	if (round == SHRINK_WAIT_ROUNDS)
		atomic_add(&nr_oom_kills, 1);
	wait_a_little();
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
