/* Mounts that show each other's changes: mount_namespaces(7). */
#include "../test.h"
#include <sched.h>
#include <sys/mount.h>

static char here[4096];

/* A mount namespace of its own, and in it a tmpfs t with the directories a, b, c. */
static void setup(void)
{
	if (geteuid() != 0)
		SKIP("needs root");
	CHECK_OK(unshare(CLONE_NEWNS));
	CHECK_OK(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL));
	CHECK_OK(mkdir("t", 0755));
	CHECK_OK(mount("none", "t", "tmpfs", 0, NULL));
	CHECK_OK(chdir("t"));
	CHECK(getcwd(here, sizeof(here)) != NULL);
	CHECK_OK(mkdir("a", 0755));
	CHECK_OK(mkdir("b", 0755));
	CHECK_OK(mkdir("c", 0755));
	CHECK_OK(mount("none", "a", "tmpfs", 0, NULL));
	CHECK_OK(mkdir("a/m", 0755));
	CHECK_OK(mkdir("a/n", 0755));
}

static void kind(const char *path, unsigned long flags)
{
	CHECK_OK(mount("none", path, NULL, flags, NULL));
}

static void bind(const char *from, const char *to, unsigned long flags)
{
	CHECK_OK(mount(from, to, NULL, MS_BIND | flags, NULL));
}

static void fill(const char *place)
{
	char path[64];

	CHECK_OK(mount("none", place, "tmpfs", 0, NULL));
	snprintf(path, sizeof(path), "%s/in", place);
	test_make_file(path, "");
}

static bool is_full(const char *place)
{
	char path[64];

	snprintf(path, sizeof(path), "%s/in", place);
	return access(path, F_OK) == 0;
}

/* A number of /proc/self/mountinfo's optional fields: 0 if it is not there. */
static int field(const char *place, const char *name)
{
	char line[8192], wanted[5000], pattern[64];
	FILE *f = fopen("/proc/self/mountinfo", "r");
	int value = 0;

	CHECK(f != NULL);
	snprintf(wanted, sizeof(wanted), " %s/%s ", here, place);
	snprintf(pattern, sizeof(pattern), " %s", name);
	while (fgets(line, sizeof(line), f)) {
		char *at = strstr(line, wanted), *end = strstr(line, " - ");

		if (!at || !end)
			continue;
		*end = 0;
		at = strstr(at, pattern);
		value = at ? (at[strlen(pattern)] == ':' ?
			      atoi(at + strlen(pattern) + 1) : 1) : 0;
	}
	fclose(f);
	return value;
}

TEST(private_by_request)
{
	setup();
	bind("a", "b", 0);
	fill("a/m");
	CHECK(is_full("a/m") && !is_full("b/m"));
	CHECK_EQ(field("a", "shared"), 0);
	CHECK_EQ(field("b", "shared"), 0);
}

TEST(peers)
{
	setup();
	kind("a", MS_SHARED);
	bind("a", "b", 0);
	CHECK(field("a", "shared") > 0);
	CHECK_EQ(field("a", "shared"), field("b", "shared"));
	fill("a/m");
	CHECK(is_full("b/m"));
	/* What was mounted is shared as well: the same group on both sides. */
	CHECK(field("a/m", "shared") > 0);
	CHECK_EQ(field("a/m", "shared"), field("b/m", "shared"));
	CHECK(field("a/m", "shared") != field("a", "shared"));
	CHECK_OK(umount2("b/m", 0));
	CHECK(!is_full("a/m") && !is_full("b/m"));
	fill("b/n");
	CHECK(is_full("a/n"));
	/* One that leaves the group keeps what it has. */
	kind("b", MS_PRIVATE);
	CHECK_EQ(field("b", "shared"), 0);
	CHECK_OK(umount2("a/n", 0));
	CHECK(!is_full("a/n") && is_full("b/n"));
}

TEST(slaves)
{
	setup();
	kind("a", MS_SHARED);
	bind("a", "b", 0);
	kind("b", MS_SLAVE);
	CHECK_EQ(field("b", "shared"), 0);
	CHECK_EQ(field("b", "master"), field("a", "shared"));
	fill("a/m");
	CHECK(is_full("b/m"));
	CHECK_EQ(field("b/m", "master"), field("a/m", "shared"));
	CHECK_EQ(field("b/m", "shared"), 0);
	fill("b/n");
	CHECK(!is_full("a/n"));
	CHECK_OK(umount2("b/m", 0));
	CHECK(is_full("a/m") && !is_full("b/m"));
	CHECK_OK(umount2("a/m", 0));
	/* A bind of a slave is one of the same master. */
	bind("b", "c", 0);
	CHECK_EQ(field("c", "master"), field("a", "shared"));
	fill("a/m");
	CHECK(is_full("b/m") && is_full("c/m"));
}

TEST(slave_and_shared)
{
	setup();
	kind("a", MS_SHARED);
	bind("a", "b", 0);
	kind("b", MS_SLAVE);
	kind("b", MS_SHARED);
	CHECK(field("b", "shared") > 0);
	CHECK_EQ(field("b", "master"), field("a", "shared"));
	bind("b", "c", 0);
	CHECK_EQ(field("c", "shared"), field("b", "shared"));
	CHECK_EQ(field("c", "master"), field("a", "shared"));
	fill("a/m");
	CHECK(is_full("b/m") && is_full("c/m"));
	CHECK_EQ(field("b/m", "shared"), field("c/m", "shared"));
	CHECK_EQ(field("b/m", "master"), field("a/m", "shared"));
	fill("c/n");
	CHECK(is_full("b/n") && !is_full("a/n"));
	CHECK_OK(umount2("a/m", 0));
	CHECK(!is_full("b/m") && !is_full("c/m"));
	/* Alone and made private: what follows the master goes on. */
	kind("c", MS_PRIVATE);
	CHECK_EQ(field("c", "master"), 0);
	fill("a/m");
	CHECK(is_full("b/m") && !is_full("c/m"));
}

TEST(master_leaves)
{
	setup();
	kind("a", MS_SHARED);
	bind("a", "b", 0);
	bind("a", "c", 0);
	kind("c", MS_SLAVE);
	/* The other peer becomes the master. */
	kind("a", MS_PRIVATE);
	CHECK_EQ(field("c", "master"), field("b", "shared"));
	fill("b/m");
	CHECK(is_full("c/m") && !is_full("a/m"));
	/* The last one gone, the slave is private. */
	kind("b", MS_PRIVATE);
	CHECK_EQ(field("c", "master"), 0);
	/* Alone in a group, a slave would have no master. */
	kind("a", MS_SHARED);
	kind("a", MS_SLAVE);
	CHECK_EQ(field("a", "shared"), 0);
	CHECK_EQ(field("a", "master"), 0);
}

TEST(unbindable)
{
	setup();
	kind("a", MS_UNBINDABLE);
	CHECK_EQ(field("a", "unbindable"), 1);
	CHECK_ERR(mount("a", "b", NULL, MS_BIND, NULL), EINVAL);
	kind("a", MS_PRIVATE);
	fill("a/m");
	kind("a/m", MS_UNBINDABLE);
	bind("a", "b", MS_REC);
	CHECK(!is_full("b/m"));
	kind("a/m", MS_SHARED);
	CHECK_EQ(field("a/m", "unbindable"), 0);
	bind("a", "c", MS_REC);
	CHECK(is_full("c/m"));
	CHECK_EQ(field("c/m", "shared"), field("a/m", "shared"));
}

TEST(recursive)
{
	setup();
	fill("a/m");
	kind("a", MS_SHARED | MS_REC);
	CHECK(field("a", "shared") > 0);
	CHECK(field("a/m", "shared") > 0);
	kind("a", MS_PRIVATE);
	CHECK_EQ(field("a", "shared"), 0);
	CHECK(field("a/m", "shared") > 0);
	kind("a", MS_PRIVATE | MS_REC);
	CHECK_EQ(field("a/m", "shared"), 0);
}

TEST(only_where_the_place_shows)
{
	setup();
	kind("a", MS_SHARED);
	CHECK_OK(mkdir("a/m/deep", 0755));
	bind("a/m", "b", 0);
	fill("a/n");
	CHECK_ERR(access("b/in", F_OK), ENOENT);
	fill("a/m/deep");
	CHECK(is_full("b/deep"));
	CHECK_OK(umount2("b/deep", 0));
	CHECK(!is_full("a/m/deep"));
}

TEST(trees_are_copied)
{
	setup();
	CHECK_OK(mount("none", "c", "tmpfs", 0, NULL));
	CHECK_OK(mkdir("c/x", 0755));
	fill("c/x");
	kind("a", MS_SHARED);
	bind("a", "b", 0);
	bind("c", "a/m", MS_REC);
	CHECK(is_full("a/m/x") && is_full("b/m/x"));
	CHECK_EQ(field("a/m/x", "shared"), field("b/m/x", "shared"));
	/* The whole tree, and its copy. */
	CHECK_OK(umount2("b/m", MNT_DETACH));
	CHECK(!is_full("a/m/x"));
	CHECK_ERR(access("a/m/x", F_OK), ENOENT);
	CHECK(is_full("c/x"));
}

TEST(busy_copies_keep_the_mount)
{
	int fd;

	setup();
	kind("a", MS_SHARED);
	bind("a", "b", 0);
	fill("a/m");
	fd = CHECK_OK(open("b/m/in", O_RDONLY));
	CHECK_ERR(umount2("a/m", 0), EBUSY);
	CHECK(is_full("a/m"));
	CHECK_OK(close(fd));
	CHECK_OK(umount2("a/m", 0));
	CHECK(!is_full("b/m"));
}

TEST(moving)
{
	setup();
	kind("a", MS_SHARED);
	bind("a", "b", 0);
	CHECK_OK(mkdir("p", 0755));
	fill("p");
	CHECK_OK(mount("p", "a/m", NULL, MS_MOVE, NULL));
	CHECK(is_full("a/m") && is_full("b/m") && !is_full("p"));
	/* Not out of a shared mount, and nothing unbindable into one. */
	CHECK_ERR(mount("a/m", "p", NULL, MS_MOVE, NULL), EINVAL);
	fill("p");
	kind("p", MS_UNBINDABLE);
	CHECK_ERR(mount("p", "a/n", NULL, MS_MOVE, NULL), EINVAL);
}

TEST(between_namespaces)
{
	int to[2], from[2];
	pid_t pid;
	char c;

	setup();
	kind("a", MS_SHARED);
	CHECK_OK(pipe(to));
	CHECK_OK(pipe(from));
	CHILD(pid) {
		CHECK_OK(unshare(CLONE_NEWNS));
		CHECK(field("a", "shared") > 0);
		CHECK_EQ(write(from[1], "1", 1), 1);
		CHECK_EQ(read(to[0], &c, 1), 1);
		CHECK(is_full("a/m"));
		fill("a/n");
		CHECK_EQ(write(from[1], "2", 1), 1);
		CHECK_EQ(read(to[0], &c, 1), 1);
		CHECK(!is_full("a/m"));
		CHECK_OK(umount2("a/n", 0));
	}
	CHECK_EQ(read(from[0], &c, 1), 1);
	fill("a/m");
	CHECK_EQ(write(to[1], "1", 1), 1);
	CHECK_EQ(read(from[0], &c, 1), 1);
	CHECK(is_full("a/n"));
	CHECK_OK(umount2("a/m", 0));
	CHECK_EQ(write(to[1], "2", 1), 1);
	CHECK_EXIT(pid, 0);
	CHECK(!is_full("a/n"));
}

TEST(mount_over_what_a_receiver_has)
{
	setup();
	kind("a", MS_SHARED);
	bind("a", "b", 0);
	kind("b", MS_SLAVE);
	fill("b/m");
	test_make_file("b/m/own", "");
	CHECK_OK(mount("none", "a/m", "tmpfs", 0, NULL));
	/* The slave's own stays on top. */
	CHECK_OK(access("b/m/own", F_OK));
	CHECK_OK(umount2("b/m", 0));
	CHECK_ERR(access("b/m/own", F_OK), ENOENT);
}

TEST(wrong_requests)
{
	setup();
	CHECK_ERR(mount("none", "a/m", NULL, MS_SHARED, NULL), EINVAL);
	CHECK_ERR(mount("none", "a", NULL, MS_SHARED | MS_PRIVATE, NULL),
		  EINVAL);
	CHECK_ERR(mount("none", "a", NULL, MS_SHARED | MS_RDONLY, NULL),
		  EINVAL);
	CHECK_ERR(mount("none", "none", NULL, MS_SHARED, NULL), ENOENT);
	CHECK_OK(mkdir("a/m/old", 0755));
	fill("a/m");
	CHECK_OK(mkdir("a/m/old", 0755));
	kind("a", MS_SHARED);
	/* The parent of the new root is shared. */
	CHECK_ERR(syscall(SYS_pivot_root, "a/m", "a/m/old"), EINVAL);
}
