#include "cmd/parquet_values.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/status.h"
#include "cmd/byte_text.h"
#include "cmd/row_output.h"
#include "column/column_builder.h"
#include "parquet/arrow_read.h"

enum { DEPTH_MAX = 130, DECIMAL_TEXT_MAX = 80 };

static bool put(struct buffer *into, const char *text) { return buffer_append(into, text, strlen(text)); }

/* ---- Types ---- */

struct leaf_names {
    const struct parquet_column *const *leaves; /* or null */
    uint32_t next;
};

/* Those whose values are in the layout of columns. */
static bool column_of_format(const char *format, struct column_type *type) {
    static const struct {
        char format;
        enum column_kind kind;
    } kinds[] = {{'b', COLUMN_BOOL},   {'c', COLUMN_INT8},    {'C', COLUMN_UINT8},   {'s', COLUMN_INT16},
                 {'S', COLUMN_UINT16}, {'i', COLUMN_INT32},   {'I', COLUMN_UINT32},  {'l', COLUMN_INT64},
                 {'L', COLUMN_UINT64}, {'f', COLUMN_FLOAT32}, {'g', COLUMN_FLOAT64}, {'u', COLUMN_STRING},
                 {'z', COLUMN_BYTES}};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0] && !format[1]; i++) {
        if (kinds[i].format != format[0]) continue;
        *type = column_type_of(kinds[i].kind);
        return true;
    }
    if (strcmp(format, "tdD") == 0) {
        *type = column_type_of(COLUMN_DATE);
        return true;
    }
    if (strncmp(format, "ts", 2) != 0 || !format[2] || format[3] != ':') return false;
    *type = (struct column_type){.kind = COLUMN_TIMESTAMP,
                                 .unit = format[2] == 'm'   ? TIME_MILLI
                                         : format[2] == 'u' ? TIME_MICRO
                                                            : TIME_NANO,
                                 .zoned = format[4] != 0};
    return true;
}

static bool set_decimal(struct parquet_value *value, const char *format) {
    int precision = 0, scale = 0, bits = 128;
    if (sscanf(format, "d:%d,%d,%d", &precision, &scale, &bits) < 2) return false;
    value->scale = scale;
    value->width = (uint32_t)bits / 8;
    value->form = VALUE_DECIMAL;
    if (bits != 128 || precision < 1 || precision > DECIMAL_PRECISION_MAX || scale < 0 || scale > precision)
        return true;
    value->form = VALUE_COLUMN;
    value->view.type =
        (struct column_type){.kind = COLUMN_DECIMAL, .precision = (uint8_t)precision, .scale = (uint8_t)scale};
    return true;
}

static bool set_leaf(struct parquet_value *value, const char *format, const struct parquet_column *leaf) {
    if (strcmp(format, "n") == 0) {
        value->form = VALUE_NULL;
    } else if (strcmp(format, "e") == 0) {
        value->form = VALUE_HALF;
    } else if (strncmp(format, "w:", 2) == 0) {
        value->form = VALUE_FIXED;
        value->width = (uint32_t)strtoul(format + 2, NULL, 10);
        if (leaf && leaf->logical.kind == PARQUET_LOGICAL_UUID && value->width == 16) {
            value->form = VALUE_COLUMN;
            value->view.type = column_type_of(COLUMN_UUID);
        }
    } else if (strncmp(format, "tt", 2) == 0) {
        value->form = VALUE_TIME;
        value->width = format[2] == 's' || format[2] == 'm' ? 4 : 8;
        value->scale = format[2] == 's' ? 0 : format[2] == 'm' ? 3 : format[2] == 'u' ? 6 : 9;
    } else if (format[0] == 'd') {
        return set_decimal(value, format);
    } else {
        value->form = VALUE_COLUMN;
        return column_of_format(format, &value->view.type);
    }
    return true;
}

/* A name from a file need not be text. */
static const char *copy_name(struct arena *arena, const char *name) {
    struct slice text = slice_of_string(name ? name : "");
    struct buffer escaped = BUFFER_INIT;
    bool is_ok = true;
    if (!bytes_are_utf8(text)) {
        is_ok = escaped_text_append(&escaped, text);
        text = buffer_slice(&escaped);
    }
    const char *copy = is_ok ? (const char *)arena_copy(arena, text) : NULL;
    buffer_deinit(&escaped);
    return copy;
}

static enum plinth_status build(struct arena *arena, const struct ArrowSchema *schema, struct leaf_names *leaves,
                                unsigned depth, struct parquet_value *value, struct plinth_error *error) {
    const char *format = schema->format;
    value->name = copy_name(arena, schema->name);
    if (!value->name) return error_no_memory(error, "columns");
    if (format[0] != '+') {
        const struct parquet_column *leaf = leaves->leaves ? leaves->leaves[leaves->next++] : NULL;
        if (set_leaf(value, format, leaf)) return PLINTH_OK;
        return error_set(error, PLINTH_UNSUPPORTED, "column %.100s: there is no text form of \"%.40s\"", value->name,
                         format);
    }
    value->form = format[1] == 's' ? VALUE_STRUCT : format[1] == 'm' ? VALUE_MAP : VALUE_LIST;
    value->child_count = (uint32_t)schema->n_children;
    value->children = arena_zalloc(arena, (value->child_count + 1) * sizeof *value->children);
    if (!value->children) return error_no_memory(error, "columns");
    if (depth == DEPTH_MAX) return error_set(error, PLINTH_UNSUPPORTED, "column %.100s: nested too deep", value->name);
    enum plinth_status st = PLINTH_OK;
    for (uint32_t i = 0; !st && i < value->child_count; i++)
        st = build(arena, schema->children[i], leaves, depth + 1, &value->children[i], error);
    return st;
}

enum plinth_status parquet_values_init(struct parquet_values *values, const struct ArrowSchema *schema,
                                       const struct parquet_column *const *leaves, struct plinth_error *error) {
    struct leaf_names names = {leaves, 0};
    *values = (struct parquet_values){0};
    arena_init(&values->arena);
    return build(&values->arena, schema, &names, 0, &values->root, error);
}

void parquet_values_deinit(struct parquet_values *values) {
    arena_deinit(&values->arena);
    buffer_deinit(&values->scratch);
    buffer_deinit(&values->key);
}

static void bind(struct parquet_value *value, const struct ArrowArray *array) {
    struct column_type type = value->view.type;
    bool has_offsets = value->form == VALUE_LIST || value->form == VALUE_MAP ||
                       (value->form == VALUE_COLUMN && column_kind_is_bytes(type.kind));
    value->view = (struct column){.type = type, .null_count = (uint64_t)array->null_count};
    if (array->null_count && array->n_buffers > 0) value->view.validity = array->buffers[0];
    if (has_offsets) {
        value->view.offsets = array->buffers[1];
        if (array->n_buffers > 2) value->view.bytes = array->buffers[2];
    } else if (array->n_buffers > 1) {
        value->view.values = array->buffers[1];
    }
    for (uint32_t i = 0; i < value->child_count; i++) bind(&value->children[i], array->children[i]);
}

void parquet_values_bind(struct parquet_values *values, const struct ArrowArray *batch) { bind(&values->root, batch); }

/* ---- What columns do not have ---- */

static bool put_time(struct buffer *into, const struct parquet_value *value, uint32_t row) {
    int64_t time =
        value->width == 4 ? ((const int32_t *)value->view.values)[row] : ((const int64_t *)value->view.values)[row];
    char text[64];
    int64_t units = value->scale == 0 ? 1 : value->scale == 3 ? 1000 : value->scale == 6 ? 1000000 : 1000000000;
    bool is_negative = time < 0;
    uint64_t magnitude = is_negative ? 0 - (uint64_t)time : (uint64_t)time;
    uint64_t seconds = magnitude / (uint64_t)units, fraction = magnitude % (uint64_t)units;
    int size = snprintf(text, sizeof text, "%s%02" PRIu64 ":%02" PRIu64 ":%02" PRIu64, is_negative ? "-" : "",
                        seconds / 3600, seconds / 60 % 60, seconds % 60);
    if (fraction) snprintf(text + size, sizeof text - (size_t)size, ".%0*" PRIu64, (int)value->scale, fraction);
    return put(into, text);
}

/* The digits of little-endian two's complement, without a point; `*is_negative`. */
static size_t decimal_digits(const uint8_t *bytes, uint32_t width, char digits[DECIMAL_TEXT_MAX], bool *is_negative) {
    uint32_t limbs[8] = {0};
    uint32_t count = width / 4;
    size_t used = 0;
    *is_negative = bytes[width - 1] & 0x80;
    uint64_t carry = *is_negative;
    for (uint32_t i = 0; i < count; i++) { /* the magnitude */
        uint64_t limb = load_u32(bytes + 4 * (size_t)i);
        if (*is_negative) {
            limb = (uint32_t)~limb + carry;
            carry = limb >> 32;
        }
        limbs[i] = (uint32_t)limb;
    }
    bool any = true;
    while (any && used < DECIMAL_TEXT_MAX) {
        uint64_t rest = 0;
        any = false;
        for (uint32_t i = count; i-- > 0;) {
            uint64_t part = rest << 32 | limbs[i];
            limbs[i] = (uint32_t)(part / 10);
            rest = part % 10;
            any |= limbs[i] != 0;
        }
        digits[used++] = (char)('0' + rest);
    }
    for (size_t i = 0; i < used / 2; i++) {
        char digit = digits[i];
        digits[i] = digits[used - 1 - i];
        digits[used - 1 - i] = digit;
    }
    return used;
}

static bool put_decimal(struct buffer *into, const struct parquet_value *value, uint32_t row) {
    char digits[DECIMAL_TEXT_MAX];
    bool is_negative;
    size_t used = decimal_digits((const uint8_t *)value->view.values + (size_t)row * value->width, value->width, digits,
                                 &is_negative);
    if (is_negative && !buffer_append_u8(into, '-')) return false;
    if (value->scale <= 0) {
        bool ok = buffer_append(into, digits, used);
        for (int32_t i = value->scale; ok && i < 0 && digits[0] != '0'; i++) ok = buffer_append_u8(into, '0');
        return ok;
    }
    size_t scale = (size_t)value->scale, whole = used > scale ? used - scale : 0;
    bool ok = whole ? buffer_append(into, digits, whole) : buffer_append_u8(into, '0');
    ok = ok && buffer_append_u8(into, '.');
    for (size_t i = used; ok && i < scale; i++) ok = buffer_append_u8(into, '0');
    return ok && buffer_append(into, digits + whole, used - whole);
}

/* A value as a column of one row. */
struct one_row {
    struct column column;
    uint32_t offsets[2];
    float number;
};

static float half_to_float(uint16_t half) {
    int exponent = half >> 10 & 31, fraction = half & 1023;
    float value = exponent == 31  ? (fraction ? NAN : INFINITY)
                  : exponent == 0 ? ldexpf((float)fraction, -24)
                                  : ldexpf((float)(fraction + 1024), exponent - 25);
    return half & 0x8000 ? -value : value;
}

static const struct column *as_column(const struct parquet_value *value, uint32_t row, struct one_row *one) {
    const uint8_t *at = value->view.values;
    *one = (struct one_row){.column.type = column_type_of(value->form == VALUE_HALF ? COLUMN_FLOAT32 : COLUMN_BYTES)};
    if (value->form == VALUE_HALF) {
        one->number = half_to_float(load_u16(at + (size_t)row * 2));
        one->column.values = &one->number;
    } else {
        one->offsets[1] = value->width;
        one->column.offsets = one->offsets;
        one->column.bytes = at + (size_t)row * value->width;
    }
    return &one->column;
}

/* The text of a leaf that is not null, as it is. */
static bool put_plain(struct buffer *into, const struct parquet_value *value, uint32_t row) {
    struct one_row one;
    switch (value->form) {
    case VALUE_TIME: return put_time(into, value, row);
    case VALUE_DECIMAL: return put_decimal(into, value, row);
    case VALUE_COLUMN: return column_format(into, &value->view, row);
    default: return column_format(into, as_column(value, row, &one), 0);
    }
}

/* ---- JSON ---- */

static bool put_members(struct parquet_values *values, struct buffer *into, const struct parquet_value *value,
                        uint32_t row) {
    bool ok = buffer_append_u8(into, '{');
    for (uint32_t i = 0; ok && i < value->child_count; i++)
        ok = (i == 0 || buffer_append_u8(into, ',')) &&
             json_string_append(into, slice_of_string(value->children[i].name)) && buffer_append_u8(into, ':') &&
             parquet_value_json(values, into, &value->children[i], row);
    return ok && buffer_append_u8(into, '}');
}

static bool put_key(struct parquet_values *values, struct buffer *into, const struct parquet_value *key, uint32_t row) {
    bool is_text = key->form == VALUE_COLUMN && key->view.type.kind == COLUMN_STRING;
    if (is_text && !parquet_value_is_null(key, row)) return parquet_value_json(values, into, key, row);
    size_t start = into->size;
    bool ok = parquet_value_json(values, into, key, row);
    if (!ok || into->data[start] == '"') return ok;
    buffer_clear(&values->key);
    ok = buffer_append(&values->key, into->data + start, into->size - start);
    into->size = start;
    return ok && json_string_append(into, buffer_slice(&values->key));
}

static bool put_elements(struct parquet_values *values, struct buffer *into, const struct parquet_value *value,
                         uint32_t row) {
    bool is_map = value->form == VALUE_MAP, ok = buffer_append_u8(into, is_map ? '{' : '[');
    const struct parquet_value *element = &value->children[0];
    for (uint32_t i = value->view.offsets[row]; ok && i < value->view.offsets[row + 1]; i++) {
        ok = i == value->view.offsets[row] || buffer_append_u8(into, ',');
        if (!ok) break;
        if (is_map)
            ok = put_key(values, into, &element->children[0], i) && buffer_append_u8(into, ':') &&
                 parquet_value_json(values, into, &element->children[1], i);
        else
            ok = parquet_value_json(values, into, element, i);
    }
    return ok && buffer_append_u8(into, is_map ? '}' : ']');
}

bool parquet_value_json(struct parquet_values *values, struct buffer *into, const struct parquet_value *value,
                        uint32_t row) {
    struct one_row one;
    if (parquet_value_is_null(value, row)) return put(into, "null");
    switch (value->form) {
    case VALUE_COLUMN: return row_value_json(into, &value->view, row);
    case VALUE_STRUCT: return put_members(values, into, value, row);
    case VALUE_LIST:
    case VALUE_MAP: return put_elements(values, into, value, row);
    case VALUE_DECIMAL: return put_decimal(into, value, row);
    case VALUE_TIME: return buffer_append_u8(into, '"') && put_time(into, value, row) && buffer_append_u8(into, '"');
    default: return row_value_json(into, as_column(value, row, &one), 0);
    }
}

/* ---- CSV, and for people ---- */

static bool is_nested(const struct parquet_value *value) { return value->form >= VALUE_STRUCT; }

bool parquet_value_csv(struct parquet_values *values, struct buffer *into, const struct parquet_value *value,
                       uint32_t row) {
    if (parquet_value_is_null(value, row)) return true;
    if (value->form == VALUE_COLUMN) return row_value_csv(into, &value->view, row, &values->scratch);
    buffer_clear(&values->scratch);
    bool ok = is_nested(value) ? parquet_value_json(values, &values->scratch, value, row)
                               : put_plain(&values->scratch, value, row);
    return ok && csv_field_append(into, buffer_slice(&values->scratch), ',');
}

bool parquet_value_text(struct parquet_values *values, struct buffer *into, const struct parquet_value *value,
                        uint32_t row) {
    if (parquet_value_is_null(value, row)) return true;
    if (is_nested(value)) return parquet_value_json(values, into, value, row);
    bool is_bytes =
        value->form == VALUE_FIXED || (value->form == VALUE_COLUMN && column_kind_is_bytes(value->view.type.kind));
    if (!is_bytes) return put_plain(into, value, row);
    struct one_row one;
    struct slice bytes = value->form == VALUE_FIXED ? column_bytes_at(as_column(value, row, &one), 0)
                                                    : column_bytes_at(&value->view, row);
    return buffer_append(into, bytes.data, bytes.size);
}

/* ---- Single values ---- */

/* The bytes as a row of a REQUIRED column at the root, with room behind them for copies of whole words. */
static enum plinth_status bind_plain(struct parquet_values *values, const struct parquet_column *column,
                                     const struct parquet_node *leaf, struct slice bytes, struct arena *arena,
                                     struct ArrowArray *array, struct plinth_error *error) {
    struct parquet_schema schema = {0};
    struct parquet_fields fields;
    struct arrow_reader reader = {0};
    struct ArrowSchema shape = {0};
    struct parquet_node node = *leaf;
    node.repetition = PARQUET_REQUIRED;
    uint8_t *copy = arena_zalloc(arena, bytes.size + 64);
    if (!copy) return error_no_memory(error, "value");
    if (bytes.size) memcpy(copy, bytes.data, bytes.size);
    const uint32_t offsets[2] = {0, (uint32_t)bytes.size};
    bool is_bytes = column->type == PARQUET_TYPE_BYTE_ARRAY;
    const struct parquet_column_data data = {.rows = 1,
                                             .slots = 1,
                                             .values = is_bytes ? NULL : copy,
                                             .offsets = is_bytes ? offsets : NULL,
                                             .bytes = is_bytes ? copy : NULL};
    enum plinth_status st = parquet_schema_init(&schema, arena, "schema", &node, 1, error);
    if (!st) st = parquet_fields_init(&fields, arena, &schema, NULL, error);
    if (!st) st = arrow_reader_init(&reader, &schema, &fields, PARQUET_TIME_MICROS, error);
    if (st) return st;
    reader.allow_invalid_utf8 = true;
    st = arrow_schema_export(&schema, &fields, PARQUET_TIME_MICROS, &shape, error);
    if (!st) st = parquet_values_init(values, &shape, &column, error);
    if (!st) st = arrow_reader_append(&reader, 0, &data, error);
    if (!st) st = arrow_reader_take(&reader, 1, array, error);
    if (!st) parquet_values_bind(values, array);
    if (shape.release) shape.release(&shape);
    arrow_reader_deinit(&reader);
    return st;
}

bool parquet_plain_value(const struct parquet_schema *schema, uint32_t column, struct slice bytes, bool as_json,
                         struct buffer *into) {
    const struct parquet_column *about = &schema->columns[column];
    struct parquet_values values = {0};
    struct ArrowArray array = {0};
    struct arena arena;
    uint32_t width = about->type == PARQUET_TYPE_BOOLEAN ? 1 : about->width;
    bool has_size = about->type == PARQUET_TYPE_BYTE_ARRAY || bytes.size == width, ok = true, is_shown = false;
    arena_init(&arena);
    if (has_size && !bind_plain(&values, about, &schema->nodes[about->node], bytes, &arena, &array, NULL)) {
        const struct parquet_value *value = &values.root.children[0];
        bool is_text = value->form == VALUE_COLUMN && value->view.type.kind == COLUMN_STRING;
        is_shown = value->form != VALUE_NULL && (!is_text || bytes_are_utf8(bytes));
        if (is_shown)
            ok = as_json ? parquet_value_json(&values, into, value, 0) : parquet_value_text(&values, into, value, 0);
    }
    if (!is_shown) { /* text that was cut inside a character, and what has another size */
        struct buffer text = BUFFER_INIT;
        ok = escaped_text_append(&text, bytes);
        if (ok)
            ok = as_json ? json_string_append(into, buffer_slice(&text)) : buffer_append(into, text.data, text.size);
        buffer_deinit(&text);
    }
    if (array.release) array.release(&array);
    parquet_values_deinit(&values);
    arena_deinit(&arena);
    return ok;
}
