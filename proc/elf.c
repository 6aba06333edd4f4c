/*
 * ELF images: checks of headers that come from anyone.
 *
 * Nothing here trusts a field: sums are checked for overflow before they are
 * used, and a segment that would lie outside of user memory is refused before
 * it is mapped.  Pure functions: the same code runs in the tests on the host.
 *
 * System V ABI, "Program Loading"; psABI for x86-64; elf(5).
 */
#include "elf.h"

#include <nos/errno.h>
#include <nos/string.h>

int elf_check_header(const Elf64_Ehdr *h)
{
	if (memcmp(h->e_ident, ELFMAG, SELFMAG) != 0 || h->e_ident[EI_CLASS] != ELFCLASS64)
		return -ENOEXEC;
	if (h->e_type != ET_EXEC && h->e_type != ET_DYN)
		return -ENOEXEC;
	if (h->e_machine != EM_X86_64 || h->e_phentsize != sizeof(Elf64_Phdr))
		return -ENOEXEC;
	if (h->e_phnum < 1 || h->e_phnum > ELF_PHDRS_MAX)
		return -ENOEXEC;
	return 0;
}

bool elf_segment_is_bad(const Elf64_Phdr *p)
{
	u64 end;

	return p->p_filesz > p->p_memsz || __builtin_add_overflow(p->p_vaddr, p->p_memsz, &end) ||
	       end > U64_MAX - PAGE_SIZE ||
	       __builtin_add_overflow(p->p_offset, p->p_filesz, &end) || end > (u64)S64_MAX ||
	       ((p->p_vaddr ^ p->p_offset) & ~PAGE_MASK);
}

static void survey_load(struct elf_image *e, const Elf64_Phdr *p, bool *first)
{
	u64 start = align_down(p->p_vaddr, PAGE_SIZE);
	u64 end = align_up(p->p_vaddr + p->p_memsz, PAGE_SIZE);
	u64 file_end = p->p_vaddr + p->p_filesz;

	if (*first || start < e->low)
		e->low = start;
	if (*first || end > e->high)
		e->high = end;
	*first = false;
	if (p->p_align > e->align && (p->p_align & (p->p_align - 1)) == 0 &&
	    p->p_align <= (1ul << 30))
		e->align = p->p_align;
	if (e->header.e_phoff >= p->p_offset && e->header.e_phoff - p->p_offset < p->p_filesz &&
	    !e->phdr_address)
		e->phdr_address = e->header.e_phoff - p->p_offset + p->p_vaddr;
	if ((p->p_flags & PF_X) && p->p_vaddr < e->code_start)
		e->code_start = p->p_vaddr;
	if ((p->p_flags & PF_X) && file_end > e->code_end)
		e->code_end = file_end;
	if (p->p_vaddr > e->data_start)
		e->data_start = p->p_vaddr;
	if (file_end > e->data_end)
		e->data_end = file_end;
	if (p->p_vaddr + p->p_memsz > e->break_end)
		e->break_end = p->p_vaddr + p->p_memsz;
}

void elf_survey(struct elf_image *e)
{
	bool first = true;

	e->low = e->high = 0;
	e->align = PAGE_SIZE;
	e->phdr_address = 0;
	e->code_start = U64_MAX;
	e->code_end = e->data_start = e->data_end = e->break_end = 0;
	e->interpreter = NULL;
	e->executable_stack = false;
	for (unsigned i = 0; i < e->header.e_phnum; i++) {
		const Elf64_Phdr *p = &e->phdrs[i];

		if (p->p_type == PT_INTERP && !e->interpreter)
			e->interpreter = p;
		else if (p->p_type == PT_GNU_STACK)
			e->executable_stack = p->p_flags & PF_X;
		else if (p->p_type == PT_LOAD && p->p_memsz > 0 && !elf_segment_is_bad(p))
			survey_load(e, p, &first);
	}
	if (e->code_start == U64_MAX)
		e->code_start = 0;
}

int elf_check_segments(const struct elf_image *e, u64 bias, u64 limit)
{
	for (unsigned i = 0; i < e->header.e_phnum; i++) {
		const Elf64_Phdr *p = &e->phdrs[i];

		if (p->p_type == PT_LOAD && elf_segment_is_bad(p))
			return -EINVAL;
	}
	if (e->high - e->low > limit || e->low + bias > limit - (e->high - e->low))
		return -ENOMEM;
	return 0;
}
