/* Options as tables: parsing, values, typos. */
#include <stdlib.h>

#include "cmd/options.h"
#include "support/test_support.h"

static const struct option_spec table[] = {
    {"server", 's', "HOST:PORT", "PLINTH_TEST_SERVER", "here:1", "the server"},
    {"output", 'o', "FORMAT", NULL, NULL, "the format"},
    {"quiet", 'q', NULL, NULL, NULL, "say less"},
    {0},
};
static const struct option_spec *const tables[] = {table, NULL};

/* Parses words (null at the end) that stand behind the program's name. */
static enum plinth_status parse(struct options *options, const char *const *words, bool stop_at_operand,
                                struct plinth_error *error) {
    static char *argv[16];
    int argc = 1;
    argv[0] = (char *)"program";
    for (; words[argc - 1]; argc++) argv[argc] = (char *)words[argc - 1];
    argv[argc] = NULL;
    memset(options, 0, sizeof *options);
    return options_parse(options, tables, argc, argv, stop_at_operand, error);
}

static void options_and_operands_may_be_mixed(void **state) {
    (void)state;
    struct options options;
    struct plinth_error error;
    const char *const words[] = {"get", "-q", "key", "--server=a:1", "-o", "json", "--", "-x", NULL};
    assert_ok(parse(&options, words, false, &error), &error);
    assert_string_equal(options_value(&options, "server"), "a:1");
    assert_string_equal(options_value(&options, "output"), "json");
    assert_string_equal(options_value(&options, "quiet"), "");
    assert_int_equal(options.operand_count, 3);
    assert_string_equal(options.operands[2], "-x");
}

static void parsing_stops_at_the_first_operand_when_asked(void **state) {
    (void)state;
    struct options options;
    struct plinth_error error;
    const char *const words[] = {"-q", "get", "--server", "a:1", NULL};
    assert_ok(parse(&options, words, true, &error), &error);
    assert_null(options_value(&options, "server"));
    assert_int_equal(options.operand_count, 3);
    assert_string_equal(options.operands[0], "get");
}

static void the_last_value_wins_over_environment_and_default(void **state) {
    (void)state;
    struct options options;
    struct plinth_error error;
    const char *const none[] = {NULL};
    const char *const twice[] = {"-s", "a:1", "-s", "b:2", NULL};
    unsetenv("PLINTH_TEST_SERVER");
    assert_ok(parse(&options, none, false, &error), &error);
    assert_string_equal(options_value_of(&options, &table[0]), "here:1");
    setenv("PLINTH_TEST_SERVER", "there:2", 1);
    assert_string_equal(options_value_of(&options, &table[0]), "there:2");
    setenv("PLINTH_TEST_SERVER", "", 1);
    assert_string_equal(options_value_of(&options, &table[0]), "here:1");
    setenv("PLINTH_TEST_SERVER", "there:2", 1);
    assert_ok(parse(&options, twice, false, &error), &error);
    assert_string_equal(options_value_of(&options, &table[0]), "b:2");
    unsetenv("PLINTH_TEST_SERVER");
}

static void wrong_options_are_named(void **state) {
    (void)state;
    static const struct {
        const char *const words[3];
        const char *named;
    } samples[] = {
        {{"--sever", "a"}, "unknown option '--sever', did you mean '--server'?"},
        {{"--ouptut=json"}, "unknown option '--ouptut', did you mean '--output'?"},
        {{"--frobnicate"}, "unknown option '--frobnicate'"},
        {{"-z"}, "unknown option '-z'"},
        {{"--server"}, "option --server needs HOST:PORT"},
        {{"-o"}, "option --output needs FORMAT"},
        {{"--quiet=yes"}, "option --quiet takes no value"},
    };
    for (size_t i = 0; i < sizeof samples / sizeof samples[0]; i++) {
        struct options options;
        struct plinth_error error;
        assert_status(parse(&options, samples[i].words, false, &error), PLINTH_INVALID_ARGUMENT, &error);
        assert_string_equal(error.text, samples[i].named);
    }
}

static void sizes_have_units(void **state) {
    (void)state;
    static const struct {
        const char *text;
        uint64_t bytes;
    } samples[] = {{"0", 0},
                   {"4096", 4096},
                   {"1KiB", 1024},
                   {"64MiB", 64u << 20},
                   {"64 MiB", 64u << 20},
                   {"2gib", 2ull << 30},
                   {"3K", 3 << 10},
                   {"16777215TiB", 16777215ull << 40}};
    static const char *const wrong[] = {"", "MiB", "-1", "1.5GiB", "1MB", "12x", "99999999999999999999", "16777216TiB"};
    struct plinth_error error;
    uint64_t bytes;
    for (size_t i = 0; i < sizeof samples / sizeof samples[0]; i++) {
        assert_ok(options_parse_size("memory", samples[i].text, &bytes, &error), &error);
        assert_int_equal(bytes, samples[i].bytes);
    }
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_status(options_parse_size("memory", wrong[i], &bytes, &error), PLINTH_INVALID_ARGUMENT, &error);
        assert_error_names(&error, "--memory");
    }
}

static void durations_have_units(void **state) {
    (void)state;
    struct plinth_error error;
    uint64_t ms;
    assert_ok(options_parse_duration("timeout", "500ms", &ms, &error), &error);
    assert_int_equal(ms, 500);
    assert_ok(options_parse_duration("timeout", "3", &ms, &error), &error);
    assert_int_equal(ms, 3000);
    assert_ok(options_parse_duration("timeout", "2m", &ms, &error), &error);
    assert_int_equal(ms, 120000);
    assert_status(options_parse_duration("timeout", "soon", &ms, &error), PLINTH_INVALID_ARGUMENT, &error);
    assert_status(options_parse_duration("timeout", "5000h", &ms, &error), PLINTH_INVALID_ARGUMENT, &error);
}

static void numbers_have_bounds(void **state) {
    (void)state;
    struct plinth_error error;
    uint64_t number;
    assert_ok(options_parse_number("loops", "8", 1, 8, &number, &error), &error);
    assert_int_equal(number, 8);
    assert_status(options_parse_number("loops", "9", 1, 8, &number, &error), PLINTH_INVALID_ARGUMENT, &error);
    assert_string_equal(error.text, "--loops: '9' is not a number from 1 to 8");
    assert_status(options_parse_number("loops", "8K", 1, 8, &number, &error), PLINTH_INVALID_ARGUMENT, &error);
}

static void the_nearest_word_is_suggested_for_a_typo_only(void **state) {
    (void)state;
    static const char *const words[] = {"status", "flush", "compact", "verify", "kv set", "kv get", NULL};
    assert_string_equal(suggest_nearest("statsu", words), "status");
    assert_string_equal(suggest_nearest("kv ste", words), "kv set");
    assert_string_equal(suggest_nearest("comapct", words), "compact");
    assert_string_equal(suggest_nearest("flushh", words), "flush");
    assert_null(suggest_nearest("delete-everything", words));
    assert_null(suggest_nearest("xyzzy", words));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_and_operands_may_be_mixed),
        cmocka_unit_test(parsing_stops_at_the_first_operand_when_asked),
        cmocka_unit_test(the_last_value_wins_over_environment_and_default),
        cmocka_unit_test(wrong_options_are_named),
        cmocka_unit_test(sizes_have_units),
        cmocka_unit_test(durations_have_units),
        cmocka_unit_test(numbers_have_bounds),
        cmocka_unit_test(the_nearest_word_is_suggested_for_a_typo_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
