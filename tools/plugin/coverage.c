/*
 * Which instructions of the kernel were executed.
 *
 * A block of instructions counts as a whole once it was entered: where one of
 * them faults, those behind it are taken as executed too, as they are when it
 * is tried again.  Any number of CPUs: the flags only ever grow from zero.
 *
 * Arguments: out=FOLDER, kernel=PATH (put down in the output).  At the end of
 * the machine FOLDER/PID is written:
 *	kernel PATH
 *	START END                          (hexadecimal, by address)
 */
#include "common.h"

#include <stdlib.h>
#include <unistd.h>

/* The kernel's image lies in the last 2 GiB; so much of it is looked at. */
#define IMAGE_BASE 0xffffffff80000000ul
#define IMAGE_BYTES (64ul << 20)

struct block {
	struct block *next;
	uint64_t entered;
	uint32_t start, end; /* offsets in the image */
};

static struct block *blocks;
static const char *folder, *kernel;

static void at_translation(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
	size_t count = qemu_plugin_tb_n_insns(tb);
	uint64_t start = qemu_plugin_tb_vaddr(tb) - IMAGE_BASE;
	struct qemu_plugin_insn *last = qemu_plugin_tb_get_insn(tb, count - 1);
	uint64_t end = qemu_plugin_insn_vaddr(last) + qemu_plugin_insn_size(last) - IMAGE_BASE;

	(void)id;
	if (start >= IMAGE_BYTES || end > IMAGE_BYTES)
		return;
	struct block *b = allocate(sizeof(*b));

	b->start = (uint32_t)start;
	b->end = (uint32_t)end;
	/* Translation is serialised only per CPU. */
	b->next = __atomic_load_n(&blocks, __ATOMIC_RELAXED);
	while (!__atomic_compare_exchange_n(&blocks, &b->next, b, true, __ATOMIC_RELEASE,
					    __ATOMIC_RELAXED))
		;
	qemu_plugin_register_vcpu_tb_exec_inline(tb, QEMU_PLUGIN_INLINE_ADD_U64, &b->entered, 1);
}

static void write_ranges(FILE *file, const uint8_t *executed)
{
	uint64_t at = 0;

	while (at < IMAGE_BYTES) {
		uint64_t start = at;

		while (at < IMAGE_BYTES && executed[at])
			at++;
		if (at > start)
			fprintf(file, "%lx %lx\n", IMAGE_BASE + start, IMAGE_BASE + at);
		at++;
	}
}

static void at_exit(qemu_plugin_id_t id, void *data)
{
	uint8_t *executed = allocate(IMAGE_BYTES);
	char path[4096];

	(void)id;
	(void)data;
	for (const struct block *b = blocks; b; b = b->next) {
		for (uint32_t at = b->start; b->entered && at < b->end; at++)
			executed[at] = 1;
	}
	snprintf(path, sizeof(path), "%s/%d", folder, getpid());
	FILE *file = open_output(path);

	fprintf(file, "kernel %s\n", kernel);
	write_ranges(file, executed);
	fclose(file);
	free(executed);
}

QEMU_PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const struct qemu_info *info,
					   int argc, char **argv)
{
	folder = argument(argc, argv, "out", NULL);
	kernel = argument(argc, argv, "kernel", "");
	if (!info->system_emulation || !folder)
		return -1;
	qemu_plugin_register_vcpu_tb_trans_cb(id, at_translation);
	qemu_plugin_register_atexit_cb(id, at_exit, NULL);
	return 0;
}
