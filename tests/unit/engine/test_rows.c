/* Rows from a batch to what a reader sees, also after reopening; retries, chunks, and atomic writes cut off halfway. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log_event.h"
#include "column/arrow_data.h"
#include "engine/rows_record.h"
#include "log/memory_log.h"
#include "support/sim_env.h"
#include "support/table_support.h"

/* An engine on a log in memory, so that appends can be made to fail one by one. */
struct fixture {
    struct sim_env *sim;
    struct memory_log *log;
    struct plinth *db;
    struct plinth_error error;
};

static void open_db(struct fixture *f) {
    struct engine_parts parts = {.env = sim_env_base(f->sim)};
    assert_ok(memory_log_open(f->log, &parts.log, &f->error), &f->error);
    assert_ok(engine_open("/db", NULL, &parts, &f->db, &f->error), &f->error);
}

static int setup(void **state) {
    struct fixture *f = calloc(1, sizeof *f);
    f->sim = sim_env_create(1);
    assert_ok(memory_log_create(sim_env_base(f->sim), 0, &f->log, &f->error), &f->error);
    open_db(f);
    *state = f;
    return 0;
}

static int teardown(void **state) {
    struct fixture *f = *state;
    plinth_close(f->db);
    memory_log_destroy(f->log);
    sim_env_destroy(f->sim);
    free(f);
    return 0;
}

/* With a checkpoint of everything, or (as after a crash) with the former one only. */
static void reopen(struct fixture *f, bool orderly) {
    if (!orderly) sim_env_fail(f->sim, SIM_ANY, 0, PLINTH_IO_ERROR, true);
    plinth_close(f->db);
    sim_env_heal(f->sim);
    f->db = NULL;
    open_db(f);
}

static const char METRICS[] = "host string, time int64, value float64?";

static enum plinth_status write_rows(struct fixture *f, const char *text) {
    return test_rows_write(f->db, "metrics", ROWS_UPSERT, METRICS, text, NULL, NULL, &f->error);
}

static void rows_are_in_key_order_and_the_newest_of_a_key_counts(void **state) {
    struct fixture *f = *state;
    test_table_create(f->db, "metrics", METRICS, "host,time", false);
    assert_ok(write_rows(f, "b,2,0.5; a,7,-; a,3,1; b,2,2"), &f->error);
    test_table_check(f->db, "metrics", "a,3,1;a,7,-;b,2,2");
    assert_ok(write_rows(f, "a,7,9;c,-1,4"), &f->error);
    assert_ok(test_rows_write(f->db, "metrics", ROWS_DELETE, "time int64, host string", "3,a;5,nobody", NULL, NULL,
                              &f->error),
              &f->error);
    for (int i = 0; i < 4; i++) {
        test_table_check(f->db, "metrics", "a,7,9;b,2,2;c,-1,4");
        if (i == 2) assert_ok(plinth_flush(f->db, &f->error), &f->error);
        reopen(f, i);
    }
    struct plinth_stats stats;
    assert_ok(write_rows(f, "z,1,1"), &f->error);
    plinth_stats_read(f->db, &stats);
    assert_int_equal(stats.rows_upserted, 1);
}

static void rows_of_a_table_without_a_key_are_kept_in_the_order_of_arrival(void **state) {
    struct fixture *f = *state;
    test_table_create(f->db, "metrics", METRICS, "", false);
    assert_ok(write_rows(f, "b,2,1; a,7,2; b,2,1"), &f->error);
    assert_ok(write_rows(f, "a,0,3"), &f->error);
    for (int i = 0; i < 4; i++) {
        test_table_check(f->db, "metrics", "b,2,1;a,7,2;b,2,1;a,0,3");
        if (i == 2) assert_ok(plinth_flush(f->db, &f->error), &f->error);
        reopen(f, i);
    }
    assert_status(test_rows_write(f->db, "metrics", ROWS_DELETE, "host string", "a", NULL, NULL, &f->error),
                  PLINTH_INVALID_ARGUMENT, &f->error);
    assert_error_names(&f->error, "\"metrics\" has no key");
}

/* ---- names and values ---- */

static void expect_error(struct fixture *f, enum rows_operation operation, const char *columns, const char *text,
                         const char *part) {
    assert_status(test_rows_write(f->db, "t", operation, columns, text, NULL, NULL, &f->error), PLINTH_INVALID_ARGUMENT,
                  &f->error);
    assert_error_names(&f->error, part);
}

static void columns_are_found_by_name_and_bad_ones_are_named(void **state) {
    struct fixture *f = *state;
    test_table_create(f->db, "t", "id int64, Name string?, size int16, note string?", "id", false);
    assert_ok(
        test_rows_write(f->db, "t", ROWS_UPSERT, "size int16, NAME string, ID int64", "1,x,5", NULL, NULL, &f->error),
        &f->error);
    test_table_check(f->db, "t", "5,x,1,-");
    expect_error(f, ROWS_UPSERT, "id int64, size int16, colour string, shape string", "1,2,a,b",
                 "\"colour\", \"shape\"");
    expect_error(f, ROWS_UPSERT, "id int64", "1", "column \"size\" is missing: it is NOT NULL");
    expect_error(f, ROWS_UPSERT, "size int16", "1", "column \"id\" is missing: it is part of the primary key");
    expect_error(f, ROWS_UPSERT, "id int64, size int16, SIZE int16", "1,2,3", "are both column \"size\"");
    expect_error(f, ROWS_UPSERT, "id int64, size uuid", "1,00000000-0000-0000-0000-000000000000", "column \"size\"");
    expect_error(f, ROWS_DELETE, "id int64, size int16", "1,2", "column \"size\" is not part of the key");
    test_table_check(f->db, "t", "5,x,1,-");
    assert_status(test_rows_write(f->db, "default", ROWS_UPSERT, "key bytes", "x", NULL, NULL, &f->error),
                  PLINTH_NOT_FOUND, &f->error);
}

static void check_reject(const struct rows_result *result, uint32_t at, uint32_t row, const char *part) {
    assert_true(at < result->reject_count);
    assert_int_equal(result->rejects[at].row, row);
    test_assert_contains(result->rejects[at].reason, part, __FILE__, __LINE__);
}

static void rows_that_cannot_be_written_are_rejected_one_by_one(void **state) {
    struct fixture *f = *state;
    test_table_create(f->db, "t", "id int32, size int8, at timestamp(s)?", "id", false);
    struct rows_result result;
    const char *columns = "id int64, size int64, at timestamp(s)";
    assert_ok(test_rows_write(f->db, "t", ROWS_UPSERT, columns, "1,1,-; -,2,-; 3,300,-; 4,-,-; 5000000000,5,-; 6,6,-",
                              NULL, &result, &f->error),
              &f->error);
    assert_int_equal(result.rows_written, 2);
    assert_int_equal(result.rows_rejected, 4);
    check_reject(&result, 0, 1, "column \"id\" is null: it is part of the primary key");
    check_reject(&result, 1, 2, "column \"size\": 300 does not fit int8");
    check_reject(&result, 2, 3, "column \"size\" is null: it is NOT NULL");
    check_reject(&result, 3, 4, "column \"id\": 5000000000 does not fit int32");
    rows_result_deinit(&result);
    test_table_check(f->db, "t", "1,1,-;6,6,-");

    /* The same for those who want all or nothing. */
    for (int atomic = 0; atomic < 2; atomic++) {
        struct test_rows rows;
        test_rows_init(&rows, columns, "7,7,-;8,800,-");
        struct rows_write write = {ROWS_UPSERT, &rows.schema, rows.batch, atomic, !atomic};
        assert_status(rows_submit(f->db, test_table_id(f->db, "t"), &write, NULL, &result, &f->error),
                      PLINTH_INVALID_ARGUMENT, &f->error);
        assert_error_names(&f->error, "row 1: column \"size\": 800");
        assert_int_equal(result.rows_rejected, 1);
        check_reject(&result, 0, 1, "800");
        rows_result_deinit(&result);
        test_rows_deinit(&rows);
    }

    /* Rows that the caller has found unfit: a reason for each of the first, whatever the batch has for them. */
    struct test_rows some;
    test_rows_init(&some, columns, "10,1,-;11,300,-;-,12,-;13,-,-;14,4,-");
    const uint8_t unfit = 1 << 2 | 1 << 4;
    const struct rows_reject reasons[] = {{2, PLINTH_TOO_LARGE, "a reason"}, {4, PLINTH_TOO_LARGE, "another"}};
    struct rows_write write = {ROWS_UPSERT, &some.schema, some.batch,
                               .unfit = {.rows = &unfit, .reasons = reasons, .reason_count = 2}};
    assert_ok(rows_submit(f->db, test_table_id(f->db, "t"), &write, NULL, &result, &f->error), &f->error);
    assert_int_equal(result.rows_written, 1);
    assert_int_equal(result.rows_rejected, 4);
    check_reject(&result, 0, 1, "300");
    check_reject(&result, 1, 2, "a reason");
    check_reject(&result, 2, 3, "NOT NULL");
    check_reject(&result, 3, 4, "another");
    rows_result_deinit(&result);
    write.no_reject = true;
    assert_status(rows_submit(f->db, test_table_id(f->db, "t"), &write, NULL, &result, &f->error),
                  PLINTH_INVALID_ARGUMENT, &f->error);
    assert_error_names(&f->error, "row 1: column \"size\": 300");
    rows_result_deinit(&result);
    test_rows_deinit(&some);
    test_table_check(f->db, "t", "1,1,-;6,6,-;10,1,-");

    /* None is left. */
    assert_ok(test_rows_write(f->db, "t", ROWS_UPSERT, columns, "-,1,-;-,2,-", NULL, &result, &f->error), &f->error);
    assert_int_equal(result.rows_written, 0);
    assert_int_equal(result.rows_rejected, 2);
    assert_int_equal(result.last_lsn, 0);
    rows_result_deinit(&result);
    assert_ok(test_rows_write(f->db, "t", ROWS_UPSERT, columns, "", NULL, &result, &f->error), &f->error);
    assert_int_equal(result.rows_written, 0);
    test_table_check(f->db, "t", "1,1,-;6,6,-;10,1,-");
}

/* A batch of one string column "name" beside "id", of `sizes` bytes. */
static void sized_rows(struct test_rows *rows, const uint32_t *sizes, uint32_t count) {
    static char text[4096];
    size_t used = 0;
    for (uint32_t i = 0; i < count; i++) used += (size_t)sprintf(text + used, "%s%u,x", i ? ";" : "", i + 1);
    test_rows_init(rows, "id int64, name string", text);
    uint64_t total = 0;
    for (uint32_t i = 0; i < count; i++) total += sizes[i];
    uint32_t *offsets = arena_alloc(&rows->batch->arena, (count + 1) * sizeof *offsets);
    uint8_t *bytes = arena_alloc(&rows->batch->arena, total + 1);
    assert_true(offsets && bytes);
    memset(bytes, 'a', total);
    offsets[0] = 0;
    for (uint32_t i = 0; i < count; i++) offsets[i + 1] = offsets[i] + sizes[i];
    rows->batch->columns[1].offsets = offsets;
    rows->batch->columns[1].bytes = bytes;
}

static void what_is_too_large_is_rejected(void **state) {
    struct fixture *f = *state;
    struct rows_result result;
    struct test_rows rows;
    test_table_create(f->db, "t", "id int64, name string?", "id", false);
    const uint32_t sizes[] = {700 << 10, 1 << 20, 5, (1 << 20) - 2000, 400 << 10, 400 << 10};
    sized_rows(&rows, sizes, 6);
    struct rows_write write = {ROWS_UPSERT, &rows.schema, rows.batch, false, false};
    assert_ok(rows_submit(f->db, test_table_id(f->db, "t"), &write, NULL, &result, &f->error), &f->error);
    assert_ok(rows_wait(f->db, NULL, &result, &f->error), &f->error);
    assert_int_equal(result.rows_written, 5);
    check_reject(&result, 0, 1, "the row takes 10485");
    rows_result_deinit(&result);
    /* the rest is there also after a replay of its several records */
    for (int i = 0; i < 2; i++) {
        char *shown = test_table_dump(f->db, "t");
        size_t wanted = strlen("1,;3,;4,;5,;6,") + (700 << 10) + 5 + (1 << 20) - 2000 + (800 << 10);
        assert_int_equal(strlen(shown), wanted);
        free(shown);
        reopen(f, false);
    }
    test_rows_deinit(&rows);

    test_table_create(f->db, "by_name", "name string, id int64", "name", false);
    const uint32_t key_sizes[] = {PLINTH_KEY_BYTES_MAX, PLINTH_KEY_BYTES_MAX + 1};
    sized_rows(&rows, key_sizes, 2);
    write = (struct rows_write){ROWS_UPSERT, &rows.schema, rows.batch, false, false};
    assert_ok(rows_submit(f->db, test_table_id(f->db, "by_name"), &write, NULL, &result, &f->error), &f->error);
    assert_int_equal(result.rows_written, 1);
    check_reject(&result, 0, 1, "the primary key (column \"name\") takes 65537 bytes");
    rows_result_deinit(&result);
    test_rows_deinit(&rows);
}

static void indexed_values_and_times_have_bounds(void **state) {
    struct fixture *f = *state;
    struct rows_result result;
    struct test_rows rows;
    test_table_create(f->db, "t", "id int64, name string?", "id", false);
    const char *column = "name";
    struct plinth_index index = {.name = "by_name", .kind = PLINTH_INDEX_SORTED, .columns = &column, .column_count = 1};
    assert_ok(plinth_table_index_create(f->db, NULL, "t", &index, &f->error), &f->error);
    const uint32_t sizes[] = {PLINTH_INDEX_VALUE_BYTES_MAX, PLINTH_INDEX_VALUE_BYTES_MAX + 1};
    sized_rows(&rows, sizes, 2);
    struct rows_write write = {ROWS_UPSERT, &rows.schema, rows.batch, false, false};
    assert_ok(rows_submit(f->db, test_table_id(f->db, "t"), &write, NULL, &result, &f->error), &f->error);
    assert_int_equal(result.rows_written, 1);
    check_reject(&result, 0, 1, "column \"name\" has 4097 bytes; index \"by_name\" allows at most 4096");
    rows_result_deinit(&result);
    test_rows_deinit(&rows);

    test_table_create(f->db, "times", "id int64, at timestamp(s)?", "id", false);
    test_rows_init(&rows, "id int64, at timestamp(s)", "1,1970-01-01T00:00:01;2,1970-01-01T00:00:01");
    ((int64_t *)rows.batch->columns[1].values)[1] = INT64_MAX / 100;
    write = (struct rows_write){ROWS_UPSERT, &rows.schema, rows.batch, false, false};
    assert_ok(rows_submit(f->db, test_table_id(f->db, "times"), &write, NULL, &result, &f->error), &f->error);
    assert_int_equal(result.rows_written, 1);
    check_reject(&result, 0, 1, "column \"at\": time 92233720368547758 is out of range");
    rows_result_deinit(&result);
    test_rows_deinit(&rows);
}

static void new_columns_are_added_where_the_table_allows_it(void **state) {
    struct fixture *f = *state;
    test_table_create(f->db, "t", "id int64", "id", true);
    assert_ok(test_rows_write(f->db, "t", ROWS_UPSERT, "id int64", "1", NULL, NULL, &f->error), &f->error);
    assert_ok(test_rows_write(f->db, "t", ROWS_UPSERT, "colour string, id int64, size int32", "red,2,7", NULL, NULL,
                              &f->error),
              &f->error);
    for (int i = 0; i < 3; i++) {
        test_table_check(f->db, "t", "1,-,-;2,red,7");
        reopen(f, i);
    }
    /* not for deletes, not when the write fails anyway */
    assert_status(test_rows_write(f->db, "t", ROWS_DELETE, "id int64, x string", "1,a", NULL, NULL, &f->error),
                  PLINTH_INVALID_ARGUMENT, &f->error);
    assert_status(test_rows_write(f->db, "t", ROWS_UPSERT, "x string", "a", NULL, NULL, &f->error),
                  PLINTH_INVALID_ARGUMENT, &f->error);
    assert_error_names(&f->error, "\"id\" is missing");
    test_table_check(f->db, "t", "1,-,-;2,red,7");
}

static void rows_of_a_dropped_table_are_refused_and_skipped_in_the_log(void **state) {
    struct fixture *f = *state;
    test_table_create(f->db, "t", "id int64", "id", false);
    test_table_create(f->db, "u", "id int64", "id", false);
    struct table_id id = test_table_id(f->db, "t");
    struct test_rows rows;
    struct rows_result result;
    test_rows_init(&rows, "id int64", "1;2");
    struct rows_write write = {ROWS_UPSERT, &rows.schema, rows.batch, false, false};
    assert_ok(rows_submit(f->db, id, &write, NULL, &result, &f->error), &f->error);
    assert_ok(test_rows_write(f->db, "u", ROWS_UPSERT, "id int64", "3", NULL, NULL, &f->error), &f->error);
    assert_ok(plinth_table_drop(f->db, NULL, "t", &f->error), &f->error);
    assert_status(rows_submit(f->db, id, &write, NULL, &result, &f->error), PLINTH_NOT_FOUND, &f->error);
    for (int i = 0; i < 3; i++) {
        reopen(f, i);
        test_table_check(f->db, "u", "3");
    }
    test_rows_deinit(&rows);
}

/* ---- the public call ---- */

static enum plinth_status call_api(struct fixture *f, bool deletes, const char *columns, const char *text,
                                   const struct plinth_rows_options *options, struct plinth_rows_result *result) {
    struct test_rows rows;
    struct ArrowSchema schema;
    struct ArrowArray array;
    test_rows_init(&rows, columns, text);
    assert_ok(arrow_export_schema(&rows.schema, &schema, &f->error), &f->error);
    assert_ok(arrow_export_batch(rows.batch, &array, &f->error), &f->error);
    test_rows_deinit(&rows);
    enum plinth_status st =
        deletes ? plinth_rows_delete(f->db, NULL, "metrics", &schema, &array, options, result, &f->error)
                : plinth_rows_write(f->db, NULL, "metrics", &schema, &array, options, result, &f->error);
    assert_null(schema.release);
    assert_null(array.release);
    return st;
}

static void arrow_batches_are_written_and_their_rejects_are_told(void **state) {
    struct fixture *f = *state;
    struct plinth_rows_result result;
    assert_status(call_api(f, false, METRICS, "a,1,1", NULL, NULL), PLINTH_NOT_FOUND, &f->error);
    test_table_create(f->db, "metrics", METRICS, "host,time", false);
    assert_ok(call_api(f, false, METRICS, "a,1,1;b,2,-", NULL, NULL), &f->error);
    assert_ok(call_api(f, false, METRICS, "c,1,1;-,2,-;d,-,5", NULL, &result), &f->error);
    assert_int_equal(result.rows_written, 1);
    assert_int_equal(result.rows_rejected, 2);
    assert_int_equal(result.reject_count, 2);
    assert_int_equal(result.rejects[1].row, 2);
    test_assert_contains(result.rejects[1].reason, "\"time\"", __FILE__, __LINE__);
    assert_true(result.position.lsn != 0);
    plinth_rows_result_deinit(&result);
    struct plinth_rows_options options = {.write = {.producer_id = 5, .sequence = 1}, .atomic = true};
    assert_ok(call_api(f, true, "host string, time int64", "a,1", &options, &result), &f->error);
    assert_false(result.duplicate);
    plinth_rows_result_deinit(&result);
    assert_ok(call_api(f, true, "host string, time int64", "a,1", &options, &result), &f->error);
    assert_true(result.duplicate);
    plinth_rows_result_deinit(&result);
    options.write.sequence = 2;
    assert_status(call_api(f, false, METRICS, "x,1,1;-,1,1", &options, &result), PLINTH_INVALID_ARGUMENT, &f->error);
    assert_int_equal(result.reject_count, 1);
    plinth_rows_result_deinit(&result);
    test_table_check(f->db, "metrics", "b,2,-;c,1,1");
}

/* What stands in the way of the repeated write is what it has written itself, or what came after it. */
static void a_repeated_write_with_a_unique_index_is_known_again(void **state) {
    struct fixture *f = *state;
    static const char *const columns[] = {"value"};
    const struct plinth_index index = {
        .name = "u", .kind = PLINTH_INDEX_SORTED, .columns = columns, .column_count = 1, .unique = true};
    struct plinth_rows_result result;
    for (int keyed = 0; keyed < 2; keyed++) {
        test_table_create(f->db, "metrics", METRICS, keyed ? "host,time" : "", false);
        assert_ok(plinth_table_index_create(f->db, NULL, "metrics", &index, &f->error), &f->error);
        struct plinth_rows_options options = {.write = {.producer_id = 7 + (uint64_t)keyed, .sequence = 1}};
        for (int again = 0; again < 2; again++) {
            assert_ok(call_api(f, false, METRICS, "a,1,1;b,2,2", &options, &result), &f->error);
            assert_int_equal(result.rows_written, 2);
            assert_int_equal(result.duplicate, again);
            plinth_rows_result_deinit(&result);
        }
        if (keyed) { /* another row has the value meanwhile */
            assert_ok(call_api(f, true, "host string, time int64", "b,2", NULL, NULL), &f->error);
            assert_ok(call_api(f, false, METRICS, "c,3,2", NULL, NULL), &f->error);
            assert_ok(call_api(f, false, METRICS, "a,1,1;b,2,2", &options, &result), &f->error);
            assert_true(result.duplicate);
            plinth_rows_result_deinit(&result);
        }
        options.write.sequence = 2;
        assert_ok(call_api(f, false, METRICS, "d,4,1", &options, &result), &f->error);
        assert_int_equal(result.rows_rejected, 1);
        plinth_rows_result_deinit(&result);
        test_table_check(f->db, "metrics", keyed ? "a,1,1;c,3,2" : "a,1,1;b,2,2");
        assert_ok(plinth_table_drop(f->db, NULL, "metrics", &f->error), &f->error);
    }
}

/* ---- several records ---- */

enum { WIDE_ROWS = 12, WIDE_BYTES = 400 << 10 }; /* two rows a record */

static void wide_rows(struct test_rows *rows) {
    uint32_t sizes[WIDE_ROWS];
    for (int i = 0; i < WIDE_ROWS; i++) sizes[i] = WIDE_BYTES;
    sized_rows(rows, sizes, WIDE_ROWS);
}

/* The ids of the rows that are visible, as a bitmap. */
static unsigned visible_ids(struct fixture *f) {
    char *shown = test_table_dump(f->db, "t");
    unsigned ids = 0, count = 0;
    for (char *row = shown; row && *row; count++) {
        ids |= 1u << strtoul(row, NULL, 10);
        row = strchr(row, ';');
        if (row) row++;
    }
    assert_int_equal(count, __builtin_popcount(ids)); /* none is there twice */
    free(shown);
    return ids;
}

static const unsigned ALL_IDS = ((1u << WIDE_ROWS) - 1) << 1;

static void retry_chunk_by_chunk(struct fixture *f, bool keyed) {
    test_table_create(f->db, "t", "id int64, name string?", keyed ? "id" : "", false);
    struct test_rows rows;
    struct rows_result result;
    wide_rows(&rows);
    struct rows_write write = {ROWS_UPSERT, &rows.schema, rows.batch, false, false};
    struct plinth_write_options options = {.producer_id = 77, .sequence = 5};
    struct table_id id = test_table_id(f->db, "t");
    memory_log_fault_at(f->log, 2, MEMORY_LOG_REFUSED);
    assert_status(rows_submit(f->db, id, &write, &options, &result, &f->error), PLINTH_OUTCOME_UNKNOWN, &f->error);
    assert_error_names(&f->error, "behind 2 of 6 chunks, which were written: io_error");
    assert_ok(rows_wait(f->db, NULL, &result, &f->error), &f->error);
    rows_result_deinit(&result);
    assert_int_equal(visible_ids(f), 0x1E);
    reopen(f, keyed);
    assert_int_equal(visible_ids(f), 0x1E);
    /* another batch under this sequence is noticed */
    assert_status(test_rows_write(f->db, "t", ROWS_UPSERT, "id int64", "99", &options, NULL, &f->error),
                  PLINTH_INVALID_ARGUMENT, &f->error);
    assert_error_names(&f->error, "has begun as another write");
    assert_ok(rows_submit(f->db, id, &write, &options, &result, &f->error), &f->error);
    assert_ok(rows_wait(f->db, NULL, &result, &f->error), &f->error);
    assert_false(result.duplicate);
    uint64_t last_lsn = result.last_lsn;
    rows_result_deinit(&result);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(visible_ids(f), ALL_IDS);
        if (i == 2) assert_ok(plinth_compact(f->db, &f->error), &f->error);
        assert_ok(rows_submit(f->db, id, &write, &options, &result, &f->error), &f->error);
        assert_true(result.duplicate);
        assert_int_equal(result.last_lsn, last_lsn);
        assert_int_equal(result.rows_written, WIDE_ROWS);
        rows_result_deinit(&result);
        reopen(f, i);
    }
    test_rows_deinit(&rows);
}

static void a_retried_batch_is_applied_once_chunk_by_chunk(void **state) { retry_chunk_by_chunk(*state, true); }
static void a_retried_batch_is_applied_once_chunk_by_chunk_without_a_key(void **state) {
    retry_chunk_by_chunk(*state, false);
}

static void cut_off_each_part(struct fixture *f, bool keyed) {
    test_table_create(f->db, "t", "id int64, name string?", keyed ? "id" : "", false);
    struct test_rows rows;
    struct rows_result result;
    wide_rows(&rows);
    struct rows_write write = {ROWS_UPSERT, &rows.schema, rows.batch, true, false};
    struct plinth_write_options options = {.producer_id = 78, .sequence = 5};
    struct table_id id = test_table_id(f->db, "t");
    for (uint64_t part = 0; part < 6; part++) {
        memory_log_fault_at(f->log, part, MEMORY_LOG_REFUSED);
        assert_status(rows_submit(f->db, id, &write, &options, &result, &f->error), PLINTH_IO_ERROR, &f->error);
        assert_int_equal(visible_ids(f), 0);
        rows_result_deinit(&result);
        if (part % 2) reopen(f, part == 3);
        assert_int_equal(visible_ids(f), 0);
    }
    assert_ok(rows_submit(f->db, id, &write, &options, &result, &f->error), &f->error);
    assert_ok(rows_wait(f->db, NULL, &result, &f->error), &f->error);
    uint64_t last_lsn = result.last_lsn;
    rows_result_deinit(&result);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(visible_ids(f), ALL_IDS);
        if (i == 2) assert_ok(plinth_compact(f->db, &f->error), &f->error);
        assert_ok(rows_submit(f->db, id, &write, &options, &result, &f->error), &f->error);
        assert_true(result.duplicate);
        assert_int_equal(result.last_lsn, last_lsn);
        rows_result_deinit(&result);
        reopen(f, i);
    }
    test_rows_deinit(&rows);
}

static void an_atomic_write_is_there_as_a_whole_or_not_at_all(void **state) { cut_off_each_part(*state, true); }
static void an_atomic_write_is_there_as_a_whole_or_not_at_all_without_a_key(void **state) {
    cut_off_each_part(*state, false);
}

/* ---- units by hand: what other threads and hosts may put between the parts ---- */

static uint64_t append_part(struct fixture *f, uint64_t unit, uint32_t part, uint32_t parts, const char *text,
                            uint64_t first_ordinal, enum verdict wanted) {
    struct test_rows rows;
    struct buffer payload = BUFFER_INIT;
    test_rows_init(&rows, "id int64", text);
    struct rows_change change = {.table = test_table_id(f->db, "t"),
                                 .operation = ROWS_UPSERT,
                                 .in_unit = true,
                                 .last = part + 1 == parts,
                                 .unit = unit,
                                 .first_ordinal = first_ordinal,
                                 .rows = rows.batch->rows,
                                 .column_count = 1};
    const uint32_t ids[] = {1};
    assert_true(rows_record_encode(&payload, &change, ids, rows.batch));
    struct record_header header = {
        .kind = CHANGE_ROWS, .durability = RECORD_SYNCED, .chunk = part, .chunk_count = parts};
    struct decision decision;
    uint64_t lsn;
    pthread_mutex_lock(&f->db->sequence_mutex);
    assert_ok(engine_append_locked(f->db, &header, buffer_slice(&payload), NULL, 0, &lsn, &decision, &f->error),
              &f->error);
    pthread_mutex_unlock(&f->db->sequence_mutex);
    engine_sequenced(f->db, lsn);
    assert_int_equal(decision.verdict, wanted);
    buffer_deinit(&payload);
    test_rows_deinit(&rows);
    return lsn;
}

static uint64_t replay_lsn(struct fixture *f) {
    pthread_mutex_lock(&f->db->sequence_mutex);
    uint64_t lsn = shard_replay_lsn(&f->db->shard);
    pthread_mutex_unlock(&f->db->sequence_mutex);
    return lsn;
}

static void cut(struct fixture *f) {
    uint64_t lsn;
    pthread_mutex_lock(&f->db->sequence_mutex);
    assert_ok(engine_cut_locked(f->db, &lsn, &f->error), &f->error);
    pthread_mutex_unlock(&f->db->sequence_mutex);
}

static void a_unit_goes_on_over_cuts_flushes_and_restarts(void **state) {
    struct fixture *f = *state;
    test_table_create(f->db, "t", "id int64", "id", false);
    test_table_create(f->db, "other", "id int64", "id", false);
    uint64_t first = append_part(f, 9, 0, 3, "1;2", 0, VERDICT_APPLIED);
    assert_ok(test_rows_write(f->db, "other", ROWS_UPSERT, "id int64", "5", NULL, NULL, &f->error), &f->error);
    assert_ok(plinth_flush(f->db, &f->error), &f->error);
    assert_int_equal(replay_lsn(f), first);
    reopen(f, true);
    assert_int_equal(replay_lsn(f), first);
    append_part(f, 9, 1, 3, "3;4", 2, VERDICT_APPLIED);
    reopen(f, false);
    assert_int_equal(visible_ids(f), 0);
    uint64_t last = append_part(f, 9, 2, 3, "5", 4, VERDICT_APPLIED);
    append_part(f, 9, 2, 3, "5", 4, VERDICT_VOID); /* it is complete */
    for (int i = 0; i < 3; i++) {
        reopen(f, i);
        assert_int_equal(visible_ids(f), 0x3E);
        assert_int_equal(replay_lsn(f), first);
    }
    /* Once it is in segments nothing of it is needed any more. */
    cut(f);
    assert_ok(plinth_flush(f->db, &f->error), &f->error);
    assert_true(replay_lsn(f) > last);
}

static void a_unit_that_is_not_finished_in_time_is_forgotten(void **state) {
    struct fixture *f = *state;
    test_table_create(f->db, "t", "id int64", "id", false);
    append_part(f, 1, 0, 2, "1", 0, VERDICT_APPLIED);
    append_part(f, 2, 0, 2, "2", 0, VERDICT_APPLIED);
    append_part(f, 3, 1, 2, "3", 1, VERDICT_VOID); /* no beginning */
    append_part(f, 4, 0, 3, "1;2", 0, VERDICT_APPLIED);
    append_part(f, 4, 1, 3, "3", 1, VERDICT_VOID); /* another number of rows before it: the unit is void */
    append_part(f, 4, 2, 3, "4", 3, VERDICT_VOID);
    sim_env_advance_us(f->sim, UNIT_TTL_US / 2);
    append_part(f, 1, 1, 2, "11", 1, VERDICT_APPLIED);
    sim_env_advance_us(f->sim, UNIT_TTL_US);
    append_part(f, 2, 1, 2, "12", 1, VERDICT_VOID);
    for (int i = 0; i < 3; i++) {
        reopen(f, i);
        assert_int_equal(visible_ids(f), 1u << 1 | 1u << 11);
    }
}

/* ---- many writers ---- */

enum { WRITERS = 4, BATCHES = 60, BATCH_ROWS = 50 };

struct writer {
    struct fixture *f;
    int number;
};

/* Each has its own keys, all write one shared key in every batch. */
static void *write_many(void *argument) {
    struct writer *writer = argument;
    for (int batch = 0; batch < BATCHES; batch++) {
        char text[BATCH_ROWS * 32];
        size_t used = 0;
        for (int i = 0; i < BATCH_ROWS; i++)
            used += (size_t)sprintf(text + used, "w%d,%d,%d;", writer->number, (batch * 7 + i * 13) % 200, batch);
        sprintf(text + used, "shared,0,%d", batch);
        struct plinth_error error;
        struct plinth_write_options options = {.durability = PLINTH_DURABILITY_BUFFERED};
        if (test_rows_write(writer->f->db, "metrics", ROWS_UPSERT, METRICS, text, &options, NULL, &error))
            return writer;
    }
    return NULL;
}

static void many_writers_lose_nothing(void **state) {
    struct fixture *f = *state;
    test_table_create(f->db, "metrics", METRICS, "host,time", false);
    pthread_t threads[WRITERS];
    struct writer writers[WRITERS];
    for (int i = 0; i < WRITERS; i++) {
        writers[i] = (struct writer){f, i};
        assert_int_equal(pthread_create(&threads[i], NULL, write_many, &writers[i]), 0);
    }
    for (int i = 0; i < WRITERS; i++) {
        void *failed;
        pthread_join(threads[i], &failed);
        assert_null(failed);
    }
    struct buffer wanted = BUFFER_INIT;
    char line[64];
    int last[200];
    for (int t = 0; t < 200; t++) last[t] = -1;
    for (int batch = 0; batch < BATCHES; batch++)
        for (int i = 0; i < BATCH_ROWS; i++) last[(batch * 7 + i * 13) % 200] = batch;
    int size = sprintf(line, "shared,0,%d", BATCHES - 1);
    assert_true(buffer_append(&wanted, line, (size_t)size));
    for (int w = 0; w < WRITERS; w++)
        for (int t = 0; t < 200; t++) {
            if (last[t] < 0) continue;
            size = sprintf(line, ";w%d,%d,%d", w, t, last[t]);
            assert_true(buffer_append(&wanted, line, (size_t)size));
        }
    assert_true(buffer_append_u8(&wanted, 0));
    for (int i = 0; i < 2; i++) {
        test_table_check(f->db, "metrics", (char *)wanted.data);
        reopen(f, i);
    }
    buffer_deinit(&wanted);
}

/* ---- bytes ---- */

static void a_damaged_record_is_found_corrupt_or_sound(void **state) {
    struct fixture *f = *state;
    test_table_create(f->db, "metrics", METRICS, "host,time", false);
    const struct table_schema *schema;
    assert_ok(engine_find_schema(f->db, NULL, "metrics", &schema, &f->error), &f->error);
    struct test_rows rows;
    struct buffer payload = BUFFER_INIT;
    test_rows_init(&rows, METRICS, "a,1,2;a,2,-;b,0,3");
    struct rows_change change = {.table = schema->id, .operation = ROWS_UPSERT, .rows = 3, .column_count = 3};
    const uint32_t ids[] = {1, 2, 3};
    assert_true(rows_record_encode(&payload, &change, ids, rows.batch));
    assert_ok(rows_record_check(schema, buffer_slice(&payload), NULL, &f->error), &f->error);
    for (size_t size = 0; size < payload.size; size++) {
        uint8_t *exact = malloc(size + 1); /* for AddressSanitizer */
        memcpy(exact, payload.data, size);
        assert_status(rows_record_check(schema, slice_of(exact, size), NULL, &f->error), PLINTH_CORRUPT, &f->error);
        free(exact);
    }
    unsigned corrupt = 0;
    for (size_t bit = 0; bit < 8 * payload.size; bit++) {
        payload.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        enum plinth_status st = rows_record_check(schema, buffer_slice(&payload), NULL, &f->error);
        if (st) assert_status(st, PLINTH_CORRUPT, &f->error);
        corrupt += st != PLINTH_OK;
        payload.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    assert_true(corrupt > 4 * payload.size);
    /* Rows out of order, and a column of another type. */
    test_rows_deinit(&rows);
    test_rows_init(&rows, METRICS, "a,2,2;a,1,-;b,0,3");
    buffer_clear(&payload);
    assert_true(rows_record_encode(&payload, &change, ids, rows.batch));
    assert_status(rows_record_check(schema, buffer_slice(&payload), NULL, &f->error), PLINTH_CORRUPT, &f->error);
    assert_error_names(&f->error, "order of their keys");
    test_rows_deinit(&rows);
    test_rows_init(&rows, "host string, time int32, value float64", "a,1,2");
    change.rows = 1;
    buffer_clear(&payload);
    assert_true(rows_record_encode(&payload, &change, ids, rows.batch));
    assert_status(rows_record_check(schema, buffer_slice(&payload), NULL, &f->error), PLINTH_CORRUPT, &f->error);
    assert_error_names(&f->error, "\"time\" has another type");
    buffer_deinit(&payload);
    test_rows_deinit(&rows);
    table_schema_unref(schema);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(rows_are_in_key_order_and_the_newest_of_a_key_counts, setup, teardown),
        cmocka_unit_test_setup_teardown(rows_of_a_table_without_a_key_are_kept_in_the_order_of_arrival, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(columns_are_found_by_name_and_bad_ones_are_named, setup, teardown),
        cmocka_unit_test_setup_teardown(rows_that_cannot_be_written_are_rejected_one_by_one, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_too_large_is_rejected, setup, teardown),
        cmocka_unit_test_setup_teardown(indexed_values_and_times_have_bounds, setup, teardown),
        cmocka_unit_test_setup_teardown(new_columns_are_added_where_the_table_allows_it, setup, teardown),
        cmocka_unit_test_setup_teardown(rows_of_a_dropped_table_are_refused_and_skipped_in_the_log, setup, teardown),
        cmocka_unit_test_setup_teardown(arrow_batches_are_written_and_their_rejects_are_told, setup, teardown),
        cmocka_unit_test_setup_teardown(a_repeated_write_with_a_unique_index_is_known_again, setup, teardown),
        cmocka_unit_test_setup_teardown(a_retried_batch_is_applied_once_chunk_by_chunk, setup, teardown),
        cmocka_unit_test_setup_teardown(a_retried_batch_is_applied_once_chunk_by_chunk_without_a_key, setup, teardown),
        cmocka_unit_test_setup_teardown(an_atomic_write_is_there_as_a_whole_or_not_at_all, setup, teardown),
        cmocka_unit_test_setup_teardown(an_atomic_write_is_there_as_a_whole_or_not_at_all_without_a_key, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_unit_goes_on_over_cuts_flushes_and_restarts, setup, teardown),
        cmocka_unit_test_setup_teardown(a_unit_that_is_not_finished_in_time_is_forgotten, setup, teardown),
        cmocka_unit_test_setup_teardown(many_writers_lose_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(a_damaged_record_is_found_corrupt_or_sound, setup, teardown),
    };
    log_event_configure(LOG_OFF, false); /* checkpoints that fail on purpose */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
