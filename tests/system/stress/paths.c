/*
 * Names walked two ways while the tree changes below them: stat(2), which may use what the kernel
 * remembers of directories on the way, between two openat2(2) with a RESOLVE_ flag, which is always
 * walked component by component.  While at most one change ran, and both of these agree, the one
 * between them must agree too: so a name that is gone, a place that is covered and a permission
 * that is taken away are never remembered longer than they are true.
 *
 * TEST_ROUNDS: checks of each walker, 4,000 if it is not set.
 */
#include "../test.h"
#include <grp.h>
#include <linux/openat2.h>
#include <sched.h>
#include <sys/fsuid.h>
#include <sys/mount.h>

enum { WALKERS = 4, UID = 1000 };

struct shared {
	unsigned changes; /* odd: one is under way */
	unsigned left; /* walkers that still run */
	unsigned long compared, agreed_to_fail;
};
static struct shared *shared;

struct result {
	long err; /* errno, or 0 */
	dev_t dev;
	ino_t ino;
	mode_t type;
};

static unsigned draw(unsigned *state)
{
	*state = *state * 1103515245 + 12345;
	return *state >> 8;
}

static struct result result_of(long err, const struct stat *st)
{
	struct result r = { 0 };

	if (err)
		r.err = errno;
	else
		r = (struct result){ 0, st->st_dev, st->st_ino, st->st_mode & S_IFMT };
	return r;
}

static bool is_same(const struct result *a, const struct result *b)
{
	return a->err == b->err && a->dev == b->dev && a->ino == b->ino && a->type == b->type;
}

static struct result walk_each(int dir, const char *name, bool follow)
{
	struct open_how how = { .flags = O_PATH | (follow ? 0 : O_NOFOLLOW),
				.resolve = RESOLVE_NO_MAGICLINKS };
	struct stat st;
	int fd = (int)syscall(SYS_openat2, dir, name, &how, sizeof(how));
	struct result r;

	if (fd < 0)
		return result_of(-1, NULL);
	CHECK_OK(fstat(fd, &st));
	r = result_of(0, &st);
	CHECK_OK(close(fd));
	return r;
}

static struct result walk_any(int dir, const char *name, bool follow, bool by_open)
{
	struct stat st;
	int fd;

	if (!by_open)
		return result_of(fstatat(dir, name, &st, follow ? 0 : AT_SYMLINK_NOFOLLOW), &st);
	fd = openat(dir, name, O_PATH | (follow ? 0 : O_NOFOLLOW));
	if (fd < 0)
		return result_of(-1, NULL);
	CHECK_OK(fstat(fd, &st));
	CHECK_OK(close(fd));
	return result_of(0, &st);
}

/* ---- the tree, and names in it ---- */

static void build(void)
{
	static const char *const dirs[] = { "t",         "t/a",     "t/a/b",     "t/a/b/c",
					    "t/a/b/c/d", "t/x",     "t/x/b",     "t/x/b/c",
					    "t/a/m",     "t/a/m/n", "t/a/m/n/o", "t/x/m",
					    "t/x/m/n",   "other",   "other/n",   "other/n/o" };
	static const char *const files[] = { "t/a/b/c/f", "t/a/b/c/d/f", "t/x/b/c/f",
					     "t/a/m/n/f", "t/a/m/n/o/f", "t/x/m/n/f",
					     "other/n/f", "other/n/o/f" };

	for (unsigned i = 0; i < sizeof(dirs) / sizeof(*dirs); i++)
		CHECK_OK(mkdir(dirs[i], 0755));
	for (unsigned i = 0; i < sizeof(files) / sizeof(*files); i++)
		test_make_file(files[i], "");
	CHECK_OK(symlink("a/b", "t/l"));
	CHECK_OK(symlink("../x", "t/a/up"));
	CHECK_OK(mkdir("t/p", 0700)); /* root's alone */
	CHECK_OK(mkdir("t/p/q", 0755));
	test_make_file("t/p/q/f", "");
}

static const char *const names[] = {
	"t/a/b/c/f",       "t/a/b/c/d/f",   "t/a/b/c/none",    "t/a/b/c/f/",
	"t/a/b/c/d/",      "t/x/b/c/f",     "t/a/m/n/f",       "t/a/m/n/o/f",
	"t/x/m/n/f",       "t/l/c/f",       "t/l/c/d/f",       "t/l/c/none",
	"t/l/c",           "t/l",           "t/a/up/b/c/f",    "t/a/b/../b/c/f",
	"t//a/b//c///d/f", "t/./a/b/c/./f", "t/a/b/c/d/e/f/g", "t/a/b/c/../c/d/f",
	"t/y/b/c/f",       "t/a/m",         "t/a/m/../b/c/f",  "t/a/b/c/d/../f",
	"t/p/q/f",
};

static void walker(unsigned who, unsigned rounds)
{
	unsigned state = who * 7919 + 1, compared = 0, failed = 0;
	int dirs[3] = { AT_FDCWD, CHECK_OK(open(".", O_PATH)), CHECK_OK(open("t", O_PATH)) };
	char absolute[4096];
	size_t len;

	CHECK(getcwd(absolute, sizeof(absolute) - 100));
	len = strlen(absolute);
	absolute[len++] = '/';
	if (who == 1) {
		CHECK_OK(setgroups(0, NULL));
		CHECK_OK(setresgid(UID, UID, UID));
		CHECK_OK(setresuid(UID, UID, UID));
	}
	for (unsigned i = 0; i < rounds; i++) {
		const char *name = names[draw(&state) % (sizeof(names) / sizeof(*names))];
		bool follow = draw(&state) % 4, by_open = draw(&state) % 2;
		unsigned from = draw(&state) % 4, before, times = 1 + draw(&state) % 4;
		int dir = dirs[from % 3];

		if (who == 2 && draw(&state) % 8 == 0) /* root in name only, and back */
			syscall(SYS_setfsuid, draw(&state) % 2 ? UID : 0);
		if (from == 2) {
			name += 2;
			while (*name == '/')
				name++;
		}
		if (from == 3) {
			strcpy(absolute + len, name);
			name = absolute;
		}
		while (times--) { /* again, so that it is remembered */
			struct result first, middle, last;

			before = __atomic_load_n(&shared->changes, __ATOMIC_SEQ_CST);
			first = walk_each(dir, name, follow);
			middle = walk_any(dir, name, follow, by_open);
			last = walk_each(dir, name, follow);
			if (before != __atomic_load_n(&shared->changes, __ATOMIC_SEQ_CST) ||
			    !is_same(&first, &last))
				continue;
			if (!is_same(&first, &middle))
				FAIL("walker %u, %s: error %ld inode %lu device %lu, not "
				     "%ld %lu %lu",
				     who, name, middle.err, (long)middle.ino, (long)middle.dev,
				     first.err, (long)first.ino, (long)first.dev);
			compared++;
			failed += first.err != 0;
		}
	}
	__atomic_fetch_add(&shared->compared, compared, __ATOMIC_SEQ_CST);
	__atomic_fetch_add(&shared->agreed_to_fail, failed, __ATOMIC_SEQ_CST);
	__atomic_fetch_sub(&shared->left, 1, __ATOMIC_SEQ_CST);
}

/* ---- changes ---- */

#define CHANGE(CALL)                                                                               \
	do {                                                                                       \
		__atomic_fetch_add(&shared->changes, 1, __ATOMIC_SEQ_CST);                         \
		CALL;                                                                              \
		__atomic_fetch_add(&shared->changes, 1, __ATOMIC_SEQ_CST);                         \
	} while (0)

static void exchange(const char *a, const char *b)
{
	CHANGE(CHECK_OK(renameat2(AT_FDCWD, a, AT_FDCWD, b, 2 /* RENAME_EXCHANGE */)));
}

/* A change, a moment in which walks may settle, and back. */
static void change(unsigned what, unsigned pause)
{
	switch (what) {
	case 0:
		CHANGE(CHECK_OK(rename("t/a", "t/y")));
		usleep(pause);
		CHANGE(CHECK_OK(rename("t/y", "t/a")));
		break;
	case 1:
		exchange("t/a/b", "t/x/b");
		usleep(pause);
		exchange("t/a/b", "t/x/b");
		break;
	case 2:
		CHANGE(CHECK_OK(chmod("t/a/b", pause % 2 ? 0700 : 0644)));
		usleep(pause);
		CHANGE(CHECK_OK(chmod("t/a/b", 0755)));
		break;
	case 3:
		CHANGE(CHECK_OK(chmod("t/a", 0750)));
		usleep(pause);
		CHANGE(CHECK_OK(chown("t/a", UID, -1)));
		usleep(pause);
		CHANGE(CHECK_OK(chown("t/a", 0, -1)));
		usleep(pause);
		CHANGE(CHECK_OK(chmod("t/a", 0755)));
		break;
	case 4:
		CHANGE(CHECK_OK(unlink("t/l")));
		usleep(pause);
		CHANGE(CHECK_OK(symlink("x/b", "t/l")));
		usleep(pause);
		CHANGE(CHECK_OK(unlink("t/l")));
		CHANGE(CHECK_OK(symlink("a/b", "t/l")));
		break;
	case 5:
		CHANGE(CHECK_OK(unlink("t/a/b/c/d/f")));
		CHANGE(CHECK_OK(rmdir("t/a/b/c/d")));
		usleep(pause);
		CHANGE(CHECK_OK(mkdir("t/a/b/c/d", 0755)));
		test_make_file("t/a/b/c/d/f", "");
		break;
	case 6:
		CHANGE(CHECK_OK(mount("none", "t/a/m", "tmpfs", 0, "mode=755")));
		usleep(pause);
		CHANGE(CHECK_OK(umount2("t/a/m", MNT_DETACH)));
		break;
	case 7:
		CHANGE(CHECK_OK(mount("other", "t/a/m", NULL, MS_BIND, NULL)));
		usleep(pause);
		CHANGE(CHECK_OK(umount2("t/a/m", MNT_DETACH)));
		break;
	default:
		CHANGE(CHECK_OK(symlink("x", "t/z")));
		CHANGE(CHECK_OK(rename("t/z", "t/y")));
		usleep(pause);
		CHANGE(CHECK_OK(unlink("t/y")));
		break;
	}
}

static long hits(void)
{
	return test_is_off("path_cache") ? -1 : test_counter("vfs.path_cache_hits");
}

TEST_TIMED(names_while_the_tree_changes, 280)
{
	const char *text = getenv("TEST_ROUNDS");
	unsigned rounds = text ? (unsigned)atoi(text) : 4000, state = 5, nr = 0;
	long before = hits();
	pid_t pid[WALKERS];

	if (geteuid() != 0)
		SKIP("needs root");
	shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(shared != MAP_FAILED);
	CHECK_OK(unshare(CLONE_NEWNS));
	CHECK_OK(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL));
	CHECK_OK(chmod(".", 0755));
	build();
	shared->left = WALKERS;
	for (unsigned i = 0; i < WALKERS; i++)
		CHILD(pid[i])
	walker(i, rounds);
	while (__atomic_load_n(&shared->left, __ATOMIC_SEQ_CST)) {
		change(draw(&state) % 9, draw(&state) % (nr % 4 ? 3000 : 20000));
		usleep(draw(&state) % 4000);
		nr++;
		for (unsigned i = 0; i < WALKERS; i++)
			if (test_failures && *test_failures)
				_exit(1);
	}
	for (unsigned i = 0; i < WALKERS; i++)
		CHECK_EXIT(pid[i], 0);
	CHECK(nr > rounds / 400);
	CHECK(shared->compared > WALKERS * rounds / 4);
	CHECK(shared->agreed_to_fail > 0);
	CHECK(before < 0 || hits() > before + rounds / 4); /* not all by another way */
}
