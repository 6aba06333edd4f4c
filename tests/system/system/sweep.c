#include "../test.h"

/*
 * Every system call with wild arguments.  Whatever it answers, the process
 * must come back from it, and the system go on.  Calls that would end, stop
 * or change more than the caller are left out.
 */
static const short left_out[] = {
	SYS_rt_sigreturn, SYS_exit, SYS_exit_group, SYS_pause, SYS_kill,
	SYS_tkill, SYS_tgkill, SYS_rt_sigqueueinfo, SYS_rt_tgsigqueueinfo,
	SYS_fork, SYS_vfork, SYS_clone, SYS_clone3, SYS_reboot, SYS_kexec_load,
	SYS_kexec_file_load, SYS_init_module, SYS_finit_module,
	SYS_delete_module, SYS_swapon, SYS_swapoff, SYS_mount, SYS_umount2,
	SYS_pivot_root, SYS_vhangup, SYS_syslog, SYS_iopl, SYS_ioperm,
	SYS_ptrace, SYS_acct, SYS_sync, SYS_syncfs, SYS_bpf, SYS_quotactl,
	SYS_settimeofday, SYS_clock_settime, SYS_adjtimex, SYS_clock_adjtime,
	SYS_sethostname, SYS_setdomainname, SYS_seccomp, SYS_setns,
	SYS_process_vm_writev, SYS_prlimit64, SYS_setrlimit,
	SYS_sched_setaffinity, SYS_setpriority, SYS_ioprio_set,
	SYS_poll, SYS_msgrcv,	/* may wait for long, rightly */
	335, 336,	/* traps of the kernel's own */
};

static bool is_left_out(int number)
{
	for (size_t i = 0; i < sizeof(left_out) / sizeof(*left_out); i++)
		if (left_out[i] == number)
			return true;
	return false;
}

static void call_wildly(int number)
{
	const unsigned long wild[] = {
		8, 0xffffffff81000000, 0x0000800000000000, 0x7ffffffffff8,
		~0ul, 0x800000000000000,
	};

	for (size_t i = 0; i < sizeof(wild) / sizeof(*wild); i++) {
		unsigned long w = wild[i];

		syscall(number, w, w, w, w, w, w);
		/* The first one a descriptor or a count, the rest wild. */
		syscall(number, 1000, w, 4096, w, 8, w);
		syscall(number, w, 64, w, 64, w, 64);
	}
}

TEST_TIMED(all_calls_survive, 60)
{
	int status;
	pid_t pid;

	for (int number = 0; number < 470; number++) {
		if (is_left_out(number))
			continue;
		CHILD(pid) {
			close(0);
			alarm(3);
			call_wildly(number);
			syscall(SYS_exit_group, 0);
		}
		CHECK_EQ(waitpid(pid, &status, 0), pid);
		/* A call may unmap the ground below or run out of time. */
		if (status != 0 && status != SIGSEGV && status != SIGBUS &&
		    status != SIGALRM && status != SIGSYS &&
		    !WIFEXITED(status))
			FAIL("call %d: status %#x", number, status);
	}
}

struct wild_call {
	const char *name;
	long number;
	int error;
	long a[6];
};

#define W	8
#define K	((long)0xffffffff81000000)

#define DIRECTORY	60

static const struct wild_call calls[] = {
	{ "pipe", SYS_pipe, EFAULT,
	  { W } },
	{ "uname", SYS_uname, EFAULT,
	  { K } },
	{ "getcwd", SYS_getcwd, EFAULT,
	  { K, 4096 } },
	{ "gettimeofday", SYS_gettimeofday, EFAULT,
	  { K } },
	{ "times", SYS_times, EFAULT,
	  { W } },
	{ "getrusage", SYS_getrusage, EFAULT,
	  { 0, K } },
	{ "sysinfo", SYS_sysinfo, EFAULT,
	  { W } },
	{ "nanosleep", SYS_nanosleep, EFAULT,
	  { K } },
	{ "readlink", SYS_readlink, EFAULT,
	  { W, W, 10 } },
	{ "mkdir", SYS_mkdir, EFAULT,
	  { K, 0755 } },
	{ "rmdir", SYS_rmdir, EFAULT,
	  { W } },
	{ "rename", SYS_rename, EFAULT,
	  { W, W } },
	{ "symlink", SYS_symlink, EFAULT,
	  { W, W } },
	{ "chmod", SYS_chmod, EFAULT,
	  { K, 0 } },
	{ "chown", SYS_chown, EFAULT,
	  { K, 0, 0 } },
	{ "getdents64", SYS_getdents64, EFAULT,
	  { DIRECTORY, K, 4096 } },
	{ "newfstatat", SYS_newfstatat, EFAULT,
	  { AT_FDCWD, W, W } },
	{ "utimensat", SYS_utimensat, EFAULT,
	  { AT_FDCWD, W, 0 } },
	{ "rt_sigaction", SYS_rt_sigaction, EFAULT,
	  { 10, K, 0, 8 } },
	{ "rt_sigprocmask", SYS_rt_sigprocmask, EFAULT,
	  { 0, K, 0, 8 } },
	{ "sigaltstack", SYS_sigaltstack, EFAULT,
	  { K } },
	{ "getitimer", SYS_getitimer, EFAULT,
	  { 0, K } },
	{ "clock_gettime", SYS_clock_gettime, EFAULT,
	  { 0, K } },
	{ "getresuid", SYS_getresuid, EFAULT,
	  { K, K, K } },
	{ "sched_getaffinity", SYS_sched_getaffinity, EFAULT,
	  { 0, 128, K } },
	{ "getrandom", SYS_getrandom, EFAULT,
	  { K, 10, 0 } },
	{ "prlimit64", SYS_prlimit64, EFAULT,
	  { 0, 7, 0, K } },
	{ "memfd_create", SYS_memfd_create, EFAULT,
	  { K, 0 } },
	{ "statx", SYS_statx, EFAULT,
	  { AT_FDCWD, K, 0, 0, K } },
	{ "execve", SYS_execve, EFAULT,
	  { K, 0, 0 } },
	{ "chdir", SYS_chdir, EFAULT,
	  { W } },
	{ "chroot", SYS_chroot, EFAULT,
	  { W } },
	{ "truncate", SYS_truncate, EFAULT,
	  { W, 0 } },
	{ "statfs", SYS_statfs, EFAULT,
	  { W, W } },
	{ "mknod", SYS_mknod, EFAULT,
	  { W, 0644, 0 } },
	{ "link", SYS_link, EFAULT,
	  { W, W } },
	{ "unlinkat", SYS_unlinkat, EFAULT,
	  { AT_FDCWD, K, 0 } },
	{ "openat", SYS_openat, EFAULT,
	  { AT_FDCWD, K, 0 } },
	{ "creat", SYS_creat, EFAULT,
	  { K, 0600 } },
	{ "faccessat", SYS_faccessat, EFAULT,
	  { AT_FDCWD, K, 0 } },
	{ "getxattr", SYS_getxattr, EFAULT,
	  { K, K, K, 10 } },
	{ "listxattr", SYS_listxattr, EFAULT,
	  { K, K, 10 } },
	{ "inotify", SYS_inotify_add_watch, EBADF,
	  { 999, W, 1 } },
	{ "timer_create", SYS_timer_create, EFAULT,
	  { 1, K, K } },
	{ "capget", SYS_capget, EFAULT,
	  { K, K } },
	{ "select", SYS_select, EFAULT,
	  { 10, K, 0, 0, 0 } },
	{ "poll", SYS_poll, EFAULT,
	  { K, 5, 0 } },
	{ "socketpair", SYS_socketpair, EFAULT,
	  { 1, 1, 0, K } },
	{ "sched_getparam", SYS_sched_getparam, EFAULT,
	  { 0, K } },
};

TEST(pointers_are_checked)
{
	int ends[2];

	CHECK_OK(dup2(CHECK_OK(open(".", O_RDONLY)), DIRECTORY));
	CHECK_OK(pipe(ends));
	for (size_t i = 0; i < sizeof(calls) / sizeof(*calls); i++) {
		const struct wild_call *c = &calls[i];
		long r;

		errno = 0;
		r = syscall(c->number, c->a[0], c->a[1], c->a[2], c->a[3], c->a[4],
			    c->a[5]);
		if (r != -1 || errno != c->error)
			FAIL("%s: %ld %s", c->name, r,
			     strerrorname_np(errno));
	}
	/* And nothing was left open by those that failed late. */
	CHECK_EQ(dup(0), ends[1] + 1);
}

TEST(out_pointers_into_read_only_memory)
{
	void *p = CHECK_OK(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE |
				MAP_ANONYMOUS, -1, 0));

	CHECK_ERR(syscall(SYS_uname, p), EFAULT);
	CHECK_ERR(syscall(SYS_stat, ".", p), EFAULT);
	CHECK_ERR(syscall(SYS_pipe, p), EFAULT);
	CHECK_ERR(syscall(SYS_getcwd, p, 4096), EFAULT);
	CHECK_ERR(syscall(SYS_sysinfo, p), EFAULT);
	CHECK_ERR(syscall(SYS_getrandom, p, 100, 0), EFAULT);
	CHECK_ERR(syscall(SYS_clock_getres, 0, p), EFAULT);
}
