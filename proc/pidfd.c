/* pidfds: a process as a file descriptor (pidfd_open(2)); readable once it is a zombie or gone. */
#include "internal.h"

#include <nos/pseudo.h>

#include <linux/eventpoll.h>

static void pidfd_release(struct file *f)
{
	pid_put(f->private);
}

static bool has_ended(struct pid_entry *e)
{
	scoped_rcu();
	struct process *p = rcu_load(e->process);

	return !p || (READ_ONCE(p->state) & PROCESS_ZOMBIE);
}

static u32 pidfd_poll(struct file *f, struct poll_table *t)
{
	struct pid_entry *e = f->private;

	poll_wait(t, &e->exit_queue);
	return has_ended(e) ? EPOLLIN | EPOLLRDNORM : 0;
}

static void pidfd_show_fdinfo(struct file *f, struct text_out *out)
{
	struct pid_entry *e = f->private;
	s32 nr = READ_ONCE(e->process) ? e->nr : -1;

	text_printf(out, "Pid:\t%d\nNSpid:\t%d\n", nr, nr);
}

static const struct file_ops pidfd_ops = {
	.release = pidfd_release,
	.poll = pidfd_poll,
	.show_fdinfo = pidfd_show_fdinfo,
	.flags = FILE_OPS_STREAM,
};

struct file *pidfd_create(struct pid_entry *pid, u32 flags)
{
	struct file *f;

	ref_get(&pid->refs);
	f = file_create_anonymous("anon_inode:[pidfd]", &pidfd_ops, pid, flags);
	if (is_err(f))
		pid_put(pid);
	return f;
}

struct pid_entry *pidfd_get(struct file *f)
{
	struct pid_entry *e = f->private;

	if (f->ops != &pidfd_ops)
		return NULL;
	ref_get(&e->refs);
	return e;
}
