#include "cmd/typed_text.h"

#include <stdio.h>

#include "base/status.h"
#include "cmd/byte_text.h"
#include "cmd/time_pattern.h"
#include "column/time_text.h"

enum { SHOWN_BYTES_MAX = 60 };

bool text_is_null(const struct text_format *format, struct slice text, bool quoted, struct column_type type) {
    if (!text.size && !quoted && (format->empty_is_null || !column_kind_is_bytes(type.kind))) return true;
    for (size_t i = 0; i < format->null_count; i++)
        if (slice_equal(format->nulls[i], text)) return true;
    return false;
}

static struct slice trim(struct slice text) {
    while (text.size && (text.data[0] == ' ' || text.data[0] == '\t')) text.data++, text.size--;
    while (text.size && (text.data[text.size - 1] == ' ' || text.data[text.size - 1] == '\t')) text.size--;
    return text;
}

/* ---- what is wrong ---- */

static const char *kind_words(uint8_t kind) {
    switch (kind) {
    case COLUMN_BOOL: return "true or false";
    case COLUMN_DATE: return "a date";
    case COLUMN_TIMESTAMP: return "a time";
    case COLUMN_UUID: return "a UUID";
    case COLUMN_LIST: return "a list";
    case COLUMN_STRING:
    case COLUMN_BYTES: return "a text";
    default: return "a number";
    }
}

/* `why` is what the parser said, or null. */
static enum plinth_status wrong(struct plinth_error *error, struct slice text, struct column_type type,
                                const char *why) {
    char name[COLUMN_TYPE_TEXT_MAX];
    struct buffer shown = BUFFER_INIT;
    bool cut = text.size > SHOWN_BYTES_MAX;
    column_type_format(type, name);
    if (!escaped_text_append(&shown, slice_of(text.data, cut ? SHOWN_BYTES_MAX : text.size))) shown.size = 0;
    const char *rest = shown.size ? (const char *)shown.data : "";
    if (why && strstr(why, "out of range"))
        error_set(error, PLINTH_INVALID_ARGUMENT, "'%.*s'%s is out of range (%s)", (int)shown.size, rest,
                  cut ? "..." : "", name);
    else
        error_set(error, PLINTH_INVALID_ARGUMENT, "'%.*s'%s is not %s (%s)%s%s", (int)shown.size, rest,
                  cut ? "..." : "", kind_words(type.kind), name, why ? ": " : "", why ? why : "");
    buffer_deinit(&shown);
    return PLINTH_INVALID_ARGUMENT;
}

/* Column's parsers say "TEXT as TYPE: why". */
static const char *reason_in(const char *text) {
    const char *found = NULL;
    for (const char *at = strstr(text, ": "); at; at = strstr(at + 1, ": ")) found = at + 2;
    if (!found || strncmp(found, "expected ", 9) == 0) return NULL; /* the type says it already */
    return found;
}

/* ---- text to values ---- */

/* Up to 18 digits: what nearly all integers are. */
static bool parse_short_integer(struct slice text, uint8_t kind, int64_t *value) {
    static const int64_t most[] = {
        [COLUMN_INT8] = INT8_MAX,     [COLUMN_INT16] = INT16_MAX, [COLUMN_INT32] = INT32_MAX,
        [COLUMN_INT64] = INT64_MAX,   [COLUMN_UINT8] = UINT8_MAX, [COLUMN_UINT16] = UINT16_MAX,
        [COLUMN_UINT32] = UINT32_MAX, [COLUMN_UINT64] = INT64_MAX};
    bool minus = text.size && text.data[0] == '-';
    size_t at = minus;
    int64_t number = 0;
    if (at == text.size || text.size > 18) return false;
    for (; at < text.size; at++) {
        unsigned digit = (unsigned)text.data[at] - '0';
        if (digit > 9) return false;
        number = number * 10 + (int64_t)digit;
    }
    *value = minus ? -number : number;
    return number <= most[kind] && !(minus && column_kind_is_unsigned(kind));
}

static enum plinth_status append_string(struct column_builder *builder, struct slice text, struct plinth_error *error) {
    size_t invalid = utf8_find_invalid(text);
    if (invalid != SIZE_MAX)
        return error_set(error, PLINTH_INVALID_ARGUMENT, "byte %zu of the text is not UTF-8 (0x%02x)", invalid + 1,
                         text.data[invalid]);
    if (column_builder_bytes_value(builder, text)) return PLINTH_OK;
    return error_no_memory(error, "column");
}

static enum plinth_status append_pattern(struct column_builder *builder, const char *pattern, struct slice text,
                                         struct plinth_error *error) {
    int64_t value;
    const char *why = time_pattern_parse(pattern, text, builder->type, &value);
    if (why) return wrong(error, text, builder->type, why);
    return column_builder_integer(builder, value) ? PLINTH_OK : error_no_memory(error, "column");
}

enum plinth_status text_append(struct column_builder *builder, const struct text_format *format, struct slice text,
                               struct plinth_error *error) {
    uint8_t kind = builder->type.kind;
    int64_t number;
    if (kind == COLUMN_STRING) return append_string(builder, text, error);
    if (kind != COLUMN_BYTES) text = trim(text);
    if (column_kind_is_integer(kind) && parse_short_integer(text, kind, &number))
        return column_builder_integer(builder, number) ? PLINTH_OK : error_no_memory(error, "column");
    if (kind == COLUMN_DATE && format->date_format) return append_pattern(builder, format->date_format, text, error);
    if (kind == COLUMN_TIMESTAMP && format->time_format)
        return append_pattern(builder, format->time_format, text, error);
    struct plinth_error why;
    enum plinth_status st = column_builder_text(builder, text, &why);
    if (!st) return PLINTH_OK;
    if (st == PLINTH_INVALID_ARGUMENT) return wrong(error, text, builder->type, reason_in(why.text));
    return error_set(error, st, "%s", why.text);
}

static enum plinth_status append_elements(struct column_builder *builder, const struct text_format *format,
                                          struct slice text, struct arena *scratch, struct plinth_error *error) {
    struct json_member *elements;
    size_t count;
    uint32_t before = builder->child->rows;
    enum plinth_status st = json_array_parse(text, scratch, &elements, &count, error);
    for (size_t i = 0; !st && i < count; i++) st = json_append(builder->child, format, &elements[i], scratch, error);
    if (!st && !column_builder_list(builder)) st = error_no_memory(error, "column");
    if (st) column_builder_truncate(builder->child, before);
    return st;
}

enum plinth_status json_append(struct column_builder *builder, const struct text_format *format,
                               const struct json_member *member, struct arena *scratch, struct plinth_error *error) {
    uint8_t kind = builder->type.kind;
    switch (member->kind) {
    case JSON_NULL: return column_builder_null(builder) ? PLINTH_OK : error_no_memory(error, "column");
    case JSON_ARRAY:
        if (kind == COLUMN_LIST) return append_elements(builder, format, member->value, scratch, error);
        break;
    case JSON_TEXT: return text_append(builder, format, member->value, error);
    case JSON_NUMBER:
        if (kind != COLUMN_BOOL) return text_append(builder, format, member->value, error);
        break;
    case JSON_BOOL:
        if (kind == COLUMN_BOOL || kind == COLUMN_STRING) return text_append(builder, format, member->value, error);
        break;
    default: break;
    }
    /* Arrays and objects are kept as text where text is wanted. */
    if (kind == COLUMN_STRING) return append_string(builder, member->value, error);
    return wrong(error, member->value, builder->type, NULL);
}

/* ---- guessing ---- */

enum guess {
    GUESS_BOOL,
    GUESS_INT64,
    GUESS_UINT64,
    GUESS_FLOAT64,
    GUESS_DATE,
    GUESS_TIME,
    GUESS_ZONED,
    GUESS_UUID,
    GUESS_COUNT
};

static bool is_digit(uint8_t byte) { return byte >= '0' && byte <= '9'; }

/* Digits as a program would write them: no leading zeros, no plus. */
static bool looks_like_number(struct slice text) {
    size_t at = text.size && text.data[0] == '-';
    if (at == text.size || (!is_digit(text.data[at]) && text.data[at] != '.')) return false;
    return !(text.data[at] == '0' && at + 1 < text.size && is_digit(text.data[at + 1]));
}

static bool is_integer(struct slice text, bool is_unsigned) {
    uint64_t number = 0;
    bool minus = text.size && text.data[0] == '-';
    size_t at = minus;
    if (minus && is_unsigned) return false;
    for (; at < text.size; at++) {
        if (!is_digit(text.data[at]) || __builtin_mul_overflow(number, 10, &number) ||
            __builtin_add_overflow(number, (uint64_t)(text.data[at] - '0'), &number))
            return false;
    }
    return is_unsigned || number <= (uint64_t)INT64_MAX + minus;
}

static bool is_float(struct slice text) {
    size_t digits = 0, at = text.data[0] == '-';
    bool point = false, exponent = false;
    for (; at < text.size; at++) {
        uint8_t byte = text.data[at];
        if (is_digit(byte)) {
            digits += !exponent;
        } else if (byte == '.' && !point && !exponent) {
            point = true;
        } else if ((byte | 0x20) == 'e' && digits && !exponent && at + 1 < text.size) {
            exponent = true;
            if (text.data[at + 1] == '-' || text.data[at + 1] == '+') at++;
            if (at + 1 == text.size) return false;
            size_t places = text.size - at - 1; /* what is near the end of the range stays text */
            if (places > 3 || (places == 3 && text.data[at + 1] > '2')) return false;
        } else {
            return false;
        }
    }
    return digits > 0 && digits <= 17;
}

static bool is_bool(struct slice text) {
    static const char *const words[] = {"true", "false", "True", "False", "TRUE", "FALSE"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (slice_equal(text, slice_of_string(words[i]))) return true;
    return false;
}

static bool is_date(const struct text_format *format, struct slice text) {
    int64_t value;
    int32_t days;
    if (format->date_format) return !time_pattern_parse(format->date_format, text, column_type_of(COLUMN_DATE), &value);
    return text.size == 10 && is_digit(text.data[0]) && !date_parse(text, &days);
}

static bool is_time(const struct text_format *format, struct slice text, bool zoned) {
    const struct column_type type = {.kind = COLUMN_TIMESTAMP, .unit = TIME_MICRO, .zoned = zoned};
    int64_t value;
    if (format->time_format) {
        bool has_zone = strstr(format->time_format, "%z") || strstr(format->time_format, "%s");
        return has_zone == zoned && !time_pattern_parse(format->time_format, text, type, &value);
    }
    if (text.size < 16 || !is_digit(text.data[0]) || (text.data[10] != ' ' && text.data[10] != 'T')) return false;
    bool has_zone = text.data[text.size - 1] == 'Z' || memchr(text.data + 11, '+', text.size - 11) ||
                    memchr(text.data + 11, '-', text.size - 11);
    return has_zone == zoned && !timestamp_parse(text, type, &value);
}

static bool is_uuid(struct slice text) {
    if (text.size != 36) return false;
    for (size_t i = 0; i < 36; i++) {
        uint8_t lower = text.data[i] | 0x20;
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        if (dash ? text.data[i] != '-' : !is_digit(text.data[i]) && (lower < 'a' || lower > 'f')) return false;
    }
    return true;
}

static void rule_out(uint32_t *impossible, const struct text_format *format, struct slice text) {
    text = trim(text);
    bool number = looks_like_number(text);
    const bool possible[GUESS_COUNT] = {
        [GUESS_BOOL] = is_bool(text),
        [GUESS_INT64] = number && is_integer(text, false),
        [GUESS_UINT64] = number && is_integer(text, true),
        [GUESS_FLOAT64] = number && is_float(text),
        [GUESS_DATE] = is_date(format, text),
        [GUESS_TIME] = is_time(format, text, false),
        [GUESS_ZONED] = is_time(format, text, true),
        [GUESS_UUID] = is_uuid(text),
    };
    for (unsigned i = 0; i < GUESS_COUNT; i++) *impossible |= (uint32_t)!possible[i] << i;
}

enum {
    EVERY_GUESS = (1 << GUESS_COUNT) - 1,
    NUMBER_GUESSES = 1 << GUESS_INT64 | 1 << GUESS_UINT64 | 1 << GUESS_FLOAT64
};

void guess_text(struct type_guess *guess, const struct text_format *format, struct slice text) {
    guess->values++;
    if (guess->impossible != EVERY_GUESS) rule_out(&guess->impossible, format, text);
}

/* JSON says itself what is a text: "12" is none of the numbers. */
static void guess_value(uint32_t *impossible, const struct text_format *format, const struct json_member *member) {
    switch (member->kind) {
    case JSON_TEXT:
        rule_out(impossible, format, member->value);
        *impossible |= NUMBER_GUESSES | 1 << GUESS_BOOL;
        break;
    case JSON_NUMBER:
        rule_out(impossible, format, member->value);
        *impossible |= EVERY_GUESS & ~NUMBER_GUESSES;
        break;
    case JSON_BOOL: *impossible |= EVERY_GUESS & ~(1 << GUESS_BOOL); break;
    default: *impossible = EVERY_GUESS;
    }
}

void guess_json(struct type_guess *guess, const struct text_format *format, const struct json_member *member,
                struct arena *scratch) {
    struct plinth_error ignored;
    struct json_member *elements;
    size_t count;
    if (member->kind == JSON_NULL) return;
    bool list = member->kind == JSON_ARRAY && !json_array_parse(member->value, scratch, &elements, &count, &ignored);
    if (guess->values++ == 0)
        guess->is_list = list;
    else
        guess->is_list = guess->is_list && list;
    if (!list) {
        guess_value(&guess->impossible, format, member);
        return;
    }
    guess->impossible = EVERY_GUESS;
    for (size_t i = 0; i < count; i++) {
        if (elements[i].kind == JSON_NULL) continue;
        guess->elements++;
        guess_value(&guess->element_impossible, format, &elements[i]);
    }
}

static struct column_type type_of(uint32_t impossible, uint64_t values) {
    static const struct column_type types[GUESS_COUNT] = {
        [GUESS_BOOL] = {.kind = COLUMN_BOOL},
        [GUESS_INT64] = {.kind = COLUMN_INT64},
        [GUESS_UINT64] = {.kind = COLUMN_UINT64},
        [GUESS_FLOAT64] = {.kind = COLUMN_FLOAT64},
        [GUESS_DATE] = {.kind = COLUMN_DATE},
        [GUESS_TIME] = {.kind = COLUMN_TIMESTAMP, .unit = TIME_MICRO},
        [GUESS_ZONED] = {.kind = COLUMN_TIMESTAMP, .unit = TIME_MICRO, .zoned = true},
        [GUESS_UUID] = {.kind = COLUMN_UUID},
    };
    for (unsigned i = 0; values && i < GUESS_COUNT; i++)
        if (!(impossible >> i & 1)) return types[i];
    return column_type_of(COLUMN_STRING);
}

struct column_type guess_type(const struct type_guess *guess) {
    if (!guess->is_list) return type_of(guess->impossible, guess->values);
    struct column_type element = type_of(guess->element_impossible, guess->elements), list = element;
    list.kind = COLUMN_LIST;
    list.element = element.kind;
    return list;
}
