#include "../test.h"
#include <poll.h>
#include <sys/uio.h>

TEST(file_to_pipe_and_back)
{
	int ends[2], in, out;
	off_t at = 2;
	char text[16];

	test_make_file("a", "0123456789");
	in = CHECK_OK(open("a", O_RDONLY));
	out = CHECK_OK(open("b", O_CREAT | O_RDWR, 0666));
	CHECK_OK(pipe(ends));
	CHECK_EQ(splice(in, NULL, ends[1], NULL, 4, 0), 4);
	CHECK_EQ(lseek(in, 0, SEEK_CUR), 4);
	CHECK_EQ(splice(in, &at, ends[1], NULL, 100, 0), 8);
	CHECK_EQ(at, 10);
	at = 1;
	CHECK_EQ(splice(ends[0], NULL, out, &at, 100, 0), 12);
	CHECK_EQ(at, 13);
	CHECK_EQ(lseek(out, 0, SEEK_CUR), 0);
	CHECK_EQ(pread(out, text, 16, 0), 13);
	CHECK(!memcmp(text, "\0" "012323456789", 13));
	/* End of file. */
	CHECK_EQ(lseek(in, 0, SEEK_END), 10);
	CHECK_EQ(splice(in, NULL, ends[1], NULL, 4, 0), 0);
}

TEST(pipe_to_pipe)
{
	int a[2], b[2];
	char text[16];

	CHECK_OK(pipe(a));
	CHECK_OK(pipe(b));
	CHECK_EQ(write(a[1], "abcdef", 6), 6);
	CHECK_EQ(splice(a[0], NULL, b[1], NULL, 4, 0), 4);
	CHECK_EQ(read(b[0], text, 16), 4);
	CHECK_EQ(read(a[0], text, 16), 2);
	CHECK_ERR(splice(a[0], NULL, b[1], NULL, 4, SPLICE_F_NONBLOCK),
		  EAGAIN);
	CHECK_ERR(splice(a[0], NULL, a[1], NULL, 4, 0), EINVAL);
	CHECK_OK(close(a[1]));
	CHECK_EQ(splice(a[0], NULL, b[1], NULL, 4, 0), 0);
}

TEST(tee_copies)
{
	int a[2], b[2];
	char text[16];

	CHECK_OK(pipe(a));
	CHECK_OK(pipe(b));
	CHECK_EQ(write(a[1], "abcdef", 6), 6);
	CHECK_EQ(tee(a[0], b[1], 4, 0), 4);
	CHECK_EQ(read(b[0], text, 16), 4);
	CHECK(!memcmp(text, "abcd", 4));
	CHECK_EQ(read(a[0], text, 16), 6);
	CHECK(!memcmp(text, "abcdef", 6));
	CHECK_ERR(tee(a[0], b[1], 4, SPLICE_F_NONBLOCK), EAGAIN);
	CHECK_ERR(tee(a[0], a[1], 4, 0), EINVAL);
	CHECK_ERR(tee(-1, b[1], 4, 0), EBADF);
	CHECK_ERR(tee(CHECK_OK(open(".", O_RDONLY)), b[1], 4, 0), EINVAL);
}

TEST(vmsplice_both_ways)
{
	char a[] = "hello", b[] = " world", text[32] = "";
	struct iovec v[2] = { { a, 5 }, { b, 6 } };
	int ends[2];

	CHECK_OK(pipe(ends));
	CHECK_EQ(vmsplice(ends[1], v, 2, 0), 11);
	v[0].iov_base = text;
	v[0].iov_len = 32;
	CHECK_EQ(vmsplice(ends[0], v, 1, 0), 11);
	CHECK(!memcmp(text, "hello world", 11));
	CHECK_ERR(vmsplice(-1, v, 1, 0), EBADF);
	CHECK_ERR(vmsplice(CHECK_OK(open(".", O_RDONLY)), v, 1, 0), EBADF);
	CHECK_ERR(vmsplice(ends[1], WILD, 1, 0), EFAULT);
	v[0].iov_base = WILD;
	CHECK_ERR(vmsplice(ends[1], v, 1, 0), EFAULT);
	CHECK_EQ(vmsplice(ends[1], v, 0, 0), 0);
}

TEST(errors)
{
	int ends[2], in;
	off_t at = 0;

	test_make_file("a", "0123456789");
	in = CHECK_OK(open("a", O_RDWR));
	CHECK_OK(pipe(ends));
	CHECK_ERR(splice(in, NULL, in, NULL, 4, 0), EINVAL);
	CHECK_ERR(splice(-1, NULL, ends[1], NULL, 4, 0), EBADF);
	CHECK_ERR(splice(in, NULL, -1, NULL, 4, 0), EBADF);
	CHECK_ERR(splice(in, NULL, ends[0], NULL, 4, 0), EBADF);
	CHECK_ERR(splice(ends[1], NULL, in, NULL, 4, 0), EBADF);
	CHECK_ERR(splice(in, NULL, ends[1], &at, 4, 0), ESPIPE);
	CHECK_ERR(splice(in, NULL, ends[1], NULL, 4, 0x100), EINVAL);
	CHECK_ERR(splice(in, WILD, ends[1], NULL, 4, 0), EFAULT);
	CHECK_EQ(splice(in, NULL, ends[1], NULL, 0, 0), 0);
	CHECK_EQ(write(ends[1], "x", 1), 1);
	CHECK_ERR(splice(ends[0], NULL,
			 CHECK_OK(open("a", O_WRONLY | O_APPEND)), NULL, 1,
			 0), EINVAL);
}

TEST(full_pipe)
{
	int ends[2], in = CHECK_OK(open("f", O_CREAT | O_RDWR, 0666));
	ssize_t n, total = 0;

	CHECK_OK(ftruncate(in, 1 << 20));
	CHECK_OK(pipe(ends));
	while ((n = splice(in, NULL, ends[1], NULL, 4096,
			   SPLICE_F_NONBLOCK)) > 0)
		total += n;
	CHECK_EQ(errno, EAGAIN);
	CHECK(total >= 4096 && total <= 65536);
}

TEST(large_through_a_pipe)
{
	static char block[200000], back[200000];
	int ends[2], in, out;
	pid_t pid;
	ssize_t n;

	for (size_t i = 0; i < sizeof(block); i++)
		block[i] = (char)(i * 13 + i / 255);
	in = CHECK_OK(open("a", O_CREAT | O_RDWR, 0666));
	out = CHECK_OK(open("b", O_CREAT | O_RDWR, 0666));
	CHECK_EQ(pwrite(in, block, sizeof(block), 0), sizeof(block));
	CHECK_OK(pipe(ends));
	CHILD(pid) {
		close(ends[0]);
		while (CHECK_OK(splice(in, NULL, ends[1], NULL, 1 << 20, 0)))
			continue;
	}
	CHECK_OK(close(ends[1]));
	while ((n = splice(ends[0], NULL, out, NULL, 1 << 20,
			   SPLICE_F_MOVE | SPLICE_F_MORE)) > 0)
		continue;
	CHECK_EQ(n, 0);
	CHECK_EXIT(pid, 0);
	CHECK_EQ(pread(out, back, sizeof(back), 0), sizeof(back));
	CHECK(!memcmp(block, back, sizeof(block)));
}
