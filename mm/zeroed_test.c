/* Tests of the stock of zeroed pages.  The test plays an idle CPU; in the kernel real ones play too. */
/* needs: tests/host/memory.c mm/zeroed.c mm/page_alloc.c mm/slab.c mm/kmalloc.c mm/slab_debug.c */
/* needs: mm/fault_injection_test.c */
#include "page_internal.h"

#include <nos/arch.h>
#include <nos/cpu.h>
#include <nos/preempt.h>
#include <nos/string.h>
#include <nos/test.h>
#include <nos/timer.h>

#define TRIES 1000u

/* An empty stock, filled as by an idle CPU, preemption off; how many pages came. */
static u32 refill(void)
{
	u32 n = 0;

	(void)zeroed_drain();
	while (n < TRIES && zeroed_fill_one())
		n++;
	return n;
}

static bool page_is_zero(const u8 *p)
{
	for (u64 i = 0; i < PAGE_SIZE; i++)
		if (p[i])
			return false;
	return true;
}

TEST(zeroed_pages_are_zero)
{
	struct folio *dirty = folio_alloc(0, FOLIO_ANON, 0), *f;

	EXPECT(dirty);
	if (!dirty)
		return;
	memset(folio_address(dirty), 0xa5, PAGE_SIZE);
	folio_put(dirty); /* the next to be handed out */
	preempt_disable();
	u32 n = refill();

	for (u32 i = 0; i < n; i++) {
		f = zeroed_take();
		EXPECT(f);
		if (!f)
			break;
		EXPECT_EQ(f->kind, FOLIO_ANON);
		EXPECT_EQ(f->refs.count, 1);
		EXPECT(page_is_zero(folio_address(f)));
		memset(folio_address(f), 1, PAGE_SIZE);
		folio_put(f);
	}
	EXPECT(!zeroed_take());
	preempt_enable();
}

TEST(zeroed_stock_has_a_bound_and_goes_back)
{
	preempt_disable();
	u32 n = refill();

	EXPECT(n > 0 && n < TRIES);
	EXPECT(zeroed_in_stock() >= n);
	EXPECT(zeroed_drain() >= n);
	EXPECT(!zeroed_take());
	/* the slots that the drain has left behind do not count as full */
	EXPECT_EQ(refill(), n);
	(void)zeroed_drain();
	EXPECT_EQ(refill(), n);
	preempt_enable();
}

#ifndef NOS_HOST
/* Other CPUs idle and fill their stocks.  Now and then a frame is met on its way into one. */
TEST(zeroed_pages_are_nobodys_while_they_are_zeroed)
{
	struct memory_stats m;
	u64 least = U64_MAX, end = clock_monotonic_ns() + 100 * NSEC_PER_MSEC;
	u32 nr_more = 0, nr_read = 0;

	do {
		if (nr_read++ % 10 == 0) {
			(void)zeroed_drain();
			for_each_cpu(cpu) if (cpu != cpu_id()) cpu_send_reschedule(cpu);
		}
		memory_stats_read(&m);
		if (m.anon < least) {
			least = m.anon;
			nr_more = 0;
		}
		nr_more += m.anon > least;
	} while (clock_monotonic_ns() < end);
	EXPECT(nr_more <= nr_read / 50);
}
#endif
