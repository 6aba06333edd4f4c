#include "../test.h"
#include <sched.h>
#include <sys/resource.h>

TEST(affinity)
{
	cpu_set_t set, one;
	int cpu;
	long bytes;
	unsigned long word[16] = {};

	CHECK_OK(sched_getaffinity(0, sizeof(set), &set));
	CHECK(CPU_COUNT(&set) >= 1);
	bytes = CHECK_OK(syscall(SYS_sched_getaffinity, 0, sizeof(word),
				 word));
	CHECK(bytes > 0 && bytes % 8 == 0);
	CHECK_ERR(syscall(SYS_sched_getaffinity, 0, 3, word), EINVAL);
	CHECK_ERR(syscall(SYS_sched_getaffinity, 0, 128, WILD), EFAULT);
	CHECK_ERR(syscall(SYS_sched_getaffinity, 999999, 128, word), ESRCH);
	for (cpu = 0; !CPU_ISSET(cpu, &set); cpu++)
		continue;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	CHECK_OK(sched_setaffinity(0, sizeof(one), &one));
	CHECK_EQ(sched_getcpu(), cpu);
	CHECK_OK(sched_getaffinity(0, sizeof(one), &one));
	CHECK_EQ(CPU_COUNT(&one), 1);
	CHECK_OK(sched_setaffinity(0, sizeof(set), &set));
	CPU_ZERO(&one);
	CHECK_ERR(sched_setaffinity(0, sizeof(one), &one), EINVAL);
	CHECK_ERR(syscall(SYS_sched_setaffinity, 0, 128, WILD), EFAULT);
}

TEST(affinity_is_inherited)
{
	cpu_set_t set, one;
	pid_t pid;
	int last = 0;

	CHECK_OK(sched_getaffinity(0, sizeof(set), &set));
	for (int i = 0; i < CPU_SETSIZE; i++)
		if (CPU_ISSET(i, &set))
			last = i;
	CPU_ZERO(&one);
	CPU_SET(last, &one);
	CHECK_OK(sched_setaffinity(0, sizeof(one), &one));
	CHILD(pid) {
		CHECK_OK(sched_getaffinity(0, sizeof(set), &set));
		CHECK(CPU_EQUAL(&set, &one));
		CHECK_EQ(sched_getcpu(), last);
	}
	CHECK_EXIT(pid, 0);
}

TEST(policies)
{
	struct sched_param p = {};
	struct timespec t;

	CHECK_EQ(sched_getscheduler(0), SCHED_OTHER);
	CHECK_OK(sched_getparam(0, &p));
	CHECK_EQ(p.sched_priority, 0);
	CHECK_OK(sched_setscheduler(0, SCHED_BATCH, &p));
	CHECK_EQ(sched_getscheduler(0), SCHED_BATCH);
	CHECK_OK(sched_setscheduler(0, SCHED_OTHER, &p));
	if (geteuid() == 0)
		CHECK_OK(sched_setscheduler(0, SCHED_IDLE, &p));
	CHECK_OK(sched_setscheduler(0, sched_getscheduler(0), &p));
	p.sched_priority = 1;
	CHECK_ERR(sched_setscheduler(0, SCHED_OTHER, &p), EINVAL);
	CHECK_ERR(sched_setscheduler(0, 99, &p), EINVAL);
	CHECK_ERR(sched_setscheduler(999999, SCHED_OTHER, &p), ESRCH);
	CHECK_ERR(sched_setscheduler(-1, SCHED_OTHER, &p), EINVAL);
	CHECK_ERR(sched_getscheduler(-1), EINVAL);
	CHECK_ERR(syscall(SYS_sched_getparam, 0, NULL), EINVAL);
	CHECK_ERR(syscall(SYS_sched_setscheduler, 0, SCHED_OTHER, WILD),
		  EFAULT);
	CHECK_EQ(sched_get_priority_max(SCHED_FIFO), 99);
	CHECK_EQ(sched_get_priority_min(SCHED_RR), 1);
	CHECK_EQ(sched_get_priority_max(SCHED_OTHER), 0);
	CHECK_ERR(sched_get_priority_max(99), EINVAL);
	CHECK_OK(sched_rr_get_interval(0, &t));
	CHECK_OK(sched_yield());
}

TEST(real_time)
{
	struct sched_param p = { .sched_priority = 10 };
	pid_t pid;

	if (geteuid() != 0)
		SKIP("needs root");
	CHILD(pid) {
		CHECK_OK(sched_setscheduler(0, SCHED_FIFO, &p));
		CHECK_EQ(sched_getscheduler(0), SCHED_FIFO);
		p.sched_priority = 100;
		CHECK_ERR(sched_setparam(0, &p), EINVAL);
		p.sched_priority = 20;
		CHECK_OK(sched_setparam(0, &p));
		CHECK_OK(sched_setscheduler(0, SCHED_RR |
					    SCHED_RESET_ON_FORK, &p));
		CHECK_EQ(sched_getscheduler(0),
			 SCHED_RR | SCHED_RESET_ON_FORK);
		CHILD(pid)
			CHECK_EQ(sched_getscheduler(0), SCHED_OTHER);
		CHECK_EXIT(pid, 0);
	}
	CHECK_EXIT(pid, 0);
	CHILD(pid) {
		CHECK_OK(setrlimit(RLIMIT_RTPRIO, &(struct rlimit){}));
		CHECK_OK(setresuid(1000, 1000, 1000));
		CHECK_ERR(sched_setscheduler(0, SCHED_FIFO, &p), EPERM);
	}
	CHECK_EXIT(pid, 0);
}

struct attr {
	uint32_t size, policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime, deadline, period;
};

TEST(attributes)
{
	struct attr a = { .size = sizeof(a) };

	CHECK_OK(syscall(SYS_sched_getattr, 0, &a, sizeof(a), 0));
	CHECK_EQ(a.policy, SCHED_OTHER);
	CHECK_EQ(a.nice, 0);
	a = (struct attr){ .size = sizeof(a), .policy = SCHED_BATCH,
			   .nice = 5 };
	CHECK_OK(syscall(SYS_sched_setattr, 0, &a, 0));
	CHECK_EQ(getpriority(PRIO_PROCESS, 0), 5);
	CHECK_EQ(sched_getscheduler(0), SCHED_BATCH);
	CHECK_ERR(syscall(SYS_sched_setattr, 0, &a, 1), EINVAL);
	CHECK_ERR(syscall(SYS_sched_getattr, 0, &a, 10, 0), EINVAL);
	CHECK_ERR(syscall(SYS_sched_setattr, 0, WILD, 0), EFAULT);
	a.policy = 88;
	CHECK_ERR(syscall(SYS_sched_setattr, 0, &a, 0), EINVAL);
}

TEST(niceness)
{
	pid_t pid;

	CHECK_EQ(getpriority(PRIO_PROCESS, 0), 0);
	CHECK_EQ(syscall(SYS_getpriority, PRIO_PROCESS, 0), 20);
	CHILD(pid) {
		CHECK_EQ(nice(5), 5);
		CHECK_EQ(getpriority(PRIO_PROCESS, 0), 5);
		CHECK_OK(setpriority(PRIO_PROCESS, 0, 100));
		CHECK_EQ(getpriority(PRIO_PROCESS, 0), 19);
		if (geteuid() == 0)
			CHECK_OK(setresuid(1000, 1000, 1000));
		CHECK_OK(setrlimit(RLIMIT_NICE, &(struct rlimit){}));
		CHECK_ERR(setpriority(PRIO_PROCESS, 0, 3), EACCES);
		CHECK_ERR(nice(-1), EPERM);
		CHECK_ERR(setpriority(PRIO_PROCESS, 1, 3),
			  geteuid() == 0 ? 0 : EPERM);
	}
	CHECK_EXIT(pid, 0);
	CHECK_ERR(getpriority(PRIO_PROCESS, 999999), ESRCH);
	CHECK_ERR(getpriority(99, 0), EINVAL);
	CHECK_ERR(setpriority(99, 0, 1), EINVAL);
	CHECK_OK(setpriority(PRIO_PGRP, 0, 3));
	CHECK_EQ(getpriority(PRIO_PGRP, 0), 3);
	CHILD(pid)
		CHECK_EQ(getpriority(PRIO_PROCESS, 0), 3);
	CHECK_EXIT(pid, 0);
}
