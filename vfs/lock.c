/*
 * Locks on files: POSIX records, open-file-description records, flock.
 *
 * Concepts.  A lock belongs to an owner: the descriptor table for POSIX
 * records (fcntl(2)), the open file for OFD records and flock(2).  Records of
 * both kinds exclude each other by range; flock locks only each other.
 *
 * Invariants.
 *   (1) records of one owner on one file never overlap; equal neighbours are
 *       merged.
 *   (2) an owner that sleeps for a POSIX record is in `sleepers` with the owner
 *       it waits for; following these never leads back to it, else EDEADLK.
 *   (3) a file's list is there from its first lock on until a close finds it
 *       without locks and without calls under way: files that stay (devices,
 *       the anonymous inode) keep none.
 *
 * Locking.  lists_lock guards the list of all files that have locks, for
 * /proc/locks; list->lock (rank INODE_SPIN), inside it, one file's locks;
 * sleepers_lock is taken inside that.  inode->spin, alone, guards inode->locks
 * and the count of its users.  What a change may need is allocated
 * before.  Sleepers look again, in the order in which they came, whenever a
 * lock of the file goes.
 */
#include "internal.h"

#include <nos/pseudo.h>
#include <nos/wait.h>

struct file_lock {
	struct list node;
	u64 start, end; /* inclusive */
	int type; /* F_RDLCK or F_WRLCK */
	bool ofd;
	const void *owner;
	s32 pid;
};

struct file_lock_list {
	struct spinlock lock;
	struct list records, flocks;
	struct list waiting; /* struct waiting, in the order in which they came */
	struct wait_queue changed;
	struct inode *inode;
	u32 users; /* calls under way, under inode->spin */
	struct list node; /* in `lists` */
};

/* Someone who waits for a lock. */
struct waiting {
	struct list node;
	const struct file_lock_request *request;
	const void *owner;
};

struct sleeper {
	struct list node;
	const void *owner, *blocked_by;
};

static struct spinlock lists_lock = SPINLOCK_INIT(RANK_DENTRY);
static struct list lists = LIST_INIT(lists);
static struct spinlock sleepers_lock = SPINLOCK_INIT(RANK_LEAF);
static struct list sleepers = LIST_INIT(sleepers);

/* The inode's list, which stays until list_put; NULL: there is none. */
static struct file_lock_list *list_get(struct inode *i)
{
	scoped_spin(&i->spin);
	if (i->locks)
		i->locks->users++;
	return i->locks;
}

/* The same, made if there is none; NULL: no memory. */
static struct file_lock_list *list_get_or_make(struct inode *i)
{
	struct file_lock_list *l = list_get(i), *made;

	if (l)
		return l;
	made = kzalloc(sizeof(*made), 0);
	if (!made)
		return NULL;
	spin_init(&made->lock, RANK_INODE_SPIN);
	list_init(&made->records);
	list_init(&made->flocks);
	list_init(&made->waiting);
	wait_queue_init(&made->changed);
	made->inode = i;
	spin_lock(&i->spin);
	l = i->locks ? i->locks : made;
	l->users++;
	rcu_store(i->locks, l);
	spin_unlock(&i->spin);
	if (l != made) {
		kfree(made);
		return l;
	}
	scoped_spin(&lists_lock);
	list_push_back(&lists, &l->node);
	return l;
}

/* `closing`: with no locks and no other user it goes.  Every user has an open file, whose close comes later. */
static void list_put(struct file_lock_list *l, bool closing)
{
	struct inode *i = l->inode;
	bool goes;

	spin_lock(&i->spin);
	goes = --l->users == 0 && closing && list_is_empty(&l->records) &&
	       list_is_empty(&l->flocks);
	if (goes)
		rcu_store(i->locks, NULL);
	spin_unlock(&i->spin);
	if (!goes)
		return;
	spin_lock(&lists_lock);
	list_remove(&l->node);
	spin_unlock(&lists_lock);
	kfree(l);
}

static const void *owner_of(const struct file *f, const struct file_lock_request *r)
{
	return r->ofd || r->flock ? (const void *)f : (const void *)fd_table_current();
}

static struct file_lock *find_conflict(struct list *locks, const struct file_lock_request *r,
				       const void *owner)
{
	struct file_lock *l;

	list_for_each(l, locks, node)
		if (l->owner != owner && l->start <= r->end && r->start <= l->end &&
		    (l->type == F_WRLCK || r->type == F_WRLCK))
			return l;
	return NULL;
}

/* ---- deadlock ---- */

static bool would_deadlock_locked(const void *owner, const void *blocked_by)
{
	struct sleeper *s;

	/* Each step goes to another owner: more steps than sleepers is a circle of others. */
	for (int steps = 0; steps < 1024; steps++) {
		const void *next = NULL;

		if (blocked_by == owner)
			return true;
		list_for_each(s, &sleepers, node)
			if (s->owner == blocked_by)
				next = s->blocked_by;
		if (!next)
			return false;
		blocked_by = next;
	}
	return false;
}

/* Notes that s waits for the owner of a record: -EDEADLK if that owner waits for it. */
static int sleeper_add(struct sleeper *s, const void *owner, const void *blocked_by)
{
	scoped_spin(&sleepers_lock);
	if (would_deadlock_locked(owner, blocked_by))
		return -EDEADLK;
	s->owner = owner;
	s->blocked_by = blocked_by;
	if (!list_is_linked(&s->node))
		list_push_back(&sleepers, &s->node);
	return 0;
}

static void sleeper_remove(struct sleeper *s)
{
	scoped_spin(&sleepers_lock);
	if (list_is_linked(&s->node))
		list_remove(&s->node);
}

/* ---- changes: list->lock held; spare[] has what may be needed, what goes is put on `dead` ---- */

static void set_range(struct list *locks, struct file_lock *new, struct file_lock **split,
		      bool unlock, struct list *dead)
{
	struct file_lock *l, *next;

	list_for_each_safe(l, next, locks, node) {
		u64 touch_end = l->end == U64_MAX ? l->end : l->end + 1;
		u64 new_end = new->end == U64_MAX ? new->end : new->end + 1;
		bool same = !unlock && l->type == new->type;

		if (l->owner != new->owner)
			continue;
		if (same && l->start <= new_end && new->start <= touch_end) {
			new->start = min(new->start, l->start);
			new->end = max(new->end, l->end);
			list_remove(&l->node);
			list_push_back(dead, &l->node);
			continue;
		}
		if (same || l->start > new->end || new->start > l->end)
			continue;
		if (l->start < new->start && l->end > new->end) {
			struct file_lock *right = *split;

			VERIFY(right); /* at most one lock is split */
			*split = NULL;
			*right = *l;
			right->start = new->end + 1;
			l->end = new->start - 1;
			list_insert_between(&right->node, &l->node, l->node.next);
		} else if (l->start < new->start) {
			l->end = new->start - 1;
		} else if (l->end > new->end) {
			l->start = new->end + 1;
		} else {
			list_remove(&l->node);
			list_push_back(dead, &l->node);
		}
	}
	if (!unlock)
		list_push_back(locks, &new->node);
}

static void free_dead(struct list *dead)
{
	struct list *n;

	while ((n = list_pop_front(dead)))
		kfree(list_entry(n, struct file_lock, node));
}

/* One try: 0 = done, -EAGAIN with the conflicting owner; then w is listed if it is to wait. */
static int try_lock(struct file_lock_list *list, struct waiting *w, struct file_lock **new,
		    struct file_lock **split, const void **blocked_by, struct list *dead)
{
	const struct file_lock_request *r = w->request;
	struct list *locks = r->flock ? &list->flocks : &list->records;
	struct file_lock *conflict;

	scoped_spin(&list->lock);
	conflict = r->type == F_UNLCK ? NULL : find_conflict(locks, r, (*new)->owner);
	if (conflict) {
		*blocked_by = conflict->ofd ? NULL : conflict->owner;
		if (r->wait && !list_is_linked(&w->node))
			list_push_back(&list->waiting, &w->node);
		return -EAGAIN;
	}
	list_remove(&w->node);
	set_range(locks, *new, split, r->type == F_UNLCK, dead);
	if (r->type != F_UNLCK)
		*new = NULL;
	return 0;
}

int file_lock(struct file *f, struct file_lock_request *r)
{
	struct file_lock_list *list = list_get_or_make(file_lock_inode(f));
	struct file_lock *new = kmalloc(sizeof(*new), 0), *split = kmalloc(sizeof(*split), 0);
	struct sleeper sleeper = { .node = LIST_INIT(sleeper.node) };
	struct waiter waiter = WAITER_INIT;
	struct list dead = LIST_INIT(dead);
	const void *owner = owner_of(f, r), *blocked_by;
	struct waiting waiting = { LIST_INIT(waiting.node), r, owner };
	int err = list && new &&split ? 0 : -ENOLCK;

	if (!err)
		*new = (struct file_lock){ .start = r->start,
					   .end = r->end,
					   .type = r->type,
					   .ofd = r->ofd,
					   .owner = owner,
					   .pid = r->pid };
	while (!err) {
		bool posix = !r->ofd && !r->flock;

		if (r->wait)
			wait_prepare(&list->changed, &waiter, THREAD_INTERRUPTIBLE);
		err = try_lock(list, &waiting, &new, &split, &blocked_by, &dead);
		if (err != -EAGAIN || !r->wait)
			break;
		err = posix && blocked_by ? sleeper_add(&sleeper, owner, blocked_by) : 0;
		if (!err && signal_is_pending())
			err = -ERESTARTSYS;
		if (!err)
			thread_block();
		sleeper_remove(&sleeper);
	}
	if (list && r->wait)
		wait_finish(&list->changed, &waiter);
	if (list && list_is_linked(&waiting.node)) {
		scoped_spin(&list->lock);
		list_remove(&waiting.node);
	}
	/* A range that became smaller or weaker may let someone in. */
	if (!err && (r->type != F_WRLCK || !list_is_empty(&dead)))
		wake_all(&list->changed);
	if (list)
		list_put(list, false);
	free_dead(&dead);
	kfree(new);
	kfree(split);
	return err;
}

/* *r becomes the lock that is in the way of it, if there is one. */
static bool find_blocker(struct file_lock_list *list, struct file *f, struct file_lock_request *r)
{
	struct file_lock *l;

	scoped_spin(&list->lock);
	l = find_conflict(r->flock ? &list->flocks : &list->records, r, owner_of(f, r));
	if (!l)
		return false;
	r->type = l->type;
	r->start = l->start;
	r->end = l->end;
	r->pid = l->pid;
	r->ofd = l->ofd;
	return true;
}

int file_lock_test(struct file *f, struct file_lock_request *r)
{
	struct file_lock_list *list = list_get(file_lock_inode(f));

	if (!list || !find_blocker(list, f, r))
		r->type = F_UNLCK;
	if (list)
		list_put(list, false);
	return 0;
}

static void remove_owned(struct list *locks, const void *owner, struct list *dead)
{
	struct file_lock *l, *next;

	list_for_each_safe(l, next, locks, node) {
		if (l->owner == owner) {
			list_remove(&l->node);
			list_push_back(dead, &l->node);
		}
	}
}

/* t: a descriptor of that table was closed, its POSIX records go; NULL: the file itself goes. */
void file_locks_close(struct file *f, struct fd_table *t)
{
	struct file_lock_list *list = list_get(file_lock_inode(f));
	struct list dead = LIST_INIT(dead);

	if (!list)
		return;
	spin_lock(&list->lock);
	remove_owned(&list->records, t ? (const void *)t : (const void *)f, &dead);
	if (!t)
		remove_owned(&list->flocks, f, &dead);
	spin_unlock(&list->lock);
	if (!list_is_empty(&dead))
		wake_all(&list->changed);
	list_put(list, true);
	free_dead(&dead);
}

/* ---- /proc/locks, /proc/PID/fdinfo ---- */

struct shown {
	u64 number; /* a waiter has that of the lock it waits for */
	u64 start, end, dev, ino;
	s32 pid;
	int type;
	bool ofd, flock, waits;
};

struct snapshot {
	struct shown *to;
	u64 nr, room; /* more than room: there is more */
	u64 last_number;
	const struct file *file; /* only these owners', or NULL: all */
	const struct fd_table *table;
};

static void note(struct snapshot *s, const struct file_lock_list *list, const struct file_lock *l,
		 bool flock, bool waits)
{
	s->last_number += !waits;
	if (s->nr < s->room)
		s->to[s->nr] = (struct shown){ s->last_number,
					       l->start,
					       l->end,
					       list->inode->sb->dev,
					       list->inode->ino,
					       l->pid,
					       l->type,
					       l->ofd,
					       flock,
					       waits };
	s->nr++;
}

static void note_locks(struct snapshot *s, struct file_lock_list *list, struct list *locks)
{
	bool flock = locks == &list->flocks;
	struct file_lock *l;
	struct waiting *w;

	list_for_each(l, locks, node) {
		if (s->file && l->owner != s->file && l->owner != s->table)
			continue;
		note(s, list, l, flock, false);
		list_for_each(w, &list->waiting, node) {
			const struct file_lock_request *r = w->request;
			const struct file_lock waiter = { .start = r->start,
							  .end = r->end,
							  .type = r->type,
							  .ofd = r->ofd,
							  .pid = r->pid };

			if (s->file || r->flock != flock)
				continue;
			const struct file_lock *blocker = find_conflict(locks, r, w->owner);

			if (blocker && blocker == l)
				note(s, list, &waiter, flock, true);
		}
	}
}

static void note_list(struct snapshot *s, struct file_lock_list *list)
{
	scoped_spin(&list->lock);
	note_locks(s, list, &list->records);
	note_locks(s, list, &list->flocks);
}

static void show(struct text_out *out, const struct shown *l)
{
	text_printf(out, "%llu: %s%s %s ", (unsigned long long)l->number, l->waits ? "-> " : "",
		    l->flock ? "FLOCK  ADVISORY " :
		    l->ofd   ? "OFDLCK ADVISORY " :
			       "POSIX  ADVISORY ",
		    l->type == F_WRLCK ? "WRITE" : "READ");
	text_printf(out, "%d %02x:%02x:%llu ", l->pid, dev_major(l->dev), dev_minor(l->dev),
		    (unsigned long long)l->ino);
	if (l->flock || l->end >= S64_MAX)
		text_printf(out, "%llu EOF\n", l->flock ? 0ull : (unsigned long long)l->start);
	else
		text_printf(out, "%llu %llu\n", (unsigned long long)l->start,
			    (unsigned long long)l->end);
}

/* Takes the picture again with more room until all fits. */
static int snapshot_show(struct snapshot *s, struct file_lock_list *one, struct text_out *out,
			 const char *before)
{
	struct file_lock_list *list;

	for (;;) {
		s->nr = s->last_number = 0;
		if (one) {
			note_list(s, one);
		} else {
			scoped_spin(&lists_lock);
			list_for_each(list, &lists, node)
				note_list(s, list);
		}
		if (s->nr <= s->room)
			break;
		kfree(s->to);
		s->room = s->nr + 16;
		s->to = kmalloc(s->room * sizeof(*s->to), ALLOC_USER);
		if (!s->to)
			return -ENOMEM;
	}
	for (u64 n = 0; n < s->nr; n++) {
		text_printf(out, "%s", before);
		show(out, &s->to[n]);
	}
	kfree(s->to);
	return 0;
}

int file_locks_show(struct file *f, const struct fd_table *t, struct text_out *out)
{
	struct file_lock_list *list = list_get(file_lock_inode(f));
	struct snapshot s = { .file = f, .table = t };
	int err = list ? snapshot_show(&s, list, out, "lock:\t") : 0;

	if (list)
		list_put(list, false);
	return err;
}

static int show_locks(struct text_out *out, void *arg)
{
	struct snapshot s = { 0 };

	return snapshot_show(&s, NULL, out, "");
}
PSEUDO_FILE(locks_file, .path = "proc/locks", .show = show_locks);
