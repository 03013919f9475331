/* Dates and times by a pattern, as strptime has them: "%d.%m.%Y", "%m/%d/%Y %I:%M %p".
 *
 *   %Y year of up to 4 digits   %y of two (69-99: 19xx)   %m month   %d %e day   %b %B month's name   %a %A weekday's
 * name %H hour   %I hour of 12   %p AM, PM   %M minute   %S second, with a fraction when there is one   %f fraction %j
 * day of the year %s seconds since 1970   %z +hh:mm, +hhmm, +hh or Z   %F %Y-%m-%d   %T %H:%M:%S   %R %H:%M   %D
 * %m/%d/%y   %% itself A space in the pattern is any number of spaces in the text; everything else stands for itself.
 */
#ifndef PLINTH_CMD_TIME_PATTERN_H
#define PLINTH_CMD_TIME_PATTERN_H

#include "column/type.h"

/* Null, or what is wrong with the pattern (static storage). */
const char *time_pattern_check(const char *pattern);
/* The value of a DATE (days) or TIMESTAMP (its unit; without an offset it is UTC). Null, or what is wrong with the text
 * (static storage): it does not follow the pattern, there is no such date, digits are lost. */
const char *time_pattern_parse(const char *pattern, struct slice text, struct column_type type, int64_t *value);

#endif
