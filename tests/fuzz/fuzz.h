/*
 * What the harnesses share.  Each is one file with LLVMFuzzerTestOneInput: it
 * gives the bytes to a parser and says with VERIFY what must hold afterwards;
 * the sanitizers say the rest.  `needs:` names kernel sources as in unit tests.
 */
#pragma once

#include <nos/assert.h>
#include <nos/errno.h>
#include <nos/string.h>
#include <nos/types.h>

extern void *malloc(size_t size);
extern void *calloc(size_t nr, size_t size);
extern void free(void *p);

const bool unit_test_is_fatal = true; /* EXPECT in code shared with unit tests */

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

/* The input as a stream; behind its end come zeroes. */
struct fuzz_input {
	const u8 *at;
	size_t left;
};

static inline void fuzz_bytes(struct fuzz_input *in, void *to, size_t n)
{
	size_t have = min(n, in->left);

	memcpy(to, in->at, have);
	memset((u8 *)to + have, 0, n - have);
	in->at += have;
	in->left -= have;
}

static inline u8 fuzz_u8(struct fuzz_input *in)
{
	u8 v;

	fuzz_bytes(in, &v, sizeof(v));
	return v;
}

static inline u16 fuzz_u16(struct fuzz_input *in)
{
	u16 v;

	fuzz_bytes(in, &v, sizeof(v));
	return v;
}

static inline u32 fuzz_u32(struct fuzz_input *in)
{
	u32 v;

	fuzz_bytes(in, &v, sizeof(v));
	return v;
}

static inline u64 fuzz_u64(struct fuzz_input *in)
{
	u64 v;

	fuzz_bytes(in, &v, sizeof(v));
	return v;
}

/* The input with a NUL behind it, in memory of exactly that size; to be freed. */
static inline char *fuzz_string(const u8 *data, size_t size)
{
	char *s = malloc(size + 1);

	VERIFY(s);
	memcpy(s, data, size);
	s[size] = '\0';
	return s;
}
