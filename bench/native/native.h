/*
 * Between the benchmarks on the host, which see libc's headers, and platform.c,
 * which sees the kernel's.
 */
#pragma once

#include <stddef.h>

#define NATIVE_CPUS 8

/* The program will have so many threads at work. */
void native_start(unsigned nr_threads);
/* The calling thread is this CPU from now on. */
void native_thread_start(unsigned cpu);

void *native_page_alloc(void);
void native_page_free(void *p);
/* An object of 64 bytes from a cache of its own, that native_objects_start makes. */
void native_objects_start(void);
void *native_object_alloc(void);
void native_object_free(void *p);
/* Memory that the page allocator has handed out since the first call. */
size_t native_bytes_in_use(void);

void native_mutex_lock(void);
void native_mutex_unlock(void);

/* Frames by number, from 0; there are as many as native_frames_start is told. */
#define NATIVE_NO_FRAMES 0xffffffffu
void native_frames_start(unsigned nr_frames);
unsigned native_frames_alloc(unsigned order, int is_movable);
void native_frames_free(unsigned at, unsigned order);
