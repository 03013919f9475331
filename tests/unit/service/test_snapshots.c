/* Snapshots that clients keep, on a real engine. */
#include "base/env.h"
#include "service/snapshot_table.h"
#include "support/test_support.h"

struct fixture {
    char directory[TEST_PATH_MAX];
    struct plinth *db;
    struct plinth_space space;
    struct snapshot_table table;
};

static int set_up(void **state) {
    static struct fixture fixture;
    struct plinth_error error;
    test_directory_create(fixture.directory);
    assert_ok(plinth_open(fixture.directory, NULL, &fixture.db, &error), &error);
    assert_ok(plinth_space_find(fixture.db, NULL, NULL, &fixture.space, &error), &error);
    snapshot_table_init(&fixture.table, env_posix());
    *state = &fixture;
    return 0;
}

static int tear_down(void **state) {
    struct fixture *fixture = *state;
    snapshot_table_deinit(&fixture->table);
    plinth_close(fixture->db);
    test_directory_remove(fixture->directory);
    return 0;
}

static void set(struct fixture *fixture, const char *value) {
    struct plinth_error error;
    assert_ok(plinth_set(fixture->db, fixture->space, plinth_text("key"), plinth_text(value), NULL, NULL, &error),
              &error);
}

static struct plinth_position add(struct fixture *fixture, uint32_t ttl_ms) {
    struct plinth_position position;
    struct plinth_error error;
    assert_ok(snapshot_table_add(&fixture->table, fixture->db, ttl_ms, &position, &error), &error);
    return position;
}

static void a_kept_snapshot_shows_its_own_state(void **state) {
    struct fixture *fixture = *state;
    struct plinth_buffer value = {0};
    struct plinth_error error;
    set(fixture, "one");
    struct plinth_position position = add(fixture, 60000);
    set(fixture, "two");
    struct pinned_snapshot *pinned = snapshot_table_pin(&fixture->table, position);
    assert_non_null(pinned);
    struct plinth_read_options options = {.snapshot = pinned_snapshot_of(pinned)};
    assert_ok(plinth_get(fixture->db, fixture->space, plinth_text("key"), &options, &value, NULL, &error), &error);
    assert_int_equal(value.size, 3);
    assert_memory_equal(value.data, "one", 3);
    snapshot_table_unpin(&fixture->table, pinned);
    plinth_buffer_deinit(&value);
}

static void a_shared_position_lives_until_both_let_go(void **state) {
    struct fixture *fixture = *state;
    set(fixture, "one");
    struct plinth_position first = add(fixture, 60000), second = add(fixture, 60000);
    assert_int_equal(first.lsn, second.lsn);
    assert_int_equal(snapshot_table_count(&fixture->table), 1);
    snapshot_table_release(&fixture->table, first);
    struct pinned_snapshot *pinned = snapshot_table_pin(&fixture->table, second);
    assert_non_null(pinned);
    snapshot_table_release(&fixture->table, second);
    assert_int_equal(snapshot_table_count(&fixture->table), 0);
    assert_null(snapshot_table_pin(&fixture->table, second));
    assert_non_null(pinned_snapshot_of(pinned)); /* a reader keeps it to its end */
    snapshot_table_unpin(&fixture->table, pinned);
    snapshot_table_release(&fixture->table, second); /* gone already: no error */
}

static void a_snapshot_ends_with_its_time(void **state) {
    struct fixture *fixture = *state;
    set(fixture, "one");
    struct plinth_position brief = add(fixture, 1);
    env_sleep_us(env_posix(), 20000);
    assert_null(snapshot_table_pin(&fixture->table, brief));
    snapshot_table_expire(&fixture->table);
    assert_int_equal(snapshot_table_count(&fixture->table), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_kept_snapshot_shows_its_own_state, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_shared_position_lives_until_both_let_go, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_snapshot_ends_with_its_time, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
