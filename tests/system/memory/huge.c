/* Anonymous memory that comes 2 MiB at a time: whatever is done to a part of it, each page holds what belongs there. */
#include "huge.h"
#include <sys/prctl.h>
#include <sys/uio.h>

#define ANON	(MAP_PRIVATE | MAP_ANONYMOUS)
#define POLICY	"/sys/kernel/mm/transparent_hugepage/enabled"

/* nr blocks, aligned, with nothing mapped around them, that ask for huge pages. */
static char *blocks_map(size_t nr)
{
	char *q = CHECK_OK(mmap(blocks_place(nr), nr * BLOCK, RW, ANON | MAP_FIXED, -1, 0));

	if (madvise(q, nr * BLOCK, MADV_HUGEPAGE))
		CHECK_EQ(errno, EINVAL); /* a Linux without */
	return q;
}

static bool policy_is(const char *mode)
{
	char text[128] = "", wanted[32];

	if (test_read_file(POLICY, text, sizeof(text)) < 0)
		return false;
	snprintf(wanted, sizeof(wanted), "[%s]", mode);
	return strstr(text, wanted) != NULL;
}

/* Blocks whose every page has its number; true if they are huge for certain. */
static bool blocks_fill(char *p, size_t nr)
{
	size_t missed = figure("/proc/vmstat", "thp_fault_fallback"), came = figure("/proc/vmstat", "thp_fault_alloc");

	for (size_t i = 0; i < nr; i++)
		p[i * BLOCK + 7 * PAGE] = 0;
	bool all = (policy_is("madvise") || policy_is("always")) &&
		   figure("/proc/vmstat", "thp_fault_fallback") == missed;

	if (all) {
		CHECK_EQ(smaps_kb(p, "AnonHugePages:"), nr * BLOCK / 1024);
		CHECK(figure("/proc/vmstat", "thp_fault_alloc") >= came + nr);
	}
	number(p, 0, nr * 512, 1);
	return all;
}

TEST(one_touch_brings_all_of_it)
{
	char *p = blocks_map(3);
	unsigned char resident[3 * 512];
	bool all = blocks_fill(p, 2);

	CHECK_OK(mincore(p, 3 * BLOCK, resident));
	for (size_t i = 0; i < 3 * 512; i++)
		CHECK_EQ(resident[i] & 1, i < 1024);
	check_numbers(p, 0, 1024, 1);
	*(volatile char *)(p + 2 * BLOCK); /* a load, too */
	CHECK_EQ(*(volatile char *)(p + 3 * BLOCK - 1), 0);
	if (all)
		CHECK_EQ(smaps_kb(p, "Rss:") >= 4096, 1);
	CHECK_OK(munmap(p, 3 * BLOCK));
	p = CHECK_OK(mmap(p, 3 * BLOCK, RW, ANON | MAP_FIXED, -1, 0));
	check_zero(p, 0, 3 * 512);
}

/* What does not hold 2 MiB, or does not want to, comes in pages. */
TEST(where_it_does_not_fit)
{
	char *p = blocks_map(2);

	CHECK_OK(munmap(p, PAGE));
	CHECK_OK(munmap(p + 2 * BLOCK - PAGE, PAGE));
	number(p, 1, 1023, 3);
	CHECK_EQ(smaps_kb(p + PAGE, "AnonHugePages:"), 0);
	check_numbers(p, 1, 1023, 3);
	p = blocks_map(1);
	CHECK_OK(madvise(p, BLOCK, MADV_NOHUGEPAGE) && errno != EINVAL ? -1 : 0);
	number(p, 0, 512, 3);
	CHECK_EQ(smaps_kb(p, "AnonHugePages:"), 0);
}

TEST(unmapping_parts)
{
	static const struct {
		size_t from, to;
	} parts[] = { { 0, 1 }, { 511, 512 }, { 100, 200 }, { 0, 511 }, { 256, 512 }, { 0, 512 } };

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		char *p = blocks_map(3);
		size_t from = 512 + parts[i].from, to = 512 + parts[i].to;
		unsigned char resident;

		blocks_fill(p, 3);
		CHECK_OK(munmap(p + from * PAGE, (to - from) * PAGE));
		check_numbers(p, 0, from, 1);
		check_numbers(p, to, 3 * 512, 1);
		CHECK_ERR(mincore(p + from * PAGE, PAGE, &resident), ENOMEM);
		CHECK_ERR(mincore(p + (to - 1) * PAGE, PAGE, &resident), ENOMEM);
		CHECK_OK(mmap(p + from * PAGE, (to - from) * PAGE, RW, ANON | MAP_FIXED, -1, 0));
		check_zero(p, from, to);
		number(p, from, to, 1);
		check_numbers(p, 0, 3 * 512, 1);
		CHECK_OK(munmap(p, 3 * BLOCK));
	}
}

static void check_store_dies(char *at)
{
	pid_t pid = CHECK_OK(fork());

	if (pid == 0) {
		*(volatile char *)at = 1;
		_exit(0);
	}
	CHECK_KILLED(pid, SIGSEGV);
}

TEST(rights_of_parts)
{
	char *p = blocks_map(2);

	blocks_fill(p, 2);
	CHECK_OK(mprotect(p + 100 * PAGE, 3 * PAGE, PROT_READ));
	check_numbers(p, 0, 1024, 1);
	number(p, 0, 100, 9);
	number(p, 103, 1024, 9);
	check_numbers(p, 100, 103, 1);
	check_store_dies(p + 101 * PAGE);
	CHECK_OK(mprotect(p + 100 * PAGE, 3 * PAGE, RW));
	number(p, 0, 1024, 5);
	CHECK_OK(mprotect(p + 511 * PAGE, 2 * PAGE, PROT_NONE));
	CHECK_OK(mprotect(p + 511 * PAGE, 2 * PAGE, RW));
	check_numbers(p, 0, 1024, 5);
}

TEST(rights_of_all)
{
	char *p = blocks_map(2);
	bool all = blocks_fill(p, 2);

	CHECK_OK(mprotect(p, 2 * BLOCK, PROT_READ));
	check_numbers(p, 0, 1024, 1);
	if (all)
		CHECK_EQ(smaps_kb(p, "AnonHugePages:"), 2 * BLOCK / 1024);
	check_store_dies(p + 600 * PAGE);
	check_store_dies(p);
	CHECK_OK(mprotect(p, 2 * BLOCK, RW));
	number(p, 0, 1024, 2);
	CHECK_OK(mprotect(p, 2 * BLOCK, PROT_NONE));
	check_store_dies(p + 600 * PAGE);
	CHECK_OK(mprotect(p, 2 * BLOCK, RW | PROT_EXEC));
	check_numbers(p, 0, 1024, 2);
	p[0] = (char)0xc3; /* ret */
	((void (*)(void))(void *)p)();
	CHECK_OK(mprotect(p, 2 * BLOCK, RW));
	number(p, 0, 1024, 4);
	check_numbers(p, 0, 1024, 4);
}

/* A debugger writes where the program itself may not. */
TEST(writing_from_outside)
{
	char *p = blocks_map(1), path[64];
	size_t value = 4711;

	blocks_fill(p, 1);
	CHECK_OK(mprotect(p, BLOCK, PROT_READ));
	snprintf(path, sizeof(path), "/proc/%d/mem", getpid());
	int fd = CHECK_OK(open(path, O_RDWR));

	CHECK_EQ(pwrite(fd, &value, 8, (off_t)(uintptr_t)word(p, 77)), 8);
	CHECK_EQ(*word(p, 77), 4711);
	check_numbers(p, 0, 77, 1);
	check_numbers(p, 78, 512, 1);
	close(fd);
}

TEST(moving)
{
	char *p = blocks_map(2), *to = blocks_map(4);

	blocks_fill(p, 2);
	/* a part, to a place with another offset */
	char *q = CHECK_OK(mremap(p + 300 * PAGE, 400 * PAGE, 400 * PAGE,
				  MREMAP_MAYMOVE | MREMAP_FIXED, to + 5 * PAGE));

	check_numbers(q - 300 * PAGE, 300, 700, 1);
	check_numbers(p, 0, 300, 1);
	check_numbers(p, 700, 1024, 1);
	check_zero(to, 0, 5);
	/* all of it, aligned, then longer */
	char *r = blocks_map(1);

	blocks_fill(r, 1);
	q = CHECK_OK(mremap(r, BLOCK, BLOCK, MREMAP_MAYMOVE | MREMAP_FIXED, to + BLOCK));
	check_numbers(q, 0, 512, 1);
	q = CHECK_OK(mremap(q, BLOCK, 3 * BLOCK, MREMAP_MAYMOVE));
	check_numbers(q, 0, 512, 1);
	check_zero(q, 512, 3 * 512);
	/* shorter */
	CHECK_EQ(mremap(q, 3 * BLOCK, 100 * PAGE, 0), q);
	check_numbers(q, 0, 100, 1);
}

TEST(giving_back)
{
	char *p = blocks_map(2);
	bool all = blocks_fill(p, 2);

	CHECK_OK(madvise(p + 10 * PAGE, 20 * PAGE, MADV_DONTNEED));
	check_numbers(p, 0, 10, 1);
	check_zero(p, 10, 30);
	check_numbers(p, 30, 1024, 1);
	CHECK_OK(madvise(p + BLOCK, BLOCK, MADV_DONTNEED));
	if (all)
		CHECK(smaps_kb(p, "Rss:") <= BLOCK / 1024);
	check_zero(p, 512, 1024);
	number(p, 10, 30, 1);
	number(p, 512, 1024, 1);
	check_numbers(p, 0, 1024, 1);
	CHECK_OK(madvise(p, 2 * BLOCK, MADV_DONTNEED));
	CHECK_EQ(smaps_kb(p, "Rss:"), 0);
	CHECK_EQ(smaps_kb(p, "AnonHugePages:"), 0);
	blocks_fill(p, 2); /* and it comes again */
	if (!madvise(p + 500 * PAGE, 100 * PAGE, MADV_FREE))
		for (size_t i = 500; i < 600; i++)
			CHECK(*word(p, i) == 0 || *word(p, i) == i + 1);
	check_numbers(p, 0, 500, 1);
	check_numbers(p, 600, 1024, 1);
}

/* Over and over: nothing may be lost on the way. */
TEST(giving_back_and_taking)
{
	char *p = blocks_map(4);

	for (size_t round = 0; round < 30; round++) {
		number(p, 0, 2048, round);
		check_numbers(p, 0, 2048, round);
		CHECK_OK(madvise(p + round % 4 * BLOCK, BLOCK, MADV_DONTNEED));
		check_zero(p, round % 4 * 512, round % 4 * 512 + 512);
		CHECK_OK(munmap(p, 4 * BLOCK));
		CHECK_OK(mmap(p, 4 * BLOCK, RW, ANON | MAP_FIXED, -1, 0));
		madvise(p, 4 * BLOCK, MADV_HUGEPAGE);
	}
}

TEST(forking)
{
	char *p = blocks_map(3);

	blocks_fill(p, 2);
	pid_t pid = CHECK_OK(fork());

	if (pid == 0) {
		check_numbers(p, 0, 1024, 1);
		number(p, 0, 300, 2);
		pid_t grandchild = CHECK_OK(fork());

		if (grandchild == 0) {
			check_numbers(p, 0, 300, 2);
			check_numbers(p, 300, 1024, 1);
			number(p, 200, 700, 3);
			number(p, 1024, 1536, 3);
			check_numbers(p, 0, 200, 2);
			check_numbers(p, 200, 700, 3);
			_exit(0);
		}
		CHECK_EXIT(grandchild, 0);
		check_numbers(p, 0, 300, 2);
		check_numbers(p, 300, 1024, 1);
		check_zero(p, 1024, 1536);
		_exit(0);
	}
	number(p, 400, 600, 7);
	blocks_fill(p + 2 * BLOCK, 1);
	CHECK_EXIT(pid, 0);
	check_numbers(p, 0, 400, 1);
	check_numbers(p, 400, 600, 7);
	check_numbers(p, 600, 1024, 1);
	check_numbers(p + 2 * BLOCK, 0, 512, 1);
	number(p, 0, 1024, 8);
	check_numbers(p, 0, 1024, 8);
}

/* A pinned page is not what a copy after a fork may take the place of unseen. */
TEST(in_a_pipe)
{
	char *p = blocks_map(1), back[PAGE];
	int ends[2];

	blocks_fill(p, 1);
	CHECK_OK(pipe(ends));
	struct iovec v = { p + 3 * PAGE, PAGE };

	CHECK_EQ(vmsplice(ends[1], &v, 1, 0), (ssize_t)PAGE);
	CHECK_OK(madvise(p, BLOCK, MADV_DONTNEED));
	check_zero(p, 0, 512);
	CHECK_EQ(read(ends[0], back, PAGE), (ssize_t)PAGE);
	CHECK_EQ(*(size_t *)(void *)(back + 3 * 8), 4);
	CHECK_EQ(write(ends[1], p + PAGE - 16, 64), 64);
	CHECK_EQ(read(ends[0], p + 100 * PAGE - 32, 64), 64);
	check_zero(p, 0, 512);
}

TEST(locked_and_seen_from_another)
{
	char *p = blocks_map(1);
	size_t value = 0;

	blocks_fill(p, 1);
	CHECK_OK(mlock(p + 10 * PAGE, 2 * PAGE));
	CHECK_ERR(madvise(p, BLOCK, MADV_DONTNEED), EINVAL);
	check_numbers(p, 10, 512, 1);
	number(p, 0, 10, 1);
	CHECK_OK(munlock(p, BLOCK));
	struct iovec here = { &value, 8 }, there = { word(p, 444), 8 };

	CHECK_EQ(process_vm_readv(getpid(), &here, 1, &there, 1, 0), 8);
	CHECK_EQ(value, 445);
	value = 99;
	CHECK_EQ(process_vm_writev(getpid(), &here, 1, &there, 1, 0), 8);
	CHECK_EQ(*word(p, 444), 99);
	CHECK_OK(mlock(p, BLOCK));
	CHECK_EQ(smaps_kb(p, "Rss:"), BLOCK / 1024);
}

TEST(page_map)
{
	char *p = blocks_map(1);
	uint64_t entry[512];
	bool all = blocks_fill(p, 1);
	int fd = CHECK_OK(open("/proc/self/pagemap", O_RDONLY));

	CHECK_EQ(pread(fd, entry, sizeof(entry), (off_t)((uintptr_t)p / PAGE * 8)),
		 (ssize_t)sizeof(entry));
	for (size_t i = 0; i < 512; i++) {
		CHECK_EQ(entry[i] >> 63, 1);
		if (all && entry[0] << 9) /* frames are for root */
			CHECK_EQ((entry[i] - entry[0]) << 9 >> 9, i);
	}
	close(fd);
}

/* ---- threads ---- */

/* All touch the same block for the first time, each its own pages. */
static void *touch_together(void *arg)
{
	size_t id = (size_t)arg;

	for (size_t round = 0; round < ROUNDS; round++) {
		pthread_barrier_wait(&barrier);
		for (size_t i = id; i < 512; i += THREADS)
			*word(common, i) += i + round;
		pthread_barrier_wait(&barrier);
		for (size_t i = id; i < 512; i += THREADS)
			CHECK_EQ(*word(common, i), i + round);
		pthread_barrier_wait(&barrier);
		if (id == round % THREADS)
			CHECK_OK(madvise(common, BLOCK, MADV_DONTNEED));
	}
	return NULL;
}

TEST_TIMED(threads_that_touch_at_once, 30)
{
	common = blocks_map(1);
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
			CHECK_OK(madvise(common + at * PAGE, 3 * PAGE, MADV_DONTNEED));
			check_zero(common, at, at + 3);
			number(common, at, at + 3, 1);
		} else if (id == 2) {
			CHECK_OK(mmap(common + at * PAGE, PAGE, RW, ANON | MAP_FIXED, -1, 0));
			number(common, at, at + 1, 1);
		} else {
			pid_t pid = CHECK_OK(fork());

			if (pid == 0) {
				check_numbers(common, first, first + 128, 1);
				_exit(0);
			}
			number(common, first, first + 128, 1);
			CHECK_EXIT(pid, 0);
		}
		for (size_t i = first; i < first + 128; i++)
			(*word(common, i))++;
		check_numbers(common, first, first + 128, 2);
		pthread_barrier_wait(&barrier);
		if (id == 0) {
			check_numbers(common, 0, 512, 2);
			CHECK_OK(madvise(common, BLOCK, MADV_HUGEPAGE));
			CHECK_OK(madvise(common, BLOCK, MADV_DONTNEED));
		}
		pthread_barrier_wait(&barrier);
	}
	return NULL;
}

TEST_TIMED(threads_that_split_at_once, 60)
{
	common = blocks_map(1);
	threads_run(split_together);
}

/* One gives all back again and again, without a lock against those who store and look. */
static _Atomic bool stop;

static void *store_anyhow(void *arg)
{
	size_t id = (size_t)arg;

	for (size_t round = 1; !stop; round++) {
		for (size_t i = id; i < 512; i += 37) {
			*(volatile size_t *)word(common, i) = i;
			size_t seen = *(volatile size_t *)word(common, i);

			CHECK(seen == i || seen == 0);
		}
	}
	return NULL;
}

static void *give_back_anyhow(void *arg)
{
	size_t id = (size_t)arg;

	if (id)
		return store_anyhow(arg);
	for (size_t round = 0; round < 4 * ROUNDS; round++) {
		CHECK_OK(madvise(common, BLOCK, MADV_DONTNEED));
		CHECK_OK(madvise(common + round % 512 * PAGE, PAGE, MADV_DONTNEED));
		if (round % 3 == 0)
			CHECK_OK(mprotect(common, BLOCK, RW | PROT_EXEC));
		if (round % 3 == 1)
			CHECK_OK(mprotect(common, BLOCK, RW));
	}
	stop = true;
	return NULL;
}

TEST_TIMED(giving_back_while_others_store, 60)
{
	common = blocks_map(1);
	threads_run(give_back_anyhow);
}

/* ---- policy ---- */

TEST(policy_file)
{
	char text[128] = "", size[32] = "";
	size_t chosen = 0;

	if (test_read_file(POLICY, text, sizeof(text)) < 0)
		return;
	CHECK(strstr(text, "always") && strstr(text, "madvise") && strstr(text, "never"));
	for (const char *c = text; *c; c++)
		chosen += *c == '[';
	CHECK_EQ(chosen, 1);
	CHECK(test_read_file("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size", size,
			     sizeof(size)) > 0);
	CHECK_STR(size, "2097152\n");
	int fd = open(POLICY, O_WRONLY);

	if (fd < 0)
		return;
	char *mode = strchr(text, '[') + 1;

	*strchr(mode, ']') = 0;
	CHECK_EQ(write(fd, mode, strlen(mode)), (ssize_t)strlen(mode)); /* what it is already */
	CHECK_ERR(write(fd, "sometimes", 9), EINVAL);
	CHECK(policy_is(mode));
	close(fd);
}

HELPER(is_disabled)
{
	return prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0);
}

TEST(disabled_for_a_process)
{
	char *p = blocks_map(1);

	CHECK_EQ(prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0), 0);
	CHECK_ERR(prctl(PR_GET_THP_DISABLE, 1, 0, 0, 0), EINVAL);
	CHECK_ERR(prctl(PR_SET_THP_DISABLE, 1, 0, 0, 1), EINVAL);
	CHECK_OK(prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0));
	CHECK_EQ(prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0), 1);
	number(p, 0, 512, 1);
	CHECK_EQ(smaps_kb(p, "AnonHugePages:"), 0);
	pid_t pid;

	CHILD(pid) {
		CHECK_EQ(prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0), 1);
		test_exec("is_disabled", "");
	}
	CHECK_EXIT(pid, 1);
	CHECK_OK(prctl(PR_SET_THP_DISABLE, 0, 0, 0, 0));
	CHECK_OK(madvise(p, BLOCK, MADV_DONTNEED));
	blocks_fill(p, 1);
}
