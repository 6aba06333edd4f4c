/*
 * The line discipline: what lies between the bytes of a line and its readers
 * and writers (termios(3)).  State without locks or sleeping; tty.c holds the
 * terminal's line lock around every call.
 */
#pragma once

#include <nos/types.h>
#include <asm/termbits.h>

#define N_TTY_SIZE 4096u /* input ring; a line is at most one byte less */
#define N_TTY_ECHO_SIZE 4096u

/* What input asked for, to be done once the line lock is free. */
struct n_tty_events {
	u32 signals; /* bits: 1 << signo, to the foreground group */
	bool wake_readers;
	bool wake_writers;
	bool flush_output; /* a signal character drops what was not sent */
	bool stop, start; /* flow control changed, for packet mode */
};

struct n_tty {
	struct ktermios termios;
	/* input: free-running positions in `data` */
	u32 head, tail;
	u32 canon_head; /* end of the last complete line */
	u32 canon_column; /* output column where the edited line began */
	bool literal_next; /* after LNEXT */
	bool erasing; /* between \ and / of ECHOPRT */
	bool plain; /* no input flag changes or echoes anything */
	/* output */
	u32 column;
	bool stopped; /* by STOP or TCOOFF */
	u32 echo_head, echo_tail;
	u64 line_end[N_TTY_SIZE / 64];
	u8 data[N_TTY_SIZE];
	u8 echo[N_TTY_ECHO_SIZE];
};

#define N_TTY_DISABLED 0 /* _POSIX_VDISABLE; in data with line_end: the mark of an EOF */

extern const struct ktermios n_tty_default_termios;
void n_tty_init(struct n_tty *n);
/* Takes new settings; what was typed so far stays readable. */
void n_tty_set_termios(struct n_tty *n, const struct ktermios *to);

/* Takes received bytes: how many; fewer when the ring is full. */
size_t n_tty_input(struct n_tty *n, const u8 *data, size_t len, struct n_tty_events *e);
void n_tty_flush_input(struct n_tty *n);
/* Enough for a read or, with `minimum` > 1, for a poll to be ready. */
bool n_tty_is_readable(const struct n_tty *n, u32 minimum);
u32 n_tty_available(const struct n_tty *n); /* FIONREAD */
/* Takes up to max bytes.  Canonical: not past the end of a line; *end says that it came (or an EOF);
 * `last` = the caller's buffer ends here. */
size_t n_tty_take(struct n_tty *n, u8 *to, size_t max, bool last, bool *end);

/* Output processing: takes from `data` what fits `room` bytes in `out`; sets *used to the bytes put. */
size_t n_tty_output(struct n_tty *n, const u8 *data, size_t len, u8 *out, size_t room,
		    size_t *used);
/* The processed form of one byte, at most N_TTY_EXPANSION bytes. */
#define N_TTY_EXPANSION 8u
size_t n_tty_output_byte(struct n_tty *n, u8 c, u8 *out);
bool n_tty_processes_output(const struct n_tty *n);
void n_tty_echo_byte(struct n_tty *n, u8 c); /* through output processing */
void n_tty_echo_raw(struct n_tty *n, u8 c);
void n_tty_echo_char(struct n_tty *n, u8 c); /* control characters as ^X */
void n_tty_start(struct n_tty *n, struct n_tty_events *e);
void n_tty_stop(struct n_tty *n, struct n_tty_events *e);

/* Editing (n_tty_edit.c): ERASE, WERASE or KILL was typed. */
void n_tty_erase(struct n_tty *n, u8 c);
void n_tty_erase_end(struct n_tty *n);
void n_tty_reprint(struct n_tty *n);

static inline bool n_tty_is(const struct n_tty *n, unsigned index, u8 c)
{
	return c != N_TTY_DISABLED && c == n->termios.c_cc[index];
}
static inline bool n_tty_iflag(const struct n_tty *n, u32 flag)
{
	return (n->termios.c_iflag & flag) != 0;
}
static inline bool n_tty_lflag(const struct n_tty *n, u32 flag)
{
	return (n->termios.c_lflag & flag) != 0;
}
static inline bool n_tty_oflag(const struct n_tty *n, u32 flag)
{
	return (n->termios.c_oflag & flag) != 0;
}
static inline u8 n_tty_at(const struct n_tty *n, u32 position)
{
	return n->data[position % N_TTY_SIZE];
}
static inline bool n_tty_is_control(u8 c)
{
	return c < 0x20 || c == 0x7f;
}
/* A byte inside a UTF-8 sequence takes no column. */
static inline bool n_tty_is_continuation(const struct n_tty *n, u8 c)
{
	return n_tty_iflag(n, IUTF8) && (c & 0xc0) == 0x80;
}
