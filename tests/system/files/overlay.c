#include "../test.h"
#include <sched.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/mount.h>
#include <sys/statfs.h>
#include <linux/magic.h>

/* m is an overlay of l and u, with l/f and l/d/g below. */
static void make_overlay(void)
{
	if (geteuid() != 0)
		SKIP("needs root");
	CHECK_OK(unshare(CLONE_NEWNS));
	CHECK_OK(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL));
	CHECK_OK(mkdir("t", 0755));
	CHECK_OK(mount("none", "t", "tmpfs", 0, NULL));
	CHECK_OK(chdir("t"));
	CHECK_OK(mkdir("l", 0755));
	CHECK_OK(mkdir("l/d", 0755));
	CHECK_OK(mkdir("u", 0755));
	CHECK_OK(mkdir("w", 0755));
	CHECK_OK(mkdir("m", 0755));
	test_make_file("l/f", "lower");
	test_make_file("l/d/g", "lower");
	CHECK_OK(mount("none", "m", "overlay", 0,
		       "lowerdir=l,upperdir=u,workdir=w"));
}

TEST(copy_up_on_write)
{
	struct statfs fs;
	char text[16];
	int fd;

	make_overlay();
	CHECK_OK(statfs("m", &fs));
	CHECK_EQ(fs.f_type, OVERLAYFS_SUPER_MAGIC);
	CHECK_ERR(access("u/d/g", F_OK), ENOENT);
	fd = CHECK_OK(open("m/d/g", O_RDWR));
	CHECK_OK(access("u/d/g", F_OK));
	CHECK_EQ(pwrite(fd, "U", 1, 0), 1);
	CHECK_EQ(pread(fd, text, sizeof(text), 0), 5);
	CHECK(!memcmp(text, "Uower", 5));
	fd = CHECK_OK(open("l/d/g", O_RDONLY));
	CHECK_EQ(pread(fd, text, sizeof(text), 0), 5);
	CHECK(!memcmp(text, "lower", 5));
}

TEST(removal_hides_what_is_below)
{
	struct stat st;

	make_overlay();
	CHECK_OK(unlink("m/f"));
	CHECK_ERR(access("m/f", F_OK), ENOENT);
	CHECK_OK(access("l/f", F_OK));
	CHECK_OK(stat("u/f", &st));
	CHECK(S_ISCHR(st.st_mode) && st.st_rdev == 0);
	test_make_file("m/f", "new");
	CHECK_OK(stat("m/f", &st));
	CHECK_EQ(st.st_size, 3);
}

static int posix_lock(int fd, int command, int type)
{
	struct flock l = { .l_type = (short)type, .l_whence = SEEK_SET };
	int err = fcntl(fd, command, &l);

	return err ? err : l.l_type;
}

TEST(records_meet_across_copy_up)
{
	int below, above;
	pid_t pid;

	make_overlay();
	below = CHECK_OK(open("m/f", O_RDONLY));
	CHECK_OK(posix_lock(below, F_SETLK, F_RDLCK));
	above = CHECK_OK(open("m/f", O_RDWR));
	CHILD(pid) {
		CHECK_EQ(posix_lock(above, F_GETLK, F_WRLCK), F_RDLCK);
		CHECK_ERR(posix_lock(above, F_SETLK, F_WRLCK), EAGAIN);
		CHECK_OK(posix_lock(above, F_SETLK, F_RDLCK));
	}
	CHECK_EXIT(pid, 0);
	/* One's own record is replaced through the other descriptor… */
	CHECK_OK(posix_lock(above, F_SETLK, F_WRLCK));
	CHILD(pid)
		CHECK_EQ(posix_lock(below, F_GETLK, F_RDLCK), F_WRLCK);
	CHECK_EXIT(pid, 0);
	/* … and goes with the close of either. */
	CHECK_OK(close(below));
	CHILD(pid)
		CHECK_EQ(posix_lock(above, F_GETLK, F_WRLCK), F_UNLCK);
	CHECK_EXIT(pid, 0);
}

TEST(flock_meets_across_copy_up)
{
	int below, above;

	make_overlay();
	below = CHECK_OK(open("m/f", O_RDONLY));
	CHECK_OK(flock(below, LOCK_EX));
	above = CHECK_OK(open("m/f", O_RDWR));
	CHECK_ERR(flock(above, LOCK_SH | LOCK_NB), EWOULDBLOCK);
	CHECK_OK(close(below));
	CHECK_OK(flock(above, LOCK_EX | LOCK_NB));
}

static unsigned events(int fd)
{
	char buffer[4096] __attribute__((aligned(8)));
	unsigned all = 0;
	ssize_t n;

	while ((n = read(fd, buffer, sizeof(buffer))) > 0) {
		for (ssize_t at = 0; at < n;) {
			struct inotify_event *e =
				(struct inotify_event *)(buffer + at);

			all |= e->mask;
			at += (ssize_t)(sizeof(*e) + e->len);
		}
	}
	CHECK_EQ(errno, EAGAIN);
	return all;
}

TEST(watch_stays_across_copy_up)
{
	int in, fd;

	make_overlay();
	in = CHECK_OK(inotify_init1(IN_NONBLOCK));
	CHECK_OK(inotify_add_watch(in, "m/f", IN_ALL_EVENTS));
	fd = CHECK_OK(open("m/f", O_RDWR));
	CHECK_EQ(events(in) & ~IN_ACCESS, IN_OPEN);
	CHECK_EQ(write(fd, "x", 1), 1);
	CHECK_EQ(events(in), IN_MODIFY);
	CHECK_OK(close(fd));
	CHECK_EQ(events(in), IN_CLOSE_WRITE);
	CHECK_OK(chmod("m/f", 0600));
	CHECK_EQ(events(in), IN_ATTRIB);
	CHECK_OK(unlink("m/f"));
	CHECK(events(in) & IN_DELETE_SELF);
}

TEST(temporary_file_gets_a_name)
{
	struct stat st;
	char text[64];
	int fd;

	make_overlay();
	/* The directory is only below: it is copied up. */
	fd = CHECK_OK(open("m/d", O_TMPFILE | O_RDWR, 0640));
	CHECK_OK(fstat(fd, &st));
	CHECK_EQ(st.st_nlink, 0);
	CHECK_EQ(st.st_mode, S_IFREG | 0640);
	CHECK_EQ(write(fd, "abc", 3), 3);
	snprintf(text, sizeof(text), "/proc/self/fd/%d", fd);
	CHECK_OK(linkat(AT_FDCWD, text, AT_FDCWD, "m/d/named",
			AT_SYMLINK_FOLLOW));
	CHECK_OK(fstat(fd, &st));
	CHECK_EQ(st.st_nlink, 1);
	CHECK_EQ(st.st_size, 3);
	CHECK_OK(stat("u/d/named", &st));
	CHECK_EQ(st.st_size, 3);
	CHECK_ERR(linkat(AT_FDCWD, text, AT_FDCWD, "m/f",
			 AT_SYMLINK_FOLLOW), EEXIST);
	CHECK_OK(unlink("m/f"));
	/* Over a whiteout, with AT_EMPTY_PATH. */
	CHECK_OK(linkat(fd, "", AT_FDCWD, "m/f", AT_EMPTY_PATH));
	CHECK_OK(close(fd));
	CHECK_OK(stat("m/f", &st));
	CHECK_EQ(st.st_nlink, 2);
	fd = CHECK_OK(open("m/f", O_RDONLY));
	CHECK_EQ(read(fd, text, sizeof(text)), 3);
	CHECK(!memcmp(text, "abc", 3));
}
