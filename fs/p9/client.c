/*
 * 9P2000.L client.
 *
 * Concepts.  A request holds an out and an in buffer, a tag, and for bulk data
 * the physical segments that follow the message's own bytes, so that file
 * contents travel between the host and the page cache without a copy.  A fid
 * is the host's handle of a file; numbers are ours to choose and are reused
 * only after the host has confirmed that it forgot them.
 *
 * Invariants.
 *   (1) a request's buffers stay until the host has answered it: a killed
 *       waiter sends Tflush and still waits for one of the two answers.
 *   (2) nothing in a reply is used before its length, tag and type agree.
 *   (3) whoever has a request waits for no second one: a message that nothing
 *       else of this thread is under way with never fails for want of memory,
 *       as what is written back, and what reclaim lets go of, must not.
 *
 * Locking.  `lock` guards tags, fids and the free list and is taken with
 * interrupts off, because replies are handled in the interrupt.
 *
 * References.  "9P2000.L protocol" (diod's protocol.md), intro(5) of Plan 9.
 */
#include <nos/arch.h>
#include <nos/errno.h>
#include <nos/log.h>
#include <nos/slab.h>
#include <nos/string.h>
#include <nos/thread.h>
#include <nos/vfs.h>

#include "client.h"

#define FREE_REQUESTS_MAX P9_MAX_READS_STARTED
#define REQUESTS_RESERVED 2 /* one thread writes back while another lets go */
#define BLOCK_ORDER 2 /* out and in: 16 KiB */

/* ---- requests ---- */

static void *request_create(void *client, u32 flags)
{
	struct p9_request *r = kzalloc(sizeof(*r), flags);

	if (!r)
		return NULL;
	r->out = page_alloc(BLOCK_ORDER, flags);
	r->channel.table = kmalloc(CHANNEL_TABLE_BYTES, flags);
	if (!r->out || !r->channel.table) {
		if (r->out)
			page_free(r->out, BLOCK_ORDER);
		kfree(r->channel.table);
		kfree(r);
		return NULL;
	}
	r->in = r->out + P9_BUFFER;
	r->client = client;
	return r;
}

static void request_destroy(void *client, void *request)
{
	struct p9_request *r = request;

	page_free(r->out, BLOCK_ORDER);
	kfree(r->channel.table);
	kfree(r);
}

static const struct pool_ops request_pool_ops = { request_create, request_destroy };

static struct p9_request *free_request_take(struct p9_client *c)
{
	scoped_spin_irq(&c->lock);
	struct p9_request *r = c->free_requests;

	if (r) {
		c->free_requests = r->next_free;
		c->nr_free_requests--;
	}
	return r;
}

/* Gives tag and memory back; any context. */
static void request_free(struct p9_request *r)
{
	struct p9_client *c = r->client;
	u64 flags = spin_lock_irq(&c->lock);

	if (r->tag != P9_NO_TAG)
		c->tags_used &= ~(1ull << r->tag);
	r->tag = P9_NO_TAG;
	spin_unlock_irq(&c->lock, flags);
	if (wait_queue_is_active(&c->tags_free))
		wake_one(&c->tags_free);
	if (pool_refill(&c->requests, r))
		return;
	flags = spin_lock_irq(&c->lock);

	bool pooled = c->nr_free_requests < FREE_REQUESTS_MAX;

	if (pooled) {
		r->next_free = c->free_requests;
		c->free_requests = r;
		c->nr_free_requests++;
	}
	spin_unlock_irq(&c->lock, flags);
	if (!pooled)
		request_destroy(c, r);
}

static bool take_tag(struct p9_client *c, struct p9_request *r)
{
	scoped_spin_irq(&c->lock);
	if (c->tags_used == ~0ull)
		return false;

	unsigned tag = (unsigned)__builtin_ctzll(~c->tags_used);

	c->tags_used |= 1ull << tag;
	r->tag = (u16)tag;
	return true;
}

static struct p9_request *request_prepare(struct p9_request *r, enum p9_type type)
{
	struct p9_client *c = r->client;

	r->type = (u8)type;
	r->done = false;
	r->finish = NULL;
	r->waiter = NULL;
	r->nr_out_data = 0;
	r->nr_in_data = 0;
	r->in_len = 0;
	if (type == P9_TVERSION)
		r->tag = P9_NO_TAG;
	else
		wait_event(&c->tags_free, take_tag(c, r));
	r->writer = (struct p9_writer){ .data = r->out, .size = P9_BUFFER };
	p9_put_u32(&r->writer, 0); /* the size is known when it is sent */
	p9_put_u8(&r->writer, r->type);
	p9_put_u16(&r->writer, r->tag);
	return r;
}

/* A request of this type with a tag and an empty body.  It may wait, so the caller has no other. */
static struct p9_request *request_begin(struct p9_client *c, enum p9_type type)
{
	return request_prepare(free_request_take(c) ?: pool_alloc(&c->requests, 0), type);
}

/* The same for those who have others: ERR -ENOMEM. */
static struct p9_request *request_begin_more(struct p9_client *c, enum p9_type type)
{
	struct p9_request *r = free_request_take(c) ?: request_create(c, 0);

	return r ? request_prepare(r, type) : err_ptr(-ENOMEM);
}

static void reply_arrived(struct channel_request *channel, u32 in_len)
{
	struct p9_request *r = container_of(channel, struct p9_request, channel);

	r->in_len = in_len;
	if (r->finish) {
		struct p9_client *c = r->client;

		r->finish(r);
		request_free(r);
		atomic_sub(&c->nr_detached, 1); /* the last look at the client */
		return;
	}

	/* The waiter may free r as soon as done is seen. */
	struct thread *waiter = r->waiter;

	rcu_read_lock();
	atomic_store(&r->done, true);
	thread_wake(waiter);
	rcu_read_unlock();
}

/* Hands the request to the host; in_len: bytes of the in buffer that the reply's head may take. */
static int request_submit(struct p9_request *r, u32 in_len)
{
	struct p9_client *c = r->client;
	u32 len = r->writer.len;
	u32 total = len;

	if (r->writer.failed)
		return -ENAMETOOLONG;
	for (u32 i = 1; i <= r->nr_out_data; i++)
		total += r->out_segments[i].len;
	memcpy(r->out, &total, sizeof(total));
	r->out_segments[0] = (struct channel_segment){ virt_to_phys(r->out), len };
	r->in_segments[0] = (struct channel_segment){ virt_to_phys(r->in), in_len };
	r->channel.out = r->out_segments;
	r->channel.in = r->in_segments;
	r->channel.nr_out = 1 + r->nr_out_data;
	r->channel.nr_in = 1 + r->nr_in_data;
	r->channel.done = reply_arrived;
	r->waiter = current_thread;

	int err;

	wait_event(&c->channel->room,
		   (err = c->channel->ops->submit(c->channel, &r->channel)) != -ENOSPC);
	return err;
}

static int request_wait(struct p9_request *r, bool killable);

/* Asks the host to forget r; when this returns the host no longer uses r's buffers. */
static void request_flush(struct p9_request *r)
{
	struct p9_request *f = request_begin_more(r->client, P9_TFLUSH);

	if (!is_err(f)) {
		p9_put_u16(&f->writer, r->tag);
		if (request_submit(f, P9_BUFFER) == 0)
			request_wait(f, false);
		request_free(f);
	}
	/* The transport returns the buffer of a flushed request too. */
	request_wait(r, false);
}

static int request_wait(struct p9_request *r, bool killable)
{
	for (;;) {
		thread_set_state(killable ? THREAD_KILLABLE : THREAD_UNINTERRUPTIBLE);
		if (atomic_load(&r->done))
			break;
		if (killable && fatal_signal_is_pending()) {
			thread_set_state(THREAD_RUNNABLE);
			request_flush(r);
			return -ERESTARTSYS;
		}
		thread_block();
	}
	thread_set_state(THREAD_RUNNABLE);
	return 0;
}

/* Checks the reply's head and opens the reader behind it. */
static int reply_check(struct p9_request *r)
{
	r->reader = (struct p9_reader){ .data = r->in, .len = min(r->in_len, (u32)P9_BUFFER) };

	u32 size = p9_get_u32(&r->reader);
	u8 type = p9_get_u8(&r->reader);
	u16 tag = p9_get_u16(&r->reader);

	if (r->reader.failed || size > r->in_len || size < P9_HEADER || tag != r->tag)
		return -EIO;
	r->reader.len = min(r->reader.len, size);
	if (type == P9_RLERROR) {
		u32 err = p9_get_u32(&r->reader);

		return r->reader.failed || err == 0 || err > MAX_ERRNO ? -EIO : -(int)err;
	}
	return type == r->type + 1 ? 0 : -EIO;
}

/* Sends, waits, checks. */
static int request_run(struct p9_request *r, u32 in_len)
{
	int err = request_submit(r, in_len);

	if (!err)
		err = request_wait(r, r->type != P9_TVERSION);
	if (!err)
		err = reply_check(r);
	return err;
}

/* The end of a call that wants nothing from the reply but its success. */
static int request_finish(struct p9_request *r)
{
	int err = request_run(r, P9_BUFFER);

	request_free(r);
	return err;
}

/* ---- fids ---- */

u32 p9_fid_allocate(struct p9_client *c)
{
	scoped_spin_irq(&c->lock);
	if (c->nr_free_fids)
		return c->free_fids[--c->nr_free_fids];
	return c->next_fid++;
}

/* When the stack is full the number is simply not used again: there are 2³². */
static void fid_free(struct p9_client *c, u32 fid)
{
	scoped_spin_irq(&c->lock);
	if (c->nr_free_fids < c->free_fids_size)
		c->free_fids[c->nr_free_fids++] = fid;
}

/* Sends a request whose reply goes to `finish`; on error it is freed. */
static int request_start(struct p9_request *r, u32 in_len, void (*finish)(struct p9_request *r))
{
	struct p9_client *c = r->client;
	int err;

	r->finish = finish;
	atomic_add(&c->nr_detached, 1);
	err = request_submit(r, in_len);
	if (err) {
		request_free(r);
		atomic_sub(&c->nr_detached, 1);
	}
	return err;
}

static void clunk_finish(struct p9_request *r)
{
	struct p9_reader body = { .data = r->out, .at = P9_HEADER, .len = P9_BUFFER };

	fid_free(r->client, p9_get_u32(&body));
}

void p9_clunk(struct p9_client *c, u32 fid)
{
	struct p9_request *r = request_begin(c, P9_TCLUNK);

	p9_put_u32(&r->writer, fid);
	(void)request_start(r, P9_BUFFER, clunk_finish);
}

/* ---- messages ---- */

static int negotiate(struct p9_client *c, u32 msize)
{
	static const char version[] = "9P2000.L";
	struct p9_request *r = request_begin(c, P9_TVERSION);

	p9_put_u32(&r->writer, msize);
	p9_put_string(&r->writer, version, sizeof(version) - 1);

	int err = request_run(r, P9_BUFFER);

	if (!err) {
		u16 len;

		c->msize = min(p9_get_u32(&r->reader), msize);

		const char *s = p9_get_string(&r->reader, &len);

		if (r->reader.failed || c->msize < P9_BUFFER || len != sizeof(version) - 1 ||
		    memcmp(s, version, len) != 0)
			err = -EPROTONOSUPPORT;
	}
	request_free(r);
	return err;
}

void p9_client_drain(struct p9_client *c)
{
	struct p9_request *r;

	while ((r = free_request_take(c)))
		request_destroy(c, r);
}

static void client_free(struct p9_client *c)
{
	p9_client_drain(c);
	pool_fini(&c->requests);
	kfree(c->free_fids);
	kfree(c);
}

struct p9_client *p9_client_create(const char *tag, u32 msize)
{
	struct channel *channel = channel_take(tag);

	if (is_err(channel))
		return (struct p9_client *)channel;

	struct p9_client *c = kzalloc(sizeof(*c), 0);
	int err = -ENOMEM;

	if (c) {
		c->channel = channel;
		spin_init(&c->lock, RANK_DEVICE);
		wait_queue_init(&c->tags_free);
		c->free_fids_size = 1024;
		c->free_fids = kcalloc(c->free_fids_size, sizeof(u32), 0);
		if (c->free_fids)
			err = pool_init(&c->requests, REQUESTS_RESERVED, &request_pool_ops, c);
		if (!err)
			err = negotiate(c, msize);
	}
	if (err) {
		if (c)
			client_free(c);
		channel_release(channel);
		return err_ptr(err);
	}
	return c;
}

void p9_client_destroy(struct p9_client *c)
{
	/* The last clunks are still on their way. */
	while (atomic_load(&c->nr_detached))
		thread_yield();
	channel_release(c->channel);
	client_free(c);
}

int p9_attach(struct p9_client *c, u32 fid, const char *aname, struct p9_qid *qid)
{
	struct p9_request *r = request_begin(c, P9_TATTACH);

	p9_put_u32(&r->writer, fid);
	p9_put_u32(&r->writer, P9_NO_FID);
	p9_put_string(&r->writer, "root", 4);
	p9_put_string(&r->writer, aname, strlen(aname));
	p9_put_u32(&r->writer, 0);

	int err = request_run(r, P9_BUFFER);

	*qid = p9_get_qid(&r->reader);
	if (!err && r->reader.failed)
		err = -EIO;
	request_free(r);
	return err;
}

int p9_walk(struct p9_client *c, u32 fid, u32 new_fid, const char *name, size_t len,
	    struct p9_qid *qid)
{
	struct p9_request *r = request_begin(c, P9_TWALK);

	p9_put_u32(&r->writer, fid);
	p9_put_u32(&r->writer, new_fid);
	p9_put_u16(&r->writer, name ? 1 : 0);
	if (name)
		p9_put_string(&r->writer, name, len);

	int err = request_run(r, P9_BUFFER);

	if (!err && name) {
		if (p9_get_u16(&r->reader) != 1)
			err = -ENOENT;
		*qid = p9_get_qid(&r->reader);
		if (r->reader.failed)
			err = -EIO;
	}
	request_free(r);
	return err;
}

int p9_getattr(struct p9_client *c, u32 fid, struct p9_attributes *a)
{
	struct p9_request *r = request_begin(c, P9_TGETATTR);

	p9_put_u32(&r->writer, fid);
	p9_put_u64(&r->writer, 0x7ff); /* the basic fields */

	int err = request_run(r, P9_BUFFER);

	if (!err) {
		p9_get_attributes(&r->reader, a);
		if (r->reader.failed)
			err = -EIO;
	}
	request_free(r);
	return err;
}

/* Sent, not yet answered; NULL if it could not be. */
static struct p9_request *batch_send(struct p9_request *r)
{
	if (is_err(r))
		return NULL;
	if (request_submit(r, P9_BUFFER)) {
		request_free(r);
		return NULL;
	}
	return r;
}

static int batch_reply(struct p9_request *r)
{
	if (!r)
		return -ENOMEM;
	request_wait(r, false);
	return reply_check(r);
}

void p9_walk_many(struct p9_client *c, u32 fid, struct p9_looked_up *items, u32 nr)
{
	struct p9_request *sent[P9_BATCH];
	u32 unwanted = 0; /* a bit an item */

	for (u32 n = 0; n < nr; n++) {
		struct p9_request *r = request_begin_more(c, P9_TWALK);

		items[n].fid = p9_fid_allocate(c);
		if (!is_err(r)) {
			p9_put_u32(&r->writer, fid);
			p9_put_u32(&r->writer, items[n].fid);
			p9_put_u16(&r->writer, 1);
			p9_put_string(&r->writer, items[n].name, items[n].len);
		}
		sent[n] = batch_send(r);
	}
	for (u32 n = 0; n < nr; n++) {
		items[n].err = batch_reply(sent[n]);
		if (sent[n])
			request_free(sent[n]);
	}
	for (u32 n = 0; n < nr; n++) {
		struct p9_request *r = items[n].err ? NULL : request_begin_more(c, P9_TGETATTR);

		if (r && !is_err(r)) {
			p9_put_u32(&r->writer, items[n].fid);
			p9_put_u64(&r->writer, 0x7ff);
		}
		sent[n] = r ? batch_send(r) : NULL;
	}
	for (u32 n = 0; n < nr; n++) {
		if (items[n].err)
			continue;
		items[n].err = batch_reply(sent[n]);
		if (!items[n].err) {
			p9_get_attributes(&sent[n]->reader, &items[n].attributes);
			if (sent[n]->reader.failed)
				items[n].err = -EIO;
		}
		if (sent[n])
			request_free(sent[n]);
		if (items[n].err)
			unwanted |= 1u << n;
	}
	for (; unwanted; unwanted &= unwanted - 1)
		p9_clunk(c, items[__builtin_ctz(unwanted)].fid);
}

int p9_lopen(struct p9_client *c, u32 fid, u32 flags)
{
	struct p9_request *r = request_begin(c, P9_TLOPEN);

	p9_put_u32(&r->writer, fid);
	p9_put_u32(&r->writer, flags);
	return request_finish(r);
}

int p9_lcreate(struct p9_client *c, u32 fid, const char *name, size_t len, u32 flags, u32 mode,
	       u32 gid)
{
	struct p9_request *r = request_begin(c, P9_TLCREATE);

	p9_put_u32(&r->writer, fid);
	p9_put_string(&r->writer, name, len);
	p9_put_u32(&r->writer, flags);
	p9_put_u32(&r->writer, mode);
	p9_put_u32(&r->writer, gid);
	return request_finish(r);
}

int p9_mkdir(struct p9_client *c, u32 dir, const char *name, size_t len, u32 mode, u32 gid)
{
	struct p9_request *r = request_begin(c, P9_TMKDIR);

	p9_put_u32(&r->writer, dir);
	p9_put_string(&r->writer, name, len);
	p9_put_u32(&r->writer, mode);
	p9_put_u32(&r->writer, gid);
	return request_finish(r);
}

int p9_mknod(struct p9_client *c, u32 dir, const char *name, size_t len, u32 mode, u64 dev, u32 gid)
{
	struct p9_request *r = request_begin(c, P9_TMKNOD);

	p9_put_u32(&r->writer, dir);
	p9_put_string(&r->writer, name, len);
	p9_put_u32(&r->writer, mode);
	p9_put_u32(&r->writer, (u32)(dev >> 8 & 0xfff));
	p9_put_u32(&r->writer, (u32)((dev & 0xff) | (dev >> 12 & 0xfff00)));
	p9_put_u32(&r->writer, gid);
	return request_finish(r);
}

int p9_symlink(struct p9_client *c, u32 dir, const char *name, size_t len, const char *target,
	       u32 gid)
{
	struct p9_request *r = request_begin(c, P9_TSYMLINK);

	p9_put_u32(&r->writer, dir);
	p9_put_string(&r->writer, name, len);
	p9_put_string(&r->writer, target, strlen(target));
	p9_put_u32(&r->writer, gid);
	return request_finish(r);
}

int p9_link(struct p9_client *c, u32 dir, u32 fid, const char *name, size_t len)
{
	struct p9_request *r = request_begin(c, P9_TLINK);

	p9_put_u32(&r->writer, dir);
	p9_put_u32(&r->writer, fid);
	p9_put_string(&r->writer, name, len);
	return request_finish(r);
}

int p9_renameat(struct p9_client *c, u32 old_dir, const char *old, size_t old_len, u32 new_dir,
		const char *new, size_t new_len)
{
	struct p9_request *r = request_begin(c, P9_TRENAMEAT);

	p9_put_u32(&r->writer, old_dir);
	p9_put_string(&r->writer, old, old_len);
	p9_put_u32(&r->writer, new_dir);
	p9_put_string(&r->writer, new, new_len);
	return request_finish(r);
}

int p9_unlinkat(struct p9_client *c, u32 dir, const char *name, size_t len, u32 flags)
{
	struct p9_request *r = request_begin(c, P9_TUNLINKAT);

	p9_put_u32(&r->writer, dir);
	p9_put_string(&r->writer, name, len);
	p9_put_u32(&r->writer, flags);
	return request_finish(r);
}

ssize_t p9_readlink(struct p9_client *c, u32 fid, char *to, size_t size)
{
	struct p9_request *r = request_begin(c, P9_TREADLINK);

	p9_put_u32(&r->writer, fid);

	ssize_t result = request_run(r, P9_BUFFER);

	if (!result) {
		u16 len;
		const char *s = p9_get_string(&r->reader, &len);

		if (r->reader.failed) {
			result = -EIO;
		} else {
			result = (ssize_t)min((size_t)len, size);
			memcpy(to, s, (size_t)result);
		}
	}
	request_free(r);
	return result;
}

int p9_fsync(struct p9_client *c, u32 fid, bool data_only)
{
	struct p9_request *r = request_begin(c, P9_TFSYNC);

	p9_put_u32(&r->writer, fid);
	p9_put_u32(&r->writer, data_only);
	return request_finish(r);
}

int p9_setattr(struct p9_client *c, u32 fid, const struct p9_set *s)
{
	struct p9_request *r = request_begin(c, P9_TSETATTR);

	p9_put_u32(&r->writer, fid);
	p9_put_u32(&r->writer, s->valid);
	p9_put_u32(&r->writer, s->mode);
	p9_put_u32(&r->writer, s->uid);
	p9_put_u32(&r->writer, s->gid);
	p9_put_u64(&r->writer, s->size);
	p9_put_u64(&r->writer, s->atime_sec);
	p9_put_u64(&r->writer, s->atime_nsec);
	p9_put_u64(&r->writer, s->mtime_sec);
	p9_put_u64(&r->writer, s->mtime_nsec);
	return request_finish(r);
}

int p9_statfs(struct p9_client *c, u32 fid, struct fs_stats *s)
{
	struct p9_request *r = request_begin(c, P9_TSTATFS);

	p9_put_u32(&r->writer, fid);

	int err = request_run(r, P9_BUFFER);

	if (!err) {
		s->type = p9_get_u32(&r->reader);
		s->block_size = p9_get_u32(&r->reader);
		s->blocks = p9_get_u64(&r->reader);
		s->blocks_free = p9_get_u64(&r->reader);
		s->blocks_available = p9_get_u64(&r->reader);
		s->files = p9_get_u64(&r->reader);
		s->files_free = p9_get_u64(&r->reader);
		s->fsid = p9_get_u64(&r->reader);
		s->name_max = p9_get_u32(&r->reader);
		if (r->reader.failed)
			err = -EIO;
	}
	request_free(r);
	return err;
}

/* A Tread of len bytes to these segments. */
static struct p9_request *read_begin(struct p9_client *c, u32 fid, u64 offset,
				     const struct channel_segment *to, u32 nr, u32 len)
{
	struct p9_request *r = request_begin(c, P9_TREAD);

	p9_put_u32(&r->writer, fid);
	p9_put_u64(&r->writer, offset);
	p9_put_u32(&r->writer, len);
	memcpy(&r->in_segments[1], to, nr * sizeof(*to));
	r->nr_in_data = nr;
	return r;
}

/* How many bytes a good reply brought, of at most len. */
static ssize_t read_count(struct p9_request *r, u32 len)
{
	u32 count = p9_get_u32(&r->reader);

	if (r->reader.failed || count > len || count > r->in_len - P9_READ_HEADER)
		return -EIO;
	return count;
}

ssize_t p9_read(struct p9_client *c, u32 fid, u64 offset, const struct channel_segment *to, u32 nr,
		u32 len)
{
	if (nr >= CHANNEL_MAX_SEGMENTS)
		return -EINVAL;

	struct p9_request *r = read_begin(c, fid, offset, to, nr, len);
	ssize_t result = request_run(r, P9_READ_HEADER);

	if (!result)
		result = read_count(r, len);
	request_free(r);
	return result;
}

static void read_finish(struct p9_request *r)
{
	ssize_t result = reply_check(r);

	if (!result)
		result = read_count(r, r->in_segments[1].len);
	atomic_sub(&r->client->nr_reads_started, 1);
	r->read_done(r->read_data, result);
}

int p9_read_start(struct p9_client *c, u32 fid, u64 offset, struct channel_segment to,
		  void (*done)(void *data, ssize_t result), void *data)
{
	if (to.len > c->msize - P9_READ_HEADER)
		return -EINVAL;
	if (atomic_fetch_add(&c->nr_reads_started, 1) >= P9_MAX_READS_STARTED) {
		atomic_sub(&c->nr_reads_started, 1);
		return -EAGAIN;
	}

	struct p9_request *r = read_begin(c, fid, offset, &to, 1, to.len);
	int err;

	r->read_done = done;
	r->read_data = data;
	err = request_start(r, P9_READ_HEADER, read_finish);
	if (err)
		atomic_sub(&c->nr_reads_started, 1);
	return err;
}

ssize_t p9_write(struct p9_client *c, u32 fid, u64 offset, const struct channel_segment *from,
		 u32 nr, u32 len)
{
	if (nr >= CHANNEL_MAX_SEGMENTS - 1)
		return -EINVAL;

	struct p9_request *r = request_begin(c, P9_TWRITE);

	p9_put_u32(&r->writer, fid);
	p9_put_u64(&r->writer, offset);
	p9_put_u32(&r->writer, len);
	memcpy(&r->out_segments[1], from, nr * sizeof(*from));
	r->nr_out_data = nr;

	ssize_t result = request_run(r, P9_BUFFER);

	if (!result) {
		u32 count = p9_get_u32(&r->reader);

		result = r->reader.failed || count > len ? -EIO : (ssize_t)count;
	}
	request_free(r);
	return result;
}

ssize_t p9_readdir(struct p9_client *c, u32 fid, u64 offset, void *to, u32 size)
{
	struct p9_request *r = request_begin(c, P9_TREADDIR);

	p9_put_u32(&r->writer, fid);
	p9_put_u64(&r->writer, offset);
	p9_put_u32(&r->writer, size);
	r->in_segments[1] = (struct channel_segment){ virt_to_phys(to), size };
	r->nr_in_data = 1;

	ssize_t result = request_run(r, P9_READ_HEADER);

	if (!result) {
		u32 count = p9_get_u32(&r->reader);

		result = r->reader.failed || count > size || count > r->in_len - P9_READ_HEADER ?
				 -EIO :
				 (ssize_t)count;
	}
	request_free(r);
	return result;
}

int p9_xattrwalk(struct p9_client *c, u32 fid, u32 new_fid, const char *name, u64 *size)
{
	struct p9_request *r = request_begin(c, P9_TXATTRWALK);

	p9_put_u32(&r->writer, fid);
	p9_put_u32(&r->writer, new_fid);
	p9_put_string(&r->writer, name, strlen(name));

	int err = request_run(r, P9_BUFFER);

	if (!err) {
		*size = p9_get_u64(&r->reader);
		if (r->reader.failed)
			err = -EIO;
	}
	request_free(r);
	return err;
}

int p9_xattrcreate(struct p9_client *c, u32 fid, const char *name, u64 size, u32 flags)
{
	struct p9_request *r = request_begin(c, P9_TXATTRCREATE);

	p9_put_u32(&r->writer, fid);
	p9_put_string(&r->writer, name, strlen(name));
	p9_put_u64(&r->writer, size);
	p9_put_u32(&r->writer, flags);
	return request_finish(r);
}
