/* Memory for the tests of tables: on the host all the physical memory there is (acpi_test.c). */
#pragma once

#include <nos/types.h>

#define ARENA_SIZE 8192
extern u8 arena[ARENA_SIZE];

/* Only on the host: the first MiB, and what the BIOS leaves at its end. */
extern u8 low_memory[1 << 20];
#define BIOS_AREA 0xe0000ul
#define BIOS_AREA_SIZE 0x20000ul
#define bios_area (low_memory + BIOS_AREA)
