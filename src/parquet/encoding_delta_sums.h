/* DELTA_BINARY_PACKED, what is done once a value: unpacking differences and adding them up. For encoding_delta.c. */
#ifndef PLINTH_PARQUET_ENCODING_DELTA_SUMS_H
#define PLINTH_PARQUET_ENCODING_DELTA_SUMS_H

#include <stddef.h>
#include <stdint.h>

/* `count` differences of `width` (0 to 64) bits, bit-packed: of the `in_bytes` that are there at least those they take,
 * and none beyond is read. */
struct delta_packed {
    const uint8_t *in;
    size_t in_bytes;
    unsigned width;
    uint64_t least; /* to be added to each */
    size_t count;
};

/* out[i] is `last` and all differences up to i, modulo 2^64 or 2^32; returns the last one (of none: `last`). */
uint64_t delta_sums_i64(struct delta_packed packed, uint64_t last, int64_t *out);
uint64_t delta_sums_i32(struct delta_packed packed, uint64_t last, int32_t *out);
/* The same without vector instructions. */
uint64_t delta_sums_i64_scalar(struct delta_packed packed, uint64_t last, int64_t *out);
uint64_t delta_sums_i32_scalar(struct delta_packed packed, uint64_t last, int32_t *out);

#endif
