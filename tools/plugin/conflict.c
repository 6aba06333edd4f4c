/*
 * Cache lines of the kernel that one processor wrote and another touched while
 * each executed operations that commute: what keeps them from scaling.
 *
 * A processor's accesses count between its own start and stop marks, whatever
 * runs on it.  User memory does not count.  Both processors run in turn on one
 * thread of the emulator, so nothing here needs a lock; that they do not run
 * at the same moment does not matter, for a line is shared or it is not.
 *
 * Arguments: out=FILE, least=N (writes of one processor, and accesses of the
 * other, in a hundred of its operations that make a line count: what an
 * occasional timer tick does should not), ignore=ADDRESS (the entry of an
 * interrupt that does not count).  The output:
 *	pair NUMBER OPERATIONS-OF-CPU-0 OPERATIONS-OF-CPU-1
 *	line ADDRESS READS0 WRITES0 READS1 WRITES1 BYTES0 WRITTEN0 BYTES1 WRITTEN1
 *	at CPU INSTRUCTION COUNT IS-STORE       (the first places that touched it)
 * where BYTES are masks of the line's bytes.
 */
#include "common.h"

#include <stdlib.h>
#include <string.h>

enum { LINE_BITS = 6, LINE_BYTES = 1 << LINE_BITS, NR_CPUS = 2, MAX_PLACES = 6 };

struct place {
	uint64_t instruction;
	unsigned count;
	bool is_store;
};

struct use {
	uint64_t reads, writes;
	uint64_t touched, written; /* masks of bytes */
	struct place places[MAX_PLACES];
};

struct line {
	uint64_t address;
	bool is_io;
	struct use by[NR_CPUS];
};

static struct table by_address; /* line number -> 1 + index in lines */
static struct line *lines;
static size_t nr_lines, max_lines;
static bool recording[NR_CPUS], in_interrupt[NR_CPUS];
static uint64_t ignored; /* entry of the timer's interrupt, up to its iret */
static uint64_t operations[NR_CPUS];
static unsigned pair, least;
static FILE *output;

static struct line *line_at(uint64_t number, qemu_plugin_meminfo_t info)
{
	uint64_t *index = table_add(&by_address, number);

	if (!*index) {
		if (nr_lines == max_lines) {
			max_lines = max_lines ? 2 * max_lines : 4096;
			lines = reallocate(lines, max_lines * sizeof(*lines));
		}
		struct qemu_plugin_hwaddr *where =
			qemu_plugin_get_hwaddr(info, number << LINE_BITS);

		lines[nr_lines] = (struct line){
			.address = number << LINE_BITS,
			.is_io = where && qemu_plugin_hwaddr_is_io(where),
		};
		*index = ++nr_lines;
	}
	return &lines[*index - 1];
}

static void note_place(struct use *use, uint64_t instruction, bool is_store)
{
	for (unsigned i = 0; i < MAX_PLACES; i++) {
		struct place *place = &use->places[i];

		if (!place->count)
			*place = (struct place){ .instruction = instruction, .is_store = is_store };
		if (place->instruction == instruction) {
			place->count++;
			place->is_store |= is_store;
			return;
		}
	}
}

static void at_access(unsigned int vcpu, qemu_plugin_meminfo_t info, uint64_t vaddr, void *data)
{
	if (vcpu >= NR_CPUS || !recording[vcpu] || in_interrupt[vcpu] || !is_kernel(vaddr))
		return;
	bool is_store = qemu_plugin_mem_is_store(info);
	uint64_t end = vaddr + (1u << qemu_plugin_mem_size_shift(info));

	while (vaddr < end) {
		struct use *use = &line_at(vaddr >> LINE_BITS, info)->by[vcpu];
		uint64_t from = vaddr % LINE_BYTES;
		uint64_t until = (vaddr >> LINE_BITS) == (end - 1) >> LINE_BITS ?
					 (end - 1) % LINE_BYTES + 1 :
					 LINE_BYTES;
		uint64_t mask = ~0ul >> (LINE_BYTES - (until - from)) << from;

		use->touched |= mask;
		use->written |= is_store ? mask : 0;
		use->reads += !is_store;
		use->writes += is_store;
		note_place(use, (uint64_t)data, is_store);
		vaddr += until - from;
	}
}

static bool is_often(uint64_t count, unsigned cpu)
{
	return count && count * 100 >= least * operations[cpu];
}

/* Does one side write it, and the other touch it? */
static bool is_shared(const struct line *line)
{
	for (unsigned cpu = 0; cpu < NR_CPUS; cpu++) {
		const struct use *other = &line->by[!cpu];

		if (is_often(line->by[cpu].writes, cpu) &&
		    is_often(other->reads + other->writes, !cpu))
			return !line->is_io;
	}
	return false;
}

static void write_line(const struct line *line)
{
	fprintf(output, "line %lx", line->address);
	for (unsigned cpu = 0; cpu < NR_CPUS; cpu++)
		fprintf(output, " %lu %lu", line->by[cpu].reads, line->by[cpu].writes);
	for (unsigned cpu = 0; cpu < NR_CPUS; cpu++)
		fprintf(output, " %lx %lx", line->by[cpu].touched, line->by[cpu].written);
	fprintf(output, "\n");
	for (unsigned cpu = 0; cpu < NR_CPUS; cpu++) {
		for (unsigned i = 0; i < MAX_PLACES; i++) {
			const struct place *place = &line->by[cpu].places[i];

			if (place->count)
				fprintf(output, "at %u %lx %u %u\n", cpu, place->instruction,
					place->count, place->is_store);
		}
	}
}

static void write_pair(void)
{
	if (operations[0] && operations[1])
		fprintf(output, "pair %u %lu %lu\n", pair, operations[0], operations[1]);
	for (size_t i = 0; i < nr_lines; i++) {
		if (operations[0] && operations[1] && is_shared(&lines[i]))
			write_line(&lines[i]);
	}
	fflush(output);
	nr_lines = 0;
	memset(by_address.keys, 0, by_address.size * sizeof(*by_address.keys));
	memset(by_address.values, 0, by_address.size * sizeof(*by_address.values));
	by_address.count = 0;
	memset(operations, 0, sizeof(operations));
}

static void at_mark(unsigned int vcpu, void *data)
{
	if (vcpu >= NR_CPUS)
		return;
	switch ((enum mark)(uintptr_t)data) {
	case MARK_START:
		recording[vcpu] = true;
		break;
	case MARK_STOP:
		recording[vcpu] = false;
		break;
	case MARK_OPERATION:
		operations[vcpu]++;
		break;
	case MARK_NEXT:
		write_pair();
		pair++;
		break;
	default:
		break;
	}
}

static void at_interrupt(unsigned int vcpu, void *data)
{
	if (vcpu < NR_CPUS)
		in_interrupt[vcpu] = data != NULL;
}

static void at_translation(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
	bool in_kernel = is_kernel(qemu_plugin_tb_vaddr(tb));

	(void)id;
	for (size_t i = 0; i < qemu_plugin_tb_n_insns(tb); i++) {
		struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
		struct decoded d = decode(insn);

		if (d.mark)
			qemu_plugin_register_vcpu_insn_exec_cb(
				insn, at_mark, QEMU_PLUGIN_CB_NO_REGS, (void *)(uintptr_t)d.mark);
		if (ignored && (qemu_plugin_insn_vaddr(insn) == ignored || d.kind == KIND_IRET))
			qemu_plugin_register_vcpu_insn_exec_cb(
				insn, at_interrupt, QEMU_PLUGIN_CB_NO_REGS,
				d.kind == KIND_IRET ? NULL : &ignored);
		if (in_kernel)
			qemu_plugin_register_vcpu_mem_cb(insn, at_access, QEMU_PLUGIN_CB_NO_REGS,
							 QEMU_PLUGIN_MEM_RW,
							 (void *)qemu_plugin_insn_vaddr(insn));
	}
}

QEMU_PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const struct qemu_info *info,
					   int argc, char **argv)
{
	if (!info->system_emulation || info->system.max_vcpus != NR_CPUS)
		return -1;
	output = open_output(argument(argc, argv, "out", NULL));
	least = (unsigned)atoi(argument(argc, argv, "least", "1"));
	ignored = strtoul(argument(argc, argv, "ignore", "0"), NULL, 16);
	table_add(&by_address, 1);
	write_pair();
	qemu_plugin_register_vcpu_tb_trans_cb(id, at_translation);
	return 0;
}
