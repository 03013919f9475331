/* The RLE / bit-packed hybrid: levels, dictionary indices, and BOOLEAN values.
 *
 * A run is a varint header h, then: h even: h / 2 times the value that follows in (width + 7) / 8 bytes;
 * h odd: (h / 2) * 8 values bit-packed at `width` bits. Padding beyond the wanted count is passed over. */
#ifndef PLINTH_PARQUET_ENCODING_RLE_H
#define PLINTH_PARQUET_ENCODING_RLE_H

#include "base/bytes.h"
#include "plinth_status.h"

/* Decodes exactly `count` values of `width` (0 to 32) bits. */
PLINTH_MUST_CHECK enum plinth_status rle_decode_u32(struct slice in, unsigned width, uint32_t count, uint32_t *out,
                                                    struct plinth_error *error);
/* Levels: `width` up to 8 bits, none above `level_max`. */
PLINTH_MUST_CHECK enum plinth_status rle_decode_levels(struct slice in, uint8_t level_max, uint32_t count, uint8_t *out,
                                                       struct plinth_error *error);
/* Width 1, into bits 0 .. count - 1 of a bitmap whose other bits in the last byte become 0. */
PLINTH_MUST_CHECK enum plinth_status rle_decode_bitmap(struct slice in, uint32_t count, uint8_t *bitmap,
                                                       struct plinth_error *error);
/* The deprecated BIT_PACKED levels: most significant bit first, without runs. */
PLINTH_MUST_CHECK enum plinth_status bit_packed_decode_levels(struct slice in, uint8_t level_max, uint32_t count,
                                                              uint8_t *out, struct plinth_error *error);

/* The encoders append to `out`; false when memory is out. */
PLINTH_MUST_CHECK bool rle_encode_u32(const uint32_t *values, uint32_t count, unsigned width, struct buffer *out);
/* Levels of at most `level_max`, one byte each. */
PLINTH_MUST_CHECK bool rle_encode_levels(const uint8_t *levels, uint32_t count, uint8_t level_max, struct buffer *out);
/* Width 1, `count` bits of `bitmap` from bit `begin` on; a null bitmap stands for all ones. */
PLINTH_MUST_CHECK bool rle_encode_bitmap(const uint8_t *bitmap, uint64_t begin, uint32_t count, struct buffer *out);

#endif
