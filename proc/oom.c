/*
 * Out of memory: which process dies.
 *
 * The one with the most resident memory, moved by what it was told to count
 * for (oom_score_adj, proc(5)); never init, never one at −1000.  One victim at
 * a time: while one is on its way out the caller only waits, for its memory is
 * about to be free.
 */
#include "internal.h"

#define ADJUST_MIN (-1000)

static struct mutex oom_lock = MUTEX_INIT(RANK_NONE);

/* Pages; 0 = not to be killed. */
u64 process_badness(struct process *p)
{
	struct memory_stats m;
	struct task *leader;
	struct aspace *a;
	s64 points;

	if (p->is_init || p->oom_adjust == ADJUST_MIN || (p->state & PROCESS_ZOMBIE))
		return 0;
	leader = process_get_leader(p);
	if (!leader)
		return 0;
	a = task_get_aspace(leader);
	task_put(leader);
	if (!a)
		return 0;
	points = a->resident_anon + a->resident_file + a->resident_shmem +
		 (s64)(a->page_table_bytes / PAGE_SIZE);
	aspace_put(a);
	memory_stats_read(&m);
	points += (s64)p->oom_adjust * (s64)(m.total / 1000);
	return points > 0 ? (u64)points : 1;
}

static bool is_victim(struct process *p)
{
	struct task *leader;
	scoped_rcu();

	leader = process_leader_rcu(p);
	return leader && (leader->flags & TASK_OOM_VICTIM);
}

/* The worst process, counted; *dying: one that was chosen has not ended yet. */
static struct process *choose(bool *dying)
{
	struct process *p, *worst = NULL;
	u64 most = 0;

	*dying = false;
	for (s32 from = 1; (p = process_next(from));) {
		u64 badness = process_badness(p);

		from = p->tgid + 1;
		if (is_victim(p) && !(p->state & PROCESS_ZOMBIE))
			*dying = true;
		if (badness <= most) {
			process_put(p);
			continue;
		}
		if (worst)
			process_put(worst);
		worst = p;
		most = badness;
	}
	return worst;
}

/* Will p's memory be free soon?  Only if all who share it have been killed or end. */
static bool memory_is_dying(struct process *p, struct aspace *a)
{
	struct process *other;
	bool dying = (READ_ONCE(p->state) & PROCESS_EXITING) != 0;

	for (s32 from = 1; dying && (other = process_next(from));) {
		struct aspace *its = task_get_aspace(other->leader);

		from = other->tgid + 1;
		if (its == a && !(READ_ONCE(other->state) & PROCESS_EXITING))
			dying = false;
		if (its)
			aspace_put(its);
		process_put(other);
	}
	return dying;
}

int process_release_memory(struct process *p)
{
	struct task *t;
	struct aspace *a = NULL;
	int err = -EINVAL;

	/* The leader may have ended before the others. */
	{
		scoped_spin_irq(&task_list_lock);
		list_for_each(t, &p->threads, thread_node) {
			a = task_get_aspace(t);
			if (a)
				break;
		}
	}
	if (!a)
		return -ESRCH;
	if (memory_is_dying(p, a))
		err = aspace_release_private(a);
	aspace_put(a);
	return err;
}

bool process_kill_for_memory(void)
{
	struct task *leader;
	struct process *p;
	char comm[16];
	bool dying;

	scoped_mutex(&oom_lock);
	p = choose(&dying);
	if (dying || !p) {
		if (p)
			process_put(p);
		return dying;
	}
	leader = process_get_leader(p);
	if (leader) {
		task_get_comm(leader, comm);
		log_err("out of memory: killed process %d (%s), %llu pages", p->tgid, comm,
			(unsigned long long)process_badness(p));
		leader->flags |= TASK_OOM_VICTIM;
		signal_send_process(p, SIGKILL, NULL);
		task_put(leader);
	}
	process_put(p);
	return true;
}
