/* Memory policies: set_mempolicy, mbind, get_mempolicy, move_pages and their kin. */
#include "../test.h"

#include <linux/mempolicy.h>
#include <pthread.h>
#include <sys/prctl.h>

#define PAGE	4096ul
#define RW	(PROT_READ | PROT_WRITE)
#define ANON	(MAP_PRIVATE | MAP_ANONYMOUS)
#define BITS	1024ul	/* more than any machine has nodes */

typedef unsigned long mask[BITS / 64];

static long set(int mode, unsigned long nodes)
{
	mask m = { nodes };

	return syscall(SYS_set_mempolicy, mode, m, 64ul);
}

static long bind_to(void *p, size_t len, unsigned long mode, unsigned long nodes, unsigned flags)
{
	mask m = { nodes };

	return syscall(SYS_mbind, p, len, mode, m, 64ul, flags);
}

static long get(int *mode, unsigned long *nodes, void *at, unsigned long flags)
{
	mask m;
	long result;

	memset(m, 0xff, sizeof(m));
	result = syscall(SYS_get_mempolicy, mode, nodes ? m : NULL, BITS, at, flags);
	if (nodes)
		*nodes = m[0];
	return result;
}

static unsigned long all_nodes(void)
{
	unsigned long nodes;

	CHECK_OK(get(NULL, &nodes, NULL, MPOL_F_MEMS_ALLOWED));
	return nodes;
}

static char *map(size_t pages)
{
	return CHECK_OK(mmap(NULL, pages * PAGE, RW, ANON, -1, 0));
}

static int node_at(void *p)
{
	int node = -1;

	CHECK_OK(get(&node, NULL, p, MPOL_F_NODE | MPOL_F_ADDR));
	return node;
}

TEST(a_thread_starts_without)
{
	int mode = -1;
	unsigned long nodes;

	CHECK_OK(get(&mode, &nodes, NULL, 0));
	CHECK_EQ(mode, MPOL_DEFAULT);
	CHECK_EQ(nodes, 0);
	CHECK(all_nodes() & 1);
}

TEST(what_is_set_is_got)
{
	static const int modes[] = { MPOL_BIND, MPOL_PREFERRED, MPOL_INTERLEAVE,
				     MPOL_PREFERRED_MANY, MPOL_BIND | MPOL_F_STATIC_NODES,
				     MPOL_INTERLEAVE | MPOL_F_RELATIVE_NODES };
	int mode;
	unsigned long nodes;

	for (unsigned i = 0; i < sizeof(modes) / sizeof(*modes); i++) {
		CHECK_OK(set(modes[i], 1));
		CHECK_OK(get(&mode, &nodes, NULL, 0));
		CHECK_EQ(mode, modes[i]);
		CHECK_EQ(nodes, 1);
	}
	CHECK_OK(set(MPOL_LOCAL, 0));
	CHECK_OK(get(&mode, &nodes, NULL, 0));
	CHECK_EQ(mode, MPOL_LOCAL);
	CHECK_EQ(nodes, 0);
	CHECK_OK(set(MPOL_PREFERRED, 0));
	CHECK_OK(get(&mode, &nodes, NULL, 0));
	CHECK_EQ(mode, MPOL_LOCAL);
	CHECK_OK(syscall(SYS_set_mempolicy, MPOL_DEFAULT, NULL, 0ul));
	CHECK_OK(get(&mode, NULL, NULL, 0));
	CHECK_EQ(mode, MPOL_DEFAULT);
}

TEST(faults_of_set)
{
	mask m = { 1 };

	CHECK_ERR(set(MPOL_DEFAULT, 1), EINVAL);
	CHECK_ERR(set(MPOL_BIND, 0), EINVAL);
	CHECK_ERR(set(MPOL_INTERLEAVE, 0), EINVAL);
	CHECK_ERR(set(MPOL_LOCAL, 1), EINVAL);
	CHECK_ERR(set(MPOL_PREFERRED | MPOL_F_STATIC_NODES, 0), EINVAL);
	CHECK_ERR(set(100, 1), EINVAL);
	CHECK_ERR(set(MPOL_BIND | MPOL_F_STATIC_NODES | MPOL_F_RELATIVE_NODES, 1), EINVAL);
	CHECK_ERR(set(MPOL_BIND, 1ul << 62), EINVAL);
	CHECK_ERR(syscall(SYS_set_mempolicy, MPOL_BIND, WILD, 64ul), EFAULT);
	CHECK_ERR(syscall(SYS_set_mempolicy, MPOL_BIND, -8ul, 1024ul), EFAULT);
	CHECK_ERR(syscall(SYS_set_mempolicy, MPOL_BIND, m, 1ul), EINVAL);
	CHECK_ERR(syscall(SYS_set_mempolicy, MPOL_BIND, m, 0ul), EINVAL);
	CHECK_ERR(syscall(SYS_set_mempolicy, MPOL_BIND, m, PAGE * 8 + 2), EINVAL);
	CHECK_ERR(syscall(SYS_set_mempolicy, MPOL_BIND, NULL, 64ul), EINVAL);
}

TEST(faults_of_get)
{
	int mode;
	mask m;

	CHECK_ERR(get(&mode, NULL, &mode, 0), EINVAL);
	CHECK_ERR(get(&mode, NULL, NULL, 8), EINVAL);
	CHECK_ERR(get(&mode, NULL, NULL, MPOL_F_ADDR), EFAULT);
	CHECK_ERR(get(&mode, NULL, NULL, MPOL_F_NODE), EINVAL);
	CHECK_ERR(get(&mode, NULL, NULL, MPOL_F_MEMS_ALLOWED | MPOL_F_NODE), EINVAL);
	CHECK_ERR(syscall(SYS_get_mempolicy, NULL, m, 0ul, NULL, 0ul), EINVAL);
	CHECK_ERR(syscall(SYS_get_mempolicy, WILD, NULL, 0ul, NULL, 0ul), EFAULT);
	CHECK_ERR(syscall(SYS_get_mempolicy, NULL, WILD, 64ul, NULL, 0ul), EFAULT);
	CHECK_ERR(syscall(SYS_get_mempolicy, NULL, -8ul, 1024ul, NULL, 0ul), EFAULT);
}

TEST(a_child_inherits)
{
	int mode;

	CHECK_OK(set(MPOL_BIND, 1));
	pid_t child = CHECK_OK(fork());

	if (child == 0) {
		CHECK_OK(get(&mode, NULL, NULL, 0));
		CHECK_EQ(mode, MPOL_BIND);
		CHECK_OK(set(MPOL_INTERLEAVE, 1));
		_exit(0);
	}
	CHECK_EXIT(child, 0);
	CHECK_OK(get(&mode, NULL, NULL, 0));
	CHECK_EQ(mode, MPOL_BIND);
}

TEST(a_mapping_has_its_own)
{
	char *p = map(6);
	int mode;
	unsigned long nodes;

	CHECK_OK(get(&mode, &nodes, p, MPOL_F_ADDR));
	CHECK_EQ(mode, MPOL_DEFAULT);
	CHECK_OK(bind_to(p + PAGE, 2 * PAGE, MPOL_BIND, 1, 0));
	CHECK_OK(get(&mode, &nodes, p + 2 * PAGE, MPOL_F_ADDR));
	CHECK_EQ(mode, MPOL_BIND);
	CHECK_EQ(nodes, 1);
	CHECK_OK(get(&mode, NULL, p + 3 * PAGE, MPOL_F_ADDR));
	CHECK_EQ(mode, MPOL_DEFAULT);
	CHECK_OK(set(MPOL_INTERLEAVE, 1));
	CHECK_OK(get(&mode, NULL, p, MPOL_F_ADDR));
	CHECK_EQ(mode, MPOL_DEFAULT);
	memset(p, 1, 6 * PAGE);
	CHECK_EQ(node_at(p + PAGE), 0);
	/* it goes along when the mapping is cut, moved, and copied */
	p = CHECK_OK(mremap(p + PAGE, 2 * PAGE, 12 * PAGE, MREMAP_MAYMOVE));
	CHECK_OK(get(&mode, NULL, p + 11 * PAGE, MPOL_F_ADDR));
	CHECK_EQ(mode, MPOL_BIND);
	pid_t child = CHECK_OK(fork());

	if (child == 0) {
		int there;

		CHECK_OK(get(&there, NULL, p + PAGE, MPOL_F_ADDR));
		CHECK_EQ(there, mode);
		_exit(0);
	}
	CHECK_EXIT(child, 0);
}

TEST(mappings_with_alike_policies_join)
{
	char *p = map(4), line[300], *end = p + 4 * PAGE;
	int whole = 0;

	CHECK_OK(bind_to(p, PAGE, MPOL_BIND, 1, 0));
	CHECK_OK(bind_to(p + PAGE, 3 * PAGE, MPOL_BIND, 1, 0));
	FILE *f = fopen("/proc/self/maps", "r");

	CHECK(f);
	while (fgets(line, sizeof(line), f)) {
		unsigned long from, to;

		if (sscanf(line, "%lx-%lx", &from, &to) == 2 && from <= (unsigned long)p &&
		    to >= (unsigned long)end)
			whole++;
	}
	CHECK_EQ(whole, 1);
}

TEST(faults_of_mbind)
{
	char *p = map(4);

	CHECK_ERR(bind_to(p + 1, PAGE, MPOL_BIND, 1, 0), EINVAL);
	CHECK_ERR(bind_to(p, PAGE, MPOL_BIND, 1, 0x100), EINVAL);
	CHECK_ERR(bind_to(p, PAGE, MPOL_BIND, 0, 0), EINVAL);
	CHECK_ERR(bind_to(p, PAGE, 100, 1, 0), EINVAL);
	CHECK_ERR(bind_to(p, PAGE, MPOL_DEFAULT, 1, 0), EINVAL);
	CHECK_ERR(bind_to(p, -PAGE, MPOL_BIND, 1, 0), EINVAL);
	CHECK_OK(bind_to(p, 0, MPOL_BIND, 0, 0));
	CHECK_ERR(syscall(SYS_mbind, p, PAGE, MPOL_BIND, WILD, 64ul, 0), EFAULT);
	CHECK_OK(munmap(p + PAGE, PAGE));
	CHECK_ERR(bind_to(p, 4 * PAGE, MPOL_BIND, 1, 0), EFAULT);
	CHECK_ERR(bind_to(p + PAGE, 2 * PAGE, MPOL_BIND, 1, 0), EFAULT);
	CHECK_OK(bind_to(p, PAGE, MPOL_BIND, 1, MPOL_MF_STRICT));
	CHECK_OK(bind_to(p, PAGE, MPOL_DEFAULT, 0, MPOL_MF_STRICT | MPOL_MF_MOVE));
}

#ifndef SYS_set_mempolicy_home_node
#define SYS_set_mempolicy_home_node 450
#endif

TEST(home_nodes)
{
	char *p = map(4);

	CHECK_ERR(syscall(SYS_set_mempolicy_home_node, p, PAGE, 0ul, 0ul), ENOENT);
	CHECK_OK(bind_to(p, PAGE, MPOL_INTERLEAVE, 1, 0));
	CHECK_ERR(syscall(SYS_set_mempolicy_home_node, p, PAGE, 0ul, 0ul), EOPNOTSUPP);
	CHECK_OK(bind_to(p, 2 * PAGE, MPOL_BIND, 1, 0));
	CHECK_OK(syscall(SYS_set_mempolicy_home_node, p, PAGE, 0ul, 0ul));
	CHECK_ERR(syscall(SYS_set_mempolicy_home_node, p, PAGE, 0ul, 1ul), EINVAL);
	CHECK_ERR(syscall(SYS_set_mempolicy_home_node, p, PAGE, 5000ul, 0ul), EINVAL);
	CHECK_ERR(syscall(SYS_set_mempolicy_home_node, p + 1, PAGE, 0ul, 0ul), EINVAL);
	CHECK_OK(syscall(SYS_set_mempolicy_home_node, p, 0ul, 0ul, 0ul));
}

TEST(where_pages_are)
{
	char *p = map(4);
	void *pages[4] = { p, p + PAGE, p + 2 * PAGE, (void *)0x10000 };
	int status[4], nodes[4] = { 0, 0, 0, 0 };

	p[0] = 1;
	(void)*(volatile char *)(p + 2 * PAGE);
	/* untouched memory and the page of zeros: releases of Linux differ */
	CHECK_OK(syscall(SYS_move_pages, 0, 4ul, pages, NULL, status, 0));
	CHECK(status[0] >= 0);
	CHECK(status[1] == -ENOENT || status[1] == -EFAULT);
	CHECK_EQ(status[3], -EFAULT);
	CHECK_OK(syscall(SYS_move_pages, 0, 1ul, pages, nodes, status, MPOL_MF_MOVE));
	CHECK_EQ(status[0], 0);
	CHECK_EQ(p[0], 1);
	nodes[0] = 900;
	CHECK_ERR(syscall(SYS_move_pages, 0, 1ul, pages, nodes, status, MPOL_MF_MOVE), ENODEV);
	CHECK_ERR(syscall(SYS_move_pages, 0, 1ul, pages, nodes, status, 8), EINVAL);
	CHECK_ERR(syscall(SYS_move_pages, 0, 1ul, WILD, NULL, status, 0), EFAULT);
	CHECK_ERR(syscall(SYS_move_pages, 0, 1ul, pages, NULL, WILD, 0), EFAULT);
	CHECK_ERR(syscall(SYS_move_pages, 0x3ffffff, 1ul, pages, NULL, status, 0), ESRCH);
}

/* Once its memory is gone, what counts is whether it could have been looked at before. */
TEST(pages_of_the_dead)
{
	siginfo_t info;
	int status;
	pid_t pid, child;

	if (geteuid() != 0)
		SKIP("needs root");
	CHILD(pid) {
		CHECK_OK(setresuid(1000, 1000, 1000));
		for (int dumpable = 1; dumpable >= 0; dumpable--) {
			CHECK_OK(prctl(PR_SET_DUMPABLE, dumpable));
			CHILD(child)
				_exit(0);
			CHECK_OK(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT));
			if (dumpable)
				CHECK_ERR(syscall(SYS_move_pages, child, 0ul, NULL, NULL, &status, 0),
					  EINVAL);
			else if (syscall(SYS_move_pages, child, 0ul, NULL, NULL, &status, 0) == -1 &&
				 errno == EINVAL)
				SKIP("releases of Linux before 2026 let everyone");
			else
				CHECK_EQ(errno, EPERM);
		}
	}
	CHECK_EXIT(pid, 0);
}

TEST(migrating_a_process)
{
	mask zero = { 1 }, none = { 0 }, far = { 1ul << 62 };

	CHECK_EQ(syscall(SYS_migrate_pages, 0, 64ul, zero, zero), 0);
	CHECK_ERR(syscall(SYS_migrate_pages, 0, 64ul, zero, none), EINVAL);
	CHECK_ERR(syscall(SYS_migrate_pages, 0, 64ul, WILD, zero), EFAULT);
	CHECK_ERR(syscall(SYS_migrate_pages, 0x3ffffff, 64ul, zero, zero), ESRCH);
	if (geteuid() == 0)
		CHECK_ERR(syscall(SYS_migrate_pages, 0, 64ul, zero, far), EINVAL);
}

/* What needs two nodes; a machine of one has nothing to say. */
TEST(two_nodes)
{
	char *p = map(64);
	void *pages[1] = { p };
	int status[1], nodes[1] = { 0 }, next;
	mask zero = { 1 }, one = { 2 };

	if ((all_nodes() & 3) != 3)
		return;
	CHECK_OK(bind_to(p, 16 * PAGE, MPOL_BIND, 2, 0));
	CHECK_OK(bind_to(p + 16 * PAGE, 16 * PAGE, MPOL_INTERLEAVE, 3, 0));
	CHECK_OK(bind_to(p + 32 * PAGE, 16 * PAGE, MPOL_PREFERRED, 2, 0));
	memset(p, 7, 64 * PAGE);
	int there[2] = { 0, 0 };

	for (unsigned i = 0; i < 16; i++) {
		CHECK_EQ(node_at(p + i * PAGE), 1);
		there[node_at(p + (16 + i) * PAGE)]++;
		CHECK_EQ(node_at(p + (32 + i) * PAGE), 1);
	}
	CHECK_EQ(there[0], 8);
	CHECK_EQ(there[1], 8);
	CHECK_OK(syscall(SYS_move_pages, 0, 1ul, pages, nodes, status, MPOL_MF_MOVE));
	CHECK_EQ(status[0], 0);
	CHECK_EQ(node_at(p), 0);
	CHECK_EQ(p[5], 7);
	p[5] = 8;
	CHECK_ERR(bind_to(p, 16 * PAGE, MPOL_BIND, 2, MPOL_MF_STRICT), EIO);
	CHECK_OK(bind_to(p, 16 * PAGE, MPOL_BIND, 2, MPOL_MF_STRICT | MPOL_MF_MOVE));
	CHECK_EQ(node_at(p), 1);
	CHECK_EQ(p[5], 8);
	CHECK_OK(bind_to(p, 16 * PAGE, MPOL_BIND, 1, MPOL_MF_MOVE));
	for (unsigned i = 0; i < 16; i++)
		CHECK_EQ(node_at(p + i * PAGE), 0);
	CHECK(syscall(SYS_migrate_pages, 0, 64ul, zero, one) >= 0);
	for (unsigned i = 0; i < 48; i++)
		CHECK_EQ(node_at(p + i * PAGE), 1);
	for (size_t i = 0; i < 64 * PAGE; i++)
		CHECK_EQ(p[i], i == 5 ? 8 : 7);
	CHECK_OK(set(MPOL_INTERLEAVE, 3));
	CHECK_OK(get(&next, NULL, NULL, MPOL_F_NODE));
	CHECK(next == 0 || next == 1);
	CHECK_OK(set(MPOL_BIND, 2));
	p = map(4);
	memset(p, 1, 4 * PAGE);
	CHECK_EQ(node_at(p), 1);
}

/* Pages move while another thread writes them: no store is lost. */
static volatile int stop;
static unsigned long *counters;

static void *count_thread(void *arg)
{
	static unsigned long made;

	while (!stop) {
		for (unsigned i = 0; i < 8; i++)
			counters[i * 512]++;
		made++;
	}
	(void)arg;
	return (void *)made;
}

TEST(moving_under_stores)
{
	pthread_t thread;
	void *made;
	unsigned long both = all_nodes() & 3;

	counters = (void *)map(8);
	CHECK_EQ(pthread_create(&thread, NULL, count_thread, NULL), 0);
	for (unsigned i = 0; i < 60; i++)
		CHECK_OK(bind_to(counters, 8 * PAGE, MPOL_BIND, both == 3 ? 1 + i % 2 : 1,
				 MPOL_MF_MOVE));
	stop = 1;
	CHECK_EQ(pthread_join(thread, &made), 0);
	for (unsigned i = 0; i < 8; i++)
		CHECK_EQ(counters[i * 512], (unsigned long)made);
}


TEST(default_over_a_hole)
{
	char *p = map(3);

	CHECK_OK(munmap(p + PAGE, PAGE));
	CHECK_OK(syscall(SYS_mbind, p, 3 * PAGE, MPOL_DEFAULT, NULL, 0, 0));
	CHECK_ERR(bind_to(p, 3 * PAGE, MPOL_BIND, 1, 0), EFAULT);
	CHECK_ERR(syscall(SYS_mbind, p + PAGE, PAGE, MPOL_DEFAULT, NULL, 0, 0), EFAULT);
}
