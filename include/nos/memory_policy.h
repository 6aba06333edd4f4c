/*
 * Memory policies (mm/memory_policy.c, mm/migrate.c): which nodes a thread, or
 * a mapping, wants its memory from; set_mempolicy(2), mbind(2).  A policy does
 * not change once others can see it, and is freed after a grace period.
 */
#pragma once

#include <nos/numa.h>
#include <nos/ref.h>
#include <nos/types.h>

struct aspace;
struct mapping;
struct thread;

#define NODE_MASK_BITS 1024u /* of masks that users give: Linux's MAX_NUMNODES */
struct node_mask {
	u64 word[NODE_MASK_BITS / 64];
};

struct memory_policy {
	struct ref refs;
	u16 mode; /* MPOL_ of <linux/mempolicy.h>; never MPOL_DEFAULT: that is no policy */
	u16 flags; /* MPOL_MODE_FLAGS */
	s16 home; /* node, or -1 */
	u64 nodes; /* of the machine's */
	struct node_mask user; /* as they were given */
};

/* NULL for MPOL_DEFAULT; ERR: -EINVAL, -ENOMEM.  `mode` and `flags` are known to be valid. */
struct memory_policy *memory_policy_create(unsigned mode, unsigned flags,
					   const struct node_mask *nodes);
struct memory_policy *memory_policy_copy(const struct memory_policy *p); /* NULL: no memory */
void memory_policy_get(const struct memory_policy *p); /* NULL is fine */
void memory_policy_put(const struct memory_policy *p);
bool memory_policy_alike(const struct memory_policy *a, const struct memory_policy *b);
static inline bool memory_policy_equal(const struct memory_policy *a, const struct memory_policy *b)
{
	return likely(a == b) || (a && b && memory_policy_alike(a, b));
}

/* The current thread's; it takes over the reference.  Threads it makes inherit it. */
void memory_policy_set(struct memory_policy *p);
/* A thread that does not run yet. */
void memory_policy_inherit(struct thread *t);
/* The node that an interleaving thread gets next. */
unsigned memory_policy_next_node(const struct memory_policy *p);

/* By the policy of a mapping, else the thread's; for the page `index` of it.  Under RCU. */
struct node_choice memory_policy_choose(const struct memory_policy *p, u64 index);
/* The thread's, for what is not in a mapping. */
struct node_choice memory_policy_choose_next(const struct memory_policy *p);

/* ---- address spaces: all take the lock ---- */

#define BIND_STRICT 1u
#define BIND_MOVE 2u
#define BIND_MOVE_ALL 4u /* pages of several processes too */
/* Takes over the reference: 0, -EFAULT (a hole), -EIO (pages are elsewhere), -ENOMEM. */
int aspace_bind(struct aspace *a, u64 start, u64 end, struct memory_policy *p, u32 flags);
/* -ENOENT: no mapping there has a policy; -EOPNOTSUPP: one that knows no home. */
int aspace_bind_home(struct aspace *a, u64 start, u64 end, unsigned node);
/* The policy at the address, with a reference, or NULL; -EFAULT: no mapping. */
int aspace_policy_at(struct aspace *a, u64 address, const struct memory_policy **p);
/* The node of the page; -ENOENT: none there, -EFAULT: no mapping, or the page of zeros. */
int aspace_page_node(struct aspace *a, u64 address);
/* Moves a page there: its node, -EBUSY, -EACCES (others have it too), or as above. */
int aspace_page_move(struct aspace *a, u64 address, unsigned node);
/* Moves private pages from nodes of `from` to those of `to`, by rank: pages that could not be moved. */
s64 aspace_migrate(struct aspace *a, u64 from, u64 to);
