/* Anonymous memory in pieces of 2 MiB (mm/huge.c): the policy of the system, and figures. */
#pragma once

#include <nos/types.h>

enum huge_mode {
	HUGE_NEVER,
	HUGE_MADVISE, /* where MADV_HUGEPAGE asks for it */
	HUGE_ALWAYS, /* where MADV_NOHUGEPAGE does not speak against it */
};

/* NEVER for good where opt.huge_pages=off. */
enum huge_mode huge_mode_get(void);
int huge_mode_set(enum huge_mode mode) __must_check; /* -EINVAL: it is off */

struct huge_stats {
	u64 mapped; /* entries that map 2 MiB */
	u64 faults, fallbacks; /* that brought 2 MiB; that wanted to, but found none */
	u64 splits; /* entries that became a table of small ones */
};
void huge_stats_read(struct huge_stats *s);
