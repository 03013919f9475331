/* CRC-32C three ways.
 *
 * Tables: slicing-by-8, eight bytes a step. SSE4.2: the crc32 instruction takes 3 cycles but starts one a
 * cycle, so long inputs run as three streams side by side; the three results are joined by "appending n zero
 * bytes" to a CRC, which is linear over GF(2) and so four table look-ups. ARM: the crc32cx instruction.
 * The version is chosen once, at the first call. */
#include "base/crc32c.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "base/bytes.h"

#if defined(__x86_64__)
#include <nmmintrin.h>
#elif defined(__aarch64__)
#include <sys/auxv.h>
#endif

enum { POLYNOMIAL = 0x82f63b78u };
/* Bytes of one of the three streams, for long and for middling inputs. */
enum { STREAM_LONG = 4096, STREAM_SHORT = 256 };

static uint32_t tables[8][256];
static uint32_t zeros_long[4][256];
static uint32_t zeros_short[4][256];
static pthread_once_t tables_once = PTHREAD_ONCE_INIT;

/* The operator of one zero byte, on a raw (not inverted) CRC. */
static uint32_t append_zero_byte(uint32_t crc) { return tables[0][crc & 0xff] ^ (crc >> 8); }

static void build_zeros(uint32_t zeros[4][256], size_t count) {
    /* Linear: the image of each single bit gives the image of every value. */
    uint32_t image[32];
    for (unsigned bit = 0; bit < 32; bit++) {
        uint32_t crc = 1u << bit;
        for (size_t i = 0; i < count; i++) crc = append_zero_byte(crc);
        image[bit] = crc;
    }
    for (unsigned lane = 0; lane < 4; lane++) {
        for (unsigned value = 0; value < 256; value++) {
            uint32_t crc = 0;
            for (unsigned bit = 0; bit < 8; bit++) {
                if (value >> bit & 1) crc ^= image[lane * 8 + bit];
            }
            zeros[lane][value] = crc;
        }
    }
}

static void build_tables(void) {
    for (uint32_t value = 0; value < 256; value++) {
        uint32_t crc = value;
        for (int bit = 0; bit < 8; bit++) crc = crc & 1 ? crc >> 1 ^ POLYNOMIAL : crc >> 1;
        tables[0][value] = crc;
    }
    for (uint32_t value = 0; value < 256; value++) {
        for (int k = 1; k < 8; k++) tables[k][value] = append_zero_byte(tables[k - 1][value]);
    }
    build_zeros(zeros_long, STREAM_LONG);
    build_zeros(zeros_short, STREAM_SHORT);
}

uint32_t crc32c_portable(uint32_t crc, const void *data, size_t size) {
    pthread_once(&tables_once, build_tables);
    const uint8_t *at = data;
    crc = ~crc;
    for (; size >= 8; at += 8, size -= 8) {
        uint64_t word = load_u64(at) ^ crc;
        crc = tables[7][word & 0xff] ^ tables[6][word >> 8 & 0xff] ^ tables[5][word >> 16 & 0xff] ^
              tables[4][word >> 24 & 0xff] ^ tables[3][word >> 32 & 0xff] ^ tables[2][word >> 40 & 0xff] ^
              tables[1][word >> 48 & 0xff] ^ tables[0][word >> 56];
    }
    for (; size; at++, size--) crc = tables[0][(crc ^ *at) & 0xff] ^ crc >> 8;
    return ~crc;
}

#if defined(__x86_64__)

static uint32_t append_zeros(uint32_t zeros[4][256], uint32_t crc) {
    return zeros[0][crc & 0xff] ^ zeros[1][crc >> 8 & 0xff] ^ zeros[2][crc >> 16 & 0xff] ^ zeros[3][crc >> 24];
}

/* Three streams of `stream` bytes each, as often as they fit. */
__attribute__((target("sse4.2"))) static uint32_t crc_streams(uint32_t crc, const uint8_t **data, size_t *size,
                                                              size_t stream, uint32_t zeros[4][256]) {
    const uint8_t *at = *data;
    while (*size >= 3 * stream) {
        uint64_t first = crc, second = 0, third = 0;
        for (const uint8_t *end = at + stream; at < end; at += 8) {
            first = _mm_crc32_u64(first, load_u64(at));
            second = _mm_crc32_u64(second, load_u64(at + stream));
            third = _mm_crc32_u64(third, load_u64(at + 2 * stream));
        }
        crc = append_zeros(zeros, (uint32_t)first) ^ (uint32_t)second;
        crc = append_zeros(zeros, crc) ^ (uint32_t)third;
        at += 2 * stream;
        *size -= 3 * stream;
    }
    *data = at;
    return crc;
}

__attribute__((target("sse4.2"))) static uint32_t crc32c_machine(uint32_t crc, const void *data, size_t size) {
    const uint8_t *at = data;
    crc = ~crc;
    if (size >= 3 * STREAM_LONG) crc = crc_streams(crc, &at, &size, STREAM_LONG, zeros_long);
    if (size >= 3 * STREAM_SHORT) crc = crc_streams(crc, &at, &size, STREAM_SHORT, zeros_short);
    uint64_t wide = crc;
    for (; size >= 8; at += 8, size -= 8) wide = _mm_crc32_u64(wide, load_u64(at));
    crc = (uint32_t)wide;
    for (; size; at++, size--) crc = _mm_crc32_u8(crc, *at);
    return ~crc;
}

static bool machine_has_crc(void) { return __builtin_cpu_supports("sse4.2"); }

#elif defined(__aarch64__)

static uint32_t crc32c_machine(uint32_t crc, const void *data, size_t size) {
    const uint8_t *at = data;
    crc = ~crc;
    for (; size >= 8; at += 8, size -= 8) {
        __asm__(".arch_extension crc\n\tcrc32cx %w0, %w0, %x1" : "+r"(crc) : "r"(load_u64(at)));
    }
    for (; size; at++, size--) {
        __asm__(".arch_extension crc\n\tcrc32cb %w0, %w0, %w1" : "+r"(crc) : "r"((uint32_t)*at));
    }
    return ~crc;
}

enum { HWCAP_BIT_CRC32 = 1 << 7 };
static bool machine_has_crc(void) { return getauxval(AT_HWCAP) & HWCAP_BIT_CRC32; }

#else

static uint32_t crc32c_machine(uint32_t crc, const void *data, size_t size) { return crc32c_portable(crc, data, size); }
static bool machine_has_crc(void) { return false; }

#endif

typedef uint32_t crc_function(uint32_t crc, const void *data, size_t size);
static crc_function crc32c_choose;
static _Atomic(crc_function *) chosen = crc32c_choose;

static uint32_t crc32c_choose(uint32_t crc, const void *data, size_t size) {
    pthread_once(&tables_once, build_tables);
    crc_function *function = machine_has_crc() ? crc32c_machine : crc32c_portable;
    /* Release pairs with the acquire below: who sees the function sees the tables. */
    atomic_store_explicit(&chosen, function, memory_order_release);
    return function(crc, data, size);
}

uint32_t crc32c(uint32_t crc, const void *data, size_t size) {
    return atomic_load_explicit(&chosen, memory_order_acquire)(crc, data, size);
}
