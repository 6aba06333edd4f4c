/* Functions that gcc calls for operations without an instruction in the base instruction set. */
#include <nos/string.h>

int __popcountdi2(u64 x);
unsigned __int128 __udivti3(unsigned __int128 n, unsigned __int128 d);

/* Hacker's Delight, 5-1. */
__compiler_calls int __popcountdi2(u64 x)
{
	x -= (x >> 1) & 0x5555555555555555ull;
	x = (x & 0x3333333333333333ull) + ((x >> 2) & 0x3333333333333333ull);
	x = (x + (x >> 4)) & 0x0f0f0f0f0f0f0f0full;
	return (int)((x * 0x0101010101010101ull) >> 56);
}

/* 128 by 64 bits in two steps of the hardware's division; a wider divisor bit by bit. */
__compiler_calls unsigned __int128 __udivti3(unsigned __int128 n, unsigned __int128 d)
{
	u64 high = (u64)(n >> 64), low = (u64)n, divisor = (u64)d;
	unsigned __int128 quotient = 0, rest = 0;

	if (!(d >> 64)) {
		u64 quotient_high = high / divisor, remainder = high % divisor;

		__asm__("divq %2" : "+a"(low), "+d"(remainder) : "r"(divisor) : "cc");
		return (unsigned __int128)quotient_high << 64 | low;
	}
	for (int i = 127; i >= 0; i--) {
		rest = rest << 1 | ((n >> i) & 1);
		if (rest >= d) {
			rest -= d;
			quotient |= (unsigned __int128)1 << i;
		}
	}
	return quotient;
}
