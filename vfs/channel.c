/* Registry of message channels: see <nos/channel.h>. */
#include <nos/channel.h>
#include <nos/errno.h>
#include <nos/lock.h>
#include <nos/string.h>

static struct spinlock channels_lock = SPINLOCK_INIT(RANK_LEAF);
static struct list channels = LIST_INIT(channels);

void channel_register(struct channel *c)
{
	wait_queue_init(&c->room);
	scoped_spin(&channels_lock);
	list_push_back(&channels, &c->node);
}

struct channel *channel_take(const char *tag)
{
	struct channel *c;

	scoped_spin(&channels_lock);
	list_for_each(c, &channels, node) {
		if (strcmp(c->tag, tag) != 0)
			continue;
		if (c->is_used)
			return err_ptr(-EBUSY);
		c->is_used = true;
		return c;
	}
	return err_ptr(-ENOENT);
}

void channel_release(struct channel *c)
{
	scoped_spin(&channels_lock);
	c->is_used = false;
}
