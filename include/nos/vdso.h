/*
 * The page that the kernel writes and every process reads (S5): one seqlock,
 * clock parameters, and facts that never change.  It is mapped read-only as
 * [vvar] just below [vdso].  core/clock.c is the only writer of the clock part.
 */
#pragma once

#include <nos/types.h>

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
