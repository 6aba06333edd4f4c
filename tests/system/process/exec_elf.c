#include "../test.h"
#include <elf.h>
#include <stddef.h>

/* A whole program: exit(42) by the bare system call. */
struct image {
	Elf64_Ehdr eh;
	Elf64_Phdr ph[3];
	unsigned char code[16];
};

#define BASE	0x400000ul

static struct image good(void)
{
	struct image im = {
		.eh = {
			.e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS64,
				     ELFDATA2LSB, EV_CURRENT },
			.e_type = ET_EXEC, .e_machine = EM_X86_64,
			.e_version = EV_CURRENT,
			.e_entry = BASE + offsetof(struct image, code),
			.e_phoff = offsetof(struct image, ph),
			.e_ehsize = sizeof(Elf64_Ehdr),
			.e_phentsize = sizeof(Elf64_Phdr), .e_phnum = 1,
		},
		.ph = { {
			.p_type = PT_LOAD, .p_flags = PF_R | PF_X,
			.p_vaddr = BASE, .p_filesz = sizeof(struct image),
			.p_memsz = sizeof(struct image), .p_align = 4096,
		} },
		/* mov $60,%eax; mov $42,%edi; syscall */
		.code = { 0xb8, 60, 0, 0, 0, 0xbf, 42, 0, 0, 0, 0x0f, 0x05 },
	};

	return im;
}

static void put(const void *data, size_t size)
{
	int fd;

	unlink("prog");
	fd = CHECK_OK(open("prog", O_CREAT | O_WRONLY | O_CLOEXEC, 0755));
	CHECK_EQ(write(fd, data, size), size);
	CHECK_OK(close(fd));
}

/* The wait status of the program, or minus the errno of execve. */
static int try(const void *data, size_t size)
{
	char *argv[] = { "prog", NULL };
	int ends[2], error = 0, status;
	pid_t pid;

	put(data, size);
	CHECK_OK(pipe2(ends, O_CLOEXEC));
	CHILD(pid) {
		execv("./prog", argv);
		error = errno;
		CHECK_EQ(write(ends[1], &error, sizeof(error)), 4);
	}
	close(ends[1]);
	CHECK_OK(read(ends[0], &error, sizeof(error)));
	close(ends[0]);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	return error ? -error : status;
}

#define TRY(IM)	try(&(IM), sizeof(IM))

TEST(the_good_one)
{
	struct image im = good();

	CHECK_EQ(TRY(im), 42 << 8);
	im.eh.e_type = ET_DYN;
	im.ph[0].p_vaddr = 0;
	im.eh.e_entry = offsetof(struct image, code);
	CHECK_EQ(TRY(im), 42 << 8);
}

TEST(bad_headers)
{
	struct image im = good();

	im.eh.e_machine = EM_AARCH64;
	CHECK_EQ(TRY(im), -ENOEXEC);
	im = good();
	im.eh.e_type = ET_REL;
	CHECK_EQ(TRY(im), -ENOEXEC);
	im = good();
	im.eh.e_type = ET_CORE;
	CHECK_EQ(TRY(im), -ENOEXEC);
	im = good();
	im.eh.e_ident[1] = 'X';
	CHECK_EQ(TRY(im), -ENOEXEC);
	im = good();
	im.eh.e_phentsize = 10;
	CHECK_EQ(TRY(im), -ENOEXEC);
	im = good();
	im.eh.e_phnum = 0;
	CHECK_EQ(TRY(im), -ENOEXEC);
	im = good();
	im.eh.e_phnum = 0xffff;
	CHECK_EQ(TRY(im), -ENOEXEC);
	im = good();
	im.eh.e_phoff = 1ull << 40;
	CHECK(TRY(im) < 0);
	im.eh.e_phoff = ~0ull;
	CHECK(TRY(im) < 0);
}

TEST(truncated)
{
	struct image im = good();

	for (size_t size = 0; size < sizeof(im.eh); size += 9)
		CHECK_EQ(try(&im, size), -ENOEXEC);
	/* Headers cut off. */
	CHECK(try(&im, sizeof(im.eh) + 20) < 0);
	/* The code cut off: zeros, or a fault, but nothing worse. */
	CHECK(try(&im, offsetof(struct image, code)) > 0);
}

TEST(bad_segments)
{
	struct image im = good();
	int status;

	im.ph[0].p_vaddr = 0xffffffff80000000;
	CHECK(TRY(im) != 42 << 8);
	im = good();
	im.ph[0].p_memsz = 1ull << 62;
	CHECK(TRY(im) != 42 << 8);
	im = good();
	im.ph[0].p_filesz = ~0ull;
	CHECK(TRY(im) != 42 << 8);
	im = good();
	im.ph[0].p_filesz = sizeof(im) + 4096;
	im.ph[0].p_memsz = sizeof(im);
	CHECK(TRY(im) != 42 << 8);
	im = good();
	im.ph[0].p_vaddr = BASE + 1;
	CHECK(TRY(im) != 42 << 8);
	im = good();
	im.ph[0].p_vaddr = 0;
	status = TRY(im);
	CHECK(status != 42 << 8);
	im = good();
	im.eh.e_entry = 0;
	CHECK_EQ(TRY(im), SIGSEGV);
	im.eh.e_entry = 0xffffffff80000000;
	CHECK_EQ(TRY(im), SIGSEGV);
	im.eh.e_entry = 1ull << 60;
	CHECK_EQ(TRY(im), SIGSEGV);
	/* Nothing to load: no code at the entry. */
	im = good();
	im.ph[0].p_type = PT_NULL;
	CHECK_EQ(TRY(im), SIGSEGV);
	/* No right to run it. */
	im = good();
	im.ph[0].p_flags = PF_R;
	CHECK_EQ(TRY(im), SIGSEGV);
}

TEST(zero_filled_part)
{
	struct image im = good();

	/* The file's tail past p_filesz must read as zero. */
	im.ph[0].p_flags = PF_R | PF_W | PF_X;
	im.ph[0].p_memsz = 3 * 4096;
	/* mov BASE+8192,%edi (zero): exits with 0 */
	memcpy(im.code, "\x8b\x3c\x25\x00\x20\x40\x00\xb8\x3c\0\0\0\x0f\x05",
	       14);
	CHECK_EQ(TRY(im), 0);
}

static int with_interpreter(const char *path, size_t filesz)
{
	struct {
		struct image im;
		char path[256];
	} all = { .im = good() };

	all.im.eh.e_phnum = 2;
	all.im.ph[1] = all.im.ph[0];
	all.im.ph[0] = (Elf64_Phdr){
		.p_type = PT_INTERP, .p_offset = sizeof(all.im),
		.p_filesz = filesz,
	};
	strcpy(all.path, path);
	return TRY(all);
}

TEST(interpreters)
{
	CHECK_EQ(with_interpreter("/no/such", 9), -ENOENT);
	CHECK_EQ(with_interpreter("/dev/null", 10), -EACCES);
	CHECK_EQ(with_interpreter("/", 2), -EACCES);
	/* Not ended by a zero, too long, too short. */
	CHECK_EQ(with_interpreter("/no/such", 8), -ENOEXEC);
	CHECK_EQ(with_interpreter("/no/such", 5000), -ENOEXEC);
	CHECK_EQ(with_interpreter("", 1), -ENOEXEC);
	CHECK_EQ(with_interpreter("", 0), -ENOEXEC);
	/* A text, which is no ELF image. */
	CHECK(with_interpreter("/etc/passwd", 12) < 0);
}

TEST_TIMED(random_damage, 60)
{
	unsigned state = 12345;

	for (int i = 0; i < 150; i++) {
		struct image im = good();
		unsigned char *bytes = (void *)&im;

		for (int j = 0; j < 1 + i % 4; j++) {
			state = state * 1103515245 + 12345;
			bytes[(state >> 8) % offsetof(struct image, ph[1])] =
				(unsigned char)(state >> 20);
		}
		/* Any errno or death will do; the system goes on. */
		TRY(im);
	}
	CHECK_EQ(TRY((struct image[]){ good() }[0]), 42 << 8);
}
