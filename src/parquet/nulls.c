/* Values to their slots, and out of them. See nulls.h.
 *
 * The vector code takes a byte of validity: BMI2 spreads its bits to bytes and deposits (or extracts) the numbers 0 to
 * 7 by them, which gives for each slot the rank of its value (or for each value its slot): a permutation for AVX2.
 * For NEON tables have the permutations of four slots. */
#include "parquet/nulls.h"

#include <stdbool.h>
#include <string.h>

#include "base/bytes.h"
#include "base/simd.h"
#include "parquet/bits.h"

/* ---- Scalar: without branches on what is null, for widths with a type of their own ---- */

static void spread_4(uint8_t *values, uint64_t slots, uint64_t count, const uint8_t *validity) {
    for (uint64_t slot = slots, from = count; slot > from;) {
        uint32_t is_there = bitmap_get(validity, --slot);
        from -= is_there;
        store_u32(values + slot * 4, load_u32(values + from * 4) & (0 - is_there));
    }
}

static void spread_8(uint8_t *values, uint64_t slots, uint64_t count, const uint8_t *validity) {
    for (uint64_t slot = slots, from = count; slot > from;) {
        uint64_t is_there = bitmap_get(validity, --slot);
        from -= is_there;
        store_u64(values + slot * 8, load_u64(values + from * 8) & (0 - is_there));
    }
}

/* From the last slot on, in place, until the values in front are in their slots already. */
void nulls_spread_scalar(uint8_t *values, uint64_t slots, uint64_t count, size_t width, const uint8_t *validity) {
    if (width == 4) {
        spread_4(values, slots, count, validity);
    } else if (width == 8) {
        spread_8(values, slots, count, validity);
    } else {
        for (uint64_t slot = slots, from = count; slot > from;) {
            if (bitmap_get(validity, --slot)) {
                from--;
                memmove(values + slot * width, values + from * width, width);
            } else {
                memset(values + slot * width, 0, width);
            }
        }
    }
}

/* Slot i begins where as many values end as there are before it. */
void nulls_spread_offsets_scalar(uint32_t *offsets, uint64_t slots, uint64_t count, const uint8_t *validity) {
    uint64_t from = count;
    for (uint64_t slot = slots; slot > from; slot--) {
        offsets[slot] = offsets[from];
        from -= bitmap_get(validity, slot - 1);
    }
}

/* From slot `slot` on, to which value `from` belongs; `values` is zeros there. */
static void spread_bits_from(const uint8_t *dense, uint64_t from, uint64_t slot, uint64_t slots,
                             const uint8_t *validity, uint8_t *values) {
    for (; slot < slots; slot++)
        if (bitmap_get(validity, slot) && bitmap_get(dense, from++)) bitmap_set(values, slot);
}

void nulls_spread_bits_scalar(const uint8_t *dense, uint64_t slots, const uint8_t *validity, uint8_t *values) {
    memset(values, 0, (size_t)bits_bytes(slots, 1));
    spread_bits_from(dense, 0, 0, slots, validity, values);
}

/* Every value is written, and overwritten by the next when it does not count. */
static inline __attribute__((always_inline)) uint64_t
gather_width(const uint8_t *from, uint64_t slots, size_t width, const uint8_t *validity, uint64_t begin, uint8_t *to) {
    uint64_t count = 0;
    for (uint64_t i = 0; i < slots; i++) {
        memcpy(to + count * width, from + i * width, width);
        count += bitmap_get(validity, begin + i);
    }
    return count;
}

uint64_t nulls_gather_scalar(const uint8_t *from, uint64_t slots, size_t width, const uint8_t *validity, uint64_t begin,
                             uint8_t *to) {
    if (width == 4) return gather_width(from, slots, 4, validity, begin, to);
    if (width == 8) return gather_width(from, slots, 8, validity, begin, to);
    if (width == 16) return gather_width(from, slots, 16, validity, begin, to);
    return gather_width(from, slots, width, validity, begin, to);
}

/* ---- Vectors ---- */

#if defined(__x86_64__)

static const uint64_t EACH_BYTE = UINT64_C(0x0101010101010101), ORDER = UINT64_C(0x0706050403020100);

/* Eight bits to eight bytes of all ones or zeros. */
SIMD_VECTORS static inline uint64_t byte_mask(uint8_t bits) { return _pdep_u64(bits, EACH_BYTE) * 0xff; }

SIMD_VECTORS static inline __m256i load_256(const uint8_t *at) {
    return _mm256_loadu_si256((const __m256i *)(const void *)at);
}
SIMD_VECTORS static inline void store_256(uint8_t *at, __m256i value) {
    _mm256_storeu_si256((__m256i *)(void *)at, value);
}
/* Numbers of 64-bit lanes, one in each of the low four bytes, as those of the 32-bit lanes that make them up. */
SIMD_VECTORS static inline __m256i wide_lanes(uint32_t lanes) {
    __m256i low = _mm256_slli_epi64(_mm256_cvtepu8_epi64(_mm_cvtsi32_si128((int)lanes)), 1);
    return _mm256_add_epi64(_mm256_or_si256(low, _mm256_slli_epi64(low, 32)), _mm256_set1_epi64x(INT64_C(1) << 32));
}

/* Eight slots of 4 bytes from the values that begin at `from`. */
SIMD_VECTORS static inline void spread_group_4(uint8_t *to, const uint8_t *from, uint64_t mask) {
    __m256i lanes = _mm256_cvtepu8_epi32(_mm_cvtsi64_si128((int64_t)_pdep_u64(ORDER, mask)));
    __m256i is_there = _mm256_cvtepi8_epi32(_mm_cvtsi64_si128((int64_t)mask));
    store_256(to, _mm256_and_si256(_mm256_permutevar8x32_epi32(load_256(from), lanes), is_there));
}

/* Four slots of 8 bytes. */
SIMD_VECTORS static inline void spread_group_8(uint8_t *to, const uint8_t *from, uint32_t mask) {
    __m256i lanes = wide_lanes((uint32_t)_pdep_u64(ORDER, mask));
    __m256i is_there = _mm256_cvtepi8_epi64(_mm_cvtsi32_si128((int)mask));
    store_256(to, _mm256_and_si256(_mm256_permutevar8x32_epi32(load_256(from), lanes), is_there));
}

/* Whole groups of eight slots, from the last one on. A group is loaded before it is stored, and what is stored lies
 * behind all values that are still to be moved. */
SIMD_VECTORS static void spread_groups(uint8_t *values, uint64_t slots, uint64_t count, size_t width,
                                       const uint8_t *validity) {
    for (uint64_t slot = slots, from = count; slot > from;) {
        slot -= 8;
        uint8_t bits = validity[slot >> 3];
        uint64_t mask = byte_mask(bits);
        from -= (uint64_t)__builtin_popcount(bits);
        if (width == 4) {
            spread_group_4(values + slot * 4, values + from * 4, mask);
        } else {
            uint64_t in_low = (uint64_t)__builtin_popcount(bits & 15);
            spread_group_8(values + (slot + 4) * 8, values + (from + in_low) * 8, (uint32_t)(mask >> 32));
            spread_group_8(values + slot * 8, values + from * 8, (uint32_t)mask);
        }
    }
}

SIMD_VECTORS static uint64_t gather_groups(const uint8_t *from, uint64_t groups, size_t width, const uint8_t *validity,
                                           unsigned shift, uint8_t *to) {
    uint64_t count = 0;
    for (uint64_t i = 0; i < groups; i++) {
        uint8_t bits = shift ? (uint8_t)(validity[i] >> shift | validity[i + 1] << (8 - shift)) : validity[i];
        uint64_t mask = byte_mask(bits), low = mask & UINT32_MAX;
        if (width == 4) {
            __m256i lanes = _mm256_cvtepu8_epi32(_mm_cvtsi64_si128((int64_t)_pext_u64(ORDER, mask)));
            store_256(to + count * 4, _mm256_permutevar8x32_epi32(load_256(from + i * 32), lanes));
            count += (uint64_t)__builtin_popcount(bits);
            continue;
        }
        store_256(to + count * 8,
                  _mm256_permutevar8x32_epi32(load_256(from + i * 64), wide_lanes((uint32_t)_pext_u64(ORDER, low))));
        count += (uint64_t)__builtin_popcount(bits & 15);
        store_256(to + count * 8, _mm256_permutevar8x32_epi32(load_256(from + i * 64 + 32),
                                                              wide_lanes((uint32_t)_pext_u64(ORDER, mask >> 32))));
        count += (uint64_t)__builtin_popcount(bits >> 4);
    }
    return count;
}

/* Whole groups of eight slots, from the last one on. */
SIMD_VECTORS static void spread_offset_groups(uint32_t *offsets, uint64_t slots, uint64_t count,
                                              const uint8_t *validity) {
    for (uint64_t slot = slots, from = count; slot > from;) {
        slot -= 8;
        uint8_t bits = validity[slot >> 3];
        uint64_t before = _pdep_u64(bits, EACH_BYTE) * EACH_BYTE << 8; /* a byte a slot: the values before it */
        from -= (uint64_t)__builtin_popcount(bits);
        __m256i lanes = _mm256_cvtepu8_epi32(_mm_cvtsi64_si128((int64_t)before));
        __m256i dense = load_256((const uint8_t *)(offsets + from));
        store_256((uint8_t *)(offsets + slot), _mm256_permutevar8x32_epi32(dense, lanes));
    }
}

/* `count` (up to 64) bits from bit `at` on; no byte behind them is read. */
static inline uint64_t load_bits(const uint8_t *bitmap, uint64_t at, unsigned count) {
    const uint8_t *first = bitmap + (at >> 3);
    unsigned shift = (unsigned)(at & 7);
    if (shift + count > 64) return load_u64(first) >> shift | (uint64_t)first[8] << (64 - shift);
    uint64_t low = 0;
    if (shift + count > 56)
        low = load_u64(first);
    else
        memcpy(&low, first, (shift + count + 7) / 8);
    return low >> shift;
}

/* Whole words; returns how many slots. */
SIMD_VECTORS static uint64_t spread_bit_words(const uint8_t *dense, uint64_t slots, const uint8_t *validity,
                                              uint8_t *values) {
    uint64_t from = 0, slot = 0;
    for (; slots - slot >= 64; slot += 64) {
        uint64_t there = load_u64(validity + (slot >> 3));
        unsigned count = (unsigned)__builtin_popcountll(there);
        store_u64(values + (slot >> 3), _pdep_u64(load_bits(dense, from, count), there));
        from += count;
    }
    return slot;
}

#elif defined(__aarch64__)

/* Of four slots with the validity `b`: how many values are before slot i, as the bytes of that value in a vector. */
#define BEFORE(b, i) (((b)&1 & (i > 0)) + ((b) >> 1 & 1 & (i > 1)) + ((b) >> 2 & 1 & (i > 2)))
#define BYTES_OF(rank) (0x03020100u + 0x04040404u * (uint32_t)(rank))
#define RANKED(b)                                                                                                      \
    { BYTES_OF(BEFORE(b, 0)), BYTES_OF(BEFORE(b, 1)), BYTES_OF(BEFORE(b, 2)), BYTES_OF(BEFORE(b, 3)) }
/* What a null gets: a number beyond the vector gives zero. */
#define SLOT_OF(b, i) ((b) >> (i)&1 ? BYTES_OF(BEFORE(b, i)) : UINT32_MAX)
#define SPREAD(b)                                                                                                      \
    { SLOT_OF(b, 0), SLOT_OF(b, 1), SLOT_OF(b, 2), SLOT_OF(b, 3) }
#define ALL(row)                                                                                                       \
    row(0), row(1), row(2), row(3), row(4), row(5), row(6), row(7), row(8), row(9), row(10), row(11), row(12),         \
        row(13), row(14), row(15)

static const uint32_t ranked[16][4] = {ALL(RANKED)};
static const uint32_t spread[16][4] = {ALL(SPREAD)};
static const uint64_t spread_wide[4][2] = {{UINT64_MAX, UINT64_MAX},
                                           {0x0706050403020100, UINT64_MAX},
                                           {UINT64_MAX, 0x0706050403020100},
                                           {0x0706050403020100, 0x0f0e0d0c0b0a0908}};

static inline void permute(uint8_t *to, const uint8_t *from, const void *by) {
    vst1q_u8(to, vqtbl1q_u8(vld1q_u8(from), vld1q_u8(by)));
}

static void spread_groups(uint8_t *values, uint64_t slots, uint64_t count, size_t width, const uint8_t *validity) {
    for (uint64_t slot = slots, from = count; slot > from;) {
        slot -= 8;
        unsigned bits = validity[slot >> 3], step = width == 4 ? 4 : 2;
        from -= (uint64_t)__builtin_popcount(bits);
        for (unsigned i = 8; i > 0;) {
            i -= step;
            unsigned here = bits >> i & ((1u << step) - 1);
            uint64_t before = (uint64_t)__builtin_popcount(bits & ((1u << i) - 1));
            permute(values + (slot + i) * width, values + (from + before) * width,
                    width == 4 ? (const void *)spread[here] : (const void *)spread_wide[here]);
        }
    }
}

static uint64_t gather_groups(const uint8_t *from, uint64_t groups, size_t width, const uint8_t *validity,
                              unsigned shift, uint8_t *to) {
    return nulls_gather_scalar(from, groups * 8, width, validity, shift, to);
}

static void spread_offset_groups(uint32_t *offsets, uint64_t slots, uint64_t count, const uint8_t *validity) {
    for (uint64_t slot = slots, from = count; slot > from;) {
        slot -= 8;
        unsigned bits = validity[slot >> 3], low = bits & 15;
        from -= (uint64_t)__builtin_popcount(bits);
        uint32_t *dense = offsets + from;
        permute((uint8_t *)(offsets + slot + 4), (uint8_t *)(dense + __builtin_popcount(low)), ranked[bits >> 4]);
        permute((uint8_t *)(offsets + slot), (uint8_t *)dense, ranked[low]);
    }
}

static uint64_t spread_bit_words(const uint8_t *dense, uint64_t slots, const uint8_t *validity, uint8_t *values) {
    (void)dense, (void)slots, (void)validity, (void)values;
    return 0; /* no instruction for it */
}

#endif

#if defined(SIMD_ANY)

static bool machine_can(size_t width) { return (width == 4 || width == 8) && simd_has_vectors(); }

void nulls_spread(uint8_t *values, uint64_t slots, uint64_t count, size_t width, const uint8_t *validity) {
    if (!machine_can(width)) {
        nulls_spread_scalar(values, slots, count, width, validity);
        return;
    }
    uint64_t whole = slots & ~UINT64_C(7), in_last = bits_count(validity, whole, slots - whole), from = count;
    for (uint64_t slot = slots; slot > whole;) {
        bool is_there = bitmap_get(validity, --slot);
        from -= is_there;
        if (is_there)
            memmove(values + slot * width, values + from * width, width);
        else
            memset(values + slot * width, 0, width);
    }
    spread_groups(values, whole, count - in_last, width, validity);
}

uint64_t nulls_gather(const uint8_t *from, uint64_t slots, size_t width, const uint8_t *validity, uint64_t begin,
                      uint8_t *to) {
    if (!machine_can(width)) return nulls_gather_scalar(from, slots, width, validity, begin, to);
    uint64_t groups = slots / 8, whole = groups * 8;
    uint64_t count = gather_groups(from, groups, width, validity + (begin >> 3), (unsigned)(begin & 7), to);
    return count +
           nulls_gather_scalar(from + whole * width, slots - whole, width, validity, begin + whole, to + count * width);
}

void nulls_spread_offsets(uint32_t *offsets, uint64_t slots, uint64_t count, const uint8_t *validity) {
    if (!machine_can(sizeof *offsets)) {
        nulls_spread_offsets_scalar(offsets, slots, count, validity);
        return;
    }
    uint64_t whole = slots & ~UINT64_C(7), from = count;
    for (uint64_t slot = slots; slot > whole; slot--) {
        offsets[slot] = offsets[from];
        from -= bitmap_get(validity, slot - 1);
    }
    offsets[whole] = offsets[from];
    spread_offset_groups(offsets, whole, from, validity);
}

void nulls_spread_bits(const uint8_t *dense, uint64_t slots, const uint8_t *validity, uint8_t *values) {
    memset(values, 0, (size_t)bits_bytes(slots, 1));
    uint64_t slot = simd_has_vectors() ? spread_bit_words(dense, slots, validity, values) : 0;
    spread_bits_from(dense, bits_count(validity, 0, slot), slot, slots, validity, values);
}

#else

void nulls_spread(uint8_t *values, uint64_t slots, uint64_t count, size_t width, const uint8_t *validity) {
    nulls_spread_scalar(values, slots, count, width, validity);
}
uint64_t nulls_gather(const uint8_t *from, uint64_t slots, size_t width, const uint8_t *validity, uint64_t begin,
                      uint8_t *to) {
    return nulls_gather_scalar(from, slots, width, validity, begin, to);
}
void nulls_spread_offsets(uint32_t *offsets, uint64_t slots, uint64_t count, const uint8_t *validity) {
    nulls_spread_offsets_scalar(offsets, slots, count, validity);
}
void nulls_spread_bits(const uint8_t *dense, uint64_t slots, const uint8_t *validity, uint8_t *values) {
    nulls_spread_bits_scalar(dense, slots, validity, values);
}

#endif
