/*
 * Tasks and processes: what they are made of, and how others hold them.
 *
 * Concepts.  A *task* is a thread of user programs; a *process* is one or more
 * tasks that share number, parent, signal handlers and limits.  The task
 * structure begins with core's struct thread, so `current` is one load.
 *
 * Invariants.
 *   (1) a task has one reference from its birth until it is released (reaped,
 *       or at once for a thread nobody waits for), and one while it runs,
 *       dropped on the next thread's stack;
 *   (2) a process has one reference from its birth until its leader is
 *       released, and one from each task;
 *   (3) both are freed after a grace period, so that a pointer found under RCU
 *       may be read, and counted with ref_get_unless_zero;
 *   (4) fds, fs, mounts and uts of a task are changed by the task itself under
 *       its `lock`; it reads its own without one.
 *
 * Locking.  task_list_lock (interrupts off): parents, children, threads,
 * groups, sessions.  Below it the lock of the signal handlers: pending
 * signals, stops, the start of the end.  A task's own lock comes last.
 */
#include "internal.h"

#include <nos/init.h>
#include <nos/memory_policy.h>

#include <linux/capability.h>

struct spinlock task_list_lock = SPINLOCK_INIT(RANK_TASK_LIST);
struct mount_namespace *init_mounts;
struct fs_context *init_fs;
struct process *init_process;

static struct slab_cache *task_cache, *process_cache, *fpu_cache;
static u32 nr_processes, nr_tasks;

static int task_caches_init(void)
{
	task_cache = slab_cache_create(&(struct slab_cache_info){
		.name = "task", .size = sizeof(struct task), .align = CACHE_LINE });
	process_cache = slab_cache_create(&(struct slab_cache_info){
		.name = "process", .size = sizeof(struct process), .align = CACHE_LINE });
	fpu_cache = slab_cache_create(&(struct slab_cache_info){
		.name = "fpu_state", .size = fpu_state_size(), .align = 64 });
	VERIFY(task_cache && process_cache && fpu_cache);
	return 0;
}
INIT_STEP(INIT_CORE, task_caches_init);

struct task *task_allocate(void)
{
	struct task *t = slab_alloc(task_cache, ALLOC_ZERO);

	if (!t)
		return NULL;
	t->thread.arch.fpu = slab_alloc(fpu_cache, 0);
	if (!t->thread.arch.fpu || thread_init(&t->thread)) {
		if (t->thread.arch.fpu)
			slab_free(fpu_cache, t->thread.arch.fpu);
		slab_free(task_cache, t);
		return NULL;
	}
	memory_policy_inherit(&t->thread);
	ref_init(&t->refs, 2);
	spin_init(&t->lock, RANK_TASK);
	list_init(&t->thread_node);
	list_init(&t->made);
	signal_queue_init(&t->pending);
	return t;
}

void task_free_now(struct task *t)
{
	thread_fini(&t->thread);
	memory_policy_put(t->thread.memory_policy);
	slab_free(fpu_cache, t->thread.arch.fpu);
	slab_free(task_cache, t);
}

static void task_free_deferred(struct rcu_head *head)
{
	task_free_now(container_of(head, struct task, rcu));
}

void task_get_ref(struct task *t)
{
	ref_get(&t->refs);
}

void task_put(struct task *t)
{
	if (!ref_put(&t->refs))
		return;
	cred_put(t->cred);
	process_put(t->process);
	pid_put(t->pid);
	rcu_call(&t->rcu, task_free_deferred);
}

struct process *process_allocate(void)
{
	struct process *p = slab_alloc(process_cache, ALLOC_ZERO);

	if (!p)
		return NULL;
	ref_init(&p->refs, 1);
	list_init(&p->threads);
	list_init(&p->children);
	list_init(&p->sibling);
	list_init(&p->made_node);
	list_init(&p->group_node);
	list_init(&p->session_node);
	signal_queue_init(&p->pending);
	wait_queue_init(&p->child_queue);
	p->start_time_ns = clock_boottime_ns();
	itimer_init(p);
	return p;
}

static void process_free(struct rcu_head *head)
{
	slab_free(process_cache, container_of(head, struct process, rcu));
}

void process_put(struct process *p)
{
	if (!ref_put(&p->refs))
		return;
	if (p->handlers)
		signal_handlers_put(p->handlers);
	if (p->pid)
		pid_put(p->pid);
	rcu_call(&p->rcu, process_free);
}

struct task *process_leader_rcu(struct process *p)
{
	struct task *t = rcu_load(p->leader);

	/* Released, or replaced by exec, only after it was taken out of sight: still there now, it is not
	 * freed before the end of the section. */
	return rcu_load(p->pid->process) == p ? t : NULL;
}

struct task *process_get_leader(struct process *p)
{
	struct task *t;
	scoped_rcu();

	do {
		t = process_leader_rcu(p);
	} while (t && !ref_get_unless_zero(&t->refs));
	return t;
}

void process_count_add(int processes, int tasks)
{
	atomic_add(&nr_processes, (u32)processes);
	atomic_add(&nr_tasks, (u32)tasks);
}

u32 process_count(void)
{
	return READ_ONCE(nr_processes);
}

u32 task_count(void)
{
	return READ_ONCE(nr_tasks);
}

/* ---- what the lower layers ask of the current thread ---- */

struct mount_namespace *mount_namespace_current(void)
{
	return current_thread->is_kernel ? init_mounts : task_current()->mounts;
}

__noinline struct fd_table *fd_table_current(void)
{
	/* What <nos/file.h>, <nos/cred.h> and <nos/name.h> read them through. */
	__asm__ volatile(".globl task_fds_offset\n\t.set task_fds_offset, %c0" ::"i"(
		offsetof(struct task, fds)));
	__asm__ volatile(".globl task_cred_offset\n\t.set task_cred_offset, %c0" ::"i"(
		offsetof(struct task, cred)));
	__asm__ volatile(".globl task_fs_offset\n\t.set task_fs_offset, %c0" ::"i"(
		offsetof(struct task, fs)));
	return current_thread->is_kernel ? NULL : task_current()->fds;
}

struct futex_owner *futex_owner_current(void)
{
	return &task_current()->futex;
}

struct futex_owner *futex_owner_find(s32 tid)
{
	struct task *t = task_get(tid);

	return t ? &t->futex : NULL;
}

void futex_owner_put(struct futex_owner *o)
{
	task_put(container_of(o, struct task, futex));
}

/* ---- what others may take from a task ---- */

struct aspace *task_get_aspace(struct task *t)
{
	scoped_rcu();
	struct aspace *a = rcu_load(t->thread.aspace);

	return a && ref_get_unless_zero(&a->users) ? a : NULL;
}

struct fd_table *task_get_fds(struct task *t)
{
	scoped_spin_irq(&t->lock);

	if (t->fds)
		ref_get(&t->fds->refs);
	return t->fds;
}

struct fs_context *task_get_fs(struct task *t)
{
	scoped_spin_irq(&t->lock);

	if (t->fs)
		ref_get(&t->fs->refs);
	return t->fs;
}

struct mount_namespace *task_get_mounts(struct task *t)
{
	scoped_spin_irq(&t->lock);

	if (t->mounts)
		mount_namespace_get(t->mounts);
	return t->mounts;
}

void task_get_comm(struct task *t, char comm[16])
{
	scoped_spin_irq(&t->lock);

	memcpy(comm, t->comm, 16);
}

int task_set_comm(struct task *t, const char *name)
{
	scoped_spin_irq(&t->lock);

	memset(t->comm, 0, sizeof(t->comm));
	string_copy(t->comm, name, sizeof(t->comm));
	return 0;
}

const struct cred *task_get_cred(struct task *t)
{
	scoped_spin_irq(&t->lock);

	cred_get(t->cred);
	return t->cred;
}

/* ptrace(2), "Ptrace access mode checking", without security modules. */
int task_may_inspect(struct task *t, bool attach)
{
	const struct cred *me = cred_current();
	int err = 0;

	if (t->process == process_current())
		return 0;
	const struct cred *c = task_get_cred(t);
	bool same = me->fsuid == c->euid && me->fsuid == c->suid && me->fsuid == c->uid &&
		    me->fsgid == c->egid && me->fsgid == c->sgid && me->fsgid == c->gid;
	struct aspace *a = task_get_aspace(t);

	if (!same && !cred_has(me, CAP_SYS_PTRACE))
		err = attach ? -EPERM : -EACCES;
	if (!err && !(a ? a->dumpable == 1 : t->was_dumpable) && !cred_has(me, CAP_SYS_PTRACE))
		err = attach ? -EPERM : -EACCES;
	if (!err && (c->cap_permitted & ~me->cap_permitted) && !cred_has(me, CAP_SYS_PTRACE))
		err = attach ? -EPERM : -EACCES;
	if (a)
		aspace_put(a);
	cred_put(c);
	return err;
}

struct aspace *task_inspect_aspace(s32 tid, bool attach)
{
	struct task *t = task_get(tid);

	if (!t)
		return err_ptr(-ESRCH);
	int err = task_may_inspect(t, attach) ? -EPERM : 0;
	struct aspace *a = err ? err_ptr(err) : task_get_aspace(t);

	task_put(t);
	return a;
}

/* ---- out of the tables ---- */

void task_unlink_locked(struct task *t)
{
	struct process *p = t->process;
	u64 flags;
	struct signal_handlers *h = process_lock_signals(p, &flags);

	list_remove(&t->thread_node);
	p->nr_threads--;
	signal_queue_flush(&t->pending);
	process_unlock_signals(h, flags);
	rcu_store(t->pid->task, NULL);
	pid_detach_locked(t->pid);
	process_count_add(0, -1);
	atomic_sub(&t->cred->user->nr_tasks, 1u);
}

void process_unlink_locked(struct process *p)
{
	struct task *leader = p->leader;

	process_leave_group_locked(p);
	process_leave_session_locked(p);
	list_remove(&p->sibling);
	list_remove(&p->made_node);
	rcu_store(p->pid->process, NULL);
	signal_queue_flush(&p->pending);
	process_count_add(-1, 0);
	task_unlink_locked(leader);
	/* Who still holds the process must not follow these. */
	rcu_store(p->group, NULL);
	rcu_store(p->session, NULL);
	rcu_store(p->parent, NULL);
}
