/* Memory for the tests of tables: on the host all the physical memory there is (acpi_test.c). */
#pragma once

#include <nos/types.h>

#define ARENA_SIZE 8192
extern u8 arena[ARENA_SIZE];

/* Only on the host: what the BIOS leaves below 1 MiB. */
#define BIOS_AREA 0xe0000ul
#define BIOS_AREA_SIZE 0x20000ul
extern u8 bios_area[BIOS_AREA_SIZE];
