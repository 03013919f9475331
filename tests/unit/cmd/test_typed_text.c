/* Texts as values of typed columns, patterns of dates and times, and what type texts seem to have. */
#include <stdio.h>

#include "cmd/time_pattern.h"
#include "cmd/typed_text.h"
#include "support/test_support.h"

static const struct text_format plain = {.empty_is_null = true};

static struct column_type type_named(const char *name) {
    struct column_type type;
    struct plinth_error error;
    assert_ok(column_type_parse(slice_of_string(name), &type, &error), &error);
    return type;
}

/* What `text` becomes, as text again; or what is wrong with it. */
static void check_text(const char *type, const char *text, const char *wanted) {
    struct column_builder builder;
    struct plinth_error error;
    struct buffer shown = BUFFER_INIT;
    assert_true(column_builder_init(&builder, type_named(type)));
    enum plinth_status st = text_append(&builder, &plain, slice_of_string(text), &error);
    if (st) {
        assert_int_equal(builder.rows, 0);
        assert_string_equal(error.text, wanted);
    } else {
        struct column column = column_builder_view(&builder);
        assert_true(column_format(&shown, &column, 0) && buffer_append_u8(&shown, 0));
        assert_string_equal((const char *)shown.data, wanted);
    }
    buffer_deinit(&shown);
    column_builder_deinit(&builder);
}

static void values_are_read_or_said_to_be_wrong(void **state) {
    (void)state;
    check_text("int32", "12", "12");
    check_text("int32", " -7 ", "-7");
    check_text("int8", "-128", "-128");
    check_text("int8", "128", "'128' is out of range (int8)");
    check_text("uint8", "-1", "'-1' is out of range (uint8)");
    check_text("uint64", "18446744073709551615", "18446744073709551615");
    check_text("int64", "9223372036854775807", "9223372036854775807");
    check_text("int64", "9223372036854775808", "'9223372036854775808' is out of range (int64)");
    check_text("int32", "abc", "'abc' is not a number (int32)");
    check_text("int32", "", "'' is not a number (int32)");
    check_text("int32", "1\n2", "'1\\n2' is not a number (int32)");
    check_text("bool", "maybe", "'maybe' is not true or false (bool)");
    check_text("string", "caf\xc3\xa9", "caf\xc3\xa9");
    check_text("string", "caf\xc3", "byte 4 of the text is not UTF-8 (0xc3)");
    check_text("date", "2013-02-28", "2013-02-28");
    check_text("decimal(5,2)", "123.45", "123.45");
}

static void long_texts_are_cut_in_messages(void **state) {
    (void)state;
    char text[200], wanted[200];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    snprintf(wanted, sizeof wanted, "'%.60s'... is not a number (int32)", text);
    check_text("int32", text, wanted);
}

static void check_time(const char *pattern, const char *text, const char *type, int64_t wanted) {
    int64_t value;
    assert_null(time_pattern_check(pattern));
    assert_null(time_pattern_parse(pattern, slice_of_string(text), type_named(type), &value));
    assert_int_equal(value, wanted);
}

static void check_no_time(const char *pattern, const char *text, const char *type) {
    int64_t value;
    assert_null(time_pattern_check(pattern));
    assert_non_null(time_pattern_parse(pattern, slice_of_string(text), type_named(type), &value));
}

static void patterns_of_dates_and_times(void **state) {
    (void)state;
    check_time("%d.%m.%Y", "1.2.1970", "date", 31);
    check_time("%m/%d/%y", "01/02/70", "date", 1);
    check_time("%d %B %Y", "2 January 1970", "date", 1);
    check_time("%b %e, %Y", "Jan  2, 1970", "date", 1);
    check_time("%a %F", "Fri 1970-01-02", "date", 1);
    check_time("%Y-%j", "1972-366", "date", 365 + 365 + 365);
    check_time("%s", "-1", "date", -1);
    check_time("%F %T", "1970-01-01 00:00:01.5", "timestamp(ms)", 1500);
    check_time("%I:%M %p", "12:30 am", "timestamp(s)", 30 * 60);
    check_time("%I:%M %p", "12:30 PM", "timestamp(s)", 12 * 3600 + 30 * 60);
    check_time("%FT%T%z", "1970-01-01T02:00:00+02:00", "timestamp(us, utc)", 0);
    check_time("%FT%T%z", "1970-01-01T00:00:00Z", "timestamp(us, utc)", 0);
    check_time("%s", "1700000000", "timestamp(s)", 1700000000);
    check_time("100%% %Y", "100% 1970", "date", 0);
    check_no_time("%d.%m.%Y", "31.02.2013", "date");
    check_no_time("%Y-%j", "1971-366", "date");
    check_no_time("%d.%m.%Y", "1.13.2013", "date");
    check_no_time("%d.%m.%Y", "1.1.2013x", "date");
    check_no_time("%d.%m.%Y", "", "date");
    check_no_time("%F %T", "2013-01-01 24:00:00", "timestamp(s)");
    check_no_time("%F %T", "2013-01-01 01:00:00.5", "timestamp(s)");
    check_no_time("%Y", "9999", "timestamp(ns)");
    assert_non_null(time_pattern_check("%Q"));
    assert_non_null(time_pattern_check("%"));
    assert_non_null(time_pattern_check("year"));
}

/* The type of texts, with "|" between them. */
static void check_guess(const char *texts, const char *wanted) {
    struct type_guess guess = {0};
    char name[COLUMN_TYPE_TEXT_MAX];
    for (const char *at = texts; *texts;) {
        size_t size = strcspn(at, "|");
        guess_text(&guess, &plain, slice_of(at, size));
        if (!at[size]) break;
        at += size + 1;
    }
    assert_string_equal(column_type_format(guess_type(&guess), name), wanted);
}

static void types_are_guessed_without_losing_anything(void **state) {
    (void)state;
    check_guess("", "string");
    check_guess("1|-5|0", "int64");
    check_guess("9223372036854775807|-9223372036854775808", "int64");
    check_guess("9223372036854775808|1", "uint64");
    check_guess("18446744073709551616", "string");
    check_guess("18446744073709551615|-1", "string");
    check_guess("1|2.5|1e3|-.5", "float64");
    check_guess("007|1", "string");
    check_guess("0|0.5", "float64");
    check_guess("1|x", "string");
    check_guess("true|False", "bool");
    check_guess("true|1", "string");
    check_guess("2013-01-01|1999-12-31", "date");
    check_guess("2013-01-01|2013-02-30", "string");
    check_guess("2013-01-01 10:00|2013-01-01T10:00:00.123", "timestamp(us)");
    check_guess("2013-01-01T10:00:00Z|2013-01-01T10:00:00+01:00", "timestamp(us, utc)");
    check_guess("2013-01-01T10:00:00Z|2013-01-01T10:00:00", "string");
    check_guess("2013-01-01T10:00:00.123456789", "string");
    check_guess("00112233-4455-6677-8899-aabbccddeeff", "uuid");
    check_guess("-", "string");
    check_guess("1e|2", "string");
    check_guess("1e299|-1e-299", "float64");
    check_guess("1e3023", "string");
    check_guess("1.2.3", "string");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_read_or_said_to_be_wrong),
        cmocka_unit_test(long_texts_are_cut_in_messages),
        cmocka_unit_test(patterns_of_dates_and_times),
        cmocka_unit_test(types_are_guessed_without_losing_anything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
