/* sysfs: processors, the kernel. */
#include <nos/cpu.h>
#include <nos/errno.h>
#include <nos/init.h>
#include <nos/pseudo.h>
#include <nos/slab.h>
#include <nos/string.h>

/* ---- processors ---- */

static int show_cpu_range(struct text_out *out, void *arg)
{
	if (nr_cpus == 1)
		text_printf(out, "0\n");
	else
		text_printf(out, "0-%u\n", nr_cpus - 1);
	return 0;
}

static int show_nothing(struct text_out *out, void *arg)
{
	text_char(out, '\n');
	return 0;
}

static int show_kernel_max(struct text_out *out, void *arg)
{
	text_printf(out, "%d\n", MAX_CPUS - 1);
	return 0;
}

#define CPU_DIR "sys/devices/system/cpu/"
PSEUDO_FILE(cpu_online, .path = CPU_DIR "online", .show = show_cpu_range);
PSEUDO_FILE(cpu_present, .path = CPU_DIR "present", .show = show_cpu_range);
PSEUDO_FILE(cpu_possible, .path = CPU_DIR "possible", .show = show_cpu_range);
PSEUDO_FILE(cpu_offline, .path = CPU_DIR "offline", .show = show_nothing);
PSEUDO_FILE(cpu_kernel_max, .path = CPU_DIR "kernel_max", .show = show_kernel_max);

static int show_zero(struct text_out *out, void *arg)
{
	text_printf(out, "0\n");
	return 0;
}

static int show_id(struct text_out *out, void *arg)
{
	text_printf(out, "%u\n", (u32)(uintptr_t)arg);
	return 0;
}

static void print_mask(struct text_out *out, u64 mask)
{
	if (nr_cpus > 32)
		text_printf(out, "%08x,%08x\n", (u32)(mask >> 32), (u32)mask);
	else
		text_printf(out, "%0*x\n", (int)((nr_cpus + 3) / 4), (u32)mask);
}

static int show_own_mask(struct text_out *out, void *arg)
{
	print_mask(out, 1ull << (u32)(uintptr_t)arg);
	return 0;
}

static int show_all_mask(struct text_out *out, void *arg)
{
	print_mask(out, nr_cpus == 64 ? ~0ull : (1ull << nr_cpus) - 1);
	return 0;
}

/* One package of single-threaded cores, as the machine describes itself to us. */
static const struct {
	const char *name;
	int (*show)(struct text_out *out, void *arg);
} cpu_files[] = {
	{ "topology/core_id", show_id },
	{ "topology/physical_package_id", show_zero },
	{ "topology/thread_siblings", show_own_mask },
	{ "topology/thread_siblings_list", show_id },
	{ "topology/core_cpus", show_own_mask },
	{ "topology/core_cpus_list", show_id },
	{ "topology/core_siblings", show_all_mask },
	{ "topology/core_siblings_list", show_cpu_range },
	{ "topology/package_cpus", show_all_mask },
	{ "topology/package_cpus_list", show_cpu_range },
};

static int register_cpu_file(unsigned cpu, size_t n)
{
	struct pseudo_file *p = kzalloc(sizeof(*p), 0);
	char path[80];

	if (!p)
		return -ENOMEM;
	snprintf(path, sizeof(path), CPU_DIR "cpu%u/%s", cpu, cpu_files[n].name);
	p->path = kstrdup(path, 0);
	p->show = cpu_files[n].show;
	p->arg = (void *)(uintptr_t)cpu;
	if (!p->path) {
		kfree(p);
		return -ENOMEM;
	}
	return pseudo_file_register(p);
}

static int sys_cpu_init(void)
{
	for_each_cpu(cpu) for (size_t n = 0; n < ARRAY_SIZE(cpu_files); n++)
	{
		int err = register_cpu_file(cpu, n);

		if (err)
			return err;
	}
	return 0;
}
INIT_STEP(INIT_FS, sys_cpu_init);
