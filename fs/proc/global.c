/* /proc: figures of the whole machine that no subsystem shows itself; formats of proc(5). */
#include <nos/arch.h>
#include <nos/counter.h>
#include <nos/huge.h>
#include <nos/irq.h>
#include <nos/log.h>
#include <nos/timer.h>

#include "proc.h"

typedef unsigned long long ull;

#define KB(pages) ((ull)(pages) << (PAGE_SHIFT - 10))
#define TICK_NS 10000000ull

static int show_meminfo(struct text_out *out, void *arg)
{
	struct memory_stats m;
	struct huge_stats huge;

	memory_stats_read(&m);
	huge_stats_read(&huge);

	const struct {
		const char *name;
		ull kb;
	} lines[] = {
		{ "MemTotal:", KB(m.total) },
		{ "MemFree:", KB(m.free) },
		{ "MemAvailable:", KB(m.available) },
		{ "Buffers:", 0 },
		{ "Cached:", KB(m.file + m.shmem) },
		{ "SwapCached:", 0 },
		{ "Active:", KB(m.anon) },
		{ "Inactive:", KB(m.file) },
		{ "SwapTotal:", 0 },
		{ "SwapFree:", 0 },
		{ "Dirty:", KB(m.dirty) },
		{ "AnonPages:", KB(m.anon) },
		{ "AnonHugePages:", huge.mapped << (HUGE_SHIFT - 10) },
		{ "Shmem:", KB(m.shmem) },
		{ "ShmemHugePages:", huge.file_blocks << (HUGE_SHIFT - 10) },
		{ "ShmemPmdMapped:", huge.file_mapped << (HUGE_SHIFT - 10) },
		{ "KReclaimable:", KB(m.slab_reclaimable) },
		{ "Slab:", KB(m.slab) },
		{ "SReclaimable:", KB(m.slab_reclaimable) },
		{ "SUnreclaim:", KB(m.slab - min(m.slab, m.slab_reclaimable)) },
		{ "KernelStack:", KB(m.kernel_stacks) },
		{ "PageTables:", KB(m.page_tables) },
		{ "CommitLimit:", KB(m.commit_limit) },
		{ "Committed_AS:", KB(m.committed) },
		{ "VmallocTotal:", (KERNEL_VMAP_END - KERNEL_VMAP_BASE) >> 10 },
		{ "VmallocUsed:", KB(m.vmap) },
	};

	for (size_t n = 0; n < ARRAY_SIZE(lines); n++)
		text_printf(out, "%-15s %8llu kB\n", lines[n].name, lines[n].kb);
	return 0;
}
PSEUDO_FILE(meminfo_file, .path = "proc/meminfo", .show = show_meminfo);

static int show_cpuinfo(struct text_out *out, void *arg)
{
	char *buffer = kmalloc(PAGE_SIZE, 0);

	if (!buffer)
		return -ENOMEM;
	for_each_cpu(cpu)
	{
		int len = cpu_describe(cpu, buffer, PAGE_SIZE);

		text_write(out, buffer, (size_t)clamp(len, 0, (int)PAGE_SIZE - 1));
	}
	kfree(buffer);
	return 0;
}
PSEUDO_FILE(cpuinfo_file, .path = "proc/cpuinfo", .show = show_cpuinfo);

static void show_cpu_line(struct text_out *out, const char *name, const struct cpu_times *t)
{
	text_printf(out, "%s %llu %llu %llu %llu %llu %llu %llu %llu 0 0\n", name,
		    (ull)(t->user_ns / TICK_NS), (ull)(t->nice_ns / TICK_NS),
		    (ull)(t->system_ns / TICK_NS), (ull)(t->idle_ns / TICK_NS),
		    (ull)(t->iowait_ns / TICK_NS), (ull)(t->irq_ns / TICK_NS),
		    (ull)(t->softirq_ns / TICK_NS), (ull)(t->steal_ns / TICK_NS));
}

static u64 interrupts_total(unsigned vector)
{
	u64 sum = 0;

	for_each_cpu(cpu) sum += irq_count(vector, cpu);
	return sum;
}

static int show_stat(struct text_out *out, void *arg)
{
	struct cpu_times all = { 0 }, t;
	char name[16];
	u64 interrupts = 0;

	for_each_cpu(cpu)
	{
		sched_cpu_times(cpu, &t);
		all.user_ns += t.user_ns;
		all.nice_ns += t.nice_ns;
		all.system_ns += t.system_ns;
		all.idle_ns += t.idle_ns;
		all.iowait_ns += t.iowait_ns;
		all.irq_ns += t.irq_ns;
		all.softirq_ns += t.softirq_ns;
		all.steal_ns += t.steal_ns;
	}
	show_cpu_line(out, "cpu ", &all);
	for_each_cpu(cpu)
	{
		sched_cpu_times(cpu, &t);
		snprintf(name, sizeof(name), "cpu%u", cpu);
		show_cpu_line(out, name, &t);
	}
	for (unsigned v = 32; v < 256; v++)
		interrupts += interrupts_total(v);
	text_printf(out, "intr %llu", (ull)interrupts);
	for (unsigned v = 32; v < 256; v++)
		text_printf(out, " %llu", (ull)interrupts_total(v));
	text_printf(out, "\nctxt %llu\nbtime %llu\nprocesses %llu\n", (ull)sched_nr_switches(),
		    (ull)((clock_realtime_ns() - clock_boottime_ns()) / NSEC_PER_SEC),
		    (ull)process_forks());
	text_printf(out, "procs_running %llu\nprocs_blocked 0\n", (ull)sched_nr_running());
	return 0;
}
PSEUDO_FILE(stat_file, .path = "proc/stat", .show = show_stat);

static int show_loadavg(struct text_out *out, void *arg)
{
	u32 load[3];

	sched_load_average(load);
	for (int n = 0; n < 3; n++)
		text_printf(out, "%u.%02u ", load[n] >> 11, (load[n] & 2047) * 100 >> 11);
	text_printf(out, "%llu/%u %d\n", (ull)sched_nr_running(), task_count(), process_last_pid());
	return 0;
}
PSEUDO_FILE(loadavg_file, .path = "proc/loadavg", .show = show_loadavg);

static int show_uptime(struct text_out *out, void *arg)
{
	u64 up = clock_boottime_ns(), idle = 0;
	struct cpu_times t;

	for_each_cpu(cpu)
	{
		sched_cpu_times(cpu, &t);
		idle += t.idle_ns;
	}
	text_printf(out, "%llu.%02llu %llu.%02llu\n", (ull)(up / NSEC_PER_SEC),
		    (ull)(up % NSEC_PER_SEC / TICK_NS), (ull)(idle / NSEC_PER_SEC),
		    (ull)(idle % NSEC_PER_SEC / TICK_NS));
	return 0;
}
PSEUDO_FILE(uptime_file, .path = "proc/uptime", .show = show_uptime);

static int show_cmdline(struct text_out *out, void *arg)
{
	text_printf(out, "%s\n", boot_info.command_line ? boot_info.command_line : "");
	return 0;
}
PSEUDO_FILE(cmdline_file, .path = "proc/cmdline", .show = show_cmdline);

static void show_fs_type(const struct fs_type *t, void *arg)
{
	text_printf(arg, "%s\t%s\n", t->flags & FS_NODEV ? "nodev" : "", t->name);
}

static int show_filesystems(struct text_out *out, void *arg)
{
	fs_type_for_each(show_fs_type, out);
	return 0;
}
PSEUDO_FILE(filesystems_file, .path = "proc/filesystems", .show = show_filesystems);
PSEUDO_FILE(mounts_link, .path = "proc/mounts", .link = "self/mounts");
PSEUDO_FILE(net_link, .path = "proc/net", .link = "self/net");

static int show_interrupts(struct text_out *out, void *arg)
{
	text_printf(out, "     ");
	for_each_cpu(cpu) text_printf(out, "      CPU%-2u", cpu);
	text_char(out, '\n');
	for (unsigned v = 32; v < 256; v++) {
		const char *name = irq_name(v);

		if (!name)
			continue;
		text_printf(out, "%4u:", v);
		for_each_cpu(cpu) text_printf(out, " %10llu", (ull)irq_count(v, cpu));
		text_printf(out, "  %s\n", name);
	}
	return 0;
}
PSEUDO_FILE(interrupts_file, .path = "proc/interrupts", .show = show_interrupts);

static int show_swaps(struct text_out *out, void *arg)
{
	text_printf(out, "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n");
	return 0;
}
PSEUDO_FILE(swaps_file, .path = "proc/swaps", .show = show_swaps);

static int show_partitions(struct text_out *out, void *arg)
{
	text_printf(out, "major minor  #blocks  name\n\n");
	return 0;
}
PSEUDO_FILE(partitions_file, .path = "proc/partitions", .show = show_partitions);

/* No block devices: no lines. */
static int show_diskstats(struct text_out *out, void *arg)
{
	return 0;
}
PSEUDO_FILE(diskstats_file, .path = "proc/diskstats", .show = show_diskstats);

static int show_vmstat(struct text_out *out, void *arg)
{
	struct memory_stats m;
	struct huge_stats huge;

	memory_stats_read(&m);
	huge_stats_read(&huge);

	const struct {
		const char *name;
		u64 value;
	} lines[] = {
		{ "nr_free_pages", m.free },
		{ "nr_inactive_file", m.file },
		{ "nr_active_anon", m.anon },
		{ "nr_anon_pages", m.anon },
		{ "nr_file_pages", m.file + m.shmem },
		{ "nr_dirty", m.dirty },
		{ "nr_shmem", m.shmem },
		{ "nr_shmem_hugepages", huge.file_blocks },
		{ "nr_shmem_pmdmapped", huge.file_mapped },
		{ "nr_page_table_pages", m.page_tables },
		{ "pgpgin", m.page_in << (PAGE_SHIFT - 10) },
		{ "pgpgout", m.page_out << (PAGE_SHIFT - 10) },
		{ "pswpin", 0 },
		{ "pswpout", 0 },
		{ "pgalloc_normal", m.allocs },
		{ "pgfree", m.frees },
		{ "pgfault", m.faults },
		{ "pgmajfault", m.faults_major },
		{ "oom_kill", m.oom_kills },
		{ "thp_fault_alloc", huge.faults },
		{ "thp_fault_fallback", huge.fallbacks },
		{ "thp_file_alloc", huge.file_allocs },
		{ "thp_file_fallback", huge.file_fallbacks },
		{ "thp_file_mapped", huge.file_maps },
		{ "thp_split_pmd", huge.splits },
	};

	for (size_t n = 0; n < ARRAY_SIZE(lines); n++)
		text_printf(out, "%s %llu\n", lines[n].name, (ull)lines[n].value);
	return 0;
}
PSEUDO_FILE(vmstat_file, .path = "proc/vmstat", .show = show_vmstat);

static void show_slab(const struct slab_cache_info *i, u64 live, u64 total, u64 slabs, void *arg)
{
	text_printf(arg,
		    "%-23s %6llu %6llu %6zu %4llu %4u : tunables %4u %4u %4u : slabdata %6llu "
		    "%6llu %6u\n",
		    i->name, (ull)live, (ull)total, i->size, (ull)(slabs ? total / slabs : 0), 1u,
		    0u, 0u, 0u, (ull)slabs, (ull)slabs, 0u);
}

static int show_slabinfo(struct text_out *out, void *arg)
{
	text_printf(out, "slabinfo - version: 2.1\n# name            <active_objs> <num_objs> "
			 "<objsize> <objperslab> <pagesperslab> : tunables <limit> <batchcount> "
			 "<sharedfactor> : slabdata <active_slabs> <num_slabs> <sharedavail>\n");
	slab_for_each(show_slab, out);
	return 0;
}
PSEUDO_FILE(slabinfo_file, .path = "proc/slabinfo", .mode = 0400, .show = show_slabinfo);
