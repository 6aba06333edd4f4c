/* /proc/PID: maps, smaps, pagemap, mem, and the texts that lie in the process's own memory. */
#include <asm/fcntl.h>

#include "proc.h"

typedef unsigned long long ull;

/* ---- strings of the process ---- */

#define TEXT_MAX (2ul << 20)

/* Appends [start, end) of the address space as it is. */
static int append_memory(struct text_out *out, struct aspace *a, u64 start, u64 end)
{
	char *page;

	if (end <= start)
		return 0;
	end = min(end, start + TEXT_MAX);
	page = kmalloc(PAGE_SIZE, 0);
	if (!page)
		return -ENOMEM;
	while (start < end) {
		size_t want = (size_t)min(end - start, (u64)PAGE_SIZE);
		size_t got = aspace_access(a, start, page, want, false, true);

		text_write(out, page, got);
		if (got < want)
			break;
		start += got;
	}
	kfree(page);
	return 0;
}

/* A program that overwrote the last NUL of its arguments (setproctitle) goes on into the environment. */
int pid_show_cmdline(struct text_out *out, struct task *t)
{
	struct aspace *a = task_get_aspace(t);
	int err = 0;

	if (!a)
		return 0;

	char last = 0;

	if (a->arg_end > a->arg_start &&
	    aspace_access(a, a->arg_end - 1, &last, 1, false, true) == 1 && last) {
		size_t before = out->len;

		err = append_memory(out, a, a->arg_start, max(a->arg_end, a->env_end));
		if (!out->failed) {
			size_t len = strnlen(out->data + before, out->len - before);

			out->len = before + min(len + 1, out->len - before);
		}
	} else {
		err = append_memory(out, a, a->arg_start, a->arg_end);
	}
	aspace_put(a);
	return err;
}

int pid_show_environ(struct text_out *out, struct task *t)
{
	struct aspace *a = task_get_aspace(t);
	int err = 0;

	if (a) {
		err = append_memory(out, a, a->env_start, a->env_end);
		aspace_put(a);
	}
	return err;
}

int pid_show_auxv(struct text_out *out, struct task *t)
{
	struct aspace *a = task_get_aspace(t);

	if (a) {
		text_write(out, (const char *)a->auxv, a->auxv_bytes);
		aspace_put(a);
	}
	return 0;
}

/* ---- maps ---- */

static void show_name(struct text_out *out, struct mapping *m, const struct path *root)
{
	char *buffer, *text;

	if (!m->file || m->name) {
		if (m->name)
			text_printf(out, "%s", m->name);
		return;
	}
	buffer = kmalloc(PAGE_SIZE, 0);
	if (!buffer)
		return;
	text = path_format(&m->file->path, root, buffer, PAGE_SIZE);
	if (!is_err(text))
		text_escape(out, text, "\n");
	kfree(buffer);
}

static void show_mapping(struct text_out *out, struct mapping *m, const struct path *root)
{
	struct stat_info s = { 0 };
	size_t line = out->len;

	if (m->file && vfs_stat_path(&m->file->path, 0, 0, &s))
		memset(&s, 0, sizeof(s));
	text_printf(out, "%08llx-%08llx %c%c%c%c %08llx %02x:%02x %llu ", (ull)m->start,
		    (ull)m->end, m->flags & MAPPING_READ ? 'r' : '-',
		    m->flags & MAPPING_WRITE ? 'w' : '-', m->flags & MAPPING_EXEC ? 'x' : '-',
		    m->flags & MAPPING_SHARED ? 's' : 'p',
		    m->file ? (ull)m->page_offset << PAGE_SHIFT : 0ull, dev_major(s.dev),
		    dev_minor(s.dev), (ull)s.ino);
	if (m->file || m->name) {
		while (out->len - line < 73 && !out->failed)
			text_char(out, ' ');
		show_name(out, m, root);
	}
	text_char(out, '\n');
}

static void add_usage(struct mapping_usage *sum, const struct mapping_usage *u)
{
	sum->resident += u->resident;
	sum->pss += u->pss;
	sum->shared_clean += u->shared_clean;
	sum->shared_dirty += u->shared_dirty;
	sum->private_clean += u->private_clean;
	sum->private_dirty += u->private_dirty;
	sum->referenced += u->referenced;
	sum->anonymous += u->anonymous;
	sum->anonymous_huge += u->anonymous_huge;
	sum->shmem_huge += u->shmem_huge;
	sum->swap += u->swap;
	sum->locked += u->locked;
}

static void show_usage(struct text_out *out, const struct mapping_usage *u)
{
	const struct {
		const char *name;
		u64 bytes;
	} lines[] = {
		{ "Rss:", u->resident },
		{ "Pss:", u->pss },
		{ "Pss_Dirty:", u->private_dirty + u->shared_dirty },
		{ "Shared_Clean:", u->shared_clean },
		{ "Shared_Dirty:", u->shared_dirty },
		{ "Private_Clean:", u->private_clean },
		{ "Private_Dirty:", u->private_dirty },
		{ "Referenced:", u->referenced },
		{ "Anonymous:", u->anonymous },
		{ "LazyFree:", 0 },
		{ "AnonHugePages:", u->anonymous_huge },
		{ "ShmemPmdMapped:", u->shmem_huge },
		{ "FilePmdMapped:", 0 },
		{ "Shared_Hugetlb:", 0 },
		{ "Private_Hugetlb:", 0 },
		{ "Swap:", u->swap },
		{ "SwapPss:", u->swap },
		{ "Locked:", u->locked },
	};

	for (size_t n = 0; n < ARRAY_SIZE(lines); n++)
		text_printf(out, "%-16s%8llu kB\n", lines[n].name, (ull)(lines[n].bytes >> 10));
}

static void show_flags(struct text_out *out, u32 flags)
{
	static const struct {
		u32 flag;
		char name[3];
	} names[] = {
		{ MAPPING_READ, "rd" },       { MAPPING_WRITE, "wr" },
		{ MAPPING_EXEC, "ex" },       { MAPPING_SHARED, "sh" },
		{ MAPPING_MAY_READ, "mr" },   { MAPPING_MAY_WRITE, "mw" },
		{ MAPPING_MAY_EXEC, "me" },   { MAPPING_SHARED, "ms" },
		{ MAPPING_GROWS_DOWN, "gd" }, { MAPPING_LOCKED, "lo" },
		{ MAPPING_SEQUENTIAL, "sr" }, { MAPPING_RANDOM, "rr" },
		{ MAPPING_DONTFORK, "dc" },   { MAPPING_ACCOUNTED, "ac" },
		{ MAPPING_NORESERVE, "nr" },  { MAPPING_WIPEONFORK, "wf" },
		{ MAPPING_DONTDUMP, "dd" },   { MAPPING_HUGE, "hg" },
		{ MAPPING_NOHUGE, "nh" },     { MAPPING_MERGEABLE, "mg" },
	};

	text_printf(out, "VmFlags: ");
	for (size_t n = 0; n < ARRAY_SIZE(names); n++)
		if (flags & names[n].flag)
			text_printf(out, "%s ", names[n].name);
	text_char(out, '\n');
}

enum maps_style { STYLE_MAPS, STYLE_SMAPS, STYLE_ROLLUP };

static int show_maps(struct text_out *out, struct task *t, enum maps_style style)
{
	struct aspace *a = task_get_aspace(t);
	struct fs_context *fs = fs_context_current();
	struct mapping_usage sum = { 0 };
	u64 first = 0, last = 0;

	if (!a)
		return 0;
	rwlock_read(&a->lock);
	for (struct mapping *m = aspace_find_locked(a, 0); m; m = mapping_next(m)) {
		struct mapping_usage u = { 0 };

		if (style != STYLE_ROLLUP)
			show_mapping(out, m, &fs->root);
		if (style == STYLE_MAPS)
			continue;
		mapping_usage_locked(m, &u);
		first = first ? first : m->start;
		last = m->end;
		add_usage(&sum, &u);
		if (style == STYLE_SMAPS) {
			text_printf(out, "%-16s%8llu kB\n",
				    "Size:", (ull)((m->end - m->start) >> 10));
			text_printf(out, "%-16s%8llu kB\n%-16s%8llu kB\n", "KernelPageSize:", 4ull,
				    "MMUPageSize:", 4ull);
			show_usage(out, &u);
			text_printf(out, "THPeligible:    %d\n", mapping_may_be_huge(m));
			show_flags(out, m->flags);
		}
	}
	rwlock_read_unlock(&a->lock);
	if (style == STYLE_ROLLUP) {
		text_printf(out, "%08llx-%08llx ---p 00000000 00:00 0 %*s[rollup]\n", (ull)first,
			    (ull)last, 22, "");
		show_usage(out, &sum);
	}
	aspace_put(a);
	return 0;
}

int pid_show_maps(struct text_out *out, struct task *t)
{
	return show_maps(out, t, STYLE_MAPS);
}

int pid_show_smaps(struct text_out *out, struct task *t)
{
	return show_maps(out, t, STYLE_SMAPS);
}

int pid_show_smaps_rollup(struct text_out *out, struct task *t)
{
	return show_maps(out, t, STYLE_ROLLUP);
}

/* ---- links ---- */

int pid_follow_exe(struct task *t, struct path *to)
{
	struct aspace *a = task_get_aspace(t);
	int err = -ENOENT;

	if (!a)
		return err;
	mutex_lock(&a->exe_lock);
	if (a->exe_file) {
		*to = a->exe_file->path;
		path_get(to);
		err = 0;
	}
	mutex_unlock(&a->exe_lock);
	aspace_put(a);
	return err;
}

static int follow_context(struct task *t, struct path *to, bool root)
{
	struct fs_context *fs = task_get_fs(t);

	if (!fs)
		return -ENOENT;
	spin_lock(&fs->lock);
	*to = root ? fs->root : fs->cwd;
	path_get(to);
	spin_unlock(&fs->lock);
	fs_context_put(fs);
	return 0;
}

int pid_follow_cwd(struct task *t, struct path *to)
{
	return follow_context(t, to, false);
}

int pid_follow_root(struct task *t, struct path *to)
{
	return follow_context(t, to, true);
}

/* ---- mem and pagemap: the address space is chosen at open ---- */

static int open_aspace(struct inode *i, struct file *f, bool attach)
{
	struct task *t = proc_task(i);
	int err;

	if (!t)
		return -ESRCH;
	err = task_may_inspect(t, attach);
	if (!err)
		f->private = task_get_aspace(t);
	task_put(t);
	return err;
}

static int mem_open(struct inode *i, struct file *f)
{
	return open_aspace(i, f, true);
}

static int pagemap_open(struct inode *i, struct file *f)
{
	return open_aspace(i, f, false);
}

static void release_aspace(struct file *f)
{
	if (f->private)
		aspace_put(f->private);
}

static ssize_t mem_transfer(struct file *f, struct iobuf *b, u64 *pos, bool write)
{
	struct aspace *a = f->private;
	u8 *page;
	ssize_t done = 0;

	if (!a)
		return 0;
	page = kmalloc(PAGE_SIZE, 0);
	if (!page)
		return -ENOMEM;
	while (b->remaining) {
		size_t want = (size_t)min(b->remaining, (u64)PAGE_SIZE), n;

		if (write) {
			want = iobuf_get(b, page, want);
			n = want ? aspace_access(a, *pos, page, want, true, true) : 0;
		} else {
			n = aspace_access(a, *pos, page, want, false, true);
			n = iobuf_put(b, page, n);
		}
		*pos += n;
		done += (ssize_t)n;
		if (n < want || n == 0)
			break;
	}
	kfree(page);
	return done ? done : -EIO;
}

static ssize_t mem_read(struct file *f, struct iobuf *to, u64 *pos)
{
	return to->remaining ? mem_transfer(f, to, pos, false) : 0;
}

static ssize_t mem_write(struct file *f, struct iobuf *from, u64 *pos)
{
	return from->remaining ? mem_transfer(f, from, pos, true) : 0;
}

static s64 mem_seek(struct file *f, s64 offset, int whence)
{
	if (whence == 1)
		offset += (s64)f->position;
	else if (whence != 0)
		return -EINVAL;
	f->position = (u64)offset;
	return offset;
}

const struct file_ops proc_mem_ops = {
	.open = mem_open,
	.release = release_aspace,
	.read = mem_read,
	.write = mem_write,
	.seek = mem_seek,
};

static ssize_t pagemap_read(struct file *f, struct iobuf *to, u64 *pos)
{
	struct aspace *a = f->private;
	ssize_t done = 0;

	if (!a)
		return 0;
	if (*pos % 8 || to->remaining % 8)
		return -EINVAL;
	while (to->remaining && *pos / 8 < USER_ADDRESS_END >> PAGE_SHIFT) {
		u64 entry = aspace_pagemap_entry(a, *pos / 8 << PAGE_SHIFT);
		size_t n = iobuf_put(to, &entry, sizeof(entry));

		*pos += n;
		done += (ssize_t)n;
		if (n < sizeof(entry))
			return done ? done : -EFAULT;
		if (signal_is_pending())
			break;
	}
	return done;
}

const struct file_ops proc_pagemap_ops = {
	.open = pagemap_open,
	.release = release_aspace,
	.read = pagemap_read,
	.seek = mem_seek,
};
