#include <stdio.h>
#include <stdlib.h>

#include "base/hash.h"
#include "engine/conflict.h"
#include "support/test_support.h"

static void add(struct conflict_window *window, uint64_t lsn, const char *key) {
    conflict_window_add(window, lsn, slice_of_string(key), hash_stable(key, strlen(key)));
}

static enum conflict_verdict check(const struct conflict_window *window, uint64_t snapshot, const char *key) {
    return conflict_window_check_key(window, snapshot, slice_of_string(key), hash_stable(key, strlen(key)));
}

static void a_key_written_above_the_snapshot_conflicts(void **state) {
    (void)state;
    struct conflict_window window;
    struct slice found = {0};
    assert_ok(conflict_window_init(&window, 100, 1 << 17, 0, NULL), NULL);
    add(&window, 5, "a");
    add(&window, 7, "b");
    assert_int_equal(check(&window, 4, "a"), CONFLICT_FOUND);
    assert_int_equal(check(&window, 5, "a"), CONFLICT_NONE);
    assert_int_equal(check(&window, 5, "b"), CONFLICT_FOUND);
    assert_int_equal(check(&window, 0, "c"), CONFLICT_NONE);
    assert_int_equal(conflict_window_check_range(&window, 5, slice_of_string("a"), slice_of_string("b"), NULL),
                     CONFLICT_NONE);
    assert_int_equal(conflict_window_check_range(&window, 5, slice_of_string("a"), slice_of_string("c"), &found),
                     CONFLICT_FOUND);
    assert_true(slice_equal(found, slice_of_string("b")));
    assert_int_equal(conflict_window_check_range(&window, 5, slice_of_string("b"), slice_of(NULL, 0), NULL),
                     CONFLICT_FOUND);
    conflict_window_deinit(&window);
}

static void a_snapshot_below_what_is_remembered_is_too_old(void **state) {
    (void)state;
    struct conflict_window window;
    assert_ok(conflict_window_init(&window, 4, 1 << 17, 0, NULL), NULL);
    char key[8];
    for (uint64_t lsn = 1; lsn <= 10; lsn++) {
        snprintf(key, sizeof key, "k%d", (int)lsn);
        add(&window, lsn, key);
    }
    assert_int_equal(window.floor_lsn, 6);
    assert_int_equal(check(&window, 5, "k9"), CONFLICT_TOO_OLD);
    assert_int_equal(check(&window, 6, "k9"), CONFLICT_FOUND);
    conflict_window_deinit(&window);
}

static void a_record_larger_than_the_window_pushes_itself_out(void **state) {
    (void)state;
    struct conflict_window window;
    assert_ok(conflict_window_init(&window, 4, 1 << 17, 0, NULL), NULL);
    add(&window, 1, "a");
    for (int i = 0; i < 9; i++) add(&window, 2, "b");
    assert_int_equal(window.floor_lsn, 2);
    assert_int_equal(check(&window, 1, "z"), CONFLICT_TOO_OLD);
    add(&window, 3, "c");
    assert_int_equal(check(&window, 2, "c"), CONFLICT_FOUND);
    conflict_window_deinit(&window);
}

/* A window that was filled from its floor on judges as the one that saw everything. */
static void a_window_filled_again_from_its_floor_is_the_same(void **state) {
    (void)state;
    struct test_random random = test_random_of(20261121);
    enum { RECORDS = 4000 };
    struct conflict_window all, again;
    static char keys[RECORDS][40];
    assert_ok(conflict_window_init(&all, 500, 1 << 17, 0, NULL), NULL);
    static uint8_t large[60000];
    uint64_t large_at[RECORDS] = {0};
    for (uint64_t lsn = 1; lsn < RECORDS; lsn++) {
        snprintf(keys[lsn], sizeof keys[lsn], "key-%d", (int)test_random_below(&random, 300));
        add(&all, lsn, keys[lsn]);
        if (test_random_below(&random, 50) == 0) {
            large_at[lsn] = 1 + test_random_below(&random, sizeof large);
            conflict_window_add(&all, lsn, slice_of(large, large_at[lsn]), hash_stable(large, large_at[lsn]));
        }
        if (lsn % 777 != 0) continue;
        assert_ok(conflict_window_init(&again, 500, 1 << 17, all.floor_lsn, NULL), NULL);
        for (uint64_t replay = all.floor_lsn + 1; replay <= lsn; replay++) {
            add(&again, replay, keys[replay]);
            if (large_at[replay])
                conflict_window_add(&again, replay, slice_of(large, large_at[replay]),
                                    hash_stable(large, large_at[replay]));
        }
        assert_int_equal(again.floor_lsn, all.floor_lsn);
        assert_int_equal(again.bytes_held, all.bytes_held);
        for (int i = 0; i < 300; i++) {
            char key[40];
            snprintf(key, sizeof key, "key-%d", i);
            uint64_t snapshot = lsn - test_random_below(&random, 600);
            if (lsn < 600) snapshot = lsn / 2;
            assert_int_equal(check(&again, snapshot, key), check(&all, snapshot, key));
        }
        conflict_window_deinit(&again);
    }
    conflict_window_deinit(&all);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_written_above_the_snapshot_conflicts),
        cmocka_unit_test(a_snapshot_below_what_is_remembered_is_too_old),
        cmocka_unit_test(a_record_larger_than_the_window_pushes_itself_out),
        cmocka_unit_test(a_window_filled_again_from_its_floor_is_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
