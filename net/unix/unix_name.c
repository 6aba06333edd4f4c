/* Names of AF_UNIX sockets: paths, abstract names, automatic ones. */
#include "unix.h"

#include <nos/errno.h>
#include <nos/slab.h>
#include <nos/string.h>
#include <linux/fcntl.h>
#include <linux/stat.h>

#define NAME_BUCKETS 256u
#define FAMILY_SIZE offsetof(struct sockaddr_un, sun_path)

static struct mutex names_lock = MUTEX_INIT(RANK_NONE);
static struct list names[NAME_BUCKETS]; /* name_node; heads are set up at first use */

void unix_address_put(struct unix_address *a)
{
	if (a && ref_put(&a->refs))
		kfree(a);
}

/* A checked copy: paths get their NUL.  -EINVAL, -ENOMEM as ERR. */
static struct unix_address *unix_address_make(const void *name, u32 len)
{
	const struct sockaddr_un *given = name;
	struct unix_address *a;

	if (len <= FAMILY_SIZE || len > sizeof(*given) || given->sun_family != AF_UNIX)
		return err_ptr(-EINVAL);
	a = kzalloc(sizeof(*a) + 1, ALLOC_USER);
	if (!a)
		return err_ptr(-ENOMEM);
	ref_init(&a->refs, 1);
	memcpy(&a->name, given, len);
	a->len = len;
	if (a->name.sun_path[0]) /* the byte behind the array is ours, and zero */
		a->len = (u32)(FAMILY_SIZE + strnlen(a->name.sun_path, len - FAMILY_SIZE) + 1);
	return a;
}

static bool unix_address_is_path(const struct unix_address *a)
{
	return a->name.sun_path[0] != '\0';
}

/* ---- abstract names ---- */

static struct list *unix_bucket(const struct unix_address *a, u32 type)
{
	struct list *head;

	head = &names[hash_bytes(a->name.sun_path, a->len - FAMILY_SIZE, type) % NAME_BUCKETS];
	if (!head->next)
		list_init(head);
	return head;
}

static struct unix_socket *unix_find_abstract_locked(const struct unix_address *a, u32 type)
{
	struct unix_socket *u;

	list_for_each(u, unix_bucket(a, type), name_node)
		if (u->base.type == type && u->address->len == a->len &&
		    !memcmp(u->address->name.sun_path, a->name.sun_path, a->len - FAMILY_SIZE))
			return u;
	return NULL;
}

/* Publishes u under a: 0 or -EADDRINUSE. */
static int unix_bind_abstract(struct unix_socket *u, struct unix_address *a)
{
	scoped_mutex(&names_lock);
	if (unix_find_abstract_locked(a, u->base.type))
		return -EADDRINUSE;
	u->address = a;
	list_push_back(unix_bucket(a, u->base.type), &u->name_node);
	return 0;
}

/* ---- bind ---- */

/* Reserves the right to name u: -EINVAL if it has a name or is getting one. */
static int unix_bind_begin(struct unix_socket *u)
{
	scoped_mutex(&u->lock);
	if (u->address || u->binding)
		return -EINVAL;
	u->binding = true;
	return 0;
}

static void unix_bind_end(struct unix_socket *u)
{
	scoped_mutex(&u->lock);
	u->binding = false;
}

static int unix_bind_path(struct unix_socket *u, struct unix_address *a)
{
	struct path path;
	int err = vfs_make_socket(a->name.sun_path, 0777, u, &path);

	if (err)
		return err;
	scoped_mutex(&u->lock);
	u->path = path;
	u->has_path = true;
	u->address = a;
	return 0;
}

int unix_autobind(struct unix_socket *u)
{
	static u32 next;
	struct unix_address *a;
	int err = unix_bind_begin(u);

	if (err)
		return u->address ? 0 : err;
	a = kzalloc(sizeof(*a) + 1, ALLOC_USER);
	err = a ? -EADDRINUSE : -ENOMEM;
	if (a) {
		ref_init(&a->refs, 1);
		a->name.sun_family = AF_UNIX;
		a->len = FAMILY_SIZE + 6;
	}
	for (u32 tries = 0; err == -EADDRINUSE && tries < 1u << 20; tries++) {
		snprintf(a->name.sun_path + 1, 6, "%05x", atomic_add(&next, 1u) & 0xfffff);
		err = unix_bind_abstract(u, a);
	}
	if (err)
		unix_address_put(a);
	unix_bind_end(u);
	return err == -EADDRINUSE ? -ENOSPC : err;
}

int unix_bind(struct socket *s, const void *name, u32 len)
{
	struct unix_socket *u = unix_of(s);
	struct unix_address *a;
	int err;

	if (len == FAMILY_SIZE && ((const struct sockaddr_un *)name)->sun_family == AF_UNIX)
		return unix_autobind(u);
	a = unix_address_make(name, len);
	if (is_err(a))
		return (int)ptr_err(a);
	err = unix_bind_begin(u);
	if (!err) {
		err = unix_address_is_path(a) ? unix_bind_path(u, a) : unix_bind_abstract(u, a);
		unix_bind_end(u);
	}
	if (err)
		unix_address_put(a);
	return err;
}

/* The name no longer leads here; the address stays for getsockname of others. */
void unix_unbind(struct unix_socket *u)
{
	struct inode *i;

	mutex_lock(&names_lock);
	list_remove(&u->name_node);
	mutex_unlock(&names_lock);
	if (!u->has_path)
		return;
	i = u->path.dentry->inode;
	spin_lock(&i->spin);
	if (i->socket == u)
		i->socket = NULL;
	spin_unlock(&i->spin);
	path_put(&u->path);
	u->has_path = false;
}

/* ---- look up ---- */

static struct unix_socket *unix_find_path(const char *name)
{
	struct unix_socket *u = NULL;
	struct path p;
	struct inode *i;
	int err = path_lookup(AT_FDCWD, name, LOOKUP_FOLLOW, &p);

	if (err)
		return err_ptr(err);
	i = p.dentry->inode;
	err = inode_permission(i, MAY_WRITE);
	if (!err && (i->mode & S_IFMT) == S_IFSOCK) {
		spin_lock(&i->spin);
		u = i->socket;
		if (u && !ref_get_unless_zero(&u->refs))
			u = NULL;
		spin_unlock(&i->spin);
	}
	path_put(&p);
	if (err)
		return err_ptr(err);
	return u ? u : err_ptr(-ECONNREFUSED);
}

static struct unix_socket *unix_find_abstract(const struct unix_address *a, u32 type)
{
	struct unix_socket *u;

	scoped_mutex(&names_lock);
	u = unix_find_abstract_locked(a, type);
	if (!u || !ref_get_unless_zero(&u->refs))
		return err_ptr(-ECONNREFUSED);
	return u;
}

struct unix_socket *unix_find(const void *name, u32 len, u32 type)
{
	struct unix_address *a = unix_address_make(name, len);
	struct unix_socket *u;

	if (is_err(a))
		return err_ptr(ptr_err(a));
	u = unix_address_is_path(a) ? unix_find_path(a->name.sun_path) :
				      unix_find_abstract(a, type);
	unix_address_put(a);
	if (!is_err(u) && u->base.type != type) {
		unix_put(u);
		return err_ptr(-EPROTOTYPE);
	}
	return u;
}

int unix_get_name(struct socket *s, void *name, u32 *len, bool peer)
{
	struct unix_socket *u = unix_of(s);
	struct sockaddr_un none = { .sun_family = AF_UNIX };
	struct unix_address *a;

	mutex_lock(&u->lock);
	if (peer) {
		struct unix_socket *p = u->peer;

		if (!p) {
			mutex_unlock(&u->lock);
			return -ENOTCONN;
		}
		/* A name, once there, stays while its socket does. */
		a = READ_ONCE(p->address);
	} else {
		a = u->address;
	}
	*len = a ? a->len : FAMILY_SIZE;
	memcpy(name, a ? (const void *)&a->name : &none, *len);
	mutex_unlock(&u->lock);
	return 0;
}
