/* Text to number. */
#include <nos/errno.h>
#include <nos/string.h>

static unsigned digit_value(char c)
{
	if (c >= '0' && c <= '9')
		return (unsigned)(c - '0');
	if (c >= 'a' && c <= 'z')
		return (unsigned)(c - 'a') + 10;
	if (c >= 'A' && c <= 'Z')
		return (unsigned)(c - 'A') + 10;
	return 99;
}

int string_to_u64(const char *s, unsigned base, u64 *value)
{
	u64 sum = 0;

	if (s[0] == '0' && (s[1] == 'x' || s[1] == 'X') && (base == 0 || base == 16)) {
		base = 16;
		s += 2;
	} else if (base == 0) {
		base = s[0] == '0' && s[1] ? 8 : 10;
	}
	if (!*s)
		return -EINVAL;
	for (; *s; s++) {
		unsigned digit = digit_value(*s);
		u64 scaled;

		if (digit >= base)
			return -EINVAL;
		if (__builtin_mul_overflow(sum, (u64)base, &scaled) ||
		    __builtin_add_overflow(scaled, (u64)digit, &sum))
			return -ERANGE;
	}
	*value = sum;
	return 0;
}
