/* Named snapshots and history: times and states, and what merges leave alone for them. */
#include <stdio.h>
#include <stdlib.h>

#include "engine/engine.h"
#include "support/sim_env.h"
#include "support/test_support.h"

/* ---- the state ---- */

static void a_time_finds_the_last_record_before_it(void **state) {
    (void)state;
    struct history history = {0};
    uint64_t lsn;
    assert_false(history_find_time(&history, 5, &lsn));
    assert_true(history_note(&history, 1, 1000000));
    assert_true(history_set_window(&history, 100 * 1000000, 2, 2000000));
    assert_int_equal(history_window_lsn(&history, 2000000), 2);
    /* a record each 300 ms from 3 s on */
    uint64_t next = 3;
    for (uint64_t at = 3000000; at < 60000000; at += 300000) assert_true(history_note(&history, next++, at));
    for (uint64_t at = 3000000; at < 60000000; at += 70000) {
        assert_true(history_find_time(&history, at, &lsn));
        uint64_t exact = 3 + (at - 3000000) / 300000;
        assert_true(lsn <= exact && exact - lsn <= 4); /* a second, and a record */
    }
    assert_true(history_find_time(&history, 1ull << 50, &lsn));
    assert_int_equal(lsn, next - 1);
    assert_false(history_find_time(&history, 1999999, &lsn));
    /* after an hour of silence, nothing has changed since the last record */
    uint64_t last = next - 1, last_us = history.newest.time_us;
    assert_true(history_note(&history, next++, last_us + 3600000000ull));
    assert_true(history_find_time(&history, last_us + 1800000000ull, &lsn));
    assert_int_equal(lsn, last);
    assert_int_equal(history_window_lsn(&history, last_us + 3600000000ull), last);
    history_deinit(&history);
}

static void of_records_of_one_time_the_last_is_found(void **state) {
    (void)state;
    struct history history = {0};
    uint64_t lsn;
    assert_true(history_set_window(&history, 100 * 1000000, 1, 1000000));
    for (uint64_t next = 2; next <= 5; next++) assert_true(history_note(&history, next, 1000000));
    assert_true(history_find_time(&history, 1500000, &lsn));
    assert_int_equal(lsn, 5);
    assert_true(history_note(&history, 6, 9000000));
    assert_true(history_find_time(&history, 1500000, &lsn));
    assert_int_equal(lsn, 5);
    history_deinit(&history);
}

static void a_window_never_reaches_back_to_what_a_shorter_one_gave_up(void **state) {
    (void)state;
    struct history history = {0};
    assert_true(history_set_window(&history, 10 * 1000000, 5, 1000000));
    uint64_t next = 6;
    for (uint64_t at = 1000000; at < 100000000; at += 500000) assert_true(history_note(&history, next++, at));
    uint64_t kept = history_window_lsn(&history, 100000000);
    assert_true(kept > 6 && next - 1 - kept >= 18 && next - 1 - kept <= 24);
    assert_true(history.moment_count <= 24);
    assert_true(history_set_window(&history, 1000 * 1000000ull, next++, 100000000));
    assert_int_equal(history_window_lsn(&history, 100000000), kept);
    assert_true(history_set_window(&history, 0, next++, 100000000));
    assert_int_equal(history_window_lsn(&history, 100000000), UINT64_MAX);
    assert_true(history_set_window(&history, 1000 * 1000000ull, next, 100000000));
    assert_int_equal(history_window_lsn(&history, 100000000), next);
    history_deinit(&history);
}

static void what_is_encoded_is_decoded(void **state) {
    (void)state;
    struct history history = {0}, copy = {0};
    assert_true(history_add_name(&history, slice_of_string("owl"), &(struct named_snapshot){.lsn = 7, .time_us = 70}));
    assert_true(history_add_name(&history, slice_of_string("cat"), &(struct named_snapshot){.lsn = 9, .log_lsn = 10}));
    assert_true(history_add_name(&history, slice_of_string("dog"), &(struct named_snapshot){.lsn = 8, .log_lsn = 6}));
    assert_string_equal(history.names[0].name, "cat");
    assert_string_equal(history.names[2].name, "owl");
    assert_int_equal(history_log_lsn(&history), 6);
    assert_true(history_set_window(&history, 77000000, 10, 1000000));
    for (uint64_t i = 0; i < 50; i++) assert_true(history_note(&history, 11 + i, 1000000 + i * 900000));
    struct buffer bytes = BUFFER_INIT, again = BUFFER_INIT;
    assert_true(history_encode(&bytes, &history));
    struct reader from = reader_of(buffer_slice(&bytes));
    assert_true(history_decode(&from, &copy));
    assert_int_equal(reader_left(&from), 0);
    assert_true(history_encode(&again, &copy));
    assert_true(slice_equal(buffer_slice(&bytes), buffer_slice(&again)));
    assert_true(history_drop_name(&copy, slice_of_string("dog")));
    assert_false(history_drop_name(&copy, slice_of_string("dog")));
    history_deinit(&copy);
    for (size_t cut = 0; cut < bytes.size; cut++) {
        copy = (struct history){0};
        from = reader_of(slice_of(bytes.data, cut));
        assert_false(history_decode(&from, &copy));
        history_deinit(&copy);
    }
    history_deinit(&history);
    buffer_deinit(&bytes);
    buffer_deinit(&again);
}

/* ---- the engine ---- */

struct fixture {
    struct sim_env *sim;
    struct plinth *db;
    struct plinth_space space;
    struct plinth_error error;
};

static void open_db(struct fixture *f) {
    struct engine_parts parts = {.env = sim_env_base(f->sim)};
    assert_ok(engine_open("/db", NULL, &parts, &f->db, &f->error), &f->error);
    assert_ok(plinth_space_find(f->db, NULL, NULL, &f->space, &f->error), &f->error);
}

static int setup(void **state) {
    struct fixture *f = calloc(1, sizeof *f);
    f->sim = sim_env_create(1);
    open_db(f);
    *state = f;
    return 0;
}

static int teardown(void **state) {
    struct fixture *f = *state;
    plinth_close(f->db);
    sim_env_destroy(f->sim);
    free(f);
    return 0;
}

static struct plinth_position set(struct fixture *f, const char *key, const char *value) {
    struct plinth_position position;
    assert_ok(plinth_set(f->db, f->space, plinth_text(key), plinth_text(value), NULL, &position, &f->error), &f->error);
    return position;
}

static void expect(struct fixture *f, const char *key, const char *wanted, const struct plinth_read_options *read) {
    struct plinth_buffer value = {0};
    enum plinth_status st = plinth_get(f->db, f->space, plinth_text(key), read, &value, NULL, &f->error);
    assert_status(st, wanted ? PLINTH_OK : PLINTH_NOT_FOUND, &f->error);
    if (wanted) {
        assert_int_equal(value.size, strlen(wanted));
        assert_memory_equal(value.data, wanted, value.size);
    }
    plinth_buffer_deinit(&value);
}

static void merge_and_reopen(struct fixture *f) {
    assert_ok(plinth_compact(f->db, &f->error), &f->error);
    plinth_close(f->db);
    open_db(f);
    assert_ok(plinth_compact(f->db, &f->error), &f->error);
}

static void count_name(void *context, const char *name, struct plinth_position position, uint64_t time_us,
                       bool with_log) {
    assert_true(position.lsn && time_us && *name && !with_log);
    ++*(int *)context;
}

static void a_named_snapshot_is_kept_over_merges_and_restarts_until_it_is_dropped(void **state) {
    struct fixture *f = *state;
    struct plinth_read_options first = {.snapshot_name = "first"}, second = {.snapshot_name = "second"};
    struct plinth_position kept;
    set(f, "cat", "1");
    assert_ok(plinth_snapshot_keep(f->db, "first", NULL, false, &kept, &f->error), &f->error);
    set(f, "cat", "2");
    set(f, "dog", "2");
    assert_ok(plinth_snapshot_keep(f->db, "second", NULL, false, NULL, &f->error), &f->error);
    assert_status(plinth_snapshot_keep(f->db, "second", NULL, false, NULL, &f->error), PLINTH_ALREADY_EXISTS,
                  &f->error);
    assert_ok(plinth_delete(f->db, f->space, plinth_text("cat"), NULL, NULL, &f->error), &f->error);
    for (int life = 0; life < 2; life++) {
        expect(f, "cat", "1", &first);
        expect(f, "dog", NULL, &first);
        expect(f, "cat", "2", &second);
        expect(f, "cat", NULL, NULL);
        merge_and_reopen(f);
    }
    struct plinth_read_options by_position = {.as_of = kept};
    expect(f, "cat", "1", &by_position);
    int names = 0;
    assert_ok(plinth_snapshot_list(f->db, count_name, &names, &f->error), &f->error);
    assert_int_equal(names, 2);
    assert_ok(plinth_snapshot_drop(f->db, "first", &f->error), &f->error);
    assert_status(plinth_snapshot_drop(f->db, "first", &f->error), PLINTH_NOT_FOUND, &f->error);
    assert_error_names(&f->error, "first");
    merge_and_reopen(f);
    struct plinth_buffer value = {0};
    assert_status(plinth_get(f->db, f->space, plinth_text("cat"), &first, &value, NULL, &f->error), PLINTH_NOT_FOUND,
                  &f->error);
    assert_error_names(&f->error, "first");
    assert_status(plinth_get(f->db, f->space, plinth_text("cat"), &by_position, &value, NULL, &f->error),
                  PLINTH_TOO_OLD, &f->error);
    expect(f, "cat", "2", &second);
    assert_ok(plinth_snapshot_drop(f->db, "second", &f->error), &f->error);
    merge_and_reopen(f);
    struct plinth_stats stats;
    plinth_stats_read(f->db, &stats);
    assert_int_equal(stats.segment_rows, 1); /* dog */
    assert_status(plinth_snapshot_keep(f->db, "", NULL, false, NULL, &f->error), PLINTH_INVALID_ARGUMENT, &f->error);
    plinth_buffer_deinit(&value);
}

static void within_the_window_every_state_is_readable_by_its_time(void **state) {
    struct fixture *f = *state;
    struct plinth_buffer value = {0};
    set(f, "cat", "0");
    struct plinth_read_options read = {.as_of_time_us = engine_time_us(f->db)};
    assert_status(plinth_get(f->db, f->space, plinth_text("cat"), &read, &value, NULL, &f->error), PLINTH_TOO_OLD,
                  &f->error);
    assert_error_names(&f->error, "no history is kept");
    assert_ok(plinth_history_keep(f->db, 3600, &f->error), &f->error);
    assert_status(plinth_history_keep(f->db, 1ull << 40, &f->error), PLINTH_INVALID_ARGUMENT, &f->error);
    struct plinth_position positions[5];
    uint64_t times[5];
    for (int i = 0; i < 5; i++) {
        char text[2] = {(char)('1' + i), 0};
        positions[i] = set(f, "cat", text);
        times[i] = engine_time_us(f->db);
        sim_env_advance_us(f->sim, 4000000);
    }
    merge_and_reopen(f);
    for (int i = 0; i < 5; i++) {
        char text[2] = {(char)('1' + i), 0};
        struct plinth_read_options by_position = {.as_of = positions[i]};
        struct plinth_read_options by_time = {.as_of_time_us = times[i] + 2000000};
        expect(f, "cat", text, &by_position);
        expect(f, "cat", text, &by_time);
    }
    struct plinth_read_options before = {.as_of_time_us = times[0] - 60000000};
    assert_status(plinth_get(f->db, f->space, plinth_text("cat"), &before, &value, NULL, &f->error), PLINTH_TOO_OLD,
                  &f->error);
    /* when the window ends, so do the versions */
    assert_ok(plinth_history_keep(f->db, 0, &f->error), &f->error);
    merge_and_reopen(f);
    struct plinth_read_options gone = {.as_of = positions[1]};
    assert_status(plinth_get(f->db, f->space, plinth_text("cat"), &gone, &value, NULL, &f->error), PLINTH_TOO_OLD,
                  &f->error);
    struct plinth_stats stats;
    plinth_stats_read(f->db, &stats);
    assert_int_equal(stats.segment_rows, 1);
    plinth_buffer_deinit(&value);
}

/* ---- many at once ---- */

struct namer {
    struct fixture *f;
    uint64_t times;
};

/* Keeps, and drops again, snapshots of one name. */
static void *keep_and_drop(void *argument) {
    const struct namer *namer = argument;
    struct plinth *db = namer->f->db;
    struct plinth_error error;
    for (uint64_t i = 0; i < namer->times; i++) {
        enum plinth_status st =
            plinth_set(db, namer->f->space, plinth_text("cat"), plinth_text("x"), NULL, NULL, &error);
        assert_ok(st, &error);
        st = plinth_snapshot_drop(db, "one", &error);
        assert_true(st == PLINTH_OK || st == PLINTH_NOT_FOUND);
        st = plinth_snapshot_keep(db, "one", NULL, false, NULL, &error);
        assert_true(st == PLINTH_OK || st == PLINTH_ALREADY_EXISTS);
    }
    return NULL;
}

static void note_position(void *context, const char *name, struct plinth_position position, uint64_t time_us,
                          bool with_log) {
    (void)time_us;
    assert_string_equal(name, "one");
    assert_false(with_log);
    *(uint64_t *)context = position.lsn;
}

static void a_name_that_many_keep_and_drop_is_of_the_state_that_the_log_says(void **state) {
    struct fixture *f = *state;
    struct namer namer = {f, 20};
    for (int round = 0; round < 10; round++) {
        pthread_t threads[4];
        for (int i = 0; i < 4; i++) assert_int_equal(pthread_create(&threads[i], NULL, keep_and_drop, &namer), 0);
        for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
        uint64_t logged = 0, held = 0;
        assert_ok(plinth_snapshot_list(f->db, note_position, &logged, &f->error), &f->error);
        struct plinth_read_options read = {.snapshot_name = "one"};
        assert_ok(engine_find_past(f->db, &read, &held, &f->error), &f->error);
        assert_int_equal(held, logged);
        assert_int_equal(f->db->snapshot_count, 1);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_time_finds_the_last_record_before_it),
        cmocka_unit_test(of_records_of_one_time_the_last_is_found),
        cmocka_unit_test(a_window_never_reaches_back_to_what_a_shorter_one_gave_up),
        cmocka_unit_test(what_is_encoded_is_decoded),
        cmocka_unit_test_setup_teardown(a_named_snapshot_is_kept_over_merges_and_restarts_until_it_is_dropped, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(within_the_window_every_state_is_readable_by_its_time, setup, teardown),
        cmocka_unit_test_setup_teardown(a_name_that_many_keep_and_drop_is_of_the_state_that_the_log_says, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
