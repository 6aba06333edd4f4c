#include "../test.h"
#include <poll.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>

static char events[8192] __attribute__((aligned(8)));
static long have, at;

/* The next event of `fd`, or NULL when there is none. */
static struct inotify_event *next(int fd)
{
	struct inotify_event *e;

	if (at >= have) {
		at = 0;
		have = read(fd, events, sizeof(events));
		if (have <= 0)
			return NULL;
	}
	e = (void *)(events + at);
	at += (long)(sizeof(*e) + e->len);
	return e;
}

static void expect(int fd, int wd, uint32_t mask, const char *name)
{
	struct inotify_event *e = next(fd);

	if (!e)
		FAIL("no event, but %#x %s was due", mask, name);
	CHECK_EQ(e->wd, wd);
	CHECK_EQ(e->mask, mask);
	CHECK_STR(e->len ? e->name : "", name);
}

TEST(directory_events)
{
	int fd = CHECK_OK(inotify_init1(IN_NONBLOCK | IN_CLOEXEC)), wd, f;
	uint32_t cookie;
	struct inotify_event *e;

	CHECK_OK(mkdir("d", 0755));
	wd = CHECK_OK(inotify_add_watch(fd, "d", IN_ALL_EVENTS & ~IN_ACCESS));
	f = CHECK_OK(open("d/f", O_CREAT | O_WRONLY, 0666));
	expect(fd, wd, IN_CREATE, "f");
	expect(fd, wd, IN_OPEN, "f");
	CHECK_EQ(write(f, "x", 1), 1);
	expect(fd, wd, IN_MODIFY, "f");
	CHECK_OK(close(f));
	expect(fd, wd, IN_CLOSE_WRITE, "f");
	CHECK_OK(chmod("d/f", 0600));
	expect(fd, wd, IN_ATTRIB, "f");
	CHECK_OK(close(CHECK_OK(open("d/f", O_RDONLY))));
	expect(fd, wd, IN_OPEN, "f");
	expect(fd, wd, IN_CLOSE_NOWRITE, "f");
	CHECK_OK(rename("d/f", "d/g"));
	e = next(fd);
	CHECK(e && e->mask == IN_MOVED_FROM && !strcmp(e->name, "f"));
	cookie = e->cookie;
	CHECK(cookie);
	e = next(fd);
	CHECK(e && e->mask == IN_MOVED_TO && !strcmp(e->name, "g"));
	CHECK_EQ(e->cookie, cookie);
	CHECK_OK(mkdir("d/sub", 0755));
	expect(fd, wd, IN_CREATE | IN_ISDIR, "sub");
	CHECK_OK(rmdir("d/sub"));
	expect(fd, wd, IN_DELETE | IN_ISDIR, "sub");
	CHECK_OK(unlink("d/g"));
	expect(fd, wd, IN_DELETE, "g");
	CHECK_OK(rmdir("d"));
	expect(fd, wd, IN_DELETE_SELF, "");
	expect(fd, wd, IN_IGNORED, "");
	CHECK(!next(fd) && errno == EAGAIN);
}

TEST(file_events)
{
	int fd = CHECK_OK(inotify_init1(IN_NONBLOCK)), wd;

	test_make_file("f", "x");
	wd = CHECK_OK(inotify_add_watch(fd, "f", IN_ATTRIB | IN_DELETE_SELF |
					IN_MOVE_SELF));
	CHECK_OK(rename("f", "g"));
	expect(fd, wd, IN_MOVE_SELF, "");
	CHECK_OK(unlink("g"));
	expect(fd, wd, IN_ATTRIB, "");
	expect(fd, wd, IN_DELETE_SELF, "");
	expect(fd, wd, IN_IGNORED, "");
}

TEST(watch_rules)
{
	int fd = CHECK_OK(inotify_init1(IN_NONBLOCK)), wd;

	test_make_file("f", "x");
	wd = CHECK_OK(inotify_add_watch(fd, "f", IN_OPEN));
	/* The same file is the same watch. */
	CHECK_EQ(inotify_add_watch(fd, "./f", IN_ATTRIB), wd);
	CHECK_OK(close(CHECK_OK(open("f", O_RDONLY))));
	CHECK(!next(fd));
	CHECK_EQ(inotify_add_watch(fd, "f", IN_OPEN | IN_MASK_ADD), wd);
	CHECK_OK(close(CHECK_OK(open("f", O_RDONLY))));
	expect(fd, wd, IN_OPEN, "");
	CHECK_ERR(inotify_add_watch(fd, "f", IN_OPEN | IN_MASK_CREATE),
		  EEXIST);
	CHECK_OK(inotify_rm_watch(fd, wd));
	expect(fd, wd, IN_IGNORED, "");
	CHECK_ERR(inotify_rm_watch(fd, wd), EINVAL);
	wd = CHECK_OK(inotify_add_watch(fd, "f", IN_OPEN | IN_ONESHOT));
	CHECK_OK(close(CHECK_OK(open("f", O_RDONLY))));
	expect(fd, wd, IN_OPEN, "");
	expect(fd, wd, IN_IGNORED, "");
}

TEST(reading)
{
	int fd = CHECK_OK(inotify_init1(IN_NONBLOCK)), bytes;
	struct pollfd p = { .fd = fd, .events = POLLIN };
	char small[16];

	CHECK_EQ(poll(&p, 1, 0), 0);
	CHECK_OK(inotify_add_watch(fd, ".", IN_CREATE));
	test_make_file("some-name", "");
	CHECK_EQ(poll(&p, 1, 0), 1);
	CHECK_EQ(p.revents, POLLIN);
	CHECK_OK(ioctl(fd, FIONREAD, &bytes));
	CHECK_EQ(bytes, 32);
	/* Too small for the event and its name. */
	CHECK_ERR(read(fd, small, 16), EINVAL);
	CHECK_EQ(read(fd, events, 4096), 32);
	CHECK_ERR(write(fd, "x", 1), EBADF);
}

TEST(equal_events_are_one)
{
	int fd = CHECK_OK(inotify_init1(IN_NONBLOCK)), f;

	test_make_file("f", "x");
	f = CHECK_OK(open("f", O_WRONLY));
	CHECK_OK(inotify_add_watch(fd, "f", IN_MODIFY));
	for (int i = 0; i < 5; i++)
		CHECK_EQ(write(f, "x", 1), 1);
	CHECK_EQ(read(fd, events, sizeof(events)),
		 sizeof(struct inotify_event));
}

TEST(errors)
{
	int fd = CHECK_OK(inotify_init1(0));

	test_make_file("f", "");
	CHECK_ERR(inotify_init1(0x1), EINVAL);
	CHECK_ERR(inotify_add_watch(fd, "none", IN_OPEN), ENOENT);
	CHECK_ERR(inotify_add_watch(fd, "f", 0), EINVAL);
	CHECK_ERR(inotify_add_watch(fd, "f", IN_OPEN | IN_ONLYDIR), ENOTDIR);
	CHECK_ERR(inotify_add_watch(-1, "f", IN_OPEN), EBADF);
	CHECK_ERR(inotify_add_watch(1, "f", IN_OPEN), EINVAL);
	CHECK_ERR(syscall(SYS_inotify_add_watch, fd, WILD, IN_OPEN), EFAULT);
	CHECK_ERR(inotify_rm_watch(fd, 999), EINVAL);
	CHECK_ERR(inotify_rm_watch(1, 1), EINVAL);
}

TEST(blocking_read_wakes)
{
	int fd = CHECK_OK(inotify_init());
	pid_t pid;

	CHECK_OK(inotify_add_watch(fd, ".", IN_CREATE));
	CHILD(pid)
		CHECK_EQ(read(fd, events, sizeof(events)), 32);
	test_wait_state(pid, 'S');
	test_make_file("f", "");
	CHECK_EXIT(pid, 0);
}
