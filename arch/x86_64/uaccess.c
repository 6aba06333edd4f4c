/* Boot-time patching of user copies, the exception table, and switching faults off. */
#include <nos/arch.h>
#include <nos/cpu.h>
#include <nos/static_key.h>
#include <nos/string.h>
#include <nos/uaccess.h>

#include "x86.h"

struct exception_entry {
	u64 fault, target;
};
extern const struct exception_entry __start_exception_table[], __stop_exception_table[];
extern u8 *const __start_smap_open_sites[], *const __stop_smap_open_sites[];
extern u8 *const __start_smap_close_sites[], *const __stop_smap_close_sites[];

/* Long copies by rep movsb (ERMS, FSRM) rather than by words. */
u8 copy_by_bytes __ro_after_init;

/* uaccess.S counts what copies are asked for, while the key is on. */
DEFINE_STATIC_KEY(user_copies_key);
DEFINE_PERCPU(u64, counter_from_user);
DEFINE_PERCPU(u64, counter_to_user);

DECLARE_PERCPU(struct thread *, this_thread);

u64 exception_table_find(u64 rip)
{
	for (const struct exception_entry *e = __start_exception_table; e < __stop_exception_table;
	     e++)
		if (e->fault == rip)
			return e->target;
	return 0;
}

/* Through the direct map, which is still writable. */
static void sites_patch(u8 *const *from, u8 *const *to, u8 last)
{
	for (u8 *const *site = from; site < to; site++) {
		u8 *alias = phys_to_virt(virt_to_phys(*site));

		alias[0] = 0x0f;
		alias[1] = 0x01;
		alias[2] = last;
	}
}

/* Before CR4.SMAP is set: turns the NOPs into STAC and CLAC. */
void uaccess_patch(void)
{
	copy_by_bytes = cpu_has(CPU_ERMS) || cpu_has(CPU_FSRM);
	if (!cpu_has(CPU_SMAP))
		return;
	sites_patch(__start_smap_open_sites, __stop_smap_open_sites, 0xcb);
	sites_patch(__start_smap_close_sites, __stop_smap_close_sites, 0xca);
	cpuid(0, 0);
}

bool user_fault_is_disabled(void)
{
	return thread_arch(this_cpu_read(this_thread))->user_fault_disabled != 0;
}
