#include "../test.h"
#include <linux/futex.h>
#include <linux/ioprio.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>

/* Which of several faults a call tells: what random calls found to differ from Linux. */

#define UNCONNECTED	socket(AF_UNIX, SOCK_STREAM, 0)

static int ends[2];

static void need_pipe(void)
{
	CHECK_OK(pipe2(ends, O_NONBLOCK));
}

TEST(the_numbers_of_a_pair_are_written_first)
{
	int two[2] = { -1, -1 };

	CHECK_ERR(socketpair(47, SOCK_STREAM, 0, two), EAFNOSUPPORT);
	CHECK(two[0] >= 0 && two[1] == two[0] + 1);
	CHECK_ERR(fcntl(two[0], F_GETFD), EBADF);
	CHECK_ERR(socketpair(47, SOCK_STREAM, 0, WILD), EFAULT);
}

TEST(vectors)
{
	char byte;
	struct iovec v = { &byte, 1 };
	int file;

	need_pipe();
	test_make_file("f", "text");
	file = CHECK_OK(open("f", O_RDONLY));
	CHECK_ERR(pwritev(ends[0], &v, 1, 0), ESPIPE);
	CHECK_ERR(writev(ends[0], &v, 1), EBADF);
	CHECK_ERR(preadv2(ends[0], &v, 1, 0, 0x4000), ESPIPE);
	CHECK_ERR(preadv2(file, &v, 1, 0, 0x4000), EOPNOTSUPP);
	CHECK_EQ(preadv2(file, &v, 0, 0, 0x4000), 0);
	CHECK_EQ(preadv2(file, &v, 1, 0, RWF_APPEND), 1);
	CHECK_ERR(pread(ends[1], WILDK, 1, 0), ESPIPE);
}

TEST(copies_between_files)
{
	off_t at = 0, negative = -1;
	struct iovec none = { NULL, 0 };
	int file, null = CHECK_OK(open("/dev/null", O_RDWR));

	need_pipe();
	test_make_file("f", "text");
	file = CHECK_OK(open("f", O_RDWR));
	CHECK_ERR(sendfile(99, ends[0], &at, 1), ESPIPE);
	CHECK_ERR(sendfile(99, 98, WILD, 1), EFAULT);
	CHECK_ERR(sendfile(99, file, &negative, 1), EINVAL);
	CHECK_ERR(sendfile(99, file, &at, 1), EBADF);
	CHECK_EQ(splice(98, NULL, 99, NULL, 0, 0x100), 0);
	CHECK_ERR(splice(ends[0], &at, file, WILD, 1, 0), ESPIPE);
	CHECK_ERR(splice(file, &at, file, NULL, 1, 0), EINVAL);
	CHECK_ERR(splice(file, &negative, ends[1], NULL, 1, 0), EINVAL);
	CHECK_EQ(tee(98, 99, 0, 0), 0);
	CHECK_EQ(vmsplice(null, &none, 1, 0), 0);
}

TEST(opening_what_ends_in_a_slash)
{
	test_make_file("f", "");
	CHECK_OK(symlink("f", "l"));
	CHECK_ERR(open("f/", O_CREAT | O_WRONLY, 0644), EISDIR);
	CHECK_ERR(open("l/", O_CREAT | O_WRONLY, 0644), EISDIR);
	CHECK_ERR(open("new/", O_CREAT | O_WRONLY, 0644), EISDIR);
	CHECK_ERR(open("f/x/", O_CREAT | O_WRONLY, 0644), ENOTDIR);
	CHECK_ERR(open("no/x/", O_CREAT | O_WRONLY, 0644), ENOENT);
	CHECK_ERR(open("l/", O_WRONLY), ENOTDIR);
}

TEST(information_of_a_kind_nobody_knows)
{
	struct {
		siginfo_t info;
	} x;

	memset(&x, 0, sizeof(x));
	x.info.si_code = -70;
	CHECK_OK(syscall(SYS_rt_sigqueueinfo, getpid(), 0, &x));
	((char *)&x)[127] = 1;
	CHECK_ERR(syscall(SYS_rt_sigqueueinfo, getpid(), 0, &x), E2BIG);
	CHECK_ERR(syscall(SYS_rt_tgsigqueueinfo, 0, 0, 0, &x), E2BIG);
	x.info.si_code = SI_QUEUE;
	CHECK_OK(syscall(SYS_rt_sigqueueinfo, getpid(), 0, &x));
	CHECK_ERR(syscall(SYS_rt_tgsigqueueinfo, 0, getpid(), 0, &x), EINVAL);
	CHECK_ERR(syscall(SYS_pidfd_send_signal, 99, 99, NULL, 0), EBADF);
}

TEST(the_old_stack_has_no_holes)
{
	unsigned char old[sizeof(stack_t)];

	memset(old, 0xff, sizeof(old));
	CHECK_OK(syscall(SYS_sigaltstack, NULL, old));
	for (int i = 12; i < 16; i++)
		CHECK_EQ(old[i], 0);
}

TEST(null_and_order)
{
	struct timespec bad[2] = { { 0, -5 }, { 0, 0 } };
	struct timespec negative = { -1, 0 };

	CHECK_ERR(syscall(SYS_timer_settime, 12345, 0, NULL, NULL), EINVAL);
	CHECK_ERR(syscall(SYS_getrlimit, RLIMIT_NOFILE, NULL), EFAULT);
	CHECK_ERR(utimensat(AT_FDCWD, "no", bad, 0), ENOENT);
	CHECK_ERR(utimensat(AT_FDCWD, ".", bad, 0), EINVAL);
	CHECK_ERR(inotify_add_watch(0, "no", IN_MODIFY), EINVAL);
	CHECK_ERR(syscall(SYS_recvmmsg, 0, NULL, 1, 0, &negative), EINVAL);
	CHECK_ERR(mmap(NULL, 4096, PROT_READ, 0, UNCONNECTED, 0), EINVAL);
	CHECK_ERR(syscall(SYS_ioprio_set, 9, 0, 0x9000), EINVAL);
}

TEST(the_io_priority_that_counts)
{
	pid_t pid;

	CHILD(pid) {
		CHECK_OK(setpgid(0, 0));
		CHECK_OK(setpriority(PRIO_PROCESS, 0, 10));
		CHECK_EQ(syscall(SYS_ioprio_get, IOPRIO_WHO_PGRP, 0),
			 IOPRIO_PRIO_VALUE(IOPRIO_CLASS_BE, 6));
	}
	CHECK_EXIT(pid, 0);
}

TEST(only_stopped_children_are_asked_for)
{
	siginfo_t info;
	pid_t pid;

	CHILD(pid)
		_exit(0);
	CHECK_OK(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT));
	CHECK_ERR(waitid(P_ALL, 0, &info, WNOHANG | WSTOPPED), ECHILD);
	CHECK_OK(setpgid(pid, pid));
	CHECK_EXIT(pid, 0);
	CHECK_ERR(setpgid(pid, pid), ESRCH);
}

TEST(moving_what_is_not_there)
{
	char *p = CHECK_OK(mmap(NULL, 8 * 4096, PROT_READ,
				MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	unsigned char there[8] = { 7, 7, 7, 7, 7, 7, 7, 7 };

	CHECK_OK(munmap(p + 4 * 4096, 4 * 4096));
	CHECK_ERR(mremap(p + 5 * 4096, 4096 * 2, 4096, 0), EFAULT);
	CHECK_ERR(mincore(p + 3 * 4096, 8192, there), ENOMEM);
	CHECK(there[0] != 7 && there[1] == 7);
	CHECK_ERR(madvise(p + 3 * 4096, 8192, 22 /* MADV_POPULATE_READ */), ENOMEM);
	CHECK_OK(syscall(SYS_mlock, p, -1ul));
}

TEST(flags_before_names)
{
	CHECK_ERR(syscall(SYS_renameat2, AT_FDCWD, WILD, AT_FDCWD, WILD, 0x80), EINVAL);
	CHECK_ERR(linkat(AT_FDCWD, WILD, AT_FDCWD, WILD, 1), EINVAL);
	CHECK_ERR(unlinkat(AT_FDCWD, WILD, 1), EINVAL);
	CHECK_ERR(access(WILD, 8), EINVAL);
	CHECK_ERR(syscall(SYS_signalfd4, -1, WILD, 8, 3), EFAULT);
	CHECK_ERR(kill(99999999, 99), ESRCH);
	CHECK_ERR(syscall(SYS_tkill, 99999999, 99), ESRCH);
	CHECK_ERR(connect(0, NULL, -1), EINVAL);
	CHECK_ERR(accept4(-1, NULL, NULL, 1), EBADF);
	CHECK_ERR(accept4(0, NULL, NULL, 1), EINVAL);
	CHECK_ERR(syscall(SYS_copy_file_range, 0, NULL, 1, NULL, 1, 1), EINVAL);
}

TEST(files_without_places)
{
	int fd = CHECK_OK(eventfd(0, EFD_NONBLOCK)), two[2];
	char byte;

	CHECK_EQ(lseek(fd, 10, SEEK_SET), 0);
	CHECK_OK(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, two));
	CHECK_OK(shutdown(two[0], SHUT_RD));
	CHECK_ERR(read(two[0], &byte, 1), EAGAIN);
	CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, two));
	CHECK_OK(shutdown(two[0], SHUT_RD));
	CHECK_EQ(read(two[0], &byte, 1), 0);
}

TEST(attributes_of_the_scheduler)
{
	struct {
		uint32_t size, policy;
		uint64_t flags;
		int32_t nice;
		uint32_t priority;
		uint64_t more[3];
	} a = { .size = 48, .policy = SCHED_OTHER, .nice = 30 }, got;
	pid_t pid;

	CHILD(pid) {
		CHECK_OK(syscall(SYS_sched_setattr, 0, &a, 0));
		CHECK_OK(syscall(SYS_sched_getattr, 0, &got, sizeof(got), 0));
		CHECK_EQ(got.nice, 19);
		a.policy = SCHED_IDLE;
		a.nice = 3;
		CHECK_OK(syscall(SYS_sched_setattr, 0, &a, 0));
		CHECK_EQ(syscall(SYS_getpriority, 0, 0), 20 - 19);
		a.size = 1;
		CHECK_ERR(syscall(SYS_sched_setattr, 0, &a, 0), E2BIG);
		CHECK(a.size >= 48);
	}
	CHECK_EXIT(pid, 0);
}

TEST(one_file_renamed_to_itself)
{
	pid_t pid;

	test_make_file("f", "");
	CHECK_OK(link("f", "g"));
	if (geteuid() == 0)
		CHECK_OK(chmod(".", 0755));
	CHILD(pid) {
		if (geteuid() == 0)
			CHECK_OK(setresuid(65534, 65534, 65534));
		CHECK_OK(rename("f", "g"));
		CHECK_OK(access("f", F_OK));
	}
	CHECK_EXIT(pid, 0);
	CHECK_ERR(inotify_add_watch(-1, "f", 1u << 20), EINVAL);
}

TEST(counts_and_ranges)
{
	char *p = CHECK_OK(mmap(NULL, 4 * 4096, PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	int dir = CHECK_OK(open(".", O_RDONLY)), file;

	CHECK_ERR(syscall(SYS_getdents64, dir, p, 0x80000000u), EINVAL);
	CHECK_ERR(syscall(SYS_getdents, dir, p, 0xffffffffu), EINVAL);
	CHECK(syscall(SYS_getdents64, dir, p, 0x7fffffffu) > 0);
	CHECK_OK(syscall(SYS_msync, -4096ul, -1ul, MS_INVALIDATE));
	CHECK_ERR(syscall(SYS_msync, -4096ul, 4096, MS_INVALIDATE), ENOMEM);
	CHECK_ERR(syscall(SYS_poll, WILDK, 0, 0), EFAULT);
	CHECK_OK(mprotect(p + 8192, 4096, PROT_NONE));
	CHECK_OK(syscall(SYS_mlock, p, 8192));
	CHECK_ERR(syscall(SYS_mlock, p + 4096, 8192), ENOMEM);
	CHECK_ERR(syscall(SYS_mlock2, p + 8192, 4096, 0), ENOMEM);
	CHECK_OK(syscall(SYS_mlock2, p + 8192, 4096, MLOCK_ONFAULT));
	test_make_file("f", "text");
	file = CHECK_OK(open("f", O_RDWR));
	CHECK_ERR(syscall(SYS_munlock, -4096ul, INT64_MAX), EINVAL);
	CHECK_EQ(lseek(file, 2, SEEK_SET), 2);
	CHECK_ERR(lseek(file, INT64_MAX, SEEK_CUR), EINVAL);
	CHECK_ERR(lseek(file, INT64_MAX, SEEK_END), EINVAL);
	CHECK_ERR(lseek(file, INT64_MIN, SEEK_END), EINVAL);
}

TEST(a_futex_operation_that_is_not_there)
{
	uint32_t word[2] = { 0 };

	/* The words come first. */
	CHECK_ERR(syscall(SYS_futex, word, FUTEX_WAKE_OP, 1, NULL, (char *)word + 1, -1), EINVAL);
	CHECK_ERR(syscall(SYS_futex, word, FUTEX_WAKE_OP, 1, NULL, word + 1, -1), ENOSYS);
	CHECK_ERR(syscall(SYS_futex, (char *)word + 1, 99, 1, NULL, NULL, 0), ENOSYS);
}

TEST(times_of_what_has_no_name)
{
	struct timespec times[2] = { { 5, 0 }, { 6, 0 } };
	int file;

	test_make_file("f", "");
	file = CHECK_OK(open("f", O_RDONLY));
	CHECK_ERR(syscall(SYS_utimensat, AT_FDCWD, NULL, times, AT_EMPTY_PATH), EFAULT);
	CHECK_ERR(syscall(SYS_utimensat, AT_FDCWD, NULL, times, 0), EFAULT);
	CHECK_ERR(syscall(SYS_utimensat, file, NULL, times, AT_SYMLINK_NOFOLLOW), EINVAL);
	CHECK_OK(syscall(SYS_utimensat, file, NULL, times, 0));
	CHECK_ERR(syscall(SYS_utimes, NULL, NULL), EFAULT);
	CHECK_ERR(syscall(SYS_futimesat, AT_FDCWD, NULL, NULL), EFAULT);
	CHECK_OK(syscall(SYS_futimesat, file, NULL, NULL));
}

TEST(files_that_nothing_can_be_moved_into)
{
	int event = CHECK_OK(eventfd(0, EFD_NONBLOCK)), file, dir;
	off_t at = 0, end = 16;

	need_pipe();
	test_make_file("f", "0123456789abcdef");
	file = CHECK_OK(open("f", O_RDONLY));
	dir = CHECK_OK(open(".", O_RDONLY));
	CHECK_ERR(sendfile(event, file, &at, 8), EINVAL);
	CHECK_EQ(at, 0);
	CHECK_EQ(sendfile(event, file, &end, 8), 0);
	CHECK_EQ(write(ends[1], "01234567", 8), 8);
	CHECK_ERR(splice(ends[0], NULL, event, NULL, 8, SPLICE_F_NONBLOCK), EINVAL);
	CHECK_ERR(splice(event, NULL, ends[1], NULL, 8, SPLICE_F_NONBLOCK), EINVAL);
	CHECK_ERR(splice(dir, NULL, ends[1], NULL, 8, SPLICE_F_NONBLOCK), EINVAL);
}

TEST(flags_that_a_file_cannot_have)
{
	int sv[2], event = CHECK_OK(eventfd(0, 0));

	need_pipe();
	CHECK_OK(mkfifo("p", 0666));
	CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, sv));
	CHECK_ERR(fcntl(sv[0], F_SETFL, O_DIRECT | O_NONBLOCK), EINVAL);
	CHECK_EQ(fcntl(sv[0], F_GETFL), O_RDWR);
	CHECK_ERR(fcntl(event, F_SETFL, O_DIRECT), EINVAL);
	CHECK_OK(fcntl(ends[1], F_SETFL, O_DIRECT));
	CHECK_ERR(open("p", O_ACCMODE), EINVAL);
}

/* A connection that there is no number for stays until there is. */
TEST(accepting_without_a_number)
{
	struct sockaddr_un name = { AF_UNIX, "s" };
	struct rlimit r = { 0, 64 };
	int server = CHECK_OK(UNCONNECTED), client = CHECK_OK(UNCONNECTED), fd;

	CHECK_OK(bind(server, (void *)&name, sizeof(name)));
	CHECK_OK(listen(server, 5));
	CHECK_OK(connect(client, (void *)&name, sizeof(name)));
	CHECK_OK(fcntl(server, F_SETFL, O_NONBLOCK));
	need_pipe();
	CHECK_OK(setrlimit(RLIMIT_NOFILE, &r));
	CHECK_ERR(accept(server, NULL, NULL), EMFILE);
	CHECK_ERR(accept(ends[0], NULL, NULL), EMFILE);
	CHECK_ERR(accept4(ends[0], NULL, NULL, 1), EINVAL);
	r.rlim_cur = 64;
	CHECK_OK(setrlimit(RLIMIT_NOFILE, &r));
	CHECK_ERR(accept(ends[0], NULL, NULL), ENOTSOCK);
	fd = CHECK_OK(accept(server, NULL, NULL));
	CHECK_ERR(accept(server, NULL, NULL), EAGAIN);
	CHECK_EQ(write(client, "x", 1), 1);
	CHECK_EQ(read(fd, &name, sizeof(name)), 1);
}

TEST(options_of_levels_that_are_not_there)
{
	int s = UNCONNECTED, value = 1;
	socklen_t negative = (socklen_t)-1, len = 1;

	CHECK_ERR(getsockopt(s, IPPROTO_TCP, 1, WILD, WILD), EOPNOTSUPP);
	CHECK_ERR(getsockopt(s, 999, 1, WILD, &negative), EOPNOTSUPP);
	CHECK_ERR(setsockopt(s, IPPROTO_TCP, 1, WILD, 4), EOPNOTSUPP);
	CHECK_ERR(setsockopt(s, IPPROTO_TCP, 1, &value, (socklen_t)-1), EINVAL);
	CHECK_ERR(setsockopt(0, IPPROTO_TCP, 1, &value, 4), ENOTSOCK);
	CHECK_ERR(getsockopt(s, SOL_SOCKET, SO_TYPE, &value, WILD), EFAULT);
	CHECK_ERR(getsockopt(s, SOL_SOCKET, 999, &value, &negative), EINVAL);
	CHECK_ERR(getsockopt(s, SOL_SOCKET, 999, WILD, &len), ENOPROTOOPT);
	CHECK_ERR(setsockopt(s, SOL_SOCKET, 999, &value, 2), EINVAL);
	CHECK_ERR(setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, WILD, 8), EFAULT);
	CHECK_ERR(setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &value, 4), EINVAL);
	CHECK_ERR(ioctl(CHECK_OK(socket(AF_UNIX, SOCK_DGRAM, 0)), SIOCATMARK, WILD), EOPNOTSUPP);
}

TEST(no_descriptor_at_all)
{
	struct rlimit none = { 0, 64 };
	int two[2];

	need_pipe();
	CHECK_OK(setrlimit(RLIMIT_NOFILE, &none));
	CHECK_ERR(pipe2(two, O_DIRECT), EMFILE);
	CHECK_ERR(dup(0), EMFILE);
	CHECK_ERR(fcntl(0, F_DUPFD, 0), EINVAL);
	CHECK_ERR(open(".", O_RDONLY), EMFILE);
}

/* A group is walked from its newest process on. */
TEST(the_priorities_of_a_group)
{
	siginfo_t info;
	pid_t pid, child;

	if (geteuid() != 0)
		SKIP("needs root");
	CHILD(pid) {
		struct rlimit low = { 0, 0 };

		CHECK_OK(setpgid(0, 0));
		CHECK_OK(setrlimit(RLIMIT_NICE, &low));
		CHILD(child)
			_exit(0);
		CHECK_OK(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT));
		CHECK_OK(setresuid(0, 1000, 0));
		/* What counts is whether the other's real user is one of the caller's. */
		CHECK_OK(syscall(SYS_ioprio_set, IOPRIO_WHO_PGRP, 0, 0x6000));
		CHECK_OK(setresuid(1000, 1000, 1000));
		CHECK_ERR(setpriority(PRIO_PGRP, 0, -20), EACCES);
		CHECK_ERR(setpriority(PRIO_PROCESS, child, -20), EPERM);
		CHECK_ERR(syscall(SYS_ioprio_set, IOPRIO_WHO_PGRP, 0, 0x4007), EPERM);
		CHECK_EQ(syscall(SYS_ioprio_get, IOPRIO_WHO_PROCESS, 0), 0x6000);
	}
	CHECK_EXIT(pid, 0);
}

TEST(advice_that_a_mapping_cannot_take)
{
	char *p = CHECK_OK(mmap(NULL, 4 * 4096, PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));

	p[0] = 1;
	CHECK_OK(syscall(SYS_mlock, p, 4096));
	CHECK_ERR(madvise(p, 4096, MADV_DONTNEED), EINVAL);
	CHECK_EQ(p[0], 1);
	if (madvise(p, 4096, 24 /* MADV_DONTNEED_LOCKED */) < 0)
		SKIP("a kernel older than the advice");
	CHECK_EQ(p[0], 0);
	CHECK_OK(mprotect(p + 4096, 4096, PROT_READ));
	CHECK_OK(mprotect(p + 8192, 4096, PROT_NONE));
	CHECK_OK(madvise(p, 8192, 22 /* MADV_POPULATE_READ */));
	CHECK_OK(madvise(p, 4096, 23 /* MADV_POPULATE_WRITE */));
	CHECK_ERR(madvise(p, 8192, 23), EINVAL);
	CHECK_ERR(madvise(p + 8192, 4096, 22), EINVAL);
}
