/* CRC-32 by folding: Gopal et al., "Fast CRC Computation for Generic Polynomials Using PCLMULQDQ", Intel 2009.
 *
 * A message is a polynomial over GF(2), and its CRC the remainder by P. 128 bits that stand d bits before others may be
 * replaced by what they are congruent to there: each 64-bit half times x^(d +- 32) mod P (the constants below,
 * bit-reflected). Four such accumulators run side by side, then become one, whose 16 bytes go through zlib together
 * with the rest. */
#include "parquet/crc32.h"

#include <stdbool.h>
#include <zlib.h>

#include "base/bytes.h"

#if defined(__x86_64__)
#include <immintrin.h>

enum { FOLD_BYTES_MIN = 128 };

__attribute__((target("pclmul,sse4.1"))) static inline __m128i fold(__m128i state, __m128i by, __m128i next) {
    __m128i low = _mm_clmulepi64_si128(state, by, 0x00), high = _mm_clmulepi64_si128(state, by, 0x11);
    return _mm_xor_si128(_mm_xor_si128(low, high), next);
}

static inline __m128i load(const uint8_t *at) { return _mm_loadu_si128((const __m128i *)(const void *)at); }

__attribute__((target("pclmul,sse4.1"))) static uint32_t crc32_machine(uint32_t crc, const uint8_t *at, size_t size) {
    const __m128i by_512_bits = _mm_set_epi64x(0x1c6e41596, 0x154442bd4);
    const __m128i by_128_bits = _mm_set_epi64x(0x0ccaa009e, 0x1751997d0);
    /* The state before is added to the first 32 bits; a CRC is the state inverted, and begins with all ones. */
    __m128i a = _mm_xor_si128(load(at), _mm_cvtsi32_si128((int)~crc));
    __m128i b = load(at + 16), c = load(at + 32), d = load(at + 48);
    for (at += 64, size -= 64; size >= 64; at += 64, size -= 64) {
        a = fold(a, by_512_bits, load(at));
        b = fold(b, by_512_bits, load(at + 16));
        c = fold(c, by_512_bits, load(at + 32));
        d = fold(d, by_512_bits, load(at + 48));
    }
    a = fold(fold(fold(a, by_128_bits, b), by_128_bits, c), by_128_bits, d);
    for (; size >= 16; at += 16, size -= 16) a = fold(a, by_128_bits, load(at));
    uint8_t state[16];
    _mm_storeu_si128((__m128i *)(void *)state, a);
    /* zlib inverts what it is given: this begins with zero. */
    return (uint32_t)crc32_z(crc32_z(UINT32_MAX, state, sizeof state), at, size);
}

static bool machine_can(size_t size) {
    return size >= FOLD_BYTES_MIN && __builtin_cpu_supports("pclmul") && __builtin_cpu_supports("sse4.1");
}

#elif defined(__aarch64__)
#include <sys/auxv.h>

enum { HWCAP_BIT_CRC32 = 1 << 7 };

static uint32_t crc32_machine(uint32_t crc, const uint8_t *at, size_t size) {
    crc = ~crc;
    for (; size >= 8; at += 8, size -= 8)
        __asm__(".arch_extension crc\n\tcrc32x %w0, %w0, %x1" : "+r"(crc) : "r"(load_u64(at)));
    for (; size; at++, size--) __asm__(".arch_extension crc\n\tcrc32b %w0, %w0, %w1" : "+r"(crc) : "r"((uint32_t)*at));
    return ~crc;
}

static bool machine_can(size_t size) { return size > 0 && (getauxval(AT_HWCAP) & HWCAP_BIT_CRC32); }

#else

static uint32_t crc32_machine(uint32_t crc, const uint8_t *at, size_t size) { return (uint32_t)crc32_z(crc, at, size); }
static bool machine_can(size_t size) { return size > 0; }

#endif

uint32_t crc32_extend(uint32_t crc, const void *data, size_t size) {
    if (size == 0) return crc;
    return machine_can(size) ? crc32_machine(crc, data, size) : (uint32_t)crc32_z(crc, data, size);
}

uint32_t crc32_of(const void *data, size_t size) { return crc32_extend(0, data, size); }
