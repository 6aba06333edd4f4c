/* Files in memory that come 2 MiB at a time: whatever is done to a part, each page holds what belongs there. */
#include "huge.h"
#include <sched.h>
#include <sys/mount.h>
#include <sys/sendfile.h>
#include <sys/uio.h>

#define POLICY	"/sys/kernel/mm/transparent_hugepage/shmem_enabled"

/* A directory "m" whose files are huge where the kernel can. */
static void mount_huge(const char *options)
{
	if (geteuid() != 0)
		SKIP("needs root");
	CHECK_OK(unshare(CLONE_NEWNS));
	CHECK_OK(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL));
	CHECK_OK(mkdir("m", 0755));
	if (mount("none", "m", "tmpfs", 0, options)) {
		CHECK_EQ(errno, EINVAL); /* a kernel without, or NOS with opt.huge_pages=off */
		SKIP("no huge pages");
	}
}

static int file_create(size_t size)
{
	int fd = CHECK_OK(open("m/f", O_CREAT | O_RDWR, 0644));

	CHECK_OK(ftruncate(fd, (off_t)size));
	return fd;
}

static int huge_file(size_t size)
{
	mount_huge("huge=always");
	return file_create(size);
}

/* nr blocks of a file, or without one shared anonymous memory, at a multiple of 2 MiB. */
static char *blocks_map(size_t nr, int prot, int flags, int fd)
{
	return CHECK_OK(mmap(blocks_place(nr), nr * BLOCK, prot, flags | MAP_FIXED, fd, 0));
}

static void check_file_numbers(int fd, size_t from, size_t to, size_t plus)
{
	for (size_t i = from; i < to; i++) {
		size_t value = 0;

		CHECK_EQ(pread(fd, &value, 8, (off_t)(i * PAGE + i % 500 * 8)), 8);
		CHECK_EQ(value, i + plus);
	}
}

/* Blocks whose every page has its number; true if they are huge for certain. */
static bool blocks_fill(char *p, size_t nr)
{
	size_t missed = figure("/proc/vmstat", "thp_file_fallback");
	size_t came = figure("/proc/vmstat", "thp_file_alloc");

	for (size_t i = 0; i < nr; i++)
		p[i * BLOCK + 7 * PAGE] = 0;
	bool all = figure("/proc/vmstat", "thp_file_fallback") == missed &&
		   figure("/proc/vmstat", "thp_file_alloc") >= came + nr;

	if (all)
		CHECK_EQ(smaps_kb(p, "ShmemPmdMapped:"), nr * BLOCK / 1024);
	number(p, 0, nr * 512, 1);
	return all;
}

static long blocks_of(int fd)
{
	struct stat st;

	CHECK_OK(fstat(fd, &st));
	return st.st_blocks;
}

static void check_store_kills(char *at, int sig)
{
	pid_t pid = CHECK_OK(fork());

	if (pid == 0) {
		*(volatile char *)at = 1;
		_exit(0);
	}
	CHECK_KILLED(pid, sig);
}

static bool is_nos(void)
{
	return access("/proc/nos/counters", F_OK) == 0;
}

TEST(one_touch_brings_all_of_it)
{
	int fd = huge_file(3 * BLOCK);
	char *p = blocks_map(3, RW, MAP_SHARED, fd), text[16];
	unsigned char resident[3 * 512];
	bool all = blocks_fill(p, 2);

	CHECK_OK(mincore(p, 3 * BLOCK, resident));
	for (size_t i = 0; all && i < 3 * 512; i++)
		CHECK_EQ(resident[i] & 1, i < 1024);
	if (all) {
		CHECK_EQ(blocks_of(fd), 2 * 4096);
		CHECK(figure("/proc/meminfo", "ShmemHugePages:") >= 4096);
		CHECK(figure("/proc/meminfo", "ShmemPmdMapped:") >= 4096);
		CHECK(figure("/proc/vmstat", "thp_file_mapped") >= 2);
	}
	check_file_numbers(fd, 0, 1024, 1);
	CHECK_EQ(*(volatile char *)(p + 3 * BLOCK - 1), 0); /* a load, too */
	CHECK_EQ(pwrite(fd, "written", 7, 2 * BLOCK + 77), 7);
	CHECK(!memcmp(p + 2 * BLOCK + 77, "written", 8));
	memcpy(p + 5 * PAGE, "stored", 7);
	CHECK_EQ(pread(fd, text, 7, 5 * PAGE), 7);
	CHECK_STR(text, "stored");
	CHECK_OK(munmap(p, 3 * BLOCK));
	p = blocks_map(3, PROT_READ, MAP_SHARED, fd);
	check_numbers(p, 0, 5, 1);
	check_numbers(p, 6, 1024, 1);
	if (all) {
		CHECK_EQ(smaps_kb(p, "ShmemPmdMapped:"), 4096);
		CHECK_OK(munmap(p, 3 * BLOCK));
		CHECK_OK(ftruncate(fd, 0));
		CHECK_EQ(blocks_of(fd), 0);
	}
}

TEST(writing_brings_it_too)
{
	static char text[3 * 4096];
	int fd = huge_file(0);
	char *p;

	memset(text, 'w', sizeof(text));
	for (size_t at = 0; at < 3 * BLOCK; at += sizeof(text))
		CHECK_EQ(write(fd, text, sizeof(text)), (ssize_t)sizeof(text));
	CHECK_OK(fallocate(fd, 0, 4 * BLOCK, BLOCK));
	p = blocks_map(5, RW, MAP_SHARED, fd);
	for (size_t at = 0; at < 3 * BLOCK; at += 97)
		CHECK_EQ(p[at], 'w');
	check_zero(p, 3 * 512 + 1, 5 * 512);
	if (is_nos() && figure("/proc/vmstat", "thp_file_fallback") == 0)
		CHECK_EQ(smaps_kb(p, "ShmemPmdMapped:"), 5 * BLOCK / 1024);
	number(p, 0, 5 * 512, 4);
	check_file_numbers(fd, 0, 5 * 512, 4);
}

/* What is not aligned, does not hold 2 MiB or does not want to is mapped in pages. */
TEST(where_it_does_not_fit)
{
	int fd = huge_file(2 * BLOCK);
	char *p = blocks_map(3, RW, MAP_SHARED, fd), *q;

	number(p, 0, 1024, 3);
	q = CHECK_OK(mmap(p + 2 * BLOCK, BLOCK, RW, MAP_SHARED | MAP_FIXED, fd, PAGE));
	for (size_t i = 0; i < 512; i++)
		CHECK_EQ(*(size_t *)(void *)(q + i * PAGE + (i + 1) % 500 * 8), i + 4);
	CHECK_EQ(smaps_kb(q, "ShmemPmdMapped:"), 0);
	CHECK_OK(munmap(p, 3 * BLOCK));
	q = CHECK_OK(mmap(p, BLOCK - PAGE, RW, MAP_SHARED | MAP_FIXED, fd, 0));
	number(q, 0, 511, 5);
	CHECK_EQ(smaps_kb(q, "ShmemPmdMapped:"), 0);
	check_file_numbers(fd, 0, 511, 5);
}

TEST(private_mappings)
{
	int fd = huge_file(2 * BLOCK);
	char *shared = blocks_map(2, RW, MAP_SHARED, fd);
	bool all = blocks_fill(shared, 2);
	char *p = blocks_map(2, RW, MAP_PRIVATE, fd);
	pid_t pid;

	check_numbers(p, 0, 1024, 1);
	if (all)
		CHECK_EQ(smaps_kb(p, "ShmemPmdMapped:"), 4096);
	number(p, 10, 20, 7);
	check_numbers(p, 0, 10, 1);
	check_numbers(p, 10, 20, 7);
	check_numbers(p, 20, 1024, 1);
	check_numbers(shared, 0, 1024, 1);
	CHILD(pid) {
		check_numbers(p, 10, 20, 7);
		number(p, 15, 600, 9);
		check_numbers(p, 10, 15, 7);
		check_numbers(p, 15, 600, 9);
		number(shared, 700, 800, 3);
	}
	CHECK_EXIT(pid, 0);
	check_numbers(p, 10, 20, 7);
	check_numbers(p, 20, 700, 1);
	check_numbers(p, 700, 800, 3); /* not copied, and so the file's */
	check_numbers(shared, 700, 800, 3);
	CHECK_OK(madvise(p, 2 * BLOCK, MADV_DONTNEED));
	check_numbers(p, 0, 700, 1);
	CHECK_OK(mprotect(p, BLOCK, PROT_READ));
	check_store_kills(p, SIGSEGV);
	CHECK_OK(mprotect(p, BLOCK, RW));
	p[0] = 'x';
	CHECK_EQ(shared[0], 1);
}

TEST(unmapping_parts)
{
	static const struct {
		size_t from, to;
	} parts[] = { { 0, 1 }, { 511, 512 }, { 100, 200 }, { 0, 511 }, { 256, 512 }, { 0, 512 } };
	int fd = huge_file(3 * BLOCK);

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		char *p = blocks_map(3, RW, MAP_SHARED, fd);
		size_t from = 512 + parts[i].from, to = 512 + parts[i].to;
		unsigned char resident;

		number(p, 0, 3 * 512, i);
		CHECK_OK(munmap(p + from * PAGE, (to - from) * PAGE));
		check_numbers(p, 0, from, i);
		check_numbers(p, to, 3 * 512, i);
		CHECK_ERR(mincore(p + from * PAGE, PAGE, &resident), ENOMEM);
		CHECK_OK(mmap(p + from * PAGE, (to - from) * PAGE, RW, MAP_SHARED | MAP_FIXED, fd,
			      (off_t)(from * PAGE)));
		check_numbers(p, 0, 3 * 512, i);
		CHECK_OK(munmap(p, 3 * BLOCK));
	}
	check_file_numbers(fd, 0, 3 * 512, 5);
}

TEST(rights)
{
	int fd = huge_file(2 * BLOCK);
	char *p = blocks_map(2, RW, MAP_SHARED, fd);
	bool all = blocks_fill(p, 2);

	CHECK_OK(mprotect(p, 2 * BLOCK, PROT_READ));
	check_store_kills(p + 9 * PAGE, SIGSEGV);
	if (all)
		CHECK_EQ(smaps_kb(p, "ShmemPmdMapped:"), 4096);
	CHECK_OK(mprotect(p, 2 * BLOCK, RW));
	number(p, 0, 1024, 5);
	if (is_nos() && all)
		CHECK_EQ(smaps_kb(p, "ShmemPmdMapped:"), 4096);
	CHECK_OK(mprotect(p + 100 * PAGE, 3 * PAGE, PROT_READ));
	number(p, 0, 100, 9);
	number(p, 103, 1024, 9);
	check_numbers(p, 100, 103, 5);
	check_store_kills(p + 101 * PAGE, SIGSEGV);
	CHECK_OK(mprotect(p, 2 * BLOCK, PROT_NONE));
	check_store_kills(p + 600 * PAGE, SIGSEGV);
	CHECK_OK(mprotect(p, 2 * BLOCK, RW));
	number(p, 100, 103, 9);
	check_file_numbers(fd, 0, 1024, 9);
}

TEST(truncation)
{
	static const size_t sizes[] = { 1023, 700, 513, 512, 511, 300, 1, 0 };
	int fd = huge_file(2 * BLOCK);
	char *p = blocks_map(2, RW, MAP_SHARED, fd);
	char *q = blocks_map(2, RW, MAP_PRIVATE, fd);

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		size_t nr = sizes[i];

		number(p, 0, 1024, 1);
		check_numbers(q, 0, 1024, 1);
		CHECK_OK(ftruncate(fd, (off_t)(nr * PAGE)));
		check_numbers(p, 0, nr, 1);
		if (nr % 512 == 0) {
			check_store_kills(p + nr * PAGE, SIGBUS);
			CHECK_EQ(blocks_of(fd), (long)nr * 8);
		}
		if (is_nos())
			check_store_kills(p + nr * PAGE, SIGBUS);
		CHECK_OK(ftruncate(fd, 2 * BLOCK));
		check_numbers(p, 0, nr, 1);
		check_numbers(q, 0, nr, 1);
		check_zero(p, nr, 1024);
		check_zero(q, nr, 1024);
	}
	number(p, 0, 1024, 1);
	CHECK_OK(ftruncate(fd, 100 * PAGE + 100));
	CHECK_OK(ftruncate(fd, 2 * BLOCK));
	for (size_t at = 100 * PAGE + 100; at < 2 * BLOCK; at++)
		CHECK_EQ(p[at], 0);
	check_numbers(p, 0, 100, 1);
}

/* The end of the file lies within a block: nothing is to be had behind it, and nothing is left there. */
TEST(behind_the_end)
{
	int fd = huge_file(BLOCK + 3 * PAGE);
	char *p = blocks_map(2, RW, MAP_SHARED, fd);

	check_store_kills(p + BLOCK + 3 * PAGE, SIGBUS);
	p[BLOCK + 3 * PAGE - 1] = 'e';
	if (is_nos())
		check_store_kills(p + BLOCK + 3 * PAGE, SIGBUS);
	CHECK_OK(ftruncate(fd, 2 * BLOCK));
	CHECK_EQ(p[BLOCK + 3 * PAGE - 1], 'e');
	check_zero(p, 512 + 3, 1024);
	number(p, 0, 1024, 2);
	check_file_numbers(fd, 0, 1024, 2);
}

TEST(holes)
{
	const int punch = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
	int fd = huge_file(3 * BLOCK);
	char *p = blocks_map(3, RW, MAP_SHARED, fd);

	blocks_fill(p, 3);
	CHECK_OK(fallocate(fd, punch, 100 * PAGE, 50 * PAGE));
	check_numbers(p, 0, 100, 1);
	check_zero(p, 100, 150);
	check_numbers(p, 150, 3 * 512, 1);
	CHECK_OK(madvise(p + 600 * PAGE, 10 * PAGE, MADV_REMOVE));
	check_zero(p, 600, 610);
	check_numbers(p, 610, 1024, 1);
	long before = blocks_of(fd);

	CHECK_OK(madvise(p + 2 * BLOCK, BLOCK, MADV_REMOVE));
	CHECK_EQ(blocks_of(fd), before - 4096);
	check_zero(p, 1024, 1536);
	CHECK_OK(fallocate(fd, punch, 10, 2 * BLOCK + 10));
	check_zero(p, 1, 1024);
	number(p, 0, 1536, 6);
	check_file_numbers(fd, 0, 1536, 6);
}

TEST(moving_and_forgetting)
{
	int fd = huge_file(3 * BLOCK);
	char *p = blocks_map(3, RW, MAP_SHARED, fd), *to = blocks_map(3, PROT_NONE, MAP_SHARED, fd);

	blocks_fill(p, 3);
	CHECK_OK(madvise(p + PAGE, BLOCK, MADV_DONTNEED));
	check_numbers(p, 0, 1536, 1);
	CHECK_OK(madvise(p, 3 * BLOCK, MADV_DONTNEED));
	check_numbers(p, 0, 1536, 1);
	CHECK(mremap(p + 5 * PAGE, 700 * PAGE, 700 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to) == to);
	for (size_t i = 0; i < 700; i++) {
		size_t page = i + 5;

		CHECK_EQ(*(size_t *)(void *)(to + i * PAGE + page % 500 * 8), page + 1);
	}
	check_numbers(p, 0, 5, 1);
	check_numbers(p, 705, 1536, 1);
	CHECK(mremap(to, BLOCK, BLOCK, MREMAP_MAYMOVE | MREMAP_FIXED, p + 5 * PAGE) == p + 5 * PAGE);
	check_numbers(p, 0, 5 + 512, 1);
}

TEST(forking)
{
	int fd = huge_file(2 * BLOCK);
	char *p = blocks_map(2, RW, MAP_SHARED, fd);
	pid_t pid;

	blocks_fill(p, 1);
	CHILD(pid) {
		check_numbers(p, 50, 512, 1);
		number(p, 100, 900, 2);
	}
	number(p, 0, 50, 3);
	CHECK_EXIT(pid, 0);
	check_numbers(p, 0, 50, 3);
	check_numbers(p, 50, 100, 1);
	check_numbers(p, 100, 900, 2);
	check_file_numbers(fd, 100, 900, 2);
}

TEST(seen_from_outside)
{
	int fd = huge_file(BLOCK), ends[2], to = CHECK_OK(open("copy", O_CREAT | O_RDWR, 0600));
	char *p = blocks_map(1, RW, MAP_SHARED, fd), back[PAGE];
	size_t value = 0, numbers[2];
	off_t at = 0;

	blocks_fill(p, 1);
	struct iovec v = { p + 3 * PAGE, PAGE }, here = { &value, 8 }, there = { word(p, 444), 8 };

	CHECK_EQ(process_vm_readv(getpid(), &here, 1, &there, 1, 0), 8);
	CHECK_EQ(value, 445);
	value = 99;
	CHECK_EQ(process_vm_writev(getpid(), &here, 1, &there, 1, 0), 8);
	CHECK_EQ(pread(fd, numbers, 8, 444 * PAGE + 444 * 8), 8);
	CHECK_EQ(numbers[0], 99);
	CHECK_OK(pipe(ends));
	CHECK_EQ(vmsplice(ends[1], &v, 1, 0), (ssize_t)PAGE);
	CHECK_OK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, BLOCK));
	CHECK_EQ(read(ends[0], back, PAGE), (ssize_t)PAGE);
	check_zero(p, 0, 512);
	number(p, 0, 512, 1);
	while (at < (off_t)BLOCK)
		CHECK(sendfile(to, fd, &at, BLOCK - (size_t)at) > 0);
	check_file_numbers(to, 0, 512, 1);
	CHECK_OK(mlock(p, BLOCK));
	CHECK_OK(munlock(p + PAGE, PAGE));
	check_numbers(p, 0, 512, 1);
}

HELPER(fine)
{
	return 7;
}

TEST(programs)
{
	int self = CHECK_OK(open("/proc/self/exe", O_RDONLY)), fd = huge_file(0);
	char *argv[] = { test_self, "helper:fine", NULL };
	off_t size = CHECK_OK(lseek(self, 0, SEEK_END)), at = 0;
	pid_t pid;

	while (at < size)
		CHECK(sendfile(fd, self, &at, (size_t)(size - at)) > 0);
	CHECK_OK(fchmod(fd, 0755));
	CHECK_OK(close(fd));
	CHILD(pid)
		CHECK_OK(execv("m/f", argv));
	CHECK_EXIT(pid, 7);
}

/* ---- limits ---- */

TEST(limit_of_mappings)
{
	mount_huge("huge=always,size=3m");
	int fd = file_create(4 * BLOCK);
	char *p = blocks_map(4, RW, MAP_SHARED, fd);
	pid_t pid;

	number(p, 0, 512 + 256, 1);
	CHILD(pid)
		p[3 * BLOCK] = 1;
	CHECK_KILLED(pid, SIGBUS);
	CHECK_EQ(blocks_of(fd), 6144);
	check_numbers(p, 0, 512 + 256, 1);
	CHECK_OK(ftruncate(fd, 0));
	CHECK_OK(ftruncate(fd, 4 * BLOCK));
	p[3 * BLOCK] = 1;
	CHECK_EQ(p[3 * BLOCK], 1);
}

TEST(limit_of_writes)
{
	static char text[3 << 20];
	ssize_t n, total = 0;

	mount_huge("huge=always,size=3m");
	int fd = file_create(0);

	while ((n = write(fd, text, 65536)) > 0)
		total += n;
	CHECK_EQ(errno, ENOSPC);
	CHECK_EQ(total, 3 << 20);
	CHECK_OK(ftruncate(fd, 0));
	CHECK_EQ(pwrite(fd, text, 3 << 20, 0), 3 << 20);
	CHECK_ERR(pwrite(fd, text, 1, 3 << 20), ENOSPC);
	CHECK_EQ(blocks_of(fd), 6144);
	CHECK_OK(ftruncate(fd, 0));
	CHECK_ERR(fallocate(fd, 0, 0, 4 << 20), ENOSPC);
	CHECK_OK(fallocate(fd, 0, 0, 3 << 20));
	CHECK_EQ(blocks_of(fd), 6144);
	CHECK_OK(ftruncate(fd, 0));
	/* from the middle of what would be a block: not more is taken than is there */
	n = pwrite(fd, text, 2 << 20, 1 << 20);
	CHECK(n > 0 && n <= 2 << 20);
	CHECK(blocks_of(fd) <= 6144);
}

/* ---- policy ---- */

static bool is_shown(const char *what)
{
	FILE *f = CHECK_OK(fopen("/proc/self/mounts", "r"));
	bool shown = false;
	char text[512];

	while (fgets(text, sizeof(text), f))
		if (strstr(text, "/m tmpfs "))
			shown = strstr(text, what) != NULL;
	fclose(f);
	return shown;
}

TEST(options)
{
	mount_huge("huge=within_size");
	CHECK(is_shown("huge=within_size"));
	CHECK_ERR(mount("none", "m", NULL, MS_REMOUNT, "huge=sometimes"), EINVAL);
	CHECK_ERR(mount("none", "m", NULL, MS_REMOUNT, "huge=force"), EINVAL);
	CHECK_ERR(mount("none", "m", NULL, MS_REMOUNT, "huge="), EINVAL);
	CHECK(is_shown("huge=within_size"));
	CHECK_OK(mount("none", "m", NULL, MS_REMOUNT, "size=16m"));
	CHECK(is_shown("huge=within_size"));
	CHECK_OK(mount("none", "m", NULL, MS_REMOUNT, "huge=never"));
	CHECK(!is_shown("huge="));
	CHECK_OK(mkdir("m/b", 0755));
	CHECK_ERR(mount("none", "m/b", "tmpfs", 0, "huge=maybe"), EINVAL);
	CHECK_OK(mount("none", "m/b", "tmpfs", 0, "huge=advise"));
	CHECK_OK(umount("m/b"));
}

TEST(within_size_and_advise)
{
	mount_huge("huge=within_size");
	int fd = file_create(BLOCK + PAGE);
	char *p = blocks_map(2, RW, MAP_SHARED, fd);

	p[BLOCK] = 1;
	CHECK_EQ(blocks_of(fd), 8);
	if (blocks_fill(p, 1))
		CHECK_EQ(blocks_of(fd), 4096 + 8);
	CHECK_OK(ftruncate(fd, 0));
	CHECK_OK(mount("none", "m", NULL, MS_REMOUNT, "huge=advise"));
	CHECK_OK(ftruncate(fd, 2 * BLOCK));
	p[5 * PAGE] = 1;
	CHECK_EQ(blocks_of(fd), 8);
	CHECK_OK(madvise(p, 2 * BLOCK, MADV_HUGEPAGE));
	p[6 * PAGE] = 1;
	if (is_nos())
		CHECK_EQ(blocks_of(fd), 16); /* it is not empty */
	size_t came = figure("/proc/vmstat", "thp_file_alloc");

	p[BLOCK + 5 * PAGE] = 1;
	if (is_nos() && figure("/proc/vmstat", "thp_file_alloc") == came + 1)
		CHECK_EQ(smaps_kb(p, "ShmemPmdMapped:"), 2048);
	CHECK_OK(ftruncate(fd, 0));
	CHECK_OK(ftruncate(fd, 2 * BLOCK));
	CHECK_OK(mount("none", "m", NULL, MS_REMOUNT, "huge=always"));
	CHECK_OK(madvise(p, 2 * BLOCK, MADV_NOHUGEPAGE));
	p[0] = 1;
	CHECK_EQ(smaps_kb(p, "ShmemPmdMapped:"), 0);
	if (is_nos())
		CHECK_EQ(blocks_of(fd), 8);
}

TEST(files_of_the_system)
{
	char text[128] = "";

	if (test_read_file(POLICY, text, sizeof(text)) < 0 || !strstr(text, "[never]"))
		return;
	CHECK_STR(text, "always within_size advise [never] deny force\n");
	int policy = open(POLICY, O_WRONLY);

	if (policy < 0)
		return;
	CHECK_ERR(write(policy, "sometimes", 9), EINVAL);
	if (test_is_off("huge_pages")) {
		CHECK_ERR(write(policy, "advise", 6), EINVAL);
		return;
	}
	int fd = CHECK_OK(memfd_create("x", MFD_ALLOW_SEALING));

	CHECK_OK(ftruncate(fd, 2 * BLOCK));
	CHECK_EQ(write(policy, "advise\n", 7), 7);
	char *p = blocks_map(2, RW, MAP_SHARED, fd);
	char *q = blocks_map(2, RW, MAP_SHARED | MAP_ANONYMOUS, -1);

	CHECK_OK(madvise(p, 2 * BLOCK, MADV_HUGEPAGE));
	CHECK_OK(madvise(q, 2 * BLOCK, MADV_HUGEPAGE));
	blocks_fill(p, 2);
	blocks_fill(q, 2);
	CHECK_OK(test_read_file(POLICY, text, sizeof(text)));
	CHECK_EQ(write(policy, "never", 5), 5);
	CHECK_STR(text, "always within_size [advise] never deny force\n");
	check_numbers(p, 0, 1024, 1);
	check_numbers(q, 0, 1024, 1);
	CHECK_OK(madvise(q + 30 * PAGE, 600 * PAGE, MADV_REMOVE));
	check_zero(q, 30, 630);
	check_numbers(q, 630, 1024, 1);
	/* seals */
	CHECK_ERR(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), EBUSY);
	CHECK_OK(fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE));
	number(p, 0, 1024, 2);
	CHECK_ERR(pwrite(fd, "x", 1, 0), EPERM);
	CHECK_OK(munmap(p, 2 * BLOCK));
	CHECK_OK(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE));
	p = blocks_map(2, PROT_READ, MAP_SHARED, fd);
	check_numbers(p, 0, 1024, 2);
	check_store_kills(p, SIGSEGV);
	CHECK_ERR(mprotect(p, 2 * BLOCK, RW), EACCES);
}

/* Where the kernel chooses the place, one entry can map 2 MiB. */
TEST(places)
{
	int fd = huge_file(4 * BLOCK);

	for (int i = 0; i < 3; i++) {
		char *p = CHECK_OK(mmap(NULL, 2 * BLOCK + PAGE, RW, MAP_SHARED, fd, 0));
		char *q = CHECK_OK(mmap(NULL, 2 * BLOCK, RW, MAP_PRIVATE, fd, 3 * PAGE));

		CHECK_EQ((uintptr_t)p % BLOCK, 0);
		if (is_nos())
			CHECK_EQ((uintptr_t)q % BLOCK, 3 * PAGE);
		number(p, 0, 1024, 2);
		check_numbers(q - 3 * PAGE, 3, 512, 2);
	}
}

/* ---- threads ---- */

static int common_fd;
static _Atomic bool stop;

/* All touch the same block for the first time, each its own pages, by stores and by writes. */
static void *touch_together(void *arg)
{
	size_t id = (size_t)arg;

	for (size_t round = 0; round < ROUNDS; round++) {
		pthread_barrier_wait(&barrier);
		for (size_t i = id; i < 512; i += THREADS) {
			size_t value = i + round;

			if (round % 2 && id == 1)
				CHECK_EQ(pwrite(common_fd, &value, 8,
						(off_t)(i * PAGE + i % 500 * 8)), 8);
			else
				*word(common, i) += value;
		}
		pthread_barrier_wait(&barrier);
		check_file_numbers(common_fd, id * 128, id * 128 + 128, round);
		check_numbers(common, 0, 512, round);
		pthread_barrier_wait(&barrier);
		if (id == round % THREADS)
			CHECK_OK(fallocate(common_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
					   BLOCK));
	}
	return NULL;
}

TEST_TIMED(threads_that_touch_at_once, 60)
{
	common_fd = huge_file(BLOCK);
	common = blocks_map(1, RW, MAP_SHARED, common_fd);
	threads_run(touch_together);
}

/* Each changes its own quarter in its own way, while the others count in theirs. */
static void *split_together(void *arg)
{
	size_t id = (size_t)arg, first = id * 128;

	for (size_t round = 0; round < ROUNDS; round++) {
		if (id == 0)
			number(common, 0, 512, 1);
		pthread_barrier_wait(&barrier);
		size_t at = first + round % 100;

		check_numbers(common, first, first + 128, 1);
		if (id == 0) {
			CHECK_OK(mprotect(common + at * PAGE, 2 * PAGE, PROT_READ));
			CHECK_OK(mprotect(common + at * PAGE, 2 * PAGE, RW));
		} else if (id == 1) {
			CHECK_OK(madvise(common + at * PAGE, 3 * PAGE, MADV_REMOVE));
			check_zero(common, at, at + 3);
			number(common, at, at + 3, 1);
		} else if (id == 2) {
			CHECK_OK(mmap(common + at * PAGE, PAGE, RW, MAP_SHARED | MAP_FIXED,
				      common_fd, (off_t)(at * PAGE)));
		} else {
			pid_t pid = CHECK_OK(fork());

			if (pid == 0) {
				check_numbers(common, first, first + 128, 1);
				_exit(0);
			}
			CHECK_EXIT(pid, 0);
		}
		for (size_t i = first; i < first + 128; i++)
			(*word(common, i))++;
		check_numbers(common, first, first + 128, 2);
		pthread_barrier_wait(&barrier);
		if (id == 0) {
			check_numbers(common, 0, 512, 2);
			CHECK_OK(madvise(common, BLOCK, MADV_DONTNEED));
			if (round % 2)
				CHECK_OK(madvise(common, BLOCK, MADV_REMOVE));
		}
		pthread_barrier_wait(&barrier);
	}
	return NULL;
}

TEST_TIMED(threads_that_split_at_once, 60)
{
	common_fd = huge_file(BLOCK);
	common = blocks_map(1, RW, MAP_SHARED, common_fd);
	threads_run(split_together);
}

static void *store_anyhow(size_t id)
{
	char *private = blocks_map(1, RW, MAP_PRIVATE, common_fd);

	for (size_t round = 1; !stop; round++) {
		for (size_t i = id; i < 512; i += 37) {
			*(volatile size_t *)word(common, i) = i;
			size_t seen = *(volatile size_t *)word(common, i);

			CHECK(seen == i || seen == 0);
			seen = *(volatile size_t *)word(private, i);
			CHECK(seen == i || seen == 0);
		}
		*(volatile size_t *)word(private, round % 512) = round % 512;
		CHECK_EQ(*(volatile size_t *)word(private, round % 512), round % 512);
		CHECK_OK(madvise(private, BLOCK, MADV_DONTNEED));
	}
	return NULL;
}

/* One takes the pages away and changes rights, without a lock against those who store and look. */
static void *take_away_anyhow(void *arg)
{
	if (arg)
		return store_anyhow((size_t)arg);
	for (size_t round = 0; round < 4 * ROUNDS; round++) {
		size_t at = round % 512 * PAGE;

		CHECK_OK(madvise(common, BLOCK, MADV_DONTNEED));
		CHECK_OK(madvise(common + at, PAGE, MADV_REMOVE));
		if (round % 3 == 0)
			CHECK_OK(mprotect(common, BLOCK, RW | PROT_EXEC));
		if (round % 3 == 1)
			CHECK_OK(mprotect(common, BLOCK, RW));
		if (round % 3 == 2)
			CHECK_OK(madvise(common, BLOCK, MADV_REMOVE));
	}
	stop = true;
	return NULL;
}

TEST_TIMED(taking_away_while_others_store, 60)
{
	common_fd = huge_file(BLOCK);
	common = blocks_map(1, RW, MAP_SHARED, common_fd);
	threads_run(take_away_anyhow);
}
