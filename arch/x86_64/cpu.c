/*
 * The processor's features and control registers, and its description for
 * /proc/cpuinfo.  A feature counts only if every step that it needs was taken
 * (XSAVE: OSXSAVE is on; kvmclock: the hypervisor's signature matches).
 */
#include <nos/arch.h>
#include <nos/assert.h>
#include <nos/cpu.h>
#include <nos/pte.h>
#include <nos/string.h>

#include "x86.h"

u64 cpu_feature_map __ro_after_init;
static u32 hwcap __ro_after_init, hwcap2 __ro_after_init;
static bool pcid_is_on __ro_after_init;

struct feature_bit {
	u8 feature, reg, bit; /* reg: 0 eax … 3 edx */
	u32 leaf, subleaf;
};
enum { EAX, EBX, ECX, EDX };
static const struct feature_bit feature_bits[] = {
	{ CPU_PGE, EDX, 13, 1, 0 },
	{ CPU_MWAIT, ECX, 3, 1, 0 },
	{ CPU_PCID, ECX, 17, 1, 0 },
	{ CPU_X2APIC, ECX, 21, 1, 0 },
	{ CPU_TSC_DEADLINE, ECX, 24, 1, 0 },
	{ CPU_XSAVE, ECX, 26, 1, 0 },
	{ CPU_AVX, ECX, 28, 1, 0 },
	{ CPU_RDRAND, ECX, 30, 1, 0 },
	{ CPU_HYPERVISOR, ECX, 31, 1, 0 },
	{ CPU_FSGSBASE, EBX, 0, 7, 0 },
	{ CPU_AVX2, EBX, 5, 7, 0 },
	{ CPU_SMEP, EBX, 7, 7, 0 },
	{ CPU_ERMS, EBX, 9, 7, 0 },
	{ CPU_INVPCID, EBX, 10, 7, 0 },
	{ CPU_AVX512, EBX, 16, 7, 0 },
	{ CPU_RDSEED, EBX, 18, 7, 0 },
	{ CPU_SMAP, EBX, 20, 7, 0 },
	{ CPU_UMIP, ECX, 2, 7, 0 },
	{ CPU_RDPID, ECX, 22, 7, 0 },
	{ CPU_FSRM, EDX, 4, 7, 0 },
	{ CPU_XSAVEOPT, EAX, 0, 13, 1 },
	{ CPU_XSAVEC, EAX, 1, 13, 1 },
	{ CPU_NX, EDX, 20, 0x80000001, 0 },
	{ CPU_PAGE1G, EDX, 26, 0x80000001, 0 },
	{ CPU_RDTSCP, EDX, 27, 0x80000001, 0 },
	{ CPU_TSC_INVARIANT, EDX, 8, 0x80000007, 0 },
};

static bool leaf_exists(u32 leaf)
{
	return leaf <= cpuid(leaf & 0x80000000, 0).eax;
}

void cpu_detect_features(void)
{
	struct cpuid r = { 0 };
	u32 leaf = U32_MAX, subleaf = 0;
	u64 map = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(feature_bits); i++) {
		const struct feature_bit *f = &feature_bits[i];

		if (f->leaf != leaf || f->subleaf != subleaf) {
			leaf = f->leaf;
			subleaf = f->subleaf;
			r = leaf_exists(leaf) ? cpuid(leaf, subleaf) : (struct cpuid){ 0 };
		}
		u32 regs[] = { r.eax, r.ebx, r.ecx, r.edx };

		if (regs[f->reg] >> f->bit & 1)
			map |= bit(f->feature);
	}
	if (!(map & bit(CPU_XSAVE)))
		map &= ~(bit(CPU_XSAVEOPT) | bit(CPU_XSAVEC) | bit(CPU_AVX) | bit(CPU_AVX2) |
			 bit(CPU_AVX512));
	if (map & bit(CPU_HYPERVISOR)) {
		struct cpuid h = cpuid(0x40000000, 0);

		/* "KVMKVMKVM", and clock source 2 (KVM's CPUID documentation). */
		if (h.ebx == 0x4b4d564b && h.ecx == 0x564b4d56 && h.edx == 0x4d &&
		    cpuid(0x40000001, 0).eax & 8)
			map |= bit(CPU_KVMCLOCK);
	}
	cpu_feature_map = map;
	hwcap = cpuid(1, 0).edx;
	/* HWCAP2_FSGSBASE of Linux's <asm/hwcap2.h>; ring-3 MWAIT is not offered. */
	hwcap2 = map & bit(CPU_FSGSBASE) ? 2 : 0;
}

void cpu_init_control_registers(void)
{
	u64 cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_MCE;

	cr4 |= cpu_has(CPU_PGE) ? CR4_PGE : 0;
	cr4 |= cpu_has(CPU_UMIP) ? CR4_UMIP : 0;
	cr4 |= cpu_has(CPU_FSGSBASE) ? CR4_FSGSBASE : 0;
	cr4 |= cpu_has(CPU_XSAVE) ? CR4_OSXSAVE : 0;
	cr4 |= cpu_has(CPU_SMEP) ? CR4_SMEP : 0;
	cr4 |= cpu_has(CPU_SMAP) ? CR4_SMAP : 0;
	cr4 |= pcid_is_on ? CR4_PCIDE : 0;
	cr4_write(cr4);
	cr0_write(CR0_PG | CR0_WP | CR0_NE | CR0_ET | CR0_MP | CR0_PE);
}

/*
 * Where PCIDs are on, INVLPG may leave global entries of the page (Intel's errata ADL063, RPL042):
 * Alder Lake, Raptor Lake, and Gracemont alone.
 */
static bool invlpg_spares_global(void)
{
	static const u32 signatures[] = { 0x90670, 0x906a0, 0xb0670, 0xb06a0, 0xb06e0, 0xb06f0 };
	u32 signature = cpuid(1, 0).eax & 0x0fff0ff0; /* family and model */

	if (cpuid(0, 0).ebx != 0x756e6547) /* "Genu", of Intel */
		return false;
	for (unsigned i = 0; i < ARRAY_SIZE(signatures); i++)
		if (signature == signatures[i])
			return true;
	return false;
}

bool arch_pcid_enable(void)
{
	if (!cpu_has(CPU_PCID) || !cpu_has(CPU_PGE) || invlpg_spares_global())
		return false;
	pcid_is_on = true;
	/* #GP unless the low bits of CR3 are 0 (SDM vol. 3, 4.10.1): it holds the kernel's table. */
	VERIFY((cr3_read() & (PAGE_SIZE - 1)) == 0);
	cr4_write(cr4_read() | CR4_PCIDE);
	return true;
}

u64 cpu_hwcap(void)
{
	return hwcap;
}

u64 cpu_hwcap2(void)
{
	return hwcap2;
}

bool cpu_random_u64(u64 *value)
{
	u8 ok = 0;

	/* SDM vol. 1, 7.3.17: ten tries tell a failure from a busy moment. */
	for (int i = 0; i < 10 && !ok; i++) {
		if (cpu_has(CPU_RDSEED))
			__asm__ volatile("rdseed %0; setc %1" : "=r"(*value), "=qm"(ok)::"cc");
		if (!ok && cpu_has(CPU_RDRAND))
			__asm__ volatile("rdrand %0; setc %1" : "=r"(*value), "=qm"(ok)::"cc");
	}
	return ok;
}

void cpu_idle_wait(void)
{
	/* The interrupt shadow of sti covers hlt: no wake-up is lost between. */
	__asm__ volatile("sti; hlt" ::: "memory");
}

void cpu_stop(void)
{
	for (;;)
		__asm__ volatile("cli; hlt" ::: "memory");
}

/* ---- /proc/cpuinfo ---- */

/* Linux's names, in its order, by CPUID leaf and register; NULL where it shows none. */
static const char *const names_1_edx[32] = {
	"fpu",  "vme",  "de",   "pse", "tsc",  "msr", "pae",   "mce", "cx8",     "apic", NULL,
	"sep",  "mtrr", "pge",  "mca", "cmov", "pat", "pse36", "pn",  "clflush", NULL,   "dts",
	"acpi", "mmx",  "fxsr", "sse", "sse2", "ss",  "ht",    "tm",  "ia64",    "pbe",
};
static const char *const names_1_ecx[32] = {
	"pni",    "pclmulqdq",  "dtes64", "monitor", "ds_cpl",
	"vmx",    "smx",        "est",    "tm2",     "ssse3",
	"cid",    "sdbg",       "fma",    "cx16",    "xtpr",
	"pdcm",   NULL,         "pcid",   "dca",     "sse4_1",
	"sse4_2", "x2apic",     "movbe",  "popcnt",  "tsc_deadline_timer",
	"aes",    "xsave",      NULL,     "avx",     "f16c",
	"rdrand", "hypervisor",
};
static const char *const names_7_ebx[32] = {
	"fsgsbase",   "tsc_adjust", NULL,         "bmi1",     "hle",      "avx2",     NULL,
	"smep",       "bmi2",       "erms",       "invpcid",  "rtm",      "cqm",      NULL,
	"mpx",        "rdt_a",      "avx512f",    "avx512dq", "rdseed",   "adx",      "smap",
	"avx512ifma", NULL,         "clflushopt", "clwb",     "intel_pt", "avx512pf", "avx512er",
	"avx512cd",   "sha_ni",     "avx512bw",   "avx512vl",
};
static const char *const names_7_ecx[32] = {
	NULL,
	"avx512vbmi",
	"umip",
	NULL,
	NULL,
	"waitpkg",
	"avx512_vbmi2",
	NULL,
	"gfni",
	"vaes",
	"vpclmulqdq",
	"avx512_vnni",
	"avx512_bitalg",
	NULL,
	"avx512_vpopcntdq",
	[22] = "rdpid",
	[25] = "cldemote",
	[27] = "movdiri",
	[28] = "movdir64b",
};
static const char *const names_x1_edx[32] = {
	[11] = "syscall", [19] = "mp",     [20] = "nx", [22] = "mmxext",   [25] = "fxsr_opt",
	[26] = "pdpe1gb", [27] = "rdtscp", [29] = "lm", [30] = "3dnowext", [31] = "3dnow",
};
static const char *const names_x1_ecx[32] = {
	"lahf_lm",
	"cmp_legacy",
	"svm",
	"extapic",
	"cr8_legacy",
	"abm",
	"sse4a",
	"misalignsse",
	"3dnowprefetch",
	"osvw",
	"ibs",
	"xop",
	"skinit",
	"wdt",
	NULL,
	"lwp",
	"fma4",
	[21] = "tbm",
	[22] = "topoext",
};

struct text {
	char *to;
	size_t size;
	int length;
};

static void text_add_flags(struct text *t, u32 bits, const char *const names[32])
{
	for (unsigned i = 0; i < 32; i++) {
		if (!(bits >> i & 1) || !names[i])
			continue;
		size_t left = (size_t)t->length < t->size ? t->size - (size_t)t->length : 0;

		t->length += snprintf(t->to + (left ? t->length : 0), left, " %s", names[i]);
	}
}

#define text_add(t, ...)                                                                           \
	do {                                                                                       \
		size_t _left =                                                                     \
			(size_t)(t)->length < (t)->size ? (t)->size - (size_t)(t)->length : 0;     \
		(t)->length += snprintf((t)->to + (_left ? (t)->length : 0), _left, __VA_ARGS__);  \
	} while (0)

static void text_add_all_flags(struct text *t)
{
	struct cpuid one = cpuid(1, 0);
	struct cpuid seven = leaf_exists(7) ? cpuid(7, 0) : (struct cpuid){ 0 };
	struct cpuid x1 = cpuid(0x80000001, 0);

	text_add(t, "flags\t\t:");
	text_add_flags(t, one.edx, names_1_edx);
	text_add_flags(t, x1.edx, names_x1_edx);
	if (cpu_has(CPU_TSC_INVARIANT))
		text_add(t, " constant_tsc nonstop_tsc");
	text_add_flags(t, one.ecx, names_1_ecx);
	text_add_flags(t, x1.ecx, names_x1_ecx);
	text_add_flags(t, seven.ebx, names_7_ebx);
	if (cpu_has(CPU_XSAVEOPT))
		text_add(t, " xsaveopt");
	if (cpu_has(CPU_XSAVEC))
		text_add(t, " xsavec");
	text_add_flags(t, seven.ecx, names_7_ecx);
	text_add(t, "\nbugs\t\t:\n");
}

int cpu_describe(unsigned cpu, char *to, size_t size)
{
	struct text t = { to, size, 0 };
	struct cpuid zero = cpuid(0, 0), one = cpuid(1, 0);
	u32 family = one.eax >> 8 & 15, model = one.eax >> 4 & 15;
	u32 vendor[4] = { zero.ebx, zero.edx, zero.ecx, 0 };
	u32 name[13] = { 0 };

	if (family == 6 || family == 15)
		model |= (one.eax >> 16 & 15) << 4;
	if (family == 15)
		family += one.eax >> 20 & 255;
	for (u32 i = 0; i < 3 && leaf_exists(0x80000004); i++) {
		struct cpuid n = cpuid(0x80000002 + i, 0);

		memcpy(name + 4 * i, &n, 16);
	}
	struct cpuid sizes =
		leaf_exists(0x80000008) ? cpuid(0x80000008, 0) : (struct cpuid){ 0x3024, 0, 0, 0 };

	text_add(&t, "processor\t: %u\nvendor_id\t: %s\ncpu family\t: %u\nmodel\t\t: %u\n", cpu,
		 (const char *)vendor, family, model);
	text_add(&t, "model name\t: %s\nstepping\t: %u\n", (const char *)name, one.eax & 15);
	text_add(&t, "cpu MHz\t\t: %u.%03u\n", (u32)(clock_tsc_khz / 1000),
		 (u32)(clock_tsc_khz % 1000));
	text_add(&t, "physical id\t: 0\nsiblings\t: %u\ncore id\t\t: %u\ncpu cores\t: %u\n",
		 nr_cpus, cpu, nr_cpus);
	text_add(&t, "apicid\t\t: %u\ninitial apicid\t: %u\n", cpu_apic_ids[cpu],
		 cpu_apic_ids[cpu]);
	text_add(&t, "fpu\t\t: yes\nfpu_exception\t: yes\ncpuid level\t: %u\nwp\t\t: yes\n",
		 zero.eax);
	text_add_all_flags(&t);
	text_add(&t, "bogomips\t: %u.%02u\n", (u32)(clock_tsc_khz / 500),
		 (u32)(clock_tsc_khz / 5 % 100));
	text_add(&t, "clflush size\t: %u\ncache_alignment\t: 64\n", (one.ebx >> 8 & 255) * 8);
	text_add(&t, "address sizes\t: %u bits physical, %u bits virtual\npower management:\n\n",
		 sizes.eax & 255, min(sizes.eax >> 8 & 255, 48u));
	return t.length;
}
