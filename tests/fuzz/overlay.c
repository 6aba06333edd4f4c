/*
 * Overlay: an upper and two lower layers with any mix of files, directories, whiteouts and opaque
 * directories, merged; then changes through the overlay.  A flat reference of what should be seen
 * must agree with every listing, and the lower layers stay as they were.
 */
/* needs: vfs/world_test.c fs/overlay/super.c fs/overlay/inode.c fs/overlay/dir.c fs/overlay/file.c
 fs/overlay/readdir.c fs/overlay/copy_up.c tests/host/memory.c mm/page_cache.c mm/huge_file.c mm/read_ahead.c mm/lru.c
 mm/folio_lock.c mm/rmap.c mm/page_alloc.c mm/page_node.c mm/fault_injection_test.c */
#include "fuzz.h"

#include <nos/file.h>
#include <nos/test_world.h>
#include <linux/fcntl.h>
#include <linux/fs.h>
#include <linux/stat.h>

#define NAMES 4u
#define INNER 3u
enum kind { NONE, REGULAR, DIRECTORY };

/* What the overlay should show: names in the root, and names in those that are directories. */
static enum kind top[NAMES], inner[NAMES][INNER];
static bool has_lower[NAMES]; /* a directory that can't be renamed */
/* The upper layer hides a name inside: there is a lower directory for it to hide from.  A whiteout in
 * a directory of one layer is listed, here as on Linux, though not found. */
static bool hides[NAMES];

static const char *name_of(char *to, const char *root, unsigned n, int k)
{
	if (k < 0)
		snprintf(to, 32, "%s/%c", root, 'a' + n);
	else
		snprintf(to, 32, "%s/%c/%c", root, 'a' + n, 'x' + k);
	return to;
}

static void make(const char *name, u8 what)
{
	struct path p;

	switch (what & 3) {
	case 1:
		VERIFY(!vfs_mknod_at(AT_FDCWD, name, S_IFREG | 0644, 0));
		break;
	case 2:
		VERIFY(!vfs_mkdir_at(AT_FDCWD, name, 0755));
		if (what & 4) {
			VERIFY(!path_lookup(AT_FDCWD, name, 0, &p));
			VERIFY(!vfs_set_xattr(&p, "trusted.overlay.opaque", "y", 1, 0));
			path_put(&p);
		}
		break;
	case 3:
		VERIFY(!vfs_mknod_at(AT_FDCWD, name, S_IFCHR, 0));
		break;
	default:
		break;
	}
}

/* Fills a layer; `hidden` says where a layer above ends the search. */
static void make_layer(struct fuzz_input *in, const char *root, bool hidden[NAMES],
		       bool hidden_inner[NAMES][INNER], bool upper)
{
	char name[32];

	VERIFY(!vfs_mkdir_at(AT_FDCWD, root, 0755));
	for (unsigned n = 0; n < NAMES; n++) {
		u8 what = fuzz_u8(in);
		bool hidden_before = hidden[n];

		if (hides[n] && !upper)
			what = 2;
		make(name_of(name, root, n, -1), what);
		if (!hidden[n] && (what & 3)) {
			if ((what & 3) == 2) {
				top[n] = DIRECTORY;
				has_lower[n] |= !upper;
				hidden[n] = what & 4;
			} else {
				if (top[n] == NONE && (what & 3) == 1)
					top[n] = REGULAR;
				hidden[n] = true;
			}
		}
		if ((what & 3) != 2)
			continue;
		for (unsigned k = 0; k < INNER; k++) {
			u8 below = fuzz_u8(in) & 3;

			if (below == 2 || (below == 3 && (!upper || what & 4)))
				below = 1;
			hides[n] |= below == 3;
			make(name_of(name, root, n, (int)k), below);
			if (hidden_before || hidden_inner[n][k] || !below)
				continue;
			if (below == 1)
				inner[n][k] = REGULAR;
			hidden_inner[n][k] = true;
		}
	}
}

struct listing {
	struct dir_context context;
	u32 seen, nr;
	char first;
};

static bool add(struct dir_context *c, const char *name, u32 len, u64 ino, u8 type, u64 next)
{
	struct listing *l = container_of(c, struct listing, context);

	if (name[0] == '.')
		return true;
	VERIFY(len == 1 && !(l->seen & bit(name[0] - l->first))); /* each once */
	l->seen |= (u32)bit(name[0] - l->first);
	l->nr++;
	return true;
}

static u32 list(const char *name, char first)
{
	struct file *f = file_open_at(AT_FDCWD, name, O_RDONLY | O_DIRECTORY, 0, 0);
	struct listing l = { .context = { add }, .first = first };

	VERIFY(!is_err(f));
	VERIFY(!f->ops->iterate(f, &l.context));
	file_put(f);
	return l.seen;
}

static enum kind kind_of(const char *name)
{
	struct stat_info s;
	int err = vfs_stat_at(AT_FDCWD, name, AT_SYMLINK_NOFOLLOW, 0, &s);

	VERIFY(!err || err == -ENOENT || err == -ENOTDIR);
	return err ? NONE : (s.mode & S_IFMT) == S_IFDIR ? DIRECTORY : REGULAR;
}

static void check(void)
{
	char name[32];
	u32 want = 0;

	for (unsigned n = 0; n < NAMES; n++) {
		u32 below = 0;

		want |= top[n] ? 1u << n : 0;
		VERIFY(kind_of(name_of(name, "m", n, -1)) == top[n]);
		for (unsigned k = 0; k < INNER && top[n] == DIRECTORY; k++) {
			below |= inner[n][k] ? 1u << k : 0;
			VERIFY(kind_of(name_of(name, "m", n, (int)k)) == inner[n][k]);
		}
		if (top[n] == DIRECTORY)
			VERIFY(list(name_of(name, "m", n, -1), 'x') == below);
	}
	VERIFY(list("m", 'a') == want);
}

static bool is_empty(unsigned n)
{
	return !inner[n][0] && !inner[n][1] && !inner[n][2];
}

static void step(struct fuzz_input *in)
{
	u8 what = fuzz_u8(in), which = fuzz_u8(in);
	unsigned n = which % NAMES, k = which / NAMES % INNER, other = which / 16 % NAMES;
	bool below = what & 0x80;
	enum kind *at = below ? &inner[n][k] : &top[n];
	char name[32], to[32];
	int err, want = below && top[n] != DIRECTORY ? top[n] ? -ENOTDIR : -ENOENT : 0;

	name_of(name, "m", n, below ? (int)k : -1);
	switch (what % 5) {
	case 0:
		want = want ?: *at ? -EEXIST : 0;
		VERIFY(vfs_mknod_at(AT_FDCWD, name, S_IFREG | 0644, 0) == want);
		if (!want)
			*at = REGULAR;
		break;
	case 1:
		if (below)
			break;
		want = *at ? -EEXIST : 0;
		VERIFY(vfs_mkdir_at(AT_FDCWD, name, 0755) == want);
		if (!want) {
			*at = DIRECTORY;
			has_lower[n] = false;
		}
		break;
	case 2:
		want = want ?: *at == NONE ? -ENOENT : *at == DIRECTORY ? -EISDIR : 0;
		VERIFY(vfs_unlink_at(AT_FDCWD, name, 0) == want);
		if (!want)
			*at = NONE;
		break;
	case 3:
		want = want                   ?:
			       *at == NONE    ? -ENOENT :
		       *at == REGULAR         ? -ENOTDIR :
		       !below && !is_empty(n) ? -ENOTEMPTY :
						0;
		VERIFY(vfs_unlink_at(AT_FDCWD, name, AT_REMOVEDIR) == want);
		if (!want)
			*at = NONE;
		break;
	case 4: /* files to any name of the root; new directories too */
		if (*at == DIRECTORY && (has_lower[n] || top[other] != NONE))
			break;
		if (want || *at == NONE || (!below && n == other))
			break;
		want = top[other] != DIRECTORY ? 0 : below && n == other ? -ENOTEMPTY : -EISDIR;
		err = vfs_rename_at(AT_FDCWD, name, AT_FDCWD, name_of(to, "m", other, -1), 0);
		if (err != want)
			panic("rename %s %s: %d, not %d", name, to, err, want);
		if (err)
			break;
		if (*at == DIRECTORY) {
			memcpy(inner[other], inner[n], sizeof(inner[n]));
			memset(inner[n], 0, sizeof(inner[n]));
			has_lower[other] = false;
		}
		top[other] = *at;
		*at = NONE;
		break;
	}
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct fuzz_input in = { data, size };
	bool hidden[NAMES] = { 0 }, hidden_inner[NAMES][INNER] = { 0 };
	u32 before[2];
	struct path p;

	memset(top, 0, sizeof(top));
	memset(inner, 0, sizeof(inner));
	memset(has_lower, 0, sizeof(has_lower));
	memset(hides, 0, sizeof(hides));
	world_enter();
	make_layer(&in, "u", hidden, hidden_inner, true);
	make_layer(&in, "l", hidden, hidden_inner, false);
	make_layer(&in, "k", hidden, hidden_inner, false);
	VERIFY(!vfs_mkdir_at(AT_FDCWD, "w", 0755) && !vfs_mkdir_at(AT_FDCWD, "m", 0755));
	before[0] = list("l", 'a');
	before[1] = list("k", 'a');
	VERIFY(!path_lookup(AT_FDCWD, "m", 0, &p));
	VERIFY(!vfs_mount("o", &p, "overlay", 0, "lowerdir=l:k,upperdir=u,workdir=w"));
	path_put(&p);
	check();
	while (in.left) {
		step(&in);
		check();
	}
	VERIFY(list("l", 'a') == before[0] && list("k", 'a') == before[1]);
	VERIFY(!path_lookup(AT_FDCWD, "m", 0, &p));
	VERIFY(!vfs_umount(&p, 0));
	path_put(&p);
	rcu_barrier();
	world_leave();
	rcu_barrier();
	return 0;
}
