/* Memory for the tests of tables: on the host all the physical memory there is (acpi_test.c). */
#pragma once

#include <nos/types.h>

#define ARENA_SIZE 8192
extern u8 arena[ARENA_SIZE];
