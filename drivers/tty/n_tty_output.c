/* The line discipline's output: OPOST processing, and the echo, which goes through it too. */
#include "n_tty.h"

#include <nos/string.h>

bool n_tty_processes_output(const struct n_tty *n)
{
	return n_tty_oflag(n, OPOST);
}

size_t n_tty_output_byte(struct n_tty *n, u8 c, u8 *out)
{
	u32 spaces;

	switch (c) {
	case '\n':
		if (n_tty_oflag(n, ONLRET))
			n->column = 0;
		if (n_tty_oflag(n, ONLCR)) {
			n->column = 0;
			out[0] = '\r';
			out[1] = '\n';
			return 2;
		}
		break;
	case '\r':
		if (n_tty_oflag(n, ONOCR) && n->column == 0)
			return 0;
		if (n_tty_oflag(n, OCRNL)) {
			c = '\n';
			if (n_tty_oflag(n, ONLRET))
				n->column = 0;
			break;
		}
		n->column = 0;
		break;
	case '\t':
		spaces = 8 - n->column % 8;
		n->column += spaces;
		if ((n->termios.c_oflag & TABDLY) == TAB3) {
			memset(out, ' ', spaces);
			return spaces;
		}
		break;
	case '\b':
		if (n->column > 0)
			n->column--;
		break;
	default:
		if (n_tty_is_control(c))
			break;
		if (n_tty_oflag(n, OLCUC) && c >= 'a' && c <= 'z')
			c -= 'a' - 'A';
		if (!n_tty_is_continuation(n, c))
			n->column++;
		break;
	}
	out[0] = c;
	return 1;
}

size_t n_tty_output(struct n_tty *n, const u8 *data, size_t len, u8 *out, size_t room, size_t *used)
{
	size_t taken = 0, put = 0;

	while (taken < len && room - put >= N_TTY_EXPANSION)
		put += n_tty_output_byte(n, data[taken++], out + put);
	*used = put;
	return taken;
}

/* Echo that nobody fetches is dropped, oldest first kept: the ring never overflows. */
void n_tty_echo_raw(struct n_tty *n, u8 c)
{
	if (n->echo_head - n->echo_tail >= N_TTY_ECHO_SIZE)
		return;
	n->echo[n->echo_head % N_TTY_ECHO_SIZE] = c;
	n->echo_head++;
}

void n_tty_echo_byte(struct n_tty *n, u8 c)
{
	u8 out[N_TTY_EXPANSION];
	size_t len = 1;

	if (n_tty_processes_output(n))
		len = n_tty_output_byte(n, c, out);
	else
		out[0] = c;
	for (size_t i = 0; i < len; i++)
		n_tty_echo_raw(n, out[i]);
}

void n_tty_echo_char(struct n_tty *n, u8 c)
{
	if (n_tty_lflag(n, ECHOCTL) && n_tty_is_control(c) && c != '\t') {
		n_tty_echo_byte(n, '^');
		n_tty_echo_byte(n, c ^ 0x40);
		return;
	}
	n_tty_echo_byte(n, c);
}
