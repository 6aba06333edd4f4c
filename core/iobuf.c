/*
 * Buffers of a transfer: user or kernel memory, in one or many segments.
 *
 * Nearly all transfers have one segment and copy all at once; that path is
 * straight.  The position is kept in the current segment; `remaining` bounds all.
 * Going back walks the segments backwards from the current one, so that a
 * buffer must not be reverted beyond its start.
 */
#include <nos/assert.h>
#include <nos/errno.h>
#include <nos/iobuf.h>
#include <nos/string.h>
#include <nos/uaccess.h>

void iobuf_init_segments(struct iobuf *b, enum iobuf_kind kind, const struct iobuf_segment *s,
			 u32 nr)
{
	*b = (struct iobuf){ .kind = kind, .nr_segments = nr, .segment = s };
	for (u32 i = 0; i < nr; i++)
		b->remaining += s[i].len;
}

void iobuf_advance(struct iobuf *b, size_t len)
{
	len = min(len, b->remaining);
	b->remaining -= len;
	b->segment_offset += len;
	while (b->nr_segments > 1 && b->segment_offset >= b->segment->len) {
		b->segment_offset -= b->segment->len;
		b->segment++;
		b->nr_segments--;
	}
}

void iobuf_revert(struct iobuf *b, size_t len)
{
	b->remaining += len;
	while (len > b->segment_offset) {
		len -= b->segment_offset;
		b->segment--;
		b->nr_segments++;
		b->segment_offset = b->segment->len;
	}
	b->segment_offset -= len;
}

void iobuf_truncate(struct iobuf *b, u64 len)
{
	b->remaining = min(b->remaining, len);
}

/* What is left of the current segment, skipping empty ones. */
static size_t current_chunk(struct iobuf *b, size_t len)
{
	iobuf_advance(b, 0);
	return min(len, b->segment->len - b->segment_offset);
}

static size_t put_chunk(const struct iobuf *b, u64 at, const void *from, size_t n)
{
	if (b->kind == IOBUF_USER)
		return n - copy_to_user((void __user *)at, from, n);
	memcpy((void *)at, from, n);
	return n;
}

static size_t get_chunk(const struct iobuf *b, u64 at, void *to, size_t n)
{
	if (b->kind == IOBUF_USER)
		return n - copy_from_user(to, (const void __user *)at, n);
	memcpy(to, (const void *)at, n);
	return n;
}

static size_t zero_chunk(const struct iobuf *b, u64 at, size_t n)
{
	if (b->kind == IOBUF_USER)
		return n - clear_user((void __user *)at, n);
	memset((void *)at, 0, n);
	return n;
}

/* Kernel memory, or several segments. */
static __noinline size_t put_any(struct iobuf *to, const void *from, size_t len)
{
	size_t done = 0;

	while (done < len) {
		size_t n = current_chunk(to, len - done);
		size_t copied = put_chunk(to, to->segment->base + to->segment_offset,
					  (const u8 *)from + done, n);

		iobuf_advance(to, copied);
		done += copied;
		if (copied < n)
			break;
	}
	return done;
}

__hot size_t iobuf_put(struct iobuf *to, const void *from, size_t len)
{
	u64 at = to->segment->base + to->segment_offset;

	len = min(len, to->remaining);
	if (unlikely(to->kind != IOBUF_USER || to->nr_segments != 1))
		return put_any(to, from, len);
	len -= copy_to_user((void __user *)at, from, len);
	to->segment_offset += len;
	to->remaining -= len;
	return len;
}

static __noinline bool put_pair_any(struct iobuf *to, u32 first, u64 second)
{
	u8 bytes[sizeof(first) + sizeof(second)];

	memcpy(bytes, &first, sizeof(first));
	memcpy(bytes + sizeof(first), &second, sizeof(second));
	return iobuf_put(to, bytes, sizeof(bytes)) == sizeof(bytes);
}

__hot bool iobuf_put_pair(struct iobuf *to, u32 first, u64 second)
{
	const u64 len = sizeof(first) + sizeof(second);
	u64 at = to->segment->base + to->segment_offset;

	if (unlikely(to->kind != IOBUF_USER || to->nr_segments != 1 || to->remaining < len))
		return put_pair_any(to, first, second);
	if (unlikely(user_store_u32_u64((void __user *)at, first, second)))
		return false;
	to->segment_offset += len;
	to->remaining -= len;
	return true;
}

/* Kernel memory, or several segments. */
static __noinline size_t get_any(struct iobuf *from, void *to, size_t len)
{
	size_t done = 0;

	while (done < len) {
		size_t n = current_chunk(from, len - done);
		size_t copied = get_chunk(from, from->segment->base + from->segment_offset,
					  (u8 *)to + done, n);

		iobuf_advance(from, copied);
		done += copied;
		if (copied < n)
			break;
	}
	return done;
}

__hot size_t iobuf_get(struct iobuf *from, void *to, size_t len)
{
	u64 at = from->segment->base + from->segment_offset;

	len = min(len, from->remaining);
	if (unlikely(from->kind != IOBUF_USER || from->nr_segments != 1))
		return get_any(from, to, len);
	len -= copy_from_user(to, (const void __user *)at, len);
	from->segment_offset += len;
	from->remaining -= len;
	return len;
}

size_t iobuf_put_zero(struct iobuf *to, size_t len)
{
	size_t done = 0;

	len = min(len, to->remaining);
	while (done < len) {
		size_t n = current_chunk(to, len - done);
		size_t cleared = zero_chunk(to, to->segment->base + to->segment_offset, n);

		iobuf_advance(to, cleared);
		done += cleared;
		if (cleared < n)
			break;
	}
	return done;
}

/* One byte of the page at `at`: readable, or writable without changing it. */
static bool touch(u64 at, bool for_write)
{
	u8 byte;

	if (copy_from_user(&byte, (const void __user *)at, 1))
		return false;
	if (!for_write)
		return true;

	/* An exchange of a word for itself is atomic against other threads of the process. */
	u32 __user *word = (u32 __user *)(at & ~3ul);
	u32 value, old;

	return user_load_u32(&value, word) == 0 && user_cas_u32(word, value, value, &old) == 0;
}

size_t iobuf_fault_in(struct iobuf *b, size_t len, bool for_write)
{
	struct iobuf at = *b;
	size_t done = 0;

	if (b->segment == &b->single)
		at.segment = &at.single;
	len = min(len, b->remaining);
	if (b->kind == IOBUF_KERNEL)
		return len;
	while (done < len) {
		u64 address;
		size_t n = current_chunk(&at, len - done);

		address = at.segment->base + at.segment_offset;
		n = min(n, PAGE_SIZE - address % PAGE_SIZE);
		if (!touch(address, for_write))
			break;
		iobuf_advance(&at, n);
		done += n;
	}
	return done;
}

void iobuf_atomic_begin(void)
{
	user_fault_disable();
}

void iobuf_atomic_end(void)
{
	user_fault_enable();
}

int user_arg_read(struct user_arg a, void *to, size_t len)
{
	if (a.is_kernel) {
		memcpy(to, (const void *)a.value, len);
		return 0;
	}
	return copy_from_user(to, (const void __user *)a.value, len) ? -EFAULT : 0;
}

int user_arg_write(struct user_arg a, const void *from, size_t len)
{
	if (a.is_kernel) {
		memcpy((void *)a.value, from, len);
		return 0;
	}
	return copy_to_user((void __user *)a.value, from, len) ? -EFAULT : 0;
}
