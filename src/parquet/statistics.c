/* Ordering of values. See statistics.h. */
#include "parquet/statistics.h"

#include <math.h>

#include "parquet/statistics_private.h"

enum parquet_order parquet_column_order(const struct parquet_column *column) {
    const struct parquet_logical_type *logical = &column->logical;
    bool is_unsigned = logical->kind == PARQUET_LOGICAL_INTEGER && !logical->is_signed;
    if (logical->kind == PARQUET_LOGICAL_OTHER || logical->kind == PARQUET_LOGICAL_INTERVAL ||
        logical->kind == PARQUET_LOGICAL_VARIANT || logical->kind == PARQUET_LOGICAL_GEOMETRY ||
        logical->kind == PARQUET_LOGICAL_GEOGRAPHY)
        return PARQUET_ORDER_NONE;
    switch (column->type) {
    case PARQUET_TYPE_BOOLEAN: return PARQUET_ORDER_BOOLEAN;
    case PARQUET_TYPE_INT32: return is_unsigned ? PARQUET_ORDER_UINT32 : PARQUET_ORDER_INT32;
    case PARQUET_TYPE_INT64: return is_unsigned ? PARQUET_ORDER_UINT64 : PARQUET_ORDER_INT64;
    case PARQUET_TYPE_INT96: return PARQUET_ORDER_INT96;
    case PARQUET_TYPE_FLOAT: return PARQUET_ORDER_FLOAT;
    case PARQUET_TYPE_DOUBLE: return PARQUET_ORDER_DOUBLE;
    case PARQUET_TYPE_BYTE_ARRAY:
    case PARQUET_TYPE_FIXED:
        if (logical->kind == PARQUET_LOGICAL_DECIMAL) return PARQUET_ORDER_DECIMAL_BYTES;
        return logical->kind == PARQUET_LOGICAL_FLOAT16 ? PARQUET_ORDER_FLOAT16 : PARQUET_ORDER_BYTES;
    default: return PARQUET_ORDER_NONE;
    }
}

/* Half precision as a float. */
static float load_half(const uint8_t *at) {
    uint32_t half = load_u16(at), exponent = half >> 10 & 31, fraction = half & 1023;
    float sign = half >> 15 ? -1.0f : 1.0f;
    if (exponent == 31) return fraction ? NAN : sign * INFINITY;
    if (exponent == 0) return sign * ldexpf((float)fraction, -24);
    return sign * ldexpf((float)(fraction + 1024), (int)exponent - 25);
}

static int compare_decimal(struct slice a, struct slice b) {
    uint8_t sign_a = a.size && a.data[0] & 0x80 ? 0xff : 0, sign_b = b.size && b.data[0] & 0x80 ? 0xff : 0;
    if (sign_a != sign_b) return sign_a ? -1 : 1;
    size_t longest = a.size > b.size ? a.size : b.size;
    for (size_t i = 0; i < longest; i++) { /* both seen as `longest` bytes, sign-extended */
        uint8_t byte_a = i < longest - a.size ? sign_a : a.data[i - (longest - a.size)];
        uint8_t byte_b = i < longest - b.size ? sign_b : b.data[i - (longest - b.size)];
        if (byte_a != byte_b) return byte_a < byte_b ? -1 : 1;
    }
    return 0;
}

/* Nanoseconds of the day in the first eight bytes, the Julian day in the last four; both signed. */
static int compare_int96(const uint8_t *a, const uint8_t *b) {
    int32_t day_a = (int32_t)load_u32(a + 8), day_b = (int32_t)load_u32(b + 8);
    int64_t nanos_a = (int64_t)load_u64(a), nanos_b = (int64_t)load_u64(b);
    if (day_a != day_b) return day_a < day_b ? -1 : 1;
    return (nanos_a > nanos_b) - (nanos_a < nanos_b);
}

static size_t order_bytes(enum parquet_order order) {
    switch (order) {
    case PARQUET_ORDER_BOOLEAN: return 1;
    case PARQUET_ORDER_FLOAT16: return 2;
    case PARQUET_ORDER_INT32:
    case PARQUET_ORDER_UINT32:
    case PARQUET_ORDER_FLOAT: return 4;
    case PARQUET_ORDER_INT64:
    case PARQUET_ORDER_UINT64:
    case PARQUET_ORDER_DOUBLE: return 8;
    case PARQUET_ORDER_INT96: return 12;
    default: return 0;
    }
}

static float load_float(const uint8_t *at) {
    float value;
    memcpy(&value, at, sizeof value);
    return value;
}

static double load_double(const uint8_t *at) {
    double value;
    memcpy(&value, at, sizeof value);
    return value;
}

#define ORDER(a, b) (((a) > (b)) - ((a) < (b)))

int parquet_value_compare(enum parquet_order order, struct slice a, struct slice b) {
    size_t bytes = order_bytes(order);
    if (bytes && (a.size != bytes || b.size != bytes)) return slice_compare(a, b);
    switch (order) {
    case PARQUET_ORDER_BOOLEAN: return ORDER(a.data[0], b.data[0]);
    case PARQUET_ORDER_INT32: return ORDER((int32_t)load_u32(a.data), (int32_t)load_u32(b.data));
    case PARQUET_ORDER_UINT32: return ORDER(load_u32(a.data), load_u32(b.data));
    case PARQUET_ORDER_INT64: return ORDER((int64_t)load_u64(a.data), (int64_t)load_u64(b.data));
    case PARQUET_ORDER_UINT64: return ORDER(load_u64(a.data), load_u64(b.data));
    case PARQUET_ORDER_FLOAT: return ORDER(load_float(a.data), load_float(b.data));
    case PARQUET_ORDER_DOUBLE: return ORDER(load_double(a.data), load_double(b.data));
    case PARQUET_ORDER_FLOAT16: return ORDER(load_half(a.data), load_half(b.data));
    case PARQUET_ORDER_INT96: return compare_int96(a.data, b.data);
    case PARQUET_ORDER_DECIMAL_BYTES: return compare_decimal(a, b);
    default: return slice_compare(a, b);
    }
}

#undef ORDER

bool statistics_value_is_nan(enum parquet_order order, const uint8_t *value) {
    if (order == PARQUET_ORDER_FLOAT) return isnan(load_float(value));
    if (order == PARQUET_ORDER_DOUBLE) return isnan(load_double(value));
    return order == PARQUET_ORDER_FLOAT16 && isnan(load_half(value));
}

bool parquet_order_is_floating(enum parquet_order order) {
    return order == PARQUET_ORDER_FLOAT || order == PARQUET_ORDER_DOUBLE || order == PARQUET_ORDER_FLOAT16;
}

struct slice statistics_widen_zero(enum parquet_order order, struct slice bound, bool negative) {
    static const uint8_t zeros[2][8] = {{0}, {0, 0, 0, 0, 0, 0, 0, 0x80}};
    static const uint8_t negative_float[4] = {0, 0, 0, 0x80}, negative_half[2] = {0, 0x80};
    uint8_t last = bound.data[bound.size - 1] & 0x7f;
    for (size_t i = 0; i + 1 < bound.size; i++) last |= bound.data[i];
    if (last) return bound;
    if (!negative) return slice_of(zeros[0], bound.size);
    if (order == PARQUET_ORDER_DOUBLE) return slice_of(zeros[1], 8);
    return order == PARQUET_ORDER_FLOAT ? slice_of(negative_float, 4) : slice_of(negative_half, 2);
}

/* What all writers have compared in the same way; the deprecated fields compared everything as signed. */
static bool is_compared_by_all(enum parquet_order order) {
    return order == PARQUET_ORDER_BOOLEAN || order == PARQUET_ORDER_INT32 || order == PARQUET_ORDER_INT64 ||
           order == PARQUET_ORDER_FLOAT || order == PARQUET_ORDER_DOUBLE;
}

bool parquet_column_bounds_are_ordered(const struct parquet_column *column) {
    enum parquet_order order = parquet_column_order(column);
    if (order == PARQUET_ORDER_NONE || column->bounds_order == PARQUET_BOUNDS_UNKNOWN) return false;
    return column->bounds_order != PARQUET_BOUNDS_NOT_SAID || is_compared_by_all(order);
}

/* Whether all values are the same, so that no order matters. In the deprecated fields parquet-mr before 1.8 told the
 * last value in memory as both bounds of values of bytes (PARQUET-251). */
static bool is_one_value(const struct parquet_column *column, const struct parquet_statistics *statistics) {
    bool is_bytes = column->type == PARQUET_TYPE_BYTE_ARRAY || column->type == PARQUET_TYPE_FIXED ||
                    column->type == PARQUET_TYPE_INT96;
    return slice_equal(statistics->min, statistics->max) && !(statistics->is_legacy && is_bytes);
}

bool parquet_statistics_bounds(const struct parquet_column *column, const struct parquet_statistics *statistics,
                               struct slice *min, struct slice *max) {
    enum parquet_order order = parquet_column_order(column);
    size_t bytes = order_bytes(order);
    *min = *max = slice_of(NULL, 0);
    if (order == PARQUET_ORDER_NONE || !statistics->has_min || !statistics->has_max) return false;
    if (bytes && (statistics->min.size != bytes || statistics->max.size != bytes)) return false;
    bool is_ordered = statistics->is_legacy ? is_compared_by_all(order) : parquet_column_bounds_are_ordered(column);
    if (!is_ordered && (column->bounds_order == PARQUET_BOUNDS_UNKNOWN || !is_one_value(column, statistics)))
        return false;
    *min = statistics->min;
    *max = statistics->max;
    if (!parquet_order_is_floating(order)) return true;
    if (statistics_value_is_nan(order, min->data) || statistics_value_is_nan(order, max->data)) {
        *min = *max = slice_of(NULL, 0);
        return false;
    }
    *min = statistics_widen_zero(order, *min, true);
    *max = statistics_widen_zero(order, *max, false);
    return true;
}
