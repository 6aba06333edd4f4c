#include "../test.h"
#include <setjmp.h>
#include <ucontext.h>

static sigjmp_buf jump;
static volatile siginfo_t info;
static greg_t instruction, trap;

static void caught(int sig TEST_UNUSED, siginfo_t *i, void *context)
{
	ucontext_t *u = context;

	info = *i;
	instruction = u->uc_mcontext.gregs[REG_RIP];
	trap = u->uc_mcontext.gregs[REG_TRAPNO];
	siglongjmp(jump, 1);
}

static void catch(void)
{
	struct sigaction a = { .sa_sigaction = caught,
			       .sa_flags = SA_SIGINFO };

	CHECK_OK(sigaction(SIGSEGV, &a, NULL));
	CHECK_OK(sigaction(SIGBUS, &a, NULL));
	CHECK_OK(sigaction(SIGFPE, &a, NULL));
	CHECK_OK(sigaction(SIGILL, &a, NULL));
	CHECK_OK(sigaction(SIGTRAP, &a, NULL));
	info.si_signo = 0;
}

#define CAUGHT(STATEMENT) ({						\
	catch();							\
	if (!sigsetjmp(jump, 1)) {					\
		STATEMENT;						\
	}								\
	info.si_signo;							\
})

TEST(unmapped_and_protected)
{
	volatile char *p = CHECK_OK(mmap(NULL, 8192, PROT_READ, MAP_PRIVATE |
					 MAP_ANONYMOUS, -1, 0));
	volatile char *wild = test_wild;

	CHECK_EQ(CAUGHT(*wild = 1), SIGSEGV);
	CHECK_EQ(info.si_code, SEGV_MAPERR);
	CHECK(info.si_addr == (void *)8);
	CHECK_EQ(trap, 14);
	CHECK_EQ(CAUGHT(*p = 1), SIGSEGV);
	CHECK_EQ(info.si_code, SEGV_ACCERR);
	CHECK(info.si_addr == p);
	CHECK_EQ(CAUGHT((void)p[5000]), 0);
	CHECK_OK(mprotect((void *)p, 8192, PROT_NONE));
	CHECK_EQ(CAUGHT((void)p[5000]), SIGSEGV);
	CHECK(info.si_addr == p + 5000);
	CHECK_OK(munmap((void *)p, 8192));
	CHECK_EQ(CAUGHT((void)p[1]), SIGSEGV);
	CHECK_EQ(info.si_code, SEGV_MAPERR);
}

TEST(kernel_addresses)
{
	volatile char *k = test_kernel, *n = test_noncanonical;

	CHECK_EQ(CAUGHT((void)*k), SIGSEGV);
	CHECK_EQ(CAUGHT(*k = 1), SIGSEGV);
	/* No address is known for a non-canonical one. */
	CHECK_EQ(CAUGHT((void)*n), SIGSEGV);
	CHECK_EQ(info.si_code, SI_KERNEL);
	CHECK(info.si_addr == NULL);
}

/*
 * Loads all registers but rsp from `in`, stores a byte where rdi points, and gives to `out` what the
 * registers are then; in the order of REG_R8 to REG_RCX.
 */
#define NR_REGISTERS 15
void store_with_registers(const greg_t *in, greg_t *out);
__asm__(".pushsection .text\n"
	".globl store_with_registers\n"
	"store_with_registers:\n"
	".irp r, rbx, rbp, r12, r13, r14, r15, rsi\n push %\\r\n.endr\n"
	"push %rdi\n"
	".set at, 0\n"
	".irp r, r8, r9, r10, r11, r12, r13, r14, r15, rdi, rsi, rbp, rbx, rdx, rax, rcx\n"
	".ifnc \\r, rdi\n mov at(%rdi), %\\r\n.endif\n"
	".set at, at + 8\n.endr\n"
	"mov 64(%rdi), %rdi\n"
	"movb $1, (%rdi)\n"
	"mov %rdi, (%rsp)\n"
	"mov 8(%rsp), %rdi\n"
	".set at, 0\n"
	".irp r, r8, r9, r10, r11, r12, r13, r14, r15, rdi, rsi, rbp, rbx, rdx, rax, rcx\n"
	".ifnc \\r, rdi\n mov %\\r, at(%rdi)\n.endif\n"
	".set at, at + 8\n.endr\n"
	"pop %rax\n mov %rax, 64(%rdi)\n"
	".irp r, rsi, r15, r14, r13, r12, rbp, rbx\n pop %\\r\n.endr\n"
	"ret\n"
	".popsection\n");

static greg_t loaded[NR_REGISTERS];
static char *good_place;
static volatile int fixed;

static void load_for(const void *place)
{
	for (int i = 0; i < NR_REGISTERS; i++)
		loaded[i] = (greg_t)(0x1111111111111111ull * (unsigned)(i + 1));
	loaded[REG_RDI] = (greg_t)place;
}

static void check_store(void *place)
{
	greg_t out[NR_REGISTERS];

	load_for(place);
	store_with_registers(loaded, out);
	CHECK(!memcmp(loaded, out, sizeof(out)));
}

/* Untouched memory, memory shared with a child, a file's pages. */
TEST(registers_survive_a_fault)
{
	char *p = CHECK_OK(mmap(NULL, 64 * 4096, PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	int fd = CHECK_OK(memfd_create("pages", 0));
	pid_t pid;

	for (int i = 63; i >= 0; i--)
		check_store(p + i * 4096);
	CHILD(pid)
		for (int i = 0; i < 64; i++)
			check_store(p + i * 4096);
	CHECK_EXIT(pid, 0);
	for (int i = 0; i < 64; i++)
		check_store(p + i * 4096);
	CHECK_OK(ftruncate(fd, 64 * 4096));
	p = CHECK_OK(mmap(NULL, 64 * 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
	for (int i = 0; i < 64; i += 7)
		check_store(p + i * 4096);
	CHECK_OK(close(fd));
}

static void change_registers(int sig TEST_UNUSED, siginfo_t *i, void *context)
{
	greg_t *r = ((ucontext_t *)context)->uc_mcontext.gregs;

	if (memcmp(r, loaded, sizeof(loaded)) || r[REG_TRAPNO] != 14 || (r[REG_ERR] & 6) != 6 ||
	    r[REG_CR2] != loaded[REG_RDI] || i->si_addr != (void *)loaded[REG_RDI])
		_exit(9);
	load_for(good_place);
	for (int k = 0; k < NR_REGISTERS; k++)
		r[k] = loaded[k] += k == REG_RDI ? 0 : 5;
	fixed++;
}

TEST(a_handler_sees_and_changes_all_registers)
{
	struct sigaction a = { .sa_sigaction = change_registers, .sa_flags = SA_SIGINFO };
	char *p = CHECK_OK(mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
				-1, 0));

	CHECK_OK(mprotect(p, 4096, PROT_NONE));
	CHECK_OK(sigaction(SIGSEGV, &a, NULL));
	good_place = p + 4096;
	check_store(p);
	CHECK_EQ(fixed, 1);
	CHECK_EQ(good_place[0], 1);
}

static void look_at_trap(int sig TEST_UNUSED, siginfo_t *i TEST_UNUSED, void *context)
{
	trap = ((ucontext_t *)context)->uc_mcontext.gregs[REG_CR2];
}

/* What signals show of the last exception is of one that was a signal, not of a fault that was mended. */
TEST(a_mended_fault_is_not_shown)
{
	struct sigaction a = { .sa_sigaction = look_at_trap, .sa_flags = SA_SIGINFO };
	char *p = CHECK_OK(mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
				-1, 0));

	CHECK_EQ(CAUGHT(*(volatile char *)test_wild = 1), SIGSEGV);
	CHECK_OK(sigaction(SIGUSR1, &a, NULL));
	p[4096] = 1;
	CHECK_OK(raise(SIGUSR1));
	CHECK_EQ(trap, 8);
	CHECK_OK(munmap(p, 8192));
}

TEST(no_execute)
{
	static char data[16] = { (char)0xc3 };
	void (*volatile call)(void) = (void (*)(void))(uintptr_t)data;

	CHECK_EQ(CAUGHT(call()), SIGSEGV);
	CHECK(info.si_addr == data);
	CHECK_EQ(info.si_code, SEGV_ACCERR);
	CHECK_EQ(instruction, (greg_t)(uintptr_t)data);
}

TEST(past_the_end_of_a_file)
{
	int fd = CHECK_OK(open("f", O_CREAT | O_RDWR, 0666));
	volatile char *p;

	CHECK_EQ(write(fd, "x", 1), 1);
	p = CHECK_OK(mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
			  0));
	CHECK_EQ(CAUGHT((void)p[4095]), 0);
	CHECK_EQ(CAUGHT((void)p[4096]), SIGBUS);
	CHECK_EQ(info.si_code, BUS_ADRERR);
	CHECK(info.si_addr == p + 4096);
	CHECK_EQ(CAUGHT(p[8191] = 1), SIGBUS);
	CHECK(info.si_addr == p + 8191);
}

TEST(arithmetic)
{
	volatile int zero = 0, one = 1;

	CHECK_EQ(CAUGHT(one = one / zero), SIGFPE);
	CHECK_EQ(info.si_code, FPE_INTDIV);
	CHECK_EQ((greg_t)(uintptr_t)info.si_addr, instruction);
	CHECK_EQ(trap, 0);
}

TEST(float_exceptions)
{
	unsigned short control = 0x37f & ~4;	/* division by zero traps */

	CHECK_EQ(CAUGHT(__asm__ volatile("fldcw %0\n fld1\n fldz\n"
					 "fdivrp\n fwait"
					 : : "m"(control))), SIGFPE);
	CHECK_EQ(info.si_code, FPE_FLTDIV);
	CHECK_EQ(trap, 16);
}

TEST(illegal_instructions)
{
	CHECK_EQ(CAUGHT(__asm__ volatile("ud2")), SIGILL);
	CHECK_EQ(info.si_code, ILL_ILLOPN);
	CHECK_EQ((greg_t)(uintptr_t)info.si_addr, instruction);
	CHECK_EQ(trap, 6);
}

TEST(privileged_instructions)
{
	CHECK_EQ(CAUGHT(__asm__ volatile("hlt")), SIGSEGV);
	CHECK_EQ(info.si_code, SI_KERNEL);
	CHECK_EQ(trap, 13);
	CHECK_EQ(CAUGHT(__asm__ volatile("cli")), SIGSEGV);
	CHECK_EQ(CAUGHT(__asm__ volatile("mov %%cr3, %%rax" : : : "rax")),
		 SIGSEGV);
	CHECK_EQ(CAUGHT(__asm__ volatile("wrmsr" : : "a"(0), "c"(0), "d"(0))),
		 SIGSEGV);
	CHECK_EQ(CAUGHT(__asm__ volatile("outb %%al, $0x80" : : "a"(0))),
		 SIGSEGV);
	CHECK_EQ(CAUGHT(__asm__ volatile("lgdt (%%rsp)" : : : "memory")),
		 SIGSEGV);
}

TEST(breakpoint)
{
	CHECK_EQ(CAUGHT(__asm__ volatile("int3")), SIGTRAP);
	CHECK_EQ(info.si_code, SI_KERNEL);
	CHECK_EQ(trap, 3);
}

TEST(single_step)
{
	CHECK_EQ(CAUGHT(__asm__ volatile(
			"sub $128, %%rsp\n pushf\n orl $0x100, (%%rsp)\n"
			"popf\n nop\n nop\n add $128, %%rsp"
			: : : "memory", "cc")), SIGTRAP);
	CHECK_EQ(info.si_code, TRAP_TRACE);
}

TEST(a_blocked_fault_kills)
{
	volatile char *wild = test_wild;
	sigset_t set;
	pid_t pid;

	sigfillset(&set);
	CHILD(pid) {
		catch();
		sigprocmask(SIG_BLOCK, &set, NULL);
		*wild = 1;
	}
	CHECK_KILLED(pid, SIGSEGV);
	CHILD(pid) {
		signal(SIGSEGV, SIG_IGN);
		*wild = 1;
	}
	CHECK_KILLED(pid, SIGSEGV);
}

static void fault_again(int sig TEST_UNUSED)
{
	*(volatile char *)test_wild = 1;
}

TEST(a_fault_in_its_handler_kills)
{
	pid_t pid;

	CHILD(pid) {
		signal(SIGSEGV, fault_again);
		fault_again(0);
	}
	CHECK_KILLED(pid, SIGSEGV);
}

TEST(no_stack_for_the_frame_kills)
{
	pid_t pid;

	CHILD(pid) {
		catch();
		__asm__ volatile("mov $16, %%rsp\n push %%rax" : : : "memory");
	}
	CHECK_KILLED(pid, SIGSEGV);
	CHILD(pid) {
		catch();
		__asm__ volatile("mov $0x800000000000000, %%rax\n"
				 "mov %%rax, %%rsp\n push %%rax"
				 : : : "memory");
	}
	CHECK_KILLED(pid, SIGSEGV);
}

TEST(sigreturn_with_a_hostile_frame_kills)
{
	pid_t pid;

	for (int i = 0; i < 4; i++) {
		unsigned long sp[] = { 8, 0xffffffff81000000,
				       0x800000000000000, 0x7fffffffe000 };

		CHILD(pid)
			__asm__ volatile("mov %0, %%rsp\n mov $15, %%eax\n"
					 "syscall\n ud2"
					 : : "r"(sp[i]) : "memory");
		CHECK_KILLED(pid, SIGSEGV);
	}
}
