/* Private to core/: what the log and the panic code need of each other. */
#pragma once

#include <nos/log.h>

/* Wakes readers of the log on behalf of a context that could not. */
void log_deliver(void);
bool panic_is_in_progress(void);
/* The part of the report that an interrupt writes (report.c); from the reschedule interrupt. */
void report_if_wanted(void);
