/*
 * The line discipline's input: from the bytes that arrive to the bytes that
 * read(2) returns, as termios(3) and POSIX.1-2017 chapter 11 say.
 *
 * Concepts.  Received bytes are mapped (ISTRIP, ICRNL …), looked at (signals,
 * flow control, editing), echoed and put into a ring.  In canonical mode a byte
 * can be read once its line is complete; the ends of lines are marked in a
 * bitmap beside the ring, and an end of file is a marked byte of value 0 that
 * no reader sees.
 *
 * Invariants.
 *   (1) tail <= canon_head <= head <= tail + N_TTY_SIZE.
 *   (2) canonical: every marked byte lies in [tail, canon_head), and the byte
 *       before canon_head is marked.
 *   (3) canonical: bytes of an incomplete line never take the last place of the
 *       ring, so that a newline always fits; what does not fit is dropped with
 *       a bell (IMAXBEL), as nobody could read it.
 *   (4) input stops being taken only while a reader has something to read, so a
 *       sender that waits for room is woken in the end.
 *
 * Locking.  None here: the terminal's line lock covers all of struct n_tty.
 */
#include "n_tty.h"

#include <nos/string.h>
#include <asm/signal.h>

const struct ktermios n_tty_default_termios = {
	.c_iflag = ICRNL | IXON,
	.c_oflag = OPOST | ONLCR,
	.c_cflag = B38400 | CS8 | CREAD | HUPCL,
	.c_lflag = ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE | IEXTEN,
	.c_cc = {
		[VINTR] = 3, [VQUIT] = 28, [VERASE] = 127, [VKILL] = 21, [VEOF] = 4, [VMIN] = 1,
		[VSTART] = 17, [VSTOP] = 19, [VSUSP] = 26, [VREPRINT] = 18, [VDISCARD] = 15,
		[VWERASE] = 23, [VLNEXT] = 22,
	},
	.c_ispeed = 38400,
	.c_ospeed = 38400,
};

#define INPUT_CHANGES (ISTRIP | IUCLC | INLCR | IGNCR | ICRNL | IXON | PARMRK)

static void n_tty_update_plain(struct n_tty *n)
{
	n->plain = !n_tty_iflag(n, INPUT_CHANGES) && !n_tty_lflag(n, ICANON | ISIG | ECHO);
}

void n_tty_init(struct n_tty *n)
{
	memset(n, 0, sizeof(*n));
	n->termios = n_tty_default_termios;
	n_tty_update_plain(n);
}

static void n_tty_mark_end(struct n_tty *n, u32 position)
{
	bitmap_set(n->line_end, position % N_TTY_SIZE);
}

static bool n_tty_is_end(const struct n_tty *n, u32 position)
{
	return bitmap_test(n->line_end, position % N_TTY_SIZE);
}

void n_tty_set_termios(struct n_tty *n, const struct ktermios *to)
{
	bool switched = (n->termios.c_lflag ^ to->c_lflag) & ICANON;

	n->termios = *to;
	n_tty_update_plain(n);
	if (!switched)
		return;
	/* What was typed in raw mode counts as one line; of a line's marks raw mode knows nothing. */
	memset(n->line_end, 0, sizeof(n->line_end));
	n->erasing = false;
	n->literal_next = false;
	if (n_tty_lflag(n, ICANON) && n->head != n->tail) {
		n->canon_head = n->head;
		n_tty_mark_end(n, n->head - 1);
	} else {
		n->canon_head = n->tail;
	}
}

void n_tty_flush_input(struct n_tty *n)
{
	n->tail = n->head;
	n->canon_head = n->head;
	n->literal_next = false;
	n->erasing = false;
	memset(n->line_end, 0, sizeof(n->line_end));
}

static u32 n_tty_room(const struct n_tty *n)
{
	return N_TTY_SIZE - (n->head - n->tail);
}

/* Whether input must wait for a reader. */
static bool n_tty_is_full(const struct n_tty *n)
{
	if (n_tty_lflag(n, ICANON))
		return n_tty_room(n) <= 3 && n->canon_head != n->tail;
	return n_tty_room(n) < 3; /* PARMRK makes three bytes of one */
}

static void n_tty_put(struct n_tty *n, u8 c)
{
	if (n_tty_lflag(n, ICANON) && n_tty_room(n) <= 1) {
		if (n_tty_iflag(n, IMAXBEL))
			n_tty_echo_raw(n, '\a');
		return;
	}
	n->data[n->head % N_TTY_SIZE] = c;
	n->head++;
}

/* Ends the edited line with c, which may be the mark of an EOF. */
static void n_tty_put_end(struct n_tty *n, u8 c, struct n_tty_events *e)
{
	n->data[n->head % N_TTY_SIZE] = c;
	n_tty_mark_end(n, n->head);
	n->head++;
	n->canon_head = n->head;
	e->wake_readers = true;
}

void n_tty_start(struct n_tty *n, struct n_tty_events *e)
{
	if (!n->stopped)
		return;
	n->stopped = false;
	e->start = true;
	e->stop = false;
	e->wake_writers = true;
}

void n_tty_stop(struct n_tty *n, struct n_tty_events *e)
{
	if (n->stopped)
		return;
	n->stopped = true;
	e->stop = true;
	e->start = false;
}

/* A byte that is only itself: echoed and put. */
static void n_tty_input_ordinary(struct n_tty *n, u8 c, struct n_tty_events *e)
{
	if (n_tty_lflag(n, ECHO)) {
		n_tty_erase_end(n);
		if (c == '\n')
			n_tty_echo_byte(n, c);
		else {
			if (n->canon_head == n->head)
				n->canon_column = n->column;
			n_tty_echo_char(n, c);
		}
	}
	if (c == 0xff && n_tty_iflag(n, PARMRK))
		n_tty_put(n, 0xff);
	n_tty_put(n, c);
	if (!n_tty_lflag(n, ICANON))
		e->wake_readers = true;
}

static void n_tty_input_signal(struct n_tty *n, u8 c, u32 signo, struct n_tty_events *e)
{
	if (!n_tty_lflag(n, NOFLSH)) {
		n_tty_flush_input(n);
		n->echo_tail = n->echo_head;
		e->flush_output = true;
	}
	e->signals |= 1u << signo;
	if (n_tty_iflag(n, IXON))
		n_tty_start(n, e);
	if (n_tty_lflag(n, ECHO))
		n_tty_echo_char(n, c);
}

/* Signals and flow control: true if c was one of these. */
static bool n_tty_input_control(struct n_tty *n, u8 c, struct n_tty_events *e)
{
	if (n_tty_iflag(n, IXON)) {
		if (n_tty_is(n, VSTART, c)) {
			n_tty_start(n, e);
			return true;
		}
		if (n_tty_is(n, VSTOP, c)) {
			n_tty_stop(n, e);
			return true;
		}
	}
	if (!n_tty_lflag(n, ISIG))
		return false;
	if (n_tty_is(n, VINTR, c))
		n_tty_input_signal(n, c, SIGINT, e);
	else if (n_tty_is(n, VQUIT, c))
		n_tty_input_signal(n, c, SIGQUIT, e);
	else if (n_tty_is(n, VSUSP, c))
		n_tty_input_signal(n, c, SIGTSTP, e);
	else
		return false;
	return true;
}

/* Editing and ends of lines in canonical mode: true if c was one of these. */
static bool n_tty_input_canonical(struct n_tty *n, u8 c, struct n_tty_events *e)
{
	bool extended = n_tty_lflag(n, IEXTEN);

	if (n_tty_is(n, VERASE, c) || n_tty_is(n, VKILL, c) ||
	    (extended && n_tty_is(n, VWERASE, c))) {
		n_tty_erase(n, c);
		return true;
	}
	if (extended && n_tty_is(n, VLNEXT, c)) {
		n->literal_next = true;
		if (n_tty_lflag(n, ECHO)) {
			n_tty_erase_end(n);
			if (n_tty_lflag(n, ECHOCTL)) {
				n_tty_echo_raw(n, '^');
				n_tty_echo_raw(n, '\b');
			}
		}
		return true;
	}
	if (extended && n_tty_lflag(n, ECHO) && n_tty_is(n, VREPRINT, c)) {
		n_tty_erase_end(n);
		n_tty_echo_char(n, c);
		n_tty_reprint(n);
		return true;
	}
	if (c == '\n') {
		if (n_tty_lflag(n, ECHO | ECHONL)) {
			n_tty_erase_end(n);
			n_tty_echo_byte(n, c);
		}
		n_tty_put_end(n, c, e);
		return true;
	}
	if (n_tty_is(n, VEOF, c)) {
		n_tty_put_end(n, N_TTY_DISABLED, e);
		return true;
	}
	if (n_tty_is(n, VEOL, c) || (extended && n_tty_is(n, VEOL2, c))) {
		if (n_tty_lflag(n, ECHO)) {
			n_tty_erase_end(n);
			n_tty_echo_char(n, c);
		}
		n_tty_put_end(n, c, e);
		return true;
	}
	return false;
}

static void n_tty_input_byte(struct n_tty *n, u8 c, struct n_tty_events *e)
{
	if (n_tty_iflag(n, ISTRIP))
		c &= 0x7f;
	if (n_tty_iflag(n, IUCLC) && n_tty_lflag(n, IEXTEN) && c >= 'A' && c <= 'Z')
		c += 'a' - 'A';
	if (n->literal_next) {
		n->literal_next = false;
		n_tty_input_ordinary(n, c, e);
		return;
	}
	if (n_tty_input_control(n, c, e))
		return;
	if (n->stopped && n_tty_iflag(n, IXON) && n_tty_iflag(n, IXANY))
		n_tty_start(n, e);
	if (c == '\r') {
		if (n_tty_iflag(n, IGNCR))
			return;
		if (n_tty_iflag(n, ICRNL))
			c = '\n';
	} else if (c == '\n' && n_tty_iflag(n, INLCR)) {
		c = '\r';
	}
	if (n_tty_lflag(n, ICANON) && n_tty_input_canonical(n, c, e))
		return;
	n_tty_input_ordinary(n, c, e);
}

size_t n_tty_input(struct n_tty *n, const u8 *data, size_t len, struct n_tty_events *e)
{
	size_t taken = 0;

	if (n->plain) {
		while (taken < len && n_tty_room(n)) {
			u32 at = n->head % N_TTY_SIZE;
			u32 part = min(n_tty_room(n), N_TTY_SIZE - at);

			part = (u32)min((size_t)part, len - taken);
			memcpy(n->data + at, data + taken, part);
			n->head += part;
			taken += part;
		}
		e->wake_readers |= taken > 0;
		return taken;
	}
	while (taken < len && !n_tty_is_full(n))
		n_tty_input_byte(n, data[taken++], e);
	return taken;
}

bool n_tty_is_readable(const struct n_tty *n, u32 minimum)
{
	if (n_tty_lflag(n, ICANON))
		return READ_ONCE(n->canon_head) != READ_ONCE(n->tail);
	return READ_ONCE(n->head) - READ_ONCE(n->tail) >= max(minimum, 1u);
}

u32 n_tty_available(const struct n_tty *n)
{
	u32 marks = 0;

	if (!n_tty_lflag(n, ICANON))
		return n->head - n->tail;
	for (u32 p = n->tail; p != n->canon_head; p++)
		if (n_tty_is_end(n, p) && n_tty_at(n, p) == N_TTY_DISABLED)
			marks++;
	return n->canon_head - n->tail - marks;
}

static size_t n_tty_take_raw(struct n_tty *n, u8 *to, size_t max)
{
	u32 count = (u32)min((size_t)(n->head - n->tail), max);
	u32 at = n->tail % N_TTY_SIZE;
	u32 first = min(count, N_TTY_SIZE - at);

	memcpy(to, n->data + at, first);
	memcpy(to + first, n->data, count - first);
	n->tail += count;
	n->canon_head = n->tail;
	return count;
}

size_t n_tty_take(struct n_tty *n, u8 *to, size_t max, bool last, bool *end)
{
	size_t count = 0;

	*end = false;
	if (!n_tty_lflag(n, ICANON))
		return n_tty_take_raw(n, to, max);
	while (n->tail != n->canon_head) {
		bool marked = n_tty_is_end(n, n->tail);
		u8 c = n_tty_at(n, n->tail);
		bool is_eof = marked && c == N_TTY_DISABLED;

		/* An EOF right behind a full buffer ends this read, not the next one. */
		if (count == max && !(last && is_eof))
			break;
		n->tail++;
		if (!is_eof)
			to[count++] = c;
		if (marked) {
			bitmap_clear(n->line_end, (n->tail - 1) % N_TTY_SIZE);
			*end = true;
			break;
		}
	}
	return count;
}
