/* json_out: what is as deep as it may be comes out whole; what is deeper fails, and touches nothing beyond. */
#include "cmd/json_out.h"

#include <stdlib.h>

#include "support/test_support.h"

/* Arrays inside each other; the caller frees the text. */
static bool write_nested(unsigned depth, char **text) {
    size_t size;
    struct json_out out;
    FILE *file = open_memstream(text, &size);
    assert_non_null(file);
    json_out_init(&out, file);
    for (unsigned i = 0; i < depth; i++) {
        json_begin(&out, NULL, '[');
        json_number(&out, NULL, i);
    }
    for (unsigned i = 0; i < depth; i++) json_end(&out);
    assert_int_equal(out.depth, 0);
    bool is_ok = json_finish(&out);
    fclose(file);
    return is_ok;
}

static void objects_and_arrays_are_indented(void **state) {
    char *text;
    (void)state;
    assert_true(write_nested(2, &text));
    assert_string_equal(text, "[\n  0,\n  [\n    1\n  ]\n]\n");
    free(text);
}

static void what_is_nested_too_deep_fails_and_no_more(void **state) {
    (void)state;
    for (unsigned more = 0; more <= 300; more += 100) {
        char *text;
        unsigned ends = 0;
        assert_int_equal(write_nested(JSON_OUT_DEPTH_MAX + more, &text), more == 0);
        for (const char *at = text; *at; at++) ends += *at == ']';
        assert_int_equal(ends, JSON_OUT_DEPTH_MAX);
        free(text);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(objects_and_arrays_are_indented),
        cmocka_unit_test(what_is_nested_too_deep_fails_and_no_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
