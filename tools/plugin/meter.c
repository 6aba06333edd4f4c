/*
 * Meter M2: what a benchmark's operations do to a processor's caches, in a
 * model, and which costly instructions they execute.
 *
 * The model.  L1D: 32 KiB, 8 ways of 64-byte lines, by physical address.
 * Data TLB: 64 entries of 4 ways, behind it 1,536 of 12 ways, as of Intel's
 * cores since 2015.  Replacement is least recently used; there is no prefetch
 * and no speculation.  A page counts as 2 MiB if its low 21 bits are the same
 * in both addresses.  A load of CR3 drops translations of the lower half (the
 * kernel's are global); INVLPG's operand cannot be seen, so a translation that
 * turns out to be another one than remembered counts as dropped.
 *
 * One CPU.  Arguments: out=FILE.  The output, per operation that was marked:
 *	benchmark NUMBER OPERATIONS
 *	count NAME TOTAL
 */
#include "common.h"

#include <stdlib.h>
#include <string.h>

enum {
	LINE_BITS = 6,
	PAGE_BITS = 12,
	LARGE_BITS = 21,
};

enum event {
	USER_INSTRUCTIONS,
	KERNEL_INSTRUCTIONS,
	USER_L1D_MISSES,
	KERNEL_L1D_MISSES,
	USER_TLB_MISSES, /* those that the second level had */
	KERNEL_TLB_MISSES,
	USER_WALKS, /* those that it had not */
	KERNEL_WALKS,
	CR3_LOADS,
	INVLPG,
	USER_LOCKED,
	KERNEL_LOCKED,
	WRMSR,
	PORT_IO,
	SERIALISING,
	ENTRIES, /* to the kernel, of any kind */
	NR_EVENTS
};

static const char *const names[NR_EVENTS] = {
	[USER_INSTRUCTIONS] = "user-instructions",
	[KERNEL_INSTRUCTIONS] = "kernel-instructions",
	[USER_L1D_MISSES] = "user-l1d-misses",
	[KERNEL_L1D_MISSES] = "kernel-l1d-misses",
	[USER_TLB_MISSES] = "user-tlb-misses",
	[KERNEL_TLB_MISSES] = "kernel-tlb-misses",
	[USER_WALKS] = "user-page-walks",
	[KERNEL_WALKS] = "kernel-page-walks",
	[CR3_LOADS] = "cr3-loads",
	[INVLPG] = "invlpg",
	[USER_LOCKED] = "user-locked",
	[KERNEL_LOCKED] = "kernel-locked",
	[WRMSR] = "wrmsr",
	[PORT_IO] = "port-io",
	[SERIALISING] = "serialising",
	[ENTRIES] = "kernel-entries",
};

/* A set-associative cache; a set is ordered by use, the last used first. */
struct entry {
	uint64_t key; /* 0: none */
	uint64_t value;
};
struct cache {
	unsigned sets, ways;
	struct entry *entries;
};

static struct cache l1d = { .sets = 64, .ways = 8 };
static struct cache tlb = { .sets = 16, .ways = 4 }, tlb2 = { .sets = 128, .ways = 12 };

static uint64_t counts[NR_EVENTS], at_start[NR_EVENTS];
static uint64_t batch[NR_EVENTS], totals[NR_EVENTS];
static uint64_t batch_operations, operations;
static unsigned benchmark;
static bool is_on; /* a mark was seen: the caches are followed */
static bool was_kernel;
static FILE *output;

/* Looks a key up and makes it the last used; false if it was not there, or with another value. */
static bool cache_access(struct cache *cache, uint64_t index, uint64_t key, uint64_t value)
{
	struct entry *set = cache->entries + (index & (cache->sets - 1)) * cache->ways;
	unsigned at = 0;

	while (at < cache->ways - 1 && set[at].key != key)
		at++;
	bool hit = set[at].key == key && set[at].value == value;

	memmove(set + 1, set, at * sizeof(*set));
	set[0] = (struct entry){ key, value };
	return hit;
}

/* Forgets what is mapped below the kernel. */
static void tlb_flush_user(struct cache *cache)
{
	for (unsigned i = 0; i < cache->sets * cache->ways; i++) {
		if (cache->entries[i].key && !(cache->entries[i].key >> 63))
			cache->entries[i].key = 0;
	}
}

static void translate(uint64_t vaddr, uint64_t phys, bool in_kernel)
{
	uint64_t differing = (vaddr ^ phys) & ((1ul << LARGE_BITS) - 1);
	unsigned bits = differing ? PAGE_BITS : LARGE_BITS;
	uint64_t page = vaddr >> bits, key = page << bits | bits, frame = phys >> bits;

	/* The second level ages by what misses the first. */
	if (cache_access(&tlb, page, key, frame))
		return;
	if (cache_access(&tlb2, page, key, frame))
		counts[in_kernel ? KERNEL_TLB_MISSES : USER_TLB_MISSES]++;
	else
		counts[in_kernel ? KERNEL_WALKS : USER_WALKS]++;
}

static void at_access(unsigned int vcpu, qemu_plugin_meminfo_t info, uint64_t vaddr, void *data)
{
	bool in_kernel = data != NULL;

	(void)vcpu;
	if (!is_on)
		return;
	struct qemu_plugin_hwaddr *where = qemu_plugin_get_hwaddr(info, vaddr);
	if (!where || qemu_plugin_hwaddr_is_io(where))
		return;
	uint64_t phys = qemu_plugin_hwaddr_phys_addr(where);
	uint64_t last = phys + (1u << qemu_plugin_mem_size_shift(info)) - 1;

	translate(vaddr, phys, in_kernel);
	for (uint64_t line = phys >> LINE_BITS; line <= last >> LINE_BITS; line++) {
		if (!cache_access(&l1d, line, line + 1, 0))
			counts[in_kernel ? KERNEL_L1D_MISSES : USER_L1D_MISSES]++;
	}
}

static void at_cr3_load(unsigned int vcpu, void *data)
{
	(void)vcpu;
	(void)data;
	counts[CR3_LOADS]++;
	tlb_flush_user(&tlb);
	tlb_flush_user(&tlb2);
}

static void at_block(unsigned int vcpu, void *data)
{
	bool in_kernel = data != NULL;

	(void)vcpu;
	counts[ENTRIES] += in_kernel && !was_kernel;
	was_kernel = in_kernel;
}

static void write_benchmark(void)
{
	if (operations) {
		fprintf(output, "benchmark %u %lu\n", benchmark, operations);
		for (unsigned i = 0; i < NR_EVENTS; i++)
			fprintf(output, "count %s %lu\n", names[i], totals[i]);
		fflush(output);
	}
}

static void at_mark(unsigned int vcpu, void *data)
{
	enum mark mark = (enum mark)(uintptr_t)data;

	(void)vcpu;
	is_on = true;
	switch (mark) {
	case MARK_START:
		memcpy(at_start, counts, sizeof(counts));
		memset(batch, 0, sizeof(batch));
		batch_operations = 0;
		break;
	case MARK_STOP:
		for (unsigned i = 0; i < NR_EVENTS; i++)
			batch[i] = counts[i] - at_start[i];
		break;
	case MARK_OPERATION:
		batch_operations++;
		break;
	case MARK_COMMIT:
		for (unsigned i = 0; i < NR_EVENTS; i++)
			totals[i] += batch[i];
		operations += batch_operations;
		break;
	case MARK_NEXT:
		write_benchmark();
		benchmark++;
		/* fall through */
	case MARK_WARM:
		memset(totals, 0, sizeof(totals));
		operations = 0;
		break;
	case MARK_EMPTY:
	case MARK_NONE:
		break;
	}
}

static void count(struct qemu_plugin_insn *insn, enum event event)
{
	qemu_plugin_register_vcpu_insn_exec_inline(insn, QEMU_PLUGIN_INLINE_ADD_U64, &counts[event],
						   1);
}

static void at_translation(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
	bool in_kernel = is_kernel(qemu_plugin_tb_vaddr(tb));
	void *mode = in_kernel ? &counts : NULL;

	(void)id;
	qemu_plugin_register_vcpu_tb_exec_cb(tb, at_block, QEMU_PLUGIN_CB_NO_REGS, mode);
	for (size_t i = 0; i < qemu_plugin_tb_n_insns(tb); i++) {
		struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
		struct decoded d = decode(insn);

		if (d.mark)
			qemu_plugin_register_vcpu_insn_exec_cb(
				insn, at_mark, QEMU_PLUGIN_CB_NO_REGS, (void *)(uintptr_t)d.mark);
		count(insn, in_kernel ? KERNEL_INSTRUCTIONS : USER_INSTRUCTIONS);
		if (d.kind == KIND_CR3)
			qemu_plugin_register_vcpu_insn_exec_cb(insn, at_cr3_load,
							       QEMU_PLUGIN_CB_NO_REGS, NULL);
		if (d.kind == KIND_INVLPG)
			count(insn, INVLPG);
		if (d.locked)
			count(insn, in_kernel ? KERNEL_LOCKED : USER_LOCKED);
		if (d.wrmsr)
			count(insn, WRMSR);
		if (d.kind == KIND_PORT)
			count(insn, PORT_IO);
		if (d.serialising)
			count(insn, SERIALISING);
		qemu_plugin_register_vcpu_mem_cb(insn, at_access, QEMU_PLUGIN_CB_NO_REGS,
						 QEMU_PLUGIN_MEM_RW, mode);
	}
}

static void at_exit(qemu_plugin_id_t id, void *data)
{
	(void)id;
	(void)data;
	write_benchmark();
}

QEMU_PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const struct qemu_info *info,
					   int argc, char **argv)
{
	struct cache *caches[] = { &l1d, &tlb, &tlb2 };

	if (!info->system_emulation || info->system.max_vcpus != 1)
		return -1;
	output = open_output(argument(argc, argv, "out", NULL));
	for (unsigned i = 0; i < sizeof(caches) / sizeof(*caches); i++)
		caches[i]->entries =
			allocate(caches[i]->sets * caches[i]->ways * sizeof(*caches[i]->entries));
	qemu_plugin_register_vcpu_tb_trans_cb(id, at_translation);
	qemu_plugin_register_atexit_cb(id, at_exit, NULL);
	return 0;
}
