/* Memory in pieces of 2 MiB (mm/huge.c, mm/huge_file.c): the policy of the system, and figures. */
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

/* How readily a file in memory takes 2 MiB at a time. */
enum huge_file {
	HUGE_FILE_ALWAYS,
	HUGE_FILE_WITHIN_SIZE, /* those that its size covers; others as with ADVISE */
	HUGE_FILE_ADVISE, /* for faults in mappings with MADV_HUGEPAGE */
	HUGE_FILE_NEVER,
	/* of the system alone: */
	HUGE_FILE_DENY, /* no file does */
	HUGE_FILE_FORCE, /* every file always does */
	/* of a file alone: */
	HUGE_FILE_SYSTEM, /* as the system says */
};
/* The name that mount(8) and sysfs have for it, NULL: there is none; and back, or -EINVAL. */
const char *huge_file_name(enum huge_file mode);
int huge_file_parse(const char *name, size_t len) __must_check;
/* Files are going to be of this mode: 0, or -EINVAL where opt.huge_pages=off. */
int huge_file_allow(enum huge_file mode) __must_check;
/* shmem_enabled. */
enum huge_file huge_file_system_get(void);
int huge_file_system_set(enum huge_file mode) __must_check;

struct huge_stats {
	u64 mapped, file_mapped; /* entries that map 2 MiB, of anonymous memory and of files */
	u64 faults, fallbacks; /* that brought 2 MiB; that wanted to, but found none */
	u64 file_blocks; /* 2 MiB that files have */
	u64 file_allocs, file_fallbacks; /* how often they were brought; found none */
	u64 file_maps; /* faults that mapped them by one entry */
	u64 splits; /* entries that became a table of small ones */
};
void huge_stats_read(struct huge_stats *s);
