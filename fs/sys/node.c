/* sysfs: memory nodes, as numactl(8) and numastat(8) read them. */
#include <nos/cpu.h>
#include <nos/errno.h>
#include <nos/init.h>
#include <nos/numa.h>
#include <nos/pseudo.h>
#include <nos/slab.h>
#include <nos/string.h>

#define NODE_DIR "sys/devices/system/node/"

typedef unsigned long long ull;

static int print_list(struct text_out *out, u64 map)
{
	text_bits(out, map);
	text_char(out, '\n');
	return 0;
}

static u64 node_cpus(unsigned node)
{
	u64 map = 0;

	for_each_cpu(cpu) if (memory_nr_nodes() == 1 || numa_node_of_cpu(cpu) == node) map |=
		bit(cpu);
	return map;
}

static int show_nodes(struct text_out *out, void *arg)
{
	return print_list(out, bit(memory_nr_nodes()) - 1);
}

static int show_nodes_with_memory(struct text_out *out, void *arg)
{
	return print_list(out, memory_node_map());
}

static int show_nodes_with_cpus(struct text_out *out, void *arg)
{
	u64 map = 0;

	for (unsigned n = 0; n < memory_nr_nodes(); n++)
		if (node_cpus(n))
			map |= bit(n);
	return print_list(out, map);
}

PSEUDO_FILE(node_online, .path = NODE_DIR "online", .show = show_nodes);
PSEUDO_FILE(node_possible, .path = NODE_DIR "possible", .show = show_nodes);
PSEUDO_FILE(node_has_cpu, .path = NODE_DIR "has_cpu", .show = show_nodes_with_cpus);
PSEUDO_FILE(node_has_memory, .path = NODE_DIR "has_memory", .show = show_nodes_with_memory);
PSEUDO_FILE(node_has_normal, .path = NODE_DIR "has_normal_memory", .show = show_nodes_with_memory);

/* ---- a node's own files; the argument is its number ---- */

static unsigned node_of(void *arg)
{
	return (unsigned)(uintptr_t)arg;
}

static int show_cpulist(struct text_out *out, void *arg)
{
	return print_list(out, node_cpus(node_of(arg)));
}

static int show_cpumap(struct text_out *out, void *arg)
{
	u64 map = node_cpus(node_of(arg));

	if (nr_cpus > 32)
		text_printf(out, "%0*x,%08x\n", (int)((nr_cpus - 32 + 3) / 4), (u32)(map >> 32),
			    (u32)map);
	else
		text_printf(out, "%0*x\n", (int)((nr_cpus + 3) / 4), (u32)map);
	return 0;
}

static int show_distance(struct text_out *out, void *arg)
{
	for (unsigned n = 0; n < memory_nr_nodes(); n++)
		text_printf(out, n ? " %u" : "%u", numa_distance(node_of(arg), n));
	text_char(out, '\n');
	return 0;
}

static int show_meminfo(struct text_out *out, void *arg)
{
	unsigned node = node_of(arg);
	struct node_stats s;

	node_stats_read(node, &s);
	const struct {
		const char *name;
		u64 pages;
	} lines[] = {
		{ "MemTotal:", s.total },
		{ "MemFree:", s.free },
		{ "MemUsed:", s.total - min(s.total, s.free) },
		{ "FilePages:", s.kind[FOLIO_FILE] },
		{ "AnonPages:", s.kind[FOLIO_ANON] },
		{ "PageTables:", s.kind[FOLIO_PAGE_TABLE] },
		{ "Slab:", s.kind[FOLIO_SLAB] },
	};
	for (unsigned i = 0; i < ARRAY_SIZE(lines); i++)
		text_printf(out, "Node %u %-15s%8llu kB\n", node, lines[i].name,
			    (ull)lines[i].pages * 4);
	return 0;
}

static const char *const event_names[NR_NODE_EVENTS] = {
	"numa_hit", "numa_miss", "numa_foreign", "interleave_hit", "local_node", "other_node",
};

static int show_numastat(struct text_out *out, void *arg)
{
	struct node_stats s;

	node_stats_read(node_of(arg), &s);
	for (unsigned e = 0; e < NR_NODE_EVENTS; e++)
		text_printf(out, "%s %llu\n", event_names[e], (ull)s.event[e]);
	return 0;
}

static int show_vmstat(struct text_out *out, void *arg)
{
	struct node_stats s;

	node_stats_read(node_of(arg), &s);
	text_printf(out,
		    "nr_free_pages %llu\nnuma_hit %llu\nnuma_miss %llu\nnuma_foreign %llu\n"
		    "numa_interleave %llu\nnuma_local %llu\nnuma_other %llu\n"
		    "nr_anon_pages %llu\nnr_file_pages %llu\nnr_page_table_pages %llu\n",
		    (ull)s.free, (ull)s.event[NUMA_HIT], (ull)s.event[NUMA_MISS],
		    (ull)s.event[NUMA_FOREIGN], (ull)s.event[NUMA_INTERLEAVE_HIT],
		    (ull)s.event[NUMA_LOCAL], (ull)s.event[NUMA_OTHER], (ull)s.kind[FOLIO_ANON],
		    (ull)s.kind[FOLIO_FILE], (ull)s.kind[FOLIO_PAGE_TABLE]);
	return 0;
}

static const struct {
	const char *name;
	int (*show)(struct text_out *out, void *arg);
} node_files[] = {
	{ "cpulist", show_cpulist }, { "cpumap", show_cpumap },     { "distance", show_distance },
	{ "meminfo", show_meminfo }, { "numastat", show_numastat }, { "vmstat", show_vmstat },
};

static int sys_node_init(void)
{
	char path[80];

	for (unsigned n = 0; n < memory_nr_nodes(); n++) {
		for (size_t i = 0; i < ARRAY_SIZE(node_files); i++) {
			scoped_kfree struct pseudo_file *p = kzalloc(sizeof(*p), 0);

			if (!p)
				return -ENOMEM;
			snprintf(path, sizeof(path), NODE_DIR "node%u/%s", n, node_files[i].name);
			p->path = kstrdup(path, 0);
			if (!p->path)
				return -ENOMEM;
			p->show = node_files[i].show;
			p->arg = (void *)(uintptr_t)n;
			int err = pseudo_file_register(keep(p));

			if (err)
				return err;
		}
	}
	return 0;
}
INIT_STEP(INIT_FS, sys_node_init);
