/* What is true, false and unknown, on small tables written out. Every case is also run negated (assert_truths). */
#include "predicate_support.h"

#include <math.h>
#include <stdio.h>

static struct table table;

static int setup(void **state) {
    (void)state;
    table = (struct table){0};
    return 0;
}

static int teardown(void **state) {
    (void)state;
    table_deinit(&table);
    predicates_reset();
    return 0;
}

static void integers(const char *name, enum column_kind kind, const int64_t *values, uint32_t count) {
    struct column_builder *builder = table_add(&table, name, column_type_of(kind));
    for (uint32_t i = 0; i < count; i++) assert_true(column_builder_integer(builder, values[i]));
    assert_true(column_builder_null(builder));
}

static void strings(const char *name, enum column_kind kind, const char *const *values, uint32_t count) {
    struct column_builder *builder = table_add(&table, name, column_type_of(kind));
    for (uint32_t i = 0; i < count; i++) {
        assert_true(column_builder_bytes_value(builder, slice_of_string(values[i])));
    }
    assert_true(column_builder_null(builder));
}

#define INTEGERS(name, kind, ...)                                                                                      \
    integers(name, kind, (const int64_t[]){__VA_ARGS__}, sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t))
#define STRINGS(name, ...)                                                                                             \
    strings(name, COLUMN_STRING, (const char *const[]){__VA_ARGS__},                                                   \
            sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

/* Rows: (T, T), (T, F), (T, U), (F, T), ... */
static void logic_follows_the_truth_tables(void **state) {
    (void)state;
    struct column_builder *a = table_add(&table, "a", column_type_of(COLUMN_BOOL));
    struct column_builder *b = table_add(&table, "b", column_type_of(COLUMN_BOOL));
    for (int i = 0; i < 9; i++) {
        assert_true(i / 3 == 2 ? column_builder_null(a) : column_builder_bool(a, i / 3 == 0));
        assert_true(i % 3 == 2 ? column_builder_null(b) : column_builder_bool(b, i % 3 == 0));
    }
    table_finish(&table);
    const struct predicate *x = compare("a", COMPARE_EQ, of_bool(true)), *y = compare("b", COMPARE_EQ, of_bool(true));
    assert_truths(&table, x, "TTTFFFUUU");
    assert_truths(&table, both(x, y), "TFUFFFUFU");
    assert_truths(&table, either(x, y), "TTTTFUTUU");
    assert_truths(&table, both(x, constant(TRUTH_UNKNOWN)), "UUUFFFUUU");
    assert_truths(&table, either(x, constant(TRUTH_UNKNOWN)), "TTTUUUUUU");
    assert_truths(&table, both(x, constant(TRUTH_TRUE)), "TTTFFFUUU");
    assert_truths(&table, either(x, constant(TRUTH_TRUE)), "TTTTTTTTT");
    assert_truths(&table, both(negation(x), negation(both(x, negation(y)))), "FFFTTTUUU");
    assert_truths(&table, group(PREDICATE_AND, NULL, 0), "TTTTTTTTT");
    assert_truths(&table, group(PREDICATE_OR, NULL, 0), "FFFFFFFFF");
    assert_truths(&table, is_null("a"), "FFFFFFTTT");
}

static void booleans_compare_false_below_true(void **state) {
    (void)state;
    struct column_builder *a = table_add(&table, "a", column_type_of(COLUMN_BOOL));
    assert_true(column_builder_bool(a, false) && column_builder_bool(a, true) && column_builder_null(a));
    table_finish(&table);
    assert_truths(&table, compare("a", COMPARE_NE, of_bool(true)), "TFU");
    assert_truths(&table, compare("a", COMPARE_LT, of_bool(true)), "TFU");
    assert_truths(&table, compare("a", COMPARE_LT, of_bool(false)), "FFU");
    assert_truths(&table, compare("a", COMPARE_LE, of_bool(true)), "TTU");
    assert_truths(&table, compare("a", COMPARE_LE, of_bool(false)), "TFU");
    assert_truths(&table, compare("a", COMPARE_GT, of_bool(false)), "FTU");
    assert_truths(&table, compare("a", COMPARE_GT, of_bool(true)), "FFU");
    assert_truths(&table, compare("a", COMPARE_GE, of_bool(false)), "TTU");
    assert_truths(&table, compare("a", COMPARE_GE, of_bool(true)), "FTU");
    assert_truths(&table, compare("a", COMPARE_EQ, of_text("true")), "FTU");
    assert_truths(&table, in_list("a", of_bool(true), of_bool(false)), "TTU");
    assert_truths(&table, in_list("a", of_bool(true), null_literal()), "UTU");
}

static void integers_compare_with_what_they_cannot_be(void **state) {
    (void)state;
    INTEGERS("a", COLUMN_INT8, -128, 1, 2, 3, 127);
    table_finish(&table);
    assert_truths(&table, compare("a", COMPARE_LT, of_float(2.5)), "TTTFFU");
    assert_truths(&table, compare("a", COMPARE_LE, of_float(2.5)), "TTTFFU");
    assert_truths(&table, compare("a", COMPARE_GT, of_float(2.5)), "FFFTTU");
    assert_truths(&table, compare("a", COMPARE_GE, of_number("2.5")), "FFFTTU");
    assert_truths(&table, compare("a", COMPARE_EQ, of_float(2.5)), "FFFFFU");
    assert_truths(&table, compare("a", COMPARE_NE, of_float(2.5)), "TTTTTU");
    assert_truths(&table, compare("a", COMPARE_EQ, of_number("2.000")), "FFTFFU");
    assert_truths(&table, compare("a", COMPARE_EQ, of_number("0.2e1")), "FFTFFU");
    assert_truths(&table, compare("a", COMPARE_GT, of_number("-0.5")), "FTTTTU");
    assert_truths(&table, compare("a", COMPARE_LT, of_int(300)), "TTTTTU");
    assert_truths(&table, compare("a", COMPARE_GE, of_int(300)), "FFFFFU");
    assert_truths(&table, compare("a", COMPARE_GE, of_int(-129)), "TTTTTU");
    assert_truths(&table, compare("a", COMPARE_LE, of_int(-129)), "FFFFFU");
    assert_truths(&table, compare("a", COMPARE_LE, of_int(-128)), "TFFFFU");
    assert_truths(&table, compare("a", COMPARE_GT, of_number("127.5")), "FFFFFU");
    assert_truths(&table, compare("a", COMPARE_LT, of_number("1e99999999999")), "TTTTTU");
    assert_truths(&table, compare("a", COMPARE_GT, of_number("1e-99999999999")), "FTTTTU");
    assert_truths(&table, compare("a", COMPARE_LT, of_float(INFINITY)), "TTTTTU");
    assert_truths(&table, compare("a", COMPARE_GT, of_float(-INFINITY)), "TTTTTU");
    assert_truths(&table, compare("a", COMPARE_LT, of_float(NAN)), "TTTTTU");
    assert_truths(&table, compare("a", COMPARE_EQ, of_text("127")), "FFFFTU");
    assert_truths(&table, compare("a", COMPARE_EQ, null_literal()), "UUUUUU");
    assert_truths(&table, in_list("a", of_int(1), of_int(300), of_float(2.5), of_int(127)), "FTFFTU");
    assert_truths(&table, in_list("a", of_int(300), of_float(2.5)), "FFFFFU");
}

static void unsigned_integers_reach_above_signed_ones(void **state) {
    (void)state;
    INTEGERS("a", COLUMN_UINT64, 0, INT64_MAX, -1 /* UINT64_MAX */, INT64_MIN /* 2^63 */);
    table_finish(&table);
    assert_truths(&table, compare("a", COMPARE_GT, of_int(INT64_MAX)), "FFTTU");
    assert_truths(&table, compare("a", COMPARE_EQ, of_uint(UINT64_MAX)), "FFTFU");
    assert_truths(&table, compare("a", COMPARE_GE, of_int(-1)), "TTTTU");
    assert_truths(&table, compare("a", COMPARE_EQ, of_int(-1)), "FFFFU");
    assert_truths(&table, compare("a", COMPARE_LE, of_number("18446744073709551616")), "TTTTU");
    assert_truths(&table, compare("a", COMPARE_EQ, of_float(0x1p63)), "FFFTU");
    assert_truths(&table, in_list("a", of_int(0), of_uint(1ull << 63)), "TFFTU");
}

static void every_integer_width_compares(void **state) {
    (void)state;
    static const enum column_kind kinds[] = {COLUMN_INT8,  COLUMN_INT16,  COLUMN_INT32,  COLUMN_INT64,
                                             COLUMN_UINT8, COLUMN_UINT16, COLUMN_UINT32, COLUMN_UINT64};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        INTEGERS("a", kinds[i], 5, 100, 0, 127);
        table_finish(&table);
        assert_truths(&table, compare("a", COMPARE_EQ, of_int(100)), "FTFFU");
        assert_truths(&table, compare("a", COMPARE_NE, of_int(100)), "TFTTU");
        assert_truths(&table, compare("a", COMPARE_LT, of_int(100)), "TFTFU");
        assert_truths(&table, compare("a", COMPARE_LE, of_int(100)), "TTTFU");
        assert_truths(&table, compare("a", COMPARE_GT, of_int(100)), "FFFTU");
        assert_truths(&table, compare("a", COMPARE_GE, of_int(100)), "FTFTU");
        assert_truths(&table, in_list("a", of_int(5), of_int(127), of_int(6)), "TFFTU");
        table_deinit(&table);
    }
}

/* -inf, -1.5, -0.0, 0.0, 2.5, inf, NaN, -NaN, null */
static void floats(enum column_kind kind) {
    static const double values[] = {-INFINITY, -1.5, -0.0, 0.0, 2.5, INFINITY, NAN, -NAN};
    struct column_builder *builder = table_add(&table, "a", column_type_of(kind));
    for (size_t i = 0; i < 8; i++) assert_true(column_builder_float(builder, values[i]));
    assert_true(column_builder_null(builder));
    table_finish(&table);
}

static void floats_put_nan_above_everything_and_know_one_zero(void **state) {
    (void)state;
    for (enum column_kind kind = COLUMN_FLOAT32; kind <= COLUMN_FLOAT64; kind++) {
        floats(kind);
        assert_truths(&table, compare("a", COMPARE_EQ, of_float(-0.0)), "FFTTFFFFU");
        assert_truths(&table, compare("a", COMPARE_LT, of_float(0)), "TTFFFFFFU");
        assert_truths(&table, compare("a", COMPARE_GT, of_float(0)), "FFFFTTTTU");
        assert_truths(&table, compare("a", COMPARE_GE, of_float(INFINITY)), "FFFFFTTTU");
        assert_truths(&table, compare("a", COMPARE_NE, of_float(2.5)), "TTTTFTTTU");
        assert_truths(&table, compare("a", COMPARE_EQ, of_float(NAN)), "FFFFFFTTU");
        assert_truths(&table, compare("a", COMPARE_NE, of_float(NAN)), "TTTTTTFFU");
        assert_truths(&table, compare("a", COMPARE_LT, of_float(NAN)), "TTTTTTFFU");
        assert_truths(&table, compare("a", COMPARE_LE, of_float(NAN)), "TTTTTTTTU");
        assert_truths(&table, compare("a", COMPARE_GT, of_float(NAN)), "FFFFFFFFU");
        assert_truths(&table, compare("a", COMPARE_GE, of_float(NAN)), "FFFFFFTTU");
        assert_truths(&table, compare("a", COMPARE_GT, of_text("-Infinity")), "FTTTTTTTU");
        assert_truths(&table, compare("a", COMPARE_GT, of_number("1e999")), "FFFFFTTTU");
        assert_truths(&table, compare("a", COMPARE_LT, of_number("-1e999")), "TFFFFFFFU");
        assert_truths(&table, compare("a", COMPARE_EQ, of_number("1e999")), "FFFFFFFFU");
        assert_truths(&table, in_list("a", of_float(NAN), of_int(0), of_float(2.5)), "FFTTTFTTU");
        table_deinit(&table);
    }
}

static void float32_compares_exactly_with_doubles(void **state) {
    (void)state;
    struct column_builder *builder = table_add(&table, "a", column_type_of(COLUMN_FLOAT32));
    const float values[] = {0.1f, 16777216.0f, 16777218.0f, 3.4028235e38f};
    for (int i = 0; i < 4; i++) assert_true(column_builder_float(builder, (double)values[i]));
    table_finish(&table);
    assert_truths(&table, compare("a", COMPARE_EQ, of_float(0.1)), "FFFF");
    assert_truths(&table, compare("a", COMPARE_GT, of_float(0.1)), "TTTT");
    assert_truths(&table, compare("a", COMPARE_EQ, of_number("0.1")), "TFFF");
    assert_truths(&table, compare("a", COMPARE_EQ, of_int(16777217)), "FFFF");
    assert_truths(&table, compare("a", COMPARE_LE, of_int(16777217)), "TTFF");
    assert_truths(&table, compare("a", COMPARE_GE, of_int(16777217)), "FFTT");
    assert_truths(&table, compare("a", COMPARE_LT, of_float(1e39)), "TTTT");
    assert_truths(&table, compare("a", COMPARE_GT, of_float(1e39)), "FFFF");
}

static void float64_compares_exactly_with_integers(void **state) {
    (void)state;
    struct column_builder *builder = table_add(&table, "a", column_type_of(COLUMN_FLOAT64));
    assert_true(column_builder_float(builder, 0x1p53) && column_builder_float(builder, 0x1p53 + 2));
    table_finish(&table);
    assert_truths(&table, compare("a", COMPARE_EQ, of_int((1ll << 53) + 1)), "FF");
    assert_truths(&table, compare("a", COMPARE_LT, of_int((1ll << 53) + 1)), "TF");
    assert_truths(&table, compare("a", COMPARE_GT, of_int((1ll << 53) + 1)), "FT");
    assert_truths(&table, compare("a", COMPARE_LT, of_uint(UINT64_MAX)), "TT");
}

static void decimals_compare_exactly(void **state) {
    (void)state;
    struct column_type type = {.kind = COLUMN_DECIMAL, .precision = 5, .scale = 2};
    struct column_builder *builder = table_add(&table, "a", type);
    const int values[] = {-12345, -1, 0, 10, 1050, 99999};
    for (int i = 0; i < 6; i++) {
        __extension__ __int128 value = values[i];
        assert_true(column_builder_bytes_value(builder, slice_of(&value, sizeof value)));
    }
    assert_true(column_builder_null(builder));
    table_finish(&table);
    assert_truths(&table, compare("a", COMPARE_EQ, of_number("10.50")), "FFFFTFU");
    assert_truths(&table, compare("a", COMPARE_EQ, of_float(0.1)), "FFFTFFU");
    assert_truths(&table, compare("a", COMPARE_GT, of_int(10)), "FFFFTTU");
    assert_truths(&table, compare("a", COMPARE_GT, of_number("10.495")), "FFFFTTU");
    assert_truths(&table, compare("a", COMPARE_LE, of_number("-0.005")), "TTFFFFU");
    assert_truths(&table, compare("a", COMPARE_EQ, of_number("10.505")), "FFFFFFU");
    assert_truths(&table, compare("a", COMPARE_LT, of_int(1000)), "TTTTTTU");
    assert_truths(&table, compare("a", COMPARE_GE, of_number("999.99")), "FFFFFTU");
    assert_truths(&table, compare("a", COMPARE_GT, of_number("-1e40")), "TTTTTTU");
    assert_truths(&table, compare("a", COMPARE_LT, of_text("-123.44")), "TFFFFFU");
    assert_truths(&table, in_list("a", of_number("0.1"), of_int(0), of_number("999.990"), of_number("0.001")),
                  "FFTTFTU");
}

static void strings_compare_by_their_bytes(void **state) {
    (void)state;
    STRINGS("a", "", "a", "ab", "b", "\xc3\xa9", "B", "abcdefghi");
    table_finish(&table);
    assert_truths(&table, compare("a", COMPARE_EQ, of_text("ab")), "FFTFFFFU");
    assert_truths(&table, compare("a", COMPARE_EQ, of_text("")), "TFFFFFFU");
    assert_truths(&table, compare("a", COMPARE_NE, of_text("\xc3\xa9")), "TTTTFTTU");
    assert_truths(&table, compare("a", COMPARE_LT, of_text("ab")), "TTFFFTFU");
    assert_truths(&table, compare("a", COMPARE_LE, of_text("ab")), "TTTFFTFU");
    assert_truths(&table, compare("a", COMPARE_GT, of_text("ab")), "FFFTTFTU");
    assert_truths(&table, compare("a", COMPARE_GE, of_text("ab")), "FFTTTFTU");
    assert_truths(&table, match(PREDICATE_PREFIX, "a", of_text("a")), "FTTFFFTU");
    assert_truths(&table, match(PREDICATE_PREFIX, "a", of_text("")), "TTTTTTTU");
    assert_truths(&table, in_list("a", of_text("b"), of_text(""), of_text("b"), of_text("zz")), "TFFTFFFU");
    assert_truths(&table, in_list("a", of_text("b"), null_literal()), "UUUTUUUU");
    assert_truths(&table, in_list("a", null_literal()), "UUUUUUUU");
    assert_truths(&table, in("a", NULL, 0), "FFFFFFFF");
}

static void bytes_take_raw_literals(void **state) {
    (void)state;
    strings("a", COLUMN_BYTES, (const char *const[]){"", "a\xff", "b"}, 3);
    struct column_builder *id = table_add(&table, "id", column_type_of(COLUMN_UUID));
    uint8_t uuid[16] = {0x12, 0x34};
    for (int i = 0; i < 3; i++, uuid[15]++) assert_true(column_builder_bytes_value(id, slice_of(uuid, 16)));
    assert_true(column_builder_null(id));
    table_finish(&table);
    uuid[15] = 1;
    assert_truths(&table, compare("a", COMPARE_EQ, of_bytes("a\xff", 2)), "FTFU");
    assert_truths(&table, match(PREDICATE_PREFIX, "a", of_bytes("a", 1)), "FTFU");
    assert_truths(&table, in_list("a", of_bytes("b", 1), of_bytes("a\xff", 2)), "FTTU");
    assert_truths(&table, compare("id", COMPARE_EQ, of_bytes(uuid, 16)), "FTFU");
    assert_truths(&table, compare("id", COMPARE_GT, of_bytes(uuid, 16)), "FFTU");
    assert_truths(&table, compare("id", COMPARE_LE, of_text("12340000-0000-0000-0000-000000000001")), "TTFU");
    assert_truths(&table, in_list("id", of_bytes(uuid, 16), of_text("12340000-0000-0000-0000-000000000002")), "FTTU");
}

static void like_knows_wildcards_escapes_and_characters(void **state) {
    (void)state;
    STRINGS("a", "", "abc", "a%c", "a_c", "xaxbxc", "\xc3\xa9t\xc3\xa9", "a\\c", "abcabc");
    table_finish(&table);
    static const struct {
        const char *pattern, *truths;
    } cases[] = {
        {"", "TFFFFFFFU"},        {"%", "TTTTTTTTU"},         {"%%", "TTTTTTTTU"},         {"abc", "FTFFFFFFU"},
        {"a%", "FTTTFFTTU"},      {"%c", "FTTTTFTTU"},        {"a_c", "FTTTFFTFU"},        {"a\\_c", "FFFTFFFFU"},
        {"a\\%c", "FFTFFFFFU"},   {"a\\\\c", "FFFFFFTFU"},    {"___", "FTTTFTTFU"},        {"_", "FFFFFFFFU"},
        {"%b%", "FTFFTFFTU"},     {"%a%b%c%", "FTFFTFFTU"},   {"a%c", "FTTTFFTTU"},        {"%bc", "FTFFFFFTU"},
        {"_t_", "FFFFFTFFU"},     {"\xc3\xa9%", "FFFFFTFFU"}, {"%_\xc3\xa9", "FFFFFTFFU"}, {"%abc%abc", "FFFFFFFTU"},
        {"abc%abc", "FFFFFFFTU"}, {"ab%bc", "FFFFFFFTU"},     {"%____%", "FFFFTFFTU"},     {"%_b%_c", "FFFFTFFTU"},
        {"_%_%_", "FTTTTTTTU"},   {"\\a%", "FTTTFFTTU"},      {"%\\%%", "FFTFFFFFU"},      {"%b_", "FTFFFFFTU"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_truths(&table, match(PREDICATE_LIKE, "a", of_text(cases[i].pattern)), cases[i].truths);
    }
    assert_truths(&table, match(PREDICATE_LIKE, "a", null_literal()), "UUUUUUUUU");
    assert_refused(&table, match(PREDICATE_LIKE, "a", of_text("abc\\")), "escape");
}

static void like_with_many_wildcards_takes_no_exponential_time(void **state) {
    (void)state;
    struct column_builder *builder = table_add(&table, "a", column_type_of(COLUMN_STRING));
    static uint8_t text[100000];
    memset(text, 'a', sizeof text);
    assert_true(column_builder_bytes_value(builder, slice_of(text, sizeof text)));
    table_finish(&table);
    char pattern[512] = "";
    for (int i = 0; i < 60; i++) strcat(pattern, "%a_");
    strcat(pattern, "%b");
    assert_truths(&table, match(PREDICATE_LIKE, "a", of_text(pattern)), "F");
    pattern[strlen(pattern) - 1] = 'a';
    assert_truths(&table, match(PREDICATE_LIKE, "a", of_text(pattern)), "T");
}

static void words_are_found_whole_in_any_case(void **state) {
    (void)state;
    STRINGS("a", "Late crew", "crew, LATE; weather", "latecrew", "");
    table_finish(&table);
    assert_truths(&table, match(PREDICATE_WORDS, "a", of_text("late CREW late")), "TTFFU");
    assert_truths(&table, match(PREDICATE_WORDS, "a", of_text("weather")), "FTFFU");
    assert_truths(&table, match(PREDICATE_WORDS, "a", of_text("...")), "TTTTU");
}

/* [1, 2], [], [null, 3], [3], null, [2, null, 2] */
static void lists_contain_values_unless_a_null_could_be_it(void **state) {
    (void)state;
    struct column_type type = {.kind = COLUMN_LIST, .element = COLUMN_INT32};
    struct column_builder *lists = table_add(&table, "a", type);
    struct column_builder *child = lists->child;
    assert_true(column_builder_integer(child, 1) && column_builder_integer(child, 2) && column_builder_list(lists));
    assert_true(column_builder_list(lists));
    assert_true(column_builder_null(child) && column_builder_integer(child, 3) && column_builder_list(lists));
    assert_true(column_builder_integer(child, 3) && column_builder_list(lists));
    assert_true(column_builder_null(lists));
    assert_true(column_builder_integer(child, 2) && column_builder_null(child) && column_builder_integer(child, 2) &&
                column_builder_list(lists));
    table_finish(&table);
    assert_truths(&table, match(PREDICATE_CONTAINS, "a", of_int(2)), "TFUFUT");
    assert_truths(&table, match(PREDICATE_CONTAINS, "a", of_int(3)), "FFTTUU");
    assert_truths(&table, match(PREDICATE_CONTAINS, "a", of_float(2.5)), "FFUFUU");
    assert_truths(&table, is_null("a"), "FFFFTF");
    assert_refused(&table, compare("a", COMPARE_EQ, of_int(2)), "list<int32>");
}

static void lists_of_booleans_and_strings_are_searched(void **state) {
    (void)state;
    struct column_builder *flags = table_add(&table, "f", (struct column_type){COLUMN_LIST, .element = COLUMN_BOOL});
    struct column_builder *tags = table_add(&table, "t", (struct column_type){COLUMN_LIST, .element = COLUMN_STRING});
    for (int row = 0; row < 100; row++) {
        for (int i = 0; i < row % 3; i++) {
            assert_true(column_builder_bool(flags->child, i == 1));
            assert_true(column_builder_bytes_value(tags->child, slice_of_string(i == 1 ? "one" : "zero")));
        }
        assert_true(column_builder_list(flags) && column_builder_list(tags));
    }
    table_finish(&table);
    char truths[101] = "";
    for (int row = 0; row < 100; row++) truths[row] = row % 3 == 2 ? 'T' : 'F';
    assert_truths(&table, match(PREDICATE_CONTAINS, "f", of_bool(true)), truths);
    assert_truths(&table, match(PREDICATE_CONTAINS, "t", of_text("one")), truths);
}

static void times_compare_across_units(void **state) {
    (void)state;
    struct column_builder *ms = table_add(&table, "ms", (struct column_type){COLUMN_TIMESTAMP, .unit = TIME_MILLI});
    struct column_builder *ns = table_add(&table, "ns", (struct column_type){COLUMN_TIMESTAMP, .unit = TIME_NANO});
    struct column_builder *day = table_add(&table, "day", column_type_of(COLUMN_DATE));
    for (int i = -1; i < 3; i++) {
        assert_true(column_builder_integer(ms, i * 1000) && column_builder_integer(ns, i * 1000000000ll) &&
                    column_builder_integer(day, i));
    }
    table_finish(&table);
    const char *names[] = {"ms", "ns"};
    for (int i = 0; i < 2; i++) {
        assert_truths(&table, compare(names[i], COMPARE_EQ, of_text("1970-01-01 00:00:01")), "FFTF");
        assert_truths(&table, compare(names[i], COMPARE_LT, of_text("1970-01-01T00:00:01")), "TTFF");
        assert_truths(&table, compare(names[i], COMPARE_GT, of_text("1970-01-01")), "FFTT");
        assert_truths(&table, compare(names[i], COMPARE_GE, of_text("1970-01-01 00:00:00.000001")), "FFTT");
        assert_truths(&table, compare(names[i], COMPARE_EQ, of_text("1969-12-31 23:59:59")), "TFFF");
        assert_truths(&table, compare(names[i], COMPARE_LT, of_text("3000-01-01 00:00:00")), "TTTT");
        assert_truths(&table, compare(names[i], COMPARE_GT, of_text("3000-01-01")), "FFFF");
        assert_truths(&table, compare(names[i], COMPARE_GT, of_text("1000-01-01")), "TTTT");
    }
    assert_truths(&table, compare("ms", COMPARE_EQ, of_text("1970-01-01 00:00:01.000001")), "FFFF");
    assert_truths(&table, compare("ms", COMPARE_GT, of_text("1969-12-31 23:59:59.999999999")), "FTTT");
    assert_truths(&table, compare("day", COMPARE_GT, of_text("1970-01-01")), "FFTT");
    assert_truths(&table, compare("day", COMPARE_GT, of_text("1970-01-01 12:00:00")), "FFTT");
    assert_truths(&table, compare("day", COMPARE_GE, of_text("1970-01-01 00:00:00")), "FTTT");
    assert_truths(&table, compare("day", COMPARE_EQ, of_text("1970-01-01 00:00:01")), "FFFF");
    assert_truths(&table, in_list("day", of_text("1970-01-02"), of_text("1969-12-31")), "TFTF");
    assert_refused(&table, compare("day", COMPARE_EQ, of_text("abc")), "'abc' is not a valid date");
    assert_refused(&table, compare("ms", COMPARE_EQ, of_int(5)), "5 is not a valid timestamp");
}

static void a_large_in_finds_what_a_small_one_does(void **state) {
    (void)state;
    enum { VALUES = 3000, ROWS = 1000 };
    struct column_builder *number = table_add(&table, "n", column_type_of(COLUMN_INT64));
    struct column_builder *real = table_add(&table, "r", column_type_of(COLUMN_FLOAT64));
    struct column_builder *text = table_add(&table, "s", column_type_of(COLUMN_STRING));
    static char names[VALUES][24], truths[ROWS + 1];
    static struct literal near[VALUES], far[VALUES], reals[VALUES], texts[VALUES];
    for (int i = 0; i < VALUES; i++) {
        snprintf(names[i], sizeof names[i], "%d", i * 3);
        near[i] = of_int(i * 3);
        far[i] = of_int(i % 2 ? i * 3 : i * -1000000007ll);
        reals[i] = of_float(i * 1.5);
        texts[i] = of_text(names[i]);
    }
    for (int row = 0; row < ROWS; row++) {
        char name[24];
        snprintf(name, sizeof name, "%d", row);
        assert_true(column_builder_integer(number, row) && column_builder_float(real, row * 0.5) &&
                    column_builder_bytes_value(text, slice_of_string(name)));
        truths[row] = row % 3 == 0 ? 'T' : 'F';
    }
    table_finish(&table);
    assert_truths(&table, in("n", near, VALUES), truths);
    assert_truths(&table, in("r", reals, VALUES), truths);
    assert_truths(&table, in("s", texts, VALUES), truths);
    for (int row = 0; row < ROWS; row++) truths[row] = row == 0 || row % 6 == 3 ? 'T' : 'F';
    assert_truths(&table, in("n", far, VALUES), truths);
}

static void no_rows_are_no_trouble(void **state) {
    (void)state;
    struct column_builder *lists = table_add(&table, "l", (struct column_type){COLUMN_LIST, .element = COLUMN_INT8});
    (void)lists;
    (void)table_add(&table, "a", column_type_of(COLUMN_INT64));
    table_finish(&table);
    assert_truths(&table, compare("a", COMPARE_EQ, of_int(1)), "");
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(logic_follows_the_truth_tables),
        TEST(booleans_compare_false_below_true),
        TEST(integers_compare_with_what_they_cannot_be),
        TEST(unsigned_integers_reach_above_signed_ones),
        TEST(every_integer_width_compares),
        TEST(floats_put_nan_above_everything_and_know_one_zero),
        TEST(float32_compares_exactly_with_doubles),
        TEST(float64_compares_exactly_with_integers),
        TEST(decimals_compare_exactly),
        TEST(strings_compare_by_their_bytes),
        TEST(bytes_take_raw_literals),
        TEST(like_knows_wildcards_escapes_and_characters),
        TEST(like_with_many_wildcards_takes_no_exponential_time),
        TEST(words_are_found_whole_in_any_case),
        TEST(lists_contain_values_unless_a_null_could_be_it),
        TEST(lists_of_booleans_and_strings_are_searched),
        TEST(times_compare_across_units),
        TEST(a_large_in_finds_what_a_small_one_does),
        TEST(no_rows_are_no_trouble),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
