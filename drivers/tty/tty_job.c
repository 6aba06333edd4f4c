/* Job control: which session a terminal controls, and which process group stands in front. */
#include "tty_internal.h"

#include <nos/errno.h>
#include <nos/rcu.h>
#include <linux/capability.h>
#include <asm/signal.h>

#define SIG_IGN_VALUE 1ull

static struct pid_entry *pid_entry_get(struct pid_entry *p)
{
	if (p)
		ref_get(&p->refs);
	return p;
}

static void pid_entry_put(struct pid_entry *p)
{
	if (p)
		pid_put(p);
}

struct tty *process_tty_current(void)
{
	struct tty *t;

	scoped_spin_irq(&task_list_lock);
	t = task_current()->process->tty;
	if (t)
		tty_get(t);
	return t;
}

static struct pid_entry *tty_group(struct tty *t)
{
	scoped_spin_irq(&task_list_lock);
	return pid_entry_get(t->group);
}

s32 tty_foreground(const struct tty *t)
{
	struct pid_entry *g;
	s32 nr = -1;

	rcu_read_lock();
	g = READ_ONCE(t->group);
	if (g)
		nr = g->nr;
	rcu_read_unlock();
	return nr;
}

void tty_signal_foreground(struct tty *t, int signo)
{
	struct pid_entry *g = tty_group(t);

	if (g)
		(void)signal_send_group(g, signo, NULL);
	pid_entry_put(g);
}

static bool signal_is_ignored_or_blocked(int signo)
{
	struct task *t = task_current();

	return (t->blocked & signal_bit(signo)) ||
	       READ_ONCE(t->handlers->actions[signo - 1].handler) == SIG_IGN_VALUE;
}

/*
 * A background process reads (SIGTTIN) or changes (SIGTTOU) its terminal:
 * 0 = go on, -EIO, or -ERESTARTSYS with its group signalled (POSIX 11.1.4).
 */
int tty_check_job(struct tty *t, int signo)
{
	struct process *p = task_current()->process;
	struct pid_entry *group, *front;
	int err = -ERESTARTSYS;

	front = READ_ONCE(t->group);
	if (READ_ONCE(p->tty) != t || !front || front == READ_ONCE(p->group))
		return 0;
	if (signal_is_ignored_or_blocked(signo))
		return signo == SIGTTIN ? -EIO : 0;
	u64 flags = spin_lock_irq(&task_list_lock);

	group = pid_entry_get(p->group);
	spin_unlock_irq(&task_list_lock, flags);
	if (process_group_is_orphaned(group))
		err = -EIO;
	else
		(void)signal_send_group(group, signo, NULL);
	pid_entry_put(group);
	return err;
}

/* ---- the controlling terminal ---- */

/* Gives t to the current process's session; task_list_lock is held. */
static void tty_take_control_locked(struct tty *t, struct process *p)
{
	t->session = pid_entry_get(p->session);
	t->group = pid_entry_get(p->group);
	tty_get(t);
	p->tty = t;
}

void tty_maybe_control(struct tty *t)
{
	struct process *p = task_current()->process;

	scoped_spin_irq(&task_list_lock);
	if (p->is_session_leader && !p->tty && !t->session)
		tty_take_control_locked(t, p);
}

/* What a detach leaves to be put once the lock is free. */
struct tty_detached {
	struct pid_entry *session, *group;
	u32 references;
};

static struct tty_detached tty_detach_locked(struct tty *t)
{
	struct tty_detached d = { .session = t->session, .group = t->group };
	struct process *p;

	t->session = NULL;
	WRITE_ONCE(t->group, NULL);
	if (!d.session)
		return d;
	list_for_each(p, &d.session->session_members, session_node) {
		if (p->tty == t) {
			WRITE_ONCE(p->tty, NULL);
			d.references++;
		}
	}
	return d;
}

/*
 * Takes the terminal from its session.  A hang-up signals the leader; the
 * leader's exit signals the foreground group (exit(3), credentials(7)).
 */
void tty_detach_session(struct tty *t, bool leader_exits)
{
	struct process *leader = NULL;
	u64 flags = spin_lock_irq(&task_list_lock);
	struct tty_detached d = tty_detach_locked(t);

	if (d.session && !leader_exits) {
		leader = d.session->process;
		if (leader)
			ref_get(&leader->refs);
	}
	spin_unlock_irq(&task_list_lock, flags);

	if (leader) {
		(void)signal_send_process(leader, SIGHUP, NULL);
		(void)signal_send_process(leader, SIGCONT, NULL);
		process_put(leader);
	}
	if (d.group && leader_exits) {
		(void)signal_send_group(d.group, SIGHUP, NULL);
		(void)signal_send_group(d.group, SIGCONT, NULL);
	}
	pid_entry_put(d.session);
	pid_entry_put(d.group);
	while (d.references--)
		tty_put(t);
}

/* A session leader exits: its terminal hangs up, and the foreground group hears of it. */
void tty_session_exit(struct process *leader)
{
	struct tty *t;
	u64 flags = spin_lock_irq(&task_list_lock);

	t = leader->is_session_leader ? leader->tty : NULL;
	if (t)
		tty_get(t);
	spin_unlock_irq(&task_list_lock, flags);
	if (!t)
		return;
	tty_detach_session(t, true);
	tty_hang_up_now(t);
	tty_put(t);
}

/* ---- ioctls ---- */

/* TIOCSCTTY: steal = take it from another session (CAP_SYS_ADMIN). */
static long tty_ioctl_control(struct tty *t, u64 steal)
{
	struct process *p = task_current()->process;
	bool may_steal = steal == 1 && capable(CAP_SYS_ADMIN), must_steal;
	long err = 0;
	u64 flags = spin_lock_irq(&task_list_lock);

	if (p->is_session_leader && t->session && p->session == t->session && p->tty == t) {
		spin_unlock_irq(&task_list_lock, flags);
		return 0;
	}
	must_steal = t->session != NULL;
	if (!p->is_session_leader || p->tty || (must_steal && !may_steal))
		err = -EPERM;
	else if (!must_steal)
		tty_take_control_locked(t, p);
	spin_unlock_irq(&task_list_lock, flags);
	if (err || !must_steal)
		return err;
	tty_detach_session(t, false);
	tty_maybe_control(t);
	return 0;
}

/* TIOCNOTTY: the leader takes the terminal from the whole session, others leave it alone. */
static long tty_ioctl_leave(struct tty *t)
{
	struct process *p = task_current()->process;
	bool is_leader = p->is_session_leader;
	u64 flags = spin_lock_irq(&task_list_lock);
	bool mine = p->tty == t;

	if (mine && !is_leader)
		WRITE_ONCE(p->tty, NULL);
	spin_unlock_irq(&task_list_lock, flags);
	if (!mine)
		return -ENOTTY;
	if (is_leader)
		tty_detach_session(t, true);
	else
		tty_put(t);
	return 0;
}

static long tty_ioctl_get_group(struct tty *t, bool is_master, struct user_arg arg)
{
	s32 nr;

	if (!is_master && READ_ONCE(task_current()->process->tty) != t)
		return -ENOTTY;
	nr = max(tty_foreground(t), 0);
	return user_arg_write(arg, &nr, sizeof(nr));
}

/* The group with number nr if it belongs to session s: counted; -ESRCH, -EPERM. */
static struct pid_entry *tty_find_group(s32 nr, const struct pid_entry *s)
{
	struct pid_entry *g = pid_get(nr);
	struct process *member;
	long err = -ESRCH;

	if (!g)
		return err_ptr(-ESRCH);
	u64 flags = spin_lock_irq(&task_list_lock);

	member = list_first(&g->group_members, struct process, group_node);
	if (member)
		err = member->session == s ? 0 : -EPERM;
	spin_unlock_irq(&task_list_lock, flags);
	if (err) {
		pid_put(g);
		return err_ptr(err);
	}
	return g;
}

static long tty_ioctl_set_group(struct tty *t, bool is_master, struct user_arg arg)
{
	struct process *p = task_current()->process;
	struct pid_entry *g, *old;
	s32 nr;
	int err = tty_check_job(t, SIGTTOU);

	if (err == -EIO)
		return -ENOTTY;
	if (err)
		return err;
	if (READ_ONCE(p->tty) != t || READ_ONCE(p->session) != READ_ONCE(t->session))
		return -ENOTTY;
	if (user_arg_read(arg, &nr, sizeof(nr)))
		return -EFAULT;
	if (nr < 0)
		return -EINVAL;
	g = tty_find_group(nr, p->session);
	if (is_err(g))
		return ptr_err(g);
	u64 flags = spin_lock_irq(&task_list_lock);

	old = t->group;
	if (t->session == p->session)
		WRITE_ONCE(t->group, g);
	else
		old = g; /* lost it meanwhile */
	spin_unlock_irq(&task_list_lock, flags);
	pid_entry_put(old);
	return 0;
}

static long tty_ioctl_get_session(struct tty *t, bool is_master, struct user_arg arg)
{
	s32 nr = -1;
	u64 flags;

	if (!is_master && READ_ONCE(task_current()->process->tty) != t)
		return -ENOTTY;
	flags = spin_lock_irq(&task_list_lock);
	if (t->session)
		nr = t->session->nr;
	spin_unlock_irq(&task_list_lock, flags);
	return nr < 0 ? -ENOTTY : user_arg_write(arg, &nr, sizeof(nr));
}

long tty_ioctl_job(struct tty *t, bool is_master, u32 cmd, struct user_arg arg, bool *known)
{
	*known = true;
	switch (cmd) {
	case TIOCSCTTY:
		return is_master ? -EIO : tty_ioctl_control(t, arg.value);
	case TIOCNOTTY:
		return tty_ioctl_leave(t);
	case TIOCGPGRP:
		return tty_ioctl_get_group(t, is_master, arg);
	case TIOCSPGRP:
		return tty_ioctl_set_group(t, is_master, arg);
	case TIOCGSID:
		return tty_ioctl_get_session(t, is_master, arg);
	default:
		*known = false;
		return 0;
	}
}
