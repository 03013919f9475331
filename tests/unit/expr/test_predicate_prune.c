/* Verdicts over bounds written out, and which values are asked for. Soundness over random tables is in
 * test_predicate_property. */
#include "predicate_support.h"

static struct table table;

/* Row 0 is the least, row 1 the greatest value of each column. */
static int setup(void **state) {
    (void)state;
    table = (struct table){0};
    struct column_builder *a = table_add(&table, "a", column_type_of(COLUMN_INT32));
    struct column_builder *b = table_add(&table, "b", column_type_of(COLUMN_STRING));
    struct column_builder *c = table_add(&table, "c", column_type_of(COLUMN_FLOAT64));
    assert_true(column_builder_integer(a, 10) && column_builder_integer(a, 20));
    assert_true(column_builder_bytes_value(b, slice_of_string("cat")) &&
                column_builder_bytes_value(b, slice_of_string("cow")));
    assert_true(column_builder_float(c, 5) && column_builder_float(c, 5));
    table_finish(&table);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    table_deinit(&table);
    predicates_reset();
    return 0;
}

static enum prune_verdict verdict(const struct predicate *unbound, bool nulls_known, uint64_t null_count) {
    struct column_bounds bounds[3];
    const struct column_bounds *pointers[3];
    static const uint32_t low = 0, high = 1;
    for (uint32_t i = 0; i < 3; i++) {
        bounds[i] = (struct column_bounds){
            .has_nulls_known = nulls_known, .null_count = null_count, .rows = 100, .has_values = true};
        assert_true(column_gather(predicates_arena(), &table.columns[i], &low, 1, &bounds[i].min));
        assert_true(column_gather(predicates_arena(), &table.columns[i], &high, 1, &bounds[i].max));
        pointers[i] = &bounds[i];
    }
    return predicate_prune(bind(&table, unbound), pointers);
}

static void assert_verdict(const struct predicate *unbound, enum prune_verdict wanted) {
    assert_int_equal(verdict(unbound, true, 0), wanted);
    enum prune_verdict weaker = wanted == PRUNE_ALL ? PRUNE_SOME : wanted;
    assert_int_equal(verdict(unbound, true, 7), weaker);
    assert_int_equal(verdict(unbound, false, 0), weaker);
}

static void comparisons_are_decided_at_the_bounds(void **state) {
    (void)state;
    static const struct {
        enum predicate_comparison comparison;
        int64_t value;
        enum prune_verdict wanted;
    } cases[] = {
        {COMPARE_EQ, 9, PRUNE_NONE},  {COMPARE_EQ, 10, PRUNE_SOME}, {COMPARE_EQ, 21, PRUNE_NONE},
        {COMPARE_NE, 9, PRUNE_ALL},   {COMPARE_NE, 15, PRUNE_SOME}, {COMPARE_LT, 10, PRUNE_NONE},
        {COMPARE_LT, 11, PRUNE_SOME}, {COMPARE_LT, 21, PRUNE_ALL},  {COMPARE_LE, 9, PRUNE_NONE},
        {COMPARE_LE, 20, PRUNE_ALL},  {COMPARE_GT, 20, PRUNE_NONE}, {COMPARE_GT, 9, PRUNE_ALL},
        {COMPARE_GE, 10, PRUNE_ALL},  {COMPARE_GE, 11, PRUNE_SOME}, {COMPARE_GE, 21, PRUNE_NONE},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_verdict(compare("a", cases[i].comparison, of_int(cases[i].value)), cases[i].wanted);
    }
    assert_verdict(compare("c", COMPARE_EQ, of_int(5)), PRUNE_ALL);
    assert_verdict(compare("c", COMPARE_NE, of_int(5)), PRUNE_NONE);
    assert_verdict(compare("a", COMPARE_GT, of_number("20.5")), PRUNE_NONE);
    assert_verdict(compare("a", COMPARE_LT, of_int(1ll << 40)), PRUNE_ALL);
}

static void sets_prefixes_and_patterns_are_held_against_the_bounds(void **state) {
    (void)state;
    assert_verdict(in_list("a", of_int(9), of_int(21)), PRUNE_NONE);
    assert_verdict(in_list("a", of_int(9), of_int(15)), PRUNE_SOME);
    assert_verdict(in_list("c", of_int(9), of_int(5)), PRUNE_ALL);
    assert_verdict(negation(in_list("a", of_int(9), of_int(21))), PRUNE_ALL);
    assert_verdict(negation(in_list("c", of_int(9), of_int(5))), PRUNE_NONE);
    assert_verdict(negation(in_list("a", of_int(9), null_literal())), PRUNE_NONE);
    assert_verdict(match(PREDICATE_PREFIX, "b", of_text("c")), PRUNE_ALL);
    assert_verdict(match(PREDICATE_PREFIX, "b", of_text("ca")), PRUNE_SOME);
    assert_verdict(match(PREDICATE_PREFIX, "b", of_text("d")), PRUNE_NONE);
    assert_verdict(match(PREDICATE_PREFIX, "b", of_text("b")), PRUNE_NONE);
    assert_verdict(match(PREDICATE_LIKE, "b", of_text("b%x")), PRUNE_NONE);
    assert_verdict(match(PREDICATE_LIKE, "b", of_text("c%x")), PRUNE_SOME);
    assert_verdict(negation(match(PREDICATE_LIKE, "b", of_text("b%x"))), PRUNE_ALL);
    assert_verdict(negation(match(PREDICATE_LIKE, "b", of_text("c%"))), PRUNE_NONE);
    assert_verdict(match(PREDICATE_WORDS, "b", of_text("zebra")), PRUNE_SOME);
}

static void nulls_are_counted(void **state) {
    (void)state;
    assert_int_equal(verdict(is_null("a"), true, 0), PRUNE_NONE);
    assert_int_equal(verdict(is_null("a"), true, 7), PRUNE_SOME);
    assert_int_equal(verdict(is_null("a"), true, 100), PRUNE_ALL);
    assert_int_equal(verdict(is_null("a"), false, 0), PRUNE_SOME);
    assert_int_equal(verdict(negation(is_null("a")), true, 0), PRUNE_ALL);
    assert_int_equal(verdict(negation(is_null("a")), true, 100), PRUNE_NONE);
    assert_int_equal(verdict(compare("a", COMPARE_LT, of_int(15)), true, 100), PRUNE_NONE);
    assert_int_equal(verdict(compare("a", COMPARE_LT, of_int(1ll << 40)), true, 7), PRUNE_SOME);
}

static void groups_combine_verdicts(void **state) {
    (void)state;
    const struct predicate *none = compare("a", COMPARE_LT, of_int(1)), *all = compare("a", COMPARE_GT, of_int(1)),
                           *some = compare("a", COMPARE_EQ, of_int(15));
    assert_verdict(both(all, some), PRUNE_SOME);
    assert_verdict(both(none, some), PRUNE_NONE);
    assert_verdict(both(all, compare("c", COMPARE_EQ, of_int(5))), PRUNE_ALL);
    assert_verdict(either(none, some), PRUNE_SOME);
    assert_verdict(either(none, compare("c", COMPARE_EQ, of_int(4))), PRUNE_NONE);
    assert_int_equal(verdict(constant(TRUTH_TRUE), false, 0), PRUNE_ALL);
    assert_int_equal(verdict(constant(TRUTH_UNKNOWN), false, 0), PRUNE_NONE);
}

static void unknown_bounds_prove_nothing(void **state) {
    (void)state;
    const struct column_bounds *none[3] = {NULL, NULL, NULL};
    assert_int_equal(predicate_prune(bind(&table, compare("a", COMPARE_LT, of_int(1))), none), PRUNE_SOME);
    assert_int_equal(predicate_prune(bind(&table, is_null("a")), none), PRUNE_SOME);
}

/* Says yes to even integers and to "yes", and remembers how often it was asked. */
static bool is_even_or_yes(void *context, uint32_t column, const struct column *values, uint32_t row) {
    ++*(unsigned *)context;
    if (column == 1) return slice_equal(column_bytes_at(values, row), slice_of_string("yes"));
    return ((const int32_t *)values->values)[row] % 2 == 0;
}

static bool may_match(const struct predicate *unbound, unsigned asked) {
    unsigned count = 0;
    bool may = predicate_may_match_values(bind(&table, unbound), is_even_or_yes, &count);
    assert_int_equal(count, asked);
    return may;
}

static void only_values_that_must_be_there_are_asked_for(void **state) {
    (void)state;
    const struct predicate *odd = compare("a", COMPARE_EQ, of_int(1)), *even = compare("a", COMPARE_EQ, of_int(2));
    assert_false(may_match(odd, 1));
    assert_true(may_match(even, 1));
    assert_true(may_match(in_list("a", of_int(1), of_int(2), of_int(3)), 2));
    assert_false(may_match(in_list("a", of_int(1), of_int(5), of_int(3)), 3));
    assert_false(may_match(both(even, compare("b", COMPARE_EQ, of_text("no"))), 2));
    assert_true(may_match(either(odd, compare("b", COMPARE_EQ, of_text("yes"))), 2));
    assert_false(may_match(either(odd, compare("b", COMPARE_EQ, of_text("no"))), 2));
    assert_true(may_match(either(odd, compare("b", COMPARE_GT, of_text("no"))), 1));
    assert_true(may_match(negation(odd), 0));
    assert_true(may_match(negation(in_list("a", of_int(1), of_int(3))), 0));
    assert_true(may_match(compare("c", COMPARE_EQ, of_float(-0.0)), 0)); /* 0.0 and -0.0: two patterns */
    assert_false(may_match(constant(TRUTH_FALSE), 0));
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(comparisons_are_decided_at_the_bounds),
        TEST(sets_prefixes_and_patterns_are_held_against_the_bounds),
        TEST(nulls_are_counted),
        TEST(groups_combine_verdicts),
        TEST(unknown_bounds_prove_nothing),
        TEST(only_values_that_must_be_there_are_asked_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
