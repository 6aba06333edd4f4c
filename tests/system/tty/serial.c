/* Serial lines, in a machine of its own: what the settings do to the port. */
#include "../test.h"
#include <sys/ioctl.h>
#include <termios.h>

static int port;

static void open_port(void)
{
	char text[16] = "";
	int fd = CHECK_OK(open("/proc/1/cmdline", O_RDONLY));

	CHECK(read(fd, text, sizeof(text) - 1) >= 0);
	if (strcmp(text, "/init") || geteuid() != 0)
		SKIP("takes a serial line: in a machine of its own only");
	port = open("/dev/ttyS0", O_RDWR | O_NOCTTY | O_NONBLOCK);
	if (port < 0)
		SKIP("no serial line");
}

TEST(settings_are_kept)
{
	struct termios was, t;

	open_port();
	CHECK_OK(tcgetattr(port, &was));
	t = was;
	cfsetspeed(&t, B9600);
	t.c_cflag = (t.c_cflag & ~(tcflag_t)CSIZE) | CS7 | PARENB | PARODD |
		    CSTOPB | CLOCAL;
	CHECK_OK(tcsetattr(port, TCSANOW, &t));
	CHECK_OK(tcgetattr(port, &t));
	CHECK_EQ(cfgetospeed(&t), B9600);
	CHECK_EQ(t.c_cflag & (CSIZE | PARENB | PARODD | CSTOPB),
		 CS7 | PARENB | PARODD | CSTOPB);
	/* What the chip can't do leaves the speed as it was. */
	cfsetspeed(&t, B4000000);
	CHECK_OK(tcsetattr(port, TCSANOW, &t));
	CHECK_OK(tcgetattr(port, &t));
	CHECK_EQ(cfgetospeed(&t), B9600);
	cfsetspeed(&t, B115200);
	CHECK_OK(tcsetattr(port, TCSANOW, &t));
	CHECK_OK(tcgetattr(port, &t));
	CHECK_EQ(cfgetospeed(&t), B115200);
	CHECK_OK(tcsetattr(port, TCSANOW, &was));
}

TEST(unsent_output)
{
	int n = -1;

	open_port();
	CHECK_OK(tcdrain(port));
	for (int i = 0; i < 1000 && n; i++) {
		CHECK_OK(ioctl(port, TIOCOUTQ, &n));
		usleep(1000);
	}
	CHECK_EQ(n, 0);
}
