/* Filters as text: what they parse into (seen through predicate_format), and what is refused, with its position. */
#include "support/test_support.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "query/predicate_text.h"

static const struct predicate_column schema[] = {
    {{(const uint8_t *)"a", 1}, {COLUMN_INT64}},
    {{(const uint8_t *)"b", 1}, {COLUMN_STRING}},
    {{(const uint8_t *)"flag", 4}, {COLUMN_BOOL}},
    {{(const uint8_t *)"Tail Num", 8}, {COLUMN_STRING}},
    {{(const uint8_t *)"d", 1}, {COLUMN_DATE}},
    {{(const uint8_t *)"t", 1}, {COLUMN_TIMESTAMP, .unit = TIME_MICRO, .zoned = true}},
    {{(const uint8_t *)"x", 1}, {COLUMN_FLOAT64}},
    {{(const uint8_t *)"raw", 3}, {COLUMN_BYTES}},
    {{(const uint8_t *)"tags", 4}, {COLUMN_LIST, .element = COLUMN_STRING}},
    {{(const uint8_t *)"price", 5}, {COLUMN_DECIMAL, .precision = 20, .scale = 4}},
};
enum { COLUMN_COUNT = sizeof schema / sizeof *schema };

static struct arena arena;

static int teardown(void **state) {
    (void)state;
    arena_deinit(&arena);
    return 0;
}

static const struct predicate *parse(const char *text) {
    const struct predicate *predicate;
    struct plinth_error error;
    assert_ok(predicate_parse(slice_of_string(text), &arena, &predicate, &error), &error);
    return predicate;
}

static void assert_format(const struct predicate *predicate, const char *wanted) {
    struct buffer text = BUFFER_INIT;
    assert_true(predicate_format(&text, predicate, schema) && buffer_append_u8(&text, 0));
    assert_string_equal((char *)text.data, wanted);
    buffer_deinit(&text);
}

static void assert_parses(const char *text, const char *wanted) { assert_format(parse(text), wanted); }

static const struct predicate *bind(const struct predicate *unbound) {
    const struct predicate *bound;
    struct plinth_error error;
    assert_ok(predicate_bind(unbound, schema, COLUMN_COUNT, &arena, &bound, &error), &error);
    return bound;
}

/* What is bound is formatted as wanted, and reads back as the same. */
static void assert_binds(const char *text, const char *wanted) {
    assert_format(bind(parse(text)), wanted);
    assert_format(bind(parse(wanted)), wanted);
}

static void assert_refused_slice(struct slice text, const char *part) {
    const struct predicate *predicate = NULL;
    struct plinth_error error;
    assert_status(predicate_parse(text, &arena, &predicate, &error), PLINTH_INVALID_ARGUMENT, &error);
    assert_error_names(&error, part);
    assert_null(predicate);
}

static void assert_refused(const char *text, const char *part) { assert_refused_slice(slice_of_string(text), part); }

static void comparisons_are_read_either_way_round(void **state) {
    (void)state;
    assert_parses("a = 1", "a = 1");
    assert_parses("a != 1", "a <> 1");
    assert_parses("5 < a", "a > 5");
    assert_parses("5 >= a", "a <= 5");
    assert_parses("'x' <> b", "b <> 'x'");
    assert_parses("A<=-3 AND a>+4", "a <= -3 AND a > 4");
    assert_parses("a = - -3", "a = 3");
    assert_parses("a = 9223372036854775807", "a = 9223372036854775807");
    assert_parses("a = -9223372036854775808", "a = -9223372036854775808");
    assert_parses("a = 18446744073709551615", "a = 18446744073709551615");
    assert_parses("a = 18446744073709551616", "a = 18446744073709551616");
    assert_parses("a = -(9223372036854775808)", "a = -9223372036854775808");
    assert_parses("x = -1.50e3", "x = -1.50e3");
    assert_parses("x = 'nan'", "x = 'nan'");
    assert_parses("price > 0.1000000000000000000001", "price > 0.1000000000000000000001");
    assert_parses("a = NULL", "a = NULL");
}

static void all_conditions_are_read(void **state) {
    (void)state;
    assert_parses("a IN (1, 2, NULL, -3)", "a IN (1, 2, NULL, -3)");
    assert_parses("b NOT IN ('x')", "b NOT IN ('x')");
    assert_parses("a BETWEEN 1 AND 5", "a >= 1 AND a <= 5");
    assert_parses("a NOT BETWEEN 1 AND 5", "NOT (a >= 1 AND a <= 5)");
    assert_parses("b IS NULL", "b IS NULL");
    assert_parses("b IS NOT NULL", "b IS NOT NULL");
    assert_parses("b ISNULL OR b NOTNULL", "b IS NULL OR b IS NOT NULL");
    assert_parses("b LIKE 'x%'", "b LIKE 'x%'");
    assert_parses("b NOT LIKE '_x'", "b NOT LIKE '_x'");
    assert_parses("b LIKE 'x!%%' ESCAPE '!'", "b LIKE 'x\\%%'");
    assert_parses("b LIKE 'a\\b' ESCAPE ''", "b LIKE 'a\\\\b'");
    assert_parses("starts_with(b, 'x')", "b ^@ 'x'");
    assert_parses("b ^@ 'x'", "b ^@ 'x'");
    assert_parses("b @@ 'two words'", "b @@ 'two words'");
    assert_parses("'x' = ANY(tags)", "'x' = ANY(tags)");
    assert_parses("NOT 'x' = ANY (tags)", "NOT 'x' = ANY(tags)");
    assert_parses("flag", "flag = TRUE");
    assert_parses("NOT flag AND flag = false", "NOT (flag = TRUE) AND flag = FALSE");
    assert_parses("flag IS TRUE", "flag = TRUE AND flag IS NOT NULL");
    assert_parses("flag IS NOT FALSE", "NOT (flag = FALSE AND flag IS NOT NULL)");
    assert_parses("flag IS UNKNOWN", "flag IS NULL");
    assert_parses("TRUE OR FALSE AND NULL", "TRUE OR (FALSE AND NULL)");
    assert_parses("a = 1 OR a = 2 AND NOT (a = 3 OR a = 4)", "a = 1 OR (a = 2 AND NOT (a = 3 OR a = 4))");
    assert_parses("/* c */ a = 1 -- rest; of it", "a = 1");
}

static void identifiers_fold_unless_quoted(void **state) {
    (void)state;
    assert_parses("FLAG", "flag = TRUE");
    assert_parses("\"FLAG\"", "\"FLAG\" = TRUE");
    assert_parses("\"Tail Num\" = 'N1'", "\"Tail Num\" = 'N1'");
    assert_parses("\"a\"\"b\" = 1", "\"a\"\"b\" = 1");
    assert_parses("caf\xc3\xa9 = 1", "\"caf\xc3\xa9\" = 1");
    assert_parses("timestamp > 5 AND \"select\" = 1", "timestamp > 5 AND \"select\" = 1");
    char name[201], text[300], wanted[300];
    memset(name, 'N', 200);
    name[200] = 0;
    snprintf(text, sizeof text, "\"%s\" = 1", name);
    assert_parses(text, text);
    snprintf(text, sizeof text, "%s=1", name);
    for (int i = 0; i < 200; i++) name[i] = 'n';
    snprintf(wanted, sizeof wanted, "%s = 1", name);
    assert_parses(text, wanted);
}

static void typed_literals_are_checked(void **state) {
    (void)state;
    assert_parses("d >= DATE '2020-01-31'", "d >= '2020-01-31'");
    assert_parses("d >= '2020-01-31'::date", "d >= '2020-01-31'");
    assert_parses("d >= CAST('2020-01-31' AS date)", "d >= '2020-01-31'");
    assert_parses("t < TIMESTAMP '2020-01-31 12:00:00'", "t < '2020-01-31 12:00:00'");
    assert_parses("t < TIMESTAMP WITH TIME ZONE '2020-01-31 12:00:00Z'", "t < '2020-01-31 12:00:00Z'");
    assert_parses("raw = x'00fF'", "raw = x'00ff'");
    assert_parses("raw = '\\x00ff'::bytea", "raw = x'00ff'");
    assert_parses("b = 'x'::text AND b = 'y'::varchar", "b = 'x' AND b = 'y'");
    assert_parses("x = 1.5::float8", "x = 1.5");
    assert_parses("x = -'2.5'::double precision", "x = -2.5");
    assert_parses("a = NULL::int", "a = NULL");
    assert_parses("b = E'tab\\t' AND b = $$dollar$$", "b = 'tab\t' AND b = 'dollar'");
    assert_refused("d = DATE 'tomorrow'", "the value at character 10 is not a valid date");
    assert_refused("a = 2.5::int", "not a valid int32");
    assert_refused("a = 'x'::int", "not a valid int32");
    assert_refused("a = '1 day'::interval", "a value of type interval at character 5");
    assert_refused("b = 'x'::varchar(3)", "a value of type varchar at character 5");
    assert_refused("raw = x'0'", "hexadecimal");
    assert_refused("raw = b'01'", "a bit string at character 7");
}

static void bound_filters_read_back_as_themselves(void **state) {
    (void)state;
    assert_binds("a = 1 AND b = 'it''s'", "a = 1 AND b = 'it''s'");
    assert_binds("NOT (a IN (3, 1, 2) OR b LIKE '%x')", "a NOT IN (1, 2, 3) AND b NOT LIKE '%x'");
    assert_binds("a > 2.5 AND flag", "a >= 3 AND flag = TRUE");
    assert_binds("x IN (0.1, 1e300, 'nan')", "x IN (0.1, 1e+300, 'nan')");
    assert_binds("price = 12.5 OR price > 100000", "price = 12.5000 OR price > 100000.0000");
    assert_binds("d > '2020-02-29'", "d > '2020-02-29'");
    assert_binds("raw > x'00ff'", "raw > x'00ff'");
    assert_binds("NOT 'x' = ANY(tags)", "NOT 'x' = ANY(tags)");
    assert_binds("\"tail num\" ^@ 'N' AND b @@ 'x y'", "\"Tail Num\" ^@ 'N' AND b @@ 'x y'");
    assert_binds("a > 1e30", "NULL AND a IS NULL");
}

static void what_is_not_understood_is_named_with_its_place(void **state) {
    (void)state;
    assert_refused("length(b) = 'x'", "function length() at character 1 is not supported in a filter");
    assert_refused("a = 1 AND length(b) = 'x'", "function length() at character 11");
    assert_refused("b = '\xc3\xa9\xc3\xa9' AND length(b) = 'x'", "function length() at character 14");
    assert_refused("a + 1 = 2", "operator + at character 3");
    assert_refused("a % 2 = 0", "operator % at character 3");
    assert_refused("a = 1 + 1", "operator + at character 7");
    assert_refused("a = b", "the comparison at character 3 must be of a column with a literal");
    assert_refused("1 = 1", "the comparison at character 3 must be of a column with a literal");
    assert_refused("b ~ 'x'", "operator ~ at character 3");
    assert_refused("b ILIKE 'x'", "ILIKE at character 3");
    assert_refused("b SIMILAR TO 'x'", "SIMILAR at character 3");
    assert_refused("a IS DISTINCT FROM 5", "DISTINCT at character 6");
    assert_refused("t.a = 1", "a qualified name or * at character 1");
    assert_refused("a BETWEEN SYMMETRIC 1 AND 2", "SYMMETRIC at character 11");
    assert_refused("a = ANY('{1}')", "a value at character 9");
    assert_refused("(a = 1) IS TRUE", "IS TRUE, FALSE or UNKNOWN of an expression at character 9");
    assert_refused("(a = 1) = (b = 'x')", "not supported");
    assert_refused("a = $1", "parameter $1 at character 5");
    assert_refused("a IN (SELECT 1)", "SELECT at character 7");
    assert_refused("EXISTS (TABLE x)", "TABLE at character 9");
    assert_refused("CASE WHEN a = 1 THEN TRUE END", "CASE at character 1");
    assert_refused("a = 1 ORDER BY a", "ORDER at character 7");
    assert_refused("a = 1 UNION SELECT 2", "UNION at character 7");
    assert_refused("a = 1; DROP TABLE x", "a second statement behind ; at character 6");
    assert_refused("5", "the value at character 1 of the filter is not a condition");
    assert_refused("b LIKE 'x' ESCAPE 'ab'", "the ESCAPE at character 19");
    assert_refused("b LIKE b", "a column at character 8");
    assert_refused("current_user = 'x'", "current_user at character 1");
    assert_refused("a[1] = 2", "not supported");
    assert_refused("ROW(1, 2) = ROW(1, 2)", "not supported");
    assert_refused("COALESCE(a, 1) = 2", "not supported");
    assert_refused("* = 1", "character 1");
    assert_refused("count(*) = 1", "function count() at character 1");
}

static void syntax_errors_point_into_the_text(void **state) {
    (void)state;
    assert_refused("", "the filter is empty");
    assert_refused("   -- nothing", "the filter is empty");
    assert_refused("a = ", "syntax error at end of input (character 5)");
    assert_refused("a == 1", "character 3");
    assert_refused("a = 'x", "unterminated quoted string");
    assert_refused("a = 1 /* x", "unterminated /* comment");
    assert_refused("a = 1)", "closes a bracket at character 6");
    assert_refused("(a = 1", "syntax error");
    assert_refused("\xc3\xa9 = = 1", "(character 5)");
    assert_refused("a = 1 a", "syntax error at or near \"a\" (character 7)");
    assert_refused("a = 12abc", "trailing junk");
    assert_refused("\"\" = 1", "zero-length");
}

static void bytes_that_are_no_text_are_refused(void **state) {
    (void)state;
    assert_refused_slice(slice_of("a = 1\0 OR TRUE", 14), "a zero byte");
    assert_refused("b = '\xff'", "invalid UTF-8 at byte 5");
    char *large = malloc(PREDICATE_TEXT_BYTES_MAX + 1);
    assert_non_null(large);
    memset(large, ' ', PREDICATE_TEXT_BYTES_MAX + 1);
    assert_refused_slice(slice_of(large, PREDICATE_TEXT_BYTES_MAX + 1), "more than 1048576");
    free(large);
}

static char *repeated(const char *start, const char *part, const char *end, size_t count) {
    char *text = malloc(strlen(start) + strlen(part) * count + strlen(end) + 1);
    assert_non_null(text);
    char *at = stpcpy(text, start);
    for (size_t i = 0; i < count; i++) at = stpcpy(at, part);
    strcpy(at, end);
    return text;
}

/* On a small stack, so that a bound that is too wide shows. */
static void *parse_deep_texts(void *context) {
    (void)context;
    static const struct {
        const char *start, *part, *end;
    } cases[] = {
        {"", "(", ""},
        {"", "NOT ", "a"},
        {"a = ", "- ", "1"},
        {"a = 1", " + 1", ""},
        {"a = 1", "::int", ""},
        {"a = 1", " IS NULL", ""},
        {"a BETWEEN 1 AND NOT ", "b BETWEEN 1 AND NOT ", "c"},
        {"", "(a = 1 AND NOT ", "b"},
        {"a = ", "f(", ""},
        {"a = x", "[1", ""},
        {"a = x", "[1]", ""},
        {"", "a = ", "1"},
        {"a = 'x'", " AT TIME ZONE 'x'", ""},
        {"a = 1", " || ~ 1", ""},
        {"a", ".b", ""},
        {"a = ", "ROW(1,", "1"},
    };
    struct arena own = {0};
    uintptr_t wrong = 0;
    arena_init(&own);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (size_t count = 300; count <= 40000; count *= 5) {
            char *text = repeated(cases[i].start, cases[i].part, cases[i].end, count);
            const struct predicate *predicate;
            wrong += predicate_parse(slice_of_string(text), &own, &predicate, NULL) != PLINTH_INVALID_ARGUMENT;
            free(text);
            arena_reset(&own);
        }
    }
    arena_deinit(&own);
    return (void *)wrong;
}

static void deep_nesting_is_refused_before_it_costs_stack(void **state) {
    (void)state;
    pthread_t thread;
    pthread_attr_t attributes;
    void *wrong;
    assert_int_equal(pthread_attr_init(&attributes), 0);
    assert_int_equal(pthread_attr_setstacksize(&attributes, 1 << 20), 0);
    assert_int_equal(pthread_create(&thread, &attributes, parse_deep_texts, NULL), 0);
    assert_int_equal(pthread_join(thread, &wrong), 0);
    pthread_attr_destroy(&attributes);
    assert_ptr_equal(wrong, NULL);
    char *text = repeated("", "(", "a = 1", 60), *whole = repeated(text, ")", "", 60);
    assert_parses(whole, "a = 1");
    free(text);
    free(whole);
}

static void wide_filters_are_read(void **state) {
    (void)state;
    char *text = repeated("a IN (1", ",1234567", ")", 90000);
    assert_int_equal(parse(text)->literal_count, 90001);
    free(text);
    text = repeated("a = 1", " OR b LIKE '%x' AND a BETWEEN 1 AND 2", "", 3000);
    assert_int_equal(parse(text)->child_count, 3001);
    free(text);
}

static void *parse_often(void *context) {
    struct arena own;
    arena_init(&own);
    uintptr_t wrong = 0;
    for (int i = 0; i < 200; i++) {
        const struct predicate *predicate;
        bool good = i % 2 == 0;
        wrong += predicate_parse(slice_of_string(good ? "a = 1 AND b LIKE 'x%'" : "a = = 1"), &own, &predicate, NULL) !=
                 (good ? PLINTH_OK : PLINTH_INVALID_ARGUMENT);
        arena_reset(&own);
    }
    arena_deinit(&own);
    (void)context;
    return (void *)wrong;
}

static void threads_parse_at_the_same_time(void **state) {
    (void)state;
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) assert_int_equal(pthread_create(&threads[i], NULL, parse_often, NULL), 0);
    for (int i = 0; i < 4; i++) {
        void *wrong;
        assert_int_equal(pthread_join(threads[i], &wrong), 0);
        assert_ptr_equal(wrong, NULL);
    }
}

int main(void) {
#define TEST(name) cmocka_unit_test_teardown(name, teardown)
    const struct CMUnitTest tests[] = {
        TEST(comparisons_are_read_either_way_round),
        TEST(all_conditions_are_read),
        TEST(identifiers_fold_unless_quoted),
        TEST(typed_literals_are_checked),
        TEST(bound_filters_read_back_as_themselves),
        TEST(what_is_not_understood_is_named_with_its_place),
        TEST(syntax_errors_point_into_the_text),
        TEST(bytes_that_are_no_text_are_refused),
        TEST(deep_nesting_is_refused_before_it_costs_stack),
        TEST(wide_filters_are_read),
        TEST(threads_parse_at_the_same_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
