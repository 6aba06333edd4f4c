/* MSG_PEEK on AF_UNIX sockets, and where it looks: SO_PEEK_OFF. */
#include "../test.h"
#include <pthread.h>
#include <sys/socket.h>

static int sv[2];

static void pair(int type)
{
	CHECK_OK(socketpair(AF_UNIX, type, 0, sv));
}

static void set_offset(int offset)
{
	CHECK_OK(setsockopt(sv[1], SOL_SOCKET, SO_PEEK_OFF, &offset, sizeof(offset)));
}

static int offset_now(void)
{
	int offset = 99;
	socklen_t len = sizeof(offset);

	CHECK_OK(getsockopt(sv[1], SOL_SOCKET, SO_PEEK_OFF, &offset, &len));
	CHECK_EQ(len, sizeof(offset));
	return offset;
}

static void put(const char *text)
{
	CHECK_EQ(send(sv[0], text, strlen(text), 0), (ssize_t)strlen(text));
}

/* What a look or a read of at most `most` bytes gives. */
static void get(size_t most, const char *text, int flags)
{
	char buffer[64] = "";

	CHECK_EQ(recv(sv[1], buffer, most, flags | MSG_DONTWAIT), (ssize_t)strlen(text));
	CHECK_STR(buffer, text);
}

static void get_nothing(int flags)
{
	char c;

	CHECK_ERR(recv(sv[1], &c, 1, flags | MSG_DONTWAIT), EAGAIN);
}

TEST(the_option)
{
	int three = 3;
	short small = 1;
	socklen_t len = 2;

	pair(SOCK_STREAM);
	CHECK_EQ(offset_now(), -1);
	set_offset(5);
	CHECK_EQ(offset_now(), 5);
	set_offset(-7);
	CHECK_EQ(offset_now(), -7);
	CHECK_ERR(setsockopt(sv[1], SOL_SOCKET, SO_PEEK_OFF, &small, sizeof(small)), EINVAL);
	CHECK_ERR(setsockopt(sv[1], SOL_SOCKET, SO_PEEK_OFF, WILD, sizeof(int)), EFAULT);
	CHECK_OK(getsockopt(sv[1], SOL_SOCKET, SO_PEEK_OFF, &three, &len));
	CHECK_EQ(len, 2);
	CHECK_EQ(three, 0xfff9);
}

TEST(without_an_offset)
{
	pair(SOCK_STREAM);
	put("hello");
	get(2, "he", MSG_PEEK);
	get(9, "hello", MSG_PEEK);
	CHECK_EQ(offset_now(), -1);
	get(9, "hello", 0);
	get_nothing(MSG_PEEK);
}

TEST(looks_go_on_in_a_stream)
{
	pair(SOCK_STREAM);
	set_offset(1);
	put("hello");
	put("world");
	get(2, "el", MSG_PEEK);
	CHECK_EQ(offset_now(), 3);
	get(4, "lowo", MSG_PEEK);
	get(9, "rld", MSG_PEEK);
	CHECK_EQ(offset_now(), 10);
	get_nothing(MSG_PEEK);
	get(4, "hell", 0);
	CHECK_EQ(offset_now(), 6);
	get_nothing(MSG_PEEK);
	set_offset(1);
	get(9, "world", MSG_PEEK);
	get(3, "owo", 0);
	CHECK_EQ(offset_now(), 3);
	put("!");
	get(9, "!", MSG_PEEK);
	get(9, "rld!", 0);
	CHECK_EQ(offset_now(), 0);
	put("x");
	set_offset(-1);
	get(9, "x", MSG_PEEK);
	CHECK_EQ(offset_now(), -1);
}

static void *send_later(void *arg)
{
	(void)arg;
	usleep(50000);
	put("cd");
	return NULL;
}

TEST(a_look_past_the_end_waits)
{
	char buffer[8] = "";
	pthread_t thread;

	pair(SOCK_STREAM);
	put("ab");
	set_offset(2);
	CHECK_EQ(pthread_create(&thread, NULL, send_later, NULL), 0);
	CHECK_EQ(recv(sv[1], buffer, 1, MSG_PEEK), 1);
	CHECK_EQ(buffer[0], 'c');
	CHECK_EQ(pthread_join(thread, NULL), 0);
	set_offset(100);
	CHECK_OK(shutdown(sv[0], SHUT_WR));
	CHECK_EQ(recv(sv[1], buffer, 8, MSG_PEEK), 0);
	get(9, "abcd", 0);
}

static void look_at_messages(int type)
{
	char byte;

	pair(type);
	put("one");
	put("three");
	set_offset(0);
	get(2, "on", MSG_PEEK);
	CHECK_EQ(offset_now(), 2);
	CHECK_EQ(recv(sv[1], &byte, 0, MSG_PEEK | MSG_TRUNC), 1);
	get(9, "e", MSG_PEEK);
	CHECK_EQ(offset_now(), 3);
	get(3, "thr", MSG_PEEK);
	get(9, "ee", MSG_PEEK);
	get_nothing(MSG_PEEK);
	get(2, "on", 0);
	CHECK_EQ(offset_now(), 5);
	get_nothing(MSG_PEEK);
	set_offset(2);
	get(9, "ree", MSG_PEEK);
	get(9, "three", 0);
	CHECK_EQ(offset_now(), 0);
}

TEST(messages_are_looked_at_one_by_one)
{
	look_at_messages(SOCK_DGRAM);
	look_at_messages(SOCK_SEQPACKET);
}

TEST(an_empty_message_is_seen_once)
{
	pair(SOCK_DGRAM);
	set_offset(0);
	CHECK_EQ(send(sv[0], "", 0, 0), 0);
	put("x");
	get(9, "", MSG_PEEK);
	get(9, "x", MSG_PEEK);
	get_nothing(MSG_PEEK);
	set_offset(-1);
	get(9, "", MSG_PEEK);
	get(9, "", 0);
	get(9, "x", 0);
}

/* Nothing is left but the mark where the urgent byte was. */
TEST(a_look_at_the_mark)
{
	char c;

	pair(SOCK_STREAM);
	if (send(sv[0], "hello", 5, MSG_OOB) < 0 && errno == EOPNOTSUPP)
		SKIP("a kernel without urgent bytes in AF_UNIX");
	CHECK_EQ(recv(sv[1], &c, 1, MSG_OOB), 1);
	get(4, "hell", 0);
	get_nothing(MSG_PEEK);
	get_nothing(0);
}
