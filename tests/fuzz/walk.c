/*
 * Path walk against a reference: random trees of directories, files, links and second names, made
 * and changed by names, and names looked up in them.  The reference knows only lists of entries and
 * the text of names: a link's text is put in front of what follows it (path_resolution(7)).  Both
 * must agree on the place or the error, the quick walk and the counted one likewise, and again once
 * the directories on the way are in the cache of prefixes.
 */
/* needs: vfs/world_test.c */
#include "fuzz.h"

#include <nos/log.h>

#include "../../vfs/walk.c"
#include "../../vfs/test_world.h"

#define MAX_NODES 48
#define MAX_ENTRIES 96
#define TEXT 2048 /* of a name with its links put in */
#define NAME_TEXT 600

enum kind { DIRECTORY, REGULAR, LINK };

struct node {
	enum kind kind;
	u64 ino;
	u32 nr_names;
	struct node *parent; /* of a directory */
	char *target;
};

struct entry {
	struct node *dir, *node;
	char name[256];
};

static struct node nodes[MAX_NODES];
static struct entry entries[MAX_ENTRIES];
static unsigned nr_nodes, nr_entries;
static struct node *const top = &nodes[0];
static struct node *here; /* the working directory */

/* ---- the reference ---- */

static struct entry *entry_find(struct node *dir, const char *name)
{
	for (unsigned i = 0; i < nr_entries; i++)
		if (entries[i].dir == dir && !strcmp(entries[i].name, name))
			return &entries[i];
	return NULL;
}

struct place { /* of a walk to the parent */
	struct node *dir;
	char name[256];
	bool slash;
	u8 type;
};

/* Puts `first` in front of text from `rest` on; false: too long for this test. */
static bool put_in_front(char *text, const char *first, const char *rest)
{
	size_t a = strlen(first), b = strlen(rest);

	if (a + b + 1 > TEXT)
		return false;
	memmove(text + a, rest, b + 1);
	memcpy(text, first, a);
	return true;
}

/* 0 or −errno, 1: the test's own limits.  parent: stops before the last component. */
static int reference(const char *name, u32 flags, struct node **out, struct place *parent)
{
	bool confined = flags & (LOOKUP_BENEATH | LOOKUP_IN_ROOT), last_slash = false;
	struct node *root = confined ? here : top, *at = *name == '/' ? root : here;
	char text[TEXT], *p = text;
	unsigned links = 0;

	if (!*name)
		return -ENOENT;
	if (*name == '/' && flags & LOOKUP_BENEATH)
		return -EXDEV;
	string_copy(text, name, sizeof(text));
	if (parent)
		parent->type = LAST_ROOT;
	for (;;) {
		char part[TEXT];
		size_t len = 0;

		while (*p == '/')
			p++;
		if (!*p)
			break;
		if (at->kind != DIRECTORY)
			return -ENOTDIR;
		while (p[len] && p[len] != '/')
			len++;
		if (len > 255)
			return -ENAMETOOLONG;
		memcpy(part, p, len);
		part[len] = '\0';
		p += len;

		bool last = !*skip_slashes(p);

		last_slash = last && *p == '/';
		if (last && parent) {
			parent->dir = at;
			parent->slash = last_slash;
			string_copy(parent->name, part, sizeof(parent->name));
			parent->type = component_type(part, (u32)len);
			return 0;
		}
		if (!strcmp(part, "."))
			continue;
		if (!strcmp(part, "..")) {
			if (at == root && flags & LOOKUP_BENEATH)
				return -EXDEV;
			at = at == root ? at : at->parent;
			continue;
		}
		struct entry *e = entry_find(at, part);

		if (!e)
			return -ENOENT;
		if (e->node->kind == LINK && (!last || last_slash || flags & LOOKUP_FOLLOW)) {
			char rest[TEXT];

			if (flags & LOOKUP_NO_SYMLINKS || ++links > 40)
				return -ELOOP;
			if (e->node->target[0] == '/') {
				if (flags & LOOKUP_BENEATH)
					return -EXDEV;
				at = root;
			}
			string_copy(rest, p, sizeof(rest));
			if (!put_in_front(text, e->node->target, rest))
				return 1;
			p = text;
			continue;
		}
		at = e->node;
	}
	if (parent)
		parent->dir = at;
	else if ((last_slash || flags & LOOKUP_DIRECTORY) && at->kind != DIRECTORY)
		return -ENOTDIR;
	*out = at;
	return 0;
}

static bool is_empty(const struct node *dir)
{
	for (unsigned i = 0; i < nr_entries; i++)
		if (entries[i].dir == dir)
			return false;
	return true;
}

static bool is_ancestor(const struct node *a, const struct node *of)
{
	for (; of != a; of = of->parent)
		if (of == top)
			return false;
	return true;
}

static void entry_add(struct node *dir, const char *name, struct node *n)
{
	struct entry *e = &entries[nr_entries++];

	*e = (struct entry){ .dir = dir, .node = n };
	string_copy(e->name, name, sizeof(e->name));
	n->nr_names++;
	if (n->kind == DIRECTORY)
		n->parent = dir;
}

static void entry_remove(struct entry *e)
{
	e->node->nr_names--;
	*e = entries[--nr_entries];
}

static struct stat_info stat_of(const struct path *p)
{
	struct stat_info s;

	VERIFY(!vfs_stat_path(p, 0, 0, &s));
	return s;
}

/* ---- names from the input ---- */

static void take_name(struct fuzz_input *in, char *name)
{
	static const char *const pieces[] = { "/",  "/",  "a", "b",  "c",   "/a",  "/b",  "/c",
					      "a/", "b/", ".", "..", "../", "/..", "/./", "//" };
	u8 count = fuzz_u8(in) % 16;
	size_t len = 0;

	name[0] = '\0';
	while (count-- && len < NAME_TEXT - 270) {
		u8 c = fuzz_u8(in);

		if (c >= 0xfe) {
			size_t n = c == 0xff ? 256 : 255;

			memset(name + len, 'n', n);
			len += n;
		} else {
			len += string_copy(name + len, pieces[c % ARRAY_SIZE(pieces)], 8);
		}
		name[len] = '\0';
	}
}

/* ---- steps: the same on both sides ---- */

static int walk_one_way(const char *name, u32 flags, struct path *out, bool quick)
{
	struct walk w;
	int err;

	walk_init(&w, flags);
	err = !*name ? -ENOENT :
	      quick  ? walk_quick(&w, AT_FDCWD, NULL, name, out) :
		       walk_counted(&w, AT_FDCWD, NULL, name, out);
	walk_free_links(&w);
	return err;
}

static void agree(const char *what, const char *name, const char *other, int err, int expected)
{
	if (err == expected)
		return;
	for (unsigned i = 0; i < nr_entries; i++)
		log_info("%u in %u: %s -> %.200s", (unsigned)(entries[i].node - nodes),
			 (unsigned)(entries[i].dir - nodes), entries[i].name,
			 entries[i].node->target);
	panic("%d, not %d: %s(\"%s\", \"%s\")", err, expected, what, name, other);
}

static void step_lookup(struct fuzz_input *in)
{
	static const u32 choices[] = { LOOKUP_FOLLOW,  LOOKUP_DIRECTORY,    LOOKUP_NO_SYMLINKS,
				       LOOKUP_BENEATH, LOOKUP_IN_ROOT,      LOOKUP_NO_XDEV,
				       LOOKUP_CACHED,  LOOKUP_NO_MAGICLINKS };
	char name[NAME_TEXT];
	u8 mask = fuzz_u8(in);
	struct node *want = NULL;
	u32 flags = 0;
	int expected;

	for (unsigned i = 0; i < ARRAY_SIZE(choices); i++)
		flags |= mask >> i & 1 ? choices[i] : 0;
	if (flags & LOOKUP_BENEATH)
		flags &= ~LOOKUP_IN_ROOT;
	take_name(in, name);
	/* An absolute name may leave the mount of the working directory: never here. */
	expected = reference(name, flags, &want, NULL);
	if (expected == 1)
		return;
	for (unsigned way = 0; way < 6; way++) { /* each prefix is stored at its second miss */
		struct path p;
		int err = way >= 2 ? path_lookup(AT_FDCWD, name, flags, &p) :
				     walk_one_way(name, flags, &p, way);

		if (way == 1 && err == -ECHILD)
			continue; /* the quick walk may always give up */
		agree(way == 0 ? "counted" : "lookup", name, "", err, expected);
		if (!err) {
			VERIFY(stat_of(&p).ino == want->ino);
			path_put(&p);
		}
	}
}

static void step_make(struct fuzz_input *in, enum kind kind)
{
	char name[NAME_TEXT], target[NAME_TEXT] = "";
	struct place at;
	struct node *none, *n;
	struct path p;
	int expected, err;

	take_name(in, name);
	if (kind == LINK)
		take_name(in, target);
	if (nr_nodes == MAX_NODES || nr_entries == MAX_ENTRIES)
		return;
	expected = kind == LINK && !*target ? -ENOENT : reference(name, 0, &none, &at);
	if (expected == 1)
		return;
	if (!expected && at.type != LAST_NORMAL)
		expected = -EEXIST;
	if (!expected && entry_find(at.dir, at.name))
		expected = -EEXIST;
	if (!expected && at.slash && kind != DIRECTORY)
		expected = -ENOENT;
	err = kind == DIRECTORY ? vfs_mkdir_at(AT_FDCWD, name, 0755) :
	      kind == LINK      ? vfs_symlink_at(target, AT_FDCWD, name) :
				  vfs_mknod_at(AT_FDCWD, name, S_IFREG | 0644, 0);
	agree("make", name, target, err, expected);
	if (err)
		return;
	while (strlen(name) > 1 && name[strlen(name) - 1] == '/')
		name[strlen(name) - 1] = '\0';
	VERIFY(!path_lookup(AT_FDCWD, name, 0, &p));
	n = &nodes[nr_nodes++];
	*n = (struct node){ .kind = kind, .ino = stat_of(&p).ino };
	n->target = fuzz_string((const u8 *)target, strlen(target));
	path_put(&p);
	entry_add(at.dir, at.name, n);
}

static void step_remove(struct fuzz_input *in, bool want_dir)
{
	char name[NAME_TEXT];
	struct place at;
	struct node *none;
	struct entry *e = NULL;
	int expected;

	take_name(in, name);
	expected = reference(name, 0, &none, &at);
	if (expected == 1)
		return;
	if (!expected && at.type != LAST_NORMAL)
		expected = !want_dir              ? -EISDIR :
			   at.type == LAST_DOTDOT ? -ENOTEMPTY :
			   at.type == LAST_DOT    ? -EINVAL :
						    -EBUSY;
	if (!expected) {
		e = entry_find(at.dir, at.name);
		if (!e)
			expected = -ENOENT;
		else if (want_dir && e->node->kind != DIRECTORY)
			expected = -ENOTDIR;
		else if (want_dir && !is_empty(e->node))
			expected = -ENOTEMPTY;
		else if (!want_dir && e->node->kind == DIRECTORY)
			expected = -EISDIR;
		else if (!want_dir && at.slash)
			expected = -ENOTDIR;
	}
	if (e && e->node == here)
		return; /* removed working directories are another test's */
	agree(want_dir ? "rmdir" : "unlink", name, "",
	      vfs_unlink_at(AT_FDCWD, name, want_dir ? AT_REMOVEDIR : 0), expected);
	if (!expected)
		entry_remove(e);
}

static int expected_rename(struct place *from, struct place *to, struct entry **old,
			   struct entry **new)
{
	if (from->type != LAST_NORMAL || to->type != LAST_NORMAL)
		return -EBUSY;
	*old = entry_find(from->dir, from->name);
	*new = entry_find(to->dir, to->name);
	if (!*old)
		return -ENOENT;
	struct node *a = (*old)->node, *b = *new ? (*new)->node : NULL;

	if ((from->slash || to->slash) && a->kind != DIRECTORY)
		return -ENOTDIR;
	if (a->kind == DIRECTORY && is_ancestor(a, to->dir))
		return -EINVAL;
	if (b && b->kind == DIRECTORY && is_ancestor(b, from->dir))
		return -ENOTEMPTY;
	if (b && a->kind == DIRECTORY && b->kind != DIRECTORY)
		return -ENOTDIR;
	if (b && a->kind != DIRECTORY && b->kind == DIRECTORY)
		return -EISDIR;
	if (b && b != a && b->kind == DIRECTORY && !is_empty(b))
		return -ENOTEMPTY;
	return 0;
}

static void step_rename(struct fuzz_input *in)
{
	char name[NAME_TEXT], other[NAME_TEXT];
	struct entry *old = NULL, *new = NULL;
	struct place from, to;
	struct node *none;
	int expected;

	take_name(in, name);
	take_name(in, other);
	expected = reference(name, 0, &none, &from);
	if (!expected)
		expected = reference(other, 0, &none, &to);
	if (!expected)
		expected = expected_rename(&from, &to, &old, &new);
	if (expected == 1 || (new &&new->node == here))
		return;
	agree("rename", name, other, vfs_rename_at(AT_FDCWD, name, AT_FDCWD, other, 0), expected);
	if (expected || (new &&new->node == old->node))
		return;
	struct node *moved = old->node;

	if (new)
		entry_remove(new);
	entry_remove(entry_find(from.dir, from.name));
	entry_add(to.dir, to.name, moved);
}

static void step_link(struct fuzz_input *in)
{
	char name[NAME_TEXT], other[NAME_TEXT];
	struct node *n, *none;
	struct place to;
	int expected;

	take_name(in, name);
	take_name(in, other);
	if (nr_entries == MAX_ENTRIES)
		return;
	expected = reference(name, 0, &n, NULL);
	if (!expected)
		expected = reference(other, 0, &none, &to);
	if (expected == 1)
		return;
	if (!expected && to.type != LAST_NORMAL)
		expected = -EEXIST;
	if (!expected && entry_find(to.dir, to.name))
		expected = -EEXIST;
	if (!expected && to.slash)
		expected = -ENOENT;
	if (!expected && n->kind == DIRECTORY)
		expected = -EPERM;
	agree("link", name, other, vfs_link_at(AT_FDCWD, name, AT_FDCWD, other, 0), expected);
	if (!expected)
		entry_add(to.dir, to.name, n);
}

static void step_enter(struct fuzz_input *in)
{
	char name[NAME_TEXT];
	struct node *n;
	struct path p;

	take_name(in, name);
	if (reference(name, LOOKUP_FOLLOW | LOOKUP_DIRECTORY, &n, NULL))
		return;
	VERIFY(!path_lookup(AT_FDCWD, name, LOOKUP_FOLLOW | LOOKUP_DIRECTORY, &p));
	VERIFY(!fs_context_set_cwd(fs_context_current(), &p));
	path_put(&p);
	here = n;
}

static void run(struct fuzz_input *in)
{
	while (in->left) {
		switch (fuzz_u8(in) % 12) {
		case 0:
		case 1:
			step_make(in, DIRECTORY);
			break;
		case 2:
			step_make(in, REGULAR);
			break;
		case 3:
		case 4:
			step_make(in, LINK);
			break;
		case 5:
			step_remove(in, true);
			break;
		case 6:
			step_remove(in, false);
			break;
		case 7:
			step_rename(in);
			break;
		case 8:
			step_link(in);
			break;
		case 9:
			step_enter(in);
			break;
		default:
			step_lookup(in);
		}
	}
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct fuzz_input in = { data, size };
	struct fs_context *fs;
	struct path root;

	world_enter();
	fs = fs_context_current();
	root = fs->root;
	path_get(&root);
	VERIFY(!fs_context_set_root(fs, &fs->cwd));
	nr_entries = 0;
	nr_nodes = 1;
	*top = (struct node){ .kind = DIRECTORY, .ino = stat_of(&fs->cwd).ino, .parent = top };
	here = top;
	run(&in);
	while (nr_nodes > 1)
		free(nodes[--nr_nodes].target);
	VERIFY(!fs_context_set_root(fs, &root));
	path_put(&root);
	world_leave();
	rcu_barrier();
	return 0;
}
