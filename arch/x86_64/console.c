/*
 * The early console: the first serial port, polled, in any context.  A port
 * that does not answer (line status 0xff) is not used.
 */
#include <nos/arch.h>

#include "x86.h"

#define COM1 0x3f8
#define LINE_STATUS (COM1 + 5)
#define TRANSMIT_EMPTY 0x20
#define SPIN_LIMIT 100000

static void console_put(u8 c)
{
	for (unsigned i = 0; i < SPIN_LIMIT; i++) {
		u8 status = port_in8(LINE_STATUS);

		if (status == 0xff)
			return;
		if (status & TRANSMIT_EMPTY)
			break;
	}
	port_out8(COM1, c);
}

void arch_console_write(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (s[i] == '\n')
			console_put('\r');
		console_put((u8)s[i]);
	}
}
