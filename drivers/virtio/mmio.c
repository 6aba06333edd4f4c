/*
 * Virtio over memory-mapped registers (virtio 1.2 §4.2, version 2).  Devices
 * are announced on the command line, `virtio_mmio.device=SIZE@BASE:IRQ`, as
 * QEMU's microvm and Firecracker do.
 */
#include <nos/arch.h>
#include <nos/errno.h>
#include <nos/init.h>
#include <nos/log.h>
#include <nos/slab.h>
#include <nos/string.h>
#include <nos/vmap.h>

#include "virtio.h"

#define MAGIC 0x74726976

enum {
	REG_MAGIC = 0x000,
	REG_VERSION = 0x004,
	REG_DEVICE_ID = 0x008,
	REG_DEVICE_FEATURES = 0x010,
	REG_DEVICE_FEATURES_SELECT = 0x014,
	REG_DRIVER_FEATURES = 0x020,
	REG_DRIVER_FEATURES_SELECT = 0x024,
	REG_QUEUE_SELECT = 0x030,
	REG_QUEUE_SIZE_MAX = 0x034,
	REG_QUEUE_SIZE = 0x038,
	REG_QUEUE_READY = 0x044,
	REG_QUEUE_NOTIFY = 0x050,
	REG_INTERRUPT_STATUS = 0x060,
	REG_INTERRUPT_ACK = 0x064,
	REG_STATUS = 0x070,
	REG_QUEUE_DESCRIPTORS = 0x080,
	REG_QUEUE_DRIVER = 0x090,
	REG_QUEUE_DEVICE = 0x0a0,
	REG_CONFIG = 0x100,
};

struct virtio_mmio {
	volatile u8 *registers;
	u32 len;
	u32 irq;
};

static volatile u32 *reg(struct virtio_device *d, u32 offset)
{
	struct virtio_mmio *m = d->transport_data;

	return (volatile u32 *)(m->registers + offset);
}

static u8 get_status(struct virtio_device *d)
{
	return (u8)*reg(d, REG_STATUS);
}

static void set_status(struct virtio_device *d, u8 status)
{
	*reg(d, REG_STATUS) = status;
}

static u64 get_features(struct virtio_device *d)
{
	*reg(d, REG_DEVICE_FEATURES_SELECT) = 0;
	u64 low = *reg(d, REG_DEVICE_FEATURES);

	*reg(d, REG_DEVICE_FEATURES_SELECT) = 1;
	return low | (u64)*reg(d, REG_DEVICE_FEATURES) << 32;
}

static void set_features(struct virtio_device *d, u64 features)
{
	*reg(d, REG_DRIVER_FEATURES_SELECT) = 0;
	*reg(d, REG_DRIVER_FEATURES) = (u32)features;
	*reg(d, REG_DRIVER_FEATURES_SELECT) = 1;
	*reg(d, REG_DRIVER_FEATURES) = (u32)(features >> 32);
}

static void read_config(struct virtio_device *d, u32 offset, void *to, u32 len)
{
	struct virtio_mmio *m = d->transport_data;

	for (u32 i = 0; i < len; i++) {
		u32 at = REG_CONFIG + offset + i;

		((u8 *)to)[i] = at < m->len ? m->registers[at] : 0;
	}
}

static void write_config(struct virtio_device *d, u32 offset, const void *from, u32 len)
{
	struct virtio_mmio *m = d->transport_data;

	for (u32 i = 0; i < len && REG_CONFIG + offset + i < m->len; i++)
		m->registers[REG_CONFIG + offset + i] = ((const u8 *)from)[i];
}

static u16 queue_size(struct virtio_device *d, u16 index)
{
	*reg(d, REG_QUEUE_SELECT) = index;
	return (u16)min(*reg(d, REG_QUEUE_SIZE_MAX), 32768u);
}

static void write_address(struct virtio_device *d, u32 offset, phys_t p)
{
	*reg(d, offset) = (u32)p;
	*reg(d, offset + 4) = (u32)(p >> 32);
}

static int start_queue(struct virtio_device *d, struct virtqueue *q)
{
	*reg(d, REG_QUEUE_SELECT) = q->index;
	if (*reg(d, REG_QUEUE_READY))
		return -EBUSY;
	*reg(d, REG_QUEUE_SIZE) = q->size;
	write_address(d, REG_QUEUE_DESCRIPTORS, q->descriptors_phys);
	write_address(d, REG_QUEUE_DRIVER, q->available_phys);
	write_address(d, REG_QUEUE_DEVICE, q->used_phys);
	*reg(d, REG_QUEUE_READY) = 1;
	return 0;
}

static void notify(struct virtqueue *q)
{
	*reg(q->device, REG_QUEUE_NOTIFY) = q->index;
}

static const struct virtio_transport mmio_transport = {
	.name = "mmio",
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

static void interrupt(void *arg)
{
	struct virtio_device *d = arg;
	u32 status = *reg(d, REG_INTERRUPT_STATUS);

	if (!status)
		return;
	*reg(d, REG_INTERRUPT_ACK) = status;
	for (u32 i = 0; i < d->nr_queues; i++) {
		struct virtqueue *q = d->queues[i];

		if (q && q->callback)
			q->callback(q);
	}
}

static int add_device(phys_t base, u64 size, u32 irq)
{
	struct virtio_mmio *m = kzalloc(sizeof(*m), 0);
	struct virtio_device *d = kzalloc(sizeof(*d), 0);
	int err = -ENOMEM;

	if (!m || !d)
		goto out;
	m->len = (u32)min(size, (u64)PAGE_SIZE);
	m->irq = irq;
	m->registers = mmio_map(base, m->len);
	d->transport = &mmio_transport;
	d->transport_data = m;
	err = -ENODEV;
	if (!m->registers || m->len <= REG_CONFIG || *reg(d, REG_MAGIC) != MAGIC ||
	    *reg(d, REG_DEVICE_ID) == 0)
		goto out;
	if (*reg(d, REG_VERSION) != 2) {
		log_warning("virtio-mmio at %#llx: version %u is not supported, only 2",
			    (unsigned long long)base, *reg(d, REG_VERSION));
		goto out;
	}
	d->id = *reg(d, REG_DEVICE_ID);
	err = irq_request_gsi(irq, true, false, interrupt, d, "virtio-mmio");
	if (err)
		goto out;
	return virtio_device_add(d);
out:
	kfree(m);
	kfree(d);
	return err;
}

/* Number with a K, M or G suffix; moves *s behind it. */
static bool parse_number(const char **s, u64 *value)
{
	const char *p = *s;
	unsigned base = 10;
	u64 v = 0;

	if (p[0] == '0' && p[1] == 'x') {
		base = 16;
		p += 2;
	}

	const char *start = p;

	for (;; p++) {
		unsigned digit;

		if (*p >= '0' && *p <= '9')
			digit = (unsigned)(*p - '0');
		else if (base == 16 && (*p | 0x20) >= 'a' && (*p | 0x20) <= 'f')
			digit = (unsigned)((*p | 0x20) - 'a') + 10;
		else
			break;
		v = v * base + digit;
	}
	if (p == start)
		return false;
	switch (*p) {
	case 'G':
		v <<= 10;
		[[fallthrough]];
	case 'M':
		v <<= 10;
		[[fallthrough]];
	case 'K':
		v <<= 10;
		p++;
		break;
	default:
		break;
	}
	*s = p;
	*value = v;
	return true;
}

static void parse_device(const char *s)
{
	u64 size, base, irq;

	if (!parse_number(&s, &size) || *s++ != '@' || !parse_number(&s, &base) || *s++ != ':' ||
	    !parse_number(&s, &irq) || irq > 1023)
		return;

	int err = add_device(base, size, (u32)irq);

	if (err && err != -ENODEV)
		log_warning("virtio-mmio at %#llx: error %d", (unsigned long long)base, -err);
}

static int virtio_mmio_init(void)
{
	static const char key[] = "virtio_mmio.device=";
	const char *s = boot_info.command_line;

	while (s && (s = strstr(s, key)) != NULL) {
		s += sizeof(key) - 1;
		parse_device(s);
	}
	return 0;
}
INIT_STEP(INIT_DRIVER, virtio_mmio_init);
