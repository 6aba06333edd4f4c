#include "../test.h"

#define PAGE	4096ul
#define RW	(PROT_READ | PROT_WRITE)
#define ANON	(MAP_PRIVATE | MAP_ANONYMOUS)

static char text[1 << 20];

/* The line of /proc/self/maps that holds this address; "" if none does. */
static char *line_of(void *address)
{
	static char line[512];
	unsigned long from, to, at = (unsigned long)address;

	CHECK(test_read_file("/proc/self/maps", text, sizeof(text)) > 0);
	for (char *l = text; *l; l = strchr(l, '\n') + 1) {
		CHECK_EQ(sscanf(l, "%lx-%lx", &from, &to), 2);
		if (from <= at && at < to) {
			snprintf(line, sizeof(line), "%.*s",
				 (int)strcspn(l, "\n"), l);
			return line;
		}
	}
	return "";
}

static void expect(char *address, size_t pages, const char *prot)
{
	char want[64];

	snprintf(want, sizeof(want), "%lx-%lx %s ", (unsigned long)address,
		 (unsigned long)(address + pages * PAGE), prot);
	if (strncmp(line_of(address), want, strlen(want)) != 0)
		FAIL("\"%s\" is not \"%s\"", line_of(address), want);
}

/* Room with nothing around it, so that nothing merges with it. */
static char *room(size_t pages)
{
	char *p = CHECK_OK(mmap(NULL, (pages + 2) * PAGE, PROT_NONE, ANON,
				-1, 0));

	CHECK_OK(munmap(p + PAGE, pages * PAGE));
	return p + PAGE;
}

static char *map(char *at, size_t pages, int prot, int flags)
{
	return CHECK_OK(mmap(at, pages * PAGE, prot, flags | MAP_FIXED, -1, 0));
}

TEST(splitting_and_merging)
{
	char *p = map(room(10), 10, RW, ANON);

	expect(p, 10, "rw-p");
	CHECK_OK(mprotect(p + 3 * PAGE, 2 * PAGE, PROT_READ));
	expect(p, 3, "rw-p");
	expect(p + 3 * PAGE, 2, "r--p");
	expect(p + 5 * PAGE, 5, "rw-p");
	CHECK_OK(mprotect(p + 3 * PAGE, 2 * PAGE, RW));
	expect(p, 10, "rw-p");
	CHECK_OK(munmap(p + 4 * PAGE, PAGE));
	expect(p, 4, "rw-p");
	CHECK_STR(line_of(p + 4 * PAGE), "");
	expect(p + 5 * PAGE, 5, "rw-p");
	map(p + 4 * PAGE, 1, RW, ANON);
	expect(p, 10, "rw-p");
	CHECK_OK(mprotect(p, PAGE, PROT_READ | PROT_EXEC));
	expect(p, 1, "r-xp");
}

/* A neighbour with the same rights takes over what gets them. */
TEST(bounds_move)
{
	char *p = map(room(12), 12, RW, ANON);

	memset(p, 1, 12 * PAGE);
	CHECK_OK(mprotect(p + 4 * PAGE, 4 * PAGE, PROT_READ));
	CHECK_OK(mprotect(p + 4 * PAGE, PAGE, RW));
	expect(p, 5, "rw-p");
	expect(p + 5 * PAGE, 3, "r--p");
	CHECK_OK(mprotect(p + 7 * PAGE, PAGE, RW));
	expect(p + 5 * PAGE, 2, "r--p");
	expect(p + 7 * PAGE, 5, "rw-p");
	CHECK_OK(mprotect(p + 3 * PAGE, 2 * PAGE, PROT_READ));
	expect(p, 3, "rw-p");
	expect(p + 3 * PAGE, 4, "r--p");
	CHECK_OK(mprotect(p + 2 * PAGE, 6 * PAGE, RW));
	expect(p, 12, "rw-p");
	for (size_t i = 0; i < 12; i++) {
		CHECK_EQ(p[i * PAGE], 1);
		p[i * PAGE] = 2;
	}
}

/* The same for pages of a file, which keep their offset. */
TEST(bounds_of_a_file_move)
{
	char *p = room(8);
	int fd;

	test_make_file("pages", "");
	fd = CHECK_OK(open("pages", O_RDWR));
	for (int i = 0; i < 8; i++)
		CHECK_EQ(pwrite(fd, &(char){ (char)('a' + i) }, 1, (off_t)i * 4096), 1);
	CHECK_OK(mmap(p, 8 * PAGE, PROT_READ, MAP_PRIVATE | MAP_FIXED, fd, 0));
	CHECK_OK(mprotect(p, 4 * PAGE, RW));
	expect(p, 4, "rw-p 00000000");
	expect(p + 4 * PAGE, 4, "r--p 00004000");
	p[3 * PAGE] = 'X';
	CHECK_OK(mprotect(p + 2 * PAGE, 2 * PAGE, PROT_READ));
	expect(p, 2, "rw-p 00000000");
	expect(p + 2 * PAGE, 2, "r--p 00002000");
	CHECK_OK(mprotect(p + 2 * PAGE, PAGE, RW));
	expect(p, 3, "rw-p 00000000");
	CHECK_OK(mprotect(p, 3 * PAGE, PROT_READ));
	for (int i = 0; i < 8; i++)
		CHECK_EQ(p[(size_t)i * PAGE], i == 3 ? 'X' : 'a' + i);
	if (!fork()) { /* the copied page is the child's too, wherever its mapping ends */
		CHECK_EQ(p[3 * PAGE], 'X');
		_exit(0);
	}
	int status;

	CHECK_OK(wait(&status));
	CHECK_EQ(status, 0);
}

TEST(files)
{
	char cwd[4096], *l, *p;
	unsigned long offset, ino;
	unsigned major, minor;
	struct stat st;
	int fd;

	test_make_file("f", "x");
	fd = CHECK_OK(open("f", O_RDWR));
	CHECK_OK(fstat(fd, &st));
	p = CHECK_OK(mmap(NULL, 2 * PAGE, PROT_READ, MAP_SHARED, fd, PAGE));
	l = line_of(p);
	CHECK(strstr(l, " r--s "));
	CHECK_EQ(sscanf(l, "%*x-%*x %*s %lx %x:%x %lu %s", &offset, &major,
			&minor, &ino, cwd), 5);
	CHECK_EQ(offset, PAGE);
	CHECK_EQ(ino, st.st_ino);
	CHECK_EQ((major << 8) | minor, st.st_dev);
	CHECK_STR(strrchr(cwd, '/'), "/f");
	CHECK_OK(unlink("f"));
	CHECK(strstr(line_of(p), "/f (deleted)"));
}

TEST(names)
{
	static int data = 1;
	int local;
	char *heap = sbrk(PAGE);

	heap[0] = 1;
	CHECK(strstr(line_of(heap), "[heap]"));
	CHECK(strstr(line_of(&local), "[stack]"));
	CHECK(strstr(line_of((void *)(uintptr_t)line_of), test_self));
	CHECK(strstr(line_of((void *)(uintptr_t)line_of), " r-xp "));
	CHECK(strstr(line_of(&data), " rw-p "));
	line_of(NULL);
	CHECK(strstr(text, "[vdso]"));
	CHECK(strstr(text, "[vvar]"));
}

/* Where the line that ends so begins in memory. */
static char *start_of(const char *name)
{
	line_of(NULL);
	for (char *l = text; *l; l = strchr(l, '\n') + 1) {
		size_t n = strcspn(l, "\n"), end = strlen(name);

		if (n > end && !strncmp(l + n - end, name, end))
			return (char *)strtoul(l, NULL, 16);
	}
	FAIL("no %s", name);
}

/* What the kernel tells all processes, none of them changes for the others. */
TEST(kernel_pages_stay_the_kernels)
{
	char *vvar = start_of("[vvar]"), *vdso = start_of("[vdso]");
	char first = *vdso;
	pid_t pid;

	CHECK_ERR(mprotect(vvar, PAGE, PROT_READ | PROT_WRITE), EACCES);
	CHECK_ERR(mprotect(vvar, PAGE, PROT_READ | PROT_EXEC), EACCES);
	/* A private copy of the vDSO would do no harm. */
	CHILD(pid) {
		if (!mprotect(vdso, PAGE, PROT_READ | PROT_WRITE))
			*vdso = (char)~first;
	}
	CHECK_EXIT(pid, 0);
	CHECK_EQ(*vdso, first);
}

TEST(sorted_and_apart)
{
	unsigned long from, to, last = 0;
	int lines = 0;

	line_of(NULL);
	for (char *l = text; *l; l = strchr(l, '\n') + 1) {
		char prot[8];

		CHECK_EQ(sscanf(l, "%lx-%lx %7s", &from, &to, prot), 3);
		CHECK(from >= last && to > from);
		CHECK(from % PAGE == 0 && to % PAGE == 0);
		CHECK_EQ(strlen(prot), 4);
		last = to;
		lines++;
	}
	CHECK(lines >= 6);
}

static long field(const char *part, const char *name)
{
	const char *at = strstr(part, name);

	CHECK(at);
	return atol(at + strlen(name));
}

/* The part of smaps about the mapping that starts here. */
static const char *part_of(char *address)
{
	char start[32];
	const char *at;

	CHECK(test_read_file("/proc/self/smaps", text, sizeof(text)) > 0);
	snprintf(start, sizeof(start), "%lx-", (unsigned long)address);
	at = strstr(text, start);
	CHECK(at);
	return at;
}

TEST(resident_sizes)
{
	char *p = map(room(10), 10, RW, ANON);
	const char *part;

	madvise(p, 10 * PAGE, MADV_NOHUGEPAGE);
	part = part_of(p);
	CHECK_EQ(field(part, "\nSize:"), 40);
	CHECK_EQ(field(part, "\nRss:"), 0);
	memset(p, 1, 4 * PAGE);
	part = part_of(p);
	CHECK_EQ(field(part, "\nRss:"), 16);
	CHECK_EQ(field(part, "\nPrivate_Dirty:"), 16);
	CHECK_EQ(field(part, "\nAnonymous:"), 16);
	CHECK_EQ(field(part, "\nPss:"), 16);
	CHECK(strstr(part, "\nVmFlags: rd wr "));
	CHECK_OK(madvise(p, 2 * PAGE, MADV_DONTNEED));
	CHECK_EQ(field(part_of(p), "\nRss:"), 8);
}

TEST(shared_sizes)
{
	char *p = map(room(4), 4, RW, ANON);
	int ends[2];
	const char *part;
	pid_t pid;
	char c;

	memset(p, 1, 4 * PAGE);
	CHECK_OK(pipe(ends));
	CHILD(pid) {
		close(ends[1]);
		CHECK_EQ(read(ends[0], &c, 1), 0);
	}
	part = part_of(p);
	CHECK_EQ(field(part, "\nRss:"), 16);
	CHECK_EQ(field(part, "\nPss:"), 8);
	CHECK_OK(close(ends[1]));
	CHECK_EXIT(pid, 0);
}
