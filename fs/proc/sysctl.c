/*
 * /proc/sys: values that belong to no subsystem with files of its own.  A
 * number that can be set stands where it is used, and is shown and stored here;
 * constants are limits of this kernel.
 */
#include <linux/capability.h>
#include <nos/log.h>
#include <nos/page_cache.h>
#include <nos/random.h>
#include <nos/stock.h>

#include "proc.h"

typedef unsigned long long ull;

struct number {
	u64 constant; /* if both pointers are NULL */
	u32 *small;
	u64 *large;
	u64 min, max;
};

static int show_number(struct text_out *out, void *arg)
{
	const struct number *n = arg;
	u64 v = n->small ? *n->small : n->large ? *n->large : n->constant;

	text_printf(out, "%llu\n", (ull)v);
	return 0;
}

static ssize_t store_number(const char *text, size_t len, void *arg)
{
	const struct number *n = arg;
	char copy[24];
	size_t used = 0;
	u64 v;

	while (used < len && used < sizeof(copy) - 1 && text[used] > ' ') {
		copy[used] = text[used];
		used++;
	}
	copy[used] = 0;

	int err = string_to_u64(copy, 0, &v);

	if (err || v < n->min || v > n->max)
		return -EINVAL;
	if (n->small)
		WRITE_ONCE(*n->small, (u32)v);
	else
		WRITE_ONCE(*n->large, v);
	return (ssize_t)len;
}

#define CONSTANT(id, file_path, value)                                                             \
	static struct number number_##id = { .constant = (value) };                                \
	PSEUDO_FILE(file_##id, .path = "proc/sys/" file_path, .show = show_number,                 \
		    .arg = &number_##id)
#define NUMBER32(id, file_path, variable, low, high)                                               \
	extern u32 variable;                                                                       \
	static struct number number_##id = { .small = &(variable), .min = (low), .max = (high) };  \
	PSEUDO_FILE(file_##id, .path = "proc/sys/" file_path, .mode = 0644, .show = show_number,   \
		    .store = store_number, .arg = &number_##id)
#define NUMBER64(id, file_path, variable, low, high)                                               \
	extern u64 variable;                                                                       \
	static struct number number_##id = { .large = &(variable), .min = (low), .max = (high) };  \
	PSEUDO_FILE(file_##id, .path = "proc/sys/" file_path, .mode = 0644, .show = show_number,   \
		    .store = store_number, .arg = &number_##id)

CONSTANT(cap_last_cap, "kernel/cap_last_cap", CAP_LAST_CAP);
CONSTANT(ngroups_max, "kernel/ngroups_max", 65536);
CONSTANT(overflowuid, "kernel/overflowuid", 65534);
CONSTANT(overflowgid, "kernel/overflowgid", 65534);
CONSTANT(fs_overflowuid, "fs/overflowuid", 65534);
CONSTANT(fs_overflowgid, "fs/overflowgid", 65534);
CONSTANT(tainted, "kernel/tainted", 0);
CONSTANT(map_count, "vm/max_map_count", 65530);
NUMBER32(randomize, "kernel/randomize_va_space", sysctl_randomize_va_space, 0, INT32_MAX);
NUMBER32(nr_open, "fs/nr_open", sysctl_nr_open, 8, 1u << 30);
NUMBER64(file_max, "fs/file-max", sysctl_file_max, 0, (u64)S64_MAX);
NUMBER32(protected_symlinks, "fs/protected_symlinks", sysctl_protected_symlinks, 0, 1);
NUMBER32(protected_hardlinks, "fs/protected_hardlinks", sysctl_protected_hardlinks, 0, 1);
NUMBER32(protected_fifos, "fs/protected_fifos", sysctl_protected_fifos, 0, 2);
NUMBER32(protected_regular, "fs/protected_regular", sysctl_protected_regular, 0, 2);
NUMBER32(overcommit, "vm/overcommit_memory", vm_overcommit_memory, 0, 2);
NUMBER32(overcommit_ratio, "vm/overcommit_ratio", vm_overcommit_ratio, 0, U32_MAX);
NUMBER64(overcommit_kbytes, "vm/overcommit_kbytes", vm_overcommit_kbytes, 0, U64_MAX);

/* No core files are written: the pattern is the default one, and stays. */
static int show_core_pattern(struct text_out *out, void *arg)
{
	text_printf(out, "core\n");
	return 0;
}
PSEUDO_FILE(core_pattern_file, .path = "proc/sys/kernel/core_pattern", .show = show_core_pattern);

u64 file_count(void);

static int show_file_nr(struct text_out *out, void *arg)
{
	text_printf(out, "%llu\t0\t%llu\n", (ull)file_count(), (ull)sysctl_file_max);
	return 0;
}
PSEUDO_FILE(file_nr_file, .path = "proc/sys/fs/file-nr", .show = show_file_nr);

/* Bit 0: clean pages of files; bit 1: names, the inodes behind them, empty slabs. */
static ssize_t store_drop_caches(const char *text, size_t len, void *arg)
{
	u32 what = 0;
	const struct number n = { .small = &what, .min = 1, .max = 4 };
	ssize_t taken = store_number(text, len, (void *)&n);

	if (taken < 0)
		return taken;
	if (what & 1)
		page_cache_reclaim(U64_MAX);
	if (what & 2) {
		/* A folder can go once what is in it went; two rounds, for the first clears marks. */
		while (dentry_reclaim(U64_MAX) || dentry_reclaim(U64_MAX))
			;
		stock_drain_all();
		slab_reclaim();
	}
	return taken;
}
PSEUDO_FILE(drop_caches_file, .path = "proc/sys/vm/drop_caches", .mode = 0200,
	    .store = store_drop_caches);

static int show_printk(struct text_out *out, void *arg)
{
	text_printf(out, "%u\t4\t1\t7\n", log_console_level());
	return 0;
}
PSEUDO_FILE(printk_file, .path = "proc/sys/kernel/printk", .show = show_printk);

/* ---- random ---- */

static void print_uuid(struct text_out *out, const u8 id[16])
{
	for (int n = 0; n < 16; n++)
		text_printf(out, n == 4 || n == 6 || n == 8 || n == 10 ? "-%02x" : "%02x", id[n]);
	text_char(out, '\n');
}

/* Version 4 (RFC 4122 §4.4). */
static void make_uuid(u8 id[16])
{
	random_bytes(id, 16);
	id[6] = (id[6] & 0x0f) | 0x40;
	id[8] = (id[8] & 0x3f) | 0x80;
}

static int show_uuid(struct text_out *out, void *arg)
{
	u8 id[16];

	make_uuid(id);
	print_uuid(out, id);
	return 0;
}
PSEUDO_FILE(uuid_file, .path = "proc/sys/kernel/random/uuid", .show = show_uuid);

static int show_boot_id(struct text_out *out, void *arg)
{
	static struct mutex lock = MUTEX_INIT(RANK_NONE);
	static u8 id[16];
	static bool made;

	mutex_lock(&lock);
	if (!made)
		make_uuid(id);
	made = true;
	mutex_unlock(&lock);
	print_uuid(out, id);
	return 0;
}
PSEUDO_FILE(boot_id_file, .path = "proc/sys/kernel/random/boot_id", .show = show_boot_id);
CONSTANT(entropy, "kernel/random/entropy_avail", 256);
CONSTANT(poolsize, "kernel/random/poolsize", 256);
