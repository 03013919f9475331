/* Typed tables through flushes, merges and retention: whatever is in memory or in segments, a reader sees what a model
 * says, by scan, by key and by index. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/hash.h"
#include "column/column_builder.h"
#include "engine/compaction_take.h"
#include "engine/rows.h"
#include "support/sim_env.h"
#include "support/test_support.h"

enum { HOSTS = 8, SLOTS = 60, COLUMNS = 5 };
static const uint64_t HOUR_US = UINT64_C(3600) * 1000 * 1000;
static const int64_t START_US = INT64_C(1699999200000000); /* a whole hour */

/* One row of the table (host STRING, at TIMESTAMP(us), value INT64?, tag STRING?, flag BOOL?), key (host, at). */
struct cell {
    bool there;
    uint64_t value; /* value, tag and flag follow from it */
};

struct fixture {
    struct sim_env *sim;
    struct plinth *db;
    struct plinth_error error;
    struct cell cells[HOSTS][SLOTS];
    bool keyless;
    uint64_t arrived; /* rows of a table without key */
    struct table_id table;
};

static const struct plinth_options options = {
    .memtable_bytes = 8 << 20, .log_segment_bytes = 1 << 20, .no_background_compaction = true};

static void open_db(struct fixture *f) {
    struct engine_parts parts = {.env = sim_env_base(f->sim)};
    assert_ok(engine_open("/db", &options, &parts, &f->db, &f->error), &f->error);
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

static void reopen(struct fixture *f, bool orderly) {
    if (!orderly) sim_env_fail(f->sim, SIM_ANY, 0, PLINTH_IO_ERROR, true);
    plinth_close(f->db);
    sim_env_heal(f->sim);
    f->db = NULL;
    open_db(f);
}

/* ---- the table ---- */

static const struct plinth_column columns[COLUMNS] = {{.name = "host", .type = "string"},
                                                      {.name = "at", .type = "timestamp(us)"},
                                                      {.name = "value", .type = "int64", .nullable = true},
                                                      {.name = "tag", .type = "string", .nullable = true},
                                                      {.name = "flag", .type = "bool", .nullable = true}};
static const char *const key[] = {"host", "at"};

static void create_table(struct fixture *f, bool keyless, uint64_t partition_us, uint64_t retention_us, bool indexed) {
    struct plinth_table_definition definition = {.columns = columns,
                                                 .column_count = COLUMNS,
                                                 .key = key,
                                                 .key_count = keyless ? 0 : 2,
                                                 .partition_by = partition_us ? "at" : NULL,
                                                 .partition_us = partition_us,
                                                 .retention_us = retention_us,
                                                 .page_rows = 16};
    assert_ok(plinth_table_create(f->db, NULL, "t", &definition, &f->error), &f->error);
    const char *by_tag[] = {"tag", "flag"}, *by_value[] = {"value"};
    const struct plinth_index indexes[] = {
        {.name = "by_tag", .kind = PLINTH_INDEX_SORTED, .columns = by_tag, .column_count = 2},
        {.name = "by_value", .kind = PLINTH_INDEX_SORTED, .columns = by_value, .column_count = 1}};
    for (size_t i = 0; indexed && i < 2; i++)
        assert_ok(plinth_table_index_create(f->db, NULL, "t", &indexes[i], &f->error), &f->error);
    const struct table_schema *schema;
    assert_ok(engine_find_schema(f->db, NULL, "t", &schema, &f->error), &f->error);
    f->table = schema->id;
    f->keyless = keyless;
    table_schema_unref(schema);
}

static int64_t slot_us(uint32_t slot) { return START_US + (int64_t)slot * 7 * 60 * 1000 * 1000; }

static size_t tag_of(uint64_t value, char text[40]) {
    return (size_t)snprintf(text, 40, "tag %u", (unsigned)value % 7);
}

static void append_row(struct column_builder *builders, uint32_t host, uint32_t slot, uint64_t value) {
    char text[40];
    size_t size = (size_t)snprintf(text, sizeof text, "host%02u", host);
    bool ok = column_builder_bytes_value(&builders[0], slice_of(text, size)) &&
              column_builder_integer(&builders[1], slot_us(slot)) &&
              (value % 9 ? column_builder_integer(&builders[2], (int64_t)value) : column_builder_null(&builders[2])) &&
              (value % 5 ? column_builder_bytes_value(&builders[3], slice_of(text, tag_of(value, text)))
                         : column_builder_null(&builders[3])) &&
              column_builder_bool(&builders[4], value % 2);
    assert_true(ok);
}

struct rows_batch {
    struct column_builder builders[COLUMNS];
    struct arrow_field fields[COLUMNS];
    struct arrow_schema schema;
};

static void find_types(struct column_type types[COLUMNS]) {
    for (size_t i = 0; i < COLUMNS; i++) {
        struct plinth_error error;
        assert_ok(column_type_parse(slice_of_string(columns[i].type), &types[i], &error), &error);
    }
}

static void batch_init(struct rows_batch *batch, uint32_t column_count) {
    struct column_type types[COLUMNS];
    find_types(types);
    for (size_t i = 0; i < COLUMNS; i++) {
        assert_true(column_builder_init(&batch->builders[i], types[i]));
        batch->fields[i] = (struct arrow_field){columns[i].name, types[i], columns[i].nullable};
    }
    batch->schema = (struct arrow_schema){batch->fields, column_count};
}

static void batch_write(struct fixture *f, struct rows_batch *batch, enum rows_operation operation) {
    struct batch *made = column_builders_finish(batch->builders, batch->schema.field_count);
    assert_non_null(made);
    struct rows_write write = {.operation = operation, .schema = &batch->schema, .batch = made};
    struct rows_result result;
    assert_ok(rows_submit(f->db, f->table, &write, NULL, &result, &f->error), &f->error);
    assert_int_equal(result.rows_rejected, 0);
    assert_ok(rows_wait(f->db, NULL, &result, &f->error), &f->error);
    rows_result_deinit(&result);
    batch_unref(made);
    for (size_t i = 0; i < COLUMNS; i++) column_builder_deinit(&batch->builders[i]);
}

static void upsert(struct fixture *f, struct test_random *random, uint32_t rows) {
    struct rows_batch batch;
    batch_init(&batch, COLUMNS);
    for (uint32_t i = 0; i < rows; i++) {
        uint32_t host = (uint32_t)test_random_below(random, HOSTS), slot = (uint32_t)test_random_below(random, SLOTS);
        uint64_t value = test_random_below(random, 100000);
        append_row(batch.builders, host, slot, value);
        f->cells[host][slot] = (struct cell){true, value};
        f->arrived++;
    }
    batch_write(f, &batch, ROWS_UPSERT);
}

static void delete_rows(struct fixture *f, struct test_random *random, uint32_t rows) {
    struct rows_batch batch;
    batch_init(&batch, 2);
    for (uint32_t i = 0; i < rows; i++) {
        uint32_t host = (uint32_t)test_random_below(random, HOSTS), slot = (uint32_t)test_random_below(random, SLOTS);
        append_row(batch.builders, host, slot, 1);
        f->cells[host][slot].there = false;
    }
    batch_write(f, &batch, ROWS_DELETE);
}

/* ---- reading ---- */

struct reading {
    struct view *view;
    uint64_t lsn;
    const struct table_schema *schema;
    uint32_t ids[COLUMNS];
};

static void reading_begin(struct reading *reading, struct fixture *f, const struct plinth_read_options *as) {
    assert_ok(engine_begin_read(f->db, as, &reading->view, &reading->lsn, &f->error), &f->error);
    assert_ok(engine_schema_by_id(f->db, f->table.table, &reading->schema, &f->error), &f->error);
    for (uint32_t i = 0; i < COLUMNS; i++) reading->ids[i] = reading->schema->columns[i].id;
}

static void reading_end(struct reading *reading) {
    table_schema_unref(reading->schema);
    view_unref(reading->view);
}

static void assert_row(const struct column *const *row, uint32_t at, uint32_t host, uint32_t slot, uint64_t value) {
    char text[40];
    size_t size = (size_t)snprintf(text, sizeof text, "host%02u", host);
    assert_true(slice_equal(column_bytes_at(row[0], at), slice_of(text, size)));
    assert_int_equal(((const int64_t *)row[1]->values)[at], slot_us(slot));
    assert_int_equal(column_is_null(row[2], at), value % 9 == 0);
    if (value % 9) assert_int_equal(((const int64_t *)row[2]->values)[at], (int64_t)value);
    assert_int_equal(column_is_null(row[3], at), value % 5 == 0);
    if (value % 5) assert_true(slice_equal(column_bytes_at(row[3], at), slice_of(text, tag_of(value, text))));
    assert_int_equal(bitmap_get(row[4]->values, at), value % 2);
}

static struct block_stream *open_scan(struct fixture *f, const struct reading *reading, const struct block_read *read) {
    struct row_sources sources;
    assert_ok(view_row_sources(reading->view, f->table, &sources, &f->error), &f->error);
    size_t count = 0;
    struct block_stream *merged, **inputs = calloc(sources.block_count + sources.run_count + 1, sizeof *inputs);
    assert_non_null(inputs);
    for (size_t i = 0; i < sources.block_count; i++)
        assert_ok(row_block_stream_open(sources.blocks[i], read, &inputs[count++], &f->error), &f->error);
    for (size_t i = 0; i < sources.run_count; i++)
        assert_ok(run_block_stream_open(sources.runs[i].run, read, &inputs[count++], &f->error), &f->error);
    row_sources_deinit(&sources);
    struct block_merge_options snapshot = {.mode = MERGE_SNAPSHOT, .lsn = reading->lsn};
    assert_ok(block_merge_open(inputs, count, read, &snapshot, &merged, &f->error), &f->error);
    free(inputs);
    return merged;
}

/* All rows by a scan; returns how many there are. */
static uint64_t check_scan(struct fixture *f, const struct reading *reading) {
    struct block_read read = {
        .schema = reading->schema, .column_ids = reading->ids, .column_count = COLUMNS, .with_keys = true};
    struct block_stream *merged = open_scan(f, reading, &read);
    uint64_t rows = 0;
    uint32_t host = 0, slot = 0;
    for (;;) {
        struct row_block *block;
        assert_ok(block_stream_next(merged, &block, &f->error), &f->error);
        if (!block) break;
        const struct column *row[COLUMNS];
        for (uint32_t c = 0; c < COLUMNS; c++) row[c] = row_block_column(block, reading->ids[c]);
        for (uint32_t i = 0; i < block->rows && !f->keyless; i++) {
            while (!f->cells[host][slot].there) {
                slot = (slot + 1) % SLOTS;
                host += slot == 0;
                assert_true(host < HOSTS);
            }
            assert_row(row, i, host, slot, f->cells[host][slot].value);
            slot = (slot + 1) % SLOTS;
            host += slot == 0;
        }
        rows += block->rows;
        row_block_unref(block);
    }
    block_stream_close(merged);
    return rows;
}

static uint64_t model_rows(const struct fixture *f) {
    uint64_t rows = 0;
    for (size_t i = 0; i < HOSTS; i++)
        for (size_t j = 0; j < SLOTS; j++) rows += f->cells[i][j].there;
    return f->keyless ? f->arrived : rows;
}

/* Every cell by its key, in one look-up, and the columns of those found. */
static void check_keys(struct fixture *f, const struct reading *reading) {
    enum { CELLS = HOSTS * SLOTS };
    struct column_builder builders[COLUMNS];
    struct column_type types[COLUMNS];
    find_types(types);
    for (size_t i = 0; i < COLUMNS; i++) assert_true(column_builder_init(&builders[i], types[i]));
    for (uint32_t i = 0; i < CELLS; i++) append_row(builders, i / SLOTS, i % SLOTS, 1);
    struct batch *cells = column_builders_finish(builders, 2), *got;
    for (size_t i = 0; i < COLUMNS; i++) column_builder_deinit(&builders[i]);
    struct arena arena;
    arena_init(&arena);
    const struct column *parts[] = {&cells->columns[0], &cells->columns[1]};
    struct row_keys encoded;
    assert_true(row_keys_encode(&arena, parts, 2, ROW_KEY_PRIMARY, CELLS, &encoded));
    struct slice keys[CELLS];
    struct row_place found[CELLS], there[CELLS];
    uint32_t numbers[CELLS], count = 0;
    for (uint32_t i = 0; i < CELLS; i++) keys[i] = row_keys_at(&encoded, i);
    assert_ok(view_find_rows(reading->view, reading->schema, keys, CELLS, reading->lsn, found, &f->error), &f->error);
    for (uint32_t i = 0; i < CELLS; i++) {
        bool visible = found[i].lsn && found[i].operation == ROW_SET;
        assert_int_equal(visible, f->cells[i / SLOTS][i % SLOTS].there);
        if (!visible) continue;
        numbers[count] = i;
        there[count++] = found[i];
    }
    /* In some other order, too. */
    for (uint32_t i = 0; i + 1 < count; i += 3) {
        struct row_place place = there[i];
        uint32_t number = numbers[i];
        there[i] = there[i + 1];
        numbers[i] = numbers[i + 1];
        there[i + 1] = place;
        numbers[i + 1] = number;
    }
    assert_ok(row_places_read(there, count, reading->schema, reading->ids, COLUMNS, &got, &f->error), &f->error);
    const struct column *row[COLUMNS];
    for (uint32_t c = 0; c < COLUMNS; c++) row[c] = &got->columns[c];
    for (uint32_t i = 0; i < count; i++)
        assert_row(row, i, numbers[i] / SLOTS, numbers[i] % SLOTS,
                   f->cells[numbers[i] / SLOTS][numbers[i] % SLOTS].value);
    for (uint32_t i = 0; i < CELLS; i++) row_place_release(&found[i]);
    batch_unref(got);
    batch_unref(cells);
    arena_deinit(&arena);
}

/* The live entries of an index are those of the rows; returns how many entries there are, dead ones included. */
static uint64_t check_index(struct fixture *f, const struct reading *reading, const struct table_index *index,
                            uint64_t rows) {
    struct iterator *it;
    struct column_type types[ROW_KEY_PARTS_MAX];
    struct buffer last = BUFFER_INIT, wanted = BUFFER_INIT;
    uint64_t live = 0, entries = 0, last_lsn = 0;
    for (uint32_t i = 0; i < index->column_count; i++)
        types[i] = reading->schema->columns[table_schema_find_id(reading->schema, index->columns[i])].type;
    assert_ok(view_index_iterator(reading->view, reading->schema, index, &it, &f->error), &f->error);
    for (assert_ok(iterator_seek_first(it, &f->error), &f->error); it->valid;
         assert_ok(iterator_next(it, &f->error), &f->error)) {
        assert_true(!entries || row_order(buffer_slice(&last), last_lsn, it->row.key, it->row.lsn) < 0);
        buffer_clear(&last);
        assert_true(buffer_append(&last, it->row.key.data, it->row.key.size));
        last_lsn = it->row.lsn;
        entries++;
        struct reader reader = reader_of(it->row.key);
        assert_true(row_key_skip(&reader, types, index->column_count));
        struct slice row_key = slice_of(reader.at, reader_left(&reader));
        struct row_place place;
        assert_ok(view_find_rows(reading->view, reading->schema, &row_key, 1, reading->lsn, &place, &f->error),
                  &f->error);
        bool is_seen = it->row.lsn <= reading->lsn; /* a settled entry has a later LSN than its row */
        if (is_seen && place.lsn && place.lsn <= it->row.lsn && place.operation == ROW_SET) {
            struct batch *row;
            assert_ok(row_places_read(&place, 1, reading->schema, index->columns, index->column_count, &row, &f->error),
                      &f->error);
            const struct column *parts[ROW_KEY_PARTS_MAX];
            for (uint32_t i = 0; i < index->column_count; i++) parts[i] = &row->columns[i];
            buffer_clear(&wanted);
            assert_true(row_key_append(&wanted, parts, index->column_count, ROW_KEY_INDEX, 0));
            assert_true(buffer_append(&wanted, row_key.data, row_key.size));
            assert_true(slice_equal(buffer_slice(&wanted), it->row.key));
            batch_unref(row);
            live++;
        }
        row_place_release(&place);
    }
    assert_int_equal(live, rows);
    iterator_close(it);
    buffer_deinit(&last);
    buffer_deinit(&wanted);
    return entries;
}

static uint64_t check_all(struct fixture *f) {
    struct reading reading;
    uint64_t rows = model_rows(f), entries = 0;
    reading_begin(&reading, f, NULL);
    assert_int_equal(check_scan(f, &reading), rows);
    if (!f->keyless) check_keys(f, &reading);
    for (uint32_t i = 0; i < reading.schema->index_count; i++)
        entries = check_index(f, &reading, &reading.schema->indexes[i], rows);
    reading_end(&reading);
    return entries;
}

static void show_problem(void *context, const char *object, const char *problem) {
    (void)context;
    print_message("%s: %s\n", object, problem);
}

static void check_verify(struct fixture *f) {
    struct plinth_verify_result result;
    assert_ok(plinth_verify(f->db, show_problem, NULL, &result, &f->error), &f->error);
    assert_int_equal(result.problems, 0);
}

/* Runs of each partition are newest first and hold only rows of it. */
static uint64_t check_runs(struct fixture *f) {
    struct view *view = view_current(&f->db->views);
    const struct view_table *table = view_find_table(view, f->table);
    uint64_t partitions = 0;
    for (size_t r = 0; table && r < table->run_count; r++) {
        const struct view_run *run = &table->runs[r];
        partitions += !r || view_partition_end(table, r - 1) == r;
        if (r && view_partition_end(table, r - 1) != r) assert_true(run->id < table->runs[r - 1].id);
        for (size_t s = 0; s < run_segment_count(run->run); s++) {
            const struct segment_info *info = segment_info(run_segment(run->run, s));
            assert_true(info->is_rows);
            assert_int_equal(info->has_partition, run->has_partition);
            assert_int_equal(info->partition, run->partition);
        }
    }
    view_unref(view);
    return partitions;
}

/* ---- tests ---- */

#if defined(__SANITIZE_THREAD__)
enum { SEEDS = 2 };
#else
enum { SEEDS = 6 };
#endif

static void run_random(struct fixture *f, uint64_t seed, bool keyless, uint64_t partition_us, bool indexed) {
    printf("# seed %llu\n", (unsigned long long)seed);
    struct test_random random = test_random_of(seed);
    memset(f->cells, 0, sizeof f->cells);
    f->arrived = 0;
    create_table(f, keyless, partition_us, 0, indexed);
    for (int step = 0; step < 60; step++) {
        bool merged;
        switch (test_random_below(&random, 8)) {
        case 0: assert_ok(plinth_flush(f->db, &f->error), &f->error); break;
        case 1: assert_ok(engine_compact_one(f->db, &merged, &f->error), &f->error); break;
        case 2:
            if (test_random_below(&random, 4) == 0) assert_ok(plinth_compact(f->db, &f->error), &f->error);
            break;
        case 3:
            if (test_random_below(&random, 3) == 0) reopen(f, test_random_below(&random, 2));
            break;
        case 4:
            if (!keyless) delete_rows(f, &random, 1 + (uint32_t)test_random_below(&random, 30));
            break;
        default: upsert(f, &random, 1 + (uint32_t)test_random_below(&random, step % 5 ? 12 : 400));
        }
        if (step % 3 == 0) check_all(f);
        check_runs(f);
    }
    assert_ok(plinth_compact(f->db, &f->error), &f->error);
    uint64_t entries = check_all(f);
    if (indexed) assert_int_equal(entries, model_rows(f));
    check_verify(f);
    reopen(f, true);
    check_all(f);
    assert_ok(plinth_table_drop(f->db, NULL, "t", &f->error), &f->error);
}

static void tables_agree_with_the_model_through_flushes_and_merges(void **state) {
    for (uint64_t seed = 1; seed <= SEEDS; seed++) run_random(*state, seed, false, 0, seed % 2 == 0);
}

static void partitioned_tables_agree_with_the_model(void **state) {
    for (uint64_t seed = 11; seed < 11 + SEEDS; seed++) run_random(*state, seed, false, HOUR_US, seed % 2 == 0);
}

static void tables_without_a_key_agree_with_the_model(void **state) {
    for (uint64_t seed = 21; seed <= 20 + SEEDS && seed <= 24; seed++)
        run_random(*state, seed, true, seed % 2 ? HOUR_US : 0, seed > 22);
}

static void a_flush_makes_one_run_of_each_partition(void **state) {
    struct fixture *f = *state;
    struct test_random random = test_random_of(1);
    create_table(f, false, HOUR_US, 0, true);
    upsert(f, &random, 2000);
    assert_ok(plinth_flush(f->db, &f->error), &f->error);
    assert_int_equal(check_runs(f), 7); /* 60 slots of 7 minutes */
    upsert(f, &random, 2000);
    assert_ok(plinth_flush(f->db, &f->error), &f->error);
    assert_int_equal(check_runs(f), 7);
    check_all(f);
    assert_ok(plinth_compact(f->db, &f->error), &f->error);
    struct view *view = view_current(&f->db->views);
    assert_int_equal(view_find_table(view, f->table)->run_count, 7);
    view_unref(view);
    check_all(f);
}

static void more_partitions_than_may_be_open_are_written_in_turns(void **state) {
    struct fixture *f = *state;
    struct test_random random = test_random_of(1);
    create_table(f, false, 60 * 1000 * 1000, 0, true); /* a minute: each slot is one */
    for (int i = 0; i < 3; i++) {
        struct rows_batch batch;
        batch_init(&batch, COLUMNS);
        for (uint32_t slot = 0; slot < 150; slot++) append_row(batch.builders, 1, SLOTS + slot, slot);
        batch_write(f, &batch, ROWS_UPSERT);
        upsert(f, &random, 500);
        assert_ok(plinth_flush(f->db, &f->error), &f->error);
    }
    assert_int_equal(check_runs(f), SLOTS + 150);
    reopen(f, true);
    assert_int_equal(check_runs(f), SLOTS + 150);
    assert_ok(plinth_compact(f->db, &f->error), &f->error);
    check_verify(f);
}

static void deleted_rows_leave_nothing_behind(void **state) {
    struct fixture *f = *state;
    struct test_random random = test_random_of(1);
    create_table(f, false, 0, 0, true);
    upsert(f, &random, 400);
    assert_ok(plinth_flush(f->db, &f->error), &f->error);
    while (model_rows(f)) delete_rows(f, &random, 400);
    check_all(f);
    assert_ok(plinth_flush(f->db, &f->error), &f->error);
    check_all(f);
    assert_ok(plinth_compact(f->db, &f->error), &f->error);
    check_all(f);
    struct view *view = view_current(&f->db->views);
    for (size_t t = 0; t < view->table_count; t++) assert_int_equal(view->tables[t].run_count, 0);
    view_unref(view);
}

static void a_snapshot_keeps_what_it_sees_through_merges(void **state) {
    struct fixture *f = *state;
    struct test_random random = test_random_of(5);
    struct plinth_snapshot *snapshot;
    create_table(f, false, HOUR_US, 0, true);
    upsert(f, &random, 700);
    assert_ok(plinth_snapshot_create(f->db, (struct plinth_position){0, 0}, &snapshot, &f->error), &f->error);
    struct cell then[HOSTS][SLOTS], now[HOSTS][SLOTS];
    memcpy(then, f->cells, sizeof then);
    for (int i = 0; i < 4; i++) {
        upsert(f, &random, 300);
        delete_rows(f, &random, 100);
        assert_ok(plinth_compact(f->db, &f->error), &f->error);
        check_all(f);
        memcpy(now, f->cells, sizeof now);
        memcpy(f->cells, then, sizeof then);
        struct reading reading;
        reading_begin(&reading, f, &(struct plinth_read_options){.snapshot = snapshot});
        assert_int_equal(check_scan(f, &reading), model_rows(f));
        check_keys(f, &reading);
        for (uint32_t j = 0; j < reading.schema->index_count; j++)
            check_index(f, &reading, &reading.schema->indexes[j], model_rows(f));
        reading_end(&reading);
        memcpy(f->cells, now, sizeof now);
    }
    plinth_snapshot_destroy(snapshot);
    assert_ok(plinth_compact(f->db, &f->error), &f->error);
    check_all(f);
}

/* ---- merges that look up nothing, or everything ---- */

/* Merges runs [first, first + count) of a group, whatever the policy says. */
static void merge_runs(struct fixture *f, const struct group *of, size_t first, size_t count, bool purging) {
    struct view *view = view_current(&f->db->views);
    struct group group;
    struct plan *plan = plan_create(f->db, of->table->id, group_run(of), NULL, 0, "test");
    assert_non_null(plan);
    assert_true(group_find(view, plan, &group));
    struct merge merge;
    assert_ok(plan_make_merge(f->db, view, &group, group.begin + first, count, NULL, NULL, plan, &merge, &f->error),
              &f->error);
    merge.is_purging = purging;
    merge.horizon_lsn = engine_take_horizon(f->db);
    assert_ok(merge_run(&merge, &f->error), &f->error);
    merge_deinit(&merge);
    view_unref(view);
    pthread_mutex_lock(&f->db->compaction->mutex);
    plan_append(f->db->compaction, plan);
    plan_remove(f->db->compaction, plan);
    pthread_mutex_unlock(&f->db->compaction->mutex);
}

/* The same of the table itself, or of its first index. */
static void merge_table(struct fixture *f, bool index, size_t first, size_t count, bool purging) {
    struct view *view = view_current(&f->db->views);
    struct table_id id = f->table;
    id.table += index; /* made right after the table */
    const struct view_table *table = view_find_table(view, id);
    assert_non_null(table);
    struct group group = {table, 0, table->run_count};
    merge_runs(f, &group, first, count ? count : table->run_count, purging);
    view_unref(view);
}

static void put(struct fixture *f, uint32_t host, uint32_t first, uint32_t count, uint64_t value) {
    struct rows_batch batch;
    batch_init(&batch, COLUMNS);
    for (uint32_t slot = first; slot < first + count; slot++) {
        append_row(batch.builders, host, slot, value);
        f->cells[host][slot] = (struct cell){true, value};
    }
    batch_write(f, &batch, ROWS_UPSERT);
    assert_ok(plinth_flush(f->db, &f->error), &f->error);
}

static void remove_rows(struct fixture *f, uint32_t host, uint32_t first, uint32_t count) {
    struct rows_batch batch;
    batch_init(&batch, 2);
    for (uint32_t slot = first; slot < first + count; slot++) {
        append_row(batch.builders, host, slot, 1);
        f->cells[host][slot].there = false;
    }
    batch_write(f, &batch, ROWS_DELETE);
    assert_ok(plinth_flush(f->db, &f->error), &f->error);
}

/* Entries of the first index, dead ones included; a reader sees those of the rows. */
static uint64_t count_entries(struct fixture *f) {
    struct reading reading;
    check_all(f);
    reading_begin(&reading, f, NULL);
    uint64_t entries = check_index(f, &reading, &reading.schema->indexes[0], model_rows(f));
    reading_end(&reading);
    return entries;
}

/* Whether the newest run of the first index was settled: then all its entries have one LSN. */
static bool is_settled(struct fixture *f) {
    struct view *view = view_current(&f->db->views);
    struct table_id id = f->table;
    id.table++;
    const struct segment_info *info = segment_info(run_segment(view_find_table(view, id)->runs[0].run, 0));
    bool settled = info->lsn_min == info->lsn_max;
    view_unref(view);
    return settled;
}

static void rows_written_once_are_not_looked_up(void **state) {
    struct fixture *f = *state;
    create_table(f, false, 0, 0, true);
    for (uint32_t i = 0; i < 4; i++) put(f, i, 0, 40, i + 1);
    merge_table(f, true, 0, 3, false);
    assert_false(is_settled(f));
    merge_table(f, true, 0, 0, false); /* to the bottom */
    assert_false(is_settled(f));
    assert_int_equal(count_entries(f), 160);
    merge_table(f, false, 0, 0, false);
    merge_table(f, true, 0, 0, false); /* now the count tells that all are live */
    assert_true(is_settled(f));
    assert_int_equal(count_entries(f), 160);
    check_verify(f);
}

static void dead_entries_go_once_the_merged_rows_tell_of_them(void **state) {
    struct fixture *f = *state;
    create_table(f, false, 0, 0, true);
    for (uint64_t value = 1; value <= 4; value++) put(f, 1, 0, 40, value);
    merge_table(f, true, 0, 0, false);
    assert_int_equal(count_entries(f), 160); /* nothing tells yet that 120 are dead */
    merge_table(f, false, 0, 0, false);
    put(f, 2, 0, 1, 1);
    merge_table(f, true, 0, 0, false);
    assert_int_equal(count_entries(f), 41);
    check_verify(f);
}

static void merges_above_the_bottom_look_up_nothing(void **state) {
    struct fixture *f = *state;
    create_table(f, false, 0, 0, true);
    for (uint64_t value = 1; value <= 4; value++) put(f, 1, 0, 40, value);
    merge_table(f, false, 0, 0, false);
    merge_table(f, true, 0, 2, false);
    assert_int_equal(count_entries(f), 160);
    merge_table(f, true, 0, 2, true); /* but for the sake of dead ones they do */
    assert_int_equal(count_entries(f), 80);
}

static void entries_of_deleted_rows_go_once_the_rows_have_gone(void **state) {
    struct fixture *f = *state;
    create_table(f, false, 0, 0, true);
    put(f, 1, 0, 40, 1);
    remove_rows(f, 1, 0, 30);
    put(f, 2, 0, 10, 1);
    merge_table(f, true, 0, 0, false);
    assert_int_equal(count_entries(f), 50);
    merge_table(f, false, 0, 0, false);
    put(f, 2, 10, 1, 1);
    merge_table(f, true, 0, 0, false);
    assert_int_equal(count_entries(f), 21);
    remove_rows(f, 1, 30, 10);
    merge_table(f, false, 0, 0, false);
    put(f, 2, 11, 1, 1);
    merge_table(f, true, 0, 0, false);
    assert_int_equal(count_entries(f), 12);
    check_verify(f);
}

/* a, b, a: the first entry of a is hidden by the second, that of b is dead; and a row that was deleted comes back. */
static void entries_that_are_added_again_count_once(void **state) {
    struct fixture *f = *state;
    create_table(f, false, 0, 0, true);
    put(f, 1, 0, 40, 1);
    put(f, 1, 0, 40, 2);
    put(f, 1, 0, 40, 1);
    merge_table(f, true, 0, 2, false);
    assert_int_equal(count_entries(f), 120);
    merge_table(f, true, 0, 0, false);
    assert_int_equal(count_entries(f), 80);
    remove_rows(f, 1, 0, 40);
    merge_table(f, false, 0, 0, false); /* nothing is left of the rows, all of their entries */
    put(f, 1, 0, 40, 2);
    assert_int_equal(count_entries(f), 120);
    merge_table(f, true, 0, 0, false);
    assert_int_equal(count_entries(f), 40);
    check_verify(f);
}

static void a_snapshot_reads_entries_that_were_not_looked_up(void **state) {
    struct fixture *f = *state;
    struct plinth_snapshot *snapshot;
    create_table(f, false, 0, 0, true);
    put(f, 1, 0, 40, 1);
    put(f, 1, 0, 20, 2);
    assert_ok(plinth_snapshot_create(f->db, (struct plinth_position){0, 0}, &snapshot, &f->error), &f->error);
    struct cell then[HOSTS][SLOTS], now[HOSTS][SLOTS];
    memcpy(then, f->cells, sizeof then);
    put(f, 1, 0, 40, 3);
    remove_rows(f, 1, 30, 10);
    for (int round = 0; round < 3; round++) {
        if (round == 0) merge_table(f, true, 0, 2, false);
        if (round == 1) merge_table(f, false, 0, 0, false);
        if (round) merge_table(f, true, 0, 0, round == 2);
        check_all(f);
        memcpy(now, f->cells, sizeof now);
        memcpy(f->cells, then, sizeof then);
        struct reading reading;
        reading_begin(&reading, f, &(struct plinth_read_options){.snapshot = snapshot});
        assert_int_equal(check_scan(f, &reading), model_rows(f));
        for (uint32_t j = 0; j < reading.schema->index_count; j++)
            check_index(f, &reading, &reading.schema->indexes[j], model_rows(f));
        reading_end(&reading);
        memcpy(f->cells, now, sizeof now);
    }
    plinth_snapshot_destroy(snapshot);
    merge_table(f, false, 0, 0, false);
    merge_table(f, true, 0, 0, true);
    assert_int_equal(count_entries(f), 30);
    check_verify(f);
}

static void any_merges_of_neighbours_in_any_order_agree_with_the_model(void **state) {
    struct fixture *f = *state;
    for (uint64_t seed = 31; seed < 31 + SEEDS; seed++) {
        printf("# seed %llu\n", (unsigned long long)seed);
        struct test_random random = test_random_of(seed);
        memset(f->cells, 0, sizeof f->cells);
        create_table(f, false, seed % 3 ? 0 : HOUR_US, 0, true);
        for (int step = 0; step < 80; step++) {
            upsert(f, &random, 1 + (uint32_t)test_random_below(&random, 60));
            if (step % 3 == 0) delete_rows(f, &random, 1 + (uint32_t)test_random_below(&random, 40));
            assert_ok(plinth_flush(f->db, &f->error), &f->error);
            struct view *view = view_current(&f->db->views);
            struct group group = {0}, chosen = {0};
            for (uint64_t groups = 0; group_next(view, &group);)
                if (test_random_below(&random, ++groups) == 0) chosen = group;
            size_t count = chosen.end - chosen.begin, first = (size_t)test_random_below(&random, count);
            merge_runs(f, &chosen, first, 1 + (size_t)test_random_below(&random, count - first),
                       test_random_below(&random, 4) == 0);
            view_unref(view);
            if (step % 5 == 0) check_all(f);
        }
        check_verify(f);
        reopen(f, true);
        check_all(f);
        assert_ok(plinth_compact(f->db, &f->error), &f->error);
        assert_int_equal(check_all(f), model_rows(f));
        assert_ok(plinth_table_drop(f->db, NULL, "t", &f->error), &f->error);
    }
}

/* ---- retention ---- */

static void forget_slots_below(struct fixture *f, uint32_t slot) {
    for (size_t i = 0; i < HOSTS; i++)
        for (size_t j = 0; j < slot; j++) f->cells[i][j].there = false;
}

/* Now is START + 800 s; slots are 7 minutes apart. */
static void partitions_are_dropped_when_they_are_old_enough(void **state) {
    struct fixture *f = *state;
    struct test_random random = test_random_of(7);
    create_table(f, false, HOUR_US, 2 * HOUR_US, true);
    upsert(f, &random, 3000);
    assert_ok(plinth_compact(f->db, &f->error), &f->error);
    check_all(f);
    assert_false(engine_retention_is_due(f->db));
    /* The first hour (slots 0 to 8) ends at START + 1 h, and is kept for 2 h more. */
    sim_env_advance_us(f->sim, 3 * HOUR_US - 1000 * 1000 * 1000);
    assert_false(engine_retention_is_due(f->db));
    sim_env_advance_us(f->sim, 300 * 1000 * 1000);
    assert_true(engine_retention_is_due(f->db));
    struct plinth_snapshot *snapshot;
    assert_ok(plinth_snapshot_create(f->db, (struct plinth_position){0, 0}, &snapshot, &f->error), &f->error);
    bool merged;
    assert_ok(engine_compact_one(f->db, &merged, &f->error), &f->error);
    assert_false(merged);
    check_all(f);
    plinth_snapshot_destroy(snapshot);
    assert_ok(engine_compact_one(f->db, &merged, &f->error), &f->error);
    assert_true(merged);
    forget_slots_below(f, 9);
    check_all(f);
    assert_false(engine_retention_is_due(f->db));
    reopen(f, false);
    check_all(f);
    assert_int_equal(check_runs(f), 6);
    assert_ok(plinth_compact(f->db, &f->error), &f->error);
    assert_int_equal(check_all(f), model_rows(f)); /* their entries went with the merge of the index */
    sim_env_advance_us(f->sim, 20 * HOUR_US);
    assert_ok(plinth_compact(f->db, &f->error), &f->error);
    forget_slots_below(f, SLOTS);
    assert_int_equal(check_all(f), 0);
    check_verify(f);
    reopen(f, true);
    check_all(f);
}

static void rows_of_a_dropped_partition_can_be_written_again(void **state) {
    struct fixture *f = *state;
    struct test_random random = test_random_of(8);
    create_table(f, false, HOUR_US, HOUR_US, true);
    upsert(f, &random, 500);
    assert_ok(plinth_flush(f->db, &f->error), &f->error);
    sim_env_advance_us(f->sim, 10 * HOUR_US);
    assert_ok(plinth_compact(f->db, &f->error), &f->error);
    forget_slots_below(f, SLOTS);
    check_all(f);
    upsert(f, &random, 500);
    check_all(f);
    assert_ok(plinth_flush(f->db, &f->error), &f->error);
    check_all(f);
}

/* ---- readers beside writers, flushes and merges ---- */

enum { WRITERS = 3, ROUNDS = 60 };

/* Writer w writes all slots of host w in every round; values are 10 * round. */
struct row_writer {
    struct fixture *f;
    uint32_t host;
    atomic_uint rounds; /* acknowledged */
    atomic_uint *running;
};

static void *write_rounds(void *argument) {
    struct row_writer *writer = argument;
    for (uint32_t round = 1; round <= ROUNDS; round++) {
        struct fixture own = {.db = writer->f->db, .table = writer->f->table};
        struct rows_batch batch;
        batch_init(&batch, COLUMNS);
        for (uint32_t slot = 0; slot < SLOTS; slot++) append_row(batch.builders, writer->host, slot, round * 10);
        batch_write(&own, &batch, ROWS_UPSERT);
        atomic_store(&writer->rounds, round);
    }
    atomic_fetch_sub(writer->running, 1);
    return NULL;
}

/* Each host's rows are all of one round, as a batch this small is one record, and of no earlier one than was
 * acknowledged before the reader began. */
static void check_rounds(struct fixture *f, struct row_writer *writers) {
    unsigned acknowledged[WRITERS];
    uint64_t rows = 0, seen[WRITERS] = {0};
    struct reading reading;
    for (uint32_t w = 0; w < WRITERS; w++) acknowledged[w] = atomic_load(&writers[w].rounds);
    reading_begin(&reading, f, NULL);
    struct block_read read = {
        .schema = reading.schema, .column_ids = reading.ids, .column_count = COLUMNS, .with_keys = true};
    struct block_stream *merged = open_scan(f, &reading, &read);
    for (;;) {
        struct row_block *block;
        assert_ok(block_stream_next(merged, &block, &f->error), &f->error);
        if (!block) break;
        const struct column *host = row_block_column(block, reading.ids[0]),
                            *value = row_block_column(block, reading.ids[2]);
        for (uint32_t i = 0; i < block->rows; i++) {
            uint32_t w = (uint32_t)column_bytes_at(host, i).data[5] - '0';
            uint64_t now = column_is_null(value, i) ? 0 : ((const uint64_t *)value->values)[i];
            assert_true(w < WRITERS);
            if (now && seen[w]) assert_int_equal(now, seen[w]);
            if (now) seen[w] = now;
            rows++;
        }
        row_block_unref(block);
    }
    block_stream_close(merged);
    for (uint32_t w = 0; w < WRITERS; w++) {
        /* Each ninth round has nulls only: that the reader may have seen one tells its not having seen a value. */
        unsigned newest = atomic_load(&writers[w].rounds) + 1, nulls = newest / 9 * 9;
        if (seen[w] || !nulls || nulls < acknowledged[w]) assert_true(seen[w] >= acknowledged[w] * 10);
    }
    check_index(f, &reading, &reading.schema->indexes[0], rows);
    reading_end(&reading);
}

static void readers_see_whole_writes_while_flushes_and_merges_go_on(void **state) {
    (void)state;
    char path[TEST_PATH_MAX];
    const struct plinth_options small = {.memtable_bytes = 256 << 10};
    struct fixture f = {0};
    test_directory_create(path);
    assert_ok(plinth_open(path, &small, &f.db, &f.error), &f.error);
    create_table(&f, false, HOUR_US, 0, true);
    atomic_uint running = WRITERS;
    pthread_t threads[WRITERS];
    struct row_writer writers[WRITERS];
    for (uint32_t w = 0; w < WRITERS; w++) {
        writers[w] = (struct row_writer){.f = &f, .host = w, .running = &running};
        assert_int_equal(pthread_create(&threads[w], NULL, write_rounds, &writers[w]), 0);
    }
    for (unsigned i = 0; atomic_load(&running); i++) {
        check_rounds(&f, writers);
        if (i % 8 == 3) assert_ok(plinth_flush(f.db, &f.error), &f.error);
        if (i % 16 == 7) assert_ok(plinth_compact(f.db, &f.error), &f.error);
    }
    for (uint32_t w = 0; w < WRITERS; w++) pthread_join(threads[w], NULL);
    check_rounds(&f, writers);
    check_verify(&f);
    plinth_close(f.db);
    test_directory_remove(path);
}

/* ---- large memtables are flushed by several threads ---- */

static void a_large_memtable_is_flushed_in_ranges(void **state) {
    (void)state;
    char path[TEST_PATH_MAX];
    struct plinth *db;
    struct plinth_error error;
    const struct plinth_options large = {.memtable_bytes = 256 << 20, .no_background_compaction = true};
    enum { ROWS = 250 * 1000, BATCH = 10 * 1000 };
    test_directory_create(path);
    assert_ok(plinth_open(path, &large, &db, &error), &error);
    struct fixture f = {.db = db};
    create_table(&f, false, 24 * HOUR_US, 0, true);
    for (uint32_t first = 0; first < ROWS; first += BATCH) {
        struct rows_batch batch;
        batch_init(&batch, COLUMNS);
        for (uint32_t i = 0; i < BATCH; i++) {
            uint64_t number = (uint64_t)(first + i) * 7919 % ROWS;
            append_row(batch.builders, (uint32_t)(number % 97), (uint32_t)(number / 97), number);
        }
        batch_write(&f, &batch, ROWS_UPSERT);
    }
    assert_ok(plinth_flush(db, &error), &error);
    struct view *view = view_current(&db->views);
    const struct view_table *table = view_find_table(view, f.table);
    uint64_t rows = 0;
    for (size_t r = 0; r < table->run_count; r++) rows += run_rows(table->runs[r].run);
    assert_int_equal(rows, ROWS);
    if (sysconf(_SC_NPROCESSORS_ONLN) > 1) assert_true(run_segment_count(table->runs[0].run) > 1);
    view_unref(view);
    check_verify(&f);
    struct reading reading;
    reading_begin(&reading, &f, NULL);
    struct block_read read = {
        .schema = reading.schema, .column_ids = reading.ids, .column_count = COLUMNS, .with_keys = true};
    struct block_stream *merged = open_scan(&f, &reading, &read);
    uint64_t number = 0, seen = 0;
    for (;;) {
        struct row_block *block;
        assert_ok(block_stream_next(merged, &block, &error), &error);
        if (!block) break;
        const struct column *row[COLUMNS];
        for (uint32_t c = 0; c < COLUMNS; c++) row[c] = row_block_column(block, reading.ids[c]);
        for (uint32_t i = 0; i < block->rows; i++) {
            if (number >= ROWS) number = number % 97 + 1;
            assert_row(row, i, (uint32_t)(number % 97), (uint32_t)(number / 97), number);
            number += 97;
        }
        seen += block->rows;
        row_block_unref(block);
    }
    assert_int_equal(seen, ROWS);
    block_stream_close(merged);
    for (uint32_t i = 0; i < reading.schema->index_count; i++) {
        const struct view_table *index = view_find_table(reading.view, reading.schema->indexes[i].id);
        assert_int_equal(index->run_count, 1);
        assert_int_equal(run_rows(index->runs[0].run), ROWS);
    }
    reading_end(&reading);
    plinth_close(db);
    test_directory_remove(path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(tables_agree_with_the_model_through_flushes_and_merges, setup, teardown),
        cmocka_unit_test_setup_teardown(partitioned_tables_agree_with_the_model, setup, teardown),
        cmocka_unit_test_setup_teardown(tables_without_a_key_agree_with_the_model, setup, teardown),
        cmocka_unit_test_setup_teardown(a_flush_makes_one_run_of_each_partition, setup, teardown),
        cmocka_unit_test_setup_teardown(more_partitions_than_may_be_open_are_written_in_turns, setup, teardown),
        cmocka_unit_test_setup_teardown(deleted_rows_leave_nothing_behind, setup, teardown),
        cmocka_unit_test_setup_teardown(a_snapshot_keeps_what_it_sees_through_merges, setup, teardown),
        cmocka_unit_test_setup_teardown(rows_written_once_are_not_looked_up, setup, teardown),
        cmocka_unit_test_setup_teardown(dead_entries_go_once_the_merged_rows_tell_of_them, setup, teardown),
        cmocka_unit_test_setup_teardown(merges_above_the_bottom_look_up_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(entries_of_deleted_rows_go_once_the_rows_have_gone, setup, teardown),
        cmocka_unit_test_setup_teardown(entries_that_are_added_again_count_once, setup, teardown),
        cmocka_unit_test_setup_teardown(a_snapshot_reads_entries_that_were_not_looked_up, setup, teardown),
        cmocka_unit_test_setup_teardown(any_merges_of_neighbours_in_any_order_agree_with_the_model, setup, teardown),
        cmocka_unit_test_setup_teardown(partitions_are_dropped_when_they_are_old_enough, setup, teardown),
        cmocka_unit_test_setup_teardown(rows_of_a_dropped_partition_can_be_written_again, setup, teardown),
        cmocka_unit_test(readers_see_whole_writes_while_flushes_and_merges_go_on),
        cmocka_unit_test(a_large_memtable_is_flushed_in_ranges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
