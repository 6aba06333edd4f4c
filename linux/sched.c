/* Scheduling parameters: policies, nice, affinity (sched(7)). */
#include "syscalls.h"
#include "timespec.h"

#include <nos/process.h>
#include <nos/string.h>

#include <linux/capability.h>
#include <linux/ioprio.h>
#include <linux/resource.h>
#include <linux/sched.h>
#include <linux/sched/types.h>

#define PRIORITY_MAX 99

/* The task with this tid, 0 = the caller: counted, or NULL. */
static struct task *find_task(int pid)
{
	if (pid == 0) {
		task_get_ref(task_current());
		return task_current();
	}
	return task_get(pid);
}

static bool owns(struct task *t)
{
	const struct cred *me = cred_current(), *c = task_get_cred(t);
	bool same = me->euid == c->euid || me->euid == c->uid;

	cred_put(c);
	return same || cred_has(me, CAP_SYS_NICE);
}

/* nice 19…−20 as the limit counts it: 1…40. */
static bool may_have_nice(struct process *p, int nice)
{
	return capable(CAP_SYS_NICE) || (u64)(20 - nice) <= process_limit(p, RLIMIT_NICE);
}

static bool is_realtime(int policy)
{
	return policy == SCHED_FIFO || policy == SCHED_RR;
}

/* Its own: what it inherits by PI futexes stays in the kernel. */
static struct sched_params params_of(struct task *t)
{
	return futex_owner_params(&t->futex);
}

static int check_params(struct task *t, const struct sched_params *new)
{
	const struct sched_params own = params_of(t), *old = &own;
	u64 limit = process_limit(t->process, RLIMIT_RTPRIO);

	if (!owns(t))
		return -EPERM;
	if (capable(CAP_SYS_NICE))
		return 0;
	if (is_realtime(new->policy)) {
		if (new->policy != old->policy && limit == 0)
			return -EPERM;
		if (new->rt_priority > old->rt_priority &&new->rt_priority > limit)
			return -EPERM;
	} else if (new->nice < old->nice && !may_have_nice(t->process, new->nice)) {
		return -EPERM;
	}
	if (old->policy == SCHED_IDLE && new->policy != SCHED_IDLE &&
	    !may_have_nice(t->process, old->nice))
		return -EPERM;
	if (old->reset_on_fork && !new->reset_on_fork)
		return -EPERM;
	return 0;
}

static int set_params(struct task *t, int policy, int priority, int nice)
{
	struct sched_params new = { .nice = (s8)nice };

	if (policy < 0)
		return -EINVAL;
	new.reset_on_fork = policy &SCHED_RESET_ON_FORK;
	policy &= ~SCHED_RESET_ON_FORK;
	if (policy != SCHED_NORMAL && policy != SCHED_BATCH && policy != SCHED_IDLE &&
	    !is_realtime(policy))
		return -EINVAL;
	if (is_realtime(policy) ? priority < 1 || priority > PRIORITY_MAX : priority != 0)
		return -EINVAL;
	/* Only these two have a nice value; the others keep what was. */
	if (policy != SCHED_NORMAL && policy != SCHED_BATCH)
		new.nice = params_of(t).nice;
	new.policy = (u8)policy;
	new.rt_priority = (u8)priority;
	int err = check_params(t, &new);

	return err ? err : futex_owner_set_params(&t->futex, &new);
}

static int policy_of(struct task *t)
{
	const struct sched_params p = params_of(t);

	return p.policy | (p.reset_on_fork ? (int)SCHED_RESET_ON_FORK : 0);
}

static long change(int pid, int policy, const void __user *param, bool keep_policy)
{
	struct task *t;
	int priority, err;

	if (pid < 0 || !param)
		return -EINVAL;
	if (get_user(priority, (const int __user *)param))
		return -EFAULT;
	t = find_task(pid);
	if (!t)
		return -ESRCH;
	err = set_params(t, keep_policy ? policy_of(t) : policy, priority, params_of(t).nice);
	task_put(t);
	return err;
}

long sys_sched_setscheduler(int pid, int policy, const void __user *param)
{
	return policy < 0 ? -EINVAL : change(pid, policy, param, false);
}

long sys_sched_setparam(int pid, const void __user *param)
{
	return change(pid, 0, param, true);
}

long sys_sched_getscheduler(int pid)
{
	struct task *t = pid < 0 ? NULL : find_task(pid);
	long policy;

	if (!t)
		return pid < 0 ? -EINVAL : -ESRCH;
	policy = policy_of(t);
	task_put(t);
	return policy;
}

long sys_sched_getparam(int pid, void __user *param)
{
	struct task *t;
	int priority;

	if (pid < 0 || !param)
		return -EINVAL;
	t = find_task(pid);
	if (!t)
		return -ESRCH;
	priority = params_of(t).rt_priority;
	task_put(t);
	return put_user(priority, (int __user *)param);
}

long sys_sched_setattr(int pid, void __user *attr, unsigned int flags)
{
	struct sched_attr a = { 0 };
	struct task *t;
	u32 size;
	int err, policy;

	if (pid < 0 || !attr || flags)
		return -EINVAL;
	if (get_user(size, (const u32 __user *)attr))
		return -EFAULT;
	if (size == 0)
		size = SCHED_ATTR_SIZE_VER0;
	if (size < SCHED_ATTR_SIZE_VER0 || size > PAGE_SIZE) {
		/* The caller learns what size there is. */
		(void)put_user((u32)sizeof(a), (u32 __user *)attr);
		return -E2BIG;
	}
	if (copy_from_user(&a, attr, min((size_t)size, sizeof(a))))
		return -EFAULT;
	if ((int)a.sched_policy < 0)
		return -EINVAL;
	a.sched_nice = clamp(a.sched_nice, -20, 19);
	t = find_task(pid);
	if (!t)
		return -ESRCH;
	policy = a.sched_flags & SCHED_FLAG_KEEP_POLICY ? policy_of(t) : (int)a.sched_policy;
	if (a.sched_flags & SCHED_FLAG_RESET_ON_FORK)
		policy |= SCHED_RESET_ON_FORK;
	err = set_params(t, policy, (int)a.sched_priority, a.sched_nice);
	task_put(t);
	return err;
}

long sys_sched_getattr(int pid, void __user *attr, unsigned int size, unsigned int flags)
{
	struct sched_attr a = { .size = sizeof(a) };
	struct task *t;

	if (pid < 0 || !attr || flags || size < SCHED_ATTR_SIZE_VER0 || size > PAGE_SIZE)
		return -EINVAL;
	t = find_task(pid);
	if (!t)
		return -ESRCH;
	const struct sched_params p = params_of(t);

	a.sched_policy = p.policy;
	a.sched_flags = p.reset_on_fork ? SCHED_FLAG_RESET_ON_FORK : 0;
	if (is_realtime(p.policy))
		a.sched_priority = p.rt_priority;
	else
		a.sched_nice = p.nice;
	task_put(t);
	a.size = (u32)min((size_t)size, sizeof(a));
	return copy_to_user(attr, &a, a.size) ? -EFAULT : 0;
}

long sys_sched_get_priority_max(int policy)
{
	if (is_realtime(policy))
		return PRIORITY_MAX;
	return policy == SCHED_NORMAL || policy == SCHED_BATCH || policy == SCHED_IDLE ||
			       policy == SCHED_DEADLINE ?
		       0 :
		       -EINVAL;
}

long sys_sched_get_priority_min(int policy)
{
	return is_realtime(policy) ? 1 : sys_sched_get_priority_max(policy);
}

long sys_sched_rr_get_interval(int pid, void __user *interval)
{
	struct __kernel_timespec ts;
	struct task *t;

	if (pid < 0)
		return -EINVAL;
	t = find_task(pid);
	if (!t)
		return -ESRCH;
	ts = timespec_from_ns(thread_rr_interval_ns(&t->thread));
	task_put(t);
	return put_user(ts, (struct __kernel_timespec __user *)interval);
}

long sys_sched_yield(void)
{
	thread_yield();
	return 0;
}

/* ---- affinity ---- */

long sys_sched_setaffinity(int pid, unsigned int len, const void __user *mask)
{
	u64 cpus = 0;
	struct task *t;
	int err;

	if (copy_from_user(&cpus, mask, min((size_t)len, sizeof(cpus))))
		return -EFAULT;
	t = find_task(pid);
	if (!t)
		return -ESRCH;
	err = owns(t) ? thread_set_affinity(&t->thread, cpus) : -EPERM;
	task_put(t);
	return err;
}

long sys_sched_getaffinity(int pid, unsigned int len, void __user *mask)
{
	u64 up = nr_cpus == 64 ? U64_MAX : (1ull << nr_cpus) - 1, cpus;
	struct task *t;

	if (len * 8 < nr_cpus || len % sizeof(u64))
		return -EINVAL;
	t = find_task(pid);
	if (!t)
		return -ESRCH;
	cpus = t->thread.affinity & up;
	task_put(t);
	return put_user(cpus, (u64 __user *)mask) ? -EFAULT : (long)sizeof(cpus);
}

/* ---- nice ---- */

static int set_nice(struct task *t, int nice)
{
	struct sched_params new = params_of(t);

	if (!owns(t))
		return -EPERM;
	if (nice < new.nice && !may_have_nice(t->process, nice))
		return -EACCES;
	new.nice = (s8)nice;
	return futex_owner_set_params(&t->futex, &new);
}

/* One visit: sets, or finds the best (smallest nice) so far. */
struct priority_walk {
	bool set;
	int value; /* to set; or the best, 20 = none yet */
	int result; /* -ESRCH until one was found */
	/* Linux walks a group from its newest process and tells the last error: from the oldest, the first. */
	bool first_error;
};

static void visit_task(struct priority_walk *w, struct task *t)
{
	if (w->set) {
		int err = set_nice(t, w->value);

		if (w->result == -ESRCH || (err && !(w->first_error && w->result)))
			w->result = err;
	} else {
		w->value = min(w->value, (int)params_of(t).nice);
		w->result = 0;
	}
}

static void visit_process(struct priority_walk *w, struct process *p)
{
	struct task *tasks[64], *t;
	unsigned nr = 0;

	{
		scoped_spin_irq(&task_list_lock);
		list_for_each(t, &p->threads, thread_node) {
			if (nr == ARRAY_SIZE(tasks))
				break;
			task_get_ref(t);
			tasks[nr++] = t;
		}
	}
	for (unsigned i = 0; i < nr; i++) {
		visit_task(w, tasks[i]);
		task_put(tasks[i]);
	}
}

static bool is_selected(struct process *p, int which, int who)
{
	struct pid_entry *group;
	struct task *leader;
	scoped_rcu();

	if (which == PRIO_PGRP) {
		group = rcu_load(p->group);
		return group && group->nr == (who ? who : rcu_load(process_current()->group)->nr);
	}
	leader = process_leader_rcu(p);
	return leader && rcu_load(leader->cred)->uid == (who ? (u32)who : cred_current()->uid);
}

static int walk(struct priority_walk *w, int which, int who)
{
	struct process *p;
	struct task *t;

	w->result = -ESRCH;
	switch (which) {
	case PRIO_PROCESS:
		t = find_task(who);
		if (t) {
			visit_task(w, t);
			task_put(t);
		}
		return w->result;
	case PRIO_PGRP:
	case PRIO_USER:
		for (s32 from = 1; (p = process_next(from)); from = p->tgid + 1, process_put(p)) {
			if (is_selected(p, which, who))
				visit_process(w, p);
		}
		return w->result;
	default:
		return -EINVAL;
	}
}

long sys_setpriority(int which, int who, int value)
{
	struct priority_walk w = { .set = true,
				   .value = clamp(value, -20, 19),
				   .first_error = which == PRIO_PGRP };

	return walk(&w, which, who);
}

/* 1…40, for a negative value would look like an error. */
long sys_getpriority(int which, int who)
{
	struct priority_walk w = { .value = 20 };
	int err = walk(&w, which, who);

	return err ? err : 20 - w.value;
}

/* ---- I/O priority (ioprio_set(2)) ---- */

/* One task, or the tasks of all processes that `which` and `who` select: counted, at most `max`. */
static unsigned find_io_tasks(int which, int who, struct task **to, unsigned max)
{
	struct process *p;
	unsigned nr = 0;

	if (which == IOPRIO_WHO_PROCESS) {
		to[0] = find_task(who);
		return to[0] ? 1 : 0;
	}
	for (s32 from = 1; (p = process_next(from)); from = p->tgid + 1, process_put(p)) {
		if (nr < max &&
		    is_selected(p, which == IOPRIO_WHO_PGRP ? PRIO_PGRP : PRIO_USER, who)) {
			to[nr] = process_get_leader(p);
			nr += to[nr] != NULL;
		}
	}
	return nr;
}

/* The level is three bits, above them stand hints. */
static int io_priority_check(int prio)
{
	switch (IOPRIO_PRIO_CLASS(prio)) {
	case IOPRIO_CLASS_RT:
		return capable(CAP_SYS_NICE) || capable(CAP_SYS_ADMIN) ? 0 : -EPERM;
	case IOPRIO_CLASS_BE:
	case IOPRIO_CLASS_IDLE:
		return 0;
	case IOPRIO_CLASS_NONE:
		return prio & 7 ? -EINVAL : 0;
	default:
		return -EINVAL;
	}
}

/* What counts for a task: its own, or what its CPU priority stands for (ioprio_set(2)). */
static int io_priority_effective(const struct task *t)
{
	const struct sched_params *p = &t->thread.params;
	int own = READ_ONCE(t->io_priority);
	int class = p->policy == SCHED_IDLE ? IOPRIO_CLASS_IDLE :
		    is_realtime(p->policy)  ? IOPRIO_CLASS_RT :
					      IOPRIO_CLASS_BE;

	return IOPRIO_PRIO_CLASS(own) != IOPRIO_CLASS_NONE ?
		       own :
		       IOPRIO_PRIO_VALUE(class, (p->nice + 20) / 5);
}

static bool is_io_who(int which)
{
	return which == IOPRIO_WHO_PROCESS || which == IOPRIO_WHO_PGRP || which == IOPRIO_WHO_USER;
}

static bool may_set_io_priority(struct task *t)
{
	const struct cred *me = cred_current(), *c = task_get_cred(t);
	bool same = c->uid == me->euid || c->uid == me->uid;

	cred_put(c);
	return same || cred_has(me, CAP_SYS_NICE);
}

long sys_ioprio_set(int which, int who, int prio)
{
	struct task *tasks[64];
	unsigned nr;
	int err = io_priority_check(prio);

	if (err)
		return err;
	if (!is_io_who(which))
		return -EINVAL;
	nr = find_io_tasks(which, who, tasks, ARRAY_SIZE(tasks));
	for (unsigned i = 0; i < nr; i++) {
		/* A group from its newest process on; the first that may not be set ends it. */
		struct task *t = tasks[which == IOPRIO_WHO_PGRP ? nr - 1 - i : i];

		if (!err && !may_set_io_priority(t))
			err = -EPERM;
		if (!err)
			WRITE_ONCE(t->io_priority, (u16)prio);
		task_put(t);
	}
	return nr ? err : -ESRCH;
}

/* A task's own; of several the best, which is the smallest, of those that count. */
long sys_ioprio_get(int which, int who)
{
	struct task *tasks[64];
	unsigned nr;
	int best = 0;

	if (!is_io_who(which))
		return -EINVAL;
	nr = find_io_tasks(which, who, tasks, ARRAY_SIZE(tasks));
	for (unsigned i = 0; i < nr; i++) {
		int prio = which == IOPRIO_WHO_PROCESS ? READ_ONCE(tasks[i]->io_priority) :
							 io_priority_effective(tasks[i]);

		if (prio && (!best || prio < best))
			best = prio;
		task_put(tasks[i]);
	}
	if (!nr)
		return -ESRCH;
	return best;
}
