/*
 * Translation caches: which CPU has which address space, and flushing.
 *
 * aspace->cpus has a bit for each CPU that may hold entries: set before CR3 is
 * loaded, cleared after another is.  A CPU that goes on to a kernel thread keeps
 * the address space loaded (lazily); a flush request makes it let go instead.
 *
 * Changing entries: write them, then look at `cpus` (a full barrier between),
 * then interrupt those CPUs, then give the pages away.  A CPU that sets its bit
 * after the look loads CR3 after the entries were written.
 *
 * Making an absent entry present, or adding rights, needs no flush of others: a
 * stale entry costs them a fault that finds nothing to do.
 *
 * Process-context identifiers are off: each load of CR3 flushes.  With them,
 * `cpus` would stay set on a switch away and a generation per CPU and address
 * space would tell what the next load has to flush; all callers stay as they
 * are.
 *
 * Model: tests/models/tlb.pml.
 */
#include "aspace_internal.h"

#include <nos/counter.h>
#include <nos/cpu.h>
#include <nos/thread.h>

#define FLUSH_SINGLY 24u /* pages; more: everything */

DEFINE_COUNTER(flushes, "tlb.flushes");
DEFINE_COUNTER(remote_flushes, "tlb.remote_flushes");

static DEFINE_PERCPU(struct aspace *, loaded_aspace);

static void load_kernel_table(struct aspace *old)
{
	page_table_load(virt_to_phys(kernel_page_table));
	this_cpu_write(loaded_aspace, NULL);
	atomic_and(&old->cpus, ~bit(cpu_id()));
}

/* Interrupts off.  NULL as next: a kernel thread, which uses whatever is loaded. */
void aspace_switch(struct aspace *prev, struct aspace *next)
{
	struct aspace *old = this_cpu_read(loaded_aspace);

	(void)prev;
	if (!next || old == next)
		return;
	u64 self = bit(cpu_id());

	atomic_or(&next->cpus, self);
	page_table_load(next->table_phys);
	this_cpu_write(loaded_aspace, next);
	if (old)
		atomic_and(&old->cpus, ~self);
}

static inline void flush_range_here(u64 start, u64 end)
{
	if (unlikely(end - start > FLUSH_SINGLY * PAGE_SIZE)) {
		tlb_flush_all();
		return;
	}
	for (u64 va = start; va < end; va += PAGE_SIZE)
		tlb_flush_page(va);
}

struct flush_request {
	struct aspace *aspace;
	u64 start, end;
};

static void flush_here(void *arg)
{
	const struct flush_request *r = arg;

	if (this_cpu_read(loaded_aspace) != r->aspace)
		return;
	if (current_thread->aspace != r->aspace) {
		load_kernel_table(r->aspace);
		return;
	}
	flush_range_here(r->start, r->end);
}

/* On the other CPUs, and on this one where no thread with it runs; no preemption. */
static __noinline void flush_elsewhere(struct aspace *a, u64 start, u64 end, bool done_here)
{
	struct flush_request r = { a, start, end };
	u64 self = bit(cpu_id()), cpus = READ_ONCE(a->cpus);

	if (!done_here && (cpus & self)) {
		u64 flags = irq_save();

		flush_here(&r);
		irq_restore(flags);
	}
	if (cpus & ~self) {
		counter_inc(remote_flushes);
		cpu_call_mask(cpus & ~self, flush_here, &r);
	}
}

void aspace_flush(struct aspace *a, u64 start, u64 end)
{
	if (start >= end)
		return;
	memory_fence();
	u64 cpus = READ_ONCE(a->cpus);

	if (!cpus)
		return;
	counter_inc(flushes);
	preempt_disable();
	/* nobody takes the tables away from a CPU that runs a thread with them */
	bool runs = this_cpu_read(loaded_aspace) == a && current_thread->aspace == a;

	if (likely(runs))
		flush_range_here(start, end);
	if (unlikely(!runs || (cpus & ~bit(cpu_id()))))
		flush_elsewhere(a, start, end, runs);
	preempt_enable();
}

static void unload_here(void *arg)
{
	if (this_cpu_read(loaded_aspace) == arg)
		load_kernel_table(arg);
}

void aspace_unload(struct aspace *a)
{
	preempt_disable();
	u64 flags = irq_save();

	unload_here(a);
	irq_restore(flags);
	memory_fence();
	u64 cpus = READ_ONCE(a->cpus);

	if (cpus)
		cpu_call_mask(cpus, unload_here, a);
	preempt_enable();
}

void tlb_batch_finish_slow(struct tlb_batch *b)
{
	aspace_flush(b->aspace, b->start, b->end);
	while (unlikely(b->nr_tables))
		table_leave(b->aspace, b->shared[--b->nr_tables]);
	if (b->nr)
		folio_put_many(b->folios, b->nr);
	while (b->tables) {
		struct folio *f = b->tables;

		b->tables = (struct folio *)f->table_rcu.next;
		table_free(b->aspace, f);
	}
	tlb_batch_init(b, b->aspace);
}
