/* Which encoding is chosen for which values, and that the choice is close to the smallest file. */
#include <stdio.h>

#include "memory_file.h"
#include "parquet/encoding_choice.h"
#include "support/test_support.h"

enum { ROWS = 20000 };

static int64_t numbers[ROWS];
static int32_t small_numbers[ROWS];
static double doubles[ROWS];
static uint32_t offsets[ROWS + 1];
static uint8_t bytes[ROWS * 40];

static struct parquet_column_options choose(enum parquet_type type, const void *values, uint64_t rows,
                                            enum parquet_codec codec) {
    struct parquet_column column = {
        .name = "c", .path = "c", .type = type, .type_length = 16, .width = parquet_type_width(type, 16)};
    struct parquet_column_data data = {
        .rows = rows, .slots = rows, .values = values, .offsets = offsets, .bytes = bytes};
    struct parquet_column_options options = parquet_column_options_default();
    options.codec = codec;
    parquet_encoding_choose(&column, &data, &options);
    return options;
}

/* String i is what `format` makes of `of[i]`. */
static void make_strings(const char *format, const int64_t *of) {
    uint32_t size = 0;
    for (int i = 0; i < ROWS; i++) {
        offsets[i] = size;
        size += (uint32_t)snprintf((char *)bytes + size, 40, format, (long long)of[i]);
    }
    offsets[ROWS] = size;
}

static void rising_integers_are_delta_encoded(void **state) {
    struct test_random random = test_random_of(1);
    (void)state;
    for (int i = 0; i < ROWS; i++) {
        numbers[i] = 1700000000000000 + i * 1000 + (int64_t)test_random_below(&random, 300);
        small_numbers[i] = i * 3;
    }
    struct parquet_column_options options = choose(PARQUET_TYPE_INT64, numbers, ROWS, PARQUET_CODEC_ZSTD);
    assert_int_equal(options.encoding, PARQUET_ENCODING_DELTA_BINARY_PACKED);
    assert_false(options.dictionary);
    options = choose(PARQUET_TYPE_INT32, small_numbers, ROWS, PARQUET_CODEC_UNCOMPRESSED);
    assert_int_equal(options.encoding, PARQUET_ENCODING_DELTA_BINARY_PACKED);
    assert_false(options.dictionary);
}

static void few_distinct_values_get_a_dictionary(void **state) {
    struct test_random random = test_random_of(2);
    (void)state;
    for (int i = 0; i < ROWS; i++) {
        numbers[i] = (int64_t)(test_random_below(&random, 200) * UINT64_C(0x9e3779b97f4a7c15));
        doubles[i] = (double)test_random_below(&random, 100) / 3;
    }
    assert_true(choose(PARQUET_TYPE_INT64, numbers, ROWS, PARQUET_CODEC_LZ4_RAW).dictionary);
    assert_true(choose(PARQUET_TYPE_DOUBLE, doubles, ROWS, PARQUET_CODEC_ZSTD).dictionary);
    for (int i = 0; i < ROWS; i++) numbers[i] = (int64_t)test_random_below(&random, 1000);
    make_strings("host-%04lld.example.org", numbers);
    assert_true(choose(PARQUET_TYPE_BYTE_ARRAY, NULL, ROWS, PARQUET_CODEC_ZSTD).dictionary);
}

static void random_values_stay_plain(void **state) {
    struct test_random random = test_random_of(3);
    (void)state;
    for (int i = 0; i < ROWS; i++) numbers[i] = (int64_t)test_random_u64(&random);
    struct parquet_column_options options = choose(PARQUET_TYPE_INT64, numbers, ROWS, PARQUET_CODEC_ZSTD);
    assert_int_equal(options.encoding, PARQUET_ENCODING_PLAIN);
    assert_false(options.dictionary);
    options = choose(PARQUET_TYPE_FIXED, numbers, ROWS / 2, PARQUET_CODEC_ZSTD);
    assert_int_equal(options.encoding, PARQUET_ENCODING_PLAIN);
    assert_false(options.dictionary);
}

/* Doubles whose high bytes are much alike: only a codec that codes by frequency makes use of that. */
static void doubles_are_split_for_codecs_that_gain_by_it(void **state) {
    struct test_random random = test_random_of(4);
    (void)state;
    for (int i = 0; i < ROWS; i++) doubles[i] = 20 + (double)test_random_below(&random, 1 << 30) / (1 << 30);
    assert_int_equal(choose(PARQUET_TYPE_DOUBLE, doubles, ROWS, PARQUET_CODEC_ZSTD).encoding,
                     PARQUET_ENCODING_BYTE_STREAM_SPLIT);
    assert_int_equal(choose(PARQUET_TYPE_DOUBLE, doubles, ROWS, PARQUET_CODEC_UNCOMPRESSED).encoding,
                     PARQUET_ENCODING_PLAIN);
}

static void strings_are_encoded_by_what_they_share(void **state) {
    struct test_random random = test_random_of(5);
    (void)state;
    for (int i = 0; i < ROWS; i++) numbers[i] = i;
    make_strings("customer/%012lld", numbers);
    assert_int_equal(choose(PARQUET_TYPE_BYTE_ARRAY, NULL, ROWS, PARQUET_CODEC_ZSTD).encoding,
                     PARQUET_ENCODING_DELTA_BYTE_ARRAY);
    for (int i = 0; i < ROWS; i++) numbers[i] = (int64_t)(test_random_u64(&random) >> 2);
    make_strings("%llx", numbers);
    struct parquet_column_options options = choose(PARQUET_TYPE_BYTE_ARRAY, NULL, ROWS, PARQUET_CODEC_ZSTD);
    assert_int_equal(options.encoding, PARQUET_ENCODING_DELTA_LENGTH_BYTE_ARRAY);
    assert_false(options.dictionary);
}

static void columns_without_values_get_the_choice_for_their_type(void **state) {
    static const uint8_t no_levels[ROWS] = {0};
    struct parquet_column column = {.name = "c", .type = PARQUET_TYPE_INT64, .width = 8, .definition_level_max = 3};
    struct parquet_column_data data = {.rows = ROWS, .slots = ROWS, .values = numbers, .definition_levels = no_levels};
    struct parquet_column_options options = parquet_column_options_default();
    (void)state;
    options.dictionary = true;
    parquet_encoding_choose(&column, &data, &options);
    assert_int_equal(options.encoding, PARQUET_ENCODING_PLAIN);
    assert_false(options.dictionary);
    assert_int_equal(choose(PARQUET_TYPE_BOOLEAN, numbers, ROWS, PARQUET_CODEC_ZSTD).encoding, PARQUET_ENCODING_RLE);
    assert_int_equal(choose(PARQUET_TYPE_BYTE_ARRAY, NULL, 0, PARQUET_CODEC_ZSTD).encoding,
                     PARQUET_ENCODING_DELTA_LENGTH_BYTE_ARRAY);
}

static uint64_t file_bytes(enum parquet_type type, const void *values, const struct parquet_column_options *options) {
    struct parquet_node node = {.name = "c", .type = type};
    struct parquet_column_data data = {.values = values, .offsets = offsets, .bytes = bytes};
    struct parquet_writer *writer;
    struct memory_file file;
    struct plinth_error error = {0};
    uint64_t size;
    memory_file_init(&file);
    assert_ok(parquet_writer_create(&file.sink, &node, 1, options, NULL, &writer, &error), &error);
    assert_ok(parquet_writer_write(writer, &data, ROWS, &error), &error);
    assert_ok(parquet_writer_finish(writer, &size, &error), &error);
    parquet_writer_destroy(writer);
    memory_file_deinit(&file);
    return size;
}

/* Uncompressed, over integers of many shapes: within a quarter of the best of all encodings. */
static void the_choice_is_close_to_the_smallest_file(void **state) {
    struct test_random random = test_random_of(6);
    (void)state;
    for (int shape = 0; shape < 40; shape++) {
        uint64_t range = UINT64_C(1) << (1 + shape % 40), step = shape % 3 ? 0 : 1 + test_random_below(&random, 5000);
        for (int i = 0; i < ROWS; i++) numbers[i] = (int64_t)((uint64_t)i * step + test_random_below(&random, range));
        struct parquet_column_options chosen = choose(PARQUET_TYPE_INT64, numbers, ROWS, PARQUET_CODEC_UNCOMPRESSED);
        uint64_t size = file_bytes(PARQUET_TYPE_INT64, numbers, &chosen), best = UINT64_MAX;
        for (int k = 0; k < 3; k++) {
            struct parquet_column_options options = parquet_column_options_default();
            options.dictionary = k == 2;
            options.encoding = k == 1 ? PARQUET_ENCODING_DELTA_BINARY_PACKED : PARQUET_ENCODING_PLAIN;
            uint64_t other = file_bytes(PARQUET_TYPE_INT64, numbers, &options);
            if (other < best) best = other;
        }
        if (size > best + best / 4)
            fail_msg("shape %d: %llu bytes, but %llu are possible", shape, (unsigned long long)size,
                     (unsigned long long)best);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rising_integers_are_delta_encoded),
        cmocka_unit_test(few_distinct_values_get_a_dictionary),
        cmocka_unit_test(random_values_stay_plain),
        cmocka_unit_test(doubles_are_split_for_codecs_that_gain_by_it),
        cmocka_unit_test(strings_are_encoded_by_what_they_share),
        cmocka_unit_test(columns_without_values_get_the_choice_for_their_type),
        cmocka_unit_test(the_choice_is_close_to_the_smallest_file),
    };
    return cmocka_run_group_tests_name("parquet_encoding_choice", tests, NULL, NULL);
}
