/* The I/O APICs, and the legacy controller, which is only silenced. */
#include <nos/arch.h>
#include <nos/cpu.h>
#include <nos/errno.h>
#include <nos/log.h>

#include "acpi.h"
#include "x86.h"

#define DEFAULT_ADDRESS 0xfec00000ul /* where a machine without tables has it */
#define REG_VERSION 1
#define REG_ENTRY(n) (0x10 + 2 * (n))
#define ENTRY_MASKED (1u << 16)
#define ENTRY_LEVEL (1u << 15)
#define ENTRY_ACTIVE_LOW (1u << 13)

struct ioapic {
	volatile u32 *registers; /* index at 0, data at 0x10 */
	u32 first_gsi, nr_inputs;
};
static struct ioapic ioapics[ACPI_MAX_IOAPICS] __ro_after_init;
static unsigned nr_ioapics __ro_after_init;

/* Index and data are two accesses: interrupts off, and CPU 0's boot or the irq layer's lock. */
static u32 ioapic_read(const struct ioapic *io, u32 reg)
{
	io->registers[0] = reg;
	return io->registers[4];
}

static void ioapic_write(const struct ioapic *io, u32 reg, u32 v)
{
	io->registers[0] = reg;
	io->registers[4] = v;
}

static void pic_disable(void)
{
	/* Remapped to 0x20, away from exceptions: a spurious interrupt can still come. */
	static const u8 words[][2] = {
		{ 0x20, 0x11 }, { 0xa0, 0x11 }, { 0x21, 0x20 }, { 0xa1, 0x28 }, { 0x21, 4 },
		{ 0xa1, 2 },    { 0x21, 1 },    { 0xa1, 1 },    { 0x21, 0xff }, { 0xa1, 0xff },
	};

	for (unsigned i = 0; i < ARRAY_SIZE(words); i++)
		port_out8(words[i][0], words[i][1]);
}

static void ioapic_add(phys_t address, u32 first_gsi)
{
	struct ioapic *io = &ioapics[nr_ioapics];

	io->registers = device_map_early(address, 0x20);
	if (!io->registers)
		return;
	u32 version = ioapic_read(io, REG_VERSION);

	if (version == U32_MAX || version == 0)
		return;
	io->first_gsi = first_gsi;
	io->nr_inputs = min((version >> 16 & 0xff) + 1, 240u);
	for (u32 i = 0; i < io->nr_inputs; i++)
		ioapic_write(io, REG_ENTRY(i), ENTRY_MASKED);
	nr_ioapics++;
}

void ioapic_init(void)
{
	pic_disable();
	for (unsigned i = 0; i < acpi_info.nr_ioapics; i++)
		ioapic_add(acpi_info.ioapics[i].address, acpi_info.ioapics[i].first_gsi);
	if (nr_ioapics == 0)
		ioapic_add(DEFAULT_ADDRESS, 0);
}

static const struct ioapic *ioapic_of(unsigned gsi)
{
	for (unsigned i = 0; i < nr_ioapics; i++)
		if (gsi >= ioapics[i].first_gsi &&
		    gsi - ioapics[i].first_gsi < ioapics[i].nr_inputs)
			return &ioapics[i];
	return NULL;
}

int irq_route_gsi(unsigned gsi, unsigned vector, bool level, bool active_low)
{
	const struct ioapic *io = ioapic_of(gsi);

	if (!io)
		return -ENODEV;
	u32 reg = REG_ENTRY(gsi - io->first_gsi);
	u64 flags = irq_save();

	ioapic_write(io, reg, ENTRY_MASKED);
	ioapic_write(io, reg + 1, cpu_apic_ids[0] << 24);
	ioapic_write(io, reg,
		     vector | (level ? ENTRY_LEVEL : 0) | (active_low ? ENTRY_ACTIVE_LOW : 0));
	irq_restore(flags);
	return 0;
}

void irq_mask_gsi(unsigned gsi, bool mask)
{
	const struct ioapic *io = ioapic_of(gsi);

	if (!io)
		return;
	u32 reg = REG_ENTRY(gsi - io->first_gsi);
	u64 flags = irq_save();
	u32 entry = ioapic_read(io, reg);

	ioapic_write(io, reg, mask ? entry | ENTRY_MASKED : entry & ~ENTRY_MASKED);
	irq_restore(flags);
}

/* Overrides of the MADT; ISA's own habit is edge, active high (MPS INTI flags 0). */
unsigned irq_isa_to_gsi(unsigned isa_irq, bool *level, bool *active_low)
{
	*level = *active_low = false;
	if (isa_irq >= 16 || !acpi_info.isa[isa_irq].present)
		return isa_irq;
	*active_low = (acpi_info.isa[isa_irq].flags & 3) == 3;
	*level = (acpi_info.isa[isa_irq].flags >> 2 & 3) == 3;
	return acpi_info.isa[isa_irq].gsi;
}
