/* Tests of the line discipline, without a terminal around it. */
/* needs: drivers/tty/n_tty_edit.c drivers/tty/n_tty_output.c */
#include "n_tty.h"

#include <nos/string.h>
#include <nos/test.h>
#include <asm/signal.h>

static struct n_tty line;
static struct n_tty_events events;

static void begin(void)
{
	n_tty_init(&line);
	events = (struct n_tty_events){ 0 };
}

static void set_flags(u32 lflag_off, u32 lflag_on, u32 iflag_on)
{
	struct ktermios s = line.termios;

	s.c_lflag = (s.c_lflag & ~lflag_off) | lflag_on;
	s.c_iflag |= iflag_on;
	n_tty_set_termios(&line, &s);
}

static size_t type(const char *text)
{
	return n_tty_input(&line, (const u8 *)text, strlen(text), &events);
}

static void expect_read(const char *want)
{
	char got[128];
	bool end;
	size_t n = n_tty_take(&line, (u8 *)got, sizeof(got) - 1, true, &end);

	got[n] = '\0';
	EXPECT_EQ(n, strlen(want));
	EXPECT(!strcmp(got, want));
}

/* What was echoed since the last call. */
static void expect_echo(const char *want)
{
	char got[256];
	u32 n = 0;

	while (line.echo_tail != line.echo_head && n < sizeof(got) - 1)
		got[n++] = (char)line.echo[line.echo_tail++ % N_TTY_ECHO_SIZE];
	got[n] = '\0';
	if (strcmp(got, want) != 0)
		unit_test_fail(__FILE__, __LINE__, "echo \"%s\", not \"%s\"", got, want);
}

static void expect_output(const char *text, const char *want)
{
	u8 out[256];
	size_t used;

	EXPECT_EQ(n_tty_output(&line, (const u8 *)text, strlen(text), out, sizeof(out), &used),
		  strlen(text));
	EXPECT_EQ(used, strlen(want));
	EXPECT(!memcmp(out, want, min(used, strlen(want))));
}

TEST(n_tty_gives_whole_lines)
{
	begin();
	type("ab");
	EXPECT(!n_tty_is_readable(&line, 1));
	EXPECT_EQ(n_tty_available(&line), 0);
	type("c\ndef\n");
	EXPECT(events.wake_readers);
	EXPECT_EQ(n_tty_available(&line), 8);
	expect_read("abc\n");
	expect_read("def\n");
	EXPECT(!n_tty_is_readable(&line, 1));
	expect_echo("abc\r\ndef\r\n");
}

TEST(n_tty_gives_a_long_line_in_parts)
{
	u8 got[3];
	bool end;

	begin();
	type("abcd\n");
	EXPECT_EQ(n_tty_take(&line, got, 3, true, &end), 3);
	EXPECT(!end);
	EXPECT_EQ(n_tty_take(&line, got, 3, true, &end), 2);
	EXPECT(end);
	EXPECT_EQ(got[1], '\n');
}

TEST(n_tty_end_of_file)
{
	u8 got[8];
	bool end;

	begin();
	type("\004");
	EXPECT(n_tty_is_readable(&line, 1));
	expect_read("");
	type("ab\004");
	EXPECT_EQ(n_tty_available(&line), 2);
	/* The mark right behind a full buffer belongs to this read. */
	EXPECT_EQ(n_tty_take(&line, got, 2, true, &end), 2);
	EXPECT(end);
	EXPECT(!n_tty_is_readable(&line, 1));
}

TEST(n_tty_erases)
{
	begin();
	type("abc\177\177d\n");
	expect_read("ad\n");
	expect_echo("abc\b \b\b \bd\r\n");
	type("\177\177x\n");
	expect_read("x\n");
	expect_echo("x\r\n");
	type("one two  \027three\n");
	expect_read("one three\n");
	line.echo_tail = line.echo_head;
	type("ab\025cd\n");
	expect_read("cd\n");
	expect_echo("ab\b \b\b \bcd\r\n");
}

TEST(n_tty_erases_control_characters_tabs_and_utf8)
{
	begin();
	type("\026\001\177");
	expect_echo("^\b^A\b \b\b \b");
	type("a\tb\177\177");
	expect_echo("a\tb\b \b\b\b\b\b\b\b\b");
	type("\177");
	line.echo_tail = line.echo_head;
	set_flags(0, 0, IUTF8);
	type("\303\251\177x\n");
	expect_echo("\303\251\b \bx\r\n");
	expect_read("x\n");
}

TEST(n_tty_erases_on_paper)
{
	begin();
	set_flags(ECHOE | ECHOKE, ECHOPRT, 0);
	type("abc\177\177x\n");
	expect_echo("abc\\cb/x\r\n");
	expect_read("ax\n");
	begin();
	set_flags(ECHOKE, 0, 0);
	type("abc\025d\n");
	expect_echo("abc^U\r\nd\r\n");
	expect_read("d\n");
}

TEST(n_tty_reprints_and_takes_literally)
{
	begin();
	type("ab\022c\n");
	expect_echo("ab^R\r\nabc\r\n");
	expect_read("abc\n");
	type("x\026\003y\n");
	EXPECT_EQ(events.signals, 0);
	expect_read("x\003y\n");
}

TEST(n_tty_echo_flags)
{
	begin();
	set_flags(ECHO, ECHONL, 0);
	type("secret\n");
	expect_echo("\r\n");
	begin();
	set_flags(ECHOCTL, 0, 0);
	type("\001\n");
	expect_echo("\001\r\n");
}

TEST(n_tty_signals)
{
	begin();
	type("lost\003");
	EXPECT_EQ(events.signals, 1u << SIGINT);
	EXPECT(events.flush_output);
	expect_echo("^C");
	type("kept\n");
	expect_read("kept\n");
	events = (struct n_tty_events){ 0 };
	set_flags(0, NOFLSH, 0);
	type("a\034\032b\n");
	EXPECT_EQ(events.signals, (1u << SIGQUIT) | (1u << SIGTSTP));
	EXPECT(!events.flush_output);
	expect_read("ab\n");
}

TEST(n_tty_maps_input)
{
	begin();
	type("a\r");
	expect_read("a\n");
	line.termios.c_iflag = IGNCR | INLCR;
	type("a\rb\n");
	EXPECT(!n_tty_is_readable(&line, 1));
	type("\004");
	expect_read("ab\r");
	begin();
	set_flags(ICANON, 0, ISTRIP);
	type("\341");
	expect_read("a");
	begin();
	set_flags(ICANON | ISIG | ECHO, 0, PARMRK);
	line.termios.c_iflag &= ~(u32)(IXON | ICRNL);
	type("\377");
	EXPECT_EQ(n_tty_available(&line), 2);
}

TEST(n_tty_flow_control)
{
	begin();
	type("\023");
	EXPECT(line.stopped && events.stop);
	type("\021");
	EXPECT(!line.stopped && events.start && events.wake_writers);
	set_flags(0, 0, IXANY);
	type("\023x");
	EXPECT(!line.stopped);
}

TEST(n_tty_raw)
{
	begin();
	type("typed before");
	set_flags(ICANON | ISIG | ECHO, 0, 0);
	line.termios.c_iflag = 0;
	n_tty_set_termios(&line, &line.termios);
	EXPECT(n_tty_is_readable(&line, 1));
	expect_read("typed before");
	EXPECT(!n_tty_is_readable(&line, 1));
	type("\003\004\r");
	EXPECT(n_tty_is_readable(&line, 3));
	EXPECT(!n_tty_is_readable(&line, 4));
	expect_read("\003\004\r");
	type("back");
	set_flags(0, ICANON, 0);
	expect_read("back");
}

TEST(n_tty_never_overflows)
{
	static u8 much[2 * N_TTY_SIZE];
	size_t taken;
	bool end;

	begin();
	memset(much, 'x', sizeof(much));
	/* A line that nobody can end is cut, but a newline always fits. */
	EXPECT_EQ(n_tty_input(&line, much, sizeof(much), &events), sizeof(much));
	EXPECT_EQ(type("\n"), 1);
	EXPECT_EQ(n_tty_available(&line), N_TTY_SIZE);
	EXPECT_EQ(n_tty_input(&line, much, 1, &events), 0);
	EXPECT_EQ(n_tty_take(&line, much, sizeof(much), true, &end), N_TTY_SIZE);
	EXPECT_EQ(much[N_TTY_SIZE - 1], '\n');
	/* In raw mode the sender waits. */
	begin();
	set_flags(ICANON | ISIG | ECHO, 0, 0);
	line.termios.c_iflag = 0;
	n_tty_set_termios(&line, &line.termios);
	taken = n_tty_input(&line, much, sizeof(much), &events);
	EXPECT_EQ(taken, N_TTY_SIZE);
	EXPECT_EQ(n_tty_take(&line, much, 100, true, &end), 100);
	EXPECT_EQ(n_tty_input(&line, much, sizeof(much), &events), 100);
}

TEST(n_tty_output_processing)
{
	begin();
	expect_output("a\nb", "a\r\nb");
	EXPECT_EQ(line.column, 1);
	line.termios.c_oflag |= TAB3;
	expect_output("\tx", "       x");
	line.termios.c_oflag = OPOST | OCRNL | OLCUC;
	expect_output("ab\r", "AB\n");
	begin();
	line.termios.c_oflag |= ONOCR;
	expect_output("\rx\r", "x\r");
	expect_output("\b", "\b");
	EXPECT_EQ(line.column, 0);
}

TEST(n_tty_survives_any_bytes)
{
	u64 random = 88172645463325252ull;
	u8 bytes[64];
	bool end;

	begin();
	for (u32 round = 0; round < 4000; round++) {
		u32 taken;

		for (u32 i = 0; i < sizeof(bytes); i++) {
			random ^= random << 13;
			random ^= random >> 7;
			random ^= random << 17;
			bytes[i] = (u8)random;
		}
		if (round % 7 == 0) {
			struct ktermios s = line.termios;

			s.c_lflag = (u32)random;
			s.c_iflag = (u32)(random >> 32);
			s.c_oflag = (u32)(random >> 16);
			n_tty_set_termios(&line, &s);
		}
		taken = (u32)n_tty_input(&line, bytes, sizeof(bytes), &events);
		EXPECT(taken <= sizeof(bytes));
		EXPECT(line.head - line.tail <= N_TTY_SIZE);
		EXPECT(line.canon_head - line.tail <= line.head - line.tail);
		EXPECT(line.echo_head - line.echo_tail <= N_TTY_ECHO_SIZE);
		EXPECT(n_tty_take(&line, bytes, random % 64, true, &end) <= 64);
		line.echo_tail = line.echo_head;
	}
}
