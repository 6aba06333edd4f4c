#include "../test.h"
#include <poll.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>

static struct sockaddr_un at(const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };

	strcpy(a.sun_path, path);
	return a;
}

static int open_socket(int type)
{
	return CHECK_OK(socket(AF_UNIX, type | SOCK_CLOEXEC, 0));
}

static int bind_to(int fd, const char *path)
{
	struct sockaddr_un a = at(path);

	return bind(fd, (void *)&a, sizeof(a));
}

static int connect_to(int fd, const char *path)
{
	struct sockaddr_un a = at(path);

	return connect(fd, (void *)&a, sizeof(a));
}

static int listener(const char *path, int type, int backlog)
{
	int fd = open_socket(type);

	CHECK_OK(bind_to(fd, path));
	CHECK_OK(listen(fd, backlog));
	return fd;
}

TEST(creation)
{
	int sv[2];

	CHECK_ERR(socket(AF_UNIX, SOCK_RDM, 0), ESOCKTNOSUPPORT);
	CHECK_ERR(socket(AF_UNIX, SOCK_STREAM, 5), EPROTONOSUPPORT);
	CHECK_ERR(socket(250, SOCK_STREAM, 0), EAFNOSUPPORT);
	CHECK_ERR(socket(AF_UNIX, SOCK_STREAM | 0x100, 0), EINVAL);
	CHECK_OK(socket(AF_UNIX, SOCK_STREAM, PF_UNIX));
	CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK |
			    SOCK_CLOEXEC, 0, sv));
	CHECK_EQ(fcntl(sv[0], F_GETFD), FD_CLOEXEC);
	CHECK_EQ(fcntl(sv[1], F_GETFL), O_RDWR | O_NONBLOCK);
	CHECK_ERR(syscall(SYS_socketpair, AF_UNIX, SOCK_STREAM, 0, WILD),
		  EFAULT);
	CHECK_ERR(socketpair(AF_UNIX, SOCK_RDM, 0, sv), ESOCKTNOSUPPORT);
}

TEST(stream_connection)
{
	int l = listener("s", SOCK_STREAM, 5), c = open_socket(SOCK_STREAM), a;
	struct sockaddr_un name;
	socklen_t len = sizeof(name);
	char text[16];

	CHECK_OK(connect_to(c, "s"));
	CHECK_EQ(write(c, "early", 5), 5);
	a = CHECK_OK(accept4(l, (void *)&name, &len, SOCK_NONBLOCK));
	CHECK_EQ(len, offsetof(struct sockaddr_un, sun_path));
	CHECK_EQ(fcntl(a, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
	CHECK_EQ(read(a, text, 16), 5);
	CHECK_ERR(read(a, text, 16), EAGAIN);
	CHECK_EQ(write(a, "back", 4), 4);
	CHECK_EQ(read(c, text, 16), 4);
	len = sizeof(name);
	CHECK_OK(getsockname(a, (void *)&name, &len));
	CHECK_STR(name.sun_path, "s");
	CHECK_EQ(len, offsetof(struct sockaddr_un, sun_path) + 2);
	len = sizeof(name);
	CHECK_OK(getpeername(c, (void *)&name, &len));
	CHECK_STR(name.sun_path, "s");
	CHECK_OK(close(c));
	CHECK_EQ(read(a, text, 16), 0);
	signal(SIGPIPE, SIG_IGN);
	CHECK_ERR(write(a, "x", 1), EPIPE);
	CHECK_ERR(send(a, "x", 1, MSG_NOSIGNAL), EPIPE);
}

TEST(connection_errors)
{
	int l = listener("s", SOCK_STREAM, 1), c = open_socket(SOCK_STREAM);
	int d = open_socket(SOCK_DGRAM);
	struct sockaddr_un a = at("s");

	CHECK_ERR(connect_to(c, "none"), ENOENT);
	test_make_file("f", "");
	CHECK_ERR(connect_to(c, "f"), ECONNREFUSED);
	CHECK_ERR(connect_to(c, "f/x"), ENOTDIR);
	CHECK_ERR(connect_to(d, "s"), EPROTOTYPE);
	CHECK_ERR(accept(c, NULL, NULL), EINVAL);
	CHECK_ERR(accept(d, NULL, NULL), EOPNOTSUPP);
	CHECK_ERR(listen(d, 1), EOPNOTSUPP);
	CHECK_ERR(listen(c, 1), EINVAL);
	CHECK_ERR(write(c, "x", 1), ENOTCONN);
	CHECK_ERR(read(c, &a, 1), EINVAL);
	CHECK_ERR(getpeername(c, (void *)&a, &(socklen_t){ 10 }), ENOTCONN);
	CHECK_OK(connect_to(c, "s"));
	CHECK_ERR(connect_to(c, "s"), EISCONN);
	CHECK_ERR(connect(c, (void *)&a, 1), EINVAL);
	a.sun_family = AF_INET;
	CHECK_ERR(connect(open_socket(SOCK_STREAM), (void *)&a, sizeof(a)),
		  EINVAL);
	CHECK_ERR(connect(c, WILD, sizeof(a)), EFAULT);
	CHECK_ERR(connect(0, (void *)&a, sizeof(a)), ENOTSOCK);
	CHECK_ERR(connect(-1, (void *)&a, sizeof(a)), EBADF);
	CHECK_OK(close(l));
	CHECK_ERR(connect_to(open_socket(SOCK_STREAM), "s"), ECONNREFUSED);
}

TEST(binding)
{
	int a = open_socket(SOCK_STREAM), b = open_socket(SOCK_STREAM);
	struct sockaddr_un n = at("s");
	struct stat st;

	umask(027);
	CHECK_OK(bind_to(a, "s"));
	CHECK_OK(stat("s", &st));
	CHECK_EQ(st.st_mode, S_IFSOCK | 0750);
	CHECK_ERR(bind_to(b, "s"), EADDRINUSE);
	CHECK_ERR(bind_to(a, "t"), EINVAL);
	CHECK_ERR(bind_to(b, "no/s"), ENOENT);
	CHECK_ERR(bind(b, (void *)&n, 1), EINVAL);
	CHECK_ERR(bind(b, (void *)&n, sizeof(n) + 1), EINVAL);
	CHECK_ERR(bind(b, WILD, sizeof(n)), EFAULT);
	/* The name stays when the socket is gone. */
	CHECK_OK(close(a));
	CHECK_ERR(bind_to(b, "s"), EADDRINUSE);
	CHECK_OK(unlink("s"));
	CHECK_OK(bind_to(b, "s"));
}

TEST(abstract_names)
{
	struct sockaddr_un n = { .sun_family = AF_UNIX }, got = {};
	socklen_t len = offsetof(struct sockaddr_un, sun_path) + 20, l2;
	int l = open_socket(SOCK_STREAM), c = open_socket(SOCK_STREAM);

	snprintf(n.sun_path + 1, 20, "nos-test-%d", getpid());
	CHECK_OK(bind(l, (void *)&n, len));
	CHECK_ERR(bind(open_socket(SOCK_STREAM), (void *)&n, len), EADDRINUSE);
	CHECK_OK(listen(l, 1));
	/* All bytes count, zeros too. */
	CHECK_ERR(connect(c, (void *)&n, len - 1), ECONNREFUSED);
	CHECK_OK(connect(c, (void *)&n, len));
	l2 = sizeof(got);
	CHECK_OK(getpeername(c, (void *)&got, &l2));
	CHECK_EQ(l2, len);
	CHECK(!memcmp(&got, &n, len));
	CHECK_OK(close(l));
	CHECK_OK(bind(open_socket(SOCK_STREAM), (void *)&n, len));
	/* A bind without a name picks one. */
	l = open_socket(SOCK_STREAM);
	CHECK_OK(bind(l, (void *)&n, sizeof(sa_family_t)));
	l2 = sizeof(got);
	CHECK_OK(getsockname(l, (void *)&got, &l2));
	CHECK_EQ(l2, offsetof(struct sockaddr_un, sun_path) + 6);
	CHECK_EQ(got.sun_path[0], 0);
}

TEST(datagrams)
{
	int r = open_socket(SOCK_DGRAM), s = open_socket(SOCK_DGRAM);
	struct sockaddr_un to = at("r"), from = {};
	socklen_t len = sizeof(from);
	char text[16];

	CHECK_OK(bind_to(r, "r"));
	CHECK_OK(bind_to(s, "s"));
	CHECK_EQ(sendto(s, "one", 3, 0, (void *)&to, sizeof(to)), 3);
	CHECK_EQ(sendto(s, "", 0, 0, (void *)&to, sizeof(to)), 0);
	CHECK_EQ(sendto(s, "three", 5, 0, (void *)&to, sizeof(to)), 5);
	CHECK_EQ(recvfrom(r, text, 16, 0, (void *)&from, &len), 3);
	CHECK_STR(from.sun_path, "s");
	CHECK_EQ(recv(r, text, 16, MSG_DONTWAIT), 0);
	/* The rest of a datagram is lost; MSG_TRUNC tells its size. */
	CHECK_EQ(recv(r, text, 2, MSG_PEEK), 2);
	CHECK_EQ(recv(r, text, 2, MSG_TRUNC), 5);
	CHECK_ERR(recv(r, text, 16, MSG_DONTWAIT), EAGAIN);
	CHECK_ERR(send(s, "x", 1, 0), ENOTCONN);
	CHECK_OK(connect_to(s, "r"));
	CHECK_EQ(send(s, "x", 1, 0), 1);
	/* A connected receiver takes only its peer's. */
	CHECK_OK(connect_to(r, "s"));
	CHECK_ERR(sendto(open_socket(SOCK_DGRAM), "x", 1, 0, (void *)&to,
			 sizeof(to)), EPERM);
	CHECK_OK(close(r));
	CHECK_ERR(send(s, "x", 1, 0), ECONNREFUSED);
	CHECK_ERR(sendto(open_socket(SOCK_DGRAM), "x", 1, 0, (void *)&to,
			 sizeof(to)), ECONNREFUSED);
}

TEST(sequenced_packets)
{
	int sv[2];
	char text[16];

	CHECK_OK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sv));
	CHECK_EQ(write(sv[0], "abc", 3), 3);
	CHECK_EQ(write(sv[0], "defg", 4), 4);
	CHECK_EQ(read(sv[1], text, 16), 3);
	CHECK_EQ(read(sv[1], text, 2), 2);
	CHECK_ERR(recv(sv[1], text, 16, MSG_DONTWAIT), EAGAIN);
	CHECK_OK(close(sv[0]));
	CHECK_EQ(read(sv[1], text, 16), 0);
}

TEST(receive_flags)
{
	int sv[2], n;
	char text[32];
	pid_t pid;

	CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, sv));
	CHECK_EQ(send(sv[0], "hello", 5, 0), 5);
	CHECK_OK(ioctl(sv[1], FIONREAD, &n));
	CHECK_EQ(n, 5);
	CHECK_EQ(recv(sv[1], text, 3, MSG_PEEK), 3);
	CHECK_EQ(recv(sv[1], text, 32, MSG_PEEK), 5);
	CHILD(pid) {
		CHECK_EQ(recv(sv[1], text, 10, MSG_WAITALL), 10);
		CHECK(!memcmp(text, "helloworld", 10));
	}
	test_wait_state(pid, 'S');
	CHECK_EQ(send(sv[0], "world", 5, 0), 5);
	CHECK_EXIT(pid, 0);
	CHECK_ERR(recv(sv[1], text, 1, MSG_DONTWAIT), EAGAIN);
	CHECK(recv(sv[1], text, 1, MSG_OOB | MSG_DONTWAIT) == -1);
	CHECK_EQ(recv(sv[1], text, 0, MSG_DONTWAIT) <= 0, 1);
	CHECK_ERR(recv(sv[1], WILD, 4, MSG_DONTWAIT), EAGAIN);
	CHECK_EQ(send(sv[0], "hello", 5, 0), 5);
	CHECK_ERR(recv(sv[1], WILD, 4, MSG_DONTWAIT), EFAULT);
	CHECK_ERR(send(sv[0], WILD, 4, 0), EFAULT);
}

TEST(shutting_down)
{
	int sv[2];
	char c;

	signal(SIGPIPE, SIG_IGN);
	CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, sv));
	CHECK_EQ(write(sv[0], "x", 1), 1);
	CHECK_OK(shutdown(sv[0], SHUT_WR));
	CHECK_ERR(write(sv[0], "x", 1), EPIPE);
	CHECK_EQ(read(sv[1], &c, 1), 1);
	CHECK_EQ(read(sv[1], &c, 1), 0);
	CHECK_EQ(write(sv[1], "y", 1), 1);
	CHECK_EQ(read(sv[0], &c, 1), 1);
	CHECK_OK(shutdown(sv[0], SHUT_RDWR));
	CHECK_EQ(read(sv[0], &c, 1), 0);
	CHECK_ERR(write(sv[1], "x", 1), EPIPE);
	CHECK_ERR(shutdown(sv[0], 9), EINVAL);
	CHECK_ERR(shutdown(0, SHUT_RD), ENOTSOCK);
}

TEST(a_full_buffer)
{
	static char block[1 << 20];
	int sv[2];
	ssize_t n, total = 0;
	pid_t pid;

	CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, sv));
	while ((n = send(sv[0], block, 4096, MSG_DONTWAIT)) > 0)
		total += n;
	CHECK_EQ(errno, EAGAIN);
	CHECK(total >= 16384);
	CHECK_EQ(poll(&(struct pollfd){ .fd = sv[0], .events = POLLOUT }, 1,
		      0), 0);
	CHILD(pid)
		CHECK_EQ(send(sv[0], block, sizeof(block), 0), sizeof(block));
	total += (ssize_t)sizeof(block);
	while (total > 0) {
		n = read(sv[1], block, sizeof(block));
		CHECK(n > 0);
		total -= n;
	}
	CHECK_EXIT(pid, 0);
}

TEST(backlog)
{
	int l = listener("s", SOCK_STREAM, 0), c, made = 0;

	for (;;) {
		c = open_socket(SOCK_STREAM | SOCK_NONBLOCK);
		if (connect_to(c, "s") < 0)
			break;
		made++;
	}
	CHECK_EQ(errno, EAGAIN);
	CHECK(made >= 1 && made < 10);
	CHECK_OK(accept(l, NULL, NULL));
	CHECK_OK(connect_to(c, "s"));
	CHECK_EQ(poll(&(struct pollfd){ .fd = l, .events = POLLIN }, 1, 0), 1);
}
