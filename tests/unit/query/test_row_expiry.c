/* Rows that expire: whoever reads goes by the time of the state that is read, by every path the same, and what has
 * expired never comes back. On a simulated machine, whose clock the tests move. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "column/column_builder.h"
#include "engine/transaction.h"
#include "query/change_where.h"
#include "query/predicate_text.h"
#include "query/query.h"
#include "support/sim_env.h"
#include "support/test_support.h"
#include "table/expired_rows.h"

enum { IDS_MAX = 4000, VALUES = 8, SNAPSHOTS = 3, COLUMNS = 4, SECOND = 1000 * 1000, NO_TIME = -1 };

struct model_row {
    bool there;
    int64_t due; /* seconds since the test began; NO_TIME: null */
    int value;
};
struct model {
    struct model_row rows[IDS_MAX];
    int ids; /* above all */
};

struct fixture {
    struct sim_env *sim;
    struct plinth *db;
    struct plinth_error error;
    uint64_t base_us;
    int64_t after_s;
    bool background;
    struct model now;
};

static const struct plinth_column columns[COLUMNS] = {{.name = "id", .type = "int64"},
                                                      {.name = "due", .type = "timestamp(ms)", .nullable = true},
                                                      {.name = "value", .type = "int32"},
                                                      {.name = "note", .type = "string", .nullable = true}};

static void open_db(struct fixture *f) {
    const struct plinth_options options = {.memtable_bytes = 1 << 20,
                                           .cache_bytes = 4 << 20,
                                           .log_segment_bytes = 1 << 20,
                                           .no_background_compaction = !f->background,
                                           .durability = PLINTH_DURABILITY_BUFFERED,
                                           .read_durability = PLINTH_DURABILITY_BUFFERED};
    const struct engine_parts parts = {.env = sim_env_base(f->sim), .sizes = {.segment_raw_bytes_max = 4 << 10}};
    assert_ok(engine_open("/db", &options, &parts, &f->db, &f->error), &f->error);
}

static int setup(void **state) {
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    f->sim = sim_env_create(1);
    sim_env_set_wall_us(f->sim, UINT64_C(1700000000) * SECOND);
    open_db(f);
    f->base_us = engine_time_us(f->db) / SECOND * SECOND;
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

static void reopen(struct fixture *f) {
    plinth_close(f->db);
    open_db(f);
}
static void flush(struct fixture *f) { assert_ok(plinth_flush(f->db, &f->error), &f->error); }
static void compact(struct fixture *f) { assert_ok(plinth_compact(f->db, &f->error), &f->error); }
static void pass(struct fixture *f, double seconds) { sim_env_advance_us(f->sim, (uint64_t)(seconds * SECOND)); }
static int64_t now_s(struct fixture *f) { return (int64_t)((engine_time_us(f->db) - f->base_us) / SECOND); }

static void check_verify(struct fixture *f) {
    struct plinth_verify_result result;
    assert_ok(plinth_verify(f->db, NULL, NULL, &result, &f->error), &f->error);
    assert_int_equal(result.problems, 0);
}

/* ---- the table ---- */

static void create_table(struct fixture *f, bool keyless, const char *expire_by, int64_t after_s) {
    static const char *const key[] = {"id"};
    struct plinth_table_definition definition = {.columns = columns,
                                                 .column_count = COLUMNS,
                                                 .key = key,
                                                 .key_count = !keyless,
                                                 .page_rows = 16,
                                                 .expire_by = expire_by,
                                                 .expire_us = (uint64_t)after_s * SECOND};
    f->after_s = after_s;
    assert_ok(plinth_table_create(f->db, NULL, "t", &definition, &f->error), &f->error);
}

static void create_index(struct fixture *f, const char *name, enum plinth_index_kind kind, const char *column,
                         bool unique) {
    const struct plinth_index index = {
        .name = name, .kind = kind, .columns = &column, .column_count = 1, .unique = unique};
    assert_ok(plinth_table_index_create(f->db, NULL, "t", &index, &f->error), &f->error);
}

static void set_expiry(struct fixture *f, const char *column, int64_t after_s) {
    const struct plinth_alteration alteration = {.kind = PLINTH_SET_OPTIONS,
                                                 .options = PLINTH_OPTION_EXPIRY,
                                                 .expire_by = column,
                                                 .expire_us = (uint64_t)after_s * SECOND};
    assert_ok(plinth_table_alter(f->db, NULL, "t", &alteration, 1, &f->error), &f->error);
}

static const struct table_schema *schema_of(struct fixture *f) {
    const struct table_schema *schema;
    assert_ok(engine_find_schema(f->db, NULL, "t", &schema, &f->error), &f->error);
    return schema;
}

/* Rows to be written together. */
struct rows {
    struct arrow_field fields[COLUMNS];
    struct arrow_schema schema;
    struct column_builder builders[COLUMNS];
    struct batch *batch;
};

static void rows_begin(struct rows *rows) {
    for (int i = 0; i < COLUMNS; i++) {
        rows->fields[i] = (struct arrow_field){columns[i].name, {0}, true};
        assert_ok(column_type_parse(slice_of_string(columns[i].type), &rows->fields[i].type, NULL), NULL);
        assert_true(column_builder_init(&rows->builders[i], rows->fields[i].type));
    }
}

static void rows_add(const struct fixture *f, struct rows *rows, int id, int64_t due, int value) {
    bool ok = column_builder_integer(&rows->builders[0], id);
    ok = ok && (due == NO_TIME ? column_builder_null(&rows->builders[1])
                               : column_builder_integer(&rows->builders[1], (int64_t)(f->base_us / 1000) + due * 1000));
    ok = ok && column_builder_integer(&rows->builders[2], value) &&
         column_builder_bytes_value(&rows->builders[3], slice_of_string("a note that takes some room in the segments"));
    assert_true(ok);
}

/* Of the first `count` columns. */
static void rows_end(struct rows *rows, uint32_t count) {
    rows->schema = (struct arrow_schema){rows->fields, count};
    rows->batch = column_builders_finish(rows->builders, count);
    assert_non_null(rows->batch);
    for (int i = 0; i < COLUMNS; i++) column_builder_deinit(&rows->builders[i]);
}

/* Gives how many were rejected. */
static uint64_t rows_submit_all(struct fixture *f, struct rows *rows, enum rows_operation operation, bool if_absent) {
    rows_end(rows, operation == ROWS_DELETE ? 1 : COLUMNS);
    struct rows_write write = {
        .operation = operation, .schema = &rows->schema, .batch = rows->batch, .if_absent = if_absent};
    struct rows_result result = {0};
    const struct table_schema *schema = schema_of(f);
    assert_ok(rows_submit(f->db, schema->id, &write, NULL, &result, &f->error), &f->error);
    assert_ok(rows_wait(f->db, NULL, &result, &f->error), &f->error);
    uint64_t rejected = result.rows_rejected;
    rows_result_deinit(&result);
    table_schema_unref(schema);
    batch_unref(rows->batch);
    return rejected;
}

static bool put(struct fixture *f, int id, int64_t due, int value, bool if_absent) {
    struct rows rows;
    rows_begin(&rows);
    rows_add(f, &rows, id, due, value);
    return rows_submit_all(f, &rows, ROWS_UPSERT, if_absent) == 0;
}

static void upsert(struct fixture *f, int id, int64_t due, int value) {
    assert_true(put(f, id, due, value, false));
    f->now.rows[id] = (struct model_row){true, due, value};
    if (id >= f->now.ids) f->now.ids = id + 1;
}

/* ---- reading ---- */

/* The ids that a query gives, as a text "1 5 9". */
static char *ids_of(struct fixture *f, const char *where, const char *path, const struct plinth_read_options *read,
                    struct query_explain *explain) {
    const struct slice id = slice_of_string("id");
    struct query_options options = {.columns = &id, .column_count = 1, .ordered = true, .threads = 1};
    struct arena arena;
    struct query *query;
    struct buffer text = BUFFER_INIT;
    arena_init(&arena);
    if (read) options.read = *read;
    if (path) options.force_path = slice_of_string(path);
    if (where) assert_ok(predicate_parse(slice_of_string(where), &arena, &options.predicate, &f->error), &f->error);
    const struct table_schema *schema = schema_of(f);
    assert_ok(query_open(f->db, schema, &options, &query, &f->error), &f->error);
    for (;;) {
        struct batch *batch;
        char number[24];
        assert_ok(query_next(query, &batch, &f->error), &f->error);
        if (!batch) break;
        for (uint32_t i = 0; i < batch->rows; i++) {
            int length = snprintf(number, sizeof number, "%s%lld", text.size ? " " : "",
                                  (long long)((const int64_t *)batch->columns[0].values)[i]);
            assert_true(buffer_append(&text, number, (size_t)length));
        }
        batch_unref(batch);
    }
    if (explain) query_explain_read(query, explain);
    query_close(query);
    table_schema_unref(schema);
    arena_deinit(&arena);
    assert_true(buffer_append_u8(&text, 0));
    return (char *)text.data;
}

static void check_ids(struct fixture *f, const char *where, const char *path, const struct plinth_read_options *read,
                      const char *wanted) {
    char *got = ids_of(f, where, path, read, NULL);
    assert_string_equal(got, wanted);
    free(got);
}

static int64_t count_rows(struct fixture *f, const struct plinth_read_options *read) {
    const struct query_aggregate count = {.kind = AGGREGATE_COUNT};
    struct query_options options = {.aggregates = &count, .aggregate_count = 1, .threads = 1};
    struct query *query;
    struct batch *batch;
    if (read) options.read = *read;
    const struct table_schema *schema = schema_of(f);
    assert_ok(query_open(f->db, schema, &options, &query, &f->error), &f->error);
    assert_ok(query_next(query, &batch, &f->error), &f->error);
    assert_non_null(batch);
    int64_t counted = ((const int64_t *)batch->columns[0].values)[0];
    batch_unref(batch);
    query_close(query);
    table_schema_unref(schema);
    return counted;
}

static bool has_row(struct fixture *f, int id, const struct plinth_read_options *read) {
    const struct literal key = {.kind = LITERAL_INT, .integer = id};
    struct batch *batch;
    const struct table_schema *schema = schema_of(f);
    assert_ok(query_get_row(f->db, schema, &key, 1, NULL, 0, read, &batch, NULL, &f->error), &f->error);
    table_schema_unref(schema);
    bool there = batch != NULL;
    batch_unref(batch);
    return there;
}

/* Whether a transaction finds the row, as a look-up by key does. */
static bool transaction_has(struct fixture *f, struct plinth_transaction *transaction, int id) {
    struct rows rows;
    struct batch *batch;
    uint8_t found = 0;
    const uint32_t column = 1;
    rows_begin(&rows);
    rows_add(f, &rows, id, NO_TIME, 0);
    rows_end(&rows, 1);
    assert_ok(transaction_rows_look_up(transaction, NULL, "t", &rows.schema, rows.batch, &column, 1, &batch, &found,
                                       &f->error),
              &f->error);
    assert_int_equal(batch != NULL, found & 1);
    batch_unref(batch);
    batch_unref(rows.batch);
    return found & 1;
}

/* ---- the model ---- */

static bool is_there(const struct fixture *f, const struct model_row *row, uint64_t time_us) {
    return row->there && (row->due == NO_TIME || f->base_us + (uint64_t)(row->due + f->after_s) * SECOND > time_us);
}

/* As ids_of; value < 0: all. */
static char *model_ids(const struct fixture *f, const struct model *model, uint64_t time_us, int value) {
    struct buffer text = BUFFER_INIT;
    for (int i = 0; i < model->ids; i++) {
        char number[24];
        if (!is_there(f, &model->rows[i], time_us) || (value >= 0 && model->rows[i].value != value)) continue;
        int length = snprintf(number, sizeof number, "%s%d", text.size ? " " : "", i);
        assert_true(buffer_append(&text, number, (size_t)length));
    }
    assert_true(buffer_append_u8(&text, 0));
    return (char *)text.data;
}

static void check_state(struct fixture *f, struct test_random *random, const struct model *model,
                        const struct plinth_read_options *read, bool keyless) {
    uint64_t time_us = engine_read_time_us(f->db, read, 0);
    char where[64];
    int64_t there = 0;
    for (int i = 0; i < model->ids; i++) there += is_there(f, &model->rows[i], time_us);
    char *wanted = model_ids(f, model, time_us, -1);
    check_ids(f, NULL, NULL, read, wanted);
    check_ids(f, NULL, "scan", read, wanted);
    free(wanted);
    assert_int_equal(count_rows(f, read), there);
    int value = (int)test_random_below(random, VALUES);
    wanted = model_ids(f, model, time_us, value);
    snprintf(where, sizeof where, "value = %d", value);
    check_ids(f, where, "scan", read, wanted);
    check_ids(f, where, "by_value", read, wanted);
    check_ids(f, where, "value_bits", read, wanted);
    free(wanted);
    for (int i = 0; !keyless && i < 10; i++) {
        int id = (int)test_random_below(random, (uint64_t)model->ids + 1);
        assert_int_equal(has_row(f, id, read), is_there(f, &model->rows[id], time_us));
    }
}

static void random_write(struct fixture *f, struct test_random *random, bool keyless, int ids) {
    struct rows rows;
    uint64_t count = 1 + test_random_below(random, 20);
    bool deletes = !keyless && test_random_below(random, 6) == 0;
    if (keyless && f->now.ids + 20 > IDS_MAX) return;
    rows_begin(&rows);
    for (uint64_t i = 0; i < count; i++) {
        int id = keyless ? f->now.ids++ : (int)test_random_below(random, (uint64_t)ids);
        int64_t due = now_s(f) - f->after_s - 3 + (int64_t)test_random_below(random, 25);
        if (due < 0 || test_random_below(random, 8) == 0) due = NO_TIME;
        int value = (int)test_random_below(random, VALUES);
        assert_true(id < IDS_MAX);
        rows_add(f, &rows, id, due, value);
        f->now.rows[id] = (struct model_row){!deletes, due, value};
        if (id >= f->now.ids) f->now.ids = id + 1;
    }
    assert_int_equal(rows_submit_all(f, &rows, deletes ? ROWS_DELETE : ROWS_UPSERT, false), 0);
}

/* Rows of one value get another; so of those that have expired nothing comes back. */
static void random_update(struct fixture *f, struct test_random *random) {
    char where[64], to[16];
    int from = (int)test_random_below(random, VALUES), value = (int)test_random_below(random, VALUES);
    snprintf(where, sizeof where, "value = %d", from);
    snprintf(to, sizeof to, "%d", value);
    struct plinth_assignment set = {.column = "value", .value = to};
    struct plinth_where_result result;
    assert_ok(plinth_rows_update_where(f->db, NULL, "t", where, &set, 1, NULL, &result, &f->error), &f->error);
    /* The clock stands still: the update went by this time, too. */
    uint64_t time_us = engine_read_time_us(f->db, NULL, 0), rows = 0;
    for (int i = 0; i < f->now.ids; i++) {
        struct model_row *row = &f->now.rows[i];
        if (row->value != from || !is_there(f, row, time_us)) continue;
        row->value = value;
        rows++;
    }
    assert_int_equal(result.rows, rows);
}

static void run_model(struct fixture *f, bool keyless, int64_t after_s) {
    static const char *const names[SNAPSHOTS] = {"first", "second", "third"};
    uint64_t seed = getenv("PLINTH_SEED") ? strtoull(getenv("PLINTH_SEED"), NULL, 10) : 1;
    unsigned steps = getenv("PLINTH_STEPS") ? (unsigned)strtoul(getenv("PLINTH_STEPS"), NULL, 10) : 250;
    struct test_random random = test_random_of(seed * 8 + keyless);
    struct model *kept = calloc(SNAPSHOTS, sizeof *kept);
    bool is_kept[SNAPSHOTS] = {false};
    assert_non_null(kept);
    create_table(f, keyless, "due", after_s);
    create_index(f, "by_value", PLINTH_INDEX_SORTED, "value", false);
    create_index(f, "value_bits", PLINTH_INDEX_BITMAP, "value", false);
    for (unsigned step = 0; step < steps; step++) {
        random_write(f, &random, keyless, 150);
        if (test_random_below(&random, 3) == 0) pass(f, (double)test_random_below(&random, 3000) / 1000);
        uint64_t dice = test_random_below(&random, 40);
        if (dice < 5) flush(f);
        if (dice == 5 || dice == 6) compact(f);
        if (dice == 7) reopen(f);
        if (dice == 8 && !keyless) random_update(f, &random);
        uint64_t which = test_random_below(&random, SNAPSHOTS);
        if (dice == 9 && is_kept[which]) {
            assert_ok(plinth_snapshot_drop(f->db, names[which], &f->error), &f->error);
            is_kept[which] = false;
        } else if (dice == 9 || dice == 10) {
            if (is_kept[which]) assert_ok(plinth_snapshot_drop(f->db, names[which], &f->error), &f->error);
            assert_ok(plinth_snapshot_keep(f->db, names[which], NULL, false, NULL, &f->error), &f->error);
            is_kept[which] = true;
            kept[which] = f->now;
        }
        if (dice >= 11 && dice < 18) {
            struct plinth_snapshot *snapshot;
            assert_ok(plinth_snapshot_create(f->db, (struct plinth_position){0, 0}, &snapshot, &f->error), &f->error);
            const struct plinth_read_options now = {.snapshot = snapshot}, named = {.snapshot_name = names[which]};
            check_state(f, &random, &f->now, &now, keyless);
            plinth_snapshot_destroy(snapshot);
            if (is_kept[which]) check_state(f, &random, &kept[which], &named, keyless);
        }
    }
    for (int i = 0; i < SNAPSHOTS; i++) {
        const struct plinth_read_options named = {.snapshot_name = names[i]};
        if (is_kept[i]) check_state(f, &random, &kept[i], &named, keyless);
        if (is_kept[i]) assert_ok(plinth_snapshot_drop(f->db, names[i], &f->error), &f->error);
    }
    check_verify(f);
    flush(f);
    pass(f, 60); /* only what never expires is left */
    check_state(f, &random, &f->now, &(const struct plinth_read_options){0}, keyless);
    compact(f);
    check_state(f, &random, &f->now, &(const struct plinth_read_options){0}, keyless);
    check_verify(f);
    struct plinth_table_description description;
    assert_ok(plinth_table_describe(f->db, NULL, "t", &description, &f->error), &f->error);
    assert_int_equal(description.rows, count_rows(f, NULL));
    plinth_table_description_deinit(&description);
    free(kept);
}

static void rows_with_a_key_expire_as_the_model_says(void **state) { run_model(*state, false, 0); }
static void rows_expire_a_while_after_a_column_as_the_model_says(void **state) { run_model(*state, false, 5); }
static void rows_without_a_key_expire_as_the_model_says(void **state) { run_model(*state, true, 2); }

/* ---- traps ---- */

static void an_update_prolongs_or_shortens(void **state) {
    struct fixture *f = *state;
    create_table(f, false, "due", 0);
    upsert(f, 1, 10, 1);
    upsert(f, 2, 10, 1);
    flush(f);
    upsert(f, 1, 30, 1);
    upsert(f, 2, 5, 1);
    check_ids(f, NULL, NULL, NULL, "1 2");
    for (int way = 0; way < 3; way++) {
        if (way == 1) flush(f);
        if (way == 2) compact(f);
        if (way == 0) pass(f, 6);
        check_ids(f, NULL, NULL, NULL, "1");
        assert_false(has_row(f, 2, NULL));
    }
    pass(f, 5); /* the time of the older versions */
    check_ids(f, NULL, NULL, NULL, "1");
    upsert(f, 1, NO_TIME, 1);
    pass(f, 100);
    check_ids(f, NULL, NULL, NULL, "1");
}

static void a_row_without_a_time_stays(void **state) {
    struct fixture *f = *state;
    create_table(f, false, "due", 1);
    upsert(f, 1, NO_TIME, 1);
    upsert(f, 2, 0, 1);
    pass(f, 3600);
    check_ids(f, NULL, NULL, NULL, "1");
    flush(f);
    compact(f);
    check_ids(f, NULL, NULL, NULL, "1");
    assert_true(has_row(f, 1, NULL));
}

static void a_row_is_gone_at_its_time_and_not_before(void **state) {
    struct fixture *f = *state;
    create_table(f, false, "due", 3);
    upsert(f, 1, 4, 1);
    sim_env_advance_us(f->sim, f->base_us + 7 * SECOND - 1 - engine_time_us(f->db));
    upsert(f, 2, NO_TIME, 1); /* carries the time into the log */
    assert_int_equal(engine_read_time_us(f->db, NULL, 0), f->base_us + 7 * SECOND - 1);
    check_ids(f, NULL, NULL, NULL, "1 2");
    assert_true(has_row(f, 1, NULL));
    sim_env_advance_us(f->sim, 1);
    upsert(f, 3, NO_TIME, 1);
    check_ids(f, NULL, NULL, NULL, "2 3");
    assert_false(has_row(f, 1, NULL));
}

static void an_expired_version_hides_the_living_one_below(void **state) {
    struct fixture *f = *state;
    create_table(f, false, "due", 0);
    create_index(f, "by_value", PLINTH_INDEX_SORTED, "value", false);
    upsert(f, 1, NO_TIME, 7);
    upsert(f, 2, NO_TIME, 7);
    flush(f);
    compact(f);
    upsert(f, 1, 2, 7);
    flush(f);
    pass(f, 3);
    for (int way = 0; way < 3; way++) {
        if (way == 1) compact(f);
        if (way == 2) reopen(f);
        check_ids(f, NULL, NULL, NULL, "2");
        check_ids(f, "value = 7", "by_value", NULL, "2");
        check_ids(f, "id = 1", "key", NULL, "");
        assert_false(has_row(f, 1, NULL));
    }
    check_verify(f);
}

static void a_state_from_before_has_the_row(void **state) {
    struct fixture *f = *state;
    create_table(f, false, "due", 0);
    create_index(f, "by_value", PLINTH_INDEX_SORTED, "value", false);
    upsert(f, 1, 2, 3);
    upsert(f, 2, NO_TIME, 3);
    struct plinth_snapshot *snapshot;
    assert_ok(plinth_snapshot_create(f->db, (struct plinth_position){0, 0}, &snapshot, &f->error), &f->error);
    assert_ok(plinth_snapshot_keep(f->db, "kept", NULL, false, NULL, &f->error), &f->error);
    const struct plinth_read_options then = {.snapshot = snapshot}, named = {.snapshot_name = "kept"};
    pass(f, 3);
    flush(f);
    compact(f);
    check_ids(f, NULL, NULL, NULL, "2");
    check_ids(f, NULL, NULL, &then, "1 2");
    check_ids(f, "value = 3", "by_value", &then, "1 2");
    assert_true(has_row(f, 1, &then));
    plinth_snapshot_destroy(snapshot);
    reopen(f);
    compact(f);
    check_ids(f, NULL, NULL, &named, "1 2");
    assert_ok(plinth_snapshot_drop(f->db, "kept", &f->error), &f->error);
    compact(f);
    check_ids(f, NULL, NULL, NULL, "2");
    check_verify(f);
}

static void an_expired_row_does_not_block_a_unique_index(void **state) {
    struct fixture *f = *state;
    create_table(f, false, "due", 0);
    create_index(f, "one_value", PLINTH_INDEX_SORTED, "value", true);
    upsert(f, 1, 2, 5);
    flush(f);
    assert_false(put(f, 2, NO_TIME, 5, false));
    pass(f, 3);
    upsert(f, 2, NO_TIME, 5);
    check_ids(f, "value = 5", "one_value", NULL, "2");
    assert_false(put(f, 1, NO_TIME, 5, false));
    flush(f);
    compact(f);
    check_ids(f, "value = 5", "one_value", NULL, "2");
    check_verify(f);
}

/* An expired row of which the value is another one's now must not come back beside it. */
static void a_value_is_not_there_twice_when_rows_expire_later(void **state) {
    struct fixture *f = *state;
    create_table(f, false, "due", 1);
    create_index(f, "one_value", PLINTH_INDEX_SORTED, "value", true);
    upsert(f, 1, 2, 5);
    pass(f, 4);
    upsert(f, 2, NO_TIME, 5);
    for (int way = 0; way < 2; way++) {
        const struct plinth_alteration later = {.kind = PLINTH_SET_OPTIONS,
                                                .options = PLINTH_OPTION_EXPIRY,
                                                .expire_by = way ? "due" : NULL,
                                                .expire_us = way ? UINT64_C(1000) * SECOND : 0};
        assert_status(plinth_table_alter(f->db, NULL, "t", &later, 1, &f->error), PLINTH_INVALID_ARGUMENT, &f->error);
    }
    set_expiry(f, "due", 0);
    check_ids(f, "value = 5", NULL, NULL, "2");
    check_verify(f);
}

static void a_transaction_does_not_lose_because_a_row_expires(void **state) {
    struct fixture *f = *state;
    struct plinth_transaction *transaction;
    struct rows rows;
    create_table(f, false, "due", 0);
    upsert(f, 1, 2, 1);
    flush(f);
    assert_ok(plinth_transaction_begin(f->db, &transaction, &f->error), &f->error);
    assert_true(transaction_has(f, transaction, 1));
    pass(f, 3);
    assert_true(transaction_has(f, transaction, 1)); /* it goes by the time at which it began */
    assert_false(has_row(f, 1, NULL));
    rows_begin(&rows);
    rows_add(f, &rows, 9, NO_TIME, 1);
    rows_end(&rows, COLUMNS);
    const struct rows_write write = {.operation = ROWS_UPSERT, .schema = &rows.schema, .batch = rows.batch};
    assert_ok(transaction_rows_submit(transaction, NULL, "t", &write, &f->error), &f->error);
    assert_ok(plinth_transaction_commit(transaction, NULL, NULL, NULL, &f->error), &f->error);
    plinth_transaction_destroy(transaction);
    batch_unref(rows.batch);
    check_ids(f, NULL, NULL, NULL, "9");
    assert_ok(plinth_transaction_begin(f->db, &transaction, &f->error), &f->error);
    assert_false(transaction_has(f, transaction, 1));
    assert_true(transaction_has(f, transaction, 9));
    plinth_transaction_destroy(transaction);
}

static void an_expired_row_counts_as_absent_for_writes(void **state) {
    struct fixture *f = *state;
    struct plinth_where_result result;
    const struct plinth_assignment prolong = {.column = "due", .value = NULL};
    create_table(f, false, "due", 0);
    upsert(f, 1, 2, 1);
    upsert(f, 2, 20, 1);
    assert_false(put(f, 1, NO_TIME, 2, true));
    pass(f, 3);
    assert_ok(plinth_rows_update_where(f->db, NULL, "t", NULL, &prolong, 1, NULL, &result, &f->error), &f->error);
    assert_int_equal(result.rows, 1);
    check_ids(f, NULL, NULL, NULL, "2");
    assert_true(put(f, 1, 5, 2, true));
    check_ids(f, NULL, NULL, NULL, "1 2");
    pass(f, 5);
    assert_ok(plinth_rows_delete_where(f->db, NULL, "t", NULL, NULL, &result, &f->error), &f->error);
    assert_int_equal(result.rows, 1);
    check_ids(f, NULL, NULL, NULL, "");
}

static void a_table_with_rows_begins_to_let_them_expire(void **state) {
    struct fixture *f = *state;
    struct plinth_stats stats;
    create_table(f, false, NULL, 0);
    for (int i = 0; i < 10; i++) upsert(f, i, i, 1);
    flush(f);
    plinth_stats_read(f->db, &stats);
    assert_true(stats.feature_level < CATALOG_FEATURE_LEVEL_EXPIRY);
    assert_ok(plinth_snapshot_keep(f->db, "before", NULL, false, NULL, &f->error), &f->error);
    const struct plinth_read_options before = {.snapshot_name = "before"};
    pass(f, 12);
    check_ids(f, NULL, NULL, NULL, "0 1 2 3 4 5 6 7 8 9");
    set_expiry(f, "due", 5);
    int64_t gone = now_s(f) - 5;
    assert_true(gone >= 6 && gone < 9);
    const char *left = gone == 6 ? "7 8 9" : gone == 7 ? "8 9" : "9";
    for (int way = 0; way < 4; way++) {
        if (way == 1) reopen(f);
        if (way == 2) compact(f);
        check_ids(f, NULL, NULL, NULL, left);
        assert_false(has_row(f, 3, NULL));
        check_ids(f, NULL, NULL, &before, "0 1 2 3 4 5 6 7 8 9"); /* where they do not expire */
        assert_true(has_row(f, 3, &before));
    }
    set_expiry(f, "", 0); /* nothing was merged away: the state of before needs it */
    check_ids(f, NULL, NULL, NULL, "0 1 2 3 4 5 6 7 8 9");
    set_expiry(f, "due", 5);
    assert_ok(plinth_snapshot_drop(f->db, "before", &f->error), &f->error);
    upsert(f, 20, NO_TIME, 1); /* a state behind the alteration */
    flush(f);
    compact(f);
    set_expiry(f, "", 0);
    char *lasting = ids_of(f, NULL, NULL, NULL, NULL);
    assert_string_not_equal(lasting, "0 1 2 3 4 5 6 7 8 9 20");
    free(lasting);
    check_verify(f);
}

static void room_comes_back_without_being_asked_for(void **state) {
    struct fixture *f = *state;
    f->background = true;
    reopen(f);
    create_table(f, false, "due", 10);
    create_index(f, "by_value", PLINTH_INDEX_SORTED, "value", false);
    for (int round = 0; round < 3; round++) {
        struct rows rows;
        rows_begin(&rows);
        for (int i = 0; i < 500; i++) rows_add(f, &rows, round * 500 + i, round * 20, i % VALUES);
        assert_int_equal(rows_submit_all(f, &rows, ROWS_UPSERT, false), 0);
        flush(f);
    }
    assert_int_equal(count_rows(f, NULL), 1500);
    struct plinth_table_description description = {0};
    pass(f, 40); /* of the first two rounds */
    for (int i = 0; i < 600; i++) {
        upsert(f, 2000, NO_TIME, 1);
        flush(f);
        plinth_table_description_deinit(&description);
        assert_ok(plinth_table_describe(f->db, NULL, "t", &description, &f->error), &f->error);
        if (description.rows <= 520) break;
        usleep(20000);
    }
    assert_true(description.rows <= 520);
    plinth_table_description_deinit(&description);
    assert_int_equal(count_rows(f, NULL), 501);
    check_verify(f);
}

/* Rows that come when their time is over, with it in their key: a merge makes them deletes that a state of before
 * holds, and must not find again and again that they have expired. */
static void late_rows_with_their_time_in_the_key_are_merged_once(void **state) {
    struct fixture *f = *state;
    static const char *const key[] = {"id", "due"};
    struct plinth_column with_time[COLUMNS];
    struct plinth_stats before, after;
    struct plinth_snapshot *snapshot;
    struct rows rows;
    memcpy(with_time, columns, sizeof with_time);
    with_time[1].nullable = false;
    const struct plinth_table_definition definition = {
        .columns = with_time, .column_count = COLUMNS, .key = key, .key_count = 2, .expire_by = "due"};
    f->background = true;
    reopen(f);
    assert_ok(plinth_table_create(f->db, NULL, "t", &definition, &f->error), &f->error);
    pass(f, 100);
    upsert(f, 1, 120, 1); /* the time goes into the log */
    assert_ok(plinth_snapshot_create(f->db, (struct plinth_position){0, 0}, &snapshot, &f->error), &f->error);
    rows_begin(&rows);
    for (int i = 0; i < 500; i++) rows_add(f, &rows, i, 1 + i % 50, 1);
    assert_int_equal(rows_submit_all(f, &rows, ROWS_UPSERT, false), 0);
    flush(f);
    compact(f);
    assert_int_equal(count_rows(f, NULL), 1);
    plinth_stats_read(f->db, &before);
    for (int i = 0; i < 20; i++) {
        upsert(f, 2000 + i, 120, 1);
        flush(f);
        usleep(20000);
    }
    plinth_stats_read(f->db, &after);
    assert_true(after.compactions - before.compactions <= 8); /* of what is written now */
    plinth_snapshot_destroy(snapshot);
    upsert(f, 1, 120, 1);
    flush(f);
    compact(f);
    assert_int_equal(count_rows(f, NULL), 21);
    check_verify(f);
}

static void scans_skip_what_has_expired_unread(void **state) {
    struct fixture *f = *state;
    struct rows rows;
    struct query_explain explain;
    create_table(f, false, "due", 0);
    rows_begin(&rows);
    for (int i = 0; i < 2000; i++) rows_add(f, &rows, i, i < 1900 ? 5 : 500, 1);
    assert_int_equal(rows_submit_all(f, &rows, ROWS_UPSERT, false), 0);
    flush(f);
    pass(f, 6);
    free(ids_of(f, NULL, NULL, NULL, &explain));
    assert_int_equal(count_rows(f, NULL), 100);
    assert_true(explain.rows_read < 200);
    assert_true(explain.stripes_skipped > 100);
    check_verify(f);
}

static void wrong_expiries_are_refused(void **state) {
    struct fixture *f = *state;
    static const char *const key[] = {"id"};
    struct plinth_table_definition definition = {
        .columns = columns, .column_count = COLUMNS, .key = key, .key_count = 1, .expire_by = "value"};
    assert_status(plinth_table_create(f->db, NULL, "t", &definition, &f->error), PLINTH_INVALID_ARGUMENT, &f->error);
    definition.expire_by = "none";
    assert_status(plinth_table_create(f->db, NULL, "t", &definition, &f->error), PLINTH_INVALID_ARGUMENT, &f->error);
    definition.expire_by = NULL;
    definition.expire_us = 1;
    assert_status(plinth_table_create(f->db, NULL, "t", &definition, &f->error), PLINTH_INVALID_ARGUMENT, &f->error);
    definition.expire_by = "due";
    definition.expire_us = UINT64_MAX;
    assert_status(plinth_table_create(f->db, NULL, "t", &definition, &f->error), PLINTH_INVALID_ARGUMENT, &f->error);
    create_table(f, false, "due", 0);
    const struct plinth_alteration drop = {.kind = PLINTH_DROP_COLUMN, .column = "due"};
    assert_status(plinth_table_alter(f->db, NULL, "t", &drop, 1, &f->error), PLINTH_INVALID_ARGUMENT, &f->error);
    const struct plinth_alteration never_then_drop[] = {{.kind = PLINTH_SET_OPTIONS, .options = PLINTH_OPTION_EXPIRY},
                                                        drop};
    assert_ok(plinth_table_alter(f->db, NULL, "t", never_then_drop, 2, &f->error), &f->error);
}

/* ---- the bound ---- */

static void the_bound_is_exact_in_every_unit(void **state) {
    static const char *const types[] = {"date", "timestamp(s)", "timestamp(ms)", "timestamp(us)", "timestamp(ns, utc)"};
    static const int64_t in_ns[] = {INT64_C(86400000000000), 1000000000, 1000000, 1000, 1};
    static const uint64_t times[] = {
        1, 999, 1000001, UINT64_C(1700000000123456), UINT64_C(1700006400000000), UINT64_C(4000000000000000)};
    static const uint64_t afters[] = {0, 1, 1000, 86400ull * 1000000, 36525ull * 86400 * 1000000};
    (void)state;
    for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
        struct column_type type;
        assert_ok(column_type_parse(slice_of_string(types[t]), &type, NULL), NULL);
        struct table_schema *schema =
            table_schema_create((struct table_id){1, 1, 9}, TABLE_ROWS, slice_of_string("t"), 1, 0);
        assert_true(schema && table_schema_add_column(schema, slice_of_string("c"), type, true));
        int64_t last;
        assert_false(expired_rows_last(schema, UINT64_MAX, &last));
        schema->expire_column = 1;
        assert_false(expired_rows_last(schema, 0, &last));
        for (size_t i = 0; i < sizeof times / sizeof *times; i++)
            for (size_t a = 0; a < sizeof afters / sizeof *afters; a++) {
                schema->expire_us = afters[a];
                assert_true(expired_rows_last(schema, times[i], &last));
                __int128 after_ns = (__int128)afters[a] * 1000, time_ns = (__int128)times[i] * 1000;
                assert_true((__int128)last * in_ns[t] + after_ns <= time_ns);
                assert_true(((__int128)last + 1) * in_ns[t] + after_ns > time_ns);
            }
        table_schema_unref(schema);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(rows_with_a_key_expire_as_the_model_says, setup, teardown),
        cmocka_unit_test_setup_teardown(rows_expire_a_while_after_a_column_as_the_model_says, setup, teardown),
        cmocka_unit_test_setup_teardown(rows_without_a_key_expire_as_the_model_says, setup, teardown),
        cmocka_unit_test_setup_teardown(an_update_prolongs_or_shortens, setup, teardown),
        cmocka_unit_test_setup_teardown(a_row_without_a_time_stays, setup, teardown),
        cmocka_unit_test_setup_teardown(a_row_is_gone_at_its_time_and_not_before, setup, teardown),
        cmocka_unit_test_setup_teardown(an_expired_version_hides_the_living_one_below, setup, teardown),
        cmocka_unit_test_setup_teardown(a_state_from_before_has_the_row, setup, teardown),
        cmocka_unit_test_setup_teardown(an_expired_row_does_not_block_a_unique_index, setup, teardown),
        cmocka_unit_test_setup_teardown(a_value_is_not_there_twice_when_rows_expire_later, setup, teardown),
        cmocka_unit_test_setup_teardown(a_transaction_does_not_lose_because_a_row_expires, setup, teardown),
        cmocka_unit_test_setup_teardown(an_expired_row_counts_as_absent_for_writes, setup, teardown),
        cmocka_unit_test_setup_teardown(a_table_with_rows_begins_to_let_them_expire, setup, teardown),
        cmocka_unit_test_setup_teardown(room_comes_back_without_being_asked_for, setup, teardown),
        cmocka_unit_test_setup_teardown(late_rows_with_their_time_in_the_key_are_merged_once, setup, teardown),
        cmocka_unit_test_setup_teardown(scans_skip_what_has_expired_unread, setup, teardown),
        cmocka_unit_test_setup_teardown(wrong_expiries_are_refused, setup, teardown),
        cmocka_unit_test(the_bound_is_exact_in_every_unit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
