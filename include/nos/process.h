/*
 * What linux/ asks of proc/ beyond <nos/task.h>: waiting for children, groups and
 * sessions, accounts of users, names of the system, limits, usage, timers, pidfds.
 */
#pragma once

#include <nos/task.h>
#include <linux/time_types.h>
#include <linux/utsname.h>

/* ---- accounts: what a real uid is charged with (proc/cred.c) ---- */
struct user_account {
	struct ref refs;
	u32 uid;
	u32 nr_tasks; /* RLIMIT_NPROC; atomic */
	u32 nr_signals; /* RLIMIT_SIGPENDING; atomic */
	struct user_account *next;
};
struct user_account *user_account_get(u32 uid); /* NULL: no memory */
void user_account_put(struct user_account *u);
struct group_list *group_list_create(u32 nr); /* refs 1; NULL */
void group_list_put(struct group_list *g);
void group_list_sort(struct group_list *g);
/* Credentials of another task: counted. */
const struct cred *task_get_cred(struct task *t);

/* The set*id families on the current thread's credentials; -1 = leave alone. */
int cred_set_uid(u32 uid);
int cred_set_gid(u32 gid);
int cred_set_reuid(u32 ruid, u32 euid);
int cred_set_regid(u32 rgid, u32 egid);
int cred_set_resuid(u32 ruid, u32 euid, u32 suid);
int cred_set_resgid(u32 rgid, u32 egid, u32 sgid);
u32 cred_set_fsuid(u32 uid); /* the old one */
u32 cred_set_fsgid(u32 gid);
int cred_set_groups(struct group_list *g); /* consumes g */
int cred_set_capabilities(u64 effective, u64 permitted, u64 inheritable);

/* ---- names of the system (proc/uts.c) ---- */
#define UTS_LENGTH 64
struct uts_namespace {
	struct ref refs;
	struct spinlock lock; /* writers; with interrupts off */
	struct list pages; /* struct kernel_page that have these names; under `lock` */
	struct seqlock sequence; /* uname(2) copies `names` without the lock */
	u32 id;
	struct new_utsname names;
};
void uts_set_name(struct uts_namespace *u, char *field, const char *name, size_t len);
struct uts_namespace *uts_copy(struct uts_namespace *u); /* NULL: no memory */
void uts_get(struct uts_namespace *u);
void uts_put(struct uts_namespace *u);

/* ---- groups and sessions (proc/job.c); 0 or −errno ---- */
int process_set_group(s32 pid, s32 pgid);
s32 process_get_group(s32 pid);
s32 process_get_session(s32 pid);
s32 process_new_session(void);

/* ---- waiting (proc/wait.c) ---- */
struct wait_request {
	int type; /* P_ALL, P_PID, P_PGID, P_PIDFD resolved to P_PID */
	s32 id;
	int options; /* WNOHANG, WEXITED, WSTOPPED, WCONTINUED, WNOWAIT, __W* */
};
struct wait_result {
	s32 pid; /* 0: nothing to report with WNOHANG */
	u32 uid;
	int status; /* as wait4 gives it */
	int code, code_status; /* CLD_*, and si_status */
	struct usage usage;
};
int process_wait(const struct wait_request *r, struct wait_result *result);

/* ---- usage and limits ---- */
void process_usage(struct process *p, struct usage *u); /* living and dead threads */
void process_usage_children(struct process *p, struct usage *u);
void task_usage(struct task *t, struct usage *u);
void process_cpu_times(struct process *p, u64 *user_ns, u64 *system_ns);
int process_change_limit(struct process *p, unsigned what, const struct rlimit_pair *new,
			 struct rlimit_pair *old);

/* ---- life ---- */
int process_unshare(u64 flags);
/* setns(2): f is a namespace's file, or a pidfd with a set of CLONE_NEW* flags. */
int process_set_namespace(struct file *f, int type);
/* The file of t's namespace of the kind that one CLONE_NEW* flag names: a magic link's goal. */
int task_namespace_path(struct task *t, u32 kind, struct path *to);
struct file *pidfd_create(struct pid_entry *pid, u32 flags);
struct pid_entry *pidfd_get(struct file *f); /* counted; NULL: not a pidfd */
int task_set_comm(struct task *t, const char *name);
void process_set_clear_tid(u64 address);

/* ---- timers (proc/itimer.c, proc/posix_timer.c); nanoseconds ---- */
struct timer_setting {
	u64 value_ns, interval_ns; /* value 0: not armed */
};
void itimer_get(int which, struct timer_setting *s);
void itimer_set(int which, const struct timer_setting *new, struct timer_setting *old);
struct timer_event {
	int notify; /* SIGEV_* */
	int signo;
	u64 value;
	s32 tid;
};
s32 posix_timer_create(int clock, const struct timer_event *e); /* id or −errno */
int posix_timer_set(s32 id, bool absolute, const struct timer_setting *new,
		    struct timer_setting *old);
int posix_timer_get(s32 id, struct timer_setting *s);
int posix_timer_overrun(s32 id);
int posix_timer_delete(s32 id);
/* CPU-time clocks: the time of a dynamic clock id; −errno for one that names nobody. */
int cpu_clock_read(int clock, u64 *ns);

/* ---- the rest ---- */
u64 process_badness(struct process *p); /* pages, adjusted; 0: never killed for memory */
/* process_mrelease: the memory of a dying process goes at once; -EINVAL: it lives; -ESRCH: it is gone. */
int process_release_memory(struct process *p);
int rseq_register(u64 area, u32 length, u32 flags, u32 signature);
int membarrier_command(int command, u32 flags, int cpu);
