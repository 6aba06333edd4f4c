/*
 * What debug kernels hold against leaks (mm/leak.c): figures of everything that
 * is in use, remembered and compared.  fs/proc shows them in /proc/nos/leaks.
 */
#pragma once

#include <nos/types.h>

/* Lets go what waits to be freed: grace periods, quarantine, idle slabs.  Sleeps. */
void leak_settle(void);
/* Remembers what is in use now. */
void leak_mark(void);
/* One line for each figure that is higher than at the mark, each object's call chain where it is
 * kept (details); the number of such figures.  show NULL: only counts. */
unsigned leak_find(void (*show)(void *arg, const char *line), void *arg);
