/*
 * PCI (drivers/pci): functions found by the boot scan, their capabilities,
 * registers and MSI-X vectors (PCI Local Bus 3.0, PCI Express Base 5.0 §7).
 */
#pragma once

#include <nos/irq.h>
#include <nos/list.h>
#include <nos/types.h>

struct pci_bar {
	phys_t base;
	u64 size; /* 0 = not implemented */
	bool is_io;
};

struct pci_device {
	u8 bus, slot, function;
	u16 vendor, device, subsystem_vendor, subsystem;
	u32 class_code; /* class, subclass, interface in bits 23…0 */
	u8 revision;
	struct pci_bar bars[6];
	u16 msix_capability; /* config offset, 0 = none */
	u16 nr_msix;
	volatile u32 *msix_table;
	const char *driver_name;
	void *driver_data;
	struct list node;
};

u8 pci_read8(const struct pci_device *d, u16 offset);
u16 pci_read16(const struct pci_device *d, u16 offset);
u32 pci_read32(const struct pci_device *d, u16 offset);
void pci_write16(const struct pci_device *d, u16 offset, u16 value);
void pci_write32(const struct pci_device *d, u16 offset, u32 value);

/* Offset of the next capability `id` after `from` (0 = the first), or 0.  A looping list ends. */
u16 pci_find_capability(const struct pci_device *d, u8 id, u16 from);
/* Registers of a memory BAR [offset, offset + len), or NULL if it does not hold them. */
volatile void *pci_map_bar(const struct pci_device *d, unsigned bar, u64 offset, u64 len);
/* Memory decoding and bus mastering on. */
void pci_enable(struct pci_device *d);
/* MSI-X on with all entries masked; -ENODEV. */
int pci_msix_enable(struct pci_device *d);
/* Routes entry to fn(arg) on `cpu`; vector or −errno. */
int pci_msix_request(struct pci_device *d, unsigned entry, irq_fn fn, void *arg, const char *name,
		     unsigned cpu);

struct pci_driver {
	const char *name;
	/* True for a device it can drive. */
	bool (*match)(const struct pci_device *d);
	int (*probe)(struct pci_device *d);
};
#define REGISTER_PCI_DRIVER(var)                                                                   \
	static const struct pci_driver *const pci_driver_##var __section("pci_drivers") = &(var)

/* All functions in bus order, for /sys and /proc. */
void pci_for_each(void (*fn)(const struct pci_device *d, void *arg), void *arg);
