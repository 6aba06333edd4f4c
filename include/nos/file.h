/*
 * Open files, descriptors and their operations (vfs/file.c, vfs/fd_table.c).
 */
#pragma once

#include <nos/iobuf.h>
#include <nos/read_ahead.h>
#include <nos/thread.h>
#include <nos/vfs.h>

struct file;
struct map_request;
struct aspace;

/* getdents64: add returns false when the buffer is full: stop, and come back at this entry. */
struct dir_context {
	bool (*add)(struct dir_context *c, const char *name, u32 len, u64 ino, u8 type,
		    u64 next_position);
};

struct file_ops {
	/* *pos is the caller's; move it by what was transferred.  NULL: -EINVAL. */
	ssize_t (*read)(struct file *f, struct iobuf *to, u64 *pos);
	ssize_t (*write)(struct file *f, struct iobuf *from, u64 *pos);
	s64 (*seek)(struct file *f, s64 offset, int whence); /* NULL: -ESPIPE; see file_seek_* */
	int (*open)(struct inode *i, struct file *f); /* after fields are set */
	void (*release)(struct file *f); /* last reference gone */
	int (*flush)(struct file *f); /* each close of a descriptor */
	u32 (*poll)(struct file *f, struct poll_table *t); /* EPOLL* mask; NULL: always ready */
	u32 (*ready)(struct file *f); /* poll without a table, where that is shorter; or NULL */
	long (*ioctl)(struct file *f, u32 cmd, struct user_arg arg); /* NULL: -ENOTTY */
	/* Checks and completes an mmap: sets r->cache (and may set special); NULL: -ENODEV. */
	int (*map)(struct file *f, struct map_request *r);
	phys_t (*map_special)(struct file *f, u64 page_offset);
	int (*sync)(struct file *f, u64 start, u64 end, bool data_only); /* NULL: -EINVAL */
	int (*fallocate)(struct file *f, int mode, u64 offset, u64 len); /* NULL: -EOPNOTSUPP */
	int (*iterate)(struct file *f, struct dir_context *c); /* directories; uses f->position */
	/* Whole transfers between files; NULL: through read and write. */
	ssize_t (*splice_read)(struct file *f, u64 *pos, struct pipe *to, size_t len, u32 flags);
	ssize_t (*splice_write)(struct pipe *from, struct file *f, u64 *pos, size_t len, u32 flags);
	int (*set_flags)(struct file *f, u32 flags); /* F_SETFL veto */
	void (*show_fdinfo)(struct file *f, struct text_out *out);
	u32 flags; /* FILE_OPS_ */
};
#define FILE_OPS_STREAM 1u /* no position: pread and lseek are ESPIPE, no position lock */
#define FILE_OPS_NOWAIT 2u /* honours IOBUF_NOWAIT */

/* f->mode bits */
#define FILE_READ 1u
#define FILE_WRITE 2u
#define FILE_PATH 4u /* O_PATH */
#define FILE_STREAM 8u
#define FILE_POSITION_LOCK 16u /* regular files and directories */
#define FILE_DENIED_WRITE 32u /* holds a "text busy" */
#define FILE_EPOLLED 64u /* some epoll watches it: tell it at release */
#define FILE_WRITER 256u /* counted as a writer of its inode and mount */

struct file {
	/* hot line */
	const struct file_ops *ops;
	u32 mode; /* FILE_ bits */
	u32 flags; /* O_ status flags */
	struct ref refs;
	u32 owner_signal; /* F_SETSIG */
	u64 position;
	struct inode *inode; /* = path.dentry->inode, or an anonymous one */
	void *private; /* ops' */
	struct path path;
	struct mutex position_lock;
	struct folio *last_folio; /* of the page cache's last transfer: a hint */
	struct read_ahead ahead; /* how it is read */
	struct spinlock lock; /* flags, owner, epoll list */
	struct list epolls; /* epoll items that watch it */
	void *owner; /* F_SETOWN: struct pid_ref of proc; NULL */
	s32 owner_type;
	const struct cred *cred; /* of the opener */
	struct rcu_head rcu;
};

static inline void file_get(struct file *f)
{
	ref_get(&f->refs);
}
void file_release(struct file *f); /* file_put's last one */
/* The last one runs release: may sleep. */
static inline void file_put(struct file *f)
{
	if (unlikely(ref_put(&f->refs)))
		file_release(f);
}

/* Opens by name: flags O_*, checks, O_CREAT, truncation, inotify.  ERR. */
struct file *file_open_at(int dirfd, const char *name, u32 flags, u32 mode, u32 lookup_flags);
struct file *file_open_path(const struct path *p, u32 flags, const struct cred *cred);
/* From a stacked file system's open: f's operations, inode and private data become those of `real`, which
 * f's own inode keeps alive; the path stays. */
int file_become(struct file *f, struct inode *real);
/* A file on an anonymous inode ("anon_inode:[eventfd]"), O_ status flags; ERR. */
struct file *file_create_anonymous(const char *name, const struct file_ops *ops, void *private,
				   u32 flags);
/* A file on a new inode of sockfs ("socket:[7]"); ERR. */
struct file *file_create_socket(const struct file_ops *ops, void *private, u32 flags);
/* Two files on one new inode of pipefs ("pipe:[7]"), not yet visible to anyone: 0, -ENOMEM, -ENFILE. */
int file_create_pipe(const struct file_ops *const ops[2], void *private, const u32 flags[2],
		     struct file *ends[2]) __must_check;

void file_replace_ops(struct file *f, const struct file_ops *ops); /* for a device's open */
/* read and write of files in the page cache: times, limits, O_APPEND, set-id bits; seek with size,
 * SEEK_DATA and SEEK_HOLE by the cache. */
ssize_t file_read_generic(struct file *f, struct iobuf *to, u64 *pos);
ssize_t file_write_generic(struct file *f, struct iobuf *from, u64 *pos);

/* Inner calls of read(2) and friends; *pos NULL = the file's own position with its lock. */
ssize_t file_read(struct file *f, struct iobuf *to, u64 *pos);
ssize_t file_write(struct file *f, struct iobuf *from, u64 *pos);
s64 file_seek(struct file *f, s64 offset, int whence);
s64 file_seek_nowhere(struct file *f, s64 offset, int whence); /* 0: there are no places */
s64 file_seek_generic(struct file *f, s64 offset, int whence); /* size from the inode */
u32 file_poll(struct file *f, struct poll_table *t);
/* Kernel's own reads (exec): bytes or −errno. */
ssize_t file_read_kernel(struct file *f, void *to, size_t len, u64 pos);
ssize_t file_write_kernel(struct file *f, const void *from, size_t len, u64 *pos);
int file_map_generic(struct file *f, struct map_request *r); /* cached files: sets r->cache */
int vfs_truncate_file(struct file *f, u64 size);
int vfs_fallocate(struct file *f, int mode, u64 offset, u64 len);
/* Whether a file may become so long: -EFBIG, with SIGXFSZ where it is RLIMIT_FSIZE. */
int inode_check_growth(const struct inode *i, u64 size);
int vfs_fsync(struct file *f, u64 start, u64 end, bool data_only);
ssize_t vfs_sendfile(struct file *out, struct file *in, u64 *in_pos, size_t len);
ssize_t vfs_copy_file_range(struct file *in, u64 *in_pos, struct file *out, u64 *out_pos,
			    size_t len, u32 flags);
/* Memory as a file (fs/tmpfs): memfd_create, shared anonymous mappings, SysV segments.  F_SEAL_*; ERR. */
struct file *shmem_file_create(const char *name, u64 size, u32 seals, u32 flags);
int file_get_seals(struct file *f); /* F_GET_SEALS; -EINVAL */
int file_add_seals(struct file *f, u32 seals);
/* A file system's open of a nameless inode (consumed) on `where`'s mount; `name` is what /proc shows. */
struct file *file_create_unnamed(const struct path *where, struct inode *i, const char *name,
				 u32 flags);
/* Text busy: exec denies writing to the file it runs, until the last reference goes; 0 or -ETXTBSY. */
int file_deny_write(struct file *f) __must_check;

/*
 * read(2) and write(2) go straight to the operation where there is no position to be locked and no one
 * watches.
 */
extern u32 notify_active; /* inotify watches in the system */
static inline bool file_needs_position_lock(const struct file *f)
{
	return (f->mode & (FILE_STREAM | FILE_POSITION_LOCK)) == FILE_POSITION_LOCK &&
	       ref_read(&f->refs) != 1;
}
/* ---- descriptors ---- */

/*
 * A flat array of file pointers read under RCU, with bitmaps of used and
 * close-on-exec slots.  While the table belongs to one thread a lookup takes no
 * reference.
 */
struct fd_array {
	u32 size;
	u32 bound; /* no used slot from here on; a multiple of 64 */
	struct file **files;
	u64 *used, *close_on_exec, *full_words;
	struct rcu_head rcu;
};
struct fd_table {
	struct ref refs; /* threads that share it (CLONE_FILES) */
	struct spinlock lock; /* changes */
	struct fd_array *array;
	u32 next_hint; /* no free slot below */
	struct fd_array first; /* 64 slots inline */
	struct file *first_files[64];
	u64 first_used, first_cloexec, first_full;
};

struct fd_table *fd_table_current(void); /* defined by proc */

/* A looked-up descriptor; `counted` says whether fd_release drops a reference. */
struct fd_ref {
	struct file *file; /* NULL: EBADF */
	bool counted;
};
/* Slow forms: shared tables, and what is refused. */
struct fd_ref fd_lookup_shared(int fd);
struct fd_ref fd_lookup_shared_any(int fd);

/* The current task's table: its offset in struct task is a link-time constant that proc defines. */
#ifdef NOS_HOST
#define fd_table_here() fd_table_current()
#else
extern char task_fds_offset[];
static inline struct fd_table *fd_table_here(void)
{
	return *(struct fd_table **)((char *)current_thread + (uintptr_t)task_fds_offset);
}
#endif

/* The file of a table that one thread owns, without a reference; NULL: use the slow form. */
static inline struct file *fd_light(int fd)
{
	const struct fd_table *t = fd_table_here();
	const struct fd_array *a;

	if (unlikely(ref_read(&t->refs) != 1))
		return NULL;
	a = t->array;
	return likely((u32)fd < a->size) ? a->files[fd] : NULL;
}

/* O_PATH files are EBADF here. */
static inline struct fd_ref fd_lookup(int fd)
{
	struct file *f = fd_light(fd);

	if (likely(f && !(f->mode & FILE_PATH)))
		return (struct fd_ref){ f, false };
	return fd_lookup_shared(fd);
}
/* O_PATH allowed. */
static inline struct fd_ref fd_lookup_any(int fd)
{
	struct file *f = fd_light(fd);

	if (likely(f))
		return (struct fd_ref){ f, false };
	return fd_lookup_shared_any(fd);
}
void fd_release_counted(struct file *f);
static inline void fd_release(struct fd_ref r)
{
	if (unlikely(r.counted))
		fd_release_counted(r.file);
}
/* Scoped: released at the end of the block. */
static inline void scoped_fd_end(struct fd_ref *r)
{
	fd_release(*r);
}
#define scoped_fd __attribute__((cleanup(scoped_fd_end))) struct fd_ref

int fd_allocate(u32 first, u32 flags); /* reserves a slot: fd, -EMFILE; flags O_CLOEXEC */
void fd_install(int fd, struct file *f); /* consumes the reference */
void fd_cancel(int fd); /* gives a reserved slot back */
/* Both at once: consumes f also on error. */
int fd_add(struct file *f, u32 flags);
int fd_close(int fd);
int fd_close_range(u32 first, u32 last, u32 flags);
int fd_dup(int old, u32 first, u32 flags);
int fd_dup_to(int old, int new, u32 flags);
struct file *fd_get_file(int fd); /* counted reference, or NULL */
/* Whether fd still is f; if not, who closed it may not have seen what the caller did before. */
bool fd_is_file(int fd, const struct file *f);
bool fd_is_cloexec(int fd);
int fd_set_cloexec(int fd, bool on);

struct fd_table *fd_table_create(void);
struct fd_table *fd_table_copy(struct fd_table *t, u32 max_fd); /* fork; ERR */
void fd_table_put(struct fd_table *t); /* last: closes all */
void fd_table_close_on_exec(struct fd_table *t);
/* Another process's table: /proc/PID/fd, pidfd_getfd, kcmp.  Counted, or NULL. */
struct file *fd_table_get_file(struct fd_table *t, u32 fd);
/* First used slot ≥ from, or -1. */
int fd_table_next(struct fd_table *t, u32 from);
u64 process_nofile_limit(void); /* RLIMIT_NOFILE; defined by proc */
u64 process_fsize_limit(void); /* RLIMIT_FSIZE; defined by proc */
void process_signal_self(int signo); /* SIGPIPE, SIGXFSZ; defined by proc */
void process_file_owner_put(struct file *f); /* drops f->owner; defined by proc */
/* fcntl's F_SETOWN, F_GETOWN, F_SETOWN_EX, F_GETOWN_EX; defined by proc. */
long process_file_owner_control(struct file *f, u32 cmd, struct user_arg arg);
void process_signal_file_owner(struct file *f, int band); /* SIGIO; defined by proc */

/* ---- locks on files: fcntl and flock (vfs/lock.c) ---- */
struct file_lock_request {
	u64 start, end; /* inclusive */
	int type; /* F_RDLCK, F_WRLCK, F_UNLCK */
	bool ofd, flock, wait;
	s32 pid;
};
int file_lock(struct file *f, struct file_lock_request *r);
int file_lock_test(struct file *f, struct file_lock_request *r);
void file_locks_close(struct file *f, struct fd_table *t);
int file_locks_show(struct file *f, const struct fd_table *t, struct text_out *out); /* fdinfo */

/* ---- hooks of ipc: a watched file goes away, one that has had O_ASYNC set ---- */
void epoll_file_released(struct file *f);
void async_file_released(struct file *f);

/* ---- inotify (vfs/notify.c): called by vfs operations and file_read/write; cheap if nobody watches ---- */
void notify_path(struct dentry *d, u32 mask); /* IN_* on it and on its parent */
void notify_file(struct file *f, u32 mask);
void notify_move(struct inode *old_dir, const char *old_name, struct inode *new_dir,
		 const char *new_name, struct inode *moved);

/* An inotify instance; add: a watch descriptor, or −errno. */
struct file *inotify_create(u32 flags);
bool file_is_inotify(const struct file *f);
int inotify_add(struct file *f, const struct path *p, u32 mask);
int inotify_remove(struct file *f, s32 wd);
#include <nos/char_device.h>
