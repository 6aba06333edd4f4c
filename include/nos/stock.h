/*
 * Stocks: free things that a subsystem keeps for whoever asks next.  Each
 * registers how to give all of it back; that happens when caches are dropped
 * (/proc/sys/vm/drop_caches) and before debug kernels look for leaks.
 */
#pragma once

#include <nos/types.h>

struct stock {
	void (*drain)(void); /* may sleep */
};
#ifdef NOS_HOST
#define STOCK(fn) static __maybe_unused void (*const stock_##fn)(void) = (fn)
#else
#define STOCK(fn)                                                                                  \
	static const struct stock stock_##fn __section("stocks") __aligned(8) = { .drain = (fn) }
#endif
void stock_drain_all(void);
