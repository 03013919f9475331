/* Range deletes: what they hide and from whom, what becomes of the files, and how long they are kept. */
#include "engine/ranges.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "engine/engine.h"
#include "support/engine_fixture.h"

/* ---- sets ---- */

static void the_newest_range_over_a_key_is_found_whatever_the_ranges_are(void **state) {
    (void)state;
    enum { RANGES = 120, KEYS = 60 };
    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct test_random random = test_random_of(seed);
        char bounds[RANGES][2][4];
        struct deleted_range ranges[RANGES];
        size_t count = 1 + test_random_below(&random, RANGES);
        for (size_t i = 0; i < count; i++) {
            unsigned lower = (unsigned)test_random_below(&random, KEYS),
                     upper = lower + 1 + (unsigned)test_random_below(&random, seed % 3 ? 5 : KEYS);
            snprintf(bounds[i][0], sizeof bounds[i][0], "%03u", lower);
            snprintf(bounds[i][1], sizeof bounds[i][1], "%03u", upper);
            ranges[i] = (struct deleted_range){slice_of_string(bounds[i][0]), slice_of_string(bounds[i][1]),
                                               1 + test_random_below(&random, 200)};
            if (test_random_below(&random, 10) == 0) ranges[i].upper = slice_of(NULL, 0);
            if (test_random_below(&random, 10) == 0) ranges[i].lower = slice_of(NULL, 0);
        }
        struct range_set *first = range_set_create(ranges, count / 2),
                         *second = range_set_create(ranges + count / 2, count - count / 2);
        struct range_set *halves[] = {first, second}, *all = range_set_merge(halves, 2);
        assert_int_equal(range_set_count(all), count);
        for (unsigned key = 0; key < KEYS; key++) {
            char text[8];
            snprintf(text, sizeof text, "%03u", key);
            for (uint64_t lsn = 0; lsn < 220; lsn += 7) {
                uint64_t wanted = 0;
                for (size_t i = 0; i < count; i++)
                    if (ranges[i].lsn <= lsn && ranges[i].lsn > wanted &&
                        deleted_range_covers(&ranges[i], slice_of_string(text)))
                        wanted = ranges[i].lsn;
                const struct deleted_range *found = NULL;
                range_set_find(all, slice_of_string(text), lsn, &found);
                assert_int_equal(found ? found->lsn : 0, wanted);
            }
            struct slice next, least = {0};
            for (size_t i = 0; i < count; i++)
                if (slice_compare(ranges[i].lower, slice_of_string(text)) > 0 &&
                    (!least.size || slice_compare(ranges[i].lower, least) < 0))
                    least = ranges[i].lower;
            bool any = range_set_next(all, slice_of_string(text), &next);
            assert_int_equal(any, least.size != 0);
            if (any) assert_true(slice_equal(next, least));
        }
        range_set_unref(first);
        range_set_unref(second);
        range_set_unref(all);
    }
}

static void a_memtable_finds_every_range_that_was_added(void **state) {
    (void)state;
    enum { ADDED = 700 };
    struct memtable *memtable;
    struct plinth_error error;
    const struct table_id tables[] = {{1, 1, 2}, {1, 1, 3}};
    assert_ok(memtable_create(&memtable, &error), &error);
    uint64_t before = memtable_bytes(memtable);
    for (unsigned i = 0; i < ADDED; i++) {
        char lower[8], upper[8];
        snprintf(lower, sizeof lower, "%04u", i);
        snprintf(upper, sizeof upper, "%04u", i + 2);
        struct deleted_range range = {slice_of_string(lower), slice_of_string(upper), i + 1};
        assert_ok(memtable_delete_range(memtable, tables[i % 2], &range, &error), &error);
    }
    assert_true(memtable_bytes(memtable) > before + ADDED * 50);
    for (unsigned key = 0; key <= ADDED; key++) {
        char text[8];
        snprintf(text, sizeof text, "%04u", key);
        for (unsigned t = 0; t < 2; t++) {
            unsigned newest = 0;
            for (unsigned i = key ? key - 1 : 0; i <= key && i < ADDED; i++)
                if (i % 2 == t) newest = i + 1;
            const struct deleted_range *found = NULL;
            memtable_find_range(memtable, tables[t], slice_of_string(text), UINT64_MAX, &found);
            assert_int_equal(found ? found->lsn : 0, newest);
        }
    }
    struct range_view view = {.lsn_max = UINT64_MAX};
    assert_true(memtable_ranges(memtable, tables[0], &view));
    assert_true(view.count > 0 && view.count <= 10);
    range_view_deinit(&view);
    memtable_unref(memtable);
}

/* ---- the engine ---- */

static const struct plinth_options small_options = {
    .memtable_bytes = 1 << 20, .cache_bytes = 4 << 20, .log_segment_bytes = 1 << 20};
static const struct engine_sizes sizes = {.segment_raw_bytes_max = 32 << 10};

static int setup(void **state) { return fixture_setup(state, &small_options, &sizes); }

static void set(struct fixture *f, const char *key, const char *value) {
    assert_ok(plinth_set(f->db, f->space, plinth_text(key), plinth_text(value), NULL, NULL, &f->error), &f->error);
}

static void delete_range(struct fixture *f, const char *lower, const char *upper) {
    assert_ok(plinth_delete_range(f->db, f->space, plinth_text(lower), plinth_text(upper), NULL, NULL, &f->error),
              &f->error);
}

/* Keys "k000000" ... in batches. */
static void fill(struct fixture *f, unsigned first, unsigned end) {
    enum { AT_ONCE = 100 };
    const struct plinth_write_options options = {.durability = PLINTH_DURABILITY_BUFFERED};
    static char keys[AT_ONCE][16], value[100];
    struct plinth_operation operations[AT_ONCE];
    size_t count = 0;
    for (unsigned i = first; i < end; i++) {
        snprintf(keys[count], sizeof keys[count], "k%06u", i);
        operations[count] = (struct plinth_operation){.kind = PLINTH_SET,
                                                      .space = f->space,
                                                      .key = plinth_text(keys[count]),
                                                      .value = plinth_bytes(value, sizeof value)};
        if (++count < AT_ONCE && i + 1 < end) continue;
        assert_ok(plinth_write(f->db, operations, count, &options, NULL, &f->error), &f->error);
        count = 0;
    }
    set(f, "~", "durable");
}

static void flush(struct fixture *f) { assert_ok(plinth_flush(f->db, &f->error), &f->error); }
static void compact(struct fixture *f) { assert_ok(plinth_compact(f->db, &f->error), &f->error); }

static struct plinth_stats stats_of(struct fixture *f) {
    struct plinth_stats stats;
    plinth_stats_read(f->db, &stats);
    return stats;
}

static uint64_t ranges_kept(struct fixture *f) {
    pthread_mutex_lock(&f->db->sequence_mutex);
    uint64_t count = f->db->shard.ranges.count;
    pthread_mutex_unlock(&f->db->sequence_mutex);
    return count;
}

static uint64_t count_rows(struct fixture *f, const struct plinth_snapshot *snapshot, bool reverse) {
    struct plinth_scan_options options = {
        .prefix = plinth_text("k"), .reverse = reverse, .keys_only = true, .read = {.snapshot = snapshot}};
    struct plinth_scan *scan;
    struct plinth_row row;
    bool found = true;
    uint64_t count = 0;
    assert_ok(plinth_scan_open(f->db, f->space, &options, &scan, &f->error), &f->error);
    while (true) {
        assert_ok(plinth_scan_next(scan, &row, &found, &f->error), &f->error);
        if (!found) break;
        count++;
    }
    plinth_scan_close(scan);
    return count;
}

static bool exists(struct fixture *f, const char *key) {
    struct plinth_buffer value = {0};
    enum plinth_status st = plinth_get(f->db, f->space, plinth_text(key), NULL, &value, NULL, &f->error);
    plinth_buffer_deinit(&value);
    if (st != PLINTH_NOT_FOUND) assert_ok(st, &f->error);
    return !st;
}

static void check_verify(struct fixture *f) {
    struct plinth_verify_result result;
    assert_ok(plinth_verify(f->db, NULL, NULL, &result, &f->error), &f->error);
    assert_int_equal(result.problems, 0);
}

static void whole_segments_go_unread_and_then_the_range_delete_too(void **state) {
    struct fixture *f = *state;
    fill(f, 0, 20000);
    compact(f);
    uint64_t segments = stats_of(f).segments;
    assert_true(segments > 20);
    delete_range(f, "k000100", "k019900");
    assert_int_equal(ranges_kept(f), 1);
    struct plinth_stats before = stats_of(f);
    assert_int_equal(count_rows(f, NULL, false), 200);
    assert_int_equal(count_rows(f, NULL, true), 200);
    /* Of the segments in between nothing was read. */
    assert_true(stats_of(f).cache_misses - before.cache_misses < 20);
    assert_false(exists(f, "k000100"));
    assert_true(exists(f, "k000099") && exists(f, "k019900"));
    fixture_reopen(f);
    assert_int_equal(count_rows(f, NULL, false), 200);
    flush(f);
    assert_ok(plinth_jobs_run(f->db, PLINTH_JOB_COMPACTION, &f->error), &f->error);
    assert_true(stats_of(f).segments <= 4);
    assert_int_equal(stats_of(f).compaction_rows_in, 0);
    assert_int_equal(count_rows(f, NULL, false), 200);
    assert_int_equal(count_rows(f, NULL, true), 200);
    check_verify(f);
    compact(f);
    assert_int_equal(ranges_kept(f), 0);
    assert_int_equal(stats_of(f).segment_rows, 201);
    assert_int_equal(count_rows(f, NULL, true), 200);
    fixture_reopen(f);
    assert_int_equal(ranges_kept(f), 0);
    assert_int_equal(count_rows(f, NULL, false), 200);
}

static void a_snapshot_keeps_what_is_deleted_after_it(void **state) {
    struct fixture *f = *state;
    fill(f, 0, 2000);
    flush(f);
    struct plinth_snapshot *snapshot;
    assert_ok(plinth_snapshot_create(f->db, (struct plinth_position){0, 0}, &snapshot, &f->error), &f->error);
    delete_range(f, "", "");
    fill(f, 500, 600);
    for (int round = 0; round < 3; round++) {
        assert_int_equal(count_rows(f, snapshot, false), 2000);
        assert_int_equal(count_rows(f, snapshot, true), 2000);
        assert_int_equal(count_rows(f, NULL, false), 100);
        assert_int_equal(count_rows(f, NULL, true), 100);
        if (round == 0) flush(f);
        if (round == 1) compact(f);
    }
    assert_int_equal(ranges_kept(f), 1);
    plinth_snapshot_destroy(snapshot);
    compact(f);
    assert_int_equal(ranges_kept(f), 0);
    assert_int_equal(stats_of(f).segment_rows, 101);
    check_verify(f);
}

static void a_range_delete_over_nothing_goes_with_the_next_flush(void **state) {
    struct fixture *f = *state;
    delete_range(f, "a", "b");
    delete_range(f, "", "");
    assert_int_equal(ranges_kept(f), 2);
    flush(f);
    for (int i = 0; i < 500 && ranges_kept(f); i++) usleep(10000);
    assert_int_equal(ranges_kept(f), 0);
    set(f, "a", "1");
    assert_true(exists(f, "a"));
}

static void many_small_ranges_make_their_segments_be_written_again(void **state) {
    struct fixture *f = *state;
    fill(f, 0, 5000);
    compact(f);
    for (unsigned i = 0; i < 1500; i++) {
        char lower[16], upper[16];
        snprintf(lower, sizeof lower, "k%06u", 3 * i);
        snprintf(upper, sizeof upper, "k%06u", 3 * i + 1);
        const struct plinth_write_options options = {.durability = PLINTH_DURABILITY_BUFFERED};
        assert_ok(
            plinth_delete_range(f->db, f->space, plinth_text(lower), plinth_text(upper), &options, NULL, &f->error),
            &f->error);
    }
    set(f, "~", "durable");
    assert_int_equal(count_rows(f, NULL, false), 3500);
    assert_int_equal(count_rows(f, NULL, true), 3500);
    flush(f);
    assert_ok(plinth_jobs_run(f->db, PLINTH_JOB_COMPACTION, &f->error), &f->error);
    for (int i = 0; i < 500 && ranges_kept(f) > 1024; i++) usleep(10000);
    assert_true(ranges_kept(f) <= 1024);
    assert_int_equal(count_rows(f, NULL, false), 3500);
    fixture_reopen(f);
    assert_int_equal(count_rows(f, NULL, true), 3500);
    check_verify(f);
}

static void within_a_batch_the_order_decides(void **state) {
    struct fixture *f = *state;
    set(f, "a", "0");
    set(f, "b", "0");
    set(f, "c", "0");
    struct plinth_operation operations[] = {
        {.kind = PLINTH_SET, .space = f->space, .key = plinth_text("a"), .value = plinth_text("1")},
        {.kind = PLINTH_SET, .space = f->space, .key = plinth_text("d"), .value = plinth_text("1")},
        {.kind = PLINTH_DELETE_RANGE, .space = f->space, .key = plinth_text("a"), .upper = plinth_text("c")},
        {.kind = PLINTH_SET, .space = f->space, .key = plinth_text("b"), .value = plinth_text("2")},
    };
    assert_ok(plinth_write(f->db, operations, 4, NULL, NULL, &f->error), &f->error);
    for (int round = 0; round < 3; round++) {
        assert_false(exists(f, "a"));
        assert_true(exists(f, "b") && exists(f, "c") && exists(f, "d"));
        if (round == 0) flush(f);
        if (round == 1) fixture_reopen(f);
    }
}

static void wrong_ranges_are_refused(void **state) {
    struct fixture *f = *state;
    assert_status(plinth_delete_range(f->db, f->space, plinth_text("b"), plinth_text("b"), NULL, NULL, &f->error),
                  PLINTH_INVALID_ARGUMENT, &f->error);
    assert_status(plinth_delete_range(f->db, f->space, plinth_text("b"), plinth_text("a"), NULL, NULL, &f->error),
                  PLINTH_INVALID_ARGUMENT, &f->error);
    assert_status(plinth_delete_prefix(f->db, f->space, plinth_text(""), NULL, NULL, &f->error),
                  PLINTH_INVALID_ARGUMENT, &f->error);
    struct plinth_space unknown = {f->space.tenant, f->space.database, 999};
    assert_status(plinth_delete_range(f->db, unknown, plinth_text("a"), plinth_text("b"), NULL, NULL, &f->error),
                  PLINTH_NOT_FOUND, &f->error);
    struct plinth_operation operation = {.kind = PLINTH_DELETE_RANGE, .space = f->space, .key = plinth_text("a")};
    struct plinth_comparison always = {0};
    assert_status(plinth_compare_and_set(f->db, &operation, &always, NULL, NULL, NULL, &f->error),
                  PLINTH_INVALID_ARGUMENT, &f->error);
    /* Nothing was raised by what was refused. */
    assert_true(stats_of(f).feature_level < FEATURE_LEVEL_RANGES);
}

static void a_prefix_of_high_bytes_has_no_end_within_the_space(void **state) {
    struct fixture *f = *state;
    set(f,
        "\xff\xff"
        "a",
        "1");
    set(f, "\xfe", "1");
    assert_ok(plinth_delete_prefix(f->db, f->space, plinth_text("\xff\xff"), NULL, NULL, &f->error), &f->error);
    assert_false(exists(f, "\xff\xff"
                           "a"));
    assert_true(exists(f, "\xfe"));
}

static void a_dropped_space_takes_its_range_deletes_along(void **state) {
    struct fixture *f = *state;
    struct plinth_space other;
    assert_ok(plinth_space_create(f->db, NULL, "other", &other, &f->error), &f->error);
    assert_ok(plinth_set(f->db, other, plinth_text("a"), plinth_text("1"), NULL, NULL, &f->error), &f->error);
    flush(f);
    assert_ok(plinth_delete_range(f->db, other, plinth_text("a"), plinth_text("c"), NULL, NULL, &f->error), &f->error);
    assert_int_equal(ranges_kept(f), 1);
    assert_ok(plinth_space_drop(f->db, NULL, "other", &f->error), &f->error);
    assert_int_equal(ranges_kept(f), 0);
    flush(f);
    fixture_reopen(f);
    assert_int_equal(ranges_kept(f), 0);
}

/* ---- transactions and feeds ---- */

static void write_in(struct fixture *f, struct plinth_transaction *transaction, enum plinth_operation_kind kind,
                     const char *key, const char *more) {
    struct plinth_operation operation = {.kind = kind, .space = f->space, .key = plinth_text(key)};
    if (kind == PLINTH_SET) operation.value = plinth_text(more);
    if (kind == PLINTH_DELETE_RANGE) operation.upper = plinth_text(more);
    assert_ok(plinth_transaction_write(transaction, &operation, &f->error), &f->error);
}

static bool exists_in(struct fixture *f, struct plinth_transaction *transaction, const char *key) {
    struct plinth_buffer value = {0};
    enum plinth_status st = plinth_transaction_get(transaction, f->space, plinth_text(key), &value, NULL, &f->error);
    plinth_buffer_deinit(&value);
    if (st != PLINTH_NOT_FOUND) assert_ok(st, &f->error);
    return !st;
}

static void keys_in(struct fixture *f, struct plinth_transaction *transaction, bool reverse, char *keys) {
    struct plinth_scan_options options = {.reverse = reverse};
    struct plinth_scan *scan;
    struct plinth_row row;
    bool found = true;
    assert_ok(plinth_transaction_scan_open(transaction, f->space, &options, &scan, &f->error), &f->error);
    while (true) {
        assert_ok(plinth_scan_next(scan, &row, &found, &f->error), &f->error);
        if (!found) break;
        *keys++ = *(const char *)row.key.data;
    }
    *keys = 0;
    plinth_scan_close(scan);
}

static void a_transaction_sees_its_own_range_delete(void **state) {
    struct fixture *f = *state;
    char keys[16];
    for (const char *key = "abcdef"; *key; key++) set(f, (char[]){*key, 0}, "0");
    struct plinth_transaction *transaction;
    assert_ok(plinth_transaction_begin(f->db, &transaction, &f->error), &f->error);
    write_in(f, transaction, PLINTH_SET, "c", "1");
    write_in(f, transaction, PLINTH_SET, "x", "1");
    write_in(f, transaction, PLINTH_DELETE_RANGE, "b", "e");
    write_in(f, transaction, PLINTH_SET, "d", "2");
    assert_false(exists_in(f, transaction, "b"));
    assert_false(exists_in(f, transaction, "c"));
    assert_true(exists_in(f, transaction, "d"));
    assert_true(exists_in(f, transaction, "x"));
    keys_in(f, transaction, false, keys);
    assert_string_equal(keys, "adefx");
    keys_in(f, transaction, true, keys);
    assert_string_equal(keys, "xfeda");
    assert_ok(plinth_transaction_commit(transaction, NULL, NULL, NULL, &f->error), &f->error);
    plinth_transaction_destroy(transaction);
    for (int round = 0; round < 2; round++) {
        assert_true(exists(f, "a") && exists(f, "d") && exists(f, "e") && exists(f, "x"));
        assert_false(exists(f, "b") || exists(f, "c"));
        fixture_reopen(f);
    }
}

static enum plinth_status commit_after_range(struct fixture *f, const char *read, bool scans, const char *lower,
                                             const char *upper) {
    struct plinth_transaction *transaction;
    struct plinth_conflict conflict = {0};
    char keys[64];
    assert_ok(plinth_transaction_begin(f->db, &transaction, &f->error), &f->error);
    if (scans)
        keys_in(f, transaction, false, keys);
    else
        exists_in(f, transaction, read);
    write_in(f, transaction, PLINTH_SET, "z", "1");
    delete_range(f, lower, upper);
    enum plinth_status st = plinth_transaction_commit(transaction, NULL, NULL, &conflict, &f->error);
    plinth_transaction_destroy(transaction);
    plinth_buffer_deinit(&conflict.key);
    return st;
}

static void a_range_delete_conflicts_with_what_was_read_in_it(void **state) {
    struct fixture *f = *state;
    set(f, "m", "1");
    assert_status(commit_after_range(f, "m", false, "a", "n"), PLINTH_CONFLICT, &f->error);
    assert_status(commit_after_range(f, "m", false, "m", "n"), PLINTH_CONFLICT, &f->error);
    assert_ok(commit_after_range(f, "m", false, "a", "m"), &f->error);
    assert_ok(commit_after_range(f, "m", false, "n", "z"), &f->error);
    assert_status(commit_after_range(f, "m", false, "", ""), PLINTH_CONFLICT, &f->error);
    assert_status(commit_after_range(f, NULL, true, "q", "r"), PLINTH_CONFLICT, &f->error);
    /* and a transaction's own range delete makes others begin again */
    struct plinth_transaction *first, *second;
    assert_ok(plinth_transaction_begin(f->db, &first, &f->error), &f->error);
    assert_ok(plinth_transaction_begin(f->db, &second, &f->error), &f->error);
    exists_in(f, second, "m");
    write_in(f, first, PLINTH_DELETE_RANGE, "l", "n");
    write_in(f, second, PLINTH_SET, "y", "1");
    assert_ok(plinth_transaction_commit(first, NULL, NULL, NULL, &f->error), &f->error);
    assert_status(plinth_transaction_commit(second, NULL, NULL, NULL, &f->error), PLINTH_CONFLICT, &f->error);
    plinth_transaction_destroy(first);
    plinth_transaction_destroy(second);
}

static void a_transaction_of_long_bounds_takes_more_than_a_record(void **state) {
    struct fixture *f = *state;
    enum { RANGES = 30, UPPER_BYTES = 60000 };
    static char upper[UPPER_BYTES + 1];
    struct plinth_transaction *transaction;
    assert_ok(plinth_transaction_begin(f->db, &transaction, &f->error), &f->error);
    memset(upper, 'm', UPPER_BYTES);
    for (int i = 0; i < RANGES; i++) {
        char lower[2] = {(char)('A' + i), 0};
        upper[0] = lower[0];
        set(f, lower, "0");
        write_in(f, transaction, PLINTH_DELETE_RANGE, lower, upper);
    }
    assert_ok(plinth_transaction_commit(transaction, NULL, NULL, NULL, &f->error), &f->error);
    plinth_transaction_destroy(transaction);
    assert_ok(plinth_transaction_begin(f->db, &transaction, &f->error), &f->error);
    for (int i = 0; i < RANGES; i++) assert_false(exists_in(f, transaction, (char[]){(char)('A' + i), 0}));
    plinth_transaction_destroy(transaction);
}

static void a_feed_shows_the_range_once(void **state) {
    struct fixture *f = *state;
    struct plinth_feed *feed;
    struct plinth_change change;
    bool found;
    struct plinth_feed_options options = {.prefix = plinth_text("b"), .with_previous = true};
    assert_ok(plinth_feed_open(f->db, &options, &feed, &f->error), &f->error);
    delete_range(f, "c", "d"); /* not wanted */
    delete_range(f, "a", "c");
    delete_range(f, "ba", "bb");
    delete_range(f, "a", "b"); /* not wanted */
    set(f, "b", "end");
    const char *wanted[][2] = {{"a", "c"}, {"ba", "bb"}};
    for (int i = 0; i < 3; i++) {
        assert_ok(plinth_feed_next(feed, 5000, &change, &found, &f->error), &f->error);
        assert_true(found);
        assert_int_equal(change.operation_count, 1);
        const struct plinth_operation *operation = &change.operations[0].operation;
        assert_int_equal(operation->kind, i < 2 ? PLINTH_DELETE_RANGE : PLINTH_SET);
        if (i == 2) break;
        assert_memory_equal(operation->key.data, wanted[i][0], operation->key.size);
        assert_memory_equal(operation->upper.data, wanted[i][1], operation->upper.size);
    }
    plinth_feed_close(feed);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_newest_range_over_a_key_is_found_whatever_the_ranges_are),
        cmocka_unit_test(a_memtable_finds_every_range_that_was_added),
        TEST(whole_segments_go_unread_and_then_the_range_delete_too),
        TEST(a_snapshot_keeps_what_is_deleted_after_it),
        TEST(a_range_delete_over_nothing_goes_with_the_next_flush),
        TEST(many_small_ranges_make_their_segments_be_written_again),
        TEST(within_a_batch_the_order_decides),
        TEST(wrong_ranges_are_refused),
        TEST(a_prefix_of_high_bytes_has_no_end_within_the_space),
        TEST(a_dropped_space_takes_its_range_deletes_along),
        TEST(a_transaction_sees_its_own_range_delete),
        TEST(a_range_delete_conflicts_with_what_was_read_in_it),
        TEST(a_transaction_of_long_bounds_takes_more_than_a_record),
        TEST(a_feed_shows_the_range_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
