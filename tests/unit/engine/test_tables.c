/* DDL in a whole engine: what is made is there after reopening and after a crash; what is dropped goes, also under
 * scans, flushes and merges. */
#include <pthread.h>
#include <roaring/roaring.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "engine/table_ddl.h"
#include "support/engine_fixture.h"
#include "support/table_support.h"
#include "table/row_segment.h"

static const struct plinth_options small_options = {.memtable_bytes = 256 << 10,
                                                    .cache_bytes = 4 << 20,
                                                    .log_segment_bytes = 1 << 20,
                                                    .no_background_compaction = true};

static int setup(void **state) { return fixture_setup(state, &small_options, NULL); }

static const struct plinth_column metric_columns[] = {{.name = "host", .type = "string"},
                                                      {.name = "at", .type = "timestamp(ms)"},
                                                      {.name = "load", .type = "double", .nullable = true},
                                                      {.name = "note", .type = "text", .nullable = true}};
static const char *const metric_key[] = {"host", "at"};
static const struct plinth_table_definition metrics = {.columns = metric_columns,
                                                       .column_count = 4,
                                                       .key = metric_key,
                                                       .key_count = 2,
                                                       .partition_by = "at",
                                                       .partition_us = 86400000000,
                                                       .retention_us = 30 * 86400000000,
                                                       .codec = PLINTH_CODEC_ZSTD,
                                                       .page_rows = 512,
                                                       .adds_columns = true};

static void make_metrics(struct fixture *f) {
    assert_ok(plinth_table_create(f->db, "shop", "metrics", &metrics, &f->error), &f->error);
}

static void expect_metrics(struct fixture *f) {
    struct plinth_table_description table;
    assert_ok(plinth_table_describe(f->db, "shop", "metrics", &table, &f->error), &f->error);
    assert_string_equal(table.database, "shop");
    assert_string_equal(table.name, "metrics");
    assert_false(table.is_space);
    const struct plinth_table_definition *definition = &table.definition;
    assert_int_equal(definition->column_count, 4);
    static const char *const types[] = {"string", "timestamp(ms)", "float64", "string"};
    for (size_t i = 0; i < 4; i++) {
        assert_string_equal(definition->columns[i].name, metric_columns[i].name);
        assert_string_equal(definition->columns[i].type, types[i]);
        assert_int_equal(definition->columns[i].nullable, metric_columns[i].nullable);
        assert_int_equal(definition->columns[i].id, i + 1);
    }
    assert_int_equal(definition->key_count, 2);
    assert_string_equal(definition->key[0], "host");
    assert_string_equal(definition->key[1], "at");
    assert_string_equal(definition->partition_by, "at");
    assert_int_equal(definition->partition_us, metrics.partition_us);
    assert_int_equal(definition->retention_us, metrics.retention_us);
    assert_int_equal(definition->codec, PLINTH_CODEC_ZSTD);
    assert_int_equal(definition->page_rows, 512);
    assert_true(definition->adds_columns);
    plinth_table_description_deinit(&table);
}

static uint32_t feature_level(struct fixture *f) {
    struct plinth_stats stats;
    plinth_stats_read(f->db, &stats);
    return stats.feature_level;
}

static void a_table_is_there_after_a_crash_and_after_reopening(void **state) {
    struct fixture *f = *state;
    make_metrics(f);
    expect_metrics(f);
    fixture_crash(f); /* from the log */
    expect_metrics(f);
    fixture_reopen(f); /* from a checkpoint */
    expect_metrics(f);
    assert_status(plinth_table_create(f->db, "shop", "metrics", &metrics, &f->error), PLINTH_ALREADY_EXISTS, &f->error);
    assert_error_names(&f->error, "table \"metrics\" exists already");
}

static void only_typed_tables_and_drops_raise_the_feature_level(void **state) {
    struct fixture *f = *state;
    struct plinth_space space;
    assert_ok(plinth_space_create(f->db, "shop", "users", &space, &f->error), &f->error);
    assert_int_equal(feature_level(f), 1);
    fixture_reopen(f);
    assert_int_equal(feature_level(f), 1);
    make_metrics(f);
    assert_int_equal(feature_level(f), 2);
    fixture_crash(f);
    assert_int_equal(feature_level(f), 2);
    expect_metrics(f);
}

static void a_failed_creation_leaves_nothing(void **state) {
    struct fixture *f = *state;
    struct plinth_table_definition definition = metrics;
    static const char *const wrong_key[] = {"host", "nothing"};
    static const struct plinth_column wrong_type[] = {{.name = "a", .type = "decimal(99,2)"}};
    definition.key = wrong_key;
    assert_status(plinth_table_create(f->db, NULL, "t", &definition, &f->error), PLINTH_INVALID_ARGUMENT, &f->error);
    assert_error_names(&f->error, "the primary key names \"nothing\", which is no column");
    definition = metrics;
    definition.partition_by = "then";
    assert_status(plinth_table_create(f->db, NULL, "t", &definition, &f->error), PLINTH_INVALID_ARGUMENT, &f->error);
    assert_error_names(&f->error, "partitioned by \"then\", which is no column");
    definition.partition_by = "load";
    assert_status(plinth_table_create(f->db, NULL, "t", &definition, &f->error), PLINTH_INVALID_ARGUMENT, &f->error);
    assert_error_names(&f->error, "column \"load\" is of type float64");
    definition = (struct plinth_table_definition){.columns = wrong_type, .column_count = 1};
    assert_status(plinth_table_create(f->db, NULL, "t", &definition, &f->error), PLINTH_INVALID_ARGUMENT, &f->error);
    assert_error_names(&f->error, "column \"a\": \"decimal(99,2)\" is not a type");
    assert_status(plinth_table_create(f->db, "bad name", "t", &metrics, &f->error), PLINTH_INVALID_ARGUMENT, &f->error);
    assert_error_names(&f->error, "database name has byte 0x20");
    assert_status(plinth_table_create(f->db, NULL, NULL, &metrics, &f->error), PLINTH_INVALID_ARGUMENT, &f->error);
    assert_error_names(&f->error, "table name is empty");
    assert_status(plinth_table_create(f->db, NULL, "default", &metrics, &f->error), PLINTH_ALREADY_EXISTS, &f->error);
    assert_error_names(&f->error, "key space \"default\" exists already");
    const struct table_schema *schema;
    assert_status(engine_find_schema(f->db, NULL, "t", &schema, &f->error), PLINTH_NOT_FOUND, &f->error);
    assert_error_names(&f->error, "table \"t\" does not exist in database \"default\"");
    assert_null(schema);
    assert_status(engine_find_schema(f->db, "none", "t", &schema, &f->error), PLINTH_NOT_FOUND, &f->error);
    assert_error_names(&f->error, "database \"none\" does not exist");
    assert_status(engine_schema_by_id(f->db, 4711, &schema, &f->error), PLINTH_NOT_FOUND, &f->error);
    assert_error_names(&f->error, "4711");
}

/* ---- listing ---- */

static void append_entry(void *context, const char *database, const char *name, bool is_space, uint32_t id) {
    (void)id;
    char *list = context;
    snprintf(list + strlen(list), 512 - strlen(list), "%s.%s%s ", database, name, is_space ? "*" : "");
}

static void tables_and_spaces_are_listed_by_name(void **state) {
    struct fixture *f = *state;
    struct plinth_space space;
    static const struct plinth_column one[] = {{.name = "a", .type = "int"}};
    struct plinth_table_definition definition = {.columns = one, .column_count = 1};
    make_metrics(f);
    assert_ok(plinth_table_create(f->db, "shop", "Alpha", &definition, &f->error), &f->error);
    assert_ok(plinth_space_create(f->db, "shop", "beta", &space, &f->error), &f->error);
    assert_ok(plinth_table_create(f->db, NULL, "zeta", &definition, &f->error), &f->error);
    char list[512] = "";
    assert_ok(plinth_table_list(f->db, append_entry, list, &f->error), &f->error);
    assert_string_equal(list, "default.default* default.zeta shop.Alpha shop.beta* shop.metrics ");
    struct plinth_table_description table;
    assert_ok(plinth_table_describe(f->db, "shop", "beta", &table, &f->error), &f->error);
    assert_true(table.is_space);
    assert_int_equal(table.id, space.table);
    assert_string_equal(table.definition.columns[0].name, "key");
    assert_string_equal(table.definition.key[0], "key");
    assert_string_equal(table.definition.columns[1].type, "bytes");
    plinth_table_description_deinit(&table);
}

/* ---- columns ---- */

static void columns_are_added_all_or_none(void **state) {
    struct fixture *f = *state;
    make_metrics(f);
    struct plinth_column more[] = {{.name = "cpu", .type = "decimal(5,2)", .nullable = true},
                                   {.name = "load", .type = "double", .nullable = true}};
    assert_status(plinth_table_add_columns(f->db, "shop", "metrics", more, 2, &f->error), PLINTH_ALREADY_EXISTS,
                  &f->error);
    more[1].type = "int64";
    assert_status(plinth_table_add_columns(f->db, "shop", "metrics", more, 2, &f->error), PLINTH_CONFLICT, &f->error);
    assert_error_names(&f->error, "column \"load\" exists already with type float64, not int64");
    expect_metrics(f);
    more[1] = (struct plinth_column){.name = "rack", .type = "string", .nullable = true};
    assert_ok(plinth_table_add_columns(f->db, "shop", "metrics", more, 2, &f->error), &f->error);
    fixture_crash(f);
    struct plinth_table_description table;
    assert_ok(plinth_table_describe(f->db, "shop", "metrics", &table, &f->error), &f->error);
    assert_int_equal(table.definition.column_count, 6);
    assert_string_equal(table.definition.columns[5].name, "rack");
    assert_int_equal(table.definition.columns[5].id, 6);
    plinth_table_description_deinit(&table);
    assert_status(plinth_table_add_columns(f->db, NULL, "default", more, 2, &f->error), PLINTH_INVALID_ARGUMENT,
                  &f->error);
    assert_error_names(&f->error, "\"default\" is a key space");
}

struct column_writer {
    struct plinth *db;
    uint32_t table;
    unsigned seed;
    pthread_t thread;
};

/* Adds a hundred columns that all writers add, each in an order of its own. */
static void *add_columns(void *argument) {
    struct column_writer *writer = argument;
    struct test_random random = test_random_of(writer->seed);
    for (int i = 0; i < 200; i++) {
        char names[3][16];
        struct catalog_column columns[3];
        unsigned first = (unsigned)test_random_below(&random, 98);
        for (unsigned c = 0; c < 3; c++) {
            snprintf(names[c], sizeof names[c], "c%u", first + c);
            columns[c] = (struct catalog_column){slice_of_string(names[c]), column_type_of(COLUMN_INT64), true};
        }
        struct plinth_error error;
        assert_ok(engine_add_columns(writer->db, writer->table, columns, 3, &error), &error);
    }
    return NULL;
}

static void writers_that_add_the_same_columns_all_succeed(void **state) {
    struct fixture *f = *state;
    make_metrics(f);
    const struct table_schema *schema;
    assert_ok(engine_find_schema(f->db, "shop", "metrics", &schema, &f->error), &f->error);
    uint32_t table = schema->id.table;
    table_schema_unref(schema);
    struct column_writer writers[4];
    for (unsigned i = 0; i < 4; i++) {
        writers[i] = (struct column_writer){.db = f->db, .table = table, .seed = i};
        assert_int_equal(pthread_create(&writers[i].thread, NULL, add_columns, &writers[i]), 0);
    }
    for (int i = 0; i < 4; i++) pthread_join(writers[i].thread, NULL);
    assert_ok(engine_schema_by_id(f->db, table, &schema, &f->error), &f->error);
    assert_true(schema->column_count > 90 && schema->column_count <= 104);
    assert_int_equal(schema->next_column_id, schema->column_count + 1);
    table_schema_unref(schema);
    struct catalog_column other = {slice_of_string("c5"), column_type_of(COLUMN_STRING), true};
    assert_status(engine_add_columns(f->db, table, &other, 1, &f->error), PLINTH_CONFLICT, &f->error);
    assert_error_names(&f->error, "column \"c5\" exists already with type int64, not string");
    assert_ok(plinth_table_drop(f->db, "shop", "metrics", &f->error), &f->error);
    assert_status(engine_add_columns(f->db, table, &other, 1, &f->error), PLINTH_NOT_FOUND, &f->error);
}

/* ---- indexes ---- */

static const char *const load_columns[] = {"load", "host"};
static const char *const note_columns[] = {"note"};
static const struct plinth_index by_load = {
    .name = "by_load", .kind = PLINTH_INDEX_SORTED, .columns = load_columns, .column_count = 2};
static const struct plinth_index words = {
    .name = "words", .kind = PLINTH_INDEX_TOKEN, .columns = note_columns, .column_count = 1};

static void indexes_are_made_listed_and_dropped(void **state) {
    struct fixture *f = *state;
    make_metrics(f);
    assert_ok(plinth_table_index_create(f->db, "shop", "metrics", &by_load, &f->error), &f->error);
    assert_ok(plinth_table_index_create(f->db, "shop", "metrics", &words, &f->error), &f->error);
    assert_status(plinth_table_index_create(f->db, "shop", "metrics", &words, &f->error), PLINTH_ALREADY_EXISTS,
                  &f->error);
    fixture_crash(f);
    struct plinth_table_description table;
    assert_ok(plinth_table_describe(f->db, "shop", "metrics", &table, &f->error), &f->error);
    assert_int_equal(table.index_count, 2);
    assert_string_equal(table.indexes[0].name, "by_load");
    assert_int_equal(table.indexes[0].kind, PLINTH_INDEX_SORTED);
    assert_int_equal(table.indexes[0].state, PLINTH_INDEX_READY);
    assert_int_equal(table.indexes[0].column_count, 2);
    assert_string_equal(table.indexes[0].columns[1], "host");
    assert_string_equal(table.indexes[1].columns[0], "note");
    plinth_table_description_deinit(&table);
    assert_ok(plinth_table_index_drop(f->db, "shop", "metrics", "by_load", &f->error), &f->error);
    assert_status(plinth_table_index_drop(f->db, "shop", "metrics", "by_load", &f->error), PLINTH_NOT_FOUND, &f->error);
    assert_error_names(&f->error, "table \"metrics\" has no index \"by_load\"");
    fixture_reopen(f);
    assert_ok(plinth_table_describe(f->db, "shop", "metrics", &table, &f->error), &f->error);
    assert_int_equal(table.index_count, 1);
    plinth_table_description_deinit(&table);
    static const char *const nothing[] = {"nothing"};
    struct plinth_index wrong = {.name = "i", .kind = PLINTH_INDEX_BLOOM, .columns = nothing, .column_count = 1};
    assert_status(plinth_table_index_create(f->db, "shop", "metrics", &wrong, &f->error), PLINTH_NOT_FOUND, &f->error);
    assert_error_names(&f->error, "table \"metrics\" has no column \"nothing\"");
    assert_status(plinth_table_index_create(f->db, NULL, "default", &words, &f->error), PLINTH_INVALID_ARGUMENT,
                  &f->error);
    assert_error_names(&f->error, "\"default\" is a key space");
}

static void an_index_that_an_older_version_left_half_built_is_dropped_at_open(void **state) {
    struct fixture *f = *state;
    make_metrics(f);
    const struct table_schema *schema;
    assert_ok(engine_find_schema(f->db, "shop", "metrics", &schema, &f->error), &f->error);
    struct catalog_change change = {.kind = CATALOG_CREATE_TABLE_INDEX,
                                    .tenant = schema->id.tenant,
                                    .database = schema->id.database,
                                    .space = schema->id.table,
                                    .name = slice_of_string("half"),
                                    .index_kind = INDEX_SORTED,
                                    .index_state = INDEX_BUILDING,
                                    .key = {3},
                                    .key_count = 1};
    uint64_t lsn;
    assert_ok(engine_change_catalog(f->db, &change, &lsn, &f->error), &f->error);
    table_schema_unref(schema);
    fixture_reopen(f);
    struct plinth_table_description table;
    assert_ok(plinth_table_describe(f->db, "shop", "metrics", &table, &f->error), &f->error);
    assert_int_equal(table.index_count, 0);
    plinth_table_description_deinit(&table);
    assert_ok(plinth_table_index_create(f->db, "shop", "metrics", &by_load, &f->error), &f->error);
}

static void a_closed_gate_lets_no_writer_in(void **state) {
    struct fixture *f = *state;
    assert_true(engine_table_gate_enter(f->db, 7, true));
    assert_true(engine_table_gate_enter(f->db, 7, false));
    engine_table_gate_leave(f->db, 7);
    engine_table_gate_leave(f->db, 7);
    engine_table_gate_close(f->db, 7);
    assert_false(engine_table_gate_enter(f->db, 7, true));
    assert_true(engine_table_gate_enter(f->db, 8, true));
    engine_table_gate_leave(f->db, 8);
    engine_table_gate_open(f->db, 7);
    assert_true(engine_table_gate_enter(f->db, 7, true));
    engine_table_gate_leave(f->db, 7);
}

/* ---- dropping ---- */

static void set_many(struct fixture *f, struct plinth_space space, int from, int to) {
    for (int i = from; i < to; i++) {
        char key[16];
        snprintf(key, sizeof key, "key%06d", i);
        struct plinth_index_value index = {plinth_text("even"), plinth_text(i % 2 ? "no" : "yes")};
        struct plinth_operation operation = {.kind = PLINTH_SET,
                                             .space = space,
                                             .key = plinth_text(key),
                                             .value = plinth_text("some value or other"),
                                             .indexes = &index,
                                             .index_count = 1};
        struct plinth_write_options options = {.durability = PLINTH_DURABILITY_BUFFERED};
        assert_ok(plinth_write(f->db, &operation, 1, &options, NULL, &f->error), &f->error);
    }
}

static uint64_t segments_in_store(struct fixture *f) {
    char command[2 * TEST_PATH_MAX];
    uint64_t count = 0;
    snprintf(command, sizeof command, "find '%s/store/segments' -name '*.parquet' 2>/dev/null | wc -l", f->path);
    FILE *pipe = popen(command, "r");
    assert_int_equal(fscanf(pipe, "%lu", &count), 1);
    pclose(pipe);
    return count;
}

static void a_dropped_space_leaves_no_file(void **state) {
    struct fixture *f = *state;
    struct plinth_space space;
    struct plinth_stats stats;
    assert_ok(plinth_space_create(f->db, "shop", "users", &space, &f->error), &f->error);
    set_many(f, space, 0, 300);
    assert_ok(plinth_flush(f->db, &f->error), &f->error);
    set_many(f, space, 300, 600); /* these stay in the memtable */
    plinth_stats_read(f->db, &stats);
    assert_int_equal(stats.segments, 2);
    assert_ok(plinth_space_drop(f->db, "shop", "users", &f->error), &f->error);
    plinth_stats_read(f->db, &stats);
    assert_int_equal(stats.segments, 0);
    for (int i = 0; i < 500 && segments_in_store(f); i++) usleep(10000);
    assert_int_equal(segments_in_store(f), 0);
    struct plinth_buffer value = {0};
    enum plinth_status st = plinth_get(f->db, space, plinth_text("key000001"), NULL, &value, NULL, &f->error);
    assert_status(st, PLINTH_NOT_FOUND, &f->error);
    plinth_buffer_deinit(&value);
    assert_status(plinth_set(f->db, space, plinth_text("a"), plinth_text("b"), NULL, NULL, &f->error), PLINTH_NOT_FOUND,
                  &f->error);
    fixture_crash(f);
    assert_ok(plinth_compact(f->db, &f->error), &f->error); /* the rows of the memtable are not written any more */
    plinth_stats_read(f->db, &stats);
    assert_int_equal(stats.segments, 0);
    struct plinth_verify_result result;
    assert_ok(plinth_verify(f->db, NULL, NULL, &result, &f->error), &f->error);
    assert_int_equal(result.problems, 0);
    assert_status(plinth_space_find(f->db, "shop", "users", &space, &f->error), PLINTH_NOT_FOUND, &f->error);
    assert_status(plinth_space_drop(f->db, "shop", "users", &f->error), PLINTH_NOT_FOUND, &f->error);
    assert_status(plinth_space_drop(f->db, NULL, NULL, &f->error), PLINTH_INVALID_ARGUMENT, &f->error);
    assert_error_names(&f->error, "always exists");
}

static void a_scan_goes_on_over_a_dropped_space(void **state) {
    struct fixture *f = *state;
    struct plinth_space space;
    assert_ok(plinth_space_create(f->db, NULL, "users", &space, &f->error), &f->error);
    set_many(f, space, 0, 3000);
    assert_ok(plinth_flush(f->db, &f->error), &f->error);
    set_many(f, space, 3000, 3500);
    struct plinth_position position;
    assert_ok(plinth_delete(f->db, space, plinth_text("nothing"), NULL, &position, &f->error), &f->error);
    struct plinth_scan *scan;
    struct plinth_scan_options options = {0};
    assert_ok(plinth_scan_open(f->db, space, &options, &scan, &f->error), &f->error);
    struct plinth_row row;
    bool found;
    assert_ok(plinth_scan_next(scan, &row, &found, &f->error), &f->error);
    assert_ok(plinth_space_drop(f->db, NULL, "users", &f->error), &f->error);
    assert_ok(plinth_flush(f->db, &f->error), &f->error);
    assert_ok(plinth_compact(f->db, &f->error), &f->error);
    int rows = 0;
    for (; found; rows++) assert_ok(plinth_scan_next(scan, &row, &found, &f->error), &f->error);
    assert_int_equal(rows, 3500);
    plinth_scan_close(scan);
    assert_ok(plinth_compact(f->db, &f->error), &f->error);
    for (int i = 0; i < 500 && segments_in_store(f); i++) usleep(10000);
    assert_int_equal(segments_in_store(f), 0);
}

struct churn {
    struct plinth *db;
    atomic_bool over;
};

static void *flush_and_merge(void *argument) {
    struct churn *churn = argument;
    struct plinth_error error;
    while (!atomic_load(&churn->over)) assert_ok(plinth_compact(churn->db, &error), &error);
    return NULL;
}

static void dropping_under_flushes_and_merges_loses_nothing_else(void **state) {
    struct fixture *f = *state;
    struct churn churn = {.db = f->db};
    pthread_t thread;
    struct plinth_space stays, goes;
    assert_ok(plinth_space_create(f->db, NULL, "stays", &stays, &f->error), &f->error);
    assert_int_equal(pthread_create(&thread, NULL, flush_and_merge, &churn), 0);
    for (int round = 0; round < 40; round++) {
        assert_ok(plinth_space_create(f->db, NULL, "goes", &goes, &f->error), &f->error);
        for (int i = 0; i < 5; i++) {
            set_many(f, goes, i * 50, i * 50 + 50);
            set_many(f, stays, (round * 5 + i) * 10, (round * 5 + i) * 10 + 10);
        }
        assert_ok(plinth_space_drop(f->db, NULL, "goes", &f->error), &f->error);
    }
    atomic_store(&churn.over, true);
    pthread_join(thread, NULL);
    for (int pass = 0; pass < 2; pass++) {
        struct plinth_verify_result result;
        assert_ok(plinth_compact(f->db, &f->error), &f->error);
        assert_ok(plinth_verify(f->db, NULL, NULL, &result, &f->error), &f->error);
        assert_int_equal(result.problems, 0);
        assert_int_equal(result.rows, 2000);
        assert_int_equal(result.index_entries, 2000);
        for (int i = 0; i < 500 && segments_in_store(f) > 2; i++) usleep(10000);
        assert_int_equal(segments_in_store(f), 2);
        if (pass == 0) fixture_crash(f);
    }
}

static void a_dropped_table_is_gone_and_its_name_free(void **state) {
    struct fixture *f = *state;
    make_metrics(f);
    assert_ok(plinth_table_index_create(f->db, "shop", "metrics", &by_load, &f->error), &f->error);
    struct plinth_table_description table;
    assert_ok(plinth_table_describe(f->db, "shop", "metrics", &table, &f->error), &f->error);
    uint32_t id = table.id;
    plinth_table_description_deinit(&table);
    assert_status(plinth_space_drop(f->db, "shop", "metrics", &f->error), PLINTH_INVALID_ARGUMENT, &f->error);
    assert_status(plinth_table_drop(f->db, NULL, "default", &f->error), PLINTH_INVALID_ARGUMENT, &f->error);
    assert_error_names(&f->error, "is a key space");
    assert_ok(plinth_table_drop(f->db, "shop", "metrics", &f->error), &f->error);
    fixture_crash(f);
    assert_status(plinth_table_describe(f->db, "shop", "metrics", &table, &f->error), PLINTH_NOT_FOUND, &f->error);
    make_metrics(f);
    assert_ok(plinth_table_describe(f->db, "shop", "metrics", &table, &f->error), &f->error);
    assert_true(table.id > id);
    assert_int_equal(table.index_count, 0);
    plinth_table_description_deinit(&table);
}

/* ---- indexes of rows that are there ---- */

/* Rows [from, to) with value i % 97 + offset: "id,value,word". */
static void write_items(struct fixture *f, int from, int to, int offset) {
    size_t size = (size_t)(to - from) * 48 + 1, used = 0;
    char *text = malloc(size);
    for (int i = from; i < to; i++)
        used += (size_t)snprintf(text + used, size - used, "%s%d,%d,word%d of many", i > from ? ";" : "", i,
                                 i % 97 + offset, i % 11);
    assert_ok(test_rows_write(f->db, "items", ROWS_UPSERT, "id int64, value int32, words string", text, NULL, NULL,
                              &f->error),
              &f->error);
    free(text);
}

static void delete_items(struct fixture *f, int from, int to) {
    size_t size = (size_t)(to - from) * 16 + 1, used = 0;
    char *text = malloc(size);
    for (int i = from; i < to; i++) used += (size_t)snprintf(text + used, size - used, "%s%d", i > from ? ";" : "", i);
    assert_ok(test_rows_write(f->db, "items", ROWS_DELETE, "id int64", text, NULL, NULL, &f->error), &f->error);
    free(text);
}

/* Runs of several ages, with versions that are dead and rows in the memtable: ids 0 to 19999, of which 3000 to 3999 are
 * deleted and each of 0 to 1999 was written twice. */
static void fill_items(struct fixture *f) {
    test_table_create(f->db, "items", "id int64, value int32?, words string?", "id", false);
    for (int i = 0; i < 20000; i += 2500) write_items(f, i, i + 2500, 1000);
    assert_ok(plinth_flush(f->db, &f->error), &f->error);
    write_items(f, 0, 2000, 5000);
    assert_ok(plinth_flush(f->db, &f->error), &f->error);
    delete_items(f, 3000, 4000);
}
enum { ITEMS = 19000 };

struct found_entry {
    struct slice key; /* of the row */
    uint64_t lsn;
};

static int by_row_key(const void *a, const void *b) {
    return slice_compare(((const struct found_entry *)a)->key, ((const struct found_entry *)b)->key);
}

/* Live entries of the index by_value, in the newest view; checks their order. */
static uint64_t count_live_entries(struct fixture *f, uint64_t *all) {
    const struct table_schema *schema;
    struct view *view = view_current(&f->db->views);
    struct arena arena;
    struct iterator *it;
    struct found_entry *entries = NULL;
    uint64_t count = 0, live = 0, capacity = 0;
    arena_init(&arena);
    assert_ok(engine_find_schema(f->db, NULL, "items", &schema, &f->error), &f->error);
    const struct table_index *index = table_schema_find_index(schema, slice_of_string("by_value"));
    assert_non_null(index);
    assert_int_equal(index->state, INDEX_READY);
    struct column_type type = schema->columns[table_schema_find_id(schema, index->columns[0])].type;
    assert_ok(view_index_iterator(view, schema, index, &it, &f->error), &f->error);
    struct slice last = {0};
    for (enum plinth_status st = iterator_seek_first(it, &f->error); it->valid; st = iterator_next(it, &f->error)) {
        assert_ok(st, &f->error);
        struct slice key = slice_of(arena_copy(&arena, it->row.key), it->row.key.size);
        assert_true(slice_compare(last, key) <= 0);
        last = key;
        struct reader reader = reader_of(key);
        assert_true(row_key_skip(&reader, &type, 1));
        if (count == capacity) {
            capacity = capacity ? capacity * 2 : 1024;
            entries = realloc(entries, capacity * sizeof *entries);
            assert_non_null(entries);
        }
        entries[count++] = (struct found_entry){slice_of(reader.at, reader_left(&reader)), it->row.lsn};
    }
    iterator_close(it);
    qsort(entries, count, sizeof *entries, by_row_key);
    struct slice *keys = calloc(count + 1, sizeof *keys);
    struct row_place *places = calloc(count + 1, sizeof *places);
    for (uint64_t i = 0; i < count; i++) keys[i] = entries[i].key;
    assert_ok(view_find_rows(view, schema, keys, (uint32_t)count, UINT64_MAX >> 1, places, &f->error), &f->error);
    for (uint64_t i = 0; i < count; i++) {
        /* a settled entry has a later LSN than its row */
        live += places[i].lsn && places[i].lsn <= entries[i].lsn && places[i].operation == ROW_SET;
        row_place_release(&places[i]);
    }
    free(keys);
    free(places);
    free(entries);
    arena_deinit(&arena);
    table_schema_unref(schema);
    view_unref(view);
    *all = count;
    return live;
}

static const char *const value_columns[] = {"value"};
static const struct plinth_index by_value = {
    .name = "by_value", .kind = PLINTH_INDEX_SORTED, .columns = value_columns, .column_count = 1};

static void a_sorted_index_is_built_from_the_rows_that_are_there(void **state) {
    struct fixture *f = *state;
    uint64_t all;
    fill_items(f);
    assert_ok(plinth_table_index_create(f->db, NULL, "items", &by_value, &f->error), &f->error);
    assert_int_equal(count_live_entries(f, &all), ITEMS);
    assert_int_equal(all, ITEMS); /* built without what was dead */
    struct plinth_table_description table;
    assert_ok(plinth_table_describe(f->db, NULL, "items", &table, &f->error), &f->error);
    assert_true(table.index_bytes > 0 && table.rows >= ITEMS && table.segments > 0);
    plinth_table_description_deinit(&table);
    write_items(f, 100, 200, 9000);
    delete_items(f, 500, 600);
    for (int pass = 0; pass < 3; pass++) {
        assert_int_equal(count_live_entries(f, &all), ITEMS - 100);
        if (pass == 0) fixture_crash(f);
        if (pass == 1) assert_ok(plinth_compact(f->db, &f->error), &f->error);
    }
    assert_int_equal(all, ITEMS - 100);
    assert_ok(plinth_table_index_drop(f->db, NULL, "items", "by_value", &f->error), &f->error);
    assert_ok(plinth_table_index_create(f->db, NULL, "items", &by_value, &f->error), &f->error);
    assert_int_equal(count_live_entries(f, &all), ITEMS - 100);
}

static bool all_segments_have(struct fixture *f, enum index_kind kind, uint32_t column, const char *word) {
    struct view *view = view_current(&f->db->views);
    struct table_id id = test_table_id(f->db, "items");
    const struct view_table *table = view_find_table(view, id);
    struct batch *batch = batch_create(1);
    const uint32_t offsets[2] = {0, (uint32_t)strlen(word)};
    batch->columns[0] =
        (struct column){.type = column_type_of(COLUMN_STRING), .offsets = offsets, .bytes = (const uint8_t *)word};
    bool have = table && table->run_count;
    for (size_t r = 0; have && r < table->run_count; r++) {
        for (size_t s = 0; have && s < run_segment_count(table->runs[r].run); s++) {
            struct roaring_bitmap_s *rows;
            assert_ok(segment_postings(run_segment(table->runs[r].run, s), column, kind, &batch->columns[0], 1, &rows,
                                       &f->error),
                      &f->error);
            have = rows != NULL;
            if (rows) roaring_bitmap_free(rows);
        }
    }
    batch_unref(batch);
    view_unref(view);
    return have;
}

static void other_indexes_are_built_into_all_segments(void **state) {
    struct fixture *f = *state;
    static const char *const words_columns[] = {"words"};
    fill_items(f);
    assert_false(all_segments_have(f, INDEX_TOKEN, 3, "many"));
    struct plinth_index index = {
        .name = "words", .kind = PLINTH_INDEX_TOKEN, .columns = words_columns, .column_count = 1};
    assert_ok(plinth_table_index_create(f->db, NULL, "items", &index, &f->error), &f->error);
    assert_true(all_segments_have(f, INDEX_TOKEN, 3, "many"));
    assert_false(all_segments_have(f, INDEX_BITMAP, 3, "many"));
    index =
        (struct plinth_index){.name = "same", .kind = PLINTH_INDEX_BITMAP, .columns = words_columns, .column_count = 1};
    assert_ok(plinth_table_index_create(f->db, NULL, "items", &index, &f->error), &f->error);
    assert_true(all_segments_have(f, INDEX_TOKEN, 3, "many"));
    assert_true(all_segments_have(f, INDEX_BITMAP, 3, "word1 of many"));
    fixture_crash(f);
    assert_true(all_segments_have(f, INDEX_TOKEN, 3, "many"));
}

struct writer {
    struct fixture f; /* its own error */
    atomic_bool over;
    int written;
};

static void *write_on(void *argument) {
    struct writer *writer = argument;
    for (; !atomic_load(&writer->over); writer->written += 50)
        write_items(&writer->f, 100000 + writer->written, 100000 + writer->written + 50, 1);
    return NULL;
}

static void writes_go_on_while_an_index_is_built_and_are_in_it(void **state) {
    struct fixture *f = *state;
    uint64_t all;
    fill_items(f);
    struct writer writer = {.f = *f};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, write_on, &writer), 0);
    for (int round = 0; round < 5; round++) {
        usleep(20000);
        assert_ok(plinth_table_index_create(f->db, NULL, "items", &by_value, &f->error), &f->error);
        usleep(20000);
        if (round < 4) assert_ok(plinth_table_index_drop(f->db, NULL, "items", "by_value", &f->error), &f->error);
    }
    atomic_store(&writer.over, true);
    pthread_join(thread, NULL);
    assert_true(writer.written > 0);
    assert_int_equal(count_live_entries(f, &all), ITEMS + writer.written);
    fixture_crash(f);
    assert_int_equal(count_live_entries(f, &all), ITEMS + writer.written);
}

static void a_dropped_table_leaves_no_file_and_takes_no_row(void **state) {
    struct fixture *f = *state;
    fill_items(f);
    struct table_id id = test_table_id(f->db, "items");
    assert_ok(plinth_table_index_create(f->db, NULL, "items", &by_value, &f->error), &f->error);
    assert_ok(plinth_table_drop(f->db, NULL, "items", &f->error), &f->error);
    struct test_rows rows;
    struct rows_result result = {0};
    test_rows_init(&rows, "id int64", "1");
    const struct rows_write write = {.operation = ROWS_DELETE, .schema = &rows.schema, .batch = rows.batch};
    assert_status(rows_submit(f->db, id, &write, NULL, &result, &f->error), PLINTH_NOT_FOUND, &f->error);
    rows_result_deinit(&result);
    test_rows_deinit(&rows);
    assert_ok(plinth_compact(f->db, &f->error), &f->error);
    for (int i = 0; i < 500 && segments_in_store(f); i++) usleep(10000);
    assert_int_equal(segments_in_store(f), 0);
    fixture_crash(f);
    struct plinth_stats stats;
    plinth_stats_read(f->db, &stats);
    assert_int_equal(stats.segments, 0);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_table_is_there_after_a_crash_and_after_reopening),
        TEST(only_typed_tables_and_drops_raise_the_feature_level),
        TEST(a_failed_creation_leaves_nothing),
        TEST(tables_and_spaces_are_listed_by_name),
        TEST(columns_are_added_all_or_none),
        TEST(writers_that_add_the_same_columns_all_succeed),
        TEST(indexes_are_made_listed_and_dropped),
        TEST(an_index_that_an_older_version_left_half_built_is_dropped_at_open),
        TEST(a_closed_gate_lets_no_writer_in),
        TEST(a_dropped_space_leaves_no_file),
        TEST(a_scan_goes_on_over_a_dropped_space),
        TEST(dropping_under_flushes_and_merges_loses_nothing_else),
        TEST(a_dropped_table_is_gone_and_its_name_free),
        TEST(a_sorted_index_is_built_from_the_rows_that_are_there),
        TEST(other_indexes_are_built_into_all_segments),
        TEST(writes_go_on_while_an_index_is_built_and_are_in_it),
        TEST(a_dropped_table_leaves_no_file_and_takes_no_row),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
