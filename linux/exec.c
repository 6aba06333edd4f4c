/* execve(2), execveat(2): the strings come from the user here, the rest is proc/exec.c. */
#include "syscalls.h"

#include <nos/exec.h>
#include <nos/slab.h>

#include <linux/fcntl.h>
#include <linux/limits.h>

#define POINTERS_AT_ONCE 32

/* One string, however long, into the request. */
static int add_user_string(struct exec_request *r, const char __user *from)
{
	u64 start = r->bytes;

	for (;;) {
		size_t room;
		char *to = exec_string_room(r, &room);
		ssize_t n;

		if (is_err(to))
			return (int)ptr_err(to);
		n = string_from_user(to, from, room);
		if (n < 0)
			return (int)n;
		if ((size_t)n < room) {
			exec_string_advance(r, (size_t)n + 1);
			return r->bytes - start > EXEC_STRING_MAX ? -E2BIG : 0;
		}
		exec_string_advance(r, room);
		from += room;
		if (r->bytes - start >= EXEC_STRING_MAX)
			return -E2BIG;
	}
}

/* Pointers are read in batches up to the end of their page, so that none is touched past the NULL's. */
static int add_user_strings(struct exec_request *r, const u64 __user *vector, u32 *count)
{
	u64 pointers[POINTERS_AT_ONCE];

	if (!vector)
		return 0;
	for (;;) {
		u64 to_page_end = PAGE_SIZE - ((u64)vector & ~PAGE_MASK);
		size_t n = clamp(to_page_end / sizeof(u64), 1ul, (u64)POINTERS_AT_ONCE);

		if (copy_from_user(pointers, vector, n * sizeof(u64)))
			return -EFAULT;
		for (size_t i = 0; i < n; i++) {
			int err;

			if (!pointers[i])
				return 0;
			err = add_user_string(r, (const char __user *)pointers[i]);
			if (err)
				return err;
			(*count)++;
		}
		vector += n;
	}
}

static long run(int dirfd, const char __user *path, const void __user *argv,
		const void __user *envp, int flags)
{
	char *name = kmalloc(PATH_MAX, 0);
	struct exec_request *r;
	ssize_t n;
	int err;

	if (!name)
		return -ENOMEM;
	n = string_from_user(name, path, PATH_MAX);
	if (n < 0 || n == PATH_MAX || (n == 0 && !(flags & AT_EMPTY_PATH))) {
		kfree(name);
		return n < 0 ? n : n == 0 ? -ENOENT : -ENAMETOOLONG;
	}
	r = exec_request_create(dirfd, name, flags);
	kfree(name);
	if (is_err(r))
		return ptr_err(r);
	err = add_user_strings(r, argv, &r->nr_arguments);
	exec_arguments_done(r);
	if (!err)
		err = add_user_strings(r, envp, &r->nr_environment);
	if (!err)
		err = exec_run(r);
	exec_request_destroy(r);
	return err;
}

long sys_execve(const char __user *path, const void __user *argv, const void __user *envp)
{
	return run(AT_FDCWD, path, argv, envp, 0);
}

long sys_execveat(int dirfd, const char __user *path, const void __user *argv,
		  const void __user *envp, int flags)
{
	return run(dirfd, path, argv, envp, flags);
}
