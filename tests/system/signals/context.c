#include "../test.h"
#include <cpuid.h>
#include <setjmp.h>
#include <ucontext.h>

static volatile sig_atomic_t calls;

static void clobber(int sig TEST_UNUSED)
{
	__asm__ volatile("pxor %%xmm0, %%xmm0\n pxor %%xmm7, %%xmm7\n"
			 "pxor %%xmm15, %%xmm15\n fninit"
			 : : : "xmm0", "xmm7", "xmm15");
	calls++;
}

static void set_handler(int sig, void (*handler)(int), int flags)
{
	struct sigaction a = { .sa_handler = handler, .sa_flags = flags };

	CHECK_OK(sigaction(sig, &a, NULL));
}

TEST(sse_registers_survive)
{
	long number = SYS_tgkill;
	char in[16], out[3][16];

	memcpy(in, "0123456789abcde", 16);
	set_handler(SIGUSR1, clobber, 0);
	__asm__ volatile("movdqu %4, %%xmm0\n movdqu %4, %%xmm7\n"
			 "movdqu %4, %%xmm15\n syscall\n"
			 "movdqu %%xmm0, %0\n movdqu %%xmm7, %1\n"
			 "movdqu %%xmm15, %2\n"
			 : "=m"(out[0]), "=m"(out[1]), "=m"(out[2]),
			   "=a"(number)
			 : "m"(in), "3"(number), "D"(getpid()),
			   "S"(gettid()), "d"(SIGUSR1)
			 : "rcx", "r11", "xmm0", "xmm7", "xmm15", "memory");
	CHECK_EQ(calls, 1);
	for (int i = 0; i < 3; i++)
		CHECK(!memcmp(in, out[i], 16));
}

static bool has_avx(void)
{
	unsigned a, b, c, d;

	return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_OSXSAVE) &&
	       (c & bit_AVX);
}

__attribute__((target("avx"))) static void clobber_avx(int sig TEST_UNUSED)
{
	__asm__ volatile("vxorps %%ymm3, %%ymm3, %%ymm3\n vzeroall"
			 : : : "xmm3");
	calls++;
}

__attribute__((target("avx"), noinline))
static void with_avx(const char *in, char *out, long pid, long tid)
{
	long number = SYS_tgkill;

	__asm__ volatile("vmovdqu (%1), %%ymm3\n syscall\n"
			 "vmovdqu %%ymm3, (%2)\n vzeroupper"
			 : "+a"(number)
			 : "r"(in), "r"(out), "D"(pid), "S"(tid),
			   "d"(SIGUSR1)
			 : "rcx", "r11", "xmm3", "memory");
}

TEST(avx_registers_survive)
{
	char in[32], out[32];

	if (!has_avx())
		SKIP("this processor has no AVX");
	memcpy(in, "0123456789abcdefghijklmnopqrstu", 32);
	set_handler(SIGUSR1, clobber_avx, 0);
	with_avx(in, out, getpid(), gettid());
	CHECK_EQ(calls, 1);
	CHECK(!memcmp(in, out, 32));
}

/* Sixteen different registers over a call that may use them itself. */
__attribute__((target("avx"), noinline))
static void random_with_avx(const char *in, char *out, void *to)
{
	long number = SYS_getrandom;

	__asm__ volatile(".irp i, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15\n"
			 "vmovdqu 32*\\i(%1), %%ymm\\i\n.endr\n syscall\n"
			 ".irp i, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15\n"
			 "vmovdqu %%ymm\\i, 32*\\i(%2)\n.endr\n vzeroupper"
			 : "+a"(number)
			 : "r"(in), "r"(out), "D"(to), "S"(61), "d"(0)
			 : "rcx", "r11", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4",
			   "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10",
			   "xmm11", "xmm12", "xmm13", "xmm14", "xmm15", "memory");
	CHECK_EQ(number, 61);
}

TEST(avx_registers_survive_random_numbers)
{
	pid_t pid[4];

	if (!has_avx())
		SKIP("this processor has no AVX");
	for (int i = 0; i < 4; i++)
		CHILD(pid[i]) {
			char in[512], out[512], bytes[64];

			for (int j = 0; j < 2000; j++) {
				for (int k = 0; k < 512; k++)
					in[k] = (char)(k * 7 + i * 31 + j);
				random_with_avx(in, out, bytes);
				CHECK(!memcmp(in, out, 512));
			}
		}
	for (int i = 0; i < 4; i++)
		CHECK_EXIT(pid[i], 0);
}

TEST(avx_across_switches)
{
	char in[32], out[32];
	pid_t pid[4];

	if (!has_avx())
		SKIP("this processor has no AVX");
	set_handler(SIGUSR1, clobber_avx, 0);
	for (int i = 0; i < 4; i++)
		CHILD(pid[i])
			for (int j = 0; j < 200; j++) {
				memset(in, 'a' + i, 32);
				in[j % 32] = (char)j;
				with_avx(in, out, getpid(), gettid());
				CHECK(!memcmp(in, out, 32));
			}
	for (int i = 0; i < 4; i++)
		CHECK_EXIT(pid[i], 0);
}

TEST(x87_and_control_words)
{
	unsigned short cw = 0x27f, now_cw;
	unsigned mxcsr = 0x9fc0, now;

	set_handler(SIGUSR1, clobber, 0);
	__asm__ volatile("fldcw %0\n ldmxcsr %1" : : "m"(cw), "m"(mxcsr));
	syscall(SYS_tgkill, getpid(), gettid(), SIGUSR1);
	__asm__ volatile("fnstcw %0\n stmxcsr %1" : "=m"(now_cw), "=m"(now));
	CHECK_EQ(calls, 1);
	CHECK_EQ(now_cw, cw);
	CHECK_EQ(now, mxcsr);
}

static volatile unsigned long flags_inside;

static void read_flags(int sig TEST_UNUSED)
{
	unsigned long flags;

	__asm__ volatile("pushf\n pop %0" : "=r"(flags));
	flags_inside = flags;
	calls++;
}

TEST(direction_flag_is_clear_in_a_handler_and_set_again)
{
	unsigned long after, number = SYS_tgkill;

	set_handler(SIGUSR1, read_flags, 0);
	__asm__ volatile("std\n syscall\n pushf\n pop %1\n cld"
			 : "+a"(number), "=b"(after)
			 : "D"(getpid()), "S"(gettid()), "d"(SIGUSR1)
			 : "rcx", "r11", "memory", "cc");
	CHECK_EQ(calls, 1);
	CHECK_EQ(flags_inside & 0x400, 0);
	CHECK_EQ(after & 0x400, 0x400);
}

static volatile long changed;

static void edit(int sig TEST_UNUSED, siginfo_t *i TEST_UNUSED, void *context)
{
	ucontext_t *u = context;

	u->uc_mcontext.gregs[REG_RBX] = 0x5555;
	changed = (long)u->uc_mcontext.gregs[REG_RBX];
	sigaddset(&u->uc_sigmask, SIGUSR2);
}

TEST(the_frame_can_be_edited)
{
	struct sigaction a = { .sa_sigaction = edit, .sa_flags = SA_SIGINFO };
	long b = 1, number = SYS_tgkill;
	sigset_t now;

	CHECK_OK(sigaction(SIGUSR1, &a, NULL));
	__asm__ volatile("syscall" : "+b"(b), "+a"(number)
			 : "D"(getpid()), "S"(gettid()), "d"(SIGUSR1)
			 : "rcx", "r11", "memory");
	CHECK_EQ(b, 0x5555);
	CHECK_OK(sigprocmask(SIG_BLOCK, NULL, &now));
	CHECK(sigismember(&now, SIGUSR2));
}

static char alternate[65536];
static volatile bool on_it;

static void where(int sig TEST_UNUSED)
{
	volatile char here;
	stack_t s;

	on_it = (char *)&here >= alternate &&
		(char *)&here < alternate + sizeof(alternate);
	sigaltstack(NULL, &s);
	changed = s.ss_flags;
	s.ss_flags = 0;
	if (sigaltstack(&s, NULL) < 0)
		calls = errno;
}

TEST(alternate_stack)
{
	stack_t s = { .ss_sp = alternate, .ss_size = sizeof(alternate) }, old;

	CHECK_OK(sigaltstack(NULL, &old));
	CHECK_EQ(old.ss_flags, SS_DISABLE);
	CHECK_OK(sigaltstack(&s, NULL));
	set_handler(SIGUSR1, where, SA_ONSTACK);
	CHECK_OK(raise(SIGUSR1));
	CHECK(on_it);
	CHECK_EQ(changed, SS_ONSTACK);
	CHECK_EQ(calls, EPERM);
	CHECK_OK(sigaltstack(NULL, &old));
	CHECK_EQ(old.ss_flags, 0);
	set_handler(SIGUSR1, where, 0);
	CHECK_OK(raise(SIGUSR1));
	CHECK(!on_it);
	s.ss_size = 100;
	CHECK_ERR(sigaltstack(&s, NULL), ENOMEM);
	s.ss_flags = 0x44;
	CHECK_ERR(sigaltstack(&s, NULL), EINVAL);
	CHECK_ERR(syscall(SYS_sigaltstack, WILD, NULL), EFAULT);
	CHECK_ERR(syscall(SYS_sigaltstack, NULL, WILD), EFAULT);
	s.ss_flags = SS_DISABLE;
	CHECK_OK(sigaltstack(&s, NULL));
}

static sigjmp_buf jump;

static void overflowed(int sig TEST_UNUSED)
{
	siglongjmp(jump, 1);
}

__attribute__((noinline)) static long deep(long n)
{
	volatile char frame[4000];

	frame[0] = (char)n;
	return n < 0 ? 0 : deep(n + 1) + frame[0];
}

TEST(stack_overflow_is_caught_on_the_alternate_stack)
{
	stack_t s = { .ss_sp = alternate, .ss_size = sizeof(alternate) };

	CHECK_OK(sigaltstack(&s, NULL));
	set_handler(SIGSEGV, overflowed, SA_ONSTACK);
	for (int i = 0; i < 2; i++) {
		if (sigsetjmp(jump, 1))
			continue;
		deep(0);
	}
}
