/*
 * Placement: on which CPU a woken thread runs, and what moves between CPUs.
 *
 * A waking thread goes to its previous CPU if that idles (its cache is warm),
 * else to an idle CPU of the same node (its memory is near), else to any idle
 * one, else to the less loaded of its previous CPU and the waker's.  A CPU that
 * runs out of threads pulls one from the most loaded queue of its node, else of
 * all; busy CPUs even out four times a second, across nodes only where there is
 * more to even out.  A real-time thread goes where something less urgent runs;
 * one that waits beneath a more urgent one is taken there at the next tick.
 *
 * A node is a map of CPUs, in each of their run queues.  Boot switch:
 * opt.sched_nodes; without it all CPUs are one node.
 *
 * Simple inside for now: one map of idle CPUs, and no notion of shared caches.
 */
#include "sched.h"

#include <nos/arch.h>
#include <nos/log.h>

u64 sched_online_map, sched_idle_map;

/* Run queues that are this much longer than one's own are worth a move. */
#define NEAR_EXCESS 2
#define FAR_EXCESS 3

void sched_place_cpu_up(unsigned cpu)
{
	struct run_queue *rq = run_queue_of(cpu);
	bool nodes = boot_opt_enabled("sched_nodes");

	rq->node_map = nodes ? bit(cpu) : U64_MAX;
	/* Before the look at the others: of two that come up at once, one sees the other. */
	atomic_or(&sched_online_map, bit(cpu));
	if (!nodes)
		return;
	for (u64 rest = READ_ONCE(sched_online_map); rest; rest &= rest - 1) {
		unsigned other = (unsigned)__builtin_ctzll(rest);

		if (numa_node_of_cpu(other) != numa_node_of_cpu(cpu))
			continue;
		atomic_or(&rq->node_map, bit(other));
		atomic_or(&run_queue_of(other)->node_map, bit(cpu));
	}
}

#define BALANCE_NS ((u64)(250 * NSEC_PER_MSEC))

/* Claims an idle CPU out of `allowed`, `first` if possible, or one of its node; −1 if none. */
static int claim_idle(u64 allowed, unsigned first)
{
	u64 idle;

	while ((idle = READ_ONCE(sched_idle_map) & allowed)) {
		u64 near = idle & READ_ONCE(run_queue_of(first)->node_map);
		unsigned cpu =
			idle & bit(first) ? first : (unsigned)__builtin_ctzll(near ? near : idle);

		if (atomic_fetch_and(&sched_idle_map, ~bit(cpu)) & bit(cpu))
			return (int)cpu;
	}
	return -1;
}

/* How urgent what runs on a CPU is: −1 idle, 0 normal, else its priority. */
static int urgency_of(unsigned cpu)
{
	const struct run_queue *rq = run_queue_of(cpu);
	const struct thread *t = READ_ONCE(rq->current);

	return t == rq->idle ? -1 : READ_ONCE(t->params.rt_priority);
}

static unsigned select_realtime(const struct thread *t, u64 allowed, unsigned best)
{
	int least = allowed & bit(best) ? urgency_of(best) : 100;

	if (least < t->params.rt_priority)
		return best;
	for (u64 rest = allowed; rest; rest &= rest - 1) {
		unsigned cpu = (unsigned)__builtin_ctzll(rest);

		if (urgency_of(cpu) < least) {
			least = urgency_of(cpu);
			best = cpu;
		}
	}
	return allowed & bit(best) ? best : (unsigned)__builtin_ctzll(allowed);
}

unsigned sched_select_cpu(struct thread *t)
{
	u64 online = READ_ONCE(sched_online_map);

	if (online == 1)
		return 0;

	u64 allowed = READ_ONCE(t->affinity) & online;
	unsigned previous = t->cpu, here = cpu_id();

	if (!allowed)
		allowed = online;
	if ((allowed & (allowed - 1)) == 0)
		return (unsigned)__builtin_ctzll(allowed);

	int idle = claim_idle(allowed, previous);

	if (idle >= 0)
		return (unsigned)idle;
	if (thread_is_realtime(t))
		return select_realtime(t, allowed, previous);
	if (!(allowed & bit(previous)))
		previous = allowed & bit(here) ? here : (unsigned)__builtin_ctzll(allowed);
	if (!(allowed & bit(here)))
		return previous;
	return READ_ONCE(run_queue_of(here)->nr_running) <
			       READ_ONCE(run_queue_of(previous)->nr_running) ?
		       here :
		       previous;
}

/* The most loaded other CPU out of `map` with at least `least` runnable threads; −1 if none. */
static int find_busiest(u64 map, unsigned self, u32 least)
{
	int busiest = -1;

	for (u64 rest = READ_ONCE(sched_online_map) & map; rest; rest &= rest - 1) {
		unsigned cpu = (unsigned)__builtin_ctzll(rest);
		u32 load = READ_ONCE(run_queue_of(cpu)->nr_running);

		if (cpu != self && load >= least) {
			least = load + 1;
			busiest = (int)cpu;
		}
	}
	return busiest;
}

/* A queued thread of `from` (locked) that may run on `cpu`; looks at a bounded number. */
static struct thread *find_movable(struct run_queue *from, unsigned cpu)
{
	unsigned looked_at = 0;

	for (unsigned word = 0; word < ARRAY_SIZE(from->levels_map); word++) {
		for (u64 map = from->levels_map[word]; map; map &= map - 1) {
			struct list *level =
				&from->levels[word * 64 + (unsigned)__builtin_ctzll(map)];
			struct thread *t;

			list_for_each(t, level, sched.run_node) {
				if (t->affinity & bit(cpu))
					return t;
				if (++looked_at == 32)
					return NULL;
			}
		}
	}
	return NULL;
}

static struct thread *move_one(struct run_queue *from, struct run_queue *to, u64 now_ns)
{
	struct thread *t;

	/* Two run queues are held: the second only by trying, so that no order is needed. */
	if (!raw_spin_try_lock(&from->lock))
		return NULL;
	t = find_movable(from, to->cpu);
	if (t)
		run_queue_move(from, to, t, now_ns);
	raw_spin_unlock(&from->lock);
	return t;
}

/* From the most loaded CPU out of `map`, with at least `least` threads, that has one which may move; NULL. */
static struct thread *pull_from(u64 map, struct run_queue *to, u32 least, u64 now_ns)
{
	int cpu;

	while ((cpu = find_busiest(map, to->cpu, least)) >= 0) {
		struct thread *t = move_one(run_queue_of((unsigned)cpu), to, now_ns);

		if (t)
			return t;
		map &= ~bit((unsigned)cpu);
	}
	return NULL;
}

bool sched_pull(struct run_queue *rq, u64 now_ns)
{
	if (READ_ONCE(sched_online_map) == bit(rq->cpu))
		return false;

	return pull_from(rq->node_map, rq, 2, now_ns) || pull_from(~rq->node_map, rq, 2, now_ns);
}

/*
 * A real-time thread waits here (rq is locked) beneath a more urgent one: it goes where something less urgent
 * runs.
 */
static void push_realtime(struct run_queue *rq, u64 now_ns)
{
	for (u64 rest = READ_ONCE(sched_online_map) & ~bit(rq->cpu); rest; rest &= rest - 1) {
		struct run_queue *to = run_queue_of((unsigned)__builtin_ctzll(rest));
		struct thread *t = find_movable(rq, to->cpu);

		if (!t || t->params.rt_priority <= urgency_of(to->cpu) ||
		    !raw_spin_try_lock(&to->lock))
			continue;
		run_queue_move(rq, to, t, now_ns);
		run_queue_check_preempt(to, t);
		raw_spin_unlock(&to->lock);
		return;
	}
}

/* A CPU that halts looks for threads no more until it is told of one (rq is locked). */
void sched_offer(struct run_queue *rq, u64 now_ns)
{
	u64 idle = READ_ONCE(sched_idle_map) & ~bit(rq->cpu);

	while (idle) {
		u64 near = idle & READ_ONCE(rq->node_map);
		unsigned cpu = (unsigned)__builtin_ctzll(near ? near : idle);

		if (find_movable(rq, cpu)) {
			atomic_or(&run_queue_of(cpu)->idle->work, WORK_RESCHEDULE);
			cpu_send_reschedule(cpu);
			return;
		}
		idle &= ~bit(cpu);
	}
	if (unlikely(thread_is_realtime(rq->current)) && (rq->levels_map[0] | rq->levels_map[1]))
		push_realtime(rq, now_ns);
}

void sched_balance(struct run_queue *rq, u64 now_ns)
{
	rq->next_balance_ns = now_ns + BALANCE_NS;
	if (READ_ONCE(sched_online_map) == bit(rq->cpu))
		return;
	raw_spin_lock(&rq->lock);

	struct thread *t = pull_from(rq->node_map, rq, rq->nr_running + NEAR_EXCESS, now_ns);

	if (!t)
		t = pull_from(~rq->node_map, rq, rq->nr_running + FAR_EXCESS, now_ns);
	if (t)
		run_queue_check_preempt(rq, t);
	raw_spin_unlock(&rq->lock);
}
