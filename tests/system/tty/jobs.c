#include "../test.h"
#include <sys/ioctl.h>
#include <termios.h>

static int master, slave;
static volatile sig_atomic_t handled;

static void handler(int sig)
{
	handled = sig;
}

static void open_pair(void)
{
	master = CHECK_OK(posix_openpt(O_RDWR | O_NOCTTY));
	CHECK_OK(unlockpt(master));
	slave = CHECK_OK(open(ptsname(master), O_RDWR | O_NOCTTY));
}

/* In a fresh session with the slave as its controlling terminal. */
static void lead(void)
{
	CHECK_OK(setsid());
	CHECK_OK(ioctl(slave, TIOCSCTTY, 0));
}

static void type(const char *text)
{
	CHECK_EQ(write(master, text, strlen(text)), strlen(text));
}

TEST(controlling_terminal)
{
	pid_t pid, sid;
	int fd;

	open_pair();
	CHECK_ERR(tcgetpgrp(slave), ENOTTY);
	CHILD(pid) {
		CHECK_OK(setsid());
		CHECK_ERR(open("/dev/tty", O_RDWR), ENXIO);
		CHECK_ERR(tcgetpgrp(slave), ENOTTY);
		CHECK_OK(ioctl(slave, TIOCSCTTY, 0));
		CHECK_OK(ioctl(slave, TIOCSCTTY, 0));
		CHECK_EQ(tcgetpgrp(slave), getpid());
		CHECK_OK(ioctl(slave, TIOCGSID, &sid));
		CHECK_EQ(sid, getpid());
		fd = CHECK_OK(open("/dev/tty", O_RDWR));
		CHECK_EQ(tcgetpgrp(fd), getpid());
		signal(SIGHUP, SIG_IGN);
		CHECK_OK(ioctl(fd, TIOCNOTTY));
		CHECK_ERR(open("/dev/tty", O_RDWR), ENXIO);
	}
	CHECK_EXIT(pid, 0);
}

TEST(taken_by_opening)
{
	pid_t pid;

	open_pair();
	CHILD(pid) {
		CHECK_OK(setsid());
		CHECK_OK(open(ptsname(master), O_RDWR | O_NOCTTY));
		CHECK_ERR(open("/dev/tty", O_RDWR), ENXIO);
		CHECK_OK(open(ptsname(master), O_RDWR));
		CHECK_OK(open("/dev/tty", O_RDWR));
	}
	CHECK_EXIT(pid, 0);
}

TEST(only_a_leader_takes_one)
{
	pid_t pid, inner;

	open_pair();
	CHILD(pid) {
		CHECK_OK(setsid());
		CHILD(inner)
			CHECK_ERR(ioctl(slave, TIOCSCTTY, 0), EPERM);
		CHECK_EXIT(inner, 0);
		CHECK_OK(ioctl(slave, TIOCSCTTY, 0));
		/* It belongs to this session now. */
		CHILD(inner) {
			CHECK_OK(setsid());
			CHECK_ERR(ioctl(slave, TIOCSCTTY, 0), EPERM);
		}
		CHECK_EXIT(inner, 0);
	}
	CHECK_EXIT(pid, 0);
}

/* A child in its own foreground group that waits for a signal. */
static void signal_by_key(const char *key, int sig)
{
	int status, ready[2];
	pid_t pid;
	char c;

	CHECK_OK(pipe(ready));
	CHILD(pid) {
		CHECK_OK(setpgid(0, 0));
		signal(SIGTTOU, SIG_IGN);
		CHECK_OK(tcsetpgrp(slave, getpid()));
		signal(SIGTTOU, SIG_DFL);
		CHECK_EQ(write(ready[1], "x", 1), 1);
		for (;;)
			pause();
	}
	CHECK_EQ(read(ready[0], &c, 1), 1);
	CHECK_EQ(tcgetpgrp(slave), pid);
	type(key);
	CHECK_EQ(waitpid(pid, &status, WUNTRACED), pid);
	if (sig == SIGTSTP) {
		CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == SIGTSTP);
		CHECK_OK(kill(pid, SIGKILL));
		CHECK_KILLED(pid, SIGKILL);
	} else {
		CHECK(WIFSIGNALED(status) && WTERMSIG(status) == sig);
	}
}

TEST(keys_that_signal)
{
	pid_t pid;

	open_pair();
	CHILD(pid) {
		lead();
		signal_by_key("\003", SIGINT);
		signal_by_key("\034", SIGQUIT);
		signal_by_key("\032", SIGTSTP);
	}
	CHECK_EXIT(pid, 0);
}

TEST(a_signal_key_flushes)
{
	char text[16];
	pid_t pid;

	open_pair();
	CHILD(pid) {
		lead();
		signal(SIGINT, handler);
		type("partial\003new\n");
		CHECK_EQ(read(slave, text, 16), 4);
		CHECK(!memcmp(text, "new\n", 4));
		CHECK_EQ(handled, SIGINT);
	}
	CHECK_EXIT(pid, 0);
}

TEST(background_reads_stop)
{
	int status;
	pid_t pid, inner;
	char c;

	open_pair();
	CHILD(pid) {
		lead();
		CHILD(inner) {
			CHECK_OK(setpgid(0, 0));
			read(slave, &c, 1);
		}
		CHECK_EQ(waitpid(inner, &status, WUNTRACED), inner);
		CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == SIGTTIN);
		/* In the foreground it reads. */
		CHECK_OK(tcsetpgrp(slave, inner));
		CHECK_OK(kill(inner, SIGCONT));
		type("x\n");
		CHECK_EXIT(inner, 0);
		signal(SIGTTOU, SIG_IGN);
		CHECK_OK(tcsetpgrp(slave, getpid()));
		CHILD(inner) {
			CHECK_OK(setpgid(0, 0));
			signal(SIGTTIN, SIG_IGN);
			CHECK_ERR(read(slave, &c, 1), EIO);
		}
		CHECK_EXIT(inner, 0);
	}
	CHECK_EXIT(pid, 0);
}

TEST(background_writes_stop_with_tostop)
{
	struct termios t;
	int status;
	pid_t pid, inner;

	open_pair();
	CHILD(pid) {
		lead();
		CHILD(inner) {
			CHECK_OK(setpgid(0, 0));
			CHECK_EQ(write(slave, "x", 1), 1);
		}
		CHECK_EXIT(inner, 0);
		CHECK_OK(tcgetattr(slave, &t));
		t.c_lflag |= TOSTOP;
		CHECK_OK(tcsetattr(slave, TCSANOW, &t));
		CHILD(inner) {
			CHECK_OK(setpgid(0, 0));
			CHECK_EQ(write(slave, "x", 1), 1);
		}
		CHECK_EQ(waitpid(inner, &status, WUNTRACED), inner);
		CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == SIGTTOU);
		CHECK_OK(kill(inner, SIGKILL));
		CHECK_KILLED(inner, SIGKILL);
		/* Changing the settings stops whatever TOSTOP says. */
		t.c_lflag &= ~(tcflag_t)TOSTOP;
		CHECK_OK(tcsetattr(slave, TCSANOW, &t));
		CHILD(inner) {
			CHECK_OK(setpgid(0, 0));
			tcsetattr(slave, TCSANOW, &t);
		}
		CHECK_EQ(waitpid(inner, &status, WUNTRACED), inner);
		CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == SIGTTOU);
		CHECK_OK(kill(inner, SIGKILL));
		CHECK_KILLED(inner, SIGKILL);
	}
	CHECK_EXIT(pid, 0);
}

TEST(foreground_group_rules)
{
	pid_t pid, inner;

	open_pair();
	CHILD(pid) {
		lead();
		CHECK_ERR(tcsetpgrp(slave, -5), EINVAL);
		CHECK_ERR(tcsetpgrp(slave, 999999), ESRCH);
		CHECK_ERR(tcsetpgrp(slave, getppid()), EPERM);
		CHECK_ERR(tcsetpgrp(0, getpid()), ENOTTY);
		CHILD(inner) {
			CHECK_OK(setsid());
			CHECK_ERR(tcsetpgrp(slave, getpid()), ENOTTY);
		}
		CHECK_EXIT(inner, 0);
	}
	CHECK_EXIT(pid, 0);
}

TEST(a_new_size_is_signalled)
{
	struct winsize w = { .ws_row = 10, .ws_col = 20 };
	int ready[2];
	pid_t pid;
	char c;

	open_pair();
	CHECK_OK(pipe(ready));
	CHILD(pid) {
		lead();
		signal(SIGWINCH, handler);
		CHECK_EQ(write(ready[1], "x", 1), 1);
		while (!handled)
			usleep(100);
		CHECK_OK(ioctl(slave, TIOCGWINSZ, &w));
		CHECK_EQ(w.ws_col, 20);
	}
	CHECK_EQ(read(ready[0], &c, 1), 1);
	CHECK_OK(ioctl(master, TIOCSWINSZ, &w));
	CHECK_EXIT(pid, 0);
}

TEST(closing_the_master_hangs_up)
{
	int ready[2];
	pid_t pid;
	char c;

	open_pair();
	CHECK_OK(pipe(ready));
	CHILD(pid) {
		CHECK_OK(close(master));
		lead();
		CHECK_EQ(write(ready[1], "x", 1), 1);
		for (;;)
			pause();
	}
	CHECK_EQ(read(ready[0], &c, 1), 1);
	CHECK_OK(close(slave));
	CHECK_OK(close(master));
	CHECK_KILLED(pid, SIGHUP);
}

TEST(the_leaders_exit_hangs_up)
{
	int report[2];
	pid_t pid, inner;
	char text[2];

	open_pair();
	CHECK_OK(pipe(report));
	CHILD(pid) {
		int ready[2];

		CHECK_OK(pipe(ready));
		lead();
		CHILD(inner) {
			signal(SIGHUP, handler);
			CHECK_EQ(write(ready[1], "x", 1), 1);
			while (!handled)
				usleep(100);
			/* The terminal is no longer the session's. */
			CHECK_ERR(open("/dev/tty", O_RDWR), ENXIO);
			CHECK_EQ(write(report[1], "ok", 2), 2);
		}
		CHECK_EQ(read(ready[0], text, 1), 1);
	}
	CHECK_EXIT(pid, 0);
	CHECK_EQ(read(report[0], text, 2), 2);
}
