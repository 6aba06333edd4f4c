/*
 * Virtio over PCI, modern layout (virtio 1.2 §4.1): structures found through
 * vendor capabilities, one MSI-X vector a queue.
 */
#include <nos/errno.h>
#include <nos/log.h>
#include <nos/pci.h>
#include <nos/slab.h>

#include "virtio.h"

#define VENDOR_VIRTIO 0x1af4
#define CAPABILITY_VENDOR 9
#define CFG_COMMON 1
#define CFG_NOTIFY 2
#define CFG_DEVICE 4
#define NO_VECTOR 0xffff

struct common_config { /* §4.1.4.3 */
	u32 device_feature_select, device_feature;
	u32 driver_feature_select, driver_feature;
	u16 config_msix_vector, nr_queues;
	u8 status, generation;
	u16 queue_select, queue_size, queue_msix_vector, queue_enable, queue_notify_off;
	u32 queue_descriptors[2], queue_driver[2], queue_device[2];
};

struct virtio_pci {
	struct pci_device *pci;
	volatile struct common_config *common;
	volatile u8 *notify, *config;
	u32 notify_multiplier, notify_len, config_len;
	u16 next_vector;
};

static struct virtio_pci *of(struct virtio_device *d)
{
	return d->transport_data;
}

static u8 get_status(struct virtio_device *d)
{
	return of(d)->common->status;
}

static void set_status(struct virtio_device *d, u8 status)
{
	of(d)->common->status = status;
}

static u64 get_features(struct virtio_device *d)
{
	volatile struct common_config *c = of(d)->common;

	c->device_feature_select = 0;
	u64 low = c->device_feature;

	c->device_feature_select = 1;
	return low | (u64)c->device_feature << 32;
}

static void set_features(struct virtio_device *d, u64 features)
{
	volatile struct common_config *c = of(d)->common;

	c->driver_feature_select = 0;
	c->driver_feature = (u32)features;
	c->driver_feature_select = 1;
	c->driver_feature = (u32)(features >> 32);
}

static void read_config(struct virtio_device *d, u32 offset, void *to, u32 len)
{
	struct virtio_pci *v = of(d);

	for (u32 i = 0; i < len; i++)
		((u8 *)to)[i] = offset + i < v->config_len ? v->config[offset + i] : 0;
}

static void write_config(struct virtio_device *d, u32 offset, const void *from, u32 len)
{
	struct virtio_pci *v = of(d);

	for (u32 i = 0; i < len && offset + i < v->config_len; i++)
		v->config[offset + i] = ((const u8 *)from)[i];
}

static u16 queue_size(struct virtio_device *d, u16 index)
{
	volatile struct common_config *c = of(d)->common;

	if (index >= c->nr_queues)
		return 0;
	c->queue_select = index;
	return c->queue_size;
}

static void queue_interrupt(void *arg)
{
	struct virtqueue *q = arg;

	q->callback(q);
}

/* The vector of all queues for which there was none of their own. */
static void shared_interrupt(void *arg)
{
	struct virtio_device *d = arg;

	for (u32 i = 0; i < d->nr_queues; i++) {
		struct virtqueue *q = d->queues[i];

		if (q && q->callback)
			q->callback(q);
	}
}

/* An MSI-X entry for the queue: its own while there are enough, else the last one, shared. */
static int choose_entry(struct virtio_device *d, struct virtqueue *q, u16 *entry)
{
	struct virtio_pci *v = of(d);
	u16 last = (u16)(v->pci->nr_msix - 1);
	int vector;

	if (v->next_vector < last) {
		*entry = v->next_vector++;
		vector = pci_msix_request(v->pci, *entry, queue_interrupt, q, "virtio", 0);
		return vector < 0 ? vector : 0;
	}
	*entry = last;
	if (v->next_vector > last)
		return 0;
	v->next_vector++;
	vector = pci_msix_request(v->pci, last, shared_interrupt, d, "virtio", 0);
	return vector < 0 ? vector : 0;
}

static int start_queue(struct virtio_device *d, struct virtqueue *q)
{
	struct virtio_pci *v = of(d);
	volatile struct common_config *c = v->common;

	c->queue_select = q->index;
	c->queue_size = q->size;

	u32 at = c->queue_notify_off * v->notify_multiplier;

	if (at + 2 > v->notify_len)
		return -EIO;
	q->notify_address = v->notify + at;
	c->queue_descriptors[0] = (u32)q->descriptors_phys;
	c->queue_descriptors[1] = (u32)(q->descriptors_phys >> 32);
	c->queue_driver[0] = (u32)q->available_phys;
	c->queue_driver[1] = (u32)(q->available_phys >> 32);
	c->queue_device[0] = (u32)q->used_phys;
	c->queue_device[1] = (u32)(q->used_phys >> 32);
	if (q->callback) {
		u16 entry;
		int err = choose_entry(d, q, &entry);

		if (err)
			return err;
		c->queue_msix_vector = entry;
		if (c->queue_msix_vector != entry)
			return -ENOSPC;
	} else {
		c->queue_msix_vector = NO_VECTOR;
	}
	c->queue_enable = 1;
	return 0;
}

static void notify(struct virtqueue *q)
{
	*(volatile u16 *)q->notify_address = q->index;
}

static const struct virtio_transport pci_transport = {
	.name = "pci",
	.get_status = get_status,
	.set_status = set_status,
	.get_features = get_features,
	.set_features = set_features,
	.read_config = read_config,
	.write_config = write_config,
	.queue_size = queue_size,
	.start_queue = start_queue,
	.notify = notify,
};

static bool match(const struct pci_device *p)
{
	return p->vendor == VENDOR_VIRTIO && p->device >= 0x1000 && p->device <= 0x107f;
}

/* Transitional devices carry the device type in the subsystem id (§4.1.2.1). */
static u32 device_id(const struct pci_device *p)
{
	return p->device >= 0x1040 ? p->device - 0x1040u : p->subsystem;
}

static int find_structures(struct virtio_pci *v)
{
	struct pci_device *p = v->pci;
	u16 at = 0;

	while ((at = pci_find_capability(p, CAPABILITY_VENDOR, at)) != 0) {
		u8 type = pci_read8(p, (u16)(at + 3));
		u8 bar = pci_read8(p, (u16)(at + 4));
		u32 offset = pci_read32(p, (u16)(at + 8));
		u32 len = pci_read32(p, (u16)(at + 12));

		if (type == CFG_COMMON && !v->common) {
			if (len < sizeof(struct common_config))
				return -ENODEV;
			v->common = pci_map_bar(p, bar, offset, sizeof(struct common_config));
		} else if (type == CFG_NOTIFY && !v->notify) {
			v->notify_multiplier = pci_read32(p, (u16)(at + 16));
			v->notify_len = min(len, (u32)PAGE_SIZE * 16);
			v->notify = pci_map_bar(p, bar, offset, v->notify_len);
		} else if (type == CFG_DEVICE && !v->config) {
			v->config_len = min(len, (u32)PAGE_SIZE);
			v->config = pci_map_bar(p, bar, offset, v->config_len);
			if (!v->config)
				v->config_len = 0;
		}
	}
	return v->common && v->notify ? 0 : -ENODEV;
}

static int probe(struct pci_device *p)
{
	struct virtio_pci *v = kzalloc(sizeof(*v), 0);
	struct virtio_device *d = kzalloc(sizeof(*d), 0);
	int err = -ENOMEM;

	if (v && d) {
		v->pci = p;
		d->transport = &pci_transport;
		d->transport_data = v;
		d->id = device_id(p);
		pci_enable(p);
		err = find_structures(v);
		if (!err)
			err = pci_msix_enable(p);
		if (!err)
			err = virtio_device_add(d);
		if (!err) {
			p->driver_data = d;
			return 0;
		}
	}
	/* A device that was added stays listed, even if its driver failed. */
	if (!d || !d->node.next) {
		kfree(d);
		kfree(v);
	}
	return err;
}

static const struct pci_driver virtio_pci_driver = {
	.name = "virtio-pci",
	.match = match,
	.probe = probe,
};
REGISTER_PCI_DRIVER(virtio_pci_driver);
