/*
 * The vDSO: clock, time, CPU number and who one is, without entering the kernel.
 *
 * A shared object of one text page, mapped by exec; the page of struct vdso_data
 * lies right below it (symbol vvar_page), and below that the process's own
 * (vvar_process).  Its functions run in user mode on any stack, so they use no
 * global data and no relocations.
 *
 * The reader's half of the seqlock: sequence even, load, fence, sequence
 * unchanged.  On x86 loads are not reordered with loads, so compiler barriers
 * are enough; rdtsc is held back by lfence, or it could be read before the
 * parameters that it goes with.
 *
 * Version LINUX_2.6 has what Linux's vDSO has, NOS_1.0 what is ours: those
 * return what the system call would, a negative errno included, and make it where the
 * page says so, or changed while names were copied.  Nothing waits for the kernel.
 */
#include <nos/types.h>
#include <nos/vdso.h>

#include <asm/unistd.h>
#include <linux/time.h>

#define COARSE_RESOLUTION_NS 4000000

extern struct vdso_data vvar_page __attribute__((visibility("hidden")));
extern struct vdso_process vvar_process __attribute__((visibility("hidden")));

struct vdso_timespec {
	s64 seconds, nanoseconds;
};
struct vdso_timeval {
	s64 seconds, microseconds;
};
struct vdso_timezone {
	s32 minuteswest, dsttime;
};

int __vdso_clock_gettime(int clock, struct vdso_timespec *to);
int __vdso_clock_getres(int clock, struct vdso_timespec *to);
int __vdso_gettimeofday(struct vdso_timeval *to, struct vdso_timezone *zone);
s64 __vdso_time(s64 *to);
long __vdso_getcpu(u32 *cpu, u32 *node, void *unused);

long __vdso_nos_getpid(void);
long __vdso_nos_getppid(void);
long __vdso_nos_getpgrp(void);
long __vdso_nos_getsid(int pid);
long __vdso_nos_getuid(void);
long __vdso_nos_geteuid(void);
long __vdso_nos_getgid(void);
long __vdso_nos_getegid(void);
long __vdso_nos_uname(struct new_utsname *to);

static __always_inline long call2(long nr, long a, long b)
{
	long r;

	__asm__ volatile("syscall" : "=a"(r) : "a"(nr), "D"(a), "S"(b) : "rcx", "r11", "memory");
	return r;
}

static __always_inline u64 cycles_ordered(void)
{
	u32 lo, hi;

	__asm__ volatile("lfence; rdtsc" : "=a"(lo), "=d"(hi)::"memory");
	return lo | (u64)hi << 32;
}

/* Nanoseconds of CLOCK_MONOTONIC plus *offset, from one consistent state of the page. */
static __always_inline bool precise_ns(const u64 *offset, u64 *ns)
{
	const struct vdso_data *d = &vvar_page;
	u32 sequence;
	u64 value;

	do {
		sequence = READ_ONCE(d->sequence);
		barrier();
		if (unlikely(!d->tsc_usable))
			return false;
		value = cycles_ordered() - d->cycles_base;
		value = (u64)((unsigned __int128)value * d->mult >> (d->shift & 63));
		value += d->monotonic_ns + *offset;
		/* Finished before the second look at the sequence, which frees registers. */
		__asm__ volatile("" : "+r"(value)::"memory");
	} while (unlikely(sequence & 1 || READ_ONCE(d->sequence) != sequence));
	*ns = value;
	return true;
}

static __always_inline u64 coarse_ns(const u64 *offset)
{
	const struct vdso_data *d = &vvar_page;
	u32 sequence;
	u64 ns;

	do {
		sequence = READ_ONCE(d->sequence);
		barrier();
		ns = d->coarse_monotonic_ns + *offset;
		barrier();
	} while (unlikely(sequence & 1 || READ_ONCE(d->sequence) != sequence));
	return ns;
}

int __vdso_clock_gettime(int clock, struct vdso_timespec *to)
{
	const u64 *offset = &vvar_page.no_offset_ns;
	u64 ns;

	if (likely(clock == CLOCK_MONOTONIC || clock == CLOCK_MONOTONIC_RAW))
		goto precise;
	offset = &vvar_page.realtime_offset_ns;
	if (clock == CLOCK_REALTIME)
		goto precise;
	if (clock == CLOCK_REALTIME_COARSE || clock == CLOCK_MONOTONIC_COARSE) {
		ns = coarse_ns(clock == CLOCK_REALTIME_COARSE ? offset : &vvar_page.no_offset_ns);
		goto done;
	}
	offset = &vvar_page.boottime_offset_ns;
	if (clock == CLOCK_BOOTTIME) {
precise:
		if (precise_ns(offset, &ns))
			goto done;
	}
	return (int)call2(__NR_clock_gettime, clock, (long)to);
done:
	to->seconds = (s64)(ns / NSEC_PER_SEC);
	to->nanoseconds = (s64)(ns % NSEC_PER_SEC);
	return 0;
}

int __vdso_clock_getres(int clock, struct vdso_timespec *to)
{
	s64 resolution;

	switch (clock) {
	case CLOCK_REALTIME:
	case CLOCK_MONOTONIC:
	case CLOCK_MONOTONIC_RAW:
	case CLOCK_BOOTTIME:
		resolution = 1;
		break;
	case CLOCK_REALTIME_COARSE:
	case CLOCK_MONOTONIC_COARSE:
		resolution = COARSE_RESOLUTION_NS;
		break;
	default:
		return (int)call2(__NR_clock_getres, clock, (long)to);
	}
	if (to)
		*to = (struct vdso_timespec){ 0, resolution };
	return 0;
}

int __vdso_gettimeofday(struct vdso_timeval *to, struct vdso_timezone *zone)
{
	u64 ns;

	if (to) {
		if (!precise_ns(&vvar_page.realtime_offset_ns, &ns))
			return (int)call2(__NR_gettimeofday, (long)to, (long)zone);
		to->seconds = (s64)(ns / NSEC_PER_SEC);
		to->microseconds = (s64)(ns % NSEC_PER_SEC / 1000);
	}
	if (zone)
		*zone = (struct vdso_timezone){ vvar_page.tz_minuteswest, vvar_page.tz_dsttime };
	return 0;
}

s64 __vdso_time(s64 *to)
{
	s64 seconds = (s64)(coarse_ns(&vvar_page.realtime_offset_ns) / NSEC_PER_SEC);

	if (to)
		*to = seconds;
	return seconds;
}

/* The limit of descriptor 0x7b is cpu | node << 12, see descriptors.c. */
long __vdso_getcpu(u32 *cpu, u32 *node, void *unused)
{
	u32 limit;

	__asm__ volatile("lsl %1, %0" : "=r"(limit) : "r"(0x7b) : "cc");
	if (cpu)
		*cpu = limit & 0xfff;
	if (node)
		*node = limit >> 12;
	return 0;
}

/* ---- NOS_1.0 ---- */

static __always_inline long call1(long nr, long a)
{
	long r;

	__asm__ volatile("syscall" : "=a"(r) : "a"(nr), "D"(a) : "rcx", "r11", "memory");
	return r;
}

static __always_inline long answer(const u32 *value, u32 ask, long nr, long argument)
{
	u32 v = READ_ONCE(*value);

	return likely(v != ask) ? (long)v : call1(nr, argument);
}

long __vdso_nos_getpid(void)
{
	return answer(&vvar_process.pid, VDSO_ASK_PID, __NR_getpid, 0);
}

long __vdso_nos_getppid(void)
{
	return answer(&vvar_process.parent, VDSO_ASK_PID, __NR_getppid, 0);
}

long __vdso_nos_getpgrp(void)
{
	return answer(&vvar_process.group, VDSO_ASK_PID, __NR_getpgrp, 0);
}

long __vdso_nos_getsid(int pid)
{
	if (pid != 0)
		return call1(__NR_getsid, pid);
	return answer(&vvar_process.session, VDSO_ASK_PID, __NR_getsid, 0);
}

long __vdso_nos_getuid(void)
{
	return answer(&vvar_process.uid, VDSO_ASK_ID, __NR_getuid, 0);
}

long __vdso_nos_geteuid(void)
{
	return answer(&vvar_process.euid, VDSO_ASK_ID, __NR_geteuid, 0);
}

long __vdso_nos_getgid(void)
{
	return answer(&vvar_process.gid, VDSO_ASK_ID, __NR_getgid, 0);
}

long __vdso_nos_getegid(void)
{
	return answer(&vvar_process.egid, VDSO_ASK_ID, __NR_getegid, 0);
}

long __vdso_nos_uname(struct new_utsname *to)
{
	const struct vdso_process *p = &vvar_process;
	u32 sequence = READ_ONCE(p->names_sequence);
	const void *from = &p->names;
	void *at = to;
	u64 words = sizeof(*to) / 8;

	if (unlikely(sequence & 1))
		return call1(__NR_uname, (long)to);
	static_assert(sizeof(*to) % 8 == 6);
	__asm__ volatile("rep movsq; movsl; movsw"
			 : "+D"(at), "+S"(from), "+c"(words)
			 :
			 : "memory");
	if (unlikely(READ_ONCE(p->names_sequence) != sequence))
		return call1(__NR_uname, (long)to);
	return 0;
}

#define ALIAS(name, target) extern __typeof__(target) name __attribute__((weak, alias(#target)))
ALIAS(clock_gettime, __vdso_clock_gettime);
ALIAS(clock_getres, __vdso_clock_getres);
ALIAS(gettimeofday, __vdso_gettimeofday);
ALIAS(time, __vdso_time);
ALIAS(getcpu, __vdso_getcpu);
