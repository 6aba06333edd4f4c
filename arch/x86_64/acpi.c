/*
 * ACPI's static tables: RSDP, XSDT or RSDT, MADT, FADT (with a look into the
 * DSDT for _S5_), HPET, SRAT, SLIT.  There is no AML interpreter.
 *
 * Every byte is the firmware's and is not believed: a table counts only if it
 * lies in the direct map for all of its length and its bytes sum to zero; each
 * walk is bounded by the table's length and each array by its size.  What is
 * wrong is left out, and the machine is driven without it.
 *
 * ACPI 6.5, chapter 5.2; section numbers stand at each table.
 */
#include <nos/arch.h>
#include <nos/log.h>
#include <nos/string.h>

#include "acpi.h"
#include "x86.h"

#define MAX_TABLES 64
#define TABLE_SIZE_LIMIT (4u << 20)

struct acpi_header { /* 5.2.6 */
	char signature[4];
	u32 length;
	u8 revision, checksum;
	char oem_id[6], oem_table_id[8];
	u32 oem_revision, creator_id, creator_revision;
} __packed;
static_assert(sizeof(struct acpi_header) == 36);

struct acpi_rsdp { /* 5.2.5.3 */
	char signature[8];
	u8 checksum;
	char oem_id[6];
	u8 revision;
	u32 rsdt;
	u32 length;
	u64 xsdt;
	u8 extended_checksum, reserved[3];
} __packed;
static_assert(sizeof(struct acpi_rsdp) == 36);
#define RSDP_V1_SIZE 20

struct acpi_info acpi_info;
static const struct acpi_header *tables[MAX_TABLES];
static unsigned nr_tables;

static bool checksum_is_zero(const void *data, size_t len)
{
	const u8 *p = data;
	u8 sum = 0;

	for (size_t i = 0; i < len; i++)
		sum = (u8)(sum + p[i]);
	return sum == 0;
}

static u32 read_u32(const void *table, size_t at)
{
	u32 v;

	memcpy(&v, (const u8 *)table + at, sizeof(v));
	return v;
}

static u64 read_u64(const void *table, size_t at)
{
	u64 v;

	memcpy(&v, (const u8 *)table + at, sizeof(v));
	return v;
}

/* The table at `at` if it is whole and its checksum is right, or NULL. */
static const struct acpi_header *table_at(phys_t at)
{
	if (!at || !phys_is_direct_mapped(at, sizeof(struct acpi_header)))
		return NULL;
	const struct acpi_header *h = phys_to_virt(at);
	u32 length = h->length;

	if (length < sizeof(*h) || length > TABLE_SIZE_LIMIT ||
	    !phys_is_direct_mapped(at, length) || !checksum_is_zero(h, length))
		return NULL;
	return h;
}

const void *acpi_find_table(const char signature[4])
{
	for (unsigned i = 0; i < nr_tables; i++)
		if (memcmp(tables[i]->signature, signature, 4) == 0)
			return tables[i];
	return NULL;
}

static bool rsdp_is_valid(phys_t at)
{
	if (!phys_is_direct_mapped(at, sizeof(struct acpi_rsdp)))
		return false;
	const struct acpi_rsdp *r = phys_to_virt(at);

	return memcmp(r->signature, "RSD PTR ", 8) == 0 && checksum_is_zero(r, RSDP_V1_SIZE);
}

/* 5.2.5.1: in the first KiB of the extended BIOS data area, or from 0xe0000 on. */
static phys_t rsdp_search(void)
{
	u16 segment;

	if (!phys_is_direct_mapped(0, 1 << 20))
		return 0;
	memcpy(&segment, phys_to_virt(0x40e), sizeof(segment));
	phys_t ebda = (phys_t)segment << 4;

	for (phys_t p = ebda; ebda >= 0x80000 && p < ebda + 1024 && p < 0xa0000; p += 16)
		if (rsdp_is_valid(p))
			return p;
	for (phys_t p = 0xe0000; p < 0x100000; p += 16)
		if (rsdp_is_valid(p))
			return p;
	return 0;
}

static void tables_collect(const struct acpi_rsdp *r)
{
	const struct acpi_header *root = NULL;
	size_t entry = 8;

	if (r->revision >= 2 && r->length >= sizeof(*r) && r->length < 4096 &&
	    checksum_is_zero(r, sizeof(*r)))
		root = table_at(r->xsdt);
	if (!root || memcmp(root->signature, "XSDT", 4) != 0) {
		entry = 4;
		root = table_at(r->rsdt);
		if (!root || memcmp(root->signature, "RSDT", 4) != 0)
			return;
	}
	for (size_t at = sizeof(*root); at + entry <= root->length && nr_tables < MAX_TABLES;
	     at += entry) {
		const struct acpi_header *t =
			table_at(entry == 8 ? read_u64(root, at) : read_u32(root, at));

		if (t)
			tables[nr_tables++] = t;
	}
}

/* ---- MADT, 5.2.12 ---- */

static void madt_add_cpu(u32 apic_id, u32 flags)
{
	struct acpi_info *a = &acpi_info;

	/* Enabled; one that is only online-capable is not there yet. */
	if (!(flags & 1) || apic_id > 254 || a->nr_cpus == MAX_CPUS)
		return;
	for (unsigned i = 0; i < a->nr_cpus; i++)
		if (a->apic_ids[i] == apic_id)
			return;
	a->apic_ids[a->nr_cpus++] = apic_id;
}

static void madt_entry(const u8 *e, u8 type, u8 len)
{
	struct acpi_info *a = &acpi_info;

	if (type == 0 && len >= 8) {
		madt_add_cpu(e[3], read_u32(e, 4));
	} else if (type == 9 && len >= 16) {
		madt_add_cpu(read_u32(e, 4), read_u32(e, 8));
	} else if (type == 1 && len >= 12 && a->nr_ioapics < ACPI_MAX_IOAPICS) {
		a->ioapics[a->nr_ioapics].address = read_u32(e, 4);
		a->ioapics[a->nr_ioapics++].first_gsi = read_u32(e, 8);
	} else if (type == 2 && len >= 10 && e[2] == 0 && e[3] < 16) {
		a->isa[e[3]].gsi = read_u32(e, 4);
		a->isa[e[3]].flags = (u16)(e[8] | e[9] << 8);
		a->isa[e[3]].present = true;
	} else if (type == 5 && len >= 12) {
		a->apic_address = read_u64(e, 4);
	}
}

static void madt_parse(void)
{
	const struct acpi_header *t = acpi_find_table("APIC");

	if (!t || t->length < 44)
		return;
	acpi_info.has_madt = true;
	acpi_info.apic_address = read_u32(t, 36);
	for (size_t at = 44; at + 2 <= t->length;) {
		const u8 *e = (const u8 *)t + at;

		if (e[1] < 2 || at + e[1] > t->length)
			break;
		madt_entry(e, e[0], e[1]);
		at += e[1];
	}
}

/* ---- FADT, 5.2.9, and _S5_ ---- */

static struct acpi_register register_at(const struct acpi_header *t, size_t at)
{
	struct acpi_register r = { 0 };

	if (at + sizeof(r) <= t->length)
		memcpy(&r, (const u8 *)t + at, sizeof(r));
	return r;
}

/* One package element: ZeroOp, OneOp or a byte constant; false for any other. */
static bool aml_byte(const u8 **p, const u8 *end, u8 *value)
{
	if (*p >= end)
		return false;
	u8 op = *(*p)++;

	if (op == 0 || op == 1) {
		*value = op;
		return true;
	}
	if (op != 0x0a || *p >= end)
		return false;
	*value = *(*p)++;
	return true;
}

/* Name(_S5_, Package{a, b …}): 08 [\] "_S5_" 12 length count a b (20.2.5). */
static bool s5_parse(const u8 *p, const u8 *end)
{
	struct acpi_info *a = &acpi_info;

	if (end - p < 3 || *p++ != 0x12)
		return false;
	p += 1 + (*p >> 6); /* package length: its top bits count more bytes */
	if (end - p < 2 || *p++ < 1)
		return false;
	if (!aml_byte(&p, end, &a->s5_type_a))
		return false;
	if (!aml_byte(&p, end, &a->s5_type_b))
		a->s5_type_b = a->s5_type_a;
	return true;
}

static void dsdt_parse(phys_t at)
{
	const struct acpi_header *t = table_at(at);

	if (!t)
		return;
	const u8 *start = (const u8 *)(t + 1), *end = (const u8 *)t + t->length;

	for (const u8 *p = start + 2; p + 4 <= end; p++) {
		if (memcmp(p, "_S5_", 4) != 0)
			continue;
		if (p[-1] != 0x08 && !(p[-1] == '\\' && p[-2] == 0x08))
			continue;
		if (s5_parse(p + 4, end)) {
			acpi_info.has_s5 = true;
			return;
		}
	}
}

static void fadt_parse(void)
{
	const struct acpi_header *t = acpi_find_table("FACP");
	struct acpi_info *a = &acpi_info;

	if (!t || t->length < 116)
		return;
	u32 flags = read_u32(t, 112);
	bool reduced = (flags >> 20 & 1) != 0;
	u64 dsdt = t->length >= 148 ? read_u64(t, 140) : 0;

	dsdt_parse(dsdt ? dsdt : read_u32(t, 40));
	if (!reduced) {
		a->pm1a_control = (u16)read_u32(t, 64);
		a->pm1b_control = (u16)read_u32(t, 68);
		a->pm_timer_port = (u16)read_u32(t, 76);
		a->pm_timer_32bit = (flags >> 8 & 1) != 0;
	}
	if (flags >> 10 & 1 && t->length >= 129) {
		a->reset = register_at(t, 116);
		a->reset_value = ((const u8 *)t)[128];
		a->has_reset = true;
	}
	if (reduced && t->length >= 256)
		a->sleep_control = register_at(t, 244);
}

static void hpet_parse(void)
{
	const struct acpi_header *t = acpi_find_table("HPET");

	/* IA-PC HPET specification, 3.2.4: a memory address. */
	if (t && t->length >= 56 && ((const u8 *)t)[40] == 0)
		acpi_info.hpet_address = read_u64(t, 44);
}

/* ---- SRAT 5.2.16, SLIT 5.2.17 ---- */

/* Dense number of a proximity domain; 0 when there are too many. */
static u8 node_of_domain(u32 domain)
{
	struct acpi_info *a = &acpi_info;

	for (unsigned i = 0; i < a->nr_nodes; i++)
		if (a->domains[i] == domain)
			return (u8)i;
	if (a->nr_nodes == ACPI_MAX_NODES)
		return 0;
	a->domains[a->nr_nodes] = domain;
	return (u8)a->nr_nodes++;
}

static void srat_cpu(u32 apic_id, u32 domain)
{
	struct acpi_info *a = &acpi_info;

	for (unsigned i = 0; i < a->nr_cpus; i++)
		if (a->apic_ids[i] == apic_id)
			a->cpu_node[i] = node_of_domain(domain);
}

static void srat_entry(const u8 *e, u8 type, u8 len)
{
	struct acpi_info *a = &acpi_info;

	if (type == 0 && len >= 16 && read_u32(e, 4) & 1) {
		u32 domain = e[2] | (u32)e[9] << 8 | (u32)e[10] << 16 | (u32)e[11] << 24;

		srat_cpu(e[3], domain);
	} else if (type == 2 && len >= 24 && read_u32(e, 12) & 1) {
		srat_cpu(read_u32(e, 8), read_u32(e, 4));
	} else if (type == 1 && len >= 40 && read_u32(e, 28) & 1) {
		u64 start = read_u64(e, 8), size = read_u64(e, 16);

		if (!size || start + size < start || a->nr_memory == ACPI_MAX_MEMORY)
			return;
		a->memory[a->nr_memory].start = start;
		a->memory[a->nr_memory].end = start + size;
		a->memory[a->nr_memory++].node = node_of_domain(read_u32(e, 2));
	}
}

static void srat_parse(void)
{
	const struct acpi_header *t = acpi_find_table("SRAT");

	for (size_t at = 48; t && at + 2 <= t->length;) {
		const u8 *e = (const u8 *)t + at;

		if (e[1] < 2 || at + e[1] > t->length)
			break;
		srat_entry(e, e[0], e[1]);
		at += e[1];
	}
	if (!acpi_info.nr_nodes)
		acpi_info.nr_nodes = 1;
}

static void slit_parse(void)
{
	const struct acpi_header *t = acpi_find_table("SLIT");
	struct acpi_info *a = &acpi_info;
	u64 n = t && t->length >= 44 ? read_u64(t, 36) : 0;

	if (n > 256 || (t && 44 + n * n > t->length))
		n = 0;
	for (unsigned i = 0; i < a->nr_nodes; i++) {
		for (unsigned j = 0; j < a->nr_nodes; j++) {
			u32 from = a->domains[i], to = a->domains[j];

			a->distance[i][j] = i == j ? 10 : 20;
			if (from < n && to < n)
				a->distance[i][j] = ((const u8 *)t)[44 + from * n + to];
		}
	}
}

bool acpi_init(phys_t rsdp)
{
	memset(&acpi_info, 0, sizeof(acpi_info));
	nr_tables = 0;
	acpi_info.nr_nodes = 0;
	if (!rsdp || !rsdp_is_valid(rsdp))
		rsdp = rsdp_search();
	if (rsdp)
		tables_collect(phys_to_virt(rsdp));
	madt_parse();
	fadt_parse();
	hpet_parse();
	srat_parse();
	slit_parse();
	return nr_tables != 0;
}
