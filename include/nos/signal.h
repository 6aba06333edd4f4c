/* Sending, taking and masking signals (proc/signal.c). */
#pragma once

#include <nos/task.h>

/* Sends; info NULL = from the kernel.  0 or −errno; no permission check. */
int signal_send_task(struct task *t, int signo, const struct signal_info *info);
int signal_send_process(struct process *p, int signo, const struct signal_info *info);
int signal_send_group(struct pid_entry *group, int signo, const struct signal_info *info);
/* To whom F_SETOWN of the file names, as far as its opener may. */
void signal_send_file_owner(struct file *f, int signo);
/* To the current task for its own fault: cannot be ignored or blocked. */
void signal_force(int signo, const struct signal_info *info);
/* kill(2)'s permission rule for the current task; 0 or -EPERM. */
int signal_permission(struct process *p, int signo, bool same_session_cont);
/* kill(2) itself: pid as there; info NULL makes the usual SI_USER one. */
int signal_kill(s32 pid, int signo, const struct signal_info *info);
/* kill(2), or with a tid tgkill(2), if it goes to the current task, which will handle it at once; false:
 * nothing was done. */
bool signal_raise(s32 pid, s32 tid, int signo);
/* What kill(2) and tgkill(2) report of the current task. */
void signal_info_user(struct signal_info *info, int signo, int code);
/* Takes the next pending signal in `set` (sigtimedwait, signalfd): signo or 0. */
int signal_dequeue(signal_set_t set, struct signal_info *info);
bool signal_is_pending_in(signal_set_t set);
struct wait_queue *signal_wait_queue(void); /* of the current task's handlers */
/* sigtimedwait: between the two the signals of `set` wake the current task though it blocks them,
 * and are not acted upon. */
void signal_begin_taking(signal_set_t set);
void signal_end_taking(void);
/* sigaction: either may be NULL; what is pending of a signal now ignored is dropped. */
void signal_change_action(int signo, const struct signal_action *new, struct signal_action *old);
/* Sets the current task's blocked mask. */
void signal_set_blocked(signal_set_t mask);
/* Temporary mask of ppoll & co.: restored on the way out if no handler runs. */
void signal_set_temporary_mask(signal_set_t mask);
