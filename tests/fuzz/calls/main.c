/*
 * calls FILE: runs the programs that FILE lists, one a line: SEED LENGTH [-CALL]…
 *
 * A call that is named with a minus is left out.  Each program prints "== LINE",
 * its calls, and how it ended.
 */
#include "calls.h"

#include <grp.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/uio.h>

#define LOG_SIZE (1ul << 20)
#define LOG ((struct log *)0x600000000000ul)
#define SANDBOX "/sandbox"
#define POLL_US 10000
#define MAX_LENGTH 1000

/* Shared by the program and the parent. */
struct log {
	volatile long calls; /* that began or ended: who changes it is not stuck */
	volatile size_t used;
	char text[LOG_SIZE - 16];
};

pid_t children[MAX_CHILDREN];
int nr_children;
static uint64_t before[NR_SLOTS * SLOT_SIZE / 8];
static volatile uint64_t signals_seen;

void handle_signal(int signo)
{
	signals_seen |= 1ul << (signo - 1);
}

static void handle_wake(int signo)
{
	(void)signo;
}

static void log_line(const char *line)
{
	size_t len = strlen(line);

	if (LOG->used + len + 1 > sizeof(LOG->text))
		return;
	memcpy(LOG->text + LOG->used, line, len);
	LOG->text[LOG->used + len] = '\n';
	LOG->used += len + 1;
}

static void die(const char *what)
{
	fprintf(stderr, "calls: %s: %s\n", what, strerrorname_np(errno));
	_exit(99);
}

static long must(long result, const char *what)
{
	if (result < 0)
		die(what);
	return result;
}

/* ---- the world ---- */

static void make_tree(void)
{
	static char text[1000];
	int fd;

	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = (char)('a' + i % 26);
	fd = (int)must(open("a", O_RDWR | O_CREAT, 0644), "a");
	must(write(fd, text, sizeof(text)), "a");
	close(fd);
	close((int)must(open("b", O_RDWR | O_CREAT, 0600), "b"));
	must(mkdir("d", 0755), "d");
	must(mkdir("d/s", 0777), "d/s");
	close((int)must(open("d/e", O_RDWR | O_CREAT, 0444), "d/e"));
	must(link("a", "h"), "h");
	must(symlink("a", "l"), "l");
	must(symlink("d", "ld"), "ld");
	must(symlink("nowhere", "m"), "m");
	must(symlink("loop", "loop"), "loop");
	must(mkfifo("p", 0644), "p");
	must(mknod("null", S_IFCHR | 0666, 0x103), "null");
	must(chmod("null", 0666), "null");
}

static void own_tree(uid_t uid)
{
	static const char *const names[] = { ".", "a", "b", "d", "p", "l" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		must(lchown(names[i], uid, uid), names[i]);
}

/* Descriptors 0 to 17, each of another kind. */
static void open_all(void)
{
	sigset_t set;
	int two[2];

	for (int fd = 0; fd < 64; fd++)
		close(fd);
	must(open("null", O_RDWR), "null");
	must(dup(0), "dup");
	must(dup(0), "dup");
	must(open("a", O_RDWR), "a"); /* 3 */
	must(open(".", O_RDONLY | O_DIRECTORY), ".");
	must(pipe2(two, O_NONBLOCK), "pipe"); /* 5, 6 */
	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, two), "stream"); /* 7, 8 */
	must(eventfd(3, EFD_NONBLOCK), "eventfd");
	must(epoll_create1(0), "epoll"); /* 10 */
	must(memfd_create("memfd", MFD_ALLOW_SEALING), "memfd");
	must(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK), "timerfd");
	sigemptyset(&set);
	sigaddset(&set, 12);
	must(signalfd(-1, &set, SFD_NONBLOCK), "signalfd"); /* 13 */
	must(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, two), "dgram"); /* 14, 15 */
	must(inotify_init1(IN_NONBLOCK), "inotify");
	must(open("d", O_PATH | O_DIRECTORY), "path"); /* 17 */
}

static void map_all(void)
{
	int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;

	must((long)mmap((void *)ARENA, NR_SLOTS * SLOT_SIZE, PROT_READ | PROT_WRITE, flags, -1, 0),
	     "arena");
	must((long)mmap((void *)READ_ONLY, 4096, PROT_READ, flags, -1, 0), "page");
	must((long)mmap((void *)PLAYGROUND, 4 * 4096, PROT_READ | PROT_WRITE, flags, -1, 0),
	     "playground");
}

static void set_limits(void)
{
	for (int i = 0; i < RLIM_NLIMITS; i++) {
		rlim_t value = i == RLIMIT_NOFILE   ? 64 :
			       i == RLIMIT_FSIZE    ? 1 << 20 :
			       i == RLIMIT_AS       ? 1ul << 30 :
			       i == RLIMIT_NPROC    ? 100 :
			       i == RLIMIT_CORE     ? 0 :
			       i == RLIMIT_STACK    ? 8 << 20 :
			       i == RLIMIT_DATA     ? RLIM_INFINITY :
			       i == RLIMIT_RSS      ? RLIM_INFINITY :
			       i == RLIMIT_CPU      ? RLIM_INFINITY :
			       i == RLIMIT_RTTIME   ? RLIM_INFINITY :
			       i == RLIMIT_MEMLOCK  ? 1 << 16 :
			       i == RLIMIT_MSGQUEUE ? 819200 :
						      20;

		setrlimit(i, &(struct rlimit){ value, value });
	}
}

static void enter_world(uint64_t seed)
{
	uid_t uid = seed & 1 ? 1000 : 0;
	sigset_t none;

	setsid();
	must(chroot(SANDBOX), "chroot");
	must(chdir("/"), "chdir");
	umask(022);
	make_tree();
	own_tree(uid);
	map_all();
	open_all();
	set_limits();
	for (int i = 1; i < WAKE_SIGNAL; i++)
		signal(i, SIG_DFL);
	sigaction(WAKE_SIGNAL, &(struct sigaction){ .sa_handler = handle_wake }, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	must(setgroups(0, NULL), "setgroups");
	must(setresgid(uid, uid, uid), "setresgid");
	must(setresuid(uid, uid, uid), "setresuid");
	prctl(PR_SET_DUMPABLE, 1);
}

/* ---- a program ---- */

/* A child that ended: there is nothing to wait for when the call returns. */
static long spawn(int status)
{
	siginfo_t info;
	pid_t pid;

	if (nr_children == MAX_CHILDREN)
		return -EAGAIN;
	pid = (pid_t)syscall(SYS_fork);
	if (pid == 0)
		syscall(SYS_exit_group, status);
	if (pid < 0)
		return -errno;
	children[nr_children++] = pid;
	while (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT) < 0 && errno == EINTR)
		continue;
	return pid;
}

static long make_call(const struct drawn *d)
{
	const uint64_t *v = d->value;

	if (d->call->nr < 0)
		return spawn((int)v[0]);

	long result = syscall(d->call->nr, v[0], v[1], v[2], v[3], v[4], v[5]);

	return result == -1 ? -errno : result;
}

static void run_program(uint64_t seed, int length, const bool *left_out)
{
	char line[2000];
	struct drawn d;

	enter_world(seed);
	for (int i = 0; i < length; i++) {
		if (left_out[i])
			continue;
		call_draw(&d, seed, i);
		memcpy(before, (void *)ARENA, sizeof(before));
		signals_seen = 0;
		LOG->calls++;

		long result = make_call(&d);

		LOG->calls++;
		show_call(line, sizeof(line) - 40, &d, result, before);
		if (signals_seen)
			sprintf(line + strlen(line), " signals %lx", signals_seen);
		log_line(line);
	}
	log_line("end");
	syscall(SYS_exit_group, 0);
}

/* The letter of its state, from outside. */
static char state_of(pid_t pid)
{
	char path[64], text[512], *end;
	ssize_t n;
	int fd;

	sprintf(path, "/proc/%d/stat", pid);
	fd = open(path, O_RDONLY);
	n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);
	if (fd >= 0)
		close(fd);
	text[n > 0 ? n : 0] = 0;
	end = strrchr(text, ')');
	return end ? end[2] : '?';
}

/*
 * Waits for the end.  A program that sleeps while nothing happens is woken by
 * a signal, and killed if that doesn't help.
 */
static int supervise(pid_t pid)
{
	long last = -1;
	int status, still = 0;

	for (unsigned round = 0;; round++) {
		if (waitpid(pid, &status, WNOHANG | WUNTRACED) == pid) {
			if (!WIFSTOPPED(status))
				return status;
			log_line("stopped");
			kill(pid, SIGKILL);
		}
		/* Most end at once. */
		usleep(round < 20 ? 300 : POLL_US);
		if (round < 20)
			continue;
		if (LOG->calls != last || state_of(pid) != 'S') {
			/* One that runs for seconds is stuck all the same. */
			still = LOG->calls != last ? 0 : still;
			if (LOG->calls == last && ++round > 2000)
				kill(pid, SIGKILL);
			last = LOG->calls;
			continue;
		}
		if (++still == 4)
			kill(pid, WAKE_SIGNAL);
		if (still == 12) {
			log_line("blocked for good");
			kill(pid, SIGKILL);
		}
	}
}

static void run_line(char *line)
{
	static bool left_out[MAX_LENGTH];
	char *word = line;
	uint64_t seed = strtoull(word, &word, 0);
	long length = strtol(word, &word, 0);
	int status;
	pid_t pid;

	memset(left_out, 0, sizeof(left_out));
	while (strchr(word, '-')) {
		long i = strtol(strchr(word, '-') + 1, &word, 0);

		if (i >= 0 && i < MAX_LENGTH)
			left_out[i] = true;
	}
	if (length > MAX_LENGTH)
		length = MAX_LENGTH;
	printf("== %s\n", line);
	LOG->calls = 0;
	LOG->used = 0;
	must(mount("sandbox", SANDBOX, "tmpfs", 0, "size=4m,mode=755"), "mount");
	fflush(stdout);
	pid = fork();
	if (pid == 0)
		run_program(seed, (int)length, left_out);
	status = supervise(pid);
	kill(-pid, SIGKILL);
	fwrite(LOG->text, 1, LOG->used, stdout);
	if (WIFSIGNALED(status))
		printf("killed by signal %d\n", WTERMSIG(status));
	else if (WEXITSTATUS(status))
		printf("ended with %d\n", WEXITSTATUS(status));
	umount2(SANDBOX, MNT_DETACH);
}

/* The heap's place is chance, and within reach of programs: on both kernels the same, and out of reach. */
static void without_chance(char **argv)
{
	int persona = personality(0xffffffff);

	if (persona & ADDR_NO_RANDOMIZE)
		return;
	must(personality((unsigned long)persona | ADDR_NO_RANDOMIZE), "personality");
	execv(argv[0], argv);
	die(argv[0]);
}

int main(int argc, char **argv)
{
	static char line[65536];
	FILE *list = argc == 2 ? fopen(argv[1], "r") : NULL;

	if (!list) {
		fprintf(stderr, "usage: calls FILE\n");
		return 2;
	}
	without_chance(argv);
	if (mmap(LOG, LOG_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1,
		 0) == MAP_FAILED)
		die("log");
	mkdir(SANDBOX, 0755);
	while (fgets(line, sizeof(line), list)) {
		line[strcspn(line, "\n")] = 0;
		run_line(line);
	}
	printf("== done\n");
	return 0;
}
