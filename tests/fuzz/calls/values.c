/* Which values mean something to which argument, and which calls no program makes. */
#include "calls.h"

#include <linux/capability.h>
#include <linux/fs.h>
#include <linux/futex.h>
#include <linux/ioprio.h>
#include <linux/openat2.h>
#include <linux/sched.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/xattr.h>
#include <termios.h>
#include <time.h>

struct known {
	const char *call; /* NULL: of every call */
	const char *arg;
	bool bits; /* any of them together */
	uint64_t list[22];
	unsigned nr;
};

#define COUNT(...) (sizeof((uint64_t[]){ __VA_ARGS__ }) / sizeof(uint64_t))
#define PICK(call, arg, ...)                                                                       \
	{                                                                                          \
		call, arg, false, { __VA_ARGS__ }, COUNT(__VA_ARGS__)                              \
	}
#define BITS(call, arg, ...)                                                                       \
	{                                                                                          \
		call, arg, true, { __VA_ARGS__ }, COUNT(__VA_ARGS__)                               \
	}

#define OPEN_FLAGS                                                                                 \
	O_WRONLY, O_RDWR, O_CREAT, O_CREAT, O_EXCL, O_TRUNC, O_APPEND, O_NONBLOCK, O_DIRECTORY,    \
		O_NOFOLLOW, O_CLOEXEC, O_PATH, O_NOATIME, O_NOCTTY, O_DIRECT, O_SYNC, O_TMPFILE,   \
		O_ASYNC, O_LARGEFILE
#define AT_FLAGS                                                                                   \
	AT_SYMLINK_NOFOLLOW, AT_EMPTY_PATH, AT_REMOVEDIR, AT_SYMLINK_FOLLOW, AT_NO_AUTOMOUNT
#define RWF_FLAGS RWF_HIPRI, RWF_DSYNC, RWF_SYNC, RWF_NOWAIT, RWF_APPEND, 0x20

static const struct known table[] = {
	BITS("open", "flags", OPEN_FLAGS),
	BITS("openat", "flags", OPEN_FLAGS),
	PICK("lseek", "whence", 0, 1, 2, SEEK_DATA, SEEK_HOLE, 5),
	BITS("mmap", "prot", PROT_READ, PROT_WRITE, PROT_EXEC, 0, PROT_GROWSDOWN),
	BITS("mmap", "flags", MAP_FIXED, MAP_FIXED, MAP_PRIVATE, MAP_SHARED, MAP_ANONYMOUS,
	     MAP_ANONYMOUS, MAP_NORESERVE, MAP_POPULATE, MAP_FIXED_NOREPLACE, MAP_LOCKED, MAP_STACK,
	     MAP_SYNC),
	BITS(NULL, "prot", PROT_READ, PROT_WRITE, PROT_EXEC, 0, PROT_GROWSDOWN, PROT_GROWSUP, 16),
	BITS("mremap", "flags", MREMAP_MAYMOVE, MREMAP_FIXED, MREMAP_DONTUNMAP),
	BITS("msync", "flags", MS_ASYNC, MS_SYNC, MS_INVALIDATE),
	PICK("madvise", "advice", 0, 1, 2, 3, 4, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20,
	     21, 22, 23, 24),
	PICK("fadvise64", "advice", 0, 1, 2, 3, 4, 5, 6),
	PICK("rt_sigprocmask", "how", 0, 1, 2, 3),
	PICK("access", "mode", 0, 1, 2, 3, 4, 5, 6, 7, 8),
	PICK("faccessat", "mode", 0, 1, 2, 3, 4, 5, 6, 7, 8),
	PICK("faccessat2", "mode", 0, 1, 2, 3, 4, 5, 6, 7, 8),
	BITS("faccessat2", "flags", AT_EACCESS, AT_FLAGS),
	PICK("getitimer", "which", 0, 1, 2, 3),
	PICK("setitimer", "which", 0, 0, 0, 3),
	PICK("alarm", "seconds", 0, 1000, 0xffffffff),
	PICK("socket", "family", AF_UNIX, AF_UNIX, AF_UNIX, 0, 47),
	PICK("socketpair", "family", AF_UNIX, AF_UNIX, AF_UNIX, 0, 47),
	PICK(NULL, "protocol", 0, 0, 0, 1, -1ul),
	PICK("socket", "type", SOCK_STREAM | SOCK_NONBLOCK, SOCK_DGRAM | SOCK_NONBLOCK,
	     SOCK_SEQPACKET | SOCK_NONBLOCK, SOCK_STREAM, SOCK_RAW, 6, SOCK_STREAM | SOCK_CLOEXEC,
	     0x100001),
	PICK("socketpair", "type", SOCK_STREAM | SOCK_NONBLOCK, SOCK_DGRAM | SOCK_NONBLOCK,
	     SOCK_SEQPACKET | SOCK_NONBLOCK, SOCK_STREAM, SOCK_RAW, 6, SOCK_STREAM | SOCK_CLOEXEC,
	     0x100001),
	BITS("sendto", "flags", MSG_DONTWAIT, MSG_NOSIGNAL, MSG_MORE, MSG_EOR, MSG_DONTROUTE),
	BITS("sendmsg", "flags", MSG_DONTWAIT, MSG_NOSIGNAL, MSG_MORE, MSG_EOR),
	BITS("sendmmsg", "flags", MSG_DONTWAIT, MSG_NOSIGNAL, MSG_MORE, MSG_EOR),
	BITS("recvfrom", "flags", MSG_DONTWAIT, MSG_PEEK, MSG_TRUNC, MSG_WAITALL, MSG_CMSG_CLOEXEC,
	     MSG_ERRQUEUE),
	BITS("recvmsg", "flags", MSG_DONTWAIT, MSG_PEEK, MSG_TRUNC, MSG_WAITALL, MSG_CMSG_CLOEXEC),
	BITS("recvmmsg", "flags", MSG_DONTWAIT, MSG_PEEK, MSG_TRUNC, MSG_WAITALL, MSG_WAITFORONE),
	PICK("shutdown", "how", 0, 1, 2, 3, -1ul),
	PICK("listen", "backlog", 0, 1, 5, -1ul, 100000),
	PICK("setsockopt", "level", SOL_SOCKET, SOL_SOCKET, SOL_SOCKET, 0, 6, 999),
	PICK("getsockopt", "level", SOL_SOCKET, SOL_SOCKET, SOL_SOCKET, 0, 6, 999),
	PICK("setsockopt", "option", SO_REUSEADDR, SO_TYPE, SO_ERROR, SO_SNDBUF, SO_RCVBUF,
	     SO_KEEPALIVE, SO_PASSCRED, SO_PEERCRED, SO_RCVTIMEO, SO_SNDTIMEO, SO_ACCEPTCONN,
	     SO_DOMAIN, SO_PROTOCOL, SO_LINGER, SO_BROADCAST, SO_RCVLOWAT, SO_PEEK_OFF, SO_PRIORITY,
	     999),
	PICK("getsockopt", "option", SO_REUSEADDR, SO_TYPE, SO_ERROR, SO_SNDBUF, SO_RCVBUF,
	     SO_KEEPALIVE, SO_PASSCRED, SO_PEERCRED, SO_RCVTIMEO, SO_SNDTIMEO, SO_ACCEPTCONN,
	     SO_DOMAIN, SO_PROTOCOL, SO_LINGER, SO_BROADCAST, SO_RCVLOWAT, SO_PEEK_OFF, SO_PRIORITY,
	     999),
	BITS("wait4", "options", WNOHANG, WNOHANG, WUNTRACED, WCONTINUED, __WALL, __WCLONE),
	BITS("waitid", "options", WNOHANG, WEXITED, WEXITED, WSTOPPED, WCONTINUED, WNOWAIT),
	PICK("waitid", "which", 0, 1, 2, 3, 4, -1ul),
	PICK("fcntl", "cmd", F_DUPFD, F_DUPFD_CLOEXEC, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_GETLK,
	     F_SETLK, F_GETOWN, F_SETOWN, F_GETSIG, F_SETSIG, F_GETPIPE_SZ, F_SETPIPE_SZ,
	     F_ADD_SEALS, F_GET_SEALS, F_OFD_GETLK, F_OFD_SETLK, F_GETOWN_EX, F_GETLEASE,
	     F_SETLEASE, 99),
	PICK("flock", "operation", 1 | 4, 2 | 4, 8, 8 | 4, 0, 3, 5 | 32, 64),
	PICK("getpriority", "which", 0, 1, 2, 3),
	PICK("setpriority", "which", 0, 1, 3),
	PICK("setpriority", "value", 0, 1, 5, 19, 20, -1ul, -20ul, -21ul),
	PICK(NULL, "policy", 0, 1, 2, 3, 5, 6, 7, -1ul, 0x40000000),
	PICK("prctl", "option", PR_SET_PDEATHSIG, PR_GET_PDEATHSIG, PR_GET_DUMPABLE,
	     PR_SET_DUMPABLE, PR_GET_KEEPCAPS, PR_SET_KEEPCAPS, PR_SET_NAME, PR_GET_NAME,
	     PR_CAPBSET_READ, PR_CAPBSET_DROP, PR_GET_SECUREBITS, PR_SET_SECUREBITS,
	     PR_GET_TIMERSLACK, PR_SET_TIMERSLACK, PR_SET_CHILD_SUBREAPER, PR_GET_CHILD_SUBREAPER,
	     PR_SET_NO_NEW_PRIVS, PR_GET_NO_NEW_PRIVS, PR_CAP_AMBIENT, 999),
	PICK("arch_prctl", "option", 0x1003, 0x1004, 0x1011, 0x3001, 0, 999),
	/* Not RLIMIT_CPU and RLIMIT_RTTIME: what ends a program when depends on the machine's speed. */
	PICK(NULL, "resource", 1, 4, 5, 7, 8, 10, 11, 12, 13, 14, 14, 16, -1ul),
	PICK("getrusage", "who", 0, 1, -1ul, -2ul),
	PICK("ioctl", "cmd", FIONREAD, FIONBIO, FIOCLEX, FIONCLEX, FIOASYNC, TCGETS, TIOCGWINSZ,
	     FIOQSIZE, TIOCSTI, FIOGETOWN, FIOSETOWN, SIOCATMARK, 0, 999),
	PICK("futex", "op", 0, 1, 3, 4, 5, 6, 7, 8, 9, 10, 128, 129, 131, 133, 137, 138, 256, 11,
	     12, 99),
	PICK("futex", "val", 0, 1, 2, 3),
	PICK("epoll_ctl", "op", 1, 2, 3, 1, 1, 0, 4),
	PICK(NULL, "timeout_ms", 0, 0, 0, 1),
	PICK(NULL, "max", 1, 2, 10, 0, -1ul, 0x10000000),
	BITS("timer_settime", "flags", TIMER_ABSTIME, 2),
	BITS("clock_nanosleep", "flags", TIMER_ABSTIME),
	BITS("timerfd_settime", "flags", 1, 2, 4),
	BITS("timerfd_create", "flags", TFD_NONBLOCK, TFD_CLOEXEC, 1),
	BITS("eventfd2", "flags", EFD_NONBLOCK, EFD_CLOEXEC, EFD_SEMAPHORE, 2),
	BITS("signalfd4", "flags", SFD_NONBLOCK, SFD_CLOEXEC, 1),
	BITS("epoll_create1", "flags", EPOLL_CLOEXEC, 1),
	BITS("inotify_init1", "flags", IN_NONBLOCK, IN_CLOEXEC, 1),
	BITS("inotify_add_watch", "mask", 0xfff, IN_ONLYDIR, IN_DONT_FOLLOW, IN_EXCL_UNLINK,
	     IN_MASK_ADD, IN_ONESHOT, IN_MASK_CREATE, IN_MODIFY, IN_CREATE),
	PICK("inotify_rm_watch", "wd", 1, 2, 3, 0, -1ul),
	BITS("dup3", "flags", O_CLOEXEC, 1),
	BITS("pipe2", "flags", O_CLOEXEC, O_NONBLOCK, O_NONBLOCK, O_DIRECT, 1),
	BITS("accept4", "flags", SOCK_NONBLOCK, SOCK_CLOEXEC, 1),
	BITS("memfd_create", "flags", MFD_CLOEXEC, MFD_ALLOW_SEALING, 32),
	BITS("fallocate", "mode", 1, 1, 2, 8, 16, 32, 64, 0),
	BITS("splice", "flags", 1, 2, 4, 8, 16),
	BITS("tee", "flags", 1, 2, 4, 8, 16),
	BITS("vmsplice", "flags", 1, 2, 4, 8, 16),
	PICK("copy_file_range", "flags", 0, 0, 0, 1),
	BITS("sync_file_range", "flags", 1, 2, 4, 8),
	BITS("renameat2", "flags", 1, 2, 4, 8),
	BITS("unlinkat", "flags", AT_REMOVEDIR, AT_SYMLINK_NOFOLLOW),
	BITS("linkat", "flags", AT_SYMLINK_FOLLOW, AT_EMPTY_PATH, 1),
	BITS("utimensat", "flags", AT_FLAGS),
	BITS("fchownat", "flags", AT_FLAGS),
	BITS("newfstatat", "flags", AT_FLAGS),
	BITS("fchmodat2", "flags", AT_FLAGS),
	BITS("statx", "flags", AT_FLAGS, AT_STATX_FORCE_SYNC, AT_STATX_DONT_SYNC),
	PICK("statx", "mask", STATX_BASIC_STATS, STATX_ALL, 0, STATX_SIZE, STATX__RESERVED),
	BITS("preadv2", "flags", RWF_FLAGS),
	BITS("pwritev2", "flags", RWF_FLAGS),
	BITS("setxattr", "flags", 1, 2, 4),
	BITS("lsetxattr", "flags", 1, 2, 4),
	BITS("fsetxattr", "flags", 1, 2, 4),
	BITS("close_range", "flags", 2, 4, 8),
	PICK("close_range", "first", 30, 20, 14, 63, -1ul),
	PICK("close_range", "last", 30, 40, 63, -1ul, 5),
	PICK("openat2", "size", 24, 24, 24, 23, 32, 0, 5000),
	PICK("membarrier", "cmd", 0, 1, 2, 4, 8, 16, 32, 64, 128, 999),
	PICK("membarrier", "flags", 0, 0, 1),
	PICK("personality", "persona", 0xffffffff, 0, 0x0040000, 8),
	BITS("getrandom", "flags", 1, 2, 4, 8),
	BITS("mlockall", "flags", 1, 2, 4, 8),
	BITS("mlock2", "flags", 1, 2),
	PICK("kcmp", "type", 0, 1, 2, 3, 4, 5, 6, 7, 99),
	PICK("process_madvise", "advice", 20, 21, 4, 999),
	PICK("sched_setattr", "flags", 0, 0, 1),
	PICK("sched_getattr", "size", 48, 56, 47, 100, 0, 5000),
	PICK("sched_getattr", "flags", 0, 0, 1),
	PICK("ioprio_set", "which", 1, 2, 3, 0),
	PICK("ioprio_get", "which", 1, 2, 0),
	PICK(NULL, "who", 0, 0, 99999999),
	PICK("ioprio_set", "prio", 0, 0x4000, 0x4007, 0x4008, 0x6000, 0x2000, 0x8000, 5),
	BITS("pidfd_open", "flags", O_NONBLOCK, 1),
	PICK("pidfd_send_signal", "flags", 0, 0, 1),
	PICK("pidfd_getfd", "flags", 0, 0, 1),
	PICK("set_robust_list", "len", 24, 23),
	PICK(NULL, "set_size", 8, 8, 8, 8, 8, 8, 4, 16),
	PICK("eventfd", "count", 0, 1, 5, 0xffffffff),
	PICK("eventfd2", "count", 0, 1, 5, 0xffffffff),
	PICK(NULL, "nfds", 4, 8, 8, 16, 0, -1ul, 65),
	PICK("epoll_create", "size", 1, 0, -1ul, 5),
	PICK("timer_settime", "timer", 0, 1, 2, -1ul),
	PICK("timer_gettime", "timer", 0, 1, 2, -1ul),
	PICK("timer_getoverrun", "timer", 0, 1, 2, -1ul),
	PICK("timer_delete", "timer", 0, 1, 2, -1ul),
	PICK(NULL, "nr", 1, 2, 3, 4, 0, 8, 1025, -1ul),
	PICK("process_madvise", "nr", 1, 2, 0),
	PICK("mknod", "dev", 0x103, 0x105, 0, 0x999),
	PICK("mknodat", "dev", 0x103, 0x105, 0, 0x999),
	PICK("fcntl", "arg", 0, 1, 2, 20, 63, 64, O_NONBLOCK, O_APPEND, O_NONBLOCK | O_APPEND,
	     O_ASYNC, 4096, 65536, 1 << 20, (1 << 20) + 1, 8, 15, ARENA + 2 * SLOT_SIZE,
	     ARENA + 2 * SLOT_SIZE, ARENA + 2 * SLOT_SIZE, ARENA + 2 * SLOT_SIZE, -1ul),
	PICK("ioctl", "arg", ARENA + 2 * SLOT_SIZE, ARENA + 2 * SLOT_SIZE, 0, 1, UNMAPPED),
	PICK("prctl", "arg2", 0, 1, 2, 9, 40, 41, 63, 64, ARENA + SLOT_SIZE, ARENA + SLOT_SIZE,
	     UNMAPPED, -1ul, 3, 4),
	PICK("prctl", "arg3", 0, 0, 0, 1, 40),
	PICK("prctl", "arg4", 0, 0, 0, 1),
	PICK("prctl", "arg5", 0, 0, 0, 1),
	PICK("arch_prctl", "arg", 0, 1, ARENA + SLOT_SIZE, UNMAPPED),
	PICK("futex", "timeout", ARENA + 3 * SLOT_SIZE, ARENA + 3 * SLOT_SIZE, 1, UNMAPPED),
	PICK(NULL, "pos_high", 0, 0, 0, 1, -1ul),
	PICK(NULL, "pos_low", 0, 0, 10, 1000, 5000, -1ul),
	PICK(NULL, "addr_len", 2, 3, 10, 16, 110, 111, 0, -1ul, 128),
	PICK("bind", "len", 2, 3, 10, 16, 110, 111, 0, -1ul, 128),
	PICK("connect", "len", 2, 3, 10, 16, 110, 111, 0, -1ul, 128),
	PICK("setsockopt", "len", 4, 4, 4, 16, 16, 0, 3, -1ul, 8),
	PICK("spawn", "status", 0, 1, 255, 256),
	PICK("sched_setaffinity", "len", 8, 4, 0, 128, 7),
	PICK("sched_getaffinity", "len", 8, 4, 0, 128, 7, 16),
};

bool draw_known_value(const struct call *c, int arg, uint64_t *value)
{
	const struct known *found = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		const struct known *k = &table[i];

		if (strcmp(k->arg, c->args[arg].name) || (k->call && strcmp(k->call, c->name)))
			continue;
		if (!found || k->call)
			found = k;
	}
	if (!found)
		return false;
	*value = 0;
	if (!found->bits) {
		*value = found->list[random_below(found->nr)];
		return true;
	}
	for (uint64_t n = random_below(4); n > 0; n--)
		*value |= found->list[random_below(found->nr)];
	return true;
}

/*
 * Left out: what ends or leaves the program, what changes the machine for those
 * that follow, and what two kernels need not agree on.
 */
static const char *const left_out[] = {
	"exit",
	"exit_group",
	"fork",
	"vfork",
	"clone",
	"clone3",
	"execve",
	"execveat",
	"rt_sigreturn",
	"restart_syscall",
	"ptrace",
	"seccomp",
	"reboot",
	"vhangup",
	"pause",
	"rt_sigsuspend",
	"mount",
	"umount2",
	"pivot_root",
	"move_mount",
	"open_tree",
	"fsopen",
	"fsmount",
	"fsconfig",
	"fspick",
	"mount_setattr",
	"setns",
	"unshare",
	"swapon",
	"swapoff",
	"acct",
	"quotactl",
	"quotactl_fd",
	"init_module",
	"finit_module",
	"delete_module",
	"kexec_load",
	"kexec_file_load",
	"sethostname",
	"setdomainname",
	"settimeofday",
	"clock_settime",
	"adjtimex",
	"clock_adjtime",
	"iopl",
	"ioperm",
	"modify_ldt",
	"bpf",
	"perf_event_open",
	"userfaultfd",
	"uselib",
	"sysfs",
	"ustat",
	"fanotify_init",
	"fanotify_mark",
	"add_key",
	"request_key",
	"keyctl",
	"landlock_create_ruleset",
	"landlock_add_rule",
	"landlock_restrict_self",
	"io_uring_setup",
	"io_uring_enter",
	"io_uring_register",
	"name_to_handle_at",
	"open_by_handle_at",
	"lookup_dcookie",
	"process_mrelease",
	"set_tid_address",
	"set_robust_list",
	"rseq",
	"shmget",
	"shmat",
	"shmctl",
	"shmdt",
	"semget",
	"semop",
	"semctl",
	"semtimedop",
	"msgget",
	"msgsnd",
	"msgrcv",
	"msgctl",
	"mq_open",
	"mq_unlink",
	"process_vm_readv",
	"process_vm_writev",
	"memfd_secret",
	"syslog",
	"fchmodat2", /* newer than the reference */
};

/* Those, and what the kernel under test has not, as tools/fuzz_calls.py found. */
bool call_is_left_out(const struct call *c)
{
	static const char *const missing[] = {
#include "missing.h"
		"",
	};

	for (size_t i = 0; i < ARRAY_SIZE(left_out); i++)
		if (!strcmp(c->name, left_out[i]))
			return true;
	for (size_t i = 0; i < ARRAY_SIZE(missing); i++)
		if (!strcmp(c->name, missing[i]))
			return true;
	return false;
}
