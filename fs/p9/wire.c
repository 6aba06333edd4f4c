/* Marshalling of 9P2000.L: little-endian integers, counted strings. */
#include <nos/string.h>

#include "wire.h"

static void put(struct p9_writer *w, const void *from, u32 n)
{
	if (w->failed || n > w->size - w->len) {
		w->failed = true;
		return;
	}
	memcpy(w->data + w->len, from, n);
	w->len += n;
}

void p9_put_u8(struct p9_writer *w, u8 v)
{
	put(w, &v, sizeof(v));
}

void p9_put_u16(struct p9_writer *w, u16 v)
{
	put(w, &v, sizeof(v));
}

void p9_put_u32(struct p9_writer *w, u32 v)
{
	put(w, &v, sizeof(v));
}

void p9_put_u64(struct p9_writer *w, u64 v)
{
	put(w, &v, sizeof(v));
}

void p9_put_string(struct p9_writer *w, const char *s, size_t len)
{
	if (len > 0xffff) {
		w->failed = true;
		return;
	}
	p9_put_u16(w, (u16)len);
	put(w, s, (u32)len);
}

static void get(struct p9_reader *r, void *to, u32 n)
{
	if (r->failed || n > r->len - r->at) {
		r->failed = true;
		memset(to, 0, n);
		return;
	}
	memcpy(to, r->data + r->at, n);
	r->at += n;
}

u8 p9_get_u8(struct p9_reader *r)
{
	u8 v;

	get(r, &v, sizeof(v));
	return v;
}

u16 p9_get_u16(struct p9_reader *r)
{
	u16 v;

	get(r, &v, sizeof(v));
	return v;
}

u32 p9_get_u32(struct p9_reader *r)
{
	u32 v;

	get(r, &v, sizeof(v));
	return v;
}

u64 p9_get_u64(struct p9_reader *r)
{
	u64 v;

	get(r, &v, sizeof(v));
	return v;
}

const char *p9_get_string(struct p9_reader *r, u16 *len)
{
	*len = p9_get_u16(r);
	if (r->failed || *len > r->len - r->at) {
		r->failed = true;
		*len = 0;
		return NULL;
	}

	const char *s = (const char *)r->data + r->at;

	r->at += *len;
	return s;
}

struct p9_qid p9_get_qid(struct p9_reader *r)
{
	struct p9_qid q;

	q.type = p9_get_u8(r);
	q.version = p9_get_u32(r);
	q.path = p9_get_u64(r);
	return q;
}

/* Rgetattr, after the header. */
void p9_get_attributes(struct p9_reader *r, struct p9_attributes *a)
{
	p9_get_u64(r); /* valid: a host that lacks a field sends zero */
	a->qid = p9_get_qid(r);
	a->mode = p9_get_u32(r);
	a->uid = p9_get_u32(r);
	a->gid = p9_get_u32(r);
	a->nlink = p9_get_u64(r);
	a->rdev = p9_get_u64(r);
	a->size = p9_get_u64(r);
	a->blksize = p9_get_u64(r);
	a->blocks = p9_get_u64(r);
	a->atime_sec = p9_get_u64(r);
	a->atime_nsec = p9_get_u64(r);
	a->mtime_sec = p9_get_u64(r);
	a->mtime_nsec = p9_get_u64(r);
	a->ctime_sec = p9_get_u64(r);
	a->ctime_nsec = p9_get_u64(r);
}
