#include "../test.h"
#include <pthread.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>

static char text[1 << 17];

static char *slurp(const char *path)
{
	if (test_read_file(path, text, sizeof(text)) < 0)
		FAIL("%s: %s", path, strerrorname_np(errno));
	return text;
}

/* The text after "Name:" and its blanks in /proc/self/status. */
static char *status(const char *name)
{
	char *at, key[64];

	snprintf(key, sizeof(key), "\n%s:", name);
	text[0] = '\n';
	CHECK(test_read_file("/proc/self/status", text + 1,
			     sizeof(text) - 1) > 0);
	at = strstr(text, key);
	if (!at)
		FAIL("no %s in status", name);
	at += strlen(key);
	return at + strspn(at, " \t");
}

TEST(stat_file)
{
	int pid, ppid, pgrp, session, tty, tpgid, n;
	char comm[64], state;
	unsigned long long start;
	unsigned long vsize;
	long rss, threads, priority, nice_value;
	char *s, *end;

	CHECK_OK(prctl(PR_SET_NAME, "a) b (c"));
	s = slurp("/proc/self/stat");
	CHECK_EQ(s[strlen(s) - 1], '\n');
	end = strrchr(s, ')');
	CHECK(end);
	CHECK_EQ(sscanf(s, "%d (%63[^\n]", &pid, comm), 2);
	CHECK(!strncmp(comm, "a) b (c)", 8));
	n = sscanf(end + 2, "%c %d %d %d %d %d %*u %*u %*u %*u %*u %*u %*u %*d"
		   " %*d %ld %ld %ld %*d %llu %lu %ld", &state, &ppid, &pgrp,
		   &session, &tty, &tpgid, &priority, &nice_value, &threads,
		   &start, &vsize, &rss);
	CHECK_EQ(n, 12);
	CHECK_EQ(pid, getpid());
	CHECK_EQ(state, 'R');
	CHECK_EQ(ppid, getppid());
	CHECK_EQ(pgrp, getpgrp());
	CHECK_EQ(session, getsid(0));
	CHECK_EQ(priority, 20);
	CHECK_EQ(nice_value, 0);
	CHECK_EQ(threads, 1);
	CHECK(vsize > 100000 && rss > 10);
	n = 0;
	for (char *at = end + 1; (at = strchr(at, ' ')); at++)
		n++;
	CHECK_EQ(n, 50);	/* 52 fields in all */
}

TEST(status_file)
{
	unsigned a, b, c, d;

	CHECK(!strncmp(status("State"), "R (running)\n", 12));
	CHECK_EQ(atoi(status("Pid")), getpid());
	CHECK_EQ(atoi(status("Tgid")), getpid());
	CHECK_EQ(atoi(status("PPid")), getppid());
	CHECK_EQ(atoi(status("TracerPid")), 0);
	CHECK_EQ(sscanf(status("Uid"), "%u %u %u %u", &a, &b, &c, &d), 4);
	CHECK(a == getuid() && b == geteuid() && d == b);
	CHECK_EQ(sscanf(status("Gid"), "%u %u %u %u", &a, &b, &c, &d), 4);
	CHECK(a == getgid());
	CHECK_EQ(atoi(status("Threads")), 1);
	CHECK_EQ(strtoul(status("Umask"), NULL, 8), 022);
	CHECK(atoi(status("VmSize")) > 100);
	CHECK(atoi(status("VmRSS")) > 10);
	CHECK(atoi(status("VmHWM")) >= atoi(status("VmRSS")) - 200);
	CHECK(atoi(status("FDSize")) >= 32);
	CHECK(strlen(status("CapEff")) > 16);
	CHECK_EQ(strspn(status("CapBnd"), "0123456789abcdef"), 16);
	CHECK(strstr(status("Name"), "\n"));
	CHECK(strtoul(status("Cpus_allowed"), NULL, 16) != 0);
	CHECK_EQ(atoi(status("NoNewPrivs")), 0);
	CHECK_EQ(atoi(status("Seccomp")), 0);
	CHECK(atol(status("voluntary_ctxt_switches")) >= 0);
}

static void handler(int sig TEST_UNUSED)
{
}

TEST(signal_masks_in_status)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	CHECK_OK(sigprocmask(SIG_BLOCK, &set, NULL));
	signal(SIGUSR2, SIG_IGN);
	signal(SIGTERM, handler);
	raise(SIGUSR1);
	CHECK_EQ(strtoull(status("SigBlk"), NULL, 16), 1ull << (SIGUSR1 - 1));
	CHECK_EQ(strtoull(status("SigIgn"), NULL, 16) >> (SIGUSR2 - 1) & 1, 1);
	CHECK_EQ(strtoull(status("SigCgt"), NULL, 16) >> (SIGTERM - 1) & 1, 1);
	CHECK_EQ((strtoull(status("SigPnd"), NULL, 16) |
		  strtoull(status("ShdPnd"), NULL, 16)), 1ull << (SIGUSR1 - 1));
}

TEST(statm_file)
{
	long size, resident, shared, code, lib, data, dirty;
	char *p;

	p = CHECK_OK(mmap(NULL, 100 << 12, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	memset(p, 1, 100 << 12);
	CHECK_EQ(sscanf(slurp("/proc/self/statm"), "%ld %ld %ld %ld %ld %ld "
			"%ld\n", &size, &resident, &shared, &code, &lib, &data,
			&dirty), 7);
	CHECK(size > resident && resident >= 100 && resident >= shared);
	CHECK(code > 0 && lib == 0 && dirty == 0 && data > 100);
}

HELPER(arguments)
{
	char cmd[200];
	ssize_t n = test_read_file("/proc/self/cmdline", cmd, sizeof(cmd));

	if (n != (ssize_t)(strlen(test_self) + 1 + 17 + 4) ||
	    memcmp(cmd + strlen(test_self) + 1, "helper:arguments\0a b", 21))
		return 1;
	n = test_read_file("/proc/self/environ", cmd, sizeof(cmd));
	return n == 8 && !memcmp(cmd, "A=1\0B=2", 8) ? 0 : 2;
}

TEST(cmdline_and_environ)
{
	char *argv[] = { test_self, "helper:arguments", "a b", NULL };
	char *env[] = { "A=1", "B=2", NULL };
	pid_t pid;

	CHILD(pid) {
		execve(test_self, argv, env);
		FAIL("exec");
	}
	CHECK_EXIT(pid, 0);
}

TEST(links)
{
	char link[4096] = "", cwd[4096];
	struct stat a, b;

	CHECK(readlink("/proc/self/exe", link, sizeof(link) - 1) > 0);
	CHECK_STR(link, test_self);
	memset(link, 0, sizeof(link));
	CHECK(readlink("/proc/self/cwd", link, sizeof(link) - 1) > 0);
	CHECK(getcwd(cwd, sizeof(cwd)));
	CHECK_STR(link, cwd);
	memset(link, 0, sizeof(link));
	CHECK_EQ(readlink("/proc/self/root", link, sizeof(link) - 1), 1);
	CHECK_STR(link, "/");
	CHECK_OK(stat("/proc/self/exe", &a));
	CHECK_OK(stat(test_self, &b));
	CHECK_EQ(a.st_ino, b.st_ino);
	memset(link, 0, sizeof(link));
	CHECK(readlink("/proc/self", link, sizeof(link) - 1) > 0);
	CHECK_EQ(atoi(link), getpid());
	memset(link, 0, sizeof(link));
	CHECK(readlink("/proc/thread-self", link, sizeof(link) - 1) > 0);
	snprintf(cwd, sizeof(cwd), "%d/task/%d", getpid(), gettid());
	CHECK_STR(link, cwd);
}

TEST(descriptors)
{
	char path[64], link[4096] = "", *s;
	int ends[2], fd, count = 0, open_now = 0;
	struct dirent *e;
	struct stat st;
	DIR *d;

	CHECK_OK(pipe(ends));
	test_make_file("f", "text");
	fd = CHECK_OK(open("f", O_RDWR | O_APPEND | O_CLOEXEC));
	CHECK_EQ(lseek(fd, 3, SEEK_SET), 3);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	CHECK(readlink(path, link, sizeof(link) - 1) > 0);
	CHECK_STR(strrchr(link, '/'), "/f");
	CHECK_OK(lstat(path, &st));
	CHECK_EQ(st.st_mode & 0777, 0700);
	CHECK_OK(unlink("f"));
	memset(link, 0, sizeof(link));
	CHECK(readlink(path, link, sizeof(link) - 1) > 0);
	CHECK_STR(strrchr(link, '/'), "/f (deleted)");
	snprintf(path, sizeof(path), "/proc/self/fd/%d", ends[0]);
	memset(link, 0, sizeof(link));
	CHECK(readlink(path, link, sizeof(link) - 1) > 0);
	CHECK_OK(fstat(ends[0], &st));
	snprintf(path, sizeof(path), "pipe:[%lu]", st.st_ino);
	CHECK_STR(link, path);
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	s = slurp(path);
	CHECK(!strncmp(s, "pos:\t3\n", 7));
	CHECK(strstr(s, "flags:\t02102002\n"));
	d = opendir("/proc/self/fd");
	CHECK(d);
	while ((e = readdir(d)))
		if (e->d_name[0] != '.') {
			CHECK_OK(fcntl(atoi(e->d_name), F_GETFD));
			count++;
		}
	CHECK_EQ(closedir(d), 0);
	for (int i = 0; i < 1024; i++)
		open_now += fcntl(i, F_GETFD) >= 0;
	CHECK_EQ(count, open_now + 1);	/* and that of the listing */
	CHECK_ERR(open("/proc/self/fd/999", O_RDONLY), ENOENT);
}

static void *wait_on_pipe(void *fd)
{
	char c;

	prctl(PR_SET_NAME, "other");
	if (read(*(int *)fd, &c, 1) != 0)
		return fd;
	return NULL;
}

TEST(tasks)
{
	int ends[2], count = 0;
	struct dirent *e;
	pthread_t t;
	char path[300];
	bool other = false;
	DIR *d;

	CHECK_OK(pipe(ends));
	CHECK_EQ(pthread_create(&t, NULL, wait_on_pipe, &ends[0]), 0);
	while (!other) {
		count = 0;
		d = opendir("/proc/self/task");
		CHECK(d);
		while ((e = readdir(d))) {
			if (e->d_name[0] == '.')
				continue;
			count++;
			snprintf(path, sizeof(path), "/proc/self/task/%s/comm",
				 e->d_name);
			if (!strcmp(slurp(path), "other\n"))
				other = true;
		}
		closedir(d);
	}
	CHECK_EQ(count, 2);
	CHECK_EQ(atoi(status("Threads")), 2);
	CHECK_OK(close(ends[1]));
	CHECK_EQ(pthread_join(t, NULL), 0);
}

TEST(comm_file)
{
	int fd = CHECK_OK(open("/proc/self/comm", O_RDWR));

	CHECK_EQ(write(fd, "a name that is too long", 23), 23);
	CHECK_STR(slurp("/proc/self/comm"), "a name that is \n");
}

TEST(limits_file)
{
	struct rlimit r;
	unsigned long soft, hard;
	char *at;

	CHECK_OK(getrlimit(RLIMIT_NOFILE, &r));
	at = strstr(slurp("/proc/self/limits"), "\nMax open files ");
	CHECK(at);
	CHECK_EQ(sscanf(at, "\nMax open files %lu %lu files", &soft, &hard), 2);
	CHECK_EQ(soft, r.rlim_cur);
	CHECK_EQ(hard, r.rlim_max);
	CHECK(!strncmp(text, "Limit                     Soft Limit           "
		       "Hard Limit           Units     \n", 79));
	CHECK(strstr(text, "\nMax cpu time "));
	CHECK(strstr(text, "\nMax realtime timeout "));
}

TEST(auxiliary_vector)
{
	unsigned long *v = (void *)text;
	ssize_t n = CHECK_OK(test_read_file("/proc/self/auxv", text,
					    sizeof(text)));
	bool page_size = false;

	CHECK(n >= 16 && n % 16 == 0);
	for (ssize_t i = 0; i < n / 8; i += 2)
		if (v[i] == 6)
			page_size = v[i + 1] == 4096;
	CHECK(page_size);
	CHECK_EQ(v[n / 8 - 2], 0);
}

TEST(input_and_output_counts)
{
	unsigned long long r, w, sr, sw, r2, w2;
	int fd = CHECK_OK(open("f", O_CREAT | O_RDWR, 0666));
	const char *format = "rchar: %llu\nwchar: %llu\nsyscr: %llu\n"
			     "syscw: %llu\n";

	CHECK_EQ(sscanf(slurp("/proc/self/io"), format, &r, &w, &sr, &sw), 4);
	CHECK_EQ(write(fd, "0123456789", 10), 10);
	CHECK_EQ(sscanf(slurp("/proc/self/io"), format, &r2, &w2, &sr, &sw),
		 4);
	CHECK_EQ(w2 - w, 10);
	CHECK(r2 > r);
	CHECK(strstr(text, "read_bytes: ") && strstr(text, "write_bytes: "));
}

TEST(wait_channel)
{
	CHECK_OK(test_read_file("/proc/self/wchan", text, sizeof(text)));
	CHECK(strlen(text) > 0);
}

TEST(states_of_others)
{
	char path[64];
	pid_t pid;

	CHILD(pid)
		pause();
	test_wait_state(pid, 'S');
	CHECK_OK(kill(pid, SIGSTOP));
	test_wait_state(pid, 'T');
	CHECK_OK(kill(pid, SIGKILL));
	test_wait_state(pid, 'Z');
	/* A zombie has no memory and no arguments. */
	snprintf(path, sizeof(path), "/proc/%d/cmdline", pid);
	CHECK_STR(slurp(path), "");
	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	CHECK_STR(slurp(path), "");
	snprintf(path, sizeof(path), "/proc/%d/exe", pid);
	CHECK_ERR(readlink(path, text, 10), ENOENT);
	CHECK_KILLED(pid, SIGKILL);
	snprintf(path, sizeof(path), "/proc/%d", pid);
	CHECK_ERR(access(path, F_OK), ENOENT);
}

TEST(a_held_directory_of_the_dead)
{
	char path[64];
	int dir, file;
	pid_t pid;

	CHILD(pid)
		pause();
	snprintf(path, sizeof(path), "/proc/%d", pid);
	dir = CHECK_OK(open(path, O_RDONLY | O_DIRECTORY));
	file = CHECK_OK(openat(dir, "stat", O_RDONLY));
	CHECK_OK(kill(pid, SIGKILL));
	CHECK_KILLED(pid, SIGKILL);
	CHECK_ERR(read(file, text, 100), ESRCH);
	CHECK(openat(dir, "status", O_RDONLY) == -1);
	CHECK(errno == ENOENT || errno == ESRCH);
}

static void *read_shared(void *unused)
{
	static const char *const paths[] = { "/proc/sys/kernel/ostype", "/proc/self/status",
					     "/sys/devices/system/cpu/online" };
	char part[8];

	for (int i = 0; i < 3; i++) {
		int fd = CHECK_OK(open(paths[i], O_RDONLY));

		CHECK(read(fd, part, 2) == 2 && read(fd, part, 1) >= 0);
		CHECK_OK(close(fd));
	}
	return unused;
}

/* With descriptors that other threads have, too, a position is locked. */
TEST(read_by_threads)
{
	pthread_t t[2];

	for (int i = 0; i < 2; i++)
		CHECK_EQ(pthread_create(&t[i], NULL, read_shared, NULL), 0);
	for (int i = 0; i < 2; i++)
		CHECK_EQ(pthread_join(t[i], NULL), 0);
}

TEST(privacy)
{
	pid_t pid;

	if (geteuid() != 0)
		SKIP("needs root");
	CHILD(pid) {
		CHECK_OK(setresuid(1000, 1000, 1000));
		CHECK_ERR(open("/proc/1/environ", O_RDONLY), EACCES);
		CHECK_ERR(readlink("/proc/1/exe", text, 100), EACCES);
		CHECK_OK(open("/proc/1/stat", O_RDONLY));
		CHECK_OK(open("/proc/1/cmdline", O_RDONLY));
	}
	CHECK_EXIT(pid, 0);
}
