/* /dev/null, zero, full, random, urandom, kmsg (null(4), full(4), random(4)). */
#include <nos/cred.h>
#include <nos/errno.h>
#include <nos/file.h>
#include <nos/init.h>
#include <nos/aspace.h>
#include <nos/log.h>
#include <nos/random.h>
#include <nos/slab.h>
#include <nos/string.h>
#include <nos/thread.h>

#include <linux/capability.h>
#include <linux/fcntl.h>
#include <linux/fs.h>
#include <linux/mman.h>
#include <linux/random.h>

/* ---- null, zero, full ---- */

static ssize_t null_read(struct file *f, struct iobuf *to, u64 *pos)
{
	return 0;
}

static ssize_t null_write(struct file *f, struct iobuf *from, u64 *pos)
{
	size_t n = from->remaining;

	iobuf_advance(from, n);
	return (ssize_t)n;
}

static s64 null_seek(struct file *f, s64 offset, int whence)
{
	return 0;
}

static ssize_t zero_read(struct file *f, struct iobuf *to, u64 *pos)
{
	size_t done = 0;

	while (to->remaining) {
		size_t len = min(to->remaining, 16 * PAGE_SIZE), n = iobuf_put_zero(to, len);

		done += n;
		if (n < len)
			return done ? (ssize_t)done : -EFAULT;
		if (signal_is_pending())
			break;
	}
	return (ssize_t)done;
}

static ssize_t full_write(struct file *f, struct iobuf *from, u64 *pos)
{
	return -ENOSPC;
}

/* Anonymous memory, private or shared (mmap(2) of /dev/zero). */
static int zero_map(struct file *f, struct map_request *r)
{
	r->file = NULL;
	r->page_offset = 0;
	r->map_flags |= MAP_ANONYMOUS;
	return 0;
}

/* ---- random ---- */

static ssize_t random_read(struct file *f, struct iobuf *to, u64 *pos)
{
	u8 block[256];
	size_t done = 0;

	while (to->remaining) {
		size_t len = min(to->remaining, sizeof(block)), n;

		random_bytes(block, len);
		n = iobuf_put(to, block, len);
		done += n;
		if (n < len || signal_is_pending())
			break;
	}
	memset(block, 0, sizeof(block));
	barrier();
	return done || !to->remaining ? (ssize_t)done : -EFAULT;
}

static ssize_t random_write(struct file *f, struct iobuf *from, u64 *pos)
{
	u8 block[64];
	size_t done = 0;

	while (from->remaining) {
		size_t n = iobuf_get(from, block, min(from->remaining, sizeof(block)));

		if (!n)
			return done ? (ssize_t)done : -EFAULT;
		random_add_entropy(block, n, 0);
		done += n;
	}
	return (ssize_t)done;
}

static long random_ioctl(struct file *f, u32 cmd, struct user_arg arg)
{
	s32 bits = random_is_seeded() ? 256 : 0;
	struct {
		s32 bits, size;
	} pool;
	u8 data[256];

	switch (cmd) {
	case RNDGETENTCNT:
		return user_arg_write(arg, &bits, sizeof(bits));
	case RNDADDTOENTCNT:
		if (!capable(CAP_SYS_ADMIN))
			return -EPERM;
		return user_arg_read(arg, &bits, sizeof(bits)) ?: bits < 0 ? -EINVAL : 0;
	case RNDADDENTROPY:
		if (!capable(CAP_SYS_ADMIN))
			return -EPERM;
		if (user_arg_read(arg, &pool, sizeof(pool)))
			return -EFAULT;
		if (pool.bits < 0 || pool.size < 0)
			return -EINVAL;
		for (s32 at = 0; at < pool.size; at += (s32)sizeof(data)) {
			size_t n = min((size_t)(pool.size - at), sizeof(data));

			if (user_arg_read(user_arg_offset(arg, sizeof(pool) + (u64)at), data, n))
				return -EFAULT;
			random_add_entropy(data, n, (unsigned)pool.bits);
			pool.bits = 0;
		}
		return 0;
	default:
		return -ENOTTY;
	}
}

/* ---- kmsg: one record a read (Linux: Documentation/ABI/testing/dev-kmsg) ---- */

#define KMSG_RECORD 1024

struct kmsg_reader {
	u64 sequence;
	struct mutex lock;
	char text[KMSG_RECORD], line[KMSG_RECORD * 4 + 64];
};

static int kmsg_open(struct inode *i, struct file *f)
{
	struct kmsg_reader *r;

	f->private = NULL;
	if (!(f->mode & FILE_READ))
		return 0;
	r = kzalloc(sizeof(*r), 0);
	if (!r)
		return -ENOMEM;
	mutex_init(&r->lock, RANK_FILE_STATE);
	r->sequence = log_first_sequence();
	f->private = r;
	return 0;
}

static void kmsg_release(struct file *f)
{
	kfree(f->private);
}

static size_t kmsg_format(struct kmsg_reader *r, const struct log_record *record, size_t len)
{
	size_t n = (size_t)snprintf(
		r->line, sizeof(r->line), "%u,%llu,%llu,-;", record->facility << 3 | record->level,
		(unsigned long long)record->sequence, (unsigned long long)(record->time_ns / 1000));

	for (size_t at = 0; at < len; at++) {
		u8 c = (u8)r->text[at];

		if (c < 32 || c >= 127 || c == '\\')
			n += (size_t)snprintf(r->line + n, sizeof(r->line) - n, "\\x%02x", c);
		else
			r->line[n++] = (char)c;
	}
	r->line[n++] = '\n';
	return n;
}

static ssize_t kmsg_read(struct file *f, struct iobuf *to, u64 *pos)
{
	struct kmsg_reader *r = f->private;
	struct log_record record;
	u64 wanted;
	ssize_t len;
	size_t n;
	int err;

	scoped_mutex(&r->lock);
	for (;;) {
		wanted = r->sequence;
		len = log_read(&r->sequence, &record, r->text, sizeof(r->text));
		if (len != -EAGAIN)
			break;
		if (f->flags & O_NONBLOCK)
			return -EAGAIN;
		err = wait_event_interruptible(log_wait_queue(), log_next_sequence() > r->sequence);
		if (err)
			return err;
	}
	if (len < 0)
		return len;
	if (r->sequence != wanted && wanted < record.sequence)
		return -EPIPE; /* records were lost; the next read goes on */
	n = kmsg_format(r, &record, min((size_t)len, sizeof(r->text)));
	if (n > to->remaining)
		return -EINVAL;
	if (iobuf_put(to, r->line, n) != n)
		return -EFAULT;
	r->sequence = record.sequence + 1;
	return (ssize_t)n;
}

static ssize_t kmsg_write(struct file *f, struct iobuf *from, u64 *pos)
{
	size_t len = from->remaining, at = 0;
	unsigned priority = 1 << 3 | LOG_NOTICE;
	char text[KMSG_RECORD];

	if (len >= sizeof(text))
		return -EINVAL;
	if (iobuf_get(from, text, len) != len)
		return -EFAULT;
	text[len] = '\0';
	if (text[0] == '<') {
		unsigned value = 0;

		for (at = 1; at < len && text[at] >= '0' && text[at] <= '9'; at++)
			value = value * 10 + (unsigned)(text[at] - '0');
		if (at > 1 && at < len && text[at] == '>' && value < 1024) {
			priority = value & ~7u ? value : value | 1 << 3;
			at++;
		} else {
			at = 0;
		}
	}
	log_write_user(priority, text + at, len - at);
	return (ssize_t)len;
}

static s64 kmsg_seek(struct file *f, s64 offset, int whence)
{
	struct kmsg_reader *r = f->private;

	if (!r)
		return -EBADF;
	if (offset)
		return -ESPIPE;
	scoped_mutex(&r->lock);
	switch (whence) {
	case SEEK_SET:
		r->sequence = log_first_sequence();
		return 0;
	case SEEK_DATA:
		r->sequence = log_clear_sequence();
		return 0;
	case SEEK_END:
		r->sequence = log_next_sequence();
		return 0;
	default:
		return -EINVAL;
	}
}

static u32 kmsg_poll(struct file *f, struct poll_table *t)
{
	struct kmsg_reader *r = f->private;

	poll_wait(t, log_wait_queue());
	return 0x104 |
	       (r && log_next_sequence() > r->sequence ? 0x41 : 0); /* EPOLLOUT…, EPOLLIN… */
}

/* ---- the devices ---- */

static const struct file_ops null_ops = {
	.read = null_read, .write = null_write, .seek = null_seek, .flags = FILE_OPS_NOWAIT
};
static const struct file_ops zero_ops = { .read = zero_read,
					  .write = null_write,
					  .seek = null_seek,
					  .map = zero_map,
					  .flags = FILE_OPS_NOWAIT };
static const struct file_ops full_ops = {
	.read = zero_read, .write = full_write, .seek = null_seek, .flags = FILE_OPS_NOWAIT
};
static const struct file_ops random_ops = { .read = random_read,
					    .write = random_write,
					    .ioctl = random_ioctl,
					    .seek = null_seek,
					    .flags = FILE_OPS_NOWAIT };
static const struct file_ops kmsg_ops = { .open = kmsg_open,
					  .release = kmsg_release,
					  .read = kmsg_read,
					  .write = kmsg_write,
					  .seek = kmsg_seek,
					  .poll = kmsg_poll };

static const struct char_device devices[] = {
	{ "null", 1, 3, 1, 0666, &null_ops, NULL },
	{ "zero", 1, 5, 1, 0666, &zero_ops, NULL },
	{ "full", 1, 7, 1, 0666, &full_ops, NULL },
	{ "random", 1, 8, 1, 0666, &random_ops, NULL },
	{ "urandom", 1, 9, 1, 0666, &random_ops, NULL },
	{ "kmsg", 1, 11, 1, 0644, &kmsg_ops, NULL },
};

static int mem_devices_register(void)
{
	for (size_t n = 0; n < ARRAY_SIZE(devices); n++) {
		int err = char_device_register(&devices[n]);

		if (err)
			return err;
	}
	return 0;
}
INIT_STEP(INIT_DRIVER, mem_devices_register);
