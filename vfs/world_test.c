/*
 * The world of vfs's unit tests.  On the host it also stands in for what vfs uses of mm and proc: a
 * page cache without pages, one process with root's credentials and one table of descriptors.
 */
/* needs: core/percpu_ref.c core/wait.c core/iobuf.c vfs/dentry.c vfs/inode.c vfs/super.c vfs/walk.c vfs/walk_link.c vfs/path_cache.c vfs/path.c
 vfs/mount.c vfs/mount_show.c vfs/propagate.c vfs/name.c vfs/attr.c vfs/file.c vfs/fd_table.c
 vfs/rw.c vfs/lock.c vfs/notify.c vfs/text.c vfs/char_device.c vfs/copy.c fs/tmpfs/tmpfs.c
 fs/tmpfs/file.c fs/tmpfs/xattr.c fs/tmpfs/shmem.c */
#include "test_world.h"

struct path world_root;

#ifdef NOS_HOST
#include <nos/aspace.h>
#include <nos/page.h>

extern const struct init_step __start_init_steps[], __stop_init_steps[];
extern void *calloc(size_t nr, size_t size);
extern void free(void *p);

static struct mount_namespace *namespace;
static struct fs_context *context;
static __thread struct thread host_thread;
static struct group_list no_groups;
struct fd_table *world_fds;

const struct cred *cred_current(void)
{
	static struct cred root = {
		.refs.count = 1, .cap_effective = ~0ull, .groups = &no_groups, .id = 1
	};

	return &root;
}
void cred_get(const struct cred *c)
{
}
void cred_put(const struct cred *c)
{
}
bool cred_in_group(const struct cred *c, u32 gid)
{
	return c->fsgid == gid;
}
struct fs_context *fs_context_current(void)
{
	return context;
}
struct mount_namespace *mount_namespace_current(void)
{
	return namespace;
}
struct fd_table *fd_table_current(void)
{
	return world_fds;
}
u64 process_nofile_limit(void)
{
	return 1000;
}
u64 process_fsize_limit(void)
{
	return U64_MAX;
}
__weak void page_cache_init(struct page_cache *c, const struct page_cache_ops *ops, void *owner,
			    u64 *size)
{
	*c = (struct page_cache){ .ops = ops, .owner = owner, .size = size };
}
__weak void page_cache_init_zeroed(struct page_cache *c, const struct page_cache_ops *ops,
				   void *owner, u64 *size)
{
	*c = (struct page_cache){ .ops = ops, .owner = owner, .size = size };
}
__weak void page_cache_fini(struct page_cache *c)
{
}
__weak void page_cache_truncate(struct page_cache *c, u64 start, u64 end)
{
}
__weak void memory_stats_read(struct memory_stats *s)
{
	*s = (struct memory_stats){ .total = 16384 };
}
__weak void *page_alloc(unsigned order, u32 flags)
{
	return calloc(1, PAGE_SIZE << order);
}
u64 clock_coarse_realtime_ns(void)
{
	static u64 now = 1000000000ull * NSEC_PER_SEC;

	return __atomic_add_fetch(&now, 1, __ATOMIC_RELAXED);
}
const struct file_ops fifo_file_ops;

static void host_start(void)
{
	host_current = &host_thread;
	if (context)
		return;
	for (const struct init_step *s = __start_init_steps; s < __stop_init_steps; s++)
		if (s->level == INIT_CORE)
			VERIFY(!s->run());
	for (const struct init_step *s = __start_init_steps; s < __stop_init_steps; s++)
		if (s->level == INIT_SUBSYSTEM)
			VERIFY(!s->run());
	for (const struct init_step *s = __start_init_steps; s < __stop_init_steps; s++)
		if (s->level == INIT_FS)
			VERIFY(!s->run());
	VERIFY(!vfs_mount_root(&namespace, &context));
}
#else
static void host_start(void)
{
}
#endif

static struct path cwd_before;

void world_enter(void)
{
	struct fs_context *fs;
	struct path p;

	host_start();
	fs = fs_context_current();
	world_root = fs->root;
	cwd_before = fs->cwd;
	path_get(&cwd_before);
	VERIFY(!vfs_mkdir_at(AT_FDCWD, "/world", 0755));
	VERIFY(!path_lookup(AT_FDCWD, "/world", 0, &p));
	VERIFY(!vfs_mount("world", &p, "tmpfs", 0, ""));
	path_put(&p);
	VERIFY(!path_lookup(AT_FDCWD, "/world", 0, &p));
	world_root = p; /* names are shown from here; not counted */
	VERIFY(!fs_context_set_cwd(fs, &p));
	path_put(&p);
}

void world_leave(void)
{
	struct path p;

	VERIFY(!fs_context_set_cwd(fs_context_current(), &cwd_before));
	path_put(&cwd_before);
	VERIFY(!path_lookup(AT_FDCWD, "/world", 0, &p));
	EXPECT_EQ(vfs_umount(&p, 0), 0); /* busy: someone kept a reference */
	path_put(&p);
	EXPECT_EQ(vfs_unlink_at(AT_FDCWD, "/world", AT_REMOVEDIR), 0);
}

int world_put_text(const char *name, const char *text, u32 flags)
{
	struct file *f = file_open_at(AT_FDCWD, name, O_WRONLY | flags, 0644, 0);
	u64 pos = 0;
	ssize_t n;

	if (is_err(f))
		return (int)ptr_err(f);
	n = file_write_kernel(f, text, strlen(text), &pos);
	file_put(f);
	return n == (ssize_t)strlen(text) ? 0 : n < 0 ? (int)n : -EIO;
}

void world_expect_text(const char *name, const char *want)
{
	struct file *f = file_open_at(AT_FDCWD, name, O_RDONLY, 0, 0);
	char text[64];
	ssize_t n;

	EXPECT(!is_err(f));
	if (is_err(f))
		return;
	n = file_read_kernel(f, text, sizeof(text) - 1, 0);
	file_put(f);
	EXPECT_EQ(n, strlen(want));
	text[max(n, (ssize_t)0)] = '\0';
	EXPECT(!strcmp(text, want));
}

int world_exists(const char *name)
{
	struct stat_info s;

	return vfs_stat_at(AT_FDCWD, name, AT_SYMLINK_NOFOLLOW, 0, &s);
}

/* Nothing is left behind by an empty visit. */
TEST(world_leaves_nothing)
{
	world_enter();
	world_leave();
}
