#include "../test.h"
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>

static char buf[8192];

TEST(null)
{
	int fd = CHECK_OK(open("/dev/null", O_RDWR));
	struct pollfd p = { .fd = fd, .events = POLLIN | POLLOUT };

	CHECK_EQ(read(fd, buf, 100), 0);
	CHECK_EQ(write(fd, buf, 100), 100);
	CHECK_EQ(lseek(fd, 1000, SEEK_SET), 0);
	CHECK_EQ(poll(&p, 1, 0), 1);
	CHECK_EQ(p.revents, POLLIN | POLLOUT);
	CHECK_OK(open("/dev/null", O_RDWR | O_TRUNC | O_CREAT, 0666));
	CHECK_ERR(ioctl(fd, TIOCGWINSZ, buf), ENOTTY);
	CHECK_ERR((long)mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0),
		  ENODEV);
}

TEST(zero)
{
	int fd = CHECK_OK(open("/dev/zero", O_RDWR));

	memset(buf, 1, sizeof(buf));
	CHECK_EQ(read(fd, buf, sizeof(buf)), sizeof(buf));
	for (size_t i = 0; i < sizeof(buf); i++)
		CHECK_EQ(buf[i], 0);
	CHECK_EQ(write(fd, buf, 100), 100);
	CHECK_ERR(read(fd, WILD, 100), EFAULT);
}

TEST(full)
{
	int fd = CHECK_OK(open("/dev/full", O_RDWR));

	CHECK_EQ(read(fd, buf, 100), 100);
	CHECK_ERR(write(fd, buf, 1), ENOSPC);
}

TEST(random)
{
	int fd = CHECK_OK(open("/dev/urandom", O_RDWR)), zeros = 0;

	memset(buf, 0, sizeof(buf));
	CHECK_EQ(read(fd, buf, 1024), 1024);
	for (int i = 0; i < 1024; i++)
		zeros += buf[i] == 0;
	CHECK(zeros < 64);
	CHECK_EQ(write(fd, buf, 100), 100);
	fd = CHECK_OK(open("/dev/random", O_RDONLY));
	CHECK_EQ(read(fd, buf, 16), 16);
}

TEST(numbers)
{
	const struct { const char *name; unsigned major, minor; } list[] = {
		{ "/dev/null", 1, 3 }, { "/dev/zero", 1, 5 },
		{ "/dev/full", 1, 7 }, { "/dev/random", 1, 8 },
		{ "/dev/urandom", 1, 9 }, { "/dev/kmsg", 1, 11 },
		{ "/dev/tty", 5, 0 }, { "/dev/console", 5, 1 },
	};
	struct stat st;

	for (size_t i = 0; i < sizeof(list) / sizeof(*list); i++) {
		CHECK_OK(stat(list[i].name, &st));
		CHECK(S_ISCHR(st.st_mode));
		CHECK_EQ(major(st.st_rdev), list[i].major);
		CHECK_EQ(minor(st.st_rdev), list[i].minor);
	}
}

TEST(standard_links)
{
	struct stat st;
	char link[64] = "";

	CHECK(readlink("/dev/fd", link, sizeof(link) - 1) > 0);
	CHECK_STR(link, "/proc/self/fd");
	CHECK_OK(lstat("/dev/stdin", &st));
	CHECK(S_ISLNK(st.st_mode));
	CHECK_OK(stat("/dev/shm", &st));
	CHECK(S_ISDIR(st.st_mode));
	CHECK_OK(stat("/dev/pts", &st));
	CHECK(S_ISDIR(st.st_mode));
}

TEST(the_standard_input_by_name)
{
	int ends[2], fd;
	char c;

	CHECK_OK(pipe(ends));
	CHECK_OK(dup2(ends[0], 0));
	fd = CHECK_OK(open("/dev/stdin", O_RDONLY));
	CHECK_EQ(write(ends[1], "x", 1), 1);
	CHECK_EQ(read(fd, &c, 1), 1);
}

TEST(shared_memory_files)
{
	char name[64];
	int fd;
	char *p;

	snprintf(name, sizeof(name), "/nos-test-%d", getpid());
	fd = CHECK_OK(shm_open(name, O_CREAT | O_EXCL | O_RDWR, 0600));
	CHECK_OK(ftruncate(fd, 8192));
	p = CHECK_OK(mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
			  0));
	p[5000] = 7;
	CHECK_EQ(pread(fd, buf, 1, 5000), 1);
	CHECK_EQ(buf[0], 7);
	CHECK_OK(shm_unlink(name));
	CHECK_ERR(shm_open(name, O_RDWR, 0), ENOENT);
}
