#include "../test.h"
#include <grp.h>
#include <sys/resource.h>

/*
 * Random calls with random arguments, by children without privilege.  The
 * seed comes from TEST_SEED and the number of children from TEST_ROUNDS, so
 * that a long run is the same program.  The test is that the parent lives to
 * tell.
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

static uint64_t state;

static uint64_t random_bits(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

static char *area;	/* valid memory for pointers to point into */
#define AREA	65536ul

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
	limit(RLIMIT_NPROC, 1);
	if (geteuid() == 0 &&
	    (setgroups(0, NULL) < 0 || setresgid(65534, 65534, 65534) < 0 ||
	     setresuid(65534, 65534, 65534) < 0))
		_exit(1);
	alarm(2);
}

static void run_calls(int count)
{
	prepare();
	for (int i = 0; i < count; i++) {
		int number = (int)(random_bits() >> 20) % 452;
		unsigned long a = argument(), b = argument(), c = argument();
		unsigned long d = argument(), e = argument(), f = argument();

		if (number < 0 || is_left_out(number))
			continue;
		syscall(number, a, b, c, d, e, f);
	}
	syscall(SYS_exit_group, 0);
}

static long from_environment(const char *name, long otherwise)
{
	const char *value = getenv(name);

	return value ? atol(value) : otherwise;
}

TEST_TIMED(random_calls, 1000)
{
	long seed = from_environment("TEST_SEED", 1);
	long rounds = from_environment("TEST_ROUNDS", 60);
	int64_t limit_ns;
	pid_t pid;

	CHECK_OK(chmod(".", 0777));
	for (long i = 0; i < rounds; i++) {
		state = (uint64_t)(seed + i) * 0x9e3779b97f4a7c15 + 1;
		CHILD(pid)
			run_calls(150);
		/* One that sleeps too long is killed: it must go then. */
		limit_ns = test_now_ns() + 30000000;
		while (waitpid(pid, NULL, WNOHANG) == 0) {
			if (test_now_ns() > limit_ns) {
				CHECK_OK(kill(pid, SIGKILL));
				CHECK_EQ(waitpid(pid, NULL, 0), pid);
				break;
			}
			usleep(500);
		}
		while (waitpid(-1, NULL, WNOHANG) > 0)
			continue;
	}
	/* Still of sound mind. */
	CHILD(pid)
		_exit(5);
	CHECK_EXIT(pid, 5);
}
