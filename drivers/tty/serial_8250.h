/* Private to drivers/tty: how the settings of a terminal look to a 16550. */
#pragma once

#include <nos/types.h>

#define SERIAL_SPEED_MAX 115200u /* 1.8432 MHz / 16 */

/* For a speed in bits a second, nearest; 0: the chip can't. */
u16 serial_divisor(u32 speed);
/* The line control register for termios' c_cflag. */
u8 serial_line_control(u32 cflag);
