/* The MultiProcessor table: the input is the area that is searched, sums put right where told. */
/* needs: arch/x86_64/mp_table.c */
#include "fuzz.h"

#include <nos/arch.h>

#include "../../arch/x86_64/acpi.h"
#include "../../arch/x86_64/x86.h"

#define AREA 0xe0000ul
#define AREA_SIZE 0x20000ul

struct acpi_info acpi_info;
static u8 *memory; /* the area alone */

bool phys_is_direct_mapped(phys_t start, size_t len_bytes)
{
	return start >= AREA && len_bytes <= AREA_SIZE && start - AREA <= AREA_SIZE - len_bytes;
}

void *phys_to_virt(phys_t p)
{
	return memory + (p - AREA);
}

static void fix_sum(u8 *data, size_t len, size_t at)
{
	u8 sum = 0;

	data[at] = 0;
	for (size_t i = 0; i < len; i++)
		sum = (u8)(sum + data[i]);
	data[at] = (u8)-sum;
}

/* The table at the very end of the area, so that a read behind it shows. */
int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	if (size < 3 || size > 4096)
		return 0;
	size -= 2;
	u32 room = (u32)align_up(size, 16ul);
	u8 *table;
	u16 len;

	memory = calloc(1, AREA_SIZE);
	table = memory + AREA_SIZE - room;
	memcpy(table, data + 2, size);
	if (data[0] & 1) {
		u32 at = (u32)(AREA + AREA_SIZE - room);

		memcpy(memory, "_MP_", 4);
		memcpy(memory + 4, &at, sizeof(at));
		memory[8] = 1;
		fix_sum(memory, 16, 10);
	}
	memcpy(&len, table + 4, sizeof(len));
	if (data[0] & 2 && room >= 44 && len >= 44 && len <= room) {
		memcpy(table, "PCMP", 4);
		fix_sum(table, len, 7);
	}
	memset(&acpi_info, 0, sizeof(acpi_info));
	mp_table_read();
	VERIFY(acpi_info.nr_cpus <= MAX_CPUS && acpi_info.nr_ioapics <= 1);
	free(memory);
	return 0;
}
