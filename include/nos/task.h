/*
 * Processes (proc/): tasks, processes, groups, sessions, credentials, limits.
 *
 * A task is a thread of a process (Linux's "task", tid); a process is a thread
 * group (tgid).  The pid table maps numbers to struct pid_entry by a two-level
 * array read under RCU; one entry serves as tid, tgid, process group and session
 * number at once.
 */
#pragma once

#include <nos/cred.h>
#include <nos/file.h>
#include <nos/ipc.h>
#include <nos/list.h>
#include <nos/lock.h>
#include <nos/rcu.h>
#include <nos/thread.h>
#include <nos/timer.h>
#include <nos/wait.h>
#include <asm/signal.h>

struct kernel_page;
struct process;
struct tty;
struct uts_namespace;
struct posix_timers;

#define NR_SIGNALS 64
typedef u64 signal_set_t; /* bit signo − 1 */
#define signal_bit(signo) (1ull << ((signo)-1))

struct signal_action { /* struct sigaction in the kernel's layout */
	u64 handler, flags, restorer;
	signal_set_t mask;
};

/* struct siginfo, 128 bytes, filled so that copying it out leaks nothing. */
struct signal_info {
	s32 signo, err, code;
	s32 pad;
	union {
		struct {
			s32 pid;
			u32 uid;
			union {
				u64 value; /* sigqueue, timers (then pid = timer id, uid = overrun) */
				struct {
					s32 status;
					s32 pad2;
					s64 utime, stime;
				};
			};
		};
		struct {
			u64 address;
			s16 address_lsb;
		};
		struct {
			s64 band;
			s32 fd;
		};
		u8 bytes[112];
	};
};
static_assert(sizeof(struct signal_info) == 128, "siginfo_t");

struct signal_queue { /* pending signals */
	signal_set_t set;
	/* The information of one signal that a task sent to itself, which has no entry; 0: none. */
	u8 own_signo;
	s8 own_code;
	u32 own_uid;
	struct list entries; /* queued infos: real-time ones each, standard ones once */
};

/* Handlers; shared by CLONE_SIGHAND. */
struct signal_handlers {
	struct ref refs;
	struct spinlock lock; /* rank SIGHAND, irq: handlers, pending sets, process state */
	signal_set_t set; /* whose action was set; the others' are all zero */
	struct signal_action actions[NR_SIGNALS];
	struct wait_queue signalfd_queue;
	struct rcu_head rcu;
};

/* A number; lives as long as someone uses it in any role. */
struct pid_entry {
	struct ref refs;
	u32 users; /* roles that hold the number; under task_list_lock */
	s32 nr;
	struct task *task; /* RCU: with this tid */
	struct process *process; /* RCU: with this tgid */
	struct list group_members; /* struct process.group_node: pgid */
	struct list session_members; /* struct process.session_node: sid */
	struct wait_queue exit_queue; /* pidfd poll */
	struct rcu_head rcu;
};

struct task {
	struct thread thread; /* first member */
	struct ref refs; /* one until reaped, one while it runs; task_put */
	struct spinlock lock; /* others read comm, fds, fs, mounts, uts, cred */
	struct process *process;
	struct pid_entry *pid;
	s32 tid;
	struct list thread_node; /* in process->threads */
	char comm[16];
	const struct cred *cred; /* RCU-read by others */
	struct fd_table *fds;
	struct fs_context *fs;
	struct mount_namespace *mounts;
	struct uts_namespace *uts;
	struct signal_handlers *handlers; /* = process->handlers */
	signal_set_t blocked, saved_mask;
	signal_set_t taking; /* blocked, but waited for by sigtimedwait */
	struct signal_queue pending;
	u64 altstack_sp, altstack_size;
	u32 altstack_flags;
	/* restart_syscall(2) */
	long (*restart)(struct task *t);
	u64 restart_data[6];
	u64 clear_tid, set_tid, robust_list; /* user addresses */
	u64 rseq_area;
	u32 rseq_length, rseq_signature;
	u32 exit_signal;
	s32 exit_code; /* wait status */
	u32 flags; /* TASK_ */
	u32 parent_death_signal; /* PR_SET_PDEATHSIG: when the thread in process->maker ends */
	struct list made; /* processes of which it is the maker; under task_list_lock */
	struct futex_owner futex; /* PI futexes owned and waited for */
	struct completion *vfork_done; /* the parent's, while it waits */
	u64 rseq_switches; /* switches seen at the last fix-up */
	u64 awake_switches; /* RLIMIT_RTTIME: how often it had slept when a tick last looked, */
	u64 awake_since_ns; /* and its CPU time when that last changed */
	bool was_dumpable; /* once it has no address space */
	u32 personality;
	u16 io_priority; /* IOPRIO_PRIO_VALUE, 0: from nice; no I/O scheduler reads it yet */
	u64 timer_slack_ns;
	u64 faults_minor, faults_major;
	u64 io_read_chars, io_write_chars, io_read_calls, io_write_calls, io_read_bytes,
		io_write_bytes;
	u64 last_syscall;
	struct rcu_head rcu;
};
#define TASK_EXITING 1u
#define TASK_KERNEL 2u
#define TASK_VFORKED 4u
#define TASK_EXECED 8u /* since fork: setpgid by the parent gets EACCES */
#define TASK_STOPPING 16u
#define TASK_SIGNALED 32u
#define TASK_ZOMBIE 64u /* has left its last function; waits to be reaped */
#define TASK_STOPPED 128u /* parked by a job-control stop */
#define TASK_OOM_VICTIM 256u

static inline struct task *task_current(void)
{
	return container_of(current_thread, struct task, thread);
}

static inline struct process *process_current(void)
{
	return task_current()->process;
}

struct rlimit_pair {
	u64 current, max;
};

struct usage { /* rusage parts that are summed */
	u64 user_ns, system_ns, faults_minor, faults_major, switches_voluntary,
		switches_involuntary, in_blocks, out_blocks, max_rss_kb;
};

struct process {
	struct ref refs;
	struct pid_entry *pid;
	s32 tgid;
	struct task *leader; /* thread group leader */
	struct signal_handlers *handlers; /* RCU; changes at exec */
	struct list threads; /* tasks, a dead leader included; under task_list_lock */
	u32 nr_threads;
	u32 nr_live; /* of them, not yet exiting */
	struct process *parent; /* under the task-list lock / RCU */
	struct list children, sibling;
	struct task *maker; /* the parent's thread whose child this is (wait(2), __WNOTHREAD) */
	struct list made_node; /* in maker->made */
	struct pid_entry *group, *session;
	struct list group_node, session_node;
	bool is_session_leader, did_exec, is_subreaper, is_init;
	struct tty *tty; /* controlling terminal; tty_put */
	struct signal_queue pending; /* process-wide */
	u32 stop_signal, stop_count; /* job control */
	u32 state; /* PROCESS_ flags */
	s32 exit_code;
	struct wait_queue child_queue; /* wait4 sleepers of this process */
	struct task *exec_task; /* de_thread in progress */
	struct rlimit_pair limits[16];
	struct usage usage_dead, usage_children;
	struct timer real_timer; /* ITIMER_REAL */
	u64 real_interval_ns;
	u64 virtual_left_ns, virtual_interval_ns, prof_left_ns, prof_interval_ns;
	u64 start_time_ns; /* CLOCK_BOOTTIME */
	s32 oom_adjust; /* −1000…1000 */
	u32 nr_waiters;
	struct kernel_page *kernel_page; /* that has its values; NULL: none; under task_list_lock */
	struct posix_timers *posix_timers; /* NULL until the first timer_create */
	bool cpu_timers; /* something counts this process's CPU time */
	u64 missing_calls[8]; /* linux/dispatch.c: absent system calls it has tried */
	struct rcu_head rcu;
};
#define PROCESS_STOPPED 1u
#define PROCESS_CONTINUED 2u /* WCONTINUED not yet collected */
#define PROCESS_STOP_REPORTED 4u
#define PROCESS_EXITING 8u /* group exit in progress */
#define PROCESS_ZOMBIE 16u
#define PROCESS_REAPED 64u /* a waiter has claimed the zombie */
#define PROCESS_TELL_CONTINUED 32u /* a continued thread is to tell the parent */

/* Parent, child, group and session lists; taken with interrupts off. */
extern struct spinlock task_list_lock;

/* ---- looking up: under RCU, or with a reference ---- */
struct pid_entry *pid_find(s32 nr); /* RCU */
struct pid_entry *pid_get(s32 nr); /* counted, or NULL */
void pid_put(struct pid_entry *p);
struct task *task_find(s32 tid); /* RCU */
struct process *process_find(s32 tgid); /* RCU */
struct process *process_get(s32 tgid); /* counted, or NULL; process_put */
void process_put(struct process *p);
/* All processes in number order, for /proc and kill(−1): first with tgid ≥ from, counted; NULL = end. */
struct process *process_next(s32 from);
struct task *task_get(s32 tid); /* counted, or NULL */
/* A process that one only holds may be released at any time, and its leader with it: the leader,
 * valid until the RCU section ends, or counted; NULL: released. */
struct task *process_leader_rcu(struct process *p);
struct task *process_get_leader(struct process *p);
void task_get_ref(struct task *t);
void task_put(struct task *t);
u32 process_count(void);
u32 task_count(void);
s32 process_last_pid(void);
u64 process_forks(void); /* since boot; threads included */
extern u32 pid_max;
/* What a task that may be exiting has: counted, or NULL; put with the usual function. */
struct aspace *task_get_aspace(struct task *t);
struct fd_table *task_get_fds(struct task *t);
struct fs_context *task_get_fs(struct task *t);
struct mount_namespace *task_get_mounts(struct task *t);
void task_get_comm(struct task *t, char comm[16]);
/* The first namespace and root, which kernel threads use: set by init/ (vfs_mount_root). */
extern struct mount_namespace *init_mounts;
extern struct fs_context *init_fs;
/* May the current task inspect t (ptrace access rules)? 0, -EPERM, -EACCES.  May sleep; t is counted. */
int task_may_inspect(struct task *t, bool attach);
/* The address space of a task that the current one may inspect: counted, NULL (it has none), ERR -ESRCH, -EPERM.
 * May sleep: what it looks at may end meanwhile. */
struct aspace *task_inspect_aspace(s32 tid, bool attach);
u64 process_limit(const struct process *p, unsigned what); /* RLIMIT_, soft */

/* ---- job control, for tty ---- */
bool process_group_is_orphaned(struct pid_entry *group);
struct pid_entry *process_group_current(void);
struct pid_entry *process_session_current(void);
/* process->tty is counted, and changed under task_list_lock.  Defined by drivers/tty: */
void tty_get(struct tty *t); /* fork; under task_list_lock */
void tty_put(struct tty *t);
void tty_session_exit(struct process *leader); /* hangs up: the session's leader ends */
struct tty *process_tty_current(void); /* counted (tty_get), or NULL; defined with tty */
/* For fork (under task_list_lock), exit and /proc: struct process.tty is changed under task_list_lock. */
void tty_get(struct tty *t);
void tty_put(struct tty *t); /* not under spin locks: the last one frees */
u64 tty_device(const struct tty *t); /* make_dev(major, minor): stat's tty_nr */
s32 tty_foreground(const struct tty *t); /* its foreground group's number, or -1 */

/* ---- life ---- */
struct clone_request {
	u64 flags;
	u64 stack, stack_size, tls;
	u64 parent_tid, child_tid, pidfd; /* user addresses */
	u32 exit_signal;
	const s32 *set_tid;
	u32 nr_set_tid;
};
/* The child's tid, or −errno. */
s32 process_clone(const struct clone_request *r, const struct trap_frame *frame);
void process_exit_task(s32 code) __noreturn; /* exit(2) */
void process_exit_group(s32 status) __noreturn; /* exit_group(2), fatal signals */
/* linux/exec.c fills it (proc/exec.h). */
struct exec_request;
/* Starts /init as pid 1 from a kernel thread: returns only on failure. */
int process_exec_init(const char *path, const char *const *argv, const char *const *envp);
void process_start_init(void); /* creates pid 1, which execs */

/* Credentials: a copy to change, then commit (consumes it) or cred_put. */
struct cred *cred_prepare(void);
void cred_commit(struct cred *c);
/* For running this program file: set-user-ID, capabilities of the file; NULL: no memory. */
struct cred *cred_for_exec(struct file *program, bool *secure);

#include <nos/signal.h>
