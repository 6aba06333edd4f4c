/* Touching memory in the orders that programs do: what is seen is what belongs there, in every page. */
#include "../test.h"
#include <pthread.h>
#include <setjmp.h>

#define PAGE	4096ul
#define RW	(PROT_READ | PROT_WRITE)
#define ANON	(MAP_PRIVATE | MAP_ANONYMOUS)
#define PAGES	1100ul

static int numbered_file(size_t pages)
{
	static char page[PAGE];
	int fd = CHECK_OK(open("numbered", O_CREAT | O_TRUNC | O_RDWR, 0666));

	for (size_t i = 0; i < pages; i++) {
		*(size_t *)(void *)page = i + 1;
		CHECK_EQ(pwrite(fd, page, PAGE, (off_t)(i * PAGE)), (ssize_t)PAGE);
	}
	return fd;
}

static size_t number_at(const char *p, size_t page)
{
	return *(const volatile size_t *)(const void *)(p + page * PAGE);
}

static void check_numbers(const char *p, size_t pages)
{
	for (size_t i = 0; i < pages; i++)
		CHECK_EQ(number_at(p, i), i + 1);
}

/* Forward, from a place that is no multiple of anything, twice. */
TEST(scanning_a_file)
{
	int fd = numbered_file(PAGES);
	char *p = CHECK_OK(mmap(NULL, PAGES * PAGE, PROT_READ, MAP_SHARED, fd, 0));
	char *q = CHECK_OK(mmap(NULL, (PAGES - 7) * PAGE, PROT_READ, MAP_PRIVATE, fd, 7 * PAGE));

	for (size_t i = 3; i < PAGES; i++)
		CHECK_EQ(number_at(p, i), i + 1);
	for (size_t i = 0; i < PAGES - 7; i++)
		CHECK_EQ(number_at(q, i), i + 8);
	for (size_t i = PAGES; i-- > 0;)
		CHECK_EQ(number_at(p, i), i + 1);
}

/* Pages of one's own and holes in the way of a scan stay what they are. */
TEST(scanning_around_copies_and_holes)
{
	int fd = numbered_file(PAGES);
	char *p = CHECK_OK(mmap(NULL, PAGES * PAGE, RW, MAP_PRIVATE, fd, 0));

	for (size_t i = 5; i < PAGES; i += 37)
		p[i * PAGE] = 'x';
	CHECK_OK(munmap(p + 200 * PAGE, 3 * PAGE));
	CHECK_OK(mmap(p + 200 * PAGE, 3 * PAGE, RW, ANON | MAP_FIXED, -1, 0));
	for (size_t i = 0; i < PAGES; i++) {
		size_t want = i >= 200 && i < 203 ? 0 : i + 1;

		if (i % 37 == 5)
			want = i >= 200 && i < 203 ? 0 : (want & ~255ul) | 'x';
		CHECK_EQ(number_at(p, i), want);
	}
	CHECK_EQ(*(volatile char *)p, 1);
}

/* Past the end of the file there is nothing, however the last page came to be mapped. */
TEST(scanning_to_the_end)
{
	int fd = numbered_file(100);
	char *p = CHECK_OK(mmap(NULL, 200 * PAGE, PROT_READ, MAP_SHARED, fd, 0));
	pid_t pid;

	check_numbers(p, 100);
	CHILD(pid) {
		number_at(p, 100);
	}
	CHECK_KILLED(pid, SIGBUS);
	CHECK_OK(ftruncate(fd, 50 * PAGE));
	CHECK_EQ(number_at(p, 49), 50);
	CHILD(pid) {
		number_at(p, 50);
	}
	CHECK_KILLED(pid, SIGBUS);
}

/* A store through a mapping of a file reaches it, also to a page that a scan had mapped. */
TEST(storing_after_a_scan)
{
	int fd = numbered_file(300);
	char *p = CHECK_OK(mmap(NULL, 300 * PAGE, RW, MAP_SHARED, fd, 0));
	size_t seen;

	check_numbers(p, 300);
	for (size_t i = 0; i < 300; i += 11) {
		*(volatile size_t *)(void *)(p + i * PAGE) = i + 1000;
		CHECK_EQ(pread(fd, &seen, sizeof(seen), (off_t)(i * PAGE)), 8);
		CHECK_EQ(seen, i + 1000);
	}
}

static void touch(char *p, size_t first, size_t pages, char c)
{
	for (size_t i = first; i < first + pages; i++) {
		CHECK_EQ(p[i * PAGE], 0);
		CHECK_EQ(p[i * PAGE + PAGE - 1], 0);
		p[i * PAGE] = c;
	}
}

static void expect(char *p, size_t first, size_t pages, char c)
{
	for (size_t i = first; i < first + pages; i++)
		CHECK_EQ(p[i * PAGE], c);
}

TEST(anonymous_memory_upward)
{
	char *p = CHECK_OK(mmap(NULL, PAGES * PAGE, RW, ANON, -1, 0));

	touch(p, 0, PAGES, 'a');
	expect(p, 0, PAGES, 'a');
	/* in part given back, and touched again */
	CHECK_OK(madvise(p + 70 * PAGE, 30 * PAGE, MADV_DONTNEED));
	expect(p, 70, 30, 0);
	touch(p, 70, 30, 'b');
	expect(p, 0, 70, 'a');
	expect(p, 100, PAGES - 100, 'a');
	CHECK_OK(munmap(p + 501 * PAGE, PAGE));
	CHECK_OK(mmap(p + 501 * PAGE, PAGE, RW, ANON | MAP_FIXED, -1, 0));
	touch(p, 501, 1, 'c');
	expect(p, 502, PAGES - 502, 'a');
}

/* Beside what was touched the memory is zero, and its mapping's rights hold. */
TEST(anonymous_memory_beside)
{
	char *p = CHECK_OK(mmap(NULL, 256 * PAGE, RW, ANON, -1, 0));
	pid_t pid;

	touch(p, 0, 70, 'a');
	CHECK_OK(mprotect(p + 80 * PAGE, 16 * PAGE, PROT_READ));
	CHILD(pid) {
		p[80 * PAGE] = 1;
	}
	CHECK_KILLED(pid, SIGSEGV);
	expect(p, 70, 186, 0);
	CHECK_OK(mprotect(p + 80 * PAGE, 16 * PAGE, RW));
	touch(p, 70, 186, 'b');
	expect(p, 0, 70, 'a');
}

/* Parent and child write the same pages, in pages that came together. */
TEST(anonymous_memory_and_fork)
{
	char *p = CHECK_OK(mmap(NULL, 128 * PAGE, RW, ANON, -1, 0));
	pid_t pid;

	touch(p, 0, 100, 'a');
	CHILD(pid) {
		touch(p, 100, 28, 'c');
		for (size_t i = 1; i < 100; i += 2)
			p[i * PAGE] = 'c';
		for (size_t i = 0; i < 100; i++)
			CHECK_EQ(p[i * PAGE], i % 2 ? 'c' : 'a');
	}
	touch(p, 100, 28, 'p');
	for (size_t i = 0; i < 100; i += 2)
		p[i * PAGE] = 'p';
	CHECK_EXIT(pid, 0);
	for (size_t i = 0; i < 100; i++)
		CHECK_EQ(p[i * PAGE], i % 2 ? 'a' : 'p');
}

/* A move takes the pages along, whatever they were touched with. */
TEST(anonymous_memory_moved)
{
	char *p = CHECK_OK(mmap(NULL, 128 * PAGE, RW, ANON, -1, 0));
	char *q = CHECK_OK(mmap(NULL, 64 * PAGE, PROT_NONE, ANON, -1, 0));

	touch(p, 0, 128, 'a');
	CHECK_OK(mremap(p + 37 * PAGE, 20 * PAGE, 20 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
			q + PAGE));
	expect(q + PAGE, 0, 20, 'a');
	expect(p, 0, 37, 'a');
	expect(p, 57, 71, 'a');
	CHECK_OK(mmap(p + 37 * PAGE, 20 * PAGE, RW, ANON | MAP_FIXED, -1, 0));
	touch(p, 37, 20, 'b');
}

static size_t resident(char *p, size_t pages)
{
	unsigned char in[PAGES];
	size_t n = 0;

	CHECK_OK(mincore(p, pages * PAGE, in));
	for (size_t i = 0; i < pages; i++)
		n += in[i] & 1;
	return n;
}

/* What is touched here and there does not grow: no page comes without a sign that it will be used. */
TEST(sparse_memory_stays_sparse)
{
	char *p = CHECK_OK(mmap(NULL, PAGES * PAGE, RW, ANON, -1, 0));

	CHECK_OK(madvise(p, PAGES * PAGE, MADV_NOHUGEPAGE));
	for (size_t i = 0; i < PAGES; i += 50)
		p[i * PAGE] = 1;
	CHECK_EQ(resident(p, PAGES), PAGES / 50);
	for (size_t i = PAGES; i-- > PAGES - 40;)
		p[i * PAGE] = 1;
	CHECK_EQ(resident(p, PAGES), PAGES / 50 + 40);
}

/* Upward, no more comes unasked than was touched.  Too small for Linux's huge pages. */
TEST(touched_memory_at_most_doubles)
{
	char *p = CHECK_OK(mmap(NULL, 502 * PAGE, PROT_NONE, ANON, -1, 0));

	p += PAGE;
	CHECK_OK(mprotect(p, 500 * PAGE, RW));
	for (size_t i = 0; i < 500; i++) {
		p[i * PAGE] = 1;
		CHECK(resident(p, 500) <= 2 * (i + 1));
		CHECK(resident(p, 500) <= i + 1 + 16);
	}
}

static sigjmp_buf stored_nowhere;
static char *volatile store_to;
static volatile bool storing_ends;

static void on_store_fault(int sig)
{
	siglongjmp(stored_nowhere, sig);
}

static void *store_always(void *arg TEST_UNUSED)
{
	(void)sigsetjmp(stored_nowhere, 1);
	while (!storing_ends)
		*(volatile char *)store_to = 'x';
	return NULL;
}

/*
 * A thread stores to a page all the time, while it is mapped and unmapped.  What is mapped next at that place
 * has nothing of it, though the neighbours keep the page table.
 */
TEST_TIMED(unmapped_under_a_store, 30)
{
	char *p = CHECK_OK(mmap(NULL, 3 * PAGE, RW, ANON, -1, 0)) + PAGE;
	struct sigaction act = { .sa_handler = on_store_fault };
	pthread_t thread;
	long stored = 0;

	p[-1] = p[PAGE] = 1;
	CHECK_OK(mprotect(p - PAGE, PAGE, PROT_READ));
	CHECK_OK(mprotect(p + PAGE, PAGE, PROT_READ));
	store_to = p;
	CHECK_OK(sigaction(SIGSEGV, &act, NULL));
	CHECK_EQ(pthread_create(&thread, NULL, store_always, NULL), 0);
	for (int round = 0; round < 800; round++) {
		CHECK_OK(munmap(p, PAGE));
		CHECK(mmap(p, PAGE, PROT_READ, ANON, -1, 0) == p);
		CHECK_EQ(*(volatile char *)p, 0);
		CHECK_OK(munmap(p, PAGE));
		CHECK(mmap(p, PAGE, RW, ANON, -1, 0) == p);
		for (volatile int i = 0; i < round % 64; i++)
			;
		if (round % 64 == 0)
			sched_yield();
		stored += *(volatile char *)p == 'x';
	}
	storing_ends = true;
	CHECK_EQ(pthread_join(thread, NULL), 0);
	CHECK(stored > 0);
}
