#include "../test.h"
#include <setjmp.h>
#include <sys/resource.h>

#define PAGE	4096ul
#define RW	(PROT_READ | PROT_WRITE)
#define ANON	(MAP_PRIVATE | MAP_ANONYMOUS)

static sigjmp_buf jump;

static void on_fault(int sig)
{
	siglongjmp(jump, sig);
}

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

static char *map(size_t pages, int prot)
{
	return CHECK_OK(mmap(NULL, pages * PAGE, prot, ANON, -1, 0));
}

TEST(changes_and_splits)
{
	char *p = map(6, RW);

	memset(p, 9, 6 * PAGE);
	CHECK_OK(mprotect(p + 2 * PAGE, 2 * PAGE, PROT_READ));
	CHECK_EQ(touch(p + PAGE, true), 0);
	CHECK_EQ(touch(p + 2 * PAGE, true), SIGSEGV);
	CHECK_EQ(touch(p + 2 * PAGE, false), 0);
	CHECK_EQ(touch(p + 4 * PAGE, true), 0);
	CHECK_OK(mprotect(p + 3 * PAGE, PAGE, PROT_NONE));
	CHECK_EQ(touch(p + 3 * PAGE, false), SIGSEGV);
	CHECK_OK(mprotect(p, 6 * PAGE, RW));
	for (int i = 0; i < 6; i++)
		CHECK_EQ(p[(size_t)i * PAGE], 9);
	CHECK_EQ(touch(p + 3 * PAGE, true), 0);
}

TEST(errors)
{
	int ro;
	char *p = map(6, RW), *s;

	test_make_file("f", "some text");
	ro = CHECK_OK(open("f", O_RDONLY));
	s = CHECK_OK(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, ro, 0));
	CHECK_ERR(mprotect(s, PAGE, RW), EACCES);
	CHECK_ERR(mprotect(p + 1, PAGE, RW), EINVAL);
	CHECK_OK(mprotect(p, 0, RW));
	CHECK_ERR(mprotect(p, PAGE, 0x100), EINVAL);
	CHECK_OK(mprotect(p, 0, 0x100));
	CHECK_ERR(mprotect(p, ~0ul, 0x100), ENOMEM);
	CHECK_ERR(mprotect(p + 1, 0, 0x100), EINVAL);
	CHECK_ERR(mprotect(p, 0, PROT_GROWSDOWN | PROT_GROWSUP), EINVAL);
	CHECK_ERR(mprotect(p, PAGE, RW | PROT_GROWSDOWN), EINVAL);
	CHECK_OK(mprotect(p, PAGE, RW | 8 /* PROT_SEM */));
	CHECK_ERR(mprotect(p, ~0ul - 5000, RW), ENOMEM);
	CHECK_ERR(mprotect((void *)0xffffffff80000000, PAGE, RW), ENOMEM);
	CHECK_OK(munmap(p + 3 * PAGE, PAGE));
	/* What lies before the hole is changed. */
	CHECK_ERR(mprotect(p, 6 * PAGE, PROT_READ), ENOMEM);
	CHECK_EQ(touch(p, true), SIGSEGV);
}

/* Several mappings of different kinds at once; the hole ends it. */
TEST(over_several_mappings)
{
	char *p = map(10, PROT_NONE);

	test_make_file("g", "some text");
	int fd = CHECK_OK(open("g", O_RDWR));

	CHECK_OK(mmap(p + 2 * PAGE, PAGE, PROT_READ, MAP_PRIVATE | MAP_FIXED, fd, 0));
	CHECK_OK(mmap(p + 4 * PAGE, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	CHECK_OK(munmap(p + 7 * PAGE, PAGE));
	CHECK_ERR(mprotect(p + PAGE, 8 * PAGE, RW), ENOMEM);
	CHECK_EQ(touch(p, false), SIGSEGV);
	for (size_t i = 1; i < 7; i++)
		CHECK_EQ(touch(p + i * PAGE, true), 0);
	CHECK_EQ(touch(p + 8 * PAGE, false), SIGSEGV);
	CHECK_ERR(mprotect(p + 7 * PAGE, 2 * PAGE, RW), ENOMEM);
	CHECK_EQ(touch(p + 8 * PAGE, false), SIGSEGV);
	CHECK_OK(mprotect(p, 7 * PAGE, PROT_READ));
	for (size_t i = 0; i < 7; i++) {
		CHECK_EQ(touch(p + i * PAGE, false), 0);
		CHECK_EQ(touch(p + i * PAGE, true), SIGSEGV);
	}
}

/* Pages written, only read, and not touched, in a range of more than one page table. */
TEST(pages_of_all_sorts)
{
	enum { NR = 1200 };
	char *p = map(NR, RW);

	for (size_t i = 0; i < NR; i += 1 + i % 7)
		CHECK_EQ(touch(p + i * PAGE, i % 3), 0);
	for (size_t i = 0; i < NR; i += 5)
		p[i * PAGE] = (char)(i % 100);
	CHECK_OK(mprotect(p, NR * PAGE, PROT_READ));
	for (size_t i = 0; i < NR; i++)
		CHECK_EQ(touch(p + i * PAGE, true), SIGSEGV);
	CHECK_OK(mprotect(p + 3 * PAGE, (NR - 6) * PAGE, PROT_NONE));
	for (size_t i = 0; i < NR; i += 3)
		CHECK_EQ(touch(p + i * PAGE, false), i < 3 || i >= NR - 3 ? 0 : SIGSEGV);
	CHECK_OK(mprotect(p, NR * PAGE, RW));
	for (size_t i = 0; i < NR; i++) {
		CHECK_EQ(p[i * PAGE], i % 5 ? 0 : i % 100);
		CHECK_EQ(touch(p + i * PAGE, true), 0);
	}
}

/* What becomes writable is data: RLIMIT_DATA. */
TEST(limit_of_data)
{
	char *p = map(64, PROT_READ), *q = map(64, RW);
	struct rlimit none = { PAGE, 0 }, saved; /* of 0 Linux thinks otherwise */

	CHECK_OK(getrlimit(RLIMIT_DATA, &saved));
	none.rlim_max = saved.rlim_max;
	CHECK_OK(setrlimit(RLIMIT_DATA, &none));
	CHECK_ERR(mprotect(p, 64 * PAGE, RW), ENOMEM);
	CHECK_EQ(touch(p, true), SIGSEGV);
	CHECK_OK(mprotect(p, 64 * PAGE, PROT_READ | PROT_EXEC));
	CHECK_OK(mprotect(q, 64 * PAGE, RW | PROT_EXEC)); /* is data */
	CHECK_OK(mprotect(q, 32 * PAGE, PROT_READ));
	CHECK_ERR(mprotect(q, 32 * PAGE, RW), ENOMEM);
	CHECK(mmap(NULL, PAGE, RW, ANON, -1, 0) == MAP_FAILED && errno == ENOMEM);
	CHECK_OK(mmap(NULL, PAGE, PROT_READ, ANON, -1, 0));
	CHECK_OK(mmap(NULL, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
	CHECK_OK(setrlimit(RLIMIT_DATA, &saved));
	CHECK_OK(mprotect(q, 64 * PAGE, RW));
	CHECK_OK(mprotect(p, 64 * PAGE, RW));
}

TEST(private_of_a_read_only_file_may_be_written)
{
	char *p;
	int ro;

	test_make_file("f", "some text");
	ro = CHECK_OK(open("f", O_RDONLY));
	p = CHECK_OK(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, ro, 0));
	CHECK_EQ(p[0], 's');
	CHECK_OK(mprotect(p, PAGE, RW));
	p[0] = 'S';
	CHECK(!memcmp(p, "Some text", 9));
}

TEST(code)
{
	unsigned char *p = (void *)map(1, RW);
	int (*call)(void) = (int (*)(void))(uintptr_t)p;

	memcpy(p, "\xb8\x2a\0\0\0\xc3", 6);
	CHECK_OK(mprotect(p, PAGE, PROT_READ | PROT_EXEC));
	CHECK_EQ(call(), 42);
}

TEST(dont_need)
{
	char *p = map(4, RW), *f;
	int fd = CHECK_OK(open("f", O_CREAT | O_RDWR, 0666));

	memset(p, 1, 4 * PAGE);
	CHECK_OK(madvise(p + PAGE, 2 * PAGE, MADV_DONTNEED));
	CHECK(p[0] == 1 && p[PAGE] == 0 && p[2 * PAGE] == 0);
	CHECK_EQ(p[3 * PAGE], 1);
	CHECK_EQ(write(fd, "text", 4), 4);
	f = CHECK_OK(mmap(NULL, PAGE, RW, MAP_PRIVATE, fd, 0));
	f[0] = 'T';
	CHECK_OK(madvise(f, PAGE, MADV_DONTNEED));
	CHECK_EQ(f[0], 't');
}

TEST(advice)
{
	char *p = map(4, RW);

	for (int advice = MADV_NORMAL; advice <= MADV_WILLNEED; advice++)
		CHECK_OK(madvise(p, 4 * PAGE, advice));
	CHECK_OK(madvise(p, 4 * PAGE, MADV_FREE));
	CHECK_OK(madvise(p, 4 * PAGE, MADV_DONTFORK));
	CHECK_OK(madvise(p, 4 * PAGE, MADV_DOFORK));
	CHECK_OK(madvise(p, 4 * PAGE, MADV_DONTDUMP));
	CHECK_OK(madvise(p, 4 * PAGE, MADV_DODUMP));
	CHECK_ERR(madvise(p, PAGE, 12345), EINVAL);
	CHECK_ERR(madvise(p + 1, PAGE, MADV_NORMAL), EINVAL);
	CHECK_ERR(madvise(p, ~0ul - 4095, MADV_NORMAL), EINVAL);
	CHECK_OK(madvise(p, 0, MADV_NORMAL));
	CHECK_OK(munmap(p + PAGE, PAGE));
	CHECK_ERR(madvise(p, 4 * PAGE, MADV_DONTNEED), ENOMEM);
}

TEST(dont_fork_and_wipe)
{
	char *p = map(1, RW), *w = map(1, RW);
	pid_t pid;

	p[0] = w[0] = 5;
	CHECK_OK(madvise(p, PAGE, MADV_DONTFORK));
	CHECK_OK(madvise(w, PAGE, MADV_WIPEONFORK));
	CHILD(pid) {
		CHECK_EQ(touch(p, false), SIGSEGV);
		CHECK_EQ(w[0], 0);
	}
	CHECK_EXIT(pid, 0);
	CHECK(p[0] == 5 && w[0] == 5);
}

TEST(copy_on_write)
{
	char *p = map(16, RW);
	pid_t pid[3];

	memset(p, 1, 16 * PAGE);
	for (int i = 0; i < 3; i++)
		CHILD(pid[i]) {
			for (size_t j = 0; j < 16; j++) {
				CHECK_EQ(p[j * PAGE], 1);
				p[j * PAGE] = (char)(i + 10);
			}
			for (size_t j = 0; j < 16; j++)
				CHECK_EQ(p[j * PAGE], i + 10);
		}
	p[0] = 2;	/* the children's copies were made at their fork */
	for (int i = 0; i < 3; i++)
		CHECK_EXIT(pid[i], 0);
	CHECK_EQ(p[0], 2);
	for (size_t j = 1; j < 16; j++)
		CHECK_EQ(p[j * PAGE], 1);
}

TEST(the_kernel_writes_to_copied_pages)
{
	char *p = map(1, RW);
	int ends[2];
	pid_t pid;

	CHECK_OK(pipe(ends));
	CHECK_EQ(write(ends[1], "new", 3), 3);
	strcpy(p, "old");
	CHILD(pid) {
		CHECK_EQ(read(ends[0], p, 3), 3);
		CHECK_STR(p, "new");
	}
	CHECK_EXIT(pid, 0);
	CHECK_STR(p, "old");
	/* And into pages that were never touched. */
	CHECK_EQ(write(ends[1], "zzz", 3), 3);
	CHECK_EQ(read(ends[0], map(1, RW), 3), 3);
}

TEST(stack_grows)
{
	volatile char big[1 << 20];

	/* The far end first, as a compiler without probes would. */
	big[0] = 1;
	CHECK_EQ(big[0], 1);
	big[sizeof(big) - 1] = 2;
}
