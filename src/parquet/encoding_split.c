/* BYTE_STREAM_SPLIT. See encoding_split.h. */
#include "parquet/encoding_split.h"

/* With a constant width the compiler unrolls the inner loop. */
static inline __attribute__((always_inline)) void decode_width(const uint8_t *in, size_t stored, size_t count,
                                                               uint32_t width, uint8_t *out) {
    for (size_t i = 0; i < count; i++)
        for (uint32_t k = 0; k < width; k++) out[i * width + k] = in[k * stored + i];
}

static inline __attribute__((always_inline)) void encode_width(const uint8_t *in, size_t count, uint32_t width,
                                                               uint8_t *out) {
    for (size_t i = 0; i < count; i++)
        for (uint32_t k = 0; k < width; k++) out[k * count + i] = in[i * width + k];
}

void split_decode(const uint8_t *in, size_t stored, size_t count, uint32_t width, uint8_t *out) {
    if (width == 4)
        decode_width(in, stored, count, 4, out);
    else if (width == 8)
        decode_width(in, stored, count, 8, out);
    else
        decode_width(in, stored, count, width, out);
}

void split_encode(const uint8_t *in, size_t count, uint32_t width, uint8_t *out) {
    if (width == 4)
        encode_width(in, count, 4, out);
    else if (width == 8)
        encode_width(in, count, 8, out);
    else
        encode_width(in, count, width, out);
}
