/* Where a program lies: /proc/sys/kernel/randomize_va_space, ADDR_NO_RANDOMIZE. */
#include "../test.h"
#include <sys/personality.h>

#define SWITCH	"/proc/sys/kernel/randomize_va_space"

struct places {
	uintptr_t stack, heap, mapping;
};

static int result[2];

HELPER(tell)
{
	struct places p = {
		.stack = (uintptr_t)__builtin_frame_address(0),
		.heap = (uintptr_t)sbrk(0),
		.mapping = (uintptr_t)mmap(NULL, 4096, PROT_READ, MAP_PRIVATE |
					   MAP_ANONYMOUS, -1, 0),
	};

	return write(atoi(argv[1]), &p, sizeof(p)) != sizeof(p) || argc != 2;
}

static struct places places(void)
{
	struct places p;
	char number[16];
	pid_t pid;

	CHECK_OK(pipe(result));
	snprintf(number, sizeof(number), "%d", result[1]);
	CHILD(pid)
		test_exec("tell", number);
	CHECK_EXIT(pid, 0);
	CHECK_EQ(read(result[0], &p, sizeof(p)), sizeof(p));
	CHECK_OK(close(result[0]));
	CHECK_OK(close(result[1]));
	return p;
}

/* Which of the three differ in some of a few runs: 1 stack, 2 heap, 4 mapping. */
static int moving(void)
{
	struct places first = places(), p;
	int moves = 0;

	for (int i = 0; i < 6; i++) {
		p = places();
		moves |= (p.stack != first.stack) | (p.heap != first.heap) << 1 |
			 (p.mapping != first.mapping) << 2;
	}
	return moves;
}

TEST(persona)
{
	CHECK_OK(personality(ADDR_NO_RANDOMIZE));
	CHECK_EQ(moving(), 0);
}

static void set(const char *value)
{
	int fd = CHECK_OK(open(SWITCH, O_WRONLY));

	CHECK_EQ(write(fd, value, strlen(value)), (ssize_t)strlen(value));
	CHECK_OK(close(fd));
}

TEST(switch_for_all)
{
	char text[16] = "";
	int fd = CHECK_OK(open("/proc/1/cmdline", O_RDONLY));

	CHECK(read(fd, text, sizeof(text) - 1) >= 0);
	if (strcmp(text, "/init") || geteuid() != 0)
		SKIP("changes the machine: in one of its own only");
	CHECK_EQ(moving(), 7);
	set("1\n");
	CHECK_EQ(moving() & ~2, 5);
	set("0");
	CHECK_EQ(moving(), 0);
	fd = CHECK_OK(open(SWITCH, O_RDWR));
	CHECK_EQ(read(fd, text, sizeof(text)), 2);
	CHECK(!memcmp(text, "0\n", 2));
	fd = CHECK_OK(open(SWITCH, O_RDWR));
	CHECK_ERR(write(fd, "x", 1), EINVAL);
	set("2\n");
	CHECK_EQ(moving(), 7);
}
