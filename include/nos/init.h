/* Boot steps, registered where they belong; init/main.c runs them by level, then by link order. */
#pragma once

#include <nos/types.h>

enum init_level {
	INIT_CORE, /* slab works; no other CPU yet */
	INIT_SUBSYSTEM, /* vfs, ipc, net cores; threads run, all CPUs are up */
	INIT_FS, /* file-system types, pseudo files */
	INIT_DRIVER, /* buses, then devices */
	INIT_LATE, /* before the first user process */
	NR_INIT_LEVELS,
};

struct init_step {
	enum init_level level;
	const char *name;
	int (*run)(void); /* an error is logged, and the boot goes on */
};

#define INIT_STEP(lvl, fn)                                                                         \
	static const struct init_step init_step_##fn __section("init_steps")                       \
		__aligned(8) = { .level = (lvl), .name = #fn, .run = (fn) }
