/*
 * SO_PEEK_OFF of AF_UNIX sockets (socket(7)): where the next MSG_PEEK looks.
 *
 * The offset counts unread bytes from the head of the queue.  A look moves it
 * behind what was seen, a read back by what went.  Of datagrams a look shows one,
 * or the rest of one; those that it has gone past are left out, and empty ones
 * that it has shown.  The urgent byte of a stream does not count.
 */
#include "unix.h"

#include <nos/assert.h>
#include <nos/errno.h>

int unix_set_peek_offset(struct unix_socket *s, struct user_arg value, u32 len)
{
	s32 v;

	if (len < sizeof(v))
		return -EINVAL;
	if (user_arg_read(value, &v, sizeof(v)))
		return -EFAULT;
	scoped_mutex(&s->lock);
	s->peek_offset = v;
	return 0;
}

struct unix_buffer *unix_peek_first_locked(const struct unix_socket *s, u32 *skip)
{
	struct unix_buffer *b;

	*skip = (u32)max(s->peek_offset, 0);
	list_for_each(b, &s->queue, node) {
		bool is_new_empty = !b->len && !*skip && !b->peeked;

		if (unlikely(unix_is_hidden_locked(s, b)))
			continue;
		if (s->peek_offset < 0 || *skip < b->len || is_new_empty)
			return b;
		*skip -= b->len;
	}
	return NULL;
}

ssize_t unix_peek_stream_locked(struct unix_socket *s, struct socket_message *m)
{
	bool whole = !(s->base.flags & SOCKET_PASS_CREDENTIALS);
	u32 skip;
	struct unix_buffer *b = unix_peek_first_locked(s, &skip);
	ssize_t total = 0;

	ASSERT(b); /* it was waited for */
	for (; &b->node != &s->queue; b = list_entry(b->node.next, struct unix_buffer, node)) {
		u32 want = (u32)min((u64)(b->len - skip), m->data->remaining);
		size_t n;

		if (b->urgent && unix_pass_mark_locked(s, b, true, total != 0) != MARK_NONE)
			break; /* the first was looked for behind marks */
		if (!whole && m->has_credentials && !unix_same_sender(m, &b->sender))
			break;
		n = b->nr_extents ? unix_put_shared(b, skip, m->data, want) :
				    iobuf_put(m->data, b->data + b->offset + skip, want);
		total += (ssize_t)n;
		if (n < want)
			break;
		if (!m->has_credentials)
			unix_put_sender(m, &b->sender);
		if (b->files) {
			unix_files_peek(b->files, m);
			break;
		}
		if (!m->data->remaining)
			break;
		skip = 0;
	}
	unix_peek_forward_locked(s, (u32)total);
	return total || !m->data->remaining ? total : -EFAULT;
}
