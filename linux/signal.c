/* Signals: handlers, masks, sending, waiting, the alternate stack, sigreturn. */
#include "syscalls.h"
#include "timespec.h"

#include <nos/log.h>
#include <nos/process.h>
#include <nos/string.h>

#include <asm/siginfo.h>
#include <linux/signal.h>

#define NEVER_BLOCKED (signal_bit(SIGKILL) | signal_bit(SIGSTOP))
#define STACK_SIZE_MIN 2048 /* MINSIGSTKSZ of the ABI's first days */

static int mask_from_user(signal_set_t *set, const void __user *from, size_t size)
{
	if (size != sizeof(*set))
		return -EINVAL;
	return get_user(*set, (const signal_set_t __user *)from);
}

/* ---- handlers ---- */

long sys_rt_sigaction(int sig, const void __user *act, void __user *old, size_t set_size)
{
	struct signal_action new, was;

	if (set_size != sizeof(signal_set_t))
		return -EINVAL;
	if (act && get_user(new, (const struct signal_action __user *)act))
		return -EFAULT;
	if (sig < 1 || sig > NR_SIGNALS)
		return -EINVAL;
	if (act) {
		if (signal_bit(sig) & NEVER_BLOCKED)
			return -EINVAL;
		new.mask &= ~NEVER_BLOCKED;
	}
	signal_change_action(sig, act ? &new : NULL, &was);
	return old ? put_user(was, (struct signal_action __user *)old) : 0;
}

/* ---- masks ---- */

long sys_rt_sigprocmask(int how, const void __user *set, void __user *old, size_t set_size)
{
	struct task *t = task_current();
	signal_set_t was = t->blocked, given, mask;

	if (set_size != sizeof(signal_set_t))
		return -EINVAL;
	if (set) {
		if (get_user(given, (const signal_set_t __user *)set))
			return -EFAULT;
		if (how == SIG_BLOCK)
			mask = was | given;
		else if (how == SIG_UNBLOCK)
			mask = was & ~given;
		else if (how == SIG_SETMASK)
			mask = given;
		else
			return -EINVAL;
		signal_set_blocked(mask);
	}
	return old ? put_user(was, (signal_set_t __user *)old) : 0;
}

long sys_rt_sigpending(void __user *set, size_t set_size)
{
	struct task *t = task_current();
	signal_set_t pending;

	if (set_size > sizeof(signal_set_t))
		return -EINVAL;
	pending = (READ_ONCE(t->pending.set) | READ_ONCE(t->process->pending.set)) & t->blocked;
	return copy_to_user(set, &pending, set_size) ? -EFAULT : 0;
}

static long wait_for_handler(void)
{
	while (!signal_is_pending()) {
		thread_set_state(THREAD_INTERRUPTIBLE);
		if (!signal_is_pending())
			thread_block();
		thread_set_state(THREAD_RUNNABLE);
	}
	return -ERESTARTNOHAND;
}

long sys_rt_sigsuspend(const void __user *set, size_t set_size)
{
	signal_set_t mask;
	int err = mask_from_user(&mask, set, set_size);

	if (err)
		return err;
	signal_set_temporary_mask(mask);
	return wait_for_handler();
}

long sys_pause(void)
{
	return wait_for_handler();
}

/* ---- taking ---- */

static int take_until(signal_set_t set, struct signal_info *info, u64 deadline_ns)
{
	int signo = signal_dequeue(set, info);
	bool late = deadline_ns == 0;

	if (signo || late)
		return signo ? signo : -EAGAIN;
	/* Unblocked meanwhile, so that the sender finds this task; nothing is delivered before the
	 * mask is back, for this is not the way to user mode. */
	signal_begin_taking(set);
	for (;;) {
		thread_set_state(THREAD_INTERRUPTIBLE);
		signo = signal_dequeue(set, info);
		if (signo || late || signal_is_pending())
			break;
		if (deadline_ns == TIME_NEVER)
			thread_block();
		else
			late = thread_block_until(deadline_ns);
	}
	thread_set_state(THREAD_RUNNABLE);
	signal_end_taking();
	if (!signo)
		signo = signal_dequeue(set, info);
	if (signo)
		return signo;
	return late && !signal_is_pending() ? -EAGAIN : -EINTR;
}

long sys_rt_sigtimedwait(const void __user *set, void __user *info, const void __user *timeout,
			 size_t set_size)
{
	struct signal_info si;
	signal_set_t mask;
	u64 deadline;
	int signo, err = mask_from_user(&mask, set, set_size);

	if (!err)
		err = deadline_from_user(timeout, &deadline);
	if (err)
		return err;
	signo = take_until(mask & ~NEVER_BLOCKED, &si, deadline);
	if (signo > 0 && info && copy_to_user(info, &si, sizeof(si)))
		return -EFAULT;
	return signo;
}

/* ---- sending ---- */

long sys_kill(int pid, int sig)
{
	return signal_raise(pid, 0, sig) ? 0 : signal_kill(pid, sig, NULL);
}

/* tgid 0: any process. */
static long send_to_thread(int tgid, int tid, int sig, const struct signal_info *given)
{
	struct signal_info info;
	struct task *t;
	int err;

	if (tid <= 0)
		return -EINVAL;
	if (!given && signal_raise(tgid, tid, sig))
		return 0;
	t = task_get(tid);
	if (!t)
		return -ESRCH;
	if (tgid && t->process->tgid != tgid) {
		err = -ESRCH;
	} else {
		err = signal_permission(t->process, sig, true);
		if (!given)
			signal_info_user(&info, sig, SI_TKILL);
		if (!err)
			err = signal_send_task(t, sig, given ? given : &info);
	}
	task_put(t);
	return err;
}

long sys_tkill(int tid, int sig)
{
	return send_to_thread(0, tid, sig, NULL);
}

long sys_tgkill(int tgid, int tid, int sig)
{
	return tgid <= 0 ? -EINVAL : send_to_thread(tgid, tid, sig, NULL);
}

/* Whether the kernel knows what a siginfo of this code holds (sigaction(2), si_code). */
static bool info_is_known(int sig, int code)
{
	static const u8 codes[NR_SIGNALS] = {
		[SIGILL - 1] = NSIGILL,   [SIGFPE - 1] = NSIGFPE,   [SIGSEGV - 1] = NSIGSEGV,
		[SIGBUS - 1] = NSIGBUS,   [SIGTRAP - 1] = NSIGTRAP, [SIGCHLD - 1] = NSIGCHLD,
		[SIGPOLL - 1] = NSIGPOLL, [SIGSYS - 1] = NSIGSYS,
	};

	if (code == SI_KERNEL || code == SI_ASYNCNL)
		return true;
	if (code <= SI_USER)
		return code >= SI_DETHREAD;
	if (sig >= 1 && sig <= NR_SIGNALS && codes[sig - 1])
		return code <= codes[sig - 1];
	return code <= NSIGPOLL;
}

#define INFO_KEPT_BYTES 48 /* the largest of the kinds of siginfo */

/* A siginfo; of a kind that the kernel doesn't know, what lies behind what it keeps must be zero. */
int signal_info_from_user(struct signal_info *si, const void __user *info, int sig)
{
	const u8 *bytes = (const u8 *)si;
	u8 any = 0;

	if (get_user(*si, (const struct signal_info __user *)info))
		return -EFAULT;
	if (info_is_known(sig, si->code))
		return 0;
	for (unsigned n = INFO_KEPT_BYTES; n < sizeof(*si); n++)
		any |= bytes[n];
	return any ? -E2BIG : 0;
}

static int info_check(struct signal_info *si, int sig, int pid)
{
	si->signo = sig;
	/* Nobody may pretend to be the kernel, or kill(2), towards others. */
	if ((si->code >= 0 || si->code == SI_TKILL) && process_current()->tgid != pid)
		return -EPERM;
	return 0;
}

long sys_rt_sigqueueinfo(int pid, int sig, const void __user *info)
{
	struct signal_info si;
	int err = signal_info_from_user(&si, info, sig);

	if (!err)
		err = info_check(&si, sig, pid);
	if (err)
		return err;
	return pid <= 0 ? -ESRCH : signal_kill(pid, sig, &si);
}

long sys_rt_tgsigqueueinfo(int tgid, int tid, int sig, const void __user *info)
{
	struct signal_info si;
	int err = signal_info_from_user(&si, info, sig);

	if (!err && (tgid <= 0 || tid <= 0))
		err = -EINVAL;
	if (!err)
		err = info_check(&si, sig, tgid);
	return err ? err : send_to_thread(tgid, tid, sig, &si);
}

/* ---- the alternate stack ---- */

static bool is_on_altstack(const struct task *t)
{
	u64 sp = trap_user_frame()->rsp;

	return t->altstack_size && !(t->altstack_flags & SS_AUTODISARM) && sp > t->altstack_sp &&
	       sp - t->altstack_sp <= t->altstack_size;
}

static int set_altstack(struct task *t, u64 sp, u64 size, u32 flags)
{
	u32 mode = flags & ~(u32)SS_AUTODISARM;

	if (mode != 0 && mode != SS_DISABLE && mode != SS_ONSTACK)
		return -EINVAL;
	if (mode == SS_DISABLE) {
		sp = 0;
		size = 0;
	} else if (size < STACK_SIZE_MIN) {
		return -ENOMEM;
	}
	t->altstack_sp = sp;
	t->altstack_size = size;
	t->altstack_flags = flags & SS_AUTODISARM;
	return 0;
}

long sys_sigaltstack(const void __user *new, void __user *old)
{
	struct task *t = task_current();
	stack_t given, was;

	memset(&was, 0, sizeof(was)); /* the hole after the flags too */
	was.ss_sp = (void *)t->altstack_sp;
	was.ss_size = t->altstack_size;
	was.ss_flags = (int)t->altstack_flags;
	if (!t->altstack_size)
		was.ss_flags |= SS_DISABLE;
	else if (is_on_altstack(t))
		was.ss_flags |= SS_ONSTACK;
	if (new) {
		if (get_user(given, (const stack_t __user *)new))
			return -EFAULT;
		if (is_on_altstack(t))
			return -EPERM;
		int err = set_altstack(t, (u64)given.ss_sp, given.ss_size, (u32)given.ss_flags);

		if (err)
			return err;
	}
	return old ? put_user(was, (stack_t __user *)old) : 0;
}

long sys_rt_sigreturn(void)
{
	struct trap_frame *frame = trap_user_frame();
	struct task *t = task_current();
	u64 mask, sp, size;
	u32 flags;

	t->restart = NULL;
	if (signal_frame_pop(frame, &mask, &sp, &size, &flags)) {
		signal_force(SIGSEGV, NULL);
		return (long)frame->rax;
	}
	signal_set_blocked(mask);
	/* As found at delivery; an unusable stack in a forged frame changes nothing. */
	if (!is_on_altstack(t) && set_altstack(t, sp, size, flags & (SS_DISABLE | SS_AUTODISARM)))
		log_debug("sigreturn: bad alternate stack");
	frame->orig_rax = (u64)-1;
	return (long)frame->rax;
}

long sys_restart_syscall(void)
{
	struct task *t = task_current();
	long (*restart)(struct task * task) = t->restart;

	t->restart = NULL;
	return restart ? restart(t) : -EINTR;
}
