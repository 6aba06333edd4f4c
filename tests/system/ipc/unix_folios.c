/* What sendfile and splice bring to a stream stays where it lies until it is read. */
#include "../test.h"
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define FILE_BYTES 300000

static unsigned char pattern(size_t at)
{
	return (unsigned char)(at * 7 + (at >> 8) * 13 + 1);
}

static int pattern_file(void)
{
	static unsigned char bytes[FILE_BYTES];
	int fd = CHECK_OK(open("f", O_CREAT | O_TRUNC | O_RDWR, 0600));

	for (size_t i = 0; i < FILE_BYTES; i++)
		bytes[i] = pattern(i);
	CHECK_EQ(write(fd, bytes, FILE_BYTES), FILE_BYTES);
	return fd;
}

static void stream(int sv[2])
{
	CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, sv));
}

static void read_all(int fd, void *to, size_t len)
{
	for (size_t done = 0; done < len;) {
		ssize_t n = CHECK_OK(read(fd, (char *)to + done, len - done));

		CHECK(n > 0);
		done += (size_t)n;
	}
}

TEST(any_offset_and_length)
{
	static const size_t lengths[] = { 1, 100, 1023, 1024, 4095, 4096, 4097, 9000, 65536, 70001 };
	int sv[2], fd = pattern_file();
	pid_t pid;

	stream(sv);
	CHILD(pid) {
		unsigned char bytes[5000];
		size_t at = 0, want = 0, size = 1;

		for (int i = 0; i < 10; i++)
			want += 3 * lengths[i];
		for (size_t done = 0, piece = 0; done < want; size = size * 5 % 4999 + 1) {
			ssize_t n = CHECK_OK(read(sv[1], bytes, size));

			CHECK(n > 0);
			/* Each piece starts at its own place in the file. */
			for (ssize_t j = 0; j < n; j++, done++) {
				if (at == lengths[piece / 3]) {
					piece++;
					at = 0;
				}
				CHECK_EQ(bytes[j], pattern(piece % 3 * 4000 + piece + at));
				at++;
			}
		}
	}
	for (int piece = 0; piece < 30; piece++) {
		off_t at = piece % 3 * 4000 + piece;
		size_t left = lengths[piece / 3];

		while (left) {
			ssize_t n = CHECK_OK(sendfile(sv[0], fd, &at, left));

			CHECK(n > 0);
			left -= (size_t)n;
		}
	}
	CHECK_EXIT(pid, 0);
}

TEST(between_plain_writes)
{
	unsigned char bytes[20010], peeked[15000];
	int sv[2], fd = pattern_file(), waiting;
	off_t at = 10;

	stream(sv);
	CHECK_EQ(write(sv[0], "head!", 5), 5);
	CHECK_EQ(sendfile(sv[0], fd, &at, 20000), 20000);
	CHECK_EQ(at, 20010);
	CHECK_EQ(write(sv[0], "tail!", 5), 5);
	CHECK_OK(ioctl(sv[1], FIONREAD, &waiting));
	CHECK_EQ(waiting, 20010);
	CHECK_EQ(recv(sv[1], peeked, sizeof(peeked), MSG_PEEK | MSG_WAITALL) > 4, 1);
	read_all(sv[1], bytes, sizeof(bytes));
	CHECK(!memcmp(bytes, peeked, 5));
	CHECK(!memcmp(bytes, "head!", 5) && !memcmp(bytes + 20005, "tail!", 5));
	for (size_t i = 0; i < 20000; i++)
		CHECK_EQ(bytes[i + 5], pattern(10 + i));
	CHECK_ERR(recv(sv[1], bytes, 1, MSG_DONTWAIT), EAGAIN);
}

/* Old bytes or new ones, never those of others. */
TEST(the_file_changes_meanwhile)
{
	static unsigned char bytes[65536], zero[65536];
	int sv[2], fd = pattern_file();
	off_t at = 0;

	stream(sv);
	CHECK_EQ(sendfile(sv[0], fd, &at, 65536), 65536);
	CHECK_EQ(pwrite(fd, zero, 30000, 100), 30000);
	CHECK_OK(ftruncate(fd, 40001));
	CHECK_OK(unlink("f"));
	CHECK_OK(ftruncate(fd, 0));
	CHECK_OK(close(fd));
	/* Whoever takes memory now must not get these pages. */
	for (int i = 0; i < 50; i++) {
		char *p = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		CHECK(p != MAP_FAILED);
		memset(p, 0xee, 1 << 20);
		CHECK_OK(munmap(p, 1 << 20));
	}
	read_all(sv[1], bytes, 65536);
	for (size_t i = 0; i < 65536; i++)
		CHECK(bytes[i] == pattern(i) || bytes[i] == 0);
	CHECK_EQ(bytes[0], pattern(0));
}

TEST(the_send_buffer_holds)
{
	int sv[2], fd = pattern_file(), size = 8192;
	struct pollfd p;
	size_t sent = 0, got = 0;
	off_t at = 0;
	ssize_t n;

	stream(sv);
	CHECK_OK(setsockopt(sv[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)));
	CHECK_OK(fcntl(sv[0], F_SETFL, O_NONBLOCK));
	CHECK_OK(fcntl(sv[1], F_SETFL, O_NONBLOCK));
	while ((n = sendfile(sv[0], fd, &at, FILE_BYTES - (size_t)at)) > 0)
		sent += (size_t)n;
	CHECK_ERR(sendfile(sv[0], fd, &at, 1), EAGAIN);
	CHECK(sent > 0 && sent <= 131072);
	CHECK_EQ(at, (off_t)sent);
	p = (struct pollfd){ .fd = sv[0], .events = POLLOUT };
	CHECK_EQ(poll(&p, 1, 0), 0);
	while (got < sent) {
		unsigned char bytes[3000];

		n = CHECK_OK(read(sv[1], bytes, sizeof(bytes)));
		for (ssize_t i = 0; i < n; i++)
			CHECK_EQ(bytes[i], pattern(got + (size_t)i));
		got += (size_t)n;
	}
	CHECK_ERR(read(sv[1], &size, 1), EAGAIN);
	CHECK_EQ(poll(&p, 1, 0), 1);
	/* What is not read goes with the sockets. */
	CHECK(sendfile(sv[0], fd, &at, 60000) > 0);
}

static void nothing(int sig TEST_UNUSED)
{
}

TEST(interrupted_and_refused)
{
	struct sigaction a = { .sa_handler = nothing };
	int sv[2], fd = pattern_file();
	off_t at = 0;
	ssize_t n;
	pid_t pid;

	stream(sv);
	CHECK_OK(ftruncate(fd, 8 << 20));
	CHECK_OK(sigaction(SIGUSR1, &a, NULL));
	CHILD(pid) {
		CHECK_OK(close(sv[1]));
		test_wait_state(getppid(), 'S');
		CHECK_OK(kill(getppid(), SIGUSR1));
	}
	n = CHECK_OK(sendfile(sv[0], fd, &at, 8 << 20));
	CHECK(n > 0 && n < 8 << 20);
	CHECK_EQ(at, n);
	CHECK_EXIT(pid, 0);
	/* The other end is closed while it waits. */
	CHILD(pid) {
		CHECK_OK(close(sv[1]));
		signal(SIGPIPE, SIG_IGN);
		at = 0;
		n = sendfile(sv[0], fd, &at, 8 << 20);
		CHECK(n > 0 || errno == EPIPE || errno == ECONNRESET);
	}
	test_wait_state(pid, 'S');
	CHECK_OK(close(sv[1]));
	CHECK_EXIT(pid, 0);
	signal(SIGPIPE, SIG_IGN);
	CHECK_ERR(sendfile(sv[0], fd, &at, 4096), EPIPE);
}

TEST(splice_from_a_pipe)
{
	static unsigned char out[30000], in[30000];
	int sv[2], ends[2], fd = pattern_file();
	struct iovec v = { out, 8192 };
	loff_t at = 5;

	stream(sv);
	CHECK_OK(pipe(ends));
	for (size_t i = 0; i < sizeof(out); i++)
		out[i] = pattern(i * 3);
	CHECK_EQ(write(ends[1], out, 10000), 10000);
	CHECK_EQ(splice(ends[0], NULL, sv[0], NULL, 9000, 0), 9000);
	/* The pipe goes on with the page that the socket shares. */
	CHECK_EQ(write(ends[1], out + 10000, 5000), 5000);
	CHECK_EQ(splice(ends[0], NULL, sv[0], NULL, 6000, 0), 6000);
	CHECK_EQ(write(ends[1], "other", 5), 5);
	read_all(sv[1], in, 15000);
	CHECK(!memcmp(in, out, 15000));
	CHECK_EQ(read(ends[0], in, 10), 5);
	/* Pages of a file and of memory on their way through it. */
	CHECK_EQ(splice(fd, &at, ends[1], NULL, 9000, 0), 9000);
	CHECK_EQ(splice(ends[0], NULL, sv[0], NULL, 9000, 0), 9000);
	read_all(sv[1], in, 9000);
	for (size_t i = 0; i < 9000; i++)
		CHECK_EQ(in[i], pattern(5 + i));
	CHECK_EQ(vmsplice(ends[1], &v, 1, 0), 8192);
	CHECK_EQ(splice(ends[0], NULL, sv[0], NULL, 8192, 0), 8192);
	read_all(sv[1], in, 8192);
	CHECK(!memcmp(in, out, 8192));
}
