/*
 * 9P2000.L messages: a writer and a reader over bounded bytes (wire.c).  Both
 * remember the first overrun instead of reporting each step; replies come from
 * outside and are believed only when `failed` is still false at the end.
 */
#pragma once

#include <nos/types.h>

enum p9_type {
	P9_RLERROR = 7,
	P9_TSTATFS = 8,
	P9_TLOPEN = 12,
	P9_TLCREATE = 14,
	P9_TSYMLINK = 16,
	P9_TMKNOD = 18,
	P9_TREADLINK = 22,
	P9_TGETATTR = 24,
	P9_TSETATTR = 26,
	P9_TXATTRWALK = 30,
	P9_TXATTRCREATE = 32,
	P9_TREADDIR = 40,
	P9_TFSYNC = 50,
	P9_TLINK = 70,
	P9_TMKDIR = 72,
	P9_TRENAMEAT = 74,
	P9_TUNLINKAT = 76,
	P9_TVERSION = 100,
	P9_TATTACH = 104,
	P9_TFLUSH = 108,
	P9_TWALK = 110,
	P9_TREAD = 116,
	P9_TWRITE = 118,
	P9_TCLUNK = 120,
};

#define P9_HEADER 7 /* size[4] type[1] tag[2] */
#define P9_READ_HEADER 11 /* header count[4]; an error reply has the same size */
#define P9_WRITE_HEADER 23 /* header fid[4] offset[8] count[4] */
#define P9_NO_TAG 0xffff
#define P9_NO_FID 0xffffffffu

#define P9_QID_DIR 0x80
#define P9_QID_SYMLINK 0x02

struct p9_writer {
	u8 *data;
	u32 len, size;
	bool failed;
};

struct p9_reader {
	const u8 *data;
	u32 at, len;
	bool failed;
};

struct p9_qid {
	u8 type;
	u32 version;
	u64 path;
};

struct p9_attributes {
	struct p9_qid qid;
	u32 mode, uid, gid;
	u64 nlink, rdev, size, blksize, blocks;
	u64 atime_sec, atime_nsec, mtime_sec, mtime_nsec, ctime_sec, ctime_nsec;
};

void p9_put_u8(struct p9_writer *w, u8 v);
void p9_put_u16(struct p9_writer *w, u16 v);
void p9_put_u32(struct p9_writer *w, u32 v);
void p9_put_u64(struct p9_writer *w, u64 v);
void p9_put_string(struct p9_writer *w, const char *s, size_t len);

u8 p9_get_u8(struct p9_reader *r);
u16 p9_get_u16(struct p9_reader *r);
u32 p9_get_u32(struct p9_reader *r);
u64 p9_get_u64(struct p9_reader *r);
/* Points into the message; length in *len; NULL after an overrun. */
const char *p9_get_string(struct p9_reader *r, u16 *len);
struct p9_qid p9_get_qid(struct p9_reader *r);
void p9_get_attributes(struct p9_reader *r, struct p9_attributes *a);
