/*
 * Memory policies: from which nodes a thread or a mapping gets its memory.
 *
 * A mapping's policy goes before the thread's, the thread's before "the nearest
 * node".  They govern users' data (anonymous memory, page cache, pipes); what
 * the kernel needs for itself comes from the nearest node always.
 *
 * Invariants.
 *   (1) a policy that others can see does not change; a mapping and a thread
 *       hold a reference on theirs.
 *   (2) a thread's policy is written by itself alone.  Faults read a mapping's
 *       without its lock: policies are freed after a grace period.
 *
 * A mapping of memory files and shared anonymous memory has a policy of its own
 * here, for what is touched through it; Linux keeps one for the object.
 */
#include <nos/memory_policy.h>

#include "aspace_internal.h"
#include "page_internal.h"

#include <nos/assert.h>
#include <nos/errno.h>
#include <nos/rcu.h>
#include <nos/slab.h>
#include <nos/string.h>
#include <nos/thread.h>

#include <linux/mempolicy.h>

/* ---- sets of nodes ---- */

static bool mask_is_empty(const struct node_mask *m)
{
	u64 all = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(m->word); i++)
		all |= m->word[i];
	return all == 0;
}

static unsigned nth_bit(u64 map, unsigned n)
{
	while (n--)
		map &= map - 1;
	return (unsigned)__builtin_ctzll(map);
}

/* MPOL_F_RELATIVE_NODES: bit n stands for the (n mod their number)th of the nodes there are. */
static u64 mask_relative(const struct node_mask *m, u64 nodes)
{
	unsigned nr = (unsigned)__builtin_popcountll(nodes);
	u64 map = 0;

	for (unsigned i = 0; i < NODE_MASK_BITS; i++)
		if (m->word[i / 64] >> (i % 64) & 1)
			map |= bit(nth_bit(nodes, i % nr));
	return map;
}

/* ---- life ---- */

struct memory_policy *memory_policy_create(unsigned mode, unsigned flags,
					   const struct node_mask *nodes)
{
	bool empty = mask_is_empty(nodes);
	u64 there = memory_node_map(), map;

	if (mode == MPOL_DEFAULT)
		return empty ? NULL : err_ptr(-EINVAL);
	if (mode == MPOL_PREFERRED && empty)
		mode = MPOL_LOCAL;
	if (mode == MPOL_LOCAL ? !empty || (flags & (MPOL_F_STATIC_NODES | MPOL_F_RELATIVE_NODES)) :
				 empty)
		return err_ptr(-EINVAL);
	map = flags & MPOL_F_RELATIVE_NODES ? mask_relative(nodes, there) : nodes->word[0] & there;
	if (mode == MPOL_PREFERRED)
		map &= -map;
	if (mode != MPOL_LOCAL && !map)
		return err_ptr(-EINVAL);
	struct memory_policy *p = kmalloc(sizeof(*p), 0);

	if (!p)
		return err_ptr(-ENOMEM);
	*p = (struct memory_policy){
		.mode = (u16)mode,
		.flags = (u16)(flags & MPOL_MODE_FLAGS),
		.home = -1,
		.nodes = map,
		.user = *nodes,
	};
	ref_init(&p->refs, 1);
	return p;
}

struct memory_policy *memory_policy_copy(const struct memory_policy *from)
{
	struct memory_policy *p = kmalloc(sizeof(*p), 0);

	if (p) {
		*p = *from;
		ref_init(&p->refs, 1);
	}
	return p;
}

void memory_policy_get(const struct memory_policy *p)
{
	if (unlikely(p))
		ref_get(&((struct memory_policy *)p)->refs);
}

void memory_policy_put(const struct memory_policy *p)
{
	if (unlikely(p) && ref_put(&((struct memory_policy *)p)->refs))
		kfree_rcu((struct memory_policy *)p);
}

bool memory_policy_alike(const struct memory_policy *a, const struct memory_policy *b)
{
	return a->mode == b->mode && a->flags == b->flags && a->home == b->home &&
	       a->nodes == b->nodes && (!a->flags || !memcmp(&a->user, &b->user, sizeof(a->user)));
}

void memory_policy_set(struct memory_policy *p)
{
	struct thread *t = current_thread;
	const struct memory_policy *old = t->memory_policy;

	t->interleave_last = NUMA_MAX_NODES - 1; /* the first node comes first */
	WRITE_ONCE(t->memory_policy, p);
	memory_policy_put(old);
}

void memory_policy_inherit(struct thread *t)
{
	memory_policy_get(current_thread->memory_policy);
	t->memory_policy = current_thread->memory_policy;
	t->interleave_last = current_thread->interleave_last;
}

/* ---- choice ---- */

unsigned memory_policy_next_node(const struct memory_policy *p)
{
	u64 above = p->nodes & ~(bit(current_thread->interleave_last + 1u) - 1);

	return (unsigned)__builtin_ctzll(above ? above : p->nodes);
}

static struct node_choice choose(const struct memory_policy *p, unsigned interleaved)
{
	struct node_choice c = node_choice_local;

	switch (p->mode) {
	case MPOL_BIND:
	case MPOL_PREFERRED_MANY:
		c.allowed = p->nodes;
		c.falls_back = p->mode == MPOL_PREFERRED_MANY;
		if (p->home >= 0)
			c.first = (u8)p->home;
		break;
	case MPOL_PREFERRED:
		c.first = (u8)__builtin_ctzll(p->nodes);
		break;
	case MPOL_INTERLEAVE:
		c.first = (u8)interleaved;
		c.interleaved = true;
		break;
	default:
		break;
	}
	return c;
}

struct node_choice memory_policy_choose(const struct memory_policy *p, u64 index)
{
	if (!p)
		p = current_thread->memory_policy;
	if (likely(!p))
		return node_choice_local;
	unsigned nr = (unsigned)__builtin_popcountll(p->nodes);

	return choose(p, nr ? nth_bit(p->nodes, (unsigned)(index % nr)) : 0);
}

struct node_choice memory_policy_choose_next(const struct memory_policy *p)
{
	unsigned node = 0;

	if (p->mode == MPOL_INTERLEAVE) {
		node = memory_policy_next_node(p);
		current_thread->interleave_last = (u8)node;
	}
	return choose(p, node);
}

struct folio *folio_alloc_waiting(struct aspace *a, u64 address, bool *bound)
{
	struct node_choice c = node_choice_local;

	if (static_key_is_on(&numa_key)) {
		rwlock_read(&a->lock);
		const struct mapping *m = mapping_find(a, address);

		if (m)
			c = memory_policy_choose(m->policy, mapping_page_index(m, address));
		rwlock_read_unlock(&a->lock);
	}
	*bound = !c.falls_back && (memory_node_map() & ~c.allowed);
	return folio_alloc_from(&c, 0, FOLIO_ANON,
				(*bound ? ALLOC_NORETRY : ALLOC_USER) | ALLOC_MOVABLE);
}

struct folio *folio_alloc_by_policy(const struct mapping *m, u64 address, u32 flags)
{
	const struct memory_policy *p = READ_ONCE(m->policy);
	struct folio *f =
		(flags & ALLOC_ZERO) && !p && !current_thread->memory_policy ? zeroed_take() : NULL;

	if (f)
		return f;
	const struct node_choice c = memory_policy_choose(p, mapping_page_index(m, address));

	return folio_alloc_from(&c, 0, FOLIO_ANON, flags);
}
