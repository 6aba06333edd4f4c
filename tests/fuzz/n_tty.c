/*
 * The line discipline: received bytes, changes of settings, reads and flushes in any order.  Its
 * invariants hold after each step, and what is read is no more than what was typed.
 */
/* needs: drivers/tty/n_tty.c drivers/tty/n_tty_edit.c drivers/tty/n_tty_output.c */
#include "fuzz.h"

#include "../../drivers/tty/n_tty.h"

static struct n_tty *line;

static bool is_end(u32 position)
{
	return bitmap_test(line->line_end, position % N_TTY_SIZE);
}

/* The numbered invariants of n_tty.c. */
static void check(void)
{
	u32 length = line->head - line->tail, complete = line->canon_head - line->tail, marks = 0;

	VERIFY(length <= N_TTY_SIZE);
	VERIFY(complete <= length);
	VERIFY(line->echo_head - line->echo_tail <= N_TTY_ECHO_SIZE);
	if (!n_tty_lflag(line, ICANON))
		return;
	for (u32 p = line->tail; p != line->canon_head; p++)
		marks += is_end(p);
	VERIFY(marks == bitmap_count(line->line_end, N_TTY_SIZE));
	VERIFY(!complete || is_end(line->canon_head - 1));
	VERIFY(n_tty_available(line) <= complete);
	/* (4): input is refused only while there is something to read. */
	if (length + 4 < N_TTY_SIZE)
		return;
	struct n_tty_events e = { 0 };
	struct n_tty before = *line;
	size_t taken = n_tty_input(line, (const u8 *)"x", 1, &e);

	VERIFY(taken == 1 || n_tty_is_readable(&before, 1));
	*line = before;
}

static void change_settings(struct fuzz_input *in)
{
	struct ktermios t = line->termios;
	u8 what = fuzz_u8(in);

	if (what & 1)
		t.c_lflag = fuzz_u16(in) | (t.c_lflag & ~0xffffu);
	if (what & 2)
		t.c_iflag = fuzz_u16(in);
	if (what & 4)
		t.c_oflag = fuzz_u16(in);
	if (what & 8)
		t.c_cc[fuzz_u8(in) % NCCS] = fuzz_u8(in);
	if (what & 16)
		t.c_lflag ^= ICANON;
	n_tty_set_termios(line, &t);
}

static void receive(struct fuzz_input *in, u32 count)
{
	u8 *bytes = malloc(count);
	struct n_tty_events e = { 0 };
	u8 same = fuzz_u8(in);

	if (count > 64)
		memset(bytes, same, count);
	fuzz_bytes(in, bytes, min(count, 64u));
	VERIFY(n_tty_input(line, bytes, count, &e) <= count);
	VERIFY(!(e.start && e.stop));
	free(bytes);
}

static void take(u32 max, bool last)
{
	u8 *to = malloc(max);
	bool end, canonical = n_tty_lflag(line, ICANON), readable = n_tty_is_readable(line, 1);
	u32 available = n_tty_available(line);
	size_t n = n_tty_take(line, to, max, last, &end);

	VERIFY(n <= max && n <= available);
	VERIFY(!end || canonical);
	/* A reader that was woken for something gets it, or its end of file. */
	VERIFY(!readable || !max || n || end);
	free(to);
}

static void output(struct fuzz_input *in, u32 count)
{
	u8 bytes[64], *out = malloc(count);
	size_t used;

	fuzz_bytes(in, bytes, sizeof(bytes));
	size_t taken = n_tty_output(line, bytes, sizeof(bytes), out, count, &used);

	VERIFY(taken <= sizeof(bytes) && used <= count);
	free(out);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct fuzz_input in = { data, size };

	line = malloc(sizeof(*line));
	n_tty_init(line);
	while (in.left) {
		u8 step = fuzz_u8(&in);
		u32 count = fuzz_u8(&in);

		if (step & 0x80)
			count <<= 6;
		switch (step & 7) {
		case 0:
			change_settings(&in);
			break;
		case 1:
			take(count, step & 8);
			break;
		case 2:
			output(&in, count);
			break;
		case 3:
			line->echo_tail += min(count, line->echo_head - line->echo_tail);
			break;
		case 4:
			if (step & 8)
				n_tty_flush_input(line);
			break;
		default:
			receive(&in, count);
		}
		check();
	}
	free(line);
	return 0;
}
