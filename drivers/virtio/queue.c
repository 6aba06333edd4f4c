/*
 * Split virtqueues (virtio 1.2 §2.7), with indirect descriptors and event
 * indexes.
 *
 * Concepts.  The driver writes descriptors and publishes the head in the
 * available ring; the device publishes heads it is done with in the used ring.
 * Free descriptors form a chain through `next`.
 *
 * Invariants.
 *   (1) tokens[head] != NULL exactly while the buffer of `head` is offered.
 *   (2) an id from the device is believed only if (1) holds for it; otherwise
 *       the queue is broken and stays silent.
 *
 * Ordering.  Descriptors before available->index: release store.  used->index
 * before used ring and data: acquire load.  available->index before reading
 * available_event, and used_event before re-reading used->index: full fence
 * (§2.7.13.4.1, §2.7.14.3).
 *
 * Locking.  The owner of the queue serialises every call.
 */
#include <nos/arch.h>
#include <nos/errno.h>
#include <nos/log.h>
#include <nos/page.h>
#include <nos/slab.h>
#include <nos/string.h>

#include "virtio.h"

#define DESCRIPTOR_NEXT 1
#define DESCRIPTOR_WRITE 2
#define DESCRIPTOR_INDIRECT 4
#define AVAILABLE_NO_INTERRUPT 1
#define USED_NO_NOTIFY 1

struct virtq_used_element {
	u32 id, len;
};

static volatile u16 *used_event(struct virtqueue *q)
{
	return &q->available[2 + q->size];
}

static volatile u16 *available_event(struct virtqueue *q)
{
	return &q->used[2 + 4 * q->size];
}

static volatile struct virtq_used_element *used_ring(struct virtqueue *q)
{
	return (volatile struct virtq_used_element *)&q->used[2];
}

struct virtqueue *virtqueue_create(struct virtio_device *d, u16 index, u16 size_max,
				   virtqueue_fn callback, void *private)
{
	u16 size = d->transport->queue_size(d, index);

	if (size == 0 || index >= VIRTIO_MAX_QUEUES)
		return err_ptr(-ENOENT);
	size = min(size, size_max);
	size = (u16)(1u << log2_floor(size));

	struct virtqueue *q = kzalloc(sizeof(*q), 0);
	size_t used_at = align_up(size * sizeof(struct virtq_descriptor) + 6 + 2ul * size, 64ul);
	size_t bytes = used_at + 6 + 8ul * size;
	unsigned order = log2_ceil(div_round_up(bytes, PAGE_SIZE));
	u8 *ring = page_alloc(order, ALLOC_ZERO);
	void **tokens = kcalloc(size, sizeof(*tokens), 0);

	if (!q || !ring || !tokens) {
		kfree(q);
		if (ring)
			page_free(ring, order);
		kfree(tokens);
		return err_ptr(-ENOMEM);
	}
	q->device = d;
	q->index = index;
	q->size = size;
	q->nr_free = size;
	q->event_index = (d->features & VIRTIO_FEATURE_EVENT_IDX) != 0;
	q->descriptors = (struct virtq_descriptor *)ring;
	q->available = (u16 *)(ring + size * sizeof(struct virtq_descriptor));
	q->used = (u16 *)(ring + used_at);
	q->descriptors_phys = virt_to_phys(ring);
	q->available_phys = virt_to_phys((const void *)q->available);
	q->used_phys = virt_to_phys((const void *)q->used);
	q->tokens = tokens;
	q->callback = callback;
	q->private = private;
	for (u16 i = 0; i < size; i++)
		q->descriptors[i].next = (u16)(i + 1);
	d->queues[index] = q;
	if (index >= d->nr_queues)
		d->nr_queues = index + 1u;

	int err = d->transport->start_queue(d, q);

	if (err) {
		d->queues[index] = NULL;
		kfree(q);
		page_free(ring, order);
		kfree(tokens);
		return err_ptr(err);
	}
	return q;
}

static void fill_descriptor(struct virtq_descriptor *to, const struct virtio_segment *s, u16 flags,
			    u16 next)
{
	to->address = s->address;
	to->len = s->len;
	to->flags = flags;
	to->next = next;
}

static u16 take_descriptor(struct virtqueue *q)
{
	u16 i = q->free_head;

	q->free_head = q->descriptors[i].next;
	q->nr_free--;
	return i;
}

static void add_direct(struct virtqueue *q, const struct virtio_segment *out, u32 nr_out,
		       const struct virtio_segment *in, u32 nr_in)
{
	u32 nr = nr_out + nr_in;

	for (u32 i = 0; i < nr; i++) {
		struct virtq_descriptor *d = &q->descriptors[take_descriptor(q)];
		bool is_in = i >= nr_out;
		const struct virtio_segment *s = is_in ? &in[i - nr_out] : &out[i];
		u16 flags =
			(u16)((is_in ? DESCRIPTOR_WRITE : 0) | (i + 1 < nr ? DESCRIPTOR_NEXT : 0));

		/* The free chain already links each to the one taken next. */
		fill_descriptor(d, s, flags, d->next);
	}
}

static void add_indirect(struct virtqueue *q, const struct virtio_segment *out, u32 nr_out,
			 const struct virtio_segment *in, u32 nr_in, struct virtq_descriptor *table)
{
	u32 nr = nr_out + nr_in;

	for (u32 i = 0; i < nr; i++) {
		bool is_in = i >= nr_out;
		u16 flags =
			(u16)((is_in ? DESCRIPTOR_WRITE : 0) | (i + 1 < nr ? DESCRIPTOR_NEXT : 0));

		fill_descriptor(&table[i], is_in ? &in[i - nr_out] : &out[i], flags, (u16)(i + 1));
	}

	struct virtq_descriptor *d = &q->descriptors[take_descriptor(q)];
	struct virtio_segment whole = { virt_to_phys(table), nr * (u32)sizeof(*table) };

	fill_descriptor(d, &whole, DESCRIPTOR_INDIRECT, d->next);
}

int virtqueue_add(struct virtqueue *q, const struct virtio_segment *out, u32 nr_out,
		  const struct virtio_segment *in, u32 nr_in, void *token,
		  struct virtq_descriptor *table)
{
	u32 nr = nr_out + nr_in;
	bool indirect = table && nr > 1 && (q->device->features & VIRTIO_FEATURE_INDIRECT);
	u16 head = q->free_head;

	if (q->broken)
		return -EIO;
	if (q->nr_free < (indirect ? 1 : nr))
		return -ENOSPC;
	if (indirect)
		add_indirect(q, out, nr_out, in, nr_in, table);
	else
		add_direct(q, out, nr_out, in, nr_in);
	q->tokens[head] = token;
	q->available[2 + (q->available_next & (q->size - 1))] = head;
	q->available_next++;
	atomic_store(&q->available[1], q->available_next);
	return 0;
}

void virtqueue_kick(struct virtqueue *q)
{
	memory_fence();
	if (q->event_index) {
		u16 event = *available_event(q);
		u16 new = q->available_next, old = q->kicked;

		q->kicked = new;
		if ((u16)(new - event - 1) >= (u16)(new - old))
			return;
	} else if (q->used[0] & USED_NO_NOTIFY) {
		return;
	}
	if (!q->broken)
		q->device->transport->notify(q);
}

static void free_chain(struct virtqueue *q, u16 head)
{
	u16 last = head;
	u16 nr = 1;

	while ((q->descriptors[last].flags & DESCRIPTOR_NEXT) && nr < q->size) {
		last = q->descriptors[last].next;
		nr++;
	}
	q->descriptors[last].next = q->free_head;
	q->free_head = head;
	q->nr_free = (u16)(q->nr_free + nr);
}

void *virtqueue_pop(struct virtqueue *q, u32 *len)
{
	if (q->broken || q->used_seen == atomic_load(&q->used[1]))
		return NULL;

	volatile struct virtq_used_element *e = &used_ring(q)[q->used_seen & (q->size - 1)];
	u32 id = e->id;

	*len = e->len;
	if (id >= q->size || !q->tokens[id]) {
		q->broken = true;
		log_err("virtio%u: queue %u: the device returned buffer %u, which it does not "
			"have; the queue is stopped",
			q->device->number, q->index, id);
		return NULL;
	}

	void *token = q->tokens[id];

	q->tokens[id] = NULL;
	free_chain(q, (u16)id);
	q->used_seen++;
	return token;
}

void virtqueue_disable_interrupts(struct virtqueue *q)
{
	if (q->event_index)
		*used_event(q) = (u16)(q->used_seen - 1);
	else
		q->available[0] = AVAILABLE_NO_INTERRUPT;
}

bool virtqueue_enable_interrupts(struct virtqueue *q)
{
	if (q->event_index)
		*used_event(q) = q->used_seen;
	else
		q->available[0] = 0;
	memory_fence();
	return q->used_seen == q->used[1];
}
