/* Text that grows: what pseudo files show. */
#include <nos/pseudo.h>
#include <nos/slab.h>
#include <nos/string.h>

#define TEXT_MAX (64ul << 20)

static bool text_reserve(struct text_out *t, size_t more)
{
	size_t need = t->len + more + 1, size = t->size ? t->size : 512;
	char *data;

	if (t->failed)
		return false;
	if (need <= t->size)
		return true;
	while (size < need)
		size *= 2;
	data = size <= TEXT_MAX ? krealloc(t->data, size, 0) : NULL;
	if (!data) {
		t->failed = true;
		return false;
	}
	t->data = data;
	t->size = size;
	return true;
}

void text_write(struct text_out *t, const char *s, size_t len)
{
	if (!text_reserve(t, len))
		return;
	memcpy(t->data + t->len, s, len);
	t->len += len;
	t->data[t->len] = '\0';
}

void text_char(struct text_out *t, char c)
{
	text_write(t, &c, 1);
}

void text_printf(struct text_out *t, const char *format, ...)
{
	va_list args;
	int n;

	if (!text_reserve(t, 128))
		return;
	va_start(args, format);
	n = vsnprintf(t->data + t->len, t->size - t->len, format, args);
	va_end(args);
	if ((size_t)n >= t->size - t->len) {
		if (!text_reserve(t, (size_t)n))
			return;
		va_start(args, format);
		n = vsnprintf(t->data + t->len, t->size - t->len, format, args);
		va_end(args);
	}
	t->len += (size_t)n;
}

void text_escape(struct text_out *t, const char *s, const char *special)
{
	for (; *s; s++) {
		if (strchr(special, *s))
			text_printf(t, "\\%03o", (unsigned)(u8)*s);
		else
			text_char(t, *s);
	}
}

void text_bits(struct text_out *t, u64 map)
{
	const char *comma = "";

	while (map) {
		unsigned first = (unsigned)__builtin_ctzll(map);
		u64 above = ~(map >> first);
		unsigned nr = above ? (unsigned)__builtin_ctzll(above) : 64;

		text_printf(t, nr > 1 ? "%s%u-%u" : "%s%u", comma, first, first + nr - 1);
		map &= first + nr == 64 ? 0 : ~0ull << (first + nr);
		comma = ",";
	}
}

void text_free(struct text_out *t)
{
	kfree(t->data);
	*t = (struct text_out){ 0 };
}
