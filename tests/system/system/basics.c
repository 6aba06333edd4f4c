#include "../test.h"
#include <elf.h>
#include <linux/membarrier.h>
#include <sys/auxv.h>
#include <sys/random.h>
#include <sys/rseq.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>

TEST(uname_fields)
{
	struct utsname u;
	int major, minor;

	CHECK_OK(uname(&u));
	CHECK_STR(u.sysname, "Linux");
	CHECK_STR(u.machine, "x86_64");
	CHECK_EQ(sscanf(u.release, "%d.%d", &major, &minor), 2);
	CHECK(major >= 5);
	CHECK(strlen(u.nodename) > 0 && strlen(u.version) > 0);
	CHECK_ERR(syscall(SYS_uname, WILD), EFAULT);
}

TEST(host_name)
{
	pid_t pid;

	if (geteuid() != 0)
		SKIP("needs root");
	CHECK_ERR(syscall(SYS_sethostname, "x", 65), EINVAL);
	CHECK_ERR(syscall(SYS_sethostname, WILD, 5), EFAULT);
	CHILD(pid) {
		CHECK_OK(setresuid(1000, 1000, 1000));
		CHECK_ERR(sethostname("x", 1), EPERM);
		CHECK_ERR(setdomainname("x", 1), EPERM);
	}
	CHECK_EXIT(pid, 0);
}

TEST(system_information)
{
	struct sysinfo s;
	struct timespec t;

	CHECK_OK(sysinfo(&s));
	CHECK_OK(clock_gettime(CLOCK_BOOTTIME, &t));
	CHECK(s.uptime <= t.tv_sec + 1 && s.uptime >= t.tv_sec - 5);
	CHECK(s.totalram > s.freeram && s.mem_unit >= 1 && s.procs >= 1);
	CHECK_ERR(syscall(SYS_sysinfo, WILD), EFAULT);
}

TEST(random_bytes)
{
	unsigned char a[256] = {}, b[256] = {};
	int same = 0;

	CHECK_EQ(getrandom(a, 256, 0), 256);
	CHECK_EQ(getrandom(b, 256, GRND_NONBLOCK), 256);
	for (int i = 0; i < 256; i++)
		same += a[i] == b[i];
	CHECK(same < 32);
	CHECK_EQ(getrandom(a, 8, GRND_RANDOM), 8);
	CHECK_EQ(getrandom(a, 8, GRND_INSECURE), 8);
	CHECK_EQ(getrandom(a, 0, 0), 0);
	CHECK_ERR(getrandom(a, 8, 0x100), EINVAL);
	CHECK_ERR(getrandom(a, 8, GRND_RANDOM | GRND_INSECURE), EINVAL);
	CHECK_ERR(syscall(SYS_getrandom, WILD, 8, 0), EFAULT);
}

TEST(restartable_sequences)
{
	struct rseq *r;

	if (__rseq_size == 0)
		FAIL("the library could not register");
	r = (void *)((char *)__builtin_thread_pointer() + __rseq_offset);
	CHECK((int)r->cpu_id >= 0 && r->cpu_id_start == r->cpu_id);
	/* A second one is refused, as are bad arguments. */
	CHECK_ERR(syscall(SYS_rseq, r, 32, 0, RSEQ_SIG), EBUSY);
	CHECK_ERR(syscall(SYS_rseq, (char *)r + 64, 32, 0, RSEQ_SIG), EINVAL);
	CHECK_ERR(syscall(SYS_rseq, r, 32, 0x10, RSEQ_SIG), EINVAL);
	CHECK_ERR(syscall(SYS_rseq, r, 32, RSEQ_FLAG_UNREGISTER, 1), EPERM);
	CHECK_OK(syscall(SYS_rseq, r, 32, RSEQ_FLAG_UNREGISTER, RSEQ_SIG));
	CHECK_OK(syscall(SYS_rseq, r, 32, 0, RSEQ_SIG));
}

TEST(memory_barriers)
{
	long have = CHECK_OK(syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 0,
				     0));

	CHECK(have & MEMBARRIER_CMD_GLOBAL);
	CHECK(have & MEMBARRIER_CMD_PRIVATE_EXPEDITED);
	CHECK_ERR(syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0,
			  0), EPERM);
	CHECK_OK(syscall(SYS_membarrier,
			 MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0));
	CHECK_OK(syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0,
			 0));
	CHECK_ERR(syscall(SYS_membarrier, 1 << 20, 0, 0), EINVAL);
	CHECK_ERR(syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 1 << 8, 0),
		  EINVAL);
}

TEST(auxiliary_vector)
{
	const unsigned char *random = (void *)getauxval(AT_RANDOM);
	const Elf64_Phdr *ph = (void *)getauxval(AT_PHDR);
	unsigned char sum = 0;

	CHECK_EQ(getauxval(AT_PAGESZ), 4096);
	CHECK_EQ(getauxval(AT_CLKTCK), 100);
	CHECK_EQ(getauxval(AT_UID), getuid());
	CHECK_EQ(getauxval(AT_EUID), geteuid());
	CHECK_EQ(getauxval(AT_SECURE), 0);
	CHECK_EQ(getauxval(AT_PHENT), sizeof(Elf64_Phdr));
	CHECK(ph && getauxval(AT_PHNUM) >= 2);
	CHECK(getauxval(AT_ENTRY) != 0 && getauxval(AT_HWCAP) != 0);
	CHECK_STR((char *)getauxval(AT_PLATFORM), "x86_64");
	CHECK(strlen((char *)getauxval(AT_EXECFN)) > 0);
	CHECK(random);
	for (int i = 0; i < 16; i++)
		sum |= random[i];
	CHECK(sum);
	CHECK_EQ(getauxval(AT_BASE), 0);
}

TEST(virtual_shared_object)
{
	const char *base = (void *)getauxval(AT_SYSINFO_EHDR);
	const Elf64_Ehdr *eh = (void *)base;
	const Elf64_Phdr *ph;
	const Elf64_Dyn *dyn = NULL;
	const char *names = NULL;
	bool load = false;

	CHECK(base);
	CHECK(!memcmp(eh->e_ident, ELFMAG, SELFMAG));
	CHECK_EQ(eh->e_type, ET_DYN);
	ph = (void *)(base + eh->e_phoff);
	for (int i = 0; i < eh->e_phnum; i++) {
		if (ph[i].p_type == PT_LOAD)
			load = true;
		if (ph[i].p_type == PT_DYNAMIC)
			dyn = (void *)(base + ph[i].p_offset);
	}
	CHECK(load && dyn);
	for (; dyn->d_tag != DT_NULL; dyn++)
		if (dyn->d_tag == DT_STRTAB)
			names = base + dyn->d_un.d_ptr;
	CHECK(names);
	CHECK(memmem(names, 4096, "__vdso_clock_gettime", 20));
	CHECK(memmem(names, 4096, "__vdso_gettimeofday", 19));
	CHECK(memmem(names, 4096, "__vdso_getcpu", 13));
	CHECK(memmem(names, 4096, "__vdso_time", 11));
}

TEST(unknown_calls)
{
	CHECK_ERR(syscall(999), ENOSYS);
	CHECK_ERR(syscall(5000), ENOSYS);
	CHECK_ERR(syscall(-5), ENOSYS);
	CHECK_ERR(syscall(0x7fffffff), ENOSYS);
	/* Numbers that never were anything. */
	CHECK_ERR(syscall(400), ENOSYS);
	CHECK_ERR(syscall(SYS_tuxcall), ENOSYS);
	CHECK_ERR(syscall(SYS_getpmsg), ENOSYS);
}

TEST(registers_survive_a_call)
{
	unsigned long rbx = 1, r12 = 2, r13 = 3, number = SYS_getpid;
	register unsigned long r8 __asm__("r8") = 8;
	register unsigned long r9 __asm__("r9") = 9;
	register unsigned long r10 __asm__("r10") = 10;
	unsigned long rdi = 5, rsi = 6, rdx = 7;

	__asm__ volatile("syscall" : "+a"(number), "+b"(rbx), "+D"(rdi),
			 "+S"(rsi), "+d"(rdx), "+r"(r8), "+r"(r9), "+r"(r10)
			 : : "rcx", "r11", "memory");
	CHECK_EQ(number, getpid());
	CHECK(rbx == 1 && r12 == 2 && r13 == 3);
	CHECK(rdi == 5 && rsi == 6 && rdx == 7);
	CHECK(r8 == 8 && r9 == 9 && r10 == 10);
}
