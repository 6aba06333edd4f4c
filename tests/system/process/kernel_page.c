/*
 * What a process reads about itself without a call (__vdso_nos_*, where the
 * vDSO has them) against the calls, and both against what must be so.
 *
 * A random walk: after each step every value is compared.  Most steps do
 * nothing; the others set ids, names, groups and CPUs, fork, vfork, exec, make
 * threads, orphans, and processes that share memory, all of which walk on.  A
 * kernel without those symbols answers by the calls alone, which are then
 * compared with what must be so.
 *
 *	KERNEL_PAGE_STEPS=10000000 TEST_TIMEOUT=3000 kernel_page random_walk
 */
#include "../test.h"

#include <elf.h>
#include <pthread.h>
#include <sched.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/utsname.h>

#define STEPS		30000
#define WALKERS		3
#define MAX_SLOTS	65536
#define STACK_SIZE	(256 << 10)

/* ---- the calls, by both ways ---- */

enum call { PID, PARENT, GROUP, SESSION, UID, EUID, GID, EGID, NR_CALLS };
static const struct {
	const char *symbol;
	long nr;
} calls[NR_CALLS] = {
	{ "__vdso_nos_getpid", SYS_getpid },
	{ "__vdso_nos_getppid", SYS_getppid },
	{ "__vdso_nos_getpgrp", SYS_getpgrp },
	{ "__vdso_nos_getsid", SYS_getsid },
	{ "__vdso_nos_getuid", SYS_getuid },
	{ "__vdso_nos_geteuid", SYS_geteuid },
	{ "__vdso_nos_getgid", SYS_getgid },
	{ "__vdso_nos_getegid", SYS_getegid },
};
static long (*fast[NR_CALLS])(int);
static long (*fast_uname)(struct utsname *);
static long (*fast_getcpu)(unsigned *, unsigned *, void *);

static void *vdso_symbol(const char *name)
{
	const char *base = (void *)getauxval(AT_SYSINFO_EHDR);
	const Elf64_Ehdr *header = (void *)base;
	const Elf64_Phdr *part = (void *)(base + header->e_phoff);
	const Elf64_Sym *symbols = NULL;
	const char *names = NULL;
	const uint32_t *hash = NULL;
	const Elf64_Dyn *d = NULL;

	for (int i = 0; i < header->e_phnum; i++)
		if (part[i].p_type == PT_DYNAMIC)
			d = (void *)(base + part[i].p_offset);
	for (; d && d->d_tag != DT_NULL; d++) {
		const void *at = base + d->d_un.d_ptr;

		if (d->d_tag == DT_SYMTAB)
			symbols = at;
		else if (d->d_tag == DT_STRTAB)
			names = at;
		else if (d->d_tag == DT_HASH)
			hash = at;
	}
	for (uint32_t i = 0; hash && i < hash[1]; i++)
		if (!strcmp(names + symbols[i].st_name, name))
			return (void *)(base + symbols[i].st_value);
	return NULL;
}

static long uname_by_call(struct utsname *u)
{
	return syscall(SYS_uname, u);
}

static long getcpu_by_call(unsigned *cpu, unsigned *node, void *unused)
{
	return syscall(SYS_getcpu, cpu, node, unused);
}

static bool find_calls(void)
{
	for (int i = 0; i < NR_CALLS; i++)
		fast[i] = vdso_symbol(calls[i].symbol);
	fast_uname = vdso_symbol("__vdso_nos_uname");
	fast_getcpu = vdso_symbol("__vdso_getcpu");
	for (int i = 0; i < NR_CALLS; i++)
		CHECK_EQ(!fast[i], !fast_uname);
	if (!fast_getcpu)
		fast_getcpu = getcpu_by_call;
	if (fast_uname)
		return true;
	fast_uname = uname_by_call;
	return false;
}

static long by_page(enum call c)
{
	return fast[c] ? fast[c](0) : syscall(calls[c].nr, 0);
}

/* ---- what must be so ---- */

/* The host names of a namespace are numbers that rise: of those set, the last to be begun, to be done. */
struct names {
	uint32_t lock, begun, done;
};

/* In a file of memory, which an exec keeps open. */
struct shared {
	uint64_t steps;
	uint32_t nr_names, nr_orphans;
	struct names names[MAX_SLOTS];
	uint8_t parent_is_gone[MAX_SLOTS];
};
static struct shared *shared;
static int shared_fd;

struct known { /* by one thread */
	uint32_t value[NR_CALLS];
	uint32_t next_group; /* its parent may set it; 0: none */
	uint32_t reaper; /* the parent from some time on; 0: no */
	uint32_t orphan; /* shared->parent_is_gone */
	uint32_t names; /* shared->names; 0: of unknown names */
	uint32_t name; /* seen last */
	int cpu; /* that it must run on; -1: any */
	int depth;
	bool is_root, is_thread;
	uint64_t random;
};

static uint32_t draw(struct known *k, uint32_t below)
{
	k->random ^= k->random << 13;
	k->random ^= k->random >> 7;
	k->random ^= k->random << 17;
	return (uint32_t)(k->random >> 32) % below;
}

static void see(struct known *k, enum call c, long seen, const char *how)
{
	if (seen == k->value[c])
		return;
	if (c == PARENT && k->reaper && seen == k->reaper) {
		k->value[PARENT] = k->reaper;
		k->reaper = 0;
		return;
	}
	if (c == GROUP && k->next_group && seen == k->next_group) {
		k->value[GROUP] = k->next_group;
		k->next_group = 0;
		return;
	}
	FAIL("%s by the %s: %ld, not %u (pid %u)", calls[c].symbol + 11, how,
	     seen, k->value[c], k->value[PID]);
}

static void see_name(struct known *k, long (*call)(struct utsname *),
		     const char *how)
{
	struct names *n = &shared->names[k->names];
	uint32_t least = __atomic_load_n(&n->done, __ATOMIC_ACQUIRE);
	unsigned slot, first, second, most;
	struct utsname u;

	memset(&u, 0xff, sizeof(u));
	CHECK_EQ(call(&u), 0);
	CHECK_STR(u.sysname, "Linux");
	CHECK_STR(u.machine, "x86_64");
	if (!k->names)
		return;
	most = __atomic_load_n(&n->begun, __ATOMIC_ACQUIRE);
	if (sscanf(u.nodename, "%u-%u-%u", &slot, &first, &second) != 3 ||
	    slot != k->names || first != second || first < least ||
	    first < k->name || first > most)
		FAIL("name by the %s: \"%s\", not %u from %u, %u to %u", how,
		     u.nodename, k->names, least, k->name, most);
	k->name = first;
}

static void compare(struct known *k)
{
	bool gone = k->reaper &&
		    __atomic_load_n(&shared->parent_is_gone[k->orphan],
				    __ATOMIC_ACQUIRE);
	unsigned cpu;

	for (int c = 0; c < NR_CALLS; c++) {
		see(k, c, by_page(c), "page");
		see(k, c, syscall(calls[c].nr, 0), "call");
		see(k, c, by_page(c), "page");
	}
	if (gone)
		CHECK_EQ(k->reaper, 0);
	see_name(k, fast_uname, "page");
	see_name(k, uname_by_call, "call");
	see_name(k, fast_uname, "page");
	if (k->cpu >= 0) {
		CHECK_OK(fast_getcpu(&cpu, NULL, NULL));
		CHECK_EQ(cpu, k->cpu);
	}
}

/* ---- steps ---- */

static void walk(struct known *k, uint32_t steps);

/* Of this thread alone; the saved id stays root's. */
static void set_users(struct known *k)
{
	uint32_t real = draw(k, 4), effective = draw(k, 4);

	CHECK_OK(syscall(SYS_setresuid, -1, 0, -1));
	k->value[EUID] = 0;
	compare(k);
	CHECK_OK(syscall(SYS_setresuid, real, effective, 0));
	k->value[UID] = real;
	k->value[EUID] = effective;
}

static void set_groups(struct known *k)
{
	uint32_t real = draw(k, 4), effective = draw(k, 4);

	if (k->value[EUID] != 0)
		return;
	CHECK_OK(syscall(SYS_setresgid, real, effective, -1));
	k->value[GID] = real;
	k->value[EGID] = effective;
}

static int name_host(uint32_t slot, uint32_t number)
{
	char name[48];

	snprintf(name, sizeof(name), "%u-%u-%u", slot, number, number);
	return sethostname(name, strlen(name));
}

static void set_name(struct known *k)
{
	struct names *n = &shared->names[k->names];
	uint32_t next;

	if (!k->names || k->value[EUID] != 0 ||
	    __atomic_exchange_n(&n->lock, 1, __ATOMIC_ACQUIRE))
		return;
	next = n->done + 1;
	__atomic_store_n(&n->begun, next, __ATOMIC_RELEASE);
	name_host(k->names, next);
	__atomic_store_n(&n->done, next, __ATOMIC_RELEASE);
	__atomic_store_n(&n->lock, 0, __ATOMIC_RELEASE);
	k->name = next;
}

/* A namespace of this thread's own; whoever it makes comes along. */
static void unshare_names(struct known *k)
{
	uint32_t slot;

	if (!k->names || k->value[EUID] != 0)
		return;
	slot = __atomic_add_fetch(&shared->nr_names, 1, __ATOMIC_RELAXED);
	if (slot >= MAX_SLOTS)
		return;
	CHECK_OK(unshare(CLONE_NEWUTS));
	CHECK_EQ(name_host(slot, 1), 0);
	k->names = slot;
	k->name = shared->names[slot].begun = shared->names[slot].done = 1;
}

static void move(struct known *k)
{
	int nr = (int)sysconf(_SC_NPROCESSORS_ONLN);
	int cpu = (int)draw(k, (uint32_t)nr);
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (!sched_setaffinity(0, sizeof(set), &set))
		k->cpu = cpu;
}

static void change_group(struct known *k)
{
	if (k->is_thread || k->is_root || k->next_group)
		return;
	if (draw(k, 2)) {
		if (k->value[SESSION] == k->value[PID])
			return;
		CHECK_OK(setpgid(0, 0));
		k->value[GROUP] = k->value[PID];
	} else if (k->value[GROUP] != k->value[PID]) {
		CHECK_OK(setsid());
		k->value[GROUP] = k->value[SESSION] = k->value[PID];
	}
}

/* A copy of k for a new process: known of it is what the kernel told others. */
static struct known child_of(const struct known *k, pid_t pid)
{
	struct known c = *k;

	c.value[PARENT] = k->value[PID];
	c.value[PID] = (uint32_t)pid;
	c.reaper = c.next_group = 0;
	c.is_root = c.is_thread = false;
	c.depth++;
	c.random ^= (uint64_t)pid << 32 | 1;
	return c;
}

/* Walks while its maker does; which may put it into a group of its own. */
static void make_process(struct known *k)
{
	uint32_t steps = 1 + draw(k, 400);
	bool set = draw(k, 2) && !k->is_thread;
	pid_t pid;

	CHILD(pid) {
		struct known c = child_of(k, (pid_t)syscall(SYS_gettid));

		c.next_group = set ? c.value[PID] : 0;
		walk(&c, steps);
		/* Its maker comes to it in the end. */
		while (c.next_group)
			compare(&c);
	}
	compare(k);
	if (set)
		CHECK_OK(setpgid(pid, pid));
	for (uint32_t i = draw(k, 40); i > 0; i--)
		compare(k);
	CHECK_EXIT(pid, 0);
}

/* Its parent ends while it walks. */
static void make_orphan(struct known *k, uint32_t reaper)
{
	uint32_t steps = 1 + draw(k, 400), pause = draw(k, 200);
	uint32_t slot = __atomic_add_fetch(&shared->nr_orphans, 1,
					   __ATOMIC_RELAXED);
	pid_t pid, orphan;

	if (slot >= MAX_SLOTS)
		return;
	CHILD(pid) {
		struct known m = child_of(k, (pid_t)syscall(SYS_gettid));

		CHILD(orphan) {
			struct known c = child_of(&m, (pid_t)syscall(SYS_gettid));

			c.reaper = reaper;
			c.orphan = slot;
			while (c.reaper) {
				walk(&c, 1);
				if (steps > 1)
					steps--;
			}
			walk(&c, steps);
		}
		for (; pause > 0; pause--)
			compare(&m);
	}
	CHECK_EXIT(pid, 0);
	__atomic_store_n(&shared->parent_is_gone[slot], 1, __ATOMIC_RELEASE);
}

static void become_another(struct known *k, uint32_t steps)
{
	char text[sizeof(*k) * 2 + 1], number[16], fd[16];
	char *argv[] = { test_self, "helper:walk", fd, number, text, NULL };

	for (size_t i = 0; i < sizeof(*k); i++)
		snprintf(text + i * 2, 3, "%02x", ((uint8_t *)k)[i]);
	snprintf(fd, sizeof(fd), "%d", shared_fd);
	snprintf(number, sizeof(number), "%u", steps);
	execv(test_self, argv);
	FAIL("exec %s: %s", test_self, strerrorname_np(errno));
}

HELPER(walk)
{
	struct known k;
	uint8_t *bytes = (uint8_t *)&k;

	CHECK_EQ(argc, 4);
	shared_fd = atoi(argv[1]);
	shared = CHECK_OK(mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
			       MAP_SHARED, shared_fd, 0));
	for (size_t i = 0; i < sizeof(k); i++)
		CHECK_EQ(sscanf(argv[3] + i * 2, "%2hhx", &bytes[i]), 1);
	find_calls();
	walk(&k, (uint32_t)atoi(argv[2]));
	return 0;
}

static void *exec_in_thread(void *argument)
{
	become_another(argument, 50);
	return NULL;
}

/* A new program, started by the process's first thread or by another. */
static void make_program(struct known *k)
{
	pid_t pid;

	if (k->value[EUID] != 0 || k->value[UID] != 0)
		return;
	CHILD(pid) {
		struct known c = child_of(k, (pid_t)syscall(SYS_gettid));
		pthread_t other;

		compare(&c);
		if (draw(&c, 2))
			become_another(&c, 50);
		CHECK_EQ(pthread_create(&other, NULL, exec_in_thread, &c), 0);
		for (;;)
			compare(&c);
	}
	for (uint32_t i = draw(k, 40); i > 0; i--)
		compare(k);
	CHECK_EXIT(pid, 0);
}

/* Another process in this one's memory, while this one waits. */
static void make_vfork(struct known *k)
{
	volatile pid_t told = 0;
	struct known c;
	pid_t pid;

	if (draw(k, 2))
		compare(k);
	pid = CHECK_OK(vfork());
	if (pid == 0) {
		told = (pid_t)syscall(SYS_gettid);
		c = child_of(k, told);
		for (uint32_t i = 1 + draw(&c, 10); i > 0; i--)
			compare(&c);
		if (c.names && draw(&c, 2)) {
			set_users(&c);
			compare(&c);
		}
		if (c.value[EUID] == 0 && draw(&c, 4) == 0)
			become_another(&c, 20);
		_exit(0);
	}
	CHECK_EQ(pid, told);
	compare(k);
	CHECK_EXIT(pid, 0);
}

static int share_memory(void *argument)
{
	struct known *c = argument;

	c->value[PID] = (uint32_t)syscall(SYS_gettid);
	for (int i = 0; i < 100; i++)
		compare(c);
	return 0;
}

/* The same, while this one goes on; its page is perhaps made only then. */
static void share_with_child(struct known *k)
{
	char *stack = CHECK_OK(mmap(NULL, STACK_SIZE, PROT_READ | PROT_WRITE,
				    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	struct known c = child_of(k, 0);
	pid_t pid;

	if (draw(k, 2))
		compare(k);
	pid = CHECK_OK(clone(share_memory, stack + STACK_SIZE,
			     CLONE_VM | SIGCHLD, &c));
	if (draw(k, 2))
		make_vfork(k);
	for (int i = 0; i < 100; i++)
		compare(k);
	CHECK_EXIT(pid, 0);
	compare(k);
	CHECK_OK(munmap(stack, STACK_SIZE));
}

static void make_sharer(struct known *k)
{
	pid_t pid;

	CHILD(pid) {
		struct known c = child_of(k, (pid_t)syscall(SYS_gettid));

		share_with_child(&c);
	}
	CHECK_EXIT(pid, 0);
}

static void *walk_in_thread(void *argument)
{
	struct known *k = argument;

	if (draw(k, 4) == 0)
		unshare_names(k);
	walk(k, 1 + draw(k, 300));
	return NULL;
}

/* Threads with ids, names and CPUs of their own. */
static void make_threads(struct known *k)
{
	enum { NR = 3 };
	struct known c[NR];
	pthread_t thread[NR];

	if (k->is_thread)
		return;
	k->is_thread = true;
	for (int i = 0; i < NR; i++) {
		c[i] = *k;
		c[i].random += (uint64_t)i + 1;
		c[i].depth++;
		CHECK_EQ(pthread_create(&thread[i], NULL, walk_in_thread,
					&c[i]), 0);
	}
	walk(k, 50);
	for (int i = 0; i < NR; i++)
		CHECK_EQ(pthread_join(thread[i], NULL), 0);
	k->is_thread = false;
	compare(k);
}

static void *vfork_in_thread(void *argument)
{
	for (int i = 0; i < 4; i++)
		make_vfork(argument);
	return NULL;
}

/* Several in one memory at a time, and nobody has read the page before. */
static void make_vforks(struct known *k)
{
	enum { NR = 3 };
	struct known c[NR];
	pthread_t thread[NR];
	pid_t pid;

	CHILD(pid) {
		for (int i = 0; i < NR; i++) {
			c[i] = child_of(k, (pid_t)syscall(SYS_gettid));
			c[i].is_thread = true;
			c[i].random += (uint64_t)i + 1;
			CHECK_EQ(pthread_create(&thread[i], NULL,
						vfork_in_thread, &c[i]), 0);
		}
		for (int i = 0; i < NR; i++)
			CHECK_EQ(pthread_join(thread[i], NULL), 0);
		compare(&c[0]);
	}
	CHECK_EXIT(pid, 0);
}

static void *compare_when_told(void *argument)
{
	struct known *k = argument;
	volatile int *told = &k->cpu;

	while (*told != -2)
		sched_yield();
	k->cpu = -1;
	for (int i = 0; i < 20; i++)
		compare(k);
	return NULL;
}

/* By libc's call, which sets the ids of all threads. */
static void set_all_threads(struct known *k)
{
	uint32_t effective = draw(k, 4);
	struct known c = *k;
	pthread_t thread;

	if (k->is_thread)
		return;
	CHECK_EQ(pthread_create(&thread, NULL, compare_when_told, &c), 0);
	CHECK_OK(setresuid(-1, 0, -1));
	CHECK_OK(setresuid(-1, effective, -1));
	k->value[EUID] = c.value[EUID] = effective;
	*(volatile int *)&c.cpu = -2;
	for (int i = 0; i < 20; i++)
		compare(k);
	CHECK_EQ(pthread_join(thread, NULL), 0);
}

static uint32_t the_reaper;
#define LAST_STEP	455

/* k->names: the rights of root are there. */
static void step(struct known *k, uint32_t which)
{
	if (which < 200 && k->names)
		set_users(k);
	else if (which < 300 && k->names)
		set_groups(k);
	else if (which < 400)
		set_name(k);
	else if (which < 420)
		move(k);
	else if (which < 440)
		change_group(k);
	else if (which < 441)
		unshare_names(k);
	else if (k->next_group)
		return; /* a child could be in either group */
	else if (which < 444)
		make_vfork(k);
	else if (which < 445 && k->names)
		set_all_threads(k);
	else if (k->depth >= 3)
		return;
	else if (which < 448)
		make_process(k);
	else if (which < 450)
		make_threads(k);
	else if (which < 452 && the_reaper)
		make_orphan(k, the_reaper);
	else if (which < 453)
		make_program(k);
	else if (which < 454)
		make_sharer(k);
	else if (which < LAST_STEP)
		make_vforks(k);
}

static void walk(struct known *k, uint32_t steps)
{
	for (uint32_t i = 0; i < steps; i++) {
		uint32_t which = draw(k, 10000);

		if (which < LAST_STEP)
			step(k, which);
		compare(k);
	}
	__atomic_add_fetch(&shared->steps, steps, __ATOMIC_RELAXED);
}

/* ---- */

static void start(struct known *k)
{
	if (!shared) {
		shared_fd = CHECK_OK(memfd_create("shared", 0));
		CHECK_OK(ftruncate(shared_fd, sizeof(*shared)));
		shared = CHECK_OK(mmap(NULL, sizeof(*shared),
				       PROT_READ | PROT_WRITE, MAP_SHARED,
				       shared_fd, 0));
		find_calls();
	}
	*k = (struct known){ .cpu = -1, .is_root = true };
	for (int c = 0; c < NR_CALLS; c++)
		k->value[c] = (uint32_t)syscall(calls[c].nr, 0);
	k->random = (uint64_t)test_now_ns() << 16 | (uint64_t)getpid();
	if (k->value[UID] == 0 && !unshare(CLONE_NEWUTS)) {
		uint32_t slot = __atomic_add_fetch(&shared->nr_names, 1,
						   __ATOMIC_RELAXED);

		if (!name_host(slot, 1)) {
			k->names = slot;
			k->name = shared->names[slot].begun = 1;
		}
	}
	CHECK_OK(prctl(PR_SET_CHILD_SUBREAPER, 1));
	the_reaper = k->value[PID];
}

/* Orphans have come back to it. */
static void finish(void)
{
	int status;

	while (waitpid(-1, &status, 0) > 0)
		CHECK_EQ(status, 0);
	CHECK_EQ(errno, ECHILD);
}

TEST(versions)
{
	CHECK_EQ(!vdso_symbol("__vdso_nos_getpid"),
		 !vdso_symbol("__vdso_nos_uname"));
	CHECK(vdso_symbol("__vdso_clock_gettime"));
	CHECK(!vdso_symbol("__vdso_nos_unknown"));
}

/* The first reader of the page is the child, a thread, a vfork's child. */
TEST(first_touch)
{
	struct known k;
	pid_t pid;

	start(&k);
	CHILD(pid) {
		struct known c = child_of(&k, (pid_t)syscall(SYS_gettid));

		compare(&c);
	}
	CHECK_EXIT(pid, 0);
	CHILD(pid) {
		struct known c = child_of(&k, (pid_t)syscall(SYS_gettid));

		make_threads(&c);
	}
	CHECK_EXIT(pid, 0);
	make_vfork(&k);
	compare(&k);
	finish();
}

/* Each sort of step, several times. */
TEST_TIMED(every_step, 60)
{
	static const uint32_t which[] = { 0,   200, 300, 400, 420, 440, 441,
					  444, 445, 448, 450, 452, 453, 454 };
	struct known k;
	pid_t pid;

	start(&k);
	for (int round = 0; round < 6; round++) {
		for (size_t i = 0; i < sizeof(which) / sizeof(*which); i++) {
			step(&k, which[i]);
			compare(&k);
		}
		if (k.names)
			set_users(&k), k.random++;
	}
	CHILD(pid) {
		struct known c = child_of(&k, (pid_t)syscall(SYS_gettid));

		for (size_t i = 0; i < sizeof(which) / sizeof(*which); i++)
			step(&c, which[i]);
		walk(&c, 100);
	}
	CHECK_EXIT(pid, 0);
	finish();
}

TEST_TIMED(random_walk, 120)
{
	const char *asked = getenv("KERNEL_PAGE_STEPS");
	uint32_t steps = asked ? (uint32_t)strtoul(asked, NULL, 0) : STEPS;
	pid_t pid[WALKERS];
	struct known k;

	start(&k);
	for (int i = 0; i < WALKERS; i++) {
		CHILD(pid[i]) {
			start(&k);
			k.value[PARENT] = (uint32_t)getppid();
			walk(&k, steps / WALKERS + 1);
			finish();
		}
	}
	for (int i = 0; i < WALKERS; i++)
		CHECK_EXIT(pid[i], 0);
	finish();
	CHECK(shared->steps >= steps);
	if (asked)
		printf("%llu steps, %u namespaces, %u orphans, %s\n",
		       (unsigned long long)shared->steps, shared->nr_names,
		       shared->nr_orphans,
		       fast[PID] ? "page and calls" : "calls only");
}

/* Values that may be known are there: after a start, a fork, a vfork, threads. */
static void expect_answers(void)
{
	const uint32_t *page = (void *)(getauxval(AT_SYSINFO_EHDR) - 8192);
	char boot[4096];

	if (!fast[PID])
		return;
	CHECK(test_read_file("/proc/cmdline", boot, sizeof(boot)) > 0);
	if (strstr(boot, "opt.kernel_page=off"))
		return;
	for (int c = 0; c < NR_CALLS; c++) {
		CHECK_EQ(by_page(c), syscall(calls[c].nr, 0));
		CHECK_EQ(page[c], syscall(calls[c].nr, 0));
	}
	CHECK_EQ(page[NR_CALLS] & 1, 0);
}

TEST(answers_without_a_call)
{
	struct known k;
	pid_t pid;

	start(&k);
	expect_answers();
	CHILD(pid) {
		k = child_of(&k, getpid());
		expect_answers();
		make_threads(&k);
		if (k.names)
			set_users(&k);
		expect_answers();
		set_all_threads(&k);
		expect_answers();
		make_vfork(&k);
		expect_answers();
		make_process(&k);
		expect_answers();
	}
	CHECK_EXIT(pid, 0);
	expect_answers();
	finish();
}

/* Who looks from outside sees what is there, and makes nothing. */
TEST(seen_from_outside)
{
	unsigned long at = (unsigned long)getauxval(AT_SYSINFO_EHDR) - 8192;
	const char *files[] = { NULL, "/proc/self/mem" };
	uint32_t seen;
	char path[64];
	pid_t pid;

	snprintf(path, sizeof(path), "/proc/%d/mem", getpid());
	files[0] = path;
	CHILD(pid) {
		find_calls();
		for (int i = 0; i < 2; i++) {
			int fd = CHECK_OK(open(files[i], O_RDONLY));
			ssize_t n = pread(fd, &seen, sizeof(seen), (off_t)at);

			if (n > 0 && seen != 0 && fast[PID])
				CHECK_EQ(seen, i ? getpid() : getppid());
			CHECK_EQ(by_page(PID), getpid());
			CHECK_EQ(by_page(PARENT), getppid());
		}
	}
	CHECK_EXIT(pid, 0);
}
