/* The calls of memory policies: set_mempolicy(2), mbind(2), move_pages(2) and their kin. */
#include "syscalls.h"
#include "user_path.h"

#include <nos/aspace.h>
#include <nos/memory_policy.h>
#include <nos/task.h>
#include <nos/thread.h>

#include <linux/capability.h>
#include <linux/mempolicy.h>

static_assert(BIND_STRICT == MPOL_MF_STRICT && BIND_MOVE == MPOL_MF_MOVE &&
	      BIND_MOVE_ALL == MPOL_MF_MOVE_ALL);

/* ---- masks of nodes ---- */

static int mask_read_word(const u64 __user *from, u64 nr_bits, u64 *word)
{
	if (get_user(*word, from))
		return -EFAULT;
	if (nr_bits % 64)
		*word &= bit(nr_bits % 64) - 1;
	return 0;
}

/* The last of `max` bits does not count, as on Linux. */
static int mask_read(struct node_mask *m, const void __user *from, unsigned long max)
{
	const u64 __user *words = from;
	u64 nr = max - 1, word;

	*m = (struct node_mask){ 0 };
	if (nr == 0 || !from)
		return 0;
	if (nr > PAGE_SIZE * 8)
		return -EINVAL;
	if (!user_range_ok((u64)from, div_round_up(nr, 64ul) * 8))
		return -EFAULT;
	for (u64 i = div_round_up(nr, 64ul); i-- > 0;) {
		int err = mask_read_word(words + i, min(nr - i * 64, 64ul), &word);

		if (err)
			return err;
		if (i < ARRAY_SIZE(m->word))
			m->word[i] = word;
		else if (word)
			return -EINVAL;
	}
	return 0;
}

static int mask_write(void __user *to, unsigned long max, const struct node_mask *m)
{
	u64 bytes = div_round_up(max - 1, 64ul) * 8, known = 8; /* of the nodes that may exist */

	if (bytes > known) {
		if (bytes > PAGE_SIZE)
			return -EINVAL;
		if (!user_range_ok((u64)to, bytes) ||
		    clear_user((char __user *)to + known, bytes - known))
			return -EFAULT;
		bytes = known;
	}
	return copy_to_user(to, m, bytes) ? -EFAULT : 0;
}

/* ---- policies ---- */

static int mode_split(unsigned *mode, unsigned *flags)
{
	*flags = *mode & MPOL_MODE_FLAGS;
	*mode &= ~(unsigned)MPOL_MODE_FLAGS;
	if (*mode >= MPOL_PREFERRED_MANY + 1)
		return -EINVAL;
	if ((*flags & MPOL_F_STATIC_NODES) && (*flags & MPOL_F_RELATIVE_NODES))
		return -EINVAL;
	return (*flags & MPOL_F_NUMA_BALANCING) && *mode != MPOL_BIND ? -EINVAL : 0;
}

long sys_set_mempolicy(int how, const void __user *nodes, unsigned long maxnode)
{
	unsigned mode = (unsigned)how, flags;
	struct node_mask mask;
	int err = mode_split(&mode, &flags) ?: mask_read(&mask, nodes, maxnode);

	if (err)
		return err;
	struct memory_policy *p = memory_policy_create(mode, flags, &mask);

	if (is_err(p))
		return ptr_err(p);
	memory_policy_set(p);
	return 0;
}

long sys_mbind(unsigned long start, unsigned long len, unsigned long how, const void __user *nodes,
	       unsigned long maxnode, unsigned flags)
{
	unsigned mode = (unsigned)how, mode_flags;
	struct node_mask mask;
	int err = mode_split(&mode, &mode_flags) ?: mask_read(&mask, nodes, maxnode);
	u64 end = start + align_up(len, PAGE_SIZE);

	if (err)
		return err;
	if (flags & ~(unsigned)MPOL_MF_VALID)
		return -EINVAL;
	if ((flags & MPOL_MF_MOVE_ALL) && !process_has_capability(CAP_SYS_NICE))
		return -EPERM;
	if (start % PAGE_SIZE || end < start)
		return -EINVAL;
	if (mode == MPOL_DEFAULT)
		flags &= ~(unsigned)MPOL_MF_STRICT;
	if (end == start)
		return 0;
	struct memory_policy *p = memory_policy_create(mode, mode_flags, &mask);

	return is_err(p) ? ptr_err(p) : aspace_bind(current_thread->aspace, start, end, p, flags);
}

long sys_set_mempolicy_home_node(unsigned long start, unsigned long len, unsigned long node,
				 unsigned long flags)
{
	u64 end = start + align_up(len, PAGE_SIZE);

	if (start % PAGE_SIZE || flags || node >= memory_nr_nodes() || end < start)
		return -EINVAL;
	if (end == start)
		return 0;
	return aspace_bind_home(current_thread->aspace, start, end, (unsigned)node);
}

/* MPOL_F_NODE: a node instead of the policy. */
static int node_of_policy(const struct memory_policy *p, u64 address, unsigned long flags)
{
	if (flags & MPOL_F_ADDR) {
		size_t offset;
		struct folio *f = aspace_pin(current_thread->aspace, address, false, &offset);

		if (is_err(f))
			return -EFAULT;
		int node = (int)folio_node(f);

		folio_put(f);
		return node;
	}
	if (!p || p->mode != MPOL_INTERLEAVE)
		return -EINVAL;
	return (int)memory_policy_next_node(p);
}

long sys_get_mempolicy(void __user *mode, void __user *nodes, unsigned long maxnode,
		       unsigned long addr, unsigned long flags)
{
	struct node_mask mask = { 0 };
	const struct memory_policy *p = NULL;
	int value = 0;

	if (nodes && maxnode < memory_nr_nodes())
		return -EINVAL;
	if (flags & ~(unsigned long)(MPOL_F_NODE | MPOL_F_ADDR | MPOL_F_MEMS_ALLOWED))
		return -EINVAL;
	if (flags & MPOL_F_MEMS_ALLOWED) {
		if (flags & (MPOL_F_NODE | MPOL_F_ADDR))
			return -EINVAL;
		mask.word[0] = memory_node_map();
	} else if (flags & MPOL_F_ADDR) {
		int err = aspace_policy_at(current_thread->aspace, addr, &p);

		if (err)
			return err;
	} else if (addr) {
		return -EINVAL;
	} else {
		p = current_thread->memory_policy;
		memory_policy_get(p);
	}
	if (p && (p->flags & (MPOL_F_STATIC_NODES | MPOL_F_RELATIVE_NODES)))
		mask = p->user;
	else if (p)
		mask.word[0] = p->nodes;
	if (flags & MPOL_F_NODE)
		value = node_of_policy(p, addr, flags);
	else if (p)
		value = p->mode | p->flags;
	memory_policy_put(p);
	if (value < 0)
		return value;
	if (mode && put_user((u32)value, (u32 __user *)mode))
		return -EFAULT;
	return nodes ? mask_write(nodes, maxnode, &mask) : 0;
}

/* ---- pages of other processes ---- */

/* The address space of a process; ERR -ESRCH, -EPERM, -EINVAL (it has none). */
static struct aspace *numa_aspace(int pid)
{
	struct aspace *a = pid ? task_inspect_aspace(pid, false) : task_get_aspace(task_current());

	return a ? a : err_ptr(-EINVAL);
}

long sys_migrate_pages(int pid, unsigned long maxnode, const void __user *from,
		       const void __user *to)
{
	struct node_mask old, new;
	int err = mask_read(&old, from, maxnode) ?: mask_read(&new, to, maxnode);

	if (err)
		return err;
	u64 there = memory_node_map(), outside = new.word[0] & ~there;
	struct aspace *a = numa_aspace(pid);

	if (is_err(a))
		return ptr_err(a);
	for (unsigned i = 1; i < ARRAY_SIZE(new.word); i++)
		outside |= new.word[i];
	s64 result = -EINVAL;

	if (outside && !process_has_capability(CAP_SYS_NICE))
		result = -EPERM;
	else if (new.word[0] & there)
		result = aspace_migrate(a, old.word[0] & there, new.word[0] & there);
	aspace_put(a);
	return result;
}

/* One of move_pages: what its status is; a fault of the call itself through *err. */
static int page_status(struct aspace *a, u64 page, const s32 __user *wanted, int *err)
{
	s32 node;

	if (!wanted)
		return aspace_page_node(a, page);
	if (get_user(node, wanted))
		return *err = -EFAULT;
	if (node < 0 || (u32)node >= memory_nr_nodes() || !(memory_node_map() >> node & 1))
		return *err = -ENODEV;
	return aspace_page_move(a, page, (unsigned)node);
}

long sys_move_pages(int pid, unsigned long nr, const void __user *pages, const void __user *nodes,
		    void __user *status, int flags)
{
	const u64 __user *page = pages;
	const s32 __user *wanted = nodes;
	s32 __user *to = status;
	u64 address;
	int err = 0;

	if (flags & ~(MPOL_MF_MOVE | MPOL_MF_MOVE_ALL))
		return -EINVAL;
	if ((flags & MPOL_MF_MOVE_ALL) && !process_has_capability(CAP_SYS_NICE))
		return -EPERM;
	struct aspace *a = numa_aspace(pid);

	if (is_err(a))
		return ptr_err(a);
	for (u64 i = 0; i < nr && !err; i++) {
		if (fatal_signal_is_pending()) {
			err = -EINTR;
			break;
		}
		if (get_user(address, page + i)) {
			err = -EFAULT;
			break;
		}
		int what = page_status(a, address, wanted ? wanted + i : NULL, &err);

		if (!err && put_user((u32)what, (u32 __user *)to + i))
			err = -EFAULT;
	}
	aspace_put(a);
	return err;
}
