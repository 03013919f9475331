/* Dates and time stamps as text, and the calendar behind them: the proleptic Gregorian one, years counted as
 * astronomers do (year 0 is 1 BC). Parsing returns null, or what is wrong with the text (static storage). */
#ifndef PLINTH_COLUMN_TIME_TEXT_H
#define PLINTH_COLUMN_TIME_TEXT_H

#include "column/type.h"

/* Days since 1970-01-01; month 1 to 12, day 1 to 31; years to about +-10^12. */
int64_t days_from_civil(int64_t year, unsigned month, unsigned day);
void civil_from_days(int64_t days, int64_t *year, unsigned *month, unsigned *day);
/* 1, 10^3, 10^6, 10^9 */
int64_t time_units_per_second(uint8_t unit);

/* YYYY-MM-DD; years of more digits, or below 0, carry a sign. */
const char *date_parse(struct slice text, int32_t *days);
/* A date, then (or it is midnight) 'T' or a space and hh:mm[:ss[.fraction]], then maybe Z, +hh, +hhmm or +hh:mm. A
 * zoned type takes the offset off; without one it is UTC. An unzoned one refuses all but Z. Exact or refused. */
const char *timestamp_parse(struct slice text, struct column_type type, int64_t *value);

enum { TIME_TEXT_MAX = 48 };
/* Write the text forms, zero-terminated; return their length. The fraction is left away when it is 0. */
size_t date_format(int32_t days, char text[TIME_TEXT_MAX]);
size_t timestamp_format(int64_t value, struct column_type type, char text[TIME_TEXT_MAX]);

#endif
