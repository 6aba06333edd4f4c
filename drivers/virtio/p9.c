/*
 * Virtio 9P transport (virtio 1.2 has only its id; the layout is QEMU's): one
 * queue, each buffer a request and the room for its reply.
 */
#include <nos/channel.h>
#include <nos/errno.h>
#include <nos/lock.h>
#include <nos/log.h>
#include <nos/slab.h>
#include <nos/string.h>

#include "virtio.h"

#define P9_F_MOUNT_TAG 1ull
#define TAG_MAX 256

struct p9_channel {
	struct channel channel;
	struct spinlock lock; /* the queue */
	struct virtqueue *queue;
	char tag[TAG_MAX];
};

static_assert(sizeof(struct virtio_segment) == sizeof(struct channel_segment), "same layout");
static_assert(sizeof(struct virtq_descriptor) * CHANNEL_MAX_SEGMENTS <= CHANNEL_TABLE_BYTES,
	      "scratch");

static int submit(struct channel *c, struct channel_request *r)
{
	struct p9_channel *p = container_of(c, struct p9_channel, channel);

	if (r->nr_out + r->nr_in > CHANNEL_MAX_SEGMENTS)
		return -EINVAL;
	scoped_spin_irq(&p->lock);
	int err = virtqueue_add(p->queue, (const struct virtio_segment *)r->out, r->nr_out,
				(const struct virtio_segment *)r->in, r->nr_in, r, r->table);

	if (!err)
		virtqueue_kick(p->queue);
	return err;
}

static void replies_ready(struct virtqueue *q)
{
	struct p9_channel *p = q->private;

	do {
		struct channel_request *r;
		u32 len;

		for (;;) {
			u64 flags = spin_lock_irq(&p->lock);

			r = virtqueue_pop(q, &len);
			spin_unlock_irq(&p->lock, flags);
			if (!r)
				break;
			r->done(r, len);
		}
	} while (!virtqueue_enable_interrupts(q));
	if (wait_queue_is_active(&p->channel.room))
		wake_all(&p->channel.room);
}

static const struct channel_ops p9_channel_ops = { .submit = submit };

static int probe(struct virtio_device *d)
{
	struct p9_channel *p = kzalloc(sizeof(*p), 0);
	u16 tag_len;

	if (!p)
		return -ENOMEM;
	d->transport->read_config(d, 0, &tag_len, sizeof(tag_len));
	tag_len = min(tag_len, (u16)(TAG_MAX - 1));
	d->transport->read_config(d, 2, p->tag, tag_len);
	spin_init(&p->lock, RANK_DEVICE);
	p->queue = virtqueue_create(d, 0, 128, replies_ready, p);
	if (is_err(p->queue)) {
		int err = (int)ptr_err(p->queue);

		kfree(p);
		return err;
	}
	p->channel.tag = p->tag;
	p->channel.ops = &p9_channel_ops;
	d->driver_data = p;
	virtio_device_ready(d);
	channel_register(&p->channel);
	return 0;
}

static const struct virtio_driver p9_driver = {
	.name = "9pnet_virtio",
	.id = VIRTIO_ID_9P,
	.features = P9_F_MOUNT_TAG,
	.probe = probe,
};
REGISTER_VIRTIO_DRIVER(p9_driver);
