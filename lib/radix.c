/*
 * Radix tree from u64 to pointer, 64 slots a node, with marks.
 *
 * Readers run without a lock while one writer changes the tree.  They take the
 * depth from the node that they hold (`shift`), never from the tree, so a
 * change of height can't confuse them: growing puts a new root above, and the
 * old root stays valid; shrinking leaves the retired root's slot 0 in place
 * until all its readers are gone.
 *
 * Invariants.
 *   (1) a node in the tree has count > 0, except inside a write operation;
 *   (2) mark m of a slot of an inner node is set exactly if some slot of the
 *       child has mark m set;
 *   (3) a slot is published (release) after what it points to is complete.
 */
#include <nos/errno.h>
#include <nos/radix.h>
#include <nos/string.h>

struct radix_node {
	u8 shift; /* bits of the index below this node */
	u8 offset; /* slot in the parent */
	u8 count; /* slots in use */
	struct radix_node *parent;
	u64 marks[RADIX_MARKS];
	void *slots[RADIX_SLOTS];
};

static inline unsigned slot_of(const struct radix_node *n, u64 index)
{
	return (index >> n->shift) % RADIX_SLOTS;
}

/* Does the subtree whose root is n (as the tree's root) hold this index? */
static inline bool root_covers(const struct radix_node *n, u64 index)
{
	unsigned bits = n->shift + RADIX_BITS;

	return bits >= 64 || index >> bits == 0;
}

void *radix_find(const struct radix_tree *t, u64 index)
{
	struct radix_node *n = __atomic_load_n(&t->root, __ATOMIC_CONSUME);

	if (!n || !root_covers(n, index))
		return NULL;
	for (;;) {
		void *p = __atomic_load_n(&n->slots[slot_of(n, index)], __ATOMIC_CONSUME);

		if (!p || n->shift == 0)
			return p;
		n = p;
	}
}

void *const *radix_find_slots(const struct radix_tree *t, u64 index, unsigned *nr)
{
	struct radix_node *n = __atomic_load_n(&t->root, __ATOMIC_CONSUME);

	if (!n || !root_covers(n, index))
		return NULL;
	while (n->shift) {
		n = __atomic_load_n(&n->slots[slot_of(n, index)], __ATOMIC_CONSUME);
		if (!n)
			return NULL;
	}
	*nr = RADIX_SLOTS - index % RADIX_SLOTS;
	return &n->slots[index % RADIX_SLOTS];
}

/* First slot ≥ `from` that is in use (mark < 0) or marked; RADIX_SLOTS if none. */
static unsigned next_slot(const struct radix_node *n, unsigned from, int mark)
{
	if (mark >= 0) {
		u64 bits = READ_ONCE(n->marks[mark]) & (U64_MAX << from);

		return bits ? (unsigned)__builtin_ctzll(bits) : RADIX_SLOTS;
	}
	while (from < RADIX_SLOTS && !READ_ONCE(n->slots[from]))
		from++;
	return from;
}

/*
 * Descends to the first entry at or after *index.  When a subtree turns out to
 * hold nothing more, *index moves to the start of the next one and the descent
 * restarts from the root: readers never follow parent pointers.
 */
static void *find_from(const struct radix_tree *t, u64 *index, int mark)
{
	for (;;) {
		struct radix_node *n = __atomic_load_n(&t->root, __ATOMIC_CONSUME);

		if (!n || !root_covers(n, *index))
			return NULL;
		for (;;) {
			unsigned first = slot_of(n, *index);
			unsigned s = next_slot(n, first, mark);
			unsigned node_bits = n->shift + RADIX_BITS;

			if (s == RADIX_SLOTS) {
				if (node_bits >= 64)
					return NULL;
				u64 next = ((*index >> node_bits) + 1) << node_bits;

				if (next <= *index)
					return NULL;
				*index = next;
				break;
			}
			if (s != first) {
				u64 base = node_bits >= 64 ? 0 : *index >> node_bits << node_bits;

				*index = base | (u64)s << n->shift;
			}
			void *p = __atomic_load_n(&n->slots[s], __ATOMIC_CONSUME);

			if (!p) /* removed meanwhile: look again from here */
				continue;
			if (n->shift == 0)
				return p;
			n = p;
		}
	}
}

void *radix_find_next(const struct radix_tree *t, u64 *index)
{
	return find_from(t, index, -1);
}

void *radix_find_marked(const struct radix_tree *t, u64 *index, unsigned mark)
{
	return find_from(t, index, (int)mark);
}

static struct radix_node *node_create(unsigned shift, struct radix_node *parent, unsigned offset)
{
	struct radix_node *n = radix_default_allocator.alloc(sizeof(*n));

	if (n) {
		n->shift = (u8)shift;
		n->parent = parent;
		n->offset = (u8)offset;
	}
	return n;
}

/* Adds roots until the tree covers index.  Marks of the old root move up. */
static int grow(struct radix_tree *t, u64 index)
{
	if (!t->root) {
		unsigned shift = 0;

		while (shift + RADIX_BITS < 64 && index >> (shift + RADIX_BITS))
			shift += RADIX_BITS;

		struct radix_node *n = node_create(shift, NULL, 0);

		if (!n)
			return -ENOMEM;
		t->height = (u8)(shift / RADIX_BITS + 1);
		atomic_store(&t->root, n);
		return 0;
	}
	while (!root_covers(t->root, index)) {
		struct radix_node *old = t->root;
		struct radix_node *n = node_create(old->shift + RADIX_BITS, NULL, 0);

		if (!n)
			return -ENOMEM;
		for (unsigned m = 0; m < RADIX_MARKS; m++)
			n->marks[m] = old->marks[m] != 0;
		n->slots[0] = old;
		n->count = 1;
		old->offset = 0;
		old->parent = n;
		t->height++;
		atomic_store(&t->root, n);
	}
	return 0;
}

/* Frees n and its ancestors as far as they are empty, then lowers the root. */
static void prune(struct radix_tree *t, struct radix_node *n)
{
	while (n && n->count == 0) {
		struct radix_node *parent = n->parent;

		if (parent) {
			atomic_store(&parent->slots[n->offset], NULL);
			parent->count--;
		} else {
			atomic_store(&t->root, NULL);
			t->height = 0;
		}
		radix_default_allocator.free_deferred(n);
		n = parent;
	}
	while ((n = t->root) && n->shift && n->count == 1 && n->slots[0]) {
		struct radix_node *child = n->slots[0];

		child->parent = NULL;
		t->height--;
		atomic_store(&t->root, child);
		radix_default_allocator.free_deferred(n);
	}
}

/* The leaf node for index, or NULL. */
static struct radix_node *leaf_of(const struct radix_tree *t, u64 index)
{
	struct radix_node *n = t->root;

	if (!n || !root_covers(n, index))
		return NULL;
	while (n && n->shift)
		n = n->slots[slot_of(n, index)];
	return n;
}

/* The leaf node for index, with the way to it made; NULL: no memory, and nothing is left. */
static inline struct radix_node *leaf_make(struct radix_tree *t, u64 index)
{
	if (grow(t, index)) {
		if (t->root)
			prune(t, t->root);
		return NULL;
	}

	struct radix_node *n = t->root;

	while (n->shift) {
		unsigned s = slot_of(n, index);
		struct radix_node *child = n->slots[s];

		if (!child) {
			child = node_create(n->shift - RADIX_BITS, n, s);
			if (!child) {
				prune(t, n);
				return NULL;
			}
			n->count++;
			atomic_store(&n->slots[s], child);
		}
		n = child;
	}
	return n;
}

int radix_insert(struct radix_tree *t, u64 index, void *item)
{
	struct radix_node *n = leaf_make(t, index);

	if (!n)
		return -ENOMEM;

	unsigned s = slot_of(n, index);

	if (n->slots[s])
		return -EEXIST;
	n->count++;
	t->count++;
	atomic_store(&n->slots[s], item);
	return 0;
}

int radix_insert_run(struct radix_tree *t, u64 index, unsigned nr, void *item)
{
	struct radix_node *n = leaf_make(t, index);

	if (!n)
		return -ENOMEM;

	void **first = &n->slots[slot_of(n, index)];

	for (unsigned i = 0; i < nr; i++)
		if (first[i]) /* then the node is not empty either */
			return -EEXIST;
	n->count = (u8)(n->count + nr);
	t->count += nr;
	for (unsigned i = 0; i < nr; i++)
		atomic_store(&first[i], item);
	return 0;
}

void *radix_replace(struct radix_tree *t, u64 index, void *item)
{
	struct radix_node *n = leaf_of(t, index);
	void *old = n->slots[slot_of(n, index)];

	atomic_store(&n->slots[slot_of(n, index)], item);
	return old;
}

void *radix_remove(struct radix_tree *t, u64 index)
{
	struct radix_node *n = leaf_of(t, index);

	if (!n || !n->slots[slot_of(n, index)])
		return NULL;
	for (unsigned m = 0; m < RADIX_MARKS; m++)
		radix_unmark(t, index, m);

	void *old = n->slots[slot_of(n, index)];

	atomic_store(&n->slots[slot_of(n, index)], NULL);
	n->count--;
	t->count--;
	prune(t, n);
	return old;
}

void radix_mark(struct radix_tree *t, u64 index, unsigned mark)
{
	struct radix_node *n = leaf_of(t, index);
	unsigned s = slot_of(n, index);

	for (;;) {
		if (n->marks[mark] & bit(s))
			return;
		WRITE_ONCE(n->marks[mark], n->marks[mark] | bit(s));
		if (!n->parent)
			return;
		s = n->offset;
		n = n->parent;
	}
}

void radix_unmark(struct radix_tree *t, u64 index, unsigned mark)
{
	struct radix_node *n = leaf_of(t, index);

	if (!n)
		return;

	unsigned s = slot_of(n, index);

	while (n->marks[mark] & bit(s)) {
		WRITE_ONCE(n->marks[mark], n->marks[mark] & ~bit(s));
		if (n->marks[mark] || !n->parent)
			return;
		s = n->offset;
		n = n->parent;
	}
}

bool radix_is_marked(const struct radix_tree *t, u64 index, unsigned mark)
{
	struct radix_node *n = leaf_of(t, index);

	return n && (n->marks[mark] >> slot_of(n, index)) & 1;
}
