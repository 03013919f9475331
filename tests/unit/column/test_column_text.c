

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "column/time_text.h"
#include "column_model.h"

/* The text form of `text` read as this type; fails the test when it is refused. */
static void check_text(struct column_type type, const char *text, const char *wanted) {
    struct column_builder builder;
    struct plinth_error error = {0};
    assert_true(column_builder_init(&builder, type));
    assert_ok(column_builder_text(&builder, slice_of_string(text), &error), &error);
    assert_int_equal(builder.rows, 1);
    struct column column = column_builder_view(&builder);
    struct buffer formatted = BUFFER_INIT;
    assert_true(column_format(&formatted, &column, 0));
    assert_true(buffer_append_u8(&formatted, 0));
    assert_string_equal((const char *)formatted.data, wanted);
    buffer_deinit(&formatted);
    column_builder_deinit(&builder);
}

static void check_refused(struct column_type type, const char *text, const char *why) {
    struct column_builder builder;
    struct plinth_error error = {0};
    assert_true(column_builder_init(&builder, type));
    assert_status(column_builder_text(&builder, slice_of_string(text), &error), PLINTH_INVALID_ARGUMENT, &error);
    assert_error_names(&error, why);
    assert_int_equal(builder.rows, 0);
    if (builder.child) assert_int_equal(builder.child->rows, 0);
    column_builder_deinit(&builder);
}

static void same(enum column_kind kind, const char *text) { check_text(column_type_of(kind), text, text); }
static void refused(enum column_kind kind, const char *text, const char *why) {
    check_refused(column_type_of(kind), text, why);
}

static void integers_are_exact_or_refused(void **state) {
    (void)state;
    same(COLUMN_INT8, "-128");
    same(COLUMN_INT8, "127");
    same(COLUMN_INT16, "-32768");
    same(COLUMN_INT32, "2147483647");
    same(COLUMN_INT64, "-9223372036854775808");
    same(COLUMN_INT64, "9223372036854775807");
    same(COLUMN_UINT8, "255");
    same(COLUMN_UINT64, "18446744073709551615");
    check_text(column_type_of(COLUMN_INT32), " +007 ", "7");
    check_text(column_type_of(COLUMN_UINT8), "-0", "0");
    refused(COLUMN_INT8, "128", "out of range");
    refused(COLUMN_INT8, "-129", "out of range");
    refused(COLUMN_UINT8, "256", "out of range");
    refused(COLUMN_UINT8, "-1", "out of range");
    refused(COLUMN_INT64, "9223372036854775808", "out of range");
    refused(COLUMN_INT64, "-9223372036854775809", "out of range");
    refused(COLUMN_UINT64, "18446744073709551616", "out of range");
    refused(COLUMN_UINT64, "99999999999999999999999999", "out of range");
    refused(COLUMN_INT32, "", "expected digits");
    refused(COLUMN_INT32, "-", "expected digits");
    refused(COLUMN_INT32, "1.5", "expected digits");
    refused(COLUMN_INT32, "0x10", "expected digits");
    refused(COLUMN_INT32, "1\xFF\n", "\"1\\xff\\x0a\" as int32");
}

static void floats_round_to_nearest_and_read_back(void **state) {
    (void)state;
    same(COLUMN_FLOAT64, "0.1");
    same(COLUMN_FLOAT64, "-0");
    same(COLUMN_FLOAT64, "inf");
    same(COLUMN_FLOAT64, "-inf");
    same(COLUMN_FLOAT64, "nan");
    same(COLUMN_FLOAT64, "1.7976931348623157e+308");
    same(COLUMN_FLOAT64, "4.94065645841247e-324");
    same(COLUMN_FLOAT64, "0.30000000000000004");
    same(COLUMN_FLOAT32, "0.1");
    same(COLUMN_FLOAT32, "16777216");
    check_text(column_type_of(COLUMN_FLOAT64), "1e22", "1e+22");
    check_text(column_type_of(COLUMN_FLOAT64), "Infinity", "inf");
    check_text(column_type_of(COLUMN_FLOAT64), ".5", "0.5");
    check_text(column_type_of(COLUMN_FLOAT64), "5.", "5");
    check_text(column_type_of(COLUMN_FLOAT64), "0e999999999", "0");
    check_text(column_type_of(COLUMN_FLOAT64), "1e-999", "0");
    refused(COLUMN_FLOAT64, "1e309", "out of range");
    refused(COLUMN_FLOAT32, "1e39", "out of range");
    refused(COLUMN_FLOAT64, "0x1p3", "expected a number");
    refused(COLUMN_FLOAT64, "1e", "expected a number");
    refused(COLUMN_FLOAT64, "1e+", "expected a number");
    refused(COLUMN_FLOAT64, ".", "expected a number");
    refused(COLUMN_FLOAT64, "1,5", "expected a number");
    refused(COLUMN_FLOAT64, "nan(5)", "expected a number");
    refused(COLUMN_FLOAT64, "", "expected a number");
}

static void bools_have_the_usual_words(void **state) {
    (void)state;
    const char *const yes[] = {"true", "T", "1", "Yes"}, *const no[] = {"FALSE", "f", "0", "no"};
    for (int i = 0; i < 4; i++) {
        check_text(column_type_of(COLUMN_BOOL), yes[i], "true");
        check_text(column_type_of(COLUMN_BOOL), no[i], "false");
    }
    refused(COLUMN_BOOL, "maybe", "expected true or false");
    refused(COLUMN_BOOL, "", "expected true or false");
}

static void decimals_are_exact_or_refused(void **state) {
    (void)state;
    struct column_type wide = {.kind = COLUMN_DECIMAL, .precision = 38, .scale = 0};
    struct column_type money = {.kind = COLUMN_DECIMAL, .precision = 5, .scale = 2};
    struct column_type small = {.kind = COLUMN_DECIMAL, .precision = 38, .scale = 38};
    check_text(wide, "99999999999999999999999999999999999999", "99999999999999999999999999999999999999");
    check_text(wide, "-99999999999999999999999999999999999999", "-99999999999999999999999999999999999999");
    check_text(wide, "1e37", "10000000000000000000000000000000000000");
    check_text(wide, "000000000000000000000000000000000000000000000000001", "1");
    check_refused(wide, "100000000000000000000000000000000000000", "more digits");
    check_refused(wide, "1e38", "more digits");
    check_refused(wide, "123456789012345678901234567890123456789", "more digits");
    check_text(small, "0.99999999999999999999999999999999999999", "0.99999999999999999999999999999999999999");
    check_text(small, "-1e-38", "-0.00000000000000000000000000000000000001");
    check_refused(small, "1", "more digits");
    check_refused(small, "1e-39", "behind the point");
    check_text(money, "1.5", "1.50");
    check_text(money, "-.05", "-0.05");
    check_text(money, "1.5000", "1.50");
    check_text(money, "100e-2", "1.00");
    check_text(money, "0e999", "0.00");
    check_text(money, "-0", "0.00");
    check_text(money, "999.99", "999.99");
    check_refused(money, "1000", "more digits");
    check_refused(money, "1.005", "behind the point");
    check_refused(money, "", "expected digits");
    check_refused(money, "1.2.3", "expected digits");
    check_refused(money, "nan", "expected digits");
}

static void dates_know_the_calendar(void **state) {
    (void)state;
    static const char *const good[] = {"1970-01-01",   "1969-12-31", "2000-02-29",     "2024-02-29",
                                       "1600-02-29",   "0000-01-01", "9999-12-31",     "-0001-12-31",
                                       "+10000-01-01", "1858-11-17", "+5881580-07-11", "-5877641-06-23"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) same(COLUMN_DATE, good[i]);
    refused(COLUMN_DATE, "1900-02-29", "no such day");
    refused(COLUMN_DATE, "2023-02-29", "no such day");
    refused(COLUMN_DATE, "2023-04-31", "no such day");
    refused(COLUMN_DATE, "2023-00-01", "no such month");
    refused(COLUMN_DATE, "2023-13-01", "no such month");
    refused(COLUMN_DATE, "2023-01-00", "no such day");
    refused(COLUMN_DATE, "23-01-01", "expected YYYY-MM-DD");
    refused(COLUMN_DATE, "2023-1-1", "expected YYYY-MM-DD");
    refused(COLUMN_DATE, "2023-01-01x", "text after");
    refused(COLUMN_DATE, "+5881580-07-12", "out of range");
    refused(COLUMN_DATE, "-5877641-06-22", "out of range");
    assert_int_equal(days_from_civil(1970, 1, 1), 0);
    assert_int_equal(days_from_civil(1969, 12, 31), -1);
    assert_int_equal(days_from_civil(2000, 3, 1), 11017);
    int64_t year, next_year;
    unsigned month, day, next_month, next_day;
    for (int64_t days = -800000; days < 800000; days++) { /* each day follows the one before */
        civil_from_days(days, &year, &month, &day);
        civil_from_days(days + 1, &next_year, &next_month, &next_day);
        assert_true(days_from_civil(year, month, day) == days);
        bool follows = next_day == day + 1 ? next_month == month && next_year == year : next_day == 1 && day >= 28;
        assert_true(follows);
    }
}

static void timestamps_are_exact_or_refused(void **state) {
    (void)state;
    struct column_type seconds = {.kind = COLUMN_TIMESTAMP, .unit = TIME_SECOND};
    struct column_type millis = {.kind = COLUMN_TIMESTAMP, .unit = TIME_MILLI};
    struct column_type nanos = {.kind = COLUMN_TIMESTAMP, .unit = TIME_NANO};
    struct column_type zoned = {.kind = COLUMN_TIMESTAMP, .unit = TIME_MICRO, .zoned = true};
    check_text(seconds, "2013-01-01 10:00:00", "2013-01-01T10:00:00");
    check_text(seconds, "2013-01-01T10:00", "2013-01-01T10:00:00");
    check_text(seconds, "2013-01-01", "2013-01-01T00:00:00");
    check_text(seconds, "1969-12-31T23:59:59Z", "1969-12-31T23:59:59");
    check_text(seconds, "2013-01-01T10:00:00.000", "2013-01-01T10:00:00");
    check_text(millis, "1969-12-31T23:59:59.999", "1969-12-31T23:59:59.999");
    check_text(millis, "1900-03-01T00:00:00.5", "1900-03-01T00:00:00.500");
    check_text(nanos, "1677-09-21T00:12:43.145224192", "1677-09-21T00:12:43.145224192");
    check_text(nanos, "2262-04-11T23:47:16.854775807", "2262-04-11T23:47:16.854775807");
    check_text(zoned, "2024-02-29T23:30:00-01:00", "2024-03-01T00:30:00Z");
    check_text(zoned, "2024-01-01T00:00:00+0530", "2023-12-31T18:30:00Z");
    check_text(zoned, "2024-01-01 00:00:00.000001+00", "2024-01-01T00:00:00.000001Z");
    check_text(zoned, "2024-01-01 00:00:00 UTC", "2024-01-01T00:00:00Z");
    check_text(zoned, "2024-01-01T00:00:00", "2024-01-01T00:00:00Z");
    check_refused(seconds, "2013-01-01T10:00:00.5", "more digits of a second");
    check_refused(seconds, "2013-01-01T10:00:00+01:00", "a zone");
    check_refused(millis, "2013-01-01T10:00:00.0001", "more digits of a second");
    check_refused(nanos, "1677-09-21T00:12:43.145224191", "out of range");
    check_refused(nanos, "2262-04-11T23:47:16.854775808", "out of range");
    check_refused(zoned, "2013-01-01T24:00:00", "no such time");
    check_refused(zoned, "2013-01-01T23:60:00", "no such time");
    check_refused(zoned, "2013-01-01T10:00:00+99", "no such zone");
    check_refused(zoned, "2013-01-01T10:00:00.", "expected digits");
    check_refused(zoned, "2013-01-01T10", "expected hh:mm:ss");
    check_refused(zoned, "2013-01-01T10:00:00Zulu", "text after");
    check_refused(zoned, "today", "expected YYYY-MM-DD");
}

static void uuids_bytes_and_strings(void **state) {
    (void)state;
    same(COLUMN_UUID, "123e4567-e89b-12d3-a456-426614174000");
    check_text(column_type_of(COLUMN_UUID), "123E4567E89B12D3A456426614174000", "123e4567-e89b-12d3-a456-426614174000");
    refused(COLUMN_UUID, "123e4567-e89b-12d3-a456-42661417400", "hexadecimal");
    refused(COLUMN_UUID, "123e4567xe89b-12d3-a456-426614174000", "hexadecimal");
    refused(COLUMN_UUID, "123e4567-e89b-12d3-a456-42661417400g", "hexadecimal");
    same(COLUMN_BYTES, "plain");
    same(COLUMN_BYTES, "\\x00ff");
    same(COLUMN_BYTES, "\\x5c78"); /* "\x" itself */
    check_text(column_type_of(COLUMN_BYTES), "\\x414243", "ABC");
    check_text(column_type_of(COLUMN_BYTES), "\xFF", "\\xff");
    refused(COLUMN_BYTES, "\\x123", "odd number");
    refused(COLUMN_BYTES, "\\x1g", "hexadecimal digit");
    same(COLUMN_STRING, " spaces stay ");
    same(COLUMN_STRING, "");
    refused(COLUMN_STRING, "\xC3", "not UTF-8");
}

static void lists_quote_what_needs_it(void **state) {
    (void)state;
    struct column_type numbers = {.kind = COLUMN_LIST, .element = COLUMN_INT32};
    struct column_type texts = {.kind = COLUMN_LIST, .element = COLUMN_STRING};
    struct column_type bytes = {.kind = COLUMN_LIST, .element = COLUMN_BYTES};
    check_text(numbers, "{1, -2 ,NULL}", "{1,-2,null}");
    check_text(numbers, " { } ", "{}");
    check_text(texts, "{a, b c ,\"d,e\",\"\\\"\\\\\",\"\",\"null\",null}",
               "{a,b c,\"d,e\",\"\\\"\\\\\",\"\",\"null\",null}");
    check_text(bytes, "{\"\\\\x00\",a}", "{\"\\\\x00\",a}");
    check_refused(numbers, "1,2", "expected {value,...}");
    check_refused(numbers, "{1,2", "expected {value,...}");
    check_refused(numbers, "{1,,2}", "empty list element");
    check_refused(numbers, "{1,}", "empty list element");
    check_refused(numbers, "{1,x}", "expected digits");
    check_refused(numbers, "{1 \"2\"}", "expected a comma");
    check_refused(texts, "{\"a}", "not closed");
    check_refused(texts, "{\"a\\}", "not closed");
    check_refused(texts, "{{a}}", "empty list element");
}

/* Every value of every type survives being text. */
static void every_value_reads_back_from_its_text(void **state) {
    (void)state;
    struct test_random random = test_random_of(model_seed());
    for (unsigned i = 0; i < MODEL_TYPES; i++) {
        struct column_builder from = model_builder(&random, model_type(i), 2000, 0), into;
        struct column column = column_builder_view(&from);
        assert_true(column_builder_init(&into, model_type(i)));
        for (uint32_t row = 0; row < from.rows; row++) {
            struct buffer text = BUFFER_INIT;
            struct plinth_error error = {0};
            assert_true(column_format(&text, &column, row));
            assert_ok(column_builder_text(&into, buffer_slice(&text), &error), &error);
            struct column read = column_builder_view(&into);
            if (model_type(i).kind == COLUMN_LIST)
                model_assert_equal(&column, row, &read, row);
            else if (model_compare(&column, row, &read, row))
                fail_msg("%.*s", (int)text.size, (char *)text.data);
            buffer_deinit(&text);
        }
        column_builder_deinit(&from);
        column_builder_deinit(&into);
    }
}

/* The short way of reading floats agrees with the C library's. */
static void floats_agree_with_strtod(void **state) {
    (void)state;
    struct test_random random = test_random_of(model_seed() + 1);
    struct column_builder wide, narrow;
    assert_true(column_builder_init(&wide, column_type_of(COLUMN_FLOAT64)));
    assert_true(column_builder_init(&narrow, column_type_of(COLUMN_FLOAT32)));
    for (int i = 0; i < 50000; i++) {
        char text[64];
        unsigned long long digits = test_random_u64(&random) >> test_random_below(&random, 64);
        int exponent = (int)test_random_below(&random, 60) - 30;
        if (i % 2)
            snprintf(text, sizeof text, "%llue%d", digits, exponent);
        else
            snprintf(text, sizeof text, "%llu.%05llu", digits, (unsigned long long)test_random_below(&random, 100000));
        column_builder_clear(&wide);
        column_builder_clear(&narrow);
        assert_ok(column_builder_text(&wide, slice_of_string(text), NULL), NULL);
        struct column column = column_builder_view(&wide);
        assert_true(*(const double *)column.values == strtod(text, NULL));
        if (isinf(strtof(text, NULL))) continue;
        assert_ok(column_builder_text(&narrow, slice_of_string(text), NULL), NULL);
        column = column_builder_view(&narrow);
        assert_true(*(const float *)column.values == strtof(text, NULL));
    }
    column_builder_deinit(&wide);
    column_builder_deinit(&narrow);
}

/* What `column_format` gives for the last row. */
static void format_last(const struct column_builder *builder, char text[64]) {
    struct buffer formatted = BUFFER_INIT;
    struct column column = column_builder_view(builder);
    assert_true(column_format(&formatted, &column, builder->rows - 1));
    snprintf(text, 64, "%.*s", (int)formatted.size, (const char *)formatted.data);
    buffer_deinit(&formatted);
}

/* The short way of writing floats agrees with printf's. */
static void floats_are_written_as_printf_does(void **state) {
    (void)state;
    struct test_random random = test_random_of(model_seed() + 2);
    struct column_builder wide, narrow;
    assert_true(column_builder_init(&wide, column_type_of(COLUMN_FLOAT64)));
    assert_true(column_builder_init(&narrow, column_type_of(COLUMN_FLOAT32)));
    for (int i = 0; i < 100000; i++) {
        char text[64], wanted[64];
        double digits = (double)(test_random_u64(&random) >> (11 + test_random_below(&random, 52)));
        double value = digits / pow(10, (double)test_random_below(&random, 16)) * (i % 2 ? 1 : -1);
        column_builder_clear(&wide);
        assert_true(column_builder_float(&wide, value));
        format_last(&wide, text);
        for (int precision = 15; precision <= 17; precision++) {
            snprintf(wanted, sizeof wanted, "%.*g", precision, value);
            if (strtod(wanted, NULL) == value) break;
        }
        assert_string_equal(text, wanted);
        column_builder_clear(&narrow);
        assert_true(column_builder_float(&narrow, value));
        format_last(&narrow, text);
        for (int precision = 6; precision <= 9; precision++) {
            snprintf(wanted, sizeof wanted, "%.*g", precision, (double)(float)value);
            if (strtof(wanted, NULL) == (float)value) break;
        }
        assert_string_equal(text, wanted);
    }
    column_builder_deinit(&wide);
    column_builder_deinit(&narrow);
}

static void nulls_have_no_text(void **state) {
    (void)state;
    struct column_builder builder;
    struct buffer text = BUFFER_INIT;
    assert_true(column_builder_init(&builder, column_type_of(COLUMN_INT32)));
    assert_true(column_builder_null(&builder));
    struct column column = column_builder_view(&builder);
    assert_true(column_format(&text, &column, 0));
    assert_int_equal(text.size, 0);
    column_builder_deinit(&builder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integers_are_exact_or_refused),
        cmocka_unit_test(floats_round_to_nearest_and_read_back),
        cmocka_unit_test(bools_have_the_usual_words),
        cmocka_unit_test(decimals_are_exact_or_refused),
        cmocka_unit_test(dates_know_the_calendar),
        cmocka_unit_test(timestamps_are_exact_or_refused),
        cmocka_unit_test(uuids_bytes_and_strings),
        cmocka_unit_test(lists_quote_what_needs_it),
        cmocka_unit_test(every_value_reads_back_from_its_text),
        cmocka_unit_test(floats_agree_with_strtod),
        cmocka_unit_test(floats_are_written_as_printf_does),
        cmocka_unit_test(nulls_have_no_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
