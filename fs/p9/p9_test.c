/*
 * The 9P file system from mount to unmount on a server in memory: all messages, both cachings, what
 * the host changes behind our back, replies that lie, and each allocation failing in turn.
 */
/* tests: fs/p9/client.c fs/p9/dir.c fs/p9/file.c fs/p9/super.c fs/p9/ahead.c */
/* needs: fs/p9/server_test.c mm/pool.c vfs/channel.c vfs/world_test.c tests/host/memory.c mm/page_cache.c mm/huge_file.c mm/read_ahead.c
 mm/lru.c mm/folio_lock.c mm/rmap.c mm/page_alloc.c mm/page_node.c mm/fault_injection_test.c */
#include <nos/errno.h>
#include <nos/file.h>
#include <nos/init.h>
#include <nos/name.h>
#include <nos/page_cache.h>
#include <nos/slab.h>
#include <nos/string.h>
#include <nos/log.h>
#include <nos/test.h>
#include <linux/fcntl.h>
#include <linux/fs.h>
#include <linux/stat.h>

#include "test_server.h"

#include <nos/test_world.h>

/* The file's bytes as a string; the length or −errno. */
static ssize_t get_text(const char *name, char *to, size_t size)
{
	struct file *f = file_open_at(AT_FDCWD, name, O_RDONLY, 0, 0);
	ssize_t n;

	to[0] = '\0';
	if (is_err(f))
		return ptr_err(f);
	n = file_read_kernel(f, to, size - 1, 0);
	if (n >= 0)
		to[n] = '\0';
	file_put(f);
	return n;
}

static void expect_text(const char *name, const char *want)
{
	char text[64];

	EXPECT_EQ(get_text(name, text, sizeof(text)), strlen(want));
	EXPECT(!strcmp(text, want));
}

static int exists(const char *name)
{
	struct stat_info s;

	return vfs_stat_at(AT_FDCWD, name, AT_SYMLINK_NOFOLLOW, 0, &s);
}

struct listing {
	struct dir_context context;
	u32 nr, room;
	char text[512];
};

static bool list_add(struct dir_context *c, const char *name, u32 len, u64 ino, u8 type, u64 next)
{
	struct listing *l = container_of(c, struct listing, context);
	size_t at = strlen(l->text);

	if (l->nr == l->room)
		return false;
	EXPECT(at + len + 2 < sizeof(l->text));
	memcpy(l->text + at, name, len);
	memcpy(l->text + at + len, " ", 2);
	l->nr++;
	return true;
}

/* The names of a directory, `room` at a time; −errno. */
static int list(const char *name, u32 room, char *to, size_t size)
{
	struct file *f = file_open_at(AT_FDCWD, name, O_RDONLY | O_DIRECTORY, 0, 0);
	struct listing l = { .context = { list_add }, .room = room };
	int err = 0;

	if (is_err(f))
		return (int)ptr_err(f);
	do {
		l.nr = 0;
		err = f->ops->iterate(f, &l.context);
	} while (!err && l.nr == room);
	file_put(f);
	string_copy(to, l.text, size);
	return err;
}

static void use_every_message(void)
{
	char text[128];
	struct stat_info s;
	struct fs_stats stats;
	struct path p;

	EXPECT_EQ(world_put_text("m/f", "hello", O_CREAT | O_EXCL), 0);
	EXPECT_EQ(world_put_text("m/f", "hello", O_CREAT | O_EXCL), -EEXIST);
	expect_text("m/f", "hello");
	EXPECT_EQ(world_put_text("m/f", "J", 0), 0);
	expect_text("m/f", "Jello");
	EXPECT_EQ(world_put_text("m/f", "w", O_APPEND), 0);
	expect_text("m/f", "Jellow");
	EXPECT_EQ(world_put_text("m/f", "x", O_TRUNC), 0);
	expect_text("m/f", "x");
	EXPECT_EQ(vfs_mkdir_at(AT_FDCWD, "m/d", 0755), 0);
	EXPECT_EQ(vfs_symlink_at("../f", AT_FDCWD, "m/d/l"), 0);
	expect_text("m/d/l", "x");
	EXPECT_EQ(vfs_readlink_at(AT_FDCWD, "m/d/l", text, sizeof(text)), 4);
	EXPECT_EQ(vfs_mknod_at(AT_FDCWD, "m/null", S_IFCHR | 0666, make_dev(1, 3)), 0);
	EXPECT_EQ(vfs_stat_at(AT_FDCWD, "m/null", 0, 0, &s), 0);
	EXPECT_EQ(s.mode, S_IFCHR | 0644);
	EXPECT_EQ(vfs_link_at(AT_FDCWD, "m/f", AT_FDCWD, "m/g", 0), 0);
	EXPECT_EQ(vfs_stat_at(AT_FDCWD, "m/g", 0, 0, &s), 0);
	EXPECT_EQ(s.nlink, 2);
	EXPECT_EQ(vfs_rename_at(AT_FDCWD, "m/g", AT_FDCWD, "m/d/h", 0), 0);
	EXPECT_EQ(exists("m/g"), -ENOENT);
	expect_text("m/d/h", "x");
	EXPECT_EQ(vfs_rename_at(AT_FDCWD, "m/f", AT_FDCWD, "m/d", RENAME_EXCHANGE), -EINVAL);
	EXPECT_EQ(path_lookup(AT_FDCWD, "m/f", 0, &p), 0);
	EXPECT_EQ(vfs_truncate(&p, 3), 0);
	EXPECT_EQ(vfs_set_xattr(&p, "user.a", "value", 5, 0), 0);
	EXPECT_EQ(vfs_get_xattr(&p, "user.a", text, sizeof(text)), 5);
	EXPECT_EQ(vfs_get_xattr(&p, "user.a", text, 3), -ERANGE);
	EXPECT_EQ(vfs_get_xattr(&p, "user.b", text, sizeof(text)), -ENODATA);
	EXPECT_EQ(vfs_set_xattr(&p, "user.a", NULL, 0, 0), 0);
	EXPECT_EQ(vfs_statfs(&p, &stats), 0);
	EXPECT_EQ(stats.name_max, 255);
	path_put(&p);
	EXPECT_EQ(vfs_stat_at(AT_FDCWD, "m/f", 0, 0, &s), 0);
	EXPECT_EQ(s.size, 3);
	EXPECT_EQ(list("m/d", 8, text, sizeof(text)), 0);
	EXPECT(!strcmp(text, "l h "));
	EXPECT_EQ(list("m", 1, text, sizeof(text)), 0);
	EXPECT(!strcmp(text, "f d null "));
	EXPECT_EQ(vfs_unlink_at(AT_FDCWD, "m/d", AT_REMOVEDIR), -ENOTEMPTY);
	EXPECT_EQ(vfs_unlink_at(AT_FDCWD, "m/d/l", 0), 0);
	EXPECT_EQ(vfs_unlink_at(AT_FDCWD, "m/d/h", 0), 0);
	EXPECT_EQ(vfs_unlink_at(AT_FDCWD, "m/d", AT_REMOVEDIR), 0);
	EXPECT_EQ(vfs_unlink_at(AT_FDCWD, "m/f", 0), 0);
	EXPECT_EQ(vfs_unlink_at(AT_FDCWD, "m/null", 0), 0);
}

TEST(p9_every_message_with_no_cache)
{
	test_server_mount("trans=virtio,version=9p2000.L,cache=none");
	use_every_message();
	test_server_umount();
}

TEST(p9_every_message_with_a_loose_cache)
{
	test_server_mount("cache=loose,msize=8192,aname=/");
	use_every_message();
	test_server_umount();
}

/* A share that others change: names come, go and become something else; what stayed keeps its place. */
TEST(p9_what_the_host_changes)
{
	struct path p, again;
	char text[64];

	test_server_mount("cache=none");
	EXPECT_EQ(exists("m/a"), -ENOENT);
	test_server_put("a", "one");
	expect_text("m/a", "one");
	test_server_put("a", "three");
	expect_text("m/a", "three");
	test_server_put("a", NULL);
	EXPECT_EQ(exists("m/a"), -ENOENT);
	EXPECT_EQ(vfs_mkdir_at(AT_FDCWD, "m/d", 0755), 0);
	EXPECT_EQ(world_put_text("m/d/f", "deep", O_CREAT), 0);
	EXPECT_EQ(path_lookup(AT_FDCWD, "m/d", 0, &p), 0);
	expect_text("m/d/f", "deep");
	EXPECT_EQ(path_lookup(AT_FDCWD, "m/d", 0, &again), 0);
	EXPECT(p.dentry == again.dentry);
	path_put(&again);
	EXPECT_EQ(vfs_mount("t", &p, "tmpfs", 0, ""), 0);
	EXPECT_EQ(exists("m/d/f"), -ENOENT);
	EXPECT_EQ(world_put_text("m/d/g", "above", O_CREAT), 0);
	expect_text("m/d/g", "above");
	EXPECT_EQ(path_lookup(AT_FDCWD, "m/d", 0, &again), 0);
	EXPECT_EQ(vfs_umount(&again, 0), 0);
	path_put(&again);
	path_put(&p);
	expect_text("m/d/f", "deep");
	/* A directory that was another's: what was known below it goes with the mount at the latest. */
	test_server_put("e", "x");
	EXPECT_EQ(vfs_rename_at(AT_FDCWD, "m/d", AT_FDCWD, "m/old", 0), 0);
	EXPECT_EQ(vfs_mkdir_at(AT_FDCWD, "m/d", 0755), 0);
	EXPECT_EQ(exists("m/d/f"), -ENOENT);
	expect_text("m/old/f", "deep");
	test_server_put("old", "now a file");
	EXPECT_EQ(get_text("m/old/f", text, sizeof(text)), -ENOTDIR);
	test_server_umount();
}

static int try_mount(const char *source, const char *options)
{
	struct path p;
	int err;

	VERIFY(!path_lookup(AT_FDCWD, "m", 0, &p));
	err = vfs_mount(source, &p, "9p", 0, options);
	path_put(&p);
	return err;
}

TEST(p9_mounts_that_fail)
{
	static const char *const options[] = { "trans=tcp",     "version=9p2000.u",
					       "msize=100",     "msize=many",
					       "cache=fscache", "nonsense",
					       "cache=loose,x", "msize=" };

	world_enter();
	test_server_start();
	EXPECT_EQ(vfs_mkdir_at(AT_FDCWD, "m", 0755), 0);
	EXPECT_EQ(try_mount("no-such-server", ""), -ENOENT);
	for (u32 n = 0; n < ARRAY_SIZE(options); n++)
		EXPECT_EQ(try_mount(TEST_SERVER, options[n]), -EINVAL);
	test_server.fail = P9_TVERSION;
	EXPECT_EQ(try_mount(TEST_SERVER, ""), -EIO);
	test_server.fail = P9_TATTACH;
	EXPECT_EQ(try_mount(TEST_SERVER, ""), -EIO);
	test_server.fail = P9_TGETATTR;
	EXPECT_EQ(try_mount(TEST_SERVER, ""), -EIO);
	test_server_start();
	EXPECT_EQ(try_mount(TEST_SERVER, ",,cache=none,"), 0);
	EXPECT_EQ(try_mount(TEST_SERVER, ""), -EBUSY); /* one mount a channel */
	test_server_umount();
}

/* Each message fails in turn; nothing is left behind, and no error is taken for success. */
TEST(p9_each_message_fails)
{
	static const u8 types[] = { P9_TWALK,    P9_TGETATTR,   P9_TSETATTR,    P9_TLOPEN,
				    P9_TLCREATE, P9_TMKDIR,     P9_TMKNOD,      P9_TSYMLINK,
				    P9_TLINK,    P9_TRENAMEAT,  P9_TUNLINKAT,   P9_TREADLINK,
				    P9_TREADDIR, P9_TREAD,      P9_TWRITE,      P9_TSTATFS,
				    P9_TFSYNC,   P9_TXATTRWALK, P9_TXATTRCREATE };
	struct fs_stats stats;
	char text[64];
	struct path p;

	for (u32 n = 0; n < 2 * ARRAY_SIZE(types); n++) {
		u32 type = types[n / 2];

		test_server_mount(n % 2 ? "cache=none" : "cache=loose");
		EXPECT_EQ(world_put_text("m/f", "old", O_CREAT), 0);
		EXPECT_EQ(vfs_mkdir_at(AT_FDCWD, "m/d", 0755), 0);
		EXPECT_EQ(vfs_symlink_at("f", AT_FDCWD, "m/l"), 0);
		VERIFY(!path_lookup(AT_FDCWD, "m/f", 0, &p));
		test_server.fail = type;
		EXPECT_EQ(world_put_text("m/n", "new", O_CREAT) == 0,
			  type != P9_TWALK && type != P9_TLCREATE && type != P9_TGETATTR &&
				  type != P9_TLOPEN && type != P9_TWRITE);
		(void)get_text("m/f", text, sizeof(text));
		(void)get_text("m/l", text, sizeof(text));
		EXPECT_EQ(vfs_mkdir_at(AT_FDCWD, "m/e", 0755) == 0,
			  type != P9_TMKDIR && type != P9_TWALK && type != P9_TGETATTR);
		(void)vfs_mknod_at(AT_FDCWD, "m/c", S_IFIFO | 0600, 0);
		(void)vfs_symlink_at("f", AT_FDCWD, "m/s");
		(void)vfs_link_at(AT_FDCWD, "m/f", AT_FDCWD, "m/g", 0);
		(void)vfs_rename_at(AT_FDCWD, "m/f", AT_FDCWD, "m/d/f", 0);
		(void)vfs_truncate(&p, 1);
		(void)vfs_set_xattr(&p, "user.a", "value", 5, 0);
		(void)vfs_get_xattr(&p, "user.a", text, sizeof(text));
		(void)vfs_list_xattr(&p, text, sizeof(text));
		(void)vfs_statfs(&p, &stats);
		(void)list("m", 3, text, sizeof(text));
		(void)vfs_unlink_at(AT_FDCWD, "m/l", 0);
		(void)vfs_unlink_at(AT_FDCWD, "m/e", AT_REMOVEDIR);
		path_put(&p);
		test_server.fail = 0;
		test_server_umount();
	}
}

/* What a reply may lie about: sizes, counts, types, tags. */
static u32 lie_at;
static u8 lie_value;

static void lie(u8 *reply, u32 *len, u32 room)
{
	if (lie_at < *len)
		reply[lie_at] = lie_value;
	else
		*len -= min(*len, lie_at % 16); /* cut short */
}

TEST(p9_replies_that_lie)
{
	static const u8 values[] = { 0, 1, 0x7f, 0xff };
	struct fs_stats stats;
	char text[64];
	struct path p;

	/* A grace period for each takes its time in the kernel. */
#ifdef NOS_HOST
	const u32 step = 1;
#else
	const u32 step = 7;
#endif
	for (u32 n = 0; n < 64 * ARRAY_SIZE(values); n += step) {
		test_server_mount(n % 2 ? "cache=none" : "cache=loose");
		EXPECT_EQ(world_put_text("m/f", "old", O_CREAT), 0);
		EXPECT_EQ(vfs_symlink_at("f", AT_FDCWD, "m/l"), 0);
		VERIFY(!path_lookup(AT_FDCWD, "m/f", 0, &p));
		lie_at = n / ARRAY_SIZE(values);
		lie_value = values[n % ARRAY_SIZE(values)];
		test_server.tamper = lie;
		(void)get_text("m/f", text, sizeof(text));
		(void)get_text("m/l", text, sizeof(text));
		(void)world_put_text("m/f", "new", O_TRUNC);
		(void)list("m", 8, text, sizeof(text));
		(void)vfs_get_xattr(&p, "user.a", text, sizeof(text));
		(void)vfs_statfs(&p, &stats);
		(void)vfs_mkdir_at(AT_FDCWD, "m/d", 0755);
		(void)vfs_unlink_at(AT_FDCWD, "m/l", 0);
		test_server.tamper = NULL;
		path_put(&p);
		test_server.nr_fids = 0; /* the server's count went with its lies */
		VERIFY(!path_lookup(AT_FDCWD, "m", 0, &p));
		EXPECT_EQ(vfs_umount(&p, 0), 0);
		path_put(&p);
		rcu_barrier();
		world_leave();
	}
}

static void some_messages(void)
{
	char text[64];
	struct path p;

	if (try_mount(TEST_SERVER, "cache=loose"))
		return;
	(void)vfs_mkdir_at(AT_FDCWD, "m/d", 0755);
	(void)world_put_text("m/d/f", "text", O_CREAT);
	(void)get_text("m/d/f", text, sizeof(text));
	(void)vfs_symlink_at("d/f", AT_FDCWD, "m/l");
	(void)get_text("m/l", text, sizeof(text));
	(void)list("m/d", 8, text, sizeof(text));
	(void)vfs_rename_at(AT_FDCWD, "m/d/f", AT_FDCWD, "m/f", 0);
	while (!path_lookup(AT_FDCWD, "m", 0, &p)) {
		int err = vfs_umount(&p, 0);

		path_put(&p);
		if (err != -ENOMEM)
			break;
	}
}

TEST(p9_every_allocation_may_fail)
{
	world_enter();
	test_server_start();
	EXPECT_EQ(vfs_mkdir_at(AT_FDCWD, "m", 0755), 0);
	TEST_EACH_ALLOCATION_FAILING(test_server_start(); some_messages());
	world_leave();
}

/* A page of a shared mapping became dirty, and there is no memory for the message that writes it. */
TEST(p9_writes_back_without_memory)
{
	struct p9_client *c;
	struct file *f;
	char text[8], want[2] = "a";

	test_server_mount("cache=loose");
	EXPECT_EQ(world_put_text("m/f", "x", O_CREAT), 0);
	f = file_open_at(AT_FDCWD, "m/f", O_RDWR, 0, 0);
	if (is_err(f)) {
		EXPECT_EQ(ptr_err(f), 0);
		return;
	}
	c = p9_mount(f->inode->sb)->client;
	EXPECT_EQ(file_read_kernel(f, text, 1, 0), 1);
	TEST_EACH_ALLOCATION_FAILING({
		struct folio *page = page_cache_get_for_write(&f->inode->cache, 0, 1, false);

		*(char *)folio_address(page) = ++want[0];
		page_cache_mark_dirty(page);
		folio_unlock(page);
		folio_put(page);
		p9_client_drain(c); /* no request is left from before */
		EXPECT_EQ(page_cache_sync(&f->inode->cache, 0, U64_MAX), 0);
	})
	EXPECT(want[0] > 'b');
	(void)page_cache_invalidate(&f->inode->cache, 0, U64_MAX);
	expect_text("m/f", want);
	file_put(f);
	test_server_umount();
}

/* What reclaim lets go of is let go of on the host, too. */
TEST(p9_lets_go_without_memory)
{
	struct p9_client *c;
	struct path p;

	test_server_mount("cache=loose");
	test_server_put("f", "text");
	EXPECT_EQ(path_lookup(AT_FDCWD, "m", 0, &p), 0);
	c = p9_mount(p.dentry->sb)->client;
	path_put(&p);
	TEST_EACH_ALLOCATION_FAILING({
		(void)exists("m/f");
		p9_client_drain(c);
		while (dentry_reclaim(100))
			continue;
	})
	test_server_umount();
}

/* Names ahead: a program that lists a directory and then asks for each name. */
TEST(p9_names_are_fetched_ahead)
{
	char name[32], text[512];
	u32 before;

	test_server_mount("cache=loose");
	for (u32 n = 0; n < 20; n++) {
		snprintf(name, sizeof(name), "file-%u", n);
		test_server_put(name, "text");
	}
	EXPECT_EQ(list("m", 100, text, sizeof(text)), 0);
	for (u32 n = 0; n < 20; n++) {
		snprintf(name, sizeof(name), "m/file-%u", n);
		if (n == 3)
			before = test_server.nr_messages;
		EXPECT_EQ(exists(name), 0);
	}
	EXPECT(test_server.nr_messages - before <= 40); /* 20 lookups of 3 messages otherwise */
	expect_text("m/file-7", "text");
	test_server_umount();
}

/* The host takes away what was just made. */
static void forget(u8 *reply, u32 *len, u32 room)
{
	if (reply[4] == P9_TLCREATE + 1)
		test_server_put("f", NULL);
}

TEST(p9_what_was_made_is_gone_at_once)
{
	test_server_mount("cache=none");
	test_server.tamper = forget;
	EXPECT_EQ(world_put_text("m/f", "x", O_CREAT), -ENOENT);
	test_server.tamper = NULL;
	EXPECT_EQ(world_put_text("m/f", "x", O_CREAT), 0);
	test_server_umount();
}

/* ---- read-ahead ---- */

#define UNIT (64u << 10)

static bool is_cached(struct file *f, u64 unit)
{
	struct folio *o = page_cache_find(&f->inode->cache, unit * UNIT >> PAGE_SHIFT);
	bool ready = o && folio_has_flag(o, FOLIO_UPTODATE);

	if (o)
		folio_put(o);
	return ready;
}

/* The byte at the start of a unit, and the last one before the end of the file. */
static void expect_pattern(struct file *f, u64 pos)
{
	u8 byte = 0;

	EXPECT_EQ(file_read_kernel(f, &byte, 1, pos), 1);
	EXPECT_EQ(byte, (pos >> 16) + 1);
}

/* "m/big" with so many bytes, nothing of it read; NULL: nothing is read ahead at this boot. */
static struct file *open_big(u64 len)
{
	struct file *f;

	if (!boot_opt_enabled("read_ahead"))
		return NULL;
	test_server_mount("cache=loose");
	test_server_put_pattern("big", len);
	f = file_open_at(AT_FDCWD, "m/big", O_RDONLY, 0, 0);
	VERIFY(!is_err(f));
	return f;
}

TEST(p9_reads_that_nobody_waits_for)
{
	struct file *f = open_big(5 * UNIT + 100);

	if (!f)
		return;
	test_server.hold = true;
	page_cache_will_need(&f->inode->cache, f, 0, (5 * UNIT + PAGE_SIZE) >> PAGE_SHIFT);
	EXPECT_EQ(test_server.nr_reads, 0);
	for (u32 n = 0; n < 6; n++)
		EXPECT(!is_cached(f, n));
	test_server_release();
	EXPECT_EQ(test_server.nr_reads, 6);
	for (u32 n = 0; n < 6; n++) {
		EXPECT(is_cached(f, n));
		expect_pattern(f, n * UNIT);
	}
	expect_pattern(f, 5 * UNIT + 99);
	EXPECT_EQ(test_server.nr_reads, 6); /* all was there */
	file_put(f);
	test_server_umount();
}

TEST(p9_reads_ahead_of_a_sequential_reader)
{
	struct file *f = open_big(40 * UNIT);

	if (!f)
		return;
	expect_pattern(f, 0);
	EXPECT(!is_cached(f, 1)); /* one request says nothing of the next */
	expect_pattern(f, UNIT);
	EXPECT(is_cached(f, 2) && is_cached(f, 3) && !is_cached(f, 4));
	for (u32 n = 2; n < 10; n++)
		expect_pattern(f, n * UNIT);
	EXPECT(is_cached(f, 16));
	expect_pattern(f, 39 * UNIT); /* elsewhere */
	EXPECT(!is_cached(f, 38));
	file_put(f);
	test_server_umount();
}

/* A reply that fails, or ends in the middle of the file, leaves the folio to whoever needs it. */
static void cut(u8 *reply, u32 *len, u32 room)
{
	u32 half = UNIT / 2;

	if (reply[4] != P9_TREAD + 1)
		return;
	memcpy(reply + 7, &half, 4);
	*len = 11 + half;
	memcpy(reply, len, 4);
}

TEST(p9_reads_ahead_that_fail)
{
	struct file *f = open_big(8 * UNIT);

	if (!f)
		return;
	test_server.tamper = cut;
	page_cache_will_need(&f->inode->cache, f, 0, 2 * UNIT >> PAGE_SHIFT);
	test_server.tamper = NULL;
	EXPECT(!is_cached(f, 0) && !is_cached(f, 1));
	expect_pattern(f, UNIT - 1);
	expect_pattern(f, 2 * UNIT - 1);
	test_server.fail = P9_TREAD;
	page_cache_will_need(&f->inode->cache, f, 6 * UNIT >> PAGE_SHIFT, 1);
	test_server.fail = 0;
	EXPECT(!is_cached(f, 6));
	expect_pattern(f, 6 * UNIT);
	file_put(f);
	test_server_umount();
}
