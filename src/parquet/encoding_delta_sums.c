/* DELTA_BINARY_PACKED, once a value. See encoding_delta_sums.h.
 *
 * Sums within a vector come by adding it to itself moved up by one lane, then by two, then by four. What carries over
 * from the vector before is added last, so that only one addition a vector waits for another. The least difference is
 * no part of these sums: it is in what carries over, as its multiples 1 to 8. */
#include "parquet/encoding_delta_sums.h"

#include <stdbool.h>
#include <string.h>

#include "parquet/bits.h"
#include "parquet/bits_vector.h"

enum { STEP = 32 };

/* ---- Scalar ---- */

#define ALWAYS_INLINE inline __attribute__((always_inline))

static ALWAYS_INLINE void put(void *out, bool is_i64, size_t i, uint64_t value) {
    if (is_i64)
        ((int64_t *)out)[i] = (int64_t)value;
    else
        ((int32_t *)out)[i] = (int32_t)value;
}

static ALWAYS_INLINE uint64_t constant(uint64_t least, size_t count, uint64_t last, void *out, bool is_i64) {
    size_t i = 0;
    for (; count - i >= 8; i += 8, last += least * 8) { /* none waits for another */
#pragma GCC unroll 8
        for (size_t k = 0; k < 8; k++) put(out, is_i64, i + k, last + least * (k + 1));
    }
    for (; i < count; i++) put(out, is_i64, i, last += least);
    return last;
}

static ALWAYS_INLINE uint64_t sums_scalar(const struct delta_packed *packed, uint64_t last, void *out, bool is_i64) {
    uint32_t narrow[STEP];
    uint64_t wide[STEP], least = packed->least;
    const uint8_t *in = packed->in;
    size_t in_bytes = packed->in_bytes, count = packed->count;
    unsigned width = packed->width;
    if (width == 0) return constant(least, count, last, out, is_i64);
    for (size_t i = 0; i < count; i += STEP) {
        size_t step = count - i < STEP ? count - i : STEP, bytes = step == STEP ? STEP / 8 * width : in_bytes;
        if (width > 32) { /* of 32-bit values, too: DuckDB takes their differences in 64 bits */
            bits_unpack_u64_scalar(in, in_bytes, width, step, wide);
            for (size_t k = 0; k < step; k++) put(out, is_i64, i + k, last += wide[k] + least);
        } else {
            bits_unpack_u32_scalar(in, in_bytes, width, step, narrow);
            for (size_t k = 0; k < step; k++) put(out, is_i64, i + k, last += narrow[k] + least);
        }
        in += bytes;
        in_bytes -= bytes;
    }
    return last;
}

uint64_t delta_sums_i64_scalar(const struct delta_packed *packed, uint64_t last, int64_t *out) {
    return sums_scalar(packed, last, out, true);
}

uint64_t delta_sums_i32_scalar(const struct delta_packed *packed, uint64_t last, int32_t *out) {
    return sums_scalar(packed, last, out, false);
}

/* ---- Vectors: whole groups of eight ---- */

#if defined(__x86_64__)

SIMD_VECTORS static inline void store_256(void *at, __m256i value) { _mm256_storeu_si256(at, value); }

SIMD_VECTORS static inline __m256i sums_64(__m256i values) {
    const __m256i above = _mm256_setr_epi64x(0, 0, -1, -1);
    values = _mm256_add_epi64(values, _mm256_bslli_epi128(values, 8));
    return _mm256_add_epi64(values, _mm256_and_si256(_mm256_permute4x64_epi64(values, 0x55), above));
}

/* What eight 64-bit values begin with. */
struct carry_64 {
    __m256i low, high, least_8;
};

/* The multiples of `least` do not wait for `last`. */
SIMD_VECTORS static inline struct carry_64 carry_64_of(uint64_t last, uint64_t least) {
    __m256i one = _mm256_set1_epi64x((int64_t)least), two = _mm256_add_epi64(one, one);
    __m256i four = _mm256_add_epi64(two, two), eight = _mm256_add_epi64(four, four);
    __m256i low = _mm256_blend_epi32(
        one, _mm256_blend_epi32(two, _mm256_blend_epi32(_mm256_add_epi64(one, two), four, 0xc0), 0xf0), 0xfc);
    __m256i at = _mm256_set1_epi64x((int64_t)last);
    return (struct carry_64){_mm256_add_epi64(at, low), _mm256_add_epi64(at, _mm256_add_epi64(low, four)), eight};
}

/* Stores eight values, whose sums `low` and `high` are (those of `high` with all of `low`). */
SIMD_VECTORS static inline void put_64(struct carry_64 *carry, __m256i low, __m256i high, int64_t *out) {
    store_256(out, _mm256_add_epi64(low, carry->low));
    store_256(out + 4, _mm256_add_epi64(high, carry->high));
    __m256i more = _mm256_add_epi64(_mm256_permute4x64_epi64(high, 0xff), carry->least_8);
    carry->low = _mm256_add_epi64(carry->low, more);
    carry->high = _mm256_add_epi64(carry->high, more);
}

/* Eight times 25 bits are less than 32 bits. */
SIMD_VECTORS static void narrow_i64(const uint8_t *in, size_t groups, unsigned width, uint64_t least, uint64_t last,
                                    int64_t *out) {
    const struct bits_narrow narrow = bits_narrow_of(width);
    struct carry_64 carry = carry_64_of(last, least);
    for (size_t i = 0; i < groups; i++, in += width, out += 8) {
        __m256i sums = bits_sums_in_vector(bits_narrow_unpack(&narrow, in));
        put_64(&carry, _mm256_cvtepu32_epi64(_mm256_castsi256_si128(sums)),
               _mm256_cvtepu32_epi64(_mm256_extracti128_si256(sums, 1)), out);
    }
}

SIMD_VECTORS static void wide_i64(const uint8_t *in, size_t groups, unsigned width, uint64_t least, uint64_t last,
                                  int64_t *out) {
    const struct bits_wide wide = bits_wide_of(width);
    struct carry_64 carry = carry_64_of(last, least);
    for (size_t i = 0; i < groups; i++, in += width, out += 8) {
        __m256i low = sums_64(bits_wide_unpack(&wide, in, 0)), high = sums_64(bits_wide_unpack(&wide, in, 1));
        put_64(&carry, low, _mm256_add_epi64(high, _mm256_permute4x64_epi64(low, 0xff)), out);
    }
}

SIMD_VECTORS static inline __m256i carry_32_of(uint64_t last, uint64_t least) {
    __m256i multiples = _mm256_mullo_epi32(_mm256_setr_epi32(1, 2, 3, 4, 5, 6, 7, 8), _mm256_set1_epi32((int)least));
    return _mm256_add_epi32(multiples, _mm256_set1_epi32((int)last));
}

SIMD_VECTORS static inline __m256i put_32(__m256i carry, __m256i least_8, __m256i values, int32_t *out) {
    __m256i sums = bits_sums_in_vector(values);
    store_256(out, _mm256_add_epi32(sums, carry));
    __m256i more = _mm256_add_epi32(_mm256_permutevar8x32_epi32(sums, _mm256_set1_epi32(7)), least_8);
    return _mm256_add_epi32(carry, more);
}

SIMD_VECTORS static void narrow_i32(const uint8_t *in, size_t groups, unsigned width, uint64_t least, uint64_t last,
                                    int32_t *out) {
    const struct bits_narrow narrow = bits_narrow_of(width);
    const __m256i least_8 = _mm256_set1_epi32((int)(least * 8));
    __m256i carry = carry_32_of(last, least);
    for (size_t i = 0; i < groups; i++, in += width, out += 8)
        carry = put_32(carry, least_8, bits_narrow_unpack(&narrow, in), out);
}

SIMD_VECTORS static void wide_i32(const uint8_t *in, size_t groups, unsigned width, uint64_t least, uint64_t last,
                                  int32_t *out) {
    const struct bits_wide wide = bits_wide_of(width);
    const __m256i least_8 = _mm256_set1_epi32((int)(least * 8));
    __m256i carry = carry_32_of(last, least);
    for (size_t i = 0; i < groups; i++, in += width, out += 8)
        carry =
            put_32(carry, least_8, bits_low_32(bits_wide_unpack(&wide, in, 0), bits_wide_unpack(&wide, in, 1)), out);
}

#elif defined(__aarch64__)

/* Two values and the one before them in all lanes. */
static inline int64x2_t put_64(uint64x2_t values, int64x2_t least, int64x2_t last, int64_t *out) {
    int64x2_t sums = vaddq_s64(vreinterpretq_s64_u64(values), least);
    sums = vaddq_s64(sums, vextq_s64(vdupq_n_s64(0), sums, 1));
    vst1q_s64(out, vaddq_s64(sums, last));
    return vaddq_s64(last, vdupq_laneq_s64(sums, 1));
}

static void narrow_i64(const uint8_t *in, size_t groups, unsigned width, uint64_t least, uint64_t last, int64_t *out) {
    const struct bits_narrow narrow = bits_narrow_of(width);
    const int64x2_t by = vdupq_n_s64((int64_t)least);
    int64x2_t at = vdupq_n_s64((int64_t)last);
    for (size_t i = 0; i < groups; i++, in += width, out += 8) {
        for (int half = 0; half < 2; half++) {
            uint32x4_t values = bits_narrow_unpack(&narrow, in, half);
            at = put_64(vmovl_u32(vget_low_u32(values)), by, at, out + 4 * half);
            at = put_64(vmovl_u32(vget_high_u32(values)), by, at, out + 4 * half + 2);
        }
    }
}

static void wide_i64(const uint8_t *in, size_t groups, unsigned width, uint64_t least, uint64_t last, int64_t *out) {
    const struct bits_wide wide = bits_wide_of(width);
    const int64x2_t by = vdupq_n_s64((int64_t)least);
    int64x2_t at = vdupq_n_s64((int64_t)last);
    for (size_t i = 0; i < groups; i++, in += width, out += 8)
        for (int k = 0; k < 4; k++) at = put_64(bits_wide_unpack(&wide, in, k), by, at, out + 2 * k);
}

static inline int32x4_t put_32(uint32x4_t values, int32x4_t least, int32x4_t last, int32_t *out) {
    const int32x4_t zero = vdupq_n_s32(0);
    int32x4_t sums = vaddq_s32(vreinterpretq_s32_u32(values), least);
    sums = vaddq_s32(sums, vextq_s32(zero, sums, 3));
    sums = vaddq_s32(sums, vextq_s32(zero, sums, 2));
    vst1q_s32(out, vaddq_s32(sums, last));
    return vaddq_s32(last, vdupq_laneq_s32(sums, 3));
}

static void narrow_i32(const uint8_t *in, size_t groups, unsigned width, uint64_t least, uint64_t last, int32_t *out) {
    const struct bits_narrow narrow = bits_narrow_of(width);
    const int32x4_t by = vdupq_n_s32((int32_t)least);
    int32x4_t at = vdupq_n_s32((int32_t)last);
    for (size_t i = 0; i < groups; i++, in += width, out += 8)
        for (int half = 0; half < 2; half++) at = put_32(bits_narrow_unpack(&narrow, in, half), by, at, out + 4 * half);
}

static void wide_i32(const uint8_t *in, size_t groups, unsigned width, uint64_t least, uint64_t last, int32_t *out) {
    const struct bits_wide wide = bits_wide_of(width);
    const int32x4_t by = vdupq_n_s32((int32_t)least);
    int32x4_t at = vdupq_n_s32((int32_t)last);
    for (size_t i = 0; i < groups; i++, in += width, out += 8)
        for (int k = 0; k < 4; k += 2)
            at = put_32(
                vcombine_u32(vmovn_u64(bits_wide_unpack(&wide, in, k)), vmovn_u64(bits_wide_unpack(&wide, in, k + 1))),
                by, at, out + 2 * k);
}

#endif

#if defined(SIMD_ANY)

static ALWAYS_INLINE uint64_t sums_of_groups(const uint8_t *in, size_t groups, unsigned width, uint64_t least,
                                             uint64_t last, void *out, bool is_i64) {
    bool is_narrow = width <= BITS_NARROW_MAX;
    if (groups == 0) return last;
    if (is_i64) {
        if (is_narrow)
            narrow_i64(in, groups, width, least, last, out);
        else
            wide_i64(in, groups, width, least, last, out);
        return (uint64_t)((int64_t *)out)[groups * 8 - 1];
    }
    if (is_narrow)
        narrow_i32(in, groups, width, least, last, out);
    else
        wide_i32(in, groups, width, least, last, out);
    return (uint64_t)((int32_t *)out)[groups * 8 - 1];
}

/* What is left of a miniblock when as many groups as could be read without touching bytes behind are done. */
static ALWAYS_INLINE uint64_t sums_of_rest(struct delta_packed rest, uint64_t last, uint8_t *out, bool is_i64) {
    enum { TAIL_SLACK = 32 };
    uint8_t tail[STEP * 8 + TAIL_SLACK];
    if (rest.count >= 8 && rest.count <= STEP) { /* the end of the page, with room behind it */
        size_t bytes = (size_t)bits_bytes(rest.count, rest.width), groups = rest.count / 8;
        memcpy(tail, rest.in, bytes);
        memset(tail + bytes, 0, TAIL_SLACK);
        last = sums_of_groups(tail, groups, rest.width, rest.least, last, out, is_i64);
        rest.in += groups * rest.width;
        rest.in_bytes -= groups * rest.width;
        rest.count -= groups * 8;
        out += groups * 8 * (is_i64 ? sizeof(int64_t) : sizeof(int32_t));
    }
    return rest.count > 0 ? sums_scalar(&rest, last, out, is_i64) : last;
}

static ALWAYS_INLINE uint64_t sums(const struct delta_packed *packed, uint64_t last, uint8_t *out, bool is_i64) {
    const uint8_t *in = packed->in;
    size_t in_bytes = packed->in_bytes, count = packed->count;
    uint64_t least = packed->least;
    unsigned width = packed->width;
    if (width == 0 || width > BITS_WIDE_MAX || !simd_has_vectors()) return sums_scalar(packed, last, out, is_i64);
    size_t reach = width <= BITS_NARROW_MAX ? bits_narrow_reach(width) : bits_wide_reach(width);
    size_t groups = bits_groups(in_bytes, width, reach, count);
    last = sums_of_groups(in, groups, width, least, last, out, is_i64);
    if (groups * 8 == count) return last;
    struct delta_packed rest = {in + groups * width, in_bytes - groups * width, width, least, count - groups * 8};
    return sums_of_rest(rest, last, out + groups * 8 * (is_i64 ? sizeof(int64_t) : sizeof(int32_t)), is_i64);
}

#else

static ALWAYS_INLINE uint64_t sums(const struct delta_packed *packed, uint64_t last, uint8_t *out, bool is_i64) {
    return sums_scalar(packed, last, out, is_i64);
}

#endif

uint64_t delta_sums_i64(const struct delta_packed *packed, uint64_t last, int64_t *out) {
    return sums(packed, last, (uint8_t *)out, true);
}

uint64_t delta_sums_i32(const struct delta_packed *packed, uint64_t last, int32_t *out) {
    return sums(packed, last, (uint8_t *)out, false);
}

/* ---- Differences ---- */

void delta_block_i64_scalar(const int64_t *values, size_t count, struct delta_block *block) {
    int64_t least = INT64_MAX;
    memset(block, 0, sizeof *block);
    for (size_t i = 0; i < count; i++) {
        uint64_t delta = (uint64_t)values[i] - (uint64_t)values[(ptrdiff_t)i - 1];
        least = (int64_t)delta < least ? (int64_t)delta : least;
        block->deltas[i] = delta;
    }
    for (size_t i = 0; i < count; i++) block->used_bits[i / DELTA_MINIBLOCK] |= block->deltas[i] -= (uint64_t)least;
    block->least = least;
}

/* In 32-bit arithmetic throughout, so that no miniblock is wider than 32 bits. */
void delta_block_i32_scalar(const int32_t *values, size_t count, struct delta_block *block) {
    uint32_t *deltas = (uint32_t *)block->deltas;
    int32_t least = INT32_MAX;
    memset(block, 0, sizeof *block);
    for (size_t i = 0; i < count; i++) {
        uint32_t delta = (uint32_t)values[i] - (uint32_t)values[(ptrdiff_t)i - 1];
        least = (int32_t)delta < least ? (int32_t)delta : least;
        deltas[i] = delta;
    }
    for (size_t i = 0; i < count; i++) block->used_bits[i / DELTA_MINIBLOCK] |= deltas[i] -= (uint32_t)least;
    block->least = least;
}

#if defined(SIMD_ANY)

/* The compiler's own vectors: AVX2, or two of NEON each. */
typedef uint64_t lanes_64 __attribute__((vector_size(32)));
typedef int64_t signed_64 __attribute__((vector_size(32)));
typedef uint32_t lanes_32 __attribute__((vector_size(32)));
typedef int32_t signed_32 __attribute__((vector_size(32)));

/* A whole block: the differences and the least of each lane, then the least of all taken from them. */
SIMD_VECTORS static void whole_block_i64(const int64_t *values, struct delta_block *block) {
    signed_64 least = {INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX};
    for (size_t i = 0; i < DELTA_BLOCK; i += 4) {
        lanes_64 here, before;
        memcpy(&here, values + i, sizeof here);
        memcpy(&before, values + i - 1, sizeof before);
        here -= before;
        memcpy(block->deltas + i, &here, sizeof here);
        signed_64 is_less = (signed_64)here < least;
        least = ((signed_64)here & is_less) | (least & ~is_less);
    }
    int64_t a = least[0] < least[1] ? least[0] : least[1], b = least[2] < least[3] ? least[2] : least[3];
    block->least = a < b ? a : b;
    uint64_t all = (uint64_t)block->least;
    const lanes_64 less = {all, all, all, all};
    for (size_t m = 0; m < DELTA_MINIBLOCKS; m++) {
        lanes_64 used = {0};
        for (size_t i = m * DELTA_MINIBLOCK; i < (m + 1) * DELTA_MINIBLOCK; i += 4) {
            lanes_64 here;
            memcpy(&here, block->deltas + i, sizeof here);
            here -= less;
            used |= here;
            memcpy(block->deltas + i, &here, sizeof here);
        }
        block->used_bits[m] = used[0] | used[1] | used[2] | used[3];
    }
}

SIMD_VECTORS static void whole_block_i32(const int32_t *values, struct delta_block *block) {
    uint32_t *deltas = (uint32_t *)block->deltas;
    signed_32 least = {INT32_MAX, INT32_MAX, INT32_MAX, INT32_MAX, INT32_MAX, INT32_MAX, INT32_MAX, INT32_MAX};
    for (size_t i = 0; i < DELTA_BLOCK; i += 8) {
        lanes_32 here, before;
        memcpy(&here, values + i, sizeof here);
        memcpy(&before, values + i - 1, sizeof before);
        here -= before;
        memcpy(deltas + i, &here, sizeof here);
        signed_32 is_less = (signed_32)here < least;
        least = ((signed_32)here & is_less) | (least & ~is_less);
    }
    int32_t lowest = INT32_MAX;
    for (int k = 0; k < 8; k++) lowest = least[k] < lowest ? least[k] : lowest;
    block->least = lowest;
    uint32_t all = (uint32_t)lowest;
    const lanes_32 less = {all, all, all, all, all, all, all, all};
    for (size_t m = 0; m < DELTA_MINIBLOCKS; m++) {
        lanes_32 used = {0};
        for (size_t i = m * DELTA_MINIBLOCK; i < (m + 1) * DELTA_MINIBLOCK; i += 8) {
            lanes_32 here;
            memcpy(&here, deltas + i, sizeof here);
            here -= less;
            used |= here;
            memcpy(deltas + i, &here, sizeof here);
        }
        uint32_t bits = 0;
        for (int k = 0; k < 8; k++) bits |= used[k];
        block->used_bits[m] = bits;
    }
}

#endif

void delta_block_i64(const int64_t *values, size_t count, struct delta_block *block) {
#if defined(SIMD_ANY)
    if (count == DELTA_BLOCK && simd_has_vectors()) {
        whole_block_i64(values, block);
        return;
    }
#endif
    delta_block_i64_scalar(values, count, block);
}

void delta_block_i32(const int32_t *values, size_t count, struct delta_block *block) {
#if defined(SIMD_ANY)
    if (count == DELTA_BLOCK && simd_has_vectors()) {
        whole_block_i32(values, block);
        return;
    }
#endif
    delta_block_i32_scalar(values, count, block);
}
