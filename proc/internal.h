/* Private to proc/: what its files share. */
#pragma once

#include <nos/aspace.h>
#include <nos/assert.h>
#include <nos/errno.h>
#include <nos/log.h>
#include <nos/process.h>
#include <nos/slab.h>
#include <nos/string.h>
#include <nos/task.h>

/* ---- pid.c ---- */
/* A new number, in the table but found by nobody (no task, no process); one reference and one user,
 * the table's.  wanted 0 = the next free one.  ERR: -EAGAIN, -EEXIST, -ENOMEM. */
struct pid_entry *pid_allocate(s32 wanted);
/* Another role / one role less; under task_list_lock.  With the last the number is free again. */
void pid_attach_locked(struct pid_entry *p);
void pid_detach_locked(struct pid_entry *p);

/* ---- task.c ---- */
struct task *task_allocate(void); /* zeroed but for its thread, which has a stack; NULL */
struct process *process_allocate(void);
void task_free_now(struct task *t); /* never published */
void process_count_add(int processes, int tasks);
/* Nobody finds the task, or the process with its leader, by number or as a child from here on: task_list_lock. */
void task_unlink_locked(struct task *t);
void process_unlink_locked(struct process *p);
/* The current task if the current thread is one, else NULL. */
static inline struct task *task_current_or_null(void)
{
	return current_thread->is_kernel ? NULL : task_current();
}
extern struct uts_namespace init_uts;
extern struct process *init_process;

/* ---- signal.c ---- */
struct signal_entry {
	struct list node;
	struct signal_info info;
	struct user_account *user; /* charged; NULL: not counted */
	struct posix_timer *timer; /* owned by a timer: not freed with the signal */
};
/* Stands for the lock below in the analysis, which cannot see that lock and unlock mean one table. */
extern struct __capability("signals") lock_token signals_held;
/* Locks the handlers of p, whichever they are by then. */
struct signal_handlers *process_lock_signals(struct process *p, u64 *flags)
	__acquires(signals_held);
static inline void process_unlock_signals(struct signal_handlers *h, u64 flags)
	__releases(signals_held) __no_lock_check
{
	spin_unlock_irq(&h->lock, flags);
}
/* The same for the current task's own process.  Only an exec of its replaces them; that of another thread
 * does while this one still runs. */
static inline struct signal_handlers *process_lock_own_signals(u64 *flags)
	__acquires(signals_held) __no_lock_check
{
	struct process *p = process_current();
	struct signal_handlers *h;

	if (unlikely(READ_ONCE(p->nr_threads) > 1))
		return process_lock_signals(p, flags);
	h = READ_ONCE(p->handlers);
	*flags = spin_lock_irq(&h->lock);
	return h;
}
struct signal_handlers *signal_handlers_create(void);
struct signal_handlers *signal_handlers_copy(struct signal_handlers *from);
/* All actions become the default, or those of ignored signals stay "ignore".  The lock is held, or h is not shared. */
void signal_handlers_reset(struct signal_handlers *h, bool keep_ignored);
void signal_handlers_put(struct signal_handlers *h);
void signal_queue_init(struct signal_queue *q);
void signal_queue_flush(struct signal_queue *q);
void signal_queue_remove_locked(struct signal_queue *q, signal_set_t set);
/* Sets or clears WORK_SIGNAL of t by what is pending; handlers lock held. */
void signal_recalculate_locked(struct task *t);
/* Starts the end of the whole process with this wait status; handlers lock held. */
void signal_kill_group_locked(struct process *p, s32 status);
/* Kills all other threads of the current process (exec); handlers lock held; how many. */
u32 signal_kill_others_locked(struct process *p);
/* Delivers on the way to user mode. */
void signal_deliver(struct trap_frame *frame);
/* Takes an entry of a timer out of whichever queue of p it is in. */
void signal_entry_withdraw_locked(struct process *p, struct signal_entry *e);
int signal_send_queued(struct process *p, struct task *t, struct signal_entry *e, int signo);
#define SIGNALS_STOP                                                                               \
	(signal_bit(SIGSTOP) | signal_bit(SIGTSTP) | signal_bit(SIGTTIN) | signal_bit(SIGTTOU))
#define SIGNALS_IGNORED_BY_DEFAULT                                                                 \
	(signal_bit(SIGCHLD) | signal_bit(SIGCONT) | signal_bit(SIGWINCH) | signal_bit(SIGURG))
#define SIGNALS_SYNCHRONOUS                                                                        \
	(signal_bit(SIGSEGV) | signal_bit(SIGBUS) | signal_bit(SIGILL) | signal_bit(SIGTRAP) |     \
	 signal_bit(SIGFPE) | signal_bit(SIGSYS))
#define SIGNALS_NEVER_BLOCKED (signal_bit(SIGKILL) | signal_bit(SIGSTOP))
#define SIGNAL_DEFAULT 0ull /* SIG_DFL, SIG_IGN as sigaction has them */
#define SIGNAL_IGNORE 1ull
/* Takes one of `set` from the task's queue, else from the process's; signo or 0. */
int signal_take_locked(struct task *t, signal_set_t set, struct signal_info *info);
void signal_wake_others_locked(struct task *t, signal_set_t newly_blocked);
/* Tells the parent of p: SIGCHLD with CLD_ code and wake-up of its waiters.  task_list_lock held.
 * Returns true if the parent ignores SIGCHLD (the child is to reap itself). */
bool process_notify_parent_locked(struct process *p, int signo, int code, int status);
/* A living thread that exits or parks may complete a group stop; handlers lock held; true: the
 * stop is now complete, and the parent is to be told. */
bool signal_stop_participate_locked(struct task *t);

/* ---- job.c ---- */
/* After p left (or its parent did): stopped groups that became orphans get SIGHUP and SIGCONT. */
bool job_group_is_orphaned_locked(struct pid_entry *group);
void job_check_orphans_locked(struct process *p, struct process *parent);
void process_leave_group_locked(struct process *p);
void process_join_group_locked(struct process *p, struct pid_entry *group);
void process_leave_session_locked(struct process *p);
void process_join_session_locked(struct process *p, struct pid_entry *session);

/* ---- exec_load.c ---- */
struct exec_request;
struct elf_image;
struct exec_start { /* what the new program begins with */
	struct aspace *aspace;
	u64 entry, stack;
	bool secure;
	const struct cred *cred;
	u32 personality;
};
/* Fills a new address space; −errno: nobody wants it any more. */
int exec_load(struct exec_request *r, struct elf_image *program, struct elf_image *interpreter,
	      struct file *interpreter_file, struct exec_start *s);

/* ---- exit.c ---- */
/* Drops the reference of its existence of a dead task that was unlinked, and that of its process if it led it. */
void task_release(struct task *t);
void aspace_replace_current(struct aspace *new);
void release_memory_users(struct task *t, bool dies);
void vfork_release(struct task *t);

/* ---- usage.c ---- */
void usage_add(struct usage *to, const struct usage *from);
void process_limits_init(struct process *p);

/* ---- timers ---- */
void itimer_init(struct process *p);
void itimer_exit(struct process *p);
void itimer_delivered(struct process *p);
void posix_timers_exit(struct process *p);
void posix_timer_delivered(struct posix_timer *t, struct signal_info *info);
void cpu_timers_check(struct task *t);
void cpu_timers_want(struct process *p, bool want);
bool cpu_limits_are_set(const struct process *p); /* those that ticks watch */
bool posix_timers_check_cpu(struct process *p);

/* ---- namespace.c ---- */
int task_unshare_files(struct task *t);

/* ---- rseq.c ---- */
void rseq_fix_up(struct task *t, struct trap_frame *frame);
void membarrier_exec(struct aspace *a);

/* ---- kernel_page.c; a process without a page (kernel_page is NULL) costs a load ---- */
/* p->kernel_page is not NULL: parent, group and session as they are. */
void kernel_page_tell_place_locked(struct process *p);
/* The same, before the parent changes. */
void kernel_page_forget_parent_locked(struct process *p);
/* u's lock is held: before its names change, and after. */
void kernel_pages_forget_names_locked(struct uts_namespace *u);
void kernel_pages_tell_names_locked(struct uts_namespace *u);
/* p->kernel_page is not NULL, and p leaves its address space: no thread of it reads the page any more. */
void kernel_page_leave(struct process *p);
void kernel_page_disown_locked(struct kernel_page *k);
void kernel_page_own_again(struct aspace *a);
void kernel_page_tell_threads(void);
/* The current task t has other ids or another namespace of names, and has not seen user mode since. */
static inline void kernel_page_follow(struct task *t)
{
	memory_fence(); /* with own_locked: another thread may be making the page */
	if (unlikely(READ_ONCE(t->process->kernel_page)))
		kernel_page_tell_threads();
}
/* Another process is about to run in `a`, which is the current one's too; `wait`: whose maker waits for it,
 * and then calls kernel_page_unshare. */
static inline void kernel_page_share_locked(struct aspace *a, bool wait)
{
	if (wait)
		atomic_add(&a->nr_vforks, 1u);
	else
		a->is_shared = true;
	if (unlikely(a->kernel_page))
		kernel_page_disown_locked(a->kernel_page);
}
static inline void kernel_page_unshare(struct aspace *a)
{
	atomic_sub(&a->nr_vforks, 1u);
	if (unlikely(READ_ONCE(a->kernel_page)))
		kernel_page_own_again(a);
}
/* t was added to the current process. */
void kernel_page_add_thread_slow_locked(struct task *t, u64 flags);
static inline void kernel_page_add_thread_locked(struct task *t, u64 flags)
{
	if (unlikely(task_current()->vfork_done || t->process->kernel_page))
		kernel_page_add_thread_slow_locked(t, flags);
}

/* ---- cred.c ---- */

/* The current thread's, referenced for another task: its open files are counted by each CPU from now on. */
const struct cred *cred_share(void);
struct user_account *user_account_hold(struct user_account *u);
