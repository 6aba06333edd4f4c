/*
 * Restartable sequences and membarrier: rseq(2), membarrier(2).
 *
 * A thread that registered an area is told there on which CPU it runs, and a
 * critical section that it names there is aborted when it was preempted, moved
 * or interrupted by a signal inside.  Core sets WORK_TASK when a thread that
 * wants it (seen_cpu) comes to run on another CPU; preemption in user mode
 * always passes exit_to_user_work.  The area is the user's: what can't be read
 * or makes no sense ends the process with SIGSEGV.
 */
#include "internal.h"

#include <nos/rcu.h>
#include <nos/uaccess.h>

#include <linux/membarrier.h>
#include <linux/rseq.h>

#define RSEQ_SIZE 32u
#define SIGNATURE_BYTES 4

static u32 __user *field_u32(const struct task *t, size_t offset)
{
	return (u32 __user *)(t->rseq_area + offset);
}

static int tell_cpu(struct task *t)
{
	u32 cpu = cpu_id();

	/* Before the stores: a move from here on brings us back. */
	WRITE_ONCE(t->thread.seen_cpu, cpu);
	if (user_store_u32(field_u32(t, offsetof(struct rseq, cpu_id_start)), cpu) ||
	    user_store_u32(field_u32(t, offsetof(struct rseq, cpu_id)), cpu) ||
	    user_store_u32(field_u32(t, offsetof(struct rseq, flags) + sizeof(u32)),
			   *per_cpu_ptr(this_numa_node, cpu)))
		return -EFAULT;
	return 0;
}

/* Reads the section's description and checks every field of it. */
static int read_section(struct task *t, u64 address, struct rseq_cs *cs)
{
	u32 signature;

	if (address > USER_ADDRESS_END - sizeof(*cs) ||
	    copy_from_user(cs, (const void __user *)address, sizeof(*cs)))
		return -EFAULT;
	if (cs->version != 0 || cs->start_ip >= USER_ADDRESS_END ||
	    cs->abort_ip >= USER_ADDRESS_END || cs->abort_ip < SIGNATURE_BYTES ||
	    cs->post_commit_offset > USER_ADDRESS_END - cs->start_ip ||
	    cs->abort_ip - cs->start_ip < cs->post_commit_offset)
		return -EINVAL;
	if (copy_from_user(&signature, (const void __user *)(cs->abort_ip - SIGNATURE_BYTES),
			   sizeof(signature)))
		return -EFAULT;
	return signature == t->rseq_signature ? 0 : -EINVAL;
}

static int abort_section(struct task *t, struct trap_frame *frame)
{
	u64 __user *pointer = (u64 __user *)(t->rseq_area + offsetof(struct rseq, rseq_cs));
	struct rseq_cs cs;
	u64 address;
	int err;

	if (user_load_u64(&address, pointer))
		return -EFAULT;
	if (!address)
		return 0;
	err = read_section(t, address, &cs);
	if (err)
		return err;
	if (user_store_u64(pointer, 0))
		return -EFAULT;
	if (frame->rip - cs.start_ip < cs.post_commit_offset)
		frame->rip = cs.abort_ip;
	return 0;
}

void rseq_fix_up(struct task *t, struct trap_frame *frame)
{
	int err;

	if (!t->rseq_area || (t->flags & TASK_EXITING))
		return;
	err = abort_section(t, frame);
	if (!err && t->thread.seen_cpu != cpu_id())
		err = tell_cpu(t);
	if (err) {
		t->rseq_area = 0;
		t->thread.seen_cpu = SEEN_CPU_NONE;
		signal_force(SIGSEGV, NULL);
	}
}

static int unregister(struct task *t, u64 area, u32 length, u32 signature)
{
	if (!t->rseq_area || area != t->rseq_area || length != t->rseq_length)
		return -EINVAL;
	if (signature != t->rseq_signature)
		return -EPERM;
	if (user_store_u32(field_u32(t, offsetof(struct rseq, cpu_id_start)), 0) ||
	    user_store_u32(field_u32(t, offsetof(struct rseq, cpu_id)),
			   (u32)RSEQ_CPU_ID_UNINITIALIZED))
		return -EFAULT;
	t->rseq_area = 0;
	t->thread.seen_cpu = SEEN_CPU_NONE;
	return 0;
}

int rseq_register(u64 area, u32 length, u32 flags, u32 signature)
{
	struct task *t = task_current();

	if (flags & RSEQ_FLAG_UNREGISTER)
		return flags & ~(u32)RSEQ_FLAG_UNREGISTER ? -EINVAL :
							    unregister(t, area, length, signature);
	if (flags)
		return -EINVAL;
	if (t->rseq_area) {
		if (area != t->rseq_area || length != t->rseq_length)
			return -EINVAL;
		return signature != t->rseq_signature ? -EPERM : -EBUSY;
	}
	if (area % RSEQ_SIZE || length < RSEQ_SIZE || length > PAGE_SIZE)
		return -EINVAL;
	if (area > USER_ADDRESS_END - length || !area)
		return -EFAULT;
	t->rseq_area = area;
	t->rseq_length = length;
	t->rseq_signature = signature;
	/* Told on the way out. */
	t->thread.seen_cpu = SEEN_CPU_NONE;
	thread_set_work(&t->thread, WORK_TASK);
	return 0;
}

/* ---- membarrier ---- */

#define REGISTRATIONS                                                                              \
	(MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED | MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED |    \
	 MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE |                                     \
	 MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ)

static void fence_here(void *arg)
{
	memory_fence();
}

/* Sections of this address space's threads that run right now start over. */
static void abort_here(void *arg)
{
	memory_fence();
	if (!current_thread->is_kernel && current_thread->aspace == arg)
		atomic_or(&current_thread->work, WORK_TASK);
}

/* Returning from the interrupt serialises the core (SDM vol. 3, 9.3: IRET). */
static void on_all_cpus(void (*fn)(void *arg), int cpu)
{
	u64 all = nr_cpus == MAX_CPUS ? U64_MAX : (1ull << nr_cpus) - 1;

	memory_fence();
	if (cpu >= 0)
		all &= 1ull << cpu;
	preempt_disable();
	cpu_call_mask(all, fn, current_thread->aspace);
	preempt_enable();
	memory_fence();
}

int membarrier_command(int command, u32 flags, int cpu)
{
	struct aspace *a = current_thread->aspace;
	bool rseq = command == MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ;

	if (flags && !(rseq && flags == MEMBARRIER_CMD_FLAG_CPU))
		return -EINVAL;
	if (!flags)
		cpu = -1;
	else if (!(READ_ONCE(a->membarrier_state) & (u32)command << 1))
		return -EPERM;
	else if (cpu < 0 || (unsigned)cpu >= nr_cpus)
		return 0;
	switch (command) {
	case MEMBARRIER_CMD_QUERY:
		return MEMBARRIER_CMD_GLOBAL | MEMBARRIER_CMD_GLOBAL_EXPEDITED |
		       MEMBARRIER_CMD_PRIVATE_EXPEDITED |
		       MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE |
		       MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ | REGISTRATIONS;
	case MEMBARRIER_CMD_GLOBAL:
		if (nr_cpus > 1)
			rcu_synchronize();
		return 0;
	case MEMBARRIER_CMD_GLOBAL_EXPEDITED:
		on_all_cpus(fence_here, -1);
		return 0;
	case MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED:
	case MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED:
	case MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE:
	case MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ:
		atomic_or(&a->membarrier_state, (u32)command);
		return 0;
	case MEMBARRIER_CMD_PRIVATE_EXPEDITED:
	case MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE:
	case MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ:
		/* The registration's bit is the next one up. */
		if (!(READ_ONCE(a->membarrier_state) & (u32)command << 1))
			return -EPERM;
		on_all_cpus(rseq ? abort_here : fence_here, cpu);
		return 0;
	default:
		return -EINVAL;
	}
}
