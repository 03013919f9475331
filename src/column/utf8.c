/* UTF-8 as RFC 3629 has it: no overlong forms, no surrogates, nothing above U+10FFFF.
 *
 * With vectors after Keiser and Lemire, "Validating UTF-8 in less than one instruction per byte", Software: Practice
 * and Experience 51 (2021). Every wrong pair of neighbours shows in 12 bits: the first byte and the high half of the
 * second. Three tables, looked up by the three halves, give the kinds of error that each half leaves possible; what all
 * three have in common is wrong. That a byte is the third or fourth of its sequence shows two and three bytes before
 * it; there, and only there, two continuations may stand side by side. Which byte is wrong is left to the scalar code.
 */
#include "column/utf8.h"

#include "base/simd.h"

static const uint64_t HIGH_BITS = UINT64_C(0x8080808080808080);

/* Bytes of the sequence that starts here, 0 when it is not valid. */
static size_t sequence_size(const uint8_t *at, size_t left) {
    uint8_t lead = at[0];
    if (lead < 0x80) return 1;
    if (lead < 0xC2 || left < 2) return 0;
    if (lead < 0xE0) return (at[1] & 0xC0) == 0x80 ? 2 : 0;
    if (lead < 0xF0) {
        if (left < 3 || (at[1] & 0xC0) != 0x80 || (at[2] & 0xC0) != 0x80) return 0;
        if (lead == 0xE0 && at[1] < 0xA0) return 0;  /* overlong */
        if (lead == 0xED && at[1] >= 0xA0) return 0; /* surrogate */
        return 3;
    }
    if (lead > 0xF4 || left < 4) return 0;
    if ((at[1] & 0xC0) != 0x80 || (at[2] & 0xC0) != 0x80 || (at[3] & 0xC0) != 0x80) return 0;
    if (lead == 0xF0 && at[1] < 0x90) return 0;
    if (lead == 0xF4 && at[1] >= 0x90) return 0;
    return 4;
}

/* From offset `i` on, where a sequence begins. */
static size_t find_invalid_from(struct slice text, size_t i) {
    while (i < text.size) {
        const uint8_t *at = text.data + i;
        size_t left = text.size - i;
        if (left >= 32 && !((load_u64(at) | load_u64(at + 8) | load_u64(at + 16) | load_u64(at + 24)) & HIGH_BITS)) {
            i += 32;
        } else if (left >= 8 && !(load_u64(at) & HIGH_BITS)) {
            i += 8;
        } else {
            /* To the end of these eight bytes one sequence at a time, then words again. */
            size_t stop = left < 8 ? text.size : i + 8;
            while (i < stop) {
                size_t size = sequence_size(text.data + i, text.size - i);
                if (!size) return i;
                i += size;
            }
        }
    }
    return SIZE_MAX;
}

size_t utf8_find_invalid_scalar(struct slice text) { return find_invalid_from(text, 0); }

#if defined(SIMD_ANY)

/* Kinds of error in two neighbours. */
enum {
    TOO_SHORT = 1 << 0,      /* a lead, then no continuation */
    TOO_LONG = 1 << 1,       /* ASCII, then a continuation */
    OVERLONG_3 = 1 << 2,     /* E0, then below A0 */
    TOO_LARGE = 1 << 3,      /* F4 and more, then 90 and more */
    SURROGATE = 1 << 4,      /* ED, then A0 and more */
    OVERLONG_2 = 1 << 5,     /* C0, C1 */
    TOO_LARGE_1000 = 1 << 6, /* F5 and more, then below 90 */
    OVERLONG_4 = 1 << 6,     /* F0, then below 90 */
    CONTINUATIONS = 1 << 7,  /* two of them: right where a third or fourth byte belongs */
    ANY_LOW = TOO_SHORT | TOO_LONG | CONTINUATIONS,
    ANY_LARGE = ANY_LOW | TOO_LARGE | TOO_LARGE_1000,
    ANY_CONTINUATION = TOO_LONG | OVERLONG_2 | CONTINUATIONS,
};

static const uint8_t by_first_high[16] = {TOO_LONG,
                                          TOO_LONG,
                                          TOO_LONG,
                                          TOO_LONG,
                                          TOO_LONG,
                                          TOO_LONG,
                                          TOO_LONG,
                                          TOO_LONG,
                                          CONTINUATIONS,
                                          CONTINUATIONS,
                                          CONTINUATIONS,
                                          CONTINUATIONS,
                                          TOO_SHORT | OVERLONG_2,
                                          TOO_SHORT,
                                          TOO_SHORT | OVERLONG_3 | SURROGATE,
                                          TOO_SHORT | TOO_LARGE | TOO_LARGE_1000 | OVERLONG_4};
static const uint8_t by_first_low[16] = {ANY_LOW | OVERLONG_2 | OVERLONG_3 | OVERLONG_4,
                                         ANY_LOW | OVERLONG_2,
                                         ANY_LOW,
                                         ANY_LOW,
                                         ANY_LOW | TOO_LARGE,
                                         ANY_LARGE,
                                         ANY_LARGE,
                                         ANY_LARGE,
                                         ANY_LARGE,
                                         ANY_LARGE,
                                         ANY_LARGE,
                                         ANY_LARGE,
                                         ANY_LARGE,
                                         ANY_LARGE | SURROGATE,
                                         ANY_LARGE,
                                         ANY_LARGE};
static const uint8_t by_second_high[16] = {TOO_SHORT,
                                           TOO_SHORT,
                                           TOO_SHORT,
                                           TOO_SHORT,
                                           TOO_SHORT,
                                           TOO_SHORT,
                                           TOO_SHORT,
                                           TOO_SHORT,
                                           ANY_CONTINUATION | OVERLONG_3 | TOO_LARGE_1000 | OVERLONG_4,
                                           ANY_CONTINUATION | OVERLONG_3 | TOO_LARGE,
                                           ANY_CONTINUATION | SURROGATE | TOO_LARGE,
                                           ANY_CONTINUATION | SURROGATE | TOO_LARGE,
                                           TOO_SHORT,
                                           TOO_SHORT,
                                           TOO_SHORT,
                                           TOO_SHORT};

/* Where the sequence begins that goes on at `i`; all before `i` is right but for its end. */
static size_t sequence_begin(struct slice text, size_t i) {
    for (size_t back = 1; back <= 3 && back <= i; back++) {
        uint8_t byte = text.data[i - back];
        if (byte >= 0xC0) return i - back;
        if (byte < 0x80) break;
    }
    return i;
}

#if defined(__x86_64__)

enum { BLOCK = 32 };

SIMD_VECTORS static inline __m256i load_block(const uint8_t *at) {
    return _mm256_loadu_si256((const __m256i *)(const void *)at);
}
SIMD_VECTORS static inline __m256i load_table(const uint8_t table[16]) {
    return _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)table));
}
SIMD_VECTORS static inline __m256i high_half(__m256i bytes) {
    return _mm256_and_si256(_mm256_srli_epi16(bytes, 4), _mm256_set1_epi8(15));
}

/* Not 0 where something is wrong. */
SIMD_VECTORS static inline __m256i block_errors(__m256i bytes, __m256i before) {
    __m256i joint = _mm256_permute2x128_si256(before, bytes, 0x21);
    __m256i last = _mm256_alignr_epi8(bytes, joint, 15);
    __m256i kinds =
        _mm256_and_si256(_mm256_shuffle_epi8(load_table(by_first_high), high_half(last)),
                         _mm256_shuffle_epi8(load_table(by_first_low), _mm256_and_si256(last, _mm256_set1_epi8(15))));
    kinds = _mm256_and_si256(kinds, _mm256_shuffle_epi8(load_table(by_second_high), high_half(bytes)));
    /* 80 and more where the byte two before is at least E0, or the one three before at least F0 */
    __m256i third = _mm256_subs_epu8(_mm256_alignr_epi8(bytes, joint, 14), _mm256_set1_epi8(0xE0 - 0x80));
    __m256i fourth = _mm256_subs_epu8(_mm256_alignr_epi8(bytes, joint, 13), _mm256_set1_epi8((char)(0xF0 - 0x80)));
    __m256i belongs = _mm256_and_si256(_mm256_or_si256(third, fourth), _mm256_set1_epi8((char)0x80));
    return _mm256_xor_si256(kinds, belongs);
}

/* How many bytes at the front are ASCII, in whole blocks. */
SIMD_VECTORS static size_t count_ascii(const uint8_t *at, size_t size) {
    size_t i = 0;
    for (; size - i >= 4 * BLOCK; i += 4 * BLOCK) {
        __m256i all = _mm256_or_si256(_mm256_or_si256(load_block(at + i), load_block(at + i + BLOCK)),
                                      _mm256_or_si256(load_block(at + i + 2 * BLOCK), load_block(at + i + 3 * BLOCK)));
        if (_mm256_movemask_epi8(all)) break;
    }
    while (size - i >= BLOCK && !_mm256_movemask_epi8(load_block(at + i))) i += BLOCK;
    return i;
}

SIMD_VECTORS static size_t find_invalid_block(struct slice text) {
    size_t i = count_ascii(text.data, text.size);
    __m256i before = _mm256_setzero_si256();
    while (text.size - i >= BLOCK) {
        __m256i bytes = load_block(text.data + i), errors = block_errors(bytes, before);
        if (!_mm256_testz_si256(errors, errors)) break;
        before = bytes;
        i += BLOCK;
        if (!_mm256_movemask_epi8(bytes)) { /* then all of it was right, and nothing goes on behind it */
            i += count_ascii(text.data + i, text.size - i);
            before = _mm256_setzero_si256();
        }
    }
    return i;
}

#else

enum { BLOCK = 16 };

static inline uint8x16_t block_errors(uint8x16_t bytes, uint8x16_t before) {
    const uint8x16_t low_half = vdupq_n_u8(15);
    uint8x16_t last = vextq_u8(before, bytes, 15);
    uint8x16_t kinds = vandq_u8(vqtbl1q_u8(vld1q_u8(by_first_high), vshrq_n_u8(last, 4)),
                                vqtbl1q_u8(vld1q_u8(by_first_low), vandq_u8(last, low_half)));
    kinds = vandq_u8(kinds, vqtbl1q_u8(vld1q_u8(by_second_high), vshrq_n_u8(bytes, 4)));
    uint8x16_t third = vqsubq_u8(vextq_u8(before, bytes, 14), vdupq_n_u8(0xE0 - 0x80));
    uint8x16_t fourth = vqsubq_u8(vextq_u8(before, bytes, 13), vdupq_n_u8(0xF0 - 0x80));
    return veorq_u8(kinds, vandq_u8(vorrq_u8(third, fourth), vdupq_n_u8(0x80)));
}

static size_t count_ascii(const uint8_t *at, size_t size) {
    size_t i = 0;
    while (size - i >= BLOCK && vmaxvq_u8(vld1q_u8(at + i)) < 0x80) i += BLOCK;
    return i;
}

static size_t find_invalid_block(struct slice text) {
    size_t i = count_ascii(text.data, text.size);
    uint8x16_t before = vdupq_n_u8(0);
    while (text.size - i >= BLOCK) {
        uint8x16_t bytes = vld1q_u8(text.data + i);
        if (vmaxvq_u8(block_errors(bytes, before))) break;
        before = bytes;
        i += BLOCK;
        if (vmaxvq_u8(bytes) < 0x80) {
            i += count_ascii(text.data + i, text.size - i);
            before = vdupq_n_u8(0);
        }
    }
    return i;
}

#endif

size_t utf8_find_invalid(struct slice text) {
    if (text.size < BLOCK || !simd_has_vectors()) return find_invalid_from(text, 0);
    /* Up to here it is right; the rest, or the block in which it is not, goes by single sequences. */
    return find_invalid_from(text, sequence_begin(text, find_invalid_block(text)));
}

#else

size_t utf8_find_invalid(struct slice text) { return find_invalid_from(text, 0); }

#endif
