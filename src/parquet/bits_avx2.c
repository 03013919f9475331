/* Bit unpacking with AVX2. See bits_avx2.h.
 *
 * Eight values of w bits are w bytes, so that each eight begin on a byte. Each half of the vector is loaded with the 16
 * bytes that hold four values; a byte shuffle puts the four bytes that a value of up to 25 bits touches (at any bit
 * of the first one) into its lane; shifts by lane and a mask do the rest. Shuffle and shifts depend on w only. */
#include "parquet/bits_avx2.h"

#if defined(__x86_64__)
#include <immintrin.h>

enum { WIDTH_MAX = 25, LOAD_BYTES = 16 };

__attribute__((target("avx2"))) static size_t unpack(const uint8_t *in, size_t groups, unsigned width, uint32_t *out) {
    size_t second = 4 * width / 8; /* where the second half is loaded */
    __m256i bits = _mm256_mullo_epi32(_mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7), _mm256_set1_epi32((int)width));
    bits = _mm256_sub_epi32(bits, _mm256_set_m128i(_mm_set1_epi32((int)second * 8), _mm_setzero_si128()));
    const __m256i shifts = _mm256_and_si256(bits, _mm256_set1_epi32(7));
    const __m256i first_bytes = _mm256_mullo_epi32(_mm256_srli_epi32(bits, 3), _mm256_set1_epi32(0x01010101));
    const __m256i shuffle = _mm256_add_epi32(first_bytes, _mm256_set1_epi32(0x03020100));
    const __m256i mask = _mm256_set1_epi32((int)((1u << width) - 1));
    for (size_t i = 0; i < groups; i++, in += width, out += 8) {
        __m128i low = _mm_loadu_si128((const __m128i *)(const void *)in);
        __m128i high = _mm_loadu_si128((const __m128i *)(const void *)(in + second));
        __m256i bytes = _mm256_shuffle_epi8(_mm256_set_m128i(high, low), shuffle);
        __m256i values = _mm256_and_si256(_mm256_srlv_epi32(bytes, shifts), mask);
        _mm256_storeu_si256((__m256i *)(void *)out, values);
    }
    return groups * 8;
}

size_t bits_avx2_unpack_u32(const uint8_t *in, size_t in_bytes, unsigned width, size_t count, uint32_t *out) {
    size_t reach = 4 * width / 8 + LOAD_BYTES; /* bytes that the loads of one group touch */
    if (width > WIDTH_MAX || count < 8 || in_bytes < reach || !__builtin_cpu_supports("avx2")) return 0;
    size_t groups = (in_bytes - reach) / width + 1;
    return unpack(in, groups < count / 8 ? groups : count / 8, width, out);
}

#else

size_t bits_avx2_unpack_u32(const uint8_t *in, size_t in_bytes, unsigned width, size_t count, uint32_t *out) {
    (void)in, (void)in_bytes, (void)width, (void)count, (void)out;
    return 0;
}

#endif
