/*
 * /proc/nos/leaks, of debug kernels: "mark" written remembers what the kernel
 * has in use; a read shows what is in use beyond that, a line each, and is
 * empty when there is none (mm/leak.c).  With the boot option debug.leaks the
 * same file is there as leaks_at_end, for init.
 */
#ifdef DEBUG

#include <nos/init.h>
#include <nos/leak.h>
#include <nos/log.h>
#include <nos/page_cache.h>
#include <nos/stock.h>
#include <nos/thread.h>
#include <nos/timer.h>

#include "proc.h"

#define PATIENCE_NS (2000 * NSEC_PER_MSEC)
#define PAUSE_NS (10 * NSEC_PER_MSEC)

static void drop_all(void)
{
	page_cache_reclaim(U64_MAX);
	while (dentry_reclaim(U64_MAX) || dentry_reclaim(U64_MAX))
		;
	stock_drain_all();
	leak_settle();
}

static void pause(void)
{
	thread_set_state(THREAD_KILLABLE);
	thread_block_until(clock_monotonic_ns() + PAUSE_NS);
}

static ssize_t store_leaks(const char *text, size_t len, void *arg)
{
	if (strncmp(text, "mark", 4) != 0)
		return -EINVAL;
	/* What has just ended is still being taken apart by others. */
	drop_all();
	pause();
	drop_all();
	leak_mark();
	return (ssize_t)len;
}

static void show_line(void *out, const char *line)
{
	text_printf(out, "%s\n", line);
}

static int show_leaks(struct text_out *out, void *arg)
{
	u64 end = clock_monotonic_ns() + PATIENCE_NS;

	for (;;) {
		drop_all();
		if (!leak_find(NULL, NULL))
			return 0;
		if (clock_monotonic_ns() >= end || fatal_signal_is_pending())
			break;
		pause();
	}
	leak_find(show_line, out);
	return 0;
}
PSEUDO_FILE(leaks_file, .path = "proc/nos/leaks", .mode = 0600, .show = show_leaks,
	    .store = store_leaks);

static int leaks_init(void)
{
	static const struct pseudo_file at_end = {
		.path = "proc/nos/leaks_at_end",
		.mode = 0600,
		.show = show_leaks,
		.store = store_leaks,
	};

	return boot_option("debug.leaks") ? pseudo_file_register(&at_end) : 0;
}
INIT_STEP(INIT_FS, leaks_init);

#endif
