#include <nos/rbtree.h>
#include <nos/test.h>

#define NR_ITEMS 300

struct item {
	struct rb_node node;
	u32 key;
	bool linked;
};

static struct item items[NR_ITEMS];
static u64 random_state;

static u32 next_random(void)
{
	random_state = random_state * 6364136223846793005ull + 1442695040888963407ull;
	return (u32)(random_state >> 33);
}

static void insert(struct rb_root *root, struct item *it)
{
	struct rb_node **link = &root->node, *parent = NULL;

	while (*link) {
		parent = *link;
		link = it->key < rb_entry(parent, struct item, node)->key ? &parent->left :
									    &parent->right;
	}
	rb_insert(root, &it->node, parent, link);
	it->linked = true;
}

/* Black height, or −1 if the tree breaks a rule. */
static int check_subtree(const struct rb_node *n, const struct rb_node *parent)
{
	if (!n)
		return 1;
	if ((struct rb_node *)(n->parent_color & ~1ul) != parent)
		return -1;

	bool black = n->parent_color & 1;

	if (!black && parent && !(parent->parent_color & 1))
		return -1;

	int left = check_subtree(n->left, n), right = check_subtree(n->right, n);

	if (left < 0 || left != right)
		return -1;
	return left + black;
}

static void check(const struct rb_root *root, unsigned expected)
{
	unsigned count = 0;
	u32 last = 0;

	EXPECT(check_subtree(root->node, NULL) > 0);
	for (struct rb_node *n = rb_first(root); n; n = rb_next(n)) {
		EXPECT(rb_entry(n, struct item, node)->key >= last);
		last = rb_entry(n, struct item, node)->key;
		count++;
	}
	EXPECT_EQ(count, expected);
	count = 0;
	for (struct rb_node *n = rb_last(root); n; n = rb_prev(n))
		count++;
	EXPECT_EQ(count, expected);
}

TEST(rbtree_random_inserts_and_removes)
{
	struct rb_root root = { NULL };
	unsigned count = 0;

	random_state = 42;
	for (unsigned i = 0; i < NR_ITEMS; i++)
		items[i].linked = false;
	for (unsigned step = 0; step < 3000; step++) {
		struct item *it = &items[next_random() % NR_ITEMS];

		if (it->linked) {
			rb_remove(&root, &it->node);
			it->linked = false;
			count--;
		} else {
			it->key = next_random() % 1000;
			insert(&root, it);
			count++;
		}
		if (step % 16 == 0)
			check(&root, count);
	}
	for (unsigned i = 0; i < NR_ITEMS; i++) {
		if (items[i].linked) {
			rb_remove(&root, &items[i].node);
			check(&root, --count);
		}
	}
	EXPECT(root.node == NULL);
}

TEST(rbtree_ascending_stays_balanced)
{
	struct rb_root root = { NULL };

	for (unsigned i = 0; i < NR_ITEMS; i++) {
		items[i].key = i;
		insert(&root, &items[i]);
	}
	check(&root, NR_ITEMS);
	EXPECT(check_subtree(root.node, NULL) <= 9);
}
