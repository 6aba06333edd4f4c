/* The kernel log: levels, ring of records, /dev/kmsg and syslog(2) read it (core/log.c). */
#pragma once

#include <nos/types.h>

enum log_level {
	LOG_EMERG,
	LOG_ALERT,
	LOG_CRIT,
	LOG_ERR,
	LOG_WARNING,
	LOG_NOTICE,
	LOG_INFO,
	LOG_DEBUG
};

/* Any context.  One record a call; a trailing newline is not needed. */
void log_write(enum log_level level, const char *format, ...) __printf(2, 3);
#define log_err(...) log_write(LOG_ERR, __VA_ARGS__)
#define log_warning(...) log_write(LOG_WARNING, __VA_ARGS__)
#define log_notice(...) log_write(LOG_NOTICE, __VA_ARGS__)
#define log_info(...) log_write(LOG_INFO, __VA_ARGS__)
#ifdef DEBUG
#define log_debug(...) log_write(LOG_DEBUG, __VA_ARGS__)
#else
#define log_debug(...) ((void)0)
#endif

struct wait_queue;

struct log_record {
	u64 sequence;
	u64 time_ns;
	u8 level, facility;
	u16 length;
};
/* Copies record `*sequence` or, if overwritten, the oldest (updates *sequence); text without NUL.
 * Returns the text's length, or -EAGAIN past the newest. */
ssize_t log_read(u64 *sequence, struct log_record *record, char *text, size_t size);
u64 log_first_sequence(void);
u64 log_next_sequence(void);
u64 log_clear_sequence(void);
void log_clear(void);
struct wait_queue *log_wait_queue(void);
/* A line written to /dev/kmsg by user space. */
void log_write_user(unsigned priority, const char *text, size_t len);
void log_set_console_level(unsigned level);
unsigned log_console_level(void);

/* Boot options: `name=value` or `name` on the command line. */
const char *boot_option(const char *name); /* value, "" for a bare word, NULL if absent */
/* opt.NAME=off|on: whether the optimisation is enabled (default on). */
bool boot_opt_enabled(const char *name);
