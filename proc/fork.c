/*
 * Making tasks: clone(2) in all its forms, and process 1.
 *
 * How it works.  All that can fail comes first and hangs off the new task:
 * memory, files, handlers, a number.  Then, under task_list_lock and the
 * handlers' lock, comes one last check (the caller may have been told to die,
 * or a signal may wait that must not be lost on half a group) and the task is
 * linked into parent, group, session and pid table; from there nothing fails.
 *
 * The child's memory is written by the parent (CLONE_CHILD_SETTID), so the
 * child starts in user mode with nothing left to do.
 *
 * A vfork'ing parent waits, killable, on a completion of its own stack; the
 * child's pointer to it is under the child's lock, so that a killed parent can
 * take it back.
 */
#include <nos/counter.h>
#include "internal.h"

#include <linux/capability.h>
#include <linux/fcntl.h>
#include <linux/resource.h>
#include <linux/sched.h>

#define CLONE_NAMESPACES_ABSENT                                                                    \
	(CLONE_NEWIPC | CLONE_NEWNET | CLONE_NEWPID | CLONE_NEWUSER | CLONE_NEWCGROUP |            \
	 CLONE_NEWTIME)
#define USER_CS 0x33
#define USER_SS 0x2b
#define RFLAGS_START 0x202

static int check_flags(const struct clone_request *r)
{
	u64 f = r->flags;

	if ((f & (CLONE_NEWNS | CLONE_FS)) == (CLONE_NEWNS | CLONE_FS))
		return -EINVAL;
	if ((f & CLONE_THREAD) && !(f & CLONE_SIGHAND))
		return -EINVAL;
	if ((f & CLONE_SIGHAND) && !(f & CLONE_VM))
		return -EINVAL;
	if ((f & CLONE_SIGHAND) && (f & CLONE_CLEAR_SIGHAND))
		return -EINVAL;
	if ((f & CLONE_PARENT) && process_current()->is_init)
		return -EINVAL;
	if ((f & CLONE_PIDFD) && (f & (CLONE_THREAD | CLONE_DETACHED)))
		return -EINVAL;
	if (f & CLONE_NAMESPACES_ABSENT)
		return -EINVAL;
	if ((f & (CLONE_NEWNS | CLONE_NEWUTS)) && !capable(CAP_SYS_ADMIN))
		return -EPERM;
	return 0;
}

static int check_limits(void)
{
	return task_count() >= pid_max - 1 ? -EAGAIN : 0;
}

/* One task more of the user: counted first, so that many forks at once stay below the limit. */
static int charge_user(const struct cred *c)
{
	u32 nr = atomic_fetch_add(&c->user->nr_tasks, 1u) + 1;

	if (nr > process_rlimit(RLIMIT_NPROC) && c->uid != 0 && !cred_has(c, CAP_SYS_RESOURCE) &&
	    !cred_has(c, CAP_SYS_ADMIN))
		return -EAGAIN;
	return 0;
}

static int write_tid(u64 address, s32 tid)
{
	struct iobuf b;

	iobuf_init_user(&b, address, sizeof(tid));
	return iobuf_put(&b, &tid, sizeof(tid)) == sizeof(tid) ? 0 : -EFAULT;
}

/* ---- parts of the new task ---- */

static int copy_memory(struct task *t, u64 flags)
{
	struct aspace *from = current_thread->aspace, *a;

	if (flags & CLONE_VM) {
		aspace_get(from);
		t->thread.aspace = from;
		return 0;
	}
	a = aspace_fork(from);
	if (is_err(a))
		return (int)ptr_err(a);
	a->dumpable = from->dumpable;
	t->thread.aspace = a;
	return 0;
}

static int copy_files(struct task *t, u64 flags)
{
	struct task *me = task_current();

	if (flags & CLONE_FILES) {
		ref_get(&me->fds->refs);
		t->fds = me->fds;
	} else {
		struct fd_table *copy = fd_table_copy(me->fds, U32_MAX);

		if (is_err(copy))
			return (int)ptr_err(copy);
		t->fds = copy;
	}
	if (flags & CLONE_FS) {
		ref_get(&me->fs->refs);
		t->fs = me->fs;
	} else {
		t->fs = fs_context_copy(me->fs);
		if (!t->fs || is_err(t->fs)) {
			t->fs = NULL;
			return -ENOMEM;
		}
	}
	return 0;
}

static int copy_namespaces(struct task *t, u64 flags)
{
	struct task *me = task_current();

	if (flags & CLONE_NEWNS) {
		struct mount_namespace *ns = mount_namespace_copy(me->mounts, t->fs);

		if (!ns || is_err(ns))
			return ns ? (int)ptr_err(ns) : -ENOMEM;
		t->mounts = ns;
	} else {
		mount_namespace_get(me->mounts);
		t->mounts = me->mounts;
	}
	if (flags & CLONE_NEWUTS) {
		t->uts = uts_copy(me->uts);
		if (!t->uts)
			return -ENOMEM;
	} else {
		uts_get(me->uts);
		t->uts = me->uts;
	}
	return 0;
}

/* A process of its own, not yet visible. */
static int make_process(struct task *t, u64 flags)
{
	struct process *from = process_current(), *p = process_allocate();

	if (!p)
		return -ENOMEM;
	t->process = p;
	if (flags & CLONE_SIGHAND) {
		ref_get(&from->handlers->refs);
		p->handlers = from->handlers;
	} else {
		p->handlers = signal_handlers_copy(from->handlers);
		if (!p->handlers)
			return -ENOMEM;
		if (flags & CLONE_CLEAR_SIGHAND)
			signal_handlers_reset(p->handlers, true);
	}
	t->handlers = p->handlers;
	p->leader = t;
	memcpy(p->limits, from->limits, sizeof(p->limits));
	p->oom_adjust = from->oom_adjust;
	p->cpu_timers = cpu_limits_are_set(p);
	return 0;
}

static int join_process(struct task *t)
{
	struct process *p = process_current();

	ref_get(&p->refs);
	t->process = p;
	t->handlers = p->handlers;
	return 0;
}

/* What the child has of the parent's registers and signal state. */
static void copy_state(struct task *t, const struct clone_request *r,
		       const struct trap_frame *frame)
{
	struct task *me = task_current();
	struct trap_frame *child = arch_thread_prepare_user(&t->thread.arch, frame);

	child->rax = 0;
	if (r->stack)
		child->rsp = r->stack + r->stack_size;
	t->thread.arch.fs_base = r->flags & CLONE_SETTLS ? r->tls : arch_get_fs_base();
	t->thread.arch.gs_base = arch_get_gs_base();
	fpu_state_copy_current(t->thread.arch.fpu);

	memcpy(t->comm, me->comm, sizeof(t->comm));
	t->blocked = me->blocked;
	t->personality = me->personality;
	t->io_priority = me->io_priority;
	t->timer_slack_ns = me->timer_slack_ns;
	if (!(r->flags & CLONE_VM) || (r->flags & CLONE_VFORK)) {
		t->altstack_sp = me->altstack_sp;
		t->altstack_size = me->altstack_size;
		t->altstack_flags = me->altstack_flags;
	}
	if (!(r->flags & CLONE_VM)) {
		t->rseq_area = me->rseq_area;
		t->rseq_length = me->rseq_length;
		t->rseq_signature = me->rseq_signature;
		if (t->rseq_area)
			t->thread.work |= WORK_TASK;
	}
	t->thread.wants_tick = t->process->cpu_timers;
	if (r->flags & CLONE_CHILD_CLEARTID)
		t->clear_tid = r->child_tid;
	t->exit_signal = r->flags & CLONE_THREAD ? 0 : r->exit_signal;
}

/* Undoes what was made for a task that was never linked. */
static void abandon(struct task *t)
{
	struct aspace *a = t->thread.aspace;

	t->thread.aspace = NULL;
	if (a)
		aspace_put(a);
	if (t->fds)
		fd_table_put(t->fds);
	if (t->fs)
		fs_context_put(t->fs);
	if (t->mounts)
		mount_namespace_put(t->mounts);
	if (t->uts)
		uts_put(t->uts);
	if (t->pid) {
		scoped_spin_irq(&task_list_lock);
		pid_detach_locked(t->pid);
		pid_put(t->pid);
	}
	if (t->process)
		process_put(t->process);
	if (t->cred) {
		atomic_sub(&t->cred->user->nr_tasks, 1u);
		cred_put(t->cred);
	}
	task_free_now(t);
}

static int make_parts(struct task *t, const struct clone_request *r)
{
	int err;

	t->cred = cred_share();
	err = charge_user(t->cred);
	if (!err)
		err = r->flags & CLONE_THREAD ? join_process(t) : make_process(t, r->flags);
	if (!err)
		err = copy_files(t, r->flags);
	if (!err)
		err = copy_namespaces(t, r->flags);
	if (!err)
		err = copy_memory(t, r->flags);
	if (err)
		return err;
	struct pid_entry *pid = pid_allocate(r->nr_set_tid ? r->set_tid[0] : 0);

	if (is_err(pid))
		return (int)ptr_err(pid);
	ref_get(&pid->refs);
	t->pid = pid;
	t->tid = pid->nr;
	futex_owner_init(&t->futex, &t->thread, t->tid);
	if (unlikely(READ_ONCE(task_current()->futex.boosted))) {
		struct sched_params own = futex_owner_params(&task_current()->futex);

		thread_inherit_params(&t->thread, &own);
	}
	return 0;
}

/* `maker` is the thread of the parent whose child it is. */
static void link_process_locked(struct task *t, struct process *parent, struct task *maker)
{
	struct process *p = t->process, *me = process_current();

	ref_get(&p->refs);
	ref_get(&t->pid->refs);
	p->pid = t->pid;
	p->tgid = t->tid;
	p->parent = parent;
	list_push_back(&parent->children, &p->sibling);
	p->maker = maker;
	if (maker)
		list_push_back(&maker->made, &p->made_node);
	p->tty = me->tty;
	if (p->tty)
		tty_get(p->tty);
	process_join_group_locked(p, me->group);
	process_join_session_locked(p, me->session);
	rcu_store(t->pid->process, p);
}

/* Makes the task part of the world, unless the caller must die or see a signal first. */
static int link_task(struct task *t, u64 flags)
{
	struct process *me = process_current(), *p = t->process;
	scoped_spin_irq(&task_list_lock);
	u64 irq_flags;
	struct signal_handlers *h = process_lock_own_signals(&irq_flags);

	if (signal_is_pending() || (me->state & PROCESS_EXITING) || me->exec_task) {
		signal_recalculate_locked(task_current());
		if (signal_is_pending() || (me->state & PROCESS_EXITING) || me->exec_task) {
			process_unlock_signals(h, irq_flags);
			return -ERESTARTNOINTR;
		}
	}
	list_push_back(&p->threads, &t->thread_node);
	p->nr_threads++;
	p->nr_live++;
	process_unlock_signals(h, irq_flags);
	if (flags & CLONE_THREAD) {
		kernel_page_add_thread_locked(t, flags);
	} else {
		if (flags & CLONE_VM)
			kernel_page_share_locked(t->thread.aspace, flags & CLONE_VFORK);
		link_process_locked(t, flags & CLONE_PARENT ? me->parent : me,
				    flags & CLONE_PARENT ? me->maker : task_current());
	}
	rcu_store(t->pid->task, t);
	process_count_add(flags & CLONE_THREAD ? 0 : 1, 1);
	return 0;
}

/* ---- vfork ---- */

void vfork_release(struct task *t)
{
	scoped_spin_irq(&t->lock);

	if (t->vfork_done) {
		completion_signal(t->vfork_done);
		t->vfork_done = NULL;
	}
}

static void wait_for_vfork(struct task *child, struct completion *done, u64 flags)
{
	if (completion_wait_killable(done))
		log_debug("vfork: parent %d killed", task_current()->tid);
	else if ((flags & (CLONE_VM | CLONE_THREAD)) == CLONE_VM)
		kernel_page_unshare(current_thread->aspace);
	{
		/* Also when it was signalled: the signaller may still be at work on our stack. */
		scoped_spin_irq(&child->lock);
		child->vfork_done = NULL;
	}
	task_put(child);
}

/* Numbers that user memory is to hold before the child runs. */
static int tell_tids(struct task *t, const struct clone_request *r, struct file **pidfd, int *fd)
{
	*fd = -1;
	*pidfd = NULL;
	if (r->flags & CLONE_PIDFD) {
		*fd = fd_allocate(0, O_CLOEXEC);
		if (*fd < 0)
			return *fd;
		*pidfd = pidfd_create(t->pid, O_RDWR);
		if (is_err(*pidfd)) {
			int err = (int)ptr_err(*pidfd);

			*pidfd = NULL;
			return err;
		}
		if (write_tid(r->pidfd, *fd))
			return -EFAULT;
	}
	if (r->flags & CLONE_PARENT_SETTID)
		(void)write_tid(r->parent_tid, t->tid);
	if (r->flags & CLONE_CHILD_SETTID)
		(void)aspace_access(t->thread.aspace, r->child_tid, &t->tid, sizeof(t->tid), true,
				    false);
	return 0;
}

DEFINE_COUNTER(forks, "proc.forks");

u64 process_forks(void)
{
	return counter_sum(&counter_info_forks);
}

s32 process_clone(const struct clone_request *r, const struct trap_frame *frame)
{
	struct completion done;
	struct file *pidfd = NULL;
	struct task *t;
	int err, fd = -1;
	s32 tid;

	err = check_flags(r);
	if (!err)
		err = check_limits();
	if (err)
		return err;
	if (signal_is_pending())
		return -ERESTARTNOINTR;
	t = task_allocate();
	if (!t)
		return -ENOMEM;
	counter_inc(forks);
	err = make_parts(t, r);
	if (!err) {
		copy_state(t, r, frame);
		err = tell_tids(t, r, &pidfd, &fd);
	}
	if (!err && (r->flags & CLONE_VFORK)) {
		completion_init(&done);
		t->vfork_done = &done;
		task_get_ref(t);
	}
	if (!err)
		err = link_task(t, r->flags);
	if (err) {
		if (pidfd)
			file_put(pidfd);
		if (fd >= 0)
			fd_cancel(fd);
		abandon(t);
		return err;
	}
	if (pidfd)
		fd_install(fd, pidfd);
	tid = t->tid;
	thread_start(&t->thread);
	if (r->flags & CLONE_VFORK)
		wait_for_vfork(t, &done, r->flags);
	return tid;
}

/* ---- process 1 ---- */

static const char *const init_argv[] = { "/init", NULL };
static const char *const init_envp[] = { "HOME=/", "TERM=linux", NULL };

/* The first thing init's thread does, on its own stack: become a program. */
static void init_thread_started(struct thread *self)
{
	int err;

	irq_enable();
	for (int fd = 0; fd < 3; fd++) {
		struct file *f = file_open_at(AT_FDCWD, "/dev/console", O_RDWR, 0, 0);

		if (is_err(f))
			break;
		fd_add(f, 0);
	}
	err = process_exec_init(init_argv[0], init_argv, init_envp);
	if (err)
		panic("no init: /init: error %d", -err);
	irq_disable();
}

void process_start_init(void)
{
	struct task *t = task_allocate();
	struct process *p = process_allocate();
	struct pid_entry *pid = pid_allocate(0);
	struct trap_frame frame = {
		.cs = USER_CS, .ss = USER_SS, .rflags = RFLAGS_START, .orig_rax = (u64)-1
	};

	VERIFY(t && p && !is_err(pid) && pid->nr == 1 && init_fs && init_mounts);
	t->process = p;
	t->pid = pid;
	t->tid = 1;
	t->cred = &init_cred;
	t->cred->user->nr_tasks++;
	t->fds = fd_table_create();
	t->fs = fs_context_copy(init_fs);
	p->handlers = signal_handlers_create();
	VERIFY(t->fds && t->fs && p->handlers);
	mount_namespace_get(init_mounts);
	t->mounts = init_mounts;
	t->uts = &init_uts;
	t->handlers = p->handlers;
	t->timer_slack_ns = 50 * NSEC_PER_USEC;
	task_set_comm(t, "init");
	futex_owner_init(&t->futex, &t->thread, t->tid);
	fpu_state_init(t->thread.arch.fpu);
	arch_thread_prepare_user(&t->thread.arch, &frame);
	t->thread.started = init_thread_started;

	p->leader = t;
	p->tgid = 1;
	p->is_init = true;
	process_limits_init(p);
	ref_get(&pid->refs);
	ref_get(&pid->refs);
	ref_get(&p->refs);
	p->pid = pid;
	{
		scoped_spin_irq(&task_list_lock);

		p->parent = p;
		list_push_back(&p->threads, &t->thread_node);
		p->nr_threads = p->nr_live = 1;
		process_join_group_locked(p, pid);
		process_join_session_locked(p, pid);
		p->is_session_leader = false;
		rcu_store(pid->process, p);
		rcu_store(pid->task, t);
		init_process = p;
	}
	process_count_add(1, 1);
	thread_start(&t->thread);
}
