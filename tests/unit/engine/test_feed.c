/* The change feed: replayed into another engine it gives the same state, from wherever it is taken up again. */
#include <stdio.h>
#include <stdlib.h>

#include "base/status.h"
#include "base/thread.h"
#include "column/arrow_data.h"
#include "column/column_builder.h"
#include "engine/engine.h"
#include "engine/feed_private.h"
#include "support/key_model.h"
#include "support/table_support.h"

static const struct plinth_options small_options = {
    .memtable_bytes = 64 << 10, .cache_bytes = 4 << 20, .log_segment_bytes = 64 << 10};

struct fixture {
    char path[TEST_PATH_MAX], copy_path[TEST_PATH_MAX];
    struct plinth *db, *copy;
    struct plinth_space space, more; /* `more` in replays */
    bool with_previous;              /* of the feed that is replayed */
    struct plinth_error error;
};

static void open_db(struct fixture *f) {
    assert_ok(plinth_open(f->path, &small_options, &f->db, &f->error), &f->error);
    assert_ok(plinth_space_find(f->db, NULL, NULL, &f->space, &f->error), &f->error);
    f->db->rows_record_bytes_max = 256;
}

static int setup(void **state) {
    struct fixture *f = calloc(1, sizeof *f);
    test_directory_create(f->path);
    test_directory_create(f->copy_path);
    open_db(f);
    struct plinth_options copy_options = small_options;
    copy_options.read_durability = PLINTH_DURABILITY_BUFFERED;
    assert_ok(plinth_open(f->copy_path, &copy_options, &f->copy, &f->error), &f->error);
    *state = f;
    return 0;
}

static int teardown(void **state) {
    struct fixture *f = *state;
    plinth_close(f->db);
    plinth_close(f->copy);
    test_directory_remove(f->path);
    test_directory_remove(f->copy_path);
    free(f);
    return 0;
}

static struct plinth_position set(struct fixture *f, const char *key, const char *value) {
    struct plinth_position position;
    assert_ok(plinth_set(f->db, f->space, plinth_text(key), plinth_text(value), NULL, &position, &f->error), &f->error);
    return position;
}

static struct plinth_feed *open_feed(struct fixture *f, const struct plinth_feed_options *options) {
    struct plinth_feed *feed;
    assert_ok(plinth_feed_open(f->db, options, &feed, &f->error), &f->error);
    return feed;
}

/* Rows as text, "owl,2;emu,-". */
static char *text_of(struct batch *batch) {
    struct buffer text = BUFFER_INIT;
    for (uint32_t row = 0; row < batch->rows; row++) {
        for (uint32_t i = 0; i < batch->column_count; i++) {
            if (row || i) assert_true(buffer_append_u8(&text, i ? ',' : ';'));
            if (column_is_null(&batch->columns[i], row))
                assert_true(buffer_append_u8(&text, '-'));
            else
                assert_true(column_format(&text, &batch->columns[i], row));
        }
    }
    assert_true(buffer_append_u8(&text, 0));
    return (char *)text.data;
}

/* The same of an exported batch, which stays. */
static char *text_of_array(const struct ArrowSchema *schema, struct ArrowArray *array) {
    struct batch *batch;
    struct plinth_error error;
    struct ArrowArray moved = *array;
    assert_ok(arrow_import_batch(&moved, schema, &batch, &error), &error);
    char *text = text_of(batch);
    assert_ok(arrow_export_batch(batch, array, &error), &error);
    batch_unref(batch);
    return text;
}

/* The row of this name in the copy, as text; "-,-,-" when there is none. */
static void row_of_copy(struct fixture *f, const char *name, char *text, size_t size) {
    char where[64];
    struct ArrowArrayStream stream;
    struct ArrowSchema schema;
    struct ArrowArray array;
    snprintf(where, sizeof where, "name = '%s'", name);
    struct plinth_query_options options = {.where = where};
    snprintf(text, size, "-,-,-");
    assert_ok(plinth_query(f->copy, NULL, "birds", &options, &stream, &f->error), &f->error);
    assert_int_equal(stream.get_schema(&stream, &schema), 0);
    for (;;) {
        assert_int_equal(stream.get_next(&stream, &array), 0);
        if (!array.release) break;
        char *found = text_of_array(&schema, &array);
        if (*found) snprintf(text, size, "%s", found);
        free(found);
        array.release(&array);
    }
    schema.release(&schema);
    stream.release(&stream);
}

static void check_previous_rows(struct fixture *f, const struct plinth_feed_rows *rows) {
    char *given = text_of_array(rows->schema, rows->array), *before = NULL, *before_at = NULL, *given_at = NULL;
    before = text_of_array(rows->previous_schema, rows->previous);
    char *row = strtok_r(given, ";", &given_at), *old = strtok_r(before, ";", &before_at);
    for (; row && old; row = strtok_r(NULL, ";", &given_at), old = strtok_r(NULL, ";", &before_at)) {
        char wanted[128], name[32];
        snprintf(name, sizeof name, "%.*s", (int)strcspn(row, ","), row);
        row_of_copy(f, name, wanted, sizeof wanted);
        assert_string_equal(old, wanted);
    }
    assert_true(!row && !old);
    free(given);
    free(before);
}

/* What was there before is what the copy has still. */
static void check_previous(struct fixture *f, const struct plinth_feed_operation *fed) {
    if (fed->operation.kind == PLINTH_DELETE_RANGE) return; /* what it held is not told */
    struct plinth_buffer value = {0};
    enum plinth_status st =
        plinth_get(f->copy, fed->operation.space, fed->operation.key, NULL, &value, NULL, &f->error);
    assert_int_equal(fed->existed, st == PLINTH_OK);
    assert_int_equal(value.size, fed->previous.size);
    if (value.size) assert_memory_equal(value.data, fed->previous.data, value.size);
    plinth_buffer_deinit(&value);
}

/* Applies a change to the copy, whose spaces have the same ids. */
static void replay(struct fixture *f, const struct plinth_change *change) {
    for (size_t i = 0; f->with_previous && i < change->operation_count; i++) check_previous(f, &change->operations[i]);
    for (size_t i = 0; f->with_previous && i < change->rows_count; i++) check_previous_rows(f, &change->rows[i]);
    const struct plinth_write_options options = {.durability = PLINTH_DURABILITY_BUFFERED};
    for (size_t i = 0; i < change->operation_count; i++) /* together they may not fit into one write */
        assert_ok(plinth_write(f->copy, &change->operations[i].operation, 1, &options, NULL, &f->error), &f->error);
    for (size_t i = 0; i < change->rows_count; i++) {
        const struct plinth_feed_rows *rows = &change->rows[i];
        assert_string_equal(rows->database, "default");
        if (rows->deleted)
            assert_ok(plinth_rows_delete(f->copy, rows->database, rows->table, rows->schema, rows->array, NULL, NULL,
                                         &f->error),
                      &f->error);
        else
            assert_ok(plinth_rows_write(f->copy, rows->database, rows->table, rows->schema, rows->array, NULL, NULL,
                                        &f->error),
                      &f->error);
    }
}

/* Replays what there is; returns how many changes. */
static int drain(struct fixture *f, struct plinth_feed *feed) {
    struct plinth_change change;
    bool found = true;
    int count = 0;
    for (; found; count += found) {
        assert_ok(plinth_feed_next(feed, 0, &change, &found, &f->error), &f->error);
        if (found) replay(f, &change);
    }
    return count;
}

static const char columns[] = "name string, n int64, note string?";

static void write_rows(struct fixture *f, struct test_random *random, bool atomic) {
    char text[4000];
    size_t used = 0;
    int rows = (int)test_random_below(random, 60) + 1;
    for (int i = 0; i < rows; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "%sbird%02d,%d,%s", i ? ";" : "",
                                 (int)test_random_below(random, 40), (int)test_random_below(random, 1000),
                                 test_random_below(random, 3) ? "seen in the old tree" : "-");
    struct test_rows made;
    test_rows_init(&made, columns, text);
    struct rows_write write = {ROWS_UPSERT, &made.schema, made.batch, .atomic = atomic};
    struct rows_result result;
    assert_ok(rows_submit(f->db, test_table_id(f->db, "birds"), &write, NULL, &result, &f->error), &f->error);
    assert_ok(rows_wait(f->db, NULL, &result, &f->error), &f->error);
    rows_result_deinit(&result);
    test_rows_deinit(&made);
}

static void delete_rows(struct fixture *f, struct test_random *random) {
    char text[64];
    snprintf(text, sizeof text, "bird%02d;bird%02d", (int)test_random_below(random, 20),
             20 + (int)test_random_below(random, 20));
    struct rows_result result;
    assert_ok(test_rows_write(f->db, "birds", ROWS_DELETE, "name string", text, NULL, &result, &f->error), &f->error);
    rows_result_deinit(&result);
}

static void rows_into_transaction(struct fixture *f, struct plinth_transaction *transaction, bool deleted,
                                  const char *given, const char *text) {
    struct test_rows made;
    struct ArrowSchema schema;
    struct ArrowArray array;
    test_rows_init(&made, given, text);
    assert_ok(arrow_export_schema(&made.schema, &schema, &f->error), &f->error);
    assert_ok(arrow_export_batch(made.batch, &array, &f->error), &f->error);
    assert_ok((deleted ? plinth_transaction_rows_delete : plinth_transaction_rows_write)(transaction, NULL, "birds",
                                                                                         &schema, &array, &f->error),
              &f->error);
    test_rows_deinit(&made);
}

/* Keys and rows as one; some do not fit into one record, and some lose. */
static void write_transaction(struct fixture *f, struct test_random *random) {
    struct plinth_transaction *transaction;
    struct plinth_buffer value = {0};
    bool loses = test_random_below(random, 4) == 0;
    size_t size = test_random_below(random, 4) ? 20 : 400000;
    char key[32], text[64], *bytes = malloc(size);
    memset(bytes, 'a' + (int)test_random_below(random, 26), size);
    assert_ok(plinth_transaction_begin(f->db, &transaction, &f->error), &f->error);
    enum plinth_status st =
        plinth_transaction_get(transaction, f->more, plinth_text("contended"), &value, NULL, &f->error);
    assert_true(!st || st == PLINTH_NOT_FOUND);
    for (int i = 0; i < 4; i++) {
        snprintf(key, sizeof key, "t%d", (int)test_random_below(random, 6));
        struct plinth_operation operation = {.kind = test_random_below(random, 4) ? PLINTH_SET : PLINTH_DELETE,
                                             .space = f->more,
                                             .key = plinth_text(key)};
        if (operation.kind == PLINTH_SET) operation.value = plinth_bytes(bytes, size);
        if (test_random_below(random, 8) == 0) {
            operation.kind = PLINTH_DELETE_RANGE;
            operation.key = plinth_text("t1");
            operation.upper = plinth_text("t4");
            operation.value = plinth_bytes(NULL, 0);
        }
        assert_ok(plinth_transaction_write(transaction, &operation, &f->error), &f->error);
    }
    snprintf(text, sizeof text, "bird%02d,%d,txn", (int)test_random_below(random, 20), (int)size);
    rows_into_transaction(f, transaction, false, columns, text);
    snprintf(text, sizeof text, "bird%02d", 20 + (int)test_random_below(random, 20));
    rows_into_transaction(f, transaction, true, "name string", text);
    if (loses)
        assert_ok(plinth_set(f->db, f->more, plinth_text("contended"), plinth_bytes(bytes, 5), NULL, NULL, &f->error),
                  &f->error);
    assert_status(plinth_transaction_commit(transaction, NULL, NULL, NULL, &f->error),
                  loses ? PLINTH_CONFLICT : PLINTH_OK, &f->error);
    plinth_transaction_destroy(transaction);
    plinth_buffer_deinit(&value);
    free(bytes);
}

/* A conditional record that loses at its own place in the log, as one of another host may. */
static void append_loser(struct fixture *f, uint64_t snapshot_lsn) {
    struct buffer payload = BUFFER_INIT, stored = BUFFER_INIT;
    struct table_id table = table_in(f->space);
    struct operation operation = {
        .kind = OPERATION_SET, .table = table, .key = slice_of_string("in-vain"), .value = slice_of_string("x")};
    assert_true(engine_stored_key(&stored, table, slice_of_string("once")) &&
                buffer_append_varint(&payload, snapshot_lsn) && buffer_append_varint(&payload, 1) &&
                buffer_append_string(&payload, buffer_slice(&stored)) && buffer_append_varint(&payload, 0) &&
                buffer_append_varint(&payload, 1) && operation_append(&payload, &operation, NULL));
    struct decision decision;
    uint64_t lsn;
    assert_ok(engine_append(f->db, CHANGE_CONDITIONAL, buffer_slice(&payload), &lsn, &decision, &f->error), &f->error);
    assert_int_equal(decision.verdict, VERDICT_CONFLICT);
    buffer_deinit(&payload);
    buffer_deinit(&stored);
}

/* A transaction that loses, and a write that its producer repeats: neither is in the feed. */
static void write_in_vain(struct fixture *f, uint64_t number) {
    struct plinth_operation operation = {
        .kind = PLINTH_SET, .space = f->space, .key = plinth_text("in-vain"), .value = plinth_text("x")};
    struct plinth_comparison comparison = {.expectation = PLINTH_EXPECT_PRESENT};
    assert_status(plinth_compare_and_set(f->db, &operation, &comparison, NULL, NULL, NULL, &f->error), PLINTH_CONFLICT,
                  &f->error);
    struct plinth_write_options options = {.producer_id = 9, .sequence = number};
    operation.key = plinth_text("once");
    assert_ok(plinth_write(f->db, &operation, 1, &options, NULL, &f->error), &f->error);
    operation.value = plinth_text("again");
    assert_ok(plinth_write(f->db, &operation, 1, &options, NULL, &f->error), &f->error);
}

static void check_equal(struct fixture *f, const struct key_model *model) {
    static const char *const keys[] = {"t0", "t1", "t2", "t3", "t4", "t5", "contended"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        struct plinth_buffer value = {0}, copy = {0};
        struct plinth_slice key = plinth_text(keys[i]);
        enum plinth_status st = plinth_get(f->db, f->more, key, NULL, &value, NULL, &f->error);
        assert_int_equal(plinth_get(f->copy, f->more, key, NULL, &copy, NULL, &f->error), st);
        assert_int_equal(value.size, copy.size);
        if (value.size) assert_memory_equal(value.data, copy.data, value.size);
        plinth_buffer_deinit(&value);
        plinth_buffer_deinit(&copy);
    }
    key_model_check(model, f->copy, NULL);
    char *rows = test_table_dump(f->db, "birds");
    test_table_check(f->copy, "birds", rows);
    free(rows);
}

static void replay_at_random(struct fixture *f, uint64_t seed) {
    printf("seed %llu\n", (unsigned long long)seed);
    struct test_random random = test_random_of(seed);
    struct key_model model = {0};
    const struct plinth_feed_options options = {.snapshot_name = "reader", .with_previous = f->with_previous};
    test_table_create(f->db, "birds", columns, "name", false);
    test_table_create(f->copy, "birds", columns, "name", false);
    assert_ok(plinth_space_create(f->db, NULL, "more", &f->more, &f->error), &f->error);
    assert_ok(plinth_space_create(f->copy, NULL, "more", &f->more, &f->error), &f->error);
    assert_ok(plinth_snapshot_keep(f->db, "reader", NULL, true, NULL, &f->error), &f->error);
    struct plinth_feed *feed = open_feed(f, &options);
    for (uint64_t number = 1; number <= 600; number++) {
        struct key_model_step step = key_model_step_of(seed, number);
        assert_ok(key_model_write(f->db, &step, NULL, NULL, &f->error), &f->error);
        key_model_apply(&model, &step);
        switch (test_random_below(&random, 24)) {
        case 0:
        case 1: write_rows(f, &random, false); break;
        case 2:
        case 3: write_rows(f, &random, true); break;
        case 4: delete_rows(f, &random); break;
        case 9:
        case 10: write_transaction(f, &random); break;
        case 5: assert_ok(plinth_flush(f->db, &f->error), &f->error); break;
        case 6: drain(f, feed); break;
        case 7: /* the reader goes and comes again, and says how far it has come */
            drain(f, feed);
            assert_ok(plinth_snapshot_move(f->db, "reader", plinth_feed_position(feed), &f->error), &f->error);
            plinth_feed_close(feed);
            if (test_random_below(&random, 2)) assert_ok(plinth_compact(f->db, &f->error), &f->error);
            feed = open_feed(f, &options);
            break;
        case 8: /* the engine goes; what was replayed twice is the same */
            drain(f, feed);
            if (f->with_previous) /* else the copy would be ahead */
                assert_ok(plinth_snapshot_move(f->db, "reader", plinth_feed_position(feed), &f->error), &f->error);
            plinth_feed_close(feed);
            assert_ok(plinth_flush(f->db, &f->error), &f->error);
            plinth_close(f->db);
            open_db(f);
            feed = open_feed(f, &options);
            break;
        default: break;
        }
    }
    drain(f, feed);
    plinth_feed_close(feed);
    check_equal(f, &model);
}

/* PLINTH_SEED gives another one. */
static uint64_t seed_or(uint64_t otherwise) {
    const char *given = getenv("PLINTH_SEED");
    return given ? strtoull(given, NULL, 10) : otherwise;
}

static void a_feed_that_is_replayed_gives_the_same_state(void **state) { replay_at_random(*state, seed_or(77)); }

static void what_was_there_before_is_what_a_replay_has(void **state) {
    struct fixture *f = *state;
    f->with_previous = true;
    replay_at_random(f, seed_or(77) + 1);
}

static void writes_that_did_nothing_are_left_out(void **state) {
    struct fixture *f = *state;
    struct plinth_feed *feed = open_feed(f, NULL);
    struct plinth_position before = plinth_feed_position(feed);
    for (uint64_t number = 1; number <= 20; number++) {
        uint64_t snapshot_lsn = engine_visible_lsn(f->db);
        write_in_vain(f, number);
        append_loser(f, snapshot_lsn);
    }
    assert_int_equal(drain(f, feed), 20);
    plinth_feed_close(feed);
    /* from checkpoint and log, too */
    plinth_close(f->db);
    open_db(f);
    struct plinth_feed_options options = {.after = before};
    feed = open_feed(f, &options);
    assert_int_equal(drain(f, feed), 20);
    struct plinth_buffer value = {0};
    struct plinth_space space;
    assert_ok(plinth_space_find(f->copy, NULL, NULL, &space, &f->error), &f->error);
    assert_ok(plinth_get(f->copy, space, plinth_text("once"), NULL, &value, NULL, &f->error), &f->error);
    assert_int_equal(value.size, 1);
    assert_status(plinth_get(f->copy, space, plinth_text("in-vain"), NULL, &value, NULL, &f->error), PLINTH_NOT_FOUND,
                  &f->error);
    plinth_buffer_deinit(&value);
    plinth_feed_close(feed);
}

static void a_feed_tells_what_was_there_before_and_only_what_is_asked_for(void **state) {
    struct fixture *f = *state;
    struct plinth_space other;
    assert_ok(plinth_space_create(f->db, NULL, "other", &other, &f->error), &f->error);
    set(f, "a/1", "old");
    struct plinth_feed_options options = {.table = "default", .prefix = plinth_text("a/"), .with_previous = true};
    struct plinth_feed *feed = open_feed(f, &options);
    set(f, "a/1", "new");
    set(f, "b/1", "x");
    assert_ok(plinth_set(f->db, other, plinth_text("a/1"), plinth_text("x"), NULL, NULL, &f->error), &f->error);
    set(f, "a/2", "x");
    assert_ok(plinth_delete(f->db, f->space, plinth_text("a/1"), NULL, NULL, &f->error), &f->error);
    struct plinth_position last = set(f, "b/2", "x");
    assert_ok(plinth_compact(f->db, &f->error), &f->error);
    static const struct {
        const char *key, *value, *previous;
    } wanted[] = {{"a/1", "new", "old"}, {"a/2", "x", NULL}, {"a/1", NULL, "new"}};
    struct plinth_change change;
    bool found;
    for (int i = 0; i < 3; i++) {
        assert_ok(plinth_feed_next(feed, 1000, &change, &found, &f->error), &f->error);
        assert_true(found);
        assert_int_equal(change.operation_count, 1);
        assert_true(change.time_us > 1000000);
        const struct plinth_feed_operation *fed = &change.operations[0];
        assert_memory_equal(fed->operation.key.data, wanted[i].key, 3);
        assert_int_equal(fed->operation.kind, wanted[i].value ? PLINTH_SET : PLINTH_DELETE);
        if (wanted[i].value) assert_memory_equal(fed->operation.value.data, wanted[i].value, fed->operation.value.size);
        assert_int_equal(fed->existed, wanted[i].previous != NULL);
        if (wanted[i].previous) assert_memory_equal(fed->previous.data, wanted[i].previous, fed->previous.size);
    }
    assert_ok(plinth_feed_next(feed, 0, &change, &found, &f->error), &f->error);
    assert_false(found);
    assert_true(plinth_feed_position(feed).lsn >= last.lsn);
    plinth_feed_close(feed);
}

static void a_position_that_the_log_has_left_behind_is_refused(void **state) {
    struct fixture *f = *state;
    struct plinth_feed *feed;
    struct plinth_position first = set(f, "a", "1");
    char value[4000];
    memset(value, 'x', sizeof value - 1);
    value[sizeof value - 1] = 0;
    for (int i = 0; i < 200; i++) set(f, "b", value);
    for (int i = 0; i < 3; i++) {
        set(f, "b", value);
        assert_ok(plinth_compact(f->db, &f->error), &f->error);
    }
    plinth_close(f->db);
    open_db(f);
    struct plinth_feed_options options = {.after = first};
    assert_status(plinth_feed_open(f->db, &options, &feed, &f->error), PLINTH_TOO_OLD, &f->error);
    assert_error_names(&f->error, "new snapshot");
    options = (struct plinth_feed_options){.table = "nowhere"};
    assert_status(plinth_feed_open(f->db, &options, &feed, &f->error), PLINTH_NOT_FOUND, &f->error);
    assert_error_names(&f->error, "nowhere");
    options = (struct plinth_feed_options){.snapshot_name = "nobody"};
    assert_status(plinth_feed_open(f->db, &options, &feed, &f->error), PLINTH_NOT_FOUND, &f->error);
    assert_ok(plinth_snapshot_keep(f->db, "reader", NULL, true, NULL, &f->error), &f->error);
    assert_status(plinth_snapshot_move(f->db, "reader", first, &f->error), PLINTH_INVALID_ARGUMENT, &f->error);
    assert_error_names(&f->error, "forwards");
    assert_status(plinth_snapshot_move(f->db, "nobody", first, &f->error), PLINTH_NOT_FOUND, &f->error);
    /* A named snapshot that keeps the log holds it over flushes and restarts; when it is dropped the log goes. */
    for (int i = 0; i < 100; i++) set(f, "b", value);
    for (int i = 0; i < 3; i++) {
        set(f, "c", value);
        assert_ok(plinth_compact(f->db, &f->error), &f->error);
    }
    plinth_close(f->db);
    open_db(f);
    feed = open_feed(f, &(struct plinth_feed_options){.snapshot_name = "reader"});
    assert_int_equal(drain(f, feed), 103);
    plinth_feed_close(feed);
    struct log_stats before, after;
    log_stats(f->db->log, &before);
    assert_ok(plinth_snapshot_drop(f->db, "reader", &f->error), &f->error);
    struct plinth_write_options buffered = {.durability = PLINTH_DURABILITY_BUFFERED};
    for (int i = 0; i < 800; i++) /* more than one file, however long files are here */
        assert_ok(plinth_set(f->db, f->space, plinth_text("b"), plinth_text(value), &buffered, NULL, &f->error),
                  &f->error);
    for (int i = 0; i < 3; i++) {
        set(f, "c", value);
        assert_ok(plinth_compact(f->db, &f->error), &f->error);
    }
    log_stats(f->db->log, &after);
    assert_true(after.first_lsn > before.first_lsn);
}

/* Verdicts that have been forgotten are no part of what a named snapshot can keep. */
static void a_snapshot_of_the_past_does_not_keep_a_log_whose_verdicts_are_gone(void **state) {
    struct fixture *f = *state;
    assert_ok(plinth_history_keep(f->db, 3600, &f->error), &f->error);
    struct plinth_position before = set(f, "first", "1");
    for (uint64_t number = 1; number <= 20; number++) {
        uint64_t snapshot_lsn = engine_visible_lsn(f->db);
        write_in_vain(f, number);
        append_loser(f, snapshot_lsn);
    }
    for (int i = 0; i < 3; i++) { /* two checkpoints need none of this; the log's file is there still */
        set(f, "b", "x");
        assert_ok(plinth_compact(f->db, &f->error), &f->error);
    }
    struct plinth_read_options of = {.as_of = before};
    assert_ok(plinth_snapshot_keep(f->db, "state", &of, false, NULL, &f->error), &f->error);
    assert_status(plinth_snapshot_keep(f->db, "feed", &of, true, NULL, &f->error), PLINTH_TOO_OLD, &f->error);
    assert_error_names(&f->error, "change feed");
    assert_ok(plinth_snapshot_keep(f->db, "feed", NULL, true, NULL, &f->error), &f->error);
    set(f, "c", "x");
    plinth_close(f->db);
    open_db(f);
    struct plinth_feed *feed = open_feed(f, &(struct plinth_feed_options){.snapshot_name = "feed"});
    assert_int_equal(drain(f, feed), 1);
    plinth_feed_close(feed);
}

/* A log reader that fails once: feeds open another one. */
static enum plinth_status fail_to_read(struct log_reader *reader, struct record *record, bool *found,
                                       struct plinth_error *error) {
    (void)reader, (void)record, (void)found;
    return error_set(error, PLINTH_IO_ERROR, "the disk is on strike");
}

static void fail_once(struct log_reader *reader, struct log_reader_ops *ops) {
    *ops = (struct log_reader_ops){fail_to_read, reader->ops->close};
    reader->ops = ops;
}

/* The rows of items up to the end of a change. */
static uint32_t count_rows(struct fixture *f, struct feed *feed, unsigned *items) {
    struct feed_item item = {0};
    enum feed_found found;
    uint32_t rows = 0;
    for (*items = 0; !item.last; ++*items) {
        assert_ok(feed_next(feed, &item, &found, &f->error), &f->error);
        assert_int_equal(found, FEED_ITEM);
        if (item.rows) rows += item.rows->batch->rows;
    }
    return rows;
}

/* What a failed call was about to give comes again. */
static void a_call_that_fails_loses_no_change(void **state) {
    struct fixture *f = *state;
    struct test_random random = test_random_of(5);
    struct log_reader_ops ops, part_ops;
    struct feed *feed;
    struct feed_item item;
    enum feed_found found;
    unsigned items, again;
    test_table_create(f->db, "birds", columns, "name", false);
    assert_ok(feed_open(f->db, &(struct feed_options){.with_previous = true}, &feed, &f->error), &f->error);
    struct plinth_position first = set(f, "a", "1");
    set(f, "a", "2");
    for (int i = 0; i < 5; i++) write_rows(f, &random, true);
    fail_once(feed->reader, &ops);
    assert_status(feed_next(feed, &item, &found, &f->error), PLINTH_IO_ERROR, &f->error);
    assert_ok(feed_next(feed, &item, &found, &f->error), &f->error);
    assert_int_equal(found, FEED_ITEM);
    assert_int_equal(item.position.lsn, first.lsn);
    assert_false(item.operations[0].existed);
    assert_ok(feed_next(feed, &item, &found, &f->error), &f->error);
    assert_true(found == FEED_ITEM && item.operations[0].existed);
    assert_memory_equal(item.operations[0].previous.data, "1", 1);
    bool in_parts = false;
    for (int i = 0; i < 5; i++) { /* within a write of several records */
        struct plinth_position before = feed_position(feed);
        assert_ok(feed_next(feed, &item, &found, &f->error), &f->error);
        if (item.last) continue;
        in_parts = true;
        uint64_t last_lsn = item.position.lsn;
        assert_true(feed_position(feed).lsn < last_lsn);
        fail_once(feed->part_reader, &part_ops);
        while (feed_next(feed, &item, &found, &f->error) == PLINTH_OK) assert_false(item.last);
        assert_int_equal(f->error.status, PLINTH_IO_ERROR);
        struct plinth_position inside = engine_position(f->db, atomic_load(&feed->lsn));
        assert_true(inside.lsn < last_lsn && feed_position(feed).lsn < inside.lsn);
        uint32_t rows = count_rows(f, feed, &items);
        assert_int_equal(feed_position(feed).lsn, last_lsn);
        const struct plinth_position starts[] = {before, inside};
        for (int s = 0; s < 2; s++) { /* from before its first part, and from inside of it */
            struct feed *other;
            assert_ok(feed_open(f->db, &(struct feed_options){.after = starts[s]}, &other, &f->error), &f->error);
            assert_int_equal(count_rows(f, other, &again), rows);
            feed_close(other);
        }
    }
    assert_true(in_parts);
    assert_ok(feed_next(feed, &item, &found, &f->error), &f->error);
    assert_int_equal(found, FEED_NOTHING);
    feed_close(feed);
}

/* ---- rows: what was there before, and conditions ---- */

/* The next change is of rows of "birds" that read like this; `previous` null: they are not told. */
static void check_rows(struct fixture *f, struct plinth_feed *feed, bool deleted, const char *rows,
                       const char *previous) {
    struct plinth_change change;
    bool found;
    assert_ok(plinth_feed_next(feed, 0, &change, &found, &f->error), &f->error);
    assert_true(found);
    assert_int_equal(change.rows_count, 1);
    assert_string_equal(change.rows[0].table, "birds");
    assert_int_equal(change.rows[0].deleted, deleted);
    char *text = text_of_array(change.rows[0].schema, change.rows[0].array);
    assert_string_equal(text, rows);
    free(text);
    assert_int_equal(change.rows[0].previous != NULL, previous != NULL);
    if (!previous) return;
    text = text_of_array(change.rows[0].previous_schema, change.rows[0].previous);
    assert_string_equal(text, previous);
    free(text);
}

static void check_no_more(struct fixture *f, struct plinth_feed *feed) {
    struct plinth_change change;
    bool found;
    assert_ok(plinth_feed_next(feed, 0, &change, &found, &f->error), &f->error);
    assert_false(found);
}

static void write_birds(struct fixture *f, enum rows_operation operation, const char *text) {
    struct rows_result result;
    const char *given = operation == ROWS_DELETE ? "name string" : columns;
    assert_ok(test_rows_write(f->db, "birds", operation, given, text, NULL, &result, &f->error), &f->error);
    rows_result_deinit(&result);
}

static void rows_come_with_what_was_there_before(void **state) {
    struct fixture *f = *state;
    test_table_create(f->db, "birds", columns, "name", false);
    write_birds(f, ROWS_UPSERT, "emu,2,x;owl,2,-");
    struct plinth_feed_options options = {.table = "birds", .with_previous = true};
    struct plinth_feed *feed = open_feed(f, &options);
    struct plinth_feed *plain = open_feed(f, &(struct plinth_feed_options){0});
    write_birds(f, ROWS_UPSERT, "auk,1,-;owl,3,y");
    assert_ok(plinth_compact(f->db, &f->error), &f->error);
    write_birds(f, ROWS_DELETE, "emu;owl;roc");
    write_birds(f, ROWS_UPSERT, "owl,4,-");
    assert_ok(plinth_compact(f->db, &f->error), &f->error);
    assert_ok(plinth_compact(f->db, &f->error), &f->error);
    check_rows(f, feed, false, "auk,1,-;owl,3,y", "-,-,-;owl,2,-");
    check_rows(f, feed, true, "emu;owl;roc", "emu,2,x;owl,3,y;-,-,-");
    check_rows(f, feed, false, "owl,4,-", "-,-,-");
    check_no_more(f, feed);
    check_rows(f, plain, false, "auk,1,-;owl,3,y", NULL);
    plinth_feed_close(plain);
    plinth_feed_close(feed);
}

static void a_condition_chooses_among_rows_and_deletes(void **state) {
    struct fixture *f = *state;
    test_table_create(f->db, "birds", columns, "name", false);
    struct plinth_position before = set(f, "a", "1");
    write_birds(f, ROWS_UPSERT, "auk,1,-;emu,5,-;owl,9,-");
    write_birds(f, ROWS_UPSERT, "emu,9,-;owl,1,-"); /* one leaves, one comes */
    write_birds(f, ROWS_DELETE, "auk;emu;zoo");
    struct plinth_feed_options options = {.after = before, .table = "birds", .where = "n < 6"};
    struct plinth_feed *feed = open_feed(f, &options);
    check_rows(f, feed, false, "auk,1,-;emu,5,-", NULL);
    check_rows(f, feed, false, "owl,1,-", NULL);
    check_rows(f, feed, true, "auk;emu;zoo", NULL); /* nobody can say */
    check_no_more(f, feed);
    plinth_feed_close(feed);
    options.with_previous = true;
    feed = open_feed(f, &options);
    check_rows(f, feed, false, "auk,1,-;emu,5,-", "-,-,-;-,-,-");
    check_rows(f, feed, false, "emu,9,-;owl,1,-", "emu,5,-;owl,9,-");
    check_rows(f, feed, true, "auk", "auk,1,-");
    check_no_more(f, feed);
    plinth_feed_close(feed);
    options.with_previous = false;
    options.where = "name < 'b' AND n < 6 AND note IS NULL";
    feed = open_feed(f, &options);
    check_rows(f, feed, false, "auk,1,-", NULL);
    check_rows(f, feed, true, "auk", NULL); /* the key rules the others out */
    check_no_more(f, feed);
    plinth_feed_close(feed);
    options.where = "name < 'b' OR NOT note IS NULL";
    feed = open_feed(f, &options);
    check_rows(f, feed, false, "auk,1,-", NULL);
    check_rows(f, feed, true, "auk;emu;zoo", NULL);
    check_no_more(f, feed);
    plinth_feed_close(feed);
    /* a null makes it unknown, which is not true */
    options.where = "note <> 'x'";
    feed = open_feed(f, &options);
    check_rows(f, feed, true, "auk;emu;zoo", NULL);
    plinth_feed_close(feed);
    options.where = "legs > 3";
    assert_status(plinth_feed_open(f->db, &options, &feed, &f->error), PLINTH_INVALID_ARGUMENT, &f->error);
    assert_error_names(&f->error, "legs");
    options = (struct plinth_feed_options){.where = "n < 6"};
    assert_status(plinth_feed_open(f->db, &options, &feed, &f->error), PLINTH_INVALID_ARGUMENT, &f->error);
    assert_error_names(&f->error, "tables");
}

static void a_condition_on_keys_is_one_on_their_bytes(void **state) {
    struct fixture *f = *state;
    struct plinth_feed_options options = {.table = "default", .where = "value = 'old' AND key <> 'c'"};
    struct plinth_feed *plain = open_feed(f, &options);
    options.with_previous = true;
    struct plinth_feed *feed = open_feed(f, &options);
    set(f, "a", "old");
    set(f, "a", "new");
    set(f, "b", "new");
    set(f, "c", "old");
    assert_ok(plinth_delete(f->db, f->space, plinth_text("b"), NULL, NULL, &f->error), &f->error);
    assert_ok(plinth_delete(f->db, f->space, plinth_text("c"), NULL, NULL, &f->error), &f->error);
    struct plinth_change change;
    bool found;
    static const char *const with_previous[] = {"a", "a"}, *const without[] = {"a", "b"};
    for (int i = 0; i < 2; i++) {
        assert_ok(plinth_feed_next(feed, 0, &change, &found, &f->error), &f->error);
        assert_true(found);
        assert_memory_equal(change.operations[0].operation.key.data, with_previous[i], 1);
        assert_ok(plinth_feed_next(plain, 0, &change, &found, &f->error), &f->error);
        assert_true(found);
        assert_memory_equal(change.operations[0].operation.key.data, without[i], 1);
        assert_string_equal(change.operations[0].table, "default");
    }
    check_no_more(f, feed);
    check_no_more(f, plain);
    plinth_feed_close(feed);
    plinth_feed_close(plain);
}

static void a_feed_ends_where_it_is_told_to(void **state) {
    struct fixture *f = *state;
    struct plinth_position first = set(f, "a", "1");
    struct plinth_position second = set(f, "a", "2");
    set(f, "a", "3");
    struct plinth_feed_options options = {.after = first, .until_now = true};
    struct plinth_feed *now = open_feed(f, &options);
    options = (struct plinth_feed_options){.after = first, .until = second};
    struct plinth_feed *until = open_feed(f, &options);
    set(f, "a", "4");
    assert_int_equal(drain(f, now), 2);
    struct plinth_change change;
    bool found;
    assert_ok(plinth_feed_next(now, 60000, &change, &found, &f->error), &f->error); /* at once */
    assert_false(found);
    assert_int_equal(drain(f, until), 1);
    assert_int_equal(plinth_feed_position(until).lsn, second.lsn);
    plinth_feed_close(now);
    plinth_feed_close(until);
    options = (struct plinth_feed_options){.after = first, .snapshot_name = "x"};
    assert_status(plinth_feed_open(f->db, &options, &now, &f->error), PLINTH_INVALID_ARGUMENT, &f->error);
    options = (struct plinth_feed_options){.as_of_time_us = 1};
    assert_status(plinth_feed_open(f->db, &options, &now, &f->error), PLINTH_TOO_OLD, &f->error);
}

static void before_the_first_record_there_was_nothing(void **state) {
    struct fixture *f = *state;
    struct plinth_position beginning = {1, 0};
    set(f, "a", "1");
    set(f, "a", "2");
    struct plinth_feed_options options = {.after = beginning, .with_previous = true};
    struct plinth_feed *feed = open_feed(f, &options);
    assert_ok(plinth_compact(f->db, &f->error), &f->error);
    struct plinth_change change;
    bool found;
    for (int i = 0; i < 2; i++) {
        assert_ok(plinth_feed_next(feed, 0, &change, &found, &f->error), &f->error);
        assert_true(found);
        assert_int_equal(change.operations[0].existed, i);
    }
    plinth_feed_close(feed);
    (void)engine_take_horizon(f->db); /* as a merge does */
    assert_status(plinth_feed_open(f->db, &options, &feed, &f->error), PLINTH_TOO_OLD, &f->error);
    assert_error_names(&f->error, "what was there before");
}

/* ---- beside writers ---- */

enum { WRITERS = 3, NUMBERS = 400, BIRDS = 8 };

struct writer {
    struct fixture *f;
    unsigned number;
    pthread_t thread;
};

/* Writer w sets key "w/<i mod 8>" and row "bird<w>" to i, in turn. */
static void *write_numbers(void *argument) {
    struct writer *writer = argument;
    struct plinth_error error;
    struct plinth_write_options options = {.durability = PLINTH_DURABILITY_WRITTEN};
    for (unsigned i = 0; i < NUMBERS; i++) {
        char key[32], value[32], text[64];
        snprintf(key, sizeof key, "%u/%u", writer->number, i % BIRDS);
        snprintf(value, sizeof value, "%u", i);
        assert_ok(
            plinth_set(writer->f->db, writer->f->space, plinth_text(key), plinth_text(value), &options, NULL, &error),
            &error);
        struct rows_result result;
        snprintf(text, sizeof text, "bird%u,%u,-", writer->number, i);
        if (i % 16 == 0) {
            assert_ok(test_rows_write(writer->f->db, "birds", ROWS_UPSERT, columns, text, &options, &result, &error),
                      &error);
            rows_result_deinit(&result);
        }
        if (i % 100 == 50 && !writer->number) assert_ok(plinth_compact(writer->f->db, &error), &error);
    }
    return NULL;
}

struct follower {
    struct fixture *f;
    bool with_previous;
    struct plinth_feed *feed;
    unsigned keys, rows;
    pthread_t thread;
};

/* Each writer's numbers come in order, each once, and what was there before is the number before. */
static void *follow(void *argument) {
    struct follower *follower = argument;
    struct plinth_error error;
    struct plinth_change change;
    unsigned next[WRITERS] = {0};
    while (follower->keys < WRITERS * NUMBERS || follower->rows < WRITERS * NUMBERS / 16) {
        bool found;
        assert_ok(plinth_feed_next(follower->feed, 60000, &change, &found, &error), &error);
        assert_true(found);
        follower->rows += (unsigned)change.rows_count;
        for (size_t i = 0; i < change.operation_count; i++, follower->keys++) {
            const struct plinth_feed_operation *fed = &change.operations[i];
            unsigned writer = *(const uint8_t *)fed->operation.key.data - '0';
            char value[32];
            snprintf(value, sizeof value, "%u", next[writer]);
            assert_int_equal(fed->operation.value.size, strlen(value));
            assert_memory_equal(fed->operation.value.data, value, strlen(value));
            if (follower->with_previous) {
                assert_int_equal(fed->existed, next[writer] >= BIRDS);
                if (fed->existed) snprintf(value, sizeof value, "%u", next[writer] - BIRDS);
                if (fed->existed) assert_memory_equal(fed->previous.data, value, strlen(value));
            }
            next[writer]++;
        }
    }
    return NULL;
}

static void feeds_follow_writers_beside_merges(void **state) {
    struct fixture *f = *state;
    struct writer writers[WRITERS];
    struct follower followers[4];
    test_table_create(f->db, "birds", columns, "name", false);
    for (int i = 0; i < 4; i++) {
        followers[i] = (struct follower){.f = f, .with_previous = i % 2};
        struct plinth_feed_options options = {.with_previous = i % 2};
        followers[i].feed = open_feed(f, &options);
        assert_ok(thread_start(&followers[i].thread, "follower", follow, &followers[i], &f->error), &f->error);
    }
    for (unsigned i = 0; i < WRITERS; i++) {
        writers[i] = (struct writer){.f = f, .number = i};
        assert_ok(thread_start(&writers[i].thread, "writer", write_numbers, &writers[i], &f->error), &f->error);
    }
    for (unsigned i = 0; i < WRITERS; i++) pthread_join(writers[i].thread, NULL);
    for (int i = 0; i < 4; i++) {
        pthread_join(followers[i].thread, NULL);
        assert_int_equal(followers[i].keys, WRITERS * NUMBERS);
        plinth_feed_close(followers[i].feed);
    }
}

/* What is visible right after a crash lies between two epochs; its position is one that can be gone on behind. */
static void a_position_between_epochs_is_the_end_of_the_first(void **state) {
    struct fixture *f = *state;
    struct log_epoch made[] = {{.number = 1, .base = 1, .last = 10},
                               {.number = 2, .base = 500, .last = 499}, /* nothing of it was left */
                               {.number = 3, .base = 1000, .last = UINT64_MAX}};
    struct log_epoch *epochs = f->db->epochs;
    size_t epoch_count = f->db->epoch_count;
    f->db->epochs = made;
    f->db->epoch_count = 3;
    struct plinth_position between = engine_position(f->db, 999), first = engine_position(f->db, 7);
    enum plinth_status st = engine_check_position(f->db, between, &f->error);
    struct plinth_position second = engine_position(f->db, 1000);
    f->db->epochs = epochs;
    f->db->epoch_count = epoch_count;
    assert_ok(st, &f->error);
    assert_true(between.epoch == 1 && between.lsn == 10 && first.epoch == 1 && first.lsn == 7);
    assert_true(second.epoch == 3 && second.lsn == 1000);
}

/* Whoever adds a kind of record has to say whether feeds show it. */
static void every_kind_of_record_is_shown_or_listed_as_not_shown(void **state) {
    (void)state;
    static const enum change_kind shown[] = {CHANGE_WRITE, CHANGE_CONDITIONAL, CHANGE_ROWS, CHANGE_TRANSACTION};
    static const enum change_kind not_shown[] = {
        CHANGE_CATALOG,        CHANGE_CUT,
        CHANGE_JOB_BEGIN,      CHANGE_FLUSH_COMMIT,
        CHANGE_COMPACT_COMMIT, CHANGE_JOB_ABORT,
        CHANGE_FILES_GONE,     CHANGE_HOST,
        CHANGE_TICK,           CHANGE_FEATURE_LEVEL,
        CHANGE_WINDOW,         CHANGE_KEEP,
        CHANGE_HISTORY,        CHANGE_JOBS,
        CHANGE_RANGES_GONE,    CHANGE_INDEX_STEP,
        CHANGE_HOST_JOIN,      CHANGE_HOST_NEEDS,
        CHANGE_HOST_EXPEL, /* of hosts that share a log */
        CHANGE_VALUES_DROPPED, CHANGE_VALUES_GONE,
        CHANGE_MERGE_COMMIT,   CHANGE_TRANSACTION_PART, /* shown with the last one */
    };
    bool listed[256] = {false};
    for (size_t i = 0; i < sizeof shown / sizeof shown[0]; i++) {
        assert_true(feed_shows(shown[i]));
        listed[shown[i]] = true;
    }
    for (size_t i = 0; i < sizeof not_shown / sizeof not_shown[0]; i++) {
        assert_false(feed_shows(not_shown[i]));
        listed[not_shown[i]] = true;
    }
    const char *unknown = change_kind_name((enum change_kind)255);
    for (int kind = 1; kind < 256; kind++) {
        const char *name = change_kind_name((enum change_kind)kind);
        if (name && strcmp(name, unknown) != 0 && !listed[kind])
            fail_msg("kind %d (%s) is in neither list", kind, name);
    }
}

/* A small record that deletes many large values does not bring them all into memory at once. */
static void what_a_record_deleted_comes_in_stretches(void **state) {
    struct fixture *f = *state;
    enum { KEYS = 100, VALUE_BYTES = 200 << 10, STRETCH_BYTES = 4 << 20 };
    static char value[VALUE_BYTES];
    char names[KEYS][16];
    struct plinth_operation deletes[KEYS];
    /* Opened before there is anything that a flush or a merge could let go. */
    struct plinth_position after = set(f, "a", "before it"), last;
    struct plinth_feed *whole = open_feed(f, &(struct plinth_feed_options){.after = after, .with_previous = true});
    struct feed *feed;
    assert_ok(feed_open(f->db, &(struct feed_options){.after = after, .with_previous = true}, &feed, &f->error),
              &f->error);
    struct plinth_change change;
    bool found;
    for (int i = 0; i < KEYS; i++) {
        snprintf(names[i], sizeof names[i], "k%03d", i);
        memset(value, 'a' + i % 26, sizeof value);
        assert_ok(plinth_set(f->db, f->space, plinth_text(names[i]), plinth_bytes(value, sizeof value), NULL, &after,
                             &f->error),
                  &f->error);
        deletes[i] = (struct plinth_operation){.kind = PLINTH_DELETE, .space = f->space, .key = plinth_text(names[i])};
        assert_ok(plinth_feed_next(whole, 10000, &change, &found, &f->error), &f->error);
        assert_true(found);
    }
    while (feed_position(feed).lsn < after.lsn) {
        struct feed_item item;
        enum feed_found kind;
        assert_ok(feed_next(feed, &item, &kind, &f->error), &f->error);
        assert_int_not_equal(kind, FEED_END);
    }
    assert_ok(plinth_write(f->db, deletes, KEYS, NULL, &last, &f->error), &f->error);
    set(f, "z", "behind it");
    unsigned items = 0, keys = 0;
    for (bool done = false; !done;) {
        struct feed_item item;
        enum feed_found kind;
        size_t bytes = 0;
        assert_ok(feed_next(feed, &item, &kind, &f->error), &f->error);
        if (kind == FEED_MORE) continue;
        assert_int_equal(kind, FEED_ITEM);
        assert_int_equal(item.position.lsn, last.lsn);
        assert_int_equal(feed_position(feed).lsn == last.lsn, item.last);
        for (uint64_t i = 0; i < item.operation_count; i++, keys++) {
            assert_memory_equal(item.operations[i].operation.key.data, names[keys], 4);
            assert_int_equal(item.operations[i].previous.size, VALUE_BYTES);
            assert_int_equal(((const uint8_t *)item.operations[i].previous.data)[7], 'a' + keys % 26);
            bytes += item.operations[i].previous.size;
        }
        assert_true(bytes < STRETCH_BYTES + 2 * VALUE_BYTES);
        items++;
        done = item.last;
    }
    assert_int_equal(keys, KEYS);
    assert_true(items > 4);
    assert_int_equal(feed_position(feed).lsn, last.lsn);
    feed_close(feed);
    assert_ok(plinth_feed_next(whole, 1000, &change, &found, &f->error), &f->error); /* programs get it whole */
    assert_true(found);
    assert_int_equal(change.operation_count, KEYS);
    assert_int_equal(change.operations[KEYS - 1].previous.size, VALUE_BYTES);
    assert_ok(plinth_feed_next(whole, 1000, &change, &found, &f->error), &f->error);
    assert_true(found);
    assert_int_equal(change.operation_count, 1);
    plinth_feed_close(whole);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_feed_that_is_replayed_gives_the_same_state, setup, teardown),
        cmocka_unit_test_setup_teardown(what_was_there_before_is_what_a_replay_has, setup, teardown),
        cmocka_unit_test_setup_teardown(writes_that_did_nothing_are_left_out, setup, teardown),
        cmocka_unit_test_setup_teardown(a_feed_tells_what_was_there_before_and_only_what_is_asked_for, setup, teardown),
        cmocka_unit_test_setup_teardown(a_position_that_the_log_has_left_behind_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(a_snapshot_of_the_past_does_not_keep_a_log_whose_verdicts_are_gone, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_call_that_fails_loses_no_change, setup, teardown),
        cmocka_unit_test_setup_teardown(rows_come_with_what_was_there_before, setup, teardown),
        cmocka_unit_test_setup_teardown(a_condition_chooses_among_rows_and_deletes, setup, teardown),
        cmocka_unit_test_setup_teardown(a_condition_on_keys_is_one_on_their_bytes, setup, teardown),
        cmocka_unit_test_setup_teardown(a_feed_ends_where_it_is_told_to, setup, teardown),
        cmocka_unit_test_setup_teardown(before_the_first_record_there_was_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(feeds_follow_writers_beside_merges, setup, teardown),
        cmocka_unit_test_setup_teardown(a_position_between_epochs_is_the_end_of_the_first, setup, teardown),
        cmocka_unit_test(every_kind_of_record_is_shown_or_listed_as_not_shown),
        cmocka_unit_test_setup_teardown(what_a_record_deleted_comes_in_stretches, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
