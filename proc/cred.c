/*
 * Credentials: who a task is, and what it may do.
 *
 * Concepts.  A struct cred is immutable once a task points to it: changes are
 * made in a copy (cred_prepare), which then replaces the old one
 * (cred_commit).  Threads have their own; glibc sets all threads of a process
 * by a signal of its own.
 *
 * Open files keep those they were opened by.  Each open and close would write
 * their one count, so files have a count of their own (opens), which each CPU
 * keeps for itself once a fork has shared the credentials.  Its owner is all
 * tasks together.
 *
 * An *account* holds what all processes of a real uid are charged with for
 * RLIMIT_NPROC and RLIMIT_SIGPENDING.
 *
 * The rules are those of credentials(7), capabilities(7) ("Effect of user ID
 * changes on capabilities", "Transformation of capabilities during
 * execve()"), setuid(2), setreuid(2), setresuid(2), setfsuid(2).
 */
#include "internal.h"

#include <linux/capability.h>
#include <linux/securebits.h>
#include <linux/xattr.h>
#include <linux/stat.h>

#define CAP_ALL (~0ull >> (63 - CAP_LAST_CAP))
#define CAP(c) (1ull << (c))
#define FS_CAPS                                                                                    \
	(CAP(CAP_CHOWN) | CAP(CAP_MKNOD) | CAP(CAP_DAC_OVERRIDE) | CAP(CAP_DAC_READ_SEARCH) |      \
	 CAP(CAP_FOWNER) | CAP(CAP_FSETID) | CAP(CAP_LINUX_IMMUTABLE) | CAP(CAP_MAC_OVERRIDE))

static struct user_account root_account = { .refs = { 1 } };
static struct group_list no_groups = { .refs = { 1 } };

static u64 next_id = 2;
const struct cred init_cred = {
	.refs = { 1 },
	.cap_effective = CAP_ALL,
	.cap_permitted = CAP_ALL,
	.cap_bounding = CAP_ALL,
	.groups = &no_groups,
	.user = &root_account,
	.id = 1,
};

/* ---- accounts ---- */

#define ACCOUNT_BUCKETS 64
static struct user_account *accounts[ACCOUNT_BUCKETS];
static struct spinlock account_lock = SPINLOCK_INIT(RANK_LEAF);

static struct user_account *account_find_locked(u32 uid)
{
	for (struct user_account *u = accounts[uid % ACCOUNT_BUCKETS]; u; u = u->next) {
		if (u->uid == uid) {
			ref_get(&u->refs);
			return u;
		}
	}
	return NULL;
}

struct user_account *user_account_hold(struct user_account *u)
{
	if (u != &root_account)
		ref_get(&u->refs);
	return u;
}

struct user_account *user_account_get(u32 uid)
{
	struct user_account *u, *made;

	if (uid == 0)
		return &root_account;
	{
		scoped_spin_irq(&account_lock);
		u = account_find_locked(uid);
	}
	if (u)
		return u;
	made = kzalloc(sizeof(*made), 0);
	if (!made)
		return NULL;
	ref_init(&made->refs, 1);
	made->uid = uid;
	{
		scoped_spin_irq(&account_lock);
		u = account_find_locked(uid);
		if (!u) {
			made->next = accounts[uid % ACCOUNT_BUCKETS];
			accounts[uid % ACCOUNT_BUCKETS] = made;
			return made;
		}
	}
	kfree(made);
	return u;
}

void user_account_put(struct user_account *u)
{
	if (u == &root_account)
		return;
	{
		scoped_spin_irq(&account_lock);
		struct user_account **p = &accounts[u->uid % ACCOUNT_BUCKETS];

		if (!ref_put(&u->refs))
			return;
		while (*p != u)
			p = &(*p)->next;
		*p = u->next;
	}
	kfree(u);
}

/* ---- group lists ---- */

struct group_list *group_list_create(u32 nr)
{
	struct group_list *g = kmalloc(sizeof(*g) + nr * sizeof(u32), 0);

	if (g) {
		ref_init(&g->refs, 1);
		g->nr = nr;
	}
	return g;
}

static struct group_list *group_list_get(struct group_list *g)
{
	if (g != &no_groups)
		ref_get(&g->refs);
	return g;
}

void group_list_put(struct group_list *g)
{
	if (g != &no_groups && ref_put(&g->refs))
		kfree(g);
}

static void sift_down(u32 *a, u32 from, u32 nr)
{
	for (u32 child; (child = 2 * from + 1) < nr; from = child) {
		if (child + 1 < nr && a[child + 1] > a[child])
			child++;
		if (a[from] >= a[child])
			return;
		swap(a[from], a[child]);
	}
}

/* Heap sort: the list comes from a user and has up to 65,536 members. */
void group_list_sort(struct group_list *g)
{
	for (u32 i = g->nr / 2; i-- > 0;)
		sift_down(g->gid, i, g->nr);
	for (u32 n = g->nr; n-- > 1;) {
		swap(g->gid[0], g->gid[n]);
		sift_down(g->gid, 0, n);
	}
}

bool cred_in_group(const struct cred *c, u32 gid)
{
	u32 low = 0, high = c->groups->nr;

	if (c->fsgid == gid)
		return true;
	while (low < high) {
		u32 middle = (low + high) / 2;

		if (c->groups->gid[middle] == gid)
			return true;
		if (c->groups->gid[middle] < gid)
			low = middle + 1;
		else
			high = middle;
	}
	return false;
}

/* ---- life ---- */

void cred_get(const struct cred *c)
{
	if (c != &init_cred)
		ref_get((struct ref *)&c->refs);
}

/* Readers under RCU follow `groups` and `user` too. */
static void cred_free(struct rcu_head *head)
{
	struct cred *c = container_of(head, struct cred, opens.rcu);

	group_list_put(c->groups);
	user_account_put(c->user);
	kfree(c);
}

void cred_put(const struct cred *c)
{
	struct cred *mine = (struct cred *)c;

	if (c && c != &init_cred && ref_put(&mine->refs))
		percpu_ref_kill(&mine->opens);
}

static void opens_gone(struct percpu_ref *opens)
{
	rcu_call(&opens->rcu, cred_free);
}

const struct cred *cred_share(void)
{
	const struct cred *c = cred_current();

	cred_get(c);
	if (c != &init_cred && !READ_ONCE(c->opens.slot))
		percpu_ref_spread((struct percpu_ref *)&c->opens);
	return c;
}

struct cred *cred_prepare(void)
{
	const struct cred *old = cred_current();
	struct cred *new = kmalloc(sizeof(*new), 0);

	if (!new)
		return NULL;
	*new = *old;
	new->id = atomic_fetch_add(&next_id, 1ul);
	ref_init(&new->refs, 1);
	percpu_ref_init(&new->opens, opens_gone);
	group_list_get(new->groups);
	user_account_hold(new->user);
	return new;
}

static void set_not_dumpable(void)
{
	struct aspace *a = current_thread->aspace;

	if (a)
		WRITE_ONCE(a->dumpable, 0);
}

void cred_commit(struct cred *new)
{
	struct task *t = task_current();
	const struct cred *old = t->cred;

	if (old->euid != new->euid || old->egid != new->egid || old->fsuid != new->fsuid ||
	    old->fsgid != new->fsgid || (new->cap_permitted & ~old->cap_permitted)) {
		set_not_dumpable();
		t->parent_death_signal = 0;
	}
	if (old->user != new->user) {
		atomic_add(&new->user->nr_tasks, 1u);
		atomic_sub(&old->user->nr_tasks, 1u);
	}
	{
		scoped_spin_irq(&t->lock);
		rcu_store(t->cred, new);
	}
	kernel_page_follow(t);
	cred_put(old);
}

/* ---- user and group ids ---- */

static __noinline int take_account(struct cred *new)
{
	struct user_account *u = user_account_get(new->uid);

	if (!u)
		return -EAGAIN;
	user_account_put(new->user);
	new->user = u;
	return 0;
}

/* The account must follow the real uid: prepared before the commit. */
static int switch_account(struct cred *new)
{
	return likely(new->uid == new->user->uid) ? 0 : take_account(new);
}

static bool has_root(const struct cred *c)
{
	return c->uid == 0 || c->euid == 0 || c->suid == 0;
}

static void adjust_capabilities(const struct cred *old, struct cred *new)
{
	if (new->securebits & issecure_mask(SECURE_NO_SETUID_FIXUP))
		return;
	if (has_root(old) && !has_root(new)) {
		if (!(new->securebits &issecure_mask(SECURE_KEEP_CAPS))) {
			new->cap_permitted = 0;
			new->cap_effective = 0;
		}
		new->cap_ambient = 0;
	}
	if (old->euid == 0 && new->euid != 0)
		new->cap_effective = 0;
	if (old->euid != 0 && new->euid == 0)
		new->cap_effective = new->cap_permitted;
}

/* The three numbers of users or of groups, and the rules by which they change: those of both kinds are
 * the same.  `may`: the capability for any number; KEEP_ID leaves one as it is. */
#define KEEP_ID ((u32)-1)
struct ids {
	u32 real, effective, saved;
};

static bool is_one_of(u32 id, const struct ids *old)
{
	return id == KEEP_ID || id == old->real || id == old->effective || id == old->saved;
}

static int ids_set(struct ids *ids, u32 id, bool may)
{
	if (id == KEEP_ID)
		return -EINVAL;
	if (!may && id != ids->real && id != ids->saved)
		return -EPERM;
	if (may)
		ids->real = ids->saved = id;
	ids->effective = id;
	return 0;
}

static int ids_set_two(struct ids *ids, u32 real, u32 effective, bool may)
{
	const struct ids old = *ids;

	if (!may && real != KEEP_ID && real != old.real && real != old.effective)
		return -EPERM;
	if (!may && !is_one_of(effective, &old))
		return -EPERM;
	if (real != KEEP_ID)
		ids->real = real;
	if (effective != KEEP_ID)
		ids->effective = effective;
	if (real != KEEP_ID || (effective != KEEP_ID && effective != old.real))
		ids->saved = ids->effective;
	return 0;
}

static int ids_set_three(struct ids *ids, u32 real, u32 effective, u32 saved, bool may)
{
	if (!may && (!is_one_of(real, ids) || !is_one_of(effective, ids) || !is_one_of(saved, ids)))
		return -EPERM;
	if (real != KEEP_ID)
		ids->real = real;
	if (effective != KEEP_ID)
		ids->effective = effective;
	if (saved != KEEP_ID)
		ids->saved = saved;
	return 0;
}

static struct ids uids_current(void)
{
	const struct cred *c = cred_current();

	return (struct ids){ c->uid, c->euid, c->suid };
}

/* err: of the rules; then nothing changes. */
static int commit_uids(const struct ids *ids, int err)
{
	struct cred *new;

	if (err)
		return err;
	new = cred_prepare();
	if (!new)
		return -ENOMEM;
	new->uid = ids->real;
	new->euid = new->fsuid = ids->effective;
	new->suid = ids->saved;
	err = switch_account(new);
	if (err) {
		cred_put(new);
		return err;
	}
	adjust_capabilities(cred_current(), new);
	cred_commit(new);
	return 0;
}

int cred_set_uid(u32 uid)
{
	struct ids ids = uids_current();

	return commit_uids(&ids, ids_set(&ids, uid, capable(CAP_SETUID)));
}

int cred_set_reuid(u32 ruid, u32 euid)
{
	struct ids ids = uids_current();

	return commit_uids(&ids, ids_set_two(&ids, ruid, euid, capable(CAP_SETUID)));
}

int cred_set_resuid(u32 ruid, u32 euid, u32 suid)
{
	struct ids ids = uids_current();

	return commit_uids(&ids, ids_set_three(&ids, ruid, euid, suid, capable(CAP_SETUID)));
}

static struct ids gids_current(void)
{
	const struct cred *c = cred_current();

	return (struct ids){ c->gid, c->egid, c->sgid };
}

static int commit_gids(const struct ids *ids, int err)
{
	struct cred *new;

	if (err)
		return err;
	new = cred_prepare();
	if (!new)
		return -ENOMEM;
	new->gid = ids->real;
	new->egid = new->fsgid = ids->effective;
	new->sgid = ids->saved;
	cred_commit(new);
	return 0;
}

int cred_set_gid(u32 gid)
{
	struct ids ids = gids_current();

	return commit_gids(&ids, ids_set(&ids, gid, capable(CAP_SETGID)));
}

int cred_set_regid(u32 rgid, u32 egid)
{
	struct ids ids = gids_current();

	return commit_gids(&ids, ids_set_two(&ids, rgid, egid, capable(CAP_SETGID)));
}

int cred_set_resgid(u32 rgid, u32 egid, u32 sgid)
{
	struct ids ids = gids_current();

	return commit_gids(&ids, ids_set_three(&ids, rgid, egid, sgid, capable(CAP_SETGID)));
}

u32 cred_set_fsuid(u32 uid)
{
	const struct cred *old = cred_current();
	const struct ids own = uids_current();
	u32 was = old->fsuid;
	struct cred *new;

	if (uid == (u32)-1 || uid == was || (!is_one_of(uid, &own) && !cred_has(old, CAP_SETUID)))
		return was;
	new = cred_prepare();
	if (!new)
		return was;
	new->fsuid = uid;
	if (!(new->securebits &issecure_mask(SECURE_NO_SETUID_FIXUP))) {
		if (was == 0)
			new->cap_effective &= ~FS_CAPS;
		if (uid == 0)
			new->cap_effective |= new->cap_permitted &FS_CAPS;
	}
	cred_commit(new);
	return was;
}

u32 cred_set_fsgid(u32 gid)
{
	const struct cred *old = cred_current();
	const struct ids own = gids_current();
	u32 was = old->fsgid;
	struct cred *new;

	if (gid == (u32)-1 || gid == was || (!is_one_of(gid, &own) && !cred_has(old, CAP_SETGID)))
		return was;
	new = cred_prepare();
	if (!new)
		return was;
	new->fsgid = gid;
	cred_commit(new);
	return was;
}

int cred_set_groups(struct group_list *g)
{
	struct cred *new = cred_prepare();

	if (!new) {
		group_list_put(g);
		return -ENOMEM;
	}
	group_list_put(new->groups);
	new->groups = g;
	cred_commit(new);
	return 0;
}

/* capset(2): which bits may be raised. */
int cred_set_capabilities(u64 effective, u64 permitted, u64 inheritable)
{
	const struct cred *old = cred_current();
	struct cred *new;

	effective &= CAP_ALL;
	permitted &= CAP_ALL;
	inheritable &= CAP_ALL;
	if (!cred_has(old, CAP_SETPCAP) &&
	    (inheritable & ~(old->cap_inheritable | old->cap_permitted)))
		return -EPERM;
	if (inheritable & ~(old->cap_inheritable | old->cap_bounding))
		return -EPERM;
	if ((permitted & ~old->cap_permitted) || (effective & ~permitted))
		return -EPERM;
	new = cred_prepare();
	if (!new)
		return -ENOMEM;
	new->cap_effective = effective;
	new->cap_permitted = permitted;
	new->cap_inheritable = inheritable;
	new->cap_ambient &= permitted &inheritable;
	cred_commit(new);
	return 0;
}

/* ---- exec ---- */

struct file_capabilities {
	u64 permitted, inheritable;
	bool effective, present;
};

/* The extended attribute in the layout of <linux/capability.h>. */
static void read_file_capabilities(struct inode *i, struct file_capabilities *c)
{
	struct vfs_ns_cap_data d;
	ssize_t n = -EOPNOTSUPP;

	*c = (struct file_capabilities){ 0 };
	if (i->ops && i->ops->get_xattr)
		n = i->ops->get_xattr(i, XATTR_NAME_CAPS, &d, sizeof(d));
	if (n < (ssize_t)XATTR_CAPS_SZ_2)
		return;
	u32 revision = d.magic_etc & VFS_CAP_REVISION_MASK;

	if (revision != VFS_CAP_REVISION_2 &&
	    !(revision == VFS_CAP_REVISION_3 && n == XATTR_CAPS_SZ_3 && d.rootid == 0))
		return;
	c->present = true;
	c->effective = d.magic_etc & VFS_CAP_FLAGS_EFFECTIVE;
	c->permitted = (d.data[0].permitted | (u64)d.data[1].permitted << 32) & CAP_ALL;
	c->inheritable = (d.data[0].inheritable | (u64)d.data[1].inheritable << 32) & CAP_ALL;
}

static void transform_capabilities(const struct cred *old, struct cred *new,
				   struct file_capabilities *f)
{
	bool by_root = !(new->securebits &issecure_mask(SECURE_NOROOT));
	bool has_file_caps = f->present;

	if (by_root && !(has_file_caps && new->uid == 0 && new->euid != 0)) {
		if (new->euid == 0 || new->uid == 0) {
			f->permitted = CAP_ALL;
			f->inheritable = CAP_ALL;
		}
		if (new->euid == 0)
			f->effective = true;
	}
	if (has_file_caps || new->euid != old->euid || new->egid != old->egid)
		new->cap_ambient = 0;
	new->cap_permitted = (old->cap_inheritable & f->inheritable) |
			     (f->permitted & old->cap_bounding) | new->cap_ambient;
	new->cap_effective = f->effective ? new->cap_permitted : new->cap_ambient;
}

struct cred *cred_for_exec(struct file *program, bool *secure)
{
	const struct cred *old = cred_current();
	struct inode *i = program->inode;
	struct cred *new = cred_prepare();
	struct file_capabilities f = { 0 };

	if (!new)
		return NULL;
	if (!new->no_new_privs && !path_is_nosuid(&program->path)) {
		u32 mode = READ_ONCE(i->mode);

		if (mode & S_ISUID)
			new->euid = i->uid;
		if ((mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP))
			new->egid = i->gid;
		read_file_capabilities(i, &f);
	}
	new->suid = new->fsuid = new->euid;
	new->sgid = new->fsgid = new->egid;
	transform_capabilities(old, new, &f);
	new->securebits &= ~issecure_mask(SECURE_KEEP_CAPS);
	*secure = new->uid != new->euid || new->gid != new->egid ||
		  (new->uid != 0 && (new->cap_permitted & ~new->cap_ambient & ~old->cap_permitted));
	return new;
}

bool process_has_capability(int cap)
{
	return capable(cap);
}
