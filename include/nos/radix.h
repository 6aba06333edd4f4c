/*
 * Radix tree: u64 index → pointer, 64 slots a node (lib/radix.c).
 *
 * Lookups may run under RCU while one writer (serialised by the caller's lock)
 * changes the tree: a slot is published with release order, nodes are freed by
 * `free_node`, which the owner defines to wait for readers.  Three mark bits a
 * slot (dirty, write-back, user) are searched without visiting unmarked parts.
 */
#pragma once

#include <nos/types.h>

#define RADIX_BITS 6
#define RADIX_SLOTS 64
#define RADIX_MARKS 3

struct radix_node;

struct radix_tree {
	struct radix_node *root;
	u8 height; /* levels; 0 = empty */
	u64 count; /* entries */
};

/* Where nodes come from; NULL members are not allowed. */
struct radix_allocator {
	void *(*alloc)(size_t bytes); /* zeroed, or NULL */
	void (*free_deferred)(void *node); /* after all readers are gone */
};
extern const struct radix_allocator radix_default_allocator; /* defined by mm */

void *radix_find(const struct radix_tree *t, u64 index);
/* The slots from `index` on, *nr of them, to the end of its node; NULL: no node.  Under RCU they are
 * read one by one with READ_ONCE, and may be NULL or become so. */
void *const *radix_find_slots(const struct radix_tree *t, u64 index, unsigned *nr);
/* First entry at or after *index (updates it), NULL if none. */
void *radix_find_next(const struct radix_tree *t, u64 *index);
void *radix_find_marked(const struct radix_tree *t, u64 *index, unsigned mark);
int radix_insert(struct radix_tree *t, u64 index, void *item) __must_check; /* -EEXIST, -ENOMEM */
/* The same item at `nr` indices from `index` on, at none of them or all; none but the first is a multiple of 64. */
int radix_insert_run(struct radix_tree *t, u64 index, unsigned nr, void *item) __must_check;
void *radix_replace(struct radix_tree *t, u64 index, void *item); /* must exist; returns the old */
void *radix_remove(struct radix_tree *t, u64 index);
void radix_mark(struct radix_tree *t, u64 index, unsigned mark);
void radix_unmark(struct radix_tree *t, u64 index, unsigned mark);
bool radix_is_marked(const struct radix_tree *t, u64 index, unsigned mark);
