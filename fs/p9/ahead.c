/*
 * Names ahead: programs that walk a tree list a directory and then ask for its
 * names one by one, in the listed order.  Each would cost two round trips to
 * the host.  The names of the last few listings are kept; once two lookups in a
 * row follow the list, the next names are looked up together, in the time of
 * one, and put into the dentry cache (opt.p9_ahead).
 *
 * A cursor remembers where in the list the last asked name stood, and how far
 * was fetched.  names_lock guards the lists; nothing sleeps under it.
 */
#include <nos/counter.h>
#include <nos/log.h>
#include <nos/slab.h>
#include <nos/string.h>

#include "p9.h"

#define NAMES_MAX (256u << 10) /* bytes of one list */
#define SKIP_MAX 32 /* names passed over that nobody asked for */

struct p9_names {
	u32 len, size;
	u32 asked; /* offset behind the name asked last */
	u32 fetched; /* offset behind the last name that was fetched */
	u32 streak; /* lookups in list order so far */
	u64 last_use; /* names_clock then */
	u8 data[]; /* length byte, name */
};

DEFINE_COUNTER(ahead, "p9.names_ahead");

static bool is_enabled(void)
{
	static s8 enabled = -1;

	if (enabled < 0)
		enabled = boot_opt_enabled("p9_ahead");
	return enabled > 0;
}

void p9_names_forget(struct p9_inode *p)
{
	struct p9_mount *m = p9_mount(p->inode.sb);
	struct p9_names *n;

	if (!READ_ONCE(p->names))
		return;
	spin_lock(&m->names_lock);
	n = p->names;
	p->names = NULL;
	for (u32 k = 0; k < P9_RECENT_LISTS; k++)
		if (m->recent[k] == p)
			m->recent[k] = NULL;
	spin_unlock(&m->names_lock);
	kfree(n);
}

void p9_names_forget_all(struct p9_mount *m)
{
	for (u32 k = 0; k < P9_RECENT_LISTS; k++) {
		struct p9_names *n = NULL;

		spin_lock(&m->names_lock);
		if (m->recent[k]) {
			n = m->recent[k]->names;
			m->recent[k]->names = NULL;
			m->recent[k] = NULL;
		}
		spin_unlock(&m->names_lock);
		kfree(n);
	}
}

/* The slot for one more list: a free one, or that of the list used longest ago. */
static struct p9_inode **choose_slot_locked(struct p9_mount *m)
{
	struct p9_inode **oldest = &m->recent[0];

	for (u32 k = 0; k < P9_RECENT_LISTS; k++) {
		struct p9_inode **slot = &m->recent[k];

		if (!*slot)
			return slot;
		if ((*slot)->names->last_use < (*oldest)->names->last_use)
			oldest = slot;
	}
	return oldest;
}

/* p keeps a list from now on; one that was not used for longest goes. */
static void install(struct p9_inode *p, struct p9_names *n)
{
	struct p9_mount *m = p9_mount(p->inode.sb);
	struct p9_names *old, *oldest = NULL;

	spin_lock(&m->names_lock);
	n->last_use = ++m->names_clock;
	old = p->names;
	if (!old) {
		struct p9_inode **slot = choose_slot_locked(m);

		if (*slot) {
			oldest = (*slot)->names;
			(*slot)->names = NULL;
		}
		*slot = p;
	}
	p->names = n;
	spin_unlock(&m->names_lock);
	kfree(old);
	kfree(oldest);
}

static u32 append(struct p9_names *n, const u8 *data, u32 len)
{
	struct p9_reader r = { .data = data, .len = len };

	while (r.at < r.len) {
		u16 name_len;
		const char *name;

		p9_get_qid(&r);
		p9_get_u64(&r);
		p9_get_u8(&r);
		name = p9_get_string(&r, &name_len);
		if (r.failed || name_len == 0 || name_len > 255)
			break;
		if (name[0] == '.' && (name_len == 1 || (name_len == 2 && name[1] == '.')))
			continue;
		if (n->len + 1 + name_len > n->size)
			break;
		n->data[n->len] = (u8)name_len;
		memcpy(n->data + n->len + 1, name, name_len);
		n->len += 1u + name_len;
	}
	return n->len;
}

void p9_names_listed(struct inode *dir, const u8 *data, u32 len, bool first)
{
	struct p9_inode *p = p9_inode(dir);
	struct p9_mount *m = p9_mount(dir->sb);
	struct p9_names *n, *old = NULL;
	u32 kept = 0;

	if (!is_enabled())
		return;
	if (!first) {
		spin_lock(&m->names_lock);
		old = p->names;
		kept = old ? old->len : 0;
		spin_unlock(&m->names_lock);
		if (!old || kept + len > NAMES_MAX)
			return;
	}
	n = kmalloc(sizeof(*n) + kept + len, 0);
	if (!n)
		return;
	*n = (struct p9_names){ .size = kept + len };
	if (kept) {
		spin_lock(&m->names_lock);
		if (p->names == old) {
			memcpy(n->data, old->data, kept);
			n->len = kept;
			n->asked = old->asked;
			n->fetched = old->fetched;
			n->streak = old->streak;
		}
		spin_unlock(&m->names_lock);
	}
	append(n, data, len);
	install(p, n);
}

/* Offset behind the name, looked for from `from` on; 0 = not near. */
static u32 find_near(const struct p9_names *n, u32 from, const char *name, u32 len)
{
	for (u32 at = from, k = 0; at < n->len && k < SKIP_MAX; k++) {
		u32 next = at + 1u + n->data[at];

		if (n->data[at] == len && memcmp(n->data + at + 1, name, len) == 0)
			return next;
		at = next;
	}
	return 0;
}

/* Copies up to P9_BATCH names from *at on into text; how many. */
static u32 take_names(const struct p9_names *n, u32 *at, struct p9_looked_up *items, char *text)
{
	u32 nr = 0;

	while (nr < P9_BATCH && *at < n->len) {
		u8 len = n->data[*at];

		memcpy(text, n->data + *at + 1, len);
		text[len] = 0;
		items[nr].name = text;
		items[nr++].len = len;
		text += len + 1;
		*at += 1u + len;
	}
	return nr;
}

static void fetch(struct inode *dir, struct dentry *parent, struct p9_looked_up *items, u32 nr)
{
	p9_walk_many(p9_client_of(dir), p9_inode(dir)->fid, items, nr);
	counter_add(ahead, nr);
	for (u32 k = 0; k < nr; k++) {
		struct inode *i;

		if (items[k].err)
			continue;
		i = p9_inode_install(dir->sb, items[k].fid, &items[k].attributes);
		if (!is_err(i))
			dentry_preload(parent, items[k].name, items[k].len, i);
	}
}

struct batch {
	struct p9_looked_up items[P9_BATCH];
	char text[P9_BATCH * 256];
};

void p9_names_asked(struct inode *dir, struct dentry *parent, const char *name, u32 len)
{
	struct p9_inode *p = p9_inode(dir);
	struct p9_mount *m = p9_mount(dir->sb);
	struct batch *b;
	struct p9_names *n;
	u32 nr = 0, from;
	bool finished = false;

	if (!READ_ONCE(p->names))
		return;
	b = kmalloc(sizeof(*b), 0);
	if (!b)
		return;
	spin_lock(&m->names_lock);
	n = p->names;
	if (n) {
		from = max(n->asked, n->fetched);

		u32 found = find_near(n, from, name, len);

		n->last_use = ++m->names_clock;
		n->streak = found ? n->streak + 1 : 0;
		if (found)
			n->asked = found;
		if (found && n->streak >= 2) {
			u32 at = found;

			nr = take_names(n, &at, b->items, b->text);
			n->fetched = at;
			finished = at == n->len;
		}
	}
	spin_unlock(&m->names_lock);
	if (nr)
		fetch(dir, parent, b->items, nr);
	if (finished)
		p9_names_forget(p);
	kfree(b);
}
