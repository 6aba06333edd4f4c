/*
 * Interrupts: vectors, handlers, counts.
 *
 * A device vector is one number on all CPUs; it has a chain of handlers (an ISA
 * line may be shared, and then all of them run).  Handlers run with interrupts
 * off and preemption counted off, on the interrupted thread's stack or the
 * CPU's interrupt stack (arch).
 *
 * Locking.  irq_lock guards the chains against change; dispatch reads them
 * under RCU: an interrupt handler is a reader.
 */
#include "lock.h"
#include "log.h"
#include "rcu.h"
#include "sched.h"
#include "timer.h"

#include <nos/arch.h>
#include <nos/errno.h>
#include <nos/irq.h>
#include <nos/log.h>
#include <nos/trap.h>

#define NR_VECTORS 256
#define NR_ACTIONS 128
#define NR_GSI 256

struct irq_action {
	struct irq_action *next;
	irq_fn fn;
	void *arg;
	const char *name;
	bool used;
};

static struct irq_action actions[NR_ACTIONS];
static struct irq_action *vectors[NR_VECTORS];
static u8 gsi_vectors[NR_GSI];
static struct spinlock irq_lock = SPINLOCK_INIT(RANK_NONE);
static DEFINE_PERCPU(u64, irq_counts[NR_VECTORS]);
DEFINE_PERCPU(u32, irq_depth);

/* ---- dispatch ---- */

static void run_actions(unsigned vector)
{
	struct irq_action *a = atomic_load(&vectors[vector]);

	if (unlikely(!a) && (*this_cpu_ptr(irq_counts))[vector] == 1)
		log_warning("irq: vector %u has no handler", vector);
	for (; a; a = atomic_load(&a->next))
		a->fn(a->arg);
}

/* The sender marked the running thread; here the mark reaches the CPU's own word. */
static void take_reschedule(bool preemptible)
{
	if (unlikely(panic_is_in_progress()))
		cpu_stop();
	rcu_hurry(preemptible);
	log_deliver();
	report_if_wanted();
	if (READ_ONCE(current_thread->work) & WORK_RESCHEDULE)
		preempt_set_due();
}

void irq_dispatch(struct trap_frame *frame, unsigned vector)
{
	bool user = trap_is_from_user(frame);
	bool preemptible = user || (preempt_count() == 0 && (frame->rflags & 0x200));
	bool was_idle = rcu_irq_enter();

	if (user)
		lock_check_none_held();
	u8 locks = lock_irq_enter();

	if (unlikely(sections_measured))
		section_trapped();
	preempt_disable();
	this_cpu_add(irq_depth, 1);
	(*this_cpu_ptr(irq_counts))[vector]++;
	switch (vector) {
	case VECTOR_TIMER:
		timer_interrupt(user, preemptible);
		break;
	case VECTOR_RESCHEDULE:
		take_reschedule(preemptible);
		break;
	default:
		run_actions(vector);
	}
	irq_chip_eoi();
	this_cpu_add(irq_depth, -1);
	preempt_enable_no_resched();
	lock_irq_exit(locks);
	rcu_irq_exit(was_idle);
}

/* ---- registration ---- */

static struct irq_action *action_create(irq_fn fn, void *arg, const char *name)
{
	for (unsigned i = 0; i < NR_ACTIONS; i++) {
		struct irq_action *a = &actions[i];

		if (!a->used) {
			*a = (struct irq_action){
				.fn = fn, .arg = arg, .name = name, .used = true
			};
			return a;
		}
	}
	return NULL;
}

/* A vector with this action alone; irq_lock held. */
static int vector_create(struct irq_action *a)
{
	for (unsigned v = VECTOR_DEVICE_FIRST; v <= VECTOR_DEVICE_LAST; v++) {
		if (!vectors[v]) {
			atomic_store(&vectors[v], a);
			return (int)v;
		}
	}
	return -ENOSPC;
}

int irq_allocate(irq_fn fn, void *arg, const char *name, unsigned cpu)
{
	scoped_spin_irq(&irq_lock);
	struct irq_action *a = action_create(fn, arg, name);

	(void)cpu; /* vectors are the same on all CPUs; the caller routes to one */
	if (!a)
		return -ENOSPC;

	int vector = vector_create(a);

	if (vector < 0)
		a->used = false;
	return vector;
}

void irq_release(unsigned vector)
{
	u64 flags = spin_lock_irq(&irq_lock);
	struct irq_action *a = vectors[vector];

	atomic_store(&vectors[vector], (struct irq_action *)NULL);
	spin_unlock_irq(&irq_lock, flags);
	rcu_synchronize();
	for (; a; a = a->next)
		a->used = false;
}

/* Adds the handler to the line's chain, or gives the line a vector. */
static int gsi_add(unsigned gsi, bool level, bool active_low, struct irq_action *a)
{
	unsigned vector = gsi_vectors[gsi];

	if (vector) {
		struct irq_action **link = &vectors[vector];

		while (*link)
			link = &(*link)->next;
		atomic_store(link, a);
		return (int)vector;
	}

	int err = vector_create(a);

	if (err < 0)
		return err;
	vector = (unsigned)err;
	err = irq_route_gsi(gsi, vector, level, active_low);
	if (err) {
		atomic_store(&vectors[vector], (struct irq_action *)NULL);
		return err;
	}
	gsi_vectors[gsi] = (u8)vector;
	irq_mask_gsi(gsi, false);
	return (int)vector;
}

int irq_request_gsi(unsigned gsi, bool level, bool active_low, irq_fn fn, void *arg,
		    const char *name)
{
	if (gsi >= NR_GSI)
		return -ENODEV;

	scoped_spin_irq(&irq_lock);
	struct irq_action *a = action_create(fn, arg, name);

	if (!a)
		return -ENOSPC;

	int err = gsi_add(gsi, level, active_low, a);

	if (err < 0)
		a->used = false;
	return min(err, 0);
}

int irq_request_isa(unsigned isa_irq, irq_fn fn, void *arg, const char *name)
{
	bool level, active_low;
	unsigned gsi = irq_isa_to_gsi(isa_irq, &level, &active_low);

	return irq_request_gsi(gsi, level, active_low, fn, arg, name);
}

/* ---- for /proc/interrupts ---- */

u64 irq_count(unsigned vector, unsigned cpu)
{
	return (*per_cpu_ptr(irq_counts, cpu))[vector];
}

const char *irq_name(unsigned vector)
{
	switch (vector) {
	case VECTOR_TIMER:
		return "Local timer interrupts";
	case VECTOR_RESCHEDULE:
		return "Rescheduling interrupts";
	default: {
		const struct irq_action *a = atomic_load(&vectors[vector]);

		return a ? a->name : NULL;
	}
	}
}
