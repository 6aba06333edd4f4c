/*
 * Random system calls: syscalls [SECONDS [SEED]].
 *
 * Children make calls with numbers and arguments drawn at random, half of them
 * plausible (descriptors, pointers to mapped, read-only and absent memory,
 * paths, small numbers, flags) and half wild.  A child that is not done after
 * some seconds (it may have blocked its alarm) is killed, which must work.  The program passes if the kernel is still there: it starts a last
 * child, which must exit as told.  Calls that would end the machine, or the
 * parent, are left out.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define NR_CALLS 470
#define CALLS_PER_CHILD 2000
#define NR_CHILDREN 3
#define SECONDS_PER_CHILD 3

static uint64_t state;

static uint64_t draw(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state * 0x2545f4914f6cdd1dull;
}

static int is_excluded(long nr)
{
	static const short excluded[] = {
		SYS_exit,
		SYS_exit_group,
		SYS_reboot,
		SYS_kill,
		SYS_tkill,
		SYS_tgkill,
		SYS_pause,
		SYS_vfork,
		SYS_rt_sigqueueinfo,
		SYS_rt_tgsigqueueinfo,
		SYS_pidfd_send_signal,
		SYS_setsid,
		SYS_clone,
		SYS_fork,
		SYS_clone3,
		SYS_umount2,
		SYS_pivot_root,
		SYS_chroot,
		SYS_mount,
		SYS_rt_sigsuspend,
		SYS_setrlimit,
		SYS_prlimit64,
		SYS_move_mount,
		SYS_ptrace,
		SYS_vhangup,
	};

	for (unsigned i = 0; i < sizeof(excluded) / sizeof(excluded[0]); i++)
		if (excluded[i] == nr)
			return 1;
	return 0;
}

static char *writable, *readonly;

static uint64_t draw_argument(void)
{
	static const uint64_t odd[] = {
		0,
		1,
		2,
		0xfff,
		0x1000,
		0x7fffffff,
		0x80000000,
		0xffffffff,
		0x7fffffffffff,
		0x7ffffffff000,
		0x800000000000,
		0xffff800000000000,
		0xffffffff80100000,
		0xffffffffffffffff,
		0x7fffffffffffffff,
		0x8000000000000000,
	};
	static const char *const paths[] = {
		"/",
		"/tmp/a",
		"/tmp/b",
		"/proc/self/maps",
		"/dev/null",
		"/dev/zero",
		"",
		"/proc/self/fd/0",
		"/tmp/a/../b",
		"nowhere",
		"/proc/1/status",
		"/dev/tty",
	};

	switch (draw() % 16) {
	case 0:
	case 1:
	case 2:
		return draw() % 16;
	case 3:
		return odd[draw() % (sizeof(odd) / sizeof(odd[0]))];
	case 4:
	case 5:
	case 6:
		return (uintptr_t)writable + draw() % 8192;
	case 7:
		return (uintptr_t)writable + 16384 - draw() % 16;
	case 8:
		return (uintptr_t)readonly + draw() % 4096;
	case 9:
	case 10:
		return (uintptr_t)paths[draw() % (sizeof(paths) / sizeof(paths[0]))];
	case 11:
		return 1ull << draw() % 64;
	case 12:
		return draw() % 8192;
	case 13:
		return -(draw() % 4096);
	case 14:
		return draw() & draw();
	default:
		return draw();
	}
}

static void child_run(uint64_t seed)
{
	struct rlimit files = { 64, 64 }, memory = { 256 << 20, 256 << 20 };
	int fds[2];

	state = seed;
	alarm(2);
	setpgid(0, 0);
	setrlimit(RLIMIT_NOFILE, &files);
	setrlimit(RLIMIT_AS, &memory);
	setrlimit(RLIMIT_FSIZE, &memory);
	if (pipe(fds) || socketpair(AF_UNIX, SOCK_STREAM, 0, fds))
		_exit(1);
	open("/tmp/a", O_RDWR | O_CREAT, 0600);
	open("/tmp", O_RDONLY | O_DIRECTORY);
	memfd_create("x", 0);
	/* Not as root: it may change the parent's scheduling, memory, terminal. */
	if (setgid(65534) || setuid(65534))
		_exit(1);
	for (int i = 0; i < CALLS_PER_CHILD; i++) {
		long nr = (long)(draw() % NR_CALLS);

		for (int j = 0; j < 64; j++)
			writable[draw() % 16384] = (char)draw();
		if (is_excluded(nr))
			continue;
		syscall(nr, draw_argument(), draw_argument(), draw_argument(), draw_argument(),
			draw_argument(), draw_argument());
	}
	_exit(0);
}

static int last_child_works(void)
{
	int status;
	pid_t pid = fork();

	if (pid == 0)
		_exit(42);
	return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) &&
	       WEXITSTATUS(status) == 42;
}

static struct child {
	pid_t pid;
	time_t started;
} children[NR_CHILDREN];

/* Starts, kills or reaps one child; 0 when there is none and none is to be started. */
static int child_step(struct child *c, int more, uint64_t seed, unsigned long *runs)
{
	if (c->pid > 0) {
		if (waitpid(c->pid, NULL, WNOHANG) == c->pid)
			c->pid = 0;
		else if (time(NULL) > c->started + SECONDS_PER_CHILD)
			kill(c->pid, SIGKILL);
		return 1;
	}
	if (!more)
		return 0;
	*runs += 1;
	c->started = time(NULL);
	c->pid = fork();
	if (c->pid == 0) {
		int null = open("/dev/null", O_RDWR);

		dup2(null, 0);
		dup2(null, 1);
		dup2(null, 2);
		child_run(seed + *runs * 0x9e3779b97f4a7c15ull);
	}
	return 1;
}

int main(int argc, char **argv)
{
	time_t end = time(NULL) + (argc > 1 ? atoi(argv[1]) : 20);
	uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 0) : (uint64_t)time(NULL);
	unsigned long runs = 0;

	printf("seed %#llx\n", (unsigned long long)seed);
	fflush(stdout);
	writable = mmap(NULL, 16384 + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			0);
	munmap(writable + 16384, 4096);
	readonly = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	signal(SIGHUP, SIG_IGN);
	for (int left = 1; left;) {
		left = 0;
		for (int i = 0; i < NR_CHILDREN; i++)
			left += child_step(&children[i], time(NULL) < end, seed, &runs);
		usleep(10000);
	}
	printf("%lu children\n", runs);
	if (!last_child_works()) {
		printf("the kernel no longer starts a child\n");
		return 1;
	}
	return 0;
}
