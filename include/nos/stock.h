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
#define STOCK(fn)                                                                                  \
	static const struct stock stock_##fn __section("stocks") __aligned(8) = { .drain = (fn) }
void stock_drain_all(void);
