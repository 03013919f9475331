/* Keys that expire: whoever reads goes by the time of the state that is read, and what has expired never comes back. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "support/engine_fixture.h"

enum { KEYS = 120 };

struct model_key {
    uint64_t version, expires_us; /* version 0: not there */
};

static struct model_key expected[KEYS];

static const struct plinth_options small_options = {
    .memtable_bytes = 1 << 20, .cache_bytes = 4 << 20, .log_segment_bytes = 1 << 20};
static const struct engine_sizes sizes = {.segment_raw_bytes_max = 4 << 10};

static int setup(void **state) { return fixture_setup(state, &small_options, &sizes); }

static void flush(struct fixture *f) { assert_ok(plinth_flush(f->db, &f->error), &f->error); }
static void compact(struct fixture *f) { assert_ok(plinth_compact(f->db, &f->error), &f->error); }

static void set(struct fixture *f, const char *key, uint64_t expires_at_us, uint64_t ttl_us) {
    struct plinth_index_value color = {plinth_text("color"), plinth_text("blue")};
    struct plinth_operation operation = {.kind = PLINTH_SET,
                                         .space = f->space,
                                         .key = plinth_text(key),
                                         .value = plinth_text(key),
                                         .indexes = &color,
                                         .index_count = 1,
                                         .expires_at_us = expires_at_us,
                                         .ttl_us = ttl_us};
    assert_ok(plinth_write(f->db, &operation, 1, NULL, NULL, &f->error), &f->error);
}

static bool exists(struct fixture *f, const char *key, const struct plinth_snapshot *snapshot) {
    struct plinth_buffer value = {0};
    struct plinth_read_options read = {.snapshot = snapshot};
    enum plinth_status st = plinth_get(f->db, f->space, plinth_text(key), &read, &value, NULL, &f->error);
    plinth_buffer_deinit(&value);
    if (st != PLINTH_NOT_FOUND) assert_ok(st, &f->error);
    return !st;
}

static size_t count_by_index(struct fixture *f, const struct plinth_snapshot *snapshot, bool with_values) {
    struct plinth_index_scan_options options = {.index = plinth_text("color"),
                                                .value = plinth_text("blue"),
                                                .with_values = with_values,
                                                .read = {.snapshot = snapshot}};
    struct plinth_scan *scan;
    struct plinth_row row;
    bool found = true;
    size_t count = 0;
    assert_ok(plinth_index_scan_open(f->db, f->space, &options, &scan, &f->error), &f->error);
    for (;;) {
        assert_ok(plinth_scan_next(scan, &row, &found, &f->error), &f->error);
        if (!found) break;
        count++;
    }
    plinth_scan_close(scan);
    return count;
}

static void check_verify(struct fixture *f) {
    struct plinth_verify_result result;
    assert_ok(plinth_verify(f->db, NULL, NULL, &result, &f->error), &f->error);
    assert_int_equal(result.problems, 0);
}

/* ---- the model ---- */

static void check(struct fixture *f, const struct model_key *model, const struct plinth_snapshot *snapshot) {
    struct plinth_read_options read = {.snapshot = snapshot};
    uint64_t time_us = engine_read_time_us(f->db, &read, 0);
    size_t there = 0;
    char key[16];
    for (int i = 0; i < KEYS; i++) {
        bool wanted = model[i].version && (!model[i].expires_us || model[i].expires_us > time_us);
        snprintf(key, sizeof key, "k%03d", i);
        assert_int_equal(exists(f, key, snapshot), wanted);
        there += wanted;
    }
    for (int way = 0; way < 4; way++) {
        struct plinth_scan_options options = {.reverse = way & 1, .keys_only = way & 2, .read = read};
        struct plinth_scan *scan;
        struct plinth_row row;
        bool found = true;
        size_t count = 0;
        assert_ok(plinth_scan_open(f->db, f->space, &options, &scan, &f->error), &f->error);
        for (;;) {
            assert_ok(plinth_scan_next(scan, &row, &found, &f->error), &f->error);
            if (!found) break;
            count++;
        }
        plinth_scan_close(scan);
        assert_int_equal(count, there);
    }
    if (there) assert_int_equal(count_by_index(f, snapshot, false), there);
    if (there) assert_int_equal(count_by_index(f, snapshot, true), there);
}

static void check_now(struct fixture *f) {
    struct plinth_snapshot *now;
    assert_ok(plinth_snapshot_create(f->db, (struct plinth_position){0, 0}, &now, &f->error), &f->error);
    check(f, expected, now);
    plinth_snapshot_destroy(now);
}

static void what_has_expired_never_comes_back(void **state) {
    struct fixture *f = *state;
    uint64_t seed = getenv("PLINTH_SEED") ? strtoull(getenv("PLINTH_SEED"), NULL, 10) : 3;
    struct test_random random = test_random_of(seed);
    struct plinth_snapshot *old = NULL;
    struct model_key old_model[KEYS];
    for (uint64_t step = 1; step <= 1500; step++) {
        int i = (int)test_random_below(&random, KEYS);
        char key[16];
        snprintf(key, sizeof key, "k%03d", i);
        uint64_t now = engine_time_us(f->db), expires_us = 0;
        switch (test_random_below(&random, 5)) {
        case 0: expires_us = now - 1000000; break;
        case 1: expires_us = now + 3600000000ull; break;
        case 2:
        case 3: expires_us = now + test_random_below(&random, 300000); break;
        default: break;
        }
        if (test_random_below(&random, 6) == 0) {
            assert_ok(plinth_delete(f->db, f->space, plinth_text(key), NULL, NULL, &f->error), &f->error);
            expected[i] = (struct model_key){0};
        } else {
            set(f, key, expires_us, 0);
            expected[i] = (struct model_key){step, expires_us};
        }
        uint64_t dice = test_random_below(&random, 200);
        if (dice < 4) flush(f);
        if (dice == 4) compact(f);
        if (dice == 5) {
            plinth_snapshot_destroy(old);
            old = NULL;
            fixture_reopen(f);
        }
        if (dice == 6) {
            plinth_snapshot_destroy(old);
            assert_ok(plinth_snapshot_create(f->db, (struct plinth_position){0, 0}, &old, &f->error), &f->error);
            memcpy(old_model, expected, sizeof old_model);
        }
        if (dice >= 7 && dice < 12) {
            usleep(20000);
            check_now(f);
            if (old) check(f, old_model, old);
        }
    }
    if (old) check(f, old_model, old);
    plinth_snapshot_destroy(old);
    usleep(350000);
    check_now(f);
    compact(f);
    check_now(f);
    check_verify(f);
    fixture_reopen(f);
    check_now(f);
}

static void a_key_is_gone_on_an_idle_engine_and_its_room_comes_back(void **state) {
    struct fixture *f = *state;
    set(f, "old", 0, 0);
    set(f, "older", 0, 0);
    flush(f);
    set(f, "old", 0, 2000000); /* the version below must not show again */
    set(f, "stays", 0, 0);
    assert_true(exists(f, "old", NULL));
    flush(f);
    assert_true(exists(f, "old", NULL));
    for (int i = 0; i < 300 && exists(f, "old", NULL); i++) usleep(20000);
    assert_false(exists(f, "old", NULL));
    fixture_reopen(f);
    assert_false(exists(f, "old", NULL));
    compact(f);
    assert_false(exists(f, "old", NULL));
    assert_true(exists(f, "older", NULL) && exists(f, "stays", NULL));
    struct plinth_stats stats;
    plinth_stats_read(f->db, &stats);
    assert_int_equal(stats.segment_rows, 4); /* two keys and their index entries */
    check_verify(f);
}

static void a_snapshot_from_before_still_sees_the_key(void **state) {
    struct fixture *f = *state;
    set(f, "a", 0, 1500000);
    set(f, "b", 0, 0);
    struct plinth_snapshot *snapshot;
    assert_ok(plinth_snapshot_create(f->db, (struct plinth_position){0, 0}, &snapshot, &f->error), &f->error);
    assert_ok(plinth_snapshot_keep(f->db, "kept", NULL, false, NULL, &f->error), &f->error);
    usleep(1800000);
    assert_false(exists(f, "a", NULL));
    flush(f);
    compact(f);
    assert_true(exists(f, "a", snapshot));
    assert_int_equal(count_by_index(f, snapshot, false), 2);
    assert_int_equal(count_by_index(f, NULL, false), 1);
    plinth_snapshot_destroy(snapshot);
    fixture_reopen(f);
    compact(f);
    struct plinth_read_options named = {.snapshot_name = "kept"};
    struct plinth_buffer value = {0};
    assert_ok(plinth_get(f->db, f->space, plinth_text("a"), &named, &value, NULL, &f->error), &f->error);
    assert_ok(plinth_snapshot_drop(f->db, "kept", &f->error), &f->error);
    compact(f);
    assert_false(exists(f, "a", NULL));
    plinth_buffer_deinit(&value);
}

static void an_expired_key_counts_as_absent_for_conditions(void **state) {
    struct fixture *f = *state;
    set(f, "lease", engine_time_us(f->db) - 1, 0);
    struct plinth_operation take = {.kind = PLINTH_SET,
                                    .space = f->space,
                                    .key = plinth_text("lease"),
                                    .value = plinth_text("mine"),
                                    .ttl_us = 60000000};
    struct plinth_comparison absent = {.expectation = PLINTH_EXPECT_ABSENT};
    assert_ok(plinth_compare_and_set(f->db, &take, &absent, NULL, NULL, NULL, &f->error), &f->error);
    assert_status(plinth_compare_and_set(f->db, &take, &absent, NULL, NULL, NULL, &f->error), PLINTH_CONFLICT,
                  &f->error);
    struct plinth_transaction *transaction;
    struct plinth_buffer value = {0};
    assert_ok(plinth_transaction_begin(f->db, &transaction, &f->error), &f->error);
    struct plinth_operation gone = take;
    gone.key = plinth_text("gone");
    gone.ttl_us = 1;
    assert_ok(plinth_transaction_write(transaction, &gone, &f->error), &f->error);
    assert_ok(plinth_transaction_commit(transaction, NULL, NULL, NULL, &f->error), &f->error);
    plinth_transaction_destroy(transaction);
    usleep(1000);
    set(f, "other", 0, 0); /* time moves on */
    assert_ok(plinth_transaction_begin(f->db, &transaction, &f->error), &f->error);
    assert_status(plinth_transaction_get(transaction, f->space, plinth_text("gone"), &value, NULL, &f->error),
                  PLINTH_NOT_FOUND, &f->error);
    plinth_transaction_destroy(transaction);
    plinth_buffer_deinit(&value);
}

static void wrong_expiries_are_refused(void **state) {
    struct fixture *f = *state;
    struct plinth_operation operation = {.kind = PLINTH_SET,
                                         .space = f->space,
                                         .key = plinth_text("a"),
                                         .value = plinth_text("a"),
                                         .expires_at_us = 1,
                                         .ttl_us = 1};
    assert_status(plinth_write(f->db, &operation, 1, NULL, NULL, &f->error), PLINTH_INVALID_ARGUMENT, &f->error);
    operation =
        (struct plinth_operation){.kind = PLINTH_DELETE, .space = f->space, .key = plinth_text("a"), .ttl_us = 1};
    assert_status(plinth_write(f->db, &operation, 1, NULL, NULL, &f->error), PLINTH_INVALID_ARGUMENT, &f->error);
    struct plinth_stats stats;
    plinth_stats_read(f->db, &stats);
    assert_true(stats.feature_level < FEATURE_LEVEL_EXPIRY);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(what_has_expired_never_comes_back),
        TEST(a_key_is_gone_on_an_idle_engine_and_its_room_comes_back),
        TEST(a_snapshot_from_before_still_sees_the_key),
        TEST(an_expired_key_counts_as_absent_for_conditions),
        TEST(wrong_expiries_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
