/*
 * Where the instructions of a benchmark go, by call stack.
 *
 * Each translated instruction adds one to a counter.  At the start of a block
 * what was added since the last one goes to the current node of the tree of
 * call stacks, so no instruction is lost or sampled; one that faults and runs
 * again is taken off once.
 *
 * The current node follows the control flow.  A call remembers the caller's
 * node by the address of the stack slot that holds the return address, and
 * the return from that slot goes back to it: threads need no telling apart,
 * for each has its own stack.  A jump to another function is a tail call.  An
 * entry from user mode is a child of the interrupted user node; a return to
 * user mode, or to an interrupted function, goes on at the function's last node.
 *
 * One CPU.  Arguments: out=FILE, functions=FILE (see functions_read).  The
 * output is lines of words:
 *	benchmark NUMBER OPERATIONS INSTRUCTIONS    then its nodes:
 *	node ID PARENT FUNCTION IS_KERNEL INSTRUCTIONS    (those with some below)
 *	empty INSTRUCTIONS OPERATIONS
 */
#include "common.h"

#include <stdlib.h>

enum { ROOT = -2, NO_FUNCTION = -1, MAX_DEPTH = 200 };

struct node {
	uint32_t parent;
	int function;
	unsigned depth;
	bool is_kernel;
	uint64_t batch; /* since the start mark */
	uint64_t total; /* of batches that count */
};

struct block {
	uint64_t vaddr, end;
	int function;
	unsigned count;
	enum kind kind; /* of the last instruction */
};

static struct functions functions;
static FILE *output;

static struct node *nodes; /* 0 and 1: user and kernel roots */
static uint32_t nr_nodes, max_nodes;
static struct table children; /* (parent, function) -> node */
static struct table slots; /* stack slot -> node of the caller */
static uint32_t *last_of; /* function -> its node that ran last */

static uint64_t counter, counted;
static uint64_t slot; /* stack slot of the block's call or return; 0: none yet */
static const struct block *previous;
static uint32_t current;

static bool recording;
static unsigned benchmark;
static uint64_t batch_operations, operations;
static uint64_t empty_instructions, empty_operations;

static uint32_t node_create(uint32_t parent, int function, bool is_kernel)
{
	if (nr_nodes == max_nodes) {
		max_nodes = max_nodes ? 2 * max_nodes : 1024;
		nodes = reallocate(nodes, max_nodes * sizeof(*nodes));
	}
	nodes[nr_nodes] = (struct node){ .parent = parent,
					 .function = function,
					 .is_kernel = is_kernel,
					 .depth = nr_nodes ? nodes[parent].depth + 1 : 0 };
	return nr_nodes++;
}

static bool fits(uint32_t node, const struct block *b)
{
	return nodes[node].function == b->function && nodes[node].is_kernel == is_kernel(b->vaddr);
}

static uint32_t child_of(uint32_t parent, const struct block *b)
{
	/* What has no names is one box. */
	if (b->function == NO_FUNCTION && fits(parent, b))
		return parent;
	if (nodes[parent].depth >= MAX_DEPTH)
		parent = is_kernel(b->vaddr);
	uint64_t key = ((uint64_t)parent + 1) << 32 | (uint32_t)(b->function + 1) << 1 |
		       is_kernel(b->vaddr);
	uint64_t *child = table_add(&children, key);

	if (!*child)
		*child = node_create(parent, b->function, is_kernel(b->vaddr));
	return (uint32_t)*child;
}

/* Where a function goes on that was left without a return address. */
static uint32_t resume(const struct block *b)
{
	uint32_t node = last_of[b->function + 1];

	return node && fits(node, b) ? node : child_of(is_kernel(b->vaddr), b);
}

static uint32_t return_to(const struct block *b)
{
	uint64_t *caller = table_find(&slots, slot);

	if (caller && fits((uint32_t)*caller, b))
		return (uint32_t)*caller;
	return fits(current, b) ? current : child_of(is_kernel(b->vaddr), b);
}

/* The node of b, which follows block `from`. */
static uint32_t follow(const struct block *from, const struct block *b, bool interrupted)
{
	bool to_kernel = is_kernel(b->vaddr);

	/* A repeated string instruction leaves its block at each turn. */
	interrupted &= b->function != from->function;
	if (!to_kernel && nodes[current].is_kernel)
		return resume(b);
	if (to_kernel != nodes[current].is_kernel)
		return child_of(current, b);
	if (interrupted)
		return child_of(current, b);
	switch (from->kind) {
	case KIND_CALL:
		if (slot)
			*table_add(&slots, slot) = current;
		return child_of(current, b);
	case KIND_RET:
		return return_to(b);
	case KIND_IRET:
		return resume(b);
	default:
		return fits(current, b) ? current : child_of(nodes[current].parent, b);
	}
}

static void at_block(unsigned int vcpu, void *data)
{
	const struct block *b = data;
	uint64_t executed = counter - counted;

	(void)vcpu;
	counted = counter;
	if (previous) {
		/* Cut short, or neither branched nor went on behind its end. */
		bool interrupted = executed < previous->count ||
				   (previous->kind == KIND_PLAIN && b->vaddr != previous->end &&
				    b->vaddr != previous->vaddr);
		if (recording)
			nodes[current].batch += executed - (interrupted && executed);
		current = follow(previous, b, interrupted);
	} else {
		current = child_of(is_kernel(b->vaddr), b);
	}
	last_of[b->function + 1] = current;
	previous = b;
	slot = 0;
}

/* Accesses of helpers after the block's last instruction may get here too: the first counts. */
static void at_stack_access(unsigned int vcpu, qemu_plugin_meminfo_t info, uint64_t vaddr,
			    void *data)
{
	bool is_call = data != NULL;

	(void)vcpu;
	if (!slot && qemu_plugin_mem_is_store(info) == is_call)
		slot = vaddr;
}

static void batch_clear(void)
{
	for (uint32_t i = 0; i < nr_nodes; i++)
		nodes[i].batch = 0;
	batch_operations = 0;
}

static void all_clear(void)
{
	for (uint32_t i = 0; i < nr_nodes; i++)
		nodes[i].total = 0;
	batch_clear();
	operations = 0;
}

static void batch_commit(void)
{
	for (uint32_t i = 0; i < nr_nodes; i++)
		nodes[i].total += nodes[i].batch;
	operations += batch_operations;
	batch_clear();
}

static uint64_t batch_sum(void)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < nr_nodes; i++)
		sum += nodes[i].batch;
	return sum;
}

static void write_benchmark(void)
{
	uint64_t *below = allocate(nr_nodes * sizeof(*below));

	for (uint32_t i = nr_nodes; i-- > 0;) {
		below[i] += nodes[i].total;
		if (i > 1)
			below[nodes[i].parent] += below[i];
	}
	if (operations)
		fprintf(output, "benchmark %u %lu %lu\n", benchmark, operations,
			below[0] + below[1]);
	for (uint32_t i = 0; operations && i < nr_nodes; i++) {
		if (below[i])
			fprintf(output, "node %u %u %d %d %lu\n", i, nodes[i].parent,
				nodes[i].function, nodes[i].is_kernel, nodes[i].total);
	}
	free(below);
	if (empty_operations)
		fprintf(output, "empty %lu %lu\n", empty_instructions, empty_operations);
	empty_operations = 0;
	fflush(output);
}

/* The instructions of the block up to the mark are counted before it acts. */
static void at_mark(unsigned int vcpu, void *data)
{
	enum mark mark = (enum mark)(uintptr_t)data;

	(void)vcpu;
	if (recording)
		nodes[current].batch += counter - counted;
	counted = counter;
	switch (mark) {
	case MARK_START:
		batch_clear();
		recording = true;
		break;
	case MARK_STOP:
		recording = false;
		break;
	case MARK_OPERATION:
		batch_operations++;
		break;
	case MARK_COMMIT:
		batch_commit();
		break;
	case MARK_EMPTY:
		empty_instructions = batch_sum();
		empty_operations = batch_operations;
		break;
	case MARK_NEXT:
		write_benchmark();
		benchmark++;
		/* fall through */
	case MARK_WARM:
		all_clear();
		break;
	case MARK_NONE:
		break;
	}
}

static void at_translation(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
	struct block *b = allocate(sizeof(*b));
	struct qemu_plugin_insn *insn = NULL;
	size_t count = qemu_plugin_tb_n_insns(tb);

	(void)id;
	b->vaddr = qemu_plugin_tb_vaddr(tb);
	b->function = function_at(&functions, b->vaddr);
	b->count = (unsigned)count;
	qemu_plugin_register_vcpu_tb_exec_cb(tb, at_block, QEMU_PLUGIN_CB_NO_REGS, b);
	for (size_t i = 0; i < count; i++) {
		insn = qemu_plugin_tb_get_insn(tb, i);
		struct decoded d = decode(insn);

		if (d.mark)
			qemu_plugin_register_vcpu_insn_exec_cb(
				insn, at_mark, QEMU_PLUGIN_CB_NO_REGS, (void *)(uintptr_t)d.mark);
		qemu_plugin_register_vcpu_insn_exec_inline(insn, QEMU_PLUGIN_INLINE_ADD_U64,
							   &counter, 1);
		b->kind = d.kind;
		if (d.kind == KIND_CALL || d.kind == KIND_RET)
			qemu_plugin_register_vcpu_mem_cb(insn, at_stack_access,
							 QEMU_PLUGIN_CB_NO_REGS, QEMU_PLUGIN_MEM_RW,
							 d.kind == KIND_CALL ? b : NULL);
	}
	if (insn)
		b->end = qemu_plugin_insn_vaddr(insn) + qemu_plugin_insn_size(insn);
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
	if (!info->system_emulation || info->system.max_vcpus != 1)
		return -1;
	output = open_output(argument(argc, argv, "out", NULL));
	functions = functions_read(argument(argc, argv, "functions", NULL));
	last_of = allocate((functions.count + 1) * sizeof(*last_of));
	node_create(0, ROOT, false);
	node_create(1, ROOT, true);
	qemu_plugin_register_vcpu_tb_trans_cb(id, at_translation);
	qemu_plugin_register_atexit_cb(id, at_exit, NULL);
	return 0;
}
