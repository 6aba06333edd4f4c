/*
 * exec's new address space: segments, stack, auxiliary vector.
 *
 * It is built beside the old one and not seen by anyone until it is complete:
 * mappings through mm, the few bytes that must be written (zeroes behind
 * initialised data, strings, vectors) through aspace_access.
 *
 * Layout, from the top: the stack, random by up to 16 GiB; a gap as large as
 * the stack may grow; mappings from there downwards (the interpreter first);
 * far below, the program at two thirds of the space if it can be moved, and the
 * heap behind it.  Each starts at a random page (28 bits of them for mappings
 * and program, 22 for the stack, 13 for the heap), unless the personality or
 * the boot option `norandmaps` says no.  These are Linux's choices, for
 * programs exist that know them.
 */
#include "internal.h"
#include "elf.h"

#include <nos/exec.h>
#include <nos/random.h>

#include <linux/auxvec.h>
#include <linux/mman.h>
#include <linux/personality.h>
#include <linux/resource.h>

#define DYN_BASE (USER_ADDRESS_END / 3 * 2)
#define STACK_RANDOM_PAGES (1ul << 22)
#define MAP_RANDOM_PAGES (1ul << 28)
#define BREAK_RANDOM 0x02000000ul
#define STACK_GUARD_GAP (256 * PAGE_SIZE)
#define STACK_GAP_MIN (128ul << 20)
#define STACK_GAP_MAX (USER_ADDRESS_END / 6 * 5)
#define STACK_ROOM (32 * PAGE_SIZE) /* mapped below the first stack pointer */
#define CLOCK_TICKS 100
/* Not in every version of the headers; see getauxval(3). */
#define AUX_RSEQ_FEATURE_SIZE 27
#define AUX_RSEQ_ALIGN 28
#define AUX_MINSIGSTKSZ 51
#define RSEQ_FEATURE_BYTES 24 /* up to node_id */
#define RSEQ_ALIGN_BYTES 32

/* proc(5): 0 nothing is placed at random, 1 all but the heap, 2 the heap too. */
u32 sysctl_randomize_va_space = 2;

struct loader {
	struct exec_request *r;
	struct exec_start *s;
	struct aspace *a;
	bool random;
	u64 program_bias, interpreter_base;
	u64 stack_top, arg_start, env_start, env_end;
	u64 execfn, platform, random_bytes;
	struct elf_image *program;
};

static u64 random_pages(const struct loader *l, u64 limit)
{
	return l->random ? random_below(limit) << PAGE_SHIFT : 0;
}

static void choose_layout(struct loader *l)
{
	u64 gap = align_up(process_rlimit(RLIMIT_STACK), PAGE_SIZE);

	if (process_rlimit(RLIMIT_STACK) >= STACK_GAP_MAX)
		gap = STACK_GAP_MAX;
	gap = clamp(gap, STACK_GAP_MIN, STACK_GAP_MAX);
	if (l->random && gap + (STACK_RANDOM_PAGES << PAGE_SHIFT) + STACK_GUARD_GAP < STACK_GAP_MAX)
		gap += (STACK_RANDOM_PAGES << PAGE_SHIFT) + STACK_GUARD_GAP;
	l->stack_top = USER_ADDRESS_END - random_pages(l, STACK_RANDOM_PAGES);
	l->a->mmap_base = align_down(USER_ADDRESS_END - gap, PAGE_SIZE);
	if (l->a->mmap_base > (MAP_RANDOM_PAGES << PAGE_SHIFT) * 2)
		l->a->mmap_base -= random_pages(l, MAP_RANDOM_PAGES);
}

static int put_bytes(struct loader *l, u64 address, const void *data, size_t len)
{
	return aspace_access(l->a, address, (void *)data, len, true, true) == len ? 0 : -EFAULT;
}

/* ---- segments ---- */

static u32 segment_prot(const Elf64_Phdr *p)
{
	return (p->p_flags & PF_R ? PROT_READ : 0) | (p->p_flags & PF_W ? PROT_WRITE : 0) |
	       (p->p_flags & PF_X ? PROT_EXEC : 0);
}

/* Less than a page of zeros. */
static int zero_tail(struct loader *l, u64 from, u64 to)
{
	ASSERT(from <= to && to - from <= PAGE_SIZE);
	return from == to ? 0 : put_bytes(l, from, folio_address(zero_folio), to - from);
}

static int map_segment(struct loader *l, struct file *f, const Elf64_Phdr *p, u64 bias)
{
	u64 start = align_down(p->p_vaddr, PAGE_SIZE) + bias;
	u64 data_end = p->p_vaddr + p->p_filesz + bias;
	u64 file_end = p->p_filesz ? align_up(data_end, PAGE_SIZE) : start;
	u64 end = align_up(p->p_vaddr + p->p_memsz + bias, PAGE_SIZE);
	struct map_request m = {
		.address = start,
		.length = file_end - start,
		.prot = segment_prot(p),
		.map_flags = MAP_PRIVATE | MAP_FIXED,
		.file = f,
		.page_offset = p->p_offset >> PAGE_SHIFT,
		.file_may_exec = true,
	};
	s64 result;

	if (p->p_filesz) {
		int err = f->ops->map ? f->ops->map(f, &m) : -ENOEXEC;

		if (err)
			return err;
		result = aspace_map(l->a, &m);
		if (result < 0)
			return (int)result;
		/* To the end of the page: ld.so's first allocations come from behind its .bss. */
		if ((p->p_flags & PF_W) && p->p_memsz > p->p_filesz &&
		    zero_tail(l, data_end, file_end))
			return -EFAULT;
	}
	if (end <= file_end)
		return 0;
	m = (struct map_request){
		.address = file_end,
		.length = end - file_end,
		.prot = segment_prot(p),
		.map_flags = MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS,
	};
	result = aspace_map(l->a, &m);
	return result < 0 ? (int)result : 0;
}

static int map_image(struct loader *l, struct elf_image *e, struct file *f, u64 bias)
{
	for (unsigned i = 0; i < e->header.e_phnum; i++) {
		const Elf64_Phdr *p = &e->phdrs[i];
		int err;

		if (p->p_type != PT_LOAD || p->p_memsz == 0)
			continue;
		err = map_segment(l, f, p, bias);
		if (err)
			return err;
	}
	return 0;
}

/* A free place in the mapping area for a whole image. */
static s64 find_place(struct loader *l, const struct elf_image *e)
{
	u64 slack = e->align > PAGE_SIZE ? e->align : 0, span = e->high - e->low;

	if (span > USER_ADDRESS_END || slack > USER_ADDRESS_END - span)
		return -ENOMEM;
	s64 at = aspace_find_room(l->a, span + slack);

	return at < 0 ? at : (s64)align_up((u64)at, e->align);
}

static int load_program(struct loader *l, bool has_interpreter)
{
	struct elf_image *e = l->program;
	struct aspace *a = l->a;
	u64 bias = 0, brk;
	int err;

	/* A loader that is run as a program goes where loaders go, away from its own programs. */
	if (e->header.e_type == ET_DYN && !has_interpreter) {
		s64 at = e->high > e->low ? find_place(l, e) : -ENOEXEC;

		if (at < 0)
			return (int)at;
		bias = (u64)at - e->low;
	} else if (e->header.e_type == ET_DYN) {
		u64 base = align_down(DYN_BASE + random_pages(l, MAP_RANDOM_PAGES), e->align);

		bias = align_down(base, PAGE_SIZE) - e->low;
	}
	err = elf_check_segments(e, bias, USER_ADDRESS_END - STACK_GUARD_GAP);
	if (!err)
		err = map_image(l, e, l->r->file, bias);
	if (err)
		return err;
	l->program_bias = bias;
	a->code_start = e->code_start + bias;
	a->code_end = e->code_end + bias;
	a->data_start = e->data_start + bias;
	a->data_end = e->data_end + bias;
	brk = align_up(e->break_end + bias, PAGE_SIZE);
	bool random_break = l->random && READ_ONCE(sysctl_randomize_va_space) > 1;

	if (e->header.e_type == ET_DYN && !has_interpreter && random_break)
		brk = align_down(DYN_BASE, PAGE_SIZE);
	if (random_break)
		brk += align_down(random_below(BREAK_RANDOM), PAGE_SIZE);
	a->brk_start = a->brk_end = min(brk, USER_ADDRESS_END);
	return 0;
}

static int load_interpreter(struct loader *l, struct elf_image *e, struct file *f)
{
	s64 at;
	u64 bias;
	int err;

	if (e->high == e->low)
		return -EINVAL;
	at = find_place(l, e);
	if (at < 0)
		return (int)at;
	bias = e->header.e_type == ET_DYN ? (u64)at - e->low : 0;
	err = elf_check_segments(e, bias, USER_ADDRESS_END - STACK_GUARD_GAP);
	if (!err)
		err = map_image(l, e, f, bias);
	l->interpreter_base = e->low + bias;
	l->s->entry = e->header.e_entry + bias;
	return err;
}

/* ---- stack ---- */

/* Where the strings go, and the mapping below them. */
static int map_stack(struct loader *l)
{
	struct exec_request *r = l->r;
	u64 at = l->stack_top - sizeof(u64), tables, size;
	struct map_request m = {
		.prot = PROT_READ | PROT_WRITE | (l->program->executable_stack ? PROT_EXEC : 0),
		.map_flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_GROWSDOWN,
		.extra_flags = MAPPING_STACK | MAPPING_GROWS_DOWN,
		.name = "[stack]",
	};
	s64 result;

	at -= strlen(r->name) + 1;
	l->execfn = at;
	l->env_end = at;
	at -= r->bytes - r->argument_bytes;
	l->env_start = at;
	at -= r->argument_bytes - r->skip_bytes + r->prefix_bytes;
	l->arg_start = at;
	tables = (r->nr_arguments + r->nr_environment + r->nr_prefix + 64ul) * sizeof(u64);
	size = align_up(l->stack_top - at + tables + 8192 + STACK_ROOM, PAGE_SIZE);
	m.address = l->stack_top - size;
	m.length = size;
	result = aspace_map(l->a, &m);
	return result < 0 ? (int)result : 0;
}

/* The string bytes [from, to) of the request to `at`. */
static int put_strings(struct loader *l, u64 at, u64 from, u64 to)
{
	while (from < to) {
		u64 offset = from % PAGE_SIZE, n = min(to - from, PAGE_SIZE - offset);

		if (put_bytes(l, at, l->r->pages[from / PAGE_SIZE] + offset, n))
			return -EFAULT;
		at += n;
		from += n;
	}
	return 0;
}

static int copy_strings(struct loader *l)
{
	struct exec_request *r = l->r;
	u64 at = l->arg_start;
	int err;

	err = put_bytes(l, l->execfn, r->name, strlen(r->name) + 1);
	for (u32 i = 0; i < r->nr_prefix && !err; i++) {
		size_t n = strlen(r->prefix[i]) + 1;

		err = put_bytes(l, at, r->prefix[i], n);
		at += n;
	}
	return err ? err : put_strings(l, at, r->skip_bytes, r->bytes);
}

/* Words for the new stack, written in portions. */
struct word_writer {
	struct loader *l;
	u64 at;
	unsigned nr;
	int err;
	u64 words[128];
};

static void flush_words(struct word_writer *w)
{
	if (!w->err && w->nr > 0)
		w->err = put_bytes(w->l, w->at, w->words, w->nr * sizeof(u64));
	w->at += w->nr * sizeof(u64);
	w->nr = 0;
}

static void put_word(struct word_writer *w, u64 value)
{
	if (w->nr == ARRAY_SIZE(w->words))
		flush_words(w);
	w->words[w->nr++] = value;
}

/* One pointer for each of nr strings that begin at byte `from` of the request and at `at` in memory. */
static void put_pointers(struct word_writer *w, u32 nr, u64 from, u64 at)
{
	const struct exec_request *r = w->l->r;

	while (nr > 0) {
		put_word(w, at);
		for (;;) {
			u64 offset = from % PAGE_SIZE, room = PAGE_SIZE - offset;
			const char *start = r->pages[from / PAGE_SIZE] + offset;
			const char *end = memchr(start, 0, room);
			u64 n = end ? (u64)(end - start) + 1 : room;

			from += n;
			at += n;
			if (end)
				break;
		}
		nr--;
	}
}

static void put_argument_pointers(struct word_writer *w)
{
	const struct exec_request *r = w->l->r;
	u64 at = w->l->arg_start;

	for (u32 i = 0; i < r->nr_prefix; i++) {
		put_word(w, at);
		at += strlen(r->prefix[i]) + 1;
	}
	put_pointers(w, r->nr_arguments, r->skip_bytes, at);
	put_word(w, 0);
	put_pointers(w, r->nr_environment, r->argument_bytes, w->l->env_start);
	put_word(w, 0);
}

static void fill_auxv(struct loader *l)
{
	struct aspace *a = l->a;
	const struct cred *c = l->s->cred;
	u32 nr = 0;
#define AUX(type, value)                                                                           \
	do {                                                                                       \
		a->auxv[nr++] = (type);                                                            \
		a->auxv[nr++] = (u64)(value);                                                      \
	} while (0)
	if (a->vdso_base)
		AUX(AT_SYSINFO_EHDR, a->vdso_base);
	AUX(AUX_MINSIGSTKSZ, signal_frame_size_max());
	AUX(AT_HWCAP, cpu_hwcap());
	AUX(AT_PAGESZ, PAGE_SIZE);
	AUX(AT_CLKTCK, CLOCK_TICKS);
	AUX(AT_PHDR, l->program->phdr_address + l->program_bias);
	AUX(AT_PHENT, sizeof(Elf64_Phdr));
	AUX(AT_PHNUM, l->program->header.e_phnum);
	AUX(AT_BASE, l->interpreter_base);
	AUX(AT_FLAGS, 0);
	AUX(AT_ENTRY, l->program->header.e_entry + l->program_bias);
	AUX(AT_UID, c->uid);
	AUX(AT_EUID, c->euid);
	AUX(AT_GID, c->gid);
	AUX(AT_EGID, c->egid);
	AUX(AT_SECURE, l->s->secure);
	AUX(AT_RANDOM, l->random_bytes);
	AUX(AT_HWCAP2, cpu_hwcap2());
	AUX(AT_EXECFN, l->execfn);
	AUX(AT_PLATFORM, l->platform);
	AUX(AUX_RSEQ_FEATURE_SIZE, RSEQ_FEATURE_BYTES);
	AUX(AUX_RSEQ_ALIGN, RSEQ_ALIGN_BYTES);
	AUX(AT_NULL, 0);
#undef AUX
	static_assert(23 * 2 <= ARRAY_SIZE(((struct aspace *)NULL)->auxv));
	a->auxv_bytes = nr * sizeof(u64);
}

static int build_stack(struct loader *l)
{
	static const char platform[] = "x86_64";
	struct exec_request *r = l->r;
	u8 seed[16];
	u64 at = l->arg_start, nr_words;
	struct word_writer w = { .l = l };

	if (l->random)
		at -= random_below(8192);
	at = align_down(at, 16ul);
	at -= 16;
	l->platform = at;
	at -= sizeof(seed);
	l->random_bytes = at;
	random_bytes(seed, sizeof(seed));
	if (copy_strings(l) || put_bytes(l, l->platform, platform, sizeof(platform)) ||
	    put_bytes(l, l->random_bytes, seed, sizeof(seed)))
		return -EFAULT;

	fill_auxv(l);
	nr_words = 1 + r->nr_prefix + r->nr_arguments + 1 + r->nr_environment + 1 +
		   l->a->auxv_bytes / sizeof(u64);
	at = align_down(at - nr_words * sizeof(u64), 16ul);
	l->s->stack = at;
	w.at = at;
	put_word(&w, r->nr_prefix + r->nr_arguments);
	put_argument_pointers(&w);
	for (u32 i = 0; i < l->a->auxv_bytes / sizeof(u64); i++)
		put_word(&w, l->a->auxv[i]);
	flush_words(&w);

	l->a->stack_start = at;
	l->a->arg_start = l->arg_start;
	l->a->arg_end = l->env_start;
	l->a->env_start = l->env_start;
	l->a->env_end = l->env_end;
	return w.err;
}

static bool wants_random(u32 persona)
{
	return !(persona & ADDR_NO_RANDOMIZE) && READ_ONCE(sysctl_randomize_va_space) &&
	       !boot_option("norandmaps");
}

int exec_load(struct exec_request *r, struct elf_image *program, struct elf_image *interpreter,
	      struct file *interpreter_file, struct exec_start *s)
{
	struct loader l = { .r = r,
			    .s = s,
			    .a = s->aspace,
			    .program = program,
			    .random = wants_random(s->personality) };
	int err;

	choose_layout(&l);
	err = map_stack(&l);
	if (!err)
		err = load_program(&l, interpreter != NULL);
	if (!err && interpreter)
		err = load_interpreter(&l, interpreter, interpreter_file);
	else
		s->entry = program->header.e_entry + l.program_bias;
	if (!err && s->entry >= USER_ADDRESS_END)
		err = -EINVAL;
	if (!err)
		err = aspace_map_vdso(s->aspace);
	return err ? err : build_stack(&l);
}
