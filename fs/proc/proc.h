/* procfs: shared by its files.  Private to fs/proc; theory in super.c. */
#pragma once

#include <nos/aspace.h>
#include <nos/errno.h>
#include <nos/file.h>
#include <nos/pseudo.h>
#include <nos/slab.h>
#include <nos/string.h>
#include <nos/task.h>
#include <nos/vfs.h>
#include <linux/stat.h>

/* One file of /proc/PID or /proc/PID/task/TID. */
struct pid_file {
	const char *name;
	u32 mode; /* type and permissions */
	u32 flags; /* PID_FILE_ */
	int (*show)(struct text_out *out, struct task *t);
	ssize_t (*store)(struct task *t, const char *text, size_t len);
	/* S_IFLNK: a magic link. */
	int (*follow)(struct task *t, struct path *to);
	int (*readlink)(struct task *t, char *to, size_t size);
	const struct file_ops *ops; /* instead of show */
	const struct inode_ops *dir_ops; /* S_IFDIR, with `ops` */
};
#define PID_FILE_PROCESS 1u /* not below task/ */
#define PID_FILE_ASPACE 4u /* of the address space that the process had at open */
#define PID_FILE_INSPECT 2u /* only who may ptrace the task may open it */

/* In the private data of every inode below /proc/PID; the others are plain pseudo-tree inodes. */
struct proc_node {
	struct pid_entry *pid; /* counted; its task is gone when the process has ended */
	bool is_thread; /* below task/TID */
	const struct pid_file *file; /* NULL: the directory of the process itself */
	s32 fd; /* fd/N and fdinfo/N, else −1 */
};
#define INODE_PROC_NODE (1u << 31) /* inode.flags: private is a proc_node */

static inline struct proc_node *proc_node(const struct inode *i)
{
	return i->private;
}

extern const struct inode_ops proc_root_inode_ops, proc_pid_dir_ops, proc_task_dir_ops;
extern const struct inode_ops proc_fd_dir_ops, proc_fdinfo_dir_ops;
extern const struct file_ops proc_root_ops, proc_pid_file_ops, proc_task_ops, proc_fd_ops;
extern const struct file_ops proc_fdinfo_ops, proc_text_ops;
extern const struct file_ops proc_mem_ops, proc_pagemap_ops;
extern const struct inode_ops proc_ns_dir_ops;
extern const struct file_ops proc_ns_ops;

/* A new inode for `file` of the process; takes a reference on pid.  NULL. */
struct inode *proc_inode_create(struct super_block *sb, struct pid_entry *pid, bool is_thread,
				const struct pid_file *file, s32 fd, u32 mode);
/* The same for a file of a table, with the operations of its sort. */
struct inode *proc_file_create(struct super_block *sb, const struct proc_node *parent,
			       const struct pid_file *file);
/* The task behind an inode, counted, or NULL when it is gone. */
struct task *proc_task(const struct inode *i);
/* What readlink of a magic link gives: the place's name, without a NUL; puts the path.  Length, or −errno. */
int proc_format_link(struct path *p, char *to, size_t size);
/* "." and ".." of a directory; false: the buffer is full. */
bool proc_list_dots(struct file *f, struct dir_context *c);
s32 proc_parse_number(const char *name, u32 len); /* −1: not a plain number */

/* ---- what the files show: pid_*.c ---- */
int pid_show_stat(struct text_out *out, struct task *t);
int pid_show_thread_stat(struct text_out *out, struct task *t);
int pid_show_status(struct text_out *out, struct task *t);
int pid_show_statm(struct text_out *out, struct task *t);
int pid_show_comm(struct text_out *out, struct task *t);
ssize_t pid_store_comm(struct task *t, const char *text, size_t len);
int pid_show_limits(struct text_out *out, struct task *t);
int pid_show_io(struct text_out *out, struct task *t);
int pid_show_sched(struct text_out *out, struct task *t);
int pid_show_schedstat(struct text_out *out, struct task *t);
int pid_show_stack(struct text_out *out, struct task *t);
int pid_show_wchan(struct text_out *out, struct task *t);
int pid_show_personality(struct text_out *out, struct task *t);
int pid_show_oom_score(struct text_out *out, struct task *t);
int pid_show_oom_score_adj(struct text_out *out, struct task *t);
ssize_t pid_store_oom_score_adj(struct task *t, const char *text, size_t len);
int pid_show_mounts(struct text_out *out, struct task *t);
int pid_show_mountinfo(struct text_out *out, struct task *t);
int pid_show_mountstats(struct text_out *out, struct task *t);
int pid_show_cgroup(struct text_out *out, struct task *t);
int pid_show_id_map(struct text_out *out, struct task *t);
int pid_show_setgroups(struct text_out *out, struct task *t);
int pid_show_timerslack(struct text_out *out, struct task *t);
int pid_show_cmdline(struct text_out *out, struct task *t);
int pid_show_environ(struct text_out *out, struct task *t);
int pid_show_auxv(struct text_out *out, struct task *t);
int pid_show_maps(struct text_out *out, struct task *t);
int pid_show_smaps(struct text_out *out, struct task *t);
int pid_show_smaps_rollup(struct text_out *out, struct task *t);
int pid_follow_exe(struct task *t, struct path *to);
int pid_follow_cwd(struct task *t, struct path *to);
int pid_follow_root(struct task *t, struct path *to);
