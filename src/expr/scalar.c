#include "expr/scalar.h"

#include <math.h>

enum scalar_class scalar_class_of(uint8_t kind) {
    switch (kind) {
    case COLUMN_FLOAT32:
    case COLUMN_FLOAT64: return SCALAR_FLOAT;
    case COLUMN_STRING:
    case COLUMN_BYTES:
    case COLUMN_UUID: return SCALAR_BYTES;
    case COLUMN_LIST: return SCALAR_NONE;
    default: return SCALAR_INTEGER;
    }
}

static int128 integer_at(const struct column *column, uint32_t row) {
    const void *values = column->values;
    switch (column->type.kind) {
    case COLUMN_BOOL: return bitmap_get(values, row);
    case COLUMN_INT8: return ((const int8_t *)values)[row];
    case COLUMN_INT16: return ((const int16_t *)values)[row];
    case COLUMN_INT32:
    case COLUMN_DATE: return ((const int32_t *)values)[row];
    case COLUMN_INT64:
    case COLUMN_TIMESTAMP: return ((const int64_t *)values)[row];
    case COLUMN_UINT8: return ((const uint8_t *)values)[row];
    case COLUMN_UINT16: return ((const uint16_t *)values)[row];
    case COLUMN_UINT32: return ((const uint32_t *)values)[row];
    case COLUMN_UINT64: return ((const uint64_t *)values)[row];
    default: break;
    }
    int128 decimal; /* buffers are 8-byte aligned only */
    memcpy(&decimal, (const uint8_t *)values + (size_t)row * sizeof decimal, sizeof decimal);
    return decimal;
}

struct scalar scalar_at(const struct column *column, uint32_t row) {
    struct scalar scalar = {0};
    switch (column->type.kind) {
    case COLUMN_FLOAT32: scalar.real = ((const float *)column->values)[row]; break;
    case COLUMN_FLOAT64: scalar.real = ((const double *)column->values)[row]; break;
    case COLUMN_STRING:
    case COLUMN_BYTES: scalar.bytes = column_bytes_at(column, row); break;
    case COLUMN_UUID: scalar.bytes = slice_of((const uint8_t *)column->values + (size_t)row * 16, 16); break;
    default: scalar.integer = integer_at(column, row); break;
    }
    return scalar;
}

static int real_compare(double a, double b) {
    if (isnan(a) || isnan(b)) return !!isnan(a) - !!isnan(b);
    return (a > b) - (a < b);
}

int scalar_compare(enum scalar_class class, const struct scalar *a, const struct scalar *b) {
    switch (class) {
    case SCALAR_FLOAT: return real_compare(a->real, b->real);
    case SCALAR_BYTES: return slice_compare(a->bytes, b->bytes);
    default: return (a->integer > b->integer) - (a->integer < b->integer);
    }
}

static bool fill_bytes(struct arena *arena, const struct scalar *scalars, uint32_t count, struct column *out) {
    size_t total = 0;
    for (uint32_t i = 0; i < count; i++) total += scalars[i].bytes.size;
    if (total > INT32_MAX) return false;
    uint32_t *offsets = arena_alloc(arena, ((size_t)count + 1) * sizeof *offsets);
    uint8_t *bytes = arena_alloc(arena, total + 1);
    if (!offsets || !bytes) return false;
    offsets[0] = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (scalars[i].bytes.size) memcpy(bytes + offsets[i], scalars[i].bytes.data, scalars[i].bytes.size);
        offsets[i + 1] = offsets[i] + (uint32_t)scalars[i].bytes.size;
    }
    out->offsets = offsets;
    out->bytes = bytes;
    return true;
}

static void fill_value(uint8_t *at, struct column_type type, uint32_t width, const struct scalar *scalar) {
    float real = (float)scalar->real;
    switch (type.kind) {
    case COLUMN_FLOAT32: memcpy(at, &real, sizeof real); break;
    case COLUMN_FLOAT64: memcpy(at, &scalar->real, sizeof scalar->real); break;
    case COLUMN_UUID: memcpy(at, scalar->bytes.data, 16); break;
    default: memcpy(at, &scalar->integer, width); break; /* little-endian: the low bytes */
    }
}

bool column_of_scalars(struct arena *arena, struct column_type type, const struct scalar *scalars, uint32_t count,
                       struct column *out) {
    *out = (struct column){.type = type};
    if (column_kind_is_bytes(type.kind)) return fill_bytes(arena, scalars, count, out);
    uint32_t width = column_type_width(type);
    uint8_t *values = arena_zalloc(arena, width ? (size_t)count * width : (size_t)count / 8 + 1);
    if (!values) return false;
    for (uint32_t i = 0; i < count; i++) {
        if (type.kind != COLUMN_BOOL) {
            fill_value(values + (size_t)i * width, type, width, &scalars[i]);
        } else if (scalars[i].integer) {
            bitmap_set(values, i);
        }
    }
    out->values = values;
    return true;
}

static int128 decimal_limit(uint8_t precision) {
    int128 limit = 1;
    for (uint8_t i = 0; i < precision; i++) limit *= 10;
    return limit - 1;
}

int128 integer_min_of(struct column_type type) {
    switch (type.kind) {
    case COLUMN_INT8: return INT8_MIN;
    case COLUMN_INT16: return INT16_MIN;
    case COLUMN_INT32:
    case COLUMN_DATE: return INT32_MIN;
    case COLUMN_INT64:
    case COLUMN_TIMESTAMP: return INT64_MIN;
    case COLUMN_DECIMAL: return -decimal_limit(type.precision);
    default: return 0;
    }
}

int128 integer_max_of(struct column_type type) {
    switch (type.kind) {
    case COLUMN_BOOL: return 1;
    case COLUMN_INT8: return INT8_MAX;
    case COLUMN_INT16: return INT16_MAX;
    case COLUMN_INT32:
    case COLUMN_DATE: return INT32_MAX;
    case COLUMN_UINT8: return UINT8_MAX;
    case COLUMN_UINT16: return UINT16_MAX;
    case COLUMN_UINT32: return UINT32_MAX;
    case COLUMN_UINT64: return UINT64_MAX;
    case COLUMN_DECIMAL: return decimal_limit(type.precision);
    default: return INT64_MAX;
    }
}
