/* One step up the call chain by .eh_frame (unwind.c); no state of its own, for tests on the host. */
#pragma once

#include <nos/types.h>

#define UNWIND_REGISTERS 17 /* DWARF's numbers: 0 rax … 7 rsp … 15 r15, 16 return address */
#define UNWIND_RBX 3
#define UNWIND_RBP 6
#define UNWIND_RSP 7
#define UNWIND_RIP 16

/* False where memory can't be read. */
typedef bool (*unwind_read_fn)(u64 *value, const void *from);

struct unwind_table {
	const u8 *header, *header_end; /* .eh_frame_hdr */
	const u8 *frames, *frames_end; /* .eh_frame */
	u64 header_address; /* where the header is linked */
	unwind_read_fn read;
};

struct unwind_state {
	u64 registers[UNWIND_REGISTERS];
};

/* Turns *s into the caller's registers; false at the end of the chain. */
bool unwind_step(const struct unwind_table *t, struct unwind_state *s, bool is_return_address);
