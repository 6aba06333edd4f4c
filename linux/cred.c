/* User and group ids, supplementary groups, capabilities. */
#include "syscalls.h"

#include <nos/process.h>

#include <linux/capability.h>

#define GROUPS_MAX 65536

long sys_getuid(void)
{
	return cred_current()->uid;
}

long sys_geteuid(void)
{
	return cred_current()->euid;
}

long sys_getgid(void)
{
	return cred_current()->gid;
}

long sys_getegid(void)
{
	return cred_current()->egid;
}

long sys_setuid(u32 uid)
{
	return cred_set_uid(uid);
}

long sys_setgid(u32 gid)
{
	return cred_set_gid(gid);
}

long sys_setreuid(u32 ruid, u32 euid)
{
	return cred_set_reuid(ruid, euid);
}

long sys_setregid(u32 rgid, u32 egid)
{
	return cred_set_regid(rgid, egid);
}

long sys_setresuid(u32 ruid, u32 euid, u32 suid)
{
	return cred_set_resuid(ruid, euid, suid);
}

long sys_setresgid(u32 rgid, u32 egid, u32 sgid)
{
	return cred_set_resgid(rgid, egid, sgid);
}

long sys_setfsuid(u32 uid)
{
	return cred_set_fsuid(uid);
}

long sys_setfsgid(u32 gid)
{
	return cred_set_fsgid(gid);
}

long sys_getresuid(void __user *ruid, void __user *euid, void __user *suid)
{
	const struct cred *c = cred_current();

	if (put_user(c->uid, (u32 __user *)ruid) || put_user(c->euid, (u32 __user *)euid) ||
	    put_user(c->suid, (u32 __user *)suid))
		return -EFAULT;
	return 0;
}

long sys_getresgid(void __user *rgid, void __user *egid, void __user *sgid)
{
	const struct cred *c = cred_current();

	if (put_user(c->gid, (u32 __user *)rgid) || put_user(c->egid, (u32 __user *)egid) ||
	    put_user(c->sgid, (u32 __user *)sgid))
		return -EFAULT;
	return 0;
}

long sys_getgroups(int nr, void __user *list)
{
	const struct group_list *g = cred_current()->groups;

	if (nr < 0)
		return -EINVAL;
	if (nr > 0) {
		if ((u32)nr < g->nr)
			return -EINVAL;
		if (copy_to_user(list, g->gid, g->nr * sizeof(u32)))
			return -EFAULT;
	}
	return g->nr;
}

long sys_setgroups(int nr, const void __user *list)
{
	struct group_list *g;

	if (!capable(CAP_SETGID))
		return -EPERM;
	if (nr < 0 || nr > GROUPS_MAX)
		return -EINVAL;
	g = group_list_create((u32)nr);
	if (!g)
		return -ENOMEM;
	if (copy_from_user(g->gid, list, (u32)nr * sizeof(u32))) {
		group_list_put(g);
		return -EFAULT;
	}
	group_list_sort(g);
	return cred_set_groups(g);
}

/* ---- capabilities: capget(2), three versions of one structure ---- */

/* Number of 32-bit words in each set; −errno, and then the header has our version. */
static int words_of_version(struct __user_cap_header_struct *h, void __user *header)
{
	switch (h->version) {
	case _LINUX_CAPABILITY_VERSION_1:
		return _LINUX_CAPABILITY_U32S_1;
	case _LINUX_CAPABILITY_VERSION_2:
	case _LINUX_CAPABILITY_VERSION_3:
		return _LINUX_CAPABILITY_U32S_3;
	default:
		h->version = _LINUX_CAPABILITY_VERSION_3;
		return put_user(*h, (struct __user_cap_header_struct __user *)header) ? -EFAULT :
											-EINVAL;
	}
}

long sys_capget(void __user *header, void __user *data)
{
	struct __user_cap_header_struct h;
	struct __user_cap_data_struct d[2];
	const struct cred *c;
	struct task *t;
	int words;

	if (get_user(h, (struct __user_cap_header_struct __user *)header))
		return -EFAULT;
	words = words_of_version(&h, header);
	if (words < 0)
		return words == -EINVAL && !data ? 0 : words;
	if (h.pid < 0)
		return -EINVAL;
	t = h.pid ? task_get(h.pid) : NULL;
	if (h.pid && !t)
		return -ESRCH;
	c = task_get_cred(t ? t : task_current());
	for (int i = 0; i < 2; i++) {
		d[i].effective = (u32)(c->cap_effective >> (32 * i));
		d[i].permitted = (u32)(c->cap_permitted >> (32 * i));
		d[i].inheritable = (u32)(c->cap_inheritable >> (32 * i));
	}
	cred_put(c);
	if (t)
		task_put(t);
	if (!data)
		return 0;
	return copy_to_user(data, d, (size_t)words * sizeof(d[0])) ? -EFAULT : 0;
}

long sys_capset(void __user *header, const void __user *data)
{
	struct __user_cap_header_struct h;
	struct __user_cap_data_struct d[2] = { 0 };
	int words;

	if (get_user(h, (struct __user_cap_header_struct __user *)header))
		return -EFAULT;
	words = words_of_version(&h, header);
	if (words < 0)
		return words;
	if (h.pid != 0 && h.pid != task_current()->tid)
		return -EPERM;
	if (copy_from_user(d, data, (size_t)words * sizeof(d[0])))
		return -EFAULT;
	return cred_set_capabilities(d[0].effective | (u64)d[1].effective << 32,
				     d[0].permitted | (u64)d[1].permitted << 32,
				     d[0].inheritable | (u64)d[1].inheritable << 32);
}
