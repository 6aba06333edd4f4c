/*
 * inotify: events about files, queued for those who watch (inotify(7)).
 *
 * A watch ties an inode to an instance and holds the inode.  Every operation
 * on a name or an open file reports here; with no watch in the system that is
 * one load (notify_active), and with watches elsewhere two.
 *
 * Locking.  notify_lock guards all lists of watches; an instance's lock, taken
 * under it, guards its queue of events.
 */
#include "internal.h"

#include <linux/eventpoll.h>
#include <linux/inotify.h>
#include <asm/ioctls.h>
#include <nos/pseudo.h>
#include <nos/wait.h>

#define MAX_QUEUED 16384
#define MAX_WATCHES (1u << 20)

struct notify_event {
	struct list node;
	s32 wd;
	u32 mask, cookie, name_len; /* with NUL and padding; 0: no name */
	char name[];
};

struct instance {
	struct mutex lock;
	struct list events;
	u32 nr_events;
	bool overflowed;
	struct wait_queue readable;
	struct list watches; /* under notify_lock */
	s32 last_wd;
	struct notify_event overflow;
};

struct watch {
	struct list in_inode, in_instance;
	struct instance *instance;
	struct inode *inode; /* referenced */
	s32 wd;
	u32 mask;
};

struct watch_list {
	struct list watches;
};

u32 notify_active;
static u32 next_cookie;
static struct mutex notify_lock = MUTEX_INIT(RANK_NOTIFY);

/* ---- queue ---- */

static bool is_same_event(const struct notify_event *a, const struct notify_event *b)
{
	return a->wd == b->wd && a->mask == b->mask && a->cookie == b->cookie &&
	       a->name_len == b->name_len && !memcmp(a->name, b->name, a->name_len);
}

static void queue_event(struct instance *in, s32 wd, u32 mask, u32 cookie, const char *name)
{
	u32 len = name ? (u32)align_up(strlen(name) + 1, sizeof(struct inotify_event)) : 0;
	struct notify_event *e = kzalloc(sizeof(*e) + len, 0);

	mutex_lock(&in->lock);
	if (!e || in->nr_events >= MAX_QUEUED) {
		kfree(e);
		e = NULL;
		if (!in->overflowed) {
			in->overflowed = true;
			e = &in->overflow;
			*e = (struct notify_event){ .wd = -1, .mask = IN_Q_OVERFLOW };
		}
	} else {
		e->wd = wd;
		e->mask = mask;
		e->cookie = cookie;
		e->name_len = len;
		if (name)
			memcpy(e->name, name, strlen(name));
		if (in->nr_events &&
		    is_same_event(list_entry(in->events.prev, struct notify_event, node), e)) {
			kfree(e);
			e = NULL;
		}
	}
	if (e) {
		list_push_back(&in->events, &e->node);
		in->nr_events++;
	}
	mutex_unlock(&in->lock);
	if (e)
		wake_all_key(&in->readable, EPOLLIN | EPOLLRDNORM);
}

/* ---- watches: notify_lock held ---- */

/* Forgets the watch; its inode's reference is the caller's to drop. */
static struct inode *watch_free(struct watch *w)
{
	struct inode *i = w->inode;

	list_remove(&w->in_inode);
	list_remove(&w->in_instance);
	kfree(w);
	atomic_sub(&notify_active, 1);
	return i;
}

/* Tells all watches of i; collects one-shot ones that are done. */
static void tell_locked(struct inode *i, u32 mask, u32 cookie, const char *name, struct list *done)
{
	struct watch_list *l = i->watches;
	struct watch *w, *next;

	if (!l)
		return;
	list_for_each_safe(w, next, &l->watches, in_inode) {
		if (!(w->mask & mask & IN_ALL_EVENTS))
			continue;
		queue_event(w->instance, w->wd, mask, cookie, name);
		if (w->mask & IN_ONESHOT) {
			queue_event(w->instance, w->wd, IN_IGNORED, 0, NULL);
			list_remove(&w->in_inode);
			list_push_back(done, &w->in_inode);
		}
	}
}

static void finish(struct list *done)
{
	struct list *n;

	while ((n = list_pop_front(done)))
		inode_put(watch_free(list_entry(n, struct watch, in_inode)));
}

static void tell(struct inode *i, u32 mask, u32 cookie, const char *name)
{
	struct list done = LIST_INIT(done);

	if (likely(!READ_ONCE(i->watches)))
		return;
	mutex_lock(&notify_lock);
	tell_locked(i, mask, cookie, name, &done);
	/* The watches' references are not the last ones: someone works on i. */
	finish(&done);
	mutex_unlock(&notify_lock);
}

/* ---- reports ---- */

void notify_inode(struct inode *i, u32 mask)
{
	if ((i->mode & S_IFMT) == S_IFDIR)
		mask |= IN_ISDIR;
	tell(i, mask, 0, NULL);
}

void notify_child(struct dentry *dir, const char *name, u32 mask, u32 cookie)
{
	if (dir->inode)
		tell(dir->inode, mask, cookie, name);
}

void notify_path(struct dentry *d, u32 mask)
{
	char name[NAME_MAX + 1];
	struct dentry *parent;

	if (!READ_ONCE(notify_active) || !d->inode || (d->flags & DENTRY_DISCONNECTED))
		return;
	spin_lock(&d->lock);
	parent = d->parent;
	dentry_get(parent);
	string_copy(name, d->name, sizeof(name));
	spin_unlock(&d->lock);
	if ((d->inode->mode & S_IFMT) == S_IFDIR)
		mask |= IN_ISDIR;
	if (parent != d && !(d->flags & DENTRY_DELETED))
		notify_child(parent, name, mask, 0);
	tell(d->inode, mask, 0, NULL);
	dentry_put(parent);
}

void notify_file(struct file *f, u32 mask)
{
	notify_path(f->path.dentry, mask);
}

void notify_move(struct inode *old_dir, const char *old_name, struct inode *new_dir,
		 const char *new_name, struct inode *moved)
{
	u32 cookie = atomic_add(&next_cookie, 1);
	u32 is_dir = (moved->mode & S_IFMT) == S_IFDIR ? IN_ISDIR : 0;

	tell(old_dir, IN_MOVED_FROM | is_dir, cookie, old_name);
	tell(new_dir, IN_MOVED_TO | is_dir, cookie, new_name);
	tell(moved, IN_MOVE_SELF, 0, NULL);
}

/* Every watch of i ends. */
static void forget_all(struct inode *i, u32 mask)
{
	struct list done = LIST_INIT(done);
	struct watch *w;

	mutex_lock(&notify_lock);
	while (i->watches && !list_is_empty(&i->watches->watches)) {
		w = list_entry(i->watches->watches.next, struct watch, in_inode);
		if (mask)
			queue_event(w->instance, w->wd, mask, 0, NULL);
		queue_event(w->instance, w->wd, IN_IGNORED, 0, NULL);
		list_remove(&w->in_inode);
		list_push_back(&done, &w->in_inode);
	}
	finish(&done);
	mutex_unlock(&notify_lock);
}

void notify_unlinked(struct inode *i)
{
	if (!READ_ONCE(i->watches))
		return;
	if (i->nlink && (i->mode & S_IFMT) != S_IFDIR) {
		tell(i, IN_ATTRIB, 0, NULL);
		return;
	}
	if ((i->mode & S_IFMT) != S_IFDIR)
		tell(i, IN_ATTRIB, 0, NULL);
	tell(i, IN_DELETE_SELF, 0, NULL);
	forget_all(i, 0);
}

void notify_inode_gone(struct inode *i)
{
	ASSERT(list_is_empty(&i->watches->watches));
	kfree(i->watches);
	i->watches = NULL;
}

bool notify_is_watched(const struct inode *i)
{
	const struct watch_list *l = i ? rcu_load(i->watches) : NULL;

	return l && !list_is_empty(&l->watches);
}

void notify_unmount(struct super_block *sb)
{
	struct inode *root = sb->root ? sb->root->inode : NULL;

	if (root && root->watches)
		forget_all(root, IN_UNMOUNT);
}

/* ---- the instance as a file ---- */

static size_t event_size(const struct notify_event *e)
{
	return sizeof(struct inotify_event) + e->name_len;
}

/* The oldest event, if it fits in `room`; ERR -EINVAL if not, NULL if there is none. */
static struct notify_event *take_event(struct instance *in, size_t room)
{
	struct notify_event *e;

	scoped_mutex(&in->lock);
	e = list_first(&in->events, struct notify_event, node);
	if (!e)
		return NULL;
	if (event_size(e) > room)
		return err_ptr(-EINVAL);
	list_remove(&e->node);
	in->nr_events--;
	return e;
}

/* Copied without the lock: the copy may fault, and a mapping that goes away then reports a close. */
static ssize_t put_event(struct instance *in, struct notify_event *e, struct iobuf *to)
{
	struct inotify_event out = {
		.wd = e->wd, .mask = e->mask, .cookie = e->cookie, .len = e->name_len
	};
	size_t size = event_size(e);

	if (iobuf_put(to, &out, sizeof(out)) != sizeof(out) ||
	    iobuf_put(to, e->name, e->name_len) != e->name_len) {
		scoped_mutex(&in->lock);
		list_push_front(&in->events, &e->node);
		in->nr_events++;
		return -EFAULT;
	}
	if (e == &in->overflow)
		in->overflowed = false;
	else
		kfree(e);
	return (ssize_t)size;
}

static ssize_t inotify_read(struct file *f, struct iobuf *to, u64 *pos)
{
	struct instance *in = f->private;
	ssize_t done = 0;

	for (;;) {
		struct notify_event *e = take_event(in, to->remaining);
		ssize_t n = is_err(e) ? ptr_err(e) : 0;

		if (e && !n)
			n = put_event(in, e, to);
		if (n < 0)
			return done ? done : n;
		done += n;
		if (e)
			continue;
		if (done)
			return done;
		if ((f->flags & O_NONBLOCK) || (to->flags & IOBUF_NOWAIT))
			return -EAGAIN;
		n = wait_event_interruptible(&in->readable, READ_ONCE(in->nr_events));
		if (n)
			return n;
	}
}

static u32 inotify_poll(struct file *f, struct poll_table *t)
{
	struct instance *in = f->private;

	poll_wait(t, &in->readable);
	return READ_ONCE(in->nr_events) ? EPOLLIN | EPOLLRDNORM : 0;
}

static long inotify_ioctl(struct file *f, u32 cmd, struct user_arg arg)
{
	struct instance *in = f->private;
	struct notify_event *e;
	s32 bytes = 0;

	if (cmd != FIONREAD)
		return -ENOTTY;
	mutex_lock(&in->lock);
	list_for_each(e, &in->events, node)
		bytes += (s32)(sizeof(struct inotify_event) + e->name_len);
	mutex_unlock(&in->lock);
	return user_arg_write(arg, &bytes, sizeof(bytes));
}

static void inotify_release(struct file *f)
{
	struct instance *in = f->private;
	struct list *n;

	for (;;) {
		struct inode *i = NULL;

		mutex_lock(&notify_lock);
		if (!list_is_empty(&in->watches))
			i = watch_free(list_entry(in->watches.next, struct watch, in_instance));
		mutex_unlock(&notify_lock);
		if (!i)
			break;
		inode_put(i);
	}
	while ((n = list_pop_front(&in->events)))
		if (n != &in->overflow.node)
			kfree(list_entry(n, struct notify_event, node));
	kfree(in);
}

static void inotify_show_fdinfo(struct file *f, struct text_out *out)
{
	struct instance *in = f->private;
	struct watch *w;

	scoped_mutex(&notify_lock);
	list_for_each(w, &in->watches, in_instance)
		text_printf(out, "inotify wd:%x ino:%llx sdev:%llx mask:%x ignored_mask:0\n",
			    (unsigned)w->wd, (unsigned long long)w->inode->ino,
			    (unsigned long long)w->inode->sb->dev, w->mask);
}

static const struct file_ops inotify_ops = {
	.seek = file_seek_nowhere,
	.read = inotify_read,
	.poll = inotify_poll,
	.ioctl = inotify_ioctl,
	.release = inotify_release,
	.show_fdinfo = inotify_show_fdinfo,
	.flags = FILE_OPS_STREAM | FILE_OPS_NOWAIT,
};

struct file *inotify_create(u32 flags)
{
	struct instance *in = kzalloc(sizeof(*in), 0);
	struct file *f;

	if (!in)
		return err_ptr(-ENOMEM);
	mutex_init(&in->lock, RANK_NOTIFY_QUEUE);
	list_init(&in->events);
	list_init(&in->watches);
	wait_queue_init(&in->readable);
	f = file_create_anonymous("anon_inode:inotify", &inotify_ops, in, O_RDONLY | flags);
	if (is_err(f))
		kfree(in);
	return f;
}

static struct watch *find_watch(struct instance *in, const struct inode *i, s32 wd)
{
	struct watch *w;

	list_for_each(w, &in->watches, in_instance)
		if (i ? w->inode == i : w->wd == wd)
			return w;
	return NULL;
}

bool file_is_inotify(const struct file *f)
{
	return f->ops == &inotify_ops;
}

int inotify_add(struct file *f, const struct path *p, u32 mask)
{
	struct instance *in = f->private;
	struct inode *i = p->dentry->inode;
	struct watch_list *list;
	struct watch *w, *new;
	int wd;

	if (f->ops != &inotify_ops)
		return -EINVAL;
	new = kzalloc(sizeof(*new), 0);
	list = kzalloc(sizeof(*list), 0);
	if (!new || !list || notify_active >= MAX_WATCHES) {
		wd = new &&list ? -ENOSPC : -ENOMEM;
		kfree(new);
		kfree(list);
		return wd;
	}
	mutex_lock(&notify_lock);
	if (!i->watches) {
		list_init(&list->watches);
		rcu_store(i->watches, list);
		list = NULL;
	}
	w = find_watch(in, i, 0);
	if (w && (mask & IN_MASK_CREATE)) {
		wd = -EEXIST;
	} else if (w) {
		w->mask = mask & IN_MASK_ADD ? w->mask | mask : mask;
		wd = w->wd;
	} else {
		inode_get(i);
		*new = (struct watch){
			.instance = in, .inode = i, .mask = mask, .wd = ++in->last_wd
		};
		wd = new->wd;
		list_push_back(&i->watches->watches, &new->in_inode);
		list_push_back(&in->watches, &new->in_instance);
		atomic_add(&notify_active, 1);
		new = NULL;
	}
	mutex_unlock(&notify_lock);
	kfree(new);
	kfree(list);
	return wd;
}

int inotify_remove(struct file *f, s32 wd)
{
	struct instance *in = f->private;
	struct inode *i = NULL;
	struct watch *w;

	if (f->ops != &inotify_ops)
		return -EINVAL;
	mutex_lock(&notify_lock);
	w = find_watch(in, NULL, wd);
	if (w) {
		queue_event(in, wd, IN_IGNORED, 0, NULL);
		i = watch_free(w);
	}
	mutex_unlock(&notify_lock);
	if (!i)
		return -EINVAL;
	inode_put(i);
	return 0;
}
