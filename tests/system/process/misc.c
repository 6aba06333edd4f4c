#include "../test.h"
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/times.h>

TEST(names)
{
	char name[32];

	CHECK_OK(prctl(PR_SET_NAME, "a very long program name"));
	CHECK_OK(prctl(PR_GET_NAME, name));
	CHECK_STR(name, "a very long pro");
	CHECK_ERR(prctl(PR_SET_NAME, WILD), EFAULT);
	CHECK_ERR(prctl(PR_GET_NAME, WILD), EFAULT);
	CHECK_ERR(prctl(12345, 0, 0, 0, 0), EINVAL);
	CHECK_ERR(prctl(-1, 0, 0, 0, 0), EINVAL);
}

TEST(dumpable_and_slack)
{
	CHECK_EQ(prctl(PR_GET_DUMPABLE), 1);
	CHECK_OK(prctl(PR_SET_DUMPABLE, 0));
	CHECK_EQ(prctl(PR_GET_DUMPABLE), 0);
	CHECK_ERR(prctl(PR_SET_DUMPABLE, 2), EINVAL);
	CHECK_EQ(prctl(PR_GET_TIMERSLACK), 50000);
	CHECK_OK(prctl(PR_SET_TIMERSLACK, 1000));
	CHECK_EQ(prctl(PR_GET_TIMERSLACK), 1000);
	CHECK_OK(prctl(PR_SET_TIMERSLACK, 0));
	CHECK_EQ(prctl(PR_GET_TIMERSLACK), 50000);
}

TEST(personality_call)
{
	int old = personality(0xffffffff);

	CHECK_EQ(old & 0xff, PER_LINUX);
	CHECK_EQ(personality((unsigned)old | ADDR_NO_RANDOMIZE), old);
	CHECK_EQ(personality(0xffffffff), old | ADDR_NO_RANDOMIZE);
}

TEST(arch_prctl_call)
{
	unsigned long fs = 0, self;

	__asm__("mov %%fs:0, %0" : "=r"(self));
	CHECK_OK(syscall(SYS_arch_prctl, 0x1003, &fs));
	CHECK_EQ(fs, self);
	CHECK_ERR(syscall(SYS_arch_prctl, 0x1003, WILD), EFAULT);
	CHECK_OK(syscall(SYS_arch_prctl, 0x1001, 0x12345000ul));
	CHECK_OK(syscall(SYS_arch_prctl, 0x1004, &fs));
	CHECK_EQ(fs, 0x12345000);
	CHECK_ERR(syscall(SYS_arch_prctl, 0x1001, 0xffff800000000000ul),
		  EPERM);
	CHECK_ERR(syscall(SYS_arch_prctl, 0x9999, 0), EINVAL);
}

TEST(times_call)
{
	struct tms before, after;
	clock_t start = times(&before), now;
	pid_t pid;

	CHECK(start != -1);
	CHILD(pid) {
		do {
			times(&after);
		} while (after.tms_utime + after.tms_stime < 3);
	}
	CHECK_EXIT(pid, 0);
	now = times(&after);
	CHECK(now >= start + 2);
	CHECK(after.tms_cutime + after.tms_cstime >=
	      before.tms_cutime + before.tms_cstime + 2);
	CHECK_ERR(syscall(SYS_times, WILD), EFAULT);
	CHECK_OK(syscall(SYS_times, NULL));
}

TEST(usage_counts_faults_and_switches)
{
	struct rusage before, after;
	int ends[2], back[2];
	pid_t pid;
	char c, *p;

	CHECK_OK(getrusage(RUSAGE_SELF, &before));
	p = CHECK_OK(mmap(NULL, 64 << 12, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	madvise(p, 64 << 12, MADV_NOHUGEPAGE);
	for (int i = 0; i < 64; i++)
		p[i << 12] = 1;
	CHECK_OK(getrusage(RUSAGE_SELF, &after));
	CHECK(after.ru_minflt > before.ru_minflt);
	CHECK_OK(pipe(ends));
	CHECK_OK(pipe(back));
	CHILD(pid)
		for (int i = 0; i < 20; i++) {
			CHECK_EQ(read(ends[0], &c, 1), 1);
			CHECK_EQ(write(back[1], &c, 1), 1);
		}
	for (int i = 0; i < 20; i++) {
		CHECK_EQ(write(ends[1], "x", 1), 1);
		CHECK_EQ(read(back[0], &c, 1), 1);
	}
	CHECK_EXIT(pid, 0);
	CHECK_OK(getrusage(RUSAGE_SELF, &after));
	CHECK(after.ru_nvcsw > before.ru_nvcsw);
	CHECK_OK(getrusage(RUSAGE_THREAD, &after));
}

TEST(exit_codes)
{
	pid_t pid;

	for (int code = 0; code < 256; code += 51) {
		CHILD(pid)
			_exit(code);
		CHECK_EXIT(pid, code);
	}
	CHILD(pid)
		syscall(SYS_exit, 0x1ff);
	CHECK_EXIT(pid, 255);
	CHILD(pid)
		abort();
	CHECK_KILLED(pid, SIGABRT);
}

TEST(own_ids)
{
	CHECK(getpid() > 0 && getppid() > 0);
	CHECK_EQ(syscall(SYS_getpid), getpid());
	CHECK_EQ(getuid(), syscall(SYS_getuid));
}
