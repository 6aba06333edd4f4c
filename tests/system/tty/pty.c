#include "../test.h"
#include <poll.h>
#include <sys/ioctl.h>
#include <termios.h>

static int master, slave;

static void open_pair(void)
{
	master = CHECK_OK(posix_openpt(O_RDWR | O_NOCTTY));
	CHECK_OK(unlockpt(master));
	slave = CHECK_OK(open(ptsname(master), O_RDWR | O_NOCTTY));
}

static void flags(tcflag_t off_l, tcflag_t on_l)
{
	struct termios t;

	CHECK_OK(tcgetattr(slave, &t));
	t.c_lflag = (t.c_lflag & ~off_l) | on_l;
	CHECK_OK(tcsetattr(slave, TCSANOW, &t));
}

static void type(const char *text)
{
	CHECK_EQ(write(master, text, strlen(text)), strlen(text));
}

/* All that can be read from `fd` now. */
static char *take(int fd)
{
	static char text[4096];
	struct pollfd p = { .fd = fd, .events = POLLIN };
	size_t have = 0;

	while (poll(&p, 1, 0) == 1 && (p.revents & POLLIN)) {
		ssize_t n = read(fd, text + have, sizeof(text) - 1 - have);

		if (n <= 0)
			break;
		have += (size_t)n;
	}
	text[have] = 0;
	return text;
}

/* As much as this text, then compared with it. */
static void expect(int fd, const char *want)
{
	char text[4096];
	size_t have = 0;

	while (have < strlen(want)) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		ssize_t n;

		if (poll(&p, 1, 5000) != 1)
			break;
		n = read(fd, text + have, strlen(want) - have);
		if (n <= 0)
			break;
		have += (size_t)n;
	}
	text[have] = 0;
	CHECK_STR(text, want);
}

TEST(names)
{
	struct stat st;
	int number, lock, peer;
	char name[64];

	master = CHECK_OK(posix_openpt(O_RDWR | O_NOCTTY));
	CHECK_OK(ioctl(master, TIOCGPTN, &number));
	snprintf(name, sizeof(name), "/dev/pts/%d", number);
	CHECK_STR(ptsname(master), name);
	CHECK_OK(ioctl(master, TIOCGPTLCK, &lock));
	CHECK_EQ(lock, 1);
	CHECK_ERR(open(name, O_RDWR | O_NOCTTY), EIO);
	CHECK_OK(unlockpt(master));
	slave = CHECK_OK(open(name, O_RDWR | O_NOCTTY));
	CHECK_OK(fstat(slave, &st));
	CHECK(S_ISCHR(st.st_mode));
	CHECK_EQ(st.st_rdev >> 8, 136);
	CHECK(isatty(slave) && isatty(master));
	peer = CHECK_OK(ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY));
	CHECK_STR(ttyname(peer), name);
	CHECK_OK(close(slave));
	CHECK_OK(close(peer));
	CHECK_OK(close(master));
	CHECK_ERR(access(name, F_OK), ENOENT);
}

TEST(not_a_terminal)
{
	struct termios t;
	int ends[2];

	CHECK_OK(pipe(ends));
	CHECK_ERR(tcgetattr(ends[0], &t), ENOTTY);
	CHECK_ERR(ioctl(ends[0], TIOCGWINSZ, &t), ENOTTY);
	CHECK(!isatty(ends[0]));
	open_pair();
	CHECK_ERR(ioctl(slave, 0x5fff, 0), ENOTTY);
	CHECK_ERR(ioctl(slave, TCGETS, WILD), EFAULT);
	CHECK_ERR(ioctl(slave, TCSETS, WILD), EFAULT);
	CHECK_ERR(ioctl(slave, TIOCGWINSZ, WILD), EFAULT);
	CHECK_ERR(lseek(slave, 0, SEEK_SET), ESPIPE);
}

TEST(defaults)
{
	struct termios t;

	open_pair();
	CHECK_OK(tcgetattr(slave, &t));
	CHECK_EQ(t.c_iflag, ICRNL | IXON);
	CHECK_EQ(t.c_oflag, OPOST | ONLCR);
	CHECK_EQ(t.c_lflag, ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHOCTL |
		 ECHOKE | IEXTEN);
	CHECK_EQ(t.c_cflag & (CSIZE | CREAD), CS8 | CREAD);
	CHECK_EQ(t.c_cc[VINTR], 3);
	CHECK_EQ(t.c_cc[VEOF], 4);
	CHECK_EQ(t.c_cc[VERASE], 0x7f);
	CHECK_EQ(t.c_cc[VKILL], 0x15);
	CHECK_EQ(t.c_cc[VMIN], 1);
	CHECK_EQ(cfgetospeed(&t), B38400);
}

TEST(whole_lines)
{
	struct pollfd p = { .events = POLLIN };
	int n;

	open_pair();
	flags(ECHO, 0);
	p.fd = slave;
	type("hel");
	CHECK_EQ(poll(&p, 1, 0), 0);
	CHECK_OK(ioctl(slave, FIONREAD, &n));
	CHECK_EQ(n, 0);
	type("lo\nworld\n");
	CHECK_EQ(poll(&p, 1, 5000), 1);
	expect(slave, "hello\n");
	expect(slave, "world\n");
	CHECK_STR(take(master), "");
}

TEST(one_line_per_read)
{
	char text[16];

	open_pair();
	type("ab\ncd\n");
	CHECK_EQ(read(slave, text, 16), 3);
	CHECK_EQ(read(slave, text, 1), 1);
	CHECK_EQ(text[0], 'c');
	CHECK_EQ(read(slave, text, 16), 2);
}

TEST(editing)
{
	open_pair();
	flags(ECHO, 0);
	type("abx\177c\n");
	expect(slave, "abc\n");
	type("rubbish\025good\n");
	expect(slave, "good\n");
	type("one two\027three\n");
	expect(slave, "one three\n");
	type("\177\177x\n");
	expect(slave, "x\n");
	/* A literal next character. */
	type("a\026\003b\n");
	expect(slave, "a\003b\n");
}

TEST(echoing)
{
	open_pair();
	type("ab\177c\n");
	expect(master, "ab\b \bc\r\n");
	expect(slave, "ac\n");
	type("\001\n");
	expect(master, "^A\r\n");
	expect(slave, "\001\n");
	type("ab\025");
	expect(master, "ab\b \b\b \b");
	flags(ECHO, ECHONL);
	type("quiet\n");
	expect(master, "\r\n");
}

TEST(end_of_file)
{
	char text[8];

	open_pair();
	flags(ECHO, 0);
	type("\004");
	CHECK_EQ(read(slave, text, 8), 0);
	type("ab\004");
	CHECK_EQ(read(slave, text, 8), 2);
	type("c\n");
	CHECK_EQ(read(slave, text, 8), 2);
}

TEST(input_translation)
{
	struct termios t;

	open_pair();
	flags(ECHO, 0);
	type("a\r");
	expect(slave, "a\n");
	CHECK_OK(tcgetattr(slave, &t));
	t.c_iflag = INLCR;
	t.c_lflag &= ~(tcflag_t)ICANON;
	CHECK_OK(tcsetattr(slave, TCSANOW, &t));
	type("x\ny\r");
	expect(slave, "x\ry\r");
	t.c_iflag = IGNCR;
	CHECK_OK(tcsetattr(slave, TCSANOW, &t));
	type("x\ry");
	expect(slave, "xy");
}

TEST(output_translation)
{
	struct termios t;

	open_pair();
	CHECK_EQ(write(slave, "a\nb\tc\n", 6), 6);
	expect(master, "a\r\nb\tc\r\n");
	CHECK_OK(tcgetattr(slave, &t));
	t.c_oflag = 0;
	CHECK_OK(tcsetattr(slave, TCSANOW, &t));
	CHECK_EQ(write(slave, "a\nb", 3), 3);
	expect(master, "a\nb");
}

TEST(raw)
{
	struct termios t;
	char text[16];
	int64_t start;
	pid_t pid;

	open_pair();
	CHECK_OK(tcgetattr(slave, &t));
	cfmakeraw(&t);
	CHECK_OK(tcsetattr(slave, TCSANOW, &t));
	type("a\003\004\r\n");
	expect(slave, "a\003\004\r\n");
	/* VMIN 3: a read waits for three bytes. */
	t.c_cc[VMIN] = 3;
	CHECK_OK(tcsetattr(slave, TCSANOW, &t));
	CHILD(pid)
		CHECK_EQ(read(slave, text, 16), 3);
	test_wait_state(pid, 'S');
	type("x");
	type("y");
	CHECK_EQ(waitpid(pid, NULL, WNOHANG), 0);
	type("z");
	CHECK_EXIT(pid, 0);
	/* VMIN 0, VTIME 0: whatever there is. */
	t.c_cc[VMIN] = 0;
	CHECK_OK(tcsetattr(slave, TCSANOW, &t));
	CHECK_EQ(read(slave, text, 16), 0);
	/* VMIN 0, VTIME 1: up to a tenth of a second. */
	t.c_cc[VTIME] = 1;
	CHECK_OK(tcsetattr(slave, TCSANOW, &t));
	start = test_now_ns();
	CHECK_EQ(read(slave, text, 16), 0);
	CHECK(test_now_ns() - start >= 90000000);
	type("q");
	CHECK_EQ(read(slave, text, 16), 1);
}

TEST(not_blocking)
{
	char c;

	open_pair();
	CHECK_OK(fcntl(slave, F_SETFL, O_NONBLOCK));
	CHECK_OK(fcntl(master, F_SETFL, O_NONBLOCK));
	CHECK_ERR(read(slave, &c, 1), EAGAIN);
	CHECK_ERR(read(master, &c, 1), EAGAIN);
	type("part");
	CHECK_ERR(read(slave, &c, 1), EAGAIN);
}

TEST(flushing)
{
	int n;

	open_pair();
	flags(ECHO, 0);
	type("gone\n");
	CHECK_EQ(poll(&(struct pollfd){ .fd = slave, .events = POLLIN }, 1,
		      5000), 1);
	CHECK_OK(tcflush(slave, TCIFLUSH));
	CHECK_OK(ioctl(slave, FIONREAD, &n));
	CHECK_EQ(n, 0);
	type("kept\n");
	expect(slave, "kept\n");
	CHECK_ERR(ioctl(slave, TCFLSH, 99), EINVAL);
}

TEST(window_size)
{
	struct winsize w = {}, got = {};

	open_pair();
	CHECK_OK(ioctl(slave, TIOCGWINSZ, &got));
	CHECK(got.ws_row == 0 && got.ws_col == 0);
	w = (struct winsize){ .ws_row = 24, .ws_col = 80 };
	CHECK_OK(ioctl(master, TIOCSWINSZ, &w));
	CHECK_OK(ioctl(slave, TIOCGWINSZ, &got));
	CHECK(got.ws_row == 24 && got.ws_col == 80);
	CHECK_ERR(ioctl(master, TIOCSWINSZ, WILD), EFAULT);
}

TEST(packet_mode)
{
	char text[16];
	int on = 1;

	open_pair();
	CHECK_OK(ioctl(master, TIOCPKT, &on));
	CHECK_EQ(write(slave, "hi", 2), 2);
	CHECK_EQ(read(master, text, 16), 3);
	CHECK(!memcmp(text, "\0hi", 3));
	CHECK_OK(tcflush(slave, TCIFLUSH));
	CHECK_EQ(read(master, text, 16), 1);
	CHECK_EQ(text[0] & TIOCPKT_FLUSHREAD, TIOCPKT_FLUSHREAD);
}

TEST(hanging_up)
{
	char c;

	open_pair();
	CHECK_EQ(write(slave, "bye", 3), 3);
	CHECK_OK(close(slave));
	expect(master, "bye");
	CHECK_ERR(read(master, &c, 1), EIO);
	CHECK_EQ(poll(&(struct pollfd){ .fd = master, .events = POLLIN }, 1,
		      0), 1);
	/* A new slave brings it back. */
	slave = CHECK_OK(open(ptsname(master), O_RDWR | O_NOCTTY));
	CHECK_EQ(write(slave, "x", 1), 1);
	expect(master, "x");
	CHECK_OK(close(master));
	CHECK_EQ(read(slave, &c, 1), 0);
	CHECK_ERR(write(slave, "x", 1), EIO);
	CHECK_ERR(ioctl(slave, TIOCGWINSZ, &c), EIO);
}
