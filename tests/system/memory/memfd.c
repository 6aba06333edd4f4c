#include "../test.h"
#include <sys/resource.h>
#include <sys/sendfile.h>

#define PAGE	4096ul
#define RW	(PROT_READ | PROT_WRITE)

TEST(basics)
{
	int fd = CHECK_OK(memfd_create("name", MFD_CLOEXEC)), again;
	char path[64], link[64] = "", *p;
	struct stat st;

	CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
	CHECK_OK(fstat(fd, &st));
	CHECK_EQ(st.st_size, 0);
	CHECK_EQ(st.st_mode & S_IFMT, S_IFREG);
	CHECK_EQ(write(fd, "hello", 5), 5);
	CHECK_OK(ftruncate(fd, PAGE));
	p = CHECK_OK(mmap(NULL, PAGE, RW, MAP_SHARED, fd, 0));
	CHECK(!memcmp(p, "hello", 6));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	CHECK(readlink(path, link, sizeof(link) - 1) > 0);
	CHECK_STR(link, "/memfd:name (deleted)");
	again = CHECK_OK(open(path, O_RDWR));
	p[0] = 'J';
	CHECK_EQ(read(again, path, 5), 5);
	CHECK_EQ(path[0], 'J');
}

HELPER(fine)
{
	return 7;
}

TEST(programs_and_code)
{
	int self = CHECK_OK(open("/proc/self/exe", O_RDONLY)), fd = CHECK_OK(memfd_create("x", 0));
	char *argv[] = { test_self, "helper:fine", NULL }, *none[] = { NULL };
	off_t size = CHECK_OK(lseek(self, 0, SEEK_END)), at = 0;
	pid_t pid;

	while (at < size)
		CHECK(sendfile(fd, self, &at, (size_t)(size - at)) > 0);
	CHECK_OK(mmap(NULL, PAGE, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0));
	CHECK_OK(faccessat(fd, "", X_OK, AT_EMPTY_PATH));
	CHILD(pid)
		CHECK_OK(syscall(SYS_execveat, fd, "", argv, none, AT_EMPTY_PATH));
	CHECK_EXIT(pid, 7);
}

TEST(limits_of_space)
{
	struct rlimit small = { 4 * PAGE, RLIM_INFINITY };
	int fd = CHECK_OK(memfd_create("x", 0)), mode = FALLOC_FL_KEEP_SIZE;
	pid_t pid;

	CHECK_OK(ftruncate(fd, 6 * PAGE));
	CHILD(pid) {
		signal(SIGXFSZ, SIG_IGN);
		CHECK_OK(setrlimit(RLIMIT_FSIZE, &small));
		CHECK_OK(fallocate(fd, 0, 0, 6 * PAGE));
		CHECK_ERR(fallocate(fd, mode, 0, 7 * PAGE), EFBIG);
		signal(SIGXFSZ, SIG_DFL);
		/* What there is not comes before the limit. */
		CHECK_ERR(fallocate(fd, mode | FALLOC_FL_UNSHARE_RANGE, 0, 7 * PAGE), EOPNOTSUPP);
		CHECK_OK(fallocate(fd, mode | FALLOC_FL_PUNCH_HOLE, 0, 7 * PAGE));
		(void)fallocate(fd, 0, 0, 7 * PAGE);
	}
	CHECK_KILLED(pid, SIGXFSZ);
}

TEST(arguments)
{
	char name[300];

	memset(name, 'n', sizeof(name));
	name[250] = 0;
	CHECK_ERR(memfd_create(name, 0), EINVAL);
	name[249] = 0;
	CHECK_OK(memfd_create(name, 0));
	CHECK_ERR(memfd_create("x", 0x4000000), EINVAL);
	CHECK_ERR(syscall(SYS_memfd_create, WILD, 0), EFAULT);
	CHECK_OK(memfd_create("", 0));
}

TEST(without_sealing)
{
	int fd = CHECK_OK(memfd_create("x", 0));

	CHECK_EQ(fcntl(fd, F_GET_SEALS), F_SEAL_SEAL);
	CHECK_ERR(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK), EPERM);
	fd = CHECK_OK(open("f", O_CREAT | O_RDWR, 0666));
	CHECK_ERR(fcntl(CHECK_OK(open("/dev/null", O_RDWR)), F_GET_SEALS),
		  EINVAL);
}

TEST(size_seals)
{
	int fd = CHECK_OK(memfd_create("x", MFD_ALLOW_SEALING));

	CHECK_EQ(fcntl(fd, F_GET_SEALS), 0);
	CHECK_OK(ftruncate(fd, 2 * PAGE));
	CHECK_OK(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK));
	CHECK_ERR(ftruncate(fd, PAGE), EPERM);
	CHECK_OK(ftruncate(fd, 3 * PAGE));
	CHECK_OK(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW));
	CHECK_ERR(ftruncate(fd, 4 * PAGE), EPERM);
	CHECK_ERR(pwrite(fd, "x", 1, 3 * PAGE), EPERM);
	CHECK_EQ(pwrite(fd, "x", 1, 0), 1);
	CHECK_EQ(fcntl(fd, F_GET_SEALS), F_SEAL_SHRINK | F_SEAL_GROW);
	CHECK_ERR(fcntl(fd, F_ADD_SEALS, 0x1000), EINVAL);
}

TEST(write_seal)
{
	int fd = CHECK_OK(memfd_create("x", MFD_ALLOW_SEALING));
	char *p;

	CHECK_OK(ftruncate(fd, PAGE));
	p = CHECK_OK(mmap(NULL, PAGE, RW, MAP_SHARED, fd, 0));
	CHECK_ERR(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), EBUSY);
	CHECK_OK(munmap(p, PAGE));
	p = CHECK_OK(mmap(NULL, PAGE, RW, MAP_PRIVATE, fd, 0));
	CHECK_OK(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE));
	CHECK_ERR(write(fd, "x", 1), EPERM);
	CHECK_ERR(fallocate(fd, 3, 0, PAGE), EPERM);
	CHECK_ERR((long)mmap(NULL, PAGE, RW, MAP_SHARED, fd, 0), EPERM);
	CHECK_OK(mmap(NULL, PAGE, RW, MAP_PRIVATE, fd, 0));
	p[0] = 1;
}

TEST(future_write_seal)
{
	int fd = CHECK_OK(memfd_create("x", MFD_ALLOW_SEALING));
	char *p, c;

	CHECK_OK(ftruncate(fd, PAGE));
	p = CHECK_OK(mmap(NULL, PAGE, RW, MAP_SHARED, fd, 0));
	CHECK_OK(fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE));
	p[0] = 'x';
	CHECK_EQ(pread(fd, &c, 1, 0), 1);
	CHECK_EQ(c, 'x');
	CHECK_ERR(write(fd, "x", 1), EPERM);
	CHECK_ERR((long)mmap(NULL, PAGE, RW, MAP_SHARED, fd, 0), EPERM);
}

TEST(sealed_seals)
{
	int fd = CHECK_OK(memfd_create("x", MFD_ALLOW_SEALING));

	CHECK_OK(fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL));
	CHECK_ERR(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), EPERM);
}

TEST(shared_between_processes)
{
	int fd = CHECK_OK(memfd_create("x", 0));
	volatile int *p;
	pid_t pid;

	CHECK_OK(ftruncate(fd, PAGE));
	p = CHECK_OK(mmap(NULL, PAGE, RW, MAP_SHARED, fd, 0));
	CHILD(pid) {
		volatile int *q = CHECK_OK(mmap(NULL, PAGE, RW, MAP_SHARED, fd,
						0));

		q[1] = 5;
	}
	CHECK_EXIT(pid, 0);
	CHECK_EQ(p[1], 5);
}

TEST(write_whose_source_ends_early)
{
	int fd = CHECK_OK(memfd_create("x", 0));
	char *p = CHECK_OK(mmap(NULL, 32 * PAGE, RW,
				MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	char bytes[64];

	memset(p, 7, 32 * PAGE);
	CHECK_OK(mprotect(p + 3 * PAGE, PAGE, PROT_NONE));
	CHECK_EQ(pwrite(fd, p, 32 * PAGE, 0), 3 * PAGE);
	CHECK_ERR(pwrite(fd, p + 3 * PAGE, PAGE, 64 * PAGE), EFAULT);
	CHECK_OK(ftruncate(fd, 80 * PAGE));
	CHECK_EQ(pread(fd, bytes, 64, 3 * PAGE - 32), 64);
	CHECK(bytes[31] == 7 && bytes[32] == 0);
	CHECK_EQ(pread(fd, bytes, 64, 64 * PAGE), 64);
	CHECK_EQ(bytes[0], 0);
}

TEST(write_from_its_own_mapping)
{
	int fd = CHECK_OK(memfd_create("x", 0));
	char *p;

	CHECK_OK(ftruncate(fd, 16 * PAGE));
	p = CHECK_OK(mmap(NULL, 16 * PAGE, RW, MAP_SHARED, fd, 0));
	p[100] = 9;
	CHECK_EQ(pwrite(fd, p + 100, PAGE, 5000), PAGE);
	CHECK_EQ(p[5000], 9);
}

/* madvise(2), MADV_REMOVE: the hole is in the file, whoever looks, and counts as a change of it. */
TEST(hole_by_advice)
{
	int fd = CHECK_OK(memfd_create("x", 0));
	struct stat before, after;
	char byte = 1, *p, *q;

	CHECK_OK(ftruncate(fd, 8 * PAGE));
	p = CHECK_OK(mmap(NULL, 8 * PAGE, RW, MAP_SHARED, fd, 0));
	q = CHECK_OK(mmap(NULL, 8 * PAGE, RW, MAP_PRIVATE, fd, 0));
	memset(p, 7, 8 * PAGE);
	q[5 * PAGE] = 3;
	CHECK_OK(fstat(fd, &before));
	usleep(20000);
	CHECK_OK(madvise(p + 2 * PAGE, 4 * PAGE, MADV_REMOVE));
	CHECK_OK(fstat(fd, &after));
	CHECK_EQ(after.st_size, 8 * PAGE);
	CHECK_EQ(before.st_blocks - after.st_blocks, 4 * PAGE / 512);
	CHECK(after.st_mtim.tv_sec > before.st_mtim.tv_sec ||
	      after.st_mtim.tv_nsec > before.st_mtim.tv_nsec);
	CHECK_EQ(pread(fd, &byte, 1, 3 * PAGE), 1);
	CHECK_EQ(byte, 0);
	CHECK(p[2 * PAGE] == 0 && q[3 * PAGE] == 0 && p[6 * PAGE] == 7 && q[5 * PAGE] == 3);
	CHECK_ERR(madvise(q, PAGE, MADV_REMOVE), EACCES);
	CHECK_ERR(madvise(CHECK_OK(mmap(NULL, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)), PAGE,
			  MADV_REMOVE),
		  EINVAL);
}
