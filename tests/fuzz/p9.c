/*
 * The 9P client and file system against a hostile server: calls on names while replies are changed,
 * cut and replaced as the input says.  The server below is honest; `tamper` is not.
 */
/* needs: fs/p9/server_test.c mm/pool.c fs/p9/wire.c fs/p9/client.c fs/p9/dir.c fs/p9/file.c fs/p9/super.c
 fs/p9/ahead.c vfs/channel.c vfs/world_test.c tests/host/memory.c mm/page_cache.c mm/huge_file.c mm/read_ahead.c mm/lru.c
 mm/folio_lock.c mm/rmap.c mm/page_alloc.c mm/page_node.c mm/fault_injection_test.c */
#include "fuzz.h"

#include <nos/file.h>
#include <nos/name.h>
#include <nos/test_world.h>
#include <linux/fcntl.h>
#include <linux/fs.h>
#include <linux/stat.h>

#include "../../fs/p9/test_server.h"

static struct fuzz_input in;

static void tamper(u8 *reply, u32 *len, u32 room)
{
	u8 how = fuzz_u8(&in);
	u32 at, n;

	switch (how & 0x0f) {
	case 8: /* a few bytes elsewhere */
		at = fuzz_u8(&in) % max(*len, 1u);
		fuzz_bytes(&in, reply + at, min(1u + (how >> 4), *len - at));
		break;
	case 9: /* shorter than it says */
		*len -= min(*len, (u32)fuzz_u8(&in));
		break;
	case 10: /* the whole body */
		n = min((u32)fuzz_u8(&in), room - P9_HEADER);
		fuzz_bytes(&in, reply + P9_HEADER, n);
		*len = P9_HEADER + n;
		memcpy(reply, len, sizeof(*len));
		break;
	case 11: /* another number, which may be large */
		at = fuzz_u8(&in) % max(*len, 1u);
		if (*len - at >= 4) {
			n = fuzz_u32(&in);
			memcpy(reply + at, &n, sizeof(n));
		}
		break;
	case 12: /* an error */
		n = fuzz_u32(&in);
		reply[4] = P9_RLERROR;
		memcpy(reply + P9_HEADER, &n, sizeof(n));
		*len = P9_HEADER + 4;
		memcpy(reply, len, sizeof(*len));
		break;
	default:
		break;
	}
}

static bool entry(struct dir_context *c, const char *name, u32 len, u64 ino, u8 type, u64 next)
{
	VERIFY(len && !memchr(name, '/', len) && !memchr(name, 0, len));
	return fuzz_u8(&in) != 0xff;
}

static void list(const char *name)
{
	struct file *f = file_open_at(AT_FDCWD, name, O_RDONLY | O_DIRECTORY, 0, 0);
	struct dir_context c = { entry };

	if (is_err(f))
		return;
	/* A server may give the same positions for ever; a program stops asking some time. */
	for (u32 n = 0; n < 3 && !f->ops->iterate(f, &c); n++)
		if (in.left == 0)
			break;
	file_put(f);
}

static void transfer(const char *name, u32 flags)
{
	struct file *f = file_open_at(AT_FDCWD, name, flags, 0644, 0);
	size_t size = 1u + fuzz_u16(&in) % 9000;
	char *bytes = calloc(1, size);
	u64 pos = fuzz_u16(&in);
	ssize_t n;

	if (!is_err(f)) {
		if ((flags & O_ACCMODE) == O_RDONLY)
			n = file_read_kernel(f, bytes, size, pos);
		else
			n = file_write_kernel(f, bytes, size, &pos);
		VERIFY(n <= (ssize_t)size && n >= -MAX_ERRNO);
		file_put(f);
	}
	free(bytes);
}

static void xattrs(const char *name)
{
	size_t size = fuzz_u8(&in);
	char *value = calloc(1, size + 1);
	struct path p;

	if (!path_lookup(AT_FDCWD, name, 0, &p)) {
		VERIFY(vfs_get_xattr(&p, "user.a", value, size) <= (ssize_t)max(size, 65536ul));
		(void)vfs_list_xattr(&p, value, size);
		(void)vfs_set_xattr(&p, "user.a", value, size, 0);
		path_put(&p);
	}
	free(value);
}

static void call(void)
{
	static const char *const names[] = { "m", "m/a", "m/b", "m/a/c", "m/b/c", "m/file", "m/l" };
	const char *name = names[fuzz_u8(&in) % ARRAY_SIZE(names)];
	const char *other = names[fuzz_u8(&in) % ARRAY_SIZE(names)];
	struct stat_info s;
	struct fs_stats stats;
	struct path p;
	char *text;
	ssize_t n;

	switch (fuzz_u8(&in) % 16) {
	case 0:
		(void)vfs_mkdir_at(AT_FDCWD, name, 0755);
		break;
	case 1:
		(void)vfs_symlink_at(other, AT_FDCWD, name);
		break;
	case 2:
		transfer(name, O_RDONLY);
		break;
	case 3:
		transfer(name, O_WRONLY | O_CREAT);
		break;
	case 4:
		transfer(name, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND);
		break;
	case 5:
		(void)vfs_unlink_at(AT_FDCWD, name, fuzz_u8(&in) & 1 ? AT_REMOVEDIR : 0);
		break;
	case 6:
		(void)vfs_rename_at(AT_FDCWD, name, AT_FDCWD, other, 0);
		break;
	case 7:
		(void)vfs_link_at(AT_FDCWD, name, AT_FDCWD, other, 0);
		break;
	case 8:
		(void)vfs_mknod_at(AT_FDCWD, name, S_IFIFO | 0600, 0);
		break;
	case 9:
		list(name);
		break;
	case 10:
		xattrs(name);
		break;
	case 11:
		n = 1 + fuzz_u8(&in) % 64;
		text = malloc((size_t)n);
		VERIFY(vfs_readlink_at(AT_FDCWD, name, text, (size_t)n) <= n);
		free(text);
		break;
	case 12:
		if (!path_lookup(AT_FDCWD, name, 0, &p)) {
			(void)vfs_statfs(&p, &stats);
			(void)vfs_truncate(&p, fuzz_u16(&in));
			path_put(&p);
		}
		break;
	default:
		(void)vfs_stat_at(AT_FDCWD, name, 0, 0, &s);
	}
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct path p;
	u8 options;
	int err;

	in = (struct fuzz_input){ data, size };
	options = fuzz_u8(&in);
	world_enter();
	test_server_start();
	test_server_put("file", "some text of a file");
	if (options & 2)
		test_server.tamper = tamper;
	VERIFY(!vfs_mkdir_at(AT_FDCWD, "m", 0755));
	VERIFY(!path_lookup(AT_FDCWD, "m", 0, &p));
	err = vfs_mount(TEST_SERVER, &p, "9p", 0, options & 1 ? "cache=loose" : "cache=none");
	path_put(&p);
	test_server.tamper = tamper;
	while (!err && in.left)
		call();
	test_server.tamper = NULL;
	if (!err) {
		VERIFY(!path_lookup(AT_FDCWD, "m", 0, &p));
		VERIFY(!vfs_umount(&p, 0));
		path_put(&p);
	}
	rcu_barrier();
	world_leave();
	rcu_barrier();
	return 0;
}
