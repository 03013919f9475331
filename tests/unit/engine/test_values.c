/* Large values: they lie in the store, and go when nothing needs them. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "engine/engine.h"
#include "engine/value_store.h"
#include "support/test_support.h"

enum { KIB = 1 << 10, MIB = 1 << 20 };

struct fixture {
    char path[TEST_PATH_MAX];
    struct plinth *db;
    struct plinth_space space;
    struct plinth_error error;
    uint8_t *bytes; /* of the largest value */
};

static void open_db(struct fixture *f) {
    static const struct plinth_options options = {.memtable_bytes = 1 << 20,
                                                  .cache_bytes = 4 << 20,
                                                  .log_segment_bytes = 1 << 20,
                                                  .no_background_compaction = true};
    assert_ok(plinth_open(f->path, &options, &f->db, &f->error), &f->error);
    assert_ok(plinth_space_find(f->db, NULL, NULL, &f->space, &f->error), &f->error);
}

static int setup(void **state) {
    struct fixture *f = calloc(1, sizeof *f);
    test_directory_create(f->path);
    f->bytes = malloc(PLINTH_VALUE_BYTES_MAX + 1);
    struct test_random random = test_random_of(7);
    test_random_bytes(&random, f->bytes, PLINTH_VALUE_BYTES_MAX + 1);
    open_db(f);
    *state = f;
    return 0;
}

static int teardown(void **state) {
    struct fixture *f = *state;
    plinth_close(f->db);
    test_directory_remove(f->path);
    free(f->bytes);
    free(f);
    return 0;
}

static void reopen(struct fixture *f) {
    plinth_close(f->db);
    open_db(f);
}

static void compact(struct fixture *f) { assert_ok(plinth_compact(f->db, &f->error), &f->error); }

/* The value number `seed` of a size. */
static struct plinth_slice value_of(struct fixture *f, size_t size, uint8_t seed) {
    if (size) f->bytes[0] = seed;
    return plinth_bytes(f->bytes, size);
}

static void set(struct fixture *f, const char *key, size_t size, uint8_t seed) {
    assert_ok(plinth_set(f->db, f->space, plinth_text(key), value_of(f, size, seed), NULL, NULL, &f->error), &f->error);
}

static void check_bytes(struct fixture *f, const void *data, size_t size, size_t wanted, uint8_t seed) {
    assert_int_equal(size, wanted);
    struct plinth_slice value = value_of(f, wanted, seed);
    assert_true(wanted == 0 || memcmp(data, value.data, wanted) == 0);
}

static void expect(struct fixture *f, const char *key, size_t size, uint8_t seed,
                   const struct plinth_read_options *read) {
    struct plinth_buffer value = {0};
    assert_ok(plinth_get(f->db, f->space, plinth_text(key), read, &value, NULL, &f->error), &f->error);
    check_bytes(f, value.data, value.size, size, seed);
    plinth_buffer_deinit(&value);
}

static void expect_nothing(struct fixture *f, const char *key) {
    struct plinth_buffer value = {0};
    assert_status(plinth_get(f->db, f->space, plinth_text(key), NULL, &value, NULL, &f->error), PLINTH_NOT_FOUND,
                  &f->error);
    plinth_buffer_deinit(&value);
}

static void on_problem(void *context, const char *object, const char *problem) {
    (void)context;
    print_error("verify: %s: %s\n", object, problem);
}

static uint64_t problems(struct fixture *f, plinth_verify_visitor *visit) {
    struct plinth_verify_result result;
    assert_ok(plinth_verify(f->db, visit, NULL, &result, &f->error), &f->error);
    return result.problems;
}

static void check_verify(struct fixture *f) { assert_int_equal(problems(f, on_problem), 0); }

struct files {
    unsigned values, needed;
    uint64_t bytes;
    char path[256], needed_by[256];
};

static void see(void *context, const struct plinth_file *file) {
    struct files *files = context;
    if (file->kind != PLINTH_FILE_VALUES) return;
    files->values++;
    files->needed += file->is_needed;
    files->bytes += file->bytes;
    snprintf(files->path, sizeof files->path, "%s", file->path);
    snprintf(files->needed_by, sizeof files->needed_by, "%s", file->needed_by);
}

static struct files look(struct fixture *f) {
    struct files files = {0};
    assert_ok(plinth_files_visit(f->db, see, &files, &f->error), &f->error);
    return files;
}

/* Background threads collect garbage, too: who finds that all is taken need not wait for them. */
static void expect_files(struct fixture *f, unsigned wanted) {
    for (int i = 0; i < 1000 && look(f).values != wanted; i++) usleep(10 * 1000);
    assert_int_equal(look(f).values, wanted);
}

/* That nothing is live or dead; a deletion is told to the log after the file has gone. */
static void expect_nothing_known(struct fixture *f) {
    uint64_t known = 1;
    for (int i = 0; i < 1000 && known; i++) {
        if (i) usleep(10 * 1000);
        pthread_mutex_lock(&f->db->sequence_mutex);
        known = f->db->shard.values.count + f->db->shard.values.dead_count;
        pthread_mutex_unlock(&f->db->sequence_mutex);
    }
    assert_int_equal(known, 0);
}

static void delete (struct fixture *f, const char *key) {
    assert_ok(plinth_delete(f->db, f->space, plinth_text(key), NULL, NULL, &f->error), &f->error);
}

/* ---- */

static void values_of_all_sizes_come_back(void **state) {
    struct fixture *f = *state;
    static const size_t sizes[] = {0,   1,           VALUE_BYTES_MIN - 1,   VALUE_BYTES_MIN, VALUE_BYTES_MIN + 1,
                                   MIB, 3 * MIB + 7, PLINTH_VALUE_BYTES_MAX};
    enum { SIZES = sizeof sizes / sizeof *sizes };
    char key[16];
    for (size_t i = 0; i < SIZES; i++) {
        snprintf(key, sizeof key, "k%zu", i);
        set(f, key, sizes[i], (uint8_t)i);
    }
    expect_files(f, 5);
    for (int round = 0; round < 4; round++) {
        for (size_t i = 0; i < SIZES; i++) {
            snprintf(key, sizeof key, "k%zu", i);
            expect(f, key, sizes[i], (uint8_t)i, NULL);
        }
        if (round == 0) reopen(f);
        if (round == 1) compact(f);
        if (round == 2) reopen(f);
    }
    check_verify(f);
    struct files files = look(f);
    assert_int_equal(files.values, 5);
    assert_int_equal(files.needed, 5);
    assert_string_equal(files.needed_by, "1 version of keys");
}

static void a_value_over_the_limit_is_refused(void **state) {
    struct fixture *f = *state;
    assert_status(plinth_set(f->db, f->space, plinth_text("k"), plinth_bytes(f->bytes, PLINTH_VALUE_BYTES_MAX + 1),
                             NULL, NULL, &f->error),
                  PLINTH_TOO_LARGE, &f->error);
    assert_error_names(&f->error, "67108865 bytes");
    expect_nothing(f, "k");
    expect_files(f, 0);
}

static void small_values_leave_the_feature_level_alone(void **state) {
    struct fixture *f = *state;
    set(f, "k", VALUE_BYTES_MIN - 1, 1);
    compact(f);
    assert_true(f->db->shard.feature_level < FEATURE_LEVEL_VALUES);
    set(f, "k", VALUE_BYTES_MIN, 1);
    assert_int_equal(f->db->shard.feature_level, FEATURE_LEVEL_VALUES);
}

static void scans_show_large_values_both_ways_and_by_index(void **state) {
    struct fixture *f = *state;
    struct plinth_index_value color = {plinth_text("color"), plinth_text("blue")};
    for (uint8_t i = 0; i < 6; i++) {
        char key[8];
        snprintf(key, sizeof key, "k%d", i);
        struct plinth_operation operation = {.kind = PLINTH_SET,
                                             .space = f->space,
                                             .key = plinth_text(key),
                                             .value = value_of(f, i % 2 ? 10 : VALUE_BYTES_MIN, i),
                                             .indexes = &color,
                                             .index_count = 1,
                                             .ttl_us = i == 4 ? 3600ull * 1000000 : 0};
        assert_ok(plinth_write(f->db, &operation, 1, NULL, NULL, &f->error), &f->error);
        if (i == 2) compact(f);
    }
    for (int way = 0; way < 6; way++) {
        struct plinth_scan *scan;
        struct plinth_row row;
        bool found, reverse = way & 1, keys_only = way == 4;
        if (way >= 2 && way < 4) {
            struct plinth_index_scan_options options = {
                .index = plinth_text("color"), .value = plinth_text("blue"), .reverse = reverse, .with_values = true};
            assert_ok(plinth_index_scan_open(f->db, f->space, &options, &scan, &f->error), &f->error);
        } else {
            struct plinth_scan_options options = {.reverse = reverse, .keys_only = keys_only, .with_indexes = way == 5};
            assert_ok(plinth_scan_open(f->db, f->space, &options, &scan, &f->error), &f->error);
        }
        for (int n = 0; n < 6; n++) {
            uint8_t i = (uint8_t)(reverse ? 5 - n : n);
            assert_ok(plinth_scan_next(scan, &row, &found, &f->error), &f->error);
            assert_true(found);
            check_bytes(f, row.value.data, row.value.size, keys_only ? 0 : i % 2 ? 10 : VALUE_BYTES_MIN, i);
            if (way == 5) assert_int_equal(row.index_count, 1);
        }
        assert_ok(plinth_scan_next(scan, &row, &found, &f->error), &f->error);
        assert_false(found);
        plinth_scan_close(scan);
    }
    check_verify(f);
}

static void a_snapshot_reads_a_value_that_was_overwritten_and_merged_away(void **state) {
    struct fixture *f = *state;
    struct plinth_snapshot *snapshot;
    set(f, "k", MIB, 1);
    compact(f);
    assert_ok(plinth_snapshot_create(f->db, (struct plinth_position){0, 0}, &snapshot, &f->error), &f->error);
    struct plinth_read_options then = {.snapshot = snapshot};
    set(f, "k", MIB + 1, 2);
    compact(f);
    expect_files(f, 2);
    expect(f, "k", MIB, 1, &then);
    expect(f, "k", MIB + 1, 2, NULL);
    plinth_snapshot_destroy(snapshot);
    compact(f);
    expect_files(f, 1);
    expect(f, "k", MIB + 1, 2, NULL);
    check_verify(f);
}

static void a_scan_reads_on_in_what_was_deleted_since(void **state) {
    struct fixture *f = *state;
    struct plinth_scan *scan;
    struct plinth_row row;
    bool found;
    for (uint8_t i = 0; i < 3; i++) set(f, (const char *[]){"a", "b", "c"}[i], MIB, i);
    compact(f);
    assert_ok(plinth_scan_open(f->db, f->space, NULL, &scan, &f->error), &f->error);
    assert_ok(plinth_scan_next(scan, &row, &found, &f->error), &f->error);
    for (uint8_t i = 0; i < 3; i++) delete (f, (const char *[]){"a", "b", "c"}[i]);
    compact(f);
    for (uint8_t i = 1; i < 3; i++) {
        assert_ok(plinth_scan_next(scan, &row, &found, &f->error), &f->error);
        check_bytes(f, row.value.data, row.value.size, MIB, i);
    }
    plinth_scan_close(scan);
    assert_ok(plinth_jobs_run(f->db, PLINTH_JOB_GARBAGE, &f->error), &f->error);
    expect_files(f, 0);
}

static void deleting_and_compacting_gives_the_space_back(void **state) {
    struct fixture *f = *state;
    char key[16];
    for (int way = 0; way < 3; way++) {
        for (uint8_t i = 0; i < 20; i++) {
            snprintf(key, sizeof key, "k%d", i);
            set(f, key, VALUE_BYTES_MIN, i);
            if (i == 10) assert_ok(plinth_flush(f->db, &f->error), &f->error);
        }
        if (way == 1) compact(f);
        assert_int_equal(look(f).bytes, 20 * VALUE_BYTES_MIN);
        if (way == 0)
            for (uint8_t i = 0; i < 20; i++) {
                snprintf(key, sizeof key, "k%d", i);
                delete (f, key);
            }
        else
            assert_ok(plinth_delete_prefix(f->db, f->space, plinth_text("k"), NULL, NULL, &f->error), &f->error);
        compact(f);
        expect_files(f, 0);
        expect_nothing_known(f);
        check_verify(f);
        if (way == 1) reopen(f);
    }
}

static void dropping_a_key_space_gives_the_space_back(void **state) {
    struct fixture *f = *state;
    struct plinth_space other;
    assert_ok(plinth_space_create(f->db, NULL, "other", &other, &f->error), &f->error);
    struct plinth_operation operations[] = {
        {.kind = PLINTH_SET, .space = other, .key = plinth_text("a"), .value = plinth_bytes(f->bytes, MIB)},
        {.kind = PLINTH_SET, .space = f->space, .key = plinth_text("a"), .value = plinth_bytes(f->bytes, MIB)},
        {.kind = PLINTH_SET, .space = other, .key = plinth_text("b"), .value = plinth_bytes(f->bytes, MIB)},
    };
    for (int round = 0; round < 2; round++) {
        assert_ok(plinth_write(f->db, operations, 3, NULL, NULL, &f->error), &f->error);
        if (!round) compact(f);
    }
    check_verify(f);
    assert_ok(plinth_space_drop(f->db, NULL, "other", &f->error), &f->error);
    compact(f);
    expect_files(f, 1);
    check_verify(f);
    reopen(f);
    expect_files(f, 1);
    check_verify(f);
}

static void values_of_one_write_share_an_object(void **state) {
    struct fixture *f = *state;
    struct plinth_operation operations[8];
    char keys[8][8];
    for (int i = 0; i < 8; i++) {
        snprintf(keys[i], sizeof keys[i], "k%d", i);
        operations[i] = (struct plinth_operation){.kind = PLINTH_SET,
                                                  .space = f->space,
                                                  .key = plinth_text(keys[i]),
                                                  .value = plinth_bytes(f->bytes + i, i == 3 ? 10 : MIB)};
    }
    assert_ok(plinth_write(f->db, operations, 8, NULL, NULL, &f->error), &f->error);
    struct files files = look(f);
    assert_int_equal(files.values, 1);
    assert_int_equal(files.bytes, 7 * MIB);
    assert_string_equal(files.needed_by, "7 versions of keys");
    for (int i = 0; i < 7; i++) {
        delete (f, keys[i]);
        compact(f);
        check_verify(f);
        expect_files(f, 1);
    }
    reopen(f);
    struct plinth_buffer value = {0};
    assert_ok(plinth_get(f->db, f->space, plinth_text("k7"), NULL, &value, NULL, &f->error), &f->error);
    assert_int_equal(value.size, MIB);
    assert_memory_equal(value.data, f->bytes + 7, MIB);
    plinth_buffer_deinit(&value);
    delete (f, keys[7]);
    compact(f);
    expect_files(f, 0);
}

static void conditional_writes_and_transactions_take_large_values(void **state) {
    struct fixture *f = *state;
    struct plinth_operation operation = {
        .kind = PLINTH_SET, .space = f->space, .key = plinth_text("k"), .value = value_of(f, MIB, 1)};
    struct plinth_comparison absent = {.expectation = PLINTH_EXPECT_ABSENT};
    struct plinth_previous previous = {0};
    assert_ok(plinth_compare_and_set(f->db, &operation, &absent, NULL, NULL, NULL, &f->error), &f->error);
    /* What does not hold uploads nothing, and says what is there. */
    assert_status(plinth_compare_and_set(f->db, &operation, &absent, NULL, NULL, &previous, &f->error), PLINTH_CONFLICT,
                  &f->error);
    check_bytes(f, previous.value.data, previous.value.size, MIB, 1);
    expect_files(f, 1);
    struct plinth_comparison same = {.expectation = PLINTH_EXPECT_VALUE, .expected_value = value_of(f, MIB, 1)};
    uint8_t *other = malloc(2 * MIB);
    memset(other, 5, 2 * MIB);
    operation.value = plinth_bytes(other, 2 * MIB);
    assert_ok(plinth_compare_and_set(f->db, &operation, &same, NULL, NULL, NULL, &f->error), &f->error);
    plinth_buffer_deinit(&previous.value);

    struct plinth_transaction *transaction;
    struct plinth_buffer value = {0};
    assert_ok(plinth_transaction_begin(f->db, &transaction, &f->error), &f->error);
    assert_ok(plinth_transaction_get(transaction, f->space, plinth_text("k"), &value, NULL, &f->error), &f->error);
    assert_int_equal(value.size, 2 * MIB);
    for (int i = 0; i < 12; i++) { /* more than a record holds, had it the values */
        char key[8];
        snprintf(key, sizeof key, "t%d", i);
        operation.key = plinth_text(key);
        operation.value = value_of(f, MIB, (uint8_t)i);
        assert_ok(plinth_transaction_write(transaction, &operation, &f->error), &f->error);
    }
    expect_files(f, 2); /* nothing is uploaded before the commit */
    assert_ok(plinth_transaction_get(transaction, f->space, plinth_text("t3"), &value, NULL, &f->error), &f->error);
    check_bytes(f, value.data, value.size, MIB, 3);
    assert_ok(plinth_transaction_commit(transaction, NULL, NULL, NULL, &f->error), &f->error);
    plinth_transaction_destroy(transaction);
    for (uint8_t i = 0; i < 12; i++) {
        char key[8];
        snprintf(key, sizeof key, "t%d", i);
        expect(f, key, MIB, i, NULL);
    }
    reopen(f);
    expect(f, "t11", MIB, 11, NULL);
    plinth_buffer_deinit(&value);
    free(other);
    compact(f);
    check_verify(f);
    expect_files(f, 2);
}

/* A transaction with rows, or of many records, is a record of another kind. */
static void a_transaction_of_many_records_takes_large_values(void **state) {
    struct fixture *f = *state;
    struct plinth_transaction *transaction;
    assert_ok(plinth_transaction_begin(f->db, &transaction, &f->error), &f->error);
    for (int i = 0; i < 20; i++) {
        char key[8];
        snprintf(key, sizeof key, "t%02d", i);
        struct plinth_operation operation = {.kind = PLINTH_SET,
                                             .space = f->space,
                                             .key = plinth_text(key),
                                             .value = value_of(f, i % 5 ? 200 * KIB : MIB, (uint8_t)i)};
        assert_ok(plinth_transaction_write(transaction, &operation, &f->error), &f->error);
    }
    assert_ok(plinth_transaction_commit(transaction, NULL, NULL, NULL, &f->error), &f->error);
    plinth_transaction_destroy(transaction);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 20; i++) {
            char key[8];
            snprintf(key, sizeof key, "t%02d", i);
            expect(f, key, i % 5 ? 200 * KIB : MIB, (uint8_t)i, NULL);
        }
        check_verify(f);
        if (round == 0) reopen(f);
        if (round == 1) compact(f);
    }
    expect_files(f, 1);
}

static void an_upload_in_vain_is_collected(void **state) {
    struct fixture *f = *state;
    struct plinth_transaction *transaction;
    assert_ok(plinth_transaction_begin(f->db, &transaction, &f->error), &f->error);
    struct plinth_buffer value = {0};
    assert_status(plinth_transaction_get(transaction, f->space, plinth_text("k"), &value, NULL, &f->error),
                  PLINTH_NOT_FOUND, &f->error);
    set(f, "k", 10, 1);
    struct plinth_operation operation = {
        .kind = PLINTH_SET, .space = f->space, .key = plinth_text("k"), .value = value_of(f, MIB, 1)};
    assert_ok(plinth_transaction_write(transaction, &operation, &f->error), &f->error);
    assert_status(plinth_transaction_commit(transaction, NULL, NULL, NULL, &f->error), PLINTH_CONFLICT, &f->error);
    plinth_transaction_destroy(transaction);
    set(f, "l", MIB, 2);
    expect_files(f, 2);
    check_verify(f);
    assert_ok(plinth_jobs_run(f->db, PLINTH_JOB_GARBAGE, &f->error), &f->error);
    expect_files(f, 1);
    set(f, "m", MIB, 3); /* under another job */
    check_verify(f);
    for (int round = 0; round < 2; round++) {
        expect(f, "l", MIB, 2, NULL);
        expect(f, "m", MIB, 3, NULL);
        reopen(f);
    }
    plinth_buffer_deinit(&value);
}

/* Nothing of this engine aborts a job that uploads use; a log record that expels the host would. */
static void a_write_whose_job_was_aborted_is_not_acknowledged(void **state) {
    struct fixture *f = *state;
    struct plinth_buffer value = {0};
    struct plinth_operation operation = {
        .kind = PLINTH_SET, .space = f->space, .key = plinth_text("l"), .value = value_of(f, MIB, 2)};
    const struct plinth_comparison absent = {.expectation = PLINTH_EXPECT_ABSENT};
    uint64_t job = 0, lsn;
    uint8_t payload[VARINT_BYTES_MAX];
    struct decision decision;
    set(f, "k", MIB, 1);
    for (uint64_t i = 0; i < f->db->shard.job_count; i++)
        if (f->db->shard.jobs[i].kind == JOB_VALUES) job = f->db->shard.jobs[i].id;
    assert_true(job);
    assert_ok(engine_append(f->db, CHANGE_JOB_ABORT, slice_of(payload, varint_encode(payload, job)), &lsn, &decision,
                            &f->error),
              &f->error);
    assert_status(plinth_write(f->db, &operation, 1, NULL, NULL, &f->error), PLINTH_UNAVAILABLE, &f->error);
    assert_status(plinth_compare_and_set(f->db, &operation, &absent, NULL, NULL, NULL, &f->error), PLINTH_UNAVAILABLE,
                  &f->error);
    assert_status(plinth_get(f->db, f->space, plinth_text("l"), NULL, &value, NULL, &f->error), PLINTH_NOT_FOUND,
                  &f->error);
    assert_ok(plinth_jobs_run(f->db, PLINTH_JOB_GARBAGE, &f->error), &f->error);
    set(f, "l", MIB, 2); /* under another job */
    for (int round = 0; round < 2; round++) {
        expect(f, "k", MIB, 1, NULL);
        expect(f, "l", MIB, 2, NULL);
        check_verify(f);
        reopen(f);
    }
    plinth_buffer_deinit(&value);
}

static void overwritten_values_do_not_wait_for_a_full_memtable(void **state) {
    struct fixture *f = *state;
    struct plinth_stats stats;
    for (uint8_t i = 0; i < 40; i++) set(f, "k", MIB, i);
    for (int i = 0; i < 3000; i++) { /* until the second flush has ended */
        plinth_stats_read(f->db, &stats);
        if (stats.flushes >= 2) break;
        usleep(1000);
    }
    assert_true(stats.flushes >= 2);
    assert_ok(plinth_jobs_run(f->db, PLINTH_JOB_GARBAGE, &f->error), &f->error);
    for (int i = 0; i < 1000 && look(f).values > 12; i++) usleep(10 * 1000);
    assert_true(look(f).values <= 12); /* one of each flush, and what came since */
    expect(f, "k", MIB, 39, NULL);
    check_verify(f);
}

static void a_write_that_is_sent_again_uploads_nothing(void **state) {
    struct fixture *f = *state;
    struct plinth_write_options options = {.producer_id = 5, .sequence = 1};
    for (int i = 0; i < 3; i++)
        assert_ok(plinth_set(f->db, f->space, plinth_text("k"), value_of(f, MIB, 1), &options, NULL, &f->error),
                  &f->error);
    expect_files(f, 1);
    expect(f, "k", MIB, 1, NULL);
}

static void what_must_not_wait_is_told_to(void **state) {
    struct fixture *f = *state;
    struct plinth_write_options options = {.no_wait = true};
    struct plinth_operation operation = {
        .kind = PLINTH_SET, .space = f->space, .key = plinth_text("k"), .value = value_of(f, MIB, 1)};
    assert_status(plinth_submit(f->db, &operation, 1, &options, NULL, &f->error), PLINTH_WOULD_BLOCK, &f->error);
    set(f, "k", MIB, 1);
    struct plinth_buffer value = {0};
    struct plinth_read_options read = {.memory_only = true};
    assert_status(plinth_get(f->db, f->space, plinth_text("k"), &read, &value, NULL, &f->error), PLINTH_WOULD_BLOCK,
                  &f->error);
    plinth_buffer_deinit(&value);
}

static void file_of(struct fixture *f, char path[TEST_PATH_MAX + 256]) {
    struct files files = look(f);
    assert_int_equal(files.values, 1);
    snprintf(path, TEST_PATH_MAX + 256, "%s/%s", f->path, files.path);
}

static void damage_is_named(void **state) {
    struct fixture *f = *state;
    char path[TEST_PATH_MAX + 256];
    set(f, "key", MIB, 1);
    file_of(f, path);
    FILE *file = fopen(path, "r+");
    assert_non_null(file);
    assert_int_equal(fseek(file, 5000, SEEK_SET), 0);
    fputc(f->bytes[5000] ^ 1, file);
    fclose(file);
    struct plinth_buffer value = {0};
    assert_status(plinth_get(f->db, f->space, plinth_text("key"), NULL, &value, NULL, &f->error), PLINTH_CORRUPT,
                  &f->error);
    assert_error_names(&f->error, "0x6b6579");
    assert_error_names(&f->error, "offset 0");
    assert_error_names(&f->error, ".value");
    assert_int_equal(value.size, 0);
    plinth_buffer_deinit(&value);
    assert_int_equal(problems(f, NULL), 1);
}

static void a_missing_or_stray_object_is_found(void **state) {
    struct fixture *f = *state;
    char path[TEST_PATH_MAX + 256], stray[TEST_PATH_MAX + 256];
    set(f, "key", MIB, 1);
    file_of(f, path);
    reopen(f); /* ends the job */
    snprintf(stray, sizeof stray, "%s", path);
    memcpy(strrchr(stray, '/'), "/000000ff.value", 16);
    assert_int_equal(link(path, stray), 0);
    assert_int_equal(problems(f, NULL), 1);
    assert_int_equal(unlink(stray), 0);
    check_verify(f);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(problems(f, NULL), 1);
    plinth_close(f->db);
    assert_status(plinth_open(f->path, NULL, &f->db, &f->error), PLINTH_CORRUPT, &f->error);
    assert_error_names(&f->error, ".value: the object is missing");
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fwrite(f->bytes, 1, MIB - 1, file);
    fclose(file);
    assert_status(plinth_open(f->path, NULL, &f->db, &f->error), PLINTH_CORRUPT, &f->error);
    assert_error_names(&f->error, "1048575 bytes");
    file = fopen(path, "w");
    assert_non_null(file);
    value_of(f, MIB, 1);
    fwrite(f->bytes, 1, MIB, file);
    fclose(file);
    open_db(f);
    check_verify(f);
}

static void expired_values_go(void **state) {
    struct fixture *f = *state;
    struct plinth_operation operation = {.kind = PLINTH_SET,
                                         .space = f->space,
                                         .key = plinth_text("k"),
                                         .value = value_of(f, MIB, 1),
                                         .expires_at_us = 1};
    assert_ok(plinth_write(f->db, &operation, 1, NULL, NULL, &f->error), &f->error);
    expect_nothing(f, "k");
    compact(f);
    expect_files(f, 0);
    check_verify(f);
}

static void check_change(struct fixture *f, struct plinth_feed *feed, size_t size, uint8_t seed, size_t before,
                         uint8_t before_seed) {
    struct plinth_change change;
    bool found;
    assert_ok(plinth_feed_next(feed, 1000, &change, &found, &f->error), &f->error);
    assert_true(found);
    assert_int_equal(change.operation_count, 1);
    const struct plinth_feed_operation *fed = &change.operations[0];
    assert_int_equal(fed->operation.kind, size ? PLINTH_SET : PLINTH_DELETE);
    if (size) check_bytes(f, fed->operation.value.data, fed->operation.value.size, size, seed);
    assert_int_equal(fed->existed, before != 0);
    if (before) check_bytes(f, fed->previous.data, fed->previous.size, before, before_seed);
}

/* An open feed holds what it has not shown yet; one that begins behind what was deleted says so. */
static void feeds_show_large_values_and_what_was_there_before(void **state) {
    struct fixture *f = *state;
    struct plinth_feed *feed, *late;
    struct plinth_position start;
    assert_ok(plinth_set(f->db, f->space, plinth_text("a"), plinth_text("b"), NULL, &start, &f->error), &f->error);
    const struct plinth_feed_options options = {.after = start, .with_previous = true}, plain = {.after = start};
    assert_ok(plinth_feed_open(f->db, &options, &feed, &f->error), &f->error);
    set(f, "k", MIB, 1);
    set(f, "k", 2 * MIB, 2);
    delete (f, "k");
    compact(f);
    assert_int_equal(look(f).values, 2);
    check_change(f, feed, MIB, 1, 0, 0);
    check_change(f, feed, 2 * MIB, 2, MIB, 1);
    check_change(f, feed, 0, 0, 2 * MIB, 2);
    plinth_feed_close(feed);
    compact(f);
    assert_ok(plinth_jobs_run(f->db, PLINTH_JOB_GARBAGE, &f->error), &f->error);
    expect_files(f, 0);
    enum plinth_status st = plinth_feed_open(f->db, &plain, &late, &f->error);
    if (!st) {
        struct plinth_change change;
        bool found;
        st = plinth_feed_next(late, 1000, &change, &found, &f->error);
        plinth_feed_close(late);
    }
    assert_status(st, PLINTH_TOO_OLD, &f->error);
    assert_error_names(&f->error, "begin with a new snapshot");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(values_of_all_sizes_come_back, setup, teardown),
        cmocka_unit_test_setup_teardown(a_value_over_the_limit_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(small_values_leave_the_feature_level_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(scans_show_large_values_both_ways_and_by_index, setup, teardown),
        cmocka_unit_test_setup_teardown(a_snapshot_reads_a_value_that_was_overwritten_and_merged_away, setup, teardown),
        cmocka_unit_test_setup_teardown(a_scan_reads_on_in_what_was_deleted_since, setup, teardown),
        cmocka_unit_test_setup_teardown(deleting_and_compacting_gives_the_space_back, setup, teardown),
        cmocka_unit_test_setup_teardown(dropping_a_key_space_gives_the_space_back, setup, teardown),
        cmocka_unit_test_setup_teardown(values_of_one_write_share_an_object, setup, teardown),
        cmocka_unit_test_setup_teardown(conditional_writes_and_transactions_take_large_values, setup, teardown),
        cmocka_unit_test_setup_teardown(a_transaction_of_many_records_takes_large_values, setup, teardown),
        cmocka_unit_test_setup_teardown(an_upload_in_vain_is_collected, setup, teardown),
        cmocka_unit_test_setup_teardown(overwritten_values_do_not_wait_for_a_full_memtable, setup, teardown),
        cmocka_unit_test_setup_teardown(a_write_whose_job_was_aborted_is_not_acknowledged, setup, teardown),
        cmocka_unit_test_setup_teardown(a_write_that_is_sent_again_uploads_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(what_must_not_wait_is_told_to, setup, teardown),
        cmocka_unit_test_setup_teardown(damage_is_named, setup, teardown),
        cmocka_unit_test_setup_teardown(a_missing_or_stray_object_is_found, setup, teardown),
        cmocka_unit_test_setup_teardown(feeds_show_large_values_and_what_was_there_before, setup, teardown),
        cmocka_unit_test_setup_teardown(expired_values_go, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
