/* The line discipline's editing of a line that is not complete: ERASE, WERASE, KILL, REPRINT. */
#include "n_tty.h"

enum erase_kind { ERASE_CHARACTER, ERASE_WORD, ERASE_LINE };

/* Ends what ECHOPRT shows between \ and /. */
void n_tty_erase_end(struct n_tty *n)
{
	if (n->erasing) {
		n_tty_echo_raw(n, '/');
		n->erasing = false;
	}
}

void n_tty_reprint(struct n_tty *n)
{
	n_tty_echo_byte(n, '\n');
	n->canon_column = n->column;
	for (u32 p = n->canon_head; p != n->head; p++)
		n_tty_echo_char(n, n_tty_at(n, p));
}

/* Columns that a byte of the line took when it was echoed. */
static u32 n_tty_width(const struct n_tty *n, u8 c)
{
	if (n_tty_is_control(c))
		return n_tty_lflag(n, ECHOCTL) ? 2 : 0;
	return n_tty_is_continuation(n, c) ? 0 : 1;
}

/* Takes back a tab that stood at head: as many columns as it moved. */
static void n_tty_unecho_tab(struct n_tty *n)
{
	u32 columns = 0, p = n->head;
	bool after_tab = false;

	while (p != n->canon_head && !after_tab) {
		u8 c = n_tty_at(n, --p);

		if (c == '\t')
			after_tab = true;
		else
			columns += n_tty_width(n, c);
	}
	if (!after_tab)
		columns += n->canon_column;
	for (u32 i = 8 - columns % 8; i; i--)
		n_tty_echo_byte(n, '\b');
}

static void n_tty_unecho(struct n_tty *n, u8 c)
{
	u32 columns;

	if (c == '\t') {
		n_tty_unecho_tab(n);
		return;
	}
	columns = n_tty_is_control(c) ? n_tty_width(n, c) : 1;
	for (; columns; columns--) {
		n_tty_echo_byte(n, '\b');
		n_tty_echo_byte(n, ' ');
		n_tty_echo_byte(n, '\b');
	}
}

static bool n_tty_is_word(u8 c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       c == '_' || c >= 0x80;
}

/* Start of the last character, which may be several bytes. */
static u32 n_tty_last_character(const struct n_tty *n)
{
	u32 p = n->head - 1;

	while (p != n->canon_head && n_tty_is_continuation(n, n_tty_at(n, p)))
		p--;
	return p;
}

/* Erases one character after another, each shown. */
static void n_tty_erase_shown(struct n_tty *n, u8 typed, enum erase_kind kind)
{
	bool in_word = false;

	while (n->head != n->canon_head) {
		u32 start = n_tty_last_character(n);
		u8 c = n_tty_at(n, start);

		if (kind == ERASE_WORD) {
			if (n_tty_is_word(c))
				in_word = true;
			else if (in_word)
				break;
		}
		if (n_tty_lflag(n, ECHO) && n_tty_lflag(n, ECHOPRT)) {
			if (!n->erasing) {
				n_tty_echo_raw(n, '\\');
				n->erasing = true;
			}
			for (u32 p = start; p != n->head; p++)
				n_tty_echo_char(n, n_tty_at(n, p));
			n->head = start;
		} else if (n_tty_lflag(n, ECHO)) {
			n->head = start;
			if (kind == ERASE_CHARACTER && !n_tty_lflag(n, ECHOE))
				n_tty_echo_char(n, typed);
			else
				n_tty_unecho(n, c);
		} else {
			n->head = start;
		}
		if (kind == ERASE_CHARACTER)
			break;
	}
}

void n_tty_erase(struct n_tty *n, u8 c)
{
	enum erase_kind kind = n_tty_is(n, VERASE, c)  ? ERASE_CHARACTER :
			       n_tty_is(n, VWERASE, c) ? ERASE_WORD :
							 ERASE_LINE;

	if (n->head == n->canon_head)
		return;
	if (kind == ERASE_LINE && (!n_tty_lflag(n, ECHO) || !n_tty_lflag(n, ECHOK) ||
				   !n_tty_lflag(n, ECHOKE) || !n_tty_lflag(n, ECHOE))) {
		n->head = n->canon_head;
		if (!n_tty_lflag(n, ECHO))
			return;
		n_tty_erase_end(n);
		n_tty_echo_char(n, c);
		if (n_tty_lflag(n, ECHOK))
			n_tty_echo_byte(n, '\n');
		return;
	}
	n_tty_erase_shown(n, c, kind);
	if (n->head == n->canon_head && n_tty_lflag(n, ECHO))
		n_tty_erase_end(n);
}
