/* Least and greatest values of a page, and shorter bounds for long ones. See statistics_private.h. */
#include "parquet/bits.h"
#include "parquet/statistics_private.h"

static struct value_bounds bounds_at(const struct bytes_view *values, uint32_t min, uint32_t max) {
    return (struct value_bounds){true, bytes_view_at(values, min), bytes_view_at(values, max)};
}

/* ---- Numbers: the extremes first (which the compiler vectorises), then where they are ---- */

static uint32_t find_value(const struct bytes_view *values, const void *wanted) {
    const uint8_t *at = values->bytes;
    uint32_t i = 0;
    while (memcmp(at, wanted, values->width) != 0) at += values->width, i++;
    return i;
}

static struct value_bounds bounds_found(const struct bytes_view *values, const void *min, const void *max) {
    return bounds_at(values, find_value(values, min), find_value(values, max));
}

static struct value_bounds bounds_i32(const struct bytes_view *values, uint32_t flip) {
    int32_t min = INT32_MAX, max = INT32_MIN; /* `flip` moves unsigned values into the signed order */
    for (uint32_t i = 0; i < values->count; i++) {
        int32_t value = (int32_t)(load_u32(values->bytes + (size_t)i * 4) ^ flip);
        min = value < min ? value : min;
        max = value > max ? value : max;
    }
    uint32_t least = (uint32_t)min ^ flip, greatest = (uint32_t)max ^ flip;
    return bounds_found(values, &least, &greatest);
}

static struct value_bounds bounds_i64(const struct bytes_view *values, uint64_t flip) {
    int64_t min = INT64_MAX, max = INT64_MIN;
    for (uint32_t i = 0; i < values->count; i++) {
        int64_t value = (int64_t)(load_u64(values->bytes + (size_t)i * 8) ^ flip);
        min = value < min ? value : min;
        max = value > max ? value : max;
    }
    uint64_t least = (uint64_t)min ^ flip, greatest = (uint64_t)max ^ flip;
    return bounds_found(values, &least, &greatest);
}

/* Floating-point numbers: NaN is passed over, zeros are widened. */
static struct value_bounds bounds_floating(enum parquet_order order, const struct bytes_view *values) {
    struct value_bounds bounds = {0};
    for (uint32_t i = 0; i < values->count; i++) {
        struct slice value = bytes_view_at(values, i);
        if (statistics_value_is_nan(order, value.data)) continue;
        if (!bounds.has || parquet_value_compare(order, value, bounds.min) < 0) bounds.min = value;
        if (!bounds.has || parquet_value_compare(order, value, bounds.max) > 0) bounds.max = value;
        bounds.has = true;
    }
    if (bounds.has) {
        bounds.min = statistics_widen_zero(order, bounds.min, true);
        bounds.max = statistics_widen_zero(order, bounds.max, false);
    }
    return bounds;
}

static struct value_bounds bounds_boolean(const struct bytes_view *values) {
    static const uint8_t truths[2] = {0, 1};
    uint64_t set = bitmap_count(values->bytes, 0, values->count);
    return (struct value_bounds){true, slice_of(&truths[set == values->count], 1), slice_of(&truths[set > 0], 1)};
}

/* ---- Bytes: most comparisons are decided by the first eight ---- */

static uint64_t load_prefix(struct slice value) {
    uint64_t prefix = 0;
    if (value.size >= 8) return __builtin_bswap64(load_u64(value.data));
    for (size_t i = 0; i < value.size; i++) prefix |= (uint64_t)value.data[i] << (56 - 8 * i);
    return prefix;
}

static struct value_bounds bounds_bytes(const struct bytes_view *values) {
    struct slice min = bytes_view_at(values, 0), max = min;
    uint64_t min_prefix = load_prefix(min), max_prefix = min_prefix;
    for (uint32_t i = 1; i < values->count; i++) {
        struct slice value = bytes_view_at(values, i);
        uint64_t prefix = load_prefix(value);
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
