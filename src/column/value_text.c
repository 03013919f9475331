/* Values as text, both ways (column_builder.h says the forms). Parsing is exact: what the type cannot hold as it is
 * written is refused, but for floats, which are rounded to nearest. */
#include <locale.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "base/status.h"
#include "column/column_builder.h"
#include "column/column_private.h"
#include "column/time_text.h"

static const char NO_MEMORY[] = "out of memory"; /* told from other answers by its address */

static struct slice trim(struct slice text) {
    while (text.size && (text.data[0] == ' ' || text.data[0] == '\t')) text.data++, text.size--;
    while (text.size && (text.data[text.size - 1] == ' ' || text.data[text.size - 1] == '\t')) text.size--;
    return text;
}

static bool is_word(struct slice text, const char *word) {
    return text.size == strlen(word) && (text.size == 0 || strncasecmp((const char *)text.data, word, text.size) == 0);
}

static bool is_digit(uint8_t byte) { return byte >= '0' && byte <= '9'; }

/* ---- numbers: each parser returns null or what is wrong ---- */

static const char *parse_integer(struct slice text, uint8_t kind, uint32_t width, int64_t *value) {
    bool minus = text.size && text.data[0] == '-';
    size_t at = text.size && (minus || text.data[0] == '+');
    if (at == text.size) return "expected digits";
    uint64_t magnitude = 0;
    bool overflow = false;
    for (; at < text.size; at++) {
        if (!is_digit(text.data[at])) return "expected digits";
        overflow |= __builtin_mul_overflow(magnitude, 10, &magnitude) ||
                    __builtin_add_overflow(magnitude, text.data[at] - '0', &magnitude);
    }
    bool is_signed = column_kind_is_signed(kind);
    uint64_t most = UINT64_MAX >> (64 - 8 * width + is_signed);
    if (minus) most = is_signed ? most + 1 : 0;
    if (overflow || magnitude > most) return "out of range";
    *value = (int64_t)(minus ? 0 - magnitude : magnitude);
    return NULL;
}

/* A decimal number as it is written: digits * 10^exponent. */
struct number {
    bool minus;
    uint128 digits; /* without the zeros at the end; not more than 38 digits */
    int64_t exponent;
    unsigned digit_count; /* of `digits` */
    bool too_long;        /* there were more than 38; `digits` is then meaningless */
};

static void number_add_digit(struct number *number, unsigned digit, int64_t *zeros) {
    if (!digit) { /* only counted, until a digit follows that is not 0 */
        *zeros += number->digit_count > 0;
        return;
    }
    if (number->digit_count + *zeros + 1 > DECIMAL_PRECISION_MAX) {
        number->too_long = true;
        return;
    }
    for (; *zeros; --*zeros, number->digit_count++) number->digits *= 10;
    number->digits = number->digits * 10 + digit;
    number->digit_count++;
}

/* [sign] digits [. digits] [e [sign] digits]; at least one digit before the exponent. */
static bool number_parse(struct slice text, struct number *number) {
    *number = (struct number){.minus = text.size && text.data[0] == '-'};
    size_t at = text.size && (number->minus || text.data[0] == '+');
    bool any = false, point = false;
    int64_t zeros = 0, behind = 0;
    for (; at < text.size && (is_digit(text.data[at]) || (text.data[at] == '.' && !point)); at++) {
        if (text.data[at] == '.') {
            point = true;
            continue;
        }
        any = true;
        behind += point;
        number_add_digit(number, text.data[at] - '0', &zeros);
    }
    if (!any) return false;
    int64_t exponent = 0;
    if (at < text.size && (text.data[at] | 0x20) == 'e') {
        bool minus = ++at < text.size && text.data[at] == '-';
        if (at < text.size && (minus || text.data[at] == '+')) at++;
        if (at == text.size) return false;
        for (; at < text.size && is_digit(text.data[at]); at++)
            if (exponent < 1000000) exponent = exponent * 10 + (text.data[at] - '0');
        if (minus) exponent = -exponent;
    }
    number->exponent = exponent - behind + zeros;
    return at == text.size;
}

static const char *parse_decimal(struct slice text, struct column_type type, int128 *value) {
    struct number number;
    if (!number_parse(text, &number)) return "expected digits";
    *value = 0;
    if (!number.digit_count) return NULL;
    int64_t places = number.exponent + type.scale;
    if (places < 0) return "more digits behind the point than the type has";
    if (number.too_long || number.digit_count + places > type.precision) return "more digits than the type has";
    int128 magnitude = (int128)number.digits * decimal_power((unsigned)places);
    *value = number.minus ? -magnitude : magnitude;
    return NULL;
}

static locale_t c_locale;
static void c_locale_make(void) { c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0); }
/* Numbers are written with a point whatever the process's locale says. Null when memory is out. */
static locale_t c_locale_get(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, c_locale_make);
    return c_locale;
}

/* A number whose digits and power of ten are both exact in a double (float) needs only one rounding. */
static bool float_is_easy(const struct number *number, bool narrow) {
    int64_t power = number->exponent < 0 ? -number->exponent : number->exponent;
    uint64_t exact = narrow ? UINT64_C(1) << 24 : UINT64_C(1) << 53;
    return !number->too_long && number->digits <= exact && power <= (narrow ? 10 : 22);
}

static double easy_float(const struct number *number, bool narrow) {
    int64_t power = number->exponent < 0 ? -number->exponent : number->exponent;
    double digits = (double)(uint64_t)number->digits, ten = 1;
    while (power--) ten *= 10;
    double value = number->exponent < 0 ? digits / ten : digits * ten;
    if (narrow) value = number->exponent < 0 ? (float)digits / (float)ten : (float)digits * (float)ten;
    return number->minus ? -value : value;
}

static const char *parse_float(struct slice text, bool narrow, double *value) {
    bool minus = text.size && text.data[0] == '-';
    size_t sign = text.size && (minus || text.data[0] == '+');
    struct slice word = slice_of(text.size ? text.data + sign : NULL, text.size - sign);
    if (is_word(word, "inf") || is_word(word, "infinity") || is_word(word, "nan")) {
        *value = (word.data[0] | 0x20) == 'n' ? (double)NAN : (double)INFINITY;
        if (minus) *value = -*value;
        return NULL;
    }
    struct number number;
    if (!number_parse(text, &number)) return "expected a number, inf or nan";
    if (float_is_easy(&number, narrow)) {
        *value = easy_float(&number, narrow);
        return NULL;
    }
    char *copy = malloc(text.size + 1); /* strndup may look for an end behind the text */
    if (copy) {
        memcpy(copy, text.data, text.size);
        copy[text.size] = '\0';
    }
    locale_t locale = c_locale_get();
    const char *wrong = copy && locale ? NULL : NO_MEMORY;
    if (!wrong) *value = narrow ? strtof_l(copy, NULL, locale) : strtod_l(copy, NULL, locale);
    if (!wrong && isinf(*value)) wrong = "out of range";
    free(copy);
    return wrong;
}

static const char *parse_bool(struct slice text, bool *value) {
    static const char *const words[] = {"true", "t", "1", "yes", "false", "f", "0", "no"};
    for (unsigned i = 0; i < 8; i++) {
        if (!is_word(text, words[i])) continue;
        *value = i < 4;
        return NULL;
    }
    return "expected true or false";
}

/* ---- hexadecimal ---- */

static int hex_digit(uint8_t byte) {
    if (is_digit(byte)) return byte - '0';
    byte |= 0x20;
    return byte >= 'a' && byte <= 'f' ? byte - 'a' + 10 : -1;
}

static bool hex_byte(const uint8_t *at, uint8_t *value) {
    int high = hex_digit(at[0]), low = hex_digit(at[1]);
    if (high < 0 || low < 0) return false;
    *value = (uint8_t)(high << 4 | low);
    return true;
}

static bool put_hex(struct buffer *into, struct slice bytes) {
    static const char digits[] = "0123456789abcdef";
    if (!buffer_reserve(into, bytes.size * 2)) return false;
    for (size_t i = 0; i < bytes.size; i++) {
        into->data[into->size++] = (uint8_t)digits[bytes.data[i] >> 4];
        into->data[into->size++] = (uint8_t)digits[bytes.data[i] & 15];
    }
    return true;
}

static const char *parse_uuid(struct slice text, uint8_t into[16]) {
    static const char wrong[] = "expected 32 hexadecimal digits, grouped 8-4-4-4-12";
    if (text.size != 36 && text.size != 32) return wrong;
    const uint8_t *at = text.data;
    for (unsigned i = 0; i < 16; i++) {
        bool hyphen = i == 4 || i == 6 || i == 8 || i == 10;
        if (hyphen && text.size == 36 && *at++ != '-') return wrong;
        if (!hex_byte(at, &into[i])) return wrong;
        at += 2;
    }
    return NULL;
}

/* ---- appending parsed values ---- */

static const char *memory(bool done) { return done ? NULL : NO_MEMORY; }

static const char *append_bytes(struct column_builder *builder, struct slice text) {
    if (text.size < 2 || text.data[0] != '\\' || text.data[1] != 'x')
        return memory(column_builder_bytes_value(builder, text));
    if (text.size % 2) return "an odd number of hexadecimal digits";
    struct buffer bytes = BUFFER_INIT;
    const char *wrong = memory(buffer_append_zeros(&bytes, text.size / 2 - 1));
    for (size_t i = 2; i < text.size && !wrong; i += 2)
        if (!hex_byte(text.data + i, &bytes.data[i / 2 - 1])) wrong = "not a hexadecimal digit";
    if (!wrong) wrong = memory(column_builder_bytes_value(builder, buffer_slice(&bytes)));
    buffer_deinit(&bytes);
    return wrong;
}

static const char *append_text(struct column_builder *builder, struct slice text);

/* One element, quoted or up to the next comma or brace, from `text` (moved behind it). */
static const char *append_element(struct column_builder *list, struct slice *text, struct buffer *unquoted) {
    *text = trim(*text);
    buffer_clear(unquoted);
    if (!text->size || text->data[0] != '"') {
        size_t size = 0;
        while (size < text->size && !strchr(",{}\"", text->data[size])) size++;
        struct slice element = trim(slice_of(text->data, size));
        *text = slice_of(text->data + size, text->size - size);
        if (!element.size) return "an empty list element without quotes";
        return is_word(element, "null") ? memory(column_builder_null(list->child)) : append_text(list->child, element);
    }
    size_t at = 1;
    for (; at < text->size && text->data[at] != '"'; at++) {
        if (text->data[at] == '\\' && ++at == text->size) break;
        if (!buffer_append_u8(unquoted, text->data[at])) return NO_MEMORY;
    }
    if (at >= text->size) return "a list element whose quotes are not closed";
    *text = slice_of(text->data + at + 1, text->size - at - 1);
    return append_text(list->child, buffer_slice(unquoted));
}

static const char *append_elements(struct column_builder *builder, struct slice text) {
    if (text.size < 2 || text.data[0] != '{' || text.data[text.size - 1] != '}') return "expected {value,...}";
    struct slice inside = trim(slice_of(text.data + 1, text.size - 2));
    if (!inside.size) return NULL;
    struct buffer unquoted = BUFFER_INIT;
    const char *wrong = NULL;
    for (;;) {
        wrong = append_element(builder, &inside, &unquoted);
        inside = trim(inside);
        if (wrong || !inside.size) break;
        if (inside.data[0] != ',') {
            wrong = "expected a comma between list elements";
            break;
        }
        inside = slice_of(inside.data + 1, inside.size - 1);
    }
    buffer_deinit(&unquoted);
    return wrong;
}

static const char *append_list(struct column_builder *builder, struct slice text) {
    uint32_t before = builder->child->rows;
    const char *wrong = append_elements(builder, text);
    if (!wrong) wrong = memory(column_builder_list(builder));
    if (wrong) column_builder_truncate(builder->child, before);
    return wrong;
}

static const char *append_number(struct column_builder *builder, struct slice text) {
    struct column_type type = builder->type;
    const char *wrong;
    if (column_kind_is_float(type.kind)) {
        double value;
        wrong = parse_float(text, type.kind == COLUMN_FLOAT32, &value);
        return wrong ? wrong : memory(column_builder_float(builder, value));
    }
    if (type.kind == COLUMN_DECIMAL) {
        int128 value;
        wrong = parse_decimal(text, type, &value);
        return wrong ? wrong : memory(column_builder_bytes_value(builder, slice_of(&value, sizeof value)));
    }
    int64_t value = 0;
    int32_t days = 0;
    if (type.kind == COLUMN_TIMESTAMP) {
        wrong = timestamp_parse(text, type, &value);
    } else if (type.kind == COLUMN_DATE) {
        wrong = date_parse(text, &days);
        value = days;
    } else {
        wrong = parse_integer(text, type.kind, column_type_width(type), &value);
    }
    return wrong ? wrong : memory(column_builder_integer(builder, value));
}

static const char *append_text(struct column_builder *builder, struct slice text) {
    if (builder->type.kind == COLUMN_BYTES) return append_bytes(builder, text);
    if (builder->type.kind == COLUMN_STRING) {
        if (utf8_find_invalid(text) != SIZE_MAX) return "not UTF-8";
        return memory(column_builder_bytes_value(builder, text));
    }
    text = trim(text);
    if (builder->type.kind == COLUMN_BOOL) {
        bool value;
        const char *wrong = parse_bool(text, &value);
        return wrong ? wrong : memory(column_builder_bool(builder, value));
    }
    if (builder->type.kind == COLUMN_UUID) {
        uint8_t value[16];
        const char *wrong = parse_uuid(text, value);
        return wrong ? wrong : memory(column_builder_bytes_value(builder, slice_of(value, sizeof value)));
    }
    return builder->type.kind == COLUMN_LIST ? append_list(builder, text) : append_number(builder, text);
}

enum plinth_status column_builder_text(struct column_builder *builder, struct slice text, struct plinth_error *error) {
    const char *wrong = append_text(builder, text);
    if (!wrong) return PLINTH_OK;
    if (wrong == NO_MEMORY) return error_no_memory(error, "column values");
    /* Bytes that are not printable ASCII are shown as \xNN, so that the error is text whatever was given. */
    enum { SHOWN_BYTES_MAX = 60 };
    char shown[4 * SHOWN_BYTES_MAX + 1], type[COLUMN_TYPE_TEXT_MAX];
    size_t size = 0;
    shown[0] = 0;
    for (size_t i = 0; i < text.size && i < SHOWN_BYTES_MAX; i++) {
        bool plain = text.data[i] >= ' ' && text.data[i] <= '~';
        size += (size_t)snprintf(shown + size, sizeof shown - size, plain ? "%c" : "\\x%02x", text.data[i]);
    }
    return error_set(error, PLINTH_INVALID_ARGUMENT, "\"%s\"%s as %s: %s", shown,
                     text.size > SHOWN_BYTES_MAX ? "..." : "", column_type_format(builder->type, type), wrong);
}

/* ---- formatting ---- */

static bool put_string(struct buffer *into, const char *text) { return buffer_append(into, text, strlen(text)); }

/* Writes the digits of `value`, at least one, before `end`; returns where they begin. */
static char *digits_before(char *end, uint64_t value) {
    do *--end = (char)('0' + value % 10);
    while (value /= 10);
    return end;
}

/* Most floats in tables are short decimal numbers: digits / 10^places, both exact, read back as the value by one
 * division. Then these are the digits that "%.15g" ("%.6g") gives, for much less. False when the value is not so. */
static bool put_short_float(struct buffer *into, double value, bool narrow, bool *done) {
    const double most = narrow ? 1e6 : 1e15;
    double positive = fabs(value), power = 1;
    if (positive < 1e-4 || positive >= most) return false;
    for (unsigned places = 0; places <= 10; places++, power *= 10) {
        if (positive * power >= most) return false;
        double digits = (double)(int64_t)(positive * power + 0.5);
        double read = narrow ? (double)((float)digits / (float)power) : digits / power;
        if (read != positive) continue;
        char text[32], *end = text + sizeof text, *at = digits_before(end, (uint64_t)digits);
        if (places) {
            while (end - at <= (ptrdiff_t)places) *--at = '0';
            memmove(at - 1, at, (size_t)(end - at) - places);
            at--;
            end[-(ptrdiff_t)places - 1] = '.';
        }
        if (value < 0) *--at = '-';
        *done = buffer_append(into, at, (size_t)(end - at));
        return true;
    }
    return false;
}

/* The shortest of the usual forms that reads back as the same value. */
static bool put_float(struct buffer *into, double value, bool narrow) {
    if (isnan(value)) return put_string(into, "nan");
    if (isinf(value)) return put_string(into, value < 0 ? "-inf" : "inf");
    bool done;
    if (put_short_float(into, value, narrow, &done)) return done;
    locale_t locale = c_locale_get();
    if (!locale) return false;
    locale_t before = uselocale(locale);
    char text[40];
    for (int digits = narrow ? 6 : 15; digits <= (narrow ? 9 : 17); digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        if ((narrow ? (double)strtof(text, NULL) : strtod(text, NULL)) == value) break;
    }
    uselocale(before);
    return put_string(into, text);
}

static bool put_decimal(struct buffer *into, int128 value, unsigned scale) {
    char text[48], *at = text + sizeof text;
    uint128 rest = value < 0 ? 0 - (uint128)value : (uint128)value;
    for (unsigned place = 0; rest || place <= scale; place++, rest /= 10) {
        if (place == scale && place) *--at = '.';
        *--at = (char)('0' + (unsigned)(rest % 10));
    }
    if (value < 0) *--at = '-';
    return buffer_append(into, at, (size_t)(text + sizeof text - at));
}

static bool put_integer(struct buffer *into, const struct column *column, uint32_t row) {
    char text[24], *end = text + sizeof text;
    uint64_t value = 0;
    uint32_t width = column_type_width(column->type);
    memcpy(&value, (const uint8_t *)column->values + (size_t)row * width, width);
    bool minus = column_kind_is_signed(column->type.kind) && value >> (8 * width - 1);
    if (minus) value = (0 - value) & UINT64_MAX >> (64 - 8 * width);
    char *at = digits_before(end, value);
    if (minus) *--at = '-';
    return buffer_append(into, at, (size_t)(end - at));
}

static bool put_uuid(struct buffer *into, const uint8_t *value) {
    static const uint8_t ends[] = {4, 6, 8, 10, 16};
    unsigned at = 0;
    for (unsigned i = 0; i < 5; at = ends[i++]) {
        if (i && !buffer_append_u8(into, '-')) return false;
        if (!put_hex(into, slice_of(value + at, ends[i] - at))) return false;
    }
    return true;
}

/* As they are when they read well and back, else as hexadecimal. */
static bool put_bytes(struct buffer *into, struct slice bytes) {
    bool readable = utf8_find_invalid(bytes) == SIZE_MAX && !slice_starts_with(bytes, slice_of("\\x", 2));
    for (size_t i = 0; i < bytes.size && readable; i++) readable = bytes.data[i] >= ' ' && bytes.data[i] != 0x7F;
    if (readable) return buffer_append(into, bytes.data, bytes.size);
    return put_string(into, "\\x") && put_hex(into, bytes);
}

/* Quotes what was appended since `start` when it would not read back as one element. */
static bool quote_element(struct buffer *into, size_t start) {
    struct slice element = slice_of(into->data + start, into->size - start);
    bool plain = element.size && !is_word(element, "null") && trim(element).size == element.size;
    for (size_t i = 0; i < element.size && plain; i++) plain = element.data[i] && !strchr(",{}\"\\", element.data[i]);
    if (plain) return true;
    struct buffer quoted = BUFFER_INIT;
    bool done = buffer_append_u8(&quoted, '"');
    for (size_t i = 0; i < element.size && done; i++) {
        if (element.data[i] == '"' || element.data[i] == '\\') done = buffer_append_u8(&quoted, '\\');
        done = done && buffer_append_u8(&quoted, element.data[i]);
    }
    done = done && buffer_append_u8(&quoted, '"');
    into->size = start;
    done = done && buffer_append(into, quoted.data, quoted.size);
    buffer_deinit(&quoted);
    return done;
}

static bool put_list(struct buffer *into, const struct column *column, uint32_t row) {
    bool done = buffer_append_u8(into, '{');
    for (uint32_t i = column->offsets[row]; i < column->offsets[row + 1] && done; i++) {
        if (i > column->offsets[row]) done = buffer_append_u8(into, ',');
        size_t start = into->size;
        if (column_is_null(column->child, i))
            done = done && put_string(into, "null");
        else
            done = done && column_format(into, column->child, i) && quote_element(into, start);
    }
    return done && buffer_append_u8(into, '}');
}

bool column_format(struct buffer *into, const struct column *column, uint32_t row) {
    char text[TIME_TEXT_MAX];
    if (column_is_null(column, row)) return true;
    switch (column->type.kind) {
    case COLUMN_BOOL: return put_string(into, bitmap_get(column->values, row) ? "true" : "false");
    case COLUMN_FLOAT32: return put_float(into, ((const float *)column->values)[row], true);
    case COLUMN_FLOAT64: return put_float(into, ((const double *)column->values)[row], false);
    case COLUMN_DECIMAL: return put_decimal(into, load_int128(column->values, row), column->type.scale);
    case COLUMN_STRING: {
        struct slice value = column_bytes_at(column, row);
        return buffer_append(into, value.data, value.size);
    }
    case COLUMN_BYTES: return put_bytes(into, column_bytes_at(column, row));
    case COLUMN_DATE: return buffer_append(into, text, date_format(((const int32_t *)column->values)[row], text));
    case COLUMN_TIMESTAMP:
        return buffer_append(into, text, timestamp_format(((const int64_t *)column->values)[row], column->type, text));
    case COLUMN_UUID: return put_uuid(into, (const uint8_t *)column->values + (size_t)row * 16);
    case COLUMN_LIST: return put_list(into, column, row);
    default: return put_integer(into, column, row);
    }
}
