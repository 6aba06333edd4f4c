/* Resource limits and usage of processes: getrlimit(2), getrusage(2), times(2). */
#include "internal.h"

#include <linux/capability.h>
#include <linux/resource.h>

#define INFINITY_PAIR                                                                              \
	{                                                                                          \
		RLIM_INFINITY, RLIM_INFINITY                                                       \
	}
#define STACK_DEFAULT (8ull << 20)

u64 process_limit(const struct process *p, unsigned what)
{
	return READ_ONCE(p->limits[what].current);
}

u64 process_rlimit(unsigned what)
{
	const struct task *t = task_current();

	return t->thread.is_kernel ? RLIM_INFINITY : process_limit(t->process, what);
}

u64 process_data_limit(void)
{
	const struct task *t = task_current();

	if (t->thread.is_kernel)
		return RLIM_INFINITY;
	return process_limit(t->process, RLIMIT_DATA) ?:
		       READ_ONCE(t->process->limits[RLIMIT_DATA].max);
}

u64 process_nofile_limit(void)
{
	return process_rlimit(RLIMIT_NOFILE);
}

u64 process_fsize_limit(void)
{
	return process_rlimit(RLIMIT_FSIZE);
}

/* The limits of init; all others inherit. */
void process_limits_init(struct process *p)
{
	struct memory_stats m;
	u64 threads;

	memory_stats_read(&m);
	threads = m.total * PAGE_SIZE / (8 * KERNEL_STACK_SIZE) / 2;
	for (unsigned i = 0; i < ARRAY_SIZE(p->limits); i++)
		p->limits[i] = (struct rlimit_pair)INFINITY_PAIR;
	p->limits[RLIMIT_STACK].current = STACK_DEFAULT;
	p->limits[RLIMIT_CORE].current = 0;
	p->limits[RLIMIT_NPROC] = (struct rlimit_pair){ threads, threads };
	p->limits[RLIMIT_SIGPENDING] = (struct rlimit_pair){ threads, threads };
	p->limits[RLIMIT_NOFILE] = (struct rlimit_pair){ 1024, 1u << 20 };
	p->limits[RLIMIT_MEMLOCK] = (struct rlimit_pair){ 8u << 20, 8u << 20 };
	p->limits[RLIMIT_MSGQUEUE] = (struct rlimit_pair){ 819200, 819200 };
	p->limits[RLIMIT_NICE] = (struct rlimit_pair){ 0, 0 };
	p->limits[RLIMIT_RTPRIO] = (struct rlimit_pair){ 0, 0 };
}

/* prlimit(2) after the permission check of the target; either may be NULL. */
int process_change_limit(struct process *p, unsigned what, const struct rlimit_pair *new,
			 struct rlimit_pair *old)
{
	u64 flags;
	struct signal_handlers *h;
	int err = 0;

	if (what >= ARRAY_SIZE(p->limits))
		return -EINVAL;
	if (new &&new->current > new->max)
		return -EINVAL;
	if (new &&what == RLIMIT_NOFILE &&new->max > (1u << 20))
		return -EPERM;
	h = process_lock_signals(p, &flags);
	if (old)
		*old = p->limits[what];
	if (new) {
		if (new->max > p->limits[what].max && !capable(CAP_SYS_RESOURCE))
			err = -EPERM;
		else
			p->limits[what] = *new;
	}
	process_unlock_signals(h, flags);
	if (!err && new && (what == RLIMIT_CPU || what == RLIMIT_RTTIME))
		cpu_timers_want(p, true);
	return err;
}

void usage_add(struct usage *to, const struct usage *from)
{
	to->user_ns += from->user_ns;
	to->system_ns += from->system_ns;
	to->faults_minor += from->faults_minor;
	to->faults_major += from->faults_major;
	to->switches_voluntary += from->switches_voluntary;
	to->switches_involuntary += from->switches_involuntary;
	to->in_blocks += from->in_blocks;
	to->out_blocks += from->out_blocks;
	to->max_rss_kb = max(to->max_rss_kb, from->max_rss_kb);
}

void task_usage(struct task *t, struct usage *u)
{
	struct aspace *a = task_get_aspace(t);

	*u = (struct usage){
		.faults_minor = t->thread.faults_minor,
		.faults_major = t->thread.faults_major,
		.switches_voluntary = t->thread.nr_switches_voluntary,
		.switches_involuntary = t->thread.nr_switches_involuntary,
		.in_blocks = t->io_read_bytes / 512,
		.out_blocks = t->io_write_bytes / 512,
	};
	thread_cpu_times(&t->thread, &u->user_ns, &u->system_ns);
	if (a) {
		u64 now = (u64)max(a->resident_anon + a->resident_file + a->resident_shmem, (s64)0);

		u->max_rss_kb = max(now, a->peak_resident_pages) * (PAGE_SIZE / 1024);
		aspace_put(a);
	}
}

/* Threads that are gone, and those that live. */
void process_usage(struct process *p, struct usage *u)
{
	struct task *tasks[16];
	unsigned nr = 0, skip = 0;

	*u = p->usage_dead;
	do {
		struct task *t;
		unsigned i = 0;

		nr = 0;
		{
			scoped_spin_irq(&task_list_lock);
			list_for_each(t, &p->threads, thread_node) {
				if (i++ < skip || (t->flags & TASK_ZOMBIE))
					continue;
				if (nr == ARRAY_SIZE(tasks))
					break;
				task_get_ref(t);
				tasks[nr++] = t;
				skip = i;
			}
		}
		for (i = 0; i < nr; i++) {
			struct usage one;

			task_usage(tasks[i], &one);
			usage_add(u, &one);
			task_put(tasks[i]);
		}
	} while (nr == ARRAY_SIZE(tasks));
}

void process_usage_children(struct process *p, struct usage *u)
{
	scoped_spin_irq(&task_list_lock);

	*u = p->usage_children;
}

/* Any context that may take the handlers' lock; no sleep. */
void process_cpu_times(struct process *p, u64 *user_ns, u64 *system_ns)
{
	struct task *t;
	u64 user, system;
	u64 flags;
	struct signal_handlers *h = process_lock_signals(p, &flags);

	*user_ns = p->usage_dead.user_ns;
	*system_ns = p->usage_dead.system_ns;
	list_for_each(t, &p->threads, thread_node) {
		if (t->flags & TASK_ZOMBIE)
			continue;
		thread_cpu_times(&t->thread, &user, &system);
		*user_ns += user;
		*system_ns += system;
	}
	process_unlock_signals(h, flags);
}
