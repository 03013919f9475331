/* Numbers in text are read digit by digit into the integer `value * 10^scale` with a remainder or not, so that nothing
 * is rounded: integers are decimals of scale 0. Times become nanoseconds in 128 bits and are then divided by the
 * column's unit; a date is a time whose unit is the day. */
#include "expr/literal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/status.h"
#include "column/column_builder.h"

enum { NUMBER_TEXT_MAX = 400, DIGITS_MAX = 38 };

/* ---- text for people ---- */

void real_format(double real, char text[REAL_TEXT_MAX]) {
    if (isnan(real)) {
        memcpy(text, "nan", 4);
        return;
    }
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(text, REAL_TEXT_MAX, "%.*g", digits, real);
        if (isinf(real) || strtod(text, NULL) == real) return;
    }
}

const char *literal_format(const struct literal *literal, char text[LITERAL_TEXT_MAX]) {
    char real[REAL_TEXT_MAX];
    int shown = literal->bytes.size > 60 ? 60 : (int)literal->bytes.size;
    while (shown > 0 && shown < (int)literal->bytes.size && (literal->bytes.data[shown] & 0xc0) == 0x80) shown--;
    const char *cut = shown < (int)literal->bytes.size ? "..." : "";
    const char *bytes = literal->bytes.size ? (const char *)literal->bytes.data : "";
    switch (literal->kind) {
    case LITERAL_NULL: snprintf(text, LITERAL_TEXT_MAX, "NULL"); break;
    case LITERAL_BOOL: snprintf(text, LITERAL_TEXT_MAX, "%s", literal->boolean ? "TRUE" : "FALSE"); break;
    case LITERAL_INT: snprintf(text, LITERAL_TEXT_MAX, "%lld", (long long)literal->integer); break;
    case LITERAL_UINT: snprintf(text, LITERAL_TEXT_MAX, "%llu", (unsigned long long)literal->unsigned_integer); break;
    case LITERAL_FLOAT:
        real_format(literal->real, real);
        snprintf(text, LITERAL_TEXT_MAX, "%s", real);
        break;
    case LITERAL_TEXT: snprintf(text, LITERAL_TEXT_MAX, "'%.*s%s'", shown, bytes, cut); break;
    case LITERAL_NUMBER: snprintf(text, LITERAL_TEXT_MAX, "%.*s%s", shown, bytes, cut); break;
    case LITERAL_BYTES: snprintf(text, LITERAL_TEXT_MAX, "%zu raw bytes", literal->bytes.size); break;
    default: snprintf(text, LITERAL_TEXT_MAX, "a literal of unknown kind %d", (int)literal->kind); break;
    }
    return text;
}

static enum plinth_status refuse(const struct literal *literal, struct column_type type, struct plinth_error *error) {
    char text[LITERAL_TEXT_MAX], type_text[COLUMN_TYPE_TEXT_MAX];
    return error_set(error, PLINTH_INVALID_ARGUMENT, "%s is not a valid %s", literal_format(literal, text),
                     column_type_format(type, type_text));
}

/* ---- numbers ---- */

/* A number's text: its digits without the zeros around them, times 10^exponent. */
struct number {
    bool negative;
    uint32_t digit_count;
    uint8_t digits[NUMBER_TEXT_MAX];
    int64_t exponent;
};

static bool is_digit(uint8_t byte) { return byte >= '0' && byte <= '9'; }

/* Adds a digit; leading zeros vanish. False when there are too many. */
static bool number_add_digit(struct number *number, uint8_t byte) {
    if (byte == '0' && number->digit_count == 0) return true;
    if (number->digit_count == NUMBER_TEXT_MAX) return false;
    number->digits[number->digit_count++] = (uint8_t)(byte - '0');
    return true;
}

static bool number_read_exponent(struct slice text, size_t at, struct number *number) {
    bool negative = false;
    if (at < text.size && (text.data[at] == '+' || text.data[at] == '-')) negative = text.data[at++] == '-';
    if (at == text.size) return false;
    int64_t exponent = 0;
    for (; at < text.size; at++) {
        if (!is_digit(text.data[at])) return false;
        if (exponent < 1000000) exponent = exponent * 10 + (text.data[at] - '0');
    }
    number->exponent += negative ? -exponent : exponent;
    return true;
}

/* [+-] digits [. digits] [e [+-] digits]; false when the text is anything else. */
static bool number_read(struct slice text, struct number *number) {
    *number = (struct number){0};
    size_t at = 0, digits_seen = 0;
    if (at < text.size && (text.data[at] == '+' || text.data[at] == '-')) number->negative = text.data[at++] == '-';
    for (; at < text.size && is_digit(text.data[at]); at++, digits_seen++) {
        if (!number_add_digit(number, text.data[at])) return false;
    }
    if (at < text.size && text.data[at] == '.') {
        for (at++; at < text.size && is_digit(text.data[at]); at++, digits_seen++) {
            if (!number_add_digit(number, text.data[at])) return false;
            number->exponent--;
        }
    }
    if (!digits_seen) return false;
    if (at < text.size) {
        if ((text.data[at] | 0x20) != 'e' || !number_read_exponent(text, at + 1, number)) return false;
    }
    while (number->digit_count && number->digits[number->digit_count - 1] == 0) {
        number->digit_count--;
        number->exponent++;
    }
    return true;
}

/* The position of floor + (has_remainder ? something below 1 : 0) among the integers [min, max]. */
static struct position integer_position(int128 floor, bool has_remainder, int128 min, int128 max) {
    struct position position = {.kind = has_remainder ? POSITION_BETWEEN : POSITION_EXACT};
    position.value.integer = has_remainder ? floor + 1 : floor;
    if (floor < min) {
        position.kind = POSITION_BELOW;
    } else if (position.value.integer > max) {
        position.kind = POSITION_ABOVE;
    }
    return position;
}

static struct position number_position(const struct number *number, uint8_t scale, int128 min, int128 max) {
    if (number->digit_count == 0) return integer_position(0, false, min, max);
    int64_t power = number->exponent + scale;
    int64_t kept = (int64_t)number->digit_count + power; /* digits before the point */
    if (kept > DIGITS_MAX) return (struct position){.kind = number->negative ? POSITION_BELOW : POSITION_ABOVE};
    int128 value = 0;
    for (int64_t i = 0; i < kept; i++) value = value * 10 + (i < number->digit_count ? number->digits[i] : 0);
    bool has_remainder = power < 0; /* the last digit is not zero */
    if (number->negative) value = has_remainder ? -value - 1 : -value;
    return integer_position(value, has_remainder, min, max);
}

static struct position real_position_among_integers(double real, int128 min, int128 max) {
    if (isnan(real) || real >= 0x1p100) return (struct position){.kind = POSITION_ABOVE};
    if (real <= -0x1p100) return (struct position){.kind = POSITION_BELOW};
    double below = floor(real);
    return integer_position((int128)below, below != real, min, max);
}

/* Integers (scale 0) and decimals. */
static enum plinth_status position_among_integers(const struct literal *literal, struct column_type type,
                                                  struct position *position, struct plinth_error *error) {
    int128 min = integer_min_of(type), max = integer_max_of(type);
    char text[REAL_TEXT_MAX];
    struct slice digits = literal->bytes;
    switch (literal->kind) {
    case LITERAL_INT:
        snprintf(text, sizeof text, "%lld", (long long)literal->integer);
        digits = slice_of_string(text);
        break;
    case LITERAL_UINT:
        snprintf(text, sizeof text, "%llu", (unsigned long long)literal->unsigned_integer);
        digits = slice_of_string(text);
        break;
    case LITERAL_FLOAT:
        if (type.kind != COLUMN_DECIMAL || !isfinite(literal->real)) {
            *position = real_position_among_integers(literal->real, min, max);
            return PLINTH_OK;
        }
        real_format(literal->real, text);
        digits = slice_of_string(text);
        break;
    case LITERAL_TEXT:
    case LITERAL_NUMBER: break;
    default: return refuse(literal, type, error);
    }
    struct number number;
    if (!number_read(digits, &number)) return refuse(literal, type, error);
    *position = number_position(&number, type.scale, min, max);
    return PLINTH_OK;
}

/* ---- floats ---- */

static double next_above(double real, bool narrow) {
    return narrow ? (double)nextafterf((float)real, INFINITY) : nextafter(real, INFINITY);
}

/* `nearest` is the type's value next to the literal; `order` tells whether the literal is below, at or above it. */
static struct position real_position(double nearest, int order, bool narrow) {
    struct position position = {.kind = order ? POSITION_BETWEEN : POSITION_EXACT};
    position.value.real = order > 0 ? next_above(nearest, narrow) : nearest;
    return position;
}

static struct position integer_position_among_reals(int128 integer, bool narrow) {
    double nearest = narrow ? (double)(float)integer : (double)integer;
    int128 back = (int128)nearest; /* at most 2^64 */
    return real_position(nearest, (integer > back) - (integer < back), narrow);
}

static enum plinth_status text_among_reals(const struct literal *literal, struct column_type type,
                                           struct position *position, struct plinth_error *error) {
    bool narrow = type.kind == COLUMN_FLOAT32;
    struct number number;
    if (!number_read(literal->bytes, &number)) {
        struct slice text = literal->bytes;
        bool negative = text.size && text.data[0] == '-';
        if (negative || (text.size && text.data[0] == '+')) text = slice_of(text.data + 1, text.size - 1);
        char word[12] = {0};
        if (text.size == 0 || text.size >= sizeof word) return refuse(literal, type, error);
        for (size_t i = 0; i < text.size; i++) word[i] = (char)(text.data[i] | 0x20);
        if (strcmp(word, "nan") == 0) {
            *position = real_position(NAN, 0, narrow);
        } else if (strcmp(word, "inf") == 0 || strcmp(word, "infinity") == 0) {
            *position = real_position(negative ? -INFINITY : INFINITY, 0, narrow);
        } else {
            return refuse(literal, type, error);
        }
        return PLINTH_OK;
    }
    char digits[NUMBER_TEXT_MAX + 64];
    if (literal->bytes.size >= sizeof digits) return refuse(literal, type, error);
    memcpy(digits, literal->bytes.data, literal->bytes.size);
    digits[literal->bytes.size] = 0;
    double nearest = narrow ? (double)strtof(digits, NULL) : strtod(digits, NULL);
    int order = !isinf(nearest) ? 0 : nearest > 0 ? -1 : 1; /* finite, but beyond the greatest finite value */
    *position = real_position(nearest, order, narrow);
    return PLINTH_OK;
}

static enum plinth_status position_among_reals(const struct literal *literal, struct column_type type,
                                               struct position *position, struct plinth_error *error) {
    bool narrow = type.kind == COLUMN_FLOAT32;
    double nearest;
    switch (literal->kind) {
    case LITERAL_INT: *position = integer_position_among_reals(literal->integer, narrow); return PLINTH_OK;
    case LITERAL_UINT: *position = integer_position_among_reals(literal->unsigned_integer, narrow); return PLINTH_OK;
    case LITERAL_FLOAT:
        nearest = narrow ? (double)(float)literal->real : literal->real;
        *position = real_position(nearest, (literal->real > nearest) - (literal->real < nearest), narrow);
        return PLINTH_OK;
    case LITERAL_TEXT:
    case LITERAL_NUMBER: return text_among_reals(literal, type, position, error);
    default: return refuse(literal, type, error);
    }
}

/* ---- times ---- */

static int128 unit_ns(struct column_type type) {
    static const int64_t ns[] = {1000000000, 1000000, 1000, 1};
    return type.kind == COLUMN_DATE ? (int128)86400 * 1000000000 : ns[type.unit];
}

/* The text's value by column_builder_text, when it is one of the type. */
static enum plinth_status read_text(struct slice text, struct column_type type, struct arena *arena,
                                    struct scalar *scalar, struct plinth_error *error) {
    struct column_builder builder;
    if (!column_builder_init(&builder, type)) return error_no_memory(error, "a literal");
    enum plinth_status st = column_builder_text(&builder, text, error);
    if (st) goto done;
    struct column view = column_builder_view(&builder);
    if (column_is_null(&view, 0)) {
        st = error_set(error, PLINTH_INVALID_ARGUMENT, "an empty text");
        goto done;
    }
    *scalar = scalar_at(&view, 0);
    if (scalar_class_of(type.kind) == SCALAR_BYTES) {
        const uint8_t *copy = arena_copy(arena, scalar->bytes);
        if (!copy) {
            st = error_no_memory(error, "a literal");
            goto done;
        }
        scalar->bytes = slice_of(copy, scalar->bytes.size);
    }
done:
    column_builder_deinit(&builder);
    return st;
}

/* The text is tried in the column's type, then in all other units, so that it may be finer or farther away than the
 * column can hold. */
static enum plinth_status position_among_times(const struct literal *literal, struct column_type type,
                                               struct arena *arena, struct position *position,
                                               struct plinth_error *error) {
    if (literal->kind != LITERAL_TEXT) return refuse(literal, type, error);
    struct column_type stamp = {.kind = COLUMN_TIMESTAMP, .zoned = type.zoned};
    struct column_type tries[6] = {type};
    for (uint8_t i = 0; i < 4; i++) {
        tries[i + 1] = stamp;
        tries[i + 1].unit = (uint8_t)(TIME_NANO - i);
    }
    tries[5] = column_type_of(COLUMN_DATE);
    for (size_t i = 0; i < 6; i++) {
        struct scalar scalar;
        enum plinth_status st = read_text(literal->bytes, tries[i], arena, &scalar, NULL);
        if (st == PLINTH_OUT_OF_MEMORY) return error_no_memory(error, "a literal");
        if (st) continue;
        int128 ns = scalar.integer * unit_ns(tries[i]), unit = unit_ns(type);
        int128 below = ns / unit - (ns % unit < 0);
        *position = integer_position(below, ns % unit != 0, integer_min_of(type), integer_max_of(type));
        return PLINTH_OK;
    }
    return refuse(literal, type, error);
}

/* ---- the others ---- */

static enum plinth_status exact_text(const struct literal *literal, struct column_type type, struct arena *arena,
                                     struct position *position, struct plinth_error *error) {
    position->kind = POSITION_EXACT;
    enum plinth_status st = read_text(literal->bytes, type, arena, &position->value, NULL);
    if (st == PLINTH_OUT_OF_MEMORY) return error_no_memory(error, "a literal");
    return st ? refuse(literal, type, error) : PLINTH_OK;
}

static enum plinth_status position_among_bytes(const struct literal *literal, struct column_type type,
                                               struct arena *arena, struct position *position,
                                               struct plinth_error *error) {
    bool is_text = literal->kind == LITERAL_TEXT;
    if (!is_text && literal->kind != LITERAL_BYTES) return refuse(literal, type, error);
    if (is_text && type.kind != COLUMN_STRING) return exact_text(literal, type, arena, position, error);
    if (type.kind == COLUMN_UUID && literal->bytes.size != 16) return refuse(literal, type, error);
    if (type.kind == COLUMN_STRING && utf8_find_invalid(literal->bytes) != SIZE_MAX) {
        return error_set(error, PLINTH_INVALID_ARGUMENT, "a literal for a string has invalid UTF-8 at byte %zu",
                         utf8_find_invalid(literal->bytes));
    }
    *position = (struct position){.kind = POSITION_EXACT, .value = {.bytes = literal->bytes}};
    return PLINTH_OK;
}

enum plinth_status literal_position(const struct literal *literal, struct column_type type, struct arena *arena,
                                    struct position *position, struct plinth_error *error) {
    *position = (struct position){0};
    switch (type.kind) {
    case COLUMN_BOOL:
        if (literal->kind == LITERAL_TEXT) return exact_text(literal, type, arena, position, error);
        if (literal->kind != LITERAL_BOOL) return refuse(literal, type, error);
        *position = (struct position){.kind = POSITION_EXACT, .value = {.integer = literal->boolean}};
        return PLINTH_OK;
    case COLUMN_STRING:
    case COLUMN_BYTES:
    case COLUMN_UUID: return position_among_bytes(literal, type, arena, position, error);
    case COLUMN_DATE:
    case COLUMN_TIMESTAMP: return position_among_times(literal, type, arena, position, error);
    case COLUMN_FLOAT32:
    case COLUMN_FLOAT64: return position_among_reals(literal, type, position, error);
    case COLUMN_LIST: return refuse(literal, type, error);
    default: return position_among_integers(literal, type, position, error);
    }
}
