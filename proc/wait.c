/*
 * Waiting for children: wait4(2), waitid(2).
 *
 * A parent's tasks share one queue.  Each wake-up looks at all children under
 * task_list_lock: a parent has few, and no list per state can go wrong.  A
 * zombie is claimed by PROCESS_REAPED under the lock, so that one of several
 * waiting threads gets it.
 */
#include "internal.h"

#include <asm/siginfo.h>
#include <linux/wait.h>

static bool is_eligible(const struct wait_request *r, const struct process *child)
{
	bool is_clone = child->leader->exit_signal != SIGCHLD;

	if (r->type == P_PID && child->tgid != r->id)
		return false;
	if (r->type == P_PGID && child->group->nr != r->id)
		return false;
	if (r->options & __WALL)
		return true;
	return is_clone == ((r->options & __WCLONE) != 0);
}

static void report_exit(struct process *child, struct wait_result *w)
{
	s32 status = child->exit_code;

	w->status = status;
	if (status & 0x7f) {
		w->code = status & 0x80 ? CLD_DUMPED : CLD_KILLED;
		w->code_status = status & 0x7f;
	} else {
		w->code = CLD_EXITED;
		w->code_status = (status >> 8) & 0xff;
	}
	w->usage = child->usage_dead;
	usage_add(&w->usage, &child->usage_children);
}

/* Whether there is something to tell of this child; fills w, and changes the child's state unless the
 * caller only looks (WNOWAIT). */
static bool consider(const struct wait_request *r, struct process *child, struct wait_result *w)
{
	bool take = !(r->options & WNOWAIT), found = true;
	u64 flags;
	struct signal_handlers *h;

	if (child->state & PROCESS_REAPED)
		return false;
	if (child->state & PROCESS_ZOMBIE) {
		if (!(r->options & WEXITED))
			return false;
		report_exit(child, w);
		if (take)
			child->state |= PROCESS_REAPED;
		return true;
	}
	h = process_lock_signals(child, &flags);
	if ((r->options & WSTOPPED) && (child->state & PROCESS_STOPPED) &&
	    !(child->state & PROCESS_STOP_REPORTED)) {
		w->code = CLD_STOPPED;
		w->code_status = (int)child->stop_signal;
		w->status = (int)child->stop_signal << 8 | 0x7f;
		if (take)
			child->state |= PROCESS_STOP_REPORTED;
	} else if ((r->options & WCONTINUED) && (child->state & PROCESS_CONTINUED)) {
		w->code = CLD_CONTINUED;
		w->code_status = SIGCONT;
		w->status = 0xffff;
		if (take)
			child->state &= ~PROCESS_CONTINUED;
	} else {
		found = false;
	}
	process_unlock_signals(h, flags);
	return found;
}

/* The child that was found (counted), NULL for none yet, ERR -ECHILD. */
static struct process *look(const struct wait_request *r, struct wait_result *w)
{
	struct process *me = process_current(), *child;
	bool any = false;
	scoped_spin_irq(&task_list_lock);

	list_for_each(child, &me->children, sibling) {
		if (!is_eligible(r, child) || (child->state & PROCESS_REAPED) ||
		    ((r->options & __WNOTHREAD) && child->maker != task_current()))
			continue;
		/* One that ended is nobody's to wait for but those who ask for the dead. */
		any |= !(child->state & PROCESS_ZOMBIE) || (r->options & WEXITED);
		if (!consider(r, child, w))
			continue;
		w->pid = child->tgid;
		w->uid = child->leader->cred->uid;
		ref_get(&child->refs);
		return child;
	}
	return any ? NULL : err_ptr(-ECHILD);
}

static void reap(struct process *child, const struct wait_result *w)
{
	{
		scoped_spin_irq(&task_list_lock);
		usage_add(&process_current()->usage_children, &w->usage);
		process_unlink_locked(child);
	}
	task_release(child->leader);
}

int process_wait(const struct wait_request *r, struct wait_result *w)
{
	struct process *me = process_current(), *child;
	struct waiter waiter = WAITER_INIT;
	int err = 0;

	memset(w, 0, sizeof(*w));
	child = look(r, w);
	if (!child && !(r->options & WNOHANG)) {
		for (;;) {
			wait_prepare(&me->child_queue, &waiter, THREAD_INTERRUPTIBLE);
			child = look(r, w);
			if (child)
				break;
			if (signal_is_pending()) {
				err = -ERESTARTSYS;
				break;
			}
			thread_block();
		}
		wait_finish(&me->child_queue, &waiter);
	}
	if (err)
		return err;
	if (!child)
		return 0;
	if (is_err(child))
		return (int)ptr_err(child);
	if ((w->code == CLD_EXITED || w->code == CLD_KILLED || w->code == CLD_DUMPED) &&
	    !(r->options & WNOWAIT))
		reap(child, w);
	else if (w->code == CLD_STOPPED || w->code == CLD_CONTINUED)
		process_usage(child, &w->usage);
	process_put(child);
	return 0;
}
