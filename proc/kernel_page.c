/*
 * What a process may know about itself without a call: a page that the kernel
 * writes and the process reads.
 *
 * Concepts.  In [vvar], below the clock's page, each address space has a page
 * of struct vdso_process: numbers of process, parent, group and session, ids
 * of users and groups, names of the system.  A value may also say that the
 * kernel has to be asked; the vDSO's functions (__vdso_nos_getpid …) then make
 * the call.  The page is made by the fault of its first reader: who doesn't
 * read it, and everyone with opt.kernel_page=off, costs and has nothing.
 *
 * Its *owner* is the process whose values it has.  There is none while another
 * process may run in the address space, and then every value says "ask":
 * from a vfork until the parent goes on, and for good after a clone with
 * CLONE_VM alone.
 *
 * Invariants.
 *   (1) a value that does not say "ask" is what the call would give to any
 *       thread that can read it in user mode at this moment;
 *   (2) page->owner == p exactly if p->kernel_page == page;
 *   (3) ids and names are those of all threads of the owner that may yet see
 *       user mode; where they differ the value says "ask".
 *
 * How (1) is kept.  What only the thread itself changes (ids, its namespace of
 * names) is written here before it returns to user mode; for the others
 * nothing has changed.  What others change without a lock that the call takes
 * (the parent; a namespace's names) says "ask" before the change and has the new
 * value after it: nobody gets the new value by the call and later the old one
 * from the page.  Group and session change under task_list_lock, which their
 * calls take, too.  There is nothing to invalidate late, hence nothing stale.
 *
 * A page belongs to one address space for as long as that lives, so no entry of
 * a page table outlives it; fork takes the parent's entry away before it copies
 * tables (aspace_fork), and the next touch brings it back.
 *
 * Locking.  task_list_lock: owners, values, and which page an address space
 * has.  The lock of a namespace: its list of pages, and their names.
 *
 * Rejected: see docs/decisions/kernel-page.md.
 */
#include "internal.h"

#include <nos/counter.h>
#include <nos/init.h>
#include <nos/vdso.h>

#include <linux/sched.h>

struct kernel_page {
	struct vdso_process *values; /* the page itself */
	struct process *owner;
	struct uts_namespace *uts; /* whose names it has; counted; NULL: none */
	struct list uts_node; /* in uts->pages */
};

static bool is_enabled __ro_after_init = true;
DEFINE_COUNTER(made, "proc.kernel_pages");

static int __init kernel_page_init(void)
{
	is_enabled = boot_opt_enabled("kernel_page");
	return 0;
}
INIT_STEP(INIT_CORE, kernel_page_init);

/* ---- names ---- */

static void forget_names(struct vdso_process *v)
{
	WRITE_ONCE(v->names_sequence, v->names_sequence | 1);
	__atomic_thread_fence(__ATOMIC_RELEASE);
}

static void tell_names(struct vdso_process *v, const struct new_utsname *names)
{
	ASSERT(v->names_sequence & 1);
	v->names = *names;
	atomic_store(&v->names_sequence, v->names_sequence + 1);
}

void kernel_pages_forget_names_locked(struct uts_namespace *u)
{
	struct kernel_page *k;

	ASSERT(spin_is_held(&u->lock));
	list_for_each(k, &u->pages, uts_node)
		forget_names(k->values);
}

void kernel_pages_tell_names_locked(struct uts_namespace *u)
{
	struct kernel_page *k;

	ASSERT(spin_is_held(&u->lock));
	list_for_each(k, &u->pages, uts_node)
		tell_names(k->values, &u->names);
}

/* Names of `new` from here on; NULL: of none.  The caller has it in hand. */
static void follow_namespace_locked(struct kernel_page *k, struct uts_namespace *new)
{
	struct uts_namespace *old = k->uts;

	if (new == old)
		return;
	if (old) {
		scoped_spin_irq(&old->lock);
		list_remove(&k->uts_node);
		forget_names(k->values);
	}
	k->uts = new;
	if (new) {
		uts_get(new);
		scoped_spin_irq(&new->lock);
		list_push_back(&new->pages, &k->uts_node);
		tell_names(k->values, &new->names);
	}
	if (old)
		uts_put(old);
}

/* ---- values ---- */

static u32 in_common(u32 all, u32 one)
{
	return all == one ? all : VDSO_ASK_ID;
}

/* What the threads of the owner, of which the current one is one, have. */
static void tell_threads_locked(struct kernel_page *k)
{
	const struct task *me = task_current();
	struct vdso_process *v = k->values;
	struct uts_namespace *uts = me->uts;
	u32 uid = me->cred->uid, euid = me->cred->euid, gid = me->cred->gid, egid = me->cred->egid;
	struct task *t;

	ASSERT(spin_is_held(&task_list_lock) && k->owner == me->process);
	list_for_each(t, &k->owner->threads, thread_node) {
		/* Its own thread, where `me` is not linked, and those that end don't count. */
		if (t == me || (READ_ONCE(t->flags) & TASK_EXITING))
			continue;
		scoped_spin_irq(&t->lock);
		uid = in_common(uid, t->cred->uid);
		euid = in_common(euid, t->cred->euid);
		gid = in_common(gid, t->cred->gid);
		egid = in_common(egid, t->cred->egid);
		if (t->uts != uts)
			uts = NULL;
	}
	WRITE_ONCE(v->uid, uid);
	WRITE_ONCE(v->euid, euid);
	WRITE_ONCE(v->gid, gid);
	WRITE_ONCE(v->egid, egid);
	follow_namespace_locked(k, uts);
}

void kernel_page_tell_place_locked(struct process *p)
{
	struct vdso_process *v = p->kernel_page->values;

	ASSERT(spin_is_held(&task_list_lock));
	WRITE_ONCE(v->parent, p->is_init ? VDSO_ASK_PID : (u32)p->parent->tgid);
	WRITE_ONCE(v->group, (u32)p->group->nr);
	WRITE_ONCE(v->session, (u32)p->session->nr);
}

void kernel_page_forget_parent_locked(struct process *p)
{
	ASSERT(spin_is_held(&task_list_lock));
	WRITE_ONCE(p->kernel_page->values->parent, VDSO_ASK_PID);
	__atomic_thread_fence(__ATOMIC_RELEASE);
}

static void tell_nothing(struct vdso_process *v)
{
	WRITE_ONCE(v->pid, VDSO_ASK_PID);
	WRITE_ONCE(v->parent, VDSO_ASK_PID);
	WRITE_ONCE(v->group, VDSO_ASK_PID);
	WRITE_ONCE(v->session, VDSO_ASK_PID);
	WRITE_ONCE(v->uid, VDSO_ASK_ID);
	WRITE_ONCE(v->euid, VDSO_ASK_ID);
	WRITE_ONCE(v->gid, VDSO_ASK_ID);
	WRITE_ONCE(v->egid, VDSO_ASK_ID);
	forget_names(v);
}

void kernel_page_tell_threads(void)
{
	scoped_spin_irq(&task_list_lock);
	struct process *p = process_current();

	if (p->kernel_page)
		tell_threads_locked(p->kernel_page);
}

/* ---- owners ---- */

/* The page of `a`, which is the current process's, gets its values, unless another may run there. */
static void own_locked(struct kernel_page *k, struct aspace *a)
{
	struct process *p = process_current();

	ASSERT(spin_is_held(&task_list_lock));
	if (k->owner || a->is_shared || READ_ONCE(a->nr_vforks))
		return;
	k->owner = p;
	WRITE_ONCE(p->kernel_page, k);
	/* kernel_page_follow: either it sees the page, or its change is seen here. */
	memory_fence();
	WRITE_ONCE(k->values->pid, (u32)p->tgid);
	tell_threads_locked(k);
	kernel_page_tell_place_locked(p);
}

void kernel_page_disown_locked(struct kernel_page *k)
{
	ASSERT(spin_is_held(&task_list_lock));
	if (!k->owner)
		return;
	WRITE_ONCE(k->owner->kernel_page, NULL);
	k->owner = NULL;
	tell_nothing(k->values);
	follow_namespace_locked(k, NULL);
}

void kernel_page_add_thread_slow_locked(struct task *t, u64 flags)
{
	struct aspace *a = t->thread.aspace;

	/* A vfork ends with the child's first thread, but this one goes on. */
	if (task_current()->vfork_done && READ_ONCE(a->nr_vforks))
		a->is_shared = true;
	if ((flags & CLONE_NEWUTS) && t->process->kernel_page)
		tell_threads_locked(t->process->kernel_page);
}

void kernel_page_leave(struct process *p)
{
	scoped_spin_irq(&task_list_lock);

	kernel_page_disown_locked(p->kernel_page);
}

void kernel_page_own_again(struct aspace *a)
{
	scoped_spin_irq(&task_list_lock);

	own_locked(a->kernel_page, a);
}

/* ---- for mm ---- */

void kernel_page_free(struct kernel_page *k)
{
	ASSERT(!k->owner && !k->uts);
	page_free(k->values, 0);
	kfree(k);
}

/* The page of `a`, perhaps made by another thread meanwhile; NULL: no memory. */
static struct kernel_page *kernel_page_create(struct aspace *a)
{
	struct kernel_page *k = kzalloc(sizeof(*k), 0);

	if (!k)
		return NULL;
	k->values = page_alloc(0, ALLOC_ZERO);
	if (!k->values) {
		kfree(k);
		return NULL;
	}
	tell_nothing(k->values);
	{
		scoped_spin_irq(&task_list_lock);

		if (!a->kernel_page) {
			atomic_store(&a->kernel_page, k);
			memory_fence(); /* kernel_page_unshare: it sees the page, or its count is seen here */
			own_locked(k, a);
			counter_inc(made);
			return k;
		}
	}
	kernel_page_free(k);
	return a->kernel_page;
}

phys_t kernel_page_map(struct aspace *a)
{
	struct task *t = task_current_or_null();
	struct kernel_page *k;

	if (!is_enabled)
		return virt_to_phys(vdso_process_unknown);
	/* Who looks from outside can't say whose page it would be; who ends must not own one. */
	if (!t || t->thread.aspace != a || (t->flags & TASK_EXITING))
		return 0;
	k = atomic_load(&a->kernel_page);
	if (!k)
		k = kernel_page_create(a);
	return virt_to_phys(k ? k->values : vdso_process_unknown);
}
