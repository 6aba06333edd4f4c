/*
 * Mount option strings of tmpfs, overlay and 9p, at mount and remount: whatever they say, the mount
 * stands or nothing is left, and what it shows as its options is a string within its buffer.
 */
/* needs: vfs/world_test.c fs/p9/server_test.c mm/pool.c fs/p9/wire.c fs/p9/client.c fs/p9/dir.c fs/p9/file.c
 fs/p9/super.c fs/p9/ahead.c vfs/channel.c fs/overlay/super.c fs/overlay/inode.c fs/overlay/dir.c
 fs/overlay/file.c fs/overlay/readdir.c fs/overlay/copy_up.c tests/host/memory.c mm/page_cache.c mm/huge_file.c mm/read_ahead.c
 mm/lru.c mm/folio_lock.c mm/rmap.c mm/page_alloc.c mm/page_node.c mm/fault_injection_test.c */
#include "fuzz.h"

#include <nos/test_world.h>
#include <linux/fcntl.h>
#include <linux/mount.h>

#include "../../fs/p9/test_server.h"

static void show(const struct path *p)
{
	struct super_block *sb = p->dentry->sb;
	char *text = malloc(256);
	int n;

	if (sb->ops->show_options) {
		n = sb->ops->show_options(sb, text, 256);
		VERIFY(n >= 0 && strnlen(text, 256) < 256);
	}
	free(text);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	static const struct {
		const char *type, *source;
	} kinds[] = { { "tmpfs", "t" }, { "overlay", "o" }, { "9p", TEST_SERVER } };
	struct path p;
	u8 kind;
	char *options;

	if (!size)
		return 0;
	kind = data[0] % ARRAY_SIZE(kinds);
	options = fuzz_string(data + 1, size - 1);
	world_enter();
	test_server_start();
	VERIFY(!vfs_mkdir_at(AT_FDCWD, "m", 0755) && !vfs_mkdir_at(AT_FDCWD, "l", 0755) &&
	       !vfs_mkdir_at(AT_FDCWD, "u", 0755) && !vfs_mkdir_at(AT_FDCWD, "w", 0755));
	VERIFY(!path_lookup(AT_FDCWD, "m", 0, &p));
	int err = vfs_mount(kinds[kind].source, &p, kinds[kind].type, 0, options);

	VERIFY(err <= 0 && err >= -MAX_ERRNO);
	path_put(&p);
	if (!err) {
		VERIFY(!path_lookup(AT_FDCWD, "m", 0, &p));
		show(&p);
		if (kind == 0)
			(void)vfs_mount("none", &p, "tmpfs", MS_REMOUNT, options);
		show(&p);
		VERIFY(!vfs_umount(&p, 0));
		path_put(&p);
	}
	free(options);
	rcu_barrier();
	world_leave();
	rcu_barrier();
	return 0;
}
