/* Virtio entropy device (virtio 1.2 §5.4): seeds the generator at boot, and is /dev/hwrng. */
#include <nos/errno.h>
#include <nos/file.h>
#include <nos/lock.h>
#include <nos/page.h>
#include <nos/random.h>
#include <nos/slab.h>
#include <nos/wait.h>
#include <asm/fcntl.h>

#include "virtio.h"

#define SEED_BYTES 64
#define HWRNG_MAJOR 10
#define HWRNG_MINOR 183

struct virtio_rng {
	struct virtqueue *queue;
	struct mutex lock; /* one reader at a time */
	struct wait_queue ready;
	u8 *buffer; /* one page */
	u32 len; /* bytes that have arrived */
	bool seeding, done;
	struct char_device device;
};

static int request(struct virtio_rng *r, u32 len)
{
	struct virtio_segment in = { virt_to_phys(r->buffer), len };
	int err;

	r->done = false;
	err = virtqueue_add(r->queue, NULL, 0, &in, 1, r, NULL);
	if (!err)
		virtqueue_kick(r->queue);
	return err;
}

static void bytes_arrived(struct virtqueue *q)
{
	struct virtio_rng *r = q->private;
	u32 len;

	if (!virtqueue_pop(q, &len))
		return;
	r->len = min(len, (u32)PAGE_SIZE);
	if (r->seeding) {
		r->seeding = false;
		random_add_entropy(r->buffer, min(r->len, (u32)SEED_BYTES), r->len * 8);
	}
	atomic_store(&r->done, true);
	wake_all(&r->ready);
}

static ssize_t rng_read(struct file *f, struct iobuf *to, u64 *pos)
{
	struct virtio_rng *r = f->private;
	ssize_t total = 0;
	int err = mutex_lock_interruptible(&r->lock);

	if (err)
		return err;
	while (to->remaining && !err) {
		err = wait_event_interruptible(&r->ready, atomic_load(&r->done));
		if (!err)
			err = request(r, (u32)min(to->remaining, (u64)PAGE_SIZE));
		if (!err)
			err = wait_event_interruptible(&r->ready, atomic_load(&r->done));
		if (err)
			break;

		size_t n = iobuf_put(to, r->buffer, r->len);

		total += (ssize_t)n;
		if (n < r->len || r->len == 0)
			err = n ? 0 : -EFAULT;
		if (n == 0)
			break;
	}
	mutex_unlock(&r->lock);
	return total ? total : err;
}

static const struct file_ops rng_ops = {
	.read = rng_read,
	.flags = FILE_OPS_STREAM,
};

static int probe(struct virtio_device *d)
{
	struct virtio_rng *r = kzalloc(sizeof(*r), 0);

	if (!r)
		return -ENOMEM;
	mutex_init(&r->lock, RANK_DRIVER);
	wait_queue_init(&r->ready);
	r->buffer = page_alloc(0, ALLOC_ZERO);
	r->queue = r->buffer ? virtqueue_create(d, 0, 8, bytes_arrived, r) : err_ptr(-ENOMEM);
	if (is_err(r->queue)) {
		int err = (int)ptr_err(r->queue);

		if (r->buffer)
			page_free(r->buffer, 0);
		kfree(r);
		return err;
	}
	d->driver_data = r;
	virtio_device_ready(d);
	r->seeding = true;
	request(r, SEED_BYTES);
	r->device = (struct char_device){
		.name = "hwrng",
		.major = HWRNG_MAJOR,
		.minor = HWRNG_MINOR,
		.nr_minors = 1,
		.mode = 0600,
		.ops = &rng_ops,
		.private = r,
	};
	return char_device_register(&r->device);
}

static const struct virtio_driver rng_driver = {
	.name = "virtio_rng",
	.id = VIRTIO_ID_RNG,
	.probe = probe,
};
REGISTER_VIRTIO_DRIVER(rng_driver);
