/* ELF images: what exec needs to know of one, checked (elf.c). */
#pragma once

#include <nos/types.h>

#include <linux/elf.h>

#define ELF_PHDRS_MAX (65536 / sizeof(Elf64_Phdr))

struct elf_image {
	Elf64_Ehdr header;
	Elf64_Phdr *phdrs; /* e_phnum of them */
	u64 low, high; /* pages that the segments span; low == high: none */
	u64 align; /* largest p_align that is a power of two, at least a page */
	u64 phdr_address; /* of the program headers, unrelocated; 0: not loaded */
	u64 code_start, code_end, data_start, data_end, break_end;
	const Elf64_Phdr *interpreter; /* PT_INTERP, or NULL */
	bool executable_stack;
};

/* 0, or -ENOEXEC: not an x86-64 program or its headers make no sense. */
int elf_check_header(const Elf64_Ehdr *h);
/* Goes over the program headers: everything above but the header.  Errors of segments are left to
 * elf_check_segments, since they only count once the old program is gone. */
void elf_survey(struct elf_image *e);
/* 0, or -EINVAL, -ENOMEM: a segment that can't be mapped at `bias`. */
int elf_check_segments(const struct elf_image *e, u64 bias, u64 limit);
/* True if this PT_LOAD ends above the highest file offset or address that there can be. */
bool elf_segment_is_bad(const Elf64_Phdr *p);
