/*
 * Process groups and sessions: setpgid(2), setsid(2), and what a terminal and
 * the stop signals ask about them.
 *
 * A group and a session are pid entries with lists of member processes; both
 * end with their last member.  All is under task_list_lock.
 *
 * A group is orphaned when no member has a parent in another group of the same
 * session (POSIX.1-2017, 3.264): nobody is left to continue it, so it must not
 * stop.
 */
#include "internal.h"

void process_join_group_locked(struct process *p, struct pid_entry *group)
{
	pid_attach_locked(group);
	p->group = group;
	list_push_back(&group->group_members, &p->group_node);
}

void process_leave_group_locked(struct process *p)
{
	list_remove(&p->group_node);
	pid_detach_locked(p->group);
}

void process_join_session_locked(struct process *p, struct pid_entry *session)
{
	pid_attach_locked(session);
	p->session = session;
	list_push_back(&session->session_members, &p->session_node);
}

void process_leave_session_locked(struct process *p)
{
	list_remove(&p->session_node);
	pid_detach_locked(p->session);
}

/* `ignored` counts as gone already. */
static bool is_orphaned_without(struct pid_entry *group, const struct process *ignored)
{
	struct process *p;

	list_for_each(p, &group->group_members, group_node) {
		if ((ignored && p == ignored) || (p->state & PROCESS_ZOMBIE) || !p->parent ||
		    p->parent->is_init)
			continue;
		if (p->parent->group != group && p->parent->session == p->session)
			return false;
	}
	return true;
}

bool job_group_is_orphaned_locked(struct pid_entry *group)
{
	return is_orphaned_without(group, NULL);
}

bool process_group_is_orphaned(struct pid_entry *group)
{
	scoped_spin_irq(&task_list_lock);

	return is_orphaned_without(group, NULL);
}

static bool has_stopped_member(struct pid_entry *group)
{
	struct process *p;

	list_for_each(p, &group->group_members, group_node) {
		if (p->state & PROCESS_STOPPED)
			return true;
	}
	return false;
}

/* p ends (parent NULL), or `parent` does and p has a new one already: if that orphans p's group and a
 * member is stopped, the members get SIGHUP and SIGCONT. */
void job_check_orphans_locked(struct process *p, struct process *parent)
{
	struct pid_entry *group = p->group;
	struct process *from = parent ? parent : p->parent, *member;

	if (!from || from->group == group || from->session != p->session)
		return;
	if (!is_orphaned_without(group, parent ? NULL : p) || !has_stopped_member(group))
		return;
	list_for_each(member, &group->group_members, group_node) {
		signal_send_process(member, SIGHUP, NULL);
		signal_send_process(member, SIGCONT, NULL);
	}
}

struct pid_entry *process_group_current(void)
{
	return process_current()->group;
}

struct pid_entry *process_session_current(void)
{
	return process_current()->session;
}

static int set_group_locked(struct process *p, s32 pgid)
{
	struct process *me = process_current();
	struct pid_entry *group;

	if (p != me) {
		if (p->parent != me)
			return -ESRCH;
		if (p->session != me->session)
			return -EPERM;
		if (p->did_exec)
			return -EACCES;
	}
	if (p->is_session_leader)
		return -EPERM;
	group = pgid == p->tgid ? p->pid : pid_find(pgid);
	if (!group)
		return -EPERM;
	if (group != p->pid) {
		struct process *member =
			list_first(&group->group_members, struct process, group_node);

		if (!member || member->session != me->session)
			return -EPERM;
	}
	if (p->group != group) {
		/* The new role first: the old one may have been the number's last. */
		struct pid_entry *old = p->group;

		list_remove(&p->group_node);
		process_join_group_locked(p, group);
		pid_detach_locked(old);
		if (unlikely(p->kernel_page))
			kernel_page_tell_place_locked(p);
	}
	return 0;
}

int process_set_group(s32 pid, s32 pgid)
{
	struct process *p;
	int err;

	if (pid == 0)
		pid = process_current()->tgid;
	if (pgid == 0)
		pgid = pid;
	if (pgid < 0)
		return -EINVAL;
	p = process_get(pid);
	if (!p)
		return -ESRCH;
	{
		scoped_spin_irq(&task_list_lock);
		err = p->group ? set_group_locked(p, pgid) : -ESRCH; /* released */
	}
	process_put(p);
	return err;
}

static struct process *find_or_current(s32 pid)
{
	struct task *t;

	if (pid == 0)
		return process_current();
	t = task_find(pid);
	return t ? t->process : NULL;
}

s32 process_get_group(s32 pid)
{
	scoped_spin_irq(&task_list_lock);
	struct process *p = find_or_current(pid);

	return p ? p->group->nr : -ESRCH;
}

s32 process_get_session(s32 pid)
{
	scoped_spin_irq(&task_list_lock);
	struct process *p = find_or_current(pid);

	return p ? p->session->nr : -ESRCH;
}

s32 process_new_session(void)
{
	struct process *p = process_current();
	struct tty *tty;

	{
		scoped_spin_irq(&task_list_lock);

		if (p->is_session_leader || !list_is_empty(&p->pid->group_members))
			return -EPERM;
		struct pid_entry *group = p->group, *session = p->session;

		list_remove(&p->group_node);
		list_remove(&p->session_node);
		process_join_session_locked(p, p->pid);
		process_join_group_locked(p, p->pid);
		pid_detach_locked(group);
		pid_detach_locked(session);
		if (unlikely(p->kernel_page))
			kernel_page_tell_place_locked(p);
		p->is_session_leader = true;
		tty = p->tty;
		p->tty = NULL;
	}
	if (tty)
		tty_put(tty);
	return p->tgid;
}
