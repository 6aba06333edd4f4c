/* What pointers point to: structures by the name that linux/syscalls.def gives the argument. */
#include "calls.h"

#include <linux/capability.h>
#include <linux/openat2.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>

static uint64_t pick(const uint64_t *list, size_t nr)
{
	return list[random_below(nr)];
}
#define ONE_OF(...)                                                                                \
	pick((const uint64_t[]){ __VA_ARGS__ }, ARRAY_SIZE(((const uint64_t[]){ __VA_ARGS__ })))

/* The slots behind those of the arguments: where structures point to. */
static uint64_t other_slot(void)
{
	return ARENA + (6 + random_below(2)) * SLOT_SIZE;
}

static void build_vector(uint64_t at, int nr)
{
	struct iovec *v = (struct iovec *)at;

	for (int i = 0; i < nr; i++) {
		v[i].iov_base = (void *)(random_below(20) ? other_slot() + random_below(64) :
							    ONE_OF(0, UNMAPPED, READ_ONLY, -8ul));
		v[i].iov_len =
			random_below(20) ? random_below(300) : ONE_OF(0, 4096, -1ul, 1ul << 31);
	}
}

static uint64_t build_signal_set(void)
{
	return random_bits() & random_bits() & ~(1ul << (WAKE_SIGNAL - 1));
}

/* Seconds and a fraction, nothing that would end while other calls run. */
static void build_time(uint64_t at, bool may_be_short)
{
	int64_t *t = (int64_t *)at;

	t[0] = (int64_t)ONE_OF(0, 0, 0, 1000, -1ul);
	t[1] = t[0] == 0 ? (int64_t)ONE_OF(0, 0, 1000000000, -1ul) :
			   (int64_t)ONE_OF(0, 0, 999999, 1000000000, -1ul);
	if (may_be_short && random_below(2)) {
		t[0] = 0;
		t[1] = (int64_t)ONE_OF(0, 1, 1000);
	}
}

static void build_message(uint64_t at)
{
	struct msghdr *m = (struct msghdr *)at;
	struct cmsghdr *c = (struct cmsghdr *)(ARENA + 6 * SLOT_SIZE + 2048);

	memset(m, 0, sizeof(*m));
	m->msg_iov = (struct iovec *)(at + 1024);
	m->msg_iovlen = ONE_OF(1, 1, 2, 0, 1025);
	build_vector(at + 1024, 2);
	if (random_below(3) == 0) {
		m->msg_name = (void *)(at + 2048);
		m->msg_namelen = (socklen_t)ONE_OF(0, 2, 10, 110, 128, -1ul);
		*(struct sockaddr_un *)(at + 2048) = (struct sockaddr_un){ AF_UNIX, "sock" };
	}
	if (random_below(2)) {
		m->msg_control = c;
		m->msg_controllen = ONE_OF(CMSG_SPACE(4), CMSG_SPACE(8), 100, 4, 0);
		c->cmsg_level = random_below(8) ? SOL_SOCKET : 99;
		c->cmsg_type = random_below(8) ? SCM_RIGHTS : 77;
		c->cmsg_len = ONE_OF(CMSG_LEN(4), CMSG_LEN(8), CMSG_LEN(4), 0, 1000);
		((int *)CMSG_DATA(c))[0] = (int)random_below(20);
		((int *)CMSG_DATA(c))[1] = (int)random_below(20);
	}
	m->msg_flags = (int)random_below(3);
}

static void build_address(uint64_t at)
{
	static const char *const names[] = { "sock", "s2", "a", "d/sock", "\0abc", "\0xyz", "" };
	struct sockaddr_un *a = (struct sockaddr_un *)at;

	memset(a, 0, sizeof(*a));
	a->sun_family = (sa_family_t)(random_below(10) ? AF_UNIX : random_below(50));
	memcpy(a->sun_path, names[random_below(ARRAY_SIZE(names))], 4);
}

static void build_action(uint64_t at)
{
	uint64_t *a = (uint64_t *)at;

	a[0] = ONE_OF(0, 1, (uint64_t)handle_signal, (uint64_t)handle_signal,
		      (uint64_t)handle_signal);
	a[1] = 0x04000000 |
	       (random_below(3) ? 0 : ONE_OF(0x10000000, 0x40000000, 0x80000000, 1, 2, 4));
	a[3] = build_signal_set();
	/* The restorer is the C library's: filled in by the caller's own action. */
	struct sigaction own;

	if (sigaction(WAKE_SIGNAL, NULL, &own) == 0) {
		struct {
			uint64_t handler, flags, restorer, mask;
		} kernel;

		syscall(SYS_rt_sigaction, WAKE_SIGNAL, NULL, &kernel, 8);
		a[2] = kernel.restorer;
	}
}

static void build_poll(uint64_t at)
{
	struct {
		int fd;
		short events, revents;
	} *p = (void *)at;

	for (int i = 0; i < 16; i++) {
		p[i].fd = random_below(10) ? (int)random_below(20) : -1;
		p[i].events = (short)ONE_OF(1, 4, 5, 0, 0x2000, 0x3ff);
		p[i].revents = 0x55;
	}
}

void build_lock(uint64_t at)
{
	struct flock *l = (struct flock *)at;

	memset(l, 0, sizeof(*l));
	l->l_type = (short)random_below(4);
	l->l_whence = (short)random_below(4);
	l->l_start = (off_t)ONE_OF(0, 1, 10, 100, -1ul, INT64_MAX);
	l->l_len = (off_t)ONE_OF(0, 1, 10, -1ul, -10ul, INT64_MAX);
}

static bool is(const struct drawn *d, const char *call)
{
	return !strcmp(d->call->name, call);
}

static void build_set(struct drawn *d, uint64_t at)
{
	uint64_t *p = (uint64_t *)at;

	if (is(d, "pselect6")) {
		p[0] = at + 64;
		p[1] = ONE_OF(8, 8, 8, 4);
		p[8] = build_signal_set();
	} else if (strstr(d->call->name, "affinity")) {
		p[0] = ONE_OF(1, 1, 1, 0, 3);
	} else {
		p[0] = build_signal_set();
	}
}

/* Structures of four numbers and fewer, by the name of the call. */
static bool build_by_call(struct drawn *d, uint64_t at)
{
	uint64_t *p = (uint64_t *)at;
	uint32_t *w = (uint32_t *)at;

	if (is(d, "setitimer") || is(d, "timer_settime") || is(d, "timerfd_settime")) {
		build_time(at, false);
		build_time(at + 16, false);
	} else if (is(d, "timer_create")) {
		memset(p, 0, 64);
		w[2] = (uint32_t)ONE_OF(10, 12, 34, 0, 65);
		w[3] = (uint32_t)ONE_OF(0, 0, 1, 2, 99);
	} else if (is(d, "epoll_ctl")) {
		*(struct epoll_event *)at =
			(struct epoll_event){ (uint32_t)ONE_OF(1, 4, 5, 0x80000001, 0x40000001,
							       0x2000, 0x10000001, 0),
					      { .u64 = random_below(100) } };
	} else if (is(d, "sigaltstack")) {
		p[0] = PLAYGROUND;
		p[1] = ONE_OF(0, 0, 2, 1, 0x80000000);
		p[2] = ONE_OF(8192, 2048, 100, 2047);
	} else if (is(d, "openat2")) {
		memset(p, 0, 64);
		p[0] = ONE_OF(0, O_RDWR, O_CREAT | O_RDWR, O_PATH, O_DIRECTORY, 1ul << 40,
			      O_TMPFILE);
		p[1] = random_below(2) ? 0 : ONE_OF(0644, 07777, 0x10000);
		p[2] = ONE_OF(0, 1, 2, 4, 8, 16, 32, 64);
		p[3] = random_below(8) == 0;
	} else if (is(d, "setrlimit") || is(d, "prlimit64")) {
		p[0] = ONE_OF(64, 1000, -1ul, 40);
		p[1] = ONE_OF(64, 1000, -1ul, 40);
	} else if (strncmp(d->call->name, "sched_set", 9) == 0 && !is(d, "sched_setaffinity")) {
		memset(p, 0, 128);
		w[0] = (uint32_t)ONE_OF(48, 48, 56, 0, 1, 50, 100, -1ul);
		w[1] = (uint32_t)ONE_OF(0, 3, 5, 1, 6, 99);
		w[4] = (uint32_t)ONE_OF(0, 1, 5, -1ul, 30);
	} else if (is(d, "capget") || is(d, "capset")) {
		w[0] = (uint32_t)ONE_OF(0x20080522, 0x20080522, 0x19980330, 0x20071026, 5);
		w[1] = 0;
		if (is(d, "capset") && w[0] != 0x20080522)
			w[0] = 0;
	} else if (is(d, "setgroups")) {
		for (int i = 0; i < 64; i++)
			w[i] = (uint32_t)random_below(2000);
	} else if (is(d, "setsockopt")) {
		p[0] = ONE_OF(0, 1, 2, 100, 65536, -1ul);
		p[1] = ONE_OF(0, 1, 1000000);
	} else if (is(d, "futex")) {
		w[0] = (uint32_t)ONE_OF(0, 0, 0, 99999999, 0x80000000);
	} else {
		return false;
	}
	return true;
}

static bool ends_with_time(const char *name)
{
	static const char *const names[] = { "timeout", "time", "times", "request", "tv" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (!strcmp(name, names[i]))
			return true;
	return false;
}

void build_input(struct drawn *d, int arg, uint64_t at)
{
	const char *name = d->call->args[arg].name;
	uint64_t *p = (uint64_t *)at;

	if (!strcmp(name, "vec") || !strcmp(name, "local") || !strcmp(name, "remote")) {
		build_vector(at, 16);
	} else if (ends_with_time(name)) {
		bool stamps = strstr(d->call->name, "utime") != NULL;

		build_time(at, !stamps);
		build_time(at + 16, !stamps);
		if (stamps && random_below(2))
			p[random_below(2) * 2 + 1] = ONE_OF(UTIME_NOW, UTIME_OMIT);
	} else if (!strcmp(name, "fds")) {
		build_poll(at);
	} else if (!strcmp(name, "in") || !strcmp(name, "out") || !strcmp(name, "except")) {
		memset(p, 0, 128);
		p[0] = random_bits() & random_bits() & 0x1ffff;
	} else if (!strcmp(name, "act")) {
		build_action(at);
	} else if (!strcmp(name, "msg") && strncmp(d->call->name, "mq_", 3)) {
		build_message(at);
	} else if (!strcmp(name, "msgs")) {
		build_message(at);
		memcpy((void *)(at + 64), (void *)at, 64);
	} else if (!strcmp(name, "addr")) {
		build_address(at);
	} else if (!strcmp(name, "len") || !strcmp(name, "addr_len")) {
		*(uint32_t *)at = (uint32_t)ONE_OF(0, 4, 16, 110, 128, -1ul, 2, 3);
	} else if (strstr(name, "offset") || strstr(name, "_pos")) {
		p[0] = ONE_OF(0, 1, 10, 1000, 5000, -1ul, INT64_MAX);
	} else if (strstr(name, "mask") || !strcmp(name, "set")) {
		build_set(d, at);
	} else if (!build_by_call(d, at) && d->call->args[arg].kind == KIND_user_inout) {
		p[0] = random_below(3);
	}
}
