/*
 * Character devices: numbers to operations.
 *
 * Drivers register a range of minors; opening a node finds the range and puts
 * the device's operations in the file's place.  devtmpfs, if there is one, is
 * told of every device by its hooks, of the earlier ones when it comes.
 */
#include "internal.h"

struct char_entry {
	struct list node;
	const struct char_device *device;
};

static struct mutex char_lock = MUTEX_INIT(RANK_DRIVER);
static struct list char_devices = LIST_INIT(char_devices);
static const struct devtmpfs_hooks *hooks;

static struct char_entry *find_locked(u64 dev)
{
	struct char_entry *e;

	list_for_each(e, &char_devices, node) {
		const struct char_device *d = e->device;

		if (d->major == dev_major(dev) && dev_minor(dev) >= d->minor &&
		    dev_minor(dev) - d->minor < max(d->nr_minors, 1u))
			return e;
	}
	return NULL;
}

const struct char_device *char_device_find(u64 dev)
{
	struct char_entry *e;

	scoped_mutex(&char_lock);
	e = find_locked(dev);
	return e ? e->device : NULL;
}

int char_device_register(const struct char_device *d)
{
	struct char_entry *e = kmalloc(sizeof(*e), 0);
	const struct devtmpfs_hooks *h;

	if (!e)
		return -ENOMEM;
	e->device = d;
	mutex_lock(&char_lock);
	if (find_locked(make_dev(d->major, d->minor))) {
		mutex_unlock(&char_lock);
		kfree(e);
		return -EBUSY;
	}
	list_push_back(&char_devices, &e->node);
	h = hooks;
	mutex_unlock(&char_lock);
	return h && d->name ? h->node_added(d) : 0;
}

void char_device_unregister(const struct char_device *d)
{
	const struct devtmpfs_hooks *h;
	struct char_entry *e, *next;

	mutex_lock(&char_lock);
	list_for_each_safe(e, next, &char_devices, node) {
		if (e->device == d) {
			list_remove(&e->node);
			kfree(e);
			break;
		}
	}
	h = hooks;
	mutex_unlock(&char_lock);
	if (h && d->name)
		h->node_removed(d);
}

void char_device_set_hooks(const struct devtmpfs_hooks *h)
{
	struct char_entry *e;

	mutex_lock(&char_lock);
	hooks = h;
	list_for_each(e, &char_devices, node) {
		const struct char_device *d = e->device;

		if (!d->name)
			continue;
		mutex_unlock(&char_lock); /* boot: entries are only added, behind this one */
		(void)h->node_added(d);
		mutex_lock(&char_lock);
	}
	mutex_unlock(&char_lock);
}

void char_device_for_each(void (*fn)(const struct char_device *d, void *arg), void *arg)
{
	struct char_entry *e;

	scoped_mutex(&char_lock);
	list_for_each(e, &char_devices, node)
		fn(e->device, arg);
}

static int char_open(struct inode *i, struct file *f)
{
	const struct char_device *d = char_device_find(i->rdev);

	if (!d || !d->ops)
		return -ENXIO;
	f->private = d->private;
	file_replace_ops(f, d->ops);
	return d->ops->open ? d->ops->open(i, f) : 0;
}

const struct file_ops char_device_file_ops = { .open = char_open };
