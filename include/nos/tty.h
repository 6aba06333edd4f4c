/*
 * Terminals (drivers/tty/): struct tty with the n_tty line discipline between a
 * driver (serial, virtio console, pty) and its readers and writers.
 */
#pragma once

#include <nos/file.h>
#include <nos/lock.h>
#include <nos/types.h>
#include <nos/wait.h>

struct tty;
struct ktermios;
struct tty_driver_ops {
	/* Takes bytes to send; returns how many fit now (the driver calls tty_write_ready later). */
	size_t (*write)(struct tty *t, const u8 *data, size_t len);
	size_t (*write_room)(struct tty *t);
	/* May be NULL.  What the device can't do is put back to what it does: old's. */
	void (*set_termios)(struct tty *t, const struct ktermios *old);
	u32 (*unsent)(struct tty *t); /* bytes taken and not sent yet (TIOCOUTQ); NULL: none */
	void (*throttle)(struct tty *t, bool stop); /* input ring is full / has room again */
	void (*hang_up)(struct tty *t);
	void (*drain)(struct tty *t);
	void (*destroy)(struct tty *t);
	void (*flush)(struct tty *t); /* drops what was not sent; may be NULL */
	void (*input_flushed)(struct tty *t); /* for packet mode; may be NULL */
	void (*flow)(struct tty *t, bool stopped); /* STOP or START was typed; may be NULL */
	bool is_pty; /* slave: no input ring of its own, signals by the master's rules */
};
/* A terminal device: name "ttyS0", device number; appears in /dev. NULL: no memory. */
/* All operations but write_room are called with the terminal's line lock held (a mutex: they may not
 * sleep for long) or from open and close; NULL where the comment or common sense allows. */
struct tty *tty_create(const char *name, u32 major, u32 minor, const struct tty_driver_ops *ops,
		       void *driver_data);
void *tty_driver_data(const struct tty *t);
void tty_get(struct tty *t);
void tty_put(struct tty *t);
/* Input from the device; any context. */
void tty_receive(struct tty *t, const u8 *data, size_t len);
void tty_write_ready(struct tty *t);
void tty_hang_up(struct tty *t);
void tty_set_window_size(struct tty *t, u16 rows,
			 u16 columns); /* SIGWINCH to the foreground group */
/* For /proc/PID/stat, under task_list_lock: device number; the foreground group in *group, -1 = none. */
u64 tty_device_number(const struct tty *t, s32 *group);
/* /dev/console goes to the one that "console=" names, else to the last one registered here. */
void tty_register_console(struct tty *t);
