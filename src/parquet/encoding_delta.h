/* DELTA_BINARY_PACKED: integers by their differences.
 *
 * Header: varints block size (a multiple of 128), miniblocks a block, total count; first value as zigzag varint.
 * Block: its least difference as zigzag varint, a byte of bit width for each miniblock, then the miniblocks, each
 * holding block size / miniblocks (a multiple of 32) differences minus the least one, bit-packed. Arithmetic
 * wraps around. Miniblocks behind the last value have no bytes; the last one that has a value is padded. */
#ifndef PLINTH_PARQUET_ENCODING_DELTA_H
#define PLINTH_PARQUET_ENCODING_DELTA_H

#include "base/bytes.h"
#include "plinth_status.h"

/* Decodes exactly `count` values; PLINTH_CORRUPT when the header says another count. `*used` (may be null) is the
 * number of bytes taken. */
PLINTH_MUST_CHECK enum plinth_status delta_decode_i64(struct slice in, uint32_t count, int64_t *out, size_t *used,
                                                      struct plinth_error *error);
PLINTH_MUST_CHECK enum plinth_status delta_decode_i32(struct slice in, uint32_t count, int32_t *out, size_t *used,
                                                      struct plinth_error *error);
/* Append to `out`; false when memory is out. */
PLINTH_MUST_CHECK bool delta_encode_i64(const int64_t *values, uint32_t count, struct buffer *out);
PLINTH_MUST_CHECK bool delta_encode_i32(const int32_t *values, uint32_t count, struct buffer *out);

#endif
