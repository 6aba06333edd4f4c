/*
 * Pairs of operations that commute, done on two processors: tools/plugin/
 * conflict.c sees which cache lines of the kernel both touch.  Prints the name
 * of each pair once it is done, or why it was not:
 *
 *	name TAB ok
 *	name TAB - TAB why
 *
 * Usage: pairs [-l] [NAME]    (-l: only lists the names; NAME: part of one)
 *
 * Each side runs in a process of its own, or in a thread of a common one, on
 * its own processor: it prepares, does some operations to warm up, waits for
 * the other, and does its operations between two marks.
 */
#define SUITE "scale"
#include "bench.h"

#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

enum { SIDES = 2, WARM = 200, MAX_SIDE_FDS = 2 };

struct side {
	unsigned number;
	char path[64];
	int fds[MAX_SIDE_FDS];
	char *memory; /* MEMORY_BYTES of its own, far from the other's */
	uint32_t word;
};

enum { MEMORY_BYTES = 8 << 20 };

struct pair {
	const char *name;
	bool threads; /* of one process */
	unsigned n;
	void (*prepare)(struct side *side);
	void (*run)(struct side *side, unsigned n);
};

/* What the sides share: user memory, of which the plugin takes no notice. */
struct meeting {
	uint32_t arrived[2];
	unsigned failed;
	char why[128];
};

static struct meeting *meeting;
static const struct pair *chosen;

static void fail(const char *what)
{
	if (!__atomic_exchange_n(&meeting->failed, 1, __ATOMIC_ACQ_REL))
		snprintf(meeting->why, sizeof(meeting->why), "%.80s: %s", what, strerror(errno));
}

#define TRY(call)                                                                                  \
	do {                                                                                       \
		if ((call) < 0) {                                                                  \
			fail(#call);                                                               \
			return;                                                                    \
		}                                                                                  \
	} while (0)

/* Sleeps until both are here: one that spun would use up the other's time. */
static void meet(unsigned stage)
{
	uint32_t *arrived = &meeting->arrived[stage];
	uint32_t now = __atomic_add_fetch(arrived, 1, __ATOMIC_ACQ_REL);

	if (now == SIDES)
		raw_syscall(__NR_futex, (long)arrived, FUTEX_WAKE, SIDES);
	for (; now < SIDES; now = __atomic_load_n(arrived, __ATOMIC_ACQUIRE))
		raw_syscall4(__NR_futex, (long)arrived, FUTEX_WAIT, now, 0);
}

/* ---- preparations */

static void none(struct side *side)
{
	(void)side;
}

static void own_file_in(struct side *side, const char *folder)
{
	static const char bytes[4096];
	int fd;

	mkdir(folder, 0755);
	snprintf(side->path, sizeof(side->path), "%s/file%u", folder, side->number);
	TRY(fd = open(side->path, O_RDWR | O_CREAT | O_TRUNC, 0644));
	TRY(write(fd, bytes, sizeof(bytes)));
	side->fds[0] = fd;
}

static void own_file(struct side *side)
{
	own_file_in(side, "/tmp/common");
}

static void own_folder(struct side *side)
{
	char folder[32];

	snprintf(folder, sizeof(folder), "/tmp/folder%u", side->number);
	own_file_in(side, folder);
}

static void same_file(struct side *side)
{
	own_file(side);
	snprintf(side->path, sizeof(side->path), "/tmp/common/file0");
	TRY(side->fds[0] = open(side->path, O_RDWR | O_CREAT, 0644));
}

static void own_pipe(struct side *side)
{
	TRY(pipe(side->fds));
}

static void own_sockets(struct side *side)
{
	TRY(socketpair(AF_UNIX, SOCK_STREAM, 0, side->fds));
}

static void own_eventfd(struct side *side)
{
	TRY(side->fds[0] = eventfd(1, EFD_NONBLOCK));
}

static void own_epoll(struct side *side)
{
	struct epoll_event event = { .events = EPOLLIN };

	own_eventfd(side);
	TRY(side->fds[1] = epoll_create1(0));
	TRY(epoll_ctl(side->fds[1], EPOLL_CTL_ADD, side->fds[0], &event));
}

static void own_memory(struct side *side)
{
	/* Far enough that no page table is common but the top one's. */
	char *at = (char *)0x200000000000 + (size_t)side->number * (1ul << 40);

	side->memory = mmap(at, MEMORY_BYTES, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	if (side->memory == MAP_FAILED)
		fail("mmap");
	else
		madvise(side->memory, MEMORY_BYTES, MADV_NOHUGEPAGE);
}

static void on_signal(int sig)
{
	(void)sig;
}

static void own_handler(struct side *side)
{
	(void)side;
	signal(SIGUSR1, on_signal);
}

/* ---- operations */

static void do_getpid(struct side *side, unsigned n)
{
	(void)side;
	for (unsigned i = 0; i < n; i++)
		raw_syscall(__NR_getpid, 0, 0, 0);
}

static void do_open(struct side *side, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		raw_syscall(__NR_close, raw_syscall(__NR_open, (long)side->path, O_RDONLY, 0), 0,
			    0);
}

static void do_stat(struct side *side, unsigned n)
{
	struct stat st;

	for (unsigned i = 0; i < n; i++)
		raw_syscall(__NR_stat, (long)side->path, (long)&st, 0);
}

static void do_fstat(struct side *side, unsigned n)
{
	struct stat st;

	for (unsigned i = 0; i < n; i++)
		raw_syscall(__NR_fstat, side->fds[0], (long)&st, 0);
}

static void do_pread(struct side *side, unsigned n)
{
	char bytes[64];

	for (unsigned i = 0; i < n; i++)
		raw_syscall4(__NR_pread64, side->fds[0], (long)bytes, sizeof(bytes),
			     2048 * side->number);
}

static void do_pwrite(struct side *side, unsigned n)
{
	char bytes[64] = "";

	for (unsigned i = 0; i < n; i++)
		raw_syscall4(__NR_pwrite64, side->fds[0], (long)bytes, sizeof(bytes), 0);
}

static void do_creat(struct side *side, unsigned n)
{
	char path[80];

	snprintf(path, sizeof(path), "%s-new", side->path);
	for (unsigned i = 0; i < n; i++) {
		raw_syscall(__NR_close, raw_syscall(__NR_open, (long)path, O_RDWR | O_CREAT, 0644),
			    0, 0);
		raw_syscall(__NR_unlink, (long)path, 0, 0);
	}
}

static void do_transfer(struct side *side, unsigned n)
{
	char byte = 0;

	for (unsigned i = 0; i < n; i++) {
		raw_syscall(__NR_write, side->fds[1], (long)&byte, 1);
		raw_syscall(__NR_read, side->fds[0], (long)&byte, 1);
	}
}

static void do_eventfd(struct side *side, unsigned n)
{
	uint64_t value = 1;

	for (unsigned i = 0; i < n; i++) {
		raw_syscall(__NR_read, side->fds[0], (long)&value, sizeof(value));
		raw_syscall(__NR_write, side->fds[0], (long)&value, sizeof(value));
	}
}

static void do_epoll(struct side *side, unsigned n)
{
	struct epoll_event event;

	for (unsigned i = 0; i < n; i++)
		raw_syscall4(__NR_epoll_wait, side->fds[1], (long)&event, 1, 0);
}

static void do_dup(struct side *side, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		raw_syscall(__NR_close, raw_syscall(__NR_dup, side->fds[0], 0, 0), 0, 0);
}

static void do_fork(struct side *side, unsigned n)
{
	(void)side;
	for (unsigned i = 0; i < n; i++) {
		long child = raw_syscall(__NR_fork, 0, 0, 0);

		if (!child)
			raw_syscall(__NR_exit_group, 0, 0, 0);
		TRY(child);
		raw_syscall4(__NR_wait4, child, 0, 0, 0);
	}
}

static void do_exec(struct side *side, unsigned n)
{
	static char *const arguments[] = { "/bench/child-static", NULL };

	(void)side;
	for (unsigned i = 0; i < n; i++) {
		pid_t child = vfork();

		if (!child) {
			execv(arguments[0], arguments);
			_exit(127);
		}
		TRY(child);
		raw_syscall4(__NR_wait4, child, 0, 0, 0);
	}
}

static void do_futex_wake(struct side *side, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		raw_syscall(__NR_futex, (long)&side->word, FUTEX_WAKE_PRIVATE, 1);
}

static void do_futex_wait(struct side *side, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		raw_syscall4(__NR_futex, (long)&side->word, FUTEX_WAIT_PRIVATE, 1, 0);
}

static void do_mmap(struct side *side, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		void *p = mmap(side->memory, 65536, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

		if (p == MAP_FAILED)
			fail("mmap");
		munmap(side->memory, 65536);
	}
}

static void do_mprotect(struct side *side, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		mprotect(side->memory, 65536, i & 1 ? PROT_READ | PROT_WRITE : PROT_READ);
}

static void do_fault(struct side *side, unsigned n)
{
	static unsigned next[SIDES];

	for (unsigned i = 0; i < n; i++, next[side->number]++)
		((volatile char *)side->memory)[next[side->number] * 4096ul % MEMORY_BYTES] = 1;
}

static void do_signal(struct side *side, unsigned n)
{
	long self = gettid(), group = getpid();

	(void)side;
	for (unsigned i = 0; i < n; i++)
		raw_syscall(__NR_tgkill, group, self, SIGUSR1);
}

static void do_yield(struct side *side, unsigned n)
{
	(void)side;
	for (unsigned i = 0; i < n; i++)
		raw_syscall(__NR_sched_yield, 0, 0, 0);
}

static void do_getrandom(struct side *side, unsigned n)
{
	char bytes[16];

	(void)side;
	for (unsigned i = 0; i < n; i++)
		raw_syscall(__NR_getrandom, (long)bytes, sizeof(bytes), 0);
}

static void do_getcwd(struct side *side, unsigned n)
{
	char path[256];

	(void)side;
	for (unsigned i = 0; i < n; i++)
		raw_syscall(__NR_getcwd, (long)path, sizeof(path), 0);
}

static const struct pair pairs[] = {
	{ "getpid, processes", false, 1000, none, do_getpid },
	{ "getpid, threads", true, 1000, none, do_getpid },
	{ "getcwd, processes", false, 500, none, do_getcwd },
	{ "getrandom, processes", false, 500, none, do_getrandom },
	{ "sched_yield, processes", false, 500, none, do_yield },
	{ "signal to self, processes", false, 300, own_handler, do_signal },
	{ "signal to self, threads", true, 300, own_handler, do_signal },
	{ "open+close: files of one folder", false, 300, own_file, do_open },
	{ "open+close: files of two folders", false, 300, own_folder, do_open },
	{ "open+close: one file", false, 300, same_file, do_open },
	{ "stat: files of one folder", false, 500, own_file, do_stat },
	{ "stat: one file", false, 500, same_file, do_stat },
	{ "fstat: one file", false, 500, same_file, do_fstat },
	{ "fstat: two files, threads", true, 500, own_file, do_fstat },
	{ "pread: two files", false, 500, own_file, do_pread },
	{ "pread: two files, threads", true, 500, own_file, do_pread },
	{ "pread: one file", false, 500, same_file, do_pread },
	{ "pwrite: two files", false, 500, own_file, do_pwrite },
	{ "creat+unlink: two folders", false, 200, own_folder, do_creat },
	{ "creat+unlink: one folder", false, 200, own_file, do_creat },
	{ "dup+close, processes", false, 500, own_file, do_dup },
	{ "pipes, processes", false, 300, own_pipe, do_transfer },
	{ "pipes, threads", true, 300, own_pipe, do_transfer },
	{ "unix sockets, processes", false, 300, own_sockets, do_transfer },
	{ "eventfds, processes", false, 300, own_eventfd, do_eventfd },
	{ "epoll_wait, processes", false, 300, own_epoll, do_epoll },
	{ "futex wake: two words, threads", true, 500, none, do_futex_wake },
	{ "futex wait: two words, threads", true, 500, none, do_futex_wait },
	{ "fault: processes", false, 500, own_memory, do_fault },
	{ "fault: two mappings, threads", true, 500, own_memory, do_fault },
	{ "mmap+munmap, processes", false, 200, own_memory, do_mmap },
	{ "mmap+munmap: two mappings, threads", true, 200, own_memory, do_mmap },
	{ "mprotect, processes", false, 200, own_memory, do_mprotect },
	{ "fork+exit+wait, processes", false, 50, none, do_fork },
	{ "vfork+exec+wait, processes", false, 20, none, do_exec },
};

static void mark_operations(unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		MARK(MARK_OPERATION);
}

static void *run_side(void *arg)
{
	struct side *side = arg;
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(side->number, &set);
	if (sched_setaffinity(0, sizeof(set), &set) < 0)
		fail("sched_setaffinity");
	chosen->prepare(side);
	if (!meeting->failed)
		chosen->run(side, WARM < chosen->n ? WARM : chosen->n);
	meet(0);
	if (!meeting->failed) {
		MARK(MARK_START);
		chosen->run(side, chosen->n);
		MARK(MARK_STOP);
		mark_operations(chosen->n);
	}
	meet(1);
	return NULL;
}

static struct side sides[SIDES];

static void run_threads(void)
{
	pthread_t threads[SIDES];

	for (unsigned i = 0; i < SIDES; i++)
		pthread_create(&threads[i], NULL, run_side, &sides[i]);
	for (unsigned i = 0; i < SIDES; i++)
		pthread_join(threads[i], NULL);
}

/* In processes of its own, so that it leaves nothing behind. */
static void run_pair(void)
{
	pid_t children[SIDES];
	unsigned nr = chosen->threads ? 1 : SIDES;

	for (unsigned i = 0; i < nr; i++) {
		children[i] = fork();
		if (!children[i]) {
			sides[0].number = i;
			sides[1].number = 1;
			if (chosen->threads)
				run_threads();
			else
				run_side(&sides[0]);
			_exit(0);
		}
	}
	for (unsigned i = 0; i < nr; i++)
		waitpid(children[i], NULL, 0);
	MARK(MARK_NEXT);
	if (meeting->failed)
		printf("%s\t-\t%s\n", chosen->name, meeting->why);
	else
		printf("%s\tok\n", chosen->name);
}

int main(int argc, char **argv)
{
	bool listing = argc > 1 && !strcmp(argv[1], "-l");
	const char *only = argc > 1 && !listing ? argv[1] : "";

	setvbuf(stdout, NULL, _IOLBF, 0);
	meeting = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	for (unsigned i = 0; i < sizeof(pairs) / sizeof(*pairs); i++) {
		chosen = &pairs[i];
		if (!strstr(chosen->name, only))
			continue;
		if (listing) {
			printf("%s\n", chosen->name);
			continue;
		}
		memset(meeting, 0, sizeof(*meeting));
		run_pair();
	}
	return 0;
}
