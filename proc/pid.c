/*
 * The table of process numbers.
 *
 * Concepts.  A *pid entry* is a number in use, in any of four roles: thread
 * (tid), process (tgid), process group, session.  The table maps numbers to
 * entries by two levels of arrays.
 *
 * Invariants.
 *   (1) an entry stands in the table exactly while it has a user, that is, a
 *       role in which someone holds the number; so no number is given out
 *       twice while a group or session of that name exists;
 *   (2) a reader under RCU sees an entry or NULL, never freed memory: entries
 *       are freed after a grace period, leaf arrays never;
 *   (3) `task` and `process` of an entry are cleared before their memory
 *       goes, also after a grace period.
 *
 * Locking.  Readers: RCU, no store.  `pid_lock` (leaf) serialises changes of
 * the table; `users` is under task_list_lock, the references are atomic.
 *
 * How it works.  The root has one pointer for 512 numbers, 64 KiB of zeroes of
 * which only what is used gets touched; leaves are single pages.  Numbers are
 * given in rising order and wrap at pid_max, above RESERVED, as Linux does, so
 * that a number is reused late.
 *
 * Rejected: a hash (a lookup walks a chain, a listing in number order sorts),
 * and copies per CPU (they return dead tasks).
 */
#include "internal.h"

#include <nos/init.h>
#include <nos/pseudo.h>
#include <nos/report.h>

#define PID_LIMIT (4u << 20)
#define LEAF_SLOTS (PAGE_SIZE / sizeof(void *))
#define RESERVED 300 /* after the first wrap these are left to daemons of the boot */

struct pid_leaf {
	struct pid_entry *slot[LEAF_SLOTS];
};

static struct pid_leaf *pid_root[PID_LIMIT / LEAF_SLOTS];
static struct spinlock pid_lock = SPINLOCK_INIT(RANK_LEAF);
static s32 pid_last;
u32 pid_max = 32768;

struct pid_entry *pid_find(s32 nr)
{
	struct pid_leaf *leaf;

	if (unlikely((u32)nr >= PID_LIMIT))
		return NULL;
	leaf = rcu_load(pid_root[(u32)nr / LEAF_SLOTS]);
	return leaf ? rcu_load(leaf->slot[(u32)nr % LEAF_SLOTS]) : NULL;
}

struct pid_entry *pid_get(s32 nr)
{
	scoped_rcu();
	struct pid_entry *p = pid_find(nr);

	return p && ref_get_unless_zero(&p->refs) ? p : NULL;
}

static void pid_free(struct rcu_head *head)
{
	kfree(container_of(head, struct pid_entry, rcu));
}

void pid_put(struct pid_entry *p)
{
	if (ref_put(&p->refs))
		rcu_call(&p->rcu, pid_free);
}

struct task *task_find(s32 tid)
{
	struct pid_entry *p = pid_find(tid);

	return p ? rcu_load(p->task) : NULL;
}

struct process *process_find(s32 tgid)
{
	struct pid_entry *p = pid_find(tgid);

	return p ? rcu_load(p->process) : NULL;
}

struct process *process_get(s32 tgid)
{
	scoped_rcu();
	struct process *p = process_find(tgid);

	return p && ref_get_unless_zero(&p->refs) ? p : NULL;
}

struct task *task_get(s32 tid)
{
	scoped_rcu();
	struct task *t = task_find(tid);

	return t && ref_get_unless_zero(&t->refs) ? t : NULL;
}

struct process *process_next(s32 from)
{
	u32 nr = from > 0 ? (u32)from : 1;
	scoped_rcu();

	while (nr < PID_LIMIT) {
		struct pid_leaf *leaf = rcu_load(pid_root[nr / LEAF_SLOTS]);

		if (!leaf) {
			nr = align_down(nr, (u32)LEAF_SLOTS) + (u32)LEAF_SLOTS;
			continue;
		}
		struct pid_entry *e = rcu_load(leaf->slot[nr % LEAF_SLOTS]);
		struct process *p = e ? rcu_load(e->process) : NULL;

		if (p && ref_get_unless_zero(&p->refs))
			return p;
		nr++;
	}
	return NULL;
}

/* For the report of a machine that doesn't go on. */
static void report_each_task(void)
{
	scoped_rcu();
	for (u32 nr = 0; nr < PID_LIMIT; nr++) {
		if (!rcu_load(pid_root[nr / LEAF_SLOTS])) {
			nr |= LEAF_SLOTS - 1;
			continue;
		}

		struct task *t = task_find((s32)nr);

		if (t)
			report_thread(&t->thread, t->comm, (s32)nr);
	}
}

static int pid_report_init(void)
{
	report_tasks = report_each_task;
	return 0;
}
INIT_STEP(INIT_CORE, pid_report_init);

s32 process_last_pid(void)
{
	return READ_ONCE(pid_last);
}

/* First free number in [from, end) whose leaf exists, or one whose leaf does not; 0 = none. */
static u32 find_free_locked(u32 from, u32 end)
{
	for (u32 nr = from; nr < end; nr++) {
		struct pid_leaf *leaf = pid_root[nr / LEAF_SLOTS];

		if (!leaf || !leaf->slot[nr % LEAF_SLOTS])
			return nr;
	}
	return 0;
}

static int pick_locked(s32 wanted, u32 *nr)
{
	struct pid_leaf *leaf;

	if (!wanted) {
		u32 first = pid_last >= RESERVED ? RESERVED : 1;

		*nr = (u32)pid_last + 1 < pid_max ? find_free_locked((u32)pid_last + 1, pid_max) :
						    0;
		if (!*nr)
			*nr = find_free_locked(first, pid_max);
		return *nr ? 0 : -EAGAIN;
	}
	if (wanted < 1 || (u32)wanted >= pid_max)
		return -EINVAL;
	*nr = (u32)wanted;
	leaf = pid_root[*nr / LEAF_SLOTS];
	return leaf && leaf->slot[*nr % LEAF_SLOTS] ? -EEXIST : 0;
}

/* 0 with e in the table; −errno; 1: the leaf of e->nr is to be made first. */
static int insert(struct pid_entry *e, s32 wanted)
{
	scoped_spin_irq(&pid_lock);
	u32 nr;
	int err = pick_locked(wanted, &nr);

	if (err)
		return err;
	e->nr = (s32)nr;
	if (!pid_root[nr / LEAF_SLOTS])
		return 1;
	rcu_store(pid_root[nr / LEAF_SLOTS]->slot[nr % LEAF_SLOTS], e);
	if (!wanted)
		pid_last = (s32)nr;
	return 0;
}

static int make_leaf(s32 nr)
{
	struct pid_leaf *leaf = page_alloc(0, ALLOC_ZERO);

	if (!leaf)
		return -ENOMEM;
	{
		scoped_spin_irq(&pid_lock);

		if (!pid_root[(u32)nr / LEAF_SLOTS]) {
			rcu_store(pid_root[(u32)nr / LEAF_SLOTS], leaf);
			page_note_permanent(FOLIO_KERNEL, 1);
			return 0;
		}
	}
	page_free(leaf, 0);
	return 0;
}

struct pid_entry *pid_allocate(s32 wanted)
{
	struct pid_entry *e = kzalloc(sizeof(*e), 0);
	int err;

	if (!e)
		return err_ptr(-ENOMEM);
	ref_init(&e->refs, 1);
	e->users = 1;
	list_init(&e->group_members);
	list_init(&e->session_members);
	wait_queue_init(&e->exit_queue);
	while ((err = insert(e, wanted)) == 1) {
		err = make_leaf(e->nr);
		if (err)
			break;
	}
	if (err) {
		kfree(e);
		return err_ptr(err);
	}
	return e;
}

void pid_attach_locked(struct pid_entry *p)
{
	ASSERT(p->users > 0);
	p->users++;
}

void pid_detach_locked(struct pid_entry *p)
{
	ASSERT(p->users > 0);
	if (--p->users > 0)
		return;
	ASSERT(list_is_empty(&p->group_members) && list_is_empty(&p->session_members));
	{
		scoped_spin(&pid_lock);

		rcu_store(pid_root[(u32)p->nr / LEAF_SLOTS]->slot[(u32)p->nr % LEAF_SLOTS], NULL);
	}
	pid_put(p);
}

static int show_pid_max(struct text_out *out, void *arg)
{
	text_printf(out, "%u\n", pid_max);
	return 0;
}

static ssize_t store_pid_max(const char *text, size_t len, void *arg)
{
	char number[24];
	u64 value;
	size_t n = 0;

	while (n < len && n < sizeof(number) - 1 && text[n] >= '0' && text[n] <= '9') {
		number[n] = text[n];
		n++;
	}
	number[n] = 0;
	if (string_to_u64(number, 10, &value) || value <= RESERVED || value > PID_LIMIT)
		return -EINVAL;
	WRITE_ONCE(pid_max, (u32)value);
	return (ssize_t)len;
}

/* Numbers are the only limit on threads that is the system's own. */
static int show_threads_max(struct text_out *out, void *arg)
{
	text_printf(out, "%u\n", pid_max - 1);
	return 0;
}

PSEUDO_FILE(threads_max_file, .path = "proc/sys/kernel/threads-max", .show = show_threads_max);
PSEUDO_FILE(pid_max_file, .path = "proc/sys/kernel/pid_max", .mode = 0644, .show = show_pid_max,
	    .store = store_pid_max);
