/* prctl(2), arch_prctl(2), personality(2). */
#include "syscalls.h"

#include <nos/arch.h>
#include <nos/aspace.h>
#include <nos/process.h>
#include <nos/string.h>

#include <asm/prctl.h>
#include <linux/capability.h>
#include <linux/prctl.h>
#include <linux/securebits.h>

#define SLACK_DEFAULT_NS 50000

/* ---- capabilities ---- */

static long drop_bounding(u64 cap)
{
	struct cred *c;

	if (!capable(CAP_SETPCAP))
		return -EPERM;
	if (cap > CAP_LAST_CAP)
		return -EINVAL;
	c = cred_prepare();
	if (!c)
		return -ENOMEM;
	c->cap_bounding &= ~(1ull << cap);
	cred_commit(c);
	return 0;
}

static long change_ambient(u64 what, u64 cap)
{
	const struct cred *old = cred_current();
	struct cred *c;

	if (what == PR_CAP_AMBIENT_CLEAR_ALL ? cap != 0 : cap > CAP_LAST_CAP)
		return -EINVAL;
	if (what == PR_CAP_AMBIENT_IS_SET)
		return (old->cap_ambient >> cap) & 1;
	if (what != PR_CAP_AMBIENT_RAISE && what != PR_CAP_AMBIENT_LOWER &&
	    what != PR_CAP_AMBIENT_CLEAR_ALL)
		return -EINVAL;
	if (what == PR_CAP_AMBIENT_RAISE &&
	    (!((old->cap_permitted & old->cap_inheritable) >> cap & 1) ||
	     (old->securebits & issecure_mask(SECURE_NO_CAP_AMBIENT_RAISE))))
		return -EPERM;
	c = cred_prepare();
	if (!c)
		return -ENOMEM;
	if (what == PR_CAP_AMBIENT_CLEAR_ALL)
		c->cap_ambient = 0;
	else if (what == PR_CAP_AMBIENT_RAISE)
		c->cap_ambient |= 1ull << cap;
	else
		c->cap_ambient &= ~(1ull << cap);
	cred_commit(c);
	return 0;
}

/* capabilities(7), "The securebits flags": locks never open, locked bits never change. */
static long set_securebits(u64 bits)
{
	const struct cred *old = cred_current();
	struct cred *c;

	if (((old->securebits & SECURE_ALL_LOCKS) >> 1 & (old->securebits ^ bits)) ||
	    (old->securebits & SECURE_ALL_LOCKS & ~bits) ||
	    (bits & ~(u64)(SECURE_ALL_LOCKS | SECURE_ALL_BITS)) || !capable(CAP_SETPCAP))
		return -EPERM;
	c = cred_prepare();
	if (!c)
		return -ENOMEM;
	c->securebits = (u32)bits;
	cred_commit(c);
	return 0;
}

static long set_keepcaps(u64 on)
{
	struct cred *c;

	if (on > 1)
		return -EINVAL;
	if (cred_current()->securebits & issecure_mask(SECURE_KEEP_CAPS_LOCKED))
		return -EPERM;
	c = cred_prepare();
	if (!c)
		return -ENOMEM;
	if (on)
		c->securebits |= issecure_mask(SECURE_KEEP_CAPS);
	else
		c->securebits &= ~issecure_mask(SECURE_KEEP_CAPS);
	cred_commit(c);
	return 0;
}

static long set_no_new_privs(u64 on, u64 rest)
{
	struct cred *c;

	if (on != 1 || rest)
		return -EINVAL;
	c = cred_prepare();
	if (!c)
		return -ENOMEM;
	c->no_new_privs = true;
	cred_commit(c);
	return 0;
}

/* ---- the task ---- */

static long set_name(const void __user *from)
{
	char name[16] = { 0 };
	ssize_t n = string_from_user(name, from, sizeof(name) - 1);

	if (n < 0)
		return n;
	return task_set_comm(task_current(), name);
}

static long get_name(void __user *to)
{
	char name[16];

	task_get_comm(task_current(), name);
	return copy_to_user(to, name, sizeof(name)) ? -EFAULT : 0;
}

static long set_dumpable(u64 value)
{
	if (value > 1)
		return -EINVAL;
	WRITE_ONCE(current_thread->aspace->dumpable, (u32)value);
	return 0;
}

/* One of the addresses that /proc shows of a program's memory; only with the right to. */
static long set_mm(u64 option, u64 address)
{
	struct aspace *a = current_thread->aspace;
	u64 *field;

	if (!capable(CAP_SYS_RESOURCE))
		return -EPERM;
	switch (option) {
	case PR_SET_MM_START_CODE:
		field = &a->code_start;
		break;
	case PR_SET_MM_END_CODE:
		field = &a->code_end;
		break;
	case PR_SET_MM_START_DATA:
		field = &a->data_start;
		break;
	case PR_SET_MM_END_DATA:
		field = &a->data_end;
		break;
	case PR_SET_MM_START_STACK:
		field = &a->stack_start;
		break;
	case PR_SET_MM_ARG_START:
		field = &a->arg_start;
		break;
	case PR_SET_MM_ARG_END:
		field = &a->arg_end;
		break;
	case PR_SET_MM_ENV_START:
		field = &a->env_start;
		break;
	case PR_SET_MM_ENV_END:
		field = &a->env_end;
		break;
	default:
		return -EINVAL;
	}
	if (address >= USER_ADDRESS_END)
		return -EINVAL;
	WRITE_ONCE(*field, address);
	return 0;
}

static long get_signal(void __user *to)
{
	return put_user((int)task_current()->parent_death_signal, (int __user *)to);
}

static long get_subreaper(void __user *to)
{
	return put_user((int)process_current()->is_subreaper, (int __user *)to);
}

/* Options about the task itself; -ENOSYS: not one of these. */
static long task_option(int option, u64 arg2)
{
	struct task *t = task_current();

	switch (option) {
	case PR_SET_PDEATHSIG:
		if (arg2 > NR_SIGNALS)
			return -EINVAL;
		t->parent_death_signal = (u32)arg2;
		return 0;
	case PR_GET_PDEATHSIG:
		return get_signal((void __user *)arg2);
	case PR_SET_NAME:
		return set_name((const void __user *)arg2);
	case PR_GET_NAME:
		return get_name((void __user *)arg2);
	case PR_GET_DUMPABLE:
		return READ_ONCE(current_thread->aspace->dumpable);
	case PR_SET_DUMPABLE:
		return set_dumpable(arg2);
	case PR_SET_TIMERSLACK:
		t->timer_slack_ns = arg2 && arg2 <= S64_MAX ? arg2 : SLACK_DEFAULT_NS;
		return 0;
	case PR_GET_TIMERSLACK:
		return (long)t->timer_slack_ns;
	case PR_SET_CHILD_SUBREAPER:
		t->process->is_subreaper = arg2 != 0;
		return 0;
	case PR_GET_CHILD_SUBREAPER:
		return get_subreaper((void __user *)arg2);
	case PR_GET_TID_ADDRESS:
		return put_user(t->clear_tid, (u64 __user *)arg2);
	case PR_GET_TIMING:
		return PR_TIMING_STATISTICAL;
	case PR_SET_TIMING:
		return arg2 == PR_TIMING_STATISTICAL ? 0 : -EINVAL;
	case PR_GET_TSC:
		return put_user((int)PR_TSC_ENABLE, (int __user *)arg2);
	case PR_SET_TSC:
		return arg2 == PR_TSC_ENABLE ? 0 : -EINVAL;
	default:
		return -ENOSYS;
	}
}

long sys_prctl(int option, unsigned long arg2, unsigned long arg3, unsigned long arg4,
	       unsigned long arg5)
{
	const struct cred *c = cred_current();

	switch (option) {
	case PR_CAPBSET_READ:
		return arg2 > CAP_LAST_CAP ? -EINVAL : (long)((c->cap_bounding >> arg2) & 1);
	case PR_CAPBSET_DROP:
		return drop_bounding(arg2);
	case PR_CAP_AMBIENT:
		return arg4 | arg5 ? -EINVAL : change_ambient(arg2, arg3);
	case PR_GET_SECUREBITS:
		return c->securebits;
	case PR_SET_SECUREBITS:
		return set_securebits(arg2);
	case PR_GET_KEEPCAPS:
		return (c->securebits & issecure_mask(SECURE_KEEP_CAPS)) != 0;
	case PR_SET_KEEPCAPS:
		return set_keepcaps(arg2);
	case PR_SET_NO_NEW_PRIVS:
		return set_no_new_privs(arg2, arg3 | arg4 | arg5);
	case PR_GET_NO_NEW_PRIVS:
		return arg2 | arg3 | arg4 | arg5 ? -EINVAL : c->no_new_privs;
	case PR_SET_MM:
		return arg5 ? -EINVAL : set_mm(arg2, arg3);
	case PR_GET_THP_DISABLE:
		return arg2 | arg3 | arg4 | arg5 ? -EINVAL : current_thread->aspace->huge_disabled;
	case PR_SET_THP_DISABLE:
		if (arg3 | arg4 | arg5)
			return -EINVAL;
		WRITE_ONCE(current_thread->aspace->huge_disabled, arg2 != 0);
		return 0;
	case PR_SET_VMA:
		return -EINVAL;
	default: {
		long result = task_option(option, arg2);

		return result == -ENOSYS ? -EINVAL : result;
	}
	}
}

long sys_arch_prctl(int option, unsigned long arg)
{
	switch (option) {
	case ARCH_SET_FS:
		return arch_set_fs_base(arg);
	case ARCH_SET_GS:
		return arch_set_gs_base(arg);
	case ARCH_GET_FS:
		return put_user(arch_get_fs_base(), (u64 __user *)arg);
	case ARCH_GET_GS:
		return put_user(arch_get_gs_base(), (u64 __user *)arg);
	case ARCH_GET_CPUID: /* never faults */
		return 1;
	case ARCH_SET_CPUID:
		return -ENODEV;
	default:
		return -EINVAL;
	}
}

long sys_personality(unsigned int persona)
{
	struct task *t = task_current();
	u32 was = t->personality;

	if (persona != 0xffffffff)
		t->personality = persona;
	return was;
}
