/* Private to page faults: what fault.c, which tries, and fault_slow.c, which may sleep, share. */
#pragma once

#include "aspace_internal.h"

/* Results of a try, beyond enum fault_result. */
#define TRY_AGAIN 64
#define TRY_SLOW 65
#define TRY_MEMORY 66
#define TRY_COPY 67 /* within fault_copy */
#define TRY_HUGE 68 /* anonymous memory by 2 MiB */
#define TRY_BLOCK 69 /* 2 MiB of a file are there, to be mapped by one entry */

/* What an earlier try or the slow path has made ready. */
struct supply {
	struct folio *anon; /* a page of our own */
	bool anon_is_zero;
	bool is_major;
	bool no_huge; /* 2 MiB could not be had */
	struct folio *file; /* keeps what was read from going away */
};

static inline bool access_is_allowed(u32 flags, u32 access)
{
	if (access & ACCESS_FORCE) /* MAY_ bits stand for the rights */
		return access & ACCESS_WRITE ?
			       (flags & MAPPING_MAY_WRITE) &&
				       !((flags & MAPPING_SHARED) && !(flags & MAPPING_WRITE)) :
			       (flags & MAPPING_MAY_READ) != 0;
	u32 enough = access & ACCESS_WRITE ? MAPPING_WRITE :
		     access & ACCESS_EXEC  ? MAPPING_EXEC :
					     MAPPING_READ | MAPPING_WRITE | MAPPING_EXEC;

	return flags & enough;
}

static inline bool cache_tracks_stores(const struct page_cache *c)
{
	return !page_cache_is_memory(c) && c->ops->write_folio;
}

/* What a try with TRY_SLOW, or TRY_MEMORY, has left to do: TRY_AGAIN, or how the fault ends. */
int fault_slow(struct aspace *a, u64 address, u32 access, struct supply *s);
int fault_wait_memory(struct aspace *a, u64 address, struct supply *s);
