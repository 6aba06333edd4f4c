#include "../test.h"

struct entry {
	uint64_t ino;
	int64_t off;
	uint16_t reclen;
	uint8_t type;
	char name[];
};

static long getdents(int fd, void *buf, size_t size)
{
	return syscall(SYS_getdents64, fd, buf, size);
}

/* Marks names n0…n999 that a full read sees; -1 for a double one. */
static int read_all(int fd, char *seen, size_t size)
{
	static char buf[32768] __attribute__((aligned(8)));
	int count = 0;
	long n;

	while ((n = CHECK_OK(getdents(fd, buf, size))) > 0) {
		for (long at = 0; at < n;) {
			struct entry *e = (void *)(buf + at);

			CHECK(e->reclen >= 20 && e->reclen % 8 == 0);
			CHECK(memchr(e->name, 0, e->reclen - 19u));
			at += e->reclen;
			CHECK(at <= n);
			if (e->name[0] == 'n') {
				int i = atoi(e->name + 1);

				CHECK(!seen[i]);
				seen[i] = 1;
			}
			count++;
		}
	}
	return count;
}

static void fill(const char *dir, int from, int to)
{
	char name[64];

	for (int i = from; i < to; i++) {
		snprintf(name, sizeof(name), "%s/n%d", dir, i);
		test_make_file(name, "");
	}
}

TEST(everything_is_seen_once)
{
	char seen[1000] = {};
	int fd;

	CHECK_OK(mkdir("d", 0755));
	fill("d", 0, 300);
	fd = CHECK_OK(open("d", O_RDONLY | O_DIRECTORY));
	CHECK_EQ(read_all(fd, seen, 32768), 302);
	CHECK_EQ(read_all(fd, seen, 32768), 0);
	CHECK_EQ(lseek(fd, 0, SEEK_SET), 0);
	memset(seen, 0, sizeof(seen));
	CHECK_EQ(read_all(fd, seen, 64), 302);
}

TEST(removing_while_reading)
{
	static char buf[512] __attribute__((aligned(8)));
	char name[280];
	int fd, removed = 0;
	long n;

	CHECK_OK(mkdir("d", 0755));
	fill("d", 0, 200);
	fd = CHECK_OK(open("d", O_RDONLY | O_DIRECTORY));
	while ((n = CHECK_OK(getdents(fd, buf, sizeof(buf)))) > 0) {
		for (long at = 0; at < n;) {
			struct entry *e = (void *)(buf + at);

			at += e->reclen;
			if (e->name[0] != 'n')
				continue;
			snprintf(name, sizeof(name), "d/%s", e->name);
			CHECK_OK(unlink(name));
			removed++;
		}
	}
	CHECK_EQ(removed, 200);
	CHECK_OK(rmdir("d"));
	CHECK_ERR(getdents(fd, buf, sizeof(buf)), ENOENT);
}

TEST(adding_while_reading)
{
	static char buf[256] __attribute__((aligned(8)));
	char seen[1000] = {};
	int fd;
	long n;

	CHECK_OK(mkdir("d", 0755));
	fill("d", 0, 50);
	fd = CHECK_OK(open("d", O_RDONLY | O_DIRECTORY));
	n = CHECK_OK(getdents(fd, buf, sizeof(buf)));
	CHECK(n > 0);
	for (long at = 0; at < n;) {
		struct entry *e = (void *)(buf + at);

		at += e->reclen;
		if (e->name[0] == 'n')
			seen[atoi(e->name + 1)] = 1;
	}
	fill("d", 50, 100);
	read_all(fd, seen, 512);
	/* The new ones may or may not be seen; the old ones must. */
	for (int i = 0; i < 50; i++)
		CHECK(seen[i]);
}

TEST(types_and_inodes)
{
	char buf[1024] __attribute__((aligned(8))), path[300];
	struct stat st;
	int fd, found = 0;
	long n;

	CHECK_OK(mkdir("d", 0755));
	test_make_file("d/f", "");
	CHECK_OK(mkdir("d/d", 0755));
	CHECK_OK(symlink("f", "d/l"));
	CHECK_OK(mkfifo("d/p", 0600));
	fd = CHECK_OK(open("d", O_RDONLY | O_DIRECTORY));
	n = CHECK_OK(getdents(fd, buf, sizeof(buf)));
	for (long at = 0; at < n;) {
		struct entry *e = (void *)(buf + at);

		at += e->reclen;
		snprintf(path, sizeof(path), "d/%s", e->name);
		CHECK_OK(lstat(path, &st));
		CHECK_EQ(e->type, IFTODT(st.st_mode));
		CHECK_EQ(e->ino, st.st_ino);
		found++;
	}
	CHECK_EQ(found, 6);
}

TEST(seeking)
{
	char buf[64] __attribute__((aligned(8))), again[64];
	struct entry *e = (void *)buf;
	off_t where;
	int fd;

	CHECK_OK(mkdir("d", 0755));
	fill("d", 0, 20);
	fd = CHECK_OK(open("d", O_RDONLY | O_DIRECTORY));
	CHECK(getdents(fd, buf, 64) > 0);
	where = CHECK_OK(lseek(fd, 0, SEEK_CUR));
	CHECK(getdents(fd, buf, 64) > 0);
	strcpy(again, e->name);
	CHECK_EQ(lseek(fd, where, SEEK_SET), where);
	CHECK(getdents(fd, buf, 64) > 0);
	CHECK_STR(e->name, again);
}

TEST(bad_arguments)
{
	char buf[64] __attribute__((aligned(8)));
	int fd;

	test_make_file("f", "");
	fd = CHECK_OK(open(".", O_RDONLY));
	CHECK_ERR(getdents(fd, buf, 8), EINVAL);
	CHECK_ERR(getdents(fd, WILD, 1024), EFAULT);
	CHECK_ERR(getdents(fd, WILDK, 1024), EFAULT);
	CHECK_ERR(getdents(-1, buf, 64), EBADF);
	CHECK_ERR(getdents(CHECK_OK(open("f", O_RDONLY)), buf, 64), ENOTDIR);
	CHECK_ERR(getdents(CHECK_OK(open(".", O_PATH)), buf, 64), EBADF);
}

TEST(old_call)
{
	char buf[1024] __attribute__((aligned(8)));
	int fd = CHECK_OK(open("/", O_RDONLY | O_DIRECTORY));

	CHECK(syscall(SYS_getdents, fd, buf, sizeof(buf)) > 0);
	CHECK_OK(lseek(fd, 0, SEEK_SET));
	CHECK_ERR(syscall(SYS_getdents, fd, buf, 4), EINVAL);
}
