/* DELTA_BINARY_PACKED, what is done once a value: unpacking differences and adding them up, and taking them. For
 * encoding_delta.c. */
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
uint64_t delta_sums_i64(const struct delta_packed *packed, uint64_t last, int64_t *out);
uint64_t delta_sums_i32(const struct delta_packed *packed, uint64_t last, int32_t *out);
/* The same without vector instructions. */
uint64_t delta_sums_i64_scalar(const struct delta_packed *packed, uint64_t last, int64_t *out);
uint64_t delta_sums_i32_scalar(const struct delta_packed *packed, uint64_t last, int32_t *out);

enum { DELTA_BLOCK = 128, DELTA_MINIBLOCKS = 4, DELTA_MINIBLOCK = DELTA_BLOCK / DELTA_MINIBLOCKS };

/* Of a block that is written, in arithmetic that wraps around. */
struct delta_block {
    int64_t least;
    uint64_t used_bits[DELTA_MINIBLOCKS]; /* those that a delta of the miniblock has */
    uint64_t deltas[DELTA_BLOCK];         /* of 32-bit values: as many uint32_t; behind the last one zeros */
};

/* The differences between `count` (1 to DELTA_BLOCK) values and the ones in front of them (values[-1] is there), less
 * the least of them. */
void delta_block_i64(const int64_t *values, size_t count, struct delta_block *block);
void delta_block_i32(const int32_t *values, size_t count, struct delta_block *block);
void delta_block_i64_scalar(const int64_t *values, size_t count, struct delta_block *block);
void delta_block_i32_scalar(const int32_t *values, size_t count, struct delta_block *block);

#endif
