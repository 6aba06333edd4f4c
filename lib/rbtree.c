/*
 * Red-black tree with embedded nodes (Cormen et al., chapter 13).
 *
 * Invariants.
 *   (1) a red node has no red child;
 *   (2) every path from a node to a leaf has the same number of black nodes.
 * The parent's pointer carries the colour in bit 0 (1 = black); missing
 * children count as black.
 */
#include <nos/assert.h>
#include <nos/rbtree.h>

#define BLACK 1ul

static inline struct rb_node *parent_of(const struct rb_node *n)
{
	return (struct rb_node *)(n->parent_color & ~BLACK);
}

static inline bool is_black(const struct rb_node *n)
{
	return !n || (n->parent_color & BLACK);
}

static inline bool is_red(const struct rb_node *n)
{
	return !is_black(n);
}

static inline void set_parent(struct rb_node *n, struct rb_node *parent)
{
	n->parent_color = (uintptr_t)parent | (n->parent_color & BLACK);
}

static inline void set_black(struct rb_node *n)
{
	n->parent_color |= BLACK;
}

static inline void set_red(struct rb_node *n)
{
	n->parent_color &= ~BLACK;
}

/* Puts `new` in the place that `old` has below its parent. */
static void replace_child(struct rb_root *root, struct rb_node *parent, struct rb_node *old,
			  struct rb_node *new)
{
	if (!parent)
		root->node = new;
	else if (parent->left == old)
		parent->left = new;
	else
		parent->right = new;
}

static void rotate_left(struct rb_root *root, struct rb_node *n)
{
	struct rb_node *up = n->right, *parent = parent_of(n);

	n->right = up->left;
	if (up->left)
		set_parent(up->left, n);
	up->left = n;
	set_parent(up, parent);
	replace_child(root, parent, n, up);
	set_parent(n, up);
}

static void rotate_right(struct rb_root *root, struct rb_node *n)
{
	struct rb_node *up = n->left, *parent = parent_of(n);

	n->left = up->right;
	if (up->right)
		set_parent(up->right, n);
	up->right = n;
	set_parent(up, parent);
	replace_child(root, parent, n, up);
	set_parent(n, up);
}

static void fix_insert(struct rb_root *root, struct rb_node *n)
{
	struct rb_node *parent;

	while ((parent = parent_of(n)) && is_red(parent)) {
		struct rb_node *grand = parent_of(parent);
		bool is_left = parent == grand->left;
		struct rb_node *uncle = is_left ? grand->right : grand->left;

		if (is_red(uncle)) {
			set_black(parent);
			set_black(uncle);
			set_red(grand);
			n = grand;
			continue;
		}
		if (is_left && n == parent->right) {
			rotate_left(root, parent);
			swap(n, parent);
		} else if (!is_left && n == parent->left) {
			rotate_right(root, parent);
			swap(n, parent);
		}
		set_black(parent);
		set_red(grand);
		if (is_left)
			rotate_right(root, grand);
		else
			rotate_left(root, grand);
	}
	set_black(root->node);
}

void rb_insert(struct rb_root *root, struct rb_node *n, struct rb_node *parent,
	       struct rb_node **link)
{
	n->parent_color = (uintptr_t)parent;
	n->left = NULL;
	n->right = NULL;
	*link = n;
	fix_insert(root, n);
}

/* The paths through n (perhaps NULL) below parent lack one black node. */
static void fix_remove(struct rb_root *root, struct rb_node *n, struct rb_node *parent)
{
	while (n != root->node && is_black(n)) {
		bool is_left = parent->left == n;
		struct rb_node *sibling = is_left ? parent->right : parent->left;

		if (is_red(sibling)) {
			set_black(sibling);
			set_red(parent);
			if (is_left)
				rotate_left(root, parent);
			else
				rotate_right(root, parent);
			sibling = is_left ? parent->right : parent->left;
		}

		/* The side that lacks no black node has one at least. */
		ASSERT(sibling);
		struct rb_node *near = is_left ? sibling->left : sibling->right;
		struct rb_node *far = is_left ? sibling->right : sibling->left;

		if (is_black(near) && is_black(far)) {
			set_red(sibling);
			n = parent;
			parent = parent_of(n);
			continue;
		}
		if (is_black(far)) {
			set_black(near);
			set_red(sibling);
			if (is_left)
				rotate_right(root, sibling);
			else
				rotate_left(root, sibling);
			far = sibling;
			sibling = near;
		}
		sibling->parent_color =
			(sibling->parent_color & ~BLACK) | (parent->parent_color & BLACK);
		set_black(parent);
		set_black(far);
		if (is_left)
			rotate_left(root, parent);
		else
			rotate_right(root, parent);
		n = root->node;
		break;
	}
	if (n)
		set_black(n);
}

void rb_remove(struct rb_root *root, struct rb_node *n)
{
	struct rb_node *child, *parent;
	bool lost_black;

	if (n->left && n->right) {
		/* The successor, which has no left child, takes n's place and colour. */
		struct rb_node *next = n->right;

		while (next->left)
			next = next->left;
		child = next->right;
		lost_black = is_black(next);
		parent = parent_of(next);
		if (parent == n) {
			parent = next;
		} else {
			parent->left = child;
			if (child)
				set_parent(child, parent);
			next->right = n->right;
			set_parent(n->right, next);
		}
		next->left = n->left;
		set_parent(n->left, next);
		next->parent_color = n->parent_color;
		replace_child(root, parent_of(n), n, next);
	} else {
		child = n->left ? n->left : n->right;
		parent = parent_of(n);
		lost_black = is_black(n);
		replace_child(root, parent, n, child);
		if (child)
			set_parent(child, parent);
	}
	if (lost_black)
		fix_remove(root, child, parent);
}

struct rb_node *rb_first(const struct rb_root *root)
{
	struct rb_node *n = root->node;

	while (n && n->left)
		n = n->left;
	return n;
}

struct rb_node *rb_last(const struct rb_root *root)
{
	struct rb_node *n = root->node;

	while (n && n->right)
		n = n->right;
	return n;
}

struct rb_node *rb_next(const struct rb_node *n)
{
	struct rb_node *parent;

	if (n->right) {
		n = n->right;
		while (n->left)
			n = n->left;
		return (struct rb_node *)n;
	}
	while ((parent = parent_of(n)) && n == parent->right)
		n = parent;
	return parent;
}

struct rb_node *rb_prev(const struct rb_node *n)
{
	struct rb_node *parent;

	if (n->left) {
		n = n->left;
		while (n->right)
			n = n->right;
		return (struct rb_node *)n;
	}
	while ((parent = parent_of(n)) && n == parent->left)
		n = parent;
	return parent;
}
