/* Functions of columns against the C library's calendar, and their texts. */
#include <time.h>

#include "column/column_function.h"
#include "support/test_support.h"

static int64_t apply_one(enum column_function function, struct column_type type, int64_t value) {
    struct arena arena;
    struct column out;
    int32_t day = (int32_t)value;
    arena_init(&arena);
    const struct column from = {.type = type, .values = type.kind == COLUMN_DATE ? (void *)&day : (void *)&value};
    assert_true(column_function_apply(&arena, function, &from, 1, &out));
    int64_t got = type.kind == COLUMN_DATE ? ((const int32_t *)out.values)[0] : ((const int64_t *)out.values)[0];
    arena_deinit(&arena);
    return got;
}

/* Seconds since 1970 of the beginning of the unit that a time lies in. */
static int64_t expected(enum column_function function, int64_t seconds) {
    time_t time = seconds;
    struct tm tm;
    gmtime_r(&time, &tm);
    switch (function) {
    case FUNCTION_TRUNC_SECOND: return seconds;
    case FUNCTION_TRUNC_YEAR:
        tm.tm_mon = 0;
        tm.tm_mday = 1;
        break;
    case FUNCTION_TRUNC_QUARTER:
        tm.tm_mon -= tm.tm_mon % 3;
        tm.tm_mday = 1;
        break;
    case FUNCTION_TRUNC_MONTH: tm.tm_mday = 1; break;
    case FUNCTION_TRUNC_WEEK: tm.tm_mday -= (tm.tm_wday + 6) % 7; break;
    default: break;
    }
    if (function >= FUNCTION_TRUNC_DAY) tm.tm_hour = 0;
    if (function >= FUNCTION_TRUNC_HOUR) tm.tm_min = 0;
    tm.tm_sec = 0;
    return timegm(&tm);
}

static void times_are_cut_to_the_beginning_of_their_unit(void **state) {
    (void)state;
    struct test_random random = test_random_of(3);
    static const int64_t per_second[] = {1, 1000, 1000000, 1000000000};
    for (int i = 0; i < 20000; i++) {
        /* From the year -200 or so to 4000; of nanoseconds what there is. */
        int64_t seconds = (int64_t)(test_random_u64(&random) % 130000000000ull) - 68000000000;
        uint8_t unit = (uint8_t)(i % 4);
        if (unit == TIME_NANO) seconds %= 9000000000;
        struct column_type type = {.kind = COLUMN_TIMESTAMP, .unit = unit};
        int64_t value = seconds * per_second[unit] + (int64_t)(test_random_u64(&random) % (uint64_t)per_second[unit]);
        for (int f = FUNCTION_TRUNC_SECOND; f <= FUNCTION_TRUNC_YEAR; f++) {
            int64_t begin = expected((enum column_function)f, seconds);
            if (unit == TIME_NANO && begin < -9223372036) continue;
            assert_int_equal(apply_one((enum column_function)f, type, value), begin * per_second[unit]);
            if (f < FUNCTION_TRUNC_DAY) continue;
            int64_t day = expected(FUNCTION_TRUNC_DAY, seconds) / 86400;
            assert_int_equal(apply_one((enum column_function)f, column_type_of(COLUMN_DATE), day), begin / 86400);
        }
    }
    /* What would begin before the first time of its type begins with it. */
    struct column_type nanos = {.kind = COLUMN_TIMESTAMP, .unit = TIME_NANO};
    assert_int_equal(apply_one(FUNCTION_TRUNC_YEAR, nanos, INT64_MIN), INT64_MIN);
    assert_int_equal(apply_one(FUNCTION_TRUNC_DAY, nanos, INT64_MIN + 5), INT64_MIN);
}

static void letters_of_ascii_change_their_case(void **state) {
    (void)state;
    static const char text[] = "Ab@[z{Ã\x84\xC3\x9CZ";
    const uint32_t offsets[] = {0, 2, 2, sizeof text - 1};
    const struct column from = {
        .type = column_type_of(COLUMN_STRING), .offsets = offsets, .bytes = (const uint8_t *)text};
    struct arena arena;
    struct column lower, upper;
    arena_init(&arena);
    assert_true(column_function_apply(&arena, FUNCTION_LOWER, &from, 3, &lower));
    assert_true(column_function_apply(&arena, FUNCTION_UPPER, &from, 3, &upper));
    for (size_t i = 0; i < sizeof text - 1; i++) {
        char c = text[i];
        bool is_upper = c >= 'A' && c <= 'Z', is_lower = c >= 'a' && c <= 'z';
        assert_int_equal((char)lower.bytes[i], is_upper ? c + 32 : c);
        assert_int_equal((char)upper.bytes[i], is_lower ? c - 32 : c);
    }
    assert_true(column_function_apply(&arena, FUNCTION_LOWER, &(struct column){.type = from.type}, 0, &lower));
    arena_deinit(&arena);
}

static void texts_are_read_as_they_are_written(void **state) {
    (void)state;
    for (int f = FUNCTION_LOWER; f < FUNCTION_ELEMENTS; f++) {
        struct buffer text = BUFFER_INIT;
        enum column_function function;
        struct slice column;
        assert_true(column_function_format(&text, (enum column_function)f, slice_of_string("a b(c)")));
        assert_true(column_function_parse(buffer_slice(&text), &function, &column));
        assert_int_equal(function, f);
        assert_true(slice_equal(column, slice_of_string("a b(c)")));
        buffer_deinit(&text);
    }
    static const char *const good[] = {" Lower( \"x\" ) ", "UPPER(x)", "date_trunc( 'WEEK' ,x)"};
    static const enum column_function are[] = {FUNCTION_LOWER, FUNCTION_UPPER, FUNCTION_TRUNC_WEEK};
    for (int i = 0; i < 3; i++) {
        enum column_function function;
        struct slice column;
        assert_true(column_function_parse(slice_of_string(good[i]), &function, &column));
        assert_int_equal(function, are[i]);
        assert_true(slice_equal(column, slice_of_string("x")));
    }
    static const char *const bad[] = {"",
                                      "x",
                                      "lower",
                                      "lower()",
                                      "lower(x",
                                      "length(x)",
                                      "date_trunc",
                                      "date_trunc('day')",
                                      "date_trunc('age', x)",
                                      "date_trunc(day, x)",
                                      "date_trunc(', x)"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        enum column_function function;
        struct slice column;
        assert_false(column_function_parse(slice_of_string(bad[i]), &function, &column));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(times_are_cut_to_the_beginning_of_their_unit),
        cmocka_unit_test(letters_of_ascii_change_their_case),
        cmocka_unit_test(texts_are_read_as_they_are_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
