/* BYTE_STREAM_SPLIT. See encoding_split.h.
 *
 * Sixteen values at a time, 8, 4, 2 or 1 of their bytes: n vectors of 16 bytes, one behind the other. Byte b of value v
 * is at v + 16 b in streams and at n v + b in values, numbers of 4 + log2(n) bits, of which the one is the other
 * rotated by log2(n) or, the other way, by 4. Interleaving the first half of the bytes with the second half rotates by
 * one. Vectors of 16 bytes are the compiler's own: SSE2 is part of every x86-64 as NEON is of every arm64. */
#include "parquet/encoding_split.h"

#include <string.h>

enum { BLOCK = 16 };

typedef uint8_t bytes16 __attribute__((vector_size(16)));

/* Vectors in arrays become registers when the loops over them are gone. */
#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif
#define ALWAYS_INLINE inline __attribute__((always_inline))

/* With a constant width the compiler unrolls the inner loop. */
static ALWAYS_INLINE void decode_width(const uint8_t *in, size_t stored, size_t begin, size_t end, uint32_t width,
                                       uint8_t *out) {
    for (size_t i = begin; i < end; i++)
        for (uint32_t k = 0; k < width; k++) out[i * width + k] = in[k * stored + i];
}

static ALWAYS_INLINE void encode_width(const uint8_t *in, size_t count, size_t begin, size_t end, uint32_t width,
                                       uint8_t *out) {
    for (size_t i = begin; i < end; i++)
        for (uint32_t k = 0; k < width; k++) out[k * count + i] = in[i * width + k];
}

/* Interleaves the first n / 2 vectors with the others. */
static ALWAYS_INLINE void interleave(bytes16 *vectors, uint32_t n) {
    bytes16 old[8];
    UNROLL
    for (uint32_t i = 0; i < n; i++) old[i] = vectors[i];
    UNROLL
    for (uint32_t i = 0; i < n / 2; i++) {
        bytes16 a = old[i], b = old[i + n / 2];
        vectors[2 * i] = __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
        vectors[2 * i + 1] =
            __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
    }
}

/* Bytes `from` to `from` + n of each value. */
static ALWAYS_INLINE void decode_bytes(const uint8_t *in, size_t stored, size_t whole, uint32_t width, uint32_t from,
                                       uint32_t n, uint8_t *out) {
    for (size_t i = 0; i < whole; i += BLOCK) {
        bytes16 vectors[8];
        UNROLL
        for (uint32_t k = 0; k < n; k++) memcpy(&vectors[k], in + (from + k) * stored + i, BLOCK);
        UNROLL
        for (uint32_t rotated = 1; rotated < n; rotated *= 2) interleave(vectors, n);
        if (width == n) {
            UNROLL
            for (uint32_t k = 0; k < n; k++) memcpy(out + i * n + k * BLOCK, &vectors[k], BLOCK);
        } else {
            const uint8_t *values = (const uint8_t *)vectors;
            UNROLL
            for (uint32_t v = 0; v < BLOCK; v++) memcpy(out + (i + v) * width + from, values + v * n, n);
        }
    }
}

static ALWAYS_INLINE void encode_bytes(const uint8_t *in, size_t count, size_t whole, uint32_t width, uint32_t from,
                                       uint32_t n, uint8_t *out) {
    for (size_t i = 0; i < whole; i += BLOCK) {
        bytes16 vectors[8];
        if (width == n) {
            UNROLL
            for (uint32_t k = 0; k < n; k++) memcpy(&vectors[k], in + i * n + k * BLOCK, BLOCK);
        } else {
            uint8_t *values = (uint8_t *)vectors;
            UNROLL
            for (uint32_t v = 0; v < BLOCK; v++) memcpy(values + v * n, in + (i + v) * width + from, n);
        }
        if (n > 1) {
            UNROLL
            for (int rotated = 0; rotated < 4; rotated++) interleave(vectors, n);
        }
        UNROLL
        for (uint32_t k = 0; k < n; k++) memcpy(out + (from + k) * count + i, &vectors[k], BLOCK);
    }
}

void split_decode(const uint8_t *in, size_t stored, size_t count, uint32_t width, uint8_t *out) {
    size_t whole = count / BLOCK * BLOCK;
    if (width == 4) {
        decode_bytes(in, stored, whole, 4, 0, 4, out);
        decode_width(in, stored, whole, count, 4, out);
    } else if (width == 8) {
        decode_bytes(in, stored, whole, 8, 0, 8, out);
        decode_width(in, stored, whole, count, 8, out);
    } else {
        uint32_t k = 0;
        for (; width - k >= 8; k += 8) decode_bytes(in, stored, whole, width, k, 8, out);
        for (; width - k >= 4; k += 4) decode_bytes(in, stored, whole, width, k, 4, out);
        for (; width - k >= 2; k += 2) decode_bytes(in, stored, whole, width, k, 2, out);
        if (k < width) decode_bytes(in, stored, whole, width, k, 1, out);
        decode_width(in, stored, whole, count, width, out);
    }
}

void split_encode(const uint8_t *in, size_t count, uint32_t width, uint8_t *out) {
    size_t whole = count / BLOCK * BLOCK;
    if (width == 4) {
        encode_bytes(in, count, whole, 4, 0, 4, out);
        encode_width(in, count, whole, count, 4, out);
    } else if (width == 8) {
        encode_bytes(in, count, whole, 8, 0, 8, out);
        encode_width(in, count, whole, count, 8, out);
    } else {
        uint32_t k = 0;
        for (; width - k >= 8; k += 8) encode_bytes(in, count, whole, width, k, 8, out);
        for (; width - k >= 4; k += 4) encode_bytes(in, count, whole, width, k, 4, out);
        for (; width - k >= 2; k += 2) encode_bytes(in, count, whole, width, k, 2, out);
        if (k < width) encode_bytes(in, count, whole, width, k, 1, out);
        encode_width(in, count, whole, count, width, out);
    }
}

void split_decode_scalar(const uint8_t *in, size_t stored, size_t count, uint32_t width, uint8_t *out) {
    if (width == 4)
        decode_width(in, stored, 0, count, 4, out);
    else if (width == 8)
        decode_width(in, stored, 0, count, 8, out);
    else
        decode_width(in, stored, 0, count, width, out);
}

void split_encode_scalar(const uint8_t *in, size_t count, uint32_t width, uint8_t *out) {
    if (width == 4)
        encode_width(in, count, 0, count, 4, out);
    else if (width == 8)
        encode_width(in, count, 0, count, 8, out);
    else
        encode_width(in, count, 0, count, width, out);
}
