#include "../test.h"
#include <linux/falloc.h>
#include <sys/resource.h>

static off_t size_of(int fd)
{
	struct stat st;

	CHECK_OK(fstat(fd, &st));
	return st.st_size;
}

static int scratch(void)
{
	return CHECK_OK(open("/dev/shm", O_TMPFILE | O_RDWR, 0600));
}

TEST(truncate_grows_and_shrinks)
{
	char text[8192];
	int fd = CHECK_OK(open("f", O_CREAT | O_RDWR, 0666));

	CHECK_EQ(write(fd, "abcdef", 6), 6);
	CHECK_OK(ftruncate(fd, 3));
	CHECK_EQ(size_of(fd), 3);
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), 6);
	CHECK_OK(ftruncate(fd, 5000));
	CHECK_EQ(pread(fd, text, sizeof(text), 0), 5000);
	CHECK(!memcmp(text, "abc\0\0\0\0", 7));
	for (int i = 3; i < 5000; i++)
		CHECK(!text[i]);
	CHECK_OK(truncate("f", 2));
	CHECK_EQ(size_of(fd), 2);
	CHECK_ERR(truncate("f", -1), EINVAL);
	CHECK_ERR(truncate("none", 0), ENOENT);
	CHECK_ERR(truncate(".", 0), EISDIR);
	CHECK_ERR(truncate(WILD, 0), EFAULT);
	CHECK_ERR(ftruncate(-1, 0), EBADF);
	CHECK_ERR(ftruncate(CHECK_OK(open(".", O_RDONLY)), 0), EINVAL);
	CHECK_ERR(ftruncate(CHECK_OK(open("/dev/null", O_RDWR)), 0), EINVAL);
}

TEST(old_data_does_not_come_back)
{
	char text[4096];
	int fd = scratch();

	memset(text, 'x', sizeof(text));
	CHECK_EQ(write(fd, text, sizeof(text)), 4096);
	CHECK_OK(ftruncate(fd, 100));
	CHECK_EQ(pwrite(fd, "y", 1, 4095), 1);
	CHECK_EQ(pread(fd, text, 4096, 0), 4096);
	CHECK(text[99] == 'x' && text[100] == 0 && text[4094] == 0);
	CHECK_EQ(text[4095], 'y');
}

TEST(file_size_limit)
{
	struct rlimit limit = { 10, 10 };
	int fd = CHECK_OK(open("f", O_CREAT | O_RDWR, 0666));
	pid_t pid;

	CHILD(pid) {
		CHECK_OK(setrlimit(RLIMIT_FSIZE, &limit));
		signal(SIGXFSZ, SIG_IGN);
		CHECK_EQ(write(fd, "0123456789abc", 13), 10);
		CHECK_ERR(write(fd, "x", 1), EFBIG);
		CHECK_ERR(ftruncate(fd, 11), EFBIG);
		CHECK_OK(ftruncate(fd, 10));
		CHECK_EQ(pwrite(fd, "x", 1, 9), 1);
	}
	CHECK_EXIT(pid, 0);
	CHILD(pid) {
		CHECK_OK(setrlimit(RLIMIT_CORE, &(struct rlimit){}));
		CHECK_OK(setrlimit(RLIMIT_FSIZE, &limit));
		pwrite(fd, "x", 1, 10);
	}
	CHECK_KILLED(pid, SIGXFSZ);
}

TEST(allocate)
{
	struct stat st;
	int fd = scratch(), ends[2];

	CHECK_OK(fallocate(fd, 0, 0, 10000));
	CHECK_EQ(size_of(fd), 10000);
	CHECK_OK(fstat(fd, &st));
	CHECK(st.st_blocks >= 10000 / 512);
	CHECK_OK(fallocate(fd, FALLOC_FL_KEEP_SIZE, 10000, 90000));
	CHECK_EQ(size_of(fd), 10000);
	CHECK_OK(fallocate(fd, 0, 0, 100));
	CHECK_EQ(size_of(fd), 10000);
	CHECK_ERR(fallocate(fd, 0, -1, 100), EINVAL);
	CHECK_ERR(fallocate(fd, 0, 0, 0), EINVAL);
	CHECK_ERR(fallocate(fd, 0, 0, -1), EINVAL);
	CHECK_ERR(fallocate(fd, 0, INT64_MAX - 10, 100), EFBIG);
	CHECK_ERR(fallocate(fd, 0x4000, 0, 100), EOPNOTSUPP);
	CHECK_ERR(fallocate(-1, 0, 0, 100), EBADF);
	CHECK_OK(pipe(ends));
	CHECK_ERR(fallocate(ends[1], 0, 0, 100), ESPIPE);
	CHECK_ERR(fallocate(CHECK_OK(open("/dev/null", O_WRONLY)), 0, 0, 1),
		  ENODEV);
	fd = CHECK_OK(open("ro", O_CREAT | O_RDONLY, 0666));
	CHECK_ERR(fallocate(fd, 0, 0, 100), EBADF);
}

TEST(punch)
{
	static char text[16384];
	const int punch = FALLOC_FL_PUNCH_HOLE;
	struct stat st;
	int fd = scratch();

	memset(text, 'x', sizeof(text));
	CHECK_EQ(write(fd, text, sizeof(text)), 16384);
	CHECK_ERR(fallocate(fd, punch, 0, 4096), EOPNOTSUPP);
	CHECK_OK(fallocate(fd, punch | FALLOC_FL_KEEP_SIZE, 100, 10000));
	CHECK_EQ(size_of(fd), 16384);
	CHECK_EQ(pread(fd, text, 16384, 0), 16384);
	CHECK(text[99] == 'x' && text[100] == 0 && text[10099] == 0);
	CHECK_EQ(text[10100], 'x');
	CHECK_OK(fstat(fd, &st));
	CHECK_EQ(st.st_blocks, 24);
	CHECK_EQ(lseek(fd, 0, SEEK_HOLE), 4096);
	CHECK_EQ(lseek(fd, 4096, SEEK_DATA), 8192);
	/* Past the end nothing happens. */
	CHECK_OK(fallocate(fd, punch | FALLOC_FL_KEEP_SIZE, 20000, 10000));
	CHECK_EQ(size_of(fd), 16384);
}

TEST(posix_fallocate_call)
{
	int fd = scratch();

	CHECK_EQ(posix_fallocate(fd, 100, 100), 0);
	CHECK_EQ(size_of(fd), 200);
	CHECK_EQ(posix_fallocate(fd, 0, 0), EINVAL);
}

TEST(sync_family)
{
	int fd = CHECK_OK(open("f", O_CREAT | O_RDWR, 0666)), ends[2];

	CHECK_EQ(write(fd, "x", 1), 1);
	CHECK_OK(fsync(fd));
	CHECK_OK(fdatasync(fd));
	CHECK_OK(syncfs(fd));
	CHECK_OK(sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE));
	CHECK_ERR(sync_file_range(fd, 0, 0, 0x100), EINVAL);
	CHECK_ERR(sync_file_range(fd, -1, 0, 0), EINVAL);
	CHECK_ERR(sync_file_range(fd, 1ll << 62, 1ll << 62, 0), EINVAL);
	CHECK_OK(sync_file_range(fd, 1ll << 62, (1ll << 62) - 1, 0));
	CHECK_ERR(fsync(-1), EBADF);
	CHECK_ERR(fdatasync(-1), EBADF);
	CHECK_ERR(syncfs(-1), EBADF);
	CHECK_OK(fsync(CHECK_OK(open(".", O_RDONLY))));
	CHECK_OK(pipe(ends));
	CHECK_ERR(fsync(ends[0]), EINVAL);
	CHECK_OK(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED));
	CHECK_EQ(posix_fadvise(fd, 0, 0, 99), EINVAL);
	CHECK_EQ(posix_fadvise(ends[0], 0, 0, POSIX_FADV_NORMAL), ESPIPE);
	CHECK_EQ(posix_fadvise(-1, 0, 0, POSIX_FADV_NORMAL), EBADF);
	CHECK_OK(readahead(fd, 0, 4096));
	CHECK_ERR(readahead(ends[0], 0, 4096), EINVAL);
}

TEST(full_tmpfs_space_of_one_file_is_given_back)
{
	struct stat st;
	int fd = scratch();

	CHECK_OK(fallocate(fd, 0, 0, 4 << 20));
	CHECK_OK(ftruncate(fd, 0));
	CHECK_OK(fstat(fd, &st));
	CHECK_EQ(st.st_blocks, 0);
}
