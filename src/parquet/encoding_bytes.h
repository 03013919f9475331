/* The encodings of BYTE_ARRAY (and, for DELTA_BYTE_ARRAY, FIXED) values.
 *
 *   PLAIN                    each value: uint32 length, bytes
 *   DELTA_LENGTH_BYTE_ARRAY  all lengths (DELTA_BINARY_PACKED), all bytes
 *   DELTA_BYTE_ARRAY         how many bytes each value shares with the one before it (DELTA_BINARY_PACKED), then
 *                            what follows the shared bytes as DELTA_LENGTH_BYTE_ARRAY
 *
 * Decoded: offsets[0 .. count], the first 0, and the values' bytes one behind the other. */
#ifndef PLINTH_PARQUET_ENCODING_BYTES_H
#define PLINTH_PARQUET_ENCODING_BYTES_H

#include "base/bytes.h"
#include "plinth_status.h"

/* Room that copies of whole 16-byte words may run over behind the bytes that count. */
enum { COPY_SLACK = 32 };

/* Copies `size` bytes; those of most strings without a branch on their size. Both sides have COPY_SLACK bytes behind.
 */
static inline void copy_over(uint8_t *to, const uint8_t *from, size_t size) {
    memcpy(to, from, COPY_SLACK);
    if (size > COPY_SLACK) memcpy(to + COPY_SLACK, from + COPY_SLACK, size - COPY_SLACK);
}

/* The same where only `to` has them, and nothing from `from_end` on may be read. */
static inline void copy_within(uint8_t *to, const uint8_t *from, size_t size, const uint8_t *from_end) {
    if ((size_t)(from_end - from) >= size + COPY_SLACK)
        copy_over(to, from, size);
    else if (size > 0)
        memcpy(to, from, size);
}

/* `bytes` is overwritten. */
PLINTH_MUST_CHECK enum plinth_status plain_bytes_decode(struct slice in, uint32_t count, uint32_t *offsets,
                                                        struct buffer *bytes, struct plinth_error *error);
/* `*bytes` is borrowed from `in`. */
PLINTH_MUST_CHECK enum plinth_status delta_length_decode(struct slice in, uint32_t count, uint32_t *offsets,
                                                         struct slice *bytes, struct plinth_error *error);
/* `bytes` is overwritten and may get `bytes_max` long (shared bytes make the output larger than the input);
 * `lengths` is scratch. With `width` > 0 every value must be that long, and `offsets` may be null. */
PLINTH_MUST_CHECK enum plinth_status delta_bytes_decode(struct slice in, uint32_t count, uint32_t width,
                                                        uint64_t bytes_max, uint32_t *offsets, struct buffer *bytes,
                                                        struct buffer *lengths, struct plinth_error *error);

/* Values to be encoded: value i is bytes[offsets[i] .. offsets[i + 1]), or `width` bytes each when `offsets` is
 * null. Append to `out`; false when memory is out. */
struct bytes_view {
    const uint8_t *bytes;
    const uint32_t *offsets;
    uint32_t width;
    uint32_t count;
};
static inline struct slice bytes_view_at(const struct bytes_view *view, uint32_t i) {
    if (!view->offsets) return slice_of(view->bytes + (size_t)i * view->width, view->width);
    return slice_of(view->bytes + view->offsets[i], view->offsets[i + 1] - view->offsets[i]);
}
PLINTH_MUST_CHECK bool plain_bytes_encode(const struct bytes_view *values, struct buffer *out);
PLINTH_MUST_CHECK bool delta_length_encode(const struct bytes_view *view, struct buffer *lengths, struct buffer *out);
PLINTH_MUST_CHECK bool delta_bytes_encode(const struct bytes_view *values, struct buffer *lengths, struct buffer *out);

#endif
