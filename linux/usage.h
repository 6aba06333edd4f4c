/* struct rusage for the calls that give one. */
#pragma once

#include <nos/process.h>
#include <nos/uaccess.h>

#include <linux/resource.h>

static inline int usage_to_user(void __user *to, const struct usage *u)
{
	struct rusage r = {
		.ru_utime = { (s64)(u->user_ns / NSEC_PER_SEC),
			      (s64)(u->user_ns % NSEC_PER_SEC / NSEC_PER_USEC) },
		.ru_stime = { (s64)(u->system_ns / NSEC_PER_SEC),
			      (s64)(u->system_ns % NSEC_PER_SEC / NSEC_PER_USEC) },
		.ru_maxrss = (long)u->max_rss_kb,
		.ru_minflt = (long)u->faults_minor,
		.ru_majflt = (long)u->faults_major,
		.ru_inblock = (long)u->in_blocks,
		.ru_oublock = (long)u->out_blocks,
		.ru_nvcsw = (long)u->switches_voluntary,
		.ru_nivcsw = (long)u->switches_involuntary,
	};

	return copy_to_user(to, &r, sizeof(r)) ? -EFAULT : 0;
}
