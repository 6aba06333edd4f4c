/*
 * exec: a process becomes another program.
 *
 * How it works.  A request collects the program's file and the strings in
 * kernel pages, so that neither changes while it is looked at.  Scripts
 * replace the file by their interpreter's and put its name in front of the
 * arguments, at most five deep.  Then the ELF headers of program and
 * interpreter are read and checked.  Up to here an error leaves the caller as
 * it was.  Next the other threads are told to die; when they are gone the new
 * address space is built and swapped in, and what belongs to the old program
 * is reset.  An error after the others have died can't be returned to anyone
 * sensible: the process gets SIGSEGV, as on Linux.
 *
 * Invariants.
 *   (1) the program's file denies writing as long as an address space has it
 *       as exe_file;
 *   (2) credentials change after the old memory is gone and before the new
 *       program's first instruction; in between nothing of the user runs;
 *   (3) the task that execs becomes the leader: it takes over number, exit
 *       signal and place of a leader that had to die.
 *
 * References: execve(2), "Interpreter scripts"; execveat(2); ptrace(2) is not
 * there yet; elf(5).
 */
#include "internal.h"
#include "elf.h"
#include "script.h"

#include <nos/exec.h>
#include <nos/vmap.h>

#include <linux/fcntl.h>
#include <linux/personality.h>
#include <linux/resource.h>
#include <linux/limits.h>
#include <linux/stat.h>

#define SCRIPT_DEPTH_MAX 5
#define STRINGS_MIN (128ull << 10)
#define STRINGS_MAX (6ull << 20)

/* ---- the program's file ---- */

static struct file *open_path_for_exec(const struct path *p)
{
	struct inode *i = p->dentry->inode;
	struct file *f;
	int err;

	if ((i->mode & S_IFMT) != S_IFREG || path_is_noexec(p))
		return err_ptr(-EACCES);
	err = inode_permission(i, MAY_EXEC);
	if (err)
		return err_ptr(err);
	f = file_open_path(p, O_RDONLY, cred_current());
	if (is_err(f))
		return f;
	err = file_deny_write(f);
	if (err) {
		file_put(f);
		return err_ptr(err);
	}
	return f;
}

static struct file *open_for_exec(int dirfd, const char *name, u32 lookup_flags)
{
	struct path p;
	struct file *f;
	int err = path_lookup(dirfd, name, lookup_flags, &p);

	if (err)
		return err_ptr(err);
	if ((p.dentry->inode->mode & S_IFMT) == S_IFLNK)
		f = err_ptr(-ELOOP);
	else
		f = open_path_for_exec(&p);
	path_put(&p);
	return f;
}

/* execveat's name for scripts and AT_EXECFN: the path, or one through /dev/fd. */
static char *visible_name(int dirfd, const char *path)
{
	size_t size = strlen(path) + 32;
	char *name;

	if (dirfd == AT_FDCWD || path[0] == '/')
		return kstrdup(path, 0);
	name = kmalloc(size, 0);
	if (name)
		snprintf(name, size, path[0] ? "/dev/fd/%d/%s" : "/dev/fd/%d%s", dirfd, path);
	return name;
}

struct exec_request *exec_request_create(int dirfd, const char *path, int at_flags)
{
	struct exec_request *r;
	struct file *f;
	u32 lookup = at_flags & AT_SYMLINK_NOFOLLOW ? 0 : LOOKUP_FOLLOW;

	if (at_flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
		return err_ptr(-EINVAL);
	if (at_flags & AT_EMPTY_PATH)
		lookup |= LOOKUP_EMPTY;
	f = open_for_exec(dirfd, path, lookup);
	if (is_err(f))
		return (struct exec_request *)f;
	r = kzalloc(sizeof(*r), 0);
	if (r)
		r->name = visible_name(dirfd, path);
	if (!r || !r->name) {
		kfree(r);
		file_put(f);
		return err_ptr(-ENOMEM);
	}
	r->file = f;
	r->name_inaccessible = dirfd != AT_FDCWD && path[0] != '/' && fd_is_cloexec(dirfd);
	r->limit_bytes = clamp(process_rlimit(RLIMIT_STACK) / 4, STRINGS_MIN, STRINGS_MAX);
	return r;
}

void exec_request_destroy(struct exec_request *r)
{
	for (u32 i = 0; i < r->nr_pages; i++)
		page_free(r->pages[i], 0);
	for (u32 i = 0; i < r->nr_prefix; i++)
		kfree(r->prefix[i]);
	kfree(r->pages);
	kfree(r->name);
	if (r->file)
		file_put(r->file);
	kfree(r);
}

/* ---- strings ---- */

static int add_page(struct exec_request *r)
{
	if ((r->nr_pages & (r->nr_pages - 1)) == 0) {
		u32 size = r->nr_pages ? r->nr_pages * 2 : 1;
		char **pages = krealloc(r->pages, size * sizeof(*pages), 0);

		if (!pages)
			return -ENOMEM;
		r->pages = pages;
	}
	r->pages[r->nr_pages] = page_alloc(0, 0);
	if (!r->pages[r->nr_pages])
		return -ENOMEM;
	r->nr_pages++;
	return 0;
}

static u64 pointer_bytes(const struct exec_request *r)
{
	return (r->nr_arguments + r->nr_environment + 2ull) * sizeof(u64);
}

char *exec_string_room(struct exec_request *r, size_t *room)
{
	int err;

	if (r->bytes + pointer_bytes(r) >= r->limit_bytes)
		return err_ptr(-E2BIG);
	if (r->bytes == r->nr_pages * PAGE_SIZE) {
		err = add_page(r);
		if (err)
			return err_ptr(err);
	}
	*room = PAGE_SIZE - r->bytes % PAGE_SIZE;
	return r->pages[r->bytes / PAGE_SIZE] + r->bytes % PAGE_SIZE;
}

void exec_string_advance(struct exec_request *r, size_t n)
{
	r->bytes += n;
}

int exec_string_add(struct exec_request *r, const char *s)
{
	size_t left = strlen(s) + 1;

	while (left > 0) {
		size_t room, n;
		char *to = exec_string_room(r, &room);

		if (is_err(to))
			return (int)ptr_err(to);
		n = min(room, left);
		memcpy(to, s, n);
		exec_string_advance(r, n);
		s += n;
		left -= n;
	}
	return 0;
}

void exec_arguments_done(struct exec_request *r)
{
	r->argument_bytes = r->bytes;
}

/* Bytes of the first argument, NUL included; 0 if there is none. */
static u64 first_argument_bytes(const struct exec_request *r)
{
	u64 n = 0;

	if (r->nr_arguments == 0)
		return 0;
	while (r->pages[n / PAGE_SIZE][n % PAGE_SIZE])
		n++;
	return n + 1;
}

static void drop_first_argument(struct exec_request *r)
{
	if (r->nr_prefix > 0) {
		r->prefix_bytes -= strlen(r->prefix[0]) + 1;
		kfree(r->prefix[0]);
		r->nr_prefix--;
		memmove(r->prefix, r->prefix + 1, r->nr_prefix * sizeof(r->prefix[0]));
	} else if (r->nr_arguments > 0) {
		r->skip_bytes = first_argument_bytes(r);
		r->nr_arguments--;
	}
}

static int push_argument(struct exec_request *r, const char *s)
{
	char *copy;

	if (r->nr_prefix == EXEC_PREFIX_MAX)
		return -E2BIG;
	copy = kstrdup(s, 0);
	if (!copy)
		return -ENOMEM;
	memmove(r->prefix + 1, r->prefix, r->nr_prefix * sizeof(r->prefix[0]));
	r->prefix[0] = copy;
	r->nr_prefix++;
	r->prefix_bytes += strlen(s) + 1;
	return 0;
}

/* ---- scripts ---- */

/* Replaces the program by the script's interpreter. `name`: how the script is called. */
static int run_script(struct exec_request *r, char **name)
{
	char *interpreter, *argument, *next;
	struct file *f;
	int err = script_parse((char *)r->head + 2, (char *)r->head + EXEC_HEAD_BYTES - 1,
			       &interpreter, &argument);

	if (err)
		return err;
	if (r->name_inaccessible)
		return -ENOENT;
	next = kstrdup(interpreter, 0);
	if (!next)
		return -ENOMEM;
	drop_first_argument(r);
	err = push_argument(r, *name);
	if (!err && argument)
		err = push_argument(r, argument);
	if (!err)
		err = push_argument(r, interpreter);
	f = err ? err_ptr(err) : open_for_exec(AT_FDCWD, next, LOOKUP_FOLLOW);
	kfree(*name);
	*name = next;
	if (is_err(f))
		return (int)ptr_err(f);
	file_put(r->file);
	r->file = f;
	return 0;
}

static int read_head(struct exec_request *r)
{
	ssize_t n;

	memset(r->head, 0, sizeof(r->head));
	n = file_read_kernel(r->file, r->head, sizeof(r->head), 0);
	return n < 0 ? (int)n : 0;
}

/* Follows scripts until the file is no script. */
static int resolve_scripts(struct exec_request *r)
{
	char *name = kstrdup(r->name, 0);
	int err = name ? read_head(r) : -ENOMEM;

	for (unsigned depth = 0; !err && r->head[0] == '#' && r->head[1] == '!'; depth++) {
		err = depth == SCRIPT_DEPTH_MAX ? -ELOOP : run_script(r, &name);
		if (!err)
			err = read_head(r);
	}
	kfree(name);
	return err;
}

/* ---- ELF headers ---- */

/* Fills an image whose header stands already; bad: the error for what is not ELF. */
static int read_phdrs(struct elf_image *e, struct file *f, int bad)
{
	size_t size = e->header.e_phnum * sizeof(Elf64_Phdr);
	ssize_t n;

	if (elf_check_header(&e->header) || e->header.e_phoff > (u64)S64_MAX - size)
		return bad;
	e->phdrs = kvmalloc(size, 0);
	if (!e->phdrs)
		return -ENOMEM;
	n = file_read_kernel(f, e->phdrs, size, e->header.e_phoff);
	if (n != (ssize_t)size)
		return n < 0 ? (int)n : bad;
	elf_survey(e);
	return 0;
}

static struct file *open_interpreter(struct elf_image *program, struct file *f)
{
	u64 size = program->interpreter->p_filesz;
	struct file *result;
	char *name;
	ssize_t n;

	if (size > PATH_MAX || size < 2)
		return err_ptr(-ENOEXEC);
	name = kmalloc(size, 0);
	if (!name)
		return err_ptr(-ENOMEM);
	n = file_read_kernel(f, name, size, program->interpreter->p_offset);
	if (n != (ssize_t)size)
		result = err_ptr(n < 0 ? n : -EIO);
	else if (name[size - 1] != 0)
		result = err_ptr(-ENOEXEC);
	else
		result = open_for_exec(AT_FDCWD, name, LOOKUP_FOLLOW);
	kfree(name);
	return result;
}

struct exec_images {
	struct elf_image program, interpreter;
	struct file *interpreter_file; /* NULL: none */
};

static void images_free(struct exec_images *i)
{
	kvfree(i->program.phdrs);
	kvfree(i->interpreter.phdrs);
	if (i->interpreter_file)
		file_put(i->interpreter_file);
}

static int read_images(struct exec_request *r, struct exec_images *i)
{
	ssize_t n;
	int err;

	memcpy(&i->program.header, r->head, sizeof(Elf64_Ehdr));
	err = read_phdrs(&i->program, r->file, -ENOEXEC);
	if (err || !i->program.interpreter)
		return err;
	struct file *f = open_interpreter(&i->program, r->file);

	if (is_err(f))
		return (int)ptr_err(f);
	i->interpreter_file = f;
	n = file_read_kernel(f, &i->interpreter.header, sizeof(Elf64_Ehdr), 0);
	if (n != (ssize_t)sizeof(Elf64_Ehdr))
		return n < 0 ? (int)n : -EIO;
	return read_phdrs(&i->interpreter, f, -ELIBBAD);
}

/* ---- becoming the only thread ---- */

static bool others_are_gone(struct process *p)
{
	scoped_spin_irq(&task_list_lock);

	if (p->leader == task_current())
		return p->nr_threads == 1;
	return p->nr_threads == 2 && (p->leader->flags & TASK_ZOMBIE);
}

/* The dead leader's number and place go to the current task, and ours to it. */
static void take_over_leader(struct process *p)
{
	struct task *t = task_current(), *old = p->leader;

	{
		scoped_spin_irq(&task_list_lock);

		swap(t->pid, old->pid);
		swap(t->tid, old->tid);
		rcu_store(t->pid->task, t);
		rcu_store(old->pid->task, old);
		t->futex.tid = t->tid;
		t->exit_signal = SIGCHLD;
		rcu_store(p->leader, t);
		task_unlink_locked(old);
	}
	task_release(old);
}

static int become_only_thread(struct process *p)
{
	struct task *t = task_current();
	u64 flags;
	struct signal_handlers *h;

	if (p->nr_threads == 1)
		return 0;
	h = process_lock_signals(p, &flags);
	if ((p->state & PROCESS_EXITING) || p->exec_task) {
		process_unlock_signals(h, flags);
		return -EAGAIN;
	}
	p->exec_task = t;
	signal_kill_others_locked(p);
	process_unlock_signals(h, flags);
	for (;;) {
		thread_set_state(THREAD_KILLABLE);
		if (others_are_gone(p) || fatal_signal_is_pending())
			break;
		thread_block();
	}
	thread_set_state(THREAD_RUNNABLE);
	if (!others_are_gone(p)) {
		p->exec_task = NULL;
		return -EAGAIN;
	}
	if (p->leader != t)
		take_over_leader(p);
	p->exec_task = NULL;
	return 0;
}

static int unshare_handlers(struct process *p)
{
	struct signal_handlers *old = p->handlers, *new;
	u64 flags;

	if (ref_read(&old->refs) == 1)
		return 0;
	new = signal_handlers_copy(old);
	if (!new)
		return -ENOMEM;
	flags = spin_lock_irq(&old->lock);
	rcu_store(p->handlers, new);
	task_current()->handlers = new;
	spin_unlock_irq(&old->lock, flags);
	signal_handlers_put(old);
	return 0;
}

/* ---- the new program ---- */

static void reset_signals(struct task *t)
{
	struct process *p = t->process;
	u64 flags;
	struct signal_handlers *h = process_lock_signals(p, &flags);

	signal_handlers_reset(h, true);
	t->altstack_sp = t->altstack_size = 0;
	t->altstack_flags = 0;
	process_unlock_signals(h, flags);
}

static void set_comm_from(struct task *t, const char *path)
{
	const char *slash = strrchr(path, '/');

	task_set_comm(t, slash ? slash + 1 : path);
}

static void start_registers(const struct exec_start *s)
{
	struct trap_frame *frame = trap_user_frame();

	*frame = (struct trap_frame){ .rip = s->entry,
				      .rsp = s->stack,
				      .cs = 0x33,
				      .ss = 0x2b,
				      .rflags = 0x202,
				      .orig_rax = (u64)-1 };
	VERIFY(arch_set_fs_base(0) == 0 && arch_set_gs_base(0) == 0);
	fpu_state_reset_current();
}

/* Nothing here fails. */
static void commit(struct exec_request *r, struct exec_start *s, struct cred *c)
{
	struct task *t = task_current();
	struct process *p = t->process;
	const struct cred *old = t->cred;
	bool private = s->secure || inode_permission(r->file->inode, MAY_READ) != 0;

	s->aspace->dumpable = private ? 0 : 1;
	s->aspace->exe_file = r->file;
	r->file = NULL;
	release_memory_users(t, false);
	if (unlikely(p->kernel_page))
		kernel_page_leave(p);
	aspace_replace_current(s->aspace);
	vfork_release(t);
	posix_timers_exit(p);
	if (s->secure || c->euid != old->euid || c->egid != old->egid)
		t->parent_death_signal = 0;
	{
		scoped_spin_irq(&t->lock);
		rcu_store(t->cred, c);
	}
	cred_put(old);
	reset_signals(t);
	fd_table_close_on_exec(t->fds);
	set_comm_from(t, r->name);
	t->personality = s->personality;
	t->flags |= TASK_EXECED;
	t->exit_signal = SIGCHLD;
	p->did_exec = true;
	start_registers(s);
}

/* Everything is known to be good, as far as that can be known without doing it. */
static int replace_program(struct exec_request *r, struct exec_images *i)
{
	struct task *t = task_current();
	struct exec_start s = { .personality = t->personality };
	struct cred *c = cred_for_exec(r->file, &s.secure);
	int err;

	if (!c)
		return -ENOMEM;
	s.cred = c;
	if (s.secure)
		s.personality &= ~(u32)PER_CLEAR_ON_SETID;
	s.personality &= ~(u32)READ_IMPLIES_EXEC;
	s.aspace = aspace_create();
	if (s.aspace) {
		if (current_thread->aspace)
			s.aspace->huge_disabled = current_thread->aspace->huge_disabled;
		aspace_start(s.aspace, r->file, &r->file->inode->cache);
	}
	err = s.aspace ? task_unshare_files(t) : -ENOMEM;
	if (!err)
		err = unshare_handlers(t->process);
	if (!err)
		err = become_only_thread(t->process);
	if (err) {
		if (s.aspace)
			aspace_put(s.aspace);
		cred_put(c);
		return err;
	}
	err = exec_load(r, &i->program, i->interpreter_file ? &i->interpreter : NULL,
			i->interpreter_file, &s);
	if (err) {
		aspace_put(s.aspace);
		cred_put(c);
		images_free(i);
		exec_request_destroy(r);
		process_exit_group(SIGSEGV);
	}
	commit(r, &s, c);
	return 0;
}

int exec_run(struct exec_request *r)
{
	struct exec_images i = { 0 };
	int err;

	if (r->nr_arguments == 0 && r->argument_bytes == 0) {
		/* A program may count on argv[0] (execve(2), "an empty string"). */
		err = push_argument(r, "");
		if (err)
			return err;
	}
	err = resolve_scripts(r);
	if (!err)
		err = read_images(r, &i);
	if (!err)
		err = replace_program(r, &i);
	images_free(&i);
	return err;
}

int process_exec_init(const char *path, const char *const *argv, const char *const *envp)
{
	struct exec_request *r = exec_request_create(AT_FDCWD, path, 0);
	int err = 0;

	if (is_err(r))
		return (int)ptr_err(r);
	for (; *argv && !err; argv++, r->nr_arguments++)
		err = exec_string_add(r, *argv);
	exec_arguments_done(r);
	for (; *envp && !err; envp++, r->nr_environment++)
		err = exec_string_add(r, *envp);
	if (!err)
		err = exec_run(r);
	exec_request_destroy(r);
	return err;
}
