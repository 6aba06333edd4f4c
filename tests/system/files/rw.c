#include "../test.h"
#include <limits.h>
#include <sys/uio.h>

TEST(read_and_write)
{
	char text[16];
	int fd = CHECK_OK(open("f", O_CREAT | O_RDWR, 0666));

	CHECK_EQ(write(fd, "hello", 5), 5);
	CHECK_EQ(read(fd, text, 16), 0);
	CHECK_EQ(lseek(fd, 1, SEEK_SET), 1);
	CHECK_EQ(read(fd, text, 2), 2);
	CHECK(!memcmp(text, "el", 2));
	CHECK_EQ(read(fd, text, 16), 2);
	CHECK_EQ(read(fd, text, 0), 0);
	CHECK_EQ(write(fd, text, 0), 0);
	CHECK_ERR(read(-1, text, 1), EBADF);
	CHECK_ERR(read(4000, text, 0), EBADF);
	CHECK_ERR(read(fd, WILDK, 1), EFAULT);
}

TEST(wild_buffers)
{
	int fd = CHECK_OK(open("f", O_CREAT | O_RDWR, 0666));

	CHECK_EQ(write(fd, "hello", 5), 5);
	CHECK_ERR(pread(fd, WILD, 5, 0), EFAULT);
	CHECK_ERR(pread(fd, WILDK, 5, 0), EFAULT);
	CHECK_ERR(pread(fd, WILDN, 5, 0), EFAULT);
	CHECK_ERR(pwrite(fd, WILD, 5, 0), EFAULT);
	CHECK_ERR(pwrite(fd, WILDK, 5, 0), EFAULT);
	CHECK_EQ(pread(fd, WILD, 0, 0), 0);
	/* At the end of the file there is nothing to copy. */
	CHECK_EQ(pread(fd, WILD, 5, 5), 0);
	CHECK_ERR(syscall(SYS_read, fd, WILD, (size_t)-1), EFAULT);
}

TEST(partial_copy_at_a_bad_page)
{
	char *page = CHECK_OK(mmap(NULL, 8192, PROT_READ | PROT_WRITE,
				   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	int fd = CHECK_OK(open("f", O_CREAT | O_RDWR, 0666));
	struct stat st;
	ssize_t n;

	CHECK_OK(munmap(page + 4096, 4096));
	memset(page, 'x', 4096);
	n = write(fd, page + 4096 - 10, 20);
	CHECK(n == 10 || (n == -1 && errno == EFAULT));
	CHECK_OK(fstat(fd, &st));
	CHECK_EQ(st.st_size, n < 0 ? 0 : 10);
	CHECK_EQ(pwrite(fd, page, 100, 0), 100);
	n = pread(fd, page + 4096 - 10, 20, 0);
	CHECK(n == 10 || (n == -1 && errno == EFAULT));
	CHECK_OK(mprotect(page, 4096, PROT_READ));
	CHECK_ERR(pread(fd, page, 10, 0), EFAULT);
	CHECK_EQ(pwrite(fd, page, 10, 0), 10);
	CHECK_OK(mprotect(page, 4096, PROT_NONE));
	CHECK_ERR(pwrite(fd, page, 10, 0), EFAULT);
}

TEST(positions)
{
	char text[16];
	int fd = CHECK_OK(open("f", O_CREAT | O_RDWR, 0666)), ends[2];

	CHECK_EQ(pwrite(fd, "abc", 3, 10), 3);
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), 0);
	CHECK_EQ(lseek(fd, 0, SEEK_END), 13);
	CHECK_EQ(lseek(fd, -3, SEEK_END), 10);
	CHECK_EQ(lseek(fd, 1, SEEK_CUR), 11);
	CHECK_ERR(lseek(fd, -1, SEEK_SET), EINVAL);
	CHECK_ERR(lseek(fd, -14, SEEK_END), EINVAL);
	CHECK_ERR(lseek(fd, 0, 99), EINVAL);
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), 11);
	CHECK_EQ(lseek(fd, 100, SEEK_SET), 100);
	CHECK_EQ(read(fd, text, 1), 0);
	CHECK_EQ(pread(fd, text, 16, 8), 5);
	CHECK(!memcmp(text, "\0\0abc", 5));
	CHECK_ERR(pread(fd, text, 1, -1), EINVAL);
	CHECK_ERR(pwrite(fd, text, 1, -1), EINVAL);
	CHECK_OK(pipe(ends));
	CHECK_ERR(lseek(ends[0], 0, SEEK_CUR), ESPIPE);
	CHECK_ERR(pread(ends[0], text, 1, 0), ESPIPE);
	CHECK_ERR(pwrite(ends[1], text, 1, 0), ESPIPE);
}

TEST(shared_position)
{
	char c;
	int fd = CHECK_OK(open("f", O_CREAT | O_RDWR, 0666)), twin;
	pid_t pid;

	CHECK_EQ(write(fd, "abcdef", 6), 6);
	twin = CHECK_OK(dup(fd));
	CHECK_EQ(lseek(twin, 0, SEEK_SET), 0);
	CHECK_EQ(read(fd, &c, 1), 1);
	CHILD(pid)
		CHECK_EQ(lseek(fd, 2, SEEK_CUR), 3);
	CHECK_EXIT(pid, 0);
	CHECK_EQ(read(twin, &c, 1), 1);
	CHECK_EQ(c, 'd');
}

TEST(data_and_holes)
{
	int fd = CHECK_OK(open("/dev/shm", O_TMPFILE | O_RDWR, 0600));

	CHECK_EQ(pwrite(fd, "x", 1, 1 << 20), 1);
	CHECK_EQ(lseek(fd, 0, SEEK_DATA), 1 << 20);
	CHECK_EQ(lseek(fd, 0, SEEK_HOLE), 0);
	CHECK_EQ(lseek(fd, 1 << 20, SEEK_DATA), 1 << 20);
	CHECK_EQ(lseek(fd, 1 << 20, SEEK_HOLE), (1 << 20) + 1);
	CHECK_ERR(lseek(fd, (1 << 20) + 1, SEEK_DATA), ENXIO);
	CHECK_ERR(lseek(fd, (1 << 20) + 1, SEEK_HOLE), ENXIO);
	CHECK_ERR(lseek(fd, -1, SEEK_DATA), ENXIO);
}

TEST(vectors)
{
	char a[3], b[5];
	struct iovec v[3] = { { a, 3 }, { WILD, 0 }, { b, 5 } };
	int fd = CHECK_OK(open("f", O_CREAT | O_RDWR, 0666));

	memcpy(a, "abc", 3);
	memcpy(b, "defgh", 5);
	CHECK_EQ(writev(fd, v, 3), 8);
	CHECK_EQ(lseek(fd, 0, SEEK_SET), 0);
	memset(a, 0, 3);
	memset(b, 0, 5);
	CHECK_EQ(readv(fd, v, 3), 8);
	CHECK(!memcmp(a, "abc", 3) && !memcmp(b, "defgh", 5));
	CHECK_EQ(preadv(fd, v, 3, 4), 4);
	CHECK(!memcmp(a, "efg", 3) && b[0] == 'h');
	CHECK_EQ(pwritev(fd, v, 1, 0), 3);
	CHECK_EQ(readv(fd, v, 0), 0);
	CHECK_ERR(syscall(SYS_readv, fd, v, -1), EINVAL);
	CHECK_ERR(syscall(SYS_readv, fd, v, IOV_MAX + 1), EINVAL);
	CHECK_ERR(syscall(SYS_readv, fd, WILD, 1), EFAULT);
	CHECK_ERR(preadv(fd, v, 1, -1), EINVAL);
	v[0].iov_len = (size_t)-1;
	CHECK_ERR(readv(fd, v, 1), EINVAL);
	v[0].iov_len = 3;
	v[0].iov_base = WILD;
	CHECK_ERR(writev(fd, v, 1), EFAULT);
	CHECK_ERR(writev(-1, v, 1), EBADF);
}

TEST(vector_flags)
{
	char a[4] = "abc";
	struct iovec v = { a, 3 };
	int fd = CHECK_OK(open("f", O_CREAT | O_RDWR, 0666));

	CHECK_EQ(pwritev2(fd, &v, 1, -1, 0), 3);
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), 3);
	CHECK_EQ(pwritev2(fd, &v, 1, 0, RWF_APPEND), 3);
	CHECK_EQ(lseek(fd, 0, SEEK_END), 6);
	CHECK_EQ(pwritev2(fd, &v, 1, 0, RWF_SYNC | RWF_DSYNC), 3);
	CHECK_EQ(preadv2(fd, &v, 1, 3, RWF_HIPRI), 3);
	CHECK_EQ(lseek(fd, 1, SEEK_SET), 1);
	CHECK_EQ(preadv2(fd, &v, 1, -1, 0), 3);
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), 4);
	CHECK_ERR(preadv2(fd, &v, 1, 0, 0x40000000), EOPNOTSUPP);
	CHECK_ERR(preadv2(fd, &v, 1, -2, 0), EINVAL);
}

TEST(no_wait_on_a_pipe)
{
	char a[4];
	struct iovec v = { a, 3 };
	int ends[2];

	CHECK_OK(pipe(ends));
	/* Older systems know no such pipes. */
	CHECK(preadv2(ends[0], &v, 1, -1, RWF_NOWAIT) == -1);
	if (errno == EOPNOTSUPP)
		return;
	CHECK_EQ(errno, EAGAIN);
	CHECK_EQ(write(ends[1], "abc", 3), 3);
	CHECK_EQ(preadv2(ends[0], &v, 1, -1, RWF_NOWAIT), 3);
}

TEST(one_call_moves_at_most_two_gibibytes)
{
	int null = CHECK_OK(open("/dev/null", O_WRONLY));
	/* The length is cut before anything is looked at. */
	CHECK_EQ(syscall(SYS_write, null, WILD, 0x7fffffff), 0x7ffff000);
	CHECK_EQ(syscall(SYS_write, null, WILD, (size_t)1 << 40), 0x7ffff000);
}

TEST(size_limits)
{
	int fd = CHECK_OK(open("/dev/shm", O_TMPFILE | O_RDWR, 0600));

	CHECK_ERR(pwrite(fd, "x", 1, INT64_MAX), EINVAL);
	CHECK_ERR(pwrite(fd, "xx", 2, INT64_MAX - 1), EINVAL);
	CHECK_ERR(ftruncate(fd, -1), EINVAL);
}

/* Copies of every length, between places of every alignment, and up to a page that is not there. */
TEST(every_length)
{
	char *page = CHECK_OK(mmap(NULL, 8192, PROT_READ | PROT_WRITE,
				   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	char *end = page + 4096, back[400], zeros[8] = { 0 };
	int fd = CHECK_OK(open("f", O_CREAT | O_RDWR, 0666));

	CHECK_OK(munmap(end, 4096));
	for (int i = 0; i < 4096; i++)
		page[i] = (char)(i * 7 + i / 256 + 1);
	for (int len = 1; len < 300; len++) {
		for (int over = 0; over <= 9 && over < len; over += 3) {
			const char *from = end - len + over;
			ssize_t n = pwrite(fd, from, (size_t)len, 3);

			CHECK(n == len - over || (over && n == -1 && errno == EFAULT));
			if (n < 0)
				continue;
			memset(back, 0, sizeof(back));
			CHECK_EQ(pread(fd, back + len % 8, (size_t)n, 3), n);
			CHECK(!memcmp(back + len % 8, from, (size_t)n));
			CHECK(!memcmp(back + len % 8 + n, zeros, 8));
		}
	}
	for (int i = 0; i < 400; i++)
		back[i] = (char)(i * 11 + 3);
	CHECK_EQ(pwrite(fd, back, 400, 0), 400);
	for (int len = 1; len < 300; len++) {
		for (int over = 0; over <= 9 && over < len; over += 3) {
			char *to = end - len + over;

			memset(page, 0, 4096);
			ssize_t n = pread(fd, to, (size_t)len, 5);

			CHECK(n == len - over || (over && n == -1 && errno == EFAULT));
			if (n > 0)
				CHECK(!memcmp(to, back + 5, (size_t)n));
			CHECK(!memcmp(to - 8, zeros, 8));
		}
	}
}

/* What a reader sees while the file shrinks and grows is what was written there, or zeros. */
TEST(read_while_it_shrinks)
{
	enum { SIZE = 3 * 4096 };
	static char bytes[SIZE], other[SIZE];
	int fd = CHECK_OK(open("f", O_CREAT | O_RDWR, 0666));
	int to[2];

	memset(bytes, 'f', sizeof(bytes));
	CHECK_OK(pipe(to));
	pid_t child = CHECK_OK(fork());

	if (!child) {
		int mine = CHECK_OK(open("f", O_RDWR));

		for (int i = 0; i < 600; i++) {
			CHECK_EQ(pwrite(mine, bytes, SIZE, 0), SIZE);
			CHECK_EQ(pwrite(mine, bytes, 100, 4000), 100);
			CHECK_OK(ftruncate(mine, i % 2 ? 0 : 5000));
			/* Frames that the file gave back may be these. */
			char *m = CHECK_OK(mmap(NULL, SIZE, PROT_READ | PROT_WRITE,
						MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
			memset(m, 'm', SIZE);
			CHECK_OK(munmap(m, SIZE));
		}
		_exit(0);
	}
	while (waitpid(child, NULL, WNOHANG) == 0) {
		for (int at = 0; at < SIZE; at += 1000) {
			ssize_t n = CHECK_OK(pread(fd, other, 1000, at));

			for (ssize_t i = 0; i < n; i++)
				CHECK(other[i] == 'f' || other[i] == 0);
		}
	}
}
