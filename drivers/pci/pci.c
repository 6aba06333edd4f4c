/*
 * PCI: configuration space, the boot scan, capabilities, MSI-X.
 *
 * Concepts.  Configuration space is reached through the memory window that the
 * MCFG table announces (ECAM), or through ports 0xcf8/0xcfc where there is no
 * such table.  The scan starts at bus 0 and follows bridges by the secondary
 * bus number that firmware gave them; base address registers are firmware's
 * too and are only read.
 *
 * Invariants.
 *   (1) the list of devices does not change after the scan.
 *   (2) every walk over device-supplied links is bounded.
 *
 * Locking.  The port pair is a shared resource: `config_lock`.  Everything
 * else runs at boot on one CPU or touches one device's own registers.
 *
 * References.  PCI Local Bus Specification 3.0 §6; PCI Express Base 5.0 §7.2.2
 * (ECAM), §7.7.2 (MSI-X); PCI Firmware Specification 3.2 §4.1.2 (MCFG).
 */
#include <nos/arch.h>
#include <nos/errno.h>
#include <nos/init.h>
#include <nos/lock.h>
#include <nos/log.h>
#include <nos/pci.h>
#include <nos/slab.h>
#include <nos/string.h>
#include <nos/vmap.h>

#define CONFIG_VENDOR 0x00
#define CONFIG_COMMAND 0x04
#define CONFIG_STATUS 0x06
#define CONFIG_REVISION 0x08
#define CONFIG_HEADER_TYPE 0x0e
#define CONFIG_BAR 0x10
#define CONFIG_SECONDARY_BUS 0x19
#define CONFIG_SUBSYSTEM 0x2c
#define CONFIG_CAPABILITIES 0x34

#define COMMAND_MEMORY 0x2
#define COMMAND_MASTER 0x4
#define COMMAND_NO_INTX 0x400
#define STATUS_HAS_CAPABILITIES 0x10
#define CAPABILITY_MSIX 0x11
#define MSIX_ENABLE 0x8000
#define MSIX_MASK_ALL 0x4000
#define CAPABILITIES_MAX 48 /* 192 bytes of space, 4 bytes each */

struct mcfg_entry {
	u64 base;
	u16 segment;
	u8 first_bus, last_bus;
	u32 reserved;
} __packed;

static struct list devices = LIST_INIT(devices);
static struct spinlock config_lock = SPINLOCK_INIT(RANK_DEVICE);
static phys_t ecam_base;
static u8 ecam_first_bus, ecam_last_bus;
static volatile u8 *ecam_buses[256];

static volatile void *ecam_address(u8 bus, u8 slot, u8 function, u16 offset)
{
	if (!ecam_base || bus < ecam_first_bus || bus > ecam_last_bus || !ecam_buses[bus])
		return NULL;
	return ecam_buses[bus] + ((u32)slot << 15 | (u32)function << 12 | offset);
}

static u32 port_address(u8 bus, u8 slot, u8 function, u16 offset)
{
	return 0x80000000u | (u32)bus << 16 | (u32)slot << 11 | (u32)function << 8 |
	       (offset & 0xfc);
}

static u32 config_read(u8 bus, u8 slot, u8 function, u16 offset)
{
	volatile u32 *window = ecam_address(bus, slot, function, offset & ~3u);

	if (window)
		return *window;
	if (offset > 255)
		return ~0u;
	scoped_spin_irq(&config_lock);
	port_out32(0xcf8, port_address(bus, slot, function, offset));
	return port_in32(0xcfc);
}

u32 pci_read32(const struct pci_device *d, u16 offset)
{
	return config_read(d->bus, d->slot, d->function, offset);
}

u16 pci_read16(const struct pci_device *d, u16 offset)
{
	return (u16)(pci_read32(d, offset) >> (offset & 2) * 8);
}

u8 pci_read8(const struct pci_device *d, u16 offset)
{
	return (u8)(pci_read32(d, offset) >> (offset & 3) * 8);
}

void pci_write32(const struct pci_device *d, u16 offset, u32 value)
{
	volatile u32 *window = ecam_address(d->bus, d->slot, d->function, offset);

	if (window) {
		*window = value;
		return;
	}
	scoped_spin_irq(&config_lock);
	port_out32(0xcf8, port_address(d->bus, d->slot, d->function, offset));
	port_out32(0xcfc, value);
}

void pci_write16(const struct pci_device *d, u16 offset, u16 value)
{
	volatile u16 *window = ecam_address(d->bus, d->slot, d->function, offset);

	if (window) {
		*window = value;
		return;
	}
	scoped_spin_irq(&config_lock);
	port_out32(0xcf8, port_address(d->bus, d->slot, d->function, offset));
	port_out16((u16)(0xcfc + (offset & 2)), value);
}

u16 pci_find_capability(const struct pci_device *d, u8 id, u16 from)
{
	if (!(pci_read16(d, CONFIG_STATUS) & STATUS_HAS_CAPABILITIES))
		return 0;

	u16 at = from ? (u16)(from + 1) : CONFIG_CAPABILITIES;

	for (unsigned i = 0; i < CAPABILITIES_MAX; i++) {
		u16 next = pci_read8(d, at) & 0xfc;

		if (next < 0x40)
			return 0;
		if (pci_read8(d, next) == id)
			return next;
		at = (u16)(next + 1);
	}
	return 0;
}

volatile void *pci_map_bar(const struct pci_device *d, unsigned bar, u64 offset, u64 len)
{
	if (bar >= ARRAY_SIZE(d->bars))
		return NULL;

	const struct pci_bar *b = &d->bars[bar];

	if (b->is_io || b->base == 0 || len == 0 || offset > b->size || len > b->size - offset)
		return NULL;
	return mmio_map(b->base + offset, len);
}

void pci_enable(struct pci_device *d)
{
	pci_write16(d, CONFIG_COMMAND,
		    pci_read16(d, CONFIG_COMMAND) | COMMAND_MEMORY | COMMAND_MASTER |
			    COMMAND_NO_INTX);
}

int pci_msix_enable(struct pci_device *d)
{
	u16 cap = d->msix_capability;

	if (!cap)
		return -ENODEV;

	u16 nr = (pci_read16(d, (u16)(cap + 2)) & 0x7ff) + 1;
	u32 table = pci_read32(d, (u16)(cap + 4));

	d->msix_table = pci_map_bar(d, table & 7, table & ~7u, nr * 16ul);
	if (!d->msix_table)
		return -ENODEV;
	d->nr_msix = nr;
	for (unsigned i = 0; i < nr; i++)
		d->msix_table[i * 4 + 3] = 1;
	pci_write16(d, (u16)(cap + 2),
		    (u16)((pci_read16(d, (u16)(cap + 2)) | MSIX_ENABLE) & ~MSIX_MASK_ALL));
	return 0;
}

int pci_msix_request(struct pci_device *d, unsigned entry, irq_fn fn, void *arg, const char *name,
		     unsigned cpu)
{
	if (entry >= d->nr_msix)
		return -EINVAL;

	int vector = irq_allocate(fn, arg, name, cpu);

	if (vector < 0)
		return vector;

	u64 address;
	u32 data;

	irq_compose_msi((unsigned)vector, cpu, &address, &data);
	d->msix_table[entry * 4] = (u32)address;
	d->msix_table[entry * 4 + 1] = (u32)(address >> 32);
	d->msix_table[entry * 4 + 2] = data;
	d->msix_table[entry * 4 + 3] = 0;
	return vector;
}

void pci_for_each(void (*fn)(const struct pci_device *d, void *arg), void *arg)
{
	struct pci_device *d;

	list_for_each(d, &devices, node)
		fn(d, arg);
}

/* Reads base and size of the register at index n; returns how many registers it takes (1 or 2). */
static unsigned read_bar(struct pci_device *d, unsigned n)
{
	u16 offset = (u16)(CONFIG_BAR + 4 * n);
	u32 low = pci_read32(d, offset);
	bool is_io = low & 1;
	bool is_64 = !is_io && (low & 6) == 4 && n < 5;
	u64 base = low & (is_io ? ~3u : ~15u);

	pci_write32(d, offset, ~0u);
	u64 mask = pci_read32(d, offset) & (is_io ? ~3u : ~15u);
	pci_write32(d, offset, low);
	if (is_64) {
		u32 high = pci_read32(d, (u16)(offset + 4));

		pci_write32(d, (u16)(offset + 4), ~0u);
		mask |= (u64)pci_read32(d, (u16)(offset + 4)) << 32;
		pci_write32(d, (u16)(offset + 4), high);
		base |= (u64)high << 32;
	} else if (mask) {
		mask |= 0xffffffff00000000ull;
	}
	d->bars[n].base = base;
	d->bars[n].size = mask ? ~mask + 1 : 0;
	d->bars[n].is_io = is_io;
	return is_64 ? 2 : 1;
}

static void scan_bus(u8 bus, unsigned depth);

static void scan_function(u8 bus, u8 slot, u8 function, unsigned depth)
{
	u32 id = config_read(bus, slot, function, CONFIG_VENDOR);

	if ((id & 0xffff) == 0xffff)
		return;

	struct pci_device *d = kzalloc(sizeof(*d), 0);

	if (!d)
		return;
	d->bus = bus;
	d->slot = slot;
	d->function = function;
	d->vendor = (u16)id;
	d->device = (u16)(id >> 16);
	d->class_code = pci_read32(d, CONFIG_REVISION) >> 8;
	d->revision = pci_read8(d, CONFIG_REVISION);
	list_push_back(&devices, &d->node);

	u8 header = pci_read8(d, CONFIG_HEADER_TYPE) & 0x7f;

	if (header == 1 && depth < 8) {
		u8 secondary = pci_read8(d, CONFIG_SECONDARY_BUS);

		if (secondary > bus)
			scan_bus(secondary, depth + 1);
		return;
	}
	if (header != 0)
		return;
	d->subsystem_vendor = pci_read16(d, CONFIG_SUBSYSTEM);
	d->subsystem = pci_read16(d, CONFIG_SUBSYSTEM + 2);

	/* Sizing writes the registers: keep the device from decoding meanwhile. */
	u16 command = pci_read16(d, CONFIG_COMMAND);

	pci_write16(d, CONFIG_COMMAND, command & (u16)~3u);
	for (unsigned n = 0; n < 6;)
		n += read_bar(d, n);
	pci_write16(d, CONFIG_COMMAND, command);
	d->msix_capability = pci_find_capability(d, CAPABILITY_MSIX, 0);
}

static void scan_bus(u8 bus, unsigned depth)
{
	if (ecam_base && bus >= ecam_first_bus && bus <= ecam_last_bus && !ecam_buses[bus])
		ecam_buses[bus] =
			mmio_map(ecam_base + ((u64)(bus - ecam_first_bus) << 20), 1ul << 20);
	for (u8 slot = 0; slot < 32; slot++) {
		u32 id = config_read(bus, slot, 0, CONFIG_VENDOR);

		if ((id & 0xffff) == 0xffff)
			continue;

		bool many = config_read(bus, slot, 0, 0x0c) & 0x800000;

		for (unsigned function = 0; function < (many ? 8u : 1u); function++)
			scan_function(bus, slot, (u8)function, depth);
	}
}

static void find_ecam(void)
{
	const u8 *mcfg = acpi_find_table("MCFG");

	if (!mcfg)
		return;

	u32 len;

	memcpy(&len, mcfg + 4, sizeof(len));
	if (len < 44 + sizeof(struct mcfg_entry))
		return;

	const struct mcfg_entry *e = (const struct mcfg_entry *)(mcfg + 44);

	if (e->segment != 0 || e->last_bus < e->first_bus)
		return;
	ecam_base = e->base;
	ecam_first_bus = e->first_bus;
	ecam_last_bus = e->last_bus;
}

extern const struct pci_driver *const __start_pci_drivers[] __weak;
extern const struct pci_driver *const __stop_pci_drivers[] __weak;

static void bind_drivers(void)
{
	struct pci_device *d;

	list_for_each(d, &devices, node) {
		const struct pci_driver *const *p;

		for (p = __start_pci_drivers; p < __stop_pci_drivers; p++) {
			if (!(*p)->match(d))
				continue;

			int err = (*p)->probe(d);

			if (err)
				log_warning("pci %02x:%02x.%u: %s: error %d", d->bus, d->slot,
					    d->function, (*p)->name, -err);
			else
				d->driver_name = (*p)->name;
			break;
		}
	}
}

/* Mechanism #1 answers with the address it was given (PCI 3.0 §3.2.2.3.2). */
static bool has_port_mechanism(void)
{
	port_out32(0xcf8, 0x80000000u);
	return port_in32(0xcf8) == 0x80000000u;
}

static int pci_init(void)
{
	find_ecam();
	if (!ecam_base && !has_port_mechanism())
		return 0;
	scan_bus(ecam_base ? ecam_first_bus : 0, 0);
	bind_drivers();
	return 0;
}
INIT_STEP(INIT_DRIVER, pci_init);
