/*
 * Translation caches: which CPU has which address space, and flushing.
 *
 * Concepts.  aspace->cpus has a bit for each CPU that has the address space
 * loaded: set before CR3 is loaded, cleared after another is.  A CPU that goes on
 * to a kernel thread keeps the address space loaded (lazily); a flush request
 * makes it let go instead.
 *
 * Process-context identifiers.  Without them a load of CR3 drops all that the CPU
 * holds of user addresses.  With them (pcid_key) it may keep entries of some
 * address spaces that it has not loaded, each under a number of its own, which
 * the processor uses only while that number is loaded.  Nobody interrupts such a
 * CPU: each flush moves the address space's flush_generation, and the next load
 * on the CPU compares it with how far it got (tlb_slots.h).  The end of an
 * address space flushes nothing, for its id never comes again.  The kernel's own
 * table has number 0, and its load always flushes that one.
 *
 * Invariants.
 *   (1) Changing entries: write them, move the generation, then look at `cpus`
 *       (a full barrier between each), then interrupt those CPUs, then give pages
 *       and tables away.
 *   (2) Loading: set the bit in `cpus`, then (a full barrier) read the
 *       generation, then load CR3, dropping what is under the number unless it is
 *       clean up to that generation.  So either the load sees the generation
 *       moved, or who moved it sees the bit; and a load that drops reads entries
 *       as they were written.
 *   (3) A slot's generation may lag behind what was flushed, never run ahead: it
 *       is read before a flush of everything, and moves by one after a flush of a
 *       range.  An interrupt may come between: it only adds flushes.
 *   (4) A page table that goes counts as a flush: caches of upper entries are
 *       tagged, too.  One page's flush drops all of them under the loaded number.
 *
 * Kernel addresses: their entries are global, in every number at once, and
 * invlpg reaches them there; their upper tables never go.
 *
 * Making an absent entry present, or adding rights, needs no flush of others: a
 * stale entry costs them a fault that finds nothing to do.
 *
 * Boot switch: opt.pcid.  Counters: tlb.*.  Models: tests/models/tlb.pml and
 * pcid.pml; tlb_test.c runs this file on processors that forget nothing by themselves.
 *
 * Rejected.  Flushing numbers that are not loaded (INVPCID) from the interrupt: a
 * CPU that runs something else would be disturbed, which the generation avoids.
 *
 * References: Intel SDM vol. 3, 4.10 (what is tagged, what drops what).
 */
#include "aspace_internal.h"
#include "tlb_slots.h"

#include <nos/counter.h>
#include <nos/cpu.h>
#include <nos/init.h>
#include <nos/log.h>
#include <nos/thread.h>

#define FLUSH_SINGLY 24u /* pages; more: everything */

DEFINE_COUNTER(flushes, "tlb.flushes");
DEFINE_COUNTER(remote_flushes, "tlb.remote_flushes");

DEFINE_COUNTER(switches_kept, "tlb.switches_kept");
DEFINE_COUNTER(switches_behind, "tlb.switches_behind");

DEFINE_STATIC_KEY(pcid_key);
static DEFINE_PERCPU(struct aspace *, loaded_aspace);
static DEFINE_PERCPU(struct tlb_slots, tlb_slots);

/* Before there is an address space or another CPU. */
static int pcid_init(void)
{
	if (boot_opt_enabled("pcid") && arch_pcid_enable())
		static_key_set(&pcid_key, true);
	return 0;
}
INIT_STEP(INIT_CORE, pcid_init);

void tlb_name_aspace(struct aspace *a)
{
	static u64 last_id;

	a->tlb_id = atomic_add(&last_id, 1);
}

/* The generation is read, and the slot chosen, after the CPU's bit is set. */
static __noinline void load_tagged(const struct aspace *a)
{
	struct tlb_slots *s = this_cpu_ptr(tlb_slots);
	enum tlb_load how = tlb_slots_load(s, a->tlb_id, READ_ONCE(a->flush_generation));

	page_table_load_tagged(a->table_phys, tlb_slots_pcid(s), how == TLB_KEEP);
	if (how == TLB_KEEP)
		counter_inc(switches_kept);
	else if (how == TLB_BEHIND)
		counter_inc(switches_behind);
}

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
	if (static_key_is_on(&pcid_key))
		load_tagged(next);
	else
		page_table_load(next->table_phys);
	this_cpu_write(loaded_aspace, next);
	if (old)
		atomic_and(&old->cpus, ~self);
}

struct flush_request {
	struct aspace *aspace;
	u64 start, end;
	u64 generation; /* the flush's number; 0 without PCIDs */
};

/* Of the loaded address space. */
static void flush_all_here(const struct aspace *a)
{
	u64 generation = READ_ONCE(a->flush_generation);

	tlb_flush_all();
	if (static_key_is_on(&pcid_key))
		tlb_slots_flushed_all(this_cpu_ptr(tlb_slots), generation);
}

static inline void flush_loaded_here(struct aspace *a, u64 start, u64 end, u64 generation)
{
	u64 size = end - start, va = start;

	if (unlikely(size > FLUSH_SINGLY * PAGE_SIZE)) {
		flush_all_here(a);
		return;
	}
	for (; size >= 4 * PAGE_SIZE; size -= 4 * PAGE_SIZE, va += 4 * PAGE_SIZE) {
		tlb_flush_page(va), tlb_flush_page(va + PAGE_SIZE);
		tlb_flush_page(va + 2 * PAGE_SIZE), tlb_flush_page(va + 3 * PAGE_SIZE);
	}
	for (; va < end; va += PAGE_SIZE)
		tlb_flush_page(va);
	if (static_key_is_on(&pcid_key))
		tlb_slots_flushed(this_cpu_ptr(tlb_slots), generation);
}

static void flush_here(void *arg)
{
	const struct flush_request *r = arg;

	if (this_cpu_read(loaded_aspace) != r->aspace)
		return;
	if (current_thread->aspace != r->aspace) {
		load_kernel_table(r->aspace);
		return;
	}
	flush_loaded_here(r->aspace, r->start, r->end, r->generation);
}

/* On the other CPUs, and on this one where no thread with it runs; no preemption. */
static __noinline void flush_elsewhere(struct aspace *a, u64 start, u64 end, u64 generation,
				       bool done_here)
{
	struct flush_request r = { a, start, end, generation };
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
	u64 generation = 0;

	if (start >= end)
		return;
	if (static_key_is_on(&pcid_key))
		generation = atomic_add(&a->flush_generation, 1);
	else
		memory_fence();
	u64 cpus = READ_ONCE(a->cpus);

	if (!cpus)
		return;
	counter_inc(flushes);
	preempt_disable();
	/* nobody takes the tables away from a CPU that runs a thread with them */
	bool runs = this_cpu_read(loaded_aspace) == a && current_thread->aspace == a;

	if (likely(runs))
		flush_loaded_here(a, start, end, generation);
	if (unlikely(!runs || (cpus & ~bit(cpu_id()))))
		flush_elsewhere(a, start, end, generation, runs);
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
