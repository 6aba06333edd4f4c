/*
 * Mount propagation: mounts that show each other's changes (mount_namespaces(7)).
 *
 * Concepts.  A *shared* mount belongs to a group of peers: what is mounted or
 * taken away below one of them is below all.  A *slave* gets what happens
 * in the group of its master and gives nothing back; it may itself be shared.
 * A private mount does neither; an unbindable one is private and can't be the
 * source of a bind.  A copy of a mount (bind, new namespace) is its peer if it
 * is shared, and a slave of the same master if it is a slave.
 *
 * An attachment to a shared mount makes one copy of the tree for each mount that
 * the change reaches (the *receivers*: peers, their slaves, and so on), if its
 * part of the file system has the place.  The copies for peers are peers of each
 * other, those for slaves are slaves of the copy that the master got.
 *
 * Invariants.
 *   (1) only a shared mount has peers and slaves;
 *   (2) masters never form a circle; all peers of a group have the same master;
 *   (3) a mount in no tree is in no group.
 *
 * Locking.  All of it under mount_lock.  A walk's marks (visit, copy_here) are
 * valid until the next walk.
 *
 * References.  Linux's Documentation/filesystems/sharedsubtree.rst (behaviour).
 */
#include "internal.h"

#include <linux/fs.h>
#include "mount.h"

static u32 last_group, last_visit;

void mount_init_propagation(struct mount *m)
{
	list_init(&m->peers);
	list_init(&m->slaves);
	list_init(&m->slave_node);
	list_init(&m->visit_node);
	list_init(&m->tree_node);
}

/* ---- groups ---- */

static struct mount *next_peer(const struct mount *m)
{
	return list_entry(m->peers.next, struct mount, peers);
}

static void set_master(struct mount *m, struct mount *master)
{
	list_remove(&m->slave_node);
	m->master = master;
	if (master)
		list_push_back(&master->slaves, &m->slave_node);
}

/* The peer that takes m's place as a master, best one that shows the same; m is not alone. */
static struct mount *successor(const struct mount *m)
{
	for (struct mount *p = next_peer(m); p != m; p = next_peer(p))
		if (p->root == m->root)
			return p;
	return next_peer(m);
}

/* m leaves its group and follows it from now on; alone in it, it follows what the group followed. */
static void leave_group(struct mount *m)
{
	struct mount *heir = list_is_linked(&m->peers) ? successor(m) : m->master;
	struct list *n;

	if (!m->group_id)
		return;
	while ((n = list_pop_front(&m->slaves)))
		set_master(list_entry(n, struct mount, slave_node), heir);
	list_remove(&m->peers);
	m->group_id = 0;
	set_master(m, heir);
}

void mount_set_propagation(struct mount *m, u32 kind)
{
	if (kind == MS_SHARED) {
		m->unbindable = false;
		if (!m->group_id)
			m->group_id = ++last_group;
		return;
	}
	leave_group(m);
	if (kind == MS_SLAVE)
		return;
	set_master(m, NULL);
	m->unbindable = kind == MS_UNBINDABLE;
}

void mount_relate_copy(struct mount *n, struct mount *m, enum mount_copy how)
{
	if (how == COPY_SLAVE || how == COPY_SLAVE_SHARED) {
		set_master(n, m);
		if (how == COPY_SLAVE_SHARED)
			mount_set_propagation(n, MS_SHARED);
		return;
	}
	if (m->group_id) {
		n->group_id = m->group_id;
		list_push_back(&m->peers, &n->peers);
	}
	if (m->master)
		set_master(n, m->master);
	n->unbindable = m->unbindable;
}

bool mount_tree_has_unbindable(struct mount *top)
{
	for (struct mount *m = top; m; m = mount_next_in_tree(m, top))
		if (m->unbindable)
			return true;
	return false;
}

/* ---- walks ---- */

static void visit(struct mount *m, struct list *order)
{
	/* One without a namespace is about to be attached itself. */
	if (m->visit == last_visit || !m->ns)
		return;
	m->visit = last_visit;
	m->copy_here = NULL;
	list_push_back(order, &m->visit_node);
}

/* m, and all that its changes reach, masters before their slaves. */
static void receivers_collect(struct mount *m, struct list *order)
{
	last_visit++;
	visit(m, order);
	for (struct list *n = order->next; n != order; n = n->next) {
		struct mount *at = list_entry(n, struct mount, visit_node), *slave;

		for (struct mount *p = next_peer(at); p != at; p = next_peer(p))
			visit(p, order);
		list_for_each(slave, &at->slaves, slave_node)
			visit(slave, order);
	}
}

static void receivers_forget(struct list *order)
{
	while (list_pop_front(order))
		continue;
}

/* The copy that m's group has got in this walk; NULL. */
static struct mount *copy_in_group(struct mount *m)
{
	struct mount *p = m;

	do {
		if (p->visit == last_visit && p->copy_here)
			return p->copy_here;
		p = next_peer(p);
	} while (p != m);
	return NULL;
}

/* ---- attaching ---- */

static struct mount *copy_for(struct mount *m)
{
	struct mount *source = copy_in_group(m);
	enum mount_copy how = COPY_BIND;

	if (!source) {
		how = m->group_id ? COPY_SLAVE_SHARED : COPY_SLAVE;
		/* A master that does not show the place has none, but then its own has. */
		for (struct mount *up = m->master; up && !source; up = up->master)
			source = copy_in_group(up);
	}
	ASSERT(source);
	return mount_copy_tree(source, source->root, true, how);
}

static bool shows(const struct mount *m, const struct dentry *place)
{
	return dentry_is_ancestor(m->root, place);
}

int propagate_attach_prepare(const struct path *at, struct mount *top, struct list *receivers)
{
	struct list order = LIST_INIT(order), dead = LIST_INIT(dead);
	struct mount *m, *next;
	int err = 0;

	if (!at->mount->group_id)
		return 0;
	for (m = top; m; m = mount_next_in_tree(m, top))
		mount_set_propagation(m, MS_SHARED);
	receivers_collect(at->mount, &order);
	at->mount->copy_here = top;
	list_for_each_safe(m, next, &order, visit_node) {
		if (m == at->mount || !shows(m, at->dentry))
			continue;
		m->copy_here = copy_for(m);
		if (!m->copy_here) {
			err = -ENOMEM;
			break;
		}
		list_remove(&m->visit_node);
		list_push_back(receivers, &m->visit_node);
	}
	receivers_forget(&order);
	if (err) {
		list_for_each(m, receivers, visit_node)
			mount_dissolve(m->copy_here, &dead);
		receivers_forget(receivers);
		mounts_bury(&dead);
	}
	return err;
}

/* Below what the receiver has at the place itself, so that this stays visible. */
static void attach_beneath(struct mount *copy, const struct path *at)
{
	struct mount *above = mount_find_rcu(at->mount, at->dentry);
	struct path root = { copy, copy->root }, was;

	if (above)
		mount_detach(above, &was);
	mount_attach(copy, at);
	if (above) {
		mount_attach(above, &root);
		path_put(&was);
	}
}

void propagate_attach_commit(const struct path *at, struct list *receivers)
{
	struct mount *m;

	list_for_each(m, receivers, visit_node) {
		struct path place = { m, at->dentry };

		mount_tree_join_namespace(m->copy_here, m->ns);
		attach_beneath(m->copy_here, &place);
		mount_namespace_changed(m->ns);
	}
	receivers_forget(receivers);
}

/* ---- taking away ---- */

static bool is_leaf(const struct mount *m)
{
	return list_is_empty(&m->children);
}

bool propagate_any_copy(struct mount *m, bool (*fn)(struct mount *copy))
{
	struct list order = LIST_INIT(order);
	struct mount *at;
	bool any = false;

	if (!m->parent->group_id)
		return false;
	receivers_collect(m->parent, &order);
	list_for_each(at, &order, visit_node) {
		struct mount *copy = mount_find_rcu(at, m->mountpoint);

		if (copy && copy != m && is_leaf(copy) && fn(copy))
			any = true;
	}
	receivers_forget(&order);
	return any;
}

/* The copies of one mount; m's own tree, `top`, is the caller's. */
static void umount_copies(struct mount *m, const struct mount *top, struct list *dead)
{
	struct list order = LIST_INIT(order), doomed = LIST_INIT(doomed);
	struct mount *at;

	if (!m->parent->group_id)
		return;
	receivers_collect(m->parent, &order);
	list_for_each(at, &order, visit_node) {
		struct mount *copy = mount_find_rcu(at, m->mountpoint);

		if (copy && copy != m && is_leaf(copy) && !mount_is_below(copy, top) &&
		    !list_is_linked(&copy->tree_node))
			list_push_back(&doomed, &copy->tree_node);
	}
	receivers_forget(&order);
	while (!list_is_empty(&doomed)) {
		struct mount *copy = list_entry(doomed.next, struct mount, tree_node);
		struct mount_namespace *ns = copy->ns;

		list_remove(&copy->tree_node);
		mount_dissolve(copy, dead);
		mount_namespace_changed(ns);
	}
}

void propagate_umount(struct mount *top, struct list *dead)
{
	struct list tree = LIST_INIT(tree);

	for (struct mount *m = top; m; m = mount_next_in_tree(m, top))
		list_push_front(&tree, &m->tree_node);
	/* Children first: their going makes leaves of their parents' copies. */
	while (!list_is_empty(&tree)) {
		struct mount *m = list_entry(tree.next, struct mount, tree_node);

		umount_copies(m, top, dead);
		list_remove(&m->tree_node);
	}
}

u32 propagate_dominating_group(const struct mount *m, const struct mount_namespace *ns)
{
	for (const struct mount *up = m->master; up; up = up->master) {
		const struct mount *p = up;

		do {
			if (p->ns == ns)
				return up == m->master ? 0 : p->group_id;
			p = next_peer(p);
		} while (p != up);
	}
	return 0;
}
