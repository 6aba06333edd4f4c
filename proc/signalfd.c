/*
 * signalfd: signals of whoever reads it, as records (signalfd(2)).
 *
 * The file holds only the mask.  Which signals are pending is asked of the
 * current task at each read and poll; pollers wait on the queue that its signal
 * handlers share.
 */
#include <nos/errno.h>
#include <nos/file.h>
#include <nos/ipc.h>
#include <nos/pseudo.h>
#include <nos/slab.h>
#include <nos/string.h>
#include <nos/task.h>
#include <linux/eventpoll.h>
#include <linux/fcntl.h>
#include <linux/signalfd.h>
#include <asm/siginfo.h>

struct signalfd {
	signal_set_t mask;
};

#define NEVER_TAKEN (signal_bit(SIGKILL) | signal_bit(SIGSTOP))

static_assert(sizeof(struct signalfd_siginfo) == 128, "signalfd_siginfo");

/* Which members of the union count follows from the code and the signal (sigaction(2)). */
static void signalfd_fill(struct signalfd_siginfo *s, const struct signal_info *info)
{
	memset(s, 0, sizeof(*s));
	s->ssi_signo = (u32)info->signo;
	s->ssi_errno = info->err;
	s->ssi_code = info->code;
	if (info->code == SI_TIMER) {
		s->ssi_tid = (u32)info->pid;
		s->ssi_overrun = info->uid;
		s->ssi_ptr = info->value;
		s->ssi_int = (s32)info->value;
		return;
	}
	if (info->code > 0 && info->code != SI_KERNEL) {
		switch (info->signo) {
		case SIGSEGV:
		case SIGBUS:
		case SIGILL:
		case SIGFPE:
		case SIGTRAP:
			s->ssi_addr = info->address;
			s->ssi_addr_lsb = (u16)info->address_lsb;
			return;
		case SIGPOLL:
			s->ssi_band = (u32)info->band;
			s->ssi_fd = info->fd;
			return;
		case SIGCHLD:
			s->ssi_status = info->status;
			s->ssi_utime = (u64)info->utime;
			s->ssi_stime = (u64)info->stime;
			break;
		default:
			break;
		}
	} else if (info->code < 0) {
		s->ssi_ptr = info->value;
		s->ssi_int = (s32)info->value;
	}
	s->ssi_pid = (u32)info->pid;
	s->ssi_uid = info->uid;
}

/* The first record of a read waits if it may. */
static int signalfd_wait(const struct signalfd *s, bool nonblocking, struct signal_info *info)
{
	int signo = signal_dequeue(s->mask, info);

	if (signo)
		return signo;
	if (nonblocking)
		return -EAGAIN;
	int err = wait_event_interruptible(signal_wait_queue(),
					   (signo = signal_dequeue(s->mask, info)) != 0);

	return err ? err : signo;
}

static ssize_t signalfd_read(struct file *f, struct iobuf *to, u64 *pos)
{
	bool nonblocking = (f->flags & O_NONBLOCK) || (to->flags & IOBUF_NOWAIT);
	struct signalfd *s = f->private;
	struct signalfd_siginfo record;
	struct signal_info info;
	ssize_t total = 0;

	if (to->remaining < sizeof(record))
		return -EINVAL;
	while (to->remaining >= sizeof(record)) {
		int signo = signalfd_wait(s, nonblocking || total, &info);

		if (signo < 0)
			return total ? total : signo;
		signalfd_fill(&record, &info);
		if (iobuf_put(to, &record, sizeof(record)) != sizeof(record))
			return total ? total : -EFAULT;
		total += (ssize_t)sizeof(record);
	}
	return total;
}

static u32 signalfd_poll(struct file *f, struct poll_table *t)
{
	struct signalfd *s = f->private;

	poll_wait(t, signal_wait_queue());
	return signal_is_pending_in(READ_ONCE(s->mask)) ? EPOLLIN : 0;
}

static void signalfd_release(struct file *f)
{
	kfree(f->private);
}

static void signalfd_show(struct file *f, struct text_out *out)
{
	struct signalfd *s = f->private;

	text_printf(out, "sigmask:\t%016lx\n", s->mask);
}

static const struct file_ops signalfd_ops = {
	.seek = file_seek_nowhere,
	.read = signalfd_read,
	.poll = signalfd_poll,
	.release = signalfd_release,
	.show_fdinfo = signalfd_show,
	.flags = FILE_OPS_STREAM | FILE_OPS_NOWAIT,
};

struct file *signalfd_create(u64 mask, u32 flags)
{
	struct signalfd *s = kmalloc(sizeof(*s), ALLOC_USER);
	struct file *f;

	if (!s)
		return err_ptr(-ENOMEM);
	s->mask = mask & ~NEVER_TAKEN;
	f = file_create_anonymous("[signalfd]", &signalfd_ops, s, O_RDWR | (flags & O_NONBLOCK));
	if (is_err(f))
		kfree(s);
	return f;
}

int signalfd_set_mask(struct file *f, u64 mask)
{
	struct signalfd *s = f->private;

	if (f->ops != &signalfd_ops)
		return -EINVAL;
	WRITE_ONCE(s->mask, mask & ~NEVER_TAKEN);
	wake_all(signal_wait_queue());
	return 0;
}
