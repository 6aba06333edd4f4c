/*
 * Pages that were zeroed while a CPU had nothing to do.
 *
 * Each CPU keeps up to ZEROED_PER_CPU of them.  It fills its stock before it
 * halts (idle_work, one page at a time, so that a wake-up waits for one at most)
 * and takes from it for faults.  Stores go past the cache: what is zeroed
 * now is used later, and should not drive out what is used now.
 *
 * Invariants.
 *   (1) only a stock's own CPU, with preemption off, moves zeroed_count and puts
 *       pages in; slots from that on are empty;
 *   (2) a page is taken by exchanging its slot with NULL, by whomever: so a drain needs no lock and
 *       no other CPU's help.  It leaves empty slots below the count, which their
 *       owner skips;
 *   (3) a page is in its slot, marked, while it is being zeroed, so that who counts
 *       frames finds it; nobody but its CPU touches a marked one.
 *
 * The pages are counted as free memory.  They are given back when memory is short
 * (memory_make_room), and no more are made unless it is plenty.
 *
 * Boot switch: opt.zeroed_pages.
 */
#include "page_internal.h"

#include <nos/counter.h>
#include <nos/cpu.h>
#include <nos/log.h>
#include <nos/preempt.h>
#include <nos/stock.h>

#define ZEROED_PER_CPU 64u

DEFINE_COUNTER(hits, "zeroed.hits");
DEFINE_COUNTER(filled, "zeroed.filled");

struct zeroed_stock {
	struct folio *pages[ZEROED_PER_CPU];
};
static DEFINE_PERCPU(struct zeroed_stock, zeroed_pages);
DEFINE_PERCPU(u32, zeroed_count);

#define BEING_ZEROED 1ul

static bool is_being_zeroed(const struct folio *f)
{
	return (uintptr_t)f & BEING_ZEROED;
}

void zeroed_init(void)
{
	if (boot_opt_enabled("zeroed_pages"))
		idle_work = zeroed_fill_one;
}

struct folio *zeroed_take_counted(void)
{
	struct folio *f = NULL;

	preempt_disable();
	struct zeroed_stock *s = this_cpu_ptr(zeroed_pages);
	u32 n = this_cpu_read(zeroed_count);

	while (n && !f)
		f = atomic_xchg(&s->pages[--n], NULL);
	this_cpu_write(zeroed_count, n);
	if (f)
		counter_inc(hits);
	preempt_enable();
	return f;
}

static void page_clear_past_cache(void *page)
{
	u64 *p = page, *end = p + PAGE_SIZE / 8;

	for (; p < end; p += 8)
		__asm__ volatile("movnti %1, (%0)\n\t"
				 "movnti %1, 8(%0)\n\t"
				 "movnti %1, 16(%0)\n\t"
				 "movnti %1, 24(%0)\n\t"
				 "movnti %1, 32(%0)\n\t"
				 "movnti %1, 40(%0)\n\t"
				 "movnti %1, 48(%0)\n\t"
				 "movnti %1, 56(%0)"
				 :
				 : "r"(p), "r"(0ul)
				 : "memory");
	/* before anyone learns of the page: such stores are not ordered with others (SDM vol. 1, 11.4.7) */
	__asm__ volatile("sfence" ::: "memory");
}

bool zeroed_fill_one(void)
{
	struct zeroed_stock *s = this_cpu_ptr(zeroed_pages);
	u32 n = this_cpu_read(zeroed_count);
	struct folio *f;

	while (n && !READ_ONCE(s->pages[n - 1]))
		n--;
	this_cpu_write(zeroed_count, n);
	if (n == ZEROED_PER_CPU || !page_is_plenty())
		return false;
	f = folio_alloc(0, FOLIO_ANON, ALLOC_NOWAIT | ALLOC_MOVABLE);
	if (!f)
		return false;
	WRITE_ONCE(s->pages[n], (struct folio *)((uintptr_t)f | BEING_ZEROED));
	page_clear_past_cache(folio_address(f));
	__atomic_store_n(&s->pages[n], f, __ATOMIC_RELEASE);
	this_cpu_write(zeroed_count, n + 1);
	counter_inc(filled);
	return true;
}

u64 zeroed_drain(void)
{
	u64 nr = 0;

	for_each_cpu(cpu)
	{
		struct zeroed_stock *s = per_cpu_ptr(zeroed_pages, cpu);

		for (u32 i = 0; i < ZEROED_PER_CPU; i++) {
			struct folio *f = READ_ONCE(s->pages[i]);

			if (f && !is_being_zeroed(f) &&
			    atomic_cas(&s->pages[i], f, (struct folio *)NULL)) {
				folio_put(f);
				nr++;
			}
		}
	}
	return nr;
}

static void drain(void)
{
	(void)zeroed_drain();
}
STOCK(drain);

u64 zeroed_in_stock(void)
{
	u64 nr = 0;

	for_each_cpu(cpu) for (u32 i = 0; i < ZEROED_PER_CPU; i++) nr +=
		READ_ONCE(per_cpu_ptr(zeroed_pages, cpu)->pages[i]) != NULL;
	return nr;
}
