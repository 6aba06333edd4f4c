/*
 * init: process 1 of a guest that ./nos run has started.
 *
 * The same program runs on NOS and on Linux, from an initramfs that holds
 * /init, /job and, for Linux, kernel modules.  It needs no libc.
 *
 * /job is a list of NUL-terminated "key=value" strings, see parse_job().
 * init builds the root (a read-only share of the host's tree under a tmpfs
 * overlay), starts the command, carries its input and output, and powers off.
 *
 * The host talks through ports of one virtio-serial device, by number:
 *   0  the console, /dev/hvc0: the command's terminal in tty mode
 *   1  control, a line protocol
 *   2  standard input   \
 *   3  standard output   > in pipe mode
 *   4  standard error   /
 *
 * Control, host to guest:
 *   winsize ROWS COLS    the host's terminal has this size now
 *   signal N             send N to the command's process group
 *   eof BYTES            standard input ended after so many bytes
 *   close 1|2            nobody reads standard output (error) any more
 * Control, guest to host:
 *   started              the command runs
 *   noexec ERRNO         the command could not be executed
 *   exit N OUT ERR       it exited; so many bytes were written to the ports
 *   killed N OUT ERR     a signal killed it
 *   error TEXT           the guest could not be set up
 * Byte counts, not the closing of ports, mark the ends of streams: no order
 * between ports is assumed, and nothing is lost.
 *
 * In pipe mode the command's descriptors are real pipes, so that a reader
 * that goes away gives SIGPIPE, and programs see what they see in a pipeline.
 * When the command ends, every other process is killed, the pipes are
 * drained, then the status is sent.
 */
#include "syscall.h"

#include <stdbool.h>

#include <asm/stat.h>
#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/mount.h>
#include <linux/poll.h>
#include <linux/reboot.h>
#include <linux/signal.h>
#include <linux/stat.h>
#include <linux/time.h>
#include <linux/wait.h>
#include <linux/mman.h>
#include <asm/ioctls.h>
#include <asm/termbits.h>
#include <asm/termios.h>

enum {
	PORT_CONTROL = 1,
	PORT_STDIN,
	PORT_STDOUT,
	PORT_STDERR,
};

enum {
	BUFFER_BYTES = 65536,
	LINE_BYTES = 256,
	MAX_LISTED = 64, /* modules, shares, tmpfs mounts: each */
};

/* A list of strings that point into the text of /job. */
struct list {
	size_t nr;
	char *item[MAX_LISTED];
};

/* What the host asked for. */
static struct {
	char **argv;
	char **envp;
	const char *cwd;
	const char *hostname;
	const char *root; /* "9p", "virtiofs" or "initramfs" */
	struct list modules;
	struct list shares; /* "TAG:PATH", writable */
	struct list tmpfs;
	bool tty;
	struct winsize winsize;
} job;

/* One direction of one stream: what was read and is not yet written. */
struct stream {
	int from; /* -1: ended */
	int to; /* -1: nobody takes it; what comes is dropped */
	bool counted_end; /* ends after `end` bytes, not at end of file */
	uint64_t end;
	uint64_t nr_read;
	uint64_t nr_written;
	size_t head;
	size_t tail;
	char buffer[BUFFER_BYTES];
};

static struct stream streams[3]; /* by the command's descriptor */
static int control = -1;
static int console = -1;
static int vport_device = -1;
static volatile bool child_changed;

/* ------------------------------------------------------- what libc has */

void *memcpy(void *to, const void *from, size_t len);
void *memset(void *to, int byte, size_t len);

void *memcpy(void *to, const void *from, size_t len)
{
	char *t = to;
	const char *f = from;

	while (len--)
		*t++ = *f++;
	return to;
}

void *memset(void *to, int byte, size_t len)
{
	char *t = to;

	while (len--)
		*t++ = (char)byte;
	return to;
}

static size_t length(const char *s)
{
	size_t n = 0;

	while (s[n])
		n++;
	return n;
}

/* The rest of `s` after `prefix`, or NULL. */
static char *after(char *s, const char *prefix)
{
	while (*prefix)
		if (*s++ != *prefix++)
			return NULL;
	return s;
}

static uint64_t parse_number(char **s)
{
	uint64_t n = 0;

	while (**s == ' ')
		++*s;
	while (**s >= '0' && **s <= '9')
		n = n * 10 + (uint64_t)(*(*s)++ - '0');
	return n;
}

/* A line that is put together piece by piece; what is too long is cut. */
struct text {
	size_t len;
	char bytes[4200];
};

static void text_add(struct text *t, const char *s)
{
	while (*s && t->len < sizeof(t->bytes) - 1)
		t->bytes[t->len++] = *s++;
	t->bytes[t->len] = 0;
}

static void text_add_number(struct text *t, uint64_t n)
{
	char digits[24];
	char *p = digits + sizeof(digits) - 1;

	*p = 0;
	do
		*--p = (char)('0' + n % 10);
	while (n /= 10);
	text_add(t, p);
}

static void write_all(int fd, const char *bytes, size_t len)
{
	while (len) {
		long n = SYSCALL(write, fd, bytes, len);

		if (n == -EINTR || n == -EAGAIN)
			continue;
		if (n <= 0)
			return;
		bytes += n;
		len -= (size_t)n;
	}
}

static void sleep_ms(long ms)
{
	struct __kernel_timespec t = { ms / 1000, ms % 1000 * 1000000 };

	SYSCALL(nanosleep, &t, NULL);
}

/* ------------------------------------------------------------ the end */

static _Noreturn void power_off(void)
{
	SYSCALL(sync);
	SYSCALL(reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, LINUX_REBOOT_CMD_POWER_OFF, NULL);
	SYSCALL(reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, LINUX_REBOOT_CMD_RESTART, NULL);
	for (;;)
		SYSCALL(pause);
}

/* Tells the host, or at least the kernel's log, and ends the machine. */
static _Noreturn void fail(const char *what, const char *which, long err)
{
	struct text t = { 0 };

	text_add(&t, "error ");
	text_add(&t, what);
	text_add(&t, " ");
	text_add(&t, which);
	text_add(&t, ": errno ");
	text_add_number(&t, (uint64_t)-err);
	text_add(&t, "\n");
	if (control < 0)
		control = (int)SYSCALL(open, "/dev/kmsg", O_WRONLY, 0);
	if (control < 0)
		control = (int)SYSCALL(open, "/dev/console", O_WRONLY, 0);
	if (control >= 0)
		write_all(control, t.bytes, t.len);
	power_off();
}

static void *allocate(size_t len)
{
	long p = SYSCALL(mmap, NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			 0);

	if (p < 0 && p > -4096)
		fail("no memory for", "/job", p);
	return (void *)p;
}

/* ------------------------------------------------------------- the job */

static void list_add(struct list *list, char *item)
{
	if (list->nr == MAX_LISTED)
		fail("too many entries in", "/job", -E2BIG);
	list->item[list->nr++] = item;
}

static void parse_entry(char *entry, size_t *nr_args, size_t *nr_env)
{
	char *v;

	if ((v = after(entry, "arg=")))
		job.argv[(*nr_args)++] = v;
	else if ((v = after(entry, "env=")))
		job.envp[(*nr_env)++] = v;
	else if ((v = after(entry, "cwd=")))
		job.cwd = v;
	else if ((v = after(entry, "hostname=")))
		job.hostname = v;
	else if ((v = after(entry, "root=")))
		job.root = v;
	else if ((v = after(entry, "module=")))
		list_add(&job.modules, v);
	else if ((v = after(entry, "share=")))
		list_add(&job.shares, v);
	else if ((v = after(entry, "tmpfs=")))
		list_add(&job.tmpfs, v);
	else if ((v = after(entry, "tty=")))
		job.tty = *v == '1';
	else if ((v = after(entry, "rows=")))
		job.winsize.ws_row = (unsigned short)parse_number(&v);
	else if ((v = after(entry, "columns=")))
		job.winsize.ws_col = (unsigned short)parse_number(&v);
}

/* Reads /job; the strings stay where they were read. */
static void parse_job(void)
{
	struct stat st;
	long fd = SYSCALL(open, "/job", O_RDONLY, 0);

	if (fd < 0 || SYSCALL(fstat, fd, &st) < 0)
		fail("cannot open", "/job", fd);

	size_t len = (size_t)st.st_size;
	char *bytes = allocate(len + 1);

	for (size_t at = 0; at < len;) {
		long n = SYSCALL(read, fd, bytes + at, len - at);

		if (n <= 0)
			fail("cannot read", "/job", n);
		at += (size_t)n;
	}
	SYSCALL(close, fd);

	size_t nr = 0;

	for (size_t i = 0; i < len; i++)
		nr += !bytes[i];
	job.argv = allocate((nr + 1) * sizeof(char *));
	job.envp = allocate((nr + 1) * sizeof(char *));

	size_t nr_args = 0;
	size_t nr_env = 0;

	for (char *p = bytes; p < bytes + len; p += length(p) + 1)
		parse_entry(p, &nr_args, &nr_env);
	if (!nr_args)
		fail("no command in", "/job", -EINVAL);
}

/* -------------------------------------------------------------- devices */

static void load_modules(void)
{
	for (size_t i = 0; i < job.modules.nr; i++) {
		long fd = SYSCALL(open, job.modules.item[i], O_RDONLY, 0);
		long err = fd < 0 ? fd : SYSCALL(finit_module, fd, "", 0);

		if (err < 0 && err != -EEXIST)
			fail("cannot load", job.modules.item[i], err);
		SYSCALL(close, fd);
	}
}

/* Opens /dev/vportNpPORT, where N is the first device that has ports. */
static long port_open_try(int port, int flags)
{
	for (int device = 0; device < 8; device++) {
		struct text path = { 0 };

		if (vport_device >= 0 && device != vport_device)
			continue;
		text_add(&path, "/dev/vport");
		text_add_number(&path, (uint64_t)device);
		text_add(&path, "p");
		text_add_number(&path, (uint64_t)port);

		long fd = SYSCALL(open, path.bytes, flags | O_CLOEXEC, 0);

		if (fd >= 0)
			vport_device = device;
		if (fd != -ENOENT && fd != -ENXIO && fd != -ENODEV)
			return fd;
	}
	return -ENOENT;
}

/* Ports appear a moment after their device: waits up to ten seconds. */
static int port_open(int port, int flags)
{
	static const char *const names[] = { "console", "control", "stdin", "stdout", "stderr" };
	long fd = port_open_try(port, flags);

	for (int i = 0; fd < 0 && i < 5000; i++) {
		sleep_ms(i < 1000 ? 1 : 2);
		fd = port_open_try(port, flags);
	}
	if (fd < 0)
		fail("cannot open port", names[port], fd);
	return (int)fd;
}

/* ---------------------------------------------------------- file systems */

static long mount_at(const char *source, const char *target, const char *type, unsigned long flags,
		     const char *options)
{
	return SYSCALL(mount, source, target, type, flags, options);
}

static void mount_or_fail(const char *source, const char *target, const char *type,
			  unsigned long flags, const char *options)
{
	long err = mount_at(source, target, type, flags, options);

	if (err < 0)
		fail("cannot mount", target, err);
}

/* Mounts a folder that the host shares under `tag`. */
static void mount_share(const char *tag, const char *target, unsigned long flags)
{
	bool is_9p = !after((char *)job.root, "virtiofs");

	mount_or_fail(tag, target, is_9p ? "9p" : "virtiofs", flags,
		      !is_9p            ? NULL :
		      flags & MS_RDONLY ? "trans=virtio,version=9p2000.L,"
					  "msize=524288,cache=loose" :
					  "trans=virtio,version=9p2000.L,"
					  "msize=524288,cache=none");
}

/* The host's tree below, a tmpfs above, together on /root. */
static void mount_tree(void)
{
	SYSCALL(mkdir, "/lower", 0755);
	SYSCALL(mkdir, "/rw", 0755);
	SYSCALL(mkdir, "/root", 0755);
	mount_share("root", "/lower", MS_RDONLY);
	mount_or_fail("tmpfs", "/rw", "tmpfs", 0, "mode=755,size=90%");
	SYSCALL(mkdir, "/rw/upper", 0755);
	SYSCALL(mkdir, "/rw/work", 0755);
	mount_or_fail("overlay", "/root", "overlay", 0,
		      "lowerdir=/lower,upperdir=/rw/upper,workdir=/rw/work");
}

/* What a program expects to be mounted; the current folder is the root. */
static void mount_usual(void)
{
	static const char *const dirs[] = { "dev", "proc", "sys", "run", "tmp" };

	for (size_t i = 0; i < sizeof(dirs) / sizeof(*dirs); i++)
		SYSCALL(mkdir, dirs[i], 0755);
	if (SYSCALL(access, "dev/null", 0) < 0)
		mount_or_fail("devtmpfs", "dev", "devtmpfs", MS_NOSUID, NULL);
	mount_or_fail("proc", "proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
	mount_or_fail("sysfs", "sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
	SYSCALL(mkdir, "dev/pts", 0755);
	mount_or_fail("devpts", "dev/pts", "devpts", MS_NOSUID | MS_NOEXEC,
		      "gid=5,mode=620,ptmxmode=666");
	SYSCALL(mkdir, "dev/shm", 01777);
	mount_or_fail("tmpfs", "dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777");
	mount_or_fail("tmpfs", "run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=755");
	SYSCALL(mkdir, "run/lock", 01777);
	SYSCALL(symlink, "/proc/self/fd", "dev/fd");
	SYSCALL(symlink, "/proc/self/fd/0", "dev/stdin");
	SYSCALL(symlink, "/proc/self/fd/1", "dev/stdout");
	SYSCALL(symlink, "/proc/self/fd/2", "dev/stderr");
	for (size_t i = 0; i < job.tmpfs.nr; i++)
		mount_or_fail("tmpfs", job.tmpfs.item[i] + 1, "tmpfs", MS_NOSUID | MS_NODEV,
			      "mode=1777");
}

/* The writable shares, each at the path that it has on the host. */
static void mount_shares(void)
{
	for (size_t i = 0; i < job.shares.nr; i++) {
		char *tag = job.shares.item[i];
		char *path = tag;

		while (*path != ':')
			path++;
		*path++ = 0;
		for (char *p = path + 1; *p; p++) {
			if (*p != '/')
				continue;
			*p = 0;
			SYSCALL(mkdir, path + 1, 0755);
			*p = '/';
		}
		SYSCALL(mkdir, path + 1, 0755);
		mount_share(tag, path + 1, 0);
	}
}

/* Makes the root that the command will see, and enters it. */
static void enter_root(void)
{
	bool own_tree = !after((char *)job.root, "initramfs");

	if (own_tree)
		mount_tree();

	long err = SYSCALL(chdir, own_tree ? "/root" : "/");

	if (err < 0)
		fail("cannot enter", "/root", err);
	if (own_tree) {
		err = mount_at(".", "/", NULL, MS_MOVE, NULL);
		if (err < 0)
			fail("cannot move", "/root", err);
		err = SYSCALL(chroot, ".");
		if (err < 0)
			fail("cannot change root to", "/root", err);
		SYSCALL(chdir, "/");
		/* The host's own /dev shows through: mount ours above it. */
		mount_or_fail("devtmpfs", "dev", "devtmpfs", MS_NOSUID, NULL);
	}
	mount_usual();
	mount_shares();
	SYSCALL(sethostname, job.hostname, length(job.hostname));
}

/* ---------------------------------------------------------- the command */

#define STRING_(x) #x
#define STRING(x) STRING_(x)

/* Where the kernel returns to after a signal handler. */
static __attribute__((naked)) void signal_return(void)
{
	__asm__("mov $" STRING(__NR_rt_sigreturn) ", %eax\n\tsyscall");
}

static void signal_set(int sig, __sighandler_t handler)
{
	struct sigaction sa = {
		.sa_handler = handler,
		.sa_flags = SA_RESTORER,
		.sa_restorer = signal_return,
	};

	SYSCALL(rt_sigaction, sig, &sa, NULL, sizeof(sigset_t));
}

static void signal_mask(int how, unsigned long mask)
{
	SYSCALL(rt_sigprocmask, how, &mask, NULL, sizeof(mask));
}

/* As execvp: a name without a slash is looked for along PATH. */
static long execute(void)
{
	const char *name = job.argv[0];
	const char *path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:"
			   "/sbin:/bin";
	long result = -ENOENT;

	for (const char *p = name; *p; p++)
		if (*p == '/')
			return SYSCALL(execve, name, job.argv, job.envp);
	for (size_t i = 0; job.envp[i]; i++)
		if (after(job.envp[i], "PATH="))
			path = job.envp[i] + 5;
	while (*path && *name) {
		struct text file = { 0 };

		while (*path && *path != ':' && file.len < sizeof(file.bytes) - 1)
			file.bytes[file.len++] = *path++;
		if (*path == ':')
			path++;
		text_add(&file, file.len ? "/" : "./");
		text_add(&file, name);

		long err = SYSCALL(execve, file.bytes, job.argv, job.envp);

		if (err == -EACCES || (err != -ENOENT && err != -ENOTDIR))
			result = err;
		if (result != -ENOENT && result != -EACCES)
			break;
	}
	return result;
}

/* In the child: descriptors, session, signals as in a fresh process. */
static _Noreturn void child_run(const int fds[3], int report)
{
	long err = SYSCALL(setsid);

	if (job.tty) {
		long tty = SYSCALL(open, "/dev/hvc0", O_RDWR, 0);

		if (tty < 0)
			err = tty;
		else
			err = SYSCALL(ioctl, tty, TIOCSCTTY, 0);
		for (int fd = 0; fd < 3; fd++)
			SYSCALL(dup2, tty, fd);
		if (tty > 2)
			SYSCALL(close, tty);
	} else {
		for (int fd = 0; fd < 3; fd++)
			SYSCALL(dup2, fds[fd], fd);
	}
	signal_set(SIGPIPE, SIG_DFL);
	signal_set(SIGCHLD, SIG_DFL);
	signal_mask(SIG_SETMASK, 0);
	if (err >= 0)
		err = execute();
	write_all(report, (const char *)&err, sizeof(err));
	SYSCALL(exit_group, 127);
	__builtin_unreachable();
}

static void pipe_or_fail(int fds[2])
{
	long err = SYSCALL(pipe2, fds, O_CLOEXEC);

	if (err < 0)
		fail("cannot make", "a pipe", err);
}

/* Starts the command.  A command that can't be executed ends the machine. */
static long command_start(void)
{
	int pipes[3][2] = { { -1, -1 }, { -1, -1 }, { -1, -1 } };
	int report[2];
	long err = 0;

	pipe_or_fail(report);
	for (int i = 0; i < 3 && !job.tty; i++)
		pipe_or_fail(pipes[i]);

	long pid = SYSCALL(fork);

	if (pid < 0)
		fail("cannot", "fork", pid);
	if (!pid) {
		int fds[3] = { pipes[0][0], pipes[1][1], pipes[2][1] };

		child_run(fds, report[1]);
	}
	SYSCALL(close, report[1]);
	if (!job.tty) {
		SYSCALL(close, pipes[0][0]);
		SYSCALL(close, pipes[1][1]);
		SYSCALL(close, pipes[2][1]);
		streams[0].to = pipes[0][1];
		streams[1].from = pipes[1][0];
		streams[2].from = pipes[2][0];
	}
	while (SYSCALL(read, report[0], &err, sizeof(err)) == -EINTR)
		;
	SYSCALL(close, report[0]);
	if (err) {
		struct text t = { 0 };

		text_add(&t, "noexec ");
		text_add_number(&t, (uint64_t)-err);
		text_add(&t, "\n");
		write_all(control, t.bytes, t.len);
		power_off();
	}
	write_all(control, "started\n", 8);
	return pid;
}

/* -------------------------------------------------------------- streams */

static void set_nonblocking(int fd)
{
	long flags = SYSCALL(fcntl, fd, F_GETFL, 0);

	SYSCALL(fcntl, fd, F_SETFL, flags | O_NONBLOCK);
}

static void stream_close(int *fd)
{
	if (*fd >= 0)
		SYSCALL(close, *fd);
	*fd = -1;
}

static bool stream_is_empty(const struct stream *s)
{
	return s->head == s->tail;
}

/* Every byte that will ever come was written or dropped. */
static bool stream_is_done(const struct stream *s)
{
	return s->from < 0 && stream_is_empty(s);
}

static void stream_check_end(struct stream *s)
{
	if (s->counted_end && s->nr_read >= s->end)
		stream_close(&s->from);
}

static void stream_fill(struct stream *s)
{
	long n = SYSCALL(read, s->from, s->buffer, BUFFER_BYTES);

	if (n == -EAGAIN || n == -EINTR)
		return;
	if (n <= 0) {
		stream_close(&s->from);
		return;
	}
	s->head = 0;
	s->tail = (size_t)n;
	s->nr_read += (uint64_t)n;
	if (s->to < 0)
		s->head = s->tail = 0;
	stream_check_end(s);
}

static void stream_drain(struct stream *s)
{
	long n = SYSCALL(write, s->to, s->buffer + s->head, s->tail - s->head);

	if (n == -EAGAIN || n == -EINTR)
		return;
	if (n < 0) {
		stream_close(&s->to);
		s->head = s->tail = 0;
		return;
	}
	s->head += (size_t)n;
	s->nr_written += (uint64_t)n;
}

/* One step in each direction, as far as poll found it possible. */
static void stream_step(struct stream *s, short from_events, short to_events)
{
	if (s->from >= 0 && stream_is_empty(s) && from_events)
		stream_fill(s);
	if (s->to >= 0 && !stream_is_empty(s) && (to_events || s->head == 0))
		stream_drain(s);
}

static void streams_open(void)
{
	for (int i = 0; i < 3; i++)
		streams[i].from = streams[i].to = -1;
	if (job.tty)
		return;
	streams[0].from = port_open(PORT_STDIN, O_RDONLY | O_NONBLOCK);
	streams[1].to = port_open(PORT_STDOUT, O_WRONLY | O_NONBLOCK);
	streams[2].to = port_open(PORT_STDERR, O_WRONLY | O_NONBLOCK);
}

/* -------------------------------------------------------------- control */

static void console_resize(void)
{
	if (console >= 0 && job.winsize.ws_row)
		SYSCALL(ioctl, console, TIOCSWINSZ, &job.winsize);
}

static void control_line(char *line, long pid)
{
	char *v;

	if ((v = after(line, "winsize "))) {
		job.winsize.ws_row = (unsigned short)parse_number(&v);
		job.winsize.ws_col = (unsigned short)parse_number(&v);
		console_resize();
	} else if ((v = after(line, "signal "))) {
		SYSCALL(kill, -pid, parse_number(&v));
	} else if ((v = after(line, "eof "))) {
		streams[0].end = parse_number(&v);
		streams[0].counted_end = true;
		stream_check_end(&streams[0]);
	} else if ((v = after(line, "close "))) {
		struct stream *s = &streams[parse_number(&v) == 2 ? 2 : 1];

		stream_close(&s->from);
		s->head = s->tail = 0;
	}
}

static void control_read(long pid)
{
	static char line[LINE_BYTES];
	static size_t len;
	char bytes[LINE_BYTES];
	long n = SYSCALL(read, control, bytes, sizeof(bytes));

	/* The host is gone, and with it whoever wanted a result. */
	if (n == 0)
		power_off();
	for (long i = 0; i < n; i++) {
		if (bytes[i] != '\n') {
			if (len < sizeof(line) - 1)
				line[len++] = bytes[i];
			continue;
		}
		line[len] = 0;
		len = 0;
		control_line(line, pid);
	}
}

/* ------------------------------------------------------------- the loop */

static void on_child(int sig)
{
	(void)sig;
	child_changed = true;
}

/*
 * Waits for something to do and does it.  SIGCHLD is only let in while
 * waiting, so that no child's end is missed.
 */
static void loop_step(long pid)
{
	unsigned long mask = 0;
	struct pollfd p[7] = { { .fd = control, .events = POLLIN } };

	for (int i = 0; i < 3; i++) {
		struct stream *s = &streams[i];
		bool empty = stream_is_empty(s);

		p[1 + 2 * i].fd = empty ? s->from : -1;
		p[1 + 2 * i].events = POLLIN;
		/* A pipe that its readers left is noticed at once. */
		p[2 + 2 * i].fd = s->to;
		p[2 + 2 * i].events = empty ? 0 : POLLOUT;
		if (empty && i != 0)
			p[2 + 2 * i].fd = -1;
	}

	long n = SYSCALL(ppoll, p, 7, NULL, &mask, sizeof(mask));

	if (n <= 0)
		return;
	if (p[0].revents)
		control_read(pid);
	if (p[2].revents & POLLERR) {
		stream_close(&streams[0].to);
		streams[0].head = streams[0].tail = 0;
	}
	for (int i = 0; i < 3; i++)
		stream_step(&streams[i], p[1 + 2 * i].revents, p[2 + 2 * i].revents);
	/* Everything came and was passed on: the command reads end of file. */
	if (stream_is_done(&streams[0]))
		stream_close(&streams[0].to);
}

/* Reaps every child that ended; true when `pid` was one of them. */
static bool reap(long pid, int *status)
{
	bool ended = false;

	for (;;) {
		int s;
		long child = SYSCALL(wait4, -1, &s, WNOHANG, NULL);

		if (child <= 0)
			return ended;
		if (child == pid) {
			*status = s;
			ended = true;
		}
	}
}

/* Kills and reaps whatever the command left behind. */
static void kill_the_rest(void)
{
	int status;

	SYSCALL(kill, -1, SIGKILL);
	while (SYSCALL(wait4, -1, &status, 0, NULL) != -ECHILD)
		;
}

/* ---------------------------------------------------------------- leaks */

#define LEAKS "/proc/nos/leaks_at_end" /* there if asked for: commands may leave files */

/*
 * A debug kernel remembers what is in use before the command.  This program's
 * own memory is touched first, so that it does not count afterwards.
 */
static void leaks_mark(void)
{
	extern char __bss_start[], _end[];
	volatile char stack[16384];
	long fd = SYSCALL(open, LEAKS, O_WRONLY | O_CLOEXEC, 0);

	if (fd < 0)
		return;
	for (volatile char *p = __bss_start; p < _end; p += 4096)
		*p = *p;
	for (size_t i = 0; i < sizeof(stack); i += 4096)
		stack[i] = 0;
	SYSCALL(write, fd, "mark", 4);
	SYSCALL(close, fd);
}

/* What is still in use although all that used it has ended goes to the kernel's log. */
static void leaks_report(void)
{
	struct text t = { 0 };
	long fd = SYSCALL(open, LEAKS, O_RDONLY | O_CLOEXEC, 0)
	, log, n;

	if (fd < 0)
		return;
	log = SYSCALL(open, "/dev/kmsg", O_WRONLY | O_CLOEXEC, 0);
	n = SYSCALL(read, fd, t.bytes, sizeof(t.bytes) - 1);
	for (long i = 0, start = 0; i < n; i++) {
		if (t.bytes[i] != '\n')
			continue;
		struct text line = { 0 };

		t.bytes[i] = 0;
		text_add(&line, "<3>init: leak: ");
		text_add(&line, t.bytes + start);
		SYSCALL(write, log, line.bytes, line.len);
		start = i + 1;
	}
	SYSCALL(close, log);
	SYSCALL(close, fd);
}

static void report_status(int status)
{
	struct text t = { 0 };
	int sig = status & 0x7f;

	text_add(&t, sig ? "killed " : "exit ");
	text_add_number(&t, (uint64_t)(sig ? sig : status >> 8 & 0xff));
	for (int i = 1; i < 3; i++) {
		text_add(&t, " ");
		text_add_number(&t, streams[i].nr_written);
	}
	text_add(&t, "\n");
	write_all(control, t.bytes, t.len);
}

/* The terminal exists before the command, so that its size is right. */
static void console_open(void)
{
	struct termios termios;
	long fd = -ENOENT;

	for (int i = 0; fd < 0 && i < 5000; i++) {
		fd = SYSCALL(open, "/dev/hvc0", O_RDWR | O_NOCTTY | O_CLOEXEC, 0);
		if (fd < 0)
			sleep_ms(1);
	}
	if (fd < 0)
		fail("cannot open", "/dev/hvc0", fd);
	console = (int)fd;
	if (SYSCALL(ioctl, console, TCGETS, &termios) == 0) {
		termios.c_iflag |= IUTF8;
		SYSCALL(ioctl, console, TCSETS, &termios);
	}
	console_resize();
}

static _Noreturn __attribute__((used)) void init_main(void)
{
	int status = 0;

	mount_at("devtmpfs", "/dev", "devtmpfs", MS_NOSUID, NULL);
	parse_job();
	load_modules();
	control = port_open(PORT_CONTROL, O_RDWR);
	streams_open();
	if (job.tty)
		console_open();
	signal_mask(SIG_BLOCK, 1UL << (SIGCHLD - 1));
	signal_set(SIGCHLD, on_child);
	signal_set(SIGPIPE, SIG_IGN);
	enter_root();

	long err = SYSCALL(chdir, job.cwd);

	if (err < 0)
		fail("cannot enter", job.cwd, err);

	leaks_mark();

	long pid = command_start();

	for (int i = 1; i < 3; i++)
		if (streams[i].from >= 0)
			set_nonblocking(streams[i].from);
	if (streams[0].to >= 0)
		set_nonblocking(streams[0].to);
	do {
		loop_step(pid);
	} while (!child_changed || (child_changed = false, !reap(pid, &status)));
	kill_the_rest();
	stream_close(&streams[0].from);
	stream_close(&streams[0].to);
	streams[0].head = streams[0].tail = 0;
	while (!stream_is_done(&streams[1]) || !stream_is_done(&streams[2]))
		loop_step(pid);
	if (console >= 0)
		SYSCALL(ioctl, console, TCSBRK, 1);
	leaks_report();
	report_status(status);
	power_off();
}

__attribute__((naked)) void _start(void);
__attribute__((naked)) void _start(void)
{
	__asm__("xor %ebp, %ebp\n\tand $-16, %rsp\n\tcall init_main");
}
