/*
 * O_ASYNC: a signal to a file's owner when something happens on it (fcntl(2),
 * F_SETFL and F_SETOWN).
 *
 * A watch hangs on the queues of one open file, as a poller does.  A wake-up
 * comes with spin locks held, so that it only notes the watch; one kernel
 * thread, made with the first watch, tells the owners.
 *
 * Invariants.
 *   (1) a watch is in `watches` from file_set_async until its file is released
 *       or O_ASYNC is taken off;
 *   (2) a watch in `noted` is in `watches`.
 *
 * Locking.  watches_lock guards the list; it is held while an owner is told, so
 * that the file stays.  noted_lock, a leaf, guards `noted`.
 */
#include <linux/eventpoll.h>
#include <asm/siginfo.h>
#include <nos/file.h>
#include <nos/ipc.h>
#include <nos/rcu.h>
#include <nos/slab.h>
#include <nos/thread.h>
#include <nos/wait.h>

struct async_hook {
	struct waiter waiter;
	struct wait_queue *queue; /* NULL: it went away */
	struct async_watch *watch;
	struct async_hook *next;
};

struct async_watch {
	struct list node; /* in watches */
	struct list noted;
	u32 events; /* noted ones; under noted_lock */
	struct file *file;
	struct async_hook *hooks;
};

static struct mutex watches_lock = MUTEX_INIT(RANK_NONE);
static struct list watches = LIST_INIT(watches);
static struct spinlock noted_lock = SPINLOCK_INIT(RANK_LEAF);
static struct list noted = LIST_INIT(noted);
static struct thread *teller;

/* ---- the thread ---- */

static struct async_watch *pop_noted(u32 *events)
{
	scoped_spin_irq(&noted_lock);
	struct list *n = list_pop_front(&noted);
	struct async_watch *w = n ? list_entry(n, struct async_watch, noted) : NULL;

	if (w) {
		*events = w->events;
		w->events = 0;
	}
	return w;
}

static void tell_owners(void)
{
	struct async_watch *w;
	u32 events;

	scoped_mutex(&watches_lock);
	while ((w = pop_noted(&events))) {
		if (events & EPOLLIN)
			process_signal_file_owner(w->file, POLL_IN);
		if (events & EPOLLOUT)
			process_signal_file_owner(w->file, POLL_OUT);
		if (events & EPOLLHUP)
			process_signal_file_owner(w->file, POLL_HUP);
	}
}

static void teller_main(void *arg)
{
	for (;;) {
		tell_owners();
		thread_set_state(THREAD_UNINTERRUPTIBLE);
		if (list_is_empty(&noted))
			thread_block();
		thread_set_state(THREAD_RUNNABLE);
	}
}

/* ---- hooks ---- */

static bool hook_wake(struct waiter *waiter, u32 key)
{
	struct async_hook *h = container_of(waiter, struct async_hook, waiter);
	struct async_watch *w = h->watch;
	u32 events = key ? key & (EPOLLIN | EPOLLOUT | EPOLLHUP) : EPOLLIN;

	if (unlikely(key & POLL_KEY_FREE)) {
		list_remove(&waiter->node);
		WRITE_ONCE(h->queue, NULL);
	}
	if (!events)
		return false;
	{
		scoped_spin_irq(&noted_lock);
		w->events |= events;
		if (!list_is_linked(&w->noted))
			list_push_back(&noted, &w->noted);
	}
	thread_wake(teller);
	return false;
}

struct adder {
	struct poll_table table;
	struct async_watch *watch;
	bool failed;
};

static void add_hook(struct poll_table *t, struct wait_queue *q)
{
	struct adder *a = container_of(t, struct adder, table);
	struct async_hook *h = kmalloc(sizeof(*h), ALLOC_USER);

	if (!h) {
		a->failed = true;
		return;
	}
	*h = (struct async_hook){ .waiter = { .wake = hook_wake },
				  .queue = q,
				  .watch = a->watch,
				  .next = a->watch->hooks };
	a->watch->hooks = h;
	wait_queue_add(q, &h->waiter);
}

/* watches_lock held. */
static void watch_free(struct async_watch *w)
{
	while (w->hooks) {
		struct async_hook *h = w->hooks;
		struct wait_queue *q;

		/* A queue that is going away is not freed within a grace period. */
		rcu_read_lock();
		q = READ_ONCE(h->queue);
		if (q)
			wait_queue_remove(q, &h->waiter);
		rcu_read_unlock();
		w->hooks = h->next;
		kfree(h);
	}
	{
		scoped_spin_irq(&noted_lock);
		if (list_is_linked(&w->noted))
			list_remove(&w->noted);
	}
	list_remove(&w->node);
	kfree(w);
}

/* ---- watches ---- */

static struct async_watch *watch_of(const struct file *f)
{
	struct async_watch *w;

	list_for_each(w, &watches, node)
		if (w->file == f)
			return w;
	return NULL;
}

static int watch_create(struct file *f)
{
	struct async_watch *w = kzalloc(sizeof(*w), ALLOC_USER);
	struct adder a = { .table = { .add = add_hook, .key = ~0u }, .watch = w };

	if (!w)
		return -ENOMEM;
	w->file = f;
	list_init(&w->noted);
	list_push_back(&watches, &w->node);
	(void)file_poll(f, &a.table);
	if (!a.failed)
		return 0;
	watch_free(w);
	return -ENOMEM;
}

int file_set_async(struct file *f, bool on)
{
	scoped_mutex(&watches_lock);
	struct async_watch *w = watch_of(f);

	if (on == !!w || !f->ops->poll)
		return 0;
	if (!on) {
		watch_free(w);
		return 0;
	}
	if (!teller) {
		teller = kthread_create(teller_main, NULL, "sigio");
		if (!teller)
			return -ENOMEM;
		thread_start(teller);
	}
	return watch_create(f);
}

void async_file_released(struct file *f)
{
	scoped_mutex(&watches_lock);
	struct async_watch *w = watch_of(f);

	if (w)
		watch_free(w);
}
