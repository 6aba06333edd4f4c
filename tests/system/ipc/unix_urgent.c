/* MSG_OOB on AF_UNIX streams. */
#include "../test.h"
#include <linux/sockios.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

static int sv[2];

static void setup(void)
{
	CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, sv));
	if (send(sv[0], "x", 1, MSG_OOB) < 0 && errno == EOPNOTSUPP)
		SKIP("a kernel without urgent bytes in AF_UNIX");
	CHECK_OK(close(sv[0]));
	CHECK_OK(close(sv[1]));
	CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, sv));
}

static void put(const char *text, int flags)
{
	CHECK_EQ(send(sv[0], text, strlen(text), flags), (ssize_t)strlen(text));
}

static void get(const char *text, int flags)
{
	char buffer[64] = "";
	ssize_t n = recv(sv[1], buffer, sizeof(buffer) - 1,
			 flags | MSG_DONTWAIT);

	CHECK_EQ(n, (ssize_t)strlen(text));
	CHECK_STR(buffer, text);
}

static void get_urgent(char c)
{
	char got = 0;

	CHECK_EQ(recv(sv[1], &got, 1, MSG_OOB), 1);
	CHECK_EQ(got, c);
}

static int at_mark(void)
{
	int answer = -1;

	CHECK_OK(ioctl(sv[1], SIOCATMARK, &answer));
	return answer;
}

static int polled(void)
{
	struct pollfd p = { .fd = sv[1], .events = POLLIN | POLLPRI };

	CHECK(poll(&p, 1, 0) >= 0);
	return p.revents;
}

TEST(byte_beside_the_stream)
{
	char c;

	setup();
	CHECK_ERR(recv(sv[1], &c, 1, MSG_OOB), EINVAL);
	CHECK_EQ(polled(), 0);
	put("hello", MSG_OOB);
	CHECK_EQ(polled(), POLLIN | POLLPRI);
	CHECK_EQ(at_mark(), 0);
	CHECK_EQ(recv(sv[1], &c, 1, MSG_OOB | MSG_PEEK), 1);
	CHECK_EQ(c, 'o');
	get_urgent('o');
	CHECK_ERR(recv(sv[1], &c, 1, MSG_OOB), EINVAL);
	CHECK_EQ(polled(), POLLIN);
	get("hell", 0);
	CHECK_ERR(recv(sv[1], &c, 1, MSG_DONTWAIT), EAGAIN);
}

TEST(reads_end_at_the_mark)
{
	char c;

	setup();
	put("abcd", MSG_OOB);
	put("ef", 0);
	get("abc", 0);
	CHECK_EQ(at_mark(), 1);
	/* The next read leaves it out. */
	get("ef", 0);
	CHECK_EQ(at_mark(), 0);
	CHECK_ERR(recv(sv[1], &c, 1, MSG_OOB), EINVAL);
	/* Taken first: the mark stays. */
	put("gh", MSG_OOB);
	put("ij", 0);
	get_urgent('h');
	get("g", 0);
}

TEST(in_line)
{
	char c;
	int one = 1;

	setup();
	CHECK_OK(setsockopt(sv[1], SOL_SOCKET, SO_OOBINLINE, &one, sizeof(one)));
	put("abcd", MSG_OOB);
	put("ef", 0);
	CHECK_ERR(recv(sv[1], &c, 1, MSG_OOB), EINVAL);
	get("abc", 0);
	CHECK_EQ(at_mark(), 1);
	get("def", 0);
	CHECK_EQ(at_mark(), 0);
}

TEST(a_newer_one_replaces_it)
{
	setup();
	put("ab", MSG_OOB);
	put("cd", MSG_OOB);
	get_urgent('d');
	get("abc", 0);
}

TEST(signal_to_the_owner)
{
	struct timespec t = { .tv_sec = 5 };
	sigset_t set;

	setup();
	sigemptyset(&set);
	sigaddset(&set, SIGURG);
	CHECK_OK(sigprocmask(SIG_BLOCK, &set, NULL));
	CHECK_OK(fcntl(sv[1], F_SETOWN, getpid()));
	put("x", MSG_OOB);
	CHECK_EQ(sigtimedwait(&set, NULL, &t), SIGURG);
	t.tv_sec = 0;
	put("x", 0);
	CHECK_ERR(sigtimedwait(&set, NULL, &t), EAGAIN);
}

TEST(a_poller_wakes)
{
	struct pollfd p;
	pid_t pid;

	setup();
	p = (struct pollfd){ .fd = sv[1], .events = POLLPRI };
	CHILD(pid) {
		CHECK_EQ(poll(&p, 1, 5000), 1);
		CHECK_EQ(p.revents, POLLPRI);
	}
	test_wait_state(pid, 'S');
	put("x", MSG_OOB);
	CHECK_EXIT(pid, 0);
}

TEST(where_there_is_none)
{
	char c;

	setup();
	CHECK_ERR(send(sv[0], "", 0, MSG_OOB), EOPNOTSUPP);
	CHECK_OK(close(sv[1]));
	CHECK_ERR(send(sv[0], "x", 1, MSG_OOB | MSG_NOSIGNAL), EPIPE);
	CHECK_OK(socketpair(AF_UNIX, SOCK_DGRAM, 0, sv));
	CHECK_ERR(send(sv[0], "x", 1, MSG_OOB), EOPNOTSUPP);
	CHECK_ERR(recv(sv[1], &c, 1, MSG_OOB), EOPNOTSUPP);
}
