/*
 * Per-CPU areas, bringing up the other CPUs, and calls between CPUs.
 *
 * Per-CPU area n (n > 0) lies in a slot of the per-CPU window: the copy of
 * .percpu, then the interrupt stacks and the idle stack, each with an unmapped
 * page below.  CPU 0 uses the section itself, so its offset is 0.
 *
 * Calls: each CPU has one slot {fn, arg, pending}.  A caller (preemption off,
 * so that the slot is its own) sets bit t of pending for each target and the
 * bit of itself in the target's `callers`, and sends an interrupt; a target
 * takes all callers at once, runs each slot's function, and clears its bit.
 * The caller spins with interrupts on, so two CPUs may call each other.
 *
 * SDM vol. 3, 9.4.4 (INIT-SIPI-SIPI).
 */
#include <nos/arch.h>
#include <nos/assert.h>
#include <nos/cpu.h>
#include <nos/log.h>
#include <nos/pte.h>
#include <nos/sanitize.h>
#include <nos/string.h>

#include "acpi.h"
#include "x86.h"

#define SLOT_SIZE (1ul << 20)
#define IDLE_STACK_SIZE 16384ul

u64 percpu_offset[MAX_CPUS];
DEFINE_PERCPU(u64, this_percpu_offset);
DEFINE_PERCPU(u32, this_cpu_id);
DEFINE_PERCPU(u32, this_numa_node);
unsigned nr_cpus = 1;

extern char percpu_start[], percpu_end[];
extern const char trampoline_start[], trampoline_end[], trampoline_parameters[];
extern u64 __stack_chk_guard;

struct trampoline_parameters {
	u64 page_table, kernel_table, stack, percpu, cpu;
};

static struct cpu_stacks cpu_stacks[MAX_CPUS];
static u32 cpus_answered; /* the number of the last CPU that runs C code */

void arch_secondary_main(unsigned cpu) __noreturn;

/* ---- per-CPU areas ---- */

static u64 map_fresh(u64 va, size_t len_bytes, unsigned node)
{
	int shadow = shadow_map((void *)va, len_bytes);

	if (shadow < 0)
		return 0;
	if (shadow)
		cpu_call_mask(bit(nr_cpus) - 1, (void (*)(void *))tlb_flush_global, NULL);
	for (u64 end = va + len_bytes; va < end; va += PAGE_SIZE) {
		phys_t frame = page_table_frame_alloc_on(node);

		if (!frame || kernel_map_page(va, frame, PTE_WRITE | PTE_NX))
			return 0;
	}
	return va;
}

/* Maps CPU n's area and stacks; returns the top of its idle stack, or 0. */
static u64 percpu_create(unsigned cpu)
{
	u64 at = PERCPU_MAP_BASE + cpu * SLOT_SIZE;
	size_t len = (size_t)(percpu_end - percpu_start);
	unsigned node = numa_node_of_cpu(cpu);
	u64 copy = at;

	at = map_fresh(at, align_up(len, PAGE_SIZE), node);
	if (!at)
		return 0;
	percpu_offset[cpu] = copy - (u64)percpu_start;
	for (unsigned i = 0; i < NR_IST; i++) {
		at = map_fresh(at + PAGE_SIZE, IST_STACK_SIZE, node);
		if (!at)
			return 0;
		cpu_stacks[cpu].ist_top[i] = at;
	}
	*per_cpu_ptr(this_percpu_offset, cpu) = percpu_offset[cpu];
	*per_cpu_ptr(this_cpu_id, cpu) = cpu;
	*per_cpu_ptr(this_numa_node, cpu) = node;
	*per_cpu_ptr(__stack_chk_guard, cpu) = __stack_chk_guard;
	return map_fresh(at + PAGE_SIZE, IDLE_STACK_SIZE, node);
}

/* ---- start ---- */

static void delay_us(u64 us)
{
	u64 end = cpu_cycles() + us * clock_tsc_khz / 1000;

	while (cpu_cycles() < end)
		cpu_relax();
}

static bool wait_answer(unsigned cpu, u64 us)
{
	u64 end = cpu_cycles() + us * clock_tsc_khz / 1000;

	while (atomic_load(&cpus_answered) != cpu)
		if (cpu_cycles() > end)
			return false;
		else
			cpu_relax();
	return true;
}

static bool secondary_start(unsigned cpu, u32 apic_id)
{
	apic_send_ipi(apic_id, ICR_INIT);
	delay_us(cpu_has(CPU_HYPERVISOR) ? 10 : 10000);
	apic_send_ipi(apic_id, ICR_STARTUP | TRAMPOLINE_PHYS >> PAGE_SHIFT);
	if (wait_answer(cpu, 10000))
		return true;
	apic_send_ipi(apic_id, ICR_STARTUP | TRAMPOLINE_PHYS >> PAGE_SHIFT);
	return wait_answer(cpu, 10000000); /* a virtual one may wait for its turn on a busy host */
}

/* INIT again, so that it does not come late under the number of another. */
static void secondary_give_up(u32 apic_id)
{
	apic_send_ipi(apic_id, ICR_INIT);
	log_err("smp: the CPU with APIC id %u does not answer", apic_id);
}

/* A top-level table that also maps the low 2 MiB at 0, for the trampoline; 0 without memory. */
static phys_t identity_table_create(void)
{
	phys_t tables[3];

	for (unsigned i = 0; i < 3; i++) {
		tables[i] = page_table_frame_alloc();
		if (!tables[i])
			return 0;
	}
	pte_t *top = phys_to_virt(tables[0]);

	memcpy(top, kernel_page_table, PAGE_SIZE);
	top[0] = tables[1] | PTE_PRESENT | PTE_WRITE;
	*(pte_t *)phys_to_virt(tables[1]) = tables[2] | PTE_PRESENT | PTE_WRITE;
	*(pte_t *)phys_to_virt(tables[2]) = PTE_PRESENT | PTE_WRITE | PTE_HUGE;
	return tables[0];
}

unsigned cpu_start_secondaries(void)
{
	char *low = phys_to_virt(TRAMPOLINE_PHYS);
	struct trampoline_parameters *p =
		(void *)(low + (trampoline_parameters - trampoline_start));
	phys_t identity = acpi_info.nr_cpus > 1 ? identity_table_create() : 0;

	if (!identity)
		return 0;
	memcpy(low, trampoline_start, (size_t)(trampoline_end - trampoline_start));
	for (unsigned i = 0; i < acpi_info.nr_cpus; i++) {
		u32 apic_id = acpi_info.apic_ids[i];
		unsigned cpu = nr_cpus;

		if (apic_id == cpu_apic_ids[0])
			continue;
		cpu_apic_ids[cpu] = apic_id;
		u64 stack = percpu_create(cpu);

		if (!stack)
			break;
		*p = (struct trampoline_parameters){
			.page_table = identity,
			.kernel_table = virt_to_phys(kernel_page_table),
			.stack = stack,
			.percpu = percpu_offset[cpu],
			.cpu = cpu,
		};
		if (secondary_start(cpu, apic_id))
			atomic_store(&nr_cpus, cpu + 1);
		else
			secondary_give_up(apic_id);
	}
	return nr_cpus - 1;
}

void arch_secondary_main(unsigned cpu)
{
	cpu_init_control_registers();
	descriptors_init_cpu(&cpu_stacks[cpu]);
	fpu_init_cpu();
	apic_init_cpu();
	atomic_store(&cpus_answered, cpu);
	while (atomic_load(&nr_cpus) <= cpu)
		cpu_relax();
	cpu_secondary_main();
}

/* ---- calls between CPUs ---- */

DEFINE_PERCPU(u64, counter_ipi_calls);
DEFINE_PERCPU(u64, counter_ipi_reschedules);

struct call_slot {
	void (*fn)(void *arg);
	void *arg;
	u64 pending; /* targets that have not finished */
};
static DEFINE_PERCPU(struct call_slot, call_slot);
static DEFINE_PERCPU(u64, call_callers);

void cpu_call_handle(void)
{
	u64 callers = atomic_xchg(this_cpu_ptr(call_callers), 0);

	while (callers) {
		unsigned from = (unsigned)__builtin_ctzll(callers);
		struct call_slot *s = per_cpu_ptr(call_slot, from);

		callers &= callers - 1;
		s->fn(s->arg);
		atomic_and(&s->pending, ~bit(cpu_id()));
	}
}

void cpu_call_mask(u64 mask, void (*fn)(void *arg), void *arg)
{
	u64 others = mask & ~bit(cpu_id());

	ASSERT(irq_is_enabled() || !others);
	if (others) {
		struct call_slot *s = this_cpu_ptr(call_slot);

		s->fn = fn;
		s->arg = arg;
		atomic_store(&s->pending, others);
		for (u64 left = others; left; left &= left - 1) {
			unsigned cpu = (unsigned)__builtin_ctzll(left);

			atomic_or(per_cpu_ptr(call_callers, cpu), bit(cpu_id()));
			this_cpu_add(counter_ipi_calls, 1ul);
			apic_send_ipi(cpu_apic_ids[cpu], VECTOR_CALL);
		}
	}
	if (mask & bit(cpu_id())) {
		u64 flags = irq_save();

		fn(arg);
		irq_restore(flags);
	}
	while (others && atomic_load(&this_cpu_ptr(call_slot)->pending))
		cpu_relax();
}

void cpu_call(unsigned cpu, void (*fn)(void *arg), void *arg)
{
	cpu_call_mask(bit(cpu), fn, arg);
}

void cpu_send_reschedule(unsigned cpu)
{
	this_cpu_add(counter_ipi_reschedules, 1ul);
	apic_send_ipi(cpu_apic_ids[cpu], VECTOR_RESCHEDULE);
}

/* ---- NUMA ---- */

unsigned numa_nr_nodes(void)
{
	return acpi_info.nr_nodes ? acpi_info.nr_nodes : 1;
}

__unchecked unsigned numa_node_of_cpu(unsigned cpu)
{
	for (unsigned i = 0; i < acpi_info.nr_cpus; i++)
		if (acpi_info.apic_ids[i] == cpu_apic_ids[cpu])
			return acpi_info.cpu_node[i];
	return 0;
}

unsigned numa_node_of_phys(phys_t p)
{
	for (unsigned i = 0; i < acpi_info.nr_memory; i++)
		if (p >= acpi_info.memory[i].start && p < acpi_info.memory[i].end)
			return acpi_info.memory[i].node;
	return 0;
}

unsigned numa_distance(unsigned from, unsigned to)
{
	return from == to || from >= numa_nr_nodes() || to >= numa_nr_nodes() ?
		       10 :
		       acpi_info.distance[from][to];
}
