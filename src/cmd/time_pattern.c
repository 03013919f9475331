#include "cmd/time_pattern.h"

#include <strings.h>

#include "column/time_text.h"

enum { SECONDS_A_DAY = 86400, NANOS_A_SECOND = 1000000000 };

/* What has been read so far. */
struct parts {
    struct slice text;
    size_t at;
    int64_t year, month, day, hour, minute, second, nanos, offset, epoch, day_of_year;
    bool twelve, afternoon, has_epoch, has_day_of_year;
};

static const char *const months[] = {"january", "february", "march",     "april",   "may",      "june",
                                     "july",    "august",   "september", "october", "november", "december"};
static const char *const weekdays[] = {"monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"};

static int peek(const struct parts *parts) { return parts->at < parts->text.size ? parts->text.data[parts->at] : -1; }
static bool is_digit(int byte) { return byte >= '0' && byte <= '9'; }

static bool take_number(struct parts *parts, int digits_max, int64_t least, int64_t most, int64_t *number) {
    int digits = 0;
    *number = 0;
    for (; digits < digits_max && is_digit(peek(parts)); digits++, parts->at++)
        *number = *number * 10 + (peek(parts) - '0');
    return digits > 0 && *number >= least && *number <= most;
}

/* One of the names, whole or its first three letters. */
static bool take_name(struct parts *parts, const char *const *names, int count, int64_t *which) {
    const char *text = (const char *)parts->text.data + parts->at;
    size_t left = parts->text.size - parts->at;
    for (int i = 0; i < count; i++) {
        size_t size = strlen(names[i]);
        if (left < size || strncasecmp(text, names[i], size) != 0) size = 3;
        if (left < size || strncasecmp(text, names[i], size) != 0) continue;
        parts->at += size;
        *which = i;
        return true;
    }
    return false;
}

static bool take_fraction(struct parts *parts) {
    int64_t scale = NANOS_A_SECOND / 10;
    if (!is_digit(peek(parts))) return false;
    parts->nanos = 0;
    for (; is_digit(peek(parts)); parts->at++, scale /= 10) {
        if (!scale && peek(parts) != '0') return false;
        parts->nanos += (peek(parts) - '0') * scale;
    }
    return true;
}

static bool take_second(struct parts *parts) {
    if (!take_number(parts, 2, 0, 59, &parts->second)) return false;
    if (peek(parts) != '.') return true;
    parts->at++;
    return take_fraction(parts);
}

static bool take_offset(struct parts *parts) {
    int sign = peek(parts);
    int64_t hours, minutes = 0;
    if (sign == 'Z' || sign == 'z') {
        parts->at++;
        return true;
    }
    if (sign != '+' && sign != '-') return false;
    parts->at++;
    if (!take_number(parts, 2, 0, 18, &hours)) return false;
    if (peek(parts) == ':') parts->at++;
    if (is_digit(peek(parts)) && !take_number(parts, 2, 0, 59, &minutes)) return false;
    parts->offset = (hours * 3600 + minutes * 60) * (sign == '-' ? -1 : 1);
    return true;
}

static bool take_epoch(struct parts *parts) {
    bool minus = peek(parts) == '-';
    parts->at += minus;
    parts->has_epoch = true;
    if (!take_number(parts, 12, 0, INT64_MAX, &parts->epoch)) return false;
    if (minus) parts->epoch = -parts->epoch;
    return true;
}

static bool take_half(struct parts *parts) {
    int half = peek(parts) | 0x20;
    if (parts->text.size - parts->at < 2 || (half != 'a' && half != 'p') ||
        (parts->text.data[parts->at + 1] | 0x20) != 'm')
        return false;
    parts->at += 2;
    parts->afternoon = half == 'p';
    return true;
}

/* The longer patterns that a letter stands for; null: none. */
static const char *expansion(char letter) {
    switch (letter) {
    case 'F': return "%Y-%m-%d";
    case 'T': return "%H:%M:%S";
    case 'R': return "%H:%M";
    case 'D': return "%m/%d/%y";
    default: return NULL;
    }
}

static bool take_pattern(struct parts *parts, const char *pattern);

static bool take_letter(struct parts *parts, char letter) {
    int64_t ignored;
    switch (letter) {
    case 'Y': return take_number(parts, 4, 0, 9999, &parts->year);
    case 'y':
        if (!take_number(parts, 2, 0, 99, &parts->year)) return false;
        parts->year += parts->year < 69 ? 2000 : 1900;
        return true;
    case 'm': return take_number(parts, 2, 1, 12, &parts->month);
    case 'd': return take_number(parts, 2, 1, 31, &parts->day);
    case 'e':
        while (peek(parts) == ' ') parts->at++;
        return take_number(parts, 2, 1, 31, &parts->day);
    case 'b':
    case 'B':
        if (!take_name(parts, months, 12, &parts->month)) return false;
        parts->month++;
        return true;
    case 'a':
    case 'A': return take_name(parts, weekdays, 7, &ignored);
    case 'H': return take_number(parts, 2, 0, 23, &parts->hour);
    case 'I': parts->twelve = true; return take_number(parts, 2, 1, 12, &parts->hour);
    case 'p': return take_half(parts);
    case 'M': return take_number(parts, 2, 0, 59, &parts->minute);
    case 'S': return take_second(parts);
    case 'f': return take_fraction(parts);
    case 'j': parts->has_day_of_year = true; return take_number(parts, 3, 1, 366, &parts->day_of_year);
    case 's': return take_epoch(parts);
    case 'z': return take_offset(parts);
    case '%':
        if (peek(parts) != '%') return false;
        parts->at++;
        return true;
    default: return expansion(letter) && take_pattern(parts, expansion(letter));
    }
}

static bool take_pattern(struct parts *parts, const char *pattern) {
    for (; *pattern; pattern++) {
        if (*pattern == ' ') {
            while (peek(parts) == ' ') parts->at++;
        } else if (*pattern == '%') {
            if (!take_letter(parts, *++pattern)) return false;
        } else if (peek(parts) == (uint8_t)*pattern) {
            parts->at++;
        } else {
            return false;
        }
    }
    return true;
}

const char *time_pattern_check(const char *pattern) {
    bool any = false;
    for (; *pattern; pattern++) {
        if (*pattern != '%') continue;
        if (!*++pattern || !strchr("YymdebBaAHIpMSfjszFTRD%", *pattern))
            return "an unknown letter behind '%'; there are %Y %y %m %d %e %b %B %a %A %H %I %p %M %S %f %j %s %z %F "
                   "%T %R "
                   "%D %%";
        any = any || *pattern != '%';
    }
    return any ? NULL : "there is no %Y, %m, %d, ... in it";
}

static bool is_leap(int64_t year) { return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0; }

static bool date_of(const struct parts *parts, int64_t *days) {
    static const uint8_t lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    if (parts->has_day_of_year) {
        *days = days_from_civil(parts->year, 1, 1) + parts->day_of_year - 1;
        return parts->day_of_year <= 365 + is_leap(parts->year);
    }
    *days = days_from_civil(parts->year, (unsigned)parts->month, (unsigned)parts->day);
    return parts->day <= lengths[parts->month - 1] + (parts->month == 2 && is_leap(parts->year));
}

static const char *to_unit(int64_t seconds, int64_t nanos, struct column_type type, int64_t *value) {
    int64_t units = time_units_per_second(type.unit), unit_nanos = NANOS_A_SECOND / units;
    if (nanos % unit_nanos) return "more digits behind the second than the type has";
    if (__builtin_mul_overflow(seconds, units, value) || __builtin_add_overflow(*value, nanos / unit_nanos, value))
        return "out of range";
    return NULL;
}

const char *time_pattern_parse(const char *pattern, struct slice text, struct column_type type, int64_t *value) {
    struct parts parts = {.text = text, .year = 1970, .month = 1, .day = 1};
    int64_t days;
    if (!text.size) return "is empty";
    if (!take_pattern(&parts, pattern) || parts.at != text.size) return "does not follow the pattern";
    if (!date_of(&parts, &days)) return "there is no such day";
    if (parts.twelve) parts.hour = parts.hour % 12 + (parts.afternoon ? 12 : 0);
    int64_t seconds = days * SECONDS_A_DAY + parts.hour * 3600 + parts.minute * 60 + parts.second - parts.offset;
    if (parts.has_epoch) seconds = parts.epoch;
    if (type.kind == COLUMN_TIMESTAMP) return to_unit(seconds, parts.nanos, type, value);
    *value = parts.has_epoch ? (seconds - (seconds < 0 ? SECONDS_A_DAY - 1 : 0)) / SECONDS_A_DAY : days;
    return NULL;
}
