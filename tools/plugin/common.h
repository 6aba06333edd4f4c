/*
 * What the plugins share: their arguments, the marks that a benchmark leaves
 * in its instruction stream, the kinds of instructions that matter here, and
 * growing tables.
 *
 * A mark is a no-op, `nopl 0x534f4eKK(%rax)`, KK being the mark (see
 * bench/bench.h).  It costs one instruction and is seen when the block that
 * holds it is translated; it stands where nothing is timed.
 */
#ifndef COMMON_H
#define COMMON_H

#include "qemu_plugin.h"

#include <stdio.h>

enum { MAX_CPUS = 16 };

enum mark {
	MARK_NONE,
	MARK_START, /* what follows is counted; what the batch counted so far is dropped */
	MARK_STOP, /* what follows is not */
	MARK_OPERATION, /* the batch did one */
	MARK_COMMIT, /* the batch counts */
	MARK_WARM, /* all batches so far only warmed up */
	MARK_EMPTY, /* the batch was the empty loop */
	MARK_NEXT, /* the next benchmark begins */
};

/* How an instruction leaves its block, or what else is special about it. */
enum kind {
	KIND_PLAIN,
	KIND_JUMP,
	KIND_CALL,
	KIND_RET,
	KIND_IRET, /* iret, sysret, sysexit */
	KIND_SYSCALL,
	KIND_CR3, /* mov to cr3 */
	KIND_INVLPG, /* invlpg, invpcid */
	KIND_CLI,
	KIND_STI,
	KIND_POPF,
	KIND_HLT,
	KIND_PORT, /* in, out */
};

/* What the bytes of an instruction say. */
struct decoded {
	enum kind kind;
	enum mark mark;
	bool locked; /* a lock prefix, or xchg with memory */
	bool wrmsr;
	bool serialising; /* mfence, cpuid */
};

struct decoded decode(const struct qemu_plugin_insn *insn);

/* The value of NAME=value among a plugin's arguments, or the other. */
const char *argument(int argc, char **argv, const char *name, const char *otherwise);

/* Kernel addresses are those of the upper half. */
static inline bool is_kernel(uint64_t vaddr)
{
	return vaddr >> 63;
}

/* Allocation that does not fail. */
void *allocate(size_t bytes);
void *reallocate(void *old, size_t bytes);
/* Opens the file to write the result to, or ends the machine. */
FILE *open_output(const char *path);

/* The functions of kernel and programs: ranges that do not overlap, by address. */
struct function {
	uint64_t start, end;
};
struct functions {
	struct function *all;
	size_t count;
};
/* Reads lines of "start end" (hexadecimal), in order of addresses. */
struct functions functions_read(const char *path);
/* Its number, or -1. */
int function_at(const struct functions *functions, uint64_t vaddr);

/* A hash table of u64 by non-zero u64. */
struct table {
	uint64_t *keys, *values;
	size_t count, size;
};
/* NULL if it is not there. */
uint64_t *table_find(const struct table *table, uint64_t key);
/* Its place, 0 if it is new; valid until the next one is added. */
uint64_t *table_add(struct table *table, uint64_t key);

#endif
