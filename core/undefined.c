/*
 * Undefined behaviour, as compiled code of the sanitizing kernel reports it
 * (-fsanitize=undefined): each function here is called at the place where it
 * happens, with a record that names it.  All of it is a panic.
 */
#include <nos/sanitize.h>

#ifdef SANITIZE

#include <nos/assert.h>
#include <nos/log.h>

/* The compiler's records. */
struct source_place {
	const char *file;
	u32 line, column;
};
struct type_record {
	u16 kind; /* 0: integer; info: bit 0 signed, above it log2 of the bits */
	u16 info;
	char name[];
};
struct place_record {
	struct source_place place;
};
struct type_place_record {
	struct source_place place;
	const struct type_record *type;
};
struct two_types_record {
	struct source_place place;
	const struct type_record *left, *right;
};
struct mismatch_record {
	struct source_place place;
	const struct type_record *type;
	u8 log_alignment, kind;
};

static __cold __noreturn void undefined(const struct source_place *p, const char *what,
					const char *type)
{
	log_set_console_level(LOG_DEBUG + 1);
	panic("sanitizer: undefined behaviour: %s%s%s at %s:%u:%u", what, type ? " of " : "",
	      type ? type : "", p->file, p->line, p->column);
}

static s64 value_of(const struct type_record *t, u64 v)
{
	unsigned bits = 1u << (t->info >> 1);

	if (bits >= 64 || !(t->info & 1))
		return (s64)v;
	return (s64)(v << (64 - bits)) >> (64 - bits);
}

static __cold __noreturn void undefined_values(const struct source_place *p, const char *what,
					       const struct type_record *t, u64 a, u64 b)
{
	log_set_console_level(LOG_DEBUG + 1);
	panic("sanitizer: undefined behaviour: %s of %s: %lld and %lld at %s:%u:%u", what, t->name,
	      (long long)value_of(t, a), (long long)b, p->file, p->line, p->column);
}

#define HANDLER(name, ...)                                                                         \
	void __ubsan_handle_##name(__VA_ARGS__);                                                   \
	void __ubsan_handle_##name(__VA_ARGS__)

HANDLER(add_overflow, const struct type_place_record *r, u64 a, u64 b)
{
	undefined_values(&r->place, "integer overflow in addition", r->type, a,
			 (u64)value_of(r->type, b));
}

HANDLER(sub_overflow, const struct type_place_record *r, u64 a, u64 b)
{
	undefined_values(&r->place, "integer overflow in subtraction", r->type, a,
			 (u64)value_of(r->type, b));
}

HANDLER(mul_overflow, const struct type_place_record *r, u64 a, u64 b)
{
	undefined_values(&r->place, "integer overflow in multiplication", r->type, a,
			 (u64)value_of(r->type, b));
}

HANDLER(negate_overflow, const struct type_place_record *r, u64 a)
{
	undefined_values(&r->place, "integer overflow in negation", r->type, a, 0);
}

HANDLER(divrem_overflow, const struct type_place_record *r, u64 a, u64 b)
{
	undefined_values(&r->place, "division by zero or overflow", r->type, a,
			 (u64)value_of(r->type, b));
}

HANDLER(shift_out_of_bounds, const struct two_types_record *r, u64 a, u64 b)
{
	undefined_values(&r->place, "shift out of range", r->left, a, (u64)value_of(r->right, b));
}

HANDLER(out_of_bounds, const struct two_types_record *r, u64 index)
{
	undefined_values(&r->place, "index out of bounds", r->left, (u64)value_of(r->right, index),
			 0);
}

HANDLER(type_mismatch_v1, const struct mismatch_record *r, u64 address)
{
	if (!address)
		undefined(&r->place, "null pointer used as object", r->type->name);
	if (r->log_alignment && address & (bit(r->log_alignment) - 1))
		undefined(&r->place, "misaligned pointer to object", r->type->name);
	undefined(&r->place, "object too small for the access", r->type->name);
}

HANDLER(pointer_overflow, const struct place_record *r, u64 base, u64 result)
{
	undefined(&r->place, "pointer overflow", NULL);
}

HANDLER(vla_bound_not_positive, const struct type_place_record *r, u64 bound)
{
	undefined(&r->place, "array of no positive size", r->type->name);
}

HANDLER(load_invalid_value, const struct type_place_record *r, u64 value)
{
	undefined_values(&r->place, "load of an invalid value", r->type, value, 0);
}

HANDLER(nonnull_arg, const struct place_record *r)
{
	undefined(&r->place, "null argument", NULL);
}

HANDLER(nonnull_return_v1, const struct place_record *r, const struct source_place *place)
{
	undefined(place, "null result", NULL);
}

HANDLER(invalid_builtin, const struct place_record *r)
{
	undefined(&r->place, "zero given to a bit count", NULL);
}

HANDLER(builtin_unreachable, const struct place_record *r)
{
	undefined(&r->place, "unreachable code reached", NULL);
}

HANDLER(missing_return, const struct place_record *r)
{
	undefined(&r->place, "function without return value", NULL);
}

#endif
