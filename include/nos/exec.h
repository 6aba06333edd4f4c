/*
 * Running a program (proc/exec.c).  linux/ creates a request, adds the
 * strings of argv and then envp, and runs it; on success the current user
 * frame is that of the new program.
 */
#pragma once

#include <nos/file.h>
#include <nos/types.h>

#define EXEC_STRING_MAX (32 * PAGE_SIZE) /* one argument, with its NUL */
#define EXEC_HEAD_BYTES 256 /* of the file that decide what it is */
#define EXEC_PREFIX_MAX 16

struct exec_request {
	struct file *file; /* the program, opened for execution */
	char *name; /* AT_EXECFN, and the script's own name */
	bool name_inaccessible; /* by a close-on-exec descriptor: no use to an interpreter */
	/* strings, one after the other with their NULs: arguments, then environment */
	char **pages;
	u32 nr_pages;
	u64 bytes, limit_bytes;
	u64 argument_bytes; /* where the environment begins */
	u32 nr_arguments, nr_environment;
	/* what scripts put in front, in place of the first argument */
	char *prefix[EXEC_PREFIX_MAX];
	u32 nr_prefix;
	u64 prefix_bytes;
	u64 skip_bytes; /* of the first argument, once it is replaced */
	u8 head[EXEC_HEAD_BYTES];
};

/* Looks the program up and checks that it may be run; at_flags as execveat(2).  ERR. */
struct exec_request *exec_request_create(int dirfd, const char *path, int at_flags);
void exec_request_destroy(struct exec_request *r);
/* Room for the next bytes of the current string: pointer and how many (at least 1); ERR -E2BIG, -ENOMEM. */
char *exec_string_room(struct exec_request *r, size_t *room);
/* Takes n bytes of that room as written. */
void exec_string_advance(struct exec_request *r, size_t n);
/* A whole string from the kernel; 0 or −errno. */
int exec_string_add(struct exec_request *r, const char *s);
void exec_arguments_done(struct exec_request *r);
/* 0: the frame starts the new program.  −errno: nothing has changed.  Does not return when it
 * fails too late. */
int exec_run(struct exec_request *r);
