/*
 * The order of locks, in one place.  A lock may be taken only while every lock
 * held has a lower rank; RANK_NONE is not checked.  Two locks of one rank may
 * be held together only where the comment says by which order.
 */
#pragma once

enum lock_rank {
	RANK_NONE,
	/* sleeping locks */
	RANK_MOUNT, /* mount tree changes */
	RANK_RENAME, /* one cross-directory rename a file system at a time */
	RANK_EXEC, /* credentials change / exec of one process */
	RANK_FILE_POSITION, /* struct file.position_lock */
	RANK_FILE_STATE, /* what an open file keeps beside its position: a pseudo file's text */
	RANK_STACKED_DIR, /* the same two of a file system that stands on others */
	RANK_STACKED_INODE,
	RANK_INODE_DIR, /* parent directories (ancestor first, then by address) */
	RANK_INODE, /* directory entry targets and files (by address) */
	RANK_TTY, /* a terminal's readers, its writers, its opens: never two at once */
	RANK_TTY_LINE, /* its line discipline */
	RANK_SOCKET, /* by address */
	RANK_EPOLL, /* outer epoll before inner */
	RANK_PIPE, /* two pipes by address */
	RANK_FUTEX_PI,
	RANK_ASPACE, /* mapping tree of an address space (writers) */
	RANK_PAGE_CACHE_MAPPINGS, /* list of mappings of one page cache */
	RANK_FOLIO, /* folio content lock, by index within a file */
	RANK_DRIVER,
	RANK_NOTIFY, /* all lists of inotify's watches */
	RANK_NOTIFY_QUEUE, /* the events of one instance */
	RANK_VMAP,
	RANK_STATIC_KEY,
	/* spin locks */
	RANK_TASK_LIST = 64, /* parent, child, group and session lists */
	RANK_SIGHAND, /* signal state; two of them: never together */
	RANK_TASK, /* struct task.lock */
	RANK_FD_TABLE,
	RANK_DENTRY, /* parent before child */
	RANK_INODE_SPIN,
	RANK_PAGE_CACHE,
	RANK_PAGE_TABLE, /* one leaf table; two in address order */
	RANK_TIMER_OWNER, /* POSIX timer and itimer state */
	RANK_FUTEX_BUCKET, /* two by address */
	RANK_FUTEX_GRAPH, /* owners of PI futexes and what they wait for */
	RANK_WAIT_QUEUE, /* nested wake-ups (epoll in epoll): by depth */
	RANK_WAIT_QUEUE_NESTED,
	RANK_MUTEX_WAITERS, /* sleepers on mutexes and rwlocks */
	RANK_THREAD_WAKE, /* wake-up and parameters of one thread */
	RANK_RUN_QUEUE, /* by cpu number */
	RANK_TIMER_BASE,
	RANK_SLAB,
	RANK_PAGE_ALLOC,
	RANK_DEVICE, /* interrupt-side driver state */
	RANK_CONSOLE,
	RANK_LEAF, /* nothing is taken below it */
};
