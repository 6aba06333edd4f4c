/*
 * Statistics of sleeping locks (core/lock_stats.c): for each place that had to
 * wait for a mutex or a rwlock, how often, how long, and whether it slept.
 * Only waits are counted, and only while the key is on: a lock that is free
 * costs what it costs without.
 */
#pragma once

#include <nos/static_key.h>
#include <nos/types.h>

extern struct static_key lock_stats_key;

struct lock_site {
	u64 at; /* return address: who waited */
	u64 waits, sleeps; /* the others got it spinning */
	u64 total_ns, max_ns;
};

/* One wait that began at start_ns is over.  Any context in which one may sleep. */
void lock_stats_add(u64 at, u64 start_ns, bool slept);
/* Copies of the sites that waited so far, the longest total first; how many. */
unsigned lock_stats_read(struct lock_site *to, unsigned max);
void lock_stats_clear(void);
u64 lock_stats_lost(void); /* waits of places that had no room in the table */
