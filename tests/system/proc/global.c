#include "../test.h"
#include <sched.h>
#include <sys/mount.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>

static char text[1 << 18];

static char *slurp(const char *path)
{
	if (test_read_file(path, text, sizeof(text)) < 0)
		FAIL("%s: %s", path, strerrorname_np(errno));
	return text;
}

static long field(const char *name)
{
	char *at = strstr(text, name);

	if (!at)
		FAIL("no %s", name);
	return atol(at + strlen(name));
}

TEST(meminfo)
{
	struct sysinfo s;
	long total;

	CHECK_OK(sysinfo(&s));
	slurp("/proc/meminfo");
	total = field("MemTotal:");
	CHECK_EQ(total, (long)(s.totalram * s.mem_unit / 1024));
	CHECK(field("MemFree:") > 0 && field("MemFree:") < total);
	CHECK(field("MemAvailable:") > 0 && field("MemAvailable:") <= total);
	CHECK(field("Buffers:") >= 0 && field("\nCached:") >= 0);
	CHECK(field("SwapTotal:") >= field("SwapFree:"));
	CHECK(field("Shmem:") >= 0 && field("Slab:") > 0);
	CHECK(field("PageTables:") > 0 && field("KernelStack:") > 0);
	CHECK(!strncmp(text, "MemTotal:       ", 16));
	CHECK(strstr(text, " kB\nMemFree: "));
}

static int online(void)
{
	return get_nprocs();
}

TEST(cpuinfo)
{
	int count = 0;

	slurp("/proc/cpuinfo");
	for (char *at = text; (at = strstr(at, "processor\t: ")); at++)
		count++;
	CHECK_EQ(count, online());
	CHECK(strstr(text, "model name\t: "));
	CHECK(strstr(text, "cpu MHz\t\t: "));
	CHECK(strstr(text, "flags\t\t: "));
	CHECK(strstr(text, " sse2 "));
	CHECK(strstr(text, "vendor_id\t: "));
}

TEST(stat_file)
{
	unsigned long v[7], before, after;
	struct timespec now;
	int cpus = 0;

	CHECK_EQ(sscanf(slurp("/proc/stat"), "cpu  %lu %lu %lu %lu %lu %lu %lu",
			&v[0], &v[1], &v[2], &v[3], &v[4], &v[5], &v[6]), 7);
	for (char *at = text; (at = strstr(at, "\ncpu")); at++)
		cpus++;
	CHECK_EQ(cpus, online());
	before = (unsigned long)field("\nprocesses ");
	clock_gettime(CLOCK_REALTIME, &now);
	CHECK(field("\nbtime ") > 1600000000 &&
	      field("\nbtime ") <= now.tv_sec + 1);
	CHECK(field("\nctxt ") > 0 && field("\nintr ") > 0);
	CHECK(field("\nprocs_running ") >= 1);
	CHECK(field("\nprocs_blocked ") >= 0);
	for (int i = 0; i < 5; i++) {
		pid_t pid;

		CHILD(pid)
			continue;
		CHECK_EXIT(pid, 0);
	}
	slurp("/proc/stat");
	after = (unsigned long)field("\nprocesses ");
	CHECK(after >= before + 5);
}

TEST(time_is_accounted)
{
	unsigned long user, nice_time, system, u2, n2, s2;

	CHECK_EQ(sscanf(slurp("/proc/stat"), "cpu  %lu %lu %lu", &user,
			&nice_time, &system), 3);
	for (int64_t start = test_now_ns(); test_now_ns() - start < 60000000;)
		continue;
	CHECK_EQ(sscanf(slurp("/proc/stat"), "cpu  %lu %lu %lu", &u2, &n2,
			&s2), 3);
	CHECK(u2 + n2 + s2 > user + nice_time + system);
}

TEST(load_and_uptime)
{
	struct timespec t;
	double a, b, c, up, idle;
	int running, total, last;

	CHECK_EQ(sscanf(slurp("/proc/loadavg"), "%lf %lf %lf %d/%d %d\n", &a,
			&b, &c, &running, &total, &last), 6);
	CHECK(a >= 0 && b >= 0 && c >= 0 && running >= 1 && total >= running);
	CHECK(last > 0);
	CHECK_EQ(sscanf(slurp("/proc/uptime"), "%lf %lf\n", &up, &idle), 2);
	CHECK_OK(clock_gettime(CLOCK_BOOTTIME, &t));
	CHECK(up <= (double)t.tv_sec + 1 && up >= (double)t.tv_sec - 10);
	CHECK(idle >= 0 && idle <= up * online() + 10);
}

TEST(version)
{
	struct utsname u;
	char want[400];

	CHECK_OK(uname(&u));
	snprintf(want, sizeof(want), "%s version %s ", u.sysname, u.release);
	CHECK(!strncmp(slurp("/proc/version"), want, strlen(want)));
	CHECK(strstr(text, u.version));
}

TEST(filesystems)
{
	slurp("/proc/filesystems");
	CHECK(strstr(text, "nodev\tproc\n"));
	CHECK(strstr(text, "nodev\ttmpfs\n"));
	CHECK(strstr(text, "nodev\tsysfs\n"));
	CHECK(strstr(text, "nodev\tdevpts\n"));
}

TEST(mounts)
{
	char link[32] = "", device[256], dir[256], type[64], options[512];
	int a, b, lines = 0;

	CHECK(readlink("/proc/mounts", link, sizeof(link) - 1) > 0);
	CHECK_STR(link, "self/mounts");
	slurp("/proc/mounts");
	for (char *l = text; *l; l = strchr(l, '\n') + 1) {
		CHECK_EQ(sscanf(l, "%255s %255s %63s %511s %d %d\n", device,
				dir, type, options, &a, &b), 6);
		CHECK(dir[0] == '/');
		CHECK(!strncmp(options, "rw", 2) || !strncmp(options, "ro", 2));
		lines++;
	}
	CHECK(lines >= 3);
	CHECK(strstr(text, " /proc proc "));
	CHECK(strstr(text, " / "));
}

TEST(mount_info)
{
	int id, parent, major, minor, lines = 0;
	char root[256], dir[256], options[256];
	struct stat st;

	slurp("/proc/self/mountinfo");
	for (char *l = text; *l; l = strchr(l, '\n') + 1) {
		CHECK_EQ(sscanf(l, "%d %d %d:%d %255s %255s %255s ", &id,
				&parent, &major, &minor, root, dir, options),
			 7);
		CHECK(strstr(l, " - "));
		if (!strcmp(dir, "/proc")) {
			CHECK_OK(stat("/proc", &st));
			CHECK_EQ((major << 8 | minor), st.st_dev);
		}
		lines++;
	}
	CHECK(lines >= 3);
}

TEST(a_new_mount_is_listed)
{
	char want[4300], cwd[4096];

	if (geteuid() != 0)
		SKIP("needs root");
	CHECK_OK(unshare(CLONE_NEWNS));
	CHECK_OK(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL));
	CHECK_OK(mkdir("a b", 0755));
	CHECK_OK(mount("source", "a b", "tmpfs", MS_NOSUID | MS_NODEV, NULL));
	CHECK(getcwd(cwd, sizeof(cwd)));
	/* Blanks are written in octal. */
	snprintf(want, sizeof(want),
		 "source %s/a\\040b tmpfs rw,nosuid,nodev,relatime", cwd);
	CHECK(strstr(slurp("/proc/self/mounts"), want));
	CHECK_OK(umount("a b"));
	CHECK(!strstr(slurp("/proc/self/mounts"), want));
}

TEST(kernel_parameters)
{
	struct utsname u;
	char want[200], again[100];

	CHECK_OK(uname(&u));
	snprintf(want, sizeof(want), "%s\n", u.sysname);
	CHECK_STR(slurp("/proc/sys/kernel/ostype"), want);
	snprintf(want, sizeof(want), "%s\n", u.release);
	CHECK_STR(slurp("/proc/sys/kernel/osrelease"), want);
	snprintf(want, sizeof(want), "%s\n", u.version);
	CHECK_STR(slurp("/proc/sys/kernel/version"), want);
	snprintf(want, sizeof(want), "%s\n", u.nodename);
	CHECK_STR(slurp("/proc/sys/kernel/hostname"), want);
	CHECK(atoi(slurp("/proc/sys/kernel/pid_max")) >= 32768);
	CHECK(atol(slurp("/proc/sys/kernel/threads-max")) >= 1000);
	CHECK(atol(slurp("/proc/sys/fs/file-max")) >= 1000);
	CHECK(atol(slurp("/proc/sys/fs/pipe-max-size")) >= 65536);
	CHECK(atoi(slurp("/proc/sys/kernel/ngroups_max")) == 65536);
	CHECK(atoi(slurp("/proc/sys/kernel/cap_last_cap")) >= 36);
	CHECK(atoi(slurp("/proc/sys/vm/overcommit_memory")) <= 2);
	CHECK_EQ(strlen(slurp("/proc/sys/kernel/random/boot_id")), 37);
	strcpy(again, text);
	CHECK_STR(slurp("/proc/sys/kernel/random/boot_id"), again);
	CHECK_EQ(strlen(slurp("/proc/sys/kernel/random/uuid")), 37);
	strcpy(again, text);
	CHECK(strcmp(slurp("/proc/sys/kernel/random/uuid"), again));
}

/* More than LONG_MAX files can't be counted, and would be a limit below zero. */
TEST(file_max_is_no_more_than_long_max)
{
	int fd = CHECK_OK(open("/proc/sys/fs/file-max", O_WRONLY));

	CHECK_ERR(write(fd, "9223372036854775808", 19), EINVAL);
	CHECK_OK(close(fd));
	CHECK(atol(slurp("/proc/sys/fs/file-max")) >= 1000);
}

TEST(read_only_and_missing)
{
	CHECK_ERR(open("/proc/none", O_RDONLY), ENOENT);
	CHECK_ERR(open("/proc/999999", O_RDONLY), ENOENT);
	CHECK_ERR(open("/proc/0", O_RDONLY), ENOENT);
	CHECK_ERR(open("/proc/01", O_RDONLY), ENOENT);
	CHECK(open("/proc/new", O_CREAT | O_RDWR, 0666) == -1);
	CHECK(mkdir("/proc/new", 0755) == -1);
	CHECK(unlink("/proc/version") == -1);
	CHECK(rename("/proc/version", "/proc/v") == -1);
}

TEST(processes_are_listed)
{
	bool self = false, one = false;
	struct dirent *e;
	DIR *d = opendir("/proc");

	CHECK(d);
	while ((e = readdir(d))) {
		if (atoi(e->d_name) == getpid())
			self = true;
		if (!strcmp(e->d_name, "1"))
			one = true;
	}
	CHECK(self && one);
}

TEST(reading_in_small_pieces)
{
	static char piece[1 << 17];
	size_t have = 0;
	ssize_t n;
	int fd = CHECK_OK(open("/proc/self/limits", O_RDONLY));

	slurp("/proc/self/limits");
	while ((n = CHECK_OK(read(fd, piece + have, 7))) > 0)
		have += (size_t)n;
	piece[have] = 0;
	CHECK_STR(piece, text);
	/* Again from the start, and from inside. */
	CHECK_EQ(pread(fd, piece, 10, 6), 10);
	CHECK(!memcmp(piece, text + 6, 10));
	CHECK_EQ(lseek(fd, 3, SEEK_SET), 3);
	CHECK_EQ(read(fd, piece, 5), 5);
	CHECK(!memcmp(piece, text + 3, 5));
}
