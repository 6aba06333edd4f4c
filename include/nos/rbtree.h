/* Red-black tree with an embedded node (lib/rbtree.c). */
#pragma once

#include <nos/types.h>

struct rb_node {
	uintptr_t parent_color;
	struct rb_node *left;
	struct rb_node *right;
};

struct rb_root {
	struct rb_node *node;
};

/* Links n below parent at *link (found by the caller's own descent), then rebalances. */
void rb_insert(struct rb_root *root, struct rb_node *n, struct rb_node *parent,
	       struct rb_node **link);
void rb_remove(struct rb_root *root, struct rb_node *n);
struct rb_node *rb_first(const struct rb_root *root);
struct rb_node *rb_last(const struct rb_root *root);
struct rb_node *rb_next(const struct rb_node *n);
struct rb_node *rb_prev(const struct rb_node *n);
#define rb_entry(n, type, member) container_of(n, type, member)
