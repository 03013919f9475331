#include "column/column_function.h"

#include <string.h>
#include <strings.h>

static const char *const units[] = {"second", "minute", "hour", "day", "week", "month", "quarter", "year"};
enum { UNITS = sizeof units / sizeof *units };

bool column_function_fits(enum column_function function, struct column_type type) {
    switch (function) {
    case FUNCTION_NONE: return type.kind != COLUMN_LIST;
    case FUNCTION_LOWER:
    case FUNCTION_UPPER: return type.kind == COLUMN_STRING;
    case FUNCTION_ELEMENTS: return type.kind == COLUMN_LIST;
    default:
        return function > FUNCTION_NONE && function < FUNCTION_COUNT &&
               (type.kind == COLUMN_TIMESTAMP || type.kind == COLUMN_DATE);
    }
}

struct column_type column_function_type(enum column_function function, struct column_type type) {
    return function == FUNCTION_ELEMENTS ? column_type_element(type) : type;
}

/* ---- letters ---- */

static bool change_case(struct arena *arena, bool lower, const struct column *from, uint32_t rows, struct column *out) {
    uint32_t begin = rows ? from->offsets[0] : 0, end = rows ? from->offsets[rows] : 0;
    uint8_t *bytes = arena_alloc(arena, (size_t)end + 1);
    if (!bytes) return false;
    const uint8_t first = lower ? 'A' : 'a';
    for (uint32_t i = begin; i < end; i++) {
        uint8_t byte = from->bytes[i];
        bytes[i] = (uint8_t)(byte - first) < 26 ? byte ^ 0x20 : byte;
    }
    *out = *from;
    out->bytes = bytes;
    return true;
}

/* ---- times ---- */

/* Days since 1970 of the first day of a month counted from year 0, in the proleptic Gregorian calendar. */
static int64_t days_of_month(int64_t months) {
    int64_t year = months / 12 - (months % 12 < 0), month = months - year * 12 + 1; /* 1 to 12 */
    year -= month <= 2;
    int64_t era = (year >= 0 ? year : year - 399) / 400, of_era = year - era * 400;
    int64_t of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

/* The month that a day lies in, counted from year 0. */
static int64_t month_of_days(int64_t days) {
    days += 719468;
    int64_t era = (days >= 0 ? days : days - 146096) / 146097, of_era = days - era * 146097;
    int64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * year + year / 4 - year / 100), shifted = (5 * of_year + 2) / 153;
    int64_t month = shifted < 10 ? shifted + 3 : shifted - 9;
    return (year + era * 400 + (month <= 2)) * 12 + month - 1;
}

static int64_t floor_to(int64_t value, int64_t step) {
    int64_t rest = value % step, floor;
    if (rest < 0) rest += step;
    return __builtin_sub_overflow(value, rest, &floor) ? INT64_MIN : floor;
}

static int64_t trunc_days(enum column_function function, int64_t days) {
    int64_t month;
    switch (function) {
    case FUNCTION_TRUNC_WEEK: return floor_to(days + 3, 7) - 3; /* 1970-01-01 was a Thursday */
    case FUNCTION_TRUNC_MONTH: return days_of_month(month_of_days(days));
    case FUNCTION_TRUNC_QUARTER: return days_of_month(floor_to(month_of_days(days), 3));
    case FUNCTION_TRUNC_YEAR: month = floor_to(month_of_days(days), 12); return days_of_month(month);
    default: return days;
    }
}

static int64_t trunc_time(enum column_function function, int64_t value, int64_t per_second) {
    const int64_t per_day = 86400 * per_second;
    switch (function) {
    case FUNCTION_TRUNC_SECOND: return floor_to(value, per_second);
    case FUNCTION_TRUNC_MINUTE: return floor_to(value, 60 * per_second);
    case FUNCTION_TRUNC_HOUR: return floor_to(value, 3600 * per_second);
    case FUNCTION_TRUNC_DAY: return floor_to(value, per_day);
    default: {
        int64_t days = value / per_day - (value % per_day < 0), out;
        return __builtin_mul_overflow(trunc_days(function, days), per_day, &out) ? INT64_MIN : out;
    }
    }
}

static bool trunc_all(struct arena *arena, enum column_function function, const struct column *from, uint32_t rows,
                      struct column *out) {
    static const int64_t per_second[] = {
        [TIME_SECOND] = 1, [TIME_MILLI] = 1000, [TIME_MICRO] = 1000000, [TIME_NANO] = 1000000000};
    const bool is_date = from->type.kind == COLUMN_DATE;
    void *values = arena_alloc(arena, ((size_t)rows + 1) * (is_date ? sizeof(int32_t) : sizeof(int64_t)));
    if (!values) return false;
    for (uint32_t i = 0; i < rows; i++) {
        if (is_date) {
            int64_t day = trunc_days(function, ((const int32_t *)from->values)[i]);
            ((int32_t *)values)[i] = (int32_t)(day < INT32_MIN ? INT32_MIN : day);
        } else {
            ((int64_t *)values)[i] =
                trunc_time(function, ((const int64_t *)from->values)[i], per_second[from->type.unit]);
        }
    }
    *out = *from;
    out->values = values;
    return true;
}

bool column_function_apply(struct arena *arena, enum column_function function, const struct column *from, uint32_t rows,
                           struct column *out) {
    *out = *from;
    if (function == FUNCTION_NONE) return true;
    if (function == FUNCTION_LOWER || function == FUNCTION_UPPER)
        return change_case(arena, function == FUNCTION_LOWER, from, rows, out);
    return trunc_all(arena, function, from, rows, out);
}

/* ---- text ---- */

bool column_function_format(struct buffer *into, enum column_function function, struct slice column) {
    const char *head = function == FUNCTION_LOWER ? "lower(" : function == FUNCTION_UPPER ? "upper(" : "date_trunc('";
    if (function == FUNCTION_NONE || function == FUNCTION_ELEMENTS)
        return buffer_append(into, column.data, column.size);
    bool ok = buffer_append(into, head, strlen(head));
    if (function >= FUNCTION_TRUNC_SECOND) {
        const char *unit = units[function - FUNCTION_TRUNC_SECOND];
        ok = ok && buffer_append(into, unit, strlen(unit)) && buffer_append(into, "', ", 3);
    }
    return ok && buffer_append(into, column.data, column.size) && buffer_append(into, ")", 1);
}

enum column_function column_function_of_unit(struct slice unit) {
    for (int i = 0; i < UNITS; i++)
        if (unit.size == strlen(units[i]) && strncasecmp((const char *)unit.data, units[i], unit.size) == 0)
            return (enum column_function)(FUNCTION_TRUNC_SECOND + i);
    return FUNCTION_NONE;
}

static struct slice trimmed(struct slice text) {
    while (text.size && text.data[0] == ' ') text = slice_of(text.data + 1, text.size - 1);
    while (text.size && text.data[text.size - 1] == ' ') text.size--;
    return text;
}

bool column_function_parse(struct slice text, enum column_function *function, struct slice *column) {
    text = trimmed(text);
    const uint8_t *open = text.size ? memchr(text.data, '(', text.size) : NULL;
    if (!open || text.data[text.size - 1] != ')') return false;
    struct slice name = trimmed(slice_of(text.data, (size_t)(open - text.data)));
    struct slice inside = trimmed(slice_of(open + 1, (size_t)(text.data + text.size - 1 - (open + 1))));
    *function = FUNCTION_NONE;
    if (name.size == 5 && strncasecmp((const char *)name.data, "lower", 5) == 0) *function = FUNCTION_LOWER;
    if (name.size == 5 && strncasecmp((const char *)name.data, "upper", 5) == 0) *function = FUNCTION_UPPER;
    if (name.size == 10 && strncasecmp((const char *)name.data, "date_trunc", 10) == 0) {
        const uint8_t *comma = inside.size ? memchr(inside.data, ',', inside.size) : NULL;
        struct slice unit = comma ? trimmed(slice_of(inside.data, (size_t)(comma - inside.data))) : inside;
        if (!comma || unit.size < 3 || unit.data[0] != '\'' || unit.data[unit.size - 1] != '\'') return false;
        *function = column_function_of_unit(slice_of(unit.data + 1, unit.size - 2));
        inside = trimmed(slice_of(comma + 1, (size_t)(inside.data + inside.size - (comma + 1))));
    }
    if (inside.size > 1 && inside.data[0] == '"' && inside.data[inside.size - 1] == '"')
        inside = slice_of(inside.data + 1, inside.size - 2);
    if (*function == FUNCTION_NONE || !inside.size) return false;
    *column = inside;
    return true;
}
