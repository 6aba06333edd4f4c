/*
 * Figures of the page allocator: what memory is used for, on each node and in
 * all, and how often an allocation got the node that it wanted (numastat(8)).
 *
 * With one node there is nothing to count beyond what the page allocator
 * counts anyway: numa_key is off, and node 0 shows those figures.
 */
#include "page_internal.h"

#include <nos/assert.h>
#include <nos/cpu.h>
#include <nos/string.h>

struct node_counts {
	s64 kind[8];
	u64 event[NR_NODE_EVENTS];
};
static DEFINE_PERCPU(struct node_counts[NUMA_MAX_NODES], node_counts);

DEFINE_STATIC_KEY(numa_key);

const struct node_choice node_choice_local = { .allowed = U64_MAX, .first = NUMA_HERE };

void node_count_alloc(unsigned node, unsigned here, unsigned wanted, bool interleaved)
{
	if (node == wanted) {
		this_cpu_add(node_counts[node].event[NUMA_HIT], 1ul);
		if (interleaved)
			this_cpu_add(node_counts[node].event[NUMA_INTERLEAVE_HIT], 1ul);
	} else {
		this_cpu_add(node_counts[node].event[NUMA_MISS], 1ul);
		this_cpu_add(node_counts[wanted].event[NUMA_FOREIGN], 1ul);
	}
	this_cpu_add(node_counts[node].event[node == here ? NUMA_LOCAL : NUMA_OTHER], 1ul);
}

void node_count_kind(const struct folio *f, enum folio_kind kind, s64 nr)
{
	this_cpu_add(node_counts[folio_node(f)].kind[kind], nr);
}

unsigned memory_nr_nodes(void)
{
	return static_key_is_on(&numa_key) ? numa_nr_nodes() : 1;
}

u64 memory_node_map(void)
{
	u64 map = 0;

	for (unsigned n = 0; n < memory_nr_nodes(); n++)
		if (page_node_total(n))
			map |= bit(n);
	return map;
}

void node_stats_read(unsigned node, struct node_stats *s)
{
	struct memory_stats m;

	memset(s, 0, sizeof(*s));
	s->total = page_node_total(node);
	s->free = page_node_free(node);
	if (!static_key_is_on(&numa_key)) {
		memory_stats_read(&m);
		s->free = m.free;
		s->kind[FOLIO_SLAB] = m.slab;
		s->kind[FOLIO_PAGE_TABLE] = m.page_tables;
		s->kind[FOLIO_ANON] = m.anon;
		s->kind[FOLIO_FILE] = m.file;
		s->event[NUMA_HIT] = m.allocs;
		s->event[NUMA_LOCAL] = m.allocs;
		return;
	}
	for (unsigned k = 0; k < ARRAY_SIZE(s->kind); k++) {
		s64 sum = 0;

		for_each_cpu(cpu) sum += (*per_cpu_ptr(node_counts, cpu))[node].kind[k];
		s->kind[k] = (u64)max(sum, (s64)0);
	}
	for (unsigned e = 0; e < NR_NODE_EVENTS; e++)
		for_each_cpu(cpu) s->event[e] += (*per_cpu_ptr(node_counts, cpu))[node].event[e];
}

static void __init count_range(u64 first, u64 end)
{
	for (u64 frame = first; frame < end; frame++) {
		const struct folio *f = FRAME_TABLE + frame;

		if (page_frame_is_taken(frame) && f->kind != FOLIO_FREE && !f->is_tail)
			node_count_kind(f, f->kind, 1 << f->order);
	}
}

void __init node_counts_init(void)
{
	for (unsigned i = 0; i < boot_info.nr_ranges; i++) {
		const struct boot_range *r = &boot_info.ranges[i];

		if (r->type == 1)
			count_range(r->start >> PAGE_SHIFT, r->end >> PAGE_SHIFT);
	}
	static_key_set(&numa_key, true);
}

/* ---- frames by kind ---- */

/* Frames that were allocated and not freed; what was freed is the rest of those ever allocated. */
static s64 page_nr_in_use(void)
{
	s64 sum = 0;

	for_each_cpu(cpu) for (unsigned k = 0; k < 16; k++) sum +=
		(*per_cpu_ptr(frames_by_kind, cpu))[k];
	return sum;
}

s64 page_nr_of_kind(enum folio_kind kind)
{
	s64 sum = 0;

	for_each_cpu(cpu) sum += (*per_cpu_ptr(frames_by_kind, cpu))[kind];
	return max(sum, (s64)0);
}

#ifdef DEBUG
static s64 permanent[16];

void page_note_permanent(enum folio_kind kind, u64 nr)
{
	(void)atomic_add(&permanent[kind], (s64)nr);
}

s64 page_nr_passing(enum folio_kind kind)
{
	return page_nr_of_kind(kind) - atomic_load_relaxed(&permanent[kind]);
}
#endif

/* Equally far ones start behind `from`, in turn, so that not all fall back on the first. */
void __init node_list_by_distance(u8 *list, unsigned from, unsigned nr)
{
	for (unsigned k = 0; k < nr; k++) {
		u8 n = (u8)((from + k) % nr);
		unsigned at = k;

		for (; at > 1 && numa_distance(from, list[at - 1]) > numa_distance(from, n); at--)
			list[at] = list[at - 1];
		list[at] = n;
	}
}

/* The page allocator's part of the figures; the other owners add theirs. */
void page_stats_read(struct memory_stats *s)
{
	s->total = page_nr_total();
	s->free = page_nr_free();
	s->slab = (u64)page_nr_of_kind(FOLIO_SLAB);
	s->page_tables = (u64)page_nr_of_kind(FOLIO_PAGE_TABLE);
	s->anon = (u64)page_nr_of_kind(FOLIO_ANON);
	s->file = (u64)page_nr_of_kind(FOLIO_FILE);
	s->pipe = (u64)page_nr_of_kind(FOLIO_PIPE);
	for_each_cpu(cpu) s->allocs += *per_cpu_ptr(frames_allocated, cpu);
	s->frees = s->allocs - (u64)page_nr_in_use();
}
