/* Who gets SIGIO for a file: fcntl(2), F_SETOWN and F_SETSIG. */
#include "internal.h"

#include <nos/errno.h>
#include <nos/file.h>
#include <nos/rcu.h>

#include <linux/fcntl.h>

/* f->owner is a counted pid_entry; f->lock guards it and the type. */
static void set_owner(struct file *f, struct pid_entry *pid, s32 type)
{
	struct pid_entry *old;

	spin_lock(&f->lock);
	old = f->owner;
	f->owner = pid;
	f->owner_type = type;
	spin_unlock(&f->lock);
	if (old)
		pid_put(old);
}

void process_file_owner_put(struct file *f)
{
	set_owner(f, NULL, 0);
}

static int set_by_number(struct file *f, s32 nr, s32 type)
{
	struct pid_entry *pid = NULL;

	if (nr) {
		pid = pid_get(nr);
		if (!pid)
			return -ESRCH;
	}
	set_owner(f, pid, type);
	return 0;
}

long process_file_owner_control(struct file *f, u32 cmd, struct user_arg arg)
{
	struct f_owner_ex ex;
	s32 nr = (s32)arg.value, type;
	struct pid_entry *pid;

	switch (cmd) {
	case F_SETOWN:
		if (nr == INT32_MIN)
			return -EINVAL;
		return nr < 0 ? set_by_number(f, -nr, F_OWNER_PGRP) :
				set_by_number(f, nr, F_OWNER_PID);
	case F_SETOWN_EX:
		if (user_arg_read(arg, &ex, sizeof(ex)))
			return -EFAULT;
		if (ex.type != F_OWNER_TID && ex.type != F_OWNER_PID && ex.type != F_OWNER_PGRP)
			return -EINVAL;
		return ex.pid < 0 ? -EINVAL : set_by_number(f, ex.pid, ex.type);
	default:
		break;
	}
	spin_lock(&f->lock);
	pid = f->owner;
	nr = pid ? pid->nr : 0;
	type = f->owner_type;
	spin_unlock(&f->lock);
	if (cmd == F_GETOWN)
		return type == F_OWNER_PGRP ? -nr : nr;
	ex = (struct f_owner_ex){ .type = type, .pid = nr };
	return user_arg_write(arg, &ex, sizeof(ex));
}

/* kill(2)'s rule between who opened the file and who would get the signal. */
static bool may_signal(const struct cred *from, const struct task *to)
{
	bool may;

	rcu_read_lock();
	const struct cred *c = rcu_load(to->cred);

	may = from->euid == 0 || from->euid == c->suid || from->euid == c->uid ||
	      from->uid == c->suid || from->uid == c->uid;
	rcu_read_unlock();
	return may;
}

static void send_to_owner(struct file *f, int signo, const struct signal_info *sent)
{
	struct pid_entry *pid;
	struct task *t;
	s32 type;

	spin_lock(&f->lock);
	pid = f->owner;
	type = f->owner_type;
	if (pid)
		ref_get(&pid->refs);
	spin_unlock(&f->lock);
	if (!pid)
		return;
	if (type == F_OWNER_PGRP) {
		(void)signal_send_group(pid, signo, sent);
		pid_put(pid);
		return;
	}
	t = task_get(pid->nr);
	if (t) {
		if (may_signal(f->cred, t)) {
			if (type == F_OWNER_TID)
				(void)signal_send_task(t, signo, sent);
			else
				(void)signal_send_process(t->process, signo, sent);
		}
		task_put(t);
	}
	pid_put(pid);
}

/* band: the POLL_* code of siginfo (sigaction(2), SIGIO). */
void process_signal_file_owner(struct file *f, int band)
{
	int signo = f->owner_signal ? (int)f->owner_signal : SIGIO;
	struct signal_info info = { .signo = signo, .code = band };

	send_to_owner(f, signo, f->owner_signal ? &info : NULL);
}

void signal_send_file_owner(struct file *f, int signo)
{
	send_to_owner(f, signo, NULL);
}

/* ---- pivot_root: whoever stands at the old root moves to the new one ---- */

void fs_context_replace_all(const struct path *from, const struct path *to)
{
	struct process *p = NULL;
	s32 next = 1;

	while ((p = process_next(next))) {
		struct task *t = task_get(p->tgid);
		struct fs_context *fs = t ? task_get_fs(t) : NULL;

		next = p->tgid + 1;
		if (fs) {
			fs_context_replace(fs, from, to);
			fs_context_put(fs);
		}
		if (t)
			task_put(t);
		process_put(p);
	}
}
