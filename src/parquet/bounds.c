/* Least and greatest values of a page, and shorter bounds for long ones. See statistics_private.h. */
#include <math.h>

#include "base/simd.h"
#include "parquet/bits.h"
#include "parquet/statistics_private.h"

static struct value_bounds bounds_at(const struct bytes_view *values, uint32_t min, uint32_t max) {
    return (struct value_bounds){true, bytes_view_at(values, min), bytes_view_at(values, max)};
}

/* ---- Numbers: the extremes first, then where they are ---- */

static uint32_t find_u32(const struct bytes_view *values, uint32_t wanted) {
    uint32_t i = 0;
    while (load_u32(values->bytes + (size_t)i * 4) != wanted) i++;
    return i;
}

static uint32_t find_u64(const struct bytes_view *values, uint64_t wanted) {
    uint32_t i = 0;
    while (load_u64(values->bytes + (size_t)i * 8) != wanted) i++;
    return i;
}

#if defined(SIMD_ANY)

/* Of as many values as fill whole vectors (the compiler's own, as AVX2 or NEON); returns how many. */
SIMD_VECTORS static uint32_t extremes_32(const uint8_t *from, uint32_t count, uint32_t flip, int32_t *min,
                                         int32_t *max) {
    typedef uint32_t lanes __attribute__((vector_size(32)));
    typedef int32_t ordered __attribute__((vector_size(32)));
    enum { LANES = 32 / sizeof(uint32_t) };
    const lanes flips = {flip, flip, flip, flip, flip, flip, flip, flip};
    ordered low = {INT32_MAX, INT32_MAX, INT32_MAX, INT32_MAX, INT32_MAX, INT32_MAX, INT32_MAX, INT32_MAX},
            high = {INT32_MIN, INT32_MIN, INT32_MIN, INT32_MIN, INT32_MIN, INT32_MIN, INT32_MIN, INT32_MIN};
    uint32_t i = 0;
    for (; count - i >= LANES; i += LANES) {
        lanes values;
        memcpy(&values, from + (size_t)i * sizeof(uint32_t), sizeof values);
        ordered here = (ordered)(values ^ flips);
        ordered is_less = here < low;
        ordered is_more = here > high;
        low = (here & is_less) | (low & ~is_less);
        high = (here & is_more) | (high & ~is_more);
    }
    for (int k = 0; k < LANES; k++) {
        *min = low[k] < *min ? low[k] : *min;
        *max = high[k] > *max ? high[k] : *max;
    }
    return i;
}

SIMD_VECTORS static uint32_t extremes_64(const uint8_t *from, uint32_t count, uint64_t flip, int64_t *min,
                                         int64_t *max) {
    typedef uint64_t lanes __attribute__((vector_size(32)));
    typedef int64_t ordered __attribute__((vector_size(32)));
    enum { LANES = 32 / sizeof(uint64_t) };
    const lanes flips = {flip, flip, flip, flip};
    ordered low = {INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX}, high = {INT64_MIN, INT64_MIN, INT64_MIN, INT64_MIN};
    uint32_t i = 0;
    for (; count - i >= LANES; i += LANES) {
        lanes values;
        memcpy(&values, from + (size_t)i * sizeof(uint64_t), sizeof values);
        ordered here = (ordered)(values ^ flips);
        ordered is_less = here < low;
        ordered is_more = here > high;
        low = (here & is_less) | (low & ~is_less);
        high = (here & is_more) | (high & ~is_more);
    }
    for (int k = 0; k < LANES; k++) {
        *min = low[k] < *min ? low[k] : *min;
        *max = high[k] > *max ? high[k] : *max;
    }
    return i;
}

#endif

static struct value_bounds bounds_i32(const struct bytes_view *values, uint32_t flip) {
    int32_t min = INT32_MAX, max = INT32_MIN; /* `flip` moves unsigned values into the signed order */
    const uint8_t *from = values->bytes;
    uint32_t i = 0, count = values->count;
#if defined(SIMD_ANY)
    if (simd_has_vectors()) i = extremes_32(from, count, flip, &min, &max);
#endif
    for (; i < count; i++) {
        int32_t value = (int32_t)(load_u32(from + (size_t)i * 4) ^ flip);
        min = value < min ? value : min;
        max = value > max ? value : max;
    }
    return bounds_at(values, find_u32(values, (uint32_t)min ^ flip), find_u32(values, (uint32_t)max ^ flip));
}

static struct value_bounds bounds_i64(const struct bytes_view *values, uint64_t flip) {
    int64_t min = INT64_MAX, max = INT64_MIN; /* `flip` moves unsigned values into the signed order */
    const uint8_t *from = values->bytes;
    uint32_t i = 0, count = values->count;
#if defined(SIMD_ANY)
    if (simd_has_vectors()) i = extremes_64(from, count, flip, &min, &max);
#endif
    for (; i < count; i++) {
        int64_t value = (int64_t)(load_u64(from + (size_t)i * 8) ^ flip);
        min = value < min ? value : min;
        max = value > max ? value : max;
    }
    return bounds_at(values, find_u64(values, (uint64_t)min ^ flip), find_u64(values, (uint64_t)max ^ flip));
}

/* Floating-point numbers: NaN is passed over (all comparisons with it are false), zeros are widened. Several extremes
 * side by side, as each comparison would wait for the one before it. */
enum { LANES = 4 };

static inline double double_at(const struct bytes_view *values, uint32_t i) {
    double value;
    memcpy(&value, values->bytes + (size_t)i * sizeof value, sizeof value);
    return value;
}

static inline float float_at(const struct bytes_view *values, uint32_t i) {
    float value;
    memcpy(&value, values->bytes + (size_t)i * sizeof value, sizeof value);
    return value;
}

static struct value_bounds bounds_double(const struct bytes_view *values) {
    double min[LANES], max[LANES];
    uint32_t i = 0;
    for (int k = 0; k < LANES; k++) min[k] = INFINITY, max[k] = -INFINITY;
    for (; values->count - i >= LANES; i += LANES) {
        for (uint32_t k = 0; k < LANES; k++) {
            double value = double_at(values, i + k);
            min[k] = value < min[k] ? value : min[k];
            max[k] = value > max[k] ? value : max[k];
        }
    }
    for (; i < values->count; i++) {
        double value = double_at(values, i);
        min[0] = value < min[0] ? value : min[0];
        max[0] = value > max[0] ? value : max[0];
    }
    for (int k = 1; k < LANES; k++) {
        min[0] = min[k] < min[0] ? min[k] : min[0];
        max[0] = max[k] > max[0] ? max[k] : max[0];
    }
    if (min[0] > max[0]) return (struct value_bounds){0}; /* nothing but NaN */
    uint64_t least, greatest;
    memcpy(&least, &min[0], sizeof least);
    memcpy(&greatest, &max[0], sizeof greatest);
    return bounds_at(values, find_u64(values, least), find_u64(values, greatest));
}

static struct value_bounds bounds_float(const struct bytes_view *values) {
    float min[LANES], max[LANES];
    uint32_t i = 0;
    for (int k = 0; k < LANES; k++) min[k] = INFINITY, max[k] = -INFINITY;
    for (; values->count - i >= LANES; i += LANES) {
        for (uint32_t k = 0; k < LANES; k++) {
            float value = float_at(values, i + k);
            min[k] = value < min[k] ? value : min[k];
            max[k] = value > max[k] ? value : max[k];
        }
    }
    for (; i < values->count; i++) {
        float value = float_at(values, i);
        min[0] = value < min[0] ? value : min[0];
        max[0] = value > max[0] ? value : max[0];
    }
    for (int k = 1; k < LANES; k++) {
        min[0] = min[k] < min[0] ? min[k] : min[0];
        max[0] = max[k] > max[0] ? max[k] : max[0];
    }
    if (min[0] > max[0]) return (struct value_bounds){0}; /* nothing but NaN */
    uint32_t least, greatest;
    memcpy(&least, &min[0], sizeof least);
    memcpy(&greatest, &max[0], sizeof greatest);
    return bounds_at(values, find_u32(values, least), find_u32(values, greatest));
}

static struct value_bounds bounds_half(const struct bytes_view *values) {
    const enum parquet_order order = PARQUET_ORDER_FLOAT16;
    struct value_bounds bounds = {0};
    for (uint32_t i = 0; i < values->count; i++) {
        struct slice value = bytes_view_at(values, i);
        if (statistics_value_is_nan(order, value.data)) continue;
        if (!bounds.has || parquet_value_compare(order, value, bounds.min) < 0) bounds.min = value;
        if (!bounds.has || parquet_value_compare(order, value, bounds.max) > 0) bounds.max = value;
        bounds.has = true;
    }
    return bounds;
}

/* How many values are not equal to themselves. */
static uint64_t count_nan(enum parquet_order order, const struct bytes_view *values) {
    uint32_t count = 0;
    if (order == PARQUET_ORDER_DOUBLE)
        for (uint32_t i = 0; i < values->count; i++) count += double_at(values, i) != double_at(values, i);
    else if (order == PARQUET_ORDER_FLOAT)
        for (uint32_t i = 0; i < values->count; i++) count += float_at(values, i) != float_at(values, i);
    else
        for (uint32_t i = 0; i < values->count; i++)
            count += statistics_value_is_nan(order, bytes_view_at(values, i).data);
    return count;
}

static struct value_bounds bounds_floating(enum parquet_order order, const struct bytes_view *values) {
    struct value_bounds bounds = order == PARQUET_ORDER_DOUBLE  ? bounds_double(values)
                                 : order == PARQUET_ORDER_FLOAT ? bounds_float(values)
                                                                : bounds_half(values);
    bounds.nan_count = count_nan(order, values);
    if (bounds.has) {
        bounds.min = statistics_widen_zero(order, bounds.min, true);
        bounds.max = statistics_widen_zero(order, bounds.max, false);
    }
    return bounds;
}

static struct value_bounds bounds_boolean(const struct bytes_view *values) {
    static const uint8_t truths[2] = {0, 1};
    uint64_t set = bits_count(values->bytes, 0, values->count);
    return (struct value_bounds){true, slice_of(&truths[set == values->count], 1), slice_of(&truths[set > 0], 1)};
}

/* ---- Bytes: most comparisons are decided by the first eight ---- */

static struct value_bounds bounds_bytes(const struct bytes_view *values) {
    struct slice min = bytes_view_at(values, 0), max = min, last = bytes_view_at(values, values->count - 1);
    const uint8_t *end = last.data + last.size;
    uint64_t min_prefix = bytes_prefix(min, end), max_prefix = min_prefix;
    for (uint32_t i = 1; i < values->count; i++) {
        struct slice value = bytes_view_at(values, i);
        uint64_t prefix = bytes_prefix(value, end);
        if (prefix <= min_prefix && (prefix < min_prefix || slice_compare(value, min) < 0)) {
            min = value;
            min_prefix = prefix;
        }
        if (prefix >= max_prefix && (prefix > max_prefix || slice_compare(value, max) > 0)) {
            max = value;
            max_prefix = prefix;
        }
    }
    return (struct value_bounds){true, min, max};
}

static struct value_bounds bounds_any(enum parquet_order order, const struct bytes_view *values) {
    uint32_t min = 0, max = 0;
    for (uint32_t i = 1; i < values->count; i++) {
        struct slice value = bytes_view_at(values, i);
        if (parquet_value_compare(order, value, bytes_view_at(values, min)) < 0) min = i;
        if (parquet_value_compare(order, value, bytes_view_at(values, max)) > 0) max = i;
    }
    return bounds_at(values, min, max);
}

struct value_bounds statistics_bounds(enum parquet_order order, const struct bytes_view *values) {
    if (values->count == 0) return (struct value_bounds){0};
    switch (order) {
    case PARQUET_ORDER_NONE: return (struct value_bounds){0};
    case PARQUET_ORDER_BOOLEAN: return bounds_boolean(values);
    case PARQUET_ORDER_INT32: return bounds_i32(values, 0);
    case PARQUET_ORDER_UINT32: return bounds_i32(values, UINT32_C(1) << 31);
    case PARQUET_ORDER_INT64: return bounds_i64(values, 0);
    case PARQUET_ORDER_UINT64: return bounds_i64(values, UINT64_C(1) << 63);
    case PARQUET_ORDER_FLOAT:
    case PARQUET_ORDER_DOUBLE:
    case PARQUET_ORDER_FLOAT16: return bounds_floating(order, values);
    case PARQUET_ORDER_BYTES: return bounds_bytes(values);
    default: return bounds_any(order, values);
    }
}

void statistics_merge(enum parquet_order order, struct value_bounds *bounds, const struct value_bounds *more) {
    bounds->nan_count += more->nan_count;
    if (!more->has) return;
    if (!bounds->has || parquet_value_compare(order, more->min, bounds->min) < 0) bounds->min = more->min;
    if (!bounds->has || parquet_value_compare(order, more->max, bounds->max) > 0) bounds->max = more->max;
    bounds->has = true;
}

/* ---- Truncation ---- */

/* The start of the character that holds byte `at`. */
static size_t character_begin(const uint8_t *text, size_t at) {
    while (at > 0 && (text[at] & 0xc0) == 0x80) at--;
    return at;
}

struct slice statistics_truncate_min(struct slice value, uint32_t bytes_max, bool is_utf8) {
    if (value.size <= bytes_max) return value;
    return slice_of(value.data, is_utf8 ? character_begin(value.data, bytes_max) : bytes_max);
}

/* Adds one to the character of `size` bytes at `at`, if the next code point is a valid one of the same length. */
static bool increment_character(uint8_t *at, size_t size) {
    static const uint32_t last_of_size[] = {0, 0x7f, 0x7ff, 0xffff, 0x10ffff};
    if (size == 0 || size > 4) return false;
    uint8_t lead = size == 1 ? 0 : (uint8_t)(0xf00u >> size), lead_mask = (uint8_t) ~(0x7fu >> (size == 1 ? 0 : size));
    if ((at[0] & lead_mask) != lead) return false; /* not UTF-8 */
    uint32_t code = size == 1 ? at[0] : at[0] & (0x7fu >> size);
    for (size_t i = 1; i < size; i++) code = code << 6 | (at[i] & 0x3f);
    code = code == 0xd7ff ? 0xe000 : code + 1; /* surrogates are not characters */
    if (code > last_of_size[size]) return false;
    for (size_t i = size - 1; i > 0; i--, code >>= 6) at[i] = (uint8_t)(0x80 | (code & 0x3f));
    at[0] = (uint8_t)(lead | code);
    return true;
}

size_t statistics_truncate_max(uint8_t *copy, size_t size, uint32_t bytes_max, bool is_utf8) {
    if (size <= bytes_max) return size;
    size_t end = is_utf8 ? character_begin(copy, bytes_max) : bytes_max;
    while (end > 0) { /* what cannot be incremented is dropped, and what stands before it incremented */
        size_t begin = is_utf8 ? character_begin(copy, end - 1) : end - 1;
        if (is_utf8 ? increment_character(copy + begin, end - begin) : copy[begin] != 0xff) {
            if (!is_utf8) copy[begin]++;
            return end;
        }
        end = begin;
    }
    return size;
}
