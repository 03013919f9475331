/* Structured log lines on standard error, one line an event: time, level, event name, then key=value
 * pairs (text) or one JSON object. An event's name is a constant in snake_case, so that it can be found. */
#ifndef PLINTH_BASE_LOG_EVENT_H
#define PLINTH_BASE_LOG_EVENT_H

#include <stdbool.h>

#include "plinth_status.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR, LOG_OFF };

/* Process-wide; set once at start. Default: LOG_WARN, text. Libraries stay quiet but for warnings. */
void log_event_configure(enum log_level level_min, bool json);
bool log_event_enabled(enum log_level level);
/* `format` and its arguments make the pairs: log_event(LOG_INFO, "memtable_flushed", "rows=%zu ms=%.1f", n, t).
 * A value that may hold spaces is quoted by the caller: path=\"%s\". */
void log_event(enum log_level level, const char *event, const char *format, ...) PLINTH_PRINTF(3, 4);

#endif
