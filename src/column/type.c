#include "column/type.h"

#include <stdio.h>
#include <strings.h>

#include "base/status.h"

bool column_type_equal(struct column_type a, struct column_type b) {
    return a.kind == b.kind && a.element == b.element && a.unit == b.unit && a.zoned == b.zoned &&
           a.precision == b.precision && a.scale == b.scale;
}

bool column_type_is_valid(struct column_type type) {
    if (type.kind == COLUMN_LIST) {
        if (type.element == COLUMN_LIST) return false;
        type = column_type_element(type);
    }
    if (type.kind < COLUMN_BOOL || type.kind >= COLUMN_KIND_COUNT || type.element) return false;
    if (type.kind == COLUMN_TIMESTAMP ? type.unit > TIME_NANO : type.unit || type.zoned) return false;
    if (type.kind != COLUMN_DECIMAL) return !type.precision && !type.scale;
    return type.precision >= 1 && type.precision <= DECIMAL_PRECISION_MAX && type.scale <= type.precision;
}

uint32_t column_type_width(struct column_type type) {
    static const uint8_t widths[COLUMN_KIND_COUNT] = {
        [COLUMN_INT8] = 1,   [COLUMN_INT16] = 2,    [COLUMN_INT32] = 4,  [COLUMN_INT64] = 8,     [COLUMN_UINT8] = 1,
        [COLUMN_UINT16] = 2, [COLUMN_UINT32] = 4,   [COLUMN_UINT64] = 8, [COLUMN_FLOAT32] = 4,   [COLUMN_FLOAT64] = 8,
        [COLUMN_DATE] = 4,   [COLUMN_DECIMAL] = 16, [COLUMN_UUID] = 16,  [COLUMN_TIMESTAMP] = 8,
    };
    return type.kind < COLUMN_KIND_COUNT ? widths[type.kind] : 0;
}

static bool integer_widens(struct column_type from, struct column_type to) {
    uint32_t had = column_type_width(from), has = column_type_width(to);
    if (column_kind_is_signed(from.kind) && !column_kind_is_signed(to.kind)) return false;
    return has > had;
}

bool column_type_widens(struct column_type from, struct column_type to) {
    if (column_kind_is_integer(from.kind) && column_kind_is_integer(to.kind)) return integer_widens(from, to);
    if (from.kind == COLUMN_FLOAT32) return to.kind == COLUMN_FLOAT64;
    if (from.kind == COLUMN_DECIMAL && to.kind == COLUMN_DECIMAL)
        return from.scale == to.scale && from.precision < to.precision;
    return from.kind == COLUMN_DATE && to.kind == COLUMN_TIMESTAMP && !to.zoned && to.unit <= TIME_MILLI;
}

bool column_type_same_keys(struct column_type a, struct column_type b) {
    if (column_type_equal(a, b)) return true;
    return a.kind == COLUMN_DECIMAL && b.kind == COLUMN_DECIMAL && a.scale == b.scale;
}

/* ---- text ---- */

static const char *const kind_names[COLUMN_KIND_COUNT] = {
    [COLUMN_BOOL] = "bool",       [COLUMN_INT8] = "int8",       [COLUMN_INT16] = "int16",
    [COLUMN_INT32] = "int32",     [COLUMN_INT64] = "int64",     [COLUMN_UINT8] = "uint8",
    [COLUMN_UINT16] = "uint16",   [COLUMN_UINT32] = "uint32",   [COLUMN_UINT64] = "uint64",
    [COLUMN_FLOAT32] = "float32", [COLUMN_FLOAT64] = "float64", [COLUMN_DECIMAL] = "decimal",
    [COLUMN_STRING] = "string",   [COLUMN_BYTES] = "bytes",     [COLUMN_DATE] = "date",
    [COLUMN_UUID] = "uuid",       [COLUMN_LIST] = "list",       [COLUMN_TIMESTAMP] = "timestamp",
};
static const char *const unit_names[] = {"s", "ms", "us", "ns"};

const char *column_type_format(struct column_type type, char text[COLUMN_TYPE_TEXT_MAX]) {
    if (type.kind == COLUMN_LIST) {
        char element[COLUMN_TYPE_TEXT_MAX];
        snprintf(text, COLUMN_TYPE_TEXT_MAX, "list<%.40s>", column_type_format(column_type_element(type), element));
        return text;
    }
    const char *name = type.kind < COLUMN_KIND_COUNT ? kind_names[type.kind] : NULL;
    if (!name) {
        snprintf(text, COLUMN_TYPE_TEXT_MAX, "type %u", type.kind);
    } else if (type.kind == COLUMN_DECIMAL) {
        snprintf(text, COLUMN_TYPE_TEXT_MAX, "decimal(%u,%u)", type.precision, type.scale);
    } else if (type.kind == COLUMN_TIMESTAMP) {
        snprintf(text, COLUMN_TYPE_TEXT_MAX, "timestamp(%s%s)", unit_names[type.unit & 3], type.zoned ? ", utc" : "");
    } else {
        snprintf(text, COLUMN_TYPE_TEXT_MAX, "%s", name);
    }
    return text;
}

/* Words without parameters; the others are below. */
static const struct {
    const char *word;
    enum column_kind kind;
} type_words[] = {
    {"bool", COLUMN_BOOL},       {"boolean", COLUMN_BOOL},   {"int8", COLUMN_INT8},
    {"tinyint", COLUMN_INT8},    {"int16", COLUMN_INT16},    {"smallint", COLUMN_INT16},
    {"int32", COLUMN_INT32},     {"int", COLUMN_INT32},      {"integer", COLUMN_INT32},
    {"int64", COLUMN_INT64},     {"bigint", COLUMN_INT64},   {"uint8", COLUMN_UINT8},
    {"uint16", COLUMN_UINT16},   {"uint32", COLUMN_UINT32},  {"uint64", COLUMN_UINT64},
    {"float32", COLUMN_FLOAT32}, {"float", COLUMN_FLOAT32},  {"real", COLUMN_FLOAT32},
    {"float64", COLUMN_FLOAT64}, {"double", COLUMN_FLOAT64}, {"double precision", COLUMN_FLOAT64},
    {"string", COLUMN_STRING},   {"text", COLUMN_STRING},    {"varchar", COLUMN_STRING},
    {"bytes", COLUMN_BYTES},     {"binary", COLUMN_BYTES},   {"blob", COLUMN_BYTES},
    {"bytea", COLUMN_BYTES},     {"date", COLUMN_DATE},      {"uuid", COLUMN_UUID},
};

static struct slice trim(struct slice text) {
    while (text.size && (text.data[0] == ' ' || text.data[0] == '\t')) text.data++, text.size--;
    while (text.size && (text.data[text.size - 1] == ' ' || text.data[text.size - 1] == '\t')) text.size--;
    return text;
}

static bool is_word(struct slice text, const char *word) {
    return text.size == strlen(word) && (text.size == 0 || strncasecmp((const char *)text.data, word, text.size) == 0);
}

/* Cuts `text` at the first `separator`: what is before it, and what is behind it into `rest` (null data: none). */
static struct slice cut(struct slice text, char separator, struct slice *rest) {
    const uint8_t *at = text.size ? memchr(text.data, separator, text.size) : NULL;
    *rest = at ? slice_of(at + 1, (size_t)(text.data + text.size - at - 1)) : slice_of(NULL, 0);
    return trim(at ? slice_of(text.data, (size_t)(at - text.data)) : text);
}

/* A number of one or two digits. */
static bool parse_small(struct slice text, uint8_t *value) {
    if (text.size < 1 || text.size > 2) return false;
    *value = 0;
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] < '0' || text.data[i] > '9') return false;
        *value = (uint8_t)(*value * 10 + (text.data[i] - '0'));
    }
    return true;
}

static bool parse_decimal(struct slice parameters, struct column_type *type) {
    struct slice rest;
    *type = column_type_of(COLUMN_DECIMAL);
    if (!parse_small(cut(parameters, ',', &rest), &type->precision)) return false;
    return !rest.data || parse_small(trim(rest), &type->scale);
}

static bool parse_timestamp(struct slice parameters, bool zoned, struct column_type *type) {
    *type = column_type_of(COLUMN_TIMESTAMP);
    type->unit = TIME_MICRO;
    type->zoned = zoned;
    if (!parameters.data) return true;
    struct slice rest;
    struct slice unit = cut(parameters, ',', &rest);
    for (type->unit = 0; type->unit < 4 && !is_word(unit, unit_names[type->unit]);) type->unit++;
    if (!rest.data) return true; /* a wrong unit is found by column_type_is_valid */
    type->zoned = true;
    return is_word(trim(rest), "utc");
}

/* Any type but a list. */
static bool parse_primitive(struct slice text, struct column_type *type) {
    for (size_t i = 0; i < sizeof type_words / sizeof *type_words; i++) {
        if (!is_word(text, type_words[i].word)) continue;
        *type = column_type_of(type_words[i].kind);
        return true;
    }
    struct slice parameters;
    struct slice word = cut(text, '(', &parameters);
    if (parameters.data) {
        if (parameters.data[parameters.size - (parameters.size > 0)] != ')' || !parameters.size) return false;
        parameters.size--;
    }
    if (is_word(word, "decimal") || is_word(word, "numeric"))
        return parameters.data && parse_decimal(parameters, type) && column_type_is_valid(*type);
    if (is_word(word, "timestamp") || is_word(word, "timestamptz"))
        return parse_timestamp(parameters, word.size > 9, type) && column_type_is_valid(*type);
    return false;
}

static bool parse_list(struct slice text, struct column_type *type) {
    struct slice element = {0};
    if (text.size > 2 && text.data[text.size - 1] == ']' && text.data[text.size - 2] == '[')
        element = slice_of(text.data, text.size - 2);
    else if (text.size > 6 && text.data[text.size - 1] == '>' && strncasecmp((const char *)text.data, "list<", 5) == 0)
        element = slice_of(text.data + 5, text.size - 6);
    else
        return false;
    if (!parse_primitive(trim(element), type)) return false;
    type->element = type->kind;
    type->kind = COLUMN_LIST;
    return true;
}

enum plinth_status column_type_parse(struct slice text, struct column_type *type, struct plinth_error *error) {
    struct slice trimmed = trim(text);
    if (parse_list(trimmed, type) || parse_primitive(trimmed, type)) return PLINTH_OK;
    *type = (struct column_type){0};
    return error_set(error, PLINTH_INVALID_ARGUMENT,
                     "\"%.*s\" is not a type; expected bool, int8 to int64, uint8 to uint64, float32, float64, "
                     "decimal(p,s) with p to 38 and s to p, string, bytes, date, timestamp(s|ms|us|ns[, utc]), uuid or "
                     "list<type>",
                     (int)(text.size < 60 ? text.size : 60), text.size ? (const char *)text.data : "");
}

/* ---- bytes ---- */

bool column_type_encode(struct buffer *into, struct column_type type) {
    const uint8_t bytes[COLUMN_TYPE_BYTES] = {type.kind,  type.element,   type.unit,
                                              type.zoned, type.precision, type.scale};
    return buffer_append(into, bytes, sizeof bytes);
}

bool column_type_decode(struct reader *from, struct column_type *type) {
    *type = (struct column_type){0};
    struct slice bytes = reader_bytes(from, COLUMN_TYPE_BYTES);
    if (from->failed) return false;
    const uint8_t *at = bytes.data;
    struct column_type read = {at[0], at[1], at[2], at[3] == 1, at[4], at[5]};
    if (at[3] > 1 || !column_type_is_valid(read)) {
        from->failed = true;
        return false;
    }
    *type = read;
    return true;
}
