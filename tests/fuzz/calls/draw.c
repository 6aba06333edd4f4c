/* Drawing a call: the arguments by kind, as linux/syscalls.def tells it. */
#include "calls.h"

uint64_t random_state;

/* xorshift64*, Vigna (2016). */
uint64_t random_bits(void)
{
	random_state ^= random_state >> 12;
	random_state ^= random_state << 25;
	random_state ^= random_state >> 27;
	return random_state * 0x2545f4914f6cdd1dull >> 16;
}

uint64_t random_below(uint64_t n)
{
	return random_bits() % n;
}

/* ---- the table, from the kernel's own ---- */

#define ARG(kind, name)                                                                            \
	{                                                                                          \
		KIND_##kind, #name                                                                 \
	}
#define ARGS_0()
#define ARGS_1(a) ARG a
#define ARGS_2(a, ...) ARG a, ARGS_1(__VA_ARGS__)
#define ARGS_3(a, ...) ARG a, ARGS_2(__VA_ARGS__)
#define ARGS_4(a, ...) ARG a, ARGS_3(__VA_ARGS__)
#define ARGS_5(a, ...) ARG a, ARGS_4(__VA_ARGS__)
#define ARGS_6(a, ...) ARG a, ARGS_5(__VA_ARGS__)
#define PICK_ARGS(x, a, b, c, d, e, f, pick, ...) pick
#define ARGS(...)                                                                                  \
	PICK_ARGS(_ __VA_OPT__(, ) __VA_ARGS__, ARGS_6, ARGS_5, ARGS_4, ARGS_3, ARGS_2, ARGS_1,    \
		  ARGS_0)                                                                          \
	(__VA_ARGS__)
#define SYSCALL(nr, name, ...) { nr, #name, { ARGS(__VA_ARGS__) } },
#define SYSCALL_FRAME SYSCALL

const struct call all_calls[] = {
#include "../../../linux/syscalls.def"
	/* A child that ends at once, for those who wait. */
	{ -1, "spawn", { { KIND_int, "status" } } },
};
const unsigned nr_all_calls = ARRAY_SIZE(all_calls);

/* ---- pieces ---- */

static const char *const paths[] = {
	"a",      "b",   "d",    "d/e",    "d/s",    "l",   "ld",  "m",      "loop",
	"p",      "n",   "n1",   "d/n2",   "n3/x",   "",    ".",   "..",     "/",
	"a/",     "d/",  "d/.",  "d/..",   "d/../a", "a/b", "/a",  "//d//e", "ld/e",
	"loop/x", "n1/", "null", "d/s/..", "l/",     "m/",  "ld/", "h",      "d/s/n4",
};

static const uint64_t hostile_pointers[] = {
	0,
	1,
	UNMAPPED,
	READ_ONLY,
	0xffffffff80100000,
	0x800000000000,
	0x7ffffffff000,
	-1ul,
	-8ul,
	ARENA + NR_SLOTS *SLOT_SIZE - 3,
};

static uint64_t slot(int arg)
{
	return ARENA + (uint64_t)arg * SLOT_SIZE;
}

static uint64_t draw_hostile_pointer(char *text)
{
	uint64_t p = hostile_pointers[random_below(ARRAY_SIZE(hostile_pointers))];

	sprintf(text, "%#lx", p);
	return p;
}

static uint64_t draw_path(struct drawn *d, int arg)
{
	char *to = (char *)slot(arg);
	uint64_t n = random_below(100);

	if (n < 4)
		return draw_hostile_pointer(d->text[arg]);
	if (n < 7) { /* too long, or just not */
		size_t len = (size_t[]){ 255, 256, 4094, 4096 }[random_below(4)];

		memset(to, 'x', len);
		if (len > 256)
			for (size_t i = 100; i < len; i += 100)
				to[i] = '/';
		if (len < SLOT_SIZE)
			to[len] = 0;
		sprintf(d->text[arg], "\"x…\"*%zu", len);
		return slot(arg);
	}
	strcpy(to, paths[random_below(ARRAY_SIZE(paths))]);
	sprintf(d->text[arg], "\"%s\"", to);
	return slot(arg);
}

static uint64_t draw_string(struct drawn *d, int arg)
{
	static const char *const names[] = {
		"trusted.a", "security.a", "a", "", "trusted.bb", "security.", "d/e", "../a",
	};

	if (random_below(20) == 0)
		return draw_hostile_pointer(d->text[arg]);
	strcpy((char *)slot(arg), names[random_below(ARRAY_SIZE(names))]);
	sprintf(d->text[arg], "\"%s\"", (char *)slot(arg));
	return slot(arg);
}

static uint64_t draw_fd(struct drawn *d, int arg)
{
	static const int odd[] = { -1, 63, 64, 1000, INT32_MAX, INT32_MIN, AT_FDCWD, -2 };
	const char *name = d->call->args[arg].name;
	long fd = (long)random_below(21);

	if (strstr(name, "dirfd") && random_below(2))
		fd = AT_FDCWD;
	else if (random_below(20) == 0)
		fd = odd[random_below(ARRAY_SIZE(odd))];
	sprintf(d->text[arg], fd == AT_FDCWD ? "cwd" : "%ld", fd);
	return (uint64_t)fd;
}

/* Never all processes, and none that is not of this program. */
static uint64_t draw_pid(struct drawn *d, int arg)
{
	uint64_t n = random_below(12);

	if (n >= 3 && n < 7) {
		strcpy(d->text[arg], "self");
		return (uint64_t)getpid();
	}
	if (n == 7) {
		n = random_below(MAX_CHILDREN);
		sprintf(d->text[arg], "child%lu", n);
		return n < (uint64_t)nr_children ? (uint64_t)children[n] : 99999999;
	}
	if (n == 8) {
		strcpy(d->text[arg], "-self");
		return (uint64_t)-getpid();
	}
	if (n == 9)
		n = 99999999;
	else if (n == 10)
		n = (uint64_t)INT32_MIN;
	else if (n == 11 && !strncmp(d->call->name, "wait", 4))
		n = -1ul;
	else
		n = 0;
	sprintf(d->text[arg], "%ld", (long)n);
	return n;
}

static uint64_t draw_address(struct drawn *d, int arg)
{
	static const uint64_t odd[] = { 0, 1, 0x7ffffffff000, 0x800000000000, -4096ul, UNMAPPED };
	uint64_t a = PLAYGROUND + random_below(12) * 4096;

	if (random_below(12) == 0)
		a = odd[random_below(ARRAY_SIZE(odd))];
	else if (random_below(12) == 0)
		a++;
	sprintf(d->text[arg], "%#lx", a);
	return a;
}

static uint64_t draw_size(const struct call *c, const char *name)
{
	static const uint64_t odd[] = { -1ul, 1ul << 31, 1ul << 20, INT64_MAX, 65536, 0 };

	if (c->args[0].kind == KIND_address && strstr(name, "len")) {
		if (random_below(12) == 0)
			return odd[random_below(ARRAY_SIZE(odd))];
		return random_below(10) ? (1 + random_below(6)) * 4096 : random_below(9000);
	}
	if (random_below(16) == 0)
		return odd[random_below(ARRAY_SIZE(odd))];
	return random_below(3) ? random_below(64) : random_below(SLOT_SIZE + 1);
}

static uint64_t draw_plain(const struct call *c, int arg)
{
	static const uint64_t offsets[] = { 0,    1,         10,   999,       1000, 4096,
					    5000, 1ul << 20, -1ul, INT64_MAX, 8192, 65536 };
	static const uint64_t modes[] = { 0,
					  0644,
					  0777,
					  07777,
					  0600,
					  0400,
					  0200,
					  0100,
					  0755,
					  S_IFREG | 0644,
					  S_IFIFO | 0644,
					  S_IFCHR | 0666,
					  S_IFDIR | 0755,
					  S_IFSOCK | 0600,
					  0xffff,
					  02755,
					  04755 };
	static const uint64_t uids[] = { 0, 1000, 1000, 1001, -1ul, 65534, 0x12345 };
	static const uint64_t clocks[] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 10, -1ul, -2ul };
	uint64_t n = random_below(10);

	switch (c->args[arg].kind) {
	case KIND_size:
		return draw_size(c, c->args[arg].name);
	case KIND_offset:
		return offsets[random_below(ARRAY_SIZE(offsets))];
	case KIND_mode:
		return modes[random_below(ARRAY_SIZE(modes))];
	case KIND_uid:
		return uids[random_below(ARRAY_SIZE(uids))];
	case KIND_clock:
		return clocks[random_below(ARRAY_SIZE(clocks))];
	case KIND_signal: {
		static const uint64_t signals[] = { 0,  1,  2,  10, 12, 13, 14, 15,  17,
						    18, 23, 28, 34, 40, 63, 65, -1ul };

		return signals[random_below(ARRAY_SIZE(signals))];
	}
	default:
		break;
	}
	if (strstr(c->args[arg].name, "len") || strstr(c->args[arg].name, "size") ||
	    !strcmp(c->args[arg].name, "count"))
		return draw_size(c, c->args[arg].name);
	if (n < 6)
		return random_below(4);
	if (n < 8)
		return 1ul << random_below(32);
	return n == 8 ? -1ul : random_below(70000);
}

static uint64_t draw_pointer(struct drawn *d, int arg)
{
	const char *name = d->call->args[arg].name;
	uint64_t n = random_below(100);

	if (n < 6)
		return draw_hostile_pointer(d->text[arg]);
	if (n < 20 && strcmp(name, "buf") && strcmp(name, "stat")) {
		strcpy(d->text[arg], "NULL");
		return 0;
	}
	sprintf(d->text[arg], "@%d", arg);
	if (d->call->args[arg].kind != KIND_user_out)
		build_input(d, arg, slot(arg));
	return slot(arg);
}

static uint64_t draw_argument(struct drawn *d, int arg)
{
	uint64_t value;

	switch (d->call->args[arg].kind) {
	case KIND_fd:
		return draw_fd(d, arg);
	case KIND_user_path:
		return draw_path(d, arg);
	case KIND_user_string:
		return draw_string(d, arg);
	case KIND_pid:
		return draw_pid(d, arg);
	case KIND_address:
		return draw_address(d, arg);
	case KIND_user_in:
	case KIND_user_out:
	case KIND_user_inout:
		return draw_pointer(d, arg);
	default:
		break;
	}
	if (random_below(40) == 0 || !draw_known_value(d->call, arg, &value))
		value = draw_plain(d->call, arg);
	sprintf(d->text[arg], value < 10 ? "%ld" : "%#lx", value);
	return value;
}

/*
 * Values that a call as such may have but that would block for good, reach
 * other programs, or depend on the machine's speed.
 */
static void tame(struct drawn *d)
{
	const char *name = d->call->name;

	for (int i = 0; i < 6 && d->call->args[i].kind != KIND_none; i++) {
		if (strcmp(d->call->args[i].name, "who") || !d->value[i] ||
		    !strcmp(name, "getrusage"))
			continue;
		d->value[i] = 99999999; /* the numbers of others are of the machine */
		strcpy(d->text[i], "99999999");
	}

	if (!strcmp(name, "mmap") && !(d->value[3] & MAP_FIXED) && d->value[0] != 0) {
		d->value[3] |= MAP_FIXED;
		sprintf(d->text[3], "%#lx", d->value[3]);
	}
	if ((!strcmp(name, "wait4") || !strcmp(name, "waitid")) &&
	    !(d->value[!strcmp(name, "wait4") ? 2 : 3] & WNOHANG) && random_below(8)) {
		int arg = !strcmp(name, "wait4") ? 2 : 3;

		d->value[arg] |= WNOHANG;
		sprintf(d->text[arg], "%#lx", d->value[arg]);
	}
	if (!strcmp(name, "fcntl") &&
	    ((int)d->value[1] == F_SETOWN || (int)d->value[1] == F_SETOWN_EX)) {
		d->value[2] = 0;
		strcpy(d->text[2], "0");
	}
	if (!strcmp(name, "ioctl") && (int)d->value[1] == 0x8901 /* FIOSETOWN */) {
		d->value[2] = 0;
		strcpy(d->text[2], "0");
	}
	if (!strcmp(name, "rt_sigaction") && d->value[0] == WAKE_SIGNAL) {
		d->value[0] = 10;
		strcpy(d->text[0], "10");
	}
	if ((!strcmp(name, "prctl") &&
	     (d->value[0] == 22 || d->value[0] == 26 || d->value[0] == 59)) ||
	    (!strcmp(name, "arch_prctl") && d->value[0] == 0x1002)) {
		d->value[0] = 999;
		strcpy(d->text[0], "999");
	}
}

static const struct call *choose_call(void)
{
	const struct call *c;

	if (random_below(40) == 0)
		return &all_calls[nr_all_calls - 1];
	do {
		c = &all_calls[random_below(nr_all_calls)];
	} while (call_is_left_out(c));
	return c;
}

void call_draw(struct drawn *d, uint64_t seed, int index)
{
	random_state = seed * 0x9e3779b97f4a7c15 ^ (uint64_t)(index + 1) * 0xd1b54a32d192ed03;
	for (int i = 0; i < 4; i++)
		random_bits();
	for (uint64_t *p = (uint64_t *)ARENA; p < (uint64_t *)(ARENA + NR_SLOTS * SLOT_SIZE); p++)
		*p = 0x0101010101010101 * (uint64_t)(1 + (index + ((uint64_t)p >> 12)) % 200);
	*d = (struct drawn){ .call = choose_call(), .index = index };
	for (int i = 0; i < 6 && d->call->args[i].kind != KIND_none; i++)
		d->value[i] = draw_argument(d, i);
	tame(d);
	if (!strcmp(d->call->name, "fcntl") || !strcmp(d->call->name, "ioctl"))
		build_lock(ARENA + 2 * SLOT_SIZE);
}
