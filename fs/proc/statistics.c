/*
 * /proc/nos: what the kernel counts of itself.
 *
 *	counters	one line each, always counted, but for the bytes of user
 *			copies: "on" and "off" switch these
 *	histograms	of two's powers; "on" starts from zero, "off" stops
 *	locks		who waited for mutexes and rwlocks; "on", "off" as above
 *	sections	debug kernels: the longest time without preemption, and in
 *			which calls it ended; "on", "off" as above
 *
 * What can be switched stands behind static keys.
 */
#include <nos/counter.h>
#include <nos/errno.h>
#include <nos/lock_stats.h>
#include <nos/pseudo.h>
#include <nos/section.h>
#include <nos/slab.h>
#include <nos/static_key.h>
#include <nos/string.h>
#include <nos/task.h>
#include <nos/thread.h>
#include <nos/uaccess.h>

#include <linux/capability.h>

typedef unsigned long long ull;

extern const struct counter_info __start_counters[] __weak, __stop_counters[] __weak;
extern const struct histogram_info __start_histograms[] __weak, __stop_histograms[] __weak;

static int show_counters(struct text_out *out, void *arg)
{
	for (const struct counter_info *c = __start_counters; c < __stop_counters; c++)
		text_printf(out, "%s %llu\n", c->name, (ull)counter_sum(c));
	return 0;
}
/* 1 = "on", 0 = "off", −errno. */
static int switch_of(const char *text, size_t len)
{
	size_t n = len && text[len - 1] == '\n' ? len - 1 : len;

	if (!capable(CAP_SYS_ADMIN))
		return -EPERM;
	if (n == 2 && !memcmp(text, "on", 2))
		return 1;
	return n == 3 && !memcmp(text, "off", 3) ? 0 : -EINVAL;
}

static ssize_t store_counters(const char *text, size_t len, void *arg)
{
	int on = switch_of(text, len);

	if (on < 0)
		return on;
	static_key_set(&user_copies_key, on);
	return (ssize_t)len;
}
PSEUDO_FILE(counters_file, .path = "proc/nos/counters", .mode = 0644, .show = show_counters,
	    .store = store_counters);

static int show_histograms(struct text_out *out, void *arg)
{
	for (const struct histogram_info *h = __start_histograms; h < __stop_histograms; h++) {
		u64 sums[HISTOGRAM_BUCKETS];

		histogram_sum(h, sums);
		for (unsigned n = 0; n < HISTOGRAM_BUCKETS; n++)
			if (sums[n])
				text_printf(out, "%s %llu %llu\n", h->name,
					    n ? 1ull << (n - 1) : 0ull, (ull)sums[n]);
	}
	return 0;
}

static ssize_t store_histograms(const char *text, size_t len, void *arg)
{
	int on = switch_of(text, len);

	if (on < 0)
		return on;
	if (on && !sched_latency_key.on)
		for (const struct histogram_info *h = __start_histograms; h < __stop_histograms;
		     h++)
			histogram_clear(h);
	static_key_set(&sched_latency_key, on);
	return (ssize_t)len;
}
PSEUDO_FILE(histograms_file, .path = "proc/nos/histograms", .mode = 0644, .show = show_histograms,
	    .store = store_histograms);

#define NR_SHOWN 64u

static int show_locks(struct text_out *out, void *arg)
{
	struct lock_site *sites = kmalloc(NR_SHOWN * sizeof(*sites), 0);
	unsigned nr;

	if (!sites)
		return -ENOMEM;
	nr = lock_stats_read(sites, NR_SHOWN);
	text_printf(out, "%-18s %10s %10s %14s %12s\n", "place", "waits", "sleeps", "total_ns",
		    "max_ns");
	for (unsigned i = 0; i < nr; i++)
		text_printf(out, "%016llx   %10llu %10llu %14llu %12llu\n", (ull)sites[i].at,
			    (ull)sites[i].waits, (ull)sites[i].sleeps, (ull)sites[i].total_ns,
			    (ull)sites[i].max_ns);
	if (lock_stats_lost())
		text_printf(out, "no room for %llu more\n", (ull)lock_stats_lost());
	kfree(sites);
	return 0;
}

static ssize_t store_locks(const char *text, size_t len, void *arg)
{
	int on = switch_of(text, len);

	if (on < 0)
		return on;
	if (on && !lock_stats_key.on)
		lock_stats_clear();
	static_key_set(&lock_stats_key, on);
	return (ssize_t)len;
}
PSEUDO_FILE(locks_file, .path = "proc/nos/locks", .mode = 0600, .show = show_locks,
	    .store = store_locks);

#ifdef DEBUG

static int show_sections(struct text_out *out, void *arg)
{
	struct section s;

	section_longest(&s);
	text_printf(out, "longest %llu\n", (ull)s.ticks);
	if (s.ticks)
		text_printf(out, "began %016llx\nended\n", (ull)s.begun_at);
	for (unsigned i = 0; i < s.depth; i++)
		text_printf(out, "  %016llx\n", (ull)s.chain[i]);
	return 0;
}

static ssize_t store_sections(const char *text, size_t len, void *arg)
{
	int on = switch_of(text, len);

	if (on < 0)
		return on;
	section_measure(on);
	return (ssize_t)len;
}
PSEUDO_FILE(sections_file, .path = "proc/nos/sections", .mode = 0600, .show = show_sections,
	    .store = store_sections);

#endif
