/* /proc/PID: stat, status, limits and other figures of a process; formats of proc(5). */
#include <nos/numa.h>
#include <nos/timer.h>
#include <nos/tty.h>
#include <linux/capability.h>
#include <linux/resource.h>
#include <linux/sched.h>

#include "proc.h"

#define TICK_NS 10000000ull /* USER_HZ = 100 */
#define KB(pages) ((unsigned long long)(pages) << (PAGE_SHIFT - 10))

typedef unsigned long long ull;

/* What several files need, taken together. */
struct snapshot {
	char comm[16];
	char state;
	s32 tgid, parent, group, session, tty_group;
	u64 tty_device; /* controlling terminal, 0 = none */
	u32 nr_threads;
	u64 user_ns, system_ns, faults_minor, faults_major;
	u64 voluntary, involuntary;
	struct usage children;
};

static char state_of(struct task *t)
{
	if (READ_ONCE(t->flags) & TASK_ZOMBIE)
		return 'Z';
	switch (READ_ONCE(t->thread.state)) {
	case THREAD_RUNNABLE:
		return 'R';
	case THREAD_INTERRUPTIBLE:
		return 'S';
	case THREAD_STOPPED:
		return 'T';
	case THREAD_DEAD:
		return t->flags & TASK_EXITING ? 'Z' : 'X';
	default:
		return 'D';
	}
}

static void add_thread(struct snapshot *s, struct task *t)
{
	u64 user, system;

	thread_cpu_times(&t->thread, &user, &system);
	s->user_ns += user;
	s->system_ns += system;
	s->faults_minor += t->thread.faults_minor;
	s->faults_major += t->thread.faults_major;
	s->voluntary += t->thread.nr_switches_voluntary;
	s->involuntary += t->thread.nr_switches_involuntary;
}

/* whole: figures of all threads, else of this one. */
static void take(struct snapshot *s, struct task *t, bool whole)
{
	struct process *p = t->process;
	struct task *other;

	memset(s, 0, sizeof(*s));
	task_get_comm(t, s->comm);
	s->state = state_of(t);

	u64 flags = spin_lock_irq(&task_list_lock);

	s->tgid = p->tgid;
	s->parent = p->parent ? p->parent->tgid : 0;
	s->group = p->group ? p->group->nr : 0;
	s->session = p->session ? p->session->nr : 0;
	s->nr_threads = p->nr_threads;
	s->tty_group = -1;
	if (p->tty)
		s->tty_device = tty_device_number(p->tty, &s->tty_group);
	s->children = p->usage_children;
	if (whole) {
		s->user_ns = p->usage_dead.user_ns;
		s->system_ns = p->usage_dead.system_ns;
		s->faults_minor = p->usage_dead.faults_minor;
		s->faults_major = p->usage_dead.faults_major;
		list_for_each(other, &p->threads, thread_node)
			add_thread(s, other);
	}
	spin_unlock_irq(&task_list_lock, flags);
	if (!whole)
		add_thread(s, t);
}

static signal_set_t handlers_with(struct task *t, bool ignored)
{
	signal_set_t set = 0;

	scoped_rcu();
	struct signal_handlers *h = rcu_load(t->process->handlers);

	for (int n = 0; h && n < NR_SIGNALS; n++) {
		u64 handler = READ_ONCE(h->actions[n].handler);

		if (ignored ? handler == 1 : handler > 1)
			set |= 1ull << n;
	}
	return set;
}

static int priority_of(const struct thread *t)
{
	return t->params.rt_priority ? -1 - t->params.rt_priority : 20 + t->params.nice;
}

static int show_stat(struct text_out *out, struct task *t, bool whole)
{
	struct snapshot s;
	struct aspace *a = task_get_aspace(t);
	const struct sched_params own = futex_owner_params(&t->futex);
	bool may = task_may_inspect(t, false) == 0;
	u64 rss = a ? (u64)(a->resident_anon + a->resident_file + a->resident_shmem) : 0;
	take(&s, t, whole);
	text_printf(out, "%d (%s) %c %d %d %d %d %d %u", whole ? s.tgid : t->tid, s.comm, s.state,
		    s.parent, s.group, s.session, (int)s.tty_device, s.tty_group, 0u);
	text_printf(out, " %llu %llu %llu %llu", (ull)s.faults_minor, (ull)s.children.faults_minor,
		    (ull)s.faults_major, (ull)s.children.faults_major);
	text_printf(out, " %llu %llu %llu %llu", (ull)(s.user_ns / TICK_NS),
		    (ull)(s.system_ns / TICK_NS), (ull)(s.children.user_ns / TICK_NS),
		    (ull)(s.children.system_ns / TICK_NS));
	text_printf(out, " %d %d %u 0 %llu", priority_of(&t->thread), own.nice, s.nr_threads,
		    (ull)(t->process->start_time_ns / TICK_NS));
	text_printf(out, " %llu %llu %llu", a ? (ull)a->total_pages << PAGE_SHIFT : 0ull, (ull)rss,
		    (ull)process_limit(t->process, RLIMIT_RSS));
	if (a && may)
		text_printf(out, " %llu %llu %llu", (ull)a->code_start, (ull)a->code_end,
			    (ull)a->stack_start);
	else
		text_printf(out, " %d %d 0", a ? 1 : 0, a ? 1 : 0);
	text_printf(out, " 0 0 %llu %llu %llu %llu", (ull)(t->pending.set & 0x7fffffff),
		    (ull)(t->blocked & 0x7fffffff), (ull)(handlers_with(t, true) & 0x7fffffff),
		    (ull)(handlers_with(t, false) & 0x7fffffff));
	text_printf(out, " %d 0 0 %u %u %u %u 0 0 0", s.state == 'S' || s.state == 'D',
		    t->exit_signal, t->thread.cpu, own.rt_priority, own.policy);
	if (a && may)
		text_printf(out, " %llu %llu %llu %llu %llu %llu %llu", (ull)a->data_start,
			    (ull)a->data_end, (ull)a->brk_start, (ull)a->arg_start, (ull)a->arg_end,
			    (ull)a->env_start, (ull)a->env_end);
	else
		text_printf(out, " 0 0 0 0 0 0 0");
	text_printf(out, " %d\n", may ? t->exit_code : 0);
	if (a)
		aspace_put(a);
	return 0;
}

int pid_show_stat(struct text_out *out, struct task *t)
{
	return show_stat(out, t, t == t->process->leader);
}

static void show_ids(struct text_out *out, struct task *t)
{
	const struct cred *c;

	rcu_read_lock();
	c = rcu_load(t->cred);
	cred_get(c);
	rcu_read_unlock();
	text_printf(out, "Uid:\t%u\t%u\t%u\t%u\nGid:\t%u\t%u\t%u\t%u\n", c->uid, c->euid, c->suid,
		    c->fsuid, c->gid, c->egid, c->sgid, c->fsgid);

	struct fd_table *fds = task_get_fds(t);

	text_printf(out, "FDSize:\t%u\nGroups:\t", fds ? fds->array->size : 0);
	if (fds)
		fd_table_put(fds);
	for (u32 n = 0; n < c->groups->nr; n++)
		text_printf(out, "%u ", c->groups->gid[n]);
	text_char(out, '\n');
	cred_put(c);
}

static void show_capabilities(struct text_out *out, struct task *t)
{
	scoped_rcu();
	const struct cred *c = rcu_load(t->cred);

	text_printf(out, "CapInh:\t%016llx\nCapPrm:\t%016llx\nCapEff:\t%016llx\n",
		    (ull)c->cap_inheritable, (ull)c->cap_permitted, (ull)c->cap_effective);
	text_printf(out, "CapBnd:\t%016llx\nCapAmb:\t%016llx\nNoNewPrivs:\t%d\n",
		    (ull)c->cap_bounding, (ull)c->cap_ambient, c->no_new_privs);
}

static void show_memory(struct text_out *out, struct aspace *a)
{
	s64 rss = a->resident_anon + a->resident_file + a->resident_shmem;
	u64 peak = max(a->peak_resident_pages, (u64)rss);

	text_printf(out, "VmPeak:\t%8llu kB\nVmSize:\t%8llu kB\nVmLck:\t%8llu kB\n",
		    KB(max(a->peak_total_pages, a->total_pages)), KB(a->total_pages),
		    KB(a->locked_pages));
	text_printf(out, "VmPin:\t%8llu kB\nVmHWM:\t%8llu kB\nVmRSS:\t%8llu kB\n",
		    KB(a->pinned_pages), KB(peak), KB(rss));
	text_printf(out, "RssAnon:\t%8llu kB\nRssFile:\t%8llu kB\nRssShmem:\t%8llu kB\n",
		    KB(a->resident_anon), KB(a->resident_file), KB(a->resident_shmem));
	text_printf(
		out, "VmData:\t%8llu kB\nVmStk:\t%8llu kB\nVmExe:\t%8llu kB\n", KB(a->data_pages),
		KB(a->stack_pages),
		(ull)((align_up(a->code_end, PAGE_SIZE) - align_down(a->code_start, PAGE_SIZE)) >>
		      10));

	u64 code = (align_up(a->code_end, PAGE_SIZE) - align_down(a->code_start, PAGE_SIZE)) >>
		   PAGE_SHIFT;

	text_printf(out, "VmLib:\t%8llu kB\nVmPTE:\t%8llu kB\nVmSwap:\t%8llu kB\n",
		    KB(a->exec_pages > code ? a->exec_pages - code : 0),
		    (ull)(a->page_table_bytes >> 10), 0ull);
}

static const char *state_name(char state)
{
	switch (state) {
	case 'R':
		return "R (running)";
	case 'S':
		return "S (sleeping)";
	case 'D':
		return "D (disk sleep)";
	case 'T':
		return "T (stopped)";
	case 'Z':
		return "Z (zombie)";
	default:
		return "X (dead)";
	}
}

static void show_signals(struct text_out *out, struct task *t, u32 nr_threads)
{
	text_printf(out, "Threads:\t%u\nSigQ:\t%u/%llu\n", nr_threads, 0u,
		    (ull)process_limit(t->process, RLIMIT_SIGPENDING));
	text_printf(out, "SigPnd:\t%016llx\nShdPnd:\t%016llx\nSigBlk:\t%016llx\n",
		    (ull)t->pending.set, (ull)t->process->pending.set, (ull)t->blocked);
	text_printf(out, "SigIgn:\t%016llx\nSigCgt:\t%016llx\n", (ull)handlers_with(t, true),
		    (ull)handlers_with(t, false));
}

/* A mask as Linux prints it: 32-bit groups in hex, then the list of ranges. */
static void show_affinity(struct text_out *out, u64 mask)
{
	mask &= nr_cpus == 64 ? ~0ull : (1ull << nr_cpus) - 1;
	if (nr_cpus > 32)
		text_printf(out, "Cpus_allowed:\t%08x,%08x\n", (u32)(mask >> 32), (u32)mask);
	else
		text_printf(out, "Cpus_allowed:\t%0*x\n", (int)((nr_cpus + 3) / 4), (u32)mask);
	text_printf(out, "Cpus_allowed_list:\t");
	text_bits(out, mask);
	text_printf(out, "\nMems_allowed:\t00000000,%08x\nMems_allowed_list:\t",
		    (u32)memory_node_map());
	text_bits(out, memory_node_map());
	text_char(out, '\n');
}

int pid_show_status(struct text_out *out, struct task *t)
{
	struct snapshot s;
	struct aspace *a;
	struct fs_context *fs = task_get_fs(t);

	take(&s, t, false);
	text_printf(out, "Name:\t");
	text_escape(out, s.comm, "\n\\");
	text_char(out, '\n');
	if (fs) {
		text_printf(out, "Umask:\t%#06o\n", fs->umask);
		fs_context_put(fs);
	}
	text_printf(out, "State:\t%s\nTgid:\t%d\nNgid:\t0\nPid:\t%d\nPPid:\t%d\nTracerPid:\t0\n",
		    state_name(s.state), s.tgid, t->tid, s.parent);
	show_ids(out, t);
	text_printf(out, "NStgid:\t%d\nNSpid:\t%d\nNSpgid:\t%d\nNSsid:\t%d\n", s.tgid, t->tid,
		    s.group, s.session);
	a = task_get_aspace(t);
	if (a) {
		show_memory(out, a);
		aspace_put(a);
	}
	show_signals(out, t, s.nr_threads);
	show_capabilities(out, t);
	text_printf(out, "Seccomp:\t0\n");
	show_affinity(out, t->thread.affinity);
	text_printf(out, "voluntary_ctxt_switches:\t%llu\nnonvoluntary_ctxt_switches:\t%llu\n",
		    (ull)s.voluntary, (ull)s.involuntary);
	return 0;
}

int pid_show_statm(struct text_out *out, struct task *t)
{
	struct aspace *a = task_get_aspace(t);

	if (!a) {
		text_printf(out, "0 0 0 0 0 0 0\n");
		return 0;
	}

	u64 code = (align_up(a->code_end, PAGE_SIZE) - align_down(a->code_start, PAGE_SIZE)) >>
		   PAGE_SHIFT;

	s64 shared = a->resident_file + a->resident_shmem;
	s64 resident = a->resident_anon + shared;
	u64 data = a->data_pages + a->stack_pages;

	text_printf(out, "%llu %lld %lld %llu 0 %llu 0\n", (ull)a->total_pages, (long long)resident,
		    (long long)shared, (ull)code, (ull)data);
	aspace_put(a);
	return 0;
}

int pid_show_comm(struct text_out *out, struct task *t)
{
	char comm[16];

	task_get_comm(t, comm);
	text_printf(out, "%s\n", comm);
	return 0;
}

ssize_t pid_store_comm(struct task *t, const char *text, size_t len)
{
	size_t n = min(len, sizeof(t->comm) - 1);

	if (t->process != task_current()->process)
		return -EINVAL;
	scoped_spin(&t->lock);
	memcpy(t->comm, text, n);
	if (n && t->comm[n - 1] == '\n')
		n--;
	memset(t->comm + n, 0, sizeof(t->comm) - n);
	return (ssize_t)len;
}

int pid_show_limits(struct text_out *out, struct task *t)
{
	static const struct {
		const char *name, *unit;
	} limits[] = {
		{ "Max cpu time", "seconds" },     { "Max file size", "bytes" },
		{ "Max data size", "bytes" },      { "Max stack size", "bytes" },
		{ "Max core file size", "bytes" }, { "Max resident set", "bytes" },
		{ "Max processes", "processes" },  { "Max open files", "files" },
		{ "Max locked memory", "bytes" },  { "Max address space", "bytes" },
		{ "Max file locks", "locks" },     { "Max pending signals", "signals" },
		{ "Max msgqueue size", "bytes" },  { "Max nice priority", "" },
		{ "Max realtime priority", "" },   { "Max realtime timeout", "us" },
	};

	text_printf(out, "%-25s %-20s %-20s %-10s\n", "Limit", "Soft Limit", "Hard Limit", "Units");
	for (size_t n = 0; n < ARRAY_SIZE(limits); n++) {
		struct rlimit_pair l = t->process->limits[n];
		u64 values[2] = { l.current, l.max };

		text_printf(out, "%-25s ", limits[n].name);
		for (int k = 0; k < 2; k++) {
			if (values[k] == U64_MAX)
				text_printf(out, "%-20s ", "unlimited");
			else
				text_printf(out, "%-20llu ", (ull)values[k]);
		}
		if (limits[n].unit[0])
			text_printf(out, "%-10s\n", limits[n].unit);
		else
			text_char(out, '\n');
	}
	return 0;
}

int pid_show_io(struct text_out *out, struct task *t)
{
	u64 v[6] = { 0 };
	struct task *other;
	u64 flags = spin_lock_irq(&task_list_lock);

	list_for_each(other, &t->process->threads, thread_node) {
		v[0] += other->io_read_chars;
		v[1] += other->io_write_chars;
		v[2] += other->io_read_calls;
		v[3] += other->io_write_calls;
		v[4] += other->io_read_bytes;
		v[5] += other->io_write_bytes;
	}
	spin_unlock_irq(&task_list_lock, flags);
	text_printf(out,
		    "rchar: %llu\nwchar: %llu\nsyscr: %llu\nsyscw: %llu\nread_bytes: %llu\n"
		    "write_bytes: %llu\ncancelled_write_bytes: 0\n",
		    (ull)v[0], (ull)v[1], (ull)v[2], (ull)v[3], (ull)v[4], (ull)v[5]);
	return 0;
}

static u64 switches_of(const struct task *t)
{
	return t->thread.nr_switches_voluntary + t->thread.nr_switches_involuntary;
}

int pid_show_sched(struct text_out *out, struct task *t)
{
	char comm[16];
	u64 run = thread_cpu_time_ns(&t->thread), switches = switches_of(t);

	task_get_comm(t, comm);
	text_printf(out, "%s (%d, #threads: %u)\n", comm, t->tid, t->process->nr_threads);
	text_printf(out, "-------------------------------------------------------------------\n");
	text_printf(out, "%-45s:%14llu.%06llu\n", "se.sum_exec_runtime", (ull)(run / 1000000),
		    (ull)(run % 1000000));
	text_printf(out, "%-45s:%21llu\n", "nr_switches", (ull)switches);
	text_printf(out, "%-45s:%21llu\n", "nr_voluntary_switches",
		    (ull)t->thread.nr_switches_voluntary);
	text_printf(out, "%-45s:%21llu\n", "nr_involuntary_switches",
		    (ull)t->thread.nr_switches_involuntary);
	text_printf(out, "%-45s:%21u\n", "se.load.weight", t->thread.sched.weight);
	text_printf(out, "%-45s:%21u\n", "policy", futex_owner_params(&t->futex).policy);
	text_printf(out, "%-45s:%21d\n", "prio", 100 + priority_of(&t->thread));
	return 0;
}

int pid_show_schedstat(struct text_out *out, struct task *t)
{
	u64 switches = switches_of(t);

	text_printf(out, "%llu %llu %llu\n", (ull)thread_cpu_time_ns(&t->thread),
		    (ull)t->thread.run_delay_ns, (ull)switches);
	return 0;
}

/* Return addresses of a sleeping thread; a running one has none to show. */
int pid_show_stack(struct text_out *out, struct task *t)
{
	u64 addresses[32];
	unsigned nr;

	if (!capable(CAP_SYS_ADMIN))
		return -EACCES;
	if (READ_ONCE(t->thread.on_cpu))
		return 0;
	nr = arch_stack_trace(&t->thread.arch, addresses, ARRAY_SIZE(addresses));
	for (unsigned n = 0; n < nr; n++)
		text_printf(out, "[<%016llx>]\n", (ull)addresses[n]);
	return 0;
}

/* There is no symbol table in the kernel: like a Linux without one, 0 or the address's absence. */
int pid_show_wchan(struct text_out *out, struct task *t)
{
	text_char(out, '0');
	return 0;
}

int pid_show_personality(struct text_out *out, struct task *t)
{
	text_printf(out, "%08x\n", t->personality);
	return 0;
}

/* The share of memory in thousandths, moved by the adjustment (proc(5)). */
int pid_show_oom_score(struct text_out *out, struct task *t)
{
	struct aspace *a = task_get_aspace(t);
	struct memory_stats m;
	s64 score = 0;

	memory_stats_read(&m);
	if (a) {
		s64 pages = a->resident_anon + a->resident_file + a->resident_shmem +
			    (s64)(a->page_table_bytes >> PAGE_SHIFT);

		score = m.total ? pages * 1000 / (s64)m.total : 0;
		aspace_put(a);
	}
	score = score * 2 / 3 + 666 + (s64)t->process->oom_adjust * 2 / 3;
	text_printf(out, "%lld\n", (long long)max(score, (s64)0));
	return 0;
}

int pid_show_oom_score_adj(struct text_out *out, struct task *t)
{
	text_printf(out, "%d\n", t->process->oom_adjust);
	return 0;
}

ssize_t pid_store_oom_score_adj(struct task *t, const char *text, size_t len)
{
	char copy[16];
	size_t n = min(len, sizeof(copy) - 1);
	bool negative = text[0] == '-';
	u64 v;
	int err;

	memcpy(copy, text, n);
	while (n && (copy[n - 1] == '\n' || copy[n - 1] == ' '))
		n--;
	copy[n] = 0;
	err = string_to_u64(copy + negative, 10, &v);
	if (err)
		return err;
	if (v > 1000)
		return -EINVAL;

	s32 adjust = negative ? -(s32)v : (s32)v;

	if (adjust < t->process->oom_adjust && !capable(CAP_SYS_RESOURCE))
		return -EACCES;
	WRITE_ONCE(t->process->oom_adjust, adjust);
	return (ssize_t)len;
}

static int show_mounts(struct text_out *out, struct task *t, int style)
{
	struct mount_namespace *ns = task_get_mounts(t);
	struct fs_context *fs = task_get_fs(t);

	if (ns && fs)
		mounts_show(ns, &fs->root, out, style);
	if (ns)
		mount_namespace_put(ns);
	if (fs)
		fs_context_put(fs);
	return 0;
}

int pid_show_mounts(struct text_out *out, struct task *t)
{
	return show_mounts(out, t, 0);
}

int pid_show_mountinfo(struct text_out *out, struct task *t)
{
	return show_mounts(out, t, 1);
}

int pid_show_mountstats(struct text_out *out, struct task *t)
{
	return show_mounts(out, t, 2);
}

/* One cgroup, the root of the unified tree. */
int pid_show_cgroup(struct text_out *out, struct task *t)
{
	text_printf(out, "0::/\n");
	return 0;
}

/* One user namespace: every number maps to itself. */
int pid_show_id_map(struct text_out *out, struct task *t)
{
	text_printf(out, "%10u %10u %10u\n", 0u, 0u, 4294967295u);
	return 0;
}

int pid_show_setgroups(struct text_out *out, struct task *t)
{
	text_printf(out, "allow\n");
	return 0;
}

int pid_show_timerslack(struct text_out *out, struct task *t)
{
	text_printf(out, "%llu\n", (ull)t->timer_slack_ns);
	return 0;
}
