/*
 * Signals: sending, queues, and what a signal does before anyone takes it.
 *
 * Concepts.  A signal is *generated* for a task or for a process, stays
 * *pending* in a queue of either, and is *delivered* by a task on its way to
 * user mode (signal_deliver.c) or *taken* by sigtimedwait or a signalfd.
 *
 * Invariants.
 *   (1) a bit of a queue's set is clear only if no entry with that number is
 *       queued; a set bit without an entry is a signal that a task sent to
 *       itself (own_signo), or one without information (no memory, or the
 *       limit was reached);
 *   (2) a standard signal is queued at most once in a queue; real-time ones
 *       each time, in order;
 *   (3) WORK_SIGNAL of a task is set whenever a signal that it does not block
 *       is pending for it, or a stop waits for it; only the task itself clears
 *       it, so that an interrupted call always meets the restart logic;
 *   (4) once PROCESS_EXITING is set every task of the process has SIGKILL
 *       pending and WORK_FATAL set.
 *
 * Locking.  The handlers' lock (SIGHAND, interrupts off) guards handlers,
 * queues, blocked sets as seen by senders, and PROCESS_ flags.  Handlers are
 * shared by the tasks of a process and perhaps by other processes
 * (CLONE_SIGHAND alone).  Telling a parent needs task_list_lock first.
 *
 * How it works.  A signal whose default action ends the process, and that
 * nothing stands in the way of, starts the end at once (kill_group): no task
 * needs to be chosen, and killable sleeps end.  No core file is ever written;
 * signals that would dump core just end the process, and the wait status says
 * "no core", as on Linux with RLIMIT_CORE at 0.
 *
 * A standard signal that a task sends to itself and has a handler for is on its
 * way back to user mode, where it is taken: its information is three numbers,
 * and it needs no entry (signal_send_self).
 *
 * References: signal(7), sigaction(2), kill(2), POSIX.1-2017 2.4.
 */
#include "internal.h"

#include <nos/init.h>
#include <nos/ipc.h>

#include <asm/siginfo.h>
#include <linux/capability.h>
#include <linux/resource.h>

static struct slab_cache *entry_cache, *handlers_cache;

/* All actions are the default, as in every table that is free: most processes set few, and a fork copies few. */
static void handlers_construct(void *object)
{
	memset(object, 0, sizeof(struct signal_handlers));
}

static int signal_caches_init(void)
{
	entry_cache = slab_cache_create(&(struct slab_cache_info){
		.name = "signal_entry", .size = sizeof(struct signal_entry) });
	handlers_cache =
		slab_cache_create(&(struct slab_cache_info){ .name = "signal_handlers",
							     .size = sizeof(struct signal_handlers),
							     .construct = handlers_construct });
	VERIFY(entry_cache && handlers_cache);
	return 0;
}
INIT_STEP(INIT_CORE, signal_caches_init);

/* ---- handlers ---- */

static __maybe_unused bool are_default(const struct signal_handlers *h)
{
	for (int n = 0; n < NR_SIGNALS; n++) {
		const struct signal_action *a = &h->actions[n];

		if (a->handler || a->flags || a->mask || a->restorer)
			return false;
	}
	return !h->set;
}

struct signal_handlers *signal_handlers_create(void)
{
	struct signal_handlers *h = slab_alloc(handlers_cache, 0);

	if (!h)
		return NULL;
	ASSERT(are_default(h));
	ref_init(&h->refs, 1);
	spin_init(&h->lock, RANK_SIGHAND);
	wait_queue_init(&h->signalfd_queue);
	return h;
}

struct signal_handlers *signal_handlers_copy(struct signal_handlers *from)
{
	struct signal_handlers *h = signal_handlers_create();

	if (h) {
		scoped_spin_irq(&from->lock);
		h->set = from->set;
		for (signal_set_t left = h->set; left; left &= left - 1) {
			int n = __builtin_ctzll(left);

			h->actions[n] = from->actions[n];
		}
	}
	return h;
}

void signal_handlers_reset(struct signal_handlers *h, bool keep_ignored)
{
	signal_set_t kept = 0;

	for (signal_set_t left = h->set; left; left &= left - 1) {
		int n = __builtin_ctzll(left);
		struct signal_action *a = &h->actions[n];
		bool keeps = keep_ignored && a->handler == SIGNAL_IGNORE;

		*a = (struct signal_action){ .handler = keeps ? SIGNAL_IGNORE : SIGNAL_DEFAULT };
		if (keeps)
			kept |= 1ull << n;
	}
	h->set = kept;
}

static void handlers_free(struct rcu_head *head)
{
	struct signal_handlers *h = container_of(head, struct signal_handlers, rcu);

	signal_handlers_reset(h, false);
	slab_free(handlers_cache, h);
}

void signal_handlers_put(struct signal_handlers *h)
{
	if (!ref_put(&h->refs))
		return;
	/* An epoll that outlives the process may still watch a signalfd of it. */
	wake_all_key(&h->signalfd_queue, POLL_KEY_FREE);
	rcu_call(&h->rcu, handlers_free);
}

__no_lock_check struct signal_handlers *process_lock_signals(struct process *p, u64 *flags)
{
	for (;;) {
		rcu_read_lock();
		struct signal_handlers *h = rcu_load(p->handlers);

		*flags = spin_lock_irq(&h->lock);
		if (likely(h == READ_ONCE(p->handlers))) {
			rcu_read_unlock();
			return h;
		}
		spin_unlock_irq(&h->lock, *flags);
		rcu_read_unlock();
	}
}

/* ---- queues ---- */

void signal_queue_init(struct signal_queue *q)
{
	q->set = 0;
	q->own_signo = 0;
	list_init(&q->entries);
}

static void entry_free(struct signal_entry *e)
{
	if (e->timer)
		return;
	if (e->user) {
		atomic_sub(&e->user->nr_signals, 1u);
		user_account_put(e->user);
	}
	slab_free(entry_cache, e);
}

void signal_queue_flush(struct signal_queue *q)
{
	struct list *n;

	q->set = 0;
	q->own_signo = 0;
	while ((n = list_pop_front(&q->entries)))
		entry_free(list_entry(n, struct signal_entry, node));
}

void signal_queue_remove_locked(struct signal_queue *q, signal_set_t set)
{
	struct signal_entry *e, *next;

	if (!(q->set & set))
		return;
	q->set &= ~set;
	if (q->own_signo && (signal_bit(q->own_signo) & set))
		q->own_signo = 0;
	list_for_each_safe(e, next, &q->entries, node) {
		if (signal_bit(e->info.signo) & set) {
			list_remove(&e->node);
			entry_free(e);
		}
	}
}

/* True if e was in q. */
static bool queue_withdraw(struct signal_queue *q, struct signal_entry *e)
{
	struct signal_entry *other;
	bool found = false, more = q->own_signo == e->info.signo;

	list_for_each(other, &q->entries, node) {
		if (other == e)
			found = true;
		else if (other->info.signo == e->info.signo)
			more = true;
	}
	if (!found)
		return false;
	list_remove(&e->node);
	if (!more)
		q->set &= ~signal_bit(e->info.signo);
	return true;
}

void signal_entry_withdraw_locked(struct process *p, struct signal_entry *e)
{
	struct task *t;

	if (!list_is_linked(&e->node) || queue_withdraw(&p->pending, e))
		return;
	list_for_each(t, &p->threads, thread_node) {
		if (queue_withdraw(&t->pending, e))
			return;
	}
}

/* The first queued information of signo; clears the bit when it was the last one. */
static void take_info(struct signal_queue *q, int signo, struct signal_info *info)
{
	struct signal_entry *e, *first = NULL;
	bool more = false;

	if (q->own_signo == signo) {
		/* A timer puts its entry beside it. */
		list_for_each(e, &q->entries, node)
			more |= e->info.signo == signo;
		if (!more)
			q->set &= ~signal_bit(signo);
		q->own_signo = 0;
		*info = (struct signal_info){ .signo = signo, .code = q->own_code };
		info->pid = process_current()->tgid;
		info->uid = q->own_uid;
		return;
	}
	list_for_each(e, &q->entries, node) {
		if (e->info.signo != signo)
			continue;
		if (first) {
			more = true;
			break;
		}
		first = e;
	}
	if (!more)
		q->set &= ~signal_bit(signo);
	if (!first) {
		memset(info, 0, sizeof(*info));
		info->signo = signo;
		return;
	}
	list_remove(&first->node);
	*info = first->info;
	if (first->timer)
		posix_timer_delivered(first->timer, info);
	else
		entry_free(first);
}

int signal_take_locked(struct task *t, signal_set_t set, struct signal_info *info)
{
	struct signal_queue *q = &t->pending;
	signal_set_t ready = q->set & set;
	int signo;

	if (!ready) {
		q = &t->process->pending;
		ready = q->set & set;
		if (!ready)
			return 0;
	}
	if (ready & SIGNALS_SYNCHRONOUS)
		ready &= SIGNALS_SYNCHRONOUS;
	signo = __builtin_ctzll(ready) + 1;
	take_info(q, signo, info);
	if (signo == SIGALRM && q == &t->process->pending)
		itimer_delivered(t->process);
	return signo;
}

void signal_recalculate_locked(struct task *t)
{
	if (((t->pending.set | t->process->pending.set) & ~t->blocked) ||
	    (t->flags & TASK_STOPPING) || (t->process->state & PROCESS_TELL_CONTINUED))
		thread_set_work(&t->thread, WORK_SIGNAL);
	else if (READ_ONCE(t->thread.work) & WORK_SIGNAL)
		atomic_and(&t->thread.work, ~WORK_SIGNAL);
}

/* ---- generation ---- */

static bool is_ignored(struct process *p, int signo)
{
	u64 handler = p->handlers->actions[signo - 1].handler;

	return handler == SIGNAL_IGNORE ||
	       (handler == SIGNAL_DEFAULT && (signal_bit(signo) & SIGNALS_IGNORED_BY_DEFAULT));
}

/* Whether the signal vanishes as it is sent.  Blocked ones stay: the handler may change before. */
static bool is_dropped(struct process *p, struct task *t, int signo)
{
	if ((t->blocked | t->taking) & signal_bit(signo))
		return false;
	if (p->is_init && p->handlers->actions[signo - 1].handler == SIGNAL_DEFAULT)
		return true;
	return is_ignored(p, signo);
}

static void wake_for_signal(struct task *t)
{
	thread_set_work(&t->thread, WORK_SIGNAL);
	thread_wake_mask(&t->thread, WAKE_INTERRUPTIBLE);
}

static void remove_from_all(struct process *p, signal_set_t set)
{
	struct task *t;

	signal_queue_remove_locked(&p->pending, set);
	list_for_each(t, &p->threads, thread_node)
		signal_queue_remove_locked(&t->pending, set);
}

/* SIGCONT has its effect when it is sent, whether or not it is blocked or ignored. */
static void continue_process(struct process *p)
{
	struct task *t;
	bool was_stopped = p->state & PROCESS_STOPPED;

	remove_from_all(p, SIGNALS_STOP);
	p->stop_signal = 0;
	p->stop_count = 0;
	if (was_stopped) {
		p->state &= ~(PROCESS_STOPPED | PROCESS_STOP_REPORTED);
		p->state |= PROCESS_CONTINUED | PROCESS_TELL_CONTINUED;
	}
	list_for_each(t, &p->threads, thread_node) {
		t->flags &= ~TASK_STOPPING;
		if (t->flags & TASK_STOPPED) {
			t->flags &= ~TASK_STOPPED;
			thread_set_work(&t->thread, WORK_SIGNAL);
			thread_wake_mask(&t->thread, bit(THREAD_STOPPED));
		}
	}
}

static void kill_task(struct task *t)
{
	t->flags &= ~(TASK_STOPPING | TASK_STOPPED);
	t->pending.set |= signal_bit(SIGKILL);
	thread_set_work(&t->thread, WORK_SIGNAL | WORK_FATAL);
	thread_wake_mask(&t->thread, WAKE_KILLABLE | bit(THREAD_STOPPED));
}

void signal_kill_group_locked(struct process *p, s32 status)
{
	struct task *t;

	if (p->state & PROCESS_EXITING)
		return;
	p->state |= PROCESS_EXITING;
	p->exit_code = status;
	p->stop_signal = 0;
	p->stop_count = 0;
	list_for_each(t, &p->threads, thread_node) {
		if (!(t->flags & TASK_EXITING))
			kill_task(t);
	}
}

u32 signal_kill_others_locked(struct process *p)
{
	struct task *t;
	u32 nr = 0;

	p->stop_signal = 0;
	p->stop_count = 0;
	list_for_each(t, &p->threads, thread_node) {
		if (t != task_current() && !(t->flags & TASK_EXITING)) {
			kill_task(t);
			nr++;
		}
	}
	return nr;
}

static bool can_take(const struct task *t, int signo)
{
	if ((t->flags & TASK_EXITING) || (t->blocked & signal_bit(signo)))
		return false;
	if (signo == SIGKILL)
		return true;
	if (t->flags & TASK_STOPPED)
		return false;
	return t->thread.on_cpu || !(READ_ONCE(t->thread.work) & WORK_SIGNAL);
}

/* The task that is to see it: the one meant, else the leader, else any; NULL: nobody now. */
static struct task *choose(struct process *p, struct task *target, int signo)
{
	struct task *t;

	if (target)
		return can_take(target, signo) ? target : NULL;
	if (can_take(p->leader, signo))
		return p->leader;
	list_for_each(t, &p->threads, thread_node) {
		if (can_take(t, signo))
			return t;
	}
	return NULL;
}

static bool is_fatal(struct process *p, int signo)
{
	return p->handlers->actions[signo - 1].handler == SIGNAL_DEFAULT &&
	       !(signal_bit(signo) & (SIGNALS_STOP | SIGNALS_IGNORED_BY_DEFAULT)) &&
	       (!p->is_init || signo == SIGKILL);
}

static struct signal_entry *entry_create(struct process *p, struct task *t, int signo,
					 const struct signal_info *info)
{
	bool over_limit = signo < SIGRTMIN && (!info || info->code >= 0);
	struct signal_entry *e;
	struct user_account *u;
	scoped_rcu();

	u = rcu_load(t->cred)->user;
	if (atomic_add(&u->nr_signals, 1u) > process_limit(p, RLIMIT_SIGPENDING) && !over_limit)
		e = NULL;
	else
		e = slab_alloc(entry_cache, ALLOC_ATOMIC);
	if (!e) {
		atomic_sub(&u->nr_signals, 1u);
		return NULL;
	}
	e->user = user_account_hold(u);
	e->timer = NULL;
	list_init(&e->node);
	if (info) {
		e->info = *info;
	} else {
		memset(&e->info, 0, sizeof(e->info));
		e->info.code = SI_KERNEL;
	}
	e->info.signo = signo;
	return e;
}

/* Puts it in the queue and finds someone to see it. */
static void make_pending(struct process *p, struct task *target, int signo, struct signal_entry *e)
{
	struct signal_queue *q = target ? &target->pending : &p->pending;
	struct task *t;

	if (e)
		list_push_back(&q->entries, &e->node);
	q->set |= signal_bit(signo);
	if (wait_queue_is_active(&p->handlers->signalfd_queue))
		wake_all(&p->handlers->signalfd_queue);
	t = choose(p, target, signo);
	if (!t)
		return;
	if (is_fatal(p, signo) && !(t->taking & signal_bit(signo)))
		signal_kill_group_locked(p, signo);
	else
		wake_for_signal(t);
}

/* target NULL: the whole process.  Handlers locked. */
static int send_locked(struct process *p, struct task *target, int signo,
		       const struct signal_info *info)
{
	struct signal_queue *q = target ? &target->pending : &p->pending;
	struct signal_entry *e;

	if (p->state & (PROCESS_EXITING | PROCESS_ZOMBIE))
		return 0;
	if (signal_bit(signo) & SIGNALS_STOP)
		remove_from_all(p, signal_bit(SIGCONT));
	else if (signo == SIGCONT)
		continue_process(p);
	if (is_dropped(p, target ? target : p->leader, signo))
		return 0;
	if (signo < SIGRTMIN && (q->set & signal_bit(signo)))
		return 0;
	e = signo == SIGKILL ? NULL : entry_create(p, target ? target : p->leader, signo, info);
	if (!e && signo >= SIGRTMIN && info && info->code != SI_USER)
		return -EAGAIN;
	make_pending(p, target, signo, e);
	return 0;
}

int signal_send_task(struct task *t, int signo, const struct signal_info *info)
{
	u64 flags;
	struct signal_handlers *h;
	int err;

	if (signo == 0)
		return 0;
	h = process_lock_signals(t->process, &flags);
	err = t->flags & TASK_ZOMBIE ? 0 : send_locked(t->process, t, signo, info);
	process_unlock_signals(h, flags);
	return err;
}

int signal_send_process(struct process *p, int signo, const struct signal_info *info)
{
	u64 flags;
	struct signal_handlers *h;
	int err;

	if (signo == 0)
		return 0;
	h = process_lock_signals(p, &flags);
	err = send_locked(p, NULL, signo, info);
	process_unlock_signals(h, flags);
	return err;
}

/*
 * Sends signo, which has passed the checks of kill(2), to the current task or to
 * its process (q is one of its two queues) if it is sure that this task will
 * handle it at once.  False: nothing was done.
 */
static bool signal_send_self(struct signal_queue *q, int signo, int code)
{
	const signal_set_t special = SIGNALS_STOP | SIGNALS_NEVER_BLOCKED | signal_bit(SIGCONT);
	struct task *t = task_current();
	struct signal_handlers *h;
	signal_set_t mask;
	bool sent = false;
	u64 flags;

	if ((u32)signo - 1 >= SIGRTMIN - 1)
		return false;
	mask = signal_bit(signo);
	if (mask & special)
		return false;
	h = process_lock_own_signals(&flags);
	if (h->actions[signo - 1].handler > SIGNAL_IGNORE && !q->own_signo &&
	    !((t->blocked | t->taking | q->set) & mask) && !(t->flags & TASK_EXITING) &&
	    !(t->process->state & (PROCESS_EXITING | PROCESS_ZOMBIE)) &&
	    !wait_queue_is_active(&h->signalfd_queue)) {
		q->own_signo = (u8)signo;
		q->own_code = (s8)code;
		q->own_uid = cred_current()->uid;
		q->set |= mask;
		atomic_or(&t->thread.work, WORK_SIGNAL);
		sent = true;
	}
	process_unlock_signals(h, flags);
	return sent;
}

bool signal_raise(s32 pid, s32 tid, int signo)
{
	struct task *t = task_current();

	if (tid)
		return tid == t->tid && (!pid || pid == t->process->tgid) &&
		       signal_send_self(&t->pending, signo, SI_TKILL);
	/* The leader is the first that is asked to take it. */
	return pid == t->process->tgid && t == t->process->leader &&
	       signal_send_self(&t->process->pending, signo, SI_USER);
}

int signal_send_group(struct pid_entry *group, int signo, const struct signal_info *info)
{
	scoped_spin_irq(&task_list_lock);
	struct process *p;
	int result = -ESRCH;

	list_for_each(p, &group->group_members, group_node) {
		int err = signal_send_process(p, signo, info);

		if (result)
			result = err;
	}
	return result;
}

/* For timers: e belongs to the timer; 1 if it is still queued from last time, 0 when it now is or
 * the signal is ignored (-EAGAIN then). */
int signal_send_queued(struct process *p, struct task *t, struct signal_entry *e, int signo)
{
	u64 flags;
	struct signal_handlers *h = process_lock_signals(p, &flags);
	int result = 0;

	if (p->state & (PROCESS_EXITING | PROCESS_ZOMBIE))
		result = -EAGAIN;
	else if (list_is_linked(&e->node))
		result = 1;
	else if (is_dropped(p, t ? t : p->leader, signo))
		result = -EAGAIN;
	else
		make_pending(p, t, signo, e);
	process_unlock_signals(h, flags);
	return result;
}

void signal_change_action(int signo, const struct signal_action *new, struct signal_action *old)
{
	struct process *p = process_current();
	u64 flags;
	struct signal_handlers *h = process_lock_own_signals(&flags);

	if (old)
		*old = h->actions[signo - 1];
	if (new) {
		h->actions[signo - 1] = *new;
		h->set |= signal_bit(signo);
		if (is_ignored(p, signo))
			remove_from_all(p, signal_bit(signo));
	}
	process_unlock_signals(h, flags);
}

/* ---- kill(2) ---- */

void signal_info_user(struct signal_info *info, int signo, int code)
{
	memset(info, 0, sizeof(*info));
	info->signo = signo;
	info->code = code;
	info->pid = process_current()->tgid;
	info->uid = cred_current()->uid;
}

int signal_permission(struct process *p, int signo, bool same_session_cont)
{
	const struct cred *me = cred_current(), *c;
	struct task *leader;
	scoped_rcu();

	if (signo < 0 || signo > NR_SIGNALS)
		return -EINVAL;
	leader = process_leader_rcu(p);
	if (!leader)
		return -ESRCH;
	c = rcu_load(leader->cred);
	if (p == process_current() || me->euid == c->suid || me->euid == c->uid ||
	    me->uid == c->suid || me->uid == c->uid || cred_has(me, CAP_KILL))
		return 0;
	if (same_session_cont && signo == SIGCONT && p->session == process_current()->session)
		return 0;
	return -EPERM;
}

static int check_and_send(struct process *p, int signo, const struct signal_info *info)
{
	int err = signal_permission(p, signo, true);

	return err ? err : signal_send_process(p, signo, info);
}

static int kill_all(int signo, const struct signal_info *info)
{
	struct process *me = process_current(), *p;
	int result = -ESRCH;

	for (s32 from = 2; (p = process_next(from)); from = p->tgid + 1, process_put(p)) {
		if (p == me)
			continue;
		int err = check_and_send(p, signo, info);

		if (err != -EPERM && err != -ESRCH)
			result = err;
	}
	return result;
}

static int kill_group(s32 pgid, int signo, const struct signal_info *info)
{
	scoped_spin_irq(&task_list_lock);
	struct pid_entry *group = pgid ? pid_find(pgid) : process_current()->group;
	struct process *p;
	int result = -ESRCH;
	bool one_worked = false;

	if (!group)
		return -ESRCH;
	list_for_each(p, &group->group_members, group_node) {
		result = check_and_send(p, signo, info);
		one_worked |= result == 0;
	}
	return one_worked ? 0 : result;
}

int signal_kill(s32 pid, int signo, const struct signal_info *info)
{
	struct signal_info mine;

	if (!info) {
		signal_info_user(&mine, signo, SI_USER);
		info = &mine;
	}
	if (pid == INT32_MIN)
		return -ESRCH;
	if (pid == -1)
		return kill_all(signo, info);
	if (pid <= 0)
		return kill_group(-pid, signo, info);

	struct process *p = process_get(pid);

	if (!p) {
		/* A tid that is not a tgid names its process too. */
		struct task *t = task_get(pid);

		if (!t)
			return -ESRCH;
		p = t->process;
		ref_get(&p->refs);
		task_put(t);
	}
	int err = check_and_send(p, signo, info);

	process_put(p);
	return err;
}

/* ---- telling the parent ---- */

bool process_notify_parent_locked(struct process *p, int signo, int code, int status)
{
	struct process *parent = p->parent;
	struct signal_info info = { .signo = signo, .code = code };
	struct signal_handlers *h;
	bool ignores = false;
	u64 flags, user_ns, system_ns;

	ASSERT(spin_is_held(&task_list_lock));
	info.pid = p->tgid;
	info.status = status;
	process_cpu_times(p, &user_ns, &system_ns);
	info.utime = (s64)(user_ns / (NSEC_PER_SEC / 100));
	info.stime = (s64)(system_ns / (NSEC_PER_SEC / 100));
	rcu_read_lock();
	info.uid = rcu_load(p->leader->cred)->uid;
	rcu_read_unlock();

	h = process_lock_signals(parent, &flags);
	const struct signal_action *a = &h->actions[SIGCHLD - 1];

	if (code == CLD_STOPPED || code == CLD_CONTINUED) {
		if (a->handler != SIGNAL_IGNORE && !(a->flags & SA_NOCLDSTOP))
			send_locked(parent, NULL, signo, &info);
	} else {
		if (signo == SIGCHLD)
			ignores = a->handler == SIGNAL_IGNORE || (a->flags & SA_NOCLDWAIT);
		if (signo > 0 && signo <= NR_SIGNALS &&
		    !(signo == SIGCHLD && a->handler == SIGNAL_IGNORE))
			send_locked(parent, NULL, signo, &info);
	}
	process_unlock_signals(h, flags);
	wake_all(&parent->child_queue);
	return ignores;
}
