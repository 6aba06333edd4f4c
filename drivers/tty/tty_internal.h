/* The inside of a terminal, for the files of drivers/tty. */
#pragma once

#include "n_tty.h"

#include <nos/file.h>
#include <nos/list.h>
#include <nos/lock.h>
#include <nos/ring.h>
#include <nos/task.h>
#include <nos/timer.h>
#include <nos/tty.h>
#include <nos/wait.h>
#include <asm/termios.h>

#define TTY_INPUT_SIZE 32768u /* raw bytes of a device that the line has not taken */

struct tty {
	struct ref refs;
	u32 major, minor;
	const struct tty_driver_ops *ops;
	void *driver_data;
	char name[16];

	struct mutex line_lock; /* rank TTY_LINE: `line`, calls of the driver's write */
	struct n_tty line;
	bool input_blocked; /* the line refused bytes: tell the sender after a read */
	struct mutex read_lock; /* rank TTY: one reader at a time */
	struct mutex write_lock; /* rank TTY: one writer at a time */
	struct wait_queue readable, writable;

	struct mutex open_lock; /* rank TTY */
	u32 open_count; /* under open_lock */
	bool exclusive; /* TIOCEXCL */
	bool gone; /* the other end of a pty is closed */
	struct spinlock files_lock;
	struct list files; /* struct tty_file.node */

	struct pid_entry *session; /* under task_list_lock, counted: who it controls */
	struct pid_entry *group; /* the same: the foreground group */
	struct winsize window; /* under line_lock */

	/* devices: bytes between the interrupt and the line */
	struct spinlock input_lock;
	struct ring input;
	bool throttled;
	struct mutex input_work_lock; /* rank TTY: workers of several CPUs, one at a time */
	struct work input_work, echo_work, hang_up_work;
	struct char_device device;
};

/* An open file of a terminal. */
struct tty_file {
	struct tty *tty;
	struct file *file;
	struct list node;
	bool hung_up;
	bool is_console; /* opened as /dev/console: a hang-up does not reach it */
};

extern const struct file_ops tty_file_ops;

/* ---- tty.c ---- */
struct tty *tty_allocate(const char *name, u32 major, u32 minor, const struct tty_driver_ops *ops,
			 void *driver_data);
int tty_open_file(struct tty *t, struct file *f, bool is_console); /* consumes a reference on t */
void tty_hang_up_now(struct tty *t);

/* ---- tty_line.c: between files, line and driver ---- */
ssize_t tty_read(struct tty *t, struct tty_file *tf, struct iobuf *to, bool nonblocking);
ssize_t tty_write(struct tty *t, struct tty_file *tf, struct iobuf *from, bool nonblocking);
/* Input in thread context; how many bytes were taken. */
size_t tty_input(struct tty *t, const u8 *data, size_t len);
void tty_input_begin(struct tty *t);
void tty_input_end(struct tty *t);
bool tty_can_write(struct tty *t);
/* Sends what echo fits; the line lock is held. */
void tty_flush_echo_locked(struct tty *t);
/* Does what the line discipline asked for; no lock held. */
void tty_deliver(struct tty *t, const struct n_tty_events *e);
void tty_set_flow(struct tty *t, bool stop); /* TCXONC */
void tty_flush_input(struct tty *t);
void tty_flush_output(struct tty *t);

/* ---- tty_job.c ---- */
int tty_check_job(struct tty *t, int signo);
void tty_maybe_control(struct tty *t); /* open without O_NOCTTY */
void tty_detach_session(struct tty *t, bool leader_exits);
void tty_signal_foreground(struct tty *t, int signo);
long tty_ioctl_job(struct tty *t, bool is_master, u32 cmd, struct user_arg arg, bool *known);

/* ---- tty_ioctl.c ---- */
long tty_ioctl(struct tty *t, bool is_master, u32 cmd, struct user_arg arg);
int tty_window_set(struct tty *t, const struct winsize *w);
