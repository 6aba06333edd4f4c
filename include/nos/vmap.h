/* Kernel virtual memory: stacks with guard pages, large buffers, device registers (mm/vmap.c). */
#pragma once

#include <nos/types.h>

/* Stacks: alloc sleeps; free from any context. */
void *kernel_stack_alloc(void); /* lowest address; guard page below; NULL */
void kernel_stack_free(void *stack);
void *vmalloc(size_t size, u32 flags); /* page granular, guard page after; NULL */
void vfree(void *p);
/* Contiguous if small, else vmalloc; free with kvfree. */
void *kvmalloc(size_t size, u32 flags);
void kvfree(void *p);
/* Device registers, uncached; never unmapped by ordinary drivers. */
volatile void *mmio_map(phys_t p, size_t size);
void vmap_stats_read(u64 *stack_pages, u64 *vmap_pages);
