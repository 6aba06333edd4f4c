/*
 * epoll: an event queue over many files (epoll(7)).
 *
 * Concepts.  An epoll instance holds items, one for each pair of file and
 * descriptor number that is watched.  An item keeps hooks on the file's wait
 * queues all the time; a wake-up puts the item on the ready list and wakes a
 * thread in epoll_wait, which asks the file itself before it reports anything.
 * A wait therefore costs what is ready, not what is watched.
 *
 * Level and edge.  A reported level-triggered item goes back to the end of the
 * ready list and is asked again at the next wait; an edge-triggered one comes
 * back only by a wake-up.  One-shot items lose their events, all but the
 * private bits, until they are modified.
 *
 * Invariants.
 *   (1) an item lives only while its file does: the file's release (or the
 *       instance's) removes it.  Items hold no reference on files.
 *   (2) items are added, changed, removed and asked under the instance's mutex;
 *       whoever holds it may use every item's file.
 *   (3) an item that may have something is on the ready list, or a thread is
 *       about to ask it under the mutex; a wake-up that comes meanwhile links
 *       it again.
 *   (4) epolls that watch epolls form no cycle, and no chain longer than
 *       EPOLL_MAX_NESTS watches.
 *
 * Locking.  epoll_nest_lock (changes of who watches whom among epolls), then
 * the mutex (rank EPOLL, outer before inner), then file->lock for the file's
 * list of items, and a spin lock for the ready list, taken in wake-ups under
 * the source's queue lock; it is released before the instance's own waiters are
 * woken.
 *
 * A queue that goes before its waiters (signal handlers of a process that
 * exits) wakes them with POLL_KEY_FREE; the hook takes itself off.
 *
 * Rejected: moving the ready list aside during a scan, as it needs a second
 * list for wake-ups meanwhile; items are popped one at a time instead, up to
 * the one that was last at the start.
 *
 * References: epoll(7), epoll_ctl(2), epoll_wait(2).
 */
#include <nos/assert.h>
#include <nos/errno.h>
#include <nos/file.h>
#include <nos/init.h>
#include <nos/ipc.h>
#include <nos/pseudo.h>
#include <nos/rbtree.h>
#include <nos/rcu.h>
#include <nos/slab.h>
#include <nos/timer.h>
#include <nos/wait.h>
#include <linux/eventpoll.h>
#include <linux/fcntl.h>

#define EPOLL_MAX_NESTS 4
#define EPOLL_PRIVATE (EPOLLWAKEUP | EPOLLONESHOT | EPOLLET | EPOLLEXCLUSIVE)
#define EPOLL_EXCLUSIVE_OK                                                                         \
	(EPOLLIN | EPOLLOUT | EPOLLERR | EPOLLHUP | EPOLLWAKEUP | EPOLLET | EPOLLEXCLUSIVE)
#define EPOLL_INLINE_HOOKS 2u

struct epoll {
	struct mutex mutex;
	struct rb_root items __guarded_by(&mutex);
	struct spinlock lock; /* the ready list */
	struct list ready; /* struct epoll_item.ready */
	struct wait_queue waiters; /* threads in epoll_wait */
	struct wait_queue pollers; /* poll, select and outer epolls */
	struct file *file;
	struct ref refs; /* the file, and releases of watched files */
	bool watches_epolls; /* under epoll_nest_lock: has or had such an item */
};

struct epoll_hook {
	struct waiter waiter;
	struct wait_queue *queue; /* NULL: the queue is gone */
	struct epoll_item *item;
	struct epoll_hook *next;
};

struct epoll_item {
	struct rb_node node;
	struct file *file;
	s32 fd;
	u32 events;
	u64 data;
	struct epoll *epoll;
	struct list ready;
	struct list file_node; /* in file->epolls, under file->lock */
	struct epoll_hook *hooks;
	u32 nr_inline;
	struct epoll_hook first_hooks[EPOLL_INLINE_HOOKS];
};

static struct mutex epoll_nest_lock = MUTEX_INIT(RANK_NONE);
static struct slab_cache *epoll_item_slab;
static const struct file_ops epoll_ops;

static int epoll_init(void)
{
	static const struct slab_cache_info info = { .name = "epoll_item",
						     .size = sizeof(struct epoll_item),
						     .account = true };

	epoll_item_slab = slab_cache_create(&info);
	return epoll_item_slab ? 0 : -ENOMEM;
}
INIT_STEP(INIT_SUBSYSTEM, epoll_init);

bool epoll_is(const struct file *f)
{
	return f->ops == &epoll_ops;
}

static void epoll_put(struct epoll *ep)
{
	if (ref_put(&ep->refs))
		kfree(ep);
}

/* ---- the ready list ---- */

/* Puts the item on the ready list: false if it was there. */
static bool epoll_make_ready(struct epoll_item *item)
{
	struct epoll *ep = item->epoll;

	scoped_spin_irq(&ep->lock);
	if (list_is_linked(&item->ready))
		return false;
	list_push_back(&ep->ready, &item->ready);
	return true;
}

/* True if a thread in epoll_wait was there to be woken. */
static bool epoll_notify(struct epoll *ep)
{
	bool waiting = wait_queue_is_active(&ep->waiters);

	if (waiting)
		wake_one(&ep->waiters);
	if (!list_is_empty(&ep->pollers.waiters))
		wake_all_key(&ep->pollers, EPOLLIN | EPOLLRDNORM);
	return waiting;
}

static bool epoll_hook_wake(struct waiter *w, u32 key)
{
	struct epoll_hook *hook = container_of(w, struct epoll_hook, waiter);
	struct epoll_item *item = hook->item;
	u32 events = READ_ONCE(item->events);
	bool woke;

	if (unlikely(key & POLL_KEY_FREE)) {
		list_remove(&w->node);
		WRITE_ONCE(hook->queue, NULL);
	}
	if (!(events & ~EPOLL_PRIVATE) || (key && !(key & events)))
		return false;
	epoll_make_ready(item);
	woke = epoll_notify(item->epoll);
	return woke || !(events & EPOLLEXCLUSIVE);
}

static struct epoll_item *epoll_pop_ready(struct epoll *ep)
{
	struct list *n;

	scoped_spin_irq(&ep->lock);
	n = list_pop_front(&ep->ready);
	return n ? list_entry(n, struct epoll_item, ready) : NULL;
}

static void epoll_push_front(struct epoll_item *item)
{
	scoped_spin_irq(&item->epoll->lock);
	if (!list_is_linked(&item->ready))
		list_push_front(&item->epoll->ready, &item->ready);
}

/* ---- hooks on a file's queues ---- */

struct epoll_adder {
	struct poll_table table;
	struct epoll_item *item;
	bool failed;
};

static void epoll_add_hook(struct poll_table *t, struct wait_queue *q)
{
	struct epoll_adder *a = container_of(t, struct epoll_adder, table);
	struct epoll_item *item = a->item;
	struct epoll_hook *hook;

	if (item->nr_inline < EPOLL_INLINE_HOOKS)
		hook = &item->first_hooks[item->nr_inline++];
	else
		hook = kmalloc(sizeof(*hook), ALLOC_USER);
	if (!hook) {
		a->failed = true;
		return;
	}
	hook->waiter = (struct waiter){ .wake = epoll_hook_wake,
					.exclusive = (item->events & EPOLLEXCLUSIVE) != 0 };
	hook->queue = q;
	hook->item = item;
	hook->next = item->hooks;
	item->hooks = hook;
	wait_queue_add(q, &hook->waiter);
}

static void epoll_remove_hooks(struct epoll_item *item)
{
	while (item->hooks) {
		struct epoll_hook *hook = item->hooks;
		struct wait_queue *q;

		/* A queue that is going away is not freed within a grace period. */
		rcu_read_lock();
		q = READ_ONCE(hook->queue);
		if (q)
			wait_queue_remove(q, &hook->waiter);
		rcu_read_unlock();
		item->hooks = hook->next;
		if (hook < item->first_hooks || hook >= item->first_hooks + EPOLL_INLINE_HOOKS)
			kfree(hook);
	}
}

/* ---- items ---- */

static int epoll_compare(const struct epoll_item *item, const struct file *f, s32 fd)
{
	if (item->file != f)
		return item->file < f ? -1 : 1;
	return item->fd == fd ? 0 : item->fd < fd ? -1 : 1;
}

static struct epoll_item *epoll_find_locked(struct epoll *ep, const struct file *f, s32 fd)
	__must_hold(&ep->mutex)
{
	struct rb_node *n = ep->items.node;

	while (n) {
		struct epoll_item *item = rb_entry(n, struct epoll_item, node);
		int order = epoll_compare(item, f, fd);

		if (order == 0)
			return item;
		n = order > 0 ? n->left : n->right;
	}
	return NULL;
}

static void epoll_insert_locked(struct epoll *ep, struct epoll_item *item) __must_hold(&ep->mutex)
{
	struct rb_node **link = &ep->items.node, *parent = NULL;

	while (*link) {
		parent = *link;
		link = epoll_compare(rb_entry(parent, struct epoll_item, node), item->file,
				     item->fd) > 0 ?
			       &parent->left :
			       &parent->right;
	}
	rb_insert(&ep->items, &item->node, parent, link);
	spin_lock(&item->file->lock);
	list_push_back(&item->file->epolls, &item->file_node);
	atomic_or(&item->file->mode, FILE_EPOLLED);
	spin_unlock(&item->file->lock);
}

/* Takes the item out and frees it; the mutex is held, so its file is still there. */
static void epoll_remove_locked(struct epoll *ep, struct epoll_item *item) __must_hold(&ep->mutex)
{
	ASSERT(mutex_is_held(&ep->mutex));
	epoll_remove_hooks(item);
	spin_lock(&item->file->lock);
	list_remove(&item->file_node);
	spin_unlock(&item->file->lock);
	rb_remove(&ep->items, &item->node);
	u64 flags = spin_lock_irq(&ep->lock);

	list_remove(&item->ready);
	spin_unlock_irq(&ep->lock, flags);
	slab_free(epoll_item_slab, item);
}

/* What holds now of what the item asks for. */
static u32 epoll_ask(struct epoll_item *item, struct poll_table *t)
{
	struct file *f = item->file;
	/* What has no poll was refused when it was to be added. */
	u32 mask = likely(!t && f->ops->ready) ? f->ops->ready(f) : f->ops->poll(f, t);

	return mask & READ_ONCE(item->events) & ~EPOLL_PRIVATE;
}

/* ---- epolls that watch epolls ---- */

static struct epoll *epoll_of(const struct file *f)
{
	return epoll_is(f) ? f->private : NULL;
}

/* Longest chain of epolls below ep, or -ELOOP if it reaches `from` or is too long. */
static int epoll_depth_below(struct epoll *ep, const struct epoll *from, int level)
{
	int depth = 0;

	if (ep == from || level > EPOLL_MAX_NESTS)
		return -ELOOP;
	scoped_mutex(&ep->mutex);
	for (struct rb_node *n = rb_first(&ep->items); n; n = rb_next(n)) {
		struct epoll *inner = epoll_of(rb_entry(n, struct epoll_item, node)->file);
		int below;

		if (!inner)
			continue;
		below = epoll_depth_below(inner, from, level + 1);
		if (below < 0)
			return below;
		depth = max(depth, below + 1);
	}
	return depth;
}

/* Longest chain of epolls above; epoll_nest_lock keeps the lists. */
static int epoll_depth_above(const struct epoll *ep)
{
	const struct epoll_item *item;
	int depth = 0;

	list_for_each(item, &ep->file->epolls, file_node)
		depth = max(depth, epoll_depth_above(item->epoll) + 1);
	return depth;
}

static int epoll_check_nesting(struct epoll *ep, struct epoll *target)
{
	int below = epoll_depth_below(target, ep, 0);

	if (below < 0)
		return below;
	if (below + epoll_depth_above(ep) >= EPOLL_MAX_NESTS)
		return -ELOOP;
	ep->watches_epolls = true;
	return 0;
}

/* ---- epoll_ctl ---- */

static int epoll_add_locked(struct epoll *ep, int fd, struct file *f, const struct epoll_event *e)
	__must_hold(&ep->mutex)
{
	struct epoll_adder adder = { .table = { .add = epoll_add_hook } };
	struct epoll_item *item;

	if (epoll_find_locked(ep, f, fd))
		return -EEXIST;
	item = slab_alloc(epoll_item_slab, ALLOC_USER);
	if (!item)
		return -ENOMEM;
	*item = (struct epoll_item){
		.file = f,
		.fd = fd,
		.events = e->events | EPOLLERR | EPOLLHUP,
		.data = e->data,
		.epoll = ep,
	};
	list_init(&item->ready);
	list_init(&item->file_node);
	epoll_insert_locked(ep, item);
	adder.item = item;
	adder.table.key = item->events;
	if (epoll_ask(item, &adder.table) && epoll_make_ready(item))
		epoll_notify(ep);
	if (adder.failed) {
		epoll_remove_locked(ep, item);
		return -ENOMEM;
	}
	return 0;
}

static int epoll_modify_locked(struct epoll *ep, struct epoll_item *item,
			       const struct epoll_event *e)
{
	if (item->events & EPOLLEXCLUSIVE)
		return -EINVAL;
	item->data = e->data;
	WRITE_ONCE(item->events, e->events | EPOLLERR | EPOLLHUP);
	/* A wake-up either sees the new events, or came before, and the question finds its cause. */
	memory_fence();
	if (epoll_ask(item, NULL) && epoll_make_ready(item))
		epoll_notify(ep);
	return 0;
}

static int epoll_control_locked(struct epoll *ep, int op, int fd, struct file *f,
				const struct epoll_event *e)
{
	struct epoll_item *item;

	scoped_mutex(&ep->mutex);
	if (op == EPOLL_CTL_ADD)
		return epoll_add_locked(ep, fd, f, e);
	item = epoll_find_locked(ep, f, fd);
	if (!item)
		return -ENOENT;
	if (op == EPOLL_CTL_MOD)
		return epoll_modify_locked(ep, item, e);
	epoll_remove_locked(ep, item);
	return 0;
}

int epoll_control(struct file *epoll, int op, int fd, struct file *f, struct epoll_event *event)
{
	struct epoll *ep = epoll_of(epoll), *target = epoll_of(f);
	int err = 0;

	if (!f->ops->poll)
		return -EPERM;
	if (!ep || f == epoll)
		return -EINVAL;
	if (op != EPOLL_CTL_ADD && op != EPOLL_CTL_MOD && op != EPOLL_CTL_DEL)
		return -EINVAL;
	if (op != EPOLL_CTL_DEL && (event->events & EPOLLEXCLUSIVE) &&
	    (op == EPOLL_CTL_MOD || target || (event->events & ~EPOLL_EXCLUSIVE_OK)))
		return -EINVAL;
	if (!target)
		return epoll_control_locked(ep, op, fd, f, event);
	scoped_mutex(&epoll_nest_lock);
	if (op == EPOLL_CTL_ADD)
		err = epoll_check_nesting(ep, target);
	return err ? err : epoll_control_locked(ep, op, fd, f, event);
}

/* ---- epoll_wait ---- */

static __noinline void epoll_take_off(struct epoll_item *item)
{
	scoped_spin_irq(&item->epoll->lock);
	list_remove(&item->ready);
}

/*
 * Reports one item of the ready list if it has something: 1, 0, -EFAULT.  A
 * level-triggered one that has stays where it is; any other is taken off before
 * it is asked for good, so that a wake-up after the question links it again.
 */
static inline __always_inline int epoll_report(struct epoll_item *item, struct iobuf *to)
{
	bool stays = !(item->events & (EPOLLET | EPOLLONESHOT));
	u32 events = stays ? epoll_ask(item, NULL) : 0;

	static_assert(sizeof(struct epoll_event) == sizeof(u32) + sizeof(u64));

	if (!events) {
		epoll_take_off(item);
		events = epoll_ask(item, NULL);
		if (!events)
			return 0;
		if (stays)
			epoll_make_ready(item);
	}
	if (!iobuf_put_pair(to, events, item->data)) {
		epoll_push_front(item);
		return -EFAULT;
	}
	if (item->events & EPOLLONESHOT)
		WRITE_ONCE(item->events, item->events & EPOLL_PRIVATE);
	return 1;
}

/* The items up to `last` were reported: the others come first next time. */
static __noinline void epoll_rotate(struct epoll *ep, struct epoll_item *last)
{
	struct list *first;

	scoped_spin_irq(&ep->lock);
	if (!list_is_linked(&last->ready))
		return;
	first = last->ready.next;
	if (first == &ep->ready)
		return;
	/* The head moves behind `last`. */
	list_remove(&ep->ready);
	list_insert_between(&ep->ready, &last->ready, first);
}

/* Asks the items that are ready now, each once: how many were reported, or -EFAULT. */
static inline __always_inline int epoll_scan_list(struct epoll *ep, struct iobuf *to, int max)
{
	struct list *next, *last;
	struct epoll_item *item;
	int count = 0, got = 0;

	scoped_mutex(&ep->mutex);
	/* Wake-ups append behind `last`; only the mutex's holder takes items off. */
	next = READ_ONCE(ep->ready.next);
	last = READ_ONCE(ep->ready.prev);
	if (unlikely(next == &ep->ready) || unlikely(last == &ep->ready))
		return 0;
	for (;;) {
		item = list_entry(next, struct epoll_item, ready);
		next = READ_ONCE(item->ready.next);
		got = epoll_report(item, to);
		if (unlikely(got < 0))
			break;
		count += got;
		if (&item->ready == last)
			break;
		if (count == max) {
			epoll_rotate(ep, item);
			break;
		}
	}
	/* What is left is for the next in line. */
	if (!list_is_empty(&ep->ready) && !list_is_empty(&ep->waiters.waiters))
		wake_one(&ep->waiters);
	return count ? count : got;
}

/* Sleeps until something may be ready: 0, -EINTR; *late at the deadline. */
static __noinline int epoll_sleep(struct epoll *ep, u64 deadline_ns, bool *late)
{
	struct waiter w = { .thread = current_thread, .exclusive = true };
	int err = 0;

	wait_prepare(&ep->waiters, &w, THREAD_INTERRUPTIBLE);
	if (list_is_empty(&ep->ready)) {
		if (signal_is_pending())
			err = -EINTR;
		else if (deadline_ns == TIME_NEVER)
			thread_block();
		else
			*late = thread_block_until(deadline_ns);
	}
	wait_finish(&ep->waiters, &w);
	return err;
}

static __noinline int epoll_scan(struct epoll *ep, struct iobuf *to, int max)
{
	return epoll_scan_list(ep, to, max);
}

static __noinline int epoll_wait_long(struct epoll *ep, struct iobuf *to, int max, u64 deadline_ns)
{
	bool late = false;

	for (;;) {
		int n = epoll_sleep(ep, deadline_ns, &late);

		if (n)
			return n;
		n = list_is_empty(&ep->ready) ? 0 : epoll_scan(ep, to, max);
		if (n || late)
			return n;
	}
}

__hot int epoll_wait_events(struct file *epoll, struct iobuf *to, int max, u64 deadline_ns)
{
	struct epoll *ep = epoll_of(epoll);

	if (unlikely(!ep || max <= 0))
		return -EINVAL;
	if (!list_is_empty(&ep->ready)) {
		int n = epoll_scan_list(ep, to, max);

		if (likely(n))
			return n;
	}
	return deadline_ns ? epoll_wait_long(ep, to, max, deadline_ns) : 0;
}

/* ---- the file ---- */

/* Readable if an item of the ready list really has something; those that have nothing leave it. */
static u32 epoll_poll(struct file *f, struct poll_table *t)
{
	struct epoll *ep = f->private;
	struct epoll_item *item;

	poll_wait(t, &ep->pollers);
	if (list_is_empty(&ep->ready))
		return 0;
	scoped_mutex(&ep->mutex);
	while ((item = epoll_pop_ready(ep))) {
		if (epoll_ask(item, NULL)) {
			epoll_push_front(item);
			return EPOLLIN | EPOLLRDNORM;
		}
	}
	return 0;
}

/* The lock of nests, for an instance or file that is part of one. */
static void nest_lock_if(bool nested) __no_lock_check
{
	if (nested)
		mutex_lock(&epoll_nest_lock);
}

static void nest_unlock_if(bool nested) __no_lock_check
{
	if (nested)
		mutex_unlock(&epoll_nest_lock);
}

static void epoll_release(struct file *f)
{
	struct epoll *ep = f->private;
	bool nested = READ_ONCE(ep->watches_epolls);
	struct rb_node *n;

	nest_lock_if(nested);
	mutex_lock(&ep->mutex);
	while ((n = rb_first(&ep->items)))
		epoll_remove_locked(ep, rb_entry(n, struct epoll_item, node));
	mutex_unlock(&ep->mutex);
	nest_unlock_if(nested);
	epoll_put(ep);
}

/* One of the items that watch f, with a reference on its instance; NULL: none is left. */
static struct epoll *epoll_first_watcher(struct file *f)
{
	struct epoll_item *item;

	scoped_spin(&f->lock);
	item = list_first(&f->epolls, struct epoll_item, file_node);
	if (!item)
		return NULL;
	ref_get(&item->epoll->refs);
	return item->epoll;
}

static struct epoll_item *epoll_item_of(struct epoll *ep, struct file *f)
{
	struct epoll_item *item;

	scoped_spin(&f->lock);
	list_for_each(item, &f->epolls, file_node)
		if (item->epoll == ep)
			return item;
	return NULL;
}

/* The last reference on a watched file is gone: its items go too, before its operations' release. */
void epoll_file_released(struct file *f)
{
	struct epoll *ep;
	bool nested = epoll_is(f);

	nest_lock_if(nested);
	while ((ep = epoll_first_watcher(f))) {
		struct epoll_item *item;

		mutex_lock(&ep->mutex);
		while ((item = epoll_item_of(ep, f)))
			epoll_remove_locked(ep, item);
		mutex_unlock(&ep->mutex);
		epoll_put(ep);
	}
	nest_unlock_if(nested);
}

static void epoll_show(struct file *f, struct text_out *out)
{
	struct epoll *ep = f->private;

	scoped_mutex(&ep->mutex);
	for (struct rb_node *n = rb_first(&ep->items); n; n = rb_next(n)) {
		struct epoll_item *item = rb_entry(n, struct epoll_item, node);
		struct inode *i = item->file->inode;

		text_printf(out, "tfd: %8d events: %8x data: %16lx  pos:%ld ino:%lx sdev:%lx\n",
			    item->fd, item->events, item->data, (long)item->file->position,
			    i ? i->ino : 0, i ? i->sb->dev : 0);
	}
}

static const struct file_ops epoll_ops = {
	.seek = file_seek_nowhere,
	.poll = epoll_poll,
	.release = epoll_release,
	.show_fdinfo = epoll_show,
	.flags = FILE_OPS_STREAM,
};

struct file *epoll_create(u32 flags)
{
	struct epoll *ep = kzalloc(sizeof(*ep), ALLOC_USER);
	struct file *f;

	if (!ep)
		return err_ptr(-ENOMEM);
	mutex_init(&ep->mutex, RANK_EPOLL);
	spin_init(&ep->lock, RANK_WAIT_QUEUE_NESTED);
	list_init(&ep->ready);
	wait_queue_init(&ep->waiters);
	wait_queue_init(&ep->pollers);
	ref_init(&ep->refs, 1);
	f = file_create_anonymous("[eventpoll]", &epoll_ops, ep, O_RDWR | (flags & O_NONBLOCK));
	if (is_err(f)) {
		kfree(ep);
		return f;
	}
	ep->file = f;
	return f;
}

static int epoll_watches_show(struct text_out *out, void *arg)
{
	text_printf(out, "%u\n", 1u << 20);
	return 0;
}
PSEUDO_FILE(epoll_watches_file, .path = "proc/sys/fs/epoll/max_user_watches",
	    .show = epoll_watches_show);
