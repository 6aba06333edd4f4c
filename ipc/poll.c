/*
 * poll and select: waiting for any of many files.
 *
 * Each file's poll operation says what holds now and, on the first round,
 * names the queues whose wake-ups may change that (poll_wait).  A waiter of
 * ours goes on each; its callback marks the session and wakes the thread,
 * which then asks all files again.  As soon as one is ready, or if the caller
 * will not wait, no more waiters are added: a poll that does not block touches
 * no queue.
 *
 * The files stay referenced while their queues hold waiters.  Waiters beyond
 * the first few lie in pages of their own, freed at the end.
 *
 * References: poll(2), select(2).
 */
#include <nos/errno.h>
#include <nos/file.h>
#include <nos/ipc.h>
#include <nos/list.h>
#include <nos/slab.h>
#include <nos/timer.h>
#include <nos/wait.h>
#include <linux/poll.h>

struct poll_session;

struct poll_slot {
	struct waiter waiter;
	struct wait_queue *queue;
	struct poll_session *session;
	u32 key;
};

#define POLL_INLINE_SLOTS 8u
#define POLL_INLINE_REFS 16u
#define POLL_CHUNK_SLOTS 48u

struct poll_chunk {
	struct poll_chunk *next;
	struct poll_slot slots[POLL_CHUNK_SLOTS];
};

struct poll_session {
	struct poll_table table;
	struct thread *thread;
	u32 triggered;
	u32 nr_slots; /* used of the newest chunk, or of first_slots */
	int error;
	struct poll_chunk *chunks;
	struct fd_ref *refs; /* one an item */
	struct fd_ref first_refs[POLL_INLINE_REFS];
	struct poll_slot first_slots[POLL_INLINE_SLOTS];
};

static bool poll_slot_wake(struct waiter *w, u32 key)
{
	struct poll_slot *slot = container_of(w, struct poll_slot, waiter);
	struct poll_session *s = slot->session;

	if (key && !(key & slot->key))
		return false;
	atomic_store(&s->triggered, 1);
	thread_wake(s->thread);
	return true;
}

static struct poll_slot *poll_slot_get(struct poll_session *s)
{
	struct poll_chunk *c = s->chunks;

	if (!c && s->nr_slots < POLL_INLINE_SLOTS)
		return &s->first_slots[s->nr_slots++];
	if (!c || s->nr_slots == POLL_CHUNK_SLOTS) {
		c = kmalloc(sizeof(*c), ALLOC_USER);
		if (!c)
			return NULL;
		c->next = s->chunks;
		s->chunks = c;
		s->nr_slots = 0;
	}
	return &c->slots[s->nr_slots++];
}

static void poll_session_add(struct poll_table *t, struct wait_queue *q)
{
	struct poll_session *s = container_of(t, struct poll_session, table);
	struct poll_slot *slot = poll_slot_get(s);

	if (!slot) {
		s->error = -ENOMEM;
		return;
	}
	slot->waiter = (struct waiter){ .wake = poll_slot_wake, .thread = s->thread };
	slot->queue = q;
	slot->session = s;
	slot->key = t->key;
	wait_queue_add(q, &slot->waiter);
}

static void poll_session_end(struct poll_session *s, u32 nr)
{
	u32 inline_slots = s->chunks ? POLL_INLINE_SLOTS : s->nr_slots;

	for (u32 i = 0; i < inline_slots; i++)
		wait_queue_remove(s->first_slots[i].queue, &s->first_slots[i].waiter);
	for (u32 used = s->nr_slots; s->chunks; used = POLL_CHUNK_SLOTS) {
		struct poll_chunk *c = s->chunks;

		for (u32 i = 0; i < used; i++)
			wait_queue_remove(c->slots[i].queue, &c->slots[i].waiter);
		s->chunks = c->next;
		kfree(c);
	}
	for (u32 i = 0; i < nr; i++)
		if (s->refs[i].file)
			fd_release(s->refs[i]);
	if (s->refs != s->first_refs)
		kfree(s->refs);
}

static __noinline u16 poll_ask_slow(const struct poll_item *item, u16 always)
{
	u16 got;

	if (item->fd < 0)
		return 0;
	struct fd_ref r = fd_lookup(item->fd);
	if (!r.file)
		return POLLNVAL;
	got = (u16)file_poll(r.file, NULL) & (item->wanted | always);
	fd_release(r);
	return got;
}

static u32 poll_ready_general(struct file *f)
{
	return f->ops->poll(f, NULL);
}

/* Asks every file, without waiting: items that have something.  Neighbours are often of one kind. */
static __noinline int poll_scan_once(struct poll_item *items, u32 nr, u16 always)
{
	const struct fd_table *t = fd_table_here();
	const struct fd_array *a = t->array;
	u32 size = ref_read(&t->refs) == 1 ? a->size : 0; /* one thread's own: no references */
	struct file *const *files = a->files;
	const struct file_ops *ops = NULL;
	u32 (*ready)(struct file * f) = NULL;
	int count = 0;

	for (struct poll_item *item = items, *end = items + nr; item < end; item++) {
		struct file *f = likely((u32)item->fd < size) ? files[(u32)item->fd] : NULL;
		u32 mask;

		if (unlikely(!f || READ_ONCE(f->ops) != ops)) {
			if (!f || !f->ops->poll) { /* an O_PATH file has none */
				item->got = poll_ask_slow(item, always);
				count += item->got != 0;
				continue;
			}
			ops = f->ops;
			ready = ops->ready ?: poll_ready_general;
		}
		mask = ready(f);
		if (unlikely(mask)) {
			item->got = (u16)mask & (item->wanted | always);
			count += item->got != 0;
		}
	}
	return count;
}

/* Asks every file and, until one is ready, leaves waiters at it. */
static int poll_scan_first(struct poll_session *s, struct poll_item *items, u32 nr, u16 always)
{
	int count = 0;

	for (u32 i = 0; i < nr; i++) {
		struct poll_item *item = &items[i];

		s->refs[i] = item->fd < 0 ? (struct fd_ref){} : fd_lookup(item->fd);
		if (s->refs[i].file) {
			s->table.key = (u32)(item->wanted | always);
			item->got = (u16)(file_poll(s->refs[i].file, &s->table) & s->table.key);
		} else if (item->fd >= 0) {
			item->got = POLLNVAL;
		}
		if (item->got) {
			s->table.add = NULL;
			count++;
		}
	}
	return count;
}

static int poll_scan_again(struct poll_session *s, struct poll_item *items, u32 nr, u16 always)
{
	int count = 0;

	for (u32 i = 0; i < nr; i++) {
		struct poll_item *item = &items[i];

		if (!s->refs[i].file)
			continue;
		item->got = (u16)file_poll(s->refs[i].file, NULL) & (item->wanted | always);
		count += item->got != 0;
	}
	return count;
}

static int poll_sleep(struct poll_session *s, u64 deadline_ns, bool *late)
{
	thread_set_state(THREAD_INTERRUPTIBLE);
	if (signal_is_pending()) {
		thread_set_state(THREAD_RUNNABLE);
		return -ERESTARTNOHAND;
	}
	if (atomic_load(&s->triggered))
		thread_set_state(THREAD_RUNNABLE);
	else if (deadline_ns == TIME_NEVER)
		thread_block();
	else
		*late = thread_block_until(deadline_ns);
	atomic_xchg(&s->triggered, 0);
	return 0;
}

static __noinline int poll_items_long(struct poll_item *items, u32 nr, u16 always, u64 deadline_ns)
{
	struct poll_session s;
	bool late = false;
	int count;

	s.table = (struct poll_table){ .add = poll_session_add };
	s.thread = current_thread;
	s.triggered = 0;
	s.nr_slots = 0;
	s.error = 0;
	s.chunks = NULL;
	s.refs = s.first_refs;
	if (nr > POLL_INLINE_REFS)
		s.refs = kcalloc(nr, sizeof(*s.refs), ALLOC_USER);
	if (!s.refs)
		return -ENOMEM;

	count = poll_scan_first(&s, items, nr, always);
	while (count == 0 && !late) {
		count = s.error;
		if (count == 0)
			count = poll_sleep(&s, deadline_ns, &late);
		if (count == 0)
			count = poll_scan_again(&s, items, nr, always);
	}
	poll_session_end(&s, nr);
	return count;
}

int poll_items(struct poll_item *items, u32 nr, u16 always, u64 deadline_ns)
{
	if (deadline_ns == 0)
		return poll_scan_once(items, nr, always);
	return poll_items_long(items, nr, always, deadline_ns);
}
