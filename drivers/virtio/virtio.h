/*
 * Virtio 1.x inside: a device on one of the transports, its queues, and the
 * drivers for it.  Private to drivers/virtio.
 */
#pragma once

#include <nos/irq.h>
#include <nos/list.h>
#include <nos/lock.h>
#include <nos/types.h>

#define VIRTIO_ID_NET 1
#define VIRTIO_ID_BLOCK 2
#define VIRTIO_ID_CONSOLE 3
#define VIRTIO_ID_RNG 4
#define VIRTIO_ID_9P 9

#define VIRTIO_FEATURE_INDIRECT (1ull << 28)
#define VIRTIO_FEATURE_EVENT_IDX (1ull << 29)
#define VIRTIO_FEATURE_VERSION_1 (1ull << 32)

struct virtio_device;
struct virtqueue;

struct virtio_transport {
	const char *name;
	u8 (*get_status)(struct virtio_device *d);
	void (*set_status)(struct virtio_device *d, u8 status);
	u64 (*get_features)(struct virtio_device *d);
	void (*set_features)(struct virtio_device *d, u64 features);
	void (*read_config)(struct virtio_device *d, u32 offset, void *to, u32 len);
	void (*write_config)(struct virtio_device *d, u32 offset, const void *from, u32 len);
	/* Largest ring of queue `index`; 0 = there is no such queue. */
	u16 (*queue_size)(struct virtio_device *d, u16 index);
	/* Tells the device where the ring is, routes its interrupt, and enables it. */
	int (*start_queue)(struct virtio_device *d, struct virtqueue *q);
	void (*notify)(struct virtqueue *q);
};

#define VIRTIO_MAX_QUEUES 72

struct virtio_device {
	const struct virtio_transport *transport;
	u32 id; /* VIRTIO_ID_ */
	u32 number; /* "virtioN" */
	u64 features; /* negotiated */
	struct virtqueue *queues[VIRTIO_MAX_QUEUES];
	u32 nr_queues;
	const char *driver_name;
	void *driver_data;
	void *transport_data;
	struct list node;
};

struct virtio_segment {
	phys_t address;
	u32 len;
};

struct virtq_descriptor { /* virtio 1.2 §2.7.5 */
	u64 address;
	u32 len;
	u16 flags, next;
};

/* Called in the interrupt when the device has used buffers. */
typedef void (*virtqueue_fn)(struct virtqueue *q);

struct virtqueue {
	struct virtio_device *device;
	u16 index, size; /* size: power of two */
	bool broken; /* the device broke the protocol: nothing moves any more */
	bool event_index;
	u16 nr_free, free_head;
	u16 available_next; /* shadow of available->index */
	u16 kicked; /* value of it at the last notification */
	u16 used_seen;
	struct virtq_descriptor *descriptors;
	volatile u16 *available; /* flags, index, ring[size], used_event */
	volatile u16 *used; /* flags, index, { u32 id, len }[size], available_event */
	phys_t descriptors_phys, available_phys, used_phys;
	void **tokens; /* by head descriptor */
	volatile void *notify_address;
	virtqueue_fn callback;
	void *private;
};

/* A queue with its ring, not yet started; ERR. */
struct virtqueue *virtqueue_create(struct virtio_device *d, u16 index, u16 size_max,
				   virtqueue_fn callback, void *private);
/*
 * Offers one buffer: out segments the device reads, then in segments it writes.  With `table` (room
 * for nr_out + nr_in descriptors, direct-map memory that lives until the buffer is used) one indirect
 * descriptor is taken.  0, or -ENOSPC; -EIO on a broken queue.  The caller serialises.
 */
int virtqueue_add(struct virtqueue *q, const struct virtio_segment *out, u32 nr_out,
		  const struct virtio_segment *in, u32 nr_in, void *token,
		  struct virtq_descriptor *table);
void virtqueue_kick(struct virtqueue *q);
/* Token of the next used buffer and the bytes written by the device, or NULL. */
void *virtqueue_pop(struct virtqueue *q, u32 *len);
/* Interrupts on again; false if more was used meanwhile: pop again. */
bool virtqueue_enable_interrupts(struct virtqueue *q);
void virtqueue_disable_interrupts(struct virtqueue *q);

struct virtio_driver {
	const char *name;
	u32 id;
	u64 features; /* wanted, beside the ring's own */
	int (*probe)(struct virtio_device *d);
};
#define REGISTER_VIRTIO_DRIVER(var)                                                                \
	static const struct virtio_driver *const virtio_driver_##var __section("virtio_drivers") = \
		&(var)

/* Transports call it for each device found: negotiates and probes. */
int virtio_device_add(struct virtio_device *d);
/* Drivers: all queues exist; the device may work from here on. */
int virtio_device_ready(struct virtio_device *d);
