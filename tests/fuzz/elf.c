/*
 * ELF images: headers of a program and its interpreter that say anything, through the survey, the
 * checks and the loader, onto an address space that only keeps ranges.
 */
/* needs: proc/elf.c proc/exec_load.c */
#include "fuzz.h"

#include "../../proc/internal.h"
#include "../../proc/elf.h"

#include <nos/exec.h>
#include <nos/file.h>
#include <nos/random.h>
#include <linux/mman.h>

#define PHDRS_MAX 8
#define RANGES_MAX 64

struct range {
	u64 start, end;
};
static struct range ranges[RANGES_MAX];
static unsigned nr_ranges;
static u64 next_free;
static u64 random_state;

s64 aspace_map(struct aspace *a, const struct map_request *r)
{
	u64 length = align_up(r->length, PAGE_SIZE), at = r->address;

	if (!r->length || length < r->length || length > USER_ADDRESS_END)
		return r->length ? -ENOMEM : -EINVAL;
	if (r->map_flags & MAP_FIXED) {
		if (!is_aligned(at, PAGE_SIZE))
			return -EINVAL;
		if (at > USER_ADDRESS_END - length)
			return -ENOMEM;
	} else {
		if (next_free < length + PAGE_SIZE)
			return -ENOMEM;
		at = next_free - length;
	}
	VERIFY(!(r->prot & ~(PROT_READ | PROT_WRITE | PROT_EXEC)));
	VERIFY(!r->file || r->page_offset <= (u64)S64_MAX >> PAGE_SHIFT);
	if (nr_ranges == RANGES_MAX)
		return -ENOMEM;
	ranges[nr_ranges++] = (struct range){ at, at + length };
	if (!(r->map_flags & MAP_FIXED))
		next_free = at;
	return (s64)at;
}

s64 aspace_find_room(struct aspace *a, u64 length)
{
	length = align_up(length, PAGE_SIZE);
	VERIFY(length && length <= USER_ADDRESS_END);
	return next_free < length + PAGE_SIZE ? -ENOMEM : (s64)(next_free - length);
}

/* The page of zeros is frame 0. */
static u8 zeros[PAGE_SIZE] __aligned(PAGE_SIZE);
static struct folio frames[1];
struct folio *host_frame_table = frames, *zero_folio = frames;

void *phys_to_virt(phys_t p)
{
	return zeros + p;
}

size_t aspace_access(struct aspace *a, u64 address, void *buffer, size_t len, bool write,
		     bool force)
{
	volatile u8 sum = 0;

	for (size_t i = 0; i < len; i++)
		sum += ((u8 *)buffer)[i];
	for (unsigned i = 0; i < nr_ranges; i++)
		if (address >= ranges[i].start && address < ranges[i].end &&
		    len <= ranges[i].end - address)
			return len;
	return 0;
}

int aspace_map_vdso(struct aspace *a)
{
	a->vdso_base = 0x7fff00000000;
	return 0;
}

u64 process_rlimit(unsigned what)
{
	return 8ul << 20;
}
u64 random_below(u64 limit)
{
	random_state = random_state * 6364136223846793005ull + 1442695040888963407ull;
	return (random_state >> 11) % limit;
}
void random_bytes(void *to, size_t len)
{
	memset(to, 7, len);
}
size_t signal_frame_size_max(void)
{
	return 1024;
}
u64 cpu_hwcap(void)
{
	return 1;
}
u64 cpu_hwcap2(void)
{
	return 2;
}

static int map_file(struct file *f, struct map_request *r)
{
	return 0;
}
static const struct file_ops ops = { .map = map_file };

/* Headers as they come, made passable where `fix` says; false: refused by the checks. */
static bool take_image(struct fuzz_input *in, struct elf_image *e, unsigned nr, bool fix)
{
	static const u8 ident[] = { 0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT };

	fuzz_bytes(in, &e->header, sizeof(e->header));
	if (fix) {
		memcpy(e->header.e_ident, ident, sizeof(ident));
		e->header.e_type = e->header.e_type & 1 ? ET_DYN : ET_EXEC;
		e->header.e_machine = EM_X86_64;
		e->header.e_phentsize = sizeof(Elf64_Phdr);
	}
	e->header.e_phnum = (Elf64_Half)min((unsigned)e->header.e_phnum, nr);
	if (elf_check_header(&e->header))
		return false;
	e->phdrs = calloc(e->header.e_phnum, sizeof(Elf64_Phdr));
	fuzz_bytes(in, e->phdrs, e->header.e_phnum * sizeof(Elf64_Phdr));
	elf_survey(e);
	VERIFY(e->low <= e->high || e->high == 0);
	VERIFY(is_aligned(e->low, PAGE_SIZE) && is_aligned(e->high, PAGE_SIZE));
	VERIFY(e->align >= PAGE_SIZE && (e->align & (e->align - 1)) == 0);
	return true;
}

static void load(struct elf_image *program, struct elf_image *interpreter, u32 personality)
{
	static char strings[PAGE_SIZE] = "program\0argument\0A=1\0B=2";
	static struct cred root;
	char *pages[1] = { strings }, name[] = "/bin/program";
	struct file f = { .ops = &ops };
	struct exec_request r = { .file = &f,
				  .name = name,
				  .pages = pages,
				  .nr_pages = 1,
				  .bytes = 25,
				  .argument_bytes = 17,
				  .nr_arguments = 2,
				  .nr_environment = 2 };
	struct aspace a = { 0 };
	struct exec_start s = { .aspace = &a, .cred = &root, .personality = personality };

	nr_ranges = 0;
	next_free = align_down(USER_ADDRESS_END / 2, PAGE_SIZE);
	if (exec_load(&r, program, interpreter, interpreter ? &f : NULL, &s))
		return;
	VERIFY(s.entry < USER_ADDRESS_END);
	VERIFY(is_aligned(s.stack, 16ul) && s.stack < USER_ADDRESS_END);
	VERIFY(is_aligned(a.brk_start, PAGE_SIZE) && a.brk_start <= USER_ADDRESS_END);
	VERIFY(a.auxv_bytes <= sizeof(a.auxv));
	VERIFY(a.arg_start < a.arg_end && a.arg_end <= a.env_start && a.env_start < a.env_end);
	for (unsigned i = 0; i < nr_ranges; i++)
		VERIFY(ranges[i].start < ranges[i].end && ranges[i].end <= USER_ADDRESS_END);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct fuzz_input in = { data, size };
	struct elf_image program = { 0 }, interpreter = { 0 };
	u8 flags = fuzz_u8(&in), nr = fuzz_u8(&in) % PHDRS_MAX, nr_other = fuzz_u8(&in) % PHDRS_MAX;

	random_state = flags;
	if (take_image(&in, &program, nr, flags & 1)) {
		bool has_other = flags & 4 && take_image(&in, &interpreter, nr_other, flags & 2);

		load(&program, has_other ? &interpreter : NULL, flags & 8 ? 0x0040000 : 0);
	}
	free(program.phdrs);
	free(interpreter.phdrs);
	return 0;
}
