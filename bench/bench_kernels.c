/* What the vector instructions gain: each kernel of the Parquet library and its scalar twin over the same bytes, which
 * are in the first-level cache, in turns; the best of many runs of each.
 *
 *     bench_kernels [runs] [only this kernel] */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "column/utf8.h"
#include "measure.h"
#include "parquet/bits.h"
#include "parquet/encoding_delta_sums.h"
#include "parquet/encoding_split.h"
#include "parquet/nulls.h"

enum { VALUES = 1024, ENTRIES = 500, TEXT_BYTES = 4096 };

/* Everything that kernels read and write; what they write is room for all of them. */
static struct {
    uint8_t packed[VALUES * 8 + 64], bytes[VALUES * 16 + 64], out[VALUES * 16 + 64], dense[VALUES * 8 + 64];
    uint8_t validity[VALUES / 8 + 8], levels[VALUES + 64];
    uint8_t ascii[TEXT_BYTES], greek[TEXT_BYTES], chinese[TEXT_BYTES];
    uint32_t indices[VALUES], offsets[VALUES + 64], running[VALUES];
    uint64_t narrow[VALUES];
    uint64_t there;
} data;

/* Makes the compiler believe that the value is needed. */
static void sink(uint64_t value) { __asm__ volatile("" : : "r"(value)); }

/* ---- Pairs of functions of one signature ---- */

#define PAIR(name, fast, slow)                                                                                         \
    static void name##_fast(void) { fast; }                                                                            \
    static void name##_slow(void) { slow; }

static uint32_t *const out_32 = (uint32_t *)(void *)data.out;
static uint64_t *const out_64 = (uint64_t *)(void *)data.out;
static const struct slice ascii = {data.ascii, TEXT_BYTES}, greek = {data.greek, TEXT_BYTES},
                          chinese = {data.chinese, TEXT_BYTES};

PAIR(unpack_7, bits_unpack_u32(data.packed, sizeof data.packed, 7, VALUES, out_32),
     bits_unpack_u32_scalar(data.packed, sizeof data.packed, 7, VALUES, out_32))
PAIR(unpack_20, bits_unpack_u32(data.packed, sizeof data.packed, 20, VALUES, out_32),
     bits_unpack_u32_scalar(data.packed, sizeof data.packed, 20, VALUES, out_32))
PAIR(unpack_30, bits_unpack_u32(data.packed, sizeof data.packed, 30, VALUES, out_32),
     bits_unpack_u32_scalar(data.packed, sizeof data.packed, 30, VALUES, out_32))
PAIR(unpack_u64_11, bits_unpack_u64(data.packed, sizeof data.packed, 11, VALUES, out_64),
     bits_unpack_u64_scalar(data.packed, sizeof data.packed, 11, VALUES, out_64))
PAIR(unpack_u64_41, bits_unpack_u64(data.packed, sizeof data.packed, 41, VALUES, out_64),
     bits_unpack_u64_scalar(data.packed, sizeof data.packed, 41, VALUES, out_64))
PAIR(pack_u32, bits_pack_u32(data.indices, VALUES, 9, data.out),
     bits_pack_u32_scalar(data.indices, VALUES, 9, data.out))
PAIR(pack_u64, bits_pack_u64(data.narrow, VALUES, 9, data.out), bits_pack_u64_scalar(data.narrow, VALUES, 9, data.out))
PAIR(max, sink(bits_max_u32(data.indices, VALUES)), sink(bits_max_u32_scalar(data.indices, VALUES)))
PAIR(running_sums, sink(bits_sums_u32(data.running, VALUES)), sink(bits_sums_u32_scalar(data.running, VALUES)))
PAIR(equal, bits_equal_u8(data.levels, VALUES, 2, data.out), bits_equal_u8_scalar(data.levels, VALUES, 2, data.out))
#define DELTAS(width)                                                                                                  \
    &(struct delta_packed) { data.packed, sizeof data.packed, width, 1000, VALUES }
PAIR(sums_i32, sink(delta_sums_i32(DELTAS(7), 5, (int32_t *)out_32)),
     sink(delta_sums_i32_scalar(DELTAS(7), 5, (int32_t *)out_32)))
PAIR(sums_i64, sink(delta_sums_i64(DELTAS(11), 5, (int64_t *)out_64)),
     sink(delta_sums_i64_scalar(DELTAS(11), 5, (int64_t *)out_64)))
PAIR(sums_i64_wide, sink(delta_sums_i64(DELTAS(41), 5, (int64_t *)out_64)),
     sink(delta_sums_i64_scalar(DELTAS(41), 5, (int64_t *)out_64)))
/* Seven blocks. */
#define BLOCKS(call)                                                                                                   \
    for (size_t i = 1; i + DELTA_BLOCK <= VALUES; i += DELTA_BLOCK) call
static struct delta_block delta_block;
PAIR(block_i64, BLOCKS(delta_block_i64((const int64_t *)data.narrow + i, DELTA_BLOCK, &delta_block)),
     BLOCKS(delta_block_i64_scalar((const int64_t *)data.narrow + i, DELTA_BLOCK, &delta_block)))
PAIR(block_i32, BLOCKS(delta_block_i32((const int32_t *)data.indices + i, DELTA_BLOCK, &delta_block)),
     BLOCKS(delta_block_i32_scalar((const int32_t *)data.indices + i, DELTA_BLOCK, &delta_block)))
PAIR(split_decode_2, split_decode(data.bytes, VALUES, VALUES, 2, data.out),
     split_decode_scalar(data.bytes, VALUES, VALUES, 2, data.out))
PAIR(split_decode_4, split_decode(data.bytes, VALUES, VALUES, 4, data.out),
     split_decode_scalar(data.bytes, VALUES, VALUES, 4, data.out))
PAIR(split_decode_8, split_decode(data.bytes, VALUES, VALUES, 8, data.out),
     split_decode_scalar(data.bytes, VALUES, VALUES, 8, data.out))
PAIR(split_decode_12, split_decode(data.bytes, VALUES, VALUES, 12, data.out),
     split_decode_scalar(data.bytes, VALUES, VALUES, 12, data.out))
PAIR(split_encode_2, split_encode(data.bytes, VALUES, 2, data.out),
     split_encode_scalar(data.bytes, VALUES, 2, data.out))
PAIR(split_encode_4, split_encode(data.bytes, VALUES, 4, data.out),
     split_encode_scalar(data.bytes, VALUES, 4, data.out))
PAIR(split_encode_8, split_encode(data.bytes, VALUES, 8, data.out),
     split_encode_scalar(data.bytes, VALUES, 8, data.out))
PAIR(split_encode_12, split_encode(data.bytes, VALUES, 12, data.out),
     split_encode_scalar(data.bytes, VALUES, 12, data.out))
PAIR(spread_4, nulls_spread(data.out, VALUES, data.there, 4, data.validity),
     nulls_spread_scalar(data.out, VALUES, data.there, 4, data.validity))
PAIR(spread_8, nulls_spread(data.out, VALUES, data.there, 8, data.validity),
     nulls_spread_scalar(data.out, VALUES, data.there, 8, data.validity))
PAIR(spread_offsets, nulls_spread_offsets(data.offsets, VALUES, data.there, data.validity),
     nulls_spread_offsets_scalar(data.offsets, VALUES, data.there, data.validity))
PAIR(spread_bits, nulls_spread_bits(data.dense, VALUES, data.validity, data.out),
     nulls_spread_bits_scalar(data.dense, VALUES, data.validity, data.out))
PAIR(leave_out_4, sink(nulls_gather(data.bytes, VALUES, 4, data.validity, 0, data.out)),
     sink(nulls_gather_scalar(data.bytes, VALUES, 4, data.validity, 0, data.out)))
PAIR(leave_out_8, sink(nulls_gather(data.bytes, VALUES, 8, data.validity, 0, data.out)),
     sink(nulls_gather_scalar(data.bytes, VALUES, 8, data.validity, 0, data.out)))
PAIR(utf8_ascii, sink(utf8_find_invalid(ascii)), sink(utf8_find_invalid_scalar(ascii)))
PAIR(utf8_greek, sink(utf8_find_invalid(greek)), sink(utf8_find_invalid_scalar(greek)))
PAIR(utf8_chinese, sink(utf8_find_invalid(chinese)), sink(utf8_find_invalid_scalar(chinese)))

#define KERNEL(name, function, per)                                                                                    \
    { name, function##_fast, function##_slow, per }

static const struct kernel {
    const char *name;
    void (*fast)(void);
    void (*slow)(void);
    unsigned values;
} kernels[] = {
    KERNEL("unpack 7 bits", unpack_7, VALUES),
    KERNEL("unpack 20 bits", unpack_20, VALUES),
    KERNEL("unpack 30 bits", unpack_30, VALUES),
    KERNEL("unpack 11 bits to 64", unpack_u64_11, VALUES),
    KERNEL("unpack 41 bits to 64", unpack_u64_41, VALUES),
    KERNEL("pack 9 bits", pack_u32, VALUES),
    KERNEL("pack 9 bits from 64", pack_u64, VALUES),
    KERNEL("highest index", max, VALUES),
    KERNEL("running sums", running_sums, VALUES),
    KERNEL("levels to bitmap", equal, VALUES),
    KERNEL("delta 7 bits to 32", sums_i32, VALUES),
    KERNEL("delta 11 bits to 64", sums_i64, VALUES),
    KERNEL("delta 41 bits to 64", sums_i64_wide, VALUES),
    KERNEL("differences of 64", block_i64, (VALUES - 1) / DELTA_BLOCK * DELTA_BLOCK),
    KERNEL("differences of 32", block_i32, (VALUES - 1) / DELTA_BLOCK * DELTA_BLOCK),
    KERNEL("split decode 2", split_decode_2, VALUES),
    KERNEL("split decode 4", split_decode_4, VALUES),
    KERNEL("split decode 8", split_decode_8, VALUES),
    KERNEL("split decode 12", split_decode_12, VALUES),
    KERNEL("split encode 2", split_encode_2, VALUES),
    KERNEL("split encode 4", split_encode_4, VALUES),
    KERNEL("split encode 8", split_encode_8, VALUES),
    KERNEL("split encode 12", split_encode_12, VALUES),
    KERNEL("spread 4 bytes", spread_4, VALUES),
    KERNEL("spread 8 bytes", spread_8, VALUES),
    KERNEL("spread offsets", spread_offsets, VALUES),
    KERNEL("spread bits", spread_bits, VALUES),
    KERNEL("leave out 4 bytes", leave_out_4, VALUES),
    KERNEL("leave out 8 bytes", leave_out_8, VALUES),
    KERNEL("utf8 ascii", utf8_ascii, TEXT_BYTES),
    KERNEL("utf8 2 bytes", utf8_greek, TEXT_BYTES),
    KERNEL("utf8 3 bytes", utf8_chinese, TEXT_BYTES),
};

static void repeat_text(uint8_t *at, const char *character) {
    size_t size = strlen(character), i = 0;
    for (; TEXT_BYTES - i >= size; i += size) memcpy(at + i, character, size);
    memset(at + i, ' ', TEXT_BYTES - i);
}

static void make_data(void) {
    uint64_t random = 1;
    for (size_t i = 0; i < sizeof data.packed; i++) data.packed[i] = (uint8_t)bench_random(&random);
    for (size_t i = 0; i < sizeof data.bytes; i++) data.bytes[i] = (uint8_t)bench_random(&random);
    for (size_t i = 0; i < VALUES; i++) {
        data.indices[i] = (uint32_t)bench_random_below(&random, ENTRIES);
        data.narrow[i] = data.indices[i];
        data.levels[i] = (uint8_t)bench_random_below(&random, 3);
        if (bench_random_below(&random, 5)) bitmap_set(data.validity, i); /* a fifth are null */
    }
    data.there = bits_count(data.validity, 0, VALUES);
    repeat_text(data.ascii, "plain text ");
    repeat_text(data.greek, "\xCF\x80");
    repeat_text(data.chinese, "\xE4\xB8\xAD");
}

static double best_ns(void (*kernel)(void), double best) {
    enum { CALLS = 20 };
    uint64_t begin = bench_now_ns();
    for (int i = 0; i < CALLS; i++) kernel();
    double took = (double)(bench_now_ns() - begin) / CALLS;
    return took < best ? took : best;
}

int main(int argc, char **argv) {
    int runs = argc > 1 ? atoi(argv[1]) : 500;
    double gains[sizeof kernels / sizeof kernels[0]] = {0};
    make_data();
    printf("%-22s %14s %14s %8s\n", "kernel", "scalar ns/1000", "vector ns/1000", "gain");
    for (size_t i = 0; i < sizeof kernels / sizeof kernels[0]; i++) {
        const struct kernel *kernel = &kernels[i];
        double fast = 1e18, slow = 1e18;
        if (argc > 2 && strcmp(argv[2], kernel->name) != 0) continue;
        for (int run = 0; run < runs; run++) {
            fast = best_ns(kernel->fast, fast);
            slow = best_ns(kernel->slow, slow);
        }
        printf("%-22s %14.1f %14.1f %8.2f\n", kernel->name, slow * 1000 / kernel->values, fast * 1000 / kernel->values,
               slow / fast);
        gains[i] = slow / fast;
    }
    printf("kernels");
    for (size_t i = 0; i < sizeof kernels / sizeof kernels[0]; i++) {
        char key[32];
        snprintf(key, sizeof key, "%s", kernels[i].name);
        for (char *at = key; *at; at++) *at = *at == ' ' ? '_' : *at;
        if (gains[i] > 0) printf(" %s=%.2f", key, gains[i]);
    }
    printf("\n");
    return 0;
}
