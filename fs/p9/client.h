/* The 9P client: requests in flight, tags, fids, one function a message.  Private to fs/p9. */
#pragma once

#include <nos/channel.h>
#include <nos/lock.h>
#include <nos/page.h>
#include <nos/pool.h>
#include <nos/types.h>
#include <nos/wait.h>

#include "wire.h"

#define P9_MAX_TAGS 64
#define P9_MAX_READS_STARTED 40 /* so that tags are left for others */
#define P9_BUFFER 8192 /* small messages: out and in each */
#define P9_MAX_DATA (128 * PAGE_SIZE)

struct p9_client;

struct p9_request {
	struct channel_request channel;
	struct p9_client *client;
	u8 *out, *in; /* P9_BUFFER each, one block */
	struct p9_writer writer;
	struct p9_reader reader; /* after the header */
	u16 tag;
	u8 type;
	u32 in_len;
	bool done;
	/* Nobody waits: called at the reply, in the interrupt; the request is freed behind it. */
	void (*finish)(struct p9_request *r);
	void (*read_done)(void *data, ssize_t result); /* of p9_read_start */
	void *read_data;
	struct thread *waiter;
	struct channel_segment out_segments[CHANNEL_MAX_SEGMENTS];
	struct channel_segment in_segments[CHANNEL_MAX_SEGMENTS];
	u32 nr_out_data, nr_in_data; /* segments behind the message's own */
	struct p9_request *next_free;
};

struct p9_client {
	struct channel *channel;
	u32 msize;
	struct spinlock lock; /* tags, fids, free requests; interrupts off */
	u64 tags_used;
	struct wait_queue tags_free;
	struct p9_request *free_requests;
	u32 nr_free_requests;
	struct pool requests; /* where there is neither a free one nor memory */
	u32 next_fid;
	u32 *free_fids; /* stack */
	u32 nr_free_fids, free_fids_size;
	u32 nr_detached; /* requests that nobody waits for */
	u32 nr_reads_started; /* of them, reads */
};

struct p9_client *p9_client_create(const char *tag, u32 msize); /* ERR; version is negotiated */
void p9_client_destroy(struct p9_client *c);
/* Frees the requests that it keeps for the next that asks. */
void p9_client_drain(struct p9_client *c);

u32 p9_fid_allocate(struct p9_client *c);
/* Tclunk without waiting for its reply; the number is free again when it came. */
void p9_clunk(struct p9_client *c, u32 fid);

/* All sleep; 0 or −errno.  A fatal signal ends the wait with -ERESTARTSYS after Tflush. */
int p9_attach(struct p9_client *c, u32 fid, const char *aname, struct p9_qid *qid);
/* name NULL: clones the fid. */
int p9_walk(struct p9_client *c, u32 fid, u32 new_fid, const char *name, size_t len,
	    struct p9_qid *qid);
int p9_getattr(struct p9_client *c, u32 fid, struct p9_attributes *a);
/*
 * Many names below one fid in two rounds of messages: walks, then attributes.  Of each, `err` says
 * what came of it; with 0 the fid is the caller's.
 */
#define P9_BATCH 16
struct p9_looked_up {
	const char *name;
	u16 len;
	int err;
	u32 fid;
	struct p9_attributes attributes;
};
void p9_walk_many(struct p9_client *c, u32 fid, struct p9_looked_up *items, u32 nr);
int p9_lopen(struct p9_client *c, u32 fid, u32 flags);
int p9_lcreate(struct p9_client *c, u32 fid, const char *name, size_t len, u32 flags, u32 mode,
	       u32 gid);
int p9_mkdir(struct p9_client *c, u32 dir, const char *name, size_t len, u32 mode, u32 gid);
int p9_mknod(struct p9_client *c, u32 dir, const char *name, size_t len, u32 mode, u64 dev,
	     u32 gid);
int p9_symlink(struct p9_client *c, u32 dir, const char *name, size_t len, const char *target,
	       u32 gid);
int p9_link(struct p9_client *c, u32 dir, u32 fid, const char *name, size_t len);
int p9_renameat(struct p9_client *c, u32 old_dir, const char *old, size_t old_len, u32 new_dir,
		const char *new, size_t new_len);
int p9_unlinkat(struct p9_client *c, u32 dir, const char *name, size_t len, u32 flags);
/* Copies at most size bytes; the length. */
ssize_t p9_readlink(struct p9_client *c, u32 fid, char *to, size_t size);
int p9_fsync(struct p9_client *c, u32 fid, bool data_only);
struct p9_set {
	u32 valid, mode, uid, gid; /* P9_SET_ */
	u64 size, atime_sec, atime_nsec, mtime_sec, mtime_nsec;
};
#define P9_SET_MODE 1u
#define P9_SET_UID 2u
#define P9_SET_GID 4u
#define P9_SET_SIZE 8u
#define P9_SET_ATIME 16u
#define P9_SET_MTIME 32u
#define P9_SET_CTIME 64u
#define P9_SET_ATIME_SET 128u
#define P9_SET_MTIME_SET 256u
int p9_setattr(struct p9_client *c, u32 fid, const struct p9_set *s);
struct fs_stats;
int p9_statfs(struct p9_client *c, u32 fid, struct fs_stats *s);
/* Data straight to or from physical segments; bytes moved (short: end of file) or −errno. */
ssize_t p9_read(struct p9_client *c, u32 fid, u64 offset, const struct channel_segment *to, u32 nr,
		u32 len);
/*
 * The same for one segment without waiting: done is called with what p9_read would return, in the
 * interrupt.  -EAGAIN: enough of these are under way; -EINVAL: more than one message.
 */
int p9_read_start(struct p9_client *c, u32 fid, u64 offset, struct channel_segment to,
		  void (*done)(void *data, ssize_t result), void *data);
ssize_t p9_write(struct p9_client *c, u32 fid, u64 offset, const struct channel_segment *from,
		 u32 nr, u32 len);
/* Entries after `offset` into the buffer (direct map), as Rreaddir lays them out. */
ssize_t p9_readdir(struct p9_client *c, u32 fid, u64 offset, void *to, u32 size);
/* A fid to read the value from; its size in *size.  name "": the list of names. */
int p9_xattrwalk(struct p9_client *c, u32 fid, u32 new_fid, const char *name, u64 *size);
int p9_xattrcreate(struct p9_client *c, u32 fid, const char *name, u64 size, u32 flags);
