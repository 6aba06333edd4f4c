/*
 * A 9P2000.L server in memory: nodes, names, fids.  It answers within submit, on the submitter's
 * thread, into the request's segments.  It is honest unless test_server.tamper makes it lie.
 */
#include <nos/arch.h>
#include <nos/assert.h>
#include <nos/errno.h>
#include <nos/name.h>
#include <nos/rcu.h>
#include <nos/string.h>
#include <nos/test.h>
#include <nos/test_world.h>
#include <linux/fcntl.h>
#include <linux/stat.h>

#include "test_server.h"

#define NODES 32u
#define NAMES 64u
#define FIDS 256u
#define DATA_MAX 20000u
#define MESSAGE_MAX (P9_MAX_DATA + 64)

struct node {
	u32 mode, uid, gid, nlink, version;
	u64 rdev;
	u32 size;
	bool is_pattern; /* `data` is not used */
	u8 data[DATA_MAX]; /* contents, or a link's target */
	char xattr_name[32];
	u8 xattr[64];
	u32 xattr_size;
};

struct name {
	struct node *dir, *node; /* dir NULL: free */
	char text[256];
};

struct fid {
	bool is_used, is_xattr;
	u32 number;
	struct node *node;
};

struct test_server test_server;
static struct node nodes[NODES];
static struct name names[NAMES];
static struct fid fids[FIDS];
static u8 in_bytes[MESSAGE_MAX], out_bytes[MESSAGE_MAX];
static struct p9_reader in;
static struct p9_writer out;

/* ---- the tree ---- */

static struct node *node_new(u32 mode)
{
	for (u32 n = 0; n < NODES; n++) {
		if (nodes[n].nlink)
			continue;
		nodes[n].mode = mode;
		nodes[n].nlink = 1;
		nodes[n].size = 0;
		nodes[n].is_pattern = false;
		nodes[n].xattr_size = 0;
		nodes[n].version++;
		nodes[n].rdev = 0;
		return &nodes[n];
	}
	return NULL;
}

static struct name *name_find(struct node *dir, const char *text, u32 len)
{
	for (u32 n = 0; n < NAMES; n++)
		if (names[n].dir == dir && strlen(names[n].text) == len &&
		    !memcmp(names[n].text, text, len))
			return &names[n];
	return NULL;
}

static int name_add(struct node *dir, const char *text, u32 len, struct node *node)
{
	if (!node || len > 255)
		return -ENOSPC;
	for (u32 n = 0; n < NAMES; n++) {
		if (names[n].dir)
			continue;
		names[n].dir = dir;
		names[n].node = node;
		memcpy(names[n].text, text, len);
		names[n].text[len] = '\0';
		dir->version++;
		return 0;
	}
	return -ENOSPC;
}

static bool is_empty(const struct node *dir)
{
	for (u32 n = 0; n < NAMES; n++)
		if (names[n].dir == dir)
			return false;
	return true;
}

static void name_drop(struct name *n)
{
	n->dir->version++;
	n->node->nlink--;
	n->dir = NULL;
}

static struct fid *fid_find(u32 number)
{
	for (u32 n = 0; n < FIDS; n++)
		if (fids[n].is_used && fids[n].number == number)
			return &fids[n];
	return NULL;
}

static int fid_set(u32 number, struct node *node, bool is_xattr)
{
	if (fid_find(number))
		return -EBADF;
	for (u32 n = 0; n < FIDS; n++) {
		if (!fids[n].is_used) {
			fids[n] = (struct fid){ true, is_xattr, number, node };
			test_server.nr_fids++;
			return 0;
		}
	}
	return -ENOSPC;
}

static void reset(void)
{
	memset(&test_server, 0, sizeof(test_server));
	memset(nodes, 0, sizeof(nodes));
	memset(names, 0, sizeof(names));
	memset(fids, 0, sizeof(fids));
	nodes[0].mode = S_IFDIR | 0755;
	nodes[0].nlink = 2;
}

void test_server_put(const char *name, const char *text)
{
	struct name *n = name_find(&nodes[0], name, (u32)strlen(name));
	struct node *node = n ? n->node : NULL;

	if (n && (!text || (node->mode & S_IFMT) != S_IFREG)) {
		name_drop(n); /* a number is used again as soon as it is free */
		node = NULL;
	}
	if (!text)
		return;
	if (!node) {
		node = node_new(S_IFREG | 0644);
		VERIFY(!name_add(&nodes[0], name, (u32)strlen(name), node));
	}
	node->size = (u32)strlen(text);
	memcpy(node->data, text, node->size);
	node->version++;
}

const char *test_server_get(const char *name)
{
	struct name *n = name_find(&nodes[0], name, (u32)strlen(name));

	if (!n || n->node->size >= DATA_MAX)
		return NULL;
	n->node->data[n->node->size] = '\0';
	return (const char *)n->node->data;
}

void test_server_put_pattern(const char *name, u32 size)
{
	test_server_put(name, "");
	struct node *n = name_find(&nodes[0], name, (u32)strlen(name))->node;

	n->size = size;
	n->is_pattern = true;
}

/* ---- messages: 0, or the errno of Rlerror ---- */

static void put_qid(const struct node *n)
{
	p9_put_u8(&out, (n->mode & S_IFMT) == S_IFDIR ? P9_QID_DIR : 0);
	p9_put_u32(&out, n->version);
	p9_put_u64(&out, 1u + (u64)(n - nodes));
}

static struct node *get_node(void)
{
	struct fid *f = fid_find(p9_get_u32(&in));

	return f ? f->node : NULL;
}

static int message_walk(struct node *n)
{
	u32 new = p9_get_u32(&in);
	u16 nr = p9_get_u16(&in), len;
	const char *text;
	int err;

	if (nr == 0) {
		err = fid_set(new, n, false);
		p9_put_u16(&out, 0);
		return err;
	}
	text = p9_get_string(&in, &len);

	struct name *found = name_find(n, text, len);

	if (!found)
		return -ENOENT;
	err = fid_set(new, found->node, false);
	p9_put_u16(&out, 1);
	put_qid(found->node);
	return err;
}

static void put_attributes(const struct node *n)
{
	p9_put_u64(&out, 0x7ff);
	put_qid(n);
	p9_put_u32(&out, n->mode);
	p9_put_u32(&out, n->uid);
	p9_put_u32(&out, n->gid);
	p9_put_u64(&out, n->nlink);
	p9_put_u64(&out, n->rdev);
	p9_put_u64(&out, n->size);
	p9_put_u64(&out, 4096);
	p9_put_u64(&out, div_round_up(n->size, 512));
	for (int i = 0; i < 10; i++) /* times, generation, data version */
		p9_put_u64(&out, (u64)i);
}

static void message_setattr(struct node *n)
{
	u32 valid = p9_get_u32(&in), mode = p9_get_u32(&in), uid = p9_get_u32(&in);
	u32 gid = p9_get_u32(&in);
	u64 size = p9_get_u64(&in);

	if (valid & P9_SET_MODE)
		n->mode = (n->mode & S_IFMT) | mode;
	if (valid & P9_SET_UID)
		n->uid = uid;
	if (valid & P9_SET_GID)
		n->gid = gid;
	if (valid & P9_SET_SIZE) {
		u32 to = (u32)min(size, (u64)DATA_MAX);

		if (to > n->size)
			memset(n->data + n->size, 0, to - n->size);
		n->size = to;
		n->version++;
	}
}

/* A new node with a name in `dir`; kind from the mode. */
static int make(struct node *dir, u32 kind, struct node **made)
{
	u16 len;
	const char *text = p9_get_string(&in, &len);
	int err;

	if (!text || name_find(dir, text, len))
		return text ? -EEXIST : -EINVAL;
	*made = node_new(kind);
	err = name_add(dir, text, len, *made);
	if (err && *made)
		(*made)->nlink = 0;
	return err;
}

static int message_make(u8 type, struct node *dir, struct fid *f)
{
	struct node *made = NULL;
	u16 len;
	int err = make(dir,
		       type == P9_TMKDIR   ? S_IFDIR :
		       type == P9_TSYMLINK ? S_IFLNK | 0777 :
					     S_IFREG,
		       &made);

	if (err)
		return err;
	if (type == P9_TSYMLINK) {
		const char *target = p9_get_string(&in, &len);

		made->size = len;
		memcpy(made->data, target, len);
		made->gid = p9_get_u32(&in);
	} else if (type == P9_TMKNOD) {
		made->mode = p9_get_u32(&in);
		made->rdev = (u64)p9_get_u32(&in) << 8;
		made->rdev |= p9_get_u32(&in);
		made->gid = p9_get_u32(&in);
	} else {
		if (type == P9_TLCREATE) {
			p9_get_u32(&in);
			f->node = made;
		}
		made->mode |= p9_get_u32(&in) & 07777;
		made->gid = p9_get_u32(&in);
	}
	put_qid(made);
	if (type == P9_TLCREATE)
		p9_put_u32(&out, 0);
	return 0;
}

static int message_rename(struct node *from)
{
	u16 len, new_len;
	const char *text = p9_get_string(&in, &len);
	struct node *to = get_node();
	const char *new = p9_get_string(&in, &new_len);
	struct name *n = text ? name_find(from, text, len) : NULL;
	struct name *old = to && new ? name_find(to, new, new_len) : NULL;
	struct node *node;

	if (!n || !to || !new)
		return -ENOENT;
	node = n->node;
	if (old && old->node == node)
		return 0;
	if (old)
		name_drop(old);
	node->nlink++;
	name_drop(n);
	return name_add(to, new, new_len, node);
}

static int message_unlink(struct node *dir)
{
	u16 len;
	const char *text = p9_get_string(&in, &len);
	struct name *n = text ? name_find(dir, text, len) : NULL;

	if (!n)
		return -ENOENT;
	if (!is_empty(n->node))
		return -ENOTEMPTY;
	name_drop(n);
	return 0;
}

static void message_readdir(struct node *dir)
{
	u64 offset = p9_get_u64(&in);
	u32 size = p9_get_u32(&in), at = out.len;

	p9_put_u32(&out, 0);
	for (u32 n = (u32)min(offset, (u64)NAMES); n < NAMES; n++) {
		if (names[n].dir != dir)
			continue;
		if (out.len - at - 4 + 24 + strlen(names[n].text) > size)
			break;
		put_qid(names[n].node);
		p9_put_u64(&out, n + 1);
		p9_put_u8(&out, (u8)(names[n].node->mode >> 12));
		p9_put_string(&out, names[n].text, strlen(names[n].text));
	}
	size = out.len - at - 4;
	memcpy(out.data + at, &size, 4);
}

static int message_read(struct fid *f)
{
	u64 offset = p9_get_u64(&in);
	u32 count = p9_get_u32(&in);
	const u8 *data = f->is_xattr ? f->node->xattr : f->node->data;
	u32 size = f->is_xattr ? f->node->xattr_size : f->node->size;

	if ((f->node->mode & S_IFMT) == S_IFDIR && !f->is_xattr)
		return -EISDIR;
	offset = min(offset, (u64)size);
	count = (u32)min((u64)count, size - offset);
	p9_put_u32(&out, count);
	test_server.nr_reads++;
	if (f->node->is_pattern && !f->is_xattr)
		for (u32 n = 0; n < count; n++)
			out.data[out.len + n] = (u8)(((offset + n) >> 16) + 1);
	else
		memcpy(out.data + out.len, data + offset, count);
	out.len += count;
	return 0;
}

static int message_write(struct fid *f)
{
	struct node *n = f->node;
	u64 offset = p9_get_u64(&in);
	u32 count = p9_get_u32(&in), limit = f->is_xattr ? sizeof(n->xattr) : DATA_MAX;

	if (n->is_pattern || offset > limit || count > limit - offset || count > in.len - in.at)
		return -ENOSPC;
	memcpy((f->is_xattr ? n->xattr : n->data) + offset, in.data + in.at, count);
	if (!f->is_xattr) {
		if (offset > n->size)
			memset(n->data + n->size, 0, offset - n->size);
		n->size = max(n->size, (u32)offset + count);
		n->version++;
	}
	p9_put_u32(&out, count);
	return 0;
}

static int message_xattrwalk(struct node *n)
{
	u32 new = p9_get_u32(&in);
	u16 len;
	const char *text = p9_get_string(&in, &len);
	int err;

	if (!text || (len && (!n->xattr_size || strlen(n->xattr_name) != len ||
			      memcmp(n->xattr_name, text, len) != 0)))
		return -ENODATA;
	err = fid_set(new, n, true);
	p9_put_u64(&out, n->xattr_size);
	return err;
}

static int message_xattrcreate(struct fid *f)
{
	u16 len;
	const char *text = p9_get_string(&in, &len);
	u64 size = p9_get_u64(&in);

	if (!text || len >= sizeof(f->node->xattr_name) || size > sizeof(f->node->xattr))
		return -ENOSPC;
	memcpy(f->node->xattr_name, text, len);
	f->node->xattr_name[len] = '\0';
	f->node->xattr_size = (u32)size;
	f->is_xattr = true;
	return 0;
}

static int message_link(struct node *dir)
{
	struct node *n = get_node();
	u16 len;
	const char *text = p9_get_string(&in, &len);
	int err;

	if (!n || !text || name_find(dir, text, len))
		return -EEXIST;
	err = name_add(dir, text, len, n);
	n->nlink += err ? 0 : 1;
	return err;
}

static void message_version(void)
{
	u32 msize = p9_get_u32(&in);

	p9_put_u32(&out, min(msize, (u32)P9_MAX_DATA));
	p9_put_string(&out, "9P2000.L", 8);
}

static int message_attach(u32 number)
{
	put_qid(&nodes[0]);
	return fid_set(number, &nodes[0], false);
}

static void message_statfs(void)
{
	p9_put_u32(&out, 0x01021997);
	p9_put_u32(&out, 4096);
	for (int i = 0; i < 6; i++)
		p9_put_u64(&out, 1000u + (u64)i);
	p9_put_u32(&out, 255);
}

/* Messages that start with a fid that is known. */
static int message_of_fid(u8 type, struct fid *f)
{
	struct node *n = f->node;

	switch (type) {
	case P9_TWALK:
		return message_walk(n);
	case P9_TGETATTR:
		put_attributes(n);
		return 0;
	case P9_TSETATTR:
		message_setattr(n);
		return 0;
	case P9_TLOPEN:
		put_qid(n);
		p9_put_u32(&out, 0);
		return 0;
	case P9_TLCREATE:
	case P9_TMKDIR:
	case P9_TMKNOD:
	case P9_TSYMLINK:
		return message_make(type, n, f);
	case P9_TLINK:
		return message_link(n);
	case P9_TRENAMEAT:
		return message_rename(n);
	case P9_TUNLINKAT:
		return message_unlink(n);
	case P9_TREADLINK:
		p9_put_string(&out, (const char *)n->data, n->size);
		return 0;
	case P9_TREADDIR:
		message_readdir(n);
		return 0;
	case P9_TREAD:
		return message_read(f);
	case P9_TWRITE:
		return message_write(f);
	case P9_TSTATFS:
		message_statfs();
		return 0;
	case P9_TXATTRWALK:
		return message_xattrwalk(n);
	case P9_TXATTRCREATE:
		return message_xattrcreate(f);
	case P9_TCLUNK:
		f->is_used = false;
		test_server.nr_fids--;
		return 0;
	case P9_TFSYNC:
		return 0;
	default:
		return -EOPNOTSUPP;
	}
}

static int message(u8 type)
{
	struct fid *f;
	u32 number;

	if (type == test_server.fail)
		return -EIO;
	if (type == P9_TVERSION) {
		message_version();
		return 0;
	}
	if (type == P9_TFLUSH)
		return 0;
	number = p9_get_u32(&in);
	if (type == P9_TATTACH)
		return message_attach(number);
	f = fid_find(number);
	return f ? message_of_fid(type, f) : -EBADF;
}

/* ---- the channel ---- */

static u32 gather(const struct channel_segment *s, u32 nr)
{
	u32 len = 0;

	for (u32 n = 0; n < nr; n++) {
		VERIFY(len + s[n].len <= sizeof(in_bytes));
		memcpy(in_bytes + len, phys_to_virt(s[n].address), s[n].len);
		len += s[n].len;
	}
	return len;
}

static u32 scatter(const struct channel_segment *s, u32 nr, u32 len)
{
	u32 done = 0;

	for (u32 n = 0; n < nr && done < len; n++) {
		u32 part = min(s[n].len, len - done);

		memcpy(phys_to_virt(s[n].address), out_bytes + done, part);
		done += part;
	}
	return done;
}

static void answer(struct channel_request *r)
{
	u32 len = gather(r->out, r->nr_out), size;
	int err;

	in = (struct p9_reader){ .data = in_bytes, .len = len };
	out = (struct p9_writer){ .data = out_bytes, .size = sizeof(out_bytes) };
	size = p9_get_u32(&in);

	u8 type = p9_get_u8(&in);
	u16 tag = p9_get_u16(&in);

	VERIFY(size == len && !in.failed);
	test_server.nr_messages++;
	p9_put_u32(&out, 0);
	p9_put_u8(&out, type + 1);
	p9_put_u16(&out, tag);
	err = message(type);
	if (err) {
		out.len = 4;
		p9_put_u8(&out, P9_RLERROR);
		p9_put_u16(&out, tag);
		p9_put_u32(&out, (u32)-err);
	}
	memcpy(out_bytes, &out.len, sizeof(out.len));
	if (test_server.tamper)
		test_server.tamper(out_bytes, &out.len, sizeof(out_bytes));
	r->done(r, scatter(r->in, r->nr_in, out.len));
	if (type == P9_TFLUSH) {
		test_server.nr_flushes++;
		test_server_release(); /* the flushed one too gets its buffer back */
	}
}

static struct channel_request *held[P9_MAX_TAGS];
static u32 nr_held;

static int submit(struct channel *c, struct channel_request *r)
{
	u8 type = ((const u8 *)phys_to_virt(r->out[0].address))[4];

	if (test_server.hold && type == P9_TREAD)
		held[nr_held++] = r;
	else
		answer(r);
	return 0;
}

void test_server_release(void)
{
	test_server.hold = false;
	for (u32 n = 0; n < nr_held; n++)
		answer(held[n]);
	nr_held = 0;
}

static const struct channel_ops server_ops = { .submit = submit };
static struct channel server_channel = { .tag = TEST_SERVER, .ops = &server_ops };

/* Registered with the first use. */
void test_server_start(void)
{
	static bool is_registered;

	if (!is_registered)
		channel_register(&server_channel);
	is_registered = true;
	reset();
}

void test_server_mount(const char *options)
{
	struct path p;

	world_enter();
	test_server_start();
	VERIFY(!vfs_mkdir_at(AT_FDCWD, "m", 0755));
	VERIFY(!path_lookup(AT_FDCWD, "m", 0, &p));
	EXPECT_EQ(vfs_mount(TEST_SERVER, &p, "9p", 0, options), 0);
	path_put(&p);
}

void test_server_umount(void)
{
	struct path p;

	VERIFY(!path_lookup(AT_FDCWD, "m", 0, &p));
	EXPECT_EQ(vfs_umount(&p, 0), 0);
	path_put(&p);
	rcu_barrier();
	EXPECT_EQ(test_server.nr_fids, 0); /* each was given back */
	world_leave();
}
