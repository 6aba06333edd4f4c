/*
 * Memory and string functions.
 *
 * Bulk moves use `rep movsq`/`rep stosq`, which every x86-64 processor runs at
 * the width of its cache path; short ones (most calls) are a few overlapping
 * loads and stores, because starting a string instruction costs more than they
 * do.  The kernel uses no vector registers.
 */
#include <nos/string.h>

#undef memcpy
#undef memset
#undef memcmp
#undef strlen

/* Words at any address. */
struct word64 {
	u64 value;
} __packed;
struct word32 {
	u32 value;
} __packed;

static inline u64 load64(const u8 *p)
{
	return ((const struct word64 *)p)->value;
}

static inline void store64(u8 *p, u64 v)
{
	((struct word64 *)p)->value = v;
}

static inline u32 load32(const u8 *p)
{
	return ((const struct word32 *)p)->value;
}

static inline void store32(u8 *p, u32 v)
{
	((struct word32 *)p)->value = v;
}

/* At most 16 bytes; all loads come before the stores, so overlap is harmless. */
static inline void copy_small(u8 *d, const u8 *s, size_t n)
{
	if (n >= 8) {
		u64 first = load64(s), last = load64(s + n - 8);

		store64(d, first);
		store64(d + n - 8, last);
	} else if (n >= 4) {
		u32 first = load32(s), last = load32(s + n - 4);

		store32(d, first);
		store32(d + n - 4, last);
	} else if (n) {
		u8 first = s[0], middle = s[n / 2], last = s[n - 1];

		d[0] = first;
		d[n / 2] = middle;
		d[n - 1] = last;
	}
}

void *memcpy(void *to, const void *from, size_t n)
{
	u8 *d = to;
	const u8 *s = from;

	if (n <= 16) {
		copy_small(d, s, n);
		return to;
	}

	u64 last = load64(s + n - 8);
	u8 *d_last = d + n - 8;

	if (n <= 64) {
		for (; d < d_last; d += 8, s += 8)
			store64(d, load64(s));
	} else {
		size_t words = n / 8;

		__asm__ volatile("rep movsq" : "+D"(d), "+S"(s), "+c"(words)::"memory");
	}
	store64(d_last, last);
	return to;
}

void *memmove(void *to, const void *from, size_t n)
{
	u8 *d = to;
	const u8 *s = from;

	if (n <= 16) {
		copy_small(d, s, n);
		return to;
	}
	if ((uintptr_t)d - (uintptr_t)s >= n) {
		/* Forward is safe: the target starts before the source, or after its end. */
		u64 last = load64(s + n - 8);
		u8 *d_last = d + n - 8;

		for (; d < d_last; d += 8, s += 8)
			store64(d, load64(s));
		store64(d_last, last);
	} else {
		u64 first = load64(s);

		while (n > 8) {
			n -= 8;
			store64(d + n, load64(s + n));
		}
		store64(d, first);
	}
	return to;
}

void *memset(void *to, int c, size_t n)
{
	u8 *d = to;
	u64 pattern = (u8)c * 0x0101010101010101ull;

	if (n < 8) {
		if (n >= 4) {
			store32(d, (u32)pattern);
			store32(d + n - 4, (u32)pattern);
		} else if (n) {
			d[0] = (u8)c;
			d[n / 2] = (u8)c;
			d[n - 1] = (u8)c;
		}
		return to;
	}
	store64(d + n - 8, pattern);
	if (n <= 64) {
		for (u8 *end = d + n - 8; d < end; d += 8)
			store64(d, pattern);
	} else {
		size_t words = n / 8;

		__asm__ volatile("rep stosq" : "+D"(d), "+c"(words) : "a"(pattern) : "memory");
	}
	return to;
}

int memcmp(const void *a, const void *b, size_t n)
{
	const u8 *x = a, *y = b;

	while (n >= 8 && load64(x) == load64(y)) {
		x += 8;
		y += 8;
		n -= 8;
	}
	for (; n; n--, x++, y++)
		if (*x != *y)
			return *x - *y;
	return 0;
}

void *memchr(const void *s, int c, size_t n)
{
	for (const u8 *p = s; n; n--, p++)
		if (*p == (u8)c)
			return (void *)p;
	return NULL;
}

size_t strlen(const char *s)
{
	const char *p = s;

	while (*p)
		p++;
	return (size_t)(p - s);
}

size_t strnlen(const char *s, size_t max)
{
	size_t n = 0;

	while (n < max && s[n])
		n++;
	return n;
}

int strcmp(const char *a, const char *b)
{
	while (*a && *a == *b) {
		a++;
		b++;
	}
	return (u8)*a - (u8)*b;
}

int strncmp(const char *a, const char *b, size_t n)
{
	for (; n; n--, a++, b++)
		if (*a != *b || !*a)
			return (u8)*a - (u8)*b;
	return 0;
}

char *strchr(const char *s, int c)
{
	for (;; s++) {
		if (*s == (char)c)
			return (char *)s;
		if (!*s)
			return NULL;
	}
}

char *strrchr(const char *s, int c)
{
	const char *found = NULL;

	do {
		if (*s == (char)c)
			found = s;
	} while (*s++);
	return (char *)found;
}

char *strstr(const char *s, const char *what)
{
	size_t len = strlen(what);

	for (;; s++) {
		if (strncmp(s, what, len) == 0)
			return (char *)s;
		if (!*s)
			return NULL;
	}
}

size_t string_copy(char *to, const char *from, size_t size)
{
	size_t len = strlen(from);

	if (size) {
		size_t n = min(len, size - 1);

		memcpy(to, from, n);
		to[n] = '\0';
	}
	return len;
}
