/*
 * The round-robin policy: normal threads take turns in one FIFO, whatever
 * their nice level; a woken thread waits for its turn.  Chosen by
 * sched=round-robin; the plainest thing to compare the fair policy with.
 */
#include "sched.h"

static void round_robin_activate(struct run_queue *rq, struct thread *t, u64 now_ns)
{
	(void)rq, (void)now_ns;
	t->sched.slice_end_ns = t->sched.sum_exec_ns + SLICE_NS;
}

static void round_robin_deactivate(struct run_queue *rq, struct thread *t, u64 now_ns)
{
	(void)rq, (void)t, (void)now_ns;
}

static void round_robin_insert(struct run_queue *rq, struct thread *t, enum insert_reason why)
{
	rq->nr_fair++;
	level_insert(rq, t, FIRST_FAIR_LEVEL, why == INSERT_PREEMPTED);
}

static struct thread *round_robin_pick(struct run_queue *rq)
{
	return list_first(&rq->levels[FIRST_FAIR_LEVEL], struct thread, sched.run_node);
}

static struct thread *round_robin_rotate(struct run_queue *rq, struct thread *t)
{
	(void)rq, (void)t;
	return NULL;
}

static void round_robin_charge(struct run_queue *rq, struct thread *t, u64 delta_ns)
{
	(void)rq, (void)t, (void)delta_ns;
}

static void round_robin_hand_over(struct run_queue *rq, struct thread *prev, struct thread *next,
				  u64 delta_ns, u64 now_ns)
{
	(void)prev, (void)delta_ns;
	round_robin_activate(rq, next, now_ns);
}

static bool round_robin_slice_is_over(struct run_queue *rq, struct thread *t)
{
	if (t->sched.sum_exec_ns < t->sched.slice_end_ns)
		return false;
	t->sched.slice_end_ns = t->sched.sum_exec_ns + SLICE_NS;
	return rq->nr_fair != 0;
}

static bool round_robin_preempts(const struct thread *t, const struct thread *running)
{
	(void)t, (void)running;
	return false;
}

const struct sched_policy sched_policy_round_robin = {
	.name = "round-robin",
	.activate = round_robin_activate,
	.deactivate = round_robin_deactivate,
	.insert = round_robin_insert,
	.pick = round_robin_pick,
	.rotate = round_robin_rotate,
	.charge = round_robin_charge,
	.hand_over = round_robin_hand_over,
	.slice_is_over = round_robin_slice_is_over,
	.preempts = round_robin_preempts,
	.slice_ns = SLICE_NS,
};
