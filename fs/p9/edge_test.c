/*
 * 9P where it does not go well: no memory for a message, waiters that are killed, replies that come
 * late or say too much, pages that are written back, names in many lists.
 */
/* needs: fs/p9/server_test.c */
#include <nos/assert.h>
#include <nos/errno.h>
#include <nos/file.h>
#include <nos/log.h>
#include <nos/name.h>
#include <nos/page_cache.h>
#include <nos/slab.h>
#include <nos/stock.h>
#include <nos/string.h>
#include <nos/test.h>
#include <linux/fcntl.h>
#include <linux/fs.h>
#include <linux/stat.h>

#include "test_server.h"

#include <nos/test_world.h>

static struct path root;

static void begin(const char *options)
{
	test_server_mount(options);
	VERIFY(!path_lookup(AT_FDCWD, "m", 0, &root));
}

static void end(void)
{
	path_put(&root);
	test_server_umount();
}

static struct p9_client *client(void)
{
	return p9_client_of(root.dentry->inode);
}

static u32 root_fid(void)
{
	return p9_inode(root.dentry->inode)->fid;
}

static struct file *open_file(const char *name, u32 flags)
{
	struct file *f = file_open_at(AT_FDCWD, name, flags, 0644, 0);

	VERIFY(!is_err(f));
	return f;
}

/* Fid 1000 is a file of ten bytes; *page is for what is read. */
static struct p9_client *begin_with_fid_1000(void **page)
{
	struct p9_qid qid;

	begin("cache=none");
	*page = page_alloc(0, 0);
	VERIFY(*page);
	test_server_put("f", "0123456789");
	EXPECT_EQ(p9_walk(client(), root_fid(), 1000, "f", 1, &qid), 0);
	return client();
}

/* ---- no memory for a request ---- */

/* A message of a thread that has no other under way gets its request from the reserve. */
#define EXPECT_SENT(call)                                                                          \
	do {                                                                                       \
		u32 _sent = test_server.nr_messages;                                               \
		p9_client_drain(c);                                                                \
		test_fail_allocation(1);                                                           \
		EXPECT((call) != -ENOMEM);                                                         \
		test_fail_allocation(0);                                                           \
		EXPECT(test_server.nr_messages > _sent);                                           \
		EXPECT_EQ(c->tags_used, 0);                                                        \
	} while (0)

static void no_result(void *data, ssize_t result)
{
	EXPECT(!"called for a read that did not start");
}

TEST(p9_every_message_goes_out_without_memory)
{
	struct p9_attributes a;
	struct fs_stats stats;
	struct p9_client *c;
	struct p9_set set = { 0 };
	struct p9_qid qid;
	char text[16];
	u64 size;
	u32 fid;

	begin("cache=none");
	c = client();
	fid = root_fid();
	EXPECT_SENT(p9_walk(c, fid, 100, "x", 1, &qid));
	EXPECT_SENT(p9_getattr(c, fid, &a));
	EXPECT_SENT(p9_setattr(c, fid, &set));
	EXPECT_SENT(p9_lopen(c, fid, 0));
	EXPECT_SENT(p9_mkdir(c, fid, "d", 1, 0755, 0));
	EXPECT_SENT(p9_mknod(c, fid, "n", 1, S_IFIFO, 0, 0));
	EXPECT_SENT(p9_symlink(c, fid, "s", 1, "y", 0));
	EXPECT_SENT(p9_link(c, fid, fid, "l", 1));
	EXPECT_SENT(p9_renameat(c, fid, "n", 1, fid, "m", 1));
	EXPECT_SENT(p9_unlinkat(c, fid, "m", 1, 0));
	EXPECT_SENT(p9_readlink(c, fid, text, sizeof(text)));
	EXPECT_SENT(p9_fsync(c, fid, true));
	EXPECT_SENT(p9_statfs(c, fid, &stats));
	EXPECT_SENT(p9_xattrwalk(c, fid, 100, "user.a", &size));
	EXPECT_EQ(world_exists("m/d"), 0);
	EXPECT_EQ(world_exists("m/s"), 0);
	EXPECT_EQ(world_exists("m/m"), -ENOENT);
	EXPECT_EQ(c->nr_detached, 0);
	end();
}

TEST(p9_calls_that_ask_for_too_much)
{
	struct channel_segment s = { 0, 16 };
	static char long_name[9000];
	struct p9_qid qid;
	struct p9_client *c;

	begin("msize=8192");
	c = client();
	memset(long_name, 'n', sizeof(long_name) - 1);
	EXPECT_EQ(p9_read(c, root_fid(), 0, &s, CHANNEL_MAX_SEGMENTS, 16), -EINVAL);
	EXPECT_EQ(p9_write(c, root_fid(), 0, &s, CHANNEL_MAX_SEGMENTS, 16), -EINVAL);
	s.len = c->msize;
	EXPECT_EQ(p9_read_start(c, root_fid(), 0, s, no_result, NULL), -EINVAL);
	/* more than a message holds */
	EXPECT_EQ(p9_walk(c, root_fid(), 100, long_name, sizeof(long_name) - 1, &qid),
		  -ENAMETOOLONG);
	s.len = 16;
	c->nr_reads_started = P9_MAX_READS_STARTED;
	EXPECT_EQ(p9_read_start(c, root_fid(), 0, s, no_result, NULL), -EAGAIN);
	EXPECT_EQ(c->nr_reads_started, P9_MAX_READS_STARTED);
	c->nr_reads_started = 0;
	EXPECT_EQ(c->tags_used, 0);
	end();
}

/* Names that are looked up together: each has its own result. */
TEST(p9_many_names_some_of_which_fail)
{
	struct p9_looked_up items[3] = { { .name = "a", .len = 1 },
					 { .name = "none", .len = 4 },
					 { .name = "b", .len = 1 } };
	struct p9_client *c;

	begin("cache=none");
	c = client();
	test_server_put("a", "1");
	test_server_put("b", "22");
	p9_walk_many(c, root_fid(), items, 3);
	EXPECT_EQ(items[0].err, 0);
	EXPECT_EQ(items[1].err, -ENOENT);
	EXPECT_EQ(items[2].err, 0);
	EXPECT_EQ(items[2].attributes.size, 2);
	p9_clunk(c, items[0].fid);
	p9_clunk(c, items[2].fid);
	test_server.fail = P9_TGETATTR;
	p9_walk_many(c, root_fid(), items, 3);
	EXPECT_EQ(items[0].err, -EIO);
	EXPECT_EQ(items[1].err, -ENOENT);
	test_server.fail = 0;
	p9_client_drain(c);
	for (u32 nth = 1, failed = true; failed; nth++) {
		test_fail_allocation(nth);
		p9_walk_many(c, root_fid(), items, 3);
		failed = test_allocation_failed();
		test_fail_allocation(0);
		for (u32 n = 0; n < 3; n++) {
			EXPECT(items[n].err == (n == 1 ? -ENOENT : 0) || items[n].err == -ENOMEM);
			if (!items[n].err)
				p9_clunk(c, items[n].fid);
		}
		p9_client_drain(c);
	}
	end();
}

/* ---- versions ---- */

static u32 reply_type, cut_at;
static const char *version;

static void change_version(u8 *reply, u32 *len, u32 room)
{
	if (reply[4] == P9_TVERSION + 1)
		memcpy(reply + 13, version, 8);
}

static void make_msize_small(u8 *reply, u32 *len, u32 room)
{
	const u32 small = 100;

	if (reply[4] == P9_TVERSION + 1)
		memcpy(reply + 7, &small, 4);
}

/* The reply to one type of message ends early, and says so. */
static void cut_reply(u8 *reply, u32 *len, u32 room)
{
	if (reply[4] != reply_type + 1)
		return;
	*len = min(*len, cut_at);
	memcpy(reply, len, 4);
}

static int try_mount(const char *options)
{
	struct path p;
	int err;

	VERIFY(!path_lookup(AT_FDCWD, "m", 0, &p));
	err = vfs_mount(TEST_SERVER, &p, "9p", 0, options);
	path_put(&p);
	return err;
}

TEST(p9_servers_that_speak_something_else)
{
	char options[400] = "aname=";

	world_enter();
	test_server_start();
	VERIFY(!vfs_mkdir_at(AT_FDCWD, "m", 0755));
	version = "9P2000.u";
	test_server.tamper = change_version;
	EXPECT_EQ(try_mount(""), -EPROTONOSUPPORT);
	test_server.tamper = make_msize_small;
	EXPECT_EQ(try_mount(""), -EPROTONOSUPPORT);
	test_server.tamper = cut_reply;
	reply_type = P9_TVERSION;
	cut_at = 12;
	EXPECT_EQ(try_mount(""), -EPROTONOSUPPORT);
	reply_type = P9_TATTACH;
	EXPECT_EQ(try_mount(""), -EIO);
	test_server.tamper = NULL;
	memset(options + 6, 'x', 300); /* a value that is too long */
	EXPECT_EQ(try_mount(options), -EINVAL);
	EXPECT_EQ(try_mount("mount=this"), -EINVAL);
	world_leave();
}

/* Replies that are well formed, but end where more should follow. */
TEST(p9_replies_that_end_early)
{
	static const u8 types[] = { P9_TWALK, P9_TGETATTR, P9_TSTATFS, P9_TREADLINK,
				    P9_TREAD, P9_TREADDIR, P9_TWRITE,  P9_TXATTRWALK };
	struct channel_segment s;
	struct p9_attributes a;
	struct fs_stats stats;
	struct p9_client *c;
	struct p9_qid qid;
	char text[16];
	u64 size;
	void *page;

	c = begin_with_fid_1000(&page);
	s = (struct channel_segment){ virt_to_phys(page), 16 };
	test_server.tamper = cut_reply;
	for (u32 n = 0; n < ARRAY_SIZE(types); n++) {
		reply_type = types[n];
		cut_at = P9_HEADER + 1;
		EXPECT_EQ(p9_walk(c, root_fid(), 1001 + n, "f", 1, &qid),
			  types[n] == P9_TWALK ? -EIO : 0);
		EXPECT_EQ(p9_getattr(c, 1000, &a), types[n] == P9_TGETATTR ? -EIO : 0);
		EXPECT_EQ(p9_statfs(c, 1000, &stats), types[n] == P9_TSTATFS ? -EIO : 0);
		EXPECT_EQ(p9_readlink(c, 1000, text, 4), types[n] == P9_TREADLINK ? -EIO : 4);
		EXPECT_EQ(p9_read(c, 1000, 0, &s, 1, 16), types[n] == P9_TREAD ? -EIO : 10);
		EXPECT_EQ(p9_readdir(c, root_fid(), 0, page, 4096),
			  types[n] == P9_TREADDIR ? -EIO : 25);
		EXPECT_EQ(p9_write(c, 1000, 0, &s, 1, 10), types[n] == P9_TWRITE ? -EIO : 10);
		EXPECT_EQ(p9_xattrwalk(c, 1000, 1101 + n, "", &size),
			  types[n] == P9_TXATTRWALK ? -EIO : 0);
		p9_clunk(c, 1001 + n);
		p9_clunk(c, 1101 + n);
	}
	/* Fewer bytes came than the reply says. */
	reply_type = P9_TREAD;
	cut_at = 11 + 3;
	EXPECT_EQ(p9_read(c, 1000, 0, &s, 1, 16), -EIO);
	reply_type = P9_TREADDIR;
	EXPECT_EQ(p9_readdir(c, root_fid(), 0, page, 4096), -EIO);
	test_server.tamper = NULL;
	p9_clunk(c, 1000);
	page_free(page, 0);
	end();
}

/* ---- pages ---- */

/* A store through a shared mapping: a dirty page that the host does not have yet. */
static void store(struct file *f, u64 index, const char *text)
{
	struct folio *o = page_cache_get(&f->inode->cache, index, f);

	VERIFY(!is_err(o));
	folio_lock(o);
	memcpy((char *)folio_address(o) + ((index - o->index) << PAGE_SHIFT), text, strlen(text));
	page_cache_mark_dirty(o);
	folio_unlock(o);
	folio_put(o);
}

TEST(p9_dirty_pages_are_written_back)
{
	struct file *f;

	begin("cache=loose");
	test_server_put("f", "0123456789");
	f = open_file("m/f", O_RDWR);
	store(f, 0, "abc");
	EXPECT(!strcmp(test_server_get("f"), "0123456789"));
	test_server.fail = P9_TWRITE;
	EXPECT_EQ(f->ops->sync(f, 0, U64_MAX, false), -EIO);
	test_server.fail = 0;
	store(f, 0, "abc");
	EXPECT_EQ(f->ops->sync(f, 0, U64_MAX, true), 0);
	EXPECT(!strcmp(test_server_get("f"), "abc3456789")); /* not beyond the end */
	store(f, 0, "xyz");
	EXPECT_EQ(f->ops->flush(f), 0); /* at close */
	EXPECT(!strcmp(test_server_get("f"), "xyz3456789"));
	EXPECT_EQ(f->ops->flush(f), 0);
	test_server.fail = P9_TFSYNC;
	EXPECT_EQ(f->ops->sync(f, 0, U64_MAX, false), -EIO);
	test_server.fail = 0;
	file_put(f);
	f = open_file("m/f", O_RDONLY);
	EXPECT_EQ(f->ops->flush(f), 0);
	EXPECT_EQ(f->ops->sync(f, 0, U64_MAX, false), 0);
	file_put(f);
	end();
}

/* What the host wrote of a request may be less than was asked for. */
static void write_half(u8 *reply, u32 *len, u32 room)
{
	u32 count;

	if (reply[4] != P9_TWRITE + 1)
		return;
	memcpy(&count, reply + 7, 4);
	count /= 2;
	memcpy(reply + 7, &count, 4);
}

TEST(p9_writes_that_are_short)
{
	struct file *f;
	u64 pos = 0;

	begin("cache=loose");
	test_server_put("f", "0123456789");
	f = open_file("m/f", O_RDWR);
	test_server.tamper = write_half;
	EXPECT_EQ(file_write_kernel(f, "abcd", 4, &pos), 2);
	EXPECT_EQ(pos, 2);
	EXPECT_EQ(file_write_kernel(f, "e", 1, &pos), -EIO); /* nothing at all */
	store(f, 0, "xyz");
	EXPECT_EQ(f->ops->sync(f, 0, U64_MAX, true), -EIO); /* goes on until nothing is taken */
	test_server.tamper = NULL;
	file_put(f);
	end();
}

static u32 nr_done;
static ssize_t last_result;

static void note_result(void *data, ssize_t result)
{
	nr_done++;
	last_result = result;
}

TEST(p9_reads_that_are_started)
{
	struct channel_segment s;
	struct p9_client *c;
	void *page;

	c = begin_with_fid_1000(&page);
	s = (struct channel_segment){ virt_to_phys(page), 16 };
	nr_done = 0;
	EXPECT_EQ(p9_read_start(c, 1000, 2, s, note_result, NULL), 0);
	EXPECT_EQ(nr_done, 1);
	EXPECT_EQ(last_result, 8);
	EXPECT(!memcmp(page, "23456789", 8));
	test_server.fail = P9_TREAD;
	EXPECT_EQ(p9_read_start(c, 1000, 2, s, note_result, NULL), 0);
	EXPECT_EQ(last_result, -EIO);
	test_server.fail = 0;
	EXPECT_EQ(c->nr_reads_started, 0);
	p9_clunk(c, 1000);
	page_free(page, 0);
	end();
}

#ifdef NOS_HOST
/* A waiter that is killed asks the host to forget the request, and waits for its buffer all the same. */
TEST(p9_waiters_that_are_killed)
{
	struct file *f;
	char text[16];

	begin("cache=loose");
	test_server_put("f", "0123456789");
	f = open_file("m/f", O_RDONLY);
	test_server.hold = true;
	current_thread->work |= WORK_FATAL;
	EXPECT_EQ(file_read_kernel(f, text, sizeof(text), 0), -ERESTARTSYS);
	current_thread->work &= ~WORK_FATAL;
	EXPECT_EQ(test_server.nr_flushes, 1);
	EXPECT_EQ(client()->tags_used, 0);
	EXPECT_EQ(file_read_kernel(f, text, sizeof(text), 0), 10);
	EXPECT(!memcmp(text, "0123456789", 10));
	file_put(f);
	end();
}
#endif

/* ---- attributes ---- */

TEST(p9_attributes_are_set)
{
	struct inode_change c = { .valid =
					  ATTR_MODE | ATTR_UID | ATTR_GID | ATTR_ATIME | ATTR_MTIME,
				  .mode = 0640,
				  .uid = 5,
				  .gid = 6,
				  .atime = { 100, 5 },
				  .mtime = { 200, 6 } };
	struct stat_info s;
	struct path p;
	char text[64];

	begin("cache=none");
	test_server_put("f", "text");
	VERIFY(!path_lookup(AT_FDCWD, "m/f", 0, &p));
	EXPECT_EQ(vfs_set_attributes(&p, &c), 0);
	EXPECT_EQ(vfs_stat_at(AT_FDCWD, "m/f", 0, 0, &s), 0);
	EXPECT_EQ(s.mode, S_IFREG | 0640);
	EXPECT_EQ(s.uid, 5);
	EXPECT_EQ(s.gid, 6);
	test_server.fail = P9_TSETATTR;
	EXPECT_EQ(vfs_set_attributes(&p, &c), -EIO);
	test_server.fail = 0;
	path_put(&p);
	EXPECT(root.dentry->sb->ops->show_options(root.dentry->sb, text, sizeof(text)) > 0);
	EXPECT(strstr(text, "cache=none") != NULL);
	end();
}

TEST(p9_renames_over_what_is_there)
{
	struct stat_info s;
	struct file *f;

	begin("cache=none");
	test_server_put("a", "one");
	test_server_put("b", "two");
	f = open_file("m/b", O_RDONLY);
	EXPECT_EQ(vfs_rename_at(AT_FDCWD, "m/a", AT_FDCWD, "m/b", 0), 0);
	EXPECT_EQ(f->inode->nlink, 0);
	file_put(f);
	EXPECT_EQ(world_exists("m/a"), -ENOENT);
	EXPECT_EQ(vfs_stat_at(AT_FDCWD, "m/b", 0, 0, &s), 0);
	EXPECT_EQ(s.size, 3);
	EXPECT(!strcmp(test_server_get("b"), "one"));
	end();
}

/* An attribute list whose size the host makes up. */
static void lie_about_size(u8 *reply, u32 *len, u32 room)
{
	u64 size = 1 << 20;

	if (reply[4] == P9_TXATTRWALK + 1)
		memcpy(reply + 7, &size, 8);
}

TEST(p9_attribute_lists)
{
	char text[64];
	struct path p;

	begin("cache=none");
	test_server_put("f", "text");
	VERIFY(!path_lookup(AT_FDCWD, "m/f", 0, &p));
	EXPECT_EQ(vfs_set_xattr(&p, "user.a", "value", 5, 0), 0);
	EXPECT_EQ(vfs_list_xattr(&p, text, 0), 5); /* the test server's list is the value */
	test_server.tamper = lie_about_size;
	EXPECT_EQ(vfs_list_xattr(&p, text, sizeof(text)), -E2BIG);
	test_server.tamper = NULL;
	TEST_EACH_ALLOCATION_FAILING({
		ssize_t n = vfs_get_xattr(&p, "user.a", text, sizeof(text));

		EXPECT(n == 5 || n == -ENOMEM);
		int err = vfs_set_xattr(&p, "user.b", "value", 5, 0);

		EXPECT(err == 0 || err == -ENOMEM);
		(void)vfs_set_xattr(&p, "user.a", "value", 5, 0);
		p9_client_drain(client());
	});
	path_put(&p);
	end();
}

/* ---- lists of names ---- */

struct names {
	struct dir_context context;
	u32 nr;
};

static bool count_name(struct dir_context *c, const char *name, u32 len, u64 ino, u8 type, u64 next)
{
	container_of(c, struct names, context)->nr++;
	return true;
}

static u32 list(const char *dir)
{
	struct file *f = open_file(dir, O_RDONLY | O_DIRECTORY);
	struct names n = { .context = { count_name } };

	EXPECT_EQ(f->ops->seek(f, 0, 0 /* SEEK_SET */), 0);
	EXPECT_EQ(f->ops->iterate(f, &n.context), 0);
	EXPECT_EQ(f->ops->sync(f, 0, U64_MAX, false), 0);
	file_put(f);
	return n.nr;
}

/* A listing of several replies; the names behind the first reply are fetched ahead too. */
TEST(p9_long_listings)
{
	static char name[300];
	u32 before;

	begin("cache=loose,msize=8192");
	for (u32 n = 0; n < 30; n++) {
		snprintf(name, sizeof(name), "m/%02u%0*u", n, 250, 0);
		test_server_put(name + 2, "text");
	}
	EXPECT_EQ(list("m"), 30);
	before = test_server.nr_messages;
	for (u32 n = 0; n < 30; n++) {
		snprintf(name, sizeof(name), "m/%02u%0*u", n, 250, 0);
		EXPECT_EQ(world_exists(name), 0);
	}
	if (boot_opt_enabled("p9_ahead"))
		EXPECT(test_server.nr_messages - before <= 2 * 30 + 10);
	EXPECT_EQ(list("m"), 30);
	stock_drain_all();
	EXPECT(!p9_inode(root.dentry->inode)->names);
	end();
}

/* More directories are listed than lists are kept: that of the one not used for longest goes. */
TEST(p9_more_lists_than_are_kept)
{
	struct p9_inode dirs[3] = { 0 };
	struct p9_mount *m;
	u8 entry[32] = { 0 };

	begin("cache=loose");
	m = p9_mount(root.dentry->sb);
	if (!boot_opt_enabled("p9_ahead")) {
		end();
		return;
	}
	entry[22] = 1;
	entry[24] = 'a';
	for (u32 n = 0; n < ARRAY_SIZE(dirs); n++)
		dirs[n].inode.sb = root.dentry->sb;
	p9_names_listed(&dirs[0].inode, entry, 25, true);
	p9_names_listed(&dirs[1].inode, entry, 25, true);
	EXPECT(dirs[0].names && dirs[1].names);
	for (u32 n = 0; n < P9_RECENT_LISTS; n++)
		if (!m->recent[n])
			m->recent[n] = &dirs[1];
	p9_names_listed(&dirs[2].inode, entry, 25, true);
	EXPECT(!dirs[0].names && dirs[1].names && dirs[2].names);
	p9_names_listed(&dirs[0].inode, entry, 25, false); /* it goes on, but the start is gone */
	EXPECT(!dirs[0].names);
	p9_names_listed(&dirs[2].inode, entry, 20, false); /* a piece that is no whole entry */
	EXPECT(dirs[2].names != NULL);
	test_fail_allocation(1);
	p9_names_listed(&dirs[0].inode, entry, 25, true);
	test_fail_allocation(0);
	EXPECT(!dirs[0].names);
	p9_names_forget(&dirs[2]);
	p9_names_forget(&dirs[1]);
	for (u32 n = 0; n < P9_RECENT_LISTS; n++)
		EXPECT(!m->recent[n]);
	end();
}
