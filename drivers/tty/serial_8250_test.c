/* What a 16550 is told (PC16550D data sheet, tables II and III). */
#include <nos/test.h>

#ifndef NOS_HOST

#include <asm/termbits.h>

#include "serial_8250.h"

TEST(divisors)
{
	EXPECT_EQ(serial_divisor(115200), 1);
	EXPECT_EQ(serial_divisor(57600), 2);
	EXPECT_EQ(serial_divisor(9600), 12);
	EXPECT_EQ(serial_divisor(300), 384);
	EXPECT_EQ(serial_divisor(50), 2304);
	EXPECT_EQ(serial_divisor(134), 860);
	EXPECT_EQ(serial_divisor(1), 0xffff);
	EXPECT_EQ(serial_divisor(0), 0);
	EXPECT_EQ(serial_divisor(230400), 0);
}

TEST(forms_of_characters)
{
	EXPECT_EQ(serial_line_control(CS8), 0x03);
	EXPECT_EQ(serial_line_control(CS5), 0x00);
	EXPECT_EQ(serial_line_control(CS7 | PARENB), 0x1a);
	EXPECT_EQ(serial_line_control(CS7 | PARENB | PARODD), 0x0a);
	EXPECT_EQ(serial_line_control(CS8 | CSTOPB), 0x07);
	EXPECT_EQ(serial_line_control(CS8 | PARENB | CMSPAR), 0x3b);
	EXPECT_EQ(serial_line_control(CS8 | PARODD), 0x03);
}

#endif
