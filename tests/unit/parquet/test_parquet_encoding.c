/* Bit packing, every encoding, checksums and codecs by themselves: round trips, known bytes, and damaged ones. */
#include <stdlib.h>
#include <zlib.h>

#include "parquet/bits.h"
#include "parquet/codec.h"
#include "parquet/crc32.h"
#include "parquet/encoding_bytes.h"
#include "parquet/encoding_delta.h"
#include "parquet/encoding_rle.h"
#include "parquet/encoding_split.h"
#include "support/test_support.h"

enum { MANY = 700 };

/* A copy in memory of its exact size, so that AddressSanitizer sees every read beyond it. */
static struct slice exact_copy(struct slice bytes) {
    uint8_t *copy = malloc(bytes.size ? bytes.size : 1);
    assert_non_null(copy);
    if (bytes.size) memcpy(copy, bytes.data, bytes.size);
    return slice_of(copy, bytes.size);
}

static void free_copy(struct slice copy) { free((void *)(uintptr_t)copy.data); }

static void bit_packing_of_every_width_comes_back(void **state) {
    struct test_random random = test_random_of(1);
    uint64_t in[131], out[131];
    uint32_t in32[131], out32[131];
    (void)state;
    for (unsigned width = 0; width <= 64; width++) {
        for (size_t count = 0; count <= 131; count += count < 20 ? 1 : 37) {
            uint64_t mask = width == 64 ? UINT64_MAX : (UINT64_C(1) << width) - 1;
            size_t bytes = (size_t)bits_bytes(count, width);
            uint8_t *packed = malloc(bytes + BITS_PACK_SLACK + 1);
            assert_non_null(packed);
            packed[bytes + BITS_PACK_SLACK] = 0xa5;
            for (size_t i = 0; i < count; i++) in[i] = test_random_u64(&random) & mask;
            bits_pack_u64(in, count, width, packed);
            assert_int_equal(packed[bytes + BITS_PACK_SLACK], 0xa5);
            struct slice copy = exact_copy(slice_of(packed, bytes));
            bits_unpack_u64(copy.data, bytes, width, count, out);
            assert_memory_equal(in, out, count * sizeof in[0]);
            if (width <= 32) {
                for (size_t i = 0; i < count; i++) in32[i] = (uint32_t)in[i];
                bits_pack_u32(in32, count, width, packed);
                assert_memory_equal(packed, copy.data, bytes);
                bits_unpack_u32(copy.data, bytes, width, count, out32);
                assert_memory_equal(in32, out32, count * sizeof in32[0]);
                bits_unpack_u32_scalar(copy.data, bytes, width, count, out32);
                assert_memory_equal(in32, out32, count * sizeof in32[0]);
            }
            free_copy(copy);
            free(packed);
        }
    }
}

static void bitmaps_are_copied_filled_and_counted_at_every_offset(void **state) {
    struct test_random random = test_random_of(2);
    uint8_t from[40], to[40], before[40];
    (void)state;
    for (int round = 0; round < 3000; round++) {
        uint64_t begin = test_random_below(&random, 100), count = test_random_below(&random, 150);
        uint64_t to_begin = test_random_below(&random, 100), set = 0;
        test_random_bytes(&random, from, sizeof from);
        test_random_bytes(&random, to, sizeof to);
        memcpy(before, to, sizeof to);
        bits_copy(to, to_begin, from, begin, count);
        for (uint64_t i = 0; i < sizeof to * 8; i++) {
            bool is_inside = i >= to_begin && i < to_begin + count;
            assert_int_equal(bitmap_get(to, i),
                             is_inside ? bitmap_get(from, begin + i - to_begin) : bitmap_get(before, i));
        }
        for (uint64_t i = 0; i < count; i++) set += bitmap_get(from, begin + i);
        assert_int_equal(bits_count(from, begin, count), set);
        memcpy(to, before, sizeof to);
        bits_fill(to, to_begin, count, round & 1);
        for (uint64_t i = 0; i < sizeof to * 8; i++) {
            bool is_inside = i >= to_begin && i < to_begin + count;
            assert_int_equal(bitmap_get(to, i), is_inside ? (round & 1) : bitmap_get(before, i));
        }
    }
}

/* Values in runs of random length, some long. */
static void make_runs(struct test_random *random, uint32_t *values, uint32_t count, unsigned width) {
    uint64_t mask = (UINT64_C(1) << width) - 1;
    for (uint32_t i = 0; i < count;) {
        uint64_t run = test_random_below(random, 3) == 0 ? 1 + test_random_below(random, 60) : 1;
        uint32_t value = (uint32_t)(test_random_u64(random) & mask);
        for (; run > 0 && i < count; run--) values[i++] = value;
    }
}

static void rle_of_every_width_comes_back_and_truncated_is_refused(void **state) {
    struct test_random random = test_random_of(3);
    uint32_t in[MANY], out[MANY];
    struct plinth_error error = {0};
    (void)state;
    for (unsigned width = 0; width <= 32; width++) {
        for (uint32_t count = 1; count < MANY; count += 1 + count / 3) {
            struct buffer encoded = BUFFER_INIT;
            make_runs(&random, in, count, width);
            assert_true(rle_encode_u32(in, count, width, &encoded));
            struct slice copy = exact_copy(buffer_slice(&encoded));
            assert_ok(rle_decode_u32(copy, width, count, out, &error), &error);
            assert_memory_equal(in, out, count * sizeof in[0]);
            for (size_t size = 0; size < copy.size && width > 0; size++) {
                struct slice cut = exact_copy(slice_of(copy.data, size));
                enum plinth_status st = rle_decode_u32(cut, width, count, out, &error);
                /* Only the padding of the last packed run may be missing. */
                assert_true(st == PLINTH_CORRUPT || (st == PLINTH_OK && copy.size - size < width));
                free_copy(cut);
            }
            free_copy(copy);
            buffer_deinit(&encoded);
        }
    }
}

static void rle_bitmaps_come_back(void **state) {
    struct test_random random = test_random_of(4);
    uint32_t values[MANY];
    uint8_t bitmap[MANY / 8 + 2] = {0}, out[MANY / 8 + 1];
    struct plinth_error error = {0};
    (void)state;
    for (uint32_t count = 0; count < MANY - 9; count += 1 + count / 5) {
        for (uint64_t begin = 0; begin < 9; begin += 4) {
            struct buffer encoded = BUFFER_INIT;
            make_runs(&random, values, MANY, 1);
            for (uint32_t i = 0; i < MANY; i++) bits_fill(bitmap, i, 1, values[i]);
            assert_true(rle_encode_bitmap(bitmap, begin, count, &encoded));
            assert_ok(rle_decode_bitmap(buffer_slice(&encoded), count, out, &error), &error);
            for (uint32_t i = 0; i < count; i++) assert_int_equal(bitmap_get(out, i), values[begin + i]);
            buffer_deinit(&encoded);
        }
    }
}

static void rle_refuses_impossible_values_and_ends_on_empty_runs(void **state) {
    static const uint8_t too_wide[] = {16, 9};           /* 8 times the value 9 in 3 bits */
    static const uint8_t empty_runs[] = {0, 1, 0, 1, 1}; /* of no values */
    static const uint8_t packed_level[] = {3, 0xff, 0xff, 0xff};
    uint32_t out[8];
    uint8_t levels[8];
    struct plinth_error error = {0};
    (void)state;
    assert_status(rle_decode_u32(slice_of(too_wide, 2), 3, 8, out, &error), PLINTH_CORRUPT, &error);
    assert_status(rle_decode_u32(slice_of(empty_runs, 5), 1, 8, out, &error), PLINTH_CORRUPT, &error);
    assert_status(rle_decode_levels(slice_of(packed_level, 4), 4, 8, levels, &error), PLINTH_CORRUPT, &error);
    assert_error_names(&error, "level");
    assert_ok(rle_decode_levels(slice_of(packed_level, 4), 7, 8, levels, &error), &error);
    assert_int_equal(levels[7], 7);
    assert_ok(bit_packed_decode_levels(slice_of((const uint8_t[]){0x1b}, 1), 3, 4, levels, &error), &error);
    assert_memory_equal(levels, ((const uint8_t[]){0, 1, 2, 3}), 4);
}

static void a_level_that_is_too_high_is_found_wherever_it_is(void **state) {
    enum { LEVELS = 70 };
    uint8_t in[LEVELS], out[LEVELS];
    struct plinth_error error = {0};
    struct buffer encoded = BUFFER_INIT;
    (void)state;
    for (uint8_t highest = 2; highest < 30; highest = (uint8_t)(highest * 2 + highest % 3)) {
        for (uint32_t count = 1; count <= LEVELS; count += 1 + count / 8) {
            for (uint32_t at = 0; at < count; at++) {
                for (uint32_t i = 0; i < count; i++) in[i] = (uint8_t)(i % (highest + 1u));
                for (int too_high = 0; too_high < 2; too_high++) {
                    in[at] = (uint8_t)(highest + too_high);
                    buffer_clear(&encoded);
                    /* in as many bits either way */
                    assert_true(rle_encode_levels(in, count, highest, &encoded));
                    enum plinth_status st = rle_decode_levels(buffer_slice(&encoded), highest, count, out, &error);
                    assert_int_equal(st, too_high ? PLINTH_CORRUPT : PLINTH_OK);
                    if (!st) assert_memory_equal(in, out, count);
                }
            }
        }
    }
    buffer_deinit(&encoded);
}

static void delta_packed_has_the_bytes_of_the_specification(void **state) {
    static const int64_t values[] = {1, 2, 3, 4, 5};
    static const uint8_t wanted[] = {0x80, 0x01, 4, 5, 2, 2, 0, 0, 0, 0};
    struct buffer out = BUFFER_INIT;
    (void)state;
    assert_true(delta_encode_i64(values, 5, &out));
    assert_int_equal(out.size, sizeof wanted);
    assert_memory_equal(out.data, wanted, sizeof wanted);
    buffer_deinit(&out);
}

static void delta_packed_comes_back_at_every_size_and_range(void **state) {
    struct test_random random = test_random_of(5);
    int64_t in[MANY], out[MANY];
    int32_t in32[MANY], out32[MANY];
    struct plinth_error error = {0};
    (void)state;
    for (unsigned shift = 0; shift < 64; shift += 3) {
        for (uint32_t count = 0; count < MANY; count += 1 + count / 4) {
            struct buffer encoded = BUFFER_INIT;
            size_t used;
            for (uint32_t i = 0; i < count; i++) {
                in[i] = (int64_t)(test_random_u64(&random) >> shift);
                if (i % 50 == 7) in[i] = i % 100 == 7 ? INT64_MIN : INT64_MAX;
                in32[i] = i % 50 == 7 ? (i % 100 == 7 ? INT32_MIN : INT32_MAX) : (int32_t)in[i];
            }
            assert_true(delta_encode_i64(in, count, &encoded));
            struct slice copy = exact_copy(buffer_slice(&encoded));
            assert_ok(delta_decode_i64(copy, count, out, &used, &error), &error);
            assert_int_equal(used, copy.size);
            assert_memory_equal(in, out, count * sizeof in[0]);
            assert_status(delta_decode_i64(copy, count + 1, out, &used, &error), PLINTH_CORRUPT, &error);
            free_copy(copy);
            buffer_clear(&encoded);
            assert_true(delta_encode_i32(in32, count, &encoded));
            copy = exact_copy(buffer_slice(&encoded));
            assert_ok(delta_decode_i32(copy, count, out32, &used, &error), &error);
            assert_memory_equal(in32, out32, count * sizeof in32[0]);
            for (size_t size = 0; size < copy.size; size += 1 + size / 40) {
                struct slice cut = exact_copy(slice_of(copy.data, size));
                enum plinth_status st = delta_decode_i32(cut, count, out32, &used, &error);
                assert_true(st == PLINTH_OK || st == PLINTH_CORRUPT);
                free_copy(cut);
            }
            free_copy(copy);
            buffer_deinit(&encoded);
        }
    }
}

static void delta_packed_refuses_impossible_blocks(void **state) {
    static const uint8_t no_miniblocks[] = {0x80, 1, 0, 2, 2, 2};
    static const uint8_t odd_miniblocks[] = {0x80, 1, 3, 2, 2, 2};
    static const uint8_t empty_block[] = {0, 1, 2, 2, 2};
    static const uint8_t wide_miniblock[] = {0x80, 1, 4, 2, 2, 2, 65, 0, 0, 0};
    int64_t out[2];
    struct plinth_error error = {0};
    (void)state;
    assert_status(delta_decode_i64(slice_of(no_miniblocks, 6), 2, out, NULL, &error), PLINTH_CORRUPT, &error);
    assert_status(delta_decode_i64(slice_of(odd_miniblocks, 6), 2, out, NULL, &error), PLINTH_CORRUPT, &error);
    assert_status(delta_decode_i64(slice_of(empty_block, 5), 2, out, NULL, &error), PLINTH_CORRUPT, &error);
    assert_status(delta_decode_i64(slice_of(wide_miniblock, 10), 2, out, NULL, &error), PLINTH_CORRUPT, &error);
    assert_error_names(&error, "65 bits");
}

struct strings {
    struct buffer bytes;
    uint32_t offsets[MANY + 1];
};

/* Sorted-looking strings of 0 to 99 bytes that share prefixes of every length. */
static void make_strings(struct test_random *random, struct strings *strings, uint32_t count) {
    uint8_t value[100];
    buffer_clear(&strings->bytes);
    test_random_bytes(random, value, sizeof value);
    for (uint32_t i = 0; i < count; i++) {
        size_t keep = (size_t)test_random_below(random, sizeof value);
        test_random_bytes(random, value + keep, sizeof value - keep);
        strings->offsets[i] = (uint32_t)strings->bytes.size;
        assert_true(buffer_append(&strings->bytes, value, (size_t)test_random_below(random, sizeof value)));
    }
    strings->offsets[count] = (uint32_t)strings->bytes.size;
}

static void check_strings(const struct strings *strings, uint32_t count, const uint32_t *offsets,
                          const uint8_t *bytes) {
    assert_memory_equal(offsets, strings->offsets, (count + 1) * sizeof offsets[0]);
    if (strings->bytes.size) assert_memory_equal(bytes, strings->bytes.data, strings->bytes.size);
}

static void every_encoding_of_strings_comes_back_and_truncated_is_refused(void **state) {
    struct test_random random = test_random_of(6);
    struct strings strings = {0};
    struct buffer encoded = BUFFER_INIT, lengths = BUFFER_INIT, bytes = BUFFER_INIT;
    uint32_t offsets[MANY + 1];
    struct plinth_error error = {0};
    struct slice borrowed;
    (void)state;
    for (uint32_t count = 0; count < MANY; count += 1 + count / 2) {
        make_strings(&random, &strings, count);
        struct bytes_view view = {.bytes = strings.bytes.data, .offsets = strings.offsets, .count = count};
        for (int which = 0; which < 3; which++) {
            buffer_clear(&encoded);
            assert_true(which == 0   ? plain_bytes_encode(&view, &encoded)
                        : which == 1 ? delta_length_encode(&view, &lengths, &encoded)
                                     : delta_bytes_encode(&view, &lengths, &encoded));
            for (size_t size = encoded.size + 1; size-- > 0; size -= size > 300 ? size / 9 : 0) {
                struct slice cut = exact_copy(slice_of(encoded.data, size));
                enum plinth_status st =
                    which == 0   ? plain_bytes_decode(cut, count, offsets, &bytes, &error)
                    : which == 1 ? delta_length_decode(cut, count, offsets, &borrowed, &error)
                                 : delta_bytes_decode(cut, count, 0, 1 << 20, offsets, &bytes, &lengths, &error);
                if (size == encoded.size) {
                    assert_ok(st, &error);
                    check_strings(&strings, count, offsets, which == 1 ? borrowed.data : bytes.data);
                } else if (count > 0) {
                    assert_true(st == PLINTH_CORRUPT || st == PLINTH_OK);
                }
                free_copy(cut);
            }
        }
    }
    buffer_deinit(&strings.bytes);
    buffer_deinit(&encoded);
    buffer_deinit(&lengths);
    buffer_deinit(&bytes);
}

static void shared_bytes_do_not_unfold_beyond_the_limit(void **state) {
    enum { VALUES = 600, SIZE = 60000 };
    struct buffer encoded = BUFFER_INIT, bytes = BUFFER_INIT, lengths = BUFFER_INIT;
    int32_t prefixes[VALUES], suffixes[VALUES] = {SIZE};
    uint32_t offsets[VALUES + 1];
    struct plinth_error error = {0};
    (void)state;
    for (int i = 0; i < VALUES; i++) prefixes[i] = i ? SIZE : 0;
    assert_true(delta_encode_i32(prefixes, VALUES, &encoded) && delta_encode_i32(suffixes, VALUES, &encoded) &&
                buffer_append_zeros(&encoded, SIZE));
    assert_status(delta_bytes_decode(buffer_slice(&encoded), VALUES, 0, 1 << 20, offsets, &bytes, &lengths, &error),
                  PLINTH_OUT_OF_MEMORY, &error);
    assert_true(bytes.capacity < 1 << 20);
    prefixes[0] = 1; /* shares with nothing */
    buffer_clear(&encoded);
    assert_true(delta_encode_i32(prefixes, VALUES, &encoded) && delta_encode_i32(suffixes, VALUES, &encoded));
    assert_status(delta_bytes_decode(buffer_slice(&encoded), VALUES, 0, 1 << 20, offsets, &bytes, &lengths, &error),
                  PLINTH_CORRUPT, &error);
    buffer_deinit(&encoded);
    buffer_deinit(&bytes);
    buffer_deinit(&lengths);
}

static void split_streams_come_back(void **state) {
    struct test_random random = test_random_of(7);
    uint8_t in[16 * 101], split[16 * 101], out[16 * 101];
    (void)state;
    for (uint32_t width = 1; width <= 16; width++) {
        for (size_t count = 0; count <= 101; count += 1 + count / 3) {
            test_random_bytes(&random, in, sizeof in);
            split_encode(in, count, width, split);
            if (count > 1) assert_int_equal(split[1], in[width]);
            split_decode(split, count, count, width, out);
            assert_memory_equal(in, out, count * width);
        }
    }
}

static void checksums_agree_with_zlib(void **state) {
    struct test_random random = test_random_of(8);
    uint8_t bytes[5000];
    (void)state;
    assert_int_equal(crc32_of("123456789", 9), 0xcbf43926);
    assert_int_equal(crc32_of(NULL, 0), 0);
    test_random_bytes(&random, bytes, sizeof bytes);
    for (size_t size = 0; size < 600; size++)
        assert_int_equal(crc32_of(bytes + size % 17, size), crc32_z(0, bytes + size % 17, size));
    for (int i = 0; i < 200; i++) {
        size_t begin = (size_t)test_random_below(&random, 2000), size = (size_t)test_random_below(&random, 3000);
        assert_int_equal(crc32_of(bytes + begin, size), crc32_z(0, bytes + begin, size));
    }
}

static const enum parquet_codec codecs[] = {PARQUET_CODEC_SNAPPY, PARQUET_CODEC_GZIP, PARQUET_CODEC_BROTLI,
                                            PARQUET_CODEC_ZSTD, PARQUET_CODEC_LZ4_RAW};

static void every_codec_comes_back_and_refuses_other_sizes_and_cut_bytes(void **state) {
    struct test_random random = test_random_of(9);
    static uint8_t in[20000], out[20001];
    static const int levels[] = {0, 1, 9};
    struct codec_state codec = {0};
    struct buffer packed = BUFFER_INIT;
    struct plinth_error error = {0};
    (void)state;
    for (size_t i = 0; i < sizeof in; i++) in[i] = i % 3 ? (uint8_t)(i / 50) : (uint8_t)test_random_u64(&random);
    for (size_t c = 0; c < sizeof codecs / sizeof codecs[0]; c++) {
        for (size_t size = 0; size <= sizeof in; size = size * 3 + 1) {
            for (size_t l = 0; l < 3; l++) {
                if (!codec_level_valid(codecs[c], levels[l])) continue;
                buffer_clear(&packed);
                assert_ok(codec_compress(&codec, codecs[c], levels[l], slice_of(in, size), &packed, &error), &error);
                assert_ok(codec_decompress(&codec, codecs[c], buffer_slice(&packed), out, size, &error), &error);
                assert_memory_equal(in, out, size);
                assert_status(codec_decompress(&codec, codecs[c], buffer_slice(&packed), out, size + 1, &error),
                              PLINTH_CORRUPT, &error);
                if (size > 0)
                    assert_status(codec_decompress(&codec, codecs[c], buffer_slice(&packed), out, size - 1, &error),
                                  PLINTH_CORRUPT, &error);
                for (size_t cut = 0; size > 0 && cut < packed.size; cut += 1 + packed.size / 20) {
                    struct slice part = exact_copy(slice_of(packed.data, cut));
                    assert_status(codec_decompress(&codec, codecs[c], part, out, size, &error), PLINTH_CORRUPT, &error);
                    free_copy(part);
                }
            }
        }
    }
    assert_true(codec_state_memory(&codec) > 0);
    assert_status(codec_decompress(&codec, PARQUET_CODEC_LZO, slice_of(in, 5), out, 5, &error), PLINTH_UNSUPPORTED,
                  &error);
    codec_state_deinit(&codec);
    buffer_deinit(&packed);
}

static void gzip_members_and_hadoop_blocks_follow_one_another(void **state) {
    static const char text[] = "one behind the other, one behind the other, one behind the other";
    struct codec_state codec = {0};
    struct buffer packed = BUFFER_INIT, block = BUFFER_INIT;
    struct plinth_error error = {0};
    char out[2 * sizeof text];
    (void)state;
    for (int i = 0; i < 2; i++)
        assert_ok(codec_compress(&codec, PARQUET_CODEC_GZIP, 0, slice_of(text, sizeof text), &packed, &error), &error);
    assert_ok(codec_decompress(&codec, PARQUET_CODEC_GZIP, buffer_slice(&packed), (uint8_t *)out, sizeof out, &error),
              &error);
    assert_memory_equal(out + sizeof text, text, sizeof text);

    buffer_clear(&packed);
    assert_ok(codec_compress(&codec, PARQUET_CODEC_LZ4_RAW, 0, slice_of(text, sizeof text), &block, &error), &error);
    assert_ok(codec_decompress(&codec, PARQUET_CODEC_LZ4, buffer_slice(&block), (uint8_t *)out, sizeof text, &error),
              &error);
    for (int i = 0; i < 2; i++)
        assert_true(buffer_append_u32(&packed, __builtin_bswap32(sizeof text)) &&
                    buffer_append_u32(&packed, __builtin_bswap32((uint32_t)block.size)) &&
                    buffer_append(&packed, block.data, block.size));
    memset(out, 0, sizeof out);
    assert_ok(codec_decompress(&codec, PARQUET_CODEC_LZ4, buffer_slice(&packed), (uint8_t *)out, sizeof out, &error),
              &error);
    assert_memory_equal(out, text, sizeof text);
    assert_memory_equal(out + sizeof text, text, sizeof text);
    codec_state_deinit(&codec);
    buffer_deinit(&packed);
    buffer_deinit(&block);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bit_packing_of_every_width_comes_back),
        cmocka_unit_test(bitmaps_are_copied_filled_and_counted_at_every_offset),
        cmocka_unit_test(rle_of_every_width_comes_back_and_truncated_is_refused),
        cmocka_unit_test(rle_bitmaps_come_back),
        cmocka_unit_test(rle_refuses_impossible_values_and_ends_on_empty_runs),
        cmocka_unit_test(a_level_that_is_too_high_is_found_wherever_it_is),
        cmocka_unit_test(delta_packed_has_the_bytes_of_the_specification),
        cmocka_unit_test(delta_packed_comes_back_at_every_size_and_range),
        cmocka_unit_test(delta_packed_refuses_impossible_blocks),
        cmocka_unit_test(every_encoding_of_strings_comes_back_and_truncated_is_refused),
        cmocka_unit_test(shared_bytes_do_not_unfold_beyond_the_limit),
        cmocka_unit_test(split_streams_come_back),
        cmocka_unit_test(checksums_agree_with_zlib),
        cmocka_unit_test(every_codec_comes_back_and_refuses_other_sizes_and_cut_bytes),
        cmocka_unit_test(gzip_members_and_hadoop_blocks_follow_one_another),
    };
    return cmocka_run_group_tests_name("parquet_encoding", tests, NULL, NULL);
}
