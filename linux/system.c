/* The system as a whole: names, figures, limits, usage, random bytes, power, the log. */
#include "syscalls.h"
#include "usage.h"

#include <nos/arch.h>
#include <nos/init.h>
#include <nos/log.h>
#include <nos/process.h>
#include <nos/random.h>
#include <nos/slab.h>
#include <nos/string.h>

#include <linux/capability.h>
#include <linux/random.h>
#include <linux/reboot.h>
#include <linux/sysinfo.h>
#include <linux/times.h>
#include <linux/utsname.h>

#define CLOCK_TICK_NS (NSEC_PER_SEC / 100)

/* ---- names ---- */

long sys_uname(void __user *buf)
{
	struct uts_namespace *u = task_current()->uts;
	u32 sequence;

	do {
		sequence = seq_read_begin(&u->sequence);
		if (copy_to_user(buf, &u->names, sizeof(u->names)))
			return -EFAULT;
	} while (seq_read_retry(&u->sequence, sequence));
	return 0;
}

static long set_name(char *field, const void __user *name, int len)
{
	char text[UTS_LENGTH];

	if (!capable(CAP_SYS_ADMIN))
		return -EPERM;
	if (len < 0 || len > UTS_LENGTH)
		return -EINVAL;
	if (copy_from_user(text, name, (size_t)len))
		return -EFAULT;
	uts_set_name(task_current()->uts, field, text, (size_t)len);
	return 0;
}

long sys_sethostname(const void __user *name, int len)
{
	return set_name(task_current()->uts->names.nodename, name, len);
}

long sys_setdomainname(const void __user *name, int len)
{
	return set_name(task_current()->uts->names.domainname, name, len);
}

/* ---- figures ---- */

long sys_sysinfo(void __user *info)
{
	struct sysinfo s = { .mem_unit = 1 };
	struct memory_stats m;
	u32 load[3];

	memory_stats_read(&m);
	sched_load_average(load);
	s.uptime = (long)(clock_boottime_ns() / NSEC_PER_SEC);
	/* 11 bits of fraction here, 16 there. */
	for (int i = 0; i < 3; i++)
		s.loads[i] = (unsigned long)load[i] << 5;
	s.totalram = m.total * PAGE_SIZE;
	s.freeram = m.free * PAGE_SIZE;
	s.sharedram = m.shmem * PAGE_SIZE;
	s.bufferram = 0;
	s.procs = (u16)min(task_count(), 65535u);
	return put_user(s, (struct sysinfo __user *)info);
}

long sys_getrusage(int who, void __user *usage)
{
	struct usage u;

	switch (who) {
	case RUSAGE_SELF:
		process_usage(process_current(), &u);
		break;
	case RUSAGE_CHILDREN:
		process_usage_children(process_current(), &u);
		break;
	case RUSAGE_THREAD:
		task_usage(task_current(), &u);
		break;
	default:
		return -EINVAL;
	}
	return usage_to_user(usage, &u);
}

long sys_times(void __user *buf)
{
	struct usage children;
	u64 user_ns, system_ns;

	if (buf) {
		process_cpu_times(process_current(), &user_ns, &system_ns);
		process_usage_children(process_current(), &children);
		struct tms t = {
			(long)(user_ns / CLOCK_TICK_NS),
			(long)(system_ns / CLOCK_TICK_NS),
			(long)(children.user_ns / CLOCK_TICK_NS),
			(long)(children.system_ns / CLOCK_TICK_NS),
		};

		if (put_user(t, (struct tms __user *)buf))
			return -EFAULT;
	}
	return (long)(clock_boottime_ns() / CLOCK_TICK_NS);
}

long sys_getcpu(void __user *cpu, void __user *node, void __user *unused)
{
	u32 here = cpu_id(); /* once: the store may move this thread */

	if (cpu && put_user(here, (u32 __user *)cpu))
		return -EFAULT;
	return node ? put_user(*per_cpu_ptr(this_numa_node, here), (u32 __user *)node) : 0;
}

/* ---- limits ---- */

static long change_limit(struct process *p, unsigned resource, const void __user *new,
			 void __user *old)
{
	struct rlimit_pair given, was;
	int err;

	if (new &&get_user(given, (const struct rlimit_pair __user *)new))
		return -EFAULT;
	err = process_change_limit(p, resource, new ? &given : NULL, &was);
	if (err)
		return err;
	return old ? put_user(was, (struct rlimit_pair __user *)old) : 0;
}

long sys_getrlimit(unsigned int resource, void __user *limit)
{
	struct rlimit_pair was;
	int err = process_change_limit(process_current(), resource, NULL, &was);

	return err ? err : put_user(was, (struct rlimit_pair __user *)limit);
}

long sys_setrlimit(unsigned int resource, const void __user *limit)
{
	struct rlimit_pair given;
	int err;

	if (get_user(given, (const struct rlimit_pair __user *)limit))
		return -EFAULT;
	err = process_change_limit(process_current(), resource, &given, NULL);
	return err;
}

static int may_change_limits(struct task *t)
{
	const struct cred *me = cred_current(), *c;
	bool same;

	if (t->process == process_current() || cred_has(me, CAP_SYS_RESOURCE))
		return 0;
	c = task_get_cred(t);
	same = me->uid == c->euid && me->uid == c->suid && me->uid == c->uid &&
	       me->gid == c->egid && me->gid == c->sgid && me->gid == c->gid;
	cred_put(c);
	return same ? 0 : -EPERM;
}

long sys_prlimit64(int pid, unsigned int resource, const void __user *new, void __user *old)
{
	struct rlimit_pair given;
	struct task *t;
	long err;

	if (pid == 0)
		return change_limit(process_current(), resource, new, old);
	if (new &&get_user(given, (const struct rlimit_pair __user *)new))
		return -EFAULT;
	t = task_get(pid);
	if (!t)
		return -ESRCH;
	err = may_change_limits(t);
	if (!err)
		err = change_limit(t->process, resource, new, old);
	task_put(t);
	return err;
}

/* ---- random bytes ---- */

#define GETRANDOM_WORDS 8u /* on the stack at once */

/* Up to GETRANDOM_WORDS words: bytes given, 0 if none could be copied. */
static __always_inline size_t getrandom_few(char __user *to, size_t len)
{
	u64 words[GETRANDOM_WORDS];
	size_t left;

	random_take(words, (u32)(len + 7) / 8);
	left = copy_to_user(to, words, len);
	for (u32 i = 0; i < GETRANDOM_WORDS; i++)
		WRITE_ONCE(words[i], 0);
	return len - left;
}

static __noinline long getrandom_many(char __user *to, size_t len, u32 flags)
{
	size_t done = 0;

	if (flags & ~(unsigned)(GRND_NONBLOCK | GRND_RANDOM | GRND_INSECURE) ||
	    (flags & (GRND_RANDOM | GRND_INSECURE)) == (GRND_RANDOM | GRND_INSECURE))
		return -EINVAL;
	if (unlikely(!random_is_seeded()) && !(flags & GRND_INSECURE) && (flags & GRND_NONBLOCK))
		return -EAGAIN;
	len = min(len, (size_t)INT32_MAX);
	while (done < len) {
		size_t want = min(len - done, sizeof(u64) * GETRANDOM_WORDS);
		size_t n = getrandom_few(to + done, want);

		done += n;
		if (n < want)
			return done ? (long)done : -EFAULT;
		if (done < len && signal_is_pending())
			break;
	}
	return (long)done;
}

__hot long sys_getrandom(void __user *buf, size_t len, unsigned int flags)
{
	size_t n;

	if (unlikely(flags || len - 1 >= sizeof(u64) * GETRANDOM_WORDS))
		return getrandom_many(buf, len, flags);
	n = getrandom_few(buf, len);
	return likely(n) ? (long)n : -EFAULT;
}

/* ---- power ---- */

long sys_reboot(int magic1, int magic2, unsigned int cmd, void __user *arg)
{
	if (!capable(CAP_SYS_BOOT))
		return -EPERM;
	if ((u32)magic1 != LINUX_REBOOT_MAGIC1 ||
	    (magic2 != LINUX_REBOOT_MAGIC2 && magic2 != LINUX_REBOOT_MAGIC2A &&
	     magic2 != LINUX_REBOOT_MAGIC2B && magic2 != LINUX_REBOOT_MAGIC2C))
		return -EINVAL;
	switch (cmd) {
	case LINUX_REBOOT_CMD_RESTART:
	case LINUX_REBOOT_CMD_RESTART2:
		log_notice("restart");
		arch_reboot();
	case LINUX_REBOOT_CMD_POWER_OFF:
	case LINUX_REBOOT_CMD_HALT:
		log_notice("power off");
		arch_power_off();
	case LINUX_REBOOT_CMD_CAD_ON:
	case LINUX_REBOOT_CMD_CAD_OFF:
		return 0;
	default:
		return -EINVAL;
	}
}

/* ---- the log: syslog(2), as dmesg uses it ---- */

enum {
	SYSLOG_CLOSE,
	SYSLOG_OPEN,
	SYSLOG_READ,
	SYSLOG_READ_ALL,
	SYSLOG_READ_CLEAR,
	SYSLOG_CLEAR,
	SYSLOG_CONSOLE_OFF,
	SYSLOG_CONSOLE_ON,
	SYSLOG_CONSOLE_LEVEL,
	SYSLOG_SIZE_UNREAD,
	SYSLOG_SIZE_BUFFER,
};
#define LINE_MAX 1200
#define LOG_BYTES (256 << 10)

static u64 syslog_position;

static int format_record(char *line, size_t size, const struct log_record *r, const char *text)
{
	u64 usec = r->time_ns / NSEC_PER_USEC;

	return snprintf(line, size, "<%u>[%5llu.%06llu] %.*s\n",
			(unsigned)r->facility << 3 | r->level, (unsigned long long)(usec / 1000000),
			(unsigned long long)(usec % 1000000), (int)r->length, text);
}

/* Records from *position on; as many as fit.  Returns bytes; buf NULL: only counts. */
static long copy_records(u64 *position, char __user *buf, size_t len)
{
	char *text = kmalloc(LINE_MAX * 2, 0), *line = text + LINE_MAX;
	struct log_record r;
	size_t done = 0;

	if (!text)
		return -ENOMEM;
	while (log_read(position, &r, text, LINE_MAX - 64) >= 0) {
		int size = format_record(line, LINE_MAX, &r, text);

		if (buf && done + (size_t)size > len)
			break;
		if (buf && copy_to_user(buf + done, line, (size_t)size)) {
			kfree(text);
			return -EFAULT;
		}
		done += (size_t)size;
		*position = r.sequence + 1;
	}
	kfree(text);
	return (long)done;
}

/* The newest records that fit. */
static long copy_newest(char __user *buf, size_t len)
{
	u64 first = max(log_first_sequence(), log_clear_sequence());

	for (;;) {
		u64 position = first;
		long total = copy_records(&position, NULL, 0);

		if (total < 0)
			return total;
		if ((size_t)total <= len || first >= log_next_sequence())
			break;
		first += 1 + (log_next_sequence() - first) / 8;
	}
	return copy_records(&first, buf, len);
}

static long read_one(char __user *buf, size_t len)
{
	int err =
		wait_event_interruptible(log_wait_queue(), log_next_sequence() != syslog_position);

	return err ? err : copy_records(&syslog_position, buf, len);
}

long sys_syslog(int type, void __user *buf, int len)
{
	u64 position = syslog_position;
	long n;

	if (type != SYSLOG_READ_ALL && type != SYSLOG_SIZE_BUFFER && !capable(CAP_SYSLOG))
		return -EPERM;
	if ((type == SYSLOG_READ || type == SYSLOG_READ_ALL || type == SYSLOG_READ_CLEAR) &&
	    (!buf || len < 0))
		return -EINVAL;
	switch (type) {
	case SYSLOG_CLOSE:
	case SYSLOG_OPEN:
		return 0;
	case SYSLOG_READ:
		return len ? read_one(buf, (size_t)len) : 0;
	case SYSLOG_READ_ALL:
	case SYSLOG_READ_CLEAR:
		n = len ? copy_newest(buf, (size_t)len) : 0;
		if (type == SYSLOG_READ_CLEAR && n >= 0)
			log_clear();
		return n;
	case SYSLOG_CLEAR:
		log_clear();
		return 0;
	case SYSLOG_CONSOLE_OFF:
		log_set_console_level(LOG_ALERT);
		return 0;
	case SYSLOG_CONSOLE_ON:
		log_set_console_level(LOG_DEBUG);
		return 0;
	case SYSLOG_CONSOLE_LEVEL:
		if (len < 1 || len > 8)
			return -EINVAL;
		log_set_console_level((unsigned)len);
		return 0;
	case SYSLOG_SIZE_UNREAD:
		return copy_records(&position, NULL, 0);
	case SYSLOG_SIZE_BUFFER:
		return LOG_BYTES;
	default:
		return -EINVAL;
	}
}

/* ---- CPUs ---- */

long sys_membarrier(int cmd, unsigned int flags, int cpu)
{
	return membarrier_command(cmd, flags, cpu);
}

long sys_rseq(void __user *area, unsigned int len, int flags, unsigned int signature)
{
	return rseq_register((u64)area, len, (u32)flags, signature);
}
