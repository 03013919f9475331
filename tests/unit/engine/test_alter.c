/* Altering tables in a whole engine: what rows read as before and after, in memory, in segments, after a restart; what
 * segments keep and what goes; alterations under writers. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log_event.h"
#include "column/arrow_data.h"
#include "engine/rows_record.h"
#include "engine/table_ddl.h"
#include "expr/predicate.h"
#include "support/engine_fixture.h"
#include "support/table_support.h"
#include "table/row_segment.h"

static const struct plinth_options small_options = {.memtable_bytes = 256 << 10, .no_background_compaction = true};

static int setup(void **state) { return fixture_setup(state, &small_options, NULL); }

static void flush(struct fixture *f) { assert_ok(plinth_flush(f->db, &f->error), &f->error); }
static void compact(struct fixture *f) { assert_ok(plinth_compact(f->db, &f->error), &f->error); }

static enum plinth_status alter(struct fixture *f, struct plinth_alteration alteration) {
    return plinth_table_alter(f->db, NULL, "t", &alteration, 1, &f->error);
}

static void upsert(struct fixture *f, const char *columns, const char *rows) {
    assert_ok(test_rows_write(f->db, "t", ROWS_UPSERT, columns, rows, NULL, NULL, &f->error), &f->error);
}

/* In memory, replayed, in a segment, merged. */
static void reads_as(struct fixture *f, const char *wanted) {
    test_table_check(f->db, "t", wanted);
    fixture_reopen(f);
    test_table_check(f->db, "t", wanted);
    flush(f);
    test_table_check(f->db, "t", wanted);
    compact(f);
    test_table_check(f->db, "t", wanted);
    fixture_reopen(f);
    test_table_check(f->db, "t", wanted);
}

/* ---- what rows read as ---- */

static void defaults_are_for_rows_without_the_column(void **state) {
    struct fixture *f = *state;
    test_table_create(f->db, "t", "id int32, a int8?", "id", false);
    upsert(f, "id int32, a int8", "1,1;2,-");
    flush(f);
    upsert(f, "id int32, a int8", "3,3;9,9");
    assert_ok(test_rows_write(f->db, "t", ROWS_DELETE, "id int32", "9", NULL, NULL, &f->error), &f->error);
    assert_ok(alter(f, (struct plinth_alteration){PLINTH_ADD_COLUMN, .column = "b", .type = "string",
                                                  .default_value = "old"}),
              &f->error);
    test_table_check(f->db, "t", "1,1,old;2,-,old;3,3,old");
    upsert(f, "id int32, b string", "4,-;5,x"); /* a null that is written stays one */
    upsert(f, "id int32, a int8", "6,6");
    assert_ok(alter(f, (struct plinth_alteration){PLINTH_SET_DEFAULT, .column = "b", .default_value = "new"}),
              &f->error);
    upsert(f, "id int32, a int8", "7,7");
    assert_ok(alter(f, (struct plinth_alteration){PLINTH_SET_DEFAULT, .column = "b"}), &f->error);
    upsert(f, "id int32, a int8", "8,8");
    reads_as(f, "1,1,old;2,-,old;3,3,old;4,-,-;5,-,x;6,6,old;7,7,new;8,8,-");
}

static void a_not_null_column_needs_its_default(void **state) {
    struct fixture *f = *state;
    test_table_create(f->db, "t", "id int32", "id", false);
    upsert(f, "id int32", "1");
    assert_ok(alter(f, (struct plinth_alteration){PLINTH_ADD_COLUMN, .column = "n", .type = "int64",
                                                  .default_value = "7", .not_null = true}),
              &f->error);
    upsert(f, "id int32", "2");
    struct rows_result result;
    assert_ok(test_rows_write(f->db, "t", ROWS_UPSERT, "id int32, n int64", "3,-", NULL, &result, &f->error),
              &f->error);
    assert_int_equal(result.rows_rejected, 1);
    rows_result_deinit(&result);
    assert_ok(alter(f, (struct plinth_alteration){PLINTH_SET_DEFAULT, .column = "n"}), &f->error);
    assert_status(test_rows_write(f->db, "t", ROWS_UPSERT, "id int32", "4", NULL, NULL, &f->error),
                  PLINTH_INVALID_ARGUMENT, &f->error);
    assert_ok(alter(f, (struct plinth_alteration){PLINTH_DROP_NOT_NULL, .column = "n"}), &f->error);
    upsert(f, "id int32, n int64", "5,-");
    upsert(f, "id int32", "6");
    reads_as(f, "1,7;2,7;5,-;6,-");
}

static void wider_columns_have_their_old_values(void **state) {
    static const char *const types[][4] = {
        {"int8", "int16", "int32", "int64"}, {"uint8", "int16", "int32", "int64"}, {"uint32", "uint64", NULL, NULL}};
    struct fixture *f = *state;
    for (size_t t = 0; t < 3; t++) {
        char columns[64], row[32], wanted[256] = "";
        snprintf(columns, sizeof columns, "id int32, n %s?", types[t][0]);
        test_table_create(f->db, "t", columns, "id", false);
        for (int step = 0; step < 4 && types[t][step]; step++) {
            if (step)
                assert_ok(
                    alter(f, (struct plinth_alteration){PLINTH_WIDEN_COLUMN, .column = "n", .type = types[t][step]}),
                    &f->error);
            snprintf(columns, sizeof columns, "id int32, n %s", types[t][step]);
            snprintf(row, sizeof row, "%d,%d;%d,-", 2 * step, 100 + step, 2 * step + 1);
            upsert(f, columns, row);
            snprintf(wanted + strlen(wanted), 64, "%s%s", step ? ";" : "", row);
            test_table_check(f->db, "t", wanted);
            if (step % 2) flush(f);
        }
        reads_as(f, wanted);
        assert_ok(plinth_table_drop(f->db, NULL, "t", &f->error), &f->error);
    }
}

static void a_column_of_a_former_name_is_another_one(void **state) {
    struct fixture *f = *state;
    test_table_create(f->db, "t", "id int32, a int8?, b string?", "id", false);
    upsert(f, "id int32, a int8, b string", "1,1,x");
    flush(f);
    upsert(f, "id int32, a int8, b string", "2,2,y");
    const struct plinth_alteration steps[] = {{PLINTH_DROP_COLUMN, .column = "a"},
                                              {PLINTH_RENAME_COLUMN, .column = "b", .new_name = "a"},
                                              {PLINTH_ADD_COLUMN, .column = "b", .type = "bool"}};
    assert_ok(plinth_table_alter(f->db, NULL, "t", steps, 3, &f->error), &f->error);
    upsert(f, "id int32, a string, b bool", "3,z,true");
    reads_as(f, "1,x,-;2,y,-;3,z,true");
}

/* ---- what segments say ---- */

/* Segments of the table that have a column, and all. */
static void count_segments(struct fixture *f, uint32_t column, unsigned *having, unsigned *all) {
    struct view *view = view_current(&f->db->views);
    const struct view_table *table = view_find_table(view, test_table_id(f->db, "t"));
    const struct table_schema *schema;
    struct arena arena;
    arena_init(&arena);
    assert_ok(engine_find_schema(f->db, NULL, "t", &schema, &f->error), &f->error);
    *having = *all = 0;
    for (size_t r = 0; table && r < table->run_count; r++)
        for (size_t s = 0; s < run_segment_count(table->runs[r].run); s++) {
            struct column_bounds bounds;
            struct segment *segment = run_segment(table->runs[r].run, s);
            assert_ok(segment_column_bounds(segment, schema, 1, &arena, &bounds, &f->error), &f->error); /* loads it */
            *having += segment_has_column(segment, column);
            ++*all;
        }
    table_schema_unref(schema);
    arena_deinit(&arena);
    view_unref(view);
}

static void a_dropped_column_goes_when_no_state_has_it(void **state) {
    struct fixture *f = *state;
    unsigned having, all;
    test_table_create(f->db, "t", "id int32, a int8?, b int8?", "id", false);
    upsert(f, "id int32, a int8, b int8", "1,1,1;2,2,2");
    flush(f);
    assert_ok(plinth_snapshot_keep(f->db, "kept", NULL, false, NULL, &f->error), &f->error);
    assert_ok(alter(f, (struct plinth_alteration){PLINTH_DROP_COLUMN, .column = "a"}), &f->error);
    upsert(f, "id int32, b int8", "2,3;3,3");
    flush(f);
    compact(f);
    count_segments(f, 2, &having, &all);
    assert_int_equal(having, all);
    fixture_reopen(f);
    assert_ok(plinth_snapshot_drop(f->db, "kept", &f->error), &f->error);
    upsert(f, "id int32, b int8", "1,4");
    flush(f);
    compact(f);
    count_segments(f, 2, &having, &all);
    assert_int_equal(having, 0);
    assert_true(all > 0);
    test_table_check(f->db, "t", "1,4;2,3;3,3");
}

static void bounds_of_old_segments_are_those_of_wider_columns(void **state) {
    struct fixture *f = *state;
    test_table_create(f->db, "t", "id int32, n int8?, d date?, f float32?", "id", false);
    upsert(f, "id int32, n int8, d date, f float32", "1,-5,2020-01-01,-0.5;2,100,2021-01-01,0.25");
    flush(f);
    const struct plinth_alteration steps[] = {{PLINTH_WIDEN_COLUMN, .column = "n", .type = "int64"},
                                              {PLINTH_WIDEN_COLUMN, .column = "d", .type = "timestamp(ms)"},
                                              {PLINTH_WIDEN_COLUMN, .column = "f", .type = "float64"},
                                              {PLINTH_ADD_COLUMN, .column = "x", .type = "int8", .default_value = "3"},
                                              {PLINTH_ADD_COLUMN, .column = "y", .type = "int8"}};
    assert_ok(plinth_table_alter(f->db, NULL, "t", steps, 5, &f->error), &f->error);
    const struct table_schema *schema;
    assert_ok(engine_find_schema(f->db, NULL, "t", &schema, &f->error), &f->error);
    struct view *view = view_current(&f->db->views);
    struct segment *segment = run_segment(view_find_table(view, schema->id)->runs[0].run, 0);
    struct arena arena;
    arena_init(&arena);
    for (uint32_t id = 2; id <= 6; id++) {
        struct column_bounds of_file, of_stripe, *both[] = {&of_file, &of_stripe};
        assert_ok(segment_column_bounds(segment, schema, id, &arena, &of_file, &f->error), &f->error);
        assert_ok(segment_stripe_bounds(segment, schema, 0, id, &arena, &of_stripe, &f->error), &f->error);
        for (int i = 0; i < 2; i++) {
            assert_true(both[i]->has_nulls_known);
            assert_int_equal(both[i]->null_count, id == 6 ? 2 : 0);
            assert_int_equal(both[i]->has_values, id != 6);
            if (id == 2) assert_int_equal(*(const int64_t *)both[i]->min.values, -5);
            if (id == 2) assert_int_equal(*(const int64_t *)both[i]->max.values, 100);
            if (id == 3) assert_int_equal(*(const int64_t *)both[i]->max.values, INT64_C(1609459200000));
            if (id == 4) assert_true(*(const double *)both[i]->min.values == -0.5);
            if (id == 5) assert_int_equal(*(const int8_t *)both[i]->min.values, 3);
        }
    }
    arena_deinit(&arena);
    view_unref(view);
    table_schema_unref(schema);
}

/* ---- records, levels, feeds ---- */

static void records_of_a_former_version_are_sound(void **state) {
    struct fixture *f = *state;
    test_table_create(f->db, "t", "id int32, a int8?, b int8?", "id", false);
    struct test_rows rows;
    struct buffer payload = BUFFER_INIT;
    test_rows_init(&rows, "id int32, a int8, b int8", "1,1,1;2,2,2");
    struct rows_change change = {
        .table = test_table_id(f->db, "t"), .operation = ROWS_UPSERT, .rows = 2, .column_count = 3};
    const uint32_t ids[] = {1, 2, 3}, later[] = {1, 2, 5};
    assert_true(rows_record_encode(&payload, &change, ids, rows.batch));
    const struct plinth_alteration steps[] = {
        {PLINTH_DROP_COLUMN, .column = "a"},
        {PLINTH_WIDEN_COLUMN, .column = "b", .type = "int32"},
        {PLINTH_ADD_COLUMN, .column = "c", .type = "int8", .default_value = "3", .not_null = true}};
    assert_ok(plinth_table_alter(f->db, NULL, "t", steps, 3, &f->error), &f->error);
    const struct table_schema *schema;
    assert_ok(engine_find_schema(f->db, NULL, "t", &schema, &f->error), &f->error);
    assert_ok(rows_record_check(schema, buffer_slice(&payload), NULL, &f->error), &f->error);
    buffer_clear(&payload); /* a column that never was */
    assert_true(rows_record_encode(&payload, &change, later, rows.batch));
    assert_status(rows_record_check(schema, buffer_slice(&payload), NULL, &f->error), PLINTH_CORRUPT, &f->error);
    table_schema_unref(schema);
    buffer_deinit(&payload);
    test_rows_deinit(&rows);
}

static void only_alterations_raise_the_feature_level(void **state) {
    struct fixture *f = *state;
    static const struct plinth_column more = {.name = "b", .type = "int8", .nullable = true};
    test_table_create(f->db, "t", "id int32, a int8?", "id", false);
    assert_ok(plinth_table_add_columns(f->db, NULL, "t", &more, 1, &f->error), &f->error);
    assert_true(f->db->shard.feature_level < CATALOG_FEATURE_LEVEL_ALTER);
    assert_status(alter(f, (struct plinth_alteration){PLINTH_DROP_COLUMN, .column = "id"}), PLINTH_INVALID_ARGUMENT,
                  &f->error);
    assert_status(alter(f, (struct plinth_alteration){PLINTH_DROP_COLUMN, .column = "x"}), PLINTH_NOT_FOUND, &f->error);
    assert_status(
        alter(f, (struct plinth_alteration){PLINTH_ADD_COLUMN, .column = "x", .type = "int8", .default_value = "1000"}),
        PLINTH_INVALID_ARGUMENT, &f->error);
    assert_error_names(&f->error, "the default of column \"x\"");
    assert_status(plinth_table_alter(f->db, NULL, "t", NULL, 0, &f->error), PLINTH_INVALID_ARGUMENT, &f->error);
    assert_true(f->db->shard.feature_level < CATALOG_FEATURE_LEVEL_ALTER);
    assert_ok(alter(f, (struct plinth_alteration){PLINTH_DROP_COLUMN, .column = "b"}), &f->error);
    assert_int_equal(f->db->shard.feature_level, CATALOG_FEATURE_LEVEL_ALTER);
}

static void a_feed_gives_rows_of_before_with_the_columns_of_now(void **state) {
    struct fixture *f = *state;
    struct plinth_feed *feed;
    struct plinth_change change;
    bool found;
    test_table_create(f->db, "t", "id int32, a int8?, b int8?", "id", false);
    assert_ok(plinth_feed_open(f->db, NULL, &feed, &f->error), &f->error);
    upsert(f, "id int32, a int8, b int8", "1,1,1");
    const struct plinth_alteration steps[] = {{PLINTH_DROP_COLUMN, .column = "a"},
                                              {PLINTH_WIDEN_COLUMN, .column = "b", .type = "int64"},
                                              {PLINTH_RENAME_COLUMN, .column = "b", .new_name = "a"}};
    assert_ok(plinth_table_alter(f->db, NULL, "t", steps, 3, &f->error), &f->error);
    upsert(f, "id int32, a int64", "2,2");
    for (int i = 0; i < 2; i++) {
        assert_ok(plinth_feed_next(feed, 1000, &change, &found, &f->error), &f->error);
        assert_true(found);
        assert_int_equal(change.rows_count, 1);
        struct ArrowSchema *schema = change.rows[0].schema;
        assert_int_equal(schema->n_children, 2);
        assert_string_equal(schema->children[1]->name, "a");
        assert_string_equal(schema->children[1]->format, "l");
    }
    plinth_feed_close(feed);
}

/* ---- alterations under writers ---- */

struct writer {
    struct plinth *db;
    pthread_t thread;
    atomic_bool *stop;
    int number, rows;
};

static void *write_on(void *argument) {
    struct writer *writer = argument;
    struct plinth_error error;
    char row[32];
    for (; !atomic_load(writer->stop); writer->rows++) {
        snprintf(row, sizeof row, "%d,%d", writer->number * 100000 + writer->rows, writer->rows % 100);
        assert_ok(test_rows_write(writer->db, "t", ROWS_UPSERT, "id int32, n int8", row, NULL, NULL, &error), &error);
    }
    return NULL;
}

static void count_rows(void *context, const struct row_block *block) {
    unsigned *rows = context;
    for (uint32_t row = 0; row < block->rows; row++) {
        int32_t id = ((const int32_t *)row_block_column(block, 1)->values)[row];
        assert_int_equal(((const int64_t *)row_block_column(block, 2)->values)[row], id % 100000 % 100);
    }
    *rows += block->rows;
}

static void tables_are_altered_under_writers(void **state) {
    struct fixture *f = *state;
    struct writer writers[3];
    atomic_bool stop;
    char name[16], before[16] = "c0";
    atomic_init(&stop, false);
    test_table_create(f->db, "t", "id int32, n int8?, c0 string?", "id", false);
    for (int i = 0; i < 3; i++) {
        writers[i] = (struct writer){.db = f->db, .stop = &stop, .number = i};
        assert_int_equal(pthread_create(&writers[i].thread, NULL, write_on, &writers[i]), 0);
    }
    static const char *const types[] = {"int16", "int32", "int64"};
    for (int i = 1; i <= 30; i++) {
        snprintf(name, sizeof name, "c%d", i);
        const struct plinth_alteration steps[] = {
            {PLINTH_ADD_COLUMN, .column = name, .type = "int16", .default_value = "5"},
            {PLINTH_DROP_COLUMN, .column = before}};
        assert_ok(plinth_table_alter(f->db, NULL, "t", steps, 2, &f->error), &f->error);
        if (i % 10 == 0)
            assert_ok(
                alter(f, (struct plinth_alteration){PLINTH_WIDEN_COLUMN, .column = "n", .type = types[i / 10 - 1]}),
                &f->error);
        if (i % 7 == 0) compact(f);
        strcpy(before, name);
    }
    atomic_store(&stop, true);
    unsigned written = 0, shown = 0;
    for (int i = 0; i < 3; i++) {
        pthread_join(writers[i].thread, NULL);
        written += (unsigned)writers[i].rows;
    }
    assert_ok(test_table_visit(f->db, "t", count_rows, &shown, &f->error), &f->error);
    assert_int_equal(shown, written);
    fixture_reopen(f);
    compact(f);
    shown = 0;
    assert_ok(test_table_visit(f->db, "t", count_rows, &shown, &f->error), &f->error);
    assert_int_equal(shown, written);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(defaults_are_for_rows_without_the_column),
        TEST(a_not_null_column_needs_its_default),
        TEST(wider_columns_have_their_old_values),
        TEST(a_column_of_a_former_name_is_another_one),
        TEST(a_dropped_column_goes_when_no_state_has_it),
        TEST(bounds_of_old_segments_are_those_of_wider_columns),
        TEST(records_of_a_former_version_are_sound),
        TEST(only_alterations_raise_the_feature_level),
        TEST(a_feed_gives_rows_of_before_with_the_columns_of_now),
        TEST(tables_are_altered_under_writers),
    };
    log_event_configure(LOG_OFF, false);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
