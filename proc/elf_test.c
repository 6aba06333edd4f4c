/* Tests of ELF headers, among them ones that lie. */
#include "elf.h"

#include <nos/errno.h>
#include <nos/string.h>
#include <nos/test.h>

#define LIMIT 0x00007ffffffff000ul

static Elf64_Phdr phdrs[4];

static struct elf_image good(void)
{
	struct elf_image e = {
		.header = {
			.e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT },
			.e_type = ET_EXEC, .e_machine = EM_X86_64, .e_phoff = 64,
			.e_phentsize = sizeof(Elf64_Phdr), .e_phnum = 2,
		},
		.phdrs = phdrs,
	};

	memset(phdrs, 0, sizeof(phdrs));
	phdrs[0] = (Elf64_Phdr){ .p_type = PT_LOAD,
				 .p_flags = PF_R | PF_X,
				 .p_vaddr = 0x400000,
				 .p_filesz = 0x1234,
				 .p_memsz = 0x1234,
				 .p_align = 0x1000 };
	phdrs[1] = (Elf64_Phdr){ .p_type = PT_LOAD,
				 .p_flags = PF_R | PF_W,
				 .p_offset = 0x2000,
				 .p_vaddr = 0x403000,
				 .p_filesz = 0x10,
				 .p_memsz = 0x5000,
				 .p_align = 0x200000 };
	return e;
}

TEST(elf_survey_of_a_program)
{
	struct elf_image e = good();

	EXPECT_EQ(elf_check_header(&e.header), 0);
	elf_survey(&e);
	EXPECT_EQ(e.low, 0x400000);
	EXPECT_EQ(e.high, 0x408000);
	EXPECT_EQ(e.align, 0x200000);
	EXPECT_EQ(e.phdr_address, 0x400040);
	EXPECT_EQ(e.code_start, 0x400000);
	EXPECT_EQ(e.code_end, 0x401234);
	EXPECT_EQ(e.data_end, 0x403010);
	EXPECT_EQ(e.break_end, 0x408000);
	EXPECT(!e.interpreter && !e.executable_stack);
	EXPECT_EQ(elf_check_segments(&e, 0, LIMIT), 0);
	EXPECT_EQ(elf_check_segments(&e, LIMIT - 0x404000, LIMIT), -ENOMEM);
}

TEST(elf_headers_that_are_not_ours)
{
	struct elf_image e = good();

	e.header.e_machine = EM_386;
	EXPECT_EQ(elf_check_header(&e.header), -ENOEXEC);
	e = good();
	e.header.e_ident[EI_CLASS] = ELFCLASS32;
	EXPECT_EQ(elf_check_header(&e.header), -ENOEXEC);
	e = good();
	e.header.e_type = ET_CORE;
	EXPECT_EQ(elf_check_header(&e.header), -ENOEXEC);
	e = good();
	e.header.e_phnum = 0;
	EXPECT_EQ(elf_check_header(&e.header), -ENOEXEC);
	e.header.e_phnum = 0xffff;
	EXPECT_EQ(elf_check_header(&e.header), -ENOEXEC);
	e = good();
	e.header.e_phentsize = 1;
	EXPECT_EQ(elf_check_header(&e.header), -ENOEXEC);
}

TEST(elf_segments_that_make_no_sense)
{
	struct elf_image e = good();

	phdrs[1].p_filesz = 0x6000;
	EXPECT_EQ(elf_check_segments(&e, 0, LIMIT), -EINVAL);
	e = good();
	phdrs[1].p_memsz = U64_MAX - 0x1000;
	EXPECT_EQ(elf_check_segments(&e, 0, LIMIT), -EINVAL);
	e = good();
	phdrs[1].p_offset = U64_MAX - 0xfff;
	EXPECT_EQ(elf_check_segments(&e, 0, LIMIT), -EINVAL);
	e = good();
	phdrs[1].p_offset++;
	EXPECT_EQ(elf_check_segments(&e, 0, LIMIT), -EINVAL);
	e = good();
	phdrs[1].p_vaddr = 1ull << 60;
	elf_survey(&e);
	EXPECT_EQ(elf_check_segments(&e, 0, LIMIT), -ENOMEM);
}

/* Whatever the fields say, what passes the checks lies below the limit. */
TEST(elf_random_headers)
{
	u64 state = 88172645463325252ull;

	for (unsigned round = 0; round < 20000; round++) {
		struct elf_image e = good();

		for (unsigned i = 0; i < 1 + round % 3; i++) {
			state ^= state << 13;
			state ^= state >> 7;
			state ^= state << 17;
			u64 *field = (u64 *)phdrs + state % (2 * sizeof(Elf64_Phdr) / 8);

			*field = state >> (state >> 58);
		}
		elf_survey(&e);
		if (elf_check_segments(&e, 0, LIMIT))
			continue;
		for (unsigned i = 0; i < 2; i++) {
			if (phdrs[i].p_type == PT_LOAD && phdrs[i].p_memsz)
				EXPECT(phdrs[i].p_vaddr + phdrs[i].p_memsz <= LIMIT);
		}
		EXPECT(e.low <= e.high && e.high <= LIMIT);
	}
}
