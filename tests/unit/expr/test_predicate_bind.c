/* What binding makes of a tree, seen through its text form, and what it refuses. */
#include "predicate_support.h"

#include <stdlib.h>

static struct table table;

static int setup(void **state) {
    (void)state;
    table = (struct table){0};
    (void)table_add(&table, "a", column_type_of(COLUMN_INT32));
    (void)table_add(&table, "b", column_type_of(COLUMN_STRING));
    (void)table_add(&table, "flag", column_type_of(COLUMN_BOOL));
    (void)table_add(&table, "Mixed", column_type_of(COLUMN_FLOAT64));
    (void)table_add(&table, "Twin", column_type_of(COLUMN_INT8));
    (void)table_add(&table, "twin", column_type_of(COLUMN_INT16));
    (void)table_add(&table, "tags", (struct column_type){COLUMN_LIST, .element = COLUMN_STRING});
    (void)table_add(&table, "select", column_type_of(COLUMN_BYTES));
    (void)table_add(&table, "departure", column_type_of(COLUMN_DATE));
    table_finish(&table);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    table_deinit(&table);
    predicates_reset();
    return 0;
}

static void assert_text(const struct predicate *predicate, const char *wanted) {
    struct buffer text = BUFFER_INIT;
    assert_true(predicate_format(&text, predicate, table.schema) && buffer_append_u8(&text, 0));
    assert_string_equal((char *)text.data, wanted);
    buffer_deinit(&text);
}

static void assert_binds(const struct predicate *unbound, const char *wanted) {
    assert_text(bind(&table, unbound), wanted);
}

static const struct predicate *a_is(int64_t value) { return compare("a", COMPARE_EQ, of_int(value)); }

static void groups_are_flattened_and_constants_folded(void **state) {
    (void)state;
    const struct predicate *x = a_is(1), *y = a_is(2), *z = a_is(3);
    assert_binds(both(x, both(y, z)), "a = 1 AND a = 2 AND a = 3");
    assert_binds(either(either(x, y), either(z, constant(TRUTH_FALSE))), "a = 1 OR a = 2 OR a = 3");
    assert_binds(both(x, constant(TRUTH_TRUE)), "a = 1");
    assert_binds(both(x, constant(TRUTH_FALSE)), "FALSE");
    assert_binds(either(x, constant(TRUTH_TRUE)), "TRUE");
    assert_binds(both(x, constant(TRUTH_UNKNOWN)), "NULL AND a = 1");
    assert_binds(negation(constant(TRUTH_UNKNOWN)), "NULL");
    assert_binds(both(either(x, y), z), "(a = 1 OR a = 2) AND a = 3");
    assert_binds(group(PREDICATE_AND, NULL, 0), "TRUE");
}

static void negation_goes_down_to_the_leaves(void **state) {
    (void)state;
    const struct predicate *less = compare("a", COMPARE_LT, of_int(5));
    const struct predicate *like = match(PREDICATE_LIKE, "b", of_text("%x%"));
    assert_binds(negation(less), "a >= 5");
    assert_binds(negation(negation(less)), "a < 5");
    assert_binds(negation(both(less, negation(like))), "a >= 5 OR b LIKE '%x%'");
    assert_binds(negation(either(less, like)), "a >= 5 AND b NOT LIKE '%x%'");
    assert_binds(negation(is_null("a")), "a IS NOT NULL");
    assert_binds(negation(in_list("a", of_int(2), of_int(1))), "a NOT IN (1, 2)");
    assert_binds(negation(match(PREDICATE_WORDS, "b", of_text("x"))), "NOT b @@ 'x'");
    assert_binds(negation(match(PREDICATE_CONTAINS, "tags", of_text("x"))), "NOT 'x' = ANY(tags)");
    assert_binds(negation(compare("flag", COMPARE_EQ, of_bool(true))), "flag = FALSE");
}

static void the_cheap_conditions_come_first(void **state) {
    (void)state;
    const struct predicate *like = match(PREDICATE_LIKE, "b", of_text("%x%"));
    const struct predicate *children[] = {match(PREDICATE_WORDS, "b", of_text("x")), like, a_is(1), is_null("b"),
                                          a_is(2)};
    assert_binds(group(PREDICATE_AND, children, 5), "b IS NULL AND a = 1 AND a = 2 AND b LIKE '%x%' AND b @@ 'x'");
}

static void literals_outside_the_type_are_rewritten(void **state) {
    (void)state;
    assert_binds(compare("a", COMPARE_GT, of_float(2.5)), "a >= 3");
    assert_binds(compare("a", COMPARE_LE, of_float(-2.5)), "a < -2");
    assert_binds(compare("a", COMPARE_EQ, of_float(2.5)), "NULL AND a IS NULL");
    assert_binds(compare("a", COMPARE_LT, of_int(1ll << 40)), "NULL OR a IS NOT NULL");
    assert_binds(in_list("a", of_int(7), of_int(1ll << 40), of_int(7), of_int(-7)), "a IN (-7, 7)");
    assert_binds(in_list("a", of_int(7), of_number("7.0")), "a = 7");
    assert_binds(in_list("a", null_literal(), of_int(7)), "a IN (7, NULL)");
    assert_binds(in_list("a", null_literal()), "NULL");
    assert_binds(compare("a", COMPARE_EQ, null_literal()), "NULL");
    assert_binds(compare("departure", COMPARE_GT, of_text("2020-01-31 12:00:00")), "departure >= '2020-02-01'");
}

static void patterns_become_simpler_conditions(void **state) {
    (void)state;
    assert_binds(match(PREDICATE_LIKE, "b", of_text("it\\_s")), "b = 'it_s'");
    assert_binds(match(PREDICATE_LIKE, "b", of_text("it's%")), "b ^@ 'it''s'");
    assert_binds(match(PREDICATE_LIKE, "b", of_text("%")), "NULL OR b IS NOT NULL");
    assert_binds(match(PREDICATE_LIKE, "b", of_text("a%b")), "b LIKE 'a%b'");
    assert_binds(match(PREDICATE_PREFIX, "b", of_text("")), "NULL OR b IS NOT NULL");
}

static void column_names_match_in_any_case_when_only_one_does(void **state) {
    (void)state;
    assert_binds(compare("mixed", COMPARE_LT, of_float(0.1)), "\"Mixed\" < 0.1");
    assert_binds(compare("Mixed", COMPARE_LT, of_float(1e300)), "\"Mixed\" < 1e+300");
    assert_binds(compare("twin", COMPARE_EQ, of_int(1)), "twin = 1");
    assert_binds(compare("Twin", COMPARE_EQ, of_int(1)), "\"Twin\" = 1");
    assert_refused(&table, compare("TWIN", COMPARE_EQ, of_int(1)), "one of 2");
    assert_refused(&table, compare("deprature", COMPARE_EQ, of_int(1)), "did you mean departure?");
    assert_refused(&table, compare("zzz", COMPARE_EQ, of_int(1)), "there is no column zzz");
    assert_refused(&table, is_null(""), "there is no column");
}

static void names_and_texts_are_quoted_as_sql_wants_it(void **state) {
    (void)state;
    assert_binds(compare("select", COMPARE_EQ, of_bytes("\x01\xff", 2)), "\"select\" = x'01ff'");
    assert_binds(compare("b", COMPARE_EQ, of_text("it's")), "b = 'it''s'");
    assert_text(compare("A b\"c", COMPARE_NE, of_float(-1)), "\"A b\"\"c\" <> -1");
    assert_text(in_list("x", of_text("1"), null_literal(), of_bool(true), of_uint(UINT64_MAX), of_number("1.50")),
                "x IN ('1', NULL, TRUE, 18446744073709551615, 1.50)");
    assert_text(negation(both(a_is(1), negation(compare("x", COMPARE_GE, of_text("t"))))),
                "NOT (a = 1 AND NOT (x >= 't'))");
}

static void wrong_types_are_refused_by_name(void **state) {
    (void)state;
    assert_refused(&table, compare("a", COMPARE_EQ, of_text("abc")), "column a: 'abc' is not a valid int32");
    assert_refused(&table, compare("a", COMPARE_EQ, of_bool(true)), "TRUE is not a valid int32");
    assert_refused(&table, compare("b", COMPARE_EQ, of_int(5)), "column b: 5 is not a valid string");
    assert_refused(&table, compare("b", COMPARE_EQ, of_number("2.5")), "2.5 is not a valid string");
    assert_refused(&table, compare("b", COMPARE_EQ, of_bytes("\xff", 1)), "UTF-8");
    assert_refused(&table, compare("flag", COMPARE_EQ, of_int(1)), "1 is not a valid bool");
    assert_refused(&table, compare("flag", COMPARE_EQ, of_text("maybe")), "'maybe' is not a valid bool");
    assert_refused(&table, compare("departure", COMPARE_EQ, of_text("2020-13-01")), "is not a valid date");
    assert_refused(&table, compare("mixed", COMPARE_EQ, of_text("1.5x")), "'1.5x' is not a valid float64");
    assert_refused(&table, match(PREDICATE_LIKE, "a", of_text("1%")), "column a: LIKE needs a string, not int32");
    assert_refused(&table, match(PREDICATE_PREFIX, "a", of_text("1")), "prefix search needs a string or bytes");
    assert_refused(&table, match(PREDICATE_WORDS, "select", of_text("1")), "word search needs a string, not bytes");
    assert_refused(&table, match(PREDICATE_CONTAINS, "a", of_int(1)), "= ANY needs a list, not int32");
    assert_refused(&table, in_list("tags", of_text("x")), "IN needs no list, not list<string>");
    assert_refused(&table, match(PREDICATE_CONTAINS, "tags", of_int(1)), "1 is not a valid string");
}

static void malformed_trees_are_refused(void **state) {
    (void)state;
    struct predicate broken = {.kind = 99};
    assert_refused(&table, &broken, "unknown kind 99");
    broken = (struct predicate){.kind = PREDICATE_NOT};
    assert_refused(&table, &broken, "0 operands");
    broken = (struct predicate){.kind = PREDICATE_CONSTANT, .constant = 3};
    assert_refused(&table, &broken, "unknown constant 3");
    broken = (struct predicate){.kind = PREDICATE_COMPARE, .column_name = slice_of_string("a")};
    assert_refused(&table, &broken, "0 literals");
    struct literal odd = {.kind = 77};
    assert_refused(&table, compare("a", COMPARE_EQ, odd), "unknown kind 77");
    assert_refused(&table, compare("a", 0, of_int(1)), "unknown comparison 0");
    assert_refused(&table, compare("a", 7, of_int(1)), "unknown comparison 7");
    const struct predicate *deep = a_is(1);
    for (int i = 1; i < PREDICATE_DEPTH_MAX; i++) deep = negation(deep);
    assert_binds(deep, "a <> 1");
    assert_refused(&table, negation(deep), "64 levels");
    struct literal *many = calloc(PREDICATE_LITERALS_MAX + 1, sizeof *many);
    assert_non_null(many);
    for (int i = 0; i <= PREDICATE_LITERALS_MAX; i++) many[i] = of_int(i);
    assert_refused(&table, in("a", many, PREDICATE_LITERALS_MAX + 1), "100000 values");
    free(many);
    const struct predicate **wide = calloc(PREDICATE_NODES_MAX, sizeof *wide);
    assert_non_null(wide);
    for (int i = 0; i < PREDICATE_NODES_MAX; i++) wide[i] = a_is(i);
    assert_refused(&table, group(PREDICATE_OR, wide, PREDICATE_NODES_MAX), "10000 conditions");
    free(wide);
}

static void the_columns_of_a_predicate_are_known(void **state) {
    (void)state;
    bool uses[TABLE_COLUMNS_MAX] = {false};
    predicate_columns(bind(&table, negation(both(a_is(1), match(PREDICATE_LIKE, "b", of_text("%x_"))))), uses);
    for (uint32_t i = 0; i < table.column_count; i++) assert_int_equal(uses[i], i < 2);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(groups_are_flattened_and_constants_folded),
        TEST(negation_goes_down_to_the_leaves),
        TEST(the_cheap_conditions_come_first),
        TEST(literals_outside_the_type_are_rewritten),
        TEST(patterns_become_simpler_conditions),
        TEST(column_names_match_in_any_case_when_only_one_does),
        TEST(names_and_texts_are_quoted_as_sql_wants_it),
        TEST(wrong_types_are_refused_by_name),
        TEST(malformed_trees_are_refused),
        TEST(the_columns_of_a_predicate_are_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
