/* The line of a call: what two kernels must agree on. */
#include "calls.h"

#include <dirent.h>
#include <sys/socket.h>
#include <sys/statfs.h>

/* Results that are numbers of processes, or depend on the clock. */
static bool is_in(const char *name, const char *const *list)
{
	for (; *list; list++)
		if (!strcmp(name, *list))
			return true;
	return false;
}

static const char *const of_pids[] = { "getpid", "gettid", "getppid", "getpgrp", "getpgid",
				       "getsid", "setsid", "wait4",   "spawn",   NULL };
static const char *const of_classes[] = { "time", "times", "alarm", "brk", "kcmp", NULL };
static const char *const of_addresses[] = { "mmap", "mremap", "shmat", NULL };
/* What these write is not compared: times, numbers of processes and inodes, sizes of the machine. */
static const char *const of_no_digest[] = { "gettimeofday",
					    "clock_gettime",
					    "time",
					    "times",
					    "getrandom",
					    "uname",
					    "sysinfo",
					    "getrusage",
					    "statfs",
					    "fstatfs",
					    "getitimer",
					    "setitimer",
					    "timer_gettime",
					    "timer_settime",
					    "timerfd_gettime",
					    "timerfd_settime",
					    "nanosleep",
					    "clock_nanosleep",
					    "get_robust_list",
					    "getcpu",
					    "waitid",
					    "sched_getaffinity",
					    "arch_prctl",
					    "wait4",
					    "rt_sigtimedwait",
					    "clock_getres",
					    "getdents",
					    "getdents64",
					    "sched_rr_get_interval",
					    "futex",
					    "timer_create",
					    NULL };

static void show_pid(char *to, long pid)
{
	if (pid == getpid()) {
		strcpy(to, "self");
		return;
	}
	if (pid == getppid()) {
		strcpy(to, "parent");
		return;
	}
	for (int i = 0; i < nr_children; i++)
		if (children[i] == pid) {
			sprintf(to, "child%d", i);
			return;
		}
	sprintf(to, pid > 0 ? "other" : "%ld", pid);
}

static void show_result(char *to, const struct drawn *d, long result)
{
	const char *name = d->call->name;

	if (result < 0 && result > -4096) {
		const char *error = strerrorname_np((int)-result);

		if (error)
			strcpy(to, error);
		else
			sprintf(to, "%ld", result);
	} else if (is_in(name, of_pids)) {
		show_pid(to, result);
	} else if (is_in(name, of_classes)) {
		strcpy(to, result ? "some" : "0");
	} else if (is_in(name, of_addresses)) {
		if (result >= (long)PLAYGROUND && result < (long)(PLAYGROUND + PLAYGROUND_SIZE))
			sprintf(to, "%#lx", result);
		else
			strcpy(to, "somewhere");
	} else if (!strncmp(name, "getdents", 8)) {
		strcpy(to, result ? "entries" : "0");
	} else if (!strcmp(name, "fcntl") && ((int)d->value[1] == F_GETOWN || result > 4096)) {
		if ((int)d->value[1] == F_GETOWN)
			show_pid(to, result);
		else
			sprintf(to, "%ld", result);
	} else {
		sprintf(to, "%ld", result);
	}
}

/* ---- memory ---- */

/* Takes out of a structure what differs from machine to machine. */
static void clear(uint64_t at, size_t from, size_t to)
{
	memset((char *)at + from, 0, to - from);
}

static void normalise_stat(uint64_t at)
{
	struct stat *s = (struct stat *)at;

	s->st_dev = s->st_ino = 0;
	if (S_ISDIR(s->st_mode))
		s->st_size = 0;
	s->st_blocks = 0;
	clear(at, offsetof(struct stat, st_atim), sizeof(*s));
}

static void normalise_statx(uint64_t at)
{
	struct statx *s = (struct statx *)at;

	s->stx_ino = s->stx_dev_major = s->stx_dev_minor = s->stx_mnt_id = 0;
	if (S_ISDIR(s->stx_mode))
		s->stx_size = 0;
	s->stx_blocks = 0;
	s->stx_attributes = s->stx_attributes_mask = 0;
	s->stx_mask &= STATX_BASIC_STATS;
	clear(at, offsetof(struct statx, stx_atime), offsetof(struct statx, stx_rdev_major));
	clear(at, offsetof(struct statx, stx_dev_major), sizeof(*s));
}

static void normalise_memory(struct drawn *d, long result)
{
	const char *name = d->call->name;

	if (!strcmp(name, "ppoll"))
		clear(ARENA + 2 * SLOT_SIZE, 0, 16); /* what is left of the time */
	if (!strcmp(name, "select") || !strcmp(name, "pselect6"))
		clear(ARENA + 4 * SLOT_SIZE, 0, 16);
	if (result < 0)
		return;
	if (!strcmp(name, "stat") || !strcmp(name, "lstat") || !strcmp(name, "fstat"))
		normalise_stat(d->value[1]);
	else if (!strcmp(name, "newfstatat"))
		normalise_stat(d->value[2]);
	else if (!strcmp(name, "statx"))
		normalise_statx(d->value[4]);
}

/* Of what changed, and where: 0 when nothing did. */
static uint64_t digest(const uint64_t *before)
{
	const uint64_t *now = (const uint64_t *)ARENA;
	uint64_t hash = 0;

	for (uint64_t i = 0; i < NR_SLOTS * SLOT_SIZE / 8; i++)
		if (now[i] != before[i])
			hash = (hash ^ now[i] ^ i << 48) * 0x9e3779b97f4a7c15 ^ hash >> 29;
	return hash;
}

/* The first bytes of what changed, so that one sees what it is. */
static int show_bytes(char *to, size_t size, const uint64_t *before)
{
	const unsigned char *now = (const unsigned char *)ARENA;
	const unsigned char *old = (const unsigned char *)before;
	size_t i = 0;
	int n;

	while (i < NR_SLOTS * SLOT_SIZE && now[i] == old[i])
		i++;
	i &= ~3ul;
	n = snprintf(to, size, "@%zu+%zu:", i / SLOT_SIZE, i % SLOT_SIZE);
	for (int k = 0; k < 20 && i < NR_SLOTS * SLOT_SIZE; k++, i++)
		n += snprintf(to + n, size - (size_t)n, "%s%02x", k % 4 ? "" : " ", now[i]);
	return n;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Names in order, for a directory has none. */
static int show_names(char *to, size_t size, uint64_t at, long len, bool old)
{
	char *names[64];
	size_t nr = 0;
	int n = 0;

	for (long i = 0; i < len && nr < ARRAY_SIZE(names);) {
		uint16_t step = *(uint16_t *)(at + (uint64_t)i + 16);

		names[nr++] = (char *)(at + (uint64_t)i + (old ? 18 : 19));
		if (step == 0)
			break;
		i += step;
	}
	qsort(names, nr, sizeof(*names), compare_names);
	for (size_t i = 0; i < nr && n < (int)size - 40; i++)
		n += snprintf(to + n, size - (size_t)n, " %.20s", names[i]);
	return n;
}

void show_call(char *line, size_t size, struct drawn *d, long result, const uint64_t *before)
{
	const char *name = d->call->name;
	char text[64];
	int n = snprintf(line, size, "%d %s(", d->index, name);

	for (int i = 0; i < 6 && d->call->args[i].kind != KIND_none; i++)
		n += snprintf(line + n, size - (size_t)n, "%s%s", i ? ", " : "", d->text[i]);
	show_result(text, d, result);
	n += snprintf(line + n, size - (size_t)n, ") = %s", text);
	normalise_memory(d, result);
	if (!strncmp(name, "getdents", 8)) {
		if (result > 0 && d->value[2] >= 1024)
			n += show_names(line + n, size - (size_t)n, d->value[1], result,
					!strcmp(name, "getdents"));
		return;
	}
	if (!strcmp(name, "getsockopt") && d->value[2] == 17 /* SO_PEERCRED */)
		return;
	if (is_in(name, of_no_digest) || digest(before) == 0)
		return;
	n += snprintf(line + n, size - (size_t)n, " #%lx ", digest(before));
	show_bytes(line + n, size - (size_t)n, before);
}
