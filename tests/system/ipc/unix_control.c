#include "../test.h"
#include <sys/socket.h>
#include <sys/un.h>

static int sv[2];

static void setup(int type)
{
	CHECK_OK(socketpair(AF_UNIX, type, 0, sv));
}

/* Sends one byte with these descriptors. */
static ssize_t send_fds(int fd, const int *fds, int count)
{
	char control[CMSG_SPACE(300 * sizeof(int))] = {}, c = 'f';
	struct iovec v = { &c, 1 };
	struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1,
			    .msg_control = control,
			    .msg_controllen =
				    CMSG_SPACE((size_t)count * sizeof(int)) };
	struct cmsghdr *h = CMSG_FIRSTHDR(&m);

	h->cmsg_level = SOL_SOCKET;
	h->cmsg_type = SCM_RIGHTS;
	h->cmsg_len = CMSG_LEN((size_t)count * sizeof(int));
	memcpy(CMSG_DATA(h), fds, (size_t)count * sizeof(int));
	return sendmsg(fd, &m, 0);
}

/* Receives one byte; how many descriptors came with it. */
static int receive_fds(int *fds, int room, int flags, int *out_flags)
{
	char control[CMSG_SPACE(300 * sizeof(int))] = {}, c;
	struct iovec v = { &c, 1 };
	struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1,
			    .msg_control = control,
			    .msg_controllen =
				    CMSG_LEN((size_t)room * sizeof(int)) };
	struct cmsghdr *h;
	int count;

	CHECK_EQ(recvmsg(sv[1], &m, flags), 1);
	*out_flags = m.msg_flags;
	h = CMSG_FIRSTHDR(&m);
	if (!h)
		return 0;
	CHECK_EQ(h->cmsg_level, SOL_SOCKET);
	CHECK_EQ(h->cmsg_type, SCM_RIGHTS);
	count = (int)((h->cmsg_len - CMSG_LEN(0)) / sizeof(int));
	memcpy(fds, CMSG_DATA(h), (size_t)count * sizeof(int));
	return count;
}

TEST(passing_descriptors)
{
	int fds[4], ends[2], flags;
	char text[8];
	pid_t pid;

	setup(SOCK_STREAM);
	CHILD(pid) {
		CHECK_OK(pipe(ends));
		CHECK_EQ(write(ends[1], "hello", 5), 5);
		CHECK_EQ(send_fds(sv[0], ends, 2), 1);
	}
	CHECK_EXIT(pid, 0);
	CHECK_EQ(receive_fds(fds, 4, MSG_CMSG_CLOEXEC, &flags), 2);
	CHECK_EQ(flags & ~MSG_CMSG_CLOEXEC, 0);
	CHECK_EQ(fcntl(fds[0], F_GETFD), FD_CLOEXEC);
	CHECK_EQ(read(fds[0], text, 8), 5);
	CHECK_OK(close(fds[1]));
	CHECK_EQ(read(fds[0], text, 8), 0);
}

TEST(no_room_for_them)
{
	int ends[2], fds[4], flags;
	char c;

	setup(SOCK_STREAM);
	CHECK_OK(pipe(ends));
	CHECK_EQ(send_fds(sv[0], ends, 2), 1);
	CHECK_EQ(receive_fds(fds, 1, 0, &flags), 1);
	CHECK(flags & MSG_CTRUNC);
	CHECK_OK(close(fds[0]));
	/* Those dropped are closed: no writer is left. */
	CHECK_OK(close(ends[1]));
	CHECK_EQ(read(ends[0], &c, 1), 0);
	/* A plain read drops them all. */
	CHECK_OK(pipe(ends));
	CHECK_EQ(send_fds(sv[0], ends, 2), 1);
	CHECK_EQ(read(sv[1], &c, 1), 1);
	CHECK_OK(close(ends[1]));
	CHECK_EQ(read(ends[0], &c, 1), 0);
}

TEST(descriptors_separate_the_bytes)
{
	int zero = 0, fds[4], flags;
	char text[16];

	setup(SOCK_STREAM);
	CHECK_EQ(write(sv[0], "ab", 2), 2);
	CHECK_EQ(send_fds(sv[0], &zero, 1), 1);
	CHECK_EQ(write(sv[0], "cd", 2), 2);
	/* One read never runs over a message with descriptors. */
	CHECK_EQ(recv(sv[1], text, 2, 0), 2);
	CHECK_EQ(receive_fds(fds, 4, 0, &flags), 1);
	CHECK_EQ(read(sv[1], text, 16), 2);
}

TEST(bad_descriptors)
{
	int bad = 999, many[300];

	setup(SOCK_STREAM);
	CHECK_ERR(send_fds(sv[0], &bad, 1), EBADF);
	for (int i = 0; i < 300; i++)
		many[i] = 0;
	CHECK_ERR(send_fds(sv[0], many, 254), EINVAL);
	CHECK_EQ(send_fds(sv[0], many, 253), 1);
}

TEST(closed_in_flight)
{
	int ends[2];
	char c;

	setup(SOCK_STREAM);
	CHECK_OK(pipe(ends));
	CHECK_EQ(send_fds(sv[0], &ends[1], 1), 1);
	CHECK_OK(close(ends[1]));
	/* Closing the receiver frees what nobody has taken. */
	CHECK_OK(close(sv[1]));
	CHECK_OK(close(sv[0]));
	CHECK_EQ(read(ends[0], &c, 1), 0);
}

TEST(a_socket_through_itself)
{
	setup(SOCK_STREAM);
	/* A cycle: the descriptors hold each other and must not leak. */
	for (int i = 0; i < 10; i++) {
		setup(SOCK_DGRAM);
		CHECK_EQ(send_fds(sv[0], sv, 2), 1);
		CHECK_OK(close(sv[0]));
		CHECK_OK(close(sv[1]));
	}
}

static ssize_t send_credentials(struct ucred *u)
{
	char control[CMSG_SPACE(sizeof(*u))] = {}, c = 'c';
	struct iovec v = { &c, 1 };
	struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1,
			    .msg_control = control,
			    .msg_controllen = sizeof(control) };
	struct cmsghdr *h = CMSG_FIRSTHDR(&m);

	h->cmsg_level = SOL_SOCKET;
	h->cmsg_type = SCM_CREDENTIALS;
	h->cmsg_len = CMSG_LEN(sizeof(*u));
	memcpy(CMSG_DATA(h), u, sizeof(*u));
	return sendmsg(sv[0], &m, 0);
}

static struct ucred receive_credentials(void)
{
	char control[CMSG_SPACE(sizeof(struct ucred))] = {}, c;
	struct iovec v = { &c, 1 };
	struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1,
			    .msg_control = control,
			    .msg_controllen = sizeof(control) };
	struct cmsghdr *h;
	struct ucred u;

	CHECK_EQ(recvmsg(sv[1], &m, 0), 1);
	h = CMSG_FIRSTHDR(&m);
	CHECK(h && h->cmsg_type == SCM_CREDENTIALS);
	memcpy(&u, CMSG_DATA(h), sizeof(u));
	return u;
}

TEST(credentials)
{
	struct ucred u = { getpid(), getuid(), getgid() }, got;
	socklen_t len = sizeof(got);
	pid_t pid;

	setup(SOCK_DGRAM);
	CHECK_OK(setsockopt(sv[1], SOL_SOCKET, SO_PASSCRED, &(int){ 1 }, 4));
	CHECK_EQ(write(sv[0], "x", 1), 1);
	got = receive_credentials();
	CHECK_EQ(got.pid, getpid());
	CHECK_EQ(got.uid, getuid());
	CHECK_EQ(send_credentials(&u), 1);
	got = receive_credentials();
	CHECK_EQ(got.pid, getpid());
	CHILD(pid)
		CHECK_EQ(write(sv[0], "x", 1), 1);
	CHECK_EXIT(pid, 0);
	got = receive_credentials();
	CHECK_EQ(got.pid, pid);
	CHECK_OK(getsockopt(sv[0], SOL_SOCKET, SO_PEERCRED, &got, &len));
	CHECK_EQ(got.pid, getpid());
	if (geteuid() != 0)
		return;
	CHILD(pid) {
		CHECK_OK(setresuid(1000, 1000, 1000));
		CHECK_ERR(send_credentials(&u), EPERM);
		u = (struct ucred){ getpid(), 0, getgid() };
		CHECK_ERR(send_credentials(&u), EPERM);
		u.uid = 1000;
		CHECK_EQ(send_credentials(&u), 1);
	}
	CHECK_EXIT(pid, 0);
	CHECK_EQ(receive_credentials().uid, 1000);
}

TEST(options)
{
	int v = 0;
	socklen_t len = sizeof(v);
	struct timeval t = { .tv_usec = 20000 };
	char c;

	setup(SOCK_STREAM);
	CHECK_OK(getsockopt(sv[0], SOL_SOCKET, SO_TYPE, &v, &len));
	CHECK_EQ(v, SOCK_STREAM);
	CHECK_OK(getsockopt(sv[0], SOL_SOCKET, SO_DOMAIN, &v, &len));
	CHECK_EQ(v, AF_UNIX);
	CHECK_OK(getsockopt(sv[0], SOL_SOCKET, SO_ERROR, &v, &len));
	CHECK_EQ(v, 0);
	CHECK_OK(getsockopt(sv[0], SOL_SOCKET, SO_ACCEPTCONN, &v, &len));
	CHECK_EQ(v, 0);
	CHECK_OK(setsockopt(sv[0], SOL_SOCKET, SO_SNDBUF, &(int){ 8192 }, 4));
	CHECK_OK(getsockopt(sv[0], SOL_SOCKET, SO_SNDBUF, &v, &len));
	CHECK_EQ(v, 16384);
	CHECK_OK(setsockopt(sv[0], SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t)));
	CHECK_ERR(recv(sv[0], &c, 1, 0), EAGAIN);
	CHECK_ERR(getsockopt(sv[0], SOL_SOCKET, 9999, &v, &len), ENOPROTOOPT);
	CHECK_ERR(setsockopt(sv[0], SOL_SOCKET, 9999, &v, 4), ENOPROTOOPT);
	CHECK(getsockopt(sv[0], 77, 1, &v, &len) == -1);
	CHECK_ERR(getsockopt(0, SOL_SOCKET, SO_TYPE, &v, &len), ENOTSOCK);
	CHECK_ERR(getsockopt(sv[0], SOL_SOCKET, SO_TYPE, WILD, &len), EFAULT);
	CHECK_ERR(setsockopt(sv[0], SOL_SOCKET, SO_SNDBUF, WILD, 4), EFAULT);
	CHECK_ERR(setsockopt(sv[0], SOL_SOCKET, SO_SNDBUF, &v, 2), EINVAL);
}

TEST(message_arguments)
{
	struct msghdr m = { .msg_iovlen = 2000 };
	struct iovec v = { WILD, 5 };

	setup(SOCK_STREAM);
	CHECK_ERR(sendmsg(sv[0], &m, 0), EMSGSIZE);
	CHECK_ERR(syscall(SYS_sendmsg, sv[0], WILD, 0), EFAULT);
	CHECK_ERR(syscall(SYS_recvmsg, sv[0], WILD, MSG_DONTWAIT), EFAULT);
	m = (struct msghdr){ .msg_iov = &v, .msg_iovlen = 1 };
	CHECK_ERR(sendmsg(sv[0], &m, 0), EFAULT);
	m.msg_iov = WILD;
	CHECK_ERR(sendmsg(sv[0], &m, 0), EFAULT);
	CHECK_ERR(sendmsg(0, &m, 0), ENOTSOCK);
}

TEST(several_messages)
{
	struct iovec v[3] = { { "a", 1 }, { "bb", 2 }, { "ccc", 3 } };
	char text[3][8];
	struct mmsghdr m[3] = {};

	setup(SOCK_DGRAM);
	for (int i = 0; i < 3; i++) {
		m[i].msg_hdr.msg_iov = &v[i];
		m[i].msg_hdr.msg_iovlen = 1;
	}
	CHECK_EQ(sendmmsg(sv[0], m, 3, 0), 3);
	CHECK_EQ(m[2].msg_len, 3);
	for (int i = 0; i < 3; i++)
		v[i] = (struct iovec){ text[i], 8 };
	CHECK_EQ(recvmmsg(sv[1], m, 3, 0, NULL), 3);
	CHECK_EQ(m[1].msg_len, 2);
	CHECK(!memcmp(text[2], "ccc", 3));
	CHECK_ERR(recvmmsg(sv[1], m, 3, MSG_DONTWAIT, NULL), EAGAIN);
}

/* Headers of messages may lie at any address. */
TEST(headers_at_odd_addresses)
{
	char bytes[2 * sizeof(struct mmsghdr) + 8], text[2][4] = { "one", "two" };
	int s[2];

	CHECK_OK(socketpair(AF_UNIX, SOCK_DGRAM, 0, s));
	for (size_t at = 1; at < 8; at += 3) {
		struct iovec v[2] = { { text[0], 4 }, { text[1], 4 } };
		struct mmsghdr m[2] = { { .msg_hdr = { .msg_iov = &v[0], .msg_iovlen = 1 } },
					{ .msg_hdr = { .msg_iov = &v[1], .msg_iovlen = 1 } } };

		memcpy(bytes + at, m, sizeof(m));
		CHECK_EQ(syscall(SYS_sendmmsg, s[0], bytes + at, 2, 0), 2);
		memcpy(m, bytes + at, sizeof(m));
		CHECK(m[0].msg_len == 4 && m[1].msg_len == 4);
		CHECK_EQ(syscall(SYS_recvmmsg, s[1], bytes + at, 1, 0, NULL), 1);
		CHECK_EQ(syscall(SYS_recvmsg, s[1], bytes + at, 0), 4);
		CHECK_STR(text[0], "two");
		strcpy(text[0], "one");
	}
}
