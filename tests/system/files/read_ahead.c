/* Read-ahead and advice: every pattern reads what the file holds, cold and warm, alone and side by side. */
#include "../test.h"
#include <pthread.h>

#define STEP	4096
#define MAX_BYTES (6 << 20)

/* A large file that is on every Debian, and does not change while the test runs. */
static const char *const candidates[] = { "/usr/bin/perl", "/usr/bin/gdb", "/bin/bash" };

static char *contents;
static size_t size;

static int open_large(void)
{
	for (unsigned i = 0; i < 3; i++) {
		int fd = open(candidates[i], O_RDONLY);
		struct stat st;

		if (fd < 0 || fstat(fd, &st) || st.st_size < 1 << 20)
			continue;
		size = (size_t)(st.st_size < MAX_BYTES ? st.st_size : MAX_BYTES);
		return fd;
	}
	SKIP("no large file");
	return -1;
}

/* What the file holds, read once from the start; then the cache lets it go. */
static int begin(void)
{
	int fd = open_large();

	contents = malloc(size);
	CHECK_EQ(pread(fd, contents, size, 0), size);
	CHECK_EQ(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
	return fd;
}

static void check_at(int fd, size_t at, size_t len)
{
	static __thread char buffer[256 << 10];

	if (at >= size)
		return;
	if (len > size - at)
		len = size - at;
	CHECK_EQ(pread(fd, buffer, len, (off_t)at), len);
	CHECK(!memcmp(buffer, contents + at, len));
}

static long ahead(void)
{
	return test_counter("read_ahead.pages");
}

/* What was read ahead since, and how much of it was used, in percent. */
static void check_accuracy(long ahead_before, long used_before, long at_least)
{
	long pages = ahead() - ahead_before;
	long used = test_counter("read_ahead.pages_used") - used_before;

	if (ahead_before < 0 || !pages) /* the file is in memory, or has no storage behind it */
		return;
	if (used * 100 < pages * at_least)
		FAIL("%ld of %ld pages used", used, pages);
}

TEST_TIMED(sequential, 30)
{
	int fd = begin();
	long before = ahead(), used = test_counter("read_ahead.pages_used");

	for (size_t at = 0; at < size; at += STEP)
		check_at(fd, at, STEP);
	check_accuracy(before, used, 90);
	for (size_t at = 0; at < size; at += 100000) /* from the cache, across folios */
		check_at(fd, at, 100000);
}

TEST_TIMED(backward, 30)
{
	int fd = begin();
	long before = ahead(), used = test_counter("read_ahead.pages_used");

	for (size_t at = size / STEP * STEP; at; at -= STEP)
		check_at(fd, at - STEP, STEP);
	check_accuracy(before, used, 90);
}

TEST_TIMED(strided, 30)
{
	int fd = begin();
	long before = ahead(), used = test_counter("read_ahead.pages_used");

	for (size_t at = 0; at < size; at += 192 << 10)
		check_at(fd, at, STEP);
	check_accuracy(before, used, 70);
}

TEST_TIMED(random_places, 30)
{
	int fd = begin();
	long before = ahead();
	unsigned seed = 7;

	for (int i = 0; i < 400; i++) {
		seed = seed * 1664525 + 1013904223;
		check_at(fd, (size_t)(seed >> 4) % size, 1 + (seed >> 9) % 8192);
	}
	if (before >= 0) /* neighbours by chance, not more */
		CHECK(ahead() - before <= (long)(size / STEP) / 4);
}

TEST_TIMED(long_requests, 30)
{
	int fd = begin();

	check_at(fd, size / 2, 256 << 10);
	check_at(fd, 12345, 250000);
	check_at(fd, size - 100000, 256 << 10);
	for (size_t at = 0; at < size; at += 256 << 10)
		check_at(fd, at, 256 << 10);
}

TEST_TIMED(advice, 30)
{
	int fd = begin();
	long before = ahead();

	CHECK_EQ(posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM), 0);
	for (size_t at = 0; at < size / 2; at += STEP)
		check_at(fd, at, STEP);
	if (before >= 0)
		CHECK_EQ(ahead(), before);
	CHECK_EQ(posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL), 0);
	for (size_t at = size / 2; at < size; at += STEP)
		check_at(fd, at, STEP);
	CHECK_EQ(posix_fadvise(fd, 0, 0, POSIX_FADV_NORMAL), 0);
	CHECK_EQ(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
	CHECK_EQ(posix_fadvise(fd, 4096, 1 << 20, POSIX_FADV_WILLNEED), 0);
	check_at(fd, 0, 256 << 10);
	CHECK_OK(readahead(fd, 0, size));
	CHECK_OK(readahead(fd, (off_t)size + (100 << 20), 4096)); /* beyond the end */
	for (size_t at = 0; at < size; at += 64 << 10)
		check_at(fd, at, 4096);
}

TEST_TIMED(mapped, 30)
{
	int fd = begin();
	char *p = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);

	CHECK(p != MAP_FAILED);
	for (size_t at = 0; at < size; at += STEP)
		CHECK(!memcmp(p + at, contents + at, size - at < STEP ? size - at : STEP));
	CHECK_OK(munmap(p, size));
	CHECK_EQ(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
	p = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
	CHECK(p != MAP_FAILED);
	CHECK_OK(madvise(p, size, MADV_RANDOM));
	CHECK(!memcmp(p, contents, size / 2));
	CHECK_OK(madvise(p, size, MADV_WILLNEED));
	CHECK(!memcmp(p, contents, size));
}

static int shared_fd;

static void *read_all(void *arg)
{
	size_t start = (size_t)(uintptr_t)arg * 64 << 10;

	for (size_t at = start; at < size; at += 20000)
		check_at(shared_fd, at, 20000);
	for (size_t at = size / STEP * STEP; at > start; at -= 16 * STEP)
		check_at(shared_fd, at - STEP, STEP);
	return NULL;
}

/* One open file, several readers, and one that lets the cache go. */
TEST_TIMED(side_by_side, 60)
{
	pthread_t t[4];

	shared_fd = begin();
	for (uintptr_t i = 0; i < 4; i++)
		CHECK_EQ(pthread_create(&t[i], NULL, read_all, (void *)i), 0);
	for (int i = 0; i < 50; i++) {
		CHECK_EQ(posix_fadvise(shared_fd, 0, 0, POSIX_FADV_DONTNEED), 0);
		usleep(2000);
	}
	for (int i = 0; i < 4; i++)
		CHECK_EQ(pthread_join(t[i], NULL), 0);
}

/* A reader that is killed while it waits leaves nothing behind that others would wait for. */
TEST_TIMED(killed_readers, 60)
{
	int fd = begin();

	for (int i = 0; i < 20; i++) {
		pid_t child;

		CHECK_EQ(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
		child = CHECK_OK(fork());
		if (!child) {
			for (size_t at = 0; at < size; at += STEP)
				check_at(fd, at, STEP);
			_exit(0);
		}
		usleep((useconds_t)i * 300);
		kill(child, SIGKILL);
		CHECK_EQ(waitpid(child, NULL, 0), child);
	}
	for (size_t at = 0; at < size; at += STEP)
		check_at(fd, at, STEP);
}
