/* Mapping, protection, faults. */
#define SUITE "mm"
#include "bench.h"

#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

enum { PAGE = 4096, NR_PAGES = 256, HUGE_PAGES = 512 };

static char *map_pages(size_t nr)
{
	char *p = mmap(NULL, nr * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		bench_skip("mmap");
	return p;
}

static void touch_pages(volatile char *p, size_t nr)
{
	for (size_t i = 0; i < nr; i++)
		p[i * PAGE] = 1;
}

BENCH("mmap+munmap 4K", 200, 31)
{
	for (unsigned i = 0; i < n; i++)
		munmap(map_pages(1), PAGE);
}

BENCH("mprotect pair", 200, 31)
{
	char *p = map_pages(16);

	touch_pages(p, 16);
	bench_start();
	for (unsigned i = 0; i < n; i++) {
		raw_syscall(__NR_mprotect, (long)p, 16 * PAGE, PROT_READ);
		raw_syscall(__NR_mprotect, (long)p, 16 * PAGE, PROT_READ | PROT_WRITE);
	}
	bench_stop();
	munmap(p, 16 * PAGE);
}

BENCH("brk grow+shrink 64K", 200, 31)
{
	long end = raw_syscall(__NR_brk, 0, 0, 0);

	bench_start();
	for (unsigned i = 0; i < n; i++) {
		raw_syscall(__NR_brk, end + 65536, 0, 0);
		raw_syscall(__NR_brk, end, 0, 0);
	}
	bench_stop();
}

BENCH("anonymous fault 4K", NR_PAGES, 31)
{
	char *p = map_pages(n);

	bench_start();
	touch_pages(p, n);
	bench_stop();
	munmap(p, n * PAGE);
}

static void touch_downward(volatile char *p, size_t nr)
{
	while (nr-- > 0)
		p[nr * PAGE] = 1;
}

/*
 * Downward, which no kernel takes for the start of more; after as many pages again, so that none is
 * left of what the kernel may have zeroed while it was idle.
 */
BENCH("anonymous fault 4K, each page by itself", NR_PAGES, 31)
{
	char *p = map_pages(2 * n);

	touch_downward(p + n * PAGE, n);
	uint64_t start = ticks();

	touch_downward(p, n);
	bench_elapsed(ticks() - start);
	munmap(p, 2 * n * PAGE);
}

/* The same right after the CPU was idle: bench_start sleeps. */
BENCH("anonymous fault 4K, after idling", 48, 31)
{
	char *p = map_pages(n);

	bench_start();
	touch_downward(p, n);
	bench_stop();
	munmap(p, n * PAGE);
}

/* `nr` pages at a multiple of 2 MiB that ask for huge ones, or not to get any; *raw is to be unmapped. */
static char *map_aligned(size_t nr, int advice, char **raw)
{
	*raw = map_pages(nr + HUGE_PAGES);
	uintptr_t at =
		((uintptr_t)*raw + HUGE_PAGES * PAGE - 1) & ~(uintptr_t)(HUGE_PAGES * PAGE - 1);

	if (madvise((char *)at, nr * PAGE, advice))
		bench_skip("madvise");
	return (char *)at;
}

BENCH("anonymous fault, MADV_HUGEPAGE, per 4K", 2 * HUGE_PAGES, 11)
{
	char *raw, *p = map_aligned(n, MADV_HUGEPAGE, &raw);

	bench_start();
	touch_pages(p, n);
	bench_stop();
	munmap(raw, (n + HUGE_PAGES) * PAGE);
}

BENCH("munmap, MADV_HUGEPAGE, per 4K", 2 * HUGE_PAGES, 11)
{
	char *raw, *p = map_aligned(n, MADV_HUGEPAGE, &raw);

	touch_pages(p, n);
	bench_start();
	munmap(p, n * PAGE);
	bench_stop();
	munmap(raw, (n + HUGE_PAGES) * PAGE);
}

/* `nr` new pages of a file that comes 2 MiB at a time, where the kernel maps it. */
static char *map_huge_file(size_t nr)
{
	static bool mounted;

	mkdir("/tmp/huge", 0755);
	if (!mounted && mount("none", "/tmp/huge", "tmpfs", 0, "huge=always"))
		bench_skip("mount");
	mounted = true;
	unlink("/tmp/huge/f");
	int fd = open("/tmp/huge/f", O_CREAT | O_RDWR, 0600);

	if (fd < 0 || ftruncate(fd, (off_t)(nr * PAGE)))
		bench_skip("file");
	char *p = mmap(NULL, nr * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	close(fd);
	if (p == MAP_FAILED)
		bench_skip("mmap");
	return p;
}

BENCH("shared fault, huge=always, per 4K", 2 * HUGE_PAGES, 11)
{
	char *p = map_huge_file(n);

	bench_start();
	touch_pages(p, n);
	bench_stop();
	munmap(p, n * PAGE);
}

enum { WALK_PAGES = 32 * HUGE_PAGES };

/* Loads from places that a generator chooses, in 64 MiB that are there: TLB misses, by M2. */
static void walk(char *p, unsigned n)
{
	uint32_t at = 1;
	volatile char *from = p;

	touch_pages(p, WALK_PAGES);
	bench_start();
	for (unsigned i = 0; i < n; i++) {
		at = at * 1664525 + 1013904223;
		(void)from[at % (WALK_PAGES * PAGE)];
	}
	bench_stop();
}

static void walk_anonymous(int advice, unsigned n)
{
	char *raw, *p = map_aligned(WALK_PAGES, advice, &raw);

	walk(p, n);
	munmap(raw, (WALK_PAGES + HUGE_PAGES) * PAGE);
}

BENCH("load from 64 MB, MADV_NOHUGEPAGE", 2000, 3)
{
	walk_anonymous(MADV_NOHUGEPAGE, n);
}

BENCH("load from 64 MB, MADV_HUGEPAGE", 2000, 3)
{
	walk_anonymous(MADV_HUGEPAGE, n);
}

BENCH("load from 64 MB, file, huge=always", 2000, 3)
{
	char *p = map_huge_file(WALK_PAGES);

	walk(p, n);
	munmap(p, WALK_PAGES * PAGE);
}

BENCH("munmap, per page", NR_PAGES, 31)
{
	char *p = map_pages(n);

	touch_pages(p, n);
	bench_start();
	munmap(p, n * PAGE);
	bench_stop();
}

BENCH("copy-on-write fault 4K", NR_PAGES, 11)
{
	uint64_t *result =
		mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	char *p = map_pages(n);

	touch_pages(p, n);
	long child = fork();

	NEED(child);
	if (!child) {
		uint64_t start = ticks();

		touch_pages(p, n);
		*result = ticks() - start;
		_exit(0);
	}
	waitpid((pid_t)child, NULL, 0);
	bench_elapsed(*result);
	munmap(p, n * PAGE);
	munmap(result, PAGE);
}

BENCH("mapped file read, per page", 16, 31)
{
	static char bytes[16 * PAGE];
	int fd = open("mapped", O_RDWR | O_CREAT, 0644);

	NEED(fd);
	NEED(pwrite(fd, bytes, sizeof(bytes), 0));
	volatile char *p = mmap(NULL, sizeof(bytes), PROT_READ, MAP_SHARED, fd, 0);

	if (p == MAP_FAILED)
		bench_skip("mmap");
	bench_start();
	for (unsigned i = 0; i < n; i++)
		(void)p[i * PAGE];
	bench_stop();
	munmap((void *)p, sizeof(bytes));
	close(fd);
}
