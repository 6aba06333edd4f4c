/*
 * Signals on the way to user mode: delivery, stops, restarts, masks, faults.
 *
 * How it works.  exit_to_user_work runs with a full frame while any WORK_ flag
 * is set.  It takes pending signals one by one until one has a handler; then
 * the frame points at the handler, and the loop goes on, so that further
 * signals nest on top.  A call that was interrupted has left -ERESTART* in
 * the frame; it is turned into EINTR or run again as signal(7), "Interruption
 * of system calls", says: by a step back over the 2-byte syscall instruction
 * with the number in rax.
 *
 * A task that takes part in a stop parks in state STOPPED.  The last one to
 * park completes the stop and tells the parent.
 */
#include "internal.h"

#include <asm/siginfo.h>
#include <asm/unistd.h>
#include <linux/signal.h>

#define SYSCALL_INSN_BYTES 2

/* ---- stop ---- */

bool signal_stop_participate_locked(struct task *t)
{
	struct process *p = t->process;

	if (!(t->flags & TASK_STOPPING))
		return false;
	t->flags &= ~TASK_STOPPING;
	ASSERT(p->stop_count > 0);
	if (--p->stop_count > 0)
		return false;
	p->state |= PROCESS_STOPPED;
	p->state &= ~(PROCESS_STOP_REPORTED | PROCESS_CONTINUED);
	return true;
}

static void tell_parent(struct process *p, int code, int status)
{
	scoped_spin_irq(&task_list_lock);

	process_notify_parent_locked(p, SIGCHLD, code, status);
}

/* Handlers locked on entry, not on return. */
static void park(struct task *t, struct signal_handlers *h, u64 flags) __releases(signals_held)
{
	struct process *p = t->process;
	int signo = (int)p->stop_signal;
	bool complete = signal_stop_participate_locked(t);

	t->flags |= TASK_STOPPED;
	thread_set_state(THREAD_STOPPED);
	process_unlock_signals(h, flags);
	if (complete)
		tell_parent(p, CLD_STOPPED, signo);
	thread_block();
}

static void start_stop(struct task *self, int signo)
{
	struct process *p = self->process;
	struct task *t;

	p->stop_signal = (u32)signo;
	p->stop_count = 0;
	p->state &= ~(PROCESS_CONTINUED | PROCESS_STOP_REPORTED | PROCESS_STOPPED);
	list_for_each(t, &p->threads, thread_node) {
		if (t->flags & TASK_EXITING)
			continue;
		t->flags |= TASK_STOPPING;
		p->stop_count++;
		if (t != self) {
			thread_set_work(&t->thread, WORK_SIGNAL);
			thread_wake_mask(&t->thread, WAKE_INTERRUPTIBLE);
		}
	}
}

/* ---- choosing what to deliver ---- */

static __noreturn void die(struct task *t)
{
	struct process *p = t->process;

	process_exit_task(p->state & PROCESS_EXITING ? p->exit_code : SIGKILL);
}

/* A terminal's stop is lost on a process of an orphaned group (POSIX 2.4.3).  The lock is dropped for
 * the look, so the caller starts over if it no longer holds what it saw. */
static bool stop_applies(struct task *t, int signo, struct signal_handlers **h, u64 *flags)
	__must_hold(signals_held)
{
	bool orphaned;

	if (signo == SIGSTOP)
		return true;
	process_unlock_signals(*h, *flags);
	{
		scoped_spin_irq(&task_list_lock);
		orphaned = job_group_is_orphaned_locked(t->process->group);
	}
	*h = process_lock_signals(t->process, flags);
	/* A SIGCONT that came meanwhile would have removed the stop signal. */
	return !orphaned && !(t->process->pending.set & signal_bit(SIGCONT)) &&
	       !(t->pending.set & signal_bit(SIGCONT));
}

/* The action for signo when it has a handler; else does the default action and returns false. */
static bool act_on(struct task *t, int signo, struct signal_action *action,
		   struct signal_handlers **h, u64 *flags) __must_hold(signals_held)
{
	struct process *p = t->process;
	struct signal_action *a = &(*h)->actions[signo - 1];
	signal_set_t mask = signal_bit(signo);

	if (a->handler == SIGNAL_IGNORE)
		return false;
	if (a->handler != SIGNAL_DEFAULT) {
		*action = *a;
		if (a->flags & SA_RESETHAND)
			a->handler = SIGNAL_DEFAULT;
		return true;
	}
	if (mask & SIGNALS_IGNORED_BY_DEFAULT)
		return false;
	if (mask & SIGNALS_STOP) {
		if (!p->is_init && stop_applies(t, signo, h, flags) &&
		    !(p->state & PROCESS_EXITING))
			start_stop(t, signo);
		return false;
	}
	if (p->is_init && !(mask & SIGNALS_SYNCHRONOUS))
		return false;
	signal_kill_group_locked(p, signo);
	return false;
}

/* The mask while signo's handler runs; the handlers are locked. */
static void block_for_handler(struct task *t, int signo, const struct signal_action *a)
	__must_hold(signals_held)
{
	signal_set_t mask = t->blocked | (a->mask & ~SIGNALS_NEVER_BLOCKED);

	if (!(a->flags & SA_NODEFER))
		mask |= signal_bit(signo);
	if (t->process->nr_threads > 1)
		signal_wake_others_locked(t, mask & ~t->blocked);
	t->blocked = mask;
}

/* The next signal that has a handler, for which the mask is set: its number, or 0. */
static int next_to_handle(struct task *t, struct signal_info *info, struct signal_action *action)
{
	struct process *p = t->process;
	u64 flags;
	struct signal_handlers *h = process_lock_own_signals(&flags);
	int signo = 0;

	for (;;) {
		if (p->state & PROCESS_TELL_CONTINUED) {
			p->state &= ~PROCESS_TELL_CONTINUED;
			process_unlock_signals(h, flags);
			tell_parent(p, CLD_CONTINUED, SIGCONT);
			h = process_lock_signals(p, &flags);
			continue;
		}
		if ((p->state & PROCESS_EXITING) || (t->pending.set & signal_bit(SIGKILL))) {
			process_unlock_signals(h, flags);
			die(t);
		}
		if (t->flags & TASK_STOPPING) {
			park(t, h, flags);
			h = process_lock_signals(p, &flags);
			continue;
		}
		signo = signal_take_locked(t, ~t->blocked, info);
		if (!signo)
			break;
		if (act_on(t, signo, action, &h, &flags)) {
			block_for_handler(t, signo, action);
			break;
		}
	}
	signal_recalculate_locked(t);
	process_unlock_signals(h, flags);
	return signo;
}

/* ---- restarts ---- */

static bool is_interrupted_call(const struct trap_frame *f)
{
	return (s64)f->orig_rax >= 0 &&
	       ((s64)f->rax == -ERESTARTSYS || (s64)f->rax == -ERESTARTNOINTR ||
		(s64)f->rax == -ERESTARTNOHAND || (s64)f->rax == -ERESTART_RESTARTBLOCK);
}

static void step_back(struct trap_frame *f, u64 nr)
{
	f->rax = nr;
	f->rip -= SYSCALL_INSN_BYTES;
	f->orig_rax = (u64)-1;
}

/* action NULL: no handler runs. */
static void restart_or_fail(struct trap_frame *f, const struct signal_action *action)
{
	if (!is_interrupted_call(f))
		return;
	switch (-(s64)f->rax) {
	case ERESTARTNOINTR:
		step_back(f, f->orig_rax);
		return;
	case ERESTARTSYS:
		if (!action || (action->flags & SA_RESTART))
			step_back(f, f->orig_rax);
		else
			f->rax = (u64)-EINTR;
		return;
	case ERESTARTNOHAND:
		if (!action)
			step_back(f, f->orig_rax);
		else
			f->rax = (u64)-EINTR;
		return;
	default:
		if (!action)
			step_back(f, __NR_restart_syscall);
		else
			f->rax = (u64)-EINTR;
	}
}

/* ---- frames ---- */

static bool is_on_altstack(const struct task *t, u64 sp)
{
	return t->altstack_size && !(t->altstack_flags & SS_AUTODISARM) && sp > t->altstack_sp &&
	       sp - t->altstack_sp <= t->altstack_size;
}

static int push_frame(struct task *t, struct trap_frame *frame, int signo,
		      const struct signal_info *info, const struct signal_action *a, u64 mask)
{
	struct signal_context c = {
		.handler = a->handler,
		.restorer = a->restorer,
		.flags = a->flags,
		.mask = mask,
		.altstack_sp = t->altstack_sp,
		.altstack_size = t->altstack_size,
		.altstack_flags = t->altstack_flags,
		.frame_top = frame->rsp,
		.siginfo = info,
		.signo = signo,
	};
	bool inside = is_on_altstack(t, frame->rsp);
	int err;

	if (!t->altstack_size)
		c.altstack_flags |= SS_DISABLE;
	else if (inside)
		c.altstack_flags |= SS_ONSTACK;
	if ((a->flags & SA_ONSTACK) && t->altstack_size && !inside) {
		c.frame_top = t->altstack_sp + t->altstack_size;
		inside = true;
	}
	/* A frame that would leave the alternate stack would hit whatever lies below it. */
	if (inside && c.frame_top - t->altstack_sp < signal_frame_size_max())
		return -EFAULT;
	err = signal_frame_push(frame, &c);
	if (!err && (t->altstack_flags & SS_AUTODISARM)) {
		t->altstack_sp = 0;
		t->altstack_size = 0;
		t->altstack_flags = 0;
	}
	return err;
}

/* before: the mask at the time of delivery. */
static void handle(struct task *t, struct trap_frame *frame, int signo, struct signal_info *info,
		   const struct signal_action *a, signal_set_t before)
{
	signal_set_t mask = before;

	if (READ_ONCE(t->thread.work) & WORK_RESTORE_MASK) {
		mask = t->saved_mask;
		atomic_and(&t->thread.work, ~WORK_RESTORE_MASK);
	}
	restart_or_fail(frame, a);
	frame->orig_rax = (u64)-1;
	if (unlikely(push_frame(t, frame, signo, info, a, mask))) {
		signal_set_blocked(before);
		if (signo == SIGSEGV) {
			u64 flags;
			struct signal_handlers *h = process_lock_signals(t->process, &flags);

			h->actions[SIGSEGV - 1].handler = SIGNAL_DEFAULT;
			process_unlock_signals(h, flags);
		}
		signal_force(SIGSEGV, NULL);
	}
}

/* A call with a mask of its own that was not interrupted ends with the mask that it found. */
static bool keeps_temporary_mask(const struct trap_frame *f)
{
	return is_interrupted_call(f) || ((s64)f->orig_rax >= 0 && (s64)f->rax == -EINTR);
}

static void restore_mask(struct task *t)
{
	if (READ_ONCE(t->thread.work) & WORK_RESTORE_MASK) {
		atomic_and(&t->thread.work, ~WORK_RESTORE_MASK);
		signal_set_blocked(t->saved_mask);
	}
}

void signal_deliver(struct trap_frame *frame)
{
	struct task *t = task_current();
	struct signal_info info;
	struct signal_action action;
	signal_set_t before;
	int signo;

	if (!keeps_temporary_mask(frame))
		restore_mask(t);
	before = t->blocked;
	signo = next_to_handle(t, &info, &action);
	if (signo) {
		handle(t, frame, signo, &info, &action, before);
		return;
	}
	restart_or_fail(frame, NULL);
	restore_mask(t);
}

void exit_to_user_work(struct trap_frame *frame)
{
	struct task *t = task_current();

	for (;;) {
		u32 work = READ_ONCE(t->thread.work) & (WORK_RESCHEDULE | WORK_SIGNAL | WORK_TASK |
							WORK_RESTORE_MASK | WORK_FATAL);

		if (!work)
			return;
		if (work & WORK_RESCHEDULE) {
			preempt_disable();
			preempt_enable();
		}
		if (work & WORK_TASK) {
			atomic_and(&t->thread.work, ~WORK_TASK);
			cpu_timers_check(t);
		}
		/* Before a handler's frame hides where the section was left. */
		if (t->rseq_area)
			rseq_fix_up(t, frame);
		if (work & (WORK_SIGNAL | WORK_RESTORE_MASK | WORK_FATAL))
			signal_deliver(frame);
	}
}

/* ---- masks ---- */

/* Process-wide signals that t no longer takes go to a task that does. */
void signal_wake_others_locked(struct task *t, signal_set_t newly_blocked)
{
	struct process *p = t->process;
	signal_set_t lost = p->pending.set & newly_blocked;
	struct task *other;

	if (!lost)
		return;
	list_for_each(other, &p->threads, thread_node) {
		if (other == t || (other->flags & TASK_EXITING) || !(lost & ~other->blocked))
			continue;
		lost &= other->blocked;
		thread_set_work(&other->thread, WORK_SIGNAL);
		thread_wake_mask(&other->thread, WAKE_INTERRUPTIBLE);
		if (!lost)
			return;
	}
}

void signal_set_blocked(signal_set_t mask)
{
	struct task *t = task_current();
	u64 flags;
	struct signal_handlers *h;

	mask &= ~SIGNALS_NEVER_BLOCKED;
	if (t->blocked == mask)
		return;
	h = process_lock_own_signals(&flags);
	if (t->process->nr_threads > 1)
		signal_wake_others_locked(t, mask & ~t->blocked);
	t->blocked = mask;
	signal_recalculate_locked(t);
	process_unlock_signals(h, flags);
}

void signal_set_temporary_mask(signal_set_t mask)
{
	struct task *t = task_current();

	t->saved_mask = t->blocked;
	signal_set_blocked(mask);
	thread_set_work(&t->thread, WORK_RESTORE_MASK);
}

/* ---- taking without delivery ---- */

int signal_dequeue(signal_set_t set, struct signal_info *info)
{
	struct task *t = task_current();
	u64 flags;
	struct signal_handlers *h = process_lock_signals(t->process, &flags);
	int signo = signal_take_locked(t, set & ~SIGNALS_NEVER_BLOCKED, info);

	if (signo)
		signal_recalculate_locked(t);
	process_unlock_signals(h, flags);
	return signo;
}

void signal_begin_taking(signal_set_t set)
{
	struct task *t = task_current();
	u64 flags;
	struct signal_handlers *h = process_lock_signals(t->process, &flags);

	t->taking = set & t->blocked;
	t->blocked &= ~set;
	signal_recalculate_locked(t);
	process_unlock_signals(h, flags);
}

void signal_end_taking(void)
{
	struct task *t = task_current();
	u64 flags;
	struct signal_handlers *h = process_lock_signals(t->process, &flags);

	t->blocked |= t->taking;
	t->taking = 0;
	signal_recalculate_locked(t);
	process_unlock_signals(h, flags);
}

bool signal_is_pending_in(signal_set_t set)
{
	struct task *t = task_current();

	return ((READ_ONCE(t->pending.set) | READ_ONCE(t->process->pending.set)) & set) != 0;
}

struct wait_queue *signal_wait_queue(void)
{
	return &task_current()->handlers->signalfd_queue;
}

/* ---- faults ---- */

void signal_force(int signo, const struct signal_info *info)
{
	struct task *t = task_current();
	u64 flags;
	struct signal_handlers *h = process_lock_signals(t->process, &flags);
	struct signal_action *a = &h->actions[signo - 1];

	if ((t->blocked & signal_bit(signo)) || a->handler == SIGNAL_IGNORE) {
		a->handler = SIGNAL_DEFAULT;
		t->blocked &= ~signal_bit(signo);
	}
	process_unlock_signals(h, flags);
	if (signal_send_task(t, signo, info) || !(t->pending.set & signal_bit(signo))) {
		/* Dropped for want of anything better: a fault must not return to its instruction. */
		h = process_lock_signals(t->process, &flags);
		t->pending.set |= signal_bit(signo);
		signal_recalculate_locked(t);
		process_unlock_signals(h, flags);
	}
}

void process_fault_signal(int signo, int si_code, u64 address, u64 error_code)
{
	struct signal_info info = { .signo = signo, .code = si_code };

	info.address = address;
	signal_force(signo, &info);
}

void process_signal_self(int signo)
{
	struct signal_info info;

	if (current_thread->is_kernel)
		return;
	signal_info_user(&info, signo, SI_USER);
	signal_send_task(task_current(), signo, &info);
}

/* Exceptions as signal(7) and sigaction(2) name them; SDM vol. 3, 6.3 for the vectors. */
void trap_user_exception(struct trap_frame *frame, unsigned vector, u64 error)
{
	struct signal_info info = { .code = SI_KERNEL };
	int signo = SIGSEGV;

	switch (vector) {
	case 0:
		signo = SIGFPE;
		info.code = FPE_INTDIV;
		info.address = frame->rip;
		break;
	case 1:
		signo = SIGTRAP;
		info.code = TRAP_TRACE;
		info.address = frame->rip;
		break;
	case 3:
		signo = SIGTRAP;
		break;
	case 6:
		signo = SIGILL;
		info.code = ILL_ILLOPN;
		info.address = frame->rip;
		break;
	case 11:
	case 12:
		signo = SIGBUS;
		break;
	case 16:
	case 19:
		signo = SIGFPE;
		info.code = fpu_exception_code(vector);
		info.address = frame->rip;
		break;
	case 17:
		signo = SIGBUS;
		info.code = BUS_ADRALN;
		break;
	default:
		break;
	}
	info.signo = signo;
	signal_force(signo, &info);
}
