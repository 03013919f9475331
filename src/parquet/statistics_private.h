/* Bounds of the values of a page, while writing. For this folder only. */
#ifndef PLINTH_PARQUET_STATISTICS_PRIVATE_H
#define PLINTH_PARQUET_STATISTICS_PRIVATE_H

#include "parquet/encoding_bytes.h"
#include "parquet/statistics.h"

struct value_bounds {
    bool has; /* false: no values, or only NaN, or no order */
    struct slice min, max;
    uint64_t nan_count; /* floating point; also when there are no bounds */
};

/* Whether a PLAIN-encoded value of full size is NaN. */
bool statistics_value_is_nan(enum parquet_order order, const uint8_t *value);
/* The zero of the wanted sign when `bound` is a zero of either; else `bound`. */
struct slice statistics_widen_zero(enum parquet_order order, struct slice bound, bool negative);
/* The least and the greatest of the values, borrowed from `values` (or static). BOOLEAN values are a bitmap. */
struct value_bounds statistics_bounds(enum parquet_order order, const struct bytes_view *values);
/* `*bounds` becomes the bounds of both. */
void statistics_merge(enum parquet_order order, struct value_bounds *bounds, const struct value_bounds *more);

/* A lower bound of at most `bytes_max` bytes, borrowed. UTF-8 is cut between characters. */
struct slice statistics_truncate_min(struct slice value, uint32_t bytes_max, bool is_utf8);
/* An upper bound of at most `bytes_max` bytes, made in place in `copy` (value.size bytes, holding the value); returns
 * its size, which is value.size when there is no shorter bound. */
size_t statistics_truncate_max(uint8_t *copy, size_t size, uint32_t bytes_max, bool is_utf8);

/* The first eight bytes as a number that is ordered as they are, shorter values with zeros behind. `end` is the end of
 * what may be read. */
static inline uint64_t bytes_prefix(struct slice value, const uint8_t *end) {
    uint64_t prefix = 0;
    if (value.size >= 8) return __builtin_bswap64(load_u64(value.data));
    if (value.size == 0) return 0;
    if (end - value.data >= 8) return __builtin_bswap64(load_u64(value.data)) & ~(UINT64_MAX >> (8 * value.size));
    for (size_t i = 0; i < value.size; i++) prefix |= (uint64_t)value.data[i] << (56 - 8 * i);
    return prefix;
}

#endif
