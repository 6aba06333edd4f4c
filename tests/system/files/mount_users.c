/* Who uses a mount while it is to go, or to become read-only: umount(2) and mount(2), EBUSY. */
#include "../test.h"
#include <sched.h>
#include <sys/mount.h>

enum { USERS = 3, MILLISECONDS = 1500 };

/* Odd while user i has the file open for certain. */
static volatile unsigned *generation;
static volatile bool *is_over;

static void private_mounts(void)
{
	if (geteuid() != 0)
		SKIP("needs root");
	if (unshare(CLONE_NEWNS) < 0)
		FAIL("unshare: %s", strerrorname_np(errno));
	CHECK_OK(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL));
	CHECK_OK(mkdir("m", 0755));
	test_make_file("m/f", "below");
	CHECK_OK(mkdir("source", 0755));
	test_make_file("source/f", "mount");
	generation = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(generation != MAP_FAILED);
	is_over = (volatile bool *)(generation + USERS);
}

static void bind_on(void)
{
	CHECK_OK(mount("source", "m", NULL, MS_BIND, NULL));
}

static void user_main(int me, int flags)
{
	while (!*is_over) {
		char c = 'm';
		int fd = open("m/f", flags);

		if (fd >= 0 && (flags != O_RDONLY || pread(fd, &c, 1, 0) == 1) && c == 'm') {
			__atomic_add_fetch(&generation[me], 1, __ATOMIC_SEQ_CST);
			for (int i = 0; i < 20; i++)
				sched_yield();
			if (flags != O_RDONLY)
				CHECK_EQ(pwrite(fd, "m", 1, 0), 1);
			__atomic_add_fetch(&generation[me], 1, __ATOMIC_SEQ_CST);
		} else if (fd < 0) {
			CHECK_EQ(errno, EROFS);
		}
		if (fd >= 0)
			CHECK_OK(close(fd));
		for (int i = 0; i < 60; i++)
			sched_yield();
	}
}

static void users_start(pid_t *pids, int flags)
{
	for (int i = 0; i < USERS; i++)
		CHILD(pids[i])
			user_main(i, flags);
}

static void users_end(pid_t *pids)
{
	*is_over = true;
	for (int i = 0; i < USERS; i++)
		CHECK_EXIT(pids[i], 0);
}

static long long now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000ll + t.tv_nsec / 1000000;
}

static void generations(unsigned *to)
{
	for (int i = 0; i < USERS; i++)
		to[i] = __atomic_load_n(&generation[i], __ATOMIC_SEQ_CST);
}

/* Nobody had it open all the time between the two looks. */
static void check_unused(const unsigned *before)
{
	unsigned after[USERS];

	generations(after);
	for (int i = 0; i < USERS; i++)
		CHECK(!(before[i] & 1) || before[i] != after[i]);
}

TEST_TIMED(umount_of_what_is_open, 60)
{
	long long end;
	pid_t pids[USERS];

	private_mounts();
	bind_on();
	users_start(pids, O_RDONLY);
	end = now_ms() + MILLISECONDS;
	while (now_ms() < end) {
		unsigned before[USERS];

		generations(before);
		if (umount("m") == 0) {
			check_unused(before);
			bind_on();
		} else {
			CHECK_EQ(errno, EBUSY);
		}
	}
	users_end(pids);
	CHECK_OK(umount("m"));
	CHECK_ERR(umount("m"), EINVAL);
}

TEST_TIMED(read_only_means_that_nobody_writes, 60)
{
	long long end;
	pid_t pids[USERS];

	private_mounts();
	bind_on();
	users_start(pids, O_WRONLY);
	end = now_ms() + MILLISECONDS;
	while (now_ms() < end) {
		unsigned before[USERS];

		generations(before);
		if (mount(NULL, "m", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL) == 0) {
			check_unused(before);
			generations(before);
			CHECK_ERR(open("m/f", O_WRONLY), EROFS);
			for (int i = 0; i < USERS; i++)
				CHECK(!(before[i] & 1));
			CHECK_OK(mount(NULL, "m", NULL, MS_REMOUNT | MS_BIND, NULL));
		} else {
			CHECK_EQ(errno, EBUSY);
		}
	}
	users_end(pids);
	CHECK_OK(mount(NULL, "m", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL));
	CHECK_ERR(open("m/f", O_WRONLY), EROFS);
	CHECK_ERR(mkdir("m/d", 0755), EROFS);
	CHECK_OK(umount("m"));
}

TEST(users_outlive_a_lazy_umount)
{
	char text[8] = "";
	int fd;

	private_mounts();
	bind_on();
	CHECK_OK(chdir("m"));
	fd = CHECK_OK(open("f", O_RDWR));
	CHECK_ERR(umount("../m"), EBUSY);
	CHECK_OK(umount2("../m", MNT_DETACH));
	CHECK_EQ(pread(fd, text, 5, 0), 5);
	CHECK(!strcmp(text, "mount"));
	CHECK_OK(close(CHECK_OK(open("f", O_WRONLY))));
	CHECK_OK(close(CHECK_OK(open("new", O_WRONLY | O_CREAT, 0644))));
	CHECK_OK(unlink("new"));
	/* It is in no tree any more. */
	CHECK_ERR(mount(NULL, ".", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL), EINVAL);
	CHECK_EQ(pwrite(fd, "x", 1, 0), 1);
	CHECK_OK(close(fd));
	CHECK_OK(close(CHECK_OK(open("f", O_WRONLY))));
	CHECK_OK(chdir("/"));
}

TEST(a_busy_copy_keeps_all)
{
	int fd;

	private_mounts();
	CHECK_OK(mkdir("a", 0755));
	CHECK_OK(mount("none", "a", "tmpfs", 0, NULL));
	CHECK_OK(mount(NULL, "a", NULL, MS_SHARED, NULL));
	CHECK_OK(mkdir("a/d", 0755));
	CHECK_OK(mkdir("b", 0755));
	CHECK_OK(mount("a", "b", NULL, MS_BIND, NULL));
	CHECK_OK(mount("none", "a/d", "tmpfs", 0, NULL));
	fd = CHECK_OK(open("b/d", O_RDONLY | O_DIRECTORY));
	CHECK_ERR(umount("a/d"), EBUSY);
	CHECK_OK(close(fd));
	CHECK_OK(umount("a/d"));
	CHECK_ERR(umount("b/d"), EINVAL);
	CHECK_OK(umount("b"));
	CHECK_OK(umount("a"));
}

TEST(expires_at_the_second_call)
{
	int fd;

	private_mounts();
	bind_on();
	fd = CHECK_OK(open("m/f", O_RDONLY));
	CHECK_ERR(umount2("m", MNT_EXPIRE), EBUSY);
	CHECK_OK(close(fd));
	CHECK_ERR(umount2("m", MNT_EXPIRE), EAGAIN);
	CHECK_OK(umount2("m", MNT_EXPIRE));
	CHECK_ERR(umount2("m", MNT_EXPIRE), EINVAL);
}
