/*
 * The fair policy: virtual-deadline buckets in a rotating bitmap.
 *
 * Concepts.  A thread's vruntime is its run time scaled by 1024 / weight; the
 * queue's virtual time advances as the vruntime of a thread with a perfectly
 * fair share would.  A thread is due one slice by its deadline = vruntime +
 * slice × 1024 / weight.  Deadlines fall into 128 buckets of 2^22 ns of virtual
 * time; a bucket is a level, a FIFO.  The next thread is the first one of the
 * first bucket that is in use: two bit searches, whatever the number of threads.
 *
 * Long-run shares are exact, because vruntime and deadline are kept exactly;
 * only the order within 4 ms of virtual time is that of arrival.  Weights are
 * those of Linux, each nice level a factor of 1.25 (sched(7)); SCHED_IDLE has
 * weight 3.
 *
 * Invariants.
 *   (1) cursor ≤ every bucket in use < cursor + 128, as absolute numbers, so
 *       that bucket mod 128 keeps the order;
 *   (2) total_weight is the sum over runnable fair threads, the running one
 *       included.
 *
 * A deadline beyond the window (SCHED_IDLE) is held in the last bucket and put
 * further off when that bucket's turn comes while others wait.
 *
 * A thread that wakes has at most one slice of credit over the virtual time,
 * however long it slept; what it had overdrawn is reduced by the time that it
 * slept.  References: Stoica et al., earliest eligible virtual deadline first
 * (1995); Waldspurger, stride scheduling (1995).
 */
#include "sched.h"

#include <nos/string.h>
#include <linux/sched.h>

#define BUCKET_SHIFT 22
#define OVERDRAFT_NS (64 * (s64)SLICE_NS)
#define WAKE_GRANULARITY_NS (NSEC_PER_MSEC / 2)
#define YIELD_BUCKETS 4 /* how far a yield goes back, where nobody else is near */
#define NICE_0_WEIGHT 1024
#define IDLE_WEIGHT 3
#define INVERSE_SHIFT 32

/* Weight of nice −20…19: 1024 / 1.25^nice, rounded as sched(7)'s proportions ask. */
static const u32 nice_weights[40] = {
	88761, 71755, 56483, 46273, 36291, 29154, 23254, 18705, 14949, 11916,
	9548,  7620,  6100,  4904,  3906,  3121,  2501,  1991,  1586,  1277,
	1024,  820,   655,   526,   423,   335,   272,   215,   172,   137,
	110,   87,    70,    56,    45,    36,    29,    23,    18,    15,
};

/* Also notes whether t is a real-time thread. */
void sched_set_weight(struct thread *t)
{
	u32 weight =
		t->params.policy == SCHED_IDLE ? IDLE_WEIGHT : nice_weights[t->params.nice + 20];

	t->sched.special &= (u8)~SPECIAL_REALTIME;
	if (t->params.rt_priority)
		t->sched.special |= SPECIAL_REALTIME;
	t->sched.weight = weight;
	t->sched.inverse_weight = (u32)((1ull << INVERSE_SHIFT) / weight);
}

/* ns × 1024 / weight */
static u64 to_virtual(const struct thread *t, u64 ns)
{
	if (t->sched.weight == NICE_0_WEIGHT)
		return ns;
	return (u64)(((unsigned __int128)ns * t->sched.inverse_weight) >> (INVERSE_SHIFT - 10));
}

/* The vruntime and deadline that t starts with, by what it was owed or had overdrawn. */
static inline void join_virtual_time(struct run_queue *rq, struct thread *t, u64 now_ns)
{
	struct sched_entity *e = &t->sched;
	u64 slice = to_virtual(t, SLICE_NS);

	if (e->sleep_start_ns) {
		s64 credit = (s64)min(slice, SLICE_NS);
		s64 slept = (s64)min(now_ns - e->sleep_start_ns, (u64)(credit + OVERDRAFT_NS));

		e->lag = min(e->lag + slept, credit);
	}
	e->vruntime = rq->virtual_time - (u64)e->lag;
	e->deadline = e->vruntime + slice;
}

static void fair_activate(struct run_queue *rq, struct thread *t, u64 now_ns)
{
	join_virtual_time(rq, t, now_ns);
	rq->total_weight += t->sched.weight;
}

static inline s64 lag_of(const struct run_queue *rq, const struct thread *t)
{
	return clamp((s64)(rq->virtual_time - t->sched.vruntime), -OVERDRAFT_NS, OVERDRAFT_NS);
}

static void fair_deactivate(struct run_queue *rq, struct thread *t, u64 now_ns)
{
	rq->total_weight -= t->sched.weight;
	t->sched.lag = lag_of(rq, t);
	t->sched.sleep_start_ns = t->state == THREAD_RUNNABLE ? 0 : now_ns;
}

/* Bits of the fair levels, rotated so that bit 0 is the cursor's. */
static unsigned __int128 fair_window(const struct run_queue *rq)
{
	unsigned __int128 map = (unsigned __int128)rq->levels_map[3] << 64 | rq->levels_map[2];
	unsigned first = rq->cursor % NR_FAIR_LEVELS;

	return first ? map >> first | map << (NR_FAIR_LEVELS - first) : map;
}

static unsigned last_in_use(unsigned __int128 window)
{
	u64 high = (u64)(window >> 64), low = (u64)window;

	return high ? 64 + log2_floor(high) : low ? log2_floor(low) : 0;
}

/* Distance from the cursor to the first bucket in use; one is. */
static u64 first_in_use(const struct run_queue *rq)
{
	if (likely(level_is_used(rq, FIRST_FAIR_LEVEL + rq->cursor % NR_FAIR_LEVELS)))
		return 0;

	unsigned __int128 window = fair_window(rq);
	u64 low = (u64)window;

	return low ? (u64)__builtin_ctzll(low) : 64 + (u64)__builtin_ctzll((u64)(window >> 64));
}

/* Makes room for `bucket` before the cursor as far as the window allows; returns where it goes. */
static u64 window_open(struct run_queue *rq, u64 bucket)
{
	u64 last = rq->cursor + last_in_use(fair_window(rq));

	if ((s64)(bucket + NR_FAIR_LEVELS - 1 - last) < 0)
		bucket = last - (NR_FAIR_LEVELS - 1);
	if ((s64)(bucket - rq->cursor) < 0)
		rq->cursor = bucket;
	return bucket;
}

static void fair_insert(struct run_queue *rq, struct thread *t, enum insert_reason why)
{
	struct sched_entity *e = &t->sched;

	if ((s64)(e->vruntime - e->deadline) >= 0) {
		e->deadline = e->vruntime + to_virtual(t, SLICE_NS);
		if (why == INSERT_PREEMPTED)
			why = INSERT_EXPIRED;
	}

	u64 bucket = e->deadline >> BUCKET_SHIFT;
	s64 ahead = (s64)(bucket - rq->cursor);

	if (!rq->nr_fair)
		rq->cursor = bucket;
	else if (why == INSERT_YIELD && ahead < YIELD_BUCKETS)
		bucket = rq->cursor + min(first_in_use(rq), (u64)YIELD_BUCKETS);
	else if (ahead < 0)
		bucket = window_open(rq, bucket);
	else if (ahead >= NR_FAIR_LEVELS)
		bucket = rq->cursor + NR_FAIR_LEVELS - 1;
	rq->nr_fair++;
	level_insert(rq, t, FIRST_FAIR_LEVEL + bucket % NR_FAIR_LEVELS, why == INSERT_PREEMPTED);
}

/* Is the deadline of t due when the cursor stands at its bucket? */
static bool is_due(const struct run_queue *rq, const struct thread *t)
{
	return (t->sched.deadline >> BUCKET_SHIFT) <= rq->cursor + 1;
}

static struct thread *first_at_cursor(const struct run_queue *rq)
{
	unsigned level = FIRST_FAIR_LEVEL + rq->cursor % NR_FAIR_LEVELS;

	return list_entry(rq->levels[level].next, struct thread, sched.run_node);
}

static struct thread *fair_pick(struct run_queue *rq)
{
	for (unsigned tries = 0;; tries++) {
		if (!rq->nr_fair)
			return NULL;
		rq->cursor += first_in_use(rq);

		struct thread *t = first_at_cursor(rq);

		if (likely(is_due(rq, t)) || rq->nr_fair == 1 || tries == 4)
			return t;
		/* It stood in the last bucket, short of its deadline. */
		level_remove(rq, t);
		rq->nr_fair--;
		fair_insert(rq, t, INSERT_EXPIRED);
	}
}

static struct thread *fair_rotate(struct run_queue *rq, struct thread *t)
{
	unsigned level = FIRST_FAIR_LEVEL + rq->cursor % NR_FAIR_LEVELS;
	struct thread *next;

	if (!level_is_used(rq, level) ||
	    (s64)((t->sched.deadline >> BUCKET_SHIFT) - rq->cursor) >= YIELD_BUCKETS)
		return NULL;
	next = first_at_cursor(rq);
	if (!is_due(rq, next))
		return NULL;
	/* The level stays in use: no bit changes. */
	list_push_back(&rq->levels[level], &t->sched.run_node);
	t->sched.level = (u16)level;
	next->sched.run_node.next->prev = &rq->levels[level];
	rq->levels[level].next = next->sched.run_node.next;
	return next;
}

static inline void fair_charge(struct run_queue *rq, struct thread *t, u64 delta_ns)
{
	t->sched.vruntime += to_virtual(t, delta_ns);
	if (rq->total_weight == NICE_0_WEIGHT)
		rq->virtual_time += delta_ns;
	else if (rq->total_weight)
		rq->virtual_time += delta_ns * NICE_0_WEIGHT / rq->total_weight;
}

static void fair_hand_over(struct run_queue *rq, struct thread *prev, struct thread *next,
			   u64 delta_ns, u64 now_ns)
{
	fair_charge(rq, prev, delta_ns);
	prev->sched.lag = lag_of(rq, prev);
	prev->sched.sleep_start_ns = now_ns;
	join_virtual_time(rq, next, now_ns);
	rq->total_weight += (u64)next->sched.weight - prev->sched.weight;
}

static bool fair_slice_is_over(struct run_queue *rq, struct thread *t)
{
	if ((s64)(t->sched.vruntime - t->sched.deadline) < 0)
		return false;
	return rq->nr_fair != 0;
}

static bool fair_preempts(const struct thread *t, const struct thread *running)
{
	bool is_idle = t->params.policy == SCHED_IDLE;
	bool runs_idle = running->params.policy == SCHED_IDLE;

	if (is_idle != runs_idle)
		return runs_idle;
	if (t->params.policy == SCHED_BATCH)
		return false;
	return (s64)(running->sched.deadline - t->sched.deadline) > WAKE_GRANULARITY_NS;
}

const struct sched_policy sched_policy_fair = {
	.name = "fair",
	.activate = fair_activate,
	.deactivate = fair_deactivate,
	.insert = fair_insert,
	.pick = fair_pick,
	.rotate = fair_rotate,
	.charge = fair_charge,
	.hand_over = fair_hand_over,
	.slice_is_over = fair_slice_is_over,
	.preempts = fair_preempts,
	.slice_ns = SLICE_NS,
};
