/* Rows from a batch to what a reader sees, also after reopening. */
#include <stdio.h>
#include <stdlib.h>

#include "support/table_support.h"

struct fixture {
    char path[TEST_PATH_MAX];
    struct plinth *db;
    struct plinth_error error;
};

static int setup(void **state) {
    struct fixture *f = calloc(1, sizeof *f);
    test_directory_create(f->path);
    assert_ok(plinth_open(f->path, NULL, &f->db, &f->error), &f->error);
    *state = f;
    return 0;
}

static int teardown(void **state) {
    struct fixture *f = *state;
    plinth_close(f->db);
    test_directory_remove(f->path);
    free(f);
    return 0;
}

static void reopen(struct fixture *f) {
    plinth_close(f->db);
    f->db = NULL;
    assert_ok(plinth_open(f->path, NULL, &f->db, &f->error), &f->error);
}

static const char METRICS[] = "host string, time int64, value float64?";

static void write_rows(struct fixture *f, const char *text) {
    assert_ok(test_rows_write(f->db, "metrics", ROWS_UPSERT, METRICS, text, NULL, NULL, &f->error), &f->error);
}

static void rows_are_in_key_order_and_the_newest_of_a_key_counts(void **state) {
    struct fixture *f = *state;
    test_table_create(f->db, "metrics", METRICS, "host,time", false);
    write_rows(f, "b,2,0.5; a,7,-; a,3,1; b,2,2");
    test_table_check(f->db, "metrics", "a,3,1;a,7,-;b,2,2");
    write_rows(f, "a,7,9;c,-1,4");
    assert_ok(test_rows_write(f->db, "metrics", ROWS_DELETE, "time int64, host string", "3,a;5,nobody", NULL, NULL,
                              &f->error),
              &f->error);
    test_table_check(f->db, "metrics", "a,7,9;b,2,2;c,-1,4");
    reopen(f);
    test_table_check(f->db, "metrics", "a,7,9;b,2,2;c,-1,4");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(rows_are_in_key_order_and_the_newest_of_a_key_counts, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
