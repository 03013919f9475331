/* JSON Lines. */
#include <stdio.h>
#include <stdlib.h>

#include "cmd/json_line.h"
#include "support/test_support.h"

struct fixture {
    struct arena arena;
    struct json_line line;
};

static int set_up(void **state) {
    struct fixture *fixture = calloc(1, sizeof *fixture);
    if (!fixture) return -1;
    arena_init(&fixture->arena);
    *state = fixture;
    return 0;
}

static int tear_down(void **state) {
    struct fixture *fixture = *state;
    arena_deinit(&fixture->arena);
    free(fixture);
    return 0;
}

static void check_value(struct fixture *fixture, const char *name, const char *wanted, size_t size) {
    const struct json_member *member = json_line_find(&fixture->line, name);
    assert_non_null(member);
    assert_int_equal(member->value.size, size);
    assert_memory_equal(member->value.data, wanted, size);
}

static void members_are_read(void **state) {
    struct fixture *fixture = *state;
    struct plinth_error error;
    const char *text = " { \"key\" : \"cat\" , \"n\":-1.5e3,\"yes\":true,\"no\":null, \"empty\":\"\" } \r";
    assert_ok(json_line_parse(&fixture->line, slice_of_string(text), &fixture->arena, &error), &error);
    assert_int_equal(fixture->line.count, 4);
    check_value(fixture, "key", "cat", 3);
    check_value(fixture, "n", "-1.5e3", 6);
    check_value(fixture, "yes", "true", 4);
    check_value(fixture, "empty", "", 0);
    assert_null(json_line_find(&fixture->line, "no"));
    assert_ok(json_line_parse(&fixture->line, slice_of_string("{}"), &fixture->arena, &error), &error);
    assert_int_equal(fixture->line.count, 0);
}

static void escapes_are_undone(void **state) {
    struct fixture *fixture = *state;
    struct plinth_error error;
    const char *text = "{\"a\\\"b\":\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\\u00e9\\u20ac\\ud83d\\ude00\"}";
    assert_ok(json_line_parse(&fixture->line, slice_of_string(text), &fixture->arena, &error), &error);
    static const char wanted[] = "\\/\b\f\n\r\tA\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80";
    check_value(fixture, "a\"b", wanted, sizeof wanted - 1);
}

static void base64_members_are_bytes(void **state) {
    struct fixture *fixture = *state;
    struct plinth_error error;
    const char *text = "{\"value_base64\":\"/wAB\",\"_base64\":\"plain\"}";
    assert_ok(json_line_parse(&fixture->line, slice_of_string(text), &fixture->arena, &error), &error);
    check_value(fixture, "value", "\xff\x00\x01", 3);
    check_value(fixture, "_base64", "plain", 5);
}

static void index_values_are_a_list(void **state) {
    struct fixture *fixture = *state;
    const struct json_line *line = &fixture->line;
    struct plinth_error error;
    const char *text = "{\"key\":\"k\", \"indexes\" : [ {\"index\":\"a\",\"value\":\"1\"} ,"
                       "{\"value_base64\":\"/wA=\",\"index\":\"a\"},{\"index\":\"b\",\"value\":\"\"}],\"value\":\"v\"}";
    assert_ok(json_line_parse(&fixture->line, slice_of_string(text), &fixture->arena, &error), &error);
    assert_int_equal(line->count, 2);
    assert_int_equal(line->index_count, 3);
    assert_true(slice_equal(line->indexes[0].index, slice_of_string("a")));
    assert_true(slice_equal(line->indexes[0].value, slice_of_string("1")));
    assert_true(slice_equal(line->indexes[1].value, slice_of("\xff", 2)));
    assert_true(slice_equal(line->indexes[2].index, slice_of_string("b")));
    assert_int_equal(line->indexes[2].value.size, 0);
    /* A list may be empty, and text under this name is a member like others. */
    assert_ok(json_line_parse(&fixture->line, slice_of_string("{\"indexes\":[]}"), &fixture->arena, &error), &error);
    assert_true(line->has_indexes && line->index_count == 0 && line->count == 0);
    assert_ok(json_line_parse(&fixture->line, slice_of_string("{\"indexes\":\"x\"}"), &fixture->arena, &error), &error);
    assert_false(line->has_indexes);
    check_value(fixture, "indexes", "x", 1);
}

static void mistakes_name_the_column(void **state) {
    struct fixture *fixture = *state;
    static const char *const samples[][2] = {
        {"", "column 1: '{' is expected"},
        {"[]", "column 1: '{' is expected"},
        {"{", "column 2: a name in quotes"},
        {"{\"a\"}", "column 5: ':' is expected"},
        {"{\"a\":}", "column 6: not a string"},
        {"{\"a\":\"b\"", "column 9: ',' or '}' is expected"},
        {"{\"a\":\"b", "column 6: the string is never closed"},
        {"{\"a\":\"b\"} x", "column 11: text behind the object"},
        {"{\"a\":{}}", "column 6: objects and arrays"},
        {"{\"a\":[1]}", "column 6: objects and arrays"},
        {"{\"a\":\"\\x\"}", "column 7: an escape"},
        {"{\"a\":\"\\u12g4\"}", "column 7: \\u needs four hex digits"},
        {"{\"a\":\"\\ud800\"}", "column 7: half of a surrogate pair"},
        {"{\"a\":\"\\udc00\"}", "column 7: half of a surrogate pair"},
        {"{\"a\":\"\x01\"}", "column 7: a control character"},
        {"{\"a\":\"\xff\"}", "column 6: the string is not UTF-8"},
        {"{\"a\":1,\"a\":2}", "column 8: this name was there already"},
        {"{\"a\":maybe}", "column 6: not a string"},
        {"{\"a_base64\":\"?\"}", "column 13: not base64"},
        {"{\"a\":1,}", "column 8: a name in quotes"},
        {"{\"indexes\":[1]}", "column 13: '{' is expected"},
        {"{\"indexes\":[{}]}", "column 13: an index value has"},
        {"{\"indexes\":[{\"index\":\"a\"}]}", "column 13: an index value has"},
        {"{\"indexes\":[{\"index\":\"a\",\"value\":null}]}", "column 13: an index value has"},
        {"{\"indexes\":[{\"index\":\"a\",\"value\":1,\"x\":2}]}", "column 13: an index value has"},
        {"{\"indexes\":[{\"indexes\":[]}]}", "column 24: objects and arrays"},
        {"{\"indexes\":[{\"index\":\"a\",\"value\":1},]}", "column 37: '{' is expected"},
        {"{\"indexes\":[{\"index\":\"a\",\"value\":1}", "column 36: ',' or ']' is expected"},
        {"{\"indexes\":[],\"indexes\":[]}", "column 25: a second list of indexes"},
    };
    for (size_t i = 0; i < sizeof samples / sizeof samples[0]; i++) {
        struct plinth_error error;
        assert_status(json_line_parse(&fixture->line, slice_of_string(samples[i][0]), &fixture->arena, &error),
                      PLINTH_INVALID_ARGUMENT, &error);
        assert_error_names(&error, samples[i][1]);
    }
}

/* {"m0":0,"m1":1,...} of `count` members, then `last`. */
static enum plinth_status parse_many(struct fixture *fixture, size_t count, const char *last,
                                     struct plinth_error *error) {
    struct buffer text = BUFFER_INIT;
    char member[32];
    for (size_t i = 0; i < count; i++) {
        int size = snprintf(member, sizeof member, "%c\"m%zu\":%zu", i ? ',' : '{', i, i);
        assert_true(buffer_append(&text, member, (size_t)size));
    }
    assert_true(buffer_append(&text, last, strlen(last)));
    struct slice kept = slice_of(arena_copy(&fixture->arena, buffer_slice(&text)), text.size); /* values lie in it */
    buffer_deinit(&text);
    enum plinth_status st = json_line_parse(&fixture->line, kept, &fixture->arena, error);
    return st;
}

static void as_many_members_are_read_as_a_table_has_columns(void **state) {
    struct fixture *fixture = *state;
    struct plinth_error error;
    for (size_t count = 31; count < 36; count++) { /* where the hash table begins */
        assert_ok(parse_many(fixture, count, "}", &error), &error);
        assert_int_equal(fixture->line.count, count);
        assert_status(parse_many(fixture, count, ",\"m7\":1}", &error), PLINTH_INVALID_ARGUMENT, &error);
        assert_error_names(&error, "this name was there already");
    }
    assert_ok(parse_many(fixture, JSON_MEMBERS_MAX, "}", &error), &error);
    assert_int_equal(fixture->line.count, JSON_MEMBERS_MAX);
    assert_true(slice_equal(json_line_find(&fixture->line, "m1599")->value, slice_of_string("1599")));
    assert_status(parse_many(fixture, JSON_MEMBERS_MAX, ",\"x\":1}", &error), PLINTH_INVALID_ARGUMENT, &error);
    assert_error_names(&error, "more than 1600 members");
    assert_status(parse_many(fixture, JSON_MEMBERS_MAX - 1, ",\"m1000\":1}", &error), PLINTH_INVALID_ARGUMENT, &error);
    assert_error_names(&error, "this name was there already");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(members_are_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(escapes_are_undone, set_up, tear_down),
        cmocka_unit_test_setup_teardown(base64_members_are_bytes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(index_values_are_a_list, set_up, tear_down),
        cmocka_unit_test_setup_teardown(mistakes_name_the_column, set_up, tear_down),
        cmocka_unit_test_setup_teardown(as_many_members_are_read_as_a_table_has_columns, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
