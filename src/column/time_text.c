#include "column/time_text.h"

#include "column/column_private.h"

/* ---- the calendar ----
 *
 * An era is 400 years of 146097 days; within it years begin in March, so that the leap day is the last of its year and
 * the days before a month are (153 * month + 2) / 5. Day 0 is 0000-03-01, which is 719468 days before 1970. */
enum { ERA_DAYS = 146097, ERA_YEARS = 400, DAYS_TO_1970 = 719468, SECONDS_PER_DAY = 86400 };

static int64_t floor_divide(int64_t value, int64_t by) { return value / by - (value % by < 0); }
static int64_t floor_rest(int64_t value, int64_t by) { return value % by + (value % by < 0 ? by : 0); }

int64_t days_from_civil(int64_t year, unsigned month, unsigned day) {
    if (month <= 2) year--;
    int64_t era = floor_divide(year, ERA_YEARS);
    int64_t era_year = year - era * ERA_YEARS;
    int64_t year_day = (153 * (int64_t)(month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    return era * ERA_DAYS + era_year * 365 + era_year / 4 - era_year / 100 + year_day - DAYS_TO_1970;
}

void civil_from_days(int64_t days, int64_t *year, unsigned *month, unsigned *day) {
    days += DAYS_TO_1970;
    int64_t era = floor_divide(days, ERA_DAYS);
    int64_t era_day = days - era * ERA_DAYS;
    int64_t era_year = (era_day - era_day / 1460 + era_day / 36524 - era_day / 146096) / 365;
    int64_t year_day = era_day - (365 * era_year + era_year / 4 - era_year / 100);
    unsigned march_month = (unsigned)((5 * year_day + 2) / 153);
    *day = (unsigned)(year_day - (153 * (int64_t)march_month + 2) / 5) + 1;
    *month = march_month < 10 ? march_month + 3 : march_month - 9;
    *year = era_year + era * ERA_YEARS + (*month <= 2);
}

static unsigned days_in_month(int64_t year, unsigned month) {
    static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return days[month - 1] + (month == 2 && leap);
}

int64_t time_units_per_second(uint8_t unit) {
    static const int64_t units[] = {1, 1000, 1000000, 1000000000};
    return units[unit & 3];
}

/* ---- parsing ---- */

static bool starts_with_digit(struct slice text) { return text.size && text.data[0] >= '0' && text.data[0] <= '9'; }

static bool take(struct slice *text, char expected) {
    if (!text->size || text->data[0] != (uint8_t)expected) return false;
    text->data++;
    text->size--;
    return true;
}

/* Takes between `least` and `most` digits. */
static bool take_digits(struct slice *text, unsigned least, unsigned most, int64_t *value) {
    unsigned count = 0;
    *value = 0;
    for (; count < most && starts_with_digit(*text); count++) {
        *value = *value * 10 + (text->data[0] - '0');
        text->data++;
        text->size--;
    }
    return count >= least;
}

static bool take_two(struct slice *text, unsigned *value) {
    int64_t digits;
    bool done = take_digits(text, 2, 2, &digits);
    *value = (unsigned)digits;
    return done;
}

static const char *take_date(struct slice *text, int64_t *days) {
    bool minus = take(text, '-'), plus = !minus && take(text, '+');
    int64_t year;
    unsigned month, day;
    if (!take_digits(text, 4, minus || plus ? 12 : 4, &year)) return "expected YYYY-MM-DD";
    if (!take(text, '-') || !take_two(text, &month) || !take(text, '-') || !take_two(text, &day))
        return "expected YYYY-MM-DD";
    if (minus) year = -year;
    if (month < 1 || month > 12) return "there is no such month";
    if (day < 1 || day > days_in_month(year, month)) return "there is no such day";
    *days = days_from_civil(year, month, day);
    return NULL;
}

const char *date_parse(struct slice text, int32_t *days) {
    int64_t wide;
    const char *wrong = take_date(&text, &wide);
    if (wrong) return wrong;
    if (text.size) return "text after the date";
    if (wide < INT32_MIN || wide > INT32_MAX) return "out of range";
    *days = (int32_t)wide;
    return NULL;
}

/* Digits behind the point as units; what the unit cannot hold must be zeros. */
static const char *take_fraction(struct slice *text, uint8_t unit, int64_t *units) {
    *units = 0;
    if (!take(text, '.') && !take(text, ',')) return NULL;
    if (!starts_with_digit(*text)) return "expected digits after the point";
    int64_t place = time_units_per_second(unit);
    while (starts_with_digit(*text)) {
        int64_t digit = text->data[0] - '0';
        place /= 10;
        if (digit && !place) return "more digits of a second than the type holds";
        *units += digit * place;
        text->data++;
        text->size--;
    }
    return NULL;
}

/* hh:mm[:ss[.fraction]] */
static const char *take_time(struct slice *text, uint8_t unit, int64_t *seconds, int64_t *units) {
    unsigned hour, minute, second = 0;
    if (!take_two(text, &hour) || !take(text, ':') || !take_two(text, &minute)) return "expected hh:mm:ss";
    const char *wrong = NULL;
    if (take(text, ':')) {
        if (!take_two(text, &second)) return "expected hh:mm:ss";
        wrong = take_fraction(text, unit, units);
    }
    if (!wrong && (hour > 23 || minute > 59 || second > 59)) wrong = "there is no such time of day";
    *seconds = hour * 3600 + minute * 60 + second;
    return wrong;
}

/* The offset from UTC in seconds; `*named` when there is one. */
static const char *take_zone(struct slice *text, bool *named, bool *utc, int64_t *offset) {
    *offset = 0;
    if (text->size > 1) take(text, ' ');
    *utc = take(text, 'Z') || take(text, 'z');
    if (!*utc && text->size == 3 && memcmp(text->data, "UTC", 3) == 0) {
        *text = slice_of(NULL, 0);
        *utc = true;
    }
    bool east = !*utc && take(text, '+'), west = !*utc && !east && take(text, '-');
    *named = *utc || east || west;
    if (!east && !west) return NULL;
    unsigned hour, minute = 0;
    if (!take_two(text, &hour)) return "expected a zone as Z or +hh:mm";
    bool colon = take(text, ':');
    if ((colon || text->size) && !take_two(text, &minute)) return "expected a zone as Z or +hh:mm";
    if (hour > 18 || minute > 59) return "there is no such zone";
    *offset = hour * 3600 + minute * 60;
    if (west) *offset = -*offset;
    return NULL;
}

const char *timestamp_parse(struct slice text, struct column_type type, int64_t *value) {
    int64_t days, seconds = 0, units = 0, offset = 0;
    bool named = false, utc = false;
    const char *wrong = take_date(&text, &days);
    if (!wrong && (take(&text, 'T') || take(&text, 't') || take(&text, ' '))) {
        wrong = take_time(&text, type.unit, &seconds, &units);
        if (!wrong) wrong = take_zone(&text, &named, &utc, &offset);
    }
    if (wrong) return wrong;
    if (text.size) return "text after the time stamp";
    if (named && !utc && !type.zoned) return "a zone, which the type has not";
    int128 total = (int128)days * SECONDS_PER_DAY + seconds - offset;
    total = total * time_units_per_second(type.unit) + units;
    if (total < INT64_MIN || total > INT64_MAX) return "out of range";
    *value = (int64_t)total;
    return NULL;
}

/* ---- formatting ---- */

/* Writes `value` with at least `width` digits; returns what is behind them. */
static char *put_digits(char *at, uint64_t value, unsigned width) {
    unsigned count = 1;
    for (uint64_t rest = value / 10; rest; rest /= 10) count++;
    if (count < width) count = width;
    for (unsigned i = count; i; i--, value /= 10) at[i - 1] = (char)('0' + value % 10);
    return at + count;
}

static char *put_date(int64_t days, char *at) {
    int64_t year;
    unsigned month, day;
    civil_from_days(days, &year, &month, &day);
    if (year < 0 || year > 9999) *at++ = year < 0 ? '-' : '+';
    at = put_digits(at, (uint64_t)(year < 0 ? -year : year), 4);
    *at++ = '-';
    at = put_digits(at, month, 2);
    *at++ = '-';
    return put_digits(at, day, 2);
}

size_t date_format(int32_t days, char text[TIME_TEXT_MAX]) {
    char *end = put_date(days, text);
    *end = 0;
    return (size_t)(end - text);
}

size_t timestamp_format(int64_t value, struct column_type type, char text[TIME_TEXT_MAX]) {
    int64_t per_second = time_units_per_second(type.unit);
    int64_t seconds = floor_divide(value, per_second), units = floor_rest(value, per_second);
    unsigned rest = (unsigned)floor_rest(seconds, SECONDS_PER_DAY);
    char *at = put_date(floor_divide(seconds, SECONDS_PER_DAY), text);
    *at++ = 'T';
    at = put_digits(at, rest / 3600, 2);
    *at++ = ':';
    at = put_digits(at, rest / 60 % 60, 2);
    *at++ = ':';
    at = put_digits(at, rest % 60, 2);
    if (units) {
        *at++ = '.';
        at = put_digits(at, (uint64_t)units, 3 * (type.unit & 3u));
    }
    if (type.zoned) *at++ = 'Z';
    *at = 0;
    return (size_t)(at - text);
}
