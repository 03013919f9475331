/* Tables and lengths of time as people write them. */
#include "cmd/table_text.h"
#include "support/test_support.h"

static void expect_interval(const char *text, uint64_t us) {
    struct plinth_error error;
    uint64_t parsed;
    assert_ok(interval_parse(slice_of_string(text), &parsed, &error), &error);
    assert_int_equal(parsed, us);
}

static void intervals_have_a_number_and_a_unit(void **state) {
    (void)state;
    expect_interval("1 day", 86400000000);
    expect_interval("12 hours", 43200000000);
    expect_interval("15m", 900000000);
    expect_interval(" 30 DAYS ", 30 * 86400000000);
    expect_interval("1 day 6 hours", 108000000000);
    expect_interval("2w", 1209600000000);
    expect_interval("5ms 3us", 5003);
    expect_interval("90 sec", 90000000);
    static const char *const wrong[] = {"",
                                        "day",
                                        "1",
                                        "0 days",
                                        "-1 day",
                                        "1.5 days",
                                        "1 month",
                                        "1 day,",
                                        "1day2",
                                        "18446744073709551616 us",
                                        "99999999999999 weeks"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct plinth_error error;
        uint64_t parsed = 1;
        assert_status(interval_parse(slice_of_string(wrong[i]), &parsed, &error), PLINTH_INVALID_ARGUMENT, &error);
        assert_error_names(&error, wrong[i]);
        assert_int_equal(parsed, 0);
    }
}

static void intervals_are_shown_in_their_largest_unit(void **state) {
    (void)state;
    static const struct {
        uint64_t us;
        const char *text;
    } cases[] = {{86400000000, "1 day"},  {604800000000, "1 week"},    {5400000000, "90 minutes"},
                 {1000, "1 millisecond"}, {1001, "1001 microseconds"}, {30 * 86400000000, "30 days"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[INTERVAL_TEXT_MAX];
        assert_string_equal(interval_format(cases[i].us, text), cases[i].text);
        expect_interval(text, cases[i].us);
    }
}

static void columns_key_and_partitions_are_read(void **state) {
    (void)state;
    struct arena arena;
    struct table_text table;
    struct plinth_error error;
    arena_init(&arena);
    assert_ok(
        table_text_parse(&arena,
                         "host string NOT NULL, at timestamp(us, utc),\n \"odd, \"\"name\"\"\" decimal(12,2) null,"
                         "tags list<decimal(3,1)> , speed double precision not null, PRIMARY KEY (host, \"at\") "
                         "partition BY at '1 day'",
                         &table, &error),
        &error);
    static const char *const names[] = {"host", "at", "odd, \"name\"", "tags", "speed"};
    static const char *const types[] = {"string", "timestamp(us, utc)", "decimal(12,2)", "list<decimal(3,1)>",
                                        "double precision"};
    assert_int_equal(table.column_count, 5);
    for (size_t i = 0; i < 5; i++) {
        assert_string_equal(table.columns[i].name, names[i]);
        assert_string_equal(table.columns[i].type, types[i]);
        assert_int_equal(table.columns[i].not_null, i == 0 || i == 4);
    }
    assert_int_equal(table.key_count, 2);
    assert_string_equal(table.key[0], "host");
    assert_string_equal(table.key[1], "at");
    assert_string_equal(table.partition_by, "at");
    assert_int_equal(table.partition_us, 86400000000);
    assert_ok(table_text_parse(&arena, " ( id int64 primary key not null, größe real ) PARTITION BY d '2 weeks' ",
                               &table, &error),
              &error);
    assert_int_equal(table.column_count, 2);
    assert_string_equal(table.columns[0].type, "int64");
    assert_true(table.columns[0].not_null);
    assert_string_equal(table.key[0], "id");
    assert_string_equal(table.columns[1].name, "größe");
    assert_string_equal(table.partition_by, "d");
    assert_ok(table_text_parse(&arena, "primary_thing text, partition int, \"primary\" int", &table, &error), &error);
    assert_int_equal(table.column_count, 3);
    assert_string_equal(table.columns[1].name, "partition");
    arena_deinit(&arena);
}

static void what_is_wrong_is_quoted(void **state) {
    (void)state;
    static const struct {
        const char *text, *part;
    } cases[] = {
        {"", "the name of a column expected at the end"},
        {"a", "a type expected at the end"},
        {"a int,", "the name of a column expected at the end"},
        {"a int, , b int", "the name of a column expected at ', b int'"},
        {"a int not null b", "a comma or the end expected at 'b'"},
        {"a int, primary key a", "'(' and the key's columns expected at 'a'"},
        {"a int, primary key (a", "')' expected at the end"},
        {"a int, primary key ()", "the name of a column expected at ')'"},
        {"a int primary key, primary key (a)", "two primary keys"},
        {"a int partition by", "the name of a column expected at the end"},
        {"a int partition by a", "a partition's length"},
        {"a int partition by a '1 month'", "'1 month' is no length of time"},
        {"a int partition by a '1 day", "a text that ends with a quote"},
        {"a int partition by a '1 day' x", "a comma or the end expected at 'x'"},
        {"\"a int", "a name that ends with a double quote"},
        {"(a int, b int", "',' or ')' expected at the end"},
        {"a int)", "a comma or the end expected at ')'"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct arena arena;
        struct table_text table;
        struct plinth_error error;
        arena_init(&arena);
        assert_status(table_text_parse(&arena, cases[i].text, &table, &error), PLINTH_INVALID_ARGUMENT, &error);
        assert_error_names(&error, cases[i].part);
        arena_deinit(&arena);
    }
}

static void names_have_commas_between(void **state) {
    (void)state;
    struct arena arena;
    const char **names;
    size_t count;
    struct plinth_error error;
    arena_init(&arena);
    assert_ok(table_text_names(&arena, "a, \"b c\" ,d", &names, &count, &error), &error);
    assert_int_equal(count, 3);
    assert_string_equal(names[1], "b c");
    assert_string_equal(names[2], "d");
    assert_status(table_text_names(&arena, "a,", &names, &count, &error), PLINTH_INVALID_ARGUMENT, &error);
    assert_status(table_text_names(&arena, "a b", &names, &count, &error), PLINTH_INVALID_ARGUMENT, &error);
    arena_deinit(&arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(intervals_have_a_number_and_a_unit),
        cmocka_unit_test(intervals_are_shown_in_their_largest_unit),
        cmocka_unit_test(columns_key_and_partitions_are_read),
        cmocka_unit_test(what_is_wrong_is_quoted),
        cmocka_unit_test(names_have_commas_between),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
