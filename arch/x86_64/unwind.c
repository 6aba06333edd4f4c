/*
 * Backtraces by .eh_frame: a small interpreter of DWARF call frame information,
 * enough for what gcc and entry.S make.
 *
 * It runs in panics, on stacks that may be damaged, so it trusts nothing: each
 * stack word is read by probe_read_u64, which survives a fault; instructions
 * and expressions are bounded by their records; the chain ends after
 * MAX_FRAMES, where the rule for the return address is "undefined", or where
 * the canonical frame address does not grow.
 *
 * The table of .eh_frame_hdr is sorted by address (LSB core, 10.6).  DWARF 5,
 * 6.4; register numbers in the psABI, figure 3.36.
 */
#include <nos/arch.h>
#include <nos/log.h>
#include <nos/string.h>

#include "unwind.h"
#include "x86.h"

#define MAX_FRAMES 48
#define STATE_STACK 4

enum {
	CFA_ADVANCE1 = 2,
	CFA_ADVANCE2,
	CFA_ADVANCE4,
	CFA_OFFSET_EXTENDED,
	CFA_RESTORE_EXTENDED,
	CFA_UNDEFINED,
	CFA_SAME_VALUE,
	CFA_REGISTER,
	CFA_REMEMBER,
	CFA_RESTORE_STATE,
	CFA_DEF_CFA,
	CFA_DEF_CFA_REGISTER,
	CFA_DEF_CFA_OFFSET,
	CFA_DEF_CFA_EXPRESSION,
	CFA_EXPRESSION,
	CFA_OFFSET_EXTENDED_SF,
	CFA_DEF_CFA_SF,
	CFA_DEF_CFA_OFFSET_SF,
	CFA_GNU_ARGS_SIZE = 0x2e
};

/* A bounded reader: past the end it gives zeros and stays there. */
struct reader {
	const u8 *at, *end;
};

static u64 read_fixed(struct reader *r, unsigned len)
{
	u64 v = 0;

	if ((size_t)(r->end - r->at) < len) {
		r->at = r->end;
		return 0;
	}
	memcpy(&v, r->at, len);
	r->at += len;
	return v;
}

static u64 read_uleb(struct reader *r)
{
	u64 v = 0;

	for (unsigned shift = 0; r->at < r->end; shift += 7) {
		u8 b = *r->at++;

		if (shift < 64)
			v |= (u64)(b & 0x7f) << shift;
		if (!(b & 0x80))
			break;
	}
	return v;
}

static s64 read_sleb(struct reader *r)
{
	u64 v = 0;

	for (unsigned shift = 0; r->at < r->end;) {
		u8 b = *r->at++;

		if (shift < 64)
			v |= (u64)(b & 0x7f) << shift;
		shift += 7;
		if (!(b & 0x80)) {
			if (b & 0x40 && shift < 64)
				v |= ~0ull << shift;
			break;
		}
	}
	return (s64)v;
}

struct cie {
	struct reader instructions;
	u64 code_align;
	s64 data_align;
	u8 encoding; /* of addresses in its FDEs */
	bool augmented;
};

/* Pointers are pc-relative 32-bit (what gcc makes for the kernel) or absolute. */
static bool read_pointer(struct reader *r, u8 encoding, u64 section_address, u64 *value)
{
	u64 here = (u64)r->at + section_address;

	switch (encoding & 0x0f) {
	case 0x00:
	case 0x04:
	case 0x0c:
		*value = read_fixed(r, 8);
		break;
	case 0x03:
		*value = read_fixed(r, 4);
		break;
	case 0x0b:
		*value = (u64)(s64)(s32)read_fixed(r, 4);
		break;
	default:
		return false;
	}
	if ((encoding & 0x70) == 0x10)
		*value += here;
	else if (encoding & 0x70)
		return false;
	return true;
}

static bool cie_parse(struct reader r, struct cie *c)
{
	u8 version = (u8)read_fixed(&r, 1);
	const char *augmentation = (const char *)r.at;
	const u8 *nul = memchr(r.at, 0, (size_t)(r.end - r.at));

	if ((version != 1 && version != 3) || !nul)
		return false;
	r.at = nul + 1;
	c->code_align = read_uleb(&r);
	c->data_align = read_sleb(&r);
	if (version == 1)
		read_fixed(&r, 1);
	else
		read_uleb(&r);
	c->encoding = 0;
	c->augmented = *augmentation == 'z';
	if (*augmentation && !c->augmented)
		return false;
	if (c->augmented) {
		u64 len = read_uleb(&r);
		const u8 *data_end = r.at + min(len, (u64)(r.end - r.at));

		for (const char *a = augmentation + 1; *a; a++) {
			if (*a == 'R')
				c->encoding = (u8)read_fixed(&r, 1);
			else if (*a != 'S')
				return false;
		}
		r.at = data_end;
	}
	c->instructions = r;
	return true;
}

/* The record's body at `at`, without its length word; empty if it does not fit. */
static struct reader record_at(const struct unwind_table *t, const u8 *at)
{
	struct reader r = { at, t->frames_end };

	if (at < t->frames || at >= t->frames_end)
		return (struct reader){ t->frames_end, t->frames_end };
	u64 len = read_fixed(&r, 4);

	if (len == U32_MAX || len > (u64)(r.end - r.at))
		len = 0;
	r.end = r.at + len;
	return r;
}

/* ---- executing one row ---- */

struct rules {
	u64 cfa_offset;
	u8 cfa_register;
	bool cfa_known;
	struct {
		enum { SAME, AT_CFA, UNDEFINED } kind;
		s64 offset;
	} registers[UNWIND_REGISTERS];
};

static void rule_set(struct rules *s, u64 reg, int kind, s64 offset)
{
	if (reg >= UNWIND_REGISTERS)
		return;
	s->registers[reg].kind = kind;
	s->registers[reg].offset = offset;
}

struct machine {
	const struct cie *cie;
	struct rules now, initial, stack[STATE_STACK];
	unsigned depth;
	u64 location, target;
};

/* One instruction with operands; false where the row's end is reached or it is unknown. */
static bool execute_extended(struct machine *m, struct reader *r, u8 op)
{
	struct rules *s = &m->now;
	u64 reg;

	switch (op) {
	case 0:
		return true;
	case CFA_ADVANCE1:
	case CFA_ADVANCE2:
	case CFA_ADVANCE4:
		m->location += read_fixed(r, 1u << (op - CFA_ADVANCE1)) * m->cie->code_align;
		return m->location <= m->target;
	case CFA_OFFSET_EXTENDED:
		reg = read_uleb(r);
		rule_set(s, reg, AT_CFA, (s64)read_uleb(r) * m->cie->data_align);
		return true;
	case CFA_OFFSET_EXTENDED_SF:
		reg = read_uleb(r);
		rule_set(s, reg, AT_CFA, read_sleb(r) * m->cie->data_align);
		return true;
	case CFA_RESTORE_EXTENDED:
		reg = read_uleb(r);
		if (reg < UNWIND_REGISTERS)
			s->registers[reg] = m->initial.registers[reg];
		return true;
	case CFA_UNDEFINED:
		rule_set(s, read_uleb(r), UNDEFINED, 0);
		return true;
	case CFA_SAME_VALUE:
		rule_set(s, read_uleb(r), SAME, 0);
		return true;
	case CFA_REMEMBER:
		if (m->depth == STATE_STACK)
			return false;
		m->stack[m->depth++] = *s;
		return true;
	case CFA_RESTORE_STATE:
		if (m->depth == 0)
			return false;
		*s = m->stack[--m->depth];
		return true;
	case CFA_DEF_CFA:
		s->cfa_register = (u8)read_uleb(r);
		s->cfa_offset = read_uleb(r);
		s->cfa_known = true;
		return true;
	case CFA_DEF_CFA_REGISTER:
		s->cfa_register = (u8)read_uleb(r);
		return true;
	case CFA_DEF_CFA_OFFSET:
		s->cfa_offset = read_uleb(r);
		return true;
	case CFA_DEF_CFA_EXPRESSION:
		s->cfa_known = false;
		r->at += min(read_uleb(r), (u64)(r->end - r->at));
		return true;
	case CFA_GNU_ARGS_SIZE:
		read_uleb(r);
		return true;
	}
	return false;
}

static void execute(struct machine *m, struct reader r)
{
	while (r.at < r.end) {
		u8 op = *r.at++, low = op & 0x3f;

		switch (op >> 6) {
		case 1:
			m->location += low * m->cie->code_align;
			if (m->location > m->target)
				return;
			break;
		case 2:
			rule_set(&m->now, low, AT_CFA, (s64)read_uleb(&r) * m->cie->data_align);
			break;
		case 3:
			if (low < UNWIND_REGISTERS)
				m->now.registers[low] = m->initial.registers[low];
			break;
		default:
			if (!execute_extended(m, &r, op))
				return;
		}
	}
}

/* ---- finding the record of an address ---- */

static const u8 *fde_find(const struct unwind_table *t, u64 pc)
{
	struct reader r = { t->header, t->header_end };
	u8 version = (u8)read_fixed(&r, 1), pointer = (u8)read_fixed(&r, 1);
	u8 count_encoding = (u8)read_fixed(&r, 1), table = (u8)read_fixed(&r, 1);

	/* What ld makes: 4-byte count, pairs of 4-byte offsets from the header. */
	if (version != 1 || (pointer & 0x0f) != 0x0b || count_encoding != 0x03 || table != 0x3b)
		return NULL;
	read_fixed(&r, 4);
	u64 count = read_fixed(&r, 4);

	if (count == 0 || count > (u64)(r.end - r.at) / 8)
		return NULL;
	s64 wanted = (s64)(pc - t->header_address);
	u64 low = 0, high = count;

	while (high - low > 1) {
		u64 middle = (low + high) / 2;
		s32 start;

		memcpy(&start, r.at + middle * 8, 4);
		if (start <= wanted)
			low = middle;
		else
			high = middle;
	}
	s32 fde;

	memcpy(&fde, r.at + low * 8 + 4, 4);
	return t->header + fde;
}

/* Rules that hold at pc; false if no record covers it. */
static bool rules_at(const struct unwind_table *t, u64 pc, struct machine *m, struct cie *cie)
{
	const u8 *at = fde_find(t, pc);
	struct reader fde = at ? record_at(t, at) : (struct reader){ 0 };

	if (!at || fde.end - fde.at < 8)
		return false;
	const u8 *id_at = fde.at;
	u64 back = read_fixed(&fde, 4);

	if (back == 0 || back > (u64)(id_at - t->frames))
		return false;
	struct reader c = record_at(t, id_at - back);
	u64 start, length, delta = t->header_address - (u64)t->header;

	if (read_fixed(&c, 4) != 0 || !cie_parse(c, cie))
		return false;
	if (!read_pointer(&fde, cie->encoding, delta, &start) ||
	    !read_pointer(&fde, cie->encoding & 0x0f, 0, &length))
		return false;
	if (pc < start || pc - start >= length)
		return false;
	if (cie->augmented) {
		u64 len = read_uleb(&fde);

		fde.at += min(len, (u64)(fde.end - fde.at));
	}
	memset(m, 0, sizeof(*m));
	m->cie = cie;
	m->target = U64_MAX;
	execute(m, cie->instructions);
	m->initial = m->now;
	m->location = start;
	m->target = pc;
	execute(m, fde);
	return true;
}

bool unwind_step(const struct unwind_table *t, struct unwind_state *s, bool is_return_address)
{
	struct machine m;
	struct cie cie;
	struct unwind_state out;

	/* A return address may be one past the end of a function that never returns. */
	if (!rules_at(t, s->registers[UNWIND_RIP] - is_return_address, &m, &cie) ||
	    !m.now.cfa_known || m.now.cfa_register >= UNWIND_REGISTERS)
		return false;
	u64 cfa = s->registers[m.now.cfa_register] + m.now.cfa_offset;

	out = *s;
	out.registers[UNWIND_RSP] = cfa;
	for (unsigned i = 0; i < UNWIND_REGISTERS; i++) {
		if (m.now.registers[i].kind == AT_CFA &&
		    !t->read(&out.registers[i],
			     (const void *)(cfa + (u64)m.now.registers[i].offset)))
			return false;
		if (i == UNWIND_RIP && m.now.registers[i].kind != AT_CFA)
			return false;
	}
	*s = out;
	return true;
}
