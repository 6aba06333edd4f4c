/*
 * What a processor with process-context identifiers (PCIDs) may still hold of address spaces that
 * it has not loaded (mm): the choice of PCID and of flush.  Nothing here touches the machine.
 *
 * Each CPU has a few slots, one a PCID.  A slot remembers an address space, by an id that no
 * other ever gets, and up to which of its flushes what the TLB holds under the PCID is clean.
 * The address space counts its flushes: number n is the one that moved the count to n.
 *
 * Invariant: under a slot's PCID lies nothing that flush 1, 2, ... or `generation` was about.
 */
#pragma once

#include <nos/types.h>

#define TLB_SLOTS 6u

struct tlb_slot {
	u64 id; /* of the address space; 0: none yet */
	u64 generation;
};

struct tlb_slots {
	struct tlb_slot slot[TLB_SLOTS];
	u32 loaded; /* the slot of the address space that is loaded, if one is */
	u32 next; /* to be given away */
};

enum tlb_load {
	TLB_KEEP, /* what the TLB holds under the PCID is right */
	TLB_BEHIND, /* it is the address space's, but flushes were missed: drop it */
	TLB_OTHER, /* it is another one's: drop it */
};

/* PCID 0 is the kernel's own table's. */
static inline u32 tlb_slots_pcid(const struct tlb_slots *s)
{
	return s->loaded + 1;
}

/*
 * The address space gets a slot, which becomes the loaded one.  `generation` was read after the
 * CPU was noted as one that has it loaded: from there on, flushes are told to the CPU.
 */
static inline enum tlb_load tlb_slots_load(struct tlb_slots *s, u64 id, u64 generation)
{
	u32 i = 0;

	while (i < TLB_SLOTS && s->slot[i].id != id)
		i++;
	if (i < TLB_SLOTS && s->slot[i].generation == generation) {
		s->loaded = i;
		return TLB_KEEP;
	}
	enum tlb_load how = i < TLB_SLOTS ? TLB_BEHIND : TLB_OTHER;

	if (how == TLB_OTHER) {
		i = s->next;
		s->next = (i + 1) % TLB_SLOTS;
	}
	s->slot[i] = (struct tlb_slot){ id, generation };
	s->loaded = i;
	return how;
}

/*
 * Flush number `generation` was done to what is loaded.  Flushes may come in another order than
 * their numbers: after a gap the slot stays behind, and the next load drops all.
 */
static inline void tlb_slots_flushed(struct tlb_slots *s, u64 generation)
{
	struct tlb_slot *l = &s->slot[s->loaded];

	if (l->generation + 1 == generation)
		l->generation = generation;
}

/* All that was loaded has been dropped; `generation` was read before. */
static inline void tlb_slots_flushed_all(struct tlb_slots *s, u64 generation)
{
	s->slot[s->loaded].generation = generation;
}
