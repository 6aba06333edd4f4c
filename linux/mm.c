/* The calls of memory: mmap(2) and its kin. */
#include "syscalls.h"
#include "user_path.h"

#include <nos/aspace.h>
#include <nos/file.h>
#include <nos/rcu.h>
#include <nos/slab.h>
#include <nos/task.h>
#include <nos/thread.h>

#include <asm/mman.h>
#include <asm/resource.h>
#include <linux/capability.h>
#include <linux/mman.h>
#include <linux/uio.h>

static inline struct aspace *this_aspace(void)
{
	return current_thread->aspace;
}

/* ---- mmap ---- */

#define KNOWN_MAP_FLAGS                                                                            \
	(MAP_SHARED | MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS | MAP_32BIT | MAP_GROWSDOWN |        \
	 MAP_DENYWRITE | MAP_EXECUTABLE | MAP_LOCKED | MAP_NORESERVE | MAP_POPULATE |              \
	 MAP_NONBLOCK | MAP_STACK | MAP_HUGETLB | MAP_FIXED_NOREPLACE)

/* What the file allows, and what it makes of the request. */
static long map_file(struct file *f, struct map_request *r)
{
	u32 type = r->map_flags & MAP_TYPE;

	if (!r->length ||
	    (type != MAP_SHARED && type != MAP_PRIVATE && type != MAP_SHARED_VALIDATE))
		return -EINVAL;
	if (type == MAP_SHARED_VALIDATE && (r->map_flags & ~(u32)KNOWN_MAP_FLAGS))
		return -EOPNOTSUPP;
	if (!(f->mode & FILE_READ))
		return -EACCES;
	if (type != MAP_PRIVATE && (r->prot & PROT_WRITE) && !(f->mode & FILE_WRITE))
		return -EACCES;
	r->file = f;
	r->file_may_write = f->mode & FILE_WRITE;
	r->file_may_exec = !path_is_noexec(&f->path);
	if (!f->ops->map)
		return -ENODEV;
	int err = f->ops->map(f, r);

	return err ? err : aspace_map(this_aspace(), r);
}

static __noinline long map_any(unsigned long addr, unsigned long len, unsigned long prot,
			       unsigned long flags, int fd, unsigned long offset)
{
	struct map_request r = {
		.address = addr,
		.length = len,
		.prot = (u32)prot,
		.map_flags = (u32)flags,
		.page_offset = offset >> PAGE_SHIFT,
	};

	if (offset % PAGE_SIZE)
		return -EINVAL;
	if (flags & MAP_HUGETLB)
		return flags & MAP_ANONYMOUS ? -ENOMEM : -EINVAL; /* no such pages reserved */
	if (flags & MAP_LOCKED) {
		if (!process_rlimit(RLIMIT_MEMLOCK) && !process_has_capability(CAP_IPC_LOCK))
			return -EPERM;
	}
	if (flags & MAP_ANONYMOUS) {
		r.page_offset = 0;
		return aspace_map(this_aspace(), &r);
	}
	scoped_fd ref = fd_lookup(fd);

	return ref.file ? map_file(ref.file, &r) : -EBADF;
}

long sys_mmap(unsigned long addr, unsigned long len, unsigned long prot, unsigned long flags,
	      int fd, unsigned long offset)
{
	/* MAP_STACK means nothing */
	if ((flags & ~(unsigned long)MAP_STACK) == (MAP_PRIVATE | MAP_ANONYMOUS) &&
	    offset % PAGE_SIZE == 0)
		return aspace_map_private(this_aspace(), addr, len, (u32)prot);
	return map_any(addr, len, prot, flags, fd, offset);
}

long sys_munmap(unsigned long addr, unsigned long len)
{
	return aspace_unmap(this_aspace(), addr, len);
}

long sys_mprotect(unsigned long addr, unsigned long len, unsigned long prot)
{
	return aspace_protect(this_aspace(), addr, len, prot);
}

/* Without protection keys in the processor only key -1 (none) exists; see pkeys(7). */
long sys_pkey_mprotect(unsigned long addr, size_t len, unsigned long prot, int pkey)
{
	u64 end = addr + align_up(len, PAGE_SIZE);

	if (pkey == -1)
		return sys_mprotect(addr, len, prot);
	if (addr % PAGE_SIZE == 0 && (!len || end <= addr))
		return len ? -ENOMEM : 0;
	return -EINVAL;
}

long sys_pkey_alloc(unsigned long flags, unsigned long rights)
{
	return flags || (rights & ~3ul) ? -EINVAL : -ENOSPC;
}

long sys_pkey_free(int pkey)
{
	return -EINVAL;
}

long sys_brk(unsigned long end)
{
	return (long)aspace_brk(this_aspace(), end);
}

long sys_mremap(unsigned long addr, unsigned long old_len, unsigned long new_len,
		unsigned long flags, unsigned long new_addr)
{
	if (flags > U32_MAX)
		return -EINVAL;
	return aspace_remap(this_aspace(), addr, old_len, new_len, (u32)flags, new_addr);
}

long sys_msync(unsigned long addr, size_t len, int flags)
{
	return aspace_sync(this_aspace(), addr, len, flags);
}

long sys_madvise(unsigned long addr, size_t len, int advice)
{
	return aspace_advise(this_aspace(), addr, len, advice);
}

/* ---- mincore ---- */

long sys_mincore(unsigned long addr, size_t len, void __user *vec)
{
	u8 part[256];
	u64 nr = len / PAGE_SIZE + (len % PAGE_SIZE != 0), most = sizeof(part);

	if (addr % PAGE_SIZE)
		return -EINVAL;
	if (len > USER_ADDRESS_END || addr > USER_ADDRESS_END - len)
		return -ENOMEM;
	if (!user_range_ok((u64)vec, nr))
		return -EFAULT;
	for (u64 done = 0; done < nr;) {
		u64 n = min(nr - done, most);
		int err = aspace_mincore(this_aspace(), addr + done * PAGE_SIZE, n, part);

		/* Up to the hole one learns what is there. */
		if (err && n > 1) {
			most = 1;
			continue;
		}
		if (err)
			return err;
		if (copy_to_user((char __user *)vec + done, part, n))
			return -EFAULT;
		done += n;
	}
	return 0;
}

/* ---- locking ---- */

long sys_mlock(unsigned long addr, size_t len)
{
	return aspace_lock_range(this_aspace(), addr, len, true, false);
}

long sys_mlock2(unsigned long addr, size_t len, int flags)
{
	if (flags & ~MLOCK_ONFAULT)
		return -EINVAL;
	return aspace_lock_range(this_aspace(), addr, len, true, flags & MLOCK_ONFAULT);
}

long sys_munlock(unsigned long addr, size_t len)
{
	return aspace_lock_range(this_aspace(), addr, len, false, false);
}

long sys_mlockall(int flags)
{
	if (!flags || (flags & ~(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT)) || flags == MCL_ONFAULT)
		return -EINVAL;
	if (!process_rlimit(RLIMIT_MEMLOCK) && !process_has_capability(CAP_IPC_LOCK))
		return -EPERM;
	return aspace_lock_all(this_aspace(), flags);
}

long sys_munlockall(void)
{
	return aspace_lock_all(this_aspace(), 0);
}

/* ---- other processes' memory ---- */

#define VM_VECTOR_MAX 1024u

/* A list of ranges that is walked in step with another. */
struct vector_walk {
	struct iovec *vec;
	u64 nr, at, offset;
};

static int vector_read(struct vector_walk *w, const void __user *from, u64 nr)
{
	w->nr = nr;
	w->at = w->offset = 0;
	w->vec = NULL;
	if (nr > VM_VECTOR_MAX)
		return -EINVAL;
	if (nr == 0)
		return 0;
	w->vec = kmalloc(nr * sizeof(*w->vec), ALLOC_USER);
	if (!w->vec)
		return -ENOMEM;
	if (copy_from_user(w->vec, from, nr * sizeof(*w->vec)))
		return -EFAULT;
	u64 total = 0;

	for (u64 i = 0; i < nr; i++) {
		if ((s64)w->vec[i].iov_len < 0 ||
		    __builtin_add_overflow(total, w->vec[i].iov_len, &total) || (s64)total < 0)
			return -EINVAL;
	}
	return 0;
}

/* Bytes at *address in the current range, 0 at the end of the list. */
static u64 vector_next(struct vector_walk *w, u64 *address)
{
	while (w->at < w->nr && w->offset == w->vec[w->at].iov_len) {
		w->at++;
		w->offset = 0;
	}
	if (w->at == w->nr)
		return 0;
	*address = (u64)w->vec[w->at].iov_base + w->offset;
	return w->vec[w->at].iov_len - w->offset;
}

/* At most a page between a user address here and one there; bytes moved. */
static u64 vm_copy(struct aspace *a, u64 local, u64 remote, u64 len, void *page, bool write)
{
	if (write) {
		len -= copy_from_user(page, (const void __user *)local, len);
		return aspace_access(a, remote, page, len, true, false);
	}
	len = aspace_access(a, remote, page, len, false, false);
	return len - copy_to_user((void __user *)local, page, len);
}

static long vm_copy_all(struct aspace *a, struct vector_walk *local, struct vector_walk *remote,
			bool write)
{
	void *page = kmalloc(PAGE_SIZE, ALLOC_USER);
	u64 done = 0, here, there;

	if (!page)
		return -ENOMEM;
	for (;;) {
		u64 n = vector_next(local, &here), m = vector_next(remote, &there);

		n = min(min(n, m), (u64)PAGE_SIZE);
		if (n == 0 || (done && fatal_signal_is_pending()))
			break;
		u64 moved = vm_copy(a, here, there, n, page, write);

		done += moved;
		local->offset += moved;
		remote->offset += moved;
		if (moved < n) {
			kfree(page);
			return done ? (long)done : -EFAULT;
		}
	}
	kfree(page);
	return (long)done;
}

static long process_vm(int pid, const void __user *local, u64 nr_local, const void __user *remote,
		       u64 nr_remote, u64 flags, bool write)
{
	struct vector_walk l = { 0 }, r = { 0 };
	long result;

	if (flags)
		return -EINVAL;
	result = vector_read(&l, local, nr_local);
	if (!result)
		result = vector_read(&r, remote, nr_remote);
	if (!result) {
		struct aspace *a = task_inspect_aspace(pid, true) ?: err_ptr(-ESRCH);

		if (is_err(a)) {
			result = ptr_err(a);
		} else {
			result = vm_copy_all(a, &l, &r, write);
			aspace_put(a);
		}
	}
	kfree(l.vec);
	kfree(r.vec);
	return result;
}

long sys_process_vm_readv(int pid, const void __user *local, unsigned long nr_local,
			  const void __user *remote, unsigned long nr_remote, unsigned long flags)
{
	return process_vm(pid, local, nr_local, remote, nr_remote, flags, false);
}

long sys_process_vm_writev(int pid, const void __user *local, unsigned long nr_local,
			   const void __user *remote, unsigned long nr_remote, unsigned long flags)
{
	return process_vm(pid, local, nr_local, remote, nr_remote, flags, true);
}
