/*
 * Streams that take folios by reference: sendfile(2) and splice(2) to AF_UNIX.
 *
 * A sender whose bytes lie in folios that somebody holds (IOBUF_FOLIOS: the page
 * cache, a pipe) leaves references in the receiver's queue instead of copies.
 * What is written to the file meanwhile may be seen by the reader, as with any
 * splice; a folio that the file loses stays until it is read.  The bytes are
 * charged to SO_SNDBUF as copies are.  A range that is a small part of its folio
 * is copied: what a connection pins stays within four times what it is charged,
 * however large the folios are.  Boot switch: opt.unix_folios.
 */
#include "unix.h"

#include <nos/assert.h>
#include <nos/errno.h>
#include <nos/init.h>
#include <nos/log.h>
#include <nos/page.h>
#include <nos/slab.h>

#define MAX_EXTENTS 16u
#define MAX_PINNED 4u /* bytes of a folio for each byte of it that is charged */

static bool is_enabled __ro_after_init;

struct unix_extent {
	struct folio *folio;
	u32 offset, len;
};

static struct unix_extent *unix_extents(struct unix_buffer *b)
{
	return (struct unix_extent *)b->data;
}

/* What is left of the segment at hand. */
static u64 range_left(const struct iobuf *data)
{
	return min(data->segment->len - data->segment_offset, data->remaining);
}

static struct folio *folio_at(u64 address)
{
	return phys_to_folio(virt_to_phys((void *)(uintptr_t)address));
}

static bool is_worth(u64 address, u64 len)
{
	return len && len * MAX_PINNED >= folio_size(folio_at(address));
}

/* What one buffer takes of s. */
static u32 buffer_limit(const struct unix_socket *s)
{
	return max(UNIX_CHUNK, s->base.send_buffer / 2);
}

/* Bytes of the next ranges that can be shared in one buffer, at most `limit`; *nr: how many ranges. */
static u32 shareable_bytes(const struct iobuf *data, u32 limit, u32 *nr)
{
	const struct iobuf_segment *s = data->segment;
	u64 at = s->base + data->segment_offset;
	u64 len = min(range_left(data), (u64)limit), left = data->remaining;
	u32 total = 0;

	*nr = 0;
	while (*nr < MAX_EXTENTS && is_worth(at, len)) {
		(*nr)++;
		total += (u32)len;
		left -= len;
		if (!left || total == limit)
			break;
		at = (++s)->base;
		len = min(min(s->len, left), (u64)(limit - total));
	}
	return total;
}

/* A buffer with references on the next ranges of `data`, which does not move; NULL: no memory. */
static struct unix_buffer *share(const struct iobuf *data, u32 bytes, u32 nr)
{
	struct unix_buffer *b = unix_buffer_alloc(nr * (u32)sizeof(struct unix_extent));
	const struct iobuf_segment *s = data->segment;
	u64 at = data->segment_offset;

	if (!b)
		return NULL;
	b->nr_extents = nr;
	b->capacity = b->len = bytes;
	for (u32 i = 0; i < nr; i++, s++, at = 0) {
		u64 address = s->base + at;
		struct folio *f = folio_at(address);
		u32 len = (u32)min(s->len - at, (u64)bytes);

		ASSERT(len && address + len <= (u64)folio_address(f) + folio_size(f));
		folio_get(f);
		unix_extents(b)[i] =
			(struct unix_extent){ f, (u32)(address - (u64)(uintptr_t)folio_address(f)),
					      len };
		bytes -= len;
	}
	return b;
}

bool unix_can_share(const struct unix_socket *s, struct iobuf *data)
{
	iobuf_advance(data, 0); /* past empty segments */
	return is_enabled && is_worth(data->segment->base + data->segment_offset,
				      min(range_left(data), (u64)buffer_limit(s)));
}

ssize_t unix_send_shared(struct unix_socket *r, struct unix_socket *s, struct iobuf *data,
			 const struct unix_sender *sender, u64 deadline_ns)
{
	u32 nr, bytes = shareable_bytes(data, buffer_limit(s), &nr);
	struct unix_buffer *b = share(data, bytes, nr);
	int err;

	if (!b)
		return -ENOBUFS;
	b->sender = *sender;
	mutex_lock(&r->lock);
	err = unix_wait_room_locked(r, s, bytes, deadline_ns);
	if (!err)
		unix_append_locked(r, b);
	mutex_unlock(&r->lock);
	if (err) {
		unix_buffer_free(b);
		return err;
	}
	iobuf_advance(data, bytes);
	return bytes;
}

size_t unix_put_shared(struct unix_buffer *b, u32 skip, struct iobuf *to, size_t len)
{
	struct unix_extent *e = unix_extents(b);
	size_t done = 0;

	skip += b->offset;
	for (; skip >= e->len && len; e++)
		skip -= e->len;
	for (; done < len; e++, skip = 0) {
		size_t want = min((size_t)(e->len - skip), len - done);
		size_t n = iobuf_put(to, (u8 *)folio_address(e->folio) + e->offset + skip, want);

		done += n;
		if (n < want)
			break;
	}
	return done;
}

void unix_drop_extents(struct unix_buffer *b)
{
	for (u32 i = 0; i < b->nr_extents; i++)
		folio_put(unix_extents(b)[i].folio);
}

static int unix_folios_init(void)
{
	is_enabled = boot_opt_enabled("unix_folios");
	return 0;
}
INIT_STEP(INIT_SUBSYSTEM, unix_folios_init);
