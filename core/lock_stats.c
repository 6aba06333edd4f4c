/*
 * Where threads wait for locks.  A table of sites, found by hashing the return
 * address and probing on; a slot is claimed once by compare-and-swap and keeps
 * its address until the table is cleared.  Sums are atomic, and not consistent
 * with each other while they grow.
 */
#include <nos/lock_stats.h>
#include <nos/string.h>
#include <nos/timer.h>

#define NR_SITES 256u

DEFINE_STATIC_KEY(lock_stats_key);
static struct lock_site sites[NR_SITES];
static u64 lost;

static struct lock_site *site_of(u64 at)
{
	unsigned first = (unsigned)(hash_u64(at) % NR_SITES);

	for (unsigned i = 0; i < NR_SITES; i++) {
		struct lock_site *s = &sites[(first + i) % NR_SITES];
		u64 seen = 0;

		if (READ_ONCE(s->at) == at || atomic_cas_update(&s->at, &seen, at) || seen == at)
			return s;
	}
	return NULL;
}

void lock_stats_add(u64 at, u64 start_ns, bool slept)
{
	u64 ns = clock_monotonic_ns() - start_ns, max;
	struct lock_site *s = site_of(at);

	if (!s) {
		atomic_add(&lost, 1ul);
		return;
	}
	atomic_add(&s->waits, 1ul);
	if (slept)
		atomic_add(&s->sleeps, 1ul);
	atomic_add(&s->total_ns, ns);
	max = READ_ONCE(s->max_ns);
	while (ns > max && !atomic_cas_update(&s->max_ns, &max, ns))
		continue;
}

unsigned lock_stats_read(struct lock_site *to, unsigned max)
{
	unsigned nr = 0;

	for (unsigned i = 0; i < NR_SITES; i++) {
		struct lock_site s = sites[i];
		unsigned at;

		if (!s.waits)
			continue;
		for (at = nr; at && to[at - 1].total_ns < s.total_ns; at--)
			if (at < max)
				to[at] = to[at - 1];
		if (at < max) {
			to[at] = s;
			nr = min(nr + 1, max);
		}
	}
	return nr;
}

void lock_stats_clear(void)
{
	memset(sites, 0, sizeof(sites));
	WRITE_ONCE(lost, 0);
}

u64 lock_stats_lost(void)
{
	return READ_ONCE(lost);
}
