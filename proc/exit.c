/*
 * The end of tasks and processes.
 *
 * How it works.  A task gives back what it has while it can still sleep:
 * locks in user memory (robust and PI futexes), the address space, files,
 * namespaces.  Then, under task_list_lock, it becomes a zombie.  A thread that
 * is not the leader is released at once; the leader stays, for it carries the
 * number, until it is the only one left: then the process is a zombie, its
 * children get a new parent, and its own parent is told.  A parent that does
 * not care (SIGCHLD ignored) makes the process release itself.
 *
 * The last switch away runs on this stack; the reference that a running task
 * has is dropped by the next thread.
 */
#include "internal.h"

#include <asm/siginfo.h>
#include <linux/wait.h>

/* ---- release ---- */

void task_release(struct task *t)
{
	struct process *p = t->process;
	struct tty *tty = NULL;
	bool is_leader = p->leader == t;

	if (is_leader && p->tty) {
		scoped_spin_irq(&task_list_lock);

		tty = p->tty;
		p->tty = NULL;
	}
	if (tty)
		tty_put(tty);
	if (is_leader)
		process_put(p);
	task_put(t);
}

/* ---- giving back ---- */

/* Leaves the address space for another, or for none: then the CPU may keep its tables loaded until it
 * needs others (mm's care). */
void aspace_replace_current(struct aspace *new)
{
	struct aspace *old = current_thread->aspace;
	u64 flags = irq_save();

	rcu_store(current_thread->aspace, new);
	aspace_switch(old, new);
	irq_restore(flags);
	if (old)
		aspace_put(old);
}

static void clear_tid(struct task *t)
{
	struct aspace *a = t->thread.aspace;
	u64 address = t->clear_tid;
	struct iobuf b;
	u32 zero = 0;

	t->clear_tid = 0;
	if (!address || ref_read(&a->users) <= 1)
		return;
	iobuf_init_user(&b, address, sizeof(zero));
	if (iobuf_put(&b, &zero, sizeof(zero)) == sizeof(zero))
		futex_wake_address(address, 1);
}

/* At exit and exec: lets go of what others wait for in the old memory. */
void release_memory_users(struct task *t, bool dies)
{
	struct process *p = t->process;
	struct usage u;

	if (!t->thread.aspace)
		return;
	if (t->robust_list) {
		futex_exit_robust(t->robust_list);
		t->robust_list = 0;
	}
	futex_exit_pi(&t->futex, dies);
	clear_tid(t);
	t->rseq_area = 0;
	task_usage(t, &u);
	u64 flags;
	struct signal_handlers *h = process_lock_own_signals(&flags);

	p->usage_dead.max_rss_kb = max(p->usage_dead.max_rss_kb, u.max_rss_kb);
	process_unlock_signals(h, flags);
}

static void release_files(struct task *t)
{
	struct fd_table *fds;
	struct fs_context *fs;
	struct mount_namespace *mounts;
	struct uts_namespace *uts;

	/* The table first: closing files needs the rest. */
	{
		scoped_spin_irq(&t->lock);
		fds = t->fds;
		t->fds = NULL;
	}
	fd_table_put(fds);
	{
		scoped_spin_irq(&t->lock);
		fs = t->fs;
		mounts = t->mounts;
		uts = t->uts;
		t->fs = NULL;
		t->mounts = NULL;
		t->uts = NULL;
	}
	fs_context_put(fs);
	mount_namespace_put(mounts);
	uts_put(uts);
}

/* ---- children of a dying process ---- */

static struct process *find_reaper_locked(struct process *p)
{
	for (struct process *a = p->parent; a != init_process; a = a->parent) {
		if (a->is_subreaper && a->nr_live > 0)
			return a;
	}
	return init_process;
}

static int exit_code_status(s32 status)
{
	return status & 0x7f ? status & 0x7f : (status >> 8) & 0xff;
}

static int exit_code_kind(s32 status)
{
	if (!(status & 0x7f))
		return CLD_EXITED;
	return status & 0x80 ? CLD_DUMPED : CLD_KILLED;
}

/*
 * Tells the parent of a process that is now a zombie; true: it is unlinked, and to be released by the caller.
 * A parent that does not wait finds it no more once it was told.
 */
static bool become_zombie_locked(struct process *p)
{
	s32 status = p->exit_code;
	bool ignored;

	p->state |= PROCESS_ZOMBIE;
	ignored = process_notify_parent_locked(p, (int)p->leader->exit_signal,
					       exit_code_kind(status), exit_code_status(status));
	wake_all(&p->pid->exit_queue);
	if (ignored)
		process_unlink_locked(p);
	return ignored;
}

/* A thread that has not come to its end, other than `except`; NULL. */
static struct task *find_thread_locked(struct process *p, const struct task *except)
{
	struct task *t, *exiting = NULL;

	list_for_each(t, &p->threads, thread_node) {
		if ((t->flags & TASK_ZOMBIE) || t == except)
			continue;
		if (!(t->flags & TASK_EXITING))
			return t;
		exiting = t;
	}
	return exiting;
}

/* The thread whose child it was ends (PR_SET_PDEATHSIG); `heir`: whose child it is now. */
static void change_maker_locked(struct process *child, struct task *heir)
{
	struct task *t;

	list_remove(&child->made_node);
	child->maker = heir;
	if (heir)
		list_push_back(&heir->made, &child->made_node);
	list_for_each(t, &child->threads, thread_node)
		if (t->parent_death_signal)
			signal_send_process(child, (int)t->parent_death_signal, NULL);
}

/* The children of a thread that ends go to another of its process. */
static void leave_children_locked(struct task *t)
{
	struct task *heir;
	struct process *child, *next;

	if (list_is_empty(&t->made))
		return;
	heir = find_thread_locked(t->process, t);
	list_for_each_safe(child, next, &t->made, made_node)
		change_maker_locked(child, heir);
}

static void reparent_children_locked(struct process *p, struct list *to_release)
{
	struct process *reaper = find_reaper_locked(p), *child, *next;
	struct task *heir = find_thread_locked(reaper, NULL);

	list_for_each_safe(child, next, &p->children, sibling) {
		list_remove(&child->sibling);
		if (child->kernel_page)
			kernel_page_forget_parent_locked(child);
		rcu_store(child->parent, reaper);
		if (child->kernel_page)
			kernel_page_tell_place_locked(child);
		list_push_back(&reaper->children, &child->sibling);
		change_maker_locked(child, heir);
		child->leader->exit_signal = SIGCHLD;
		job_check_orphans_locked(child, p);
		if ((child->state & PROCESS_ZOMBIE) && !(child->state & PROCESS_REAPED) &&
		    become_zombie_locked(child))
			list_push_back(to_release, &child->sibling);
	}
}

/* ---- the end ---- */

/* First step: no signal finds this task any more.  True: it is the last of its process. */
static bool stop_signals(struct task *t, s32 code)
{
	struct process *p = t->process;
	u64 flags;
	struct signal_handlers *h = process_lock_own_signals(&flags);
	int stop_signal = (int)p->stop_signal;
	bool complete, last;

	t->flags |= TASK_EXITING;
	t->exit_code = code;
	atomic_and(&t->thread.work, ~(WORK_SIGNAL | WORK_FATAL | WORK_TASK | WORK_RESTORE_MASK));
	complete = signal_stop_participate_locked(t);
	signal_wake_others_locked(t, ~t->blocked);
	last = --p->nr_live == 0;
	if (last) {
		if (!(p->state & PROCESS_EXITING))
			p->exit_code = code;
		p->state |= PROCESS_EXITING;
		p->state &= ~(PROCESS_STOPPED | PROCESS_TELL_CONTINUED);
	}
	process_unlock_signals(h, flags);
	if (complete && !last) {
		scoped_spin_irq(&task_list_lock);
		process_notify_parent_locked(p, SIGCHLD, CLD_STOPPED, stop_signal);
	}
	return last;
}

/* Last step before the switch: becomes a zombie; true: this task is to be released at once. */
static bool become_dead_locked(struct task *t, bool last, struct list *to_release)
{
	struct process *p = t->process;
	struct usage u;
	u64 flags;
	struct signal_handlers *h;

	task_usage(t, &u);
	if (last) {
		reparent_children_locked(p, to_release);
		job_check_orphans_locked(p, NULL);
	} else {
		leave_children_locked(t);
	}
	h = process_lock_own_signals(&flags);
	usage_add(&p->usage_dead, &u);
	t->flags |= TASK_ZOMBIE;
	process_unlock_signals(h, flags);
	if (t != p->leader)
		task_unlink_locked(t);
	if (p->exec_task)
		thread_wake(&p->exec_task->thread);
	if (t != p->leader) {
		if (p->nr_threads == 1 && (p->leader->flags & TASK_ZOMBIE) &&
		    become_zombie_locked(p))
			list_push_back(to_release, &p->sibling);
		return true;
	}
	return p->nr_threads == 1 && become_zombie_locked(p);
}

static void release_list(struct list *l)
{
	struct list *n;

	while ((n = list_pop_front(l)))
		task_release(list_entry(n, struct process, sibling)->leader);
}

static void after_last_switch(struct thread *dead)
{
	task_put(container_of(dead, struct task, thread));
}

void process_exit_task(s32 code)
{
	struct task *t = task_current();
	struct process *p = t->process;
	struct list to_release = LIST_INIT(to_release);
	bool last, release;

	ASSERT(!(t->flags & TASK_EXITING));
	last = stop_signals(t, code);
	if (last && p->is_init)
		panic("init has ended: status %#x", (unsigned)p->exit_code);
	if (last) {
		itimer_exit(p);
		posix_timers_exit(p);
		if (unlikely(p->kernel_page))
			kernel_page_leave(p);
	}
	release_memory_users(t, true);
	t->was_dumpable = READ_ONCE(current_thread->aspace->dumpable) == 1;
	aspace_replace_current(NULL);
	vfork_release(t);
	if (last && p->is_session_leader)
		tty_session_exit(p);
	release_files(t);
	{
		scoped_spin_irq(&task_list_lock);
		release = become_dead_locked(t, last, &to_release);
	}
	release_list(&to_release);
	if (release)
		task_release(t);
	thread_exit(after_last_switch);
}

void process_exit_group(s32 status)
{
	struct process *p = process_current();
	u64 flags;
	struct signal_handlers *h = process_lock_own_signals(&flags);

	signal_kill_group_locked(p, status);
	process_unlock_signals(h, flags);
	process_exit_task(p->exit_code);
}
