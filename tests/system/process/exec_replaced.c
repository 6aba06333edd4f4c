/*
 * Programs and libraries that change between one start and the next: whatever a
 * kernel remembers of earlier starts, the pages that run are those of the file as
 * it is.
 */
#include "../test.h"
#include <elf.h>
#include <stddef.h>

#define PAGE 4096
#define BASE 0x400000ul
#define ROUNDS 1000

/* ---- a program of three pages that says its version: headers, code, data ---- */

struct program {
	union {
		struct {
			Elf64_Ehdr eh;
			Elf64_Phdr ph[3];
			unsigned char version;
		};
		char page0[PAGE];
	};
	unsigned char code[PAGE];
	unsigned char data[PAGE];
};

#define LOAD(NR, FLAGS)                                                                            \
	{                                                                                          \
		.p_type = PT_LOAD, .p_flags = FLAGS, .p_offset = NR * PAGE,                        \
		.p_vaddr = BASE + NR * PAGE, .p_filesz = PAGE, .p_memsz = PAGE, .p_align = PAGE,   \
	}

/* The exit status is the version if all three pages have it, else 255. */
static void make_program(struct program *p, unsigned char version)
{
	static const unsigned char code[] = {
		0x0f, 0xb6, 0x3c, 0x25, 0,    0x20, 0x40, 0, /* movzbl data, %edi */
		0xfe, 0x04, 0x25, 0,    0x20, 0x40, 0, /* incb data */
		0x0f, 0xb6, 0x04, 0x25, 0,    0,    0x40, 0, /* movzbl version, %eax */
		0x39, 0xf8, /* cmp %edi, %eax */
		0x75, 0x04, /* jne bad */
		0x3c, 0, /* cmp $version, %al */
		0x74, 0x05, /* je good */
		0xbf, 0xff, 0,    0,    0, /* bad: mov $255, %edi */
		0xb8, 0xe7, 0,    0,    0, /* good: mov $exit_group, %eax */
		0x0f, 0x05, /* syscall */
	};

	memset(p, 0, sizeof(*p));
	p->eh = (Elf64_Ehdr){
		.e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT },
		.e_type = ET_EXEC,
		.e_machine = EM_X86_64,
		.e_version = EV_CURRENT,
		.e_entry = BASE + PAGE,
		.e_phoff = offsetof(struct program, ph),
		.e_ehsize = sizeof(Elf64_Ehdr),
		.e_phentsize = sizeof(Elf64_Phdr),
		.e_phnum = 3,
	};
	p->ph[0] = (Elf64_Phdr)LOAD(0, PF_R);
	p->ph[1] = (Elf64_Phdr)LOAD(1, PF_R | PF_X);
	p->ph[2] = (Elf64_Phdr)LOAD(2, PF_R | PF_W);
	p->version = version;
	memcpy(p->code, code, sizeof(code));
	p->code[19] = offsetof(struct program, version) & 0xff;
	p->code[20] = offsetof(struct program, version) >> 8;
	p->code[28] = version;
	p->data[0] = version;
}

/* ---- ways to make a file another one ---- */

static void write_file(const char *name, int flags, const void *data, size_t size)
{
	int fd = CHECK_OK(open(name, O_CREAT | O_WRONLY | O_CLOEXEC | flags, 0755));

	CHECK_EQ(write(fd, data, size), size);
	CHECK_OK(close(fd));
}

static void store_through_mapping(const char *name, const void *data, size_t size)
{
	int fd = CHECK_OK(open(name, O_RDWR | O_CLOEXEC));
	char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	CHECK(p != MAP_FAILED);
	memcpy(p, data, size);
	CHECK_OK(munmap(p, size));
	CHECK_OK(close(fd));
}

static void change_file(const char *name, unsigned way, const void *data, size_t size)
{
	switch (way % 7) {
	case 0:
		write_file(name, 0, data, size);
		return;
	case 1:
		write_file(name, O_TRUNC, data, size);
		return;
	case 2:
		write_file("new", O_EXCL, data, size);
		CHECK_OK(rename("new", name));
		return;
	case 3:
		CHECK_OK(truncate(name, 100));
		write_file(name, 0, data, size);
		return;
	case 4:
		CHECK_OK(unlink(name));
		write_file(name, O_EXCL, data, size);
		return;
	case 5:
		store_through_mapping(name, data, size);
		return;
	case 6: /* the old one lives on under another name */
		CHECK_OK(rename(name, "old"));
		write_file(name, O_EXCL, data, size);
		return;
	}
}

static int status_of(pid_t pid)
{
	int status;

	CHECK_OK(pid);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	return status;
}

/* ---- programs ---- */

static int run_program(const char *name)
{
	char *argv[] = { (char *)name, NULL };
	pid_t pid = vfork();

	if (pid == 0) {
		execv(name, argv);
		_exit(254);
	}
	return status_of(pid);
}

/* How often what the last start touched was mapped at once; -1: never at this boot. */
static long sets_used(void)
{
	return test_is_off("exec_template") ? -1 : test_counter("exec.sets_used");
}

TEST_TIMED(each_version_of_a_program_runs, 120)
{
	static struct program p;
	long sets = sets_used();

	make_program(&p, 1);
	write_file("prog", O_TRUNC, &p, sizeof(p));
	for (unsigned i = 0; i < ROUNDS; i++) {
		unsigned char version = i % 200;

		make_program(&p, version);
		change_file("prog", i, &p, sizeof(p));
		CHECK_EQ(run_program("./prog"), version << 8);
		if (i % 3 == 0) /* as it was, and with what it wrote forgotten */
			CHECK_EQ(run_program("./prog"), version << 8);
	}
	CHECK(sets < 0 || sets_used() > sets); /* else this test shows nothing */
}

TEST(a_program_that_lost_its_end_faults)
{
	static struct program p;
	int status;

	make_program(&p, 7);
	write_file("prog", O_TRUNC, &p, sizeof(p));
	for (int i = 0; i < 3; i++)
		CHECK_EQ(run_program("./prog"), 7 << 8);
	CHECK_OK(truncate("prog", 2 * PAGE));
	status = run_program("./prog");
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
	CHECK_OK(truncate("prog", sizeof(p))); /* zeros now */
	CHECK_EQ(run_program("./prog"), 255 << 8);
}

TEST(a_running_program_cannot_be_written)
{
	static struct program p;

	make_program(&p, 3);
	/* code: pause() for ever */
	memcpy(p.code, (unsigned char[]){ 0xb8, 34, 0, 0, 0, 0x0f, 0x05, 0xeb, 0xf7 }, 9);
	write_file("prog", O_TRUNC, &p, sizeof(p));
	for (int i = 0; i < 3; i++) {
		char *argv[] = { "./prog", NULL };
		pid_t pid = vfork();

		if (pid == 0) {
			execv(argv[0], argv);
			_exit(254);
		}
		CHECK_OK(pid);
		CHECK_ERR(open("prog", O_WRONLY), ETXTBSY);
		CHECK_ERR(truncate("prog", 0), ETXTBSY);
		CHECK_OK(kill(pid, SIGKILL));
		CHECK_EQ(waitpid(pid, NULL, 0), pid);
	}
	make_program(&p, 4);
	write_file("prog", O_TRUNC, &p, sizeof(p));
	CHECK_EQ(run_program("./prog"), 4 << 8);
}

/* ---- libraries ---- */

struct library {
	unsigned char head[PAGE], code[PAGE], data[PAGE];
};

static void make_library(struct library *l, unsigned char version)
{
	memset(l, 0, sizeof(*l));
	l->head[0] = version;
	memcpy(l->code, (unsigned char[]){ 0xb8, version, 0, 0, 0, 0xc3 }, 6);
	l->data[0] = version;
}

/* Maps "lib" as ld.so does, and returns its version; 255: not all of one version. */
HELPER(call_library)
{
	int fd = open("lib", O_RDONLY | O_CLOEXEC);
	struct library *l = mmap(NULL, sizeof(*l), PROT_READ, MAP_PRIVATE, fd, 0);

	(void)argc;
	(void)argv;
	if (l == MAP_FAILED ||
	    mmap(l->code, PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_FIXED, fd, PAGE) !=
		    l->code ||
	    mmap(l->data, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, fd, 2 * PAGE) !=
		    l->data)
		return 254;
	close(fd);
	int version = ((int (*)(void))l->code)();

	return l->data[0]++ == version && l->head[0] == version &&
			       l->data[0] == (unsigned char)(version + 1) ?
		       version :
		       255;
}

static int run_library(void)
{
	pid_t pid = vfork();

	if (pid == 0)
		test_exec("call_library", NULL);
	return status_of(pid);
}

TEST_TIMED(each_version_of_a_library_runs, 240)
{
	static struct library l;

	make_library(&l, 1);
	write_file("lib", O_TRUNC, &l, sizeof(l));
	for (unsigned i = 0; i < ROUNDS; i++) {
		make_library(&l, i % 200);
		change_file("lib", i, &l, sizeof(l));
		CHECK_EQ(run_library(), (i % 200) << 8);
	}
}

/* A library that is replaced while programs start is of one version in each of them. */
TEST_TIMED(a_library_replaced_meanwhile_is_of_one_version, 120)
{
	static struct library l;
	pid_t pid;
	int status;

	make_library(&l, 1);
	write_file("lib", O_TRUNC, &l, sizeof(l));
	CHILD(pid)
	{
		for (unsigned i = 0; i < 200; i++) {
			status = run_library();
			CHECK(WIFEXITED(status) && WEXITSTATUS(status) < 200);
		}
	}
	for (unsigned i = 0; waitpid(pid, &status, WNOHANG) == 0; i++) {
		make_library(&l, i % 200);
		change_file("lib", 2, &l, sizeof(l));
	}
	CHECK_EQ(status, 0);
}
