#include "../test.h"
#include <setjmp.h>

#define PAGE	4096ul
#define RW	(PROT_READ | PROT_WRITE)
#define ANON	(MAP_PRIVATE | MAP_ANONYMOUS)

static sigjmp_buf jump;

static void on_fault(int sig)
{
	siglongjmp(jump, sig);
}

/* The signal that touching this byte gives, 0 for none. */
static int touch(volatile char *p, bool write_it)
{
	int sig;

	signal(SIGSEGV, on_fault);
	signal(SIGBUS, on_fault);
	sig = sigsetjmp(jump, 1);
	if (sig)
		return sig;
	if (write_it)
		*p = *p;
	else
		(void)*p;
	return 0;
}

static char *map(size_t size, int prot, int flags, int fd)
{
	return CHECK_OK(mmap(NULL, size, prot, flags, fd, 0));
}

TEST(anonymous)
{
	char *p = map(10 * PAGE, RW, ANON, -1);

	CHECK_EQ((uintptr_t)p % PAGE, 0);
	for (size_t i = 0; i < 10 * PAGE; i += 97)
		CHECK_EQ(p[i], 0);
	memset(p, 1, 10 * PAGE);
	CHECK_OK(munmap(p + 3 * PAGE, PAGE));
	CHECK_EQ(touch(p + 3 * PAGE, false), SIGSEGV);
	CHECK_EQ(touch(p + 2 * PAGE, false), 0);
	CHECK_EQ(touch(p + 4 * PAGE, false), 0);
	/* Unmapping a hole is fine. */
	CHECK_OK(munmap(p, 10 * PAGE));
	CHECK_OK(munmap(p, 10 * PAGE));
}

TEST(arguments)
{
	int fd = CHECK_OK(open("f", O_CREAT | O_RDWR, 0666)), ends[2];
	int ro = CHECK_OK(open("f", O_RDONLY)), wo;

	wo = CHECK_OK(open("f", O_WRONLY));
	CHECK_ERR((long)mmap(NULL, 0, RW, ANON, -1, 0), EINVAL);
	CHECK_ERR((long)mmap(NULL, PAGE, RW, MAP_ANONYMOUS, -1, 0), EINVAL);
	CHECK_ERR((long)mmap(NULL, PAGE, RW, MAP_PRIVATE, fd, 100), EINVAL);
	CHECK_ERR((long)mmap(NULL, PAGE, RW, MAP_PRIVATE, -1, 0), EBADF);
	CHECK_ERR((long)mmap(NULL, PAGE, RW, MAP_SHARED, ro, 0), EACCES);
	CHECK_OK(mmap(NULL, PAGE, RW, MAP_PRIVATE, ro, 0));
	CHECK_OK(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, ro, 0));
	CHECK_ERR((long)mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, wo, 0),
		  EACCES);
	CHECK_OK(pipe(ends));
	CHECK_ERR((long)mmap(NULL, PAGE, RW, MAP_SHARED, ends[0], 0), EACCES);
	CHECK_ERR((long)mmap(NULL, PAGE, PROT_READ, MAP_SHARED, ends[0], 0),
		  ENODEV);
	CHECK_ERR((long)mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE,
			     CHECK_OK(open(".", O_RDONLY)), 0), ENODEV);
	CHECK_ERR((long)mmap(NULL, ~0ul, RW, ANON, -1, 0), ENOMEM);
	CHECK_ERR((long)mmap(NULL, 1ul << 47, RW, ANON, -1, 0), ENOMEM);
	CHECK_ERR((long)mmap(NULL, 1ul << 62, RW, ANON, -1, 0), ENOMEM);
	CHECK_ERR((long)mmap((void *)(1ul << 57), PAGE, RW, ANON | MAP_FIXED,
			     -1, 0), ENOMEM);
	CHECK_ERR((long)mmap((void *)0xffffffff80000000, PAGE, RW,
			     ANON | MAP_FIXED, -1, 0), ENOMEM);
	CHECK_ERR((long)mmap((void *)0x10001, PAGE, RW, ANON | MAP_FIXED, -1,
			     0), EINVAL);
	CHECK_ERR(munmap((void *)1, PAGE), EINVAL);
	CHECK_ERR(munmap((void *)PAGE, 0), EINVAL);
	CHECK_ERR(munmap((void *)(1ul << 57), PAGE), EINVAL);
	CHECK_ERR(munmap(NULL, ~0ul), EINVAL);
	CHECK_ERR((long)syscall(SYS_mmap, NULL, PAGE, RW, MAP_SHARED_VALIDATE |
				0x800000, fd, 0), EOPNOTSUPP);
	CHECK_ERR((long)syscall(SYS_mmap, NULL, PAGE, RW, MAP_PRIVATE, fd,
				INT64_MAX - 4095), EOVERFLOW);
}

TEST(fixed)
{
	char *p = map(10 * PAGE, RW, ANON, -1);

	memset(p, 7, 10 * PAGE);
	CHECK(mmap(p + 2 * PAGE, 2 * PAGE, RW, ANON | MAP_FIXED, -1, 0) ==
	      p + 2 * PAGE);
	CHECK(p[PAGE] == 7 && p[2 * PAGE] == 0 && p[4 * PAGE] == 7);
	CHECK_ERR((long)mmap(p + PAGE, PAGE, RW, ANON | MAP_FIXED_NOREPLACE,
			     -1, 0), EEXIST);
	CHECK_OK(munmap(p + 5 * PAGE, PAGE));
	CHECK(mmap(p + 5 * PAGE, PAGE, RW, ANON | MAP_FIXED_NOREPLACE, -1,
		   0) == p + 5 * PAGE);
	/* A hint is taken where it is free, and not where it isn't. */
	CHECK_OK(munmap(p + 6 * PAGE, PAGE));
	CHECK(mmap(p + 6 * PAGE, PAGE, RW, ANON, -1, 0) == p + 6 * PAGE);
	CHECK(CHECK_OK(mmap(p + 6 * PAGE, PAGE, RW, ANON, -1, 0)) !=
	      p + 6 * PAGE);
}

TEST(shared_anonymous_across_fork)
{
	volatile int *p = (void *)map(PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1);
	volatile int *q = (void *)map(PAGE, RW, ANON, -1);
	pid_t pid;

	CHILD(pid) {
		*p = 5;
		*q = 5;
	}
	CHECK_EXIT(pid, 0);
	CHECK(*p == 5 && *q == 0);
}

TEST(file_private_and_shared)
{
	int fd = CHECK_OK(open("f", O_CREAT | O_RDWR, 0666));
	char *s, *p, text[8];

	CHECK_OK(ftruncate(fd, 2 * PAGE));
	CHECK_EQ(pwrite(fd, "hello", 5, 0), 5);
	s = map(2 * PAGE, RW, MAP_SHARED, fd);
	p = map(2 * PAGE, RW, MAP_PRIVATE, fd);
	CHECK(!memcmp(s, "hello", 5) && !memcmp(p, "hello", 5));
	/* Coherent with read and write, both ways. */
	CHECK_EQ(pwrite(fd, "J", 1, 0), 1);
	CHECK(s[0] == 'J' && p[0] == 'J');
	s[1] = 'E';
	CHECK_EQ(pread(fd, text, 5, 0), 5);
	CHECK(!memcmp(text, "JEllo", 5));
	CHECK_EQ(p[1], 'E');
	/* A private page parts on its first write. */
	p[2] = 'X';
	CHECK_EQ(s[2], 'l');
	s[3] = 'Y';
	CHECK_EQ(p[3], 'l');
	CHECK_EQ(p[PAGE], 0);
	s[PAGE] = 'Z';
	CHECK_EQ(p[PAGE], 'Z');
	CHECK_OK(close(fd));
	CHECK_OK(unlink("f"));
	CHECK_EQ(s[0], 'J');
}

TEST(an_offset)
{
	int fd = CHECK_OK(open("f", O_CREAT | O_RDWR, 0666));
	char *p;

	CHECK_EQ(pwrite(fd, "x", 1, (off_t)(3 * PAGE + 5)), 1);
	p = CHECK_OK(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 3 * PAGE));
	CHECK_EQ(p[5], 'x');
	CHECK_EQ(p[6], 0);
}

TEST(past_the_end)
{
	int fd = CHECK_OK(open("f", O_CREAT | O_RDWR, 0666));
	char *p, text[8];
	struct stat st;

	CHECK_EQ(write(fd, "abc", 3), 3);
	p = map(3 * PAGE, RW, MAP_SHARED, fd);
	CHECK_EQ(touch(p + 100, true), 0);
	CHECK_EQ(touch(p + PAGE, false), SIGBUS);
	p[10] = 'x';
	/* The rest of the last page is not the file's. */
	CHECK_OK(fstat(fd, &st));
	CHECK_EQ(st.st_size, 3);
	CHECK_EQ(pread(fd, text, 8, 0), 3);
	/* Grown, it is there; shrunk, it is gone. */
	CHECK_OK(ftruncate(fd, 2 * PAGE));
	CHECK_EQ(touch(p + PAGE, true), 0);
	CHECK_EQ(touch(p + 2 * PAGE, false), SIGBUS);
	CHECK_OK(ftruncate(fd, 10));
	CHECK_EQ(touch(p + PAGE, false), SIGBUS);
	CHECK_EQ(touch(p, false), 0);
	CHECK_OK(ftruncate(fd, 0));
	CHECK_EQ(touch(p, false), SIGBUS);
}

TEST(private_pages_of_a_truncated_file)
{
	int fd = CHECK_OK(open("f", O_CREAT | O_RDWR, 0666));
	char *p;

	CHECK_OK(ftruncate(fd, 2 * PAGE));
	p = map(2 * PAGE, RW, MAP_PRIVATE, fd);
	p[0] = 'a';
	p[PAGE] = 'b';
	CHECK_OK(ftruncate(fd, 100));
	/* Even a private copy past the new end goes. */
	CHECK_EQ(touch(p + PAGE, false), SIGBUS);
	CHECK_EQ(p[0], 'a');
}

TEST(zero_device)
{
	int fd = CHECK_OK(open("/dev/zero", O_RDWR));
	char *p = map(PAGE, RW, MAP_PRIVATE, fd);
	volatile char *s = map(PAGE, RW, MAP_SHARED, fd);
	pid_t pid;

	CHECK_EQ(p[5], 0);
	p[5] = 1;
	CHILD(pid)
		s[0] = 3;
	CHECK_EXIT(pid, 0);
	CHECK_EQ(s[0], 3);
}

TEST(populate_and_others)
{
	unsigned char in_core[8];
	char *p = map(8 * PAGE, RW, ANON | MAP_POPULATE, -1);

	CHECK_OK(mincore(p, 8 * PAGE, in_core));
	for (int i = 0; i < 8; i++)
		CHECK(in_core[i] & 1);
	p = map(8 * PAGE, RW, ANON | MAP_NORESERVE | MAP_STACK, -1);
	CHECK_EQ(p[0], 0);
	p = map(8 * PAGE, PROT_NONE, ANON | MAP_NORESERVE, -1);
	CHECK_EQ(touch(p, false), SIGSEGV);
	p = CHECK_OK(mmap(NULL, PAGE, RW, ANON | MAP_32BIT, -1, 0));
	CHECK((uintptr_t)p < 1ul << 32);
}

TEST(grows_down)
{
	char *p = map(600 * PAGE, PROT_NONE, ANON, -1), *g;

	CHECK_OK(munmap(p, 600 * PAGE));
	g = CHECK_OK(mmap(p + 599 * PAGE, PAGE, RW, ANON | MAP_FIXED |
			  MAP_GROWSDOWN, -1, 0));
	g[0] = 1;
	CHECK_EQ(touch(g - 100, true), 0);
	CHECK_EQ(touch(g - 2 * PAGE, true), 0);
}

TEST(many_mappings)
{
	char *p = map(2000 * PAGE, RW, ANON, -1);

	for (size_t i = 0; i < 2000; i += 2)
		CHECK_OK(mprotect(p + i * PAGE, PAGE, PROT_READ));
	for (size_t i = 0; i < 2000; i++)
		CHECK_EQ(touch(p + i * PAGE, true), i % 2 ? 0 : SIGSEGV);
	CHECK_OK(mprotect(p, 2000 * PAGE, RW));
	for (size_t i = 0; i < 2000; i += 50)
		CHECK_EQ(touch(p + i * PAGE, true), 0);
	CHECK_OK(munmap(p, 2000 * PAGE));
}

TEST(huge_reservations)
{
	char *p = CHECK_OK(mmap(NULL, 1ul << 40, PROT_NONE, ANON |
				MAP_NORESERVE, -1, 0));

	CHECK_OK(mprotect(p + (1ul << 39), PAGE, RW));
	p[1ul << 39] = 1;
	CHECK_OK(munmap(p, 1ul << 40));
}
