/*
 * Credentials (credentials(7), capabilities(7)): immutable once published, counted, read
 * under RCU or by the owner without a lock.  Laid in vfs because permission checks need
 * them; proc changes them (prepare a copy, commit it).
 */
#pragma once

#include <nos/lock.h>
#include <nos/percpu_ref.h>
#include <nos/rcu.h>
#include <nos/thread.h>
#include <nos/types.h>

struct group_list {
	struct ref refs;
	u32 nr;
	u32 gid[]; /* sorted */
};

struct cred {
	struct ref refs; /* of tasks, and others who act by it: together they own `opens` */
	struct percpu_ref opens; /* of open files; spread once a second task has it */
	u32 uid, euid, suid, fsuid;
	u32 gid, egid, sgid, fsgid;
	u64 cap_effective, cap_permitted, cap_inheritable, cap_bounding, cap_ambient;
	u32 securebits;
	bool no_new_privs;
	struct group_list *groups; /* never NULL */
	struct user_account *user; /* proc: what uid is charged with; NULL in host tests */
	u64 id; /* of this value: no other cred ever has it; not 0 */
};

/* The current thread's; kernel threads have root's.  Where it lies in struct task is a link-time constant
 * that proc defines (host tests: a function). */
#ifdef NOS_HOST
const struct cred *cred_current(void);
#else
extern char task_cred_offset[];
extern const struct cred init_cred;
static inline const struct cred *cred_current(void)
{
	const struct thread *t = current_thread;

	if (unlikely(t->is_kernel))
		return &init_cred;
	return *(const struct cred *const *)((const char *)t + (uintptr_t)task_cred_offset);
}
#endif
void cred_get(const struct cred *c);
void cred_put(const struct cred *c);
#ifdef NOS_HOST
static inline void cred_get_opens(const struct cred *c, u32 nr)
{
}
static inline void cred_put_open(const struct cred *c)
{
}
#else
/* The same for nr open files.  A thread takes it of its own.  A task alone with them is as usual as several
 * are: it does not ask RCU. */
static inline void cred_get_opens(const struct cred *c, u32 nr)
{
	struct percpu_ref *r = (struct percpu_ref *)&c->opens;

	if (c == &init_cred)
		return;
	if (atomic_load(&r->slot)) {
		percpu_ref_get_many(r, nr);
		return;
	}
	while (nr--)
		percpu_ref_get_shared(r);
}
static inline void cred_put_open(const struct cred *c)
{
	struct percpu_ref *r = (struct percpu_ref *)&c->opens;

	if (c == &init_cred)
		return;
	if (atomic_load(&r->slot))
		percpu_ref_put(r);
	else
		percpu_ref_put_shared(r);
}
#endif
bool cred_in_group(const struct cred *c, u32 gid); /* fsgid or supplementary */
static inline bool cred_has(const struct cred *c, int cap)
{
	return (c->cap_effective >> cap) & 1;
}
static inline bool capable(int cap)
{
	return cred_has(cred_current(), cap);
}
