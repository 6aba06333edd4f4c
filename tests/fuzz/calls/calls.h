/*
 * Random system calls whose results are compared between kernels.
 *
 * A program is a seed, a length and, when it was made smaller, the list of the
 * calls that are left.  Call i of a program depends on (seed, i) only: its
 * arguments are drawn by the kinds and names of linux/syscalls.def, so that a
 * call that is left out changes none of the others.  Each program runs in a
 * child with a small tree, descriptors and memory of its own, and leaves one
 * line for each call: name, arguments, result, a digest of what was written to
 * memory, signals.  What must differ between two kernels (times, numbers of
 * processes and inodes, addresses) is told by class, or left out.
 */
#ifndef FUZZ_CALLS_H
#define FUZZ_CALLS_H

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof(*(a)))

/* What an argument is, as linux/syscalls.def says. */
enum kind {
	KIND_none,
	KIND_fd,
	KIND_user_out,
	KIND_user_in,
	KIND_user_inout,
	KIND_user_string,
	KIND_user_path,
	KIND_int,
	KIND_uint,
	KIND_long,
	KIND_ulong,
	KIND_size,
	KIND_offset,
	KIND_flags,
	KIND_mode,
	KIND_pid,
	KIND_uid,
	KIND_signal,
	KIND_address,
	KIND_clock,
};

struct argument {
	enum kind kind;
	const char *name;
};

struct call {
	int nr;
	const char *name;
	struct argument args[6];
};

extern const struct call all_calls[];
extern const unsigned nr_all_calls;

/* One drawn call. */
struct drawn {
	const struct call *call;
	int index;
	uint64_t value[6];
	char text[6][80]; /* how each argument is told */
};

/* ---- the world of a program ---- */

#define ARENA                                                                                      \
	0x10000000ul /* six slots, one for each argument, and two more for what they point to */
#define SLOT_SIZE 4096ul
#define NR_SLOTS 8
#define PLAYGROUND 0x20000000ul /* for mmap and its like */
#define PLAYGROUND_SIZE 0x40000ul
#define READ_ONLY 0x18000000ul /* a page */
#define UNMAPPED 0x19000000ul
#define WAKE_SIGNAL 64 /* ends calls that block; no program touches it */
#define MAX_CHILDREN 4

extern pid_t children[MAX_CHILDREN];
extern int nr_children;

void handle_signal(int signo);

/* draw.c */
extern uint64_t random_state;
uint64_t random_bits(void);
uint64_t random_below(uint64_t n);
/* Fills the arena and draws call `index` of the program. */
void call_draw(struct drawn *d, uint64_t seed, int index);

/* build.c: what pointers point to. */
void build_input(struct drawn *d, int arg, uint64_t at);
void build_lock(uint64_t at);

/* values.c: values that mean something to an argument; false: none is known. */
bool draw_known_value(const struct call *c, int arg, uint64_t *value);
bool call_is_left_out(const struct call *c);

/* show.c */
/* The line of a call that was made. */
void show_call(char *line, size_t size, struct drawn *d, long result, const uint64_t *before);

#endif
