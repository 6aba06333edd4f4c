/*
 * Address spaces that take turns on a processor: each sees its own memory, and what others
 * changed of it meanwhile.  A processor may keep translations over a switch.
 */
#include "../test.h"
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>

#define PAGE	4096ul
#define HUGE	(2ul << 20)
#define RW	(PROT_READ | PROT_WRITE)
#define ANON	(MAP_PRIVATE | MAP_ANONYMOUS)
#define ROUNDS	20

static void pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	CHECK_OK(sched_setaffinity(0, sizeof(set), &set));
}

/* The first and the last processor; the same where there is one. */
static void find_cpus(int *first, int *last)
{
	cpu_set_t set;

	CHECK_OK(sched_getaffinity(0, sizeof(set), &set));
	*first = -1;
	for (int i = 0; i < CPU_SETSIZE; i++)
		if (CPU_ISSET(i, &set)) {
			*first = *first < 0 ? i : *first;
			*last = i;
		}
}

static void send(int fd)
{
	CHECK_EQ(write(fd, "x", 1), 1);
}

static void receive(int fd)
{
	char c;

	CHECK_EQ(read(fd, &c, 1), 1);
}

static sigjmp_buf jump;

static void on_fault(int sig)
{
	siglongjmp(jump, sig);
}

static int touch(volatile char *p, bool write_it)
{
	int sig;

	signal(SIGSEGV, on_fault);
	sig = sigsetjmp(jump, 1);
	if (sig)
		return sig;
	if (write_it)
		*p = *p;
	else
		(void)*p;
	return 0;
}

/* ---- memory that another thread changes while its process has the processor no more ---- */

static int cpu_of_watcher, cpu_of_changer;
static int go[2], done[2], to_other[2], from_other[2];
static char *memory;
static size_t len;
static void (*change)(void);

/* Of a process that shares the watcher's processor. */
static void other_process(void)
{
	char c;

	pin(cpu_of_watcher);
	close(to_other[1]);
	while (read(to_other[0], &c, 1) == 1)
		send(from_other[1]);
}

static void *changer(void *arg)
{
	pin(cpu_of_changer);
	for (int i = 0; i < ROUNDS; i++) {
		receive(go[0]);
		send(to_other[1]);
		receive(from_other[0]);
		change();
		send(done[1]);
	}
	return arg;
}

/* `prepare` touches the memory, `change` runs while another process has the processor, `look` is next. */
static void watch(void (*prepare)(void), void (*what)(void), void (*look)(void))
{
	pthread_t thread;
	pid_t pid;

	change = what;
	find_cpus(&cpu_of_watcher, &cpu_of_changer);
	CHECK_OK(pipe(go));
	CHECK_OK(pipe(done));
	CHECK_OK(pipe(to_other));
	CHECK_OK(pipe(from_other));
	CHILD(pid)
		other_process();
	pin(cpu_of_watcher);
	CHECK_EQ(pthread_create(&thread, NULL, changer, NULL), 0);
	for (int i = 0; i < ROUNDS; i++) {
		prepare();
		send(go[1]);
		receive(done[0]);
		look();
	}
	pthread_join(thread, NULL);
	close(to_other[1]);
	CHECK_EXIT(pid, 0);
}

static void map_fresh(void)
{
	CHECK(mmap(memory, len, RW, ANON | MAP_FIXED, -1, 0) == memory);
}

static void set_all(char value)
{
	for (size_t i = 0; i < len; i += PAGE)
		memory[i] = value;
}

static void fill(void)
{
	map_fresh();
	set_all(1);
}

static void replace(void)
{
	map_fresh();
	set_all(2);
}

static void is_replaced(void)
{
	for (size_t i = 0; i < len; i += PAGE)
		CHECK_EQ(memory[i], 2);
}

static void reserve(size_t size)
{
	char *p = CHECK_OK(mmap(NULL, size + 2 * HUGE, PROT_NONE, ANON, -1, 0));

	len = size;
	memory = (char *)(((uintptr_t)p + HUGE - 1) / HUGE * HUGE);
}

TEST(few_pages_are_replaced)
{
	reserve(3 * PAGE);
	watch(fill, replace, is_replaced);
}

TEST(many_pages_are_replaced)
{
	reserve(100 * PAGE);
	watch(fill, replace, is_replaced);
}

static void fill_huge(void)
{
	map_fresh();
	madvise(memory, len, MADV_HUGEPAGE);
	set_all(1);
}

TEST(two_megabytes_are_replaced)
{
	reserve(HUGE);
	watch(fill_huge, replace, is_replaced);
}

static void replace_middle(void)
{
	char *p = memory + 7 * PAGE;

	CHECK(mmap(p, PAGE, RW, ANON | MAP_FIXED, -1, 0) == p);
	*p = 2;
}

static void middle_is_replaced(void)
{
	for (size_t i = 0; i < len; i += PAGE)
		CHECK_EQ(memory[i], i == 7 * PAGE ? 2 : 1);
}

TEST(two_megabytes_are_split)
{
	reserve(HUGE);
	watch(fill_huge, replace_middle, middle_is_replaced);
}

/* The page table goes, too, and is soon another's. */
static void unmap_all(void)
{
	CHECK_OK(munmap(memory, len));
}

static void is_gone(void)
{
	CHECK_EQ(touch(memory, false), SIGSEGV);
	CHECK_EQ(touch(memory + len - PAGE, false), SIGSEGV);
}

TEST(memory_is_unmapped)
{
	reserve(HUGE);
	watch(fill, unmap_all, is_gone);
}

static void make_read_only(void)
{
	CHECK_OK(mprotect(memory + PAGE, PAGE, PROT_READ));
}

static void is_read_only(void)
{
	CHECK_EQ(touch(memory, true), 0);
	CHECK_EQ(touch(memory + PAGE, false), 0);
	CHECK_EQ(touch(memory + PAGE, true), SIGSEGV);
	CHECK_EQ(touch(memory + 2 * PAGE, true), 0);
}

TEST(memory_becomes_read_only)
{
	reserve(4 * PAGE);
	watch(fill, make_read_only, is_read_only);
}

static void move(void)
{
	CHECK_OK(mremap(memory, len, len, MREMAP_MAYMOVE | MREMAP_FIXED, memory + HUGE));
}

static void is_moved(void)
{
	is_gone();
	CHECK_EQ(memory[HUGE], 1);
}

TEST(memory_is_moved)
{
	reserve(2 * PAGE);
	watch(fill, move, is_moved);
}

static pid_t forked;
static int to_forked[2];

/* The child's copy stays as it was at the fork. */
static void fork_now(void)
{
	CHECK_OK(pipe(to_forked));
	CHILD(forked) {
		receive(to_forked[0]);
		CHECK_EQ(memory[0], 1);
		CHECK_EQ(memory[len - PAGE], 1);
	}
}

static void store_after_fork(void)
{
	set_all(9);
	send(to_forked[1]);
	CHECK_EXIT(forked, 0);
	close(to_forked[0]);
	close(to_forked[1]);
}

TEST(memory_is_copied_by_fork)
{
	reserve(2 * PAGE);
	watch(fill, fork_now, store_after_fork);
}

TEST(a_shared_table_is_copied_by_fork)
{
	reserve(HUGE);
	watch(fill, fork_now, store_after_fork);
}

/* ---- more address spaces than a processor keeps ---- */

#define SPACES	9

static void take_turns(int self, int in, int out, volatile long *mine, int turns)
{
	for (int i = 0; i < turns; i++) {
		receive(in);
		CHECK_EQ(*mine, self * 1000 + i);
		++*mine;
		send(out);
	}
}

HELPER(space)
{
	int self, in, out;
	long *mine = mmap((void *)0x100000000, PAGE, RW, ANON | MAP_FIXED, -1, 0);

	CHECK_EQ(sscanf(argv[1], "%d %d %d", &self, &in, &out), 3);
	CHECK_EQ(*mine, 0);
	*mine = self * 1000;
	take_turns(self, in, out, mine, ROUNDS);
	return 0;
}

TEST(spaces_at_the_same_addresses_stay_apart)
{
	long *mine = CHECK_OK(mmap((void *)0x100000000, PAGE, RW, ANON | MAP_FIXED, -1, 0));
	int ring[SPACES][2];
	pid_t pids[SPACES];

	find_cpus(&cpu_of_watcher, &cpu_of_changer);
	pin(cpu_of_watcher);
	for (int i = 0; i < SPACES; i++)
		CHECK_OK(pipe(ring[i]));
	for (int i = 1; i < SPACES; i++) {
		int in = ring[i - 1][0], out = ring[i][1];

		*mine = i * 1000;
		CHILD(pids[i]) {
			char argument[60];

			if (i % 3) {
				take_turns(i, in, out, mine, ROUNDS);
			} else {
				snprintf(argument, sizeof(argument), "%d %d %d", i, in, out);
				test_exec("space", argument);
			}
		}
	}
	*mine = 0;
	for (int i = 0; i < ROUNDS; i++) {
		pid_t pid;

		send(ring[0][1]);
		receive(ring[SPACES - 1][0]);
		CHECK_EQ(*mine, i);
		++*mine;
		CHILD(pid) /* and one that comes and goes */
			CHECK_EQ(*mine, i + 1);
		CHECK_EXIT(pid, 0);
	}
	for (int i = 1; i < SPACES; i++)
		CHECK_EXIT(pids[i], 0);
}
