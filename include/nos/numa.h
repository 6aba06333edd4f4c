/*
 * Memory by node (mm/page_alloc.c, mm/page_node.c).  numa_key is on where the
 * machine has several nodes (SRAT) and opt.numa is not off; else there is node 0.
 */
#pragma once

#include <nos/page.h>
#include <nos/static_key.h>

extern struct static_key numa_key;

/* Where to take a folio from. */
struct node_choice {
	u64 allowed; /* bit for each node that will do */
	u8 first; /* the nearest to this one first; NUMA_HERE: the CPU's own */
	bool interleaved; /* how `first` was chosen: for the figures */
	bool falls_back; /* where those allowed have nothing, any will do */
};
#define NUMA_HERE 255u
extern const struct node_choice
	node_choice_local; /* or, for users' data, as the thread's policy says */

/* folio_alloc from the nodes of `choice`. */
struct folio *folio_alloc_from(const struct node_choice *choice, unsigned order,
			       enum folio_kind kind, u32 flags);
/* Node of the memory; 0 with numa_key off. */
unsigned page_node_of(phys_t p);
static inline unsigned folio_node(const struct folio *f)
{
	return page_node_of(folio_to_phys(f));
}
/* 1 with numa_key off. */
unsigned memory_nr_nodes(void);
u64 memory_node_map(void); /* nodes that have memory */

/* Figures of a node in pages: sysfs, numastat(8). */
enum node_event {
	NUMA_HIT, /* the node was wanted and could give */
	NUMA_MISS, /* it gave what another was wanted for */
	NUMA_FOREIGN, /* it was wanted, another gave */
	NUMA_INTERLEAVE_HIT,
	NUMA_LOCAL, /* given to a CPU of the node */
	NUMA_OTHER, /* given to a CPU of another */
	NR_NODE_EVENTS,
};
struct node_stats {
	u64 total, free;
	u64 kind[8]; /* by enum folio_kind */
	u64 event[NR_NODE_EVENTS];
};
void node_stats_read(unsigned node, struct node_stats *s);
