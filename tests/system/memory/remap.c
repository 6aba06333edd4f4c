#include "../test.h"
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <sys/resource.h>

#define PAGE	4096ul
#define RW	(PROT_READ | PROT_WRITE)
#define ANON	(MAP_PRIVATE | MAP_ANONYMOUS)

#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif

static sigjmp_buf jump;

static void on_fault(int sig)
{
	siglongjmp(jump, sig);
}

static int touch(volatile char *p)
{
	int sig;

	signal(SIGSEGV, on_fault);
	signal(SIGBUS, on_fault);
	sig = sigsetjmp(jump, 1);
	if (!sig)
		(void)*p;
	return sig;
}

static char *map(size_t pages)
{
	return CHECK_OK(mmap(NULL, pages * PAGE, RW, ANON, -1, 0));
}

TEST(shrink)
{
	char *p = map(4);

	memset(p, 3, 4 * PAGE);
	CHECK(mremap(p, 4 * PAGE, 2 * PAGE, 0) == p);
	CHECK_EQ(p[PAGE], 3);
	CHECK_EQ(touch(p + 2 * PAGE), SIGSEGV);
	CHECK(mremap(p, 2 * PAGE, 2 * PAGE, 0) == p);
}

TEST(grow_in_place)
{
	char *p = map(8);

	p[0] = 1;
	CHECK_OK(munmap(p + 4 * PAGE, 4 * PAGE));
	CHECK(mremap(p, 4 * PAGE, 6 * PAGE, 0) == p);
	CHECK(p[0] == 1 && p[5 * PAGE] == 0);
}

TEST(no_room_to_grow)
{
	char *p = map(8), *q;

	memset(p, 5, 8 * PAGE);
	CHECK_ERR((long)mremap(p, 4 * PAGE, 6 * PAGE, 0), ENOMEM);
	q = CHECK_OK(mremap(p, 4 * PAGE, 6 * PAGE, MREMAP_MAYMOVE));
	CHECK(q != p);
	CHECK(q[0] == 5 && q[3 * PAGE] == 5 && q[4 * PAGE] == 0);
	CHECK_EQ(touch(p), SIGSEGV);
	CHECK_EQ(p[4 * PAGE], 5);
}

TEST(to_a_fixed_place)
{
	char *p = map(4), *q = map(8), *r;

	memset(p, 1, 4 * PAGE);
	memset(q, 2, 8 * PAGE);
	r = CHECK_OK(mremap(p, 4 * PAGE, 4 * PAGE, MREMAP_MAYMOVE |
			    MREMAP_FIXED, q + 2 * PAGE));
	CHECK(r == q + 2 * PAGE);
	CHECK(q[PAGE] == 2 && q[2 * PAGE] == 1 && q[6 * PAGE] == 2);
	CHECK_EQ(touch(p), SIGSEGV);
	CHECK_ERR((long)mremap(q, 2 * PAGE, 2 * PAGE, MREMAP_FIXED, p), EINVAL);
	CHECK_ERR((long)mremap(q, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE |
			       MREMAP_FIXED, q + PAGE), EINVAL);
	CHECK_ERR((long)mremap(q, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE |
			       MREMAP_FIXED, q + 1), EINVAL);
}

TEST(leave_the_old_place_empty)
{
	char *p = map(4), *q;

	memset(p, 6, 4 * PAGE);
	q = CHECK_OK(mremap(p, 4 * PAGE, 4 * PAGE, MREMAP_MAYMOVE |
			    MREMAP_DONTUNMAP, NULL));
	CHECK(q != p && q[0] == 6 && q[3 * PAGE] == 6);
	CHECK_EQ(touch(p), 0);
	CHECK_EQ(p[0], 0);
	CHECK_ERR((long)mremap(q, 4 * PAGE, 2 * PAGE, MREMAP_MAYMOVE |
			       MREMAP_DONTUNMAP, NULL), EINVAL);
	CHECK_ERR((long)mremap(q, 4 * PAGE, 4 * PAGE, MREMAP_DONTUNMAP,
			       NULL), EINVAL);
}

TEST(shared_twice)
{
	char *p = CHECK_OK(mmap(NULL, 2 * PAGE, RW, MAP_SHARED |
				MAP_ANONYMOUS, -1, 0)), *q;

	p[0] = 1;
	/* An old size of 0 makes a second view of a shared mapping. */
	q = CHECK_OK(mremap(p, 0, 2 * PAGE, MREMAP_MAYMOVE));
	CHECK(q != p && q[0] == 1);
	q[1] = 2;
	CHECK_EQ(p[1], 2);
	CHECK_ERR((long)mremap(map(2), 0, 2 * PAGE, MREMAP_MAYMOVE), EINVAL);
}

TEST(errors)
{
	char *p = map(4);

	CHECK_ERR((long)mremap(p + 1, PAGE, PAGE, 0), EINVAL);
	CHECK_ERR((long)mremap(p, PAGE, 0, 0), EINVAL);
	CHECK_ERR((long)mremap(p, PAGE, PAGE, 0x80), EINVAL);
	CHECK_ERR((long)mremap((void *)PAGE, PAGE, 2 * PAGE, MREMAP_MAYMOVE),
		  EFAULT);
	CHECK_ERR((long)mremap((void *)0xffffffff80000000, PAGE, 2 * PAGE,
			       MREMAP_MAYMOVE), EFAULT);
	CHECK_ERR((long)mremap(p, 4 * PAGE, 1ul << 46, MREMAP_MAYMOVE), ENOMEM);
	CHECK_OK(munmap(p + 2 * PAGE, PAGE));
	CHECK_ERR((long)mremap(p, 4 * PAGE, 8 * PAGE, MREMAP_MAYMOVE), EFAULT);
}

TEST(file_offset_moves_along)
{
	int fd = CHECK_OK(open("f", O_CREAT | O_RDWR, 0666));
	char *p;

	for (int i = 0; i < 6; i++)
		CHECK_EQ(pwrite(fd, &(char){ (char)('a' + i) }, 1, i * 4096),
			 1);
	p = CHECK_OK(mmap(NULL, 2 * PAGE, RW, MAP_SHARED, fd, 2 * PAGE));
	CHECK(p[0] == 'c' && p[PAGE] == 'd');
	p = CHECK_OK(mremap(p, 2 * PAGE, 4 * PAGE, MREMAP_MAYMOVE));
	CHECK(p[0] == 'c' && p[2 * PAGE] == 'e' && p[3 * PAGE] == 'f');
}

TEST(break_call)
{
	char *start = (char *)syscall(SYS_brk, 0), *end;

	CHECK_EQ((uintptr_t)syscall(SYS_brk, start + 3 * PAGE),
		 (uintptr_t)start + 3 * PAGE);
	start[2 * PAGE] = 1;
	CHECK_EQ(start[PAGE], 0);
	end = (char *)syscall(SYS_brk, start);
	CHECK(end == start);
	/* Returned pages come back empty. */
	CHECK_EQ((uintptr_t)syscall(SYS_brk, start + 3 * PAGE),
		 (uintptr_t)start + 3 * PAGE);
	CHECK_EQ(start[2 * PAGE], 0);
	/* What can't be leaves the break alone. */
	CHECK_EQ((uintptr_t)syscall(SYS_brk, 1), (uintptr_t)start + 3 * PAGE);
	CHECK_EQ((uintptr_t)syscall(SYS_brk, ~0ul),
		 (uintptr_t)start + 3 * PAGE);
	CHECK_EQ((uintptr_t)syscall(SYS_brk, 0xffffffff80000000),
		 (uintptr_t)start + 3 * PAGE);
}

/* Where something is in the way, or a limit; unaligned ends; a heap that mprotect has cut. */
TEST(break_edges)
{
	char *start = (char *)syscall(SYS_brk, 0);
	char *end = (char *)(((uintptr_t)start + PAGE - 1) & ~(PAGE - 1));
	struct rlimit saved, low;

	CHECK_EQ(syscall(SYS_brk, end + 4 * PAGE), (uintptr_t)end + 4 * PAGE);
	memset(end, 1, 4 * PAGE);
	CHECK_EQ(syscall(SYS_brk, end + PAGE + 1), (uintptr_t)end + PAGE + 1);
	CHECK_EQ(end[2 * PAGE - 1], 1); /* the page that the end is in stays */
	CHECK_EQ(touch(end + 2 * PAGE), SIGSEGV);
	CHECK_EQ(syscall(SYS_brk, end + 2 * PAGE), (uintptr_t)end + 2 * PAGE);
	CHECK_EQ(end[2 * PAGE - 1], 1);
	CHECK_OK(mmap(end + 6 * PAGE, PAGE, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0));
	CHECK_EQ(syscall(SYS_brk, end + 7 * PAGE), (uintptr_t)end + 2 * PAGE);
	CHECK_OK(munmap(end + 6 * PAGE, PAGE));
	CHECK_OK(getrlimit(RLIMIT_DATA, &saved));
	low = (struct rlimit){ PAGE, saved.rlim_max };
	CHECK_OK(setrlimit(RLIMIT_DATA, &low));
	CHECK_EQ(syscall(SYS_brk, end + 300 * PAGE), (uintptr_t)end + 2 * PAGE);
	CHECK_OK(setrlimit(RLIMIT_DATA, &saved));
	CHECK_OK(getrlimit(RLIMIT_AS, &saved));
	low = (struct rlimit){ PAGE, saved.rlim_max };
	CHECK_OK(setrlimit(RLIMIT_AS, &low));
	CHECK_EQ(syscall(SYS_brk, end + 3 * PAGE), (uintptr_t)end + 2 * PAGE);
	CHECK_EQ(syscall(SYS_brk, end + PAGE), (uintptr_t)end + PAGE);
	CHECK_OK(setrlimit(RLIMIT_AS, &saved));
	CHECK_OK(mprotect(end, PAGE, PROT_READ));
	CHECK_EQ(syscall(SYS_brk, end + 3 * PAGE), (uintptr_t)end + 3 * PAGE);
	end[2 * PAGE] = 1;
	CHECK_EQ(syscall(SYS_brk, end), (uintptr_t)end);
	CHECK_EQ(touch(end), SIGSEGV);
	CHECK_EQ(syscall(SYS_brk, start), (uintptr_t)start);
}

TEST(page_residency)
{
	unsigned char v[8];
	char *p = map(8);

	p[0] = p[3 * PAGE] = 1;
	CHECK_OK(mincore(p, 8 * PAGE, v));
	CHECK((v[0] & 1) && (v[3] & 1));
	CHECK_ERR(mincore(p + 1, PAGE, v), EINVAL);
	CHECK_ERR(syscall(SYS_mincore, p, PAGE, WILD), EFAULT);
	CHECK_OK(munmap(p + 4 * PAGE, PAGE));
	CHECK_ERR(mincore(p, 8 * PAGE, v), ENOMEM);
	CHECK_OK(mincore(p, 0, v));
}

TEST(sync)
{
	int fd = CHECK_OK(open("f", O_CREAT | O_RDWR, 0666));
	char *p;

	CHECK_OK(ftruncate(fd, 2 * PAGE));
	p = CHECK_OK(mmap(NULL, 2 * PAGE, RW, MAP_SHARED, fd, 0));
	p[0] = 1;
	CHECK_OK(msync(p, 2 * PAGE, MS_SYNC));
	CHECK_OK(msync(p, PAGE, MS_ASYNC | MS_INVALIDATE));
	CHECK_ERR(msync(p, PAGE, MS_SYNC | MS_ASYNC), EINVAL);
	CHECK_ERR(msync(p, PAGE, 0x100), EINVAL);
	CHECK_ERR(msync(p + 1, PAGE, MS_SYNC), EINVAL);
	CHECK_OK(munmap(p, PAGE));
	CHECK_ERR(msync(p, 2 * PAGE, MS_SYNC), ENOMEM);
}

TEST(locking)
{
	char *p = map(8);
	unsigned char v[8];

	CHECK_OK(mlock(p, 2 * PAGE));
	CHECK_OK(mincore(p, 2 * PAGE, v));
	CHECK((v[0] & 1) && (v[1] & 1));
	CHECK_OK(munlock(p, 2 * PAGE));
	CHECK_OK(mlock2(p, PAGE, MLOCK_ONFAULT));
	CHECK_ERR(mlock2(p, PAGE, 0x10), EINVAL);
	CHECK_ERR(mlock((void *)PAGE, PAGE), ENOMEM);
	CHECK_ERR(munlock((void *)PAGE, PAGE), ENOMEM);
	CHECK_ERR(mlock(p, ~0ul - 5000), geteuid() == 0 ? EINVAL : ENOMEM);
	CHECK_ERR(mlockall(0), EINVAL);
	CHECK_ERR(mlockall(0x80), EINVAL);
	CHECK_OK(mlockall(MCL_CURRENT | MCL_ONFAULT));
	CHECK_OK(munlockall());
}

/* ---- stores beside a move ---- */

#define SPANS	8
#define SPAN	(2ul << 20)
#define MOVES	200

static char *moving;
static volatile int round_nr, round_done;
static volatile bool stored[SPANS];
static sigjmp_buf moved_away;

static void on_moved_away(int sig)
{
	siglongjmp(moved_away, sig);
}

/* Stores to one page of each 2 MiB until the memory is no longer there. */
static void *store_to_all(void *arg)
{
	signal(SIGSEGV, on_moved_away);
	for (volatile int n = 1; n <= MOVES; n++) {
		while (round_nr != n)
			sched_yield();
		for (volatile int i = 0; i < SPANS; i++) {
			if (sigsetjmp(moved_away, 1))
				break;
			moving[i * SPAN] = (char)n;
			stored[i] = true;
		}
		round_done = n;
	}
	return arg;
}

TEST_TIMED(a_store_beside_a_move_is_not_lost, 60)
{
	char *from = CHECK_OK(mmap(NULL, SPANS * SPAN, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	char *to = CHECK_OK(mmap(NULL, SPANS * SPAN, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	pthread_t thread;

	moving = from;
	CHECK_EQ(pthread_create(&thread, NULL, store_to_all, NULL), 0);
	for (int n = 1; n <= MOVES; n++) {
		CHECK(mmap(from, SPANS * SPAN, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == from);
		memset((void *)stored, 0, sizeof(stored));
		round_nr = n;
		for (volatile int spin = 0; spin < n * 50; spin++)
			continue;
		CHECK(mremap(from, SPANS * SPAN, SPANS * SPAN, MREMAP_MAYMOVE | MREMAP_FIXED, to) == to);
		while (round_done != n)
			sched_yield();
		for (size_t i = 0; i < SPANS; i++)
			CHECK_EQ(to[i * SPAN], stored[i] ? (char)n : 0);
	}
	pthread_join(thread, NULL);
}
