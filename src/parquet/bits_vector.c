/* Bit unpacking and packing with vectors. See bits_vector.h.
 *
 * Packing: two values side by side become one of twice the bits in a lane of twice the size, twice over; what is left
 * are two lanes of four values each, which are stored one behind the other. */
#include "parquet/bits_vector.h"

#include "base/bytes.h"
#include "parquet/bits.h"

/* Value i of a group of width w begins at this bit of the 16 bytes that are loaded for its half. */
#define BIT(w, i) ((i) / 4 * (4 * (w) % 8) + (i) % 4 * (w))
#define SHUFFLE(w, i) (BIT(w, i) / 8 * 0x01010101u + 0x03020100u)
#define SHIFT(w, i) (BIT(w, i) % 8u)
#define EIGHT(each, w) each(w, 0), each(w, 1), each(w, 2), each(w, 3), each(w, 4), each(w, 5), each(w, 6), each(w, 7)
#define ROW(w)                                                                                                         \
    { EIGHT(SHUFFLE, w), EIGHT(SHIFT, w) }

const uint32_t bits_narrow_table[BITS_NARROW_MAX + 1][16] = {
    ROW(0),  ROW(1),  ROW(2),  ROW(3),  ROW(4),  ROW(5),  ROW(6),  ROW(7),  ROW(8),
    ROW(9),  ROW(10), ROW(11), ROW(12), ROW(13), ROW(14), ROW(15), ROW(16), ROW(17),
    ROW(18), ROW(19), ROW(20), ROW(21), ROW(22), ROW(23), ROW(24), ROW(25)};

#if defined(__x86_64__)

SIMD_VECTORS static inline void store_256(void *at, __m256i value) { _mm256_storeu_si256(at, value); }
SIMD_VECTORS static inline __m256i load_256(const void *at) { return _mm256_loadu_si256(at); }

SIMD_VECTORS static void unpack_narrow(const uint8_t *in, size_t groups, unsigned width, uint32_t *out) {
    const struct bits_narrow narrow = bits_narrow_of(width);
    for (size_t i = 0; i < groups; i++, in += width, out += 8) store_256(out, bits_narrow_unpack(&narrow, in));
}

SIMD_VECTORS static void unpack_wide(const uint8_t *in, size_t groups, unsigned width, uint32_t *out) {
    const struct bits_wide wide = bits_wide_of(width);
    for (size_t i = 0; i < groups; i++, in += width, out += 8)
        store_256(out, bits_low_32(bits_wide_unpack(&wide, in, 0), bits_wide_unpack(&wide, in, 1)));
}

SIMD_VECTORS static void unpack_u64(const uint8_t *in, size_t groups, unsigned width, uint64_t *out) {
    const struct bits_wide wide = bits_wide_of(width);
    for (size_t i = 0; i < groups; i++, in += width, out += 8) {
        store_256(out, bits_wide_unpack(&wide, in, 0));
        store_256(out + 4, bits_wide_unpack(&wide, in, 1));
    }
}

/* Eight values of up to 16 bits in lanes of 32 bits. */
SIMD_VECTORS static inline void pack_group(__m256i values, unsigned width, uint8_t *out) {
    const __m128i by_one = _mm_cvtsi32_si128((int)width), by_two = _mm_cvtsi32_si128(2 * (int)width);
    __m256i odd = _mm256_sll_epi64(_mm256_srli_epi64(values, 32), by_one);
    __m256i twos = _mm256_or_si256(_mm256_and_si256(values, _mm256_set1_epi64x(UINT32_MAX)), odd);
    __m256i fours = _mm256_or_si256(twos, _mm256_sll_epi64(_mm256_bsrli_epi128(twos, 8), by_two));
    uint64_t low = (uint64_t)_mm256_extract_epi64(fours, 0), high = (uint64_t)_mm256_extract_epi64(fours, 2);
    /* Half of the group is width / 2 bytes: of an odd width the two halves share a byte. */
    unsigned shared = 4 * width % 8;
    store_u64(out, low);
    if (shared) high = high << shared | (low >> (4 * width - shared) & 0xf);
    store_u64(out + width / 2, high);
}

SIMD_VECTORS static void pack_u32(const uint32_t *in, size_t groups, unsigned width, uint8_t *out) {
    for (size_t i = 0; i < groups; i++, in += 8, out += width) pack_group(load_256(in), width, out);
}

SIMD_VECTORS static void pack_u64(const uint64_t *in, size_t groups, unsigned width, uint8_t *out) {
    for (size_t i = 0; i < groups; i++, in += 8, out += width)
        pack_group(bits_low_32(load_256(in), load_256(in + 4)), width, out);
}

SIMD_VECTORS static uint32_t max_u32(const uint32_t *values, size_t count) {
    __m256i a = load_256(values), b = load_256(values + count - 8);
    for (size_t i = 8; i + 8 <= count; i += 8) a = _mm256_max_epu32(a, load_256(values + i));
    a = _mm256_max_epu32(a, b);
    __m128i four = _mm_max_epu32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
    four = _mm_max_epu32(four, _mm_shuffle_epi32(four, 0x4e));
    four = _mm_max_epu32(four, _mm_shuffle_epi32(four, 0xb1));
    return (uint32_t)_mm_cvtsi128_si32(four);
}

/* A multiple of 8; see encoding_delta_sums.c for how. */
SIMD_VECTORS static size_t sums_u32(uint32_t *values, size_t count) {
    size_t i = 0;
    __m256i carry = _mm256_setzero_si256();
    for (; count - i >= 8; i += 8) {
        __m256i sums = bits_sums_in_vector(load_256(values + i));
        store_256(values + i, _mm256_add_epi32(sums, carry));
        carry = _mm256_add_epi32(carry, _mm256_permutevar8x32_epi32(sums, _mm256_set1_epi32(7)));
    }
    return i;
}

/* A multiple of 32 bytes. */
SIMD_VECTORS static uint64_t equal_u8(const uint8_t *bytes, uint64_t count, uint8_t value, uint8_t *bitmap) {
    const __m256i wanted = _mm256_set1_epi8((char)value);
    uint64_t i = 0;
    for (; count - i >= 32; i += 32)
        store_u32(bitmap + i / 8, (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(load_256(bytes + i), wanted)));
    return i;
}

#elif defined(__aarch64__)

static void unpack_narrow(const uint8_t *in, size_t groups, unsigned width, uint32_t *out) {
    const struct bits_narrow narrow = bits_narrow_of(width);
    for (size_t i = 0; i < groups; i++, in += width, out += 8) {
        vst1q_u32(out, bits_narrow_unpack(&narrow, in, 0));
        vst1q_u32(out + 4, bits_narrow_unpack(&narrow, in, 1));
    }
}

static void unpack_wide(const uint8_t *in, size_t groups, unsigned width, uint32_t *out) {
    const struct bits_wide wide = bits_wide_of(width);
    for (size_t i = 0; i < groups; i++, in += width, out += 8)
        for (int k = 0; k < 4; k++) vst1_u32(out + 2 * k, vmovn_u64(bits_wide_unpack(&wide, in, k)));
}

static void unpack_u64(const uint8_t *in, size_t groups, unsigned width, uint64_t *out) {
    const struct bits_wide wide = bits_wide_of(width);
    for (size_t i = 0; i < groups; i++, in += width, out += 8)
        for (int k = 0; k < 4; k++) vst1q_u64(out + 2 * k, bits_wide_unpack(&wide, in, k));
}

/* Eight values of up to 16 bits, the odd ones shifted over the even ones, in lanes of 64 bits. */
static inline void pack_group(uint32x4_t first, uint32x4_t second, unsigned width, uint8_t *out) {
    uint64x2_t a = vreinterpretq_u64_u32(first), b = vreinterpretq_u64_u32(second);
    const int64x2_t by_one = vdupq_n_s64((int64_t)width);
    const uint64x2_t low_32 = vdupq_n_u64(UINT32_MAX);
    a = vorrq_u64(vandq_u64(a, low_32), vshlq_u64(vshrq_n_u64(a, 32), by_one));
    b = vorrq_u64(vandq_u64(b, low_32), vshlq_u64(vshrq_n_u64(b, 32), by_one));
    uint64_t low = vgetq_lane_u64(a, 0) | vgetq_lane_u64(a, 1) << 2 * width;
    uint64_t high = vgetq_lane_u64(b, 0) | vgetq_lane_u64(b, 1) << 2 * width;
    unsigned shared = 4 * width % 8;
    store_u64(out, low);
    if (shared) high = high << shared | (low >> (4 * width - shared) & 0xf);
    store_u64(out + width / 2, high);
}

static void pack_u32(const uint32_t *in, size_t groups, unsigned width, uint8_t *out) {
    for (size_t i = 0; i < groups; i++, in += 8, out += width) pack_group(vld1q_u32(in), vld1q_u32(in + 4), width, out);
}

static void pack_u64(const uint64_t *in, size_t groups, unsigned width, uint8_t *out) {
    for (size_t i = 0; i < groups; i++, in += 8, out += width)
        pack_group(vcombine_u32(vmovn_u64(vld1q_u64(in)), vmovn_u64(vld1q_u64(in + 2))),
                   vcombine_u32(vmovn_u64(vld1q_u64(in + 4)), vmovn_u64(vld1q_u64(in + 6))), width, out);
}

static uint32_t max_u32(const uint32_t *values, size_t count) {
    uint32x4_t a = vld1q_u32(values), b = vld1q_u32(values + count - 4);
    for (size_t i = 4; i + 4 <= count; i += 4) a = vmaxq_u32(a, vld1q_u32(values + i));
    return vmaxvq_u32(vmaxq_u32(a, b));
}

/* A multiple of 4. */
static size_t sums_u32(uint32_t *values, size_t count) {
    size_t i = 0;
    const uint32x4_t zero = vdupq_n_u32(0);
    uint32x4_t carry = zero;
    for (; count - i >= 4; i += 4) {
        uint32x4_t sums = vld1q_u32(values + i);
        sums = vaddq_u32(sums, vextq_u32(zero, sums, 3));
        sums = vaddq_u32(vaddq_u32(sums, vextq_u32(zero, sums, 2)), carry);
        vst1q_u32(values + i, sums);
        carry = vdupq_laneq_u32(sums, 3);
    }
    return i;
}

/* A multiple of 16 bytes: each gives the bit of its place, and three times neighbours are added. */
static uint64_t equal_u8(const uint8_t *bytes, uint64_t count, uint8_t value, uint8_t *bitmap) {
    static const uint8_t places[16] = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
    const uint8x16_t wanted = vdupq_n_u8(value), place = vld1q_u8(places);
    uint64_t i = 0;
    for (; count - i >= 16; i += 16) {
        uint8x16_t bits = vandq_u8(vceqq_u8(vld1q_u8(bytes + i), wanted), place);
        for (int k = 0; k < 3; k++) bits = vpaddq_u8(bits, bits);
        store_u16(bitmap + i / 8, vgetq_lane_u16(vreinterpretq_u16_u8(bits), 0));
    }
    return i;
}

#endif

enum { PACK_WIDTH_MAX = 16 };

#if defined(SIMD_ANY)

size_t bits_vector_unpack_u32(const uint8_t *in, size_t in_bytes, unsigned width, size_t count, uint32_t *out) {
    bool is_narrow = width <= BITS_NARROW_MAX;
    if (count < 8 || !simd_has_vectors()) return 0;
    size_t reach = is_narrow ? bits_narrow_reach(width) : bits_wide_reach(width);
    size_t groups = bits_groups(in_bytes, width, reach, count);
    if (is_narrow)
        unpack_narrow(in, groups, width, out);
    else
        unpack_wide(in, groups, width, out);
    return groups * 8;
}

size_t bits_vector_unpack_u64(const uint8_t *in, size_t in_bytes, unsigned width, size_t count, uint64_t *out) {
    if (count < 8 || width > BITS_WIDE_MAX || !simd_has_vectors()) return 0;
    size_t groups = bits_groups(in_bytes, width, bits_wide_reach(width), count);
    unpack_u64(in, groups, width, out);
    return groups * 8;
}

size_t bits_vector_pack_u32(const uint32_t *in, size_t count, unsigned width, uint8_t *out) {
    if (width == 0 || width > PACK_WIDTH_MAX || !simd_has_vectors()) return 0;
    pack_u32(in, count / 8, width, out);
    return count / 8 * 8;
}

size_t bits_vector_pack_u64(const uint64_t *in, size_t count, unsigned width, uint8_t *out) {
    if (width == 0 || width > PACK_WIDTH_MAX || !simd_has_vectors()) return 0;
    pack_u64(in, count / 8, width, out);
    return count / 8 * 8;
}

#else

size_t bits_vector_unpack_u32(const uint8_t *in, size_t in_bytes, unsigned width, size_t count, uint32_t *out) {
    (void)in, (void)in_bytes, (void)width, (void)count, (void)out;
    return 0;
}
size_t bits_vector_unpack_u64(const uint8_t *in, size_t in_bytes, unsigned width, size_t count, uint64_t *out) {
    (void)in, (void)in_bytes, (void)width, (void)count, (void)out;
    return 0;
}
size_t bits_vector_pack_u32(const uint32_t *in, size_t count, unsigned width, uint8_t *out) {
    (void)in, (void)count, (void)width, (void)out;
    return 0;
}
size_t bits_vector_pack_u64(const uint64_t *in, size_t count, unsigned width, uint8_t *out) {
    (void)in, (void)count, (void)width, (void)out;
    return 0;
}

#endif

uint32_t bits_max_u32_scalar(const uint32_t *values, size_t count) {
    uint32_t highest = 0;
    for (size_t i = 0; i < count; i++) highest = values[i] > highest ? values[i] : highest;
    return highest;
}

uint32_t bits_max_u32(const uint32_t *values, size_t count) {
#if defined(SIMD_ANY)
    if (count >= 8 && simd_has_vectors()) return max_u32(values, count);
#endif
    return bits_max_u32_scalar(values, count);
}

static uint32_t sums_from(uint32_t *values, size_t begin, size_t count) {
    uint32_t sum = begin > 0 ? values[begin - 1] : 0;
    for (size_t i = begin; i < count; i++) values[i] = sum += values[i];
    return sum;
}

uint32_t bits_sums_u32_scalar(uint32_t *values, size_t count) { return sums_from(values, 0, count); }

uint32_t bits_sums_u32(uint32_t *values, size_t count) {
    size_t done = 0;
#if defined(SIMD_ANY)
    if (simd_has_vectors()) done = sums_u32(values, count);
#endif
    return sums_from(values, done, count);
}

/* Eight at a time: the bytes that differ from `value` by nothing, gathered into one byte. */
static uint8_t equal_in_word(uint64_t bytes, uint64_t value_in_all) {
    const uint64_t low = UINT64_C(0x7f7f7f7f7f7f7f7f);
    uint64_t differs = bytes ^ value_in_all;
    uint64_t equals = ~(((differs & low) + low) | differs | low) >> 7;
    return (uint8_t)(equals * UINT64_C(0x0102040810204080) >> 56);
}

void bits_equal_u8_scalar(const uint8_t *bytes, uint64_t count, uint8_t value, uint8_t *bitmap) {
    uint64_t all = value * UINT64_C(0x0101010101010101), i = 0;
    for (; count - i >= 8; i += 8) bitmap[i >> 3] = equal_in_word(load_u64(bytes + i), all);
    if (i == count) return;
    uint8_t last = 0;
    for (uint64_t k = i; k < count; k++) last |= (uint8_t)((bytes[k] == value) << (k - i));
    bitmap[i >> 3] = last;
}

void bits_equal_u8(const uint8_t *bytes, uint64_t count, uint8_t value, uint8_t *bitmap) {
    uint64_t done = 0;
#if defined(SIMD_ANY)
    if (simd_has_vectors()) done = equal_u8(bytes, count, value, bitmap);
#endif
    bits_equal_u8_scalar(bytes + done, count - done, value, bitmap + done / 8);
}
