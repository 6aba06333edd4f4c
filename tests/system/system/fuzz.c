#include "../test.h"
#include <grp.h>
#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>

/*
 * Random calls with random arguments, by children without privilege, two of
 * them at a time and every third with a second thread.  TEST_SEED is the seed
 * of the first child, TEST_ROUNDS the number of children, or TEST_DURATION
 * the seconds for which new ones start, so that a long run is the same program.
 *
 * The test is that the parent lives to tell, that a child that was killed goes,
 * and that the kernel's own figures (objects of each slab cache, open files,
 * tasks, free pages) return to where they were.
 */
static const short left_out[] = {
	SYS_rt_sigreturn, SYS_exit, SYS_exit_group, SYS_pause, SYS_fork,
	SYS_vfork, SYS_clone, SYS_clone3, SYS_kill, SYS_tkill, SYS_tgkill,
	SYS_rt_sigqueueinfo, SYS_rt_tgsigqueueinfo, SYS_pidfd_send_signal,
	SYS_rt_sigsuspend, SYS_vhangup, SYS_reboot, SYS_ptrace,
	SYS_process_vm_writev, SYS_sync, SYS_syncfs, SYS_fsync,
	SYS_nanosleep, SYS_seccomp, SYS_userfaultfd, SYS_bpf,
	SYS_perf_event_open, SYS_unshare, SYS_setns,
	SYS_landlock_restrict_self, SYS_add_key, SYS_keyctl, SYS_request_key,
};

static _Thread_local uint64_t state;

static uint64_t random_bits(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

static char *area;	/* valid memory for pointers to point into */
#define AREA	65536ul
#define CALLS	150

static unsigned long argument(void)
{
	uint64_t r = random_bits() >> 8;

	switch (r % 12) {
	case 0: case 1:
		return (r >> 8) % 24;			/* descriptor */
	case 2: case 3:
		return (unsigned long)area + (r >> 8) % AREA;
	case 4:
		return (unsigned long)area + ((r >> 8) % 16) * 4096;
	case 5:
		return 1ul << ((r >> 8) % 64);		/* flag */
	case 6:
		return (r >> 8) % 8192;				/* length */
	case 7:
		return (unsigned long)-((long)((r >> 8) % 200));
	case 8:
		return 0xffffffff80000000 + (r >> 8) % (1 << 30);
	case 9:
		return 0;
	case 10:
		return (r >> 8) & 0xffffffff;
	default:
		return random_bits();
	}
}

static bool is_left_out(int number)
{
	for (size_t i = 0; i < sizeof(left_out) / sizeof(*left_out); i++)
		if (left_out[i] == number)
			return true;
	return false;
}

static void limit(int what, rlim_t value)
{
	setrlimit(what, &(struct rlimit){ value, value });
}

static void prepare(void)
{
	int ends[2];

	close(0);
	open("/dev/null", O_RDWR);
	dup2(0, 1);
	dup2(0, 2);
	for (int i = 0; i < 2; i++)
		if (pipe2(ends, O_NONBLOCK) < 0)
			_exit(1);
	open("file", O_RDWR | O_CREAT, 0666);
	open(".", O_RDONLY);
	open("/proc/self/status", O_RDONLY);
	area = mmap(NULL, AREA, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	for (size_t i = 0; i < AREA; i += 8)
		*(uint64_t *)(void *)(area + i) = i % 64 ? argument() : 0;
	strcpy(area, "file");
	strcpy(area + 4096, "/proc/self/stat");
	limit(RLIMIT_AS, 1 << 30);
	limit(RLIMIT_FSIZE, 1 << 20);
	limit(RLIMIT_CORE, 0);
	limit(RLIMIT_CPU, 5);
	alarm(2);
}

static void calls(int count)
{
	for (int i = 0; i < count; i++) {
		int number = (int)(random_bits() >> 20) % 453;
		unsigned long a = argument(), b = argument(), c = argument();
		unsigned long d = argument(), e = argument(), f = argument();

		if (number < 0 || is_left_out(number))
			continue;
		syscall(number, a, b, c, d, e, f);
	}
}

static void *calls_of_thread(void *seed)
{
	state = *(uint64_t *)seed ^ 0x5555;
	calls(CALLS);
	return NULL;
}

static void run_child(uint64_t seed, bool with_thread)
{
	pthread_t other;

	/*
	 * The calls write past the area, into whatever lies next to it: that
	 * must not be memory shared with the parent.
	 */
	munmap((void *)test_failures, 4096);
	test_failures = NULL;
	state = seed * 0x9e3779b97f4a7c15 + 1;
	prepare();
	if (geteuid() == 0 &&
	    (setgroups(0, NULL) < 0 || setresgid(65534, 65534, 65534) < 0 ||
	     setresuid(65534, 65534, 65534) < 0))
		_exit(1);
	if (with_thread)
		pthread_create(&other, NULL, calls_of_thread, &state);
	limit(RLIMIT_NPROC, 1);
	calls(CALLS);
	syscall(SYS_exit_group, 0);
}

/* ---- children, a few at a time ---- */

static struct slot {
	pid_t pid;
	long seed;
	int64_t kill_at_ns, give_up_ns;
	bool killed;
} slots[2];

static unsigned long nr_killed;

/* What the threads of a process do, and where. */
static void show_process(const char *pid)
{
	static const char *const files[] = { "status", "syscall", "stack" };
	char path[700], text[4096];
	struct dirent *e;
	DIR *tasks;

	snprintf(path, sizeof(path), "/proc/%s/task", pid);
	tasks = opendir(path);
	while (tasks && (e = readdir(tasks))) {
		if (*e->d_name == '.')
			continue;
		for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++) {
			snprintf(path, sizeof(path), "/proc/%s/task/%s/%s", pid,
				 e->d_name, files[i]);
			if (test_read_file(path, text, sizeof(text)) > 0)
				dprintf(1, "%s:\n%s\n", path, text);
		}
	}
	if (tasks)
		closedir(tasks);
}

/* A child that was killed does not go: perhaps for what another one holds. */
static void fail_stuck(const struct slot *s)
{
	struct dirent *e;
	DIR *proc = opendir("/proc");

	while (proc && (e = readdir(proc)))
		if (*e->d_name >= '0' && *e->d_name <= '9')
			show_process(e->d_name);
	FAIL("child %d of seed %ld does not die", s->pid, s->seed);
}

/* True while the slot's child runs. */
static bool slot_runs(struct slot *s)
{
	int64_t now = test_now_ns();
	int status;
	pid_t got;

	if (s->pid == 0)
		return false;
	got = waitpid(s->pid, &status, WNOHANG);
	if (got != 0) {
		if (got != s->pid)
			FAIL("seed %ld: waitpid(%d) gives %d, %s", s->seed,
			     s->pid, got, strerrorname_np(errno));
		s->pid = 0;
		return false;
	}
	if (!s->killed && now > s->kill_at_ns) {
		CHECK_OK(kill(s->pid, SIGKILL));
		s->killed = true;
		nr_killed++;
	}
	if (now > s->give_up_ns)
		fail_stuck(s);
	return true;
}

static void slot_start(struct slot *s, long seed)
{
	*s = (struct slot){ .seed = seed,
			    .kill_at_ns = test_now_ns() + 30000000,
			    .give_up_ns = test_now_ns() + 30000000000 };
	s->pid = fork();
	if (s->pid == 0)
		run_child((uint64_t)seed, seed % 3 == 0);
	if (s->pid < 0)
		FAIL("seed %ld: fork: %s", seed, strerrorname_np(errno));
}

/* Runs children until `count` are through or the time is up; how many. */
static long run_children(long seed, long count, long seconds)
{
	int64_t end = test_now_ns() + seconds * 1000000000;
	long started = 0;
	bool more;

	CHECK_OK(mkdir("area", 0777));
	CHECK_OK(chmod("area", 0777));
	CHECK_OK(chdir("area"));
	do {
		more = seconds ? test_now_ns() < end : started < count;
		for (size_t i = 0; i < sizeof(slots) / sizeof(*slots); i++) {
			if (slot_runs(&slots[i])) {
				more = true;
				continue;
			}
			if (seconds ? test_now_ns() >= end : started >= count)
				continue;
			slot_start(&slots[i], seed + started++);
		}
		usleep(500);
	} while (more);
	CHECK_OK(chdir(".."));
	test_remove_tree(AT_FDCWD, "area");
	return started;
}

/* ---- the kernel's figures ---- */

struct figure {
	char name[40];
	long value;
};

struct figures {
	size_t nr;
	struct figure list[200];
};

static void add_figure(struct figures *f, const char *name, long value)
{
	if (f->nr == sizeof(f->list) / sizeof(*f->list))
		FAIL("too many figures");
	snprintf(f->list[f->nr].name, sizeof(f->list->name), "%s", name);
	f->list[f->nr++].value = value;
}

static bool figures_are_known(void)
{
	return access("/proc/nos/counters", R_OK) == 0 && geteuid() == 0;
}

static long memory_line(const char *text, const char *name)
{
	const char *line = strstr(text, name);

	CHECK(line);
	return atol(line + strlen(name));
}

/* Once nothing moves any more and no cache holds what could be let go. */
static void read_figures(struct figures *f)
{
	static char text[65536];
	char name[40];
	long value;
	int fd = CHECK_OK(open("/proc/sys/vm/drop_caches", O_WRONLY));

	for (int i = 0; i < 3; i++) {
		CHECK_EQ(write(fd, "3", 1), 1);
		usleep(100000);
	}
	close(fd);
	f->nr = 0;
	CHECK_OK(test_read_file("/proc/slabinfo", text, sizeof(text)));
	for (char *line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (sscanf(line, "%39s %ld", name, &value) == 2)
			add_figure(f, name, value);
	}
	CHECK_OK(test_read_file("/proc/sys/fs/file-nr", text, sizeof(text)));
	add_figure(f, "open files", atol(text));
	CHECK_OK(test_read_file("/proc/loadavg", text, sizeof(text)));
	add_figure(f, "tasks", atol(strchr(text, '/') + 1));
	CHECK_OK(test_read_file("/proc/meminfo", text, sizeof(text)));
	/* Slabs, stacks and tables that are kept for the next are no leak by themselves. */
	add_figure(f, "stacks, KiB", memory_line(text, "KernelStack:"));
	add_figure(f, "page tables", memory_line(text, "PageTables:") / 4);
	add_figure(f, "other pages", -(memory_line(text, "MemFree:") +
				       memory_line(text, "Slab:") +
				       memory_line(text, "PageTables:") +
				       memory_line(text, "KernelStack:")) / 4);
}

/* What the second has over the first, beyond the bound of each figure. */
static void compare_figures(const struct figures *a, const struct figures *b)
{
	bool leaks = false;
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	for (size_t i = 0; i < b->nr; i++) {
		const char *name = b->list[i].name;
		long before = 0, more, bound = 24;

		for (size_t j = 0; j < a->nr; j++)
			if (!strcmp(a->list[j].name, name))
				before = a->list[j].value;
		more = b->list[i].value - before;
		/* Arrays of objects that each CPU keeps. */
		if (!strcmp(name, "slab_sheaf"))
			bound = 12 * cpus;
		else if (!strcmp(name, "other pages"))
			bound = 96; /* 64 of them the table of 32768 pids */
		else if (!strcmp(name, "page tables"))
			bound = 32 * cpus; /* what each keeps */
		else if (!strcmp(name, "stacks, KiB"))
			bound = 1024;
		else if (!strcmp(name, "tasks") || !strcmp(name, "open files"))
			bound = 0;
		if (more)
			dprintf(1, "figure %s: %+ld, at most %+ld\n", name,
				more, bound);
		leaks |= more > bound;
	}
	if (leaks)
		FAIL("more is in use than before");
}

static long from_environment(const char *name, long otherwise)
{
	const char *value = getenv(name);

	return value ? atol(value) : otherwise;
}

/* What is made once and kept, some of it by each CPU, is made by the first ones. */
static void warm_up(long seed)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	cpu_set_t all, one;

	CHECK_OK(sched_getaffinity(0, sizeof(all), &all));
	for (long cpu = 0; cpu < cpus; cpu++) {
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		if (sched_setaffinity(0, sizeof(one), &one) == 0)
			run_children(seed, 20, 0);
	}
	CHECK_OK(sched_setaffinity(0, sizeof(all), &all));
	/* What CPUs keep of tables grows with those that end side by side. */
	run_children(seed, 40 * cpus, 0);
}

TEST_TIMED(random_calls, 4000)
{
	long seed = from_environment("TEST_SEED", 1);
	long rounds = from_environment("TEST_ROUNDS", 300);
	long seconds = from_environment("TEST_DURATION", 0);
	static struct figures before, after;
	bool known = figures_are_known();
	pid_t pid;

	/* Objects of System V would stay on this machine. */
	(void)!unshare(CLONE_NEWIPC);
	if (known) {
		warm_up(seed);
		read_figures(&before);
	}
	rounds = run_children(seed, rounds, seconds);
	if (known) {
		read_figures(&after);
		compare_figures(&before, &after);
	}
	/* Still of sound mind. */
	CHILD(pid)
		_exit(5);
	CHECK_EXIT(pid, 5);
	if (getenv("TEST_SEED"))
		dprintf(1, "%ld children, %lu killed\n", rounds, nr_killed);
}
