/*
 * What the kernel writes and processes read without a call (S5): [vvar], two
 * pages just below [vdso].  The upper one is the same for all: one seqlock,
 * clock parameters, and facts that never change; core/clock.c is its only writer.
 * The lower one is each process's own (proc/kernel_page.c).
 */
#pragma once

#include <nos/types.h>

#include <linux/utsname.h>

struct vdso_data {
	u32 sequence; /* odd while being written */
	u32 tsc_usable; /* 0: the vDSO falls back to the system call */
	u64 cycles_base; /* cycle counter at the values below */
	u64 mult;
	u32 shift;
	u32 nr_cpus;
	u64 monotonic_ns; /* CLOCK_MONOTONIC at cycles_base */
	u64 no_offset_ns; /* always 0 */
	u64 realtime_offset_ns; /* realtime − monotonic */
	u64 boottime_offset_ns;
	u64 coarse_monotonic_ns; /* at the last tick */
	s32 tz_minuteswest, tz_dsttime;
};
extern struct vdso_data *vdso_data; /* kernel's writable alias; one page */

/* Each value is one word, read by one load; the names have a sequence. */
#define VDSO_ASK_PID 0u /* in place of a number: the kernel has to be asked */
#define VDSO_ASK_ID (~0u) /* in place of an id */
struct vdso_process {
	u32 pid, parent, group, session;
	u32 uid, euid, gid, egid;
	u32 names_sequence; /* odd: the kernel has to be asked */
	u32 unused[7];
	struct new_utsname names;
};
static_assert(sizeof(struct vdso_process) <= 4096 && offsetof(struct vdso_process, names) == 64);
/* The page that answers nothing; the clock's page follows it.  Process pages are mapped in its place. */
extern const struct vdso_process *const vdso_process_unknown;
#define VDSO_NR_VARIABLE_PAGES 2
