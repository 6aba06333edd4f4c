/* Memory and string functions, bit searches and bitmaps, number parsing and formatting (lib/). */
#pragma once

#include <nos/types.h>

void *memcpy(void *to, const void *from, size_t n);
void *memmove(void *to, const void *from, size_t n);
void *memset(void *to, int c, size_t n);
int memcmp(const void *a, const void *b, size_t n);
void *memchr(const void *s, int c, size_t n);
size_t strlen(const char *s);
size_t strnlen(const char *s, size_t max);
int strcmp(const char *a, const char *b);
int strncmp(const char *a, const char *b, size_t n);
char *strchr(const char *s, int c);
char *strrchr(const char *s, int c);
char *strstr(const char *s, const char *what);

/* The compiler expands small constant sizes where they stand, and calls the functions otherwise. */
#define memcpy __builtin_memcpy
#define memset __builtin_memset
#define memcmp __builtin_memcmp
#define strlen __builtin_strlen

/* Copies with truncation, always terminates; returns the length of `from`. */
size_t string_copy(char *to, const char *from, size_t size);
/* printf: %d %i %u %x %X %o %c %s %p %% with l, ll, z, h, hh, width, precision, - 0 + # space. */
int snprintf(char *to, size_t size, const char *format, ...) __printf(3, 4);
int vsnprintf(char *to, size_t size, const char *format, va_list args);
/* Whole string as a number (base 0 = 0x, 0 prefixes); -EINVAL or -ERANGE. */
int string_to_u64(const char *s, unsigned base, u64 *value) __must_check;

/* Bitmaps of 64-bit words.  *_atomic variants are full barriers. */
static inline bool bitmap_test(const u64 *map, size_t n)
{
	return (READ_ONCE(map[n / 64]) >> (n % 64)) & 1;
}
static inline void bitmap_set(u64 *map, size_t n)
{
	map[n / 64] |= 1ull << (n % 64);
}
static inline void bitmap_clear(u64 *map, size_t n)
{
	map[n / 64] &= ~(1ull << (n % 64));
}
/* First zero/one at or after `from`, or nr_bits. */
size_t bitmap_find_zero(const u64 *map, size_t nr_bits, size_t from);
size_t bitmap_find_one(const u64 *map, size_t nr_bits, size_t from);
size_t bitmap_count(const u64 *map, size_t nr_bits);
#define BITMAP_WORDS(n) (((n) + 63) / 64)

/* log2 rounded down; n must not be 0. */
static inline unsigned log2_floor(u64 n)
{
	return 63 - (unsigned)__builtin_clzll(n);
}
static inline unsigned log2_ceil(u64 n)
{
	return n <= 1 ? 0 : 64 - (unsigned)__builtin_clzll(n - 1);
}

/* SipHash-1-3 with a key chosen at boot: for tables that users can fill. */
u64 hash_bytes(const void *data, size_t len, u64 seed);
void hash_set_key(u64 k0, u64 k1); /* once, before the first table is filled */
void hash_get_key(u64 key[2]);
/* Fast mix of one word. */
static inline u64 hash_u64(u64 x)
{
	return x * 0x9e3779b97f4a7c15ull;
}
/* CRC-32C (Castagnoli), as ext4 uses; neither complements: the standard CRC is
 * ~crc32c(~0, data, len). */
u32 crc32c(u32 crc, const void *data, size_t len);
