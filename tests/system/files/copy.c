#include "../test.h"
#include <sys/sendfile.h>
#include <sys/socket.h>

static int file_with(const char *name, const char *text)
{
	test_make_file(name, text);
	return CHECK_OK(open(name, O_RDWR));
}

TEST(copy_range)
{
	int in = file_with("a", "0123456789"), out = file_with("b", "");
	char text[32];
	off_t from = 2, to = 1;

	CHECK_EQ(copy_file_range(in, NULL, out, NULL, 4, 0), 4);
	CHECK_EQ(lseek(in, 0, SEEK_CUR), 4);
	CHECK_EQ(lseek(out, 0, SEEK_CUR), 4);
	CHECK_EQ(copy_file_range(in, &from, out, &to, 5, 0), 5);
	CHECK_EQ(from, 7);
	CHECK_EQ(to, 6);
	CHECK_EQ(lseek(in, 0, SEEK_CUR), 4);
	CHECK_EQ(pread(out, text, 32, 0), 6);
	CHECK(!memcmp(text, "023456", 6));
	CHECK_EQ(copy_file_range(in, NULL, out, NULL, 100, 0), 6);
	CHECK_EQ(copy_file_range(in, NULL, out, NULL, 100, 0), 0);
}

TEST(copy_range_errors)
{
	int in = file_with("a", "0123456789"), out = file_with("b", "");
	int ends[2], dir = CHECK_OK(open(".", O_RDONLY));
	off_t from = 0, to = 3, bad = -1;

	CHECK_ERR(copy_file_range(in, NULL, out, NULL, 1, 1), EINVAL);
	CHECK_ERR(copy_file_range(in, &from, in, &to, 5, 0), EINVAL);
	CHECK_ERR(copy_file_range(-1, NULL, out, NULL, 1, 0), EBADF);
	CHECK_ERR(copy_file_range(in, NULL, -1, NULL, 1, 0), EBADF);
	CHECK_ERR(copy_file_range(dir, NULL, out, NULL, 1, 0), EISDIR);
	CHECK_OK(pipe(ends));
	CHECK_ERR(copy_file_range(in, NULL, ends[1], NULL, 1, 0), EINVAL);
	CHECK_ERR(copy_file_range(in, WILD, out, NULL, 1, 0), EFAULT);
	CHECK_ERR(copy_file_range(in, &bad, out, NULL, 1, 0), EOVERFLOW);
	CHECK_ERR(copy_file_range(CHECK_OK(open("a", O_WRONLY)), NULL, out,
				  NULL, 1, 0), EBADF);
	CHECK_ERR(copy_file_range(in, NULL, CHECK_OK(open("b", O_RDONLY)),
				  NULL, 1, 0), EBADF);
	CHECK_ERR(copy_file_range(in, NULL,
				  CHECK_OK(open("b", O_WRONLY | O_APPEND)),
				  NULL, 1, 0), EBADF);
}

TEST(copy_range_of_two_file_systems)
{
	int in = file_with("a", "0123456789"), out = CHECK_OK(memfd_create("m", 0));
	off_t from = 0, to = 8, end = 10, far = INT64_MAX - 3;

	CHECK_ERR(copy_file_range(in, NULL, out, NULL, 4, 0), EXDEV);
	CHECK_ERR(copy_file_range(out, NULL, in, NULL, 4, 0), EXDEV);
	CHECK_EQ(lseek(in, 0, SEEK_CUR), 0);
	/* What lies beyond the end overlaps nothing. */
	CHECK_EQ(copy_file_range(in, &to, in, &from, 8, 0), 2);
	to = 10;
	CHECK_EQ(copy_file_range(in, &to, in, &end, 100, 0), 0);
	CHECK_EQ(copy_file_range(in, &far, in, &from, 100, 0), 0);
	CHECK_ERR(copy_file_range(in, &from, in, &(off_t){ -200 }, 100, 0), EINVAL);
}

TEST(sendfile_to_files_pipes_and_sockets)
{
	int in = file_with("a", "0123456789"), out = file_with("b", "");
	int ends[2], sv[2];
	off_t at = 3;
	char text[16];

	CHECK_EQ(sendfile(out, in, NULL, 4), 4);
	CHECK_EQ(lseek(in, 0, SEEK_CUR), 4);
	CHECK_EQ(sendfile(out, in, &at, 100), 7);
	CHECK_EQ(at, 10);
	CHECK_EQ(lseek(in, 0, SEEK_CUR), 4);
	CHECK_EQ(pread(out, text, 16, 0), 11);
	CHECK(!memcmp(text, "01233456789", 11));
	CHECK_OK(pipe(ends));
	at = 0;
	CHECK_EQ(sendfile(ends[1], in, &at, 5), 5);
	CHECK_EQ(read(ends[0], text, 16), 5);
	CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, sv));
	CHECK_EQ(sendfile(sv[0], in, &at, 5), 5);
	CHECK_EQ(read(sv[1], text, 16), 5);
	CHECK(!memcmp(text, "56789", 5));
	CHECK_EQ(sendfile(out, in, &at, 5), 0);
}

TEST(sendfile_of_a_stream)
{
	int ends[2], sv[2], out = file_with("b", "");
	char text[16];

	CHECK_OK(pipe2(ends, O_NONBLOCK));
	CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, sv));
	CHECK_ERR(sendfile(ends[1], sv[0], NULL, 5), EAGAIN);
	CHECK_EQ(write(sv[1], "hello", 5), 5);
	CHECK_ERR(sendfile(out, sv[0], NULL, 5), EINVAL);
	CHECK_ERR(sendfile(ends[1], ends[0], NULL, 5), EINVAL);
	CHECK_ERR(sendfile(ends[1], sv[0], &(off_t){ 0 }, 5), ESPIPE);
	CHECK_EQ(sendfile(ends[1], sv[0], NULL, 50), 5);
	CHECK_EQ(read(ends[0], text, sizeof(text)), 5);
	CHECK(!memcmp(text, "hello", 5));
}

TEST(sendfile_errors)
{
	int in = file_with("a", "0123456789"), out = file_with("b", "");
	int ends[2];
	off_t bad = -1;

	CHECK_ERR(sendfile(-1, in, NULL, 1), EBADF);
	CHECK_ERR(sendfile(out, -1, NULL, 1), EBADF);
	CHECK_ERR(sendfile(CHECK_OK(open("b", O_RDONLY)), in, NULL, 1),
		  EBADF);
	CHECK_ERR(sendfile(out, in, &bad, 1), EINVAL);
	CHECK_ERR(sendfile(out, in, WILD, 1), EFAULT);
	CHECK_ERR(sendfile(CHECK_OK(open("b", O_WRONLY | O_APPEND)), in, NULL,
			   1), EINVAL);
	CHECK_OK(pipe(ends));
	CHECK_ERR(sendfile(out, ends[0], &(off_t){ 0 }, 1), ESPIPE);
	CHECK_OK(close(ends[0]));
	signal(SIGPIPE, SIG_IGN);
	CHECK_ERR(sendfile(ends[1], in, NULL, 1), EPIPE);
}

TEST(large_copies)
{
	static char block[300000], back[300000];
	int in = file_with("a", ""), out = file_with("b", "");
	off_t from = 0;

	for (size_t i = 0; i < sizeof(block); i++)
		block[i] = (char)(i * 7 + i / 251);
	CHECK_EQ(write(in, block, sizeof(block)), sizeof(block));
	CHECK_OK(lseek(in, 0, SEEK_SET));
	while (from < (off_t)sizeof(block))
		CHECK(copy_file_range(in, &from, out, NULL, sizeof(block),
				      0) > 0);
	CHECK_EQ(pread(out, back, sizeof(back), 0), sizeof(back));
	CHECK(!memcmp(block, back, sizeof(block)));
	CHECK_OK(ftruncate(out, 0));
	CHECK_OK(lseek(out, 0, SEEK_SET));
	while (CHECK_OK(sendfile(out, in, NULL, 100000)) > 0)
		continue;
	memset(back, 0, sizeof(back));
	CHECK_EQ(pread(out, back, sizeof(back), 0), sizeof(back));
	CHECK(!memcmp(block, back, sizeof(block)));
}
