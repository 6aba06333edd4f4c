/* ASSERT is for debug kernels, VERIFY is always on; neither is ever tripped by user input. */
#pragma once

#include <nos/types.h>

void panic(const char *format, ...) __printf(1, 2) __noreturn __cold;

#define VERIFY(cond)                                                                               \
	do {                                                                                       \
		if (unlikely(!(cond)))                                                             \
			panic("%s:%d: VERIFY(%s)", __FILE__, __LINE__, #cond);                     \
	} while (0)
#ifdef DEBUG
#define ASSERT(cond)                                                                               \
	do {                                                                                       \
		if (unlikely(!(cond)))                                                             \
			panic("%s:%d: ASSERT(%s)", __FILE__, __LINE__, #cond);                     \
	} while (0)
#else
#define ASSERT(cond) ((void)sizeof(cond))
#endif
