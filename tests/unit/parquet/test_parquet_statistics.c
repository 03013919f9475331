/* Orders, bounds, truncation and bloom filters by themselves. */
#include <math.h>
#include <stdlib.h>

#include "parquet/bloom.h"
#include "parquet/levels.h"
#include "parquet/statistics_private.h"
#include "support/test_support.h"

static int compare(enum parquet_order order, const void *a, size_t a_size, const void *b, size_t b_size) {
    return parquet_value_compare(order, slice_of(a, a_size), slice_of(b, b_size));
}

static void values_compare_by_the_order_of_their_type(void **state) {
    static const int32_t negative = -1, one = 1;
    static const double small = -2.5, large = 1e300;
    static const uint8_t minus_one[] = {0xff}, minus_one_wide[] = {0xff, 0xff, 0xff}, plus[] = {0, 200};
    static const uint8_t half_minus_2[] = {0x00, 0xc0}, half_tiny[] = {0x01, 0x00}, half_1[] = {0x00, 0x3c};
    (void)state;
    assert_true(compare(PARQUET_ORDER_INT32, &negative, 4, &one, 4) < 0);
    assert_true(compare(PARQUET_ORDER_UINT32, &negative, 4, &one, 4) > 0);
    assert_true(compare(PARQUET_ORDER_DOUBLE, &small, 8, &large, 8) < 0);
    assert_true(compare(PARQUET_ORDER_BYTES, "ab", 2, "abc", 3) < 0);
    assert_true(compare(PARQUET_ORDER_BYTES, "\xff", 1, "a", 1) > 0);
    assert_true(compare(PARQUET_ORDER_DECIMAL_BYTES, minus_one, 1, minus_one_wide, 3) == 0);
    assert_true(compare(PARQUET_ORDER_DECIMAL_BYTES, minus_one_wide, 3, plus, 2) < 0);
    assert_true(compare(PARQUET_ORDER_FLOAT16, half_minus_2, 2, half_tiny, 2) < 0);
    assert_true(compare(PARQUET_ORDER_FLOAT16, half_tiny, 2, half_1, 2) < 0);
    /* damaged files may hold any size */
    assert_true(compare(PARQUET_ORDER_INT64, "abc", 3, "", 0) > 0);
}

static void the_order_follows_the_logical_type(void **state) {
    struct parquet_column column = {.type = PARQUET_TYPE_INT32};
    (void)state;
    assert_int_equal(parquet_column_order(&column), PARQUET_ORDER_INT32);
    column.logical = (struct parquet_logical_type){.kind = PARQUET_LOGICAL_INTEGER, .bits = 32};
    assert_int_equal(parquet_column_order(&column), PARQUET_ORDER_UINT32);
    column = (struct parquet_column){.type = PARQUET_TYPE_FIXED, .logical = {.kind = PARQUET_LOGICAL_DECIMAL}};
    assert_int_equal(parquet_column_order(&column), PARQUET_ORDER_DECIMAL_BYTES);
    column = (struct parquet_column){.type = PARQUET_TYPE_FIXED, .logical = {.kind = PARQUET_LOGICAL_INTERVAL}};
    assert_int_equal(parquet_column_order(&column), PARQUET_ORDER_NONE);
    column = (struct parquet_column){.type = PARQUET_TYPE_INT96};
    assert_int_equal(parquet_column_order(&column), PARQUET_ORDER_INT96);
}

/* An INT96 value: nanoseconds, then the day. */
static struct slice time_of(uint8_t bytes[12], int32_t day, int64_t nanos) {
    store_u64(bytes, (uint64_t)nanos);
    store_u32(bytes + 8, (uint32_t)day);
    return slice_of(bytes, 12);
}

static void int96_is_ordered_by_day_and_then_by_time(void **state) {
    uint8_t a[12], b[12];
    enum parquet_order order = PARQUET_ORDER_INT96;
    (void)state;
    assert_true(parquet_value_compare(order, time_of(a, 2440000, 999), time_of(b, 2440001, 1)) < 0);
    assert_true(parquet_value_compare(order, time_of(a, 2440000, 256), time_of(b, 2440000, 1)) > 0);
    assert_true(parquet_value_compare(order, time_of(a, -1, 5), time_of(b, 0, 0)) < 0);
    assert_true(parquet_value_compare(order, time_of(a, 7, 5), time_of(b, 7, 5)) == 0);
    uint8_t values[3][12];
    time_of(values[0], 5, 1 << 20);
    time_of(values[1], 4, INT64_C(1) << 40);
    time_of(values[2], 5, 1 << 21);
    struct bytes_view view = {.bytes = values[0], .width = 12, .count = 3};
    struct value_bounds bounds = statistics_bounds(order, &view);
    assert_true(bounds.has);
    assert_memory_equal(bounds.min.data, values[1], 12);
    assert_memory_equal(bounds.max.data, values[2], 12);
}

static void levels_are_counted(void **state) {
    struct test_random random = test_random_of(11);
    (void)state;
    for (unsigned highest = 1; highest < 20; highest++) {
        uint8_t levels[1000];
        uint64_t slots[20] = {1}, wanted[20] = {1}; /* what is there is added to */
        uint64_t count = test_random_below(&random, sizeof levels + 1);
        for (uint64_t i = 0; i < count; i++) wanted[levels[i] = (uint8_t)test_random_below(&random, highest + 1)]++;
        levels_add_counts(levels, count, (uint8_t)highest, slots);
        assert_memory_equal(slots, wanted, sizeof slots);
    }
}

static void floating_bounds_pass_over_nan_and_widen_zeros(void **state) {
    static const double values[] = {NAN, 0.0, NAN, -0.0, 0.0}, none[] = {NAN, NAN};
    struct bytes_view view = {.bytes = (const uint8_t *)values, .width = 8, .count = 5};
    struct value_bounds bounds = statistics_bounds(PARQUET_ORDER_DOUBLE, &view);
    double bound;
    (void)state;
    assert_true(bounds.has);
    memcpy(&bound, bounds.min.data, 8);
    assert_true(bound == 0 && signbit(bound));
    memcpy(&bound, bounds.max.data, 8);
    assert_true(bound == 0 && !signbit(bound));
    view = (struct bytes_view){.bytes = (const uint8_t *)none, .width = 8, .count = 2};
    assert_int_equal(bounds.nan_count, 2);
    bounds = statistics_bounds(PARQUET_ORDER_DOUBLE, &view);
    assert_false(bounds.has);
    assert_int_equal(bounds.nan_count, 2);
    static const float floats[] = {1, NAN, -NAN, INFINITY, NAN};
    view = (struct bytes_view){.bytes = (const uint8_t *)floats, .width = 4, .count = 5};
    assert_int_equal(statistics_bounds(PARQUET_ORDER_FLOAT, &view).nan_count, 3);
    static const uint8_t halves[] = {0, 0x3c, 1, 0x7c, 0, 0x7c}; /* 1, NaN, infinity */
    view = (struct bytes_view){.bytes = halves, .width = 2, .count = 3};
    assert_int_equal(statistics_bounds(PARQUET_ORDER_FLOAT16, &view).nan_count, 1);
}

static void bounds_of_many_values_are_what_a_plain_loop_finds(void **state) {
    static const struct {
        enum parquet_order order;
        uint32_t width;
    } cases[] = {{PARQUET_ORDER_INT32, 4},        {PARQUET_ORDER_UINT32, 4}, {PARQUET_ORDER_INT64, 8},
                 {PARQUET_ORDER_UINT64, 8},       {PARQUET_ORDER_BYTES, 3},  {PARQUET_ORDER_BYTES, 11},
                 {PARQUET_ORDER_DECIMAL_BYTES, 5}};
    struct test_random random = test_random_of(1);
    uint8_t bytes[11 * 50];
    (void)state;
    for (int round = 0; round < 200; round++) {
        for (size_t k = 0; k < sizeof cases / sizeof cases[0]; k++) {
            struct bytes_view view = {
                .bytes = bytes, .width = cases[k].width, .count = 1 + (uint32_t)test_random_below(&random, 50)};
            test_random_bytes(&random, bytes, sizeof bytes);
            if (round & 1) /* many equal prefixes */
                for (size_t i = 0; i < sizeof bytes; i++) bytes[i] &= 0x81;
            struct value_bounds bounds = statistics_bounds(cases[k].order, &view);
            struct slice min = bytes_view_at(&view, 0), max = min;
            for (uint32_t i = 1; i < view.count; i++) {
                struct slice value = bytes_view_at(&view, i);
                if (parquet_value_compare(cases[k].order, value, min) < 0) min = value;
                if (parquet_value_compare(cases[k].order, value, max) > 0) max = value;
            }
            assert_true(bounds.has && slice_equal(bounds.min, min) && slice_equal(bounds.max, max));
        }
    }
}

static void check_truncated_max(const char *value, uint32_t bytes_max, bool is_utf8, const char *wanted) {
    char copy[64];
    size_t size = strlen(value);
    memcpy(copy, value, size);
    size_t cut = statistics_truncate_max((uint8_t *)copy, size, bytes_max, is_utf8);
    assert_int_equal(cut, strlen(wanted));
    assert_memory_equal(copy, wanted, cut);
    assert_true(slice_compare(slice_of(copy, cut), slice_of(value, size)) >= 0);
}

static void truncated_bounds_still_bound_and_stay_utf8(void **state) {
    (void)state;
    check_truncated_max("abcdef", 10, true, "abcdef");
    check_truncated_max("abcdef", 3, true, "abd");
    check_truncated_max("ab\x7f\x7f\x7f", 4, true, "ac");
    check_truncated_max("aé\xc3\xa9", 4, true, "aê");
    check_truncated_max("\xed\x9f\xbfx", 3, true, "\xee\x80\x80");          /* over the surrogates */
    check_truncated_max("\xf4\x8f\xbf\xbfx", 4, true, "\xf4\x8f\xbf\xbfx"); /* nothing is greater */
    check_truncated_max("ab\xff\xff\xff", 4, false, "ac");
    check_truncated_max("\xff\xff\xff\xff", 2, false, "\xff\xff\xff\xff");
    check_truncated_max("a\xff\xff\xff\xff", 4, true, "b"); /* not UTF-8 at all */
    struct slice cut = statistics_truncate_min(slice_of_string("aéz"), 2, true);
    assert_true(slice_equal(cut, slice_of_string("a")));
    cut = statistics_truncate_min(slice_of_string("abc"), 2, false);
    assert_true(slice_equal(cut, slice_of_string("ab")));
}

static void only_usable_statistics_of_a_file_give_bounds(void **state) {
    static const double nan_value = NAN, one = 1, zero = 0;
    struct parquet_column column = {.type = PARQUET_TYPE_DOUBLE};
    struct parquet_statistics statistics = {
        .has_min = true, .has_max = true, .min = slice_of(&zero, 8), .max = slice_of(&one, 8)};
    struct slice min, max;
    double bound;
    (void)state;
    assert_true(parquet_statistics_bounds(&column, &statistics, &min, &max));
    memcpy(&bound, min.data, 8);
    assert_true(signbit(bound));
    statistics.max = slice_of(&nan_value, 8);
    assert_false(parquet_statistics_bounds(&column, &statistics, &min, &max));
    statistics.max = slice_of(&one, 7);
    assert_false(parquet_statistics_bounds(&column, &statistics, &min, &max));
    column.type = PARQUET_TYPE_BYTE_ARRAY;
    statistics = (struct parquet_statistics){
        .has_min = true, .has_max = true, .min = slice_of_string("a"), .max = slice_of_string("b")};
    assert_true(parquet_statistics_bounds(&column, &statistics, &min, &max));
    statistics.is_legacy = true; /* compared as signed bytes by those who wrote it */
    assert_false(parquet_statistics_bounds(&column, &statistics, &min, &max));
    statistics.max = statistics.min; /* old files have the last value as both, whatever the others are */
    assert_false(parquet_statistics_bounds(&column, &statistics, &min, &max));
    statistics.is_legacy = false;
    assert_true(parquet_statistics_bounds(&column, &statistics, &min, &max));
    column = (struct parquet_column){.type = PARQUET_TYPE_INT32,
                                     .logical = {.kind = PARQUET_LOGICAL_INTEGER, .bits = 32}}; /* unsigned */
    statistics = (struct parquet_statistics){
        .has_min = true, .has_max = true, .is_legacy = true, .min = slice_of(&one, 4), .max = slice_of(&one, 4)};
    assert_true(parquet_statistics_bounds(&column, &statistics, &min, &max));
}

static void bounds_are_believed_when_their_order_is_known(void **state) {
    static const uint8_t low[12] = {0, 1}, high[12] = {1};
    /* by type, total, not said, unknown */
    static const struct {
        struct parquet_column column;
        uint32_t bytes;
        bool believed[4], believed_when_equal[4];
    } cases[] = {
        {{.type = PARQUET_TYPE_INT32}, 4, {1, 1, 1, 0}, {1, 1, 1, 0}},
        {{.type = PARQUET_TYPE_INT32, .logical = {.kind = PARQUET_LOGICAL_INTEGER, .bits = 32}},
         4,
         {1, 1, 0, 0},
         {1, 1, 1, 0}},
        {{.type = PARQUET_TYPE_DOUBLE}, 8, {1, 1, 1, 0}, {1, 1, 1, 0}},
        {{.type = PARQUET_TYPE_BYTE_ARRAY}, 3, {1, 1, 0, 0}, {1, 1, 1, 0}},
        {{.type = PARQUET_TYPE_INT96}, 12, {1, 1, 0, 0}, {1, 1, 1, 0}},
        {{.type = PARQUET_TYPE_BYTE_ARRAY, .logical = {.kind = PARQUET_LOGICAL_VARIANT}}, 3, {0}, {0}},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        for (int order = 0; order < 4; order++) {
            struct parquet_column column = cases[i].column;
            struct parquet_statistics statistics = {.has_min = true,
                                                    .has_max = true,
                                                    .min = slice_of(low, cases[i].bytes),
                                                    .max = slice_of(high, cases[i].bytes)};
            struct slice min, max;
            column.bounds_order = (enum parquet_bounds_order)order;
            assert_int_equal(parquet_statistics_bounds(&column, &statistics, &min, &max), cases[i].believed[order]);
            assert_int_equal(parquet_column_bounds_are_ordered(&column), cases[i].believed[order]);
            statistics.max = statistics.min;
            assert_int_equal(parquet_statistics_bounds(&column, &statistics, &min, &max),
                             cases[i].believed_when_equal[order]);
        }
    }
}

static void bloom_filters_hold_what_was_inserted_at_the_promised_rate(void **state) {
    struct test_random random = test_random_of(3);
    struct parquet_bloom bloom;
    struct plinth_error error = {0};
    uint32_t wrong = 0;
    (void)state;
    assert_ok(parquet_bloom_init(&bloom, 10000, 12, &error), &error);
    assert_int_equal(bloom.owned.size, 16384);
    for (uint64_t i = 0; i < 10000; i++) parquet_bloom_insert_hash(&bloom, parquet_bloom_hash(slice_of(&i, 8)));
    for (uint64_t i = 0; i < 10000; i++) assert_true(parquet_bloom_check(&bloom, slice_of(&i, 8)));
    for (int i = 0; i < 10000; i++) {
        uint64_t other = test_random_u64(&random) | UINT64_C(1) << 63;
        wrong += parquet_bloom_check(&bloom, slice_of(&other, 8));
    }
    assert_true(wrong < 100);
    parquet_bloom_deinit(&bloom);
    assert_true(parquet_bloom_check(&bloom, slice_of_string("an empty filter excludes nothing")));
    /* XXH64 of the format: the reference value of the empty string */
    assert_true(parquet_bloom_hash(slice_of("", 0)) == UINT64_C(0xef46db3751d8e999));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_compare_by_the_order_of_their_type),
        cmocka_unit_test(the_order_follows_the_logical_type),
        cmocka_unit_test(int96_is_ordered_by_day_and_then_by_time),
        cmocka_unit_test(levels_are_counted),
        cmocka_unit_test(bounds_are_believed_when_their_order_is_known),
        cmocka_unit_test(floating_bounds_pass_over_nan_and_widen_zeros),
        cmocka_unit_test(bounds_of_many_values_are_what_a_plain_loop_finds),
        cmocka_unit_test(truncated_bounds_still_bound_and_stay_utf8),
        cmocka_unit_test(only_usable_statistics_of_a_file_give_bounds),
        cmocka_unit_test(bloom_filters_hold_what_was_inserted_at_the_promised_rate),
    };
    return cmocka_run_group_tests_name("parquet_statistics", tests, NULL, NULL);
}
