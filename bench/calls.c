/* Entry and dispatch, and calls that only read or change a little state. */
#define SUITE "calls"
#include "bench.h"

#include <elf.h>
#include <linux/futex.h>
#include <signal.h>
#include <sys/auxv.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>

BENCH("getpid", 1000, 31)
{
	for (unsigned i = 0; i < n; i++)
		raw_syscall(__NR_getpid, 0, 0, 0);
}

BENCH("unknown call number", 1000, 31)
{
	for (unsigned i = 0; i < n; i++)
		raw_syscall(999, 0, 0, 0);
}

BENCH("uname", 1000, 31)
{
	struct utsname name;

	for (unsigned i = 0; i < n; i++)
		raw_syscall(__NR_uname, (long)&name, 0, 0);
}

static void *vdso_symbol(const char *name)
{
	const char *base = (void *)getauxval(AT_SYSINFO_EHDR);
	const Elf64_Phdr *part = (void *)(base + ((const Elf64_Ehdr *)base)->e_phoff);
	const void *table[DT_NUM] = { NULL };
	const Elf64_Dyn *d;
	const uint32_t *hash;
	const Elf64_Sym *symbols;

	while (part->p_type != PT_DYNAMIC)
		part++;
	for (d = (void *)(base + part->p_offset); d->d_tag != DT_NULL; d++)
		if (d->d_tag < DT_NUM)
			table[d->d_tag] = base + d->d_un.d_ptr;
	hash = table[DT_HASH];
	symbols = table[DT_SYMTAB];
	for (uint32_t i = 0; hash && i < hash[1]; i++)
		if (!strcmp((const char *)table[DT_STRTAB] + symbols[i].st_name, name))
			return (void *)(base + symbols[i].st_value);
	return NULL;
}

static long getpid_by_call(void)
{
	return raw_syscall(__NR_getpid, 0, 0, 0);
}

static long getuid_by_call(void)
{
	return raw_syscall(__NR_getuid, 0, 0, 0);
}

static struct utsname names;

static long uname_by_call(struct utsname *to)
{
	return raw_syscall(__NR_uname, (long)to, 0, 0);
}

static void repeat(void *call, unsigned n)
{
	long (*f)(struct utsname *) = call;

	for (unsigned i = 0; i < n; i++)
		f(&names);
}

static void change_user(void *unused, unsigned n)
{
	(void)unused;
	for (unsigned i = 0; i < n; i++)
		raw_syscall(__NR_setresuid, -1, ~i & 1, -1);
}

/*
 * Times body(call, n), call being a function of the vDSO: in a child, for the process has a page of
 * its own from the first call on, and the other rows are of processes without.  A kernel that has no
 * such function is asked.
 */
static void with_page(const char *name, void *by_call, unsigned n, void (*body)(void *, unsigned))
{
	void *call = vdso_symbol(name);
	uint64_t elapsed = 0;
	int ends[2], status;
	pid_t child;

	if (!call)
		call = by_call;
	NEED(pipe(ends));
	child = fork();
	NEED(child);
	if (child == 0) {
		repeat(call, 1);
		MARK(MARK_START);
		elapsed = ticks();
		body(call, n);
		elapsed = ticks() - elapsed;
		MARK(MARK_STOP);
		_exit(write(ends[1], &elapsed, sizeof(elapsed)) < 0);
	}
	NEED(read(ends[0], &elapsed, sizeof(elapsed)));
	NEED(waitpid(child, &status, 0));
	close(ends[0]);
	close(ends[1]);
	bench_elapsed(elapsed);
}

BENCH("getpid: kernel page", 1000, 31)
{
	with_page("__vdso_nos_getpid", getpid_by_call, n, repeat);
}

BENCH("getuid: kernel page", 1000, 31)
{
	with_page("__vdso_nos_getuid", getuid_by_call, n, repeat);
}

BENCH("uname: kernel page", 1000, 31)
{
	with_page("__vdso_nos_uname", uname_by_call, n, repeat);
}

BENCH("setresuid", 200, 31)
{
	change_user(NULL, n);
}

BENCH("setresuid, kernel page in use", 200, 31)
{
	with_page("__vdso_nos_getuid", getuid_by_call, n, change_user);
}

BENCH("getcwd", 1000, 31)
{
	char path[256];

	for (unsigned i = 0; i < n; i++)
		raw_syscall(__NR_getcwd, (long)path, sizeof(path), 0);
}

BENCH("clock_gettime: vDSO", 1000, 31)
{
	struct timespec t;

	for (unsigned i = 0; i < n; i++)
		clock_gettime(CLOCK_MONOTONIC, &t);
}

BENCH("clock_gettime: call", 1000, 31)
{
	struct timespec t;

	for (unsigned i = 0; i < n; i++)
		raw_syscall(__NR_clock_gettime, CLOCK_MONOTONIC, (long)&t, 0);
}

BENCH("getrandom 32 B", 200, 31)
{
	char bytes[32];

	for (unsigned i = 0; i < n; i++)
		raw_syscall(__NR_getrandom, (long)bytes, sizeof(bytes), 0);
}

static void on_signal(int sig)
{
	(void)sig;
}

BENCH("signal to self + handler", 200, 31)
{
	struct sigaction sa = { .sa_handler = on_signal };
	long pid = getpid();

	NEED(sigaction(SIGUSR1, &sa, NULL));
	bench_start();
	for (unsigned i = 0; i < n; i++)
		raw_syscall(__NR_kill, pid, SIGUSR1, 0);
	bench_stop();
}

BENCH("futex wake, no waiter", 1000, 31)
{
	static uint32_t word;

	for (unsigned i = 0; i < n; i++)
		raw_syscall(__NR_futex, (long)&word, FUTEX_WAKE_PRIVATE, 1);
}
