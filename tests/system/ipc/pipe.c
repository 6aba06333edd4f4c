#include "../test.h"
#include <limits.h>
#include <poll.h>
#include <sys/ioctl.h>

static char block[1 << 20];

TEST(bytes_in_order)
{
	int ends[2], n;
	char text[16];

	CHECK_OK(pipe(ends));
	CHECK_EQ(write(ends[1], "abc", 3), 3);
	CHECK_EQ(write(ends[1], "defg", 4), 4);
	CHECK_OK(ioctl(ends[0], FIONREAD, &n));
	CHECK_EQ(n, 7);
	CHECK_EQ(read(ends[0], text, 2), 2);
	CHECK_EQ(read(ends[0], text + 2, 14), 5);
	CHECK(!memcmp(text, "abcdefg", 7));
	CHECK_EQ(read(ends[0], text, 0), 0);
	CHECK_EQ(write(ends[1], text, 0), 0);
	CHECK_ERR(read(ends[1], text, 1), EBADF);
	CHECK_ERR(write(ends[0], text, 1), EBADF);
}

TEST(end_of_file_and_broken_pipe)
{
	int ends[2];
	char c;
	pid_t pid;

	CHECK_OK(pipe(ends));
	CHECK_EQ(write(ends[1], "x", 1), 1);
	CHECK_OK(close(ends[1]));
	CHECK_EQ(read(ends[0], &c, 1), 1);
	CHECK_EQ(read(ends[0], &c, 1), 0);
	CHECK_OK(close(ends[0]));
	CHECK_OK(pipe(ends));
	CHECK_OK(close(ends[0]));
	CHILD(pid)
		write(ends[1], "x", 1);
	CHECK_KILLED(pid, SIGPIPE);
	signal(SIGPIPE, SIG_IGN);
	CHECK_ERR(write(ends[1], "x", 1), EPIPE);
}

TEST(flags)
{
	int ends[2];

	CHECK_OK(pipe2(ends, O_CLOEXEC | O_NONBLOCK));
	CHECK_EQ(fcntl(ends[0], F_GETFD), FD_CLOEXEC);
	CHECK_EQ(fcntl(ends[1], F_GETFL) & O_NONBLOCK, O_NONBLOCK);
	CHECK_ERR(pipe2(ends, O_APPEND), EINVAL);
	CHECK_ERR(pipe2(ends, 0x1), EINVAL);
	CHECK_ERR(syscall(SYS_pipe, WILD), EFAULT);
	CHECK_ERR(syscall(SYS_pipe2, WILDK, 0), EFAULT);
	/* A failed call leaves no descriptors. */
	CHECK_EQ(dup(0), ends[1] + 1);
}

TEST(not_blocking)
{
	int ends[2];
	char c;
	ssize_t n, total = 0;

	CHECK_OK(pipe2(ends, O_NONBLOCK));
	CHECK_ERR(read(ends[0], &c, 1), EAGAIN);
	while ((n = write(ends[1], block, 1000)) > 0)
		total += n;
	CHECK_EQ(errno, EAGAIN);
	CHECK(total > 60000 && total <= 65536);
	/* More than PIPE_BUF may be taken in part, less may not. */
	CHECK_EQ(read(ends[0], block, 5000), 5000);
	CHECK(write(ends[1], block, 50000) > 0);
	CHECK_ERR(write(ends[1], block, PIPE_BUF), EAGAIN);
}

TEST(capacity)
{
	int ends[2];

	CHECK_OK(pipe2(ends, O_NONBLOCK));
	CHECK_EQ(fcntl(ends[0], F_GETPIPE_SZ), 65536);
	CHECK_EQ(write(ends[1], block, 1 << 20), 65536);
	CHECK_EQ(fcntl(ends[1], F_SETPIPE_SZ, 100000), 131072);
	CHECK_EQ(fcntl(ends[0], F_GETPIPE_SZ), 131072);
	CHECK_EQ(write(ends[1], block, 1 << 20), 65536);
	CHECK_ERR(fcntl(ends[1], F_SETPIPE_SZ, 65536), EBUSY);
	CHECK_EQ(read(ends[0], block, 1 << 20), 131072);
	CHECK_EQ(fcntl(ends[1], F_SETPIPE_SZ, 1), 4096);
	CHECK_EQ(write(ends[1], block, 1 << 20), 4096);
	CHECK_ERR(fcntl(CHECK_OK(open("/dev/null", O_RDWR)), F_GETPIPE_SZ),
		  EBADF);
}

TEST(a_limit_for_the_unprivileged)
{
	int ends[2];
	pid_t pid;

	if (geteuid() != 0)
		SKIP("needs root");
	CHECK_OK(pipe(ends));
	CHILD(pid) {
		CHECK_OK(setresuid(1000, 1000, 1000));
		CHECK_ERR(fcntl(ends[1], F_SETPIPE_SZ, 2 << 20), EPERM);
	}
	CHECK_EXIT(pid, 0);
}

TEST(packets)
{
	int ends[2];
	char text[16];

	CHECK_OK(pipe2(ends, O_DIRECT));
	CHECK_EQ(write(ends[1], "abc", 3), 3);
	CHECK_EQ(write(ends[1], "defgh", 5), 5);
	CHECK_EQ(write(ends[1], "i", 1), 1);
	CHECK_EQ(read(ends[0], text, 16), 3);
	/* What doesn't fit of a packet is dropped. */
	CHECK_EQ(read(ends[0], text, 2), 2);
	CHECK(!memcmp(text, "de", 2));
	CHECK_EQ(read(ends[0], text, 16), 1);
	CHECK_EQ(text[0], 'i');
	CHECK_EQ(write(ends[1], block, 5000), 5000);
	CHECK_EQ(read(ends[0], block, 10000), 4096);
	CHECK_EQ(read(ends[0], block, 10000), 904);
}

TEST(writes_up_to_pipe_buf_are_atomic)
{
	enum { WRITERS = 4, RECORDS = 100, SIZE = 1500 };
	static char record[SIZE];
	int ends[2], total = 0;
	pid_t pid[WRITERS];

	CHECK_OK(pipe(ends));
	for (int i = 0; i < WRITERS; i++)
		CHILD(pid[i]) {
			memset(record, 'a' + i, SIZE);
			for (int j = 0; j < RECORDS; j++)
				CHECK_EQ(write(ends[1], record, SIZE), SIZE);
		}
	CHECK_OK(close(ends[1]));
	for (;;) {
		ssize_t have = 0, n = 1;

		while (have < SIZE && n > 0) {
			n = read(ends[0], record + have,
				 (size_t)(SIZE - have));
			have += n;
		}
		if (n == 0)
			break;
		for (int i = 1; i < SIZE; i++)
			CHECK_EQ(record[i], record[0]);
		total++;
	}
	CHECK_EQ(total, WRITERS * RECORDS);
	for (int i = 0; i < WRITERS; i++)
		CHECK_EXIT(pid[i], 0);
}

TEST(polling)
{
	int ends[2];
	struct pollfd p[2] = { { .events = POLLIN }, { .events = POLLOUT } };

	CHECK_OK(pipe2(ends, O_NONBLOCK));
	p[0].fd = ends[0];
	p[1].fd = ends[1];
	CHECK_EQ(poll(p, 2, 0), 1);
	CHECK_EQ(p[0].revents, 0);
	CHECK_EQ(p[1].revents, POLLOUT);
	while (write(ends[1], block, 65536) > 0)
		continue;
	CHECK_EQ(poll(p, 2, 0), 1);
	CHECK_EQ(p[0].revents, POLLIN);
	CHECK_EQ(p[1].revents, 0);
	CHECK_OK(close(ends[0]));
	CHECK_EQ(poll(p + 1, 1, 0), 1);
	CHECK(p[1].revents & POLLERR);
	CHECK_OK(pipe(ends));
	p[0].fd = ends[0];
	CHECK_OK(close(ends[1]));
	CHECK_EQ(poll(p, 1, 0), 1);
	CHECK_EQ(p[0].revents, POLLHUP);
}

TEST(fifos)
{
	int r, w;
	pid_t pid;
	char c;

	CHECK_OK(mkfifo("p", 0600));
	CHECK_ERR(mkfifo("p", 0600), EEXIST);
	CHECK_ERR(open("p", O_WRONLY | O_NONBLOCK), ENXIO);
	r = CHECK_OK(open("p", O_RDONLY | O_NONBLOCK));
	CHECK_EQ(read(r, &c, 1), 0);
	w = CHECK_OK(open("p", O_WRONLY | O_NONBLOCK));
	CHECK_ERR(read(r, &c, 1), EAGAIN);
	CHECK_EQ(write(w, "x", 1), 1);
	CHECK_EQ(read(r, &c, 1), 1);
	CHECK_OK(close(w));
	CHECK_EQ(read(r, &c, 1), 0);
	CHECK_OK(close(r));
	/* Both opens wait for each other. */
	CHILD(pid) {
		w = CHECK_OK(open("p", O_WRONLY));
		CHECK_EQ(write(w, "y", 1), 1);
	}
	test_wait_state(pid, 'S');
	r = CHECK_OK(open("p", O_RDONLY));
	CHECK_EQ(read(r, &c, 1), 1);
	CHECK_EQ(read(r, &c, 1), 0);
	CHECK_EXIT(pid, 0);
	/* Linux opens both ways at once. */
	r = CHECK_OK(open("p", O_RDWR));
	CHECK_EQ(write(r, "z", 1), 1);
	CHECK_EQ(read(r, &c, 1), 1);
}

TEST(large_transfer)
{
	int ends[2];
	pid_t pid;
	size_t total = 0;
	ssize_t n;

	CHECK_OK(pipe(ends));
	CHILD(pid) {
		for (size_t i = 0; i < sizeof(block); i++)
			block[i] = (char)(i * 31 + i / 257);
		CHECK_EQ(write(ends[1], block, sizeof(block)), sizeof(block));
	}
	CHECK_OK(close(ends[1]));
	do {
		size_t rest = sizeof(block) - total;

		n = read(ends[0], block + total, rest < 7777 ? rest : 7777);
		total += n > 0 ? (size_t)n : 0;
	} while (n > 0);
	CHECK_EQ(total, sizeof(block));
	for (size_t i = 0; i < sizeof(block); i++)
		CHECK_EQ(block[i], (char)(i * 31 + i / 257));
	CHECK_EXIT(pid, 0);
}
