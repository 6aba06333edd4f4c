/* The ioctls of terminals (tty_ioctl(4)): settings, window size, queues, breaks. */
#include "tty_internal.h"

#include <nos/errno.h>
#include <nos/string.h>
#include <linux/capability.h>
#include <linux/eventpoll.h>
#include <linux/tty.h>
#include <asm/signal.h>

/* ---- settings ---- */

#define TERMIOS_V1_SIZE sizeof(struct termios) /* ktermios without the two speeds */
static_assert(offsetof(struct ktermios, c_ispeed) == TERMIOS_V1_SIZE, "TCGETS");
static_assert(sizeof(struct ktermios) == sizeof(struct termios2), "TCGETS2");

static void tty_get_termios(struct tty *t, struct ktermios *to)
{
	scoped_mutex(&t->line_lock);
	*to = t->line.termios;
}

static void tty_set_termios(struct tty *t, const struct ktermios *to)
{
	struct n_tty_events e = { .wake_readers = true, .wake_writers = true };
	struct ktermios old;

	mutex_lock(&t->line_lock);
	old = t->line.termios;
	n_tty_set_termios(&t->line, to);
	if (!n_tty_iflag(&t->line, IXON))
		n_tty_start(&t->line, &e);
	if (t->ops->set_termios)
		t->ops->set_termios(t, &old);
	t->input_blocked = false;
	if (t->ops->is_pty)
		t->ops->throttle(t, false);
	tty_flush_echo_locked(t);
	mutex_unlock(&t->line_lock);
	if (!t->ops->is_pty)
		work_queue(&t->input_work);
	tty_deliver(t, &e);
}

/* The numeric speed that a CBAUD code stands for; 0 for BOTHER and unknown codes. */
static u32 tty_speed_of_code(u32 code)
{
	static const u32 low[] = { 0,   50,   75,   110,  134,  150,  200,   300,
				   600, 1200, 1800, 2400, 4800, 9600, 19200, 38400 };
	static const u32 high[] = { 57600,   115200,  230400,  460800,  500000,
				    576000,  921600,  1000000, 1152000, 1500000,
				    2000000, 2500000, 3000000, 3500000, 4000000 };

	if (code < ARRAY_SIZE(low))
		return low[code];
	if (code >= B57600 && code - B57600 < ARRAY_SIZE(high))
		return high[code - B57600];
	return 0;
}

static void tty_fill_speeds(struct ktermios *s)
{
	u32 code = s->c_cflag & CBAUD;

	if (code != BOTHER)
		s->c_ospeed = tty_speed_of_code(code);
	code = (s->c_cflag >> IBSHIFT) & CBAUD;
	if (code == 0)
		s->c_ispeed = s->c_ospeed;
	else if (code != BOTHER)
		s->c_ispeed = tty_speed_of_code(code);
}

/* struct termio: the 16-bit forms of System V. */
static void tty_from_termio(struct ktermios *s, const struct termio *old)
{
	s->c_iflag = (s->c_iflag & 0xffff0000) | old->c_iflag;
	s->c_oflag = (s->c_oflag & 0xffff0000) | old->c_oflag;
	s->c_cflag = (s->c_cflag & 0xffff0000) | old->c_cflag;
	s->c_lflag = (s->c_lflag & 0xffff0000) | old->c_lflag;
	memcpy(s->c_cc, old->c_cc, NCC);
}

static void tty_to_termio(struct termio *old, const struct ktermios *s)
{
	memset(old, 0, sizeof(*old));
	old->c_iflag = (u16)s->c_iflag;
	old->c_oflag = (u16)s->c_oflag;
	old->c_cflag = (u16)s->c_cflag;
	old->c_lflag = (u16)s->c_lflag;
	old->c_line = s->c_line;
	memcpy(old->c_cc, s->c_cc, NCC);
}

enum termios_form { FORM_TERMIO, FORM_TERMIOS, FORM_TERMIOS2 };

static long tty_ioctl_get_termios(struct tty *t, enum termios_form form, struct user_arg arg)
{
	struct ktermios s;
	struct termio old;

	tty_get_termios(t, &s);
	if (form == FORM_TERMIO) {
		tty_to_termio(&old, &s);
		return user_arg_write(arg, &old, sizeof(old));
	}
	return user_arg_write(arg, &s, form == FORM_TERMIOS ? TERMIOS_V1_SIZE : sizeof(s));
}

static long tty_drain(struct tty *t)
{
	int err = wait_event_interruptible(&t->writable, !t->line.stopped || t->gone);

	if (!err && t->ops->drain)
		t->ops->drain(t);
	return err;
}

/* when: 0 now, 1 after output is sent, 2 and drop input too. */
static long tty_ioctl_set_termios(struct tty *t, enum termios_form form, u32 when,
				  struct user_arg arg)
{
	struct ktermios s;
	struct termio old;
	long err = tty_check_job(t, SIGTTOU);

	if (err)
		return err;
	tty_get_termios(t, &s);
	if (form == FORM_TERMIO) {
		if (user_arg_read(arg, &old, sizeof(old)))
			return -EFAULT;
		tty_from_termio(&s, &old);
	} else if (user_arg_read(arg, &s, form == FORM_TERMIOS ? TERMIOS_V1_SIZE : sizeof(s))) {
		return -EFAULT;
	}
	tty_fill_speeds(&s);
	if (when) {
		err = tty_drain(t);
		if (err)
			return err;
	}
	if (when == 2)
		tty_flush_input(t);
	tty_set_termios(t, &s);
	return 0;
}

static long tty_ioctl_termios(struct tty *t, u32 cmd, struct user_arg arg, bool *known)
{
	*known = true;
	switch (cmd) {
	case TCGETS:
		return tty_ioctl_get_termios(t, FORM_TERMIOS, arg);
	case TCGETS2:
		return tty_ioctl_get_termios(t, FORM_TERMIOS2, arg);
	case TCGETA:
		return tty_ioctl_get_termios(t, FORM_TERMIO, arg);
	case TCSETS:
	case TCSETSW:
	case TCSETSF:
		return tty_ioctl_set_termios(t, FORM_TERMIOS, cmd - TCSETS, arg);
	case TCSETS2:
	case TCSETSW2:
	case TCSETSF2:
		return tty_ioctl_set_termios(t, FORM_TERMIOS2, cmd - (u32)TCSETS2, arg);
	case TCSETA:
	case TCSETAW:
	case TCSETAF:
		return tty_ioctl_set_termios(t, FORM_TERMIO, cmd - TCSETA, arg);
	default:
		*known = false;
		return 0;
	}
}

/* ---- window size ---- */

int tty_window_set(struct tty *t, const struct winsize *w)
{
	bool same;

	mutex_lock(&t->line_lock);
	same = memcmp(&t->window, w, sizeof(*w)) == 0;
	t->window = *w;
	mutex_unlock(&t->line_lock);
	if (!same)
		tty_signal_foreground(t, SIGWINCH);
	return 0;
}

void tty_set_window_size(struct tty *t, u16 rows, u16 columns)
{
	struct winsize w = { .ws_row = rows, .ws_col = columns };

	tty_window_set(t, &w);
}

static long tty_ioctl_window(struct tty *t, u32 cmd, struct user_arg arg)
{
	struct winsize w;

	if (cmd == TIOCSWINSZ) {
		if (user_arg_read(arg, &w, sizeof(w)))
			return -EFAULT;
		return tty_window_set(t, &w);
	}
	mutex_lock(&t->line_lock);
	w = t->window;
	mutex_unlock(&t->line_lock);
	return user_arg_write(arg, &w, sizeof(w));
}

/* ---- queues and flow ---- */

static long tty_ioctl_count(struct tty *t, struct user_arg arg)
{
	s32 n;

	mutex_lock(&t->line_lock);
	n = (s32)n_tty_available(&t->line);
	mutex_unlock(&t->line_lock);
	return user_arg_write(arg, &n, sizeof(n));
}

static long tty_ioctl_flush(struct tty *t, u64 what)
{
	long err = tty_check_job(t, SIGTTOU);

	if (err)
		return err;
	if (what != TCIFLUSH && what != TCOFLUSH && what != TCIOFLUSH)
		return -EINVAL;
	if (what != TCOFLUSH)
		tty_flush_input(t);
	if (what != TCIFLUSH)
		tty_flush_output(t);
	return 0;
}

static long tty_ioctl_flow(struct tty *t, u64 what)
{
	long err = tty_check_job(t, SIGTTOU);
	u8 c;

	if (err)
		return err;
	switch (what) {
	case TCOOFF:
	case TCOON:
		tty_set_flow(t, what == TCOOFF);
		return 0;
	case TCIOFF:
	case TCION:
		mutex_lock(&t->line_lock);
		c = t->line.termios.c_cc[what == TCIOFF ? VSTOP : VSTART];
		if (c != N_TTY_DISABLED)
			(void)t->ops->write(t, &c, 1);
		mutex_unlock(&t->line_lock);
		return 0;
	default:
		return -EINVAL;
	}
}

/* Lines without a break condition (all of ours) only wait for their output. */
static long tty_ioctl_break(struct tty *t)
{
	long err = tty_check_job(t, SIGTTOU);

	return err ? err : tty_drain(t);
}

static long tty_ioctl_discipline(struct user_arg arg, bool set)
{
	s32 n = N_TTY;

	if (!set)
		return user_arg_write(arg, &n, sizeof(n));
	if (user_arg_read(arg, &n, sizeof(n)))
		return -EFAULT;
	return n == N_TTY ? 0 : -EINVAL;
}

static long tty_ioctl_exclusive(struct tty *t, u32 cmd, struct user_arg arg)
{
	s32 on;

	if (cmd == TIOCGEXCL) {
		on = t->exclusive;
		return user_arg_write(arg, &on, sizeof(on));
	}
	mutex_lock(&t->open_lock);
	t->exclusive = cmd == TIOCEXCL;
	mutex_unlock(&t->open_lock);
	return 0;
}

static long tty_ioctl_soft_carrier(struct tty *t, bool set, struct user_arg arg)
{
	s32 on = (t->line.termios.c_cflag & CLOCAL) != 0;

	if (!set)
		return user_arg_write(arg, &on, sizeof(on));
	if (user_arg_read(arg, &on, sizeof(on)))
		return -EFAULT;
	mutex_lock(&t->line_lock);
	t->line.termios.c_cflag &= ~(u32)CLOCAL;
	if (on)
		t->line.termios.c_cflag |= CLOCAL;
	mutex_unlock(&t->line_lock);
	return 0;
}

static long tty_ioctl_other(struct tty *t, u32 cmd, struct user_arg arg)
{
	u32 device = (u32)tty_device(t);
	u32 unsent;

	switch (cmd) {
	case TIOCINQ:
		return tty_ioctl_count(t, arg);
	case TIOCOUTQ:
		unsent = t->ops->unsent ? t->ops->unsent(t) : 0;
		return user_arg_write(arg, &unsent, sizeof(unsent));
	case TCFLSH:
		return tty_ioctl_flush(t, arg.value);
	case TCXONC:
		return tty_ioctl_flow(t, arg.value);
	case TCSBRK:
	case TCSBRKP:
		return tty_ioctl_break(t);
	case TIOCSBRK:
	case TIOCCBRK:
		return 0;
	case TIOCGETD:
	case TIOCSETD:
		return tty_ioctl_discipline(arg, cmd == TIOCSETD);
	case TIOCEXCL:
	case TIOCNXCL:
	case TIOCGEXCL:
		return tty_ioctl_exclusive(t, cmd, arg);
	case TIOCGSOFTCAR:
	case TIOCSSOFTCAR:
		return tty_ioctl_soft_carrier(t, cmd == TIOCSSOFTCAR, arg);
	case TIOCGDEV:
		return user_arg_write(arg, &device, sizeof(device));
	case TIOCVHANGUP:
		if (!capable(CAP_SYS_ADMIN))
			return -EPERM;
		tty_hang_up_now(t);
		return 0;
	case TIOCSTI:
		return -EIO; /* as Linux with dev.tty.legacy_tiocsti = 0 */
	default:
		return -ENOIOCTLCMD;
	}
}

long tty_ioctl(struct tty *t, bool is_master, u32 cmd, struct user_arg arg)
{
	bool known;
	long n = tty_ioctl_termios(t, cmd, arg, &known);

	if (!known)
		n = tty_ioctl_job(t, is_master, cmd, arg, &known);
	if (known)
		return n;
	if (cmd == TIOCGWINSZ || cmd == TIOCSWINSZ)
		return tty_ioctl_window(t, cmd, arg);
	return tty_ioctl_other(t, cmd, arg);
}
