/* Bit unpacking with vectors, by groups of eight values. For bits.c and encoding_delta_sums.c.
 *
 * Eight values of w bits are w bytes, so each group begins on a byte. Narrow values (up to 25 bits) lie in the four
 * bytes from their first bit on, wide ones (up to 57) in eight. 16 bytes are loaded where the first of four narrow or
 * two wide values begins; a byte shuffle puts the bytes of each value into its lane, a shift by lane and a mask do the
 * rest. Shuffle and shifts depend on w only. */
#ifndef PLINTH_PARQUET_BITS_VECTOR_H
#define PLINTH_PARQUET_BITS_VECTOR_H

#include <stddef.h>
#include <stdint.h>

#include "base/simd.h"

enum { BITS_NARROW_MAX = 25, BITS_WIDE_MAX = 57, BITS_LOAD_BYTES = 16 };

/* Bytes from its first one on that reading a group may touch. */
static inline size_t bits_narrow_reach(unsigned width) { return 4 * width / 8 + BITS_LOAD_BYTES; }
static inline size_t bits_wide_reach(unsigned width) { return 6 * width / 8 + BITS_LOAD_BYTES; }
/* How many groups of `count` values lie in `in_bytes` so that reading them touches nothing behind. */
static inline size_t bits_groups(size_t in_bytes, unsigned width, size_t reach, size_t count) {
    size_t groups = count / 8;
    if (groups == 0 || in_bytes < reach) return 0;
    return in_bytes - reach >= (groups - 1) * width ? groups : (in_bytes - reach) / width + 1;
}

/* Of narrow values, by width: the shuffle of eight of them, then their shifts. */
extern const uint32_t bits_narrow_table[BITS_NARROW_MAX + 1][16];

#if defined(__x86_64__)

struct bits_narrow {
    __m256i shuffle, shifts, mask;
    size_t second; /* where the values 4 to 7 are loaded */
};

SIMD_VECTORS static inline __m128i bits_load_16(const uint8_t *at) {
    return _mm_loadu_si128((const __m128i *)(const void *)at);
}

SIMD_VECTORS static inline struct bits_narrow bits_narrow_of(unsigned width) {
    const __m256i *row = (const __m256i *)(const void *)bits_narrow_table[width];
    return (struct bits_narrow){.shuffle = _mm256_loadu_si256(row),
                                .shifts = _mm256_loadu_si256(row + 1),
                                .mask = _mm256_set1_epi32((int)((1u << width) - 1)),
                                .second = 4 * width / 8};
}

/* Eight values in lanes of 32 bits. */
SIMD_VECTORS static inline __m256i bits_narrow_unpack(const struct bits_narrow *narrow, const uint8_t *in) {
    __m256i bytes = _mm256_set_m128i(bits_load_16(in + narrow->second), bits_load_16(in));
    bytes = _mm256_shuffle_epi8(bytes, narrow->shuffle);
    return _mm256_and_si256(_mm256_srlv_epi32(bytes, narrow->shifts), narrow->mask);
}

struct bits_wide {
    __m256i shuffle[2], shifts[2], mask;
    size_t pair[4]; /* where the values 2 i and 2 i + 1 are loaded */
};

SIMD_VECTORS static inline struct bits_wide bits_wide_of(unsigned width) {
    struct bits_wide wide = {.mask = _mm256_set1_epi64x((int64_t)((UINT64_C(1) << width) - 1))};
    int64_t begin[4];
    for (unsigned i = 0; i < 4; i++) {
        wide.pair[i] = 2 * i * width / 8;
        begin[i] = (int64_t)(2 * i * width % 8);
    }
    for (unsigned i = 0; i < 2; i++) {
        __m256i bits = _mm256_setr_epi64x(begin[2 * i], begin[2 * i] + (int64_t)width, begin[2 * i + 1],
                                          begin[2 * i + 1] + (int64_t)width);
        __m256i first_bytes = _mm256_shuffle_epi8(_mm256_srli_epi64(bits, 3),
                                                  _mm256_setr_epi64x(0, 0x0808080808080808, 0, 0x0808080808080808));
        wide.shifts[i] = _mm256_and_si256(bits, _mm256_set1_epi64x(7));
        wide.shuffle[i] = _mm256_add_epi8(first_bytes, _mm256_set1_epi64x(0x0706050403020100));
    }
    return wide;
}

/* The values 0 to 3 (`half` 0) or 4 to 7 (1) in lanes of 64 bits. */
SIMD_VECTORS static inline __m256i bits_wide_unpack(const struct bits_wide *wide, const uint8_t *in, int half) {
    __m256i bytes =
        _mm256_set_m128i(bits_load_16(in + wide->pair[2 * half + 1]), bits_load_16(in + wide->pair[2 * half]));
    bytes = _mm256_shuffle_epi8(bytes, wide->shuffle[half]);
    return _mm256_and_si256(_mm256_srlv_epi64(bytes, wide->shifts[half]), wide->mask);
}

/* The low parts of eight 64-bit lanes. */
SIMD_VECTORS static inline __m256i bits_low_32(__m256i a, __m256i b) {
    __m256 parts = _mm256_shuffle_ps(_mm256_castsi256_ps(a), _mm256_castsi256_ps(b), 0x88);
    return _mm256_permute4x64_epi64(_mm256_castps_si256(parts), 0xd8);
}

/* Each of eight lanes with all before it: the vector is added to itself moved up by one lane, by two, by four. */
SIMD_VECTORS static inline __m256i bits_sums_in_vector(__m256i values) {
    const __m256i above = _mm256_setr_epi32(0, 0, 0, 0, -1, -1, -1, -1);
    values = _mm256_add_epi32(values, _mm256_bslli_epi128(values, 4));
    values = _mm256_add_epi32(values, _mm256_bslli_epi128(values, 8));
    __m256i low_sum = _mm256_permutevar8x32_epi32(values, _mm256_set1_epi32(3));
    return _mm256_add_epi32(values, _mm256_and_si256(low_sum, above));
}

#elif defined(__aarch64__)

struct bits_narrow {
    uint8x16_t shuffle[2];
    int32x4_t shifts[2]; /* to the left: below zero */
    uint32x4_t mask;
    size_t second;
};

static inline struct bits_narrow bits_narrow_of(unsigned width) {
    const uint32_t *row = bits_narrow_table[width];
    const int32x4_t zero = vdupq_n_s32(0);
    struct bits_narrow narrow = {.mask = vdupq_n_u32((1u << width) - 1), .second = 4 * width / 8};
    for (unsigned half = 0; half < 2; half++) {
        narrow.shuffle[half] = vreinterpretq_u8_u32(vld1q_u32(row + 4 * half));
        narrow.shifts[half] = vsubq_s32(zero, vreinterpretq_s32_u32(vld1q_u32(row + 8 + 4 * half)));
    }
    return narrow;
}

/* The values 0 to 3 or 4 to 7. */
static inline uint32x4_t bits_narrow_unpack(const struct bits_narrow *narrow, const uint8_t *in, int half) {
    uint8x16_t bytes = vqtbl1q_u8(vld1q_u8(in + (half ? narrow->second : 0)), narrow->shuffle[half]);
    return vandq_u32(vshlq_u32(vreinterpretq_u32_u8(bytes), narrow->shifts[half]), narrow->mask);
}

struct bits_wide {
    uint8x16_t shuffle[4];
    int64x2_t shifts[4];
    uint64x2_t mask;
    size_t pair[4]; /* where the values 2 i and 2 i + 1 are loaded */
};

static inline struct bits_wide bits_wide_of(unsigned width) {
    struct bits_wide wide = {.mask = vdupq_n_u64((UINT64_C(1) << width) - 1)};
    for (unsigned i = 0; i < 4; i++) {
        uint8_t shuffle[16];
        int64_t shifts[2];
        for (unsigned j = 0; j < 2; j++) {
            unsigned bit = 2 * i * width % 8 + j * width;
            shifts[j] = -(int64_t)(bit % 8);
            for (unsigned k = 0; k < 8; k++) shuffle[j * 8 + k] = (uint8_t)(bit / 8 + k);
        }
        wide.pair[i] = 2 * i * width / 8;
        wide.shuffle[i] = vld1q_u8(shuffle);
        wide.shifts[i] = vld1q_s64(shifts);
    }
    return wide;
}

/* The values 2 i and 2 i + 1. */
static inline uint64x2_t bits_wide_unpack(const struct bits_wide *wide, const uint8_t *in, int i) {
    uint8x16_t bytes = vqtbl1q_u8(vld1q_u8(in + wide->pair[i]), wide->shuffle[i]);
    return vandq_u64(vshlq_u64(vreinterpretq_u64_u8(bytes), wide->shifts[i]), wide->mask);
}

#endif

/* Unpacks a multiple of 8 of the `count` values (`width` at least 1), as many as can be read without touching bytes
 * behind `in_bytes`, and returns how many: 0 where values are wider than 57 bits or the machine has no vectors. */
size_t bits_vector_unpack_u32(const uint8_t *in, size_t in_bytes, unsigned width, size_t count, uint32_t *out);
size_t bits_vector_unpack_u64(const uint8_t *in, size_t in_bytes, unsigned width, size_t count, uint64_t *out);
/* Packs a multiple of 8 of the values; 0 where `width` is over 16 or the machine has no vectors (or NEON). May
 * overwrite BITS_PACK_SLACK bytes behind what it packs. */
size_t bits_vector_pack_u32(const uint32_t *in, size_t count, unsigned width, uint8_t *out);
size_t bits_vector_pack_u64(const uint64_t *in, size_t count, unsigned width, uint8_t *out);
#endif
