/*
 * Virtio devices: negotiation and binding of drivers (virtio 1.2 §3.1).
 */
#include <nos/errno.h>
#include <nos/log.h>

#include "virtio.h"

#define STATUS_ACKNOWLEDGE 1
#define STATUS_DRIVER 2
#define STATUS_DRIVER_OK 4
#define STATUS_FEATURES_OK 8
#define STATUS_FAILED 128

extern const struct virtio_driver *const __start_virtio_drivers[] __weak;
extern const struct virtio_driver *const __stop_virtio_drivers[] __weak;

static struct list devices = LIST_INIT(devices);
static u32 nr_devices;

static int negotiate(struct virtio_device *d, const struct virtio_driver *driver)
{
	u64 wanted = driver->features | VIRTIO_FEATURE_VERSION_1 | VIRTIO_FEATURE_INDIRECT |
		     VIRTIO_FEATURE_EVENT_IDX;
	u64 offered = d->transport->get_features(d);

	if (!(offered & VIRTIO_FEATURE_VERSION_1))
		return -ENODEV;
	d->features = offered & wanted;
	d->transport->set_features(d, d->features);
	d->transport->set_status(d, STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_FEATURES_OK);
	return d->transport->get_status(d) & STATUS_FEATURES_OK ? 0 : -ENODEV;
}

int virtio_device_ready(struct virtio_device *d)
{
	d->transport->set_status(d, d->transport->get_status(d) | STATUS_DRIVER_OK);
	return 0;
}

int virtio_device_add(struct virtio_device *d)
{
	const struct virtio_driver *const *p;

	d->number = nr_devices++;
	list_push_back(&devices, &d->node);
	d->transport->set_status(d, 0);
	while (d->transport->get_status(d) != 0)
		cpu_relax();
	d->transport->set_status(d, STATUS_ACKNOWLEDGE);
	for (p = __start_virtio_drivers; p < __stop_virtio_drivers; p++) {
		if ((*p)->id != d->id)
			continue;
		d->transport->set_status(d, STATUS_ACKNOWLEDGE | STATUS_DRIVER);

		int err = negotiate(d, *p);

		if (!err)
			err = (*p)->probe(d);
		if (err) {
			d->transport->set_status(d, STATUS_FAILED);
			return err;
		}
		d->driver_name = (*p)->name;
		return 0;
	}
	return 0;
}
