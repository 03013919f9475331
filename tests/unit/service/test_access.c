/* Who may call what: every method has a row, and what has none is refused. */
#include <stdio.h>

#include "service/access.h"
#include "service/service_private.h"
#include "support/test_support.h"

static void every_method_has_a_right(void **state) {
    (void)state;
    struct plinth_error error;
    for (unsigned i = 0; i < service_method_count; i++) {
        enum access_right right = access_right_of(service_methods[i]->path);
        assert_int_not_equal(right, ACCESS_NONE);
        assert_ok(access_check(NULL, service_methods[i]->path, right, &error), &error);
    }
}

static void a_method_without_a_row_is_refused(void **state) {
    (void)state;
    struct plinth_error error;
    const char *path = "/plinth.v1.KeyValue/DropEverything";
    assert_int_equal(access_right_of(path), ACCESS_NONE);
    assert_status(access_check(NULL, path, access_right_of(path), &error), PLINTH_PERMISSION_DENIED, &error);
    assert_error_names(&error, path);
}

static void writing_methods_take_the_right_to_write(void **state) {
    (void)state;
    static const char *const writing[] = {"Set", "Delete", "Batch", "CompareAndSet"};
    for (size_t i = 0; i < sizeof writing / sizeof writing[0]; i++) {
        char path[64];
        snprintf(path, sizeof path, "/plinth.v1.KeyValue/%s", writing[i]);
        assert_int_equal(access_right_of(path), ACCESS_WRITE);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_method_has_a_right),
        cmocka_unit_test(a_method_without_a_row_is_refused),
        cmocka_unit_test(writing_methods_take_the_right_to_write),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
