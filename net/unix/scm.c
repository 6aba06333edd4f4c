/*
 * Open files in messages (SCM_RIGHTS), and the garbage that they can make.
 *
 * A socket whose file lies in a message is "in flight".  Two sockets in flight
 * in each other's queues keep each other alive although no process can reach
 * them.  The collector finds such sockets: candidates are those all of whose
 * references come from messages; what a socket outside of them holds is
 * reachable, and what reachable ones hold, too; the messages of the rest are
 * dropped.  It runs when a socket closes while any is in flight.
 *
 * Invariants.
 *   (1) u->in_flight counts the messages that hold u's file, from before the
 *       message can be received until after it was; so a socket that is being
 *       received looks referenced from outside, and is left alone.
 *   (2) in_flight changes under gc_lock only.
 *
 * Limits: a user has at most RLIMIT_NOFILE files in flight (unix(7),
 * ETOOMANYREFS), counted in a table by hash of the user's number; users that
 * share a slot share its limit.
 *
 * Locking.  gc_lock comes before sockets' locks.
 */
#include "unix.h"

#include <nos/assert.h>
#include <nos/errno.h>
#include <nos/slab.h>
#include <nos/string.h>
#include <linux/capability.h>

#define CHARGE_SLOTS 256u

static struct mutex gc_lock = MUTEX_INIT(RANK_NONE);
static struct list in_flight = LIST_INIT(in_flight); /* in_flight_node */
static u32 charges[CHARGE_SLOTS];

static u32 *charge_of(u32 uid)
{
	return &charges[hash_u64(uid) >> 56];
}

static struct unix_socket *unix_of_file(struct file *f)
{
	struct socket *s = socket_of_file(f);

	return s && s->family == AF_UNIX ? unix_of(s) : NULL;
}

static void unix_fly(struct file *f, bool begin)
{
	struct unix_socket *u = unix_of_file(f);

	if (!u)
		return;
	scoped_mutex(&gc_lock);
	if (begin) {
		if (u->in_flight++ == 0)
			list_push_back(&in_flight, &u->in_flight_node);
	} else if (--u->in_flight == 0) {
		list_remove(&u->in_flight_node);
	}
}

int unix_files_attach(struct socket_message *m, struct unix_files **out)
{
	u32 uid = cred_current()->uid;
	struct unix_files *f;

	if (atomic_add(charge_of(uid), m->nr_files) > process_nofile_limit() &&
	    !capable(CAP_SYS_RESOURCE) && !capable(CAP_SYS_ADMIN)) {
		atomic_sub(charge_of(uid), m->nr_files);
		return -ETOOMANYREFS;
	}
	f = kmalloc(offsetof(struct unix_files, file) + m->nr_files * sizeof(f->file[0]),
		    ALLOC_USER);
	if (!f) {
		atomic_sub(charge_of(uid), m->nr_files);
		return -ENOMEM;
	}
	f->nr = m->nr_files;
	f->uid = uid;
	for (u32 i = 0; i < f->nr; i++) {
		f->file[i] = m->files[i];
		file_get(f->file[i]);
		unix_fly(f->file[i], true);
	}
	*out = f;
	return 0;
}

/* The message is gone or received: its files are no longer in flight. */
static void unix_files_land(struct unix_files *f)
{
	for (u32 i = 0; i < f->nr; i++)
		unix_fly(f->file[i], false);
	atomic_sub(charge_of(f->uid), f->nr);
}

void unix_files_free(struct unix_files *f)
{
	unix_files_land(f);
	for (u32 i = 0; i < f->nr; i++)
		file_put(f->file[i]);
	kfree(f);
}

void unix_files_deliver(struct unix_files *f, struct socket_message *m)
{
	unix_files_land(f);
	for (u32 i = 0; i < f->nr; i++) {
		if (m->nr_files < m->max_files) {
			m->files[m->nr_files++] = f->file[i];
		} else {
			m->flags |= MSG_CTRUNC;
			file_put(f->file[i]);
		}
	}
	kfree(f);
}

void unix_files_peek(const struct unix_files *f, struct socket_message *m)
{
	for (u32 i = 0; i < f->nr; i++) {
		if (m->nr_files == m->max_files) {
			m->flags |= MSG_CTRUNC;
			break;
		}
		file_get(f->file[i]);
		m->files[m->nr_files++] = f->file[i];
	}
}

/* ---- buffers that die with what they hold ---- */

static struct mutex dead_lock = MUTEX_INIT(RANK_NONE);
static struct list dead_buffers = LIST_INIT(dead_buffers);
static struct thread *dead_drainer;

/* The next one, if this thread is or becomes who frees them. */
static struct unix_buffer *unix_next_dead(void)
{
	struct list *n;

	scoped_mutex(&dead_lock);
	n = list_pop_front(&dead_buffers);
	dead_drainer = n ? current_thread : NULL;
	return n ? list_entry(n, struct unix_buffer, node) : NULL;
}

/*
 * Closing a file may close a socket, and that free buffers with files: a long
 * chain of these must not nest.  One thread frees, the others, and calls from
 * inside of it, only add to the list.
 */
void unix_buffers_bury(struct list *buffers)
{
	struct unix_buffer *b;

	mutex_lock(&dead_lock);
	list_splice_back(&dead_buffers, buffers);
	if (dead_drainer) {
		mutex_unlock(&dead_lock);
		return;
	}
	dead_drainer = current_thread;
	mutex_unlock(&dead_lock);
	while ((b = unix_next_dead()))
		unix_buffer_free(b);
}

/* ---- the collector; gc_lock is held ---- */

/* Calls fn for each socket that messages to u hold, those to its unaccepted children too. */
static void unix_for_each_held(struct unix_socket *u, void (*fn)(struct unix_socket *held))
{
	struct unix_socket *child;
	struct unix_buffer *b;

	mutex_lock(&u->lock);
	list_for_each(b, &u->queue, node) {
		for (u32 i = 0; b->files && i < b->files->nr; i++) {
			struct unix_socket *held = unix_of_file(b->files->file[i]);

			if (held && held->gc_candidate)
				fn(held);
		}
	}
	list_for_each(child, &u->pending, pending_node)
		unix_for_each_held(child, fn);
	mutex_unlock(&u->lock);
}

static void unix_count_internal(struct unix_socket *held)
{
	held->gc_external--;
}

static void unix_mark_reached(struct unix_socket *held)
{
	held->gc_reached = true;
}

/* Candidates, and how many of their references do not come from candidates' queues. */
static bool unix_find_candidates(void)
{
	struct unix_socket *u;
	bool any = false;

	list_for_each(u, &in_flight, in_flight_node) {
		u->gc_candidate = ref_read(&u->base.file->refs) == u->in_flight;
		u->gc_external = u->in_flight;
		u->gc_reached = false;
		any |= u->gc_candidate;
	}
	if (!any)
		return false;
	list_for_each(u, &in_flight, in_flight_node)
		if (u->gc_candidate)
			unix_for_each_held(u, unix_count_internal);
	return true;
}

/* Spreads from candidates that are held from outside, until nothing new is reached. */
static void unix_spread_reach(void)
{
	struct unix_socket *u;
	bool more = true;

	while (more) {
		more = false;
		list_for_each(u, &in_flight, in_flight_node) {
			if (!u->gc_candidate || (!u->gc_reached && !u->gc_external))
				continue;
			u->gc_candidate = false;
			more = true;
			unix_for_each_held(u, unix_mark_reached);
		}
	}
}

/* Moves the messages that hold files out of u's queue. */
static void unix_take_messages(struct unix_socket *u, struct list *to)
{
	struct unix_socket *child;
	struct unix_buffer *b, *next;

	mutex_lock(&u->lock);
	list_for_each_safe(b, next, &u->queue, node) {
		if (!b->files)
			continue;
		list_remove(&b->node);
		u->queued -= (u32)sizeof(*b) + b->capacity;
		u->nr_queued--;
		list_push_back(to, &b->node);
	}
	list_for_each(child, &u->pending, pending_node)
		unix_take_messages(child, to);
	mutex_unlock(&u->lock);
}

void unix_collect_garbage(void)
{
	struct unix_socket *u;
	struct list dead;

	if (list_is_empty(&in_flight))
		return;
	list_init(&dead);
	mutex_lock(&gc_lock);
	if (unix_find_candidates()) {
		unix_spread_reach();
		list_for_each(u, &in_flight, in_flight_node)
			if (u->gc_candidate)
				unix_take_messages(u, &dead);
	}
	mutex_unlock(&gc_lock);
	/* Closing the files closes the sockets, which collects again. */
	unix_buffers_bury(&dead);
}
